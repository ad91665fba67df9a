//! The clocks of one node: one that only rises, at its own rate, and one that tells the time, wrongly.

use consensus::Now;

/// Milliseconds since 1970 when a run begins.
pub(crate) const BEGIN_UNIX_MS: i64 = 1_700_000_000_000;
const MILLION: i128 = 1_000_000;

/// Both clocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    /// When the node started, on the true clock, and what its own showed then.
    pub(crate) boot_us: u64,
    pub(crate) base_us: u64,
    pub(crate) rate_ppm: i64,
    pub(crate) offset_ms: i64,
    pub(crate) jump_ms: i64,
}

impl Clock {
    fn rate(&self) -> i128 {
        MILLION + i128::from(self.rate_ppm)
    }

    /// What it shows.
    pub(crate) fn now(&self, true_us: u64) -> Now {
        let passed = i128::from(true_us - self.boot_us) * self.rate() / MILLION;
        let unix = BEGIN_UNIX_MS + i64::try_from(true_us / 1000).unwrap_or(0);
        Now {
            monotonic_us: self.base_us + u64::try_from(passed).unwrap_or(0),
            unix_ms: u64::try_from(unix + self.offset_ms + self.jump_ms).unwrap_or(0),
        }
    }

    /// The first moment at which it shows so much.
    pub(crate) fn true_us(&self, monotonic_us: u64) -> u64 {
        let wanted = i128::from(monotonic_us.saturating_sub(self.base_us)) * MILLION;
        let passed = (wanted + self.rate() - 1) / self.rate();
        self.boot_us
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
