//! Which rules are for whom: a set for all, and sets for the clients of some networks.

use std::net::IpAddr;
use std::sync::Arc;

use super::blocklist::BlockList;
use super::course::Course;
use super::dns64::Dns64;
use super::local::LocalData;
use super::names::NameSet;
use super::prefix::{Prefix, PrefixMap};
use super::rebinding::Rebinding;
use super::rpz::RpzZone;
use crate::agreement::{Setting, Zones};
use crate::iterate::Question;

/// Everything that is to be done for some clients.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Local data and zones, special-use names among them.
    pub local: Arc<LocalData>,
    /// Policy zones, in order, by their place among those of [`Policy`].
    pub rpz: Vec<usize>,
    /// Lists of blocked names.
    pub block_lists: Vec<Arc<BlockList>>,
    /// Names that no list blocks, with all below them.
    pub allow_names: Arc<NameSet>,
    /// IPv6 addresses made of IPv4 addresses.
    pub dns64: Option<Arc<Dns64>>,
    /// Private addresses of names outside.
    pub rebinding: Option<Arc<Rebinding>>,
    /// Whether ANY is answered with one record (RFC 8482).
    pub minimal_any: bool,
    /// Whose answers nodes agree on.
    pub agreement: Arc<Zones>,
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(super) rpz: Vec<RpzZone>,
    /// The first is for those who are in no view.
    rules: Vec<Rules>,
    /// Places of rules.
    views: PrefixMap<usize>,
    /// Whether no answer may be shared.
    pub(super) is_private: bool,
}

impl Policy {
    /// Rules for everybody, over these policy zones.
    #[must_use]
    pub fn new(rpz: Vec<RpzZone>, rules: Rules) -> Self {
        Self {
            rpz,
            rules: vec![rules],
            views: PrefixMap::default(),
            is_private: false,
        }
    }

    /// Gives the clients of some networks other rules; where networks lie in each other, the longest
    /// counts.
    pub fn add_view(&mut self, clients: &[Prefix], rules: Rules) {
        let place = self.rules.len();
        self.rules.push(rules);
        for network in clients {
            self.views.insert(*network, place);
        }
    }

    /// Keeps every answer from now on for the client that asked.
    pub fn share_nothing(&mut self) {
        self.is_private = true;
    }

    /// Names of all policy zones and lists.
    pub fn list_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let lists = self.rules.iter().flat_map(|rules| &rules.block_lists);
        let zones = self.rpz.iter().map(RpzZone::name);
        zones.chain(lists.map(|list| list.name()))
    }

    /// The place of the rules for a client; 0 for who is in no view.
    pub(super) fn view_of(&self, client: Option<IpAddr>) -> usize {
        let view = client.and_then(|client| self.views.find(client));
        view.map_or(0, |(_, place)| *place)
    }

    /// The rules of a view. One that is gone since a question came counts as none.
    pub(super) fn rules(&self, view: usize) -> Option<&Rules> {
        self.rules.get(view).or_else(|| self.rules.first())
    }

    /// The policy zones of some rules, in order.
    pub(super) fn zones<'p>(&'p self, rules: &'p Rules) -> impl Iterator<Item = &'p RpzZone> {
        rules.rpz.iter().filter_map(|place| self.rpz.get(*place))
    }

    /// Whether nodes agree on the answer to a question that is to be resolved.
    #[must_use]
    pub fn agreement(&self, course: &Course, question: &Question) -> Setting {
        let rules = self.rules(course.view());
        rules.map_or_else(Setting::default, |rules| {
            rules.agreement.find_name(&question.qname)
        })
    }

    /// What this node holds of a name (in wire form, lower case) that others propose an answer for.
    #[must_use]
    pub fn agreement_for_all(&self, name: &[u8]) -> Setting {
        let rules = self.rules(0);
        rules.map_or_else(Setting::default, |rules| rules.agreement.find(name))
    }

    /// Policy zones, for who looks after them.
    pub fn rpz_zones(&self) -> impl Iterator<Item = &RpzZone> {
        self.rpz.iter()
    }

    /// A policy zone (name in lower case with the final dot) to be changed record by record, or
    /// replaced whole. Answers from before must be forgotten everywhere after it.
    pub fn rpz_zone_mut(&mut self, name: &str) -> Option<&mut RpzZone> {
        self.rpz.iter_mut().find(|zone| **zone.name() == *name)
    }
}
