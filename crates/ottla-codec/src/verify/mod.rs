//! A client's bytes become a `VerifiedBatch`, or a [`Rejection`] that says why not.
//!
//! Owns every check that Kafka makes between reading a Produce request and assigning offsets, in
//! Kafka's order, so that of two faults the same one is named: `ProduceRequest.validateRecords`, then
//! `UnifiedLog.analyzeAndValidateRecords`, then `LogValidator`. Pure: the time is an argument.
//! Never looks at the state of a partition: sequences, epochs and transactions are the machine's.
//!
//! The bytes are hashed once and walked once, in place if they are not compressed. They change only
//! where Kafka changes them: a wrong largest timestamp.
//!
//! Stricter than Kafka 4.3, each time because readers would be harmed, none because a known client
//! does it: offset deltas that do not count from 0 are refused (Kafka stores them, and two records
//! have one offset, or fails on them if compressed); so are a key or value of a negative length other
//! than -1, and a compressed record whose size is not what it holds.

mod rejection;
mod rules;

use bytes::BytesMut;
use ottla_model::batch::{
    BATCH_HEADER_BYTES, BatchHead, Codec, LOG_OVERHEAD_BYTES, TimestampType, VerifiedBatch, records,
};
use ottla_model::ids::{Offset, ProducerId};

use crate::batch::payload;
use crate::buffer::with_scratch;
use crate::decompress::DecompressError;

pub use rejection::{BadRecord, BadRecordReason, BadRecords, Rejection, RejectionKind};
pub use rules::{Rules, TimestampRule};

/// Produce versions from this one on may carry zstd (KIP-110).
const ZSTD_PRODUCE_VERSION_MIN: i16 = 7;

/// Kafka's "no timestamp": a record may have it, and no limit applies to it.
pub(crate) const NO_TIMESTAMP_MS: i64 = -1;

/// Checks everything that `bytes` claims under `rules`.
///
/// An incomplete batch after the first is cut off, as Kafka cuts it off.
///
/// # Errors
/// The first fault in Kafka's order; of faulty records, all of them.
pub fn verify(bytes: BytesMut, rules: &Rules) -> Result<VerifiedBatch, Rejection> {
    let mut allowance = usize::MAX;
    verify_within(bytes, rules, &mut allowance).map_err(|(rejection, _)| rejection)
}

/// As [`verify`], but decompresses no more than `allowance` bytes and takes off it what it
/// decompressed, and hands back the bytes that it refuses: who keeps to a small allowance can try
/// again with a larger one, elsewhere.
///
/// # Errors
/// See [`verify`].
pub fn verify_within(
    mut bytes: BytesMut,
    rules: &Rules,
    allowance: &mut usize,
) -> Result<VerifiedBatch, (Rejection, BytesMut)> {
    let (head, max_timestamp_ms) = match check(&mut bytes, rules, allowance) {
        Ok(checked) => checked,
        Err(rejection) => return Err((rejection, bytes)),
    };
    let mut batch = VerifiedBatch::vouch(head, bytes);
    if rules.from_client
        && matches!(rules.timestamp, TimestampRule::CreateTime { .. })
        && (head.max_timestamp_ms != max_timestamp_ms
            || head.attributes.timestamp_type() != TimestampType::CreateTime)
    {
        batch.stamp_create_time(max_timestamp_ms);
    }
    Ok(batch)
}

/// Cuts off what is behind the first batch, checks it, and answers its head and largest timestamp.
fn check(
    bytes: &mut BytesMut,
    rules: &Rules,
    allowance: &mut usize,
) -> Result<(BatchHead, i64), Rejection> {
    let head = first_batch(bytes, rules)?;
    let size_bytes = head.size_bytes();
    if rules.from_client && head.base_offset != Offset::ZERO {
        return Err(Rejection::BaseOffset(head.base_offset));
    }
    if size_bytes > rules.max_message_bytes {
        return Err(Rejection::TooLarge {
            bytes: size_bytes,
            bytes_max: rules.max_message_bytes,
        });
    }
    bytes.truncate(size_bytes);
    if !head.crc_matches(bytes) {
        return Err(Rejection::Crc { claimed: head.crc });
    }
    let codec = head.attributes.codec().map_err(Rejection::UnknownCodec)?;
    check_head(&head, rules)?;

    let max_timestamp_ms = match codec {
        Codec::None => walk(&head, &bytes[BATCH_HEADER_BYTES..], rules)?,
        _ => with_scratch(|buffer| {
            // What fails may have cost all of it.
            let bytes_max = std::mem::take(allowance);
            let limit = rules.decompressed_bytes_max.min(bytes_max);
            let section = payload(&head, bytes, limit, buffer)?;
            *allowance = bytes_max - section.len();
            walk(&head, section, rules)
        })?,
    };
    Ok((head, max_timestamp_ms))
}

/// The header of the first batch, if it is all there, of format 2, and no complete batch follows.
fn first_batch(bytes: &[u8], rules: &Rules) -> Result<BatchHead, Rejection> {
    let size_bytes = next_batch(bytes)?.ok_or(Rejection::NoBatch)?;
    let magic = bytes[MAGIC_AT] as i8;
    if magic != 2 {
        return Err(Rejection::OldMagic(magic));
    }
    // The one error left is a batch too short for a header of format 2.
    let head = BatchHead::parse(&bytes[..size_bytes])
        .map_err(|_| Rejection::Length((size_bytes - LOG_OVERHEAD_BYTES) as i32))?;
    if rules.from_client
        && rules.produce_version < ZSTD_PRODUCE_VERSION_MIN
        && head.attributes.codec() == Ok(Codec::Zstd)
    {
        return Err(Rejection::ZstdTooEarly {
            produce_version: rules.produce_version,
        });
    }
    if next_batch(&bytes[size_bytes..])?.is_some() {
        return Err(Rejection::SecondBatch);
    }
    Ok(head)
}

pub(crate) const MAGIC_AT: usize = 16;

/// Size of the batch that `bytes` start with, of whatever format; `None` if it is not complete
/// (Kafka: `ByteBufferLogInputStream`).
pub(crate) fn next_batch(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    /// What the oldest format takes; formats check their own minimum later.
    const LENGTH_MIN: i32 = 14;
    let Some(&[.., l0, l1, l2, l3]) = bytes.first_chunk::<LOG_OVERHEAD_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes([l0, l1, l2, l3]);
    if length < LENGTH_MIN {
        return Err(Rejection::Length(length));
    }
    let Some(&magic) = bytes.get(MAGIC_AT) else {
        return Ok(None);
    };
    if magic > 2 {
        return Err(Rejection::UnknownMagic(magic as i8));
    }
    let size_bytes = LOG_OVERHEAD_BYTES + length as usize;
    Ok((bytes.len() >= size_bytes).then_some(size_bytes))
}

/// What the header says about itself.
fn check_head(head: &BatchHead, rules: &Rules) -> Result<(), Rejection> {
    let span = i64::from(head.last_offset_delta) + 1;
    if span <= 0 {
        return Err(Rejection::OffsetRange {
            last_offset_delta: head.last_offset_delta,
        });
    }
    let count = i64::from(head.record_count);
    if !rules.from_client {
        // Compaction leaves gaps, and empty batches that only keep a producer's sequence.
        return if (0..=span).contains(&count) {
            Ok(())
        } else {
            Err(Rejection::count(head))
        };
    }
    if count <= 0 || count != span {
        return Err(Rejection::count(head));
    }
    if head.attributes.is_control() {
        return Err(Rejection::Control);
    }
    if head.producer_id > ProducerId::NONE && head.base_sequence.0 < 0 {
        return Err(Rejection::Sequence {
            producer_id: head.producer_id,
            base_sequence: head.base_sequence,
        });
    }
    Ok(())
}

/// Reads every record once and returns the largest timestamp.
fn walk(head: &BatchHead, section: &[u8], rules: &Rules) -> Result<i64, Rejection> {
    if rules.from_client {
        walk_new(head, section, rules)
    } else {
        walk_stored(head, section)
    }
}

/// Records of a client, that have no offsets yet.
fn walk_new(head: &BatchHead, section: &[u8], rules: &Rules) -> Result<i64, Rejection> {
    let claims_append_time = head.attributes.timestamp_type() == TimestampType::LogAppendTime;
    let mut max_timestamp_ms = NO_TIMESTAMP_MS;
    let mut out_of_order = None;
    let mut bad = BadRecords::default();

    for (index, record) in (0..).zip(records(section, head.record_count)) {
        let record = record.map_err(|error| Rejection::Record { index, error })?;
        // Java wraps, and a time is judged after it.
        let timestamp_ms = if claims_append_time {
            head.max_timestamp_ms
        } else {
            head.base_timestamp_ms.wrapping_add(record.timestamp_delta)
        };
        max_timestamp_ms = max_timestamp_ms.max(timestamp_ms);
        if record.offset_delta != index {
            let offset_delta = record.offset_delta;
            out_of_order.get_or_insert(Rejection::OffsetDelta {
                index,
                offset_delta,
            });
        }
        if rules.key_required && record.key.is_none() {
            bad.push(index, BadRecordReason::NoKey);
        } else if let Some(reason) = rules.timestamp.fault(timestamp_ms, claims_append_time) {
            bad.push(index, reason);
        }
    }
    if !bad.is_empty() {
        return Err(Rejection::Records(bad));
    }
    out_of_order.map_or(Ok(max_timestamp_ms), Err)
}

/// Records of a log, whose offsets must stay as they are.
fn walk_stored(head: &BatchHead, section: &[u8]) -> Result<i64, Rejection> {
    let mut last = -1;
    for (index, record) in (0..).zip(records(section, head.record_count)) {
        let record = record.map_err(|error| Rejection::Record { index, error })?;
        if record.offset_delta <= last || record.offset_delta > head.last_offset_delta {
            return Err(Rejection::OffsetDelta {
                index,
                offset_delta: record.offset_delta,
            });
        }
        last = record.offset_delta;
    }
    Ok(head.max_timestamp_ms)
}

impl From<DecompressError> for Rejection {
    fn from(error: DecompressError) -> Rejection {
        Rejection::Decompress(error)
    }
}
