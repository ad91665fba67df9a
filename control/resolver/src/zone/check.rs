//! Record data in wire form held to the form of its type.
//!
//! Data that passes here can be walked and shown without further checks; unknown types have no form and always pass.

use super::gateway::{gateway_bytes, relay_bytes};
use super::identity::identity_bytes;
use super::location::{LOCATION_BYTES, is_precision};
use super::name::name_end;
use super::prefixes::check_prefixes;
use super::svcb::check_value;
use super::types::{Field, Names, fields_of};

/// Where data departs from its type's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormFault {
    pub(super) offset: usize,
    pub(super) expected: &'static str,
}

/// Whether `data` has the form of the type.
pub(super) fn check_rdata(rtype: u16, data: &[u8]) -> Result<(), FormFault> {
    split_rdata(rtype, data, |_, _| {})
}

/// Lower-cases the names that RFC 4034 §6.2 (as corrected by RFC 6840 §5.1) lower-cases, in place. Data must have passed
/// [`check_rdata`].
pub(super) fn make_canonical(rtype: u16, data: &mut [u8]) {
    let mut offset = 0;
    for &field in fields_of(rtype).unwrap_or(&[]) {
        let rest = data.get_mut(offset..).unwrap_or_default();
        let Ok(bytes) = field_bytes(field, rest) else {
            return;
        };
        if let (Field::Name(Names::Compressed | Names::Lowered), Some(name)) =
            (field, rest.get_mut(..bytes))
        {
            name.make_ascii_lowercase();
        }
        offset += bytes;
    }
}

/// Calls `visit` with each field and its bytes in order, then refuses bytes after the last field.
pub(super) fn split_rdata<'d>(
    rtype: u16,
    data: &'d [u8],
    mut visit: impl FnMut(Field, &'d [u8]),
) -> Result<(), FormFault> {
    let Some(fields) = fields_of(rtype) else {
        return Ok(());
    };
    let mut offset = 0;
    for &field in fields {
        let rest = data.get(offset..).unwrap_or(&[]);
        let bytes = field_bytes(field, rest).map_err(|expected| FormFault { offset, expected })?;
        let Some(value) = rest.get(..bytes) else {
            return Err(FormFault {
                offset,
                expected: "more bytes",
            });
        };
        visit(field, value);
        offset += bytes;
    }
    if offset == data.len() {
        Ok(())
    } else {
        Err(FormFault {
            offset,
            expected: "the end",
        })
    }
}

/// How many bytes the field at the start of `rest` takes; may exceed what is there.
fn field_bytes(field: Field, rest: &[u8]) -> Result<usize, &'static str> {
    let counted = || {
        rest.first()
            .map(|&length| 1 + usize::from(length))
            .ok_or("a length byte")
    };
    Ok(match field {
        Field::U8 | Field::Algorithm => 1,
        Field::U16 | Field::Type | Field::CertificateType => 2,
        Field::U32 | Field::Seconds | Field::Time | Field::Ipv4 => 4,
        Field::Eui48 => 6,
        Field::Eui64 | Field::Locator => 8,
        Field::Ipv6 => 16,
        Field::Name(_) => name_end(rest).ok_or("an uncompressed name")?,
        Field::NameList => check_names(rest)?,
        Field::CharString | Field::HexCounted => counted()?,
        Field::Base32Counted => {
            counted().and_then(|bytes| if bytes > 1 { Ok(bytes) } else { Err("a hash") })?
        }
        Field::Tag => {
            let bytes = counted()?;
            let tag = rest.get(1..bytes).unwrap_or(&[]);
            let well_formed = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
            if well_formed {
                bytes
            } else {
                return Err("a tag of letters and digits");
            }
        }
        Field::CharStrings => check_strings(rest)?,
        Field::Octets | Field::Base64OrNone => rest.len(),
        Field::Hex | Field::Base64 if rest.is_empty() => return Err("one byte or more"),
        Field::Hex | Field::Base64 => rest.len(),
        Field::Types => check_types(rest)?,
        Field::Location => check_location(rest)?,
        Field::Gateway => gateway_bytes(rest)?,
        Field::Relay => relay_bytes(rest)?,
        Field::Prefixes => check_prefixes(rest)?,
        Field::Identity => identity_bytes(rest)?,
        Field::Parameters => check_parameters(rest)?,
    })
}

fn check_names(data: &[u8]) -> Result<usize, &'static str> {
    let mut rest = data;
    while !rest.is_empty() {
        let end = name_end(rest).ok_or("an uncompressed name")?;
        rest = rest.get(end..).unwrap_or(&[]);
    }
    Ok(data.len())
}

fn check_strings(data: &[u8]) -> Result<usize, &'static str> {
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        rest = after
            .get(usize::from(length)..)
            .ok_or("strings that fill the data")?;
    }
    if data.is_empty() {
        Err("a string")
    } else {
        Ok(data.len())
    }
}

/// RFC 4034 §4.1.2: windows in ascending order, 1 to 32 bytes each, without zero bytes at the end.
fn check_types(data: &[u8]) -> Result<usize, &'static str> {
    let (mut rest, mut windows_seen) = (data, 0_u16);
    while let [window, length, after @ ..] = rest {
        let bits = after
            .get(..usize::from(*length))
            .filter(|bits| (1..=32).contains(&bits.len()));
        let bits = bits.ok_or("a window of 1 to 32 bytes")?;
        if bits.last() == Some(&0) {
            return Err("a window without zero bytes at its end");
        }
        if u16::from(*window) < windows_seen {
            return Err("windows in ascending order");
        }
        windows_seen = u16::from(*window) + 1;
        rest = after.get(bits.len()..).unwrap_or(&[]);
    }
    if rest.is_empty() {
        Ok(data.len())
    } else {
        Err("a whole window")
    }
}

fn check_location(data: &[u8]) -> Result<usize, &'static str> {
    match data {
        [0, size, horizontal, vertical, ..] => {
            let well_formed = [size, horizontal, vertical]
                .into_iter()
                .all(|&byte| is_precision(byte));
            if well_formed {
                Ok(LOCATION_BYTES)
            } else {
                Err("precisions in decimal digits")
            }
        }
        _ => Err("version 0"),
    }
}

/// RFC 9460 §2.2: keys in ascending order, values of the form that their keys ask for.
fn check_parameters(data: &[u8]) -> Result<usize, &'static str> {
    let (mut rest, mut keys_seen) = (data, 0_u32);
    while let [key_high, key_low, length_high, length_low, after @ ..] = rest {
        let key = u16::from_be_bytes([*key_high, *key_low]);
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let (value, after) = after.split_at_checked(length).ok_or("a whole value")?;
        if u32::from(key) < keys_seen {
            return Err("keys in ascending order");
        }
        check_value(key, value)?;
        keys_seen = u32::from(key) + 1;
        rest = after;
    }
    if rest.is_empty() {
        Ok(data.len())
    } else {
        Err("a whole key and length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::types::rtype;

    #[test]
    fn data_of_wrong_length_is_refused_where_it_departs() {
        let cases: [(u16, &[u8], usize); 8] = [
            (rtype::A, &[1, 2, 3], 0),
            (rtype::A, &[1, 2, 3, 4, 5], 4),
            (rtype::MX, &[0, 1], 2),
            (rtype::MX, &[0, 1, 3, b'a', 0], 2),
            (rtype::NS, &[0xc0, 12], 0),
            (16, &[], 0),
            (16, &[1, b'a', 2, b'b'], 0),
            (rtype::NSEC, &[0, 0, 1, 0], 1),
        ];
        for (rtype, data, offset) in cases {
            assert_eq!(
                check_rdata(rtype, data).map_err(|fault| fault.offset),
                Err(offset),
                "{rtype} {data:?}"
            );
        }
    }

    #[test]
    fn data_of_an_unknown_type_always_passes() {
        assert_eq!(check_rdata(4711, &[]), Ok(()));
        assert_eq!(check_rdata(10, &[1, 2, 3]), Ok(()));
    }

    #[test]
    fn names_are_lowered_where_the_canonical_form_says_so() {
        let mut mx = *b"\x00\x41\x01A\0";
        make_canonical(rtype::MX, &mut mx);
        assert_eq!(&mx, b"\x00\x41\x01a\0", "the preference 0x41 is no letter");
        let mut nsec = *b"\x01A\0\x00\x01\x40";
        make_canonical(rtype::NSEC, &mut nsec);
        assert_eq!(&nsec, b"\x01A\0\x00\x01\x40");
    }
}
