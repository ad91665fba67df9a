//! [`LoggedCertificate`]: what an entry says about the certificate that it is of.

use core::fmt::Write as _;

use ct::{
    AlternativeName, Certificate, CertificateError, DerError, EntryKind, Hash, Oid,
    TimestampedEntry, split_sct_list,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pattern::DOMAIN_CHARACTERS_MAX;

/// Characters of an issuer's name that are kept.
pub const ISSUER_CHARACTERS_MAX: usize = 512;

/// Octets of a serial number that are kept; RFC 5280 §4.1.2.2 allows 20.
pub const SERIAL_OCTETS_MAX: usize = 64;

/// A certificate as it was logged. Of a precertificate everything is read from the part that is in the tree, except the
/// fingerprint: the precertificate itself is only sent beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedCertificate {
    /// DNS names of the alternative names, and the common name if it is one: in lower case, with `xn--` labels, without last dot,
    /// each once. Of what is longer than a name can be, the end is kept: by that it is watched.
    pub names: Vec<String>,
    /// Issuer's name on one line.
    pub issuer: String,
    /// Serial number in hexadecimal digits.
    pub serial: String,
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970.
    pub not_after: i64,
    /// How the issuer says that it validated the subject.
    pub validation: Option<Validation>,
    /// Which of the two was logged.
    pub form: LoggedForm,
    /// Timestamps of logs in it. A precertificate has none.
    pub embedded_scts: u64,
    /// SHA-256 of the DER that was submitted.
    pub sha256: Hash,
    /// SHA-256 of issuer and serial number: the same for precertificate and certificate, in all logs.
    pub key: Hash,
}

/// The two forms in which a certificate is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoggedForm {
    /// Before it was issued.
    Precertificate,
    /// As it was issued.
    Certificate,
}

/// Validation of the subject (Baseline Requirements of the CA/Browser Forum §7.1.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// Control of the domain.
    Dv,
    /// The organization behind it.
    Ov,
    /// The person behind it.
    Iv,
    /// The organization, by the stricter rules.
    Ev,
}

/// Why an entry cannot be read as a certificate. Logs take certificates that break rules, but not ones that are none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnreadableError {
    /// Not a certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A name or an extension is not of its syntax.
    #[error(transparent)]
    Der(#[from] DerError),
}

impl LoggedCertificate {
    /// Reads an entry.
    ///
    /// # Errors
    /// If it is no certificate, or its names cannot be read.
    pub fn read(entry: &TimestampedEntry) -> Result<Self, UnreadableError> {
        let (certificate, form, submitted) = match &entry.entry().kind {
            EntryKind::Certificate(der) => {
                let form = LoggedForm::Certificate;
                (Certificate::parse(der)?, form, der)
            }
            EntryKind::Precertificate { tbs, submitted, .. } => {
                let form = LoggedForm::Precertificate;
                (Certificate::parse_tbs(tbs)?, form, submitted)
            }
        };
        let mut names = Vec::new();
        for name in certificate.alternative_names()?.into_iter().flatten() {
            if let AlternativeName::Dns(name) = name {
                names.push(normal(name));
            }
        }
        // Names twice are rare, and lists of names can be long.
        names.sort_unstable();
        names.dedup();
        for attribute in certificate.subject_attributes()? {
            if attribute.id == Oid::COMMON_NAME
                && let Some(name) = domain_of(&attribute.text)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        let mut serial = String::new();
        for octet in certificate.serial().iter().take(SERIAL_OCTETS_MAX) {
            write!(serial, "{octet:02x}").expect("a string takes every line");
        }
        let key = [certificate.issuer(), certificate.serial()].concat();
        let scts = certificate.sct_list()?.map(split_sct_list);
        Ok(Self {
            names,
            issuer: certificate
                .issuer_text()?
                .chars()
                .take(ISSUER_CHARACTERS_MAX)
                .collect(),
            serial,
            not_before: certificate.validity().not_before,
            not_after: certificate.validity().not_after,
            validation: validation(&certificate.policies()?),
            form,
            embedded_scts: scts.map_or(0, |scts| scts.map_or(0, |scts| scts.len() as u64)),
            sha256: Hash::of(submitted),
            key: Hash::of(&key),
        })
    }
}

/// The strictest of those that are claimed.
fn validation(policies: &[Oid<'_>]) -> Option<Validation> {
    [
        (Oid::POLICY_EXTENDED_VALIDATION, Validation::Ev),
        (Oid::POLICY_ORGANIZATION_VALIDATION, Validation::Ov),
        (Oid::POLICY_INDIVIDUAL_VALIDATION, Validation::Iv),
        (Oid::POLICY_DOMAIN_VALIDATION, Validation::Dv),
    ]
    .into_iter()
    .find_map(|(policy, validation)| policies.contains(&policy).then_some(validation))
}

/// A common name that can be one of a host.
fn domain_of(text: &str) -> Option<String> {
    if !text.contains('.') || text.contains(char::is_whitespace) {
        return None;
    }
    if text.is_ascii() {
        return Some(normal(text));
    }
    idna::domain_to_ascii(text).ok().map(|name| normal(&name))
}

fn normal(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    let start = name.len().saturating_sub(DOMAIN_CHARACTERS_MAX);
    name.get(start..).unwrap_or_default().to_ascii_lowercase() // Both kinds of names are ASCII.
}
