//! What the passing of time does to a classic group: sessions end, joining and syncing have had their
//! time, the initial delay is over (Kafka `expireClassicGroupMemberHeartbeat`,
//! `tryCompleteInitialRebalanceElseSchedule`, `expirePendingSync`).

use alloc::vec::Vec;
use core::mem;

use ottla_model::time::MonoMs;

use super::turn::Turn;
use super::{JoinTimer, MemberId, State};

/// A session that cannot end: the broker holds the member's request. Begun anew with the answer.
const NEVER: MonoMs = MonoMs(u64::MAX);

impl Turn<'_> {
    /// After a restart: begins the sessions of the members that the log knows.
    pub(in crate::group) fn wake(&mut self) {
        let ids: Vec<MemberId> = self.group.members.keys().cloned().collect();
        for id in &ids {
            self.renew(id);
        }
        // If the limit was lowered, the last to join again are out.
        let are_too_many = ids.len() > self.settings.members_max;
        if mem::take(&mut self.group.is_leaderless) || are_too_many {
            self.prepare_rebalance();
        }
    }

    /// Does what is due.
    pub(in crate::group) fn expire(&mut self) {
        self.end_sessions();
        if self.group.sync_until.is_some_and(|at| at <= self.now) {
            self.end_syncing();
        }
        match self.group.join_timer {
            Some(timer) if timer.at() <= self.now => self.end_joining(timer),
            _ => {}
        }
    }

    fn end_sessions(&mut self) {
        let now = self.now;
        let pending = self.group.pending.iter();
        let lost: Vec<MemberId> = pending
            .filter(|(_, pending)| pending.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in lost {
            self.group.pending.remove(&id);
            self.go_on_without();
        }
        let members = self.group.members.iter();
        let silent: Vec<MemberId> = members
            .filter(|(_, member)| member.until.is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            // What was done about those before may have renewed this one, or thrown it out.
            let Some(member) = self.member(&id) else {
                continue;
            };
            if member.until.is_none_or(|at| at > now) {
                continue;
            }
            if member.is_waiting() {
                member.until = Some(NEVER);
                continue;
            }
            self.remove(&id);
            match self.group.state {
                State::Stable | State::CompletingRebalance => self.rebalance(),
                State::PreparingRebalance { .. } => self.go_on_without(),
                State::Empty => {}
            }
        }
    }

    /// Whoever has not synced by now is out.
    fn end_syncing(&mut self) {
        self.group.sync_until = None;
        let unsynced = core::mem::take(&mut self.group.unsynced);
        if unsynced.is_empty() {
            return;
        }
        for id in &unsynced {
            self.remove(id);
        }
        self.prepare_rebalance();
    }

    fn end_joining(&mut self, timer: JoinTimer) {
        match timer {
            JoinTimer::Initial {
                delay_ms,
                remaining_ms,
                ..
            } if self.group.member_added && remaining_ms > 0 => {
                self.group.member_added = false;
                let next_ms = self.settings.initial_rebalance_delay_ms.min(remaining_ms);
                self.group.join_timer = Some(JoinTimer::Initial {
                    at: self.now + next_ms,
                    delay_ms: next_ms,
                    remaining_ms: remaining_ms.saturating_sub(delay_ms),
                });
            }
            JoinTimer::Initial { .. } | JoinTimer::Rebalance { .. } => self.complete_join(),
        }
    }
}
