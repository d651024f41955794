//! The 61 bytes before the records.

use core::fmt;

use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// Bytes of a batch before its records.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes that `batch_length` does not count: the base offset and the length itself.
pub const LOG_OVERHEAD_BYTES: usize = 12;

const LEADER_EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
/// Where the CRC starts to count: everything from the attributes to the end of the batch.
pub(super) const CRC_FROM: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

/// How the records of a batch are compressed (attribute bits 0 to 2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// Not compressed.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in xerial framing or as one raw block.
    Snappy,
    /// LZ4 frame format.
    Lz4,
    /// RFC 8878, since Produce v7 (KIP-110).
    Zstd,
}

/// Whose clock the timestamps of a batch are (attribute bit 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimestampType {
    /// The producer's, record by record.
    CreateTime,
    /// The broker's: the batch's `max_timestamp` holds for every record.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;
    const KNOWN: i16 = 0x7f;

    /// The compression, if the bits name one.
    ///
    /// # Errors
    /// The three bits' value when no codec has it.
    pub fn codec(self) -> Result<Codec, i16> {
        match self.0 & Self::CODEC {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            other => Err(other),
        }
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Attributes {
        Attributes((self.0 & !Self::CODEC) | codec as i16)
    }

    /// These attributes with another timestamp type, and without bits that have no meaning: Kafka
    /// drops those whenever it writes a timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Attributes {
        let cleared = self.0 & Self::KNOWN & !Self::LOG_APPEND_TIME;
        Attributes(match kind {
            TimestampType::CreateTime => cleared,
            TimestampType::LogAppendTime => cleared | Self::LOG_APPEND_TIME,
        })
    }

    /// These attributes, marking the batch as the broker's own (transaction marker, KRaft).
    #[must_use]
    pub fn with_control(self) -> Attributes {
        Attributes(self.0 | Self::CONTROL)
    }

    /// These attributes, marking the batch as part of a transaction.
    #[must_use]
    pub fn with_transactional(self) -> Attributes {
        Attributes(self.0 | Self::TRANSACTIONAL)
    }

    /// These attributes, with the base timestamp being a delete horizon, or not (KIP-534).
    #[must_use]
    pub fn with_delete_horizon(self, is_one: bool) -> Attributes {
        let cleared = self.0 & !Self::DELETE_HORIZON;
        Attributes(if is_one {
            cleared | Self::DELETE_HORIZON
        } else {
            cleared
        })
    }

    /// Whose clock the timestamps are.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Written by a broker: a transaction marker or a KRaft control record.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// The base timestamp is a delete horizon (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// The header of a record batch v2, decoded. Holds what the bytes claim; only a
/// [`VerifiedBatch`](super::VerifiedBatch) says that the claims were checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHead {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Bytes after this field, see [`LOG_OVERHEAD_BYTES`].
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control.
    pub attributes: Attributes,
    /// Offset of the last record, counted from `base_offset`.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from, in ms.
    pub base_timestamp_ms: i64,
    /// Largest timestamp of the batch, in ms.
    pub max_timestamp_ms: i64,
    /// The idempotent producer, or `NONE`.
    pub producer_id: ProducerId,
    /// Its epoch, or `NONE`.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or `NONE`.
    pub base_sequence: Sequence,
    /// Number of records.
    pub record_count: i32,
}

/// Why bytes are not a record batch v2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// Fewer bytes than a header.
    TooShort,
    /// A format older than v2, or a future one.
    Magic(i8),
    /// `batch_length` is smaller than a header allows.
    Length(i32),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("fewer bytes than a batch header"),
            Self::Magic(magic) => write!(f, "message format {magic} instead of 2"),
            Self::Length(length) => write!(f, "impossible batch length {length}"),
        }
    }
}

impl BatchHead {
    /// Decodes a header. Checks only what is needed to walk on: size, magic, a possible length.
    /// The rest of the batch need not be there.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn parse(bytes: &[u8]) -> Result<BatchHead, BatchError> {
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::TooShort);
        };
        let magic = header[16] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let batch_length = i32_at(header, 8);
        if batch_length < (BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return Err(BatchError::Length(batch_length));
        }
        Ok(BatchHead {
            base_offset: Offset(i64_at(header, 0)),
            batch_length,
            leader_epoch: LeaderEpoch(i32_at(header, LEADER_EPOCH_AT)),
            crc: i32_at(header, CRC_AT) as u32,
            attributes: Attributes(i16_at(header, CRC_FROM)),
            last_offset_delta: i32_at(header, 23),
            base_timestamp_ms: i64_at(header, 27),
            max_timestamp_ms: i64_at(header, MAX_TIMESTAMP_AT),
            producer_id: ProducerId(i64_at(header, 43)),
            producer_epoch: ProducerEpoch(i16_at(header, 51)),
            base_sequence: Sequence(i32_at(header, 53)),
            record_count: i32_at(header, 57),
        })
    }

    /// Encodes the header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut b = [0u8; BATCH_HEADER_BYTES];
        b[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        b[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        b[12..16].copy_from_slice(&self.leader_epoch.0.to_be_bytes());
        b[16] = 2;
        b[17..21].copy_from_slice(&self.crc.to_be_bytes());
        b[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        b[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        b[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        b[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        b[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        b[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        b[53..57].copy_from_slice(&self.base_sequence.0.to_be_bytes());
        b[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        b
    }

    /// Writes this header over the first bytes of a batch, with the length and the CRC that `batch`
    /// has, and keeps both.
    ///
    /// # Panics
    /// If `batch` is shorter than a header or 2 GiB long.
    #[allow(clippy::expect_used, reason = "names its invariant")]
    pub fn seal(&mut self, batch: &mut [u8]) {
        self.batch_length = batch
            .len()
            .checked_sub(LOG_OVERHEAD_BYTES)
            .and_then(|length| i32::try_from(length).ok())
            .expect("invariant: a batch to be sealed has a header and is below 2 GiB");
        batch[..BATCH_HEADER_BYTES].copy_from_slice(&self.to_bytes());
        self.crc = crc_of(batch);
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&self.crc.to_be_bytes());
    }

    /// Whether `batch`, the whole batch, has the CRC that this header claims.
    #[must_use]
    pub fn crc_matches(&self, batch: &[u8]) -> bool {
        crc_of(batch) == self.crc
    }

    /// Size of the whole batch in bytes, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + self.batch_length as usize
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// Sequence of the last record, or `NONE` for a producer that is not idempotent.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence == Sequence::NONE {
            Sequence::NONE
        } else {
            self.base_sequence.plus(self.last_offset_delta)
        }
    }
}

/// CRC-32C of the part of a batch that its header's `crc` covers. `bytes` is the whole batch.
#[must_use]
pub(super) fn crc_of(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes.get(CRC_FROM..).unwrap_or_default())
}

/// Writes what the log assigns, in place, outside the CRC.
pub(super) fn stamp(bytes: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    bytes[0..8].copy_from_slice(&base_offset.0.to_be_bytes());
    bytes[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Writes attributes and largest timestamp in place, then the CRC anew, and returns it.
pub(super) fn stamp_time(bytes: &mut [u8], attributes: Attributes, max_timestamp_ms: i64) -> u32 {
    bytes[CRC_FROM..CRC_FROM + 2].copy_from_slice(&attributes.0.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp_ms.to_be_bytes());
    let crc = crc_of(bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    crc
}

fn i16_at(b: &[u8; BATCH_HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes([b[at], b[at + 1]])
}

fn i32_at(b: &[u8; BATCH_HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn i64_at(b: &[u8; BATCH_HEADER_BYTES], at: usize) -> i64 {
    i64::from(i32_at(b, at)) << 32 | i64::from(i32_at(b, at + 4) as u32)
}
