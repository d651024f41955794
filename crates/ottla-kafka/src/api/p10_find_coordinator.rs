//! FindCoordinator (key 10), versions 0 to 6: who coordinates a group, a transactional id or a share
//! partition.
//!
//! - Groups: this broker. The first one makes the topic that holds them, and is answered when that is open;
//!   Kafka answers `COORDINATOR_NOT_AVAILABLE` meanwhile.
//! - Share partitions: `COORDINATOR_NOT_AVAILABLE`, which clients retry.
//! - Transactional ids: `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, which they do not: a transactional
//!   producer fails at once instead of asking until its patience ends.
//! - 0 to 3 ask for one key and have the error at the top, 4+ for many (KIP-699). Share partitions
//!   (type 2) need version 6 and a key `group:topicId:partition`; all else is `INVALID_REQUEST`.
//! - A key that is asked for twice is answered once.
//! - Versions: 1 has types of keys, messages and the throttle time, 3 is flexible, 5 may answer
//!   `TRANSACTION_ABORTABLE` (KIP-890), 6 knows share groups (KIP-932). 2 changes nothing here.

use hashbrown::HashSet;
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::uuid::Uuid;
use ottla_wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::{ApiKey, Reader};

use super::call::text;
use super::{Answering, Call, Handler, Registration};
use crate::error_map::ErrorCode;

pub(super) const API: Registration = Registration {
    key: ApiKey::FindCoordinator,
    versions: 0..=6,
    needs: (Operation::Describe, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "no transactions yet: TRANSACTIONAL_ID_AUTHORIZATION_FAILED; the first group is answered when its topic is open",
};

/// The type of a key that is a group id.
const GROUP: i8 = 0;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = FindCoordinatorRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let groups = if request.key_type == GROUP {
            groups_are_here(call).await
        } else {
            Ok(())
        };
        let endpoint = call.endpoint();
        let find = |key| {
            let refused = match request.key_type {
                GROUP => groups.err(),
                other => Some(refusal(other, key, call.version)),
            };
            Coordinator {
                key,
                node_id: if refused.is_some() {
                    -1
                } else {
                    call.broker().node_id().0
                },
                host: if refused.is_some() {
                    ""
                } else {
                    &endpoint.host
                },
                port: if refused.is_some() { -1 } else { endpoint.port },
                error_code: refused.map_or(0, |(code, _)| code.code()),
                error_message: Some(refused.map_or("", |(_, message)| message)),
            }
        };
        let response = if call.version >= 4 {
            let mut seen = HashSet::new();
            let keys = request.coordinator_keys.iter();
            let keys = keys.filter(|key| seen.insert(**key));
            FindCoordinatorResponse {
                coordinators: keys.map(|key| find(key)).collect(),
                ..FindCoordinatorResponse::default()
            }
        } else {
            let found = find(request.key);
            FindCoordinatorResponse {
                error_code: found.error_code,
                error_message: match found.error_code {
                    0 => Some(ErrorCode::None.name()),
                    _ => found.error_message,
                },
                node_id: found.node_id,
                host: found.host,
                port: found.port,
                ..FindCoordinatorResponse::default()
            }
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

/// Why there is no coordinator.
type Refused = (ErrorCode, &'static str);

async fn groups_are_here(call: &Call<'_>) -> Result<(), Refused> {
    let refuse = |message| Err((ErrorCode::CoordinatorNotAvailable, message));
    let Some(permit) = call.permit_also(Operation::Create, ResourceKind::Topic) else {
        return refuse("nobody has made the topic that holds groups");
    };
    match call.broker().ensure_offsets_topic(&permit).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(error = %text(&error), "no group can be coordinated");
            refuse("the topic that holds groups cannot be made")
        }
    }
}

fn refusal(key_type: i8, key: &str, version: i16) -> Refused {
    match key_type {
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
    fn every_other_type_of_key_has_its_refusal() {
        let share = "group:AAAAAAAAAAAAAAAAAAAAAQ:0";
        for (key_type, key, version, expected) in [
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
                refusal(key_type, key, version).0,
                expected,
                "{key_type} {key:?} {version}"
            );
        }
    }
}
