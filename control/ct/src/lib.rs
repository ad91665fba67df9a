//! Certificate Transparency as values and rules: Merkle trees and tiles, log entries, timestamps and tree heads, signed notes
//! and checkpoints, and which certificates a log accepts (RFC 6962 and the C2SP texts `static-ct-api`, `tlog-tiles`,
//! `tlog-checkpoint`, `tlog-cosignature`, `signed-note`).
//!
//! Pure: no clock, file, socket or randomness. Time and tiles are arguments, signatures are checked by algorithms that the
//! caller brings, and nothing here holds a private key. Start at [`LogEntry`] for what is logged and at [`Hash`] for trees.

#![forbid(unsafe_code)]

mod entry;
mod hash;

pub use entry::{EntryKind, LogEntry};
pub use hash::Hash;
