//! What is judged and by what: [`Request`], [`Context`], [`Evidence`], and what is still [`Wanted`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ct::{ChromePolicy, Hash, LogList};

use crate::anchors::Anchors;
use crate::crl::Crl;
use crate::inclusion::Inclusion;
use crate::tlsa::Tlsa;

/// Certificates of a chain at most.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;
/// Octets of a chain at most, all certificates together.
pub const CHAIN_BYTES_MAX: usize = 128 << 10;
/// Octets of an OCSP response, and of a list of timestamps, at most.
pub const STAPLED_BYTES_MAX: usize = 64 << 10;

/// What the certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// A TLS server.
    #[default]
    Server,
    /// A TLS client.
    Client,
}

/// A chain to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// DER of the certificates, the one to be judged first, the others in any order.
    pub chain: Vec<Vec<u8>>,
    /// Domain or address that it should be for.
    pub host: Option<String>,
    /// TCP port of the server, which TLSA records are looked up with.
    pub port: Option<u16>,
    /// OCSP response of the handshake.
    pub ocsp: Option<Vec<u8>>,
    /// SignedCertificateTimestampList of the handshake's extension.
    pub sct_list: Option<Vec<u8>>,
    /// What it is used for.
    pub purpose: Purpose,
}

/// By what chains are judged.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// Where paths may end.
    pub anchors: &'c Anchors,
    /// The logs that are known.
    pub logs: Option<&'c LogList>,
    /// How many timestamps, of which logs.
    pub policy: ChromePolicy,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Nanoseconds of a clock that never goes back: only differences count.
    pub clock_ns: &'c dyn Fn() -> u64,
    /// What was fetched.
    pub evidence: &'c Evidence,
}

impl Context<'_> {
    pub(crate) fn now_secs(&self) -> i64 {
        i64::try_from(self.now_ms / 1_000).unwrap_or(i64::MAX)
    }
}

/// What was fetched for a chain, or is at hand anyway.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// DER of certificates that may stand between the chain and an anchor, by the URL that they came from.
    pub issuers: BTreeMap<String, Vec<u8>>,
    /// OCSP responses by the CertID that they were asked for with.
    pub ocsp: BTreeMap<Vec<u8>, FetchedOcsp>,
    /// Revocation lists by the URL that they came from.
    pub crls: BTreeMap<String, Arc<Crl>>,
    /// Revocation lists that came by other ways.
    pub other_crls: Vec<Arc<Crl>>,
    /// TLSA records of the host.
    pub tlsa: Option<Tlsa>,
    /// Proofs by log and leaf hash.
    pub inclusion: BTreeMap<(Hash, Hash), Inclusion>,
    /// What was asked for and could not be had. It is not wanted again, but something in its place may be. TLSA records that
    /// nobody was there to ask for do not belong here.
    pub failed: BTreeSet<Wanted>,
}

/// What of [`Evidence`] a verdict rests on: each of it signed by whom it had to be signed by. All else came over plain HTTP and
/// may be anybody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Used {
    /// URLs of [`Evidence::issuers`] that the path goes through.
    pub issuers: BTreeSet<String>,
    /// CertIDs of [`Evidence::ocsp`] by which a certificate is good or revoked.
    pub ocsp: BTreeSet<Vec<u8>>,
    /// URLs of [`Evidence::crls`] by which a certificate is good or revoked.
    pub crls: BTreeSet<String>,
}

/// An OCSP response that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOcsp {
    /// DER.
    pub response: Vec<u8>,
    /// The nonce that it was asked for with.
    pub nonce: Option<Vec<u8>>,
}

/// Something that would tell more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A certificate, for [`Evidence::issuers`].
    Issuer {
        /// Where it is.
        url: String,
    },
    /// A response to [`crate::ocsp::encode_request`], for [`Evidence::ocsp`].
    Ocsp {
        /// Of the responder.
        url: String,
        /// Whom to ask for.
        cert_id: Vec<u8>,
    },
    /// A revocation list, for [`Evidence::crls`].
    Crl {
        /// Where it is.
        url: String,
    },
    /// TLSA records, for [`Evidence::tlsa`]. Where aliases of the host lead comes before the host itself (RFC 7671 §7).
    Tlsa {
        /// Domain of the server.
        host: String,
        /// Its TCP port.
        port: u16,
    },
    /// A proof, for [`Evidence::inclusion`].
    Inclusion {
        /// Id of the log.
        log: Hash,
        /// Hash of the leaf.
        leaf: Hash,
        /// Place in the log, if its timestamp tells.
        index: Option<u64>,
    },
}

impl core::fmt::Debug for Context<'_> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("Context")
            .field("now_ms", &self.now_ms)
            .field("anchors", &self.anchors.count())
            .finish_non_exhaustive()
    }
}
