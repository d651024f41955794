//! Random histories of a store, and what was said in them, each with the number of disk operations
//! that had happened.

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use ottla_log::{AppendItem, LocalStore, Log, LogFault, LogStore, MarkListener};
use ottla_model::ids::LeaderEpoch;
use ottla_model::marks::Marks;

use super::CrashPlan;
use super::oracle::{Facts, Key, Note, ROOT, TOPICS, held_by, name, options};
use crate::conformance::{Batch, BatchMaker, Random, spec};
use crate::sim_disk::{DiskError, Fault, Operation, SimDisk};

/// The store from one power loss to the next.
pub(super) struct Life {
    pub(super) nth: usize,
    pub(super) disk: SimDisk,
    /// The operation that its images begin with.
    pub(super) first_operation: u64,
    /// What was known before it.
    pub(super) facts_before: Facts,
    /// What was said in it, after how many operations.
    pub(super) notes: Vec<(u64, Note)>,
}

type Notes = Arc<Mutex<Vec<(u64, Note)>>>;

/// Tells the notes when a durable mark moves, from within the round.
struct Listener {
    key: Key,
    disk: SimDisk,
    notes: Notes,
}

impl MarkListener for Listener {
    fn advanced(&self, marks: Marks) {
        let note = Note::Durable(self.key, marks.durable);
        self.notes
            .lock()
            .expect("no test panics in here")
            .push((self.disk.operations(), note));
    }
    fn closed(&self, _: &LogFault) {}
}

struct Open {
    key: Key,
    log: Arc<dyn Log>,
    maker: BatchMaker,
    _listener: Arc<Listener>,
}

struct Player<'a> {
    plan: &'a CrashPlan,
    random: Random,
    disk: SimDisk,
    notes: Notes,
    facts_before: Facts,
    store: Option<Arc<LocalStore>>,
    open: Vec<Open>,
    /// Newest incarnation of each topic.
    incarnations: [u8; TOPICS.len()],
    wanted: [bool; TOPICS.len()],
    lives: Vec<Life>,
}

/// Plays one history.
pub(super) fn play(plan: &CrashPlan, seed: u64) -> Vec<Life> {
    let disk = SimDisk::new();
    disk.record();
    let mut player = Player {
        plan,
        random: Random::new(seed),
        disk,
        notes: Notes::default(),
        facts_before: Facts::default(),
        store: None,
        open: Vec::new(),
        incarnations: [0; TOPICS.len()],
        wanted: [false; TOPICS.len()],
        lives: Vec::new(),
    };
    player.start();
    for _ in 0..plan.steps {
        player.step();
    }
    player.end_life();
    player.lives
}

impl Player<'_> {
    fn step(&mut self) {
        match self.random.below(100) {
            _ if self.open.is_empty() => self.create(),
            0..50 => self.append(false),
            50..60 => self.append(true),
            60..80 => {
                self.store().flush_round();
            }
            80..84 => self.failing_append(),
            84..87 => self.create(),
            87..89 => self.remove(),
            89..91 => self.begin_epoch(),
            91..94 => self.stop(false),
            94..97 => self.stop(true),
            _ => self.lose_power(),
        }
    }

    fn store(&self) -> Arc<LocalStore> {
        self.store.clone().expect("a store is open between steps")
    }

    fn note(&self, note: Note) {
        self.notes
            .lock()
            .expect("no test panics in here")
            .push((self.disk.operations(), note));
    }

    /// Opens the store and the logs that are wanted.
    fn start(&mut self) {
        let options = options(self.plan, self.random.number());
        let disk = Arc::new(self.disk.clone());
        let (store, report) =
            LocalStore::open(disk, Path::new(ROOT), options).expect("the disk is well");
        for found in &report.directories {
            let topic = TOPICS
                .iter()
                .position(|topic| *topic == &*found.topic)
                .expect("a known topic");
            let old = (1..=self.incarnations[topic])
                .map(|incarnation| (topic, incarnation))
                .find(|key| found.topic_id == Some(name(*key).topic_id))
                .filter(|key| !(self.wanted[topic] && key.1 == self.incarnations[topic]));
            if let Some(old) = old {
                store.remove_log(&name(old)).expect("the disk is well");
            } else if !self.wanted[topic] {
                store.quarantine(&found.name).expect("the disk is well");
            }
        }
        self.store = Some(store);
        for topic in 0..TOPICS.len() {
            if self.wanted[topic] {
                self.open_log((topic, self.incarnations[topic]));
            }
        }
    }

    fn open_log(&mut self, key: Key) {
        self.note(Note::Wanted(key));
        let (log, _) = self
            .store()
            .open_log(&spec(TOPICS[key.0], key.1))
            .expect("the disk is well");
        let listener = Arc::new(Listener {
            key,
            disk: self.disk.clone(),
            notes: self.notes.clone(),
        });
        let weak: Weak<dyn MarkListener> =
            Arc::downgrade(&(listener.clone() as Arc<dyn MarkListener>));
        log.listen(weak);
        let marks = log.marks();
        self.note(Note::Held(key, held_by(&*log).expect("the disk is well")));
        self.note(Note::Ended(key, marks.written));
        let mut maker = BatchMaker::new(self.random.number());
        maker.next = marks.written;
        // Some batches span several sectors and pages.
        maker.value_bytes_max = [50, 400, 3_000][self.random.below(3) as usize];
        let epoch = log.epoch_at(marks.written).map_or(0, |epoch| epoch.0 + 1);
        maker.epoch = LeaderEpoch(epoch);
        log.begin_epoch(maker.epoch).expect("the disk is well");
        if self.random.below(2) == 0 {
            self.store()
                .prepare_appends(&[name(key)])
                .expect("the disk is well");
            self.store().settle();
        }
        self.open.push(Open {
            key,
            log,
            maker,
            _listener: listener,
        });
    }

    fn create(&mut self) {
        let topic = self.random.below(TOPICS.len() as u64) as usize;
        if !self.wanted[topic] {
            self.wanted[topic] = true;
            self.incarnations[topic] += 1;
            self.open_log((topic, self.incarnations[topic]));
        }
    }

    fn remove(&mut self) {
        let at = self.random.below(self.open.len() as u64) as usize;
        let Open { key, .. } = self.open.swap_remove(at);
        self.wanted[key.0] = false;
        self.note(Note::Removing(key));
        self.store()
            .remove_log(&name(key))
            .expect("the disk is well");
        self.note(Note::Removed(key));
    }

    fn begin_epoch(&mut self) {
        let at = self.random.below(self.open.len() as u64) as usize;
        let open = &mut self.open[at];
        open.maker.epoch.0 += 1;
        open.log
            .begin_epoch(open.maker.epoch)
            .expect("the disk is well");
    }

    /// Batches for some log, behind a roll perhaps.
    fn items(&mut self, roll: bool) -> (usize, Vec<Batch>, Vec<AppendItem>) {
        let at = self.random.below(self.open.len() as u64) as usize;
        let open = &mut self.open[at];
        let mut items = Vec::new();
        let mut batches = Vec::new();
        let roll_before = self.random.below(2);
        for nth in 0..=self.random.below(3) {
            let base_offset = open.maker.next;
            let active = batches.is_empty() && open.log.active_segment().base_offset == base_offset;
            if roll && nth == roll_before && !active {
                let snapshot = Bytes::from(vec![
                    self.random.number() as u8;
                    self.random.below(1_500) as usize
                ]);
                items.push(AppendItem::Roll {
                    base_offset,
                    snapshot: Some(snapshot),
                });
            }
            let batch = open.maker.batch();
            items.push(batch.item());
            batches.push(batch);
        }
        (at, batches, items)
    }

    fn append(&mut self, roll: bool) {
        let (at, batches, items) = self.items(roll);
        let (key, log) = (self.open[at].key, self.open[at].log.clone());
        self.note(Note::Attempted(key, batches.clone()));
        let marks = log.append(&items).expect("the disk is well");
        self.note(Note::Exposed(key, batches));
        for item in items {
            if let AppendItem::Roll {
                base_offset,
                snapshot: Some(bytes),
            } = item
            {
                self.note(Note::Snapshot(key, base_offset, bytes));
            }
        }
        self.note(Note::Durable(key, marks.durable));
    }

    /// An append that the disk refuses, in the middle of a write or of a roll.
    fn failing_append(&mut self) {
        let roll = self.random.one_in(2);
        let (at, batches, items) = self.items(roll);
        let (key, log) = (self.open[at].key, self.open[at].log.clone());
        let before = batches[0].head.base_offset;
        let operation = [
            Operation::Write,
            Operation::Write,
            Operation::CreateFile,
            Operation::Rename,
        ];
        let operation = operation[self.random.below(4) as usize];
        let fault = Fault::new(operation, DiskError::NoSpace)
            .on(["", ".log", ".tmp"][self.random.below(3) as usize])
            .after(self.random.below(3))
            .short(self.random.below(2_000) as usize);
        self.disk.inject(fault);
        self.note(Note::Attempted(key, batches.clone()));
        let result = log.append(&items);
        self.disk.heal();
        match result {
            Ok(marks) => {
                self.note(Note::Exposed(key, batches));
                self.note(Note::Durable(key, marks.durable));
            }
            Err(_) => {
                self.note(Note::Refused(key, batches));
                self.open[at].maker.next = before;
            }
        }
    }

    /// Stops the process, cleanly or not, and starts it again on the same disk.
    fn stop(&mut self, clean: bool) {
        let store = self.store.take().expect("a store is open between steps");
        if clean {
            store.close().expect("the disk is well");
            for open in &self.open {
                self.note(Note::Durable(open.key, open.log.marks().durable));
            }
        }
        self.open.clear();
        drop(store);
        self.start();
    }

    /// Loses the power: the next life begins with what one possible disk holds.
    fn lose_power(&mut self) {
        let next = self.disk.crash(self.random.number());
        self.end_life();
        self.facts_before.power_was_lost(self.plan.durability);
        self.disk = next;
        self.disk.record();
        self.start();
    }

    /// Keeps what there is to visit, and gives the store up.
    fn end_life(&mut self) {
        self.open.clear();
        self.store = None;
        let notes = std::mem::take(&mut *self.notes.lock().expect("no test panics in here"));
        let life = Life {
            nth: self.lives.len(),
            disk: self.disk.clone(),
            first_operation: 0,
            facts_before: self.facts_before.clone(),
            notes,
        };
        life.notes
            .iter()
            .for_each(|(_, note)| self.facts_before.learn(note));
        self.lives.push(life);
    }
}
