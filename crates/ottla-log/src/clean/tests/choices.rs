//! Which log, from where to where, and which segments together.

use ottla_model::ids::Offset;

use crate::clean::choice::{Dirty, LogFacts, SegmentFacts, dirtiest, dirty, groups, is_due};
use crate::store::CompactRule;

const NOW_MS: i64 = 1_000_000;

/// Segments of 100 offsets and bytes each, the n-th of second n, and an active one behind them.
fn facts(sealed: usize) -> LogFacts {
    let segment = |nth: usize| SegmentFacts {
        base: Offset(100 * nth as i64),
        size_bytes: 100,
        first_timestamp_ms: Some(1_000 * nth as i64 + 1),
        latest_timestamp_ms: 1_000 * nth as i64 + 999,
    };
    LogFacts {
        sealed: (0..sealed).map(segment).collect(),
        active_base: Offset(100 * sealed as i64),
        log_start: Offset::ZERO,
        log_end: Offset(100 * sealed as i64 + 50),
        cleaned: None,
        stable: Offset(i64::MAX),
    }
}

fn span(facts: &LogFacts, rule: &CompactRule, now_ms: i64) -> Option<(i64, i64)> {
    dirty(facts, rule, now_ms).map(|dirty| (dirty.from.0, dirty.to.0))
}

#[test]
fn takes_sealed_and_stable_segments_only() {
    let rule = CompactRule::default();
    assert_eq!(span(&facts(0), &rule, NOW_MS), None);
    assert_eq!(span(&facts(3), &rule, NOW_MS), Some((0, 300)));
    for (stable, to) in [(300, 300), (299, 200), (200, 200), (101, 100)] {
        let facts = LogFacts {
            stable: Offset(stable),
            ..facts(3)
        };
        assert_eq!(span(&facts, &rule, NOW_MS), Some((0, to)), "{stable}");
    }
    let none = LogFacts {
        stable: Offset(99),
        ..facts(3)
    };
    assert_eq!(span(&none, &rule, NOW_MS), None);
}

#[test]
fn begins_where_the_checkpoint_says_unless_it_is_of_another_log() {
    let rule = CompactRule::default();
    for (cleaned, log_start, from) in [(0, 0, 0), (150, 0, 150), (350, 0, 0), (150, 160, 160)] {
        let facts = LogFacts {
            cleaned: Some(Offset(cleaned)),
            log_start: Offset(log_start),
            ..facts(3)
        };
        // 350 is the end of the log: all is clean.
        let wanted = if cleaned == 350 {
            None
        } else {
            Some((from, 300))
        };
        assert_eq!(span(&facts, &rule, NOW_MS), wanted, "{cleaned}");
    }
    let beyond = LogFacts {
        cleaned: Some(Offset(351)),
        ..facts(3)
    };
    assert_eq!(span(&beyond, &rule, NOW_MS), Some((0, 300)));
}

#[test]
fn leaves_new_records_alone_for_the_smallest_lag() {
    let rule = CompactRule {
        lag_ms_min: 1_500,
        ..CompactRule::default()
    };
    for (now_ms, wanted) in [
        (2_000, None),
        (2_499, Some((0, 100))),
        (3_500, Some((0, 200))),
        (4_499, Some((0, 300))),
    ] {
        assert_eq!(span(&facts(3), &rule, now_ms), wanted, "{now_ms}");
    }
}

#[test]
fn a_pass_is_due_by_the_ratio_or_by_the_largest_lag() {
    let half = |cleaned: i64| LogFacts {
        cleaned: Some(Offset(cleaned)),
        ..facts(4)
    };
    let rule = CompactRule::default();
    let ratio = |cleaned| dirty(&half(cleaned), &rule, NOW_MS).unwrap().ratio;
    assert_eq!((ratio(0), ratio(200), ratio(201)), (1.0, 0.5, 0.5));
    assert_eq!(ratio(300), 0.25);
    let due = |cleaned, rule: &CompactRule, now_ms| {
        is_due(&dirty(&half(cleaned), rule, now_ms).unwrap(), rule)
    };
    assert!(due(199, &rule, NOW_MS));
    assert!(!due(200, &rule, NOW_MS));
    let lag = CompactRule {
        lag_ms_max: 10_000,
        ..rule
    };
    // The first dirty segment begins at 3,001 ms.
    assert!(!due(300, &lag, 13_001));
    assert!(due(300, &lag, 13_002));
}

#[test]
fn the_dirtiest_log_is_next() {
    let of = |ratio: f64, overdue: bool| Dirty {
        from: Offset::ZERO,
        to: Offset(1),
        ratio,
        overdue,
    };
    let rule = CompactRule::default();
    let choose = |logs: &[(&'static str, Dirty)]| {
        let logs = logs.iter().map(|(name, dirty)| (*name, *dirty, rule));
        dirtiest(logs).map(|(name, _)| name)
    };
    assert_eq!(choose(&[]), None);
    assert_eq!(choose(&[("a", of(0.5, false))]), None);
    assert_eq!(
        choose(&[
            ("a", of(0.6, false)),
            ("b", of(0.9, false)),
            ("c", of(0.7, false))
        ]),
        Some("b")
    );
    assert_eq!(
        choose(&[("a", of(0.1, true)), ("b", of(0.4, false))]),
        Some("a")
    );
}

#[test]
fn small_segments_are_grouped_by_bytes_and_offsets() {
    let group = |segments: &[(i64, u64)], end: i64, bytes: u64| -> Vec<(usize, usize)> {
        let segments: Vec<(Offset, u64)> = segments
            .iter()
            .map(|(base, size)| (Offset(*base), *size))
            .collect();
        groups(&segments, Offset(end), bytes)
            .into_iter()
            .map(|range| (range.start, range.end))
            .collect()
    };
    assert_eq!(group(&[], 0, 100), []);
    assert_eq!(
        group(
            &[(0, 60), (1, 40), (2, 1), (3, 0), (4, 200), (5, 1)],
            6,
            100
        ),
        [(0, 2), (2, 4), (4, 5), (5, 6)]
    );
    let far = i64::from(i32::MAX);
    assert_eq!(group(&[(0, 1), (5, 1)], far, 100), [(0, 2)]);
    assert_eq!(group(&[(0, 1), (5, 1)], far + 1, 100), [(0, 1), (1, 2)]);
}
