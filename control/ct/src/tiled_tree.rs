//! [`TiledTree`]: a tree that grows and hands out the contents of its tiles.

use core::fmt;

use thiserror::Error;

use crate::hash::Hash;
use crate::proof::HashSource as _;
use crate::tile::{
    TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH, TREE_SIZE_MAX, TileId, TileKind, hashes_at_level,
};
use crate::tile_reader::{TileReadError, TileReader};
use crate::tree::Frontier;

/// Right edge of a tree: its frontier, and the partial hash tiles that it ends in.
///
/// Memory is at most 6 tiles of 8 KiB, whatever the size.
#[derive(Clone)]
pub struct TiledTree {
    frontier: Frontier,
    /// Hashes of the partial tile at each level of tiles.
    edges: [Vec<u8>; TILE_LEVELS as usize],
}

/// No log has more than 2^40 leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the tree has 2^40 leaves and is full")]
pub struct TreeFull;

impl TiledTree {
    /// Of no leaves.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frontier: Frontier::default(),
            edges: [const { Vec::new() }; TILE_LEVELS as usize],
        }
    }

    /// The tree of `size` leaves with this root, from the tiles that it ends in.
    ///
    /// # Errors
    ///
    /// If one cannot be fetched, or they give another root.
    pub fn resume<B: AsRef<[u8]>, E>(
        size: u64,
        root: Hash,
        fetch: impl FnMut(TileId) -> Result<B, E>,
    ) -> Result<Self, TileReadError<E>> {
        let mut tiles = TileReader::verifying(size, root, fetch)?;
        let mut peaks = Vec::with_capacity(size.count_ones() as usize);
        let mut at = 0;
        for level in (0..64).rev().filter(|level| size >> level & 1 == 1) {
            peaks.push(tiles.hash(level, at >> level)?);
            at += 1 << level;
        }
        let mut tree = Self::new();
        tree.frontier = Frontier::new(size, peaks).expect("one peak for each bit of the size");
        for level in 0..TILE_LEVELS {
            if let Some(bytes) = tiles.edge(level)? {
                tree.edges[usize::from(level)].extend_from_slice(bytes);
            }
        }
        Ok(tree)
    }

    /// Leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Merkle Tree Hash of all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Appends a leaf. `on_full` gets each hash tile that it fills: one in 256 leaves.
    ///
    /// # Errors
    ///
    /// If the log can have no more leaves.
    pub fn push(
        &mut self,
        leaf: Hash,
        mut on_full: impl FnMut(TileId, &[u8]),
    ) -> Result<(), TreeFull> {
        if self.size() == TREE_SIZE_MAX {
            return Err(TreeFull);
        }
        let edges = &mut self.edges;
        self.frontier.push(leaf, |level, index, hash| {
            if level % TILE_HEIGHT != 0 {
                return;
            }
            let level = level / TILE_HEIGHT;
            let edge = &mut edges[usize::from(level)];
            edge.extend_from_slice(&hash.0);
            if edge.len() == usize::from(TILE_WIDTH) * Hash::BYTES {
                let kind = TileKind::Hashes(level);
                let tile = TileId::new(kind, index / u64::from(TILE_WIDTH), TILE_WIDTH);
                on_full(tile.expect("the tree is within 2^40 leaves"), edge);
                edge.clear();
            }
        });
        Ok(())
    }

    /// The partial hash tiles that the tree ends in, with their contents.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (TileId, &[u8])> {
        let edges = (0..).zip(&self.edges);
        edges.filter_map(|(level, edge)| {
            let index = hashes_at_level(self.size(), level) / u64::from(TILE_WIDTH);
            let tile = TileId::of_tree(TileKind::Hashes(level), index, self.size())?;
            Some((tile, edge.as_slice()))
        })
    }
}

impl Default for TiledTree {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TiledTree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TiledTree({} leaves, {})", self.size(), self.root())
    }
}
