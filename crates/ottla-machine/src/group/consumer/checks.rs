//! What must hold of a consumer group, for tests.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::index::Index;
use super::{Consumer, MemberState, Owned};
use crate::contract::Ticket;
use crate::group::MemberId;

impl Consumer {
    pub(in crate::group) fn epoch(&self) -> i32 {
        self.logged.epoch.epoch
    }

    pub(in crate::group) fn members(&self) -> impl Iterator<Item = &MemberId> {
        self.logged.members.keys()
    }

    /// What the member has, by the group's knowledge, to use or to give up.
    pub(in crate::group) fn owned(&self, id: &str) -> Option<(i32, Owned)> {
        let current = &self.logged.members.get(id)?.current;
        let mut owned = current.assigned.clone();
        for (topic, partitions) in &current.revoking {
            owned.entry(*topic).or_default().extend(partitions);
        }
        Some((current.epoch, owned))
    }

    /// Who waits for the group.
    pub(in crate::group) fn tickets(&self) -> Vec<Ticket> {
        self.live
            .waiting
            .values()
            .map(|waiting| waiting.to)
            .collect()
    }

    /// What the group says of itself fits together.
    pub(in crate::group) fn check(&self) {
        assert_eq!(self.index, Index::of(&self.logged), "counts are right");
        let logged = &self.logged;
        assert!(logged.target.epoch <= logged.epoch.epoch);
        let mut owned = BTreeSet::new();
        for (id, member) in &logged.members {
            let current = &member.current;
            assert!(
                current.epoch <= logged.target.epoch,
                "{id} is ahead of the targets"
            );
            for (topic, partitions) in current.assigned.iter().chain(&current.revoking) {
                for (partition, since) in partitions {
                    assert!(
                        owned.insert((*topic, *partition)),
                        "{partition} of {topic:?} has two owners"
                    );
                    assert!(*since <= logged.target.epoch);
                }
            }
            assert!(
                current.revoking.is_empty() || current.state == MemberState::Unrevoked,
                "{id} has something to give up and does not know"
            );
            if let Some(instance) = &member.facts.instance {
                assert_eq!(
                    self.index.statics.get(instance),
                    Some(id),
                    "one per instance"
                );
            }
        }
        for id in logged.targets.keys() {
            assert!(logged.members.contains_key(id), "a target of nobody");
        }
        for regex in logged.regexes.keys() {
            assert!(
                self.index.regexes.contains_key(regex),
                "an expression of nobody"
            );
        }
        for (id, session) in &self.live.sessions {
            assert!(logged.members.contains_key(id), "a session of nobody");
            assert!(session.alarm.is_some_and(|at| at <= session.earliest()));
        }
        let alarms = self.live.sessions.values().filter(|s| s.alarm.is_some());
        assert_eq!(alarms.count(), self.live.alarms().count());
        for id in self.live.waiting.keys() {
            assert!(logged.members.contains_key(id), "nobody waits");
        }
    }
}
