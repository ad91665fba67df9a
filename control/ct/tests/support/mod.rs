//! What several tests need: bytes from hexadecimal, and RFC 6962's recursive definitions as they are written.

#![allow(dead_code, reason = "each test uses a part")]

use std::convert::Infallible;

use ct::{Hash, HashSource};

/// Bytes of hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Hash of hexadecimal digits.
pub fn hash(text: &str) -> Hash {
    Hash(unhex(text).try_into().unwrap())
}

/// Leaf hashes of `size` different leaves.
pub fn leaves(size: u64) -> Vec<Hash> {
    (0..size)
        .map(|index| Hash::leaf(&index.to_be_bytes()))
        .collect()
}

/// MTH of RFC 6962 §2.1.
pub fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1.
pub fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    if index < middle {
        [naive_path(index, left), vec![naive_root(right)]].concat()
    } else {
        [naive_path(index - middle, right), vec![naive_root(left)]].concat()
    }
}

/// SUBPROOF of RFC 6962 §2.1.2; PROOF is SUBPROOF with `known`.
pub fn naive_consistency(old: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        let root = vec![naive_root(leaves)];
        return if known { Vec::new() } else { root };
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    if old <= middle {
        let inner = naive_consistency(old, left, known);
        [inner, vec![naive_root(right)]].concat()
    } else {
        let inner = naive_consistency(old - middle, right, false);
        [inner, vec![naive_root(left)]].concat()
    }
}

/// All leaf hashes as a source: what it is asked for, it computes.
pub struct Naive<'a>(pub &'a [Hash]);

impl HashSource for Naive<'_> {
    type Error = Infallible;

    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let start = usize::try_from(index << level).unwrap();
        Ok(naive_root(&self.0[start..start + (1 << level)]))
    }
}
