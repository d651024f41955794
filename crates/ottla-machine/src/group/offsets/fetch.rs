//! OffsetFetch: what a group committed (Kafka `OffsetMetadataManager.fetchOffsets`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::uuid::Uuid;

use super::{CommittedOffset, Offsets};
use crate::group::{Coordinator, GroupId, Kind, MemberId, Refusal};

/// A question for committed offsets.
#[derive(Clone, Debug)]
pub struct FetchOffsets {
    /// The group.
    pub group: GroupId,
    /// The member of a consumer group (KIP-848) that asks; `None` if nobody in particular does.
    pub member: Option<MemberId>,
    /// Its epoch; -1 if nobody in particular asks.
    pub member_epoch: i32,
    /// Offsets that a transaction has not decided on are refused (KIP-447).
    pub require_stable: bool,
    /// Of which partitions; `None` asks for all that were committed.
    pub topics: Option<Vec<FetchTopic>>,
}

/// A topic whose offsets are asked for.
#[derive(Clone, Debug)]
pub struct FetchTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, if the asker means this one topic: an offset of an earlier one of that name is not told.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// What a group committed of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions.
    pub partitions: Vec<FetchedPartition>,
}

/// What a group committed of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedPartition {
    /// Which.
    pub partition: i32,
    /// The offset; `None` if there is none.
    pub committed: Result<Option<CommittedOffset>, Refusal>,
}

impl Coordinator {
    /// # Errors
    /// The asker says that it is a member, and is none, or of another epoch.
    pub(in crate::group) fn plan_offsets(
        &self,
        question: &FetchOffsets,
    ) -> Result<Vec<FetchedTopic>, Refusal> {
        let group = self.groups.get(&question.group);
        if let Some(Kind::Consumer(group)) = group.map(|group| &group.kind) {
            group.check_fetch(question)?;
        }
        let offsets = group.map(|group| &group.offsets);
        let stable = |topic: &str, partition| {
            let undecided = question.require_stable
                && offsets.is_some_and(|offsets| offsets.is_undecided(topic, partition));
            if undecided {
                Err(Refusal::UnstableOffset)
            } else {
                Ok(())
            }
        };
        let Some(topics) = &question.topics else {
            let topics = offsets.into_iter().flat_map(|offsets| &offsets.committed);
            return Ok(topics
                .map(|(name, partitions)| FetchedTopic {
                    name: Arc::clone(name),
                    partitions: partitions
                        .iter()
                        .map(|(partition, offset)| FetchedPartition {
                            partition: *partition,
                            committed: stable(name, *partition).map(|()| Some(offset.clone())),
                        })
                        .collect(),
                })
                .collect());
        };
        let find = |topic: &FetchTopic, partition| {
            let offset = offsets?.get(&topic.name, partition)?;
            offset.is_of(topic.topic_id).then(|| offset.clone())
        };
        let answer = |topic: &FetchTopic| FetchedTopic {
            name: Arc::clone(&topic.name),
            partitions: topic
                .partitions
                .iter()
                .map(|partition| FetchedPartition {
                    partition: *partition,
                    committed: stable(&topic.name, *partition).map(|()| find(topic, *partition)),
                })
                .collect(),
        };
        Ok(topics.iter().map(answer).collect())
    }
}

impl CommittedOffset {
    /// False if both ids are known and differ.
    fn is_of(&self, topic_id: Uuid) -> bool {
        self.topic_id == Uuid::ZERO || topic_id == Uuid::ZERO || self.topic_id == topic_id
    }
}

impl Offsets {
    /// All that is committed, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, i32, &CommittedOffset)> {
        self.committed.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, offset)| (topic, *partition, offset))
        })
    }

    /// Every partition of which an offset is committed or about to be, each once.
    pub(in crate::group) fn partitions(&self) -> impl Iterator<Item = (&Arc<str>, i32)> {
        let committed = self.all().map(|(topic, partition, _)| (topic, partition));
        let mut undecided: Vec<(&Arc<str>, i32)> = self
            .undecided
            .values()
            .flatten()
            .flat_map(|(topic, partitions)| partitions.keys().map(move |index| (topic, *index)))
            .filter(|(topic, partition)| self.get(topic, *partition).is_none())
            .collect();
        undecided.sort_unstable();
        undecided.dedup();
        committed.chain(undecided)
    }
}
