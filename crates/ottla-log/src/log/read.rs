//! Finding whole batches: for readers, for replay, for looking back.

use std::sync::Arc;

use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use super::{LocalLog, Place, State};
use crate::segment::{Located, Segment};
use crate::store::{LogFault, Read, ReadError};
use crate::walk::{Step, Walk};

/// What a read needs to know of the log, taken under its lock.
struct View {
    /// The segment that holds the offset, and the one behind it.
    segment: Arc<Segment>,
    /// Its size if it is the active one, which may grow meanwhile.
    size_bytes: Option<u64>,
    next: Option<Arc<Segment>>,
    bound: Offset,
    written: Offset,
    durable_place: Option<Place>,
}

impl LocalLog {
    pub(super) fn read_slice(
        &self,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        let mut from = from;
        let mut view = {
            let state = self.lock();
            state.refuse_if_removed()?;
            if from < state.log_start || from > state.written {
                return Err(ReadError::OutOfRange);
            }
            state.refuse_if_lost(from)?;
            state.view(from, bound)
        };
        loop {
            if from >= view.bound {
                return Ok(Read::Empty);
            }
            let end = match view.size_bytes {
                Some(size_bytes) => size_bytes,
                None => view.segment.size_bytes()?,
            };
            if let Some(first) = view.segment.locate(from, end)? {
                return Ok(slice(&view, first, end, bytes_max, at_least_one)?);
            }
            // Nothing more in this segment: offsets go on in the next one, perhaps after a gap.
            let Some(next) = view.next else {
                return Ok(Read::Empty);
            };
            from = next.base();
            let state = self.lock();
            view = state.view(from, bound);
        }
    }

    pub(super) fn visit_batches(
        &self,
        from: Offset,
        whole: bool,
        visit: &mut dyn FnMut(&BatchHead, &[u8]) -> bool,
    ) -> Result<(), LogFault> {
        let (segments, end) = {
            let state = self.lock();
            state.refuse_if_removed()?;
            (
                state.segments[state.segment_of(from)..].to_vec(),
                state.written,
            )
        };
        for (nth, segment) in segments.into_iter().enumerate() {
            // The active segment may grow meanwhile; `end` bounds what is visited.
            let size_bytes = segment.size_bytes()?;
            let start = if nth > 0 {
                (0, segment.base())
            } else {
                match segment.locate(from, size_bytes) {
                    Ok(Some(first)) => (first.position, first.head.base_offset),
                    Ok(None) => continue,
                    Err(LogFault::Damaged { .. }) if !whole => match segment.hole_at(from) {
                        Some(hole) => (hole.end, hole.to),
                        None => continue,
                    },
                    Err(fault) => return Err(fault),
                }
            };
            let file = segment.file()?;
            let mut holes = segment.holes();
            let mut walk = Walk::new(&*file, segment.base(), start, size_bytes, &holes).far();
            loop {
                if whole
                    && let Some(hole) = holes
                        .iter()
                        .find(|hole| hole.position == walk.position() && hole.to > from)
                {
                    return Err(segment.damaged(hole));
                }
                match walk.step()? {
                    Step::End => break,
                    Step::Batch { head, .. } if head.base_offset >= end => return Ok(()),
                    Step::Batch { head, position } => {
                        let bytes = if whole {
                            walk.batch_bytes(&head, position)?
                        } else {
                            walk.head_bytes(position)?
                        };
                        if !visit(&head, bytes) {
                            return Ok(());
                        }
                    }
                    Step::Bad {
                        position,
                        expected,
                        why,
                    } => {
                        let hole = segment.add_hole(position, expected, size_bytes, why)?;
                        if whole {
                            return Err(segment.damaged(&hole));
                        }
                        holes = segment.holes();
                        let behind = (hole.end, hole.to);
                        walk = Walk::new(&*file, segment.base(), behind, size_bytes, &holes).far();
                    }
                }
            }
        }
        let state = self.lock();
        match &state.lost {
            Some(lost) if whole && lost.to > from => Err(lost.fault.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn find_offset_before(&self, from: Offset, bytes_back: u64) -> Offset {
        let (mut at, segments, log_start) = {
            let state = self.lock();
            (
                state.segment_of(from),
                state.segments.clone(),
                state.log_start,
            )
        };
        let mut before = || -> Result<Offset, LogFault> {
            let size_bytes = segments[at].size_bytes()?;
            let mut position = segments[at]
                .locate(from, size_bytes)?
                .map_or(size_bytes, |found| found.position);
            let mut missing = bytes_back;
            while position < missing && at > 0 {
                missing -= position;
                at -= 1;
                position = segments[at].size_bytes()?;
            }
            segments[at].base_at(position.saturating_sub(missing))
        };
        // A hint: on a fault the offset itself is as good, and who reads there sees the fault.
        before().unwrap_or(from).max(log_start).min(from)
    }
}

/// Whole batches from `first` on, within the view's bound and `bytes_max`.
fn slice(
    view: &View,
    first: Located,
    end: u64,
    bytes_max: usize,
    at_least_one: bool,
) -> Result<Read, LogFault> {
    if first.head.next_offset() > view.bound {
        return Ok(Read::Empty);
    }
    let segment = &view.segment;
    let start = first.position;
    let reaches_end = match &view.next {
        Some(next) => next.base() <= view.bound,
        None => view.bound >= view.written,
    };
    let bounded_end = match view.durable_place {
        _ if reaches_end => end,
        Some(place) if place.offset == view.bound && place.segment_base == segment.base() => {
            place.position
        }
        // The first batch that ends above the bound.
        _ => match segment.locate(view.bound, end) {
            Ok(found) => found.map_or(end, |found| found.position),
            Err(LogFault::Damaged { position, .. }) => position,
            Err(fault) => return Err(fault),
        },
    };
    // A read gives one run of batches: it ends where damage begins.
    let holes = segment.holes();
    let bounded_end = holes
        .iter()
        .map(|hole| hole.position)
        .find(|position| *position > start)
        .map_or(bounded_end, |position| position.min(bounded_end));
    let limit = start.saturating_add(bytes_max as u64);
    let mut slice_end = bounded_end;
    if bounded_end > limit {
        slice_end =
            segment.border_at_or_below(limit, (start, first.head.base_offset), bounded_end)?;
    }
    if slice_end <= start {
        if !at_least_one {
            return Ok(Read::Empty);
        }
        slice_end = start + first.head.size_bytes() as u64;
    }
    Ok(Read::File {
        file: segment.file()?,
        position: start,
        length: (slice_end - start) as usize,
    })
}

impl State {
    fn view(&self, from: Offset, bound: Offset) -> View {
        let at = self.segment_of(from);
        View {
            segment: self.segments[at].clone(),
            size_bytes: if at + 1 == self.segments.len() {
                self.active().size_bytes().ok()
            } else {
                None
            },
            next: self.segments.get(at + 1).cloned(),
            bound: bound.min(self.written),
            written: self.written,
            durable_place: self.durable_place,
        }
    }

    fn refuse_if_lost(&self, offset: Offset) -> Result<(), LogFault> {
        match &self.lost {
            Some(lost) if lost.from <= offset && offset < lost.to => Err(lost.fault.clone()),
            _ => Ok(()),
        }
    }
}

impl Segment {
    /// Base offset of the batch at the last border at or below `position`.
    fn base_at(&self, position: u64) -> Result<Offset, LogFault> {
        let size_bytes = self.size_bytes()?;
        let border = self.border_at_or_below(position, (0, self.base()), size_bytes)?;
        let (file, holes) = (self.file()?, self.holes());
        let mut walk = Walk::new(
            &*file,
            self.base(),
            (border, self.base()),
            size_bytes,
            &holes,
        );
        match walk.step()? {
            Step::Batch { head, .. } => Ok(head.base_offset),
            Step::End | Step::Bad { .. } => Ok(self.base()),
        }
    }
}
