//! [`Records`]: what became of each copy, for people and for Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ct::TreeHead;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{CopyError, Progress, ShardCopy};
use crate::ShardReader;

/// How far a copy of a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatus {
    /// The place.
    pub place: String,
    /// Name of the shard.
    pub shard: String,
    /// Entries that the store shows.
    pub size: Option<u64>,
    /// Entries that are published here and that the store does not show.
    pub lag_entries: u64,
    /// How much older its head is than the published one. None: it has none, or there is none here.
    pub lag: Option<Duration>,
    /// Why it does not get further, and for how long.
    pub fault: Option<(String, Duration)>,
}

/// Labels of a copy.
type OfCopy = [(&'static str, String); 2];

/// Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    by_copy: Arc<Mutex<BTreeMap<OfCopy, Record>>>,
    bytes: Family<OfCopy, Counter>,
    failures: Family<[(&'static str, String); 3], Counter>,
}

#[derive(Debug, Default)]
struct Record {
    shown: Option<TreeHead>,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    since: Instant,
    message: String,
}

fn labels(place: &str, reader: &ShardReader) -> OfCopy {
    let shard = reader.spec().window.name.clone();
    [("place", place.to_owned()), ("shard", shard)]
}

impl Records {
    pub(super) fn on_step(&self, copy: &mut ShardCopy, advanced: &Result<Progress, CopyError>) {
        let labels = labels(copy.place().name(), copy.reader());
        self.bytes.get_or_create(&labels).inc_by(copy.take_bytes());
        if let Err(error) = advanced {
            let [place, shard] = labels.clone();
            let labels = [place, shard, ("reason", error.kind().to_owned())];
            self.failures.get_or_create(&labels).inc();
        }
        let mut by_copy = self.by_copy.lock().unwrap_or_else(PoisonError::into_inner);
        let record = by_copy.entry(labels).or_default();
        record.shown = copy.shown();
        record.fault = advanced.as_ref().err().map(|error| Fault {
            since: record
                .fault
                .as_ref()
                .map_or_else(Instant::now, |fault| fault.since),
            message: error.to_string(),
        });
    }

    pub(super) fn status(&self, place: &str, reader: &ShardReader) -> CopyStatus {
        let labels = labels(place, reader);
        let published = reader.published().map(|published| published.signed.head);
        let by_copy = self.by_copy.lock().unwrap_or_else(PoisonError::into_inner);
        let record = by_copy.get(&labels);
        let shown = record.and_then(|record| record.shown);
        let fault = record.and_then(|record| record.fault.as_ref());
        let [(_, place), (_, shard)] = labels;
        let size = shown.map(|head| head.size);
        let lag = |(published, shown): (TreeHead, TreeHead)| {
            Duration::from_millis(published.timestamp_ms.saturating_sub(shown.timestamp_ms))
        };
        CopyStatus {
            place,
            shard,
            size,
            lag_entries: published.map_or(0, |head| head.size.saturating_sub(size.unwrap_or(0))),
            lag: published.zip(shown).map(lag),
            fault: fault.map(|fault| (fault.message.clone(), fault.since.elapsed())),
        }
    }

    pub(super) fn encode(
        &self,
        mut encoder: DescriptorEncoder<'_>,
        copies: &[CopyStatus],
    ) -> fmt::Result {
        let sizes = Family::<OfCopy, Gauge<u64, AtomicU64>>::default();
        let lags = Family::<OfCopy, Gauge<u64, AtomicU64>>::default();
        let ages = Family::<OfCopy, Gauge<f64, AtomicU64>>::default();
        for copy in copies {
            let labels = [("place", copy.place.clone()), ("shard", copy.shard.clone())];
            sizes.get_or_create(&labels).set(copy.size.unwrap_or(0));
            lags.get_or_create(&labels).set(copy.lag_entries);
            if let Some(lag) = copy.lag {
                ages.get_or_create(&labels).set(lag.as_secs_f64());
            }
        }
        let help = "Entries that a copy shows.";
        encode(&mut encoder, "size", help, &sizes)?;
        let help = "Entries that are published and that a copy does not show.";
        encode(&mut encoder, "lag_entries", help, &lags)?;
        let help = "How much older a copy's head is than the published one.";
        encode(&mut encoder, "lag_seconds", help, &ages)?;
        let help = "Bytes of objects that have arrived.";
        encode(&mut encoder, "bytes", help, &self.bytes)?;
        let help = "Times that a copy could not be brought up to date, by reason.";
        encode(&mut encoder, "failures", help, &self.failures)
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let name = format!("nexus_ct_copy_{name}");
    let descriptor = encoder.encode_descriptor(&name, help, None, metric.metric_type())?;
    metric.encode(descriptor)
}
