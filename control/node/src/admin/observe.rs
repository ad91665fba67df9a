//! The dataplane's state and counters, read from the shared region into what the protocol carries.
//!
//! Both `nexus-control` and a `nexus` that found control dead come here, so that both tell the same.

use std::collections::BTreeMap;

use exchange::{COUNTERS, CounterValues, HistogramValues, Region, bucket_end_ns};

use super::{DataplaneStatus, LatencyBucket, Stats, WorkerStats, WorkerStatus};

/// A plane or worker whose last heartbeat is older than this, in milliseconds, counts as silent.
pub const SILENT_AFTER_MS: u64 = 1_000;

/// Whether the owner of a heartbeat is silent. Both times are milliseconds of CLOCK_MONOTONIC; a
/// heartbeat of 0 was never made, and one ahead of `now_ms` was made after `now_ms` was read.
#[must_use]
pub fn is_silent(heartbeat_ms: u64, now_ms: u64) -> bool {
    heartbeat_ms == 0 || now_ms.saturating_sub(heartbeat_ms) > SILENT_AFTER_MS
}

impl DataplaneStatus {
    /// Reads the region at `now_ms`, milliseconds of CLOCK_MONOTONIC. `interface` is quoted, since
    /// the region does not know it. `None` while the dataplane is writing its status.
    #[must_use]
    pub fn read(region: &Region, interface: &str, now_ms: u64) -> Option<Self> {
        let status = region.dataplane_status()?;
        let workers = (0..region.workers()).filter_map(|index| worker(region, index, now_ms));
        let workers: Vec<WorkerStatus> = workers.collect();
        Some(Self {
            pid: status.pid,
            uptime_secs: now_ms.saturating_sub(status.started_ms) / 1_000,
            running: workers.iter().any(|worker| worker.running),
            mode: status.mode.name().to_owned(),
            reason: status.reason,
            interface: interface.to_owned(),
            workers,
        })
    }
}

impl Stats {
    /// Reads every worker's counters at `now_ms`, milliseconds of CLOCK_MONOTONIC.
    #[must_use]
    pub fn read(region: &Region, now_ms: u64) -> Self {
        let workers = 0..region.workers();
        Self {
            taken_at_ms: now_ms,
            workers: workers
                .filter_map(|index| worker_stats(region, index))
                .collect(),
            control: BTreeMap::new(),
        }
    }
}

fn worker(region: &Region, index: u32, now_ms: u64) -> Option<WorkerStatus> {
    let heartbeat_ms = region.worker_heartbeat_ms(index).ok()?;
    let counters = region.counters(index).ok()?;
    let hits = [
        counters.answers_cache,
        counters.answers_table,
        counters.answers_stale,
    ];
    Some(WorkerStatus {
        index,
        running: !is_silent(heartbeat_ms, now_ms),
        heartbeat_age_ms: now_ms.saturating_sub(heartbeat_ms),
        queries: counters.queries,
        hits: hits.into_iter().fold(0, u64::saturating_add),
        punts: counters.punts,
    })
}

fn worker_stats(region: &Region, index: u32) -> Option<WorkerStats> {
    Some(WorkerStats {
        index,
        counters: named(&region.counters(index).ok()?),
        latency: buckets(&region.latency(index).ok()?),
    })
}

fn named(values: &CounterValues) -> BTreeMap<String, u64> {
    let named: BTreeMap<String, u64> = values
        .rows()
        .map(|(row, value)| (row.field.to_owned(), value))
        .collect();
    debug_assert!(named.len() == COUNTERS.len());
    named
}

fn buckets(values: &HistogramValues) -> Vec<LatencyBucket> {
    let buckets = values
        .buckets
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0);
    let bucket = |(index, &count)| LatencyBucket {
        below_ns: bucket_end_ns(index) + 1,
        count,
    };
    buckets.map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::{Mode, RegionConfig};

    fn region() -> Region {
        let config = RegionConfig {
            workers: 2,
            punt_slots: 16,
            reply_slots: 16,
            table_buckets: 16,
            zones_max: 4,
        };
        Region::create(&config).unwrap()
    }

    #[test]
    fn worker_that_beats_is_running_and_the_other_is_not() {
        let region = region();
        let mut status = region.status_writer(2_000).unwrap();
        status.set(Mode::Copy, "zero-copy: not supported by the driver");
        let worker = region.worker(1).unwrap();
        worker.heartbeat.beat(9_000);
        worker.counters.queries.add(5);
        worker.counters.answers_cache.add(3);
        worker.counters.answers_table.add(1);
        worker.counters.punts.add(1);

        let seen = DataplaneStatus::read(&region, "eth1", 9_500).unwrap();
        assert_eq!(seen.pid, std::process::id());
        assert_eq!(seen.uptime_secs, 7);
        assert!(seen.running);
        assert_eq!(seen.mode, "copy");
        assert_eq!(seen.reason, "zero-copy: not supported by the driver");
        assert_eq!(seen.interface, "eth1");
        assert!(!seen.workers[0].running);
        let expected = WorkerStatus {
            index: 1,
            running: true,
            heartbeat_age_ms: 500,
            queries: 5,
            hits: 4,
            punts: 1,
        };
        assert_eq!(seen.workers[1], expected);
    }

    #[test]
    fn dataplane_whose_workers_all_stopped_is_silent() {
        let region = region();
        region.worker(0).unwrap().heartbeat.beat(1_000);
        let seen = DataplaneStatus::read(&region, "", 60_000).unwrap();
        assert!(!seen.running);
        assert_eq!(seen.workers[0].heartbeat_age_ms, 59_000);
    }

    #[test]
    fn heartbeat_is_silent_only_past_the_limit() {
        assert!(is_silent(0, 0));
        assert!(!is_silent(1_000, 1_000 + SILENT_AFTER_MS));
        assert!(is_silent(1_000, 1_001 + SILENT_AFTER_MS));
        assert!(!is_silent(2_000, 1_000));
    }

    #[test]
    fn stats_carry_every_counter_and_only_buckets_in_use() {
        let region = region();
        let mut worker = region.worker(0).unwrap();
        worker.counters.drops_tx_full.add(7);
        worker.latency.record(1_000, 3);
        let stats = Stats::read(&region, 42);
        assert_eq!(stats.taken_at_ms, 42);
        assert_eq!(stats.workers.len(), 2);
        assert_eq!(stats.workers[0].counters.len(), COUNTERS.len());
        assert_eq!(stats.workers[0].counters["drops_tx_full"], 7);
        let [bucket] = stats.workers[0].latency[..] else {
            panic!("one bucket")
        };
        assert_eq!(bucket.count, 3);
        assert!(bucket.below_ns > 1_000 && bucket.below_ns <= 1_280);
        assert!(stats.workers[1].latency.is_empty());
    }
}
