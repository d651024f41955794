//! What stays of a batch.

use std::collections::BTreeMap;

use ottla_model::batch::{
    Attributes, BatchBuilder, BatchHead, BatchSpec, Codec, ControlType, VerifiedBatch, records,
};
use ottla_model::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

use crate::clean::filter::{Filter, Rules, Verdict};
use crate::clean::offset_map::OffsetMap;
use crate::clean::survey::Survey;

const NOW_MS: i64 = 1_000_000;
const RETENTION_MS: i64 = 500;
const EXPIRATION_MS: i64 = 10_000;

type Record<'a> = (Option<&'a str>, Option<&'a str>);

#[derive(Clone, Copy, Default)]
struct Of {
    producer: Option<(i64, i16, i32)>,
    transactional: bool,
    marker: Option<ControlType>,
    timestamp_ms: i64,
}

/// A batch at an offset.
fn batch(base: i64, of: Of, content: &[Record<'_>]) -> VerifiedBatch {
    let mut spec = BatchSpec::default();
    if of.transactional || of.marker.is_some() {
        spec.attributes = spec.attributes.with_transactional();
    }
    if let Some((id, epoch, sequence)) = of.producer {
        spec.producer_id = ProducerId(id);
        spec.producer_epoch = ProducerEpoch(epoch);
        spec.base_sequence = Sequence(sequence);
    }
    let mut builder = match of.marker {
        Some(control) => {
            spec.attributes = spec.attributes.with_control();
            spec.base_sequence = Sequence::NONE;
            let mut builder = BatchBuilder::new(spec, of.timestamp_ms);
            builder.push(Some(&control.encode()), Some(&[0; 6]), &[], of.timestamp_ms);
            builder
        }
        None => BatchBuilder::new(spec, of.timestamp_ms),
    };
    for (nth, (key, value)) in content.iter().enumerate() {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.push(key, value, &[], of.timestamp_ms + nth as i64);
    }
    let mut batch = builder.build();
    batch.stamp(Offset(base), LeaderEpoch(3));
    batch
}

/// A pass over batches with nothing else; all are dirty.
fn pass(batches: &[VerifiedBatch], now_ms: i64) -> Vec<Verdict> {
    pass_mapping(batches, now_ms, i64::MAX)
}

/// A pass that knows the keys up to an offset.
fn pass_mapping(batches: &[VerifiedBatch], now_ms: i64, mapped: i64) -> Vec<Verdict> {
    let mut survey = Survey::default();
    for batch in batches {
        survey.observe(batch.head(), control(batch));
    }
    let mut map = OffsetMap::new(100, 1 << 20);
    for batch in batches {
        let head = batch.head();
        if head.attributes.is_control() || survey.is_aborted(head) {
            continue;
        }
        for (offset, (key, ..)) in content(head, batch.bytes()) {
            if let Some(key) = key.filter(|_| offset <= mapped) {
                map.put(key.as_bytes(), Offset(offset)).unwrap();
            }
        }
    }
    let mut filter = Filter::new(Rules {
        map: &map,
        mapped: Offset(mapped),
        survey: &survey,
        now_ms,
        delete_retention_ms: RETENTION_MS,
        producer_expiration_ms: EXPIRATION_MS,
        log_end: Offset(i64::MAX),
    });
    let judge = |batch: &VerifiedBatch| filter.judge(batch.head(), batch.bytes(), false).unwrap();
    batches.iter().map(judge).collect()
}

fn control(batch: &VerifiedBatch) -> Option<ControlType> {
    let head = batch.head();
    let is_control = head.attributes.is_control();
    let record = records(&batch.bytes()[61..], head.record_count)
        .next()?
        .unwrap();
    record
        .key
        .filter(|_| is_control)
        .and_then(ControlType::decode)
}

/// Offset to key, value and timestamp.
fn content(head: &BatchHead, bytes: &[u8]) -> BTreeMap<i64, (Option<String>, Option<String>, i64)> {
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    records(&bytes[61..], head.record_count)
        .map(|record| {
            let record = record.unwrap();
            let timestamp_ms = head.base_timestamp_ms + record.timestamp_delta;
            let offset = head.base_offset.0 + i64::from(record.offset_delta);
            (offset, (text(record.key), text(record.value), timestamp_ms))
        })
        .collect()
}

fn replaced(verdict: &Verdict) -> VerifiedBatch {
    let Verdict::Replace(head, bytes) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(&BatchHead::parse(bytes).unwrap(), head);
    assert!(head.crc_matches(bytes));
    VerifiedBatch::vouch(*head, bytes.clone().into())
}

#[test]
fn only_the_latest_of_each_key_stays() {
    let of = Of {
        timestamp_ms: 700,
        ..Of::default()
    };
    let batches = [
        batch(0, of, &[(Some("a"), Some("1")), (Some("b"), Some("1"))]),
        batch(
            2,
            of,
            &[
                (Some("a"), Some("2")),
                (Some("c"), Some("1")),
                (None, Some("x")),
                (Some("b"), Some("2")),
            ],
        ),
        batch(6, of, &[(Some("b"), Some("3"))]),
    ];
    let verdicts = pass(&batches, NOW_MS);
    assert_eq!(verdicts[0], Verdict::Drop);
    let middle = replaced(&verdicts[1]);
    let (head, was) = (middle.head(), batches[1].head());
    let kept = content(head, middle.bytes());
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        kept.into_iter().collect::<Vec<_>>(),
        [
            (2, (text("a"), text("2"), 700)),
            (3, (text("c"), text("1"), 701))
        ]
    );
    assert_eq!(
        (
            head.base_offset,
            head.last_offset_delta,
            head.leader_epoch,
            head.max_timestamp_ms
        ),
        (
            was.base_offset,
            was.last_offset_delta,
            was.leader_epoch,
            701
        )
    );
    assert_eq!(verdicts[2], Verdict::Keep);
}

#[test]
fn what_the_map_does_not_know_stays() {
    let of = Of::default();
    let batches = [
        batch(0, of, &[(Some("a"), Some("1"))]),
        batch(
            1,
            of,
            &[
                (Some("a"), Some("2")),
                (Some("a"), Some("3")),
                (None, Some("x")),
            ],
        ),
    ];
    let verdicts = pass_mapping(&batches, NOW_MS, 1);
    assert_eq!(verdicts, [Verdict::Drop, Verdict::Keep]);
}

/// KAFKA-4529: not a horizon that the tombstone's own age gives.
#[test]
fn a_tombstone_stays_for_its_retention_counted_from_the_pass_that_hides_the_value() {
    let of = Of {
        timestamp_ms: 1_000,
        ..Of::default()
    };
    let batches = [
        batch(0, of, &[(Some("a"), Some("1"))]),
        batch(1, of, &[(Some("a"), None), (Some("b"), Some("1"))]),
    ];
    // Not yet mapped: the value is still there, so the time does not run.
    assert_eq!(
        pass_mapping(&batches, NOW_MS, 0),
        [Verdict::Keep, Verdict::Keep]
    );

    let first = pass(&batches, NOW_MS);
    assert_eq!(first[0], Verdict::Drop);
    let marked = replaced(&first[1]);
    assert!(marked.head().attributes.has_delete_horizon());
    assert_eq!(marked.head().base_timestamp_ms, NOW_MS + RETENTION_MS);
    let times = |batch: &VerifiedBatch| -> Vec<i64> {
        content(batch.head(), batch.bytes())
            .values()
            .map(|record| record.2)
            .collect()
    };
    assert_eq!(times(&marked), [1_000, 1_001]);
    assert_eq!(marked.head().max_timestamp_ms, 1_001);

    let before = pass(std::slice::from_ref(&marked), NOW_MS + RETENTION_MS - 1);
    assert_eq!(before, [Verdict::Keep]);
    let after = pass(&[marked], NOW_MS + RETENTION_MS);
    let left = replaced(&after[0]);
    assert_eq!(times(&left), [1_001]);
    // Kafka keeps the horizon of the batch, too.
    assert_eq!(left.head().base_timestamp_ms, NOW_MS + RETENTION_MS);
}

#[test]
fn aborted_records_go_and_hide_nothing() {
    let producer = |sequence| Of {
        producer: Some((7, 0, sequence)),
        transactional: true,
        timestamp_ms: NOW_MS,
        ..Of::default()
    };
    let marker = |control| Of {
        producer: Some((7, 0, 0)),
        marker: Some(control),
        timestamp_ms: NOW_MS,
        ..Of::default()
    };
    let batches = [
        batch(0, Of::default(), &[(Some("a"), Some("1"))]),
        batch(1, producer(0), &[(Some("a"), Some("2"))]),
        batch(2, marker(ControlType::Abort), &[]),
        batch(3, producer(1), &[(Some("b"), Some("1"))]),
        batch(4, marker(ControlType::Commit), &[]),
    ];
    let verdicts = pass(&batches, NOW_MS);
    // The markers stay as long as there were records of theirs.
    assert_eq!(
        verdicts,
        [
            Verdict::Keep,
            Verdict::Drop,
            Verdict::Keep,
            Verdict::Keep,
            Verdict::Keep
        ]
    );
    // The next pass sees that the first marker has none any more.
    let left: Vec<VerifiedBatch> = [0, 2, 3, 4].map(|nth| batch_again(&batches[nth])).into();
    let verdicts = pass(&left, NOW_MS);
    let marked = replaced(&verdicts[1]);
    assert!(marked.head().attributes.has_delete_horizon());
    assert_eq!(control(&marked), Some(ControlType::Abort));
    assert_eq!(
        [&verdicts[0], &verdicts[2], &verdicts[3]],
        [&Verdict::Keep; 3]
    );

    let left = [
        batch_again(&left[0]),
        marked,
        batch_again(&left[2]),
        batch_again(&left[3]),
    ];
    assert_eq!(pass(&left, NOW_MS + RETENTION_MS - 1)[1], Verdict::Keep);
    let verdicts = pass(&left, NOW_MS + RETENTION_MS);
    assert_eq!(verdicts[1], Verdict::Drop);
    assert_eq!(verdicts[3], Verdict::Keep);
}

#[test]
fn the_last_sequence_of_a_live_producer_stays_in_an_empty_batch() {
    let of = |producer: i64, sequence, timestamp_ms| Of {
        producer: Some((producer, 4, sequence)),
        timestamp_ms,
        ..Of::default()
    };
    let mut batches = vec![
        batch(0, of(1, 0, NOW_MS), &[(Some("a"), Some("1"))]),
        batch(
            1,
            of(1, 1, NOW_MS),
            &[(Some("a"), Some("2")), (Some("a"), Some("3"))],
        ),
        batch(
            3,
            of(2, 0, NOW_MS - EXPIRATION_MS),
            &[(Some("a"), Some("4"))],
        ),
        batch(4, Of::default(), &[(Some("a"), Some("5"))]),
    ];
    let verdicts = pass(&batches, NOW_MS);
    assert_eq!(
        [&verdicts[0], &verdicts[2], &verdicts[3]],
        [&Verdict::Drop, &Verdict::Drop, &Verdict::Keep]
    );
    let empty = replaced(&verdicts[1]);
    let head = empty.head();
    assert_eq!(
        (
            head.record_count,
            head.base_sequence,
            head.last_offset_delta,
            head.producer_epoch
        ),
        (0, Sequence(1), 1, ProducerEpoch(4))
    );
    assert_eq!((head.size_bytes(), head.max_timestamp_ms), (61, NOW_MS + 1));
    assert_eq!(
        head.attributes,
        Attributes::default().with_codec(Codec::None)
    );

    // It is what it has to be, until its producer is forgotten.
    batches[1] = empty;
    assert_eq!(pass(&batches[1..], NOW_MS)[0], Verdict::Keep);
    assert_eq!(
        pass(&batches[1..], NOW_MS + EXPIRATION_MS + 1)[0],
        Verdict::Drop
    );
}

#[test]
fn the_marker_of_a_newer_epoch_stays_for_its_epoch() {
    let of = |epoch, marker: Option<ControlType>| Of {
        producer: Some((1, epoch, 0)),
        transactional: marker.is_none(),
        marker,
        timestamp_ms: NOW_MS,
    };
    let batches = [
        batch(0, of(0, None), &[(Some("a"), Some("1"))]),
        batch(1, of(1, Some(ControlType::Abort)), &[]),
    ];
    let verdicts = pass(&batches, NOW_MS);
    assert_eq!(verdicts, [Verdict::Drop, Verdict::Keep]);
    let marked = replaced(&pass(&batches[1..], NOW_MS)[0]);
    let later = NOW_MS + RETENTION_MS;
    assert_eq!(pass(std::slice::from_ref(&marked), later), [Verdict::Keep]);
    assert_eq!(pass(&[marked], NOW_MS + EXPIRATION_MS), [Verdict::Drop]);
}

fn batch_again(batch: &VerifiedBatch) -> VerifiedBatch {
    VerifiedBatch::vouch(*batch.head(), batch.bytes().into())
}
