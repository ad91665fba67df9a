//! Index arithmetic of a single-producer, single-consumer ring, in this one place.
//!
//! Each side keeps its own index privately and publishes it; the other side's index is read from
//! shared memory and believed only within the capacity. Indices count up and never wrap in
//! practice (64 bits). Every slot begins with the index it was written for, so that a stale or
//! scribbled slot is told from a new one.

use crate::mapped::{Mapped, Shareable};
use crate::sync::{AtomicU64, Ordering, fence};

/// Bytes of one slot of either ring.
pub const SLOT_BYTES: usize = 2048;
/// 64-bit words of one slot.
pub(crate) const SLOT_WORDS: usize = SLOT_BYTES / 8;

/// Why a message was not staged. Nothing changed; the caller drops the message and counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The consumer has not taken what is there.
    #[error("the ring is full")]
    Full,
    /// The consumer's published index is outside the ring. It heals with the consumer's next pop.
    #[error("the consumer's index is outside the ring")]
    Index,
    /// Header template or message longer than a slot takes.
    #[error("{bytes} bytes where a slot takes {bytes_max}")]
    TooLong {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// A newer control has been given this region; this one must stop writing.
    #[error("another control process has taken over")]
    Superseded,
}

/// Why a popped slot could not be read. The slot is consumed; the next pop goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The producer's index was outside the ring: everything up to it is skipped.
    #[error("the producer's index was outside the ring")]
    Index,
    /// The slot was written for another index: stale or scribbled.
    #[error("a slot written for another index")]
    Sequence,
    /// A length field larger than the slot's space for it.
    #[error("a length of {bytes} bytes where {bytes_max} fit")]
    Length {
        /// Bytes claimed.
        bytes: usize,
        /// Bytes possible.
        bytes_max: usize,
    },
    /// An unknown kind, transport or flag.
    #[error("unknown kind {0}")]
    Kind(u8),
}

/// One cache line pair, so that no two writers share a line (adjacent lines are fetched together).
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Line(pub(crate) AtomicU64);

/// The shared indices of one ring.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RingIndices {
    /// Written by the producer: slots ever published.
    pub(crate) tail: Line,
    /// Written by the consumer: slots ever consumed.
    pub(crate) head: Line,
    /// The consumer's token while it blocks or is about to; cleared by whoever sees it set.
    pub(crate) sleeping: Line,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<RingIndices>() == 384);

// SAFETY: atomics and padding only, repr(C).
unsafe impl Shareable for RingIndices {}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Producer<const WORDS: usize> {
    indices: Mapped<RingIndices>,
    words: Mapped<[AtomicU64]>,
    capacity: u64,
    /// The next slot to stage; at most `capacity` ahead of `head_seen`.
    tail: u64,
    /// What `indices.tail` holds.
    published: u64,
    /// The consumer's index when last read and found valid.
    head_seen: u64,
    /// The process before us may have died between clearing `sleeping` and its kick.
    kick_due: bool,
    /// Something was not staged since the last publication.
    refused: bool,
}

impl<const WORDS: usize> Producer<WORDS> {
    /// Takes up where an earlier producer left off; indices that make no sense empty the ring.
    pub(crate) fn new(indices: Mapped<RingIndices>, words: Mapped<[AtomicU64]>) -> Self {
        let capacity = capacity(&words, WORDS);
        let mut tail = indices.tail.0.load(Ordering::Acquire);
        let head = indices.head.0.load(Ordering::Acquire);
        if tail.wrapping_sub(head) > capacity {
            tail = head;
            indices.tail.0.store(tail, Ordering::Release);
        }
        Self {
            indices,
            words,
            capacity,
            tail,
            published: tail,
            head_seen: head,
            kick_due: true,
            refused: false,
        }
    }

    /// Lets `write` fill the next slot (without its first word); the consumer sees it only after
    /// [`Producer::publish`].
    pub(crate) fn stage(&mut self, write: impl FnOnce(&[AtomicU64])) -> Result<(), PushError> {
        if self.tail.wrapping_sub(self.head_seen) >= self.capacity {
            self.refused = true;
            self.refresh_head()?;
            self.refused = false;
        }
        let slot = slot(&self.words, self.tail, self.capacity, WORDS);
        if let Some((sequence, body)) = slot.split_first() {
            sequence.store(self.tail, Ordering::Relaxed);
            write(body);
        }
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    fn refresh_head(&mut self) -> Result<(), PushError> {
        let head = self.indices.head.0.load(Ordering::Acquire);
        let waiting = self.tail.wrapping_sub(head);
        if waiting > self.capacity {
            return Err(PushError::Index);
        }
        self.head_seen = head;
        if waiting == self.capacity {
            Err(PushError::Full)
        } else {
            Ok(())
        }
    }

    /// Makes all staged slots visible; true when the consumer sleeps and must be kicked.
    pub(crate) fn publish(&mut self) -> bool {
        let refused = core::mem::take(&mut self.refused);
        if self.tail == self.published && !refused {
            return false;
        }
        self.published = self.tail;
        // After a refusal too: our index may be scribbled over, or the consumer asleep beside a
        // full ring, after one that died.
        self.indices.tail.0.store(self.tail, Ordering::Release);
        // Either we see the consumer's flag, or the consumer sees our tail (Dekker).
        fence(Ordering::SeqCst);
        let asleep = self.indices.sleeping.0.load(Ordering::Relaxed) != 0;
        if asleep {
            // One kick a sleep. The kick follows, so that a consumer whose newer flag this store
            // overwrites is woken all the same.
            self.indices.sleeping.0.store(0, Ordering::Relaxed);
        }
        core::mem::take(&mut self.kick_due) || asleep
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Consumer<const WORDS: usize> {
    indices: Mapped<RingIndices>,
    words: Mapped<[AtomicU64]>,
    capacity: u64,
    /// The next slot to take.
    head: u64,
    /// The producer's index when last read and found valid.
    tail_seen: u64,
    /// What this consumer writes into `sleeping`; never 0.
    token: u64,
}

impl<const WORDS: usize> Consumer<WORDS> {
    /// Takes up where an earlier consumer left off; indices that make no sense empty the ring.
    /// `token` tells this consumer's announcements of sleep from those of the one before.
    pub(crate) fn new(
        indices: Mapped<RingIndices>,
        words: Mapped<[AtomicU64]>,
        token: u64,
    ) -> Self {
        assert!(token != 0);
        let capacity = capacity(&words, WORDS);
        let tail = indices.tail.0.load(Ordering::Acquire);
        let mut head = indices.head.0.load(Ordering::Acquire);
        if tail.wrapping_sub(head) > capacity {
            head = tail;
            indices.head.0.store(head, Ordering::Release);
        }
        indices.sleeping.0.store(0, Ordering::Relaxed);
        Self {
            indices,
            words,
            capacity,
            head,
            tail_seen: tail,
            token,
        }
    }

    /// Lets `read` copy the oldest slot (without its first word). The slot counts as consumed
    /// before the caller looks at the copy: what kills a consumer is not delivered again.
    pub(crate) fn pop<R>(
        &mut self,
        read: impl FnOnce(&[AtomicU64]) -> Result<R, SlotError>,
    ) -> Option<Result<R, SlotError>> {
        if self.head == self.tail_seen {
            match self.refresh_tail() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        let slot = slot(&self.words, self.head, self.capacity, WORDS);
        let (sequence, body) = slot.split_first()?;
        let result = if sequence.load(Ordering::Relaxed) == self.head {
            read(body)
        } else {
            Err(SlotError::Sequence)
        };
        self.head = self.head.wrapping_add(1);
        self.indices.head.0.store(self.head, Ordering::Release);
        Some(result)
    }

    /// Whether there is a slot. On an impossible index the producer is believed and the ring
    /// counts as empty: it publishes the right one next time, and both agree again.
    fn refresh_tail(&mut self) -> Result<bool, SlotError> {
        let tail = self.indices.tail.0.load(Ordering::Acquire);
        let waiting = tail.wrapping_sub(self.head);
        self.tail_seen = tail;
        if waiting > self.capacity {
            self.head = tail;
            self.indices.head.0.store(tail, Ordering::Release);
            return Err(SlotError::Index);
        }
        if waiting == 0 && self.indices.head.0.load(Ordering::Relaxed) != self.head {
            self.indices.head.0.store(self.head, Ordering::Release);
        }
        Ok(waiting != 0)
    }

    /// Announces sleep. True: the ring is empty and the next publication kicks; block now.
    /// False: something arrived; pop it.
    pub(crate) fn prepare_sleep(&mut self) -> bool {
        self.indices.sleeping.0.store(self.token, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let empty = self.indices.tail.0.load(Ordering::Relaxed) == self.head;
        if !empty {
            self.wake();
        }
        empty
    }

    /// Withdraws our announcement; never that of a consumer that came after us.
    pub(crate) fn wake(&mut self) {
        let _ = self.indices.sleeping.0.compare_exchange(
            self.token,
            0,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

fn capacity(words: &[AtomicU64], slot_words: usize) -> u64 {
    let slots = words.len() / slot_words;
    assert!(slots.is_power_of_two());
    assert!(words.len() == slots * slot_words);
    slots as u64
}

fn slot(words: &[AtomicU64], index: u64, capacity: u64, slot_words: usize) -> &[AtomicU64] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than the number of slots in memory"
    )]
    let start = (index & (capacity - 1)) as usize * slot_words;
    &words[start..start + slot_words]
}
