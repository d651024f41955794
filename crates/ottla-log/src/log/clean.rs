//! What compaction needs of a log, and what it does to it.

use std::sync::{Arc, MutexGuard, PoisonError};

use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use super::{LocalLog, State};
use crate::clean::choice::{Dirty, LogFacts, SegmentFacts, dirty};
use crate::clean::filter::{Filter, Rules};
use crate::clean::pass::{GoOn, Pass};
use crate::clean::swap::Place;
use crate::clean::{Finished, OutputLimits};
use crate::disk::DiskFile;
use crate::segment::Segment;
use crate::store::{Cleanup, CompactRule, LogFault};
use crate::walk::{Step, Walk};

/// How far compaction has come. Its lock is held during a pass: who waits for it, waits for the end
/// of the pass.
#[derive(Default, Debug)]
pub(super) struct CleanState {
    /// Everything below is compacted, as the checkpoint says.
    cleaned: Option<Offset>,
    /// Up to which offset the last pass looked, and the first one that it found unstable there.
    unstable: Option<(Offset, Offset)>,
    /// Why there are no more passes before the next start.
    unfit: Option<LogFault>,
    /// After a pass that failed.
    not_before_ms: i64,
}

/// How long a log is left alone after a pass that the disk refused.
const RETRY_MS: i64 = 60_000;

/// What a pass is given.
#[derive(Clone, Copy)]
pub(crate) struct PassLimits<'a> {
    pub(crate) now_ms: i64,
    /// Memory for the offsets of keys.
    pub(crate) map_bytes_max: u64,
    /// Largest file to write.
    pub(crate) segment_bytes_max: u64,
    pub(crate) go_on: GoOn<'a>,
}

/// What a pass did.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Passed {
    /// Everything below is compacted now. `None`: nothing could be done.
    pub(crate) cleaned: Option<Offset>,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// Why a pass ended early.
enum Stop {
    /// The files are as they were, or as a finished group left them.
    Before(LogFault),
    /// In the middle of a swap, which the next start completes.
    Within(LogFault),
}

impl From<LogFault> for Stop {
    fn from(fault: LogFault) -> Stop {
        Stop::Before(fault)
    }
}

impl LocalLog {
    /// How the log is compacted, if it is.
    pub(crate) fn compact_rule(&self) -> Option<CompactRule> {
        match self.config.cleanup {
            Cleanup::Compact(rule) => Some(rule),
            Cleanup::None => None,
        }
    }

    /// Up to where the log is compacted, by the checkpoint.
    pub(crate) fn set_cleaned(&self, cleaned: Option<Offset>) {
        self.lock_clean().cleaned = cleaned;
    }

    /// What of the log could be compacted now.
    pub(crate) fn dirty(&self, rule: &CompactRule, now_ms: i64) -> Result<Option<Dirty>, LogFault> {
        let clean = self.lock_clean();
        if clean.unfit.is_some() || now_ms < clean.not_before_ms {
            return Ok(None);
        }
        let stable = self.stable();
        let (segments, mut facts) = {
            let state = self.lock();
            if state.refuse_if_closed().is_err() || state.lost.is_some() {
                return Ok(None);
            }
            let (active, sealed) = (state.active().base(), state.segments.len() - 1);
            let facts = LogFacts {
                sealed: Vec::with_capacity(sealed),
                active_base: active,
                log_start: state.log_start,
                log_end: state.written,
                cleaned: clean.cleaned,
                stable,
            };
            (state.segments[..sealed].to_vec(), facts)
        };
        for segment in segments {
            facts.sealed.push(SegmentFacts {
                base: segment.base(),
                size_bytes: segment.size_bytes()?,
                first_timestamp_ms: match rule.lag_ms_max < i64::MAX as u64 {
                    true => first_timestamp_ms(&segment)?,
                    false => None,
                },
                latest_timestamp_ms: match rule.lag_ms_min > 0 {
                    true => segment.latest()?.timestamp_ms,
                    false => -1,
                },
            });
        }
        let found = dirty(&facts, rule, now_ms);
        if let (Some(found), Some((looked_to, unstable))) = (&found, clean.unstable)
            && found.to <= looked_to
        {
            // The last pass saw no more, and would be in vain again.
            facts.stable = stable.min(unstable);
            return Ok(dirty(&facts, rule, now_ms));
        }
        Ok(found)
    }

    /// Compacts what is dirty, or as much of it as the memory for keys allows.
    ///
    /// # Errors
    /// The disk's fault; damage; what `go_on` answered.
    pub(crate) fn clean(
        &self,
        rule: &CompactRule,
        dirty: &Dirty,
        limits: &PassLimits<'_>,
    ) -> Result<Passed, LogFault> {
        let mut clean = self.lock_clean();
        let fault = match self.pass(&mut clean, rule, dirty, limits) {
            Ok(passed) => return Ok(passed),
            Err(Stop::Within(fault)) => {
                clean.unfit = Some(fault.clone());
                fault
            }
            Err(Stop::Before(fault)) => fault,
        };
        match &fault {
            LogFault::Closed(_) => {}
            LogFault::Damaged { .. } => clean.unfit = Some(fault.clone()),
            _ => clean.not_before_ms = limits.now_ms.saturating_add(RETRY_MS),
        }
        Err(fault)
    }

    /// Waits for the end of the pass under way, which makes and removes files. The log was closed, so
    /// the pass ends early and no other begins.
    pub(crate) fn wait_for_pass(&self) {
        drop(self.lock_clean());
    }

    fn pass(
        &self,
        clean: &mut CleanState,
        rule: &CompactRule,
        dirty: &Dirty,
        limits: &PassLimits<'_>,
    ) -> Result<Passed, Stop> {
        let go_on = |bytes: u64| {
            self.lock().refuse_if_closed()?;
            (limits.go_on)(bytes)
        };
        go_on(0)?;
        let (segments, log_end) = {
            let state = self.lock();
            let count = state.segments.partition_point(|s| s.base() < dirty.to);
            (state.segments[..count].to_vec(), state.written)
        };
        let mut pass = Pass {
            disk: &self.shared.disk,
            directory: &self.directory,
            segments: &segments,
            limits: OutputLimits {
                index_interval_bytes: self.config.index_interval_bytes,
                bytes_max: limits.segment_bytes_max,
            },
            go_on: &go_on,
        };
        pass.discard_leftovers()?;
        let surveyed = pass.survey(dirty.from)?;
        let mut to = dirty.to;
        let unstable = surveyed.survey.first_unstable();
        if let Some(first) = unstable {
            let below = segments.partition_point(|s| s.base() <= first);
            to = segments
                .get(below.saturating_sub(1))
                .map_or(to, |segment| segment.base());
        }
        clean.unstable = unstable.map(|first| (dirty.to, first));
        if to <= dirty.from {
            return Ok(Passed::default());
        }
        let (map, mapped) = pass.map(&surveyed, (dirty.from, to), limits.map_bytes_max)?;
        let cleaned = mapped.next();
        pass.segments = &segments[..segments.partition_point(|s| s.base() < cleaned)];
        let mut filter = Filter::new(Rules {
            map: &map,
            mapped,
            survey: &surveyed.survey,
            now_ms: limits.now_ms,
            delete_retention_ms: ms(rule.delete_retention_ms),
            producer_expiration_ms: ms(rule.producer_expiration_ms),
            log_end,
        });
        // Offsets of a compacted log have gaps, and a start that finds one above the stable mark
        // takes it for a torn write.
        self.shared.marks.sync(self.shared.marks.written())?;
        let mut passed = Passed {
            cleaned: Some(cleaned),
            ..Passed::default()
        };
        for group in pass.groups(to, rule.segment_bytes)? {
            let old = &pass.segments[group.clone()];
            let mut bytes = 0;
            for segment in old {
                bytes += segment.size_bytes()?;
            }
            passed.bytes_before += bytes;
            match pass.rewrite(group, &surveyed, &mut filter)? {
                Some(new) => {
                    passed.bytes_after += new.iter().map(|one| one.size_bytes()).sum::<u64>();
                    self.swap(&pass, old, new)?;
                }
                None => passed.bytes_after += bytes,
            }
        }
        clean.cleaned = Some(cleaned);
        Ok(passed)
    }

    /// Puts new segments in the place of old ones, on the disk and for readers.
    fn swap(&self, pass: &Pass<'_>, old: &[Arc<Segment>], new: Vec<Finished>) -> Result<(), Stop> {
        for segment in old {
            segment.hold()?;
        }
        let sync = || self.shared.sync_dir(&self.directory);
        let place = Place {
            disk: &**pass.disk,
            directory: pass.directory,
            sync: &sync,
        };
        let new_bases: Vec<Offset> = new.iter().map(|one| one.base()).collect();
        let old_bases: Vec<Offset> = old.iter().map(|one| one.base()).collect();
        // The new names are durable before any of them means anything.
        sync()?;
        place.arrive(&new_bases).map_err(Stop::Within)?;
        let new: Vec<Arc<Segment>> = new
            .into_iter()
            .map(|one| one.into_segment(pass.disk, pass.directory))
            .collect();
        self.lock().replace_segments(old, &new);
        old.iter().for_each(|segment| segment.give_way());
        place.settle(&old_bases, &new_bases).map_err(Stop::Within)?;
        new.iter().for_each(|segment| segment.arrived());
        Ok(())
    }

    /// What the marks say to be durable, without a gap at the end.
    fn stable(&self) -> Offset {
        self.shared
            .marks
            .find(&self.name)
            .map_or(Offset::ZERO, |(_, slot)| slot.stable)
    }

    fn lock_clean(&self) -> MutexGuard<'_, CleanState> {
        self.clean.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `old` are some sealed segments that follow each other; nobody else changes those.
    fn replace_segments(&mut self, old: &[Arc<Segment>], new: &[Arc<Segment>]) {
        let Some(first) = old.first() else {
            return;
        };
        let from = self.segments.partition_point(|s| s.base() < first.base());
        self.segments
            .splice(from..from + old.len(), new.iter().cloned());
        let is_old = |base: Offset| old.iter().any(|segment| segment.base() == base);
        self.durable_place = self
            .durable_place
            .filter(|place| !is_old(place.segment_base));
    }
}

/// Largest timestamp of a segment's first batch.
fn first_timestamp_ms(segment: &Segment) -> Result<Option<i64>, LogFault> {
    let (file, holes): (Arc<dyn DiskFile>, _) = (segment.file()?, segment.holes());
    let from = (0, segment.base());
    let mut walk = Walk::new(&*file, segment.base(), from, segment.size_bytes()?, &holes);
    let first = |head: BatchHead| head.max_timestamp_ms;
    Ok(match walk.step()? {
        Step::Batch { head, .. } => Some(first(head)),
        Step::End | Step::Bad { .. } => None,
    })
}

fn ms(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
