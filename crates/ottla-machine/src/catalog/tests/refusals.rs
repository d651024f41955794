//! Every refusal is reached, leaves nothing, and says what is wrong.

use super::*;
use crate::catalog::command::InvalidAssignment;

#[test]
fn every_refusal_of_a_request_is_reached() {
    let mut rig = Rig::new();
    rig.append(alloc::vec![CatalogRecord::ProducerIds {
        node: NodeId(1),
        broker_epoch: 0,
        next: ProducerId(i64::MAX - 999),
    }]);
    let batches = rig.log.len();
    let many = |partitions| NewTopic {
        partitions,
        ..topic("a")
    };
    let assigned: Vec<(i32, &[i32])> = (0..10_001).map(|i| (i, &[1][..])).collect();
    let of_node_2 = CreateTopics {
        node: NodeId(2),
        topics: alloc::vec![topic("a")],
        defaults: defaults(),
        validate_only: false,
    };
    let refusals = [
        rig.command(Command::CreateTopics(of_node_2)).unwrap_err(),
        rig.command(create(alloc::vec![many(10_000), topic("b")]))
            .unwrap_err(),
        rig.command(Command::AllocateProducerIds { node: NodeId(1) })
            .unwrap_err(),
        rig.command(Command::AllocateProducerIds { node: NodeId(2) })
            .unwrap_err(),
        rig.command(create(alloc::vec![many(i32::MAX), many(i32::MAX)]))
            .unwrap_err(),
        rig.command(create(alloc::vec![with_assignments(topic("a"), &assigned)]))
            .unwrap_err(),
    ];
    // Exhaustive: a new refusal does not compile until it has a place here.
    let place = |refusal: &Refusal| match refusal {
        Refusal::NotRegistered(_) => 0,
        Refusal::TooManyPartitions => 1,
        Refusal::ProducerIdsExhausted => 2,
    };
    let places: Vec<usize> = refusals.iter().map(place).collect();
    assert_eq!(places, [0, 1, 2, 0, 1, 1]);
    assert!(
        refusals
            .iter()
            .all(|refusal| !refusal.to_string().is_empty())
    );
    assert_eq!(rig.log.len(), batches, "a refusal leaves nothing");
}

#[test]
fn every_refusal_of_a_topic_is_reached() {
    let mut rig = Rig::new();
    assert!(rig.create(alloc::vec![topic("a.a")])[0].is_ok());
    let batches = rig.log.len();
    let assigned = |assignments| with_assignments(topic("b"), assignments);
    let mut refusals = Vec::new();
    for topic in [
        topic("a.a"),
        topic("a_a"),
        topic(CLUSTER_METADATA_TOPIC),
        NewTopic {
            partitions: 0,
            ..topic("b")
        },
        NewTopic {
            replication_factor: 0,
            ..topic("b")
        },
        NewTopic {
            partitions: 1,
            ..assigned(&[(0, &[1])])
        },
        with_configs(topic("b"), &[("max.message.bytes", Some("-1"))]),
        NewTopic {
            partitions: -2,
            ..topic("b")
        },
        NewTopic {
            replication_factor: -2,
            ..topic("b")
        },
        NewTopic {
            replication_factor: 1,
            ..assigned(&[(0, &[1])])
        },
        with_configs(
            topic("b"),
            &[("segment.ms", Some("1")), ("retention.ms", None)],
        ),
        with_configs(topic("b"), &[("no.such.config", Some("1"))]),
        // A bad config is said before a bad number, as in Kafka.
        NewTopic {
            partitions: 0,
            ..with_configs(topic("b"), &[("preallocate", Some("1"))])
        },
        assigned(&[(0, &[1]), (0, &[1])]),
        assigned(&[(0, &[])]),
        assigned(&[(0, &[1, 2])]),
        assigned(&[(0, &[1, 1])]),
        assigned(&[(0, &[1]), (2, &[1])]),
        assigned(&[(1, &[1])]),
        assigned(&[(-1, &[1]), (0, &[1])]),
    ] {
        let mut results = rig.create(alloc::vec![topic]);
        refusals.push(results.remove(0).unwrap_err());
    }
    let unknown = rig.delete(alloc::vec![by_name("x"), TopicSelector::Id(Uuid([9; 16]))]);
    refusals.extend(unknown.into_iter().map(Result::unwrap_err));

    // Two replicas need a second broker.
    let mut second = node();
    second.node = NodeId(2);
    rig.command(Command::Bootstrap(second)).unwrap();
    let mut results = rig.create(alloc::vec![assigned(&[(0, &[1, 2]), (1, &[2])])]);
    refusals.push(results.remove(0).unwrap_err());

    let place = |refusal: &TopicRefusal| match refusal {
        TopicRefusal::AlreadyExists(_) => "exists",
        TopicRefusal::Collides { .. } => "collides",
        TopicRefusal::Prohibited => "prohibited",
        TopicRefusal::InvalidPartitions(_) => "partitions",
        TopicRefusal::InvalidReplicationFactor(_) => "factor",
        TopicRefusal::AssignmentsAndCounts => "counts",
        TopicRefusal::InvalidConfig(_) => "config",
        TopicRefusal::InvalidAssignment(InvalidAssignment::Repeated(_)) => "repeated",
        TopicRefusal::InvalidAssignment(InvalidAssignment::NoReplicas(_)) => "none",
        TopicRefusal::InvalidAssignment(InvalidAssignment::UnknownBroker(_)) => "unknown broker",
        TopicRefusal::InvalidAssignment(InvalidAssignment::RepeatedBroker(_)) => "repeated broker",
        TopicRefusal::InvalidAssignment(InvalidAssignment::Gap) => "gap",
        TopicRefusal::InvalidAssignment(InvalidAssignment::Uneven { .. }) => "uneven",
        TopicRefusal::UnknownName(_) => "unknown name",
        TopicRefusal::UnknownId(_) => "unknown id",
    };
    let places: Vec<&str> = refusals.iter().map(place).collect();
    assert_eq!(
        places,
        [
            "exists",
            "collides",
            "prohibited",
            "partitions",
            "factor",
            "counts",
            "config",
            "partitions",
            "factor",
            "counts",
            "config",
            "config",
            "config",
            "repeated",
            "none",
            "unknown broker",
            "repeated broker",
            "gap",
            "gap",
            "gap",
            "unknown name",
            "unknown id",
            "uneven",
        ]
    );
    assert!(
        refusals
            .iter()
            .all(|refusal| !refusal.to_string().is_empty())
    );
    assert_eq!(
        rig.log.len(),
        batches + 1,
        "a refusal leaves nothing; the second broker is one"
    );
}
