//! `ct.shards`: the logs of this cluster, each for the certificates that end in a window of time.

use std::fmt;
use std::path::PathBuf;

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::Problem;

/// Longest name of a shard.
const NAME_BYTES_MAX: usize = 63;
/// What stands beside the shards in URLs.
const PATH_OF_ALIASES: &str = "api";
/// Bytes of a SubjectPublicKeyInfo with an uncompressed point of P-256 (RFC 5480 §2).
const P256_SPKI_BYTES: usize = 91;

/// One temporal shard: a log with a name, a window and a key of its own. The same on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtShard {
    /// Of a-z, 0-9 and -; the last step of the log's URL.
    #[schemars(regex(pattern = "^[a-z0-9-]{1,63}$"))]
    pub name: String,
    /// First day on which a certificate of this shard may end, as YYYY-MM-DD (UTC).
    #[schemars(with = "String", regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub start: Day,
    /// First day on which it may not any more.
    #[schemars(with = "String", regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub end: Day,
    /// The log's public key: base64 of its SubjectPublicKeyInfo, P-256 (`nexus ct key new`).
    #[schemars(with = "String")]
    pub public_key: LogPublicKey,
    /// Its private key; relative to the configuration. A node without it keeps the log and cosigns, and others publish.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Takes nothing any more; what it holds is served on.
    #[serde(default)]
    pub closed: bool,
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// 1970 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// A SubjectPublicKeyInfo of P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct LogPublicKey(pub Vec<u8>);

/// What one shard alone cannot say.
pub(crate) fn check(shards: &[CtShard]) -> Result<(), Problem> {
    for (index, shard) in shards.iter().enumerate() {
        let key = |key: &str| format!("ct.shards[{index}].{key}");
        let is_step = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=NAME_BYTES_MAX).contains(&shard.name.len()) || !shard.name.bytes().all(is_step) {
            let message = format!(
                "`{}`: expected 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -",
                shard.name
            );
            return Err(Problem::new(key("name"), message));
        }
        if shard.name == PATH_OF_ALIASES {
            let message = format!("{PATH_OF_ALIASES} is a path of its own; expected another name");
            return Err(Problem::new(key("name"), message));
        }
        if shard.start >= shard.end {
            let message = format!("expected a day behind start, which is {}", shard.start);
            return Err(Problem::new(key("end"), message));
        }
        for other in &shards[..index] {
            if other.name == shard.name {
                let message = format!("{} is listed twice; expected one entry a shard", shard.name);
                return Err(Problem::new(key("name"), message));
            }
            if other.public_key == shard.public_key {
                let message = format!("it is {}'s, too; expected a key of its own", other.name);
                return Err(Problem::new(key("public_key"), message));
            }
            let overlap = shard.start < other.end && other.start < shard.end;
            if overlap && !shard.closed && !other.closed {
                let message = format!(
                    "the window overlaps that of {}, {} to {}; expected none, or `closed: true` at one of the two",
                    other.name, other.start, other.end
                );
                return Err(Problem::new(key("start"), message));
            }
        }
    }
    Ok(())
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        day(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "`{text}` is no day; expected YYYY-MM-DD from 1970 on"
            ))
        })
    }
}

fn day(text: &str) -> Option<Day> {
    let digits = text.bytes().enumerate();
    let mut fits = digits.map(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if text.len() != 10 || !fits.all(|fits| fits) {
        return None;
    }
    let day = Day {
        year: text[..4].parse().ok()?,
        month: text[5..7].parse().ok()?,
        day: text[8..].parse().ok()?,
    };
    let is_leap = day.year.is_multiple_of(4)
        && (!day.year.is_multiple_of(100) || day.year.is_multiple_of(400));
    let days = match day.month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (day.year >= 1970 && (1..=days).contains(&day.day)).then_some(day)
}

impl fmt::Debug for LogPublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&BASE64.encode(&self.0))
    }
}

impl Serialize for LogPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for LogPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).ok();
        let bytes = bytes.filter(|bytes| bytes.len() == P256_SPKI_BYTES);
        bytes.map(Self).ok_or_else(|| {
            de::Error::custom("expected base64 of a P-256 public key (`nexus ct key new`)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_there_are_are_days() {
        for text in ["1970-01-01", "2026-07-31", "2028-02-29", "2000-02-29"] {
            assert_eq!(day(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026-1-01",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2027-02-29",
            "2100-02-29",
            "1969-12-31",
            "2026-07-00",
            "2026/07/01",
            "+026-07-01",
            "2026-07-01 ",
            "２026-07-1",
        ] {
            assert_eq!(day(text), None, "{text:?}");
        }
    }
}
