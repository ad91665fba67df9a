//! [`AddCheckpoint`]: what a log sends to a witness, and what the witness finds (C2SP tlog-witness).

use core::fmt;

use data_encoding::BASE64;
use thiserror::Error;

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal, parse_hash};
use crate::hash::Hash;
use crate::note::{Note, NoteError};
use crate::proof::{ProofError, verify_consistency};

/// Hashes in a consistency proof that a client may send.
pub const PROOF_LINES_MAX: usize = 63;

/// Body of an add-checkpoint request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old_size: u64,
    proof: Vec<Hash>,
    note: Note,
    checkpoint: Checkpoint,
}

/// Why bytes are no such body: status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddCheckpointError {
    /// The first line is not `old` and a decimal number.
    #[error("first line is not the old size")]
    OldSize,
    /// A line that is not base64 of 32 bytes.
    #[error("proof line {line} is no hash")]
    ProofLine {
        /// Which of the proof lines, from 0.
        line: usize,
    },
    /// More than [`PROOF_LINES_MAX`].
    #[error("more than {PROOF_LINES_MAX} proof lines")]
    ProofLines,
    /// No empty line before the checkpoint.
    #[error("no checkpoint after the proof")]
    NoCheckpoint,
    /// The rest is no note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a witness has cosigned last of a log; of a new log, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witnessed {
    /// Leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WitnessError {
    /// The old size is beyond the checkpoint's: status 400.
    #[error("old size {old} is beyond {new}")]
    Backwards {
        /// Size the log names as old.
        old: u64,
        /// Size of its checkpoint.
        new: u64,
    },
    /// It cosigned another size last: status 409, with that size as the body.
    #[error("cosigned size {witnessed} last, not {old}")]
    Stale {
        /// Size it cosigned.
        witnessed: u64,
        /// Size the log named.
        old: u64,
    },
    /// Another root at the size it cosigned last, a fork: status 409.
    #[error("root {found} at size {size}, where {witnessed} was cosigned")]
    Fork {
        /// The size.
        size: u64,
        /// Root it cosigned.
        witnessed: Hash,
        /// Root in the checkpoint.
        found: Hash,
    },
    /// The proof does not hold: status 422.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl AddCheckpoint {
    /// Of its parts: the size that the log believes the witness cosigned last, the proof that the checkpoint continues it,
    /// and the checkpoint as the log signed it.
    ///
    /// # Errors
    ///
    /// If the proof is longer than the protocol allows, or the note holds no checkpoint.
    pub fn new(old_size: u64, proof: Vec<Hash>, note: Note) -> Result<Self, AddCheckpointError> {
        if proof.len() > PROOF_LINES_MAX {
            return Err(AddCheckpointError::ProofLines);
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self {
            old_size,
            proof,
            note,
            checkpoint,
        })
    }

    /// Reads a request body.
    ///
    /// # Errors
    ///
    /// If it is none. The note's signatures are not checked.
    pub fn parse(body: &[u8]) -> Result<Self, AddCheckpointError> {
        let (old, mut rest) = split_line(body).ok_or(AddCheckpointError::OldSize)?;
        let old_size = old.strip_prefix("old ").and_then(parse_decimal);
        let old_size = old_size.ok_or(AddCheckpointError::OldSize)?;
        let mut proof = Vec::new();
        loop {
            let (line, next) = split_line(rest).ok_or(AddCheckpointError::NoCheckpoint)?;
            rest = next;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_LINES_MAX {
                return Err(AddCheckpointError::ProofLines);
            }
            let hash = parse_hash(line);
            let line = proof.len();
            proof.push(hash.ok_or(AddCheckpointError::ProofLine { line })?);
        }
        Self::new(old_size, proof, Note::parse(rest)?)
    }

    /// The checkpoint as the log signed it.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What the note says.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Decides, as a witness must, whether this checkpoint continues what it cosigned last. That the log signed it is to be
    /// checked before.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn verify(&self, last: Option<Witnessed>) -> Result<(), WitnessError> {
        let (old, new) = (self.old_size, self.checkpoint.size());
        if old > new {
            return Err(WitnessError::Backwards { old, new });
        }
        let witnessed = last.unwrap_or(Witnessed {
            size: 0,
            root: Hash::of(&[]),
        });
        if witnessed.size != old {
            return Err(WitnessError::Stale {
                witnessed: witnessed.size,
                old,
            });
        }
        let found = self.checkpoint.root();
        if old == new && witnessed.root != found {
            return Err(WitnessError::Fork {
                size: new,
                witnessed: witnessed.root,
                found,
            });
        }
        verify_consistency(old, new, &self.proof, &witnessed.root, &found)?;
        Ok(())
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(out, "{}", BASE64.encode_display(&hash.0))?;
        }
        write!(out, "\n{}", self.note)
    }
}

/// A line without its newline, and what follows. None if it is not ended, or no text.
fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((str::from_utf8(line).ok()?, rest.get(1..)?))
}
