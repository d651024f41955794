//! The two indexes of a segment: growing with it, then sealed, and built anew when they lie.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use super::Segment;
use crate::checkpoint::{Synced, replace};
use crate::disk::Disk;
use crate::file_names::{SegmentFile, segment_file};
use crate::index_file::{Growing, INDEX_BYTES_MAX, last, last_below};
use crate::maps::IndexBytes;
use crate::offset_index::{OFFSET_ENTRY_BYTES, OffsetEntry, RawOffsetEntry};
use crate::store::{LogConfig, LogFault};
use crate::time_index::{RawTimeEntry, TIME_ENTRY_BYTES, TimeEntry};
use crate::walk::{Step, Walk};

/// The indexes of a segment.
#[derive(Debug)]
pub(crate) enum Indexes {
    /// In memory, the older part in the files.
    Growing(Box<GrowingIndexes>),
    /// Complete in the files; `None` until somebody asks.
    Sealed(Option<Arc<SealedIndexes>>),
}

/// The indexes of a segment that still grows.
#[derive(Debug)]
pub(crate) struct GrowingIndexes {
    base: Offset,
    offsets: Growing<OFFSET_ENTRY_BYTES>,
    times: Growing<TIME_ENTRY_BYTES>,
    bytes_since_entry: u64,
    latest: TimeEntry,
}

/// The indexes of a sealed segment.
#[derive(Debug)]
pub(crate) struct SealedIndexes {
    pub(super) offsets: IndexBytes,
    pub(super) times: IndexBytes,
}

/// How far growing indexes were, to take back what an append that failed added.
#[derive(Debug)]
pub(crate) struct IndexMark {
    offsets: (usize, Option<RawOffsetEntry>),
    times: (usize, Option<RawTimeEntry>),
    bytes_since_entry: u64,
    latest: TimeEntry,
}

impl Indexes {
    /// Empty indexes of a new segment.
    pub(crate) fn growing(directory: &Path, base: Offset) -> Indexes {
        Indexes::Growing(Box::new(GrowingIndexes::new(directory, base)))
    }

    /// Indexes that are complete in their files.
    pub(crate) fn sealed() -> Indexes {
        Indexes::Sealed(None)
    }

    /// Largest timestamp, and the last offset of the batch that has it. `None` if not loaded.
    pub(crate) fn latest(&self) -> Option<TimeEntry> {
        match self {
            Indexes::Growing(growing) => Some(growing.latest),
            Indexes::Sealed(sealed) => sealed.as_ref().map(|sealed| sealed.latest()),
        }
    }
}

impl GrowingIndexes {
    pub(crate) fn new(directory: &Path, base: Offset) -> GrowingIndexes {
        let path = |kind| segment_file(directory, base, kind);
        GrowingIndexes {
            base,
            offsets: Growing::new(path(SegmentFile::OffsetIndex)),
            times: Growing::new(path(SegmentFile::TimeIndex)),
            bytes_since_entry: 0,
            latest: TimeEntry::NONE,
        }
    }

    /// The entries in the files of batches that end before `limit`, as far as they make sense for a
    /// log of `size_bytes`. The walk goes on with the batch of the last entry.
    pub(crate) fn load(
        disk: &dyn Disk,
        directory: &Path,
        base: Offset,
        limit: Offset,
        size_bytes: u64,
    ) -> Result<GrowingIndexes, LogFault> {
        let path = |kind| segment_file(directory, base, kind);
        let offsets = Growing::load(disk, path(SegmentFile::OffsetIndex), |previous, raw| {
            let entry = OffsetEntry::decode(raw);
            entry.follows(previous.map(OffsetEntry::decode))
                && entry.last_offset(base) < limit
                && u64::from(entry.position) < size_bytes
        })?;
        // Later time entries are found again by the walk.
        let walked_to = offsets
            .last()
            .map(|raw| OffsetEntry::decode(raw).last_offset(base));
        let times = Growing::load(disk, path(SegmentFile::TimeIndex), |previous, raw| {
            let entry = TimeEntry::decode(raw);
            entry.follows(previous.map(TimeEntry::decode))
                && walked_to.is_some_and(|walked_to| entry.last_offset(base) <= walked_to)
        })?;
        let latest = times.last().map_or(TimeEntry::NONE, TimeEntry::decode);
        Ok(GrowingIndexes {
            base,
            offsets,
            times,
            bytes_since_entry: 0,
            latest,
        })
    }

    /// Where to start a walk that adds what the files did not have.
    pub(crate) fn last_entry(&self) -> Option<OffsetEntry> {
        self.offsets.last().map(OffsetEntry::decode)
    }

    /// Adds a batch (Kafka: `LogSegment.append`).
    pub(crate) fn add(&mut self, head: &BatchHead, position: u64, interval_bytes: u32) {
        let last_offset = head.last_offset();
        if head.max_timestamp_ms > self.latest.timestamp_ms {
            self.latest = TimeEntry::new(self.base, last_offset, head.max_timestamp_ms);
        }
        if self.bytes_since_entry > u64::from(interval_bytes) {
            self.offsets
                .push(OffsetEntry::new(self.base, last_offset, position).encode());
            self.add_latest();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += head.size_bytes() as u64;
    }

    /// What makes the files hold all entries, the largest timestamp included.
    fn all_to_spill(&mut self) -> [Spill; 2] {
        self.add_latest();
        [
            self.offsets.to_spill(self.offsets.tail().len()),
            self.times.to_spill(self.times.tail().len()),
        ]
    }

    fn add_latest(&mut self) {
        let indexed = self.times.last().map_or(TimeEntry::NONE, TimeEntry::decode);
        if self.latest.timestamp_ms > indexed.timestamp_ms {
            self.times.push(self.latest.encode());
        }
    }

    fn mark(&self) -> IndexMark {
        IndexMark {
            offsets: (self.offsets.len(), self.offsets.last().copied()),
            times: (self.times.len(), self.times.last().copied()),
            bytes_since_entry: self.bytes_since_entry,
            latest: self.latest,
        }
    }

    fn restore(&mut self, mark: &IndexMark) {
        self.offsets.truncate(mark.offsets.0, mark.offsets.1);
        self.times.truncate(mark.times.0, mark.times.1);
        self.bytes_since_entry = mark.bytes_since_entry;
        self.latest = mark.latest;
    }
}

impl SealedIndexes {
    fn latest(&self) -> TimeEntry {
        last(&self.times).map_or(TimeEntry::NONE, |raw| TimeEntry::decode(&raw))
    }

    /// Loads both files. `None` if one is missing or cannot be the index of a log of `size_bytes`.
    fn load(
        disk: &dyn Disk,
        log: &Path,
        size_bytes: u64,
    ) -> Result<Option<SealedIndexes>, LogFault> {
        let [offsets, times] = index_paths(log);
        let (Some(offsets), Some(times)) = (
            IndexBytes::load(disk, &offsets, INDEX_BYTES_MAX)?,
            IndexBytes::load(disk, &times, INDEX_BYTES_MAX)?,
        ) else {
            return Ok(None);
        };
        let (first_offset, first_time) = (offsets.first_chunk(), times.first_chunk());
        let (last_offset, last_time) = (
            last::<OFFSET_ENTRY_BYTES>(&offsets),
            last::<TIME_ENTRY_BYTES>(&times),
        );
        let whole = offsets.len().is_multiple_of(OFFSET_ENTRY_BYTES)
            && times.len().is_multiple_of(TIME_ENTRY_BYTES);
        // Zeros at the end are what a crash or Kafka's preallocation leaves; they would read as "no
        // record is later than 1970" and let retention take live data (KAFKA-10207).
        let offsets_fit = match (first_offset, last_offset) {
            (Some(first), Some(last)) => {
                let (first, last) = (OffsetEntry::decode(first), OffsetEntry::decode(&last));
                first.follows(None)
                    && (first == last || last.follows(Some(first)))
                    && u64::from(last.position) < size_bytes
            }
            _ => true,
        };
        let times_fit = match (first_time, last_time) {
            (Some(first), Some(last)) => {
                let (first, last) = (TimeEntry::decode(first), TimeEntry::decode(&last));
                first.follows(None) && (first == last || last.follows(Some(first)))
            }
            _ => size_bytes == 0,
        };
        Ok((whole && offsets_fit && times_fit).then_some(SealedIndexes { offsets, times }))
    }
}

/// Paths of the indexes of a `.log` file.
pub(crate) fn index_paths(log: &Path) -> [PathBuf; 2] {
    [log.with_extension("index"), log.with_extension("timeindex")]
}

impl Segment {
    /// Adds an appended batch that readers do not see yet.
    pub(crate) fn index_batch(&self, head: &BatchHead, position: u64, interval_bytes: u32) {
        if let Indexes::Growing(growing) = &mut self.lock().indexes {
            growing.add(head, position, interval_bytes);
        }
    }

    /// How far the indexes are. `None` if they are sealed.
    pub(crate) fn index_mark(&self) -> Option<IndexMark> {
        match &self.lock().indexes {
            Indexes::Growing(growing) => Some(growing.mark()),
            Indexes::Sealed(_) => None,
        }
    }

    /// Takes back what was added since the mark.
    pub(crate) fn index_restore(&self, mark: &IndexMark) {
        if let Indexes::Growing(growing) = &mut self.lock().indexes {
            growing.restore(mark);
        }
    }

    /// Moves `chunk` entries to the files if there are twice as many in memory. Says up to which offset both files
    /// then have them, so that a sync can follow. A failure is no harm: they stay.
    pub(crate) fn spill_indexes(&self, chunk: usize) -> Option<Offset> {
        let (times, offsets, counts, end) = match &self.lock().indexes {
            Indexes::Growing(growing) if growing.offsets.tail().len() >= 2 * chunk => {
                growing.to_spill(chunk)
            }
            _ => return None,
        };
        // Times first: an offset entry in the file says that the times up to it are there, too.
        for spill in [times, offsets] {
            if let Err(fault) = write_spill(&*self.disk, &spill) {
                tracing::debug!(%fault, "index entries stay in memory");
                return None;
            }
        }
        if let Indexes::Growing(growing) = &mut self.lock().indexes {
            growing.times.spilled(counts.0);
            growing.offsets.spilled(counts.1);
        }
        Some(end)
    }

    /// Makes the index files complete.
    pub(crate) fn write_index_files(&self) -> Result<(), LogFault> {
        let spills = match &mut self.lock().indexes {
            Indexes::Growing(growing) => growing.all_to_spill(),
            Indexes::Sealed(_) => return Ok(()),
        };
        // Outside the lock: readers look up meanwhile.
        spills
            .iter()
            .try_for_each(|spill| write_spill(&*self.disk, spill))
    }

    /// Gives the memory of the indexes back; the files hold them.
    pub(crate) fn seal(&self) {
        self.lock().indexes = Indexes::sealed();
    }

    /// The last offset index entry that `below` accepts; it accepts a prefix of the entries.
    pub(super) fn index_entry(
        &self,
        below: impl Fn(OffsetEntry) -> bool,
    ) -> Result<Option<OffsetEntry>, LogFault> {
        let below = |raw: &RawOffsetEntry| below(OffsetEntry::decode(raw));
        let spot = match &self.lock().indexes {
            Indexes::Growing(growing) => Some(growing.offsets.find(below)),
            Indexes::Sealed(_) => None,
        };
        let raw = match spot {
            Some(spot) => spot.resolve(&*self.disk, below)?,
            None => last_below(&self.sealed_indexes()?.offsets, below),
        };
        Ok(raw.map(|raw| OffsetEntry::decode(&raw)))
    }

    /// The last time index entry that `below` accepts; it accepts a prefix of the entries.
    pub(super) fn last_time_entry(
        &self,
        below: impl Fn(TimeEntry) -> bool,
    ) -> Result<Option<TimeEntry>, LogFault> {
        let below = |raw: &RawTimeEntry| below(TimeEntry::decode(raw));
        let spot = match &self.lock().indexes {
            Indexes::Growing(growing) => Some(growing.times.find(below)),
            Indexes::Sealed(_) => None,
        };
        let raw = match spot {
            Some(spot) => spot.resolve(&*self.disk, below)?,
            None => last_below(&self.sealed_indexes()?.times, below),
        };
        Ok(raw.map(|raw| TimeEntry::decode(&raw)))
    }

    /// Largest timestamp, and the last offset of the batch that has it.
    pub(crate) fn latest(&self) -> Result<TimeEntry, LogFault> {
        if let Some(latest) = self.lock().indexes.latest() {
            return Ok(latest);
        }
        Ok(self.sealed_indexes()?.latest())
    }

    /// An index contradicted the log: builds both anew if the segment is sealed.
    pub(super) fn distrust_indexes(&self) {
        tracing::warn!(segment = %self.path.display(), "an index contradicts its log");
        if matches!(self.lock().indexes, Indexes::Growing(_)) {
            return;
        }
        match self.rebuild_indexes() {
            Ok(indexes) => self.lock().indexes = Indexes::Sealed(Some(indexes)),
            Err(fault) => tracing::warn!(%fault, "the index could not be built anew"),
        }
    }

    pub(super) fn sealed_indexes(&self) -> Result<Arc<SealedIndexes>, LogFault> {
        if let Indexes::Sealed(Some(indexes)) = &self.lock().indexes {
            return Ok(indexes.clone());
        }
        let size_bytes = self.size_bytes()?;
        let indexes = match SealedIndexes::load(&*self.disk, &self.path, size_bytes)? {
            Some(indexes) => Arc::new(indexes),
            None => self.rebuild_indexes()?,
        };
        self.lock().indexes = Indexes::Sealed(Some(indexes.clone()));
        Ok(indexes)
    }

    /// Builds both indexes from the log. The files are replaced if the disk lets us.
    fn rebuild_indexes(&self) -> Result<Arc<SealedIndexes>, LogFault> {
        let (file, size_bytes, holes) = (self.file()?, self.size_bytes()?, self.holes());
        let directory = self.path.parent().unwrap_or(Path::new(""));
        let mut growing = GrowingIndexes::new(directory, self.base);
        let interval = LogConfig::default().index_interval_bytes;
        let mut walk = Walk::new(&*file, self.base, (0, self.base), size_bytes, &holes).far();
        // Damage ends the index early; a lookup behind it then walks from the last entry.
        while let Step::Batch { head, position } = walk.step()? {
            growing.add(&head, position, interval);
        }
        let [offsets_path, times_path] = index_paths(&self.path);
        let (offsets, times) = growing.into_files();
        self.names.with(|| {
            for (path, bytes) in [(offsets_path, &offsets), (times_path, &times)] {
                if let Err(fault) = replace(&*self.disk, &path, bytes, Synced::No) {
                    tracing::debug!(%fault, "an index built anew stays in memory");
                }
            }
        });
        Ok(Arc::new(SealedIndexes {
            offsets: IndexBytes::Memory(offsets),
            times: IndexBytes::Memory(times),
        }))
    }
}

/// Entries on their way to a file: path, position, bytes.
type Spill = (PathBuf, u64, Vec<u8>);

fn write_spill(disk: &dyn Disk, (path, position, bytes): &Spill) -> Result<(), LogFault> {
    let file = disk.open(path, true)?;
    if !bytes.is_empty() {
        file.write_all_at(&mut [IoSlice::new(bytes)], *position)?;
    }
    // What an append that was taken back left behind would read as entries to come.
    file.set_len(position + bytes.len() as u64)
}

impl GrowingIndexes {
    /// The oldest chunk of offsets, the times up to it, their numbers, and the offset behind them.
    fn to_spill(&self, chunk: usize) -> (Spill, Spill, (usize, usize), Offset) {
        let end = OffsetEntry::decode(&self.offsets.tail()[chunk - 1]);
        let times = self
            .times
            .tail()
            .partition_point(|raw| TimeEntry::decode(raw).relative <= end.relative);
        let spills = (self.times.to_spill(times), self.offsets.to_spill(chunk));
        (
            spills.0,
            spills.1,
            (times, chunk),
            end.last_offset(self.base).next(),
        )
    }

    /// Content of both files, of indexes of which nothing has moved there.
    pub(crate) fn into_files(mut self) -> (Vec<u8>, Vec<u8>) {
        self.add_latest();
        (self.offsets.into_bytes(), self.times.into_bytes())
    }
}
