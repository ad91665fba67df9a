//! [`Crl`]: a list of revoked certificates (RFC 5280 §5), whole or one part of several.
//!
//! `rustls-webpki` reads it, and refuses what it could not judge by: delta lists, indirect ones, those of some reasons only, and
//! unknown critical extensions. Which certificates it speaks for, who signed it and until when it holds is decided here.

use core::fmt;
use std::sync::OnceLock;

use ct::der::{DerError, Reader, tag};
use ct::{Certificate, Extension, Hash, Oid, SignatureError, Signed};
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, CertRevocationList, OwnedCertRevocationList};

/// A list of revoked certificates.
pub struct Crl {
    der: Vec<u8>,
    entries: CertRevocationList<'static>,
    scope: Scope,
    this_update: i64,
    next_update: i64,
    /// Hash of the key by which its signature holds: it is checked once, because lists are long.
    signed_by: OnceLock<Hash>,
}

/// IssuingDistributionPoint (RFC 5280 §5.2.5): the certificates it speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Scope {
    /// URLs one of which the certificate must name; None for all certificates of the issuer.
    urls: Option<Vec<String>>,
    only_users: bool,
    only_authorities: bool,
    only_attributes: bool,
}

/// Why bytes are no list to judge by.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CrlError {
    /// Not DER of RFC 5280 §5.1.
    #[error(transparent)]
    Der(#[from] DerError),
    /// Not of the kinds that are understood.
    #[error("revocation list: {0}")]
    Unsupported(webpki::Error),
    /// RFC 5280 §5.1.2.5 demands a time until which it holds.
    #[error("a revocation list without an end")]
    NoNextUpdate,
}

/// Why a list says nothing of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CrlRefusal {
    /// Of another issuer.
    #[error("the revocation list is of another issuer")]
    OtherIssuer,
    /// A part that the certificate is not in.
    #[error("the revocation list is not about this certificate")]
    OutOfScope,
    /// The issuer's key is not for signing lists (RFC 5280 §4.2.1.3).
    #[error("the issuer may not sign revocation lists")]
    Usage,
    /// The signature does not hold.
    #[error("revocation list: {0}")]
    Signature(#[from] SignatureError),
    /// The time is outside the list's.
    #[error("the revocation list holds from {this_update} to {next_update}")]
    Time {
        /// Seconds since 1970.
        this_update: i64,
        /// Seconds since 1970.
        next_update: i64,
    },
    /// An entry cannot be read.
    #[error("revocation list: {0}")]
    Entry(webpki::Error),
}

/// What a list says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrlStatus {
    /// Not on it.
    Good {
        /// Seconds since 1970 until which that holds.
        until: i64,
    },
    /// On it.
    Revoked {
        /// Seconds since 1970.
        at: i64,
    },
}

impl Crl {
    /// Reads the whole of `der`. Its signature is not yet checked.
    ///
    /// # Errors
    /// If it is no list that can be judged by.
    pub fn parse(der: Vec<u8>) -> Result<Self, CrlError> {
        let (_, tbs) = read_signed(&der)?;
        let mut fields = tbs;
        fields.optional(tag::INTEGER)?; // Version.
        fields.sequence()?; // Signature algorithm.
        fields.sequence()?; // Issuer, which `webpki` reads too.
        let this_update = ct::read_time(&mut fields)?;
        if ![Some(tag::UTC_TIME), Some(tag::GENERALIZED_TIME)].contains(&fields.peek()) {
            return Err(CrlError::NoNextUpdate);
        }
        let next_update = ct::read_time(&mut fields)?;
        let entries = OwnedCertRevocationList::from_der(&der).map_err(CrlError::Unsupported)?;
        fields.optional(tag::SEQUENCE)?; // The entries.
        let scope = read_scope(&mut fields)?;
        Ok(Self {
            entries: entries.into(),
            scope,
            this_update,
            next_update,
            signed_by: OnceLock::new(),
            der,
        })
    }

    /// Seconds since 1970 until which it holds.
    #[must_use]
    pub fn until(&self) -> i64 {
        self.next_update
    }

    /// Octets that it takes, about: it is kept as it came and by serial numbers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        2 * self.der.len()
    }

    /// What it says of a certificate that `issuer` has issued, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// If it says nothing of this certificate, or the issuer has not said it, or not for now.
    pub fn check(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        now: i64,
    ) -> Result<CrlStatus, CrlRefusal> {
        // `webpki` leaves the header of the name away.
        let mut issuer_name = Reader::new(certificate.issuer());
        let issuer_name = issuer_name.any().map(|name| name.contents);
        if issuer_name != Ok(self.entries.issuer()) {
            return Err(CrlRefusal::OtherIssuer);
        }
        if !self.scope.covers(certificate) {
            return Err(CrlRefusal::OutOfScope);
        }
        let usage = issuer.key_usage().ok().flatten();
        if usage.is_some_and(|usage| !usage.has(ct::KeyUsage::CRL_SIGNING)) {
            return Err(CrlRefusal::Usage);
        }
        self.check_signature(issuer)?;
        let (this_update, next_update) = (self.this_update, self.next_update);
        let earliest = this_update.saturating_sub(crate::ocsp::SKEW_SECS_MAX);
        if !(earliest..=next_update).contains(&now) {
            return Err(CrlRefusal::Time {
                this_update,
                next_update,
            });
        }
        let entry = self.entries.find_serial(certificate.serial());
        Ok(match entry.map_err(CrlRefusal::Entry)? {
            Some(entry) => CrlStatus::Revoked {
                at: i64::try_from(entry.revocation_date.as_secs()).unwrap_or(i64::MAX),
            },
            None => CrlStatus::Good { until: next_update },
        })
    }

    fn check_signature(&self, issuer: &Certificate<'_>) -> Result<(), CrlRefusal> {
        let key = issuer.public_key();
        let key_hash = key.hash();
        if self.signed_by.get() == Some(&key_hash) {
            return Ok(());
        }
        let (signed, _) = read_signed(&self.der).map_err(|_| SignatureError::Invalid)?;
        signed.verify(key, ALL_VERIFICATION_ALGS)?;
        let _ = self.signed_by.set(key_hash); // Taken already: two keys of one name have both signed it.
        Ok(())
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Crl")
            .field("bytes", &self.der.len())
            .field("scope", &self.scope)
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .finish_non_exhaustive()
    }
}

/// CertificateList: what is signed, and the fields of its TBSCertList.
fn read_signed(der: &[u8]) -> Result<(Signed<'_>, Reader<'_>), DerError> {
    let mut fields = Reader::new(der).only(tag::SEQUENCE)?.open();
    let tbs = fields.element(tag::SEQUENCE)?;
    let signed = Signed {
        message: tbs.raw,
        algorithm: fields.element(tag::SEQUENCE)?.contents,
        signature: fields.whole_octets()?,
    };
    fields.end()?;
    Ok((signed, tbs.open()))
}

fn read_scope(fields: &mut Reader<'_>) -> Result<Scope, DerError> {
    let Some(wrapper) = fields.optional(tag::context_constructed(0))? else {
        return Ok(Scope::default());
    };
    let mut list = wrapper.open().only(tag::SEQUENCE)?.open();
    while !list.is_at_end() {
        let extension = Extension::read(&mut list)?;
        if extension.id == Oid::ISSUING_DISTRIBUTION_POINT {
            return Scope::read(&mut extension.open(tag::SEQUENCE)?.open());
        }
    }
    Ok(Scope::default())
}

impl Scope {
    fn read(fields: &mut Reader<'_>) -> Result<Self, DerError> {
        let mut scope = Self::default();
        if let Some(point) = fields.optional(tag::context_constructed(0))? {
            let mut names = point.open().element(tag::context_constructed(0))?.open();
            let mut urls = Vec::new();
            while !names.is_at_end() {
                let name = names.any()?;
                if name.tag == tag::context(6) {
                    urls.push(name.text()?.to_owned());
                }
            }
            scope.urls = Some(urls);
        }
        let mut flag = |number| -> Result<bool, DerError> {
            let flag = fields.optional(tag::context(number))?;
            Ok(flag.is_some_and(|flag| flag.contents == [0xff]))
        };
        scope.only_users = flag(1)?;
        scope.only_authorities = flag(2)?;
        flag(3)?; // Some reasons only, and indirect: `webpki` has refused both.
        flag(4)?;
        scope.only_attributes = flag(5)?;
        Ok(scope)
    }

    fn covers(&self, certificate: &Certificate<'_>) -> bool {
        let constraints = certificate.basic_constraints().ok().flatten();
        let is_authority = constraints.unwrap_or_default().is_ca;
        let of_kind = match is_authority {
            true => !self.only_users,
            false => !self.only_authorities,
        };
        let of_kind = of_kind && !self.only_attributes;
        let Some(urls) = &self.urls else {
            return of_kind;
        };
        let named = certificate.revocation_list_urls().unwrap_or_default();
        of_kind && named.iter().any(|url| urls.iter().any(|own| own == url))
    }
}
