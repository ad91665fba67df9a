//! `zones`: what is answered with authority.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::document::unique;
use crate::error::Problem;
use crate::{Networks, Upstream};

/// A zone answered with authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Name of the zone's apex. Kept in lower case with the final dot.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Master file (RFC 1035 §5), relative to the folder of the configuration file. Of an agreed zone
    /// only the first contents, and not needed.
    #[serde(
        default,
        deserialize_with = "optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    pub file: Option<PathBuf>,
    /// The nodes of the mesh agree on its contents: they come from the ledger and change by updates.
    #[serde(default)]
    pub agreed: bool,
    /// Who may copy the zone by AXFR or IXFR. Nobody if left out.
    #[serde(default)]
    pub allow_transfer: Networks,
    /// Names of keys in `tsig_keys`: who signs with one of them may copy the zone, too.
    #[serde(default, deserialize_with = "names")]
    pub allow_transfer_keys: Vec<String>,
    /// Names of keys in `tsig_keys`: who signs with one of them may change an agreed zone by UPDATE
    /// (RFC 2136). Nobody if left out.
    #[serde(default, deserialize_with = "names")]
    pub allow_update: Vec<String>,
    /// Secondaries that are told of each change (RFC 1996).
    #[serde(default)]
    pub notify: Vec<Upstream>,
    /// Name of the key in `tsig_keys` that signs what they are told.
    #[serde(
        default,
        deserialize_with = "optional_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub notify_key: Option<String>,
}

/// Secondaries of one zone that are told of changes.
const NOTIFY_MAX: usize = 64;

impl Zone {
    /// The checks that one key alone cannot make. `key` is the place of the zone, `keys` the names of all TSIG keys.
    pub(crate) fn check(&self, key: &str, keys: &BTreeSet<&str>) -> Result<(), Problem> {
        let fault =
            |field: &str, message: String| Err(Problem::new(format!("{key}.{field}"), message));
        if self.file.is_none() && !self.agreed {
            let message = "the zone has no file; expected `file`, or `agreed: true`";
            return Err(Problem::new(key, message));
        }
        if !self.allow_update.is_empty() && !self.agreed {
            let message =
                "a zone file takes no updates; expected `allow_update` with `agreed: true` alone";
            return fault("allow_update", message.to_owned());
        }
        for (field, names) in [
            ("allow_transfer_keys", &*self.allow_transfer_keys),
            ("allow_update", &self.allow_update),
            ("notify_key", self.notify_key.as_slice()),
        ] {
            if let Some(name) = names.iter().find(|name| !keys.contains(&***name)) {
                return fault(
                    field,
                    format!("no key {name}; expected a name of `tsig_keys`"),
                );
            }
        }
        let count = self.notify.len();
        if count > NOTIFY_MAX {
            return fault(
                "notify",
                format!("{count} addresses; expected at most {NOTIFY_MAX}"),
            );
        }
        unique(&format!("{key}.notify"), &self.notify)
    }
}

/// RFC 1035 §2.3.4, counted in wire form with the root.
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;

pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    absolute(&String::deserialize(deserializer)?)
}

/// Several names of zones, each in lower case with the final dot.
pub(crate) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| absolute(text)).collect()
}

/// A name of a zone, if there is one.
pub(crate) fn optional_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| absolute(&text)).transpose()
}

/// Several names of zones, if there are any.
pub(crate) fn optional_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let texts = Option::<Vec<String>>::deserialize(deserializer)?;
    let names = texts.map(|texts| texts.iter().map(|text| absolute(text)).collect());
    names.transpose()
}

fn absolute<E: serde::de::Error>(text: &str) -> Result<String, E> {
    normalise(text).ok_or_else(|| {
        E::custom(format_args!(
            "`{text}` is no domain name; expected one such as example.com."
        ))
    })
}

/// Lower case with the final dot, if every label is of letters, digits, `-`, `_` or `/` (RFC 2317).
fn normalise(text: &str) -> Option<String> {
    if text == "." {
        return Some(text.to_owned());
    }
    let relative = text.strip_suffix('.').unwrap_or(text);
    let good_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte))
    };
    // A length byte for the first label and the root behind the text.
    if relative.len() + 2 > NAME_BYTES_MAX || !relative.split('.').all(good_label) {
        return None;
    }
    Some(format!("{}.", relative.to_ascii_lowercase()))
}

pub(crate) fn file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    checked_file(PathBuf::deserialize(deserializer)?)
}

/// The name of a zone file, if there is one.
pub(crate) fn optional_file<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let file = Option::<PathBuf>::deserialize(deserializer)?;
    file.map(checked_file).transpose()
}

fn checked_file<E: serde::de::Error>(file: PathBuf) -> Result<PathBuf, E> {
    if file.as_os_str().is_empty() {
        return Err(E::custom("is empty; expected the name of a zone file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_absolute_and_lower_case_or_are_refused() {
        for (text, name) in [
            ("Example.COM", "example.com."),
            ("example.com.", "example.com."),
            (".", "."),
            ("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa."),
        ] {
            assert_eq!(normalise(text).as_deref(), Some(name));
        }
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(128);
        for text in [
            "",
            "..",
            "a..b",
            ".a",
            "a b",
            "ä.example",
            &long_label,
            &long_name,
        ] {
            assert_eq!(normalise(text), None, "{text}");
        }
    }
}
