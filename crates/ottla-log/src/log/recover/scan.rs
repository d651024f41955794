//! Walking the segments that a stop may have left unfinished.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::batch::BatchHead;
use ottla_model::ids::{LeaderEpoch, Offset};

use crate::disk::{Disk, DiskFile};
use crate::file_names::{SegmentFile, segment_file};
use crate::segment::{GrowingIndexes, Indexes, Segment, next_batch};
use crate::store::{Cut, LogFault, Recovery};
use crate::walk::{Hole, Step, Walk};

/// A walk over the end of a log.
pub(super) struct Scan<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) directory: &'a Path,
    pub(super) index_interval_bytes: u32,
    /// Everything below was synced, or was left by a clean stop.
    pub(super) stable: Offset,
    /// The index files can be trusted with the batches below.
    pub(super) indexed: Offset,
    /// Check every batch above, and cut at the first that is not whole.
    pub(super) check: bool,
    /// The page cache outlived the process: whatever a write returned for is there, and only the last
    /// write can be torn.
    pub(super) cache_survived: bool,
    /// Where a gap may have been opened. `None`: there are no marks, so gaps may be anywhere.
    pub(super) floor: Option<Offset>,
    pub(super) recovery: &'a mut Recovery,
    /// First offset of each epoch that was met.
    pub(super) epochs: Vec<(LeaderEpoch, Offset)>,
}

/// A segment that was walked through.
pub(super) struct Scanned {
    pub(super) segment: Arc<Segment>,
    /// End of its last record, or its base.
    pub(super) end: Offset,
    pub(super) size_bytes: u64,
    pub(super) first_timestamp_ms: Option<i64>,
    pub(super) damaged: bool,
}

impl Scan<'_> {
    /// Walks segments, the last of which is active. Returns those that stay.
    pub(super) fn run(&mut self, bases: &[Offset]) -> Result<Vec<Scanned>, LogFault> {
        let mut done: Vec<Scanned> = Vec::with_capacity(bases.len());
        for (nth, base) in bases.iter().enumerate() {
            if let Some(end) = done.last().map(|before| before.end)
                && self.check
                && end >= self.stable
                && (*base < end || (*base > end && self.floor.is_some_and(|floor| floor != *base)))
            {
                self.remove(
                    &bases[nth..],
                    &format!("the segment before it ends at offset {end}"),
                )?;
                break;
            }
            let cuts = self.recovery.cuts.len();
            let scanned = self.walk(*base, nth == 0, bases.get(nth + 1).copied())?;
            done.push(scanned);
            if self.recovery.cuts.len() > cuts {
                self.remove(&bases[nth + 1..], "the segment before it was cut")?;
                break;
            }
        }
        Ok(done)
    }

    fn walk(
        &mut self,
        base: Offset,
        first: bool,
        next_base: Option<Offset>,
    ) -> Result<Scanned, LogFault> {
        let path = segment_file(self.directory, base, SegmentFile::Log);
        let file = self.disk.open(&path, false)?;
        let mut size_bytes = file.len()?;
        let (mut indexes, mut from) = self.indexes(&*file, base, size_bytes, first)?;
        let mut first_timestamp_ms = None;
        if from > 0
            && let Step::Batch { head, .. } =
                Walk::new(&*file, base, (0, base), size_bytes, &[]).step()?
        {
            first_timestamp_ms = Some(head.max_timestamp_ms);
        }
        let mut holes: Vec<Hole> = Vec::new();
        let mut end = base;
        'walk: loop {
            let mut walk = Walk::new(&*file, base, (from, end), size_bytes, &[]).far();
            loop {
                let step = walk.step()?;
                let (position, expected, why) = match step {
                    Step::End => break 'walk,
                    Step::Bad {
                        position,
                        expected,
                        why,
                    } => (position, expected, why),
                    Step::Batch { head, position } if self.is_displaced(&head, end) => {
                        let why =
                            format!("base offset {} where {end} must follow", head.base_offset);
                        (position, end, why)
                    }
                    Step::Batch { head, position } => {
                        let is_last = walk.position() >= size_bytes;
                        let doubtful = self.check && (is_last || !self.cache_survived);
                        if !doubtful || head.crc_matches(walk.batch_bytes(&head, position)?) {
                            self.note(&head);
                            indexes.add(&head, position, self.index_interval_bytes);
                            first_timestamp_ms.get_or_insert(head.max_timestamp_ms);
                            end = head.next_offset();
                            continue;
                        }
                        let why = String::from("the CRC does not match");
                        if head.base_offset < self.stable && walk.goes_on()? {
                            // The head made sense, so only this batch is lost.
                            let hole = Hole {
                                position,
                                end: walk.position(),
                                from: head.base_offset,
                                to: head.next_offset(),
                                why,
                            };
                            end = hole.to;
                            self.report(&path, &hole);
                            holes.push(hole);
                            continue;
                        }
                        (position, head.base_offset, why)
                    }
                };
                if self.check && expected >= self.stable {
                    self.cut(&path, &*file, (position, size_bytes), expected, why)?;
                    size_bytes = position;
                    break 'walk;
                }
                // Nothing says how far the damage goes if no batch follows: up to the next segment,
                // or to what was stable.
                let stable = if self.stable == Offset(i64::MAX) {
                    expected
                } else {
                    self.stable
                };
                let to = next_base.unwrap_or(stable).max(expected);
                let (next, to) = next_batch(
                    &*file,
                    base,
                    (position, expected),
                    (size_bytes, to),
                    size_bytes,
                )?;
                let hole = Hole {
                    position,
                    end: next,
                    from: expected,
                    to,
                    why,
                };
                self.report(&path, &hole);
                (from, end) = (hole.end, hole.to);
                holes.push(hole);
                continue 'walk;
            }
        }
        let damaged = !holes.is_empty();
        let segment = Segment::recovered(
            self.disk.clone(),
            self.directory,
            base,
            size_bytes,
            Indexes::Growing(Box::new(indexes)),
            holes,
        );
        Ok(Scanned {
            segment,
            end,
            size_bytes,
            first_timestamp_ms,
            damaged,
        })
    }

    /// What the index files have of the part that need not be checked, and where to go on.
    fn indexes(
        &self,
        file: &dyn DiskFile,
        base: Offset,
        size_bytes: u64,
        first: bool,
    ) -> Result<(GrowingIndexes, u64), LogFault> {
        // An unclean stop leaves index entries of the later segments in any state.
        if first || !self.check {
            let loaded =
                GrowingIndexes::load(&**self.disk, self.directory, base, self.indexed, size_bytes)?;
            if let Some(entry) = loaded.last_entry() {
                let position = u64::from(entry.position);
                let mut walk = Walk::new(file, base, (position, base), size_bytes, &[]);
                if let Step::Batch { head, .. } = walk.step()?
                    && head.last_offset() == entry.last_offset(base)
                {
                    return Ok((loaded, position));
                }
            }
        }
        Ok((GrowingIndexes::new(self.directory, base), 0))
    }

    /// The base offset lies outside the CRC: a torn write can leave a batch whole but for it. Above
    /// the stable mark batches follow each other without a gap but the one that is known, and below
    /// the end of that one there are none.
    fn is_displaced(&self, head: &BatchHead, end: Offset) -> bool {
        self.check
            && end >= self.stable
            && self
                .floor
                .is_some_and(|floor| head.base_offset != end.max(floor))
    }

    fn note(&mut self, head: &BatchHead) {
        if self
            .epochs
            .last()
            .is_none_or(|(latest, _)| head.leader_epoch > *latest)
        {
            self.epochs.push((head.leader_epoch, head.base_offset));
        }
    }

    fn report(&mut self, path: &Path, hole: &Hole) {
        self.recovery.damage.push(LogFault::Damaged {
            path: path.to_path_buf(),
            position: hole.position,
            offset: hole.from,
            why: hole.why.clone(),
        });
    }

    /// Cuts a torn tail, durably: bytes behind the cut must not come up again behind later appends.
    fn cut(
        &mut self,
        path: &Path,
        file: &dyn DiskFile,
        (position, size_bytes): (u64, u64),
        from: Offset,
        why: String,
    ) -> Result<(), LogFault> {
        file.set_len(position)?;
        file.sync()?;
        let length_bytes = size_bytes - position;
        self.recovery.cuts.push(Cut {
            path: path.to_path_buf(),
            position,
            length_bytes,
            from,
            why,
        });
        Ok(())
    }

    /// Removes segments behind a hole. They lie above the stable mark, and their records were never
    /// durable: a segment's are only after those of the one before it.
    fn remove(&mut self, bases: &[Offset], why: &str) -> Result<(), LogFault> {
        for base in bases {
            let path = segment_file(self.directory, *base, SegmentFile::Log);
            let length_bytes = self.disk.open(&path, false)?.len()?;
            for path in files_of(self.directory, *base) {
                self.disk.remove_file(&path)?;
            }
            self.recovery.cuts.push(Cut {
                path,
                position: 0,
                length_bytes,
                from: *base,
                why: why.to_owned(),
            });
        }
        Ok(())
    }
}

/// The files of a segment, its snapshot left out.
fn files_of(directory: &Path, base: Offset) -> [PathBuf; 4] {
    SegmentFile::OF_SEGMENT.map(|kind| segment_file(directory, base, kind))
}
