//! kcat as member of a group (`kcat -G`): it commits by itself, and says what it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::super::broker::Broker;
use super::super::process::wait;
use super::super::report::Section;
use super::super::rows::Row;
use super::super::setup::Kcat;
use super::{Client, LIMIT};

/// As `num.partitions` of the broker says.
const PARTITIONS: i32 = 3;
const EACH: usize = 20;
/// How long anything may take: less than the session of a member that is killed.
const WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
const SESSION_MS: u32 = 6_000;

/// Runs every case; answers the rows and how many failed. A member that is killed has a session of its own length.
pub(in crate::test) fn run(
    section: &Section,
    kcat: &Kcat,
    broker: &mut Broker,
    killed_session_ms: u32,
) -> (Vec<Row>, usize) {
    let address = broker.address.clone();
    let client = &Client {
        kcat,
        address: &address,
    };
    let (mut rows, mut failed) = (Vec::new(), 0);
    let mut case = |name: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => {
            section.passed(1);
            rows.push(client.row(name, &[("protocol", "classic")]));
        }
        Err(why) => {
            failed += 1;
            section.failed(format!("kcat: {name}: {why}"));
        }
    };
    case("group-subscribe", subscribe(client));
    case("group-rebalance", rebalance(client));
    case("group-auto-commit", auto_commit(client));
    case("group-idle", idle(client));
    case("group-apart", apart(client));
    case("group-restart", interrupted(client, broker, "restart"));
    case("group-kill", interrupted(client, broker, "kill"));
    case(
        "group-member-killed",
        member_killed(client, killed_session_ms),
    );
    (rows, failed)
}

/// Whoever reads to the end gets all of it.
fn subscribe(client: &Client<'_>) -> Result<(), String> {
    let mut topic = Topic::make(client, "kcat-subscribe")?;
    topic.send()?;
    topic.drain("kcat-subscribe", &topic.from(0))
}

/// One, then two, then one again.
fn rebalance(client: &Client<'_>) -> Result<(), String> {
    let mut topic = Topic::make(client, "kcat-rebalance")?;
    let mut members = Members::new(&topic);
    members.join(SESSION_MS)?;
    members.settle("the first has all", Members::is_shared)?;
    topic.send()?;
    members.read(&topic)?;
    members.join(SESSION_MS)?;
    members.settle("both have some", Members::is_shared)?;
    topic.send()?;
    members.read_shared(&topic)?;
    members.leave()?;
    members.settle("the first has all again", Members::is_shared)?;
    topic.send()?;
    members.read_shared(&topic)
}

/// It commits when it goes, and a new member goes on there.
fn auto_commit(client: &Client<'_>) -> Result<(), String> {
    let group = "kcat-auto-commit";
    let mut topic = Topic::make(client, group)?;
    topic.send()?;
    topic.drain(group, &topic.from(0))?;
    topic.send()?;
    topic.drain(group, &topic.from(EACH))?;
    topic.drain(group, &[])
}

/// Five members, three partitions.
fn idle(client: &Client<'_>) -> Result<(), String> {
    let mut topic = Topic::make(client, "kcat-idle")?;
    let mut members = Members::new(&topic);
    for _ in 0..5 {
        members.join(SESSION_MS)?;
    }
    // Three of them have one each before the others join, too.
    members.settle("three of five have one", |members| {
        let here = members.here();
        members.told.len() == 5 && covers(&here) && here.iter().all(|of| of.len() <= 1)
    })?;
    topic.send()?;
    members.read_shared(&topic)
}

/// Two groups.
fn apart(client: &Client<'_>) -> Result<(), String> {
    let mut topic = Topic::make(client, "kcat-apart")?;
    topic.send()?;
    topic.drain("kcat-apart-one", &topic.from(0))?;
    topic.drain("kcat-apart-other", &topic.from(0))
}

/// The broker goes and comes back under two members.
fn interrupted(client: &Client<'_>, broker: &mut Broker, how: &str) -> Result<(), String> {
    let mut topic = Topic::make(client, &format!("kcat-{how}"))?;
    let mut members = Members::new(&topic);
    members.join(SESSION_MS)?;
    members.join(SESSION_MS)?;
    members.settle("both have some", Members::is_shared)?;
    topic.send()?;
    members.read_shared(&topic)?;
    broker.restart(how == "kill")?;
    topic.send()?;
    members.read(&topic)?;
    members.settle("both have some again", Members::is_shared)
}

/// An app that is killed and started again has its partitions long before the session of the old one ends.
fn member_killed(client: &Client<'_>, session_ms: u32) -> Result<(), String> {
    let mut topic = Topic::make(client, "kcat-member-killed")?;
    topic.send()?;
    let mut members = Members::new(&topic);
    members.join(session_ms)?;
    members.read(&topic)?;
    members.kill()?;
    // What it had not committed yet comes again.
    members.may_repeat = true;
    topic.send()?;
    members.join(session_ms)?;
    members.read_shared(&topic)?;
    members.settle("the new one has all", Members::is_shared)
}

/// A topic of three partitions, and what lies in each: as many records.
struct Topic<'a> {
    client: &'a Client<'a>,
    name: String,
    lies: usize,
}

impl<'a> Topic<'a> {
    /// Its first record makes it.
    fn make(client: &'a Client<'a>, name: &str) -> Result<Self, String> {
        let mut topic = Self {
            client,
            name: name.to_owned(),
            lies: 0,
        };
        topic.produce(0, 0..1)?;
        let partitions = client.settled(name)?;
        if partitions.len() != PARTITIONS as usize {
            return Err(format!("{name} has the partitions {partitions:?}"));
        }
        for partition in 1..PARTITIONS {
            topic.produce(partition, 0..1)?;
        }
        topic.lies = 1;
        Ok(topic)
    }

    /// Fills every partition up to the next step.
    fn send(&mut self) -> Result<(), String> {
        let end = (self.lies / EACH + 1) * EACH;
        for partition in 0..PARTITIONS {
            self.produce(partition, self.lies..end)?;
        }
        self.lies = end;
        Ok(())
    }

    fn produce(&self, partition: i32, which: std::ops::Range<usize>) -> Result<(), String> {
        let lines: Vec<String> = which.map(|at| format!("{partition}-{at}\n")).collect();
        let at = partition.to_string();
        let arguments = ["-P", "-t", &self.name, "-p", &at, "-X", "acks=all"];
        let input = lines.concat().into_bytes();
        self.client.run(&arguments, Some(input)).map(drop)
    }

    /// Every record from this offset on, as a member prints it.
    fn from(&self, start: usize) -> Vec<String> {
        let of = |partition: i32| {
            (start..self.lies).map(move |at| format!("{partition} {at} {partition}-{at}"))
        };
        (0..PARTITIONS).flat_map(of).collect()
    }

    /// A member that goes when it has come to the end of every partition.
    fn drain(&self, group: &str, expected: &[String]) -> Result<(), String> {
        let mut arguments = arguments(group, SESSION_MS);
        arguments.extend(["-e".to_owned(), self.name.clone()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = self.client.run(&arguments, None)?.stdout;
        let found = String::from_utf8_lossy(&found).into_owned();
        let mut found: Vec<(i32, i64, &str)> = found
            .lines()
            .map(|line| record(line).ok_or_else(|| format!("unreadable: {line:?}")))
            .collect::<Result<_, _>>()?;
        // The order holds in each partition.
        found.sort_by_key(|(partition, ..)| *partition);
        let found: Vec<String> = found
            .iter()
            .map(|(partition, offset, value)| format!("{partition} {offset} {value}"))
            .collect();
        if found == expected {
            return Ok(());
        }
        Err(format!("{group} got {found:?} instead of {expected:?}"))
    }
}

fn arguments(group: &str, session_ms: u32) -> Vec<String> {
    let ways = [
        format!("session.timeout.ms={session_ms}"),
        "heartbeat.interval.ms=100".into(),
        "auto.offset.reset=earliest".into(),
        "auto.commit.interval.ms=50".into(),
        "fetch.wait.max.ms=50".into(),
    ];
    // With -E it stays when the broker is gone.
    let mut arguments = vec!["-E".into(), "-u".into(), "-f".into(), r"%p %o %s\n".into()];
    arguments.extend(ways.into_iter().flat_map(|way| ["-X".to_owned(), way]));
    arguments.extend(["-G".to_owned(), group.to_owned()]);
    arguments
}

/// Partition, offset and value.
fn record(line: &str) -> Option<(i32, i64, &str)> {
    let mut words = line.splitn(3, ' ');
    let partition = words.next()?.parse().ok()?;
    Some((partition, words.next()?.parse().ok()?, words.next()?))
}

/// What a member says, by its number.
enum Said {
    Given(BTreeSet<i32>),
    Revoked,
    Record(i32, i64, String),
    Other(String),
}

/// Members of one group, and what came to them.
struct Members<'a> {
    client: &'a Client<'a>,
    name: String,
    /// None has gone.
    children: Vec<Option<Child>>,
    given: Vec<BTreeSet<i32>>,
    /// Who has been given something, if it was nothing.
    told: BTreeSet<usize>,
    /// Of each partition the offset that must come next.
    next: BTreeMap<i32, i64>,
    /// Whether the first record of a partition that comes to a member may be one that came to another one.
    may_repeat: bool,
    readers: BTreeMap<i32, usize>,
    sender: Sender<(usize, Said)>,
    said: Receiver<(usize, Said)>,
}

impl<'a> Members<'a> {
    fn new(topic: &Topic<'a>) -> Self {
        let (sender, said) = mpsc::channel();
        Self {
            client: topic.client,
            name: topic.name.clone(),
            children: Vec::new(),
            given: Vec::new(),
            told: BTreeSet::new(),
            next: (0..PARTITIONS).map(|partition| (partition, 0)).collect(),
            may_repeat: false,
            readers: BTreeMap::new(),
            sender,
            said,
        }
    }

    fn join(&mut self, session_ms: u32) -> Result<(), String> {
        let mut arguments = arguments(&self.name, session_ms);
        arguments.push(self.name.clone());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = self.client.command(&arguments);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("kcat: {e}"))?;
        let who = self.children.len();
        for pipe in [
            child
                .stdout
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let sender = self.sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send((who, said(&line)));
                }
            });
        }
        self.children.push(Some(child));
        self.given.push(BTreeSet::new());
        Ok(())
    }

    /// The last one leaves in peace.
    fn leave(&mut self) -> Result<(), String> {
        let mut child = self.last()?;
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .map_err(|e| e.to_string())?;
        let ended = wait(&mut child, LIMIT);
        let _ = child.kill();
        ended.map(drop)
    }

    /// The last one is killed.
    fn kill(&mut self) -> Result<(), String> {
        let mut child = self.last()?;
        child.kill().map_err(|e| e.to_string())?;
        child.wait().map(drop).map_err(|e| e.to_string())
    }

    fn last(&mut self) -> Result<Child, String> {
        let who = self.children.iter().rposition(Option::is_some);
        let who = who.ok_or("there is no member")?;
        self.given[who].clear();
        self.children[who].take().ok_or_else(|| "gone".into())
    }

    /// What those have that are here.
    fn here(&self) -> Vec<BTreeSet<i32>> {
        let all = self.children.iter().zip(&self.given);
        all.filter(|(child, _)| child.is_some())
            .map(|(_, given)| given.clone())
            .collect()
    }

    /// Waits until it is so. A record may come meanwhile if it has not come before: members read as soon
    /// as they have something, and others may join later.
    fn settle(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + WAIT;
        while !wanted(self) {
            self.listen(deadline, what)?;
        }
        Ok(())
    }

    /// Whether everybody has some, nobody has the same, and nothing is left.
    fn is_shared(&self) -> bool {
        let here = self.here();
        covers(&here) && here.iter().all(|of| !of.is_empty())
    }

    /// Waits until every record came, once and in order; answers to whom those of each partition came.
    fn read(&mut self, topic: &Topic<'_>) -> Result<BTreeMap<i32, BTreeSet<usize>>, String> {
        let deadline = Instant::now() + WAIT;
        let end = topic.lies as i64;
        let mut readers = BTreeMap::new();
        while self.next.values().any(|next| *next < end) {
            let what = format!("read up to {:?} of {end}", self.next);
            if let Some((who, partition)) = self.listen(deadline, &what)? {
                let of: &mut BTreeSet<usize> = readers.entry(partition).or_default();
                of.insert(who);
            }
        }
        Ok(readers)
    }

    /// The same; they must come to the one that has the partition.
    fn read_shared(&mut self, topic: &Topic<'_>) -> Result<(), String> {
        let readers = self.read(topic)?;
        for (partition, who) in readers {
            let owners: BTreeSet<usize> = (0..self.given.len())
                .filter(|who| self.given[*who].contains(&partition))
                .collect();
            if who != owners {
                return Err(format!(
                    "partition {partition} came to {who:?}, {owners:?} has it"
                ));
            }
        }
        Ok(())
    }

    /// Waits for the next thing that anybody says; a record must be the next one of its partition.
    fn listen(&mut self, deadline: Instant, what: &str) -> Result<Option<(usize, i32)>, String> {
        loop {
            if Instant::now() > deadline {
                return Err(format!("{what}: {:?}", self.here()));
            }
            let Ok((who, said)) = self.said.recv_timeout(LOOK) else {
                continue;
            };
            match said {
                Said::Given(given) => {
                    self.told.insert(who);
                    // What it said before it went comes late.
                    if self.children[who].is_some() {
                        self.given[who] = given;
                    }
                    return Ok(None);
                }
                Said::Revoked => {
                    self.given[who].clear();
                    return Ok(None);
                }
                Said::Record(partition, offset, value) => {
                    let next = self.next.entry(partition).or_insert(0);
                    let is_first = self.readers.insert(partition, who) != Some(who);
                    if self.may_repeat && is_first {
                        *next = offset.min(*next);
                    }
                    if offset != *next || value != format!("{partition}-{offset}") {
                        return Err(format!(
                            "partition {partition} offset {next} was due, {offset} {value:?} came"
                        ));
                    }
                    *next += 1;
                    return Ok(Some((who, partition)));
                }
                // That the broker is gone for a moment it says itself, and goes on.
                Said::Other(line) if line.contains("ERROR") && !line.contains("ERROR: Local: ") => {
                    return Err(line);
                }
                Said::Other(_) => {}
            }
        }
    }
}

impl Drop for Members<'_> {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn said(line: &str) -> Said {
    if let Some((_, given)) = line.split_once("assigned: ") {
        // topic [0], topic [1]
        let number = |place: &str| {
            let inside = place.rsplit_once('[')?.1;
            inside.trim_end_matches(']').parse().ok()
        };
        return Said::Given(given.split(", ").filter_map(number).collect());
    }
    if line.contains("revoked: ") {
        return Said::Revoked;
    }
    match record(line) {
        Some((partition, offset, value)) => Said::Record(partition, offset, value.to_owned()),
        None => Said::Other(line.to_owned()),
    }
}

/// Nobody has the same, nothing is left.
fn covers(given: &[BTreeSet<i32>]) -> bool {
    let all: Vec<i32> = given.iter().flatten().copied().collect();
    all.len() == PARTITIONS as usize
        && all.into_iter().collect::<BTreeSet<_>>() == (0..PARTITIONS).collect()
}
