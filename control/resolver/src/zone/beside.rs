//! Additional records: glue of delegations, and addresses of the hosts that an answer names.

use super::compose::{Full, Parts, Section};
use super::data::{EncodedRecords, RECORD_HEADER_BYTES, Rrset, Zone};
use super::name::{NameBuffer, is_at_or_below, name_end};
use super::notes::target_of;
use super::resolve::Work;
use super::tree::{Found, NONE, NodeFlags};
use super::types::rtype;

/// Hosts whose addresses may go into one additional section.
const HOSTS_MAX: usize = 32;

/// Nodes whose addresses are wanted in the additional section, each once.
pub(super) struct Hosts {
    nodes: [u32; HOSTS_MAX],
    count: usize,
    /// A further type that is wanted of them, or 0: services that an alias of a service points at (RFC 9460 §4.1).
    service: u16,
}

impl Hosts {
    pub(super) const fn new() -> Self {
        Self {
            nodes: [NONE; HOSTS_MAX],
            count: 0,
            service: 0,
        }
    }

    fn add(&mut self, node: u32) {
        let (known, free) = self.nodes.split_at_mut(self.count);
        if known.contains(&node) {
            return;
        }
        if let Some(slot) = free.first_mut() {
            *slot = node;
            self.count += 1;
        }
    }
}

impl Work<'_, '_> {
    /// Addresses of the servers of a delegation: those inside it are required (RFC 9471 §3.1), others of this zone follow as far as
    /// there is room (§3.2).
    pub(super) fn write_glue(&mut self, cut: u32) -> Result<(), Full> {
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

    /// Notes whose addresses belong beside an answer (RFC 1035 §3.3, RFC 2782, RFC 9460 §4.1). `owner` is the node that the answer
    /// is from; a wildcard is not the host that is meant by a service at its own name.
    pub(super) fn find_hosts(&mut self, owner: u32, is_wildcard: bool, rrset: &Rrset) {
        let zone = self.zone;
        match rrset.rtype {
            rtype::NS | rtype::MX | rtype::SRV => {
                for record in EncodedRecords(zone.span(rrset.records)) {
                    self.add_host(target_of(rrset.rtype, record).unwrap_or(&[]));
                }
            }
            rtype::SVCB | rtype::HTTPS => {
                for record in EncodedRecords(zone.span(rrset.records)) {
                    self.add_service(owner, is_wildcard, rrset.rtype, record);
                }
            }
            _ => {}
        }
    }

    fn add_service(&mut self, owner: u32, is_wildcard: bool, rtype: u16, record: &[u8]) {
        let Some([priority_high, priority_low, target @ ..]) = record.get(RECORD_HEADER_BYTES..)
        else {
            return;
        };
        let is_alias = u16::from_be_bytes([*priority_high, *priority_low]) == 0;
        let mut name = NameBuffer::new();
        let complete = name_end(target)
            .and_then(|end| target.get(..end))
            .is_some_and(|target| name.extend(target));
        if !complete {
            return;
        }
        if name.as_bytes() == [0] {
            // A service at the owner itself; an alias to there means that there is no service (RFC 9460 §2.5.1, §2.5.2).
            if !is_alias && !is_wildcard {
                self.hosts.add(owner);
            }
            return;
        }
        if is_alias {
            self.hosts.service = rtype;
        }
        name.make_lowercase();
        self.add_host(name.as_bytes());
    }

    fn add_host(&mut self, name: &[u8]) {
        let zone = self.zone;
        if !is_at_or_below(name, zone.apex()) {
            return;
        }
        if let Found::Exact(host) = zone.tree.find(&zone.bytes, name, false) {
            self.hosts.add(host);
        }
    }

    /// Writes as many addresses as fit; those of one host go in whole with their signatures or not at all.
    pub(super) fn write_hosts(&mut self) {
        for index in 0..self.hosts.count {
            let (host, mark) = (self.hosts.nodes[index], self.composer.mark());
            if self.write_host(host) == Err(Full) {
                self.composer.go_back(mark);
                return;
            }
        }
    }

    fn write_host(&mut self, host: u32) -> Result<(), Full> {
        if self.hosts.service != 0 {
            self.write_beside(host, self.hosts.service)?;
        }
        self.write_addresses(host)
    }

    fn write_addresses(&mut self, host: u32) -> Result<(), Full> {
        self.write_beside(host, rtype::A)?;
        self.write_beside(host, rtype::AAAA)
    }

    fn write_beside(&mut self, host: u32, rtype: u16) -> Result<(), Full> {
        let zone: &Zone = self.zone;
        let node = zone.tree.node(host);
        let Some(rrset) = zone.rrset(node, rtype) else {
            return Ok(());
        };
        // Glue has no signatures of its own (RFC 4035 §2.2).
        let is_glue = node.flags.has(NodeFlags::HIDDEN) || node.flags.has(NodeFlags::CUT);
        let parts = if is_glue { Parts::Records } else { self.parts };
        let owner = self.owner_of(zone.name_of(host));
        self.composer
            .write_rrset(Section::Additional, owner, rrset, parts, &zone.bytes)
    }
}
