//! Fetch (key 1), versions 4 to 18: read record batches, waiting for them if need be.
//!
//! - Waits for `min_bytes` up to `max_wait_ms`, and no longer than the client stays and the server
//!   runs. At least one whole batch comes back, however large, of the first partition that has one
//!   (KIP-74); otherwise `max_bytes` (and `fetch.max.bytes`) and each partition's own limit hold. A fetch
//!   inside a batch gets the whole batch.
//! - Partitions answer in the order of the request. One that cannot be read ends the wait, so that its
//!   client hears of it at once; unknown topics and partitions do not, as in Kafka.
//! - 7+ sessions (KIP-227): every answer is a full one, with session id 0, which a client takes for "no
//!   session to be had". One that continues a session gets `FETCH_SESSION_ID_NOT_FOUND` and starts over.
//! - 9+ the client's idea of the leader's epoch (KIP-320): older is `FENCED_LEADER_EPOCH` (from 16 on
//!   with the current one, KIP-951), newer `UNKNOWN_LEADER_EPOCH`.
//! - 12+ the epoch of the last record fetched: if the log went another way since, the answer says
//!   where (KIP-595) instead of records.
//! - Up to 12 topics have names, from 13 on ids (KIP-516): an unknown id is `UNKNOWN_TOPIC_ID`.
//! - Up to 5 the storage error is `NOT_LEADER_OR_FOLLOWER`, which those clients retry.
//! - Read uncommitted has null as list of aborted transactions, read committed has a list, empty as
//!   long as there are no transactions.
//! - Fetches of followers are answered with `NOT_LEADER_OR_FOLLOWER`: nobody follows this broker.

mod answer;

use std::sync::Arc;

use ottla_broker::api::{
    FetchPartition, FetchRequest as Read, Image, Isolation, PartitionRef, TopicImage,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::ids::{LeaderEpoch, Offset, PartitionIndex};
use ottla_model::marks::Marks;
use ottla_model::uuid::Uuid;
use ottla_wire::fetch::{EpochEndOffset, FetchRequest, FetchResponse, FetchTopic};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration, Reply};
use crate::close::CloseReason;
use crate::error_map::{self, ErrorCode};
use answer::respond;

pub(super) const API: Registration = Registration {
    key: ApiKey::Fetch,
    versions: 4..=18,
    advertised_min: 4,
    needs: (Operation::Read, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "no sessions yet: every fetch is a full one",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            FetchRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        // 0 asks for a session, -1 for none. Before version 7 there are none, and it reads as -1.
        if !matches!(request.session_epoch, 0 | -1) {
            let response = FetchResponse {
                error_code: ErrorCode::FetchSessionIdNotFound.code(),
                ..FetchResponse::default()
            };
            return call.answer(|w, version| response.encode(w, version));
        }
        fetch(call, &request).await
    })
}

async fn fetch(call: &Call<'_>, request: &FetchRequest<'_>) -> Result<Reply, CloseReason> {
    let image = call.broker().image();
    let mut slots = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut partitions = Vec::new();
    let mut at_once = false;
    for (place, topic) in request.topics.iter().enumerate() {
        let found = find_topic(&image, topic, call.version);
        for asked in &topic.partitions {
            let index = PartitionIndex(asked.partition);
            let judged = judge(call, request, found, index, asked);
            at_once |= matches!(judged, Judged::Refused(..) | Judged::Diverging(..));
            let content = match judged {
                Judged::Unknown(code) => Content::Unknown(code),
                Judged::Refused(code, current) => Content::Refused(code, current),
                Judged::Diverging(end, marks) => Content::Diverging(end, marks),
                Judged::Readable(partition) => {
                    partitions.push(FetchPartition {
                        partition,
                        offset: Offset(asked.fetch_offset),
                        bytes_max: bytes(asked.partition_max_bytes),
                    });
                    Content::Read(partitions.len() - 1)
                }
            };
            slots.push(Slot {
                topic: place,
                index,
                content,
            });
        }
        topics.push(found);
    }

    let bytes_max = bytes(request.max_bytes).min(call.gateway.options().fetch_bytes_max);
    let mut read = Read {
        // Nothing to read is nothing to wait for.
        wait_ms_max: if at_once || partitions.is_empty() {
            0
        } else {
            u64::try_from(request.max_wait_ms).unwrap_or(0)
        },
        partitions,
        bytes_min: bytes(request.min_bytes).min(bytes_max),
        bytes_max,
        isolation: if request.isolation_level == 1 {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        },
    };
    let outcome = tokio::select! {
        biased;
        outcome = call.broker().fetch(&call.permit, &read) => Some(outcome),
        () = call.hurried(), if read.wait_ms_max > 0 => None,
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            read.wait_ms_max = 0;
            call.broker().fetch(&call.permit, &read).await
        }
    };
    respond(call, request, &slots, outcome)
}

/// One partition of the answer.
struct Slot {
    /// Place of its topic in the request.
    topic: usize,
    index: PartitionIndex,
    content: Content,
}

enum Content {
    /// The outcome at this place.
    Read(usize),
    Unknown(ErrorCode),
    /// With the current epoch of the leader, if the client is behind it.
    Refused(ErrorCode, Option<LeaderEpoch>),
    Diverging(EpochEndOffset, Marks),
}

enum Judged {
    /// There is no such partition.
    Unknown(ErrorCode),
    /// There is, and it cannot be read so.
    Refused(ErrorCode, Option<LeaderEpoch>),
    Diverging(EpochEndOffset, Marks),
    Readable(PartitionRef),
}

/// `max_bytes` and the like: below 0 is nothing.
fn bytes(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

fn find_topic<'i>(
    image: &'i Image,
    topic: &FetchTopic<'_>,
    version: i16,
) -> Option<&'i Arc<TopicImage>> {
    if version >= 13 {
        image.topic_by_id(topic.topic_id)
    } else {
        image.topic(topic.topic)
    }
}

fn judge(
    call: &Call<'_>,
    request: &FetchRequest<'_>,
    topic: Option<&Arc<TopicImage>>,
    index: PartitionIndex,
    asked: &ottla_wire::fetch::FetchPartition,
) -> Judged {
    let Some(topic) = topic else {
        return Judged::Unknown(if call.version >= 13 {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        });
    };
    if topic.partition(index).is_none() {
        return Judged::Unknown(ErrorCode::UnknownTopicOrPartition);
    }
    let replica = if call.version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    let open = call.broker().partition(topic.id, index);
    let Some(partition) = open.filter(|_| replica < 0) else {
        return Judged::Refused(ErrorCode::NotLeaderOrFollower, None);
    };
    if let Some(code) =
        error_map::epoch(partition.check_epoch(LeaderEpoch(asked.current_leader_epoch)))
    {
        let current = (code == ErrorCode::FencedLeaderEpoch).then(|| partition.leader_epoch());
        return Judged::Refused(code, current);
    }
    match diverging(call, &partition, asked) {
        Some(judged) => judged,
        None => Judged::Readable(partition),
    }
}

/// Whether the client's log, whose last record has the epoch that it names, is one that this log
/// continues (Kafka `Partition.readRecords`).
fn diverging(
    call: &Call<'_>,
    partition: &PartitionRef,
    asked: &ottla_wire::fetch::FetchPartition,
) -> Option<Judged> {
    if asked.last_fetched_epoch < 0 {
        return None;
    }
    let out_of_range = Judged::Refused(ErrorCode::OffsetOutOfRange, None);
    let Some(end) = call.broker().epoch_end(
        &call.permit,
        partition,
        LeaderEpoch(asked.last_fetched_epoch),
    ) else {
        return Some(out_of_range);
    };
    let marks = partition.marks();
    if asked.fetch_offset < marks.log_start.0 {
        return Some(out_of_range);
    }
    (end.leader_epoch.0 < asked.last_fetched_epoch || end.end.0 < asked.fetch_offset).then(|| {
        Judged::Diverging(
            EpochEndOffset {
                epoch: end.leader_epoch.0,
                end_offset: end.end.0,
            },
            marks,
        )
    })
}

/// Which topic an answer belongs to, as the request called it.
fn name_of<'r>(topic: &FetchTopic<'r>) -> (&'r str, Uuid) {
    (topic.topic, topic.topic_id)
}
