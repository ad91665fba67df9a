//! [`Roots`]: the certificates that a log accepts at the top of a chain.
//!
//! A set with one order, that of the fingerprints, so that replicas which hold the same certificates have the same digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::certificate::{Certificate, CertificateError};
use crate::hash::Hash;

/// Accepted roots at most. All that browsers ever trusted are about a thousand.
pub const ROOTS_MAX: usize = 10_000;

/// Roots of one name at most: each is tried when a chain ends below that name.
pub const ROOTS_OF_A_NAME_MAX: usize = 16;

/// Why a root is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// The text is not PEM.
    #[error("certificate {index} of the text: {reason}")]
    Pem {
        /// Counted from zero.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// Not a certificate.
    #[error("root {fingerprint}: {error}")]
    Certificate {
        /// Of the bytes.
        fingerprint: Hash,
        /// What is wrong.
        error: CertificateError,
    },
    /// [`ROOTS_MAX`] are there.
    #[error("more than {ROOTS_MAX} roots")]
    TooMany,
    /// [`ROOTS_OF_A_NAME_MAX`] of this subject are there.
    #[error("root {fingerprint}: more than {ROOTS_OF_A_NAME_MAX} roots of one name")]
    TooManyOfAName {
        /// Of the root.
        fingerprint: Hash,
    },
}

/// A set of certificates, found by fingerprint and by subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roots {
    certificates: BTreeMap<Hash, Arc<[u8]>>,
    by_subject: BTreeMap<Box<[u8]>, BTreeSet<Hash>>,
}

impl Roots {
    /// Reads every `CERTIFICATE` of a text; sections of other kinds are passed over.
    ///
    /// # Errors
    /// If one is not a certificate, or there are too many.
    pub fn from_pem(text: &[u8]) -> Result<Self, RootsError> {
        let mut roots = Self::default();
        for (index, der) in CertificateDer::pem_slice_iter(text).enumerate() {
            let der = der.map_err(|error| RootsError::Pem {
                index,
                reason: error.to_string(),
            })?;
            roots.insert(&der)?;
        }
        Ok(roots)
    }

    /// Takes in a root, by its DER; says whether it is new. It need not be self-signed: any issuer can be accepted.
    ///
    /// # Errors
    /// If it is not a certificate, or there are too many. The set is then as it was.
    pub fn insert(&mut self, der: &[u8]) -> Result<bool, RootsError> {
        let fingerprint = Hash::of(der);
        if self.contains(&fingerprint) {
            return Ok(false);
        }
        let certificate = Certificate::parse(der)
            .map_err(|error| RootsError::Certificate { fingerprint, error })?;
        if self.certificates.len() == ROOTS_MAX {
            return Err(RootsError::TooMany);
        }
        let subject = certificate.subject();
        let namesakes = self.by_subject.get(subject).map_or(0, BTreeSet::len);
        if namesakes == ROOTS_OF_A_NAME_MAX {
            return Err(RootsError::TooManyOfAName { fingerprint });
        }
        self.by_subject
            .entry(subject.into())
            .or_default()
            .insert(fingerprint);
        self.certificates.insert(fingerprint, der.into());
        Ok(true)
    }

    /// Takes out a root; says whether it was there.
    pub fn remove(&mut self, fingerprint: &Hash) -> bool {
        let is_there = self.certificates.remove(fingerprint).is_some();
        if is_there {
            self.by_subject.retain(|_, fingerprints| {
                fingerprints.remove(fingerprint);
                !fingerprints.is_empty()
            });
        }
        is_there
    }

    /// Whether this certificate is a root.
    #[must_use]
    pub fn contains(&self, fingerprint: &Hash) -> bool {
        self.certificates.contains_key(fingerprint)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// Fingerprint and DER of each, in the order of the fingerprints.
    pub fn iter(&self) -> impl Iterator<Item = (&Hash, &Arc<[u8]>)> {
        self.certificates.iter()
    }

    /// DER of those with this subject, in the order of their fingerprints.
    pub(crate) fn of_subject(&self, subject: &[u8]) -> impl Iterator<Item = &Arc<[u8]>> {
        let fingerprints = self.by_subject.get(subject).into_iter().flatten();
        fingerprints.filter_map(|fingerprint| self.certificates.get(fingerprint))
    }

    /// SHA-256 of all fingerprints in their order.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let fingerprints: Vec<u8> = self.certificates.keys().flat_map(|hash| hash.0).collect();
        Hash::of(&fingerprints)
    }
}
