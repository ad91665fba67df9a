//! Parameters of SVCB and HTTPS records (RFC 9460 §2.1, §7; RFC 9461 §5; RFC 9540 §4).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::Fault;
use super::radix::{read_base64, write_base64};
use super::scanner::Token;
use super::words::read_octets;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// Never a key (RFC 9460 §14.3.2).
const INVALID: u16 = 65_535;

const KEYS: &[(u16, &str)] = &[
    (MANDATORY, "mandatory"),
    (ALPN, "alpn"),
    (NO_DEFAULT_ALPN, "no-default-alpn"),
    (PORT, "port"),
    (IPV4_HINT, "ipv4hint"),
    (ECH, "ech"),
    (IPV6_HINT, "ipv6hint"),
    (DOHPATH, "dohpath"),
    (OHTTP, "ohttp"),
];

struct Parameter<'t, 'a> {
    key: u16,
    value: Vec<u8>,
    token: &'t Token<'a>,
}

/// Appends the parameters in wire form, ordered by key.
pub(super) fn read_parameters(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut parameters = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        // `key="value"` arrives as two words without space between.
        let (quoted, after) = match after.split_first() {
            Some((next, after)) if next.joined && token.raw.ends_with(b"=") => (Some(next), after),
            _ => (None, after),
        };
        parameters.push(read_parameter(token, quoted)?);
        rest = after;
    }
    parameters.sort_by_key(|parameter| parameter.key);
    check_together(&parameters)?;
    for parameter in &parameters {
        let length = u16::try_from(parameter.value.len());
        let length =
            length.map_err(|_| parameter.token.unexpected("a value of at most 65535 bytes"))?;
        out.extend_from_slice(&parameter.key.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&parameter.value);
    }
    Ok(())
}

/// Why a value in wire form is wrong, if it is.
pub(super) fn check_value(key: u16, value: &[u8]) -> Result<(), &'static str> {
    let well_formed = match key {
        MANDATORY => {
            let keys: Vec<u16> = pairs(value).collect();
            let ascending = keys.is_sorted_by(|left, right| left < right);
            value.len().is_multiple_of(2)
                && !value.is_empty()
                && ascending
                && keys.first() != Some(&MANDATORY)
        }
        ALPN => is_string_list(value),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4_HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6_HINT => !value.is_empty() && value.len().is_multiple_of(16),
        INVALID => false,
        _ => true,
    };
    if well_formed {
        Ok(())
    } else {
        Err(expected_of(key))
    }
}

/// Writes one parameter as text.
pub(super) fn write_parameter(key: u16, value: &[u8], out: &mut String) {
    match KEYS.iter().find(|&&(number, _)| number == key) {
        Some((_, name)) => out.push_str(name),
        None => out.push_str(&format!("key{key}")),
    }
    if value.is_empty() {
        return;
    }
    out.push('=');
    match key {
        MANDATORY => write_list(pairs(value).map(key_name), out),
        ALPN => write_alpn(value, out),
        PORT => write_list(pairs(value).map(|port| port.to_string()), out),
        IPV4_HINT => {
            let addresses = value
                .chunks_exact(4)
                .filter_map(|chunk| <[u8; 4]>::try_from(chunk).ok());
            write_list(
                addresses.map(|octets| Ipv4Addr::from(octets).to_string()),
                out,
            );
        }
        IPV6_HINT => {
            let addresses = value
                .chunks_exact(16)
                .filter_map(|chunk| <[u8; 16]>::try_from(chunk).ok());
            write_list(
                addresses.map(|octets| Ipv6Addr::from(octets).to_string()),
                out,
            );
        }
        ECH => write_base64(value, out),
        _ => {
            out.push('"');
            value.iter().for_each(|&byte| write_escaped(byte, out));
            out.push('"');
        }
    }
}

fn read_parameter<'t, 'a>(
    token: &'t Token<'a>,
    quoted: Option<&Token<'_>>,
) -> Result<Parameter<'t, 'a>, Fault> {
    const EXPECTED: &str = "a parameter such as alpn=h2 or key123=value";
    let word = token.word().ok_or_else(|| token.unexpected(EXPECTED))?;
    let (name, plain) = word
        .split_once('=')
        .map_or((word, None), |(name, value)| (name, Some(value)));
    let key = read_key(name).ok_or_else(|| token.unexpected(EXPECTED))?;
    let plain_token = Token {
        raw: plain.unwrap_or("").as_bytes(),
        column: token
            .column
            .saturating_add(u32::try_from(name.len() + 1).unwrap_or(0)),
        ..*token
    };
    let value_token = quoted.copied().unwrap_or(plain_token);
    let mut text = Vec::new();
    read_octets(&value_token, &mut text)?;
    let generic = name
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("key"));
    let mut value = Vec::new();
    if generic {
        value = text;
    } else {
        read_value(key, &value_token, &text, &mut value).map_err(|fault| {
            if text.is_empty() {
                token.unexpected(expected_of(key))
            } else {
                fault
            }
        })?;
    }
    // A value that is written but empty is as wrong as one that is not there, except for keys without value.
    check_value(key, &value)
        .map_err(|expected| value_or_key(&value_token, token).unexpected(expected))?;
    Ok(Parameter { key, value, token })
}

fn value_or_key<'t, 'a>(value: &'t Token<'a>, key: &'t Token<'a>) -> &'t Token<'a> {
    if value.raw.is_empty() { key } else { value }
}

/// The value of a known key from its text with escapes resolved once.
fn read_value(key: u16, token: &Token<'_>, text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let unexpected = || token.unexpected(expected_of(key));
    let items = || {
        text.split(|&byte| byte == b',')
            .map(|item| std::str::from_utf8(item).unwrap_or(""))
    };
    match key {
        MANDATORY => {
            let keys = items().map(read_key).collect::<Option<Vec<u16>>>();
            let mut keys = keys.ok_or_else(unexpected)?;
            keys.sort_unstable();
            keys.iter()
                .for_each(|key| out.extend_from_slice(&key.to_be_bytes()));
        }
        ALPN => read_alpn(token, text, out)?,
        PORT => {
            let port = std::str::from_utf8(text)
                .ok()
                .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
            let port: u16 = port
                .and_then(|port| port.parse().ok())
                .ok_or_else(unexpected)?;
            out.extend_from_slice(&port.to_be_bytes());
        }
        IPV4_HINT => {
            for item in items() {
                out.extend_from_slice(
                    &item.parse::<Ipv4Addr>().map_err(|_| unexpected())?.octets(),
                );
            }
        }
        IPV6_HINT => {
            for item in items() {
                out.extend_from_slice(
                    &item.parse::<Ipv6Addr>().map_err(|_| unexpected())?.octets(),
                );
            }
        }
        ECH => read_base64(
            &[Token {
                raw: text,
                ..*token
            }],
            out,
        )?,
        _ => out.extend_from_slice(text),
    }
    Ok(())
}

/// A list of strings: `\,` and `\\` are escapes of the list itself, after those of the word (RFC 9460 appendix A.1).
fn read_alpn(token: &Token<'_>, text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let unexpected = || token.unexpected(expected_of(ALPN));
    let mut item = Vec::new();
    let mut bytes = text.iter().copied();
    loop {
        let byte = bytes.next();
        match byte {
            Some(b'\\') => item.push(bytes.next().ok_or_else(unexpected)?),
            Some(b',') | None => {
                let length = u8::try_from(item.len())
                    .ok()
                    .filter(|&length| length > 0)
                    .ok_or_else(unexpected)?;
                out.push(length);
                out.append(&mut item);
            }
            Some(byte) => item.push(byte),
        }
        if byte.is_none() {
            return Ok(());
        }
    }
}

/// What parameters say about each other (RFC 9460 §7.1.1 and §8).
fn check_together(parameters: &[Parameter<'_, '_>]) -> Result<(), Fault> {
    let has = |key: u16| {
        parameters
            .binary_search_by_key(&key, |parameter| parameter.key)
            .is_ok()
    };
    for pair in parameters.windows(2) {
        if let [first, second] = pair
            && first.key == second.key
        {
            return Err(second.token.unexpected("each key once"));
        }
    }
    for parameter in parameters {
        if parameter.key == MANDATORY && !pairs(&parameter.value).all(has) {
            return Err(parameter
                .token
                .unexpected("mandatory keys that are in the record"));
        }
        if parameter.key == NO_DEFAULT_ALPN && !has(ALPN) {
            return Err(parameter.token.unexpected("alpn beside no-default-alpn"));
        }
    }
    Ok(())
}

fn read_key(name: &str) -> Option<u16> {
    let known = KEYS
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(name))
        .map(|&(key, _)| key);
    known.or_else(|| {
        let digits = name
            .strip_prefix("key")
            .or_else(|| name.strip_prefix("KEY"))?;
        let plain = !digits.starts_with('0') || digits == "0";
        let digits = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(digits)?;
        digits.parse().ok().filter(|&key| plain && key != INVALID)
    })
}

fn key_name(key: u16) -> String {
    KEYS.iter()
        .find(|&&(number, _)| number == key)
        .map_or_else(|| format!("key{key}"), |(_, name)| (*name).to_owned())
}

fn expected_of(key: u16) -> &'static str {
    match key {
        MANDATORY => "mandatory= with other keys, each once",
        ALPN => "alpn= with protocol names of 1 to 255 bytes",
        NO_DEFAULT_ALPN => "no-default-alpn without a value",
        PORT => "port= with a number from 0 to 65535",
        IPV4_HINT => "ipv4hint= with IPv4 addresses",
        ECH => "ech= with base64",
        IPV6_HINT => "ipv6hint= with IPv6 addresses",
        OHTTP => "ohttp without a value",
        _ => "a key below 65535",
    }
}

fn pairs(value: &[u8]) -> impl Iterator<Item = u16> {
    value
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
        .map(u16::from_be_bytes)
}

fn is_string_list(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some((&length, after)) = rest.split_first() {
        match after.get(usize::from(length)..) {
            Some(after) if length > 0 => rest = after,
            _ => return false,
        }
    }
    !value.is_empty()
}

fn write_list(items: impl Iterator<Item = String>, out: &mut String) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&item);
    }
}

fn write_alpn(value: &[u8], out: &mut String) {
    out.push('"');
    let mut rest = value;
    while let Some((&length, after)) = rest.split_first() {
        if rest.len() < value.len() {
            out.push(',');
        }
        let (item, after) = after
            .split_at_checked(usize::from(length))
            .unwrap_or((after, &[]));
        for &byte in item {
            if matches!(byte, b',' | b'\\') {
                out.push_str("\\\\");
            }
            write_escaped(byte, out);
        }
        rest = after;
    }
    out.push('"');
}

/// One byte of a quoted string.
pub(super) fn write_escaped(byte: u8, out: &mut String) {
    match byte {
        b'"' | b'\\' => {
            out.push('\\');
            out.push(char::from(byte));
        }
        0x20..=0x7e => out.push(char::from(byte)),
        _ => out.push_str(&format!("\\{byte:03}")),
    }
}
