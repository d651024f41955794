//! Message sets that become batches: against Java's bytes, and each fault by name.

use ottla_codec::{
    BadRecordReason, DecompressError, MessageFormat, Rejection, RejectionKind, Rules,
    TimestampRule, compress, is_old, upgrade,
};
use ottla_model::batch::{BatchHead, Codec};
use ottla_model::time::WallMs;

use crate::common::{NOW_MS, section};
use crate::old_sets::{OLD, content, down, message, sealed, up, v0, v1, wrapper};

#[track_caller]
fn refused(set: &[u8], rules: &Rules) -> Rejection {
    upgrade(set, rules, None).unwrap_err()
}

#[track_caller]
fn refused_because(set: &[u8], why: &str) {
    let rejection = refused(set, &OLD);
    assert_eq!(
        rejection.kind(),
        RejectionKind::InvalidRecord,
        "{rejection}"
    );
    assert!(rejection.to_string().contains(why), "{rejection}");
}

#[test]
fn a_set_by_hand() {
    #[rustfmt::skip]
    let set = [
        // Offset 0, size 16, CRC, magic 0, no attributes, key null, value of 2 bytes.
        0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 16,  0, 0, 0, 0,  0, 0,
        0xff, 0xff, 0xff, 0xff,  0, 0, 0, 2, b'h', b'i',
    ];
    let mut set = set.to_vec();
    let crc = crc32fast::hash(&set[16..]);
    set[12..16].copy_from_slice(&crc.to_be_bytes());
    assert!(is_old(&set));
    let batch = up(&set, &OLD);
    assert_eq!(
        content(batch.bytes()),
        [(0, None, Some(b"hi".to_vec()), -1)]
    );
    assert_eq!(down(batch.bytes(), MessageFormat::V0, 0, 1_000), (set, 1));
}

#[test]
fn java_s_sets_become_the_batches_that_kafka_stores() {
    let file = include_str!("golden/old_java.txt");
    let hex = crate::golden::hex;
    let later = Rules {
        timestamp: TimestampRule::CreateTime {
            before_max_ms: i64::MAX,
            after_max_ms: i64::MAX,
            now: WallMs(NOW_MS),
        },
        ..OLD
    };
    for line in file.lines() {
        let [format, codec, set, kafka] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let (set, kafka) = (hex(set), hex(kafka));
        let ours = up(&set, &later);
        assert_eq!(content(ours.bytes()), content(&kafka), "{format} {codec}");
        let theirs = BatchHead::parse(&kafka).unwrap();
        let head = BatchHead {
            // Compressed bytes differ by library.
            batch_length: theirs.batch_length,
            crc: theirs.crc,
            ..*ours.head()
        };
        assert_eq!(head, theirs, "{format} {codec}");
        if codec == "none" {
            assert_eq!(ours.bytes(), kafka);
            let to = match format {
                "v0" => MessageFormat::V0,
                _ => MessageFormat::V1,
            };
            assert_eq!(down(&kafka, to, 0, 10_000), (set, 3), "{format}");
        }
    }
    assert_eq!(file.lines().count(), 8);
}

#[test]
fn a_topic_s_codec_wins_over_the_set_s() {
    let set = wrapper(
        (1, Codec::Gzip),
        (1, NOW_MS),
        &[v1(0, None, "a"), v1(1, None, "b")].concat(),
    );
    for codec in [Codec::None, Codec::Snappy, Codec::Zstd] {
        let batch = upgrade(&set, &OLD, Some((codec, None))).unwrap().unwrap();
        assert_eq!(batch.head().attributes.codec(), Ok(codec));
        assert_eq!(content(batch.bytes()), content(up(&set, &OLD).bytes()));
    }
    assert_eq!(up(&set, &OLD).head().attributes.codec(), Ok(Codec::Gzip));
}

#[test]
fn offsets_of_a_set_are_assigned_anew() {
    // Absolute, descending, equal, far: v0 and v1, wrapped or not.
    for offsets in [[7, 8], [9, 3], [5, 5], [0, i64::MAX]] {
        let set = offsets.map(|offset| v0(offset, None, "x")).concat();
        assert_eq!(content(up(&set, &OLD).bytes())[1].0, 1);
        let wrapped = wrapper((0, Codec::Snappy), (1, -1), &set);
        assert_eq!(content(up(&wrapped, &OLD).bytes())[1].0, 1);
        // librdkafka: the wrapper's own offset is 0.
        let set = offsets.map(|offset| v1(offset, None, "x")).concat();
        let wrapped = wrapper((1, Codec::Snappy), (0, NOW_MS), &set);
        assert_eq!(content(up(&wrapped, &OLD).bytes())[1].0, 1);
    }
    let set = [v1(0, None, "a"), v1(1, None, "b")].concat();
    for (offset, fits) in [(1, true), (70, true), (-1, false)] {
        let wrapped = wrapper((1, Codec::Gzip), (offset, NOW_MS), &set);
        assert_eq!(upgrade(&wrapped, &OLD, None).is_ok(), fits, "{offset}");
    }
    let beyond = [v1(0, None, "a"), v1(3, None, "b")].concat();
    refused_because(
        &wrapper((1, Codec::Gzip), (2, NOW_MS), &beyond),
        "its offset",
    );
}

#[test]
fn times_are_those_of_the_messages_or_of_a_wrapper_that_claims_the_brokers() {
    let at = |offset, ms| message((1, 0), (offset, ms), None, Some(b"x"));
    let set = [at(0, NOW_MS - 5), at(1, NOW_MS), at(2, -1)].concat();
    for set in [set.clone(), wrapper((1, Codec::Lz4), (2, 77), &set)] {
        let batch = up(&set, &OLD);
        let times: Vec<_> = content(batch.bytes())
            .iter()
            .map(|record| record.3)
            .collect();
        assert_eq!(times, [NOW_MS - 5, NOW_MS, -1]);
        assert_eq!(batch.head().max_timestamp_ms, NOW_MS);
        assert_eq!(batch.head().base_timestamp_ms, NOW_MS - 5);
    }
    let claims = message(
        (1, 0x08 | Codec::Gzip as u8),
        (2, NOW_MS - 9),
        None,
        Some(&compress(Codec::Gzip, &set, None)),
    );
    let times: Vec<_> = content(up(&claims, &OLD).bytes())
        .iter()
        .map(|r| r.3)
        .collect();
    assert_eq!(times, [NOW_MS - 9; 3]);
    // The topic stamps itself: a client must not claim to be the broker.
    let stamping = Rules {
        timestamp: TimestampRule::LogAppendTime,
        ..OLD
    };
    assert_eq!(
        refused(&claims, &stamping).kind(),
        RejectionKind::InvalidTimestamp
    );
    assert!(upgrade(&set, &stamping, None).is_ok());
    // v0 has no bit for it, and no time to be judged.
    let bit = message((0, 0x08), (0, -1), None, Some(b"x"));
    assert!(upgrade(&bit, &stamping, None).is_ok());
}

#[test]
fn times_and_keys_are_judged_as_the_topic_says() {
    let far = message((1, 0), (0, NOW_MS + 4_000_000), None, Some(b"x"));
    assert_eq!(refused(&far, &OLD).kind(), RejectionKind::InvalidTimestamp);
    let wrapped = wrapper((1, Codec::Snappy), (0, NOW_MS), &far);
    assert_eq!(
        refused(&wrapped, &OLD).kind(),
        RejectionKind::InvalidTimestamp
    );
    let negative = message((1, 0), (0, -2), None, Some(b"x"));
    refused_because(&negative, "negative");

    let compacted = Rules {
        key_required: true,
        ..OLD
    };
    assert!(upgrade(&v0(0, Some("k"), "x"), &compacted, None).is_ok());
    let set = [v0(0, Some("k"), "x"), v0(1, None, "x")].concat();
    let Rejection::Records(bad) = refused(&set, &compacted) else {
        panic!("a record without a key")
    };
    assert_eq!(bad.total(), 1);
    let rejection = refused(&wrapper((0, Codec::Gzip), (1, -1), &set), &compacted);
    assert_eq!(rejection.bad_records()[0].index, 1);
    assert_eq!(rejection.bad_records()[0].reason, BadRecordReason::NoKey);
}

#[test]
fn lz4_of_v0_may_have_any_header_checksum_and_that_of_v1_must_be_right() {
    for (magic, accepted) in [(0, true), (1, false)] {
        let inner = message((magic, 0), (0, NOW_MS), None, Some(b"x"));
        let mut value = compress(Codec::Lz4, &inner, None);
        value[6] ^= 0x55;
        let set = message((magic, Codec::Lz4 as u8), (0, NOW_MS), None, Some(&value));
        assert_eq!(upgrade(&set, &OLD, None).is_ok(), accepted, "v{magic}");
    }
}

#[test]
fn nothing_is_acknowledged_as_nothing_and_less_than_a_message_is_not() {
    assert!(upgrade(&[], &OLD, None).unwrap().is_none());
    assert!(is_old(&[]));
    let set = v0(0, None, "a value");
    for cut in 1..set.len() {
        assert_eq!(
            refused(&set[..cut], &OLD),
            Rejection::NoBatch,
            "{cut} bytes"
        );
        // Behind a whole message it is dropped, as in Kafka.
        let both = [&set[..], &set[..cut]].concat();
        assert_eq!(content(up(&both, &OLD).bytes()).len(), 1);
    }
}

#[test]
fn sets_of_the_wrong_shape_are_refused() {
    let plain = v1(0, None, "x");
    let wrapped = wrapper((1, Codec::Gzip), (0, NOW_MS), &plain);
    for set in [
        [wrapped.clone(), wrapped.clone()].concat(),
        [plain.clone(), wrapped.clone()].concat(),
        [wrapped.clone(), plain.clone()].concat(),
    ] {
        assert_eq!(refused(&set, &OLD), Rejection::SecondBatch);
    }
    refused_because(
        &[plain.clone(), v0(1, None, "x")].concat(),
        "another format",
    );
    refused_because(
        &wrapper((0, Codec::Gzip), (0, -1), &plain),
        "another format",
    );
    refused_because(
        &wrapper((1, Codec::Gzip), (0, NOW_MS), &v0(0, None, "x")),
        "another format",
    );
    refused_because(
        &wrapper((1, Codec::Gzip), (0, NOW_MS), &wrapped),
        "is compressed, inside",
    );
    refused_because(
        &wrapper((1, Codec::Gzip), (0, NOW_MS), &[]),
        "holds no message",
    );
    let cut = &plain[..plain.len() - 1];
    refused_because(&wrapper((1, Codec::Gzip), (0, NOW_MS), cut), "cut off");
    refused_because(
        &message((1, 1), (0, NOW_MS), None, None),
        "compressed and null",
    );
    refused_because(&wrapper((1, Codec::Zstd), (0, NOW_MS), &plain), "zstd");
    let newer = section(&[(None, 0)]);
    let newer = crate::common::batch(&newer, 1, |_| {});
    assert!(!is_old(&newer));
    refused_because(&[&plain[..], &newer].concat(), "newer format");
}

#[test]
fn every_lie_of_a_message_is_refused() {
    let good = v1(0, Some("key"), "value");
    let lie = |at: usize, bytes: &[u8]| {
        let mut set = good.clone();
        set[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = crc32fast::hash(&set[16..]);
        set[12..16].copy_from_slice(&crc.to_be_bytes());
        set
    };
    assert!(upgrade(&lie(0, &[0]), &OLD, None).is_ok());
    // Key length, then value length: below -1, beyond the end, short of it.
    for at in [26, 33] {
        refused_because(&lie(at, &(-2i32).to_be_bytes()), "negative length");
        refused_because(
            &lie(at, &100i32.to_be_bytes()),
            "ends before its key or value",
        );
        refused_because(
            &lie(at, &i32::MAX.to_be_bytes()),
            "ends before its key or value",
        );
    }
    refused_because(&lie(33, &1i32.to_be_bytes()), "bytes are left");
    // A v1 message of v0's smallest size.
    refused_because(&sealed(0, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "ends before");
    for (at, size) in [(8, -1i32), (8, 13)] {
        let mut set = good.clone();
        set[at..at + 4].copy_from_slice(&size.to_be_bytes());
        assert_eq!(refused(&set, &OLD), Rejection::Length(size));
    }
    assert_eq!(refused(&lie(16, &[3]), &OLD), Rejection::UnknownMagic(3));
    assert_eq!(refused(&lie(17, &[5]), &OLD), Rejection::UnknownCodec(5));
    // Every bit that the CRC covers, outside and inside a wrapper.
    for at in 17..good.len() {
        let mut set = good.clone();
        set[at] ^= 0x10;
        assert_eq!(refused(&set, &OLD).kind(), RejectionKind::CorruptMessage);
        let set = wrapper((1, Codec::Gzip), (0, NOW_MS), &set);
        assert_eq!(refused(&set, &OLD).kind(), RejectionKind::CorruptMessage);
    }
}

#[test]
fn sizes_have_limits_before_and_after() {
    let value = "x".repeat(300);
    let rules = Rules {
        max_message_bytes: 400,
        ..OLD
    };
    let one = v1(0, None, &value);
    assert!(upgrade(&one, &rules, None).is_ok());
    // Each message fits, the batch of both does not (Kafka: the same).
    let both = [one.clone(), one.clone()].concat();
    assert!(matches!(
        refused(&both, &rules),
        Rejection::TooLarge { bytes_max: 400, .. }
    ));
    let long = v1(0, None, &"x".repeat(400));
    assert!(matches!(refused(&long, &rules), Rejection::TooLarge { .. }));
    // What a wrapper decompresses to.
    let rules = Rules {
        decompressed_bytes_max: 1_000,
        ..OLD
    };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let set = wrapper((1, codec), (0, NOW_MS), &v1(0, None, &"x".repeat(1_000)));
        assert_eq!(
            refused(&set, &rules),
            Rejection::Decompress(DecompressError::TooLarge { bytes_max: 1_000 })
        );
    }
}
