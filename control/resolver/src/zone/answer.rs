//! From a question to a complete response (RFC 1034 §4.3.2 with RFC 2308, 4035, 4592, 5155, 6672, 8482 and 9471).
//!
//! Allocates nothing. Writes no OPT: the caller adds it behind, and says by `limit` how much room it leaves.

use wire::query::Query;
use wire::{flag, rcode};

use super::compose::{Composer, Full, Owner, Parts, Section, write_header};
use super::data::{EncodedRecords, RECORD_HEADER_BYTES, Rrset, Zone};
use super::denial::{CHAIN_MAX, Proofs};
use super::name::{NameBuffer, is_at_or_below};
use super::notes::target_of;
use super::tree::{Found, NONE, NodeFlags};
use super::types::rtype;

/// The question starts behind the header.
const QNAME_OFFSET: u16 = 12;

/// RFC 6672 §2.2: a name that became too long.
const RCODE_YXDOMAIN: u16 = 6;

/// Names remembered for compression in one answer.
const COMPRESSION_SLOTS: usize = 64;

/// Hosts whose addresses may go into one additional section.
const HOSTS_MAX: usize = 32;

/// What was answered, and how much of it must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What kind of answer it is.
    pub kind: Kind,
    /// Second header word as written: QR, AA, TC, RD, CD and RCODE. RA and AD are the caller's to add.
    pub flags: u16,
    /// ANCOUNT, NSCOUNT and ARCOUNT as written.
    pub counts: [u16; 3],
    /// Length of the message up to the last record that must be sent, in bytes: answer, authority, and of a referral the glue that
    /// RFC 9471 requires. The rest may be left out without TC.
    pub required_bytes: usize,
    /// Of ARCOUNT, the records inside `required_bytes`.
    pub required_additional: u16,
    /// Length of the whole message in bytes, without OPT.
    pub total_bytes: usize,
    /// Where an alias leads out of our authority, lower-case: outside of the zone or below a delegation. A recursive caller goes on
    /// from there.
    pub target: Option<NameBuffer>,
}

/// Kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Records of the type asked for.
    Answer,
    /// The name exists, the type does not (RFC 2308 §2.2); perhaps at the end of a chain of aliases.
    NoData,
    /// The name does not exist (RFC 2308 §2.1); perhaps at the end of a chain of aliases.
    NameError,
    /// The zone delegates this name; not an authoritative answer.
    Referral,
    /// Only aliases, which lead elsewhere (see [`Outcome::target`]), in a circle, or on for too long.
    Alias,
    /// A DNAME makes the name longer than 255 bytes (YXDOMAIN, RFC 6672 §2.2).
    NameTooLong,
    /// A query that is not answered from a zone: AXFR, IXFR, meta types, or a name outside of the zone.
    Refused,
    /// Does not fit into the limit: TC is set and there are no records.
    Truncated,
}

impl Zone {
    /// Writes the response to `query`, whose qname lies at or below the apex.
    ///
    /// `message` starts with header and question of the query as the client sent them, and is the capacity. The response takes
    /// `limit` bytes at most; additional records that do not fit are left out, and if more does not fit, TC is set and no record sent
    /// (RFC 2181 §9). Id and question are kept. The class is not looked at: the caller sends class IN alone.
    ///
    /// # Panics
    /// When `message` is shorter than the question: the caller's mistake.
    pub fn answer(&self, query: &Query, message: &mut [u8], limit: usize) -> Outcome {
        let question_end = usize::from(query.question_end);
        assert!(question_end <= message.len());
        let capacity = message.len().min(limit).max(question_end);
        let (message, _) = message.split_at_mut(capacity);
        let (ending, composed) = if is_at_or_below(query.qname(), self.apex()) {
            self.compose(query, message)
        } else {
            (
                Ok(End::of(Kind::Refused, rcode::REFUSED)),
                Composed::empty(question_end),
            )
        };
        let (end, composed) = match ending {
            Ok(end) => (end, composed),
            Err(Full) => (End::of(Kind::Truncated, 0), Composed::empty(question_end)),
        };
        let mut flags = flag::QR | query.flags & (flag::RD | flag::CD) | end.rcode;
        match end.kind {
            Kind::Truncated => flags |= flag::TC | flag::AA,
            Kind::Refused | Kind::Referral => {}
            _ => flags |= flag::AA,
        }
        write_header(message, flags, 1, composed.counts);
        Outcome {
            kind: end.kind,
            flags,
            counts: composed.counts,
            required_bytes: composed.required_bytes,
            required_additional: composed.required_additional,
            total_bytes: composed.total_bytes,
            target: end.target,
        }
    }

    fn compose<'m>(
        &self,
        query: &'m Query,
        message: &'m mut [u8],
    ) -> (Result<End, Full>, Composed) {
        let mut work = Work {
            zone: self,
            composer: Composer::new(
                message,
                usize::from(query.question_end),
                Some(query.qname()),
            ),
            qname: query.qname(),
            qtype: query.qtype,
            parts: if query.dnssec_ok() {
                Parts::Both
            } else {
                Parts::Records
            },
            proofs: Proofs::new(),
            hosts: Hosts::new(),
            chain: Chain {
                owners: [0; CHAIN_MAX],
                dnames: [NONE; CHAIN_MAX],
                count: 0,
            },
            cut: None,
            required: None,
        };
        let ending = work.run();
        let (total_bytes, counts) = (work.composer.position(), work.composer.counts());
        let (required_bytes, required_additional) =
            work.required.unwrap_or((total_bytes, counts[2]));
        (
            ending,
            Composed {
                counts,
                required_bytes,
                required_additional,
                total_bytes,
            },
        )
    }
}

/// How the work ended.
struct End {
    kind: Kind,
    rcode: u16,
    target: Option<NameBuffer>,
}

impl End {
    fn of(kind: Kind, rcode: u16) -> Self {
        Self {
            kind,
            rcode,
            target: None,
        }
    }
}

/// Lengths and counts of what was written.
struct Composed {
    counts: [u16; 3],
    required_bytes: usize,
    required_additional: u16,
    total_bytes: usize,
}

impl Composed {
    fn empty(question_end: usize) -> Self {
        Self {
            counts: [0; 3],
            required_bytes: question_end,
            required_additional: 0,
            total_bytes: question_end,
        }
    }
}

/// Where one name of the chain led.
enum Step {
    End(End),
    /// An alias; go on with this name.
    Follow(NameBuffer),
}

/// Nodes whose addresses are wanted in the additional section, each once.
struct Hosts {
    nodes: [u32; HOSTS_MAX],
    count: usize,
}

impl Hosts {
    const fn new() -> Self {
        Self {
            nodes: [NONE; HOSTS_MAX],
            count: 0,
        }
    }

    fn as_slice(&self) -> &[u32] {
        &self.nodes[..self.count]
    }

    fn add(&mut self, node: u32) {
        if self.as_slice().contains(&node) {
            return;
        }
        if let Some(slot) = self.nodes.get_mut(self.count) {
            *slot = node;
            self.count += 1;
        }
    }
}

/// The aliases that were followed: where their owners stand in the message, and which DNAME records were written.
struct Chain {
    owners: [usize; CHAIN_MAX],
    dnames: [u32; CHAIN_MAX],
    count: usize,
}

impl Chain {
    fn push(&mut self, owner: usize, dname: u32) {
        if let (Some(owner_slot), Some(dname_slot)) = (
            self.owners.get_mut(self.count),
            self.dnames.get_mut(self.count),
        ) {
            (*owner_slot, *dname_slot) = (owner, dname);
            self.count += 1;
        }
    }
}

/// A name that a wildcard stands in for, and its longest existing ancestor (RFC 4592 §3.3.1).
type Expansion<'n> = Option<(&'n [u8], u32)>;

struct Work<'z, 'm> {
    zone: &'z Zone,
    composer: Composer<'m, COMPRESSION_SLOTS>,
    qname: &'m [u8],
    qtype: u16,
    /// With or without signatures.
    parts: Parts,
    proofs: Proofs,
    hosts: Hosts,
    chain: Chain,
    /// The delegation whose glue is wanted.
    cut: Option<u32>,
    /// Length and additional count up to the end of what is required, once that is known.
    required: Option<(usize, u16)>,
}

impl Work<'_, '_> {
    fn run(&mut self) -> Result<End, Full> {
        match self.qtype {
            rtype::AXFR | rtype::IXFR => return Ok(End::of(Kind::Refused, rcode::REFUSED)),
            rtype::MAILA | rtype::MAILB => return Ok(End::of(Kind::Refused, rcode::NOTIMP)),
            rtype::OPT | rtype::TKEY | rtype::TSIG => {
                return Ok(End::of(Kind::Refused, rcode::FORMERR));
            }
            _ => {}
        }
        let end = self.run_chain()?;
        self.write_proofs()?;
        if let Some(cut) = self.cut {
            self.write_glue(cut)?;
        }
        self.required = Some((self.composer.position(), self.composer.counts()[2]));
        self.write_hosts();
        Ok(end)
    }

    /// Follows aliases until something else comes, at most [`CHAIN_MAX`] of them.
    fn run_chain(&mut self) -> Result<End, Full> {
        let mut step = self.resolve(self.qname, Owner::At(QNAME_OFFSET))?;
        while let Step::Follow(name) = step {
            let name = name.as_bytes();
            if !is_at_or_below(name, self.zone.apex()) {
                return Ok(End {
                    kind: Kind::Alias,
                    rcode: 0,
                    target: NameBuffer::from_wire(name),
                });
            }
            let owners = &self.chain.owners[..self.chain.count];
            let is_circle = owners
                .iter()
                .any(|&offset| self.composer.stands_at(offset, name));
            if is_circle || self.chain.count >= CHAIN_MAX {
                return Ok(End::of(Kind::Alias, 0));
            }
            step = self.resolve(name, Owner::Name(name))?;
        }
        match step {
            Step::End(end) => Ok(end),
            Step::Follow(_) => Ok(End::of(Kind::Alias, 0)),
        }
    }

    fn resolve(&mut self, name: &[u8], owner: Owner<'_>) -> Result<Step, Full> {
        let zone = self.zone;
        match zone.tree.find(&zone.bytes, name, self.qtype == rtype::DS) {
            Found::Exact(node) => self.answer_from(node, owner, None),
            Found::Cut(cut) => self.refer(cut, name),
            Found::Dname(node) => self.redirect(node, name, owner),
            Found::Missing(encloser) => {
                let wildcard = zone.tree.node(encloser).wildcard;
                if wildcard != NONE {
                    return self.answer_from(wildcard, owner, Some((name, encloser)));
                }
                self.write_negative_soa()?;
                if self.parts == Parts::Both {
                    zone.prove_name_error(name, encloser, &mut self.proofs);
                }
                Ok(Step::End(End::of(Kind::NameError, rcode::NXDOMAIN)))
            }
        }
    }

    /// Answers from the records of a node: the one asked for, or the wildcard that stands in for it.
    fn answer_from(
        &mut self,
        index: u32,
        owner: Owner<'_>,
        expansion: Expansion<'_>,
    ) -> Result<Step, Full> {
        let zone = self.zone;
        let node = zone.tree.node(index);
        let rrset = match self.qtype {
            rtype::ANY => any_rrset(zone.rrsets_of(node)),
            rtype::RRSIG => return self.answer_signatures(index, owner, expansion),
            qtype => zone.rrset(node, qtype),
        };
        if let Some(rrset) = rrset {
            self.prove_expansion(expansion);
            self.composer
                .write_rrset(Section::Answer, owner, rrset, self.parts, &zone.bytes)?;
            self.find_hosts(index, rrset, expansion.is_none());
            return Ok(Step::End(End::of(Kind::Answer, 0)));
        }
        if let Some(rrset) = zone.rrset(node, rtype::CNAME) {
            self.prove_expansion(expansion);
            self.chain.push(self.offset_of(owner), NONE);
            self.composer
                .write_rrset(Section::Answer, owner, rrset, self.parts, &zone.bytes)?;
            let record = zone.span(rrset.records);
            let target = record
                .get(RECORD_HEADER_BYTES..)
                .and_then(NameBuffer::from_wire);
            return Ok(target.map_or(Step::End(End::of(Kind::Alias, 0)), Step::Follow));
        }
        self.answer_no_data(index, expansion)
    }

    /// All signatures of a name; RRSIG is no set of its own (RFC 4035 §2.2).
    fn answer_signatures(
        &mut self,
        index: u32,
        owner: Owner<'_>,
        expansion: Expansion<'_>,
    ) -> Result<Step, Full> {
        let zone = self.zone;
        let rrsets = zone.rrsets_of(zone.tree.node(index));
        if rrsets.iter().all(|rrset| rrset.signatures_count == 0) {
            return self.answer_no_data(index, expansion);
        }
        self.prove_expansion(expansion);
        for rrset in rrsets {
            self.composer.write_rrset(
                Section::Answer,
                owner,
                rrset,
                Parts::Signatures,
                &zone.bytes,
            )?;
        }
        Ok(Step::End(End::of(Kind::Answer, 0)))
    }

    fn answer_no_data(&mut self, index: u32, expansion: Expansion<'_>) -> Result<Step, Full> {
        self.write_negative_soa()?;
        if self.parts == Parts::Both {
            match expansion {
                None => self.zone.prove_no_data(index, &mut self.proofs),
                Some((name, encloser)) => {
                    self.zone
                        .prove_wildcard_no_data(name, encloser, index, &mut self.proofs)
                }
            }
        }
        Ok(Step::End(End::of(Kind::NoData, 0)))
    }

    /// Names the servers of a delegation (RFC 1034 §4.3.2 step 3b) with DS, or the proof that there is none (RFC 4035 §3.1.4).
    fn refer(&mut self, cut: u32, name: &[u8]) -> Result<Step, Full> {
        let zone = self.zone;
        let node = zone.tree.node(cut);
        let owner = self.owner_of(zone.name_of(cut));
        if let Some(rrset) = zone.rrset(node, rtype::NS) {
            self.composer.write_rrset(
                Section::Authority,
                owner,
                rrset,
                Parts::Records,
                &zone.bytes,
            )?;
        }
        if self.parts == Parts::Both {
            match zone.rrset(node, rtype::DS) {
                Some(rrset) => self.composer.write_rrset(
                    Section::Authority,
                    owner,
                    rrset,
                    Parts::Both,
                    &zone.bytes,
                )?,
                None => zone.prove_no_data(cut, &mut self.proofs),
            }
        }
        self.cut = Some(cut);
        Ok(Step::End(if self.chain.count == 0 {
            End::of(Kind::Referral, 0)
        } else {
            End {
                kind: Kind::Alias,
                rcode: 0,
                target: NameBuffer::from_wire(name),
            }
        }))
    }

    /// Redirects a name below a DNAME: the record itself, and the CNAME that it stands for (RFC 6672 §3.1).
    fn redirect(&mut self, index: u32, name: &[u8], owner: Owner<'_>) -> Result<Step, Full> {
        let zone = self.zone;
        let dname = zone.name_of(index);
        let Some(rrset) = zone.rrset(zone.tree.node(index), rtype::DNAME) else {
            return self.answer_no_data(index, None);
        };
        if !self.chain.dnames[..self.chain.count].contains(&index) {
            let dname_owner = self.owner_of(dname);
            self.composer.write_rrset(
                Section::Answer,
                dname_owner,
                rrset,
                self.parts,
                &zone.bytes,
            )?;
        }
        let mut target = NameBuffer::new();
        let prefix = name.get(..name.len() - dname.len()).unwrap_or(&[]);
        let suffix = zone
            .span(rrset.records)
            .get(RECORD_HEADER_BYTES..)
            .unwrap_or(&[]);
        if !(target.extend(prefix) && target.extend(suffix)) {
            return Ok(Step::End(End::of(Kind::NameTooLong, RCODE_YXDOMAIN)));
        }
        self.chain.push(self.offset_of(owner), index);
        self.composer
            .write_cname(owner, rrset.ttl, target.as_bytes())?;
        if matches!(self.qtype, rtype::CNAME | rtype::ANY) {
            return Ok(Step::End(End::of(Kind::Answer, 0)));
        }
        Ok(Step::Follow(target))
    }

    fn prove_expansion(&mut self, expansion: Expansion<'_>) {
        if let (Some((name, encloser)), Parts::Both) = (expansion, self.parts) {
            self.zone.prove_expansion(name, encloser, &mut self.proofs);
        }
    }

    fn write_negative_soa(&mut self) -> Result<(), Full> {
        let zone = self.zone;
        let owner = self.owner_of(zone.apex());
        self.composer.write_rrset(
            Section::Authority,
            owner,
            &zone.negative_soa,
            self.parts,
            &zone.bytes,
        )
    }

    fn write_proofs(&mut self) -> Result<(), Full> {
        let zone = self.zone;
        let proofs = self.proofs;
        for &item in proofs.as_slice() {
            if let Some((name, rrset)) = zone.proof(item) {
                let owner = self.owner_of(name);
                self.composer.write_rrset(
                    Section::Authority,
                    owner,
                    rrset,
                    Parts::Both,
                    &zone.bytes,
                )?;
            }
        }
        Ok(())
    }

    /// Addresses of the servers of a delegation: those inside it are required (RFC 9471 §3.1), others of this zone follow as far as
    /// there is room (§3.2).
    fn write_glue(&mut self, cut: u32) -> Result<(), Full> {
        let zone = self.zone;
        let Some(servers) = zone.rrset(zone.tree.node(cut), rtype::NS) else {
            return Ok(());
        };
        for record in EncodedRecords(zone.span(servers.records)) {
            let target = target_of(rtype::NS, record).unwrap_or(&[]);
            if !is_at_or_below(target, zone.apex()) {
                continue;
            }
            let Some(host) = zone.tree.find_any(&zone.bytes, target) else {
                continue;
            };
            if is_at_or_below(target, zone.name_of(cut)) {
                self.write_addresses(host)?;
            } else {
                self.hosts.add(host);
            }
        }
        Ok(())
    }

    /// Notes whose addresses belong beside an answer (RFC 1035 §3.3, RFC 2782, RFC 9460 §4.1).
    fn find_hosts(&mut self, index: u32, rrset: &Rrset, owner_is_node: bool) {
        let zone = self.zone;
        if !matches!(
            rrset.rtype,
            rtype::NS | rtype::MX | rtype::SRV | rtype::SVCB | rtype::HTTPS
        ) {
            return;
        }
        for record in EncodedRecords(zone.span(rrset.records)) {
            let mut service = NameBuffer::new();
            let target = match (
                target_of(rrset.rtype, record),
                record.get(RECORD_HEADER_BYTES + 2..),
            ) {
                (Some(target), _) => target,
                (None, Some([0, ..])) => {
                    // A service at the owner itself.
                    if owner_is_node {
                        self.hosts.add(index);
                    }
                    continue;
                }
                (None, rest) => {
                    let rest = rest.unwrap_or(&[]);
                    let name = super::name::name_end(rest)
                        .and_then(|end| rest.get(..end))
                        .unwrap_or(&[]);
                    service.extend(name);
                    service.make_lowercase();
                    service.as_bytes()
                }
            };
            if !is_at_or_below(target, zone.apex()) {
                continue;
            }
            if let Found::Exact(host) = zone.tree.find(&zone.bytes, target, false) {
                self.hosts.add(host);
            }
        }
    }

    /// Writes as many addresses as fit; a set goes in whole with its signatures or not at all.
    fn write_hosts(&mut self) {
        for index in 0..self.hosts.count {
            let mark = self.composer.mark();
            if self.write_addresses(self.hosts.nodes[index]) == Err(Full) {
                self.composer.go_back(mark);
                return;
            }
        }
    }

    fn write_addresses(&mut self, host: u32) -> Result<(), Full> {
        let zone = self.zone;
        let node = zone.tree.node(host);
        let owner = self.owner_of(zone.name_of(host));
        for rtype in [rtype::A, rtype::AAAA] {
            if let Some(rrset) = zone.rrset(node, rtype) {
                // Glue has no signatures of its own (RFC 4035 §2.2).
                let is_glue = node.flags.has(NodeFlags::HIDDEN) || node.flags.has(NodeFlags::CUT);
                let parts = if is_glue { Parts::Records } else { self.parts };
                self.composer
                    .write_rrset(Section::Additional, owner, rrset, parts, &zone.bytes)?;
            }
        }
        Ok(())
    }

    /// A name of the zone as owner: a pointer into the question where it is an ancestor of the qname.
    fn owner_of<'n>(&self, name: &'n [u8]) -> Owner<'n> {
        let skipped = self
            .qname
            .len()
            .checked_sub(name.len())
            .and_then(|skipped| u16::try_from(skipped).ok());
        match skipped {
            Some(skipped) if name.len() > 1 && is_at_or_below(self.qname, name) => {
                Owner::At(QNAME_OFFSET + skipped)
            }
            _ => Owner::Name(name),
        }
    }

    /// Where the owner of the next record will stand.
    fn offset_of(&self, owner: Owner<'_>) -> usize {
        match owner {
            Owner::At(offset) => usize::from(offset),
            Owner::Name(_) => self.composer.position(),
        }
    }
}

/// One set for a query of type ANY (RFC 8482 §4.1): the first that is data of the zone's owner.
fn any_rrset(rrsets: &[Rrset]) -> Option<&Rrset> {
    let present = || rrsets.iter().filter(|rrset| rrset.records_count > 0);
    present()
        .find(|rrset| rrset.rtype != rtype::NSEC)
        .or_else(|| present().next())
}
