//! What members ask of the certificate log, and its byte form.

use std::sync::Arc;

use consensus::{ClusterId, DecodeError, Digest, NodeId, Reader, Wire, Writer};
use ct::{EntryKind, Hash, KEY_NAME_BYTES_MAX, LogEntry, SHARD_NAME_BYTES_MAX};

use ed25519_zebra::{Signature, VerificationKey};

use crate::codec::unknown;

/// Most entries of a submission.
pub const CT_ENTRIES_MAX: usize = 1024;
/// Most bytes of a certificate in it.
pub const CT_CERTIFICATE_BYTES_MAX: usize = 65_535;
/// Most certificates above a logged one.
pub const CT_CHAIN_MAX: usize = 32;
/// Most bytes of a log's public key.
const SPKI_BYTES_MAX: usize = 1024;

/// A temporal shard: a log of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtShard {
    /// 1 to 63 of `a`–`z`, `0`–`9` and `-`.
    pub name: Arc<str>,
    /// Submission prefix without scheme and trailing slash.
    pub origin: Arc<str>,
    /// The first second since 1970 in which a certificate of it may end.
    pub start: i64,
    /// The first second in which it may not any more.
    pub end: i64,
    /// The log's key, a SubjectPublicKeyInfo.
    pub spki: Arc<[u8]>,
}

/// The Ed25519 key of a cosigner, and that it is the sender's: else somebody else could take it for his, and the sender had none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtCosignerKey {
    /// The public key.
    pub key: [u8; 32],
    /// A signature of [`CtCosignerKey::statement`] by it.
    pub proof: [u8; 64],
}

impl CtCosignerKey {
    /// What the key signs, of a node of a cluster. No checkpoint begins so.
    #[must_use]
    pub fn statement(cluster: ClusterId, node: NodeId) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(b"nexus: this key cosigns for a node\n");
        cluster.write(&mut out);
        node.write(&mut out);
        out.into_bytes()
    }

    /// Whether the key has signed that it is this node's.
    pub(crate) fn is_of(&self, cluster: ClusterId, node: NodeId) -> bool {
        let key = VerificationKey::try_from(self.key);
        let proof = Signature::from_bytes(&self.proof);
        let statement = Self::statement(cluster, node);
        key.is_ok_and(|key| key.verify(&proof, &statement).is_ok())
    }
}

/// Entries for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtSubmission {
    /// Name of the shard.
    pub shard: Arc<str>,
    /// Digest of the accepted roots that the sender has checked chains against: [`ct::Roots::digest`].
    pub roots: Digest,
    /// Certificates above the logged ones that may not be known yet, as DER.
    pub issuers: Vec<Arc<[u8]>>,
    /// In the order in which they get places.
    pub entries: Vec<LogEntry>,
}

fn write_text(text: &str, out: &mut Writer) {
    out.block(text.as_bytes());
}

fn read_text(
    from: &mut Reader<'_>,
    what: &'static str,
    bytes_max: usize,
) -> Result<Arc<str>, DecodeError> {
    let offset = from.offset();
    let bytes = from.block(what, bytes_max)?;
    match str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => Ok(text.into()),
        _ => unknown(what, bytes.len() as u64, offset),
    }
}

/// The name of a shard.
pub(crate) fn read_shard_name(from: &mut Reader<'_>) -> Result<Arc<str>, DecodeError> {
    read_text(from, "bytes of a shard's name", SHARD_NAME_BYTES_MAX)
}

/// The name of a shard.
pub(crate) fn write_shard_name(name: &str, out: &mut Writer) {
    write_text(name, out);
}

/// A certificate, or the inner part of one. Never empty.
fn read_der(from: &mut Reader<'_>) -> Result<Arc<[u8]>, DecodeError> {
    let offset = from.offset();
    match from.block("bytes of a certificate", CT_CERTIFICATE_BYTES_MAX)? {
        [] => unknown("certificate of this many bytes", 0_u8, offset),
        der => Ok(der.into()),
    }
}

fn write_hash(hash: &Hash, out: &mut Writer) {
    Digest(hash.0).write(out);
}

fn read_hash(from: &mut Reader<'_>) -> Result<Hash, DecodeError> {
    Digest::read(from).map(|digest| Hash(digest.0))
}

fn write_entry(entry: &LogEntry, out: &mut Writer) {
    match &entry.kind {
        EntryKind::Certificate(der) => {
            out.u8(0);
            out.block(der);
        }
        EntryKind::Precertificate {
            issuer_key_hash,
            tbs,
            submitted,
        } => {
            out.u8(1);
            write_hash(issuer_key_hash, out);
            out.block(tbs);
            out.block(submitted);
        }
    }
    out.u32(u32::try_from(entry.chain.len()).unwrap_or(u32::MAX));
    entry.chain.iter().for_each(|hash| write_hash(hash, out));
}

fn read_entry(from: &mut Reader<'_>) -> Result<LogEntry, DecodeError> {
    let offset = from.offset();
    let kind = match from.u8()? {
        0 => EntryKind::Certificate(read_der(from)?),
        1 => EntryKind::Precertificate {
            issuer_key_hash: read_hash(from)?,
            tbs: read_der(from)?,
            submitted: read_der(from)?,
        },
        value => return unknown("kind of entry", value, offset),
    };
    let count = from.count("certificates of a chain", CT_CHAIN_MAX)?;
    let chain: Result<Vec<_>, _> = (0..count).map(|_| read_hash(from)).collect();
    Ok(LogEntry {
        kind,
        chain: chain?.into(),
    })
}

impl Wire for CtCosignerKey {
    fn write(&self, out: &mut Writer) {
        out.bytes(&self.key);
        out.bytes(&self.proof);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: from.array()?,
            proof: from.array()?,
        })
    }
}

impl Wire for CtShard {
    fn write(&self, out: &mut Writer) {
        write_text(&self.name, out);
        write_text(&self.origin, out);
        out.u64(self.start.cast_unsigned());
        out.u64(self.end.cast_unsigned());
        out.block(&self.spki);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: read_shard_name(from)?,
            origin: read_text(from, "bytes of an origin", KEY_NAME_BYTES_MAX)?,
            start: from.u64()?.cast_signed(),
            end: from.u64()?.cast_signed(),
            spki: from.block("bytes of a key", SPKI_BYTES_MAX)?.into(),
        })
    }
}

impl Wire for CtSubmission {
    fn write(&self, out: &mut Writer) {
        write_text(&self.shard, out);
        self.roots.write(out);
        out.u32(u32::try_from(self.issuers.len()).unwrap_or(u32::MAX));
        self.issuers.iter().for_each(|der| out.block(der));
        out.u32(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for entry in &self.entries {
            write_entry(entry, out);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (shard, roots) = (read_shard_name(from)?, Digest::read(from)?);
        let count = from.count("issuers", CT_ENTRIES_MAX)?;
        let issuers: Result<Vec<_>, _> = (0..count).map(|_| read_der(from)).collect();
        let issuers = issuers?;
        let count = from.count("entries", CT_ENTRIES_MAX)?;
        let entries: Result<Vec<_>, _> = (0..count).map(|_| read_entry(from)).collect();
        Ok(Self {
            shard,
            roots,
            issuers,
            entries: entries?,
        })
    }
}
