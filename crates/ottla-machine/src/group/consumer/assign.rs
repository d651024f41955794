//! Targets: ordered outside the turn, logged when they come, and told to those that wait for them (Kafka
//! `maybeUpdateTargetAssignment`, `TargetAssignmentBuilder`).
//!
//! One assignment of a group is computed at a time. One that comes back for an older order is dropped, and
//! ordered anew for those that wait: however many members join meanwhile, two suffice.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use ottla_model::time::WallMs;

use super::assignor::{Assignor, AssignorInput, AssignorMember, AssignorTopic, GroupAssignment};
use super::heartbeat::Seated;
use super::live::{Computing, WORK_MS_MAX};
use super::topics::Topics;
use super::update::Draft;
use super::{Change, Consumer, ConsumerRecord, MemberFacts, TargetEpoch};
use crate::contract::{Cx, Decision, Reply, Ticket, Wait};
use crate::group::{
    Answer, AssignOrder, Assigned, Coordinator, Effect, GroupId, Kind, MemberId, Refusal, Settings,
};

impl Coordinator {
    /// Cares for those that wait for an assignment: orders it, or answers them if there is nothing to
    /// compute, now.
    pub(in crate::group) fn serve_consumers(
        &self,
        id: &GroupId,
        group: &Consumer,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let Some(topics) = &self.topics else {
            // Whoever waits brought some.
            return;
        };
        let mut draft = Draft::default();
        let epoch = group.logged.epoch.epoch;
        if epoch > group.logged.target.epoch && group.may_compute(settings, cx.wall) {
            let order = self.next_order(cx.mono);
            out.effects.push(Effect::Assign(AssignOrder {
                group: id.clone(),
                order,
                assignor: group.assignor(),
                input: Arc::new(group.assignor_input(&**topics)),
            }));
            draft.changes.push(Change::Computing(Computing {
                order,
                epoch,
                outdated: false,
                until: cx.mono + WORK_MS_MAX,
            }));
            return draft.emit(id, out);
        }
        for (id, waiting) in &group.live.waiting {
            let member = group.logged.members.get_key_value(id);
            let result = member
                .ok_or(Refusal::UnknownMember)
                .and_then(|(id, member)| {
                    let until = cx.mono + member.session_timeout_ms(settings);
                    let seated = Seated {
                        id,
                        member,
                        replaces: None,
                        session: group.session(id, until, None),
                        topics: &**topics,
                    };
                    group.finish(seated, &waiting.asked, settings, cx, &mut draft)
                });
            out.replies.push(Reply {
                to: waiting.to,
                value: result,
                saw: None,
                wait: Wait::Durable,
            });
        }
        draft.changes.push(Change::AllAnswered);
        draft.emit(id, out);
    }

    /// An assignment was computed.
    pub(in crate::group) fn decide_assigned(
        &self,
        to: Ticket,
        outcome: &Assigned,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        out.answer(to, Answer::Noted, Wait::None);
        let id = &outcome.group;
        let Some(Kind::Consumer(group)) = self.groups.get(id).map(|group| &group.kind) else {
            return;
        };
        let Some(computing) = group.live.computing.filter(|c| c.order == outcome.order) else {
            return;
        };
        let mut draft = Draft::default();
        draft.changes.push(Change::Computed);
        let is_current = !computing.outdated && group.logged.epoch.epoch == computing.epoch;
        match &outcome.assignment {
            _ if !is_current => {}
            Some(assignment) => {
                group.install(assignment, computing.epoch, cx.wall, &mut draft);
            }
            None => {
                for waiting in group.live.waiting.values() {
                    out.refuse(waiting.to, Refusal::AssignorFailed, Wait::Durable);
                }
                draft.changes.push(Change::AllAnswered);
            }
        }
        draft.emit(id, out);
    }
}

impl Consumer {
    /// Whether targets may be computed anew, or the last ones are too young for that. If nobody has one,
    /// as in a group that was empty for a moment, nothing is gained by waiting.
    pub(super) fn may_compute(&self, settings: &Settings, now: WallMs) -> bool {
        let last_ms = self.logged.target.time_ms;
        let interval_ms = settings.consumer_assignment_interval_ms;
        let are_all_new = self.logged.targets.is_empty();
        are_all_new
            || last_ms == 0
            || interval_ms == 0
            || now.0 >= last_ms.saturating_add(interval_ms)
    }

    /// The assignor that most members would like, or the default.
    pub(super) fn assignor(&self) -> Assignor {
        let wanted = self.index.assignors.iter();
        // Of several the last by name, the default.
        let most = wanted.max_by_key(|(_, count)| **count);
        most.and_then(|(name, _)| Assignor::from_name(name))
            .unwrap_or(Assignor::ALL[0])
    }

    fn install(&self, assignment: &GroupAssignment, epoch: i32, now: WallMs, draft: &mut Draft) {
        for id in self.logged.members.keys() {
            let target = assignment.get(id);
            let known = self.logged.targets.get(id).map(|known| &**known);
            if known.is_none() || known != Some(target.unwrap_or(&BTreeMap::new())) {
                let target = Arc::new(target.cloned().unwrap_or_default());
                draft
                    .records
                    .push(ConsumerRecord::Target(id.clone(), Some(target)));
            }
        }
        let target = TargetEpoch {
            epoch,
            time_ms: now.0,
        };
        draft
            .records
            .push(ConsumerRecord::TargetEpoch(Some(target)));
    }

    fn assignor_input<'a>(&'a self, topics: &dyn Topics) -> AssignorInput {
        let mut known = BTreeMap::new();
        // Members that subscribe alike share what that comes to.
        let mut alike = BTreeMap::<(&BTreeSet<Arc<str>>, &str), _>::new();
        let mut subscribed = |facts: &'a MemberFacts| {
            let alike = alike.entry((&*facts.topics, &*facts.regex));
            let shared = alike.or_insert_with(|| {
                let names = &facts.topics;
                let resolved = self.logged.regexes.get(&facts.regex);
                let resolved = resolved.into_iter().flat_map(|resolved| &resolved.topics);
                let mut ids = BTreeSet::new();
                for name in names.iter().chain(resolved) {
                    if let Some(topic) = topics.topic(name) {
                        ids.insert(topic.id);
                        known.entry(topic.id).or_insert_with(|| AssignorTopic {
                            name: Arc::clone(name),
                            partitions: topic.partitions,
                        });
                    }
                }
                Arc::new(ids)
            });
            Arc::clone(shared)
        };
        let members = self.logged.members.iter();
        let members: BTreeMap<MemberId, AssignorMember> = members
            .map(|(id, member)| {
                let target = self.logged.targets.get(id);
                let member = AssignorMember {
                    instance: member.facts.instance.clone(),
                    subscribed: subscribed(&member.facts),
                    target: target.cloned().unwrap_or_default(),
                };
                (id.clone(), member)
            })
            .collect();
        AssignorInput {
            homogeneous: self.is_homogeneous(),
            members,
            topics: known,
        }
    }

    /// True if all members subscribe alike, as Kafka counts (`ConsumerGroup.subscriptionType`).
    fn is_homogeneous(&self) -> bool {
        let members = self.logged.members.len();
        let mut topics = self.index.topics.values();
        match self.index.regexes.values().next() {
            None => topics.all(|topic| topic.names == members),
            Some(count) => {
                *count == members && topics.all(|topic| topic.regexes == 1 && topic.names == 0)
            }
        }
    }
}
