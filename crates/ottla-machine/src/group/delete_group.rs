//! DeleteGroups (KIP-229): a group without members goes, with its offsets (Kafka `deleteGroups`,
//! `deleteAllOffsets`). Deleted means deleted: the tombstones are durable before the answer leaves.

use alloc::vec::Vec;

use super::offsets::{log_apart, tombstone};
use super::{Answer, Coordinator, GroupId, Refusal};
use crate::contract::{Decision, Reply, Ticket, Wait};

impl Coordinator {
    pub(super) fn decide_delete_group(&self, to: Ticket, id: &GroupId, out: &mut Decision<Self>) {
        let found = self.groups.get(id).ok_or(Refusal::GroupNotFound);
        match found.and_then(|group| group.kind.check_delete().map(|()| group)) {
            Ok(group) => {
                // The group's own record last: if a crash tears them apart it is still there to delete.
                let offsets = group.offsets.partitions();
                let mut records: Vec<_> = offsets
                    .map(|(topic, partition)| tombstone(id, topic, partition))
                    .collect();
                group.kind.delete(id, &mut records);
                log_apart(records, out);
                out.answer(to, Answer::GroupDeleted, Wait::Durable);
            }
            Err(refusal) => out.replies.push(Reply {
                to,
                value: Err(refusal),
                saw: self.position(id),
                wait: Wait::Durable,
            }),
        }
    }
}
