//! Real clients against one broker, then judges over what it left on disk, then the lists of expected rows.

mod beside;
pub(super) mod capture;
pub(super) mod first;
#[path = "../../../crates/ottla-wire/tests/captures/fold.rs"]
mod fold;
pub(super) mod list;
mod proxy;
pub(super) mod table;
mod told;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use self::beside::Beside;
use self::list::{List, Part};
use super::broker::{Broker, Target};
use super::process::converse;
use super::report::Section;
use super::rows::{self, Row};
use super::setup::{Kcat, Program, Ready, Tools};
use super::stored::Stored;
use super::{judge, kcat};

const PROGRAM_LIMIT: Duration = Duration::from_secs(300);
const RECORDS: &str = "10000";
/// More than there are cores: clients also wait.
const WORKERS: usize = 3;
/// Of a member that is killed. Without the grace of dev mode the group waits for its end.
const SESSION_MS: u32 = 45_000;
/// The same for Apache Kafka, which has no grace: the least that it lets a member have.
const KAFKA_SESSION_MS: u32 = 6_000;

/// What the clients leave to the judges.
pub(super) struct Left {
    data: PathBuf,
    clients: Vec<Client>,
}

/// What one client did.
struct Client {
    name: &'static str,
    list: List,
    /// Or why it did not run.
    ran: Result<Ran, String>,
}

#[derive(Default)]
struct Ran {
    rows: Vec<Row>,
    stored: Vec<Stored>,
    /// Each has been told to the section.
    wrong: usize,
    took: Duration,
}

/// Starts the broker, runs every client that is here, stops the broker.
pub(super) fn run(
    section: &Section,
    target: &Target<'_>,
    tools: &Tools,
    seed: u64,
    root: &Path,
    work: &Path,
) -> Result<Left, String> {
    if tools.clients.is_empty() {
        return Err("no client has such a name: see xtask/src/test/clients/table.rs".into());
    }
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
    let matrix = Matrix {
        section,
        address: &broker.address,
        seed,
        pace: if target.is_prompt() {
            "prompt"
        } else {
            "settling"
        },
        target,
        root,
        work,
    };
    let clients = matrix.all(tools);
    for line in broker.complaints() {
        // Apache Kafka may warn of whatever it likes; Ottla has no reason to, under such clients.
        if target.is_prompt() {
            section.failed(format!("the broker logged: {line}"));
        } else {
            section.say(&format!("the broker logged: {line}"));
        }
    }
    let data = broker.data.clone();
    let start = Instant::now();
    let stopped = broker.stop();
    section.say(&format!("broker stopped after {:?}", start.elapsed()));
    section.case("the broker stops", stopped);
    Ok(Left {
        data,
        clients: clients?,
    })
}

/// Reads the files, holds what lies there against what each client must have stored, and shows the table.
pub(super) fn judge(
    section: &Section,
    tools: &Tools,
    target: &Target<'_>,
    left: Left,
    root: &Path,
    work: &Path,
) -> Result<(), String> {
    let Left { data, mut clients } = left;
    if let Ok(java) = &tools.kafka {
        section.case("Kafka's assignors", judge::records::assignors(java, root));
        section.case(
            "Kafka's regular expressions",
            judge::records::regexes(java, root),
        );
    }
    match &tools.kafka {
        Ok(_) if clients.iter().all(|client| client.ran.is_err()) => {
            section.skipped("kafka-dump-log", "no client ran, nothing is stored");
        }
        Ok(java) => {
            let ran = clients.iter().filter_map(|client| client.ran.as_ref().ok());
            let stored: Vec<Stored> = ran.flat_map(|ran| ran.stored.iter().cloned()).collect();
            let mut found = judge::run(section, java, &data, &stored, work);
            found.extend(judge::groups(section, java, target, root, work));
            let list = root.join("tests/clients/judges/expected-rows.txt");
            let text = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
            let expected = rows::lines(&text)
                .map(Row::parse)
                .collect::<Result<Vec<_>, _>>()?;
            let (of_clients, of_judges): (Vec<Row>, Vec<Row>) = found
                .into_iter()
                .partition(|row| row.get("case") == Some("stored"));
            for wrong in rows::compare(&expected, &of_judges) {
                section.failed(format!("kafka-dump-log: {wrong}"));
            }
            for client in &mut clients {
                if let Ok(ran) = &mut client.ran {
                    let own: Vec<Row> = of_clients
                        .iter()
                        .filter(|row| owns(client.name, row.get("topic").unwrap_or_default()))
                        .cloned()
                        .collect();
                    for wrong in client.list.compare_stored(&own) {
                        section.failed(format!("{}: kafka-dump-log: {wrong}", client.name));
                        ran.wrong += 1;
                    }
                }
            }
        }
        Err(lack) => lack.tell(section, "kafka-dump-log"),
    }
    for line in summary(&clients) {
        section.say(&line);
    }
    Ok(())
}

/// A line for each client.
fn summary(clients: &[Client]) -> Vec<String> {
    let mut lines =
        vec![["client", "version", "cases", "seconds", "result", "lacks"].map(str::to_owned)];
    for client in clients {
        let Client { name, list, ran } = client;
        let cell = match ran {
            Ok(ran) => {
                let passed = ran
                    .rows
                    .iter()
                    .filter(|row| row.get("result") == Some("ok"));
                let version = ran.rows.iter().find_map(|row| row.get("version"));
                [
                    (*name).to_owned(),
                    version.unwrap_or("-").to_owned(),
                    format!("{} of {}", passed.count(), list.cases()),
                    format!("{:.1}", ran.took.as_secs_f64()),
                    if ran.wrong == 0 { "ok" } else { "FAILED" }.to_owned(),
                    list.lacks(),
                ]
            }
            Err(why) => [
                (*name).to_owned(),
                "-".into(),
                format!("0 of {}", list.cases()),
                "-".into(),
                format!("not run: {}", why.lines().next().unwrap_or_default()),
                String::new(),
            ],
        };
        lines.push(cell);
    }
    rows::table(&lines)
}

/// Whether a topic is this client's: no client's name is the beginning of another one's.
fn owns(name: &str, topic: &str) -> bool {
    topic
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('-'))
}

struct Matrix<'a> {
    section: &'a Section,
    address: &'a str,
    seed: u64,
    pace: &'static str,
    target: &'a Target<'a>,
    root: &'a Path,
    work: &'a Path,
}

impl Matrix<'_> {
    /// Several at a time, in the order of the table.
    fn all(&self, tools: &Tools) -> Result<Vec<Client>, String> {
        let is_ottla = matches!(self.target, Target::Ottla(_));
        let mut clients = Vec::new();
        let mut todo = VecDeque::new();
        for (place, (name, ready)) in tools.clients.iter().enumerate() {
            let list = List::open(&self.root.join("tests/clients").join(name))?;
            let unfit = list.needs_ottla().filter(|_| !is_ottla);
            let ran = match (unfit, ready) {
                (Some(why), _) => Err(why.to_owned()),
                (None, Ok(ready)) => {
                    todo.extend(list.parts().into_iter().map(|part| (place, part, ready)));
                    Ok(Ran::default())
                }
                (None, Err(lack)) => Err(lack.to_string()),
            };
            clients.push(Client { name, list, ran });
        }
        let todo = Mutex::new(todo);
        let clients = Mutex::new(clients);
        let lock = |clients| Mutex::lock(clients).unwrap_or_else(PoisonError::into_inner);
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let next = todo
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .pop_front();
                        let Some((place, part, ready)) = next else {
                            return;
                        };
                        let name = lock(&clients)[place].name;
                        let mut found = self.one(name, part, ready);
                        let client = &mut lock(&clients)[place];
                        for wrong in client.list.compare(part, &found.rows) {
                            self.fail(name, &mut found, &wrong);
                        }
                        if let Ok(ran) = &mut client.ran {
                            ran.rows.append(&mut found.rows);
                            ran.stored.append(&mut found.stored);
                            ran.wrong += found.wrong;
                            ran.took += found.took;
                        }
                    }
                });
            }
        });
        Ok(clients.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn one(&self, name: &str, part: Part, ready: &Ready) -> Ran {
        let start = Instant::now();
        let mut ran = Ran::default();
        match (ready, part) {
            (Ready::Program(program), Part::Cases) => self.program(name, program, &mut ran),
            (Ready::Program(program), Part::Groups(protocol)) => {
                self.groups(name, program, protocol, &mut ran);
            }
            (Ready::Kcat(client), Part::Groups(_)) => self.kcat_groups(client, &mut ran),
            (Ready::Kcat(client), Part::Cases) => {
                let (rows, stored, wrong) =
                    kcat::run(self.section, client, self.address, self.seed, self.work);
                ran.rows = rows;
                ran.stored = stored;
                ran.wrong = wrong;
            }
        }
        for index in 0..ran.stored.len() {
            let topic = ran.stored[index].topic.clone();
            if !owns(name, &topic) {
                self.fail(name, &mut ran, &format!("{topic} is not its topic"));
            }
        }
        ran.took = start.elapsed();
        let seconds = ran.took.as_secs_f64();
        self.section.say(&format!("{name}, {part}: {seconds:.1} s"));
        ran
    }

    fn program(&self, name: &str, program: &Program, ran: &mut Ran) {
        let mut command = program.command();
        command.args([self.address, &self.seed.to_string(), RECORDS, self.pace]);
        self.converse(name, &mut command, ran, |line| {
            Err(format!("asks for what there is not: {line}"))
        });
    }

    /// The cases of groups, with a broker of their own: it is taken from under them, and comes back.
    fn groups(&self, name: &str, program: &Program, protocol: &str, ran: &mut Ran) {
        let pace = format!("groups-{protocol}");
        let home = self.work.join(format!("{pace}-{name}"));
        self.with_broker(name, &home, ran, |broker, ran| {
            let mut command = program.command();
            command.args([&broker.address, &self.seed.to_string(), RECORDS, &pace]);
            let mut member = None;
            self.converse(name, &mut command, ran, |line| {
                match line {
                    "member" => {
                        let mut command = program.command();
                        let pace = format!("member-{protocol}");
                        command
                            .args([&broker.address, &self.seed.to_string(), RECORDS, &pace])
                            .env("OTTLA_SESSION_MS", self.session_ms().to_string());
                        member = Some(Beside::start(&mut command, PROGRAM_LIMIT)?.0);
                    }
                    "kill-member" => drop(member.take().ok_or("there is no such member")?),
                    _ => broker.restart(line == "kill")?,
                }
                Ok("done")
            });
        });
    }

    fn session_ms(&self) -> u32 {
        match self.target {
            Target::Ottla(_) => SESSION_MS,
            Target::Kafka(_) => KAFKA_SESSION_MS,
        }
    }

    fn kcat_groups(&self, client: &Kcat, ran: &mut Ran) {
        let home = self.work.join("groups-kcat");
        self.with_broker("kcat", &home, ran, |broker, ran| {
            let (rows, wrong) = kcat::groups::run(self.section, client, broker, self.session_ms());
            ran.rows = rows;
            ran.wrong += wrong;
        });
    }

    fn with_broker(
        &self,
        name: &str,
        home: &Path,
        ran: &mut Ran,
        body: impl FnOnce(&mut Broker, &mut Ran),
    ) {
        let mut broker = match Broker::start_for_groups(self.target, home, &[]) {
            Ok(broker) => broker,
            Err(why) => return self.fail(name, ran, &why),
        };
        body(&mut broker, ran);
        for line in broker.complaints() {
            self.section
                .say(&format!("{name}: the broker logged: {line}"));
        }
        if let Err(why) = broker.stop() {
            self.fail(name, ran, &why);
        }
    }

    /// Runs it to its end, takes the facts that it prints, and lets `ask` do what it asks for.
    fn converse(
        &self,
        name: &str,
        command: &mut Command,
        ran: &mut Ran,
        mut ask: impl FnMut(&str) -> Result<&'static str, String>,
    ) {
        let ended = converse(command, PROGRAM_LIMIT, |line| {
            let mut answer = None;
            let fact = match line.split_once(' ') {
                Some(("row", fields)) => Row::parse(fields).map(|row| {
                    if row.get("result") == Some("ok") {
                        self.section.passed(1);
                    } else {
                        self.fail(name, ran, &row.to_string());
                    }
                    ran.rows.push(row);
                }),
                Some(("stored", fields)) => Row::parse(fields)
                    .and_then(|row| Stored::from_row(&row))
                    .map(|stored| ran.stored.push(stored)),
                None if matches!(line, "restart" | "kill" | "member" | "kill-member") => {
                    ask(line).map(|said| answer = Some(said))
                }
                _ => {
                    self.section.say(&format!("{name}: {line}"));
                    Ok(())
                }
            };
            if let Err(why) = fact {
                self.fail(name, ran, &why);
            }
            answer
        });
        if let Err(why) = ended
            && ran.wrong == 0
        {
            self.fail(name, ran, &why);
        }
    }

    fn fail(&self, name: &str, ran: &mut Ran, why: &str) {
        self.section.failed(format!("{name}: {why}"));
        ran.wrong += 1;
    }
}
