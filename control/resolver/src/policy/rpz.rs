//! Response policy zones (draft-vixie-dnsop-dns-rpz): rules in the form of a zone, made by others.
//!
//! A rule is a name that sets it off and records that say what to do. A zone is read from a file and
//! changed record by record, as incremental transfers do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record};

use super::addresses::addresses;
use super::names::{Key, key, name, record, suffixes};
use super::prefix::PrefixMap;
use super::rpz_trigger::{Trigger, TriggerError};
use super::servers::Servers;
use crate::zone::{Loader, NAME_BYTES_MAX, Place, ZoneError, read_zone_file};

const TYPE_NS: u16 = 2;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;
/// TTL of what a zone's policy answers if nothing says another, in seconds.
const TTL_SECS: u32 = 300;

/// What to do instead of what the rules of a zone say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Override {
    /// What they say.
    #[default]
    Given,
    /// Nothing: the zone is only counted.
    Disabled,
    /// Let through, past all later zones.
    PassThru,
    /// No answer.
    Drop,
    /// The name does not exist.
    NxDomain,
    /// It has no data.
    NoData,
    /// Have the client come by TCP.
    TcpOnly,
    /// An alias for this name.
    Cname(Name),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    NxDomain,
    NoData,
    PassThru,
    Drop,
    TcpOnly,
    /// Answers with these; their owner is of no meaning.
    Data(Vec<Record>),
}

/// A rule that was set off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) action: Action,
    /// In seconds.
    pub(super) ttl_secs: u32,
}

#[derive(Clone, Debug)]
struct Rule {
    action: Action,
    ttl_secs: u32,
}

/// A remark on a record that does nothing.
#[derive(Clone, Debug)]
pub struct RpzRemark {
    /// Where it stands.
    pub place: Place,
    /// Why.
    pub error: TriggerError,
}

/// One zone of rules.
#[derive(Clone, Debug)]
pub struct RpzZone {
    apex: Key,
    name: Arc<str>,
    policy: Override,
    soa: Option<Record>,
    names: BTreeMap<Key, Rule>,
    clients: PrefixMap<Rule>,
    answers: PrefixMap<Rule>,
    server_names: BTreeMap<Key, Rule>,
    server_addresses: PrefixMap<Rule>,
}

impl RpzZone {
    /// A zone without rules.
    #[must_use]
    pub fn new(apex: &Name, policy: Override) -> Self {
        Self {
            apex: key(apex),
            name: apex.to_lowercase().to_string().into(),
            policy,
            soa: None,
            names: BTreeMap::new(),
            clients: PrefixMap::default(),
            answers: PrefixMap::default(),
            server_names: BTreeMap::new(),
            server_addresses: PrefixMap::default(),
        }
    }

    /// Reads a zone file. Records that are no rules are left out and remarked upon: the zone is
    /// somebody else's, and one bad rule must not cost the others.
    ///
    /// # Errors
    /// The first line that is no record.
    pub fn read(
        apex: &Name,
        policy: Override,
        text: &[u8],
        file: &str,
        loader: &mut Loader<'_>,
    ) -> Result<(Self, Vec<RpzRemark>), ZoneError> {
        let records = read_zone_file(text, file, &key(apex), loader)?;
        Ok(Self::from_records(apex, policy, &records))
    }

    /// Its name, lower case with the final dot.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it does instead of its rules.
    #[must_use]
    pub fn policy(&self) -> &Override {
        &self.policy
    }

    /// Has it do something else instead of its rules.
    pub fn set_policy(&mut self, policy: Override) {
        self.policy = policy;
    }

    /// How many rules it has.
    #[must_use]
    pub fn len(&self) -> usize {
        let servers = self.server_names.len() + self.server_addresses.len();
        self.names.len() + self.clients.len() + self.answers.len() + servers
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a record; owner and data in wire form, the owner in lower case.
    ///
    /// # Errors
    /// The owner is no trigger. Records of types that are none of policy are passed over.
    pub fn add(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl_secs: u32,
        data: &[u8],
    ) -> Result<(), TriggerError> {
        let Some(trigger) = Trigger::read(owner, &self.apex)? else {
            if rtype == TYPE_SOA {
                let apex = name(&self.apex).unwrap_or_default();
                self.soa = Some(record(apex, rtype, ttl_secs, data));
            }
            return Ok(());
        };
        let Some(action) = action_of(rtype, ttl_secs, data) else {
            return Ok(());
        };
        let rule = Rule { action, ttl_secs };
        match self.rule_mut(&trigger) {
            Some(old) => old.join(rule),
            None => drop(self.insert(trigger, rule)),
        }
        Ok(())
    }

    /// Takes a record away; one that is not there changes nothing.
    ///
    /// # Errors
    /// The owner is no trigger.
    pub fn remove(&mut self, owner: &[u8], rtype: u16, data: &[u8]) -> Result<(), TriggerError> {
        let Some(trigger) = Trigger::read(owner, &self.apex)? else {
            // A newer SOA takes its place (RFC 1995 §4).
            return Ok(());
        };
        let Some(action) = action_of(rtype, 0, data) else {
            return Ok(());
        };
        let is_empty = self
            .rule_mut(&trigger)
            .is_some_and(|rule| rule.take(&action));
        if is_empty {
            match trigger {
                Trigger::Name(name) => drop(self.names.remove(&name)),
                Trigger::Client(network) => drop(self.clients.remove(network)),
                Trigger::Answer(network) => drop(self.answers.remove(network)),
                Trigger::ServerName(name) => drop(self.server_names.remove(&name)),
                Trigger::ServerAddress(network) => drop(self.server_addresses.remove(network)),
            }
        }
        Ok(())
    }

    fn rule_mut(&mut self, trigger: &Trigger) -> Option<&mut Rule> {
        match trigger {
            Trigger::Name(name) => self.names.get_mut(name),
            Trigger::Client(network) => self.clients.get_mut(*network),
            Trigger::Answer(network) => self.answers.get_mut(*network),
            Trigger::ServerName(name) => self.server_names.get_mut(name),
            Trigger::ServerAddress(network) => self.server_addresses.get_mut(*network),
        }
    }

    fn insert(&mut self, trigger: Trigger, rule: Rule) -> Option<Rule> {
        match trigger {
            Trigger::Name(name) => self.names.insert(name, rule),
            Trigger::Client(network) => self.clients.insert(network, rule),
            Trigger::Answer(network) => self.answers.insert(network, rule),
            Trigger::ServerName(name) => self.server_names.insert(name, rule),
            Trigger::ServerAddress(network) => self.server_addresses.insert(network, rule),
        }
    }

    /// Whether what it does depends on who asks.
    pub(super) fn is_for_clients(&self) -> bool {
        !self.clients.is_empty() && self.policy != Override::Disabled
    }

    /// Whether what was resolved may have it act. One that only counts is worth no question outside.
    pub(super) fn is_for_answers(&self) -> bool {
        let has_triggers = !self.answers.is_empty() || self.is_for_servers();
        has_triggers && self.policy != Override::Disabled
    }

    /// Whether servers set it off.
    pub(super) fn is_for_servers(&self) -> bool {
        !self.server_names.is_empty() || !self.server_addresses.is_empty()
    }

    /// The rule for who asks.
    pub(super) fn find_client(&self, client: Option<IpAddr>) -> Option<Found> {
        let (_, rule) = self.clients.find(client?)?;
        Some(self.found(rule, &[]))
    }

    /// The rule for a name (its key).
    pub(super) fn find_name(&self, name: &[u8]) -> Option<Found> {
        find_in(&self.names, name).map(|rule| self.found(rule, name))
    }

    /// The rule for an address in the answer: that of the longest network of all of them.
    pub(super) fn find_answer(&self, records: &[Record]) -> Option<Found> {
        let rule = longest(&self.answers, records.iter().flat_map(addresses));
        rule.map(|rule| self.found(rule, &[]))
    }

    /// The rule for servers: those for names before those for addresses (draft §5).
    pub(super) fn find_servers(&self, servers: &Servers) -> Option<Found> {
        let mut names = servers.names.iter();
        let named = names.find_map(|name| Some((find_in(&self.server_names, name)?, &name[..])));
        let addresses = servers.addresses.iter().copied();
        let address = || Some((longest(&self.server_addresses, addresses)?, &[][..]));
        let (rule, name) = named.or_else(address)?;
        Some(self.found(rule, name))
    }

    /// What a rule does. An alias of the name that set it off for itself lets that name through: zones
    /// from before `rpz-passthru` say it so, and it would be a circle.
    fn found(&self, rule: &Rule, name: &[u8]) -> Found {
        let mut action = match &self.policy {
            Override::Given | Override::Disabled => rule.action.clone(),
            Override::PassThru => Action::PassThru,
            Override::Drop => Action::Drop,
            Override::NxDomain => Action::NxDomain,
            Override::NoData => Action::NoData,
            Override::TcpOnly => Action::TcpOnly,
            Override::Cname(target) => {
                let alias = RData::CNAME(CNAME(target.clone()));
                let alias = Record::from_rdata(Name::root(), rule.ttl_secs, alias);
                Action::Data(vec![alias])
            }
        };
        if let Action::Data(records) = &action
            && alias_of(records).is_some_and(|(target, _)| *key(target) == *name)
        {
            action = Action::PassThru;
        }
        let ttl_secs = rule.ttl_secs;
        Found { action, ttl_secs }
    }

    /// The SOA that says in an answer which zone made it, and for how long a denial holds, in
    /// seconds (RFC 2308 §5).
    pub(super) fn soa(&self, rule_secs: u32) -> (Option<Record>, u32) {
        let Some(mut soa) = self.soa.clone() else {
            return (None, rule_secs.min(TTL_SECS));
        };
        if let RData::SOA(data) = &soa.data {
            soa.ttl = soa.ttl.min(data.minimum);
        }
        let ttl_secs = soa.ttl.min(rule_secs);
        soa.ttl = ttl_secs;
        (Some(soa), ttl_secs)
    }
}

/// The rule for a name: its own before that of the longest wildcard above it.
fn find_in<'r>(rules: &'r BTreeMap<Key, Rule>, name: &[u8]) -> Option<&'r Rule> {
    if let Some(rule) = rules.get(name) {
        return Some(rule);
    }
    let mut wildcard = Vec::with_capacity(NAME_BYTES_MAX);
    let mut above = suffixes(name).skip(1);
    above.find_map(|suffix| {
        wildcard.clear();
        wildcard.extend_from_slice(b"\x01*");
        wildcard.extend_from_slice(suffix);
        rules.get(wildcard.as_slice())
    })
}

/// The rule of the longest network of all that hold one of these addresses.
fn longest(rules: &PrefixMap<Rule>, addresses: impl Iterator<Item = IpAddr>) -> Option<&Rule> {
    let found = addresses.filter_map(|address| rules.find(address));
    found.max_by_key(|(bits, _)| *bits).map(|(_, rule)| rule)
}

impl Rule {
    /// Takes a further record of the same owner in.
    fn join(&mut self, other: Rule) {
        self.ttl_secs = self.ttl_secs.min(other.ttl_secs);
        match (&mut self.action, other.action) {
            (Action::Data(records), Action::Data(more)) => {
                for record in more {
                    records.retain(|old| old.data != record.data);
                    records.push(record);
                }
            }
            // Two aliases of one owner: the later one counts.
            (action, other) => *action = other,
        }
    }

    /// Takes a record out; true if nothing is left.
    fn take(&mut self, gone: &Action) -> bool {
        match (&mut self.action, gone) {
            (Action::Data(records), Action::Data(gone)) => {
                records.retain(|old| gone.iter().all(|gone| gone.data != old.data));
                records.is_empty()
            }
            (action, gone) => action == gone,
        }
    }
}

/// What a record of a rule does (draft §3); `None` for types that are none of policy.
fn action_of(rtype: u16, ttl_secs: u32, data: &[u8]) -> Option<Action> {
    match (rtype, data) {
        (TYPE_CNAME, b"\0") => Some(Action::NxDomain),
        (TYPE_CNAME, b"\x01*\0") => Some(Action::NoData),
        (TYPE_CNAME, b"\x0crpz-passthru\0") => Some(Action::PassThru),
        (TYPE_CNAME, b"\x08rpz-drop\0") => Some(Action::Drop),
        (TYPE_CNAME, b"\x0crpz-tcp-only\0") => Some(Action::TcpOnly),
        // NS, SOA, DNAME, and everything of DNSSEC.
        (TYPE_NS | TYPE_SOA | 39 | 43 | 46..=48 | 50 | 51, _) => None,
        _ => {
            let record = record(Name::root(), rtype, ttl_secs, data);
            Some(Action::Data(vec![record]))
        }
    }
}

/// The alias among the records of a rule, and its TTL in seconds.
pub(super) fn alias_of(records: &[Record]) -> Option<(&Name, u32)> {
    records.iter().find_map(|record| match &record.data {
        RData::CNAME(target) => Some((&target.0, record.ttl)),
        _ => None,
    })
}

/// Where such an alias leads for a name: `*.garden.` means that name below `garden.` (draft §3.6).
/// `None` if that is too long.
pub(super) fn expand(target: &Name, qname: &Name) -> Option<Name> {
    if target.is_wildcard() {
        return qname.clone().append_name(&target.base_name()).ok();
    }
    Some(target.clone())
}

#[cfg(test)]
#[path = "rpz_tests.rs"]
mod tests;
