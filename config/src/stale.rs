//! `resolver.stale`: answers past their TTL (RFC 8767).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::number;

/// Answers past their TTL (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stale {
    /// A client that has waited for so long, in milliseconds, gets what is past its TTL though servers
    /// may still answer; 0: only once they have failed.
    #[serde(deserialize_with = "number::<0, 10000, _, _>")]
    #[schemars(range(min = 0, max = 10000))]
    pub client_timeout_ms: u32,
    /// For how long after its TTL the resolver keeps an answer, in seconds; 0: not at all.
    #[serde(deserialize_with = "number::<0, 604800, _, _>")]
    #[schemars(range(min = 0, max = 604_800))]
    pub max_secs: u32,
    /// TTL that such an answer is given with, in seconds.
    #[serde(deserialize_with = "number::<1, 30, _, _>")]
    #[schemars(range(min = 1, max = 30))]
    pub ttl_secs: u32,
}

impl Default for Stale {
    fn default() -> Self {
        Self {
            client_timeout_ms: 1_800,
            max_secs: 86_400,
            ttl_secs: 30,
        }
    }
}
