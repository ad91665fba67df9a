//! Amounts of memory: `16MiB`, `512KiB`, `1GiB`, or plain bytes.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{self, Unexpected, Visitor};

/// For `#[serde(deserialize_with = "size::<MIN, MAX, _>")]`, both in bytes.
pub(crate) fn size<'de, const MIN: u64, const MAX: u64, D>(deserializer: D) -> Result<u64, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Size::<MIN, MAX>(PhantomData))
}

struct Size<const MIN: u64, const MAX: u64>(PhantomData<()>);

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Size<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "a size such as 16MiB, from {} to {}",
            Rendered(MIN),
            Rendered(MAX)
        )
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        if (MIN..=MAX).contains(&value) {
            Ok(value)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(value), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
        match parse(value) {
            Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(bytes),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size in its largest whole unit.
struct Rendered(u64);

impl fmt::Display for Rendered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(out, "{}{unit}", self.0 / factor);
            }
        }
        write!(out, "{}", self.0)
    }
}

/// Schema of a size: text with a unit, or bytes.
pub(crate) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [
            { "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$" },
            { "type": "integer", "minimum": 0 }
        ]
    })
}

/// Writes a size as it would be written by hand.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's serialize_with passes references"
)]
pub(crate) fn write<S: serde::Serializer>(bytes: &u64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&Rendered(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary_and_anything_else_is_refused() {
        for (text, bytes) in [
            ("7", 7),
            ("7B", 7),
            ("2KiB", 2048),
            ("16MiB", 16 << 20),
            ("3 GiB", 3 << 30),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "1MB",
            "1mib",
            "-1",
            "1.5MiB",
            "99999999999999999999",
            "18446744073709551615KiB",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn rendered_sizes_parse_back() {
        for bytes in [0, 1, 1023, 1024, 1025, 16 << 20, 5 << 30, u64::MAX] {
            assert_eq!(parse(&Rendered(bytes).to_string()), Some(bytes));
        }
    }
}
