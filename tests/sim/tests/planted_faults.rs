//! Does the crash test bite? Builds with a planted fault must not pass it.
#![cfg(feature = "planted")]
#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use ottla_log::Durability;
use ottla_sim::cluster::Planted;
use ottla_sim::history;

const SEEDS_MAX: u64 = 10;

/// The seed and the words of the first history that notices the fault.
fn caught(planted: Planted) -> Option<(u64, String)> {
    (1..=SEEDS_MAX).find_map(|seed| {
        let broken = history::run(seed, Durability::Synced, planted).err()?;
        Some((seed, broken))
    })
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    let (seed, broken) =
        caught(Planted::AckBeforeSync).expect("the early acknowledgement passed unnoticed");
    println!("caught with seed {seed}: {broken}");
}

#[test]
fn a_missing_directory_sync_is_caught() {
    let (seed, broken) =
        caught(Planted::SkipDirSync).expect("the missing directory sync passed unnoticed");
    println!("caught with seed {seed}: {broken}");
}
