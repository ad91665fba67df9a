//! Whether an answer's NSEC or NSEC3 records prove what it denies.

use hickory_proto::rr::RecordType;

use super::super::name::WireName;
use super::super::rrset::RrSet;
use super::bitmap::Bitmap;
use super::nsec::{Nsec, Nsecs};
use super::nsec3::{Nsec3, Nsec3s};
use super::{Effort, Fault};

/// What an answer denies.
#[derive(Clone, Copy, Debug)]
pub(in crate::iterate) enum Denial<'a> {
    /// NXDOMAIN.
    Name(&'a WireName),
    /// NODATA.
    Type(&'a WireName, RecordType),
    /// That anything is closer to the name than the wildcard below its last so many labels.
    Closer(&'a WireName, usize),
}

/// How far a denial is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::iterate) enum Proof {
    /// The zone leaves it open: by opt-out, or by more iterations than are done for it.
    Insecure,
    /// Proven.
    Secure,
}

impl Proof {
    pub(super) fn unless_opt_out(opt_out: bool) -> Self {
        if opt_out {
            Self::Insecure
        } else {
            Self::Secure
        }
    }
}

/// What an answer without DS says of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::iterate) enum Cut {
    /// No zone begins here.
    None,
    /// A zone may begin here, and it is not signed.
    Unsigned,
    /// A zone may begin here, and to tell whether it is signed costs too many NSEC3 iterations; it
    /// counts as not signed (RFC 9276 §3.2).
    TooCostly,
}

impl Cut {
    /// By the types at the name itself. The child's own record says nothing of its parent's DS.
    pub(super) fn of(types: Bitmap<'_>) -> Result<Self, Fault> {
        if types.has(RecordType::DS) || types.has(RecordType::SOA) {
            Err(Fault::Unproven)
        } else if types.has(RecordType::NS) {
            Ok(Self::Unsigned)
        } else {
            Ok(Self::None)
        }
    }
}

/// Whether the record at a name denies a type there (RFC 4035 §5.4, RFC 6840 §4.3 for CNAME). At a
/// cut the parent's record speaks of DS alone, and the child's of everything else. The root has no
/// parent.
pub(super) fn lacks(name: &WireName, types: Bitmap<'_>, rtype: RecordType) -> Result<Proof, Fault> {
    let of_this_side = if rtype == RecordType::DS {
        !types.has(RecordType::SOA) || name.is_root()
    } else {
        !types.is_delegation()
    };
    if of_this_side && !types.has(rtype) && !types.has(RecordType::CNAME) {
        Ok(Proof::Secure)
    } else {
        Err(Fault::Unproven)
    }
}

/// The NSEC and NSEC3 records of one answer whose signatures by `zone` hold.
#[derive(Debug)]
pub(in crate::iterate) struct SignedDenials<'a> {
    zone: &'a WireName,
    nsecs: Nsecs<'a>,
    nsec3s: Nsec3s<'a>,
}

impl<'a> SignedDenials<'a> {
    /// Of these RRsets, which the caller has verified.
    pub(in crate::iterate) fn new(zone: &'a WireName, sets: &[&'a RrSet]) -> Self {
        let of_type = |rtype| sets.iter().copied().filter(move |set| set.rtype == rtype);
        let nsecs = of_type(RecordType::NSEC).filter_map(Nsec::parse).collect();
        let nsec3s = of_type(RecordType::NSEC3).filter_map(|set| Nsec3::parse(zone, set));
        Self {
            zone,
            nsecs: Nsecs(nsecs),
            nsec3s: Nsec3s::new(nsec3s.collect()),
        }
    }

    /// Proves a denial, or says why it does not hold.
    pub(in crate::iterate) fn prove(
        &self,
        denial: Denial<'_>,
        effort: &mut Effort,
    ) -> Result<Proof, Fault> {
        if !self.nsecs.is_empty() {
            return match denial {
                Denial::Name(name) => self.nsecs.no_name(name),
                Denial::Type(name, rtype) => self.nsecs.no_data(name, rtype),
                Denial::Closer(name, labels) => self.nsecs.no_closer(name, labels),
            };
        }
        if self.nsec3s.is_empty() {
            return Err(Fault::Unproven);
        }
        if self.nsec3s.is_too_costly() {
            return Ok(Proof::Insecure);
        }
        match denial {
            Denial::Name(name) => self.nsec3s.no_name(self.zone, name, effort),
            Denial::Type(name, rtype) => self.nsec3s.no_data(self.zone, name, rtype, effort),
            Denial::Closer(name, labels) => self.nsec3s.no_closer(name, labels, effort),
        }
    }

    /// What the absence of DS at `name` means.
    pub(in crate::iterate) fn cut(
        &self,
        name: &WireName,
        effort: &mut Effort,
    ) -> Result<Cut, Fault> {
        if !self.nsecs.is_empty() {
            return self.nsecs.cut(name);
        }
        if self.nsec3s.is_empty() {
            return Err(Fault::Unproven);
        }
        if self.nsec3s.is_too_costly() {
            return Ok(Cut::TooCostly);
        }
        self.nsec3s.cut(self.zone, name, effort)
    }
}
