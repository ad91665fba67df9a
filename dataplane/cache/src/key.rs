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
