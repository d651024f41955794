//! Flush rounds: one takes every log that became dirty while the last one ran.
//!
//! Order within a round: the files of each log, oldest segment first; its directory if it has new
//! names; the root if it has new directories; then the durable marks advance; then the mark file is
//! written, and synced if a reservation asks for it. So a mark in the file never leads.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::{Durability, Shared};
use crate::log::{Extent, FlushTask, LocalLog};
use crate::store::LogFault;

/// Below this number of logs, threads cost more than they win: one starts in about 30 us, and a sync
/// takes 100 to 400 us.
const PARALLEL_LOGS_MIN: usize = 4;
/// From this number of logs on, syncing the whole file system costs less than each file.
const AT_ONCE_LOGS_MIN: usize = 16;
/// Rounds after which the marks are synced even if nothing asks for it. It bounds what an unclean
/// start has to scan; each costs one more sync.
const ROUNDS_PER_MARK_SYNC: usize = 256;

/// What waits for the flusher.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
    rounds: AtomicUsize,
}

#[derive(Default)]
struct QueueState {
    /// Weak, for a log owns the store that the queue is part of.
    dirty: Vec<Weak<LocalLog>>,
    waiting: bool,
    stopped: bool,
}

impl Queue {
    /// Adds a log that asks for a sync.
    pub(crate) fn push(&self, log: Weak<LocalLog>) {
        let mut state = self.lock();
        state.dirty.push(log);
        if mem::take(&mut state.waiting) {
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        if state.dirty.is_empty() && !state.stopped {
            state.waiting = true;
            state = self
                .wake
                .wait_timeout_while(state, timeout, |state| {
                    state.dirty.is_empty() && !state.stopped
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.waiting = false;
        }
        !state.dirty.is_empty()
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }

    pub(super) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    fn take(&self) -> Vec<Arc<LocalLog>> {
        let dirty = mem::take(&mut self.lock().dirty);
        dirty.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// One round. True if there was anything to do.
    pub(super) fn flush_round(&self) -> bool {
        let logs = self.queue.take();
        if logs.is_empty() {
            return self.sweep();
        }
        let extent = match self.options.durability {
            Durability::Synced => Extent::All,
            Durability::Os => Extent::SealedOnly,
        };
        self.flush(&logs, extent);
        true
    }

    /// Syncs these logs. False if any of them failed.
    pub(super) fn flush(&self, logs: &[Arc<LocalLog>], extent: Extent) -> bool {
        let mut tasks: Vec<FlushTask> = logs
            .iter()
            .filter_map(|log| log.begin_flush(extent))
            .collect();
        let all = tasks.len();
        let is_plain = |task: &FlushTask| task.has_content_only();
        let plain = tasks.iter().filter(|task| is_plain(task)).count();
        let at_once = extent == Extent::All && plain >= AT_ONCE_LOGS_MIN && self.sync_at_once();
        let mut results = if at_once {
            let rest = |task: &mut FlushTask| match is_plain(task) {
                true => Ok(()),
                false => task.sync(),
            };
            tasks.iter_mut().map(rest).collect()
        } else {
            self.sync_all(tasks.iter_mut(), FlushTask::sync)
        };
        if tasks.iter().any(|task| task.root)
            && let Err(fault) = self.sync_dir(&self.root)
        {
            for (task, result) in tasks.iter().zip(&mut results) {
                if task.root && result.is_ok() {
                    *result = Err(fault.clone());
                }
            }
        }
        let mut done = Vec::with_capacity(all);
        for (task, result) in tasks.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    task.advance();
                    done.push(task);
                }
                Err(fault) => task.fail(&fault),
            }
        }
        done.len() == all && self.write_marks(&done)
    }

    /// Syncs the file system. False if that was not done, or failed: then each file tells of itself.
    fn sync_at_once(&self) -> bool {
        let Some(filesystem) = &self.filesystem else {
            return false;
        };
        filesystem.sync().unwrap_or_else(|fault| {
            tracing::warn!(%fault, "the file system as a whole was not synced: each file is");
            false
        })
    }

    /// Syncs the files of each log, several logs at a time if there are many.
    fn sync_all<T: Send>(
        &self,
        tasks: impl ExactSizeIterator<Item = T>,
        sync: impl Fn(T) -> Result<(), LogFault> + Sync,
    ) -> Vec<Result<(), LogFault>> {
        let threads = self.options.sync_threads.min(tasks.len());
        if threads < 2 || tasks.len() < PARALLEL_LOGS_MIN {
            return tasks.map(sync).collect();
        }
        let jobs: Vec<_> = tasks.map(|task| Mutex::new((Some(task), Ok(())))).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(task) = job.0.take() {
                    job.1 = sync(task);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // Where the system gives no more threads, those that there are do the work.
                if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
                    tracing::warn!(%error, "the flusher goes on with fewer threads");
                    break;
                }
            }
            work();
        });
        jobs.into_iter()
            .map(|job| job.into_inner().unwrap_or_else(PoisonError::into_inner).1)
            .collect()
    }

    /// Settles logs until the store stops.
    pub(super) fn settle(&self, logs: &[Arc<LocalLog>]) {
        // Who fails here closes, and says so to whoever appends.
        self.sync_all(logs.iter(), |log| {
            if self.queue.stopped() {
                return Ok(());
            }
            log.settle_early()
        });
    }

    /// Reserves offsets for logs, all with one sync of the marks.
    pub(super) fn prepare_appends(&self, logs: Vec<Arc<LocalLog>>) -> Result<(), LogFault> {
        let mut reserved = Vec::new();
        for log in &logs {
            reserved.extend(log.begin_reserve()?.map(|wanted| (log, wanted)));
        }
        if !reserved.is_empty() {
            self.marks.sync(self.marks.written())?;
        }
        for (log, (offset, epoch)) in reserved {
            log.reserved(offset, epoch);
        }
        Ok(())
    }

    fn write_marks(&self, tasks: &[FlushTask]) -> bool {
        let mut wanted = false;
        let mut whole = true;
        for task in tasks {
            match task.write_marks() {
                Ok(soon) => wanted |= soon,
                // The marks lag; the log goes on until it reaches its reservation.
                Err(fault) => {
                    tracing::error!(%fault, "marks were not written");
                    whole = false;
                }
            }
        }
        let rounds = self.queue.rounds.fetch_add(1, Ordering::Relaxed);
        if wanted || rounds.is_multiple_of(ROUNDS_PER_MARK_SYNC) {
            match self.marks.sync(self.marks.written()) {
                Ok(()) => tasks
                    .iter()
                    .filter(|_| whole)
                    .for_each(FlushTask::marks_synced),
                Err(fault) => {
                    tracing::error!(%fault, "marks were not synced");
                    whole = false;
                }
            }
        }
        whole
    }

    /// What can wait until nobody waits: marks that are not durable yet.
    fn sweep(&self) -> bool {
        let dirty = self.marks.is_dirty();
        if dirty && let Err(fault) = self.marks.sync(self.marks.written()) {
            tracing::error!(%fault, "marks were not synced");
        }
        dirty
    }
}
