//! The facts of the schema, held against the crate `kafka-protocol`, which was generated from Kafka's own
//! definitions (4.1): what we write, it reads, and writes back unchanged.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{self as theirs, RequestKind, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable, Message};

use super::{load, rounds, wire};
use ottla_schema::model::{Module, Role, Struct};
use ottla_schema::random::{Random, value};

/// Reads and writes with their code. `None` if it does not know the version: what it says of a key is wider
/// than what its messages accept, so only trying tells.
fn through_them(role: Role, name: &str, version: i16, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut input = Bytes::copy_from_slice(bytes);
    let mut output = BytesMut::new();
    match role {
        Role::Request(key) => {
            let key = theirs::ApiKey::try_from(key).ok()?;
            let body = known(RequestKind::decode(key, &mut input, version), name)?;
            body.encode(&mut output, version).expect(name);
        }
        Role::Response(key) => {
            let key = theirs::ApiKey::try_from(key).ok()?;
            let body = known(ResponseKind::decode(key, &mut input, version), name)?;
            body.encode(&mut output, version).expect(name);
        }
        role => panic!("{role:?} is no message"),
    }
    assert!(
        input.is_empty(),
        "they leave {} bytes of {name}",
        input.len()
    );
    Some(output.to_vec())
}

fn known<T, E: std::fmt::Debug>(read: Result<T, E>, name: &str) -> Option<T> {
    match read {
        Ok(body) => Some(body),
        Err(error) if format!("{error:?}").contains("specified version not supported") => None,
        Err(error) => panic!("{name}: {error:?}"),
    }
}

#[test]
fn another_implementation_reads_every_message_alike() {
    let mut unknown = BTreeSet::new();
    wire::each(|_, name, s, version, value| {
        match through_them(s.role, name, version, &value.bytes) {
            Some(bytes) => assert_eq!(bytes, value.bytes, "{name}"),
            None => drop(unknown.insert(format!("{} v{version}", s.name))),
        }
    });
    // Newer than Kafka 4.1, or unstable there: these rest on the schema alone. Older than 4.0: on it and on
    // old clients.
    let expected: [(&str, &[i16]); 34] = [
        ("Produce", &[0, 1, 2]),
        ("Fetch", &[0, 1, 2, 3]),
        ("ListOffsets", &[0, 11]),
        ("OffsetCommit", &[0, 1]),
        ("OffsetCommitRequest", &[10]),
        ("OffsetFetch", &[0]),
        ("OffsetFetchRequest", &[10]),
        ("ApiVersions", &[5]),
        ("CreateTopics", &[0, 1]),
        ("DeleteTopics", &[0]),
        ("OffsetForLeaderEpoch", &[0, 1]),
        ("WriteTxnMarkers", &[0, 2]),
        ("TxnOffsetCommit", &[6]),
        ("DescribeAcls", &[0]),
        ("CreateAcls", &[0]),
        ("DeleteAcls", &[0]),
        ("DescribeConfigs", &[0]),
        ("AlterReplicaLogDirs", &[0]),
        ("DescribeLogDirs", &[0, 5]),
        ("CreateDelegationToken", &[0]),
        ("RenewDelegationToken", &[0]),
        ("ExpireDelegationToken", &[0]),
        ("DescribeDelegationToken", &[0]),
        ("DeleteGroups", &[3]),
        ("ShareFetch", &[2]),
        ("ShareAcknowledge", &[2]),
        ("AddRaftVoter", &[1]),
        ("WriteShareGroupState", &[1]),
        ("ReadShareGroupStateSummary", &[1]),
        ("StreamsGroupHeartbeat", &[0, 1]),
        ("StreamsGroupDescribe", &[0, 1]),
        ("DescribeShareGroupOffsets", &[1]),
        ("StreamsGroupTopologyDescriptionUpdate", &[0]),
        ("UnregisterController", &[0]),
    ];
    let expected = expected.iter().flat_map(|&(name, versions)| {
        let which: &[&str] = match name.ends_with("Request") {
            true => &[""],
            false => &["Request", "Response"],
        };
        versions
            .iter()
            .flat_map(move |v| which.iter().map(move |which| format!("{name}{which} v{v}")))
    });
    assert_eq!(unknown, expected.collect());
}

fn same<T: Message + Decodable + Encodable>(rng: &mut Random, module: &Module, s: &Struct) {
    assert_eq!(
        (T::VERSIONS.min, T::VERSIONS.max),
        (s.versions.min, s.versions.max),
        "{}",
        s.name
    );
    for version in s.versions.each() {
        for _ in 0..rounds() {
            let bytes = value(rng, module, s, version).bytes;
            let mut input = Bytes::from(bytes.clone());
            let theirs = T::decode(&mut input, version).expect(&s.name);
            let mut output = BytesMut::new();
            theirs.encode(&mut output, version).expect(&s.name);
            assert_eq!(
                (input.len(), &output[..]),
                (0, &bytes[..]),
                "{} v{version}",
                s.name
            );
        }
    }
}

#[test]
fn another_implementation_reads_headers_and_control_records_alike() {
    let schema = load().unwrap();
    let mut rng = Random::announced();
    let mut seen = 0;
    for module in schema.wire.iter().chain(&schema.records) {
        for s in &module.structs {
            let same = match s.name.as_str() {
                "RequestHeader" => same::<theirs::RequestHeader>,
                "ResponseHeader" => same::<theirs::ResponseHeader>,
                "EndTxnMarker" => same::<theirs::EndTxnMarker>,
                "LeaderChangeMessage" => same::<theirs::LeaderChangeMessage>,
                "SnapshotHeaderRecord" => same::<theirs::SnapshotHeaderRecord>,
                "SnapshotFooterRecord" => same::<theirs::SnapshotFooterRecord>,
                "KRaftVersionRecord" => same::<theirs::KRaftVersionRecord>,
                "VotersRecord" => same::<theirs::VotersRecord>,
                _ => continue,
            };
            same(&mut rng, module, s);
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}
