//! What clients of before 2017 say: Produce 0 to 2, Fetch 0 to 3, ListOffsets 0.
//!
//! Their message sets are those that Java wrote for the tests of `ottla-codec`, which says where they
//! come from, or what `ottla_codec::downgrade` makes of a batch.

use std::sync::Arc;

use ottla_codec::{MessageFormat, downgrade};
use ottla_kafka::error_map::ErrorCode;
use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::batch::{Attributes, BatchBuilder, BatchSpec, Codec};
use ottla_model::ids::{NodeId, Offset, ProducerEpoch, ProducerId};
use ottla_testkit::wire_client::{WireClient, batches};
use ottla_wire::Records;
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use crate::produce::{call, request};
use crate::support::{NODE, Neighbour, Server, batch, is_closed, values};

const JAVA: &str = include_str!("../../../ottla-codec/tests/codec/golden/old_java.txt");

fn hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}

/// Java's sets: the Produce version that carries them, the set, and the batch that Kafka stores.
fn java() -> Vec<(i16, &'static str, Vec<u8>, Vec<u8>)> {
    let sets = JAVA.lines().map(|line| {
        let [format, codec, set, stored] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let version = if format == "v0" { 1 } else { 2 };
        (version, codec, hex(set), hex(stored))
    });
    sets.collect()
}

/// A set of these values.
fn set(format: MessageFormat, values: &[&str]) -> Vec<u8> {
    let plenty = usize::MAX;
    downgrade(&batch(values), format, Offset(0), plenty, plenty)
        .unwrap()
        .set
}

/// Offset, magic, timestamp, key and value of each whole message; how many bytes are left over.
type Message = (i64, u8, i64, Option<Vec<u8>>, Option<Vec<u8>>);
fn messages(mut set: &[u8]) -> (Vec<Message>, usize) {
    fn number<const N: usize>(from: &mut &[u8]) -> [u8; N] {
        let (number, rest) = from.split_first_chunk().unwrap();
        *from = rest;
        *number
    }
    fn nullable(from: &mut &[u8]) -> Option<Vec<u8>> {
        let length = i32::from_be_bytes(number(from));
        let (taken, rest) = from.split_at(usize::try_from(length).ok()?);
        *from = rest;
        Some(taken.to_vec())
    }
    let mut found = Vec::new();
    while let Some(size) = set.get(8..12) {
        let size = i32::from_be_bytes(size.try_into().unwrap()) as usize;
        let Some((mut message, rest)) = set.split_at_checked(12 + size) else {
            break;
        };
        set = rest;
        let offset = i64::from_be_bytes(number(&mut message));
        let _size_and_crc: [u8; 8] = number(&mut message);
        let [magic, attributes] = number(&mut message);
        assert_eq!(attributes & 7, 0, "not compressed");
        let timestamp_ms = match magic {
            0 => -1,
            _ => i64::from_be_bytes(number(&mut message)),
        };
        let (key, value) = (nullable(&mut message), nullable(&mut message));
        found.push((offset, magic, timestamp_ms, key, value));
    }
    (found, set.len())
}

fn asked(partition: i32, fetch_offset: i64, partition_max_bytes: i32) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes,
        ..FetchPartition::default()
    }
}

fn fetch_request<'a>(topic: &'a str, partitions: Vec<FetchPartition>) -> FetchRequest<'a> {
    FetchRequest {
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic,
            partitions,
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// Error code, high watermark and records of each partition.
fn fetch(
    client: &mut WireClient,
    request: &FetchRequest<'_>,
    version: i16,
) -> Vec<(i16, i64, Vec<u8>)> {
    let answer = client.call(request, version).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(body.throttle_time_ms, 0);
    let partitions = body.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|data| {
            let records = data.records.as_ref().and_then(Records::as_slice);
            let records = records.expect("never null").to_vec();
            (data.error_code, data.high_watermark, records)
        })
        .collect()
}

/// The messages of one partition, which are whole.
fn read(client: &mut WireClient, topic: &str, from: i64, version: i16) -> Vec<Message> {
    let request = fetch_request(topic, vec![asked(0, from, 1 << 20)]);
    let [(0, _, set)] = &fetch(client, &request, version)[..] else {
        panic!("a refusal");
    };
    let (messages, left) = messages(set);
    assert_eq!(left, 0);
    messages
}

#[test]
fn sets_of_java_are_stored_as_kafka_stores_them_and_read_by_old_and_new() {
    let server = Server::start();
    let mut client = server.client();
    for (version, codec, set, stored) in java() {
        let topic = format!("t{version}{codec}");
        // Far from the broker's clock, which is not what is asked here.
        let configs = [("message.timestamp.after.max.ms", "9223372036854775807")];
        client.create_topic(&topic, 1, &configs).unwrap();
        let mut last = 0;
        for version in [0, 1, 2] {
            let produced = call(
                &mut client,
                &request(-1, &[(&topic, &[(0, &set)])]),
                version,
            );
            assert_eq!(
                (produced[0].code, produced[0].base_offset),
                (ErrorCode::None, last)
            );
            last += 3;
        }
        let fetched = client.fetch(&topic, 0, 3, 1 << 20, 0).unwrap();
        let [first, second] = batches(&fetched.records).unwrap()[..] else {
            panic!("one batch per set");
        };
        assert_eq!(
            (first.head.base_offset, second.head.base_offset),
            (Offset(3), Offset(6))
        );
        let kafka = batches(&stored).unwrap()[0];
        assert_eq!(first.head.attributes, kafka.head.attributes, "{topic}");
        assert_eq!(first.head.max_timestamp_ms, kafka.head.max_timestamp_ms);
        if codec == "none" {
            // Behind base offset, leader epoch and magic: CRC and content.
            assert_eq!(first.bytes[16..], stored[16..], "{topic}");
        }
        for (fetch_version, magic) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
            let found = read(&mut client, &topic, 4, fetch_version);
            let at = |ms| if magic == 0 || version == 1 { -1 } else { ms };
            assert_eq!(found.len(), 5);
            let (of, t) = (
                |words| Some("value ".repeat(words).into_bytes()),
                1_700_000_000_000,
            );
            assert_eq!(found[0], (4, magic, at(t + 250), None, of(12)));
            assert_eq!(found[1], (5, magic, at(t - 1000), Some(vec![]), None));
            assert_eq!(found[2], (6, magic, at(t), Some(b"key-1".to_vec()), of(24)));
        }
    }
}

#[test]
fn old_producers_hear_what_kafka_told_them() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    let mut client = server.client_with("t", 1, &[]);
    let good = set(MessageFormat::V1, &["a", "b"]);
    let mut torn = good.clone();
    *torn.last_mut().unwrap() ^= 1;
    let mut refused = |records: &[u8], acks: i16, version: i16| {
        let answered = call(
            &mut client,
            &request(acks, &[("t", &[(0, records)])]),
            version,
        );
        neighbour.check();
        (answered[0].code, answered[0].base_offset)
    };
    for version in [0, 1, 2] {
        assert_eq!(refused(&torn, 1, version), (ErrorCode::CorruptMessage, -1));
        assert_eq!(
            refused(&good[..20], 1, version),
            (ErrorCode::InvalidRecord, -1)
        );
        assert_eq!(
            refused(&good, 2, version),
            (ErrorCode::InvalidRequiredAcks, -1)
        );
        // Nothing is stored, and that is no error.
        assert_eq!(refused(&[], 1, version), (ErrorCode::None, -1));
    }
    // A record batch is welcome everywhere, a message set below version 3 only.
    assert_eq!(refused(&batch(&["v"]), 1, 2), (ErrorCode::None, 0));
    assert_eq!(refused(&good, -1, 1), (ErrorCode::None, 1));
    for version in 3..=12 {
        for format in [MessageFormat::V0, MessageFormat::V1] {
            let set = set(format, &["a"]);
            assert_eq!(refused(&set, 1, version), (ErrorCode::InvalidRecord, -1));
        }
    }
    assert_eq!(refused(&good, 1, 2), (ErrorCode::None, 3));
}

#[test]
fn without_acks_an_old_producer_hears_nothing() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let good = set(MessageFormat::V0, &["a"]);
    for _ in 0..3 {
        let _ = client
            .send(&request(0, &[("t", &[(0, &good)])]), 0)
            .unwrap();
        let _ = client.send(&request(0, &[("t", &[(0, &[])])]), 1).unwrap();
    }
    let produced = call(&mut client, &request(1, &[("t", &[(0, &good)])]), 0);
    assert_eq!(produced[0].base_offset, 3);
    let _ = client
        .send(&request(0, &[("t", &[(0, &good[..9])])]), 2)
        .unwrap();
    assert!(is_closed(&mut client));
}

#[test]
fn a_topic_s_own_time_and_codec_hold_for_old_producers() {
    let server = Server::start();
    let configs = [
        ("message.timestamp.type", "LogAppendTime"),
        ("compression.type", "gzip"),
    ];
    let mut client = server.client_with("t", 1, &configs);
    let set = set(MessageFormat::V1, &["a", "b"]);
    let wanted = request(-1, &[("t", &[(0, &set)])]);
    let mut stamps = Vec::new();
    for version in [1, 2] {
        let answer = client.call(&wanted, version).unwrap();
        let body = answer.body().unwrap();
        stamps.push(body.responses[0].partition_responses[0].log_append_time_ms);
    }
    assert_eq!(stamps[0], -1, "version 1 cannot say it");
    assert!(stamps[1] > 1_700_000_000_000);
    let fetched = client.fetch("t", 0, 2, 1 << 20, 0).unwrap();
    let stored = batches(&fetched.records).unwrap()[0];
    assert_eq!(stored.head.attributes.codec(), Ok(Codec::Gzip));
    assert_eq!(stored.head.max_timestamp_ms, stamps[1]);
    assert_eq!(values(&fetched.records), [(2, "a".into()), (3, "b".into())]);
    let times: Vec<_> = read(&mut client, "t", 2, 2).iter().map(|m| m.2).collect();
    assert_eq!(times, [stamps[1]; 2]);
}

#[test]
fn large_sets_are_converted_elsewhere() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let value = "x".repeat(100_000);
    // Plain and large, then small and large once it is decompressed.
    let plain = set(MessageFormat::V0, &[&value, &value]);
    let produced = call(&mut client, &request(1, &[("t", &[(0, &plain)])]), 0);
    assert_eq!(
        (produced[0].code, produced[0].base_offset),
        (ErrorCode::None, 0)
    );
    let values: Vec<&str> = vec![&value; 30];
    let mut builder = BatchBuilder::new(BatchSpec::default(), 0);
    for value in &values {
        builder.push(None, Some(value.as_bytes()), &[], 0);
    }
    let batch = ottla_codec::compress_batch(builder.build(), Codec::Gzip);
    assert_eq!(
        client.produce("t", 0, batch.bytes()).unwrap().base_offset,
        2
    );
    let mut next = 0;
    while next < 32 {
        let found = read(&mut client, "t", next, 2);
        for message in &found {
            assert_eq!(
                (message.0, message.4.as_deref()),
                (next, Some(value.as_bytes()))
            );
            next += 1;
        }
        assert!((1..=10).contains(&found.len()), "{}", found.len());
    }
}

#[test]
fn a_small_limit_is_kept_and_makes_progress() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let values = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(
        client.produce("t", 0, &batch(&values)).unwrap().error_code,
        0
    );
    for version in 0..=3 {
        for (limit, at_once) in [(0, 1), (1, 1), (80, 2), (1 << 20, 10)] {
            let mut next = 0;
            while next < 10 {
                let request = fetch_request("t", vec![asked(0, next, limit)]);
                let (code, _, set) = fetch(&mut client, &request, version).remove(0);
                let (found, left) = messages(&set);
                assert_eq!((code, left), (0, 0));
                assert_eq!(
                    found.len(),
                    at_once.min(10 - next as usize),
                    "limit {limit}"
                );
                for message in found {
                    assert_eq!(message.4, Some(next.to_string().into_bytes()));
                    assert_eq!(message.0, next);
                    next += 1;
                }
            }
        }
    }
    // The limit of the whole answer, which version 3 has.
    let mut request = fetch_request("t", vec![asked(0, 0, 1 << 20)]);
    request.max_bytes = 80;
    assert_eq!(messages(&fetch(&mut client, &request, 3)[0].2).0.len(), 2);
}

#[test]
fn no_partition_is_starved_by_one_that_fills_the_answer() {
    let server = Server::start();
    let mut client = server.client_with("t", 3, &[]);
    let value = "x".repeat(300_000);
    for partition in 0..3 {
        for _ in 0..4 {
            client.produce("t", partition, &batch(&[&value])).unwrap();
        }
    }
    let request = fetch_request("t", (0..3).map(|p| asked(p, 0, 1 << 20)).collect());
    let mut first = Vec::new();
    for _ in 0..3 {
        let found = fetch(&mut client, &request, 1);
        let bytes: Vec<usize> = found
            .iter()
            .map(|(code, _, set)| {
                assert_eq!(*code, 0);
                set.len()
            })
            .collect();
        assert!(
            bytes.iter().sum::<usize>() <= (1 << 20) + 400_000,
            "{bytes:?}"
        );
        first.push((0..3).max_by_key(|p| bytes[*p]).unwrap());
    }
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2]);
    // From version 3 on the client decides.
    let bytes: Vec<_> = fetch(&mut client, &request, 3)
        .iter()
        .map(|(.., set)| set.len())
        .collect();
    assert!(bytes[0] > 900_000 && bytes[2] == 0, "{bytes:?}");
}

#[test]
fn old_consumers_wait_and_are_told_of_errors() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let mut other = server.client();
    for version in 0..=3 {
        let mut waiting = fetch_request("t", vec![asked(0, i64::from(version), 1 << 20)]);
        waiting.max_wait_ms = i32::MAX;
        let pending = client.send(&waiting, version).unwrap();
        other.produce("t", 0, &batch(&["woken"])).unwrap();
        let answer = client.receive(pending).unwrap();
        let data = &answer.body().unwrap().responses[0].partitions[0];
        let set = data.records.as_ref().and_then(Records::as_slice).unwrap();
        assert_eq!(messages(set).0[0].4, Some(b"woken".to_vec()));

        waiting.topics[0].partitions = vec![asked(0, 99, 1), asked(5, 0, 1)];
        let codes: Vec<_> = fetch(&mut client, &waiting, version)
            .iter()
            .map(|f| f.0)
            .collect();
        assert_eq!(codes, [1, 3]);
    }
}

#[test]
fn zstd_is_kept_from_those_who_cannot_read_it() {
    let server = Server::start();
    let mut client = server.client_with("zstd", 1, &[("compression.type", "zstd")]);
    client.create_topic("mixed", 1, &[]).unwrap();
    assert_eq!(
        client
            .produce("zstd", 0, &batch(&["a"]))
            .unwrap()
            .error_code,
        0
    );
    let mut code = |topic: &str, from: i64, version: i16| {
        let found = fetch(
            &mut client,
            &fetch_request(topic, vec![asked(0, from, 1 << 20)]),
            version,
        );
        (found[0].0, found[0].2.is_empty())
    };
    let unsupported = ErrorCode::UnsupportedCompressionType.code();
    for version in 0..=12 {
        let expected = if version < 10 {
            (unsupported, true)
        } else {
            (0, false)
        };
        assert_eq!(code("zstd", 0, version), expected, "version {version}");
    }
    // As producers sent it: only those who need it converted are refused.
    let mut builder = BatchBuilder::new(BatchSpec::default(), 0);
    builder.push(None, Some(b"b"), &[], 0);
    let zstd = ottla_codec::compress_batch(builder.build(), Codec::Zstd);
    let mut producer = server.client();
    producer.produce("mixed", 0, &batch(&["a"])).unwrap();
    producer.produce("mixed", 0, zstd.bytes()).unwrap();
    for version in 0..=12 {
        assert_eq!(code("mixed", 0, version), (0, false), "version {version}");
        let expected = if version < 4 {
            (unsupported, true)
        } else {
            (0, false)
        };
        assert_eq!(code("mixed", 1, version), expected, "version {version}");
    }
    assert_eq!(read(&mut client, "mixed", 0, 3).len(), 1);
}

/// The offsets that version 0 answers, or the error code.
fn offsets(
    client: &mut WireClient,
    topic: &str,
    timestamp: i64,
    max_num_offsets: i32,
) -> Result<Vec<i64>, i16> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic,
            partitions: vec![ListOffsetsPartition {
                timestamp,
                max_num_offsets,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = client.call(&request, 0).unwrap();
    let body = answer.body().unwrap();
    let partition = &body.topics[0].partitions[0];
    match partition.error_code {
        0 => Ok(partition.old_style_offsets.iter().collect()),
        code => {
            assert!(partition.old_style_offsets.is_empty());
            Err(code)
        }
    }
}

fn on_disk(directory: &std::path::Path, unclean: bool) -> Server {
    let options = StoreOptions::new(NodeId(NODE), Durability::Synced, Arc::new(|| [4; 16]));
    let (store, _) = LocalStore::open(Arc::new(LocalDisk), directory, options).unwrap();
    Server::over_after(store, unclean)
}

#[test]
fn list_offsets_0_names_the_starts_of_segments() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_disk(directory.path(), false);
    let mut client = server.client_with("t", 1, &[("segment.bytes", "1048576")]);
    assert_eq!(offsets(&mut client, "t", -1, 9), Ok(vec![0]));
    let value = "x".repeat(400_000);
    for index in 0..6 {
        let mut builder = BatchBuilder::new(BatchSpec::default(), 1_000 * index);
        builder.push(None, Some(value.as_bytes()), &[], 1_000 * index);
        client.produce("t", 0, builder.build().bytes()).unwrap();
    }
    // Two batches fit into a segment; the times of theirs end at 1000, 3000 and 5000 ms.
    for (timestamp, count, expected) in [
        (-1, 1, vec![6]),
        (-1, 2, vec![6, 4]),
        (-1, 99, vec![6, 4, 2, 0]),
        (-1, 0, vec![]),
        (-2, 9, vec![0]),
        (-2, 0, vec![]),
        (i64::MAX, 2, vec![6, 4]),
        (5_000, 9, vec![4, 2, 0]),
        (4_999, 1, vec![2]),
        (1_000, 9, vec![0]),
        (999, 9, vec![]),
        (0, 9, vec![]),
    ] {
        assert_eq!(
            offsets(&mut client, "t", timestamp, count),
            Ok(expected),
            "{timestamp}, {count}"
        );
    }
    assert_eq!(offsets(&mut client, "t", -3, 1), Err(35));
    assert_eq!(offsets(&mut client, "t", -1, -1), Err(42));
    assert_eq!(offsets(&mut client, "u", -1, 1), Err(3));
}

#[test]
fn control_batches_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    {
        let server = on_disk(directory.path(), false);
        let mut client = server.client_with("t", 1, &[]);
        client.produce("t", 0, &batch(&["a"])).unwrap();
    }
    // Markers as a broker with transactions leaves them: no client can send one.
    let log = directory.path().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    for offset in 1..4 {
        let spec = BatchSpec {
            attributes: Attributes::default().with_transactional().with_control(),
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(0),
            ..BatchSpec::default()
        };
        let mut marker = BatchBuilder::new(spec, 0);
        marker.push(Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[], 0);
        let mut marker = marker.build();
        marker.stamp(Offset(offset), ottla_model::ids::LeaderEpoch(0));
        bytes.extend_from_slice(marker.bytes());
    }
    std::fs::write(&log, bytes).unwrap();
    let server = on_disk(directory.path(), true);
    let mut client = server.client();
    let end = client.list_offset("t", 0, -1).unwrap().offset;
    assert_eq!(end, 4, "the markers are in the log");
    for version in 0..=3 {
        let offsets: Vec<_> = read(&mut client, "t", 0, version)
            .iter()
            .map(|m| m.0)
            .collect();
        assert_eq!(offsets, [0]);
        assert_eq!(read(&mut client, "t", 1, version), []);
    }
    // It waits behind them, rather than answer nothing again and again.
    let mut waiting = fetch_request("t", vec![asked(0, 1, 100)]);
    waiting.max_wait_ms = i32::MAX;
    let pending = client.send(&waiting, 2).unwrap();
    let mut other = server.client();
    other.produce("t", 0, &batch(&["b"])).unwrap();
    let answer = client.receive(pending).unwrap();
    let data = &answer.body().unwrap().responses[0].partitions[0];
    let set = data.records.as_ref().and_then(Records::as_slice).unwrap();
    assert_eq!(messages(set).0[0].0, 4);
}
