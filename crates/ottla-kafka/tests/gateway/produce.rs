//! Produce: acknowledgements, order, idempotence, compression.

use ottla_kafka::GatewayOptions;
use ottla_kafka::error_map::ErrorCode;
use ottla_model::batch::{BatchBuilder, BatchSpec, Codec};
use ottla_model::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::{LATEST, WireClient, batches};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use crate::support::{Server, batch, batch_of, is_closed, values};

/// What one partition was answered.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Answered {
    pub(crate) topic: String,
    pub(crate) index: i32,
    pub(crate) code: ErrorCode,
    pub(crate) base_offset: i64,
    pub(crate) records: Vec<i32>,
}

/// A topic and the records for each of its partitions.
pub(crate) type Topic<'l, 'a> = (&'a str, &'l [(i32, &'a [u8])]);

pub(crate) fn request<'a>(acks: i16, topics: &[Topic<'_, 'a>]) -> ProduceRequest<'a> {
    let data = |(index, records): &(i32, &'a [u8])| PartitionProduceData {
        index: *index,
        records: Some(records),
    };
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: topics
            .iter()
            .map(|(name, partitions)| TopicProduceData {
                name,
                topic_id: Uuid::ZERO,
                partition_data: partitions.iter().map(data).collect(),
            })
            .collect(),
        ..ProduceRequest::default()
    }
}

pub(crate) fn call(
    client: &mut WireClient,
    request: &ProduceRequest<'_>,
    version: i16,
) -> Vec<Answered> {
    let answer = client.call(request, version).unwrap();
    let body = answer.body().unwrap();
    let mut found = Vec::new();
    for topic in &body.responses {
        for partition in &topic.partition_responses {
            let code = ErrorCode::of(partition.error_code).unwrap();
            if version >= 8 {
                assert_eq!(code == ErrorCode::None, partition.error_message.is_none());
            }
            found.push(Answered {
                topic: topic.name.to_owned(),
                index: partition.index,
                code,
                base_offset: partition.base_offset,
                records: partition
                    .record_errors
                    .iter()
                    .map(|error| error.batch_index)
                    .collect(),
            });
        }
    }
    found
}

/// The code that one batch for partition 0 gets.
pub(crate) fn code(
    client: &mut WireClient,
    topic: &str,
    records: &[u8],
    version: i16,
) -> ErrorCode {
    let answered = call(client, &request(-1, &[(topic, &[(0, records)])]), version);
    assert_eq!(answered.len(), 1);
    answered[0].code
}

#[test]
fn every_version_and_every_acks_appends() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.create_topic("t", 1, &[]).unwrap().id;
    let records = batch(&["a", "b"]);
    let mut next = 0;
    for version in 3..=13 {
        for acks in [-1, 1] {
            let mut request = request(acks, &[("t", &[(0, &records)])]);
            if version >= 13 {
                request.topic_data[0].name = "";
                request.topic_data[0].topic_id = id;
            }
            let answer = client.call(&request, version).unwrap();
            let body = answer.body().unwrap();
            let topic = &body.responses[0];
            let partition = &topic.partition_responses[0];
            let found = (
                partition.error_code,
                partition.base_offset,
                partition.log_append_time_ms,
            );
            assert_eq!(found, (0, next, -1), "version {version} acks {acks}");
            assert_eq!(if version >= 13 { topic.topic_id } else { id }, id);
            if version >= 5 {
                assert_eq!(partition.log_start_offset, 0);
            }
            next += 2;
        }
    }
    assert_eq!(client.list_offset("t", 0, LATEST).unwrap().offset, next);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.client_with("t", 3, &[]);
    for acks in [1, -1] {
        let first = client.list_offset("t", 0, LATEST).unwrap().offset;
        let pending: Vec<_> = (0..300)
            .map(|n| {
                client
                    .send_produce("t", n % 3, &batch(&[&format!("value {n}")]), acks)
                    .unwrap()
            })
            .collect();
        for (n, pending) in (0..).zip(pending) {
            let produced = client.receive_produced(pending).unwrap();
            assert_eq!(
                (produced.error_code, produced.base_offset),
                (0, first + n / 3),
                "request {n}"
            );
        }
    }
    for partition in 0..3 {
        let fetched = client.fetch("t", partition, 0, 1 << 20, 0).unwrap();
        let found: Vec<_> = values(&fetched.records)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        let expected: Vec<_> = (0..100)
            .map(|n| format!("value {}", n * 3 + partition))
            .collect();
        assert_eq!(found, [&expected[..], &expected[..]].concat());
    }
}

#[test]
fn other_requests_between_them_keep_their_place() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let records = batch(&["v"]);
    let listed = ottla_wire::list_offsets::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ottla_wire::list_offsets::ListOffsetsTopic {
            name: "t",
            partitions: vec![ottla_wire::list_offsets::ListOffsetsPartition {
                timestamp: LATEST,
                current_leader_epoch: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    for round in 0..20 {
        let first = client.send_produce("t", 0, &records, -1).unwrap();
        let end = client.send(&listed, 5).unwrap();
        let second = client.send_produce("t", 0, &records, 1).unwrap();
        let third = client.send_produce("t", 0, &records, -1).unwrap();
        assert_eq!(
            client.receive_produced(first).unwrap().base_offset,
            3 * round
        );
        // What was asked before it is in, what came after it is not.
        let answer = client.receive(end).unwrap();
        assert_eq!(
            answer.body().unwrap().topics[0].partitions[0].offset,
            3 * round + 1
        );
        assert_eq!(
            client.receive_produced(second).unwrap().base_offset,
            3 * round + 1
        );
        assert_eq!(
            client.receive_produced(third).unwrap().base_offset,
            3 * round + 2
        );
    }
}

#[test]
fn without_acks_no_answer_comes_and_errors_close() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    for _ in 0..10 {
        drop(client.send_produce("t", 0, &batch(&["v"]), 0).unwrap());
    }
    // The next answer on the connection belongs to this one, and sees all before it.
    assert_eq!(client.list_offset("t", 0, LATEST).unwrap().offset, 10);

    let mut control = batch(&["v"]);
    control[22] |= 0x20;
    for (topic, records) in [("unknown", batch(&["v"])), ("t", control)] {
        let mut client = server.client();
        let before = client.send_produce("t", 0, &batch(&["v"]), -1).unwrap();
        drop(client.send_produce(topic, 0, &records, 0).unwrap());
        assert_eq!(client.receive_produced(before).unwrap().error_code, 0);
        assert!(is_closed(&mut client));
    }
    server.await_figure(
        "ottla_kafka_connections_refused_total",
        Some("produce_without_acks"),
        2,
    );
}

#[test]
fn a_partition_that_occurs_twice_gets_the_last_batch() {
    let server = Server::start();
    let mut client = server.client_with("t", 2, &[]);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|value| batch(&[value]));
    let request = request(
        -1,
        &[("t", &[(0, &a), (1, &b), (0, &c)]), ("t", &[(1, &d)])],
    );
    let answered: Vec<_> = call(&mut client, &request, 9)
        .iter()
        .map(|a| (a.index, a.code))
        .collect();
    assert_eq!(answered, [(0, ErrorCode::None), (1, ErrorCode::None)]);
    for (partition, value) in [(0, "c"), (1, "d")] {
        let fetched = client.fetch("t", partition, 0, 1 << 20, 0).unwrap();
        assert_eq!(values(&fetched.records), [(0, value.to_owned())]);
    }
}

#[test]
fn topics_decide_on_compression() {
    let server = Server::start();
    let mut client = server.client();
    for (name, codec) in [
        ("uncompressed", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
    ] {
        let created = client
            .create_topic(name, 1, &[("compression.type", name)])
            .unwrap();
        assert_eq!(created.error_code, 0, "{:?}", created.error_message);
        assert_eq!(
            code(&mut client, name, &batch(&["a", "b"]), 9),
            ErrorCode::None
        );
        let fetched = client.fetch(name, 0, 0, 1 << 20, 0).unwrap();
        let stored = batches(&fetched.records).unwrap();
        assert_eq!(stored[0].head.attributes.codec(), Ok(codec));
        assert_eq!(values(&fetched.records), [(0, "a".into()), (1, "b".into())]);
    }
    // zstd came with version 7.
    let fetched = client.fetch("zstd", 0, 0, 1 << 20, 0).unwrap();
    let stored = batches(&fetched.records).unwrap()[0].bytes.to_vec();
    assert_eq!(
        code(&mut client, "uncompressed", &stored, 6),
        ErrorCode::UnsupportedCompressionType
    );
    assert_eq!(
        code(&mut client, "uncompressed", &stored, 7),
        ErrorCode::None
    );
}

#[test]
fn idempotent_producers_are_held_to_their_sequence() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let (error, id, epoch) = client.init_producer_id().unwrap();
    assert_eq!((error, epoch), (0, 0));
    let (_, other, _) = client.init_producer_id().unwrap();
    assert_ne!(id, other);
    let mut send = |epoch: i16, sequence: i32| {
        let spec = BatchSpec {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
            ..BatchSpec::default()
        };
        let answered = call(
            &mut client,
            &request(-1, &[("t", &[(0, &batch_of(spec, &[(None, "v")]))])]),
            9,
        );
        (answered[0].code, answered[0].base_offset)
    };
    assert_eq!(send(0, 0), (ErrorCode::None, 0));
    assert_eq!(send(0, 1), (ErrorCode::None, 1));
    // A retry gets the original's offset.
    assert_eq!(send(0, 0), (ErrorCode::None, 0));
    assert_eq!(send(0, 3), (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(send(1, 0), (ErrorCode::None, 2));
    assert_eq!(send(0, 2), (ErrorCode::InvalidProducerEpoch, -1));
    assert_eq!(send(1, -1).0, ErrorCode::InvalidRecord);
}

#[test]
fn large_and_small_batches_in_one_request() {
    let server = Server::start();
    let mut client = server.client_with("t", 4, &[]);
    let values_of = [10, 5_000, 900_000, 4_000].map(|bytes| "x".repeat(bytes));
    let encoded: Vec<_> = values_of.iter().map(|value| batch(&[value])).collect();
    let partitions: Vec<(i32, &[u8])> = (0..).zip(encoded.iter().map(Vec::as_slice)).collect();
    for round in 0..3 {
        let answered = call(&mut client, &request(-1, &[("t", &partitions)]), 9);
        assert!(
            answered
                .iter()
                .all(|a| a.code == ErrorCode::None && a.base_offset == round),
            "{answered:?}"
        );
    }
    for (partition, value) in (0..).zip(values_of) {
        let fetched = client.fetch("t", partition, 0, 50 << 20, 0).unwrap();
        let expected: Vec<_> = (0..3).map(|offset| (offset, value.clone())).collect();
        assert!(
            values(&fetched.records) == expected,
            "partition {partition}"
        );
    }
}

#[test]
fn batches_that_take_long_are_judged_elsewhere_and_answered_in_order() {
    let low = |options| GatewayOptions {
        decompressed_inline_bytes_max: 1_000,
        decompressed_bytes_max: 100_000,
        ..options
    };
    let server = Server::with(&[], low);
    let mut client = server.client_with("t", 1, &[]);
    client
        .create_topic("zstd", 1, &[("compression.type", "zstd")])
        .unwrap();
    let compressed = |bytes: usize| {
        let mut builder = BatchBuilder::new(BatchSpec::default(), 0);
        builder.push(None, Some(&vec![b'x'; bytes]), &[], 0);
        ottla_codec::compress_batch(builder.build(), Codec::Lz4)
            .bytes()
            .to_vec()
    };
    let (light, heavy, bomb) = (compressed(500), compressed(50_000), compressed(200_000));
    let large = batch(&[&"y".repeat(90_000)]);
    let sent = [
        ("t", &light, ErrorCode::None),
        ("t", &heavy, ErrorCode::None),
        ("t", &bomb, ErrorCode::MessageTooLarge),
        ("t", &light, ErrorCode::None),
        ("zstd", &large, ErrorCode::None),
        ("t", &heavy, ErrorCode::None),
        ("t", &heavy, ErrorCode::None),
        ("t", &light, ErrorCode::None),
    ];
    let pending: Vec<_> = sent
        .iter()
        .map(|(topic, records, _)| client.send_produce(topic, 0, records, -1).unwrap())
        .collect();
    let mut next = 0;
    for (pending, (topic, _, expected)) in pending.into_iter().zip(sent) {
        let produced = client.receive_produced(pending).unwrap();
        let offset = match (topic, expected) {
            ("t", ErrorCode::None) => {
                next += 1;
                next - 1
            }
            (_, ErrorCode::None) => 0,
            _ => -1,
        };
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (expected.code(), offset)
        );
    }
    // One request with all of them: the last one counts, and it is heavy.
    let both = request(
        -1,
        &[("t", &[(0, &light), (0, &heavy)]), ("zstd", &[(0, &large)])],
    );
    let codes: Vec<_> = call(&mut client, &both, 9).iter().map(|a| a.code).collect();
    assert_eq!(codes, [ErrorCode::None; 2]);
    let fetched = client.fetch("t", 0, next, 1 << 20, 0).unwrap();
    assert_eq!(values(&fetched.records)[0].1.len(), 50_000);
}
