//! [`Alarm`]: what a log did that no honest log does, with both heads as evidence.

use core::fmt;

use ct::{Base64, Hash};
use serde::{Deserialize, Serialize};

use crate::reply::KnownHead;
use crate::source::LogSource;

/// A log's misdeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Which.
    pub kind: AlarmKind,
    /// The newest head that was found consistent with all before.
    pub known: KnownHead,
    /// The head that is not, or that the entries are not of.
    pub seen: KnownHead,
    /// What was computed, for people.
    pub detail: String,
}

/// The misdeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Two signed heads of one size with different roots: proof enough for anybody.
    Fork,
    /// The log does not prove that its newer head continues the older. Either it forked, or what it serves is damaged.
    Inconsistent,
    /// A head smaller than one that was seen before: signed later than that one, or shown again and again.
    WentBack,
    /// Entries that do not lead to the signed root.
    FalseEntries,
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Fork => "two signed heads of one size with different roots",
            Self::Inconsistent => "a head that is not shown to continue the one before",
            Self::WentBack => "a head smaller than one seen before",
            Self::FalseEntries => "entries that do not lead to the signed root",
        })
    }
}

#[derive(Serialize)]
struct EvidenceFile<'a> {
    kind: AlarmKind,
    log: &'a str,
    log_id: Base64,
    detail: &'a str,
    known: HeadFile,
    seen: HeadFile,
}

#[derive(Serialize)]
struct HeadFile {
    size: u64,
    root: Base64,
    timestamp_ms: u64,
    /// The reply as the log sent it, with its signature.
    reply: Base64,
}

impl From<&KnownHead> for HeadFile {
    fn from(known: &KnownHead) -> Self {
        Self {
            size: known.head.size,
            root: Base64(known.head.root.0.to_vec()),
            timestamp_ms: known.head.timestamp_ms,
            reply: Base64(known.body.clone()),
        }
    }
}

impl Alarm {
    /// The same for the same misdeed: log, kind, and sizes and roots of both heads.
    #[must_use]
    pub fn id(&self, source: &LogSource) -> Hash {
        let mut bytes = source.key.id().0.to_vec();
        bytes.push(self.kind as u8);
        for head in [&self.known.head, &self.seen.head] {
            bytes.extend_from_slice(&head.size.to_be_bytes());
            bytes.extend_from_slice(&head.root.0);
        }
        Hash::of(&bytes)
    }

    /// What is kept of it: JSON with both heads as the log sent them.
    #[must_use]
    pub fn evidence(&self, source: &LogSource) -> String {
        let file = EvidenceFile {
            kind: self.kind,
            log: &source.name,
            log_id: Base64(source.key.id().0.to_vec()),
            detail: &self.detail,
            known: (&self.known).into(),
            seen: (&self.seen).into(),
        };
        serde_json::to_string_pretty(&file).expect("numbers and texts are JSON")
    }
}
