//! Fetch: limits, long polls, what is refused, and where the bytes come from.

use std::path::Path;
use std::sync::Arc;

use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::ids::NodeId;
use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::Records;
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};

use crate::support::{NODE, Server, batch, values};

const PLENTY: i32 = 1 << 20;

fn partition(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: PLENTY,
        ..FetchPartition::default()
    }
}

fn request<'a>(topic: &'a str, partitions: Vec<FetchPartition>) -> FetchRequest<'a> {
    FetchRequest {
        min_bytes: 1,
        max_bytes: PLENTY,
        topics: vec![FetchTopic {
            topic,
            partitions,
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// Error code, high watermark and values of each partition.
type Found = Vec<(i16, i64, Vec<String>)>;

fn found(partitions: &[PartitionData<'_>]) -> Found {
    let of = |data: &PartitionData<'_>| {
        let records = data
            .records
            .as_ref()
            .and_then(Records::as_slice)
            .expect("never null");
        let values = values(records)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        (data.error_code, data.high_watermark, values)
    };
    partitions.iter().map(of).collect()
}

fn call(client: &mut WireClient, request: &FetchRequest<'_>, version: i16) -> Found {
    let answer = client.call(request, version).unwrap();
    let body = answer.body().unwrap();
    assert_eq!((body.error_code, body.session_id), (0, 0));
    body.responses
        .iter()
        .flat_map(|topic| found(&topic.partitions))
        .collect()
}

fn fill(client: &mut WireClient, topic: &str, partition: i32, values: &[&str]) {
    for value in values {
        assert_eq!(
            client
                .produce(topic, partition, &batch(&[value]))
                .unwrap()
                .error_code,
            0
        );
    }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn every_version_reads() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.create_topic("t", 1, &[]).unwrap().id;
    fill(&mut client, "t", 0, &["a", "b"]);
    for version in 4..=18 {
        for isolation_level in [0, 1] {
            let mut request = request("t", vec![partition(0, 1)]);
            request.isolation_level = isolation_level;
            if version >= 13 {
                request.topics[0].topic = "";
                request.topics[0].topic_id = id;
            }
            let answer = client.call(&request, version).unwrap();
            let body = answer.body().unwrap();
            let topic = &body.responses[0];
            assert_eq!(topic.topic, if version >= 13 { "" } else { "t" });
            assert_eq!(topic.topic_id, if version >= 13 { id } else { Uuid::ZERO });
            assert_eq!(
                found(&topic.partitions),
                [(0, 2, strings(&["b"]))],
                "version {version}"
            );
            let data = &topic.partitions[0];
            assert_eq!(data.last_stable_offset, 2);
            assert_eq!(
                data.aborted_transactions,
                (isolation_level == 1).then(Vec::new)
            );
            if version >= 5 {
                assert_eq!(data.log_start_offset, 0);
            }
            if version >= 11 {
                assert_eq!(data.preferred_read_replica, -1);
            }
        }
    }
}

#[test]
fn a_fetch_waits_for_records_of_someone_else() {
    let server = Server::start();
    let mut client = server.client_with("t", 2, &[]);
    let mut other = server.client();
    for round in 0..20 {
        let mut waiting = request("t", vec![partition(0, round), partition(1, round)]);
        waiting.max_wait_ms = i32::MAX;
        let pending = client.send(&waiting, 12).unwrap();
        let on = (round % 2) as i32;
        fill(&mut other, "t", on, &["woken"]);
        let answer = client.receive(pending).unwrap();
        let body = answer.body().unwrap();
        let read = found(&body.responses[0].partitions);
        assert_eq!(read[on as usize].2, strings(&["woken"]), "round {round}");
        assert!(read[1 - on as usize].2.is_empty());
        fill(&mut other, "t", 1 - on, &["level"]);
    }
}

#[test]
fn a_fetch_collects_until_it_has_enough() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let mut other = server.client();
    let one = batch(&["v"]).len() as i32;
    let mut waiting = request("t", vec![partition(0, 0)]);
    waiting.max_wait_ms = i32::MAX;
    waiting.min_bytes = 3 * one;
    let pending = client.send(&waiting, 12).unwrap();
    fill(&mut other, "t", 0, &["v", "v", "v"]);
    let answer = client.receive(pending).unwrap();
    assert_eq!(
        found(&answer.body().unwrap().responses[0].partitions),
        [(0, 3, strings(&["v", "v", "v"]))]
    );
}

#[test]
fn a_wait_without_records_ends_with_none() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    for (wait_ms, min_bytes) in [(0, 1), (-1, 1), (5, 1), (i32::MAX, 0)] {
        let mut request = request("t", vec![partition(0, 0)]);
        (request.max_wait_ms, request.min_bytes) = (wait_ms, min_bytes);
        assert_eq!(call(&mut client, &request, 11), [(0, 0, vec![])]);
    }
    // No partitions at all: nothing to wait for.
    let mut request = request("t", vec![]);
    request.max_wait_ms = i32::MAX;
    assert_eq!(call(&mut client, &request, 11), []);
}

#[test]
fn limits_hold_but_for_the_first_batch() {
    let server = Server::start();
    let mut client = server.client_with("t", 2, &[]);
    let value = "x".repeat(1000);
    fill(&mut client, "t", 0, &[&value, &value, &value]);
    fill(&mut client, "t", 1, &[&value, &value, &value]);
    let one = batch(&[&value]).len() as i32;
    let mut counts = |max_bytes: i32, partition_max_bytes: i32| {
        let mut request = request("t", vec![partition(1, 0), partition(0, 0)]);
        request.max_bytes = max_bytes;
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = partition_max_bytes;
        }
        let read = call(&mut client, &request, 12);
        assert!(read.iter().all(|(code, ..)| *code == 0));
        (read[0].2.len(), read[1].2.len())
    };
    assert_eq!(counts(PLENTY, PLENTY), (3, 3));
    assert_eq!(counts(1, PLENTY), (1, 0));
    assert_eq!(counts(0, 0), (1, 0));
    assert_eq!(counts(-1, -1), (1, 0));
    assert_eq!(counts(PLENTY, 1), (1, 0));
    assert_eq!(counts(PLENTY, 2 * one), (2, 2));
    assert_eq!(counts(4 * one, PLENTY), (3, 1));
    assert_eq!(counts(4 * one - 1, PLENTY), (3, 0));
}

#[test]
fn the_broker_has_a_limit_of_its_own() {
    let server = Server::with(&[("fetch.max.bytes", "1024")], |options| options);
    let mut client = server.client_with("t", 1, &[]);
    let value = "x".repeat(900);
    fill(&mut client, "t", 0, &[&value, &value]);
    assert_eq!(
        call(&mut client, &request("t", vec![partition(0, 0)]), 12)[0]
            .2
            .len(),
        1
    );
    // A client that waits for more than it can get does not wait for ever.
    let mut request = request("t", vec![partition(0, 0)]);
    (request.min_bytes, request.max_wait_ms) = (PLENTY, 1);
    assert_eq!(call(&mut client, &request, 12)[0].2.len(), 1);
}

#[test]
fn a_fetch_inside_a_batch_brings_all_of_it() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    assert_eq!(
        client
            .produce("t", 0, &batch(&["a", "b", "c"]))
            .unwrap()
            .error_code,
        0
    );
    let fetched = client.fetch("t", 0, 2, PLENTY, 0).unwrap();
    assert_eq!(values(&fetched.records)[0], (0, "a".into()));
    assert_eq!(values(&fetched.records).len(), 3);
}

fn local(directory: &Path) -> Arc<LocalStore> {
    let options = StoreOptions::new(NodeId(NODE), Durability::Synced, Arc::new(|| [4; 16]));
    let (store, _) = LocalStore::open(Arc::new(LocalDisk), directory, options).unwrap();
    store
}

#[test]
fn what_cannot_be_read_says_so_at_once() {
    let directory = tempfile::tempdir().unwrap();
    drop(Server::over(local(directory.path()), &[], |options| options).client_with("t", 1, &[]));
    let server = Server::over_after(local(directory.path()), true);
    let mut client = server.client();
    fill(&mut client, "t", 0, &["a"]);
    let epoch = client.metadata(Some(&["t"])).unwrap()[0].partitions[0].leader_epoch;
    assert!(epoch > 0, "the kill was noticed");
    let mut refused = |asked: FetchPartition, version: i16| {
        let mut request = request("t", vec![asked]);
        request.max_wait_ms = i32::MAX;
        let read = call(&mut client, &request, version);
        assert_eq!((read[0].1, read[0].2.len()), (-1, 0));
        read[0].0
    };
    assert_eq!(refused(partition(0, 2), 12), 1);
    assert_eq!(refused(partition(0, -1), 4), 1);
    assert_eq!(refused(partition(1, 0), 12), 3);
    assert_eq!(refused(partition(-1, 0), 12), 3);
    let at = |current_leader_epoch| FetchPartition {
        current_leader_epoch,
        ..partition(0, 0)
    };
    assert_eq!(refused(at(epoch + 1), 9), 75);
    assert_eq!(refused(at(epoch - 1), 9), 74);

    // From 16 on a client that is behind hears where it should be.
    let id = client.metadata(Some(&["t"])).unwrap()[0].id;
    let mut by_id = request("", vec![at(epoch - 1)]);
    by_id.topics[0].topic_id = id;
    for version in [13, 16, 18] {
        let answer = client.call(&by_id, version).unwrap();
        let body = answer.body().unwrap();
        let data = &body.responses[0].partitions[0];
        assert_eq!(data.error_code, 74);
        let leader = (
            data.current_leader.leader_id,
            data.current_leader.leader_epoch,
        );
        let nodes: Vec<_> = body
            .node_endpoints
            .iter()
            .map(|node| (node.node_id, node.port))
            .collect();
        if version >= 16 {
            assert_eq!(leader, (NODE, epoch));
            assert_eq!(nodes, [(NODE, i32::from(server.address.port()))]);
        } else {
            assert_eq!((leader, nodes), ((-1, -1), vec![]));
        }
    }
    // Below 0 is no epoch at all.
    assert_eq!(call(&mut client, &request("t", vec![at(-2)]), 12)[0].0, 0);
    let mut unknown = request("", vec![partition(0, 0)]);
    unknown.topics[0].topic_id = Uuid([5; 16]);
    unknown.max_wait_ms = i32::MAX;
    assert_eq!(call(&mut client, &unknown, 13), [(100, -1, vec![])]);
    assert_eq!(
        call(&mut client, &request("u", vec![partition(0, 0)]), 12),
        [(3, -1, vec![])]
    );
}

#[test]
fn an_unknown_partition_beside_others_does_not_end_their_wait() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let mut other = server.client();
    let mut waiting = request("t", vec![partition(9, 0), partition(0, 0)]);
    waiting.max_wait_ms = i32::MAX;
    let pending = client.send(&waiting, 12).unwrap();
    fill(&mut other, "t", 0, &["a"]);
    let answer = client.receive(pending).unwrap();
    let read = found(&answer.body().unwrap().responses[0].partitions);
    // Kafka tells of what does not exist last.
    assert_eq!(read, [(0, 1, strings(&["a"])), (3, -1, vec![])]);
}

#[test]
fn followers_are_sent_away() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    fill(&mut client, "t", 0, &["a"]);
    let follower = FetchRequest {
        replica_id: 3,
        ..request("t", vec![partition(0, 0)])
    };
    assert_eq!(call(&mut client, &follower, 12), [(6, -1, vec![])]);
    // A debugging consumer is none.
    let debugging = FetchRequest {
        replica_id: -2,
        ..request("t", vec![partition(0, 0)])
    };
    assert_eq!(call(&mut client, &debugging, 12), [(0, 1, strings(&["a"]))]);
}

#[test]
fn a_log_that_went_another_way_is_noticed() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    fill(&mut client, "t", 0, &["a"]);
    let epoch = client.metadata(Some(&["t"])).unwrap()[0].partitions[0].leader_epoch;
    let at = |fetch_offset, last_fetched_epoch| FetchPartition {
        last_fetched_epoch,
        ..partition(0, fetch_offset)
    };
    assert_eq!(
        call(&mut client, &request("t", vec![at(0, epoch)]), 12),
        [(0, 1, strings(&["a"]))]
    );
    // The client has a record of this epoch that we do not have.
    let answer = client.call(&request("t", vec![at(5, epoch)]), 12).unwrap();
    let body = answer.body().unwrap();
    let data = &body.responses[0].partitions[0];
    assert_eq!(
        (
            data.error_code,
            data.diverging_epoch.epoch,
            data.diverging_epoch.end_offset
        ),
        (0, epoch, 1)
    );
    assert_eq!(
        call(&mut client, &request("t", vec![at(1, epoch + 7)]), 12),
        [(1, -1, vec![])]
    );
}

#[test]
fn records_come_from_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::over(local(directory.path()), &[], |options| options);
    let mut client = server.client_with("t", 3, &[]);
    let large = "x".repeat(500_000);
    for partition in 0..3 {
        let value = large.replace('x', &partition.to_string());
        fill(&mut client, "t", partition, &[&value, "small", &value]);
    }
    let mut asked = request("t", vec![partition(2, 0), partition(0, 1), partition(1, 3)]);
    asked.max_bytes = 16 << 20;
    for asked in &mut asked.topics[0].partitions {
        asked.partition_max_bytes = 16 << 20;
    }
    // Pipelined: the second answer begins where the first one ends.
    let pending = [
        client.send(&asked, 12).unwrap(),
        client.send(&asked, 12).unwrap(),
    ];
    for pending in pending {
        let answer = client.receive(pending).unwrap();
        let read = found(&answer.body().unwrap().responses[0].partitions);
        let shape: Vec<Vec<(u8, usize)>> = read
            .iter()
            .map(|(code, high_watermark, values)| {
                assert_eq!((*code, *high_watermark), (0, 3));
                values
                    .iter()
                    .map(|value| (value.as_bytes()[0], value.len()))
                    .collect()
            })
            .collect();
        let (two, nought) = ((b'2', 500_000), (b'0', 500_000));
        assert_eq!(
            shape,
            [vec![two, (b's', 5), two], vec![(b's', 5), nought], vec![]]
        );
    }
}
