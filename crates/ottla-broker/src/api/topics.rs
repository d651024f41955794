//! Looking topics up. Changing them is a flow.

use std::sync::Arc;

use ottla_model::ids::PartitionIndex;
use ottla_model::uuid::Uuid;

use super::partition::PartitionRef;
use crate::handle::Broker;
use crate::shard::StorageFault;
use crate::wiring::Image;

/// Why the catalog did not do what it was asked.
#[derive(Clone, Debug)]
pub enum CatalogError {
    /// Its machine said no.
    Refused(super::CatalogRefusal),
    /// The storage failed.
    Fault(StorageFault),
}

impl Broker {
    /// What the catalog knows, as of the last durable change.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.published_image()
    }

    /// An open partition.
    #[must_use]
    pub fn partition(&self, topic_id: Uuid, partition: PartitionIndex) -> Option<PartitionRef> {
        self.registry().get(topic_id, partition).map(PartitionRef)
    }

    /// False once the partition was deleted.
    pub(super) fn is_open(&self, partition: &PartitionRef) -> bool {
        let name = partition.name();
        self.registry()
            .get(name.topic_id, name.partition)
            .is_some_and(|open| Arc::ptr_eq(&open, &partition.0))
    }
}
