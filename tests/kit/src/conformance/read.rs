//! Reading: slices, bounds, replay, looking back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_log::{LogFault, LogStore, ReadError};
use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use super::batches::{BatchMaker, Random};
use super::model::Model;
use super::{log, partition};

pub(super) fn reads_what_was_appended<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let model = Model::fill(&log, seed, 150);
    let mut random = Random::new(seed);
    for round in 0..2_000 {
        let end = model.end().0 as u64;
        let from = Offset(random.below(end + 1) as i64);
        // Bounds that are used are borders of batches, or beyond the end.
        let bound = match random.below(3) {
            0 => Offset(i64::MAX),
            _ => model.batches[random.below(model.batches.len() as u64) as usize]
                .head
                .next_offset(),
        };
        let bytes_max = [0, 61, 700, 3_000, 20_000, usize::MAX][random.below(6) as usize];
        let at_least_one = random.one_in(2);
        let read = log
            .read(from, bound, bytes_max, at_least_one)
            .expect("the offset is inside");
        let bytes = read.bytes().expect("the disk is well");
        assert_eq!(bytes.len(), read.length_bytes());

        let first = model.batch_of(from);
        let mut expected: Vec<u8> = Vec::new();
        for (nth, batch) in model.batches[first..].iter().enumerate() {
            let size = expected.len() + batch.bytes.len();
            let fits = size <= bytes_max || (at_least_one && nth == 0);
            if batch.head.next_offset() > bound || from >= bound || !fits {
                break;
            }
            // A store may end a read where a segment ends.
            let border = nth > 0
                && model.segment_of(batch.head.base_offset)
                    != model.segment_of(model.batches[first + nth - 1].head.base_offset);
            if border && bytes.len() == expected.len() {
                break;
            }
            expected.extend_from_slice(&batch.bytes);
        }
        assert!(
            bytes == expected,
            "round {round}: read from {from} to {bound}, {bytes_max} bytes: {} instead of {}",
            bytes.len(),
            expected.len()
        );
    }
}

pub(super) fn refuses_offsets_outside<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let empty = log
        .read(Offset(0), Offset(i64::MAX), usize::MAX, true)
        .expect("the end of an empty log");
    assert_eq!(empty.length_bytes(), 0);
    let end = Model::fill(&log, seed, 5).end();
    for outside in [Offset(-1), end.next(), Offset(i64::MAX)] {
        let read = log.read(outside, Offset(i64::MAX), usize::MAX, true);
        assert!(
            matches!(
                read.map(|read| read.length_bytes()),
                Err(ReadError::OutOfRange)
            ),
            "{outside}"
        );
    }
    let at_end = log
        .read(end, Offset(i64::MAX), usize::MAX, true)
        .expect("the end is inside");
    assert_eq!(at_end.length_bytes(), 0);
}

/// Batches that are appended during a read are not in it.
pub(super) fn stays_within_its_bound<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut maker = BatchMaker::new(seed);
            for _ in 0..1_000 {
                log.append(&[maker.batch().item()])
                    .expect("the disk is well");
            }
            done.store(true, Ordering::Release);
        });
        let mut from = Offset::ZERO;
        while !done.load(Ordering::Acquire) || from < log.marks().written {
            let bound = log.marks().written;
            let bytes = log
                .read(from, bound, 5_000, true)
                .expect("inside")
                .bytes()
                .expect("the disk is well");
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let head = BatchHead::parse(rest).expect("whole batches");
                assert_eq!(head.base_offset, from);
                assert!(head.next_offset() <= bound, "{head:?} beyond {bound}");
                assert!(head.crc_matches(&rest[..head.size_bytes()]));
                rest = &rest[head.size_bytes()..];
                from = head.next_offset();
            }
        }
    });
}

pub(super) fn replays<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let model = Model::fill(&log, seed, 60);
    let mut random = Random::new(seed);
    for _ in 0..50 {
        let from = Offset(random.below(model.end().0 as u64 + 1) as i64);
        let whole = random.one_in(2);
        let limit = random.below(200) as usize + 1;
        let mut seen = 0;
        log.replay(from, whole, &mut |head, bytes| {
            let expected = &model.batches[model.batch_of(from) + seen];
            assert_eq!(*head, expected.head);
            let length = if whole { expected.bytes.len() } else { 61 };
            assert_eq!(bytes, &expected.bytes[..length]);
            seen += 1;
            seen < limit
        })
        .expect("the disk is well");
        assert_eq!(seen, limit.min(model.batches.len() - model.batch_of(from)));
    }
}

pub(super) fn looks_back<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let model = Model::fill(&log, seed, 100);
    let mut random = Random::new(seed);
    for _ in 0..200 {
        let from = Offset(random.below(model.end().0 as u64 + 1) as i64);
        let bytes_back = random.below(30_000);
        let found = log.offset_before(from, bytes_back);
        assert!(found <= from, "{found} is behind {from}");
        let between: usize = model.batches[model.batch_of(found)..model.batch_of(from)]
            .iter()
            .map(|batch| batch.bytes.len())
            .sum();
        let first = model.batches[0].head.base_offset;
        assert!(
            between as u64 >= bytes_back || found <= first,
            "{found} is {between} bytes before {from}, not {bytes_back}"
        );
        assert!(
            between as u64 <= bytes_back + 10_000,
            "{found} is {between} bytes before {from}, not {bytes_back}"
        );
    }
}

pub(super) fn keeps_what_was_handed_out<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let model = Model::fill(&log, seed, 3);
    let read = log
        .read(Offset(0), Offset(i64::MAX), usize::MAX, true)
        .expect("inside");
    store
        .remove_log(&partition("conformance", 1))
        .expect("the disk is well");
    let bytes = read.bytes().expect("what was handed out stays");
    assert_eq!(
        BatchHead::parse(&bytes).expect("a batch"),
        model.batches[0].head
    );
    let after = log.read(Offset(0), Offset(i64::MAX), usize::MAX, true);
    assert!(matches!(after, Err(ReadError::Fault(LogFault::Closed(_)))));
}
