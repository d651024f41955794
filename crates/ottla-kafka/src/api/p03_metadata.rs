//! Metadata (key 3), versions 0 to 13: which brokers and topics there are.
//!
//! - All topics: an empty list in version 0, null from 1 on, where empty means none.
//! - 4+ may forbid to create topics that do not exist; below, asking is creating. Kafka creates in the
//!   background and answers `UNKNOWN_TOPIC_OR_PARTITION` first; here the topic is there when the
//!   answer leaves, so the first answer has it.
//! - 8 to 10 may ask for the operations that are permitted on the cluster, 8+ for those on topics
//!   (KIP-430). Unasked, they are the lowest integer.
//! - 10+ answers topic ids; 12+ takes them, and ignores names as soon as one id is asked for. In 10
//!   and 11 an id or a null name is `INVALID_REQUEST`.
//! - A partition that is not open (yet, or because its disk failed) has no leader and
//!   `LEADER_NOT_AVAILABLE`, so clients ask again instead of failing there.
//! - The one broker is this one, at the address that the client reached.
//! - Versions: 1 has racks, the controller and whether a topic is internal, 2 the cluster id (KIP-78), 3
//!   the throttle time, 5 offline replicas (KIP-112: there are none), 7 leader epochs (KIP-320), 9 is
//!   flexible, 13 has an error for the whole answer (KIP-1102), which never arises. 6 changes nothing here.

use std::collections::{HashMap, HashSet};

use ottla_broker::api::{Image, NewTopic, TopicImage};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::ids::NodeId;
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;
use ottla_wire::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::{ApiKey, Reader};

use super::call::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS, is_internal};
use super::{Answering, Call, Handler, Registration, Reply};
use crate::close::CloseReason;
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::Metadata,
    versions: 0..=13,
    needs: (Operation::Describe, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "a topic that is created by asking for it is in the same answer",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            MetadataRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let Some(wanted) = wanted(&request, call.version) else {
            return refuse(call, &request);
        };
        let mut image = call.broker().image();
        let may_create = request.allow_auto_topic_creation
            && call.broker().settings().is_on("auto.create.topics.enable");
        let mut refused = HashMap::new();
        if may_create && let Wanted::Names(names) = &wanted {
            refused = create_missing(call, &image, names).await;
            // Published before the creation was answered.
            image = call.broker().image();
        }
        respond(call, &request, &wanted, &image, &refused)
    })
}

/// What a request asks for.
enum Wanted<'r> {
    All,
    Ids(Vec<Uuid>),
    Names(Vec<&'r str>),
}

/// `None` if the request makes no sense in its version.
fn wanted<'r>(request: &MetadataRequest<'r>, version: i16) -> Option<Wanted<'r>> {
    let topics: &[MetadataRequestTopic<'_>] = match &request.topics {
        None => return Some(Wanted::All),
        Some(topics) if topics.is_empty() && version == 0 => return Some(Wanted::All),
        Some(topics) => topics,
    };
    let has_id = topics.iter().any(|topic| !topic.topic_id.is_zero());
    if version < 12 && has_id {
        return None;
    }
    if has_id {
        let ids = topics
            .iter()
            .map(|topic| topic.topic_id)
            .filter(|id| !id.is_zero());
        return Some(Wanted::Ids(distinct(ids)));
    }
    let names: Option<Vec<&'r str>> = topics.iter().map(|topic| topic.name).collect();
    Some(Wanted::Names(distinct(names?.into_iter())))
}

/// Without repetitions, in order.
fn distinct<T: Copy + Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}

fn refuse(call: &Call<'_>, request: &MetadataRequest<'_>) -> Result<Reply, CloseReason> {
    let topics = request.topics.iter().flatten();
    let code = ErrorCode::InvalidRequest.code();
    let response = MetadataResponse {
        topics: topics
            .map(|topic| MetadataResponseTopic {
                error_code: code,
                name: Some(topic.name.unwrap_or_default()),
                topic_id: topic.topic_id,
                ..MetadataResponseTopic::default()
            })
            .collect(),
        error_code: code,
        ..MetadataResponse::default()
    };
    call.answer(|w, version| response.encode(w, version))
}

/// Creates what is missing and may be created. Answers those that were refused, with the code.
async fn create_missing<'r>(
    call: &Call<'_>,
    image: &Image,
    names: &[&'r str],
) -> HashMap<&'r str, ErrorCode> {
    let missing = names
        .iter()
        .copied()
        .filter(|name| image.topic(name).is_none());
    // Names that no topic can have and internal topics are left to `absent`.
    let (named, topics): (Vec<&'r str>, Vec<NewTopic>) = missing
        .filter(|name| !is_internal(name))
        .filter_map(|name| Some((name, new_topic(TopicName::parse(name).ok()?))))
        .unzip();
    if topics.is_empty() {
        return HashMap::new();
    }
    let Some(permit) = call.permit_also(Operation::Create, ResourceKind::Topic) else {
        return named
            .into_iter()
            .map(|name| (name, ErrorCode::TopicAuthorizationFailed))
            .collect();
    };
    match call.broker().create_topics(&permit, topics, false).await {
        Ok(created) => {
            let refused = named.into_iter().zip(created);
            refused
                .filter_map(|(name, created)| Some((name, error_map::topic(&created.err()?))))
                .collect()
        }
        Err(error) => {
            tracing::warn!(error = %super::call::text(&error), "topics cannot be created");
            let code = error_map::catalog(&error);
            named.into_iter().map(|name| (name, code)).collect()
        }
    }
}

fn new_topic(name: TopicName) -> NewTopic {
    NewTopic {
        name,
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn respond(
    call: &Call<'_>,
    request: &MetadataRequest<'_>,
    wanted: &Wanted<'_>,
    image: &Image,
    refused: &HashMap<&str, ErrorCode>,
) -> Result<Reply, CloseReason> {
    let operations = if request.include_topic_authorized_operations {
        TOPIC_OPERATIONS
    } else {
        i32::MIN
    };
    let topics = match wanted {
        Wanted::All => image
            .topics()
            .map(|topic| describe(call, topic, operations))
            .collect(),
        Wanted::Ids(ids) => ids
            .iter()
            .map(|&id| match image.topic_by_id(id) {
                Some(topic) => describe(call, topic, operations),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UnknownTopicId.code(),
                    name: None,
                    topic_id: id,
                    ..MetadataResponseTopic::default()
                },
            })
            .collect(),
        Wanted::Names(names) => names
            .iter()
            .map(|name| match image.topic(name) {
                Some(topic) => describe(call, topic, operations),
                None => absent(name, refused, operations),
            })
            .collect(),
    };
    let node = call.broker().node_id();
    let endpoint = call.endpoint();
    let rack = call.broker().settings().get("broker.rack");
    let response = MetadataResponse {
        throttle_time_ms: 0,
        brokers: vec![MetadataResponseBroker {
            node_id: node.0,
            host: &endpoint.host,
            port: endpoint.port,
            rack,
        }],
        cluster_id: Some(call.broker().cluster_id()),
        controller_id: node.0,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        error_code: ErrorCode::None.code(),
    };
    call.answer(|w, version| response.encode(w, version))
}

fn describe<'i>(
    call: &Call<'_>,
    topic: &'i TopicImage,
    operations: i32,
) -> MetadataResponseTopic<'i> {
    let partitions = topic.partitions.iter().map(|partition| {
        let NodeId(leader) = &partition.leader;
        let replicas = std::slice::from_ref(leader);
        let is_open = call.broker().partition(topic.id, partition.index).is_some();
        MetadataResponsePartition {
            error_code: if is_open {
                ErrorCode::None
            } else {
                ErrorCode::LeaderNotAvailable
            }
            .code(),
            partition_index: partition.index.0,
            leader_id: if is_open { *leader } else { -1 },
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: replicas.into(),
            isr_nodes: replicas.into(),
            offline_replicas: if is_open { &[] } else { replicas }.into(),
        }
    });
    MetadataResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(&topic.name),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: operations,
    }
}

fn absent<'r>(
    name: &'r str,
    refused: &HashMap<&str, ErrorCode>,
    operations: i32,
) -> MetadataResponseTopic<'r> {
    let code = match (refused.get(name), TopicName::parse(name)) {
        (Some(code), _) => *code,
        (None, Err(error)) => error_map::topic_name(&error),
        (None, Ok(_)) => ErrorCode::UnknownTopicOrPartition,
    };
    MetadataResponseTopic {
        error_code: code.code(),
        name: Some(name),
        is_internal: is_internal(name),
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(id: u8, name: Option<&str>) -> MetadataRequestTopic<'_> {
        MetadataRequestTopic {
            topic_id: Uuid([id; 16]),
            name,
        }
    }

    fn asked(version: i16, topics: Option<Vec<MetadataRequestTopic<'_>>>) -> String {
        let request = MetadataRequest {
            topics,
            ..MetadataRequest::default()
        };
        match wanted(&request, version) {
            None => "invalid".into(),
            Some(Wanted::All) => "all".into(),
            Some(Wanted::Ids(ids)) => {
                format!("ids {:?}", ids.iter().map(|id| id.0[0]).collect::<Vec<_>>())
            }
            Some(Wanted::Names(names)) => format!("names {}", names.join(",")),
        }
    }

    #[test]
    fn empty_is_all_only_in_version_0() {
        assert_eq!(asked(0, Some(vec![])), "all");
        assert_eq!(asked(1, Some(vec![])), "names ");
        assert_eq!(asked(1, None), "all");
        assert_eq!(asked(13, None), "all");
    }

    #[test]
    fn names_and_ids_by_version() {
        let mixed = || {
            Some(vec![
                topic(0, Some("a")),
                topic(7, None),
                topic(7, None),
                topic(8, Some("b")),
            ])
        };
        assert_eq!(asked(12, mixed()), "ids [7, 8]");
        assert_eq!(asked(11, mixed()), "invalid");
        assert_eq!(asked(10, Some(vec![topic(0, None)])), "invalid");
        assert_eq!(asked(12, Some(vec![topic(0, None)])), "invalid");
        let names = || {
            Some(vec![
                topic(0, Some("a")),
                topic(0, Some("b")),
                topic(0, Some("a")),
            ])
        };
        assert_eq!(asked(9, names()), "names a,b");
        assert_eq!(asked(13, names()), "names a,b");
    }
}
