//! Why a store cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use consensus::DecodeError;

/// What to do about a log that cannot be believed. Said with every refusal.
const ADVICE: &str = "A node that forgets its votes counts as faulty. If this happens to one node, \
                      stop it, move the whole folder away and start it again: it fetches the state \
                      from its peers. Never do so on more nodes than the cluster may lose, or \
                      committed changes may be lost.";

/// Why a store cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The kernel refused.
    #[error("{}: cannot {verb}: {error}", path.display())]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// Bytes that were durable are not what they were.
    #[error("{}: damaged at byte {offset}: expected {expected}. {ADVICE}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What should stand there.
        expected: String,
    },
    /// The log is not there, but other files are.
    #[error("{}: missing, though files beside it are there. {ADVICE}", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The file is of another cluster or node, or of a later version.
    #[error("{}: has {what} {found}; expected {expected}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// Another process has it open.
    #[error("{}: in use by another process", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// An earlier write or sync failed. What is on the disk is not known.
    #[error("{}: not written any more, because an earlier write failed", path.display())]
    Distrusted {
        /// Which file.
        path: PathBuf,
    },
}

impl StoreError {
    pub(super) fn disk(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Disk { path, verb, error }
    }

    pub(super) fn undecodable(path: &Path, offset: u64, error: DecodeError) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset,
            expected: format!("what this version writes, but {error}"),
        }
    }
}
