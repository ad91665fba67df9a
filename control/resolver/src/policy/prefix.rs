//! Address prefixes, and the longest one that holds an address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Bits that an IPv4 address lies below in the form of RFC 4291 §2.5.5.2.
const MAPPED_BITS: u8 = 96;

/// A network. IPv4 and IPv6 have nothing in common: `::/0` holds no IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// In the order of specificity: longer ones are greater.
    bits: u8,
    network: u128,
}

/// Why numbers are no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// More bits than the address has.
    #[error("a prefix of {bits} bits; expected at most {bits_max}")]
    Length {
        /// Bits given.
        bits: u8,
        /// Bits of an address of the family.
        bits_max: u8,
    },
    /// Bits are set behind the prefix.
    #[error("{address}/{bits} has bits set behind the prefix")]
    Tail {
        /// The address given.
        address: IpAddr,
        /// Bits given.
        bits: u8,
    },
}

impl Prefix {
    /// The network of the first `bits` bits of `address`.
    ///
    /// # Errors
    /// [`PrefixError`] if the address is too short for it, or has bits set behind it.
    pub fn new(address: IpAddr, bits: u8) -> Result<Self, PrefixError> {
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        if bits > bits_max {
            return Err(PrefixError::Length { bits, bits_max });
        }
        let (number, all_bits) = (number(address), bits + (128 - bits_max));
        if masked(number, all_bits) != number {
            return Err(PrefixError::Tail { address, bits });
        }
        Ok(Self {
            network: number,
            bits: all_bits,
        })
    }

    /// Whether the network holds an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let same_family = self.bits >= MAPPED_BITS || is_mapped(self.network) == is_mapped(number);
        same_family && masked(number, self.bits) == self.network
    }
}

/// Something for each of many networks.
#[derive(Clone, Debug)]
pub struct PrefixMap<V>(BTreeMap<u8, BTreeMap<u128, V>>);

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> PrefixMap<V> {
    /// Sets the value of a network; gives the one that it had.
    pub fn insert(&mut self, prefix: Prefix, value: V) -> Option<V> {
        let of_length = self.0.entry(prefix.bits).or_default();
        of_length.insert(prefix.network, value)
    }

    /// Takes a network out.
    pub fn remove(&mut self, prefix: Prefix) -> Option<V> {
        let of_length = self.0.get_mut(&prefix.bits)?;
        let value = of_length.remove(&prefix.network);
        if of_length.is_empty() {
            self.0.remove(&prefix.bits);
        }
        value
    }

    /// The value of exactly this network.
    pub fn get_mut(&mut self, prefix: Prefix) -> Option<&mut V> {
        self.0.get_mut(&prefix.bits)?.get_mut(&prefix.network)
    }

    /// The longest network that holds an address: its length in bits of its family, and its value.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<(u8, &V)> {
        let number = number(address);
        let family_bits = if is_mapped(number) { MAPPED_BITS } else { 0 };
        let lengths = self.0.range(family_bits..).rev();
        let mut found = lengths.filter_map(|(bits, of_length)| {
            let value = of_length.get(&masked(number, *bits))?;
            Some((bits - family_bits, value))
        });
        found.next()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }
}

fn number(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn is_mapped(number: u128) -> bool {
    Ipv6Addr::from(number).to_ipv4_mapped().is_some()
}

fn masked(number: u128, bits: u8) -> u128 {
    let shift = 128 - u32::from(bits);
    number
        .checked_shr(shift)
        .unwrap_or(0)
        .checked_shl(shift)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, bits) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), bits.parse().unwrap()).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses_and_none_of_the_other_family() {
        assert!(prefix("10.0.0.0/8").contains(address("10.1.2.3")));
        assert!(prefix("10.0.0.0/8").contains(address("::ffff:10.1.2.3")));
        assert!(!prefix("10.0.0.0/8").contains(address("11.0.0.0")));
        assert!(prefix("0.0.0.0/0").contains(address("192.0.2.1")));
        assert!(!prefix("0.0.0.0/0").contains(address("2001:db8::1")));
        assert!(prefix("::/0").contains(address("2001:db8::1")));
        assert!(!prefix("::/0").contains(address("192.0.2.1")));
        assert!(prefix("2001:db8::1/128").contains(address("2001:db8::1")));
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        let error = Prefix::new(address("10.0.0.1"), 8).unwrap_err();
        assert!(error.to_string().contains("10.0.0.1/8"));
        let error = Prefix::new(address("10.0.0.0"), 33).unwrap_err();
        assert!(error.to_string().contains("at most 32"));
    }

    #[test]
    fn the_longest_network_wins() {
        let mut map = PrefixMap::default();
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "::/0",
            "2001:db8::/32",
        ] {
            assert_eq!(map.insert(prefix(text), text), None);
        }
        let find =
            |map: &PrefixMap<_>, text| map.find(address(text)).map(|(bits, value)| (bits, *value));
        assert_eq!(find(&map, "10.1.2.3"), Some((16, "10.1.0.0/16")));
        assert_eq!(find(&map, "10.2.2.3"), Some((8, "10.0.0.0/8")));
        assert_eq!(find(&map, "192.0.2.1"), Some((0, "0.0.0.0/0")));
        assert_eq!(find(&map, "2001:db8::1"), Some((32, "2001:db8::/32")));
        assert_eq!(find(&map, "fe80::1"), Some((0, "::/0")));
        assert_eq!(map.len(), 5);
        assert_eq!(map.remove(prefix("10.1.0.0/16")), Some("10.1.0.0/16"));
        assert_eq!(find(&map, "10.1.2.3"), Some((8, "10.0.0.0/8")));
        map.remove(prefix("0.0.0.0/0"));
        assert_eq!(
            find(&map, "192.0.2.1"),
            None,
            "an IPv6 network is none for IPv4"
        );
    }

    #[test]
    fn the_map_finds_what_trying_all_networks_finds() {
        bolero::check!()
            .with_iterations(2_000)
            .with_type::<(Vec<(u32, u8)>, u32)>()
            .for_each(|(networks, target)| {
                let target = IpAddr::V4((*target).into());
                let mut map = PrefixMap::default();
                let mut all = Vec::new();
                for (network, bits) in networks {
                    let bits = bits % 33;
                    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                    let prefix = Prefix::new(IpAddr::V4((network & mask).into()), bits).unwrap();
                    map.insert(prefix, prefix);
                    all.push(prefix);
                }
                let holding = all.iter().filter(|prefix| prefix.contains(target));
                assert_eq!(map.find(target).map(|(_, value)| value), holding.max());
            });
    }
}
