//! Record data from text to wire form, field by field (RFC 1035 §5, RFC 3597 §5).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::check::check_rdata;
use super::date::read_time;
use super::error::{Fault, Problem, quote_word};
use super::gateway::{read_gateway, read_relay};
use super::identity::read_identity;
use super::location::read_location;
use super::prefixes::read_prefixes;
use super::radix::{hex_digit, read_base32hex, read_base64, read_hex};
use super::scanner::Token;
use super::svcb::read_parameters;
use super::types::{Field, Names, fields_of, type_from_text, type_to_text};
use super::words::{Words, read_char_string, read_octets, read_seconds};

/// Most bytes of record data (RFC 1035 §3.2.1).
pub(super) const RDATA_BYTES_MAX: usize = 65_535;

/// Names of DNSSEC algorithms (RFC 4034 appendix A.1 and the IANA registry).
const ALGORITHMS: &[(&str, u16)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Names of certificate types (RFC 4398 §2.1).
const CERTIFICATE_TYPES: &[(&str, u16)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// Appends the data of a record of type `rtype` to `out`, taking all words that are left.
pub(super) fn read_rdata(
    rtype: u16,
    words: &mut Words<'_, '_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let first = words.peek();
    match (first, fields_of(rtype)) {
        (Some(first), _) if !first.quoted && first.raw == b"\\#" => {
            read_generic(rtype, words, out)?
        }
        (_, Some(fields)) => {
            for &field in fields {
                read_field(field, words, out)?;
            }
        }
        (Some(first), None) => {
            return Err(first.fault(Problem::TypeGenericOnly {
                found: type_to_text(rtype),
            }));
        }
        (None, None) => return Err(words.missing("`\\#`, a length and hexadecimal")),
    }
    words.finish()?;
    let bytes = out.len() - start;
    match first {
        Some(first) if bytes > RDATA_BYTES_MAX => Err(first.fault(Problem::DataLength { bytes })),
        _ => Ok(()),
    }
}

/// `\# length hexadecimal` (RFC 3597 §5). Data of a type in the table is held to that type's form.
fn read_generic(rtype: u16, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    words.take("`\\#`")?;
    let length_token = words.take("the number of bytes")?;
    let stated = length_token
        .number::<u16>()
        .ok_or_else(|| length_token.unexpected("a number of bytes up to 65535"))?;
    let start = out.len();
    read_hex(words.rest(), out)?;
    let data = out.get(start..).unwrap_or(&[]);
    let (stated, actual) = (usize::from(stated), data.len());
    if stated != actual {
        return Err(length_token.fault(Problem::GenericLength { stated, actual }));
    }
    check_rdata(rtype, data).map_err(|fault| {
        let problem = Problem::DataForm {
            rtype: type_to_text(rtype),
            offset: fault.offset,
            expected: fault.expected,
        };
        length_token.fault(problem)
    })
}

#[expect(
    clippy::too_many_lines,
    reason = "one short arm a kind of field reads best as one table"
)]
fn read_field(field: Field, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match field {
        Field::U8 => out.push(words.number("a number from 0 to 255")?),
        Field::U16 => out.extend_from_slice(
            &words
                .number::<u16>("a number from 0 to 65535")?
                .to_be_bytes(),
        ),
        Field::U32 => out.extend_from_slice(
            &words
                .number::<u32>("a number from 0 to 4294967295")?
                .to_be_bytes(),
        ),
        Field::Seconds => {
            const EXPECTED: &str = "seconds, or a time such as 1h30m";
            let token = words.take(EXPECTED)?;
            let seconds = token
                .word()
                .and_then(read_seconds)
                .ok_or_else(|| token.unexpected(EXPECTED))?;
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        Field::Ipv4 => {
            let address: Ipv4Addr = words.parsed("an IPv4 address")?;
            out.extend_from_slice(&address.octets());
        }
        Field::Ipv6 => {
            let address: Ipv6Addr = words.parsed("an IPv6 address")?;
            out.extend_from_slice(&address.octets());
        }
        Field::Name(names) => {
            let mut name = words.name("a domain name")?;
            if names != Names::Kept {
                name.make_lowercase();
            }
            out.extend_from_slice(name.as_bytes());
        }
        Field::NameList => {
            while words.peek().is_some() {
                out.extend_from_slice(words.name("a domain name")?.as_bytes());
            }
        }
        Field::CharString => read_char_string(words.take("a string")?, out)?,
        Field::CharStrings => {
            for token in words.rest_of_one_or_more("a string")? {
                read_char_string(token, out)?;
            }
        }
        Field::Octets => read_octets(words.take("a string")?, out)?,
        Field::Tag => read_tag(words.take("a tag of letters and digits")?, out)?,
        Field::Hex => read_hex(
            words.rest_of_one_or_more("hexadecimal digits, two a byte")?,
            out,
        )?,
        Field::HexCounted => {
            let token = words.take("a salt in hexadecimal, or `-`")?;
            let empty = !token.quoted && token.raw == b"-";
            read_counted(token, out, |out| {
                if empty {
                    Ok(())
                } else {
                    read_hex(&[*token], out)
                }
            })?;
        }
        Field::Base32Counted => {
            let token = words.take("a hash in base32")?;
            read_counted(token, out, |out| read_base32hex(token, out))?;
        }
        Field::Base64 => read_base64(words.rest_of_one_or_more("base64")?, out)?,
        Field::Base64OrNone => read_base64(words.rest(), out)?,
        Field::Type => {
            let token = words.take("a type")?;
            out.extend_from_slice(&read_type(token)?.to_be_bytes());
        }
        Field::Types => read_types(words.rest(), out)?,
        Field::Algorithm => {
            let token = words.take("an algorithm")?;
            let number =
                read_mnemonic(token, ALGORITHMS).and_then(|number| u8::try_from(number).ok());
            out.push(
                number.ok_or_else(|| {
                    token.unexpected("an algorithm's name, or its number up to 255")
                })?,
            );
        }
        Field::CertificateType => {
            let token = words.take("a certificate type")?;
            let number = read_mnemonic(token, CERTIFICATE_TYPES);
            let number = number
                .ok_or_else(|| token.unexpected("a certificate type's name, or its number"))?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        Field::Time => {
            const EXPECTED: &str = "a time as YYYYMMDDHHmmSS, or seconds since 1970";
            let token = words.take(EXPECTED)?;
            let time = token
                .word()
                .and_then(read_time)
                .ok_or_else(|| token.unexpected(EXPECTED))?;
            out.extend_from_slice(&time.to_be_bytes());
        }
        Field::Eui48 => read_groups(
            words,
            6,
            2,
            b'-',
            "six pairs of hexadecimal digits with `-` between",
            out,
        )?,
        Field::Eui64 => read_groups(
            words,
            8,
            2,
            b'-',
            "eight pairs of hexadecimal digits with `-` between",
            out,
        )?,
        Field::Locator => read_groups(
            words,
            4,
            4,
            b':',
            "four groups of four hexadecimal digits with `:` between",
            out,
        )?,
        Field::Location => read_location(words, out)?,
        Field::Gateway => read_gateway(words, out)?,
        Field::Relay => read_relay(words, out)?,
        Field::Prefixes => read_prefixes(words.rest(), out)?,
        Field::Identity => read_identity(words, out)?,
        Field::Parameters => read_parameters(words.rest(), out)?,
    }
    Ok(())
}

/// Appends what `read` appends with its length in front.
fn read_counted(
    token: &Token<'_>,
    out: &mut Vec<u8>,
    read: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let start = out.len();
    out.push(0);
    read(out)?;
    let length =
        u8::try_from(out.len() - start - 1).map_err(|_| token.unexpected("at most 255 bytes"))?;
    if let Some(slot) = out.get_mut(start) {
        *slot = length;
    }
    Ok(())
}

/// RFC 8659 §4.1: letters and digits, at least one.
fn read_tag(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let well_formed = !token.raw.is_empty() && token.raw.iter().all(u8::is_ascii_alphanumeric);
    if !well_formed {
        return Err(token.unexpected("a tag of letters and digits"));
    }
    read_counted(token, out, |out| {
        out.extend_from_slice(token.raw);
        Ok(())
    })
}

fn read_type(token: &Token<'_>) -> Result<u16, Fault> {
    let unknown = || {
        token.fault(Problem::TypeUnknown {
            found: quote_word(token.raw),
        })
    };
    token.word().and_then(type_from_text).ok_or_else(unknown)
}

/// The bitmap of RFC 4034 §4.1.2: windows of 256 types, each with only as many bytes as needed.
fn read_types(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut types = tokens
        .iter()
        .map(read_type)
        .collect::<Result<Vec<u16>, Fault>>()?;
    types.sort_unstable();
    for window in types.chunk_by(|left, right| left >> 8 == right >> 8) {
        let mut bits = [0_u8; 32];
        let mut used = 0;
        for rtype in window {
            let [_, low] = rtype.to_be_bytes();
            let index = usize::from(low >> 3);
            bits[index] |= 0x80 >> (low & 7);
            used = index + 1;
        }
        let [high, _] = window.first().copied().unwrap_or(0).to_be_bytes();
        out.push(high);
        out.push(u8::try_from(used).unwrap_or(32));
        out.extend_from_slice(&bits[..used]);
    }
    Ok(())
}

fn read_mnemonic(token: &Token<'_>, table: &[(&str, u16)]) -> Option<u16> {
    let word = token.word()?;
    let named = table
        .iter()
        .find(|(mnemonic, _)| mnemonic.eq_ignore_ascii_case(word));
    named.map(|&(_, number)| number).or_else(|| token.number())
}

/// `groups` groups of `digits` hexadecimal digits with `separator` between them.
fn read_groups(
    words: &mut Words<'_, '_>,
    groups: usize,
    digits: usize,
    separator: u8,
    expected: &'static str,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let token = words.take(expected)?;
    let unexpected = || token.unexpected(expected);
    if token.quoted || token.raw.split(|&byte| byte == separator).count() != groups {
        return Err(unexpected());
    }
    for group in token.raw.split(|&byte| byte == separator) {
        if group.len() != digits {
            return Err(unexpected());
        }
        for pair in group.chunks(2) {
            let &[high, low] = pair else {
                return Err(unexpected());
            };
            let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low)) else {
                return Err(unexpected());
            };
            out.push(high << 4 | low);
        }
    }
    Ok(())
}
