//! What a batch is judged by.

use ottla_model::time::WallMs;

use super::NO_TIMESTAMP_MS;
use super::rejection::BadRecordReason;

/// What the request and the topic demand of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// `max.message.bytes`: the whole batch as sent, header included, compressed if it is.
    pub max_message_bytes: usize,
    /// The topic is compacted, so every record must have a key.
    pub key_required: bool,
    /// `message.timestamp.type` and its limits.
    pub timestamp: TimestampRule,
    /// Version of the Produce request; old ones must not carry zstd.
    pub produce_version: i16,
    /// Limit of what the records of a compressed batch decompress to.
    pub decompressed_bytes_max: usize,
    /// Whether the batch is new, from a client. If not it comes from a log, ours or another broker's:
    /// it keeps its base offset and may be a control batch, have gaps or be empty; then size, CRC and
    /// records are checked, and neither keys nor timestamps are, nor is anything changed.
    pub from_client: bool,
}

/// `message.timestamp.type` of the topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampRule {
    /// Records keep their time, if it is near enough to `now`.
    CreateTime {
        /// `message.timestamp.before.max.ms`.
        before_max_ms: i64,
        /// `message.timestamp.after.max.ms` (KIP-937, one hour by default since KIP-1030).
        after_max_ms: i64,
        /// The broker's clock.
        now: WallMs,
    },
    /// The broker's time replaces the records'; it is stamped when the offset is assigned.
    LogAppendTime,
}

impl TimestampRule {
    /// What is wrong with a record's time, if anything (`LogValidator.validateTimestamp`).
    ///
    /// A batch that claims broker time passes a topic with create time as long as the time is within
    /// the limits, and its claim is dropped then: Kafka decides so.
    #[inline]
    pub(crate) fn fault(
        &self,
        timestamp_ms: i64,
        claims_append_time: bool,
    ) -> Option<BadRecordReason> {
        match *self {
            TimestampRule::CreateTime {
                before_max_ms,
                after_max_ms,
                now,
            } if timestamp_ms != NO_TIMESTAMP_MS => {
                let age_ms = now.0.wrapping_sub(timestamp_ms);
                if age_ms <= before_max_ms && age_ms.wrapping_neg() <= after_max_ms {
                    return None;
                }
                Some(BadRecordReason::Timestamp {
                    timestamp_ms,
                    earliest_ms: now.0.saturating_sub(before_max_ms),
                    latest_ms: now.0.saturating_add(after_max_ms),
                })
            }
            _ if claims_append_time => Some(BadRecordReason::LogAppendTime),
            _ => None,
        }
    }
}
