//! Assignors: what must hold for any group, and Kafka's own answers.

mod kafka;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::eprintln;

use ottla_model::uuid::Uuid;

use super::{Assignor, AssignorInput, AssignorMember, AssignorTopic, GroupAssignment, Partitions};
use crate::group::{InstanceId, MemberId};
use crate::testing::Random;

const GROUPS: u64 = 400;

/// Calls with random groups; says which one it was if that panics.
fn each_group(is_homogeneous: bool, mut see: impl FnMut(AssignorInput, &mut Random)) {
    for seed in 1..=GROUPS {
        let mut random = Random::new(seed);
        let input = group(&mut random, is_homogeneous);
        let _told = SeedTold(seed);
        see(input, &mut random);
    }
}

struct SeedTold(u64);

impl Drop for SeedTold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

fn id(number: u64) -> Uuid {
    let high = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Uuid(bytes)
}

fn topic(number: u64, partitions: i32) -> (Uuid, AssignorTopic) {
    let name = Arc::from(format!("t{number}"));
    (id(number), AssignorTopic { name, partitions })
}

fn group(random: &mut Random, is_homogeneous: bool) -> AssignorInput {
    let count = random.below(12);
    let most = random.one_of(&[2, 12, 40]);
    let topics: BTreeMap<_, _> = (0..count)
        .map(|number| topic(number, random.below(most) as i32))
        .collect();
    let some = |random: &mut Random| -> Arc<BTreeSet<Uuid>> {
        let out_of = 1 + random.below(3);
        let ids = topics.keys().copied();
        Arc::new(ids.filter(|_| random.below(out_of) == 0).collect())
    };
    let alike = some(random);
    let mut members = BTreeMap::new();
    for number in 0..1 + random.below(20) {
        let name = format!("m{}", random.below(1_000));
        let instance = format!("i{number}");
        let member = AssignorMember {
            instance: (random.below(3) == 0).then(|| InstanceId::from(&*instance)),
            subscribed: if is_homogeneous {
                Arc::clone(&alike)
            } else {
                some(random)
            },
            target: Arc::default(),
        };
        members.insert(MemberId::from(&*name), member);
    }
    AssignorInput {
        members,
        topics,
        homogeneous: is_homogeneous,
    }
}

/// Deals partitions to members: as a log of ours has it, or, with nonsense, as no log should.
fn scatter(input: &mut AssignorInput, random: &mut Random, is_nonsense: bool) {
    let count = input.members.len() as u64;
    let few = 1 + random.below(count);
    let mut targets: Vec<BTreeMap<Uuid, BTreeSet<i32>>> =
        alloc::vec![BTreeMap::new(); count as usize];
    for (id, topic) in &input.topics {
        for partition in 0..topic.partitions {
            if random.below(4) > 0 {
                let target = &mut targets[random.below(few) as usize];
                target.entry(*id).or_default().insert(partition);
            }
        }
    }
    if is_nonsense {
        for target in &mut targets {
            target.entry(id(900)).or_default().insert(0);
            for id in input.topics.keys() {
                let wild = [-1, 0, 1, i32::MAX, i32::MIN];
                target.entry(*id).or_default().insert(random.one_of(&wild));
            }
        }
    }
    for (member, target) in input.members.values_mut().zip(targets) {
        let target = target
            .into_iter()
            .map(|(id, set)| (id, set.into_iter().collect()));
        member.target = Arc::new(target.collect());
    }
}

fn adopt(input: &mut AssignorInput, assignment: &GroupAssignment) {
    for (id, member) in &mut input.members {
        member.target = Arc::new(assignment.get(id).cloned().unwrap_or_default());
    }
}

/// Every partition of a topic that somebody subscribes to has one owner, who subscribes to it.
fn check_complete(input: &AssignorInput, assignment: &GroupAssignment) {
    let mut owned = BTreeSet::new();
    for (member, partitions) in assignment {
        let subscribed = &input.members[member].subscribed;
        assert!(!partitions.is_empty(), "{member} is there for nothing");
        for (topic, partitions) in partitions {
            assert!(
                subscribed.contains(topic),
                "{member} got a topic that it did not subscribe to"
            );
            assert!(!partitions.is_empty() && partitions.is_sorted());
            for partition in partitions {
                assert!(
                    owned.insert((*topic, *partition)),
                    "{partition} has two owners"
                );
            }
        }
    }
    let subscribed: BTreeSet<Uuid> = input
        .members
        .values()
        .flat_map(|m| &*m.subscribed)
        .copied()
        .collect();
    let all = subscribed
        .iter()
        .flat_map(|id| (0..input.topics[id].partitions).map(|p| (*id, p)));
    assert_eq!(
        owned,
        all.collect(),
        "every partition has an owner, and no other has"
    );
}

fn size(partitions: &Partitions) -> usize {
    partitions.values().map(Vec::len).sum()
}

fn load(assignment: &GroupAssignment, member: &MemberId) -> usize {
    assignment.get(member).map_or(0, size)
}

/// Partitions that stay where they were.
fn kept(input: &AssignorInput, assignment: &GroupAssignment) -> usize {
    let of_member = |(id, partitions): (&MemberId, &Partitions)| {
        let target = &input.members[id].target;
        let stays = |topic: &Uuid, p: &i32| target.get(topic).is_some_and(|had| had.contains(p));
        partitions
            .iter()
            .map(|(topic, all)| all.iter().filter(|p| stays(topic, p)).count())
            .sum::<usize>()
    };
    assignment.iter().map(of_member).sum()
}

#[test]
fn whatever_was_assigned_before_every_partition_gets_one_subscriber() {
    for is_homogeneous in [true, false] {
        each_group(is_homogeneous, |mut input, random| {
            for assignor in Assignor::ALL {
                check_complete(&input, &assignor.assign(&input));
                scatter(&mut input, random, false);
                check_complete(&input, &assignor.assign(&input));
                scatter(&mut input, random, true);
                check_complete(&input, &assignor.assign(&input));
            }
        });
    }
}

#[test]
fn a_group_that_claims_to_be_homogeneous_and_is_not_is_assigned_as_what_it_is() {
    each_group(false, |mut input, _| {
        input.homogeneous = true;
        check_complete(&input, &Assignor::Uniform.assign(&input));
    });
}

#[test]
fn uniform_shares_of_equal_subscribers_differ_by_one_at_most_and_move_least() {
    each_group(true, |mut input, random| {
        scatter(&mut input, random, false);
        let after = Assignor::Uniform.assign(&input);
        let loads: Vec<usize> = input.members.keys().map(|id| load(&after, id)).collect();
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        assert!(most - least <= 1, "{loads:?}");

        // What each had of what counts; the best is to keep that up to its share.
        let total: usize = loads.iter().sum();
        let (floor, extra) = (total / loads.len(), total % loads.len());
        let had = input.members.values().map(|member| {
            let counts = member
                .target
                .iter()
                .filter(|(id, _)| member.subscribed.contains(*id));
            counts
                .map(|(_, partitions)| partitions.len())
                .sum::<usize>()
        });
        let had: Vec<usize> = had.collect();
        let above = had.iter().filter(|had| **had > floor).count();
        let best = had.iter().map(|had| *had.min(&floor)).sum::<usize>() + above.min(extra);
        assert_eq!(kept(&input, &after), best);
    });
}

#[test]
fn uniform_leaves_no_move_that_would_make_it_more_even() {
    each_group(false, |mut input, random| {
        scatter(&mut input, random, false);
        let after = Assignor::Uniform.assign(&input);
        for (giver, partitions) in &after {
            for topic in partitions.keys() {
                let takers = input
                    .members
                    .iter()
                    .filter(|(_, m)| m.subscribed.contains(topic));
                for (taker, _) in takers {
                    let (from, to) = (load(&after, giver), load(&after, taker));
                    assert!(from <= to + 1, "{giver} has {from}, {taker} has {to}");
                }
            }
        }
    });
}

#[test]
fn an_assignment_that_is_as_it_should_be_stays() {
    for is_homogeneous in [true, false] {
        each_group(is_homogeneous, |mut input, random| {
            for assignor in Assignor::ALL {
                scatter(&mut input, random, false);
                let once = assignor.assign(&input);
                adopt(&mut input, &once);
                assert_eq!(assignor.assign(&input), once);
            }
        });
    }
}

#[test]
fn when_a_member_leaves_uniform_moves_nothing_but_what_it_had() {
    each_group(true, |mut input, _| {
        let before = Assignor::Uniform.assign(&input);
        adopt(&mut input, &before);
        let Some(gone) = input.members.keys().nth(input.members.len() / 2).cloned() else {
            return;
        };
        input.members.remove(&gone);
        let after = Assignor::Uniform.assign(&input);
        for id in input.members.keys() {
            for (topic, partitions) in before.get(id).into_iter().flatten() {
                let now = after.get(id).and_then(|now| now.get(topic));
                assert!(
                    partitions
                        .iter()
                        .all(|p| now.is_some_and(|now| now.contains(p)))
                );
            }
        }
    });
}

#[test]
fn range_gives_partitions_side_by_side_and_the_same_of_topics_alike() {
    for is_homogeneous in [true, false] {
        each_group(is_homogeneous, |mut input, random| {
            scatter(&mut input, random, false);
            let after = Assignor::Range.assign(&input);
            let subscribers = |id: &Uuid| -> Vec<&MemberId> {
                let members = input
                    .members
                    .iter()
                    .filter(|(_, m)| m.subscribed.contains(id));
                members.map(|(member, _)| member).collect()
            };
            for partitions in after.values() {
                for (topic, range) in partitions {
                    assert_eq!(range.len() as i32, range[range.len() - 1] - range[0] + 1);
                    for (other, facts) in &input.topics {
                        let is_alike = facts.partitions == input.topics[topic].partitions
                            && subscribers(other) == subscribers(topic);
                        assert!(!is_alike || partitions.get(other) == Some(range));
                    }
                }
            }
            for (id, topic) in &input.topics {
                let share = |member: &&MemberId| {
                    after
                        .get(*member)
                        .and_then(|all| all.get(id))
                        .map_or(0, Vec::len)
                };
                let shares: Vec<usize> = subscribers(id).iter().map(share).collect();
                let floor = topic.partitions as usize / shares.len().max(1);
                assert!(
                    shares
                        .iter()
                        .all(|share| (floor..=floor + 1).contains(share))
                );
            }
        });
    }
}

#[test]
fn a_static_member_that_comes_back_under_another_id_finds_its_range() {
    each_group(true, |mut input, random| {
        let names: BTreeMap<MemberId, MemberId> = input
            .members
            .iter()
            .map(|(id, member)| match member.instance {
                Some(_) => (
                    id.clone(),
                    MemberId::from(&*format!("{}-{id}", random.below(10))),
                ),
                None => (id.clone(), id.clone()),
            })
            .collect();
        let before = Assignor::Range.assign(&input);
        let members = core::mem::take(&mut input.members);
        input.members = members
            .into_iter()
            .map(|(id, member)| (names[&id].clone(), member))
            .collect();
        let after = Assignor::Range.assign(&input);
        let renamed = before
            .into_iter()
            .map(|(id, partitions)| (names[&id].clone(), partitions));
        assert_eq!(after, renamed.collect());
    });
}

#[test]
fn nobody_and_nothing_are_assigned_nothing() {
    for assignor in Assignor::ALL {
        for homogeneous in [true, false] {
            let mut input = AssignorInput {
                members: BTreeMap::new(),
                topics: [topic(1, 3), topic(2, 0)].into(),
                homogeneous,
            };
            assert_eq!(
                assignor.assign(&input),
                GroupAssignment::new(),
                "no members"
            );
            let member = AssignorMember {
                instance: None,
                subscribed: Arc::default(),
                target: Arc::default(),
            };
            input.members.insert(MemberId::from("m"), member.clone());
            assert_eq!(
                assignor.assign(&input),
                GroupAssignment::new(),
                "no subscription"
            );
            let subscribed = Arc::new([id(2)].into());
            input.members.insert(
                MemberId::from("m"),
                AssignorMember {
                    subscribed,
                    ..member
                },
            );
            assert_eq!(
                assignor.assign(&input),
                GroupAssignment::new(),
                "no partitions"
            );
        }
    }
}
