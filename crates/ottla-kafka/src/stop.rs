//! Telling all connections of a listener that it is over.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A flag that can be waited for. Looking at it costs one load; waiting registers only when nothing
/// else is ready.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    flag: AtomicBool,
    notify: Notify,
}

impl Stop {
    pub(crate) fn set(&self) {
        self.flag.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    pub(crate) async fn wait(&self) {
        // Made before the flag is looked at: it hears of a `set` in between.
        let notified = self.notify.notified();
        if !self.is_set() {
            notified.await;
        }
    }
}
