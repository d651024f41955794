//! How long a consumer of a fresh group waits for its first record, by every client, one at a time: printed beside the
//! client's own floor, never asserted.
//!
//! Ottla is in dev mode. The floor is the same client at librdkafka's mock broker, which runs in a process of its own
//! without any delay; for Java, whose JVM is warm by then, and for those that the mock does not serve, it is Apache
//! Kafka without its initial delay.

use std::path::Path;
use std::time::Duration;

use super::super::broker::{Broker, Target};
use super::super::process::stream;
use super::super::report::Section;
use super::super::rows::{self, Row};
use super::super::setup::{Java, Program, Ready, Tools};
use super::beside::Beside;
use super::list::{List, Part};
use super::table::{CLIENTS, Kind};

const PROGRAM_LIMIT: Duration = Duration::from_secs(300);
/// The client that has the mock broker inside.
const MOCK: &str = "confluent-kafka";
/// The mock does not get on with them: one cannot begin there, to the other no record comes.
const NOT_AT_MOCK: [&str; 2] = ["kafka-python", "franz-go"];
const NOBODY: &str = "-";

/// Runs every client that has groups, and prints the table of medians over so many fresh groups.
pub(in crate::test) fn run(
    section: &Section,
    ottla: &Target<'_>,
    tools: &Tools,
    groups: usize,
    root: &Path,
    work: &Path,
) -> Result<(), String> {
    let mut todo = Vec::new();
    for (name, ready) in &tools.clients {
        let Ok(Ready::Program(program)) = ready else {
            continue;
        };
        let list = List::open(&root.join("tests/clients").join(name))?;
        for part in list.parts() {
            if let Part::Groups(protocol) = part {
                todo.push(Client {
                    name,
                    program,
                    protocol,
                    groups: groups.to_string(),
                });
            }
        }
    }
    let broker = Broker::start_for_groups(ottla, &work.join("first-record"), &[])?;
    let mut measured = Vec::new();
    for client in &todo {
        measured.push(client.measure(section, &broker.address, "first")?);
    }
    broker.stop()?;
    let floors = Floors::start(section, tools, &todo, work);
    let heads = [
        "client", "version", "protocol", "ms", "floor ms", "above", "floor of",
    ];
    let mut lines = vec![heads.map(str::to_owned)];
    for (client, ottla) in todo.iter().zip(measured) {
        let (ms, version) = (ottla.get("ms"), ottla.get("version"));
        let (floor, of) = floors.ms(section, client);
        let above = ms.and_then(|ms| above(ms, floor.as_deref()?));
        let told = |text: Option<&str>| text.unwrap_or(NOBODY).to_owned();
        lines.push([
            client.name.to_owned(),
            told(version),
            client.protocol.to_owned(),
            told(ms),
            told(floor.as_deref()),
            told(above.as_deref()),
            of.to_owned(),
        ]);
        section.passed(1);
    }
    section.say("first record of a fresh group, median:");
    for line in rows::table(&lines) {
        section.say(&line);
    }
    Ok(())
}

fn above(ms: &str, floor: &str) -> Option<String> {
    let (ms, floor): (f64, f64) = (ms.parse().ok()?, floor.parse().ok()?);
    Some(format!("{:+.1}", ms - floor))
}

struct Client<'a> {
    name: &'static str,
    program: &'a Program,
    protocol: &'static str,
    groups: String,
}

impl Client<'_> {
    fn is_for_mock(&self) -> bool {
        !CLIENTS.contains(&(self.name, Kind::Java)) && !NOT_AT_MOCK.contains(&self.name)
    }

    /// What its program finds there: `first` makes its topic, for `floor` it lies there.
    fn measure(&self, section: &Section, address: &str, what: &str) -> Result<Row, String> {
        let mut found = None;
        let mut command = self.program.command();
        let pace = format!("{what}-{}", self.protocol);
        command.args([address, "1", &self.groups, &pace]);
        let ended = stream(&mut command, PROGRAM_LIMIT, |line| {
            section.say(&format!("{}: {line}", self.name));
            if let Some(fields) = line.strip_prefix("first-record ") {
                found = Row::parse(fields).ok();
            }
        });
        ended.map_err(|why| format!("{}, {}: {why}", self.name, self.protocol))?;
        found.ok_or_else(|| format!("{}: no first-record line", self.name))
    }
}

/// The brokers that clients are compared at; each may be missing.
struct Floors {
    mock: Option<(Beside, String)>,
    kafka: Option<Broker>,
}

impl Floors {
    fn start(section: &Section, tools: &Tools, clients: &[Client<'_>], work: &Path) -> Self {
        let has = |for_mock: bool| {
            clients
                .iter()
                .any(|client| client.is_for_mock() == for_mock)
        };
        let or_say = |what: &str, why: String| section.say(&format!("no floor by {what}: {why}"));
        let mock = tools.clients.iter().find(|(name, _)| *name == MOCK);
        let mock = match mock {
            Some((_, Ok(Ready::Program(program)))) if has(true) => {
                let mut command = program.command();
                command.args(["-", "1", "1", "mock"]);
                let started = Beside::start(&mut command, PROGRAM_LIMIT);
                started.map_err(|why| or_say("the mock", why)).ok()
            }
            _ => None,
        };
        let start = |java: &Java| {
            Broker::start_for_groups(&Target::Kafka(java), &work.join("first-record-floor"), &[])
        };
        let kafka = match &tools.kafka {
            Ok(java) if has(false) => start(java).map_err(|why| or_say("Apache Kafka", why)).ok(),
            _ => None,
        };
        Self { mock, kafka }
    }

    /// With the name of who answered.
    fn ms(&self, section: &Section, client: &Client<'_>) -> (Option<String>, &'static str) {
        let (at, what, of) = if client.is_for_mock() {
            let mock = self.mock.as_ref().map(|(_, address)| address);
            (mock, "floor", "mock")
        } else {
            let kafka = self.kafka.as_ref().map(|broker| &broker.address);
            (kafka, "first", "Apache Kafka")
        };
        let Some(address) = at else {
            return (None, NOBODY);
        };
        match client.measure(section, address, what) {
            Ok(row) => (row.get("ms").map(str::to_owned), of),
            Err(why) => {
                section.say(&format!("no floor: {why}"));
                (None, NOBODY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_has_a_sign() {
        assert_eq!(above("12.5", "10.0").as_deref(), Some("+2.5"));
        assert_eq!(above("8.0", "10.0").as_deref(), Some("-2.0"));
        assert_eq!(above("8.0", "none"), None);
    }
}
