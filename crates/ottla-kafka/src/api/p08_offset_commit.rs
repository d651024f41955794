//! OffsetCommit (key 8), versions 0 to 10: a group stores how far it has read.
//!
//! - Topics come by name, from 10 on by id (KIP-848); partitions that do not exist are refused one by one,
//!   and the rest is committed.
//! - 0 and 1, gone since Kafka 4.0, name no member or no retention; Kafka up to 3.9 stored version 0
//!   elsewhere, here it is a commit like any other. Up to 4 a client says how long to keep the offsets.
//! - 7+ knows static members (KIP-345). A group that is not there and a generation of its own: before 9
//!   `ILLEGAL_GENERATION`.

use std::sync::Arc;

use ottla_broker::api::{
    CommitOffsets, CommitPartition, CommitTopic, GroupId, InstanceId, MemberId, TopicImage,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::ids::PartitionIndex;
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::OffsetCommit,
    versions: 0..=10,
    needs: (Operation::Read, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "0 and 1 are served as by Kafka up to 3.9",
};

/// From this version on members of consumer groups name their epoch (KIP-848).
const MEMBER_EPOCHS: i16 = 9;
/// From this version on topics come by id.
const TOPIC_IDS: i16 = 10;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            OffsetCommitRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let image = call.broker().image();
        let mut topics: Vec<Asked<'_>> = request
            .topics
            .iter()
            .map(|topic| {
                let found = if call.version >= TOPIC_IDS {
                    image.topic_by_id(topic.topic_id)
                } else {
                    image.topic(topic.name)
                };
                Asked::new(topic, found.map(Arc::as_ref), call.version)
            })
            .collect();
        let commit = CommitOffsets {
            group: GroupId::from(request.group_id),
            member: MemberId::from(request.member_id),
            instance: request.group_instance_id.map(InstanceId::from),
            generation: request.generation_id_or_member_epoch,
            knows_epochs: call.version >= MEMBER_EPOCHS,
            retention_ms: Some(request.retention_time_ms).filter(|ms| *ms != -1),
            topics: topics.iter_mut().filter_map(|t| t.commit.take()).collect(),
        };
        // As in Kafka, nobody is asked if nothing is left to commit.
        if !commit.topics.is_empty() {
            let results = call.broker().commit_offsets(&call.permit, commit).await;
            let mut results = results.map(Vec::into_iter);
            for topic in topics.iter_mut().filter(|topic| topic.is_committed) {
                let codes: Vec<ErrorCode> = match &mut results {
                    Ok(results) => {
                        let results = results.next().unwrap_or_default().into_iter();
                        results
                            .map(|r| r.map_or_else(|e| error_map::group(&e), |()| ErrorCode::None))
                            .collect()
                    }
                    Err(error) => vec![error_map::commit(error, call.version); topic.codes.len()],
                };
                topic.answer(codes);
            }
        }
        let response = OffsetCommitResponse {
            topics: topics
                .into_iter()
                .map(Asked::response)
                // As in Kafka, a topic of which nothing was asked has no place in the answer.
                .filter(|topic| !topic.partitions.is_empty())
                .collect(),
            ..OffsetCommitResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

/// A topic of the request, and what becomes of it.
struct Asked<'r> {
    topic: &'r OffsetCommitRequestTopic<'r>,
    /// By partition, in order; `None` as long as the group has not answered.
    codes: Vec<Option<ErrorCode>>,
    commit: Option<CommitTopic>,
    is_committed: bool,
}

impl<'r> Asked<'r> {
    fn new(
        topic: &'r OffsetCommitRequestTopic<'r>,
        found: Option<&TopicImage>,
        version: i16,
    ) -> Asked<'r> {
        let unknown = match found {
            None if version >= TOPIC_IDS => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        };
        let exists = |index| found.is_some_and(|t| t.partition(PartitionIndex(index)).is_some());
        let codes: Vec<Option<ErrorCode>> = topic
            .partitions
            .iter()
            .map(|partition| (!exists(partition.partition_index)).then_some(unknown))
            .collect();
        let commit = found
            .filter(|_| codes.contains(&None))
            .map(|found| CommitTopic {
                name: Arc::from(found.name.as_str()),
                topic_id: found.id,
                partitions: topic
                    .partitions
                    .iter()
                    .filter(|partition| exists(partition.partition_index))
                    .map(|partition| CommitPartition {
                        partition: partition.partition_index,
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: Arc::from(partition.committed_metadata.unwrap_or_default()),
                    })
                    .collect(),
            });
        Asked {
            topic,
            codes,
            is_committed: commit.is_some(),
            commit,
        }
    }

    /// Fills in what the group says, partition by partition.
    fn answer(&mut self, codes: Vec<ErrorCode>) {
        let open = self.codes.iter_mut().filter(|code| code.is_none());
        for (open, code) in open.zip(codes) {
            *open = Some(code);
        }
    }

    fn response(self) -> OffsetCommitResponseTopic<'r> {
        let partitions = self.topic.partitions.iter().zip(self.codes);
        OffsetCommitResponseTopic {
            name: self.topic.name,
            topic_id: self.topic.topic_id,
            partitions: partitions
                .map(|(partition, code)| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: code.unwrap_or(ErrorCode::UnknownServerError).code(),
                })
                .collect(),
        }
    }
}
