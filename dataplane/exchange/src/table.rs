//! The answer table: written by control alone, read by workers without locks.
//!
//! ```text
//! bucket, 256 words:  sequence | directory, 15 words | entries, 240 words
//! directory word:     hash, upper 56 bits | words of the entry, 8 bits; 0 ends the directory
//! ```
//! A look-up that finds nothing touches the directory alone: two cache lines. Entries lie behind
//! it in the order of the directory, oldest insertion first.

use std::sync::Arc;

use cache::{ENTRY_BYTES_MAX, Entry, Freshness, Key, Lookup};

use crate::claim::{Claim, Tenure};
use crate::generations::Generations;
use crate::layout::{BUCKET_WORDS, ControlBlock};
use crate::mapped::Mapped;
use crate::seqlock;
use crate::sync::{AtomicU64, Ordering};
use crate::words;

/// Entries of one bucket at most.
pub const BUCKET_ENTRIES_MAX: usize = 15;
/// First word of the entries.
const DATA_WORD: usize = 1 + BUCKET_ENTRIES_MAX;
/// Words for entries.
const DATA_WORDS: usize = BUCKET_WORDS - DATA_WORD;
/// The low bits of a directory word: words of the entry.
const LENGTH_MASK: u64 = 0xff;

const _: () = assert!(ENTRY_BYTES_MAX <= DATA_WORDS * 8);
const _: () = assert!(ENTRY_BYTES_MAX.is_multiple_of(8));
const _: () = assert!((ENTRY_BYTES_MAX / 8) as u64 <= LENGTH_MASK);

/// Room for any entry: a worker has one of these for what it reads from the table.
pub type EntryBuffer = [u8; ENTRY_BYTES_MAX];

/// Where a directory word says an entry lies, as words of the bucket; validated.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    word: usize,
    words: usize,
    fingerprint: u64,
}

/// Reads the `index`th directory word; None where the directory ends or makes no sense.
/// `word` is where the entry before ended.
fn place(bucket: &[AtomicU64], index: usize, word: usize) -> Option<Place> {
    let directory = bucket.get(1 + index)?.load(Ordering::Relaxed);
    let words = usize::try_from(directory & LENGTH_MASK).ok()?;
    if words == 0 || words > ENTRY_BYTES_MAX / 8 || word + words > BUCKET_WORDS {
        return None;
    }
    Some(Place {
        word,
        words,
        fingerprint: fingerprint_of(directory),
    })
}

/// Reads answers; any number of these, in any process.
#[derive(Clone, Debug)]
pub struct TableReader {
    words: Mapped<[AtomicU64]>,
}

impl TableReader {
    pub(crate) fn new(words: Mapped<[AtomicU64]>) -> Self {
        Self { words }
    }

    /// Looks `key` up and copies what it finds into `scratch`. `now` is seconds of
    /// CLOCK_MONOTONIC; `stale_secs_max` bounds stale answers (RFC 8767). A bucket that control is
    /// writing for longer than three tries counts as empty.
    pub fn get<'a>(
        &self,
        key: &Key<'_>,
        now: u32,
        generations: &impl cache::Generations,
        stale_secs_max: u32,
        scratch: &'a mut EntryBuffer,
    ) -> Lookup<'a> {
        let bucket = bucket(&self.words, bucket_index(&self.words, key.hash));
        let Some((sequence, _)) = bucket.split_first() else {
            return Lookup::Miss;
        };
        let found = seqlock::read(sequence, || copy_matching(bucket, key.hash, scratch));
        let Some(Some(bytes)) = found else {
            return Lookup::Miss;
        };
        let parsed = scratch.get(..bytes).map(Entry::parse);
        match parsed {
            Some(Ok(entry)) if entry.key() == *key => {
                Lookup::judge(entry, now, generations, stale_secs_max)
            }
            _ => Lookup::Miss,
        }
    }

    /// Shows every entry, dead and expired ones too, to `visit`: for a dump of the table. Copies
    /// bucket by bucket; what is being written meanwhile is left out.
    pub fn for_each(&self, mut visit: impl FnMut(&Entry<'_>)) {
        let mut copy = Bucket::empty();
        for words in self.words.chunks_exact(BUCKET_WORDS) {
            let Some((sequence, _)) = words.split_first() else {
                continue;
            };
            if seqlock::read(sequence, || copy.load(words)).is_none() {
                continue;
            }
            for place in copy.places() {
                if let Some(entry) = copy.entry(place) {
                    visit(&entry);
                }
            }
        }
    }
}

/// Copies the first entry whose fingerprint matches; returns its bytes.
fn copy_matching(bucket: &[AtomicU64], hash: u64, scratch: &mut EntryBuffer) -> Option<usize> {
    let mut word = DATA_WORD;
    for index in 0..BUCKET_ENTRIES_MAX {
        let place = place(bucket, index, word)?;
        if place.fingerprint == fingerprint_of(hash) {
            let bytes = place.words * 8;
            words::load(bucket.get(place.word..)?, scratch.get_mut(..bytes)?);
            return Some(bytes);
        }
        word += place.words;
    }
    None
}

/// A newer control has been given this region; this one must stop writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another control process has taken over")]
pub struct Superseded;

/// What a writer has done since it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStatistics {
    /// Entries written.
    pub insertions: u64,
    /// Entries replaced by a newer one of the same key, and what was no entry (any more).
    pub replacements: u64,
    /// Entries dropped for room, past their TTL or of an older generation.
    pub expirations: u64,
    /// Entries dropped for room that were still good.
    pub evictions: u64,
    /// Buckets emptied because an earlier writer was killed half-way.
    pub repairs: u64,
}

/// Writes answers; control's alone.
#[derive(Debug)]
pub struct TableWriter {
    words: Mapped<[AtomicU64]>,
    generations: Generations,
    control: Mapped<ControlBlock>,
    tenure: Tenure,
    statistics: TableStatistics,
    /// What the bucket in hand holds; private, hence stable.
    copy: Box<Bucket>,
    _claim: Arc<Claim>,
}

impl TableWriter {
    /// Takes the table up and repairs the bucket that an earlier writer left half-written.
    pub(crate) fn new(
        words: Mapped<[AtomicU64]>,
        generations: Generations,
        control: Mapped<ControlBlock>,
        tenure: Tenure,
        claim: Arc<Claim>,
    ) -> Self {
        let copy = Box::new(Bucket::empty());
        let statistics = TableStatistics::default();
        let mut writer = Self {
            words,
            generations,
            control,
            tenure,
            statistics,
            copy,
            _claim: claim,
        };
        writer.repair();
        writer
    }

    /// Puts an entry into its bucket, in place of one with the same key (or, once in 2^56, with the
    /// same fingerprint). For room, entries past
    /// their TTL or of an older generation go first, then the oldest. `now` is seconds of
    /// CLOCK_MONOTONIC. Readers are never blocked.
    pub fn insert(&mut self, entry: &Entry<'_>, now: u32) -> Result<(), Superseded> {
        if !self.tenure.holds() {
            return Err(Superseded);
        }
        let index = bucket_index(&self.words, entry.hash());
        self.load(index);
        // By what readers search for: of two entries with one fingerprint they see the first.
        let fingerprint = fingerprint_of(entry.hash());
        let replaced = self
            .copy
            .retain(|old| fingerprint_of(old.hash()) != fingerprint);
        self.statistics.replacements += replaced as u64;
        while !self.copy.fits(entry) {
            match self.copy.drop_worst(now, &self.generations) {
                Some(Freshness::Fresh(_)) => self.statistics.evictions += 1,
                Some(_) => self.statistics.expirations += 1,
                // Cannot happen: an empty bucket has room for the largest entry.
                None => return Ok(()),
            }
        }
        self.copy.append(entry);
        self.statistics.insertions += 1;
        self.store(index);
        Ok(())
    }

    /// Removes every entry that `matches` from `buckets_max` buckets, the first of which is `start`;
    /// returns how many, and where to go on, if other buckets are left. For a flush by name, which
    /// visits the whole table, not for zone changes, which raise the generation.
    pub fn remove_where(
        &mut self,
        start: usize,
        buckets_max: usize,
        mut matches: impl FnMut(&Entry<'_>) -> bool,
    ) -> Result<(usize, Option<usize>), Superseded> {
        let mut removed = 0;
        let count = self.words.len() / BUCKET_WORDS;
        let end = start.saturating_add(buckets_max).min(count);
        for index in start..end {
            if !self.tenure.holds() {
                return Err(Superseded);
            }
            self.load(index);
            let here = self.copy.retain(|entry| !matches(entry));
            if here != 0 {
                self.store(index);
                removed += here;
            }
        }
        Ok((removed, (end < count).then_some(end)))
    }

    /// What this writer has done.
    #[must_use]
    pub fn statistics(&self) -> TableStatistics {
        self.statistics
    }

    /// Copies a bucket, or nothing if it was left half-written.
    fn load(&mut self, index: usize) {
        let words = bucket(&self.words, index);
        let torn = words
            .first()
            .is_none_or(|word| word.load(Ordering::Relaxed) & 1 == 1);
        if torn {
            *self.copy = Bucket::empty();
        } else {
            self.copy.load(words);
        }
    }

    /// Writes the copy over a bucket.
    fn store(&mut self, index: usize) {
        self.control
            .table_writing
            .store(index as u64 + 1, Ordering::Relaxed);
        let words = bucket(&self.words, index);
        let (copy, statistics) = (&self.copy, &mut self.statistics);
        if let Some((sequence, rest)) = words.split_first() {
            seqlock::write(sequence, |torn| {
                statistics.repairs += u64::from(torn);
                copy.store(rest);
            });
        }
        self.control.table_writing.store(0, Ordering::Relaxed);
    }

    fn repair(&mut self) {
        let mark = self.control.table_writing.load(Ordering::Relaxed);
        let index = mark
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(index) = index.filter(|index| *index < self.words.len() / BUCKET_WORDS) {
            self.load(index);
            self.store(index);
        }
    }
}

/// A private copy of a bucket.
#[derive(Debug)]
struct Bucket {
    places: [Place; BUCKET_ENTRIES_MAX],
    count: usize,
    data: [u8; DATA_WORDS * 8],
}

impl Bucket {
    fn empty() -> Self {
        let places = [Place::default(); BUCKET_ENTRIES_MAX];
        Self {
            places,
            count: 0,
            data: [0; DATA_WORDS * 8],
        }
    }

    fn load(&mut self, bucket: &[AtomicU64]) {
        self.count = 0;
        let mut word = DATA_WORD;
        for (index, slot) in self.places.iter_mut().enumerate() {
            let Some(place) = place(bucket, index, word) else {
                break;
            };
            *slot = place;
            self.count += 1;
            word += place.words;
        }
        words::load(
            &bucket[DATA_WORD..],
            &mut self.data[..(word - DATA_WORD) * 8],
        );
    }

    /// Writes directory and entries over a bucket without its sequence word.
    fn store(&self, rest: &[AtomicU64]) {
        let places = self.places();
        for (index, word) in rest[..BUCKET_ENTRIES_MAX].iter().enumerate() {
            let directory = places
                .get(index)
                .map_or(0, |place| place.fingerprint | place.words as u64);
            word.store(directory, Ordering::Relaxed);
        }
        words::store(
            &rest[BUCKET_ENTRIES_MAX..],
            &self.data[..self.used_words() * 8],
        );
    }

    fn places(&self) -> &[Place] {
        &self.places[..self.count]
    }

    fn used_words(&self) -> usize {
        self.places()
            .last()
            .map_or(0, |place| place.word + place.words - DATA_WORD)
    }

    /// The entry at `place`; None if the memory held something else.
    fn entry(&self, place: &Place) -> Option<Entry<'_>> {
        let start = (place.word - DATA_WORD) * 8;
        Entry::parse(self.data.get(start..start + place.words * 8)?)
            .ok()
            .filter(|entry| entry.as_bytes().len() == place.words * 8)
            .filter(|entry| fingerprint_of(entry.hash()) == place.fingerprint)
    }

    /// Keeps what is an entry and what `keep` says; returns how many went.
    fn retain(&mut self, mut keep: impl FnMut(&Entry<'_>) -> bool) -> usize {
        let mut index = 0;
        let before = self.count;
        while let Some(place) = self.places().get(index) {
            if self.entry(place).is_some_and(|entry| keep(&entry)) {
                index += 1;
            } else {
                self.remove(index);
            }
        }
        before - self.count
    }

    fn remove(&mut self, index: usize) {
        let gone = self.places[index];
        let end = DATA_WORD + self.used_words();
        let byte = |word: usize| (word - DATA_WORD) * 8;
        self.data
            .copy_within(byte(gone.word + gone.words)..byte(end), byte(gone.word));
        self.places.copy_within(index + 1..self.count, index);
        self.count -= 1;
        for place in &mut self.places[index..self.count] {
            place.word -= gone.words;
        }
    }

    fn fits(&self, entry: &Entry<'_>) -> bool {
        let words = entry.as_bytes().len() / 8;
        self.count < BUCKET_ENTRIES_MAX && self.used_words() + words <= DATA_WORDS
    }

    /// Drops one entry: of those that are no longer fresh, else of all, the oldest. Says what it
    /// was; None if there was none.
    fn drop_worst(&mut self, now: u32, generations: &Generations) -> Option<Freshness> {
        let judged = self
            .places()
            .iter()
            .enumerate()
            .filter_map(|(index, place)| {
                let entry = self.entry(place)?;
                let freshness = Freshness::of(&entry, now, generations, 0);
                let rank = (
                    matches!(freshness, Freshness::Fresh(_)),
                    entry.stored_at(),
                    index,
                );
                Some((rank, freshness))
            });
        let ((_, _, index), freshness) = judged.min_by_key(|(rank, _)| *rank)?;
        self.remove(index);
        Some(freshness)
    }

    /// Puts an entry, which [`Bucket::fits`], at the end.
    fn append(&mut self, entry: &Entry<'_>) {
        let bytes = entry.as_bytes();
        let used = self.used_words();
        let place = Place {
            word: DATA_WORD + used,
            words: bytes.len() / 8,
            fingerprint: fingerprint_of(entry.hash()),
        };
        self.data[used * 8..used * 8 + bytes.len()].copy_from_slice(bytes);
        self.places[self.count] = place;
        self.count += 1;
    }
}

/// The part of a hash that the directory keeps.
fn fingerprint_of(hash: u64) -> u64 {
    hash & !LENGTH_MASK
}

/// The low bits of the hash choose the bucket; the directory keeps the upper 56.
fn bucket_index(words: &[AtomicU64], hash: u64) -> usize {
    let buckets = (words.len() / BUCKET_WORDS) as u64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than the number of buckets"
    )]
    let index = (hash & (buckets - 1)) as usize;
    index
}

fn bucket(words: &[AtomicU64], index: usize) -> &[AtomicU64] {
    &words[index * BUCKET_WORDS..(index + 1) * BUCKET_WORDS]
}
