//! A log of one node: it orders what comes, one entry a batch, and is its own quorum.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests and the example each take what they need, and end when that cannot be had"
)]

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ct::{
    CtExtensions, Frontier, Hash, KeyName, LogKey, Roots, Shard, TimestampedEntry, TreeHead,
    submission_key,
};
use ctlog::http::{Agreed, Faces, Limits, Operator, Scheme};
use ctlog::{
    Appended, Decided, Log, LogError, LogHandle, Mesh, Sequenced, Sequencer, Settings,
    ShardSettings, ShardSpec, SubmitError, Submitted, Validators,
};
use p256::SecretKey;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use tokio::sync::watch;

const NODE: &str = "n1";

/// The shard whose key this node does not get.
pub const KEYLESS: &str = "keyless";

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A log that runs.
pub struct Lone {
    pub handle: LogHandle,
    pub orders: Arc<Orders>,
    pub agreed: watch::Sender<Arc<Agreed>>,
    thread: JoinHandle<Result<(), LogError>>,
}

/// Gives places in the order of the calls.
#[derive(Debug)]
pub struct Orders {
    handle: LogHandle,
    trees: Mutex<BTreeMap<Arc<str>, Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    frontier: Frontier,
    timestamp_ms: u64,
    known: BTreeMap<Hash, Sequenced>,
}

/// There are no others.
#[derive(Debug)]
struct Nobody;

impl Mesh for Nobody {
    fn broadcast(&self, _: Vec<u8>) {}

    fn fetch(&self, _: Arc<str>, _: String) -> Boxed<Option<Vec<u8>>> {
        Box::pin(ready(None))
    }

    fn fetch_from_each(&self, _: Arc<str>, _: String) -> Boxed<Vec<(String, Vec<u8>)>> {
        Box::pin(ready(Vec::new()))
    }
}

impl Lone {
    /// With a new key a shard, and files below `folder`: `<shard>.pem` is the public key of a shard. Call it within a runtime.
    pub fn start(folder: &Path, origin: &str, shards: &[Shard], roots: Roots) -> Self {
        let shards: Vec<_> = shards
            .iter()
            .map(|window| shard(folder, origin, window))
            .collect();
        let name = KeyName::new(origin).unwrap();
        let settings = Settings {
            name: name.clone(),
            node: NODE.to_owned(),
            shards,
            folder: folder.join("public"),
            state_folder: folder.join("state"),
            publish_gap: Duration::from_millis(5),
            folder_gap: Duration::ZERO,
            partial_keep: Settings::PARTIAL_KEEP,
            mesh: Arc::new(Nobody),
            runtime: tokio::runtime::Handle::current(),
        };
        let (handle, thread) = Log::start(&settings).unwrap();
        let (keys, quorum) = (vec![(NODE.to_owned(), *handle.cosigner().key())], 1);
        let validators = Arc::new(Validators::new(&name, &keys, quorum, 0));
        let decided = Decided::Validators {
            keys,
            quorum,
            faults_max: 0,
        };
        handle.decide(vec![decided]).unwrap();
        let orders = Arc::new(Orders {
            handle: handle.clone(),
            trees: Mutex::default(),
        });
        for shard in &settings.shards {
            orders.refresh(shard.spec.window.name.as_str().into());
        }
        let roots = Arc::new(roots);
        let agreed = Arc::new(Agreed {
            roots,
            validators,
            ..Agreed::default()
        });
        Self {
            handle,
            orders,
            agreed: watch::Sender::new(agreed),
            thread,
        }
    }

    /// As clients see it, with submissions that go to `sequencer`.
    pub fn faces(&self, sequencer: Arc<dyn Sequencer>, limits: Limits) -> Faces {
        let shards = self.handle.readers().map(|(_, reader)| reader.clone());
        let operator = Operator {
            name: "Laboratory".to_owned(),
            email: vec!["ct@example.org".to_owned()],
        };
        Faces::new(
            shards.collect(),
            self.agreed.subscribe(),
            sequencer,
            operator,
        )
        .with_limits(limits)
        .with_scheme(Scheme::Http)
    }

    /// Until a head of the shard has so many leaves.
    pub async fn wait_for_size(&self, shard: &str, size: u64) {
        let reader = self.handle.reader(shard).unwrap();
        match size.checked_sub(1) {
            Some(last) => drop(reader.wait_for(last).await.unwrap()),
            None => drop(reader.watch().wait_for(Option::is_some).await.unwrap()),
        }
    }

    /// Ends it.
    pub fn stop(self) {
        self.handle.stop();
        self.thread.join().unwrap().unwrap();
    }
}

fn shard(folder: &Path, origin: &str, window: &Shard) -> ShardSettings {
    let secret = SecretKey::random(&mut OsRng);
    let pem = secret.to_pkcs8_pem(LineEnding::LF).unwrap();
    let key_file = folder.join(format!("{}.key", window.name));
    std::fs::write(&key_file, pem.as_bytes()).unwrap();
    let public = secret.public_key();
    let spki = public.to_public_key_der().unwrap();
    let pem = public.to_public_key_pem(LineEnding::LF).unwrap();
    std::fs::write(folder.join(format!("{}.pem", window.name)), pem).unwrap();
    let spec = ShardSpec {
        window: window.clone(),
        origin: KeyName::new(&format!("{origin}/{}", window.name)).unwrap(),
        key: LogKey::new(spki.as_bytes()).unwrap(),
    };
    ShardSettings {
        spec,
        key_file: (window.name != KEYLESS).then_some(key_file),
    }
}

impl Sequencer for Orders {
    fn submit(
        &self,
        shard: Arc<str>,
        submitted: Submitted,
    ) -> Boxed<Result<Sequenced, SubmitError>> {
        let mut trees = self.trees.lock().unwrap();
        let tree = trees.entry(Arc::clone(&shard)).or_default();
        let key = submission_key(&submitted.entry.kind);
        if let Some(place) = tree.known.get(&key) {
            return Box::pin(ready(Ok(*place)));
        }
        let timestamp_ms = tree.tick();
        let index = tree.frontier.size();
        let extensions = CtExtensions::of_index(index).unwrap();
        let leaf = TimestampedEntry::new(submitted.entry.clone(), timestamp_ms, extensions);
        tree.frontier.push(leaf.unwrap().leaf_hash(), |_, _, _| {});
        let place = Sequenced {
            index,
            timestamp_ms,
        };
        tree.known.insert(key, place);
        let appended = Appended {
            shard: Arc::clone(&shard),
            first_index: index,
            timestamp_ms,
            entries: vec![submitted.entry],
        };
        let head = tree.head(shard);
        let decided = vec![
            Decided::Issuers(submitted.issuers),
            Decided::Appended(appended),
            head,
        ];
        let result = self.handle.decide(decided).map(|()| place);
        Box::pin(ready(
            result.map_err(|error| SubmitError::Unavailable(error.to_string())),
        ))
    }
}

impl Orders {
    /// A head of the tree as it is, with a new time.
    fn refresh(&self, shard: Arc<str>) {
        let mut trees = self.trees.lock().unwrap();
        let tree = trees.entry(Arc::clone(&shard)).or_default();
        tree.tick();
        self.handle.decide(vec![tree.head(shard)]).unwrap();
    }
}

impl Tree {
    /// A time that none before has.
    fn tick(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        self.timestamp_ms = now_ms.max(self.timestamp_ms + 1);
        self.timestamp_ms
    }

    fn head(&self, shard: Arc<str>) -> Decided {
        let head = TreeHead {
            size: self.frontier.size(),
            root: self.frontier.root(),
            timestamp_ms: self.timestamp_ms,
        };
        Decided::Head { shard, head }
    }
}
