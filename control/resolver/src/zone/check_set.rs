//! Checks of the records that one owner has, made while a zone is built.

use super::build::Builder;
use super::error::{Problem, Remark, ZoneError, show};
use super::nsec3::NSEC3_ITERATIONS_MAX;
use super::tree::NodeFlags;
use super::types::{rtype, type_to_text};

/// Data of a record, and the record's index for errors.
pub(super) type Item<'r> = (&'r [u8], usize);

/// Records of one owner and type in canonical order, and the signatures over them.
#[derive(Debug)]
pub(super) struct Group<'r> {
    pub(super) rtype: u16,
    /// Of the set and of its signatures (RFC 4034 §3).
    pub(super) ttl: u32,
    pub(super) records: Vec<Item<'r>>,
    pub(super) signatures: Vec<Item<'r>>,
}

impl Group<'_> {
    pub(super) fn new(rtype: u16) -> Self {
        Self {
            rtype,
            ttl: 0,
            records: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// The record that stands first in the file.
    pub(super) fn first_index(&self) -> usize {
        let list = if self.records.is_empty() {
            &self.signatures
        } else {
            &self.records
        };
        list.iter().map(|&(_, index)| index).min().unwrap_or(0)
    }

    /// The record that is one too many where one is allowed: the second in the file.
    fn second_index(&self) -> usize {
        let mut indices: Vec<usize> = self.records.iter().map(|&(_, index)| index).collect();
        indices.sort_unstable();
        indices.get(1).copied().unwrap_or(0)
    }

    /// Takes the least TTL for the whole set (RFC 2181 §5.2) and notes when there were several.
    pub(super) fn settle_ttl(&mut self, builder: &mut Builder<'_>) {
        let list = if self.records.is_empty() {
            &self.signatures
        } else {
            &self.records
        };
        let ttls = list
            .iter()
            .filter_map(|&(_, index)| builder.records.get(index))
            .map(|record| (record.ttl, record));
        let Some((seconds, _)) = ttls.clone().min_by_key(|&(ttl, _)| ttl) else {
            return;
        };
        self.ttl = seconds;
        if let Some((other_seconds, record)) = ttls.max_by_key(|&(ttl, _)| ttl)
            && other_seconds != seconds
            && !self.records.is_empty()
        {
            let (owner, rtype) = (show(record.owner), type_to_text(self.rtype));
            let remark = Remark::TtlDiffers {
                owner,
                rtype,
                seconds,
                other_seconds,
            };
            builder.notes.push(builder.records.place(&record), remark);
        }
    }
}

/// Checks the sets of one owner against each other. The owner's node has just been added.
pub(super) fn check_owner(
    builder: &mut Builder<'_>,
    owner: &[u8],
    groups: &[Group<'_>],
) -> Result<(), ZoneError> {
    for group in groups {
        check_group(builder, owner, group, groups)?;
        if group.records.is_empty() {
            let (owner, rtype) = (show(owner), type_to_text(group.rtype));
            builder.notes.push(
                builder.place(group.first_index()),
                Remark::SignatureAlone { owner, rtype },
            );
        }
    }
    note_hidden(builder, owner, groups);
    Ok(())
}

fn check_group(
    builder: &Builder<'_>,
    owner: &[u8],
    group: &Group<'_>,
    groups: &[Group<'_>],
) -> Result<(), ZoneError> {
    if group.records.is_empty() {
        return Ok(());
    }
    let fault = match group.rtype {
        rtype::SOA => soa_fault(builder.apex, owner, group),
        rtype::CNAME => cname_fault(owner, group, groups),
        rtype::DNAME | rtype::NS if owner.starts_with(b"\x01*") => {
            let rtype = if group.rtype == rtype::NS {
                "NS"
            } else {
                "DNAME"
            };
            let owner = show(owner);
            Some((
                group.first_index(),
                Problem::WildcardDelegation { rtype, owner },
            ))
        }
        rtype::DNAME => dname_fault(owner, group, groups, owner == builder.apex),
        rtype::NSEC3 | rtype::NSEC3PARAM => nsec3_fault(group),
        _ => None,
    };
    match fault {
        None => Ok(()),
        Some((index, problem)) => Err(ZoneError {
            place: builder.place(index),
            problem,
        }),
    }
}

/// A problem, and the record that it is about.
type GroupFault = Option<(usize, Problem)>;

fn soa_fault(apex: &[u8], owner: &[u8], group: &Group<'_>) -> GroupFault {
    if owner != apex {
        let (owner, apex) = (show(owner), show(apex));
        return Some((group.first_index(), Problem::SoaBelowApex { owner, apex }));
    }
    (group.records.len() > 1).then(|| (group.second_index(), Problem::SoaDuplicate))
}

fn cname_fault(owner: &[u8], group: &Group<'_>, groups: &[Group<'_>]) -> GroupFault {
    let excludes =
        |other: &&Group<'_>| !other.records.is_empty() && !may_stand_beside_cname(other.rtype);
    if let Some(other) = groups.iter().find(excludes) {
        let problem = Problem::CnameNotAlone {
            owner: show(owner),
            other: type_to_text(other.rtype),
        };
        return Some((group.first_index().max(other.first_index()), problem));
    }
    let repeated = || Problem::SingleRepeated {
        rtype: "CNAME",
        owner: show(owner),
    };
    (group.records.len() > 1).then(|| (group.second_index(), repeated()))
}

fn dname_fault(owner: &[u8], group: &Group<'_>, groups: &[Group<'_>], is_apex: bool) -> GroupFault {
    if group.records.len() > 1 {
        return Some((
            group.second_index(),
            Problem::SingleRepeated {
                rtype: "DNAME",
                owner: show(owner),
            },
        ));
    }
    let is_ns = |other: &&Group<'_>| other.rtype == rtype::NS && !other.records.is_empty();
    let servers = groups.iter().find(is_ns).filter(|_| !is_apex)?;
    Some((
        group.first_index().max(servers.first_index()),
        Problem::DnameWithNs { owner: show(owner) },
    ))
}

fn nsec3_fault(group: &Group<'_>) -> GroupFault {
    group.records.iter().find_map(|&(data, index)| {
        // Algorithm, flags, iterations: both types start alike (RFC 5155 §3.2, §4.2).
        let iterations = u16::from_be_bytes(*data.get(2..4)?.first_chunk()?);
        let excess = iterations > NSEC3_ITERATIONS_MAX;
        excess.then_some((
            index,
            Problem::Nsec3Iterations {
                iterations,
                max: NSEC3_ITERATIONS_MAX,
            },
        ))
    })
}

/// Types that an alias may have beside its CNAME record (RFC 2181 §10.1, RFC 4034 §3 and §4, RFC 3007 §3.1.1).
pub(super) fn may_stand_beside_cname(rtype: u16) -> bool {
    matches!(
        rtype,
        rtype::CNAME | rtype::NSEC | rtype::NSEC3 | rtype::KEY | rtype::NXT
    )
}

/// Notes records that no answer shows. Addresses below a delegation are glue and so are meant.
fn note_hidden(builder: &mut Builder<'_>, owner: &[u8], groups: &[Group<'_>]) {
    let has_data = groups.iter().any(|group| group.rtype != rtype::NSEC3);
    let Some(node) = builder
        .nodes
        .last()
        .filter(|_| has_data && owner != builder.apex)
    else {
        return;
    };
    let has_servers = groups
        .iter()
        .any(|group| group.rtype == rtype::NS && !group.records.is_empty());
    let hider = if node.flags.has(NodeFlags::HIDDEN) {
        let mut above = node.parent;
        loop {
            let Some(node) = builder.nodes.get(above as usize) else {
                return;
            };
            if node.flags.has(NodeFlags::DNAME) {
                break Some(("DNAME", above));
            }
            if node.flags.has(NodeFlags::CUT) && !node.flags.has(NodeFlags::HIDDEN) {
                break Some(("NS", above));
            }
            above = node.parent;
        }
    } else {
        None
    };
    let shown_at_cut = |rtype: u16| {
        matches!(
            rtype,
            rtype::NS | rtype::DS | rtype::NSEC | rtype::A | rtype::AAAA
        )
    };
    let hidden = groups.iter().find(|group| match hider {
        Some(("DNAME", _)) => true,
        Some(_) => !matches!(group.rtype, rtype::A | rtype::AAAA),
        None => has_servers && !shown_at_cut(group.rtype),
    });
    let Some(hidden) = hidden else { return };
    let (rtype, above) = match hider {
        Some((rtype, above)) => (
            rtype,
            builder
                .nodes
                .get(above as usize)
                .map(|node| super::tree::node_name(node, &builder.bytes)),
        ),
        None => ("NS", Some(owner)),
    };
    let remark = Remark::Hidden {
        owner: show(owner),
        rtype,
        above: above.map_or_else(String::new, show),
    };
    builder
        .notes
        .push(builder.place(hidden.first_index()), remark);
}
