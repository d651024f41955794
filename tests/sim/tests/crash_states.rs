//! Every disk operation of every history is a crash point; nothing that was promised is ever lost.
#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use ottla_log::Durability;
use ottla_sim::cluster::Planted;
use ottla_sim::history::{self, Count};

/// Crash states that one run has to reach.
const STATES_MIN: u64 = 10_000;

fn first_seed() -> u64 {
    std::env::var("OTTLA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1)
}

#[test]
fn nothing_promised_is_lost_and_no_offset_names_two_records() {
    let mut total = Count::default();
    let mut seed = first_seed();
    while total.states < STATES_MIN {
        let durability = if seed.is_multiple_of(3) {
            Durability::Os
        } else {
            Durability::Synced
        };
        let count = history::run(seed, durability, Planted::Nothing)
            .unwrap_or_else(|broken| panic!("{broken}"));
        println!("seed {seed} {durability:?}: {count:?}");
        total.states += count.states;
        total.twice += count.twice;
        total.promises += count.promises;
        total.operations += count.operations;
        seed += 1;
    }
    println!(
        "crash states: {} ({} crashed again in recovery), {} promises checked",
        total.states, total.twice, total.promises
    );
    assert!(
        total.promises > total.states,
        "the histories promised something"
    );
}
