//! `cargo xtask test clients --capture`: writes what each client and the broker say to each other into
//! `crates/ottla-wire/tests/captures`, one file for each client.
//!
//! Apache Kafka tells in its request log what the bytes mean. Clients that do not run against it are captured with
//! Ottla, and a person must look at what they are said to mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ottla_schema::model::{Module, Struct};

use super::super::broker::{Broker, Target};
use super::super::kcat;
use super::super::process::{capture, stream};
use super::super::report::Section;
use super::super::rows::Row;
use super::super::setup::{Program, Ready, Tools};
use super::fold::{HEX_BYTES, folded};
use super::list::List;
use super::proxy::{Exchange, Proxy};
use super::told::{RequestLog, Told};

const FOLDER: &str = "crates/ottla-wire/tests/captures";
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);
/// A few are as good as many.
const RECORDS: &str = "120";
/// Of a request and its answer; more only if there is nothing smaller.
const EXCHANGE_BYTES: usize = 2000;
/// WriteTxnMarkers, and the state of share groups: no client sends them.
const BROKERS_ONLY: [i16; 6] = [27, 83, 84, 85, 86, 87];
const API_VERSIONS: i16 = 18;
const UNSUPPORTED_VERSION: [u8; 2] = [0, 35];
/// Of these the programs have a tour of groups, transactions and administration.
const TOURS: &[&str] = &[
    "java-4.3",
    "java-3.9",
    "kafka-python",
    "aiokafka",
    "confluent-kafka",
    "kafkajs",
    "franz-go",
];

/// Runs every client that belongs to this target, one after the other.
pub(in crate::test) fn run(
    section: &Section,
    target: &Target<'_>,
    tools: &Tools,
    seed: u64,
    root: &Path,
    work: &Path,
) -> Result<(), String> {
    let is_kafka = matches!(target, Target::Kafka(_));
    let proxy = Proxy::bind()?;
    let advertised = format!("advertised.listeners=PLAINTEXT://{}", proxy.address);
    let broker = Broker::start_logging(target, work, &[advertised], true)?;
    proxy.serve(&broker.address)?;
    let mut captured = Vec::new();
    // What the broker says to itself, and on which connections.
    let (mut own, mut brokers) = (Vec::new(), BTreeSet::new());
    for (name, ready) in &tools.clients {
        let list = List::open(&root.join("tests/clients").join(name))?;
        if list.needs_ottla().is_some() == is_kafka {
            section.skipped(name, "it belongs to the other target");
            continue;
        }
        let ready = match ready {
            Ok(ready) => ready,
            Err(lack) => {
                lack.tell(section, name);
                continue;
            }
        };
        let client = Client {
            section,
            name,
            address: &proxy.address,
            seed,
        };
        let version = match ready {
            Ready::Kcat(kcat) => {
                let (rows, _, _) = kcat::run(section, kcat, &proxy.address, seed, work);
                version(&rows)
            }
            Ready::Program(program) => {
                let version = client.run(program, "settling");
                if TOURS.contains(name) {
                    client.run(program, "tour");
                }
                version
            }
        };
        let passed = proxy.take();
        let of_broker = passed.iter().filter(|one| BROKERS_ONLY.contains(&one.key));
        brokers.extend(of_broker.map(|one| one.port));
        let (of_broker, of_client): (Vec<_>, Vec<_>) = passed
            .into_iter()
            .partition(|one| brokers.contains(&one.port));
        own.extend(of_broker);
        captured.push((*name, version, of_client));
        section.say(&format!("{name} is through"));
    }
    if !own.is_empty() {
        captured.push(("broker", String::new(), own));
    }
    let log = broker.log.clone();
    broker.stop()?;
    let log = fs::read_to_string(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let mut log = RequestLog::parse(&log)?;
    let schema = ottla_schema::load()?;
    let requests = schema.wire.iter().filter_map(Module::request);
    let spoken: BTreeSet<&str> = requests.map(Struct::api_name).collect();
    // The APIs between brokers and controllers have no schema here.
    let keys = schema.keys.iter();
    let names: BTreeMap<i16, &str> = keys
        .map(|line| (line.key, line.name.as_str()))
        .filter(|(_, name)| spoken.contains(name))
        .collect();
    for (name, version, exchanges) in captured {
        let with = if is_kafka {
            "Apache Kafka 4.3.1"
        } else {
            "Ottla"
        };
        let who = format!("{name} {version}");
        let mut text = format!(
            "# {} with {with}. See the README of this folder.\n\n",
            who.trim_end()
        );
        let told = exchanges.into_iter().filter_map(|exchange| {
            let told = log.take(&exchange);
            // What Kafka did not come to the end of, nobody tells.
            let told = if is_kafka { told? } else { Told::default() };
            Some((exchange, told))
        });
        for (exchange, told) in &choose(told) {
            if let Some(api) = names.get(&exchange.key) {
                write(&mut text, api, exchange, told);
            }
        }
        section.case(name, save(root, name, &text));
    }
    if let Target::Kafka(java) = target {
        let mut command = java.command("ottla.judges.Messages", 256, "WARN");
        let here = messages(&mut command, &spoken, &BTreeSet::new());
        section.case(
            "messages of 4.3.1",
            here.and_then(|(text, there)| {
                save(root, "kafka-4.3-messages", &text)?;
                let old = tools.clients.iter().find(|(name, _)| *name == "java-3.9");
                if let Some((_, Ok(Ready::Program(old)))) = old {
                    let mut path = old.class_path().cloned().unwrap_or_default();
                    path.push(":");
                    path.push(&java.class_path);
                    let mut command = Command::new("java");
                    command.arg("-cp").arg(path).arg("ottla.judges.Messages");
                    let (text, _) = messages(&mut command, &spoken, &there)?;
                    save(root, "kafka-3.9-messages", &text)?;
                }
                Ok(())
            }),
        );
    }
    Ok(())
}

/// Every message in every version, as Apache Kafka's own classes write and tell it, but for those that are there
/// already; answers the text, and which it has.
fn messages(
    program: &mut Command,
    spoken: &BTreeSet<&str>,
    there: &BTreeSet<String>,
) -> Result<(String, BTreeSet<String>), String> {
    let told = capture(program, None, PROGRAM_LIMIT)?.stdout;
    let told = String::from_utf8(told).map_err(|e| e.to_string())?;
    let mut text = String::from(
        "# Messages with every field filled, written and told by Apache Kafka's own classes: nobody sent them. See the\n\
         # README of this folder.\n\n",
    );
    let mut titles = BTreeSet::new();
    for line in told.lines() {
        let mut words = line.splitn(5, ' ');
        let mut word = || {
            words
                .next()
                .ok_or_else(|| format!("not understood: {line}"))
        };
        let (direction, api, version) = (word()?, word()?, word()?);
        let (hex, json) = (word()?, word()?);
        let title = format!("{direction} {api} {version}");
        if spoken.contains(api) && !there.contains(&title) {
            block(&mut text, &format!("{title} told by Kafka"), hex, json);
            titles.insert(title);
        }
    }
    Ok((text, titles))
}

struct Client<'a> {
    section: &'a Section,
    name: &'a str,
    address: &'a str,
    seed: u64,
}

impl Client<'_> {
    /// Answers the version that the library itself tells.
    fn run(&self, program: &Program, pace: &str) -> String {
        let mut rows = Vec::new();
        let mut command = program.command();
        command.args([self.address, &self.seed.to_string(), RECORDS, pace]);
        let ended = stream(&mut command, PROGRAM_LIMIT, |line| {
            match line.split_once(' ') {
                Some(("row", fields)) => rows.extend(Row::parse(fields)),
                Some(("stored", _)) => {}
                _ => self.section.say(&format!("{}: {line}", self.name)),
            }
        });
        // With so few records not every case holds, and it need not: the bytes are the same.
        if let Err(why) = ended {
            self.section.say(&format!("{}: {pace}: {why}", self.name));
        }
        version(&rows)
    }
}

fn version(rows: &[Row]) -> String {
    let version = rows.iter().find_map(|row| row.get("version"));
    version.unwrap_or_default().to_owned()
}

/// Of each API and version the first exchange, and the largest one that is not too large.
fn choose(exchanges: impl Iterator<Item = (Exchange, Told)>) -> Vec<(Exchange, Told)> {
    let bytes = |(exchange, _): &(Exchange, Told)| {
        exchange.request.len() + exchange.response.as_ref().map_or(0, Vec::len)
    };
    let mut all: BTreeMap<(i16, i16), Vec<(Exchange, Told)>> = BTreeMap::new();
    for (exchange, told) in exchanges {
        let of_version = all.entry((exchange.key, exchange.version)).or_default();
        of_version.push((exchange, told));
    }
    let mut chosen = Vec::new();
    for (_, mut of_version) in all {
        if !of_version.iter().any(|one| bytes(one) <= EXCHANGE_BYTES) {
            chosen.extend(of_version.into_iter().min_by_key(bytes));
            continue;
        }
        of_version.retain(|one| bytes(one) <= EXCHANGE_BYTES);
        let first = of_version.remove(0);
        let largest = of_version.into_iter().max_by_key(bytes);
        let larger = largest.filter(|one| bytes(one) > bytes(&first));
        chosen.push(first);
        chosen.extend(larger);
    }
    chosen
}

fn write(text: &mut String, api: &str, exchange: &Exchange, told: &Told) {
    let mut request = told.request.as_deref();
    let response = told.response.as_deref();
    let mut version = exchange.version;
    if exchange.key == API_VERSIONS
        && exchange
            .response
            .as_deref()
            .and_then(|frame| frame.get(4..6))
            == Some(&UNSUPPORTED_VERSION)
    {
        // It was not read, and the answer is in the layout of version 0.
        request = None;
        version = 0;
    }
    let frames = [
        (
            "request",
            exchange.version,
            Some(&exchange.request),
            request,
        ),
        ("response", version, exchange.response.as_ref(), response),
    ];
    for (direction, version, bytes, json) in frames {
        let Some(bytes) = bytes else {
            continue;
        };
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let decoder = if json.is_some() { "Kafka" } else { "Ottla" };
        let title = format!("{direction} {api} {version} told by {decoder}");
        block(text, &title, &hex, json.unwrap_or("{}"));
    }
}

fn block(text: &mut String, title: &str, hex: &str, json: &str) {
    let _ = writeln!(text, "{title}");
    for line in hex.as_bytes().chunks(2 * HEX_BYTES) {
        let _ = writeln!(text, "  {}", String::from_utf8_lossy(line));
    }
    for line in folded(json) {
        let _ = writeln!(text, "  {line}");
    }
}

/// Refuses what says where this was written.
fn save(root: &Path, name: &str, text: &str) -> Result<(), String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let home = std::env::var("HOME").unwrap_or_default();
    for secret in [host.trim(), &home] {
        if secret.len() > 3 && text.contains(secret) {
            return Err(format!("it contains {secret:?}"));
        }
    }
    let path = root.join(FOLDER).join(format!("{name}.txt"));
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}
