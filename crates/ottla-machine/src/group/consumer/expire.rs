//! What the passing of time does to a consumer group: sessions end, and so does the time to give
//! partitions up (Kafka `scheduleConsumerGroupSessionTimeout`, `scheduleConsumerGroupRebalanceTimeout`).

use alloc::collections::BTreeSet;

use super::case::Case;
use super::live::Session;
use super::update::Draft;
use super::{Change, Consumer, Member, MemberState};
use crate::contract::{Cx, Decision};
use crate::group::classic::millis;
use crate::group::{ConnectionId, Coordinator, GroupId, MemberId, Refusal, Settings};

/// Most members that are looked at in one turn; the others in the next ones. After a restart all
/// sessions end at the same moment, if nobody comes back.
const EXPIRED_MAX: usize = 1_000;

impl Coordinator {
    /// After a restart: begins the sessions of the members that the log knows.
    pub(in crate::group) fn wake_consumer(
        id: &GroupId,
        group: &Consumer,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let mut draft = Draft::default();
        for (member_id, member) in &group.logged.members {
            if group.live.sessions.contains_key(member_id) {
                continue;
            }
            let until = cx.mono + member.session_timeout_ms(settings);
            let mut session = Session::new(until, None);
            if member.current.state == MemberState::Unrevoked {
                let timeout_ms = member.rebalance_timeout_ms();
                session.revoke = Some((cx.mono + timeout_ms, member.current.epoch));
            }
            draft
                .changes
                .push(Change::Session(member_id.clone(), session));
        }
        draft.emit(id, out);
    }

    /// Does what is due.
    pub(in crate::group) fn expire_consumer(
        &self,
        id: &GroupId,
        group: &Consumer,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let mut draft = Draft::default();
        let mut lost: BTreeSet<MemberId> = BTreeSet::new();
        for member_id in group.live.alarmed(cx.mono).take(EXPIRED_MAX) {
            let session = group.live.sessions.get(member_id);
            let member = group.logged.members.get(member_id);
            let (Some(session), Some(member)) = (session, member) else {
                continue;
            };
            let is_due = |at: ottla_model::time::MonoMs| at <= cx.mono;
            let failed_to_revoke = session
                .revoke
                .is_some_and(|(at, epoch)| is_due(at) && epoch == member.current.epoch);
            // It cannot be heard of while the broker owes it an answer.
            let is_owed = group.live.waiting.contains_key(member_id);
            let is_lost = is_due(session.until) && !is_owed
                || failed_to_revoke
                || session.join.is_some_and(is_due)
                || session.sync.is_some_and(is_due);
            if is_lost {
                lost.insert(member_id.clone());
                continue;
            }
            let has_revoked = session.revoke.is_some_and(|(at, _)| is_due(at));
            if has_revoked || is_due(session.until) {
                let session = Session {
                    // It has left that epoch.
                    revoke: session.revoke.filter(|_| !has_revoked),
                    until: if is_owed {
                        cx.mono + member.session_timeout_ms(settings)
                    } else {
                        session.until
                    },
                    ..session.clone()
                };
                draft
                    .changes
                    .push(Change::Session(member_id.clone(), session));
            }
            draft.changes.push(Change::Alarm(member_id.clone()));
        }
        if group.live.computing.is_some_and(|of| of.until <= cx.mono) {
            draft.changes.push(Change::Computed);
        }
        if group.live.resolving.is_some_and(|of| of.until <= cx.mono) {
            draft.changes.push(Change::Resolved(None));
        }
        let case = Case {
            id,
            group,
            position: self.position(id),
            settings,
            cx,
        };
        self.fence(case, &lost, draft, out);
        if lost.is_empty() && group.live.wants_assignment() {
            self.serve_consumers(id, group, settings, cx, out);
        }
    }

    /// A connection closed: members that are not static and spoke over it last get a short grace instead
    /// of a whole session.
    pub(in crate::group) fn lose_consumers(
        id: &GroupId,
        group: &Consumer,
        connection: ConnectionId,
        grace_ms: u64,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let mut draft = Draft::default();
        for (member_id, session) in &group.live.sessions {
            let member = group.logged.members.get(member_id);
            let is_dynamic = member.is_some_and(|member| member.facts.instance.is_none());
            if session.connection != Some(connection) || !is_dynamic {
                continue;
            }
            let session = Session {
                until: session.until.min(cx.mono + grace_ms),
                connection: None,
                ..session.clone()
            };
            draft
                .changes
                .push(Change::Session(member_id.clone(), session));
            // Nobody is there to hear the answer; a member that waits is not asked whether it lives.
            group.refuse_waiting(member_id, &Refusal::RebalanceInProgress, &mut draft, out);
        }
        draft.emit(id, out);
    }
}

impl Member {
    /// How long the member may be silent, ms.
    pub(super) fn session_timeout_ms(&self, settings: &Settings) -> u64 {
        match &self.facts.classic {
            Some(classic) => millis(classic.session_timeout_ms),
            None => settings.consumer_session_timeout_ms,
        }
    }

    /// How long it may take to give partitions up, ms.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        millis(self.facts.rebalance_timeout_ms)
    }
}
