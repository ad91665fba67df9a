//! The name of the question, copied once and lower-cased on the way.

use super::QueryError;
use crate::{HEADER_BYTES, QNAME_BYTES_MAX};

/// Bytes that are lower-cased at a time: one SIMD register of the baseline machine.
const CHUNK_BYTES: usize = 16;

/// A name in wire form, lower case. Bytes after `length` are zero.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Qname {
    bytes: [u8; QNAME_BYTES_MAX + 1],
    length: u8,
}

impl Qname {
    /// Reads the name at the question's place, which cannot be compressed: nothing precedes it.
    #[inline]
    pub(crate) fn parse(message: &[u8]) -> Result<Self, QueryError> {
        let length = measure(message)?;
        let mut bytes = [0; QNAME_BYTES_MAX + 1];
        let source = &message[HEADER_BYTES..HEADER_BYTES + usize::from(length)];
        let (chunks, rest) = source.as_chunks::<CHUNK_BYTES>();
        let (chunks_out, _) = bytes.as_chunks_mut::<CHUNK_BYTES>();
        for (out, chunk) in chunks_out.iter_mut().zip(chunks) {
            *out = lowercase(*chunk);
        }
        if let Some(out) = chunks_out.get_mut(chunks.len()) {
            let mut chunk = [0; CHUNK_BYTES];
            chunk[..rest.len()].copy_from_slice(rest);
            *out = lowercase(chunk);
        }
        Ok(Self { bytes, length })
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl core::fmt::Debug for Qname {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Qname({})", self.as_slice().escape_ascii())
    }
}

/// Length in wire form, root byte included.
#[inline]
fn measure(message: &[u8]) -> Result<u8, QueryError> {
    let mut offset = HEADER_BYTES;
    loop {
        let Some(&label_bytes) = message.get(offset) else {
            return Err(QueryError::Truncated { offset });
        };
        match label_bytes {
            0 => {}
            1..=63 => {
                offset += 1 + usize::from(label_bytes);
                if offset - HEADER_BYTES >= QNAME_BYTES_MAX {
                    return Err(QueryError::NameLength);
                }
                continue;
            }
            0xc0.. => return Err(QueryError::CompressedQuestion),
            _ => return Err(QueryError::LabelLength(label_bytes)),
        }
        let length = offset + 1 - HEADER_BYTES;
        return u8::try_from(length).map_err(|_| QueryError::NameLength);
    }
}

/// Lower-cases ASCII letters. Length bytes are at most 63, below 'A', so the whole name can be
/// treated alike; without branches, so that the compiler uses SIMD.
#[inline]
fn lowercase(chunk: [u8; CHUNK_BYTES]) -> [u8; CHUNK_BYTES] {
    chunk.map(|byte| byte | (u8::from(byte.wrapping_sub(b'A') < 26) << 5))
}
