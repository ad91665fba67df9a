//! [`Witness`]: cosigns the checkpoints of outside logs as long as each continues the last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ct::{
    AddCheckpoint, AddCheckpointError, Hash, KeyName, LogKey, Note, SignedTreeHead, TreeHead,
    VerifierKey, WitnessError, Witnessed,
};
use webpki::ALL_VERIFICATION_ALGS;

use crate::cosigner::{Cosigner, CosignerError};
use crate::files::Files;
use crate::remembered::{MemoryError, Remembered};

/// A log whose checkpoints this node cosigns.
#[derive(Debug, Clone)]
pub struct OutsideLog {
    /// First line of its checkpoints.
    pub origin: KeyName,
    /// Any one of them must have signed.
    pub keys: Vec<LogVerifier>,
}

/// A key of a log.
#[derive(Debug, Clone)]
pub enum LogVerifier {
    /// Ed25519, as signed-note has it.
    Note(VerifierKey),
    /// That of a log of certificates, as static-ct-api has it.
    Ct(LogKey),
}

/// Its key, and what it has cosigned last of each log it knows.
#[derive(Debug)]
pub struct Witness {
    cosigner: Cosigner,
    files: Arc<dyn Files>,
    logs: BTreeMap<String, KnownLog>,
}

#[derive(Debug)]
struct KnownLog {
    log: OutsideLog,
    /// Held while a head is compared, written and signed: of two requests, the second sees what the first left.
    memory: Mutex<Remembered>,
}

/// Why this node is no witness.
#[derive(Debug, thiserror::Error)]
pub enum WitnessOpenError {
    /// It has no key.
    #[error(transparent)]
    Cosigner(#[from] CosignerError),
    /// It is not known what it has cosigned.
    #[error("last checkpoint of {origin}: {error}")]
    Memory {
        /// The log.
        origin: String,
        /// What is wrong.
        error: MemoryError,
    },
    /// Two logs of one name: their checkpoints could not be told apart.
    #[error("log {0} twice")]
    Repeated(String),
}

/// Why a checkpoint is not cosigned. The texts go to the log that sent it.
#[derive(Debug, thiserror::Error)]
pub enum WitnessRefusal {
    /// The request is none: status 400.
    #[error(transparent)]
    Malformed(#[from] AddCheckpointError),
    /// Of a log that this witness does not know: status 404.
    #[error("unknown log {origin:?}")]
    UnknownLog {
        /// The log it names.
        origin: String,
    },
    /// No signature of the log's: status 403.
    #[error("no signature by a key of log {origin}")]
    Unsigned {
        /// The log.
        origin: String,
    },
    /// It does not continue the last.
    #[error(transparent)]
    Inconsistent(#[from] WitnessError),
    /// It could not be remembered: status 503.
    #[error("not written: {0}")]
    Files(#[from] std::io::Error),
}

impl Witness {
    /// With the key that `files` has, or a new one, under the name of `node` below `prefix`. `files` are its own.
    ///
    /// # Errors
    ///
    /// If there is no key, or it is not known what it has signed.
    pub fn open(
        prefix: &KeyName,
        node: &str,
        files: Arc<dyn Files>,
        logs: Vec<OutsideLog>,
    ) -> Result<Self, WitnessOpenError> {
        let cosigner = Cosigner::load_or_create(prefix, node, &*files)?;
        let mut known = BTreeMap::new();
        for log in logs {
            let origin = log.origin.to_string();
            let path = format!("witnessed/{}", Hash::of(origin.as_bytes()));
            let memory = match Remembered::load(&*files, path) {
                Ok(memory) => Mutex::new(memory),
                Err(error) => return Err(WitnessOpenError::Memory { origin, error }),
            };
            if known.contains_key(&origin) {
                return Err(WitnessOpenError::Repeated(origin));
            }
            known.insert(origin, KnownLog { log, memory });
        }
        let logs = known;
        Ok(Self {
            cosigner,
            files,
            logs,
        })
    }

    /// The key that checks its cosignatures.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        self.cosigner.verifier()
    }

    /// Replies to a request at a time, in seconds since 1970: a signature line, with its newline. Waits for the disk.
    ///
    /// # Errors
    ///
    /// If the checkpoint is not to be cosigned.
    pub fn add_checkpoint(&self, body: &[u8], now_s: u64) -> Result<String, WitnessRefusal> {
        let request = AddCheckpoint::parse(body)?;
        let checkpoint = request.checkpoint();
        let origin = checkpoint.origin().to_owned();
        let Some(known) = self.logs.get(&origin) else {
            return Err(WitnessRefusal::UnknownLog { origin });
        };
        if !known.log.has_signed(request.note()) {
            return Err(WitnessRefusal::Unsigned { origin });
        }
        let mut memory = known.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let last = memory.last().map(|head| Witnessed {
            size: head.size,
            root: head.root,
        });
        request.verify(last)?;
        let head = TreeHead {
            size: checkpoint.size(),
            root: checkpoint.root(),
            timestamp_ms: now_s.saturating_mul(1000),
        };
        memory.remember(&*self.files, &head)?;
        let line = self.cosigner.cosign(request.note().text(), now_s);
        Ok(format!("{line}\n"))
    }
}

impl OutsideLog {
    fn has_signed(&self, note: &Note) -> bool {
        self.keys.iter().any(|key| match key {
            LogVerifier::Note(key) => key.verify(note, ALL_VERIFICATION_ALGS).is_ok(),
            LogVerifier::Ct(key) => {
                SignedTreeHead::from_note(note, &self.origin, key, ALL_VERIFICATION_ALGS).is_ok()
            }
        })
    }
}
