//! The proven denials of one zone: NSEC by name, NSEC3 by hash, and the data of its wildcards.

use std::collections::BTreeMap;
use std::ops::Bound;

use hickory_proto::rr::RecordType;

use super::super::dnssec::{Effort, HASH_BYTES, Nsec, Nsec3, canonical_key, hash_nsec3};
use super::super::name::WireName;
use super::super::rrset::{RrSet, Security};

/// NSEC3 hashes for one look: what a usual name needs, several times.
pub(super) const HASHES_MAX: u32 = 32;
/// Allocator and tree overhead of one record; and of one zone, with its SOA.
const RECORD_BYTES: usize = 96;
const ZONE_BYTES: usize = 1024;
/// The first and the last hash, between which the chain is a ring.
const FIRST_HASH: Key = Key::Hash([0; HASH_BYTES]);
const LAST_HASH: Key = Key::Hash([0xff; HASH_BYTES]);

/// Where a record stands: names in canonical order, so that the one before a name is its neighbour.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// NSEC, by its owner.
    Name(Box<[u8]>),
    /// NSEC3, by the hash in its owner.
    Hash([u8; HASH_BYTES]),
    /// Data of a wildcard, by its owner and type.
    Wildcard(Box<[u8]>, u16),
}

pub(super) struct Kept {
    pub(super) set: RrSet,
    pub(super) expires_ms: u64,
    /// Used since the hand last passed.
    visited: bool,
}

/// How a zone denies; the records of one way say nothing beside those of another.
#[derive(PartialEq, Eq)]
pub(super) enum Chain {
    Nsec,
    Nsec3 { salt: Box<[u8]>, iterations: u16 },
}

pub(super) struct Zone {
    pub(super) soa: Option<Kept>,
    pub(super) chain: Chain,
    pub(super) records: BTreeMap<Key, Kept>,
    /// The record that was last considered for eviction.
    hand: Option<Key>,
    bytes: usize,
}

impl Kept {
    /// `None` if it may not be kept at all.
    pub(super) fn new(now_ms: u64, set: &RrSet, secs_max: u32) -> Option<Self> {
        let secs = set.ttl_secs.min(secs_max);
        (secs > 0).then(|| Self {
            set: set.clone(),
            expires_ms: now_ms + u64::from(secs) * 1000,
            visited: false,
        })
    }

    fn left_secs(&self, now_ms: u64) -> u32 {
        u32::try_from(self.expires_ms.saturating_sub(now_ms) / 1000).unwrap_or(u32::MAX)
    }

    /// The RRset with what is left of its TTL.
    pub(super) fn aged(&self, now_ms: u64) -> RrSet {
        RrSet {
            ttl_secs: self.left_secs(now_ms),
            security: Security::Secure,
            ..self.set.clone()
        }
    }

    fn bytes(&self, key: &Key) -> usize {
        let key_bytes = match key {
            Key::Name(name) | Key::Wildcard(name, _) => name.len(),
            Key::Hash(_) => 0,
        };
        RECORD_BYTES + size_of::<(Key, Self)>() + key_bytes + self.set.bytes()
    }
}

impl Zone {
    pub(super) fn new(apex: &WireName) -> Self {
        let bytes = ZONE_BYTES + apex.as_bytes().len();
        Self {
            soa: None,
            chain: Chain::Nsec,
            records: BTreeMap::new(),
            hand: None,
            bytes,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.soa.is_none() && self.records.is_empty()
    }

    /// Adds an NSEC; `None` if it may not be kept.
    pub(super) fn insert_nsec(
        &mut self,
        now_ms: u64,
        (set, nsec): (&RrSet, &Nsec<'_>),
        secs_max: u32,
    ) -> Option<()> {
        let kept = self.keep(now_ms, set, secs_max)?;
        let (first, next) = (name_key(&set.owner), name_key(nsec.next()));
        self.use_chain(Chain::Nsec);
        self.forget_between(&first, &next);
        self.forget_covering(&set.owner);
        self.put(first, kept);
        Some(())
    }

    /// Adds an NSEC3 of this zone; `None` if it may not be kept.
    pub(super) fn insert_nsec3(
        &mut self,
        now_ms: u64,
        (apex, set, nsec3): (&WireName, &RrSet, &Nsec3<'_>),
        secs_max: u32,
    ) -> Option<()> {
        let kept = self.keep(now_ms, set, secs_max)?;
        let (salt, iterations) = nsec3.parameters();
        let salt = salt.into();
        let (first, next) = (Key::Hash(*nsec3.hash()), Key::Hash(*nsec3.next()));
        self.use_chain(Chain::Nsec3 { salt, iterations });
        self.forget_between(&first, &next);
        self.forget_covering_hash(apex, nsec3.hash());
        self.put(first, kept);
        Some(())
    }

    /// Adds data of a wildcard, under its own name.
    pub(super) fn put_wildcard(&mut self, kept: Kept) {
        self.put(wildcard_key(&kept.set.owner, kept.set.rtype), kept);
    }

    pub(super) fn drop_expired(&mut self, now_ms: u64) {
        self.drop_records(|_, kept| kept.expires_ms <= now_ms);
        self.soa.take_if(|soa| soa.expires_ms <= now_ms);
    }

    /// A record as it may be kept beside the SOA.
    fn keep(&self, now_ms: u64, set: &RrSet, secs_max: u32) -> Option<Kept> {
        let minimum_secs = self
            .soa
            .as_ref()
            .and_then(|soa| soa.set.soa_minimum_secs())
            .unwrap_or(u32::MAX);
        Kept::new(now_ms, set, secs_max.min(minimum_secs))
    }

    fn use_chain(&mut self, chain: Chain) {
        if self.chain != chain {
            self.drop_records(|key, _| !matches!(key, Key::Wildcard(..)));
            self.chain = chain;
        }
    }

    fn put(&mut self, key: Key, kept: Kept) {
        self.bytes += kept.bytes(&key);
        if let Some(before) = self.records.insert(key.clone(), kept) {
            self.bytes -= before.bytes(&key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.records.remove(key) {
            self.bytes -= kept.bytes(key);
        }
    }

    fn drop_records(&mut self, mut unwanted: impl FnMut(&Key, &Kept) -> bool) {
        let mut freed = 0;
        self.records.retain(|key, kept| {
            let drops = unwanted(key, kept);
            freed += if drops { kept.bytes(key) } else { 0 };
            !drops
        });
        self.bytes -= freed;
    }

    /// Forgets what a new record contradicts: those that it says do not exist.
    fn forget_between(&mut self, first: &Key, next: &Key) {
        let mut gone = Vec::new();
        let mut collect = |from: Bound<&Key>, to: Bound<&Key>| {
            gone.extend(self.records.range((from, to)).map(|(key, _)| key.clone()));
        };
        match first {
            _ if first < next => collect(Bound::Excluded(first), Bound::Excluded(next)),
            // The last of its zone: no name of the zone comes before the apex, which is next.
            Key::Name(_) => collect(Bound::Excluded(first), Bound::Excluded(&FIRST_HASH)),
            _ => {
                collect(Bound::Excluded(first), Bound::Included(&LAST_HASH));
                collect(Bound::Included(&FIRST_HASH), Bound::Excluded(next));
            }
        }
        gone.iter().for_each(|key| self.remove(key));
    }

    /// Forgets the NSEC that says that a name does not exist.
    pub(super) fn forget_covering(&mut self, name: &WireName) {
        let before = self.before_name(name);
        let covers = |kept: &Kept| Nsec::parse(&kept.set).is_some_and(|nsec| nsec.covers(name));
        let covering = before.filter(|(_, kept)| covers(kept));
        if let Some(key) = covering.map(|(key, _)| key.clone()) {
            self.remove(&key);
        }
    }

    /// The same by hash.
    fn forget_covering_hash(&mut self, apex: &WireName, hash: &[u8; HASH_BYTES]) {
        let covers =
            |kept: &Kept| Nsec3::parse(apex, &kept.set).is_some_and(|nsec3| nsec3.covers(hash));
        let before = self.before_hash(*hash);
        let covering = before.filter(|(_, kept)| covers(kept));
        if let Some(key) = covering.map(|(key, _)| key.clone()) {
            self.remove(&key);
        }
    }

    /// The NSEC at a name, or the last before it.
    pub(super) fn before_name(&self, name: &WireName) -> Option<(&Key, &Kept)> {
        let before = self.records.range(..=name_key(name)).next_back();
        before.filter(|(key, _)| matches!(key, Key::Name(_)))
    }

    /// The NSEC3 at a hash, or the last before it; the chain is a ring.
    pub(super) fn before_hash(&self, hash: [u8; HASH_BYTES]) -> Option<(&Key, &Kept)> {
        let is_hash = |(key, _): &(&Key, &Kept)| matches!(key, Key::Hash(_));
        let before = self.records.range(..=Key::Hash(hash)).next_back();
        before
            .filter(is_hash)
            .or_else(|| self.records.range(..=LAST_HASH).next_back().filter(is_hash))
    }

    /// Notes a use, and gives the record if it is fresh.
    pub(super) fn take(&mut self, now_ms: u64, key: &Key) -> Option<RrSet> {
        let kept = self.records.get_mut(key)?;
        if kept.left_secs(now_ms) == 0 {
            return None;
        }
        kept.visited = true;
        Some(kept.aged(now_ms))
    }

    /// Evicts until the zone fits: what was used since the hand last passed stays for one round.
    pub(super) fn shrink(&mut self, bytes_max: usize) -> u64 {
        let mut evictions = 0;
        while self.bytes > bytes_max && !self.records.is_empty() {
            let from = self.hand.take().map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.records.range_mut((from, Bound::Unbounded)).next();
            let Some((key, kept)) = next else {
                continue; // The end: `hand` is gone, so that it starts anew.
            };
            let key = key.clone();
            if !std::mem::take(&mut kept.visited) {
                self.remove(&key);
                evictions += 1;
            }
            self.hand = Some(key);
        }
        evictions
    }

    pub(super) fn flush(&mut self, name: &WireName, subtree: bool) {
        self.forget_covering(name);
        self.remove(&name_key(name));
        // Which NSEC3 speak of a name only their hashes tell, and they are quickly learned again.
        self.drop_records(|key, kept| {
            let of_wildcard = |kept: &Kept| {
                let closest = kept.set.owner.parent();
                closest.is_some_and(|closest| name.is_within(&closest))
            };
            match key {
                Key::Hash(_) => true,
                Key::Name(_) => subtree && kept.set.owner.is_within(name),
                Key::Wildcard(..) => of_wildcard(kept) || kept.set.owner.is_within(name),
            }
        });
    }

    /// What speaks of `name`, and what stands at or below `below`.
    pub(super) fn list(
        &self,
        now_ms: u64,
        (apex, name): (&WireName, &WireName),
        below: Option<&WireName>,
        count_max: usize,
    ) -> Vec<RrSet> {
        let mut effort = Effort::new(0, 0, HASHES_MAX);
        let hash = match &self.chain {
            Chain::Nsec => None,
            Chain::Nsec3 { salt, iterations } => {
                hash_nsec3(name.as_bytes(), salt, *iterations, &mut effort).ok()
            }
        };
        let speaks = |key: &Key, kept: &Kept| match key {
            Key::Name(_) => {
                kept.set.owner == *name
                    || Nsec::parse(&kept.set).is_some_and(|nsec| nsec.covers(name))
            }
            Key::Hash(own) => hash.is_some_and(|hash| {
                *own == hash
                    || Nsec3::parse(apex, &kept.set).is_some_and(|nsec3| nsec3.covers(&hash))
            }),
            Key::Wildcard(..) => {
                let closest = kept.set.owner.parent();
                closest.is_some_and(|closest| name.is_within(&closest))
            }
        };
        let wanted = |(key, kept): &(&Key, &Kept)| {
            let is_below = below.is_some_and(|below| kept.set.owner.is_within(below));
            now_ms < kept.expires_ms && (is_below || speaks(key, kept))
        };
        let records = self.records.iter().filter(wanted);
        records
            .take(count_max)
            .map(|(_, kept)| kept.aged(now_ms))
            .collect()
    }
}

fn name_key(name: &WireName) -> Key {
    Key::Name(canonical_key(name.as_bytes()).into())
}

pub(super) fn wildcard_key(owner: &WireName, rtype: RecordType) -> Key {
    Key::Wildcard(canonical_key(owner.as_bytes()).into(), rtype.into())
}
