//! [`LoggedCertificate`]: what an entry says about the certificate that it is of.

use core::fmt::Write as _;

use ct::der::tag;
use ct::{Certificate, CertificateError, EntryKind, Hash, Oid, TimestampedEntry, split_sct_list};
use serde::{Deserialize, Serialize};

use crate::pattern::DOMAIN_CHARACTERS_MAX;

/// Characters of an issuer's name that are kept.
pub const ISSUER_CHARACTERS_MAX: usize = 512;

/// Octets of a serial number that are kept; RFC 5280 §4.1.2.2 allows 20.
pub const SERIAL_OCTETS_MAX: usize = 64;

/// dNSName among the alternative names (RFC 5280 §4.2.1.6).
const DNS_NAME: u8 = tag::context(2);

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
    /// Whether all of it could be read. Logs take certificates that break rules.
    pub is_whole: bool,
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

impl LoggedCertificate {
    /// Reads an entry: the names first, one by one, so that nothing else in a certificate can hide those that it is for.
    ///
    /// # Errors
    /// If it is no certificate at all. What in one cannot be read is left out.
    pub fn read(entry: &TimestampedEntry) -> Result<Self, CertificateError> {
        let (certificate, form, submitted) = match &entry.entry().kind {
            EntryKind::Certificate(der) => {
                let form = LoggedForm::Certificate;
                (Certificate::parse_logged(der)?, form, der)
            }
            EntryKind::Precertificate { tbs, submitted, .. } => {
                let form = LoggedForm::Precertificate;
                (Certificate::parse_tbs(tbs)?, form, submitted)
            }
        };
        let mut is_whole = true;
        let names = names(&certificate, &mut is_whole);
        let mut serial = String::new();
        for octet in certificate.serial().iter().take(SERIAL_OCTETS_MAX) {
            write!(serial, "{octet:02x}").expect("a string takes every line");
        }
        let key = [certificate.issuer(), certificate.serial()].concat();
        let issuer = or_none(certificate.issuer_text(), &mut is_whole);
        let policies = or_none(certificate.policies(), &mut is_whole);
        let scts = or_none(certificate.sct_list(), &mut is_whole).map(split_sct_list);
        let scts = scts.map(|scts| or_none(scts, &mut is_whole));
        Ok(Self {
            names,
            issuer: issuer.chars().take(ISSUER_CHARACTERS_MAX).collect(),
            serial,
            not_before: certificate.validity().not_before,
            not_after: certificate.validity().not_after,
            validation: validation(&policies),
            form,
            embedded_scts: scts.map_or(0, |scts| scts.len() as u64),
            sha256: Hash::of(submitted),
            key: Hash::of(&key),
            is_whole,
        })
    }
}

/// Takes what is there by default instead of what cannot be read.
fn or_none<T: Default, E>(read: Result<T, E>, is_whole: &mut bool) -> T {
    read.unwrap_or_else(|_| {
        *is_whole = false;
        T::default()
    })
}

/// All that can be read, of all lists of alternative names that there are.
fn names(certificate: &Certificate<'_>, is_whole: &mut bool) -> Vec<String> {
    let mut names = Vec::new();
    let extensions = certificate.extensions().iter();
    for extension in extensions.filter(|extension| extension.id == Oid::SUBJECT_ALT_NAME) {
        let Ok(list) = extension.open(tag::SEQUENCE) else {
            *is_whole = false;
            continue;
        };
        let mut list = list.open();
        while !list.is_at_end() {
            let Ok(name) = list.any() else {
                *is_whole = false;
                break;
            };
            if name.tag == DNS_NAME {
                match domain(&String::from_utf8_lossy(name.contents)) {
                    Some(name) => names.push(name),
                    None => *is_whole = false,
                }
            }
        }
    }
    // Names twice are rare, and lists of names can be long.
    names.sort_unstable();
    names.dedup();
    for attribute in or_none(certificate.subject_attributes(), is_whole) {
        if attribute.id == Oid::COMMON_NAME
            && attribute.text.contains('.')
            && !attribute.text.contains(char::is_whitespace)
            && let Some(name) = domain(&attribute.text)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
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

/// A name in the form in which it is watched, if it can be one of a host.
fn domain(text: &str) -> Option<String> {
    let name = end_of(text.strip_suffix('.').unwrap_or(text));
    if name.is_ascii() {
        return Some(name.to_ascii_lowercase());
    }
    let name = idna::domain_to_ascii(name).ok()?;
    Some(end_of(&name).to_owned())
}

fn end_of(name: &str) -> &str {
    let start = name.char_indices().nth_back(DOMAIN_CHARACTERS_MAX - 1);
    let start = start.map_or(0, |(start, _)| start);
    name.get(start..).unwrap_or_default() // A character begins there.
}
