//! Fetches that wait for data.
//!
//! A waiter belongs to one interest (a fetch, or a fetch session across its fetches) and is registered
//! with partitions under keys of its owner's. A partition whose durable mark moves names the keys to
//! its waiters and forgets them, whether somebody waits at that moment or not: the owner looks at that
//! partition again, and only that one, and registers anew if it goes on asking.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Where partitions leave word that they moved.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    woken: Mutex<Vec<u64>>,
    notify: Notify,
}

impl Waiter {
    pub(crate) fn new() -> Arc<Waiter> {
        Arc::default()
    }

    /// Waits for the next wake. May end without one if a wake was taken before it was waited for.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Keys of the partitions that moved since the last call.
    pub(crate) fn take_woken(&self) -> Vec<u64> {
        std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake(&self, key: u64) {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(key);
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
    entries: Vec<(Weak<Waiter>, u64)>,
    /// Size at which entries whose owner has gone are swept out, so that a partition without
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
    /// Wakes `waiter` with `key` when the partition moves next. Whoever registers looks at the
    /// partition once more afterwards: it may have moved before.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>, key: u64) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.entries.len() >= list.sweep_at {
            list.entries.retain(|(waiter, _)| waiter.strong_count() > 0);
            list.sweep_at = (list.entries.len() * 2).max(16);
        }
        list.entries.push((Arc::downgrade(waiter), key));
    }

    /// Forgets the key of a waiter that lives on: else one that asks and takes back in turn would
    /// leave an entry each time. Costs a look at each waiter of the partition.
    pub(crate) fn unregister(&self, waiter: &Arc<Waiter>, key: u64) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries
            .retain(|(other, at)| *at != key || !std::ptr::eq(other.as_ptr(), Arc::as_ptr(waiter)));
    }

    /// Wakes all, and forgets them. False if there was none.
    pub(crate) fn wake_all(&self) -> bool {
        let entries = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            if list.entries.is_empty() {
                return false;
            }
            std::mem::take(&mut list.entries)
        };
        for (waiter, key) in entries {
            if let Some(waiter) = waiter.upgrade() {
                waiter.wake(key);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(waiters: &Waiters) -> usize {
        waiters.list.lock().unwrap().entries.len()
    }

    #[test]
    fn a_wake_between_two_waits_is_kept_and_names_each_key_once() {
        let (waiters, waiter) = (Waiters::default(), Waiter::new());
        waiters.register(&waiter, 7);
        waiters.register(&waiter, 9);
        waiters.wake_all();
        waiters.wake_all();
        assert_eq!(waiter.take_woken(), [7, 9]);
        assert_eq!(waiter.take_woken(), []);
    }

    #[test]
    fn one_that_takes_back_leaves_nothing_and_keeps_its_other_keys() {
        let (waiters, waiter, other) = (Waiters::default(), Waiter::new(), Waiter::new());
        waiters.register(&other, 1);
        waiters.register(&waiter, 2);
        for _ in 0..1_000 {
            waiters.register(&waiter, 1);
            waiters.unregister(&waiter, 1);
        }
        assert_eq!(entries(&waiters), 2);
        waiters.wake_all();
        assert_eq!(
            (other.take_woken(), waiter.take_woken()),
            (vec![1], vec![2])
        );
    }

    #[test]
    fn owners_that_vanish_do_not_pile_up() {
        let waiters = Waiters::default();
        for key in 0..10_000 {
            waiters.register(&Waiter::new(), key);
        }
        assert!(entries(&waiters) <= 16, "{}", entries(&waiters));
    }
}
