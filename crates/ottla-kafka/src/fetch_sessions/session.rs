//! One fetch session: which partitions are asked for, in which order, and what was last told of each.
//!
//! Guarantees: a partition is *due* until it was found settled, and again once it moves or is asked
//! anew, so what is not due needs no look; an incremental answer leaves out what the client knows
//! already (Kafka `FetchSession.CachedPartition.maybeUpdateResponseData`); partitions that brought
//! records go to the end, so that none starves. Data in, data out: knows no clock, socket or log.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ottla_model::names::{TOPIC_NAME_BYTES_MAX, TopicName};
use ottla_model::uuid::Uuid;

/// What a topic is called: by its name up to version 12, by its id from 13 on.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

/// What a client asks of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) bytes_max: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// A partition that has to be looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// Names the partition within the session, and no other one ever.
    pub(crate) key: u64,
    pub(crate) asked: Asked,
    /// The name that a topic id had when it was first known.
    pub(crate) name: Option<TopicName>,
}

/// What is about to be said of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tidings {
    pub(crate) key: u64,
    pub(crate) standing: Standing,
    /// -1 with an error.
    pub(crate) high_watermark: i64,
    /// -1 with an error.
    pub(crate) log_start: i64,
    pub(crate) has_records: bool,
    /// Nothing more is to be had until the partition moves, and the session will hear of that.
    pub(crate) settled: bool,
    /// The name of its topic id, if it is known.
    pub(crate) name: Option<TopicName>,
}

/// How a partition stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Readable,
    /// The log of the client went another way.
    Diverging,
    Refused,
    /// There is no such topic or partition. Kafka answers those last.
    Unknown,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Session {
    slots: HashMap<u64, Slot>,
    keys: HashMap<(TopicKey, i32), u64>,
    /// Place in the order, and key.
    due: BTreeSet<(u64, u64)>,
    /// The next key, and the next place at the end of the order.
    next: u64,
    has_overlong_name: bool,
}

#[derive(Debug)]
struct Slot {
    order: u64,
    asked: Asked,
    name: Option<TopicName>,
    high_watermark: i64,
    log_start: i64,
}

impl Session {
    /// Takes in partitions that a request names, new ones at the end, and takes out others. A
    /// partition that a request names twice is asked for as it says last. The keys that left.
    pub(crate) fn update(
        &mut self,
        asked: impl IntoIterator<Item = Asked>,
        forgotten: impl IntoIterator<Item = (TopicKey, i32)>,
    ) -> Vec<u64> {
        for asked in asked {
            let next = self.next;
            match self.keys.entry((asked.topic.clone(), asked.partition)) {
                Entry::Occupied(key) => {
                    let key = *key.get();
                    if let Some(slot) = self.slots.get_mut(&key) {
                        self.due.insert((slot.order, key));
                        slot.asked = asked;
                    }
                }
                Entry::Vacant(place) => {
                    place.insert(next);
                    self.next += 1;
                    self.due.insert((next, next));
                    self.has_overlong_name |= matches!(&asked.topic, TopicKey::Name(name) if name.len() > TOPIC_NAME_BYTES_MAX);
                    let slot = Slot {
                        order: next,
                        asked,
                        name: None,
                        high_watermark: -1,
                        log_start: -1,
                    };
                    self.slots.insert(next, slot);
                }
            }
        }
        let mut gone = Vec::new();
        for partition in forgotten {
            if let Some(key) = self.keys.remove(&partition) {
                if let Some(slot) = self.slots.remove(&key) {
                    self.due.remove(&(slot.order, key));
                }
                gone.push(key);
            }
        }
        gone
    }

    /// Partitions that moved are due.
    pub(crate) fn wake(&mut self, keys: &[u64]) {
        for key in keys {
            if let Some(slot) = self.slots.get(key) {
                self.due.insert((slot.order, *key));
            }
        }
    }

    /// All partitions are due: nobody knows which of them moved.
    pub(crate) fn wake_all(&mut self) {
        self.due = self
            .slots
            .iter()
            .map(|(key, slot)| (slot.order, *key))
            .collect();
    }

    /// The partitions that have to be looked at, in order.
    pub(crate) fn due(&self) -> Vec<Due> {
        let due = |(_, key): &(u64, u64)| {
            let slot = self.slots.get(key)?;
            Some(Due {
                key: *key,
                asked: slot.asked.clone(),
                name: slot.name.clone(),
            })
        };
        self.due.iter().filter_map(due).collect()
    }

    /// What a partition is called: of those that moved while the fetch waited, the caller has the key
    /// only.
    pub(crate) fn called(&self, key: u64) -> Option<(TopicKey, i32)> {
        let asked = &self.slots.get(&key)?.asked;
        Some((asked.topic.clone(), asked.partition))
    }

    /// Records the answer to a full fetch, which tells everything: the order of the answer becomes
    /// that of the session.
    pub(crate) fn tell_all(&mut self, tidings: &[Tidings]) -> Vec<u64> {
        let order = self.answer_order(tidings);
        for at in &order {
            self.tell(&tidings[*at]);
            self.move_to_end(&tidings[*at]);
        }
        order.iter().map(|at| tidings[*at].key).collect()
    }

    /// Records the answer to an incremental fetch. The keys that are worth telling, in the order in
    /// which they are told.
    pub(crate) fn tell_news(&mut self, tidings: &[Tidings]) -> Vec<u64> {
        let mut news = Vec::new();
        for at in self.answer_order(tidings) {
            let tidings = &tidings[at];
            if self.tell(tidings) {
                news.push(tidings.key);
                if tidings.has_records {
                    self.move_to_end(tidings);
                }
            }
        }
        news
    }

    /// Number of partitions.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// False if it holds what is too large to be remembered for a client.
    pub(crate) fn can_be_kept(&self) -> bool {
        !self.has_overlong_name
    }

    /// Places of the tidings in the order of an answer. Those of partitions that left the session
    /// meanwhile are left out.
    fn answer_order(&self, tidings: &[Tidings]) -> Vec<usize> {
        let mut order: Vec<_> = tidings
            .iter()
            .enumerate()
            .filter_map(|(at, tidings)| {
                let slot = self.slots.get(&tidings.key)?;
                Some((tidings.standing == Standing::Unknown, slot.order, at))
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(.., at)| at).collect()
    }

    /// True if the client does not know this yet.
    fn tell(&mut self, tidings: &Tidings) -> bool {
        let Some(slot) = self.slots.get_mut(&tidings.key) else {
            return false;
        };
        let is_error = matches!(tidings.standing, Standing::Refused | Standing::Unknown);
        let is_news = is_error
            || tidings.has_records
            || tidings.standing == Standing::Diverging
            || slot.high_watermark != tidings.high_watermark
            || slot.log_start != tidings.log_start;
        // After an error the partition is news again when the error goes away.
        slot.high_watermark = if is_error { -1 } else { tidings.high_watermark };
        slot.log_start = tidings.log_start;
        if slot.name.is_none() {
            slot.name.clone_from(&tidings.name);
        }
        let place = (slot.order, tidings.key);
        if tidings.settled {
            self.due.remove(&place);
        } else {
            self.due.insert(place);
        }
        is_news
    }

    fn move_to_end(&mut self, tidings: &Tidings) {
        let Some(slot) = self.slots.get_mut(&tidings.key) else {
            return;
        };
        let was_due = self.due.remove(&(slot.order, tidings.key));
        slot.order = self.next;
        self.next += 1;
        if was_due {
            self.due.insert((slot.order, tidings.key));
        }
    }
}
