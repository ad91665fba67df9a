//! `ct.enforce` and `ct.watch…`: the certificates that programs on this host are shown.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::number::number;

/// Libraries in the list at most.
const LIST_MAX: usize = 64;

/// What nexus-certwatch does about a certificate that is judged bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enforce {
    /// It does not run.
    #[default]
    Off,
    /// A line in the log.
    Alert,
    /// That, and what the client sends on the connection is dropped.
    Block,
}

/// What becomes of a connection without a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WithoutVerdict {
    /// It goes on.
    #[default]
    Open,
    /// It is dropped.
    Closed,
}

/// Which copies of OpenSSL are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchLibraries {
    /// Those of the system, and those that running programs have mapped, containers too.
    #[default]
    Auto,
    /// These files.
    List(Vec<PathBuf>),
}

/// How nexus-certwatch goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// How long `enforce: block` holds back what a client sends, in milliseconds, until its server's
    /// certificate has a verdict.
    #[serde(deserialize_with = "number::<1, 60000, _, _>")]
    #[schemars(range(min = 1, max = 60_000))]
    pub hold_ms: u32,
    /// What becomes of the connection when that time is over, or the verdict is `unknown`.
    pub without_verdict: WithoutVerdict,
    /// Address of `/metrics` of nexus-certwatch. There is no login.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            hold_ms: 1000,
            without_verdict: WithoutVerdict::Open,
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8055),
        }
    }
}

struct AutoOrPaths;

impl<'de> Visitor<'de> for AutoOrPaths {
    type Value = WatchLibraries;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`auto` or a list of 1 to {LIST_MAX} files, such as [/usr/lib/libssl.so.3]"
        )
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<WatchLibraries, E> {
        if value == "auto" {
            Ok(WatchLibraries::Auto)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(value), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WatchLibraries, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<PathBuf>()? {
            list.push(item);
        }
        if list.is_empty() || list.len() > LIST_MAX {
            return Err(de::Error::invalid_length(list.len(), &self));
        }
        Ok(WatchLibraries::List(list))
    }
}

impl<'de> Deserialize<'de> for WatchLibraries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AutoOrPaths)
    }
}

impl Serialize for WatchLibraries {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => out.serialize_str("auto"),
            Self::List(list) => list.serialize(out),
        }
    }
}

impl JsonSchema for WatchLibraries {
    fn schema_name() -> Cow<'static, str> {
        "WatchLibraries".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "const": "auto" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": LIST_MAX }
            ]
        })
    }
}
