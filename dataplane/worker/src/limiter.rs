//! A limit on misses, so that one asker of random names can't take the whole way to the control
//! plane.

use std::net::IpAddr;

use guard::{Buckets, Client, Prefixes};

/// Buckets.
const BUCKETS: u32 = 4096;
/// What one client is assumed to own.
const CLIENT: Prefixes = Prefixes {
    ipv4_bits: 32,
    ipv6_bits: 64,
};

/// Rates of misses a client network: an IPv4 address or an IPv6 /64.
#[derive(Debug)]
pub struct Limiter {
    buckets: Buckets,
}

impl Limiter {
    /// `rate_per_second` misses a second are let through after `burst` at once; a rate of 0 lets
    /// all through. `key` must be unpredictable, or clients could choose whom to share with.
    pub fn new(rate_per_second: u32, burst: u32, key: u64) -> Self {
        Self {
            buckets: Buckets::new(BUCKETS, rate_per_second, burst, key),
        }
    }

    /// May this client miss once more at `now_ms` (milliseconds, never decreasing)?
    pub fn allow(&mut self, client: IpAddr, now_ms: u64) -> bool {
        let network = Client::new(client, CLIENT);
        self.buckets.take(network, 0, now_ms).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn other_networks_keep_their_own_tokens() {
        let mut limiter = Limiter::new(1, 5, 7);
        let allowed = (0..50).filter(|_| limiter.allow(A, 1_000)).count();
        assert_eq!(allowed, 5);
        let spared = (1..=200_u8)
            .filter(|last| {
                let other = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, *last));
                limiter.allow(other, 1_000)
            })
            .count();
        assert!(
            spared >= 190,
            "spared={spared}: at most a few of 200 share a bucket of 4096"
        );
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_one_bucket() {
        let mut limiter = Limiter::new(1, 5, 7);
        let mut total = 0;
        for host in 0..50_u16 {
            let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host);
            total += u32::from(limiter.allow(IpAddr::V6(address), 1_000));
        }
        assert_eq!(total, 5);
    }
}
