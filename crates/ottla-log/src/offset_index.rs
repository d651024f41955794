//! `.index`: where in the segment a batch begins (Kafka: `OffsetIndex`).
//!
//! An entry is the last offset of a batch, less the segment's base, and the batch's position; both
//! 32 bits, big-endian.

use ottla_model::ids::Offset;

/// Width of an entry.
pub(crate) const OFFSET_ENTRY_BYTES: usize = 8;

/// An entry as it lies in the file.
pub(crate) type RawOffsetEntry = [u8; OFFSET_ENTRY_BYTES];

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OffsetEntry {
    /// Offset of the last record of the batch, counted from the segment's base.
    pub(crate) relative: u32,
    /// Where the batch begins.
    pub(crate) position: u32,
}

impl OffsetEntry {
    /// The entry of a batch. Callers keep segments below 2^31 bytes and offsets.
    pub(crate) fn new(segment_base: Offset, last_offset: Offset, position: u64) -> OffsetEntry {
        OffsetEntry {
            relative: (last_offset - segment_base) as u32,
            position: position as u32,
        }
    }

    pub(crate) fn decode(raw: &RawOffsetEntry) -> OffsetEntry {
        let [a, b, c, d, e, f, g, h] = *raw;
        OffsetEntry {
            relative: u32::from_be_bytes([a, b, c, d]),
            position: u32::from_be_bytes([e, f, g, h]),
        }
    }

    pub(crate) fn encode(self) -> RawOffsetEntry {
        let mut raw = [0; OFFSET_ENTRY_BYTES];
        raw[..4].copy_from_slice(&self.relative.to_be_bytes());
        raw[4..].copy_from_slice(&self.position.to_be_bytes());
        raw
    }

    /// Offset of the last record of the batch.
    pub(crate) fn last_offset(self, segment_base: Offset) -> Offset {
        segment_base + i64::from(self.relative)
    }

    /// Whether this entry can come after `previous`: both numbers rise, and none is beyond 2^31.
    /// Zeros, which a crash leaves and Kafka preallocates, never can: position 0 is not indexed.
    pub(crate) fn follows(self, previous: Option<OffsetEntry>) -> bool {
        let (relative, position) = previous.map_or((None, 0), |p| (Some(p.relative), p.position));
        relative.is_none_or(|relative| self.relative > relative)
            && self.position > position
            && self.relative <= i32::MAX as u32
            && self.position <= i32::MAX as u32
    }
}
