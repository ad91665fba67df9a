//! The Internet checksum (RFC 1071), over wide words in the machine's own byte order.

/// Adds `bytes` to a running sum; a last odd byte is padded with zero (RFC 768).
///
/// The ones' complement sum does not depend on byte order (RFC 1071 §2 (B)), so that words are
/// read as they lie and only stored back as they lie.
#[inline]
pub(crate) fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (mut low, mut high) = (0_u64, 0_u64);
    // Two lanes of 32 bits in 64: no carries to propagate, so that the loop becomes SIMD.
    for word in words {
        let word = u64::from_ne_bytes(*word);
        low += word & 0xffff_ffff;
        high += word >> 32;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = u64::from_ne_bytes(last);
    sum + low + high + (last & 0xffff_ffff) + (last >> 32)
}

/// Folds a sum and complements it: the two bytes to store, in the order to store them.
#[inline]
pub(crate) fn finish(mut sum: u64) -> [u8; 2] {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits above")]
    let folded = sum as u16;
    (!folded).to_ne_bytes()
}
