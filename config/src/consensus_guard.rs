//! `dataplane.consensus_guard`: what the kernel lets through to the consensus port.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::number;

/// What the kernel lets through to the consensus port, before anything is decrypted. It takes AF_XDP;
/// in socket mode there is no guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusGuard {
    /// Whether the port is guarded, once there is a mesh.
    pub enabled: bool,
    /// Packets a second of each peer; 0 means no limit.
    #[serde(deserialize_with = "number::<0, 100000000, _, _>")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub peer_packets_per_second: u32,
    /// Packets of a peer that may come at once.
    #[serde(deserialize_with = "number::<1, 10000000, _, _>")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub peer_burst: u32,
    /// Connections a second that all strangers together may begin; 0 means no limit.
    #[serde(deserialize_with = "number::<0, 1000000, _, _>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub initials_per_second: u32,
    /// Connections of strangers that may begin at once.
    #[serde(deserialize_with = "number::<1, 1000000, _, _>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub initials_burst: u32,
}

impl Default for ConsensusGuard {
    fn default() -> Self {
        Self {
            enabled: true,
            peer_packets_per_second: 200_000,
            peer_burst: 20_000,
            initials_per_second: 20,
            initials_burst: 40,
        }
    }
}
