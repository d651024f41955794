//! InitProducerId (key 22), versions 0 to 5: an identity for an idempotent producer (KIP-98).
//!
//! Without a transactional id every request gets an id that nobody had before, with epoch 0, whatever
//! id and epoch it names (3+, KIP-360); one of the two without the other is `INVALID_REQUEST`.
//!
//! With a transactional id it is refused for now, with `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`: every
//! client takes that for final, so a transactional producer fails at once and says why it cannot go
//! on, where most other errors make it ask again. An empty one is `INVALID_REQUEST`, as in Kafka.
//!
//! Versions: 2 is flexible, 4 may answer `PRODUCER_FENCED` (KIP-588), 5 `TRANSACTION_ABORTABLE` (KIP-890);
//! 6 (two-phase commit, KIP-939) is unstable in Kafka, too. 1 changes nothing here.

use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::{ApiKey, Reader};

use super::call::text;
use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::InitProducerId,
    versions: 0..=5,
    needs: (Operation::IdempotentWrite, ResourceKind::Cluster),
    handler: Handler::Alone(handle),
    note: "a transactional id gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED: no transactions yet",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = InitProducerIdRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let given = match refusal(&request) {
            Some(code) => Err(code),
            None => {
                let given = call.broker().new_producer_id(&call.permit).await;
                given.map_err(|error| {
                    tracing::warn!(error = %text(&error), "no producer id can be given");
                    error_map::producer_id(&error)
                })
            }
        };
        let response = match given {
            Ok(id) => InitProducerIdResponse {
                producer_id: id.0,
                ..InitProducerIdResponse::default()
            },
            Err(code) => InitProducerIdResponse {
                error_code: code.code(),
                producer_id: -1,
                producer_epoch: -1,
                ..InitProducerIdResponse::default()
            },
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn refusal(request: &InitProducerIdRequest<'_>) -> Option<ErrorCode> {
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Some(ErrorCode::InvalidRequest);
    }
    match request.transactional_id {
        None => None,
        Some("") => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(ErrorCode::TransactionalIdAuthorizationFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_idempotent_producers_get_an_id() {
        for (transactional_id, producer_id, producer_epoch, expected) in [
            (None, -1, -1, None),
            (None, 7, 3, None),
            (None, 7, -1, Some(ErrorCode::InvalidRequest)),
            (None, -1, 3, Some(ErrorCode::InvalidRequest)),
            (Some(""), -1, -1, Some(ErrorCode::InvalidRequest)),
            (
                Some("t"),
                -1,
                -1,
                Some(ErrorCode::TransactionalIdAuthorizationFailed),
            ),
        ] {
            let request = InitProducerIdRequest {
                transactional_id,
                transaction_timeout_ms: 0,
                producer_id,
                producer_epoch,
            };
            assert_eq!(refusal(&request), expected, "{request:?}");
        }
    }
}
