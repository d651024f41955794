//! What coordinators of groups leave to others: assignments and regular expressions, which may take long.
//!
//! A thread of its own does one piece after the other and ends when there is none left, so no thread of the
//! network ever waits for it. Of each kind a group has one piece at most that waits: a newer order takes the place of
//! an older one, whose outcome its group would not take any more. Nothing is durable: after a restart, or when the
//! shard is gone, the next heartbeat of a member asks anew.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ottla_machine::group::{
    AssignOrder, Assigned, Command, Effect, GroupId, RegexOrder, RegexesResolved, Request,
};
use tokio::sync::oneshot;

use super::TopicRegex;
use crate::drive::{Driven, Driver};
use crate::wiring::{GroupSettings, GroupShard};

/// The heavy work of all groups. Clones are the same one.
#[derive(Clone)]
pub(crate) struct GroupWork(Arc<Inner>);

struct Inner {
    driver: Driver,
    settings: Arc<GroupSettings>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Who is next; each is there once.
    turns: VecDeque<Key>,
    orders: HashMap<Key, (Effect, Home)>,
    /// A thread is at it and will look into the queue again.
    is_running: bool,
}

/// The shard that is told the outcome.
type Home = Weak<Driven<GroupShard>>;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Assign(GroupId),
    ResolveRegexes(GroupId),
}

impl GroupWork {
    pub(crate) fn new(driver: Driver, settings: Arc<GroupSettings>) -> GroupWork {
        GroupWork(Arc::new(Inner {
            driver,
            settings,
            queue: Mutex::default(),
        }))
    }

    /// What holds for groups.
    pub(crate) fn settings(&self) -> &Arc<GroupSettings> {
        &self.0.settings
    }

    /// Has it done soon.
    pub(crate) fn order(&self, effect: Effect, home: Home) {
        let key = match &effect {
            Effect::Assign(order) => Key::Assign(order.group.clone()),
            Effect::ResolveRegexes(order) => Key::ResolveRegexes(order.group.clone()),
        };
        let mut queue = self.queue();
        if queue.orders.insert(key.clone(), (effect, home)).is_none() {
            queue.turns.push_back(key);
        }
        if queue.is_running {
            return;
        }
        queue.is_running = true;
        drop(queue);
        let work = self.clone();
        let thread = std::thread::Builder::new().name("ottla-groups".into());
        if let Err(error) = thread.spawn(move || work.run()) {
            tracing::error!(%error, "no thread for assignments of groups: a network thread does them");
            let work = self.clone();
            drop(self.0.driver.runtime().spawn(async move { work.run() }));
        }
    }

    fn run(&self) {
        while let Some((effect, home)) = self.next() {
            // A shard closes itself if it panics; the others go on.
            let _ = catch_unwind(AssertUnwindSafe(|| self.perform(effect, &home)));
        }
    }

    fn perform(&self, effect: Effect, home: &Home) {
        // A shard that was closed meanwhile wants no outcome.
        if home.strong_count() == 0 {
            return;
        }
        let request = outcome(effect);
        if let Some(home) = home.upgrade() {
            // Nobody waits for the answer.
            let (handle, _) = oneshot::channel();
            let settings = Arc::clone(&self.0.settings);
            home.shard().submit(handle, Command { settings, request });
            self.0.driver.run(&home);
        }
    }

    fn next(&self) -> Option<(Effect, Home)> {
        let mut queue = self.queue();
        let next = queue.turns.pop_front();
        let order = next.and_then(|key| queue.orders.remove(&key));
        queue.is_running = order.is_some();
        order
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        let queue = &self.0.queue;
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work, and what the group is told; of a panic in it, too.
fn outcome(effect: Effect) -> Request {
    match effect {
        Effect::Assign(order) => {
            let AssignOrder {
                group,
                order,
                assignor,
                input,
            } = order;
            let assignment = catch_unwind(AssertUnwindSafe(|| assignor.assign(&input))).ok();
            Request::Assigned(Assigned {
                group,
                order,
                assignment,
            })
        }
        Effect::ResolveRegexes(order) => {
            let resolved = catch_unwind(AssertUnwindSafe(|| resolve(&order))).unwrap_or_default();
            Request::RegexesResolved(RegexesResolved {
                group: order.group,
                order: order.order,
                resolved,
                topics: order.topics,
            })
        }
    }
}

/// Each expression and the topics whose whole names match. Topics of the broker's own are topics as others, as in
/// Kafka (`TopicRegexResolver`).
fn resolve(order: &RegexOrder) -> Vec<(Arc<str>, BTreeSet<Arc<str>>)> {
    let each = order.regexes.iter().map(|text| {
        let mut names = BTreeSet::new();
        // One that does not compile matches nothing. Members' own are refused before they come here; this
        // one is from a log of Kafka's, whose syntax is another.
        if let Ok(regex) = TopicRegex::new(text) {
            order.topics.each_name(&mut |name| {
                if regex.matches(name) {
                    names.insert(Arc::from(name));
                }
            });
        }
        (Arc::clone(text), names)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ottla_machine::group::consumer::assignor::{
        Assignor, AssignorInput, AssignorMember, AssignorTopic,
    };
    use ottla_machine::group::consumer::topics::{TopicFacts, Topics};
    use ottla_model::uuid::Uuid;

    use super::*;

    #[derive(Debug)]
    struct Names(&'static [&'static str]);

    impl Topics for Names {
        fn version(&self) -> u64 {
            7
        }

        fn topic(&self, _: &str) -> Option<TopicFacts> {
            None
        }

        fn name(&self, _: Uuid) -> Option<Arc<str>> {
            None
        }

        fn each_name(&self, see: &mut dyn FnMut(&str)) {
            self.0.iter().for_each(|name| see(name));
        }
    }

    #[test]
    fn every_expression_is_resolved_among_the_topics_of_the_order() {
        let order = RegexOrder {
            group: "g".into(),
            order: 5,
            regexes: ["a.*", "b", "["].map(Arc::from).into(),
            topics: Arc::new(Names(&["ab", "a", "__consumer_offsets"])),
        };
        let Request::RegexesResolved(told) = outcome(Effect::ResolveRegexes(order)) else {
            panic!("another outcome");
        };
        let resolved: Vec<(&str, Vec<&str>)> = told
            .resolved
            .iter()
            .map(|(regex, names)| (&**regex, names.iter().map(|name| &**name).collect()))
            .collect();
        let none = Vec::new();
        assert_eq!(
            resolved,
            [("a.*", vec!["a", "ab"]), ("b", none.clone()), ("[", none)],
            "one that does not compile matches nothing"
        );
        assert_eq!(
            (&*told.group, told.order, told.topics.version()),
            ("g", 5, 7)
        );
    }

    #[test]
    fn an_assignment_comes_back_with_what_it_was_ordered_for() {
        let topic = Uuid([1; 16]);
        let member = AssignorMember {
            instance: None,
            subscribed: Arc::new([topic].into()),
            target: Arc::default(),
        };
        let facts = AssignorTopic {
            name: "t".into(),
            partitions: 2,
        };
        let order = AssignOrder {
            group: "g".into(),
            order: 3,
            assignor: Assignor::Uniform,
            input: Arc::new(AssignorInput {
                members: [("m".into(), member)].into(),
                topics: [(topic, facts)].into(),
                homogeneous: true,
            }),
        };
        let Request::Assigned(told) = outcome(Effect::Assign(order)) else {
            panic!("another outcome");
        };
        assert_eq!((&*told.group, told.order), ("g", 3));
        let share = BTreeMap::from([(topic, vec![0, 1])]);
        assert_eq!(told.assignment, Some([("m".into(), share)].into()));
    }
}
