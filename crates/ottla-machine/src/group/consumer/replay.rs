//! Applying records to a consumer group, live and after a restart: the only place where what is logged
//! of it changes. Total: a record that does not fit changes as little as it can.

use alloc::sync::Arc;

use super::{Consumer, ConsumerRecord, Current, LEAVES, Member, MemberFacts, TargetEpoch};
use crate::group::MemberId;

impl Consumer {
    /// Applies a record. The one that deletes the group is its owner's business.
    pub(in crate::group) fn replay(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(Some(epoch)) => self.logged.epoch = *epoch,
            ConsumerRecord::Epoch(None) => {}
            ConsumerRecord::PartitionMetadata(bytes) => {
                self.logged.has_partition_metadata = bytes.is_some();
            }
            ConsumerRecord::Member(id, Some(facts)) => self.replay_member(id, facts),
            ConsumerRecord::Member(id, None) => self.replay_removed(id),
            ConsumerRecord::TargetEpoch(target) => {
                self.logged.target = target.unwrap_or(TargetEpoch {
                    epoch: -1,
                    time_ms: 0,
                });
                self.index.recount(&self.logged);
            }
            ConsumerRecord::Target(id, Some(partitions)) => {
                self.logged
                    .targets
                    .insert(id.clone(), Arc::clone(partitions));
            }
            ConsumerRecord::Target(id, None) => {
                self.logged.targets.remove(id);
            }
            ConsumerRecord::Current(id, Some(current)) => self.replay_current(id, current),
            ConsumerRecord::Current(id, None) => {
                if let Some(member) = self.logged.members.get(id) {
                    let left = Current {
                        epoch: LEAVES,
                        previous_epoch: LEAVES,
                        state: member.current.state,
                        ..Current::default()
                    };
                    self.replay_current(id, &Arc::new(left));
                }
            }
            ConsumerRecord::Regex(regex, resolved) => {
                if let Some(old) = self.logged.regexes.remove(regex) {
                    self.index.drop_regex(&old);
                }
                if let Some(resolved) = resolved {
                    self.index.add_regex(resolved);
                    self.logged
                        .regexes
                        .insert(Arc::clone(regex), Arc::clone(resolved));
                }
            }
        }
    }

    fn replay_member(&mut self, id: &MemberId, facts: &Arc<MemberFacts>) {
        let is_new = !self.logged.members.contains_key(id);
        let member = self.logged.members.entry(id.clone()).or_default();
        if !is_new {
            self.index.drop_facts(id, &member.facts);
        }
        member.facts = Arc::clone(facts);
        self.index.add_facts(id, facts);
        if is_new && member.current.is_reconciled_to(self.logged.target.epoch) {
            self.index.settled += 1;
        }
    }

    fn replay_current(&mut self, id: &MemberId, current: &Arc<Current>) {
        let epoch = self.logged.target.epoch;
        match self.logged.members.get_mut(id) {
            Some(member) => {
                self.index.drop_current(id, &member.current);
                self.index.settled -= usize::from(member.current.is_reconciled_to(epoch));
                member.current = Arc::clone(current);
            }
            None => {
                let member = Member {
                    facts: Arc::default(),
                    current: Arc::clone(current),
                };
                self.index.add_facts(id, &member.facts);
                self.logged.members.insert(id.clone(), member);
            }
        }
        self.index.add_current(id, current);
        self.index.settled += usize::from(current.is_reconciled_to(epoch));
    }

    fn replay_removed(&mut self, id: &MemberId) {
        let Some(member) = self.logged.members.remove(id) else {
            return;
        };
        self.index.drop_facts(id, &member.facts);
        self.index.drop_current(id, &member.current);
        let was_settled = member.current.is_reconciled_to(self.logged.target.epoch);
        self.index.settled -= usize::from(was_settled);
        self.live.forget(id);
    }
}
