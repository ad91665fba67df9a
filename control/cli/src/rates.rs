//! Rates: what the counters of all workers did between two samples.

use std::collections::BTreeMap;

use node::admin::Stats;
use serde::Serialize;

/// Rates over one interval, all workers together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Seconds between the samples.
    pub seconds: f64,
    /// Well-formed queries.
    pub queries_per_second: u64,
    /// Answers of any kind sent to clients.
    pub answers_per_second: u64,
    /// Share of queries that a worker answered from memory; absent without queries.
    pub hit_percent: Option<f64>,
    /// Queries handed to control.
    pub punts_per_second: u64,
    /// Error responses that workers made.
    pub errors_per_second: u64,
    /// Packets dropped for any reason.
    pub drops_per_second: u64,
    /// Median time in the worker in nanoseconds; absent without answers.
    pub p50_ns: Option<u64>,
    /// 99th percentile of the same.
    pub p99_ns: Option<u64>,
}

impl Rates {
    /// Compares two samples. A counter that went back belongs to a new dataplane: it counts whole.
    #[must_use]
    pub fn between(earlier: &Stats, later: &Stats) -> Self {
        let elapsed_ms = later.taken_at_ms.saturating_sub(earlier.taken_at_ms).max(1);
        let counts = Counts::between(earlier, later);
        let per_second = |count: u64| {
            let rate = u128::from(count) * 1_000 / u128::from(elapsed_ms);
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        let queries = counts.of("queries");
        let hits = ["answers_cache", "answers_table", "answers_stale"].map(|name| counts.of(name));
        let hits = hits.into_iter().fold(0, u64::saturating_add);
        let errors = counts.with_prefix("errors_");
        let answers = counts.with_prefix("answers_").saturating_add(errors);
        Self {
            seconds: elapsed_ms as f64 / 1_000.0,
            queries_per_second: per_second(queries),
            answers_per_second: per_second(answers),
            hit_percent: (queries > 0).then(|| 100.0 * hits as f64 / queries as f64),
            punts_per_second: per_second(counts.of("punts")),
            errors_per_second: per_second(errors),
            drops_per_second: per_second(counts.with_prefix("drops_")),
            p50_ns: counts.latency_ns(50),
            p99_ns: counts.latency_ns(99),
        }
    }
}

/// What was counted in between.
struct Counts {
    counters: BTreeMap<String, u64>,
    /// Answers by the bound of their latency bucket in nanoseconds.
    latency: BTreeMap<u64, u64>,
}

impl Counts {
    fn between(earlier: &Stats, later: &Stats) -> Self {
        let mut counts = Self {
            counters: BTreeMap::new(),
            latency: BTreeMap::new(),
        };
        for worker in &later.workers {
            let before = earlier
                .workers
                .iter()
                .find(|before| before.index == worker.index);
            for (name, &value) in &worker.counters {
                let before = before.and_then(|before| before.counters.get(name));
                add(
                    &mut counts.counters,
                    name.clone(),
                    since(before.copied(), value),
                );
            }
            for bucket in &worker.latency {
                let before = before.and_then(|before| {
                    before
                        .latency
                        .iter()
                        .find(|before| before.below_ns == bucket.below_ns)
                });
                let count = since(before.map(|before| before.count), bucket.count);
                add(&mut counts.latency, bucket.below_ns, count);
            }
        }
        counts
    }

    fn of(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    fn with_prefix(&self, prefix: &str) -> u64 {
        let named = self
            .counters
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        named.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Bound of the bucket in which this percentile lies.
    fn latency_ns(&self, percentile: u64) -> Option<u64> {
        let total = self
            .latency
            .values()
            .fold(0_u64, |sum, count| sum.saturating_add(*count));
        let wanted = (u128::from(total) * u128::from(percentile))
            .div_ceil(100)
            .max(1);
        let mut seen = 0_u128;
        self.latency.iter().find_map(|(&below_ns, &count)| {
            seen += u128::from(count);
            (seen >= wanted).then_some(below_ns)
        })
    }
}

fn since(before: Option<u64>, now: u64) -> u64 {
    now.checked_sub(before.unwrap_or(0)).unwrap_or(now)
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, key: K, count: u64) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::admin::{LatencyBucket, WorkerStats};

    fn sample(taken_at_ms: u64, counters: &[(&str, u64)], latency: &[(u64, u64)]) -> Stats {
        let counters = counters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        let bucket = |&(below_ns, count)| LatencyBucket { below_ns, count };
        let worker = WorkerStats {
            index: 0,
            counters: counters.collect(),
            latency: latency.iter().map(bucket).collect(),
        };
        Stats {
            taken_at_ms,
            workers: vec![worker],
            control: BTreeMap::new(),
        }
    }

    #[test]
    fn counters_become_rates_over_the_time_between_samples() {
        let before = [
            ("queries", 100),
            ("answers_cache", 90),
            ("punts", 10),
            ("drops_short", 0),
        ];
        let after = [
            ("queries", 2_100),
            ("answers_cache", 1_890),
            ("answers_table", 100),
            ("answers_control", 90),
            ("errors_formerr", 20),
            ("punts", 110),
            ("drops_short", 8),
            ("drops_tx_full", 2),
        ];
        let earlier = sample(1_000, &before, &[(512, 90)]);
        let later = sample(3_000, &after, &[(512, 1_070), (1_024, 1_000), (4_096, 20)]);
        let rates = Rates::between(&earlier, &later);
        assert_eq!(rates.queries_per_second, 1_000);
        assert_eq!(rates.answers_per_second, (1_800 + 100 + 90 + 20) / 2);
        assert_eq!(rates.hit_percent, Some(95.0));
        assert_eq!(rates.punts_per_second, 50);
        assert_eq!(rates.errors_per_second, 10);
        assert_eq!(rates.drops_per_second, 5);
        assert_eq!(rates.p50_ns, Some(1_024));
        assert_eq!(rates.p99_ns, Some(1_024));
    }

    #[test]
    fn no_query_has_no_hit_rate_and_no_latency() {
        let idle = sample(1_000, &[("queries", 5)], &[(512, 5)]);
        let later = Stats {
            taken_at_ms: 2_000,
            ..idle.clone()
        };
        let rates = Rates::between(&idle, &later);
        assert_eq!(rates.queries_per_second, 0);
        assert_eq!(rates.hit_percent, None);
        assert_eq!(rates.p99_ns, None);
    }

    #[test]
    fn counter_that_went_back_counts_from_zero() {
        let earlier = sample(1_000, &[("queries", 1_000_000)], &[(512, 1_000)]);
        let later = sample(2_000, &[("queries", 70)], &[(512, 70)]);
        let rates = Rates::between(&earlier, &later);
        assert_eq!(rates.queries_per_second, 70);
        assert_eq!(rates.p50_ns, Some(512));
    }

    #[test]
    fn samples_of_the_same_moment_and_of_extreme_counts_do_not_overflow() {
        let earlier = sample(9, &[], &[]);
        let later = sample(
            9,
            &[("queries", u64::MAX), ("drops_a", u64::MAX)],
            &[(1, u64::MAX)],
        );
        let rates = Rates::between(&earlier, &later);
        assert_eq!(rates.queries_per_second, u64::MAX);
        assert_eq!(rates.p99_ns, Some(1));
    }
}
