//! [`ZoneContents`]: all records of one zone in the form that nodes agree on: ordered, cheap to change, cheap to clone.
//!
//! Made from a [`Zone`], turned into [`Records`] to build the next one. Updates are applied in `apply.rs`, bytes are written and
//! read in `snapshot.rs`. Equal contents have equal bytes, however they came about.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::data::{EncodedRecords, RECORD_HEADER_BYTES, Zone};
use super::error::{Note, ZoneError};
use super::fitness::Unfit;
use super::receive::serial_of;
use super::record_set::RecordSet;
use super::records::{Records, Source};
use super::types::rtype;

/// Most bytes of names and data, so that a zone has room in its built form and in a snapshot.
pub const CONTENTS_BYTES_MAX: usize = 1 << 30;

/// A set of records of one owner by type.
pub(super) type Sets = Arc<Vec<(u16, RecordSet)>>;

/// All records of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneContents {
    apex: Arc<[u8]>,
    owners: BTreeMap<Arc<[u8]>, Sets>,
    records_count: usize,
    bytes: usize,
}

impl ZoneContents {
    /// Contents without records, to be filled.
    pub(super) fn empty(apex: &[u8]) -> Self {
        Self {
            apex: apex.into(),
            owners: BTreeMap::new(),
            records_count: 0,
            bytes: 0,
        }
    }

    /// What a zone holds.
    #[must_use]
    pub fn from_zone(zone: &Zone) -> Self {
        let mut contents = Self::empty(zone.apex());
        for node in &zone.tree.nodes {
            let owner = super::tree::node_name(node, &zone.bytes);
            let mut signatures = Vec::new();
            for rrset in zone.rrsets_of(node) {
                let data = data_of(zone.span(rrset.records));
                if rrset.records_count > 0 {
                    let set = RecordSet::from_sorted(rrset.ttl, data);
                    contents.put(owner, rrset.rtype, Some(set));
                }
                signatures.extend(data_of(zone.span(rrset.signatures)));
                contents.put_signatures(owner, rrset.ttl, &mut signatures);
            }
        }
        for entry in zone.nsec3.iter().chain(&*zone.nsec3_other) {
            let (owner, rrset) = (zone.span(entry.name), &entry.rrset);
            let set = RecordSet::from_sorted(rrset.ttl, data_of(zone.span(rrset.records)));
            contents.put(owner, rtype::NSEC3, Some(set));
            let mut signatures = data_of(zone.span(rrset.signatures)).collect();
            contents.put_signatures(owner, rrset.ttl, &mut signatures);
        }
        contents
    }

    fn put_signatures(&mut self, owner: &[u8], ttl: u32, signatures: &mut Vec<&[u8]>) {
        for data in signatures.drain(..) {
            let before = self.set(owner, rtype::RRSIG);
            let after = match before {
                Some(set) => set.with_ttl(set.ttl().min(ttl)).with(data),
                None => RecordSet::from_sorted(ttl, [data]),
            };
            self.put(owner, rtype::RRSIG, Some(after));
        }
    }

    /// All records, by owner and type, to build a zone from or to write a file.
    #[must_use]
    pub fn to_records(&self) -> Records {
        let mut records = Records::new();
        for (owner, rtype, set) in self.sets() {
            append(&mut records, owner, rtype, set);
        }
        records
    }

    /// The form in which it is served.
    ///
    /// # Errors
    /// What makes it unfit; nothing that came by [`Self::from_zone`], [`Self::decode`] and [`Self::apply`], unless it is signed
    /// and its chain of denials is broken.
    pub fn build(&self) -> Result<(Zone, Vec<Note>), ZoneError> {
        Zone::build(&self.apex, &self.to_records())
    }

    /// Name of the zone in wire form, lower-case.
    #[must_use]
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// Serial number of the SOA record.
    #[must_use]
    pub fn serial(&self) -> u32 {
        let soa = self.set(&self.apex, rtype::SOA);
        soa.and_then(soa_serial).unwrap_or(0)
    }

    /// Whether it is signed elsewhere: then nothing but its signer can change it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.set(&self.apex, rtype::RRSIG).is_some()
    }

    /// Number of records.
    #[must_use]
    pub fn records_count(&self) -> usize {
        self.records_count
    }

    /// Bytes of names and data, about what a snapshot takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records of an owner (wire form, lower-case) and type.
    #[must_use]
    pub fn set(&self, owner: &[u8], rtype: u16) -> Option<&RecordSet> {
        let sets = self.owners.get(owner)?;
        find(sets, rtype)
            .ok()
            .and_then(|index| sets.get(index))
            .map(|(_, set)| set)
    }

    /// Every set with owner and type, ordered by both.
    pub fn sets(&self) -> impl Iterator<Item = (&[u8], u16, &RecordSet)> {
        self.owners
            .iter()
            .flat_map(|(owner, sets)| sets.iter().map(move |(rtype, set)| (&**owner, *rtype, set)))
    }

    /// All sets of an owner, ordered by type.
    pub(super) fn sets_of(&self, owner: &[u8]) -> &[(u16, RecordSet)] {
        self.owners.get(owner).map_or(&[], |sets| sets)
    }

    pub(super) fn owners(&self) -> &BTreeMap<Arc<[u8]>, Sets> {
        &self.owners
    }

    /// Replaces a set, or takes it away; gives what was there.
    pub(super) fn put(
        &mut self,
        owner: &[u8],
        rtype: u16,
        after: Option<RecordSet>,
    ) -> Option<RecordSet> {
        if !self.owners.contains_key(owner) {
            after.as_ref()?;
            self.owners.insert(owner.into(), Arc::default());
        }
        self.count(owner, after.as_ref(), true);
        let sets = Arc::make_mut(self.owners.get_mut(owner)?);
        let before = match (find(sets, rtype), after) {
            (Ok(index), Some(after)) => sets
                .get_mut(index)
                .map(|(_, set)| std::mem::replace(set, after)),
            (Ok(index), None) => Some(sets.remove(index).1),
            (Err(index), Some(after)) => {
                sets.insert(index, (rtype, after));
                None
            }
            (Err(_), None) => None,
        };
        if sets.is_empty() {
            self.owners.remove(owner);
        }
        self.count(owner, before.as_ref(), false);
        before
    }

    fn count(&mut self, owner: &[u8], set: Option<&RecordSet>, comes: bool) {
        let Some(set) = set else { return };
        let bytes = owner.len() + SET_BYTES + set.as_bytes().len();
        if comes {
            self.records_count += set.len();
            self.bytes += bytes;
        } else {
            self.records_count -= set.len();
            self.bytes -= bytes;
        }
    }

    /// Whether there is still room.
    pub(super) fn check_size(&self) -> Result<(), Unfit> {
        match self.bytes > CONTENTS_BYTES_MAX {
            true => Err(Unfit::ZoneBytes),
            false => Ok(()),
        }
    }
}

/// Type, TTL and length of a set.
const SET_BYTES: usize = 10;

/// Where a type stands, or belongs.
pub(super) fn find(sets: &[(u16, RecordSet)], rtype: u16) -> Result<usize, usize> {
    sets.binary_search_by_key(&rtype, |(rtype, _)| *rtype)
}

/// Adds a set to records.
pub(super) fn append(records: &mut Records, owner: &[u8], rtype: u16, set: &RecordSet) {
    let source = Source {
        file_index: 0,
        line: 0,
        column: 0,
    };
    for data in set.iter() {
        records.append(owner, rtype, set.ttl(), data, source);
    }
}

/// The serial of a set of one SOA record.
pub(super) fn soa_serial(set: &RecordSet) -> Option<u32> {
    set.iter().next().and_then(serial_of)
}

/// The same SOA record with another serial.
pub(super) fn with_serial(set: &RecordSet, serial: u32) -> RecordSet {
    let mut data = set.iter().next().unwrap_or_default().to_vec();
    if let Some(numbers) = data.last_chunk_mut::<20>() {
        numbers[..4].copy_from_slice(&serial.to_be_bytes());
    }
    RecordSet::from_sorted(set.ttl(), [&*data])
}

fn data_of(encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    EncodedRecords(encoded).filter_map(|record| record.get(RECORD_HEADER_BYTES..))
}
