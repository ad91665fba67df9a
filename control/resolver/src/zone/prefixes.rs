//! Data of APL records: lists of address prefixes (RFC 3123), of the families that have a text form, IPv4 and IPv6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::Fault;
use super::scanner::Token;

const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// The bit before the length of the address that says "not" (RFC 3123 §4).
const NEGATION: u8 = 0x80;

const EXPECTED: &str = "a prefix such as 1:192.0.2.0/24 or !2:2001:db8::/32";

/// Appends a list of `[!]family:address/prefix`.
pub(super) fn read_prefixes(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    for token in tokens {
        read_prefix(token, out).ok_or_else(|| token.unexpected(EXPECTED))?;
    }
    Ok(())
}

/// Whether this is such a list; zero bytes at the end of an address are left out (RFC 3123 §4).
pub(super) fn check_prefixes(data: &[u8]) -> Result<usize, &'static str> {
    let mut rest = data;
    while !rest.is_empty() {
        let (item, after) = split(rest).ok_or("a whole prefix")?;
        let bytes_max = match item.family {
            IPV4 => 4,
            IPV6 => 16,
            _ => return Err("a prefix of IPv4 or IPv6"),
        };
        if item.address.len() > bytes_max || usize::from(item.bits) > 8 * bytes_max {
            return Err("a prefix no longer than its address");
        }
        if item.address.last() == Some(&0) {
            return Err("an address without zero bytes at its end");
        }
        rest = after;
    }
    Ok(data.len())
}

/// Writes a list as text.
pub(super) fn write_prefixes(data: &[u8], out: &mut String) {
    let mut rest = data;
    while let Some((item, after)) = split(rest) {
        let mut octets = [0; 16];
        for (slot, &byte) in octets.iter_mut().zip(item.address) {
            *slot = byte;
        }
        let [a, b, c, d, ..] = octets;
        let address = match item.family {
            IPV4 => Ipv4Addr::new(a, b, c, d).to_string(),
            _ => Ipv6Addr::from(octets).to_string(),
        };
        let space = if rest.len() < data.len() { " " } else { "" };
        let not = if item.negated { "!" } else { "" };
        out.push_str(&format!(
            "{space}{not}{}:{address}/{}",
            item.family, item.bits
        ));
        rest = after;
    }
}

fn read_prefix(token: &Token<'_>, out: &mut Vec<u8>) -> Option<()> {
    let word = token.word()?;
    let (negation, word) = match word.strip_prefix('!') {
        Some(word) => (NEGATION, word),
        None => (0, word),
    };
    let (family, word) = word.split_once(':')?;
    let (address, bits) = word.split_once('/')?;
    let (family, octets) = match family {
        "1" => (IPV4, address.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        "2" => (IPV6, address.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
        _ => return None,
    };
    let plain = bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits: u8 = bits.parse().ok().filter(|_| plain)?;
    if usize::from(bits) > 8 * octets.len() {
        return None;
    }
    let used = octets.iter().rposition(|&byte| byte != 0);
    let address = octets.get(..used.map_or(0, |last| last + 1))?;
    out.extend_from_slice(&family.to_be_bytes());
    out.push(bits);
    out.push(negation | u8::try_from(address.len()).ok()?);
    out.extend_from_slice(address);
    Some(())
}

struct Item<'d> {
    family: u16,
    bits: u8,
    negated: bool,
    address: &'d [u8],
}

/// The first prefix of a list, and what follows it.
fn split(data: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let [high, low, bits, length, rest @ ..] = data else {
        return None;
    };
    let (address, after) = rest.split_at_checked(usize::from(length & !NEGATION))?;
    let item = Item {
        family: u16::from_be_bytes([*high, *low]),
        bits: *bits,
        negated: length & NEGATION != 0,
        address,
    };
    Some((item, after))
}
