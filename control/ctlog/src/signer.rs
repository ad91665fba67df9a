//! [`Signer`]: the key of a shard, which signs only what a quorum has cosigned, and never two things in one place.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ct::{
    Checkpoint, DigitallySigned, Hash, KeyKind, Note, NoteSignature, Sct, SignedTreeHead,
    TimestampedEntry, TreeHead, VerifierKey,
};
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};

use crate::files::Files;
use crate::remembered::{HeadConflict, MemoryError, Remembered};
use crate::shard_key::{load_secret, public_key};
use crate::spec::ShardSpec;
use crate::validators::Validators;

/// A head, and that it is committed: cosignatures of a quorum of the validators in force over its checkpoint, each of the
/// second of its time.
#[derive(Debug, Clone)]
pub struct CommitCertificate {
    /// What is to be signed.
    pub head: TreeHead,
    /// Those in force.
    pub validators: Arc<Validators>,
    /// Of them, or some of them.
    pub cosignatures: Vec<NoteSignature>,
}

/// A head that is signed, as RFC 6962 and as static-ct-api have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// With the log's signature.
    pub signed: SignedTreeHead,
    /// With the same signature, that of the key for witnesses, and the cosignatures.
    pub note: Note,
}

/// Holds the key of a shard.
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// Signs a head, which is on disk as the last one before.
    ///
    /// # Errors
    /// If no quorum has cosigned it, it does not go on from the last one, or the disk fails.
    fn sign_head(&self, certificate: &CommitCertificate) -> Result<SignedHead, SignerError>;

    /// Signs the last head once more, with the same result: after a start, when the shown one may be lost. None if there is none.
    fn sign_last(&self) -> Option<SignedHead>;

    /// The last head.
    fn last(&self) -> Option<TreeHead>;

    /// Signs the promise for the entry at this place, which a head that was signed covers.
    ///
    /// # Errors
    /// If none does.
    fn sign_sct(&self, index: u64, entry: &TimestampedEntry) -> Result<Sct, SignerError>;

    /// The key for witnesses, which know Ed25519 only, under the log's name. It follows from the key of the shard.
    fn note_key(&self) -> VerifierKey;
}

/// Why something is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Too few validators have cosigned.
    #[error("no quorum has cosigned the head of {size} leaves")]
    NoQuorum {
        /// Of the head.
        size: u64,
    },
    /// It contradicts the last head, or goes back.
    #[error(transparent)]
    Conflict(#[from] HeadConflict),
    /// It could not be remembered.
    #[error("memory of the signer not written: {0}")]
    Files(#[from] std::io::Error),
    /// The entry is not covered by the last head.
    #[error("entry {index} is not within the {size} leaves of the last head")]
    Uncovered {
        /// Of the entry.
        index: u64,
        /// Leaves of the last head.
        size: u64,
    },
}

/// Why the key of a shard cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShardKeyError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// Not a private key on P-256.
    #[error("{path}: neither PKCS #8 nor SEC 1 of a private key on P-256, in PEM or DER")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Another key than the shard's.
    #[error("{path}: its public key is not that of shard {shard}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Name of the shard.
        shard: String,
    },
    /// It is not known what it has signed.
    #[error("what shard {shard} signed last: {error}")]
    Memory {
        /// Name of the shard.
        shard: String,
        /// What is wrong.
        error: MemoryError,
    },
}

/// A key in a file, in the memory of this process.
pub struct FileSigner {
    spec: ShardSpec,
    key: SigningKey,
    note_key: ed25519_zebra::SigningKey,
    state: Arc<dyn Files>,
    memory: Mutex<Remembered>,
}

impl FileSigner {
    /// The key of this file, with its memory in `state`.
    ///
    /// # Errors
    /// If it is not the shard's, or it is not known what it has signed.
    pub fn load(
        spec: &ShardSpec,
        path: &Path,
        state: Arc<dyn Files>,
    ) -> Result<Self, ShardKeyError> {
        let secret = load_secret(path)?;
        let shard = spec.window.name.clone();
        if public_key(&secret).as_deref() != Some(spec.key.spki()) {
            let path = path.to_owned();
            return Err(ShardKeyError::Other { path, shard });
        }
        let memory = Remembered::load(&*state, format!("{shard}/signed"));
        Ok(Self {
            note_key: derive_note_key(spec, &secret),
            spec: spec.clone(),
            key: secret.into(),
            memory: Mutex::new(memory.map_err(|error| ShardKeyError::Memory { shard, error })?),
            state,
        })
    }

    fn sign(&self, message: &[u8]) -> DigitallySigned {
        let signature: Signature = self.key.sign(message);
        let der = signature.to_der().as_bytes().to_vec();
        DigitallySigned::ecdsa(der).expect("a signature on P-256 has at most 72 bytes")
    }

    fn sign_checked(&self, head: TreeHead, cosignatures: &[NoteSignature]) -> SignedHead {
        let signature = self.sign(&head.signed_input());
        let signed = SignedTreeHead { head, signature };
        let mut note = signed.to_note(&self.spec.origin, &self.spec.key.id());
        let key = self.note_key();
        let plain = NoteSignature {
            name: key.name().clone(),
            key_id: key.id(),
            signature: <[u8; 64]>::from(self.note_key.sign(note.text().as_bytes())).to_vec(),
        };
        for line in std::iter::once(&plain).chain(cosignatures) {
            if note.sign(line.clone()).is_err() {
                break; // A quorum is in it already: one has at most 64 members.
            }
        }
        SignedHead { signed, note }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer for FileSigner {
    fn sign_head(&self, certificate: &CommitCertificate) -> Result<SignedHead, SignerError> {
        let (head, size) = (certificate.head, certificate.head.size);
        let text = Checkpoint::new(&self.spec.origin, size, head.root).to_text();
        let validators = &certificate.validators;
        let note = Note::new(text, certificate.cosignatures.clone()).ok();
        let note = note.filter(|note| validators.is_quorum(note, head.timestamp_ms / 1000));
        let note = note.ok_or(SignerError::NoQuorum { size })?;
        let mut memory = self.memory();
        memory.check_size(&head)?;
        memory.check_time(&head)?;
        memory.remember_with(&*self.state, &head, note.to_string().into_bytes())?;
        drop(memory);
        Ok(self.sign_checked(head, &certificate.cosignatures))
    }

    fn sign_last(&self) -> Option<SignedHead> {
        let memory = self.memory();
        let head = *memory.last()?;
        let cosigned = Note::parse(memory.attached()).ok();
        drop(memory);
        let lines = cosigned.as_ref().map_or(&[][..], Note::signatures);
        Some(self.sign_checked(head, lines))
    }

    fn last(&self) -> Option<TreeHead> {
        self.memory().last().copied()
    }

    fn sign_sct(&self, index: u64, entry: &TimestampedEntry) -> Result<Sct, SignerError> {
        let size = self.memory().last().map_or(0, |head| head.size);
        if index >= size {
            return Err(SignerError::Uncovered { index, size });
        }
        Ok(Sct {
            log_id: self.spec.key.id(),
            timestamp_ms: entry.timestamp_ms(),
            extensions: entry.extensions().clone(),
            // RFC 6962 §3.2 and §3.4: what a timestamp signs has the bytes of the leaf.
            signature: self.sign(&entry.leaf_input()),
        })
    }

    fn note_key(&self) -> VerifierKey {
        let key = ed25519_zebra::VerificationKeyBytes::from(&self.note_key);
        VerifierKey::new(self.spec.origin.clone(), KeyKind::Plain, key.into())
    }
}

impl fmt::Debug for FileSigner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FileSigner({})", self.spec.window.name) // Never the secret.
    }
}

/// All nodes that have the shard's key have the same key for witnesses, without another file.
fn derive_note_key(spec: &ShardSpec, secret: &SecretKey) -> ed25519_zebra::SigningKey {
    let digest = Sha256::new_with_prefix(b"nexus ct key for witnesses\n")
        .chain_update(spec.origin.as_str())
        .chain_update(b"\n")
        .chain_update(secret.to_bytes())
        .finalize();
    ed25519_zebra::SigningKey::from(<[u8; Hash::BYTES]>::from(digest))
}
