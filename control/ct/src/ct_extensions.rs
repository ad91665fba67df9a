//! [`CtExtensions`]: what a log says with a timestamp; of tiled logs, the index of the entry (static-ct-api, "SCT Extension").

use std::sync::Arc;

use thiserror::Error;

use crate::tile::TREE_SIZE_MAX;
use crate::tls::{Reader, Truncated};

/// CtExtensions: the bytes as they were signed, and the leaf index in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtExtensions {
    bytes: Arc<[u8]>,
    leaf_index: Option<u64>,
}

/// Why bytes are no extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CtExtensionsError {
    /// They end too soon.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// More than a 16-bit length can announce.
    #[error("extensions of {found} bytes")]
    Length {
        /// Their bytes.
        found: usize,
    },
    /// One type twice.
    #[error("two extensions of type {0}")]
    Duplicate(u8),
    /// A leaf index that has not 40 bits.
    #[error("leaf index of {found} bytes, not 5")]
    LeafIndex {
        /// Its bytes.
        found: usize,
    },
}

const LEAF_INDEX: u8 = 0;

impl CtExtensions {
    /// None: what logs say that are not tiled.
    #[must_use]
    pub fn none() -> Self {
        Self {
            bytes: Arc::new([]),
            leaf_index: None,
        }
    }

    /// That the entry has this index: eight bytes. None for an index of 2^40 or more.
    #[must_use]
    pub fn of_index(leaf_index: u64) -> Option<Self> {
        if leaf_index >= TREE_SIZE_MAX {
            return None;
        }
        let [_, _, _, index @ ..] = leaf_index.to_be_bytes();
        let mut bytes = [LEAF_INDEX, 0, 5, 0, 0, 0, 0, 0];
        bytes[3..].copy_from_slice(&index);
        Some(Self {
            bytes: Arc::new(bytes),
            leaf_index: Some(leaf_index),
        })
    }

    /// Reads a list of extensions. Unknown types, and any order, are allowed.
    ///
    /// # Errors
    ///
    /// If it is cut short, has a type twice, or a leaf index of another size.
    pub fn parse(bytes: &[u8]) -> Result<Self, CtExtensionsError> {
        let found = bytes.len();
        if found > usize::from(u16::MAX) {
            return Err(CtExtensionsError::Length { found });
        }
        let mut reader = Reader::new(bytes);
        let mut seen = [false; 256];
        let mut leaf_index = None;
        while !reader.is_empty() {
            let kind = reader.u8()?;
            let data = reader.opaque16()?;
            if std::mem::replace(&mut seen[usize::from(kind)], true) {
                return Err(CtExtensionsError::Duplicate(kind));
            }
            if kind == LEAF_INDEX {
                let &[a, b, c, d, e] = data else {
                    let found = data.len();
                    return Err(CtExtensionsError::LeafIndex { found });
                };
                leaf_index = Some(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]));
            }
        }
        Ok(Self {
            bytes: bytes.into(),
            leaf_index,
        })
    }

    /// As they are signed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Index of the entry in the log, if it is said.
    #[must_use]
    pub fn leaf_index(&self) -> Option<u64> {
        self.leaf_index
    }
}
