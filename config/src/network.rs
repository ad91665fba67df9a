//! Address ranges for access lists.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address range: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The part before the slash is no address.
    #[error("expected an address, a network such as 10.0.0.0/8, or one of any, private, loopback")]
    Address,
    /// The part after the slash is no prefix length of this family.
    #[error("expected a prefix length from 0 to {max}")]
    Prefix {
        /// Longest prefix of the family in bits.
        max: u8,
    },
    /// Bits behind the prefix are set.
    #[error("has bits set behind its prefix; expected {network}")]
    HostBits {
        /// The network that was probably meant.
        network: Network,
    },
}

impl Network {
    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits that all its addresses share.
    #[must_use]
    pub fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    /// Whether `address` lies inside. IPv4 mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u32::from(own) ^ u32::from(other)) & mask_v4(self.prefix_bits) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (u128::from(own) ^ u128::from(other)) & mask_v6(self.prefix_bits) == 0
            }
            _ => false,
        }
    }

    fn truncated(address: IpAddr, prefix_bits: u8) -> Self {
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask_v4(prefix_bits))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask_v6(prefix_bits))),
        };
        Self {
            address,
            prefix_bits,
        }
    }
}

fn mask_v4(prefix_bits: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix_bits))
        .unwrap_or(0)
}

fn mask_v6(prefix_bits: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(prefix_bits))
        .unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => max,
            Some(text) => match text.parse::<u8>() {
                Ok(bits) if bits <= max => bits,
                _ => return Err(NetworkError::Prefix { max }),
            },
        };
        let network = Self::truncated(address, prefix_bits);
        if network.address == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits { network })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix_bits)
    }
}

/// A list of [`Network`]s. In the file also the words `any`, `private` (RFC 1918, RFC 6598, RFC
/// 4193, link-local) and `loopback`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

const ANY: [&str; 2] = ["0.0.0.0/0", "::/0"];
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
const PRIVATE: [&str; 7] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

impl Networks {
    /// Private networks and loopback.
    #[must_use]
    pub fn local() -> Self {
        let mut networks = Self::default();
        for word in ["private", "loopback"] {
            networks
                .add(word)
                .unwrap_or_else(|error| unreachable!("a word of ours: {error}"));
        }
        networks
    }

    /// Whether any of them contains `address`.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The networks, words expanded.
    #[must_use]
    pub fn as_slice(&self) -> &[Network] {
        &self.0
    }

    /// Adds one network or the networks of one word.
    ///
    /// # Errors
    /// [`NetworkError`] if `text` is neither.
    pub fn add(&mut self, text: &str) -> Result<(), NetworkError> {
        let word: &[&str] = match text {
            "any" => &ANY,
            "loopback" => &LOOPBACK,
            "private" => &PRIVATE,
            network => &[network],
        };
        for network in word {
            self.0.push(network.parse()?);
        }
        Ok(())
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// One item, so that an error carries the place of that item.
        struct Item(Networks);

        impl<'de> Deserialize<'de> for Item {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let mut networks = Networks::default();
                networks
                    .add(&text)
                    .map_err(|error| D::Error::custom(format_args!("`{text}`: {error}")))?;
                Ok(Self(networks))
            }
        }

        let items = Vec::<Item>::deserialize(deserializer)?;
        Ok(Self(items.into_iter().flat_map(|item| item.0.0).collect()))
    }
}

impl JsonSchema for Networks {
    fn schema_name() -> Cow<'static, str> {
        "Networks".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": "string" },
            "description": "Networks such as 10.0.0.0/8, addresses, or the words any, private, loopback."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_match_their_network_and_no_other() {
        let network: Network = "172.16.0.0/12".parse().unwrap();
        assert!(network.contains(address("172.31.255.255")));
        assert!(network.contains(address("::ffff:172.16.0.1")));
        assert!(!network.contains(address("172.32.0.0")));
        assert!(!network.contains(address("2001:db8::1")));
        let everything: Network = "::/0".parse().unwrap();
        assert!(everything.contains(address("2001:db8::1")));
        assert!(!everything.contains(address("192.0.2.1")));
        let one: Network = "2001:db8::1".parse().unwrap();
        assert!(one.contains(address("2001:db8::1")));
        assert!(!one.contains(address("2001:db8::2")));
    }

    #[test]
    fn the_default_allows_private_and_loopback_only() {
        let local = Networks::local();
        for inside in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "192.168.255.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(local.contain(address(inside)), "{inside}");
        }
        for outside in ["8.8.8.8", "172.15.0.1", "2001:db8::1", "0.0.0.0"] {
            assert!(!local.contain(address(outside)), "{outside}");
        }
    }

    #[test]
    fn a_bad_network_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.1/8", "expected 10.0.0.0/8"),
            ("everyone", "one of any, private, loopback"),
            ("", "expected an address"),
            ("10.0.0.0/", "from 0 to 32"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn any_text_parses_or_fails_and_what_parses_prints_back() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|bytes: &[u8]| {
                if let Ok(text) = std::str::from_utf8(bytes)
                    && let Ok(network) = text.parse::<Network>()
                {
                    assert_eq!(network.to_string().parse::<Network>(), Ok(network));
                }
            });
    }
}
