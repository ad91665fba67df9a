//! Proofs by NSEC (RFC 4034 §4, RFC 4035 §5.4, RFC 6840 §4).

use std::cmp::Ordering;

use hickory_proto::rr::RecordType;

use super::super::name::WireName;
use super::super::rrset::RrSet;
use super::Fault;
use super::bitmap::Bitmap;
use super::canonical::compare_names;
use super::denial::{Cut, Proof, lacks};

/// One NSEC record of a zone.
#[derive(Debug)]
pub(in crate::iterate) struct Nsec<'a> {
    owner: &'a WireName,
    next: WireName,
    types: Bitmap<'a>,
}

impl<'a> Nsec<'a> {
    /// The only record of an NSEC RRset.
    pub(in crate::iterate) fn parse(set: &'a RrSet) -> Option<Self> {
        let rdata = set.content.data.iter().next()?;
        let next = WireName::parse(rdata)?;
        let types = Bitmap::new(rdata.get(next.as_bytes().len()..)?);
        Some(Self {
            owner: &set.owner,
            next,
            types,
        })
    }

    /// The next name of the zone.
    pub(in crate::iterate) fn next(&self) -> &WireName {
        &self.next
    }

    /// Whether it shows that no data has this name, of its own zone. What lies below a delegation or
    /// a DNAME is not for this NSEC to say (RFC 6840 §4.1 and §5.3).
    pub(in crate::iterate) fn covers(&self, name: &WireName) -> bool {
        let hidden = name.is_below(self.owner)
            && (self.types.is_delegation() || self.types.has(RecordType::DNAME));
        let order = |left: &WireName, right: &WireName| {
            compare_names(left.as_bytes(), right.as_bytes()) == Ordering::Less
        };
        let is_last = !order(self.owner, &self.next);
        !hidden && order(self.owner, name) && (is_last || order(name, &self.next))
    }

    /// Whether it shows that the name has data below it and none of its own.
    pub(in crate::iterate) fn shows_empty(&self, name: &WireName) -> bool {
        self.covers(name) && self.next.is_below(name)
    }

    /// The closest ancestor of a name that this NSEC, which covers it, shows to exist.
    pub(in crate::iterate) fn closest_encloser(&self, name: &WireName) -> WireName {
        let common = |other: &WireName| {
            name.suffixes()
                .find(|suffix| other.is_within_bytes(suffix))
                .map_or(1, <[u8]>::len)
        };
        let longest = common(self.owner).max(common(&self.next));
        name.suffixes()
            .find(|suffix| suffix.len() == longest)
            .and_then(WireName::parse)
            .unwrap_or_else(WireName::root)
    }
}

/// The NSEC records of one zone in one answer.
#[derive(Debug, Default)]
pub(super) struct Nsecs<'a>(pub(super) Vec<Nsec<'a>>);

impl Nsecs<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn at(&self, name: &WireName) -> Option<&Nsec<'_>> {
        self.0.iter().find(|nsec| nsec.owner == name)
    }

    fn covering(&self, name: &WireName) -> Option<&Nsec<'_>> {
        self.0.iter().find(|nsec| nsec.covers(name))
    }

    /// The name does not exist, and no wildcard would have made it.
    pub(super) fn no_name(&self, name: &WireName) -> Result<Proof, Fault> {
        let nsec = self.covering(name).ok_or(Fault::Unproven)?;
        if nsec.shows_empty(name) {
            return Err(Fault::Unproven);
        }
        let wildcard = nsec.closest_encloser(name).wildcard_below();
        let denied = wildcard.is_none_or(|wildcard| {
            self.covering(&wildcard)
                .is_some_and(|nsec| !nsec.shows_empty(&wildcard))
        });
        if denied {
            Ok(Proof::Secure)
        } else {
            Err(Fault::Unproven)
        }
    }

    /// The name, or the wildcard that makes it, has no data of this type.
    pub(super) fn no_data(&self, name: &WireName, rtype: RecordType) -> Result<Proof, Fault> {
        if let Some(nsec) = self.at(name) {
            return lacks(name, nsec.types, rtype);
        }
        let nsec = self.covering(name).ok_or(Fault::Unproven)?;
        if nsec.shows_empty(name) {
            return Ok(Proof::Secure);
        }
        let wildcard = nsec.closest_encloser(name).wildcard_below();
        let at = wildcard.and_then(|wildcard| self.at(&wildcard));
        lacks(name, at.ok_or(Fault::Unproven)?.types, rtype)
    }

    /// Nothing is closer to the name than the wildcard below its last `labels` labels.
    pub(super) fn no_closer(&self, name: &WireName, labels: usize) -> Result<Proof, Fault> {
        let nsec = self.covering(name).ok_or(Fault::Unproven)?;
        if nsec.closest_encloser(name).label_count() == labels {
            Ok(Proof::Secure)
        } else {
            Err(Fault::Unproven)
        }
    }

    /// What an answer without DS says of a cut at the name.
    pub(super) fn cut(&self, name: &WireName) -> Result<Cut, Fault> {
        match self.at(name) {
            Some(nsec) => Cut::of(nsec.types),
            None if self.covering(name).is_some() => Ok(Cut::None),
            None => Err(Fault::Unproven),
        }
    }
}
