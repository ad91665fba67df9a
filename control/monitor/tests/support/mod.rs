//! A small log of either kind, with a key, tiles as `ct::TiledTree` fills them, and the replies of both APIs.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

pub mod pki;

use std::collections::BTreeMap;
use std::sync::Arc;

use ct::{
    Base64, CtExtensions, DigitallySigned, EntryKind, GetSthReply, Hash, KeyName, LogAddress,
    LogEntry, LogKey, SignedTreeHead, TILE_WIDTH, TileId, TileKind, TileReader, TiledTree,
    TimestampedEntry, TreeHead, prove_consistency, prove_inclusion, tiles_of_growth,
};
use monitor::{Body, Event, Fetch, FetchError, Follower, LogSource, Start, Step};
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use serde_json::json;

pub const ORIGIN: &str = "log.example/2026";
const BASE: &str = "https://read.example";

/// The two kinds of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rfc6962,
    Tiled,
}

pub const KINDS: [Kind; 2] = [Kind::Rfc6962, Kind::Tiled];

/// A log, and all that it has published.
#[derive(Clone)]
pub struct Log {
    pub kind: Kind,
    signer: p256::ecdsa::SigningKey,
    pub entries: Vec<TimestampedEntry>,
    tree: TiledTree,
    published: u64,
    pub head: Vec<u8>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Entries that get-entries returns at most.
    pub entries_max: u64,
}

impl Log {
    pub fn new(kind: Kind) -> Self {
        let mut log = Self {
            kind,
            signer: p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap(),
            entries: Vec::new(),
            tree: TiledTree::new(),
            published: 0,
            head: Vec::new(),
            files: BTreeMap::new(),
            entries_max: 1_000,
        };
        log.publish();
        log
    }

    /// With this many entries.
    pub fn of(kind: Kind, count: u64) -> Self {
        let mut log = Self::new(kind);
        log.grow(count);
        log
    }

    pub fn spki(&self) -> Vec<u8> {
        let der = self.signer.verifying_key().to_public_key_der().unwrap();
        der.as_bytes().to_vec()
    }

    pub fn source(&self, start: Start) -> Arc<LogSource> {
        self.source_at(BASE, start)
    }

    pub fn source_at(&self, base: &str, start: Start) -> Arc<LogSource> {
        let url = base.to_owned();
        let address = match self.kind {
            Kind::Rfc6962 => LogAddress::Rfc6962 { url },
            Kind::Tiled => LogAddress::Tiled {
                submission_url: format!("https://{ORIGIN}"),
                monitoring_url: url,
            },
        };
        Arc::new(LogSource {
            name: format!("{:?}", self.kind),
            key: LogKey::new(&self.spki()).unwrap(),
            address,
            start,
            poll_ms: 1_000,
            heeds_freshness: true,
        })
    }

    /// Takes something in; it is published by [`Self::publish`].
    pub fn add(&mut self, kind: EntryKind) {
        let index = self.entries.len() as u64;
        let chain = [Hash::of(b"issuer")].into();
        let extensions = CtExtensions::of_index(index).unwrap();
        let entry =
            TimestampedEntry::new(LogEntry { kind, chain }, 1_000 + index, extensions).unwrap();
        let files = &mut self.files;
        let full = |tile: TileId, bytes: &[u8]| {
            files.insert(tile.to_string(), bytes.to_vec());
        };
        self.tree.push(entry.leaf_hash(), full).unwrap();
        self.entries.push(entry);
    }

    /// Root of all entries.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Takes `count` entries of both kinds in, and publishes them.
    pub fn grow(&mut self, count: u64) {
        for _ in 0..count {
            let index = self.entries.len();
            self.add(anything(index, ""));
        }
        self.publish();
    }

    /// Tiles first, then the head.
    pub fn publish(&mut self) {
        for (tile, bytes) in self.tree.partial_tiles() {
            self.files.insert(tile.to_string(), bytes.to_vec());
        }
        for tile in tiles_of_growth(self.published, self.tree.size()) {
            if tile.kind() == TileKind::Data {
                let first = usize::try_from(tile.index()).unwrap() * usize::from(TILE_WIDTH);
                let mut bytes = Vec::new();
                for entry in &self.entries[first..first + usize::from(tile.width())] {
                    entry.write_tile_leaf(&mut bytes);
                }
                self.files.insert(tile.to_string(), bytes);
            }
        }
        self.published = self.tree.size();
        self.head = self.sign(self.tree.size(), self.tree.root());
    }

    /// A signed head of anything.
    pub fn sign(&self, size: u64, root: Hash) -> Vec<u8> {
        self.sign_at(size, root, 1_700_000_000_000 + size)
    }

    /// At a time, in milliseconds since 1970.
    pub fn sign_at(&self, size: u64, root: Hash, timestamp_ms: u64) -> Vec<u8> {
        let head = TreeHead {
            size,
            root,
            timestamp_ms,
        };
        let signature: p256::ecdsa::Signature = self.signer.sign(&head.signed_input());
        let signature = DigitallySigned::ecdsa(signature.to_der().as_bytes().to_vec()).unwrap();
        let signed = SignedTreeHead { head, signature };
        let key = LogKey::new(&self.spki()).unwrap();
        match self.kind {
            Kind::Rfc6962 => serde_json::to_vec(&GetSthReply::from(&signed)).unwrap(),
            Kind::Tiled => {
                let note = signed.to_note(&KeyName::new(ORIGIN).unwrap(), &key.id());
                note.to_string().into_bytes()
            }
        }
    }

    /// What a GET of this path and query gives; none is 404.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let path = path.trim_start_matches('/');
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let field = |name: &str| {
            let fields = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut values = fields.filter(|(field, _)| *field == name);
            values.next().map(|(_, value)| value)
        };
        let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok());
        match (self.kind, path) {
            (Kind::Tiled, "checkpoint") | (Kind::Rfc6962, "ct/v1/get-sth") => {
                Some(self.head.clone())
            }
            (Kind::Tiled, tile) => self.files.get(tile).cloned(),
            (_, "ct/v1/get-entries") => self.get_entries(number("start")?, number("end")?),
            (_, "ct/v1/get-sth-consistency") => {
                let (old, new) = (number("first")?, number("second")?);
                let proof = prove_consistency(&mut self.reader(new), old, new).ok()?;
                Some(json!({ "consistency": texts(&proof) }).to_string().into())
            }
            (_, "ct/v1/get-proof-by-hash") => {
                let text = field("hash")?
                    .replace("%2B", "+")
                    .replace("%2F", "/")
                    .replace("%3D", "=");
                let hash: Base64 = serde_json::from_value(json!(text)).ok()?;
                let mut leaves = self.entries.iter().map(TimestampedEntry::leaf_hash);
                let index = leaves.position(|leaf| leaf.0.as_slice() == hash.0)? as u64;
                let size = number("tree_size")?;
                let path = prove_inclusion(&mut self.reader(size), index, size).ok()?;
                let reply = json!({ "leaf_index": index, "audit_path": texts(&path) });
                Some(reply.to_string().into())
            }
            _ => None,
        }
    }

    fn get_entries(&self, start: u64, end: u64) -> Option<Vec<u8>> {
        let end = (end + 1).min(self.published).min(start + self.entries_max);
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        let entries = self.entries.get(range)?.iter().map(|entry| {
            let extra = entry.extra_data(|_| Some(b"issuer")).unwrap();
            json!({ "leaf_input": Base64(entry.leaf_input()), "extra_data": Base64(extra) })
        });
        let entries: Vec<_> = entries.collect();
        Some(json!({ "entries": entries }).to_string().into())
    }

    fn reader(&self, size: u64) -> TileReader<impl FnMut(TileId) -> Result<Vec<u8>, ()>, Vec<u8>> {
        TileReader::trusting(size, move |tile: TileId| {
            let bytes = self.files.get(&tile.to_string()).cloned();
            bytes.ok_or(())
        })
    }

    /// The reply to a fetch, as the shell would bring it.
    pub fn reply(&self, address: &LogAddress, fetch: &Fetch) -> Result<Body, FetchError> {
        let url = fetch.url(address);
        let bytes = self.get(url.strip_prefix(BASE).unwrap());
        let fresh_ms = 0;
        let body = bytes.map(|bytes| Body { bytes, fresh_ms });
        body.ok_or(FetchError::NotFound)
    }
}

fn texts(hashes: &[Hash]) -> Vec<Base64> {
    hashes.iter().map(|hash| Base64(hash.0.to_vec())).collect()
}

/// Entries of both kinds, whose contents nobody reads.
pub fn anything(index: usize, salt: &str) -> EntryKind {
    let der = |what: &str| format!("{what} {index}{salt}").into_bytes().into();
    if index.is_multiple_of(3) {
        return EntryKind::Precertificate {
            issuer_key_hash: Hash::of(b"key"),
            tbs: der("tbs"),
            submitted: der("submitted"),
        };
    }
    EntryKind::Certificate(der("certificate"))
}

/// What one log and its follower do with each other, with the replies under the test's control.
pub struct Run<'a> {
    pub follower: Follower,
    pub now_ms: u64,
    pub events: Vec<Event>,
    pub fetches: Vec<Fetch>,
    #[allow(clippy::type_complexity, reason = "one field of a helper")]
    pub reply: Box<dyn FnMut(&Fetch) -> Result<Body, FetchError> + 'a>,
}

impl<'a> Run<'a> {
    pub fn new(
        follower: Follower,
        reply: impl FnMut(&Fetch) -> Result<Body, FetchError> + 'a,
    ) -> Self {
        Self {
            follower,
            now_ms: 0,
            events: Vec::new(),
            fetches: Vec::new(),
            reply: Box::new(reply),
        }
    }

    /// One step; whether it fetched.
    pub fn step(&mut self) -> bool {
        match self.follower.step(self.now_ms) {
            Step::Wait { until_ms } => {
                self.now_ms = until_ms;
                false
            }
            Step::Fetch(fetches) => {
                assert!(!fetches.is_empty());
                let replies = fetches.iter().map(&mut self.reply).collect();
                self.fetches.extend(fetches);
                self.follower
                    .on_replies(self.now_ms, replies, &mut self.events);
                true
            }
        }
    }

    /// Until it rests.
    pub fn round(&mut self) -> &mut Self {
        for _ in 0..5_000 {
            if !self.step() {
                return self;
            }
        }
        panic!("no rest after 5,000 steps: {:?}", self.fetches.last());
    }

    /// Entries given out, with their places.
    pub fn entries(&self) -> Vec<(u64, TimestampedEntry)> {
        let mut all = Vec::new();
        for event in &self.events {
            if let Event::Entries { first, entries } = event {
                all.extend((*first..).zip(entries.iter().cloned()));
            }
        }
        all
    }

    pub fn alarms(&self) -> Vec<monitor::AlarmKind> {
        let alarms = self.events.iter().filter_map(|event| match event {
            Event::Alarm(alarm) => Some(alarm.kind),
            _ => None,
        });
        alarms.collect()
    }

    pub fn failures(&self) -> Vec<FetchError> {
        let failures = self.events.iter().filter_map(|event| match event {
            Event::Failed(error) => Some(error.clone()),
            _ => None,
        });
        failures.collect()
    }
}
