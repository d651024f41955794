//! Metadata records in bytes written out by hand.

use super::consumer_group::ConsumerGroupMemberMetadataValue;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::metadata::*;
use super::{MetadataRecord, log};
use crate::primitives::{DecodeErrorKind as Kind, EncodeError, Reader};
use crate::uuid::Uuid;

fn framed(record: &MetadataRecord<'_>, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode_framed(&mut bytes, version).unwrap();
    assert_eq!(
        MetadataRecord::decode_framed(&bytes),
        Ok((record.clone(), version))
    );
    bytes
}

#[test]
fn frames_of_metadata_records() {
    let topic_id = Uuid([7; 16]);
    let topic = TopicRecord {
        name: String::from("foo").into(),
        topic_id,
    };
    let golden = [&[1, 2, 0][..], &[4, b'f', b'o', b'o'], &[7; 16], &[0]].concat();
    assert_eq!(framed(&MetadataRecord::Topic(topic), 0), golden);

    let level = FeatureLevelRecord {
        name: "metadata.version".into(),
        feature_level: 25,
    };
    let golden = [&[1, 12, 0][..], &[17], b"metadata.version", &[0, 25, 0]].concat();
    assert_eq!(framed(&MetadataRecord::FeatureLevel(level), 0), golden);

    let no_op = MetadataRecord::NoOp(NoOpRecord {});
    assert_eq!(framed(&no_op, 0), [1, 20, 0, 0]);
}

#[test]
fn unchanged_fields_of_a_partition_take_no_bytes() {
    let change = PartitionChangeRecord {
        partition_id: 1,
        topic_id: Uuid([9; 16]),
        leader: 5,
        isr: Some(vec![5]),
        directories: Some(vec![Uuid([3; 16])]),
        ..Default::default()
    };
    assert_eq!(
        (change.leader_recovery_state, &change.replicas),
        (-1, &None)
    );
    let golden = [
        &[1, 5, 1][..],
        &[0, 0, 0, 1],
        &[9; 16],
        &[3],                   // three tagged fields, in order of their tags
        &[0, 5, 2, 0, 0, 0, 5], // 0: in-sync replicas
        &[1, 4, 0, 0, 0, 5],    // 1: leader
        &[8, 17, 2],            // 8: directories
        &[3; 16],
    ]
    .concat();
    assert_eq!(
        framed(&MetadataRecord::PartitionChange(change.clone()), 1),
        golden
    );

    let mut older = Vec::new();
    let refused = MetadataRecord::PartitionChange(change).encode_framed(&mut older, 0);
    if cfg!(debug_assertions) {
        assert_eq!(
            refused,
            Err(EncodeError::NotInVersion(
                "PartitionChangeRecord.directories",
                0
            ))
        );
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let kind = |bytes: &[u8]| MetadataRecord::decode_framed(bytes).unwrap_err().kind;
    assert_eq!(kind(&[0, 20, 0, 0]), Kind::UnknownFrameVersion(0));
    assert_eq!(kind(&[2, 20, 0, 0]), Kind::UnknownFrameVersion(2));
    assert_eq!(kind(&[1, 99, 0, 0]), Kind::UnknownKey(99));
    assert_eq!(kind(&[1, 0x80, 0x80, 4, 0, 0]), Kind::UnknownKey(65536));
    assert_eq!(kind(&[1, 20, 1, 0]), Kind::UnsupportedVersion(1));
    assert_eq!(kind(&[1, 20, 0, 0, 0]), Kind::TrailingBytes);
    assert_eq!(kind(&[1, 20]), Kind::Truncated);
    assert_eq!(kind(&[]), Kind::Truncated);
    assert_eq!(
        MetadataRecord::NoOp(NoOpRecord {}).encode_framed(&mut Vec::new(), 1),
        Err(EncodeError::UnsupportedVersion("NoOpRecord", 1))
    );
}

#[test]
fn defaults_are_those_of_the_schema() {
    let broker = RegisterBrokerRecord::default();
    assert!(
        broker.fenced && broker.cordoned_log_dirs.is_none() && broker.rack.as_deref() == Some("")
    );
    let partition = PartitionRecord::default();
    assert_eq!(
        (
            partition.leader,
            partition.leader_epoch,
            partition.leader_recovery_state
        ),
        (-1, -1, 0)
    );
}

#[test]
fn the_snapshot_of_producers_has_its_crc_behind_the_version() {
    let snapshot = log::ProducerSnapshot {
        crc: 0xdead_beef,
        producer_entries: vec![],
    };
    let mut bytes = Vec::new();
    snapshot.encode_versioned(&mut bytes, 1).unwrap();
    assert_eq!(bytes, [0, 1, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0]);
    assert_eq!(
        log::ProducerSnapshot::decode_versioned(&mut Reader::new(&bytes)),
        Ok((snapshot, 1))
    );
}

#[test]
fn a_member_that_is_not_classic_says_so_in_bytes() {
    // Kafka's default of this field is an empty struct, not null: a reader that finds no tag 0 would take
    // the member for one that speaks the classic protocol.
    let member = ConsumerGroupMemberMetadataValue {
        instance_id: None,
        rack_id: None,
        client_id: "c".into(),
        client_host: "h".into(),
        subscribed_topic_regex: None,
        rebalance_timeout_ms: 5,
        server_assignor: None,
        classic_member_metadata: None,
        ..Default::default()
    };
    let mut w = Vec::new();
    member.encode_versioned(&mut w, 0).unwrap();
    let bytes = [
        &[0, 0][..],                     // version
        &[0, 0, 2, b'c', 2, b'h', 1, 0], // ids, client, no topics, no regex
        &[0, 0, 0, 5, 0],                // timeout, no assignor
        &[1, 0, 1, 0],                   // one tagged field: tag 0, one byte, null
    ];
    assert_eq!(w, bytes.concat());
    let read = ConsumerGroupMemberMetadataValue::decode_versioned(&mut Reader::new(&w));
    assert_eq!(read, Ok((member, 0)));
}
