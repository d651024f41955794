#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_machine::catalog::{NewTopic, TopicSelector};
use ottla_machine::contract::Wait;
use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_model::configs::BrokerSettings;
use ottla_model::ids::{NodeId, PartitionIndex, ProducerEpoch, ProducerId, Sequence};
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;

use crate::authorize::{Operation, Permit, Principal, ResourceKind};
use crate::{Broker, BrokerOptions, random_uuid};

async fn start(root: &Path) -> (Broker, Permit) {
    let options = StoreOptions::new(NodeId(1), Durability::Os, Arc::new(|| random_uuid().0));
    let (store, report) = LocalStore::open(Arc::new(LocalDisk), root, options).unwrap();
    let options = BrokerOptions {
        cluster_id: report.cluster_id.into(),
        node_id: NodeId(1),
        directory_id: report.directory_id.unwrap_or(Uuid([1; 16])),
        unclean: !report.clean,
        settings: BrokerSettings::default(),
    };
    let broker = Broker::start(store, options).await.unwrap();
    let permit = broker
        .gate()
        .permit(&Principal::Anonymous, Operation::Write, ResourceKind::Topic);
    (broker, permit.unwrap())
}

fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: TopicName::parse(name).unwrap(),
        partitions,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// Regression: what a partition's past wants expired waited for its first request after a start.
#[tokio::test]
async fn a_partition_with_known_producers_has_a_timer_from_its_start() {
    let root = tempfile::tempdir().unwrap();
    let (broker, permit) = start(root.path()).await;
    let created = broker
        .create_topics(&permit, vec![topic("t", 1)], false)
        .await;
    let id = created.unwrap()[0].as_ref().unwrap().topic_id;
    assert!(broker.driver().next_deadline().is_none());
    let spec = BatchSpec {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
        ..BatchSpec::default()
    };
    let mut batch = BatchBuilder::new(spec, broker.clock().now().wall.0);
    batch.push(None, Some(b"x"), &[], 0);
    let partition = broker.partition(id, PartitionIndex(0)).unwrap();
    let mut burst = broker.burst();
    let receipt = burst.append(&permit, &partition, batch.build(), Wait::Durable, false);
    burst.run();
    receipt.await.unwrap();
    broker.stop().unwrap();

    let (broker, _) = start(root.path()).await;
    assert!(broker.driver().next_deadline().is_some());
    broker.stop().unwrap();
}

#[tokio::test]
async fn groups_know_the_topics_that_there_are_and_hear_when_they_change() {
    let root = tempfile::tempdir().unwrap();
    let (broker, permit) = start(root.path()).await;
    let empty = broker.group_topics();
    assert!(empty.topic("t").is_none());
    let created = broker
        .create_topics(&permit, vec![topic("t", 3)], false)
        .await;
    let id = created.unwrap()[0].as_ref().unwrap().topic_id;
    let one = broker.group_topics();
    assert_eq!(
        one.topic("t").map(|facts| (facts.id, facts.partitions)),
        Some((id, 3))
    );
    assert_eq!(one.name(id).as_deref(), Some("t"));
    let mut names = Vec::new();
    one.each_name(&mut |name| names.push(name.to_owned()));
    assert_eq!(names, ["t"]);
    assert!(one.version() > empty.version());
    assert!(
        empty.topic("t").is_none(),
        "what was handed out stays as it is"
    );

    // A record of the catalog that is about no topic.
    broker.new_producer_id(&permit).await.unwrap();
    assert_eq!(broker.group_topics().version(), one.version());
    broker.stop().unwrap();

    let (broker, permit) = start(root.path()).await;
    let again = broker.group_topics();
    assert!(again.topic("t").is_some() && again.version() >= one.version());
    let selector = TopicSelector::Id(id);
    broker.delete_topics(&permit, vec![selector]).await.unwrap()[0]
        .as_ref()
        .unwrap();
    let gone = broker.group_topics();
    assert!(gone.topic("t").is_none() && gone.name(id).is_none());
    assert!(gone.version() > again.version());
    broker.stop().unwrap();
}
