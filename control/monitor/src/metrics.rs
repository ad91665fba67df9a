//! `nexus_ct_monitor_*`: the monitor's status as metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::status::{LogStatus, MonitorStatus, WebhookStatus};

/// A status, to be read by a scrape.
#[derive(Debug)]
pub struct MonitorMetrics(pub MonitorStatus);

/// Metric, help, and where the value comes from. The encoder adds `_total` to counters itself.
type Row<T> = (&'static str, &'static str, fn(&T) -> u64);

const LOG_GAUGES: [Row<LogStatus>; 4] = [
    (
        "nexus_ct_monitor_log_size_entries",
        "Entries in the newest head that is believed.",
        |log| log.size,
    ),
    (
        "nexus_ct_monitor_log_read_entries",
        "Entries up to which the log was read.",
        |log| log.read,
    ),
    (
        "nexus_ct_monitor_log_head_timestamp_seconds",
        "Time of the newest head, since 1970.",
        |log| log.head_timestamp_ms.unwrap_or_default() / 1_000,
    ),
    (
        "nexus_ct_monitor_log_stopped",
        "1 if the log is not followed, because its state on the disk cannot be used.",
        |log| u64::from(log.stopped.is_some()),
    ),
];

const LOG_COUNTERS: [Row<LogStatus>; 7] = [
    (
        "nexus_ct_monitor_entries",
        "Entries that were read and are of the log's tree.",
        |log| log.entries,
    ),
    (
        "nexus_ct_monitor_unreadable_entries",
        "Entries that are no certificate, or one of which not all can be read.",
        |log| log.unreadable_entries,
    ),
    ("nexus_ct_monitor_fetches", "Fetches from the log.", |log| {
        log.fetches
    }),
    (
        "nexus_ct_monitor_fetched_bytes",
        "Bytes of replies, without content encoding.",
        |log| log.fetched_bytes,
    ),
    (
        "nexus_ct_monitor_failures",
        "Fetches that gave nothing to go on with.",
        |log| log.failures,
    ),
    (
        "nexus_ct_monitor_alarms",
        "Misdeeds of the log: forks, heads that went back, false entries.",
        |log| log.alarms,
    ),
    (
        "nexus_ct_monitor_certificate_alerts",
        "Alerts about certificates for watched names.",
        |log| log.alerts,
    ),
];

const GAUGES: [Row<MonitorStatus>; 2] = [
    ("nexus_ct_monitor_watches", "Domains watched.", |all| {
        all.watches
    }),
    (
        "nexus_ct_monitor_certificates",
        "Certificates in the table.",
        |all| all.certificates,
    ),
];

const COUNTERS: [Row<MonitorStatus>; 2] = [
    (
        "nexus_ct_monitor_evicted_certificates",
        "Certificates that the table had no room for.",
        |all| all.certificates_evicted,
    ),
    (
        "nexus_ct_monitor_alert_write_failures",
        "Attempts to write the file of alerts that failed.",
        |all| all.alert_write_failures,
    ),
];

const WEBHOOK_GAUGES: [Row<WebhookStatus>; 1] = [(
    "nexus_ct_monitor_webhook_pending_alerts",
    "Alerts that are not delivered yet.",
    |webhook| webhook.pending,
)];

const WEBHOOK_COUNTERS: [Row<WebhookStatus>; 3] = [
    (
        "nexus_ct_monitor_webhook_delivered_alerts",
        "Alerts that the webhook's receiver has.",
        |webhook| webhook.delivered,
    ),
    (
        "nexus_ct_monitor_webhook_failures",
        "Attempts to deliver an alert that failed.",
        |webhook| webhook.failures,
    ),
    (
        "nexus_ct_monitor_webhook_dropped_alerts",
        "Alerts that were given up, or forgotten before they were delivered.",
        |webhook| webhook.dropped,
    ),
];

impl Collector for MonitorMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (all, encoder) = (&self.0, &mut encoder);
        write(encoder, MetricType::Gauge, &GAUGES, all)?;
        write(encoder, MetricType::Counter, &COUNTERS, all)?;
        if let Some(webhook) = &all.webhook {
            write(encoder, MetricType::Gauge, &WEBHOOK_GAUGES, webhook)?;
            write(encoder, MetricType::Counter, &WEBHOOK_COUNTERS, webhook)?;
        }
        write_logs(encoder, MetricType::Gauge, &LOG_GAUGES, &all.logs)?;
        write_logs(encoder, MetricType::Counter, &LOG_COUNTERS, &all.logs)
    }
}

fn write<T>(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    rows: &[Row<T>],
    of: &T,
) -> fmt::Result {
    for (name, help, value) in rows {
        let encoder = encoder.encode_descriptor(name, help, None, kind)?;
        write_value(kind, value(of), encoder)?;
    }
    Ok(())
}

fn write_logs(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    rows: &[Row<LogStatus>],
    logs: &[LogStatus],
) -> fmt::Result {
    for (name, help, value) in rows {
        let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
        for log in logs {
            let labels = [("log", log.name.as_str())];
            write_value(kind, value(log), encoder.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn write_value(kind: MetricType, value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(value).encode(encoder),
    }
}
