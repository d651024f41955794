//! A history over the simulated disk, and what has to hold wherever it is cut off.
//!
//! A history notes what the world was told, and after how many disk operations. Every operation is a
//! crash point: the disk as a crash there may have left it is started over, and every note made until
//! then has to be true of it.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker::shard::Outcome;
use ottla_log::Durability;
use ottla_log::store::LogStore;
use ottla_machine::contract::Wait;
use ottla_machine::partition::{Answer, Command, Isolation, Query};
use ottla_model::ids::Offset;
use ottla_model::uuid::Uuid;
use ottla_testkit::sim_disk::SimDisk;

use crate::cluster::{Cluster, NOW, Planted};
use crate::payload::{self, Mark};
use crate::random::Random;

/// Steps of one history.
const STEPS: u32 = 90;
/// Possible disks after a power loss at one point.
const CRASHES_PER_POINT: u64 = 6;

/// What was promised, and to whom.
#[derive(Clone, Debug)]
enum Note {
    /// A producer was told this offset.
    Acked {
        topic: Uuid,
        offset: Offset,
        mark: Mark,
        wait: Wait,
    },
    /// A reader saw this record.
    Read {
        topic: Uuid,
        offset: Offset,
        mark: Mark,
    },
    /// Someone was told that this topic exists.
    Created { topic: Uuid },
    /// Someone asked for this topic to be deleted.
    DeleteAsked { topic: Uuid },
    /// Someone was told that it is.
    Deleted { topic: Uuid },
}

/// How a history ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Death {
    /// The process: the page cache survives.
    Kill,
    /// The machine.
    Power,
}

/// What was tried.
#[derive(Clone, Copy, Default, Debug)]
pub struct Count {
    /// Disks that were started over.
    pub states: u64,
    /// Of these, disks that crashed again while they were started.
    pub twice: u64,
    /// Promises that were checked.
    pub promises: u64,
    /// Disk operations of the histories.
    pub operations: u64,
}

struct History {
    cluster: Cluster,
    disk: SimDisk,
    dice: Random,
    notes: Vec<(u64, Note)>,
    /// By request, what was appended where.
    asked: BTreeMap<u64, (Uuid, Mark, u32, Wait)>,
    read_to: BTreeMap<Uuid, Offset>,
    next_sequence: u32,
    topics_made: u32,
}

/// Runs the history of a seed and checks it at every disk operation.
///
/// # Errors
/// The first broken promise, in words that name seed, operation and crash.
pub fn run(seed: u64, durability: Durability, planted: Planted) -> Result<Count, String> {
    let disk = SimDisk::new();
    disk.record();
    let cluster = Cluster::boot(&disk, durability, planted, seed)
        .map_err(|e| format!("seed {seed}: {e:?}"))?;
    let mut history = History {
        cluster,
        disk,
        dice: Random::new(seed),
        notes: Vec::new(),
        asked: BTreeMap::new(),
        read_to: BTreeMap::new(),
        next_sequence: 0,
        topics_made: 0,
    };
    history.create();
    for _ in 0..STEPS {
        history.step();
    }
    history.check_all(seed, durability, planted)
}

impl History {
    fn note(&mut self, note: Note) {
        self.notes.push((self.disk.operations(), note));
    }

    fn create(&mut self) {
        let name = format!("topic-{}", self.topics_made);
        self.topics_made += 1;
        let topic = self.cluster.create(&name).expect("the disk is well");
        self.note(Note::Created { topic });
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0 if self.topics_made < 4 => self.create(),
            1 if self.cluster.partitions.len() > 2 && self.dice.one_in(3) => self.delete(),
            0..=7 => self.append(),
            8..=10 => self.read(),
            11..=13 => {
                self.cluster.store.flush_round();
            }
            _ => self.run_all(),
        }
        self.pick_up();
    }

    fn any_topic(&mut self) -> Uuid {
        let index = self.dice.below(self.cluster.partitions.len() as u64) as usize;
        *self
            .cluster
            .partitions
            .keys()
            .nth(index)
            .expect("an index below the length")
    }

    fn append(&mut self) {
        let topic = self.any_topic();
        let count = 1 + self.dice.below(3) as u32;
        let first = Mark {
            producer: 1,
            sequence: self.next_sequence,
        };
        self.next_sequence += count;
        let wait = if self.dice.one_in(3) {
            Wait::Written
        } else {
            Wait::Durable
        };
        let filler_bytes = self.dice.below(500) as usize;
        let batch = payload::batch(first, count, false, filler_bytes, NOW.wall.0);
        let request = u64::from(first.sequence);
        self.asked.insert(request, (topic, first, count, wait));
        let shard = &self.cluster.partitions[&topic].1;
        shard.submit(
            request,
            Command::Append {
                batch,
                wait,
                append_time: false,
            },
        );
        if self.dice.one_in(2) {
            shard.run(NOW);
        }
    }

    fn run_all(&mut self) {
        for (_, shard) in self.cluster.partitions.values() {
            shard.run(NOW);
        }
    }

    fn delete(&mut self) {
        let topic = self.any_topic();
        self.pick_up();
        self.note(Note::DeleteAsked { topic });
        self.cluster.delete(topic).expect("the disk is well");
        self.note(Note::Deleted { topic });
    }

    fn read(&mut self) {
        let topic = self.any_topic();
        let at = *self.read_to.entry(topic).or_default();
        for (offset, mark) in read_from(&self.cluster, topic, at) {
            self.read_to.insert(topic, offset.next());
            self.note(Note::Read {
                topic,
                offset,
                mark,
            });
        }
    }

    fn pick_up(&mut self) {
        let shards: Vec<_> = self
            .cluster
            .partitions
            .values()
            .map(|(_, shard)| shard.clone())
            .collect();
        for shard in shards {
            while let Some((request, outcome)) = shard.outlet().next() {
                let Outcome::Answer(Answer::Appended { base_offset, .. }) = outcome else {
                    panic!("a healthy disk, and an append was not taken");
                };
                let (topic, first, count, wait) = self.asked[&request];
                for delta in 0..count {
                    let mark = Mark {
                        sequence: first.sequence + delta,
                        ..first
                    };
                    let offset = base_offset + i64::from(delta);
                    self.note(Note::Acked {
                        topic,
                        offset,
                        mark,
                        wait,
                    });
                }
            }
        }
    }

    fn check_all(
        &self,
        seed: u64,
        durability: Durability,
        planted: Planted,
    ) -> Result<Count, String> {
        let mut count = Count {
            operations: self.disk.operations(),
            ..Count::default()
        };
        let deaths: &[Death] = match durability {
            Durability::Synced => &[Death::Kill, Death::Power],
            // Without syncs a power loss may take anything.
            Durability::Os => &[Death::Kill],
        };
        for operation in 0..=self.disk.operations() {
            let told = self.notes.partition_point(|(at, _)| *at <= operation);
            let notes: Vec<_> = self.notes[..told]
                .iter()
                .map(|(_, note)| note.clone())
                .collect();
            let left = self
                .disk
                .recorded(operation)
                .expect("the history was recorded from its start");
            for death in deaths {
                let variants = if *death == Death::Power {
                    CRASHES_PER_POINT
                } else {
                    1
                };
                for variant in 0..variants {
                    let crash = Random::new(seed ^ operation << 20 ^ variant << 50).bits();
                    let image = match death {
                        Death::Kill => left.kill_image(),
                        Death::Power => left.crash(crash),
                    };
                    let case = Case {
                        notes: &notes,
                        death: *death,
                        durability,
                        planted,
                        crash,
                    };
                    case.check(&image, &mut count).map_err(|broken| {
                        format!("seed {seed}, {death:?} after operation {operation}, crash {crash}: {broken}")
                    })?;
                }
            }
        }
        Ok(count)
    }
}

struct Case<'n> {
    notes: &'n [Note],
    death: Death,
    durability: Durability,
    planted: Planted,
    crash: u64,
}

impl Case<'_> {
    fn check(&self, image: &SimDisk, count: &mut Count) -> Result<(), String> {
        count.states += 1;
        if self.crash % 8 == 3 {
            count.twice += 1;
            image.record();
            // Recovery only has to survive here; whether it succeeds is judged below.
            let _ = Cluster::boot(image, self.durability, self.planted, self.crash);
            let operation = Random::new(self.crash).below(image.operations() + 1);
            let again = image
                .recorded(operation)
                .ok_or("the start was not recorded")?;
            let again = match self.death {
                Death::Kill => again.kill_image(),
                Death::Power => again.crash(self.crash ^ 77),
            };
            return self.check_start(&again, count);
        }
        self.check_start(image, count)
    }

    fn check_start(&self, image: &SimDisk, count: &mut Count) -> Result<(), String> {
        let cluster = Cluster::boot(image, self.durability, self.planted, self.crash)
            .map_err(|error| format!("the start failed: {error:?}"))?;
        let mut there: BTreeMap<Uuid, BTreeMap<Offset, Mark>> = BTreeMap::new();
        for topic in cluster.partitions.keys() {
            there.insert(
                *topic,
                read_from(&cluster, *topic, Offset::ZERO)
                    .into_iter()
                    .collect(),
            );
        }
        let deleted = |asked: bool| -> BTreeSet<Uuid> {
            let ids = self.notes.iter().filter_map(|note| match note {
                Note::DeleteAsked { topic } if asked => Some(*topic),
                Note::Deleted { topic } if !asked => Some(*topic),
                _ => None,
            });
            ids.collect()
        };
        let (asked, gone) = (deleted(true), deleted(false));
        if let Some(topic) = gone.iter().find(|topic| there.contains_key(topic)) {
            return Err(format!("topic {topic} was deleted and is there"));
        }
        let mut exposed: BTreeMap<Uuid, Offset> = BTreeMap::new();
        for note in self.notes {
            count.promises += 1;
            let (topic, offset, mark, kept) = match note {
                Note::Created { topic } => {
                    if !there.contains_key(topic) && !asked.contains(topic) {
                        return Err(format!("topic {topic} was created and is not there"));
                    }
                    continue;
                }
                Note::DeleteAsked { .. } | Note::Deleted { .. } => continue,
                Note::Acked {
                    topic,
                    offset,
                    mark,
                    wait,
                } => (
                    topic,
                    offset,
                    mark,
                    self.death == Death::Kill || *wait == Wait::Durable,
                ),
                Note::Read {
                    topic,
                    offset,
                    mark,
                } => (topic, offset, mark, true),
            };
            let Some(records) = there.get(topic) else {
                continue;
            };
            let highest = exposed.entry(*topic).or_insert(*offset);
            *highest = (*highest).max(*offset);
            match records.get(offset) {
                Some(found) if found == mark => {}
                Some(found) => {
                    return Err(format!(
                        "{topic} offset {offset} named {mark:?}, now {found:?}"
                    ));
                }
                None if kept => {
                    return Err(format!(
                        "{topic} offset {offset}, {mark:?}, is lost: {note:?}"
                    ));
                }
                None => {}
            }
        }
        for (topic, highest) in exposed {
            self.check_next_offset(&cluster, topic, highest)?;
        }
        Ok(())
    }

    /// What is appended next gets an offset that nobody was told of before, and can be read.
    fn check_next_offset(
        &self,
        cluster: &Cluster,
        topic: Uuid,
        highest: Offset,
    ) -> Result<(), String> {
        let shard = &cluster.partitions[&topic].1;
        let mark = Mark {
            producer: 9,
            sequence: 0,
        };
        let batch = payload::batch(mark, 1, false, 0, NOW.wall.0);
        shard.submit(
            0,
            Command::Append {
                batch,
                wait: Wait::Durable,
                append_time: false,
            },
        );
        shard.run(NOW);
        cluster.store.flush_round();
        match shard.outlet().next() {
            Some((_, Outcome::Answer(Answer::Appended { base_offset, .. })))
                if base_offset > highest =>
            {
                let read = read_from(cluster, topic, base_offset);
                if read.first() == Some(&(base_offset, mark)) {
                    return Ok(());
                }
                Err(format!("{topic}: appended at {base_offset}, read {read:?}"))
            }
            Some((_, Outcome::Answer(answer))) => Err(format!(
                "{topic}: offset {highest} was told before, then {answer:?}"
            )),
            _ => Err(format!("{topic} takes no append after the start")),
        }
    }
}

/// All that a reader may see from an offset on.
fn read_from(cluster: &Cluster, topic: Uuid, from: Offset) -> Vec<(Offset, Mark)> {
    let shard = &cluster.partitions[&topic].1;
    let mut found: Vec<(Offset, Mark)> = Vec::new();
    let mut at = from.max(shard.log().marks().log_start);
    loop {
        let query = Query::Fetch {
            offset: at,
            isolation: Isolation::ReadUncommitted,
        };
        let Ok(plan) = shard.plan(&query) else {
            return found;
        };
        let read = shard
            .log()
            .read(plan.start, plan.bound, 1 << 16, true)
            .expect("what is there can be read");
        let records = payload::read(read.bytes().expect("what was found can be read"));
        let Some((last, _)) = records.last() else {
            return found;
        };
        let start = at;
        at = last.next();
        found.extend(records.into_iter().filter(|(offset, _)| *offset >= start));
    }
}
