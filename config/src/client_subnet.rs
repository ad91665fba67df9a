//! `resolver.client_subnet`: which zones' servers see the networks of clients (RFC 7871).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::number;

/// Which zones' servers see the networks of clients, and how much of them. Nobody else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSubnet {
    /// Zones, each with all below it. Their answers are kept for each network apart, and not by
    /// workers.
    #[serde(deserialize_with = "crate::zone::names")]
    pub zones: Vec<String>,
    /// Bits of an IPv4 address that are shown.
    #[serde(deserialize_with = "number::<0, 32, _, _>")]
    #[schemars(range(min = 0, max = 32))]
    pub ipv4_bits: u8,
    /// Bits of an IPv6 address that are shown.
    #[serde(deserialize_with = "number::<0, 128, _, _>")]
    #[schemars(range(min = 0, max = 128))]
    pub ipv6_bits: u8,
}

impl Default for ClientSubnet {
    fn default() -> Self {
        Self {
            zones: Vec::new(),
            ipv4_bits: 24,
            ipv6_bits: 56,
        }
    }
}
