//! Runs kafka-dump-log over many files in one JVM and reads what it prints, line by line, strictly.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::process::capture;
use super::super::setup::Java;
use super::walk::Batch;

const LIMIT: Duration = Duration::from_secs(300);
/// A broken file can yield a problem a record: the first ones tell.
const PROBLEMS_MAX: usize = 10;

/// One way of dumping a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// A `.log`: batches and records.
    Log,
    /// A `.log` or `.checkpoint` of the metadata log: batches and decoded records.
    Metadata,
    /// A `.log` of the offsets topic: batches and decoded records. Compaction leaves gaps.
    Offsets,
    Index,
    IndexSanity,
    TimeIndex,
    TimeIndexSanity,
    /// `.snapshot` or `.txnindex`: every line names a producer.
    Producers,
}

impl View {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Log => &["--deep-iteration"],
            Self::Metadata => &["--deep-iteration", "--cluster-metadata-decoder"],
            Self::Offsets => &["--offsets-decoder"],
            Self::IndexSanity | Self::TimeIndexSanity => &["--index-sanity-check"],
            Self::Index | Self::TimeIndex | Self::Producers => &[],
        }
    }
}

/// What the tool said of one file.
#[derive(Default)]
pub(super) struct Dump {
    pub(super) batches: Vec<Batch>,
    pub(super) records: u64,
    /// Index: offset and position. Time index: timestamp and offset.
    pub(super) entries: Vec<(i64, i64)>,
    /// Decoded records of the metadata log.
    pub(super) payloads: Vec<serde_json::Value>,
    /// Decoded records of the offsets topic: the key, and the value if it is no tombstone.
    pub(super) pairs: Vec<(serde_json::Value, Option<serde_json::Value>)>,
    pub(super) problems: Vec<String>,
    lines: usize,
    passed_sanity: bool,
}

/// Dumps each file in its view.
pub(super) fn run(
    java: &Java,
    jobs: &[(PathBuf, View)],
    work: &Path,
) -> Result<BTreeMap<(PathBuf, View), Dump>, String> {
    let (list, out, err) = (
        work.join("dump.jobs"),
        work.join("dump.out"),
        work.join("dump.err"),
    );
    let mut text = String::new();
    for (file, view) in jobs {
        text.push_str(&view.arguments().join("\t"));
        text.push_str(if view.arguments().is_empty() {
            "--files\t"
        } else {
            "\t--files\t"
        });
        text.push_str(&format!("{}\n", file.display()));
    }
    fs::write(&list, text).map_err(|e| format!("{}: {e}", list.display()))?;
    let mut tool = java.command("ottla.judges.DumpLogs", 512, "WARN");
    tool.args([&list, &out, &err]);
    let said = capture(&mut tool, None, LIMIT)?;
    if !said.stderr.is_empty() {
        return Err(format!("the tool's JVM says: {}", said.stderr));
    }

    let mut dumps: Vec<Dump> = jobs.iter().map(|_| Dump::default()).collect();
    each_line(&out, jobs.len(), |job, line| {
        dumps[job].line(&jobs[job].0, jobs[job].1, line)
    })?;
    let mut complaints: Vec<Vec<String>> = vec![Vec::new(); jobs.len()];
    each_line(&err, jobs.len(), |job, line| {
        complaints[job].push(line.to_owned())
    })?;
    for (((file, view), dump), complaints) in jobs.iter().zip(&mut dumps).zip(complaints) {
        dump.close(*view, excused(file, *view, complaints));
    }
    for file in [list, out, err] {
        fs::remove_file(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(jobs.iter().cloned().zip(dumps).collect())
}

/// The lines of every job: `@@ N` opens the N-th, `@@ end` proves that the tool came to its end.
fn each_line(path: &Path, jobs: usize, mut each: impl FnMut(usize, &str)) -> Result<(), String> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut job = None;
    let mut ended = false;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|e| format!("{}: {e}", path.display()))?;
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix("@@ ") {
            Some("end") => ended = true,
            Some(number) => job = number.parse::<usize>().ok().filter(|number| *number < jobs),
            None => each(
                job.ok_or_else(|| format!("{}: a line of no job: {line}", path.display()))?,
                &line,
            ),
        }
    }
    if ended {
        Ok(())
    } else {
        Err(format!(
            "{}: the tool did not come to its end",
            path.display()
        ))
    }
}

/// Standard error without the one false complaint: kafka-dump-log 4.x starts counting at -1 in every segment, and so
/// calls the first offset of each later one non-consecutive (`-1 is followed by 3283` in `…3283.log`).
/// In a compacted log there are other gaps.
fn excused(file: &Path, view: View, mut complaints: Vec<String>) -> Vec<String> {
    if view == View::Offsets {
        complaints.retain(|line| {
            !line.starts_with("Non-consecutive offsets in ") && !line.contains(" is followed by ")
        });
    }
    let base = file
        .file_stem()
        .and_then(|stem| stem.to_str()?.parse::<u64>().ok())
        .unwrap_or(0);
    let header = format!("Non-consecutive offsets in {}", file.display());
    let false_pair = format!("  -1 is followed by {base}");
    if base > 0
        && let Some(at) = complaints.iter().position(|line| *line == header)
        && complaints.get(at + 1) == Some(&false_pair)
    {
        let alone = complaints
            .get(at + 2)
            .is_none_or(|next| !next.starts_with("  "));
        complaints.drain(if alone { at..at + 2 } else { at + 1..at + 2 });
    }
    complaints
}

impl Dump {
    fn line(&mut self, file: &Path, view: View, line: &str) {
        self.lines += 1;
        let understood = if self.lines == 1 {
            line == format!("Dumping {}", file.display())
        } else {
            match view {
                View::Log | View::Metadata | View::Offsets => self.log_line(file, view, line),
                View::Index => {
                    self.empty(file, line) || self.entry(line, "offset: ", " position: ")
                }
                View::TimeIndex => self.entry(line, "timestamp: ", " offset: "),
                View::IndexSanity | View::TimeIndexSanity => {
                    self.empty(file, line) || self.sanity(file, line)
                }
                View::Producers => {
                    line.starts_with("producerId: ") || line.starts_with("version: ")
                }
            }
        };
        if !understood {
            self.problem(format!("prints: {line}"));
        }
    }

    fn log_line(&mut self, file: &Path, view: View, line: &str) -> bool {
        if self.lines == 2 {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let base = stem
                .parse::<u64>()
                .map(|base| format!("Log starting offset: {base}"));
            return base.is_ok_and(|expected| expected == line)
                || line.starts_with("Snapshot end offset: ")
                || line == "KRaft bootstrap snapshot";
        }
        if let Some(record) = line.strip_prefix("| offset: ") {
            return self.record(view, record);
        }
        let Some(batch) = parse_batch(line) else {
            return false;
        };
        if field(line, "isvalid") != Some("true") {
            self.problem(format!("a batch is not valid: {line}"));
        }
        self.batches.push(batch);
        true
    }

    /// A record must lie in the batch printed last, and follow the record before it.
    fn record(&mut self, view: View, line: &str) -> bool {
        let Some(offset) = line
            .split(' ')
            .next()
            .and_then(|word| word.parse::<i64>().ok())
        else {
            return false;
        };
        self.records += 1;
        let Some(batch) = self.batches.last() else {
            return false;
        };
        if !(batch.base_offset..=batch.last_offset).contains(&offset) {
            self.problem(format!("record {offset} lies outside its batch"));
        }
        if view == View::Metadata
            && let Some((_, payload)) = line.split_once(" payload: ")
        {
            match serde_json::from_str(payload) {
                Ok(payload) => self.payloads.push(payload),
                Err(_) => self.problem(format!(
                    "metadata record {offset} was not decoded: {payload}"
                )),
            }
        }
        if view == View::Offsets {
            match pair(line) {
                Some(pair) => self.pairs.push(pair),
                None => self.problem(format!("record {offset} was not decoded: {line}")),
            }
        }
        true
    }

    fn entry(&mut self, line: &str, first: &str, second: &str) -> bool {
        let parsed = line.strip_prefix(first).and_then(|rest| {
            let (one, two) = rest.split_once(second)?;
            Some((one.parse().ok()?, two.parse().ok()?))
        });
        self.entries.extend(parsed);
        parsed.is_some()
    }

    fn empty(&mut self, file: &Path, line: &str) -> bool {
        let empty = line == format!("{} is empty.", file.display());
        self.passed_sanity |= empty;
        empty
    }

    fn sanity(&mut self, file: &Path, line: &str) -> bool {
        let passed = line == format!("{} passed sanity check.", file.display());
        self.passed_sanity |= passed;
        passed
    }

    fn close(&mut self, view: View, complaints: Vec<String>) {
        if self.lines == 0 {
            self.problem("was not dumped".into());
        }
        if matches!(view, View::IndexSanity | View::TimeIndexSanity) && !self.passed_sanity {
            self.problem("did not pass the sanity check".into());
        }
        if !complaints.is_empty() {
            self.problem(format!("standard error: {}", complaints.join("; ")));
        }
    }

    fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

/// `… key: {…} payload: {…}`, or `<DELETE>` for a tombstone.
fn pair(line: &str) -> Option<(serde_json::Value, Option<serde_json::Value>)> {
    let (_, decoded) = line.split_once(" key: ")?;
    let (key, payload) = decoded.split_once(" payload: ")?;
    let payload = match payload {
        "<DELETE>" => None,
        value => Some(serde_json::from_str(value).ok()?),
    };
    Some((serde_json::from_str(key).ok()?, payload))
}

fn parse_batch(line: &str) -> Option<Batch> {
    if !line.starts_with("baseOffset: ") || field(line, "magic") != Some("2") {
        return None;
    }
    let number = |name: &str| field(line, name)?.parse::<i64>().ok();
    Some(Batch {
        position: number("position")?.try_into().ok()?,
        size: number("size")?.try_into().ok()?,
        base_offset: number("baseOffset")?,
        last_offset: number("lastOffset")?,
        count: number("count")?,
        producer_id: number("producerId")?,
        max_timestamp: number("CreateTime").or_else(|| number("LogAppendTime"))?,
        codec: field(line, "compresscodec")?.into(),
    })
}

/// The word after `name:`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    words.find(|word| word.strip_suffix(':') == Some(name))?;
    words.next()
}

#[cfg(test)]
mod tests;
