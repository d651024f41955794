//! Where what waits for the disk is done: on the thread that has it, or in a pool.
//!
//! An append takes microseconds, and a hand-over to another thread more than that, so it is done
//! inline by whichever thread of the network has it. Unless the disk stalls: then that thread stays in
//! the kernel, for as long as the disk likes. Guarantees, whatever it does:
//! - One thread of the runtime is never in an inline append: there is a seat for each but one. Who finds
//!   no seat leaves the append to the pool, and so does everybody once an append is overdue, until the
//!   pool finds the disk quick again.
//! - That spare thread does nothing as long as all is well, so that no more threads compete than the
//!   machine has cores: it sits on a *bench*, a task that blocks. The watch calls it when an inline append
//!   is overdue. It has to: a thread that goes into the kernel may be the one that looked at the sockets,
//!   and the others sleep until it would wake them.
//! - No task is stuck in the queue of a thread that is: a task that was woken where other threads cannot
//!   take it is moved to where they can before the next inline append.
//! - The pool is of a fixed size as long as its threads get on. If work has waited for [`OVERDUE`], it
//!   doubles, up to [`THREADS_MAX`]; beyond that work queues, at most one piece for each partition. So
//!   partitions whose files stall do not hold up the others, up to that number.
//!
//! What is left: a connection whose own append is in the kernel hears nothing before that returns. There
//! are as many of them as seats, at most. And for one [`TICK`] or two after a stall began nobody may look
//! at the sockets.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::backlog::Backlog;
use crate::metrics::Metrics;

/// Threads of the pool while they get on.
const THREADS: usize = 8;
/// Most threads, if those that there are hang: some 30 KB of memory each.
const THREADS_MAX: usize = 1_024;
const STACK_BYTES: usize = 512 << 10;
/// After this time without work a thread of the pool ends.
const REST_MAX: Duration = Duration::from_secs(10);
/// A read burst whose inline appends took longer sends the following ones to the pool.
const SLOW: Duration = Duration::from_millis(20);
/// How long work waits for a thread before there are more of them.
const OVERDUE: Duration = Duration::from_millis(50);
/// How often the watch looks.
const TICK: Duration = Duration::from_millis(20);
/// How often the task on the bench lets its thread look whether the runtime ends.
const BENCH_TURN: Duration = Duration::from_secs(5);
/// An append that takes longer is called stalled, and a person is told.
const STALLED: Duration = Duration::from_secs(1);
/// After this time without an append nobody looks any more.
const QUIET: Duration = Duration::from_secs(1);

thread_local! {
    /// This thread may have woken a task since its last append.
    static WOKE: Cell<bool> = const { Cell::new(true) };
}

/// Says that this thread may have woken a task. What it wakes last lies in a slot of the runtime's that
/// no other thread takes from (`lifo_slot` of tokio's workers).
pub(crate) fn note_wake() {
    WOKE.set(true);
}

/// Work for the pool.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Seats for inline appends, and the pool.
#[derive(Clone)]
pub(crate) struct Appends(Arc<Inner>);

struct Inner {
    runtime: Handle,
    seats: usize,
    /// Inline appends that began, and that ended, ever: both wrap around.
    begun: AtomicUsize,
    ended: AtomicUsize,
    slow: AtomicBool,
    /// The watch looks; if not, who appends wakes it.
    watched: AtomicBool,
    backlog: Arc<Backlog>,
    metrics: Metrics,
    pool: Mutex<Pool>,
    work: Condvar,
    watch: Condvar,
    bench: Condvar,
    gone: Condvar,
}

#[derive(Default)]
struct Pool {
    queue: VecDeque<(Instant, Job)>,
    /// What the threads do, since when.
    running: BTreeMap<u64, Instant>,
    next_id: u64,
    /// Threads that there may be now.
    threads_max: usize,
    threads: usize,
    idle: usize,
    /// The spare thread of the runtime is to sit on the bench.
    is_benched: bool,
    stopped: bool,
}

/// The right to wait for the disk here and now.
pub(crate) struct Seat<'a>(Option<&'a Inner>);

/// Inline appends of one thread in a row, of which the time is taken.
pub(crate) struct Stretch<'a> {
    inner: &'a Inner,
    began: Instant,
}

impl Appends {
    /// For a runtime, whose spare thread sits down at once.
    ///
    /// # Errors
    /// The system gives no thread for the watch.
    pub(crate) fn new(
        runtime: Handle,
        backlog: Arc<Backlog>,
        metrics: Metrics,
    ) -> std::io::Result<Appends> {
        let appends = Appends(Arc::new(Inner {
            seats: runtime.metrics().num_workers().saturating_sub(1),
            runtime,
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            slow: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            backlog,
            metrics,
            pool: Mutex::new(Pool {
                threads_max: THREADS,
                ..Pool::default()
            }),
            work: Condvar::new(),
            watch: Condvar::new(),
            bench: Condvar::new(),
            gone: Condvar::new(),
        }));
        let watch = appends.clone();
        thread::Builder::new()
            .name("ottla-watch".into())
            .stack_size(STACK_BYTES)
            .spawn(move || watch.keep_watch())?;
        appends.sit_down();
        Ok(appends)
    }

    /// Bytes that wait for the disk.
    pub(crate) fn backlog(&self) -> &Arc<Backlog> {
        &self.0.backlog
    }

    /// Takes the time of inline appends until it is dropped.
    pub(crate) fn stretch(&self) -> Stretch<'_> {
        note_wake();
        Stretch {
            inner: &self.0,
            began: Instant::now(),
        }
    }

    /// A seat for one append on this thread, if there is one.
    pub(crate) fn enter(&self) -> Option<Seat<'_>> {
        let inner = &*self.0;
        if inner.slow.load(Ordering::Relaxed) {
            return None;
        }
        // Before the look at `watched`: the watch looks at them in the other order.
        let begun = inner.begun.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        if !inner.watched.load(Ordering::SeqCst) {
            inner.wake_watch();
        }
        if begun.wrapping_sub(inner.ended.load(Ordering::SeqCst)) > inner.seats {
            inner.begun.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        if WOKE.replace(false) && tokio::task::try_id().is_some() {
            // A new task takes the slot, and what lies there goes to the queue.
            inner.runtime.spawn(async {});
        }
        Some(Seat(Some(inner)))
    }

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

    /// Ends the threads when nothing is left to do, and waits for that.
    pub(crate) fn stop(&self) {
        let inner = &*self.0;
        let mut pool = inner.lock();
        pool.stopped = true;
        pool.is_benched = false;
        inner.work.notify_all();
        inner.watch.notify_all();
        inner.bench.notify_all();
        while pool.threads > 0 {
            pool = wait(&inner.gone, pool);
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

    /// Puts the spare thread onto the bench.
    fn sit_down(&self) {
        let inner = &*self.0;
        {
            let mut pool = inner.lock();
            if inner.seats == 0 || pool.is_benched || pool.stopped {
                return;
            }
            pool.is_benched = true;
        }
        let bench = self.clone();
        inner.runtime.spawn(async move {
            while bench.0.sit() {
                tokio::task::yield_now().await;
            }
        });
        // Whatever else the thread had taken is for the others.
        inner.runtime.spawn(async {});
    }

    /// The watch: calls the spare thread and the pool when an append is overdue, has more threads for
    /// work that waits for one, and has a line for a person.
    fn keep_watch(&self) {
        let inner = &*self.0;
        let mut glance = Glance::new(inner);
        let mut told = None;
        loop {
            {
                let mut pool = inner.lock();
                while !inner.watched.load(Ordering::SeqCst) && !pool.stopped {
                    pool = wait(&inner.watch, pool);
                }
                if pool.stopped && pool.queue.is_empty() && pool.running.is_empty() {
                    return;
                }
                drop(wait_for(&inner.watch, pool, TICK));
            }
            let now = Instant::now();
            self.grow(now);
            let stalled = glance.look(inner, now);
            if glance.is_stuck() {
                inner.slow.store(true, Ordering::Relaxed);
                inner.stand_up();
            } else if now.duration_since(glance.stuck_at) > QUIET {
                self.sit_down();
            }
            inner
                .metrics
                .appends_waiting(stalled.count, inner.backlog.bytes());
            match (told, stalled.oldest) {
                (None, Some(since)) => {
                    told = Some(since);
                    tracing::warn!(
                        appends = stalled.count,
                        "the disk has not taken a write for {} s: appends wait for it, all else goes on",
                        STALLED.as_secs()
                    );
                }
                (Some(since), None) => {
                    told = None;
                    let stalled_ms = (now - since).as_millis() as u64;
                    tracing::warn!(stalled_ms, "the disk takes writes again");
                }
                _ => {}
            }
            if now.duration_since(glance.busy) > QUIET {
                inner.watched.store(false, Ordering::SeqCst);
                if inner.in_flight() > 0 {
                    inner.watched.store(true, Ordering::SeqCst);
                }
            }
        }
    }

    fn grow(&self, now: Instant) {
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

    /// Sits for a while. False if the thread is to get up.
    fn sit(&self) -> bool {
        let pool = self.lock();
        pool.is_benched && wait_for(&self.bench, pool, BENCH_TURN).0.is_benched
    }

    fn stand_up(&self) {
        if std::mem::take(&mut self.lock().is_benched) {
            self.bench.notify_all();
        }
    }

    fn wake_watch(&self) {
        if !self.watched.swap(true, Ordering::SeqCst) {
            // Under the lock, or it could miss it between its look and its sleep.
            let _pool = self.lock();
            self.watch.notify_one();
        }
    }

    /// Inline appends that are under way.
    fn in_flight(&self) -> usize {
        let ended = self.ended.load(Ordering::SeqCst);
        // Whoever came between the two looks makes it more, never less.
        self.begun.load(Ordering::SeqCst).wrapping_sub(ended)
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the watch sees at a look, and remembers of earlier ones.
struct Glance {
    begun: usize,
    ended: usize,
    /// Inline appends are under way, and were at the last look, and none ended in between: since when.
    stuck: Option<Instant>,
    /// When that was so the last time.
    stuck_at: Instant,
    /// When there was an append the last time.
    busy: Instant,
}

struct Stalled {
    count: usize,
    oldest: Option<Instant>,
}

impl Glance {
    fn new(inner: &Inner) -> Glance {
        let now = Instant::now();
        Glance {
            begun: inner.begun.load(Ordering::SeqCst),
            ended: inner.ended.load(Ordering::SeqCst),
            stuck: None,
            stuck_at: now,
            busy: now,
        }
    }

    fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    fn look(&mut self, inner: &Inner, now: Instant) -> Stalled {
        let inline = inner.in_flight().min(inner.seats);
        let (begun, ended) = (
            inner.begun.load(Ordering::SeqCst),
            inner.ended.load(Ordering::SeqCst),
        );
        let was_under_way = self.begun != self.ended;
        if inline == 0 || ended != self.ended {
            self.stuck = None;
        } else if was_under_way {
            self.stuck.get_or_insert(now);
            self.stuck_at = now;
        }
        let is_old = |since: &Instant| now.duration_since(*since) >= STALLED;
        let mut old: Vec<Instant> = {
            let pool = inner.lock();
            if begun != self.begun || inline > 0 || !pool.running.is_empty() {
                self.busy = now;
            }
            let queued = pool.queue.iter().map(|(since, _)| since);
            let all = pool.running.values().chain(queued);
            all.copied().filter(is_old).collect()
        };
        (self.begun, self.ended) = (begun, ended);
        let inline_since = self.stuck.filter(is_old);
        old.extend(inline_since.into_iter().cycle().take(inline));
        Stalled {
            count: old.len(),
            oldest: old.into_iter().min(),
        }
    }
}

impl Seat<'_> {
    /// For a thread of the pool: it may wait.
    pub(crate) fn of_the_pool() -> Seat<'static> {
        Seat(None)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.0 {
            inner.ended.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Stretch<'_> {
    fn drop(&mut self) {
        if self.began.elapsed() > SLOW {
            self.inner.slow.store(true, Ordering::Relaxed);
        }
    }
}

fn wait<'p>(condition: &Condvar, pool: MutexGuard<'p, Pool>) -> MutexGuard<'p, Pool> {
    condition.wait(pool).unwrap_or_else(PoisonError::into_inner)
}

/// True if the time was over.
fn wait_for<'p>(
    condition: &Condvar,
    pool: MutexGuard<'p, Pool>,
    limit: Duration,
) -> (MutexGuard<'p, Pool>, bool) {
    let (pool, timeout) = condition
        .wait_timeout(pool, limit)
        .unwrap_or_else(PoisonError::into_inner);
    (pool, timeout.timed_out())
}

#[cfg(test)]
mod tests;
