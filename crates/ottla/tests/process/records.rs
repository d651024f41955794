//! The wiring from a client's bytes to the directory and back, and what settings make of it.

use std::time::{SystemTime, UNIX_EPOCH};

use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_testkit::wire_client::{LATEST, WireClient, batches};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::metadata::MetadataRequest;

use super::ottla;

fn batch(value: &str) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let mut batch = BatchBuilder::new(BatchSpec::default(), now);
    batch.push(None, Some(value.as_bytes()), &[], now);
    batch.build().bytes().to_vec()
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_after_a_stop() {
    for mode in ["--dev=false", "--dev=true"] {
        let mut broker = ottla().args([mode, "--set", "num.partitions=3"]).start();
        for turn in 0..3 {
            let mut client = WireClient::connect(broker.address()).unwrap();
            if turn == 0 {
                // As many partitions as the setting says.
                assert_eq!(client.create_topic("t", -1, &[]).unwrap().error_code, 0);
            }
            let topics = client.metadata(Some(&["t"])).unwrap();
            assert_eq!(topics[0].partitions.len(), 3, "{mode}");
            for partition in 0..3 {
                let produced = client
                    .produce("t", partition, &batch(&format!("{turn}")))
                    .unwrap();
                assert_eq!(
                    (produced.error_code, produced.base_offset),
                    (0, turn),
                    "{mode}"
                );
            }
            if turn == 0 {
                broker.kill();
            } else {
                assert_eq!(broker.terminate(), Some(0), "{}", broker.stderr());
            }
            broker.restart();
        }
        let mut client = WireClient::connect(broker.address()).unwrap();
        for partition in 0..3 {
            assert_eq!(
                client.list_offset("t", partition, LATEST).unwrap().offset,
                3,
                "{mode}"
            );
            let fetched = client.fetch("t", partition, 0, 1 << 20, 1000).unwrap();
            assert_eq!(fetched.error_code, 0);
            let found = batches(&fetched.records).unwrap();
            let offsets: Vec<_> = found.iter().map(|batch| batch.head.base_offset.0).collect();
            assert_eq!(offsets, [0, 1, 2], "{mode}");
        }
        assert!(
            !broker.stderr().contains(" WARN ") && !broker.stderr().contains(" ERROR "),
            "{}",
            broker.stderr()
        );
    }
}

#[test]
fn a_fetch_that_waits_does_not_hold_up_the_stop() {
    let mut broker = ottla().start();
    let mut client = WireClient::connect(broker.address()).unwrap();
    assert_eq!(client.create_topic("t", 1, &[]).unwrap().error_code, 0);
    let parked = client.send(&parked_fetch("t"), 12).unwrap();
    // Read by the broker in order: when the other connection is answered, the fetch may still be
    // unread, and that must not matter either.
    assert_eq!(broker.terminate(), Some(0), "{}", broker.stderr());
    // An answer or the end of the connection, but not an hour.
    drop(client.receive(parked));
}

#[test]
fn clients_are_told_what_is_advertised_or_what_they_reached() {
    let advertised = ottla()
        .args(["--advertise", "broker.example:19092"])
        .start();
    let reached = ottla().start();
    let told = |address: &str| {
        let mut client = WireClient::connect(address).unwrap();
        let answer = client.call(&MetadataRequest::default(), 9).unwrap();
        let body = answer.body().unwrap();
        format!("{}:{}", body.brokers[0].host, body.brokers[0].port)
    };
    assert_eq!(told(advertised.address()), "broker.example:19092");
    assert_eq!(told(reached.address()), reached.address());
}

/// A fetch from an empty partition 0 that waits for an hour.
pub(super) fn parked_fetch(topic: &str) -> FetchRequest<'_> {
    FetchRequest {
        max_wait_ms: 3_600_000,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic,
            partitions: vec![FetchPartition {
                partition_max_bytes: 1,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
