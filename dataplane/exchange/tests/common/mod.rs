//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;

use cache::{ENTRY_BYTES_MAX, Entry, EntryMeta, Hasher};
use exchange::{Punt, RegionConfig, Transport};

/// Where the answer table of a [`small`] region begins: after one page, a page for the worker, and
/// two rings of four slots.
pub(crate) const SMALL_TABLE_OFFSET: u64 = 2 * 4096 + 2 * 4 * 2048;
/// Where the zone generations of a [`small`] region begin: after two buckets.
pub(crate) const SMALL_GENERATIONS_OFFSET: u64 = SMALL_TABLE_OFFSET + 2 * 2048;

/// One worker, four slots a ring, two buckets, sixteen zones.
pub(crate) fn small() -> RegionConfig {
    RegionConfig {
        workers: 1,
        punt_slots: 4,
        reply_slots: 4,
        table_buckets: 2,
        zones_max: 16,
    }
}

/// A punt whose message says `number`.
pub(crate) fn punt<'a>(message: &'a [u8], headers: &'a [u8]) -> Punt<'a> {
    Punt {
        transport: Transport::Udp,
        client: SocketAddr::from(([192, 0, 2, 1], 5353)),
        local: SocketAddr::from(([192, 0, 2, 53], 53)),
        ecn: 0,
        received_us: 1_000_000,
        headers,
        message,
    }
}

/// SplitMix64: every run of a test uses the same numbers, and the test prints its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A wire-form name of one label, `n` and the number.
pub(crate) fn name(number: u32) -> Vec<u8> {
    let label = format!("n{number}");
    let mut name = vec![u8::try_from(label.len()).unwrap()];
    name.extend_from_slice(label.as_bytes());
    name.push(0);
    name
}

/// A response to `name` TXT IN with one record of `text_bytes` (at most 255) bytes.
pub(crate) fn response(name: &[u8], ttl: u32, text_bytes: usize) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend_from_slice(name);
    message.extend_from_slice(&[0, 16, 0, 1, 0xc0, 12, 0, 16, 0, 1]);
    message.extend_from_slice(&ttl.to_be_bytes());
    message.extend_from_slice(&u16::try_from(text_bytes + 1).unwrap().to_be_bytes());
    message.push(u8::try_from(text_bytes).unwrap());
    message.resize(message.len() + text_bytes, b'x');
    message
}

/// An encoded entry for [`name`]`(number)` TXT.
pub(crate) fn entry(hasher: &Hasher, number: u32, meta: EntryMeta, text_bytes: usize) -> Vec<u8> {
    let name = name(number);
    let key = hasher.key_of(&name, 16, 1, 1);
    let mut out = [0; ENTRY_BYTES_MAX];
    let message = response(&name, meta.ttl, text_bytes);
    let bytes = cache::encode(&message, &key, &meta, &mut out).unwrap();
    assert!(Entry::parse(&out[..bytes]).is_ok());
    out[..bytes].to_vec()
}
