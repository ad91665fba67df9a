//! Where trust starts, and which zones' keys are known to be good, absent or wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::rr::Name;

use super::bounded::{BoundedMap, HashKeys};
use super::config::Validation;
use super::dnssec::{Ds, Key};
use super::explain::Insecurity;
use super::failures::Failure;
use super::name::WireName;

/// Longest time that a zone's status is kept, in seconds: its keys may be withdrawn.
const KEEP_SECS_MAX: u32 = 3_600;
/// For how long a zone counts as bogus before its keys are fetched again, in seconds.
pub(super) const BOGUS_SECS: u32 = 10;

/// Bytes of keys that a zone has in its place; with more it takes several.
const PLACE_BYTES: usize = 1_024;

/// Negative anchors beside those of the configuration: each is some person's decision.
const NEGATIVE_MAX: usize = 1_024;

/// A negative trust anchor (RFC 7646), as [`Resolver::negative_anchors`] shows it.
///
/// [`Resolver::negative_anchors`]: super::Resolver::negative_anchors
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegativeAnchor {
    /// The zone, which counts as unsigned with all below it.
    pub zone: Name,
    /// Seconds until it ends; `None` for one of the configuration, which does not.
    pub left_secs: Option<u64>,
    /// Why it was added; may be empty.
    pub reason: String,
}

/// Why a negative trust anchor is not added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegativeAnchorError {
    /// Nothing is validated, so that all zones count as unsigned.
    #[error("DNSSEC validation is off: every zone counts as unsigned")]
    NotValidating,
    /// It stands in the configuration, and ends only there.
    #[error("it stands in the configuration, where it has to be changed")]
    Configured,
    /// There is none of this name.
    #[error("there is no negative trust anchor of this name")]
    Unknown,
    /// No more may be added.
    #[error("there are {0} already; expected fewer")]
    TooMany(usize),
}

/// What is known of a zone.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// These keys sign it.
    Secure(Arc<[Key]>),
    /// It is proven, or configured, that nothing vouches for it; or something does, in a way that
    /// is not known here.
    Insecure(Option<Insecurity>),
    /// Its keys are not those that its parent names.
    Bogus(Failure),
}

/// A zone that counts as unsigned on purpose, with all below it (RFC 7646).
struct Negative {
    /// When it ends; never for one of the configuration.
    until_ms: Option<u64>,
    reason: String,
}

struct Known {
    trust: Trust,
    until_ms: u64,
}

impl Known {
    /// How many of the places for zones it takes: a zone may publish as many keys as fit a message.
    fn places(&self) -> usize {
        let Trust::Secure(keys) = &self.trust else {
            return 1;
        };
        let bytes = |key: &Key| size_of::<Key>() + key.rdata().len();
        let bytes: usize = keys.iter().map(bytes).sum();
        bytes.div_ceil(PLACE_BYTES).max(1)
    }
}

/// Trust anchors, their exceptions, and what has been found below them.
pub(super) struct TrustTree {
    anchors: BTreeMap<WireName, Vec<Ds>>,
    negative: BTreeMap<WireName, Negative>,
    negative_max: usize,
    zones: BoundedMap<WireName, Known>,
    /// Whether a zone was ever insecure for a reason worth saying: mostly none is.
    has_reasons: bool,
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
                .map(|zone| (WireName::from_name(zone), Negative::permanent()))
                .collect(),
            negative_max: validation.negative.len() + NEGATIVE_MAX,
            zones: BoundedMap::new(zones_max, keys),
            has_reasons: false,
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
            .is_none_or(|zone| self.negative.contains_key(zone))
    }

    /// The closest zone at or above the name that has an anchor, positive or negative.
    pub(super) fn configured<'a>(&self, name: &'a WireName) -> Option<&'a [u8]> {
        name.suffixes().find(|suffix| {
            self.negative.contains_key(*suffix) || self.anchors.contains_key(*suffix)
        })
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

    /// The closest zone of which something is known, if it is signed in a way that is not known
    /// here, and in which way.
    pub(super) fn insecurity(
        &self,
        now_ms: u64,
        name: &WireName,
    ) -> Option<(WireName, Insecurity)> {
        if !self.has_reasons || self.is_exempt(name) {
            return None;
        }
        let is_known = |suffix: &&[u8]| {
            let known = self.zones.peek(*suffix);
            known.is_some_and(|known| now_ms < known.until_ms) || self.anchors.contains_key(*suffix)
        };
        let suffix = name.suffixes().find(is_known)?;
        match self.zones.peek(suffix)?.trust {
            Trust::Insecure(Some(why)) => WireName::parse(suffix).map(|zone| (zone, why)),
            _ => None,
        }
    }

    /// Remembers what was found of a zone.
    pub(super) fn insert(&mut self, now_ms: u64, zone: WireName, trust: Trust, secs: u32) {
        let until_ms = now_ms + u64::from(secs.min(KEEP_SECS_MAX)) * 1000;
        self.has_reasons |= matches!(trust, Trust::Insecure(Some(_)));
        let known = Known { trust, until_ms };
        let places = known.places();
        self.zones.insert(zone, known, places);
    }

    /// Every zone with its keys.
    pub(super) fn anchors(&self) -> impl Iterator<Item = (&WireName, &[Ds])> {
        self.anchors.iter().map(|(zone, named)| (zone, &**named))
    }

    /// Trusts other keys of a zone from now on, and forgets what followed from those before: a key
    /// that was revoked may have vouched for any zone below.
    pub(super) fn set_anchor(&mut self, zone: &WireName, named: Vec<Ds>) {
        self.anchors.insert(zone.clone(), named);
        self.flush(|known| known.is_within(zone));
    }

    /// Takes a zone for unsigned until `until_ms`, or sets another end and reason.
    pub(super) fn add_negative(
        &mut self,
        zone: WireName,
        until_ms: u64,
        reason: String,
    ) -> Result<(), NegativeAnchorError> {
        match self.negative.get(&zone) {
            Some(known) if known.until_ms.is_none() => {
                return Err(NegativeAnchorError::Configured);
            }
            None if self.negative.len() >= self.negative_max => {
                return Err(NegativeAnchorError::TooMany(self.negative_max));
            }
            _ => {}
        }
        let until_ms = Some(until_ms);
        self.negative.insert(zone, Negative { until_ms, reason });
        Ok(())
    }

    /// Ends a negative anchor before its time.
    pub(super) fn remove_negative(&mut self, zone: &WireName) -> Result<(), NegativeAnchorError> {
        match self.negative.get(zone) {
            None => Err(NegativeAnchorError::Unknown),
            Some(known) if known.until_ms.is_none() => Err(NegativeAnchorError::Configured),
            Some(_) => {
                self.negative.remove(zone);
                Ok(())
            }
        }
    }

    /// When the next negative anchor ends.
    pub(super) fn next_lapse_ms(&self) -> Option<u64> {
        let ends_ms = self.negative.values().filter_map(|known| known.until_ms);
        ends_ms.min()
    }

    /// Takes out a negative anchor whose time is up.
    pub(super) fn take_lapsed(&mut self, now_ms: u64) -> Option<WireName> {
        let is_over = |known: &Negative| known.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        let (zone, _) = self.negative.iter().find(|(_, known)| is_over(known))?;
        let zone = zone.clone();
        self.negative.remove(&zone);
        Some(zone)
    }

    /// Every negative anchor.
    pub(super) fn negative(&self, now_ms: u64) -> impl Iterator<Item = NegativeAnchor> {
        self.negative.iter().map(move |(zone, known)| {
            let left_secs = |until_ms: u64| until_ms.saturating_sub(now_ms).div_ceil(1000);
            NegativeAnchor {
                zone: zone.to_name(),
                left_secs: known.until_ms.map(left_secs),
                reason: known.reason.clone(),
            }
        })
    }

    /// Forgets what `matches`.
    pub(super) fn flush(&mut self, matches: impl Fn(&WireName) -> bool) {
        self.zones
            .retain(|zone, known| (!matches(zone)).then(|| known.places()));
    }
}

impl Negative {
    fn permanent() -> Self {
        Self {
            until_ms: None,
            reason: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterate::config::TrustAnchor;

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
    fn a_negative_anchor_ends_when_its_time_is_up_and_a_configured_one_does_not() {
        let mut tree = tree();
        let zone = name("late.example.");
        assert_eq!(tree.next_lapse_ms(), None);
        tree.add_negative(zone.clone(), 5_000, "broken".into())
            .unwrap();
        assert_eq!(tree.next_lapse_ms(), Some(5_000));
        assert!(tree.is_exempt(&name("www.late.example.")));
        let shown = tree.negative(1_001).find(|shown| shown.left_secs.is_some());
        assert_eq!(shown.map(|shown| shown.left_secs), Some(Some(4)));
        assert_eq!(tree.take_lapsed(4_999), None);
        assert_eq!(tree.take_lapsed(5_000), Some(zone));
        assert_eq!(tree.take_lapsed(u64::MAX), None);
        assert!(!tree.is_exempt(&name("www.late.example.")));
    }

    #[test]
    fn configured_negative_anchors_are_neither_changed_nor_removed_and_added_ones_are_bounded() {
        let mut tree = tree();
        let configured = name("broken.example.");
        let error = Err(NegativeAnchorError::Configured);
        assert_eq!(
            tree.add_negative(configured.clone(), 1, String::new()),
            error
        );
        assert_eq!(tree.remove_negative(&configured), error);
        let unknown = Err(NegativeAnchorError::Unknown);
        assert_eq!(tree.remove_negative(&name("example.")), unknown);
        for index in 0..NEGATIVE_MAX {
            let zone = name(&format!("n{index}.example."));
            tree.add_negative(zone, 1, String::new()).unwrap();
        }
        let full = Err(NegativeAnchorError::TooMany(NEGATIVE_MAX + 1));
        assert_eq!(
            tree.add_negative(name("more.example."), 1, String::new()),
            full
        );
        let again = tree.add_negative(name("n0.example."), 2, String::new());
        assert_eq!(again, Ok(()), "another end for one that is there");
    }

    #[test]
    fn zones_with_many_keys_take_the_places_of_several() {
        let mut tree = tree();
        let key = Key::parse(&[1; 1_100]).unwrap();
        let zones: Vec<WireName> = (0..16).map(|n| name(&format!("z{n}."))).collect();
        for zone in &zones {
            tree.insert(
                0,
                zone.clone(),
                Trust::Secure(vec![key.clone(); 3].into()),
                60,
            );
        }
        let mut known = |zone: &&WireName| tree.zones.peek(zone.as_bytes()).is_some();
        assert_eq!(zones.iter().filter(&mut known).count(), 16 / 4);
        tree.flush(|_| false);
        assert_eq!(tree.zones.weight(), 16);
    }

    #[test]
    fn what_is_known_above_an_anchor_does_not_count_below_it() {
        let mut tree = tree();
        tree.insert(0, name("unsigned."), Trust::Insecure(None), 60);
        let closest = |tree: &mut TrustTree, at, of| tree.closest(at, &name(of));
        assert!(closest(&mut tree, 0, "www.unsigned.").is_some());
        assert!(closest(&mut tree, 0, "www.island.unsigned.").is_none());
        assert!(closest(&mut tree, 60_000, "www.unsigned.").is_none());
        let anchor = tree.closest_anchor(&name("a.island.unsigned."));
        assert_eq!(anchor, Some(name("island.unsigned.")));
    }
}
