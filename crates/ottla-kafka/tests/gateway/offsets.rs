//! ListOffsets and OffsetForLeaderEpoch.

use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_testkit::wire_client::{EARLIEST, LATEST, WireClient};
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::support::{Server, batch};

fn asked(partition_index: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp,
        ..ListOffsetsPartition::default()
    }
}

/// Error code, offset, timestamp and epoch of each partition.
fn list(
    client: &mut WireClient,
    partitions: Vec<ListOffsetsPartition>,
    version: i16,
) -> Vec<(i16, i64, i64, i32)> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t",
            partitions,
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = client.call(&request, version).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(body.topics[0].name, "t");
    let partitions = body.topics[0].partitions.iter();
    partitions
        .map(|p| (p.error_code, p.offset, p.timestamp, p.leader_epoch))
        .collect()
}

fn epoch(client: &mut WireClient) -> i32 {
    client.metadata(Some(&["t"])).unwrap()[0].partitions[0].leader_epoch
}

/// Records at 1000, 3000 and 2000 ms, then one at 2500 ms in a batch of its own.
fn fill(client: &mut WireClient) {
    let mut builder = BatchBuilder::new(BatchSpec::default(), 1000);
    for timestamp_ms in [1000, 3000, 2000] {
        builder.push(None, Some(b"v"), &[], timestamp_ms);
    }
    assert_eq!(
        client
            .produce("t", 0, builder.build().bytes())
            .unwrap()
            .error_code,
        0
    );
    let mut builder = BatchBuilder::new(BatchSpec::default(), 2500);
    builder.push(None, Some(b"v"), &[], 2500);
    assert_eq!(
        client
            .produce("t", 0, builder.build().bytes())
            .unwrap()
            .error_code,
        0
    );
}

#[test]
fn ends_and_times_in_every_version() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    fill(&mut client);
    let leader_epoch = epoch(&mut client);
    for version in 1..=11 {
        let epoch = if version >= 4 { leader_epoch } else { -1 };
        let unsupported = (35, -1, -1, -1);
        let since = |min: i16, answer| if version >= min { answer } else { unsupported };
        for (timestamp, expected) in [
            (LATEST, (0, 4, -1, epoch)),
            (EARLIEST, (0, 0, -1, epoch)),
            (0, (0, 0, 1000, epoch)),
            (1001, (0, 1, 3000, epoch)),
            (3000, (0, 1, 3000, epoch)),
            (3001, (0, -1, -1, -1)),
            (-3, since(7, (0, 1, 3000, epoch))),
            (-4, since(8, (0, 0, -1, epoch))),
            (-5, since(9, (0, -1, -1, -1))),
            (-6, since(11, (0, -1, -1, -1))),
            (-7, unsupported),
        ] {
            assert_eq!(
                list(&mut client, vec![asked(0, timestamp)], version),
                [expected],
                "{timestamp} in {version}"
            );
        }
    }
}

#[test]
fn an_empty_partition_has_ends_and_no_records() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let epoch = epoch(&mut client);
    assert_eq!(
        list(&mut client, vec![asked(0, LATEST)], 7),
        [(0, 0, -1, epoch)]
    );
    assert_eq!(list(&mut client, vec![asked(0, 5)], 7), [(0, -1, -1, -1)]);
    assert_eq!(list(&mut client, vec![asked(0, -3)], 7), [(0, -1, -1, -1)]);
}

#[test]
fn what_is_wrong_is_said_per_partition() {
    let server = Server::start();
    let mut client = server.client_with("t", 2, &[]);
    fill(&mut client);
    let epoch = epoch(&mut client);
    let with_epoch = |current_leader_epoch| ListOffsetsPartition {
        current_leader_epoch,
        ..asked(0, LATEST)
    };
    let nothing = |code| (code, -1, -1, -1);
    let found = list(
        &mut client,
        vec![
            asked(9, LATEST),
            asked(-1, LATEST),
            asked(1, LATEST),
            asked(0, LATEST),
            asked(0, EARLIEST),
        ],
        6,
    );
    assert_eq!(
        found,
        [nothing(3), nothing(3), (0, 0, -1, epoch), nothing(42)]
    );
    assert_eq!(list(&mut client, vec![with_epoch(epoch)], 4)[0].0, 0);
    assert_eq!(
        list(&mut client, vec![with_epoch(epoch + 1)], 4),
        [nothing(75)]
    );
    assert_eq!(list(&mut client, vec![with_epoch(-2)], 4), [nothing(74)]);
    // Version 1 cannot carry an epoch, so none is checked.
    assert_eq!(list(&mut client, vec![with_epoch(epoch + 1)], 1)[0].0, 0);
}

#[test]
fn who_just_wrote_finds_its_own_record() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    for end in 1..50 {
        let written = client.send_produce("t", 0, &batch(&["v"]), 1).unwrap();
        assert_eq!(client.receive_produced(written).unwrap().error_code, 0);
        assert_eq!(client.list_offset("t", 0, LATEST).unwrap().offset, end);
    }
}

#[test]
fn ends_of_epochs() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    fill(&mut client);
    let current = epoch(&mut client);
    for version in 2..=4 {
        let mut end =
            |topic: &str, partition: i32, current_leader_epoch: i32, leader_epoch: i32| {
                let request = OffsetForLeaderEpochRequest {
                    topics: vec![OffsetForLeaderTopic {
                        topic,
                        partitions: vec![OffsetForLeaderPartition {
                            partition,
                            current_leader_epoch,
                            leader_epoch,
                        }],
                    }],
                    ..OffsetForLeaderEpochRequest::default()
                };
                let answer = client.call(&request, version).unwrap();
                let body = answer.body().unwrap();
                let found = &body.topics[0].partitions[0];
                assert_eq!((body.topics[0].topic, found.partition), (topic, partition));
                (found.error_code, found.leader_epoch, found.end_offset)
            };
        assert_eq!(end("t", 0, -1, current), (0, current, 4));
        assert_eq!(end("t", 0, current, current), (0, current, 4));
        assert_eq!(end("t", 0, -1, current + 1), (0, -1, -1));
        assert_eq!(end("t", 0, -1, -1), (0, -1, -1));
        assert_eq!(end("t", 0, current + 1, current), (75, -1, -1));
        assert_eq!(end("t", 0, -2, current), (74, -1, -1));
        assert_eq!(end("t", 1, -1, current), (3, -1, -1));
        assert_eq!(end("u", 0, -1, current), (3, -1, -1));
    }
}
