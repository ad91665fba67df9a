//! Token buckets on misses, one a client network, so that one asker of random names can't take
//! the whole way to the control plane.
//!
//! The table is of fixed size and direct-mapped by a keyed hash: two networks that share a bucket
//! share its tokens.

use std::net::IpAddr;

/// Buckets; a power of two.
const BUCKETS: usize = 4096;
/// Tokens are counted in thousandths, so that slow rates refill smoothly.
const TOKEN: u64 = 1000;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tokens: u64,
    refilled_ms: u64,
}

/// Rates of misses a client network: an IPv4 address or an IPv6 /64.
#[derive(Debug)]
pub struct Limiter {
    buckets: Box<[Bucket]>,
    rate_per_second: u64,
    burst: u64,
    key: u64,
}

impl Limiter {
    /// `rate_per_second` misses a second are let through after `burst` at once; a rate of 0 lets
    /// all through. `key` must be unpredictable, or clients could choose whom to share with.
    pub fn new(rate_per_second: u32, burst: u32, key: u64) -> Self {
        let burst = u64::from(burst.max(1)) * TOKEN;
        let full = Bucket {
            tokens: burst,
            ..Bucket::default()
        };
        Self {
            buckets: vec![full; BUCKETS].into_boxed_slice(),
            rate_per_second: u64::from(rate_per_second),
            burst,
            key,
        }
    }

    /// May this client miss once more at `now_ms` (milliseconds, never decreasing)?
    pub fn allow(&mut self, client: IpAddr, now_ms: u64) -> bool {
        if self.rate_per_second == 0 {
            return true;
        }
        let network = network(client);
        let hash = (network ^ self.key)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(32);
        let hash = (hash ^ self.key).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let index = usize::try_from(hash >> 52).unwrap_or(0) & (BUCKETS - 1);
        let Some(bucket) = self.buckets.get_mut(index) else {
            return true;
        };
        let elapsed_ms = now_ms.saturating_sub(bucket.refilled_ms);
        // One token is 1000 thousandths and a second 1000 ms, so the rate is thousandths per ms.
        let refilled = bucket
            .tokens
            .saturating_add(elapsed_ms.saturating_mul(self.rate_per_second));
        bucket.refilled_ms = now_ms;
        bucket.tokens = refilled.min(self.burst);
        if bucket.tokens < TOKEN {
            return false;
        }
        bucket.tokens -= TOKEN;
        true
    }
}

/// The part of an address that one client is assumed to own.
fn network(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => u64::from(u32::from(address)),
            None => u64::try_from(u128::from(address) >> 64).unwrap_or(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn allowed(limiter: &mut Limiter, client: IpAddr, now_ms: u64, tries: u32) -> u32 {
        (0..tries)
            .map(|_| u32::from(limiter.allow(client, now_ms)))
            .sum()
    }

    #[test]
    fn burst_is_let_through_and_then_the_rate() {
        let mut limiter = Limiter::new(100, 10, 1);
        assert_eq!(allowed(&mut limiter, A, 1_000, 50), 10);
        assert_eq!(
            allowed(&mut limiter, A, 1_100, 50),
            10,
            "100 a second for 100 ms"
        );
        assert_eq!(allowed(&mut limiter, A, 1_110, 50), 1);
        assert_eq!(
            allowed(&mut limiter, A, 60_000, 50),
            10,
            "never more than the burst"
        );
    }

    #[test]
    fn rate_of_zero_lets_everything_through() {
        let mut limiter = Limiter::new(0, 1, 1);
        assert_eq!(allowed(&mut limiter, A, 1, 10_000), 10_000);
    }

    #[test]
    fn other_networks_keep_their_own_tokens() {
        let mut limiter = Limiter::new(1, 5, 7);
        allowed(&mut limiter, A, 1_000, 50);
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
