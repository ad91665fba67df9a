//! Owner names of response policy zones (draft-vixie-dnsop-dns-rpz §4): what each is a trigger for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::{Key, suffixes};
use super::prefix::Prefix;

/// What sets a rule off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A name that is asked for, or that an alias leads to. With `*` as its first label, the names
    /// below the rest.
    Name(Key),
    /// The address of who asks.
    Client(Prefix),
    /// An address in the answer.
    Answer(Prefix),
    /// The name of a server of the zones that the name lies in; as for names.
    ServerName(Key),
    /// The address of such a server.
    ServerAddress(Prefix),
}

/// Why an owner name is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// It is not below the apex of the zone.
    #[error("the owner is outside of the zone")]
    Outside,
    /// No name stands before `rpz-nsdname`.
    #[error("expected the name of a server before `rpz-nsdname`")]
    ServerName,
    /// The labels before `rpz-ip`, `rpz-client-ip` or `rpz-nsip` are no network.
    #[error("expected a network such as 24.0.2.0.192 or 48.zz.2.db8.2001 before `{0}`")]
    Network(&'static str),
}

impl Trigger {
    /// Reads an owner below `apex`, both in wire form and lower case; `None` for the apex itself.
    pub(super) fn read(owner: &[u8], apex: &[u8]) -> Result<Option<Self>, TriggerError> {
        if owner == apex {
            return Ok(None);
        }
        let below = suffixes(owner).position(|suffix| suffix == apex);
        let relative = owner.len().checked_sub(apex.len());
        let (Some(labels), Some(relative)) = (below, relative) else {
            return Err(TriggerError::Outside);
        };
        let mut name = owner.get(..relative).unwrap_or_default().to_vec();
        name.push(0);
        let labels: Vec<&[u8]> = suffixes(&name)
            .take(labels)
            .filter_map(|suffix| suffix.get(1..1 + usize::from(*suffix.first()?)))
            .collect();
        let Some((kind, rest)) = labels.split_last() else {
            return Err(TriggerError::Outside);
        };
        let network = |kind| read_network(rest).ok_or(TriggerError::Network(kind));
        match *kind {
            b"rpz-ip" => network("rpz-ip").map(Self::Answer).map(Some),
            b"rpz-client-ip" => network("rpz-client-ip").map(Self::Client).map(Some),
            b"rpz-nsip" => network("rpz-nsip").map(Self::ServerAddress).map(Some),
            b"rpz-nsdname" => {
                // Without that label and the root.
                let bytes = name.len().saturating_sub(kind.len() + 2);
                let mut server = name.get(..bytes).unwrap_or_default().to_vec();
                server.push(0);
                match rest.is_empty() {
                    true => Err(TriggerError::ServerName),
                    false => Ok(Some(Self::ServerName(server.into()))),
                }
            }
            _ => Ok(Some(Self::Name(name.into()))),
        }
    }
}

/// Reads the labels of a network: its length, then the address from its end (draft §4.1.1).
fn read_network(labels: &[&[u8]]) -> Option<Prefix> {
    let texts: Option<Vec<&str>> = labels
        .iter()
        .map(|label| std::str::from_utf8(label).ok())
        .collect();
    let texts = texts?;
    let (bits, parts) = texts.split_first()?;
    let bits: u8 = bits.parse().ok()?;
    let is_v4 = parts.len() == 4 && !parts.contains(&"zz");
    let address = if is_v4 {
        let octets: Result<Vec<u8>, _> = parts.iter().rev().map(|part| part.parse()).collect();
        let octets: [u8; 4] = octets.ok()?.try_into().ok()?;
        IpAddr::V4(Ipv4Addr::from(octets))
    } else {
        IpAddr::V6(read_ipv6(parts)?)
    };
    Prefix::new(address, bits).ok()
}

/// Eight hexadecimal words from the last to the first; `zz` once stands for all that lack, zero.
fn read_ipv6(parts: &[&str]) -> Option<Ipv6Addr> {
    let word = |part: &&str| u16::from_str_radix(part, 16).ok();
    let parts: Vec<&str> = parts.iter().rev().copied().collect();
    let words = match parts.iter().position(|part| *part == "zz") {
        None => parts.iter().map(word).collect::<Option<Vec<_>>>()?,
        Some(at) => {
            let (before, after) = (parts.get(..at)?, parts.get(at + 1..)?);
            let zeros = 8_usize
                .checked_sub(parts.len() - 1)
                .filter(|zeros| *zeros > 0)?;
            let zeros = std::iter::repeat_n(Some(0), zeros);
            let words = before.iter().map(word).chain(zeros);
            words
                .chain(after.iter().map(word))
                .collect::<Option<Vec<_>>>()?
        }
    };
    let words: [u16; 8] = words.try_into().ok()?;
    Some(Ipv6Addr::from(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::names::key;
    use hickory_proto::rr::Name;

    fn read(owner: &str) -> Result<Option<Trigger>, TriggerError> {
        let wire = |text| key(&Name::from_ascii(text).unwrap());
        Trigger::read(&wire(owner), &wire("rpz.example."))
    }

    fn network(text: &str) -> Prefix {
        let (address, bits) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), bits.parse().unwrap()).unwrap()
    }

    #[test]
    fn owners_become_triggers() {
        let name = |text| Ok(Some(Trigger::Name(key(&Name::from_ascii(text).unwrap()))));
        assert_eq!(
            read("Bad.example.com.rpz.example."),
            name("bad.example.com.")
        );
        assert_eq!(read("*.bad.rpz.example."), name("*.bad."));
        let server = key(&Name::from_ascii("ns.bad.example.").unwrap());
        let server = Ok(Some(Trigger::ServerName(server)));
        assert_eq!(read("ns.bad.example.rpz-nsdname.rpz.example."), server);
        assert_eq!(read("rpz.example."), Ok(None));
        assert_eq!(read("bad.example."), Err(TriggerError::Outside));
        for (owner, expected) in [
            ("32.1.2.0.192", "192.0.2.1/32"),
            ("24.0.2.0.192", "192.0.2.0/24"),
            ("128.57.zz.101.db8.2001", "2001:db8:101::57/128"),
            ("48.zz.101.db8.2001", "2001:db8:101::/48"),
            ("128.8.7.6.5.4.3.2.1", "1:2:3:4:5:6:7:8/128"),
            ("128.1.zz", "::1/128"),
        ] {
            let expected = network(expected);
            let answer = read(&format!("{owner}.rpz-ip.rpz.example."));
            assert_eq!(answer, Ok(Some(Trigger::Answer(expected))), "{owner}");
            let client = read(&format!("{owner}.rpz-client-ip.rpz.example."));
            assert_eq!(client, Ok(Some(Trigger::Client(expected))), "{owner}");
            let server = read(&format!("{owner}.rpz-nsip.rpz.example."));
            assert_eq!(server, Ok(Some(Trigger::ServerAddress(expected))));
        }
    }

    #[test]
    fn what_is_no_network_and_no_server_is_said() {
        for owner in [
            "33.1.2.0.192",
            "24.1.2.0.192",
            "32.1.2.0",
            "x",
            "128.zz.zz.1",
            "32",
        ] {
            let result = read(&format!("{owner}.rpz-ip.rpz.example."));
            assert_eq!(result, Err(TriggerError::Network("rpz-ip")), "{owner}");
        }
        let result = read("rpz-nsdname.rpz.example.");
        assert_eq!(result, Err(TriggerError::ServerName));
    }

    #[test]
    fn any_owner_is_read_or_refused() {
        bolero::check!()
            .with_iterations(10_000)
            .for_each(|bytes: &[u8]| {
                let mut owner = bytes.to_vec();
                owner.extend_from_slice(b"\x06rpz-ip\x03rpz\0");
                let _ = Trigger::read(&owner, b"\x03rpz\0");
                let _ = Trigger::read(bytes, b"\x03rpz\0");
                let _ = Trigger::read(bytes, &[0]);
            });
    }
}
