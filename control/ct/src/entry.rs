//! [`LogEntry`]: one line of a log, and its forms in trees, tiles and replies.

use std::sync::Arc;

use crate::hash::Hash;

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
