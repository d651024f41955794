//! One segment: a `.log` file and its two indexes.
//!
//! Guarantees: what [`Segment::locate`] finds was found in the log itself; an index only shortens the
//! walk, and one that contradicts the log is built anew. Holds one descriptor, opened when needed.
//! Never cuts: that is recovery's, and the append's that failed.

mod borders;
mod holes;
mod indexes;
mod replace;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

pub(crate) use holes::next_batch;
pub(crate) use indexes::{GrowingIndexes, IndexMark, Indexes, index_paths};

use crate::disk::{Disk, DiskFile};
use crate::file_names::{SegmentFile, segment_file};
use crate::offset_index::OffsetEntry;
use crate::store::LogFault;
use crate::time_index::TimeEntry;
use crate::walk::{Hole, Step, Walk};
use borders::Borders;
use replace::Names;

/// One segment of a log.
#[derive(Debug)]
pub(crate) struct Segment {
    disk: Arc<dyn Disk>,
    base: Offset,
    path: PathBuf,
    names: Names,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<Arc<dyn DiskFile>>,
    /// Bytes that readers may see. `None`: a sealed segment that nobody has opened yet.
    size_bytes: Option<u64>,
    indexes: Indexes,
    /// Bytes that are no batches.
    holes: Arc<Vec<Hole>>,
    borders: Borders,
}

/// A batch and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    /// Its head.
    pub(crate) head: BatchHead,
    /// Its first byte.
    pub(crate) position: u64,
}

impl Segment {
    /// Creates the file of an empty segment. The name becomes durable with the directory's sync.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        directory: &Path,
        base: Offset,
    ) -> Result<Arc<Segment>, LogFault> {
        let segment = Segment::new(disk, directory, base, Some(0));
        let file = segment.disk.open(&segment.path, true)?;
        // Left over from a segment that was rolled to and taken back.
        if !file.is_empty()? {
            file.set_len(0)?;
        }
        segment.lock().file = Some(file);
        Ok(Arc::new(segment))
    }

    /// A sealed segment that is there, opened when it is needed.
    pub(crate) fn sealed(disk: Arc<dyn Disk>, directory: &Path, base: Offset) -> Arc<Segment> {
        let segment = Segment::new(disk, directory, base, None);
        segment.lock().indexes = Indexes::sealed();
        Arc::new(segment)
    }

    /// A segment that recovery has walked through.
    pub(crate) fn recovered(
        disk: Arc<dyn Disk>,
        directory: &Path,
        base: Offset,
        size_bytes: u64,
        indexes: Indexes,
        holes: Vec<Hole>,
    ) -> Arc<Segment> {
        let segment = Segment::new(disk, directory, base, Some(size_bytes));
        {
            let mut state = segment.lock();
            state.indexes = indexes;
            state.holes = Arc::new(holes);
        }
        Arc::new(segment)
    }

    fn new(
        disk: Arc<dyn Disk>,
        directory: &Path,
        base: Offset,
        size_bytes: Option<u64>,
    ) -> Segment {
        Segment {
            disk,
            base,
            path: segment_file(directory, base, SegmentFile::Log),
            names: Names::default(),
            state: Mutex::new(State {
                file: None,
                size_bytes,
                indexes: Indexes::growing(directory, base),
                holes: Arc::default(),
                borders: Borders::default(),
            }),
        }
    }

    /// Its base offset.
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Path of its `.log` file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its `.log` file, opened if it is not.
    pub(crate) fn file(&self) -> Result<Arc<dyn DiskFile>, LogFault> {
        if let Some(file) = &self.lock().file {
            return Ok(file.clone());
        }
        let file = self.disk.open(&self.path, false)?;
        Ok(self.lock().file.get_or_insert(file).clone())
    }

    /// Bytes that readers may see.
    pub(crate) fn size_bytes(&self) -> Result<u64, LogFault> {
        if let Some(size) = self.lock().size_bytes {
            return Ok(size);
        }
        let size = self.file()?.len()?;
        Ok(*self.lock().size_bytes.get_or_insert(size))
    }

    /// Lets readers see appended bytes up to `size_bytes`.
    pub(crate) fn publish(&self, size_bytes: u64) {
        self.lock().size_bytes = Some(size_bytes);
    }

    /// The batch that holds `target`, or the next one after it, of those that begin before `end`.
    /// `None` if there is none.
    pub(crate) fn locate(&self, target: Offset, end: u64) -> Result<Option<Located>, LogFault> {
        let known = self.lock().borders.find(target);
        if let Some(known) = known.filter(|known| known.position < end) {
            return Ok(Some(known));
        }
        let start = self.index_entry(|entry| entry.last_offset(self.base) <= target)?;
        self.locate_from(
            start,
            end,
            |located| located.head.last_offset() >= target,
            target,
        )
    }

    /// The last border between batches at or below `limit`, which lies at or behind the border
    /// `start` of a batch whose base is `expected`; also the end of its last batch. The batch that
    /// begins there is kept in mind.
    pub(crate) fn border_at_or_below(
        &self,
        limit: u64,
        (start, expected): (u64, Offset),
        end: u64,
    ) -> Result<u64, LogFault> {
        let mut entry = self
            .index_entry(|entry| u64::from(entry.position) <= limit)?
            .filter(|entry| (start + 1..end).contains(&u64::from(entry.position)));
        let file = self.file()?;
        let holes = self.holes();
        let mut border = entry.map_or(start, |entry| u64::from(entry.position));
        let mut walk = Walk::new(&*file, self.base, (border, expected), end, &holes)
            .believing_first(entry.is_some());
        loop {
            let step = walk.step()?;
            if let Some(entry) = entry.take()
                && !matches!(&step, Step::Batch { head, .. }
                    if head.last_offset() == entry.last_offset(self.base))
            {
                // The entry lies: walk all the way.
                self.distrust_indexes();
                border = start;
                walk = Walk::new(&*file, self.base, (start, expected), end, &holes);
                continue;
            }
            match step {
                Step::Batch { position, .. } if position != border => return Ok(border), // a hole
                Step::Batch { .. } if walk.position() <= limit => border = walk.position(),
                Step::Batch { head, position } => {
                    self.lock().borders.keep(Located { head, position });
                    return Ok(border);
                }
                Step::Bad {
                    position,
                    expected,
                    why,
                } => {
                    self.add_hole(position, expected, end, why)?;
                    return Ok(border);
                }
                Step::End => return Ok(border),
            }
        }
    }

    /// Walks from an index entry's batch to the first batch that `wanted` accepts. `target` is the
    /// offset that is looked for: damage is an error only if it holds the target.
    fn locate_from(
        &self,
        start: Option<OffsetEntry>,
        end: u64,
        wanted: impl Fn(&Located) -> bool,
        target: Offset,
    ) -> Result<Option<Located>, LogFault> {
        let file = self.file()?;
        let mut start = start;
        'walk: loop {
            let holes = self.holes();
            let from = (
                start.map_or(0, |entry| u64::from(entry.position)),
                self.base,
            );
            if from.0 >= end && start.is_some() {
                self.distrust_indexes();
                start = None;
                continue;
            }
            let mut first = start;
            let mut walk =
                Walk::new(&*file, self.base, from, end, &holes).believing_first(first.is_some());
            loop {
                match walk.step()? {
                    Step::End => match hole_of(&holes, target) {
                        Some(hole) => return Err(self.damaged(hole)),
                        None => return Ok(None),
                    },
                    Step::Batch { head, position } => {
                        let lies = first.take().is_some_and(|entry| {
                            head.last_offset() != entry.last_offset(self.base)
                        });
                        if lies {
                            self.distrust_indexes();
                            start = None;
                            continue 'walk;
                        }
                        let located = Located { head, position };
                        if wanted(&located) {
                            if let Some(hole) = hole_of(&holes, target) {
                                return Err(self.damaged(hole));
                            }
                            return Ok(Some(located));
                        }
                    }
                    Step::Bad { .. } if first.is_some() => {
                        self.distrust_indexes();
                        start = None;
                        continue 'walk;
                    }
                    Step::Bad {
                        position,
                        expected,
                        why,
                    } => {
                        let hole = self.add_hole(position, expected, end, why)?;
                        if hole.from <= target && target < hole.to {
                            return Err(self.damaged(&hole));
                        }
                        continue 'walk;
                    }
                }
            }
        }
    }

    /// Bytes that are no batches.
    pub(crate) fn holes(&self) -> Arc<Vec<Hole>> {
        self.lock().holes.clone()
    }

    /// The hole that took an offset, if one did.
    pub(crate) fn hole_at(&self, offset: Offset) -> Option<Hole> {
        hole_of(&self.holes(), offset).cloned()
    }

    /// The last time index entry that is earlier than `timestamp_ms`: no record up to it is as late.
    pub(crate) fn time_entry_before(
        &self,
        timestamp_ms: i64,
    ) -> Result<Option<TimeEntry>, LogFault> {
        self.last_time_entry(move |entry| entry.timestamp_ms < timestamp_ms)
    }

    /// The last time index entry of a batch that ends before `offset`.
    pub(crate) fn time_entry_below(&self, offset: Offset) -> Result<Option<TimeEntry>, LogFault> {
        let base = self.base;
        self.last_time_entry(move |entry| entry.last_offset(base) < offset)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hole that took an offset.
fn hole_of(holes: &[Hole], offset: Offset) -> Option<&Hole> {
    holes
        .iter()
        .find(|hole| hole.from <= offset && offset < hole.to)
}
