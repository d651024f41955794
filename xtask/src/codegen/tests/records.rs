//! Headers and stored records: round trips and truncation.

use std::error::Error;

use ottla_model::primitives::Reader;
use ottla_model::records::{
    MetadataRecord, consumer_group, consumer_offsets, log, raft, share_group, share_group_state,
    streams_group, transaction_state,
};
use ottla_wire::headers;

use super::{load, rounds};
use ottla_schema::model::{Role, Struct, VersionPlace};
use ottla_schema::random::{Random, value};

macro_rules! through {
    ($s:expr, $version:expr, $input:expr, $($ty:ty),*) => {{
        let (mut r, mut w) = (Reader::new($input), Vec::new());
        $(if stringify!($ty).ends_with(&format!("::{}", $s.name)) {
            let value = <$ty>::decode(&mut r, $version)?;
            value.encode(&mut w, $version)?;
            r.finish()?;
            return Ok(w);
        })*
        panic!("no type for {}", $s.name)
    }};
}

/// Reads and writes with the generated code. Metadata records with their frame.
fn through_us(s: &Struct, version: i16, input: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    if let Role::Record(_) = s.role {
        let (record, read) = MetadataRecord::decode_framed(input)?;
        assert_eq!(read, version);
        assert!(record.versions().contains(&version));
        let owned = record.clone().into_owned();
        // As text: a quota may be NaN, which equals nothing.
        assert_eq!(format!("{owned:?}"), format!("{record:?}"));
        let mut w = Vec::new();
        owned.encode_framed(&mut w, version)?;
        return Ok(w);
    }
    through!(
        s,
        version,
        input,
        headers::RequestHeader,
        headers::ResponseHeader,
        log::EndTxnMarker,
        log::AbortedTxn,
        log::ProducerSnapshot,
        raft::LeaderChangeMessage,
        raft::SnapshotHeaderRecord,
        raft::SnapshotFooterRecord,
        raft::KRaftVersionRecord,
        raft::VotersRecord,
        consumer_offsets::LegacyOffsetCommitKey,
        consumer_offsets::LegacyOffsetCommitValue,
        consumer_offsets::OffsetCommitKey,
        consumer_offsets::OffsetCommitValue,
        consumer_offsets::GroupMetadataKey,
        consumer_offsets::GroupMetadataValue,
        consumer_group::ConsumerGroupMetadataKey,
        consumer_group::ConsumerGroupMetadataValue,
        consumer_group::ConsumerGroupPartitionMetadataKey,
        consumer_group::ConsumerGroupPartitionMetadataValue,
        consumer_group::ConsumerGroupMemberMetadataKey,
        consumer_group::ConsumerGroupMemberMetadataValue,
        consumer_group::ConsumerGroupTargetAssignmentMetadataKey,
        consumer_group::ConsumerGroupTargetAssignmentMetadataValue,
        consumer_group::ConsumerGroupTargetAssignmentMemberKey,
        consumer_group::ConsumerGroupTargetAssignmentMemberValue,
        consumer_group::ConsumerGroupCurrentMemberAssignmentKey,
        consumer_group::ConsumerGroupCurrentMemberAssignmentValue,
        consumer_group::ConsumerGroupRegularExpressionKey,
        consumer_group::ConsumerGroupRegularExpressionValue,
        share_group::ShareGroupMemberMetadataKey,
        share_group::ShareGroupMemberMetadataValue,
        share_group::ShareGroupMetadataKey,
        share_group::ShareGroupMetadataValue,
        share_group::ShareGroupTargetAssignmentMetadataKey,
        share_group::ShareGroupTargetAssignmentMetadataValue,
        share_group::ShareGroupTargetAssignmentMemberKey,
        share_group::ShareGroupTargetAssignmentMemberValue,
        share_group::ShareGroupCurrentMemberAssignmentKey,
        share_group::ShareGroupCurrentMemberAssignmentValue,
        share_group::ShareGroupStatePartitionMetadataKey,
        share_group::ShareGroupStatePartitionMetadataValue,
        streams_group::StreamsGroupMetadataKey,
        streams_group::StreamsGroupMetadataValue,
        streams_group::StreamsGroupMemberMetadataKey,
        streams_group::StreamsGroupMemberMetadataValue,
        streams_group::StreamsGroupTargetAssignmentMetadataKey,
        streams_group::StreamsGroupTargetAssignmentMetadataValue,
        streams_group::StreamsGroupTargetAssignmentMemberKey,
        streams_group::StreamsGroupTargetAssignmentMemberValue,
        streams_group::StreamsGroupCurrentMemberAssignmentKey,
        streams_group::StreamsGroupCurrentMemberAssignmentValue,
        streams_group::StreamsGroupTopologyKey,
        streams_group::StreamsGroupTopologyValue,
        transaction_state::TransactionLogKey,
        transaction_state::TransactionLogValue,
        share_group_state::ShareSnapshotKey,
        share_group_state::ShareSnapshotValue,
        share_group_state::ShareUpdateKey,
        share_group_state::ShareUpdateValue
    )
}

#[test]
fn every_record_is_written_as_it_was_read_and_every_prefix_refused() {
    let schema = load().unwrap();
    let mut rng = Random::announced();
    let mut seen = 0;
    for module in schema.wire.iter().chain(&schema.records) {
        for s in &module.structs {
            if matches!(s.role, Role::Request(_) | Role::Response(_) | Role::Part) {
                continue;
            }
            for version in s.versions.each() {
                for _ in 0..rounds() {
                    let mut bytes = value(&mut rng, module, s, version).bytes;
                    if let Role::Record(key) = s.role {
                        bytes.splice(0..0, [1, key as u8, version as u8]);
                    }
                    let name = format!("{} v{version}: {bytes:02x?}", s.name);
                    assert_eq!(
                        through_us(s, version, &bytes).expect(&name),
                        bytes,
                        "{name}"
                    );
                    for length in 0..bytes.len() {
                        let result = through_us(s, version, &bytes[..length]);
                        assert!(result.is_err(), "{length} bytes of {name}");
                    }
                }
            }
            seen += 1;
        }
    }
    // 2 headers, 27 metadata records, 3 values of the log, 5 control records, 50 keys and values of
    // coordinators.
    assert_eq!(seen, 87);
}

#[test]
fn values_carry_their_version() {
    let schema = load().unwrap();
    let place = |name: &str| {
        let s = schema
            .records
            .iter()
            .find_map(|module| module.find(name))
            .unwrap();
        s.role
    };
    assert_eq!(place("AbortedTxn"), Role::Value(VersionPlace::Before));
    let txn = log::AbortedTxn {
        producer_id: 1,
        first_offset: 2,
        last_offset: 3,
        last_stable_offset: 4,
    };
    let mut w = Vec::new();
    txn.encode_versioned(&mut w, 0).unwrap();
    assert_eq!(w.len(), 34, "an entry of .txnindex");
    assert_eq!(
        log::AbortedTxn::decode_versioned(&mut Reader::new(&w)),
        Ok((txn, 0))
    );

    assert_eq!(
        place("SnapshotFooterRecord"),
        Role::Value(VersionPlace::Inside)
    );
    assert_eq!(
        raft::SnapshotFooterRecord::decode_versioned(&mut Reader::new(&[0, 0, 0])),
        Ok((raft::SnapshotFooterRecord { version: 0 }, 0))
    );
}
