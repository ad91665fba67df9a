//! Everything that is counted, in Prometheus text form, read at the moment of the scrape.
//!
//! Workers count in shared memory, control in [`Counters`], the resolver in its own statistics:
//! nothing is counted twice and a packet pays for no metric.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use exchange::{CounterKind, HistogramValues, LATENCY_BUCKETS, Region, bucket_end_ns};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use resolver::iterate::{AnchorState, ROUND_TRIP_BOUNDS_MS, RoundTrips};

use crate::admin::CopyStatus;
use crate::clock;
use crate::counters::{Counters, Kind};
use crate::engine::EngineStatistics;

mod copies;
mod guard;

/// Everything that a scrape reads.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Control's own.
    pub counters: Arc<Counters>,
    /// The engine's, of this moment.
    pub engine: EngineStatistics,
    /// The dataplane's memory, if attached.
    pub region: Option<Region>,
    /// Zones that are copied from primaries.
    pub copies: Vec<CopyStatus>,
}

/// One value of a metric.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: u64,
}

impl Snapshot {
    /// The whole exposition, with what `others` count.
    #[must_use]
    pub(crate) fn to_text(&self, others: Vec<Box<dyn Collector>>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        for other in others {
            registry.register_collector(other);
        }
        let mut out = String::new();
        match text::encode(&mut out, &registry) {
            Ok(()) => out,
            Err(fmt::Error) => unreachable!("writing to a string does not fail"),
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_control(&mut encoder)?;
        self.encode_resolver(&mut encoder)?;
        self.encode_copies(&mut encoder)?;
        match &self.region {
            Some(region) => encode_dataplane(region, &mut encoder),
            None => Ok(()),
        }
    }
}

impl Snapshot {
    fn encode_control(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rows: Vec<_> = self.counters.rows().collect();
        for group in rows.chunk_by(|one, next| one.0.metric == next.0.metric) {
            let Some((first, _)) = group.first() else {
                continue;
            };
            let samples: Vec<_> = group
                .iter()
                .map(|(row, value)| Sample {
                    labels: row
                        .labels
                        .iter()
                        .map(|(name, text)| (*name, (*text).to_owned()))
                        .collect(),
                    value: *value,
                })
                .collect();
            write(encoder, first.metric, first.help, first.kind, &samples)?;
        }
        let codes = self.counters.extended_errors.rows();
        let samples: Vec<_> = codes
            .map(|(code, value)| Sample {
                labels: vec![("code", code)],
                value,
            })
            .collect();
        if samples.is_empty() {
            return Ok(());
        }
        let metric = "nexus_answers_extended_error_total";
        let help = "Extended errors (RFC 8914) that control gave to clients, by INFO-CODE.";
        write(encoder, metric, help, Kind::Counter, &samples)
    }

    fn encode_resolver(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (metric, help, kind, value) in resolver_rows(&self.engine) {
            write(
                encoder,
                metric,
                help,
                kind,
                &[Sample {
                    labels: Vec::new(),
                    value,
                }],
            )?;
        }
        write_round_trips(encoder, &self.engine.resolver.round_trips)?;
        self.encode_trust_anchors(encoder)?;
        self.encode_policy(encoder)?;
        self.encode_upstreams(encoder)
    }

    fn encode_trust_anchors(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let anchors = &self.engine.trust_anchors;
        if anchors.is_empty() {
            return Ok(());
        }
        let sample = |state: AnchorState| {
            let own = anchors.iter().filter(|anchor| anchor.state == state);
            Sample {
                labels: vec![("state", state.word().to_owned())],
                value: own.count() as u64,
            }
        };
        let help = "Keys of trust anchors by their state (RFC 5011).";
        let samples = AnchorState::ALL.map(sample);
        let metric = "nexus_resolver_trust_anchors";
        write(encoder, metric, help, Kind::Gauge, &samples)
    }

    fn encode_policy(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let hits = &self.engine.policy_hits;
        let (mut by_kind, mut by_list) = (BTreeMap::new(), BTreeMap::new());
        for (hit, count) in hits {
            let kind = hit.kind.word();
            if hit.acts {
                *by_kind.entry(kind).or_default() += *count;
            }
            if let Some(list) = &hit.list {
                *by_list.entry((kind, list)).or_default() += *count;
            }
        }
        let by_kind = by_kind.into_iter().map(|(kind, value)| Sample {
            labels: vec![("kind", kind.to_owned())],
            value,
        });
        let by_list = by_list.into_iter().map(|((kind, list), value)| Sample {
            labels: vec![("kind", kind.to_owned()), ("list", list.to_string())],
            value,
        });
        let tables = [
            (
                "nexus_policy_answers_total",
                "Answers that the policy made, changed or withheld, by which part of it.",
                by_kind.collect::<Vec<_>>(),
            ),
            (
                "nexus_policy_list_hits_total",
                "Questions that a policy zone or a list of blocked names had a rule for.",
                by_list.collect(),
            ),
        ];
        for (metric, help, samples) in tables {
            if !samples.is_empty() {
                write(encoder, metric, help, Kind::Counter, &samples)?;
            }
        }
        Ok(())
    }

    fn encode_upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // By address: one that is configured twice has one sample all the same.
        let upstreams = self.engine.upstreams.iter();
        let upstreams: BTreeMap<_, _> = upstreams
            .map(|upstream| (upstream.address.to_string(), upstream))
            .collect();
        let healthy: Vec<_> = upstreams
            .iter()
            .map(|(address, upstream)| Sample {
                labels: vec![("address", address.clone())],
                value: u64::from(upstream.healthy),
            })
            .collect();
        if healthy.is_empty() {
            return Ok(());
        }
        let help = "1 while a server that questions are forwarded to answers.";
        write(
            encoder,
            "nexus_upstream_healthy",
            help,
            Kind::Gauge,
            &healthy,
        )?;
        let measured: Vec<_> = upstreams
            .iter()
            .filter_map(|(address, upstream)| Some((address, upstream.round_trip_us?)))
            .collect();
        if measured.is_empty() {
            return Ok(());
        }
        let (name, help) = (
            "nexus_upstream_rtt_seconds",
            "Smoothed round-trip time to a server that questions are forwarded to.",
        );
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (address, rtt_us) in measured {
            let labels = [("address", address.as_str())];
            let rtt = ConstGauge::new(seconds(rtt_us.saturating_mul(1_000)));
            rtt.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn encode_dataplane(region: &Region, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let workers: Vec<_> = (0..region.workers())
        .filter_map(|worker| Some((worker, region.counters(worker).ok()?)))
        .collect();
    for group in exchange::COUNTERS.chunk_by(|one, next| one.metric == next.metric) {
        let Some(first) = group.first() else { continue };
        let mut samples = Vec::new();
        for (worker, values) in &workers {
            for (row, value) in values.rows().filter(|(row, _)| row.metric == first.metric) {
                let mut labels = vec![("worker", worker.to_string())];
                labels.extend(
                    row.labels
                        .iter()
                        .map(|(name, text)| (*name, (*text).to_owned())),
                );
                samples.push(Sample { labels, value });
            }
        }
        let kind = match first.kind {
            CounterKind::Counter => Kind::Counter,
            CounterKind::Gauge => Kind::Gauge,
        };
        write(encoder, first.metric, first.help, kind, &samples)?;
    }
    let mut latency = HistogramValues::default();
    for worker in 0..region.workers() {
        if let Ok(values) = region.latency(worker) {
            latency.add(&values);
        }
    }
    write_latency(encoder, &latency)?;
    guard::encode(region, encoder)?;
    write_state(encoder, region)
}

fn write_round_trips(encoder: &mut DescriptorEncoder<'_>, trips: &RoundTrips) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "nexus_upstream_round_trip_seconds",
        "Time from a query over UDP to its reply.",
        None,
        MetricType::Histogram,
    )?;
    #[expect(clippy::cast_precision_loss, reason = "a sum, not a count")]
    let sum = trips.sum_ms as f64 / 1_000.0;
    let bounds = ROUND_TRIP_BOUNDS_MS
        .iter()
        .map(|bound_ms| f64::from(*bound_ms) / 1_000.0)
        .chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(trips.counts).collect();
    let count = trips.counts.iter().sum();
    metric.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
}

fn write_latency(encoder: &mut DescriptorEncoder<'_>, latency: &HistogramValues) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "nexus_worker_latency_seconds",
        "Time from the receipt of a batch to its sending.",
        None,
        MetricType::Histogram,
    )?;
    // Every fourth bound, a power of two: the finer ones are for `nexus stats`.
    let mut buckets = Vec::with_capacity(LATENCY_BUCKETS / 4);
    for (index, counts) in latency.buckets.chunks(4).enumerate() {
        let is_last = (index + 1) * 4 >= LATENCY_BUCKETS;
        let bound = if is_last {
            f64::INFINITY
        } else {
            seconds(bucket_end_ns(index * 4 + 3))
        };
        buckets.push((
            bound,
            counts
                .iter()
                .fold(0, |sum: u64, count| sum.saturating_add(*count)),
        ));
    }
    let sum = seconds(latency.sum_ns);
    metric.encode_histogram::<[(&str, &str); 0]>(sum, latency.packets(), &buckets, None)
}

#[expect(clippy::cast_precision_loss, reason = "a metric for people")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn write_state(encoder: &mut DescriptorEncoder<'_>, region: &Region) -> fmt::Result {
    let now_ms = clock::now_ms();
    let status = region.dataplane_status().unwrap_or_default();
    write(
        encoder,
        "nexus_mode",
        "1 for the mode in which packets reach the workers.",
        Kind::Gauge,
        &[Sample {
            labels: vec![
                ("mode", status.mode.name().to_owned()),
                ("reason", status.reason),
            ],
            value: 1,
        }],
    )?;
    let ages: Vec<_> = (0..region.workers())
        .filter_map(|worker| {
            let value = now_ms.saturating_sub(region.worker_heartbeat_ms(worker).ok()?);
            Some(Sample {
                labels: vec![("worker", worker.to_string())],
                value,
            })
        })
        .collect();
    let help = "Milliseconds since a worker's last sign of life.";
    write(
        encoder,
        "nexus_worker_heartbeat_age_milliseconds",
        help,
        Kind::Gauge,
        &ages,
    )
}

/// One metric with all its samples. The encoder adds `_total` to counters itself.
fn write(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &str,
    help: &str,
    kind: Kind,
    samples: &[Sample],
) -> fmt::Result {
    let (name, metric_type) = match kind {
        Kind::Counter => (
            metric.strip_suffix("_total").unwrap_or(metric),
            MetricType::Counter,
        ),
        Kind::Gauge => (metric, MetricType::Gauge),
    };
    let mut metric = encoder.encode_descriptor(name, help, None, metric_type)?;
    for sample in samples {
        if sample.labels.is_empty() {
            write_value(metric, kind, sample.value)?;
            return Ok(());
        }
        write_value(metric.encode_family(&sample.labels)?, kind, sample.value)?;
    }
    Ok(())
}

fn write_value(encoder: MetricEncoder<'_>, kind: Kind, value: u64) -> fmt::Result {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge => ConstGauge::new(value).encode(encoder),
    }
}

/// Metric, help, kind, and where the value comes from.
type Row = (
    &'static str,
    &'static str,
    Kind,
    fn(&EngineStatistics) -> u64,
);

/// The engine's numbers by metric.
const ENGINE_ROWS: &[Row] = &[
    (
        "nexus_resolver_questions_total",
        "Questions asked of the resolver.",
        Kind::Counter,
        |engine| engine.resolver.questions,
    ),
    (
        "nexus_resolver_cache_hits_total",
        "Questions answered from the resolver's cache at once.",
        Kind::Counter,
        |engine| engine.resolver.cache_hits,
    ),
    (
        "nexus_resolver_cache_misses_total",
        "Questions that no cache answered at once.",
        Kind::Counter,
        |engine| engine.resolver.cache_misses,
    ),
    (
        "nexus_resolver_coalesced_total",
        "Questions that joined a resolution under way.",
        Kind::Counter,
        |engine| engine.resolver.coalesced,
    ),
    (
        "nexus_resolver_rejected_total",
        "Questions turned away since a table was full.",
        Kind::Counter,
        |engine| engine.resolver.rejected,
    ),
    (
        "nexus_resolver_client_limited_total",
        "Questions turned away since their client had an eighth of all places.",
        Kind::Counter,
        |engine| engine.client_limited,
    ),
    (
        "nexus_resolver_stale_answers_total",
        "Answers with data past its TTL (RFC 8767).",
        Kind::Counter,
        |engine| engine.resolver.stale_answers,
    ),
    (
        "nexus_resolver_secure_total",
        "Resolutions whose every signature and proof held.",
        Kind::Counter,
        |engine| engine.resolver.secure,
    ),
    (
        "nexus_resolver_insecure_total",
        "Resolutions that ended in zones that nothing vouches for.",
        Kind::Counter,
        |engine| engine.resolver.insecure,
    ),
    (
        "nexus_resolver_bogus_total",
        "Findings of the resolver that did not hold under the keys of their zones.",
        Kind::Counter,
        |engine| engine.resolver.bogus,
    ),
    (
        "nexus_resolver_failures_total",
        "Questions that ended in SERVFAIL.",
        Kind::Counter,
        |engine| engine.resolver.failures,
    ),
    (
        "nexus_resolver_cached_failures_total",
        "Questions answered from the failure cache (RFC 9520).",
        Kind::Counter,
        |engine| engine.resolver.cached_failures,
    ),
    (
        "nexus_resolver_sent_udp_total",
        "Messages sent to servers over UDP.",
        Kind::Counter,
        |engine| engine.resolver.sends_udp,
    ),
    (
        "nexus_resolver_sent_tcp_total",
        "Messages sent to servers over TCP.",
        Kind::Counter,
        |engine| engine.resolver.sends_tcp,
    ),
    (
        "nexus_resolver_replies_total",
        "Replies accepted.",
        Kind::Counter,
        |engine| engine.resolver.replies,
    ),
    (
        "nexus_resolver_unknown_replies_total",
        "Replies to no exchange: late, or made up.",
        Kind::Counter,
        |engine| engine.resolver.replies_unknown,
    ),
    (
        "nexus_resolver_address_mismatches_total",
        "Replies from another address than the one asked.",
        Kind::Counter,
        |engine| engine.resolver.mismatches_address,
    ),
    (
        "nexus_resolver_id_mismatches_total",
        "Replies with another id.",
        Kind::Counter,
        |engine| engine.resolver.mismatches_id,
    ),
    (
        "nexus_resolver_question_mismatches_total",
        "Replies to another question.",
        Kind::Counter,
        |engine| engine.resolver.mismatches_question,
    ),
    (
        "nexus_resolver_case_mismatches_total",
        "Replies whose name came back in other case.",
        Kind::Counter,
        |engine| engine.resolver.mismatches_case,
    ),
    (
        "nexus_resolver_cookie_mismatches_total",
        "Replies with another cookie than their query, or without one from a server that gives them.",
        Kind::Counter,
        |engine| engine.resolver.mismatches_cookie,
    ),
    (
        "nexus_resolver_malformed_replies_total",
        "Replies that could not be read.",
        Kind::Counter,
        |engine| engine.resolver.malformed,
    ),
    (
        "nexus_resolver_timeouts_total",
        "Exchanges without a reply in time.",
        Kind::Counter,
        |engine| engine.resolver.timeouts,
    ),
    (
        "nexus_resolver_transport_errors_total",
        "Exchanges that failed in another way.",
        Kind::Counter,
        |engine| engine.resolver.transport_errors,
    ),
    (
        "nexus_resolver_tcp_fallbacks_total",
        "Queries repeated by TCP, since a reply was truncated or may have been forged.",
        Kind::Counter,
        |engine| engine.resolver.tcp_fallbacks,
    ),
    (
        "nexus_resolver_truncated_replies_total",
        "Replies with TC over UDP.",
        Kind::Counter,
        |engine| engine.resolver.truncated,
    ),
    (
        "nexus_resolver_lame_replies_total",
        "Replies of servers that do not serve the zone.",
        Kind::Counter,
        |engine| engine.resolver.lame,
    ),
    (
        "nexus_resolver_local_root_answers_total",
        "Times that the local root zone answered instead of a root server.",
        Kind::Counter,
        |engine| engine.resolver.local_root_answers,
    ),
    (
        "nexus_resolver_bad_cookies_total",
        "Replies that ask for another cookie (BADCOOKIE).",
        Kind::Counter,
        |engine| engine.resolver.bad_cookies,
    ),
    (
        "nexus_resolver_cookie_fallbacks_total",
        "Queries repeated without a cookie.",
        Kind::Counter,
        |engine| engine.resolver.cookie_fallbacks,
    ),
    (
        "nexus_resolver_edns_fallbacks_total",
        "Queries repeated without EDNS.",
        Kind::Counter,
        |engine| engine.resolver.edns_fallbacks,
    ),
    (
        "nexus_resolver_minimisation_fallbacks_total",
        "Queries repeated with the whole name (RFC 9156).",
        Kind::Counter,
        |engine| engine.resolver.minimisation_fallbacks,
    ),
    (
        "nexus_resolver_subqueries_total",
        "Resolutions of name servers' addresses started.",
        Kind::Counter,
        |engine| engine.resolver.subqueries,
    ),
    (
        "nexus_resolver_limited_total",
        "Resolutions stopped by a limit of work.",
        Kind::Counter,
        |engine| engine.resolver.limited,
    ),
    (
        "nexus_resolver_parked_total",
        "Times that a resolution waited for room at a server.",
        Kind::Counter,
        |engine| engine.resolver.parked,
    ),
    (
        "nexus_resolver_given_up_total",
        "Resolutions ended early to make place for newer questions.",
        Kind::Counter,
        |engine| engine.resolver.given_up,
    ),
    (
        "nexus_resolver_cache_insertions_total",
        "RRsets put into the resolver's cache.",
        Kind::Counter,
        |engine| engine.resolver.cache_insertions,
    ),
    (
        "nexus_resolver_cache_evictions_total",
        "Names removed from the resolver's cache for room, with all their RRsets.",
        Kind::Counter,
        |engine| engine.resolver.cache_evictions,
    ),
    (
        "nexus_resolver_prefetches_total",
        "Names resolved anew before they expired.",
        Kind::Counter,
        |engine| engine.resolver.prefetches,
    ),
    (
        "nexus_resolver_aggressive_total",
        "Answers made of what was proven for other names (RFC 8198).",
        Kind::Counter,
        |engine| engine.resolver.aggressive,
    ),
    (
        "nexus_resolver_aggressive_insertions_total",
        "Proven denials and wildcards put into their index.",
        Kind::Counter,
        |engine| engine.resolver.aggressive_insertions,
    ),
    (
        "nexus_resolver_aggressive_evictions_total",
        "Proven denials, wildcards and whole zones of them removed for room.",
        Kind::Counter,
        |engine| engine.resolver.aggressive_evictions,
    ),
    (
        "nexus_resolver_aggressive_zones",
        "Zones of which proven denials are kept.",
        Kind::Gauge,
        |engine| engine.resolver.aggressive_zones,
    ),
    (
        "nexus_resolver_aggressive_bytes",
        "Bytes that proven denials and wildcards take.",
        Kind::Gauge,
        |engine| engine.resolver.aggressive_bytes,
    ),
    (
        "nexus_resolver_waiting_questions",
        "Questions that wait inside the resolver.",
        Kind::Gauge,
        |engine| engine.resolver.tickets,
    ),
    (
        "nexus_resolver_tasks",
        "Resolutions under way.",
        Kind::Gauge,
        |engine| engine.resolver.tasks,
    ),
    (
        "nexus_resolver_exchanges",
        "Messages to servers in flight.",
        Kind::Gauge,
        |engine| engine.resolver.exchanges,
    ),
    (
        "nexus_resolver_servers",
        "Servers remembered.",
        Kind::Gauge,
        |engine| engine.resolver.servers,
    ),
    (
        "nexus_resolver_cache_entries",
        "Names of which the resolver's cache holds RRsets.",
        Kind::Gauge,
        |engine| engine.resolver.cache_entries,
    ),
    (
        "nexus_resolver_cache_bytes",
        "Bytes that the resolver's cache holds.",
        Kind::Gauge,
        |engine| engine.resolver.cache_bytes,
    ),
    (
        "nexus_resolver_failure_entries",
        "Failures remembered.",
        Kind::Gauge,
        |engine| engine.resolver.failures_cached,
    ),
    (
        "nexus_resolver_negative_trust_anchors",
        "Zones that count as unsigned on purpose (RFC 7646).",
        Kind::Gauge,
        |engine| engine.negative_anchors,
    ),
    (
        "nexus_resolver_failure_insertions_total",
        "Failures put into the failure cache.",
        Kind::Counter,
        |engine| engine.resolver.failure_insertions,
    ),
    (
        "nexus_resolver_failure_evictions_total",
        "Failures removed from the failure cache for room.",
        Kind::Counter,
        |engine| engine.resolver.failure_evictions,
    ),
    (
        "nexus_resolver_upstream_sockets",
        "Sockets open towards servers.",
        Kind::Gauge,
        |engine| engine.upstream_sockets,
    ),
    (
        "nexus_resolver_open_questions",
        "Clients' questions that wait for an answer.",
        Kind::Gauge,
        |engine| engine.questions,
    ),
];

/// The engine's numbers by metric: name, help, kind, value.
pub(crate) fn resolver_rows(
    engine: &EngineStatistics,
) -> impl Iterator<Item = (&'static str, &'static str, Kind, u64)> {
    ENGINE_ROWS
        .iter()
        .map(|(metric, help, kind, value)| (*metric, *help, *kind, value(engine)))
}
