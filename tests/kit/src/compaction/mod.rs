//! Compaction of the local store under everything that can stop it: random histories of keyed
//! records, tombstones and transactions, checked against a model after each pass, and on every disk
//! that a kill or a power loss can leave behind each disk operation.
//!
//! What has to hold: [`check`].

mod check;
mod journal;
mod plan;

use plan::{Plan, run};

/// As the environment says, or as given.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn the_latest_of_each_key_stays_whatever_is_compacted_when() {
    let seed = number("OTTLA_CLEAN_SEED", 1);
    let mut passes = 0;
    for nth in 0..number("OTTLA_CLEAN_HISTORIES", 60) {
        let plan = Plan {
            seed: seed.wrapping_add(nth),
            steps: 120,
            crashes_per_operation: None,
        };
        println!("{plan:?}");
        passes += run(&plan).passes;
    }
    println!("{passes} passes");
    assert!(passes > 300, "only {passes} passes");
}

#[test]
fn a_crash_at_any_moment_of_a_pass_loses_nothing_and_brings_nothing_back() {
    let seed = number("OTTLA_CLEAN_SEED", 1_000);
    let mut states = 0;
    for nth in 0..number("OTTLA_CLEAN_CRASH_HISTORIES", 5) {
        let plan = Plan {
            seed: seed.wrapping_add(nth),
            steps: 30,
            crashes_per_operation: Some(2),
        };
        let told = run(&plan);
        println!("{plan:?}: {told:?}");
        states += told.states;
    }
    assert!(states > 1_000, "only {states} states");
}
