//! `resolver.cookies`: DNS cookies of clients (RFC 7873, RFC 9018).

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a secret: the key of SipHash-2-4 (RFC 9018 §4.4).
pub const SECRET_BYTES: usize = 16;

const HEX_DIGITS: usize = 2 * SECRET_BYTES;
/// A secret's file is its digits and some space around them.
const FILE_BYTES_MAX: u64 = 256;

/// DNS cookies of clients (RFC 7873, RFC 9018).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cookies {
    /// Whether a COOKIE option is answered with one.
    pub enabled: bool,
    /// Whether a UDP query with a client cookie, but without a valid server cookie, is answered with
    /// BADCOOKIE and nothing else.
    pub require: bool,
    /// What server cookies are made from: 32 hexadecimal digits, or a file with them, the same on all
    /// servers of an anycast set. Left out: random at each start.
    pub secret: Option<CookieSecret>,
    /// The secret before a change: its cookies are still taken, and replaced.
    pub previous_secret: Option<CookieSecret>,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            enabled: true,
            require: false,
            secret: None,
            previous_secret: None,
        }
    }
}

/// The secret in use, and the one before.
pub type CookieSecrets = ([u8; SECRET_BYTES], Option<[u8; SECRET_BYTES]>);

/// A secret, or the file that has it.
#[derive(Clone, PartialEq, Eq)]
pub enum CookieSecret {
    /// The secret itself.
    Given([u8; SECRET_BYTES]),
    /// A file with 32 hexadecimal digits.
    File(PathBuf),
}

/// Why a file has no secret for us.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct SecretError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

impl Cookies {
    /// The secret and the previous one, if they are not to be random, read from their files if they
    /// have some.
    ///
    /// # Errors
    /// A file cannot be read, or holds something else.
    pub fn secrets(&self) -> Result<Option<CookieSecrets>, SecretError> {
        let Some(secret) = &self.secret else {
            return Ok(None);
        };
        let previous = self.previous_secret.as_ref().map(CookieSecret::read);
        Ok(Some((secret.read()?, previous.transpose()?)))
    }
}

impl CookieSecret {
    fn read(&self) -> Result<[u8; SECRET_BYTES], SecretError> {
        match self {
            Self::Given(secret) => Ok(*secret),
            Self::File(path) => read(path).map_err(|message| SecretError {
                path: path.clone(),
                message,
            }),
        }
    }
}

fn read(path: &Path) -> Result<[u8; SECRET_BYTES], String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    // Not what it has instead: that may be most of a secret.
    parse(text.trim()).ok_or_else(|| format!("expected {HEX_DIGITS} hexadecimal digits"))
}

/// Exactly 32 hexadecimal digits.
fn parse(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let is_hex = text.len() == HEX_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = is_hex.then(|| u128::from_str_radix(text, 16))?;
    bits.ok().map(u128::to_be_bytes)
}

impl fmt::Debug for CookieSecret {
    /// Keeps secrets out of logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => out.write_str("Given(..)"),
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
        }
    }
}

impl<'de> Deserialize<'de> for CookieSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DigitsOrFile;

        impl Visitor<'_> for DigitsOrFile {
            type Value = CookieSecret;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    out,
                    "{HEX_DIGITS} hexadecimal digits, or the name of a file"
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CookieSecret, E> {
                match parse(text) {
                    Some(secret) => Ok(CookieSecret::Given(secret)),
                    None if text.is_empty() => Err(E::invalid_length(0, &self)),
                    None => Ok(CookieSecret::File(text.into())),
                }
            }
        }

        deserializer.deserialize_str(DigitsOrFile)
    }
}

impl Serialize for CookieSecret {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(secret) => {
                out.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*secret)))
            }
            Self::File(path) => path.serialize(out),
        }
    }
}

impl JsonSchema for CookieSecret {
    fn schema_name() -> Cow<'static, str> {
        "CookieSecret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "32 hexadecimal digits, or a file name."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const DIGITS: &str = "000102030405060708090A0b0c0d0e0f";

    fn secret_in(text: &str) -> Result<[u8; SECRET_BYTES], String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        let read = CookieSecret::File(path).read();
        read.map_err(|error| error.to_string())
    }

    fn configured(secret: &str) -> Result<Option<CookieSecret>, String> {
        let text = format!("resolver: {{cookies: {{secret: {secret}}}}}");
        let config = Config::parse(&text, Path::new("nexus.yaml"));
        config
            .map(|config| config.resolver.cookies.secret)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn file_holds_the_digits_and_nothing_else() {
        let expected = core::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(secret_in(&format!("{DIGITS}\n")), Ok(expected));
        for text in [
            "",
            DIGITS.get(1..).unwrap(),
            &format!("{DIGITS}0"),
            &"0".repeat(999),
        ] {
            let error = secret_in(text).unwrap_err();
            assert!(error.ends_with("expected 32 hexadecimal digits"), "{error}");
        }
        let missing = CookieSecret::File("/nonexistent/secret".into()).read();
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("cannot be opened")
        );
    }

    #[test]
    fn digits_are_a_secret_quoted_or_not_and_other_text_is_a_file() {
        // Without letters it could be taken for a number.
        for digits in [
            DIGITS,
            "00112233445566778899001122334455",
            "1".repeat(32).as_str(),
        ] {
            let expected = CookieSecret::Given(parse(digits).unwrap());
            assert_eq!(configured(digits), Ok(Some(expected.clone())));
            assert_eq!(configured(&format!("'{digits}'")), Ok(Some(expected)));
        }
        let file = CookieSecret::File("cookie.secret".into());
        assert_eq!(configured("cookie.secret"), Ok(Some(file)));
        let error = configured("''").unwrap_err();
        assert!(error.contains("32 hexadecimal digits"), "{error}");
    }

    #[test]
    fn any_text_is_a_secret_that_prints_back_or_none() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|bytes: &[u8]| {
                if let Ok(text) = std::str::from_utf8(bytes)
                    && let Some(secret) = parse(text)
                {
                    let printed = serde_json::to_value(CookieSecret::Given(secret)).unwrap();
                    assert_eq!(printed, text.to_ascii_lowercase());
                }
            });
    }

    #[test]
    fn secret_is_written_back_and_stays_out_of_logs() {
        let secret = CookieSecret::Given(parse(DIGITS).unwrap());
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, format!("\"{}\"", DIGITS.to_lowercase()));
        assert!(!format!("{secret:?}").contains("0f"));
    }
}
