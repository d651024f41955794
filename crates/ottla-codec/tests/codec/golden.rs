//! Batches as other implementations wrote them, see `golden/README.md`.

use bytes::BytesMut;
use ottla_codec::{Buffer, Rules, compress, payload, verify};
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead, Codec, records};
use ottla_model::ids::{ProducerEpoch, ProducerId, Sequence};

use crate::common::RULES;

pub(crate) fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The batches of a file: codec name and bytes.
fn batches(file: &str) -> Vec<(Codec, BytesMut)> {
    let batches: Vec<_> = file
        .lines()
        .map(|line| {
            let (name, bytes) = line.split_once(' ').unwrap();
            let codec = match name {
                "none" => Codec::None,
                "gzip" => Codec::Gzip,
                "snappy" => Codec::Snappy,
                "lz4" => Codec::Lz4,
                "zstd" => Codec::Zstd,
                other => panic!("codec {other}"),
            };
            (codec, hex(bytes)[..].into())
        })
        .collect();
    assert_eq!(batches.len(), 5);
    batches
}

const LATER: Rules = Rules {
    timestamp: ottla_codec::TimestampRule::CreateTime {
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        now: ottla_model::time::WallMs(1_800_000_000_000),
    },
    ..RULES
};

#[test]
fn java_batches_verify_and_read() {
    for (codec, bytes) in batches(include_str!("golden/java.txt")) {
        let batch = verify(bytes.clone(), &LATER).unwrap();
        assert_eq!(batch.bytes(), bytes);
        let head = batch.head();
        assert_eq!(head.attributes.codec(), Ok(codec));
        assert!(head.attributes.is_transactional());
        assert_eq!(head.producer_id, ProducerId(4242));
        assert_eq!(head.producer_epoch, ProducerEpoch(3));
        assert_eq!(
            (head.base_sequence, head.last_sequence()),
            (Sequence(17), Sequence(19))
        );
        assert_eq!(head.max_timestamp_ms, 1_700_000_000_250);

        let mut buffer = Buffer::new();
        let section = payload(head, batch.bytes(), 1_000, &mut buffer).unwrap();
        let all: Vec<_> = records(section, 3).map(Result::unwrap).collect();
        let words = |count| "value ".repeat(count).into_bytes();
        assert_eq!(
            (all[0].key, all[0].value),
            (Some(&b"key-1"[..]), Some(&words(24)[..]))
        );
        assert_eq!((all[1].key, all[1].value), (None, Some(&words(12)[..])));
        assert_eq!((all[2].key, all[2].value), (Some(&b""[..]), None));
        assert_eq!(
            [0, 1, 2].map(|at| all[at].timestamp_delta),
            [0, 250, -1_000]
        );
        let headers: Vec<_> = all[0].headers.clone().map(|h| (h.key, h.value)).collect();
        assert_eq!(headers, [(&b"h"[..], Some(&b"one"[..])), (b"h", None)]);
    }
}

#[test]
fn librdkafka_batches_verify_and_read() {
    for (codec, bytes) in batches(include_str!("golden/librdkafka.txt")) {
        let batch = verify(bytes.clone(), &LATER).unwrap();
        assert_eq!(batch.bytes(), bytes);
        assert_eq!(batch.head().attributes.codec(), Ok(codec));
        let mut buffer = Buffer::new();
        let section = payload(batch.head(), batch.bytes(), 1_000, &mut buffer).unwrap();
        for (at, record) in records(section, batch.head().record_count).enumerate() {
            let record = record.unwrap();
            assert_eq!(record.key, Some(format!("key-{at}").as_bytes()));
            assert_eq!(record.value, Some("value ".repeat(20).as_bytes()));
            let headers: Vec<_> = record.headers.map(|h| (h.key, h.value)).collect();
            assert_eq!(
                headers,
                [(&b"h"[..], Some(&b"one"[..])), (b"h", Some(b"two"))]
            );
        }
    }
}

/// What is written here has the frame that Java writes: same stream headers, up to the first block.
#[test]
fn frames_are_java_s() {
    for (codec, bytes) in batches(include_str!("golden/java.txt")) {
        let head = BatchHead::parse(&bytes).unwrap();
        let mut buffer = Buffer::new();
        let section = payload(&head, &bytes, 1_000, &mut buffer).unwrap();
        let ours = compress(codec, section, None);
        let java = &bytes[BATCH_HEADER_BYTES..];
        let same = match codec {
            Codec::None => java.len(),
            // Magic and method; magic and versions; magic, descriptor and checksum; magic.
            Codec::Gzip => 3,
            Codec::Snappy => 16,
            Codec::Lz4 => 7,
            Codec::Zstd => 4,
        };
        assert_eq!(ours[..same], java[..same], "{codec:?}");
        assert!(
            ours.len() <= java.len() + 8,
            "{codec:?}: {} and {}",
            ours.len(),
            java.len()
        );
    }
}
