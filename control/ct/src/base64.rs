//! [`Base64`]: bytes that stand in JSON as base64 (RFC 4648 §4).

use core::fmt;

use data_encoding::{BASE64, DecodeError, DecodeKind};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes, in JSON as base64 with padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&BASE64.encode_display(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Bytes of a base64 text, which has padding at its end and nowhere else: `data-encoding` also takes texts one after another.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let unpadded = text.trim_end_matches('=');
    if let Some(position) = unpadded.find('=') {
        let kind = DecodeKind::Padding;
        return Err(DecodeError { position, kind });
    }
    BASE64.decode(text.as_bytes())
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Base64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
        decode(text).map(Base64).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Base64, decode};

    #[test]
    fn padding_is_at_the_end_and_nowhere_else() {
        assert_eq!(decode("AQ=="), Ok(vec![1]));
        assert_eq!(decode(""), Ok(Vec::new()));
        for text in ["AQ==AQ==", "AQ=AQ===", "AQ", "AQ=", "AR==", "=", "AQ==\n"] {
            assert!(decode(text).is_err(), "{text}");
            let json = serde_json::json!(text);
            assert!(serde_json::from_value::<Base64>(json).is_err(), "{text}");
        }
    }
}
