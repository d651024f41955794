//! Finding records by time.

use std::sync::Arc;

use ottla_log::{LogStore, TimestampHit};
use ottla_model::ids::Offset;

use super::batches::Random;
use super::log;
use super::model::Model;

pub(super) fn finds_records_by_time<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    assert_eq!(
        log.find_timestamp(0, Offset(i64::MAX))
            .expect("the disk is well"),
        None
    );
    assert_eq!(
        log.max_timestamp(Offset(i64::MAX))
            .expect("the disk is well"),
        None
    );
    let model = Model::fill(&log, seed, 100);
    let hits = model.hits();
    let mut random = Random::new(seed);
    let mut bounds: Vec<Offset> = vec![Offset(i64::MAX), Offset::ZERO, model.end()];
    bounds.extend((0..20).map(|_| {
        model.batches[random.below(model.batches.len() as u64) as usize]
            .head
            .next_offset()
    }));
    for bound in bounds {
        let below: Vec<TimestampHit> = hits
            .iter()
            .copied()
            .filter(|hit| hit.offset < bound)
            .collect();
        let latest = below.iter().map(|hit| hit.timestamp_ms).max();
        let expected = below
            .iter()
            .find(|hit| Some(hit.timestamp_ms) == latest)
            .copied();
        assert_eq!(
            log.max_timestamp(bound).expect("the disk is well"),
            expected,
            "below {bound}"
        );

        let mut times = vec![-1, 0, 1_000_000, 1_100_001, i64::MAX];
        times.extend((0..10).map(|_| 1_000_000 + random.below(100_000) as i64));
        times.extend((0..10).map(|_| hits[random.below(hits.len() as u64) as usize].timestamp_ms));
        times.extend(latest);
        for at in times {
            let expected = below.iter().find(|hit| hit.timestamp_ms >= at).copied();
            assert_eq!(
                log.find_timestamp(at, bound).expect("the disk is well"),
                expected,
                "{at} below {bound}"
            );
        }
    }
}
