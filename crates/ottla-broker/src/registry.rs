//! Which partitions are open, by topic id and index.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ottla_model::ids::PartitionIndex;
use ottla_model::uuid::Uuid;

/// Open partitions. A reader holds the lock for one look-up.
#[derive(Debug)]
pub(crate) struct Registry<P> {
    open: RwLock<HashMap<(Uuid, PartitionIndex), Arc<P>>>,
}

impl<P> Default for Registry<P> {
    fn default() -> Self {
        Registry {
            open: RwLock::default(),
        }
    }
}

impl<P> Registry<P> {
    pub(crate) fn get(&self, topic_id: Uuid, partition: PartitionIndex) -> Option<Arc<P>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&(topic_id, partition)).cloned()
    }

    pub(crate) fn insert(&self, topic_id: Uuid, partition: PartitionIndex, entry: Arc<P>) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert((topic_id, partition), entry);
    }

    pub(crate) fn remove(&self, topic_id: Uuid, partition: PartitionIndex) -> Option<Arc<P>> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.remove(&(topic_id, partition))
    }

    pub(crate) fn all(&self) -> Vec<Arc<P>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}
