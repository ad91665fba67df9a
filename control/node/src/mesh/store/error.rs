//! Why a store cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use consensus::DecodeError;

use super::frame::FileKind;

/// What to do about a log that cannot be believed. Said with every refusal.
const ADVICE: &str = ". A node that has forgotten its votes would contradict them; a copy from a \
                      backup has forgotten some, too. Move the whole folder and the node's key \
                      away, make a new key (`nexus key show`), have the other nodes take it \
                      (`nexus cluster propose replace-key`) and start: the node fetches the state \
                      from its peers. Never start it without the log under the old key";

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
    #[error("{}: damaged at byte {offset}: expected {expected}{advice}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What should stand there.
        expected: String,
        /// What to do, if it is not mended by itself.
        advice: &'static str,
    },
    /// Whole bytes that mean nothing to this version, perhaps to the one that wrote them.
    #[error("{}: whole, but this version cannot use it: {reason}. Start the version that wrote it; \
             nothing of it was changed", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is unknown in it.
        reason: String,
    },
    /// The log is not there, but other files are.
    #[error("{}: missing, though files beside it are there{ADVICE}", path.display())]
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

    pub(super) fn damaged(kind: FileKind, path: &Path, offset: u64, expected: String) -> Self {
        let advice = if kind == FileKind::Log { ADVICE } else { "" };
        Self::Damaged {
            path: path.to_owned(),
            offset,
            expected,
            advice,
        }
    }

    pub(super) fn undecodable(path: &Path, offset: u64, error: &DecodeError) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: format!("at byte {offset}: {error}"),
        }
    }
}
