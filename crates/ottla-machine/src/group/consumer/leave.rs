//! Members go: they leave, or they are fenced (Kafka `consumerGroupLeave`, `consumerGroupFenceMembers`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::case::Case;
use super::convert::Conversion;
use super::update::Draft;
use super::{
    Change, Consumer, ConsumerBeat, ConsumerHeartbeat, ConsumerRecord, Current, GroupEpoch,
    LEAVES_FOR_A_WHILE, MemberFacts, Owned,
};
use crate::contract::{Cx, Decision, Reply, Ticket, Wait};
use crate::group::{Answer, Coordinator, Kind, MemberId, Refusal, Settings};

impl Coordinator {
    pub(super) fn leave_consumer(
        &self,
        to: Ticket,
        request: &ConsumerHeartbeat,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) -> Result<(), Refusal> {
        let known = self.groups.get(&request.group);
        let group = match known.map(|group| &group.kind) {
            Some(Kind::Consumer(group)) => &**group,
            Some(Kind::Classic { .. }) => return Err(Refusal::NotConsumerGroup),
            None => return Err(Refusal::GroupNotFound),
        };
        let mut draft = Draft::default();
        let (id, member) = group.find_member(&request.member, request.instance.as_ref())?;
        let answer = Answer::Beat(ConsumerBeat {
            member: id.clone(),
            epoch: request.epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        });
        if request.epoch == LEAVES_FOR_A_WHILE {
            let current = Arc::new(member.current.left_for_a_while());
            let record = ConsumerRecord::Current(id.clone(), Some(current));
            draft.records.push(record);
            group.refuse_waiting(id, &Refusal::Removed, &mut draft, out);
            draft.emit(&request.group, out);
        } else {
            let gone = BTreeSet::from([id.clone()]);
            let case = Case {
                id: &request.group,
                group,
                position: known.map(|group| group.position),
                settings,
                cx,
            };
            self.fence(case, &gone, draft, out);
        }
        out.replies.push(Reply {
            to,
            value: Ok(answer),
            saw: None,
            wait: Wait::Durable,
        });
        Ok(())
    }

    /// Takes members out, with what the draft has so far; the others share what they had. If these
    /// all speak the classic protocol, they become a classic group.
    pub(super) fn fence(
        &self,
        case: Case<'_, '_>,
        ids: &BTreeSet<MemberId>,
        mut draft: Draft,
        out: &mut Decision<Self>,
    ) {
        let conversion = Conversion {
            gone: ids,
            come: None,
            rebalances: true,
        };
        if !ids.is_empty()
            && case.group.may_downgrade_without(ids, case.settings)
            && self.downgrade(case, &conversion, out)
        {
            return;
        }
        self.draft_removal(case.group, ids, &mut draft, out);
        draft.emit(case.id, out);
    }

    fn draft_removal(
        &self,
        group: &Consumer,
        ids: &BTreeSet<MemberId>,
        draft: &mut Draft,
        out: &mut Decision<Self>,
    ) {
        let mut gone: Vec<&MemberFacts> = Vec::new();
        let mut regexes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for id in ids {
            let Some(member) = group.logged.members.get(id) else {
                continue;
            };
            draft.remove(id);
            group.refuse_waiting(id, &Refusal::UnknownMember, draft, out);
            gone.push(&member.facts);
            if !member.facts.regex.is_empty() {
                *regexes.entry(&member.facts.regex).or_default() += 1;
            }
        }
        if gone.is_empty() {
            return;
        }
        let known = &group.index.regexes;
        regexes.retain(|regex, count| known.get(*regex) == Some(count));
        let regexes: Vec<&Arc<str>> = regexes.into_keys().collect();
        for regex in &regexes {
            let regex = Arc::clone(regex);
            draft.records.push(ConsumerRecord::Regex(regex, None));
        }
        let names = group.subscribed(&gone, None, &regexes);
        match &self.topics {
            Some(topics) => {
                group.bump(true, &names, &**topics, draft);
            }
            // Since the restart nobody brought topics: whoever does next, looks at the hash.
            None => {
                let known = group.logged.epoch;
                draft.records.push(ConsumerRecord::Epoch(Some(GroupEpoch {
                    epoch: known.epoch.saturating_add(1),
                    ..known
                })));
            }
        }
    }
}

impl Consumer {
    /// Refuses what the member waits for.
    pub(super) fn refuse_waiting(
        &self,
        id: &MemberId,
        refusal: &Refusal,
        draft: &mut Draft,
        out: &mut Decision<Coordinator>,
    ) {
        if let Some(waiting) = self.live.waiting.get(id) {
            out.refuse(waiting.to, refusal.clone(), Wait::Durable);
            draft.changes.push(Change::Answered(id.clone()));
        }
    }
}

impl Current {
    /// A static member goes and will come back: it keeps what it has, from the beginning on, since its
    /// epochs begin anew with it.
    fn left_for_a_while(&self) -> Current {
        let assigned = self.assigned.iter().map(|(topic, partitions)| {
            let partitions = partitions.keys().map(|partition| (*partition, 0));
            (*topic, partitions.collect())
        });
        Current {
            epoch: LEAVES_FOR_A_WHILE,
            assigned: assigned.collect(),
            revoking: Owned::new(),
            ..self.clone()
        }
    }
}
