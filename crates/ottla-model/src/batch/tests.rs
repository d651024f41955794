use std::vec::Vec;

use super::varint::{
    put_varint, put_varlong, take_varint, take_varlong, varint_bytes, varlong_bytes,
};
use super::*;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::WallMs;

#[test]
fn varints_round_trip_and_know_their_size() {
    for value in [0, 1, -1, 63, -64, 64, 300, -300, i32::MAX, i32::MIN] {
        let mut bytes = Vec::new();
        put_varint(value, &mut bytes);
        assert_eq!(bytes.len(), varint_bytes(value), "{value}");
        assert_eq!(take_varint(&mut &bytes[..]), Ok(value));
        for cut in 0..bytes.len() {
            assert_eq!(take_varint(&mut &bytes[..cut]), Err(RecordError::Truncated));
        }
    }
    for value in [0, -1, 1 << 40, -(1 << 40), i64::MAX, i64::MIN] {
        let mut bytes = Vec::new();
        put_varlong(value, &mut bytes);
        assert_eq!(bytes.len(), varlong_bytes(value), "{value}");
        assert_eq!(take_varlong(&mut &bytes[..]), Ok(value));
    }
}

#[test]
fn varints_that_do_not_end_are_refused_and_long_forms_are_read() {
    assert_eq!(take_varint(&mut &[0xff; 6][..]), Err(RecordError::Varint));
    assert_eq!(
        take_varint(&mut &[0xff; 4][..]),
        Err(RecordError::Truncated)
    );
    assert_eq!(take_varlong(&mut &[0xff; 11][..]), Err(RecordError::Varint));
    assert_eq!(take_varint(&mut &[0x80, 0x80, 0x00, 7][..]), Ok(0));
    // Bits beyond 32 are dropped, as Kafka drops them.
    assert_eq!(
        take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..]),
        Ok(i32::MIN)
    );
}

/// A record of these body bytes after its attributes and deltas, which are zero.
fn section(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(3 + body.len() as i32, &mut bytes);
    bytes.extend_from_slice(&[0, 0, 0]);
    bytes.extend_from_slice(body);
    bytes
}

#[track_caller]
fn refused(payload: &[u8], count: i32, error: RecordError) {
    let all: Vec<_> = records(payload, count).collect();
    assert_eq!(
        all.last().map(|last| last.as_ref().err()),
        Some(Some(&error))
    );
    assert!(
        all[..all.len() - 1].iter().all(Result::is_ok),
        "nothing follows an error"
    );
}

#[test]
fn every_lie_of_a_records_section_is_an_error() {
    let good = section(&[1, 1, 0]);
    assert!(records(&good, 1).all(|record| record.is_ok()));
    assert_eq!(records(&[], 0).count(), 0);

    refused(&good, -1, RecordError::Count(-1));
    refused(&good, 0, RecordError::Tail(good.len()));
    refused(&good, 2, RecordError::Truncated);
    refused(
        &[good.clone(), good.clone()].concat(),
        1,
        RecordError::Tail(good.len()),
    );
    refused(&good[..good.len() - 1], 1, RecordError::Truncated);
    refused(&[], i32::MAX, RecordError::Truncated);
    refused(&[1], 1, RecordError::Length(-1));
    refused(&[0], 1, RecordError::Truncated);
    refused(&[0xff; 8], 1, RecordError::Varint);
    // Key, then value: of length -2, then longer than the bytes left.
    refused(&section(&[3, 1, 0]), 1, RecordError::Length(-2));
    refused(&section(&[1, 3, 0]), 1, RecordError::Length(-2));
    refused(&section(&[20, 1, 0]), 1, RecordError::Truncated);
    refused(&section(&[1, 20, 0]), 1, RecordError::Truncated);
    // Headers: a count of -1, more than bytes left, a key of length -1, a value beyond the end.
    refused(&section(&[1, 1, 1]), 1, RecordError::HeaderCount(-1));
    refused(&section(&[1, 1, 200, 1]), 1, RecordError::HeaderCount(100));
    refused(&section(&[1, 1, 2, 1, 1]), 1, RecordError::HeaderKey(-1));
    refused(&section(&[1, 1, 2, 0, 20]), 1, RecordError::Truncated);
    refused(&section(&[1, 1, 2, 0, 3]), 1, RecordError::Length(-2));
    refused(&section(&[1, 1, 0, 9]), 1, RecordError::RecordTail(1));
}

#[test]
fn a_built_batch_reads_back_with_nulls_and_duplicate_headers() {
    let spec = BatchSpec {
        attributes: Attributes::default()
            .with_transactional()
            .with_codec(Codec::Zstd),
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(2),
        base_sequence: Sequence(40),
    };
    let mut builder = BatchBuilder::new(spec, 1_000);
    builder.push(
        Some(b"k"),
        Some(b"v"),
        &[("h", Some(b"1")), ("h", None), ("", Some(b""))],
        1_000,
    );
    builder.push(None, None, &[], 900);
    builder.push(Some(b""), Some(b""), &[], 5_000);
    assert_eq!(builder.record_count(), 3);
    let size = builder.size_bytes();
    let batch = builder.build();

    assert_eq!(batch.bytes().len(), size);
    assert_eq!(BatchHead::parse(batch.bytes()), Ok(*batch.head()));
    assert!(batch.head().crc_matches(batch.bytes()));
    let head = batch.head();
    assert_eq!(head.attributes.codec(), Ok(Codec::None));
    assert!(head.attributes.is_transactional());
    assert_eq!(
        (head.base_timestamp_ms, head.max_timestamp_ms),
        (1_000, 5_000)
    );
    assert_eq!((head.record_count, head.last_offset_delta), (3, 2));
    assert_eq!(
        (head.base_offset, head.leader_epoch),
        (Offset(0), LeaderEpoch(-1))
    );
    assert_eq!(head.last_sequence(), Sequence(42));

    let all: Vec<_> = records(&batch.bytes()[BATCH_HEADER_BYTES..], 3)
        .collect::<Result<_, _>>()
        .expect("a built batch is sound");
    assert_eq!(
        all.iter().map(|r| r.offset_delta).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(
        all.iter().map(|r| r.timestamp_delta).collect::<Vec<_>>(),
        [0, -100, 4_000]
    );
    assert_eq!(
        (all[0].key, all[0].value),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert_eq!((all[1].key, all[1].value), (None, None));
    assert_eq!((all[2].key, all[2].value), (Some(&b""[..]), Some(&b""[..])));
    assert!(all[1].headers.is_empty());
    assert_eq!(all[0].headers.len(), 3);
    let headers: Vec<_> = all[0].headers.clone().map(|h| (h.key, h.value)).collect();
    assert_eq!(
        headers,
        [(&b"h"[..], Some(&b"1"[..])), (b"h", None), (b"", Some(b"")),]
    );

    let mut again = Vec::new();
    for record in &all {
        record.encode(&mut again);
    }
    assert_eq!(again, batch.bytes()[BATCH_HEADER_BYTES..]);
}

#[test]
#[should_panic(expected = "invariant")]
fn an_empty_batch_is_not_built() {
    let _ = BatchBuilder::new(BatchSpec::default(), 0).build();
}

#[test]
fn stamping_keeps_or_renews_the_crc() {
    let mut builder = BatchBuilder::new(BatchSpec::default(), 10);
    builder.push(None, Some(b"v"), &[], 10);
    let mut batch = builder.build();
    let crc = batch.head().crc;

    batch.stamp(Offset(99), LeaderEpoch(4));
    assert_eq!(batch.head().crc, crc);
    assert_eq!(BatchHead::parse(batch.bytes()), Ok(*batch.head()));
    assert_eq!(batch.head().next_offset(), Offset(100));

    batch.stamp_create_time(11);
    assert_ne!(batch.head().crc, crc);
    batch.stamp_append_time(WallMs(77));
    assert_eq!(batch.head().max_timestamp_ms, 77);
    assert_eq!(
        batch.head().attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
    let (head, bytes) = batch.freeze();
    assert_eq!(BatchHead::parse(&bytes), Ok(head));
    assert!(head.crc_matches(&bytes));
}

#[test]
fn control_types_round_trip_and_unknown_ones_are_ignored() {
    for (number, kind) in [
        (0, ControlType::Abort),
        (1, ControlType::Commit),
        (2, ControlType::LeaderChange),
        (3, ControlType::SnapshotHeader),
        (4, ControlType::SnapshotFooter),
        (5, ControlType::KRaftVersion),
        (6, ControlType::KRaftVoters),
    ] {
        assert_eq!(kind.encode(), [0, 0, 0, number]);
        assert_eq!(ControlType::decode(&[0, 0, 0, number]), Some(kind));
        assert_eq!(ControlType::decode(&[0, 9, 0, number, 1, 2]), Some(kind));
    }
    for key in [
        &[][..],
        &[0, 0, 0],
        &[0, 0, 0, 7],
        &[0, 0, 0xff, 0xff],
        &[0xff, 0xff, 0, 1],
    ] {
        assert_eq!(ControlType::decode(key), None, "{key:?}");
    }
}
