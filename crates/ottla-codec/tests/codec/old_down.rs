//! Batches that become message sets.

use ottla_codec::{DecompressError, DowngradeError, MessageFormat, downgrade, upgrade};
use ottla_model::batch::{Attributes, BatchBuilder, BatchHead, BatchSpec, Codec};
use ottla_model::ids::{Offset, ProducerId, Sequence};
use ottla_model::time::WallMs;

use crate::common::{NOW_MS, compressed, section};
use crate::old_sets::{OLD, OLD_CODECS, down, message, offsets, stored, up, v1};

#[test]
fn control_batches_headers_and_records_below_the_start_are_left_out() {
    let plain = |values: &[&str]| {
        let mut builder = BatchBuilder::new(BatchSpec::default(), NOW_MS);
        for value in values {
            builder.push(None, Some(value.as_bytes()), &[("h", Some(b"1"))], NOW_MS);
        }
        builder.build()
    };
    let mut marker = BatchBuilder::new(
        BatchSpec {
            attributes: Attributes::default().with_transactional().with_control(),
            producer_id: ProducerId(1),
            base_sequence: Sequence::NONE,
            ..BatchSpec::default()
        },
        NOW_MS,
    );
    marker.push(Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[], NOW_MS);
    let marker = stored(marker.build(), 13);
    let log = [
        stored(plain(&["a", "b", "c"]), 10),
        marker.clone(),
        stored(
            ottla_codec::compress_batch(plain(&["d", "e"]), Codec::Lz4),
            20,
        ),
    ]
    .concat();
    for format in [MessageFormat::V0, MessageFormat::V1] {
        let (set, next) = down(&log, format, 11, 10_000);
        assert_eq!((offsets(&set), next), (vec![11, 12, 20, 21], 22));
        let (set, next) = down(&log, format, 21, 10_000);
        assert_eq!((offsets(&set), next), (vec![21], 22));
        // Only markers: nothing to read, but somewhere to read on.
        assert_eq!(down(&marker, format, 13, 10_000), (vec![], 14));
        assert_eq!(down(&[], format, 13, 10_000), (vec![], 13));
    }
}

#[test]
fn a_set_is_cut_between_messages_and_has_at_least_one() {
    let set = (0..10).map(|offset| v1(offset, None, "0123456789"));
    let set = set.collect::<Vec<_>>().concat();
    let each = set.len() / 10;
    for codec in OLD_CODECS {
        let batch = upgrade(&set, &OLD, Some((codec, None))).unwrap().unwrap();
        for bytes_max in [0, 1, each, 2 * each - 1, 2 * each, 7 * each + 3, 100 * each] {
            let count = (bytes_max / each).clamp(1, 10);
            let (cut, next) = down(batch.bytes(), MessageFormat::V1, 0, bytes_max);
            assert_eq!((&cut[..], next), (&set[..count * each], count as i64));
        }
        // A client with the smallest limit gets all, one by one.
        let mut next = 0;
        for expected in 0..10 {
            let (one, on) = down(batch.bytes(), MessageFormat::V0, next, 1);
            assert_eq!((offsets(&one), on), (vec![expected], expected + 1));
            next = on;
        }
    }
}

#[test]
fn the_broker_s_time_and_times_before_1970_are_told() {
    let mut batch = up(&v1(0, None, "x"), &OLD);
    batch.stamp_append_time(WallMs(NOW_MS + 7));
    let (set, _) = down(batch.bytes(), MessageFormat::V1, 0, 1_000);
    assert_eq!(set, message((1, 0x08), (0, NOW_MS + 7), None, Some(b"x")));
    let mut builder = BatchBuilder::new(BatchSpec::default(), -5);
    builder.push(None, Some(b"x"), &[], -5);
    let (set, _) = down(builder.build().bytes(), MessageFormat::V1, 0, 1_000);
    assert_eq!(set, message((1, 0), (0, -1), None, Some(b"x")));
}

#[test]
fn what_cannot_be_converted_is_an_error_if_it_comes_first_and_an_end_if_not() {
    let section = section(&[(None, 0), (None, 0)]);
    let at = |base: i64| move |head: &mut BatchHead| head.base_offset = Offset(base);
    let good = crate::common::batch(&section, 2, at(0));
    let zstd = compressed(Codec::Zstd, &section, 2, at(2));
    let mut torn = crate::common::batch(&section, 2, at(2));
    *torn.last_mut().unwrap() ^= 1;
    let corrupt = compressed(Codec::None, b"nothing", 1, |head| {
        head.base_offset = Offset(2);
        head.attributes = head.attributes.with_codec(Codec::Gzip);
    });
    for (bad, told) in [(zstd, "zstd"), (torn, "CRC"), (corrupt, "broken Gzip data")] {
        let convert =
            |batches: &[u8]| downgrade(batches, MessageFormat::V1, Offset(0), 10_000, 1_000);
        let error = convert(&bad).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        let done = convert(&[&good[..], &bad].concat()).unwrap();
        assert_eq!((offsets(&done.set), done.next), (vec![0, 1], Offset(2)));
    }
    // A batch whose records end early gives those before that, then the fault.
    let counted = crate::common::batch(&section, 3, at(2));
    let (set, next) = down(&counted, MessageFormat::V1, 0, 10_000);
    assert_eq!((offsets(&set), next), (vec![2, 3], 4));
    assert!(downgrade(&counted, MessageFormat::V1, Offset(4), 10_000, 1_000).is_err());
    let bomb = compressed(Codec::Gzip, &vec![0; 5_000], 1, |_| {});
    assert!(matches!(
        downgrade(&bomb, MessageFormat::V0, Offset(0), 10_000, 1_000),
        Err(DowngradeError::Decompress(DecompressError::TooLarge {
            bytes_max: 1_000
        }))
    ));
}
