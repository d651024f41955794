//! Damage inside a segment: what it takes with it, and where the batches go on.

use std::sync::Arc;

use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead};
use ottla_model::ids::Offset;

use super::Segment;
use crate::disk::DiskFile;
use crate::offset_index::OffsetEntry;
use crate::store::LogFault;
use crate::walk::{Hole, Step, Walk, head_is_sane};

/// How many times as much as is searched is read to check what looks like a batch.
const CHECKED_SPANS_MAX: u64 = 8;
/// Searched at once for the next batch.
const SCAN_BYTES: usize = 1024 * 1024;

impl Segment {
    /// Remembers that there is no batch at `position`, where `expected` should follow, and finds out
    /// where batches go on before `end`.
    pub(crate) fn add_hole(
        &self,
        position: u64,
        expected: Offset,
        end: u64,
        why: String,
    ) -> Result<Hole, LogFault> {
        let file = self.file()?;
        let goal = self.next_indexed(&*file, position, expected, end)?;
        let (next, to) = next_batch(&*file, self.base(), (position, expected), goal, end)?;
        let hole = Hole {
            position,
            end: next,
            from: expected,
            to,
            why,
        };
        self.remember_hole(hole.clone());
        tracing::error!(fault = %self.damaged(&hole), "damage in a segment");
        Ok(hole)
    }

    fn remember_hole(&self, hole: Hole) {
        let mut state = self.lock();
        state.borders.clear();
        let holes = Arc::make_mut(&mut state.holes);
        if !holes.iter().any(|known| known.position == hole.position) {
            holes.push(hole);
            holes.sort_by_key(|hole| hole.position);
        }
    }

    /// What a read into a hole is answered.
    pub(crate) fn damaged(&self, hole: &Hole) -> LogFault {
        LogFault::Damaged {
            path: self.path().to_path_buf(),
            position: hole.position,
            offset: hole.from,
            why: hole.why.clone(),
        }
    }

    /// The first indexed batch behind `position` that is really there, or `end`.
    fn next_indexed(
        &self,
        file: &dyn DiskFile,
        position: u64,
        expected: Offset,
        end: u64,
    ) -> Result<(u64, Offset), LogFault> {
        // The index finds the last entry before a place, so look further and further ahead.
        let mut beyond = position;
        let mut distance: u64 = 4096;
        while beyond < end {
            beyond = position.saturating_add(distance).min(end);
            distance *= 2;
            let entry = self.index_entry(|entry| u64::from(entry.position) < beyond)?;
            if let Some(entry) = entry.filter(|entry| u64::from(entry.position) > position)
                && let Some(base) = self.entry_is_true(file, entry, expected, end)?
            {
                return Ok((u64::from(entry.position), base));
            }
        }
        Ok((end, expected))
    }

    fn entry_is_true(
        &self,
        file: &dyn DiskFile,
        entry: OffsetEntry,
        expected: Offset,
        end: u64,
    ) -> Result<Option<Offset>, LogFault> {
        let position = u64::from(entry.position);
        Ok(whole_batch_at(file, self.base(), position, expected, end)?
            .filter(|head| head.last_offset() == entry.last_offset(self.base()))
            .map(|head| head.base_offset))
    }
}

/// Where batches go on behind the bad bytes at `bad`: the first position from which whole batches
/// lead exactly to `goal`, or are at least three, so that a batch inside some record's value is
/// not taken for one of ours. Otherwise `goal` itself.
pub(crate) fn next_batch(
    file: &dyn DiskFile,
    segment_base: Offset,
    (bad, expected): (u64, Offset),
    (goal, goal_offset): (u64, Offset),
    end: u64,
) -> Result<(u64, Offset), LogFault> {
    let mut from = bad + 1;
    // A file made on purpose can claim a batch at every byte.
    let mut checked_bytes_left = CHECKED_SPANS_MAX * (goal - bad);
    let mut window = vec![0; SCAN_BYTES];
    while from + BATCH_HEADER_BYTES as u64 <= goal {
        let length = (goal - from).min(SCAN_BYTES as u64) as usize;
        let read = file.read_at(&mut window[..length], from)?;
        let bytes = &window[..read];
        if read < BATCH_HEADER_BYTES {
            break;
        }
        for at in 0..=read - BATCH_HEADER_BYTES {
            if bytes[at + 16] != 2 {
                continue;
            }
            let position = from + at as u64;
            let Some(claimed) = BatchHead::parse(&bytes[at..])
                .ok()
                .filter(|head| head_is_sane(head, segment_base, expected, goal - position).is_ok())
            else {
                continue;
            };
            let Some(left) = checked_bytes_left.checked_sub(claimed.size_bytes() as u64) else {
                return Ok((goal, goal_offset));
            };
            checked_bytes_left = left;
            if let Some(head) = whole_batch_at(file, segment_base, position, expected, end)?
                && leads_to(file, segment_base, (position, head.base_offset), goal)?
            {
                return Ok((position, head.base_offset));
            }
        }
        from += (read - BATCH_HEADER_BYTES + 1) as u64;
    }
    Ok((goal, goal_offset))
}

/// The batch at `position`, if all of it is there and has its CRC.
fn whole_batch_at(
    file: &dyn DiskFile,
    segment_base: Offset,
    position: u64,
    expected: Offset,
    end: u64,
) -> Result<Option<BatchHead>, LogFault> {
    let mut walk = Walk::new(file, segment_base, (position, expected), end, &[]);
    let Step::Batch { head, position } = walk.step()? else {
        return Ok(None);
    };
    let whole = head.crc_matches(walk.batch_bytes(&head, position)?);
    Ok(whole.then_some(head))
}

/// Behind damage there may be more of it, or a torn tail.
const CHAIN_MIN: usize = 3;

fn leads_to(
    file: &dyn DiskFile,
    segment_base: Offset,
    from: (u64, Offset),
    goal: u64,
) -> Result<bool, LogFault> {
    let mut walk = Walk::new(file, segment_base, from, goal, &[]);
    for _ in 0..CHAIN_MIN {
        match walk.step()? {
            Step::Batch { .. } => {}
            Step::End => return Ok(true),
            Step::Bad { .. } => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::BorrowedFd;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    use ottla_model::batch::{BatchBuilder, BatchSpec};

    use super::*;

    #[derive(Debug)]
    struct Counting {
        bytes: Vec<u8>,
        read: AtomicU64,
    }

    impl DiskFile for Counting {
        fn path(&self) -> PathBuf {
            "counting".into()
        }
        fn len(&self) -> Result<u64, LogFault> {
            Ok(self.bytes.len() as u64)
        }
        fn write_all_at(&self, _: &mut [IoSlice<'_>], _: u64) -> Result<(), LogFault> {
            unreachable!("it is only read")
        }
        fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault> {
            let rest = &self.bytes[(position as usize).min(self.bytes.len())..];
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            self.read.fetch_add(length as u64, Ordering::Relaxed);
            Ok(length)
        }
        fn set_len(&self, _: u64) -> Result<(), LogFault> {
            unreachable!("it is only read")
        }
        fn sync(&self) -> Result<(), LogFault> {
            unreachable!("it is only read")
        }
        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    /// A file can be made in which each batch header claims all that is behind it.
    #[test]
    fn a_file_full_of_claims_costs_a_bounded_search() {
        let mut builder = BatchBuilder::new(BatchSpec::default(), 0);
        builder.push(None, Some(b"x"), &[], 0);
        let mut batch = builder.build();
        batch.stamp(Offset(0), ottla_model::ids::LeaderEpoch(0));
        let header = &batch.freeze().1[..BATCH_HEADER_BYTES];
        let count = 4_000;
        let size = count * BATCH_HEADER_BYTES;
        let mut bytes = header.repeat(count);
        for at in (0..size).step_by(BATCH_HEADER_BYTES) {
            let length = (size - at - 12) as u32;
            bytes[at + 8..at + 12].copy_from_slice(&length.to_be_bytes());
        }
        let file = Counting {
            bytes,
            read: AtomicU64::new(0),
        };
        let goal = (size as u64, Offset(7));
        let found = next_batch(&file, Offset(0), (0, Offset(0)), goal, size as u64).unwrap();
        assert_eq!(found, goal);
        let read = file.read.into_inner();
        assert!(read < 20 * size as u64, "{read} bytes read of {size}");
    }
}
