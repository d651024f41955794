//! Real clients against one broker, then judges over what it left on disk, then the list of expected rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::broker::{Broker, Target};
use super::process::stream;
use super::report::{Section, in_ci};
use super::rows::{self, Row};
use super::setup::{Java, Tools};
use super::stored::Stored;
use super::{judge, kcat};

const MATRIX_LIMIT: Duration = Duration::from_secs(600);
const RECORDS: &str = "10000";

/// What the clients leave to the judges.
pub(super) struct Left {
    data: PathBuf,
    stored: Vec<Stored>,
    rows: Vec<Row>,
    absent: Vec<&'static str>,
}

/// Starts the broker, runs every client that is here, stops the broker.
pub(super) fn run(
    section: &Section,
    target: &Target<'_>,
    tools: &Tools,
    seed: u64,
    work: &Path,
) -> Result<Left, String> {
    section.say(&format!("seed {seed} (again with --seed {seed})"));
    let start = Instant::now();
    let broker = Broker::start(target, &work.join("broker"))?;
    section.say(&format!(
        "broker at {} after {:?}",
        broker.address,
        start.elapsed()
    ));
    if let Target::Ottla(binary) = target {
        section.case("ottla health", broker.health(binary));
    }
    let mut left = Left {
        data: broker.data.clone(),
        stored: Vec::new(),
        rows: Vec::new(),
        absent: Vec::new(),
    };
    let mut timed = |name: &str, run: &mut dyn FnMut(&mut Left)| {
        let start = Instant::now();
        run(&mut left);
        section.say(&format!("{name}: {:.1} s", start.elapsed().as_secs_f64()));
    };
    timed("Java client", &mut |left| match &tools.java {
        Ok(java) => java_matrix(section, java, target, &broker, seed, left),
        Err(why) => {
            section.skipped("Java client", why);
            left.absent.push("java");
        }
    });
    timed("kcat", &mut |left| match &tools.kcat {
        Ok(client) => {
            let (rows, stored) = kcat::run(section, client, &broker.address, seed, work);
            left.rows.extend(rows);
            left.stored.extend(stored);
        }
        Err(why) => {
            section.skipped("kcat", why);
            left.absent.push("kcat");
        }
    });
    for line in broker.complaints() {
        // Apache Kafka may warn of whatever it likes; Ottla has no reason to, under such clients.
        if target.is_prompt() {
            section.failed(format!("the broker logged: {line}"));
        } else {
            section.say(&format!("the broker logged: {line}"));
        }
    }
    let start = Instant::now();
    let stopped = broker.stop();
    section.say(&format!("broker stopped after {:?}", start.elapsed()));
    section.case("the broker stops", stopped);
    Ok(left)
}

/// Reads the files, then holds every row of this run against the checked-in list.
pub(super) fn judge(
    section: &Section,
    tools: &Tools,
    left: Left,
    root: &Path,
    work: &Path,
) -> Result<(), String> {
    let Left {
        data,
        stored,
        mut rows,
        mut absent,
    } = left;
    match &tools.java {
        Ok(java) => rows.extend(judge::run(section, java, &data, &stored, work)),
        Err(why) => {
            section.skipped("kafka-dump-log", why);
            absent.push("dump-log");
        }
    }
    let list = root.join("tests/clients/expected-rows.txt");
    let text = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let expected = rows::expected(&text)?;
    for line in rows::table(&rows) {
        section.say(&line);
    }
    let absent = if in_ci() { Vec::new() } else { absent };
    for wrong in rows::compare(&expected, &rows, &absent) {
        section.failed(wrong);
    }
    Ok(())
}

fn java_matrix(
    section: &Section,
    java: &Java,
    target: &Target<'_>,
    broker: &Broker,
    seed: u64,
    left: &mut Left,
) {
    let mut matrix = java.command("ottla.clients.Matrix", 512, "WARN");
    let pace = if target.is_prompt() {
        "prompt"
    } else {
        "settling"
    };
    matrix.args([broker.address.as_str(), &seed.to_string(), RECORDS, pace]);
    let mut failed = false;
    let ended = stream(&mut matrix, MATRIX_LIMIT, |line| {
        let fact = match line.split_once(' ') {
            Some(("row", fields)) => Row::parse(fields).map(|row| {
                if row.get("result") == Some("ok") {
                    section.passed(1);
                } else {
                    failed = true;
                    section.failed(format!("{row}"));
                }
                left.rows.push(row);
            }),
            Some(("stored", fields)) => Row::parse(fields)
                .and_then(|row| Stored::from_row(&row))
                .map(|stored| left.stored.push(stored)),
            _ => {
                section.say(line);
                Ok(())
            }
        };
        if let Err(why) = fact {
            failed = true;
            section.failed(format!("Java client: {why}"));
        }
    });
    if let Err(why) = ended
        && !failed
    {
        section.failed(format!("Java client: {why}"));
    }
}
