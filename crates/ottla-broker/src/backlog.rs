//! Bytes of clients' batches that are not where their answers need them yet: in memory because the
//! disk has not taken them, or written and not durable. Bounds what a disk that stalls can cost.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

thread_local! {
    /// The account of the burst that this thread runs.
    static OWN: Cell<*const Charge> = const { Cell::new(ptr::null()) };
}

/// What the broker holds for the disk.
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    bytes_max: usize,
    room: Notify,
}

/// Bytes of one burst, given back when the last of its batches is done with.
pub(crate) struct Charge {
    backlog: Arc<Backlog>,
    bytes: AtomicUsize,
}

impl Backlog {
    pub(crate) fn new(bytes_max: usize) -> Arc<Backlog> {
        Arc::new(Backlog {
            bytes: AtomicUsize::new(0),
            bytes_max,
            room: Notify::new(),
        })
    }

    /// An open account, with nothing on it yet.
    pub(crate) fn open(self: &Arc<Self>) -> Arc<Charge> {
        Arc::new(Charge {
            backlog: Arc::clone(self),
            bytes: AtomicUsize::new(0),
        })
    }

    /// What there is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// True if more may come. What comes next may go beyond the bound: a batch of whatever size fits.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < self.bytes_max
    }

    /// Waits until more may come.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.room.notified();
            tokio::pin!(freed);
            // Before the look: what is freed between the two must not be missed.
            freed.as_mut().enable();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }
}

impl Charge {
    /// Runs the burst that this is charged for.
    pub(crate) fn as_own<R>(&self, run: impl FnOnce() -> R) -> R {
        let outer = OWN.replace(self);
        let ran = run();
        OWN.set(outer);
        ran
    }

    /// True while this thread runs the burst: nobody waits for its answers yet.
    pub(crate) fn is_own(&self) -> bool {
        ptr::eq(self, OWN.get())
    }

    /// Counts bytes, once for all of a burst that are known.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.backlog.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        let backlog = &*self.backlog;
        let before = backlog.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if before >= backlog.bytes_max && before - bytes < backlog.bytes_max {
            backlog.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_room_gets_on_when_the_last_of_a_burst_is_done_with() {
        let backlog = Backlog::new(100);
        let first = backlog.open();
        first.add(60);
        assert!(backlog.has_room());
        let second = backlog.open();
        second.add(60);
        assert!(!backlog.has_room());
        let waiting = {
            let backlog = Arc::clone(&backlog);
            tokio::spawn(async move { backlog.room().await })
        };
        tokio::task::yield_now().await;
        let other = Arc::clone(&first);
        drop(first);
        assert!(!backlog.has_room() && !waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
        drop(second);
        assert_eq!(backlog.bytes(), 0);
    }

    #[tokio::test]
    async fn one_batch_of_whatever_size_finds_room() {
        let backlog = Backlog::new(1);
        backlog.room().await;
        backlog.open().add(1_000);
        backlog.room().await;
    }
}
