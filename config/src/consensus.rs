//! `consensus`: agreement between nodes. Read and checked; nothing acts on it yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::number;

/// Agreement between nodes. Read and checked, not yet acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Consensus {
    /// Time for one round, in milliseconds.
    #[serde(deserialize_with = "number::<1, 60000, _, _>")]
    #[schemars(range(min = 1, max = 60000))]
    pub timeout_ms: u32,
    /// Time without progress before another node leads, in milliseconds.
    #[serde(deserialize_with = "number::<10, 600000, _, _>")]
    #[schemars(range(min = 10, max = 600_000))]
    pub view_change_timeout_ms: u32,
    /// Operations between checkpoints.
    #[serde(deserialize_with = "number::<1, 1000000, _, _>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub checkpoint_interval: u32,
    /// Most operations in one proposal.
    #[serde(deserialize_with = "number::<1, 10000, _, _>")]
    #[schemars(range(min = 1, max = 10000))]
    pub batch_size: u32,
    /// Proposals under way at the same time.
    #[serde(deserialize_with = "number::<1, 100, _, _>")]
    #[schemars(range(min = 1, max = 100))]
    pub pipeline_depth: u32,
    /// Commit after one round trip when every node agrees.
    pub fast_path: bool,
    /// Other nodes, as `host:port`.
    pub peers: Vec<String>,
}

impl Default for Consensus {
    fn default() -> Self {
        Self {
            timeout_ms: 100,
            view_change_timeout_ms: 1_000,
            checkpoint_interval: 100,
            batch_size: 50,
            pipeline_depth: 3,
            fast_path: true,
            peers: Vec::new(),
        }
    }
}
