//! `uniform` where all members subscribe to the same topics (Kafka
//! `UniformHomogeneousAssignmentBuilder`): shares differ by one partition at most, and of the ways to
//! reach that it takes one that moves least.

use alloc::vec::Vec;

use super::GroupAssignment;
use super::problem::Problem;

pub(super) fn assign(mut problem: Problem<'_>) -> GroupAssignment {
    let mut owners = core::mem::take(&mut problem.owners);
    let count = problem.members.len();
    let Some(first) = problem.members.first() else {
        return GroupAssignment::new();
    };
    let mut free: Vec<(usize, usize)> = Vec::new();
    let mut total = 0;
    for &topic in first.subscribed.iter() {
        free.extend(owners.free(topic).map(|partition| (topic, partition)));
        total += owners.of(topic).len();
    }
    let floor = total / count;
    // So many members get one partition more.
    let mut extra = total % count;

    let mut rooms: Vec<(usize, usize)> = Vec::new();
    for (at, member) in problem.members.iter().enumerate() {
        let mut takes_extra = extra > 0;
        let mut room = floor + usize::from(takes_extra);
        for (topic, partitions) in &member.owned {
            let kept = partitions.len().min(room);
            room -= kept;
            free.extend(
                partitions[kept..]
                    .iter()
                    .map(|partition| (*topic, *partition)),
            );
        }
        // It need not be this member, unless all that are left have to: one that has more keeps it.
        if room > 0 && takes_extra && count - at > extra {
            room -= 1;
            takes_extra = false;
        }
        extra -= usize::from(takes_extra);
        if room > 0 {
            rooms.push((at, room));
        }
    }

    let mut free = free.into_iter();
    for (member, room) in rooms {
        for (topic, partition) in free.by_ref().take(room) {
            owners.set(topic, partition, member);
        }
    }
    problem.shared_out(&owners)
}
