//! What logs reply, read: heads, entries and proofs. Everything here takes bytes of others and ends with a value or an error.

use ct::{
    Base64, DataTileError, EntryError, GetSthReply, Hash, HeadError, LogAddress, LogSignatureError,
    Note, NoteError, SignedTreeHead, TREE_SIZE_MAX, TileId, TimestampedEntry, TreeHead,
    read_data_tile,
};
use serde::Deserialize;
use thiserror::Error;

use crate::source::LogSource;

/// Algorithms that heads are checked by.
pub(crate) const ALGORITHMS: &ct::Algorithms<'static> = webpki::ALL_VERIFICATION_ALGS;

/// Hashes of a proof: a tree of 2^40 leaves needs 40, and one for its beginning.
pub(crate) const PROOF_HASHES_MAX: usize = 64;

/// A head whose signature held, and the reply that it stood in: the evidence, if it comes to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// Size, root and time.
    pub head: TreeHead,
    /// The reply, octet by octet.
    pub body: Vec<u8>,
}

/// Why a reply is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// Not the JSON that the API has: what serde says.
    #[error("no such JSON: {0}")]
    Json(String),
    /// Not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not a head of this log.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Not signed by this log.
    #[error("head: {0}")]
    Signature(#[from] LogSignatureError),
    /// A log of a tiled address whose submission prefix is no name of a key.
    #[error("the log has no origin")]
    Origin,
    /// More leaves than a log can have.
    #[error("head of {0} leaves, more than 2^40")]
    Size(u64),
    /// A head of no leaves whose root is not that of the empty tree.
    #[error("a tree of no leaves has root {0}")]
    EmptyRoot(Hash),
    /// An entry that is none.
    #[error("entry {index}: {error}")]
    Entry {
        /// Its place in the log.
        index: u64,
        /// What is wrong with it.
        error: EntryError,
    },
    /// Not the data tile.
    #[error("{tile}: {error}")]
    DataTile {
        /// Which.
        tile: TileId,
        /// What is wrong with it.
        error: DataTileError,
    },
    /// No entry, or more than were asked for.
    #[error("{found} entries where 1 to {asked} were due")]
    Count {
        /// Entries in the reply.
        found: usize,
        /// Entries asked for.
        asked: u64,
    },
    /// A hash that is none, or more than a proof has.
    #[error("not a proof")]
    Proof,
    /// The proof by hash says the leaf has another place.
    #[error("leaf {expected} is said to be at {found}")]
    LeafIndex {
        /// Place of the leaf.
        expected: u64,
        /// Place in the reply.
        found: u64,
    },
    /// Hashes for the edge of a tree that do not lead to its root.
    #[error("what was sent for the edge of a tree of {size} leaves does not give its root")]
    Edge {
        /// Leaves of the tree.
        size: u64,
    },
    /// A tile of hashes with other than its bytes.
    #[error("{tile} has {found} bytes")]
    TileBytes {
        /// Which.
        tile: TileId,
        /// Its bytes.
        found: usize,
    },
}

impl KnownHead {
    /// Reads the reply for a head, and checks its signature.
    ///
    /// # Errors
    /// If it is none of this log.
    pub fn read(source: &LogSource, body: Vec<u8>) -> Result<Self, ReplyError> {
        let signed = match &source.address {
            LogAddress::Rfc6962 { .. } => {
                let reply: GetSthReply = json(&body)?;
                let signed = SignedTreeHead::try_from(&reply)?;
                signed.verify(&source.key, ALGORITHMS)?;
                signed
            }
            LogAddress::Tiled { .. } => {
                let origin = source.address.origin().ok_or(ReplyError::Origin)?;
                SignedTreeHead::from_note(&Note::parse(&body)?, &origin, &source.key, ALGORITHMS)?
            }
        };
        let head = signed.head;
        if head.size > TREE_SIZE_MAX {
            return Err(ReplyError::Size(head.size));
        }
        if head.size == 0 && head.root != Hash::of(&[]) {
            return Err(ReplyError::EmptyRoot(head.root));
        }
        Ok(Self { head, body })
    }
}

#[derive(Deserialize)]
struct GetEntriesReply {
    entries: Vec<LeafEntry>,
}

#[derive(Deserialize)]
struct LeafEntry {
    leaf_input: Base64,
    extra_data: Base64,
}

#[derive(Deserialize)]
struct ConsistencyReply {
    consistency: Vec<Base64>,
}

#[derive(Deserialize)]
struct InclusionReply {
    leaf_index: u64,
    audit_path: Vec<Base64>,
}

/// Entries of get-entries (RFC 6962 §4.6), which may be fewer than those asked for.
///
/// # Errors
/// If there are none or too many, or one is no entry.
pub fn read_get_entries(
    first: u64,
    end: u64,
    body: &[u8],
) -> Result<Vec<TimestampedEntry>, ReplyError> {
    let reply: GetEntriesReply = json(body)?;
    let (found, asked) = (reply.entries.len(), end.saturating_sub(first));
    if found == 0 || found as u64 > asked {
        return Err(ReplyError::Count { found, asked });
    }
    let mut entries = Vec::with_capacity(found);
    for (index, leaf) in (first..).zip(&reply.entries) {
        let read = TimestampedEntry::from_get_entries(&leaf.leaf_input.0, &leaf.extra_data.0);
        let (entry, _) = read.map_err(|error| ReplyError::Entry { index, error })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Entries of a data tile; `served` is the tile that was fetched, which may be wider than the one that the tree has.
pub(crate) fn read_data(
    tile: TileId,
    served: TileId,
    body: &[u8],
) -> Result<Vec<TimestampedEntry>, ReplyError> {
    let read = read_data_tile(served, body);
    let mut entries = read.map_err(|error| ReplyError::DataTile {
        tile: served,
        error,
    })?;
    entries.truncate(usize::from(tile.width()));
    Ok(entries)
}

/// Hashes of a tile, as many as the tree has.
pub(crate) fn read_hashes(
    tile: TileId,
    served: TileId,
    mut body: Vec<u8>,
) -> Result<Vec<u8>, ReplyError> {
    let found = body.len();
    if found != usize::from(served.width()) * Hash::BYTES {
        return Err(ReplyError::TileBytes {
            tile: served,
            found,
        });
    }
    body.truncate(usize::from(tile.width()) * Hash::BYTES);
    Ok(body)
}

/// Proof of get-sth-consistency (RFC 6962 §4.4).
///
/// # Errors
/// If it is none.
pub fn read_consistency(body: &[u8]) -> Result<Vec<Hash>, ReplyError> {
    let reply: ConsistencyReply = json(body)?;
    hashes(reply.consistency)
}

/// Proof of get-proof-by-hash (RFC 6962 §4.5) for the leaf at this place.
///
/// # Errors
/// If it is none, or of another place.
pub fn read_inclusion(index: u64, body: &[u8]) -> Result<Vec<Hash>, ReplyError> {
    let reply: InclusionReply = json(body)?;
    if reply.leaf_index != index {
        return Err(ReplyError::LeafIndex {
            expected: index,
            found: reply.leaf_index,
        });
    }
    hashes(reply.audit_path)
}

fn hashes(texts: Vec<Base64>) -> Result<Vec<Hash>, ReplyError> {
    if texts.len() > PROOF_HASHES_MAX {
        return Err(ReplyError::Proof);
    }
    let hash = |Base64(bytes)| bytes.try_into().map(Hash).map_err(|_| ReplyError::Proof);
    texts.into_iter().map(hash).collect()
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReplyError> {
    serde_json::from_slice(body).map_err(|error| ReplyError::Json(error.to_string()))
}
