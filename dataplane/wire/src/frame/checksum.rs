//! The Internet checksum (RFC 1071), over wide words.
//!
//! The ones' complement sum does not depend on byte order (RFC 1071 §2 (B)): words are read
//! little-endian and the sum is stored little-endian, which costs nothing on the machines we run
//! on.

/// Length of the words that are added.
const WORD_BYTES: usize = 8;

/// Adds `bytes` to a running sum; a last odd byte is padded with zero (RFC 768).
#[inline]
pub(crate) fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    let (mut low, mut high) = (0_u64, 0_u64);
    // Two lanes of 32 bits in 64: no carries to propagate, so that the loop becomes SIMD.
    for word in words {
        let word = u64::from_le_bytes(*word);
        low += word & 0xffff_ffff;
        high += word >> 32;
    }
    add_word(sum + low + high, rest_word(bytes, rest))
}

/// Adds one word to a running sum.
#[inline]
pub(crate) fn add_word(sum: u64, word: u64) -> u64 {
    sum + (word & 0xffff_ffff) + (word >> 32)
}

/// The bytes behind the last whole word, padded with zeros to a word.
#[inline]
fn rest_word(bytes: &[u8], rest: &[u8]) -> u64 {
    let rest_bits = u8::BITS * u32::from(rest.len().to_le_bytes()[0]);
    if let Some(last) = bytes.last_chunk::<WORD_BYTES>() {
        // The last word of all, shifted: a copy of variable length takes longer.
        let last = u64::from_le_bytes(*last);
        return last.checked_shr(u64::BITS - rest_bits).unwrap_or(0);
    }
    let mut word = [0; WORD_BYTES];
    for (out, byte) in word.iter_mut().zip(rest) {
        *out = *byte;
    }
    u64::from_le_bytes(word)
}

/// Folds a sum and complements it: the two bytes to store, in the order to store them.
#[inline]
pub(crate) fn finish(mut sum: u64) -> [u8; 2] {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let [low, high, ..] = (!sum).to_le_bytes();
    [low, high]
}
