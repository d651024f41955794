//! `range` (Kafka `RangeAssignor`): of each topic every subscriber gets partitions that lie side by
//! side, first the static members in the order of their instance ids, then the others in the order of
//! their member ids. Topics with the same subscribers and as many partitions are shared out alike, so
//! that records of one key meet in one member.
//!
//! What members had before does not count: a static member finds its range again because its place
//! stays.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::problem::{Member, Problem};
use super::{GroupAssignment, Partitions};

/// How far a topic is shared out.
struct Progress {
    /// The first partition that nobody has.
    next: usize,
    /// What every subscriber gets.
    floor: usize,
    /// So many subscribers get one more.
    extra: usize,
}

pub(super) fn assign(problem: &Problem<'_>) -> GroupAssignment {
    let mut subscribers = alloc::vec![0; problem.topics.len()];
    for topic in problem
        .members
        .iter()
        .flat_map(|member| &*member.subscribed)
    {
        subscribers[*topic] += 1;
    }
    let mut topics: Vec<Progress> = (0..)
        .zip(subscribers)
        .map(|(topic, subscribers): (usize, usize)| {
            let count = problem.owners.of(topic).len();
            Progress {
                next: 0,
                floor: count / subscribers.max(1),
                extra: count % subscribers.max(1),
            }
        })
        .collect();
    let mut members: Vec<&Member<'_>> = problem.members.iter().collect();
    members.sort_by(|one, other| static_first(one, other));
    let mut assignment = GroupAssignment::new();
    for member in members {
        let mut share = Partitions::new();
        for &topic in member.subscribed.iter() {
            let partitions = topics[topic].take();
            if !partitions.is_empty() {
                share.insert(problem.topics[topic], partitions);
            }
        }
        if !share.is_empty() {
            assignment.insert(member.id.clone(), share);
        }
    }
    assignment
}

impl Progress {
    fn take(&mut self) -> Vec<i32> {
        let begin = self.next;
        self.next += self.floor;
        if self.extra > 0 {
            self.extra -= 1;
            self.next += 1;
        }
        // Their number came as an int32.
        (begin..self.next)
            .map(|partition| partition as i32)
            .collect()
    }
}

fn static_first(one: &Member<'_>, other: &Member<'_>) -> Ordering {
    match (&one.said.instance, &other.said.instance) {
        (Some(one), Some(other)) => java_order(one, other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(one.id, other.id),
    }
}

/// `String.compareTo`: by UTF-16.
fn java_order(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}
