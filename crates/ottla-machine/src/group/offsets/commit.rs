//! OffsetCommit: the group says whether the committer may, then the offsets are logged, all as one
//! batch, in the same turn (Kafka `OffsetMetadataManager.commitOffset`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::ids::Offset;
use ottla_model::uuid::Uuid;

use super::CommittedOffset;
use crate::contract::{Cx, Decision, Emit, Reply, Ticket, Wait};
use crate::group::names::TEXT_BYTES_MAX;
use crate::group::{
    Answer, CommitOffsets, CommitPartition, Coordinator, GroupRecord, Kind, Refusal, Settings, Soft,
};

/// Most bytes that one commit is logged with, about: all of it is one batch, and each of its records
/// repeats the group's id. Kafka's bound is `max.message.bytes` of the topic, 1 MB.
const COMMIT_BYTES_MAX: usize = 16 << 20;
/// What a record of an offset takes beside its texts, at most.
const RECORD_BYTES: usize = 80;

impl Coordinator {
    pub(in crate::group) fn decide_commit_offsets(
        &self,
        to: Ticket,
        request: CommitOffsets,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let heard = match self.check_commit(&request, cx) {
            Ok(heard) => heard,
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
        out.emits.extend(heard.map(Emit::Volatile));
        // The last one counts where a partition is named twice.
        let mut records = BTreeMap::new();
        let mut bytes = 0;
        let expire_time_ms = request
            .retention_ms
            .map(|retention_ms| cx.wall.0.saturating_add(retention_ms));
        // The only version of the record that has a time to expire at has neither epoch nor topic id.
        let is_expiring = expire_time_ms.is_some();
        let mut commit = |topic: &Arc<str>, topic_id, partition: CommitPartition| {
            if partition.metadata.encode_utf16().count() > settings.offset_metadata_max {
                return Err(Refusal::OffsetMetadataTooLarge);
            }
            if partition.metadata.len() > TEXT_BYTES_MAX || topic.len() > TEXT_BYTES_MAX {
                return Err(Refusal::TextTooLong);
            }
            let texts = request.group.len() + topic.len() + partition.metadata.len();
            let key = (Arc::clone(topic), partition.partition);
            let record = GroupRecord::Offset {
                group: request.group.clone(),
                topic: Arc::clone(topic),
                partition: partition.partition,
                value: Some(CommittedOffset {
                    offset: partition.offset,
                    leader_epoch: if is_expiring {
                        -1
                    } else {
                        partition.leader_epoch
                    },
                    metadata: partition.metadata,
                    commit_time_ms: cx.wall.0,
                    expire_time_ms,
                    topic_id: if is_expiring { Uuid::ZERO } else { topic_id },
                    record_at: Offset::ZERO,
                }),
            };
            if records.insert(key, record).is_none() {
                bytes += texts + RECORD_BYTES;
            }
            Ok(())
        };
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let partitions = topic.partitions.into_iter();
            results.push(
                partitions
                    .map(|partition| commit(&topic.name, topic.topic_id, partition))
                    .collect(),
            );
        }
        if bytes > COMMIT_BYTES_MAX {
            let refusals = results.into_iter().map(|of_topic: Vec<_>| {
                let partitions = of_topic.into_iter();
                partitions.map(|result: Result<(), _>| result.and(Err(Refusal::CommitTooLarge)))
            });
            results = refusals.map(Iterator::collect).collect();
        } else if !records.is_empty() {
            out.log(records.into_values().collect());
        }
        out.answer(to, Answer::Committed(results), Wait::Durable);
    }

    /// Whether the committer may; and that it was heard of, if it is a member.
    fn check_commit(&self, request: &CommitOffsets, cx: &Cx<'_>) -> Result<Option<Soft>, Refusal> {
        if request.group.len() > TEXT_BYTES_MAX {
            return Err(Refusal::TextTooLong);
        }
        match self.groups.get(&request.group).map(|group| &group.kind) {
            // Neither a member nor a group: a consumer that assigns partitions to itself.
            None if request.generation < 0 => Ok(None),
            None => Err(Refusal::GroupNotFound),
            Some(Kind::Classic { live, .. }) => live.check_commit(request, cx.mono),
            Some(Kind::Consumer(group)) => group.check_commit(request).map(|()| None),
        }
    }
}
