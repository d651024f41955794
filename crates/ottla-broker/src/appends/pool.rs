//! The pool: threads that wait for the disk, more of them while work is overdue.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Appends, Inner, SLOW};

/// Threads of the pool while they get on.
pub(super) const THREADS: usize = 8;
/// Most threads, if those that there are hang: some 30 KB of memory each.
const THREADS_MAX: usize = 1_024;
pub(super) const STACK_BYTES: usize = 512 << 10;
/// After this time without work a thread of the pool ends.
const REST_MAX: Duration = Duration::from_secs(10);
/// How long work waits for a thread before there are more of them.
const OVERDUE: Duration = Duration::from_millis(50);

/// Work for the pool.
pub(super) type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Pool {
    pub(super) queue: VecDeque<(Instant, Job)>,
    /// What the threads do, since when.
    pub(super) running: BTreeMap<u64, Instant>,
    pub(super) next_id: u64,
    /// Threads that there may be now.
    pub(super) threads_max: usize,
    pub(super) threads: usize,
    pub(super) idle: usize,
    /// The spare thread of the runtime is to sit on the bench.
    pub(super) is_benched: bool,
    pub(super) stopped: bool,
}

impl Appends {
    /// Does it in the pool.
    pub(crate) fn pool(&self, job: Job) {
        let inner = &*self.0;
        inner.metrics.append_pooled();
        let mut pool = inner.lock();
        pool.queue.push_back((Instant::now(), job));
        let has_idle = pool.idle >= pool.queue.len();
        let wanted = !has_idle && pool.claim_thread();
        let alone = pool.threads == usize::from(wanted);
        drop(pool);
        inner.wake_watch();
        if has_idle {
            inner.work.notify_one();
        }
        if wanted && !self.start_thread() && alone {
            // The system gives none at all: then it is done here, whatever it takes.
            let job = inner.lock().queue.pop_front();
            if let Some((_, job)) = job {
                job();
            }
        }
    }

    /// Starts a thread that was claimed. False if the system gives none.
    fn start_thread(&self) -> bool {
        let appends = self.clone();
        let started = thread::Builder::new()
            .name("ottla-append".into())
            .stack_size(STACK_BYTES)
            .spawn(move || appends.0.serve());
        let Err(error) = &started else { return true };
        tracing::warn!(%error, "no further thread for appends: they wait for those that there are");
        self.0.lock().threads -= 1;
        false
    }

    pub(super) fn grow(&self, now: Instant) {
        let more = {
            let mut pool = self.0.lock();
            let overdue = pool.queue.front();
            let overdue = overdue.is_some_and(|(since, _)| now.duration_since(*since) >= OVERDUE);
            if overdue {
                pool.threads_max = (pool.threads_max * 2).min(THREADS_MAX);
            } else if pool.queue.is_empty() && pool.running.len() < THREADS {
                pool.threads_max = THREADS;
            }
            pool.queue.len().min(pool.threads_max)
        };
        for _ in 0..more {
            // One by one: nobody else waits for the lock meanwhile.
            let wanted = {
                let mut pool = self.0.lock();
                pool.queue.len() > pool.idle && pool.claim_thread()
            };
            if !wanted || !self.start_thread() {
                return;
            }
        }
    }
}

impl Pool {
    /// Counts a thread that the caller starts, if there may be one more.
    fn claim_thread(&mut self) -> bool {
        let may = self.threads < self.threads_max;
        self.threads += usize::from(may);
        may
    }
}

impl Inner {
    /// A thread of the pool.
    fn serve(&self) {
        let mut pool = self.lock();
        loop {
            let Some((_, job)) = pool.queue.pop_front() else {
                if pool.stopped {
                    break;
                }
                pool.idle += 1;
                let rest = wait_for(&self.work, pool, REST_MAX);
                pool = rest.0;
                pool.idle -= 1;
                if rest.1 && pool.queue.is_empty() {
                    break;
                }
                continue;
            };
            let (id, began) = (pool.next_id, Instant::now());
            pool.next_id += 1;
            pool.running.insert(id, began);
            drop(pool);
            // Whatever panics closes its own shard; the thread has others to serve.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("an append panicked; its partition is closed, the others go on");
            }
            let slow = began.elapsed() > SLOW;
            pool = self.lock();
            pool.running.remove(&id);
            if !slow && pool.queue.is_empty() && self.in_flight() == 0 {
                self.slow.store(false, Ordering::Relaxed);
            }
        }
        pool.threads -= 1;
        self.gone.notify_all();
    }
}

pub(super) fn wait<'p>(condition: &Condvar, pool: MutexGuard<'p, Pool>) -> MutexGuard<'p, Pool> {
    condition.wait(pool).unwrap_or_else(PoisonError::into_inner)
}

/// True if the time was over.
pub(super) fn wait_for<'p>(
    condition: &Condvar,
    pool: MutexGuard<'p, Pool>,
    limit: Duration,
) -> (MutexGuard<'p, Pool>, bool) {
    let (pool, timeout) = condition
        .wait_timeout(pool, limit)
        .unwrap_or_else(PoisonError::into_inner);
    (pool, timeout.timed_out())
}
