//! [`Proving`]: what must be fetched to know whether one tree begins with another, and the verdict. Logs of RFC 6962 send the
//! proof; of tiled logs it is made from tiles of hashes.

use std::collections::{BTreeMap, BTreeSet};

use ct::{
    Frontier, Hash, HashSource as _, LogAddress, ProofError, ProveError, TileId, TileReadError,
    TileReader, TilesNeeded, prove_consistency, verify_consistency,
};

use crate::follower::FetchError;
use crate::reply::{read_consistency, read_hashes};
use crate::source::Fetch;

/// A tree by its size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// Tiles of hashes of one tree, as they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct TileSet {
    missing: BTreeSet<TileId>,
    /// Partial tiles that are no longer served: the full one stands in (static-ct-api, "Partial Tiles").
    full: BTreeSet<TileId>,
    got: BTreeMap<TileId, Vec<u8>>,
}

impl TileSet {
    pub(crate) fn new(missing: BTreeSet<TileId>) -> Self {
        Self {
            missing,
            ..Self::default()
        }
    }

    /// What is missing, with the fetch for each.
    pub(crate) fn fetches(&self) -> Vec<Fetch> {
        let tiles = self.missing.iter().map(|tile| self.served(*tile));
        tiles.map(Fetch::Tile).collect()
    }

    fn served(&self, tile: TileId) -> TileId {
        if self.full.contains(&tile) {
            tile.full()
        } else {
            tile
        }
    }

    /// Takes the replies to [`Self::fetches`].
    pub(crate) fn take(
        &mut self,
        replies: Vec<Result<Vec<u8>, FetchError>>,
    ) -> Result<(), FetchError> {
        let asked: Vec<TileId> = self.missing.iter().copied().collect();
        for (tile, reply) in asked.into_iter().zip(replies) {
            let served = self.served(tile);
            match reply {
                Err(FetchError::NotFound) if !served.is_full() => {
                    self.full.insert(tile);
                }
                Err(error) => return Err(error),
                Ok(body) => {
                    let hashes = read_hashes(tile, served, body)?;
                    self.missing.remove(&tile);
                    self.got.insert(tile, hashes);
                }
            }
        }
        Ok(())
    }

    /// A reader of what came. Its word is checked afterwards, by the root that it leads to.
    fn reader<'a>(
        &'a self,
        size: u64,
    ) -> TileReader<impl FnMut(TileId) -> Result<&'a [u8], ()>, &'a [u8]> {
        let got = &self.got;
        TileReader::trusting(size, move |tile| {
            got.get(&tile).map(Vec::as_slice).ok_or(())
        })
    }

    /// The tree of this size by its perfect subtrees.
    pub(crate) fn frontier(&self, size: u64) -> Option<Frontier> {
        let mut reader = self.reader(size);
        let peaks = peaks_of(size).map(|(level, index)| reader.hash(level, index).ok());
        Frontier::new(size, peaks.collect::<Option<_>>()?).ok()
    }
}

/// Tiles of hashes that the perfect subtrees of a tree of this size are in.
pub(crate) fn tiles_of_peaks(size: u64) -> TileSet {
    let mut needed = TilesNeeded::new(size);
    for (level, index) in peaks_of(size) {
        let Ok(_) = needed.hash(level, index);
    }
    TileSet::new(needed.tiles)
}

/// Level and index of the perfect subtrees that a tree falls into, largest first.
fn peaks_of(size: u64) -> impl Iterator<Item = (u8, u64)> {
    let levels = (0_u8..64).rev().filter(move |level| size >> level & 1 == 1);
    levels.map(move |level| (level, (size >> level) - 1))
}

/// One question: does `new` begin with `old`?
#[derive(Debug, Clone)]
pub(crate) struct Proving {
    pub(crate) old: Tree,
    pub(crate) new: Tree,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    /// Of the empty tree, and of the same tree, there is nothing to fetch.
    Plain,
    Sent,
    Tiles(TileSet),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Consistent,
    Inconsistent(ProofError),
}

impl Proving {
    pub(crate) fn new(address: &LogAddress, old: Tree, new: Tree) -> Self {
        let way = match address {
            _ if old.size == 0 || old.size >= new.size => Way::Plain,
            LogAddress::Rfc6962 { .. } => Way::Sent,
            LogAddress::Tiled { .. } => {
                let mut needed = TilesNeeded::new(new.size);
                let made = prove_consistency(&mut needed, old.size, new.size);
                assert!(made.is_ok()); // Sizes are in order.
                Way::Tiles(TileSet::new(needed.tiles))
            }
        };
        Self { old, new, way }
    }

    pub(crate) fn fetches(&self) -> Vec<Fetch> {
        match &self.way {
            Way::Plain => Vec::new(),
            Way::Sent => vec![Fetch::Consistency {
                old: self.old.size,
                new: self.new.size,
            }],
            Way::Tiles(tiles) => tiles.fetches(),
        }
    }

    /// Takes the replies to [`Self::fetches`]; gives the verdict when all are there.
    pub(crate) fn take(
        &mut self,
        mut replies: Vec<Result<Vec<u8>, FetchError>>,
    ) -> Result<Option<Verdict>, FetchError> {
        let proof = match &mut self.way {
            Way::Plain => Vec::new(),
            Way::Sent => match replies.pop() {
                Some(reply) => read_consistency(&reply?)?,
                None => return Ok(None),
            },
            Way::Tiles(tiles) => {
                tiles.take(replies)?;
                if !tiles.missing.is_empty() {
                    return Ok(None);
                }
                self.proof_of_tiles()?
            }
        };
        let (old, new) = (self.old, self.new);
        let verdict = verify_consistency(old.size, new.size, &proof, &old.root, &new.root);
        Ok(Some(match verdict {
            Ok(()) => Verdict::Consistent,
            Err(error) => Verdict::Inconsistent(error),
        }))
    }

    fn proof_of_tiles(&self) -> Result<Vec<Hash>, FetchError> {
        let Way::Tiles(tiles) = &self.way else {
            return Ok(Vec::new());
        };
        let mut reader = tiles.reader(self.new.size);
        let proof = prove_consistency(&mut reader, self.old.size, self.new.size);
        // All that the proof needs was fetched, with the right lengths: what is missing is our mistake, and no verdict.
        proof.map_err(|error: ProveError<TileReadError<()>>| {
            FetchError::Other(format!("proof not made: {error:?}"))
        })
    }
}
