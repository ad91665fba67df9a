//! [`Meter`]: calls by kind and status, and how long they took.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Upper ends of the histogram's buckets, in seconds: from a tile in memory to a submission that times out.
const BUCKETS_S: [f64; 14] = [
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Index,
    LogList,
    Policy,
    Checkpoint,
    WitnessedCheckpoint,
    Tile,
    Issuer,
    AddChain,
    AddPreChain,
    GetSth,
    GetSthConsistency,
    GetProofByHash,
    GetEntries,
    GetRoots,
    GetEntryAndProof,
    AddCheckpoint,
}

impl Call {
    /// Its name in metrics; of a call of RFC 6962, also the last step of its path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::LogList => "log-list",
            Self::Policy => "policy",
            Self::Checkpoint => "checkpoint",
            Self::WitnessedCheckpoint => "witnessed-checkpoint",
            Self::Tile => "tile",
            Self::Issuer => "issuer",
            Self::AddChain => "add-chain",
            Self::AddPreChain => "add-pre-chain",
            Self::GetSth => "get-sth",
            Self::GetSthConsistency => "get-sth-consistency",
            Self::GetProofByHash => "get-proof-by-hash",
            Self::GetEntries => "get-entries",
            Self::GetRoots => "get-roots",
            Self::GetEntryAndProof => "get-entry-and-proof",
            Self::AddCheckpoint => "add-checkpoint",
        }
    }
}

/// Counts calls. Clones count together. Register one as a collector.
#[derive(Debug, Clone)]
pub struct Meter {
    requests: Family<[(&'static str, String); 2], Counter>,
    seconds: Family<[(&'static str, &'static str); 1], Histogram>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS_S)),
        }
    }
}

impl Meter {
    pub(super) fn record(&self, call: Call, status: StatusCode, took: Duration) {
        let call = ("call", call.name());
        let status = ("status", status.as_str().to_owned());
        let labels = [(call.0, call.1.to_owned()), status];
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&[call])
            .observe(took.as_secs_f64());
    }
}

impl Collector for Meter {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (name, help) = (
            "nexus_ct_http_requests",
            "Calls of the log's HTTP API, by call and status.",
        );
        let kind = self.requests.metric_type();
        let out = encoder.encode_descriptor(name, help, None, kind)?;
        self.requests.encode(out)?;
        let (name, help) = (
            "nexus_ct_http_request_seconds",
            "From a whole request head to the head of the reply, by call.",
        );
        let kind = self.seconds.metric_type();
        let out = encoder.encode_descriptor(name, help, None, kind)?;
        self.seconds.encode(out)
    }
}
