//! The image: lookups, what a foreign log does to it, copies, and the bytes of records.

use super::*;

/// Replays records that this machine would not have written.
fn foreign(records: &[CatalogRecord]) -> Rig {
    let mut rig = Rig::new();
    rig.append(records.to_vec());
    rig
}

fn partition(index: i32, leader_epoch: i32) -> PartitionImage {
    PartitionImage {
        index: PartitionIndex(index),
        leader: NodeId(1),
        leader_epoch: ottla_model::ids::LeaderEpoch(leader_epoch),
        partition_epoch: 0,
        directory: Uuid::ZERO,
    }
}

const ID: Uuid = Uuid([7; 16]);

#[test]
fn partitions_may_come_in_any_order_and_with_gaps() {
    let records: Vec<CatalogRecord> = [CatalogRecord::Topic {
        name: name("a"),
        id: ID,
    }]
    .into_iter()
    .chain(
        [5, 0, i32::MAX, 1, 5].map(|index| CatalogRecord::Partition {
            topic_id: ID,
            partition: partition(index, index % 10),
        }),
    )
    .collect();
    let rig = foreign(&records);
    let topic = rig.machine.image().topic("a").unwrap();
    assert_eq!(topic.partitions.len(), 4);
    for index in [0, 1, 5, i32::MAX] {
        let found = topic.partition(PartitionIndex(index)).unwrap();
        assert_eq!(found.leader_epoch.0, index % 10);
    }
    for index in [-1, 2, 3, 4, 6, i32::MIN] {
        assert_eq!(topic.partition(PartitionIndex(index)), None);
    }
}

#[test]
fn records_without_their_topic_change_nothing() {
    let before = Rig::new().machine.image().clone();
    let rig = foreign(&[
        CatalogRecord::Partition {
            topic_id: ID,
            partition: partition(0, 0),
        },
        CatalogRecord::PartitionChange {
            topic_id: ID,
            partition: PartitionIndex(0),
            leader: Some(NodeId(1)),
        },
        CatalogRecord::RemoveTopic { id: ID },
        CatalogRecord::TopicConfig {
            topic: name("a"),
            name: "segment.ms".into(),
            value: Some("1".into()),
        },
    ]);
    assert_eq!(*rig.machine.image(), before);
    assert!(rig.machine.removed.is_empty());
}

#[test]
fn a_second_topic_of_a_name_takes_its_place() {
    let other = Uuid([8; 16]);
    let rig = foreign(&[
        CatalogRecord::Topic {
            name: name("a.b"),
            id: ID,
        },
        CatalogRecord::Topic {
            name: name("a.b"),
            id: other,
        },
    ]);
    let image = rig.machine.image();
    assert_eq!(image.topic_count(), 1);
    assert_eq!(image.topic("a.b").unwrap().id, other);
    assert!(image.topic_by_id(ID).is_none());
    assert_eq!(image.colliding(&name("a_b")), Some(&name("a.b")));
}

#[test]
fn only_a_named_leader_begins_an_epoch() {
    let change = |leader| CatalogRecord::PartitionChange {
        topic_id: ID,
        partition: PartitionIndex(0),
        leader,
    };
    let rig = foreign(&[
        CatalogRecord::Topic {
            name: name("a"),
            id: ID,
        },
        CatalogRecord::Partition {
            topic_id: ID,
            partition: partition(0, 4),
        },
        change(None),
        change(Some(NodeId(1))),
        change(None),
    ]);
    let partition = rig.machine.image().topic("a").unwrap().partitions[0];
    assert_eq!(
        (partition.leader_epoch.0, partition.partition_epoch),
        (5, 3)
    );
}

#[test]
fn configs_are_typed_and_go_back_to_the_default() {
    let set = |config: &str, value: Option<&str>| CatalogRecord::TopicConfig {
        topic: name("a"),
        name: config.to_string(),
        value: value.map(String::from),
    };
    let mut rig = foreign(&[
        CatalogRecord::Topic {
            name: name("a"),
            id: ID,
        },
        set("retention.ms", Some("100")),
        set("segment.bytes", Some("not a number")),
        set("from.the.future", Some("1")),
        set("max.message.bytes", Some("77")),
    ]);
    let topic = rig.machine.image().topic("a").unwrap();
    assert_eq!(topic.config.retention_ms, Some(100));
    assert_eq!(topic.config.message_bytes_max, 77);
    assert_eq!(
        topic.config.segment_bytes,
        1 << 30,
        "what does not parse is left out"
    );
    assert_eq!(topic.configs.len(), 4, "and shown");
    for config in [
        "retention.ms",
        "segment.bytes",
        "from.the.future",
        "max.message.bytes",
    ] {
        rig.append(alloc::vec![set(config, None)]);
    }
    let topic = rig.machine.image().topic("a").unwrap();
    assert!(Arc::ptr_eq(
        &topic.config,
        rig.machine.image().default_config()
    ));
}

#[test]
fn an_image_is_adopted_with_the_brokers_defaults() {
    let mut rig = Rig::new();
    rig.create(alloc::vec![
        topic("a"),
        with_configs(topic("b"), &[("segment.ms", Some("5"))]),
    ]);
    let cluster = Cluster {
        id: Arc::from("a-cluster"),
        node: NodeId(1),
    };
    let defaults = TopicConfig {
        message_bytes_max: 99,
        ..TopicConfig::default()
    };
    let image = rig.machine.image().adopt(cluster.clone(), defaults.clone());
    assert_eq!(image.cluster(), &cluster);
    assert_eq!(image.topic("a").unwrap().config.message_bytes_max, 99);
    let b = image.topic("b").unwrap();
    assert_eq!((b.config.message_bytes_max, b.config.segment_ms), (99, 5));
    assert_eq!(
        rig.machine
            .image()
            .topic("a")
            .unwrap()
            .config
            .message_bytes_max,
        (1 << 20) + 12
    );

    // Adopted first and fed the records after, it comes to the same.
    let mut fed = Image::default().adopt(cluster, defaults);
    for record in rig.log.iter().flatten() {
        fed.apply(record);
    }
    assert_eq!(fed, image);
}

#[test]
fn a_published_copy_does_not_change() {
    let mut rig = Rig::new();
    rig.create((0..500).map(|i| topic(&alloc::format!("t{i}"))).collect());
    let published = rig.machine.image().clone();
    let before = published.topic("t7").unwrap().clone();
    rig.command(Command::RaiseLeaderEpochs).unwrap();
    rig.delete(alloc::vec![by_name("t7")]);
    assert_eq!(published.topic_count(), 500);
    assert_eq!(*published.topic("t7").unwrap(), before);
    assert_eq!(rig.machine.image().topic_count(), 499);
}

#[test]
fn features_come_and_go() {
    let feature = |level| CatalogRecord::Feature {
        name: "group.version".into(),
        level,
    };
    let mut rig = foreign(&[feature(1)]);
    assert_eq!(rig.machine.image().features()["group.version"], 1);
    assert_eq!(rig.machine.image().metadata_version(), Some(30));
    rig.append(alloc::vec![feature(0)]);
    assert!(!rig.machine.image().features().contains_key("group.version"));
}

#[test]
fn records_are_krafts_bytes() {
    let record = CatalogRecord::Feature {
        name: METADATA_VERSION.into(),
        level: 30,
    };
    let mut value = Vec::new();
    record.encode(&mut Vec::new(), &mut value);
    // Frame 1, key 12, version 0; a compact string, an int16, no tagged fields.
    let mut bytes = alloc::vec![1, 12, 0, 17];
    bytes.extend(b"metadata.version");
    bytes.extend([0, 30, 0]);
    assert_eq!(value, bytes);
}

#[test]
fn bytes_that_are_no_record_are_refused_with_a_reason() {
    let refused = |value: Option<&[u8]>| CatalogRecord::decode(None, value).unwrap_err();
    assert!(refused(None).contains("without a value"));
    assert!(refused(Some(&[])).contains("not a metadata record"));
    // An access control entry: not read yet, and not to be skipped.
    assert!(refused(Some(&[1, 18, 0])).contains("not a metadata record"));
    let mut value = Vec::new();
    let topic = CatalogRecord::Topic {
        name: name("abc"),
        id: ID,
    };
    topic.encode(&mut Vec::new(), &mut value);
    for length in 0..value.len() {
        assert!(CatalogRecord::decode(None, Some(&value[..length])).is_err());
    }
    let at = value.windows(3).position(|bytes| bytes == b"abc").unwrap();
    value[at] = b'/';
    assert!(refused(Some(&value)).contains("topic name"));
}
