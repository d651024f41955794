//! What a member says of itself, and what that changes for the group: its record, the group's epoch and
//! the hash of its topics (Kafka `hasMemberSubscriptionChanged`, `updateSubscriptionMetadata`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::ids::Offset;

use super::hash::metadata_hash;
use super::resolve::RegexChange;
use super::topics::Topics;
use super::{Change, Consumer, ConsumerRecord, GroupEpoch, Member, MemberFacts, of};
use crate::contract::{Decision, Emit, Ticket, Wait};
use crate::group::{Coordinator, GroupId, GroupRecord, MemberId, Refusal, Soft};

/// A decision about a group as it grows: what it logs and changes.
#[derive(Default)]
pub(super) struct Draft {
    /// What makes room for the group, or makes it one; logged first.
    pub(super) before: Vec<GroupRecord>,
    /// Members of a classic group that wait for it: as it becomes a consumer group they have to join again.
    pub(super) freed: Vec<Ticket>,
    pub(super) records: Vec<ConsumerRecord>,
    pub(super) changes: Vec<Change>,
}

/// A member that says something.
pub(super) struct Update<'a> {
    pub(super) id: &'a MemberId,
    /// As it was; a new one's defaults.
    pub(super) old: &'a Member,
    /// What it says now.
    pub(super) facts: &'a Arc<MemberFacts>,
    pub(super) regex: RegexChange,
    pub(super) topics: &'a dyn Topics,
}

impl Consumer {
    /// Takes over what a member says of itself: the group's epoch afterwards.
    pub(super) fn update(&self, update: &Update<'_>, draft: &mut Draft) -> i32 {
        let Update { old, facts, .. } = *update;
        if *facts != old.facts {
            let record = ConsumerRecord::Member(update.id.clone(), Some(Arc::clone(facts)));
            draft.records.push(record);
        }
        let has_changed = facts.topics != old.facts.topics || update.regex.bumps();
        let version = update.topics.version();
        if !has_changed && self.live.topics_version == Some(version) {
            return self.logged.epoch.epoch;
        }
        // Its last expression takes its topics with it.
        let left: &str = &old.facts.regex;
        let left = left != &*facts.regex && self.index.regexes.get(left) == Some(&1);
        let left = left.then_some(&old.facts.regex);
        let names = self.subscribed(
            core::slice::from_ref(&&*old.facts),
            Some(facts),
            left.as_slice(),
        );
        self.bump(has_changed, &names, update.topics, draft)
    }

    /// Raises the epoch if it has to be, or if the topics are not as they were.
    pub(super) fn bump(
        &self,
        has_changed: bool,
        names: &[&Arc<str>],
        topics: &dyn Topics,
        draft: &mut Draft,
    ) -> i32 {
        let hash = metadata_hash(names.iter().copied(), topics);
        draft.changes.push(Change::Hashed(topics.version()));
        let known = self.logged.epoch;
        let epoch = if has_changed || hash != known.metadata_hash {
            let epoch = known.epoch.saturating_add(1);
            draft.records.push(ConsumerRecord::Epoch(Some(GroupEpoch {
                epoch,
                metadata_hash: hash,
            })));
            epoch
        } else {
            known.epoch
        };
        if self.logged.has_partition_metadata {
            draft.records.push(ConsumerRecord::PartitionMetadata(None));
        }
        epoch
    }

    /// The topics that the group subscribes to, in order, once these members and expressions are gone
    /// and this member has come.
    pub(super) fn subscribed<'a>(
        &'a self,
        gone: &[&'a MemberFacts],
        come: Option<&'a MemberFacts>,
        regexes: &[&Arc<str>],
    ) -> Vec<&'a Arc<str>> {
        let topics = self.index.topics.iter();
        let mut counts: BTreeMap<&Arc<str>, isize> = topics
            .map(|(name, of)| (name, (of.names + of.regexes).cast_signed()))
            .collect();
        for topic in come.into_iter().flat_map(|facts| &*facts.topics) {
            *counts.entry(topic).or_default() += 1;
        }
        let resolved = regexes
            .iter()
            .filter_map(|regex| self.logged.regexes.get(*regex));
        let by_name = gone.iter().flat_map(|facts| &*facts.topics);
        for topic in by_name.chain(resolved.flat_map(|resolved| &resolved.topics)) {
            *counts.entry(topic).or_default() -= 1;
        }
        let left = counts.into_iter().filter(|(_, count)| *count > 0);
        left.map(|(name, _)| name).collect()
    }
}

impl Draft {
    /// Takes a member away, with all that is logged of it.
    pub(super) fn remove(&mut self, id: &MemberId) {
        self.records.extend([
            ConsumerRecord::Current(id.clone(), None),
            ConsumerRecord::Target(id.clone(), None),
            ConsumerRecord::Member(id.clone(), None),
        ]);
    }

    /// What an answer about the group waits for: its newest record so far, or the end of the log with
    /// what the draft is about to log.
    pub(super) fn saw(&self, position: Option<Offset>) -> Option<Offset> {
        position.filter(|_| self.before.is_empty() && self.records.is_empty())
    }

    /// Logs and changes all of it.
    pub(super) fn emit(self, group: &GroupId, out: &mut Decision<Coordinator>) {
        let mut records = self.before;
        records.extend(self.records.into_iter().map(|record| of(group, record)));
        if !records.is_empty() {
            out.log(records);
        }
        for to in self.freed {
            out.refuse(to, Refusal::RebalanceInProgress, Wait::Durable);
        }
        let changes = self.changes.into_iter();
        out.emits.extend(changes.map(|change| {
            Emit::Volatile(Soft::Consumer {
                group: group.clone(),
                change,
            })
        }));
    }
}
