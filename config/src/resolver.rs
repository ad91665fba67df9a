//! `resolver`: who may ask, where to listen, and how questions are resolved.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::number::number;
use crate::policy::{Any, BlockList, Dns64, LocalZone, Rebinding, Rpz, View};
use crate::{
    ClientSubnet, Cookies, ForwardZone, LocalRoot, Networks, Stale, StubZone, Validation,
    ValidationZone, size,
};

/// Who may ask, and how questions are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resolver {
    /// Addresses to answer on, UDP and TCP; the port is `dataplane.ports.dns`.
    pub listen: Vec<IpAddr>,
    /// Clients that may have names resolved. Own zones are answered to everybody.
    pub allow: Networks,
    /// Resolvers to ask instead of the root: addresses, with or without port. Empty: iterate.
    pub forward: Vec<Upstream>,
    /// Zones whose names are asked of other resolvers; of all routes the longest match wins.
    /// `forward` is short for one for the root.
    pub forward_zones: Vec<ForwardZone>,
    /// Zones whose authoritative servers are given here, delegated or not.
    pub stub_zones: Vec<StubZone>,
    /// Addresses of the root servers: `builtin`, or a file in the form of `named.root`.
    pub root_hints: Source,
    /// A copy of the root zone to use instead of the root servers (RFC 8806).
    pub local_root: Option<LocalRoot>,
    /// DNSSEC validation.
    pub dnssec: Dnssec,
    /// Keys from which trust starts: `builtin` for those of the root, or a zone file of DS or DNSKEY
    /// records.
    pub trust_anchors: Source,
    /// Whether trust anchors follow their zones through a change of keys (RFC 5011); the state is kept
    /// in `node.data_dir`.
    pub trust_anchor_roll_over: bool,
    /// Zones that count as unsigned whatever their signatures, with all below them (RFC 7646).
    #[serde(deserialize_with = "crate::zone::names")]
    pub negative_trust_anchors: Vec<String>,
    /// Unix time to check signatures at, instead of the clock's: for tests.
    pub validation_time: Option<u64>,
    /// How much of a name each server sees (RFC 9156).
    pub qname_minimisation: QnameMinimisation,
    /// Whether questions to servers carry random upper and lower case, as more bits that a forger
    /// must guess.
    pub case_randomisation: bool,
    /// Whether questions to servers carry DNS cookies (RFC 7873), which a forger must guess as well.
    pub upstream_cookies: bool,
    /// Zones whose servers see the networks of clients (RFC 7871).
    pub client_subnet: ClientSubnet,
    /// Whether proofs that names do not exist answer for all names that they cover (RFC 8198).
    pub aggressive_nsec: bool,
    /// Whether names that are asked for are resolved anew in the last tenth of their TTL.
    pub prefetch: bool,
    /// Memory of the resolver's cache of records.
    #[serde(
        deserialize_with = "size::size::<{ 64 << 10 }, { 64 << 30 }, _>",
        serialize_with = "size::write"
    )]
    #[schemars(schema_with = "size::schema")]
    pub cache_bytes: u64,
    /// Memory of the answers in wire form that control keeps for clients that no worker serves.
    #[serde(
        deserialize_with = "size::size::<{ 64 << 10 }, { 16 << 30 }, _>",
        serialize_with = "size::write"
    )]
    #[schemars(schema_with = "size::schema")]
    pub message_cache_bytes: u64,
    /// Whether that memory is written to `node.data_dir` every ten minutes and at the stop, and read
    /// at the start.
    pub save_cache: bool,
    /// Bounds on the time that a resolved answer is kept.
    pub ttl: Ttl,
    /// Answers past their TTL (RFC 8767).
    pub stale: Stale,
    /// How long to wait, for what.
    pub timeouts: Timeouts,
    /// Limits on TCP connections from clients (RFC 7766).
    pub tcp: Tcp,
    /// Records that are answered to clients of recursion, as in zone files, with absolute names.
    pub local_data: Vec<String>,
    /// Zones that are answered here and not resolved, or not answered at all.
    pub local_zones: Vec<LocalZone>,
    /// Whether special-use names, as `localhost.` and the reverse zones of private networks, are
    /// answered here (RFC 6761, RFC 6303).
    pub special_names: bool,
    /// Such names that are resolved all the same, with all below them.
    #[serde(deserialize_with = "crate::zone::names")]
    pub special_names_except: Vec<String>,
    /// Lists of blocked names.
    pub block_lists: Vec<BlockList>,
    /// Names that no list blocks, with all below them.
    #[serde(deserialize_with = "crate::zone::names")]
    pub allow_names: Vec<String>,
    /// Response policy zones. The first that has a rule for a question counts.
    pub rpz: Vec<Rpz>,
    /// IPv6 addresses made of IPv4 addresses (RFC 6147).
    pub dns64: Dns64,
    /// Addresses of the operator's own that no name outside may have.
    pub rebinding: Rebinding,
    /// What questions of type ANY get (RFC 8482).
    pub any: Any,
    /// Whether answers wait for the agreement of other nodes.
    pub validation: Validation,
    /// Zones of which that is said otherwise.
    pub validation_zones: Vec<ValidationZone>,
    /// Other rules for the clients of some networks.
    pub views: Vec<View>,
    /// DNS cookies of clients (RFC 7873, RFC 9018).
    pub cookies: Cookies,
    /// Questions being resolved at the same time; more are answered with SERVFAIL.
    #[serde(deserialize_with = "number::<1, 1000000, _, _>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub questions_max: u32,
    /// Sockets towards servers open at the same time.
    #[serde(deserialize_with = "number::<1, 65535, _, _>")]
    #[schemars(range(min = 1, max = 65535))]
    pub upstream_sockets_max: u32,
    /// Text for `id.server` and `hostname.bind` in class CHAOS; left out: the host's name; empty:
    /// refused.
    pub identity: Option<String>,
    /// Text for `version.bind` and `version.server`; left out: name and version; empty: refused.
    pub version: Option<String>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            listen: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            allow: Networks::local(),
            forward: Vec::new(),
            forward_zones: Vec::new(),
            stub_zones: Vec::new(),
            root_hints: Source::Builtin,
            local_root: None,
            dnssec: Dnssec::Validate,
            trust_anchors: Source::Builtin,
            trust_anchor_roll_over: true,
            negative_trust_anchors: Vec::new(),
            validation_time: None,
            qname_minimisation: QnameMinimisation::Relaxed,
            case_randomisation: true,
            upstream_cookies: true,
            client_subnet: ClientSubnet::default(),
            aggressive_nsec: true,
            prefetch: true,
            cache_bytes: 32 << 20,
            message_cache_bytes: 8 << 20,
            save_cache: false,
            ttl: Ttl::default(),
            stale: Stale::default(),
            timeouts: Timeouts::default(),
            tcp: Tcp::default(),
            local_data: Vec::new(),
            local_zones: Vec::new(),
            special_names: true,
            special_names_except: Vec::new(),
            block_lists: Vec::new(),
            allow_names: Vec::new(),
            rpz: Vec::new(),
            dns64: Dns64::default(),
            rebinding: Rebinding::default(),
            any: Any::default(),
            validation: Validation::Off,
            validation_zones: Vec::new(),
            views: Vec::new(),
            cookies: Cookies::default(),
            questions_max: 10_000,
            upstream_sockets_max: 4_096,
            identity: None,
            version: None,
        }
    }
}

/// DNSSEC validation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dnssec {
    /// Signatures are passed on, never checked.
    Off,
    /// What should be signed and does not hold is answered with SERVFAIL and the reason.
    #[default]
    Validate,
}

/// How much of a name each server sees (RFC 9156).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QnameMinimisation {
    /// Every server sees the whole name.
    Off,
    /// One label more than the zone at a time; the whole name where a server answers that badly.
    #[default]
    Relaxed,
    /// One label more than the zone at a time; NXDOMAIN for a part is NXDOMAIN for the name.
    Strict,
}

/// Bounds on the time that a resolved answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ttl {
    /// Shorter TTLs are raised to this, in seconds.
    #[serde(deserialize_with = "number::<0, 3600, _, _>")]
    #[schemars(range(min = 0, max = 3600))]
    pub min_secs: u32,
    /// Longer TTLs are cut to this, in seconds.
    #[serde(deserialize_with = "number::<1, 604800, _, _>")]
    #[schemars(range(min = 1, max = 604_800))]
    pub max_secs: u32,
    /// Longer TTLs of negative answers are cut to this, in seconds (RFC 2308 §5).
    #[serde(deserialize_with = "number::<0, 86400, _, _>")]
    #[schemars(range(min = 0, max = 86400))]
    pub negative_max_secs: u32,
}

impl Default for Ttl {
    fn default() -> Self {
        Self {
            min_secs: 0,
            max_secs: 86_400,
            negative_max_secs: 3_600,
        }
    }
}

/// How long to wait, for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Longest time from a client's question to its answer, in milliseconds.
    #[serde(deserialize_with = "number::<100, 60000, _, _>")]
    #[schemars(range(min = 100, max = 60000))]
    pub question_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { question_ms: 5_000 }
    }
}

/// Limits on TCP connections from clients (RFC 7766).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tcp {
    /// Connections open at the same time.
    #[serde(deserialize_with = "number::<1, 100000, _, _>")]
    #[schemars(range(min = 1, max = 100_000))]
    pub connections_max: u32,
    /// Connections of one client address.
    #[serde(deserialize_with = "number::<1, 100000, _, _>")]
    #[schemars(range(min = 1, max = 100_000))]
    pub connections_per_client_max: u32,
    /// Questions of one connection that wait for their answers.
    #[serde(deserialize_with = "number::<1, 10000, _, _>")]
    #[schemars(range(min = 1, max = 10000))]
    pub questions_per_connection_max: u32,
    /// A connection without traffic is closed after this time, in milliseconds.
    #[serde(deserialize_with = "number::<100, 600000, _, _>")]
    #[schemars(range(min = 100, max = 600_000))]
    pub idle_ms: u32,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            connections_per_client_max: 100,
            questions_per_connection_max: 100,
            idle_ms: 10_000,
        }
    }
}

/// Where a list comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The list that came with the program.
    #[default]
    Builtin,
    /// A file.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" => Err(D::Error::custom(
                "is empty; expected `builtin` or the name of a file",
            )),
            "builtin" => Ok(Self::Builtin),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Builtin => out.serialize_str("builtin"),
            Self::File(file) => file.serialize(out),
        }
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "description": "`builtin` or a file name." })
    }
}

/// A resolver to forward to: `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upstream(pub SocketAddr);

/// Port of an upstream that names none.
const DNS_PORT: u16 = 53;

impl FromStr for Upstream {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = match text.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, DNS_PORT),
            Err(_) => text.parse::<SocketAddr>().map_err(
                |_| "expected an address such as 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53",
            )?,
        };
        if address.port() == 0 || address.ip().is_unspecified() {
            return Err("expected an address and a port other than zero");
        }
        Ok(Self(address))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| D::Error::custom(format_args!("`{text}`: {error}")))
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl JsonSchema for Upstream {
    fn schema_name() -> Cow<'static, str> {
        "Upstream".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Address, with or without port (53)." })
    }
}
