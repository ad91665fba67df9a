//! [`ShardCopy`]: one shard in one place.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ct::{
    Hash, NOTE_BYTES_MAX, Note, SignedTreeHead, TILE_WIDTH, TileId, TileKind, TileReadError,
    TreeHead, read_data_tile, tiles_of_growth,
};
use object_store::UpdateVersion;
use object_store::path::Path;
use tokio::time::Instant;

use super::CopyError;
use super::place::{Place, Replaced};
use super::puts::Puts;
use crate::issuers::remember;
use crate::reader::{ReadError, issuer_path};
use crate::served::Served;
use crate::{Published, ShardReader};

/// Leaves whose tiles are sent before it is noted that they have arrived: what a failure sends again at most.
const STEP_LEAVES: u64 = 64 * TILE_WIDTH as u64;

/// How long partial tiles stay when the full one is there. Readers of a checkpoint need seconds, and caches before the store
/// a while.
const PARTIAL_KEEP: Duration = Duration::from_secs(600);

/// Partial tiles that wait for that. Beyond, the oldest go at once.
const LEFTOVERS_MAX: usize = 4096;

/// Partial tiles that are removed after one checkpoint.
const REMOVALS_MAX: usize = 64;

/// Times in a row that others are before this node with a checkpoint that is older than its own.
const OVERTAKEN_MAX: usize = 8;

/// A shard as its copy is, as far as this node knows.
#[derive(Debug)]
pub struct ShardCopy {
    place: Arc<Place>,
    reader: ShardReader,
    /// The full tiles of the tree of so many leaves are there, and their issuers.
    through: u64,
    /// So are the partial tiles of a tree of so many, which is no larger.
    whole: u64,
    /// The checkpoint that was there when the store was looked at last, or was put since.
    shown: Option<TreeHead>,
    /// Issuers that are there; of most of them it is known.
    issuers: BTreeSet<Hash>,
    /// Partial tiles that this process has put there, while the full one is not there.
    partials: Vec<TileId>,
    /// Partial tiles of which the full one is there, and when they may go.
    leftovers: VecDeque<(Instant, TileId)>,
    /// Times in a row that something else was there than what had been read.
    overtaken: usize,
    bytes: u64,
}

/// How far a copy is after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet: another step follows.
    Part,
    /// The store shows the head, or a newer one.
    Whole,
}

/// The checkpoint of the store.
struct Seen {
    head: TreeHead,
    version: UpdateVersion,
}

impl ShardCopy {
    /// Of this shard. What is there already is seen when it is updated.
    #[must_use]
    pub fn new(place: Arc<Place>, reader: ShardReader) -> Self {
        Self {
            place,
            reader,
            through: 0,
            whole: 0,
            shown: None,
            issuers: BTreeSet::new(),
            partials: Vec::new(),
            leftovers: VecDeque::new(),
            overtaken: 0,
            bytes: 0,
        }
    }

    /// Which shard.
    #[must_use]
    pub fn reader(&self) -> &ShardReader {
        &self.reader
    }

    /// Where.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The newest head that the store was seen to show.
    #[must_use]
    pub fn shown(&self) -> Option<TreeHead> {
        self.shown
    }

    /// Bytes that have arrived since the last call.
    pub(super) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Brings the store a step nearer to showing this published head, or a newer one, and all that it covers before it. May be
    /// dropped at any await, and called again. Each step looks first: what is there may have become more, or less.
    ///
    /// # Errors
    /// If the store fails or has something else, or own files cannot be read.
    pub async fn advance(&mut self, head: &Published) -> Result<Progress, CopyError> {
        let seen = self.look().await?;
        if self.shown.is_none() && !self.has_samples().await? {
            self.forget();
        }
        self.learn(seen.as_ref())?;
        let target = head.signed.head;
        let is_before = |seen: &Seen| is_after(&target, &seen.head);
        if seen.as_ref().is_none_or(is_before) {
            self.place.check_conditions().await?;
            if self.put_tiles(target.size).await? == Progress::Part {
                return Ok(Progress::Part);
            }
            let before = seen.map(|seen| seen.version);
            if self.show(head, before).await? == Progress::Part {
                return Ok(Progress::Part);
            }
        }
        self.overtaken = 0;
        self.remove_leftovers(target.size.min(self.through)).await;
        Ok(Progress::Whole)
    }

    /// Puts the checkpoint, in place of this version.
    async fn show(
        &mut self,
        head: &Published,
        before: Option<UpdateVersion>,
    ) -> Result<Progress, CopyError> {
        let checkpoint = head.checkpoint.to_vec();
        let length = checkpoint.len() as u64;
        let path = self.path("checkpoint");
        let put = self
            .place
            .replace(&path, checkpoint, Served::CHECKPOINT, before.clone());
        if put.await? == Replaced::Done {
            self.bytes += length;
            self.shown = Some(head.signed.head);
            return Ok(Progress::Whole);
        }
        // By another node with the same log, whose tiles are as good; unless the store refuses whatever comes.
        let after = self.look().await?.map(|seen| seen.version);
        self.overtaken += 1;
        if after == before || self.overtaken >= OVERTAKEN_MAX {
            self.overtaken = 0;
            let path = path.to_string();
            return Err(CopyError::Refused { path });
        }
        Ok(Progress::Part)
    }

    fn path(&self, file: &str) -> Path {
        self.place.path(&self.reader.spec().window.name, file)
    }

    /// The checkpoint of the store, which this shard's key has signed.
    async fn look(&self) -> Result<Option<Seen>, CopyError> {
        let path = self.path("checkpoint");
        let Some(found) = self.place.get(&path, NOTE_BYTES_MAX as u64).await? else {
            return Ok(None);
        };
        let foreign = |reason: String| CopyError::Foreign {
            path: path.to_string(),
            reason,
        };
        let note = Note::parse(&found.bytes).map_err(|error| foreign(error.to_string()))?;
        let spec = self.reader.spec();
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let signed = SignedTreeHead::from_note(&note, &spec.origin, &spec.key, algorithms);
        let signed = signed.map_err(|error| foreign(error.to_string()))?;
        Ok(Some(Seen {
            head: signed.head,
            version: found.version,
        }))
    }

    /// Takes over what the store shows.
    fn learn(&mut self, seen: Option<&Seen>) -> Result<(), CopyError> {
        let head = seen.map(|seen| seen.head);
        let has_gone_back = match (&self.shown, &head) {
            (Some(shown), Some(head)) => is_after(shown, head),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if has_gone_back {
            // Somebody has emptied it, or put a backup in its place: what else is gone is not known.
            self.forget();
        }
        let Some(head) = head else { return Ok(()) };
        // Another node may be ahead: then this one cannot know yet, and does nothing.
        let published = self.reader.published().map_or(0, |own| own.size());
        if head.size <= published {
            let ours = self.root(head.size)?;
            if ours != head.root {
                let (size, theirs) = (head.size, head.root);
                return Err(CopyError::Fork { size, theirs, ours });
            }
            self.through = self.through.max(head.size);
            self.whole = self.whole.max(head.size);
        }
        self.shown = Some(head);
        Ok(())
    }

    /// Whether the first, the last full and the partial one of the data tiles that have been sent are there. Before its
    /// first checkpoint, a store says nothing else of what it has.
    async fn has_samples(&self) -> Result<bool, CopyError> {
        let width = u64::from(TILE_WIDTH);
        let full = self.through / width;
        let full = [(full > 0).then_some(0), full.checked_sub(1)];
        let full = full.into_iter().flatten();
        let full = full.map(|index| TileId::new(TileKind::Data, index, TILE_WIDTH));
        let partial = TileId::of_tree(TileKind::Data, self.whole / width, self.whole);
        for tile in full.chain([partial]).flatten() {
            if !self.place.has(&self.path(&tile.to_string())).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes nothing to be there.
    fn forget(&mut self) {
        (self.through, self.whole) = (0, 0);
        self.issuers.clear();
        self.shown = None;
    }

    fn root(&self, size: u64) -> Result<Hash, ReadError> {
        ct::root(&mut self.reader.hashes(size), size).map_err(|error| match error {
            TileReadError::Fetch { error, .. } => error,
            other => ReadError::Missing(other.to_string()),
        })
    }

    /// Puts the next of what the tree of `size` leaves has beyond what is there.
    async fn put_tiles(&mut self, size: u64) -> Result<Progress, CopyError> {
        if self.through < size {
            let end = (self.through / STEP_LEAVES + 1) * STEP_LEAVES;
            let full = tiles_of_growth(self.through, end.min(size)).filter(|tile| tile.is_full());
            self.put_step(full).await?;
            self.through = end.min(size);
        }
        if self.through < size {
            return Ok(Progress::Part);
        }
        let partial = tiles_of_growth(self.whole, size).filter(|tile| !tile.is_full());
        let partial: Vec<_> = partial.collect();
        self.put_step(partial.iter().copied()).await?;
        self.partials.extend(partial);
        self.whole = size;
        Ok(Progress::Whole)
    }

    /// Puts these tiles, and the issuers that their entries name.
    async fn put_step(&mut self, tiles: impl Iterator<Item = TileId>) -> Result<(), CopyError> {
        let mut puts = Puts::new(&self.place);
        let mut issuers = BTreeSet::new();
        for tile in tiles {
            let bytes = self.reader.tile(tile)?;
            let bytes = bytes.ok_or_else(|| ReadError::Missing(tile.to_string()))?;
            if tile.kind() == TileKind::Data {
                self.put_issuers(tile, &bytes, &mut issuers, &mut puts)
                    .await?;
            }
            puts.add(self.path(&tile.to_string()), bytes, Served::TILE)
                .await?;
        }
        self.bytes += puts.finish().await?;
        for fingerprint in issuers {
            remember(&mut self.issuers, fingerprint);
        }
        Ok(())
    }

    /// Puts the certificates that the entries of a data tile name and that may not be there.
    async fn put_issuers(
        &self,
        tile: TileId,
        bytes: &[u8],
        new: &mut BTreeSet<Hash>,
        puts: &mut Puts,
    ) -> Result<(), CopyError> {
        let entries = read_data_tile(tile, bytes);
        let entries = entries.map_err(|error| ReadError::Data { tile, error })?;
        let named = entries.iter().flat_map(|entry| entry.entry().chain.iter());
        for fingerprint in named {
            if self.issuers.contains(fingerprint) || !new.insert(*fingerprint) {
                continue;
            }
            let path = issuer_path(fingerprint);
            let certificate = self.reader.issuer(fingerprint)?;
            let certificate = certificate.ok_or_else(|| ReadError::Missing(path.clone()))?;
            puts.add(self.path(&path), certificate, Served::ISSUER)
                .await?;
        }
        Ok(())
    }

    /// Removes partial tiles of which the full one has been there for long. What cannot be removed stays: it harms nobody.
    async fn remove_leftovers(&mut self, size: u64) {
        let is_full = |tile: &mut TileId| {
            let here = TileId::of_tree(tile.kind(), tile.index(), size);
            here.is_some_and(TileId::is_full)
        };
        let now = Instant::now();
        let due = now + PARTIAL_KEEP;
        let filled = self.partials.extract_if(.., is_full);
        self.leftovers.extend(filled.map(|tile| (due, tile)));
        for _ in 0..REMOVALS_MAX {
            let is_crowded = self.leftovers.len() > LEFTOVERS_MAX;
            let gone = self
                .leftovers
                .pop_front_if(|(due, _)| is_crowded || *due <= now);
            let Some((due, tile)) = gone else { break };
            if let Err(error) = self.place.remove(&self.path(&tile.to_string())).await {
                tracing::debug!(%error, "partial tiles stay in the store for now");
                self.leftovers.push_front((due, tile));
                break;
            }
        }
        // A store that removes nothing must not fill the memory.
        let excess = self.leftovers.len().saturating_sub(LEFTOVERS_MAX);
        self.leftovers.drain(..excess);
    }
}

/// Whether a head follows another: with more leaves, or later.
fn is_after(head: &TreeHead, other: &TreeHead) -> bool {
    (head.size, head.timestamp_ms) > (other.size, other.timestamp_ms)
}
