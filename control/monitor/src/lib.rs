//! Monitor of Certificate Transparency: follows logs, holds them to what they signed, watches the names in their entries, and
//! tells of what it finds.
//!
//! The core is pure: [`Follower`] for one log, [`Watchlist`] for names. Around it are the shell's parts, which own files, sockets
//! and time.

#![forbid(unsafe_code)]

mod backoff;
mod source;

mod alarm;
mod beginning;
mod follower;
mod proving;
mod reading;
mod reply;
mod state;

mod edit;
mod look;
mod pattern;
mod watchlist;

mod alert;
mod certificates;
mod logged;
mod scanner;

mod hints;
mod metrics;
mod status;
mod webhook;

mod alert_file;
mod evidence;

mod book;
mod client;
mod delivering;
mod following;
mod monitor;

pub use alarm::{Alarm, AlarmKind};
pub use alert::{
    ALERT_NAMES_MAX, Alert, Found, FoundAlarm, FoundCertificate, FoundHead, FoundMatch,
};
pub use alert_file::{
    ALERT_FILE_BYTES_MAX, AlertFile, AlertPage, KeptAlert, PAGE_ALERTS_MAX, read_alerts,
};
pub use backoff::{BACKOFF_MAX_MS, Backoff};
pub use certificates::{
    CertificateTable, CertificateUsage, FOUND_CERTIFICATES_MAX, KEPT_NAMES_MAX, LoggedForms,
};
pub use client::machine_tls;
pub use edit::EDIT_VARIANTS_MAX;
pub use evidence::{EVIDENCE_FILES_MAX, EvidenceFolder, Kept};
pub use follower::{
    BATCH_ENTRIES_MAX, Body, Event, FetchError, Follower, PARALLEL_FETCHES_MAX, PATIENCE_MAX_MS,
    STALE_HEADS_MAX, Step,
};
pub use hints::{fresh_ms, retry_after_ms};
pub use logged::{
    ISSUER_CHARACTERS_MAX, LoggedCertificate, LoggedForm, SERIAL_OCTETS_MAX, Validation,
};
pub use metrics::MonitorMetrics;
pub use monitor::{Monitor, MonitorError, MonitorHandle, MonitorSettings, WebhookSettings};
pub use pattern::{DOMAIN_CHARACTERS_MAX, EDIT_DISTANCE_MAX, PatternError, Scope, WatchPattern};
pub use reply::{KnownHead, ReplyError, read_consistency, read_get_entries, read_inclusion};
pub use scanner::{Scanned, Scanner};
pub use source::{ENTRIES_BYTES_MAX, Fetch, LogSource, REPLY_BYTES_MAX, Start};
pub use state::{LogState, STATE_BYTES_MAX, StateError};
pub use status::{LogStatus, MonitorStatus, WebhookStatus};
pub use watchlist::{Match, Rule, Scratch, WATCHES_MAX, Watchlist, WatchlistError};
pub use webhook::{
    ALERT_ID_HEADER, Outcome, REFUSALS_MAX, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookQueue, sign,
};
