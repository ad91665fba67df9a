//! One answer as it lies in a cache and in the table that the planes share.
//!
//! ```text
//! header 48 | qname | TTL offsets, 2 bytes each | body | zeros up to a multiple of 8
//! ```
//! All numbers are little-endian. The bytes may come from another process: [`Entry::parse`]
//! checks every length and offset, and no method panics on what passed.

use core::ops::Range;

use wire::answer::{Answer, AnswerError, dissect};
use wire::{HEADER_BYTES, UDP_PAYLOAD_BYTES_MAX};

use crate::Key;

/// Length of the fixed part of an entry, in bytes.
pub const ENTRY_HEADER_BYTES: usize = 48;

/// Most records of an answer: each takes 11 bytes of a message at least, the question 5.
pub const RECORDS_MAX: usize = (UDP_PAYLOAD_BYTES_MAX as usize - HEADER_BYTES - 5) / 11;

/// Largest entry, in bytes: qname and body share what a message leaves them.
pub const ENTRY_BYTES_MAX: usize =
    (ENTRY_HEADER_BYTES + UDP_PAYLOAD_BYTES_MAX as usize - HEADER_BYTES - 4 + 2 * RECORDS_MAX)
        .next_multiple_of(8);

// Offsets of the fields.
const HASH: usize = 0;
const STORED_AT: usize = 8;
const TTL: usize = 12;
const ZONE: usize = 16;
const GENERATION: usize = 20;
const ENTRY_BYTES: usize = 24;
const BODY_BYTES: usize = 26;
const REQUIRED_BYTES: usize = 28;
const QTYPE: usize = 30;
const QCLASS: usize = 32;
const FLAGS: usize = 34;
const COUNTS: usize = 36;
const EXTENDED_ERROR: usize = 42;
const QNAME_BYTES: usize = 44;
const KEY_FLAGS: usize = 45;
const RCODE_HIGH: usize = 46;
const RECORD_COUNT: usize = 47;

/// Stands for "no extended error"; as a code it would be in the range for private use.
const EXTENDED_ERROR_NONE: u16 = u16::MAX;

const _: () = assert!(RECORD_COUNT + 1 == ENTRY_HEADER_BYTES);
const _: () = assert!(RECORDS_MAX <= u8::MAX as usize);
const _: () = assert!(ENTRY_BYTES_MAX <= u16::MAX as usize);

/// Where and for how long an entry is valid. Times in seconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMeta {
    /// When the answer was made.
    pub stored_at: u32,
    /// For how long it may be served, in seconds.
    pub ttl: u32,
    /// Zone that it comes from; 0 for recursion.
    pub zone: u32,
    /// Generation of the zone when it was made.
    pub generation: u32,
}

/// Why bytes are not an entry, or a message cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryError {
    /// Shorter than a header, or than the header says.
    Truncated,
    /// The lengths in the header contradict each other.
    Length,
    /// The name is not a name in wire form.
    Qname,
    /// A TTL offset points outside of the body.
    TtlOffset,
    /// The message is longer than [`UDP_PAYLOAD_BYTES_MAX`], in bytes.
    MessageLength(usize),
    /// The message answers another question than the key's.
    Question,
    /// The message cannot be taken apart.
    Message(AnswerError),
    /// The entry needs more bytes than `out` has.
    Room {
        /// In bytes.
        needed: usize,
    },
}

impl core::fmt::Display for EntryError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("entry is cut off"),
            Self::Length => formatter.write_str("entry lengths contradict each other"),
            Self::Qname => formatter.write_str("entry name is malformed"),
            Self::TtlOffset => formatter.write_str("entry TTL offset is outside of the body"),
            Self::MessageLength(bytes) => write!(formatter, "message of {bytes} bytes"),
            Self::Question => formatter.write_str("message answers another question"),
            Self::Message(error) => write!(formatter, "message is malformed: {error}"),
            Self::Room { needed } => write!(formatter, "entry needs {needed} bytes"),
        }
    }
}

impl core::error::Error for EntryError {}

impl From<AnswerError> for EntryError {
    fn from(error: AnswerError) -> Self {
        Self::Message(error)
    }
}

/// One encoded entry, checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    bytes: &'a [u8],
    header: &'a [u8; ENTRY_HEADER_BYTES],
    qname: &'a [u8],
    ttl_offsets: &'a [u8],
    body: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads the entry at the front of `bytes`; more may follow it.
    ///
    /// # Errors
    /// [`EntryError`] if any length or offset leaves the entry.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let entry = Self::view(bytes)?;
        if !is_name(entry.qname) {
            return Err(EntryError::Qname);
        }
        let (pairs, _) = entry.ttl_offsets.as_chunks::<2>();
        for pair in pairs {
            if usize::from(u16::from_le_bytes(*pair)) + 4 > entry.body.len() {
                return Err(EntryError::TtlOffset);
            }
        }
        Ok(entry)
    }

    /// Checks the lengths alone: enough for bytes that passed [`Entry::parse`] before.
    #[inline]
    pub(crate) fn view(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let header = bytes
            .first_chunk::<ENTRY_HEADER_BYTES>()
            .ok_or(EntryError::Truncated)?;
        let qname_end = ENTRY_HEADER_BYTES + usize::from(header[QNAME_BYTES]);
        let offsets_end = qname_end + 2 * usize::from(header[RECORD_COUNT]);
        let body_end = offsets_end + usize::from(u16_at(header, BODY_BYTES));
        let entry_bytes = usize::from(u16_at(header, ENTRY_BYTES));
        let is_consistent = body_end.next_multiple_of(8) == entry_bytes
            && entry_bytes <= ENTRY_BYTES_MAX
            && u16_at(header, REQUIRED_BYTES) <= u16_at(header, BODY_BYTES);
        if !is_consistent {
            return Err(EntryError::Length);
        }
        let bytes = bytes.get(..entry_bytes).ok_or(EntryError::Truncated)?;
        let part = |range: Range<usize>| bytes.get(range).ok_or(EntryError::Length);
        Ok(Self {
            bytes,
            header,
            qname: part(ENTRY_HEADER_BYTES..qname_end)?,
            ttl_offsets: part(qname_end..offsets_end)?,
            body: part(offsets_end..body_end)?,
        })
    }

    /// The whole encoding; its length is a multiple of 8.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Name in wire form, lower case.
    #[inline]
    #[must_use]
    pub fn qname(&self) -> &'a [u8] {
        self.qname
    }

    /// Hash of the key.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        u64::from_le_bytes(array_at(self.header, HASH))
    }

    /// Type.
    #[inline]
    #[must_use]
    pub fn qtype(&self) -> u16 {
        u16_at(self.header, QTYPE)
    }

    /// Class.
    #[inline]
    #[must_use]
    pub fn qclass(&self) -> u16 {
        u16_at(self.header, QCLASS)
    }

    /// RD, CD and DO, as in [`Key::flags`].
    #[inline]
    #[must_use]
    pub fn key_flags(&self) -> u8 {
        self.header[KEY_FLAGS]
    }

    /// The key that it was stored under.
    #[must_use]
    pub fn key(&self) -> Key<'a> {
        Key {
            hash: self.hash(),
            qname: self.qname,
            qtype: self.qtype(),
            qclass: self.qclass(),
            flags: self.key_flags(),
        }
    }

    /// When the answer was made, in seconds of CLOCK_MONOTONIC.
    #[inline]
    #[must_use]
    pub fn stored_at(&self) -> u32 {
        u32_at(self.header, STORED_AT)
    }

    /// For how long it may be served, in seconds.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u32 {
        u32_at(self.header, TTL)
    }

    /// Zone that it comes from; 0 for recursion.
    #[inline]
    #[must_use]
    pub fn zone(&self) -> u32 {
        u32_at(self.header, ZONE)
    }

    /// Generation of the zone when it was made.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u32 {
        u32_at(self.header, GENERATION)
    }

    /// The answer to write. Its Nexus extension is not kept and must be set by the caller; nor is
    /// the text of an extended error.
    #[inline]
    #[must_use]
    pub fn answer(&self) -> Answer<'a> {
        let extended_error = u16_at(self.header, EXTENDED_ERROR);
        Answer {
            flags: u16_at(self.header, FLAGS),
            rcode_high: self.header[RCODE_HIGH],
            counts: [
                u16_at(self.header, COUNTS),
                u16_at(self.header, COUNTS + 2),
                u16_at(self.header, COUNTS + 4),
            ],
            required_bytes: u16_at(self.header, REQUIRED_BYTES),
            extended_error: (extended_error != EXTENDED_ERROR_NONE).then_some(extended_error),
            extended_text: &[],
            nexus: None,
            body: self.body,
            ttl_offsets: self.ttl_offsets,
        }
    }

    /// Compares in full; equal hashes do not suffice.
    #[inline]
    pub(crate) fn is_for(&self, key: &Key<'_>) -> bool {
        self.hash() == key.hash
            && self.qtype() == key.qtype
            && self.qclass() == key.qclass
            && self.key_flags() == key.flags
            && self.qname == key.qname
    }
}

impl core::fmt::Debug for Entry<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("key", &self.key())
            .field("stored_at", &self.stored_at())
            .field("ttl", &self.ttl())
            .field("zone", &self.zone())
            .field("generation", &self.generation())
            .field("answer", &self.answer())
            .finish()
    }
}

/// Encodes the answer that `message`, a whole response, gives to `key` into the front of `out`,
/// and returns the length of the entry in bytes. The entry lives as long as `meta.ttl` and every
/// record allow.
///
/// # Errors
/// [`EntryError`] if the message is malformed, too long or answers another question, or if `out`
/// is too short ([`ENTRY_BYTES_MAX`] always suffices).
pub fn encode(
    message: &[u8],
    key: &Key<'_>,
    meta: &EntryMeta,
    out: &mut [u8],
) -> Result<usize, EntryError> {
    if message.len() > usize::from(UDP_PAYLOAD_BYTES_MAX) {
        return Err(EntryError::MessageLength(message.len()));
    }
    let mut ttl_offsets = [0; 2 * RECORDS_MAX];
    let dissected = dissect(message, &mut ttl_offsets)?;
    let answers_key = dissected.qtype == key.qtype
        && dissected.qclass == key.qclass
        && message
            .get(dissected.qname.clone())
            .is_some_and(|qname| qname.eq_ignore_ascii_case(key.qname));
    if !answers_key {
        return Err(EntryError::Question);
    }
    let answer = dissected.answer(message, &ttl_offsets);
    let ttl_secs_max = dissected.ttl_secs_min.unwrap_or(u32::MAX);
    let meta = EntryMeta {
        ttl: meta.ttl.min(ttl_secs_max),
        ..*meta
    };
    write(key, &meta, &answer, out)
}

/// Writes header and parts. The lengths are those of a message of at most 1232 bytes.
fn write(
    key: &Key<'_>,
    meta: &EntryMeta,
    answer: &Answer<'_>,
    out: &mut [u8],
) -> Result<usize, EntryError> {
    let parts = [key.qname, answer.ttl_offsets, answer.body];
    let used_bytes = ENTRY_HEADER_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
    let entry_bytes = used_bytes.next_multiple_of(8);
    let out = out.get_mut(..entry_bytes).ok_or(EntryError::Room {
        needed: entry_bytes,
    })?;
    let entry_bytes_field = u16::try_from(entry_bytes).map_err(|_| EntryError::Length)?;
    let body_bytes = u16::try_from(answer.body.len()).map_err(|_| EntryError::Length)?;
    let qname_bytes = u8::try_from(key.qname.len()).map_err(|_| EntryError::Qname)?;
    let record_count =
        u8::try_from(answer.ttl_offsets.len() / 2).map_err(|_| EntryError::Length)?;

    let mut header = [0; ENTRY_HEADER_BYTES];
    put(&mut header, HASH, key.hash.to_le_bytes());
    put(&mut header, STORED_AT, meta.stored_at.to_le_bytes());
    put(&mut header, TTL, meta.ttl.to_le_bytes());
    put(&mut header, ZONE, meta.zone.to_le_bytes());
    put(&mut header, GENERATION, meta.generation.to_le_bytes());
    put(&mut header, ENTRY_BYTES, entry_bytes_field.to_le_bytes());
    put(&mut header, BODY_BYTES, body_bytes.to_le_bytes());
    put(
        &mut header,
        REQUIRED_BYTES,
        answer.required_bytes.to_le_bytes(),
    );
    put(&mut header, QTYPE, key.qtype.to_le_bytes());
    put(&mut header, QCLASS, key.qclass.to_le_bytes());
    put(&mut header, FLAGS, answer.flags.to_le_bytes());
    for (index, count) in answer.counts.iter().enumerate() {
        put(&mut header, COUNTS + 2 * index, count.to_le_bytes());
    }
    let extended_error = answer.extended_error.unwrap_or(EXTENDED_ERROR_NONE);
    put(&mut header, EXTENDED_ERROR, extended_error.to_le_bytes());
    header[QNAME_BYTES] = qname_bytes;
    header[KEY_FLAGS] = key.flags;
    header[RCODE_HIGH] = answer.rcode_high;
    header[RECORD_COUNT] = record_count;

    let (header_out, mut rest) = out.split_at_mut(ENTRY_HEADER_BYTES);
    header_out.copy_from_slice(&header);
    for part in parts {
        let (part_out, after) = rest.split_at_mut(part.len());
        part_out.copy_from_slice(part);
        rest = after;
    }
    rest.fill(0);
    Ok(entry_bytes)
}

#[expect(
    clippy::indexing_slicing,
    reason = "offsets are constants of this file"
)]
fn put<const N: usize>(header: &mut [u8; ENTRY_HEADER_BYTES], offset: usize, bytes: [u8; N]) {
    header[offset..offset + N].copy_from_slice(&bytes);
}

#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "offsets are constants of this file"
)]
fn array_at<const N: usize>(header: &[u8; ENTRY_HEADER_BYTES], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[offset..offset + N]);
    bytes
}

#[inline]
fn u16_at(header: &[u8; ENTRY_HEADER_BYTES], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(header, offset))
}

#[inline]
fn u32_at(header: &[u8; ENTRY_HEADER_BYTES], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(header, offset))
}

/// Whether the labels end exactly at the root byte (RFC 1035 §3.1).
fn is_name(qname: &[u8]) -> bool {
    let mut rest = qname;
    while let Some((&label_bytes, after)) = rest.split_first() {
        if label_bytes == 0 {
            return after.is_empty();
        }
        match after.get(usize::from(label_bytes)..) {
            Some(after) if label_bytes <= 63 => rest = after,
            _ => return false,
        }
    }
    false
}
