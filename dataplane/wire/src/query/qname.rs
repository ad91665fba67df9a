//! The name of the question, copied once and lower-cased on the way.

use super::QueryError;
use crate::{HEADER_BYTES, QNAME_BYTES_MAX};

/// Bytes that are lower-cased at a time.
const WORD_BYTES: usize = 8;

/// A name in wire form, lower case. Only `length` bytes mean something.
#[derive(Clone)]
pub(crate) struct Qname {
    bytes: [u8; QNAME_BYTES_MAX + 1],
    length: u8,
}

impl Qname {
    pub(crate) const fn root() -> Self {
        Self {
            bytes: [0; QNAME_BYTES_MAX + 1],
            length: 1,
        }
    }

    /// Reads the name at the question's place over the present one and returns its length in
    /// bytes. It cannot be compressed: no name precedes it.
    #[inline]
    pub(crate) fn parse(&mut self, message: &[u8]) -> Result<usize, QueryError> {
        let length = measure(message)?;
        let end = HEADER_BYTES + length;
        let truncated = QueryError::Truncated { offset: end };
        let head = message.get(..end).ok_or(truncated)?;
        let (words, rest) = head
            .get(HEADER_BYTES..)
            .ok_or(truncated)?
            .as_chunks::<WORD_BYTES>();
        let (words_out, _) = self.bytes.as_chunks_mut::<WORD_BYTES>();
        for (out, word) in words_out.iter_mut().zip(words) {
            *out = lowercase(u64::from_le_bytes(*word)).to_le_bytes();
        }
        // The rest, without a copy of variable length: the last word of the name, shifted. There
        // always is one, for the header precedes.
        if let (Some(out), Some(last)) = (words_out.get_mut(words.len()), head.last_chunk()) {
            let rest_bits = u8::BITS * u32::from(low_byte(rest.len()));
            let last = u64::from_le_bytes(*last);
            let last = last.checked_shr(u64::BITS - rest_bits).unwrap_or(0);
            *out = lowercase(last).to_le_bytes();
        }
        self.length = low_byte(length);
        Ok(length)
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        // Always there: 255 bytes at most of 256.
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl PartialEq for Qname {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Qname {}

impl core::fmt::Debug for Qname {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Qname({})", self.as_slice().escape_ascii())
    }
}

/// Length of the question's name in wire form, root byte included; at most 255.
#[inline]
pub(crate) fn measure(message: &[u8]) -> Result<usize, QueryError> {
    let mut offset = HEADER_BYTES;
    loop {
        let Some(&label_bytes) = message.get(offset) else {
            return Err(QueryError::Truncated { offset });
        };
        offset += 1;
        match label_bytes {
            0 => return Ok(offset - HEADER_BYTES),
            1..=63 => offset += usize::from(label_bytes),
            0xc0.. => return Err(QueryError::CompressedQuestion),
            _ => return Err(QueryError::LabelLength(label_bytes)),
        }
        if offset >= HEADER_BYTES + QNAME_BYTES_MAX {
            return Err(QueryError::NameLength); // The root byte at least would follow.
        }
    }
}

/// A length that was found to be at most 255.
#[inline]
fn low_byte(length: usize) -> u8 {
    length.to_le_bytes()[0]
}

/// Lower-cases the ASCII letters of eight bytes at once. Length bytes are at most 63, below 'A',
/// so that the whole name can be treated alike.
#[inline]
fn lowercase(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Sums of seven bits and a constant below 128: they carry into bit 7, never into a neighbour.
    let low_bits = word & (EACH * 0x7f);
    let from_a = low_bits + EACH * (0x80 - b'A' as u64);
    let after_z = low_bits + EACH * (0x7f - b'Z' as u64);
    let is_upper = (from_a ^ after_z) & !word & (EACH * 0x80);
    word | is_upper >> 2 // 0x80 becomes 0x20, the bit that makes a letter small.
}
