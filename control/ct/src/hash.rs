//! [`Hash`]: SHA-256 with the prefixes of RFC 6962 §2.1.

use core::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; Self::BYTES]);

impl Hash {
    /// Bytes of one.
    pub const BYTES: usize = 32;

    /// Of plain bytes: fingerprints, key ids, the root of the empty tree.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of a leaf.
    #[must_use]
    pub fn leaf(bytes: &[u8]) -> Self {
        Self(
            Sha256::new_with_prefix([0])
                .chain_update(bytes)
                .finalize()
                .into(),
        )
    }

    /// Of two subtrees.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        let both = Sha256::new_with_prefix([1])
            .chain_update(left.0)
            .chain_update(right.0);
        Self(both.finalize().into())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&HEXLOWER.encode(&self.0))
    }
}
