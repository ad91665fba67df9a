//! [`TileReader`]: the hashes of a tree, read from its tiles and checked against its root.

use core::convert::Infallible;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::hash::Hash;
use crate::proof::HashSource;
use crate::tile::{
    TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH, TREE_SIZE_MAX, TileId, TileKind, hashes_at_level,
};

/// Reads the tiles of one tree, each at most once. Keeps what it has read: make a new one for each proof, or each batch.
pub struct TileReader<F, B> {
    size: u64,
    fetch: F,
    tiles: BTreeMap<TileId, B>,
    is_verifying: bool,
}

/// Why a tile, or a hash in it, cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TileReadError<E> {
    /// It was not fetched.
    #[error("{tile} not fetched: {error}")]
    Fetch {
        /// Tile asked for.
        tile: TileId,
        /// What the caller's function said.
        error: E,
    },
    /// It is longer or shorter than its hashes.
    #[error("{tile} has {found} bytes")]
    Length {
        /// Tile asked for.
        tile: TileId,
        /// Bytes that came.
        found: usize,
    },
    /// Its hashes are not those of the tree.
    #[error("{tile} gives {computed} where the tree has {expected}")]
    Tampered {
        /// Tile asked for.
        tile: TileId,
        /// Hash of this tile in the tile above.
        expected: Hash,
        /// Hash of what came.
        computed: Hash,
    },
    /// The tiles at the tree's edge do not give its root.
    #[error("tiles give root {computed}, not {expected}")]
    Root {
        /// The tree's root.
        expected: Hash,
        /// Root that the tiles give.
        computed: Hash,
    },
    /// The tree has no such hash.
    #[error("no hash {index} at level {level} in a tree of {size} leaves")]
    Outside {
        /// Level of the tree.
        level: u8,
        /// Place in the level.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// Another leaf than the entry that came with it.
    #[error("entry {index} hashes to {computed}, and the tree has {expected}")]
    Leaf {
        /// The entry's place.
        index: u64,
        /// Leaf hash of the tree.
        expected: Hash,
        /// Leaf hash of the entry.
        computed: Hash,
    },
}

impl<F, B, E> TileReader<F, B>
where
    F: FnMut(TileId) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    /// Takes tiles at their word: for one's own storage.
    pub fn trusting(size: u64, fetch: F) -> Self {
        Self {
            size,
            fetch,
            tiles: BTreeMap::new(),
            is_verifying: false,
        }
    }

    /// Checks each tile against the root of the tree, so that no hash it gives can be another than the tree's.
    ///
    /// # Errors
    ///
    /// If the tiles at the edge of the tree cannot be fetched or do not give this root, or if it has more than 2^40
    /// leaves.
    pub fn verifying(size: u64, root: Hash, fetch: F) -> Result<Self, TileReadError<E>> {
        let mut reader = Self::trusting(size, fetch);
        if size > TREE_SIZE_MAX {
            let index = size - 1;
            return Err(TileReadError::Outside {
                level: 0,
                index,
                size,
            });
        }
        let computed = crate::proof::root(&mut reader, size)?;
        if computed != root {
            let expected = root;
            return Err(TileReadError::Root { expected, computed });
        }
        reader.is_verifying = true;
        Ok(reader)
    }

    /// The partial tile that the tree ends in at this level of tiles, if it does not end with a full one.
    ///
    /// # Errors
    ///
    /// If it cannot be fetched.
    pub fn edge(&mut self, level: u8) -> Result<Option<&[u8]>, TileReadError<E>> {
        let index = hashes_at_level(self.size, level) / u64::from(TILE_WIDTH);
        match TileId::of_tree(TileKind::Hashes(level), index, self.size) {
            Some(tile) => self.tile(tile).map(Some),
            None => Ok(None),
        }
    }

    /// Checks entries, of which the first has place `first` in the log, against the tree: `leaves` are their leaf hashes.
    ///
    /// # Errors
    ///
    /// If one is another than the tree's, or the tree's cannot be read.
    pub fn verify_leaves(
        &mut self,
        first: u64,
        leaves: impl IntoIterator<Item = Hash>,
    ) -> Result<(), TileReadError<E>> {
        for (index, computed) in (first..).zip(leaves) {
            let expected = self.hash(0, index)?;
            if expected != computed {
                return Err(TileReadError::Leaf {
                    index,
                    expected,
                    computed,
                });
            }
        }
        Ok(())
    }

    /// Contents of a hash tile of this tree.
    fn tile(&mut self, tile: TileId) -> Result<&[u8], TileReadError<E>> {
        if !self.tiles.contains_key(&tile) {
            let bytes = (self.fetch)(tile).map_err(|error| TileReadError::Fetch { tile, error })?;
            let found = bytes.as_ref().len();
            if found != usize::from(tile.width()) * Hash::BYTES {
                return Err(TileReadError::Length { tile, found });
            }
            if self.is_verifying {
                self.verify(tile, bytes.as_ref())?;
            }
            self.tiles.insert(tile, bytes);
        }
        Ok(self.tiles[&tile].as_ref())
    }

    /// Checks a tile against the one above. The partial ones have been read before, and checked against the root.
    fn verify(&mut self, tile: TileId, bytes: &[u8]) -> Result<(), TileReadError<E>> {
        let computed = perfect_root(bytes);
        let level = TILE_HEIGHT * (tile.kind().level() + 1);
        let expected = self.hash(level, tile.index())?;
        if computed != expected {
            return Err(TileReadError::Tampered {
                tile,
                expected,
                computed,
            });
        }
        Ok(())
    }
}

impl<F, B, E> HashSource for TileReader<F, B>
where
    F: FnMut(TileId) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    type Error = TileReadError<E>;

    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, TileReadError<E>> {
        let outside = TileReadError::Outside {
            level,
            index,
            size: self.size,
        };
        let Some((tile, start, end)) = locate(level, index, self.size) else {
            return Err(outside);
        };
        let bytes = self.tile(tile)?;
        let hashes = bytes.get(start * Hash::BYTES..end * Hash::BYTES);
        hashes.map(perfect_root).ok_or(outside)
    }
}

impl<F, B> fmt::Debug for TileReader<F, B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.tiles.len();
        write!(out, "TileReader({} leaves, {held} tiles read)", self.size)
    }
}

/// Collects the hash tiles that a proof needs, so that they can be fetched at once: run the proof over this, throw its
/// result away, fetch [`Self::tiles`].
#[derive(Debug, Clone, Default)]
pub struct TilesNeeded {
    size: u64,
    /// Tiles that were asked for.
    pub tiles: BTreeSet<TileId>,
}

impl TilesNeeded {
    /// For proofs in the tree of `size` leaves.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            size,
            tiles: BTreeSet::new(),
        }
    }
}

impl HashSource for TilesNeeded {
    type Error = Infallible;

    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let place = locate(level, index, self.size);
        self.tiles.extend(place.map(|(tile, ..)| tile));
        Ok(Hash([0; Hash::BYTES]))
    }
}

/// The tile in which a hash is found, and which of the tile's hashes it is made of.
fn locate(level: u8, index: u64, size: u64) -> Option<(TileId, usize, usize)> {
    let height = level % TILE_HEIGHT;
    let first = index.checked_mul(1 << height)?;
    let width = u64::from(TILE_WIDTH);
    // Above the highest level of tiles a tree of 2^40 leaves has nothing.
    let tile_level = level / TILE_HEIGHT;
    let kind = (tile_level < TILE_LEVELS).then_some(TileKind::Hashes(tile_level))?;
    let tile = TileId::of_tree(kind, first / width, size)?;
    let start = usize::try_from(first % width).ok()?;
    let end = start + (1 << height);
    (end <= usize::from(tile.width())).then_some((tile, start, end))
}

/// Root of a perfect subtree, from its lowest hashes. Hashes in place, with no more memory than its height.
fn perfect_root(hashes: &[u8]) -> Hash {
    let mut frontier = [Hash([0; Hash::BYTES]); TILE_HEIGHT as usize + 1];
    let count = hashes.len() / Hash::BYTES;
    assert!(count.is_power_of_two());
    assert!(count <= usize::from(TILE_WIDTH));
    let (chunks, _) = hashes.as_chunks();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut node = Hash(*chunk);
        let completed = index.trailing_ones() as usize;
        for left in &frontier[..completed] {
            node = Hash::node(left, &node);
        }
        frontier[completed] = node;
    }
    frontier[count.ilog2() as usize]
}
