//! [`ShardReader`]: a shard as clients and peers read it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ct::{
    CtExtensions, DataTileError, EntryError, Hash, LogEntry, ProveError, Sct, TILE_WIDTH, TileId,
    TileKind, TileReadError, TileReader, TimestampedEntry, VerifierKey, prove_consistency,
    prove_inclusion, read_data_tile_prefix, submission_key,
};
use tokio::sync::watch;

use crate::edge::Edge;
use crate::files::Files;
use crate::index::{Index, IndexError};
use crate::outside::Sequenced;
use crate::published::Published;
use crate::signer::{Signer, SignerError};
use crate::spec::ShardSpec;

/// What the thread of the log and readers of a shard have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) spec: ShardSpec,
    /// What clients may read, below the shard's name.
    pub(crate) public: Arc<dyn Files>,
    /// The tiles that grow. Only the thread of the log changes it, and it writes those that become full before it lets go.
    pub(crate) edge: Mutex<Edge>,
    pub(crate) index: Arc<Index>,
    /// The other half is that of the thread of the log, so that its end is seen.
    pub(crate) published: watch::Receiver<Option<Arc<Published>>>,
    /// None: this node has no key of the shard, and publishes nothing.
    pub(crate) signer: Option<Arc<dyn Signer>>,
}

/// Reads a shard; a clone costs nothing. All its calls block on files, for some microseconds if they are in memory.
#[derive(Clone)]
pub struct ShardReader(Arc<Shared>);

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What the kernel said of a file.
    #[error("{path}: {error}")]
    Files {
        /// The file.
        path: String,
        /// What it said.
        error: std::io::Error,
    },
    /// What should be there is not.
    #[error("{0} is not there")]
    Missing(String),
    /// A data tile that is none.
    #[error("{tile}: {error}")]
    Data {
        /// Which.
        tile: TileId,
        /// What is wrong with it.
        error: DataTileError,
    },
    /// A hash tile that is none.
    #[error("{tile} has {found} bytes")]
    Length {
        /// Which.
        tile: TileId,
        /// Its bytes.
        found: usize,
    },
    /// The index has not got so far: what it does not find may be there.
    #[error("the index has {has} of {size} entries")]
    IndexBehind {
        /// How many are in it.
        has: u64,
        /// How many are published.
        size: u64,
    },
    /// The index fails.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Why a proof is not made.
pub type ReaderProveError = ProveError<TileReadError<ReadError>>;

/// Why no timestamp is signed.
#[derive(Debug, thiserror::Error)]
pub enum SctForError {
    /// Another entry, or none, is published at this place.
    #[error("entry {index} of the published tree is another")]
    Entry {
        /// The place.
        index: u64,
    },
    /// It cannot be encoded.
    #[error(transparent)]
    Malformed(#[from] EntryError),
    /// The tree cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This node has no key of the shard.
    #[error("this node has no key of the shard")]
    NoKey,
    /// The signer refuses.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// The log has ended: nothing will be published any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log has stopped")]
pub struct Stopped;

impl ShardReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What all nodes know of the shard.
    #[must_use]
    pub fn spec(&self) -> &ShardSpec {
        &self.0.spec
    }

    /// Whether this node has the shard's key.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.0.signer.is_some()
    }

    /// The Ed25519 key that signs the checkpoints beside the shard's own, in a form that witnesses know. None if this node has
    /// no key of the shard.
    #[must_use]
    pub fn note_key(&self) -> Option<VerifierKey> {
        Some(self.0.signer.as_ref()?.note_key())
    }

    /// The newest head. None: none yet since the start, or this node has no key of the shard.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        self.0.published.borrow().clone()
    }

    /// Tells of each new head, or of the newest of several.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.0.published.clone()
    }

    /// Waits for a head that covers the entry at this place. Whoever calls bounds the time.
    ///
    /// # Errors
    /// If the log stops before.
    pub async fn wait_for(&self, index: u64) -> Result<Arc<Published>, Stopped> {
        let mut heads = self.watch();
        let covers = |head: &Option<Arc<Published>>| {
            let size = head.as_ref().map_or(0, |head| head.size());
            size > index
        };
        let head = heads.wait_for(covers).await.map_err(|_| Stopped)?;
        head.clone().ok_or(Stopped)
    }

    /// Leaves that are published.
    fn size(&self) -> u64 {
        self.0
            .published
            .borrow()
            .as_ref()
            .map_or(0, |head| head.size())
    }

    /// A tile of the published tree. A partial one may be gone from the disk when it is full: it is cut from the full one.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be.
    pub fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        if !reaches(self.size(), tile) {
            return Ok(None);
        }
        self.0.tile(tile).map(Some)
    }

    /// Entries of the published tree, from one data tile or several: fewer than asked for if it ends before.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<TimestampedEntry>, ReadError> {
        let end = range.end.min(self.size());
        self.0.entries(range.start..end)
    }

    /// A certificate that chains name, by its SHA-256.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn issuer(&self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, ReadError> {
        let read = self.0.read(&issuer_path(fingerprint))?;
        // A crash may have left a part of it.
        Ok(read.filter(|certificate| Hash::of(certificate) == *fingerprint))
    }

    /// That what is not found is not there: the index has all that was published when it was looked at.
    fn check_index(&self, size: u64) -> Result<(), ReadError> {
        let has = self.0.index.size();
        if has < size {
            return Err(ReadError::IndexBehind { has, size });
        }
        Ok(())
    }

    /// Place and time of a submission ([`ct::submission_key`]), if it is published: the first, if there are several.
    ///
    /// # Errors
    /// If it is not found and the index is behind, or index or tiles cannot be read.
    pub fn find_submission(&self, key: &Hash) -> Result<Option<Sequenced>, ReadError> {
        let behind = self.check_index(self.size());
        let Some(index) = self.0.index.find_submission(key)? else {
            return behind.map(|()| None);
        };
        let entries = self.entries(index..index.saturating_add(1))?;
        let mut found = entries
            .iter()
            .filter(|entry| submission_key(&entry.entry().kind) == *key);
        Ok(found.next().map(|entry| Sequenced {
            index,
            timestamp_ms: entry.timestamp_ms(),
        }))
    }

    /// Place of the leaf with this hash, if it is published.
    ///
    /// # Errors
    /// If it is not found and the index is behind, or index or tiles cannot be read.
    pub fn find_leaf(&self, leaf: &Hash) -> Result<Option<u64>, ReadError> {
        let behind = self.check_index(self.size());
        let Some(index) = self.0.index.find_leaf(leaf)? else {
            return behind.map(|()| None);
        };
        let is_published = index < self.size() && self.0.leaf_hash(index)? == *leaf;
        Ok(is_published.then_some(index))
    }

    /// Hashes of the tree of `size` leaves, for proofs and roots. `size` is for the caller to check against what is published.
    #[must_use]
    pub fn hashes(&self, size: u64) -> impl ct::HashSource<Error = TileReadError<ReadError>> + '_ {
        self.0.hashes(size)
    }

    /// Proof that the entry at this place is in the tree of `size` leaves.
    ///
    /// # Errors
    /// If it is not, or a tile cannot be read: one beyond what is published, for instance.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReaderProveError> {
        prove_inclusion(&mut self.hashes(size), index, size)
    }

    /// Proof that the tree of `new` leaves continues that of `old`.
    ///
    /// # Errors
    /// If it is smaller, or a tile cannot be read: one beyond what is published, for instance.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReaderProveError> {
        prove_consistency(&mut self.hashes(new), old, new)
    }

    /// The promise for an entry that is published at this place: the same each time. Wait for it with [`Self::wait_for`].
    ///
    /// # Errors
    /// If it is not published there, or this node cannot sign.
    pub fn sct_for(&self, place: Sequenced, entry: &LogEntry) -> Result<Sct, SctForError> {
        let index = place.index;
        let signer = self.0.signer.as_ref().ok_or(SctForError::NoKey)?;
        let extensions = CtExtensions::of_index(index).ok_or(SctForError::Entry { index })?;
        let entry = TimestampedEntry::new(entry.clone(), place.timestamp_ms, extensions)?;
        if index >= self.size() || self.0.leaf_hash(index)? != entry.leaf_hash() {
            return Err(SctForError::Entry { index });
        }
        Ok(signer.sign_sct(index, &entry)?)
    }

    /// A file for another node that catches up ([`crate::Mesh`]): also of what is not published yet, and SHA-256 of data tiles
    /// (`digest/tile/data/…`). None: it is not here, or is no path of such a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn file_for_peer(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        if let Some(fingerprint) = path.strip_prefix("issuer/") {
            let bytes = data_encoding::HEXLOWER.decode(fingerprint.as_bytes());
            let Some(hash) = bytes.ok().and_then(|bytes| bytes.try_into().ok()) else {
                return Ok(None);
            };
            return self.issuer(&Hash(hash));
        }
        let of_data = path.strip_prefix(DIGEST);
        let Ok(tile) = TileId::parse(of_data.unwrap_or(path)) else {
            return Ok(None);
        };
        let size = self.0.edge().size();
        if !reaches(size, tile) {
            return Ok(None);
        }
        let bytes = self.0.tile(tile)?;
        let digest = of_data.map(|_| Hash::of(&bytes).0.to_vec());
        Ok(Some(digest.unwrap_or(bytes)))
    }
}

impl fmt::Debug for ShardReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "ShardReader({}, {})",
            self.0.spec.window.name,
            self.size()
        )
    }
}

/// Before the path of a tile: its SHA-256.
pub(crate) const DIGEST: &str = "digest/";

/// Where an issuer is in a shard.
pub(crate) fn issuer_path(fingerprint: &Hash) -> String {
    format!("issuer/{fingerprint}")
}

/// Whether a tree of `size` leaves has this tile, or a wider one in its place.
fn reaches(size: u64, tile: TileId) -> bool {
    let here = TileId::of_tree(tile.kind(), tile.index(), size);
    here.is_some_and(|here| here.width() >= tile.width())
}

impl Shared {
    pub(crate) fn edge(&self) -> MutexGuard<'_, Edge> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Path of a public file.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.spec.window.name)
    }

    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let path = self.path(path);
        let read = self.public.read(&path);
        read.map_err(|error| ReadError::Files { path, error })
    }

    /// A tile of the whole tree, or of a smaller one.
    pub(crate) fn tile(&self, tile: TileId) -> Result<Vec<u8>, ReadError> {
        // What is not at the edge any more is full, and was written before it left.
        if let Some(bytes) = self.edge().partial_tile(tile) {
            return Ok(bytes.to_vec());
        }
        let full = tile.full().to_string();
        let mut bytes = self.read(&full)?.ok_or(ReadError::Missing(full))?;
        let length = match tile.kind() {
            TileKind::Hashes(_) => usize::from(tile.width()) * Hash::BYTES,
            TileKind::Data if tile.is_full() => bytes.len(),
            TileKind::Data => {
                let entries = read_data_tile_prefix(tile, &bytes);
                entries.map_err(|error| ReadError::Data { tile, error })?.1
            }
        };
        if bytes.len() < length {
            let found = bytes.len();
            return Err(ReadError::Length { tile, found });
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Entries of the whole tree.
    pub(crate) fn entries(&self, range: Range<u64>) -> Result<Vec<TimestampedEntry>, ReadError> {
        let width = u64::from(TILE_WIDTH);
        let mut entries = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let tile = TileId::of_tree(TileKind::Data, at / width, range.end);
            let tile = tile.ok_or_else(|| ReadError::Missing(format!("entry {at}")))?;
            let bytes = self.tile(tile)?;
            let read = read_data_tile_prefix(tile, &bytes);
            let (read, _) = read.map_err(|error| ReadError::Data { tile, error })?;
            let before = usize::try_from(at % width).unwrap_or(usize::MAX);
            entries.extend(read.into_iter().skip(before));
            at = (at / width + 1) * width;
        }
        Ok(entries)
    }

    fn hashes(&self, size: u64) -> impl ct::HashSource<Error = TileReadError<ReadError>> + '_ {
        TileReader::trusting(size, |tile| self.tile(tile))
    }

    /// Root of the first `size` leaves.
    pub(crate) fn root(&self, size: u64) -> Result<Hash, ReadError> {
        ct::root(&mut self.hashes(size), size).map_err(|error| match error {
            TileReadError::Fetch { error, .. } => error,
            other => ReadError::Missing(other.to_string()),
        })
    }

    /// Leaf hash of the entry at a place of the tree.
    fn leaf_hash(&self, index: u64) -> Result<Hash, ReadError> {
        let width = u64::from(TILE_WIDTH);
        let tile = TileId::of_tree(TileKind::Hashes(0), index / width, index.saturating_add(1));
        let tile = tile.ok_or_else(|| ReadError::Missing(format!("entry {index}")))?;
        let bytes = self.tile(tile)?;
        let hash = bytes.last_chunk().copied().map(Hash);
        let found = bytes.len();
        hash.ok_or(ReadError::Length { tile, found })
    }
}

#[cfg(test)]
mod tests {
    use ct::{DigitallySigned, EntryKind, KeyName, LogKey, Shard, SignedTreeHead, TreeHead};
    use p256::pkcs8::EncodePublicKey as _;

    use super::*;
    use crate::files::LocalFiles;

    fn entry(index: u64) -> TimestampedEntry {
        let entry = LogEntry {
            kind: EntryKind::Certificate(Arc::from(index.to_be_bytes())),
            chain: Arc::new([]),
        };
        TimestampedEntry::new(entry, 7, CtExtensions::of_index(index).unwrap()).unwrap()
    }

    /// A published shard of so many entries, whose index is empty.
    fn published(folder: &std::path::Path, size: u64) -> Shared {
        let mut edge = Edge::default();
        for entry in (0..size).map(entry) {
            edge.append(&entry, entry.leaf_hash(), |_, _| {}).unwrap();
        }
        let head = TreeHead {
            size,
            root: edge.root(),
            timestamp_ms: 7,
        };
        let signature = DigitallySigned::ecdsa(Vec::new()).unwrap();
        let published = Published {
            signed: SignedTreeHead { head, signature },
            checkpoint: Arc::new([]),
        };
        let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
        let spki = secret.public_key().to_public_key_der().unwrap();
        Shared {
            spec: ShardSpec {
                window: Shard {
                    name: "s".to_owned(),
                    start: 0,
                    end: 1,
                },
                origin: KeyName::new("log/s").unwrap(),
                key: LogKey::new(spki.as_bytes()).unwrap(),
            },
            public: Arc::new(LocalFiles::new(folder.to_owned(), 0o600)),
            edge: Mutex::new(edge),
            index: Arc::new(Index::open(&folder.join("index.redb")).unwrap()),
            published: watch::channel(Some(Arc::new(published))).1,
            signer: None,
        }
    }

    #[test]
    fn what_an_index_that_is_behind_does_not_have_may_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Arc::new(published(folder.path(), 3));
        let reader = ShardReader::new(Arc::clone(&shared));
        let key = |index| submission_key(&entry(index).entry().kind);
        for has in 0..=3 {
            for index in 0..4 {
                let leaf = reader.find_leaf(&entry(index).leaf_hash());
                let submission = reader.find_submission(&key(index));
                if index < has {
                    assert_eq!(leaf.unwrap(), Some(index));
                    assert_eq!(submission.unwrap().unwrap().index, index);
                } else if has < 3 {
                    let is_behind = |error| matches!(error, ReadError::IndexBehind { size: 3, .. });
                    assert!(is_behind(leaf.unwrap_err()), "{index} of {has}");
                    assert!(is_behind(submission.unwrap_err()), "{index} of {has}");
                } else {
                    assert_eq!((leaf.unwrap(), submission.unwrap()), (None, None));
                }
            }
            let next = entry(has);
            shared.index.insert(has, &key(has), &next.leaf_hash());
        }
    }

    #[test]
    fn issuer_that_a_crash_has_cut_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Arc::new(published(folder.path(), 1));
        let reader = ShardReader::new(Arc::clone(&shared));
        let fingerprint = Hash::of(b"certificate");
        let path = shared.path(&issuer_path(&fingerprint));
        shared.public.write(&path, b"certi").unwrap();
        assert_eq!(reader.issuer(&fingerprint).unwrap(), None);
        shared.public.write(&path, b"certificate").unwrap();
        assert!(reader.issuer(&fingerprint).unwrap().is_some());
    }
}
