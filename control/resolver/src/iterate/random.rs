//! Unpredictable choices, all from one keyed generator.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A ChaCha20 generator: without its seed, no output tells anything of another.
pub(super) struct Random(ChaCha20Rng);

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(super) fn next_u16(&mut self) -> u16 {
        let [low, high, ..] = self.0.next_u32().to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// An index below `count`, each as likely as the others up to one part in 2³²; 0 if `count` is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let product = u64::from(self.0.next_u32()) * u64::try_from(count).unwrap_or(u64::MAX >> 32);
        usize::try_from(product >> 32).unwrap_or(0)
    }

    /// Gives every letter of a name in wire form a random case ("0x20").
    pub(super) fn randomise_case(&mut self, name: &mut [u8]) {
        let mut bits = 0;
        for (index, byte) in name.iter_mut().enumerate() {
            if index % 32 == 0 {
                bits = self.0.next_u32();
            }
            // Length bytes are below 64 and so never letters.
            if byte.is_ascii_alphabetic() && bits & 1 == 1 {
                *byte ^= 0x20;
            }
            bits >>= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_choices_and_other_seeds_give_others() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            (0..8).map(|_| random.next_u16()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn index_stays_below_its_bound_and_reaches_every_value() {
        let mut random = Random::new([3; 32]);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn case_changes_letters_alone() {
        let mut random = Random::new([4; 32]);
        let original = b"\x0aexample-12\x03com\x00";
        let mut name = *original;
        random.randomise_case(&mut name);
        assert_ne!(&name, original);
        assert_eq!(name.to_ascii_lowercase(), original);
    }
}
