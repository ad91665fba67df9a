//! [`Sct`]: a log's promise, signed, that it has taken an entry (RFC 6962 §3.2, §3.3).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base64::Base64;
use crate::ct_extensions::{CtExtensions, CtExtensionsError};
use crate::entry::{EntryError, SignedEntry};
use crate::hash::Hash;
use crate::log_key::{DigitallySigned, LogKey, LogSignatureError};
use crate::signature::Algorithms;
use crate::tls::{Reader, Sink as _, Truncated};

/// SignedCertificateTimestamp of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sct {
    /// Whose promise it is: SHA-256 of the log's key.
    pub log_id: Hash,
    /// When the log took the entry, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// What the log says with it: in tiled logs, the index of the entry.
    pub extensions: CtExtensions,
    /// Of the log, over entry, time and extensions.
    pub signature: DigitallySigned,
}

/// Why bytes are no timestamp, or a timestamp does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SctError {
    /// They end too soon.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// Something follows.
    #[error("{left} bytes follow the timestamp")]
    Trailing {
        /// Bytes too many.
        left: usize,
    },
    /// Not version 1, which is 0. Clients pass over such a timestamp (RFC 6962 §3.3).
    #[error("version {0}, not 0")]
    Version(u8),
    /// A list with nothing in it, or with a timestamp of no bytes.
    #[error("empty list or timestamp")]
    Empty,
    /// Extensions that are none.
    #[error(transparent)]
    Extensions(#[from] CtExtensionsError),
    /// An entry that cannot be signed.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Of another log.
    #[error("timestamp of log {found}, not {expected}")]
    OtherLog {
        /// The log whose key it was checked with.
        expected: Hash,
        /// The log it names.
        found: Hash,
    },
    /// The signature is malformed, or not of this entry by this log.
    #[error(transparent)]
    Signature(#[from] LogSignatureError),
    /// From the future.
    #[error("timestamp {timestamp_ms} is after {now_ms}")]
    Future {
        /// Its time, in milliseconds since 1970.
        timestamp_ms: u64,
        /// The time of the check.
        now_ms: u64,
    },
}

/// Reply to add-chain and add-pre-chain (RFC 6962 §4.1), in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddChainReply {
    /// 0 for version 1.
    pub sct_version: u8,
    /// The log's id, in base64.
    pub id: Base64,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// In base64; empty for none.
    pub extensions: Base64,
    /// With algorithms and length, in base64.
    pub signature: Base64,
}

impl Sct {
    /// What a log signs with a timestamp of this entry.
    ///
    /// # Errors
    ///
    /// If the entry is too long.
    pub fn signed_input(
        entry: &SignedEntry<'_>,
        timestamp_ms: u64,
        extensions: &CtExtensions,
    ) -> Result<Vec<u8>, SctError> {
        entry.check()?;
        let mut out = Vec::new();
        entry.write_leaf(timestamp_ms, extensions, &mut out);
        Ok(out)
    }

    /// Checks that this log promised to take this entry, and not in the future of `now_ms` (milliseconds since 1970).
    ///
    /// # Errors
    ///
    /// If it did not.
    pub fn verify(
        &self,
        entry: &SignedEntry<'_>,
        key: &LogKey,
        algorithms: &Algorithms<'_>,
        now_ms: u64,
    ) -> Result<(), SctError> {
        let (expected, found) = (key.id(), self.log_id);
        if expected != found {
            return Err(SctError::OtherLog { expected, found });
        }
        let message = Self::signed_input(entry, self.timestamp_ms, &self.extensions)?;
        key.verify(&message, &self.signature, algorithms)?;
        if self.timestamp_ms > now_ms {
            let timestamp_ms = self.timestamp_ms;
            return Err(SctError::Future {
                timestamp_ms,
                now_ms,
            });
        }
        Ok(())
    }

    /// Bytes of the structure.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.put(&self.log_id.0);
        out.put(&self.timestamp_ms.to_be_bytes());
        out.put_opaque16(self.extensions.as_bytes());
        out.put(&self.signature.encode());
        out
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    ///
    /// If that is not all of it, or it is of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, SctError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != 0 {
            return Err(SctError::Version(version));
        }
        let sct = Self {
            log_id: reader.hash()?,
            timestamp_ms: reader.u64()?,
            extensions: CtExtensions::parse(reader.opaque16()?)?,
            signature: DigitallySigned::read(&mut reader)?,
        };
        match reader.left() {
            0 => Ok(sct),
            left => Err(SctError::Trailing { left }),
        }
    }
}

/// SignedCertificateTimestampList (RFC 6962 §3.3). None if it has none, or they take more than 2^16 - 1 bytes.
#[must_use]
pub fn encode_sct_list(scts: &[Sct]) -> Option<Vec<u8>> {
    let mut list = Vec::new();
    for sct in scts {
        let bytes = sct.encode();
        u16::try_from(bytes.len()).ok()?;
        list.put_opaque16(&bytes);
    }
    u16::try_from(list.len())
        .ok()
        .filter(|length| *length > 0)?;
    let mut out = Vec::new();
    out.put_opaque16(&list);
    Some(out)
}

/// The timestamps in a SignedCertificateTimestampList, each for [`Sct::decode`]: one that is of an unknown version or
/// malformed does not spoil the others.
///
/// # Errors
///
/// If it is no such list.
pub fn split_sct_list(bytes: &[u8]) -> Result<Vec<&[u8]>, SctError> {
    let mut outer = Reader::new(bytes);
    let mut list = Reader::new(outer.opaque16()?);
    if !outer.is_empty() {
        let left = outer.left();
        return Err(SctError::Trailing { left });
    }
    let mut scts = Vec::new();
    while !list.is_empty() {
        scts.push(list.opaque16()?);
    }
    if scts.is_empty() || scts.iter().any(|sct| sct.is_empty()) {
        return Err(SctError::Empty);
    }
    Ok(scts)
}

impl From<&Sct> for AddChainReply {
    fn from(sct: &Sct) -> Self {
        Self {
            sct_version: 0,
            id: Base64(sct.log_id.0.to_vec()),
            timestamp: sct.timestamp_ms,
            extensions: Base64(sct.extensions.as_bytes().to_vec()),
            signature: Base64(sct.signature.encode()),
        }
    }
}

impl TryFrom<&AddChainReply> for Sct {
    type Error = SctError;

    fn try_from(reply: &AddChainReply) -> Result<Self, SctError> {
        if reply.sct_version != 0 {
            return Err(SctError::Version(reply.sct_version));
        }
        let mut id = Reader::new(&reply.id.0);
        let log_id = id.hash()?;
        if !id.is_empty() {
            let left = id.left();
            return Err(SctError::Trailing { left });
        }
        Ok(Self {
            log_id,
            timestamp_ms: reply.timestamp,
            extensions: CtExtensions::parse(&reply.extensions.0)?,
            signature: DigitallySigned::decode(&reply.signature.0)?,
        })
    }
}
