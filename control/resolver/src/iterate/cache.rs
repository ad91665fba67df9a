//! The RRset cache: data and denials with their trust, within a bound of bytes.

use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::bounded::{BoundedMap, HashKeys};
use super::message::Trust;
use super::name::WireName;
use super::rrset::{Content, RrSet, Security, may_stand_beside_cname};

/// Types kept for one name (and twice that with glue and CD apart); the first to expire goes.
const ENTRIES_PER_NAME_MAX: usize = 64;
/// What the map spends on one name besides the name's bytes, which it holds once.
const NODE_BYTES: usize = 160;
/// Allocator overhead of one entry's content.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<Content>() + 48;
/// What lives shorter than this, in milliseconds, is not refreshed before it expires.
const REFRESH_LIFE_MS_MIN: u64 = 10_000;
/// Names looked at in one sweep for what has expired.
const SWEEP_NAMES_MAX: usize = 32;

/// How long entries live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) ttl_min_secs: u32,
    pub(super) ttl_max_secs: u32,
    pub(super) negative_ttl_max_secs: u32,
    pub(super) stale_max_secs: u32,
    pub(super) stale_ttl_secs: u32,
}

/// Who said something, and how far that is to be believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) trust: Trust,
    /// Learned with CD set, so that a forwarder may not have checked it.
    pub(super) unchecked: bool,
    /// When the delegation ends that led to the server.
    pub(super) delegated_until_ms: u64,
}

/// What is known of a name and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    NoData,
    /// Kept under [`NXDOMAIN`], since it holds for every type.
    NxDomain,
}

/// What validation has found out of data or of a denial.
#[derive(Debug)]
pub(super) struct Grade {
    pub(super) security: Security,
    /// Seconds for which it may be kept.
    pub(super) secs_max: u32,
    /// In a signed zone, those records of its proof whose signatures hold: what else came with it may
    /// be anybody's. `None`: there is nothing to tell them by.
    pub(super) proof: Option<Vec<RrSet>>,
}

impl Grade {
    /// Of what nothing vouches for.
    pub(super) fn insecure() -> Self {
        Self {
            security: Security::Insecure,
            secs_max: u32::MAX,
            proof: None,
        }
    }
}

/// The type under which NXDOMAIN is kept; no record can have it.
pub(super) const NXDOMAIN: RecordType = RecordType::ZERO;

/// What of an entry outlives a restart.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) rtype: RecordType,
    pub(super) unchecked: bool,
    pub(super) kind: Kind,
    pub(super) trust: Trust,
    pub(super) content: Arc<Content>,
    pub(super) proof: Arc<[RrSet]>,
}

#[derive(Clone, Debug)]
struct Entry {
    rtype: RecordType,
    /// Learned with CD set, so that a forwarder may not have checked it.
    unchecked: bool,
    kind: Kind,
    trust: Trust,
    /// When it came.
    since_ms: u64,
    expires_ms: u64,
    security: Security,
    content: Arc<Content>,
    /// SOA and proofs of a denial, proofs of a wildcard.
    proof: Arc<[RrSet]>,
}

impl Entry {
    /// Glue and referrals live beside answers, never in their place: they find servers, and an
    /// answer past its TTL must survive them to be served stale.
    fn is_answer(&self) -> bool {
        self.trust >= Trust::Answer
    }

    /// Whether it is in the last tenth of its life, and that is long enough to do something about it.
    fn is_due(&self, now_ms: u64) -> bool {
        let (life_ms, left_ms) = (
            self.expires_ms.saturating_sub(self.since_ms),
            self.expires_ms.saturating_sub(now_ms),
        );
        self.is_answer() && left_ms > 0 && life_ms >= REFRESH_LIFE_MS_MIN && left_ms * 10 < life_ms
    }

    fn grade(&mut self, now_ms: u64, grade: &Grade) {
        self.security = grade.security;
        let until_ms = now_ms + u64::from(grade.secs_max) * 1000;
        self.expires_ms = self.expires_ms.min(until_ms);
        if let Some(proof) = &grade.proof {
            let held = |own: &RrSet| proof.iter().find(|set| set.is_same_as(own)).cloned();
            self.proof = self.proof.iter().filter_map(held).collect();
        }
    }

    /// Whether it is no better than another that says the opposite: a name exists or it does not.
    fn contradicts(&self, other: &Self) -> bool {
        (self.kind == Kind::NxDomain) != (other.kind == Kind::NxDomain)
            && self.is_answer()
            && other.is_answer()
            && self.unchecked == other.unchecked
            && self.trust <= other.trust
    }

    /// Whether this is the denial of a type, or of the whole name, that came with this proof.
    fn denies(&self, denied: Option<RecordType>, proof: &[RrSet]) -> bool {
        let same = |own: &RrSet| proof.iter().any(|set| set.is_same_as(own));
        self.kind != Kind::Data
            && self.rtype == denied.unwrap_or(NXDOMAIN)
            && self.proof.iter().all(same)
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + self.content.data.bytes()
            + self.content.signatures.bytes()
            + self.proof.iter().map(RrSet::bytes).sum::<usize>()
    }
}

/// What a lookup found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) trust: Trust,
    pub(super) rtype: RecordType,
    /// Seconds left; for stale data, those configured (RFC 8767 §4).
    pub(super) ttl_secs: u32,
    pub(super) expires_ms: u64,
    pub(super) stale: bool,
    pub(super) security: Security,
    content: Arc<Content>,
    proof: Arc<[RrSet]>,
}

impl Found {
    /// NXDOMAIN, or no error.
    pub(super) fn rcode(&self) -> ResponseCode {
        if self.kind == Kind::NxDomain {
            ResponseCode::NXDomain
        } else {
            ResponseCode::NoError
        }
    }

    /// The type for people to read; ANY for NXDOMAIN, which holds for all.
    pub(super) fn shown_type(&self) -> RecordType {
        if self.kind == Kind::NxDomain {
            RecordType::ANY
        } else {
            self.rtype
        }
    }

    /// The data as an RRset of this owner.
    pub(super) fn set(&self, owner: WireName) -> RrSet {
        RrSet {
            owner,
            rtype: self.rtype,
            ttl_secs: self.ttl_secs,
            security: self.security,
            content: Arc::clone(&self.content),
        }
    }

    /// The proof, whose every record lives as long as the entry at least.
    pub(super) fn proof(&self) -> Vec<RrSet> {
        let aged = |set: &RrSet| RrSet {
            ttl_secs: self.ttl_secs,
            ..set.clone()
        };
        self.proof.iter().map(aged).collect()
    }
}

/// Which data a lookup accepts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// Glue and referrals too, which answer no client.
    pub(super) helpers: bool,
    /// What a forwarder gave with CD set too.
    pub(super) unchecked: bool,
    /// What is past its TTL too.
    pub(super) stale: bool,
}

impl Want {
    /// For finding servers and trust.
    pub(super) const HELPERS: Self = Self {
        helpers: true,
        unchecked: false,
        stale: false,
    };
}

/// RRsets by name, then by type.
pub(super) struct Cache {
    names: BoundedMap<WireName, Vec<Entry>>,
    lifetimes: Lifetimes,
    insertions: u64,
    cursor: usize,
    /// Whether something was found in the last tenth of its life.
    due: bool,
}

impl Cache {
    pub(super) fn new(bytes_max: usize, lifetimes: Lifetimes, keys: HashKeys) -> Self {
        let names = BoundedMap::new(bytes_max, keys);
        Self {
            names,
            lifetimes,
            insertions: 0,
            cursor: 0,
            due: false,
        }
    }

    /// The best entry for a name and type; answers go before helpers, checked before unchecked. For
    /// who wants helpers a referral goes before the word of the servers that it leads to that they
    /// have no NS, as load balancers say.
    pub(super) fn find(
        &mut self,
        now_ms: u64,
        name: &[u8],
        rtype: RecordType,
        want: Want,
    ) -> Option<Found> {
        let stale_max_ms = u64::from(self.lifetimes.stale_max_secs) * 1000;
        let entries = self.names.get(name)?;
        let usable = |entry: &&Entry| {
            let bound_ms = if want.stale {
                entry.expires_ms.saturating_add(stale_max_ms)
            } else {
                entry.expires_ms
            };
            entry.rtype == rtype
                && now_ms < bound_ms
                && (want.helpers || entry.is_answer())
                && (want.unchecked || !entry.unchecked)
        };
        let best = entries.iter().filter(usable).max_by_key(|entry| {
            let is_way = want.helpers && rtype == RecordType::NS && entry.kind == Kind::Data;
            (is_way, entry.is_answer(), !entry.unchecked)
        })?;
        let due = best.is_due(now_ms);
        let found = found(now_ms, best, self.lifetimes.stale_ttl_secs);
        self.due |= due;
        Some(found)
    }

    /// Whether anything found since the last call is in the last tenth of its life.
    pub(super) fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }

    /// Every type of which the cache has data that may answer.
    pub(super) fn find_all(&mut self, now_ms: u64, name: &[u8], want: Want) -> Vec<Found> {
        let Some(entries) = self.names.get(name) else {
            return Vec::new();
        };
        let mut types: Vec<_> = entries
            .iter()
            .filter(|entry| entry.kind == Kind::Data)
            .map(|entry| entry.rtype)
            .collect();
        types.sort_unstable();
        types.dedup();
        let found = types
            .into_iter()
            .filter_map(|rtype| self.find(now_ms, name, rtype, want));
        found.filter(|found| found.kind == Kind::Data).collect()
    }

    /// Puts data in, unless better data is there (RFC 2181 §5.4.1).
    pub(super) fn insert_data(
        &mut self,
        now_ms: u64,
        set: &RrSet,
        source: Source,
        proof: &[RrSet],
    ) {
        // An answer goes when the first record of its proof does (RFC 4035 §4.5).
        let ttls_secs = proof.iter().map(|set| set.ttl_secs);
        let ttl_secs = self.positive_ttl_secs(ttls_secs.fold(set.ttl_secs, u32::min));
        let mut expires_ms = now_ms + u64::from(ttl_secs) * 1000;
        if set.rtype == RecordType::NS {
            // A zone must not stretch its own delegation, nor those that it gives itself: they end
            // with it, so that a revoked zone cannot live on as a "ghost domain".
            expires_ms = expires_ms.min(source.delegated_until_ms);
        }
        let entry = Entry {
            rtype: set.rtype,
            unchecked: source.unchecked,
            kind: Kind::Data,
            trust: source.trust,
            since_ms: now_ms,
            expires_ms,
            security: Security::Unchecked,
            content: Arc::clone(&set.content),
            proof: proof.into(),
        };
        self.insert(now_ms, &set.owner, entry);
    }

    /// Puts a denial in, for as long as its SOA allows (RFC 2308 §5); without SOA it is not kept.
    pub(super) fn insert_denial(
        &mut self,
        now_ms: u64,
        name: &WireName,
        denied: Option<RecordType>,
        source: Source,
        proof: &[RrSet],
    ) {
        let Some(ttl_secs) = self.negative_ttl_secs(proof) else {
            return;
        };
        let (rtype, kind) =
            denied.map_or((NXDOMAIN, Kind::NxDomain), |rtype| (rtype, Kind::NoData));
        let entry = Entry {
            rtype,
            unchecked: source.unchecked,
            kind,
            trust: source.trust,
            since_ms: now_ms,
            expires_ms: now_ms + u64::from(ttl_secs) * 1000,
            security: Security::Unchecked,
            content: Arc::default(),
            proof: proof.into(),
        };
        self.insert(now_ms, name, entry);
    }

    /// Puts in what a referral says of the DS of the zone that it leads to: their absence. It finds
    /// trust, and answers no client.
    pub(super) fn insert_no_ds(
        &mut self,
        now_ms: u64,
        zone: &WireName,
        source: Source,
        proof: &[RrSet],
    ) {
        let ttls_secs = proof.iter().map(|set| set.ttl_secs);
        let ttl_secs = ttls_secs.fold(self.lifetimes.negative_ttl_max_secs, u32::min);
        let entry = Entry {
            rtype: RecordType::DS,
            unchecked: source.unchecked,
            kind: Kind::NoData,
            trust: source.trust,
            since_ms: now_ms,
            expires_ms: now_ms + u64::from(ttl_secs) * 1000,
            security: Security::Unchecked,
            content: Arc::default(),
            proof: proof.into(),
        };
        self.insert(now_ms, zone, entry);
    }

    /// Notes what validation has found out of these very data.
    pub(super) fn grade(&mut self, now_ms: u64, set: &RrSet, grade: &Grade) {
        self.grade_entries(now_ms, &set.owner, grade, |entry| {
            Arc::ptr_eq(&entry.content, &set.content)
        });
    }

    /// The same for a denial, which came with this proof.
    pub(super) fn grade_denial(
        &mut self,
        now_ms: u64,
        name: &WireName,
        denied: Option<RecordType>,
        proof: &[RrSet],
        grade: &Grade,
    ) {
        self.grade_entries(now_ms, name, grade, |entry| entry.denies(denied, proof));
    }

    fn grade_entries(
        &mut self,
        now_ms: u64,
        name: &WireName,
        grade: &Grade,
        is_graded: impl Fn(&Entry) -> bool,
    ) {
        let Some(entries) = self.names.get(name) else {
            return;
        };
        let mut graded = None;
        for entry in entries.iter_mut().filter(|entry| is_graded(entry)) {
            entry.grade(now_ms, grade);
            graded = Some(entry.clone());
        }
        // What was proven of the name before gives way to what is now.
        if let Some(new) = graded {
            entries.retain(|old| !(old.contradicts(&new) && old.since_ms <= new.since_ms));
        }
        let bytes = node_bytes(name, entries);
        self.names.reweigh(name, bytes);
    }

    /// Forgets these very data, which turned out bogus.
    pub(super) fn discard(&mut self, set: &RrSet) {
        self.drop_entries(&set.owner, |entry| {
            Arc::ptr_eq(&entry.content, &set.content)
        });
    }

    /// Forgets a denial that turned out bogus.
    pub(super) fn discard_denial(
        &mut self,
        name: &WireName,
        denied: Option<RecordType>,
        proof: &[RrSet],
    ) {
        self.drop_entries(name, |entry| entry.denies(denied, proof));
    }

    /// The TTL, within the configured bounds.
    pub(super) fn positive_ttl_secs(&self, ttl_secs: u32) -> u32 {
        ttl_secs
            .max(self.lifetimes.ttl_min_secs)
            .min(self.lifetimes.ttl_max_secs)
    }

    /// The smallest TTL of SOA and proofs, or the SOA's last field if that is smaller (RFC 2308 §5),
    /// bounded; `None` without SOA.
    pub(super) fn negative_ttl_secs(&self, proof: &[RrSet]) -> Option<u32> {
        let soa = proof.iter().find(|set| set.rtype == RecordType::SOA)?;
        let ttl_max_secs = self.lifetimes.negative_ttl_max_secs;
        let ttl_max_secs = ttl_max_secs.min(soa.soa_minimum_secs()?);
        let ttls_secs = proof.iter().map(|set| set.ttl_secs);
        Some(ttls_secs.fold(ttl_max_secs, u32::min))
    }

    /// Forgets one type of a name, helpers included.
    pub(super) fn remove(&mut self, name: &WireName, rtype: RecordType) {
        self.drop_entries(name, |entry| entry.rtype == rtype);
    }

    /// Forgets what no signature proves of one type of a name, helpers included.
    pub(super) fn remove_unproven(&mut self, name: &WireName, rtype: RecordType) {
        let unproven = |entry: &Entry| entry.security != Security::Secure;
        self.drop_entries(name, |entry| entry.rtype == rtype && unproven(entry));
    }

    fn drop_entries(&mut self, name: &WireName, unwanted: impl Fn(&Entry) -> bool) {
        let Some(entries) = self.names.get(name) else {
            return;
        };
        entries.retain(|entry| !unwanted(entry));
        let left = entries.len();
        let bytes = node_bytes(name, entries);
        if left == 0 {
            self.names.remove(name);
        } else {
            self.names.reweigh(name, bytes);
        }
    }

    /// Gives the entries of one name to `visit`, with when each expires, and moves `*cursor` to the
    /// next. False after the last.
    pub(super) fn visit(
        &self,
        cursor: &mut usize,
        visit: impl FnOnce(&WireName, &mut dyn Iterator<Item = (u64, Saved)>),
    ) -> bool {
        self.names.visit(cursor, |name, entries| {
            let saved = |entry: &Entry| Saved {
                rtype: entry.rtype,
                unchecked: entry.unchecked,
                kind: entry.kind,
                trust: entry.trust,
                content: Arc::clone(&entry.content),
                proof: Arc::clone(&entry.proof),
            };
            let mut all = entries.iter().map(|entry| (entry.expires_ms, saved(entry)));
            visit(name, &mut all);
        })
    }

    /// Puts back what was saved, unless there is something better; never for longer than a server's
    /// word would live.
    pub(super) fn restore(
        &mut self,
        now_ms: u64,
        name: &WireName,
        left_secs: u64,
        saved: Saved,
    ) -> bool {
        let secs_max = match saved.kind {
            Kind::Data => self.lifetimes.ttl_max_secs,
            Kind::NoData | Kind::NxDomain => self.lifetimes.negative_ttl_max_secs,
        };
        let before = self.insertions;
        let entry = Entry {
            rtype: saved.rtype,
            unchecked: saved.unchecked,
            kind: saved.kind,
            trust: saved.trust,
            since_ms: now_ms,
            expires_ms: now_ms + left_secs.min(u64::from(secs_max)) * 1000,
            security: Security::Unchecked,
            content: saved.content,
            proof: saved.proof,
        };
        self.insert(now_ms, name, entry);
        self.insertions > before
    }

    /// Forgets one name, or it and all below it. Gives the number of entries that went.
    pub(super) fn flush(&mut self, name: &WireName, subtree: bool) -> usize {
        if !subtree {
            return self.names.remove(name).map_or(0, |entries| entries.len());
        }
        let mut count = 0;
        self.names.retain(|owner, entries| {
            if owner.is_within(name) {
                count += entries.len();
                return None;
            }
            Some(node_bytes(owner, entries))
        });
        count
    }

    /// Drops some of what is past its TTL and past being served stale.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        let stale_max_ms = u64::from(self.lifetimes.stale_max_secs) * 1000;
        self.names
            .sweep(&mut self.cursor, SWEEP_NAMES_MAX, |owner, entries| {
                entries.retain(|entry| now_ms < entry.expires_ms.saturating_add(stale_max_ms));
                (!entries.is_empty()).then(|| node_bytes(owner, entries))
            });
    }

    /// Everything kept for a name, with its remaining seconds (0 once stale).
    pub(super) fn list(&self, now_ms: u64, name: &WireName) -> Vec<Found> {
        let Some(entries) = self.names.peek(name) else {
            return Vec::new();
        };
        let listed = |entry: &Entry| found(now_ms, entry, 0);
        entries.iter().map(listed).collect()
    }

    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.names.weight()
    }

    pub(super) fn insertions(&self) -> u64 {
        self.insertions
    }

    pub(super) fn evictions(&self) -> u64 {
        self.names.evictions()
    }

    fn insert(&mut self, now_ms: u64, name: &WireName, entry: Entry) {
        if entry.expires_ms <= now_ms {
            return; // TTL 0: good for the question under way alone (RFC 1035 §3.2.1).
        }
        self.insertions += 1;
        let Some(entries) = self.names.get(name) else {
            let entries = vec![entry];
            let bytes = node_bytes(name, &entries);
            self.names.insert(name.clone(), entries, bytes);
            return;
        };
        let (rtype, unchecked, answers) = (entry.rtype, entry.unchecked, entry.is_answer());
        let same = |old: &Entry| {
            old.rtype == rtype && old.unchecked == unchecked && old.is_answer() == answers
        };
        let fresh = |old: &&Entry| now_ms < old.expires_ms;
        // Data whose signatures held outrank all that is not checked yet (RFC 2181 §5.4.1).
        // In the last tenth of its life it is refreshed, by data that are judged as soon as they are here.
        let proven = |old: &Entry| {
            old.security == Security::Secure && old.kind == entry.kind && !old.is_due(now_ms)
        };
        let better = |old: &Entry| same(old) && (old.trust > entry.trust || proven(old));
        if entries.iter().filter(fresh).any(better) {
            return;
        }
        // What is known now contradicts what was known before. Against what is proven it has to be
        // judged first, past its TTL or not: it may be forged.
        let outdone = |old: &Entry| old.contradicts(&entry) && old.security != Security::Secure;
        // Nor does an alias have data: what is past its TTL would win over it when it is served
        // stale, or the other way round.
        let outdated = |old: &Entry| {
            let both_data = old.kind == Kind::Data && entry.kind == Kind::Data;
            both_data
                && old.is_answer()
                && answers
                && old.unchecked == unchecked
                && old.expires_ms <= now_ms
                && (old.rtype == RecordType::CNAME) != (rtype == RecordType::CNAME)
                && !may_stand_beside_cname(old.rtype)
                && !may_stand_beside_cname(rtype)
        };
        let replaced = |old: &Entry| same(old) || outdated(old) || outdone(old);
        entries.retain(|old| !replaced(old));
        if entries.len() >= ENTRIES_PER_NAME_MAX {
            let first = entries
                .iter()
                .enumerate()
                .min_by_key(|(_, old)| old.expires_ms)
                .map(|(at, _)| at);
            first.map(|at| entries.swap_remove(at));
        }
        entries.push(entry);
        let bytes = node_bytes(name, entries);
        self.names.reweigh(name, bytes);
    }
}

fn found(now_ms: u64, entry: &Entry, stale_ttl_secs: u32) -> Found {
    let stale = entry.expires_ms <= now_ms;
    let left_secs =
        u32::try_from(entry.expires_ms.saturating_sub(now_ms) / 1000).unwrap_or(u32::MAX);
    Found {
        kind: entry.kind,
        trust: entry.trust,
        rtype: entry.rtype,
        ttl_secs: if stale { stale_ttl_secs } else { left_secs },
        expires_ms: entry.expires_ms,
        stale,
        security: entry.security,
        content: Arc::clone(&entry.content),
        proof: Arc::clone(&entry.proof),
    }
}

fn node_bytes(name: &WireName, entries: &[Entry]) -> usize {
    NODE_BYTES + name.as_bytes().len() + entries.iter().map(Entry::bytes).sum::<usize>()
}
