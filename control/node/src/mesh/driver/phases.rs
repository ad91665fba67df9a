//! How long each phase of agreement takes on this node, in histograms of high resolution.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consensus::{Observation, Sequence};
use hdrhistogram::Histogram;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use serde::Serialize;

/// Sequences that are looked after at a time; the oldest are given up.
const OPEN_MAX: usize = 4096;
/// Longest time that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;
/// Upper bounds of the buckets that are exported, in microseconds.
const BOUNDS_US: [u64; 14] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 5_000_000,
];

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Timed {
    /// From accepting a proposal to its prepared certificate.
    Prepared,
    /// From accepting a proposal to its commit by everybody's consent.
    CommittedFast,
    /// From accepting a proposal to its commit by a quorum's commits.
    CommittedSlow,
    /// From the commit to the state.
    Executed,
    /// From the state to the moment when all that it rests on is durable here.
    Durable,
    /// From a client's wish to its reply, committed by everybody's consent.
    ClientFast,
    /// From a client's wish to its reply, committed by a quorum's commits.
    ClientSlow,
    /// From a read's wish to its place in the order.
    Read,
    /// One group of records made durable.
    Sync,
}

/// Metric, help, path, and word for people.
const ROWS: [(Timed, &str, &str, Option<&str>, &str); 9] = [
    (
        Timed::Prepared,
        "nexus_consensus_prepared_seconds",
        "Time from accepting a proposal to its prepared certificate.",
        None,
        "prepared",
    ),
    (
        Timed::CommittedFast,
        "nexus_consensus_committed_seconds",
        "Time from accepting a proposal to its commit.",
        Some("fast"),
        "committed",
    ),
    (
        Timed::CommittedSlow,
        "nexus_consensus_committed_seconds",
        "Time from accepting a proposal to its commit.",
        Some("slow"),
        "committed",
    ),
    (
        Timed::Executed,
        "nexus_consensus_executed_seconds",
        "Time from the commit of a batch to the state after it.",
        None,
        "executed",
    ),
    (
        Timed::Durable,
        "nexus_consensus_durable_seconds",
        "Time from the state after a batch until all that it rests on is durable on this node.",
        None,
        "durable",
    ),
    (
        Timed::ClientFast,
        "nexus_consensus_client_seconds",
        "Time from a wish at this node to its reply.",
        Some("fast"),
        "client",
    ),
    (
        Timed::ClientSlow,
        "nexus_consensus_client_seconds",
        "Time from a wish at this node to its reply.",
        Some("slow"),
        "client",
    ),
    (
        Timed::Read,
        "nexus_consensus_read_seconds",
        "Time until a linearizable read knew its place in the order.",
        None,
        "read",
    ),
    (
        Timed::Sync,
        "nexus_consensus_log_sync_seconds",
        "Time to make a group of records durable.",
        None,
        "log sync",
    ),
];

/// One phase in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseSummary {
    /// Which.
    pub phase: &'static str,
    /// `fast`: by everybody's consent; `slow`: by a quorum's commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'static str>,
    /// How often.
    pub count: u64,
    /// Microseconds: half were faster.
    pub median_us: u64,
    /// Microseconds: 99 of 100 were faster.
    pub p99_us: u64,
    /// Microseconds: none was slower.
    pub max_us: u64,
}

/// All phases, shared by the threads that see them end.
#[derive(Debug)]
pub struct Phases(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    timings: Vec<Timing>,
    open: BTreeMap<Sequence, Times>,
    batches: [u64; 2],
    requests: u64,
}

#[derive(Debug)]
struct Timing {
    histogram: Histogram<u64>,
    sum_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    accepted: Instant,
    committed: Option<Instant>,
    is_fast: bool,
}

impl Default for Phases {
    fn default() -> Self {
        let timing = || {
            let bounds = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
            let Ok(histogram) = bounds else {
                unreachable!("the bounds are constants");
            };
            Timing {
                histogram,
                sum_us: 0,
            }
        };
        Self(Mutex::new(Inner {
            timings: ROWS.iter().map(|_| timing()).collect(),
            open: BTreeMap::new(),
            batches: [0; 2],
            requests: 0,
        }))
    }
}

impl Phases {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something took so long.
    pub(super) fn record(&self, timed: Timed, time: Duration) {
        self.inner().record(timed, time);
    }

    /// What the replica saw, when it saw it.
    pub(super) fn note(&self, observation: &Observation, now: Instant) {
        self.inner().note(observation, now);
    }

    /// Whether a batch that is just being executed came by everybody's consent.
    pub(super) fn is_fast(&self, sequence: Sequence) -> bool {
        let inner = self.inner();
        inner.open.get(&sequence).is_some_and(|times| times.is_fast)
    }

    /// All phases that have happened.
    #[must_use]
    pub fn summaries(&self) -> Vec<PhaseSummary> {
        let inner = self.inner();
        let happened = ROWS.iter().zip(&inner.timings);
        happened
            .filter(|(_, timing)| !timing.histogram.is_empty())
            .map(|((_, _, _, path, phase), timing)| PhaseSummary {
                phase,
                path: *path,
                count: timing.histogram.len(),
                median_us: timing.histogram.value_at_quantile(0.5),
                p99_us: timing.histogram.value_at_quantile(0.99),
                max_us: timing.histogram.max(),
            })
            .collect()
    }

    /// Begins all histograms anew.
    pub fn reset(&self) {
        for timing in &mut self.inner().timings {
            timing.histogram.reset();
            timing.sum_us = 0;
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let inner = self.inner();
        let rows: Vec<_> = ROWS.iter().zip(&inner.timings).collect();
        for group in rows.chunk_by(|(one, _), (next, _)| one.1 == next.1) {
            let Some(((_, metric, help, _, _), _)) = group.first() else {
                continue;
            };
            let mut out = encoder.encode_descriptor(metric, help, None, MetricType::Histogram)?;
            for ((_, _, _, path, _), timing) in group {
                match path {
                    Some(path) => timing.encode(&mut out.encode_family(&[("path", *path)])?)?,
                    None => timing.encode(&mut out)?,
                }
            }
        }
        let help = "Batches executed on this node, by the way in which they were committed.";
        // The encoder adds `_total`.
        let mut out = encoder.encode_descriptor(
            "nexus_consensus_batches",
            help,
            None,
            MetricType::Counter,
        )?;
        for (path, count) in ["slow", "fast"].into_iter().zip(inner.batches) {
            let value = ConstCounter::new(count);
            value.encode(out.encode_family(&[("path", path)])?)?;
        }
        let help = "Requests in batches executed on this node.";
        let out = encoder.encode_descriptor(
            "nexus_consensus_requests",
            help,
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(inner.requests).encode(out)
    }
}

impl Inner {
    fn record(&mut self, timed: Timed, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(LONGEST_US);
        if let Some(timing) = self.timings.get_mut(timed as usize) {
            timing.histogram.saturating_record(time_us);
            timing.sum_us = timing.sum_us.saturating_add(time_us);
        }
    }

    fn note(&mut self, observation: &Observation, now: Instant) {
        match *observation {
            Observation::Accepted(sequence) => {
                let times = Times {
                    accepted: now,
                    committed: None,
                    is_fast: false,
                };
                self.open.entry(sequence).or_insert(times);
                if self.open.len() > OPEN_MAX {
                    self.open.pop_first();
                }
            }
            Observation::Prepared(sequence) => {
                if let Some(times) = self.open.get(&sequence).copied() {
                    self.record(Timed::Prepared, now - times.accepted);
                }
            }
            Observation::Committed {
                sequence,
                fast,
                requests,
            } => {
                self.batches[usize::from(fast)] += 1;
                self.requests += requests as u64;
                let timed = if fast {
                    Timed::CommittedFast
                } else {
                    Timed::CommittedSlow
                };
                if let Some(times) = self.open.get_mut(&sequence) {
                    times.committed = Some(now);
                    times.is_fast = fast;
                    let time = now - times.accepted;
                    self.record(timed, time);
                }
            }
            Observation::Executed(sequence) => {
                let times = self.open.remove(&sequence);
                if let Some(committed) = times.and_then(|times| times.committed) {
                    self.record(Timed::Executed, now - committed);
                }
            }
            _ => {}
        }
    }
}

impl Timing {
    fn encode(&self, out: &mut MetricEncoder<'_>) -> fmt::Result {
        let (sum, count) = (seconds(self.sum_us), self.histogram.len());
        out.encode_histogram::<[(&str, &str); 0]>(sum, count, &self.buckets(), None)
    }

    /// Upper bounds in seconds, and how many are within each and not in the one before.
    fn buckets(&self) -> Vec<(f64, u64)> {
        let mut before = 0;
        let mut buckets = Vec::with_capacity(BOUNDS_US.len() + 1);
        for bound_us in BOUNDS_US {
            let within = self.histogram.count_between(0, bound_us);
            buckets.push((seconds(bound_us), within.saturating_sub(before)));
            before = within;
        }
        buckets.push((f64::INFINITY, self.histogram.len().saturating_sub(before)));
        buckets
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time, not a count")]
fn seconds(time_us: u64) -> f64 {
    time_us as f64 / 1_000_000.0
}
