//! Reading and writing of TLS's presentation language (RFC 8446 §3), in which RFC 6962 and static-ct-api are written.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::hash::Hash;

/// Bytes that end before what they announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("truncated: {needed} bytes wanted at offset {offset}, {left} left")]
pub struct Truncated {
    /// Where the missing field begins.
    pub offset: usize,
    /// Bytes of the field.
    pub needed: usize,
    /// Bytes that are there.
    pub left: usize,
}

/// Reads from the front.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not yet read.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, needed: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.rest.split_at_checked(needed).ok_or(Truncated {
            offset: self.offset,
            needed,
            left: self.rest.len(),
        })?;
        self.rest = rest;
        self.offset += needed;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn hash(&mut self) -> Result<Hash, Truncated> {
        self.array().map(Hash)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    /// `opaque field<0..2^16-1>`.
    pub(crate) fn opaque16(&mut self) -> Result<&'a [u8], Truncated> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    /// `opaque field<0..2^24-1>`.
    pub(crate) fn opaque24(&mut self) -> Result<&'a [u8], Truncated> {
        let [high, middle, low] = self.array()?;
        self.bytes(u32::from_be_bytes([0, high, middle, low]) as usize)
    }
}

/// Where encoded bytes go: to a buffer, or straight into a hash without one.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// `opaque field<0..2^16-1>`. The caller has checked the length.
    fn put_opaque16(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len());
        self.put(&length.expect("checked by the caller").to_be_bytes());
        self.put(bytes);
    }

    /// `opaque field<0..2^24-1>`. The caller has checked the length.
    fn put_opaque24(&mut self, bytes: &[u8]) {
        self.put(&u24(bytes.len()));
        self.put(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// The largest length three bytes can say.
pub(crate) const U24_MAX: usize = (1 << 24) - 1;

/// A length that the caller has checked against [`U24_MAX`].
pub(crate) fn u24(length: usize) -> [u8; 3] {
    assert!(length <= U24_MAX);
    let [.., high, middle, low] = length.to_be_bytes();
    [high, middle, low]
}
