//! Whether one partition takes its records: looks the partition up, has the batch checked, and hands
//! it over.

use bytes::BytesMut;
use ottla_broker::api::{TopicImage, Wait};
use ottla_broker::authorize::Permit;
use ottla_codec::{Rejection, Rules, TimestampRule, recompress, verify};
use ottla_model::batch::{Codec, TimestampType, VerifiedBatch};
use ottla_model::configs::TopicConfig;
use ottla_model::ids::PartitionIndex;
use ottla_model::time::WallMs;

use super::Submission;
use super::pending::{Label, Refused, State};
use crate::api::call::is_internal;
use crate::error_map::{self, ErrorCode};

/// The client id under which Kafka lets records into its internal topics.
const ADMIN_CLIENT: &str = "__admin_client";

/// Records for one partition.
pub(super) struct Batch<'r> {
    pub(super) topic: &'r Label,
    pub(super) index: i32,
    pub(super) records: BytesMut,
    /// Of the request.
    pub(super) version: i16,
    pub(super) client_id: Option<&'r str>,
}

impl Batch<'_> {
    /// Submits the batch to its partition. `wait` is none if `acks` was not one that exists.
    pub(super) fn submit(
        self,
        submission: &mut Submission<'_>,
        permit: &Permit,
        wait: Option<Wait>,
    ) -> State {
        match self.judge(submission, permit, wait) {
            Ok(waiting) => waiting,
            Err(refused) => State::Refused(refused),
        }
    }

    fn judge(
        self,
        submission: &mut Submission<'_>,
        permit: &Permit,
        wait: Option<Wait>,
    ) -> Result<State, Refused> {
        let topic = match self.topic {
            Label::Known(topic) => topic,
            Label::UnknownName(_) => {
                return Err(Refused::new(
                    ErrorCode::UnknownTopicOrPartition,
                    "there is no such topic",
                ));
            }
            Label::UnknownId(_) => {
                return Err(Refused::new(
                    ErrorCode::UnknownTopicId,
                    "there is no topic with this id",
                ));
            }
        };
        let index = PartitionIndex(self.index);
        if topic.partition(index).is_none() {
            return Err(Refused::new(
                ErrorCode::UnknownTopicOrPartition,
                "the topic has no such partition",
            ));
        }
        let Some(wait) = wait else {
            return Err(Refused::new(
                ErrorCode::InvalidRequiredAcks,
                "acks must be -1, 0 or 1",
            ));
        };
        if is_internal(&topic.name) && self.client_id != Some(ADMIN_CLIENT) {
            return Err(Refused::new(
                ErrorCode::InvalidTopicException,
                "clients cannot write to this topic",
            ));
        }
        let Some(partition) = submission.gateway.broker().partition(topic.id, index) else {
            return Err(Refused::new(
                ErrorCode::NotLeaderOrFollower,
                "the partition is not open",
            ));
        };
        let decompressed_bytes_max = submission.gateway.options().decompressed_bytes_max;
        let rules = rules(
            &topic.config,
            self.version,
            submission.now,
            decompressed_bytes_max,
        );
        let batch = verify(self.records, &rules)
            .and_then(|batch| convert(batch, topic, &rules))
            .map_err(|rejection| {
                Refused::rejected(&rejection, partition.marks().log_start, self.version)
            })?;
        let append_time = topic.config.timestamp_type == TimestampType::LogAppendTime;
        let receipt = submission
            .burst
            .append(permit, &partition, batch, wait, append_time);
        Ok(State::Waiting(receipt, partition))
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
    let config = &topic.config;
    let Some(codec) = config.compression else {
        return Ok(batch);
    };
    let level = match codec {
        Codec::None | Codec::Snappy => None,
        // -1 is the library's own.
        Codec::Gzip => Some(config.gzip_level).filter(|level| *level >= 0),
        Codec::Lz4 => Some(config.lz4_level),
        Codec::Zstd => Some(config.zstd_level),
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

impl Refused {
    fn rejected(
        rejection: &Rejection,
        log_start: ottla_model::ids::Offset,
        version: i16,
    ) -> Refused {
        let listed = if version >= 8 {
            rejection.bad_records()
        } else {
            &[]
        };
        Refused {
            code: error_map::rejection(rejection),
            message: rejection.to_string(),
            log_start: log_start.0,
            records: listed
                .iter()
                .map(|bad| (bad.index, bad.reason.to_string()))
                .collect(),
        }
    }
}
