//! Inclusion and consistency proofs (RFC 6962 §2.1.1, §2.1.2): made from any store of hashes, checked as in
//! RFC 9162 §2.1.3.2 and §2.1.4.2.

use thiserror::Error;

use crate::hash::Hash;
use crate::tree::Frontier;

/// A store of the hashes of perfect subtrees.
pub trait HashSource {
    /// Why a hash cannot be had.
    type Error;

    /// The hash of the leaves from `index << level` to `(index + 1) << level`. Asked only for leaves of the tree.
    ///
    /// # Errors
    ///
    /// If the store does not have it.
    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// What no proof exists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RangeError {
    /// The leaf is not in the tree.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    Leaf {
        /// Leaf asked for, from 0.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The older tree is the larger one.
    #[error("a tree of {old} leaves is no beginning of one of {new}")]
    Sizes {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
}

/// Why a proof was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProveError<E> {
    /// There is no such proof.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The store failed.
    #[error("hash not read: {0}")]
    Source(E),
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// It cannot exist.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// It has too many or too few hashes for these sizes.
    #[error("proof of {found} hashes does not fit these sizes")]
    Length {
        /// Hashes in it.
        found: usize,
    },
    /// It leads from the leaf, or from the older tree, to another root.
    #[error("proof leads to root {computed}, not {expected}")]
    Root {
        /// The tree's root.
        expected: Hash,
        /// Root that the proof gives.
        computed: Hash,
    },
    /// It does not begin at the older tree.
    #[error("proof begins at root {computed}, not {expected}")]
    OldRoot {
        /// The older tree's root.
        expected: Hash,
        /// Root that the proof gives for it.
        computed: Hash,
    },
}

/// Root of the tree of the first `size` leaves.
///
/// # Errors
///
/// If the source fails.
pub fn root<S: HashSource>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    subtree(source, 0, size)
}

/// Proof that leaf `index` is in the tree of the first `size` leaves: PATH of RFC 6962 §2.1.1, nearest sibling first.
///
/// # Errors
///
/// If there is no such leaf, or the source fails.
pub fn prove_inclusion<S: HashSource>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if index >= size {
        return Err(RangeError::Leaf { index, size }.into());
    }
    let (mut start, mut end) = (0, size);
    let mut siblings = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    hashes(source, siblings)
}

/// Proof that the tree of the first `old` leaves is the beginning of that of the first `new`: PROOF of RFC 6962
/// §2.1.2. Empty if either is all or nothing of the other.
///
/// # Errors
///
/// If `old` is larger than `new`, or the source fails.
pub fn prove_consistency<S: HashSource>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if old > new {
        return Err(RangeError::Sizes { old, new }.into());
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut ranges = Vec::new();
    while old < end {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // The older tree itself is known to who checks; what is left of it after going right is not.
    if start > 0 {
        ranges.push((start, end));
    }
    hashes(source, ranges)
}

/// Checks that the leaf with this hash has place `index` in the tree of `size` leaves with this root.
///
/// # Errors
///
/// If the proof does not show that.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(RangeError::Leaf { index, size }.into());
    }
    let found = proof.len();
    let (mut node_index, mut last) = (index, size - 1);
    let mut computed = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length { found });
        }
        if is_odd(node_index) || node_index == last {
            computed = Hash::node(sibling, &computed);
            (node_index, last) = skip_levels_without_sibling(node_index, last);
        } else {
            computed = Hash::node(&computed, sibling);
        }
        node_index >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length { found });
    }
    expect_root(*root, computed)
}

/// Checks that the tree of `old` leaves is the beginning of that of `new` leaves. Of the empty tree and of the same tree
/// the proof is empty.
///
/// # Errors
///
/// If the proof does not show that.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old > new {
        return Err(RangeError::Sizes { old, new }.into());
    }
    let found = proof.len();
    if old == 0 || old == new {
        if found > 0 {
            return Err(ProofError::Length { found });
        }
        let expected = if old == 0 { Hash::of(&[]) } else { *new_root };
        return expect_old_root(*old_root, expected);
    }
    // An older tree that is perfect is itself the first node, and the proof leaves it out.
    let (first, path) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length { found })?
    };
    let skipped = (old - 1).trailing_ones();
    let (mut node_index, mut last) = ((old - 1) >> skipped, (new - 1) >> skipped);
    let (mut old_computed, mut computed) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length { found });
        }
        if is_odd(node_index) || node_index == last {
            old_computed = Hash::node(sibling, &old_computed);
            computed = Hash::node(sibling, &computed);
            (node_index, last) = skip_levels_without_sibling(node_index, last);
        } else {
            computed = Hash::node(&computed, sibling);
        }
        node_index >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length { found });
    }
    expect_old_root(*old_root, old_computed)?;
    expect_root(*new_root, computed)
}

fn expect_root(expected: Hash, computed: Hash) -> Result<(), ProofError> {
    if expected == computed {
        return Ok(());
    }
    Err(ProofError::Root { expected, computed })
}

fn expect_old_root(expected: Hash, computed: Hash) -> Result<(), ProofError> {
    if expected == computed {
        return Ok(());
    }
    Err(ProofError::OldRoot { expected, computed })
}

/// Of a node that is a right child, none; of the last node, those up to where it is one. It is not the root.
fn skip_levels_without_sibling(node_index: u64, last: u64) -> (u64, u64) {
    let levels = node_index.trailing_zeros();
    (node_index >> levels, last >> levels)
}

fn is_odd(index: u64) -> bool {
    index & 1 == 1
}

/// Leaves of the left subtree of `size > 1` leaves: the largest power of two below.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Hashes of ranges that were found from the root down, in the order of proofs: from the leaf up.
fn hashes<S: HashSource>(
    source: &mut S,
    ranges: Vec<(u64, u64)>,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let hash = |(start, end)| subtree(source, start, end).map_err(ProveError::Source);
    ranges.into_iter().rev().map(hash).collect()
}

/// Merkle Tree Hash of the leaves from `start` to `end`, which must be a node of the tree: `start` is a multiple of
/// the power of two that holds them.
fn subtree<S: HashSource>(source: &mut S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let size = end - start;
    let mut peaks = Vec::with_capacity(size.count_ones() as usize);
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        let level_byte = u8::try_from(level).expect("below 64");
        peaks.push(source.hash(level_byte, at >> level)?);
        at += 1 << level;
    }
    let frontier = Frontier::new(size, peaks).expect("one peak for each bit of the size");
    Ok(frontier.root())
}
