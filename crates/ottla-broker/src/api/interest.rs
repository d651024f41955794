//! Partitions that someone goes on asking for: what lets an idle fetch cost nothing.
//!
//! Guarantee: a partition that was told to be settled and is kept here is named by the next
//! [`Interest::take_moved`] if anything changed that a fetch would say: its marks, or that it is gone.
//! So its owner needs no plan of it until then. Holds no connection and no thread: dropping it is all
//! it takes to leave.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::fetch::FetchPartition;
use crate::waiters::Waiter;

/// A set of partitions under keys of its owner's, with their registrations. Each key stands for one
/// partition at a time.
pub struct Interest {
    waiter: Arc<Waiter>,
    kept: HashMap<u64, Kept>,
}

struct Kept {
    asked: FetchPartition,
    /// The partition will name itself when it moves next.
    registered: bool,
}

impl Interest {
    /// Interest in nothing yet: [`Broker::fetch`](crate::Broker::fetch) adds what it is asked for.
    #[must_use]
    pub fn new() -> Interest {
        Interest {
            waiter: Waiter::new(),
            kept: HashMap::new(),
        }
    }

    /// Ends the interest in a partition.
    pub fn forget(&mut self, key: u64) {
        if let Some(kept) = self.kept.remove(&key)
            && kept.registered
        {
            self.unregister(key, &kept.asked);
        }
    }

    /// The partitions that moved since the last call, or since the fetch that found them settled.
    pub fn take_moved(&mut self) -> Vec<u64> {
        let mut moved = self.waiter.take_woken();
        moved.retain(|key| match self.kept.get_mut(key) {
            Some(kept) => {
                kept.registered = false;
                true
            }
            None => false,
        });
        moved
    }

    /// Waits until a partition may have moved.
    pub(super) async fn moves(&self) {
        self.waiter.wait().await;
    }

    /// Takes a partition in, in place of what was asked under its key before.
    pub(super) fn keep(&mut self, asked: &FetchPartition) {
        let same = |kept: &Kept| Arc::ptr_eq(&kept.asked.partition.0, &asked.partition.0);
        let registered = match self.kept.get(&asked.key) {
            Some(kept) if same(kept) => kept.registered,
            Some(_) => {
                self.forget(asked.key);
                false
            }
            None => false,
        };
        let asked = asked.clone();
        self.kept.insert(asked.key, Kept { asked, registered });
    }

    /// What is asked under a key.
    pub(super) fn asked(&self, key: u64) -> Option<&FetchPartition> {
        self.kept.get(&key).map(|kept| &kept.asked)
    }

    /// Makes sure that the partition names itself when it moves. True if it did not so far: it may
    /// have moved before, so look at it once more.
    pub(super) fn register(&mut self, key: u64) -> bool {
        let Some(kept) = self.kept.get_mut(&key).filter(|kept| !kept.registered) else {
            return false;
        };
        kept.registered = true;
        let tenant = &kept.asked.partition.0.tenant;
        tenant.waiters().register(&self.waiter, key);
        true
    }

    fn unregister(&self, key: u64, asked: &FetchPartition) {
        let tenant = &asked.partition.0.tenant;
        tenant.waiters().unregister(&self.waiter, key);
    }
}

impl Default for Interest {
    fn default() -> Interest {
        Interest::new()
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interest in {} partitions", self.kept.len())
    }
}
