//! Tiles: paths, growth and contents as `tlog_tiles` and `static_ct_api` have them, and proofs from tiles that are
//! checked against the root.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;

use ct::{
    Frontier, Hash, TREE_SIZE_MAX, TileId, TileKind, TilePathError, TileReadError, TileReader,
    TiledTree, TilesNeeded, prove_consistency, prove_inclusion, tiles_of_growth, verify_inclusion,
};
use proptest::prelude::*;
use support::{Naive, leaves, naive_root};

/// Tiles as a server has them.
type Store = BTreeMap<TileId, Vec<u8>>;

/// Grows a tree by batches and stores what it is to store after each.
fn grow(batches: &[u64]) -> (TiledTree, Store) {
    let mut tree = TiledTree::new();
    let mut store = Store::new();
    let all = leaves(batches.iter().sum());
    let mut rest = all.iter();
    for batch in batches {
        for leaf in rest.by_ref().take(usize::try_from(*batch).unwrap()) {
            let result = tree.push(*leaf, |tile, bytes| {
                store.insert(tile, bytes.to_vec());
            });
            result.unwrap();
        }
        store.extend(
            tree.partial_tiles()
                .map(|(tile, bytes)| (tile, bytes.to_vec())),
        );
    }
    (tree, store)
}

fn fetch(store: &Store) -> impl Fn(TileId) -> Result<Vec<u8>, ()> + '_ {
    |tile| store.get(&tile).cloned().ok_or(())
}

/// The tile as `tlog_tiles` names it.
fn oracle_tile(tile: TileId) -> tlog_tiles::Tile {
    let (level, is_data) = match tile.kind() {
        TileKind::Hashes(level) => (level, false),
        TileKind::Data => (0, true),
    };
    tlog_tiles::Tile::new(8, level, tile.index(), u32::from(tile.width()), is_data)
}

#[test]
fn path_of_the_specification_names_its_tile() {
    let path = "tile/0/x001/x234/067.p/112";
    let tile = TileId::parse(path).unwrap();
    assert_eq!(tile.kind(), TileKind::Hashes(0));
    assert_eq!((tile.index(), tile.width()), (1_234_067, 112));
    assert_eq!(tile.to_string(), path);
    assert_eq!(tile.full().to_string(), "tile/0/x001/x234/067");
    assert_eq!(
        TileId::parse("tile/data/000").unwrap().kind(),
        TileKind::Data
    );
}

#[test]
fn path_that_is_no_tile_says_why() {
    let cases = [
        ("", TilePathError::Prefix),
        ("/tile/0/000", TilePathError::Prefix),
        ("tile/", TilePathError::Level),
        ("tile/6/000", TilePathError::Level),
        ("tile/00/000", TilePathError::Level),
        ("tile/names/000", TilePathError::Level),
        ("tile/0/", TilePathError::Index),
        ("tile/0/1", TilePathError::Index),
        ("tile/0/0001", TilePathError::Index),
        ("tile/0/+01", TilePathError::Index),
        ("tile/0/001/002", TilePathError::Index),
        ("tile/0/x000/002", TilePathError::Index),
        ("tile/0/x001/x002", TilePathError::Index),
        (
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            TilePathError::Index,
        ),
        ("tile/0/000.p/", TilePathError::Width),
        ("tile/0/000.p/0", TilePathError::Width),
        ("tile/0/000.p/01", TilePathError::Width),
        ("tile/0/000.p/+1", TilePathError::Width),
        ("tile/0/000.p/256", TilePathError::Width),
        ("tile/0/000.p/1/", TilePathError::Width),
        (
            "tile/0/x004/x294/x967/296",
            TilePathError::Bound { index: 1 << 32 },
        ),
        ("tile/4/001", TilePathError::Bound { index: 1 }),
    ];
    for (path, error) in cases {
        assert_eq!(TileId::parse(path), Err(error), "{path}");
    }
    assert!(TileId::parse("tile/0/x004/x294/x967/295").is_ok());
}

#[test]
fn tree_of_70000_leaves_has_the_tiles_of_the_specification() {
    let tiles: Vec<_> = tiles_of_growth(0, 70_000).collect();
    let count = |kind, full| {
        let of_kind = tiles.iter().filter(|tile| tile.kind() == kind);
        of_kind.filter(|tile| tile.is_full() == full).count()
    };
    let width_of_partial = |kind| {
        let partial = tiles
            .iter()
            .find(|tile| tile.kind() == kind && !tile.is_full());
        partial.map(|tile| tile.width())
    };
    for kind in [TileKind::Hashes(0), TileKind::Data] {
        assert_eq!(
            (count(kind, true), width_of_partial(kind)),
            (273, Some(112))
        );
    }
    assert_eq!(count(TileKind::Hashes(1), true), 1);
    assert_eq!(width_of_partial(TileKind::Hashes(1)), Some(17));
    assert_eq!(count(TileKind::Hashes(2), true), 0);
    assert_eq!(width_of_partial(TileKind::Hashes(2)), Some(1));
    assert_eq!(tiles.len(), 2 * 274 + 2 + 1);

    let of_256: Vec<_> = tiles_of_growth(0, 256)
        .map(|tile| tile.to_string())
        .collect();
    assert_eq!(of_256, ["tile/0/000", "tile/1/000.p/1", "tile/data/000"]);
    assert_eq!(tiles_of_growth(256, 256).count(), 0);
}

#[test]
fn full_log_has_one_hash_at_the_highest_level_and_takes_no_more_leaves() {
    let mut tiles = tiles_of_growth(TREE_SIZE_MAX - 1, TREE_SIZE_MAX);
    assert!(tiles.any(|tile| tile.to_string() == "tile/5/000.p/1"));
    assert_eq!(
        TileId::of_tree(TileKind::Hashes(0), 1 << 32, u64::MAX),
        None
    );
}

#[test]
fn tree_of_several_levels_stores_exactly_the_tiles_of_its_growth() {
    let (tree, store) = grow(&[1, 254, 1, 1, 65_279, 300]);
    let mut expected: Vec<TileId> = Vec::new();
    let mut size = 0;
    for batch in [1, 254, 1, 1, 65_279, 300] {
        expected.extend(tiles_of_growth(size, size + batch));
        size += batch;
    }
    expected.retain(|tile| tile.kind() != TileKind::Data);
    expected.sort();
    assert!(store.keys().copied().eq(expected));
    assert_eq!(tree.root(), naive_root(&leaves(size)));
    for (tile, bytes) in &store {
        assert_eq!(bytes.len(), usize::from(tile.width()) * 32, "{tile}");
    }
    let resumed = TiledTree::resume(size, tree.root(), fetch(&store)).unwrap();
    assert_eq!(resumed.root(), tree.root());
    assert!(resumed.partial_tiles().eq(tree.partial_tiles()));
}

#[test]
fn proof_from_tiles_reads_few_and_names_them_before() {
    let (tree, store) = grow(&[70_000]);
    let asked = RefCell::new(Vec::new());
    let fetch_noting = |tile| {
        asked.borrow_mut().push(tile);
        fetch(&store)(tile)
    };
    let mut needed = TilesNeeded::new(70_000);
    prove_inclusion(&mut needed, 33_333, 70_000).unwrap();
    let mut reader = TileReader::trusting(70_000, fetch_noting);
    let proof = prove_inclusion(&mut reader, 33_333, 70_000).unwrap();
    let leaf = Hash::leaf(&33_333u64.to_be_bytes());
    assert_eq!(
        verify_inclusion(&leaf, 33_333, 70_000, &proof, &tree.root()),
        Ok(())
    );
    let mut read = asked.take();
    read.sort();
    assert!(read.iter().eq(&needed.tiles));
    assert_eq!(read.len(), 4); // Leaf's tile, the one above, and the partial ones on the way to the root.
}

#[test]
fn tile_that_lies_is_refused_at_whatever_level() {
    let (tree, store) = grow(&[70_000]);
    let full = ["tile/0/130", "tile/1/000"];
    let partial = ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"];
    for path in full.into_iter().chain(partial) {
        let tile = TileId::parse(path).unwrap();
        let mut wrong = store.clone();
        wrong.get_mut(&tile).expect(path)[7] ^= 1;
        let reader = TileReader::verifying(70_000, tree.root(), fetch(&wrong));
        let proof = reader.and_then(|mut reader| {
            let result = prove_inclusion(&mut reader, 33_333, 70_000);
            result.map_err(|error| match error {
                ct::ProveError::Source(error) => error,
                ct::ProveError::Range(error) => panic!("{error}"),
            })
        });
        let error = proof.expect_err(path);
        if tile.is_full() {
            assert!(matches!(error, TileReadError::Tampered { tile: found, .. } if found == tile));
        } else {
            assert!(matches!(error, TileReadError::Root { .. }));
        }
    }
}

#[test]
fn missing_short_and_foreign_tiles_have_their_own_errors() {
    let (tree, mut store) = grow(&[300]);
    let error = TileReader::verifying(300, Hash::of(b"other"), fetch(&store)).unwrap_err();
    assert!(matches!(error, TileReadError::Root { .. }));
    let mut reader = TileReader::verifying(300, tree.root(), fetch(&store)).unwrap();
    let all = leaves(300);
    assert_eq!(
        reader.verify_leaves(250, all[250..].iter().copied()),
        Ok(())
    );
    let shifted = reader.verify_leaves(250, all[249..260].iter().copied());
    assert!(matches!(
        shifted,
        Err(TileReadError::Leaf { index: 250, .. })
    ));
    let beyond = reader.verify_leaves(299, all[..2].iter().copied());
    assert!(matches!(
        beyond,
        Err(TileReadError::Leaf { index: 299, .. })
    ));
    let outside = reader.verify_leaves(300, all[..1].iter().copied());
    assert!(matches!(
        outside,
        Err(TileReadError::Outside { index: 300, .. })
    ));

    drop(reader);
    let partial = TileId::parse("tile/0/001.p/44").unwrap();
    store.get_mut(&partial).unwrap().pop();
    let error = TiledTree::resume(300, tree.root(), fetch(&store)).unwrap_err();
    assert_eq!(
        error,
        TileReadError::Length {
            tile: partial,
            found: 44 * 32 - 1
        }
    );
    store.remove(&partial);
    let error = TiledTree::resume(300, tree.root(), fetch(&store)).unwrap_err();
    assert_eq!(
        error,
        TileReadError::Fetch {
            tile: partial,
            error: ()
        }
    );
    let error = TileReader::verifying(u64::MAX, tree.root(), fetch(&store)).unwrap_err();
    assert!(matches!(error, TileReadError::Outside { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn path_and_tile_are_one_another(level in 0u8..6, index: u32, width in 1u16..=256, is_data: bool) {
        let kind = if is_data { TileKind::Data } else { TileKind::Hashes(level) };
        let level = if is_data { 0 } else { level };
        let index = u64::from(index).checked_shr(8 * u32::from(level)).unwrap_or(0);
        let tile = TileId::new(kind, index, width).unwrap();
        prop_assert_eq!(TileId::parse(&tile.to_string()), Ok(tile));
        prop_assert_eq!(static_ct_api::tile_path(&oracle_tile(tile)), tile.to_string());
    }

    #[test]
    fn growth_is_that_of_tlog_tiles(old in 0u64..400_000, grown in 0u64..3_000) {
        let new = old + grown;
        let ours = tiles_of_growth(old, new).filter(|tile| tile.kind() != TileKind::Data);
        let ours: Vec<_> = ours.map(|tile| static_ct_api::tile_path(&oracle_tile(tile))).collect();
        let theirs = tlog_tiles::Tile::new_tiles(8, old, new);
        let theirs: Vec<_> = theirs.iter().map(static_ct_api::tile_path).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn tiles_of_any_growth_give_every_proof(
        batches in prop::collection::vec(1u64..700, 1..4), one: prop::sample::Index, two: prop::sample::Index,
    ) {
        let (tree, store) = grow(&batches);
        let size = tree.size();
        let all = leaves(size);
        prop_assert_eq!(tree.root(), naive_root(&all));
        let index = one.index(all.len()) as u64;
        let old = two.index(all.len()) as u64 + 1;
        let mut reader = TileReader::verifying(size, tree.root(), fetch(&store)).unwrap();
        let naive = &mut Naive(&all);
        prop_assert_eq!(
            prove_inclusion(&mut reader, index, size).unwrap(),
            prove_inclusion(naive, index, size).unwrap()
        );
        prop_assert_eq!(
            prove_consistency(&mut reader, old, size).unwrap(),
            prove_consistency(naive, old, size).unwrap()
        );
        // A proof in an older tree, from the tiles of the newer one.
        let leaf = index.min(old - 1);
        prop_assert_eq!(
            prove_inclusion(&mut reader, leaf, old).unwrap(),
            prove_inclusion(naive, leaf, old).unwrap()
        );
        // Appending goes on after a restart as it would have gone on without.
        let mut resumed = TiledTree::resume(size, tree.root(), fetch(&store)).unwrap();
        let mut whole = Frontier::default();
        for leaf in leaves(size + 300) {
            if whole.size() >= size {
                resumed.push(leaf, |_, _| {}).unwrap();
            }
            whole.push(leaf, |_, _, _| {});
        }
        prop_assert_eq!(resumed.root(), whole.root());
    }
}
