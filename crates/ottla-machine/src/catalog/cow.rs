//! An ordered map that is cheap to copy: what the image is made of.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{Hash, Hasher};

/// How many parts a map has.
const PARTS: usize = 256;

/// A map in 256 parts that copies share.
///
/// A copy costs 256 counter increments. A change to a part that a copy shares costs copying that
/// part once, a 256th of the map: with 100,000 topics, 400 entries. A change to an unshared part
/// costs what it costs in a tree.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct CowMap<K, V> {
    parts: Vec<Arc<BTreeMap<K, V>>>,
    length: usize,
}

impl<K, V> Default for CowMap<K, V> {
    fn default() -> Self {
        let empty = Arc::new(BTreeMap::new());
        CowMap {
            parts: alloc::vec![empty; PARTS],
            length: 0,
        }
    }
}

impl<K: Ord + Hash + Clone, V: Clone> CowMap<K, V> {
    pub(super) fn get<Q: Ord + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[part_of(key)].get(key)
    }

    pub(super) fn get_mut<Q: Ord + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let part = &mut self.parts[part_of(key)];
        // Without the look ahead, a miss would copy a shared part for nothing.
        if !part.contains_key(key) {
            return None;
        }
        Arc::make_mut(part).get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = Arc::make_mut(&mut self.parts[part_of(&key)]).insert(key, value);
        self.length += usize::from(old.is_none());
        old
    }

    pub(super) fn remove<Q: Ord + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let part = &mut self.parts[part_of(key)];
        if !part.contains_key(key) {
            return None;
        }
        self.length -= 1;
        Arc::make_mut(part).remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// All values, in an order that depends on the keys alone.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.values())
    }

    /// All values, to be changed; copies every part that is shared.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.parts
            .iter_mut()
            .filter(|part| !part.is_empty())
            .flat_map(|part| Arc::make_mut(part).values_mut())
    }
}

/// The part of a key: the same on every machine, and good enough to spread names. Who finds names of
/// one part gets a slower tree of them, not a list.
fn part_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    key.hash(&mut hasher);
    let hash = hasher.finish();
    ((hash ^ (hash >> 32)) % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_a_snapshot() {
        let mut map = CowMap::default();
        for n in 0..5000u32 {
            assert_eq!(map.insert(n, n), None);
        }
        let copy = map.clone();
        assert_eq!(map.insert(7, 70), Some(7));
        assert_eq!(map.remove(&8), Some(8));
        assert_eq!(map.remove(&8), None);
        *map.get_mut(&9).unwrap() = 90;
        assert_eq!(map.get_mut(&8), None);
        assert_eq!(
            (map.get(&7), map.get(&8), map.get(&9)),
            (Some(&70), None, Some(&90))
        );
        assert_eq!(
            (copy.get(&7), copy.get(&8), copy.get(&9)),
            (Some(&7), Some(&8), Some(&9))
        );
        assert_eq!((map.len(), copy.len()), (4999, 5000));
        assert_eq!(
            copy.values().map(|n| u64::from(*n)).sum::<u64>(),
            4999 * 5000 / 2
        );
        assert_ne!(map, copy);
        for n in map.values_mut() {
            *n = 1;
        }
        assert_eq!(map.values().sum::<u32>(), 4999);
        assert_eq!(copy.get(&7), Some(&7));
    }

    #[test]
    fn keys_spread_over_the_parts() {
        let mut map = CowMap::default();
        for n in 0..25_600 {
            map.insert(alloc::format!("topic-{n}"), ());
        }
        let largest = map.parts.iter().map(|part| part.len()).max();
        assert!(
            largest < Some(200),
            "{largest:?} of 25600 in one of 256 parts"
        );
    }
}
