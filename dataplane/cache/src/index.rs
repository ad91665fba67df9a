//! Where the entry of a hash is: one cache line a bucket, eight ways a bucket.
//!
//! A way is empty, holds the place of a living entry, or is the ghost of an entry that was
//! evicted young: ghosts use only what no living entry needs, first its way, then what is left of
//! the cache line.

#![expect(
    clippy::indexing_slicing,
    reason = "buckets and ways are scaled or counted to fit"
)]

use alloc::boxed::Box;
use alloc::vec;

/// Ways of a bucket.
pub(crate) const WAYS: usize = 8;

/// Ghosts that have lost their way.
const HOMELESS: usize = 4;

/// Length of a bucket, in bytes: one cache line.
pub(crate) const BUCKET_BYTES: usize = 64;

/// Uses of an entry are counted up to here.
pub(crate) const USES_MAX: u8 = 3;

const EMPTY: u8 = 0;
const GHOST: u8 = 1;
/// States of living entries: queue and uses.
const SMALL: u8 = 0x10;
const MAIN: u8 = 0x20;
const LIVING: u8 = SMALL | MAIN;
const USES: u8 = 0x03;

/// Which log an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// New entries.
    Small,
    /// Entries that were used more than once.
    Main,
}

/// Where a living entry is, and how often it was used lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) queue: Queue,
    /// In bytes from the start of the log; a multiple of 8.
    pub(crate) offset: usize,
    pub(crate) uses: u8,
}

/// One way of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    bucket: usize,
    way: usize,
}

/// Arrays by field, so that all tags are compared at once.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u16; WAYS],
    /// Living: offset in units of 8 bytes. Ghost: when it was evicted, in evictions.
    places: [u32; WAYS],
    states: [u8; WAYS],
    /// Tags of ghosts whose way a living entry took, youngest first.
    homeless: [u16; HOMELESS],
}

const _: () = assert!(size_of::<Bucket>() == BUCKET_BYTES);

/// All buckets.
pub(crate) struct Index {
    buckets: Box<[Bucket]>,
    /// Counts ghosts; wraps, as only differences matter.
    ghost_clock: u32,
}

impl Index {
    /// Allocates the buckets.
    pub(crate) fn with_buckets(count: usize) -> Self {
        const NOTHING: Bucket = Bucket {
            tags: [0; WAYS],
            places: [0; WAYS],
            states: [EMPTY; WAYS],
            homeless: [0; HOMELESS],
        };
        assert!(count > 0);
        assert!(u32::try_from(count).is_ok());
        Self {
            buckets: vec![NOTHING; count].into_boxed_slice(),
            ghost_clock: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buckets.len() * BUCKET_BYTES
    }

    /// The bucket of a hash: its high half, scaled.
    #[inline]
    pub(crate) fn bucket(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    /// Living entries in `bucket` whose tag is that of `hash`.
    #[inline]
    pub(crate) fn candidates(&self, bucket: usize, hash: u64) -> Candidates<'_> {
        let line = &self.buckets[bucket];
        Candidates {
            line,
            bucket,
            mask: line.matches(tag(hash)),
        }
    }

    /// The living entry at a position.
    #[inline]
    pub(crate) fn place(&self, position: Position) -> Option<Place> {
        self.buckets[position.bucket].place(position.way)
    }

    /// All living entries.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> + use<> {
        let buckets = self.buckets.len();
        (0..buckets).flat_map(|bucket| (0..WAYS).map(move |way| Position { bucket, way }))
    }

    /// The position of the living entry of `hash` at `offset` of `queue`.
    pub(crate) fn find(&self, hash: u64, queue: Queue, offset: usize) -> Option<Position> {
        self.candidates(self.bucket(hash), hash)
            .find(|(_, place)| place.queue == queue && place.offset == offset)
            .map(|(position, _)| position)
    }

    /// Counts one use.
    #[inline]
    pub(crate) fn touch(&mut self, position: Position) {
        let state = &mut self.buckets[position.bucket].states[position.way];
        if *state & USES < USES_MAX {
            *state += 1; // Entries that are used all the time leave the line clean.
        }
    }

    /// Puts a living entry at a position; a ghost that was there loses its way.
    pub(crate) fn set(&mut self, position: Position, hash: u64, place: Place) {
        assert!(place.offset.is_multiple_of(8));
        assert!(place.uses <= USES_MAX);
        let bucket = &mut self.buckets[position.bucket];
        if bucket.states[position.way] == GHOST {
            bucket.homeless.copy_within(..HOMELESS - 1, 1);
            bucket.homeless[0] = bucket.tags[position.way];
        }
        bucket.tags[position.way] = tag(hash);
        #[expect(clippy::cast_possible_truncation, reason = "checked when allocated")]
        let unit = (place.offset / 8) as u32;
        bucket.places[position.way] = unit;
        let queue = match place.queue {
            Queue::Small => SMALL,
            Queue::Main => MAIN,
        };
        bucket.states[position.way] = queue | place.uses;
    }

    /// Forgets what is at a position.
    pub(crate) fn clear(&mut self, position: Position) {
        self.buckets[position.bucket].states[position.way] = EMPTY;
    }

    /// Leaves a ghost at the position of an entry that is evicted.
    pub(crate) fn haunt(&mut self, position: Position) {
        let bucket = &mut self.buckets[position.bucket];
        bucket.states[position.way] = GHOST;
        bucket.places[position.way] = self.ghost_clock;
        self.ghost_clock = self.ghost_clock.wrapping_add(1);
    }

    /// Whether there is a ghost of `hash`, which is gone then if it has a way. A wrong yes, once
    /// in some thousand names, only spares an entry the small log.
    pub(crate) fn exorcise(&mut self, hash: u64) -> bool {
        let bucket = self.bucket(hash);
        let line = &mut self.buckets[bucket];
        let mut mask = line.matches(tag(hash));
        while mask != 0 {
            let way = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if line.states[way] == GHOST {
                line.states[way] = EMPTY;
                return true;
            }
        }
        line.homeless.contains(&tag(hash))
    }

    /// Where to put a new entry of `hash`: an empty way, else the oldest ghost, else the least
    /// used living entry, new ones first. The caller deals with a living one.
    pub(crate) fn vacancy(&self, hash: u64) -> Position {
        let bucket = self.bucket(hash);
        let line = &self.buckets[bucket];
        let rank = |way: usize| match line.states[way] {
            EMPTY => (0, 0),
            GHOST => (
                1,
                u32::MAX - self.ghost_clock.wrapping_sub(line.places[way]),
            ),
            state => (state, 0), // SMALL | uses, below MAIN | uses.
        };
        let way = (0..WAYS).min_by_key(|&way| rank(way)).unwrap_or(0);
        Position { bucket, way }
    }
}

impl core::fmt::Debug for Index {
    /// Without megabytes of buckets.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Index")
            .field("buckets", &self.buckets.len())
            .field("ghost_clock", &self.ghost_clock)
            .finish()
    }
}

impl Bucket {
    /// Bit mask of the ways with `tag`, whatever their state.
    #[inline]
    fn matches(&self, tag: u16) -> u8 {
        let mut mask = 0;
        for (way, candidate) in self.tags.iter().enumerate() {
            mask |= u8::from(*candidate == tag) << way;
        }
        mask
    }

    #[inline]
    fn place(&self, way: usize) -> Option<Place> {
        let state = self.states[way];
        if state & LIVING == 0 {
            return None;
        }
        Some(Place {
            queue: if state & MAIN != 0 {
                Queue::Main
            } else {
                Queue::Small
            },
            offset: self.places[way] as usize * 8,
            uses: state & USES,
        })
    }
}

/// Iterator over the living entries of one bucket that have one tag.
#[derive(Clone, Debug)]
pub(crate) struct Candidates<'a> {
    line: &'a Bucket,
    bucket: usize,
    mask: u8,
}

impl Iterator for Candidates<'_> {
    type Item = (Position, Place);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.mask != 0 {
            let way = (self.mask.trailing_zeros() as usize) % WAYS;
            self.mask &= self.mask - 1;
            if let Some(place) = self.line.place(way) {
                let bucket = self.bucket;
                return Some((Position { bucket, way }, place));
            }
        }
        None
    }
}

#[inline]
fn tag(hash: u64) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits on purpose")]
    let tag = hash as u16;
    tag
}
