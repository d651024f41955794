//! What is known to be at each offset, for ever: from acknowledgements, and from everybody who read.
//!
//! Whoever learns what an offset names notes it here. Nothing is ever taken back, across all kills.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::payload::Stamp;

/// Of all partitions of the topic under load.
pub(crate) struct Ledger {
    partitions: Vec<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// By offset.
    stamps: Vec<Option<Stamp>>,
    /// The offset after the last acknowledged one.
    acknowledged_end: i64,
    acknowledged: u64,
}

impl Ledger {
    pub(crate) fn new(partitions: i32) -> Ledger {
        Ledger {
            partitions: (0..partitions).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn partitions(&self) -> std::ops::Range<i32> {
        0..self.partitions.len() as i32
    }

    /// A batch was acknowledged at this offset.
    pub(crate) fn acknowledged(
        &self,
        partition: i32,
        base: i64,
        stamps: &[Stamp],
    ) -> Result<(), String> {
        let mut known = self.known(partition);
        for (offset, stamp) in (base..).zip(stamps) {
            known.note(partition, offset, *stamp, "was acknowledged")?;
        }
        known.acknowledged_end = known.acknowledged_end.max(base + stamps.len() as i64);
        known.acknowledged += stamps.len() as u64;
        Ok(())
    }

    /// A record was read at this offset.
    pub(crate) fn read(&self, partition: i32, offset: i64, stamp: Stamp) -> Result<(), String> {
        self.known(partition)
            .note(partition, offset, stamp, "was read")
    }

    /// The offset after the last one that is known to name a record.
    pub(crate) fn end(&self, partition: i32) -> i64 {
        self.known(partition).stamps.len() as i64
    }

    /// The offset after the last one that was acknowledged.
    pub(crate) fn acknowledged_end(&self, partition: i32) -> i64 {
        self.known(partition).acknowledged_end
    }

    /// Acknowledged records, in all partitions.
    pub(crate) fn acknowledged_records(&self) -> u64 {
        self.partitions()
            .map(|partition| self.known(partition).acknowledged)
            .sum()
    }

    fn known(&self, partition: i32) -> MutexGuard<'_, Known> {
        let known = &self.partitions[partition as usize];
        // Who panicked says so itself.
        known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn note(&mut self, partition: i32, offset: i64, stamp: Stamp, how: &str) -> Result<(), String> {
        let at = usize::try_from(offset)
            .map_err(|_| format!("{stamp:?} {how} at offset {offset} of partition {partition}"))?;
        if self.stamps.len() <= at {
            self.stamps.resize(at + 1, None);
        }
        match self.stamps[at].replace(stamp) {
            Some(before) if before != stamp => Err(format!(
                "offset {offset} of partition {partition} names two records: {before:?}, then {stamp:?} {how} there"
            )),
            _ => Ok(()),
        }
    }
}
