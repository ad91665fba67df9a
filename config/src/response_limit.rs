//! `dataplane.response_rate_limit`: how many responses a client network gets over UDP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Networks;
use crate::number::number;

/// How many responses a client network gets over UDP, so that forged queries make no flood of it.
/// Each worker counts for itself, and control for what it sends. Over TCP, and for clients that show
/// a valid server cookie, there is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseRateLimit {
    /// Responses a second of each kind: answers; denials, referrals and empty answers; errors. As many
    /// at once. 0 means no limit.
    #[serde(deserialize_with = "number::<0, 10000000, _, _>")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub per_second: u32,
    /// Of the responses over the limit each how many-th is sent truncated, so that a real client comes
    /// by TCP, and the others are dropped: 1 drops none, 0 drops all.
    #[serde(deserialize_with = "number::<0, 100, _, _>")]
    #[schemars(range(min = 0, max = 100))]
    pub slip: u32,
    /// Length of an IPv4 client network's prefix.
    #[serde(deserialize_with = "number::<1, 32, _, _>")]
    #[schemars(range(min = 1, max = 32))]
    pub ipv4_bits: u8,
    /// Length of an IPv6 client network's prefix.
    #[serde(deserialize_with = "number::<1, 64, _, _>")]
    #[schemars(range(min = 1, max = 64))]
    pub ipv6_bits: u8,
    /// Places of 16 bytes in each table, rounded up to a power of two. A network takes one for each
    /// kind of response; networks that meet in one share its limit.
    #[serde(deserialize_with = "number::<1024, 16777216, _, _>")]
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub table_entries: u32,
    /// Clients without limit.
    pub exempt: Networks,
}

impl Default for ResponseRateLimit {
    fn default() -> Self {
        Self {
            per_second: 0,
            slip: 2,
            ipv4_bits: 24,
            ipv6_bits: 56,
            table_entries: 65_536,
            exempt: Networks::default(),
        }
    }
}
