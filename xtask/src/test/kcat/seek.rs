//! kcat that starts reading at an offset and at a time, asks for offsets, and carries large records.

use super::super::random::Random;
use super::super::stored::Stored;
use super::content::Record;
use super::{Client, matrix};

const LARGE_RECORDS: usize = 20;
const LARGE_BYTES: usize = 900_000;
const SEEK: &str = "kcat-seek";
const LARGE: &str = "kcat-large";
/// kcat stamps records with the time of its run: each run makes another time.
const RUNS: usize = 4;
const RUN_RECORDS: usize = 250;

/// A partition of records, each with its timestamp and value.
pub(super) struct Seeks {
    records: Vec<(i64, String)>,
}

impl Seeks {
    /// Fills the topic and reads what time each record got.
    pub(super) fn prepare(client: &Client<'_>) -> Result<Self, String> {
        for run in 0..RUNS {
            let lines: Vec<String> = (0..RUN_RECORDS)
                .map(|line| format!("run {run} line {line}\n"))
                .collect();
            let arguments = ["-P", "-t", SEEK, "-p", "0", "-X", "acks=all"];
            client.run(&arguments, Some(lines.concat().into_bytes()))?;
            client.settled(SEEK)?;
        }
        let records = read(client, "beginning", None)?;
        for (at, (offset, _, value)) in records.iter().enumerate() {
            let sent = format!("run {} line {}", at / RUN_RECORDS, at % RUN_RECORDS);
            if *offset != at as i64 || *value != sent {
                return Err(format!(
                    "{SEEK}: offset {offset} has {value:?}, not {sent:?}"
                ));
            }
        }
        if records.len() != RUNS * RUN_RECORDS {
            return Err(format!("{SEEK}: {} records", records.len()));
        }
        let records = records
            .into_iter()
            .map(|(_, time, value)| (time, value))
            .collect();
        Ok(Self { records })
    }

    pub(super) fn stored() -> Stored {
        Stored {
            topic: SEEK.into(),
            partition: 0,
            records: (RUNS * RUN_RECORDS) as u64,
            codec: "none".into(),
            idempotent: false,
        }
    }

    pub(super) fn offsets(&self, client: &Client<'_>) -> Result<(), String> {
        let end = self.records.len() as i64;
        for (time, expected) in [(-2, 0), (-1, end)] {
            let found = client.offsets(SEEK, &[(0, time)])?;
            if found != [expected] {
                return Err(format!(
                    "{SEEK}: time {time} is at {found:?}, not {expected}"
                ));
            }
        }
        Ok(())
    }

    /// To the first, one in the middle, the last, and back.
    pub(super) fn to_offsets(&self, client: &Client<'_>) -> Result<(), String> {
        for at in [0, self.records.len() / 2, self.records.len() - 1, 1] {
            self.first(client, &at.to_string(), at)?;
        }
        Ok(())
    }

    /// Before all, exactly at a run's records, and just after them; after the last there is nothing.
    pub(super) fn to_times(&self, client: &Client<'_>) -> Result<(), String> {
        let mut times = vec![0];
        for run in 0..RUNS {
            let time = self.records[run * RUN_RECORDS].0;
            times.extend([time, time + 1]);
        }
        let latest = self.records.iter().map(|(time, _)| *time).max();
        times.push(latest.unwrap_or(0) + 1);
        for time in times {
            let start = format!("s@{time}");
            match self.records.iter().position(|(found, _)| *found >= time) {
                Some(at) => self.first(client, &start, at)?,
                None => {
                    let found = read(client, &start, Some(1))?;
                    if !found.is_empty() {
                        return Err(format!("{SEEK}: after the last record comes {found:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reading from `start` must begin with the record at this offset.
    fn first(&self, client: &Client<'_>, start: &str, at: usize) -> Result<(), String> {
        let found = read(client, start, Some(1))?;
        let (time, value) = &self.records[at];
        if found == [(at as i64, *time, value.clone())] {
            return Ok(());
        }
        Err(format!(
            "{SEEK}: from {start} comes {found:?}, not offset {at}"
        ))
    }
}

/// Offset, timestamp and value of what comes.
fn read(
    client: &Client<'_>,
    start: &str,
    count: Option<usize>,
) -> Result<Vec<(i64, i64, String)>, String> {
    let mut arguments = vec!["-C", "-q", "-e", "-t", SEEK, "-p", "0", "-o", start];
    arguments.extend(["-X", "fetch.wait.max.ms=10", "-f", r"%o %T %s\n"]);
    let count = count.map(|count| count.to_string());
    if let Some(count) = &count {
        arguments.extend(["-c", count]);
    }
    let printed = client.run(&arguments, None)?.stdout;
    let printed = String::from_utf8_lossy(&printed);
    let record = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let offset = words.next()?.parse().ok()?;
        let time = words.next()?.parse().ok()?;
        Some((offset, time, words.next()?.to_owned()))
    };
    printed
        .lines()
        .map(|line| record(line).ok_or_else(|| format!("{SEEK}: unreadable: {line:?}")))
        .collect()
}

/// Produces large records, reads and compares them.
pub(super) fn large(client: &Client<'_>, seed: u64) -> Result<Stored, String> {
    let mut random = Random::new(seed);
    let records: Vec<Record> = (0..LARGE_RECORDS)
        .map(|_| Record {
            key: None,
            value: Some(noise(&mut random, LARGE_BYTES)),
            headers: "",
        })
        .collect();
    let mut input = Vec::new();
    for record in &records {
        input.extend(record.value.iter().flatten());
        input.push(b'\n');
    }
    let arguments = ["-P", "-t", LARGE, "-p", "0", "-X", "acks=all"];
    client.run(&arguments, Some(input))?;
    client.settled(LARGE)?;
    let found = matrix::consume(client, LARGE, 0, &records)?;
    Ok(Stored {
        topic: LARGE.into(),
        partition: 0,
        records: found.len() as u64,
        codec: "none".into(),
        idempotent: false,
    })
}

/// Bytes without a line's end.
fn noise(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend(random.next().to_le_bytes());
    }
    noise.truncate(bytes);
    for byte in &mut noise {
        *byte = if *byte == b'\n' { 0 } else { *byte };
    }
    noise
}
