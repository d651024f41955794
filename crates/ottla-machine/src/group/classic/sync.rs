//! SyncGroup (Kafka `classicGroupSync`): the leader brings the assignment, the others wait for it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::turn::Turn;
use super::{Classic, State};
use crate::contract::{Cx, Decision, Ticket, Wait};
use crate::group::{Coordinator, Kind, MemberId, Refusal, Settings, Sync};

impl Coordinator {
    pub(in crate::group) fn decide_sync(
        &self,
        to: Ticket,
        request: Sync,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        if request.group.is_empty() {
            return out.refuse(to, Refusal::InvalidGroupId, Wait::Durable);
        }
        let Some(group) = self.groups.get(&request.group) else {
            return out.refuse(to, Refusal::UnknownMember, Wait::Durable);
        };
        let live = match &group.kind {
            Kind::Classic { live, .. } => live,
            Kind::Consumer(group) => return self.sync_consumer(to, request, group, cx, out),
        };
        let id = request.group.clone();
        let mut turn = Turn::new(&id, Classic::clone(live), group.position, settings, cx, out);
        match live.check_sync(&request) {
            Ok(()) => turn.sync(to, request),
            Err(refusal) => return turn.refuse(to, refusal),
        }
        turn.finish();
    }
}

impl Classic {
    fn check_sync(&self, request: &Sync) -> Result<(), Refusal> {
        self.check_member(&request.member, request.instance.as_ref())?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        let differs =
            |claimed: &Option<_>, actual: &Option<_>| claimed.is_some() && claimed != actual;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(Refusal::InconsistentProtocol);
        }
        match self.state {
            State::Empty => Err(Refusal::UnknownMember),
            State::PreparingRebalance { .. } => Err(Refusal::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }
}

impl Turn<'_> {
    fn sync(&mut self, to: Ticket, request: Sync) {
        let id = request.member;
        self.group.unsynced.remove(&id);
        if self.group.unsynced.is_empty() {
            self.group.sync_until = None;
        }
        let is_stable = self.group.state == State::Stable;
        let Some(member) = self.member(&id) else {
            return;
        };
        member.connection = Some(request.connection);
        if is_stable {
            let assignment = member.assignment.clone();
            return self.tell_assignment(to, assignment);
        }
        // Kafka never answers the earlier one.
        if let Some(earlier) = member.syncing.replace(to) {
            self.refuse(earlier, Refusal::RebalanceInProgress);
        }
        if self.group.is_leader(&id) {
            self.assign(request.assignments);
        }
    }

    /// The leader has assigned: whoever it left out gets nothing.
    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>) {
        let mut assignments: BTreeMap<MemberId, Bytes> = assignments.into_iter().collect();
        let ids: Vec<MemberId> = self.group.members.keys().cloned().collect();
        for id in &ids {
            let assignment = assignments.remove(id).unwrap_or_default();
            if let Some(member) = self.member(id) {
                member.assignment = assignment;
            }
        }
        self.enter(State::Stable);
        self.log();
        for id in &ids {
            let waiting = self.member(id).and_then(|member| {
                let to = member.syncing.take()?;
                Some((to, member.assignment.clone()))
            });
            if let Some((to, assignment)) = waiting {
                self.tell_assignment(to, assignment);
                // It may have been silent for long, waiting for the leader.
                self.renew(id);
            }
        }
    }
}
