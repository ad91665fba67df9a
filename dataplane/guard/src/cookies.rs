//! Interoperable server cookies (RFC 9018 §4): made from a secret, the client's cookie, its address
//! and the time, so that no state is kept.
//!
//! ```text
//! | version 1 | reserved, 3 bytes | Unix seconds, 4 bytes | SipHash-2-4, 8 bytes |
//! ```

use core::net::IpAddr;

use siphasher::sip::SipHasher24;
use wire::query::{CLIENT_COOKIE_BYTES, CheckedCookie, Query, SERVER_COOKIE_BYTES};

/// The key of the hash. Every server of an anycast set has the same (RFC 9018 §5).
pub type Secret = [u8; 16];

/// The only version (RFC 9018 §4.1).
const VERSION: u8 = 1;
/// Bytes of version, reserved and timestamp.
const HEAD_BYTES: usize = 8;
/// Bytes of the hash.
const HASH_BYTES: usize = SERVER_COOKIE_BYTES - HEAD_BYTES;
/// Bytes of an IPv6 address, the longer of the two.
const ADDRESS_BYTES_MAX: usize = 16;

/// Older cookies are refused, in seconds (RFC 9018 §4.3).
const AGE_SECS_MAX: i32 = 3_600;
/// Cookies from further in the future are refused, in seconds (RFC 9018 §4.3).
const AHEAD_SECS_MAX: i32 = 300;
/// Older cookies are valid, but replaced, in seconds (RFC 9018 §4.3).
const RENEW_SECS: i32 = 1_800;

/// The secret in use, and the one before, whose cookies are still taken (RFC 9018 §5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secrets {
    /// Makes cookies.
    pub current: Secret,
    /// Only checks them.
    pub previous: Option<Secret>,
}

impl core::fmt::Debug for Secrets {
    /// Keeps the secrets out of logs.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Secrets(..)")
    }
}

/// What the cookies of a query prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No COOKIE option: nothing.
    Absent,
    /// A client cookie alone: nothing yet.
    ClientOnly,
    /// A server cookie that is not ours, or too old: nothing.
    Invalid,
    /// A server cookie of ours: the client receives what is sent to its address.
    Valid,
}

/// Checks and makes server cookies.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    secrets: Secrets,
}

impl Cookies {
    /// With secrets that must be random.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets }
    }

    /// Checks the cookies of `query`, which was parsed from `message` of `client`, at `unix_secs`
    /// (Unix time modulo 2^32). Leaves in the query what the response has to carry.
    pub fn check(
        &self,
        query: &mut Query,
        message: &[u8],
        client: IpAddr,
        unix_secs: u32,
    ) -> Standing {
        let Some(edns) = &mut query.edns else {
            return Standing::Absent;
        };
        let Some(client_cookie) = &edns.client_cookie else {
            return Standing::Absent;
        };
        let shown = edns.server_cookie(message);
        let origin = Origin {
            client_cookie: *client_cookie,
            client: client.to_canonical(),
        };
        let kept = shown.and_then(|shown| self.verify(shown, &origin, unix_secs));
        let standing = match (shown, kept) {
            (None, _) => Standing::ClientOnly,
            (Some(_), None) => Standing::Invalid,
            (Some(_), Some(_)) => Standing::Valid,
        };
        let server = match kept {
            Some(Verified::Young(cookie)) => cookie,
            _ => origin.make(&self.secrets.current, [VERSION, 0, 0, 0], unix_secs),
        };
        edns.checked_cookie = Some(CheckedCookie {
            server,
            is_valid: standing == Standing::Valid,
        });
        standing
    }

    /// `None` for a cookie that no secret of ours has made in time.
    fn verify(&self, shown: &[u8], origin: &Origin, unix_secs: u32) -> Option<Verified> {
        let shown: &[u8; SERVER_COOKIE_BYTES] = shown.try_into().ok()?;
        let [version, r0, r1, r2, t3, t2, t1, t0, ..] = *shown;
        if version != VERSION {
            return None;
        }
        let made_secs = u32::from_be_bytes([t3, t2, t1, t0]);
        // RFC 1982 arithmetic: the clock may wrap.
        let age_secs = unix_secs.wrapping_sub(made_secs).cast_signed();
        if !(-AHEAD_SECS_MAX..=AGE_SECS_MAX).contains(&age_secs) {
            return None;
        }
        let head = [version, r0, r1, r2];
        let is_of = |secret: &Secret| origin.make(secret, head, made_secs) == *shown;
        if is_of(&self.secrets.current) {
            // Ours have zeros in the reserved bytes; others of an anycast set may not.
            let is_young = age_secs <= RENEW_SECS && head == [VERSION, 0, 0, 0];
            return Some(if is_young {
                Verified::Young(*shown)
            } else {
                Verified::ToRenew
            });
        }
        let previous = self.secrets.previous.as_ref();
        previous.is_some_and(is_of).then_some(Verified::ToRenew)
    }
}

/// A server cookie that holds.
#[derive(Clone, Copy, Debug)]
enum Verified {
    /// Sent back as it is.
    Young([u8; SERVER_COOKIE_BYTES]),
    /// Replaced by a new one.
    ToRenew,
}

/// Whom a server cookie is for.
#[derive(Clone, Copy, Debug)]
struct Origin {
    client_cookie: [u8; CLIENT_COOKIE_BYTES],
    client: IpAddr,
}

impl Origin {
    /// RFC 9018 §4.4: SipHash-2-4 over client cookie, version, reserved, timestamp and address.
    fn make(&self, secret: &Secret, head: [u8; 4], made_secs: u32) -> [u8; SERVER_COOKIE_BYTES] {
        const HASHED_BYTES_MAX: usize = CLIENT_COOKIE_BYTES + HEAD_BYTES + ADDRESS_BYTES_MAX;
        let mut hashed = [0; HASHED_BYTES_MAX];
        let mut cookie = [0; SERVER_COOKIE_BYTES];
        let (cookie_head, cookie_hash) = cookie.split_at_mut(HEAD_BYTES);
        let (version, time) = cookie_head.split_at_mut(head.len());
        version.copy_from_slice(&head);
        time.copy_from_slice(&made_secs.to_be_bytes());

        let (first, rest) = hashed.split_at_mut(CLIENT_COOKIE_BYTES);
        let (second, address) = rest.split_at_mut(HEAD_BYTES);
        first.copy_from_slice(&self.client_cookie);
        second.copy_from_slice(cookie_head);
        let address_bytes = match self.client {
            IpAddr::V4(v4) => copy_front(address, &v4.octets()),
            IpAddr::V6(v6) => copy_front(address, &v6.octets()),
        };
        let length = HASHED_BYTES_MAX - ADDRESS_BYTES_MAX + address_bytes;
        let hash = SipHasher24::new_with_key(secret).hash(hashed.get(..length).unwrap_or_default());
        const _: () = assert!(HASH_BYTES == size_of::<u64>());
        cookie_hash.copy_from_slice(&hash.to_le_bytes());
        cookie
    }
}

/// Copies `bytes` to the front of `out`; their number.
fn copy_front(out: &mut [u8], bytes: &[u8]) -> usize {
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    bytes.len()
}

#[cfg(test)]
#[path = "cookies/tests.rs"]
mod tests;
