//! [`Shelf`]: values that hold until a time, of so many octets together at most; what ends first goes first.

use std::collections::{BTreeMap, BTreeSet};

/// Values by key.
#[derive(Debug)]
pub(crate) struct Shelf<K, V> {
    values: BTreeMap<K, Kept<V>>,
    /// By their ends.
    ends: BTreeSet<(u64, K)>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    until: u64,
    bytes: usize,
}

impl<K: Ord + Clone, V: Clone> Shelf<K, V> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            ends: BTreeSet::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The value, if it holds at `now`, in seconds since 1970.
    pub(crate) fn get(&self, key: &K, now: u64) -> Option<V> {
        let kept = self.values.get(key).filter(|kept| kept.until >= now)?;
        Some(kept.value.clone())
    }

    /// Keeps a value of so many octets, with all that is kept beside it. One that is too large alone is not kept.
    pub(crate) fn put(&mut self, key: K, value: V, bytes: usize, until: u64) {
        self.remove(&key);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some((_, first)) = self.ends.first().cloned() else {
                return;
            };
            self.remove(&first);
        }
        self.bytes += bytes;
        self.ends.insert((until, key.clone()));
        let kept = Kept {
            value,
            until,
            bytes,
        };
        self.values.insert(key, kept);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(kept) = self.values.remove(key) {
            self.bytes -= kept.bytes;
            self.ends.remove(&(kept.until, key.clone()));
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_kept_until_its_end_or_until_others_that_last_longer_need_its_place() {
        let mut shelf = Shelf::new(100);
        shelf.put(1, "long", 40, 20);
        shelf.put(2, "short", 40, 10);
        assert_eq!(shelf.get(&2, 10), Some("short"));
        assert_eq!(shelf.get(&2, 11), None);
        shelf.put(3, "new", 40, 15);
        assert_eq!((shelf.get(&1, 0), shelf.get(&2, 0)), (Some("long"), None));
        shelf.put(3, "newer", 60, 30);
        assert_eq!(
            (shelf.get(&1, 0), shelf.get(&3, 0)),
            (Some("long"), Some("newer"))
        );
        shelf.put(4, "too large", 101, 99);
        assert_eq!((shelf.get(&3, 0), shelf.get(&4, 0)), (Some("newer"), None));
        shelf.put(5, "all", 100, 1);
        assert_eq!((shelf.get(&3, 0), shelf.get(&5, 0)), (None, Some("all")));
        shelf.clear();
        assert_eq!((shelf.bytes, shelf.get(&5, 0)), (0, None));
    }
}
