//! Asks Apache Kafka again what tests of ours hold on record of it: what its assignors of consumer groups answer for
//! random groups, and which topics it takes regular expressions to mean. The tests compare; here the records are made
//! sure of. `OTTLA_BLESS=1` writes them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::process::capture;
use super::super::setup::Java;

const ASSIGNMENTS: &str = "crates/ottla-machine/src/group/consumer/assignor/tests/kafka.txt";
const SEED: &str = "848";
/// Each is assigned six times.
const GROUPS: &str = "80";
const REGEXES: &str = "crates/ottla-broker/src/flows/topic_regex/re2j.txt";
const LIMIT: Duration = Duration::from_secs(120);

/// # Errors
/// If Kafka answers something else than what is recorded, or nothing.
pub(in crate::test) fn assignors(java: &Java, root: &Path) -> Result<(), String> {
    let told = ask(java, "ottla.judges.Assignments", &[SEED, GROUPS])?;
    let head = "# What the assignors of Apache Kafka 4.3.1 answer: ottla.judges.Assignments";
    compare(
        root,
        ASSIGNMENTS,
        &format!("{head} {SEED} {GROUPS}\n{told}"),
    )
}

/// # Errors
/// As [`assignors`].
pub(in crate::test) fn regexes(java: &Java, root: &Path) -> Result<(), String> {
    let record = root.join(REGEXES);
    let record = record.to_str().ok_or("the workspace has no name as text")?;
    let told = ask(java, "ottla.judges.TopicRegexes", &[record])?;
    compare(root, REGEXES, &told)
}

fn ask(java: &Java, program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut program = java.command(program, 256, "WARN");
    let said = capture(program.args(arguments), None, LIMIT)?;
    String::from_utf8(said.stdout).map_err(|e| e.to_string())
}

fn compare(root: &Path, record: &str, told: &str) -> Result<(), String> {
    let path = root.join(record);
    let named = |e: std::io::Error| format!("{record}: {e}");
    if std::env::var_os("OTTLA_BLESS").is_some() {
        return fs::write(path, told).map_err(named);
    }
    if fs::read_to_string(path).map_err(named)? == told {
        Ok(())
    } else {
        Err(format!(
            "{record} is not what Kafka answers: OTTLA_BLESS=1 writes it"
        ))
    }
}
