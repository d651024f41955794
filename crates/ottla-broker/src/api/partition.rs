//! One open partition, as a gateway holds it.

use std::fmt;
use std::sync::Arc;

use ottla_model::ids::LeaderEpoch;
use ottla_model::marks::Marks;
use ottla_model::names::TopicPartition;

use crate::drive::Driven;
use crate::wiring::PartitionShard;

/// An open partition. Cheap to clone; keeps the partition's memory, not its existence.
#[derive(Clone)]
pub struct PartitionRef(pub(crate) Arc<OpenPartition>);

/// What the registry holds of a partition.
pub(crate) struct OpenPartition {
    pub(crate) name: TopicPartition,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) driven: Arc<Driven<PartitionShard>>,
}

/// How a client's idea of the leader's epoch compares (KIP-320).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EpochCheck {
    /// The same, or the client has none.
    Current,
    /// The client's is older (`FENCED_LEADER_EPOCH`).
    Fenced,
    /// The client's is newer (`UNKNOWN_LEADER_EPOCH`).
    Unknown,
}

impl OpenPartition {
    pub(crate) fn shard(&self) -> &Arc<PartitionShard> {
        self.driven.shard()
    }
}

impl PartitionRef {
    /// Topic, id and index.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.0.name
    }

    /// The leader's epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.0.leader_epoch
    }

    /// Compares a client's idea of the leader's epoch; `NONE` is always current.
    #[must_use]
    pub fn check_epoch(&self, claimed: LeaderEpoch) -> EpochCheck {
        if claimed == LeaderEpoch::NONE || claimed == self.0.leader_epoch {
            EpochCheck::Current
        } else if claimed < self.0.leader_epoch {
            EpochCheck::Fenced
        } else {
            EpochCheck::Unknown
        }
    }

    /// How far the log has come.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.0.shard().marks()
    }
}

impl fmt::Debug for PartitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.name, f)
    }
}
