//! The latest offset of each key, in bounded memory (Kafka: `SkimpyOffsetMap`).
//!
//! Holds 16 bytes of hash instead of the key. Clients choose keys, so the hash is keyed with bytes
//! that they cannot know: nobody can make two keys meet, and by chance two of a billion meet once
//! in 10^20 passes.

use std::hash::{BuildHasher, RandomState};

use ottla_model::ids::Offset;

/// Of ten slots, how many are used at most (`log.cleaner.io.buffer.load.factor`).
const LOAD_TENTHS: u64 = 9;

/// Offsets by key.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    hashers: [RandomState; 2],
    slots: Vec<Slot>,
    used: usize,
    used_max: usize,
}

/// Free if the offset is negative.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: i64,
}

/// There is no room for another key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl OffsetMap {
    /// Room for `keys` keys, or for as many as fit into `bytes_max`, but for one at least.
    pub(crate) fn new(keys: u64, bytes_max: u64) -> OffsetMap {
        let affordable = bytes_max / size_of::<Slot>() as u64;
        let wanted = keys.saturating_mul(10) / (LOAD_TENTHS - 2) + 2;
        let slots = wanted.min(affordable).max(2);
        let free = Slot {
            hash: [0; 2],
            offset: -1,
        };
        OffsetMap {
            hashers: [RandomState::new(), RandomState::new()],
            slots: vec![free; slots as usize],
            used: 0,
            used_max: (slots * LOAD_TENTHS / 10).max(1) as usize,
        }
    }

    /// Sets the offset of a key.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        let hash = self.hash(key);
        let at = self.find(hash);
        if self.slots[at].offset < 0 {
            if self.used == self.used_max {
                return Err(Full);
            }
            self.used += 1;
        }
        self.slots[at] = Slot {
            hash,
            offset: offset.0,
        };
        Ok(())
    }

    /// The offset of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let offset = self.slots[self.find(self.hash(key))].offset;
        (offset >= 0).then_some(Offset(offset))
    }

    /// Number of keys.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.used
    }

    /// The slot of a hash, or the free one that it would take. There always is a free one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = ((u128::from(hash[0]) * count as u128) >> 64) as usize;
        while self.slots[at].offset >= 0 && self.slots[at].hash != hash {
            at += 1;
            if at == count {
                at = 0;
            }
        }
        at
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn keeps_what_a_hash_map_keeps_and_refuses_when_full() {
        for bytes_max in [0, 50, 24 * 100, u64::MAX] {
            let mut map = OffsetMap::new(120, bytes_max);
            let mut model: HashMap<Vec<u8>, Offset> = HashMap::new();
            let mut refused = 0;
            for nth in 0..1_000_i64 {
                let key = format!("key {}", nth * 8 % 119).into_bytes();
                match map.put(&key, Offset(nth)) {
                    Ok(()) => drop(model.insert(key, Offset(nth))),
                    Err(Full) => refused += 1,
                }
            }
            assert_eq!(map.len(), model.len());
            assert!(!model.is_empty());
            for nth in 0..130 {
                let key = format!("key {nth}").into_bytes();
                assert_eq!(map.get(&key), model.get(&key).copied(), "{bytes_max} {nth}");
            }
            let affordable = (bytes_max / 24).max(2);
            assert!(model.len() as u64 <= (affordable * 9 / 10).max(1));
            assert_eq!(refused == 0, bytes_max == u64::MAX);
        }
    }
}
