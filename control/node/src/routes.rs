//! Routes of the resolver, out of the configuration.

use std::net::SocketAddr;

use config::{ForwardZone, StubZone, Upstream};
use hickory_proto::rr::Name;
use resolver::iterate;
use wire::name::suffixes;

use crate::zone_file::wire_name;

/// Adds the zones that are asked elsewhere than the tree says, in the order of the configuration, and
/// those whose servers see clients' networks.
pub(crate) fn add(from: &config::Resolver, to: &mut iterate::Config) {
    to.forward
        .extend(from.forward_zones.iter().filter_map(forward));
    to.stub.extend(from.stub_zones.iter().filter_map(stub));
    let zones = from.client_subnet.zones.iter();
    to.client_subnet = iterate::ClientSubnet {
        zones: zones
            .filter_map(|zone| Name::from_ascii(zone).ok())
            .collect(),
        ipv4_bits: from.client_subnet.ipv4_bits,
        ipv6_bits: from.client_subnet.ipv6_bits,
    };
}

/// Which names are forwarded, for people to read.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded(Vec<(Vec<u8>, bool)>);

impl Forwarded {
    pub(crate) fn new(from: &config::Resolver) -> Self {
        let forward = from.forward_zones.iter();
        let forward = forward.map(|route| (&route.zone, !route.servers.is_empty()));
        let stub = from.stub_zones.iter().map(|route| (&route.zone, false));
        let mut zones: Vec<(Vec<u8>, bool)> = forward
            .chain(stub)
            .filter_map(|(zone, is_forwarded)| Some((wire_name(zone)?, is_forwarded)))
            .collect();
        if !from.forward.is_empty() {
            zones.push((vec![0], true));
        }
        zones.sort_by_key(|(zone, _)| std::cmp::Reverse(zone.len()));
        Self(zones)
    }

    /// Whether a name in lower-case wire form goes to other resolvers.
    pub(crate) fn holds(&self, qname: &[u8]) -> bool {
        let mut zones = self.0.iter();
        let closest = zones.find(|(zone, _)| suffixes(qname).any(|suffix| suffix == zone));
        closest.is_some_and(|(_, is_forwarded)| *is_forwarded)
    }

    /// Whether all names are but those that another route takes out.
    pub(crate) fn holds_root(&self) -> bool {
        self.holds(&[0])
    }
}

fn forward(from: &ForwardZone) -> Option<iterate::Forward> {
    Some(iterate::Forward {
        zone: Name::from_ascii(&from.zone).ok()?, // The configuration holds names alone.
        servers: addresses(&from.servers),
        fallback: from.fallback,
    })
}

fn stub(from: &StubZone) -> Option<iterate::Stub> {
    Some(iterate::Stub {
        zone: Name::from_ascii(&from.zone).ok()?,
        servers: addresses(&from.servers),
        prime: from.prime,
    })
}

fn addresses(from: &[Upstream]) -> Vec<SocketAddr> {
    from.iter().map(|upstream| upstream.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_route_says_whether_a_name_is_forwarded() {
        let text = "resolver: {forward_zones: [{zone: a, servers: [192.0.2.1]}, {zone: x.a, servers: []}], \
                    stub_zones: [{zone: s.a, servers: [192.0.2.1]}]}";
        let config = config::Config::parse(text, std::path::Path::new("f")).unwrap();
        let forwarded = Forwarded::new(&config.resolver);
        for (name, expected) in [
            ("a.", true),
            ("b.a.", true),
            ("x.a.", false),
            ("y.x.a.", false),
            ("s.a.", false),
            ("xa.", false),
        ] {
            assert_eq!(
                forwarded.holds(&wire_name(name).unwrap()),
                expected,
                "{name}"
            );
        }
        assert!(!forwarded.holds_root());
        let root = config::Config::parse(
            "resolver: {forward: [192.0.2.1]}",
            std::path::Path::new("f"),
        );
        assert!(Forwarded::new(&root.unwrap().resolver).holds_root());
    }
}
