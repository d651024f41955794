//! Crash states of the local store alone: random histories over the simulated disk, where every disk
//! operation is a crash point with several possible disks after it.
//!
//! What has to hold in each ([`oracle`]): every record below the last reported durable mark is there
//! byte for byte; every record that is there was appended, and stands where it was appended; no offset
//! that anybody saw is given to another record; nothing is reported as damage; indexes, time searches
//! and epochs agree with the records; the log takes appends again, and all of it can crash once more.
#![allow(clippy::expect_used, reason = "a test suite fails by panicking")]

mod history;
mod oracle;

use ottla_log::{Durability, Plant};

use crate::conformance::Random;
use crate::sim_disk::SimDisk;
use history::{Life, play};
use oracle::{Death, Facts, check};

/// How much to try.
#[derive(Clone, Copy, Debug)]
pub struct CrashPlan {
    /// Everything follows from it.
    pub seed: u64,
    /// Number of histories.
    pub histories: u64,
    /// Steps of each: appends, rounds, rolls, restarts, removals.
    pub steps: usize,
    /// Possible disks after a power loss at each operation.
    pub crashes_per_operation: u64,
    /// The store's.
    pub durability: Durability,
    /// A fault of the store that the histories must find.
    pub plant: Plant,
}

/// What was tried, and what was found.
#[derive(Clone, Default, Debug)]
pub struct CrashReport {
    /// Disks that were opened after a crash.
    pub states: u64,
    /// Of these, disks that crashed while they recovered or soon after.
    pub crashed_twice: u64,
    /// Disk operations of the histories.
    pub operations: u64,
    /// What did not hold, with the seed of its history; the first few.
    pub violations: Vec<String>,
}

/// Violations after which a run stops.
const VIOLATIONS_MAX: usize = 3;

/// Plays the histories and opens every crash state.
#[must_use]
pub fn crash_states(plan: &CrashPlan) -> CrashReport {
    let mut report = CrashReport::default();
    for nth in 0..plan.histories {
        let seed = plan.seed.wrapping_add(nth);
        for life in play(plan, seed) {
            visit(plan, seed, &life, &mut report);
            if report.violations.len() >= VIOLATIONS_MAX {
                return report;
            }
        }
    }
    report
}

/// Opens the disks after every operation of one life of the store.
fn visit(plan: &CrashPlan, seed: u64, life: &Life, report: &mut CrashReport) {
    let mut facts = life.facts_before.clone();
    let mut notes = life.notes.iter().peekable();
    for operation in life.first_operation..=life.disk.operations() {
        while let Some((_, note)) = notes.next_if(|(at, _)| *at <= operation) {
            facts.learn(note);
        }
        let image = life
            .disk
            .recorded(operation)
            .expect("every operation is recorded");
        for nth in 0..=plan.crashes_per_operation {
            let mut random = Random::new(seed ^ (operation << 20) ^ (nth << 8));
            let (death, disk) = match nth {
                0 => (Death::Kill, image.kill_image()),
                _ => (Death::Power, image.crash(random.number())),
            };
            let place = format!(
                "seed {seed}, life {}, operation {operation}, crash {nth} ({death:?})",
                life.nth
            );
            open(plan, &place, (disk, death), &facts, &mut random, report);
            if report.violations.len() >= VIOLATIONS_MAX {
                return;
            }
        }
    }
    report.operations += life.disk.operations() - life.first_operation;
}

/// Opens one disk, and now and then crashes it again.
fn open(
    plan: &CrashPlan,
    place: &str,
    (disk, death): (SimDisk, Death),
    facts: &Facts,
    random: &mut Random,
    report: &mut CrashReport,
) {
    let again = random.one_in(4);
    let goes_on = again || random.one_in(4);
    if again {
        disk.record();
    }
    report.states += 1;
    let checked = match check(plan, &disk, death, facts, goes_on, random) {
        Ok(checked) => checked,
        Err(why) => {
            report.violations.push(format!("{place}: {why}"));
            return;
        }
    };
    if !again {
        return;
    }
    let at = random.below(disk.operations() + 1);
    let second = disk.recorded(at).expect("every operation is recorded");
    let (second_death, second) = match random.one_in(4) {
        true => (Death::Kill, second.kill_image()),
        false => (Death::Power, second.crash(random.number())),
    };
    let mut facts = facts.clone();
    if death == Death::Power {
        facts.power_was_lost(plan.durability);
    }
    checked
        .iter()
        .filter(|(until, _)| *until <= at)
        .for_each(|(_, note)| facts.learn(note));
    report.states += 1;
    report.crashed_twice += 1;
    if let Err(why) = check(plan, &second, second_death, &facts, false, random) {
        report.violations.push(format!(
            "{place}, then operation {at} of that life ({second_death:?}): {why}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(plan: CrashPlan) -> CrashReport {
        let started = std::time::Instant::now();
        let report = crash_states(&plan);
        println!(
            "{plan:?}: {} crash states ({} crashed twice) of {} operations in {:?}",
            report.states,
            report.crashed_twice,
            report.operations,
            started.elapsed()
        );
        report
    }

    const PLAN: CrashPlan = CrashPlan {
        seed: 1,
        histories: 6,
        steps: 60,
        crashes_per_operation: 3,
        durability: Durability::Synced,
        plant: Plant::None,
    };

    /// [`PLAN`], larger or elsewhere if the environment says so.
    fn plan(durability: Durability) -> CrashPlan {
        let number = |name: &str| {
            std::env::var(name)
                .ok()
                .and_then(|value| value.parse().ok())
        };
        CrashPlan {
            seed: number("OTTLA_CRASH_SEED").unwrap_or(PLAN.seed),
            histories: number("OTTLA_CRASH_HISTORIES").unwrap_or(PLAN.histories),
            durability,
            ..PLAN
        }
    }

    #[test]
    fn nothing_durable_is_lost_and_no_offset_names_two_records() {
        let report = run(plan(Durability::Synced));
        assert_eq!(report.violations, [] as [&str; 0]);
        assert!(report.states > 2_000, "only {} states", report.states);
    }

    #[test]
    fn dev_mode_loses_nothing_to_a_kill_and_never_names_an_offset_twice() {
        let report = run(plan(Durability::Os));
        assert_eq!(report.violations, [] as [&str; 0]);
        assert!(report.states > 1_000, "only {} states", report.states);
    }

    #[cfg(feature = "planted")]
    #[test]
    fn planted_faults_are_found() {
        for plant in [Plant::AckBeforeSync, Plant::SkipDirSync] {
            let report = run(CrashPlan { plant, ..PLAN });
            println!("{:?}", report.violations.first());
            assert!(!report.violations.is_empty(), "{plant:?} was not found");
        }
    }
}
