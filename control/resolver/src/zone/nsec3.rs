//! Hashed names for proofs of absence (RFC 5155).

use sha1::{Digest, Sha1};

/// Most extra iterations that a zone may ask for. RFC 9276 §3.1 wants 0; validators give up on more than this.
pub const NSEC3_ITERATIONS_MAX: u16 = 150;

/// Length of a hash in bytes: SHA-1 is the only algorithm (RFC 5155 §11).
pub(crate) const HASH_BYTES: usize = 20;

/// The hash of a lower-case wire name (RFC 5155 §5).
pub(crate) fn hash_name(name: &[u8], salt: &[u8], iterations: u16) -> [u8; HASH_BYTES] {
    let mut hash: [u8; HASH_BYTES] = Sha1::new()
        .chain_update(name)
        .chain_update(salt)
        .finalize()
        .into();
    for _ in 0..iterations {
        hash = Sha1::new()
            .chain_update(hash)
            .chain_update(salt)
            .finalize()
            .into();
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::radix::write_base32hex;

    #[test]
    fn hashes_of_rfc_5155_appendix_a_are_reproduced() {
        let cases: [(&[u8], &str); 5] = [
            (b"\x07example\0", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            (b"\x01a\x07example\0", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            (b"\x02ai\x07example\0", "gjeqe526plbf1g8mklp59enfd789njgi"),
            (
                b"\x01*\x01w\x07example\0",
                "r53bq7cc2uvmubfu5ocmm6pers9tk9en",
            ),
            (b"\x02xx\x07example\0", "t644ebqk9bibcna874givr6joj62mlhv"),
        ];
        for (name, expected) in cases {
            let mut text = String::new();
            write_base32hex(&hash_name(name, &[0xaa, 0xbb, 0xcc, 0xdd], 12), &mut text);
            assert_eq!(text, expected);
        }
    }
}
