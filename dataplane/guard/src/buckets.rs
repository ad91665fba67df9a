//! Token buckets, one a client network, so that one asker can't take everything.
//!
//! The table is of fixed size and direct-mapped by a keyed hash: two networks that share a bucket
//! share its tokens.

use alloc::boxed::Box;
use alloc::vec;
use core::hash::Hasher as _;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

/// Buckets of one table.
pub const BUCKETS_MAX: u32 = 1 << 24;

/// Tokens are counted in thousandths, so that slow rates refill smoothly.
const TOKEN: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u64,
    /// Milliseconds modulo 2^32.
    refilled_ms: u32,
    /// Refusals since the start, modulo 2^32. A success leaves them: whoever lets one of so many
    /// through counts on.
    refused: u32,
}

/// How much of an address one client is assumed to own, in bits: 1 to 32, and 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Of IPv4.
    pub ipv4_bits: u8,
    /// Of IPv6.
    pub ipv6_bits: u8,
}

/// A client network, as a bucket is found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    prefix: u64,
    is_ipv6: bool,
}

impl Client {
    /// The network of `address`. IPv4 mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn new(address: IpAddr, prefixes: Prefixes) -> Self {
        let (high_bits, bits, is_ipv6) = match address.to_canonical() {
            IpAddr::V4(v4) => (u64::from(u32::from(v4)) << 32, prefixes.ipv4_bits, false),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                let high_bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                (high_bits, prefixes.ipv6_bits, true)
            }
        };
        let mask = u64::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
        Self {
            prefix: high_bits & !mask,
            is_ipv6,
        }
    }
}

/// A table of buckets that all refill at one rate.
#[derive(Debug)]
pub struct Buckets {
    buckets: Box<[Bucket]>,
    rate_per_second: u64,
    burst: u64,
    key: u64,
}

impl Buckets {
    /// `rate_per_second` tokens a second after `burst` at once; a rate of 0 refuses nobody and needs
    /// no memory. `count` buckets of 16 bytes, rounded up to a power of two, at most [`BUCKETS_MAX`].
    /// `key` must be unpredictable, or clients could choose whom to share with.
    #[must_use]
    pub fn new(count: u32, rate_per_second: u32, burst: u32, key: u64) -> Self {
        let burst = u64::from(burst.max(1)) * TOKEN;
        let full = Bucket {
            tokens: burst,
            refilled_ms: 0,
            refused: 0,
        };
        let count = match rate_per_second {
            0 => 0,
            _ => count.clamp(1, BUCKETS_MAX).next_power_of_two(),
        };
        Self {
            buckets: vec![full; count as usize].into_boxed_slice(),
            rate_per_second: u64::from(rate_per_second),
            burst,
            key,
        }
    }

    /// Whether anybody can be refused at all.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.buckets.is_empty()
    }

    /// Takes one token of this client at `now_ms` (milliseconds, never decreasing). `kind` tells
    /// buckets of one client apart.
    ///
    /// # Errors
    /// There is none: how often that has happened to this bucket, this time included, modulo 2^32.
    pub fn take(&mut self, client: Client, kind: u8, now_ms: u64) -> Result<(), u32> {
        let index = self.index(client, kind);
        let Some(bucket) = self.buckets.get_mut(index) else {
            return Ok(());
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "modulo 2^32: after 49 silent days a bucket may lack some tokens"
        )]
        let now_ms = now_ms as u32;
        let elapsed_ms = u64::from(now_ms.wrapping_sub(bucket.refilled_ms));
        // One token is 1000 thousandths and a second 1000 ms, so the rate is thousandths per ms.
        let refilled = bucket
            .tokens
            .saturating_add(elapsed_ms.saturating_mul(self.rate_per_second));
        bucket.refilled_ms = now_ms;
        bucket.tokens = refilled.min(self.burst);
        if bucket.tokens < TOKEN {
            bucket.refused = bucket.refused.wrapping_add(1);
            return Err(bucket.refused);
        }
        bucket.tokens -= TOKEN;
        Ok(())
    }

    fn index(&self, client: Client, kind: u8) -> usize {
        let mut hasher = SipHasher13::new_with_keys(self.key, !self.key);
        hasher.write_u64(client.prefix);
        hasher.write_u64(u64::from(client.is_ipv6) | u64::from(kind) << 1);
        let mask = (self.buckets.len() as u64).wrapping_sub(1);
        usize::try_from(hasher.finish() & mask).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIXES: Prefixes = Prefixes {
        ipv4_bits: 24,
        ipv6_bits: 56,
    };

    fn client(text: &str) -> Client {
        Client::new(text.parse().unwrap(), PREFIXES)
    }

    fn taken(buckets: &mut Buckets, client: Client, now_ms: u64, tries: u32) -> u32 {
        (0..tries)
            .map(|_| u32::from(buckets.take(client, 0, now_ms).is_ok()))
            .sum()
    }

    #[test]
    fn burst_is_let_through_and_then_the_rate() {
        let mut buckets = Buckets::new(4096, 100, 10, 1);
        let one = client("192.0.2.1");
        assert_eq!(taken(&mut buckets, one, 1_000, 50), 10);
        assert_eq!(taken(&mut buckets, one, 1_100, 50), 10, "100 a second");
        assert_eq!(taken(&mut buckets, one, 1_110, 50), 1);
        assert_eq!(taken(&mut buckets, one, 60_000, 50), 10, "only the burst");
    }

    #[test]
    fn clock_of_32_bits_may_wrap() {
        let mut buckets = Buckets::new(1, 1, 1, 1);
        let one = client("192.0.2.1");
        let last_ms = u64::from(u32::MAX);
        assert_eq!(taken(&mut buckets, one, last_ms, 9), 1);
        assert_eq!(taken(&mut buckets, one, last_ms + 999, 9), 0);
        assert_eq!(taken(&mut buckets, one, last_ms + 1_000, 9), 1);
    }

    #[test]
    fn rate_of_zero_refuses_nobody_and_has_no_table() {
        let mut buckets = Buckets::new(4096, 0, 1, 1);
        assert!(!buckets.is_on());
        assert_eq!(taken(&mut buckets, client("::1"), 1, 1_000), 1_000);
    }

    #[test]
    fn largest_rate_and_burst_overflow_nothing() {
        let mut buckets = Buckets::new(1, u32::MAX, u32::MAX, 1);
        assert_eq!(taken(&mut buckets, client("::1"), u64::MAX, 3), 3);
    }

    #[test]
    fn refusals_are_counted_by_bucket() {
        let mut buckets = Buckets::new(4096, 1, 1, 1);
        let (one, other) = (client("192.0.2.1"), client("192.0.3.1"));
        assert_eq!(buckets.take(one, 0, 0), Ok(()));
        assert_eq!(buckets.take(one, 0, 0), Err(1));
        assert_eq!(buckets.take(one, 0, 0), Err(2));
        assert_eq!(buckets.take(other, 0, 0), Ok(()));
        assert_eq!(buckets.take(one, 1, 0), Ok(()), "another kind");
        assert_eq!(buckets.take(one, 0, 1_000), Ok(()));
        assert_eq!(
            buckets.take(one, 0, 1_000),
            Err(3),
            "a success resets nothing"
        );
    }

    #[test]
    fn clients_of_one_prefix_share_a_bucket_and_others_do_not() {
        let same = [
            ("192.0.2.1", "192.0.2.255"),
            ("192.0.2.1", "::ffff:192.0.2.9"),
            ("2001:db8:0:aa::1", "2001:db8:0:ff::2"),
        ];
        for (one, other) in same {
            assert_eq!(client(one), client(other), "{one} {other}");
        }
        let different = [
            ("192.0.2.1", "192.0.3.1"),
            ("2001:db8:0:aa::1", "2001:db8:0:1aa::1"),
            ("192.0.2.1", "c000:200::"),
        ];
        for (one, other) in different {
            assert_ne!(client(one), client(other), "{one} {other}");
        }
        let whole = Prefixes {
            ipv4_bits: 32,
            ipv6_bits: 64,
        };
        let whole = |text: &str| Client::new(text.parse().unwrap(), whole);
        assert_ne!(whole("192.0.2.1"), whole("192.0.2.2"));
        assert_ne!(whole("2001:db8::1"), whole("2001:db8:0:1::1"));
        assert_eq!(whole("2001:db8::1"), whole("2001:db8::2"));
    }

    #[test]
    fn another_key_lets_others_share() {
        let index = |key, last: u8| {
            let address = core::net::Ipv4Addr::new(10, 0, last, 1).into();
            Buckets::new(4096, 1, 1, key).index(Client::new(address, PREFIXES), 0)
        };
        let differing = (0..=u8::MAX).filter(|last| index(1, *last) != index(2, *last));
        assert!(differing.count() > 250);
    }
}
