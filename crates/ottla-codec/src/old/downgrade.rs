//! Stored record batches become a message set for a consumer that knows nothing newer.
//!
//! - Offsets stay. Headers are dropped, and so are control batches: the old formats have neither.
//! - Batches of zstd have no old form (Kafka: KIP-110).
//! - Messages come out uncompressed, where Kafka compressed them again. Every client of that age reads
//!   them, some of them do not know lz4; the set can be cut between any two messages, so that a client
//!   makes progress whatever its limit; and nobody pays for compressing.
//! - Records below the offset that was asked for are left out, as Kafka leaves them out of batches
//!   that are not compressed: some librdkafka rely on it.
//! - A time before 1970 becomes -1, "none", which Kafka's converter refuses to write.

use ottla_model::batch::{BatchHead, Codec, RecordError, TimestampType, records};
use ottla_model::ids::Offset;

use super::message::{Message, MessageFormat};
use crate::batch::payload;
use crate::buffer::with_scratch;
use crate::decompress::DecompressError;
use crate::verify::NO_TIMESTAMP_MS;

/// Far above all offsets that there are, and far enough below the end of all numbers.
const OFFSET_MAX: i64 = i64::MAX / 2;

/// A message set, and how far it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Downgraded {
    /// Whole messages; may be none, if there was nothing to convert.
    pub set: Vec<u8>,
    /// The offset behind the last record that was converted or left out: where to read on.
    pub next: Offset,
}

/// Why the first batch of a read has no old form. Of later ones the set ends before them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DowngradeError {
    /// Compressed by zstd.
    #[error("the batch is compressed by zstd, which the client cannot read")]
    Zstd,
    /// Its records cannot be decompressed, or not within the limit.
    #[error("the records cannot be read: {0}")]
    Decompress(#[from] DecompressError),
    /// The bytes are not those that were written: a conversion would hide it behind a new CRC.
    #[error("the batch does not have the CRC that it claims")]
    Crc,
    /// The records are not what the header says.
    #[error("the records cannot be read: {0}")]
    Record(#[from] RecordError),
}

/// Converts whole batches, from the record at `first` on, into about `bytes_max` bytes of messages,
/// but at least one message. A batch that decompresses to more than `decompressed_bytes_max` is an
/// error if it comes first.
///
/// # Errors
/// See [`DowngradeError`].
pub fn downgrade(
    batches: &[u8],
    format: MessageFormat,
    first: Offset,
    bytes_max: usize,
    decompressed_bytes_max: usize,
) -> Result<Downgraded, DowngradeError> {
    let mut done = Downgraded {
        set: Vec::new(),
        next: first,
    };
    let mut rest = batches;
    // Whoever reads from a log reads whole batches, of offsets that can be counted on from; anything
    // else ends the set.
    while let Ok(head) = BatchHead::parse(rest)
        && (0..=OFFSET_MAX).contains(&head.base_offset.0)
        && let Some((batch, behind)) = rest.split_at_checked(head.size_bytes())
    {
        rest = behind;
        match done.add(&head, batch, format, bytes_max, decompressed_bytes_max) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if done.set.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

impl Downgraded {
    /// Adds the records of a batch; false if one had no room.
    fn add(
        &mut self,
        head: &BatchHead,
        batch: &[u8],
        format: MessageFormat,
        bytes_max: usize,
        decompressed_bytes_max: usize,
    ) -> Result<bool, DowngradeError> {
        if head.attributes.is_control() {
            self.next = self.next.max(head.next_offset());
            return Ok(true);
        }
        if head.attributes.codec() == Ok(Codec::Zstd) {
            return Err(DowngradeError::Zstd);
        }
        if !head.crc_matches(batch) {
            return Err(DowngradeError::Crc);
        }
        with_scratch(|buffer| {
            let section = payload(head, batch, decompressed_bytes_max, buffer)?;
            self.add_records(head, section, format, bytes_max)
        })
    }

    fn add_records(
        &mut self,
        head: &BatchHead,
        section: &[u8],
        format: MessageFormat,
        bytes_max: usize,
    ) -> Result<bool, DowngradeError> {
        let timestamp_type = head.attributes.timestamp_type();
        for record in records(section, head.record_count) {
            let record = record?;
            let offset = head.base_offset + i64::from(record.offset_delta);
            if offset < self.next {
                continue;
            }
            let timestamp_ms = match timestamp_type {
                TimestampType::LogAppendTime => head.max_timestamp_ms,
                TimestampType::CreateTime => {
                    head.base_timestamp_ms.wrapping_add(record.timestamp_delta)
                }
            };
            let message = Message {
                offset: offset.0,
                format,
                codec: Ok(Codec::None),
                timestamp_ms: timestamp_ms.max(NO_TIMESTAMP_MS),
                timestamp_type,
                key: record.key,
                value: record.value,
            };
            if !self.set.is_empty() && self.set.len() + message.size_bytes() > bytes_max {
                return Ok(false);
            }
            message.write(&mut self.set);
            self.next = offset.next();
        }
        // Compaction may have taken the last records.
        self.next = self.next.max(head.next_offset());
        Ok(true)
    }
}
