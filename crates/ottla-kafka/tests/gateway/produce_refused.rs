//! Produce: what is refused, and with which code.

use ottla_kafka::error_map::ErrorCode;
use ottla_model::batch::{Attributes, BatchSpec};
use ottla_model::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::{LATEST, batches};
use ottla_wire::create_topics::{CreatableTopic, CreateTopicsRequest};

use crate::produce::{call, code, request};
use crate::support::{Neighbour, Server, batch, batch_of};

#[test]
fn what_is_unknown_or_impossible_is_refused_partition_by_partition() {
    let server = Server::start();
    let mut client = server.client_with("t", 2, &[]);
    let good = batch(&["v"]);
    let answered = call(
        &mut client,
        &request(
            -1,
            &[
                ("t", &[(0, &good), (2, &good), (-1, &good)]),
                ("u", &[(0, &good)]),
                ("", &[(0, &good)]),
            ],
        ),
        9,
    );
    let codes: Vec<_> = answered
        .iter()
        .map(|a| (a.topic.as_str(), a.index, a.code, a.base_offset))
        .collect();
    use ErrorCode::UnknownTopicOrPartition as Unknown;
    assert_eq!(
        codes,
        [
            ("t", 0, ErrorCode::None, 0),
            ("t", 2, Unknown, -1),
            ("t", -1, Unknown, -1),
            ("u", 0, Unknown, -1),
            ("", 0, Unknown, -1)
        ]
    );
    for acks in [2, -2, i16::MAX, i16::MIN] {
        let request = request(acks, &[("t", &[(0, &good), (9, &good)])]);
        let codes: Vec<_> = call(&mut client, &request, 7)
            .iter()
            .map(|a| a.code)
            .collect();
        assert_eq!(
            codes,
            [ErrorCode::InvalidRequiredAcks, Unknown],
            "acks {acks}"
        );
    }
    let mut by_id = request(-1, &[("", &[(0, &good)])]);
    for id in [Uuid([3; 16]), Uuid::ZERO] {
        by_id.topic_data[0].topic_id = id;
        assert_eq!(
            call(&mut client, &by_id, 13)[0].code,
            ErrorCode::UnknownTopicId
        );
    }
    assert_eq!(call(&mut client, &request(-1, &[]), 9), []);
}

#[test]
fn batches_that_lie_are_refused_and_neighbours_notice_nothing() {
    let server = Server::start();
    let mut neighbour = Neighbour::new(&server);
    let mut client = server.client_with("t", 1, &[]);
    let good = batch(&["v", "w"]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = changed(change);
        let mut head = ottla_model::batch::BatchHead::parse(&bytes).unwrap();
        head.seal(&mut bytes);
        bytes
    };
    let twice = [&good[..], &good[..]].concat();
    let cases: Vec<(&str, Vec<u8>, ErrorCode)> = vec![
        ("nothing", Vec::new(), ErrorCode::InvalidRecord),
        (
            "half a batch",
            good[..good.len() / 2].to_vec(),
            ErrorCode::InvalidRecord,
        ),
        ("two batches", twice, ErrorCode::InvalidRecord),
        (
            "a wrong CRC",
            changed(&|b| b[17] ^= 1),
            ErrorCode::CorruptMessage,
        ),
        (
            "a changed value",
            changed(&|b| *b.last_mut().unwrap() ^= 1),
            ErrorCode::CorruptMessage,
        ),
        (
            "format 1",
            changed(&|b| b[16] = 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "format 3",
            changed(&|b| b[16] = 3),
            ErrorCode::CorruptMessage,
        ),
        (
            "length 13",
            changed(&|b| b[8..12].copy_from_slice(&13i32.to_be_bytes())),
            ErrorCode::CorruptMessage,
        ),
        (
            "length -1",
            changed(&|b| b[8..12].copy_from_slice(&(-1i32).to_be_bytes())),
            ErrorCode::CorruptMessage,
        ),
        (
            "length 2^31-1",
            changed(&|b| b[8..12].copy_from_slice(&i32::MAX.to_be_bytes())),
            ErrorCode::InvalidRecord,
        ),
        (
            "a control batch",
            resealed(&|b| b[22] |= 0x20),
            ErrorCode::InvalidRecord,
        ),
        (
            "three records",
            resealed(&|b| b[60] = 3),
            ErrorCode::InvalidRecord,
        ),
        (
            "no records",
            resealed(&|b| b[60] = 0),
            ErrorCode::InvalidRecord,
        ),
        (
            "2^31-1 records",
            resealed(&|b| {
                b[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
                b[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
            }),
            ErrorCode::InvalidRecord,
        ),
        (
            "codec 7",
            resealed(&|b| b[22] |= 7),
            ErrorCode::InvalidRecord,
        ),
        (
            "gzip that is none",
            resealed(&|b| b[22] |= 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "a base offset",
            changed(&|b| b[7] = 1),
            ErrorCode::InvalidRecord,
        ),
    ];
    for version in [3, 8, 12] {
        for (what, bytes, expected) in &cases {
            assert_eq!(
                code(&mut client, "t", bytes, version),
                *expected,
                "{what} in version {version}"
            );
            neighbour.check();
        }
    }
    let mut null = request(-1, &[("t", &[(0, &good)])]);
    null.topic_data[0].partition_data[0].records = None;
    assert_eq!(
        call(&mut client, &null, 9)[0].code,
        ErrorCode::InvalidRecord
    );
    // Nothing of all this was appended.
    assert_eq!(client.list_offset("t", 0, LATEST).unwrap().offset, 0);
    assert_eq!(code(&mut client, "t", &good, 12), ErrorCode::None);
}

#[test]
fn topics_decide_on_size_keys_and_time() {
    let server = Server::start();
    let mut client = server.client_with("small", 1, &[("max.message.bytes", "100")]);
    client
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .unwrap();
    client
        .create_topic("recent", 1, &[("message.timestamp.before.max.ms", "60000")])
        .unwrap();
    client
        .create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")])
        .unwrap();

    assert_eq!(
        code(&mut client, "small", &batch(&["v"]), 9),
        ErrorCode::None
    );
    assert_eq!(
        code(&mut client, "small", &batch(&[&"v".repeat(100)]), 9),
        ErrorCode::MessageTooLarge
    );

    let records = [(Some("k"), "v"), (None, "w"), (Some("k"), "x"), (None, "y")];
    let keyless = batch_of(BatchSpec::default(), &records);
    let answered = call(
        &mut client,
        &request(-1, &[("compacted", &[(0, &keyless)])]),
        8,
    );
    assert_eq!(
        (answered[0].code, &answered[0].records[..]),
        (ErrorCode::InvalidRecord, &[1, 3][..])
    );
    assert_eq!(
        code(&mut client, "compacted", &keyless, 7),
        ErrorCode::InvalidRecord
    );
    let keyed = batch_of(BatchSpec::default(), &records[..1]);
    assert_eq!(code(&mut client, "compacted", &keyed, 8), ErrorCode::None);

    let answered = call(
        &mut client,
        &request(-1, &[("recent", &[(0, &batch(&["old"]))])]),
        8,
    );
    assert_eq!(
        (answered[0].code, &answered[0].records[..]),
        (ErrorCode::InvalidTimestamp, &[0][..])
    );

    let records = batch(&["v"]);
    let answer = client
        .call(&request(-1, &[("stamped", &[(0, &records)])]), 9)
        .unwrap();
    let stamped_ms = answer.body().unwrap().responses[0].partition_responses[0].log_append_time_ms;
    assert!(stamped_ms > 1_700_000_000_000, "{stamped_ms}");
    let fetched = client.fetch("stamped", 0, 0, 1 << 20, 0).unwrap();
    assert_eq!(
        batches(&fetched.records).unwrap()[0].head.max_timestamp_ms,
        stamped_ms
    );
}

#[test]
fn transactions_are_refused() {
    let server = Server::start();
    let mut client = server.client_with("t", 1, &[]);
    let spec = BatchSpec {
        attributes: Attributes::default().with_transactional(),
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
    };
    let transactional = batch_of(spec, &[(None, "v")]);
    let plain = batch(&["v"]);
    // Without a transactional id nothing of the request is taken.
    let mut request = request(-1, &[("t", &[(0, &transactional)]), ("u", &[(0, &plain)])]);
    let codes: Vec<_> = call(&mut client, &request, 9)
        .iter()
        .map(|a| a.code)
        .collect();
    assert_eq!(codes, [ErrorCode::TransactionalIdAuthorizationFailed; 2]);
    request.transactional_id = Some("id");
    let codes: Vec<_> = call(&mut client, &request, 9)
        .iter()
        .map(|a| a.code)
        .collect();
    assert_eq!(
        codes,
        [
            ErrorCode::InvalidTxnState,
            ErrorCode::UnknownTopicOrPartition
        ]
    );
}

/// Not even of Kafka's tools into the topic of groups: a record that is none of a group would close it.
#[test]
fn internal_topics_take_records_of_the_admin_client_only() {
    let server = Server::start();
    let mut client = server.client();
    let topic = |name| CreatableTopic {
        name,
        num_partitions: 1,
        replication_factor: 3,
        ..CreatableTopic::default()
    };
    let create = CreateTopicsRequest {
        topics: vec![topic("__transaction_state"), topic("__consumer_offsets")],
        ..CreateTopicsRequest::default()
    };
    let answer = client.call(&create, 5).unwrap();
    let created = answer.body().unwrap().topics;
    assert!(created.iter().all(|topic| topic.error_code == 0));
    let records = batch(&["v"]);
    assert_eq!(
        code(&mut client, "__transaction_state", &records, 9),
        ErrorCode::InvalidTopicException
    );
    client.set_client_id(Some("__admin_client"));
    assert_eq!(
        code(&mut client, "__transaction_state", &records, 9),
        ErrorCode::None
    );
    assert_eq!(
        code(&mut client, "__consumer_offsets", &records, 9),
        ErrorCode::InvalidTopicException
    );
    client.set_client_id(None);
    assert_eq!(
        code(&mut client, "__transaction_state", &records, 9),
        ErrorCode::InvalidTopicException
    );
}
