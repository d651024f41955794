//! OffsetDelete (key 47), version 0: a group forgets offsets (KIP-496). Not of topics that its members
//! subscribe to; partitions that do not exist are refused one by one.

use std::sync::Arc;

use ottla_broker::api::{DeleteOffsets, GroupId};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::ids::PartitionIndex;
use ottla_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::OffsetDelete,
    versions: 0..=0,
    needs: (Operation::Delete, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            OffsetDeleteRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let image = call.broker().image();
        let exists = |topic: &str, index: i32| {
            let topic = image.topic(topic);
            topic.is_some_and(|topic| topic.partition(PartitionIndex(index)).is_some())
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|p| p.partition_index);
            let partitions = partitions.filter(|index| exists(topic.name, *index));
            (Arc::from(topic.name), partitions.collect())
        });
        let delete = DeleteOffsets {
            group: GroupId::from(request.group_id),
            topics: topics.collect(),
        };
        let deleted = call.broker().delete_offsets(&call.permit, delete).await;
        let results = match deleted {
            Ok(results) => results,
            Err(error) => {
                let response = OffsetDeleteResponse {
                    error_code: error_map::group_error(&error).code(),
                    ..OffsetDeleteResponse::default()
                };
                return call.answer(|w, version| response.encode(w, version));
            }
        };
        let topics = request.topics.iter().zip(results).map(|(topic, results)| {
            let mut results = results.into_iter();
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let code = if exists(topic.name, index) {
                    match results.next() {
                        Some(Err(refusal)) => error_map::group(&refusal),
                        Some(Ok(())) | None => ErrorCode::None,
                    }
                } else {
                    ErrorCode::UnknownTopicOrPartition
                };
                OffsetDeleteResponsePartition {
                    partition_index: index,
                    error_code: code.code(),
                }
            });
            OffsetDeleteResponseTopic {
                name: topic.name,
                partitions: partitions.collect(),
            }
        });
        let response = OffsetDeleteResponse {
            // As in Kafka, a topic of which nothing was asked has no place in the answer.
            topics: topics
                .filter(|topic| !topic.partitions.is_empty())
                .collect(),
            ..OffsetDeleteResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}
