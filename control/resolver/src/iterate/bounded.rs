//! A map that cannot outgrow its bound: SIEVE eviction over weighed entries.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use siphasher::sip::SipHasher13;

const NONE: u32 = u32::MAX;

/// Keys of the hash function; names are chosen by attackers, so the keys must be secret.
#[derive(Clone, Copy)]
pub(super) struct HashKeys(pub(super) u64, pub(super) u64);

impl BuildHasher for HashKeys {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

struct Slot<K, V> {
    key: K,
    value: V,
    weight: usize,
    /// Used since the hand last passed.
    visited: bool,
    /// Towards the newest.
    newer: u32,
    /// Towards the oldest.
    older: u32,
}

/// Holds entries of a total weight of at most `weight_max`. When there is no room, the hand walks
/// from the oldest entry towards the newest and evicts the first that was not used since it last
/// passed (SIEVE), so that a flood of keys used once does not push out what is in use.
pub(super) struct BoundedMap<K, V> {
    index: HashMap<K, u32, HashKeys>,
    slots: Vec<Option<Slot<K, V>>>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    hand: u32,
    weight: usize,
    weight_max: usize,
    evictions: u64,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    pub(super) fn new(weight_max: usize, keys: HashKeys) -> Self {
        Self {
            index: HashMap::with_hasher(keys),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            weight: 0,
            weight_max,
            evictions: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// The value, which counts as used.
    pub(super) fn get<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = *self.index.get(key)?;
        let slot = self.slots.get_mut(at as usize)?.as_mut()?;
        slot.visited = true;
        Some(&mut slot.value)
    }

    /// The value, without a mark of use.
    pub(super) fn peek<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = *self.index.get(key)?;
        self.slots
            .get(at as usize)?
            .as_ref()
            .map(|slot| &slot.value)
    }

    /// Puts a value in, or replaces it, and evicts until the weight fits. A value heavier than the
    /// whole map is not kept.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        if weight > self.weight_max {
            self.remove(&key);
            return;
        }
        if let Some(&at) = self.index.get(&key) {
            let slot = self.slots[at as usize]
                .as_mut()
                .expect("an indexed slot is in use");
            slot.value = value;
            slot.visited = true;
            self.set_weight(at, weight);
        } else {
            self.make_room(weight);
            self.push(key, value, weight);
        }
        self.make_room(0);
    }

    /// Tells that a value changed its weight, and evicts until the sum fits.
    pub(super) fn reweigh<Q: ?Sized + Eq + Hash>(&mut self, key: &Q, weight: usize)
    where
        K: Borrow<Q>,
    {
        let Some(&at) = self.index.get(key) else {
            return;
        };
        if weight > self.weight_max {
            self.unlink(at);
            return;
        }
        self.set_weight(at, weight);
        self.make_room(0);
    }

    pub(super) fn remove<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = *self.index.get(key)?;
        self.unlink(at)
    }

    /// Gives every entry to `keep`, oldest slot first: a weight to keep it with, or `None` to drop it.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> Option<usize>) {
        for at in 0..self.slots.len() {
            self.retain_slot(at, &mut keep);
        }
    }

    /// As [`retain`](Self::retain) for at most `count` slots from `*cursor` on, which it moves.
    pub(super) fn sweep(
        &mut self,
        cursor: &mut usize,
        count: usize,
        mut keep: impl FnMut(&K, &mut V) -> Option<usize>,
    ) {
        for _ in 0..count.min(self.slots.len()) {
            *cursor = if *cursor + 1 < self.slots.len() {
                *cursor + 1
            } else {
                0
            };
            self.retain_slot(*cursor, &mut keep);
        }
    }

    /// Every entry, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let slots = self.slots.iter().flatten();
        slots.map(|slot| (&slot.key, &slot.value))
    }

    /// Gives one slot to `visit`, if it is in use, and moves `*cursor` to the next. False after the
    /// last.
    pub(super) fn visit(&self, cursor: &mut usize, visit: impl FnOnce(&K, &V)) -> bool {
        if let Some(Some(slot)) = self.slots.get(*cursor) {
            visit(&slot.key, &slot.value);
        }
        *cursor += 1;
        *cursor < self.slots.len()
    }

    fn retain_slot(&mut self, at: usize, keep: &mut impl FnMut(&K, &mut V) -> Option<usize>) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        let at = u32::try_from(at).expect("slots are counted in 32 bits");
        match keep(&slot.key, &mut slot.value) {
            Some(weight) => self.set_weight(at, weight),
            None => drop(self.unlink(at)),
        }
    }

    fn set_weight(&mut self, at: u32, weight: usize) {
        let slot = self.slots[at as usize]
            .as_mut()
            .expect("an indexed slot is in use");
        self.weight = self.weight - slot.weight + weight;
        slot.weight = weight;
    }

    /// Evicts until `weight` more fits.
    fn make_room(&mut self, weight: usize) {
        while self.weight + weight > self.weight_max && self.oldest != NONE {
            let mut at = if self.hand == NONE {
                self.oldest
            } else {
                self.hand
            };
            loop {
                let slot = self.slots[at as usize]
                    .as_mut()
                    .expect("a linked slot is in use");
                if !std::mem::take(&mut slot.visited) {
                    break;
                }
                at = if slot.newer == NONE {
                    self.oldest
                } else {
                    slot.newer
                };
            }
            self.hand = at; // `unlink` moves it on.
            self.unlink(at);
            self.evictions += 1;
        }
    }

    fn push(&mut self, key: K, value: V, weight: usize) {
        let slot = Slot {
            key: key.clone(),
            value,
            weight,
            visited: false,
            newer: NONE,
            older: self.newest,
        };
        let at = if let Some(at) = self.free.pop() {
            self.slots[at as usize] = Some(slot);
            at
        } else {
            let at = u32::try_from(self.slots.len()).expect("slots are counted in 32 bits");
            assert_ne!(at, NONE);
            self.slots.push(Some(slot));
            at
        };
        match self.newest {
            NONE => self.oldest = at,
            newest => self.link(newest).newer = at,
        }
        self.newest = at;
        self.weight += weight;
        self.index.insert(key, at);
    }

    fn unlink(&mut self, at: u32) -> Option<V> {
        let slot = self.slots.get_mut(at as usize)?.take()?;
        match slot.newer {
            NONE => self.newest = slot.older,
            newer => self.link(newer).older = slot.older,
        }
        match slot.older {
            NONE => self.oldest = slot.newer,
            older => self.link(older).newer = slot.newer,
        }
        if self.hand == at {
            self.hand = slot.newer;
        }
        self.weight -= slot.weight;
        self.index.remove(&slot.key);
        self.free.push(at);
        Some(slot.value)
    }

    fn link(&mut self, at: u32) -> &mut Slot<K, V> {
        self.slots[at as usize]
            .as_mut()
            .expect("a linked slot is in use")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(weight_max: usize) -> BoundedMap<u32, u32> {
        BoundedMap::new(weight_max, HashKeys(1, 2))
    }

    #[test]
    fn full_map_evicts_what_was_not_used() {
        let mut map = map(3);
        for key in 0..3 {
            map.insert(key, key, 1);
        }
        assert!(map.get(&0).is_some());
        map.insert(3, 3, 1);
        assert!(map.peek(&0).is_some(), "used since");
        assert!(map.peek(&1).is_none(), "the oldest that was not used");
        assert_eq!((map.len(), map.weight(), map.evictions()), (3, 3, 1));
    }

    #[test]
    fn heavier_value_evicts_several_and_too_heavy_a_value_is_not_kept() {
        let mut map = map(10);
        for key in 0..5 {
            map.insert(key, key, 2);
        }
        map.insert(9, 9, 6);
        assert_eq!(map.weight(), 10);
        assert_eq!(map.len(), 3);
        map.insert(9, 9, 11);
        assert!(map.peek(&9).is_none());
        map.reweigh(&4, 11);
        assert!(map.peek(&4).is_none());
    }

    #[test]
    fn removal_and_sweep_keep_links_and_weight_right() {
        let mut map = map(100);
        for key in 0..10 {
            map.insert(key, key, 1);
        }
        assert_eq!(map.remove(&0), Some(0));
        assert_eq!(map.remove(&9), Some(9));
        assert_eq!(map.remove(&5), Some(5));
        assert_eq!(map.remove(&5), None);
        map.retain(|_, value| (*value % 2 == 0).then_some(3));
        assert_eq!((map.len(), map.weight()), (4, 12));
        let mut cursor = 0;
        map.sweep(&mut cursor, 10, |_, value| (*value != 2).then_some(1));
        assert_eq!((map.len(), map.weight()), (3, 3));
        map.insert(20, 20, 98);
        assert_eq!(map.len(), 3, "room for 98 leaves two of weight 1");
    }

    #[test]
    fn random_operations_agree_with_a_plain_map_on_weight_and_count() {
        bolero::check!()
            .with_type::<Vec<(u8, u8, u8)>>()
            .with_iterations(500)
            .for_each(|operations| {
                let mut bounded = map(64);
                for &(operation, key, weight) in operations {
                    let (key, weight) = (u32::from(key % 32), usize::from(weight % 24));
                    match operation % 4 {
                        0 | 1 => bounded.insert(key, key, weight),
                        2 => drop(bounded.remove(&key)),
                        _ => drop(bounded.get(&key).copied()),
                    }
                    let in_use = bounded.slots.iter().flatten();
                    assert_eq!(
                        bounded.weight(),
                        in_use.clone().map(|slot| slot.weight).sum::<usize>()
                    );
                    assert_eq!(bounded.len(), in_use.count());
                    assert!(bounded.weight() <= 64);
                }
            });
    }
}
