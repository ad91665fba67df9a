//! [`LogState`]: how far a log was read, in the form that a restart goes on from.

use core::fmt::Write as _;

use ct::{Base64, Frontier, FrontierError, Hash};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::reply::{KnownHead, ReplyError};
use crate::source::LogSource;

/// Bytes of a state file: a head and at most 40 hashes.
pub const STATE_BYTES_MAX: usize = 2 << 20;

/// The newest head that was found consistent with all before, and the tree of the entries that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The newest head.
    pub head: KnownHead,
    /// The entries that were read: the first of the tree that `head` signs, or all.
    pub frontier: Frontier,
}

/// Why a file is no state of a log. Nothing of it may be used then: beginning anew would forget which heads the log showed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// Not the JSON with its digest below.
    #[error("not a state file: {0}")]
    Malformed(String),
    /// The digest is not of the text above.
    #[error("the file is damaged: its digest differs")]
    Digest,
    /// Of another log.
    #[error("state of log {0}")]
    OtherLog(Hash),
    /// The head in it is none of this log.
    #[error("head in the state: {0}")]
    Head(#[from] ReplyError),
    /// Hashes that fit no tree of the size.
    #[error(transparent)]
    Frontier(#[from] FrontierError),
    /// Entries that are not those of the head.
    #[error("{size} entries that are not those of the head")]
    Entries {
        /// Entries read.
        size: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    log_id: Base64,
    head: Base64,
    size: u64,
    peaks: Vec<Base64>,
}

impl LogState {
    /// The text of the file.
    #[must_use]
    pub fn to_text(&self, source: &LogSource) -> String {
        let peaks = self.frontier.peaks().iter();
        let file = StateFile {
            log_id: Base64(source.key.id().0.to_vec()),
            head: Base64(self.head.body.clone()),
            size: self.frontier.size(),
            peaks: peaks.map(|peak| Base64(peak.0.to_vec())).collect(),
        };
        let mut text = serde_json::to_string(&file).expect("numbers and texts are JSON");
        let digest = Hash::of(text.as_bytes());
        write!(text, "\n{digest}\n").expect("a string takes every line");
        text
    }

    /// Reads what [`Self::to_text`] wrote, and checks the head's signature anew.
    ///
    /// # Errors
    /// If it is damaged, or of another log.
    pub fn parse(source: &LogSource, text: &str) -> Result<Self, StateError> {
        let malformed = |what: &str| StateError::Malformed(what.to_owned());
        let lines = text
            .strip_suffix('\n')
            .and_then(|text| text.split_once('\n'));
        let (json, digest) = lines.ok_or_else(|| malformed("not two lines"))?;
        if HEXLOWER.encode(&Hash::of(json.as_bytes()).0) != digest {
            return Err(StateError::Digest);
        }
        let file: StateFile =
            serde_json::from_str(json).map_err(|error| malformed(&error.to_string()))?;
        let hash = |Base64(bytes): Base64| {
            let hash = bytes.try_into().map(Hash);
            hash.map_err(|_| malformed("a hash is not of 32 bytes"))
        };
        let log_id = hash(file.log_id)?;
        if log_id != source.key.id() {
            return Err(StateError::OtherLog(log_id));
        }
        let head = KnownHead::read(source, file.head.0)?;
        let peaks: Result<_, _> = file.peaks.into_iter().map(hash).collect();
        let frontier = Frontier::new(file.size, peaks?)?;
        let (size, of_head) = (file.size, head.head);
        let is_whole = size == of_head.size && frontier.root() == of_head.root;
        if !is_whole && size >= of_head.size {
            return Err(StateError::Entries { size });
        }
        Ok(Self { head, frontier })
    }
}
