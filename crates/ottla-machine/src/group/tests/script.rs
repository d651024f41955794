//! Dialogues as text: a line is a command, the lines behind it that begin with `|` are what happened.
//!
//! ```text
//! join A session=10s          a JoinGroup of the client A; its member id is remembered
//! | A refused MemberIdRequired(A.1)
//! advance 30s                 time passes, deadline by deadline
//! ```
//! `A.1` is the first id that was made, for the client A. `log …` is a record that was written.
//! `OTTLA_BLESS=1` writes what happens into the scripts: read the difference.

use std::fmt::Write as _;
use std::format;

use bytes::Bytes;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn scripts_go_as_written() {
    let mut produced = BTreeSet::new();
    let bless = std::env::var_os("OTTLA_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        let written = std::fs::read_to_string(&path).unwrap();
        let mut script = Script::new();
        let happened = script.run(&written);
        produced.extend(script.refusals);
        if bless && happened != written {
            std::fs::write(&path, &happened).unwrap();
        } else if happened != written {
            wrong.push(format!(
                "{}:\n{}",
                path.display(),
                difference(&written, &happened)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let known = refusals();
    assert!(known.len() > 10, "refusal.rs is not read as it is written");
    let missing: Vec<_> = known
        .iter()
        .filter(|name| !produced.contains(**name))
        .collect();
    assert!(
        missing.is_empty(),
        "refusals that no script produces: {missing:?}"
    );
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/group/tests/scripts");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The variants of [`Refusal`], as its file has them.
fn refusals() -> BTreeSet<&'static str> {
    let source = include_str!("../refusal.rs");
    let body = source.split_once("pub enum Refusal {").unwrap().1;
    let body = body.split_once("\n}").unwrap().0;
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| line.split(['(', '{', ',', ' ']).next().unwrap())
        .collect()
}

fn difference(written: &str, happened: &str) -> String {
    let (mut a, mut b) = (written.lines(), happened.lines());
    let mut line = 1;
    loop {
        match (a.next(), b.next()) {
            (Some(one), Some(other)) if one == other => line += 1,
            (one, other) => {
                return format!("line {line}\n  written:  {one:?}\n  happened: {other:?}");
            }
        }
    }
}

pub(super) struct Script {
    pub(super) rig: Rig,
    /// Member id of each client.
    pub(super) ids: BTreeMap<String, MemberId>,
    /// Generation or epoch that each client was told.
    pub(super) generations: BTreeMap<String, i32>,
    /// Who asked.
    pub(super) askers: BTreeMap<Ticket, String>,
    pub(super) refusals: BTreeSet<String>,
    pub(super) logged: usize,
}

/// The words of a command behind its name.
pub(super) struct Words<'a> {
    pub(super) plain: Vec<&'a str>,
    pub(super) named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.named.get(name).copied()
    }

    pub(super) fn ms(&self, name: &str) -> Option<u64> {
        self.get(name).map(ms)
    }

    pub(super) fn number(&self, name: &str) -> Option<i32> {
        self.get(name).map(|text| text.parse().unwrap())
    }

    pub(super) fn group(&self) -> GroupId {
        GroupId::from(self.get("group").unwrap_or("g"))
    }

    pub(super) fn instance(&self) -> Option<InstanceId> {
        self.get("instance").map(InstanceId::from)
    }
}

fn ms(text: &str) -> u64 {
    for (unit, factor) in [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ] {
        if let Some(Ok(count)) = text.strip_suffix(unit).map(str::parse::<u64>) {
            return count * factor;
        }
    }
    panic!("no time: {text}");
}

/// A subscription to topics as consumers write it.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = Vec::from(0i16.to_be_bytes());
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    Bytes::from(bytes)
}

/// `t/0+2`: these partitions of this topic, as consumers write it; anything else is itself.
fn assignment(what: &str) -> Bytes {
    let Some((topic, indexes)) = what.split_once('/') else {
        return Bytes::from(what.to_string());
    };
    let mut bytes = Vec::from(0i16.to_be_bytes());
    bytes.extend(1i32.to_be_bytes());
    bytes.extend((topic.len() as i16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    let indexes: Vec<i32> = indexes
        .split('+')
        .map(|index| index.parse().unwrap())
        .collect();
    bytes.extend((indexes.len() as i32).to_be_bytes());
    bytes.extend(indexes.iter().flat_map(|index| index.to_be_bytes()));
    bytes.extend((-1i32).to_be_bytes());
    Bytes::from(bytes)
}

/// `t:0,1=5` without the `=`; or `t:0..9`.
fn partitions(word: &str) -> (Arc<str>, Vec<i32>) {
    let (topic, indexes) = word.split_once(':').unwrap();
    let index = |text: &str| text.parse::<i32>().unwrap();
    let indexes = match indexes.split_once("..") {
        Some((from, to)) => (index(from)..index(to)).collect(),
        None => indexes.split(',').map(index).collect(),
    };
    (Arc::from(topic), indexes)
}

pub(super) fn topic_id(topic: &str) -> Uuid {
    // Of `t'2`, a second topic of the name t.
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().zip(topic.bytes()) {
        *place = byte;
    }
    Uuid(id)
}

impl Script {
    fn new() -> Script {
        Script {
            rig: Rig::new(),
            ids: BTreeMap::new(),
            generations: BTreeMap::new(),
            askers: BTreeMap::new(),
            refusals: BTreeSet::new(),
            logged: 0,
        }
    }

    /// The script with what happened.
    fn run(&mut self, script: &str) -> String {
        let mut out = String::new();
        for line in script.lines().filter(|line| !line.starts_with('|')) {
            writeln!(out, "{line}").unwrap();
            let command = line.split('#').next().unwrap().trim();
            if command.is_empty() {
                continue;
            }
            for happened in self.command(command) {
                writeln!(out, "| {happened}").unwrap();
            }
        }
        out
    }

    fn command(&mut self, line: &str) -> Vec<String> {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let (named, plain): (Vec<&str>, Vec<&str>) = words.partition(|word| {
            word.contains('=') && !word.contains(':')
                || word.starts_with("assign=")
                || word.starts_with("own=")
        });
        let words = Words {
            plain,
            named: named
                .iter()
                .map(|word| word.split_once('=').unwrap())
                .collect(),
        };
        let left = match name {
            "topic" => {
                self.topics(&words);
                Vec::new()
            }
            "hold" => {
                self.rig.holds_effects = true;
                Vec::new()
            }
            "release" => {
                self.rig.holds_effects = false;
                self.now(|script| script.rig.perform_effects())
            }
            "fail" => self.now(Script::fail),
            "restart" => self.now(|script| script.rig.restart()),
            "advance" => self.rig.advance(ms(words.plain[0])),
            "settings" => {
                let mut settings = Settings::clone(&self.rig.settings);
                words
                    .ms("initial")
                    .inspect(|ms| settings.initial_rebalance_delay_ms = *ms);
                words
                    .ms("grace")
                    .inspect(|ms| settings.disconnect_grace_ms = Some(*ms));
                words
                    .ms("retention")
                    .inspect(|ms| settings.offsets_retention_ms = *ms as i64);
                words
                    .number("max")
                    .inspect(|max| settings.members_max = *max as usize);
                words
                    .number("consumers")
                    .inspect(|max| settings.consumer_members_max = *max as usize);
                words
                    .ms("interval")
                    .inspect(|ms| settings.consumer_assignment_interval_ms = *ms as i64);
                words
                    .get("migration")
                    .inspect(|name| settings.migration = Migration::from_name(name).unwrap());
                self.rig.settings = Arc::new(settings);
                self.now(|script| script.rig.ask(Request::Begin).1)
            }
            "leave" => {
                let request = self.leave(&words);
                self.ask(words.plain.join(","), request)
            }
            _ => {
                let who = words.plain.first().copied().unwrap_or("-").to_string();
                let request = self.request(name, &who, &words);
                self.ask(who, request)
            }
        };
        let mut lines: Vec<String> = self.records();
        for (at, left) in left {
            let time = if name == "advance" {
                format!("{}ms ", at.0)
            } else {
                String::new()
            };
            let line = self.show(&left);
            lines.push(time + &line);
        }
        lines
    }

    fn now(&mut self, act: impl FnOnce(&mut Self) -> Vec<Left>) -> Vec<(MonoMs, Left)> {
        let left = act(self);
        // Answers to the rig itself say nothing.
        let left = left
            .into_iter()
            .filter(|left| left.value != Ok(Answer::Noted));
        left.map(|left| (self.rig.now, left)).collect()
    }

    fn ask(&mut self, who: String, request: Request) -> Vec<(MonoMs, Left)> {
        // Before it is asked: the answer may be there at once.
        self.askers.insert(Ticket(self.rig.next_ticket), who);
        let (_, mut left) = self.rig.ask(request);
        // Who works for the coordinator hears nothing that matters.
        left.retain(|left| left.value != Ok(Answer::Noted) || self.askers.contains_key(&left.to));
        left.into_iter().map(|left| (self.rig.now, left)).collect()
    }

    pub(super) fn member(&self, who: &str, words: &Words<'_>) -> MemberId {
        match words.get("id") {
            Some("-") => MemberId::from(""),
            Some(id) => self
                .ids
                .get(id)
                .cloned()
                .unwrap_or_else(|| MemberId::from(id)),
            None => self
                .ids
                .get(who)
                .cloned()
                .unwrap_or_else(|| MemberId::from("")),
        }
    }

    fn generation(&self, who: &str, words: &Words<'_>) -> i32 {
        let told = self.generations.get(who).copied().unwrap_or(-1);
        words.number("gen").unwrap_or(told)
    }

    /// One connection per client.
    pub(super) fn connection(who: &str) -> ConnectionId {
        ConnectionId(u64::from(who.bytes().next().unwrap()))
    }

    fn leave(&self, words: &Words<'_>) -> Request {
        let members = words.plain.iter().map(|who| Leaving {
            member: self.member(who, words),
            instance: words.instance(),
        });
        Request::Leave(Leave {
            group: words.group(),
            members: members.collect(),
        })
    }

    fn request(&mut self, name: &str, who: &str, words: &Words<'_>) -> Request {
        let group = words.group();
        let member = self.member(who, words);
        let instance = words.instance();
        let generation = self.generation(who, words);
        let connection = Script::connection(who);
        match name {
            "join" => {
                let topics: Vec<&str> = words.get("topics").unwrap_or("t").split(',').collect();
                let metadata = match words.get("metadata") {
                    Some(text) => Bytes::from(text.to_string()),
                    None => subscription(&topics),
                };
                let protocols = words.get("protocols").unwrap_or("range").split(',');
                let protocols = protocols.filter(|name| !name.is_empty());
                let long = "x".repeat(words.number("long").unwrap_or(0) as usize);
                Request::Join(Join {
                    group,
                    member,
                    instance,
                    client_id: Arc::from(who.to_string() + &long),
                    client_host: Arc::from("/127.0.0.1"),
                    connection,
                    session_timeout_ms: words.ms("session").unwrap_or(10_000) as i32,
                    rebalance_timeout_ms: words.ms("rebalance").unwrap_or(60_000) as i32,
                    protocol_type: Arc::from(words.get("type").unwrap_or("consumer")),
                    protocols: protocols
                        .map(|name| Protocol {
                            name: Arc::from(name),
                            metadata: metadata.clone(),
                        })
                        .collect(),
                    member_id_required: !words.plain.contains(&"old"),
                    may_skip_assignment: words.plain.contains(&"skip"),
                    topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
                })
            }
            "sync" => {
                let assign = words.get("assign").unwrap_or("").split(',');
                let assignments = assign.filter_map(|pair| pair.split_once(':'));
                Request::Sync(Sync {
                    group,
                    member,
                    instance,
                    generation,
                    protocol_type: words.get("type").map(Arc::from),
                    protocol: words.get("protocol").map(Arc::from),
                    assignments: assignments
                        .map(|(who, what)| {
                            let id = self.ids.get(who).cloned();
                            let id = id.unwrap_or_else(|| MemberId::from(who));
                            (id, assignment(what))
                        })
                        .collect(),
                    connection,
                    topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
                })
            }
            "heartbeat" => Request::Heartbeat(Heartbeat {
                group,
                member,
                instance,
                generation,
                connection,
            }),
            "beat" => self.beat(who, words),
            "describe-consumer" => Request::Ask(Query::DescribeConsumer {
                group,
                topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
            }),
            "disconnect" => Request::ConnectionClosed { group, connection },
            "commit" => Request::CommitOffsets(CommitOffsets {
                group,
                member,
                instance,
                generation,
                knows_epochs: !words.plain.contains(&"old"),
                retention_ms: words.ms("retention").map(|ms| ms as i64),
                topics: words.plain[1..]
                    .iter()
                    .filter(|word| word.contains('='))
                    .map(|word| {
                        let (place, offset) = word.split_once('=').unwrap();
                        let (name, indexes) = partitions(place);
                        let text = words.get("text").unwrap_or("");
                        let repeat = words.number("times").unwrap_or(1) as usize;
                        CommitTopic {
                            topic_id: topic_id(words.get("of").unwrap_or(&name)),
                            partitions: indexes
                                .into_iter()
                                .map(|partition| CommitPartition {
                                    partition,
                                    offset: offset.parse().unwrap(),
                                    leader_epoch: 3,
                                    metadata: Arc::from(text.repeat(repeat)),
                                })
                                .collect(),
                            name,
                        }
                    })
                    .collect(),
            }),
            "fetch" => {
                let all = words.plain.contains(&"all");
                let places = words.plain.iter().filter(|word| word.contains(':'));
                let topics = places.map(|word| {
                    let (name, partitions) = partitions(word);
                    FetchTopic {
                        topic_id: words.get("of").map_or(Uuid::ZERO, topic_id),
                        name,
                        partitions,
                    }
                });
                Request::Ask(Query::Offsets(FetchOffsets {
                    group,
                    member: words.plain.contains(&"member").then_some(member),
                    member_epoch: words.number("epoch").unwrap_or(-1),
                    require_stable: words.plain.contains(&"stable"),
                    topics: (!all).then(|| topics.collect()),
                }))
            }
            // Another's: a transaction that is not decided yet, straight into the log.
            "transaction" => {
                let (topic, indexes) = partitions(words.plain[1]);
                let record = GroupRecord::Offset {
                    group,
                    topic,
                    partition: indexes[0],
                    value: Some(CommittedOffset {
                        offset: 7,
                        leader_epoch: -1,
                        metadata: Arc::from(""),
                        commit_time_ms: WALL_START_MS,
                        expire_time_ms: None,
                        topic_id: Uuid::ZERO,
                        record_at: Offset::ZERO,
                    }),
                };
                self.rig.append_undecided(record);
                Request::Begin
            }
            "delete-offsets" => Request::DeleteOffsets(DeleteOffsets {
                group,
                topics: words.plain.iter().map(|word| partitions(word)).collect(),
            }),
            "delete-group" => Request::DeleteGroup(group),
            "describe" => Request::Ask(Query::Describe(group)),
            "list" => Request::Ask(Query::List(ListFilter {
                states: words.get("states").map(|states| {
                    let all = GroupState::ALL;
                    let named = |state: &GroupState| states.contains(state.as_str());
                    all.into_iter().filter(named).collect()
                }),
                types: words.get("types").map(|types| {
                    let all = GroupType::ALL;
                    let named = |kind: &GroupType| types.contains(kind.as_str());
                    all.into_iter().filter(named).collect()
                }),
            })),
            "topic-deleted" => Request::TopicsDeleted(alloc::vec![DeletedTopic {
                name: Arc::from(words.plain[0]),
                topic_id: topic_id(words.get("of").unwrap_or(words.plain[0])),
            }]),
            other => panic!("no such command: {other}"),
        }
    }
}
