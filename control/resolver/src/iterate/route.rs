//! Where the names of a zone are asked: of forwarders, of servers that no delegation names, or in the tree.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hickory_proto::rr::{Name, RecordType};

use super::config::Config;
use super::name::WireName;
use super::place::Place;
use super::resolver::Resolver;
use super::task::{Task, TaskKey};

/// Time between two attempts to prime one stub zone, in milliseconds.
const PRIME_PAUSE_MS: u64 = 60_000;

/// What the operator has chosen for a zone and all below it, as an index into the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `Config::forward`, with servers.
    Forward(usize),
    /// `Config::stub`.
    Stub(usize),
    /// The tree from the root, as an exception to what is chosen above.
    Tree,
}

/// Every route. The longest zone that holds a name wins.
#[derive(Debug)]
pub(super) struct Routes {
    by_zone: BTreeMap<WireName, Route>,
    /// For each stub zone: no priming before this.
    prime_after_ms: Vec<u64>,
}

impl Routes {
    /// Of several routes for one zone the first counts, forwarders before stubs.
    pub(super) fn new(config: &Config) -> Self {
        let mut by_zone = BTreeMap::new();
        for (index, forward) in config.forward.iter().enumerate() {
            let is_exception = forward.servers.is_empty();
            let route = if is_exception {
                Route::Tree
            } else {
                Route::Forward(index)
            };
            let zone = WireName::from_name(&forward.zone);
            by_zone.entry(zone).or_insert(route);
        }
        for (index, stub) in config.stub.iter().enumerate() {
            let zone = WireName::from_name(&stub.zone);
            by_zone.entry(zone).or_insert(Route::Stub(index));
        }
        let prime_after_ms = vec![0; config.stub.len()];
        Self {
            by_zone,
            prime_after_ms,
        }
    }

    /// Whether any name is forwarded.
    pub(super) fn has_forwarders(&self) -> bool {
        let mut routes = self.by_zone.values();
        routes.any(|route| matches!(route, Route::Forward(_)))
    }

    /// The route of a name, and the zone that it is for.
    pub(super) fn find(&self, name: &WireName) -> Option<(&WireName, Route)> {
        if self.by_zone.is_empty() {
            return None;
        }
        let mut suffixes = name.suffixes();
        let found = suffixes.find_map(|suffix| self.by_zone.get_key_value(suffix))?;
        Some((found.0, *found.1))
    }

    /// Whether a delegation that was met in the tree may lead on to names of the tree: one that a
    /// stub or a forwarder gave may not, for its zone may be another one there.
    fn is_in_tree(&self, zone: &WireName, ignores_forwarders: bool) -> bool {
        match self.find(zone) {
            None | Some((_, Route::Tree)) => true,
            Some((_, Route::Forward(_))) => ignores_forwarders,
            Some((_, Route::Stub(_))) => false,
        }
    }
}

impl Resolver {
    /// The servers to ask for a name: those of its route, or the closest in the tree that are known.
    pub(super) fn locate_routed(&mut self, now_ms: u64, task: &Task, name: &WireName) -> Place {
        let ignores_forwarders = task.iterate_only;
        match self.routes.find(name) {
            Some((zone, Route::Forward(index))) if !ignores_forwarders => {
                let mut place = Place::new(zone.clone());
                let forward = self.config.forward.get(index);
                place.forward = Some(index);
                place.insists = forward.is_some_and(|forward| !forward.fallback);
                self.with_servers(place, forward.iter().flat_map(|forward| &forward.servers))
            }
            Some((zone, Route::Stub(index))) => {
                let zone = zone.clone();
                self.locate_stub(now_ms, name, index, zone)
            }
            _ => {
                let is_root_here = self.is_root_here(now_ms, task);
                let usable = |routes: &Routes, zone: &WireName| {
                    routes.is_in_tree(zone, ignores_forwarders) && !(is_root_here && zone.is_root())
                };
                match self.locate_cached(now_ms, name, usable) {
                    Some(place) => place,
                    None if is_root_here => Self::locate_here(),
                    None => self.locate_root(now_ms),
                }
            }
        }
    }

    /// A stub zone, or the closest zone below it whose servers are known. The stub's own NS RRset
    /// counts only if it is to be primed.
    fn locate_stub(&mut self, now_ms: u64, name: &WireName, index: usize, zone: WireName) -> Place {
        let primes = self.config.stub.get(index).is_some_and(|stub| stub.prime);
        let usable = |routes: &Routes, found: &WireName| {
            let route = routes.find(found).map(|(_, route)| route);
            route == Some(Route::Stub(index)) && (primes || *found != zone)
        };
        if let Some(place) = self.locate_cached(now_ms, name, usable) {
            return place;
        }
        if primes {
            self.prime_stub(now_ms, index, &zone);
        }
        let servers = self.config.stub.get(index).map(|stub| &stub.servers);
        self.with_servers(Place::new(zone), servers.into_iter().flatten())
    }

    fn with_servers<'a>(
        &self,
        mut place: Place,
        servers: impl Iterator<Item = &'a SocketAddr>,
    ) -> Place {
        servers.for_each(|server| place.add_server(&self.config, *server));
        place
    }

    /// Asks the servers of a stub zone for its NS RRset, beside the question that needs them, as the
    /// root's are asked (RFC 8109 §3).
    fn prime_stub(&mut self, now_ms: u64, index: usize, zone: &WireName) {
        let key = TaskKey {
            name: zone.clone(),
            rtype: RecordType::NS,
            checking_disabled: self.trust.is_some(),
            subnet: None,
        };
        let room = self.has_place();
        let Some(prime_after_ms) = self.routes.prime_after_ms.get_mut(index) else {
            return;
        };
        if now_ms >= *prime_after_ms && room && self.tasks.find(&key).is_none() {
            *prime_after_ms = now_ms + PRIME_PAUSE_MS;
            self.begin(now_ms, key);
        }
    }
}

/// The configured servers of every forwarder and stub zone, each with its zone.
pub(super) fn servers(config: &Config) -> impl Iterator<Item = (&Name, SocketAddr)> {
    let forward = config.forward.iter().map(|to| (&to.zone, &to.servers));
    let stub = config.stub.iter().map(|to| (&to.zone, &to.servers));
    forward
        .chain(stub)
        .flat_map(|(zone, servers)| servers.iter().map(move |server| (zone, *server)))
}
