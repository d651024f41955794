//! The machine of a topic partition: who may append, what a retry gets, what a fetch may read.
//!
//! Owns the producer table: for each idempotent producer its epoch and its five newest batches, by
//! which a retry is told from a gap (KIP-98; Kafka `ProducerStateManager`, `ProducerAppendInfo`). The
//! log holds clients' batches only; their headers are the events, so the table is rebuilt by walking
//! headers.
//!
//! Guarantees: a batch that was acknowledged once is not stored a second time while its producer is
//! known and it is among that producer's five newest; nothing is accepted out of order; the
//! answer to a retry waits for the batch that it repeats, not only for the retry.
//! Never does: reading records, deciding on sizes or timestamps (`ottla-codec` and the gateway did),
//! opening transactions (refused until they exist).
//!
//! What a producer may send next, with `last` its newest sequence:
//!
//! | producer table says      | batch                            | verdict                        |
//! |--------------------------|----------------------------------|--------------------------------|
//! | nothing                  | any epoch, any sequence          | append                         |
//! | epoch e, batch in window | epoch e, same first and last     | duplicate: the original offset |
//! | epoch e                  | epoch e, first = `last` + 1      | append                         |
//! | epoch e                  | epoch e, any other first         | out of order sequence          |
//! | epoch e                  | epoch > e, first = 0             | append                         |
//! | epoch e                  | epoch > e, first > 0             | out of order sequence          |
//! | epoch e                  | epoch < e                        | invalid producer epoch         |
//!
//! "Nothing" accepts any sequence because the table may have forgotten the producer: idle for
//! `producer.id.expiration.ms`, or known only to a log that is gone (KAFKA-7190).

mod append;
mod producer;
mod read;
mod replay;
mod snapshot;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use ottla_model::batch::VerifiedBatch;
use ottla_model::ids::{Offset, ProducerEpoch, Sequence};
use ottla_model::marks::Marks;
use ottla_model::time::{MonoMs, Now, WallMs};

pub use producer::{BATCHES_RETAINED, StoredBatch};
pub use read::{FetchPlan, Isolation};
pub use snapshot::{ProducerEntry, Snapshot};

use crate::contract::{Cx, Decision, Event, Machine, NoRecord, Ticket, Wait};
use producer::Producers;

/// How long a producer may be idle before it is forgotten, unless configured otherwise
/// (`producer.id.expiration.ms`).
pub const PRODUCER_EXPIRATION_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

/// What a partition is asked.
#[derive(Debug)]
pub enum Command {
    /// Append a client's batch.
    Append {
        /// The batch, checked.
        batch: VerifiedBatch,
        /// What `acks` asks for.
        wait: Wait,
        /// `message.timestamp.type=LogAppendTime`: stamp the batch with the time of its turn.
        append_time: bool,
    },
    /// Where the log ends (ListOffsets with timestamp -1). Reads the written end and is answered when
    /// that is durable, so who asks finds its own record.
    Latest,
    /// Sets `producer.id.expiration.ms`, which holds for a producer from its next batch on. Volatile:
    /// whoever restores the machine sends it again if it differs from the default.
    SetProducerExpiration {
        /// The time to forget a producer after; at least 1.
        expiration_ms: u64,
    },
}

/// What a partition answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Command::Append`].
    Appended {
        /// Offset of the batch's first record: of the original, if this is a retry.
        base_offset: Offset,
        /// `log_append_time_ms` of the Produce response; `None` goes out as -1 (CreateTime). For a
        /// duplicate it is the largest timestamp of the original, whatever its type, as in Kafka.
        append_time: Option<WallMs>,
        /// First offset that may be read.
        log_start: Offset,
        /// Nothing was appended: the batch was there already.
        duplicate: bool,
    },
    /// To [`Command::Latest`].
    Latest {
        /// Offset that the next record gets.
        offset: Offset,
    },
    /// To [`Command::SetProducerExpiration`].
    ProducerExpirationSet,
}

/// Why a partition refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Sequences are missing between the producer's last batch and this one, or it is older than the
    /// window (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    OutOfOrderSequence {
        /// The only sequence that would do.
        expected: Sequence,
        /// That of the batch.
        got: Sequence,
    },
    /// A newer incarnation of the producer wrote already (`INVALID_PRODUCER_EPOCH`).
    InvalidProducerEpoch {
        /// Epoch of that incarnation.
        current: ProducerEpoch,
        /// Epoch of the batch.
        got: ProducerEpoch,
    },
    /// The batch is not one that a client may write (`INVALID_RECORD`).
    InvalidRecord(InvalidRecord),
    /// The batch is transactional and its producer has no open transaction here
    /// (`INVALID_TXN_STATE`).
    NoOpenTransaction,
    /// There is nothing at the offset, and never will be (`OFFSET_OUT_OF_RANGE`).
    OffsetOutOfRange {
        /// First offset that may be read.
        log_start: Offset,
        /// Offset that the next record gets.
        end: Offset,
    },
}

/// What is wrong with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidRecord {
    /// Control batches are written by brokers only.
    ControlBatch,
    /// The batch names a producer id and no sequence.
    NoSequence(Sequence),
}

/// A volatile event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Soft {
    /// The time, as often as forgetting idle producers needs it and before the first batch.
    Clock(Now),
    /// Forget the producers whose time has come, looking at so many at most.
    Sweep {
        /// The time.
        mono: MonoMs,
        /// How many to look at.
        checks_max: usize,
    },
    /// A new `producer.id.expiration.ms`.
    ProducerExpiration {
        /// The time to forget a producer after.
        expiration_ms: u64,
    },
}

/// A partition asks nothing of others.
#[derive(Clone, Copy, Debug)]
pub enum Effect {}

/// A question to a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// What a fetch at this offset may read.
    Fetch {
        /// Where the reader is.
        offset: Offset,
        /// What it wants to see of transactions.
        isolation: Isolation,
    },
}

/// The machine of a topic partition.
#[derive(Default, Debug)]
pub struct Partition {
    producers: Producers,
    /// End of the log as replayed.
    end: Offset,
    /// Events below this offset are in the state already, but for batches that the snapshot's file
    /// does not keep.
    restored_to: Offset,
}

impl Machine for Partition {
    type Command = Command;
    type Answer = Answer;
    type Refusal = Refusal;
    type Record = NoRecord;
    type Soft = Soft;
    type Effect = Effect;
    type Query = Query;
    type Plan = FetchPlan;
    type Snapshot = Snapshot;

    /// Kafka's `.snapshot` keeps one batch per producer of the five: the others are read back from
    /// the log. 16 MiB hold five batches of 1 MiB of a few producers, or of thousands at 1 KiB, and
    /// their headers are walked in a few ms.
    const REPLAY_BACK_BYTES: u64 = 16 << 20;

    fn decide(&self, to: Ticket, command: Command, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        match command {
            Command::Append {
                batch,
                wait,
                append_time,
            } => self.decide_append(to, batch, wait, append_time, cx, out),
            Command::Latest => out.answer(to, Answer::Latest { offset: cx.end }, Wait::Durable),
            Command::SetProducerExpiration { expiration_ms } => {
                self.decide_producer_expiration(to, expiration_ms, out);
            }
        }
    }

    fn expire(&self, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        self.decide_expire(cx, out);
    }

    fn deadline(&self) -> Option<MonoMs> {
        self.producers.deadline()
    }

    fn replay(&mut self, at: Offset, event: Event<'_, Self>) {
        match event {
            Event::Batch(head) => self.replay_batch(at, head),
            Event::Record(_, record) => match *record {},
            Event::Soft(soft) => self.replay_soft(soft),
        }
    }

    fn plan(&self, query: &Query, marks: Marks) -> Result<FetchPlan, Refusal> {
        match *query {
            Query::Fetch { offset, isolation } => self.plan_fetch(offset, isolation, marks),
        }
    }

    fn unfinished(&self, _: &mut Vec<Effect>) {}

    fn snapshot(&self) -> Snapshot {
        self.producers.snapshot(self.end)
    }

    fn restore(snapshot: Snapshot) -> Self {
        Partition {
            end: snapshot.at,
            restored_to: snapshot.at,
            producers: Producers::restore(snapshot.producers),
        }
    }

    fn encode_snapshot(snapshot: &Snapshot) -> Option<Vec<u8>> {
        snapshot.encode()
    }

    fn decode_snapshot(at: Offset, bytes: &[u8]) -> Option<Snapshot> {
        Snapshot::decode(at, bytes)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrderSequence { expected, got } => {
                write!(f, "sequence {got} instead of {expected}")
            }
            Self::InvalidProducerEpoch { current, got } => {
                write!(f, "producer epoch {got} is older than {current}")
            }
            Self::InvalidRecord(InvalidRecord::ControlBatch) => {
                f.write_str("clients may not write control batches")
            }
            Self::InvalidRecord(InvalidRecord::NoSequence(got)) => {
                write!(f, "sequence {got} in a batch with a producer id")
            }
            Self::NoOpenTransaction => {
                f.write_str("the batch is not part of an open transaction of its producer")
            }
            Self::OffsetOutOfRange { log_start, end } => {
                write!(f, "the log goes from {log_start} to {end}")
            }
        }
    }
}

impl core::error::Error for Refusal {}
