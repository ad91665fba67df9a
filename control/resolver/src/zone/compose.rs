//! Writes records into a message, with names compressed against all that stands before (RFC 1035 §4.1.4).
//!
//! Never writes past the end of the slice it is given: what does not fit is [`Full`], and the caller may go back.

use super::data::{EncodedRecords, RECORD_HEADER_BYTES, Rrset, Shape};
use super::name::{LabelStarts, NAME_BYTES_MAX, label_at};
use super::types::rtype;

/// Pointers hold 14 bits (RFC 1035 §4.1.4).
const POINTER_OFFSETS: usize = 0x4000;

/// Marks a pointer.
const POINTER: u16 = 0xc000;

/// The message has no room for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Sections of a message behind the question, as indices into counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// The owner of records to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner<'n> {
    /// A name that already stands in the message.
    At(u16),
    /// A lower-case wire name.
    Name(&'n [u8]),
}

/// Which records of a set to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    Records,
    Signatures,
    Both,
}

/// A place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    position: usize,
    counts: [u16; 3],
}

/// A message being written. `SLOTS` is a power of two and bounds how many names are remembered.
#[derive(Debug)]
pub(super) struct Composer<'m, const SLOTS: usize> {
    message: &'m mut [u8],
    position: usize,
    counts: [u16; 3],
    /// Open addressing by the hash of a name: its hash and where it stands; offset 0 is a free slot.
    slots: [(u32, u16); SLOTS],
    slots_used: usize,
    /// The question's name, until the first name is to be compressed.
    question: Option<&'m [u8]>,
}

impl<'m, const SLOTS: usize> Composer<'m, SLOTS> {
    /// Goes on at `position` of a message whose capacity is `message`. The `question`'s name, if there is one, is lower-case here
    /// and stands behind the header in any case.
    pub(super) fn new(message: &'m mut [u8], position: usize, question: Option<&'m [u8]>) -> Self {
        const { assert!(SLOTS.is_power_of_two()) };
        let slots = [(0, 0); SLOTS];
        Self {
            message,
            position,
            counts: [0; 3],
            slots,
            slots_used: 0,
            question,
        }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn counts(&self) -> [u16; 3] {
        self.counts
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            position: self.position,
            counts: self.counts,
        }
    }

    /// Forgets what was written since the mark. Names remembered since then are harmless: a name is compared before it is used.
    pub(super) fn go_back(&mut self, mark: Mark) {
        (self.position, self.counts) = (mark.position, mark.counts);
    }

    /// Remembers a name that already stands at `offset`, uncompressed, and all its ancestors.
    fn remember(&mut self, name: &[u8], offset: usize) {
        let starts = LabelStarts::of(name);
        let mut hash = 0;
        for &start in starts.as_slice().iter().rev() {
            hash = fold_label(hash, label_at(name, start));
            self.insert(hash, offset + usize::from(start));
        }
    }

    /// Writes a whole set or parts of it; the signatures follow the records.
    pub(super) fn write_rrset(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rrset: &Rrset,
        parts: Parts,
        bytes: &[u8],
    ) -> Result<(), Full> {
        let span = |span: super::data::Span| {
            &bytes[span.start as usize..span.start as usize + span.bytes as usize]
        };
        let mut owner = owner;
        if parts != Parts::Signatures {
            for record in EncodedRecords(span(rrset.records)) {
                owner = self.write_record(section, owner, rrset.shape, record)?;
            }
        }
        if parts != Parts::Records {
            for record in EncodedRecords(span(rrset.signatures)) {
                owner = self.write_record(section, owner, Shape::OPAQUE, record)?;
            }
        }
        Ok(())
    }

    /// Writes one record (header and data), whole or not at all; returns the owner in a form that is cheap to write again.
    #[inline]
    pub(super) fn write_record<'n>(
        &mut self,
        section: Section,
        owner: Owner<'n>,
        shape: Shape,
        record: &[u8],
    ) -> Result<Owner<'n>, Full> {
        let begin = self.position;
        let written = self.try_write_record(owner, shape, record);
        let owner = written.inspect_err(|_| self.position = begin)?;
        let count = &mut self.counts[section as usize];
        *count = count.saturating_add(1); // 65535 records of 12 bytes do not fit.
        Ok(owner)
    }

    #[inline]
    fn try_write_record<'n>(
        &mut self,
        owner: Owner<'n>,
        shape: Shape,
        record: &[u8],
    ) -> Result<Owner<'n>, Full> {
        let owner = self.write_owner(owner)?;
        if shape.names_count == 0 {
            self.write_bytes(record)?;
        } else {
            self.write_with_names(shape, record)?;
        }
        Ok(owner)
    }

    /// Writes the CNAME record that a DNAME record stands for (RFC 6672 §3.1).
    pub(super) fn write_cname(
        &mut self,
        owner: Owner<'_>,
        ttl: u32,
        target: &[u8],
    ) -> Result<(), Full> {
        let mut record = [0; RECORD_HEADER_BYTES + NAME_BYTES_MAX];
        let bytes = RECORD_HEADER_BYTES + target.len();
        let [type_high, type_low] = rtype::CNAME.to_be_bytes();
        let [a, b, c, d] = ttl.to_be_bytes();
        let target_bytes = u8::try_from(target.len()).map_err(|_| Full)?;
        record[..RECORD_HEADER_BYTES].copy_from_slice(&[
            type_high,
            type_low,
            0,
            1,
            a,
            b,
            c,
            d,
            0,
            target_bytes,
        ]);
        record[RECORD_HEADER_BYTES..bytes].copy_from_slice(target);
        self.write_record(
            Section::Answer,
            owner,
            Shape::of(rtype::CNAME),
            &record[..bytes],
        )?;
        Ok(())
    }

    fn write_owner<'n>(&mut self, owner: Owner<'n>) -> Result<Owner<'n>, Full> {
        match owner {
            Owner::At(offset) => {
                self.write_bytes(&(POINTER | offset).to_be_bytes())?;
                Ok(owner)
            }
            Owner::Name(name) => {
                let start = self.position;
                self.write_name(name)?;
                // A pointer to a pointer is allowed, but the root is shorter than a pointer.
                let pointed = u16::try_from(start)
                    .ok()
                    .filter(|_| start < POINTER_OFFSETS && name.len() > 1);
                Ok(pointed.map_or(owner, Owner::At))
            }
        }
    }

    fn write_with_names(&mut self, shape: Shape, record: &[u8]) -> Result<(), Full> {
        let (fixed, mut rest) =
            record.split_at(RECORD_HEADER_BYTES + usize::from(shape.prefix_bytes));
        let data_start = self.position + RECORD_HEADER_BYTES;
        self.write_bytes(fixed)?;
        for _ in 0..shape.names_count {
            let (name, after) = rest.split_at(super::name::name_end(rest).unwrap_or(rest.len()));
            self.write_name(name)?;
            rest = after;
        }
        self.write_bytes(rest)?;
        let data_bytes = u16::try_from(self.position - data_start).map_err(|_| Full)?;
        self.message[data_start - 2..data_start].copy_from_slice(&data_bytes.to_be_bytes());
        Ok(())
    }

    /// Writes a lower-case name, as a pointer from its longest ancestor on that stands in the message.
    fn write_name(&mut self, name: &[u8]) -> Result<(), Full> {
        if let Some(qname) = self.question.take() {
            self.remember(qname, wire::HEADER_BYTES);
        }
        let starts = LabelStarts::of(name);
        let starts = starts.as_slice();
        let mut hashes = [0; super::name::LABELS_MAX];
        let mut hash = 0;
        for (slot, &start) in hashes[..starts.len()].iter_mut().zip(starts).rev() {
            hash = fold_label(hash, label_at(name, start));
            *slot = hash;
        }
        let begin = self.position;
        for (&hash, &start) in hashes.iter().zip(starts) {
            if let Some(offset) = self.recall(hash, &name[usize::from(start)..], begin) {
                self.write_bytes(&name[..usize::from(start)])?;
                self.write_bytes(&(POINTER | offset).to_be_bytes())?;
                self.remember_written(&hashes, starts, start, begin);
                return Ok(());
            }
        }
        self.write_bytes(name)?;
        self.remember_written(&hashes, starts, u8::MAX, begin);
        Ok(())
    }

    /// Remembers the labels of a name written at `begin` that stand before `end`.
    fn remember_written(&mut self, hashes: &[u32], starts: &[u8], end: u8, begin: usize) {
        for (&hash, &start) in hashes.iter().zip(starts) {
            if start < end {
                self.insert(hash, begin + usize::from(start));
            }
        }
    }

    fn insert(&mut self, hash: u32, offset: usize) {
        let Ok(offset) = u16::try_from(offset) else {
            return;
        };
        // A quarter of the slots stays free so that every search ends.
        if usize::from(offset) >= POINTER_OFFSETS || self.slots_used >= SLOTS / 4 * 3 {
            return;
        }
        let mut slot = hash as usize & (SLOTS - 1);
        while self.slots[slot].1 != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        self.slots[slot] = (hash, offset);
        self.slots_used += 1;
    }

    /// Where `name` stands before `limit`.
    fn recall(&self, hash: u32, name: &[u8], limit: usize) -> Option<u16> {
        let mut slot = hash as usize & (SLOTS - 1);
        loop {
            let (known, offset) = self.slots[slot];
            if offset == 0 {
                return None;
            }
            if known == hash
                && usize::from(offset) < limit
                && self.stands_at(usize::from(offset), name)
            {
                return Some(offset);
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
    }

    /// Whether the name at `offset` of the message is `name` but for case.
    pub(super) fn stands_at(&self, mut offset: usize, mut name: &[u8]) -> bool {
        loop {
            let Some(&length) = self.message.get(offset) else {
                return false;
            };
            if length >= 0xc0 {
                let Some(&low) = self.message.get(offset + 1) else {
                    return false;
                };
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                if target >= offset {
                    return false;
                }
                offset = target;
                continue;
            }
            let bytes = 1 + usize::from(length);
            let (Some(left), Some((right, rest))) = (
                self.message.get(offset..offset + bytes),
                name.split_at_checked(bytes),
            ) else {
                return false;
            };
            if !left.eq_ignore_ascii_case(right) {
                return false;
            }
            if length == 0 {
                return true;
            }
            (offset, name) = (offset + bytes, rest);
        }
    }

    #[inline]
    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.position + bytes.len();
        let room = self.message.get_mut(self.position..end).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.position = end;
        Ok(())
    }
}

/// Writes everything of a header but the id.
pub(super) fn write_header(message: &mut [u8], flags: u16, question_count: u16, counts: [u16; 3]) {
    let words = [flags, question_count, counts[0], counts[1], counts[2]];
    let fields = message.get_mut(2..wire::HEADER_BYTES).unwrap_or_default();
    for (field, word) in fields.as_chunks_mut::<2>().0.iter_mut().zip(words) {
        *field = word.to_be_bytes();
    }
}

/// The hash of a name from that of its parent: multiply and rotate, since the names were chosen by the zone, and what they are
/// compared with is bounded.
#[inline]
fn fold_label(hash: u32, label: &[u8]) -> u32 {
    let mut hash = hash.rotate_left(5) ^ u32::from(label.first().copied().unwrap_or(0));
    for chunk in label.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u32::from_le_bytes(word)).wrapping_mul(0x9e37_79b1);
    }
    hash ^ hash >> 15
}
