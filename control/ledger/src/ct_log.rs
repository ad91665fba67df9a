//! The Certificate Transparency log as all nodes have it: shards with their trees, issuers, who cosigns; and what the node
//! must hear of it.
//!
//! Entries themselves are not kept: a tree's right edge stands for them, and each node writes them to its own files. So that
//! the same submission gets the same place again, the places of the last [`CT_RECENT_ENTRIES`] or so are known here; those of older
//! ones every node finds in its files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use consensus::{
    DecodeError, Digest, MEMBERS_MAX, NodeId, Reader, RestoreError, Sequence, Wire, Writer,
};
use ct::{
    Certificate, CtExtensions, EntryKind, Frontier, Hash, KeyName, LogEntry, LogKey,
    SHARD_NAME_BYTES_MAX, TREE_SIZE_MAX, TimestampedEntry, TreeHead, submission_key,
};

use crate::codec::unknown;
use crate::ct_command::{CT_CERTIFICATE_BYTES_MAX, CtCosignerKey, CtShard, CtSubmission};
use crate::outcome::{CtPlace, CtRefusal, Outcome, Reason};
use crate::state::{Key, State};

/// Most shards, closed ones too.
pub const CT_SHARDS_MAX: usize = 64;
/// Most issuers' certificates.
pub const CT_ISSUERS_MAX: usize = 16_384;
/// Most bytes of them together. Of either each voter may bring an equal share: no liar takes the others' room.
pub const CT_ISSUERS_BYTES_MAX: usize = 64 << 20;
/// The last entries of a shard whose repetition is recognised by the cluster as a whole. At least so many, and at most
/// 256 more.
pub const CT_RECENT_ENTRIES: usize = 65_536;
/// Places of entries that the digest covers together.
const BLOCK_ENTRIES: u64 = 256;
/// An idle shard gets a new head at most so often, in milliseconds of the ledger's time.
pub const CT_REFRESH_MS: u64 = 1000;

/// What the node has to hear, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum CtNews {
    /// Certificates that were not known before.
    Issuers(Vec<Arc<[u8]>>),
    /// Entries have their places.
    Appended {
        /// Name of the shard.
        shard: Arc<str>,
        /// The place of the first one.
        first_index: u64,
        /// Milliseconds since 1970: the batch's time.
        timestamp_ms: u64,
        /// In their order.
        entries: Vec<LogEntry>,
    },
    /// A batch ends here that has changed the shard or its time.
    Head {
        /// Name of the shard.
        shard: Arc<str>,
        /// Its tree.
        head: TreeHead,
    },
    /// A shard is new, has come with another state, or is closed.
    Shard(CtShardState),
    /// Others cosign now, or another number of them is a quorum.
    Validators(CtValidators),
    /// Other roots are accepted now: digest of the set.
    Roots(Digest),
}

/// A shard as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtShardState {
    /// What it is.
    pub shard: CtShard,
    /// Its tree.
    pub frontier: Frontier,
    /// Milliseconds since 1970 of its last head.
    pub timestamp_ms: u64,
    /// Whether it takes nothing any more.
    pub is_closed: bool,
}

/// Who cosigns heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtValidators {
    /// Keys of voters that have one.
    pub keys: BTreeMap<NodeId, [u8; 32]>,
    /// How many of the voters are a quorum.
    pub quorum: usize,
    /// How many of the voters may be faulty.
    pub faults_max: usize,
}

/// Places of the last entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    /// Place of the first one that is known.
    pub(crate) first: u64,
    /// What was submitted, and when it was taken, in the order of places.
    pub(crate) entries: VecDeque<(Hash, u64)>,
    places: BTreeMap<[u8; 32], u64>,
}

impl Recent {
    /// Of entries in their order. `None` if one comes twice.
    pub(crate) fn new(first: u64, entries: VecDeque<(Hash, u64)>) -> Option<Self> {
        let keys = entries.iter().map(|(key, _)| key.0);
        let places: BTreeMap<_, _> = keys.zip(first..).collect();
        (places.len() == entries.len()).then_some(Self {
            first,
            entries,
            places,
        })
    }

    fn get(&self, key: &Hash) -> Option<(u64, u64)> {
        let index = *self.places.get(&key.0)?;
        let (_, timestamp_ms) = self
            .entries
            .get(usize::try_from(index - self.first).ok()?)?;
        Some((index, *timestamp_ms))
    }

    fn push(&mut self, key: Hash, timestamp_ms: u64) {
        let index = self.first + self.entries.len() as u64;
        self.places.insert(key.0, index);
        self.entries.push_back((key, timestamp_ms));
    }

    /// Forgets the first block if there are enough without it. Its number.
    fn trim(&mut self) -> Option<u64> {
        let block = self.first / BLOCK_ENTRIES;
        let count = usize::try_from((block + 1) * BLOCK_ENTRIES - self.first).unwrap_or(usize::MAX);
        if self.entries.len().saturating_sub(count) < CT_RECENT_ENTRIES {
            return None;
        }
        for (key, _) in self.entries.drain(..count) {
            self.places.remove(&key.0);
        }
        self.first += count as u64;
        Some(block)
    }

    /// Those of one block.
    pub(crate) fn block(&self, block: u64) -> impl Iterator<Item = &(Hash, u64)> {
        let offset = |index: u64| {
            let offset = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
            offset.min(self.entries.len())
        };
        let first = block * BLOCK_ENTRIES;
        self.entries
            .range(offset(first)..offset(first + BLOCK_ENTRIES))
    }

    fn blocks(&self) -> impl Iterator<Item = u64> {
        let last = self.first + self.entries.len() as u64;
        self.first / BLOCK_ENTRIES..last.div_ceil(BLOCK_ENTRIES)
    }
}

/// A shard and the places of its last entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardLog {
    pub(crate) state: CtShardState,
    pub(crate) recent: Recent,
}

/// A certificate above logged ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    pub(crate) der: Arc<[u8]>,
    /// Who brought it.
    pub(crate) by: NodeId,
}

impl Wire for Issuer {
    fn write(&self, out: &mut Writer) {
        self.by.write(out);
        out.block(&self.der);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            by: NodeId::read(from)?,
            der: from
                .block("bytes of a certificate", CT_CERTIFICATE_BYTES_MAX)?
                .into(),
        })
    }
}

/// The log's part of the state.
#[derive(Debug, Clone, Default)]
pub(crate) struct CtLog {
    pub(crate) shards: BTreeMap<Arc<str>, ShardLog>,
    pub(crate) issuers: BTreeMap<[u8; 32], Issuer>,
    /// How many certificates of the above each member brought, and their bytes.
    brought: BTreeMap<NodeId, (usize, usize)>,
    pub(crate) cosigners: BTreeMap<NodeId, [u8; 32]>,
    /// Digest of the set of accepted roots.
    pub(crate) roots: Option<Digest>,
}

impl CtLog {
    /// What bytes alone do not show.
    pub(crate) fn check(&self) -> Result<(), RestoreError> {
        match self.shards.values().all(|log| log.state.shard.is_sound()) {
            true => Ok(()),
            false => Err(RestoreError("a shard that cannot be")),
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let shards = self.shards.iter().flat_map(|(name, log)| {
            let blocks = log.recent.blocks();
            let blocks = blocks.map(|block| Key::CtRecent(Arc::clone(name), block));
            blocks.chain([Key::CtShard(Arc::clone(name))])
        });
        let issuers = self.issuers.keys().map(|id| Key::CtIssuer(*id));
        let cosigners = self.cosigners.keys().map(|node| Key::CtCosigner(*node));
        shards.chain(issuers).chain(cosigners)
    }
}

/// What has happened and the node has not seen. No part of the state.
#[derive(Debug, Default)]
pub(crate) struct CtFeed {
    news: Vec<CtNews>,
    /// Shards that the batch of this number has changed.
    open: BTreeSet<Arc<str>>,
    sequence: Sequence,
    validators: Option<CtValidators>,
}

impl CtFeed {
    /// A batch begins: what the one before has done to a shard is a head.
    pub(crate) fn begin(&mut self, state: &State) {
        if state.sequence != self.sequence {
            self.close(state);
            self.sequence = state.sequence;
        }
    }

    fn close(&mut self, state: &State) {
        for name in std::mem::take(&mut self.open) {
            if let Some(log) = state.ct.shards.get(&name) {
                let head = log.state.head();
                self.news.push(CtNews::Head { shard: name, head });
            }
        }
    }

    /// All there is to tell, between two batches.
    pub(crate) fn take(&mut self, state: &State) -> Vec<CtNews> {
        self.close(state);
        let validators = state.ct_validators();
        if self.validators.as_ref() != Some(&validators) {
            self.validators = Some(validators.clone());
            // First: what follows is theirs to cosign.
            self.news.insert(0, CtNews::Validators(validators));
        }
        std::mem::take(&mut self.news)
    }

    /// Another state has come.
    pub(crate) fn restart(&mut self, state: &State) {
        *self = Self {
            sequence: state.sequence,
            ..Self::default()
        };
        if !state.ct.issuers.is_empty() {
            let issuers = state.ct.issuers.values();
            let issuers = issuers.map(|issuer| Arc::clone(&issuer.der)).collect();
            self.news.push(CtNews::Issuers(issuers));
        }
        self.news.extend(state.ct.roots.map(CtNews::Roots));
        let shards = state.ct.shards.values();
        self.news
            .extend(shards.map(|log| CtNews::Shard(log.state.clone())));
    }
}

impl CtShardState {
    /// Its tree's head.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead {
            size: self.frontier.size(),
            root: self.frontier.root(),
            timestamp_ms: self.timestamp_ms,
        }
    }
}

impl State {
    pub(crate) fn ct_validators(&self) -> CtValidators {
        let keys = self.ct.cosigners.iter();
        let keys = keys.filter(|(node, _)| self.is_voter(**node));
        CtValidators {
            keys: keys.map(|(node, key)| (*node, *key)).collect(),
            quorum: self.quorum(),
            faults_max: self.faults_max(),
        }
    }

    /// Gives entries their places.
    pub(crate) fn add_ct_entries(
        &mut self,
        client: NodeId,
        submission: &CtSubmission,
        feed: &mut CtFeed,
    ) -> Result<Outcome, Reason> {
        self.check_holder(client)?;
        if self.ct.roots != Some(submission.roots) {
            return Err(Reason::OtherRoots);
        }
        let name = &submission.shard;
        let shard = self.ct.shards.get(name).ok_or(Reason::NoSuchShard)?;
        if shard.state.is_closed {
            return Err(Reason::ShardClosed);
        }
        let offered: BTreeMap<_, _> = submission
            .issuers
            .iter()
            .map(|der| (Hash::of(der).0, der))
            .collect();
        let first_index = self.ct_size(name);
        let (mut appended, mut issuers) = (Vec::new(), Vec::new());
        let mut places = Vec::with_capacity(submission.entries.len());
        for entry in &submission.entries {
            let place = self.place_ct_entry(client, name, entry, &offered, &mut issuers);
            if let Ok(CtPlace::Placed { is_new: true, .. }) = place {
                appended.push(entry.clone());
            }
            places.push(place.unwrap_or_else(CtPlace::Refused));
        }
        if !issuers.is_empty() {
            feed.news.push(CtNews::Issuers(issuers));
        }
        if !appended.is_empty() {
            self.dirty.insert(Key::CtShard(Arc::clone(name)));
            feed.open.insert(Arc::clone(name));
            feed.news.push(CtNews::Appended {
                shard: Arc::clone(name),
                first_index,
                timestamp_ms: self.time_ms,
                entries: appended,
            });
        }
        Ok(Outcome::CtEntries(places))
    }

    fn ct_size(&self, name: &str) -> u64 {
        let shard = self.ct.shards.get(name);
        shard.map_or(0, |log| log.state.frontier.size())
    }

    /// Certificates of the chain that are not known yet: each must be sent along, be one, and have room.
    fn missing_ct_issuers(
        &self,
        client: NodeId,
        chain: &[Hash],
        offered: &BTreeMap<[u8; 32], &Arc<[u8]>>,
    ) -> Result<Vec<Arc<[u8]>>, CtRefusal> {
        let mut missing = Vec::new();
        for issuer in chain {
            if self.ct.issuers.contains_key(&issuer.0) {
                continue;
            }
            let der = offered.get(&issuer.0).ok_or(CtRefusal::UnknownIssuer)?;
            Certificate::parse(der).map_err(|_| CtRefusal::UnknownIssuer)?;
            missing.push(Arc::clone(der));
        }
        let (count, bytes) = self.ct.brought.get(&client).copied().unwrap_or_default();
        let voters = self.voters().count().max(1);
        let new_bytes: usize = missing.iter().map(|der| der.len()).sum();
        let fits = count + missing.len() <= CT_ISSUERS_MAX / voters
            && bytes + new_bytes <= CT_ISSUERS_BYTES_MAX / voters
            // Members come and go, and what they brought stays.
            && self.ct.issuers.len() + missing.len() <= CT_ISSUERS_MAX;
        match fits || missing.is_empty() {
            true => Ok(missing),
            false => Err(CtRefusal::UnknownIssuer),
        }
    }

    fn keep_ct_issuer(&mut self, client: NodeId, der: &Arc<[u8]>) {
        let id = Hash::of(der).0;
        let (der, by) = (Arc::clone(der), client);
        let (count, bytes) = self.ct.brought.entry(by).or_default();
        (*count, *bytes) = (*count + 1, *bytes + der.len());
        self.ct.issuers.insert(id, Issuer { der, by });
        self.dirty.insert(Key::CtIssuer(id));
    }

    /// Gives one entry its place. What it needs of certificates above it is kept, and told in `issuers`.
    fn place_ct_entry(
        &mut self,
        client: NodeId,
        name: &Arc<str>,
        entry: &LogEntry,
        offered: &BTreeMap<[u8; 32], &Arc<[u8]>>,
        issuers: &mut Vec<Arc<[u8]>>,
    ) -> Result<CtPlace, CtRefusal> {
        let missing = self.missing_ct_issuers(client, &entry.chain, offered)?;
        let timestamp_ms = self.time_ms;
        let log = self.ct.shards.get_mut(name).ok_or(CtRefusal::Malformed)?;
        let shard = &log.state.shard;
        if !(shard.start..shard.end).contains(&not_after(&entry.kind)?) {
            return Err(CtRefusal::OtherShard);
        }
        let key = submission_key(&entry.kind);
        if let Some((index, timestamp_ms)) = log.recent.get(&key) {
            return Ok(CtPlace::Placed {
                index,
                timestamp_ms,
                is_new: false,
            });
        }
        let index = log.state.frontier.size();
        let extensions = CtExtensions::of_index(index).filter(|_| index < TREE_SIZE_MAX);
        let extensions = extensions.ok_or(CtRefusal::Full)?;
        let leaf = TimestampedEntry::new(entry.clone(), timestamp_ms, extensions)
            .map_err(|_| CtRefusal::Malformed)?;
        log.state.frontier.push(leaf.leaf_hash(), |_, _, _| {});
        log.state.timestamp_ms = timestamp_ms;
        log.recent.push(key, timestamp_ms);
        let gone = log.recent.trim();
        let blocks = [Some(index / BLOCK_ENTRIES), gone];
        let blocks = blocks.into_iter().flatten();
        self.dirty
            .extend(blocks.map(|block| Key::CtRecent(Arc::clone(name), block)));
        for der in &missing {
            self.keep_ct_issuer(client, der);
        }
        issuers.extend(missing);
        Ok(CtPlace::Placed {
            index,
            timestamp_ms,
            is_new: true,
        })
    }

    /// An idle shard's head gets a new time.
    pub(crate) fn refresh_ct_head(
        &mut self,
        client: NodeId,
        name: &Arc<str>,
        feed: &mut CtFeed,
    ) -> Result<Outcome, Reason> {
        self.check_holder(client)?;
        let now_ms = self.time_ms;
        let log = self.ct.shards.get_mut(name).ok_or(Reason::NoSuchShard)?;
        if log.state.timestamp_ms.saturating_add(CT_REFRESH_MS) > now_ms {
            return Ok(Outcome::Known);
        }
        log.state.timestamp_ms = now_ms;
        self.dirty.insert(Key::CtShard(Arc::clone(name)));
        feed.open.insert(Arc::clone(name));
        Ok(Outcome::Done)
    }

    /// A member says with which key it cosigns.
    pub(crate) fn set_ct_cosigner(
        &mut self,
        client: NodeId,
        key: &CtCosignerKey,
    ) -> Result<Outcome, Reason> {
        self.check_holder(client)?;
        if !key.is_of(self.genesis.cluster(), client) {
            return Err(Reason::NotYours);
        }
        let key = key.key;
        let mut others = self
            .ct
            .cosigners
            .iter()
            .filter(|(node, _)| **node != client);
        if others.any(|(_, other)| *other == key) {
            return Err(Reason::UsedKey);
        }
        if self.ct.cosigners.insert(client, key) == Some(key) {
            return Ok(Outcome::Known);
        }
        self.dirty.insert(Key::CtCosigner(client));
        Ok(Outcome::Done)
    }

    /// Whether a change of the log is one.
    pub(crate) fn check_ct_shard(&self, shard: &CtShard) -> Result<(), Reason> {
        let collides = |log: &ShardLog| {
            let other = &log.state.shard;
            other.name == shard.name
                || other.origin == shard.origin
                || other.spki == shard.spki
                // One that was closed before its time may have a successor.
                || (!log.state.is_closed && other.start < shard.end && shard.start < other.end)
        };
        let is_sound = shard.is_sound() && !self.ct.shards.values().any(collides);
        match (is_sound, self.ct.shards.len() < CT_SHARDS_MAX) {
            (true, true) => Ok(()),
            (true, false) => Err(Reason::TooMany),
            (false, _) => Err(Reason::NotSafe),
        }
    }

    pub(crate) fn check_ct_close(&self, name: &str) -> Result<(), Reason> {
        let shard = self.ct.shards.get(name).ok_or(Reason::NoSuchShard)?;
        match shard.state.is_closed {
            true => Err(Reason::NotSafe),
            false => Ok(()),
        }
    }

    pub(crate) fn open_ct_shard(&mut self, shard: &CtShard, feed: &mut CtFeed) {
        let state = CtShardState {
            shard: shard.clone(),
            frontier: Frontier::default(),
            timestamp_ms: self.time_ms,
            is_closed: false,
        };
        let name = Arc::clone(&shard.name);
        feed.news.push(CtNews::Shard(state.clone()));
        feed.open.insert(Arc::clone(&name));
        self.dirty.insert(Key::CtShard(Arc::clone(&name)));
        let recent = Recent::default();
        self.ct.shards.insert(name, ShardLog { state, recent });
    }

    pub(crate) fn close_ct_shard(&mut self, name: &Arc<str>, feed: &mut CtFeed) {
        if let Some(log) = self.ct.shards.get_mut(name) {
            log.state.is_closed = true;
            feed.news.push(CtNews::Shard(log.state.clone()));
            self.dirty.insert(Key::CtShard(Arc::clone(name)));
        }
    }

    pub(crate) fn accept_ct_roots(&mut self, roots: Digest, feed: &mut CtFeed) {
        self.ct.roots = Some(roots);
        feed.news.push(CtNews::Roots(roots));
        self.dirty.insert(Key::Ct);
    }
}

impl CtShard {
    /// Whether a log of this name, origin, window and key can be.
    pub(crate) fn is_sound(&self) -> bool {
        let is_step = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=SHARD_NAME_BYTES_MAX).contains(&self.name.len())
            && self.name.bytes().all(is_step)
            && self.start < self.end
            && KeyName::new(&self.origin).is_some()
            && LogKey::new(&self.spki).is_ok()
    }
}

impl Wire for CtShardState {
    fn write(&self, out: &mut Writer) {
        self.shard.write(out);
        out.u64(self.timestamp_ms);
        out.u8(self.is_closed.into());
        out.u64(self.frontier.size());
        for peak in self.frontier.peaks() {
            out.bytes(&peak.0);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (shard, timestamp_ms) = (CtShard::read(from)?, from.u64()?);
        let is_closed = from.flag()?;
        let offset = from.offset();
        let size = from.u64()?;
        let peaks: Result<Vec<_>, _> = (0..size.count_ones())
            .map(|_| from.array().map(Hash))
            .collect();
        let frontier = Frontier::new(size, peaks?).ok();
        let frontier = frontier.filter(|_| size <= TREE_SIZE_MAX);
        Ok(Self {
            shard,
            frontier: match frontier {
                Some(frontier) => frontier,
                None => return unknown("size of a tree", size, offset),
            },
            timestamp_ms,
            is_closed,
        })
    }
}

/// In a snapshot. What bytes alone do not show is left to [`CtLog::check`].
impl Wire for CtLog {
    fn write(&self, out: &mut Writer) {
        out.option(self.roots.as_ref());
        out.u32(u32::try_from(self.cosigners.len()).unwrap_or(u32::MAX));
        for (node, key) in &self.cosigners {
            node.write(out);
            out.bytes(key);
        }
        out.u32(u32::try_from(self.issuers.len()).unwrap_or(u32::MAX));
        for issuer in self.issuers.values() {
            issuer.write(out);
        }
        out.u32(u32::try_from(self.shards.len()).unwrap_or(u32::MAX));
        for log in self.shards.values() {
            log.state.write(out);
            out.u32(u32::try_from(log.recent.entries.len()).unwrap_or(u32::MAX));
            for (key, timestamp_ms) in &log.recent.entries {
                out.bytes(&key.0);
                out.u64(*timestamp_ms);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut log = Self {
            roots: from.option()?,
            ..Self::default()
        };
        for _ in 0..from.count("cosigners", MEMBERS_MAX)? {
            let node = ascending(&log.cosigners, NodeId::read(from)?, "cosigners")?;
            log.cosigners.insert(node, from.array()?);
        }
        for _ in 0..from.count("issuers", CT_ISSUERS_MAX)? {
            let issuer = Issuer::read(from)?;
            let id = ascending(&log.issuers, Hash::of(&issuer.der).0, "issuers")?;
            let (count, bytes) = log.brought.entry(issuer.by).or_default();
            (*count, *bytes) = (*count + 1, *bytes + issuer.der.len());
            log.issuers.insert(id, issuer);
        }
        for _ in 0..from.count("shards", CT_SHARDS_MAX)? {
            let state = CtShardState::read(from)?;
            let name = ascending(&log.shards, Arc::clone(&state.shard.name), "shards")?;
            let recent = read_recent(from, state.frontier.size())?;
            log.shards.insert(name, ShardLog { state, recent });
        }
        Ok(log)
    }
}

/// A key that is greater than all before.
fn ascending<K: Ord, V>(
    map: &BTreeMap<K, V>,
    key: K,
    what: &'static str,
) -> Result<K, DecodeError> {
    match map.last_key_value() {
        Some((last, _)) if *last >= key => Err(DecodeError::Order { what }),
        _ => Ok(key),
    }
}

fn read_recent(from: &mut Reader<'_>, size: u64) -> Result<Recent, DecodeError> {
    let offset = from.offset();
    let max = CT_RECENT_ENTRIES + usize::try_from(BLOCK_ENTRIES).unwrap_or(0);
    let count = from.count("places of entries", max)?;
    let mut entries = VecDeque::with_capacity(count);
    for _ in 0..count {
        entries.push_back((Hash(from.array()?), from.u64()?));
    }
    // The whole tree, or so many of it that begin with a block.
    let first = size.checked_sub(count as u64);
    let first = first.filter(|first| {
        *first == 0 || (count >= CT_RECENT_ENTRIES && first.is_multiple_of(BLOCK_ENTRIES))
    });
    match first.and_then(|first| Recent::new(first, entries)) {
        Some(recent) => Ok(recent),
        None => unknown("places of so many entries", count as u64, offset),
    }
}

fn not_after(kind: &EntryKind) -> Result<i64, CtRefusal> {
    let (EntryKind::Certificate(der) | EntryKind::Precertificate { submitted: der, .. }) = kind;
    let certificate = Certificate::parse(der).map_err(|_| CtRefusal::Malformed)?;
    Ok(certificate.validity().not_after)
}
