//! `.timeindex`: how late the records up to an offset are (Kafka: `TimeIndex`).
//!
//! An entry is the largest timestamp so far, 64 bits, and the last offset of the batch that has it,
//! less the segment's base, 32 bits; big-endian. Timestamps rise from entry to entry, and the last
//! entry of a sealed segment has its largest one.

use ottla_model::ids::Offset;

/// Width of an entry.
pub(crate) const TIME_ENTRY_BYTES: usize = 12;

/// An entry as it lies in the file.
pub(crate) type RawTimeEntry = [u8; TIME_ENTRY_BYTES];

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimeEntry {
    /// Largest timestamp up to the entry, ms.
    pub(crate) timestamp_ms: i64,
    /// Offset of the last record of the batch that has it, counted from the segment's base.
    pub(crate) relative: u32,
}

impl TimeEntry {
    /// No timestamp yet: smaller than any that is indexed.
    pub(crate) const NONE: TimeEntry = TimeEntry {
        timestamp_ms: -1,
        relative: 0,
    };

    /// The entry of a batch. Callers keep segments below 2^31 offsets.
    pub(crate) fn new(segment_base: Offset, last_offset: Offset, timestamp_ms: i64) -> TimeEntry {
        TimeEntry {
            timestamp_ms,
            relative: (last_offset - segment_base) as u32,
        }
    }

    pub(crate) fn decode(raw: &RawTimeEntry) -> TimeEntry {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *raw;
        TimeEntry {
            timestamp_ms: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            relative: u32::from_be_bytes([i, j, k, l]),
        }
    }

    pub(crate) fn encode(self) -> RawTimeEntry {
        let mut raw = [0; TIME_ENTRY_BYTES];
        raw[..8].copy_from_slice(&self.timestamp_ms.to_be_bytes());
        raw[8..].copy_from_slice(&self.relative.to_be_bytes());
        raw
    }

    /// Offset of the last record of the batch that has the timestamp.
    pub(crate) fn last_offset(self, segment_base: Offset) -> Offset {
        segment_base + i64::from(self.relative)
    }

    /// Whether this entry can come after `previous`.
    pub(crate) fn follows(self, previous: Option<TimeEntry>) -> bool {
        self.relative <= i32::MAX as u32
            && match previous {
                None => self.timestamp_ms >= 0 && (self.timestamp_ms > 0 || self.relative > 0),
                Some(previous) => {
                    self.timestamp_ms > previous.timestamp_ms && self.relative >= previous.relative
                }
            }
    }
}
