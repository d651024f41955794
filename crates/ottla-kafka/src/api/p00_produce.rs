//! Produce (key 0), versions 0 to 13: append record batches.
//!
//! - A batch is checked on the connection's own task and submitted with its neighbours of the same
//!   read, so that all of them become one write per partition. The answer leaves when the log is where
//!   `acks` asks for: 0 written and never answered, 1 written, -1 durable. Whatever goes wrong with
//!   `acks=0` closes the connection, which is the only thing that such a client can notice.
//! - `acks` other than -1, 0 and 1 is `INVALID_REQUIRED_ACKS` for every partition that exists.
//! - Up to 12 topics have names, from 13 on ids (KIP-516): an unknown name is
//!   `UNKNOWN_TOPIC_OR_PARTITION`, an unknown id `UNKNOWN_TOPIC_ID`. Both are retried by clients, and so
//!   is `NOT_LEADER_OR_FOLLOWER`, for a partition that is not open (yet). The hint of 10+ where the
//!   leader is instead (KIP-951) is left out: there is no other broker.
//! - A partition that occurs twice gets the last of its batches, as in Kafka.
//! - 7+ may carry zstd. 8+ names the records at fault and says why (KIP-467).
//! - Transactional batches without a transactional id are refused whole, with
//!   `TRANSACTIONAL_ID_AUTHORIZATION_FAILED` as in Kafka; those with one get `INVALID_TXN_STATE`: no
//!   transaction can be open, because InitProducerId opens none yet.
//! - Kafka answers `UNKNOWN_SERVER_ERROR` to compression that it cannot undo; here it is
//!   `INVALID_RECORD`, which no client retries.
//! - A Kafka of one broker never answers `REQUEST_TIMED_OUT`, because its appends wait for no disk.
//!   Here a disk that hangs for longer than `timeout_ms` does it. While as much waits for the disk as
//!   `queued.max.request.bytes` allows, a request waits on its connection, and nothing more is read from it:
//!   with `acks=-1` for as long as `timeout_ms` says, and then nothing of it was appended.
//! - 0 to 2 carry message sets of format v0 and v1, which become record batches before anything else
//!   (`ottla_codec::upgrade`). Kafka served them up to 3.9; Kafka 4 advertises them (KAFKA-18659:
//!   librdkafka up to 2.11 takes a broker whose Produce does not start at 0 for one without
//!   compression) and closes the connection. An empty set is acknowledged with offset -1. What such a
//!   client sends in format 2 is judged as in version 3. From 3 on nothing older than format 2 passes.
//! - Versions: 1 has the throttle time, 2 the append time, 3 record batches and a transactional id
//!   (KIP-98), 4 may answer `KAFKA_STORAGE_ERROR` (KIP-112), 5 has the log start offset, 9 is flexible,
//!   11 may answer `TRANSACTION_ABORTABLE`, 12 adds partitions to transactions by itself (KIP-890). 6 and
//!   10 (but for its hint) change nothing.

mod asked;
mod heavy;
mod judge;
mod pending;

use std::cell::Cell;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_broker::api::{Burst, Image, Wait};
use ottla_broker::authorize::{Operation, Permit, ResourceKind};
use ottla_model::time::WallMs;
use ottla_wire::ApiKey;
use tokio::time::{Duration, Instant, timeout_at};

use super::{Handler, Registration};
use crate::close::CloseReason;
use crate::error_map::ErrorCode;
use crate::gateway::Gateway;
use asked::{Asked, Cuts, repeated};
use judge::{Batch, Verdict};
pub(crate) use pending::Pending;
use pending::{Label, Origin, Partition, Refused, State};

pub(super) const API: Registration = Registration {
    key: ApiKey::Produce,
    versions: 0..=13,
    needs: (Operation::Write, ResourceKind::Topic),
    handler: Handler::Submit(judge),
    note: "no transactions yet; 0 to 2 are served as by Kafka up to 3.9",
};

/// Judges a request. What it cannot take is in the answer; only what cannot be read is an error.
pub(crate) type Judge = fn(&Submission<'_>, Request) -> Result<Judged, CloseReason>;

/// A request whose header was read.
pub(crate) struct Request {
    pub(crate) body: BytesMut,
    /// Of the whole frame.
    pub(crate) bytes: usize,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) permit: Permit,
    pub(crate) client_id: Option<Arc<str>>,
}

/// Consecutive requests of one read: their appends run together.
pub(crate) struct Submission<'g> {
    gateway: &'g Gateway,
    burst: Burst<'g>,
    /// Read once: what all of them are judged by.
    image: Arc<Image>,
    now: WallMs,
    started: Instant,
    /// What may still be decompressed on the network's own threads.
    inline_bytes_left: Cell<usize>,
}

impl<'g> Submission<'g> {
    pub(crate) fn open(gateway: &'g Gateway) -> Submission<'g> {
        let broker = gateway.broker();
        Submission {
            gateway,
            burst: broker.burst(),
            image: broker.image(),
            now: broker.clock().now().wall,
            started: Instant::now(),
            inline_bytes_left: Cell::new(gateway.options().decompressed_inline_bytes_max),
        }
    }

    /// True if one more may be submitted.
    pub(crate) fn has_room(&self) -> bool {
        self.gateway.broker().has_append_room()
    }

    /// Runs all appends that were submitted.
    pub(crate) fn run(self) {
        self.burst.run();
    }
}

/// A request whose batches were looked at, and of which nothing was submitted yet.
pub(crate) struct Judged {
    origin: Origin,
    labels: Vec<Label>,
    permit: Permit,
    wait: Wait,
    partitions: Vec<JudgedPartition>,
}

struct JudgedPartition {
    /// Place of the topic in `labels`.
    topic: usize,
    index: i32,
    verdict: Verdict,
}

fn judge(submission: &Submission<'_>, request: Request) -> Result<Judged, CloseReason> {
    let asked = Asked::read(&request.body, request.version, &submission.image)?;
    let mut cuts = Cuts::of(request.body);
    let repeated = repeated(&asked);
    let wait = match asked.acks {
        // As in Kafka: a write that fails closes the connection.
        0 => Some(Wait::Written),
        1 => Some(Wait::Written),
        -1 => Some(Wait::Durable),
        _ => None,
    };
    let mut partitions = Vec::with_capacity(asked.partitions.len());
    for (place, partition) in asked.partitions.into_iter().enumerate() {
        let records = partition.records.map(|range| cuts.cut(range));
        if repeated.contains(&place) {
            continue;
        }
        let batch = Batch {
            topic: &asked.labels[partition.topic],
            index: partition.index,
            records: records.unwrap_or_default(),
            version: request.version,
            client_id: request.client_id.as_deref(),
            acks_exist: wait.is_some(),
        };
        let verdict = match &asked.refused {
            Some(refused) => Verdict::Refused(refused.clone()),
            None => batch.judge(submission),
        };
        partitions.push(JudgedPartition {
            topic: partition.topic,
            index: partition.index,
            verdict,
        });
    }

    let timeout_ms = u64::try_from(asked.timeout_ms)
        .unwrap_or(0)
        .max(submission.gateway.options().produce_timeout_ms_min);
    let deadline = (wait == Some(Wait::Durable))
        .then(|| submission.started + Duration::from_millis(timeout_ms));
    Ok(Judged {
        origin: Origin {
            version: request.version,
            correlation_id: request.correlation_id,
            client_id: request.client_id,
            bytes: request.bytes,
            acks: asked.acks,
            deadline,
        },
        labels: asked.labels,
        permit: request.permit,
        // Of acks that do not exist every partition is refused.
        wait: wait.unwrap_or(Wait::None),
        partitions,
    })
}

impl Judged {
    /// True if it can be submitted as it is; otherwise [`finish`](Self::finish) comes first: some batch
    /// is not judged to its end, or the disk does not keep up.
    pub(crate) fn is_ready(&self, submission: &Submission<'_>) -> bool {
        let mut verdicts = self.partitions.iter().map(|partition| &partition.verdict);
        submission.has_room() && !verdicts.any(|verdict| matches!(verdict, Verdict::Heavy(_)))
    }

    /// Judges to the end what takes too long for the network's threads, and waits for room.
    pub(crate) async fn finish(mut self, gateway: &Gateway) -> Judged {
        let mut finished = Vec::with_capacity(self.partitions.len());
        for partition in self.partitions {
            let verdict = match partition.verdict {
                Verdict::Heavy(heavy) => heavy.finish(gateway, self.origin.deadline).await,
                light => light,
            };
            finished.push(JudgedPartition {
                verdict,
                ..partition
            });
        }
        self.partitions = finished;
        let room = gateway.broker().append_room();
        match self.origin.deadline {
            None => room.await,
            Some(deadline) => {
                if timeout_at(deadline, room).await.is_err() {
                    self.time_out();
                }
            }
        }
        self
    }

    /// Takes nothing of what was judged good: the client may send it again.
    fn time_out(&mut self) {
        for partition in &mut self.partitions {
            if matches!(partition.verdict, Verdict::Taken(_)) {
                let message = "the disk does not keep up";
                let refused = Refused::new(ErrorCode::RequestTimedOut, message);
                partition.verdict = Verdict::Refused(refused);
            }
        }
    }

    /// Submits what was taken.
    pub(crate) fn submit(self, submission: &mut Submission<'_>) -> Pending {
        let Judged {
            origin,
            labels,
            permit,
            wait,
            partitions,
        } = self;
        let partitions = partitions.into_iter().map(|judged| {
            let state = match judged.verdict {
                Verdict::Taken(taken) => {
                    let burst = &mut submission.burst;
                    let receipt = burst.append(
                        &permit,
                        &taken.partition,
                        taken.batch,
                        wait,
                        taken.append_time,
                    );
                    State::Waiting(receipt, taken.partition)
                }
                Verdict::Nothing => State::Nothing,
                Verdict::Refused(refused) => State::Refused(refused),
                Verdict::Heavy(heavy) => State::Refused(heavy.unfinished()),
            };
            Partition {
                topic: judged.topic,
                index: judged.index,
                state,
            }
        });
        let partitions = partitions.collect();
        Pending::new(origin, labels, partitions)
    }
}
