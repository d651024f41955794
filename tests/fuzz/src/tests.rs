//! The harness itself, and a little of each group with debug assertions on.

use crate::engine::{Options, run, unhex};
use crate::{Group, canaries, groups};
use ottla_schema::random::Random;

fn options(inputs: u64) -> Options {
    let seed = Random::seed();
    println!("OTTLA_SEED={seed}");
    Options {
        seed,
        inputs: Some(inputs),
        threads: 2,
        trace: None,
        findings: std::env::temp_dir().join("ottla-fuzz"),
    }
}

fn borrowed(groups: &[Box<dyn Group>]) -> Vec<&dyn Group> {
    groups.iter().map(AsRef::as_ref).collect()
}

#[test]
fn nothing_is_found_in_a_little_of_everything() {
    let options = options(60);
    let groups = groups().unwrap();
    for report in run(&borrowed(&groups), &options) {
        println!("{report}");
        assert_eq!(report.faults(&options), [""; 0]);
        assert!(report.variants.iter().all(|(_, tally)| tally.inputs == 60));
    }
}

#[test]
fn every_planted_bug_is_found() {
    let options = options(50_000);
    let groups = canaries().unwrap();
    for report in run(&borrowed(&groups), &options) {
        let total = report.total();
        let found = total.findings.first();
        let found = found.unwrap_or_else(|| panic!("not found: {report}"));
        println!("{} after {}: {}", report.name, found.after, found.why);
        assert!(!report.faults(&options).is_empty());
    }
}

#[test]
fn equal_seeds_make_equal_inputs() {
    let groups = groups().unwrap();
    for group in &groups {
        let inputs = || {
            let mut dice = Random::from_seed(7);
            let mut maker = group.maker(0);
            (0..20).map(|_| maker.make(&mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(), inputs(), "{}", group.name());
    }
}

#[test]
fn what_is_shown_as_hex_can_be_replayed() {
    assert_eq!(unhex("00ff1A"), Ok(vec![0, 255, 26]));
    assert!(unhex("0").is_err() && unhex("0g").is_err());
}
