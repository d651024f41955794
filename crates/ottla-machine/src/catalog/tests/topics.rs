//! Creating and deleting topics, registration, producer ids, epochs.

use super::*;

#[test]
fn an_empty_catalog_becomes_one_of_this_node_in_one_batch() {
    let mut rig = Rig::empty();
    let answer = rig.command(Command::Bootstrap(node()));
    assert_eq!(
        answer,
        Ok(Answer::Bootstrapped {
            broker_epoch: 2,
            first_start: true
        })
    );
    assert_eq!(rig.log.len(), 1);
    let [
        CatalogRecord::Feature { name, level: 30 },
        CatalogRecord::Feature { .. },
        CatalogRecord::Broker(broker),
    ] = &rig.log[0][..]
    else {
        panic!("{:?}", rig.log);
    };
    assert_eq!(name, METADATA_VERSION);
    assert_eq!((broker.epoch, broker.fenced), (2, false));

    // Again: nothing to write. Reached elsewhere: registered anew, and only that.
    let answer = rig.command(Command::Bootstrap(node()));
    assert_eq!(
        answer,
        Ok(Answer::Bootstrapped {
            broker_epoch: 2,
            first_start: false
        })
    );
    assert_eq!(rig.log.len(), 1);
    let mut moved = node();
    moved.endpoints[0].port = 19092;
    let answer = rig.command(Command::Bootstrap(moved));
    assert_eq!(
        answer,
        Ok(Answer::Bootstrapped {
            broker_epoch: 3,
            first_start: false
        })
    );
    assert_eq!(rig.log[1].len(), 1);
    assert_eq!(
        rig.machine.image().broker(NodeId(1)).unwrap().endpoints[0].port,
        19092
    );
    assert_eq!(rig.machine.image().features().len(), 2);
}

#[test]
fn creates_the_good_topics_of_a_request_and_only_those() {
    let mut rig = Rig::new();
    let batches = rig.log.len();
    let results = rig.create(alloc::vec![
        with_configs(topic("a"), &[("retention.ms", Some("1h"))]),
        NewTopic {
            partitions: 3,
            replication_factor: 3,
            ..topic("b")
        },
        NewTopic {
            partitions: 0,
            ..topic("c")
        },
        with_configs(topic("d"), &[("cleanup.policy", Some("compact"))]),
    ]);
    assert!(
        matches!(results[0], Err(TopicRefusal::InvalidConfig(_))),
        "{results:?}"
    );
    assert!(
        matches!(results[2], Err(TopicRefusal::InvalidPartitions(0))),
        "{results:?}"
    );
    let b = results[1].as_ref().unwrap();
    let d = results[3].as_ref().unwrap();
    assert_eq!(
        *b,
        TopicCreated {
            name: name("b"),
            topic_id: b.topic_id,
            partitions: 3,
            replication_factor: 1,
            replication_factor_asked: 3,
            configs: Overrides::new(),
        }
    );
    assert_eq!(d.configs["cleanup.policy"], "compact");
    assert_ne!(b.topic_id, d.topic_id);

    // One batch per topic: the topic, its configs, its partitions.
    assert_eq!(rig.log.len() - batches, 2);
    assert_eq!(rig.log[batches].len(), 4);
    let [
        CatalogRecord::Topic { .. },
        CatalogRecord::TopicConfig { .. },
        CatalogRecord::Partition { partition, .. },
    ] = &rig.log[batches + 1][..]
    else {
        panic!("{:?}", rig.log);
    };
    assert_eq!(
        (
            partition.leader,
            partition.leader_epoch.0,
            partition.directory
        ),
        (NodeId(1), 0, Uuid([0xd1; 16]))
    );

    let image = rig.machine.image();
    assert_eq!(image.topic_count(), 2);
    assert_eq!(image.topic("b").unwrap().partitions.len(), 3);
    assert!(
        image
            .topic_by_id(d.topic_id)
            .unwrap()
            .config
            .cleanup
            .compact
    );
    let mut opened = rig.unfinished();
    opened.sort_by_key(|effect| match effect {
        Effect::OpenPartitions { topic_id, .. } => *topic_id,
        Effect::RemovePartitions { .. } => panic!("nothing was removed"),
    });
    assert_eq!(rig.effects, opened);
    let Effect::OpenPartitions {
        name: opened,
        partitions,
        ..
    } = &rig.effects[0]
    else {
        panic!("{:?}", rig.effects);
    };
    assert_eq!((opened, partitions.len()), (&name("b"), 3));
}

#[test]
fn judging_only_creates_nothing() {
    let mut rig = Rig::new();
    let batches = rig.log.len();
    let answer = rig.command(Command::CreateTopics(CreateTopics {
        node: NodeId(1),
        topics: alloc::vec![
            topic("a"),
            topic("a"),
            NewTopic {
                partitions: -2,
                ..topic("b")
            }
        ],
        defaults: TopicDefaults {
            partitions: 6,
            replication_factor: 3,
            ..defaults()
        },
        validate_only: true,
    }));
    let Ok(Answer::TopicsCreated(results)) = answer else {
        panic!("{answer:?}")
    };
    let a = results[0].as_ref().unwrap();
    assert_eq!(
        (
            a.partitions,
            a.replication_factor,
            a.replication_factor_asked
        ),
        (6, 1, 3)
    );
    assert!(!a.topic_id.is_zero());
    assert_eq!(results[1], Err(TopicRefusal::AlreadyExists(name("a"))));
    assert_eq!(results[2], Err(TopicRefusal::InvalidPartitions(-2)));
    assert_eq!(rig.log.len(), batches);
    assert_eq!(rig.effects, []);
}

#[test]
fn names_that_differ_in_dots_and_underscores_collide() {
    let mut rig = Rig::new();
    let results = rig.create(alloc::vec![topic("a.b_c"), topic("a_b.c"), topic("a-b-c")]);
    assert!(results[0].is_ok() && results[2].is_ok());
    let collides = |other: &str, with: &str| {
        Err(TopicRefusal::Collides {
            name: name(other),
            with: name(with),
        })
    };
    assert_eq!(results[1], collides("a_b.c", "a.b_c"), "within a request");
    let results = rig.create(alloc::vec![topic("a_b_c"), topic("a.b_c")]);
    assert_eq!(
        results[0],
        collides("a_b_c", "a.b_c"),
        "with one that exists"
    );
    assert_eq!(results[1], Err(TopicRefusal::AlreadyExists(name("a.b_c"))));

    rig.delete(alloc::vec![by_name("a.b_c")]);
    assert!(
        rig.create(alloc::vec![topic("a_b_c")])[0].is_ok(),
        "free again"
    );
}

#[test]
fn takes_an_assignment_to_this_node() {
    let mut rig = Rig::new();
    let results = rig.create(alloc::vec![with_assignments(
        topic("a"),
        &[(1, &[1]), (0, &[1])]
    )]);
    let a = results[0].as_ref().unwrap();
    assert_eq!((a.partitions, a.replication_factor_asked), (2, 1));
}

#[test]
fn deletes_by_name_and_by_id_once() {
    let mut rig = Rig::new();
    let created = rig.create(alloc::vec![topic("a"), topic("b"), topic("c")]);
    let id = |i: usize| created[i].as_ref().unwrap().topic_id;
    let results = rig.delete(alloc::vec![
        by_name("a"),
        TopicSelector::Id(id(0)),
        TopicSelector::Id(id(1)),
        by_name("x"),
    ]);
    assert_eq!(
        results[0],
        Ok(DeletedTopic {
            name: name("a"),
            topic_id: id(0)
        })
    );
    assert_eq!(results[1], Err(TopicRefusal::UnknownId(id(0))));
    assert_eq!(
        results[2],
        Ok(DeletedTopic {
            name: name("b"),
            topic_id: id(1)
        })
    );
    assert_eq!(results[3], Err(TopicRefusal::UnknownName("x".to_string())));
    let image = rig.machine.image();
    assert_eq!(image.topic_count(), 1);
    assert!(image.topic("a").is_none() && image.topic_by_id(id(0)).is_none());

    // Until their directories are gone, a restart would remove them again.
    let removal = |i: usize, topic| Effect::RemovePartitions {
        topic_id: id(i),
        name: name(topic),
        partitions: alloc::vec![PartitionIndex(0)],
    };
    assert_eq!(rig.effects, [removal(0, "a"), removal(1, "b")]);
    // First, because a topic created again under the same name needs the directory.
    assert_eq!(rig.unfinished()[..2], rig.effects);
    let answer = rig.command(Command::ForgetRemoved { topic_id: id(0) });
    assert_eq!(answer, Ok(Answer::RemovedForgotten));
    assert_eq!(rig.unfinished()[0], removal(1, "b"));
    assert_eq!(rig.unfinished().len(), 2);
    // That they are gone is not logged: after a restart it is looked at again.
    assert_eq!(rig.replayed().removed.len(), 2);
}

#[test]
fn a_topic_of_an_old_name_is_another_topic() {
    let mut rig = Rig::new();
    let first = rig.create(alloc::vec![with_configs(
        topic("a"),
        &[("segment.ms", Some("5"))]
    )]);
    rig.delete(alloc::vec![by_name("a")]);
    let second = rig.create(alloc::vec![NewTopic {
        partitions: 2,
        ..topic("a")
    }]);
    let (first, second) = (first[0].as_ref().unwrap(), second[0].as_ref().unwrap());
    assert_ne!(first.topic_id, second.topic_id);
    let image = rig.machine.image().topic("a").unwrap();
    assert_eq!((image.id, image.partitions.len()), (second.topic_id, 2));
    assert!(image.configs.is_empty(), "configs go with their topic");
}

#[test]
fn hands_out_every_producer_id_once() {
    let mut rig = Rig::new();
    for first in [0, 1000, 2000] {
        let answer = rig.command(Command::AllocateProducerIds { node: NodeId(1) });
        let block = ProducerIdBlock {
            first: ProducerId(first),
            count: 1000,
        };
        assert_eq!(answer, Ok(Answer::ProducerIds(block)));
        rig.machine = rig.replayed();
    }
    assert_eq!(rig.machine.image().next_producer_id(), ProducerId(3000));
    // A record of the past does not turn it back.
    rig.append(alloc::vec![CatalogRecord::ProducerIds {
        node: NodeId(1),
        broker_epoch: 0,
        next: ProducerId(1000),
    }]);
    assert_eq!(rig.machine.image().next_producer_id(), ProducerId(3000));
}

#[test]
fn raises_every_leader_epoch_in_batches_of_bounded_size() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.command(Command::RaiseLeaderEpochs),
        Ok(Answer::LeaderEpochsRaised { partitions: 0 })
    );
    rig.create(alloc::vec![
        NewTopic {
            partitions: 1500,
            ..topic("a")
        },
        topic("b")
    ]);
    let batches = rig.log.len();
    for epoch in 1..4 {
        assert_eq!(
            rig.command(Command::RaiseLeaderEpochs),
            Ok(Answer::LeaderEpochsRaised { partitions: 1501 })
        );
        for partition in rig
            .machine
            .image()
            .topics()
            .flat_map(|topic| &topic.partitions)
        {
            assert_eq!(partition.leader_epoch.0, epoch);
            assert_eq!(partition.partition_epoch, epoch);
            assert_eq!(partition.leader, NodeId(1));
        }
    }
    let sizes: Vec<usize> = rig.log[batches..].iter().map(Vec::len).collect();
    assert_eq!(sizes, [1000, 501, 1000, 501, 1000, 501]);
    for effect in rig.unfinished() {
        let Effect::OpenPartitions { partitions, .. } = effect else {
            panic!("{effect:?}")
        };
        assert!(partitions.iter().all(|p| p.leader_epoch.0 == 3));
    }
}
