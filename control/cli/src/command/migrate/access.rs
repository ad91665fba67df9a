//! `access-control`: from rules, of which the longest prefix counts, to the networks that are allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use config::{NetworkError, Networks};

/// A network as Unbound reads it: bits beyond the prefix do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    is_ipv4: bool,
    /// The address from the highest bit down.
    bits: u128,
    length: u8,
}

impl Prefix {
    const fn whole(is_ipv4: bool) -> Self {
        Self {
            is_ipv4,
            bits: 0,
            length: 0,
        }
    }

    /// The lower and the upper half.
    fn halves(self) -> [Self; 2] {
        let length = self.length + 1;
        let top = 1_u128 << (128 - u32::from(length));
        [self.bits, self.bits | top].map(|bits| Self {
            bits,
            length,
            ..self
        })
    }

    fn contains(self, other: Self) -> bool {
        self.is_ipv4 == other.is_ipv4
            && self.length <= other.length
            && other.bits & mask(self.length) == self.bits
    }

    /// Whether IPv4 addresses can be written into it (RFC 6052 §2.2).
    pub(super) fn carries_ipv4(self) -> bool {
        let octet = (self.bits >> 56) & 0xff;
        !self.is_ipv4 && matches!(self.length, 32 | 40 | 48 | 56 | 64 | 96) && octet == 0
    }

    /// Whether it lies in `::ffff:0:0/96`, whose addresses are those of IPv4.
    pub(super) fn is_mapped(self) -> bool {
        !self.is_ipv4 && self.length >= 96 && self.bits >> 32 == 0xffff
    }
}

fn mask(length: u8) -> u128 {
    let hidden = 128_u32.saturating_sub(length.into());
    u128::MAX.checked_shl(hidden).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a network such as 10.0.0.0/8";
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| EXPECTED)?;
        let (bits, max) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let length = length.map_or(Ok(max), |text| text.parse::<u8>().map_err(|_| EXPECTED))?;
        if length > max {
            return Err(EXPECTED);
        }
        Ok(Self {
            is_ipv4: address.is_ipv4(),
            bits: bits & mask(length),
            length,
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address: IpAddr = if self.is_ipv4 {
            Ipv4Addr::from(u32::try_from(self.bits >> 96).unwrap_or(0)).into()
        } else {
            Ipv6Addr::from(self.bits).into()
        };
        write!(out, "{address}/{}", self.length)
    }
}

/// The fewest networks that hold exactly the addresses for which the rule with the longest prefix says
/// yes. Of two rules for one network the first counts, and without any rule only the machine itself is
/// allowed, as in Unbound.
pub(super) fn allowed(rules: &[(Prefix, bool)]) -> Result<Networks, NetworkError> {
    let mut all = rules.to_vec();
    all.extend(machine().map(|own| (own, true)));
    networks(all)
}

/// The networks of those whose longest prefix says that they are in a view. The machine itself has a
/// rule that names none.
pub(super) fn networks_of_view(mut rules: Vec<(Prefix, bool)>) -> Networks {
    rules.extend(machine().map(|own| (own, false)));
    match networks(rules) {
        Ok(networks) => networks,
        Err(error) => unreachable!("a prefix of ours: {error}"),
    }
}

fn machine() -> impl Iterator<Item = Prefix> {
    ["127.0.0.0/8", "::1/128"].into_iter().flat_map(str::parse)
}

fn networks(mut all: Vec<(Prefix, bool)>) -> Result<Networks, NetworkError> {
    all.sort_by_key(|rule| rule.0); // Stable: the first of equals stays the first.
    all.dedup_by_key(|rule| rule.0);
    let mut networks = Networks::default();
    for is_ipv4 in [true, false] {
        let own: Vec<_> = all
            .iter()
            .filter(|rule| rule.0.is_ipv4 == is_ipv4)
            .copied()
            .collect();
        let mut prefixes = Vec::new();
        cover(Prefix::whole(is_ipv4), false, &own, &mut prefixes);
        for prefix in prefixes {
            networks.add(&prefix.to_string())?;
        }
    }
    Ok(networks)
}

/// Adds what is allowed inside `prefix`; whether that is all of it. `rules` are those inside, at most
/// one a network. Goes as deep as a prefix is long.
fn cover(prefix: Prefix, inherited: bool, rules: &[(Prefix, bool)], out: &mut Vec<Prefix>) -> bool {
    let own = rules.iter().find(|rule| rule.0 == prefix);
    let verdict = own.map_or(inherited, |rule| rule.1);
    if rules.len() == usize::from(own.is_some()) {
        out.extend(verdict.then_some(prefix));
        return verdict;
    }
    let start = out.len();
    let mut is_whole = true;
    for half in prefix.halves() {
        let inside: Vec<_> = rules
            .iter()
            .filter(|rule| half.contains(rule.0))
            .copied()
            .collect();
        is_whole &= cover(half, verdict, &inside, out);
    }
    if is_whole {
        out.truncate(start);
        out.push(prefix);
    }
    is_whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[(&str, bool)]) -> Vec<(Prefix, bool)> {
        let parse = |(text, verdict): &(&str, bool)| (text.parse().unwrap(), *verdict);
        rules.iter().map(parse).collect()
    }

    fn texts(given: &[(&str, bool)]) -> Vec<String> {
        let networks = allowed(&rules(given)).unwrap();
        networks
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn longest_prefix_counts_at_any_depth() {
        assert_eq!(texts(&[]), ["127.0.0.0/8", "::1/128"]);
        assert_eq!(
            texts(&[
                ("10.0.0.0/8", true),
                ("10.128.0.0/9", false),
                ("10.192.0.0/10", true),
                ("127.0.0.0/8", false),
                ("2001:db8::/32", true),
                ("2001:db8::/33", false),
            ]),
            [
                "10.0.0.0/9",
                "10.192.0.0/10",
                "::1/128",
                "2001:db8:8000::/33"
            ]
        );
        assert_eq!(
            texts(&[("0.0.0.0/0", true), ("::/0", true)]),
            ["0.0.0.0/0", "::/0"]
        );
    }

    #[test]
    fn one_denied_address_leaves_the_networks_around_it() {
        let left = texts(&[("192.0.2.5/29", true), ("192.0.2.1", false)]);
        assert_eq!(
            left,
            [
                "127.0.0.0/8",
                "192.0.2.0/32",
                "192.0.2.2/31",
                "192.0.2.4/30",
                "::1/128"
            ]
        );
    }

    #[test]
    fn first_of_two_rules_for_one_network_counts_and_neighbours_join() {
        assert_eq!(
            texts(&[
                ("192.0.2.0/25", true),
                ("192.0.2.0/25", false),
                ("192.0.2.128/25", true)
            ]),
            ["127.0.0.0/8", "192.0.2.0/24", "::1/128"]
        );
    }

    #[test]
    fn any_rules_allow_what_their_longest_prefix_says() {
        bolero::check!()
            .with_iterations(2_000)
            .with_type::<(Vec<(u32, u8, bool)>, Vec<u32>)>()
            .for_each(|(given, asked)| {
                let given: Vec<(Prefix, bool)> = given
                    .iter()
                    .take(20)
                    .map(|&(bits, length, verdict)| {
                        let text = format!("{}/{}", Ipv4Addr::from(bits), length % 33);
                        (text.parse().unwrap(), verdict)
                    })
                    .collect();
                let networks = allowed(&given).unwrap();
                let own = ("127.0.0.0/8".parse().unwrap(), true);
                let near = given
                    .iter()
                    .map(|rule| u32::try_from(rule.0.bits >> 96).unwrap());
                for bits in near.chain(asked.iter().copied()).take(60) {
                    let address: Prefix = Ipv4Addr::from(bits).to_string().parse().unwrap();
                    let around = given
                        .iter()
                        .chain([&own])
                        .filter(|rule| rule.0.contains(address));
                    // Of the longest the first.
                    let best = around.rev().max_by_key(|rule| rule.0.length);
                    let expected = best.is_some_and(|rule| rule.1);
                    assert_eq!(networks.contain(Ipv4Addr::from(bits).into()), expected);
                }
            });
    }
}
