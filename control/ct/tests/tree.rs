//! Trees and proofs: the reference trees of the Certificate Transparency project, RFC 6962's own definitions, and
//! `tlog_tiles`, which reads them in another way.

mod support;

use ct::{
    Frontier, Hash, ProofError, ProveError, RangeError, prove_consistency, prove_inclusion,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use support::{Naive, hash, leaves, naive_consistency, naive_path, naive_root, unhex};

/// Leaves of the reference trees.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// Roots of the trees of 1 to 8 of these leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const N01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const N03: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
const N1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const N23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const N4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const N45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const N47: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const N67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";

fn reference_leaves() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| Hash::leaf(&unhex(leaf))).collect()
}

fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf, |_, _, _| {});
    }
    frontier
}

#[test]
fn reference_trees_have_their_roots() {
    let leaves = reference_leaves();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Frontier::default().root(), hash(empty));
    for (size, root) in (1..).zip(ROOTS) {
        assert_eq!(frontier(&leaves[..size]).root(), hash(root), "size={size}");
        assert_eq!(naive_root(&leaves[..size]), hash(root), "size={size}");
    }
}

#[test]
fn reference_trees_have_their_inclusion_proofs() {
    let leaves = reference_leaves();
    let cases: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (0, 8, &[N1, N23, N47]),
        (5, 8, &[N4, N67, N03]),
        (2, 3, &[N01]),
        (1, 5, &[ROOTS[0], N23, N4]),
    ];
    for (index, size, path) in cases {
        let path: Vec<Hash> = path.iter().map(|node| hash(node)).collect();
        let proof = prove_inclusion(&mut Naive(&leaves), index, size).unwrap();
        assert_eq!(proof, path, "leaf {index} of {size}");
        let leaf = &leaves[usize::try_from(index).unwrap()];
        let root = hash(ROOTS[usize::try_from(size).unwrap() - 1]);
        assert_eq!(verify_inclusion(leaf, index, size, &path, &root), Ok(()));
    }
}

#[test]
fn reference_trees_have_their_consistency_proofs() {
    let leaves = reference_leaves();
    let cases: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (1, 8, &[N1, N23, N47]),
        (6, 8, &[N45, N67, N03]),
        (2, 5, &[N23, N4]),
    ];
    for (old, new, path) in cases {
        let path: Vec<Hash> = path.iter().map(|node| hash(node)).collect();
        let proof = prove_consistency(&mut Naive(&leaves), old, new).unwrap();
        assert_eq!(proof, path, "{old} to {new}");
        let [old_root, new_root] =
            [old, new].map(|size| hash(ROOTS[usize::try_from(size).unwrap() - 1]));
        assert_eq!(
            verify_consistency(old, new, &path, &old_root, &new_root),
            Ok(())
        );
    }
}

#[test]
fn every_proof_of_every_small_tree_is_that_of_the_definition() {
    let all = leaves(70);
    for size in 0..=70 {
        let tree = &all[..size];
        let root = naive_root(tree);
        assert_eq!(frontier(tree).root(), root);
        let size = size as u64;
        for (index, leaf) in (0..).zip(tree) {
            let proof = prove_inclusion(&mut Naive(tree), index, size).unwrap();
            assert_eq!(proof, naive_path(usize::try_from(index).unwrap(), tree));
            assert_eq!(verify_inclusion(leaf, index, size, &proof, &root), Ok(()));
        }
        for old in 0..=size {
            let old_root = naive_root(&tree[..usize::try_from(old).unwrap()]);
            let proof = prove_consistency(&mut Naive(tree), old, size).unwrap();
            if old > 0 {
                let naive = naive_consistency(usize::try_from(old).unwrap(), tree, true);
                assert_eq!(proof, naive, "{old} to {size}");
            }
            let result = verify_consistency(old, size, &proof, &old_root, &root);
            assert_eq!(result, Ok(()), "{old} to {size}");
        }
    }
}

#[test]
fn no_proof_is_made_or_believed_of_what_is_not_there() {
    let tree = leaves(5);
    let leaf = RangeError::Leaf { index: 5, size: 5 };
    let sizes = RangeError::Sizes { old: 6, new: 5 };
    assert_eq!(
        prove_inclusion(&mut Naive(&tree), 5, 5),
        Err(ProveError::Range(leaf))
    );
    assert_eq!(
        prove_consistency(&mut Naive(&tree), 6, 5),
        Err(ProveError::Range(sizes))
    );
    let root = naive_root(&tree);
    assert_eq!(
        verify_inclusion(&tree[4], 5, 5, &[], &root),
        Err(ProofError::Range(leaf))
    );
    assert_eq!(
        verify_consistency(6, 5, &[], &root, &root),
        Err(ProofError::Range(sizes))
    );
    let nothing = Hash::of(&[]);
    assert_eq!(verify_consistency(0, 5, &[], &nothing, &root), Ok(()));
    assert!(matches!(
        verify_consistency(0, 5, &[], &root, &root),
        Err(ProofError::OldRoot { .. })
    ));
    assert!(matches!(
        verify_consistency(5, 5, &[], &nothing, &root),
        Err(ProofError::OldRoot { .. })
    ));
    assert_eq!(
        verify_consistency(5, 5, &[root], &root, &root),
        Err(ProofError::Length { found: 1 })
    );
}

#[test]
fn frontier_takes_only_as_many_peaks_as_its_size_has() {
    let tree = leaves(6);
    let grown = frontier(&tree);
    let resumed = Frontier::new(6, grown.peaks().to_vec()).unwrap();
    assert_eq!(resumed, grown);
    let error = Frontier::new(7, grown.peaks().to_vec()).unwrap_err();
    assert_eq!((error.size, error.expected, error.found), (7, 3, 2));
}

/// A tree, a leaf or older tree of it, and a fault.
fn faults() -> impl Strategy<Value = (u64, u64, usize, u8, u8)> {
    (2u64..600).prop_flat_map(|size| (Just(size), 0..size, 0usize..12, 0u8..32, 1u8..=255))
}

proptest! {
    #[test]
    fn inclusion_proof_with_any_fault_is_refused((size, index, place, byte, flip) in faults()) {
        let tree = leaves(size);
        let root = naive_root(&tree);
        let leaf = tree[usize::try_from(index).unwrap()];
        let proof = prove_inclusion(&mut Naive(&tree), index, size).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        let oracle = proof.iter().map(|node| tlog_tiles::Hash(node.0)).collect();
        let [root_there, leaf_there] = [root, leaf].map(|node| tlog_tiles::Hash(node.0));
        prop_assert!(tlog_tiles::check_record(&oracle, size, root_there, index, leaf_there).is_ok());

        let mut wrong = proof.clone();
        let place = place % wrong.len();
        wrong[place].0[usize::from(byte)] ^= flip;
        let result = verify_inclusion(&leaf, index, size, &wrong, &root);
        let refused = matches!(result, Err(ProofError::Root { .. }));
        prop_assert!(refused);
        let other = (index + 1) % size;
        prop_assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root).is_err());
        let longer = [&proof[..], &[root]].concat();
        let found = longer.len();
        let result = verify_inclusion(&leaf, index, size, &longer, &root);
        prop_assert_eq!(result, Err(ProofError::Length { found }));
    }

    #[test]
    fn consistency_proof_with_any_fault_is_refused((new, old, place, byte, flip) in faults()) {
        let old = old.max(1);
        let tree = leaves(new);
        let new_root = naive_root(&tree);
        let old_root = naive_root(&tree[..usize::try_from(old).unwrap()]);
        let proof = prove_consistency(&mut Naive(&tree), old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, new, &proof, &old_root, &new_root), Ok(()));
        let oracle = proof.iter().map(|node| tlog_tiles::Hash(node.0)).collect();
        let [new_there, old_there] = [new_root, old_root].map(|node| tlog_tiles::Hash(node.0));
        prop_assert!(tlog_tiles::check_tree(&oracle, new, new_there, old, old_there).is_ok());

        let mut wrong = proof.clone();
        let place = place % wrong.len();
        wrong[place].0[usize::from(byte)] ^= flip;
        prop_assert!(verify_consistency(old, new, &wrong, &old_root, &new_root).is_err());
        prop_assert!(verify_consistency(old, new, &proof[1..], &old_root, &new_root).is_err());
        let longer = [&proof[..], &[old_root]].concat();
        prop_assert!(verify_consistency(old, new, &longer, &old_root, &new_root).is_err());
        prop_assert!(verify_consistency(old, new, &proof, &new_root, &new_root).is_err());
        prop_assert!(verify_consistency(old, new, &proof, &old_root, &old_root).is_err());
    }

    #[test]
    fn no_proof_of_random_hashes_is_a_panic(
        old: u64, new: u64, length in 0usize..70, seed: [u8; 32],
    ) {
        let proof = vec![Hash(seed); length];
        let _ = verify_inclusion(&Hash(seed), old, new, &proof, &Hash(seed));
        let _ = verify_consistency(old, new, &proof, &Hash(seed), &Hash(seed));
    }
}
