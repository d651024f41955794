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

use serde::Deserialize;
use serde_json::value::RawValue;

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

const FOLDER: &str = "crates/ottla-wire/tests/captures";
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);
/// A few are as good as many.
const RECORDS: &str = "120";
/// Of a request and its answer; more only if there is nothing smaller.
const EXCHANGE_BYTES: usize = 2000;
const API_VERSIONS: i16 = 18;
const UNSUPPORTED_VERSION: [u8; 2] = [0, 35];
/// Of these the programs have a tour of groups, transactions and administration.
const TOURS: &[&str] = &["java-4.3", "java-3.9"];

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
        captured.push((*name, version, proxy.take()?));
        section.say(&format!("{name} is through"));
    }
    let log = broker.log.clone();
    broker.stop()?;
    let log = fs::read_to_string(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let told = told(&log)?;
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
        let mut text =
            format!("# {name} {version} with {with}. See the README of this folder.\n\n");
        for exchange in &choose(exchanges) {
            if let Some(api) = names.get(&exchange.key) {
                write(&mut text, api, exchange, &told);
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
fn choose(exchanges: Vec<Exchange>) -> Vec<Exchange> {
    let bytes = |exchange: &Exchange| {
        exchange.request.len() + exchange.response.as_ref().map_or(0, Vec::len)
    };
    let mut all: BTreeMap<(i16, i16), Vec<Exchange>> = BTreeMap::new();
    for exchange in exchanges {
        let of_version = all.entry((exchange.key, exchange.version)).or_default();
        of_version.push(exchange);
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

/// What Apache Kafka's request log says of each connection and correlation id: the request, and its answer.
fn told(log: &str) -> Result<BTreeMap<(u16, i32), Told>, String> {
    let mut told = BTreeMap::new();
    for line in log.lines() {
        let Some((_, json)) = line.split_once("Completed request:") else {
            continue;
        };
        let line: Line<'_> = serde_json::from_str(json).map_err(|e| format!("{e}: {json}"))?;
        // BROKER:PORT-CLIENT:PORT-INDEX-COUNT
        let client = line.connection.split('-').nth(1).unwrap_or_default();
        let port = client.rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| format!("no port: {}", line.connection))?;
        let json = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
        told.insert(
            (port, line.header.correlation_id),
            Told {
                request: json(line.request),
                response: json(line.response),
            },
        );
    }
    Ok(told)
}

struct Told {
    request: Option<String>,
    response: Option<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "requestHeader")]
    header: Header,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    connection: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "correlationId")]
    correlation_id: i32,
}

fn write(text: &mut String, api: &str, exchange: &Exchange, told: &BTreeMap<(u16, i32), Told>) {
    let told = told.get(&(exchange.port, exchange.correlation_id));
    let mut request = told.and_then(|told| told.request.as_deref());
    let response = told.and_then(|told| told.response.as_deref());
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
