//! OffsetFetch (key 9), versions 0 to 10: how far a group has read.
//!
//! - Up to 7 of one group, from 8 on of many (KIP-709); a group that is asked for twice is answered once.
//! - 2+ may ask for all that a group committed, and has errors of the group at the top; before, they
//!   stand at each partition. 7+ may refuse offsets that a transaction has not decided on (KIP-447).
//! - 10 names topics by id: an offset that was committed for an earlier topic of that name is not told, nor
//!   are offsets of topics that are gone.
//! - A group that is not there has committed nothing: offset -1, no error. 0, gone since Kafka 4.0, is
//!   answered like 1; Kafka up to 3.9 looked elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use ottla_broker::api::{
    FetchOffsets, FetchTopic, FetchedPartition, FetchedTopic, GroupError, GroupId, Image, MemberId,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::uuid::Uuid;
use ottla_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::OffsetFetch,
    versions: 0..=10,
    needs: (Operation::Describe, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "0 is served as by Kafka up to 3.9",
};

/// From this version on groups come in batches.
const BATCHED: i16 = 8;
/// From this version on topics come by id.
const TOPIC_IDS: i16 = 10;
/// From this version on errors of a group have a place of their own.
const GROUP_ERRORS: i16 = 2;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            OffsetFetchRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let image = call.broker().image();
        let asked = normalized(&request, call.version);
        let mut groups = Vec::with_capacity(asked.len());
        for group in &asked {
            let question = question(group, &image, call.version, request.require_stable);
            let told = call.broker().fetch_offsets(&call.permit, question).await;
            groups.push((group, told));
        }
        if call.version >= BATCHED {
            let groups = groups.iter();
            let response = OffsetFetchResponse {
                groups: groups
                    .map(|(group, told)| batched(group, told, &image, call.version))
                    .collect(),
                ..OffsetFetchResponse::default()
            };
            return call.answer(|w, version| response.encode(w, version));
        }
        let (group, told) = &groups[0];
        let response = single(group, told, call.version);
        call.answer(|w, version| response.encode(w, version))
    })
}

/// The groups that are asked for, each once; at least one.
fn normalized<'r>(
    request: &OffsetFetchRequest<'r>,
    version: i16,
) -> Vec<OffsetFetchRequestGroup<'r>> {
    if version >= BATCHED {
        let mut seen = HashSet::new();
        let groups = request.groups.iter();
        return groups
            .filter(|group| seen.insert(group.group_id))
            .cloned()
            .collect();
    }
    let topics = request.topics.as_ref().map(|topics| {
        let topics = topics.iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: Uuid::ZERO,
            partition_indexes: topic.partition_indexes.clone(),
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id,
        member_id: None,
        member_epoch: -1,
        topics,
    }]
}

/// What the coordinator is asked: of topics by id, only those that there are.
fn question(
    group: &OffsetFetchRequestGroup<'_>,
    image: &Image,
    version: i16,
    require_stable: bool,
) -> FetchOffsets {
    let topics = group.topics.as_ref().map(|topics| {
        let known = topics.iter().filter_map(|topic| {
            let name = name_of(topic, image, version)?;
            Some(FetchTopic {
                name,
                topic_id: topic.topic_id,
                partitions: topic.partition_indexes.iter().collect(),
            })
        });
        known.collect()
    });
    FetchOffsets {
        group: GroupId::from(group.group_id),
        member: group.member_id.map(MemberId::from),
        member_epoch: group.member_epoch,
        require_stable,
        topics,
    }
}

fn name_of(topic: &OffsetFetchRequestTopics<'_>, image: &Image, version: i16) -> Option<Arc<str>> {
    if version < TOPIC_IDS {
        return Some(Arc::from(topic.name));
    }
    let found = image.topic_by_id(topic.topic_id)?;
    Some(Arc::from(found.name.as_str()))
}

fn batched<'r>(
    group: &'r OffsetFetchRequestGroup<'r>,
    told: &'r Result<Vec<FetchedTopic>, GroupError>,
    image: &Image,
    version: i16,
) -> OffsetFetchResponseGroup<'r> {
    let (told, error_code) = match told {
        Ok(told) => (told, ErrorCode::None),
        Err(error) => {
            return OffsetFetchResponseGroup {
                group_id: group.group_id,
                error_code: error_map::group_error(error).code(),
                ..OffsetFetchResponseGroup::default()
            };
        }
    };
    let answer = |topic: &'r FetchedTopic, topic_id| OffsetFetchResponseTopics {
        name: &topic.name,
        topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    };
    let topics = match &group.topics {
        Some(asked) => {
            let mut told = told.iter();
            let topics = asked.iter().map(|topic| {
                if name_of(topic, image, version).is_some()
                    && let Some(told) = told.next()
                {
                    return answer(told, topic.topic_id);
                }
                unknown(topic)
            });
            topics.collect()
        }
        // Without its id a topic has no place in the answer.
        None if version >= TOPIC_IDS => told
            .iter()
            .filter_map(|topic| Some(answer(topic, image.topic(&topic.name)?.id)))
            .collect(),
        None => told.iter().map(|topic| answer(topic, Uuid::ZERO)).collect(),
    };
    OffsetFetchResponseGroup {
        group_id: group.group_id,
        topics,
        error_code: error_code.code(),
    }
}

/// No topic has this id.
fn unknown<'r>(topic: &OffsetFetchRequestTopics<'r>) -> OffsetFetchResponseTopics<'r> {
    let partitions = topic.partition_indexes.iter();
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|index| OffsetFetchResponsePartitions {
                partition_index: index,
                committed_offset: -1,
                error_code: ErrorCode::UnknownTopicId.code(),
                ..OffsetFetchResponsePartitions::default()
            })
            .collect(),
    }
}

fn partition(told: &FetchedPartition) -> OffsetFetchResponsePartitions<'_> {
    let nothing = OffsetFetchResponsePartitions {
        partition_index: told.partition,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(""),
        error_code: ErrorCode::None.code(),
    };
    match &told.committed {
        Ok(None) => nothing,
        Ok(Some(offset)) => OffsetFetchResponsePartitions {
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            metadata: Some(&offset.metadata),
            ..nothing
        },
        Err(refusal) => OffsetFetchResponsePartitions {
            error_code: error_map::group(refusal).code(),
            ..nothing
        },
    }
}

fn single<'r>(
    group: &'r OffsetFetchRequestGroup<'r>,
    told: &'r Result<Vec<FetchedTopic>, GroupError>,
    version: i16,
) -> OffsetFetchResponse<'r> {
    let error = match told {
        Ok(told) => {
            let topics = told.iter().map(|topic| OffsetFetchResponseTopic {
                name: &topic.name,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|told| old(&partition(told)))
                    .collect(),
            });
            return OffsetFetchResponse {
                topics: topics.collect(),
                ..OffsetFetchResponse::default()
            };
        }
        Err(error) => error_map::group_error(error),
    };
    if version >= GROUP_ERRORS {
        return OffsetFetchResponse {
            error_code: error.code(),
            ..OffsetFetchResponse::default()
        };
    }
    let topics = group.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        OffsetFetchResponseTopic {
            name: topic.name,
            partitions: partitions
                .map(|index| OffsetFetchResponsePartition {
                    partition_index: index,
                    committed_offset: -1,
                    committed_leader_epoch: -1,
                    metadata: Some(""),
                    error_code: error.code(),
                })
                .collect(),
        }
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        ..OffsetFetchResponse::default()
    }
}

fn old<'r>(told: &OffsetFetchResponsePartitions<'r>) -> OffsetFetchResponsePartition<'r> {
    OffsetFetchResponsePartition {
        partition_index: told.partition_index,
        committed_offset: told.committed_offset,
        committed_leader_epoch: told.committed_leader_epoch,
        metadata: told.metadata,
        error_code: told.error_code,
    }
}
