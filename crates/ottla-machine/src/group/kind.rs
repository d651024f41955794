//! What a group is, whatever its protocol: the questions that offsets, admins and deletion ask.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ottla_model::time::MonoMs;

use super::classic::{Classic, ClassicRecord, State};
use super::consumer::Consumer;
use super::offsets::UnusedSince;
use super::{GroupId, GroupRecord, Refusal};

/// A group by the protocol that its members speak.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// JoinGroup, SyncGroup; also a group that only holds offsets.
    Classic {
        /// What the log says of it, if anything: all that a restart keeps.
        logged: Option<Arc<ClassicRecord>>,
        /// How it is.
        live: Arc<Classic>,
    },
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer(Box<Consumer>),
}

/// Which protocol a group speaks (KIP-848 `Group.GroupType`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GroupType {
    /// The members assign.
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
}

/// Where a group stands, as admins see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GroupState {
    /// No members.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// The leader assigns.
    CompletingRebalance,
    /// Of a consumer group: what members are to have is not known yet.
    Assigning,
    /// Of a consumer group: members do not have yet what they are to have.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
    /// There is no such group.
    Dead,
}

impl Kind {
    /// A group that nobody joined yet.
    pub(super) fn simple() -> Kind {
        Kind::Classic {
            logged: None,
            live: Arc::new(Classic::empty(None)),
        }
    }

    pub(super) fn group_type(&self) -> GroupType {
        match self {
            Kind::Classic { .. } => GroupType::Classic,
            Kind::Consumer(_) => GroupType::Consumer,
        }
    }

    pub(super) fn state(&self) -> GroupState {
        match self {
            Kind::Classic { live, .. } => live.shown_state(),
            Kind::Consumer(group) => group.state(),
        }
    }

    /// True if nobody is or is about to be a member.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Kind::Classic { live, .. } => live.is_empty(),
            Kind::Consumer(group) => group.is_empty(),
        }
    }

    /// When time changes something next.
    pub(super) fn deadline(&self) -> Option<MonoMs> {
        match self {
            Kind::Classic { live, .. } => live.deadline(),
            Kind::Consumer(group) => group.deadline(),
        }
    }

    /// True if the sessions of members that the log knows have not begun: so it is after a restart.
    pub(super) fn is_dormant(&self) -> bool {
        match self {
            Kind::Classic { live, .. } => live.is_dormant(),
            Kind::Consumer(group) => group.is_dormant(),
        }
    }

    /// Whether the group may be deleted.
    pub(super) fn check_delete(&self) -> Result<(), Refusal> {
        match self {
            Kind::Classic { live, .. } if live.state() == State::Empty => Ok(()),
            Kind::Classic { .. } => Err(Refusal::NonEmptyGroup),
            Kind::Consumer(group) if group.is_empty() => Ok(()),
            Kind::Consumer(_) => Err(Refusal::NonEmptyGroup),
        }
    }

    /// Whether offsets may be deleted one by one.
    pub(super) fn check_offset_delete(&self) -> Result<(), Refusal> {
        match self {
            Kind::Classic { live, .. } => live.check_offset_delete(),
            // Topics that members subscribe to are refused one by one.
            Kind::Consumer(_) => Ok(()),
        }
    }

    /// Whether members subscribe to the topic.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Kind::Classic { live, .. } => live.is_subscribed_to(topic),
            Kind::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Since when offsets count as unused; `None`: none of them expires now.
    pub(super) fn offsets_unused_since(&self) -> Option<UnusedSince> {
        match self {
            Kind::Classic { live, .. } => live.offsets_unused_since(),
            Kind::Consumer(_) => Some(UnusedSince::Commit),
        }
    }

    /// The records that delete the group.
    pub(super) fn delete(&self, id: &GroupId, records: &mut Vec<GroupRecord>) {
        match self {
            Kind::Classic { .. } => Classic::delete(id, records),
            Kind::Consumer(group) => group.delete(id, records),
        }
    }
}

impl GroupType {
    /// All of them.
    pub const ALL: [GroupType; 2] = [GroupType::Classic, GroupType::Consumer];

    /// Its name in Kafka.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
        }
    }
}

impl GroupState {
    /// All of them.
    pub const ALL: [GroupState; 7] = [
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Assigning,
        GroupState::Reconciling,
        GroupState::Stable,
        GroupState::Dead,
    ];

    /// Its name in Kafka.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
