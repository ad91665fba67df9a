//! What the admin protocol says of trust anchors.

use serde::{Deserialize, Serialize};

/// One negative trust anchor (RFC 7646).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NegativeAnchorStatus {
    /// The zone with the last dot; it counts as unsigned with all below it.
    pub zone: String,
    /// Whether it stands in the configuration, and so does not end.
    pub permanent: bool,
    /// Seconds until it ends.
    pub left_secs: Option<u64>,
    /// Why it was added; may be empty.
    pub reason: String,
}

/// One key of a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustAnchorStatus {
    /// The anchored zone with the last dot.
    pub zone: String,
    /// Tag of the key without the REVOKE bit.
    pub key_tag: u16,
    /// Number of its algorithm.
    pub algorithm: u8,
    /// `add-pend`, `valid`, `missing`, `revoked` or `removed` (RFC 5011 §4.2).
    pub state: String,
    /// Seconds since it is in this state; absent as long as it is only configured.
    pub since_secs_ago: Option<u64>,
    /// Seconds until its zone is asked for its keys; absent if it does not roll over.
    pub refresh_in_secs: Option<u64>,
}
