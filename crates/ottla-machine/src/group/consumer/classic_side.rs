//! SyncGroup, Heartbeat and LeaveGroup of members of the classic protocol in a consumer group (Kafka
//! `classicGroupSyncToConsumerGroup`, `classicGroupHeartbeatToConsumerGroup`,
//! `classicGroupLeaveToConsumerGroup`). A member's epoch is a generation to them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::case::Case;
use super::embedded::write_assignment;
use super::live::Session;
use super::update::Draft;
use super::{Change, ClassicSide, Consumer, Member, MemberState};
use crate::contract::{Cx, Decision, Reply, Ticket, Wait};
use crate::group::classic::{CONSUMER, millis};
use crate::group::{
    Answer, ConnectionId, Coordinator, Heartbeat, InstanceId, Leave, Leaving, MemberId, Refusal,
    Settings, Sync, Synced,
};

impl Coordinator {
    pub(in crate::group) fn sync_consumer(
        &self,
        to: Ticket,
        request: Sync,
        group: &Consumer,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        self.note_topics(&request.topics, out);
        let mut draft = Draft::default();
        let value = group.sync(&request, &**self.newest(&request.topics), cx, &mut draft);
        self.answer_classic(to, &request.group, value, draft, out);
    }

    pub(in crate::group) fn hear_classic_consumer(
        &self,
        to: Ticket,
        request: &Heartbeat,
        group: &Consumer,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let mut draft = Draft::default();
        let value = group.hear_classic(request, settings, cx, &mut draft);
        self.answer_classic(to, &request.group, value, draft, out);
    }

    pub(in crate::group) fn leave_consumers(
        &self,
        to: Ticket,
        request: &Leave,
        group: &Consumer,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let members = request.members.iter();
        let found: Vec<Result<&MemberId, Refusal>> =
            members.map(|leaving| group.find_leaving(leaving)).collect();
        let gone: BTreeSet<MemberId> = found.iter().flatten().map(|id| (*id).clone()).collect();
        let results = found.into_iter().map(|found| found.map(|_| ())).collect();
        let position = self.position(&request.group);
        let saw = position.filter(|_| gone.is_empty());
        let case = Case {
            id: &request.group,
            group,
            position,
            settings,
            cx,
        };
        self.fence(case, &gone, Draft::default(), out);
        out.replies.push(Reply {
            to,
            value: Ok(Answer::Left(results)),
            saw,
            wait: Wait::Durable,
        });
    }

    fn answer_classic(
        &self,
        to: Ticket,
        id: &super::GroupId,
        value: Result<Answer, Refusal>,
        draft: Draft,
        out: &mut Decision<Self>,
    ) {
        out.replies.push(Reply {
            to,
            value,
            saw: self.position(id),
            wait: Wait::Durable,
        });
        draft.emit(id, out);
    }
}

impl Consumer {
    fn sync(
        &self,
        request: &Sync,
        topics: &dyn super::topics::Topics,
        cx: &Cx<'_>,
        draft: &mut Draft,
    ) -> Result<Answer, Refusal> {
        let (member, classic) = self.classic_member(
            &request.member,
            request.instance.as_ref(),
            request.generation,
        )?;
        let first = classic.protocols.first();
        let differs = |claimed: &Option<Arc<str>>, actual: Option<&str>| {
            claimed.is_some() && claimed.as_deref() != actual
        };
        if differs(&request.protocol_type, Some(CONSUMER))
            || differs(&request.protocol, first.map(|first| &*first.name))
        {
            return Err(Refusal::InconsistentProtocol);
        }
        if self.logged.target.epoch > member.current.epoch
            && member.current.state != MemberState::Unrevoked
        {
            let session = self.live.sessions.get(&request.member);
            if let Some(session) = session.filter(|session| session.join.is_none()) {
                let session = member.expected_to_join(session.clone(), cx);
                draft
                    .changes
                    .push(Change::Session(request.member.clone(), session));
            }
            return Err(Refusal::RebalanceInProgress);
        }
        let metadata = first.map(|first| &first.metadata[..]).unwrap_or_default();
        let assigned = member.current.assigned.iter();
        let assigned =
            assigned.map(|(topic, of)| (*topic, of.keys().copied().collect::<Vec<i32>>()));
        let assignment = write_assignment(metadata, assigned, Some(topics))
            .map_err(|_| Refusal::InconsistentProtocol)?;
        let session = Session {
            sync: None,
            ..self.heard(&request.member, classic, Some(request.connection), cx)
        };
        draft
            .changes
            .push(Change::Session(request.member.clone(), session));
        Ok(Answer::Synced(Synced {
            protocol_type: request.protocol_type.clone(),
            protocol: request.protocol.clone(),
            assignment,
        }))
    }

    /// A member is told to join again if the targets are new, if it has to give something up, or if it can
    /// get what it waited for; also if only a JoinGroup can have new targets computed, because nobody
    /// speaks the consumer protocol.
    fn hear_classic(
        &self,
        request: &Heartbeat,
        settings: &Settings,
        cx: &Cx<'_>,
        draft: &mut Draft,
    ) -> Result<Answer, Refusal> {
        let (member, classic) = self.classic_member(
            &request.member,
            request.instance.as_ref(),
            request.generation,
        )?;
        let mut session = self.heard(&request.member, classic, Some(request.connection), cx);
        let must_join = match member.current.state {
            _ if member.current.epoch < self.logged.target.epoch => true,
            _ if self.wants_join(settings, cx) => true,
            MemberState::Unrevoked => true,
            MemberState::Unreleased => !self.waits_for_others(&request.member, member),
            MemberState::Stable | MemberState::Unknown => false,
        };
        if must_join && session.join.is_none() {
            session = member.expected_to_join(session, cx);
        }
        draft
            .changes
            .push(Change::Session(request.member.clone(), session));
        if must_join {
            Err(Refusal::RebalanceInProgress)
        } else {
            Ok(Answer::Alive)
        }
    }

    fn wants_join(&self, settings: &Settings, cx: &Cx<'_>) -> bool {
        self.index.classic == self.logged.members.len()
            && self.logged.epoch.epoch > self.logged.target.epoch
            && self.may_compute(settings, cx.wall)
    }

    fn heard(
        &self,
        id: &MemberId,
        classic: &ClassicSide,
        connection: Option<ConnectionId>,
        cx: &Cx<'_>,
    ) -> Session {
        self.session(id, cx.mono + millis(classic.session_timeout_ms), connection)
    }

    /// A member that speaks the classic protocol, in this generation.
    fn classic_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
        generation: i32,
    ) -> Result<(&Member, &ClassicSide), Refusal> {
        let (_, member) = self.find_member(id, instance)?;
        let classic = member.facts.classic.as_ref();
        let classic = classic.ok_or(Refusal::UnknownMember)?;
        if member.current.epoch != generation {
            return Err(Refusal::IllegalGeneration);
        }
        Ok((member, classic))
    }

    /// Whether others still have what it is to get.
    fn waits_for_others(&self, id: &MemberId, member: &Member) -> bool {
        let target = self.logged.targets.get(id);
        let target = target.into_iter().flat_map(|target| target.iter());
        let mut wanted =
            target.flat_map(|(topic, of)| of.iter().map(move |index| (*topic, *index)));
        wanted.any(|(topic, index)| {
            let has = member.current.assigned.get(&topic);
            !has.is_some_and(|of| of.contains_key(&index))
                && self.index.owner(topic, index).is_some()
        })
    }

    fn find_leaving(&self, leaving: &Leaving) -> Result<&MemberId, Refusal> {
        let found = match &leaving.instance {
            // An operator may name a static member by its instance id alone.
            Some(instance) if leaving.member.is_empty() => {
                let found = self.static_member(instance);
                found.ok_or(Refusal::UnknownInstance)?
            }
            instance => self.find_member(&leaving.member, instance.as_ref())?,
        };
        Ok(found.0)
    }
}

impl Member {
    fn expected_to_join(&self, session: Session, cx: &Cx<'_>) -> Session {
        Session {
            join: Some(cx.mono + self.rebalance_timeout_ms()),
            ..session
        }
    }
}
