//! Reads the compact forms in which contents and updates of zones travel between nodes and rest on disks.
//!
//! What another node wrote is outside input: every field is checked, and everything has one form only.

use super::check::{check_rdata, make_canonical};
use super::name::name_end;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They end too early.
    #[error("cut at byte {offset}")]
    Truncated {
        /// Where something is missing.
        offset: usize,
    },
    /// A version that we do not know.
    #[error("version {found}, expected {expected}")]
    Version {
        /// As it stands there.
        found: u8,
        /// Ours.
        expected: u8,
    },
    /// No lower-case name in wire form, or one outside of the zone.
    #[error("no name of the zone in canonical form at byte {offset}")]
    Name {
        /// Where it begins.
        offset: usize,
    },
    /// A field with a value that it cannot have.
    #[error("an impossible value at byte {offset}")]
    Value {
        /// Where it stands.
        offset: usize,
    },
    /// Data that do not have the canonical form of their type.
    #[error("record data out of form at byte {offset}")]
    Data {
        /// Where they begin.
        offset: usize,
    },
    /// Something repeated, or before what it belongs behind.
    #[error("out of order at byte {offset}")]
    Order {
        /// Where it begins.
        offset: usize,
    },
    /// More than we keep.
    #[error("more than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// Bytes behind the end.
    #[error("bytes behind the end, at byte {offset}")]
    Trailing {
        /// The first of them.
        offset: usize,
    },
    /// Records that make no zone.
    #[error("{0}")]
    Unfit(#[from] super::fitness::Unfit),
}

/// A place in bytes from outside.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    offset: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], CodecError> {
        let offset = self.offset;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(CodecError::Truncated { offset })?;
        self.offset += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let offset = self.offset;
        let taken = self.take(N)?.first_chunk();
        taken.copied().ok_or(CodecError::Truncated { offset })
    }

    pub(super) fn u8(&mut self) -> Result<u8, CodecError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A name in wire form, lower-case.
    pub(super) fn name(&mut self) -> Result<&'b [u8], CodecError> {
        let offset = self.offset;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let end = name_end(rest).ok_or(CodecError::Name { offset })?;
        let name = self.take(end)?;
        if name.iter().any(u8::is_ascii_uppercase) {
            return Err(CodecError::Name { offset });
        }
        Ok(name)
    }

    /// Data of a record with their length in front, in the canonical form of the type.
    pub(super) fn rdata(&mut self, rtype: u16) -> Result<&'b [u8], CodecError> {
        let length = self.u16()?;
        let offset = self.offset;
        let data = self.take(usize::from(length))?;
        if is_canonical(rtype, data) {
            Ok(data)
        } else {
            Err(CodecError::Data { offset })
        }
    }

    pub(super) fn finish(self) -> Result<(), CodecError> {
        let offset = self.offset;
        match offset == self.bytes.len() {
            true => Ok(()),
            false => Err(CodecError::Trailing { offset }),
        }
    }
}

fn is_canonical(rtype: u16, data: &[u8]) -> bool {
    if check_rdata(rtype, data).is_err() {
        return false;
    }
    // Canonical form differs in upper-case letters alone.
    if !data.iter().any(u8::is_ascii_uppercase) {
        return true;
    }
    let mut canonical = data.to_vec();
    make_canonical(rtype, &mut canonical);
    canonical == data
}

/// Counts and lengths that the bounds of names, data and messages keep small.
pub(super) fn to_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

pub(super) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
