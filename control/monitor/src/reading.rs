//! [`Reading`]: entries of one batch, as they come, and the tree that they make. None of them is believed yet.

use std::collections::BTreeSet;

use ct::{Frontier, LogAddress, TILE_WIDTH, TileId, TileKind, TimestampedEntry};

use crate::follower::{BATCH_ENTRIES_MAX, FetchError, PARALLEL_FETCHES_MAX};
use crate::reply::{KnownHead, read_data, read_get_entries};
use crate::source::Fetch;

/// Bytes of replies that a batch is cut at. Those of the last fetches come on top.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Entries that are asked for at least, however few a log once returned: one that cuts at round numbers returns few once.
const ASK_MIN: u64 = 32;

/// Entries from the edge of what was read before, towards a head.
#[derive(Debug)]
pub(crate) struct Reading {
    target: KnownHead,
    /// Whether `target` is known to continue the head before.
    is_adopted: bool,
    first: u64,
    end: u64,
    frontier: Frontier,
    entries: Vec<TimestampedEntry>,
    bytes: usize,
    /// Partial tiles that are no longer served: the full one stands in.
    full: BTreeSet<TileId>,
}

impl Reading {
    pub(crate) fn new(
        address: &LogAddress,
        frontier: Frontier,
        target: KnownHead,
        is_adopted: bool,
    ) -> Self {
        let (first, size) = (frontier.size(), target.head.size);
        let mut end = first.saturating_add(BATCH_ENTRIES_MAX);
        if matches!(address, LogAddress::Tiled { .. }) && is_adopted {
            end -= end % u64::from(TILE_WIDTH); // So that no tile is fetched for two batches.
        }
        Self {
            target,
            is_adopted,
            first,
            end: end.min(size),
            frontier,
            entries: Vec::new(),
            bytes: 0,
            full: BTreeSet::new(),
        }
    }

    pub(crate) fn target(&self) -> &KnownHead {
        &self.target
    }

    pub(crate) fn into_target(self) -> KnownHead {
        self.target
    }

    pub(crate) fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// The tree of all entries up to the last that came.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Head, index of the first entry, entries, and the tree that they end.
    pub(crate) fn into_parts(self) -> (KnownHead, u64, Vec<TimestampedEntry>, Frontier) {
        (self.target, self.first, self.entries, self.frontier)
    }

    /// Whether the batch has all its entries, or as many bytes as one may have.
    pub(crate) fn is_complete(&self) -> bool {
        self.frontier.size() >= self.end || self.bytes >= BATCH_BYTES_MAX
    }

    pub(crate) fn fetches(&self, address: &LogAddress, ask: u64) -> Vec<Fetch> {
        let next = self.frontier.size();
        match address {
            LogAddress::Tiled { .. } => {
                let tiles = self.tiles().map(|(_, served)| Fetch::Tile(served));
                tiles.collect()
            }
            LogAddress::Rfc6962 { .. } => (0..PARALLEL_FETCHES_MAX as u64)
                .map(|number| next.saturating_add(number * ask))
                .take_while(|first| *first < self.end)
                .map(|first| Fetch::Entries {
                    first,
                    end: first.saturating_add(ask).min(self.end),
                })
                .collect(),
        }
    }

    /// The tiles that come next: as the tree has them, and as they are fetched.
    fn tiles(&self) -> impl Iterator<Item = (TileId, TileId)> {
        let width = u64::from(TILE_WIDTH);
        let (next, end) = (self.frontier.size() / width, self.end.div_ceil(width));
        let tiles = (next..end).take(PARALLEL_FETCHES_MAX);
        tiles.filter_map(|index| {
            let tile = TileId::of_tree(TileKind::Data, index, self.target.head.size)?;
            let is_full = self.full.contains(&tile);
            Some((tile, if is_full { tile.full() } else { tile }))
        })
    }

    /// Takes the replies to [`Self::fetches`], up to the first that leaves a gap.
    pub(crate) fn take(
        &mut self,
        address: &LogAddress,
        ask: &mut u64,
        replies: Vec<Result<Vec<u8>, FetchError>>,
    ) -> Result<(), FetchError> {
        let before = self.frontier.size();
        let done = match address {
            LogAddress::Tiled { .. } => self.take_tiles(replies),
            LogAddress::Rfc6962 { .. } => self.take_entries(ask, replies),
        };
        match done {
            // What came before the failure is as good as without it.
            Err(_) if self.frontier.size() > before => Ok(()),
            done => done,
        }
    }

    fn take_tiles(&mut self, replies: Vec<Result<Vec<u8>, FetchError>>) -> Result<(), FetchError> {
        let asked: Vec<_> = self.tiles().collect();
        if replies.len() < asked.len() {
            return Err(FetchError::Missing);
        }
        for ((tile, served), reply) in asked.into_iter().zip(replies) {
            let body = match reply {
                Err(FetchError::NotFound) if !served.is_full() => {
                    self.full.insert(tile);
                    return Ok(());
                }
                reply => reply?,
            };
            self.bytes += body.len();
            let entries = read_data(tile, served, &body)?;
            let first = tile.index() * u64::from(TILE_WIDTH);
            let known = self.frontier.size().saturating_sub(first);
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            self.push(entries.into_iter().skip(known));
        }
        Ok(())
    }

    fn take_entries(
        &mut self,
        ask: &mut u64,
        replies: Vec<Result<Vec<u8>, FetchError>>,
    ) -> Result<(), FetchError> {
        let mut replies = replies.into_iter();
        let mut first = self.frontier.size();
        while first < self.end {
            let Some(reply) = replies.next() else { break };
            let end = first.saturating_add(*ask).min(self.end);
            let body = match reply {
                Err(FetchError::TooLarge) if end - first > 1 => {
                    *ask = (end - first) / 2;
                    return Ok(());
                }
                reply => reply?,
            };
            self.bytes += body.len();
            self.push(read_get_entries(first, end, &body)?.into_iter());
            if self.frontier.size() < end {
                // A log may return fewer (RFC 6962 §4.6): the next replies do not join, and the next questions should.
                *ask = (self.frontier.size() - first).max(ASK_MIN);
                break;
            }
            first = end;
        }
        match self.entries.is_empty() {
            true => Err(FetchError::Missing),
            false => Ok(()),
        }
    }

    fn push(&mut self, entries: impl Iterator<Item = TimestampedEntry>) {
        for entry in entries {
            self.frontier.push(entry.leaf_hash(), |_, _, _| {});
            self.entries.push(entry);
        }
    }
}
