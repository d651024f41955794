//! The producer table as a value.

use alloc::vec::Vec;

use ottla_model::ids::{Offset, ProducerEpoch, ProducerId};
use ottla_model::time::WallMs;

use super::producer::StoredBatch;

/// The state of a partition without its volatile part.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Snapshot {
    /// Everything below this offset is in here.
    pub at: Offset,
    /// By ascending id, each once.
    pub producers: Vec<ProducerEntry>,
}

/// One producer of a [`Snapshot`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerEntry {
    /// Who.
    pub id: ProducerId,
    /// Its current incarnation.
    pub epoch: ProducerEpoch,
    /// Largest timestamp of its newest batch, or timestamp of its newest marker.
    pub last_timestamp: WallMs,
    /// Its newest batches, oldest first, all of `epoch`; at most
    /// [`BATCHES_RETAINED`](super::BATCHES_RETAINED).
    pub batches: Vec<StoredBatch>,
}
