//! Which fetch sessions there are, and who has to leave for whom (Kafka `FetchSessionCacheShard`).
//!
//! There are so many slots. When all are taken, a new session takes the place of one that was not used
//! for two minutes; else of one that is worth less: a consumer's for a follower, a smaller one for a
//! larger, as long as that one has lived for two minutes. Beyond Kafka, the partitions of all sessions
//! together are bounded too. Sessions die by that, by being closed, and never with a connection: a
//! client that vanished holds a slot only as long as nobody wants it. Data in, data out.

use std::collections::{BTreeSet, HashMap};

use ottla_model::time::MonoMs;

/// Time without use after which any other session may take the slot, and age from which a larger one
/// may, ms (Kafka `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
pub(crate) const EVICTION_MS: u64 = 120_000;

/// Sessions of the kind `S` by id.
#[derive(Debug)]
pub(crate) struct Cache<S> {
    slots: usize,
    partitions_max: usize,
    sessions: HashMap<i32, Entry<S>>,
    last_used: BTreeSet<(MonoMs, i32)>,
    evictable_by_all: BTreeSet<Worth>,
    evictable_by_privileged: BTreeSet<Worth>,
    partitions: usize,
    evictions: u64,
    /// What was evicted and not yet taken away.
    evicted: Vec<S>,
}

#[derive(Debug)]
struct Entry<S> {
    session: S,
    created: MonoMs,
    used: MonoMs,
    worth: Worth,
}

/// What a session is worth: followers' ones more than others, then by number of partitions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Worth {
    privileged: bool,
    partitions: usize,
    id: i32,
}

impl<S> Cache<S> {
    pub(crate) fn new(slots: usize, partitions_max: usize) -> Cache<S> {
        Cache {
            slots,
            partitions_max,
            sessions: HashMap::new(),
            last_used: BTreeSet::new(),
            evictable_by_all: BTreeSet::new(),
            evictable_by_privileged: BTreeSet::new(),
            partitions: 0,
            evictions: 0,
            evicted: Vec::new(),
        }
    }

    pub(crate) fn get(&self, id: i32) -> Option<&S> {
        self.sessions.get(&id).map(|entry| &entry.session)
    }

    /// Takes a session in under a fresh id of `ids`, if there is room or can be made.
    pub(crate) fn insert(
        &mut self,
        now: MonoMs,
        privileged: bool,
        partitions: usize,
        mut ids: impl FnMut() -> i32,
        session: S,
    ) -> Option<i32> {
        if partitions > self.partitions_max {
            return None;
        }
        let newcomer = Worth {
            privileged,
            partitions,
            id: 0,
        };
        if self.sessions.len() >= self.slots && !self.evict_for(newcomer, now) {
            return None;
        }
        if !self.make_room(partitions, None, now) {
            return None;
        }
        let id = loop {
            let id = ids() & i32::MAX;
            if id != 0 && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let entry = Entry {
            session,
            created: now,
            used: now,
            worth: Worth { id, ..newcomer },
        };
        self.sessions.insert(id, entry);
        self.partitions += partitions;
        self.last_used.insert((now, id));
        self.list_evictable(id, now);
        Some(id)
    }

    /// A session was used and has so many partitions now. If it may not have that many, it is
    /// removed, and the answer is false.
    pub(crate) fn touch(&mut self, id: i32, partitions: usize, now: MonoMs) -> bool {
        let Some(entry) = self.sessions.get_mut(&id) else {
            return false;
        };
        let old = entry.worth;
        self.last_used.remove(&(entry.used, id));
        entry.used = now;
        entry.worth.partitions = partitions;
        self.last_used.insert((now, id));
        self.evictable_by_all.remove(&old);
        self.evictable_by_privileged.remove(&old);
        self.partitions = self.partitions - old.partitions + partitions;
        self.list_evictable(id, now);
        if partitions > old.partitions && !self.make_room(0, Some(id), now) {
            self.evict(id);
            return false;
        }
        true
    }

    pub(crate) fn remove(&mut self, id: i32) -> Option<S> {
        let entry = self.sessions.remove(&id)?;
        self.last_used.remove(&(entry.used, id));
        self.evictable_by_all.remove(&entry.worth);
        self.evictable_by_privileged.remove(&entry.worth);
        self.partitions -= entry.worth.partitions;
        Some(entry.session)
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Partitions of all sessions together.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sessions that had to leave for others, ever.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// The sessions that had to leave since the last call, for who can drop them at leisure.
    pub(crate) fn take_evicted(&mut self) -> Vec<S> {
        std::mem::take(&mut self.evicted)
    }

    /// Lists a session among those that others may replace, if that is so by now. As in Kafka, that
    /// is looked at when a session is used, not when a slot is wanted.
    fn list_evictable(&mut self, id: i32, now: MonoMs) {
        let Some(entry) = self.sessions.get(&id) else {
            return;
        };
        let settled = now.0.saturating_sub(entry.created.0) > EVICTION_MS;
        if settled || !entry.worth.privileged {
            self.evictable_by_privileged.insert(entry.worth);
        }
        if settled {
            self.evictable_by_all.insert(entry.worth);
        }
    }

    fn evict_for(&mut self, newcomer: Worth, now: MonoMs) -> bool {
        if let Some(id) = self.stale(None, now) {
            self.evict(id);
            return true;
        }
        let evictable = if newcomer.privileged {
            &self.evictable_by_privileged
        } else {
            &self.evictable_by_all
        };
        match evictable.first().copied() {
            Some(least) if newcomer >= least => {
                self.evict(least.id);
                true
            }
            _ => false,
        }
    }

    /// Evicts stale sessions, but for `spared`, until so many more partitions have a place.
    fn make_room(&mut self, more: usize, spared: Option<i32>, now: MonoMs) -> bool {
        while self.partitions + more > self.partitions_max {
            let Some(id) = self.stale(spared, now) else {
                return false;
            };
            self.evict(id);
        }
        true
    }

    /// The session that was used the longest ago, if that is long enough.
    fn stale(&self, spared: Option<i32>, now: MonoMs) -> Option<i32> {
        let oldest = self.last_used.iter().find(|(_, id)| Some(*id) != spared);
        oldest
            .filter(|(used, _)| now.0.saturating_sub(used.0) > EVICTION_MS)
            .map(|(_, id)| *id)
    }

    fn evict(&mut self, id: i32) {
        let evicted = self.remove(id);
        self.evicted.extend(evicted);
        self.evictions += 1;
    }
}
