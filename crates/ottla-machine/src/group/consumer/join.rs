//! JoinGroup to a consumer group: members of the classic protocol in it are assigned by the broker as
//! all are, and learn it by SyncGroup (Kafka `classicGroupJoinToConsumerGroup`).

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::sync::Arc;

use super::case::Case;
use super::convert::Conversion;
use super::embedded::Subscription;
use super::heartbeat::Seated;
use super::live::{Asked, Waiting};
use super::resolve::RegexChange;
use super::seat::Seat;
use super::update::{Draft, Update};
use super::{ClassicSide, Consumer, Member, MemberFacts};
use crate::contract::{Cx, Decision, Reply, Ticket, Wait};
use crate::group::classic::{CONSUMER, millis};
use crate::group::{Answer, Coordinator, Join, Joined, MemberId, Migration, Refusal, Settings};

impl Coordinator {
    pub(in crate::group) fn join_consumers(
        &self,
        to: Ticket,
        request: Join,
        group: &Consumer,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let id = request.group.clone();
        if let Err(refusal) = self.join_as_classic(to, request, group, settings, cx, out) {
            out.replies.push(Reply {
                to,
                value: Err(refusal),
                saw: self.position(&id),
                wait: Wait::Durable,
            });
        }
    }

    fn join_as_classic(
        &self,
        to: Ticket,
        request: Join,
        group: &Consumer,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) -> Result<(), Refusal> {
        self.note_topics(&request.topics, out);
        let topics = Arc::clone(self.newest(&request.topics));
        if settings.migration == Migration::Disabled {
            return Err(Refusal::InconsistentProtocol);
        }
        let instance = request.instance.as_ref();
        if !group.has_room_for(&request.member, instance, settings.consumer_members_max) {
            return Err(Refusal::GroupFull);
        }
        if !group.supports(&request) {
            return Err(Refusal::InconsistentProtocol);
        }
        let is_new = request.member.is_empty();
        let member_id = if is_new {
            MemberId::from(&*cx.ids.uuid().to_string())
        } else {
            request.member.clone()
        };
        if is_new && request.member_id_required && instance.is_none() {
            return Err(Refusal::MemberIdRequired(member_id));
        }
        let metadata = request.protocols.first().map(|first| &first.metadata[..]);
        let Ok(subscription) = Subscription::read(metadata.unwrap_or_default(), &*topics) else {
            return Err(Refusal::InconsistentProtocol);
        };
        let mut draft = Draft::default();
        let seat = group.find_classic_seat(&member_id, &request, &mut draft)?;
        let owned = Arc::new(subscription.owned.clone());
        let facts = Arc::new(seat.member.facts.joined(&request, subscription));
        let facts = if facts == seat.member.facts {
            Arc::clone(&seat.member.facts)
        } else {
            facts
        };
        if !group.has_room_for_facts(&member_id, &seat.member.facts, &facts) {
            return Err(Refusal::GroupFull);
        }
        let regex = group.change_regex(&seat.member.facts, &facts, None, &mut draft)?;
        let update = Update {
            id: &member_id,
            old: &seat.member,
            facts: &facts,
            regex,
            topics: &*topics,
        };
        let epoch = group.update(&update, &mut draft);
        let asked = Asked {
            is_full: true,
            by_join: true,
            has_subscription_changed: regex != RegexChange::None
                || facts.topics != seat.member.facts.topics,
            owned: Some(owned),
            had: Arc::clone(&seat.member.current),
        };
        let until = cx.mono + millis(request.session_timeout_ms);
        let mut session = group.session(&member_id, until, Some(request.connection));
        session.join = None;
        let member = Member {
            facts,
            current: Arc::clone(&seat.member.current),
        };
        let case = Case {
            id: &request.group,
            group,
            position: self.position(&request.group),
            settings,
            cx,
        };
        if let Some(old) = &seat.replaces
            && group.may_downgrade_with(old, settings)
        {
            // The last member of the consumer protocol is static, and comes back with the classic one.
            let conversion = Conversion {
                gone: &BTreeSet::from([old.clone()]),
                come: Some((&member_id, &member)),
                rebalances: group.logged.target.epoch < epoch,
            };
            if !self.downgrade(case, &conversion, out) {
                return Err(Refusal::InconsistentProtocol);
            }
            let joined = member.joined(&member_id, group.logged.epoch.epoch);
            out.answer(to, Answer::Joined(joined), Wait::Durable);
            return Ok(());
        }
        let seated = Seated {
            id: &member_id,
            member: &member,
            replaces: seat.replaces.as_ref(),
            session,
            topics: &*topics,
        };
        let must_wait = epoch > group.logged.target.epoch && group.may_compute(settings, cx.wall);
        Self::conclude(case, seated, Waiting { to, asked }, must_wait, draft, out)
    }
}

impl Consumer {
    /// Whether an assignor would be left that all members of the classic protocol know.
    fn supports(&self, request: &Join) -> bool {
        let mut names = request.protocols.iter().map(|known| &known.name);
        *request.protocol_type == *CONSUMER
            && names.any(|name| {
                let count = self.index.protocols.get(name).copied().unwrap_or(0);
                count == self.index.classic
            })
    }

    fn find_classic_seat(
        &self,
        id: &MemberId,
        request: &Join,
        draft: &mut Draft,
    ) -> Result<Seat, Refusal> {
        let seated = |member: &Member| Seat {
            member: member.clone(),
            replaces: None,
        };
        let Some(instance) = &request.instance else {
            // Also with an id that the group does not know: it may have been told to come with it.
            return Ok(seated(self.member(id).unwrap_or(&Member::default())));
        };
        match self.static_member(instance) {
            Some((old_id, old)) if request.member.is_empty() => {
                Ok(self.replace(old_id, old, id, draft))
            }
            None if request.member.is_empty() => Ok(seated(&Member::default())),
            None => Err(Refusal::UnknownInstance),
            Some((old_id, _)) if old_id != id => Err(Refusal::FencedInstance),
            Some((_, member)) => Ok(seated(member)),
        }
    }

    /// Whether the group becomes a classic one if a member of the classic protocol takes this one's place.
    fn may_downgrade_with(&self, old: &MemberId, settings: &Settings) -> bool {
        let members = self.logged.members.len();
        let speaks_consumer = self
            .member(old)
            .is_ok_and(|old| old.facts.classic.is_none());
        speaks_consumer
            && self.index.classic + 1 == members
            && settings.migration.may_downgrade()
            && members <= settings.members_max
    }
}

impl MemberFacts {
    /// What a member says of itself by JoinGroup. It cannot subscribe by an expression.
    fn joined(&self, request: &Join, subscription: Subscription) -> MemberFacts {
        MemberFacts {
            instance: request.instance.clone().or(self.instance.clone()),
            rack: subscription.rack.or(self.rack.clone()),
            client_id: Arc::clone(&request.client_id),
            client_host: Arc::clone(&request.client_host),
            topics: Arc::new(subscription.topics),
            regex: Arc::from(""),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            assignor: self.assignor.clone(),
            classic: Some(ClassicSide {
                session_timeout_ms: request.session_timeout_ms,
                protocols: Arc::from(&request.protocols[..]),
            }),
        }
    }
}

impl Member {
    /// What a member of the classic protocol is told of its epoch: to it that is a generation.
    pub(super) fn joined(&self, id: &MemberId, epoch: i32) -> Joined {
        let classic = self.facts.classic.as_ref();
        let first = classic.and_then(|classic| classic.protocols.first());
        Joined {
            member: id.clone(),
            generation: epoch,
            protocol_type: Some(Arc::from(CONSUMER)),
            protocol: first.map(|first| Arc::clone(&first.name)),
            leader: MemberId::from(""),
            skip_assignment: false,
            members: alloc::vec::Vec::new(),
        }
    }
}
