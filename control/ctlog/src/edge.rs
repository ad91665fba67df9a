//! [`Edge`]: the right edge of a shard's tree in memory: the tiles that are not full, of hashes and of entries.

use ct::{Hash, TILE_WIDTH, TileId, TileKind, TiledTree, TimestampedEntry, TreeFull};

/// The tree, and the entries of the data tile that it ends in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edge {
    tree: TiledTree,
    /// The partial data tile.
    data: Vec<u8>,
    /// Where each entry of `data` ends.
    ends: Vec<usize>,
}

impl Edge {
    /// The edge of this tree. `entries` are those of the data tile that it ends in.
    pub(crate) fn new<'a>(
        tree: TiledTree,
        entries: impl IntoIterator<Item = &'a TimestampedEntry>,
    ) -> Self {
        let mut edge = Self {
            tree,
            ..Self::default()
        };
        for entry in entries {
            edge.write(entry);
        }
        edge
    }

    fn write(&mut self, entry: &TimestampedEntry) {
        entry.write_tile_leaf(&mut self.data);
        self.ends.push(self.data.len());
    }

    /// Leaves.
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Merkle Tree Hash of all of them.
    pub(crate) fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Appends an entry, whose leaf hash is given with it. `on_full` gets each tile that it fills.
    pub(crate) fn append(
        &mut self,
        entry: &TimestampedEntry,
        leaf: Hash,
        mut on_full: impl FnMut(TileId, &[u8]),
    ) -> Result<(), TreeFull> {
        let index = self.size() / u64::from(TILE_WIDTH);
        self.tree.push(leaf, &mut on_full)?;
        self.write(entry);
        if self.ends.len() == usize::from(TILE_WIDTH) {
            let tile = TileId::new(TileKind::Data, index, TILE_WIDTH);
            on_full(tile.expect("the tree is within 2^40 leaves"), &self.data);
            self.data.clear();
            self.ends.clear();
        }
        Ok(())
    }

    /// The partial tiles that the tree ends in, with their contents.
    pub(crate) fn partial_tiles(&self) -> Vec<(TileId, &[u8])> {
        let data = TileId::of_tree(
            TileKind::Data,
            self.size() / u64::from(TILE_WIDTH),
            self.size(),
        );
        let data = data.map(|tile| (tile, self.data.as_slice()));
        self.tree.partial_tiles().chain(data).collect()
    }

    /// A partial tile of this tree or of a smaller one, if it is at the edge still.
    pub(crate) fn partial_tile(&self, tile: TileId) -> Option<&[u8]> {
        let of_place = |(here, _): &(TileId, _)| {
            here.kind() == tile.kind()
                && here.index() == tile.index()
                && here.width() >= tile.width()
        };
        let (_, bytes) = self.partial_tiles().into_iter().find(of_place)?;
        let width = usize::from(tile.width());
        let length = match tile.kind() {
            TileKind::Hashes(_) => width * Hash::BYTES,
            TileKind::Data => *self.ends.get(width - 1)?,
        };
        bytes.get(..length)
    }
}
