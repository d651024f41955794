//! Message sets of format v0 and v1 written by hand, and what tests ask of them.
//!
//! The layout is that of Kafka's protocol guide: offset i64, size i32, then crc u32, magic i8,
//! attributes i8, timestamp i64 (v1 only), key and value as i32 length and bytes.

use ottla_codec::{Buffer, MessageFormat, Rules, compress, downgrade, payload, upgrade};
use ottla_model::batch::{BatchHead, Codec, TimestampType, VerifiedBatch, records};
use ottla_model::ids::{LeaderEpoch, Offset};

use crate::common::{NOW_MS, RULES};

pub(crate) const OLD_CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];

pub(crate) const OLD: Rules = Rules {
    produce_version: 2,
    ..RULES
};

/// A message as it stands on the wire. `magic` 0 has no timestamp.
pub(crate) fn message(
    (magic, attributes): (u8, u8),
    (offset, timestamp_ms): (i64, i64),
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic == 1 {
        body.extend(timestamp_ms.to_be_bytes());
    }
    for field in [key, value] {
        body.extend(field.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        body.extend(field.unwrap_or_default());
    }
    sealed(offset, &body)
}

/// Offset, size and CRC before what they are of.
pub(crate) fn sealed(offset: i64, body: &[u8]) -> Vec<u8> {
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend((body.len() as i32 + 4).to_be_bytes());
    bytes.extend(crc32fast::hash(body).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A wrapper around a set.
pub(crate) fn wrapper(
    (magic, codec): (u8, Codec),
    (offset, timestamp_ms): (i64, i64),
    set: &[u8],
) -> Vec<u8> {
    let value = compress(codec, set, None);
    message(
        (magic, codec as u8),
        (offset, timestamp_ms),
        None,
        Some(&value),
    )
}

pub(crate) fn v0(offset: i64, key: Option<&str>, value: &str) -> Vec<u8> {
    let key = key.map(str::as_bytes);
    message((0, 0), (offset, -1), key, Some(value.as_bytes()))
}

pub(crate) fn v1(offset: i64, key: Option<&str>, value: &str) -> Vec<u8> {
    let key = key.map(str::as_bytes);
    message((1, 0), (offset, NOW_MS), key, Some(value.as_bytes()))
}

#[track_caller]
pub(crate) fn up(set: &[u8], rules: &Rules) -> VerifiedBatch {
    let batch = upgrade(set, rules, None).unwrap().unwrap();
    assert_eq!(BatchHead::parse(batch.bytes()).as_ref(), Ok(batch.head()));
    assert!(batch.head().crc_matches(batch.bytes()));
    batch
}

pub(crate) type Record = (i64, Option<Vec<u8>>, Option<Vec<u8>>, i64);

/// Offset, key, value and timestamp of each record of a batch.
pub(crate) fn content(batch: &[u8]) -> Vec<Record> {
    let head = BatchHead::parse(batch).unwrap();
    let mut buffer = Buffer::new();
    let section = payload(&head, batch, 64 << 20, &mut buffer).unwrap();
    let append_time = head.attributes.timestamp_type() == TimestampType::LogAppendTime;
    records(section, head.record_count)
        .map(|record| {
            let record = record.unwrap();
            assert!(record.headers.is_empty());
            let timestamp_ms = if append_time {
                head.max_timestamp_ms
            } else {
                head.base_timestamp_ms + record.timestamp_delta
            };
            (
                head.base_offset.0 + i64::from(record.offset_delta),
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                timestamp_ms,
            )
        })
        .collect()
}

pub(crate) fn down(
    batches: &[u8],
    format: MessageFormat,
    first: i64,
    bytes_max: usize,
) -> (Vec<u8>, i64) {
    let done = downgrade(batches, format, Offset(first), bytes_max, 64 << 20).unwrap();
    (done.set, done.next.0)
}

/// The offsets of a set of whole messages.
pub(crate) fn offsets(mut set: &[u8]) -> Vec<i64> {
    let mut found = Vec::new();
    while !set.is_empty() {
        found.push(i64::from_be_bytes(set[..8].try_into().unwrap()));
        let size = i32::from_be_bytes(set[8..12].try_into().unwrap());
        set = &set[12 + size as usize..];
    }
    found
}

/// A batch as it lies in a log at `base`.
pub(crate) fn stored(mut batch: VerifiedBatch, base: i64) -> Vec<u8> {
    batch.stamp(Offset(base), LeaderEpoch(3));
    batch.bytes().to_vec()
}
