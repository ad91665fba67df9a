//! [`Inclusion`]: whether a log shows what it promised to show (RFC 6962 §2.1.1).

use ct::{Hash, ProveError, TileId, TileReadError, TileReader, prove_inclusion, verify_inclusion};

use crate::reason::{Code, NotPassed};
use crate::request::Wanted;
use crate::timestamps::Promise;

/// A proof, or why there is none, that a leaf is in a tree whose head the caller has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inclusion {
    /// Of RFC 6962 §2.1.1.
    Proof {
        /// Leaves of the tree.
        size: u64,
        /// Its root.
        root: Hash,
        /// Place of the leaf.
        index: u64,
        /// From the leaf up.
        path: Vec<Hash>,
    },
    /// The tree that is known is older than the leaf.
    Pending,
    /// The log's tiles are not those of its tree: what is wrong with them.
    TamperedTile(String),
}

impl Inclusion {
    /// Makes the proof from a log's tiles, each of which is checked against the root.
    ///
    /// # Errors
    /// With what `fetch` says if a tile cannot be had. Tiles that are wrong are [`Self::TamperedTile`].
    pub fn from_tiles<B: AsRef<[u8]>, E: core::fmt::Display>(
        size: u64,
        root: Hash,
        index: u64,
        fetch: impl FnMut(TileId) -> Result<B, E>,
    ) -> Result<Self, E> {
        let proven = TileReader::verifying(size, root, fetch)
            .map_err(ProveError::Source)
            .and_then(|mut tiles| prove_inclusion(&mut tiles, index, size));
        match proven {
            Ok(path) => Ok(Self::Proof {
                size,
                root,
                index,
                path,
            }),
            Err(ProveError::Source(TileReadError::Fetch { error, .. })) => Err(error),
            Err(ProveError::Range(_)) => Ok(Self::Pending),
            Err(error) => Ok(Self::TamperedTile(error.to_string())),
        }
    }

    /// Whether the leaf is shown. What does not hold proves nothing against the log: it has signed the head, but neither proof
    /// nor tiles, which come over plain HTTP, so that anybody on the way may have spoilt them.
    fn check(&self, leaf: &Hash) -> Result<bool, NotPassed> {
        match self {
            Self::Pending => Ok(false),
            Self::Proof {
                size,
                root,
                index,
                path,
            } => verify_inclusion(leaf, *index, *size, path, root)
                .map(|()| true)
                .map_err(|error| NotPassed::unknown(Code::ProofFailed, error)),
            Self::TamperedTile(error) => Err(NotPassed::unknown(Code::TamperedTile, error)),
        }
    }
}

/// One proof that holds suffices. Without any, what would be needed is wanted, and one that does not hold leaves open whether
/// the log lies or somebody on the way to it does.
pub(crate) fn check(
    promises: &[Promise],
    context: &crate::Context<'_>,
    wanted: &mut Vec<Wanted>,
) -> Result<(), NotPassed> {
    let mut is_proven = false;
    let mut spoilt = None;
    for promise in promises {
        let key = (promise.log, promise.leaf);
        if let Some(inclusion) = context.evidence.inclusion.get(&key) {
            match inclusion.check(&promise.leaf) {
                Ok(is_shown) => is_proven |= is_shown,
                Err(open) => _ = spoilt.get_or_insert(open),
            }
        }
    }
    if is_proven {
        return Ok(());
    }
    let known = &context.evidence.inclusion;
    let open = promises
        .iter()
        .filter(|promise| !known.contains_key(&(promise.log, promise.leaf)));
    wanted.extend(open.map(|promise| Wanted::Inclusion {
        log: promise.log,
        leaf: promise.leaf,
        index: promise.index,
    }));
    Err(spoilt.unwrap_or(NotPassed::skipped(Code::NoProof)))
}
