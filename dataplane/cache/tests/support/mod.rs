//! What the tests of the cache share: answers for numbered names, zipf draws, a fixed generation.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses another part of this module"
)]

use cache::{ENTRY_BYTES_MAX, Entry, EntryMeta, Generations, Hasher, encode};

/// One generation for all zones.
#[derive(Clone, Copy, Debug)]
pub struct Generation(pub u32);

impl Generations for Generation {
    fn generation(&self, _zone: u32) -> u32 {
        self.0
    }
}

/// A reproducible stream of numbers (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next_u64() >> 33).expect("31 bits") % bound
    }

    /// A number in [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws ranks with probability proportional to 1 / rank ^ exponent.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    /// Over `count` ranks.
    pub fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=count)
            .map(|rank| {
                let rank = f64::from(u32::try_from(rank).expect("few ranks"));
                sum += rank.powf(-exponent);
                sum
            })
            .collect();
        Self { cumulated }
    }

    /// One rank, from 0.
    pub fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulated.last().copied().unwrap_or(0.0);
        let target = random.unit() * total;
        self.cumulated.partition_point(|sum| *sum < target)
    }
}

/// Wire form of a name made of a number.
pub fn qname(number: u64) -> Vec<u8> {
    let mut qname = vec![16];
    qname.extend(format!("h{number:015x}").bytes());
    qname.extend(b"\x07example\x00");
    qname
}

/// A response with `records` A records of `ttl_secs` for a name.
pub fn response(qname: &[u8], records: u8, ttl_secs: u32) -> Vec<u8> {
    let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, records, 0, 0, 0, 0];
    message.extend(qname);
    message.extend([0, 1, 0, 1]);
    for address in 0..records {
        message.extend([0xc0, 12, 0, 1, 0, 1]);
        message.extend(ttl_secs.to_be_bytes());
        message.extend([0, 4, 192, 0, 2, address]);
    }
    message
}

/// An encoded entry for a name.
pub fn entry(hasher: &Hasher, qname: &[u8], records: u8, meta: &EntryMeta) -> Vec<u8> {
    let key = hasher.key_of(qname, 1, 1, 1);
    let mut bytes = vec![0; ENTRY_BYTES_MAX];
    let length = encode(&response(qname, records, meta.ttl), &key, meta, &mut bytes)
        .expect("well-formed response");
    bytes.truncate(length);
    Entry::parse(&bytes).expect("just encoded");
    bytes
}
