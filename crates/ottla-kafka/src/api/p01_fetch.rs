//! Fetch (key 1), versions 0 to 18: read record batches, waiting for them if need be.
//!
//! - Waits for `min_bytes` up to `max_wait_ms`, and no longer than the client stays and the server
//!   runs. At least one whole batch comes back, however large, of the first partition that has one
//!   (KIP-74); otherwise `max_bytes` (and `fetch.max.bytes`) and each partition's own limit hold. A fetch
//!   inside a batch gets the whole batch.
//! - Partitions answer in the order of the request or session, those that do not exist last. One that
//!   cannot be read ends the wait, so that its client hears of it at once; unknown topics and partitions
//!   do not, as in Kafka. A partition that is named twice is asked for as it says last.
//! - 7+ sessions (KIP-227): see [`crate::fetch_sessions`]. Only partitions that moved or were asked anew
//!   are looked at.
//! - 9+ the client's idea of the leader's epoch (KIP-320): older is `FENCED_LEADER_EPOCH` (from 16 on
//!   with the current one, KIP-951), newer `UNKNOWN_LEADER_EPOCH`.
//! - 12+ the epoch of the last record fetched: if the log went another way since, the answer says
//!   where (KIP-595) instead of records.
//! - Up to 3 a client gets message sets, and up to 9 no zstd: see `old_formats`.
//! - Up to 12 topics have names, from 13 on ids (KIP-516): an unknown id is `UNKNOWN_TOPIC_ID`.
//! - Up to 5 the storage error is `NOT_LEADER_OR_FOLLOWER`, which those clients retry.
//! - Read uncommitted has null as list of aborted transactions, read committed has a list, empty as
//!   long as there are no transactions.
//! - Fetches of followers are answered with `NOT_LEADER_OR_FOLLOWER`: nobody follows this broker.
//! - Versions: 1 has the throttle time, 3 `max_bytes`, 4 the isolation level (KIP-98), 5 the log start
//!   offset, 10 zstd (KIP-110), 11 the client's rack (KIP-392), 12 is flexible, 14 knows of tiered storage
//!   (KIP-405), 16 the leader's address; 15, 17 and 18 are news for followers (KIP-903, KIP-853,
//!   KIP-1166). 2, 6 and 8 change nothing here.

mod answer;
mod judge;
mod old_formats;

use std::collections::HashMap;
use std::sync::Arc;

use ottla_broker::api::{
    FetchPartition, FetchRefusal, FetchRequest as Read, Fetched, Interest, Isolation,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_broker::random_uuid;
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::marks::Marks;
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;
use ottla_wire::fetch::{EpochEndOffset, FetchRequest, FetchResponse};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration, Reply};
use crate::close::CloseReason;
use crate::error_map::{self, ErrorCode};
use crate::fetch_sessions::{self as sessions, Asked, Link, Poll, Standing, Tidings, TopicKey};
use answer::respond;
use judge::{Judged, judge};

pub(super) const API: Registration = Registration {
    key: ApiKey::Fetch,
    versions: 0..=18,
    needs: (Operation::Read, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            FetchRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        fetch(call, &request).await
    })
}

async fn fetch(call: &Call<'_>, request: &FetchRequest<'_>) -> Result<Reply, CloseReason> {
    let cache = call.gateway.fetch_sessions();
    let clock = call.broker().clock();
    let metrics = call.gateway.metrics();
    let terms = session_request(call, request);
    let reader = terms.reader;
    let begun = cache.begin(terms, clock.mono());
    if request.session_id != 0 {
        cache.show(|figures| metrics.fetch_sessions(figures));
    }
    let mut poll = match begun {
        Ok(poll) => poll,
        Err(error) => return refuse(call, error_map::fetch_session(error), 0),
    };
    let parts = read(call, request, reader, &mut poll).await;
    let tidings: Vec<_> = parts.iter().map(Part::tidings).collect();
    let finished = cache.finish(poll, &tidings, clock.mono(), session_id);
    if request.session_epoch == 0 {
        cache.show(|figures| metrics.fetch_sessions(figures));
    }
    match finished {
        Ok(answer) => respond(call, parts, &answer, reader.is_committed),
        Err(late) => refuse(call, ErrorCode::InvalidFetchSessionEpoch, late.session_id),
    }
}

/// An answer without partitions.
fn refuse(call: &Call<'_>, error: ErrorCode, session_id: i32) -> Result<Reply, CloseReason> {
    let response = FetchResponse {
        error_code: error.code(),
        session_id,
        ..FetchResponse::default()
    };
    call.answer(|w, version| response.encode(w, version))
}

/// What the fetch found of one partition.
struct Part {
    key: u64,
    topic: TopicKey,
    partition: i32,
    name: Option<TopicName>,
    content: Content,
    settled: bool,
}

enum Content {
    Read(Result<Fetched, FetchRefusal>),
    Unknown(ErrorCode),
    /// With the current epoch of the leader, if the client is behind it.
    Refused(ErrorCode, Option<LeaderEpoch>),
    Diverging(EpochEndOffset, Marks),
}

/// Looks at what is due, and at what moves while the fetch waits.
async fn read(
    call: &Call<'_>,
    request: &FetchRequest<'_>,
    reader: sessions::Reader,
    poll: &mut Poll<Interest>,
) -> Vec<Part> {
    let image = call.broker().image();
    let mut parts = Vec::with_capacity(poll.due.len());
    let mut names = HashMap::new();
    let mut partitions = Vec::new();
    let mut at_once = false;
    let due = std::mem::take(&mut poll.due);
    // Nothing to read is nothing to wait for; but what is settled can still move.
    let mut is_waiting = poll.holds_more_than(due.len());
    for due in due {
        let (judged, name) = judge(call, &image, reader.is_follower, &due);
        at_once |= matches!(judged, Judged::Refused(..) | Judged::Diverging(..));
        let content = match judged {
            Judged::Readable(partition) => {
                is_waiting = true;
                partitions.push(FetchPartition {
                    key: due.key,
                    partition,
                    offset: Offset(due.asked.fetch_offset),
                    bytes_max: bytes(due.asked.bytes_max),
                });
                names.insert(due.key, (due.asked.topic, due.asked.partition, name));
                continue;
            }
            Judged::Unknown(code) => Content::Unknown(code),
            Judged::Refused(code, current) => Content::Refused(code, current),
            Judged::Diverging(end, marks) => Content::Diverging(end, marks),
        };
        poll.link.forget(due.key);
        parts.push(Part {
            key: due.key,
            topic: due.asked.topic,
            partition: due.asked.partition,
            name,
            content,
            settled: false,
        });
    }
    let bytes_max = bytes(request.max_bytes).min(call.gateway.options().fetch_bytes_max);
    let read = Read {
        wait_ms_max: if at_once || !is_waiting {
            0
        } else {
            u64::try_from(request.max_wait_ms).unwrap_or(0)
        },
        partitions,
        bytes_min: bytes(request.min_bytes).min(bytes_max),
        bytes_max,
        isolation: if reader.is_committed {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        },
        keep: poll.is_kept(),
    };
    let mut refused = HashMap::new();
    let outcome = match old_formats::format(call.version) {
        None => {
            call.broker()
                .fetch(&call.permit, &mut poll.link, &read, call.hurried())
                .await
        }
        Some(format) => old_formats::fetch(call, &mut poll.link, read, format, &mut refused).await,
    };
    for answer in outcome {
        let moved = || poll.called(answer.key).map(|(t, p)| (t, p, None));
        let Some((topic, partition, name)) = names.remove(&answer.key).or_else(moved) else {
            // Another request of the same fetch session took it out meanwhile.
            continue;
        };
        parts.push(Part {
            key: answer.key,
            topic,
            partition,
            name,
            content: match refused.remove(&answer.key) {
                Some(code) => Content::Refused(code, None),
                None => Content::Read(answer.answer),
            },
            settled: answer.settled,
        });
    }
    parts
}

impl Part {
    /// What the session has to know of it.
    fn tidings(&self) -> Tidings {
        let (standing, high_watermark, log_start, has_records) = match &self.content {
            Content::Read(Ok(fetched)) => (
                Standing::Readable,
                fetched.high_watermark.0,
                fetched.log_start.0,
                fetched.read.length_bytes() > 0,
            ),
            Content::Diverging(_, marks) => {
                let (durable, log_start) = (marks.durable.0, marks.log_start.0);
                (Standing::Diverging, durable, log_start, false)
            }
            Content::Read(Err(_)) | Content::Refused(..) => (Standing::Refused, -1, -1, false),
            Content::Unknown(_) => (Standing::Unknown, -1, -1, false),
        };
        Tidings {
            key: self.key,
            standing,
            high_watermark,
            log_start,
            has_records,
            settled: self.settled,
            name: self.name.clone(),
        }
    }
}

impl Link for Interest {
    fn forget(&mut self, key: u64) {
        Interest::forget(self, key);
    }
    fn take_moved(&mut self) -> Vec<u64> {
        Interest::take_moved(self)
    }
}

fn session_request(call: &Call<'_>, request: &FetchRequest<'_>) -> sessions::Request {
    let by_id = call.version >= 13;
    let key = |name: &str, id: Uuid| {
        if by_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(Arc::from(name))
        }
    };
    let mut asked = Vec::new();
    for topic in &request.topics {
        let topic_key = key(topic.topic, topic.topic_id);
        asked.extend(topic.partitions.iter().map(|partition| Asked {
            topic: topic_key.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let topic_key = key(topic.topic, topic.topic_id);
        let partitions = topic.partitions.iter();
        forgotten.extend(partitions.map(|partition| (topic_key.clone(), partition)));
    }
    let replica = if call.version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    sessions::Request {
        session_id: request.session_id,
        // Before version 7 there are no sessions, and it reads as -1.
        session_epoch: request.session_epoch,
        by_id,
        reader: sessions::Reader {
            is_follower: replica >= 0,
            is_committed: request.isolation_level == 1,
        },
        asked,
        forgotten,
    }
}

/// A number for a session that nobody can guess.
fn session_id() -> i32 {
    let [a, b, c, d, ..] = random_uuid().0;
    i32::from_be_bytes([a, b, c, d])
}

/// `max_bytes` and the like: below 0 is nothing.
fn bytes(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or(0)
}
