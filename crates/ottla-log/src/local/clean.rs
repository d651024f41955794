//! Compacting the logs of the store, on a thread of its own (Kafka: `LogCleaner`).
//!
//! One pass at a time, of the dirtiest log. Bytes are read and written at a bounded pace, and synced
//! while they are written, so that a flush round never waits for a whole segment.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ottla_model::ids::{Offset, PartitionIndex};
use ottla_model::names::TopicName;

use super::LocalStore;
use crate::checkpoint::{CLEANED, write_offsets};
use crate::clean::choice::{Dirty, dirtiest};
use crate::log::{LocalLog, PassLimits};
use crate::store::{CompactRule, LogFault};

/// How compaction may use the machine. The defaults are Kafka's, but for the pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanerOptions {
    /// Memory for the keys of one pass; what does not fit takes another
    /// (`log.cleaner.dedupe.buffer.size`).
    pub dedupe_buffer_bytes: u64,
    /// Bytes read and written in a second (`log.cleaner.io.max.bytes.per.second`).
    pub io_bytes_per_second_max: u64,
    /// Largest segment that a pass writes: merging and compressing anew can make one grow beyond
    /// what it was made of. 2 GiB is what the files can index, and what Kafka writes.
    pub segment_bytes_max: u64,
    /// How long the thread sleeps when no log needs it (`log.cleaner.backoff.ms`).
    pub backoff: Duration,
}

impl Default for CleanerOptions {
    fn default() -> CleanerOptions {
        CleanerOptions {
            dedupe_buffer_bytes: 128 * 1024 * 1024,
            io_bytes_per_second_max: 64 * 1024 * 1024,
            segment_bytes_max: i32::MAX as u64,
            backoff: Duration::from_secs(15),
        }
    }
}

/// Says when to stop, and lets the thread sleep until then.
#[derive(Default)]
pub(crate) struct Stopper {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stopper {
    pub(super) fn stop(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Sleeps; true once stopped.
    fn sleep(&self, time: Duration) -> bool {
        let (stopped, _) = self
            .changed
            .wait_timeout_while(self.lock(), time, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a pass back so that it moves so many bytes in a second, counted from its start.
struct Pace<'a> {
    stopper: &'a Stopper,
    bytes_per_second: u64,
    state: Mutex<(Instant, u64)>,
}

impl Pace<'_> {
    fn go_on(&self, bytes: u64) -> Result<(), LogFault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 += bytes;
        let due = Duration::from_secs_f64(state.1 as f64 / self.bytes_per_second.max(1) as f64);
        if self.stopper.sleep(due.saturating_sub(state.0.elapsed())) {
            return Err(LogFault::Closed("the store stops".into()));
        }
        Ok(())
    }
}

impl LocalStore {
    /// One pass over the log that needs it most. False if none does.
    pub(super) fn clean_one(&self) -> bool {
        let shared = &self.shared;
        let now_ms = (shared.options.clock)().0;
        let Some((log, dirty)) = dirtiest(self.dirty_logs(now_ms)) else {
            return false;
        };
        let Some(rule) = log.compact_rule() else {
            return false;
        };
        let pace = Pace {
            stopper: &shared.cleaner,
            bytes_per_second: shared.options.cleaner.io_bytes_per_second_max,
            state: Mutex::new((Instant::now(), 0)),
        };
        let limits = PassLimits {
            now_ms,
            map_bytes_max: shared.options.cleaner.dedupe_buffer_bytes,
            segment_bytes_max: shared
                .options
                .cleaner
                .segment_bytes_max
                .min(i32::MAX as u64),
            go_on: &|bytes| pace.go_on(bytes),
        };
        match log.clean(&rule, &dirty, &limits) {
            Ok(passed) => {
                tracing::debug!(log = %log.name(), ?dirty, ?passed, "compacted");
                if let Some(cleaned) = passed.cleaned
                    && let Err(fault) = self.checkpoint_cleaned(&log, cleaned)
                {
                    // The next start compacts again what was compacted.
                    tracing::warn!(%fault, "how far logs are compacted was not written");
                }
            }
            Err(LogFault::Closed(_)) => {}
            Err(fault) => {
                tracing::error!(log = %log.name(), %fault, "the log could not be compacted");
            }
        }
        true
    }

    pub(super) fn clean_in_background(&self) {
        let shared = &self.shared;
        while !shared.cleaner.sleep(shared.options.cleaner.backoff) {
            while !*shared.cleaner.lock() && self.clean_one() {}
        }
    }

    /// Forgets how far a log is compacted, before its name is another's. To be made durable by the
    /// caller, if true.
    pub(super) fn forget_cleaned(
        &self,
        key: &(TopicName, PartitionIndex),
    ) -> Result<bool, LogFault> {
        let path = self.shared.root.join(CLEANED);
        self.forget_offset(&mut self.cleaned(), key, &path)
    }

    fn dirty_logs(&self, now_ms: i64) -> Vec<(Arc<LocalLog>, Dirty, CompactRule)> {
        let logs: Vec<Arc<LocalLog>> = self
            .logs()
            .values()
            .filter(|log| log.compact_rule().is_some())
            .cloned()
            .collect();
        let mut found = Vec::new();
        for log in logs {
            let Some(rule) = log.compact_rule() else {
                continue;
            };
            match log.dirty(&rule, now_ms) {
                Ok(dirty) => found.extend(dirty.map(|dirty| (log, dirty, rule))),
                Err(fault) => {
                    tracing::warn!(log = %log.name(), %fault, "how dirty the log is cannot be told");
                }
            }
        }
        found
    }

    fn checkpoint_cleaned(&self, log: &LocalLog, offset: Offset) -> Result<(), LogFault> {
        let key = (log.name().topic.clone(), log.name().partition);
        let mut cleaned = self.cleaned();
        // A log that was removed meanwhile must leave nothing to the next of its name.
        let open = self.logs().get(&log.name().directory()).map(Arc::as_ptr);
        if open != Some(std::ptr::from_ref(log)) {
            return Ok(());
        }
        cleaned.insert(key, offset);
        let root = &self.shared.root;
        write_offsets(&*self.shared.disk, &root.join(CLEANED), &cleaned)?;
        self.shared.sync_dir(root)
    }
}

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopper").finish_non_exhaustive()
    }
}
