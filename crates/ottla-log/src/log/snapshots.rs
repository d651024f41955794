//! Snapshots of the machine that lives in the log: files of opaque bytes, named by the offset that
//! they reflect. Their reader checks them: one that a crash tore is skipped, and an older one taken.

use bytes::Bytes;
use ottla_model::ids::Offset;

use super::{LocalLog, State};
use crate::checkpoint::{Synced, replace};
use crate::file_names::{SegmentFile, segment_file};
use crate::store::LogFault;

/// How many are kept.
const SNAPSHOTS_KEPT: usize = 3;
/// Largest snapshot that is read.
const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;

impl LocalLog {
    pub(super) fn read_snapshot_file(&self, at: Offset) -> Result<Bytes, LogFault> {
        let path = segment_file(&self.directory, at, SegmentFile::Snapshot);
        match self.shared.disk.read_file(&path, SNAPSHOT_BYTES_MAX)? {
            Some(bytes) => Ok(bytes.into()),
            None => Err(LogFault::io(
                "read",
                &path,
                std::io::ErrorKind::NotFound.into(),
            )),
        }
    }

    pub(super) fn write_snapshot_file(&self, at: Offset, bytes: &[u8]) -> Result<(), LogFault> {
        let _writer = self.lock_writer();
        self.lock().refuse_if_closed()?;
        self.put_snapshot(at, bytes)?;
        let mut state = self.lock();
        state.add_snapshot(at);
        state
            .dirty
            .files
            .push(segment_file(&self.directory, at, SegmentFile::Snapshot));
        state.dirty.directory = true;
        state.touched = true;
        Ok(())
    }

    /// Writes the file; a sync has to follow.
    pub(super) fn put_snapshot(&self, at: Offset, bytes: &[u8]) -> Result<(), LogFault> {
        let path = segment_file(&self.directory, at, SegmentFile::Snapshot);
        replace(&*self.shared.disk, &path, bytes, Synced::No)
    }

    /// Deletes the files older than the newest few that are surely whole.
    pub(super) fn drop_old_snapshots(&self) {
        let old: Vec<Offset> = {
            let mut state = self.lock();
            let doubtful = state.doubtful_snapshots;
            let is_sure = |at: &Offset| doubtful.is_none_or(|(from, to)| *at < from || *at > to);
            let sure = state.snapshots.iter().rev().filter(|at| is_sure(at));
            let Some(oldest_kept) = sure.copied().nth(SNAPSHOTS_KEPT - 1) else {
                return;
            };
            let count = state.snapshots.partition_point(|at| *at < oldest_kept);
            state.snapshots.drain(..count).collect()
        };
        for at in old {
            let path = segment_file(&self.directory, at, SegmentFile::Snapshot);
            if let Err(fault) = self.shared.disk.remove_file(&path) {
                tracing::debug!(%fault, "an old snapshot stays");
            }
        }
    }
}

impl State {
    pub(super) fn add_snapshot(&mut self, at: Offset) {
        if let Err(place) = self.snapshots.binary_search(&at) {
            self.snapshots.insert(place, at);
        }
    }
}
