//! What the guard of the consensus port counts in the kernel, as the dataplane passes it on.

use std::fmt;

use exchange::{GUARD_OUTCOME_NAMES, GuardReport, GuardedPeer, Region};
use prometheus_client::encoding::DescriptorEncoder;

use super::{Sample, write};
use crate::counters::Kind;

/// Metric, help, and where the value of one peer comes from.
type PeerRow = (&'static str, &'static str, fn(&GuardedPeer) -> u64);

const PEER_ROWS: &[PeerRow] = &[
    (
        "nexus_consensus_guard_peer_packets_total",
        "Datagrams from a peer to the consensus port, dropped ones too.",
        |peer| peer.packets,
    ),
    (
        "nexus_consensus_guard_peer_bytes_total",
        "Bytes of datagrams from a peer to the consensus port, dropped ones too.",
        |peer| peer.bytes,
    ),
    (
        "nexus_consensus_guard_peer_dropped_packets_total",
        "Datagrams from a peer that the guard dropped.",
        |peer| peer.dropped_shape + peer.dropped_rate + peer.dropped_isolated,
    ),
];

pub(super) fn encode(region: &Region, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // Absent while it is being written: a scrape later it is there.
    let Some(report) = region.guard_report() else {
        return Ok(());
    };
    let active = Sample {
        labels: Vec::new(),
        value: u64::from(report.active),
    };
    let help = "1 while consensus_coord guards the consensus port.";
    write(
        encoder,
        "nexus_consensus_guard_active",
        help,
        Kind::Gauge,
        &[active],
    )?;
    let (metric, help) = (
        "nexus_consensus_guard_passed_packets_total",
        "Datagrams to the consensus port that the guard let through, by who sent them.",
    );
    let passed = outcomes(&report, true, "sender");
    write(encoder, metric, help, Kind::Counter, &passed)?;
    let (metric, help) = (
        "nexus_consensus_guard_dropped_packets_total",
        "Datagrams to the consensus port that the guard dropped, by reason.",
    );
    let dropped = outcomes(&report, false, "reason");
    write(encoder, metric, help, Kind::Counter, &dropped)?;
    for (metric, help, value) in PEER_ROWS {
        let samples: Vec<_> = report
            .peers
            .iter()
            .map(|peer| Sample {
                labels: vec![("node", format!("{:016x}", peer.node_id))],
                value: value(peer),
            })
            .collect();
        if !samples.is_empty() {
            write(encoder, metric, help, Kind::Counter, &samples)?;
        }
    }
    Ok(())
}

fn outcomes(report: &GuardReport, passed: bool, label: &'static str) -> Vec<Sample> {
    let named = GUARD_OUTCOME_NAMES.iter().zip(report.outcomes);
    named
        .filter(|((is_passed, _), _)| *is_passed == passed)
        .map(|((_, name), value)| Sample {
            labels: vec![(label, (*name).to_owned())],
            value,
        })
        .collect()
}
