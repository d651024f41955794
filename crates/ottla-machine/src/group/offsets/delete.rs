//! Forgetting offsets: OffsetDelete (KIP-496), and what happens when topics are deleted.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::uuid::Uuid;

use crate::contract::{Decision, Reply, Ticket, Wait};
use crate::group::{
    Answer, Coordinator, DeleteOffsets, DeletedTopic, GroupId, GroupRecord, Refusal,
};

/// Most records of one batch, where they need not stand or fall together.
pub(in crate::group) const RECORDS_MAX: usize = 1000;

impl Coordinator {
    pub(in crate::group) fn decide_delete_offsets(
        &self,
        to: Ticket,
        request: DeleteOffsets,
        out: &mut Decision<Self>,
    ) {
        let group = match self.groups.get(&request.group) {
            _ if request.group.is_empty() => Err(Refusal::InvalidGroupId),
            None => Err(Refusal::GroupNotFound),
            Some(group) => group.kind.check_offset_delete().map(|()| group),
        };
        let group = match group {
            Ok(group) => group,
            Err(refusal) => {
                out.replies.push(Reply {
                    to,
                    value: Err(refusal),
                    saw: self.position(&request.group),
                    wait: Wait::Durable,
                });
                return;
            }
        };
        let mut records = Vec::new();
        let mut delete = |topic: &Arc<str>, partition: i32| {
            if group.kind.is_subscribed_to(topic) {
                return Err(Refusal::GroupSubscribed);
            }
            if group.offsets.get(topic, partition).is_some()
                || group.offsets.is_undecided(topic, partition)
            {
                records.push(tombstone(&request.group, topic, partition));
            }
            Ok(())
        };
        let topics = request.topics.iter();
        let results = topics
            .map(|(topic, partitions)| {
                let partitions = partitions.iter();
                partitions
                    .map(|partition| delete(topic, *partition))
                    .collect()
            })
            .collect();
        log_apart(records, out);
        out.answer(to, Answer::OffsetsDeleted(results), Wait::Durable);
    }

    /// Topics are gone, and with them what was committed of them; not what was committed of a topic
    /// that has the name by now.
    pub(in crate::group) fn decide_topics_deleted(
        &self,
        to: Ticket,
        topics: &[DeletedTopic],
        out: &mut Decision<Self>,
    ) {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            for deleted in topics {
                let name = &deleted.name;
                let partitions = group.offsets.committed.get(name).into_iter().flatten();
                let gone = partitions.filter(|(_, offset)| {
                    offset.topic_id == Uuid::ZERO || offset.topic_id == deleted.topic_id
                });
                records.extend(gone.map(|(partition, _)| tombstone(id, name, *partition)));
            }
        }
        log_apart(records, out);
        out.answer(to, Answer::Noted, Wait::Durable);
    }
}

/// The record that forgets an offset.
pub(in crate::group) fn tombstone(
    group: &GroupId,
    topic: &Arc<str>,
    partition: i32,
) -> GroupRecord {
    GroupRecord::Offset {
        group: group.clone(),
        topic: Arc::clone(topic),
        partition,
        value: None,
    }
}

/// Logs records that need not stand or fall together, in batches of a bounded size.
pub(in crate::group) fn log_apart(records: Vec<GroupRecord>, out: &mut Decision<Coordinator>) {
    let mut records = records.into_iter();
    loop {
        let batch: Vec<GroupRecord> = records.by_ref().take(RECORDS_MAX).collect();
        if batch.is_empty() {
            return;
        }
        out.log(batch);
    }
}
