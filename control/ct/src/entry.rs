//! [`LogEntry`]: what is logged of a certificate, and [`TimestampedEntry`]: its place and time in a log.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ct_extensions::{CtExtensions, CtExtensionsError};
use crate::hash::Hash;
use crate::tls::{Reader, Sink, Truncated, U24_MAX};

/// What is logged of a certificate (RFC 6962 §3.1, §3.2). All bytes are DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Certificate or precertificate.
    pub kind: EntryKind,
    /// SHA-256 of each certificate above it up to the accepted root, in their order.
    pub chain: Arc<[Hash]>,
}

/// The two kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A final certificate: x509_entry.
    Certificate(Arc<[u8]>),
    /// A precertificate: precert_entry.
    Precertificate {
        /// SHA-256 of the SubjectPublicKeyInfo of who signs the final certificate.
        issuer_key_hash: Hash,
        /// TBSCertificate without poison, and with the final issuer's name and key identifier.
        tbs: Arc<[u8]>,
        /// The precertificate as submitted.
        submitted: Arc<[u8]>,
    },
}

/// Fingerprints that a TileLeaf holds: their vector has at most 2^16 - 1 bytes.
pub const CHAIN_MAX: usize = u16::MAX as usize / Hash::BYTES;

/// The part of an entry that a log signs: `signed_entry` of RFC 6962 §3.2. A certificate with embedded timestamps gives
/// it without having been submitted anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedEntry<'a> {
    /// DER of the certificate.
    Certificate(&'a [u8]),
    /// The precertificate's.
    Precertificate {
        /// SHA-256 of the issuer's SubjectPublicKeyInfo.
        issuer_key_hash: Hash,
        /// DER of the TBSCertificate without poison and without embedded timestamps.
        tbs: &'a [u8],
    },
}

/// An entry, the time at which the log took it, and what the log said with it. Within the bounds of its encodings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampedEntry {
    timestamp_ms: u64,
    entry: LogEntry,
    extensions: CtExtensions,
}

/// Why bytes, or parts, are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// They end too soon.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// Something follows that belongs to no entry.
    #[error("{left} bytes follow the entry")]
    Trailing {
        /// Bytes too many.
        left: usize,
    },
    /// Not version 1.
    #[error("version {0}, not 0")]
    Version(u8),
    /// Not a timestamped entry.
    #[error("leaf type {0}, not 0")]
    LeafType(u8),
    /// Neither x509_entry nor precert_entry.
    #[error("entry type {0}")]
    EntryType(u16),
    /// DER of no bytes, or of more than 2^24 - 1.
    #[error("DER of {found} bytes, outside 1 to 2^24 - 1")]
    Der {
        /// Its bytes.
        found: usize,
    },
    /// A chain longer than [`CHAIN_MAX`], or certificates in it that take more than 2^24 - 1 bytes together.
    #[error("chain of {found} certificates is too long")]
    Chain {
        /// Certificates in it.
        found: usize,
    },
    /// A chain whose bytes are no multiple of a fingerprint's.
    #[error("fingerprints take {found} bytes")]
    Fingerprints {
        /// Their bytes.
        found: usize,
    },
    /// Extensions that are none.
    #[error(transparent)]
    Extensions(#[from] CtExtensionsError),
    /// The log has no certificate with this fingerprint.
    #[error("no issuer {0}")]
    Issuer(Hash),
}

impl LogEntry {
    /// The part that a log signs.
    #[must_use]
    pub fn signed(&self) -> SignedEntry<'_> {
        match &self.kind {
            EntryKind::Certificate(certificate) => SignedEntry::Certificate(certificate),
            EntryKind::Precertificate {
                issuer_key_hash,
                tbs,
                ..
            } => SignedEntry::Precertificate {
                issuer_key_hash: *issuer_key_hash,
                tbs,
            },
        }
    }
}

impl SignedEntry<'_> {
    /// Bytes within the bounds of u24 lengths.
    pub(crate) fn check(&self) -> Result<(), EntryError> {
        let (Self::Certificate(der) | Self::Precertificate { tbs: der, .. }) = self;
        check_der(der)
    }

    /// MerkleTreeLeaf (RFC 6962 §3.4). What a timestamp signs (§3.2) has the same bytes: version 0, then type 0 of leaf and of
    /// signature, then the entry.
    pub(crate) fn write_leaf(
        &self,
        timestamp_ms: u64,
        extensions: &CtExtensions,
        out: &mut impl Sink,
    ) {
        out.put(&[0, 0]);
        self.write_timestamped(timestamp_ms, extensions, out);
    }

    /// TimestampedEntry (RFC 6962 §3.4).
    fn write_timestamped(&self, timestamp_ms: u64, extensions: &CtExtensions, out: &mut impl Sink) {
        out.put(&timestamp_ms.to_be_bytes());
        match self {
            Self::Certificate(certificate) => {
                out.put(&[0, 0]);
                out.put_opaque24(certificate);
            }
            Self::Precertificate {
                issuer_key_hash,
                tbs,
            } => {
                out.put(&[0, 1]);
                out.put(&issuer_key_hash.0);
                out.put_opaque24(tbs);
            }
        }
        out.put_opaque16(extensions.as_bytes());
    }
}

impl TimestampedEntry {
    /// Of its parts; `timestamp_ms` is in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// If some part is too long to be encoded.
    pub fn new(
        entry: LogEntry,
        timestamp_ms: u64,
        extensions: CtExtensions,
    ) -> Result<Self, EntryError> {
        entry.signed().check()?;
        if let EntryKind::Precertificate { submitted, .. } = &entry.kind {
            check_der(submitted)?;
        }
        let found = entry.chain.len();
        if found > CHAIN_MAX {
            return Err(EntryError::Chain { found });
        }
        Ok(Self {
            timestamp_ms,
            entry,
            extensions,
        })
    }

    /// When the log took it, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// What is logged.
    #[must_use]
    pub fn entry(&self) -> &LogEntry {
        &self.entry
    }

    /// What the log said with it: in tiled logs, its index.
    #[must_use]
    pub fn extensions(&self) -> &CtExtensions {
        &self.extensions
    }

    /// MerkleTreeLeaf, `leaf_input` of get-entries; the bytes that its timestamp signs are the same.
    #[must_use]
    pub fn leaf_input(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let signed = self.entry.signed();
        signed.write_leaf(self.timestamp_ms, &self.extensions, &mut out);
        out
    }

    /// Hash of the leaf in the tree, without a copy of the entry.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        let mut hasher = Sha256::new_with_prefix([0]);
        let signed = self.entry.signed();
        signed.write_leaf(self.timestamp_ms, &self.extensions, &mut hasher);
        Hash(hasher.finalize().into())
    }

    /// Appends its TileLeaf (static-ct-api, "Log entries") to a data tile.
    pub fn write_tile_leaf(&self, out: &mut Vec<u8>) {
        let signed = self.entry.signed();
        signed.write_timestamped(self.timestamp_ms, &self.extensions, out);
        if let EntryKind::Precertificate { submitted, .. } = &self.entry.kind {
            out.put_opaque24(submitted);
        }
        let bytes = u16::try_from(self.entry.chain.len() * Hash::BYTES);
        out.put(&bytes.expect("checked when it was made").to_be_bytes());
        for fingerprint in self.entry.chain.iter() {
            out.put(&fingerprint.0);
        }
    }

    /// `extra_data` of get-entries (RFC 6962 §4.6): the submitted precertificate, if it is one, and the chain, whose
    /// certificates `issuer` gives by their SHA-256.
    ///
    /// # Errors
    ///
    /// If it does not have one, or they are too long together.
    pub fn extra_data<B: AsRef<[u8]>>(
        &self,
        mut issuer: impl FnMut(&Hash) -> Option<B>,
    ) -> Result<Vec<u8>, EntryError> {
        let mut chain = Vec::new();
        for fingerprint in self.entry.chain.iter() {
            let certificate = issuer(fingerprint).ok_or(EntryError::Issuer(*fingerprint))?;
            check_der(certificate.as_ref())?;
            chain.put_opaque24(certificate.as_ref());
        }
        if chain.len() > U24_MAX {
            let found = self.entry.chain.len();
            return Err(EntryError::Chain { found });
        }
        let mut out = Vec::new();
        if let EntryKind::Precertificate { submitted, .. } = &self.entry.kind {
            out.put_opaque24(submitted);
        }
        out.put_opaque24(&chain);
        Ok(out)
    }

    /// Reads `leaf_input` and `extra_data` of get-entries, and gives the certificates of its chain beside it.
    ///
    /// # Errors
    ///
    /// If they are no entry.
    pub fn from_get_entries<'a>(
        leaf_input: &[u8],
        extra_data: &'a [u8],
    ) -> Result<(Self, Vec<&'a [u8]>), EntryError> {
        let mut leaf = Reader::new(leaf_input);
        match (leaf.u8()?, leaf.u8()?) {
            (0, 0) => {}
            (0, leaf_type) => return Err(EntryError::LeafType(leaf_type)),
            (version, _) => return Err(EntryError::Version(version)),
        }
        let (timestamp_ms, signed, extensions) = read_timestamped(&mut leaf)?;
        expect_end(&leaf)?;
        let mut extra = Reader::new(extra_data);
        let kind = read_kind(signed, &mut extra)?;
        let mut certificates = Reader::new(extra.opaque24()?);
        expect_end(&extra)?;
        let mut chain = Vec::new();
        while !certificates.is_empty() {
            let certificate = certificates.opaque24()?;
            check_der(certificate)?;
            chain.push(certificate);
        }
        let fingerprints = chain.iter().map(|certificate| Hash::of(certificate));
        let entry = LogEntry {
            kind,
            chain: fingerprints.collect(),
        };
        Ok((Self::new(entry, timestamp_ms, extensions)?, chain))
    }

    /// Reads one TileLeaf.
    pub(crate) fn read_tile_leaf(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        let (timestamp_ms, signed, extensions) = read_timestamped(reader)?;
        let kind = read_kind(signed, reader)?;
        let fingerprints = reader.opaque16()?;
        let found = fingerprints.len();
        let (chain, []) = fingerprints.as_chunks() else {
            return Err(EntryError::Fingerprints { found });
        };
        let chain = chain.iter().copied().map(Hash).collect();
        Self::new(LogEntry { kind, chain }, timestamp_ms, extensions)
    }
}

/// A DER value that a u24 length can announce, and that is not nothing.
pub(crate) fn check_der(der: &[u8]) -> Result<(), EntryError> {
    let found = der.len();
    if (1..=U24_MAX).contains(&found) {
        return Ok(());
    }
    Err(EntryError::Der { found })
}

fn expect_end(reader: &Reader<'_>) -> Result<(), EntryError> {
    match reader.left() {
        0 => Ok(()),
        left => Err(EntryError::Trailing { left }),
    }
}

fn read_timestamped<'a>(
    reader: &mut Reader<'a>,
) -> Result<(u64, SignedEntry<'a>, CtExtensions), EntryError> {
    let timestamp_ms = reader.u64()?;
    let signed = match reader.u16()? {
        0 => SignedEntry::Certificate(reader.opaque24()?),
        1 => SignedEntry::Precertificate {
            issuer_key_hash: reader.hash()?,
            tbs: reader.opaque24()?,
        },
        unknown => return Err(EntryError::EntryType(unknown)),
    };
    let extensions = CtExtensions::parse(reader.opaque16()?)?;
    Ok((timestamp_ms, signed, extensions))
}

/// The entry with the precertificate that was submitted, which both forms have next, if it is one.
fn read_kind(signed: SignedEntry<'_>, reader: &mut Reader<'_>) -> Result<EntryKind, EntryError> {
    Ok(match signed {
        SignedEntry::Certificate(certificate) => EntryKind::Certificate(certificate.into()),
        SignedEntry::Precertificate {
            issuer_key_hash,
            tbs,
        } => EntryKind::Precertificate {
            issuer_key_hash,
            tbs: tbs.into(),
            submitted: reader.opaque24()?.into(),
        },
    })
}
