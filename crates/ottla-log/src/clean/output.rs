//! A compacted segment while it is written: `.cleaned` files, which a start deletes.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use crate::disk::{Disk, DiskFile};
use crate::file_names::{CLEANED, SegmentFile, parse_segment_file, segment_file, with_suffix};
use crate::segment::{GrowingIndexes, Segment};
use crate::store::LogFault;

/// Written at once.
const WRITE_BYTES: usize = 1024 * 1024;
/// Synced at once, so that the last sync has little to do and other syncs need not wait for much.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;
/// The files of a compacted segment. The log comes last: whoever finds it finds the others.
pub(super) const FILES: [SegmentFile; 3] = [
    SegmentFile::OffsetIndex,
    SegmentFile::TimeIndex,
    SegmentFile::Log,
];

/// A segment that is being written.
pub(super) struct Output {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    base: Offset,
    file: Arc<dyn DiskFile>,
    /// With what is in the buffer.
    size_bytes: u64,
    buffer: Vec<u8>,
    unsynced_bytes: u64,
    indexes: GrowingIndexes,
    limits: OutputLimits,
}

/// What a segment that is written is bounded by.
#[derive(Clone, Copy)]
pub(crate) struct OutputLimits {
    pub(crate) index_interval_bytes: u32,
    /// Its size, unless one batch alone is larger. At most what a position in an index can be.
    pub(crate) bytes_max: u64,
}

/// A segment that is written and durable, but for its names.
pub(crate) struct Finished {
    base: Offset,
    file: Arc<dyn DiskFile>,
    size_bytes: u64,
    indexes: (Vec<u8>, Vec<u8>),
}

impl Output {
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        base: Offset,
        limits: OutputLimits,
    ) -> Result<Output, LogFault> {
        let path = with_suffix(&segment_file(directory, base, SegmentFile::Log), CLEANED);
        let file = disk.open(&path, true)?;
        // A pass that was stopped may have left some.
        file.set_len(0)?;
        Ok(Output {
            disk: disk.clone(),
            directory: directory.to_path_buf(),
            base,
            file,
            size_bytes: 0,
            buffer: Vec::new(),
            unsynced_bytes: 0,
            indexes: GrowingIndexes::new(directory, base),
            limits,
        })
    }

    /// Whether a batch has to go into another segment: the file would be too large, or the offset
    /// too far from its base.
    pub(super) fn overflows(&self, head: &BatchHead) -> bool {
        self.size_bytes > 0
            && (self.size_bytes + head.size_bytes() as u64 > self.limits.bytes_max
                || head.last_offset() - self.base > i64::from(i32::MAX))
    }

    pub(super) fn push(&mut self, head: &BatchHead, batch: &[u8]) -> Result<(), LogFault> {
        self.indexes
            .add(head, self.size_bytes, self.limits.index_interval_bytes);
        self.buffer.extend_from_slice(batch);
        self.size_bytes += batch.len() as u64;
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Finished, LogFault> {
        self.write()?;
        self.file.sync()?;
        let indexes = self.indexes.into_files();
        for (kind, bytes) in [
            (SegmentFile::OffsetIndex, &indexes.0),
            (SegmentFile::TimeIndex, &indexes.1),
        ] {
            let path = with_suffix(&segment_file(&self.directory, self.base, kind), CLEANED);
            let file = self.disk.open(&path, true)?;
            file.set_len(0)?;
            file.write_all_at(&mut [IoSlice::new(bytes)], 0)?;
            file.sync()?;
        }
        Ok(Finished {
            base: self.base,
            file: self.file,
            size_bytes: self.size_bytes,
            indexes,
        })
    }

    pub(super) fn base(&self) -> Offset {
        self.base
    }

    fn write(&mut self) -> Result<(), LogFault> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let position = self.size_bytes - self.buffer.len() as u64;
        self.file
            .write_all_at(&mut [IoSlice::new(&self.buffer)], position)?;
        self.unsynced_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        if self.unsynced_bytes >= SYNC_BYTES {
            self.file.sync()?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }
}

impl Finished {
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The segment as readers see it while its files are still being renamed.
    pub(crate) fn into_segment(self, disk: &Arc<dyn Disk>, directory: &Path) -> Arc<Segment> {
        Segment::arriving(
            disk.clone(),
            directory,
            self.base,
            (self.file, self.size_bytes),
            self.indexes,
        )
    }
}

/// Deletes what passes that failed left. Its segments need not be those of the next pass, and a start that
/// finds one beside a swap takes the swap for unfinished.
pub(super) fn discard_leftovers(disk: &dyn Disk, directory: &Path) -> Result<(), LogFault> {
    for (name, _) in disk.list(directory)? {
        let unfinished = name.strip_suffix(CLEANED).and_then(parse_segment_file);
        if unfinished.is_some() {
            disk.remove_file(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Deletes what is left of a segment that will not be finished. Where that fails the next pass does it.
pub(super) fn discard(disk: &dyn Disk, directory: &Path, base: Offset) {
    for kind in FILES {
        let path = with_suffix(&segment_file(directory, base, kind), CLEANED);
        if let Err(fault) = disk.remove_file(&path) {
            tracing::debug!(%fault, "an unfinished segment stays until the next pass");
        }
    }
}
