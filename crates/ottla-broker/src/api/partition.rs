//! One open partition, as a gateway holds it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_model::ids::LeaderEpoch;
use ottla_model::marks::Marks;
use ottla_model::names::TopicPartition;

use crate::wiring::Tenant;

/// An open partition. Cheap to clone; keeps the partition's memory, not its existence.
#[derive(Clone)]
pub struct PartitionRef(pub(crate) Arc<OpenPartition>);

/// What the registry holds of a partition.
pub(crate) struct OpenPartition {
    pub(crate) name: TopicPartition,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) tenant: Tenant,
    pub(crate) faults: FaultsTold,
}

/// Faults of reads that a person was told of. Clients ask for the same bytes again and again: each
/// fault is worth one line, not one per request.
#[derive(Debug, Default)]
pub(crate) struct FaultsTold(Mutex<Vec<String>>);

/// Faults that are remembered of a partition; then they are told anew.
const FAULTS_TOLD_MAX: usize = 16;

impl FaultsTold {
    /// True if nobody was told of this fault yet; from now on somebody was.
    pub(crate) fn is_new(&self, fault: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.iter().any(|other| other == fault) {
            return false;
        }
        if told.len() >= FAULTS_TOLD_MAX {
            told.clear();
        }
        told.push(fault.to_owned());
        true
    }
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

    /// True if clients may append: not to what the broker keeps its own state in.
    #[must_use]
    pub fn takes_records(&self) -> bool {
        matches!(self.0.tenant, Tenant::Data(_))
    }

    /// How far the log has come.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.0.tenant.marks()
    }
}

impl fmt::Debug for PartitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.name, f)
    }
}
