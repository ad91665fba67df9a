//! What an outsider makes of a shard's folder, with crates that others have written.

use std::path::{Path, PathBuf};

use ct::{Hash, TimestampedEntry, VerifierKey};
use static_ct_api::TileIterator;
use tlog_tiles::{
    Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
};

/// A folder as a web server shows it.
pub(crate) struct Outsider {
    pub(crate) folder: PathBuf,
}

impl TileReader for Outsider {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles.iter().map(|tile| self.tile(tile)).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

impl Outsider {
    pub(crate) fn new(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { folder }
    }

    /// A partial tile may be gone when the full one is there.
    fn tile(&self, tile: &Tile) -> Vec<u8> {
        let path = self.folder.join(static_ct_api::tile_path(tile));
        let full = Tile::new(8, tile.level(), tile.level_index(), 256, tile.is_data());
        let full = self.folder.join(static_ct_api::tile_path(&full));
        let width = usize::try_from(tile.width()).unwrap();
        match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(_) if tile.is_data() => std::fs::read(&full).unwrap(),
            Err(_) => std::fs::read(&full).unwrap()[..width * 32].to_vec(),
        }
    }

    /// The checkpoint, whose signatures of the log it verifies: size, root and time.
    pub(crate) fn checkpoint(&self, note_key: &VerifierKey) -> (u64, tlog_tiles::Hash, u64) {
        let bytes = std::fs::read(self.folder.join("checkpoint")).unwrap();
        let log = p256::ecdsa::SigningKey::from(super::secret());
        let witness = ed25519_dalek::VerifyingKey::from_bytes(note_key.key()).unwrap();
        let origin = super::ORIGIN;
        let opened =
            static_ct_api::open_checkpoint(origin, log.verifying_key(), &witness, u64::MAX, &bytes);
        let (checkpoint, time_ms) = opened.unwrap();
        (checkpoint.size(), *checkpoint.hash(), time_ms)
    }

    /// Reads all entries of the checkpoint, and proves some of them and some smaller trees.
    pub(crate) fn check_all(&self, note_key: &VerifierKey, entries: &[TimestampedEntry]) {
        let (size, root, _) = self.checkpoint(note_key);
        assert_eq!(size, entries.len() as u64);
        let hashes = TileHashReader::new(size, root, self);
        let mut rest = entries.iter();
        for place in 0..size.div_ceil(256) {
            let width = (size - place * 256).min(256);
            let tile = Tile::new(8, 0, place, u32::try_from(width).unwrap(), true);
            let bytes = self.tile(&tile);
            for theirs in TileIterator::new(bytes, usize::try_from(width).unwrap()) {
                let (theirs, ours) = (theirs.unwrap(), rest.next().unwrap());
                assert_eq!(theirs.merkle_tree_leaf(), ours.leaf_input());
                let mut tile_leaf = Vec::new();
                ours.write_tile_leaf(&mut tile_leaf);
                assert_eq!(theirs.tile_leaf(), tile_leaf);
                for fingerprint in &theirs.chain_fingerprints {
                    let path = format!("issuer/{}", Hash(*fingerprint));
                    let issuer = std::fs::read(self.folder.join(path)).unwrap();
                    assert_eq!(Hash::of(&issuer).0, *fingerprint);
                }
            }
        }
        assert!(rest.next().is_none());
        let (records, trees) = (step_of(size, 37), step_of(size, 53));
        for index in (0..size).step_by(records).chain(size.checked_sub(1)) {
            let leaf = tlog_tiles::Hash(entries[usize::try_from(index).unwrap()].leaf_hash().0);
            let proof = prove_record(size, index, &hashes).unwrap();
            check_record(&proof, size, root, index, leaf).unwrap();
        }
        for old in (1..size).step_by(trees) {
            let proof = prove_tree(size, old, &hashes).unwrap();
            let old_root = tlog_tiles::tree_hash(old, &hashes).unwrap();
            check_tree(&proof, size, root, old, old_root).unwrap();
        }
    }
}

/// From one proof to the next: of a large tree there are 256, for each reads files.
fn step_of(size: u64, least: usize) -> usize {
    usize::try_from(size / 256).unwrap().max(least)
}
