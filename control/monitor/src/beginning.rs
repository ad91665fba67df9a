//! [`Beginning`]: the right edge of a tree that was not read, so that reading can begin behind it.
//!
//! From a tiled log it is read in tiles of hashes. A log of RFC 6962 gives no hashes, but the audit path of the last leaf is made
//! of exactly these (RFC 6962 §2.1.1).

use ct::{Frontier, Hash, LogAddress, verify_inclusion};

use crate::follower::FetchError;
use crate::proving::{TileSet, tiles_of_peaks};
use crate::reply::{KnownHead, ReplyError, read_get_entries, read_inclusion};
use crate::source::Fetch;

/// The edge of the tree of one head, as its parts come.
#[derive(Debug)]
pub(crate) struct Beginning {
    head: KnownHead,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Tiles(TileSet),
    LastEntry,
    PathOf(Hash),
}

impl Beginning {
    /// `head` must not be of the empty tree, whose edge is known.
    pub(crate) fn new(address: &LogAddress, head: KnownHead) -> Self {
        let way = match address {
            LogAddress::Tiled { .. } => Way::Tiles(tiles_of_peaks(head.head.size)),
            LogAddress::Rfc6962 { .. } => Way::LastEntry,
        };
        Self { head, way }
    }

    pub(crate) fn into_head(self) -> KnownHead {
        self.head
    }

    pub(crate) fn fetches(&self) -> Vec<Fetch> {
        let size = self.head.head.size;
        match &self.way {
            Way::Tiles(tiles) => tiles.fetches(),
            Way::LastEntry => vec![Fetch::Entries {
                first: size.saturating_sub(1),
                end: size,
            }],
            Way::PathOf(leaf) => vec![Fetch::Inclusion { leaf: *leaf, size }],
        }
    }

    /// Takes the replies to [`Self::fetches`]; gives the edge when all is there and leads to the head's root.
    pub(crate) fn take(
        &mut self,
        mut replies: Vec<Result<Vec<u8>, FetchError>>,
    ) -> Result<Option<Frontier>, FetchError> {
        let (size, root) = (self.head.head.size, self.head.head.root);
        let last = size.saturating_sub(1);
        match &mut self.way {
            Way::Tiles(tiles) => {
                tiles.take(replies)?;
                if !tiles.fetches().is_empty() {
                    return Ok(None);
                }
                let frontier = tiles.frontier(size).filter(|edge| edge.root() == root);
                Ok(Some(frontier.ok_or(ReplyError::Edge { size })?))
            }
            Way::LastEntry => {
                let body = replies.pop().ok_or(FetchError::Missing)??;
                let entries = read_get_entries(last, size, &body)?;
                let leaf = entries.first().ok_or(FetchError::Missing)?.leaf_hash();
                self.way = Way::PathOf(leaf);
                Ok(None)
            }
            Way::PathOf(leaf) => {
                let body = replies.pop().ok_or(FetchError::Missing)??;
                let path = read_inclusion(last, &body)?;
                let verified = verify_inclusion(leaf, last, size, &path, &root);
                verified.map_err(|_| ReplyError::Edge { size })?;
                let edge = edge_of_path(*leaf, size, &path);
                Ok(Some(edge.ok_or(ReplyError::Edge { size })?))
            }
        }
    }
}

/// The last leaf is a right child as long as its subtree is perfect; what follows in its path are the larger subtrees, smallest
/// first.
fn edge_of_path(leaf: Hash, size: u64, path: &[Hash]) -> Option<Frontier> {
    let (inner, larger) = path.split_at_checked(size.trailing_zeros() as usize)?;
    let smallest = inner
        .iter()
        .fold(leaf, |node, left| Hash::node(left, &node));
    let peaks = larger.iter().rev().copied().chain([smallest]).collect();
    Frontier::new(size, peaks).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct::{TILE_WIDTH, TiledTree, prove_inclusion};

    #[test]
    fn path_of_the_last_leaf_gives_the_edge_of_a_tree_of_any_size() {
        struct Leaves(Vec<Hash>);
        impl ct::HashSource for Leaves {
            type Error = ();
            fn hash(&mut self, level: u8, index: u64) -> Result<Hash, ()> {
                let first = usize::try_from(index << level).map_err(|_| ())?;
                let mut frontier = Frontier::default();
                for leaf in &self.0[first..first + (1 << level)] {
                    frontier.push(*leaf, |_, _, _| {});
                }
                Ok(frontier.root())
            }
        }
        let mut leaves = Leaves(Vec::new());
        let (mut grown, mut tiled) = (Frontier::default(), TiledTree::new());
        for size in 1..=u64::from(TILE_WIDTH) + 5 {
            let leaf = Hash::leaf(&size.to_be_bytes());
            leaves.0.push(leaf);
            grown.push(leaf, |_, _, _| {});
            tiled.push(leaf, |_, _| {}).unwrap();
            let path = prove_inclusion(&mut leaves, size - 1, size).unwrap();
            assert_eq!(edge_of_path(leaf, size, &path).as_ref(), Some(&grown));
            assert_eq!(grown.root(), tiled.root());
        }
    }
}
