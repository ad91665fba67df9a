//! The cache: index and two logs, kept in order by S3-FIFO.
//!
//! New entries go to a small log of a twentieth of the memory. One that was used there more than once
//! moves to the main log when it reaches the end; another leaves a ghost, and if it comes again
//! soon, it goes to the main log at once. The main log gives used entries another round. Names
//! that are asked once thus pass through the small log and never displace what is in use (Yang
//! et al., FIFO queues are all you need for cache eviction, SOSP 2023).

use crate::index::{BUCKET_BYTES, Index, Place, Position, Queue};
use crate::ring::Ring;
use crate::{ENTRY_BYTES_MAX, Entry, Freshness, Generations, Key, Lookup, STALE_SECS_MAX};

/// Least memory of a cache, in bytes.
pub const CACHE_BYTES_MIN: usize = 64 * 1024;

/// Most memory of a cache, in bytes: offsets are counted in 32 bits, in units of 8 bytes.
pub const CACHE_BYTES_MAX: usize = 8 << 32;

/// Share of the index: one part in this many. With entries of 110 bytes living ones take half of
/// its ways; the others hold ghosts.
const INDEX_SHARE: usize = 8;

/// Share of the small log in what remains: one part in this many.
const SMALL_SHARE: usize = 20;

/// Least memory of the small log, in bytes: a few of the largest entries.
const SMALL_BYTES_MIN: usize = 4 * ENTRY_BYTES_MAX;

/// Uses in the small log that make an entry worth keeping.
const USES_TO_STAY: u8 = 1;

/// Most entries of the main log that get another round for one insertion, so that no insertion
/// takes long. Reached only when almost everything is in use.
const ROUNDS_MAX: u32 = 64;

/// One worker's cache.
#[derive(Debug)]
pub struct Cache {
    index: Index,
    small: Ring,
    main: Ring,
    stale_secs_max: u32,
    /// Latest time that a look-up told; expired entries are not worth another round.
    now: u32,
    statistics: Statistics,
}

/// Figures of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Living entries.
    pub entries: usize,
    /// Memory of the index and of living entries, in bytes.
    pub bytes: usize,
    /// Memory that the cache holds and never exceeds, in bytes.
    pub bytes_max: usize,
    /// Entries stored, those that replaced an older one of the same key included.
    pub insertions: u64,
    /// Entries given up for lack of room.
    pub evictions: u64,
    /// Entries removed because they were too old or their zone changed.
    pub expirations: u64,
}

/// A hash looked for, but not yet compared; see [`Cache::locate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    bucket: usize,
    candidate: Option<Place>,
    confirmed: bool,
}

impl Slot {
    /// Whether an entry with this very hash was there when [`Cache::touch`] looked.
    #[inline]
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

impl Cache {
    /// A cache that holds at most `bytes` of memory, index included, and at most
    /// [`CACHE_BYTES_MAX`]. Allocates all of it now and nothing later.
    ///
    /// # Panics
    /// If `bytes` is below [`CACHE_BYTES_MIN`].
    #[must_use]
    pub fn with_bytes(bytes: usize) -> Self {
        assert!(bytes >= CACHE_BYTES_MIN);
        let bytes = bytes.min(CACHE_BYTES_MAX);
        let index = Index::with_buckets(bytes / INDEX_SHARE / BUCKET_BYTES);
        let logs_bytes = bytes - index.bytes();
        let small = Ring::with_bytes((logs_bytes / SMALL_SHARE).max(SMALL_BYTES_MIN));
        let main = Ring::with_bytes(logs_bytes - small.bytes());
        let bytes_max = index.bytes() + small.bytes() + main.bytes();
        let statistics = Statistics {
            bytes: index.bytes(),
            bytes_max,
            ..Statistics::default()
        };
        assert!(bytes_max <= bytes);
        Self {
            index,
            small,
            main,
            stale_secs_max: STALE_SECS_MAX,
            now: 0,
            statistics,
        }
    }

    /// Sets how long after its TTL an entry may be served stale, in seconds; 0 means never.
    pub fn set_stale_secs_max(&mut self, stale_secs_max: u32) {
        self.stale_secs_max = stale_secs_max;
    }

    /// First pass over a batch: reads the line of the index. The loads of a batch do not depend
    /// on each other, so that their cache misses overlap.
    #[inline]
    #[must_use]
    pub fn locate(&self, hash: u64) -> Slot {
        let bucket = self.index.bucket(hash);
        let candidate = self.index.candidates(bucket, hash).next();
        Slot {
            bucket,
            candidate: candidate.map(|(_, place)| place),
            confirmed: false,
        }
    }

    /// Second pass, optional: reads the first two lines of the entry, likewise overlapping.
    #[inline]
    pub fn touch(&self, slot: &mut Slot, hash: u64) {
        slot.confirmed = slot.candidate.is_some_and(|place| {
            let ring = match place.queue {
                Queue::Small => &self.small,
                Queue::Main => &self.main,
            };
            ring.touch(place.offset) == Some(hash)
        });
    }

    /// Last pass: compares in full and judges the age. `slot` must come from [`Cache::locate`]
    /// of this cache for the hash of `key`; entries may have come and gone since.
    #[inline]
    pub fn get(
        &mut self,
        slot: Slot,
        key: &Key<'_>,
        now: u32,
        generations: &impl Generations,
    ) -> Lookup<'_> {
        self.now = self.now.max(now);
        let mut candidates = self.index.candidates(slot.bucket, key.hash);
        let found = candidates.find_map(|(position, place)| {
            let entry = self.entry(place).filter(|entry| entry.is_for(key))?;
            let freshness = Freshness::of(&entry, now, generations, self.stale_secs_max);
            Some((position, place, freshness))
        });
        let Some((position, place, freshness)) = found else {
            return Lookup::Miss;
        };
        match freshness {
            Freshness::Fresh(_) => self.index.touch(position),
            Freshness::Stale => {}
            Freshness::Dead => {
                self.remove(position);
                self.statistics.expirations += 1;
            }
        }
        match (freshness, self.entry(place)) {
            (Freshness::Fresh(age_secs), Some(entry)) => Lookup::Fresh(entry, age_secs),
            (Freshness::Stale, Some(entry)) => Lookup::Stale(entry),
            _ => Lookup::Miss,
        }
    }

    /// Stores an entry in place of any older one of the same key; makes room for it. An entry
    /// with TTL 0 is not stored (RFC 1035 §3.2.1).
    pub fn insert(&mut self, entry: &Entry<'_>) {
        if entry.ttl() == 0 {
            return;
        }
        let key = entry.key();
        let bytes = entry.as_bytes();
        let mut place = Place {
            queue: Queue::Small,
            offset: 0,
            uses: 0,
        };
        if let Some((position, older)) = self.find(self.index.bucket(key.hash), &key) {
            let same_length = self
                .entry(older)
                .is_some_and(|older| older.as_bytes().len() == bytes.len());
            if same_length {
                self.ring_mut(older.queue).overwrite(older.offset, bytes);
                self.statistics.insertions += 1;
                return;
            }
            place = older;
            self.remove(position);
        } else if self.index.exorcise(key.hash) {
            place.queue = Queue::Main;
        }
        self.make_room(place.queue, bytes.len());
        place.offset = self.ring_mut(place.queue).push(bytes);
        let position = self.index.vacancy(key.hash);
        if self.remove(position) {
            self.statistics.evictions += 1;
        }
        self.index.set(position, key.hash, place);
        self.statistics.insertions += 1;
        self.statistics.entries += 1;
        self.statistics.bytes += bytes.len();
    }

    /// Removes every entry that `is_unwanted` names and returns how many there were. Walks the
    /// whole cache.
    pub fn remove_where(&mut self, mut is_unwanted: impl FnMut(&Entry<'_>) -> bool) -> usize {
        let mut removed_count = 0;
        for position in self.index.positions() {
            let entry = self
                .index
                .place(position)
                .and_then(|place| self.entry(place));
            if entry.is_some_and(|entry| is_unwanted(&entry)) {
                self.remove(position);
                removed_count += 1;
            }
        }
        removed_count
    }

    /// Present figures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    #[inline]
    fn find(&self, bucket: usize, key: &Key<'_>) -> Option<(Position, Place)> {
        self.index
            .candidates(bucket, key.hash)
            .find(|(_, place)| self.entry(*place).is_some_and(|entry| entry.is_for(key)))
    }

    #[inline]
    fn entry(&self, place: Place) -> Option<Entry<'_>> {
        match place.queue {
            Queue::Small => self.small.entry(place.offset),
            Queue::Main => self.main.entry(place.offset),
        }
    }

    fn ring_mut(&mut self, queue: Queue) -> &mut Ring {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    /// Forgets the living entry at a position, if there is one. Its bytes stay in the log until
    /// the head passes them.
    fn remove(&mut self, position: Position) -> bool {
        let Some(place) = self.index.place(position) else {
            return false;
        };
        let entry_bytes = self.entry(place).map_or(0, |entry| entry.as_bytes().len());
        self.index.clear(position);
        self.statistics.entries -= 1;
        self.statistics.bytes -= entry_bytes;
        true
    }

    fn make_room(&mut self, queue: Queue, entry_bytes: usize) {
        match queue {
            Queue::Small => {
                while !self.small.has_room(entry_bytes) {
                    self.shorten_small();
                }
            }
            Queue::Main => {
                let mut rounds_left = ROUNDS_MAX;
                while !self.main.has_room(entry_bytes) {
                    self.shorten_main(&mut rounds_left);
                }
            }
        }
    }

    /// Takes the oldest entry out of the small log.
    fn shorten_small(&mut self) {
        let oldest = self.small.oldest();
        let (offset, entry) = oldest.expect("a log without room is not empty");
        let (hash, entry_bytes) = (entry.hash(), entry.as_bytes().len());
        let is_expired = self.is_expired(&entry);
        let position = self.index.find(hash, Queue::Small, offset);
        self.small.pop(entry_bytes);
        let Some(position) = position else {
            return; // It was removed or replaced before.
        };
        if is_expired {
            self.remove(position);
            self.statistics.expirations += 1;
            return;
        }
        let uses = self.index.place(position).map_or(0, |place| place.uses);
        if uses < USES_TO_STAY && !self.main.has_room(entry_bytes) {
            self.remove(position);
            self.index.haunt(position);
            self.statistics.evictions += 1;
            return;
        }
        self.make_room(Queue::Main, entry_bytes);
        // The bytes outlive their pop: nothing was pushed to the small log since.
        let entry = self.small.entry(offset).expect("found above");
        let place = Place {
            queue: Queue::Main,
            offset: self.main.push(entry.as_bytes()),
            uses: 0,
        };
        self.index.set(position, hash, place);
    }

    /// Takes the oldest entry out of the main log, or gives it another round.
    fn shorten_main(&mut self, rounds_left: &mut u32) {
        let oldest = self.main.oldest();
        let (offset, entry) = oldest.expect("a log without room is not empty");
        let (hash, entry_bytes) = (entry.hash(), entry.as_bytes().len());
        let is_expired = self.is_expired(&entry);
        let position = self.index.find(hash, Queue::Main, offset);
        let place = position.and_then(|position| self.index.place(position));
        let (Some(position), Some(place)) = (position, place) else {
            self.main.pop(entry_bytes); // It was removed or replaced before.
            return;
        };
        if is_expired {
            self.remove(position);
            self.main.pop(entry_bytes);
            self.statistics.expirations += 1;
        } else if place.uses > 0 && *rounds_left > 0 {
            *rounds_left -= 1;
            let place = Place {
                offset: self.main.rotate(entry_bytes),
                uses: place.uses - 1,
                ..place
            };
            self.index.set(position, hash, place);
        } else {
            self.remove(position);
            self.main.pop(entry_bytes);
            self.statistics.evictions += 1;
        }
    }

    /// Whether an entry cannot even be served stale any more.
    fn is_expired(&self, entry: &Entry<'_>) -> bool {
        let served_until =
            u64::from(entry.stored_at()) + u64::from(entry.ttl()) + u64::from(self.stale_secs_max);
        u64::from(self.now) >= served_until
    }
}
