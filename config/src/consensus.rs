//! `consensus`: agreement between nodes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Problem;
use crate::number::number;
use crate::zone::optional_names;

/// Members that the first configuration has at most.
const MEMBERS_MAX: usize = 128;

/// Agreement between nodes. Without members this node stands alone.
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
    /// Batches between checkpoints. The same on all nodes.
    #[serde(deserialize_with = "number::<1, 10000, _, _>")]
    #[schemars(range(min = 1, max = 10000))]
    pub checkpoint_interval: u32,
    /// Most operations in one proposal.
    #[serde(deserialize_with = "number::<1, 10000, _, _>")]
    #[schemars(range(min = 1, max = 10000))]
    pub batch_size: u32,
    /// Proposals under way at the same time. The same on all nodes.
    #[serde(deserialize_with = "number::<1, 100, _, _>")]
    #[schemars(range(min = 1, max = 100))]
    pub pipeline_depth: u32,
    /// Commit after one round trip when every node agrees.
    pub fast_path: bool,
    /// Time for agreement on a resolved answer (`resolver.validation`), in milliseconds.
    #[serde(deserialize_with = "number::<50, 60000, _, _>")]
    #[schemars(range(min = 50, max = 60000))]
    pub answer_timeout_ms: u32,
    /// How long a node is shut out whose score has fallen too low, in seconds; then it is let in on probation.
    /// The same on all nodes, as are the next two, when the cluster begins: later they are agreed on.
    #[serde(deserialize_with = "number::<1, 2592000, _, _>")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub isolation_secs: u32,
    /// Below which score a node is shut out, in percent. A node begins with 50 and loses 15 by a contradiction, which
    /// alone isolates nobody unless this is above 35.
    #[serde(deserialize_with = "number::<0, 40, _, _>")]
    #[schemars(range(min = 0, max = 40))]
    pub isolation_below_percent: u32,
    /// Over how long nodes collect what they report of each other, in seconds. A node that contradicts
    /// others in each such time is shut out after six of them at most, if it is no more than an hour.
    #[serde(deserialize_with = "number::<1, 86400, _, _>")]
    #[schemars(range(min = 1, max = 86400))]
    pub report_window_secs: u32,
    /// Zones that the cluster may put into service here, beside those of `zones` with `agreed: true`: these names and
    /// all below them. Left out: any but the root, names of one label, and what lies below a zone of a file.
    #[serde(
        deserialize_with = "optional_names",
        skip_serializing_if = "Option::is_none"
    )]
    pub zones_below: Option<Vec<String>>,
    /// Nodes with which the cluster begins, this one among them. The same on all nodes: who is a
    /// member later is agreed on. `nexus key show` prints a node's line.
    #[schemars(length(max = 128))]
    pub members: Vec<Member>,
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
            answer_timeout_ms: 2_000,
            isolation_secs: 3_600,
            isolation_below_percent: 20,
            report_window_secs: 60,
            zones_below: None,
            members: Vec::new(),
        }
    }
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its public key: 64 hexadecimal digits.
    #[schemars(with = "String", regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    pub key: MemberKey,
    /// What it does.
    #[serde(default)]
    pub role: MemberRole,
    /// Where it listens to other nodes, as `address:port`.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub address: SocketAddr,
}

/// A node's Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberKey(pub [u8; 32]);

/// What a node does.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Votes and holds all data.
    #[default]
    Authority,
    /// Votes and holds all data; meant for nodes that resolve for clients.
    Resolver,
    /// Votes on the order and holds no data.
    Witness,
    /// Follows without a vote.
    Edge,
}

impl MemberRole {
    /// Its word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Resolver => "resolver",
            Self::Witness => "witness",
            Self::Edge => "edge",
        }
    }
}

impl Consensus {
    /// What one key alone cannot say. How many of which role are safe, consensus itself checks.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let count = self.members.len();
        if count > MEMBERS_MAX {
            let message = format!("{count} members; expected at most {MEMBERS_MAX}");
            return Err(Problem::new("consensus.members", message));
        }
        let (mut keys, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (index, member) in self.members.iter().enumerate() {
            let twice = |key: &str, value: &dyn fmt::Display| {
                let message = format!("{value} is listed twice; expected one entry a node");
                Problem::new(format!("consensus.members[{index}].{key}"), message)
            };
            if !keys.insert(member.key) {
                return Err(twice("key", &member.key));
            }
            if !addresses.insert(member.address) {
                return Err(twice("address", &member.address));
            }
            let ip = member.address.ip();
            if ip.is_unspecified() || ip.is_multicast() || member.address.port() == 0 {
                return Err(Problem::new(
                    format!("consensus.members[{index}].address"),
                    format!(
                        "{} cannot be reached; expected the address and port of one node",
                        member.address
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for MemberKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Serialize for MemberKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemberKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        key(&text).map(Self).ok_or_else(|| {
            de::Error::custom("expected a public key of 64 hexadecimal digits (`nexus key show`)")
        })
    }
}

fn key(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .as_chunks()
        .0
        .iter()
        .map(|[high, low]| high << 4 | low)
        .collect();
    <[u8; 32]>::try_from(bytes)
        .ok()
        .filter(|_| digits.len() == 64)
}

fn digit(text: char) -> Option<u8> {
    text.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "`{text}` is no address with a port; expected one like 192.0.2.1:4853 or [2001:db8::1]:4853"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_sixty_four_hexadecimal_digits_and_nothing_else() {
        let good = "00ff".repeat(16);
        assert_eq!(key(&good).map(MemberKey).unwrap().to_string(), good);
        assert_eq!(key(&good.to_uppercase()), key(&good));
        for bad in [
            &good[1..],
            "",
            &format!("{good}0"),
            &format!("{good}00"),
            &good.replace('f', "g"),
        ] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}
