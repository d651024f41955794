//! Running shards on the runtime's threads: inline where the work arrives, on a task of its own where
//! a run reached its bound, and again when a machine's deadline comes. What waits for the disk is done
//! inline as long as [`Appends`] gives a seat, and in its pool otherwise.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ottla_machine::contract::Machine;
use ottla_model::time::{MonoMs, Now};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::appends::{Appends, Seat};
use crate::clock::Clock;
use crate::shard::{DiskWork, Outlet, RunEnd, Shard};

/// Something that can be run: a shard, whatever its machine.
pub(crate) trait Runnable: Send + Sync + 'static {
    fn run_within<'a>(&self, now: Now, enter: impl FnMut() -> Option<Seat<'a>>) -> RunEnd;
    fn work(&self, work: DiskWork) -> Option<DiskWork>;
    fn deadline(&self) -> Option<MonoMs>;
}

impl<M: Machine, O: Outlet<M>> Runnable for Shard<M, O> {
    fn run_within<'a>(&self, now: Now, enter: impl FnMut() -> Option<Seat<'a>>) -> RunEnd {
        Shard::run_within(self, now, enter)
    }
    fn work(&self, work: DiskWork) -> Option<DiskWork> {
        Shard::work(self, work)
    }
    fn deadline(&self) -> Option<MonoMs> {
        Shard::deadline(self)
    }
}

/// A shard with the moment at which it will be woken next.
#[derive(Debug)]
pub(crate) struct Driven<S> {
    shard: Arc<S>,
    /// Deadline that the timer knows, ms; `u64::MAX` for none.
    armed: AtomicU64,
}

impl<S> Driven<S> {
    pub(crate) fn new(shard: Arc<S>) -> Driven<S> {
        Driven {
            shard,
            armed: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn shard(&self) -> &Arc<S> {
        &self.shard
    }
}

/// Runs shards.
#[derive(Clone)]
pub(crate) struct Driver {
    clock: Clock,
    /// Where a run goes on that reached its bound; also those of the thread that opens partitions.
    runtime: Handle,
    timers: Arc<Timers>,
    appends: Appends,
}

#[derive(Default)]
struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    changed: Notify,
}

struct Entry {
    at: MonoMs,
    run: Weak<dyn Wake>,
}

trait Wake: Send + Sync {
    /// `at`: the deadline that the timer had.
    fn wake(self: Arc<Self>, at: MonoMs, driver: &Driver);
}

impl<S: Runnable> Wake for Driven<S> {
    fn wake(self: Arc<Self>, at: MonoMs, driver: &Driver) {
        // Overtaken by an earlier deadline, which armed the next one. Going on would arm one more each time.
        let armed = &self.armed;
        let (known, order) = (at.0, Ordering::Relaxed);
        if armed
            .compare_exchange(known, u64::MAX, order, order)
            .is_err()
        {
            return;
        }
        // The one task that wakes all shards waits for nobody's disk.
        driver.run_round(&self, &|| None);
    }
}

impl Driver {
    pub(crate) fn new(clock: Clock, runtime: Handle, appends: Appends) -> Driver {
        Driver {
            clock,
            runtime,
            timers: Arc::default(),
            appends,
        }
    }

    /// Where what waits for the disk is done.
    pub(crate) fn appends(&self) -> &Appends {
        &self.appends
    }

    /// The runtime whose threads run shards.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    #[cfg(test)]
    pub(crate) fn next_deadline(&self) -> Option<MonoMs> {
        let heap = self.timers.heap.lock();
        let heap = heap.unwrap_or_else(PoisonError::into_inner);
        heap.peek().map(|Reverse(first)| first.at)
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Runs a shard on this thread, and elsewhere if that is not enough or the disk is to be waited for.
    pub(crate) fn run<S: Runnable>(&self, driven: &Arc<Driven<S>>) {
        self.run_all([driven]);
    }

    /// Runs shards one after the other as [`run`](Self::run) does.
    pub(crate) fn run_all<'d, S: Runnable>(
        &self,
        shards: impl IntoIterator<Item = &'d Arc<Driven<S>>>,
    ) {
        let _stretch = self.appends.stretch();
        for driven in shards {
            self.run_round(driven, &|| self.appends.enter());
        }
    }

    fn run_round<'a, S: Runnable>(
        &self,
        driven: &Arc<Driven<S>>,
        enter: &dyn Fn() -> Option<Seat<'a>>,
    ) {
        match driven.shard.run_within(self.clock.now(), enter) {
            RunEnd::Idle => self.arm(driven),
            RunEnd::Waits(work) => self.work_later(driven, work),
            RunEnd::More => {
                let (driver, driven) = (self.clone(), Arc::clone(driven));
                self.runtime.spawn(async move {
                    // Others first: this shard had its share.
                    tokio::task::yield_now().await;
                    driver.run(&driven);
                });
            }
        }
    }

    /// Does the work in the pool, and runs the shard there once more.
    fn work_later<S: Runnable>(&self, driven: &Arc<Driven<S>>, work: DiskWork) {
        let is_probe = matches!(work, DiskWork::Probe { .. });
        let (driver, pooled) = (self.clone(), Arc::clone(driven));
        self.appends.pool(Box::new(move || {
            let mut next = Some(work);
            while let Some(work) = next {
                next = pooled.shard.work(work);
            }
            driver.run_round(&pooled, &|| Some(Seat::of_the_pool()));
        }));
        if is_probe {
            // Meanwhile commands are to hear that the log refuses.
            self.run(driven);
        }
    }

    /// Puts the machine's next deadline into the heap, unless an earlier one is there already.
    fn arm<S: Runnable>(&self, driven: &Arc<Driven<S>>) {
        let Some(at) = driven.shard.deadline() else {
            return;
        };
        if driven.armed.fetch_min(at.0, Ordering::Relaxed) <= at.0 {
            return;
        }
        let run: Weak<dyn Wake> = Arc::downgrade(driven) as Weak<dyn Wake>;
        let mut heap = self
            .timers
            .heap
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let first = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Entry { at, run }));
        drop(heap);
        if first {
            self.timers.changed.notify_one();
        }
    }

    /// Wakes shards at their deadlines, for ever.
    pub(crate) async fn keep_time(self) {
        loop {
            let next = self.wake_due();
            // Others have their turn, whatever the deadlines that were set meanwhile.
            tokio::task::yield_now().await;
            let changed = self.timers.changed.notified();
            match next {
                None => changed.await,
                Some(at) => {
                    let at = tokio::time::Instant::from_std(self.clock.instant(at));
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }

    /// Wakes what is due now; tells when the next one is, which may be over by then.
    fn wake_due(&self) -> Option<MonoMs> {
        let now = self.clock.mono();
        loop {
            let due = {
                let mut heap = self
                    .timers
                    .heap
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let at = heap.peek()?.0.at;
                if at > now {
                    return Some(at);
                }
                heap.pop()?
            };
            if let Some(driven) = due.0.run.upgrade() {
                driven.wake(due.0.at, self);
            }
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
