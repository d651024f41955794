//! Random conversations against a model that is too simple to be wrong: it remembers every partition
//! in a list, looks at all of them in every fetch as Kafka does, and searches all sessions for the one
//! to evict.

use std::collections::BTreeMap;

use super::cache::EVICTION_MS;
use super::tests::{Heard, asked, name};
use super::*;

const SLOTS: usize = 3;
const PARTITIONS_MAX: usize = 14;
const PARTITIONS: u64 = 6;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The partitions as they are: high watermark, or `None` while there is no such partition.
type World = Vec<Option<i64>>;

#[derive(Clone, Debug)]
struct ModelPartition {
    index: i32,
    offset: i64,
    told: i64,
}

#[derive(Clone, Debug)]
struct ModelSession {
    id: i32,
    epoch: i32,
    is_follower: bool,
    created: u64,
    used: u64,
    partitions: Vec<ModelPartition>,
    /// Replaceable as of its last use, by anybody and by followers.
    evictable: (bool, bool),
}

impl ModelSession {
    fn touch(&mut self, now: u64) {
        self.used = now;
        let settled = now - self.created > EVICTION_MS;
        self.evictable = (settled, settled || !self.is_follower);
    }
}

#[derive(Default)]
struct Model {
    sessions: Vec<ModelSession>,
    evictions: u64,
}

impl Model {
    fn partitions(&self) -> usize {
        self.sessions.iter().map(|s| s.partitions.len()).sum()
    }

    fn remove(&mut self, id: i32) {
        self.sessions.retain(|session| session.id != id);
    }

    fn stale(&self, now: u64, spared: i32) -> Option<i32> {
        let others = self.sessions.iter().filter(|s| s.id != spared);
        let oldest = others.min_by_key(|s| (s.used, s.id))?;
        (now - oldest.used > EVICTION_MS).then_some(oldest.id)
    }

    fn evict(&mut self, id: Option<i32>) -> bool {
        if let Some(id) = id {
            self.remove(id);
            self.evictions += 1;
        }
        id.is_some()
    }

    fn insert(&mut self, mut session: ModelSession) -> bool {
        let now = session.created;
        if session.partitions.len() > PARTITIONS_MAX {
            return false;
        }
        if self.sessions.len() >= SLOTS {
            let worth = |s: &ModelSession| (s.is_follower, s.partitions.len(), s.id);
            let least = self
                .sessions
                .iter()
                .filter(|s| {
                    if session.is_follower {
                        s.evictable.1
                    } else {
                        s.evictable.0
                    }
                })
                .min_by_key(|s| worth(s))
                .filter(|s| (session.is_follower, session.partitions.len(), 0) >= worth(s))
                .map(|s| s.id);
            let victim = self.stale(now, 0).or(least);
            if !self.evict(victim) {
                return false;
            }
        }
        while self.partitions() + session.partitions.len() > PARTITIONS_MAX {
            let victim = self.stale(now, 0);
            if !self.evict(victim) {
                return false;
            }
        }
        session.touch(now);
        self.sessions.push(session);
        true
    }
}

/// What one partition has to say at an offset: standing, high watermark, and whether it has records.
fn look(world: &World, index: i32, offset: i64) -> (Standing, i64, bool) {
    match world[index as usize] {
        None => (Standing::Unknown, -1, false),
        Some(end) if offset > end => (Standing::Refused, -1, false),
        Some(end) => (Standing::Readable, end, offset < end),
    }
}

/// What is told by index: the high watermark, or -1, and whether there were records.
type Told = Vec<(i32, i64, bool)>;

/// The model's answer: all partitions are looked at, those with news are told, those with records go
/// to the end.
fn model_poll(world: &World, partitions: &mut Vec<ModelPartition>, is_full: bool) -> Told {
    let mut seen: Vec<_> = partitions
        .iter()
        .map(|p| (p.clone(), look(world, p.index, p.offset)))
        .collect();
    seen.sort_by_key(|(_, (standing, ..))| *standing == Standing::Unknown);
    let mut told = Vec::new();
    if is_full {
        *partitions = seen.iter().map(|(p, _)| p.clone()).collect();
    }
    for (partition, (standing, end, has_records)) in seen {
        let at = partitions
            .iter()
            .position(|p| p.index == partition.index)
            .unwrap();
        let is_error = standing != Standing::Readable;
        if is_full || is_error || has_records || partitions[at].told != end {
            told.push((partition.index, end, has_records));
        }
        partitions[at].told = end;
        if has_records && !is_full {
            let moved = partitions.remove(at);
            partitions.push(moved);
        }
    }
    told
}

/// The other side: looks at what is due, and settles what has nothing. Knows which keys a real broker
/// would name when their partition moves.
#[derive(Default)]
struct Listening(BTreeMap<(i32, u64), i32>);

struct Run {
    random: Random,
    sessions: FetchSessions<Heard>,
    model: Model,
    world: World,
    listening: Listening,
    now: u64,
    next_id: i32,
    looks: usize,
    model_looks: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            random: Random(seed),
            sessions: FetchSessions::new(SLOTS, PARTITIONS_MAX),
            model: Model::default(),
            world: vec![Some(3); PARTITIONS as usize],
            listening: Listening::default(),
            now: 1,
            next_id: 0,
            looks: 0,
            model_looks: 0,
        }
    }

    fn step(&mut self) {
        self.now += match self.random.below(12) {
            0 => self.random.below(2 * EVICTION_MS),
            _ => self.random.below(1_000),
        };
        match self.random.below(10) {
            0 | 1 => self.change_world(),
            2 => self.full(),
            _ => self.incremental(),
        }
        let mut figures = None;
        self.sessions.show(|shown| figures = Some(shown));
        let expected = Figures {
            sessions: self.model.sessions.len(),
            partitions: self.model.partitions(),
            evictions: self.model.evictions,
        };
        assert_eq!(figures, Some(expected));
    }

    fn change_world(&mut self) {
        let index = self.random.below(PARTITIONS) as usize;
        self.world[index] = match self.world[index] {
            Some(_) if self.random.one_in(8) => None,
            Some(end) => Some(end + 1),
            None => Some(2),
        };
        // Whoever was promised to hear of it hears of it: its link, if a session still has one.
        let heard: Vec<_> = self.listening.0.iter().map(|(k, v)| (*k, *v)).collect();
        for ((id, key), at) in heard {
            if at == index as i32 {
                self.listening.0.remove(&(id, key));
                let cache = lock(&self.sessions.cache);
                if let Some(held) = cache.get(id)
                    && let Some(link) = &mut lock(held).link
                {
                    link.moved.push(key);
                }
            }
        }
    }

    fn some_partitions(&mut self) -> Vec<ModelPartition> {
        let count = self.random.below(PARTITIONS) as i32;
        let mut chosen: Vec<ModelPartition> = Vec::new();
        for _ in 0..count {
            let index = self.random.below(PARTITIONS) as i32;
            let end = self.world[index as usize].unwrap_or(1);
            let offset = match self.random.below(4) {
                0 => self.random.below(6) as i64,
                _ => end,
            };
            chosen.retain(|p| p.index != index);
            chosen.push(ModelPartition {
                index,
                offset,
                told: -1,
            });
        }
        chosen
    }

    fn request(&self, id: i32, epoch: i32, partitions: &[ModelPartition]) -> Request {
        Request {
            session_id: id,
            session_epoch: epoch,
            by_id: false,
            reader: Reader::default(),
            asked: partitions
                .iter()
                .map(|p| Asked {
                    fetch_offset: p.offset,
                    ..asked(name("t"), p.index)
                })
                .collect(),
            forgotten: Vec::new(),
        }
    }

    /// Looks at what is due and records it.
    fn poll(&mut self, poll: Poll<Heard>, id: i32) -> (i32, Told) {
        let mut said = BTreeMap::new();
        let mut tidings = Vec::new();
        self.looks += poll.due.len();
        for due in &poll.due {
            let index = due.asked.partition;
            let (standing, high_watermark, has_records) =
                look(&self.world, index, due.asked.fetch_offset);
            let settled = standing == Standing::Readable && !has_records;
            if settled {
                self.listening.0.insert((id, due.key), index);
            }
            said.insert(due.key, (index, high_watermark, has_records));
            tidings.push(Tidings {
                key: due.key,
                standing,
                high_watermark,
                log_start: if standing == Standing::Readable {
                    0
                } else {
                    -1
                },
                has_records,
                settled,
                name: None,
            });
        }
        let answer = self
            .sessions
            .finish(poll, &tidings, MonoMs(self.now), || id)
            .unwrap();
        let told = answer.told.iter().map(|key| said[key]).collect();
        (answer.session_id, told)
    }

    fn full(&mut self) {
        let closes = match self.model.sessions.first() {
            Some(session) if self.random.one_in(3) => session.id,
            _ => 0,
        };
        let wants = !self.random.one_in(4);
        let is_follower = self.random.one_in(5);
        let mut partitions = self.some_partitions();
        let mut request = self.request(closes, if wants { 0 } else { -1 }, &partitions);
        request.reader.is_follower = is_follower;
        self.next_id += 1;
        let id = self.next_id;
        let poll = self.sessions.begin(request, MonoMs(self.now)).unwrap();
        let (session_id, told) = self.poll(poll, id);

        self.model.remove(closes);
        let expected = model_poll(&self.world, &mut partitions, true);
        assert_eq!(told, expected);
        let created = ModelSession {
            id,
            epoch: 1,
            is_follower,
            created: self.now,
            used: self.now,
            partitions,
            evictable: (false, false),
        };
        let is_kept = wants && self.model.insert(created);
        assert_eq!(session_id, if is_kept { id } else { 0 });
    }

    fn incremental(&mut self) {
        let at = self.random.below(SLOTS as u64) as usize;
        let Some(session) = self.model.sessions.get(at).cloned() else {
            let unknown = self.request(1_000_000, 1, &[]);
            let refused = self.sessions.begin(unknown, MonoMs(self.now));
            assert_eq!(refused.unwrap_err(), SessionError::IdNotFound);
            return;
        };
        if self.random.one_in(10) {
            let wrong = self.request(session.id, session.epoch + 1, &[]);
            let refused = self.sessions.begin(wrong, MonoMs(self.now));
            assert_eq!(refused.unwrap_err(), SessionError::InvalidEpoch);
        }
        let asked = if self.random.one_in(2) {
            self.some_partitions()
        } else {
            Vec::new()
        };
        let mut request = self.request(session.id, session.epoch, &asked);
        request.reader.is_follower = session.is_follower;
        let mut partitions = session.partitions.clone();
        for new in &asked {
            match partitions.iter_mut().find(|p| p.index == new.index) {
                Some(old) => old.offset = new.offset,
                None => partitions.push(new.clone()),
            }
        }
        if self.random.one_in(4) {
            for _ in 0..=self.random.below(4) {
                let index = self.random.below(PARTITIONS) as i32;
                request.forgotten.push((name("t"), index));
                partitions.retain(|p| p.index != index);
            }
        }
        let begun = self.sessions.begin(request, MonoMs(self.now));

        if partitions.is_empty() {
            self.model.remove(session.id);
            let mut partitions = asked;
            let expected = model_poll(&self.world, &mut partitions, true);
            assert_eq!(self.poll(begun.unwrap(), session.id), (0, expected));
            return;
        }
        let grew = partitions.len() > session.partitions.len();
        let held = self.model.sessions.iter_mut().find(|s| s.id == session.id);
        let held = held.unwrap();
        held.partitions = partitions;
        held.touch(self.now);
        held.epoch += 1;
        let mut fits = true;
        while grew && fits && self.model.partitions() > PARTITIONS_MAX {
            let victim = self.model.stale(self.now, session.id);
            fits = self.model.evict(victim);
        }
        if !fits {
            self.model.evict(Some(session.id));
            assert_eq!(begun.unwrap_err(), SessionError::IdNotFound);
            return;
        }
        let poll = begun.unwrap();
        if self.random.one_in(20) {
            // The connection broke: nobody records what was found.
            self.listening.0.retain(|(id, _), _| *id != session.id);
            return;
        }
        let held = self.model.sessions.iter_mut().find(|s| s.id == session.id);
        let partitions = &mut held.unwrap().partitions;
        self.model_looks += partitions.len();
        let expected = model_poll(&self.world, partitions, false);
        assert_eq!(self.poll(poll, session.id), (session.id, expected));
    }
}

#[test]
fn random_conversations_say_what_the_model_says() {
    let base = std::env::var("OTTLA_SEED").ok();
    let seeds = match base.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 1..400,
    };
    let (mut looks, mut model_looks) = (0, 0);
    for seed in seeds {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        for _ in 0..300 {
            run.step();
        }
        looks += run.looks;
        model_looks += run.model_looks;
    }
    // Or else the sessions remember nothing, and the rest proves little.
    println!("{looks} looks where the model has {model_looks}");
    assert!(looks < model_looks);
}
