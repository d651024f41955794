//! A producer's message set becomes one record batch, as brokers of Kafka 2.4 to 3.9 stored it.
//!
//! - A set is a run of uncompressed messages, or one wrapper, all of one format. Several wrappers, or
//!   a wrapper among others, are refused, as by Kafka since 2.4.
//! - Offsets are assigned anew, so absolute ones (v0) and relative ones (v1) are the same here; only a
//!   wrapper's own offset below its last message's is refused, unless it is 0 as librdkafka wrote it.
//! - v0 has no timestamps, they become -1. Of a v1 wrapper that claims the broker's time, that time
//!   holds for every message in it.
//! - The batch has the wrapper's codec, unless the topic has one.
//! - Checks come in Kafka's order: sizes and CRCs of the outer messages, then the set's shape, then
//!   message by message. What is cut off at the end of the set is dropped.
//!
//! Stricter than Kafka 3.9, because an acknowledged record must be stored: a set that holds bytes but
//! no whole message (Kafka says it was stored), and a wrapper whose last message is cut off (Kafka
//! drops it). Lengths below -1 and bytes behind a value are malformed, as in record batches.

use ottla_model::batch::{BatchBuilder, BatchSpec, Codec, TimestampType, VerifiedBatch};

use super::message::{Fault, Message, MessageFormat};
use crate::batch::recompress;
use crate::buffer::{Buffer, with_scratch};
use crate::decompress::decompress_wrapper;
use crate::verify::{
    BadRecordReason, BadRecords, MAGIC_AT, NO_TIMESTAMP_MS, Rejection, Rules, next_batch,
};

/// True if `set` begins with a message of format v0 or v1, or is too short to say.
#[must_use]
pub fn is_old(set: &[u8]) -> bool {
    set.get(MAGIC_AT).is_none_or(|magic| *magic < 2)
}

/// Converts a message set under `rules`. The batch is compressed by `compression`, a codec and its
/// level, if that is given, else as the set was.
///
/// `None` if the set is empty: Kafka acknowledges it as nothing.
///
/// # Errors
/// The first fault in Kafka's order.
pub fn upgrade(
    set: &[u8],
    rules: &Rules,
    compression: Option<(Codec, Option<i32>)>,
) -> Result<Option<VerifiedBatch>, Rejection> {
    let mut allowance = usize::MAX;
    upgrade_within(set, rules, compression, &mut allowance)
}

/// As [`upgrade`], but decompresses no more than `allowance` bytes and takes off it what it
/// decompressed.
///
/// # Errors
/// See [`upgrade`].
pub fn upgrade_within(
    set: &[u8],
    rules: &Rules,
    compression: Option<(Codec, Option<i32>)>,
    allowance: &mut usize,
) -> Result<Option<VerifiedBatch>, Rejection> {
    if set.is_empty() {
        return Ok(None);
    }
    let shape = Shape::of(set, rules)?;
    let mut gather = Gather {
        rules,
        format: shape.format,
        builder: None,
        bad: BadRecords::default(),
    };
    let mut rest = set;
    let mut index = 0;
    while let Some(size_bytes) = next_batch(rest)? {
        let (bytes, behind) = rest.split_at(size_bytes);
        rest = behind;
        let message = Message::read_again(bytes).map_err(|fault| fault.at(index))?;
        gather.expect_format(index, &message)?;
        match shape.codec {
            Codec::None => gather.take(
                index,
                &message,
                (message.timestamp_ms, message.timestamp_type),
            )?,
            codec => with_scratch(|buffer| gather.unwrap(&message, codec, buffer, allowance))?,
        }
        // Kafka judges outer message by outer message.
        if !gather.bad.is_empty() {
            return Err(Rejection::Records(gather.bad));
        }
        index += 1;
    }
    let plain = gather.builder.ok_or(Rejection::NoBatch)?.build();
    let (codec, level) = compression.unwrap_or((shape.codec, None));
    // It is not compressed yet, so that no limit on what it decompresses to applies.
    let batch = recompress(plain, codec, level, usize::MAX)?;
    let bytes = batch.bytes().len();
    if bytes > rules.max_message_bytes {
        return Err(Rejection::TooLarge {
            bytes,
            bytes_max: rules.max_message_bytes,
        });
    }
    Ok(Some(batch))
}

/// What the outer messages of a set are.
struct Shape {
    /// Of the first.
    format: MessageFormat,
    /// Of the one wrapper; none for a run of messages.
    codec: Codec,
}

impl Shape {
    /// Looks at all outer messages: each has a size that the topic allows and the CRC that it claims.
    fn of(set: &[u8], rules: &Rules) -> Result<Shape, Rejection> {
        let mut shape: Option<Shape> = None;
        let mut rest = set;
        let mut count: i32 = 0;
        while let Some(size_bytes) = next_batch(rest)? {
            let (bytes, behind) = rest.split_at(size_bytes);
            rest = behind;
            if size_bytes > rules.max_message_bytes {
                return Err(Rejection::TooLarge {
                    bytes: size_bytes,
                    bytes_max: rules.max_message_bytes,
                });
            }
            if bytes[MAGIC_AT] > 1 {
                // Its CRC is another one.
                return Err(Fault::NEWER.at(count));
            }
            let message = Message::read(bytes).map_err(|fault| fault.at(count))?;
            let codec = message.codec.map_err(Rejection::UnknownCodec)?;
            let shape = shape.get_or_insert(Shape {
                format: message.format,
                codec,
            });
            if codec != Codec::None {
                shape.codec = codec;
            }
            count = count.saturating_add(1);
        }
        match shape {
            Some(shape) if shape.codec != Codec::None && count > 1 => Err(Rejection::SecondBatch),
            shape => shape.ok_or(Rejection::NoBatch),
        }
    }
}

/// The batch in the making.
struct Gather<'r> {
    rules: &'r Rules,
    format: MessageFormat,
    builder: Option<BatchBuilder>,
    bad: BadRecords,
}

impl Gather<'_> {
    /// Takes the messages inside a wrapper.
    fn unwrap(
        &mut self,
        wrapper: &Message<'_>,
        codec: Codec,
        buffer: &mut Buffer,
        allowance: &mut usize,
    ) -> Result<(), Rejection> {
        let malformed = |why| Rejection::OldMessage { index: 0, why };
        if codec == Codec::Zstd {
            return Err(malformed("zstd is newer than its format"));
        }
        let value = wrapper
            .value
            .ok_or(malformed("it is compressed and null"))?;
        // What fails may have cost all of it.
        let allowed = std::mem::take(allowance);
        let bytes_max = self.rules.decompressed_bytes_max.min(allowed);
        decompress_wrapper(self.format, codec, value, bytes_max, buffer)?;
        *allowance = allowed - buffer.len();

        let mut rest = &buffer[..];
        let mut index = 0;
        let mut last_offset = None;
        while !rest.is_empty() {
            let why = "it is cut off";
            let size_bytes = next_batch(rest)?.ok_or(Rejection::OldMessage { index, why })?;
            let (bytes, behind) = rest.split_at(size_bytes);
            rest = behind;
            let message = Message::read(bytes).map_err(|fault| fault.at(index))?;
            if message.codec != Ok(Codec::None) {
                let why = "it is compressed, inside one that is";
                return Err(Rejection::OldMessage { index, why });
            }
            self.expect_format(index, &message)?;
            let timestamp_ms = match wrapper.timestamp_type {
                TimestampType::LogAppendTime => wrapper.timestamp_ms,
                TimestampType::CreateTime => message.timestamp_ms,
            };
            self.take(index, &message, (timestamp_ms, wrapper.timestamp_type))?;
            last_offset = Some(message.offset);
            index += 1;
        }
        let last_offset = last_offset.ok_or(malformed("it is compressed and holds no message"))?;
        if self.format == MessageFormat::V1 && wrapper.offset != 0 && wrapper.offset < last_offset {
            return Err(malformed("its offset is below that of its last message"));
        }
        Ok(())
    }

    /// Takes one message that is no wrapper.
    fn take(
        &mut self,
        index: i32,
        message: &Message<'_>,
        (timestamp_ms, timestamp_type): (i64, TimestampType),
    ) -> Result<(), Rejection> {
        let append_time = timestamp_type == TimestampType::LogAppendTime;
        if self.rules.key_required && message.key.is_none() {
            self.bad.push(index, BadRecordReason::NoKey);
        } else if let Some(reason) = self.rules.timestamp.fault(timestamp_ms, append_time) {
            self.bad.push(index, reason);
        } else if timestamp_ms < NO_TIMESTAMP_MS {
            let why = "its timestamp is negative";
            return Err(Rejection::OldMessage { index, why });
        }
        if self.bad.is_empty() {
            self.builder
                .get_or_insert_with(|| BatchBuilder::new(BatchSpec::default(), timestamp_ms))
                .push(message.key, message.value, &[], timestamp_ms);
        }
        Ok(())
    }

    fn expect_format(&self, index: i32, message: &Message<'_>) -> Result<(), Rejection> {
        if message.format == self.format {
            return Ok(());
        }
        let why = "it is of another format than the first";
        Err(Rejection::OldMessage { index, why })
    }
}
