//! ListOffsets (key 2), versions 0 to 11: which offset belongs to a time, or to an end of the log.
//!
//! | timestamp | from | answers |
//! |--|--|--|
//! | -1 latest | 1 | the end, once all that is written is durable: who just wrote finds its own record. Timestamp -1 |
//! | -2 earliest | 1 | the log start offset. Timestamp -1 |
//! | -3 (KIP-734) | 7 | the first record with the largest timestamp, and that |
//! | -4 earliest local | 8 | as -2: nothing is tiered |
//! | -5 latest tiered (KIP-1005) | 9 | offset -1: nothing is tiered |
//! | -6 earliest pending upload (KIP-1023) | 11 | offset -1: nothing is tiered |
//! | 0 and above | 1 | the first record of that time or later, and its timestamp; offset -1 if there is none |
//!
//! 0 answers several offsets, see `segments`. A special time that the version does not have is
//! `UNSUPPORTED_VERSION`, a partition that occurs twice `INVALID_REQUEST`. Each topic and each partition is
//! answered once, a topic without partitions not at all. 2+ has the isolation level: without transactions
//! both levels see the same. 4+ takes the client's idea of the leader's epoch and answers the record's
//! (KIP-320). 10+ has a timeout, for tiered storage.
//!
//! 6 is flexible, 5 may answer `OFFSET_NOT_AVAILABLE`, which one broker never has to (KIP-207); 3 changes
//! nothing here.

mod segments;

use futures_util::future::join_all;
use hashbrown::{HashMap, HashSet};
use ottla_broker::api::{Image, OffsetQuery, PartitionRef};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::ids::{LeaderEpoch, PartitionIndex};
use ottla_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::ListOffsets,
    versions: 0..=11,
    needs: (Operation::Describe, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            ListOffsetsRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let repeated = repeated(&request);
        let mut said = HashSet::new();
        let image = call.broker().image();
        let mut asking = Vec::new();
        for topic in &request.topics {
            for asked in &topic.partitions {
                let key = (topic.name, asked.partition_index);
                let is_repeated = call.version > 0 && repeated.contains(&key);
                if is_repeated && !said.insert(key) {
                    continue;
                }
                let image = &image;
                asking.push(async move {
                    let index = asked.partition_index;
                    let answer = if call.version == 0 {
                        segments::answer(call, image, topic.name, asked).await
                    } else if is_repeated {
                        response(index, Err(ErrorCode::InvalidRequest))
                    } else {
                        response(index, find(call, image, topic.name, asked).await)
                    };
                    (topic.name, answer)
                });
            }
        }
        let mut topics: Vec<ListOffsetsTopicResponse<'_>> =
            Vec::with_capacity(request.topics.len());
        let mut places = HashMap::new();
        // Each may wait for a sync: together they wait for one.
        for (name, answer) in join_all(asking).await {
            let place = *places.entry(name).or_insert_with(|| {
                topics.push(ListOffsetsTopicResponse {
                    name,
                    partitions: Vec::new(),
                });
                topics.len() - 1
            });
            topics[place].partitions.push(answer);
        }
        let response = ListOffsetsResponse {
            throttle_time_ms: 0,
            topics,
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

/// Offset, timestamp and epoch, each -1 if there is none.
type Found = (i64, i64, i32);

const NOTHING: Found = (-1, -1, -1);

/// First version whose answer has an epoch (KIP-320).
const LEADER_EPOCH_SINCE: i16 = 4;

async fn find(
    call: &Call<'_>,
    image: &Image,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Found, ErrorCode> {
    let query = query(asked.timestamp, call.version)?;
    let partition = partition_of(call, image, topic, asked.partition_index)?;
    if let Some(code) =
        error_map::epoch(partition.check_epoch(LeaderEpoch(asked.current_leader_epoch)))
    {
        return Err(code);
    }
    let Some(query) = query else {
        return Ok(NOTHING);
    };
    let found = call
        .broker()
        .find_offset(&call.permit, &partition, query)
        .await;
    let found = found.map_err(|fault| error_map::storage(&fault))?;
    Ok(found.map_or(NOTHING, |found| {
        let epoch = match found.leader_epoch {
            Some(epoch) if call.version >= LEADER_EPOCH_SINCE => epoch,
            _ => LeaderEpoch::NONE,
        };
        (found.offset.0, found.timestamp_ms.unwrap_or(-1), epoch.0)
    }))
}

/// The partition, if it is there and open.
fn partition_of(
    call: &Call<'_>,
    image: &Image,
    topic: &str,
    index: i32,
) -> Result<PartitionRef, ErrorCode> {
    let topic = image
        .topic(topic)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let index = PartitionIndex(index);
    topic
        .partition(index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    call.broker()
        .partition(topic.id, index)
        .ok_or(ErrorCode::NotLeaderOrFollower)
}

/// What a timestamp asks for; `None` if there never is anything.
fn query(timestamp: i64, version: i16) -> Result<Option<OffsetQuery>, ErrorCode> {
    let (since, query) = match timestamp {
        0.. => (1, Some(OffsetQuery::AtOrAfter(timestamp))),
        -1 => (1, Some(OffsetQuery::Latest)),
        -2 => (1, Some(OffsetQuery::Earliest)),
        -3 => (7, Some(OffsetQuery::MaxTimestamp)),
        -4 => (8, Some(OffsetQuery::Earliest)),
        -5 => (9, None),
        -6 => (11, None),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version < since {
        Err(ErrorCode::UnsupportedVersion)
    } else {
        Ok(query)
    }
}

fn response(
    partition_index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse<'static> {
    let (error, (offset, timestamp, leader_epoch)) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, NOTHING),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: error.code(),
        timestamp,
        offset,
        leader_epoch,
        ..ListOffsetsPartitionResponse::default()
    }
}

/// Partitions that the request asks for more than once.
fn repeated<'r>(request: &ListOffsetsRequest<'r>) -> HashSet<(&'r str, i32)> {
    let mut seen = HashSet::new();
    let mut repeated = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic.name, partition.partition_index);
            if !seen.insert(key) {
                repeated.insert(key);
            }
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_times_need_their_version() {
        for (timestamp, since, expected) in [
            (-1, 1, Some(OffsetQuery::Latest)),
            (-2, 1, Some(OffsetQuery::Earliest)),
            (-3, 7, Some(OffsetQuery::MaxTimestamp)),
            (-4, 8, Some(OffsetQuery::Earliest)),
            (-5, 9, None),
            (-6, 11, None),
            (0, 1, Some(OffsetQuery::AtOrAfter(0))),
            (i64::MAX, 1, Some(OffsetQuery::AtOrAfter(i64::MAX))),
        ] {
            for version in 1..=*API.versions.end() {
                let expected = if version < since {
                    Err(ErrorCode::UnsupportedVersion)
                } else {
                    Ok(expected)
                };
                assert_eq!(
                    query(timestamp, version),
                    expected,
                    "{timestamp} in version {version}"
                );
            }
        }
        for timestamp in [-7, i64::MIN] {
            assert_eq!(query(timestamp, 11), Err(ErrorCode::UnsupportedVersion));
        }
    }

    #[test]
    fn repeated_partitions_are_found_across_topics() {
        let partition = |partition_index| ListOffsetsPartition {
            partition_index,
            ..ListOffsetsPartition::default()
        };
        let topic = |name, partitions: &[i32]| ottla_wire::list_offsets::ListOffsetsTopic {
            name,
            partitions: partitions.iter().copied().map(partition).collect(),
        };
        let request = ListOffsetsRequest {
            topics: vec![
                topic("a", &[0, 1]),
                topic("b", &[0, 0]),
                topic("a", &[1, 2]),
            ],
            ..ListOffsetsRequest::default()
        };
        let mut found: Vec<_> = repeated(&request).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [("a", 1), ("b", 0)]);
    }
}
