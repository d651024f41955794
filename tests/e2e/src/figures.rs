//! What `/proc` says about a process, and how figures are printed.

use std::fs;
use std::time::Duration;

/// Memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What it has in memory now, in bytes (`VmRSS`).
    pub resident_bytes: u64,
    /// The most that it ever had, in bytes (`VmHWM`).
    pub peak_bytes: u64,
}

/// Memory of a process.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_else(|| panic!("{path} has no {name}")) * 1024
    };
    Memory {
        resident_bytes: field("VmRSS:"),
        peak_bytes: field("VmHWM:"),
    }
}

/// CPU time that the threads of a process have used so far, kernel and user. Threads that ended are
/// not in it: measure between two moments with the same threads.
///
/// # Panics
/// If the process is gone.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let nanoseconds = tasks.filter_map(|task| {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The smallest, the middle and the largest of some durations, in milliseconds.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn spread(mut all: Vec<Duration>) -> [f64; 3] {
    all.sort_unstable();
    let ms = |at: usize| all[at].as_secs_f64() * 1e3;
    [ms(0), ms(all.len() / 2), ms(all.len() - 1)]
}

/// The duration that this share of all (0.99: p99) does not exceed, in milliseconds; 0 if there are none.
#[must_use]
pub fn quantile(mut all: Vec<Duration>, share: f64) -> f64 {
    all.sort_unstable();
    let at = (all.len() as f64 * share) as usize;
    all.get(at.min(all.len().saturating_sub(1)))
        .map_or(0.0, |one| one.as_secs_f64() * 1e3)
}
