//! The only source of chance: SplitMix64 (Steele, Lea, Flood, OOPSLA '14), seeded by a number and a word.
//!
//! Each purpose has a stream of its own, so that a fault left out changes as little else as possible.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// A stream of numbers that its seed and label alone decide.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed for this purpose.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(seed, 0x6e65_7875_7373_696d);
        hasher.write(label.as_bytes());
        Self(hasher.finish())
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number of this range, both ends included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A place in something with this many places.
    pub fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(0);
        usize::try_from(self.below(count)).unwrap_or(0)
    }

    /// Yes, this often in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them. There must be one.
    ///
    /// # Panics
    /// There is none.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        let index = self.index(from.len());
        from.get(index).expect("something to choose from")
    }

    /// A number that a byte can hold, below `end`.
    pub fn small(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(end.into())).unwrap_or(0)
    }
}
