//! A log of entries over a fixed piece of memory: written at the tail, dropped at the head.
//!
//! Entries lie whole, one behind the other; the last of a lap leaves a gap at the end if the next
//! does not fit there. Knows nothing of keys: who is alive is the index's business.

#![expect(
    clippy::indexing_slicing,
    reason = "offsets are those that the log gave out"
)]

use alloc::boxed::Box;
use alloc::vec;
use core::hint::black_box;

use crate::Entry;

/// Least size of a page of memory, in bytes.
const PAGE_BYTES: usize = 4096;

/// One log.
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    /// Offset of the oldest entry.
    head: usize,
    /// Offset behind the newest entry.
    tail: usize,
    /// Where the lap of the head ends, once the tail is in the next lap.
    lap_end: Option<usize>,
}

impl Ring {
    /// Allocates the memory; `bytes` is rounded down to a multiple of 8. Writes to every page, so
    /// that the kernel provides it now and not while packets wait.
    pub(crate) fn with_bytes(bytes: usize) -> Self {
        let mut bytes = vec![0; bytes & !7].into_boxed_slice();
        for page in bytes.chunks_mut(PAGE_BYTES) {
            page[0] = 0xff;
        }
        Self {
            bytes,
            head: 0,
            tail: 0,
            lap_end: None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The entry at `offset`; `None` only if nothing was pushed there.
    #[inline]
    pub(crate) fn entry(&self, offset: usize) -> Option<Entry<'_>> {
        Entry::view(self.bytes.get(offset..)?).ok()
    }

    /// Reads from both cache lines that an entry at `offset` usually takes, and returns its hash.
    /// Neither load waits for the other.
    #[inline]
    pub(crate) fn touch(&self, offset: usize) -> Option<u64> {
        const LINE_BYTES: usize = 64;
        black_box(self.bytes.get(offset + LINE_BYTES).copied()); // Keeps a load without a use.
        let hash = self.bytes.get(offset..)?.first_chunk()?;
        Some(u64::from_le_bytes(*hash))
    }

    /// Offset and entry at the head.
    pub(crate) fn oldest(&self) -> Option<(usize, Entry<'_>)> {
        if self.head == self.tail && self.lap_end.is_none() {
            return None;
        }
        Some((self.head, self.entry(self.head)?))
    }

    /// Drops the entry of `entry_bytes` at the head. Its bytes stay until the next push.
    pub(crate) fn pop(&mut self, entry_bytes: usize) {
        self.head += entry_bytes;
        assert!(self.head <= self.lap_end.unwrap_or(self.tail));
        if self.lap_end == Some(self.head) {
            (self.head, self.lap_end) = (0, None);
        }
        if self.lap_end.is_none() && self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
    }

    /// Whether an entry of `entry_bytes` fits without dropping another.
    pub(crate) fn has_room(&self, entry_bytes: usize) -> bool {
        match self.lap_end {
            None => self.tail + entry_bytes <= self.bytes.len() || entry_bytes <= self.head,
            Some(_) => self.tail + entry_bytes <= self.head,
        }
    }

    /// Writes an entry at the tail and returns its offset; there must be room.
    pub(crate) fn push(&mut self, entry: &[u8]) -> usize {
        let offset = self.reserve(entry.len());
        self.bytes[offset..offset + entry.len()].copy_from_slice(entry);
        offset
    }

    /// Moves the entry at the head to the tail and returns its new offset. Always has room: what
    /// the head leaves is as long as what the tail takes.
    pub(crate) fn rotate(&mut self, entry_bytes: usize) -> usize {
        let from = self.head;
        self.pop(entry_bytes);
        let offset = self.reserve(entry_bytes);
        self.bytes.copy_within(from..from + entry_bytes, offset);
        offset
    }

    /// Writes over the entry at `offset`, which has the same length.
    pub(crate) fn overwrite(&mut self, offset: usize, entry: &[u8]) {
        self.bytes[offset..offset + entry.len()].copy_from_slice(entry);
    }

    /// Takes `entry_bytes` at the tail.
    fn reserve(&mut self, entry_bytes: usize) -> usize {
        assert!(self.has_room(entry_bytes));
        if self.lap_end.is_none() && self.tail + entry_bytes > self.bytes.len() {
            self.lap_end = Some(self.tail);
            self.tail = 0;
        }
        let offset = self.tail;
        self.tail += entry_bytes;
        offset
    }
}

impl core::fmt::Debug for Ring {
    /// Without megabytes of entries.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Ring")
            .field("bytes", &self.bytes.len())
            .field("head", &self.head)
            .field("tail", &self.tail)
            .field("lap_end", &self.lap_end)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::{ENTRY_BYTES_MAX, EntryMeta, Hasher, encode};

    /// An entry with `records` addresses, numbered in its generation.
    fn entry(number: u32, records: u8) -> Vec<u8> {
        let mut message = vec![
            0, 0, 0x81, 0x80, 0, 1, 0, records, 0, 0, 0, 0, 0, 0, 1, 0, 1,
        ];
        for _ in 0..records {
            message.extend([0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        }
        let key = Hasher::new(1, 2).key_of(&[0], 1, 1, 0);
        let meta = EntryMeta {
            stored_at: 0,
            ttl: 60,
            zone: 0,
            generation: number,
        };
        let mut bytes = vec![0; ENTRY_BYTES_MAX];
        let length = encode(&message, &key, &meta, &mut bytes).expect("well-formed");
        bytes.truncate(length);
        bytes
    }

    /// Lengths that change all the time, so that every gap at the end of a lap occurs.
    fn records(number: u32) -> u8 {
        u8::try_from(number * number % 79).expect("below 79") + 1
    }

    #[test]
    fn entries_leave_in_the_order_they_came_whatever_their_lengths() {
        let mut ring = Ring::with_bytes(8000);
        let mut model = VecDeque::new();
        for number in 0..5000 {
            let bytes = entry(number, records(number));
            while !ring.has_room(bytes.len()) {
                let (offset, oldest) = ring.oldest().expect("not empty");
                let (expected_offset, expected): (usize, Vec<u8>) =
                    model.pop_front().expect("not empty");
                assert_eq!(offset, expected_offset);
                assert_eq!(oldest.as_bytes(), expected);
                ring.pop(expected.len());
            }
            model.push_back((ring.push(&bytes), bytes));
            for (offset, bytes) in &model {
                assert_eq!(ring.entry(*offset).expect("there").as_bytes(), bytes);
            }
        }
    }

    #[test]
    fn rotated_entries_come_round_unchanged() {
        let mut ring = Ring::with_bytes(8000);
        let mut model = VecDeque::new();
        for number in 0.. {
            let bytes = entry(number, records(number));
            if !ring.has_room(bytes.len()) {
                break;
            }
            model.push_back((ring.push(&bytes), bytes));
        }
        assert!(model.len() > 3);
        for _ in 0..1000 {
            let (_, bytes) = model.pop_front().expect("not empty");
            model.push_back((ring.rotate(bytes.len()), bytes));
            for (offset, bytes) in &model {
                assert_eq!(ring.entry(*offset).expect("there").as_bytes(), bytes);
            }
        }
    }

    #[test]
    fn ring_that_was_emptied_has_room_for_its_whole_length() {
        let mut ring = Ring::with_bytes(3000);
        for number in 0..100 {
            let bytes = entry(number, records(number));
            ring.push(&bytes);
            ring.pop(bytes.len());
            assert!(ring.has_room(3000));
            assert!(ring.oldest().is_none());
        }
    }
}
