//! What a section found, said line by line, and counted.
//!
//! Sections may run side by side: every line on the console carries its section's name.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether this run must not skip anything: `CI` is set, as every hosted runner does.
pub(super) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Collects what one section found.
pub(crate) struct Section {
    name: &'static str,
    started: Instant,
    tally: Mutex<Tally>,
}

/// Counts of cases that were truly executed, and what was not.
#[derive(Clone, Default)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failures: Vec<String>,
    pub(super) skipped: Vec<String>,
}

impl Section {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            started: Instant::now(),
            tally: Mutex::default(),
        }
    }

    pub(crate) fn say(&self, line: &str) {
        println!("{:>8} | {line}", self.name);
    }

    pub(super) fn passed(&self, cases: u64) {
        self.tally().passed += cases;
    }

    pub(crate) fn failed(&self, what: impl Into<String>) {
        let what = what.into();
        self.say(&format!("FAILED: {what}"));
        self.tally().failures.push(what);
    }

    /// One case; its error says what differed.
    pub(crate) fn case(&self, name: &str, outcome: Result<(), String>) -> bool {
        match outcome {
            Ok(()) => self.passed(1),
            Err(why) => {
                self.failed(format!("{name}: {why}"));
                return false;
            }
        }
        true
    }

    /// Something that cannot run on this machine. In CI that is a failure.
    pub(crate) fn skipped(&self, what: &str, why: &str) {
        if in_ci() {
            return self.failed(format!(
                "{what}: skipped, and nothing may be skipped in CI: {why}"
            ));
        }
        self.say(&format!("skipped: {what}: {why}"));
        self.tally().skipped.push(format!("{what}: {why}"));
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.tally().failures.is_empty()
    }

    /// Ends the section.
    pub(crate) fn close(self) -> Closed {
        let took = self.started.elapsed();
        let tally = self.tally().clone();
        self.say(&format!(
            "{}: {} passed, {} failed, {} skipped, {}",
            if tally.failures.is_empty() {
                "ok"
            } else {
                "FAILED"
            },
            tally.passed,
            tally.failures.len(),
            tally.skipped.len(),
            minutes(took),
        ));
        Closed {
            name: self.name,
            took,
            tally,
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A section that has ended.
pub(crate) struct Closed {
    name: &'static str,
    took: Duration,
    tally: Tally,
}

impl Closed {
    pub(super) fn is_ok(&self) -> bool {
        self.tally.failures.is_empty()
    }
}

/// Prints minutes per section, every failure and everything skipped, and the result line.
///
/// # Errors
/// If anything failed, or nothing ran.
pub(crate) fn conclude(sections: &[Closed], took: Duration) -> Result<(), String> {
    println!("\nsection     minutes   passed   failed  skipped");
    for section in sections {
        println!(
            "{:<10} {:>8.2} {:>8} {:>8} {:>8}",
            section.name,
            section.took.as_secs_f64() / 60.0,
            section.tally.passed,
            section.tally.failures.len(),
            section.tally.skipped.len(),
        );
    }
    println!("{:<10} {:>8.2}", "together", took.as_secs_f64() / 60.0);
    for section in sections {
        for what in &section.tally.skipped {
            println!("skipped: {}: {what}", section.name);
        }
    }
    for section in sections {
        for what in &section.tally.failures {
            println!("failed: {}: {what}", section.name);
        }
    }
    let passed: u64 = sections.iter().map(|section| section.tally.passed).sum();
    let failed: usize = sections
        .iter()
        .map(|section| section.tally.failures.len())
        .sum();
    let skipped: usize = sections
        .iter()
        .map(|section| section.tally.skipped.len())
        .sum();
    let ok = failed == 0 && passed > 0;
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; {skipped} ignored; finished in {:.2}s",
        if ok { "ok" } else { "FAILED" },
        took.as_secs_f64(),
    );
    if ok {
        Ok(())
    } else {
        Err("cargo xtask test failed".into())
    }
}

fn minutes(took: Duration) -> String {
    format!("{:.2} minutes", took.as_secs_f64() / 60.0)
}
