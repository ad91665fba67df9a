//! `dataplane`: interface, queues, cores, memory and limits of the packet path.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::number::number;
use crate::{ConsensusGuard, ResponseRateLimit, size};

/// The packet path: interface, queues, cores, memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dataplane {
    /// Network interface whose queues the workers own. Without one only `mode: socket` is possible.
    pub interface: Option<String>,
    /// How packets are received.
    pub mode: Mode,
    /// Where the XDP program hooks in: `native` in the driver, `generic` (slow) in the stack.
    pub xdp: Xdp,
    /// Receive queues to own: `all`, or a list of their numbers. In socket mode the length of the
    /// list is the number of workers.
    pub queues: Queues,
    /// Cores to pin workers to: `auto`, or one core a queue.
    pub cores: Cores,
    /// Memory of each worker's answer cache.
    #[serde(
        deserialize_with = "size::size::<{ 64 << 10 }, { 32 << 30 }, _>",
        serialize_with = "size::write"
    )]
    #[schemars(schema_with = "size::schema")]
    pub cache_bytes: u64,
    /// Memory of the answer table that control shares with all workers.
    #[serde(
        deserialize_with = "size::size::<{ 64 << 10 }, { 32 << 30 }, _>",
        serialize_with = "size::write"
    )]
    #[schemars(schema_with = "size::schema")]
    pub table_bytes: u64,
    /// Slots of 2 KiB in each ring between a worker and control, rounded up to a power of two.
    #[serde(deserialize_with = "number::<16, 65536, _, _>")]
    #[schemars(range(min = 16, max = 65536))]
    pub ring_slots: u32,
    /// Most zones whose changes can be told apart.
    #[serde(deserialize_with = "number::<2, 1048576, _, _>")]
    #[schemars(range(min = 2, max = 1_048_576))]
    pub zones_max: u32,
    /// Served UDP ports.
    pub ports: Ports,
    /// Unix socket over which the dataplane hands memory and sockets to control.
    pub socket: PathBuf,
    /// How long an expired answer may still be served while control is silent (RFC 8767), in
    /// seconds; 0 turns that off.
    #[serde(deserialize_with = "number::<0, 604800, _, _>")]
    #[schemars(range(min = 0, max = 604_800))]
    pub stale_max_secs: u32,
    /// Kernel busy polling of AF_XDP sockets.
    pub busy_poll: BusyPoll,
    /// Misses that one client (an IPv4 address, an IPv6 /64) may send to control.
    pub punts_per_second: PuntLimit,
    /// Responses that one client network gets over UDP.
    pub response_rate_limit: ResponseRateLimit,
    /// What the kernel lets through to the consensus port.
    pub consensus_guard: ConsensusGuard,
}

impl Default for Dataplane {
    fn default() -> Self {
        Self {
            interface: None,
            mode: Mode::Auto,
            xdp: Xdp::Native,
            queues: Queues::All,
            cores: Cores::Auto,
            cache_bytes: 16 << 20,
            table_bytes: 8 << 20,
            ring_slots: 1024,
            zones_max: 4096,
            ports: Ports::default(),
            socket: "/run/nexus/dataplane.sock".into(),
            stale_max_secs: 86_400,
            busy_poll: BusyPoll::default(),
            punts_per_second: PuntLimit::default(),
            response_rate_limit: ResponseRateLimit::default(),
            consensus_guard: ConsensusGuard::default(),
        }
    }
}

/// How packets are received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The first of the others, in their order, that passes its self-test.
    #[default]
    Auto,
    /// AF_XDP, the NIC writes into our memory.
    ZeroCopy,
    /// AF_XDP, the kernel copies each packet once.
    Copy,
    /// io_uring on kernel UDP sockets.
    Socket,
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Socket => "socket",
        })
    }
}

/// Where the XDP program hooks in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Xdp {
    /// In the driver.
    #[default]
    Native,
    /// In the network stack: any driver, but slow.
    Generic,
}

/// Served UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// DNS over UDP, and over TCP on control's sockets.
    #[serde(deserialize_with = "number::<1, 65535, _, _>")]
    #[schemars(range(min = 1, max = 65535))]
    pub dns: u16,
    /// QUIC between nodes. Not yet served.
    #[serde(deserialize_with = "number::<1, 65535, _, _>")]
    #[schemars(range(min = 1, max = 65535))]
    pub consensus: u16,
    /// DNS over QUIC. Not yet served.
    #[serde(deserialize_with = "number::<1, 65535, _, _>")]
    #[schemars(range(min = 1, max = 65535))]
    pub doq: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            dns: 53,
            consensus: 4853,
            doq: 853,
        }
    }
}

/// Kernel busy polling of AF_XDP sockets (`SO_PREFER_BUSY_POLL`). Off by default: it gains on some
/// NICs, and on others (virtio-net) nothing is sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BusyPoll {
    /// Microseconds to poll in one call; 0 turns busy polling off.
    #[serde(deserialize_with = "number::<0, 10000, _, _>")]
    #[schemars(range(min = 0, max = 10000))]
    pub usecs: u32,
    /// Packets taken in one poll.
    #[serde(deserialize_with = "number::<1, 1024, _, _>")]
    #[schemars(range(min = 1, max = 1024))]
    pub budget: u32,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            usecs: 0,
            budget: 64,
        }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PuntLimit {
    /// Tokens a second; 0 means no limit.
    #[serde(deserialize_with = "number::<0, 10000000, _, _>")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub rate: u32,
    /// Tokens that may be saved up.
    #[serde(deserialize_with = "number::<1, 10000000, _, _>")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: u32,
}

impl Default for PuntLimit {
    fn default() -> Self {
        Self {
            rate: 2_000,
            burst: 4_000,
        }
    }
}

/// Most queues or cores that can be listed.
const LIST_MAX: usize = 64;

/// Receive queues to own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Queues {
    /// Every receive queue of the interface.
    #[default]
    All,
    /// These queues.
    List(Vec<u32>),
}

/// Cores to pin workers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// The cores that this process may use, from the highest number down.
    #[default]
    Auto,
    /// These cores, in the order of the queues.
    List(Vec<u32>),
}

/// Reads `word` or a list of small numbers: `None` is the word.
struct WordOrList {
    word: &'static str,
    max: u32,
}

impl<'de> Visitor<'de> for WordOrList {
    type Value = Option<Vec<u32>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` or a list of 1 to {LIST_MAX} numbers from 0 to {}, such as [0, 1]",
            self.word, self.max
        )
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        if value == self.word {
            Ok(None)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(value), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<u64>()? {
            match u32::try_from(item) {
                Ok(item) if item <= self.max && list.len() < LIST_MAX => list.push(item),
                _ => {
                    return Err(de::Error::invalid_value(
                        de::Unexpected::Unsigned(item),
                        &self,
                    ));
                }
            }
        }
        if list.is_empty() {
            return Err(de::Error::invalid_length(0, &self));
        }
        Ok(Some(list))
    }
}

macro_rules! word_or_list {
    ($type:ident, $all:ident, $word:literal, $max:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = deserializer.deserialize_any(WordOrList { word: $word, max: $max })?;
                Ok(value.map_or(Self::$all, Self::List))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::$all => out.serialize_str($word),
                    Self::List(list) => list.serialize(out),
                }
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "anyOf": [
                        { "const": $word },
                        {
                            "type": "array",
                            "items": { "type": "integer", "minimum": 0, "maximum": $max },
                            "minItems": 1,
                            "maxItems": LIST_MAX
                        }
                    ]
                })
            }
        }
    };
}

word_or_list!(Queues, All, "all", 63);
word_or_list!(Cores, Auto, "auto", 4095);
