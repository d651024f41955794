//! The world around a coordinator of consumer groups: topics, and whoever computes for it.

use super::*;
use crate::group::consumer::assignor::{AssignorInput, GroupAssignment};
use crate::group::consumer::topics::TopicFacts;

/// Topics by name.
#[derive(Clone, Default, Debug)]
pub(super) struct TestTopics {
    pub(super) version: u64,
    pub(super) by_name: BTreeMap<Arc<str>, TopicFacts>,
}

impl Topics for TestTopics {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<TopicFacts> {
        self.by_name.get(name).copied()
    }

    fn name(&self, id: Uuid) -> Option<Arc<str>> {
        let mut topics = self.by_name.iter();
        let found = topics.find(|(_, topic)| topic.id == id);
        found.map(|(name, _)| Arc::clone(name))
    }

    fn each_name(&self, see: &mut dyn FnMut(&str)) {
        self.by_name.keys().for_each(|name| see(name));
    }
}

impl TestTopics {
    /// A topic comes, grows, or is another of that name; without partitions it goes.
    pub(super) fn set(&mut self, name: &str, id: Uuid, partitions: i32) {
        self.version += 1;
        if partitions == 0 {
            self.by_name.remove(name);
        } else {
            self.by_name
                .insert(Arc::from(name), TopicFacts { id, partitions });
        }
    }
}

/// Each partition of a topic to the next of its subscribers: nothing is kept on purpose, so that
/// partitions move often.
pub(super) fn deal(input: &AssignorInput) -> GroupAssignment {
    let mut dealt = GroupAssignment::new();
    for (id, topic) in &input.topics {
        let members = input.members.iter();
        let subscribers: Vec<&MemberId> = members
            .filter(|(_, member)| member.subscribed.contains(id))
            .map(|(member, _)| member)
            .collect();
        for partition in 0..topic.partitions {
            let owner = subscribers[partition as usize % subscribers.len()];
            let of = dealt.entry(owner.clone()).or_default();
            of.entry(*id).or_default().push(partition);
        }
    }
    dealt
}

/// Does what an effect asks for, with the assignor that it names or with [`deal`]. An expression matches the names that begin with it, `*` all; without
/// topics nothing can be resolved.
pub(super) fn perform(effect: Effect, by_assignor: bool) -> Request {
    match effect {
        Effect::Assign(order) => Request::Assigned(Assigned {
            group: order.group,
            order: order.order,
            assignment: Some(if by_assignor {
                order.assignor.assign(&order.input)
            } else {
                deal(&order.input)
            }),
        }),
        Effect::ResolveRegexes(order) => {
            let resolved = order.regexes.iter().map(|regex| {
                let mut names = BTreeSet::new();
                order.topics.each_name(&mut |name| {
                    if **regex == *"*" || name.starts_with(&**regex) {
                        names.insert(Arc::from(name));
                    }
                });
                (Arc::clone(regex), names)
            });
            Request::RegexesResolved(RegexesResolved {
                resolved: resolved.collect(),
                group: order.group,
                order: order.order,
                topics: order.topics,
            })
        }
    }
}
