//! Carries an [`Update`] out on [`ZoneContents`]: RFC 2136 §3, all or nothing, at a cost of what it touches.
//!
//! Where the RFC leaves room, BIND is followed: a record that comes gives its TTL to its whole set; a CNAME that would stand beside
//! other records, or they beside it, is passed over (§3.4.2.2); serial 0 is left out. An update that in the end changes nothing
//! leaves the serial alone. A zone that is signed elsewhere (it has an RRSIG at its apex) takes no update, and no zone takes
//! signatures or denials by update: half-signed zones are worse than either kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::contents::{ZoneContents, append, soa_serial, with_serial};
use super::fitness::{Unfit, check_owner, has_place, is_signers, is_single};
use super::receive::{Delta, is_newer, serial_of};
use super::record_set::RecordSet;
use super::types::rtype;
use super::update::{Prerequisite, Step, Update, UpdateError};

/// A set that is another now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetChange {
    /// Owner in wire form, lower-case.
    pub owner: Arc<[u8]>,
    /// Number of the type.
    pub rtype: u16,
    /// `None` if there was none.
    pub before: Option<RecordSet>,
    /// `None` if there is none any more.
    pub after: Option<RecordSet>,
}

/// What an update has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Serial before.
    pub from: u32,
    /// Serial after: the same if nothing has changed.
    pub to: u32,
    /// Every set that differs, ordered by owner and type.
    pub changes: Vec<SetChange>,
}

impl Applied {
    /// Whether anything is different now.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The step from the version before to the one after, as an IXFR has it: SOA records first (RFC 1995 §4).
    #[must_use]
    pub fn delta(&self) -> Delta {
        let mut delta = Delta {
            from: self.from,
            to: self.to,
            ..Delta::default()
        };
        let is_soa = |change: &&SetChange| change.rtype == rtype::SOA;
        let soa = self.changes.iter().filter(is_soa);
        let others = self.changes.iter().filter(|change| !is_soa(change));
        for change in soa.chain(others) {
            let (before, after) = (change.before.as_ref(), change.after.as_ref());
            for (from, other, records) in [
                (before, after, &mut delta.deleted),
                (after, before, &mut delta.added),
            ] {
                if let Some(set) = from.and_then(|set| set.without(other)) {
                    append(records, &change.owner, change.rtype, &set);
                }
            }
        }
        delta
    }
}

impl ZoneContents {
    /// Carries an update out, or changes nothing.
    ///
    /// # Errors
    /// A prerequisite that is not met, or why the zone cannot be changed so.
    pub fn apply(&mut self, update: &Update) -> Result<Applied, UpdateError> {
        if update.zone() != self.apex() {
            return Err(UpdateError::NotAuthoritative);
        }
        for prerequisite in update.prerequisites() {
            self.check_prerequisite(prerequisite)?;
        }
        if self.is_signed() {
            return Err(Unfit::Signed.into());
        }
        let brings_signers =
            |step: &Step| matches!(step, Step::Add { rtype, .. } if is_signers(*rtype));
        if update.steps().iter().any(brings_signers) {
            return Err(Unfit::SignersType.into());
        }
        let mut change = Change::new(self);
        for step in update.steps() {
            change.step(step);
        }
        change.finish()
    }

    /// Takes over all records of `next`, whose serial becomes newer than ours if it is not.
    ///
    /// # Errors
    /// `next` is another zone.
    pub fn replace(&mut self, next: &Self) -> Result<Applied, UpdateError> {
        if next.apex() != self.apex() {
            return Err(UpdateError::NotAuthoritative);
        }
        let keys = |contents: &Self| -> Vec<(Arc<[u8]>, u16)> {
            let owners = contents.owners().iter();
            let keys = owners.flat_map(|(owner, sets)| {
                sets.iter().map(|(rtype, _)| (Arc::clone(owner), *rtype))
            });
            keys.collect()
        };
        let (serial, gone) = (self.serial(), keys(self));
        let mut change = Change::new(self);
        for (owner, rtype) in gone {
            if next.set(&owner, rtype).is_none() {
                change.put(&owner, rtype, None);
            }
        }
        for (owner, rtype) in keys(next) {
            let set = next.set(&owner, rtype);
            if set != change.contents.set(&owner, rtype) {
                change.put(&owner, rtype, set.cloned());
            }
        }
        // Another SOA record with an old serial still has to get a newer one.
        if !change.before.is_empty() && !is_newer(change.contents.serial(), serial) {
            change.set_serial(serial);
        }
        change.finish()
    }

    fn check_prerequisite(&self, prerequisite: &Prerequisite) -> Result<(), UpdateError> {
        let in_use = |owner: &[u8]| !self.sets_of(owner).is_empty();
        let exists = |owner: &[u8], rtype| self.set(owner, rtype).is_some();
        let (is_met, error) = match prerequisite {
            Prerequisite::NameInUse(owner) => (in_use(owner), UpdateError::NameAbsent),
            Prerequisite::NameNotInUse(owner) => (!in_use(owner), UpdateError::NamePresent),
            Prerequisite::SetExists(owner, rtype) => {
                (exists(owner, *rtype), UpdateError::SetAbsent)
            }
            Prerequisite::SetAbsent(owner, rtype) => {
                (!exists(owner, *rtype), UpdateError::SetPresent)
            }
            Prerequisite::SetEquals(owner, rtype, wanted) => {
                let set = self.set(owner, *rtype);
                let is_equal = set.is_some_and(|set| set.as_bytes() == wanted.as_bytes());
                (is_equal, UpdateError::SetAbsent)
            }
        };
        if is_met { Ok(()) } else { Err(error) }
    }
}

/// What was at each place that was touched, to tell what changed, or to go back.
type Before = BTreeMap<(Arc<[u8]>, u16), Option<RecordSet>>;

/// A change on its way.
struct Change<'c> {
    contents: &'c mut ZoneContents,
    before: Before,
}

impl<'c> Change<'c> {
    fn new(contents: &'c mut ZoneContents) -> Self {
        Self {
            contents,
            before: Before::new(),
        }
    }

    fn put(&mut self, owner: &Arc<[u8]>, rtype: u16, after: Option<RecordSet>) {
        let before = self.contents.put(owner, rtype, after);
        self.before
            .entry((Arc::clone(owner), rtype))
            .or_insert(before);
    }

    /// RFC 2136 §3.4.2.
    fn step(&mut self, step: &Step) {
        match step {
            Step::Add {
                owner,
                rtype,
                ttl,
                data,
            } => self.add(owner, *rtype, *ttl, data),
            Step::DeleteRecord { owner, rtype, data } => self.delete_record(owner, *rtype, data),
            Step::DeleteSet { owner, rtype } => self.delete_set(owner, *rtype),
            Step::DeleteName { owner } => {
                let sets = self.contents.sets_of(owner);
                let types: Vec<u16> = sets.iter().map(|(rtype, _)| *rtype).collect();
                types
                    .into_iter()
                    .for_each(|rtype| self.delete_set(owner, rtype));
            }
        }
    }

    /// RFC 2136 §3.4.2.2.
    fn add(&mut self, owner: &Arc<[u8]>, rtype: u16, ttl: u32, data: &[u8]) {
        let contents = &*self.contents;
        let own = contents.set(owner, rtype);
        let others = contents.sets_of(owner);
        let after = match rtype {
            rtype::SOA => {
                let serials = (serial_of(data), own.and_then(soa_serial));
                if !matches!(serials, (Some(new), Some(old)) if is_newer(new, old)) {
                    return;
                }
                RecordSet::from_sorted(ttl, [data])
            }
            rtype::CNAME if !others.iter().all(|(rtype, _)| has_place(*rtype)) => return,
            _ if !has_place(rtype) && contents.set(owner, rtype::CNAME).is_some() => return,
            _ if is_single(rtype) => RecordSet::from_sorted(ttl, [data]),
            // One record for an address and protocol.
            rtype::WKS => {
                let is_other = |own: &[u8]| own.get(..5) != data.get(..5);
                let kept = own.and_then(|set| set.retain(is_other));
                with(kept.as_ref(), ttl, data)
            }
            _ => with(own, ttl, data),
        };
        if own != Some(&after) {
            self.put(owner, rtype, Some(after));
        }
    }

    /// RFC 2136 §3.4.2.4: never the SOA record, never the last name server.
    fn delete_record(&mut self, owner: &Arc<[u8]>, rtype: u16, data: &[u8]) {
        let Some(set) = self.contents.set(owner, rtype) else {
            return;
        };
        if rtype == rtype::SOA || !set.contains(data) {
            return;
        }
        let after = set.retain(|own| own != data);
        if after.is_none() && rtype == rtype::NS && **owner == *self.contents.apex() {
            return;
        }
        self.put(owner, rtype, after);
    }

    /// RFC 2136 §3.4.2.3: SOA and NS at the apex stay.
    fn delete_set(&mut self, owner: &Arc<[u8]>, rtype: u16) {
        let stays = matches!(rtype, rtype::SOA | rtype::NS) && **owner == *self.contents.apex();
        if !stays && self.contents.set(owner, rtype).is_some() {
            self.put(owner, rtype, None);
        }
    }

    /// Gives the zone the next serial behind `from`. 0 is left out, as some take it for none.
    fn set_serial(&mut self, from: u32) {
        let apex: Arc<[u8]> = self.contents.apex().into();
        let next = from.wrapping_add(1).max(1);
        let soa = self.contents.set(&apex, rtype::SOA);
        let after = soa.map(|soa| with_serial(soa, next));
        self.put(&apex, rtype::SOA, after);
    }

    fn finish(mut self) -> Result<Applied, UpdateError> {
        if let Err(unfit) = self.check() {
            self.go_back();
            return Err(unfit.into());
        }
        let is_same = |contents: &ZoneContents, place: &(Arc<[u8]>, u16), before: &Option<_>| {
            contents.set(&place.0, place.1) == before.as_ref()
        };
        let contents = &*self.contents;
        self.before
            .retain(|place, before| !is_same(contents, place, before));
        let soa = (Arc::from(contents.apex()), rtype::SOA);
        let old_soa = self.before.get(&soa).and_then(Option::as_ref);
        let from = old_soa.and_then(soa_serial).unwrap_or(contents.serial());
        if !self.before.is_empty() && from == contents.serial() {
            self.set_serial(from);
        }
        let contents = self.contents;
        let changes = self.before.into_iter().map(|((owner, rtype), before)| {
            let after = contents.set(&owner, rtype).cloned();
            SetChange {
                owner,
                rtype,
                before,
                after,
            }
        });
        Ok(Applied {
            from,
            changes: changes.collect(),
            to: contents.serial(),
        })
    }

    /// Holds every owner that was touched to what [`super::Zone::build`] asks.
    fn check(&self) -> Result<(), Unfit> {
        let mut last: Option<&[u8]> = None;
        for (owner, _) in self.before.keys() {
            if last != Some(owner) {
                check_owner(self.contents.apex(), owner, self.contents.sets_of(owner))?;
            }
            last = Some(owner);
        }
        self.contents.check_size()
    }

    fn go_back(self) {
        for ((owner, rtype), before) in self.before {
            self.contents.put(&owner, rtype, before);
        }
    }
}

fn with(set: Option<&RecordSet>, ttl: u32, data: &[u8]) -> RecordSet {
    match set {
        Some(set) => set.with_ttl(ttl).with(data),
        None => RecordSet::from_sorted(ttl, [data]),
    }
}
