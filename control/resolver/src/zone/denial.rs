//! Proofs that something is absent, from the NSEC or NSEC3 records of a pre-signed zone (RFC 4035 §3.1.3, RFC 5155 §7.2).
//!
//! Finds the records; [`super::resolve`] writes them. Trusts the signer: a chain with holes gives answers without proof.

use super::build::Builder;
use super::data::{Denial, EncodedRecords, Nsec3Entry, RECORD_HEADER_BYTES, Rrset, Span, Zone};
use super::error::{Remark, ZoneError};
use super::name::{LabelStarts, NameBuffer, label_at};
use super::nsec3::hash_name;
use super::tree::{APEX, NONE, NodeFlags};
use super::types::rtype;

/// Steps that an answer may take along CNAME and DNAME records.
pub(super) const CHAIN_MAX: usize = 16;

/// One proof for each wildcard on the way, three for where it ends.
const PROOFS_MAX: usize = CHAIN_MAX + 4;

/// The records that prove what an answer says is absent, each once: nodes with NSEC, or entries of NSEC3.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proofs {
    items: [u32; PROOFS_MAX],
    count: usize,
}

impl Proofs {
    pub(super) const fn new() -> Self {
        Self {
            items: [NONE; PROOFS_MAX],
            count: 0,
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.items[..self.count]
    }

    fn add(&mut self, item: u32) {
        if item == NONE || self.as_slice().contains(&item) {
            return;
        }
        if let Some(slot) = self.items.get_mut(self.count) {
            *slot = item;
            self.count += 1;
        }
    }
}

/// Decides how absence is proved: by the NSEC3 chain that an NSEC3PARAM at the apex describes, else by NSEC, else not at all.
/// NSEC3 records of other chains move to the side.
pub(super) fn choose_denial(builder: &mut Builder<'_>) -> Result<Denial, ZoneError> {
    let apex = builder.nodes[APEX as usize];
    let start = apex.rrsets_start as usize;
    let apex_sets: Vec<Rrset> =
        builder.rrsets[start..start + usize::from(apex.rrsets_count)].to_vec();
    let set_of = |rtype: u16| {
        apex_sets
            .iter()
            .find(|rrset| rrset.rtype == rtype && rrset.records_count > 0)
    };
    let mut denial = Denial::Unsigned;
    if set_of(rtype::NSEC).is_some() {
        denial = Denial::Nsec;
    }
    if let Some(rrset) = set_of(rtype::NSEC3PARAM) {
        let span = rrset.records;
        let encoded =
            builder.bytes[span.start as usize..(span.start + span.bytes) as usize].to_vec();
        for record in EncodedRecords(&encoded) {
            let Some(parameters) = Parameters::of(record, 0) else {
                continue;
            };
            let apex_hash = hash_name(builder.apex, parameters.salt, parameters.iterations);
            let chain = |entry: &Nsec3Entry| parameters.fits(entry, &builder.bytes);
            if !builder
                .nsec3
                .iter()
                .any(|entry| entry.hash == apex_hash && chain(entry))
            {
                continue;
            }
            let (used, other) = builder.nsec3.iter().partition(|entry| chain(entry));
            (builder.nsec3, builder.nsec3_other) = (used, other);
            let start = builder.bytes.len();
            builder.bytes.extend_from_slice(parameters.salt);
            denial = Denial::Nsec3 {
                salt: builder.span_from(start)?,
                iterations: parameters.iterations,
            };
            break;
        }
    }
    if !matches!(denial, Denial::Nsec3 { .. }) && !builder.nsec3.is_empty() {
        builder.nsec3_other = std::mem::take(&mut builder.nsec3);
        builder
            .notes
            .push(builder.records.place_of_whole(), Remark::Nsec3Unused);
    }
    if denial == Denial::Unsigned && set_of(rtype::DNSKEY).is_some() {
        builder
            .notes
            .push(builder.records.place_of_whole(), Remark::DenialMissing);
    }
    Ok(denial)
}

/// The only flag of NSEC3 (RFC 5155 §3.1.2.1).
const OPT_OUT: u8 = 1;

/// Hash parameters of NSEC3 and NSEC3PARAM records, which start alike (RFC 5155 §3.2, §4.2).
struct Parameters<'b> {
    iterations: u16,
    salt: &'b [u8],
}

impl<'b> Parameters<'b> {
    /// Records with other flags than these must be ignored (RFC 5155 §3.1.2, §4.1.2).
    fn of(record: &'b [u8], flags_allowed: u8) -> Option<Self> {
        let [1, flags, high, low, salt_bytes, rest @ ..] = record.get(RECORD_HEADER_BYTES..)?
        else {
            return None;
        };
        let salt = rest
            .get(..usize::from(*salt_bytes))
            .filter(|_| flags & !flags_allowed == 0)?;
        Some(Self {
            iterations: u16::from_be_bytes([*high, *low]),
            salt,
        })
    }

    fn fits(&self, entry: &Nsec3Entry, bytes: &[u8]) -> bool {
        let span = entry.rrset.records;
        let record = bytes
            .get(span.start as usize..(span.start + span.bytes) as usize)
            .and_then(|record| Parameters::of(record, OPT_OUT));
        record.is_some_and(|other| other.iterations == self.iterations && other.salt == self.salt)
    }
}

impl Zone {
    /// Links each name to what proves things about it. Costs a hash a name with NSEC3.
    pub(super) fn link_denial(&mut self) {
        let mut latest = NONE;
        for index in 0..self.tree.nodes.len() {
            let node = self.tree.nodes[index];
            let is_hidden = node.flags.has(NodeFlags::HIDDEN);
            let link = match self.denial {
                Denial::Unsigned => NONE,
                Denial::Nsec => {
                    if !is_hidden && self.rrset(&node, rtype::NSEC).is_some() {
                        latest = u32::try_from(index).unwrap_or(NONE);
                    }
                    latest
                }
                Denial::Nsec3 { .. } if is_hidden => NONE,
                Denial::Nsec3 { salt, iterations } => {
                    let name = super::tree::node_name(&node, &self.bytes);
                    let hash = hash_name(name, self.span(salt), iterations);
                    let found = self
                        .nsec3
                        .binary_search_by(|entry| entry.hash.cmp(&hash))
                        .ok();
                    found
                        .and_then(|found| u32::try_from(found).ok())
                        .unwrap_or(NONE)
                }
            };
            self.tree.nodes[index].denial = link;
        }
    }

    /// Proves that `name`, whose longest existing ancestor is `encloser`, does not exist and no wildcard stands in for it.
    pub(super) fn prove_name_error(&self, name: &[u8], encloser: u32, proofs: &mut Proofs) {
        match self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => {
                proofs.add(self.nsec_before(encloser, next_label(name, self.name_of(encloser))));
                proofs.add(self.nsec_before(encloser, b"*"));
            }
            Denial::Nsec3 { salt, iterations } => {
                let encloser = self.prove_encloser(name, encloser, proofs);
                let mut wildcard = NameBuffer::new();
                if wildcard.extend(b"\x01*") && wildcard.extend(self.name_of(encloser)) {
                    proofs.add(self.nsec3_covering(wildcard.as_bytes(), salt, iterations));
                }
            }
        }
    }

    /// Proves that `name` does not exist, so that a wildcard at its longest existing ancestor may stand in for it.
    pub(super) fn prove_expansion(&self, name: &[u8], encloser: u32, proofs: &mut Proofs) {
        match self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => {
                proofs.add(self.nsec_before(encloser, next_label(name, self.name_of(encloser))))
            }
            Denial::Nsec3 { salt, iterations } => {
                let next_closer = next_closer(name, self.name_of(encloser));
                proofs.add(self.nsec3_covering(next_closer, salt, iterations));
            }
        }
    }

    /// Proves that an existing name has not the type asked for, or that a delegation has no DS.
    pub(super) fn prove_no_data(&self, node: u32, proofs: &mut Proofs) {
        let link = self.tree.node(node).denial;
        match self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => proofs.add(link),
            Denial::Nsec3 { .. } if link != NONE => proofs.add(link),
            // Opt-out left this name without a record (RFC 5155 §7.2.4, §7.2.7).
            Denial::Nsec3 { .. } => {
                self.prove_encloser(self.name_of(node), self.tree.node(node).parent, proofs);
            }
        }
    }

    /// Proves that the wildcard that stands in for `name` has not the type asked for.
    pub(super) fn prove_wildcard_no_data(
        &self,
        name: &[u8],
        encloser: u32,
        wildcard: u32,
        proofs: &mut Proofs,
    ) {
        if let Denial::Nsec3 { .. } = self.denial {
            self.prove_encloser(name, encloser, proofs); // RFC 5155 §7.2.5.
        } else {
            self.prove_expansion(name, encloser, proofs);
        }
        self.prove_no_data(wildcard, proofs);
    }

    /// The set with signatures that one proof stands for, and its owner.
    pub(super) fn proof(&self, item: u32) -> Option<(&[u8], &Rrset)> {
        match self.denial {
            Denial::Unsigned => None,
            Denial::Nsec => {
                let node = self.tree.nodes.get(item as usize)?;
                Some((
                    super::tree::node_name(node, &self.bytes),
                    self.rrset(node, rtype::NSEC)?,
                ))
            }
            Denial::Nsec3 { .. } => {
                let entry = self.nsec3.get(item as usize)?;
                Some((self.span(entry.name), &entry.rrset))
            }
        }
    }

    /// The closest encloser proof (RFC 5155 §7.2.1): matches the longest ancestor that has a record, covers the name below it.
    /// Returns that ancestor.
    fn prove_encloser(&self, name: &[u8], encloser: u32, proofs: &mut Proofs) -> u32 {
        let Denial::Nsec3 { salt, iterations } = self.denial else {
            return encloser;
        };
        let mut provable = encloser;
        while self.tree.node(provable).denial == NONE && provable != APEX {
            provable = self.tree.node(provable).parent;
        }
        proofs.add(self.tree.node(provable).denial);
        let next_closer = next_closer(name, self.name_of(provable));
        proofs.add(self.nsec3_covering(next_closer, salt, iterations));
        provable
    }

    fn nsec_before(&self, encloser: u32, label: &[u8]) -> u32 {
        self.tree
            .node(self.tree.predecessor(&self.bytes, encloser, label))
            .denial
    }

    /// The entry whose span of hashes holds that of `name`; the last one wraps around (RFC 5155 §7.1).
    fn nsec3_covering(&self, name: &[u8], salt: Span, iterations: u16) -> u32 {
        let hash = hash_name(name, self.span(salt), iterations);
        let index = match self.nsec3.binary_search_by(|entry| entry.hash.cmp(&hash)) {
            Ok(index) => Some(index),
            Err(0) => self.nsec3.len().checked_sub(1),
            Err(after) => Some(after - 1),
        };
        index
            .and_then(|index| u32::try_from(index).ok())
            .unwrap_or(NONE)
    }
}

/// The ancestor of `name`, or itself, that is one label longer than `encloser` (RFC 5155 §1.3).
fn next_closer<'n>(name: &'n [u8], encloser: &[u8]) -> &'n [u8] {
    name.get(usize::from(next_closer_start(name, encloser))..)
        .unwrap_or(name)
}

/// The first label of the next closer name.
fn next_label<'n>(name: &'n [u8], encloser: &[u8]) -> &'n [u8] {
    label_at(name, next_closer_start(name, encloser))
}

fn next_closer_start(name: &[u8], encloser: &[u8]) -> u8 {
    let starts = LabelStarts::of(name);
    let below = starts
        .as_slice()
        .iter()
        .rev()
        .find(|&&start| usize::from(start) + encloser.len() < name.len());
    below.copied().unwrap_or(0)
}
