//! Where a tunnel begins: gateways of IPSECKEY (RFC 4025 §2) and relays of AMTRELAY (RFC 8777 §4), which are nothing, an address
//! or a name.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::Fault;
use super::name::{DisplayName, name_end};
use super::words::Words;

const NONE: u8 = 0;
const IPV4: u8 = 1;
const IPV6: u8 = 2;
const NAME: u8 = 3;

/// The discovery bit of a relay, in the byte of its type (RFC 8777 §4.2.2).
const DISCOVERY: u8 = 0x80;

const KIND_EXPECTED: &str = "a type from 0 to 3";

/// Appends type, algorithm and gateway.
pub(super) fn read_gateway(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let kind = read_kind(words)?;
    out.push(kind);
    out.push(words.number("an algorithm's number up to 255")?);
    read_host(kind, words, out)
}

/// Appends discovery bit, type and relay.
pub(super) fn read_relay(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    const EXPECTED: &str = "0 or 1";
    let token = words.take(EXPECTED)?;
    let discovery = match token.word() {
        Some("0") => 0,
        Some("1") => DISCOVERY,
        _ => return Err(token.unexpected(EXPECTED)),
    };
    let kind = read_kind(words)?;
    out.push(discovery | kind);
    read_host(kind, words, out)
}

/// How many bytes type, algorithm and gateway take.
pub(super) fn gateway_bytes(rest: &[u8]) -> Result<usize, &'static str> {
    match rest {
        [kind, _, host @ ..] => Ok(2 + host_bytes(*kind, host)?),
        _ => Err("a type and an algorithm"),
    }
}

/// How many bytes type and relay take.
pub(super) fn relay_bytes(rest: &[u8]) -> Result<usize, &'static str> {
    match rest {
        [kind, host @ ..] => Ok(1 + host_bytes(kind & !DISCOVERY, host)?),
        [] => Err(KIND_EXPECTED),
    }
}

/// Writes type, algorithm and gateway.
pub(super) fn write_gateway(value: &[u8], out: &mut String) {
    if let [kind, algorithm, host @ ..] = value {
        out.push_str(&format!("{kind} {algorithm} {}", host_text(host, *kind)));
    }
}

/// Writes discovery bit, type and relay.
pub(super) fn write_relay(value: &[u8], out: &mut String) {
    if let [byte, host @ ..] = value {
        let (discovery, kind) = (byte >> 7, byte & !DISCOVERY);
        out.push_str(&format!("{discovery} {kind} {}", host_text(host, kind)));
    }
}

fn read_kind(words: &mut Words<'_, '_>) -> Result<u8, Fault> {
    let token = words.take(KIND_EXPECTED)?;
    let kind = token.number().filter(|&kind| kind <= NAME);
    kind.ok_or_else(|| token.unexpected(KIND_EXPECTED))
}

fn read_host(kind: u8, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match kind {
        IPV4 => out.extend(words.parsed::<Ipv4Addr>("an IPv4 address")?.octets()),
        IPV6 => out.extend(words.parsed::<Ipv6Addr>("an IPv6 address")?.octets()),
        NAME => out.extend_from_slice(words.name("a domain name")?.as_bytes()),
        _ => {
            const EXPECTED: &str = "`.` for none";
            let token = words.take(EXPECTED)?;
            if token.word() != Some(".") {
                return Err(token.unexpected(EXPECTED));
            }
        }
    }
    Ok(())
}

fn host_bytes(kind: u8, host: &[u8]) -> Result<usize, &'static str> {
    match kind {
        NONE => Ok(0),
        IPV4 => Ok(4),
        IPV6 => Ok(16),
        NAME => name_end(host).ok_or("an uncompressed name"),
        _ => Err(KIND_EXPECTED),
    }
}

fn host_text(host: &[u8], kind: u8) -> String {
    if kind == NAME {
        return DisplayName(host).to_string();
    }
    if let Ok(octets) = <[u8; 4]>::try_from(host) {
        return Ipv4Addr::from(octets).to_string();
    }
    let octets = <[u8; 16]>::try_from(host);
    octets.map_or_else(
        |_| ".".to_owned(),
        |octets| Ipv6Addr::from(octets).to_string(),
    )
}
