//! [`Backoff`]: how long to wait after failures in a row.

/// Longest wait after failures, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 300_000;

/// Doubles from failure to failure, with jitter, so that many who failed at once do not come back at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    base_ms: u64,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// First wait of about `base_ms`; `seed` makes the jitter.
    #[must_use]
    pub fn new(base_ms: u64, seed: u64) -> Self {
        Self {
            base_ms: base_ms.max(1),
            failures: 0,
            random: seed,
        }
    }

    /// All is well again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure: the time to wait, in milliseconds, from half of the doubled wait to all of it.
    pub fn fail(&mut self) -> u64 {
        let factor = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        let whole_ms = self.base_ms.saturating_mul(factor).min(BACKOFF_MAX_MS);
        let half_ms = whole_ms / 2;
        half_ms + self.next_random() % (whole_ms - half_ms + 1)
    }

    /// SplitMix64: spreads any seed, and predictability does no harm here.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ_between_seeds() {
        let waits = |seed| {
            let mut backoff = Backoff::new(1_000, seed);
            std::array::from_fn::<u64, 70, _>(|_| backoff.fail())
        };
        for (failures, wait_ms) in waits(1).into_iter().enumerate() {
            let whole_ms = 1_000_u64.saturating_mul(1 << failures.min(40));
            let whole_ms = whole_ms.min(BACKOFF_MAX_MS);
            assert!((whole_ms / 2..=whole_ms).contains(&wait_ms), "{failures}");
        }
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::new(10, 3);
        let waited: u64 = (0..8).map(|_| backoff.fail()).sum();
        assert!(waited > 640);
        backoff.reset();
        assert!(backoff.fail() <= 10);
    }
}
