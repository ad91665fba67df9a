//! The ledger's numbers in Prometheus form, read a moment before the scrape.

use std::fmt;

use ledger::Ledger;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// What all nodes hold alike, as far as this one is.
#[derive(Debug)]
pub(super) struct Figures {
    zones: usize,
    records: usize,
    answers: usize,
    isolated: usize,
    shut_out: usize,
    proposals: usize,
    /// Millionths by member.
    scores: Vec<(String, u32)>,
}

impl Figures {
    pub(super) fn read(ledger: &Ledger) -> Self {
        let members = || ledger.members().map(consensus::Member::id);
        let assessed = members().filter_map(|id| ledger.assess(id));
        let isolated = assessed.filter(|known| known.isolation.is_some());
        let scores = members().filter_map(|id| {
            let score = ledger.score(id)?;
            Some((id.to_string(), score.micros()))
        });
        Self {
            zones: ledger.zones().count(),
            records: ledger.zones().map(|zone| zone.records_count()).sum(),
            answers: ledger.answers_count(),
            isolated: isolated.count(),
            shut_out: ledger.shut_out().len(),
            proposals: ledger.proposals().count(),
            scores: scores.collect(),
        }
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let rows = [
            (
                "nexus_ledger_zones",
                "Zones that are agreed on.",
                self.zones,
            ),
            (
                "nexus_ledger_records",
                "Records of zones that are agreed on.",
                self.records,
            ),
            (
                "nexus_ledger_answers",
                "Validated answers that have not expired.",
                self.answers,
            ),
            (
                "nexus_ledger_isolated_members",
                "Members that are isolated by decision of the cluster.",
                self.isolated,
            ),
            (
                "nexus_ledger_shut_out_members",
                "Voters whose traffic is dropped: of those isolated, as many as may be faulty.",
                self.shut_out,
            ),
            (
                "nexus_ledger_proposals",
                "Changes of members that wait for support.",
                self.proposals,
            ),
        ];
        for (metric, help, value) in rows {
            let out = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
            gauge(value).encode(out)?;
        }
        let (metric, help) = (
            "nexus_ledger_score_millionths",
            "Score of each member: 500,000 is neutral.",
        );
        let mut out = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
        self.scores.iter().try_for_each(|(node, score)| {
            let labels = [("peer", node.as_str())];
            ConstGauge::new(i64::from(*score)).encode(out.encode_family(&labels)?)
        })
    }
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
