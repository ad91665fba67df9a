//! What several tests need: a consensus that only counts, nodes that reach each other by calls, and what an outsider makes
//! of the files.

#![allow(dead_code, reason = "each test uses a part")]
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

pub(crate) mod files;
pub(crate) mod outsider;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ct::{
    CtExtensions, EntryKind, Frontier, Hash, KeyName, LogEntry, LogKey, Shard, TimestampedEntry,
    TreeHead,
};
use ctlog::{
    Appended, Decided, Files, Log, LogError, LogHandle, Mesh, Settings, ShardReader, ShardSettings,
    ShardSpec,
};
use p256::pkcs8::EncodePrivateKey as _;
use p256::pkcs8::EncodePublicKey as _;

pub(crate) const SHARD: &str = "2026h1";
pub(crate) const ORIGIN: &str = "log.example/2026h1";
pub(crate) const NAME: &str = "log.example/ct";

/// Time of the first batch, in milliseconds since 1970.
pub(crate) const BEGUN_MS: u64 = 1_700_000_000_000;

/// The shard's private key.
pub(crate) fn secret() -> p256::SecretKey {
    p256::SecretKey::from_slice(&[7; 32]).unwrap()
}

pub(crate) fn spec() -> ShardSpec {
    let spki = secret().public_key().to_public_key_der().unwrap();
    ShardSpec {
        window: Shard {
            name: SHARD.to_owned(),
            start: 0,
            end: i64::MAX,
        },
        origin: KeyName::new(ORIGIN).unwrap(),
        key: LogKey::new(spki.as_bytes()).unwrap(),
    }
}

/// Writes the shard's key as a file.
pub(crate) fn write_key(folder: &Path) -> PathBuf {
    let path = folder.join("shard.key");
    std::fs::create_dir_all(folder).unwrap();
    let pem = secret().to_pkcs8_pem(Default::default()).unwrap();
    std::fs::write(&path, pem.as_bytes()).unwrap();
    path
}

/// Certificate above those of entries.
pub(crate) fn issuer(number: u64) -> Arc<[u8]> {
    format!("issuer {number}").into_bytes().into()
}

pub(crate) fn entry(index: u64) -> LogEntry {
    let der = |what: &str| format!("{what} {index}").into_bytes().into();
    let kind = if index.is_multiple_of(3) {
        EntryKind::Precertificate {
            issuer_key_hash: Hash::of(&index.to_be_bytes()),
            tbs: der("tbs"),
            submitted: der("precertificate"),
        }
    } else {
        EntryKind::Certificate(der("certificate"))
    };
    let chain = [index % 5, 5 + index % 2].map(|number| Hash::of(&issuer(number)));
    LogEntry {
        kind,
        chain: Arc::new(chain),
    }
}

pub(crate) fn all_issuers() -> Decided {
    Decided::Issuers((0..7).map(issuer).collect())
}

/// Orders entries without asking anybody.
#[derive(Debug, Default)]
pub(crate) struct Consensus {
    frontier: Frontier,
    time_ms: u64,
    pub(crate) heads: Vec<TreeHead>,
    pub(crate) entries: Vec<TimestampedEntry>,
}

impl Consensus {
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The next entries and the head after them: nothing new but the time if `count` is 0.
    pub(crate) fn batch(&mut self, count: u64) -> Vec<Decided> {
        let first_index = self.size();
        self.batch_of((first_index..first_index + count).map(entry).collect())
    }

    /// These entries and the head after them.
    pub(crate) fn batch_of(&mut self, entries: Vec<LogEntry>) -> Vec<Decided> {
        self.time_ms += 1_000;
        let timestamp_ms = BEGUN_MS + self.time_ms;
        let first_index = self.size();
        for (index, entry) in (first_index..).zip(&entries) {
            let extensions = CtExtensions::of_index(index).unwrap();
            let entry = TimestampedEntry::new(entry.clone(), timestamp_ms, extensions).unwrap();
            self.frontier.push(entry.leaf_hash(), |_, _, _| {});
            self.entries.push(entry);
        }
        let head = TreeHead {
            size: self.size(),
            root: self.frontier.root(),
            timestamp_ms,
        };
        self.heads.push(head);
        let shard: Arc<str> = SHARD.into();
        let has_entries = !entries.is_empty();
        let appended = Decided::Appended(Appended {
            shard: Arc::clone(&shard),
            first_index,
            timestamp_ms,
            entries,
        });
        let appended = has_entries.then_some(appended);
        let head = Decided::Head { shard, head };
        appended.into_iter().chain([head]).collect()
    }

    /// What a start, or a node that takes over the state, is told first.
    pub(crate) fn restored(&self) -> Decided {
        Decided::Restored {
            shard: SHARD.into(),
            frontier: self.frontier.clone(),
            timestamp_ms: BEGUN_MS + self.time_ms,
        }
    }

    pub(crate) fn head(&self) -> TreeHead {
        *self.heads.last().unwrap()
    }
}

/// What a test does to what one node sends another.
pub(crate) type Tamper = dyn Fn(&str, &str, Vec<u8>) -> Option<Vec<u8>> + Send + Sync;

/// Connects the logs of one process.
pub(crate) struct Hub {
    nodes: Mutex<BTreeMap<String, LogHandle>>,
    /// All notes that were sent, with their senders.
    pub(crate) notes: Mutex<Vec<(String, Vec<u8>)>>,
    /// From whom, what (`note` or a path), and the bytes.
    pub(crate) tamper: Mutex<Box<Tamper>>,
    fetches: std::sync::atomic::AtomicUsize,
    runtime: tokio::runtime::Handle,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Hub")
    }
}

#[derive(Debug)]
struct NodeMesh {
    hub: Arc<Hub>,
    own: String,
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || runtime.block_on(stopped));
        Arc::new(Self {
            nodes: Mutex::default(),
            notes: Mutex::default(),
            tamper: Mutex::new(Box::new(|_, _, bytes| Some(bytes))),
            fetches: Default::default(),
            runtime: handle,
            _stop: stop,
        })
    }

    pub(crate) fn tamper(
        &self,
        tamper: impl Fn(&str, &str, Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) {
        *self.tamper.lock().unwrap() = Box::new(tamper);
    }

    pub(crate) fn mesh(self: &Arc<Self>, own: &str) -> Arc<dyn Mesh> {
        Arc::new(NodeMesh {
            hub: Arc::clone(self),
            own: own.to_owned(),
        })
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }
}

impl Mesh for NodeMesh {
    fn broadcast(&self, note: Vec<u8>) {
        let sent = (self.own.clone(), note.clone());
        self.hub.notes.lock().unwrap().push(sent);
        let tampered = (self.hub.tamper.lock().unwrap())(&self.own, "note", note);
        let Some(note) = tampered else { return };
        for (name, node) in &*self.hub.nodes.lock().unwrap() {
            if *name != self.own {
                node.on_cosigned(&self.own, &note);
            }
        }
    }

    fn fetch(
        &self,
        shard: Arc<str>,
        path: String,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> {
        let nodes = self.hub.nodes.lock().unwrap();
        let peers: Vec<_> = nodes
            .iter()
            .filter(|(name, _)| **name != self.own)
            .collect();
        // Each time another one is asked first.
        let turn = &self.hub.fetches;
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let found = (0..peers.len()).find_map(|offset| {
            let (name, node) = peers[(turn + offset) % peers.len()];
            let bytes = node.reader(&shard)?.file_for_peer(&path).unwrap()?;
            (self.hub.tamper.lock().unwrap())(name, &path, bytes)
        });
        Box::pin(std::future::ready(found))
    }

    fn fetch_from_each(
        &self,
        shard: Arc<str>,
        path: String,
    ) -> std::pin::Pin<Box<dyn Future<Output = Vec<(String, Vec<u8>)>> + Send>> {
        let nodes = self.hub.nodes.lock().unwrap();
        let peers = nodes.iter().filter(|(name, _)| **name != self.own);
        let found = peers.filter_map(|(name, node)| {
            let bytes = node.reader(&shard)?.file_for_peer(&path).unwrap()?;
            let bytes = (self.hub.tamper.lock().unwrap())(name, &path, bytes)?;
            Some((name.clone(), bytes))
        });
        Box::pin(std::future::ready(found.collect()))
    }
}

/// A node's log.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) handle: LogHandle,
    thread: Option<JoinHandle<Result<(), LogError>>>,
    hub: Arc<Hub>,
}

pub(crate) fn settings(hub: &Arc<Hub>, name: &str, folder: &Path, has_key: bool) -> Settings {
    Settings {
        name: KeyName::new(NAME).unwrap(),
        node: name.to_owned(),
        shards: vec![ShardSettings {
            spec: spec(),
            key_file: has_key.then(|| write_key(folder)),
        }],
        folder: folder.join("public"),
        state_folder: folder.join("state"),
        publish_gap: Duration::from_millis(1),
        folder_gap: Duration::ZERO,
        partial_keep: Duration::from_millis(1),
        mesh: hub.mesh(name),
        runtime: hub.runtime().clone(),
    }
}

impl Node {
    pub(crate) fn start(hub: &Arc<Hub>, name: &str, folder: &Path, has_key: bool) -> Self {
        let folder = folder.join(name);
        let settings = settings(hub, name, &folder, has_key);
        let (handle, thread) = Log::start(&settings).unwrap();
        Self::connect(hub, name, folder, handle, thread)
    }

    /// Alone a quorum, with a folder that is as far behind as it may be.
    pub(crate) fn start_with_lazy_folder(hub: &Arc<Hub>, folder: &Path, gap: Duration) -> Self {
        let folder = folder.join("a");
        let mut settings = settings(hub, "a", &folder, true);
        settings.folder_gap = gap;
        let (handle, thread) = Log::start(&settings).unwrap();
        Self::connect(hub, "a", folder, handle, thread)
    }

    pub(crate) fn start_with(
        hub: &Arc<Hub>,
        name: &str,
        folder: &Path,
        files: [Arc<dyn Files>; 2],
        folder_gap: Duration,
    ) -> Result<Self, LogError> {
        let folder = folder.join(name);
        let settings = Settings {
            folder_gap,
            ..settings(hub, name, &folder, true)
        };
        let [public, state] = files;
        let (handle, thread) = Log::start_with(&settings, public, state)?;
        Ok(Self::connect(hub, name, folder, handle, thread))
    }

    fn connect(
        hub: &Arc<Hub>,
        name: &str,
        folder: PathBuf,
        handle: LogHandle,
        thread: JoinHandle<Result<(), LogError>>,
    ) -> Self {
        let (hub, name) = (Arc::clone(hub), name.to_owned());
        let mut nodes = hub.nodes.lock().unwrap();
        nodes.insert(name.clone(), handle.clone());
        drop(nodes);
        Self {
            name,
            folder,
            handle,
            thread: Some(thread),
            hub,
        }
    }

    pub(crate) fn reader(&self) -> &ShardReader {
        self.handle.reader(SHARD).unwrap()
    }

    /// Its own folder of the shard, as a web server shows it.
    pub(crate) fn public(&self) -> PathBuf {
        self.folder.join("public").join(SHARD)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until the head is published.
    pub(crate) fn wait_for(&self, head: &TreeHead) {
        let is_there = || {
            let published = self.reader().published();
            published.is_some_and(|published| published.signed.head == *head)
        };
        assert!(
            wait_until(is_there),
            "{}: {head:?} not published",
            self.name
        );
    }

    /// Ends it, as `kill` does unless it was asked to stop.
    pub(crate) fn end(mut self) -> Result<(), LogError> {
        self.hub.nodes.lock().unwrap().remove(&self.name);
        let thread = self.thread.take().unwrap();
        drop(self);
        thread.join().unwrap()
    }

    pub(crate) fn stop(self) {
        self.handle.stop();
        self.end().unwrap();
    }
}

/// Whether it becomes so in time.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Those nodes, as consensus names them, with the quorum of as many.
pub(crate) fn validators<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Decided {
    let keys: Vec<_> = nodes
        .into_iter()
        .map(|node| (node.name.clone(), *node.handle.cosigner().key()))
        .collect();
    let faults_max = (keys.len() - 1) / 3;
    Decided::Validators {
        quorum: keys.len() - faults_max,
        keys,
        faults_max,
    }
}

/// Nodes `a`, `b`, … that know each other, `b` without the shard's key.
pub(crate) fn cluster(hub: &Arc<Hub>, folder: &Path, count: usize) -> Vec<Node> {
    let names = ["a", "b", "c", "d"];
    let nodes: Vec<_> = names[..count]
        .iter()
        .map(|name| Node::start(hub, name, folder, *name != "b"))
        .collect();
    for node in &nodes {
        let begin = vec![validators(&nodes), all_issuers()];
        node.handle.decide(begin).unwrap();
    }
    nodes
}

pub(crate) fn decide(nodes: &[Node], decided: &[Decided]) {
    for node in nodes {
        node.handle.decide(decided.to_vec()).unwrap();
    }
}
