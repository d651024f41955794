//! Whether one partition takes its records: looks the partition up and has the batch checked.

use std::sync::Arc;

use bytes::BytesMut;
use ottla_broker::api::{PartitionRef, TopicImage};
use ottla_codec::{
    DecompressError, Rejection, RejectionKind, Rules, TimestampRule, is_old, recompress,
    upgrade_within, verify_within,
};
use ottla_model::batch::{Codec, TimestampType, VerifiedBatch};
use ottla_model::configs::TopicConfig;
use ottla_model::ids::{Offset, PartitionIndex};
use ottla_model::time::WallMs;

use super::Submission;
use super::heavy::Heavy;
use super::pending::{Label, Refused};
use crate::api::call::is_internal;
use crate::error_map::{self, ErrorCode};

/// The client id under which Kafka lets records into its internal topics.
const ADMIN_CLIENT: &str = "__admin_client";

/// Batches above this are compressed anew elsewhere, if the topic asks for it: gzip takes about a
/// millisecond for so many.
const CONVERTED_INLINE_BYTES_MAX: usize = 64 << 10;

/// How much longer it takes to compress a byte than to decompress it, by gzip, the slowest.
const COMPRESSION_COST: usize = 16;

/// Produce requests below this version carry message sets.
const RECORD_BATCH_VERSION_MIN: i16 = 3;

/// Records for one partition.
pub(super) struct Batch<'r> {
    pub(super) topic: &'r Label,
    pub(super) index: i32,
    pub(super) records: BytesMut,
    /// Of the request.
    pub(super) version: i16,
    pub(super) client_id: Option<&'r str>,
    /// Whether `acks` is one that there is.
    pub(super) acks_exist: bool,
}

/// What becomes of a batch.
pub(super) enum Verdict {
    Taken(Taken),
    /// An empty message set.
    Nothing,
    Refused(Refused),
    /// Not judged to the end.
    Heavy(Heavy),
}

/// A batch that its partition takes, if the partition's machine does not object.
pub(super) struct Taken {
    pub(super) partition: PartitionRef,
    pub(super) batch: VerifiedBatch,
    /// The broker stamps its time.
    pub(super) append_time: bool,
}

impl Batch<'_> {
    pub(super) fn judge(self, submission: &Submission<'_>) -> Verdict {
        let version = self.version;
        let (topic, partition) = match self.find(submission) {
            Ok(found) => found,
            Err(refused) => return Verdict::Refused(refused),
        };
        let topic = Arc::clone(topic);
        let options = submission.gateway.options();
        let bytes_max = options.decompressed_bytes_max;
        let rules = rules(&topic.config, version, submission.now, bytes_max);
        let heavy = |records| {
            Verdict::Heavy(Heavy {
                partition: partition.clone(),
                topic: Arc::clone(&topic),
                records,
                rules,
            })
        };
        if is_converted(&self.records, &topic, &rules)
            && self.records.len() > CONVERTED_INLINE_BYTES_MAX
        {
            return heavy(self.records);
        }
        let mut allowance = submission.inline_bytes_left.get();
        // At worst once more, elsewhere.
        let scarce = allowance / COMPRESSION_COST < bytes_max;
        let checked = check(self.records, &topic, &rules, &mut allowance);
        submission.inline_bytes_left.set(allowance);
        match checked {
            Err((Rejection::Decompress(DecompressError::TooLarge { .. }), records)) if scarce => {
                heavy(records)
            }
            checked => {
                let checked = checked.map_err(|(rejection, _)| rejection);
                take(checked, partition, &topic, version)
            }
        }
    }

    /// The partition, if it is there, open, and for this client to write to.
    fn find(
        &self,
        submission: &Submission<'_>,
    ) -> Result<(&Arc<TopicImage>, PartitionRef), Refused> {
        let refuse = |code, message| Err(Refused::new(code, message));
        let topic = match self.topic {
            Label::Known(topic) => topic,
            Label::UnknownName(_) => {
                return refuse(ErrorCode::UnknownTopicOrPartition, "there is no such topic");
            }
            Label::UnknownId(_) => {
                return refuse(ErrorCode::UnknownTopicId, "there is no topic with this id");
            }
        };
        let index = PartitionIndex(self.index);
        if topic.partition(index).is_none() {
            let message = "the topic has no such partition";
            return refuse(ErrorCode::UnknownTopicOrPartition, message);
        }
        if !self.acks_exist {
            return refuse(ErrorCode::InvalidRequiredAcks, "acks must be -1, 0 or 1");
        }
        if is_internal(&topic.name) && self.client_id != Some(ADMIN_CLIENT) {
            let message = "clients cannot write to this topic";
            return refuse(ErrorCode::InvalidTopicException, message);
        }
        match submission.gateway.broker().partition(topic.id, index) {
            // Not even Kafka's tools: a record that its owner cannot read would close it.
            Some(partition) if !partition.takes_records() => refuse(
                ErrorCode::InvalidTopicException,
                "the broker keeps its own state in this topic",
            ),
            Some(partition) => Ok((topic, partition)),
            None => refuse(ErrorCode::NotLeaderOrFollower, "the partition is not open"),
        }
    }
}

/// True for a message set of format v0 or v1, where one is allowed.
fn is_set(records: &[u8], rules: &Rules) -> bool {
    rules.produce_version < RECORD_BATCH_VERSION_MIN && is_old(records)
}

/// True if the records are not stored as they are, whatever is in them.
pub(super) fn is_converted(records: &[u8], topic: &TopicImage, rules: &Rules) -> bool {
    is_set(records, rules) || topic.config.compression.is_some()
}

/// The batch that the topic stores for these records; none for an empty message set. What it
/// decompresses is taken off `allowance`, see [`verify_within`].
///
/// # Errors
/// Why they are refused, and the records.
pub(super) fn check(
    records: BytesMut,
    topic: &TopicImage,
    rules: &Rules,
    allowance: &mut usize,
) -> Result<Option<VerifiedBatch>, (Rejection, BytesMut)> {
    if is_set(&records, rules) {
        // What is decompressed is compressed again.
        let mut share = *allowance / COMPRESSION_COST;
        let upgraded = upgrade_within(&records, rules, compression(topic), &mut share);
        *allowance = share.saturating_mul(COMPRESSION_COST);
        return upgraded.map_err(|why| (why, records));
    }
    let batch = verify_within(records, rules, allowance)?;
    convert(batch, topic, rules)
        .map(Some)
        .map_err(|why| (why, BytesMut::new()))
}

/// The verdict on records that were checked.
pub(super) fn take(
    checked: Result<Option<VerifiedBatch>, Rejection>,
    partition: PartitionRef,
    topic: &TopicImage,
    version: i16,
) -> Verdict {
    match checked {
        Ok(None) => Verdict::Nothing,
        Ok(Some(batch)) => Verdict::Taken(Taken {
            partition,
            batch,
            append_time: topic.config.timestamp_type == TimestampType::LogAppendTime,
        }),
        Err(rejection) => {
            let log_start = partition.marks().log_start;
            Verdict::Refused(Refused::rejected(&rejection, log_start, version))
        }
    }
}

/// What the topic and the request demand of a batch.
fn rules(
    config: &TopicConfig,
    produce_version: i16,
    now: WallMs,
    decompressed_bytes_max: usize,
) -> Rules {
    let ms = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    Rules {
        max_message_bytes: config.message_bytes_max as usize,
        key_required: config.cleanup.compact,
        timestamp: match config.timestamp_type {
            TimestampType::CreateTime => TimestampRule::CreateTime {
                before_max_ms: ms(config.timestamp_before_ms_max),
                after_max_ms: ms(config.timestamp_after_ms_max),
                now,
            },
            TimestampType::LogAppendTime => TimestampRule::LogAppendTime,
        },
        produce_version,
        decompressed_bytes_max,
        from_client: true,
    }
}

/// The batch in the topic's own compression, if it asks for one (`compression.type`). It must not be
/// larger than `max.message.bytes` afterwards either, as in Kafka.
fn convert(
    batch: VerifiedBatch,
    topic: &TopicImage,
    rules: &Rules,
) -> Result<VerifiedBatch, Rejection> {
    let Some((codec, level)) = compression(topic) else {
        return Ok(batch);
    };
    let batch = recompress(batch, codec, level, rules.decompressed_bytes_max)?;
    let bytes = batch.bytes().len();
    if bytes > rules.max_message_bytes {
        return Err(Rejection::TooLarge {
            bytes,
            bytes_max: rules.max_message_bytes,
        });
    }
    Ok(batch)
}

/// The topic's own codec and its level.
fn compression(topic: &TopicImage) -> Option<(Codec, Option<i32>)> {
    let config = &topic.config;
    let codec = config.compression?;
    let level = match codec {
        Codec::None | Codec::Snappy => None,
        // -1 is the library's own.
        Codec::Gzip => Some(config.gzip_level).filter(|level| *level >= 0),
        Codec::Lz4 => Some(config.lz4_level),
        Codec::Zstd => Some(config.zstd_level),
    };
    Some((codec, level))
}

impl Refused {
    fn rejected(rejection: &Rejection, log_start: Offset, version: i16) -> Refused {
        let listed = if version >= 8 {
            rejection.bad_records()
        } else {
            &[]
        };
        Refused {
            code: error_map::rejection(rejection),
            message: rejection.to_string(),
            log_start: if reached_log(rejection) {
                log_start.0
            } else {
                -1
            },
            records: listed
                .iter()
                .map(|bad| (bad.index, bad.reason.to_string()))
                .collect(),
        }
    }
}

/// Whether Kafka's log would have found this fault, and not somebody before it: only then the answer has the log's
/// start.
fn reached_log(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::NoBatch | Rejection::OldMagic(_) | Rejection::SecondBatch => false,
        _ => !matches!(
            rejection.kind(),
            RejectionKind::CorruptMessage
                | RejectionKind::MessageTooLarge
                | RejectionKind::UnsupportedCompressionType
        ),
    }
}
