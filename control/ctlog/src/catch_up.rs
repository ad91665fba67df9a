//! Fetches what a shard lacks from other nodes, and believes none of them: hash tiles are checked against the root that
//! consensus has decided, and entries against the hash tiles. Leaf hashes do not cover the submitted precertificate and the
//! chain (static-ct-api, "Log Entries"): so many nodes have to say the same of a data tile that one of them is honest.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender};
use ct::{
    Hash, KeyName, TILE_WIDTH, TileId, TileKind, TileReader, TimestampedEntry, TreeHead,
    read_data_tile,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::metrics::Metrics;
use crate::outside::Mesh;
use crate::reader::{DIGEST, issuer_path};
use crate::validators::Validators;

/// Data tiles that are fetched and handed over together.
const BATCH_TILES: u64 = 16;

/// Fetches at a time.
const FETCHES_MAX: usize = 8;

/// How often one tile is asked for before the whole batch waits. A peer that lies is one of several.
const TRIES_MAX: usize = 8;

/// How long one fetch may take. Longer than [`Mesh::fetch_from_each`] gives each peer, so that none who is slow costs what the
/// others have said.
const FETCH_TIME_MAX: Duration = Duration::from_secs(10);

/// Waits between two attempts: the first, and the longest.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

/// The way to peers, for one shard.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    /// Name of the log.
    pub(crate) log: KeyName,
    pub(crate) shard: Arc<str>,
    pub(crate) validators: watch::Receiver<Arc<Validators>>,
    pub(crate) mesh: Arc<dyn Mesh>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) metrics: Metrics,
    pub(crate) found: Sender<Found>,
}

/// What has come, for the thread of the log.
#[derive(Debug)]
pub(crate) enum Found {
    /// Entries that are those of the tree, in order.
    Entries {
        shard: Arc<str>,
        first_index: u64,
        entries: Vec<TimestampedEntry>,
    },
    /// Certificates, not checked: they are known by their hash. The search is over.
    Issuers {
        shard: Arc<str>,
        certificates: Vec<Vec<u8>>,
    },
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

impl Target {
    pub(crate) fn of(head: &TreeHead) -> Self {
        Self {
            size: head.size,
            root: head.root,
        }
    }
}

/// Why a batch does not come.
#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error("hash tiles: {0}")]
    Hashes(#[from] ct::TileReadError<NotFetched>),
    #[error("{0} not had rightly from anybody")]
    Data(TileId),
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("nobody has it")]
struct NotFetched;

/// A thread that fetches. It ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Fetching(Option<(watch::Sender<()>, JoinHandle<()>)>);

impl Fetching {
    /// Begins to fetch the entries from `from` on until the target.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(peers: Peers, from: u64, target: Target) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let thread = std::thread::Builder::new().name("ct-catch-up".to_owned());
        let search = Search {
            peers,
            target,
            stopped,
        };
        let thread = thread.spawn(move || search.run(from))?;
        Ok(Self(Some((stop, thread))))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            // A panic of it has been said; here it would hide what comes of it.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Search {
    peers: Peers,
    target: Target,
    /// Closed when the search is to end.
    stopped: watch::Receiver<()>,
}

impl Search {
    fn run(self, mut from: u64) {
        let [first, longest] = BACK_OFF;
        let mut back_off = first;
        while from < self.target.size && !self.is_stopped() {
            let until = (from / 256 + BATCH_TILES) * 256;
            match self.fetch_entries(from..until.min(self.target.size)) {
                Ok(entries) => {
                    let count = entries.len() as u64;
                    self.hand_over(Found::Entries {
                        shard: Arc::clone(&self.peers.shard),
                        first_index: from,
                        entries,
                    });
                    from += count;
                    back_off = first;
                }
                Err(error) => {
                    tracing::warn!(shard = %self.peers.shard, from, %error, "catching up waits");
                    self.block_on(async { tokio::time::sleep(back_off).await });
                    back_off = (back_off * 2).min(longest);
                }
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.has_changed().is_err()
    }

    /// The thread of the log may wait for this one to end: so it must not wait for that one for good.
    fn hand_over(&self, found: Found) {
        let mut found = Some(found);
        while let Some(batch) = found.take() {
            let sent = self.peers.found.send_timeout(batch, BACK_OFF[0]);
            if let Err(SendTimeoutError::Timeout(batch)) = sent {
                found = (!self.is_stopped()).then_some(batch);
            }
        }
    }

    /// What comes of it, or nothing if the search is to end.
    fn block_on<T: Default>(&self, future: impl Future<Output = T>) -> T {
        let mut stopped = self.stopped.clone();
        self.peers.runtime.block_on(async {
            tokio::select! {
                done = future => done,
                _ = stopped.changed() => T::default(),
            }
        })
    }

    /// Entries of some data tiles, all of them checked.
    fn fetch_entries(&self, range: Range<u64>) -> Result<Vec<TimestampedEntry>, CatchUpError> {
        let target = self.target;
        let width = u64::from(TILE_WIDTH);
        let places = range.start / width..range.end.div_ceil(width);
        let of_tree = |kind| {
            let places = places.clone();
            places.filter_map(move |place| TileId::of_tree(kind, place, target.size))
        };
        // Fetched together; what proves wrong is fetched again alone.
        let hashes = RefCell::new(self.fetch_all(of_tree(TileKind::Hashes(0))));
        let mut data = self.fetch_all(of_tree(TileKind::Data));
        let digests = self.agreed_digests(of_tree(TileKind::Data));
        let fetch = |tile: TileId| {
            let bytes = hashes.borrow_mut().remove(&tile);
            let bytes = bytes.or_else(|| self.fetch(&tile.to_string()));
            bytes.ok_or(NotFetched)
        };
        let mut reader = self.verifying(fetch)?;
        let mut entries = Vec::new();
        for tile in of_tree(TileKind::Data) {
            let known = (data.remove(&tile), digests.get(&tile).copied());
            let read = self.fetch_data(tile, known, |leaves| {
                reader.verify_leaves(tile.index() * width, leaves)
            })?;
            let before = range.start.saturating_sub(tile.index() * width);
            let before = usize::try_from(before).unwrap_or(usize::MAX);
            entries.extend(read.into_iter().skip(before));
        }
        Ok(entries)
    }

    /// A reader of hash tiles, with those at the edge, which together give the root or do not.
    fn verifying<F>(
        &self,
        fetch: F,
    ) -> Result<TileReader<F, Vec<u8>>, ct::TileReadError<NotFetched>>
    where
        F: FnMut(TileId) -> Result<Vec<u8>, NotFetched> + Copy,
    {
        let target = self.target;
        let mut tries = 1;
        loop {
            match TileReader::verifying(target.size, target.root, fetch) {
                Err(error) if tries < TRIES_MAX => {
                    tracing::debug!(shard = %self.peers.shard, %error, "tiles of peers");
                    self.peers.metrics.on_catch_up_retry(&self.peers.shard);
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Entries of a data tile that has the agreed digest and whose leaf hashes pass the check. What has come for
    /// it already is given.
    fn fetch_data(
        &self,
        tile: TileId,
        (mut first, mut digest): (Option<Vec<u8>>, Option<Hash>),
        mut check: impl FnMut(Vec<Hash>) -> Result<(), ct::TileReadError<NotFetched>>,
    ) -> Result<Vec<TimestampedEntry>, CatchUpError> {
        for _ in 0..TRIES_MAX {
            let again = || self.agreed_digests(std::iter::once(tile)).remove(&tile);
            digest = digest.or_else(again);
            let bytes = first.take().or_else(|| self.fetch(&tile.to_string()));
            let agreed = bytes.filter(|bytes| digest == Some(Hash::of(bytes)));
            if let Some(Ok(entries)) = agreed.map(|bytes| read_data_tile(tile, &bytes)) {
                let leaves = entries.iter().map(TimestampedEntry::leaf_hash);
                match check(leaves.collect()) {
                    Ok(()) => return Ok(entries),
                    Err(error) => {
                        tracing::debug!(shard = %self.peers.shard, %tile, %error, "tile of a peer");
                    }
                }
            }
            self.peers.metrics.on_catch_up_retry(&self.peers.shard);
        }
        Err(CatchUpError::Data(tile))
    }

    /// SHA-256 of those data tiles of which enough nodes say the same.
    fn agreed_digests(&self, tiles: impl Iterator<Item = TileId>) -> BTreeMap<TileId, Hash> {
        let fetch = |tile: TileId| {
            let path = format!("{DIGEST}{tile}");
            self.peers
                .mesh
                .fetch_from_each(Arc::clone(&self.peers.shard), path)
        };
        let validators = Arc::clone(&self.peers.validators.borrow());
        let agreed = |said: Vec<(String, Vec<u8>)>| {
            let mut nodes: BTreeMap<&[u8], BTreeSet<&str>> = BTreeMap::new();
            for (node, digest) in &said {
                nodes.entry(digest).or_default().insert(node);
            }
            let believed = |(_, nodes): &(&[u8], BTreeSet<&str>)| {
                validators.are_believed(&self.peers.log, nodes.iter().copied())
            };
            let (digest, _) = nodes.into_iter().find(believed)?;
            digest.try_into().ok().map(Hash)
        };
        let said = self.fetch_together(tiles, fetch).into_iter();
        said.filter_map(|(tile, said)| Some((tile, agreed(said)?)))
            .collect()
    }

    /// A file from anybody.
    fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let (shard, path) = (Arc::clone(&self.peers.shard), path.to_owned());
        self.block_on(async { in_time(self.peers.mesh.fetch(shard, path)).await })
    }

    /// Those of the tiles that somebody has.
    fn fetch_all(&self, tiles: impl Iterator<Item = TileId>) -> BTreeMap<TileId, Vec<u8>> {
        let fetch = |tile: TileId| {
            self.peers
                .mesh
                .fetch(Arc::clone(&self.peers.shard), tile.to_string())
        };
        let found = self.fetch_together(tiles, fetch).into_iter();
        found
            .filter_map(|(tile, bytes)| Some((tile, bytes?)))
            .collect()
    }

    /// What comes in time for each tile, some at a time.
    fn fetch_together<T, F>(
        &self,
        tiles: impl Iterator<Item = TileId>,
        fetch: impl Fn(TileId) -> F,
    ) -> Vec<(TileId, T)>
    where
        T: Default + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.block_on(async {
            let (mut found, mut fetches) = (Vec::new(), JoinSet::new());
            for tile in tiles {
                if fetches.len() == FETCHES_MAX {
                    found.extend(fetches.join_next().await.and_then(Result::ok));
                }
                let fetched = fetch(tile);
                fetches.spawn(async move { (tile, in_time(fetched).await) });
            }
            while let Some(joined) = fetches.join_next().await {
                found.extend(joined.ok());
            }
            found
        })
    }
}

impl Peers {
    /// Looks for certificates. What is found comes as one [`Found::Issuers`], empty or not.
    pub(crate) fn find_issuers(self, fingerprints: Vec<Hash>) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            let mut certificates = Vec::new();
            for fingerprint in fingerprints {
                let path = issuer_path(&fingerprint);
                let fetched = in_time(self.mesh.fetch(Arc::clone(&self.shard), path)).await;
                let is_it = |bytes: &Vec<u8>| Hash::of(bytes) == fingerprint;
                certificates.extend(fetched.filter(is_it));
            }
            let shard = self.shard;
            let found = Found::Issuers {
                shard,
                certificates,
            };
            // Not here: the thread of the log may be behind. If it has ended, nobody wants them.
            let sender = self.found;
            let _ = tokio::task::spawn_blocking(move || sender.send(found)).await;
        });
    }
}

async fn in_time<T: Default>(fetched: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(FETCH_TIME_MAX, fetched).await;
    in_time.unwrap_or_default()
}
