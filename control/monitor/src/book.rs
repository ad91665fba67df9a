//! [`Book`]: what all logs and the webhook write to and everybody may read: alerts, certificates, status.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ct::{CertificateError, TimestampedEntry};
use tokio::sync::Notify;

use crate::alarm::Alarm;
use crate::alert::{Alert, Found};
use crate::alert_file::{AlertFile, AlertPage, KeptAlert};
use crate::certificates::{CertificateTable, CertificateUsage};
use crate::evidence::{EvidenceFolder, Kept};
use crate::scanner::Scanner;
use crate::source::LogSource;
use crate::status::{LogStatus, MonitorStatus, WebhookStatus};
use crate::watchlist::Watchlist;
use crate::webhook::{Outcome, WebhookQueue};

/// Shared by the tasks of one thread and by whoever asks; held for the time of a batch at most.
#[derive(Debug)]
pub(crate) struct Book {
    inner: Mutex<Pages>,
    /// Rung when alerts are on the disk.
    pub(crate) saved: Notify,
}

#[derive(Debug)]
struct Pages {
    scanner: Scanner,
    certificates: CertificateTable,
    alerts: AlertFile,
    evidence: EvidenceFolder,
    logs: Vec<LogStatus>,
    webhook: Option<(String, WebhookQueue, Option<String>)>,
    alert_write_failures: u64,
}

/// What became of an entry.
struct Seen {
    /// There is a new alert about it.
    is_alert: bool,
    /// All of it could be read.
    is_whole: bool,
}

/// What a book begins with.
pub(crate) struct BookSettings<'a> {
    pub(crate) watchlist: Watchlist,
    pub(crate) certificates_max: usize,
    pub(crate) alert_bytes_max: usize,
    pub(crate) folder: &'a Path,
    pub(crate) logs: Vec<LogStatus>,
    /// Host of the receiver, and the queue.
    pub(crate) webhook: Option<(String, WebhookQueue)>,
}

impl Book {
    pub(crate) fn open(settings: BookSettings<'_>) -> io::Result<Self> {
        let folder = settings.folder;
        let webhook = settings.webhook.map(|(host, queue)| (host, queue, None));
        let pages = Pages {
            scanner: Scanner::new(settings.watchlist),
            certificates: CertificateTable::new(settings.certificates_max),
            alerts: AlertFile::open(&folder.join("alerts.jsonl"), settings.alert_bytes_max)?,
            evidence: EvidenceFolder::open(&folder.join("evidence"))?,
            logs: settings.logs,
            webhook,
            alert_write_failures: 0,
        };
        Ok(Self {
            inner: Mutex::new(pages),
            saved: Notify::new(),
        })
    }

    /// Every change leaves the pages whole, so that a panic elsewhere spoils nothing.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the status of the log with this number.
    pub(crate) fn with_log(&self, log: usize, change: impl FnOnce(&mut LogStatus)) {
        if let Some(status) = self.pages().logs.get_mut(log) {
            change(status);
        }
    }

    /// Takes entries of a log in. Alerts about them are on the disk after [`Self::save`].
    pub(crate) fn on_entries(
        &self,
        (log, source): (usize, &LogSource),
        first: u64,
        entries: &[TimestampedEntry],
        now_ms: u64,
    ) {
        let mut pages = self.pages();
        let (mut unreadable, mut alerted) = (0, 0);
        for (index, entry) in (first..).zip(entries) {
            match pages.on_entry(source, index, entry, now_ms) {
                Ok(Seen { is_alert, is_whole }) => {
                    alerted += u64::from(is_alert);
                    unreadable += u64::from(!is_whole);
                }
                Err(error) => {
                    unreadable += 1;
                    tracing::debug!(log = source.name, index, %error, "an entry is no certificate");
                }
            }
        }
        if let Some(status) = pages.logs.get_mut(log) {
            status.entries += entries.len() as u64;
            status.unreadable_entries += unreadable;
            status.alerts += alerted;
        }
    }

    /// Takes a misdeed of a log in, with its evidence; once, however often the log shows the same.
    pub(crate) fn on_alarm(&self, (log, source): (usize, &LogSource), alarm: &Alarm, now_ms: u64) {
        let mut pages = self.pages();
        let evidence = match pages.evidence.keep(source, alarm) {
            Ok(Kept::New(name) | Kept::Known(name)) => name,
            Ok(Kept::Full) => "not kept: the folder is full".to_owned(),
            Err(error) => format!("not kept: {error}"),
        };
        let (kind, detail) = (alarm.kind, alarm.detail.as_str());
        // By the alerts, not by the file: after a crash between the two, the file is there and nobody was told.
        let alert = Alert::of_alarm(source, alarm, evidence.clone(), now_ms);
        if pages.alerts.add(alert).is_none() {
            return;
        }
        tracing::error!(log = source.name, detail, evidence, "{kind}");
        if let Some(status) = pages.logs.get_mut(log) {
            status.alarms += 1;
            status.last_alarm = Some(format!("{kind}: {detail}"));
        }
    }

    /// Brings all alerts to the disk; whether they are there.
    pub(crate) fn save(&self) -> bool {
        let mut pages = self.pages();
        let saved = pages.alerts.save();
        if let Err(error) = &saved {
            pages.alert_write_failures += 1;
            tracing::error!(%error, "alerts cannot be written");
        }
        drop(pages);
        self.saved.notify_one();
        saved.is_ok()
    }

    /// The alert that is to be delivered next.
    pub(crate) fn next_delivery(&self) -> Option<KeptAlert> {
        let pages = &mut *self.pages();
        let (_, queue, _) = pages.webhook.as_mut()?;
        queue.next(&pages.alerts)
    }

    /// Takes what came of it: the place of the queue if it moved, or the time to wait in milliseconds.
    pub(crate) fn on_delivery(
        &self,
        outcome: Outcome,
        failure: Option<String>,
    ) -> Result<u64, u64> {
        let mut pages = self.pages();
        let Some((_, queue, last_failure)) = pages.webhook.as_mut() else {
            return Ok(0);
        };
        *last_failure = failure;
        match queue.on_outcome(outcome) {
            Some(wait_ms) => Err(wait_ms),
            None => Ok(queue.place()),
        }
    }

    pub(crate) fn page(&self, cursor: u64) -> AlertPage {
        self.pages().alerts.page(cursor)
    }

    pub(crate) fn certificates(&self, name: Option<&str>) -> Vec<CertificateUsage> {
        self.pages().certificates.find(name)
    }

    pub(crate) fn status(&self) -> MonitorStatus {
        let pages = self.pages();
        let next = pages.alerts.next_sequence();
        let webhook = pages.webhook.as_ref();
        MonitorStatus {
            logs: pages.logs.clone(),
            watches: pages.scanner.watchlist().patterns().len() as u64,
            alerts: next - 1,
            alerts_kept: pages.alerts.count() as u64,
            alert_write_failures: pages.alert_write_failures,
            webhook: webhook.map(|(host, queue, last_failure)| WebhookStatus {
                host: host.clone(),
                pending: next.saturating_sub(queue.place()),
                delivered: queue.delivered(),
                failures: queue.failed(),
                dropped: queue.dropped(),
                last_failure: last_failure.clone(),
            }),
            certificates: pages.certificates.count() as u64,
            certificates_evicted: pages.certificates.evicted(),
        }
    }
}

impl Pages {
    fn on_entry(
        &mut self,
        source: &LogSource,
        index: u64,
        entry: &TimestampedEntry,
        now_ms: u64,
    ) -> Result<Seen, CertificateError> {
        let scanned = self.scanner.scan(entry)?;
        let (certificate, matches) = (&scanned.certificate, &scanned.matches);
        let (is_watched, is_whole) = (!matches.is_empty(), certificate.is_whole);
        let log = source.name.as_str();
        let first = self.certificates.see(certificate, log, is_watched, now_ms);
        if !is_watched {
            let is_alert = false;
            return Ok(Seen { is_alert, is_whole });
        }
        let place = (index, entry.timestamp_ms());
        let watchlist = self.scanner.watchlist();
        let found = Found::certificate(place, certificate, matches, watchlist, first);
        if let Found::Certificate(found) = &found {
            // With escapes: names come from strangers.
            let (names, issuer) = (&found.matches, &found.issuer);
            tracing::warn!(
                log,
                index,
                ?names,
                ?issuer,
                "a certificate for a watched name"
            );
        }
        let alert = Alert::of_entry(source, place, certificate, found, now_ms);
        let is_alert = self.alerts.add(alert).is_some();
        Ok(Seen { is_alert, is_whole })
    }
}
