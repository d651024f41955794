//! `uniform` where members subscribe to different topics (Kafka
//! `UniformHeterogeneousAssignmentBuilder`): what nobody has goes to those who have least, then partitions move from
//! those who have most to those who have least, topic by topic, until no move
//! makes it more even.

use alloc::vec::Vec;
use core::ops::Range;

use super::GroupAssignment;
use super::problem::{Owners, Problem};

/// Rounds over all topics, at most. Where subscriptions overlap without being the same, evenness wanders from topic to
/// topic; each round about halves what is missing.
const ROUNDS_MAX: usize = 16;

pub(super) fn assign(mut problem: Problem<'_>) -> GroupAssignment {
    let mut group = Group::new(&mut problem);
    let topics = group.topics_by_urgency();
    for &topic in &topics {
        group.share_out(topic);
    }
    let shared: Vec<usize> = topics
        .into_iter()
        .filter(|topic| group.subscribers[*topic].len() > 1)
        .collect();
    group.even_out(&shared);
    problem.shared_out(&group.owners)
}

/// A group while it is shared out.
struct Group {
    /// By topic, rising.
    subscribers: Vec<Vec<usize>>,
    owners: Owners,
    /// How many partitions each member has.
    loads: Vec<i64>,
}

impl Group {
    /// Takes the owners out of the problem.
    fn new(problem: &mut Problem<'_>) -> Group {
        let mut subscribers = alloc::vec![Vec::new(); problem.topics.len()];
        for (at, member) in problem.members.iter().enumerate() {
            for topic in member.subscribed.iter() {
                subscribers[*topic].push(at);
            }
        }
        let load = |owned: &[(usize, Vec<usize>)]| -> usize {
            owned.iter().map(|(_, partitions)| partitions.len()).sum()
        };
        let members = problem.members.iter();
        Group {
            subscribers,
            owners: core::mem::take(&mut problem.owners),
            loads: members.map(|member| load(&member.owned) as i64).collect(),
        }
    }

    /// Topics that somebody subscribes to, first those that leave the least choice: many partitions for each
    /// subscriber, then few subscribers.
    fn topics_by_urgency(&self) -> Vec<usize> {
        let size = |topic: usize| {
            let subscribers = self.subscribers[topic].len() as u64;
            (self.owners.of(topic).len() as u64, subscribers)
        };
        let mut topics: Vec<usize> = (0..self.subscribers.len())
            .filter(|topic| !self.subscribers[*topic].is_empty())
            .collect();
        topics.sort_by(|&one, &other| {
            let ((partitions, subscribers), (of_other, subscribers_of_other)) =
                (size(one), size(other));
            // Fractions compared without rounding; the counts are int32.
            let by_share = (of_other * subscribers).cmp(&(partitions * subscribers_of_other));
            by_share.then(subscribers.cmp(&subscribers_of_other))
        });
        topics
    }

    /// Gives what nobody has of a topic to those who have least.
    fn share_out(&mut self, topic: usize) {
        let free: Vec<usize> = self.owners.free(topic).collect();
        if free.is_empty() {
            return;
        }
        let mut ends = Ends::new(&self.subscribers[topic], &self.loads);
        for partition in free {
            let member = ends.next_low(&self.loads);
            self.owners.set(topic, partition, member);
            self.loads[member] += 1;
        }
    }

    /// Moves partitions until a whole round over the topics moved none, or the rounds are over.
    fn even_out(&mut self, topics: &[usize]) {
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for (at, &topic) in topics.iter().enumerate() {
                if last_moved == Some(at) {
                    return;
                }
                let has_moved = self.even_out_topic(topic);
                if has_moved || last_moved.is_none() {
                    last_moved = Some(at);
                }
            }
        }
    }

    /// Moves partitions of a topic from those who have most to those who have least. True if any moved.
    fn even_out_topic(&mut self, topic: usize) -> bool {
        let mut ends = Ends::new(&self.subscribers[topic], &self.loads);
        if ends.gap() <= 1 {
            return false;
        }
        let mut held = Held::new(self.owners.of(topic), self.loads.len());
        let mut has_moved = false;
        while let Some(from) = ends.next_high(&self.loads) {
            let Some(partition) = held.pop(from) else {
                ends.leave_out_high();
                continue;
            };
            let to = ends.next_low(&self.loads);
            if ends.is_even() {
                break;
            }
            self.owners.set(topic, partition, to);
            self.loads[from] -= 1;
            self.loads[to] += 1;
            has_moved = true;
        }
        has_moved
    }
}

/// Partitions of one topic by their owner; each gives its last one first.
struct Held {
    partitions: Vec<usize>,
    /// By member: what it still holds.
    ranges: Vec<Range<usize>>,
}

impl Held {
    fn new(owners: &[Option<usize>], members: usize) -> Held {
        let mut ranges = alloc::vec![0..0; members];
        for owner in owners.iter().flatten() {
            ranges[*owner].end += 1;
        }
        let mut begin = 0;
        for range in &mut ranges {
            let end = begin + range.end;
            *range = begin..begin;
            begin = end;
        }
        let mut partitions = alloc::vec![0; begin];
        for (partition, owner) in owners.iter().enumerate() {
            if let Some(owner) = owner {
                let range = &mut ranges[*owner];
                partitions[range.end] = partition;
                range.end += 1;
            }
        }
        Held { partitions, ranges }
    }

    fn pop(&mut self, member: usize) -> Option<usize> {
        let last = self.ranges[member].next_back()?;
        Some(self.partitions[last])
    }
}

/// Subscribers of a topic by what they have, taken from both ends: at the low end all that have
/// least get one each before any gets a second, at the high end all that have most give one each.
///
/// ```text
///            low          high
///   loads  [....->      ]##[##]##      the last ones hold nothing of this topic that they could give
///          [############]##[##]##
/// ```
struct Ends {
    /// By rising load, then by place.
    members: Vec<usize>,
    /// Those at the low end lie before this.
    low_end: usize,
    /// What each of them had before it was given its latest.
    low_load: i64,
    /// Who is given one next.
    next_low: usize,
    /// Those at the high end.
    high: Range<usize>,
    /// What each of them had before it gave its latest.
    high_load: i64,
    /// Who gives one next lies before this.
    next_high: usize,
}

impl Ends {
    /// Of members of which there is at least one.
    fn new(subscribers: &[usize], loads: &[i64]) -> Ends {
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (loads[*member], *member));
        let count = members.len();
        let load = |at: Option<&usize>| at.map_or(0, |member| loads[*member]);
        Ends {
            low_end: 0,
            low_load: load(members.first()) - 1,
            next_low: 0,
            high: count..count,
            high_load: load(members.last()) + 1,
            next_high: 0,
            members,
        }
    }

    /// How much more he who has most has than he who has least.
    fn gap(&self) -> i64 {
        // Both are beside the loads: nobody was taken yet.
        (self.high_load - 1) - (self.low_load + 1)
    }

    /// Who has least: he is taken to be given one.
    fn next_low(&mut self, loads: &[i64]) -> usize {
        if self.next_low >= self.low_end {
            self.low_load += 1;
            let joining = self.members[self.low_end..].iter();
            self.low_end += joining
                .take_while(|member| loads[**member] == self.low_load)
                .count();
            self.next_low = 0;
        }
        self.next_low += 1;
        self.members[self.next_low - 1]
    }

    /// Who has most: he is taken to give one. `None` if nobody is left who may have one to give.
    fn next_high(&mut self, loads: &[i64]) -> Option<usize> {
        if self.next_high <= self.high.start {
            self.high_load = match self.members[..self.high.start].last() {
                // All who had most have been left out: those with the next lower load follow.
                Some(below) if self.high.is_empty() => loads[*below],
                _ => self.high_load - 1,
            };
            let joining = self.members[..self.high.start].iter().rev();
            self.high.start -= joining
                .take_while(|member| loads[**member] == self.high_load)
                .count();
            self.next_high = self.high.end;
        }
        self.next_high = self.next_high.checked_sub(1)?;
        Some(self.members[self.next_high])
    }

    /// Leaves out who came last from [`next_high`](Self::next_high): he has nothing to give.
    fn leave_out_high(&mut self) {
        self.high.end -= 1;
        self.members.swap(self.next_high, self.high.end);
    }

    /// True once no move makes it more even.
    fn is_even(&self) -> bool {
        self.high_load - self.low_load <= 1
    }
}
