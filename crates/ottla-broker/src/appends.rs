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
//! - The pool ([`pool`]) is of a fixed size as long as its threads get on. While work is overdue it
//!   doubles, up to a limit; beyond that work queues, at most one piece for each partition. So
//!   partitions whose files stall do not hold up the others, up to that number.
//!
//! What is left: a connection whose own append is in the kernel hears nothing before that returns. There
//! are as many of them as seats, at most. And until the watch ([`watch`]) has looked once or twice after
//! a stall began, nobody may look at the sockets.

mod pool;
mod watch;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::backlog::Backlog;
use crate::metrics::Metrics;
use pool::{Pool, STACK_BYTES, THREADS, wait, wait_for};

/// A read burst whose inline appends took longer sends the following ones to the pool.
const SLOW: Duration = Duration::from_millis(20);
/// How often the task on the bench lets its thread look whether the runtime ends.
const BENCH_TURN: Duration = Duration::from_secs(5);

thread_local! {
    /// This thread may have woken a task since its last append.
    static WOKE: Cell<bool> = const { Cell::new(true) };
}

/// Says that this thread may have woken a task. What it wakes last lies in a slot of the runtime's that
/// no other thread takes from (`lifo_slot` of tokio's workers).
pub(crate) fn note_wake() {
    WOKE.set(true);
}

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
}

impl Inner {
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

#[cfg(test)]
mod tests;
