//! The producer table: what is known of each idempotent producer.
//!
//! Guarantees: judging and adding a batch cost the same however many producers are known; a turn costs
//! nothing for producers that are idle. What depends on time is volatile and not part of a snapshot.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ottla_model::batch::BatchHead;
use ottla_model::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::time::{MonoMs, Now, WallMs};

use super::snapshot::{ProducerEntry, Snapshot};
use super::{PRODUCER_EXPIRATION_MS_DEFAULT, Refusal};

/// Batches remembered per producer: as many as a client may have in flight (Kafka
/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const BATCHES_RETAINED: usize = 5;

/// How coarse the machine's clock is. Producers live up to this much longer.
const CLOCK_STEP_MS: u64 = 60_000;

/// A producer known from before a restart is kept at least this long, however old its last timestamp
/// is: it may be filling in old data, with retries under way.
const RESTART_GRACE_MS: u64 = 60 * 60 * 1000;

/// A batch in a producer's window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredBatch {
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Offset of its last record, counted from its first.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub max_timestamp: WallMs,
}

impl StoredBatch {
    /// Offset of its first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.last_offset + -i64::from(self.offset_delta)
    }

    pub(super) fn of(at: Offset, head: &BatchHead) -> StoredBatch {
        StoredBatch {
            last_sequence: head.last_sequence(),
            last_offset: at + i64::from(head.last_offset_delta),
            offset_delta: head.last_offset_delta,
            max_timestamp: WallMs(head.max_timestamp_ms),
        }
    }
}

/// What the table says to a batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is the next one.
    Next,
    /// It is here already.
    Duplicate(StoredBatch),
}

/// Why the table refuses a batch, and the end of the batch that it refuses it for.
pub(super) struct Conflict {
    pub(super) refusal: Refusal,
    pub(super) saw: Option<Offset>,
}

/// Whether a batch has a producer that the table knows or would know.
pub(super) fn is_idempotent(head: &BatchHead) -> bool {
    head.producer_id > ProducerId::NONE
}

#[derive(Debug)]
struct Producer {
    epoch: ProducerEpoch,
    /// Of the newest batch or marker.
    last_timestamp: WallMs,
    /// At most [`BATCHES_RETAINED`], oldest first, all of `epoch`. Empty after a marker that raised
    /// the epoch.
    window: Vec<StoredBatch>,
    /// When it is forgotten, if it writes nothing until then. Volatile.
    expires_at: MonoMs,
}

impl Producer {
    fn new(epoch: ProducerEpoch) -> Producer {
        Producer {
            epoch,
            last_timestamp: WallMs(-1),
            window: Vec::new(),
            expires_at: MonoMs::default(),
        }
    }

    fn last_sequence(&self) -> Sequence {
        self.window
            .last()
            .map_or(Sequence::NONE, |b| b.last_sequence)
    }

    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.window.clear();
            self.epoch = epoch;
        }
    }

    fn push(&mut self, batch: StoredBatch) {
        if self.window.len() == BATCHES_RETAINED {
            self.window.remove(0);
        }
        self.insert_at(self.window.len(), batch);
    }

    fn insert_at(&mut self, index: usize, batch: StoredBatch) {
        // Most producers of a big table wrote once: no spare room for those.
        self.window.reserve_exact(1);
        self.window.insert(index, batch);
    }

    fn find(&self, head: &BatchHead) -> Option<StoredBatch> {
        self.window.iter().copied().find(|b| {
            b.last_sequence == head.last_sequence() && b.offset_delta == head.last_offset_delta
        })
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Producers {
    /// Only ever walked where order does not show.
    by_id: HashMap<ProducerId, Producer>,
    expiration_ms: u64,
    /// Volatile: the time as told last, `None` until told once.
    clock: Option<MonoMs>,
    /// Volatile: each producer once, by a time at or before its `expires_at`. Empty without a clock.
    /// A batch does not move its producer: the sweep does, once per expiration time.
    due: BTreeSet<(MonoMs, ProducerId)>,
}

impl Default for Producers {
    fn default() -> Producers {
        Producers {
            by_id: HashMap::new(),
            expiration_ms: PRODUCER_EXPIRATION_MS_DEFAULT,
            clock: None,
            due: BTreeSet::new(),
        }
    }
}

impl Producers {
    /// Judges a batch that is idempotent (Kafka `ProducerAppendInfo.maybeValidateDataBatch`, after
    /// `ProducerStateEntry.findDuplicateBatch`).
    pub(super) fn judge(&self, head: &BatchHead) -> Result<Verdict, Conflict> {
        let Some(known) = self.by_id.get(&head.producer_id) else {
            return Ok(Verdict::Next);
        };
        let conflict = |refusal| {
            Err(Conflict {
                refusal,
                saw: known.window.last().map(|b| b.last_offset.next()),
            })
        };
        if head.producer_epoch < known.epoch {
            return conflict(Refusal::InvalidProducerEpoch {
                current: known.epoch,
                got: head.producer_epoch,
            });
        }
        let expected = if head.producer_epoch > known.epoch {
            Sequence(0)
        } else {
            if let Some(original) = known.find(head) {
                return Ok(Verdict::Duplicate(original));
            }
            known.last_sequence().plus(1)
        };
        // A client that sends a producer id with epoch -1 is never held to a sequence, as in Kafka.
        if head.base_sequence != expected && known.epoch != ProducerEpoch::NONE {
            return conflict(Refusal::OutOfOrderSequence {
                expected,
                got: head.base_sequence,
            });
        }
        Ok(Verdict::Next)
    }

    /// Adds a batch that the log has. Trusts the log's order over everything else, epochs included:
    /// a producer that was forgotten may have come back with an older one.
    pub(super) fn add(&mut self, at: Offset, head: &BatchHead) {
        let producer = match self.by_id.entry(head.producer_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let producer = free.insert(Producer::new(head.producer_epoch));
                if let Some(clock) = self.clock {
                    let expires_at = clock + (self.expiration_ms + CLOCK_STEP_MS);
                    self.due.insert((expires_at, head.producer_id));
                }
                producer
            }
        };
        producer.set_epoch(head.producer_epoch);
        producer.last_timestamp = WallMs(head.max_timestamp_ms);
        if let Some(clock) = self.clock {
            producer.expires_at = clock + (self.expiration_ms + CLOCK_STEP_MS);
        }
        // A marker ends a transaction; it has no sequence to repeat.
        if !head.attributes.is_control() {
            producer.push(StoredBatch::of(at, head));
        }
    }

    /// Puts a batch from before a snapshot back into the window that the snapshot's file cut short.
    /// Changes nothing else: the snapshot knows better what came after.
    pub(super) fn add_back(&mut self, at: Offset, head: &BatchHead) {
        let Some(known) = self.by_id.get_mut(&head.producer_id) else {
            return;
        };
        if known.epoch != head.producer_epoch || head.attributes.is_control() {
            return;
        }
        let batch = StoredBatch::of(at, head);
        let index = match known
            .window
            .binary_search_by_key(&batch.last_offset, |b| b.last_offset)
        {
            Ok(_) => return,
            Err(index) => index,
        };
        // Newer than the newest of the snapshot, yet older than the snapshot: not of this log.
        if index == known.window.len() {
            return;
        }
        if known.window.len() < BATCHES_RETAINED {
            known.insert_at(index, batch);
        } else if index > 0 {
            known.window.remove(0);
            known.insert_at(index - 1, batch);
        }
    }

    pub(super) fn clock_is_due(&self, mono: MonoMs) -> bool {
        self.clock.is_none_or(|clock| mono >= clock + CLOCK_STEP_MS)
    }

    pub(super) fn sweep_is_due(&self, mono: MonoMs) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= mono)
    }

    pub(super) fn deadline(&self) -> Option<MonoMs> {
        match self.clock {
            // Known from before a restart: their time begins when the clock is told.
            None => (!self.by_id.is_empty()).then_some(MonoMs::default()),
            Some(_) => self.due.first().map(|(at, _)| *at),
        }
    }

    pub(super) fn set_clock(&mut self, now: Now) {
        if self.clock.replace(now.mono).is_none() {
            for (id, producer) in &mut self.by_id {
                let age_ms = now.wall.0.saturating_sub(producer.last_timestamp.0);
                let left_ms = self
                    .expiration_ms
                    .saturating_sub(u64::try_from(age_ms).unwrap_or(0))
                    .max(RESTART_GRACE_MS.min(self.expiration_ms));
                producer.expires_at = now.mono + (left_ms + CLOCK_STEP_MS);
                self.due.insert((producer.expires_at, *id));
            }
        }
    }

    pub(super) fn set_expiration(&mut self, expiration_ms: u64) {
        // Sums of two such never reach the end of u64.
        self.expiration_ms = expiration_ms.min(u64::MAX >> 2);
    }

    pub(super) fn sweep(&mut self, mono: MonoMs, checks_max: usize) {
        for _ in 0..checks_max {
            if !self.sweep_is_due(mono) {
                return;
            }
            let Some((_, id)) = self.due.pop_first() else {
                return;
            };
            if let Entry::Occupied(known) = self.by_id.entry(id) {
                let expires_at = known.get().expires_at;
                if expires_at <= mono {
                    known.remove();
                } else {
                    self.due.insert((expires_at, id));
                }
            }
        }
    }

    pub(super) fn snapshot(&self, at: Offset) -> Snapshot {
        let mut producers: Vec<ProducerEntry> = self
            .by_id
            .iter()
            .map(|(id, producer)| ProducerEntry {
                id: *id,
                epoch: producer.epoch,
                last_timestamp: producer.last_timestamp,
                batches: producer.window.clone(),
            })
            .collect();
        producers.sort_unstable_by_key(|p| p.id);
        Snapshot { at, producers }
    }

    pub(super) fn restore(entries: Vec<ProducerEntry>) -> Producers {
        let by_id = entries
            .into_iter()
            .map(|entry| {
                let producer = Producer {
                    epoch: entry.epoch,
                    last_timestamp: entry.last_timestamp,
                    window: entry.batches,
                    expires_at: MonoMs::default(),
                };
                (entry.id, producer)
            })
            .collect();
        Producers {
            by_id,
            ..Producers::default()
        }
    }
}
