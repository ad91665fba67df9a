//! [`Alert`]: what is told, in the form in which it is kept, shown and sent.

use ct::Hash;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::alarm::{Alarm, AlarmKind};
use crate::logged::{LoggedCertificate, LoggedForm, Validation};
use crate::reply::KnownHead;
use crate::source::LogSource;
use crate::watchlist::{Match, Rule, Watchlist};

/// Names, and matches, that one alert tells of.
pub const ALERT_NAMES_MAX: usize = 100;

/// One alert, a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Counts up by one from alert to alert of this monitor.
    pub sequence: u64,
    /// The same for the same entry or misdeed: who gets an alert twice knows it by this. 32 hexadecimal digits.
    pub id: String,
    /// When it was found, in milliseconds since 1970.
    pub time_ms: u64,
    /// Name of the log.
    pub log: String,
    /// Id of the log, in hexadecimal digits.
    pub log_id: String,
    /// What was found.
    pub found: Found,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Found {
    /// A certificate for a watched name.
    Certificate(Box<FoundCertificate>),
    /// A misdeed of the log.
    Log(FoundAlarm),
}

/// A certificate for a watched name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundCertificate {
    /// Place of the entry in the log.
    pub index: u64,
    /// When the log took it, in milliseconds since 1970.
    pub logged_ms: u64,
    /// Which form was logged.
    pub form: LoggedForm,
    /// Whether this certificate was not seen before, in whichever log and form.
    pub first: bool,
    /// Which names match which watches; no more than [`ALERT_NAMES_MAX`].
    pub matches: Vec<FoundMatch>,
    /// How many there are.
    pub matches_total: u64,
    /// Its names; no more than [`ALERT_NAMES_MAX`].
    pub names: Vec<String>,
    /// How many there are.
    pub names_total: u64,
    /// Issuer's name.
    pub issuer: String,
    /// Serial number, in hexadecimal digits.
    pub serial: String,
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970.
    pub not_after: i64,
    /// How the issuer says that it validated the subject.
    pub validation: Option<Validation>,
    /// SHA-256 of the DER that was submitted, in hexadecimal digits.
    pub sha256: String,
    /// The same for precertificate and certificate, in all logs: by this, alerts are of one certificate.
    pub certificate: String,
}

/// A name and the watch that it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMatch {
    /// The name in the certificate.
    pub name: String,
    /// The watch.
    pub watch: String,
    /// Why it matches.
    pub rule: Rule,
}

/// A misdeed of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundAlarm {
    /// Which.
    pub alarm: AlarmKind,
    /// What was computed, for people.
    pub detail: String,
    /// The newest head that was found consistent with all before.
    pub known: FoundHead,
    /// The head that is not.
    pub seen: FoundHead,
    /// File with both heads as the log signed them, in the folder of evidence.
    pub evidence: String,
}

/// A head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundHead {
    /// Leaves.
    pub size: u64,
    /// Root, in hexadecimal digits.
    pub root: String,
    /// In milliseconds since 1970.
    pub timestamp_ms: u64,
}

impl Alert {
    /// About an entry. It has no sequence number yet.
    #[must_use]
    pub fn of_entry(
        source: &LogSource,
        (index, logged_ms): (u64, u64),
        certificate: &LoggedCertificate,
        found: Found,
        time_ms: u64,
    ) -> Self {
        let mut bytes = source.key.id().0.to_vec();
        bytes.extend_from_slice(&index.to_be_bytes());
        bytes.extend_from_slice(&logged_ms.to_be_bytes());
        bytes.extend_from_slice(&certificate.key.0);
        Self::new(source, &Hash::of(&bytes), time_ms, found)
    }

    /// About a misdeed, whose evidence is in a file of this name. It has no sequence number yet.
    #[must_use]
    pub fn of_alarm(source: &LogSource, alarm: &Alarm, evidence: String, time_ms: u64) -> Self {
        let found = Found::Log(FoundAlarm {
            alarm: alarm.kind,
            detail: alarm.detail.clone(),
            known: (&alarm.known).into(),
            seen: (&alarm.seen).into(),
            evidence,
        });
        Self::new(source, &alarm.id(source), time_ms, found)
    }

    fn new(source: &LogSource, id: &Hash, time_ms: u64, found: Found) -> Self {
        let mut id = HEXLOWER.encode(&id.0);
        id.truncate(32);
        Self {
            sequence: 0,
            id,
            time_ms,
            log: source.name.clone(),
            log_id: source.key.id().to_string(),
            found,
        }
    }
}

impl Found {
    /// A certificate with what its names match.
    #[must_use]
    pub fn certificate(
        (index, logged_ms): (u64, u64),
        certificate: &LoggedCertificate,
        matches: &[(usize, Match)],
        watchlist: &Watchlist,
        first: bool,
    ) -> Self {
        let shown = matches.iter().take(ALERT_NAMES_MAX);
        let shown = shown.filter_map(|(name, found)| {
            let watch = watchlist.patterns().get(found.watch as usize)?;
            Some(FoundMatch {
                name: certificate.names.get(*name)?.clone(),
                watch: watch.to_string(),
                rule: found.rule,
            })
        });
        let names = certificate.names.iter().take(ALERT_NAMES_MAX);
        Self::Certificate(Box::new(FoundCertificate {
            index,
            logged_ms,
            form: certificate.form,
            first,
            matches: shown.collect(),
            matches_total: matches.len() as u64,
            names: names.cloned().collect(),
            names_total: certificate.names.len() as u64,
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            validation: certificate.validation,
            sha256: certificate.sha256.to_string(),
            certificate: certificate.key.to_string(),
        }))
    }
}

impl From<&KnownHead> for FoundHead {
    fn from(known: &KnownHead) -> Self {
        Self {
            size: known.head.size,
            root: known.head.root.to_string(),
            timestamp_ms: known.head.timestamp_ms,
        }
    }
}
