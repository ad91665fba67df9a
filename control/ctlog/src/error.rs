//! [`LogError`]: why the log does not start, or ends.

use ct::TreeFull;

use crate::cosigner::CosignerError;
use crate::index::IndexError;
use crate::reader::ReadError;
use crate::remembered::MemoryError;
use crate::signer::ShardKeyError;

/// After any of them this node neither cosigns nor publishes: what it has in memory may not be what its disk has.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// What the kernel said of a file.
    #[error("{path}: {error}")]
    Files {
        /// The file, or what it is for.
        path: String,
        /// What it said.
        error: std::io::Error,
    },
    /// Index of a shard.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Own tiles cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not known what this node has cosigned.
    #[error("what was cosigned last of shard {shard}: {error}")]
    Memory {
        /// Name of the shard.
        shard: String,
        /// What is wrong.
        error: MemoryError,
    },
    /// The cosigner's key.
    #[error(transparent)]
    Cosigner(#[from] CosignerError),
    /// The shard's key.
    #[error(transparent)]
    Key(#[from] ShardKeyError),
    /// A shard is full.
    #[error(transparent)]
    Full(#[from] TreeFull),
}

/// An error of files with their path.
pub(crate) fn of_files(path: &str) -> impl FnOnce(std::io::Error) -> LogError {
    let path = path.to_owned();
    move |error| LogError::Files { path, error }
}
