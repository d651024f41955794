//! FindCoordinator (key 10), versions 0 to 6: who coordinates a group, a transactional id or a share
//! partition.
//!
//! There are no coordinators yet. It is served all the same, because librdkafka offers lz4 only to
//! brokers that advertise it.
//!
//! - Groups and share partitions: `COORDINATOR_NOT_AVAILABLE`, which clients retry.
//! - Transactional ids: `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, which they do not: a transactional
//!   producer fails at once instead of asking until its patience ends.
//! - 0 to 3 ask for one key and have the error at the top, 4+ for many (KIP-699). Share partitions
//!   (type 2) need version 6 and a key `group:topicId:partition`; all else is `INVALID_REQUEST`.
//! - A key that is asked for twice is answered once.

use hashbrown::HashSet;
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::uuid::Uuid;
use ottla_wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::ErrorCode;

pub(super) const API: Registration = Registration {
    key: ApiKey::FindCoordinator,
    versions: 0..=6,
    needs: (Operation::Describe, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "no groups and no transactions yet: COORDINATOR_NOT_AVAILABLE, TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
};

/// No node, host and port.
const NOWHERE: (i32, &str, i32) = (-1, "", -1);

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = FindCoordinatorRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let (node_id, host, port) = NOWHERE;
        let response = if call.version >= 4 {
            let mut seen = HashSet::new();
            let keys = request.coordinator_keys.iter();
            let coordinators = keys.filter(|key| seen.insert(**key)).map(|key| {
                let (code, message) = coordinator(request.key_type, key, call.version);
                Coordinator {
                    key,
                    node_id,
                    host,
                    port,
                    error_code: code.code(),
                    error_message: Some(message),
                }
            });
            FindCoordinatorResponse {
                coordinators: coordinators.collect(),
                ..FindCoordinatorResponse::default()
            }
        } else {
            let (code, message) = coordinator(request.key_type, request.key, call.version);
            FindCoordinatorResponse {
                error_code: code.code(),
                error_message: Some(message),
                node_id,
                host,
                port,
                ..FindCoordinatorResponse::default()
            }
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn coordinator(key_type: i8, key: &str, version: i16) -> (ErrorCode, &'static str) {
    match key_type {
        0 => (
            ErrorCode::CoordinatorNotAvailable,
            "this broker has no groups yet",
        ),
        1 => (
            ErrorCode::TransactionalIdAuthorizationFailed,
            "this broker has no transactions yet",
        ),
        2 if version < 6 => (ErrorCode::InvalidRequest, "share partitions need version 6"),
        2 if !is_share_key(key) => (
            ErrorCode::InvalidRequest,
            "the key is not group:topicId:partition",
        ),
        2 => (
            ErrorCode::CoordinatorNotAvailable,
            "this broker has no share groups yet",
        ),
        _ => (
            ErrorCode::InvalidRequest,
            "there is no such type of coordinator",
        ),
    }
}

/// `group:topicId:partition`, where the group may have colons (Kafka `SharePartitionKey.validate`).
fn is_share_key(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (partition, topic_id, group) = (parts.next(), parts.next(), parts.next());
    group.is_some_and(|group| !group.trim().is_empty())
        && topic_id.is_some_and(|id| Uuid::parse(id).is_some())
        && partition.is_some_and(|partition| partition.parse::<i32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_key_has_its_answer() {
        let share = "group:AAAAAAAAAAAAAAAAAAAAAQ:0";
        for (key_type, key, version, expected) in [
            (0, "group", 0, ErrorCode::CoordinatorNotAvailable),
            (0, "", 6, ErrorCode::CoordinatorNotAvailable),
            (
                1,
                "transactional-id",
                1,
                ErrorCode::TransactionalIdAuthorizationFailed,
            ),
            (2, share, 5, ErrorCode::InvalidRequest),
            (2, share, 6, ErrorCode::CoordinatorNotAvailable),
            (2, "group:0", 6, ErrorCode::InvalidRequest),
            (
                2,
                "group:AAAAAAAAAAAAAAAAAAAAAQ:x",
                6,
                ErrorCode::InvalidRequest,
            ),
            (2, ":AAAAAAAAAAAAAAAAAAAAAQ:0", 6, ErrorCode::InvalidRequest),
            (3, "x", 6, ErrorCode::InvalidRequest),
            (-1, "x", 0, ErrorCode::InvalidRequest),
        ] {
            assert_eq!(
                coordinator(key_type, key, version).0,
                expected,
                "{key_type} {key:?} {version}"
            );
        }
    }
}
