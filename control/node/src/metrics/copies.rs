//! Numbers of zones that are copied from primaries.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Sample, Snapshot, write};
use crate::admin::CopyStatus;
use crate::counters::Kind;

/// Metric, help, kind, and where the value comes from; `None`: there is none.
type CopyRow = (
    &'static str,
    &'static str,
    Kind,
    fn(&CopyStatus) -> Option<u64>,
);

/// Numbers of each zone that is copied from primaries.
const COPY_ROWS: &[CopyRow] = &[
    (
        "nexus_copied_zone_in_service",
        "1 while data of a zone that is copied from primaries are in service; 0 before the first \
         transfer and after the zone has expired.",
        Kind::Gauge,
        |copy| Some(u64::from(copy.serial.is_some())),
    ),
    (
        "nexus_copied_zone_serial",
        "SOA serial in service of a zone that is copied from primaries.",
        Kind::Gauge,
        |copy| copy.serial.map(u64::from),
    ),
    (
        "nexus_copied_zone_records",
        "Records in service of a zone that is copied from primaries.",
        Kind::Gauge,
        |copy| Some(copy.records),
    ),
    (
        "nexus_copied_zone_confirmed_age_seconds",
        "Time since a primary has last sent or confirmed a zone that is copied.",
        Kind::Gauge,
        |copy| copy.confirmed_secs_ago,
    ),
    (
        "nexus_copied_zone_failures_total",
        "Questions to primaries of a zone that is copied that gave nothing.",
        Kind::Counter,
        |copy| Some(copy.failures),
    ),
];

impl Snapshot {
    pub(super) fn encode_copies(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (metric, help, kind, value) in COPY_ROWS {
            let samples: Vec<_> = self
                .copies
                .iter()
                .filter_map(|copy| {
                    let zone = ("zone", copy.zone.clone());
                    let purpose = ("purpose", copy.purpose.word().to_owned());
                    let labels = vec![zone, purpose];
                    let value = value(copy)?;
                    Some(Sample { labels, value })
                })
                .collect();
            if !samples.is_empty() {
                write(encoder, metric, help, *kind, &samples)?;
            }
        }
        Ok(())
    }
}
