//! What is logged of a precertificate, and what the timestamps in a final certificate sign: the same octets (RFC 6962 §3.2).
//!
//! Octets are cut out and lengths of what encloses them written anew; nothing is encoded again. A certificate that is not in
//! the one form that an encoder would choose therefore keeps its form, and both sides come to the same result.

use std::sync::Arc;

use crate::certificate::{Certificate, Tbs};
use crate::der::DerError;
use crate::entry::EntryKind;
use crate::hash::Hash;
use crate::oid::Oid;

/// Why a certificate is not what it was handed in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrecertificateError {
    /// RFC 6962 §3.1: who does not know the poison must refuse the certificate.
    #[error("the poison is not critical")]
    PoisonNotCritical,
    /// RFC 6962 §3.1: the poison's value is NULL.
    #[error("the poison's value is not NULL")]
    PoisonNotNull,
    /// No poison in what should be a precertificate.
    #[error("not a precertificate: it has no poison")]
    NoPoison,
    /// A poison in what should be a final certificate.
    #[error("a precertificate, not a final certificate: it has a poison")]
    Poisoned,
    /// The chain ends before the certificate whose key signs the final certificate.
    #[error("the certificate that issues the final certificate is missing")]
    NoIssuer,
    /// Another subject than the final certificate's issuer.
    #[error("the certificate is not of the issuer that is named")]
    WrongIssuer,
    /// No timestamps in what should be a final certificate with timestamps.
    #[error("no timestamps are embedded")]
    NoTimestamps,
    /// An extension that decides is not of its syntax.
    #[error(transparent)]
    Der(#[from] DerError),
}

/// PreCert of RFC 6962 §3.2: what a timestamp of a precertificate signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precertificate {
    /// SHA-256 of the SubjectPublicKeyInfo of who signs the final certificate.
    pub issuer_key_hash: Hash,
    /// TBSCertificate without poison and timestamps' list.
    pub tbs: Arc<[u8]>,
}

impl Precertificate {
    /// From a precertificate and those above it in order, the root included.
    ///
    /// If the first of them is a precertificate signing certificate, its issuer signs the final certificate: issuer and
    /// authority key identifier are taken over from the signing certificate, whose issuer it is too.
    ///
    /// # Errors
    /// Unless it has the poison as it must be and those that are needed stand above it.
    pub fn from_submission(
        certificate: &Certificate<'_>,
        above: &[Certificate<'_>],
    ) -> Result<Self, PrecertificateError> {
        if !is_precertificate(certificate)? {
            return Err(PrecertificateError::NoPoison);
        }
        let mut tbs = without(certificate, Oid::POISON);
        let mut issuer = above.first().ok_or(PrecertificateError::NoIssuer)?;
        if issuer.is_precertificate_signing()? {
            take_over_issuer(&mut tbs, issuer);
            issuer = above.get(1).ok_or(PrecertificateError::NoIssuer)?;
        }
        Ok(Self::new(issuer, &tbs))
    }

    /// From a final certificate with embedded timestamps and its issuer.
    ///
    /// # Errors
    /// Unless the certificate has timestamps and no poison, and names this issuer.
    pub fn from_final(
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
    ) -> Result<Self, PrecertificateError> {
        if is_precertificate(certificate)? {
            return Err(PrecertificateError::Poisoned);
        }
        if certificate.extension(Oid::SCT_LIST).is_none() {
            return Err(PrecertificateError::NoTimestamps);
        }
        if certificate.issuer() != issuer.subject() {
            return Err(PrecertificateError::WrongIssuer);
        }
        Ok(Self::new(issuer, &without(certificate, Oid::SCT_LIST)))
    }

    fn new(issuer: &Certificate<'_>, tbs: &Tbs<'_>) -> Self {
        Self {
            issuer_key_hash: issuer.public_key().hash(),
            tbs: tbs.assemble().into(),
        }
    }

    /// As a line of a log.
    #[must_use]
    pub fn into_entry(self, submitted: Arc<[u8]>) -> EntryKind {
        EntryKind::Precertificate {
            issuer_key_hash: self.issuer_key_hash,
            tbs: self.tbs,
            submitted,
        }
    }
}

/// Whether the certificate has the poison (RFC 6962 §3.1).
///
/// # Errors
/// If it has one that is not critical or whose value is not NULL. One that stands there twice is no certificate at all.
pub fn is_precertificate(certificate: &Certificate<'_>) -> Result<bool, PrecertificateError> {
    let Some(poison) = certificate.extension(Oid::POISON) else {
        return Ok(false);
    };
    if !poison.is_critical {
        return Err(PrecertificateError::PoisonNotCritical);
    }
    if poison.value != [0x05, 0x00] {
        return Err(PrecertificateError::PoisonNotNull);
    }
    Ok(true)
}

fn without<'a>(certificate: &Certificate<'a>, id: Oid<'_>) -> Tbs<'a> {
    let mut tbs = certificate.tbs_pieces().clone();
    tbs.extensions.retain(|extension| extension.id != id);
    tbs
}

/// Replaces the authority key identifier where it stands, removes it if the signing certificate has none, and appends it if
/// only the signing certificate has one: as the logs in use do.
fn take_over_issuer<'a>(tbs: &mut Tbs<'a>, signing: &Certificate<'a>) {
    tbs.issuer = signing.issuer();
    let mut theirs = signing.extension(Oid::AUTHORITY_KEY_IDENTIFIER).copied();
    let mut extensions = Vec::with_capacity(tbs.extensions.len() + 1);
    for extension in &tbs.extensions {
        match extension.id {
            Oid::AUTHORITY_KEY_IDENTIFIER => extensions.extend(theirs.take()),
            _ => extensions.push(*extension),
        }
    }
    extensions.extend(theirs);
    tbs.extensions = extensions;
}
