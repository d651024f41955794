//! Groups go from the classic protocol to the consumer protocol and back while they have members (KIP-848,
//! `group.consumer.migration.policy`).
//!
//! The first member that joins a classic group of consumers with a heartbeat makes it a consumer group:
//! the others stay, with the assignment that they have, and are told to join anew. When the last member
//! that speaks the consumer protocol goes, the others become a classic group again. In between both kinds
//! are in one group; see `classic_side.rs` and `join.rs`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::time::MonoMs;

use super::case::Case;
use super::embedded::{Subscription, read_assignment, write_assignment};
use super::hash::metadata_hash;
use super::live::Session;
use super::topics::Topics;
use super::{
    Change, ClassicSide, Consumer, ConsumerRecord, Current, GroupEpoch, Member, MemberFacts,
    MemberState, Owned, TargetEpoch,
};
use crate::contract::{Cx, Decision, Reply, Wait};
use crate::group::classic::{Classic, Converted, Turn, millis};
use crate::group::{Coordinator, GroupId, GroupRecord, MemberId, Refusal, Settings};

/// How a consumer group becomes a classic one.
pub(super) struct Conversion<'a> {
    /// Without these members.
    pub(super) gone: &'a BTreeSet<MemberId>,
    /// With this one, who takes the place of the first of them.
    pub(super) come: Option<(&'a MemberId, &'a Member)>,
    /// And all have to join anew.
    pub(super) rebalances: bool,
}

/// A classic group as a consumer group.
pub(super) struct Upgraded {
    pub(super) group: Consumer,
    /// What makes it one.
    pub(super) records: Vec<GroupRecord>,
    pub(super) sessions: Vec<Change>,
}

impl Consumer {
    /// A classic group as a consumer group.
    ///
    /// # Errors
    /// Why it cannot become one.
    pub(super) fn upgrade(
        id: &GroupId,
        live: &Classic,
        is_logged: bool,
        topics: &dyn Topics,
        settings: &Settings,
        now: MonoMs,
    ) -> Result<Upgraded, Refusal> {
        let cannot = |why| Err(Refusal::CannotUpgrade(why));
        if !settings.migration.may_upgrade() {
            return cannot("online upgrade is disabled");
        }
        if !live.is_of_consumers() {
            return cannot("the group does not use the consumer embedded protocol");
        }
        if live.size() > settings.consumer_members_max {
            return cannot("the group size exceeds the consumer group maximum size");
        }
        let mut records = Vec::new();
        let mut sessions = Vec::new();
        let mut members = Vec::new();
        let mut given = BTreeSet::new();
        let epoch = live.epoch();
        for converted in live.to_converted(now) {
            let Ok(subscription) = Subscription::read(&live.told(&converted), topics) else {
                return cannot("the embedded consumer protocol is malformed");
            };
            let target = match read_assignment(&converted.assignment, topics) {
                Ok(Some(target)) => target,
                Ok(None) => {
                    return cannot(
                        "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade",
                    );
                }
                Err(_) => return cannot("the embedded consumer protocol is malformed"),
            };
            for (topic, of) in &target {
                if !of.iter().all(|index| given.insert((*topic, *index))) {
                    return cannot("its leader assigned a partition to two members");
                }
            }
            let assigned: Owned = target
                .iter()
                .map(|(topic, of)| (*topic, of.iter().map(|index| (*index, epoch)).collect()))
                .collect();
            let current = Current {
                epoch,
                previous_epoch: epoch,
                state: MemberState::Stable,
                assigned,
                revoking: Owned::new(),
            };
            let session = Session::new(converted.until, converted.connection);
            sessions.push(Change::Session(converted.id.clone(), session));
            let member_id = converted.id.clone();
            let facts = MemberFacts::converted(converted, subscription);
            members.push((member_id, facts, Arc::new(target), Arc::new(current)));
        }
        if is_logged {
            records.push(GroupRecord::Classic {
                group: id.clone(),
                value: None,
            });
        }
        let mut group = Consumer::default();
        let mut log = |record: ConsumerRecord| {
            group.replay(&record);
            records.push(super::of(id, record));
        };
        let mut names: Vec<Arc<str>> = Vec::new();
        for (member, facts, ..) in &members {
            names.extend(facts.topics.iter().cloned());
            log(ConsumerRecord::Member(
                member.clone(),
                Some(Arc::new(facts.clone())),
            ));
        }
        names.sort_unstable();
        names.dedup();
        log(ConsumerRecord::Epoch(Some(GroupEpoch {
            epoch,
            metadata_hash: metadata_hash(names.iter(), topics),
        })));
        for (member, _, target, _) in &members {
            log(ConsumerRecord::Target(
                member.clone(),
                Some(Arc::clone(target)),
            ));
        }
        log(ConsumerRecord::TargetEpoch(Some(TargetEpoch {
            epoch,
            time_ms: 0,
        })));
        for (member, _, _, current) in members {
            log(ConsumerRecord::Current(member, Some(current)));
        }
        Ok(Upgraded {
            group,
            records,
            sessions,
        })
    }

    /// Whether all members speak the classic protocol once these are gone, and may have a classic group.
    pub(super) fn may_downgrade_without(
        &self,
        ids: &BTreeSet<MemberId>,
        settings: &Settings,
    ) -> bool {
        let gone = ids.iter().filter_map(|id| self.logged.members.get(id));
        let gone_classic = gone.filter(|member| member.facts.classic.is_some()).count();
        let left = self.logged.members.len().saturating_sub(ids.len());
        left > 0
            && self.index.classic.saturating_sub(gone_classic) == left
            && settings.migration.may_downgrade()
            && left <= settings.members_max
    }

    /// The group as a classic one; `None` if its members cannot have one.
    fn downgraded(
        &self,
        conversion: &Conversion<'_>,
        topics: Option<&dyn Topics>,
        cx: &Cx<'_>,
    ) -> Option<Classic> {
        let Conversion { gone, come, .. } = *conversion;
        let members = self.logged.members.iter();
        let members = members
            .filter(|(id, _)| !gone.contains(*id))
            .chain(come)
            .map(|(id, member)| member.converted(id, self.live.sessions.get(id), cx.mono))
            .collect::<Option<Vec<Converted>>>()?;
        let mut classic = Classic::from_converted(self.logged.epoch.epoch, cx.wall.0, members)?;
        let mut assignments = BTreeMap::new();
        for (id, subscription) in classic.subscriptions() {
            // Who takes a static member's place takes what that is to get.
            let target = match come {
                Some((joined, _)) if joined == id => gone.first(),
                _ => Some(id),
            };
            let target = target.and_then(|id| self.logged.targets.get(id));
            let target = target.into_iter().flat_map(|target| target.iter());
            let target = target.map(|(topic, of)| (*topic, of.clone()));
            let assignment = write_assignment(&subscription, target, topics).ok()?;
            assignments.insert(id.clone(), assignment);
        }
        classic.give(assignments);
        Some(classic)
    }
}

impl Coordinator {
    /// Makes the group a classic one. False if it has to stay as it is.
    pub(super) fn downgrade(
        &self,
        case: Case<'_, '_>,
        conversion: &Conversion<'_>,
        out: &mut Decision<Self>,
    ) -> bool {
        let group = case.group;
        let topics = self.topics.as_deref();
        let Some(classic) = group.downgraded(conversion, topics, case.cx) else {
            return false;
        };
        for (id, waiting) in &group.live.waiting {
            let refusal = if conversion.gone.contains(id) {
                Refusal::UnknownMember
            } else {
                Refusal::RebalanceInProgress
            };
            out.replies.push(Reply {
                to: waiting.to,
                value: Err(refusal),
                saw: None,
                wait: Wait::Durable,
            });
        }
        let mut records = Vec::new();
        group.delete(case.id, &mut records);
        let position = case.position.unwrap_or_default();
        let mut turn = Turn::new(case.id, classic, position, case.settings, case.cx, out);
        turn.log_converted(records, conversion.rebalances);
        if conversion.rebalances {
            turn.prepare_rebalance();
        }
        turn.finish();
        true
    }
}

impl MemberFacts {
    fn converted(converted: Converted, subscription: Subscription) -> MemberFacts {
        MemberFacts {
            instance: converted.instance,
            rack: subscription.rack,
            client_id: converted.client_id,
            client_host: converted.client_host,
            topics: Arc::new(subscription.topics),
            rebalance_timeout_ms: converted.rebalance_timeout_ms,
            classic: Some(ClassicSide {
                session_timeout_ms: converted.session_timeout_ms,
                protocols: converted.protocols,
            }),
            ..MemberFacts::default()
        }
    }
}

impl Member {
    fn converted(
        &self,
        id: &MemberId,
        session: Option<&Session>,
        now: MonoMs,
    ) -> Option<Converted> {
        let facts = &self.facts;
        let classic = facts.classic.as_ref()?;
        Some(Converted {
            id: id.clone(),
            instance: facts.instance.clone(),
            client_id: Arc::clone(&facts.client_id),
            client_host: Arc::clone(&facts.client_host),
            rebalance_timeout_ms: facts.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            protocols: Arc::clone(&classic.protocols),
            assignment: bytes::Bytes::new(),
            connection: session.and_then(|session| session.connection),
            until: now + millis(classic.session_timeout_ms),
        })
    }
}
