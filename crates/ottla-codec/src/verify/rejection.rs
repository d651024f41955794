//! Why a batch is refused, in a form that a gateway maps to its protocol.

use std::fmt;

use ottla_model::batch::{BatchHead, RecordError};
use ottla_model::ids::{Offset, ProducerId, Sequence};

use crate::decompress::DecompressError;

/// Why a batch is refused. Its text is for the client's developer; [`kind`](Rejection::kind) is for
/// the error code.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// There are fewer bytes than one batch.
    #[error("there is no complete record batch")]
    NoBatch,
    /// No batch has this length.
    #[error("impossible batch length {0}")]
    Length(i32),
    /// A message format that does not exist.
    #[error("unknown message format {0}")]
    UnknownMagic(i8),
    /// A message format that came before record batches: not in a Produce request since version 3.
    #[error("message format {0} where only 2 is allowed")]
    OldMagic(i8),
    /// More than one batch for a partition.
    #[error("more than one record batch for the partition")]
    SecondBatch,
    /// zstd in a request of a version that came before it.
    #[error("zstd needs Produce version 7, this is version {produce_version}")]
    ZstdTooEarly {
        /// Version of the request.
        produce_version: i16,
    },
    /// A client's batch that does not start at offset 0.
    #[error("the base offset is {0}, and must be 0 before the broker assigns one")]
    BaseOffset(Offset),
    /// Above `max.message.bytes`.
    #[error("the batch has {bytes} bytes, the topic allows {bytes_max}")]
    TooLarge {
        /// Size of the batch.
        bytes: usize,
        /// `max.message.bytes`.
        bytes_max: usize,
    },
    /// The bytes changed on the way.
    #[error("the batch does not have the CRC {claimed:#010x} that it claims")]
    Crc {
        /// What the header says.
        claimed: u32,
    },
    /// The attribute bits name no codec.
    #[error("there is no compression codec {0}")]
    UnknownCodec(i16),
    /// The last offset lies before the first.
    #[error("impossible last offset delta {last_offset_delta}")]
    OffsetRange {
        /// As claimed.
        last_offset_delta: i32,
    },
    /// The number of records is impossible or is not the number of offsets.
    #[error("{record_count} records cannot have a last offset delta of {last_offset_delta}")]
    Count {
        /// As claimed.
        record_count: i32,
        /// As claimed.
        last_offset_delta: i32,
    },
    /// Only brokers write control batches.
    #[error("clients cannot write control records")]
    Control,
    /// An idempotent producer without a sequence.
    #[error("sequence {base_sequence} cannot belong to producer {producer_id}")]
    Sequence {
        /// The producer.
        producer_id: ProducerId,
        /// As claimed.
        base_sequence: Sequence,
    },
    /// The records do not decompress.
    #[error("the records cannot be read: {0}")]
    Decompress(DecompressError),
    /// The bytes are not the records that the header claims.
    #[error("record {index} of the batch: {error}")]
    Record {
        /// Index of the record within the batch; the number of records if what follows them is wrong.
        index: i32,
        /// What is wrong.
        error: RecordError,
    },
    /// A new record's offset delta is not its index, or a stored one's is not above the one before it
    /// or is above the batch's last.
    #[error("record {index} of the batch has the offset delta {offset_delta} out of order")]
    OffsetDelta {
        /// Index of the record within the batch.
        index: i32,
        /// As claimed.
        offset_delta: i32,
    },
    /// A message of format v0 or v1 that does not belong into its set.
    #[error("message {index} of the set: {why}")]
    OldMessage {
        /// Index of the message within the set, or within the wrapper that holds it.
        index: i32,
        /// What is wrong.
        why: &'static str,
    },
    /// Records that the topic does not take; none of the batch is taken then.
    #[error("{0}")]
    Records(BadRecords),
}

/// Which of Kafka's errors answers a rejection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejectionKind {
    /// `INVALID_RECORD` (87).
    InvalidRecord,
    /// `CORRUPT_MESSAGE` (2).
    CorruptMessage,
    /// `MESSAGE_TOO_LARGE` (10); clients split the batch and try again.
    MessageTooLarge,
    /// `UNSUPPORTED_COMPRESSION_TYPE` (76).
    UnsupportedCompressionType,
    /// `INVALID_TIMESTAMP` (32).
    InvalidTimestamp,
    /// The compression is unknown or broken. Kafka meets an exception that it does not expect and
    /// answers `UNKNOWN_SERVER_ERROR` (-1).
    Undecodable,
}

impl Rejection {
    /// Which of Kafka's errors it is.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        match self {
            Rejection::NoBatch
            | Rejection::OldMagic(_)
            | Rejection::SecondBatch
            | Rejection::BaseOffset(_)
            | Rejection::OffsetRange { .. }
            | Rejection::Count { .. }
            | Rejection::Control
            | Rejection::Sequence { .. }
            | Rejection::Record { .. }
            | Rejection::OffsetDelta { .. }
            | Rejection::OldMessage { .. } => RejectionKind::InvalidRecord,
            Rejection::Length(_) | Rejection::UnknownMagic(_) | Rejection::Crc { .. } => {
                RejectionKind::CorruptMessage
            }
            Rejection::TooLarge { .. }
            | Rejection::Decompress(DecompressError::TooLarge { .. }) => {
                RejectionKind::MessageTooLarge
            }
            Rejection::ZstdTooEarly { .. } => RejectionKind::UnsupportedCompressionType,
            Rejection::UnknownCodec(_) | Rejection::Decompress(_) => RejectionKind::Undecodable,
            Rejection::Records(bad) if bad.any_timestamp => RejectionKind::InvalidTimestamp,
            Rejection::Records(_) => RejectionKind::InvalidRecord,
        }
    }

    /// The records to name one by one in the answer (KIP-467); empty for faults of the batch.
    #[must_use]
    pub fn bad_records(&self) -> &[BadRecord] {
        match self {
            Rejection::Records(bad) => &bad.listed,
            _ => &[],
        }
    }

    pub(super) fn count(head: &BatchHead) -> Rejection {
        Rejection::Count {
            record_count: head.record_count,
            last_offset_delta: head.last_offset_delta,
        }
    }
}

/// The records of a batch that a topic does not take, in the order of the batch.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BadRecords {
    listed: Vec<BadRecord>,
    total: usize,
    any_timestamp: bool,
}

/// One record that a topic does not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadRecord {
    /// Index within the batch: the `batch_index` of the answer.
    pub index: i32,
    /// What is wrong. Its text is the record's message in the answer.
    pub reason: BadRecordReason,
}

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRecordReason {
    /// No key, in a compacted topic.
    #[error("a compacted topic takes no record without a key")]
    NoKey,
    /// Too far from the broker's clock.
    #[error("the timestamp {timestamp_ms} is not between {earliest_ms} and {latest_ms}")]
    Timestamp {
        /// The record's time.
        timestamp_ms: i64,
        /// Earliest that the topic takes now.
        earliest_ms: i64,
        /// Latest that the topic takes now.
        latest_ms: i64,
    },
    /// Only a broker may say that a timestamp is the broker's.
    #[error("producers cannot set the timestamp type to LogAppendTime")]
    LogAppendTime,
}

impl BadRecords {
    /// How many are listed; Kafka lists all. A batch of tiny records without keys would otherwise
    /// make an answer larger than itself a hundred times.
    const LISTED_MAX: usize = 1_000;

    /// How many there are, listed or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    #[cold]
    pub(crate) fn push(&mut self, index: i32, reason: BadRecordReason) {
        self.total += 1;
        self.any_timestamp |= reason != BadRecordReason::NoKey;
        if self.listed.len() < Self::LISTED_MAX {
            self.listed.push(BadRecord { index, reason });
        }
    }
}

impl fmt::Display for BadRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the batch's records cannot be taken", self.total)?;
        match self.listed.first() {
            None => Ok(()),
            Some(first) => write!(f, ", the first at index {}: {}", first.index, first.reason),
        }
    }
}
