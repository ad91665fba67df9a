//! The walk of one answer: from name to name along aliases, to data, absence or a delegation.
//!
//! Start at [`Work::finish`]; what goes beside the answer is in [`super::beside`].

use wire::query::Query;
use wire::rcode;

use super::answer::{Composed, End, Kind};
use super::beside::Hosts;
use super::check_set::may_stand_beside_cname;
use super::compose::{Composer, Full, Owner, Parts, Section};
use super::data::{RECORD_HEADER_BYTES, Rrset, Zone};
use super::denial::{CHAIN_MAX, Proofs};
use super::name::{NameBuffer, is_at_or_below};
use super::tree::{Found, NONE};
use super::types::rtype;

/// The question starts behind the header.
const QNAME_OFFSET: u16 = 12;

/// RFC 6672 §2.2: a name that became too long.
const RCODE_YXDOMAIN: u16 = 6;

/// Names remembered for compression in one answer.
const COMPRESSION_SLOTS: usize = 64;

/// Where one name of the chain led.
enum Step {
    End(End),
    /// An alias; go on with this name.
    Follow(NameBuffer),
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

/// One answer on its way.
pub(super) struct Work<'z, 'm> {
    pub(super) zone: &'z Zone,
    pub(super) composer: Composer<'m, COMPRESSION_SLOTS>,
    qname: &'m [u8],
    qtype: u16,
    /// With or without signatures.
    pub(super) parts: Parts,
    proofs: Proofs,
    pub(super) hosts: Hosts,
    chain: Chain,
    /// The delegation whose glue is wanted.
    cut: Option<u32>,
    /// Length and additional count up to the end of what is required, once that is known.
    required: Option<(usize, u16)>,
}

impl<'z, 'm> Work<'z, 'm> {
    pub(super) fn new(zone: &'z Zone, query: &'m Query, message: &'m mut [u8]) -> Self {
        let qname = query.qname();
        // An unsigned zone has nothing to prove with; DS alone would help nobody.
        let has_proofs = query.dnssec_ok() && zone.soa().signatures_count > 0;
        Self {
            zone,
            composer: Composer::new(message, usize::from(query.question_end), Some(qname)),
            qname,
            qtype: query.qtype,
            parts: if has_proofs {
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
        }
    }

    /// Writes the answer; how it ended, and what stands in the message.
    pub(super) fn finish(mut self) -> (End, Composed) {
        let end = self.run().unwrap_or_else(|Full| End {
            // A referral stays one, whether it fits or not.
            authoritative: self.cut.is_none() || self.chain.count > 0,
            ..End::of(Kind::Truncated, 0)
        });
        let (total_bytes, counts) = (self.composer.position(), self.composer.counts());
        let (required_bytes, required_additional) =
            self.required.unwrap_or((total_bytes, counts[2]));
        (
            end,
            Composed {
                counts,
                required_bytes,
                required_additional,
                total_bytes,
            },
        )
    }

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
                    target: NameBuffer::from_wire(name),
                    ..End::of(Kind::Alias, 0)
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
            self.find_hosts(index, expansion.is_some(), rrset);
            return Ok(Step::End(End::of(Kind::Answer, 0)));
        }
        // NSEC and the like belong to the alias itself (RFC 4035 §2.5).
        let alias = zone
            .rrset(node, rtype::CNAME)
            .filter(|_| !may_stand_beside_cname(self.qtype));
        if let Some(rrset) = alias {
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
        self.cut = Some(cut);
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
        Ok(Step::End(if self.chain.count == 0 {
            End::of(Kind::Referral, 0)
        } else {
            End {
                target: NameBuffer::from_wire(name),
                ..End::of(Kind::Alias, 0)
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

    /// A name of the zone as owner: a pointer into the question where it is an ancestor of the qname.
    pub(super) fn owner_of<'n>(&self, name: &'n [u8]) -> Owner<'n> {
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
