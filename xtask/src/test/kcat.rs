//! kcat against one broker: what people type, and every byte of what it answers.
//!
//! kcat knows no way to create a topic: its topics are made by its first record, as a broker with
//! `auto.create.topics.enable` makes them. It consumes by partition; in groups only in [`groups`].

mod content;
mod file;
pub(super) mod groups;
mod matrix;
mod seek;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Finished, capture};
use super::report::Section;
use super::rows::Row;
use super::setup::Kcat;
use super::stored::Stored;

const LIMIT: Duration = Duration::from_secs(60);
/// How long a topic that its first record made may take until all its partitions answer.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// Runs everything; answers the rows, what must now lie on the broker's disk, and how many cases failed.
pub(super) fn run(
    section: &Section,
    kcat: &Kcat,
    address: &str,
    seed: u64,
    work: &Path,
) -> (Vec<Row>, Vec<Stored>, usize) {
    let client = Client { kcat, address };
    let (mut rows, mut stored, mut failed) = matrix::run(section, &client, seed);
    let mut take = |case: &str, outcome: Result<Fields, String>| match outcome {
        Ok(fields) => {
            section.passed(1);
            let fields: Vec<(&str, &str)> = fields
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            rows.push(client.row(case, &fields));
        }
        Err(why) => {
            failed += 1;
            section.failed(format!("kcat: {case}: {why}"));
        }
    };
    match seek::Seeks::prepare(&client) {
        Ok(seeks) => {
            take("list-offsets", seeks.offsets(&client).map(|()| Vec::new()));
            take(
                "seek-offset",
                seeks.to_offsets(&client).map(|()| Vec::new()),
            );
            take("seek-time", seeks.to_times(&client).map(|()| Vec::new()));
            stored.push(seek::Seeks::stored());
        }
        Err(why) => take("seek", Err(why)),
    }
    let mut lies = |(fields, lies): (Fields, Stored)| {
        stored.push(lies);
        fields
    };
    take("large-records", {
        let large = seek::large(&client, seed).map(|stored| {
            let records = stored.records.to_string();
            (vec![("codec", "none".into()), ("records", records)], stored)
        });
        large.map(&mut lies)
    });
    take("file", file::run(&client, seed, work).map(&mut lies));
    (rows, stored, failed)
}

/// What a row says beside the client and the case.
type Fields = Vec<(&'static str, String)>;

/// kcat, pointed at a broker.
struct Client<'a> {
    kcat: &'a Kcat,
    address: &'a str,
}

impl Client<'_> {
    /// A row of a case that passed.
    fn row(&self, case: &str, fields: &[(&str, &str)]) -> Row {
        let mut all = vec![
            ("version", self.kcat.version.as_str()),
            ("librdkafka", &self.kcat.librdkafka),
            ("case", case),
        ];
        all.extend(fields);
        Row::ok(&all)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kcat.program);
        // Nothing of the user's own configuration (~/.config/kcat.conf) may slip in.
        command
            .env_remove("KCAT_CONFIG")
            .env("HOME", "/nonexistent")
            .args(["-b", self.address])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str], input: Option<Vec<u8>>) -> Result<Finished, String> {
        capture(&mut self.command(arguments), input, LIMIT)
    }

    /// The partitions of a topic, as `kcat -L` lists them; none while one of them lacks a leader.
    fn partitions(&self, topic: &str) -> Result<Vec<i32>, String> {
        let listed = self.run(&["-L", "-J", "-t", topic], None)?;
        let listed: serde_json::Value =
            serde_json::from_slice(&listed.stdout).map_err(|e| format!("kcat -L -J: {e}"))?;
        let found = &listed["topics"][0];
        if found["topic"] != topic {
            return Err(format!("kcat -L does not list {topic}: {listed}"));
        }
        let partitions = found["partitions"].as_array().cloned().unwrap_or_default();
        if partitions
            .iter()
            .any(|partition| partition["leader"].as_i64().is_none_or(|leader| leader < 0))
        {
            return Ok(Vec::new());
        }
        let number =
            |partition: &serde_json::Value| i32::try_from(partition["partition"].as_i64()?).ok();
        partitions
            .iter()
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(|| format!("kcat -L: {listed}"))
    }

    /// Offsets by time (or -1 latest, -2 earliest), one query for all partitions.
    fn offsets(&self, topic: &str, times: &[(i32, i64)]) -> Result<Vec<i64>, String> {
        let queries: Vec<String> = times
            .iter()
            .map(|(partition, time)| format!("{topic}:{partition}:{time}"))
            .collect();
        let mut arguments = vec!["-Q"];
        arguments.extend(queries.iter().flat_map(|query| ["-t", query]));
        let found = self.run(&arguments, None)?;
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        let of = |partition: i32| {
            let mark = format!("{topic} [{partition}] offset ");
            let line = found.lines().find_map(|line| line.strip_prefix(&mark));
            line.and_then(|offset| offset.trim().parse().ok())
        };
        let offsets = times.iter().map(|(partition, _)| of(*partition));
        offsets
            .collect::<Option<_>>()
            .ok_or_else(|| format!("kcat -Q answered {found:?}"))
    }

    /// Waits until the partition ends at this offset.
    fn arrived(&self, topic: &str, partition: i32, end: i64) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let found = self.offsets(topic, &[(partition, -1)])?;
            if found == [end] {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{topic}-{partition} ends at {found:?}, records were sent up to {end}"
                ));
            }
        }
    }

    /// Waits until a new topic is listed and every partition of it tells its offsets.
    fn settled(&self, topic: &str) -> Result<Vec<i32>, String> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let found = self.partitions(topic).and_then(|partitions| {
                let times: Vec<(i32, i64)> = partitions
                    .iter()
                    .map(|partition| (*partition, -1))
                    .collect();
                if times.is_empty() {
                    Ok(partitions)
                } else {
                    self.offsets(topic, &times).map(|_| partitions)
                }
            });
            match found {
                Ok(partitions) if !partitions.is_empty() => return Ok(partitions),
                Ok(_) if Instant::now() > deadline => {
                    return Err(format!("{topic} has no partition with a leader"));
                }
                Err(why) if Instant::now() > deadline => return Err(why),
                _ => {}
            }
        }
    }
}
