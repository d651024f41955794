//! What an assignor is asked, in numbers: topics and members by their place in a fixed order, so that
//! the same group gets the same answer everywhere and no step looks up a name.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::uuid::Uuid;

use super::{AssignorInput, AssignorMember, GroupAssignment, Partitions};
use crate::group::MemberId;

/// What is shared out, and among whom.
///
/// Whatever the input says, nothing is owned here that is not there, by nobody who does not subscribe to it,
/// and by nobody else at the same time.
pub(super) struct Problem<'a> {
    /// In Kafka's order of ids.
    pub(super) topics: Vec<Uuid>,
    /// In the order of their ids.
    pub(super) members: Vec<Member<'a>>,
    /// Who was to get what so far.
    pub(super) owners: Owners,
}

/// A member of a group.
pub(super) struct Member<'a> {
    pub(super) id: &'a MemberId,
    pub(super) said: &'a AssignorMember,
    /// Topics that it subscribes to, rising. Shared by members that subscribe alike.
    pub(super) subscribed: Arc<[usize]>,
    /// What it was to get so far: topics and their partitions, both rising; no topic without partitions.
    pub(super) owned: Vec<(usize, Vec<usize>)>,
}

/// The owner of every partition of every topic.
#[derive(Default)]
pub(super) struct Owners(Vec<Vec<Option<usize>>>);

impl<'a> Problem<'a> {
    pub(super) fn new(input: &'a AssignorInput) -> Problem<'a> {
        let mut topics: Vec<Uuid> = input.topics.keys().copied().collect();
        topics.sort_by_key(kafka_order);
        let counts = topics.iter().map(|id| input.topics[id].partitions);
        let mut owners = Owners(
            counts
                .map(|count| alloc::vec![None; usize::try_from(count).unwrap_or(0)])
                .collect(),
        );
        let place = |id: &Uuid| {
            topics
                .binary_search_by_key(&kafka_order(id), kafka_order)
                .ok()
        };
        let mut translated: BTreeMap<*const (), Arc<[usize]>> = BTreeMap::new();
        let mut members = Vec::with_capacity(input.members.len());
        for (at, (id, said)) in input.members.iter().enumerate() {
            let subscribed = translated
                .entry(Arc::as_ptr(&said.subscribed).cast())
                .or_insert_with(|| {
                    let mut subscribed: Vec<usize> =
                        said.subscribed.iter().filter_map(place).collect();
                    subscribed.sort_unstable();
                    subscribed.into()
                });
            let subscribed = Arc::clone(subscribed);
            let mut owned = Vec::with_capacity(said.target.len());
            for (topic, partitions) in said.target.iter() {
                let Some(topic) =
                    place(topic).filter(|topic| subscribed.binary_search(topic).is_ok())
                else {
                    continue;
                };
                let partitions = partitions.iter().filter_map(|p| usize::try_from(*p).ok());
                let partitions: Vec<usize> = partitions
                    .filter(|partition| owners.claim(topic, *partition, at))
                    .collect();
                if !partitions.is_empty() {
                    owned.push((topic, partitions));
                }
            }
            owned.sort_unstable_by_key(|(topic, _)| *topic);
            members.push(Member {
                id,
                said,
                subscribed,
                owned,
            });
        }
        Problem {
            topics,
            members,
            owners,
        }
    }

    /// True if all members subscribe to the same topics.
    pub(super) fn is_homogeneous(&self) -> bool {
        let mut pairs = self.members.windows(2);
        pairs.all(|pair| pair[0].subscribed == pair[1].subscribed)
    }

    /// What everybody gets.
    pub(super) fn shared_out(&self, owners: &Owners) -> GroupAssignment {
        let mut shares: Vec<Partitions> = alloc::vec![Partitions::new(); self.members.len()];
        for (topic, owners) in self.topics.iter().zip(&owners.0) {
            for (partition, owner) in (0..).zip(owners) {
                if let Some(share) = owner.and_then(|member| shares.get_mut(member)) {
                    share.entry(*topic).or_default().push(partition);
                }
            }
        }
        let ids = self.members.iter().map(|member| member.id.clone());
        ids.zip(shares)
            .filter(|(_, share)| !share.is_empty())
            .collect()
    }
}

impl Owners {
    /// Gives a partition to a member if it exists and nobody has it.
    fn claim(&mut self, topic: usize, partition: usize, member: usize) -> bool {
        match self.0[topic].get_mut(partition) {
            Some(owner @ None) => {
                *owner = Some(member);
                true
            }
            _ => false,
        }
    }

    /// Gives a partition to a member, whoever had it.
    pub(super) fn set(&mut self, topic: usize, partition: usize, member: usize) {
        self.0[topic][partition] = Some(member);
    }

    /// The owners of the partitions of a topic.
    pub(super) fn of(&self, topic: usize) -> &[Option<usize>] {
        &self.0[topic]
    }

    /// The partitions of a topic that nobody has, rising.
    pub(super) fn free(&self, topic: usize) -> impl Iterator<Item = usize> {
        let owners = self.0[topic].iter().enumerate();
        owners.filter_map(|(partition, owner)| owner.is_none().then_some(partition))
    }
}

/// `Uuid.compareTo`: two signed numbers.
fn kafka_order(id: &Uuid) -> (i64, i64) {
    let number = u128::from_be_bytes(id.0);
    ((number >> 64) as i64, number as i64)
}
