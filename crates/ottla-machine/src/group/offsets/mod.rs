//! The committed offsets of a group.
//!
//! Owns what was committed, by topic and partition, and what transactions have committed and not decided
//! yet. Guarantees: an offset is exactly as its newest record says; the text committed with it comes
//! back as it was. Never knows members: whoever commits was checked before
//! (`CommitOffsets::decide` asks the group).
//!
//! A group that only holds offsets has no record of its own: the first offset makes it, and it stays
//! until the search for expired offsets deletes it, or DeleteGroups (Kafka calls it a simple group).

mod commit;
mod delete;
mod expire;
mod fetch;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use ottla_model::ids::{Offset, ProducerId};
use ottla_model::uuid::Uuid;

pub(super) use delete::{log_apart, tombstone};
pub(super) use expire::UnusedSince;
pub use fetch::{FetchOffsets, FetchTopic, FetchedPartition, FetchedTopic};

/// An offset that a group committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The offset to be read next.
    pub offset: i64,
    /// Leader epoch of the record before it; -1 if not known.
    pub leader_epoch: i32,
    /// Text that the committer gets back.
    pub metadata: Arc<str>,
    /// When it was committed, in ms since 1970.
    pub commit_time_ms: i64,
    /// When it expires whatever happens, where a client of before 2.1 said so.
    pub expire_time_ms: Option<i64>,
    /// Id of the topic; zero if it was committed before topics had ids.
    pub topic_id: Uuid,
    /// Where its record lies; not part of the record.
    pub record_at: Offset,
}

/// Offsets by partition.
pub(super) type PartitionOffsets = BTreeMap<i32, CommittedOffset>;

/// Offsets by topic and partition; no topic without partitions.
pub(super) type TopicOffsets = BTreeMap<Arc<str>, PartitionOffsets>;

/// The offsets of a group.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Offsets {
    committed: TopicOffsets,
    /// Of transactions that are not decided yet, by producer.
    undecided: BTreeMap<ProducerId, TopicOffsets>,
    /// End of the newest record of an offset: what an answer about offsets waits for.
    position: Offset,
}

impl Offsets {
    /// End of the newest record of an offset.
    pub(super) fn position(&self) -> Offset {
        self.position
    }

    /// True if nothing is committed and no transaction may.
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.undecided.is_empty()
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.committed.get(topic)?.get(&partition)
    }

    /// True if a transaction committed an offset of the partition and is not decided yet.
    fn is_undecided(&self, topic: &str, partition: i32) -> bool {
        self.undecided.values().any(|topics| {
            topics
                .get(topic)
                .is_some_and(|partitions| partitions.contains_key(&partition))
        })
    }

    /// Applies a record. `producer` is set where a transaction wrote it.
    pub(super) fn replay(
        &mut self,
        at: Offset,
        producer: Option<ProducerId>,
        topic: &Arc<str>,
        partition: i32,
        value: Option<&CommittedOffset>,
    ) {
        self.position = at.next();
        let Some(value) = value else {
            remove(&mut self.committed, topic, partition);
            // A tombstone takes with it what transactions were about to commit.
            self.undecided.retain(|_, topics| {
                remove(topics, topic, partition);
                !topics.is_empty()
            });
            return;
        };
        let topics = match producer {
            None => &mut self.committed,
            Some(producer) => self.undecided.entry(producer).or_default(),
        };
        let value = CommittedOffset {
            record_at: at,
            ..value.clone()
        };
        match topics.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, value);
            }
            None => {
                topics.insert(Arc::clone(topic), BTreeMap::from([(partition, value)]));
            }
        }
    }
}

fn remove(topics: &mut TopicOffsets, topic: &str, partition: i32) {
    if let Some(partitions) = topics.get_mut(topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
    }
}
