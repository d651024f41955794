//! Every rejection, and what is accepted. Where a line says "Kafka", Apache Kafka 4.3.1 was asked with
//! the same bytes in a Produce request v8 and answered so.

use bytes::BytesMut;
use ottla_codec::{
    BadRecord, BadRecordReason, DecompressError, Rejection, RejectionKind, Rules, TimestampRule,
    compress_batch, recompress, verify, verify_within,
};
use ottla_model::batch::{
    Attributes, BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, Codec, RecordError,
    TimestampType,
};
use ottla_model::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::time::WallMs;

use crate::common::{CODECS, NOW_MS, RULES, batch, compressed, section};

/// Two records with keys.
fn two() -> Vec<u8> {
    section(&[(Some(b"a"), 0), (Some(b"b"), 0)])
}

fn good() -> BytesMut {
    batch(&two(), 2, |_| {})
}

#[track_caller]
fn refuse(bytes: &[u8], rules: &Rules, expected: Rejection, kind: RejectionKind) {
    let rejection = verify(bytes.into(), rules).expect_err("refused");
    assert_eq!(rejection, expected);
    assert_eq!(rejection.kind(), kind);
    assert!(!rejection.to_string().is_empty());
}

#[track_caller]
fn accept_unchanged(bytes: &[u8], rules: &Rules) {
    let batch = verify(bytes.into(), rules).expect("accepted");
    assert_eq!(batch.bytes(), bytes);
    assert_eq!(BatchHead::parse(bytes).as_ref(), Ok(batch.head()));
}

use RejectionKind::{
    CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge, Undecodable,
    UnsupportedCompressionType,
};

/// So many small bombs in one read must not take the time of a large one each.
#[test]
fn batches_share_what_they_may_decompress_to() {
    let records = two();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = compressed(codec, &records, 2, |_| {});
        let mut allowance = 2 * records.len() + 1;
        for left in [records.len() + 1, 1] {
            verify_within(bytes[..].into(), &RULES, &mut allowance).expect("within");
            assert_eq!(allowance, left);
        }
        let (rejection, returned) =
            verify_within(bytes[..].into(), &RULES, &mut allowance).expect_err("beyond");
        let too_large = DecompressError::TooLarge { bytes_max: 1 };
        assert_eq!(rejection, Rejection::Decompress(too_large));
        assert_eq!(returned, bytes[..]);
        assert_eq!(allowance, 0, "what failed may have cost all of it");
    }
    let mut allowance = 0;
    verify_within(good(), &RULES, &mut allowance).expect("nothing to decompress");
}

#[test]
fn a_sound_batch_passes_untouched_in_every_codec() {
    for codec in CODECS {
        accept_unchanged(&compressed(codec, &two(), 2, |_| {}), &RULES);
    }
    // An idempotent, transactional producer; a delete horizon, unused bits (Kafka takes both).
    accept_unchanged(
        &batch(&two(), 2, |head| {
            head.attributes = head.attributes.with_transactional();
            head.producer_id = ProducerId(0);
            head.producer_epoch = ProducerEpoch(0);
            head.base_sequence = Sequence(0);
        }),
        &RULES,
    );
    accept_unchanged(
        &batch(&two(), 2, |head| head.attributes = Attributes(0x1fc0)),
        &RULES,
    );
    // A sequence without a producer id says nothing.
    accept_unchanged(
        &batch(&two(), 2, |head| head.base_sequence = Sequence(9)),
        &RULES,
    );
}

#[test]
fn the_bytes_must_be_one_batch() {
    let good = good();
    refuse(&[], &RULES, Rejection::NoBatch, InvalidRecord);
    refuse(&good[..11], &RULES, Rejection::NoBatch, InvalidRecord);
    refuse(&good[..16], &RULES, Rejection::NoBatch, InvalidRecord);
    refuse(
        &good[..good.len() - 1],
        &RULES,
        Rejection::NoBatch,
        InvalidRecord,
    );
    let twice = [&good[..], &good[..]].concat();
    refuse(&twice, &RULES, Rejection::SecondBatch, InvalidRecord);

    // Kafka: what cannot be a batch any more is an error, what is not yet one is cut off.
    let then = |tail: &[u8]| [&good[..], tail].concat();
    refuse(
        &then(&[0; 12]),
        &RULES,
        Rejection::Length(0),
        CorruptMessage,
    );
    for tail in [&[1; 5][..], &good[..12], &good[..good.len() - 3]] {
        assert_eq!(verify(then(tail)[..].into(), &RULES).unwrap().bytes(), good);
    }

    let with_length = |length: i32| {
        let mut bytes = good.clone();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    for length in [i32::MIN, -1, 0, 13, 14, 48] {
        refuse(
            &with_length(length),
            &RULES,
            Rejection::Length(length),
            CorruptMessage,
        );
    }
    for length in [good.len() as i32, i32::MAX] {
        refuse(
            &with_length(length),
            &RULES,
            Rejection::NoBatch,
            InvalidRecord,
        );
    }
    // One byte less than there is: the CRC covers another end.
    let crc = BatchHead::parse(&good).unwrap().crc;
    let shorter = with_length(good.len() as i32 - 13);
    refuse(
        &shorter,
        &RULES,
        Rejection::Crc { claimed: crc },
        CorruptMessage,
    );
}

#[test]
fn the_message_format_is_2() {
    for (magic, rejection, kind) in [
        (0, Rejection::OldMagic(0), InvalidRecord),
        (1, Rejection::OldMagic(1), InvalidRecord),
        (3, Rejection::UnknownMagic(3), CorruptMessage),
        (0xff, Rejection::UnknownMagic(-1), CorruptMessage),
    ] {
        let mut bytes = good();
        bytes[16] = magic;
        refuse(&bytes, &RULES, rejection, kind);
    }
}

#[test]
fn zstd_came_with_produce_7() {
    let bytes = compressed(Codec::Zstd, &two(), 2, |_| {});
    let old = Rules {
        produce_version: 6,
        ..RULES
    };
    let early = Rejection::ZstdTooEarly { produce_version: 6 };
    refuse(&bytes, &old, early, UnsupportedCompressionType);
    accept_unchanged(
        &bytes,
        &Rules {
            produce_version: 7,
            ..RULES
        },
    );
    accept_unchanged(&compressed(Codec::Lz4, &two(), 2, |_| {}), &old);
}

#[test]
fn the_base_offset_is_0() {
    let bytes = batch(&two(), 2, |head| head.base_offset = Offset(5));
    refuse(
        &bytes,
        &RULES,
        Rejection::BaseOffset(Offset(5)),
        InvalidRecord,
    );
}

#[test]
fn the_size_limit_is_that_of_the_bytes_sent_compressed_or_not() {
    let plain = batch(&section(&[(Some(&[7; 50_000]), 0)]), 1, |_| {});
    let packed = compressed(Codec::Gzip, &plain[BATCH_HEADER_BYTES..], 1, |_| {});
    assert!(packed.len() < 1_000);
    for bytes in [plain, packed] {
        let exact = Rules {
            max_message_bytes: bytes.len(),
            ..RULES
        };
        accept_unchanged(&bytes, &exact);
        let bytes_max = bytes.len() - 1;
        refuse(
            &bytes,
            &Rules {
                max_message_bytes: bytes_max,
                ..RULES
            },
            Rejection::TooLarge {
                bytes: bytes.len(),
                bytes_max,
            },
            MessageTooLarge,
        );
    }
}

#[test]
fn a_changed_bit_is_seen_by_the_crc() {
    let mut bytes = good();
    let claimed = BatchHead::parse(&bytes).unwrap().crc;
    *bytes.last_mut().unwrap() ^= 1;
    refuse(&bytes, &RULES, Rejection::Crc { claimed }, CorruptMessage);
}

#[test]
fn codecs_that_do_not_exist_are_refused() {
    for bits in 5..=7 {
        let bytes = batch(&two(), 2, |head| head.attributes = Attributes(bits));
        refuse(&bytes, &RULES, Rejection::UnknownCodec(bits), Undecodable);
    }
}

#[test]
fn the_count_is_that_of_the_offsets() {
    let lie = |record_count, last_offset_delta| {
        batch(&two(), 2, |head| {
            head.record_count = record_count;
            head.last_offset_delta = last_offset_delta;
        })
    };
    for (record_count, last_offset_delta) in
        [(2, 2), (2, 0), (1, 1), (0, 0), (-1, 1), (3, i32::MAX)]
    {
        let rejection = Rejection::Count {
            record_count,
            last_offset_delta,
        };
        refuse(
            &lie(record_count, last_offset_delta),
            &RULES,
            rejection,
            InvalidRecord,
        );
    }
    for last_offset_delta in [-1, i32::MIN] {
        let rejection = Rejection::OffsetRange { last_offset_delta };
        refuse(&lie(0, last_offset_delta), &RULES, rejection, InvalidRecord);
    }
}

#[test]
fn clients_write_no_control_batches() {
    let bytes = batch(&two(), 2, |head| {
        head.attributes = head.attributes.with_control()
    });
    refuse(&bytes, &RULES, Rejection::Control, InvalidRecord);
}

#[test]
fn an_idempotent_producer_has_a_sequence() {
    for base_sequence in [Sequence(-1), Sequence(i32::MIN)] {
        let bytes = batch(&two(), 2, |head| {
            head.producer_id = ProducerId(7);
            head.producer_epoch = ProducerEpoch(0);
            head.base_sequence = base_sequence;
        });
        let rejection = Rejection::Sequence {
            producer_id: ProducerId(7),
            base_sequence,
        };
        refuse(&bytes, &RULES, rejection, InvalidRecord);
    }
}

#[test]
fn the_records_are_what_the_header_claims() {
    for codec in CODECS {
        let check = |section: &[u8], count, index, error| {
            let rejection = Rejection::Record { index, error };
            refuse(
                &compressed(codec, section, count, |_| {}),
                &RULES,
                rejection,
                InvalidRecord,
            );
        };
        check(&two(), 3, 2, RecordError::Truncated);
        check(&two(), 1, 1, RecordError::Tail(two().len() / 2));
        check(&[&two()[..], b"x"].concat(), 2, 2, RecordError::Tail(1));
        check(&[], 1, 0, RecordError::Truncated);

        let mut wrong_size = two();
        wrong_size[0] += 2;
        let rejection = verify(compressed(codec, &wrong_size, 2, |_| {}), &RULES);
        assert!(
            matches!(rejection, Err(Rejection::Record { .. })),
            "{rejection:?}"
        );
    }
}

#[test]
fn offset_deltas_count_from_0() {
    let first = section(&[(Some(b"a"), 0)]);
    for codec in CODECS {
        let twice_the_first = [&first[..], &first[..]].concat();
        let rejection = Rejection::OffsetDelta {
            index: 1,
            offset_delta: 0,
        };
        refuse(
            &compressed(codec, &twice_the_first, 2, |_| {}),
            &RULES,
            rejection,
            InvalidRecord,
        );
        let second = &two()[first.len()..];
        let rejection = Rejection::OffsetDelta {
            index: 0,
            offset_delta: 1,
        };
        refuse(
            &compressed(codec, second, 1, |_| {}),
            &RULES,
            rejection,
            InvalidRecord,
        );
    }
}

#[test]
fn compressed_records_must_decompress_within_the_limit() {
    let large = section(&[(Some(&[7; 50_000]), 0)]);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = compressed(codec, &large, 1, |_| {});
        let limit = |decompressed_bytes_max| Rules {
            decompressed_bytes_max,
            ..RULES
        };
        accept_unchanged(&bytes, &limit(large.len()));
        let bytes_max = large.len() - 1;
        let rejection = Rejection::Decompress(DecompressError::TooLarge { bytes_max });
        refuse(&bytes, &limit(bytes_max), rejection, MessageTooLarge);

        let nonsense = batch(b"nonsense of some length", 1, |head| {
            head.attributes = head.attributes.with_codec(codec);
        });
        let rejection = verify(nonsense, &RULES).unwrap_err();
        assert!(
            matches!(
                rejection,
                Rejection::Decompress(DecompressError::Corrupt { codec: named, .. }) if named == codec
            ),
            "{rejection:?}"
        );
        assert_eq!(rejection.kind(), Undecodable);
    }
}

#[test]
fn a_compacted_topic_names_every_record_without_a_key() {
    let rules = Rules {
        key_required: true,
        ..RULES
    };
    for codec in CODECS {
        accept_unchanged(&compressed(codec, &two(), 2, |_| {}), &rules);
        let section = section(&[(None, 0), (Some(b""), 0), (None, 0)]);
        let bytes = compressed(codec, &section, 3, |_| {});
        accept_unchanged(&bytes, &RULES);
        let rejection = verify(bytes, &rules).unwrap_err();
        assert_eq!(rejection.kind(), InvalidRecord);
        assert_eq!(
            rejection.bad_records(),
            [0, 2].map(|index| BadRecord {
                index,
                reason: BadRecordReason::NoKey
            })
        );
        assert!(
            rejection.bad_records()[0]
                .reason
                .to_string()
                .contains("key")
        );
    }
}

#[test]
fn create_time_is_near_enough_to_now() {
    let now = WallMs(NOW_MS);
    let timestamp = TimestampRule::CreateTime {
        before_max_ms: 100,
        after_max_ms: 10,
        now,
    };
    let rules = Rules { timestamp, ..RULES };
    for codec in CODECS {
        let edges = section(&[(None, -100), (None, 10)]);
        accept_unchanged(
            &compressed(codec, &edges, 2, |head| head.max_timestamp_ms = NOW_MS + 10),
            &rules,
        );
        let outside = section(&[(None, -101), (None, 0), (None, 11)]);
        let rejection = verify(compressed(codec, &outside, 3, |_| {}), &rules).unwrap_err();
        assert_eq!(rejection.kind(), InvalidTimestamp);
        let reason = |timestamp_ms| BadRecordReason::Timestamp {
            timestamp_ms,
            earliest_ms: NOW_MS - 100,
            latest_ms: NOW_MS + 10,
        };
        assert_eq!(
            rejection.bad_records(),
            [
                BadRecord {
                    index: 0,
                    reason: reason(NOW_MS - 101)
                },
                BadRecord {
                    index: 2,
                    reason: reason(NOW_MS + 11)
                },
            ]
        );
    }
    // A keyless record is only that, but one bad time makes the whole answer one about times.
    let mixed = section(&[(None, 5_000), (Some(b"k"), 5_000)]);
    let both = Rules {
        key_required: true,
        ..rules
    };
    let rejection = verify(batch(&mixed, 2, |_| {}), &both).unwrap_err();
    assert_eq!(rejection.kind(), InvalidTimestamp);
    assert_eq!(rejection.bad_records()[0].reason, BadRecordReason::NoKey);
}

#[test]
fn a_structural_fault_is_named_before_bad_records() {
    let mut keyless = section(&[(None, 0), (None, 0)]);
    keyless.pop();
    let rejection = Rejection::Record {
        index: 1,
        error: RecordError::Truncated,
    };
    let rules = Rules {
        key_required: true,
        ..RULES
    };
    refuse(
        &batch(&keyless, 2, |_| {}),
        &rules,
        rejection,
        InvalidRecord,
    );
}

#[test]
fn records_may_have_no_time() {
    // Kafka: -1 is exempt, and the maximum starts at it.
    for base_ms in [-1, -500] {
        let bytes = batch(&two(), 2, |head| {
            head.base_timestamp_ms = base_ms;
            head.max_timestamp_ms = -1;
        });
        accept_unchanged(&bytes, &RULES);
    }
}

#[test]
fn a_wrong_largest_timestamp_is_corrected() {
    for codec in CODECS {
        let section = section(&[(None, 0), (None, 30), (None, 20)]);
        let bytes = compressed(codec, &section, 3, |head| {
            head.max_timestamp_ms = 5;
            head.attributes = Attributes(head.attributes.0 | 0x1f80);
        });
        let verified = verify(bytes.clone(), &RULES).unwrap();
        assert_eq!(verified.head().max_timestamp_ms, NOW_MS + 30);
        // Kafka writes only the bits that it knows.
        assert_eq!(
            verified.head().attributes,
            Attributes::default().with_codec(codec)
        );
        assert_eq!(
            BatchHead::parse(verified.bytes()).as_ref(),
            Ok(verified.head())
        );
        assert!(verified.head().crc_matches(verified.bytes()));
        assert_eq!(
            verified.bytes()[BATCH_HEADER_BYTES..],
            bytes[BATCH_HEADER_BYTES..]
        );

        // Broker time is stamped with the offset, so nothing is corrected before.
        let append_time = Rules {
            timestamp: TimestampRule::LogAppendTime,
            ..RULES
        };
        accept_unchanged(&bytes, &append_time);
    }
}

#[test]
fn a_claim_of_broker_time_is_dropped_or_refused() {
    let claim = |max_timestamp_ms| {
        batch(&section(&[(None, 0), (None, -99_999)]), 2, |head| {
            head.attributes = head
                .attributes
                .with_timestamp_type(TimestampType::LogAppendTime);
            head.max_timestamp_ms = max_timestamp_ms;
        })
    };
    // Kafka: within the limits it passes a topic with create time, and loses the bit.
    let verified = verify(claim(NOW_MS + 7), &RULES).unwrap();
    assert_eq!(
        verified.head().attributes.timestamp_type(),
        TimestampType::CreateTime
    );
    assert_eq!(verified.head().max_timestamp_ms, NOW_MS + 7);
    assert!(verified.head().crc_matches(verified.bytes()));

    let rejection = verify(claim(NOW_MS + 3_600_001), &RULES).unwrap_err();
    assert_eq!(rejection.kind(), InvalidTimestamp);
    let all = [0, 1].map(|index| BadRecord {
        index,
        reason: BadRecordReason::LogAppendTime,
    });
    let rejection = verify(claim(-1), &RULES).unwrap_err();
    assert_eq!(
        (rejection.kind(), rejection.bad_records()),
        (InvalidTimestamp, &all[..])
    );
    let append_time = Rules {
        timestamp: TimestampRule::LogAppendTime,
        ..RULES
    };
    let rejection = verify(claim(NOW_MS), &append_time).unwrap_err();
    assert_eq!(
        (rejection.kind(), rejection.bad_records()),
        (InvalidTimestamp, &all[..])
    );
}

#[test]
fn the_list_of_bad_records_is_bounded() {
    let count = 50_000;
    let section = section(&vec![(None, 0); count]);
    let rules = Rules {
        key_required: true,
        ..RULES
    };
    let Err(Rejection::Records(bad)) = verify(batch(&section, count as i32, |_| {}), &rules) else {
        panic!("keyless records were taken");
    };
    assert_eq!(bad.total(), count);
    assert_eq!(Rejection::Records(bad).bad_records().len(), 1_000);
}

#[test]
fn a_stored_batch_keeps_its_offset_its_gaps_and_its_control_bit() {
    let stored = Rules {
        from_client: false,
        key_required: true,
        ..RULES
    };
    let four = section(&[(None, 0), (None, 0), (None, 0), (None, 0)]);
    let one = four.len() / 4;
    let gaps = [&four[one..2 * one], &four[3 * one..]].concat();
    for codec in CODECS {
        let bytes = compressed(codec, &gaps, 2, |head| {
            head.base_offset = Offset(400);
            head.last_offset_delta = 9;
            head.max_timestamp_ms = 1;
            head.attributes = head.attributes.with_control();
            head.producer_id = ProducerId(3);
        });
        accept_unchanged(&bytes, &stored);
        let past = compressed(codec, &gaps, 2, |head| head.last_offset_delta = 2);
        let rejection = Rejection::OffsetDelta {
            index: 1,
            offset_delta: 3,
        };
        refuse(&past, &stored, rejection, InvalidRecord);
        let twice = compressed(codec, &[&four[..one], &four[..one]].concat(), 2, |_| {});
        let rejection = Rejection::OffsetDelta {
            index: 1,
            offset_delta: 0,
        };
        refuse(&twice, &stored, rejection, InvalidRecord);
    }
    // What compaction leaves of a producer: a header.
    let empty = |count| {
        batch(&[], 0, |head| {
            (head.record_count, head.last_offset_delta) = (count, 4)
        })
    };
    accept_unchanged(&empty(0), &stored);
    for record_count in [-1, 6] {
        let rejection = Rejection::Count {
            record_count,
            last_offset_delta: 4,
        };
        refuse(&empty(record_count), &stored, rejection, InvalidRecord);
    }
    let rejection = Rejection::OffsetRange {
        last_offset_delta: -1,
    };
    refuse(&batch(&[], 0, |_| {}), &stored, rejection, InvalidRecord);
}

#[test]
fn batches_change_their_codec_and_keep_everything_else() {
    let mut builder = BatchBuilder::new(BatchSpec::default(), NOW_MS);
    for _ in 0..100 {
        builder.push(Some(b"key"), Some(&[b'v'; 100]), &[("h", None)], NOW_MS);
    }
    let plain = builder.build();
    let section = plain.bytes()[BATCH_HEADER_BYTES..].to_vec();
    for from in CODECS {
        for to in CODECS {
            let build = verify(plain.bytes().into(), &RULES).unwrap();
            let batch = compress_batch(build, from);
            assert_eq!(batch.head().attributes.codec(), Ok(from));
            let again = recompress(batch, to, None, section.len()).unwrap();
            assert_eq!(again.head().attributes.codec(), Ok(to));
            accept_unchanged(again.bytes(), &RULES);
            let back = recompress(again, Codec::None, None, section.len()).unwrap();
            assert_eq!(back.bytes(), plain.bytes());
        }
    }
    let packed = compress_batch(verify(plain.bytes().into(), &RULES).unwrap(), Codec::Zstd);
    let bytes_max = section.len() - 1;
    assert_eq!(
        recompress(packed, Codec::Lz4, None, bytes_max).unwrap_err(),
        DecompressError::TooLarge { bytes_max }
    );
}
