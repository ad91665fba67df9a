//! Latency histogram of one worker: log-linear, four buckets a power of two, 0 ns to 8.6 s.
//!
//! Written by the worker alone with relaxed stores, once a batch; read by anybody.

use std::sync::Arc;

use crate::claim::Claim;
use crate::mapped::{Mapped, Shareable};
use crate::sync::{AtomicU64, Ordering};

/// Buckets of a histogram. The last one also takes everything longer.
pub const LATENCY_BUCKETS: usize = 128;

/// The shared form.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; LATENCY_BUCKETS],
    sum_ns: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Histogram>() == 1152);

// SAFETY: atomics and padding only, repr(C).
unsafe impl Shareable for Histogram {}

/// A worker's own histogram: time from the receipt of a batch to its sending, in nanoseconds.
#[derive(Debug)]
pub struct HistogramWriter {
    histogram: Mapped<Histogram>,
    _claim: Arc<Claim>,
}

impl HistogramWriter {
    pub(crate) fn new(histogram: Mapped<Histogram>, claim: Arc<Claim>) -> Self {
        Self {
            histogram,
            _claim: claim,
        }
    }

    /// Counts `packets` that all took `latency_ns`.
    #[inline]
    pub fn record(&mut self, latency_ns: u64, packets: u64) {
        let bucket = &self.histogram.buckets[bucket_index(latency_ns)];
        bucket.store(
            bucket.load(Ordering::Relaxed).wrapping_add(packets),
            Ordering::Relaxed,
        );
        let sum = &self.histogram.sum_ns;
        let added = latency_ns.wrapping_mul(packets);
        sum.store(
            sum.load(Ordering::Relaxed).wrapping_add(added),
            Ordering::Relaxed,
        );
    }
}

/// A copy of a histogram, or the sum of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramValues {
    /// Packets by bucket; see [`bucket_end_ns`].
    pub buckets: [u64; LATENCY_BUCKETS],
    /// Sum of all latencies, for a mean.
    pub sum_ns: u64,
}

impl Default for HistogramValues {
    fn default() -> Self {
        Self {
            buckets: [0; LATENCY_BUCKETS],
            sum_ns: 0,
        }
    }
}

impl HistogramValues {
    pub(crate) fn read(histogram: &Histogram) -> Self {
        Self {
            buckets: core::array::from_fn(|index| histogram.buckets[index].load(Ordering::Relaxed)),
            sum_ns: histogram.sum_ns.load(Ordering::Relaxed),
        }
    }

    /// Adds another worker's histogram.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.wrapping_add(*theirs);
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }

    /// Removes what an earlier copy of the same histogram held, for the time in between.
    pub fn subtract(&mut self, earlier: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&earlier.buckets) {
            *mine = mine.wrapping_sub(*theirs);
        }
        self.sum_ns = self.sum_ns.wrapping_sub(earlier.sum_ns);
    }

    /// Packets in all buckets; saturates, since the memory may hold anything.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Nanoseconds that `quantile` (0 to 1; outside it is clamped) of the packets did not exceed:
    /// the end of the bucket, hence at most 25 % too much. None when nothing was recorded.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let packets = self.packets();
        if packets == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a rank between 1 and `packets`; rounding beyond 2^53 packets does no harm"
        )]
        let rank = ((quantile.clamp(0.0, 1.0) * packets as f64).ceil() as u64).clamp(1, packets);
        let mut seen = 0_u64;
        for (index, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Some(bucket_end_ns(index));
            }
        }
        Some(bucket_end_ns(LATENCY_BUCKETS - 1))
    }
}

/// The bucket of a latency: exact below 4 ns, then four a power of two.
fn bucket_index(latency_ns: u64) -> usize {
    let Some(power) = latency_ns.checked_ilog2().filter(|power| *power >= 2) else {
        // Below 4 ns.
        return usize::try_from(latency_ns).unwrap_or(0);
    };
    let quarter = (latency_ns >> (power - 2)) & 3;
    let index = u64::from(power - 1) * 4 + quarter;
    usize::try_from(index)
        .unwrap_or(usize::MAX)
        .min(LATENCY_BUCKETS - 1)
}

/// The largest latency, in nanoseconds, that bucket `index` holds (the last holds more).
#[must_use]
pub fn bucket_end_ns(index: usize) -> u64 {
    let index = index.min(LATENCY_BUCKETS - 1) as u64;
    if index < 4 {
        return index;
    }
    let (power, quarter) = (index / 4 + 1, index % 4);
    ((4 + quarter + 1) << (power - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for index in 0..LATENCY_BUCKETS {
            let end = bucket_end_ns(index);
            assert_eq!(bucket_index(end), index, "end of {index}");
            assert_eq!(
                bucket_index(end + 1),
                (index + 1).min(LATENCY_BUCKETS - 1),
                "after {index}"
            );
        }
        assert_eq!(bucket_end_ns(LATENCY_BUCKETS - 1), (1 << 33) - 1);
        assert_eq!(bucket_index(u64::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn quantile_of_known_latencies_is_within_a_quarter() {
        let mut values = HistogramValues::default();
        assert_eq!(values.quantile_ns(0.5), None);
        for latency_ns in 1..=1000_u64 {
            values.buckets[bucket_index(latency_ns * 1000)] += 1;
        }
        for (quantile, expected) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let found = values.quantile_ns(quantile).unwrap();
            assert!(
                (expected..=expected * 5 / 4).contains(&found),
                "{quantile}: {found}"
            );
        }
        assert_eq!(values.quantile_ns(-1.0), values.quantile_ns(0.0));
        assert_eq!(
            values.quantile_ns(0.0),
            Some(bucket_end_ns(bucket_index(1000)))
        );
    }

    #[test]
    fn buckets_full_of_noise_neither_overflow_nor_panic() {
        let values = HistogramValues {
            buckets: [u64::MAX; LATENCY_BUCKETS],
            sum_ns: u64::MAX,
        };
        assert_eq!(values.packets(), u64::MAX);
        assert_eq!(values.quantile_ns(1.0), Some(0));
    }
}
