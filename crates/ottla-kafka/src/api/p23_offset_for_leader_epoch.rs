//! OffsetForLeaderEpoch (key 23), versions 2 to 4: where an epoch of a partition's leader ended, by
//! which a consumer notices that its position was cut off (KIP-320).
//!
//! The answer is the largest epoch at or below the asked one and the offset after its last record; the
//! end of the log for the latest one; an epoch below the oldest ended where that begins. An epoch above
//! the latest one is (-1, -1), without an error. 3+ names a replica, which consumers leave out.
//!
//! Versions: 0 and 1 are gone since Kafka 4 (KIP-896), 2 takes the client's idea of the leader's epoch:
//! older is `FENCED_LEADER_EPOCH`, newer `UNKNOWN_LEADER_EPOCH`; 4 is flexible.

use ottla_broker::api::Image;
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::ids::{LeaderEpoch, PartitionIndex};
use ottla_wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::OffsetForLeaderEpoch,
    versions: 2..=4,
    needs: (Operation::Describe, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = OffsetForLeaderEpochRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let image = call.broker().image();
        let topics = request
            .topics
            .iter()
            .map(|topic| OffsetForLeaderTopicResult {
                topic: topic.topic,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|asked| end(call, &image, topic.topic, asked))
                    .collect(),
            });
        let response = OffsetForLeaderEpochResponse {
            throttle_time_ms: 0,
            topics: topics.collect(),
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn end(
    call: &Call<'_>,
    image: &Image,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let (code, (leader_epoch, end_offset)) = match find(call, image, topic, asked) {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, (-1, -1)),
    };
    EpochEndOffset {
        error_code: code.code(),
        partition: asked.partition,
        leader_epoch,
        end_offset,
    }
}

fn find(
    call: &Call<'_>,
    image: &Image,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let topic = image
        .topic(topic)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let index = PartitionIndex(asked.partition);
    topic
        .partition(index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = call
        .broker()
        .partition(topic.id, index)
        .ok_or(ErrorCode::NotLeaderOrFollower)?;
    if let Some(code) =
        error_map::epoch(partition.check_epoch(LeaderEpoch(asked.current_leader_epoch)))
    {
        return Err(code);
    }
    let end = call
        .broker()
        .epoch_end(&call.permit, &partition, LeaderEpoch(asked.leader_epoch));
    Ok(end.map_or((-1, -1), |end| (end.leader_epoch.0, end.end.0)))
}
