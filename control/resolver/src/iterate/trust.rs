//! Where trust starts, and which zones' keys are known to be good, absent or wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bounded::{BoundedMap, HashKeys};
use super::config::Validation;
use super::dnssec::{Ds, Key};
use super::failures::Failure;
use super::name::WireName;

/// Longest time that a zone's status is kept, in seconds: its keys may be withdrawn.
const KEEP_SECS_MAX: u32 = 3_600;
/// For how long a zone counts as bogus before its keys are fetched again, in seconds.
pub(super) const BOGUS_SECS: u32 = 10;

/// What is known of a zone.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// These keys sign it.
    Secure(Arc<[Key]>),
    /// It is proven, or configured, that nothing vouches for it.
    Insecure,
    /// Its keys are not those that its parent names.
    Bogus(Failure),
}

struct Known {
    trust: Trust,
    until_ms: u64,
}

/// Trust anchors, their exceptions, and what has been found below them.
pub(super) struct TrustTree {
    anchors: BTreeMap<WireName, Vec<Ds>>,
    negative: BTreeSet<WireName>,
    zones: BoundedMap<WireName, Known>,
}

impl TrustTree {
    pub(super) fn new(validation: &Validation, zones_max: usize, keys: HashKeys) -> Self {
        let mut anchors: BTreeMap<WireName, Vec<Ds>> = BTreeMap::new();
        for anchor in &validation.anchors {
            let named = anchors
                .entry(WireName::from_name(&anchor.zone))
                .or_default();
            named.extend(Ds::parse(&anchor.ds));
        }
        Self {
            anchors,
            negative: validation
                .negative
                .iter()
                .map(WireName::from_name)
                .collect(),
            zones: BoundedMap::new(zones_max, keys),
        }
    }

    /// The keys that are configured for a zone.
    pub(super) fn anchor(&self, zone: &WireName) -> Option<&[Ds]> {
        self.anchors.get(zone).map(Vec::as_slice)
    }

    /// Whether a name lies under a negative trust anchor that no anchor further down lifts, or
    /// under no anchor at all (RFC 7646).
    pub(super) fn is_exempt(&self, name: &WireName) -> bool {
        self.configured(name)
            .is_none_or(|zone| self.negative.contains(zone))
    }

    /// The closest zone at or above the name that has an anchor, positive or negative.
    pub(super) fn configured<'a>(&self, name: &'a WireName) -> Option<&'a [u8]> {
        name.suffixes()
            .find(|suffix| self.negative.contains(*suffix) || self.anchors.contains_key(*suffix))
    }

    /// The closest zone at or above the name, and at or below its closest anchor, of which
    /// something is known.
    pub(super) fn closest(&mut self, now_ms: u64, name: &WireName) -> Option<(WireName, Trust)> {
        for suffix in name.suffixes() {
            let known = self
                .zones
                .get(suffix)
                .filter(|known| now_ms < known.until_ms);
            if let Some(known) = known {
                return WireName::parse(suffix).map(|zone| (zone, known.trust.clone()));
            }
            if self.anchors.contains_key(suffix) {
                return None;
            }
        }
        None
    }

    /// The anchor to start from when nothing is known.
    pub(super) fn closest_anchor(&self, name: &WireName) -> Option<WireName> {
        let suffix = name
            .suffixes()
            .find(|suffix| self.anchors.contains_key(*suffix))?;
        WireName::parse(suffix)
    }

    /// Remembers what was found of a zone.
    pub(super) fn insert(&mut self, now_ms: u64, zone: WireName, trust: Trust, secs: u32) {
        let until_ms = now_ms + u64::from(secs.min(KEEP_SECS_MAX)) * 1000;
        self.zones.insert(zone, Known { trust, until_ms }, 1);
    }

    /// Forgets what `matches`.
    pub(super) fn flush(&mut self, matches: impl Fn(&WireName) -> bool) {
        self.zones.retain(|zone, _| (!matches(zone)).then_some(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterate::config::TrustAnchor;
    use hickory_proto::rr::Name;

    fn name(text: &str) -> WireName {
        WireName::from_name(&Name::from_ascii(text).unwrap())
    }

    fn tree_of(anchors: &[&str], negative: &[&str]) -> TrustTree {
        let parse = |text: &&str| Name::from_ascii(text).unwrap();
        let anchor = |zone| TrustAnchor {
            zone: parse(zone),
            ds: Vec::new(),
        };
        let validation = Validation {
            anchors: anchors.iter().map(anchor).collect(),
            negative: negative.iter().map(parse).collect(),
        };
        TrustTree::new(&validation, 16, HashKeys(1, 2))
    }

    fn tree() -> TrustTree {
        tree_of(&[".", "island.unsigned."], &["broken.example."])
    }

    #[test]
    fn negative_anchors_exempt_what_is_below_them_until_the_next_anchor() {
        let tree = tree();
        assert!(!tree.is_exempt(&name("www.example.")));
        assert!(tree.is_exempt(&name("broken.example.")));
        assert!(tree.is_exempt(&name("www.broken.example.")));
        assert!(tree_of(&[], &[]).is_exempt(&name("www.example.")));
    }

    #[test]
    fn what_is_known_above_an_anchor_does_not_count_below_it() {
        let mut tree = tree();
        tree.insert(0, name("unsigned."), Trust::Insecure, 60);
        let closest = |tree: &mut TrustTree, at, of| tree.closest(at, &name(of));
        assert!(closest(&mut tree, 0, "www.unsigned.").is_some());
        assert!(closest(&mut tree, 0, "www.island.unsigned.").is_none());
        assert!(closest(&mut tree, 60_000, "www.unsigned.").is_none());
        let anchor = tree.closest_anchor(&name("a.island.unsigned."));
        assert_eq!(anchor, Some(name("island.unsigned.")));
    }
}
