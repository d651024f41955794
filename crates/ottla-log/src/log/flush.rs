//! One log's part in a flush round: what to sync, and what it means that it was.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_model::ids::{LeaderEpoch, Offset};

use super::reserve::STRIDE_MIN;
use super::{Dirty, LocalLog, Place, State};
use crate::checkpoint::{Synced, encode_epochs, replace};
use crate::disk::Disk;
use crate::file_names::EPOCHS;
use crate::local::marks::Slot;
use crate::segment::{Segment, index_paths};
use crate::store::LogFault;

/// What a round syncs of one log.
pub(crate) struct FlushTask {
    pub(crate) log: Arc<LocalLog>,
    segments: Vec<Arc<Segment>>,
    files: Vec<PathBuf>,
    directory: bool,
    /// The root must be synced, too.
    pub(crate) root: bool,
    epochs: Option<Vec<u8>>,
    /// Everything below is stable once the task is done.
    target: Offset,
    /// The same without the gap that the log may end with: what is torn behind the last record must
    /// not look like damage below the mark.
    stable: Offset,
    place: Option<Place>,
    reserve: Option<Offset>,
    epoch: Option<LeaderEpoch>,
    indexed: Offset,
}

/// How much a round syncs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// Everything.
    All,
    /// All but the segment that still grows: dev mode leaves it to the operating system.
    SealedOnly,
}

impl LocalLog {
    /// Takes what has to be synced. What is appended from here on belongs to the next round.
    pub(crate) fn begin_flush(self: &Arc<Self>, extent: Extent) -> Option<FlushTask> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.dirty.queued = false;
        if state.closed.is_some() {
            return None;
        }
        let reserve = state
            .reservation
            .runs_low(state.written)
            .then(|| state.written + state.reservation.stride.max(STRIDE_MIN));
        let active = state.active().clone();
        let (target, place, segments) = match extent {
            Extent::All => {
                let position = active.size_bytes().ok();
                let place = position.map(|position| Place {
                    offset: state.written,
                    segment_base: active.base(),
                    position,
                });
                (state.written, place, mem::take(&mut state.dirty.segments))
            }
            Extent::SealedOnly => {
                let (growing, sealed): (Vec<_>, Vec<_>) = mem::take(&mut state.dirty.segments)
                    .into_iter()
                    .partition(|segment| segment.base() == active.base());
                let target = if growing.is_empty() {
                    state.written
                } else {
                    active.base()
                };
                state.dirty.segments = growing;
                (target, None, sealed)
            }
        };
        let dirty = &mut state.dirty;
        Some(FlushTask {
            log: self.clone(),
            segments,
            files: mem::take(&mut dirty.files),
            directory: mem::take(&mut dirty.directory),
            root: mem::take(&mut dirty.root),
            epochs: mem::take(&mut dirty.epochs).then(|| encode_epochs(state.epochs.rows())),
            target,
            stable: target.min(state.data_end),
            place,
            reserve,
            epoch: state.epochs.latest(),
            indexed: dirty.indexed,
        })
    }

    /// Wakes the flusher for this log.
    pub(super) fn ask_for_flush(&self) {
        let queued = mem::replace(&mut self.lock().dirty.queued, true);
        if !queued {
            self.shared.queue.push(self.me.clone());
        }
    }
}

impl FlushTask {
    /// True if nothing but the content of segments is to be synced.
    pub(crate) fn has_content_only(&self) -> bool {
        self.files.is_empty() && !self.directory && !self.root && self.epochs.is_none()
    }

    /// Makes everything durable but the directory's own name.
    pub(crate) fn sync(&mut self) -> Result<(), LogFault> {
        let shared = &self.log.shared;
        let disk: &dyn Disk = &*shared.disk;
        if let Some(bytes) = &self.epochs {
            replace(disk, &self.log.directory.join(EPOCHS), bytes, Synced::Yes)?;
            self.directory = true;
        }
        // Oldest first: should a sync fail, what is durable is a prefix.
        for segment in &self.segments {
            segment.file()?.sync()?;
        }
        for path in &self.files {
            match disk.open(path, false) {
                Ok(file) => file.sync()?,
                // An old snapshot that was dropped since.
                Err(fault) if fault.is_not_found() => {}
                Err(fault) => return Err(fault),
            }
        }
        if self.directory {
            shared.sync_dir(&self.log.directory)?;
        }
        Ok(())
    }

    /// Moves the durable mark and tells the listener, once everything is durable.
    pub(crate) fn advance(&self) {
        let moved = {
            let mut state = self.log.lock();
            let moved = state.closed.is_none() && self.target > state.durable;
            if moved {
                state.durable = self.target;
                state.durable_place = self.place;
            }
            moved.then(|| state.marks())
        };
        if let Some(marks) = moved {
            self.log.announce(marks);
        }
        self.log.drop_old_snapshots();
    }

    /// Writes the marks of this round. True if they should be made durable soon.
    pub(crate) fn write_marks(&self) -> Result<bool, LogFault> {
        self.log
            .shared
            .marks
            .update(self.log.slot, |slot: &mut Slot| {
                slot.stable = slot.stable.max(self.stable);
                slot.indexed = slot.indexed.max(self.indexed);
                if let Some(reserve) = self.reserve {
                    slot.reserved = slot.reserved.max(reserve);
                }
                slot.epoch = slot.epoch.max(self.epoch.unwrap_or(slot.epoch));
            })?;
        Ok(self.reserve.is_some())
    }

    /// The marks of this round are durable.
    pub(crate) fn marks_synced(&self) {
        if let Some(reserve) = self.reserve {
            self.log.reserved(reserve, self.epoch);
        }
    }

    /// A sync failed: nothing above the durable mark can be trusted any more.
    pub(crate) fn fail(&self, fault: &LogFault) {
        if self.log.lock().refuse_if_removed().is_err() {
            // Its files went while they were being synced.
            return;
        }
        tracing::error!(log = %self.log.name, %fault, "the log closes: a sync failed");
        self.log.shared.marks.note_failed_sync();
        self.log.close(fault, false);
    }
}

impl Dirty {
    pub(super) fn add_segment(&mut self, segment: &Arc<Segment>) {
        // Segments come in the order of their offsets.
        if self
            .segments
            .last()
            .is_none_or(|last| last.base() != segment.base())
        {
            self.segments.push(segment.clone());
        }
    }
}

impl LocalLog {
    /// Takes no more appends and completes the indexes, before a clean stop. True if anything has to
    /// be synced.
    pub(crate) fn finish(&self) -> Result<bool, LogFault> {
        let _writer = self.lock_writer();
        let (active, touched) = {
            let mut state = self.lock();
            state.finished = true;
            (state.active().clone(), state.touched || state.is_dirty())
        };
        self.wait_for_pass();
        // Of an empty segment too: who looks at the files expects them.
        if touched {
            active.write_index_files()?;
            let mut state = self.lock();
            state.dirty.files.extend(index_paths(active.path()));
            state.dirty.directory = true;
            state.dirty.indexed = state.data_end;
        }
        Ok(touched)
    }

    /// Base offset of the oldest segment.
    pub(crate) fn first_segment_base(&self) -> Offset {
        self.lock().segments[0].base()
    }
}

impl State {
    /// True if a round would find something.
    pub(super) fn is_dirty(&self) -> bool {
        let dirty = &self.dirty;
        !dirty.segments.is_empty()
            || !dirty.files.is_empty()
            || dirty.directory
            || dirty.root
            || dirty.epochs
    }
}
