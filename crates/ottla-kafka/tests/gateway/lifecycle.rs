//! Connections that come and go, and the server that stops.

use ottla_kafka::GatewayOptions;
use ottla_testkit::wire_client::{LATEST, produce_frame};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};

use crate::support::{Server, batch, is_closed, raw_request, values};

/// A fetch at the end of partition 0 that nobody will ever satisfy.
fn endless_fetch(topic: &str) -> FetchRequest<'_> {
    FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic,
            partitions: vec![FetchPartition {
                fetch_offset: 0,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

#[test]
fn a_stop_answers_what_waits_and_takes_nothing_more() {
    let mut server = Server::start();
    let mut waiting = server.client_with("t", 1, &[]);
    let mut idle = server.client();
    idle.api_versions().unwrap();
    let pending = waiting.send(&endless_fetch("t"), 12).unwrap();
    // The fetch has arrived, whether or not it waits already.
    server.await_figure("ottla_kafka_requests_total", Some("Fetch"), 1);
    server.finish_stop();
    let answer = waiting.receive(pending).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(
        (body.error_code, body.responses[0].partitions[0].error_code),
        (0, 0)
    );
    assert!(is_closed(&mut waiting));
    assert!(is_closed(&mut idle));
    assert!(ottla_testkit::wire_client::WireClient::connect(server.address).is_err());
}

#[test]
fn a_client_that_goes_ends_its_waiting_fetch() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let pending = client.send(&endless_fetch("t"), 12).unwrap();
    drop(pending);
    server.await_figure("ottla_kafka_requests_total", Some("Fetch"), 1);
    drop(client);
    server.await_figure("ottla_kafka_connections_open", None, 0);
}

#[test]
fn a_client_that_only_stops_sending_gets_its_answers() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let produce = client.send_produce("t", 0, &batch(&["a"]), -1).unwrap();
    let mut fetch = endless_fetch("t");
    fetch.topics[0].partitions[0].fetch_offset = 1;
    let fetch = client.send(&fetch, 12).unwrap();
    client.finish_sending().unwrap();
    assert_eq!(client.receive_produced(produce).unwrap().error_code, 0);
    let answer = client.receive(fetch).unwrap();
    assert_eq!(
        answer.body().unwrap().responses[0].partitions[0].high_watermark,
        1
    );
    assert!(is_closed(&mut client));
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::with(&[("connections.max.idle.ms", "50")], |options| options);
    let mut client = server.client();
    client.api_versions().unwrap();
    assert!(is_closed(&mut client));
    server.await_figure("ottla_kafka_connections_refused_total", Some("idle"), 1);
    // Half a frame is silence, too.
    let mut client = server.client();
    client
        .send_raw(&raw_request(18, 0, 1, 1, &[])[..7])
        .unwrap();
    assert!(is_closed(&mut client));
    server.await_figure("ottla_kafka_connections_refused_total", Some("idle"), 2);
}

#[test]
fn connections_above_the_limit_are_closed_and_places_come_back() {
    let server = Server::with(&[("max.connections", "2")], |options| options);
    let mut first = server.client();
    let mut second = server.client();
    first.api_versions().unwrap();
    second.api_versions().unwrap();
    let mut third = server.client();
    assert!(is_closed(&mut third));
    server.await_figure(
        "ottla_kafka_connections_refused_total",
        Some("too_many_connections"),
        1,
    );
    drop(first);
    server.await_figure("ottla_kafka_connections_open", None, 1);
    let mut fourth = server.client();
    fourth.api_versions().unwrap();
    second.api_versions().unwrap();
}

#[test]
fn a_client_that_takes_no_answers_is_not_read_any_further() {
    let limit = 64 << 10;
    let server = Server::with(&[], |options| GatewayOptions {
        in_flight_bytes_max: limit,
        ..options
    });
    let mut client = server.client_with("t", 1, &[]);
    let record = "x".repeat(20_000);
    let batch = batch(&[&record]);
    let pending: Vec<_> = (0..50)
        .map(|_| client.send_produce("t", 0, &batch, -1).unwrap())
        .collect();
    for (offset, pending) in (0..).zip(pending) {
        let produced = client.receive_produced(pending).unwrap();
        assert_eq!((produced.error_code, produced.base_offset), (0, offset));
    }
    let fetched = client.fetch("t", 0, 49, 1 << 20, 0).unwrap();
    assert_eq!(values(&fetched.records).len(), 1);
}

#[test]
fn records_of_a_client_that_wants_no_answers_and_goes_are_kept() {
    let few = |options| GatewayOptions {
        in_flight_requests_max: 3,
        ..options
    };
    let server = Server::with(&[], few);
    let mut other = server.client_with("t", 1, &[]);
    let frame = produce_frame("t", 0, &batch(&["v"]), 0).unwrap();
    let mut end = 0;
    // Come and gone, whatever the others do meanwhile.
    let gone = |clients: u64| {
        server.await_figure("ottla_kafka_connections_total", None, 1 + clients);
        server.await_figure("ottla_kafka_connections_open", None, 1);
    };
    for (clients, burst) in (1..).zip([1, 10, 5_000]) {
        let mut client = server.client();
        client.send_raw(&frame.repeat(burst)).unwrap();
        drop(client);
        end += burst as i64;
        gone(clients);
        assert_eq!(other.list_offset("t", 0, LATEST).unwrap().offset, end);
    }
    // With an answer that nobody reads before them, the client's end is a reset: it takes along what
    // is still on the client's side, so these are few enough to be on ours.
    let mut client = server.client();
    drop(client.send_produce("t", 0, &batch(&["v"]), 1).unwrap());
    server.await_figure("ottla_append_batches_total", None, end as u64 + 1);
    client.send_raw(&frame.repeat(100)).unwrap();
    drop(client);
    gone(4);
    assert_eq!(
        other.list_offset("t", 0, LATEST).unwrap().offset,
        end + 1 + 100
    );
}
