//! The binary as a process: exit codes, lines, files, signals.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod directory;
mod health;
mod lifecycle;
mod records;
mod refusals;

use ottla_testkit::broker_process::{BrokerCommand, Ended};

fn ottla() -> BrokerCommand {
    BrokerCommand::new(env!("CARGO_BIN_EXE_ottla"))
}

/// Runs `ottla` with arguments that it refuses, and holds that it says so in one line.
#[track_caller]
fn refused(args: &[&str], code: i32, words: &[&str]) -> Ended {
    let ended = ottla().args(args).run();
    assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
    assert_eq!(ended.stdout, "", "{args:?}");
    assert_one_line(&ended.stderr, words);
    ended
}

#[track_caller]
fn assert_one_line(stderr: &str, words: &[&str]) {
    // Log lines begin with a time; the end of the process is the one that begins with its name.
    let fatal: Vec<_> = stderr
        .lines()
        .filter(|line| !line.starts_with("20"))
        .collect();
    assert!(
        matches!(fatal[..], [line] if line.starts_with("ottla: ")),
        "not one line: {stderr}"
    );
    for word in words {
        assert!(fatal[0].contains(word), "no {word:?} in {:?}", fatal[0]);
    }
}
