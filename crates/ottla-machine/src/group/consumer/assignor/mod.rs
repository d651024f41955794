//! Assignors: who is to get which partition of a consumer group, as pure functions (Kafka
//! `GroupSpec`, `SubscribedTopicDescriber`, `GroupAssignment`).
//!
//! They run outside the turn: an [`Effect::Assign`](crate::group::Effect::Assign) carries the whole
//! input, the runtime calls the assignor wherever it likes and submits the outcome as
//! [`Request::Assigned`](crate::group::Request::Assigned), fenced by the group's epoch.
//!
//! Guarantees of an assignor: every partition of every topic that somebody subscribes to has exactly one
//! owner, who subscribes to the topic; same input, same output. Never knows groups, epochs, what members
//! own now.

mod heterogeneous;
mod homogeneous;
mod problem;
mod range;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::uuid::Uuid;

use crate::group::{InstanceId, MemberId};
use problem::Problem;

/// Partitions by topic; each list ascending, none of them empty.
pub type Partitions = BTreeMap<Uuid, Vec<i32>>;

/// Which partitions each member is to get. A member that is not there gets nothing.
pub type GroupAssignment = BTreeMap<MemberId, Partitions>;

/// An assignor of the broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Assignor {
    /// As evenly as can be, moving as little as can be (`UniformAssignor`); Kafka's default.
    Uniform,
    /// Topic by topic a range per member, so that members get the same partitions of all topics
    /// (`RangeAssignor`).
    Range,
}

/// What an assignor needs to know.
#[derive(Clone, PartialEq, Debug)]
pub struct AssignorInput {
    /// The members, with their subscriptions and what they were to get so far.
    pub members: BTreeMap<MemberId, AssignorMember>,
    /// The topics that members subscribe to and that exist.
    pub topics: BTreeMap<Uuid, AssignorTopic>,
    /// True if all members subscribe to the same topics (`SubscriptionType.HOMOGENEOUS`).
    pub homogeneous: bool,
}

/// A member, for an assignor.
#[derive(Clone, PartialEq, Debug)]
pub struct AssignorMember {
    /// Makes the member static: it keeps its place when it comes back as another member.
    pub instance: Option<InstanceId>,
    /// The topics that it subscribes to; all of them are among the input's. Shared by members that
    /// subscribe alike.
    pub subscribed: Arc<BTreeSet<Uuid>>,
    /// What it was to get so far; may name topics and partitions that are gone or that it does not
    /// subscribe to any more.
    pub target: Arc<Partitions>,
}

/// A topic, for an assignor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AssignorTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions it has, numbered from 0.
    pub partitions: i32,
}

impl Assignor {
    /// All of them; the first is the default (`group.consumer.assignors`).
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// Shares out the partitions. Members of one input get the same whatever order they came in; Kafka's
    /// result may differ in who gets which partition where it goes by the order of a hash map.
    #[must_use]
    pub fn assign(self, input: &AssignorInput) -> GroupAssignment {
        let problem = Problem::new(input);
        match self {
            Assignor::Range => range::assign(&problem),
            Assignor::Uniform if input.homogeneous && problem.is_homogeneous() => {
                homogeneous::assign(problem)
            }
            Assignor::Uniform => heterogeneous::assign(problem),
        }
    }

    /// Its name in Kafka.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Assignor> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}
