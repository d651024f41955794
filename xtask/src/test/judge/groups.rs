//! Groups as Apache Kafka's own tools see them: kafka-consumer-groups over a real group, and kafka-dump-log over the
//! log that the group left, of which a part has been compacted.
//!
//! `tests/clients/judges/consumer-groups-PROTOCOL.txt` has every command with what Apache Kafka's broker makes the tool
//! say. `OTTLA_BLESS=1 cargo xtask test judges --target kafka` writes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::super::broker::{Broker, Target};
use super::super::process::capture;
use super::super::report::Section;
use super::super::rows::Row;
use super::super::setup::Java;
use super::dump::{self, View};

const PROTOCOLS: [&str; 2] = ["classic", "consumer"];
const LIMIT: Duration = Duration::from_secs(240);
const COMPACTION_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);
/// What the program makes many commits for, and the last of them.
const BUSY: &str = "busy";
const BUSY_OFFSET: u64 = 699;
/// The least that a segment may have, so that some are sealed; and what is left at most when those are compacted.
const SEGMENT_BYTES: u64 = 1 << 20;
const COMPACTED_BYTES_MAX: u64 = SEGMENT_BYTES + (SEGMENT_BYTES >> 2);

/// Answers a row for each tool and protocol.
pub(super) fn run(
    section: &Section,
    java: &Java,
    target: &Target<'_>,
    root: &Path,
    work: &Path,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in PROTOCOLS {
        let judge = Judge {
            java,
            protocol,
            home: work.join(format!("judge-{protocol}")),
        };
        match judge.run(section, target, root) {
            Ok(found) => rows.extend(found),
            Err(why) => section.failed(format!("{protocol} groups: {why}")),
        }
    }
    rows
}

struct Judge<'a> {
    java: &'a Java,
    protocol: &'a str,
    home: PathBuf,
}

impl Judge<'_> {
    fn run(&self, section: &Section, target: &Target<'_>, root: &Path) -> Result<Vec<Row>, String> {
        let settings = [
            format!("offsets.topic.segment.bytes={SEGMENT_BYTES}"),
            "log.cleaner.backoff.ms=100".into(),
        ];
        let broker = Broker::start_for_groups(target, &self.home, &settings)?;
        let mut tool = self
            .java
            .command("ottla.judges.ConsumerGroups", 256, "ERROR");
        tool.args([&broker.address, self.protocol]).arg(&self.home);
        let said = capture(&mut tool, None, LIMIT)?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut rows = Vec::new();
        let path = root.join(format!(
            "tests/clients/judges/consumer-groups-{}.txt",
            self.protocol
        ));
        if std::env::var_os("OTTLA_BLESS").is_some() && matches!(target, Target::Kafka(_)) {
            fs::write(&path, &said).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let expected = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let wrong = differences(&expected, &said);
        let count = commands(&said).len();
        section.passed((count - wrong.len().min(count)) as u64);
        if wrong.is_empty() {
            rows.push(self.row("consumer-groups", count));
        }
        for wrong in wrong {
            section.failed(format!("kafka-consumer-groups, {}: {wrong}", self.protocol));
        }
        let data = broker.data.clone();
        self.compacted(&data)?;
        broker.stop()?;
        match self.decode(&data) {
            Ok(records) => {
                section.passed(1);
                rows.push(self.row("offsets-decoder", records));
            }
            Err(why) => section.failed(format!("kafka-dump-log, {} groups: {why}", self.protocol)),
        }
        Ok(rows)
    }

    fn row(&self, case: &str, count: usize) -> Row {
        let count = count.to_string();
        Row::ok(&[
            ("case", case),
            ("protocol", self.protocol),
            ("count", &count),
        ])
    }

    /// Waits until the log of the busy group has been cleaned.
    fn compacted(&self, data: &Path) -> Result<(), String> {
        let deadline = Instant::now() + COMPACTION_LIMIT;
        loop {
            let mut largest = 0;
            for folder in folders(data)? {
                let sizes = logs(&folder)?
                    .iter()
                    .map(|log| fs::metadata(log).map_or(0, |of| of.len()))
                    .sum();
                largest = largest.max(sizes);
            }
            if largest <= COMPACTED_BYTES_MAX {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{largest} bytes of offsets are not compacted"));
            }
            thread::sleep(LOOK);
        }
    }

    /// Every record of every partition must be told; answers how many there are.
    fn decode(&self, data: &Path) -> Result<usize, String> {
        let mut jobs = Vec::new();
        for folder in folders(data)? {
            jobs.extend(logs(&folder)?.into_iter().map(|log| (log, View::Offsets)));
        }
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        let (mut tombstones, mut busy, mut records) = (0, Vec::new(), 0);
        for ((log, _), dump) in dump::run(self.java, &jobs, &self.home)? {
            if let Some(problem) = dump.problems.first() {
                return Err(format!("{}: {problem}", log.display()));
            }
            records += dump.pairs.len();
            for (key, value) in dump.pairs {
                let kind = key["type"].as_str().unwrap_or_default().to_owned();
                *kinds.entry(kind).or_default() += 1;
                if key["data"]["group"] == BUSY
                    && let Some(value) = &value
                {
                    busy.push(value["data"]["offset"].as_u64());
                }
                tombstones += usize::from(value.is_none());
            }
        }
        // Of commits and of groups; what a compaction took away is seen by what it left of the busy group.
        let expected: &[&str] = if self.protocol == "classic" {
            &["1", "2"]
        } else {
            // A group, its members, what they are to have by epoch and by member, and what they have.
            &["1", "3", "5", "6", "7", "8"]
        };
        if tombstones == 0 || !expected.iter().all(|kind| kinds.contains_key(*kind)) {
            return Err(format!("kinds of keys: {kinds:?}, {tombstones} tombstones"));
        }
        if busy.last() != Some(&Some(BUSY_OFFSET)) || busy.len() as u64 >= BUSY_OFFSET / 2 {
            return Err(format!(
                "{} offsets of the busy group, the last {:?}",
                busy.len(),
                busy.last()
            ));
        }
        Ok(records)
    }
}

/// What a broker made the tool say otherwise, a line for each command.
fn differences(expected: &str, found: &str) -> Vec<String> {
    let (expected, found) = (commands(expected), commands(found));
    let mut wrong = Vec::new();
    for at in 0..expected.len().max(found.len()) {
        match (expected.get(at), found.get(at)) {
            (Some(expected), Some(found)) if expected == found => {}
            (expected, found) => wrong.push(format!("expected {expected:?}, found {found:?}")),
        }
    }
    wrong
}

/// Each command with what it said.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.split("\n\n").map(str::trim);
    blocks.filter(|block| !block.is_empty()).collect()
}

/// The partitions of the offsets topic.
fn folders(data: &Path) -> Result<Vec<PathBuf>, String> {
    let is_of_offsets = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("__consumer_offsets-") && !name.ends_with("-delete")
    };
    Ok(entries(data)?.into_iter().filter(is_of_offsets).collect())
}

fn logs(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    Ok(entries(folder)?.into_iter().filter(is_log).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(told)? {
        paths.push(entry.map_err(told)?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_says_something_else_is_found() {
        let text = "$ a\nsays b\n\n$ c\n";
        assert_eq!(differences(text, text), Vec::<String>::new());
        assert_eq!(differences(text, "$ a\nsays c\n\n$ c\n").len(), 1);
        assert_eq!(differences(text, "$ a\nsays b\n").len(), 1);
        assert_eq!(differences(text, &format!("{text}\n$ d\n")).len(), 1);
    }
}
