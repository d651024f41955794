//! What the operating system knows of this process, under the names that Prometheus' client
//! libraries agree on.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Units of `/proc/PID/stat` per second: a constant of Linux' interface to programs (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the process's figures in the text format. What cannot be read is left out.
pub(crate) fn write(out: &mut Vec<u8>, version: &str, started: SystemTime) {
    // Writing into memory does not fail.
    let _ = write!(
        out,
        "# HELP ottla_build_info What runs.\n# TYPE ottla_build_info gauge\nottla_build_info{{version=\"{version}\"}} 1\n"
    );
    if let Some(bytes) = resident_bytes() {
        figure(
            out,
            "process_resident_memory_bytes",
            "gauge",
            "Memory in use.",
            bytes,
        );
    }
    if let Some(seconds) = cpu_seconds() {
        figure(
            out,
            "process_cpu_seconds_total",
            "counter",
            "Processor time used, user and system.",
            seconds,
        );
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        let count = open.count().saturating_sub(1);
        figure(
            out,
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            count as f64,
        );
    }
    if let Ok(since) = started.duration_since(UNIX_EPOCH) {
        figure(
            out,
            "process_start_time_seconds",
            "gauge",
            "Start, seconds since 1970.",
            since.as_secs_f64(),
        );
    }
}

fn figure(out: &mut Vec<u8>, name: &str, kind: &str, help: &str, value: f64) {
    let _ = write!(
        out,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
    );
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(kib * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name, may hold spaces and parentheses. Fields 14 and 15 follow it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
