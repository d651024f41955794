//! One log in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead};
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::marks::Marks;
use ottla_model::time::WallMs;

use super::Queue;
use crate::local::Durability;
use crate::log::Epochs;
use crate::log::timestamps::first_record;
use crate::store::{
    ActiveSegment, AppendItem, Log, LogFault, MarkListener, Read, ReadError, TimestampHit,
};

/// One log of a [`MemoryStore`](super::MemoryStore).
#[derive(Debug)]
pub struct MemoryLog {
    durability: Durability,
    queue: Arc<Queue>,
    me: Weak<MemoryLog>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    batches: Vec<(BatchHead, Bytes)>,
    active: ActiveSegment,
    marks: Marks,
    epochs: Epochs,
    snapshots: BTreeMap<Offset, Bytes>,
    listener: Option<Listener>,
    closed: Option<(LogFault, bool)>,
}

struct Listener(Weak<dyn MarkListener>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

impl MemoryLog {
    pub(super) fn new(durability: Durability, queue: Arc<Queue>) -> Arc<MemoryLog> {
        Arc::new_cyclic(|me| MemoryLog {
            durability,
            queue,
            me: me.clone(),
            state: Mutex::new(State {
                batches: Vec::new(),
                active: ActiveSegment::empty(Offset::ZERO, WallMs(0)),
                marks: Marks::default(),
                epochs: Epochs::default(),
                snapshots: BTreeMap::new(),
                listener: None,
                closed: None,
            }),
        })
    }

    /// Moves the durable mark up to the written end.
    pub(super) fn sync(&self) {
        let marks = {
            let mut state = self.lock();
            if state.closed.is_some() || state.marks.durable == state.marks.written {
                return;
            }
            state.marks.durable = state.marks.written;
            state.marks
        };
        self.announce(|listener| listener.advanced(marks));
    }

    pub(super) fn close(&self, fault: &LogFault, removed: bool) {
        {
            let mut state = self.lock();
            if let Some((_, known_removed)) = &mut state.closed {
                *known_removed |= removed;
                return;
            }
            state.closed = Some((fault.clone(), removed));
        }
        self.announce(|listener| listener.closed(fault));
    }

    fn announce(&self, tell: impl FnOnce(&dyn MarkListener)) {
        let listener = self
            .lock()
            .listener
            .as_ref()
            .and_then(|listener| listener.0.upgrade());
        if let Some(listener) = listener {
            tell(&*listener);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse_if_closed(&self) -> Result<(), LogFault> {
        match &self.closed {
            Some((fault, _)) => Err(LogFault::Closed(fault.to_string())),
            None => Ok(()),
        }
    }

    fn refuse_if_removed(&self) -> Result<(), LogFault> {
        match &self.closed {
            Some((fault, true)) => Err(LogFault::Closed(fault.to_string())),
            _ => Ok(()),
        }
    }

    /// Index of the batch that holds `offset`, or of the next one.
    fn batch_of(&self, offset: Offset) -> usize {
        self.batches
            .partition_point(|(head, _)| head.last_offset() < offset)
    }

    /// Checks everything before anything is changed.
    fn check(&self, items: &[AppendItem]) -> Result<(), LogFault> {
        let mut expected = self.marks.written;
        for item in items {
            let (base, end) = match item {
                AppendItem::Roll { base_offset, .. } => (*base_offset, *base_offset),
                AppendItem::Batch { head, bytes } if head.size_bytes() == bytes.len() => {
                    (head.base_offset, head.next_offset())
                }
                AppendItem::Batch { .. } => (Offset(-1), Offset(-1)),
            };
            if base != expected {
                return Err(LogFault::refused(
                    Path::new("memory"),
                    format!("offset {base} cannot follow {expected}"),
                ));
            }
            expected = end;
        }
        Ok(())
    }

    fn in_bounds(
        &self,
        bound: Offset,
        mut visit: impl FnMut(&BatchHead, &Bytes) -> Result<bool, String>,
    ) -> Result<(), LogFault> {
        self.refuse_if_removed()?;
        let from = self.batch_of(self.marks.log_start);
        for (head, bytes) in &self.batches[from..] {
            if head.base_offset >= bound {
                break;
            }
            let go_on = visit(head, bytes).map_err(|why| LogFault::Damaged {
                path: "memory".into(),
                position: 0,
                offset: head.base_offset,
                why,
            })?;
            if !go_on {
                break;
            }
        }
        Ok(())
    }
}

impl Log for MemoryLog {
    fn marks(&self) -> Marks {
        self.lock().marks
    }

    fn listen(&self, listener: Weak<dyn MarkListener>) {
        let (marks, closed) = {
            let mut state = self.lock();
            state.listener = Some(Listener(listener));
            (state.marks, state.closed.clone())
        };
        self.announce(|listener| {
            listener.advanced(marks);
            if let Some((fault, _)) = &closed {
                listener.closed(fault);
            }
        });
    }

    fn append(&self, items: &[AppendItem]) -> Result<Marks, LogFault> {
        let marks = {
            let mut guard = self.lock();
            let state = &mut *guard;
            state.refuse_if_closed()?;
            state.check(items)?;
            for item in items {
                match item {
                    AppendItem::Roll {
                        base_offset,
                        snapshot,
                    } => {
                        state.active = ActiveSegment::empty(*base_offset, WallMs(0));
                        if let Some(bytes) = snapshot {
                            state.snapshots.insert(*base_offset, bytes.clone());
                        }
                    }
                    AppendItem::Batch { head, bytes } => {
                        state.active.add(head);
                        state.batches.push((*head, bytes.clone()));
                        state.marks.written = head.next_offset();
                    }
                }
            }
            if self.durability == Durability::Os {
                state.marks.durable = state.marks.written;
            }
            state.marks
        };
        match (self.durability, self.me.upgrade()) {
            (Durability::Synced, Some(me)) => self.queue.push(me),
            _ => self.announce(|listener| listener.advanced(marks)),
        }
        Ok(marks)
    }

    fn probe(&self, _: usize) -> Result<(), LogFault> {
        self.lock().refuse_if_closed()
    }

    fn active_segment(&self) -> ActiveSegment {
        self.lock().active
    }

    fn snapshots(&self) -> Vec<Offset> {
        self.lock().snapshots.keys().rev().copied().collect()
    }

    fn read_snapshot(&self, at: Offset) -> Result<Bytes, LogFault> {
        let missing = || {
            LogFault::io(
                "read",
                Path::new("memory"),
                std::io::ErrorKind::NotFound.into(),
            )
        };
        self.lock().snapshots.get(&at).cloned().ok_or_else(missing)
    }

    fn write_snapshot(&self, at: Offset, bytes: &[u8]) -> Result<(), LogFault> {
        let mut state = self.lock();
        state.refuse_if_closed()?;
        state.snapshots.insert(at, Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn offset_before(&self, from: Offset, bytes_back: u64) -> Offset {
        let state = self.lock();
        let at = state.batch_of(from);
        let mut found = state
            .batches
            .get(at)
            .map_or(from, |(head, _)| head.base_offset.min(from));
        let mut bytes = 0;
        for (head, _) in state.batches[..at].iter().rev() {
            if bytes >= bytes_back || head.base_offset < state.marks.log_start {
                break;
            }
            bytes += head.size_bytes() as u64;
            found = head.base_offset;
        }
        found
    }

    fn replay(
        &self,
        from: Offset,
        whole: bool,
        visit: &mut dyn FnMut(&BatchHead, &[u8]) -> bool,
    ) -> Result<(), LogFault> {
        let batches = {
            let state = self.lock();
            state.refuse_if_removed()?;
            state.batches[state.batch_of(from)..].to_vec()
        };
        for (head, bytes) in batches {
            let seen = if whole {
                &bytes[..]
            } else {
                &bytes[..BATCH_HEADER_BYTES]
            };
            if !visit(&head, seen) {
                break;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        let state = self.lock();
        state.refuse_if_removed()?;
        if from < state.marks.log_start || from > state.marks.written {
            return Err(ReadError::OutOfRange);
        }
        let bound = bound.min(state.marks.written);
        if from >= bound {
            return Ok(Read::Empty);
        }
        let mut size = 0;
        let first = state.batch_of(from);
        let count = state.batches[first..]
            .iter()
            .take_while(|(head, bytes)| {
                size += bytes.len();
                head.next_offset() <= bound
                    && (size <= bytes_max || (at_least_one && size == bytes.len()))
            })
            .count();
        Ok(match &state.batches[first..first + count] {
            [] => Read::Empty,
            [(_, bytes)] => Read::Memory(bytes.clone()),
            many => {
                let mut all = BytesMut::new();
                many.iter()
                    .for_each(|(_, bytes)| all.extend_from_slice(bytes));
                Read::Memory(all.freeze())
            }
        })
    }

    fn find_timestamp(
        &self,
        timestamp_ms: i64,
        bound: Offset,
    ) -> Result<Option<TimestampHit>, LogFault> {
        let state = self.lock();
        let start = state.marks.log_start;
        let mut hit = None;
        state.in_bounds(bound, |head, bytes| {
            if head.max_timestamp_ms >= timestamp_ms {
                hit = first_record(head, bytes, (start, bound), |at| at >= timestamp_ms)?;
            }
            Ok(hit.is_none())
        })?;
        Ok(hit)
    }

    fn max_timestamp(&self, bound: Offset) -> Result<Option<TimestampHit>, LogFault> {
        let state = self.lock();
        let start = state.marks.log_start;
        let mut latest: Option<(i64, &BatchHead)> = None;
        for (head, _) in &state.batches {
            let inside = head.last_offset() >= start && head.base_offset < bound;
            let later = latest.is_none_or(|(known, _)| head.max_timestamp_ms > known);
            if inside && later && head.max_timestamp_ms >= 0 {
                latest = Some((head.max_timestamp_ms, head));
            }
        }
        let Some((timestamp_ms, holder)) = latest else {
            return Ok(None);
        };
        let holder = holder.base_offset;
        let mut hit = None;
        state.in_bounds(bound, |head, bytes| {
            if head.base_offset == holder {
                hit = first_record(head, bytes, (start, bound), |at| at >= timestamp_ms)?;
            }
            Ok(head.base_offset < holder)
        })?;
        Ok(hit)
    }

    /// What was rolled in memory is one segment still.
    fn segment_starts(
        &self,
        latest_ms: Option<i64>,
        count_max: usize,
    ) -> Result<Vec<Offset>, LogFault> {
        let state = self.lock();
        state.refuse_if_removed()?;
        let mut times = state.batches.iter().map(|(head, _)| head.max_timestamp_ms);
        let later = latest_ms.is_some_and(|latest_ms| times.any(|ms| ms > latest_ms));
        if later || count_max == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![state.marks.log_start])
    }

    fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<(), LogFault> {
        let mut state = self.lock();
        state.refuse_if_closed()?;
        let start = state.marks.written;
        state.epochs.begin(epoch, start);
        Ok(())
    }

    fn epoch_end(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.lock();
        state.epochs.end_of(epoch, state.marks.written)
    }

    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.lock().epochs.at(offset)
    }
}
