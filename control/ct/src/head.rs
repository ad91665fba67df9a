//! [`SignedTreeHead`]: size and root of a log's tree as the log signed them, in the forms of RFC 6962 and of checkpoints.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base64::Base64;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::Hash;
use crate::log_key::{DigitallySigned, LogKey, LogSignatureError};
use crate::note::{KeyName, Note, NoteSignature, key_id};
use crate::signature::Algorithms;
use crate::tls::{Reader, Sink as _, Truncated};

/// What a log signs about its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Leaves.
    pub size: u64,
    /// Merkle Tree Hash of them.
    pub root: Hash,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// A tree head and the log's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTreeHead {
    /// What is signed.
    pub head: TreeHead,
    /// Of the log.
    pub signature: DigitallySigned,
}

/// Signature type of a tree head in a note (static-ct-api, "Checkpoints").
pub const TREE_HEAD_SIGNATURE: u8 = 0x05;

/// Why a note or a reply is no tree head of a log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The note's text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of another log.
    #[error("checkpoint of {found}")]
    Origin {
        /// The log it names.
        found: String,
    },
    /// Extension lines, which this signature does not cover.
    #[error("checkpoint with extension lines")]
    Extensions,
    /// No signature by the log's key.
    #[error("checkpoint without signature of the log")]
    Unsigned,
    /// The signature is cut short.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The root is none.
    #[error("root of {found} bytes")]
    Root {
        /// Its bytes.
        found: usize,
    },
    /// It is malformed, or not of this head by this log.
    #[error(transparent)]
    Signature(#[from] LogSignatureError),
}

/// Reply to get-sth (RFC 6962 §4.3), in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSthReply {
    /// Leaves.
    pub tree_size: u64,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// In base64.
    pub sha256_root_hash: Base64,
    /// With algorithms and length, in base64.
    pub tree_head_signature: Base64,
}

impl TreeHead {
    /// The bytes that a log signs: TreeHeadSignature of RFC 6962 §3.5.
    #[must_use]
    pub fn signed_input(&self) -> Vec<u8> {
        let mut out = vec![0, 1];
        out.put(&self.timestamp_ms.to_be_bytes());
        out.put(&self.size.to_be_bytes());
        out.put(&self.root.0);
        out
    }
}

impl SignedTreeHead {
    /// Checks the log's signature.
    ///
    /// # Errors
    ///
    /// If it is not of this head by this key.
    pub fn verify(
        &self,
        key: &LogKey,
        algorithms: &Algorithms<'_>,
    ) -> Result<(), LogSignatureError> {
        key.verify(&self.head.signed_input(), &self.signature, algorithms)
    }

    /// As a checkpoint of the log with this name and id: the same signature, with its time before it.
    #[must_use]
    pub fn to_note(&self, origin: &KeyName, log_id: &Hash) -> Note {
        let checkpoint = Checkpoint::new(origin, self.head.size, self.head.root);
        let mut signature = self.head.timestamp_ms.to_be_bytes().to_vec();
        signature.put(&self.signature.encode());
        let signature = NoteSignature {
            name: origin.clone(),
            key_id: tree_head_key_id(origin, log_id),
            signature,
        };
        Note::new(checkpoint.to_text(), vec![signature]).expect("a checkpoint is a note's text")
    }

    /// The tree head in a checkpoint of the log with this name and key, whose signature it checks.
    ///
    /// # Errors
    ///
    /// If it is no checkpoint of this log, or not signed by it.
    pub fn from_note(
        note: &Note,
        origin: &KeyName,
        key: &LogKey,
        algorithms: &Algorithms<'_>,
    ) -> Result<Self, HeadError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != origin.as_str() {
            let found = checkpoint.origin().to_owned();
            return Err(HeadError::Origin { found });
        }
        if !checkpoint.extension_lines().is_empty() {
            return Err(HeadError::Extensions);
        }
        let id = tree_head_key_id(origin, &key.id());
        let signature = note.signature(origin, id).ok_or(HeadError::Unsigned)?;
        let mut reader = Reader::new(signature);
        let timestamp_ms = reader.u64()?;
        let signature = DigitallySigned::decode(reader.bytes(reader.left())?)?;
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let signed = Self {
            head: TreeHead {
                size,
                root,
                timestamp_ms,
            },
            signature,
        };
        signed.verify(key, algorithms)?;
        Ok(signed)
    }
}

/// Id of a log's key in notes (static-ct-api, "Checkpoints").
#[must_use]
pub fn tree_head_key_id(origin: &KeyName, log_id: &Hash) -> u32 {
    key_id(origin, TREE_HEAD_SIGNATURE, &log_id.0)
}

impl From<&SignedTreeHead> for GetSthReply {
    fn from(signed: &SignedTreeHead) -> Self {
        Self {
            tree_size: signed.head.size,
            timestamp: signed.head.timestamp_ms,
            sha256_root_hash: Base64(signed.head.root.0.to_vec()),
            tree_head_signature: Base64(signed.signature.encode()),
        }
    }
}

impl TryFrom<&GetSthReply> for SignedTreeHead {
    type Error = HeadError;

    fn try_from(reply: &GetSthReply) -> Result<Self, HeadError> {
        let root = &reply.sha256_root_hash.0;
        let found = root.len();
        let root = root.as_slice().try_into();
        Ok(Self {
            head: TreeHead {
                size: reply.tree_size,
                root: root.map(Hash).map_err(|_| HeadError::Root { found })?,
                timestamp_ms: reply.timestamp,
            },
            signature: DigitallySigned::decode(&reply.tree_head_signature.0)?,
        })
    }
}
