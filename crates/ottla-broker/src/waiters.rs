//! Fetches that wait for data.
//!
//! A waiter belongs to one fetch and is registered with every partition that the fetch asks for. A
//! partition whose durable mark moves names itself to its waiters and forgets them: the fetch plans
//! that partition again, and only that one, and registers anew if it goes on waiting.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// One waiting fetch.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    woken: Mutex<Vec<usize>>,
    notify: Notify,
}

impl Waiter {
    pub(crate) fn new() -> Arc<Waiter> {
        Arc::default()
    }

    /// Waits for the next wake.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Which of the fetch's partitions moved since the last call.
    pub(crate) fn take_woken(&self) -> Vec<usize> {
        std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake(&self, index: usize) {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(index);
        self.notify.notify_one();
    }
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    entries: Vec<(Weak<Waiter>, usize)>,
    /// Size at which entries whose fetch has ended are swept out, so that a partition without
    /// traffic does not collect them.
    sweep_at: usize,
}

impl Default for List {
    fn default() -> List {
        List {
            entries: Vec::new(),
            sweep_at: 16,
        }
    }
}

impl Waiters {
    /// Wakes `waiter` with `index` when the partition moves next. Whoever registers looks at the
    /// partition once more afterwards: it may have moved before.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>, index: usize) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.entries.len() >= list.sweep_at {
            list.entries.retain(|(waiter, _)| waiter.strong_count() > 0);
            list.sweep_at = (list.entries.len() * 2).max(16);
        }
        list.entries.push((Arc::downgrade(waiter), index));
    }

    /// Wakes all, and forgets them.
    pub(crate) fn wake_all(&self) {
        let entries = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            if list.entries.is_empty() {
                return;
            }
            std::mem::take(&mut list.entries)
        };
        for (waiter, index) in entries {
            if let Some(waiter) = waiter.upgrade() {
                waiter.wake(index);
            }
        }
    }
}
