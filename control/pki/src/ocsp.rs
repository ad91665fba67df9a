//! OCSP (RFC 6960): what to ask a responder, and whether its answer holds.
//!
//! A response counts only if the certificate's issuer, or a responder that the issuer has delegated to, has signed it. Start at
//! [`encode_request`] and [`OcspResponse::check`].

use ct::der::{DerError, Element, Reader, tag, write_header};
use ct::{
    Algorithms, Certificate, CertificateError, Extension, Oid, SignatureError, Signed,
    verify_signature,
};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use thiserror::Error;

/// Seconds by which a responder's clock may be ahead.
pub const SKEW_SECS_MAX: i64 = 300;
/// Seconds for which a response holds that does not say when the next comes.
pub const UNBOUNDED_AGE_SECS_MAX: i64 = 3_600;
/// Certificates of one response that are looked at.
const CERTIFICATES_MAX: usize = 8;
/// Certificates that one response speaks of, as far as it is looked at: to find the right one costs hashes.
const RESPONSES_MAX: usize = 64;
/// Octets of a nonce at most (RFC 9654 §2.1).
pub const NONCE_BYTES_MAX: usize = 128;

/// What the responder says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspStatus {
    /// Not revoked.
    Good {
        /// Seconds since 1970 until which that holds.
        until: i64,
    },
    /// Revoked.
    Revoked {
        /// Seconds since 1970.
        at: i64,
        /// CRLReason of RFC 5280 §5.3.1.
        reason: Option<u8>,
    },
    /// The responder does not know it.
    Unknown,
}

/// Why a response says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OcspError {
    /// Not DER of RFC 6960 §4.2.1.
    #[error(transparent)]
    Der(#[from] DerError),
    /// OCSPResponseStatus: 1 malformed request, 2 internal error, 3 try later, 5 signature required, 6 unauthorised.
    #[error("the responder refuses with status {0}")]
    Unsuccessful(u8),
    /// Of another type than id-pkix-ocsp-basic.
    #[error("a response of type {0}")]
    Type(String),
    /// A critical extension that is unknown (RFC 6960 §4.4).
    #[error("critical extension {0} is unknown")]
    UnknownCritical(String),
    /// About other certificates.
    #[error("the response is about other certificates")]
    OtherCertificate,
    /// The nonce is another than the request's (RFC 6960 §4.4.1).
    #[error("the response answers another request")]
    Nonce,
    /// Neither of the issuer nor of one whom it has delegated to (RFC 6960 §4.2.2.2).
    #[error("signed by nobody whom the issuer has authorised: {0}")]
    Responder(ResponderError),
    /// The signature does not hold.
    #[error("the responder's signature: {0}")]
    Signature(SignatureError),
    /// thisUpdate is in the future.
    #[error("holds only from {this_update} on")]
    NotYet {
        /// Seconds since 1970.
        this_update: i64,
    },
    /// nextUpdate is over.
    #[error("held only until {until}")]
    Stale {
        /// Seconds since 1970.
        until: i64,
    },
}

/// Why a certificate in a response is not one of a delegated responder.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResponderError {
    /// The responder names none of the certificates that came along.
    #[error("its certificate is not there")]
    Missing,
    /// Not a certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Of another issuer than the certificate that is asked about.
    #[error("its certificate is of another issuer")]
    Issuer,
    /// Its signature does not hold.
    #[error("its certificate: {0}")]
    Signature(SignatureError),
    /// Not for signing OCSP responses.
    #[error("its key is not for OCSP")]
    Purpose,
    /// Not valid now.
    #[error("its certificate is not valid now")]
    Validity,
}

/// CertID of a certificate by SHA-1, as RFC 5019 §2.1.1 demands of who wants cached responses.
#[must_use]
pub fn cert_id(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Vec<u8> {
    let name_hash = Sha1::digest(certificate.issuer());
    let key_hash = Sha1::digest(issuer.public_key().octets);
    let algorithm = [
        element(tag::OID, &[Oid::SHA1.as_bytes()]),
        vec![0x05, 0x00], // NULL.
    ];
    let algorithm = element(tag::SEQUENCE, &[&algorithm.concat()]);
    element(
        tag::SEQUENCE,
        &[
            &algorithm,
            &element(tag::OCTET_STRING, &[&name_hash]),
            &element(tag::OCTET_STRING, &[&key_hash]),
            &element(tag::INTEGER, &[certificate.serial()]),
        ],
    )
}

/// OCSPRequest of RFC 6960 §4.1.1 for one certificate, unsigned. A nonce has 1 to [`NONCE_BYTES_MAX`] octets.
#[must_use]
pub fn encode_request(cert_id: &[u8], nonce: Option<&[u8]>) -> Vec<u8> {
    let list = element(tag::SEQUENCE, &[&element(tag::SEQUENCE, &[cert_id])]);
    let extensions = nonce.map(|nonce| {
        let value = element(tag::OCTET_STRING, &[nonce]);
        let extension = [
            element(tag::OID, &[Oid::OCSP_NONCE.as_bytes()]),
            element(tag::OCTET_STRING, &[&value]),
        ];
        let extension = element(tag::SEQUENCE, &[&extension.concat()]);
        let extensions = element(tag::SEQUENCE, &[&extension]);
        element(tag::context_constructed(2), &[&extensions])
    });
    let tbs = element(tag::SEQUENCE, &[&list, &extensions.unwrap_or_default()]);
    element(tag::SEQUENCE, &[&tbs])
}

fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let bytes = contents.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(bytes + 4);
    write_header(tag, bytes, &mut out);
    contents.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A BasicOCSPResponse. What it says is not yet believed.
#[derive(Debug, Clone)]
pub struct OcspResponse<'a> {
    signed: Signed<'a>,
    responder: Responder<'a>,
    responses: Vec<Single<'a>>,
    nonce: Option<&'a [u8]>,
    certificates: Vec<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
enum Responder<'a> {
    /// DER of its subject.
    Name(&'a [u8]),
    /// SHA-1 of its key.
    Key(&'a [u8]),
}

/// SingleResponse.
#[derive(Debug, Clone)]
struct Single<'a> {
    hash: Oid<'a>,
    name_hash: &'a [u8],
    key_hash: &'a [u8],
    serial: &'a [u8],
    status: SingleStatus,
    this_update: i64,
    next_update: Option<i64>,
    sct_list: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
enum SingleStatus {
    Good,
    Revoked { at: i64, reason: Option<u8> },
    Unknown,
}

impl<'a> OcspResponse<'a> {
    /// Reads the whole of `der`.
    ///
    /// # Errors
    /// If it is not a successful basic response, or has a critical extension.
    pub fn parse(der: &'a [u8]) -> Result<Self, OcspError> {
        let mut fields = Reader::new(der).only(tag::SEQUENCE)?.open();
        let status = fields.element(tag::ENUMERATED)?;
        match status.contents {
            [0] => {}
            [refused] => return Err(OcspError::Unsuccessful(*refused)),
            _ => return Err(status.invalid("OCSPResponseStatus").into()),
        }
        let bytes = fields.element(tag::context_constructed(0))?;
        fields.end()?;
        let mut bytes = bytes.open().only(tag::SEQUENCE)?.open();
        let kind = Oid::read(&mut bytes)?;
        if kind != Oid::OCSP_BASIC {
            return Err(OcspError::Type(kind.to_string()));
        }
        let response = bytes.element(tag::OCTET_STRING)?;
        bytes.end()?;
        Self::parse_basic(&response)
    }

    fn parse_basic(response: &Element<'a>) -> Result<Self, OcspError> {
        let mut fields = response.open().only(tag::SEQUENCE)?.open();
        let tbs = fields.element(tag::SEQUENCE)?;
        let algorithm = fields.element(tag::SEQUENCE)?.contents;
        let signature = fields.whole_octets()?;
        let mut certificates = Vec::new();
        if let Some(list) = fields.optional(tag::context_constructed(0))? {
            let mut list = list.open().only(tag::SEQUENCE)?.open();
            while !list.is_at_end() && certificates.len() < CERTIFICATES_MAX {
                certificates.push(list.any()?.raw);
            }
        }
        fields.end()?;

        let mut fields = tbs.open();
        fields.optional(tag::context_constructed(0))?; // Version: there is only one.
        let responder = read_responder(&mut fields)?;
        ct::read_time(&mut fields)?; // producedAt says nothing about a certificate.
        let mut list = fields.sequence()?;
        let mut responses = Vec::new();
        while !list.is_at_end() && responses.len() < RESPONSES_MAX {
            responses.push(Single::read(&mut list)?);
        }
        let mut nonce = None;
        read_extensions(&mut fields, 1, |extension| {
            if extension.id == Oid::OCSP_NONCE {
                nonce = Some(extension.open(tag::OCTET_STRING)?.contents);
            }
            Ok(extension.id == Oid::OCSP_NONCE)
        })?;
        fields.end()?;
        let signed = Signed {
            message: tbs.raw,
            algorithm,
            signature,
        };
        Ok(Self {
            signed,
            responder,
            responses,
            nonce,
            certificates,
        })
    }

    /// Seconds since 1970 until which all that it says holds, if it holds at all: how long to keep it.
    #[must_use]
    pub fn until(&self) -> Option<i64> {
        self.responses.iter().map(Single::until).min()
    }

    /// What it says of a certificate that `issuer` has issued, at `now` in seconds since 1970. A nonce in the response must be
    /// `nonce`, if that is given; one that is missing is no error, since most responders sign ahead (RFC 5019 §4).
    ///
    /// # Errors
    /// If nobody who may has said it, or not for now.
    pub fn check(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        nonce: Option<&[u8]>,
        now: i64,
        algorithms: &Algorithms<'_>,
    ) -> Result<OcspStatus, OcspError> {
        let single = self.about(certificate, issuer)?;
        if let (Some(expected), Some(found)) = (nonce, self.nonce)
            && expected != found
        {
            return Err(OcspError::Nonce);
        }
        self.check_signature(issuer, now, algorithms)?;
        let this_update = single.this_update;
        if this_update > now.saturating_add(SKEW_SECS_MAX) {
            return Err(OcspError::NotYet { this_update });
        }
        let until = single.until();
        if until < now {
            return Err(OcspError::Stale { until });
        }
        Ok(match single.status {
            SingleStatus::Good => OcspStatus::Good { until },
            SingleStatus::Revoked { at, reason } => OcspStatus::Revoked { at, reason },
            SingleStatus::Unknown => OcspStatus::Unknown,
        })
    }

    /// The timestamps of logs that came with what it says of a certificate (RFC 6962 §3.3). Logs have signed them: who
    /// signed the response does not matter.
    #[must_use]
    pub fn sct_list(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
    ) -> Option<&'a [u8]> {
        self.about(certificate, issuer).ok()?.sct_list
    }

    fn about(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
    ) -> Result<&Single<'a>, OcspError> {
        let responses = self.responses.iter();
        responses
            .filter(|single| single.is_about(certificate, issuer))
            .max_by_key(|single| single.this_update)
            .ok_or(OcspError::OtherCertificate)
    }

    /// RFC 6960 §3.2 and §4.2.2.2: of the issuer itself, or of whom it has issued a certificate for this.
    fn check_signature(
        &self,
        issuer: &Certificate<'_>,
        now: i64,
        algorithms: &Algorithms<'_>,
    ) -> Result<(), OcspError> {
        if self.responder.is(issuer) {
            let key = issuer.public_key();
            return (self.signed.verify(key, algorithms)).map_err(OcspError::Signature);
        }
        let mut failure = ResponderError::Missing;
        for der in &self.certificates {
            let delegated = match Certificate::parse(der) {
                Ok(certificate) if !self.responder.is(&certificate) => continue,
                Ok(certificate) => certificate,
                Err(error) => {
                    failure = error.into();
                    continue;
                }
            };
            match check_delegated(&delegated, issuer, now, algorithms) {
                Ok(()) => {
                    let key = delegated.public_key();
                    return (self.signed.verify(key, algorithms)).map_err(OcspError::Signature);
                }
                Err(error) => failure = error,
            }
        }
        Err(OcspError::Responder(failure))
    }
}

impl Responder<'_> {
    fn is(&self, certificate: &Certificate<'_>) -> bool {
        match self {
            Self::Name(name) => *name == certificate.subject(),
            Self::Key(hash) => *hash == Sha1::digest(certificate.public_key().octets).as_slice(),
        }
    }
}

/// Whether `issuer` lets this certificate's key sign responses for it. Whether the certificate is itself revoked is not asked:
/// those of responders live shortly and say so (id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1).
fn check_delegated(
    delegated: &Certificate<'_>,
    issuer: &Certificate<'_>,
    now: i64,
    algorithms: &Algorithms<'_>,
) -> Result<(), ResponderError> {
    if delegated.issuer() != issuer.subject() {
        return Err(ResponderError::Issuer);
    }
    let purposes = delegated.purposes().map_err(CertificateError::from)?;
    if !purposes
        .unwrap_or_default()
        .contains(&Oid::PURPOSE_OCSP_SIGNING)
    {
        return Err(ResponderError::Purpose);
    }
    let validity = delegated.validity();
    if !(validity.not_before..=validity.not_after).contains(&now) {
        return Err(ResponderError::Validity);
    }
    verify_signature(delegated, issuer.public_key(), algorithms).map_err(ResponderError::Signature)
}

impl<'a> Single<'a> {
    fn read(list: &mut Reader<'a>) -> Result<Self, OcspError> {
        let mut fields = list.sequence()?;
        let mut id = fields.sequence()?;
        let hash = Oid::read(&mut id.sequence()?)?;
        let name_hash = id.element(tag::OCTET_STRING)?.contents;
        let key_hash = id.element(tag::OCTET_STRING)?.contents;
        let serial = id.integer()?.contents;
        id.end()?;
        let status = read_status(&fields.any()?)?;
        let this_update = ct::read_time(&mut fields)?;
        let next_update = match fields.optional(tag::context_constructed(0))? {
            Some(next) => Some(ct::read_time(&mut next.open())?),
            None => None,
        };
        let mut sct_list = None;
        read_extensions(&mut fields, 1, |extension| {
            if extension.id == Oid::OCSP_SCT_LIST {
                sct_list = Some(extension.open(tag::OCTET_STRING)?.contents);
            }
            Ok(extension.id == Oid::OCSP_SCT_LIST)
        })?;
        fields.end()?;
        Ok(Self {
            hash,
            name_hash,
            key_hash,
            serial,
            status,
            this_update,
            next_update,
            sct_list,
        })
    }

    /// Whether its CertID is that of the certificate, by whatever hash the responder chose.
    fn is_about(&self, certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
        let is_hash = |found: &[u8], bytes: &[u8]| match self.hash {
            Oid::SHA1 => found == Sha1::digest(bytes).as_slice(),
            Oid::SHA256 => found == Sha256::digest(bytes).as_slice(),
            Oid::SHA384 => found == Sha384::digest(bytes).as_slice(),
            Oid::SHA512 => found == Sha512::digest(bytes).as_slice(),
            _ => false,
        };
        self.serial == certificate.serial()
            && is_hash(self.name_hash, certificate.issuer())
            && is_hash(self.key_hash, issuer.public_key().octets)
    }

    fn until(&self) -> i64 {
        let unbounded = || self.this_update.saturating_add(UNBOUNDED_AGE_SECS_MAX);
        self.next_update.unwrap_or_else(unbounded)
    }
}

fn read_responder<'a>(fields: &mut Reader<'a>) -> Result<Responder<'a>, OcspError> {
    if let Some(name) = fields.optional(tag::context_constructed(1))? {
        return Ok(Responder::Name(name.open().only(tag::SEQUENCE)?.raw));
    }
    let key = fields.element(tag::context_constructed(2))?;
    let hash = key.open().only(tag::OCTET_STRING)?;
    Ok(Responder::Key(hash.contents))
}

/// CertStatus: `good` and `unknown` are implicit NULLs, `revoked` is an implicit SEQUENCE.
fn read_status(status: &Element<'_>) -> Result<SingleStatus, OcspError> {
    const GOOD: u8 = tag::context(0);
    const REVOKED: u8 = tag::context_constructed(1);
    const UNKNOWN: u8 = tag::context(2);
    match (status.tag, status.contents) {
        (GOOD, []) => Ok(SingleStatus::Good),
        (UNKNOWN, []) => Ok(SingleStatus::Unknown),
        (REVOKED, _) => {
            let mut fields = status.open();
            let at = ct::read_time(&mut fields)?;
            let reason = fields.optional(tag::context_constructed(0))?;
            let reason = reason.map(|reason| reason.open().only(tag::ENUMERATED));
            let reason = reason.transpose()?;
            let reason = reason.and_then(|reason| reason.contents.first().copied());
            fields.end()?;
            Ok(SingleStatus::Revoked { at, reason })
        }
        _ => Err(status.invalid("CertStatus").into()),
    }
}

/// Explicit Extensions with this number, if they are there. `take` says whether it knows one.
fn read_extensions<'a>(
    fields: &mut Reader<'a>,
    number: u8,
    mut take: impl FnMut(&Extension<'a>) -> Result<bool, DerError>,
) -> Result<(), OcspError> {
    let Some(wrapper) = fields.optional(tag::context_constructed(number))? else {
        return Ok(());
    };
    let mut list = wrapper.open().only(tag::SEQUENCE)?.open();
    while !list.is_at_end() {
        let extension = Extension::read(&mut list)?;
        if !take(&extension)? && extension.is_critical {
            return Err(OcspError::UnknownCritical(extension.id.to_string()));
        }
    }
    Ok(())
}
