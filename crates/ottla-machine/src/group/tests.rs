//! Data in, data out: a rig that drives the machine as a shard does, sends every record through the bytes
//! that the log would hold, and checks after every step that what must hold does ([`invariants`]).
//!
//! Dialogues are text ([`script`], `scripts/`); what nobody thought of is random ([`random`]).

mod bounds;
mod invariants;
mod random;
mod random_consumer;
mod script;
mod script_consumer;
mod script_show;
mod topics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::string::{String, ToString};
use std::vec::Vec;

use ottla_model::batch::{BatchBuilder, BatchHead, BatchSpec};
use ottla_model::ids::{ProducerEpoch, ProducerId};
use ottla_model::time::WallMs;
use ottla_model::uuid::Uuid;

use bytes::Bytes;

use super::classic::Classic;
use super::classic::checks::PENDING_MAX;
use super::*;
use crate::contract::{Entry, Ids, StoredRecord};
use topics::TestTopics;

/// `"…".hashCode()` by a JVM.
#[test]
fn groups_hash_as_in_kafka() {
    for (group, partition) in [
        ("", 0),
        ("a", 47),
        ("my-group", 12),
        ("console-consumer-12345", 6),
        ("gr\u{fc}ppe-\u{1f600}", 14),
        // The one hash without an absolute value.
        ("polygenelubricants", 0),
    ] {
        assert_eq!(partition_of(group, 50), partition, "{group}");
    }
    assert_eq!(partition_of("polygenelubricants", i32::MAX), 0);
    assert_eq!(partition_of("a", 0), 0);
}

#[test]
fn a_flood_of_members_that_only_ask_for_an_id_ends_at_a_bound() {
    let mut rig = Rig::new();
    let group = GroupId::from("g");
    let flood = Soft::Classic {
        group: group.clone(),
        state: Arc::new(Classic::with_pending(PENDING_MAX - 1, MonoMs(10_000))),
    };
    rig.machine.replay(rig.end, Event::Soft(&flood));
    let join = |member: &str| {
        Request::Join(Join {
            group: group.clone(),
            member: MemberId::from(member),
            instance: None,
            client_id: Arc::from("c"),
            client_host: Arc::from("/127.0.0.1"),
            connection: ConnectionId(1),
            session_timeout_ms: 20_000,
            rebalance_timeout_ms: 20_000,
            protocol_type: Arc::from("consumer"),
            protocols: alloc::vec![Protocol {
                name: Arc::from("range"),
                metadata: Bytes::new(),
            }],
            member_id_required: true,
            may_skip_assignment: true,
            topics: Arc::new(TestTopics::default()),
        })
    };
    let told = |rig: &mut Rig| rig.ask(join("")).1.remove(0).value;
    let last = told(&mut rig);
    assert!(
        matches!(last, Err(Refusal::MemberIdRequired(_))),
        "{last:?}"
    );
    assert_eq!(told(&mut rig), Err(Refusal::GroupFull));
    // Their sessions end, and there is room again; nothing was logged of them.
    rig.advance(10_000);
    let next = told(&mut rig);
    assert!(
        matches!(next, Err(Refusal::MemberIdRequired(_))),
        "{next:?}"
    );
    assert!(rig.log.is_empty());
}

/// Counts.
struct CountedIds(u32);

impl Ids for CountedIds {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        let mut id = [0; 16];
        id[12..].copy_from_slice(&self.0.to_be_bytes());
        Uuid(id)
    }
}

/// One answer that left.
struct Left {
    to: Ticket,
    value: Result<Answer, Refusal>,
    /// What it waits for.
    saw: Offset,
    wait: Wait,
}

/// A coordinator with its log, its clock, and who waits for it.
struct Rig {
    machine: Coordinator,
    /// Each batch with its offset, as its records.
    log: Vec<(Offset, Vec<GroupRecord>)>,
    end: Offset,
    now: MonoMs,
    ids: CountedIds,
    settings: Arc<Settings>,
    next_ticket: u64,
    waiting: BTreeSet<Ticket>,
    /// Each group when it was looked at last.
    generations: BTreeMap<GroupId, Told>,
    /// Where records of undecided transactions lie.
    undecided_at: BTreeSet<Offset>,
    topics: Arc<TestTopics>,
    /// What the coordinator ordered and nobody has done.
    effects: VecDeque<Effect>,
    /// Nobody does it for now.
    holds_effects: bool,
    /// By the broker's assignors, not by one that moves partitions on purpose.
    by_assignor: bool,
}

/// A group when it was looked at last.
#[derive(Clone, Copy)]
struct Told {
    of: GroupType,
    was_empty: bool,
    /// Or generation.
    epoch: i32,
}

/// The wall clock at the start of each test, in ms.
const WALL_START_MS: i64 = 1_000_000;

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig {
            machine: Coordinator::default(),
            log: Vec::new(),
            end: Offset::ZERO,
            now: MonoMs(0),
            ids: CountedIds(0),
            settings: Arc::default(),
            next_ticket: 0,
            waiting: BTreeSet::new(),
            generations: BTreeMap::new(),
            undecided_at: BTreeSet::new(),
            topics: Arc::default(),
            effects: VecDeque::new(),
            holds_effects: false,
            by_assignor: false,
        };
        rig.ask(Request::Begin);
        rig
    }

    /// Submits a request; the answers that it leads to, not only its own.
    fn ask(&mut self, request: Request) -> (Ticket, Vec<Left>) {
        let to = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(to);
        let command = Command {
            settings: Arc::clone(&self.settings),
            request,
        };
        let mut left = self.decide(|machine, cx, out| machine.decide(to, command, cx, out));
        left.extend(self.expire());
        if !self.holds_effects {
            left.extend(self.perform_effects());
        }
        (to, left)
    }

    /// What was ordered is done, and what follows from that.
    fn perform_effects(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        while let Some(effect) = self.effects.pop_front() {
            left.extend(self.ask(topics::perform(effect, self.by_assignor)).1);
        }
        left
    }

    fn set_topic(&mut self, name: &str, id: Uuid, partitions: i32) {
        Arc::make_mut(&mut self.topics).set(name, id, partitions);
    }

    /// What is due now, as a shard does after each turn.
    fn expire(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        for _ in 0..1000 {
            let deadline = self.machine.deadline();
            if deadline.is_none_or(|at| at > self.now) {
                return left;
            }
            left.extend(self.decide(|machine, cx, out| machine.expire(cx, out)));
        }
        panic!("a deadline that nothing moves: {:?}", self.machine);
    }

    /// Lets time pass, stopping at every deadline.
    fn advance(&mut self, ms: u64) -> Vec<(MonoMs, Left)> {
        let until = self.now + ms;
        let mut left = Vec::new();
        while let Some(at) = self.machine.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let now = self.now;
            let mut happened = self.expire();
            if !self.holds_effects {
                happened.extend(self.perform_effects());
            }
            left.extend(happened.into_iter().map(|answer| (now, answer)));
        }
        self.now = until;
        left
    }

    fn decide(
        &mut self,
        decide: impl FnOnce(&Coordinator, &mut Cx<'_>, &mut Decision<Coordinator>),
    ) -> Vec<Left> {
        let mut cx = Cx {
            end: self.end,
            marks: Marks {
                log_start: Offset::ZERO,
                written: self.end,
                durable: self.end,
            },
            wall: WallMs(WALL_START_MS + self.now.0 as i64),
            mono: self.now,
            ids: &mut self.ids,
        };
        let mut out = Decision::default();
        decide(&self.machine, &mut cx, &mut out);
        self.effects.extend(out.effects);
        for emit in out.emits {
            match emit {
                Emit::Logged(Entry::Records {
                    producer: None,
                    records,
                }) => self.append(records),
                Emit::Volatile(soft) => self.machine.replay(self.end, Event::Soft(&soft)),
                Emit::Logged(_) => panic!("a coordinator writes records of its own only"),
            }
        }
        let replies: Vec<Left> = out
            .replies
            .into_iter()
            .map(|reply| Left {
                to: reply.to,
                value: reply.value,
                saw: reply.saw.unwrap_or(self.end),
                wait: reply.wait,
            })
            .collect();
        for reply in &replies {
            assert!(
                self.waiting.remove(&reply.to),
                "answered twice, or never asked"
            );
            assert!(reply.saw <= self.end);
        }
        invariants::check(self);
        replies
    }

    fn append(&mut self, records: Vec<GroupRecord>) {
        assert!(!records.is_empty());
        let head = head(&records, self.undecided_at.contains(&self.end));
        for (record, delta) in records.iter().zip(0..) {
            let read = through_bytes(record);
            assert_eq!(read, *record);
            self.machine
                .replay(self.end + delta, Event::Record(&head, &read));
        }
        let at = self.end;
        self.end = self.end + records.len() as i64;
        self.log.push((at, records));
    }

    /// Another's record: of a transaction that is not decided yet.
    fn append_undecided(&mut self, record: GroupRecord) {
        self.undecided_at.insert(self.end);
        self.append(alloc::vec![record]);
    }

    /// The machine that a restart would make of the log.
    fn replayed(&self) -> Coordinator {
        let mut machine = Coordinator::default();
        for (at, batch) in &self.log {
            let head = head(batch, self.undecided_at.contains(at));
            for (record, delta) in batch.iter().zip(0..) {
                machine.replay(*at + delta, Event::Record(&head, &through_bytes(record)));
            }
        }
        machine
    }

    /// A restart: whoever waits waits in vain, members come back or not.
    fn restart(&mut self) -> Vec<Left> {
        self.machine = self.replayed();
        self.waiting.clear();
        // Who was at work may be done only now: what comes is too late.
        let late = core::mem::take(&mut self.effects);
        // Generations that were not logged are forgotten, as in Kafka.
        self.generations.clear();
        let (_, mut left) = self.ask(Request::Begin);
        for effect in late {
            left.extend(self.ask(topics::perform(effect, self.by_assignor)).1);
        }
        left
    }
}

fn through_bytes(record: &GroupRecord) -> GroupRecord {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let (has_key, has_value) = record.encode(&mut key, &mut value);
    assert!(has_key);
    assert!(has_value || value.is_empty());
    GroupRecord::decode(Some(&key), has_value.then_some(&value[..])).unwrap()
}

fn head(records: &[GroupRecord], undecided: bool) -> BatchHead {
    let mut spec = BatchSpec::default();
    if undecided {
        spec.producer_id = ProducerId(9);
        spec.producer_epoch = ProducerEpoch(0);
    }
    let mut builder = BatchBuilder::new(spec, 0);
    for record in records {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        record.encode(&mut key, &mut value);
        builder.push(Some(&key), Some(&value), &[], 0);
    }
    *builder.build().head()
}
