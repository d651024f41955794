//! Requests that are none. Each gets what Kafka does with it: the connection ends. Its neighbours go on.

use std::io::{Read, Write};
use std::net::TcpStream;

use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_wire::delete_topics::DeleteTopicsRequest;
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::frame::encode_request;
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{ApiKey, Request};

use crate::support::{Neighbour, Server, batch, is_closed, raw_request};

#[test]
fn impossible_lengths_close_the_connection() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    for length in [0, -1, i32::MIN, i32::MAX, (100 << 20) + 1] {
        for negotiated in [false, true] {
            let mut client = server.client();
            if negotiated {
                client.api_versions().unwrap();
            }
            client.send_raw(&length.to_be_bytes()).unwrap();
            assert!(is_closed(&mut client), "{length}");
            neighbour.check();
        }
    }
    assert_eq!(
        server.figure(
            "ottla_kafka_connections_refused_total",
            Some("frame_length")
        ),
        6
    );
    assert_eq!(
        server.figure(
            "ottla_kafka_connections_refused_total",
            Some("frame_too_large")
        ),
        4
    );
}

#[test]
fn other_protocols_are_told_that_this_is_the_wrong_port() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    let heard = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(bytes).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        heard
    };
    let port = server.address.port();
    let mut post = b"POST /topics/t HTTP/1.1\r\nContent-Length: 50000\r\n\r\n".to_vec();
    post.resize(post.len() + 50_000, b'x');
    for request in [&b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"[..], &post] {
        let heard = String::from_utf8(heard(request)).unwrap();
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{heard}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(body.contains(&format!("Port {port} speaks the Kafka protocol")));
        neighbour.check();
    }
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    assert_eq!(heard(hello), [21, 3, 1, 0, 2, 2, 40], "a fatal alert");
    assert_eq!(heard(b"SSH-2.0-OpenSSH_9.6\r\n"), b"");
    // Whoever has spoken Kafka is not taken for somebody else.
    let mut client = server.client();
    client.api_versions().unwrap();
    client.send_raw(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(is_closed(&mut client));
    neighbour.check();
}

#[test]
fn bytes_that_are_no_request_close_the_connection() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    for bytes in [&b"\0\0\0\x01\0"[..], b"\0\x02\0\0\xff\xff\xff\xff"] {
        let mut client = server.client();
        client.send_raw(bytes).unwrap();
        assert!(is_closed(&mut client), "{bytes:?}");
        neighbour.check();
    }
}

#[test]
fn a_large_first_request_must_look_like_one() {
    let server = Server::start();
    // A client that asks for no versions may begin with a large Produce.
    let mut client = server.client_with("t", 1, &[]);
    let record = "x".repeat(500_000);
    client.produce("t", 0, &batch(&[&record])).unwrap();
    let mut first = server.client();
    assert_eq!(
        first
            .produce("t", 0, &batch(&[&record]))
            .unwrap()
            .base_offset,
        1
    );
    // One that announces as much and then says nothing known is not waited for.
    let mut stranger = server.client();
    stranger.send_raw(&1_000_000i32.to_be_bytes()).unwrap();
    stranger.send_raw(&[0, 99, 0, 0]).unwrap();
    assert!(is_closed(&mut stranger));
}

/// Counts that are true, of what costs much more to answer than to ask.
#[test]
fn requests_without_records_are_bounded_in_size_and_in_what_they_repeat() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    let compact = |count: usize, entry: &[u8]| {
        let mut bytes = Vec::new();
        let mut rest = count as u32 + 1;
        while rest > 0x7f {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes.extend(entry.repeat(count));
        bytes
    };
    // Type broker, name "7", no names of configs.
    let describe = |count| [&compact(count, b"\x04\x027\0\0")[..], &[0, 0, 0]].concat();
    let find = |count| [&[0][..], &compact(count, b"\x01"), &[0]].concat();
    for (key, version, body) in [(32, 4, &describe(30_000)), (10, 4, &find(80_000))] {
        let mut client = server.client();
        client
            .send_raw(&raw_request(key, version, 2, 1, body))
            .unwrap();
        let answer = client.receive_frame().unwrap();
        assert!(
            answer.len() < 100_000,
            "{key}: one answer, {} bytes",
            answer.len()
        );
        neighbour.check();
    }
    for (key, version, body) in [(32, 4, &describe(600_000)), (10, 4, &find(3_000_000))] {
        let mut client = server.client();
        let _ = client.send_raw(&raw_request(key, version, 2, 1, body));
        assert!(is_closed(&mut client), "{key}: too large in memory");
    }
    for negotiated in [false, true] {
        let mut client = server.client();
        if negotiated {
            client.api_versions().unwrap();
        }
        let _ = client.send_raw(&raw_request(10, 4, 2, 1, &find(5_000_000)));
        assert!(is_closed(&mut client), "above what is read");
    }
    // A Produce of a million partitions without records: nobody's.
    let mut client = server.client();
    let topic = [
        &b"\x02t"[..],
        &compact(1_000_000, &[0, 0, 0, 0, 0, 0]),
        &[0],
    ]
    .concat();
    let produce = [&[0, 0, 1, 0, 0, 0, 0][..], &compact(1, &topic), &[0]].concat();
    let _ = client.send_raw(&raw_request(0, 9, 2, 1, &produce));
    assert!(is_closed(&mut client));
    neighbour.check();
}

#[test]
fn half_a_request_and_no_more_harms_nobody() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    let request = raw_request(3, 1, 1, 1, &[0, 0, 0, 0]);
    let mut halves = Vec::new();
    for cut in 1..request.len() {
        let mut client = server.client();
        client.send_raw(&request[..cut]).unwrap();
        halves.push(client);
    }
    // Announces 100 MiB and sends 100 KB of it.
    let mut large = server.client();
    large.api_versions().unwrap();
    large.send_raw(&(100i32 << 20).to_be_bytes()).unwrap();
    large
        .send_raw(&raw_request(0, 9, 2, 1, &vec![0; 100_000])[4..])
        .unwrap();
    neighbour.check();
    // The rest may come later, byte by byte.
    for (cut, client) in (1..request.len()).zip(&mut halves) {
        for byte in &request[cut..] {
            client.send_raw(&[*byte]).unwrap();
        }
        assert!(client.receive_frame().is_ok(), "cut at {cut}");
    }
    drop(large);
    neighbour.check();
}

#[test]
fn counts_beyond_the_bytes_that_are_there_close_the_connection() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    let varint_max = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let cases: Vec<(i16, i16, Vec<u8>)> = vec![
        (3, 1, i32::MAX.to_be_bytes().to_vec()),
        (3, 1, (-2i32).to_be_bytes().to_vec()),
        (3, 1, 1_000_000i32.to_be_bytes().to_vec()),
        (3, 9, varint_max.to_vec()),
        (3, 9, vec![0xff; 10]),
        (3, 12, [&[1][..], &[0, 0], &varint_max].concat()),
        (
            0,
            9,
            [&[0][..], &[0xff, 0xff], &[0; 4], &varint_max].concat(),
        ),
        (
            0,
            3,
            [
                &[0xff, 0xff, 0xff, 0xff],
                &[0, 0, 0, 0][..],
                &i32::MAX.to_be_bytes(),
            ]
            .concat(),
        ),
        (
            1,
            4,
            [&[0xff; 4][..], &[0; 13], &i32::MAX.to_be_bytes()].concat(),
        ),
        (18, 3, varint_max.to_vec()),
        (10, 0, vec![0x7f, 0xff]),
        (10, 0, vec![0xff, 0xff]),
        (22, 2, vec![0, 0, 0, 0, 0, 0xff]),
    ];
    for (key, version, body) in cases {
        let mut client = server.client();
        let flexible = ApiKey::try_from(key).unwrap().is_flexible(version);
        client
            .send_raw(&raw_request(
                key,
                version,
                if flexible { 2 } else { 1 },
                1,
                &body,
            ))
            .unwrap();
        assert!(is_closed(&mut client), "{key} {version} {body:?}");
        neighbour.check();
    }
}

#[test]
fn a_client_id_that_is_no_text_closes_the_connection() {
    let server = Server::start();
    let mut client = server.client();
    let mut request = raw_request(3, 1, 1, 1, &[0, 0, 0, 0]);
    request[14..18].copy_from_slice(&[0xff, 0xfe, 0xff, 0xfe]);
    client.send_raw(&request).unwrap();
    assert!(is_closed(&mut client));
}

/// One request of each API with something in every list, in its newest version.
fn samples(records: &[u8]) -> Vec<(ApiKey, i16, Vec<u8>)> {
    fn sample<R: Request>(request: &R, version: i16) -> (ApiKey, i16, Vec<u8>) {
        let frame = encode_request(request, version, 5, Some("test")).unwrap();
        (R::KEY, version, frame.to_bytes().unwrap().to_vec())
    }
    let produce = ProduceRequest {
        transactional_id: None,
        acks: 1,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: "t",
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
    };
    let fetch = FetchRequest {
        max_bytes: 1000,
        topics: vec![FetchTopic {
            topic: "t",
            partitions: vec![FetchPartition {
                partition_max_bytes: 100,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let list = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: "t",
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let metadata = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("t"),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let coordinator = FindCoordinatorRequest {
        coordinator_keys: vec!["g"],
        ..FindCoordinatorRequest::default()
    };
    let versions = ApiVersionsRequest {
        client_software_name: "a",
        client_software_version: "1",
        ..ApiVersionsRequest::default()
    };
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "made",
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let delete = DeleteTopicsRequest {
        topic_names: vec!["gone"],
        ..DeleteTopicsRequest::default()
    };
    let producer = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 0,
        producer_id: -1,
        producer_epoch: -1,
    };
    let epochs = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "t",
            partitions: vec![OffsetForLeaderPartition::default()],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let configs = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: "t",
            configuration_keys: Some(vec!["segment.ms"]),
        }],
        ..DescribeConfigsRequest::default()
    };
    vec![
        sample(&produce, 12),
        sample(&fetch, 12),
        sample(&list, 11),
        sample(&metadata, 13),
        sample(&coordinator, 6),
        sample(&versions, 4),
        sample(&create, 7),
        sample(&delete, 5),
        sample(&producer, 5),
        sample(&epochs, 4),
        sample(&configs, 4),
        sample(&DescribeClusterRequest::default(), 2),
    ]
}

#[test]
fn requests_cut_anywhere_close_the_connection() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    drop(server.client_with("t", 1, &[]));
    for (key, version, request) in samples(&batch(&["v"])) {
        let mut client = server.client();
        client.send_raw(&request).unwrap();
        assert!(
            client.receive_frame().is_ok(),
            "{key:?} {version} as it should be"
        );
        for cut in 5..request.len() {
            let mut client = server.client();
            let mut short = request[..cut].to_vec();
            short[..4].copy_from_slice(&(cut as i32 - 4).to_be_bytes());
            client.send_raw(&short).unwrap();
            assert!(is_closed(&mut client), "{key:?} {version} cut at {cut}");
        }
        neighbour.check();
    }
}

#[test]
fn bytes_after_a_request_are_ignored() {
    // As Kafka does: its parser stops where the message ends.
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    for (key, version, mut request) in samples(&batch(&["v"])) {
        request.extend([0xee; 7]);
        let length = request.len() as i32 - 4;
        request[..4].copy_from_slice(&length.to_be_bytes());
        client.send_raw(&request).unwrap();
        assert!(client.receive_frame().is_ok(), "{key:?} {version}");
    }
}

#[test]
fn changed_bytes_harm_nobody() {
    const ROUNDS: u32 = 2_000;
    let seed = std::env::var("OTTLA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_260_822u64);
    println!("seed {seed}");
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    drop(server.client_with("t", 1, &[]));
    let samples = samples(&batch(&["v"]));
    let mut state = seed;
    let mut random = move |below: usize| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    for round in 0..ROUNDS {
        let (key, _, request) = &samples[random(samples.len())];
        let mut request = request.clone();
        for _ in 0..=random(4) {
            // Behind the correlation id; the length must hold, or nothing of the request is read.
            let at = 12 + random(request.len() - 12);
            request[at] = match random(4) {
                0 => 0xff,
                1 => 0x7f,
                2 => 0,
                _ => random(256) as u8,
            };
        }
        let mut client = server.client();
        client.send_raw(&request).unwrap();
        // Nothing more comes: so a fetch that would wait for days answers now, and a Produce that
        // turned into one without an answer ends the connection, too.
        client.finish_sending().unwrap();
        let answer = client.receive_frame();
        if let Err(error) = &answer {
            assert!(error.is_closed(), "{key:?} {request:?}: {error}");
        }
        assert!(
            answer.is_err() || is_closed(&mut client),
            "{key:?} {request:?}"
        );
        if round % 200 == 0 {
            neighbour.check();
        }
    }
    neighbour.check();
}
