//! `cargo xtask test clients --first-record`: how long a consumer of a fresh group waits for its first record, by every
//! client, one at a time. Printed, never asserted.
//!
//! Beside Ottla in dev mode stand Apache Kafka without its initial delay, and librdkafka's own mock broker for clients
//! that are librdkafka: what lies below is the client's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::broker::{Broker, Target};
use super::super::process::stream;
use super::super::report::Section;
use super::super::rows::{self, Row};
use super::super::setup::{Program, Ready, Tools};
use super::list::{List, Part};

const PROGRAM_LIMIT: Duration = Duration::from_secs(300);
const NOBODY: &str = "-";

/// Medians in milliseconds, by who answered.
type Medians = BTreeMap<String, String>;

/// Runs every client that has groups, and prints the table.
pub(in crate::test) fn run(
    section: &Section,
    ottla: &Target<'_>,
    tools: &Tools,
    root: &Path,
    work: &Path,
) -> Result<(), String> {
    let kafka = tools.kafka.as_ref().ok().map(Target::Kafka);
    let mut targets = vec![("ottla", ottla)];
    targets.extend(kafka.iter().map(|kafka| ("kafka", kafka)));
    // By client and protocol.
    let mut found: BTreeMap<(usize, &str), (String, Medians)> = BTreeMap::new();
    for (name, target) in targets {
        let broker = Broker::start_for_groups(target, &work.join(name), &[])?;
        for (place, (client, ready)) in tools.clients.iter().enumerate() {
            let Ok(Ready::Program(program)) = ready else {
                continue;
            };
            let list = List::open(&root.join("tests/clients").join(client))?;
            if list.needs_ottla().is_some() && matches!(target, Target::Kafka(_)) {
                continue;
            }
            for part in list.parts() {
                let Part::Groups(protocol) = part else {
                    continue;
                };
                let (version, medians) = found.entry((place, protocol)).or_default();
                let case = one(section, client, program, &broker.address, protocol);
                for row in case? {
                    let get = |field: &str| row.get(field).unwrap_or(NOBODY).to_owned();
                    *version = get("version");
                    let at = get("at");
                    let at = if at == "broker" { name.to_owned() } else { at };
                    medians.insert(at, get("ms"));
                }
            }
        }
        broker.stop()?;
    }
    let heads = [
        "client", "version", "protocol", "Ottla ms", "Kafka ms", "mock ms",
    ];
    let mut lines = vec![heads.map(str::to_owned)];
    for ((place, protocol), (version, medians)) in found {
        let of = |who: &str| medians.get(who).map_or(NOBODY, String::as_str).to_owned();
        let client = tools.clients[place].0.to_owned();
        let cells = [of("ottla"), of("kafka"), of("mock")];
        let [ottla, kafka, mock] = cells;
        lines.push([client, version, protocol.to_owned(), ottla, kafka, mock]);
        section.passed(1);
    }
    for line in rows::table(&lines) {
        section.say(&line);
    }
    Ok(())
}

/// Runs a program that measures, and answers what it found.
fn one(
    section: &Section,
    name: &str,
    program: &Program,
    address: &str,
    protocol: &str,
) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut command = program.command();
    command.args([address, "1", "1", &format!("first-{protocol}")]);
    let ended = stream(&mut command, PROGRAM_LIMIT, |line| {
        section.say(&format!("{name}: {line}"));
        if let Some(fields) = line.strip_prefix("first-record ") {
            rows.extend(Row::parse(fields));
        }
    });
    ended.map_err(|why| format!("{name}: {why}"))?;
    Ok(rows)
}
