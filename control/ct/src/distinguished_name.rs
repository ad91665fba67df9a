//! What stands in the names of issuer and subject (RFC 5280 §4.1.2.4), for people. Never to compare by: that is done octet by
//! octet.

use std::fmt::Write as _;

use crate::certificate::Certificate;
use crate::der::{DerError, Element, Reader, tag};
use crate::extension::each;
use crate::oid::Oid;

/// One attribute of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAttribute<'a> {
    /// Its type.
    pub id: Oid<'a>,
    /// Its text. Octets that are none in their encoding are replaced.
    pub text: String,
}

impl<'a> Certificate<'a> {
    /// Attributes of the subject's name, in their order. Those that are no text are passed over.
    ///
    /// # Errors
    /// If the name is not of its syntax.
    pub fn subject_attributes(&self) -> Result<Vec<NameAttribute<'a>>, DerError> {
        attributes(self.subject())
    }

    /// Attributes of the issuer's name, in their order. Those that are no text are passed over.
    ///
    /// # Errors
    /// If the name is not of its syntax.
    pub fn issuer_attributes(&self) -> Result<Vec<NameAttribute<'a>>, DerError> {
        attributes(self.issuer())
    }

    /// The issuer's name on one line, as it is written: `C=US, O=Example, CN=Example R1`.
    ///
    /// # Errors
    /// If the name is not of its syntax.
    pub fn issuer_text(&self) -> Result<String, DerError> {
        let mut line = String::new();
        for NameAttribute { id, text } in self.issuer_attributes()? {
            let comma = if line.is_empty() { "" } else { ", " };
            let written = match id {
                Oid::COMMON_NAME => write!(line, "{comma}CN={text}"),
                Oid::COUNTRY => write!(line, "{comma}C={text}"),
                Oid::ORGANIZATION => write!(line, "{comma}O={text}"),
                Oid::ORGANIZATIONAL_UNIT => write!(line, "{comma}OU={text}"),
                other => write!(line, "{comma}{other}={text}"),
            };
            written.expect("a string takes every line");
        }
        Ok(line)
    }
}

fn attributes(name: &[u8]) -> Result<Vec<NameAttribute<'_>>, DerError> {
    let parts = Reader::new(name).only(tag::SEQUENCE)?;
    let sets = each(parts, |parts| {
        each(parts.element(tag::SET)?, |set| {
            let mut pair = set.sequence()?;
            let (id, value) = (Oid::read(&mut pair)?, pair.any()?);
            pair.end()?;
            Ok(text(&value).map(|text| NameAttribute { id, text }))
        })
    })?;
    Ok(sets.into_iter().flatten().flatten().collect())
}

fn text(value: &Element<'_>) -> Option<String> {
    match value.tag {
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => {
            Some(String::from_utf8_lossy(value.contents).into_owned())
        }
        // T.61 says otherwise; what is found in certificates is Latin-1.
        tag::TELETEX_STRING => Some(value.contents.iter().copied().map(char::from).collect()),
        tag::BMP_STRING => {
            let (units, _) = value.contents.as_chunks();
            let units = units.iter().copied().map(u16::from_be_bytes);
            let characters = char::decode_utf16(units);
            Some(
                characters
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(parts: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let wrap = |tag: u8, contents: Vec<u8>| {
            let length = u8::try_from(contents.len()).unwrap();
            assert!(length < 0x80);
            [vec![tag, length], contents].concat()
        };
        let parts = parts.iter().map(|(id, tag, value)| {
            let pair = [wrap(tag::OID, id.to_vec()), wrap(*tag, value.to_vec())].concat();
            wrap(tag::SET, wrap(tag::SEQUENCE, pair))
        });
        wrap(tag::SEQUENCE, parts.collect::<Vec<_>>().concat())
    }

    #[test]
    fn text_of_every_kind_is_read_and_what_is_none_is_passed_over() {
        let common_name = &[0x55, 0x04, 0x03];
        let name = name(&[
            (common_name, tag::UTF8_STRING, "Zürich".as_bytes()),
            (common_name, tag::PRINTABLE_STRING, b"plain"),
            (common_name, tag::TELETEX_STRING, b"Z\xfcrich"),
            (common_name, tag::BMP_STRING, b"\0Z\0\xfc\xd8\0"),
            (common_name, tag::INTEGER, b"\x05"),
            (&[0x55, 0x04, 0x0a], tag::IA5_STRING, b"\xff"),
        ]);
        let texts: Vec<_> = attributes(&name).unwrap();
        let texts: Vec<_> = texts
            .iter()
            .map(|read| (read.id, read.text.as_str()))
            .collect();
        let common = |text| (Oid::COMMON_NAME, text);
        let expected = [
            common("Zürich"),
            common("plain"),
            common("Zürich"),
            common("Zü\u{fffd}"),
            (Oid::ORGANIZATION, "\u{fffd}"),
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn name_cut_anywhere_is_an_error() {
        let name = name(&[(&[0x55, 0x04, 0x03], tag::UTF8_STRING, b"example")]);
        for end in 0..name.len() {
            assert!(attributes(&name[..end]).is_err(), "end={end}");
        }
        assert_eq!(attributes(&name).unwrap().len(), 1);
    }
}
