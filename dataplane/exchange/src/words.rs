//! Copies between bytes and atomic words. Words are little-endian, like the processors we run on.

use crate::sync::{AtomicU64, Ordering};

/// Writes `bytes` over the first words; the last word is padded with zeros. Bytes past the end of
/// `words` are dropped: callers check lengths before.
pub(crate) fn store(words: &[AtomicU64], bytes: &[u8]) {
    let mut chunks = bytes.chunks_exact(8);
    let mut words = words.iter();
    for (chunk, word) in chunks.by_ref().zip(words.by_ref()) {
        let mut value = [0; 8];
        value.copy_from_slice(chunk);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
    let rest = chunks.remainder();
    if let (false, Some(word)) = (rest.is_empty(), words.next()) {
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(rest) {
            *to = *from;
        }
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
}

/// Fills `bytes` from the first words.
pub(crate) fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    for (chunk, word) in bytes.chunks_mut(8).zip(words) {
        let value = word.load(Ordering::Relaxed).to_le_bytes();
        if let Some(value) = value.get(..chunk.len()) {
            chunk.copy_from_slice(value);
        }
    }
}
