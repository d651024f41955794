//! What admins see of a consumer group (Kafka `ConsumerGroup.asDescribedGroup`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::uuid::Uuid;

use super::assignor::{Assignor, Partitions};
use super::topics::Topics;
use super::{Consumer, Current, MemberFacts};
use crate::group::{GroupState, MemberId};

/// A consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedConsumerGroup {
    /// Where it stands.
    pub state: GroupState,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch that its targets are of.
    pub target_epoch: i32,
    /// Who assigns.
    pub assignor: Assignor,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedConsumer {
    /// Its id.
    pub member: MemberId,
    /// Its epoch.
    pub epoch: i32,
    /// What it says of itself.
    pub facts: Arc<MemberFacts>,
    /// What it has, also what it is to give up.
    pub assigned: Vec<NamedPartitions>,
    /// What it is to get.
    pub target: Vec<NamedPartitions>,
}

/// Partitions of a topic that there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedPartitions {
    /// Its id.
    pub topic_id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// The partitions.
    pub partitions: Vec<i32>,
}

impl Consumer {
    pub(in crate::group) fn describe(&self, topics: &dyn Topics) -> DescribedConsumerGroup {
        let members = self.logged.members.iter().map(|(id, member)| {
            let target = self.logged.targets.get(id);
            DescribedConsumer {
                member: id.clone(),
                epoch: member.current.epoch,
                facts: Arc::clone(&member.facts),
                assigned: named(&member.current.all(), topics),
                target: target.map_or_else(Vec::new, |target| named(target, topics)),
            }
        });
        DescribedConsumerGroup {
            state: self.state(),
            epoch: self.logged.epoch.epoch,
            target_epoch: self.logged.target.epoch,
            assignor: self.assignor(),
            members: members.collect(),
        }
    }
}

impl Current {
    /// All that the member has.
    fn all(&self) -> Partitions {
        let mut all: Partitions = BTreeMap::new();
        for (topic, partitions) in self.assigned.iter().chain(&self.revoking) {
            all.entry(*topic).or_default().extend(partitions.keys());
        }
        all
    }
}

fn named(partitions: &Partitions, topics: &dyn Topics) -> Vec<NamedPartitions> {
    let named = partitions.iter().filter_map(|(topic, partitions)| {
        Some(NamedPartitions {
            topic_id: *topic,
            name: topics.name(*topic)?,
            partitions: partitions.clone(),
        })
    });
    named.collect()
}
