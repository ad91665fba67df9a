//! [`assess`]: what a modern verifier demands of a certificate beyond its chain, after the CA/Browser Forum's Baseline
//! Requirements (BR) for TLS servers.
//!
//! A list of all that is wrong, not a verdict. Name constraints and policies along the path are left to path validation.

use crate::certificate::{Certificate, PublicKey};
use crate::der::{DerError, Reader, tag};
use crate::extension::{AlternativeName, KeyUsage};
use crate::oid::Oid;
use crate::time::{DAY_SECONDS, unix_midnight};

/// Bits of an RSA modulus at least (BR 6.1.5).
pub const RSA_BITS_MIN: usize = 2048;

/// Octets of a serial number at most (RFC 5280 §4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;

/// How long a server's certificate may be valid, if it was issued on a day or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifetimeRule {
    /// In seconds since 1970.
    pub issued_from: i64,
    /// Days of 86,400 seconds, of which any part counts as a whole one.
    pub days_max: u16,
}

impl LifetimeRule {
    const fn new(year: u16, month: u8, day: u8, days_max: u16) -> Self {
        Self {
            issued_from: unix_midnight(year, month, day),
            days_max,
        }
    }
}

/// BR 6.3.2, with the steps that ballot SC-081v3 has decided on. Later rules replace earlier ones.
pub const LIFETIME_RULES: [LifetimeRule; 5] = [
    LifetimeRule::new(2018, 3, 1, 825),
    LifetimeRule::new(2020, 9, 1, 398),
    LifetimeRule::new(2026, 3, 15, 200),
    LifetimeRule::new(2027, 3, 15, 100),
    LifetimeRule::new(2029, 3, 15, 47),
];

/// Where a certificate stands in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of the server.
    EndEntity,
    /// Of an authority between server and root.
    Authority,
    /// Trusted as it is: its signature says nothing.
    Root,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// BR 6.1.5.
    #[error("an RSA key of {bits} bits: {RSA_BITS_MIN} or more, and whole octets, are demanded")]
    RsaBits {
        /// Of the modulus.
        bits: usize,
    },
    /// BR 6.1.6.
    #[error("an RSA key whose exponent is even or less than 3")]
    RsaExponent,
    /// Neither RSA nor on P-256, P-384 or P-521 nor Ed25519.
    #[error("a key of {algorithm}")]
    KeyAlgorithm {
        /// Of the key, or its curve.
        algorithm: String,
    },
    /// SHA-1 or MD5 (BR 7.1.3.2).
    #[error("a signature by {algorithm}, whose hash is broken")]
    BrokenHash {
        /// Of the signature.
        algorithm: String,
    },
    /// Not an algorithm of BR 7.1.3.2, nor Ed25519.
    #[error("a signature by {algorithm}")]
    SignatureAlgorithm {
        /// Of the signature.
        algorithm: String,
    },
    /// NotAfter before NotBefore.
    #[error("the validity ends before it begins")]
    NeverValid,
    /// BR 6.3.2.
    #[error("valid for {days} days, at most {days_max} are allowed for its day of issuance")]
    Lifetime {
        /// Begun days.
        days: i64,
        /// By [`LIFETIME_RULES`].
        days_max: u16,
    },
    /// RFC 5280 §4.1.2.2: positive, and no longer than 20 octets.
    #[error("a serial number that is not positive, or of more than {SERIAL_BYTES_MAX} octets")]
    Serial,
    /// BR 7.1.2.7.12.
    #[error("no domain or address among the alternative names")]
    NoName,
    /// A wildcard directly below the root of the DNS.
    #[error("the name {name} stands for a whole top-level domain")]
    WideWildcard {
        /// As it was written.
        name: String,
    },
    /// BR 7.1.2.7.10.
    #[error("the key is not for TLS servers")]
    NotForServers,
    /// The certificate of a server that may issue (BR 7.1.2.7.8).
    #[error("an authority's certificate in the place of a server's")]
    Authority,
    /// BR 7.1.2.10.4: critical basic constraints say so.
    #[error("no critical extension says that it is of an authority")]
    NotAuthority,
    /// BR 7.1.2.10.7.
    #[error("the key is not for signing certificates")]
    NotForSigning,
    /// RFC 5280 §4.2: who does not know it must refuse. The poison of precertificates is one.
    #[error("critical extension {id} is unknown")]
    UnknownCritical {
        /// Its identifier.
        id: String,
    },
    /// A part that is not of its syntax.
    #[error(transparent)]
    Malformed(#[from] DerError),
}

/// Lists what is wrong with a certificate in its place. Of a root only the key counts (RFC 5280 §6.1.1).
#[must_use]
pub fn assess(certificate: &Certificate<'_>, role: Role) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note = |finding: Result<Option<Finding>, DerError>| {
        findings.extend(finding.unwrap_or_else(|error| Some(error.into())));
    };
    note(assess_key(certificate.public_key()));
    match role {
        Role::EndEntity => {
            note(Ok(assess_lifetime(certificate)));
            note(assess_names(certificate));
            note(assess_server(certificate));
        }
        Role::Authority => {
            note(assess_authority(certificate));
            note(assess_signing(certificate));
        }
        Role::Root => return findings,
    }
    note(assess_signature(certificate.signature_algorithm()));
    note(Ok(assess_serial(certificate.serial())));
    findings.extend(unknown_critical(certificate));
    findings
}

fn assess_key(key: PublicKey<'_>) -> Result<Option<Finding>, DerError> {
    let mut fields = Reader::new(key.algorithm);
    let algorithm = Oid::read(&mut fields)?;
    let judged = match algorithm {
        Oid::RSA => return assess_rsa(key.octets),
        Oid::ED25519 => return Ok(None),
        Oid::ECDSA_KEY => Oid::read(&mut fields)?,
        other => other,
    };
    let is_curve =
        algorithm == Oid::ECDSA_KEY && [Oid::P256, Oid::P384, Oid::P521].contains(&judged);
    Ok((!is_curve).then(|| Finding::KeyAlgorithm {
        algorithm: judged.to_string(),
    }))
}

/// RSAPublicKey of RFC 3279 §2.3.1.
fn assess_rsa(octets: &[u8]) -> Result<Option<Finding>, DerError> {
    let mut fields = Reader::new(octets).only(tag::SEQUENCE)?.open();
    let modulus = fields.integer()?.contents;
    let exponent = fields.integer()?.contents;
    fields.end()?;
    let bits = match modulus {
        [0x80..=0xff, ..] => 0, // Negative.
        [0, digits @ ..] => digits.len() * 8,
        [first, rest @ ..] => {
            (rest.len() + 1) * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default()
        }
        [] => 0,
    };
    if bits < RSA_BITS_MIN || !bits.is_multiple_of(8) {
        return Ok(Some(Finding::RsaBits { bits }));
    }
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    let is_positive = exponent.first().is_some_and(|first| *first < 0x80);
    let fits = is_odd && is_positive && exponent != [1];
    Ok((!fits).then_some(Finding::RsaExponent))
}

fn assess_signature(contents: &[u8]) -> Result<Option<Finding>, DerError> {
    let mut fields = Reader::new(contents);
    let id = Oid::read(&mut fields)?;
    let algorithm = || id.to_string();
    Ok(match id {
        Oid::RSA_SHA256 | Oid::RSA_SHA384 | Oid::RSA_SHA512 | Oid::ED25519 => None,
        Oid::ECDSA_SHA256 | Oid::ECDSA_SHA384 | Oid::ECDSA_SHA512 => None,
        Oid::RSA_MD5 | Oid::RSA_SHA1 | Oid::ECDSA_SHA1 => Some(Finding::BrokenHash {
            algorithm: algorithm(),
        }),
        Oid::RSA_PSS
            if [Oid::SHA256, Oid::SHA384, Oid::SHA512]
                .map(Some)
                .contains(&pss_hash(&mut fields)?) =>
        {
            None
        }
        Oid::RSA_PSS => Some(Finding::BrokenHash {
            algorithm: algorithm(),
        }),
        _ => Some(Finding::SignatureAlgorithm {
            algorithm: algorithm(),
        }),
    })
}

/// RFC 4055 §3.1: the hash of RSASSA-PSS, which is SHA-1 where none is named.
fn pss_hash<'a>(fields: &mut Reader<'a>) -> Result<Option<Oid<'a>>, DerError> {
    let Some(parameters) = fields.optional(tag::SEQUENCE)? else {
        return Ok(None);
    };
    let Some(hash) = parameters.open().optional(tag::context_constructed(0))? else {
        return Ok(None);
    };
    let algorithm = hash.open().only(tag::SEQUENCE)?;
    Oid::read(&mut algorithm.open()).map(Some)
}

fn assess_serial(serial: &[u8]) -> Option<Finding> {
    let is_positive = matches!(serial, [1..0x80, ..] | [0, _, ..]);
    let fits = is_positive && serial.len() <= SERIAL_BYTES_MAX;
    (!fits).then_some(Finding::Serial)
}

fn assess_lifetime(certificate: &Certificate<'_>) -> Option<Finding> {
    let validity = certificate.validity();
    if validity.not_after < validity.not_before {
        return Some(Finding::NeverValid);
    }
    // BR 1.6.1: both ends belong to it, and a begun day is a day.
    let days = (validity.not_after - validity.not_before) / DAY_SECONDS + 1;
    let rules = LIFETIME_RULES.iter().rev();
    let days_max = rules
        .clone()
        .find(|rule| rule.issued_from <= validity.not_before)?
        .days_max;
    (days > i64::from(days_max)).then_some(Finding::Lifetime { days, days_max })
}

fn assess_names(certificate: &Certificate<'_>) -> Result<Option<Finding>, DerError> {
    let names = certificate.alternative_names()?.unwrap_or_default();
    let has_host = names
        .iter()
        .any(|name| matches!(name, AlternativeName::Dns(_) | AlternativeName::Ip(_)));
    if !has_host {
        return Ok(Some(Finding::NoName));
    }
    Ok(names.iter().find_map(|name| match name {
        AlternativeName::Dns(name)
            if name
                .strip_prefix("*.")
                .is_some_and(|parent| !parent.contains('.')) =>
        {
            Some(Finding::WideWildcard {
                name: (*name).to_owned(),
            })
        }
        _ => None,
    }))
}

fn assess_server(certificate: &Certificate<'_>) -> Result<Option<Finding>, DerError> {
    if certificate
        .basic_constraints()?
        .is_some_and(|constraints| constraints.is_ca)
    {
        return Ok(Some(Finding::Authority));
    }
    let purposes = certificate.purposes()?.unwrap_or_default();
    let is_for_servers = purposes.contains(&Oid::PURPOSE_SERVER);
    Ok((!is_for_servers).then_some(Finding::NotForServers))
}

fn assess_authority(certificate: &Certificate<'_>) -> Result<Option<Finding>, DerError> {
    let is_critical = certificate
        .extension(Oid::BASIC_CONSTRAINTS)
        .is_some_and(|extension| extension.is_critical);
    let is_ca = certificate
        .basic_constraints()?
        .is_some_and(|constraints| constraints.is_ca);
    Ok((!is_critical || !is_ca).then_some(Finding::NotAuthority))
}

fn assess_signing(certificate: &Certificate<'_>) -> Result<Option<Finding>, DerError> {
    let usage = certificate.key_usage()?;
    let signs = usage.is_some_and(|usage| usage.has(KeyUsage::CERTIFICATE_SIGNING));
    Ok((!signs).then_some(Finding::NotForSigning))
}

fn unknown_critical(certificate: &Certificate<'_>) -> impl Iterator<Item = Finding> {
    const KNOWN: [Oid<'static>; 7] = [
        Oid::BASIC_CONSTRAINTS,
        Oid::KEY_USAGE,
        Oid::EXTENDED_KEY_USAGE,
        Oid::SUBJECT_ALT_NAME,
        Oid::NAME_CONSTRAINTS,
        Oid::CERTIFICATE_POLICIES,
        Oid::CRL_DISTRIBUTION_POINTS,
    ];
    let critical = certificate
        .extensions()
        .iter()
        .filter(|extension| extension.is_critical);
    critical
        .filter(|extension| !KNOWN.contains(&extension.id))
        .map(|extension| Finding::UnknownCritical {
            id: extension.id.to_string(),
        })
}
