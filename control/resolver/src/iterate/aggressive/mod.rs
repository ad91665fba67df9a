//! Proven denials by zone, to answer for names that were never asked (RFC 8198).
//!
//! Validation hands in the NSEC, NSEC3 and SOA RRsets whose signatures it has checked, and the
//! wildcards that it saw at work. [`Aggressive::look`] finds the records that deny a name and lets
//! [`SignedDenials`](super::dnssec::SignedDenials) judge them as if a server had sent them: what it gives is a complete answer
//! with its proof. It never asks, and never decides who may be answered from it: see `proven.rs`.

mod look;
#[cfg(test)]
mod tests;
mod zone;

use hickory_proto::rr::RecordType;

use super::bounded::{BoundedMap, HashKeys};
use super::dnssec::{Nsec, Nsec3};
use super::lookup::Look;
use super::name::WireName;
use super::rrset::{DNAME, RrSet};
use zone::{Kept, Zone};

/// One zone has at most this part of the room, so that no zone pushes out all others.
const ZONE_SHARE: usize = 4;
/// All zones have at most this room: one zone is looked through in one go, which must stay short.
const BYTES_MAX: usize = 64 << 20;
/// Zones looked at in one sweep for what has expired.
const SWEEP_ZONES_MAX: usize = 1;

/// The proven denials of all zones, in a bounded memory.
pub(super) struct Aggressive {
    zones: BoundedMap<WireName, Zone>,
    bytes_max: usize,
    insertions: u64,
    evictions: u64,
    cursor: usize,
}

/// What validation has proven of one zone.
#[derive(Clone, Copy)]
pub(super) struct Proven<'a> {
    pub(super) zone: &'a WireName,
    /// Seconds for which all of it may be kept, by its signatures and the configuration.
    pub(super) secs_max: u32,
}

impl Aggressive {
    pub(super) fn new(bytes_max: usize, keys: HashKeys) -> Self {
        let bytes_max = bytes_max.min(BYTES_MAX);
        Self {
            zones: BoundedMap::new(bytes_max, keys),
            bytes_max,
            insertions: 0,
            evictions: 0,
            cursor: 0,
        }
    }

    /// Takes SOA, NSEC and NSEC3 RRsets whose signatures hold. An NSEC is not kept for longer than
    /// the SOA lets a negative answer be (RFC 9077 §3), if the SOA is known.
    pub(super) fn insert(&mut self, now_ms: u64, proven: Proven<'_>, sets: &[&RrSet]) {
        let soa = sets
            .iter()
            .find(|set| set.rtype == RecordType::SOA && set.owner == *proven.zone);
        if let Some(soa) = soa {
            let secs_max = proven.secs_max.min(soa.soa_minimum_secs().unwrap_or(0));
            if let Some(kept) = Kept::new(now_ms, soa, secs_max) {
                self.change(proven.zone, true, |zone| zone.soa = Some(kept));
            }
        }
        for set in sets {
            let inserted = match set.rtype {
                RecordType::NSEC => self.insert_nsec(now_ms, proven, set),
                RecordType::NSEC3 => self.insert_nsec3(now_ms, proven, set),
                _ => continue,
            };
            self.insertions += u64::from(inserted.is_some());
        }
    }

    fn insert_nsec(&mut self, now_ms: u64, proven: Proven<'_>, set: &RrSet) -> Option<()> {
        let nsec = Nsec::parse(set)?;
        // A chain that leads out of its zone is none.
        if !nsec.next().is_within(proven.zone) {
            return None;
        }
        self.change(proven.zone, true, |zone| {
            zone.insert_nsec(now_ms, (set, &nsec), proven.secs_max)
        })?
    }

    /// Opt-out records deny nothing (RFC 5155 §9.2), and their chains are long: they are not kept.
    fn insert_nsec3(&mut self, now_ms: u64, proven: Proven<'_>, set: &RrSet) -> Option<()> {
        let nsec3 = Nsec3::parse(proven.zone, set)?;
        if nsec3.is_opt_out() || nsec3.is_too_costly() {
            return None;
        }
        self.change(proven.zone, true, |zone| {
            zone.insert_nsec3(now_ms, (proven.zone, set, &nsec3), proven.secs_max)
        })?
    }

    /// Takes data that a wildcard made, whose signature and proof hold (RFC 8198 §5.3).
    pub(super) fn insert_wildcard(
        &mut self,
        now_ms: u64,
        proven: Proven<'_>,
        (set, labels): (&RrSet, usize),
    ) {
        let Some(owner) = set.owner.last_labels(labels).wildcard_below() else {
            return;
        };
        let set = RrSet {
            owner,
            ..set.clone()
        };
        // What such records would mean at a wildcard is not defined (RFC 4592 §4.2, §4.4).
        let is_odd = matches!(set.rtype, RecordType::NS | DNAME | RecordType::DS);
        let kept = Kept::new(now_ms, &set, proven.secs_max);
        let Some(kept) = kept.filter(|_| !is_odd) else {
            return;
        };
        // Without the denials that come with it, it is of no use.
        let put = |zone: &mut Zone| zone.put_wildcard(kept);
        if self.change(proven.zone, false, put).is_some() {
            self.insertions += 1;
        }
    }

    /// Forgets what denies a name that was found to have data of its own.
    pub(super) fn note_exists(&mut self, zone: &WireName, name: &WireName) {
        self.change(zone, false, |zone| zone.forget_covering(name));
    }

    /// Changes one zone, made first if `create`, and keeps it within its share.
    fn change<T>(
        &mut self,
        name: &WireName,
        create: bool,
        change: impl FnOnce(&mut Zone) -> T,
    ) -> Option<T> {
        if self.zones.peek(name).is_none() {
            if !create {
                return None;
            }
            let zone = Zone::new(name);
            let bytes = zone.bytes();
            self.zones.insert(name.clone(), zone, bytes);
        }
        let zone = self.zones.get(name)?;
        let result = change(zone);
        self.evictions += zone.shrink(self.bytes_max / ZONE_SHARE);
        let bytes = zone.bytes();
        if zone.is_empty() {
            self.zones.remove(name);
        } else {
            self.zones.reweigh(name, bytes);
        }
        Some(result)
    }

    /// Forgets one zone: it is signed no longer, or not as it was.
    pub(super) fn forget_zone(&mut self, zone: &WireName) {
        self.zones.remove(zone);
    }

    /// Forgets whatever would answer for a name, or for it and all below it.
    pub(super) fn flush(&mut self, name: &WireName, subtree: bool) {
        self.zones.retain(|apex, zone| {
            if subtree && apex.is_within(name) {
                return None;
            }
            if name.is_within(apex) {
                zone.flush(name, subtree);
            }
            (!zone.is_empty()).then_some(zone.bytes())
        });
    }

    /// Drops some of what has expired.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        self.zones
            .sweep(&mut self.cursor, SWEEP_ZONES_MAX, |_, zone| {
                zone.drop_expired(now_ms);
                (!zone.is_empty()).then_some(zone.bytes())
            });
    }

    /// The closest zone at or above a name of which denials are kept.
    pub(super) fn closest(&mut self, name: &WireName) -> Option<WireName> {
        let zones = &self.zones;
        let mut suffixes = name.suffixes();
        let zone = suffixes.find(|suffix| zones.peek(*suffix).is_some())?;
        WireName::parse(zone)
    }

    /// What the denials of `apex` say of a name and type.
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        apex: &WireName,
        name: &WireName,
        rtype: RecordType,
    ) -> Look {
        let zone = self.zones.get(apex);
        let look = zone.and_then(|zone| zone.look(now_ms, apex, name, rtype));
        look.unwrap_or(Look::Nothing)
    }

    /// For people: what is kept that speaks of a name, or of what is below it, at most so many.
    pub(super) fn list(
        &self,
        now_ms: u64,
        name: &WireName,
        subtree: bool,
        count_max: usize,
    ) -> Vec<RrSet> {
        let around = name.suffixes().filter_map(|suffix| {
            let zone = self.zones.peek(suffix)?;
            WireName::parse(suffix).map(|apex| (apex, zone))
        });
        let mut listed = Vec::new();
        for (apex, zone) in around {
            let below = subtree.then_some(name);
            listed.extend(zone.list(now_ms, (&apex, name), below, count_max));
        }
        let inside = self
            .zones
            .iter()
            .filter(|(apex, _)| subtree && apex.is_below(name));
        for (apex, zone) in inside {
            listed.extend(zone.list(now_ms, (apex, apex), Some(name), count_max));
        }
        listed.truncate(count_max);
        listed
    }

    pub(super) fn zones(&self) -> usize {
        self.zones.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.zones.weight()
    }

    pub(super) fn insertions(&self) -> u64 {
        self.insertions
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions + self.zones.evictions()
    }
}
