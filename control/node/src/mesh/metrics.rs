//! The mesh's numbers in Prometheus form, read at the moment of the scrape.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counters::{Counters, Kinds};
use super::network::Peers;
use super::peer::PeerStatus;

/// What a network counts. Register it as a collector.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pub(super) counters: Arc<Counters>,
    pub(super) peers: Arc<ArcSwap<Peers>>,
}

type Labels = Vec<(&'static str, String)>;

impl Collector for Telemetry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_messages(&mut encoder)?;
        self.encode_reasons(&mut encoder)?;
        self.encode_peers(&mut encoder)
    }
}

impl Telemetry {
    fn encode_messages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Counters { sent, received, .. } = &*self.counters;
        let rows = |pick: fn((&'static str, u64, u64)) -> (&'static str, u64)| {
            let rows = |direction: &'static str, kinds: &Kinds| {
                let rows = kinds.rows().map(pick).filter(|(_, value)| *value > 0);
                let rows = rows.map(move |(kind, value)| {
                    let labels = vec![("direction", direction.into()), ("kind", kind.into())];
                    (labels, value)
                });
                rows.collect::<Vec<_>>()
            };
            [rows("sent", sent), rows("received", received)].concat()
        };
        counters(
            encoder,
            "nexus_mesh_messages",
            "Messages between nodes, by direction and kind.",
            &rows(|(kind, messages, _)| (kind, messages)),
        )?;
        counters(
            encoder,
            "nexus_mesh_message_bytes",
            "Bytes of messages between nodes, by direction and kind.",
            &rows(|(kind, _, bytes)| (kind, bytes)),
        )?;
        let known = self.counters.signatures_known.get();
        let checked = self.counters.signatures.get();
        let rows = [("checked", checked), ("known", known)];
        let rows = rows.map(|(result, value)| (vec![("result", result.to_owned())], value));
        counters(
            encoder,
            "nexus_mesh_signatures",
            "Signatures of other nodes, by whether they were checked or known from before.",
            &rows,
        )
    }

    fn encode_reasons(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let reason = |word: &str| vec![("reason", word.to_owned())];
        let rows = self.counters.losses();
        let rows: Vec<_> = rows
            .map(|(drop, value)| (reason(drop.word()), value))
            .collect();
        counters(
            encoder,
            "nexus_mesh_drops",
            "Messages between nodes that were dropped, by reason.",
            &rows,
        )?;
        let rows = self.counters.refusals();
        let rows: Vec<_> = rows
            .map(|(why, value)| (reason(why.word()), value))
            .collect();
        counters(
            encoder,
            "nexus_mesh_refusals",
            "Connections between nodes that did not come about, by reason.",
            &rows,
        )
    }

    fn encode_peers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let peers: Vec<_> = self
            .peers
            .load()
            .values()
            .map(|peer| peer.status())
            .collect();
        let rows = |value: fn(&PeerStatus) -> Option<u64>| {
            let rows = peers.iter().filter_map(|peer| {
                let labels = vec![("peer", peer.id.to_string())];
                value(peer).map(|value| (labels, value))
            });
            rows.collect::<Vec<_>>()
        };
        gauges(
            encoder,
            "nexus_mesh_connected",
            "1 while there is a connection with this node, else 0.",
            &rows(|peer| Some(peer.is_connected.into())),
        )?;
        gauges(
            encoder,
            "nexus_mesh_round_trip_microseconds",
            "Round trip to this node, as QUIC measures it.",
            &rows(|peer| peer.round_trip_us),
        )?;
        counters(
            encoder,
            "nexus_mesh_connects",
            "Connections that came about with this node.",
            &rows(|peer| Some(peer.connects)),
        )?;
        counters(
            encoder,
            "nexus_mesh_bad_signatures",
            "Messages from this node with a signature that does not hold.",
            &rows(|peer| Some(peer.bad_signatures)),
        )
    }
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &[(Labels, u64)],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    rows.iter().try_for_each(|(labels, value)| {
        ConstCounter::new(*value).encode(metric.encode_family(labels)?)
    })
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &[(Labels, u64)],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    rows.iter().try_for_each(|(labels, value)| {
        let value = i64::try_from(*value).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(metric.encode_family(labels)?)
    })
}
