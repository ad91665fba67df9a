//! [`Store`]: the files of a shard. What was decided comes again after a crash from the last time that [`StoreSync::run`] ended, so
//! only that makes files durable, and opening trusts no tile beyond it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ct::{
    CtExtensions, EntryError, Hash, LogEntry, TILE_LEVELS, TILE_WIDTH, TileId, TileKind, TiledTree,
    TimestampedEntry, TreeFull, TreeHead, read_data_tile, submission_key,
};

use crate::edge::Edge;
use crate::error::{LogError, of_files};
use crate::files::Files;
use crate::issuers::{Issuers, remember};
use crate::reader::{Shared, issuer_path};
use crate::remembered::{HEAD_BYTES, SealError, decode_head, encode_head, seal, unseal};

/// What the file of the edge begins with.
const KIND: [u8; 8] = *b"ctedge 1";

/// Full tiles before the edge whose partial ones a crash may have left behind.
const LEFTOVERS_MAX: u64 = 256;

/// A shard on disk. Only the thread of the log has it.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    state: Arc<dyn Files>,
    /// Written since the last sync.
    unsynced: Vec<String>,
    /// Issuers that are in the shard's folder.
    issuers: BTreeSet<Hash>,
    /// Named by entries, and not known.
    missing_issuers: BTreeSet<Hash>,
    /// Folders of partial tiles of which the full one is there, and when they may go.
    leftovers: VecDeque<(Instant, String)>,
    /// How long partial tiles stay when the full one is there.
    partial_keep: Duration,
    /// Time of the last entry, in milliseconds since 1970.
    timestamp_ms: u64,
    written: Written,
}

/// Bytes that were written since the last call of [`Store::take_written`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Full tiles.
    pub(crate) tiles: u64,
    /// Partial tiles.
    pub(crate) partial: u64,
    /// Issuers.
    pub(crate) issuers: u64,
    /// The edge, at a sync.
    pub(crate) state: u64,
}

/// A shard at one moment, for a thread that makes it durable while others go on.
#[derive(Debug)]
pub(crate) struct StoreSync {
    pub(crate) shard: String,
    pub(crate) size: u64,
    public: Arc<dyn Files>,
    /// Written since the last one.
    paths: Vec<String>,
    state: Arc<dyn Files>,
    edge: Vec<u8>,
}

impl StoreSync {
    /// Makes it durable, tiles first: the edge says that they are there.
    pub(crate) fn run(&self) -> Result<(), LogError> {
        let synced = self.public.sync(&self.paths);
        synced.map_err(of_files(&self.shard))?;
        let path = edge_path(&self.shard);
        let replaced = self.state.replace(&path, &self.edge);
        replaced.map_err(of_files(&path))
    }
}

/// Entries that consensus cannot have decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// One that no log can hold.
    #[error("entry {index}: {error}")]
    Entry {
        /// Its place.
        index: u64,
        /// Why.
        error: EntryError,
    },
    /// The disk fails.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The edge of the last sync, and the time of its last entry in milliseconds since 1970. Nothing if there is none or it is damaged:
/// then the tree comes again from others.
pub(crate) fn load_edge(state: &dyn Files, shard: &str) -> Result<(Edge, u64), LogError> {
    let path = edge_path(shard);
    let Some(bytes) = state.read(&path).map_err(of_files(&path))? else {
        return Ok((Edge::default(), 0));
    };
    Ok(decode_edge(&bytes).unwrap_or_else(|error| {
        tracing::error!(shard, %error, "edge of the tree is damaged: it is fetched from other nodes");
        (Edge::default(), 0)
    }))
}

fn edge_path(shard: &str) -> String {
    format!("{shard}/edge")
}

/// Why a file is no edge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    /// Damaged.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Hash tiles that do not give the root.
    #[error("{0}")]
    Tree(String),
    /// A data tile that is none.
    #[error(transparent)]
    Data(#[from] ct::DataTileError),
}

/// The head, then each partial tile with its length.
fn encode_edge(edge: &Edge, timestamp_ms: u64) -> Vec<u8> {
    let head = TreeHead {
        size: edge.size(),
        root: edge.root(),
        timestamp_ms,
    };
    let mut contents = encode_head(&head).to_vec();
    for (_, bytes) in edge.partial_tiles() {
        let length = u32::try_from(bytes.len()).expect("256 entries of at most 3 * 2^24 bytes");
        contents.extend_from_slice(&length.to_be_bytes());
        contents.extend_from_slice(bytes);
    }
    seal(KIND, &contents)
}

pub(crate) fn decode_edge(bytes: &[u8]) -> Result<(Edge, u64), EdgeError> {
    let contents = unseal(KIND, bytes)?;
    let found = contents.len();
    let length = SealError::Length { found };
    let (head, mut rest) = contents.split_at_checked(HEAD_BYTES).ok_or(length)?;
    let head = decode_head(head)?;
    let mut tiles = Vec::new();
    for tile in partial_tiles_of(head.size) {
        let (bytes, after) = rest.split_first_chunk().ok_or(length)?;
        let bytes = usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
        let (bytes, after) = after.split_at_checked(bytes).ok_or(length)?;
        tiles.push((tile, bytes));
        rest = after;
    }
    if !rest.is_empty() {
        return Err(length.into());
    }
    let find = |wanted: TileId| tiles.iter().find(|(tile, _)| *tile == wanted);
    let fetch = |wanted| find(wanted).map(|(_, bytes)| *bytes).ok_or("not in it");
    let tree = TiledTree::resume(head.size, head.root, fetch);
    let tree = tree.map_err(|error| EdgeError::Tree(error.to_string()))?;
    let entries = match tiles.last() {
        Some((tile, bytes)) if tile.kind() == TileKind::Data => read_data_tile(*tile, bytes)?,
        _ => Vec::new(),
    };
    Ok((Edge::new(tree, &entries), head.timestamp_ms))
}

/// The partial tiles that a tree of `size` leaves ends in, that of data last.
fn partial_tiles_of(size: u64) -> impl Iterator<Item = TileId> {
    let kinds = (0..TILE_LEVELS)
        .map(TileKind::Hashes)
        .chain([TileKind::Data]);
    kinds.filter_map(move |kind| TileId::of_tree(kind, full_tiles(kind, size), size))
}

/// How many full tiles of a kind a tree has.
fn full_tiles(kind: TileKind, size: u64) -> u64 {
    let level = match kind {
        TileKind::Hashes(level) => u32::from(level),
        TileKind::Data => 0,
    };
    size.checked_shr(8 * (level + 1)).unwrap_or(0)
}

impl Store {
    /// The shard from its last sync on.
    pub(crate) fn new(
        shared: Arc<Shared>,
        state: Arc<dyn Files>,
        timestamp_ms: u64,
        partial_keep: Duration,
    ) -> Result<Self, LogError> {
        let mut store = Self {
            shared,
            state,
            unsynced: Vec::new(),
            issuers: BTreeSet::new(),
            missing_issuers: BTreeSet::new(),
            leftovers: VecDeque::new(),
            partial_keep,
            timestamp_ms,
            written: Written::default(),
        };
        let size = store.size();
        let now = Instant::now();
        for kind in (0..TILE_LEVELS)
            .map(TileKind::Hashes)
            .chain([TileKind::Data])
        {
            let full = full_tiles(kind, size);
            let leftovers = full.saturating_sub(LEFTOVERS_MAX)..full;
            for tile in leftovers.filter_map(|index| TileId::new(kind, index, TILE_WIDTH)) {
                store.leave_partial(tile, now);
            }
        }
        for edge in partial_tiles_of(size) {
            for width in 1..=edge.width() {
                let tile = TileId::new(edge.kind(), edge.index(), width);
                store.mend_partial_tile(tile.unwrap_or(edge))?;
            }
        }
        Ok(store)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Leaves of the tree.
    pub(crate) fn size(&self) -> u64 {
        self.shared.edge().size()
    }

    /// Merkle Tree Hash of all leaves.
    pub(crate) fn root(&self) -> Hash {
        self.shared.edge().root()
    }

    /// Takes the entries from `first_index` on that it does not have; it has all before.
    pub(crate) fn append(
        &mut self,
        first_index: u64,
        timestamp_ms: u64,
        entries: &[LogEntry],
        issuers: &Issuers,
    ) -> Result<(), AppendError> {
        let size = self.size();
        for (index, entry) in (first_index..)
            .zip(entries)
            .skip_while(|(index, _)| *index < size)
        {
            let full = LogError::Full(TreeFull);
            let extensions = CtExtensions::of_index(index).ok_or(full)?;
            let entry = TimestampedEntry::new(entry.clone(), timestamp_ms, extensions);
            let entry = entry.map_err(|error| AppendError::Entry { index, error })?;
            self.push(index, &entry, issuers)?;
        }
        Ok(())
    }

    /// Takes the next entry.
    pub(crate) fn push(
        &mut self,
        index: u64,
        entry: &TimestampedEntry,
        issuers: &Issuers,
    ) -> Result<(), LogError> {
        for fingerprint in entry.entry().chain.iter() {
            self.need_issuer(fingerprint, issuers)?;
        }
        let leaf = entry.leaf_hash();
        let shared = Arc::clone(&self.shared);
        let mut full = Vec::new();
        let mut failed = None;
        // Written before the lock is let go: who does not find a tile at the edge any more finds it on disk.
        shared.edge().append(entry, leaf, |tile, bytes| {
            let path = shared.path(&tile.to_string());
            self.written.tiles += bytes.len() as u64;
            if let Err(error) = shared.public.write(&path, bytes) {
                failed = Some(of_files(&path)(error));
            }
            full.push((tile, path));
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (tile, path) in full {
            self.unsynced.push(path);
            self.leave_partial(tile, Instant::now() + self.partial_keep);
        }
        self.timestamp_ms = entry.timestamp_ms();
        // An index that is behind is fed from the tiles.
        if shared.index.size() >= index {
            self.insert(index, entry, &leaf)?;
        }
        Ok(())
    }

    fn insert(&self, index: u64, entry: &TimestampedEntry, leaf: &Hash) -> Result<(), LogError> {
        let submission = submission_key(&entry.entry().kind);
        if self.shared.index.insert(index, &submission, leaf) {
            self.shared.index.write_behind()?;
        }
        Ok(())
    }

    /// Feeds an index that is behind with the entries of one data tile. False: it is not behind.
    pub(crate) fn feed_index(&self) -> Result<bool, LogError> {
        let (from, size) = (self.shared.index.size(), self.size());
        if from >= size {
            return Ok(false);
        }
        let until = (from / 256 + 1) * 256;
        let entries = self.shared.entries(from..until.min(size))?;
        for (index, entry) in (from..).zip(&entries) {
            self.insert(index, entry, &entry.leaf_hash())?;
        }
        Ok(true)
    }

    /// Has an issuer beside the tiles, or notes that it is missing.
    fn need_issuer(&mut self, fingerprint: &Hash, issuers: &Issuers) -> Result<(), LogError> {
        if self.issuers.contains(fingerprint) {
            return Ok(());
        }
        let Some(certificate) = issuers.get(fingerprint)? else {
            self.missing_issuers.insert(*fingerprint);
            return Ok(());
        };
        let path = self.shared.path(&issuer_path(fingerprint));
        let written = self.shared.public.write(&path, &certificate);
        written.map_err(of_files(&path))?;
        self.written.issuers += certificate.len() as u64;
        self.unsynced.push(path);
        self.missing_issuers.remove(fingerprint);
        remember(&mut self.issuers, *fingerprint);
        Ok(())
    }

    /// Issuers that entries name and this node does not have, after another look.
    pub(crate) fn missing_issuers(&mut self, issuers: &Issuers) -> Result<Vec<Hash>, LogError> {
        for fingerprint in self.missing_issuers.clone() {
            self.need_issuer(&fingerprint, issuers)?;
        }
        Ok(self.missing_issuers.iter().copied().collect())
    }

    /// Writes the partial tiles of the tree of `size` leaves: all that it has beside full ones, which are there.
    pub(crate) fn write_partial_tiles(&mut self, size: u64) -> Result<(), LogError> {
        for tile in partial_tiles_of(size) {
            let bytes = self.shared.tile(tile)?;
            let path = self.shared.path(&tile.to_string());
            self.written.partial += bytes.len() as u64;
            let written = self.shared.public.write(&path, &bytes);
            written.map_err(of_files(&path))?;
        }
        Ok(())
    }

    /// Writes those partial tiles of the tree of `size` leaves anew that a crash has left with other contents.
    pub(crate) fn mend_partial_tiles(&mut self, size: u64) -> Result<(), LogError> {
        partial_tiles_of(size).try_for_each(|tile| self.mend_partial_tile(tile))
    }

    fn mend_partial_tile(&mut self, tile: TileId) -> Result<(), LogError> {
        let path = self.shared.path(&tile.to_string());
        let read = self.shared.public.read(&path).map_err(of_files(&path))?;
        let edge = self.shared.edge();
        let expected = edge.partial_tile(tile);
        if let Some(bytes) = expected.filter(|bytes| read.is_some_and(|read| read != *bytes)) {
            self.written.partial += bytes.len() as u64;
            let written = self.shared.public.write(&path, bytes);
            written.map_err(of_files(&path))?;
        }
        Ok(())
    }

    /// Partial tiles may go at this time: the full one is there.
    fn leave_partial(&mut self, full: TileId, at: Instant) {
        let folder = self.shared.path(&format!("{full}.p"));
        self.leftovers.push_back((at, folder));
    }

    /// Removes partial tiles whose time has come, some at a time.
    pub(crate) fn remove_leftovers(&mut self, now: Instant) -> Result<(), LogError> {
        for _ in 0..16 {
            let Some((_, folder)) = self.leftovers.pop_front_if(|(at, _)| *at <= now) else {
                break;
            };
            let removed = self.shared.public.remove_folder(&folder);
            removed.map_err(of_files(&folder))?;
        }
        Ok(())
    }

    /// When [`Self::remove_leftovers`] is due.
    pub(crate) fn leftovers_due(&self) -> Option<Instant> {
        self.leftovers.front().map(|(at, _)| *at)
    }

    /// What makes all that it has durable. Opening begins there after a crash.
    pub(crate) fn begin_sync(&mut self) -> StoreSync {
        let edge = encode_edge(&self.shared.edge(), self.timestamp_ms);
        self.written.state += edge.len() as u64;
        StoreSync {
            shard: self.shared.spec.window.name.clone(),
            size: self.size(),
            public: Arc::clone(&self.shared.public),
            paths: std::mem::take(&mut self.unsynced),
            state: Arc::clone(&self.state),
            edge,
        }
    }

    /// Writes the index, which would else be fed from the tiles at the next start.
    pub(crate) fn flush_index(&self) -> Result<(), LogError> {
        Ok(self.shared.index.flush()?)
    }

    /// Bytes that were written since the last call.
    pub(crate) fn take_written(&mut self) -> Written {
        std::mem::take(&mut self.written)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ct::EntryKind;

    use super::*;

    /// The edge of a tree of so many entries.
    fn edge(size: u64) -> Edge {
        let mut edge = Edge::default();
        for index in 0..size {
            let der: Arc<[u8]> = index.to_be_bytes().to_vec().into();
            let entry = LogEntry {
                kind: EntryKind::Certificate(der),
                chain: Arc::new([]),
            };
            let extensions = CtExtensions::of_index(index).unwrap();
            let entry = TimestampedEntry::new(entry, 7, extensions).unwrap();
            edge.append(&entry, entry.leaf_hash(), |_, _| {}).unwrap();
        }
        edge
    }

    #[test]
    fn edge_of_a_sync_is_read_back_and_grows_as_the_first_would() {
        for size in [0, 1, 255, 256, 257, 600, 65_536, 65_793] {
            let mut written = edge(size);
            let (mut read, timestamp_ms) = decode_edge(&encode_edge(&written, 9)).unwrap();
            assert_eq!(
                (read.size(), read.root(), timestamp_ms),
                (size, written.root(), 9)
            );
            assert_eq!(read.partial_tiles(), written.partial_tiles());
            let extensions = CtExtensions::of_index(size).unwrap();
            let entry = LogEntry {
                kind: EntryKind::Certificate(Arc::from(&b"next"[..])),
                chain: Arc::new([]),
            };
            let entry = TimestampedEntry::new(entry, 9, extensions).unwrap();
            let mut tiles = [Vec::new(), Vec::new()];
            for (edge, tiles) in [&mut read, &mut written].into_iter().zip(&mut tiles) {
                let keep = |tile, bytes: &[u8]| tiles.push((tile, bytes.to_vec()));
                edge.append(&entry, entry.leaf_hash(), keep).unwrap();
            }
            assert_eq!(tiles[0], tiles[1]);
            assert_eq!(read.partial_tiles(), written.partial_tiles());
        }
    }

    #[test]
    fn partial_tile_of_a_smaller_tree_is_cut_from_the_edge() {
        let whole = edge(300);
        for size in [257, 280, 300] {
            let smaller = edge(size);
            for (tile, bytes) in smaller.partial_tiles() {
                assert_eq!(whole.partial_tile(tile), Some(bytes), "{tile} of {size}");
            }
        }
        let gone = TileId::new(TileKind::Data, 0, 5).unwrap();
        let beyond = TileId::new(TileKind::Data, 1, 45).unwrap();
        assert_eq!(whole.partial_tile(gone), None);
        assert_eq!(whole.partial_tile(beyond), None);
    }

    #[test]
    fn damaged_edge_is_an_error() {
        let whole = encode_edge(&edge(300), 7);
        assert!(decode_edge(&whole).is_ok());
        for place in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(decode_edge(&damaged).is_err(), "{place}");
            assert!(decode_edge(&whole[..place]).is_err(), "{place}");
        }
    }

    #[test]
    fn whatever_was_sealed_is_an_edge_with_its_root_or_an_error() {
        let whole = encode_edge(&edge(300), 7);
        let contents = unseal(KIND, &whole).unwrap().to_vec();
        bolero::check!().for_each(|noise: &[u8]| {
            let mut damaged = contents.clone();
            for pair in noise.chunks_exact(3) {
                let place = usize::from(u16::from_be_bytes([pair[0], pair[1]])) % damaged.len();
                damaged[place] ^= pair[2];
            }
            for contents in [noise, &damaged] {
                if let Ok((edge, timestamp_ms)) = decode_edge(&seal(KIND, contents)) {
                    let again = encode_edge(&edge, timestamp_ms);
                    assert_eq!(unseal(KIND, &again), Ok(contents));
                }
            }
            let _ = decode_edge(noise);
        });
    }
}
