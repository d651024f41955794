//! One log in a directory of segments.
//!
//! Owns the segments, the leader epochs and the snapshots' files. Guarantees: readers see whole
//! batches below the bound that they name; a batch of a later segment is never durable before one of
//! an earlier; after an append that failed the log is as before, or closed.

mod append;
mod clean;
mod epochs;
mod flush;
mod read;
mod recover;
mod reserve;
mod scrub;
mod snapshots;
pub(crate) mod timestamps;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use ottla_model::batch::BatchHead;
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::marks::Marks;
use ottla_model::names::TopicPartition;
use ottla_model::time::WallMs;

pub(crate) use clean::PassLimits;
pub(crate) use epochs::Epochs;
pub(crate) use flush::{Extent, FlushTask};
pub(crate) use recover::{LastStop, OpenRequest};

use clean::CleanState;

use crate::local::Shared;
use crate::local::marks::SlotId;
use crate::segment::Segment;
use crate::store::{
    ActiveSegment, AppendItem, Log, LogConfig, LogFault, MarkListener, Read, ReadError,
    TimestampHit,
};

/// One log of a [`LocalStore`](crate::LocalStore).
pub struct LocalLog {
    name: TopicPartition,
    directory: PathBuf,
    config: LogConfig,
    shared: Arc<Shared>,
    slot: SlotId,
    me: Weak<LocalLog>,
    /// Held by whoever changes files: one append at a time.
    writer: Mutex<()>,
    /// Taken before the state's lock.
    clean: Mutex<CleanState>,
    state: Mutex<State>,
}

struct State {
    /// Never empty, oldest first; the last one is active.
    segments: Vec<Arc<Segment>>,
    log_start: Offset,
    written: Offset,
    /// End of the last record; below `written` if a gap was opened.
    data_end: Offset,
    durable: Offset,
    /// Where in which segment the durable mark is, if known.
    durable_place: Option<Place>,
    /// Largest timestamp of the active segment's first batch.
    first_timestamp_ms: Option<i64>,
    created: WallMs,
    epochs: Epochs,
    /// Offsets of the snapshots, oldest first.
    snapshots: Vec<Offset>,
    /// From where to where a power loss may have torn them.
    doubtful_snapshots: Option<(Offset, Offset)>,
    /// Offsets that are gone with the end of the log.
    lost: Option<Lost>,
    dirty: Dirty,
    reservation: Reservation,
    listener: Option<Weak<dyn MarkListener>>,
    closed: Option<Closed>,
    /// The store is being closed: nothing is appended any more.
    finished: bool,
    /// Something was appended since the log was opened.
    touched: bool,
    /// A process that died may have left removals and cuts that are not durable.
    unsettled: bool,
}

/// An offset that is a batch border, and where that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    offset: Offset,
    segment_base: Offset,
    position: u64,
}

/// Offsets below the stable mark that the files no longer have.
#[derive(Clone, Debug)]
struct Lost {
    from: Offset,
    to: Offset,
    fault: LogFault,
}

struct Closed {
    fault: LogFault,
    /// Nothing may be read any more.
    removed: bool,
}

/// What a sync still has to cover.
#[derive(Default)]
struct Dirty {
    segments: Vec<Arc<Segment>>,
    /// Other files, written whole and closed.
    files: Vec<PathBuf>,
    /// There are names in the directory that are not durable.
    directory: bool,
    /// The directory's own name is not durable.
    root: bool,
    epochs: bool,
    /// The index files have the entries of the batches below.
    indexed: Offset,
    queued: bool,
}

/// Offsets that records may be given without asking the mark file.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    /// Durably reserved up to here.
    reserved: Offset,
    /// How far ahead to reserve.
    stride: i64,
    /// The marks have to be synced before the next append: they lack the newest epoch, or what the
    /// last recovery found is not durable in them.
    marks_unsynced: bool,
}

impl LocalLog {
    /// The partition.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets nothing be appended any more, and nothing be read if the log is removed.
    pub(crate) fn close(&self, fault: &LogFault, removed: bool) {
        let listener = {
            let mut state = self.lock();
            match &mut state.closed {
                Some(closed) => {
                    closed.removed |= removed;
                    return;
                }
                None => {
                    state.closed = Some(Closed {
                        fault: fault.clone(),
                        removed,
                    })
                }
            }
            state.dirty = Dirty::default();
            state.listener.clone()
        };
        if let Some(listener) = listener.and_then(|listener| listener.upgrade()) {
            listener.closed(fault);
        }
    }

    /// Closes the log for good and waits for the append and the pass of compaction in flight, which
    /// may be making files.
    pub(crate) fn close_for_removal(&self) {
        self.close(&LogFault::Closed("it was removed".into()), true);
        drop(self.lock_writer());
        self.wait_for_pass();
    }

    /// The fault that closed the log.
    pub(crate) fn closed_by(&self) -> Option<LogFault> {
        self.lock().closed_by()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, marks: Marks) {
        let listener = self.lock().listener.clone();
        if let Some(listener) = listener.and_then(|listener| listener.upgrade()) {
            listener.advanced(marks);
        }
    }
}

impl State {
    fn marks(&self) -> Marks {
        Marks {
            log_start: self.log_start,
            written: self.written,
            durable: self.durable,
        }
    }

    fn active(&self) -> &Arc<Segment> {
        &self.segments[self.segments.len() - 1]
    }

    /// Index of the segment that holds `offset`, or would.
    fn segment_of(&self, offset: Offset) -> usize {
        self.segments
            .partition_point(|segment| segment.base() <= offset)
            .saturating_sub(1)
    }

    fn closed_by(&self) -> Option<LogFault> {
        self.closed.as_ref().map(|closed| closed.fault.clone())
    }

    fn refuse_if_closed(&self) -> Result<(), LogFault> {
        match &self.closed {
            Some(closed) => Err(LogFault::Closed(closed.fault.to_string())),
            None if self.finished => Err(LogFault::Closed("the store is closing".into())),
            None => Ok(()),
        }
    }

    fn refuse_if_removed(&self) -> Result<(), LogFault> {
        match &self.closed {
            Some(closed) if closed.removed => Err(LogFault::Closed(closed.fault.to_string())),
            _ => Ok(()),
        }
    }
}

impl Log for LocalLog {
    fn marks(&self) -> Marks {
        self.lock().marks()
    }

    fn listen(&self, listener: Weak<dyn MarkListener>) {
        let (marks, closed) = {
            let mut state = self.lock();
            state.listener = Some(listener.clone());
            (state.marks(), state.closed_by())
        };
        if let Some(listener) = listener.upgrade() {
            listener.advanced(marks);
            if let Some(fault) = closed {
                listener.closed(&fault);
            }
        }
    }

    fn append(&self, items: &[AppendItem]) -> Result<Marks, LogFault> {
        self.append_items(items)
    }

    fn probe(&self, bytes: usize) -> Result<(), LogFault> {
        self.probe_disk(bytes)
    }

    fn active_segment(&self) -> ActiveSegment {
        let state = self.lock();
        let mut segment = ActiveSegment::empty(state.active().base(), state.created);
        // The active segment's size is known without asking the disk.
        segment.size_bytes = state.active().size_bytes().unwrap_or_default();
        segment.first_timestamp_ms = state.first_timestamp_ms;
        segment
    }

    fn snapshots(&self) -> Vec<Offset> {
        self.lock().snapshots.iter().rev().copied().collect()
    }

    fn read_snapshot(&self, at: Offset) -> Result<Bytes, LogFault> {
        self.read_snapshot_file(at)
    }

    fn write_snapshot(&self, at: Offset, bytes: &[u8]) -> Result<(), LogFault> {
        self.write_snapshot_file(at, bytes)
    }

    fn offset_before(&self, from: Offset, bytes_back: u64) -> Offset {
        self.find_offset_before(from, bytes_back)
    }

    fn replay(
        &self,
        from: Offset,
        whole: bool,
        visit: &mut dyn FnMut(&BatchHead, &[u8]) -> bool,
    ) -> Result<(), LogFault> {
        self.visit_batches(from, whole, visit)
    }

    fn read(
        &self,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        self.read_slice(from, bound, bytes_max, at_least_one)
    }

    fn find_timestamp(
        &self,
        timestamp_ms: i64,
        bound: Offset,
    ) -> Result<Option<TimestampHit>, LogFault> {
        self.first_at_or_after(timestamp_ms, bound)
    }

    fn max_timestamp(&self, bound: Offset) -> Result<Option<TimestampHit>, LogFault> {
        self.first_of_the_latest(bound)
    }

    fn segment_starts(
        &self,
        latest_ms: Option<i64>,
        count_max: usize,
    ) -> Result<Vec<Offset>, LogFault> {
        self.starts_of_segments(latest_ms, count_max)
    }

    fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<(), LogFault> {
        let _writer = self.lock_writer();
        let mut state = self.lock();
        state.refuse_if_closed()?;
        let start = state.data_end;
        if state.epochs.begin(epoch, start) {
            // Written when the first record of the epoch is: no record, no trace needed. A restart
            // in between begins the same epoch again.
            state.reservation.marks_unsynced = true;
            state.dirty.epochs = true;
        }
        Ok(())
    }

    fn epoch_end(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.lock();
        state.epochs.end_of(epoch, state.written)
    }

    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.lock().epochs.at(offset)
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog")
            .field("name", &self.name)
            .field("marks", &self.lock().marks())
            .finish_non_exhaustive()
    }
}
