//! [`MonitorStatus`]: what the monitor says about itself.

use serde::{Deserialize, Serialize};

/// The whole monitor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MonitorStatus {
    /// Logs, in the order of the configuration.
    pub logs: Vec<LogStatus>,
    /// Domains watched.
    pub watches: u64,
    /// Alerts since the file of alerts began.
    pub alerts: u64,
    /// Alerts that are kept.
    pub alerts_kept: u64,
    /// Attempts to write the file of alerts that failed.
    pub alert_write_failures: u64,
    /// Absent if none is configured.
    pub webhook: Option<WebhookStatus>,
    /// Certificates in the table.
    pub certificates: u64,
    /// Certificates that the table had no room for.
    pub certificates_evicted: u64,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogStatus {
    /// Name.
    pub name: String,
    /// Id, in hexadecimal digits.
    pub log_id: String,
    /// Where it is read.
    pub url: String,
    /// Leaves of the newest head that is believed.
    pub size: u64,
    /// Entries that were read, from the log's first on or from where following began.
    pub read: u64,
    /// Time of the newest head whose signature held, in milliseconds since 1970.
    pub head_timestamp_ms: Option<u64>,
    /// When the log last replied as it should, in milliseconds since 1970.
    pub replied_ms: Option<u64>,
    /// Entries read since the start.
    pub entries: u64,
    /// Entries that are no certificate, or one of which not all can be read.
    pub unreadable_entries: u64,
    /// Replies of any kind.
    pub fetches: u64,
    /// Bytes of replies, without content encoding.
    pub fetched_bytes: u64,
    /// Fetches that gave nothing to go on with.
    pub failures: u64,
    /// Failures in a row.
    pub failures_in_a_row: u64,
    /// The last failure, until something works.
    pub last_failure: Option<String>,
    /// Misdeeds with their evidence, since the start.
    pub alarms: u64,
    /// The last of them.
    pub last_alarm: Option<String>,
    /// Alerts about its certificates, since the start.
    pub alerts: u64,
    /// Why it is not followed: its state on the disk cannot be used.
    pub stopped: Option<String>,
}

/// Delivery of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WebhookStatus {
    /// Host of the receiver; the rest of its URL may be a secret.
    pub host: String,
    /// Alerts that are not delivered yet.
    pub pending: u64,
    /// Alerts delivered since the start.
    pub delivered: u64,
    /// Attempts that failed, since the start.
    pub failures: u64,
    /// Alerts given up, since the start.
    pub dropped: u64,
    /// The last failure, until something works.
    pub last_failure: Option<String>,
}
