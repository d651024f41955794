//! The pair rig: producers and readers on one side, a shard on the other, a network between that
//! delays and cuts, virtual time, one plain loop.
//!
//! What it checks while it runs: an answer leaves only after the mark that it waits for; a retry gets
//! the offset of the original; what a reader saw at an offset never changes. At the end: every batch
//! of an idempotent producer is there once and in order, all that was acknowledged is there, and the
//! live machine equals the one rebuilt from the log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use ottla_broker::shard::{AppendJob, Outcome, Shard, ShardOptions, open_listening};
use ottla_log::{Log, RollRule};
use ottla_machine::contract::{Ids, Machine, Wait};
use ottla_machine::partition::{Answer, Command, Isolation, Partition, Query};
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::time::{MonoMs, Now, WallMs};
use ottla_model::uuid::Uuid;

use crate::outlet::Recorder;
use crate::payload::{self, Mark};
use crate::random::Random;

/// What the rig plays against.
pub struct World {
    /// The log.
    pub log: Arc<dyn Log>,
    /// One round of syncs.
    pub flush: Box<dyn Fn()>,
    /// Makes the next append fail; `None` if this store cannot.
    pub fail_append: Option<Box<dyn Fn()>>,
}

/// What a run amounted to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Batches acknowledged.
    pub acknowledged: u64,
    /// Connections cut.
    pub cuts: u64,
    /// Storage faults answered.
    pub faults: u64,
    /// Records read.
    pub read: u64,
    /// A number that depends on every answer in order.
    pub fingerprint: u64,
}

type PartitionShard = Shard<Partition, Recorder<Partition>>;

/// Virtual time in which every run ends, many times over.
const STUCK_AFTER_MS: u64 = 100_000;
const PRODUCERS: u32 = 4;
const READERS: usize = 2;
const IN_FLIGHT_MAX: usize = 5;
const BATCHES_PER_PRODUCER: u32 = 40;

struct Pair<'w> {
    world: &'w World,
    shard: Arc<PartitionShard>,
    dice: Random,
    now_ms: u64,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    steps: HashMap<u64, Step>,
    next_id: u64,
    producers: Vec<Producer>,
    readers: Vec<Offset>,
    requests: HashMap<u64, Request>,
    /// By connection, its requests in the order in which they were sent and must be answered.
    order: HashMap<(u32, u32), VecDeque<u64>>,
    answered: HashMap<u64, Result<Offset, ()>>,
    seen: BTreeMap<Offset, Mark>,
    acknowledged: BTreeMap<Mark, Offset>,
    report: Report,
    /// The last part of a run: nothing fails any more.
    calm: bool,
}

enum Step {
    Send(u32),
    Arrive(u64),
    Turn,
    Perform(AppendJob),
    Flush,
    Reply(u64, Result<Offset, ()>),
    Read(usize),
    Mischief,
}

#[derive(Clone, Copy)]
struct Batch {
    first: u32,
    count: u32,
}

#[derive(Default)]
struct Producer {
    idempotent: bool,
    connection: u32,
    next_sequence: u32,
    batches_made: u32,
    acknowledged: u32,
    /// Unanswered batches, oldest first, and how many of them were sent on this connection.
    unanswered: Vec<Batch>,
    sent: usize,
}

struct Request {
    producer: u32,
    connection: u32,
    batch: Batch,
    wait: Wait,
    filler_bytes: usize,
}

struct CountedIds(u8);

impl Ids for CountedIds {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid([self.0; 16])
    }
}

/// Options of a shard in a simulation: small segments, so that they roll often.
#[must_use]
pub fn shard_options() -> ShardOptions {
    let roll = RollRule {
        segment_bytes: 4096,
        segment_ms: 1_000_000,
    };
    ShardOptions::new(LeaderEpoch(0), roll, Box::new(CountedIds(0)))
}

/// Plays one seed to its end.
///
/// # Panics
/// If a promise is broken; the message names the seed.
#[must_use]
pub fn play(world: &World, seed: u64) -> Report {
    let shard = open_listening(Arc::clone(&world.log), Recorder::default(), shard_options())
        .expect("an empty log opens");
    let mut pair = Pair {
        world,
        shard,
        dice: Random::new(seed),
        now_ms: 0,
        agenda: BinaryHeap::new(),
        steps: HashMap::new(),
        next_id: 0,
        producers: Vec::new(),
        readers: vec![Offset::ZERO; READERS],
        requests: HashMap::new(),
        order: HashMap::new(),
        answered: HashMap::new(),
        seen: BTreeMap::new(),
        acknowledged: BTreeMap::new(),
        report: Report::default(),
        calm: false,
    };
    pair.start();
    while let Some(Reverse((at_ms, id))) = pair.agenda.pop() {
        pair.now_ms = at_ms;
        assert!(
            at_ms < STUCK_AFTER_MS,
            "seed {seed}: stuck with {}",
            pair.unfinished()
        );
        let step = pair
            .steps
            .remove(&id)
            .expect("a step for each entry of the agenda");
        pair.perform(step);
        pair.pick_up_answers();
        if pair.is_done() {
            pair.finish();
            return pair.report;
        }
    }
    panic!("seed {seed}: the run stopped before its producers were done");
}

impl Pair<'_> {
    fn start(&mut self) {
        for index in 0..PRODUCERS {
            self.producers.push(Producer {
                idempotent: index != 0,
                ..Producer::default()
            });
            self.later(1, Step::Send(index));
        }
        for reader in 0..READERS {
            self.later(1, Step::Read(reader));
        }
        self.later(1, Step::Flush);
        self.later(50, Step::Mischief);
    }

    fn now(&self) -> Now {
        Now {
            wall: WallMs(1_700_000_000_000 + self.now_ms as i64),
            mono: MonoMs(self.now_ms),
        }
    }

    /// Puts a step on the agenda, `1..=spread_ms` from now.
    fn later(&mut self, spread_ms: u64, step: Step) {
        let at_ms = self.now_ms + 1 + self.dice.below(spread_ms);
        self.next_id += 1;
        self.steps.insert(self.next_id, step);
        self.agenda.push(Reverse((at_ms, self.next_id)));
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Send(producer) => self.send(producer),
            Step::Arrive(request) => self.arrive(request),
            Step::Turn => {
                // Now and then through the door that the broker uses.
                if self.dice.one_in(4) {
                    self.shard.run(self.now());
                } else if let Some(job) = self.shard.turn(self.now()) {
                    self.later(5, Step::Perform(job));
                }
                if matches!(self.dice.below(3), 0) {
                    self.later(3, Step::Turn);
                }
            }
            Step::Perform(job) => {
                if let Some(next) = self.shard.perform(job) {
                    self.later(5, Step::Perform(next));
                }
                self.later(1, Step::Turn);
            }
            Step::Flush => {
                (self.world.flush)();
                self.later(8, Step::Flush);
            }
            Step::Reply(request, answer) => self.reply(request, answer),
            Step::Read(reader) => self.read(reader),
            Step::Mischief => self.mischief(),
        }
    }

    /// Makes batches and sends what is not sent yet, in order, at most five unanswered.
    fn send(&mut self, index: u32) {
        let producer = &mut self.producers[index as usize];
        if producer.unanswered.len() < IN_FLIGHT_MAX && producer.batches_made < BATCHES_PER_PRODUCER
        {
            let count = 1 + self.dice.below(4) as u32;
            producer.unanswered.push(Batch {
                first: producer.next_sequence,
                count,
            });
            producer.next_sequence += count;
            producer.batches_made += 1;
        }
        while let Some(&batch) = self.producers[index as usize]
            .unanswered
            .get(self.producers[index as usize].sent)
        {
            let producer = &mut self.producers[index as usize];
            producer.sent += 1;
            let (idempotent, connection) = (producer.idempotent, producer.connection);
            // Only acks=all goes with idempotence.
            let wait = if idempotent || self.dice.one_in(2) {
                Wait::Durable
            } else {
                Wait::Written
            };
            let filler_bytes = (batch.first as usize * 37) % 300;
            self.next_id += 1;
            let id = self.next_id;
            self.requests.insert(
                id,
                Request {
                    producer: index,
                    connection,
                    batch,
                    wait,
                    filler_bytes,
                },
            );
            self.order
                .entry((index, connection))
                .or_default()
                .push_back(id);
            self.over_the_wire(connection, Step::Arrive(id));
        }
        if self.producers[index as usize].batches_made < BATCHES_PER_PRODUCER {
            self.later(20, Step::Send(index));
        }
    }

    /// A connection delivers in order: everything on it takes the same time.
    fn over_the_wire(&mut self, connection: u32, step: Step) {
        self.next_id += 1;
        self.steps.insert(self.next_id, step);
        self.agenda.push(Reverse((
            self.now_ms + 1 + u64::from(connection % 3),
            self.next_id,
        )));
    }

    fn arrive(&mut self, id: u64) {
        let request = &self.requests[&id];
        let mark = Mark {
            producer: request.producer,
            sequence: request.batch.first,
        };
        let idempotent = self.producers[request.producer as usize].idempotent;
        let wall = self.now().wall.0;
        let batch = payload::batch(
            mark,
            request.batch.count,
            idempotent,
            request.filler_bytes,
            wall,
        );
        self.shard.submit(
            id,
            Command::Append {
                batch,
                wait: request.wait,
                append_time: false,
            },
        );
        self.later(2, Step::Turn);
    }

    fn pick_up_answers(&mut self) {
        while let Some((id, outcome)) = self.shard.outlet().next() {
            let request = &self.requests[&id];
            let answer = match outcome {
                Outcome::Answer(Answer::Appended { base_offset, .. }) => {
                    let end = base_offset + i64::from(request.batch.count);
                    let marks = self.world.log.marks();
                    let mark = if request.wait == Wait::Durable {
                        marks.durable
                    } else {
                        marks.written
                    };
                    assert!(
                        end <= mark,
                        "an answer left before its mark: {end} > {mark}"
                    );
                    Ok(base_offset)
                }
                Outcome::Fault(_) => {
                    self.report.faults += 1;
                    Err(())
                }
                Outcome::Refusal(_) => Err(()),
                Outcome::Answer(other) => panic!("an append was answered with {other:?}"),
            };
            let number = answer.map_or(1, |offset: Offset| offset.0 as u64 + 2);
            self.report.fingerprint =
                self.report.fingerprint.wrapping_mul(0x100_0000_01b3) ^ number ^ id << 32;
            let connection = (request.producer, request.connection);
            self.answered.insert(id, answer);
            self.send_answers(connection);
        }
    }

    /// The gateway's part: answers leave a connection in the order of its requests.
    fn send_answers(&mut self, connection: (u32, u32)) {
        while let Some(&id) = self.order.get(&connection).and_then(VecDeque::front) {
            let Some(answer) = self.answered.remove(&id) else {
                return;
            };
            self.order.get_mut(&connection).map(VecDeque::pop_front);
            self.over_the_wire(connection.1, Step::Reply(id, answer));
        }
    }

    fn reply(&mut self, id: u64, answer: Result<Offset, ()>) {
        let request = self
            .requests
            .remove(&id)
            .expect("a request is answered once");
        let mark = Mark {
            producer: request.producer,
            sequence: request.batch.first,
        };
        if let Ok(offset) = answer {
            let producer = &self.producers[request.producer as usize];
            if producer.idempotent
                && let Some(earlier) = self.acknowledged.insert(mark, offset)
            {
                assert_eq!(
                    earlier, offset,
                    "{mark:?} was acknowledged under two offsets"
                );
            } else {
                self.acknowledged.insert(mark, offset);
            }
        }
        let producer = &mut self.producers[request.producer as usize];
        if request.connection != producer.connection {
            return;
        }
        match answer {
            Ok(_) => {
                self.report.acknowledged += 1;
                producer.acknowledged += 1;
                producer
                    .unanswered
                    .retain(|batch| batch.first != request.batch.first);
                producer.sent -= 1;
                self.send(request.producer);
            }
            Err(()) if producer.idempotent => self.cut(request.producer),
            Err(()) => {
                // Nobody retries for a producer without sequences: what became of it is unknown.
                producer
                    .unanswered
                    .retain(|batch| batch.first != request.batch.first);
                producer.sent -= 1;
                self.send(request.producer);
            }
        }
    }

    /// The connection is gone: what was sent may or may not have arrived, and is sent again.
    fn cut(&mut self, index: u32) {
        let producer = &mut self.producers[index as usize];
        producer.connection += 1;
        producer.sent = 0;
        self.report.cuts += 1;
        if !producer.idempotent {
            producer.unanswered.clear();
        }
        self.later(10, Step::Send(index));
    }

    fn mischief(&mut self) {
        if self.calm {
            return;
        }
        if self
            .producers
            .iter()
            .all(|p| p.batches_made > BATCHES_PER_PRODUCER * 3 / 4)
        {
            self.calm = true;
            return;
        }
        match self.dice.below(3) {
            0 => {
                let victim = self.dice.below(u64::from(PRODUCERS)) as u32;
                self.cut(victim);
            }
            1 => {
                // Not before every producer is known: a producer that the partition has not heard of
                // may begin with any sequence (KAFKA-7190), so if its first batch fails and its second
                // one arrives, the first can never be sent again. Kafka's hazard, and kept.
                let all_known = self
                    .producers
                    .iter()
                    .all(|p| !p.idempotent || p.acknowledged > 0);
                if let Some(fail) = self.world.fail_append.as_ref().filter(|_| all_known) {
                    fail();
                }
            }
            _ => {}
        }
        self.later(60, Step::Mischief);
    }

    fn read(&mut self, reader: usize) {
        let at = self.readers[reader];
        let query = Query::Fetch {
            offset: at,
            isolation: Isolation::ReadUncommitted,
        };
        if let Ok(plan) = self.shard.plan(&query) {
            let bytes_max = 1 + self.dice.below(5000) as usize;
            let read = self
                .shard
                .log()
                .read(plan.start, plan.bound, bytes_max, true)
                .expect("the log can be read");
            let bytes = read.bytes().expect("what was found can be read");
            for (offset, mark) in payload::read(bytes) {
                assert!(
                    offset < plan.bound,
                    "a reader saw {offset}, beyond its bound {}",
                    plan.bound
                );
                let before = self.seen.insert(offset, mark);
                assert!(
                    before.is_none_or(|b| b == mark),
                    "offset {offset} named {before:?}, then {mark:?}"
                );
                self.readers[reader] = self.readers[reader].max(offset.next());
                self.report.read += 1;
            }
        }
        self.later(15, Step::Read(reader));
    }

    /// What a stuck run waits for, in words.
    fn unfinished(&self) -> String {
        let producers: Vec<_> = self
            .producers
            .iter()
            .map(|p| (p.batches_made, p.unanswered.len(), p.sent))
            .collect();
        let marks = self.world.log.marks();
        format!(
            "{} requests out, producers (made, unanswered, sent) {producers:?}, {marks:?}",
            self.requests.len()
        )
    }

    fn is_done(&self) -> bool {
        self.requests.is_empty()
            && self
                .producers
                .iter()
                .all(|p| p.batches_made == BATCHES_PER_PRODUCER && p.unanswered.is_empty())
    }

    fn finish(&mut self) {
        (self.world.flush)();
        let marks = self.world.log.marks();
        assert_eq!(
            marks.durable, marks.written,
            "a flush with nothing in flight makes all durable"
        );
        self.readers[0] = marks.log_start;
        let mut all = Vec::new();
        let mut at = marks.log_start;
        while at < marks.written {
            let read = self
                .world
                .log
                .read(at, marks.durable, 1 << 20, true)
                .expect("the log can be read");
            let records = payload::read(read.bytes().expect("what was found can be read"));
            at = records.last().expect("something below the end").0.next();
            all.extend(records);
        }
        let mut next = vec![0; PRODUCERS as usize];
        for (offset, mark) in &all {
            assert!(
                self.seen.get(offset).is_none_or(|seen| seen == mark),
                "offset {offset} changed"
            );
            if self.producers[mark.producer as usize].idempotent {
                let expected = &mut next[mark.producer as usize];
                assert_eq!(
                    mark.sequence, *expected,
                    "producer {} at {offset}",
                    mark.producer
                );
                *expected += 1;
            }
        }
        for (producer, next) in self.producers.iter().zip(next) {
            assert!(
                !producer.idempotent || next == producer.next_sequence,
                "a batch is missing"
            );
        }
        let there: BTreeMap<_, _> = all.into_iter().collect();
        for (mark, offset) in &self.acknowledged {
            assert_eq!(
                there.get(offset),
                Some(mark),
                "{mark:?} was acknowledged at {offset}"
            );
        }
        let live = self.shard.inspect(Machine::snapshot);
        let rebuilt = self.shard.rebuilt().expect("the log can be replayed");
        assert_eq!(live, rebuilt.snapshot(), "live state is rebuilt state");
    }
}
