//! What a reply means: answer, referral, denial or nonsense, and which of its records may be believed.
//!
//! A server is believed for names at or below the zone it was asked as a server of (its bailiwick),
//! and only for records that follow from the question; the rest is dropped unread.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::message::Trust;
use super::name::WireName;
use super::response::Response;
use super::rrset::{DNAME, RrSet};

/// Records of a proof (NSEC, NSEC3) that are kept beside an answer.
const PROOF_SETS_MAX: usize = 12;

/// What was asked, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    /// The zone that the server was asked for.
    pub(super) zone: WireName,
    pub(super) qname: WireName,
    pub(super) qtype: RecordType,
    /// Whether the server is a forwarder: its word on the whole chain is taken, without AA.
    pub(super) forward: bool,
    /// CD as it was sent; forwarders may then answer with what they found bogus.
    pub(super) checking_disabled: bool,
}

/// A reply understood.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) meaning: Meaning,
    /// NS RRset of a zone, from an authoritative answer: not needed now, good to know.
    pub(super) nameservers: Option<RrSet>,
    /// Addresses of name servers, inside the bailiwick.
    pub(super) glue: Vec<RrSet>,
}

#[derive(Debug)]
pub(super) enum Meaning {
    /// The question is answered, or a part of its chain of aliases is.
    Answer {
        aliases: Vec<Alias>,
        end: End,
        trust: Trust,
    },
    /// Servers of a zone further down know more. With them comes the DS RRset of that zone, or the
    /// NSEC or NSEC3 RRsets that deny it, if the zone above is signed (RFC 4035 §3.1.4).
    Referral { nameservers: RrSet, ds: Vec<RrSet> },
    /// The server does not serve the zone.
    Lame(&'static str),
    /// The server said so itself.
    Failure(ResponseCode),
}

impl Meaning {
    /// A word or two for people.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Answer {
                end: End::Data { .. },
                ..
            } => "answer",
            Self::Answer {
                end: End::NoData { .. },
                ..
            } => "no data",
            Self::Answer {
                end: End::NxDomain { .. },
                ..
            } => "no such name",
            Self::Answer { .. } => "alias",
            Self::Referral { .. } => "referral",
            Self::Lame(_) => "lame",
            Self::Failure(_) => "failure",
        }
    }
}

/// One step of a chain of aliases.
#[derive(Debug)]
pub(super) struct Alias {
    /// CNAME of the name, or DNAME of an ancestor.
    pub(super) set: RrSet,
    /// The CNAME that a DNAME implies for the name.
    pub(super) synthesised: Option<RrSet>,
    pub(super) target: WireName,
    /// If a wildcard stands in for the name, what proves that it may (RFC 4035 §3.1.3.3).
    pub(super) proof: Vec<RrSet>,
}

impl Alias {
    /// Whether it is itself what was asked for: the CNAME that a DNAME implies matches these types
    /// as any CNAME does, and is not followed (RFC 1034 §4.3.2 step 3a).
    pub(super) fn answers(&self, qtype: RecordType) -> bool {
        self.synthesised.is_some() && matches!(qtype, RecordType::CNAME | RecordType::ANY)
    }
}

/// How a chain of aliases ends in one reply.
#[derive(Debug)]
pub(super) enum End {
    /// Data of the type asked for (of every type for ANY), and the proof of a wildcard.
    Data { sets: Vec<RrSet>, proof: Vec<RrSet> },
    /// The last name exists, without data of this type.
    NoData { proof: Vec<RrSet> },
    /// The last name does not exist.
    NxDomain { proof: Vec<RrSet> },
    /// The reply says nothing about the last name that this server may say.
    Open,
    /// A DNAME makes the name longer than 255 bytes (YXDOMAIN, RFC 6672 §2.2).
    TooLong,
}

impl Reading {
    pub(super) fn new(response: &Response, view: &View, aliases_max: usize) -> Self {
        let meaning = match response.rcode {
            ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::YXDomain => {
                read_sections(response, view, aliases_max)
            }
            other => Meaning::Failure(other),
        };
        let nameservers = match &meaning {
            Meaning::Answer { .. } if response.authoritative && !view.forward => {
                own_nameservers(response, view)
            }
            _ => None,
        };
        let mut hosts: Vec<WireName> = nameservers.iter().flat_map(RrSet::targets).collect();
        match &meaning {
            Meaning::Referral { nameservers, .. } => hosts.extend(nameservers.targets()),
            Meaning::Answer {
                end: End::Data { sets, .. },
                ..
            } if view.qtype == RecordType::NS => {
                hosts.extend(sets.iter().flat_map(RrSet::targets));
            }
            _ => {}
        }
        hosts.sort_unstable();
        let is_glue = |set: &&RrSet| {
            set.rtype.is_ip_addr()
                && set.owner.is_within(&view.zone)
                && hosts.binary_search(&set.owner).is_ok()
        };
        let glue = response
            .additional
            .iter()
            .filter(is_glue)
            .cloned()
            .collect();
        Self {
            meaning,
            nameservers,
            glue,
        }
    }
}

fn read_sections(response: &Response, view: &View, aliases_max: usize) -> Meaning {
    let (aliases, last, ended) = follow_aliases(response, view, aliases_max);
    let trust = if response.authoritative && !view.forward {
        Trust::AuthoritativeAnswer
    } else {
        Trust::Answer
    };
    if let Some(end) = ended {
        return Meaning::Answer {
            aliases,
            end,
            trust,
        };
    }
    if aliases.is_empty() && response.rcode == ResponseCode::YXDomain {
        return Meaning::Failure(ResponseCode::YXDomain);
    }
    let soa = find_soa(response, view, &last);
    // DS lives above the cut (RFC 4035 §3.1.4.1): its denial by the zone below says nothing of it.
    let is_child = |soa: &RrSet| soa.owner == last && !last.is_root();
    if view.qtype == RecordType::DS && !view.forward && soa.as_ref().is_some_and(is_child) {
        if aliases.is_empty() {
            return Meaning::Lame("DS denied by the zone itself");
        }
        return Meaning::Answer {
            aliases,
            end: End::Open,
            trust,
        };
    }
    if response.rcode == ResponseCode::NXDomain {
        // RFC 6604 §3: with aliases, the code speaks of the last name.
        if soa.is_none() && !response.authoritative && !view.forward {
            return Meaning::Lame("NXDOMAIN without authority");
        }
        let end = End::NxDomain {
            proof: proof(response, view, soa),
        };
        return Meaning::Answer {
            aliases,
            end,
            trust,
        };
    }
    if soa.is_some() {
        let end = End::NoData {
            proof: proof(response, view, soa),
        };
        return Meaning::Answer {
            aliases,
            end,
            trust,
        };
    }
    if !aliases.is_empty() {
        return Meaning::Answer {
            aliases,
            end: End::Open,
            trust,
        };
    }
    read_empty(response, view, trust)
}

/// A reply without answer and without SOA: a referral, a denial without SOA (RFC 2308 §2.2), or lame.
fn read_empty(response: &Response, view: &View, trust: Trust) -> Meaning {
    let no_data = || Meaning::Answer {
        aliases: Vec::new(),
        end: End::NoData { proof: Vec::new() },
        trust,
    };
    if view.forward {
        let referral = response
            .authority
            .iter()
            .any(|set| set.rtype == RecordType::NS);
        let recursive = response.recursion_available || !referral;
        return if recursive {
            no_data()
        } else {
            Meaning::Lame("no recursion")
        };
    }
    let is_cut = |set: &&RrSet| {
        set.rtype == RecordType::NS
            && view.qname.is_within(&set.owner)
            && set.owner.is_below(&view.zone)
            // DS lives above the cut, so that the servers below are the wrong ones (RFC 4035 §3.1.4.1).
            && !(view.qtype == RecordType::DS && set.owner == view.qname)
    };
    let cut = response
        .authority
        .iter()
        .filter(is_cut)
        .max_by_key(|set| set.owner.as_bytes().len());
    match cut {
        Some(nameservers) => Meaning::Referral {
            nameservers: nameservers.clone(),
            ds: delegation_signer(response, view, &nameservers.owner),
        },
        None if response.authoritative => no_data(),
        None if response
            .authority
            .iter()
            .any(|set| set.rtype == RecordType::NS) =>
        {
            Meaning::Lame("referral that leads nowhere")
        }
        None => Meaning::Lame("empty reply without authority"),
    }
}

/// Follows CNAME and DNAME through the answer section for as long as names stay in the bailiwick.
/// Gives the aliases, the last name, and how it ended, if the answer section decides that.
fn follow_aliases(
    response: &Response,
    view: &View,
    aliases_max: usize,
) -> (Vec<Alias>, WireName, Option<End>) {
    let mut aliases: Vec<Alias> = Vec::new();
    let mut last = view.qname.clone();
    loop {
        if !last.is_within(&view.zone) {
            return (aliases, last, Some(End::Open));
        }
        // Nothing stands below a DNAME but what it implies (RFC 6672 §2.4).
        let dname = find_dname(response, view, &last);
        let sets: Vec<RrSet> = response
            .answers
            .iter()
            .filter(|set| dname.is_none() && answers(set, &last, view.qtype))
            .cloned()
            .collect();
        if !sets.is_empty() {
            // What proves the wildcard of an alias before says nothing of these.
            let proof = if sets.iter().any(RrSet::is_expanded) {
                proof(response, view, None)
            } else {
                Vec::new()
            };
            let end = End::Data { sets, proof };
            return (aliases, last, Some(end));
        }
        let Some(alias) = dname.or_else(|| find_cname(response, view, &last).map(Ok)) else {
            return (aliases, last, None);
        };
        // The caller counts aliases over all replies and finds loops; here is only a bound.
        if aliases.len() == aliases_max {
            return (aliases, last, Some(End::Open));
        }
        match alias {
            Ok(alias) => {
                last = alias.target.clone();
                aliases.push(alias);
            }
            Err(too_long) => {
                aliases.push(too_long);
                return (aliases, last, Some(End::TooLong));
            }
        }
    }
}

fn answers(set: &RrSet, name: &WireName, qtype: RecordType) -> bool {
    set.owner == *name && (set.rtype == qtype || qtype == RecordType::ANY)
}

/// The DNAME above a name, applied; the error is one that makes it too long.
fn find_dname(response: &Response, view: &View, name: &WireName) -> Option<Result<Alias, Alias>> {
    let above = |set: &&RrSet| {
        set.rtype == DNAME && name.is_below(&set.owner) && set.owner.is_within(&view.zone)
    };
    let set = response.answers.iter().find(above)?;
    Some(substitute(name, set.clone()))
}

/// The CNAME of a name.
fn find_cname(response: &Response, view: &View, name: &WireName) -> Option<Alias> {
    let set = response
        .answers
        .iter()
        .find(|set| set.rtype == RecordType::CNAME && set.owner == *name)?;
    let target = set.targets().next()?;
    let proof = if set.is_expanded() {
        proof(response, view, None)
    } else {
        Vec::new()
    };
    Some(Alias {
        set: set.clone(),
        synthesised: None,
        target,
        proof,
    })
}

/// Applies a DNAME of an ancestor; the error is the same DNAME if the name becomes too long.
pub(super) fn substitute(name: &WireName, dname: RrSet) -> Result<Alias, Alias> {
    let target = dname
        .targets()
        .next()
        .and_then(|target| name.substitute(&dname.owner, &target));
    let ttl_secs = dname.ttl_secs;
    match target {
        Some(target) => {
            let synthesised = Some(RrSet::synthesise_cname(name.clone(), &target, ttl_secs));
            Ok(Alias {
                set: dname,
                synthesised,
                target,
                proof: Vec::new(),
            })
        }
        None => Err(Alias {
            set: dname,
            synthesised: None,
            target: name.clone(),
            proof: Vec::new(),
        }),
    }
}

/// The SOA that denies `name`: of its zone, inside the bailiwick.
fn find_soa(response: &Response, view: &View, name: &WireName) -> Option<RrSet> {
    let denies = |set: &&RrSet| {
        set.rtype == RecordType::SOA
            && name.is_within(&set.owner)
            && set.owner.is_within(&view.zone)
    };
    response.authority.iter().find(denies).cloned()
}

/// SOA, NSEC and NSEC3 of the authority section.
fn proof(response: &Response, view: &View, soa: Option<RrSet>) -> Vec<RrSet> {
    let proves = |set: &&RrSet| {
        matches!(set.rtype, RecordType::NSEC | RecordType::NSEC3) && set.owner.is_within(&view.zone)
    };
    let denials = response
        .authority
        .iter()
        .filter(proves)
        .take(PROOF_SETS_MAX)
        .cloned();
    soa.into_iter().chain(denials).collect()
}

/// What a referral says of the DS of the zone that it leads to.
fn delegation_signer(response: &Response, view: &View, zone: &WireName) -> Vec<RrSet> {
    let is_ds = |set: &&RrSet| set.rtype == RecordType::DS && set.owner == *zone;
    match response.authority.iter().find(is_ds) {
        Some(set) => vec![set.clone()],
        None => proof(response, view, None),
    }
}

/// NS of a zone between the one asked and the name, as the zone itself states it.
fn own_nameservers(response: &Response, view: &View) -> Option<RrSet> {
    let own = |set: &&RrSet| {
        set.rtype == RecordType::NS
            && view.qname.is_within(&set.owner)
            && set.owner.is_within(&view.zone)
    };
    response.authority.iter().find(own).cloned()
}
