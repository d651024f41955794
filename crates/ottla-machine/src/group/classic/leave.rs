//! LeaveGroup (Kafka `classicGroupLeave`), of several members since KIP-345, and connections that close
//! without one.

use alloc::vec::Vec;

use super::turn::Turn;
use super::{Classic, State};
use crate::contract::{Cx, Decision, Ticket, Wait};
use crate::group::{
    Answer, ConnectionId, Coordinator, GroupId, Kind, Leave, Leaving, MemberId, Refusal, Settings,
};

impl Coordinator {
    pub(in crate::group) fn decide_leave(
        &self,
        to: Ticket,
        request: Leave,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        if request.group.is_empty() {
            return out.refuse(to, Refusal::InvalidGroupId, Wait::Durable);
        }
        let Some(group) = self.groups.get(&request.group) else {
            let unknown = request.members.iter().map(|_| Err(Refusal::UnknownMember));
            return out.answer(to, Answer::Left(unknown.collect()), Wait::Durable);
        };
        let live = match &group.kind {
            Kind::Classic { live, .. } => live,
            Kind::Consumer(group) => {
                return self.leave_consumers(to, &request, group, settings, cx, out);
            }
        };
        let id = &request.group;
        let mut turn = Turn::new(id, Classic::clone(live), group.position, settings, cx, out);
        let members = request.members.iter();
        let results: Vec<_> = members.map(|leaving| turn.leave(leaving)).collect();
        if results.iter().any(Result::is_ok) {
            match turn.group.state {
                State::Stable | State::CompletingRebalance => turn.rebalance(),
                State::PreparingRebalance { .. } => turn.go_on_joining(),
                State::Empty => {}
            }
        }
        turn.reply(to, Ok(Answer::Left(results)));
        turn.finish();
    }

    /// A connection closed. Members that spoke over it last may have died with it: those that are not
    /// static get a short grace instead of a whole session, if the settings say so.
    pub(in crate::group) fn decide_connection_closed(
        &self,
        to: Ticket,
        id: &GroupId,
        connection: ConnectionId,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        out.answer(to, Answer::Noted, Wait::None);
        let (Some(grace_ms), Some(group)) = (settings.disconnect_grace_ms, self.groups.get(id))
        else {
            return;
        };
        let live = match &group.kind {
            Kind::Classic { live, .. } => live,
            Kind::Consumer(group) => {
                return Self::lose_consumers(id, group, connection, grace_ms, cx, out);
            }
        };
        if !live.is_known_to_speak_over(connection) {
            return;
        }
        let mut turn = Turn::new(id, Classic::clone(live), group.position, settings, cx, out);
        turn.lose_connection(connection, grace_ms);
        turn.finish();
    }
}

impl Turn<'_> {
    fn leave(&mut self, leaving: &Leaving) -> Result<(), Refusal> {
        let id = if leaving.member.is_empty() {
            // An operator may name a static member by its instance id alone.
            let instance = leaving.instance.as_ref().ok_or(Refusal::UnknownMember)?;
            let id = self.group.statics.get(instance);
            id.cloned().ok_or(Refusal::UnknownMember)?
        } else if self.group.pending.remove(&leaving.member).is_some() {
            return Ok(());
        } else {
            self.group
                .check_member(&leaving.member, leaving.instance.as_ref())?;
            leaving.member.clone()
        };
        self.remove(&id);
        Ok(())
    }

    fn lose_connection(&mut self, connection: ConnectionId, grace_ms: u64) {
        let until = self.now + grace_ms;
        for pending in self.group.pending.values_mut() {
            if pending.connection == connection {
                pending.until = pending.until.min(until);
            }
        }
        let ids: Vec<MemberId> = self.group.speaking_over(connection).cloned().collect();
        for id in ids {
            let Some(member) = self.member(&id) else {
                continue;
            };
            member.connection = None;
            member.until = member.until.map(|at| at.min(until));
            // Nobody is there to hear the answers; a member that waits is not asked whether it lives.
            for to in [member.joining.take(), member.syncing.take()]
                .into_iter()
                .flatten()
            {
                self.refuse(to, Refusal::RebalanceInProgress);
            }
        }
    }
}

impl Classic {
    fn speaking_over(&self, connection: ConnectionId) -> impl Iterator<Item = &MemberId> {
        self.members
            .iter()
            .filter(move |(_, member)| {
                member.connection == Some(connection) && member.instance.is_none()
            })
            .map(|(id, _)| id)
    }

    fn is_known_to_speak_over(&self, connection: ConnectionId) -> bool {
        self.speaking_over(connection).next().is_some()
            || self
                .pending
                .values()
                .any(|pending| pending.connection == connection)
    }
}
