//! [`Tlsa`]: which certificates the domain of a host allows (RFC 6698, RFC 7671).

use ct::Certificate;
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

/// Records of one host that are looked at.
pub const TLSA_RECORDS_MAX: usize = 64;

/// The records of a host and port, and what DNSSEC says of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tlsa {
    /// Whether DNSSEC has validated them. Others say nothing (RFC 6698 §4.1).
    pub is_secure: bool,
    /// Seconds since 1970 until which they may be used: the end of their time to live.
    pub until: i64,
    /// Where secure aliases of the host end, if the records are there and not at the host itself (RFC 7671 §7). Without final dot.
    pub base_domain: Option<String>,
    /// In any order; empty if there are none.
    pub records: Vec<TlsaRecord>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsaRecord {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE (RFC 7218 §2.1).
    pub usage: u8,
    /// 0 the certificate, 1 its SubjectPublicKeyInfo.
    pub selector: u8,
    /// 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// What must be there.
    pub data: Vec<u8>,
}

/// Record data that are no TLSA record: three numbers and at least one octet (RFC 6698 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("TLSA record of {bytes} octets, fewer than 4")]
pub struct TlsaTooShort {
    /// Its octets.
    pub bytes: usize,
}

impl TlsaRecord {
    /// Reads record data.
    ///
    /// # Errors
    /// If they are too short.
    pub fn parse(rdata: &[u8]) -> Result<Self, TlsaTooShort> {
        match rdata {
            [usage, selector, matching, data @ ..] if !data.is_empty() => Ok(Self {
                usage: *usage,
                selector: *selector,
                matching: *matching,
                data: data.to_vec(),
            }),
            _ => Err(TlsaTooShort { bytes: rdata.len() }),
        }
    }

    /// Whether it can be judged by: all numbers are known, and a digest has its length (RFC 7671 §4).
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let fits = match self.matching {
            0 => true,
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        fits && self.usage <= 3 && self.selector <= 1
    }

    /// Whether it is of this certificate.
    #[must_use]
    pub fn matches(&self, certificate: &Certificate<'_>) -> bool {
        let selected = match self.selector {
            0 => certificate.der(),
            1 => certificate.public_key().spki,
            _ => return false,
        };
        match self.matching {
            0 => self.data == selected,
            1 => self.data == Sha256::digest(selected).as_slice(),
            2 => self.data == Sha512::digest(selected).as_slice(),
            _ => false,
        }
    }
}

impl Tlsa {
    /// Records that can be judged by, of these usages.
    pub(crate) fn usable<'t>(&'t self, usages: &'t [u8]) -> impl Iterator<Item = &'t TlsaRecord> {
        let records = self.records.iter().take(TLSA_RECORDS_MAX);
        records.filter(|record| record.is_usable() && usages.contains(&record.usage))
    }
}

/// Owner of the records of a TCP port (RFC 6698 §3).
#[must_use]
pub fn owner(host: &str, port: u16) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    format!("_{port}._tcp.{host}")
}
