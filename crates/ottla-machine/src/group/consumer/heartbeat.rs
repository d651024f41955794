//! ConsumerGroupHeartbeat (Kafka `consumerGroupHeartbeat`): joins, stays, tells what changed, hears what to
//! give up and what to take. A heartbeat that brings nothing new costs a few look-ups.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::time::MonoMs;

use super::assignor::Partitions;
use super::case::Case;
use super::live::{Asked, Session, Waiting};
use super::reconcile::Reconcile;
use super::topics::Topics;
use super::update::{Draft, Update};
use super::{
    Change, Consumer, ConsumerRecord, Current, LEAVES, LEAVES_FOR_A_WHILE, Member, MemberFacts,
    MemberState,
};
use crate::contract::{Cx, Decision, Emit, Reply, Ticket, Wait};
use crate::group::{
    Answer, ConnectionId, Coordinator, GroupId, GroupRecord, InstanceId, Kind, MemberId, Refusal,
    Settings, Soft,
};

/// ConsumerGroupHeartbeat. What a member does not say is as it said before.
#[derive(Clone, Debug)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: GroupId,
    /// The member; empty if the broker is to make its id.
    pub member: MemberId,
    /// The member makes its own id, so it has one from the start (version 1).
    pub makes_own_id: bool,
    /// Its epoch; 0 joins, -1 leaves, -2 leaves for a while as a static member.
    pub epoch: i32,
    /// Makes it static.
    pub instance: Option<InstanceId>,
    /// Where it reads from best.
    pub rack: Option<Arc<str>>,
    /// How long it may take to give partitions up; -1: not said.
    pub rebalance_timeout_ms: i32,
    /// The topics that it subscribes to by name.
    pub subscribed: Option<Vec<Arc<str>>>,
    /// The regular expression that it subscribes to; empty: none.
    pub regex: Option<Arc<str>>,
    /// Why the expression does not compile; found outside the turn.
    pub regex_fault: Option<Arc<str>>,
    /// The assignor that it would like.
    pub assignor: Option<Arc<str>>,
    /// The partitions that it has.
    pub owned: Option<Partitions>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where the client is, as Kafka writes it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// The connection that it came over.
    pub connection: ConnectionId,
    /// The topics that there are.
    pub topics: Arc<dyn Topics>,
}

/// What a member is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerBeat {
    /// Its id.
    pub member: MemberId,
    /// Its epoch.
    pub epoch: i32,
    /// When it is expected again, ms.
    pub heartbeat_interval_ms: i32,
    /// What it is to have, if that is news: [`assigned`](Current::assigned) of it.
    pub assignment: Option<Arc<Current>>,
}

impl Coordinator {
    pub(in crate::group) fn decide_consumer_heartbeat(
        &self,
        to: Ticket,
        request: ConsumerHeartbeat,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        self.note_topics(&request.topics, out);
        let id = request.group.clone();
        let result = request.check().and_then(|()| match request.epoch {
            LEAVES | LEAVES_FOR_A_WHILE => self.leave_consumer(to, &request, settings, cx, out),
            _ => self.beat(to, request, settings, cx, out),
        });
        if let Err(refusal) = result {
            out.replies.push(Reply {
                to,
                value: Err(refusal),
                saw: self.position(&id),
                wait: Wait::Durable,
            });
        }
    }

    fn beat(
        &self,
        to: Ticket,
        request: ConsumerHeartbeat,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) -> Result<(), Refusal> {
        let topics = self.newest(&request.topics);
        let mut draft = Draft::default();
        let known = self.groups.get(&request.group);
        let kind = known.map(|group| &group.kind);
        let group = find_group(kind, &request, &**topics, settings, cx.mono, &mut draft)?;
        let group = &*group;
        if !group.has_room_for(
            &request.member,
            request.instance.as_ref(),
            settings.consumer_members_max,
        ) {
            return Err(Refusal::GroupFull);
        }
        let member_id = if request.member.is_empty() {
            MemberId::from(&*cx.ids.uuid().to_string())
        } else {
            request.member.clone()
        };
        let seat = group.find_seat(&member_id, &request, &mut draft)?;
        let facts = seat.member.facts.said(&request);
        if !group.has_room_for_facts(&member_id, &seat.member.facts, &facts) {
            return Err(Refusal::GroupFull);
        }
        let regex = group.change_regex(
            &seat.member.facts,
            &facts,
            request.regex_fault.as_ref(),
            &mut draft,
        )?;
        let update = Update {
            id: &member_id,
            old: &seat.member,
            facts: &facts,
            regex,
            topics: &**topics,
        };
        let epoch = group.update(&update, &mut draft);
        let due = group.regexes_due(&seat.member.facts, &facts, &**topics, settings, cx.wall.0);
        let is_ordered = due.is_some();
        if let Some(regexes) = due {
            self.order_regexes(&request.group, regexes, topics, cx, &mut draft, out);
        }
        let asked = Asked {
            by_join: false,
            is_full: request.epoch == 0 || request.is_full(),
            has_subscription_changed: regex.is_any() || facts.topics != seat.member.facts.topics,
            owned: request.owned.map(Arc::new),
            had: Arc::clone(&seat.member.current),
        };
        let is_unresolved =
            !facts.regex.is_empty() && !group.logged.regexes.contains_key(&facts.regex);
        let waits_for_regex = is_unresolved
            && (is_ordered || asked.has_subscription_changed && group.live.resolving.is_some());
        let waits_for_target =
            epoch > group.logged.target.epoch && group.may_compute(settings, cx.wall);
        let until = cx.mono + settings.consumer_session_timeout_ms;
        let member = Member {
            facts,
            current: Arc::clone(&seat.member.current),
        };
        let seated = Seated {
            id: &member_id,
            member: &member,
            replaces: seat.replaces.as_ref(),
            session: group.session(&member_id, until, Some(request.connection)),
            topics: &**topics,
        };
        let case = Case {
            id: &request.group,
            group,
            position: known.map(|group| group.position),
            settings,
            cx,
        };
        let must_wait = waits_for_target || waits_for_regex;
        Self::conclude(case, seated, Waiting { to, asked }, must_wait, draft, out)
    }

    /// The newest topics that any request brought.
    pub(super) fn newest<'a>(&'a self, brought: &'a Arc<dyn Topics>) -> &'a Arc<dyn Topics> {
        let known = self.topics.as_ref();
        known
            .filter(|known| known.version() > brought.version())
            .unwrap_or(brought)
    }

    pub(super) fn note_topics(&self, brought: &Arc<dyn Topics>, out: &mut Decision<Self>) {
        let known = self.topics.as_ref();
        if known.is_none_or(|known| known.version() < brought.version()) {
            let topics = Arc::clone(brought);
            out.emits.push(Emit::Volatile(Soft::Topics(topics)));
        }
    }
}

/// The group that a heartbeat is for; for who joins also one that is to be made, of nothing or of a
/// classic group.
fn find_group<'a>(
    kind: Option<&'a Kind>,
    request: &ConsumerHeartbeat,
    topics: &dyn Topics,
    settings: &Settings,
    now: MonoMs,
    draft: &mut Draft,
) -> Result<Cow<'a, Consumer>, Refusal> {
    let joins = request.epoch == 0;
    match kind {
        Some(Kind::Consumer(group)) => Ok(Cow::Borrowed(group)),
        None if joins => Ok(Cow::Owned(Consumer::default())),
        None => Err(Refusal::GroupNotFound),
        Some(Kind::Classic { .. }) if !joins => Err(Refusal::NotConsumerGroup),
        Some(Kind::Classic { live, logged }) if live.has_no_members() => {
            if logged.is_some() {
                draft.before.push(GroupRecord::Classic {
                    group: request.group.clone(),
                    value: None,
                });
            }
            Ok(Cow::Owned(Consumer::default()))
        }
        Some(Kind::Classic { live, logged }) => {
            let is_logged = logged.is_some();
            let upgraded =
                Consumer::upgrade(&request.group, live, is_logged, topics, settings, now)?;
            draft.before = upgraded.records;
            draft.changes = upgraded.sessions;
            draft.freed = live.waiting();
            Ok(Cow::Owned(upgraded.group))
        }
    }
}

/// A member whose place and facts are settled.
pub(super) struct Seated<'a> {
    pub(super) id: &'a MemberId,
    pub(super) member: &'a Member,
    pub(super) replaces: Option<&'a MemberId>,
    pub(super) session: Session,
    /// The topics that there are.
    pub(super) topics: &'a dyn Topics,
}

impl ConsumerHeartbeat {
    /// True if it tells all that a member has to tell: then it may have lost what it knew.
    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms != -1
            && (self.subscribed.is_some() || self.regex.is_some())
            && self.owned.is_some()
    }
}

impl MemberFacts {
    /// What a member says of itself from now on; the same `Arc` if it says nothing new.
    fn said(self: &Arc<Self>, request: &ConsumerHeartbeat) -> Arc<MemberFacts> {
        let says_nothing = request.instance.is_none()
            && request.rack.is_none()
            && request.rebalance_timeout_ms == -1
            && request.subscribed.is_none()
            && request.regex.is_none()
            && request.assignor.is_none();
        let is_client =
            self.client_id == request.client_id && self.client_host == request.client_host;
        if says_nothing && is_client && self.classic.is_none() {
            return Arc::clone(self);
        }
        let topics = request.subscribed.as_ref().map(|topics| {
            let topics: BTreeSet<Arc<str>> = topics.iter().cloned().collect();
            if topics == *self.topics {
                Arc::clone(&self.topics)
            } else {
                Arc::new(topics)
            }
        });
        let facts = MemberFacts {
            instance: request.instance.clone().or(self.instance.clone()),
            rack: request.rack.clone().or(self.rack.clone()),
            client_id: Arc::clone(&request.client_id),
            client_host: Arc::clone(&request.client_host),
            topics: topics.unwrap_or_else(|| Arc::clone(&self.topics)),
            regex: request
                .regex
                .clone()
                .unwrap_or_else(|| Arc::clone(&self.regex)),
            rebalance_timeout_ms: match request.rebalance_timeout_ms {
                -1 => self.rebalance_timeout_ms,
                timeout_ms => timeout_ms,
            },
            assignor: request.assignor.clone().or(self.assignor.clone()),
            classic: None,
        };
        if facts == **self {
            Arc::clone(self)
        } else {
            Arc::new(facts)
        }
    }
}

impl Consumer {
    /// Its session, begun anew; what else runs out for it goes on.
    pub(super) fn session(
        &self,
        id: &MemberId,
        until: MonoMs,
        connection: Option<ConnectionId>,
    ) -> Session {
        match self.live.sessions.get(id) {
            None => Session::new(until, connection),
            Some(session) => Session {
                until,
                connection: connection.or(session.connection),
                ..session.clone()
            },
        }
    }

    /// Brings a member closer to its target, and tells it.
    pub(super) fn finish(
        &self,
        seated: Seated<'_>,
        asked: &Asked,
        settings: &Settings,
        cx: &Cx<'_>,
        draft: &mut Draft,
    ) -> Result<Answer, Refusal> {
        let Seated {
            id,
            member,
            replaces,
            mut session,
            topics,
        } = seated;
        let next = Reconcile {
            group: self,
            member,
            id,
            replaces,
            target_epoch: self.logged.target.epoch,
            has_subscription_changed: asked.has_subscription_changed,
            owned: asked.owned.as_deref(),
            topics,
        }
        .run()?;
        if let Some(next) = &next {
            let record = ConsumerRecord::Current(id.clone(), Some(Arc::clone(next)));
            draft.records.push(record);
            session.revoke = (next.state == MemberState::Unrevoked)
                .then(|| (cx.mono + member.rebalance_timeout_ms(), next.epoch));
        }
        if asked.by_join {
            session.sync = Some(cx.mono + member.rebalance_timeout_ms());
        } else {
            session.sync = None;
            session.join = None;
        }
        draft.changes.push(Change::Session(id.clone(), session));
        let current = next.unwrap_or_else(|| Arc::clone(&member.current));
        Ok(Self::answer(asked, id, member, current, settings))
    }

    /// What a member is told that asked so.
    fn answer(
        asked: &Asked,
        id: &MemberId,
        member: &Member,
        current: Arc<Current>,
        settings: &Settings,
    ) -> Answer {
        if asked.by_join {
            return Answer::Joined(member.joined(id, current.epoch));
        }
        let has_moved = !Arc::ptr_eq(&asked.had, &current);
        let is_news = asked.is_full || has_moved && asked.had.assigned != current.assigned;
        Answer::Beat(ConsumerBeat {
            member: id.clone(),
            epoch: current.epoch,
            heartbeat_interval_ms: settings.consumer_heartbeat_interval_ms,
            assignment: is_news.then_some(current),
        })
    }
}
