//! Random commands: the live machine, the replayed one, the restored one and the published image agree
//! after every step; epochs only grow; no producer id comes twice.

use std::collections::BTreeMap;

use super::*;
use crate::testing::Random;

const NAMES: [&str; 8] = [
    "a",
    "b",
    "a.b",
    "a_b",
    "x-1",
    "x.1",
    "__consumer_offsets",
    "c",
];

fn command(random: &mut Random, rig: &Rig) -> Command {
    let some_topic = |random: &mut Random| {
        let new = NewTopic {
            partitions: random.one_of(&[-1, -1, 0, 1, 2, 5]),
            replication_factor: random.one_of(&[-1, -1, 0, 1, 3]),
            ..topic(random.one_of(&NAMES))
        };
        match random.below(4) {
            0 => with_configs(
                new,
                &[("segment.ms", Some("7")), ("retention.ms", Some("-1"))],
            ),
            1 => with_configs(new, &[("cleanup.policy", Some("nonsense"))]),
            _ => new,
        }
    };
    match random.below(10) {
        0 => Command::Bootstrap(RegisterNode {
            rack: random.one_of(&[None, Some("r")]).map(String::from),
            ..node()
        }),
        1..=4 => {
            let topics = (0..1 + random.below(3))
                .map(|_| some_topic(random))
                .collect();
            Command::CreateTopics(CreateTopics {
                node: NodeId(1),
                topics,
                defaults: defaults(),
                validate_only: random.below(5) == 0,
            })
        }
        5 | 6 => {
            let mut topics = alloc::vec![by_name(random.one_of(&NAMES))];
            topics.extend(
                rig.machine
                    .image()
                    .topics()
                    .nth(random.below(4) as usize)
                    .map(|t| TopicSelector::Id(t.id)),
            );
            Command::DeleteTopics(topics)
        }
        7 => Command::AllocateProducerIds { node: NodeId(1) },
        8 => Command::RaiseLeaderEpochs,
        _ => Command::ForgetRemoved {
            topic_id: rig
                .machine
                .removed
                .keys()
                .next()
                .copied()
                .unwrap_or_default(),
        },
    }
}

#[test]
fn live_replayed_restored_and_published_agree() {
    for seed in 1..=60u64 {
        std::println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut rig = Rig::new();
        let mut published = rig.replayed().image().clone();
        let mut epochs: BTreeMap<(Uuid, i32), (i32, i32)> = BTreeMap::new();
        let mut next_producer_id = 0;
        for _ in 0..40 {
            let (batches, before) = (rig.log.len(), published.clone());
            let command = command(&mut random, &rig);
            let answer = rig.command(command.clone()).unwrap();
            for record in rig.log[batches..].iter().flatten() {
                published.apply(record);
            }
            let live = rig.machine.image();
            assert_eq!(*live, published, "{command:?}");
            let replayed = rig.replayed();
            assert_eq!(*replayed.image(), published, "{command:?}");
            // What is volatile: which removals are done.
            assert!(
                rig.machine
                    .removed
                    .iter()
                    .all(|(id, effect)| replayed.removed[id] == *effect)
            );
            let restored = Catalog::restore(rig.machine.snapshot());
            assert_eq!(*restored.image(), published, "{command:?}");
            if rig.log.len() == batches {
                assert_eq!(published, before);
            }

            for topic in live.topics() {
                assert_eq!(live.topic(&topic.name).unwrap().id, topic.id);
                for partition in &topic.partitions {
                    let now = (partition.leader_epoch.0, partition.partition_epoch);
                    let old = epochs
                        .insert((topic.id, partition.index.0), now)
                        .unwrap_or(now);
                    assert!(now.0 >= old.0 && now.1 >= old.1, "{old:?} {now:?}");
                }
            }
            if let Answer::ProducerIds(block) = answer {
                assert!(block.first.0 >= next_producer_id);
                next_producer_id = block.first.0 + block.count;
            }
        }
    }
}
