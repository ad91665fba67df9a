//! What the operator sees of trust and does about it while the resolver runs.

use hickory_proto::rr::Name;

use super::name::WireName;
use super::resolver::Resolver;
use super::rollover::{AnchorState, RollOver};
use super::rollover_text::{AnchorFileError, read_state, write_state};
use super::trust::{NegativeAnchor, NegativeAnchorError};

/// What happened to trust, for the shell to log and to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustEvent {
    /// A key of a trust anchor went into another state; `None`: it is not followed any more.
    AnchorChanged {
        /// The anchored zone.
        zone: Name,
        /// Tag of the key as it is without the REVOKE bit.
        key_tag: u16,
        /// Number of its algorithm.
        algorithm: u8,
        /// The state now.
        state: Option<AnchorState>,
    },
    /// The keys of an anchored zone were seen and held; when is worth keeping.
    AnchorsRefreshed {
        /// The anchored zone.
        zone: Name,
    },
    /// They could not be had, or did not hold. The anchors stay as they are.
    RefreshFailed {
        /// The anchored zone.
        zone: Name,
        /// For people to read.
        reason: String,
    },
    /// The time of a negative trust anchor is up: what other caches hold below it is to be judged.
    NegativeEnded {
        /// The zone.
        zone: Name,
    },
}

/// One key of a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorStatus {
    /// The anchored zone.
    pub zone: Name,
    /// Tag of the key as it is without the REVOKE bit.
    pub key_tag: u16,
    /// Number of its algorithm.
    pub algorithm: u8,
    /// Where it stands.
    pub state: AnchorState,
    /// Seconds since it is there; `None` as long as it is only configured.
    pub age_secs: Option<u64>,
    /// Seconds until its zone is asked for keys again; `None` if it does not roll over.
    pub refresh_in_secs: Option<u64>,
}

impl Resolver {
    /// Takes a zone for unsigned, with all below it, for the next `lifetime_secs` (RFC 7646), or sets
    /// another end and reason for one that was added before. What was cached there is forgotten;
    /// returns how many RRsets and failures went.
    ///
    /// # Errors
    /// [`NegativeAnchorError`]; nothing has changed then.
    pub fn add_negative_anchor(
        &mut self,
        now_ms: u64,
        zone: &Name,
        lifetime_secs: u64,
        reason: String,
    ) -> Result<usize, NegativeAnchorError> {
        let tree = self.trust.as_mut();
        let tree = tree.ok_or(NegativeAnchorError::NotValidating)?;
        let until_ms = now_ms.saturating_add(lifetime_secs.saturating_mul(1000));
        tree.add_negative(WireName::from_name(zone), until_ms, reason)?;
        let forgotten = self.flush(Some((zone, true)));
        // Names elsewhere may have failed because their aliases lead here: all are tried again.
        Ok(forgotten + self.failures.flush(|_| true))
    }

    /// Ends a negative trust anchor before its time. What was cached there is forgotten, as when it
    /// ends by itself; returns how many RRsets and failures went.
    ///
    /// # Errors
    /// [`NegativeAnchorError`]; nothing has changed then.
    pub fn remove_negative_anchor(&mut self, zone: &Name) -> Result<usize, NegativeAnchorError> {
        let tree = self.trust.as_mut();
        let tree = tree.ok_or(NegativeAnchorError::NotValidating)?;
        tree.remove_negative(&WireName::from_name(zone))?;
        Ok(self.flush(Some((zone, true))))
    }

    /// Every negative trust anchor, those of the configuration too, in no order.
    pub fn negative_anchors(&self, now_ms: u64) -> impl Iterator<Item = NegativeAnchor> {
        let tree = self.trust.iter();
        tree.flat_map(move |tree| tree.negative(now_ms))
    }

    /// Every key of every trust anchor.
    #[must_use]
    pub fn trust_anchors(&self, now_ms: u64) -> Vec<AnchorStatus> {
        let now_secs = self.unix_time_secs(now_ms);
        let mut all = Vec::new();
        for (zone, named) in self.trust.iter().flat_map(|tree| tree.anchors()) {
            let status = |(key_tag, algorithm)| AnchorStatus {
                zone: zone.to_name(),
                key_tag,
                algorithm,
                state: AnchorState::Valid,
                age_secs: None,
                refresh_in_secs: None,
            };
            let Some(point) = self.roll_over.points.get(zone) else {
                all.extend(named.iter().map(|ds| status(ds.tag_and_algorithm())));
                continue;
            };
            let age_secs = |since_secs: u64| now_secs.saturating_sub(since_secs);
            all.extend(point.keys.iter().map(|tracked| {
                AnchorStatus {
                    state: tracked.state,
                    age_secs: Some(tracked.since_secs)
                        .filter(|secs| *secs != 0)
                        .map(age_secs),
                    refresh_in_secs: Some(point.wait_secs(now_ms)),
                    ..status(tracked.named.tag_and_algorithm())
                }
            }));
        }
        all
    }

    /// The state of all anchors that roll over, as text to keep over a restart.
    #[must_use]
    pub fn trust_anchor_state(&self, now_ms: u64) -> String {
        write_state(&self.roll_over, now_ms, self.unix_time_secs(now_ms))
    }

    /// Goes on from a state that was kept. To be called after [`set_time`](Self::set_time), and
    /// before the first step. What it says of a zone counts unless other anchors are configured for
    /// it now; then only what was revoked stays so. Gives the zones of which that is so.
    ///
    /// # Errors
    /// [`AnchorFileError`] with the line; the configured anchors hold then.
    pub fn restore_trust_anchors(
        &mut self,
        now_ms: u64,
        text: &str,
    ) -> Result<Vec<Name>, AnchorFileError> {
        let saved = read_state(text, now_ms, self.unix_time_secs(now_ms))?;
        let mut anew = Vec::new();
        for (zone, saved) in saved.points {
            let Some(point) = self.roll_over.points.get_mut(&zone) else {
                continue; // It is not anchored any more.
            };
            if !point.restore(&zone, saved) {
                anew.push(zone.to_name());
            }
            if let Some(tree) = &mut self.trust {
                tree.set_anchor(&zone, point.trusted(&zone));
            }
        }
        Ok(anew)
    }

    /// What happened to trust since the last call.
    pub fn take_trust_events(&mut self) -> Vec<TrustEvent> {
        std::mem::take(&mut self.trust_events)
    }

    /// Starts to follow the configured anchors, if that is wanted.
    pub(super) fn begin_roll_over(&mut self) {
        if let Some(tree) = self
            .trust
            .as_ref()
            .filter(|_| self.config.trust_anchor_roll_over)
        {
            self.roll_over = RollOver::new(tree.anchors());
        }
    }
}
