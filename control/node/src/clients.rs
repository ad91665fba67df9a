//! Who counts as one client, and how much each has.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

/// One IPv4 address, or one IPv6 network of `ipv6_bits`: what one client has for the taking.
pub(crate) fn client_of(address: IpAddr, ipv6_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (u128::BITS - ipv6_bits);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// How many of something each client has, or whoever else. Bounded by how many there are.
#[derive(Debug)]
pub(crate) struct Holdings<T = IpAddr>(HashMap<T, usize>);

impl<T> Default for Holdings<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Copy + Eq + Hash> Holdings<T> {
    pub(crate) fn of(&self, client: T) -> usize {
        self.0.get(&client).copied().unwrap_or(0)
    }

    pub(crate) fn take(&mut self, client: T) {
        *self.0.entry(client).or_default() += 1;
    }

    pub(crate) fn give_back(&mut self, client: T) {
        if let Some(count) = self.0.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ipv6_network_and_one_ipv4_address_are_one_client() {
        let client = |text: &str, bits| client_of(text.parse().unwrap(), bits);
        assert_eq!(client("2001:db8:0:ff::1", 56), client("2001:db8::2", 56));
        assert_ne!(client("2001:db8:0:100::", 56), client("2001:db8::", 56));
        assert_ne!(client("2001:db8:0:1::", 64), client("2001:db8::", 64));
        assert_eq!(client("::ffff:192.0.2.1", 56), client("192.0.2.1", 56));
        assert_ne!(client("192.0.2.2", 56), client("192.0.2.1", 56));
    }

    #[test]
    fn who_gave_everything_back_costs_nothing() {
        let client = IpAddr::from([192, 0, 2, 1]);
        let mut holdings = Holdings::default();
        holdings.take(client);
        holdings.take(client);
        assert_eq!(holdings.of(client), 2);
        holdings.give_back(client);
        holdings.give_back(client);
        assert_eq!(holdings.of(client), 0);
        assert!(holdings.0.is_empty());
    }
}
