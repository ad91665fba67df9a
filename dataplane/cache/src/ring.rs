//! A log of entries over a fixed piece of memory: written at the tail, dropped at the head.
//!
//! Entries lie whole, one behind the other; the last of a lap leaves a gap at the end if the next
//! does not fit there. Knows nothing of keys: who is alive is the index's business.

use alloc::boxed::Box;
use alloc::vec;

use crate::Entry;

/// One log.
#[derive(Debug)]
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
    /// Allocates the memory; `bytes` is rounded down to a multiple of 8.
    pub(crate) fn with_bytes(bytes: usize) -> Self {
        Self {
            bytes: vec![0; bytes & !7].into_boxed_slice(),
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
