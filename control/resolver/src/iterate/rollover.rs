//! Trust anchors that follow a zone through a change of its keys (RFC 5011), as a state machine.
//!
//! Decides which keys are trusted and when to look again. Asks nobody and checks no signature: what
//! it is given has been verified with keys that it trusts, see `refresh.rs`. All times are Unix
//! seconds but `due_ms`, which is of the resolver's clock. `rollover_text.rs` keeps it over a
//! restart.

use std::collections::BTreeMap;

use super::dnssec::{Ds, Key};
use super::name::WireName;

const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 86_400;
/// For how long a new key must be seen before it is trusted, at least (RFC 5011 §2.4.1).
const ADD_HOLD_DOWN_SECS: u64 = 30 * DAY_SECS;
/// For how long a revoked key is remembered as such (RFC 5011 §2.4.2).
const REMOVE_HOLD_DOWN_SECS: u64 = 30 * DAY_SECS;
/// Keys of one zone that are followed; more than any zone has had.
const KEYS_MAX: usize = 32;

/// Where a key of a trust anchor stands (RFC 5011 §4.2). A key that is not followed is at Start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnchorState {
    /// Seen, and not yet trusted: whoever stole a key could have added it.
    AddPend,
    /// Trusted, and seen when the zone was last asked; or configured, and the zone was never asked.
    Valid,
    /// Trusted, and not seen when the zone was last asked.
    Missing,
    /// Not trusted any more: it said so itself.
    Revoked,
    /// Revoked, and that long ago. It is never trusted again.
    Removed,
}

impl AnchorState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::AddPend,
        Self::Valid,
        Self::Missing,
        Self::Revoked,
        Self::Removed,
    ];

    /// The word for it, in files and for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::AddPend => "add-pend",
            Self::Valid => "valid",
            Self::Missing => "missing",
            Self::Revoked => "revoked",
            Self::Removed => "removed",
        }
    }
}

/// How a key is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// By the digest that was configured: the key itself was not seen yet.
    Ds(Ds),
    /// As it was before it was revoked, if it was.
    Key(Key),
}

impl Named {
    pub(super) fn tag_and_algorithm(&self) -> (u16, u8) {
        match self {
            Self::Ds(ds) => ds.tag_and_algorithm(),
            Self::Key(key) => key.tag_and_algorithm(),
        }
    }

    fn is(&self, zone: &WireName, key: &Key) -> bool {
        match self {
            Self::Ds(ds) => ds.names(zone, key),
            Self::Key(own) => own == key,
        }
    }
}

/// One key that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    pub(super) named: Named,
    pub(super) state: AnchorState,
    /// Since when it is in this state; 0 for a configured key whose zone was never asked.
    pub(super) since_secs: u64,
    /// When its hold-down ends, in [`AnchorState::AddPend`] and [`AnchorState::Revoked`].
    pub(super) until_secs: u64,
}

impl Tracked {
    pub(super) fn is_trusted(&self) -> bool {
        matches!(self.state, AnchorState::Valid | AnchorState::Missing)
    }

    fn enter(&mut self, state: AnchorState, now_secs: u64) {
        (self.state, self.since_secs, self.until_secs) = (state, now_secs, 0);
        if state == AnchorState::Revoked {
            self.until_secs = now_secs + REMOVE_HOLD_DOWN_SECS;
        }
    }
}

/// What a verified DNSKEY RRset says.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its keys that are not revoked.
    pub(super) present: Vec<Key>,
    /// Those that have revoked themselves, as they were before.
    pub(super) revoked: Vec<Key>,
    /// TTL that the zone gives it, in seconds.
    pub(super) original_ttl_secs: u32,
    /// Seconds until its signature expires.
    pub(super) left_secs: u32,
}

/// One key went from state to state; `None` is Start: it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) tag: u16,
    pub(super) algorithm: u8,
    pub(super) state: Option<AnchorState>,
}

/// A zone with trust anchors.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// What the configuration gave.
    pub(super) configured: Vec<Ds>,
    pub(super) keys: Vec<Tracked>,
    /// When its keys were last seen.
    pub(super) refreshed_secs: Option<u64>,
    /// When to ask for its keys again; `u64::MAX` while they are being asked for.
    pub(super) due_ms: u64,
    /// Time to the next attempt if that fails.
    pub(super) retry_secs: u64,
}

impl Point {
    pub(super) fn new(configured: Vec<Ds>) -> Self {
        let valid = |ds: &Ds| Tracked {
            named: Named::Ds(ds.clone()),
            state: AnchorState::Valid,
            since_secs: 0,
            until_secs: 0,
        };
        Self {
            keys: configured.iter().map(valid).collect(),
            configured,
            refreshed_secs: None,
            due_ms: 0,
            retry_secs: HOUR_SECS,
        }
    }

    /// Seconds until the zone is asked; none while it is being asked.
    pub(super) fn wait_secs(&self, now_ms: u64) -> u64 {
        match self.due_ms {
            u64::MAX => 0,
            due_ms => due_ms.saturating_sub(now_ms) / 1000,
        }
    }

    /// The keys to trust.
    pub(super) fn trusted(&self, zone: &WireName) -> Vec<Ds> {
        let trusted = self.keys.iter().filter(|tracked| tracked.is_trusted());
        let named = trusted.map(|tracked| match &tracked.named {
            Named::Ds(ds) => ds.clone(),
            Named::Key(key) => Ds::of(zone, key),
        });
        named.collect()
    }

    /// Takes in a DNSKEY RRset that a trusted key has signed (RFC 5011 §4.1).
    pub(super) fn see(&mut self, zone: &WireName, seen: &Seen, now_secs: u64) -> Vec<Change> {
        self.learn_keys(zone, seen);
        // Whoever verified this used a trusted key that stays; nothing may leave the zone without.
        let is_revoked = |tracked: &Tracked| match &tracked.named {
            Named::Key(key) => seen.revoked.contains(key),
            Named::Ds(_) => false,
        };
        let stays = |tracked: &Tracked| tracked.is_trusted() && !is_revoked(tracked);
        let may_revoke = self.keys.iter().any(stays);
        let mut changes = Vec::new();
        self.keys.retain_mut(|tracked| {
            let is_present = match &tracked.named {
                Named::Key(key) => seen.present.contains(key),
                Named::Ds(_) => false,
            };
            let is_over = now_secs >= tracked.until_secs;
            let next = match tracked.state {
                AnchorState::AddPend if !is_present || is_revoked(tracked) => None,
                AnchorState::AddPend if is_over => Some(AnchorState::Valid),
                AnchorState::Valid | AnchorState::Missing if is_revoked(tracked) && may_revoke => {
                    Some(AnchorState::Revoked)
                }
                AnchorState::Valid if !is_present => Some(AnchorState::Missing),
                AnchorState::Missing if is_present => Some(AnchorState::Valid),
                AnchorState::Revoked if is_over => Some(AnchorState::Removed),
                same => Some(same),
            };
            // A configured key is seen for the first time: no change, but a time to show.
            if next == Some(AnchorState::Valid) && tracked.since_secs == 0 {
                tracked.since_secs = now_secs;
            }
            if next == Some(tracked.state) {
                return true;
            }
            let (tag, algorithm) = tracked.named.tag_and_algorithm();
            changes.push(Change {
                tag,
                algorithm,
                state: next,
            });
            next.inspect(|state| tracked.enter(*state, now_secs))
                .is_some()
        });
        self.add_new(zone, seen, now_secs, &mut changes);
        self.refreshed_secs = Some(now_secs);
        self.retry_secs = interval_secs(seen, 10, DAY_SECS);
        changes
    }

    /// Seconds until the zone is to be asked again (RFC 5011 §2.3).
    pub(super) fn refresh_after_secs(seen: &Seen) -> u64 {
        interval_secs(seen, 2, 15 * DAY_SECS)
    }

    /// Puts keys in the place of the digests that name them.
    fn learn_keys(&mut self, zone: &WireName, seen: &Seen) {
        for key in seen.present.iter().chain(&seen.revoked) {
            let mut is_known = self
                .keys
                .iter()
                .any(|tracked| matches!(&tracked.named, Named::Key(own) if own == key));
            self.keys.retain_mut(|tracked| {
                let names = matches!(&tracked.named, Named::Ds(ds) if ds.names(zone, key));
                if !names {
                    return true;
                }
                tracked.named = Named::Key(key.clone());
                !std::mem::replace(&mut is_known, true) // Digests of other kinds name it again.
            });
        }
    }

    /// Begins to follow keys that may become anchors.
    fn add_new(&mut self, zone: &WireName, seen: &Seen, now_secs: u64, changes: &mut Vec<Change>) {
        for key in seen.present.iter().filter(|key| key.may_be_anchor()) {
            let is_known = |tracked: &Tracked| tracked.named.is(zone, key);
            if self.keys.iter().any(is_known) || seen.revoked.contains(key) || !self.make_room() {
                continue;
            }
            let (tag, algorithm) = key.tag_and_algorithm();
            // Longer than the TTL, so that it is seen twice (RFC 5011 §2.4.1).
            let hold_secs = ADD_HOLD_DOWN_SECS.max(seen.original_ttl_secs.into());
            self.keys.push(Tracked {
                named: Named::Key(key.clone()),
                state: AnchorState::AddPend,
                since_secs: now_secs,
                until_secs: now_secs + hold_secs,
            });
            let state = Some(AnchorState::AddPend);
            changes.push(Change {
                tag,
                algorithm,
                state,
            });
        }
    }

    /// Whether one more key may be followed; the key that was removed first goes for it.
    fn make_room(&mut self) -> bool {
        if self.keys.len() < KEYS_MAX {
            return true;
        }
        let removed = self
            .keys
            .iter()
            .enumerate()
            .filter(|(_, tracked)| tracked.state == AnchorState::Removed);
        let Some((at, _)) = removed.min_by_key(|(_, tracked)| tracked.since_secs) else {
            return false;
        };
        self.keys.remove(at);
        true
    }
}

/// `MAX(1 hr, MIN(most, OrigTTL / part, RRSigExpirationInterval / part))` of RFC 5011 §2.3.
fn interval_secs(seen: &Seen, part: u64, most_secs: u64) -> u64 {
    let shortest_secs = u64::from(seen.original_ttl_secs.min(seen.left_secs));
    (shortest_secs / part).min(most_secs).max(HOUR_SECS)
}

/// All zones whose trust anchors roll over.
#[derive(Clone, Debug, Default)]
pub(super) struct RollOver {
    pub(super) points: BTreeMap<WireName, Point>,
}

impl RollOver {
    /// Starts from the configured anchors. A zone of which none can be used is left out: it counts
    /// as unsigned.
    pub(super) fn new<'a>(anchors: impl Iterator<Item = (&'a WireName, &'a [Ds])>) -> Self {
        let usable = anchors.filter(|(_, named)| named.iter().any(Ds::is_supported));
        let points = usable.map(|(zone, named)| (zone.clone(), Point::new(named.to_vec())));
        Self {
            points: points.collect(),
        }
    }

    /// When the next zone is to be asked for its keys.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        let dues_ms = self.points.values().map(|point| point.due_ms);
        dues_ms.min().filter(|due_ms| *due_ms != u64::MAX)
    }

    /// A zone that is to be asked now; it is not due again until that has ended.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<WireName> {
        let is_due = |point: &Point| point.due_ms <= now_ms;
        let (zone, point) = self.points.iter_mut().find(|(_, point)| is_due(point))?;
        point.due_ms = u64::MAX;
        Some(zone.clone())
    }
}

#[cfg(test)]
#[path = "rollover_tests.rs"]
mod tests;
