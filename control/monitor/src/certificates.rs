//! [`CertificateTable`]: what was seen of each certificate, for the latest of them.

use std::collections::{BTreeMap, HashMap};

use ct::Hash;
use serde::{Deserialize, Serialize};

use crate::logged::{LoggedCertificate, LoggedForm, Validation};

/// Names that are kept of one certificate.
pub const KEPT_NAMES_MAX: usize = 32;

/// Certificates that one question finds.
pub const FOUND_CERTIFICATES_MAX: usize = 256;

/// What was seen of one certificate since the monitor started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateUsage {
    /// SHA-256 of issuer and serial number, in hexadecimal digits.
    pub certificate: String,
    /// Its names; no more than [`KEPT_NAMES_MAX`].
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
    /// When it was first seen, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// When it was last seen, in milliseconds since 1970.
    pub last_seen_ms: u64,
    /// Entries of it, in all logs.
    pub entries: u64,
    /// Names of the logs that have it.
    pub logs: Vec<String>,
    /// What of it is logged.
    pub ct_status: LoggedForms,
    /// Timestamps of logs in the issued certificate; none if only the precertificate was seen.
    pub embedded_scts: Option<u64>,
    /// Whether it is for a watched name.
    pub watched: bool,
}

/// What of a certificate is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoggedForms {
    /// That it was to be issued.
    Precertificate,
    /// That it was issued, and not before.
    Certificate,
    /// Both.
    Both,
}

/// The latest certificates. The first to go are those for no watched name, longest not seen first; then the others likewise.
#[derive(Debug)]
pub struct CertificateTable {
    certificates_max: usize,
    usages: HashMap<Hash, (u64, CertificateUsage)>,
    /// By when they were last seen: of watched names, and of others.
    watched: BTreeMap<u64, Hash>,
    others: BTreeMap<u64, Hash>,
    clock: u64,
    evicted: u64,
}

impl CertificateTable {
    /// Of at most so many.
    #[must_use]
    pub fn new(certificates_max: usize) -> Self {
        Self {
            certificates_max: certificates_max.max(1),
            usages: HashMap::new(),
            watched: BTreeMap::new(),
            others: BTreeMap::new(),
            clock: 0,
            evicted: 0,
        }
    }

    /// Takes an entry of a log in; whether its certificate was not known.
    pub fn see(
        &mut self,
        certificate: &LoggedCertificate,
        log: &str,
        is_watched: bool,
        now_ms: u64,
    ) -> bool {
        self.clock += 1;
        let clock = self.clock;
        let known = self.usages.get_mut(&certificate.key);
        let is_first = known.is_none();
        match known {
            Some((seen, usage)) => {
                let order = if usage.watched {
                    &mut self.watched
                } else {
                    &mut self.others
                };
                order.remove(seen);
                *seen = clock;
                usage.see(certificate, log, is_watched, now_ms);
                let order = if usage.watched {
                    &mut self.watched
                } else {
                    &mut self.others
                };
                order.insert(clock, certificate.key);
            }
            None => {
                let usage = CertificateUsage::new(certificate, log, is_watched, now_ms);
                self.usages.insert(certificate.key, (clock, usage));
                let order = if is_watched {
                    &mut self.watched
                } else {
                    &mut self.others
                };
                order.insert(clock, certificate.key);
                self.evict();
            }
        }
        is_first
    }

    fn evict(&mut self) {
        while self.usages.len() > self.certificates_max {
            let oldest = self.others.pop_first().or_else(|| self.watched.pop_first());
            let Some((_, key)) = oldest else { return };
            self.usages.remove(&key);
            self.evicted += 1;
        }
    }

    /// Certificates for a name or below it, latest first, at most [`FOUND_CERTIFICATES_MAX`]; all of them without name.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Vec<CertificateUsage> {
        let wanted = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let is_wanted = |usage: &CertificateUsage| match &wanted {
            Some(wanted) => usage.names.iter().any(|name| is_at_or_below(name, wanted)),
            None => true,
        };
        let mut found: Vec<_> = self.usages.values().collect();
        found.retain(|(_, usage)| is_wanted(usage));
        found.sort_unstable_by_key(|(seen, _)| core::cmp::Reverse(*seen));
        found.truncate(FOUND_CERTIFICATES_MAX);
        found.into_iter().map(|(_, usage)| usage.clone()).collect()
    }

    /// Certificates in it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.usages.len()
    }

    /// Certificates that had to go.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    let above = name.strip_suffix(domain);
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

impl CertificateUsage {
    fn new(certificate: &LoggedCertificate, log: &str, is_watched: bool, now_ms: u64) -> Self {
        let names = certificate.names.iter().take(KEPT_NAMES_MAX);
        let mut usage = Self {
            certificate: certificate.key.to_string(),
            names: names.cloned().collect(),
            names_total: certificate.names.len() as u64,
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            validation: certificate.validation,
            first_seen_ms: now_ms,
            last_seen_ms: now_ms,
            entries: 0,
            logs: Vec::new(),
            ct_status: match certificate.form {
                LoggedForm::Precertificate => LoggedForms::Precertificate,
                LoggedForm::Certificate => LoggedForms::Certificate,
            },
            embedded_scts: None,
            watched: false,
        };
        usage.see(certificate, log, is_watched, now_ms);
        usage
    }

    fn see(&mut self, certificate: &LoggedCertificate, log: &str, is_watched: bool, now_ms: u64) {
        self.last_seen_ms = now_ms;
        self.entries += 1;
        self.watched |= is_watched;
        if !self.logs.iter().any(|known| known == log) {
            self.logs.push(log.to_owned());
        }
        let is_new_form = match certificate.form {
            LoggedForm::Precertificate => self.ct_status == LoggedForms::Certificate,
            LoggedForm::Certificate => {
                self.embedded_scts = Some(certificate.embedded_scts);
                self.ct_status == LoggedForms::Precertificate
            }
        };
        if is_new_form {
            self.ct_status = LoggedForms::Both;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(number: u8, name: &str, form: LoggedForm) -> LoggedCertificate {
        LoggedCertificate {
            names: vec![name.to_owned()],
            issuer: "CN=issuer".to_owned(),
            serial: format!("{number:02x}"),
            not_before: 0,
            not_after: 1,
            validation: Some(Validation::Dv),
            form,
            embedded_scts: 2,
            sha256: Hash::of(&[number, form as u8]),
            key: Hash::of(&[number]),
            is_whole: true,
        }
    }

    #[test]
    fn entries_of_one_certificate_in_two_logs_are_counted_together() {
        let mut table = CertificateTable::new(9);
        let pre = certificate(1, "a.example", LoggedForm::Precertificate);
        let issued = certificate(1, "a.example", LoggedForm::Certificate);
        assert!(table.see(&pre, "one", false, 10));
        assert_eq!(table.find(None)[0].ct_status, LoggedForms::Precertificate);
        assert_eq!(table.find(None)[0].embedded_scts, None);
        assert!(!table.see(&pre, "two", true, 20));
        assert!(!table.see(&issued, "two", false, 30));
        let found = table.find(Some("A.example."));
        let [usage] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            (usage.first_seen_ms, usage.last_seen_ms, usage.entries),
            (10, 30, 3)
        );
        assert_eq!(usage.logs, ["one", "two"]);
        assert_eq!(usage.ct_status, LoggedForms::Both);
        assert_eq!(usage.embedded_scts, Some(2));
        assert!(usage.watched);
    }

    #[test]
    fn those_of_watched_names_and_seen_lately_stay_longest() {
        let mut table = CertificateTable::new(3);
        let see = |table: &mut CertificateTable, number: u8, is_watched| {
            let name = format!("{number}.example");
            table.see(
                &certificate(number, &name, LoggedForm::Certificate),
                "log",
                is_watched,
                0,
            )
        };
        see(&mut table, 1, true);
        for number in 2..=5 {
            assert!(see(&mut table, number, false));
        }
        see(&mut table, 4, false); // Seen again: 5 is now the one longest not seen.
        see(&mut table, 6, false);
        let names = |table: &CertificateTable| {
            let found = table.find(Some("example")).into_iter();
            found
                .map(|usage| usage.names[0].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&table), ["6.example", "4.example", "1.example"]);
        for number in 7..=9 {
            see(&mut table, number, true);
        }
        assert_eq!(names(&table), ["9.example", "8.example", "7.example"]);
        assert_eq!((table.count(), table.evicted()), (3, 6));
    }

    #[test]
    fn name_finds_what_is_below_it_and_no_other_that_ends_alike() {
        let mut table = CertificateTable::new(9);
        for (number, name) in (0..).zip(["example", "a.example", "*.example", "anexample"]) {
            table.see(
                &certificate(number, name, LoggedForm::Certificate),
                "log",
                false,
                0,
            );
        }
        assert_eq!(table.find(Some("example")).len(), 3);
        assert_eq!(table.find(Some("a.example")).len(), 1);
        assert_eq!(table.find(Some("b.example")).len(), 0);
        assert_eq!(table.find(None).len(), 4);
    }
}
