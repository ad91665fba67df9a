//! [`Frontier`]: the right edge of a Merkle tree (RFC 6962 §2.1), enough to append to it and to give its root.

use thiserror::Error;

use crate::hash::Hash;

/// Roots of the perfect subtrees that a tree falls into, largest and leftmost first: one for each bit set in its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

/// Peaks that belong to no tree of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{found} peaks for a tree of {size} leaves, which has {expected}")]
pub struct FrontierError {
    /// Leaves of the tree.
    pub size: u64,
    /// Peaks that such a tree has.
    pub expected: u32,
    /// Peaks given.
    pub found: usize,
}

impl Frontier {
    /// Of stored peaks, largest first.
    ///
    /// # Errors
    ///
    /// If a tree of `size` leaves has another number of them.
    pub fn new(size: u64, peaks: Vec<Hash>) -> Result<Self, FrontierError> {
        let expected = size.count_ones();
        if peaks.len() != expected as usize {
            let found = peaks.len();
            return Err(FrontierError {
                size,
                expected,
                found,
            });
        }
        Ok(Self { size, peaks })
    }

    /// Leaves of the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of its perfect subtrees, largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf. `on_node(level, index, hash)` gets the leaf (level 0) and then each perfect subtree that it
    /// completes: the hash of the leaves from `index << level` to `(index + 1) << level`.
    pub fn push(&mut self, leaf: Hash, mut on_node: impl FnMut(u8, u64, &Hash)) {
        let mut node = leaf;
        let mut index = self.size;
        on_node(0, index, &node);
        let completed = u8::try_from(self.size.trailing_ones()).expect("at most 64");
        for level in 1..=completed {
            let left = self.peaks.pop().expect("one peak for each bit of the size");
            node = Hash::node(&left, &node);
            index >>= 1;
            on_node(level, index, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Merkle Tree Hash of all leaves; of no leaves, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else {
            return Hash::of(&[]);
        };
        peaks.fold(*smallest, |right, left| Hash::node(left, &right))
    }
}
