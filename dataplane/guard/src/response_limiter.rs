//! A limit on the responses that a client network gets over UDP, so that queries with a forged
//! source address make no flood of it.
//!
//! Each network has a bucket for each kind of response. When one is empty, most responses are
//! dropped; some leave cut to nothing but TC, so that a client that is real can come by TCP.

use core::net::IpAddr;

use wire::{flag, rcode};

use crate::buckets::{Buckets, Client, Prefixes};

/// What is counted separately: a flood of denials shall not keep a network from answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// It has answers.
    Answer,
    /// NXDOMAIN, or no answers: no data, a referral.
    Negative,
    /// Any other response code.
    Error,
}

impl ResponseKind {
    /// The kind of a response with these header flags and so many records in its answer section.
    #[inline]
    #[must_use]
    pub fn of(flags: u16, answer_count: u16) -> Self {
        match flags & flag::RCODE {
            0 if answer_count > 0 || flags & flag::TC != 0 => Self::Answer,
            0 | rcode::NXDOMAIN => Self::Negative,
            _ => Self::Error,
        }
    }
}

/// What may become of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It is sent.
    Send,
    /// It is sent without records and with TC; an error as it is, since it is short and TC in it
    /// would mean nothing.
    Slip,
    /// It is not sent.
    Drop,
}

/// How much a network gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Responses of one kind a second, and at once; 0 means no limit.
    pub per_second: u32,
    /// Of those over the limit each how many-th slips through: 1 all, 0 none.
    pub slip: u32,
    /// What is a network.
    pub prefixes: Prefixes,
    /// Buckets of 16 bytes, rounded up to a power of two.
    pub table_entries: u32,
}

/// The limit, and what each network has left.
#[derive(Debug)]
pub struct ResponseLimiter {
    buckets: Buckets,
    prefixes: Prefixes,
    slip: u32,
}

impl ResponseLimiter {
    /// `key` must be unpredictable.
    #[must_use]
    pub fn new(limits: &Limits, key: u64) -> Self {
        let Limits {
            per_second,
            slip,
            prefixes,
            table_entries,
        } = *limits;
        Self {
            buckets: Buckets::new(table_entries, per_second, per_second, key),
            prefixes,
            slip,
        }
    }

    /// Whether there is a limit.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.buckets.is_on()
    }

    /// Counts a response of this kind to `client` at `now_ms` (milliseconds, never decreasing).
    pub fn permit(&mut self, client: IpAddr, kind: ResponseKind, now_ms: u64) -> Permission {
        let network = Client::new(client, self.prefixes);
        match self.buckets.take(network, kind as u8, now_ms) {
            Ok(()) => Permission::Send,
            Err(count) if self.slip > 0 && count.is_multiple_of(self.slip) => Permission::Slip,
            Err(_) => Permission::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_second: u32, slip: u32) -> ResponseLimiter {
        let limits = Limits {
            per_second,
            slip,
            prefixes: Prefixes {
                ipv4_bits: 24,
                ipv6_bits: 56,
            },
            table_entries: 1024,
        };
        ResponseLimiter::new(&limits, 7)
    }

    fn permits(limiter: &mut ResponseLimiter, count: u32) -> std::vec::Vec<Permission> {
        let client = "192.0.2.1".parse().unwrap();
        (0..count)
            .map(|_| limiter.permit(client, ResponseKind::Answer, 1_000))
            .collect()
    }

    #[test]
    fn each_slipth_response_over_the_limit_is_cut_and_the_rest_dropped() {
        use Permission::{Drop, Send, Slip};
        for (slip, expected) in [
            (0, [Send, Send, Drop, Drop, Drop, Drop]),
            (1, [Send, Send, Slip, Slip, Slip, Slip]),
            (2, [Send, Send, Drop, Slip, Drop, Slip]),
            (3, [Send, Send, Drop, Drop, Slip, Drop]),
        ] {
            assert_eq!(permits(&mut limiter(2, slip), 6), expected, "slip={slip}");
        }
    }

    #[test]
    fn no_limit_lets_everything_through() {
        let mut limiter = limiter(0, 2);
        assert!(!limiter.is_on());
        assert_eq!(permits(&mut limiter, 100), [Permission::Send; 100]);
    }

    #[test]
    fn kinds_do_not_share_a_limit() {
        let mut limiter = limiter(1, 0);
        let client = "2001:db8::1".parse().unwrap();
        for kind in [
            ResponseKind::Answer,
            ResponseKind::Negative,
            ResponseKind::Error,
        ] {
            assert_eq!(limiter.permit(client, kind, 0), Permission::Send);
            assert_eq!(limiter.permit(client, kind, 0), Permission::Drop);
        }
    }

    #[test]
    fn kind_follows_response_code_and_answers() {
        assert_eq!(ResponseKind::of(0x8180, 1), ResponseKind::Answer);
        assert_eq!(ResponseKind::of(0x8380, 0), ResponseKind::Answer, "cut");
        assert_eq!(ResponseKind::of(0x8180, 0), ResponseKind::Negative);
        assert_eq!(ResponseKind::of(0x8183, 0), ResponseKind::Negative);
        assert_eq!(ResponseKind::of(0x8183, 1), ResponseKind::Negative, "alias");
        for code in [1, 2, 4, 5] {
            assert_eq!(ResponseKind::of(0x8180 | code, 0), ResponseKind::Error);
        }
    }
}
