//! What must hold of a classic group, for tests.

use alloc::vec::Vec;

use ottla_model::time::MonoMs;

pub(in crate::group) use super::join::PENDING_MAX;
use super::{Classic, ClassicRecord, JoinTimer, Pending, State};
use crate::contract::Ticket;
use crate::group::{ConnectionId, MemberId};

impl Classic {
    /// An empty group that so many members were told an id of.
    pub(in crate::group) fn with_pending(count: usize, until: MonoMs) -> Classic {
        let mut group = Classic::empty(None);
        let connection = ConnectionId(0);
        group.pending = (0..count)
            .map(|n| MemberId::from(&*alloc::format!("flood-{n}")))
            .map(|id| (id, Pending { until, connection }))
            .collect();
        group
    }

    pub(in crate::group) fn generation(&self) -> i32 {
        self.generation
    }

    pub(in crate::group) fn member_ids(&self) -> impl Iterator<Item = &MemberId> {
        self.members.keys()
    }

    /// Who waits for the group.
    pub(in crate::group) fn tickets(&self) -> Vec<Ticket> {
        let members = self.members.values();
        members
            .flat_map(|member| [member.joining, member.syncing])
            .flatten()
            .collect()
    }

    /// What the group says of itself fits together.
    pub(in crate::group) fn check(&self) {
        for (instance, id) in &self.statics {
            let member = self.members.get(id).unwrap();
            assert_eq!(member.instance.as_ref(), Some(instance));
        }
        let statics = self
            .members
            .values()
            .filter(|member| member.instance.is_some());
        assert_eq!(
            statics.count(),
            self.statics.len(),
            "one member per instance id"
        );
        assert!(self.pending.keys().all(|id| !self.members.contains_key(id)));
        assert!(self.unsynced.iter().all(|id| self.members.contains_key(id)));
        assert_eq!(self.leader.is_some(), !self.members.is_empty());
        assert!(self.leader.is_none() || self.is_leader_a_member());
        let preparing = matches!(self.state, State::PreparingRebalance { .. });
        let completing = self.state == State::CompletingRebalance;
        assert_eq!(self.join_timer.is_some(), preparing, "joining ends");
        assert!(completing || self.sync_until.is_none() || self.state == State::Stable);
        assert_eq!(
            self.sync_until.is_some(),
            !self.unsynced.is_empty(),
            "syncing ends"
        );
        let initial = State::PreparingRebalance { initial: true };
        let delayed = matches!(self.join_timer, Some(JoinTimer::Initial { .. }));
        assert!(self.state != initial || delayed);
        for member in self.members.values() {
            assert!(
                member.joining.is_none() || preparing,
                "JoinGroups wait while it prepares"
            );
            assert!(
                member.syncing.is_none() || completing,
                "SyncGroups wait while it completes"
            );
        }
        if matches!(self.state, State::Stable | State::CompletingRebalance) {
            let protocol = self.protocol.as_deref().unwrap();
            let common = self.common_protocols();
            assert!(common.iter().any(|name| name.as_ref() == protocol));
            assert!(!self.members.is_empty());
        }
    }

    /// A restart loses nobody whom the group told its assignment, and nothing that it told.
    pub(in crate::group) fn check_against(&self, logged: Option<&ClassicRecord>) {
        let Some(logged) = logged else {
            assert!(self.generation == 0 || !matches!(self.state, State::Stable | State::Empty));
            return;
        };
        assert!(logged.generation <= self.generation);
        match self.state {
            State::Empty => assert!(logged.members.is_empty()),
            State::Stable => {
                assert_eq!(logged.generation, self.generation);
                let found = Classic::from_record(logged);
                assert_eq!(found.subscribed, self.subscribed);
                let mut fresh = self.to_record();
                // Clocks go on.
                fresh.state_time_ms = logged.state_time_ms;
                if self.is_leaderless {
                    // It rebalances as soon as its sessions begin.
                    fresh.leader = None;
                }
                assert_eq!(fresh, *logged, "stable groups are as they are logged");
            }
            State::PreparingRebalance { .. } | State::CompletingRebalance => {}
        }
    }
}
