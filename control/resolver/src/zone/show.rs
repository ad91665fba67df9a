//! Record data from wire form to text, the way [`super::file::read_zone_file`] reads it back.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::check::{check_rdata, split_rdata};
use super::date::write_time;
use super::gateway::{write_gateway, write_relay};
use super::identity::write_identity;
use super::location::write_location;
use super::name::{DisplayName, name_end};
use super::prefixes::write_prefixes;
use super::radix::{write_base32hex, write_base64, write_hex};
use super::svcb::{write_escaped, write_parameter};
use super::types::{Field, fields_of, type_to_text};

/// Data of a record as text in one line. Data of unknown types, or not in the form of its type, is shown as `\# length hex`.
pub fn rdata_to_text(rtype: u16, data: &[u8]) -> String {
    let mut out = String::new();
    if fields_of(rtype).is_none() || check_rdata(rtype, data).is_err() {
        out.push_str(&format!("\\# {} ", data.len()));
        write_hex(data, &mut out);
        out.truncate(out.trim_end().len());
        return out;
    }
    let checked = split_rdata(rtype, data, |field, value| {
        let start = out.len();
        write_field(field, value, &mut out);
        if out.len() > start {
            out.push(' ');
        }
    });
    debug_assert_eq!(checked, Ok(()));
    out.truncate(out.trim_end().len());
    out
}

fn write_field(field: Field, value: &[u8], out: &mut String) {
    match field {
        Field::U8
        | Field::U16
        | Field::U32
        | Field::Seconds
        | Field::Algorithm
        | Field::CertificateType => {
            out.push_str(&number(value).to_string());
        }
        Field::Ipv4 => {
            out.extend(<[u8; 4]>::try_from(value).map(|octets| Ipv4Addr::from(octets).to_string()));
        }
        Field::Ipv6 => {
            out.extend(
                <[u8; 16]>::try_from(value).map(|octets| Ipv6Addr::from(octets).to_string()),
            );
        }
        Field::Name(_) => out.push_str(&DisplayName(value).to_string()),
        Field::NameList => write_names(value, out),
        Field::CharString => write_string(value.get(1..).unwrap_or(&[]), out),
        Field::CharStrings => write_strings(value, out),
        Field::Octets => write_string(value, out),
        Field::Tag => out.extend(value.iter().skip(1).copied().map(char::from)),
        Field::Hex => write_hex(value, out),
        Field::HexCounted if value.len() == 1 => out.push('-'),
        Field::HexCounted => write_hex(value.get(1..).unwrap_or(&[]), out),
        Field::Base32Counted => write_base32hex(value.get(1..).unwrap_or(&[]), out),
        Field::Base64 | Field::Base64OrNone => write_base64(value, out),
        Field::Type => out.push_str(&type_to_text(u16::try_from(number(value)).unwrap_or(0))),
        Field::Types => write_types(value, out),
        Field::Time => write_time(number(value), out),
        Field::Eui48 | Field::Eui64 => write_groups(value, 1, '-', out),
        Field::Locator => write_groups(value, 2, ':', out),
        Field::Location => {
            if let Ok(location) = value.try_into() {
                write_location(location, out);
            }
        }
        Field::Gateway => write_gateway(value, out),
        Field::Relay => write_relay(value, out),
        Field::Prefixes => write_prefixes(value, out),
        Field::Identity => write_identity(value, out),
        Field::Parameters => write_parameters(value, out),
    }
}

fn number(value: &[u8]) -> u32 {
    value
        .iter()
        .fold(0, |total, &byte| total << 8 | u32::from(byte))
}

fn write_string(value: &[u8], out: &mut String) {
    out.push('"');
    value.iter().for_each(|&byte| write_escaped(byte, out));
    out.push('"');
}

fn write_names(value: &[u8], out: &mut String) {
    let mut rest = value;
    while let Some((name, after)) = name_end(rest).and_then(|end| rest.split_at_checked(end)) {
        if rest.len() < value.len() {
            out.push(' ');
        }
        out.push_str(&DisplayName(name).to_string());
        rest = after;
    }
}

fn write_strings(value: &[u8], out: &mut String) {
    let mut rest = value;
    while let Some((&length, after)) = rest.split_first() {
        if rest.len() < value.len() {
            out.push(' ');
        }
        let (string, after) = after
            .split_at_checked(usize::from(length))
            .unwrap_or((after, &[]));
        write_string(string, out);
        rest = after;
    }
}

fn write_types(value: &[u8], out: &mut String) {
    let start = out.len();
    let mut rest = value;
    while let [window, length, after @ ..] = rest {
        let (bits, after) = after
            .split_at_checked(usize::from(*length))
            .unwrap_or((after, &[]));
        for (low, _) in (0..=255_u8).zip(0..bits.len() * 8) {
            let set = bits
                .get(usize::from(low >> 3))
                .is_some_and(|byte| byte & (0x80 >> (low & 7)) != 0);
            if set {
                if out.len() > start {
                    out.push(' ');
                }
                out.push_str(&type_to_text(u16::from_be_bytes([*window, low])));
            }
        }
        rest = after;
    }
}

fn write_groups(value: &[u8], bytes: usize, separator: char, out: &mut String) {
    for (index, group) in value.chunks(bytes).enumerate() {
        if index > 0 {
            out.push(separator);
        }
        write_hex(group, out);
    }
}

fn write_parameters(value: &[u8], out: &mut String) {
    let mut rest = value;
    while let [key_high, key_low, length_high, length_low, after @ ..] = rest {
        if rest.len() < value.len() {
            out.push(' ');
        }
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let (parameter, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        write_parameter(u16::from_be_bytes([*key_high, *key_low]), parameter, out);
        rest = after;
    }
}
