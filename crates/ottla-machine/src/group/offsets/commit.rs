//! OffsetCommit: the group says whether the committer may, then the offsets are logged, all as one
//! batch, in the same turn (Kafka `OffsetMetadataManager.commitOffset`).

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
        let mut records = Vec::new();
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
            records.push(GroupRecord::Offset {
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
            });
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
        if !records.is_empty() {
            out.log(records);
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
