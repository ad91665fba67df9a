//! [`Metrics`]: what the log counts, for a registry of Prometheus.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::ballots::Taken;
use crate::store::Written;

/// Label of what is counted for each shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfShard {
    shard: String,
}

/// Label of what is counted by kind, or by reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    shard: String,
    kind: &'static str,
}

/// Label of what belongs to no shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// All of a node's log. A clone counts the same.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    tree_size: Family<OfShard, Gauge>,
    synced_size: Family<OfShard, Gauge>,
    published_size: Family<OfShard, Gauge>,
    published_time_ms: Family<OfShard, Gauge>,
    state: Family<OfKind, Gauge>,
    heads_cosigned: Family<OfShard, Counter>,
    heads_refused: Family<OfKind, Counter>,
    heads_published: Family<OfShard, Counter>,
    cosignatures: Family<OfResult, Counter>,
    bytes_written: Family<OfKind, Counter>,
    catch_up_retries: Family<OfShard, Counter>,
    cosign_seconds: Histogram,
    publish_seconds: Histogram,
    sync_seconds: Histogram,
}

/// Ends of the buckets of latencies, in seconds.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

impl Default for Families {
    fn default() -> Self {
        Self {
            tree_size: Family::default(),
            synced_size: Family::default(),
            published_size: Family::default(),
            published_time_ms: Family::default(),
            state: Family::default(),
            heads_cosigned: Family::default(),
            heads_refused: Family::default(),
            heads_published: Family::default(),
            cosignatures: Family::default(),
            bytes_written: Family::default(),
            catch_up_retries: Family::default(),
            cosign_seconds: Histogram::new(BUCKETS),
            publish_seconds: Histogram::new(BUCKETS),
            sync_seconds: Histogram::new(BUCKETS),
        }
    }
}

/// What a shard does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Following,
    CatchingUp,
    Halted,
}

/// Why a cosignature, or a note with some, is thrown away before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More wait than can be looked at.
    Busy,
    /// No note, or no checkpoint.
    Malformed,
    /// Of no shard.
    UnknownShard,
    /// By nobody who is a validator.
    UnknownKey,
    /// Not by whom it says.
    Signature,
}

impl Metrics {
    fn gauge(family: &Family<OfShard, Gauge>, shard: &str, value: u64) {
        let shard = shard.to_owned();
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        family.get_or_create(&OfShard { shard }).set(value);
    }

    pub(crate) fn set_tree_size(&self, shard: &str, size: u64) {
        Self::gauge(&self.0.tree_size, shard, size);
    }

    pub(crate) fn set_synced_size(&self, shard: &str, size: u64) {
        Self::gauge(&self.0.synced_size, shard, size);
    }

    pub(crate) fn on_published(&self, shard: &str, head: &ct::TreeHead) {
        Self::gauge(&self.0.published_size, shard, head.size);
        Self::gauge(&self.0.published_time_ms, shard, head.timestamp_ms);
        let shard = shard.to_owned();
        self.0
            .heads_published
            .get_or_create(&OfShard { shard })
            .inc();
    }

    pub(crate) fn set_state(&self, shard: &str, state: State) {
        for (kind, is_now) in [
            ("following", state == State::Following),
            ("catching_up", state == State::CatchingUp),
            ("halted", state == State::Halted),
        ] {
            let shard = shard.to_owned();
            let gauge = self.0.state.get_or_create(&OfKind { shard, kind });
            gauge.set(i64::from(is_now));
        }
    }

    pub(crate) fn on_head_cosigned(&self, shard: &str, seconds: f64) {
        let shard = shard.to_owned();
        self.0
            .heads_cosigned
            .get_or_create(&OfShard { shard })
            .inc();
        self.0.cosign_seconds.observe(seconds);
    }

    /// A head that this node does not sign, by what is wrong with it.
    pub(crate) fn on_head_refused(&self, shard: &str, kind: &'static str) {
        let shard = shard.to_owned();
        self.0
            .heads_refused
            .get_or_create(&OfKind { shard, kind })
            .inc();
    }

    pub(crate) fn on_cosignature(&self, taken: Taken) {
        let result = match taken {
            Taken::Counted => "counted",
            Taken::Early => "early",
            Taken::Duplicate => "duplicate",
            Taken::Late => "late",
            Taken::Fork => "fork",
        };
        self.0
            .cosignatures
            .get_or_create(&OfResult { result })
            .inc();
    }

    pub(crate) fn on_cosignature_refused(&self, refused: Refused) {
        let result = match refused {
            Refused::Busy => "busy",
            Refused::Malformed => "malformed",
            Refused::UnknownShard => "unknown_shard",
            Refused::UnknownKey => "unknown_key",
            Refused::Signature => "bad_signature",
        };
        self.0
            .cosignatures
            .get_or_create(&OfResult { result })
            .inc();
    }

    pub(crate) fn on_written(&self, shard: &str, written: Written) {
        for (kind, bytes) in [
            ("tiles", written.tiles),
            ("partial_tiles", written.partial),
            ("issuers", written.issuers),
            ("state", written.state),
        ] {
            if bytes > 0 {
                let shard = shard.to_owned();
                let family = &self.0.bytes_written;
                family.get_or_create(&OfKind { shard, kind }).inc_by(bytes);
            }
        }
    }

    pub(crate) fn on_catch_up_retry(&self, shard: &str) {
        let shard = shard.to_owned();
        self.0
            .catch_up_retries
            .get_or_create(&OfShard { shard })
            .inc();
    }

    pub(crate) fn on_quorum(&self, seconds: f64) {
        self.0.publish_seconds.observe(seconds);
    }

    pub(crate) fn on_sync(&self, seconds: f64) {
        self.0.sync_seconds.observe(seconds);
    }

    /// How many cosignatures had this fate.
    #[must_use]
    pub fn cosignatures(&self, result: &'static str) -> u64 {
        self.0
            .cosignatures
            .get_or_create(&OfResult { result })
            .get()
    }

    /// Bytes of this kind that were written of a shard.
    #[must_use]
    pub fn bytes_written(&self, shard: &str, kind: &'static str) -> u64 {
        let shard = shard.to_owned();
        self.0
            .bytes_written
            .get_or_create(&OfKind { shard, kind })
            .get()
    }

    /// Heads of a shard that this node did not sign, by the reason.
    #[must_use]
    pub fn heads_refused(&self, shard: &str, kind: &'static str) -> u64 {
        let shard = shard.to_owned();
        self.0
            .heads_refused
            .get_or_create(&OfKind { shard, kind })
            .get()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let rows = self
            .0
            .sizes()
            .into_iter()
            .chain(self.0.counts())
            .chain(self.0.times());
        for (name, help, metric) in rows {
            metric.encode(&mut encoder, &format!("nexus_ct_{name}"), help)?;
        }
        Ok(())
    }
}

/// Name without what all have, help, and values.
type Row<'a> = (&'static str, &'static str, &'a dyn Encode);

impl Families {
    fn sizes(&self) -> [Row<'_>; 5] {
        [
            (
                "tree_size",
                "Entries of a shard that this node has.",
                &self.tree_size,
            ),
            (
                "synced_size",
                "Of those, how many no crash takes.",
                &self.synced_size,
            ),
            (
                "published_size",
                "Leaves of the newest head.",
                &self.published_size,
            ),
            (
                "published_time_ms",
                "Time of the newest head, in milliseconds since 1970.",
                &self.published_time_ms,
            ),
            ("shard_state", "1 for what a shard does now.", &self.state),
        ]
    }

    fn counts(&self) -> [Row<'_>; 6] {
        [
            (
                "heads_cosigned",
                "Heads that this node has cosigned.",
                &self.heads_cosigned,
            ),
            (
                "heads_refused",
                "Heads that this node has not signed, by reason.",
                &self.heads_refused,
            ),
            (
                "heads_published",
                "Heads that this node has published.",
                &self.heads_published,
            ),
            (
                "cosignatures",
                "Cosignatures of others, and own ones, by what became of them.",
                &self.cosignatures,
            ),
            (
                "written_bytes",
                "Bytes of files that were written, by kind.",
                &self.bytes_written,
            ),
            (
                "catch_up_retries",
                "Tiles that no other node could give, or not rightly.",
                &self.catch_up_retries,
            ),
        ]
    }

    fn times(&self) -> [Row<'_>; 3] {
        [
            (
                "cosign_seconds",
                "From a head being decided to its cosignature being sent.",
                &self.cosign_seconds,
            ),
            (
                "publish_seconds",
                "From a head being decided to its being published.",
                &self.publish_seconds,
            ),
            (
                "sync_seconds",
                "How long it takes until all is durable.",
                &self.sync_seconds,
            ),
        ]
    }
}

/// [`EncodeMetric`] is no trait of objects.
trait Encode {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result;
}

impl<M: EncodeMetric> Encode for M {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result {
        let metric = encoder.encode_descriptor(name, help, None, self.metric_type())?;
        EncodeMetric::encode(self, metric)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_is_counted_is_exposed_under_names_of_the_log() {
        let metrics = Metrics::default();
        metrics.set_tree_size("s", 7);
        metrics.set_state("s", State::Halted);
        metrics.on_cosignature(Taken::Fork);
        metrics.on_cosignature_refused(Refused::Signature);
        metrics.on_head_refused("s", "signer");
        metrics.on_head_cosigned("s", 0.002);
        let written = Written {
            partial: 9,
            ..Written::default()
        };
        metrics.on_written("s", written);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        for line in [
            "nexus_ct_tree_size{shard=\"s\"} 7",
            "nexus_ct_shard_state{shard=\"s\",kind=\"halted\"} 1",
            "nexus_ct_shard_state{shard=\"s\",kind=\"following\"} 0",
            "nexus_ct_cosignatures_total{result=\"fork\"} 1",
            "nexus_ct_cosignatures_total{result=\"bad_signature\"} 1",
            "nexus_ct_heads_refused_total{shard=\"s\",kind=\"signer\"} 1",
            "nexus_ct_written_bytes_total{shard=\"s\",kind=\"partial_tiles\"} 9",
            "nexus_ct_cosign_seconds_bucket{le=\"0.0025\"} 1",
        ] {
            assert!(out.lines().any(|found| found == line), "{line}\n{out}");
        }
    }
}
