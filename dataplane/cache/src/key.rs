//! What an answer depends on, and its hash.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use wire::query::Query;

/// Everything of a query that an answer depends on. Never cookies or padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// [`Hasher`] over the other fields.
    pub hash: u64,
    /// Name in wire form, lower case, root byte included.
    pub qname: &'a [u8],
    /// Type.
    pub qtype: u16,
    /// Class.
    pub qclass: u16,
    /// Bit 0 RD, bit 1 CD, bit 2 DO ([`Query::key_flags`]).
    pub flags: u8,
}

impl<'a> Key<'a> {
    /// The key of a query whose hash is known from an earlier pass ([`Hasher::key`]).
    #[inline]
    #[must_use]
    pub fn with_hash(query: &'a Query, hash: u64) -> Self {
        Self {
            hash,
            qname: query.qname(),
            qtype: query.qtype,
            qclass: query.qclass,
            flags: query.key_flags(),
        }
    }
}

/// SipHash-1-3 under secret keys: names are chosen by attackers. Equal keys give equal hashes in
/// every process of a machine.
#[derive(Clone, Copy)]
pub struct Hasher {
    keys: (u64, u64),
}

impl core::fmt::Debug for Hasher {
    /// Keeps the keys out of logs.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Hasher(..)")
    }
}

impl Hasher {
    /// A hasher under the 128-bit key `k0`, `k1`, which must be random and secret.
    #[must_use]
    pub fn new(k0: u64, k1: u64) -> Self {
        Self { keys: (k0, k1) }
    }

    /// The key of a parsed query.
    #[inline]
    #[must_use]
    pub fn key<'a>(&self, query: &'a Query) -> Key<'a> {
        self.key_of(query.qname(), query.qtype, query.qclass, query.key_flags())
    }

    /// The key of its parts; `qname` in wire form, lower case.
    #[inline]
    #[must_use]
    pub fn key_of<'a>(&self, qname: &'a [u8], qtype: u16, qclass: u16, flags: u8) -> Key<'a> {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        // One whole word first, so that the hasher stays aligned to words.
        let numbers = u64::from(qtype) | u64::from(qclass) << 16 | u64::from(flags) << 32;
        hasher.write_u64(numbers);
        hasher.write(qname);
        Key {
            hash: hasher.finish(),
            qname,
            qtype,
            qclass,
            flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value comes from another implementation: processes of different builds share hashes
    /// through the answer table.
    #[test]
    fn hash_is_siphash_1_3_over_numbers_and_name() {
        let hasher = Hasher::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let key = hasher.key_of(b"\x03www\x00", 1, 1, 5);
        let mut message = std::vec![1, 0, 1, 0, 5, 0, 0, 0];
        message.extend(b"\x03www\x00");
        let reference =
            SipHasher13::new_with_keys(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908).hash(&message);
        assert_eq!(key.hash, reference);
        assert_eq!(key.hash, 16_929_559_042_604_110_533);
    }

    #[test]
    fn every_part_of_the_key_and_of_the_secret_changes_the_hash() {
        let hasher = Hasher::new(1, 2);
        let hashes = [
            hasher.key_of(b"\x01a\x00", 1, 1, 0).hash,
            hasher.key_of(b"\x01b\x00", 1, 1, 0).hash,
            hasher.key_of(b"\x01a\x00", 2, 1, 0).hash,
            hasher.key_of(b"\x01a\x00", 1, 2, 0).hash,
            hasher.key_of(b"\x01a\x00", 1, 1, 1).hash,
            Hasher::new(2, 2).key_of(b"\x01a\x00", 1, 1, 0).hash,
            Hasher::new(1, 3).key_of(b"\x01a\x00", 1, 1, 0).hash,
        ];
        let mut distinct = hashes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn key_of_a_query_is_the_same_with_its_hash_at_hand() {
        let query = b"\x00\x07\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x01A\x00\x00\x1c\x00\x01";
        let query = Query::parse(query).unwrap();
        let hasher = Hasher::new(1, 2);
        let key = hasher.key(&query);
        assert_eq!(key, Key::with_hash(&query, key.hash));
        assert_eq!(key, hasher.key_of(b"\x01a\x00", 28, 1, 0b011));
    }
}
