//! The watch: looks at the appends that are under way, every [`TICK`] while there are any.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::pool::{wait, wait_for};
use super::{Appends, Inner};

/// How often the watch looks.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// An append that takes longer is called stalled, and a person is told.
const STALLED: Duration = Duration::from_secs(1);
/// After this time without an append nobody looks any more.
const QUIET: Duration = Duration::from_secs(1);

impl Appends {
    /// Calls the spare thread and the pool when an append is overdue, has more threads for
    /// work that waits for one, and has a line for a person.
    pub(super) fn keep_watch(&self) {
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
