//! [`VerifierKey`]: an Ed25519 key that checks signatures of notes, in its one-line form `name+id+base64` (signed-note,
//! "Verifier keys").

use core::fmt;

use data_encoding::BASE64;
use rustls_pki_types::alg_id;
use thiserror::Error;

use crate::base64::decode;
use crate::cosignature;
use crate::log_key::{self, LogSignatureError};
use crate::note::{KeyName, Note, key_id};
use crate::signature::Algorithms;
use crate::tls::{Reader, Truncated};

/// What a signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// That its key signed the text: type 0x01.
    Plain,
    /// That its key's owner saw, at a time it names, the log consistent with all before: type 0x04.
    Cosignature,
}

/// Name, kind and public key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    key: [u8; 32],
}

/// Why a line is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VerifierKeyError {
    /// Not `name+id+base64`.
    #[error("key is not name+id+base64")]
    Malformed,
    /// Neither type 0x01 nor 0x04.
    #[error("signature type {0:#04x}")]
    Kind(u8),
    /// Not the 32 bytes of an Ed25519 key.
    #[error("Ed25519 key of {found} bytes")]
    Length {
        /// Its bytes.
        found: usize,
    },
    /// The id is not of this name and key.
    #[error("key id {found:08x}, not {expected:08x}")]
    Id {
        /// Id of name and key.
        expected: u32,
        /// Id in the line.
        found: u32,
    },
}

/// Why a note is not signed by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteSignatureError {
    /// No line names the key.
    #[error("no signature by this key")]
    Unsigned,
    /// The time before the signature is cut short.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// A time beyond 2^63 - 1.
    #[error("time {0} is beyond 2^63 - 1")]
    Time(u64),
    /// It does not verify.
    #[error(transparent)]
    Signature(#[from] LogSignatureError),
}

impl KeyKind {
    /// Signature type identifier of signed-note.
    #[must_use]
    pub fn signature_type(self) -> u8 {
        match self {
            Self::Plain => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

impl VerifierKey {
    /// Of its parts.
    #[must_use]
    pub fn new(name: KeyName, kind: KeyKind, key: [u8; 32]) -> Self {
        Self { name, kind, key }
    }

    /// Reads the one-line form.
    ///
    /// # Errors
    ///
    /// If it is none, or its id is of another name or key.
    pub fn parse(line: &str) -> Result<Self, VerifierKeyError> {
        let malformed = VerifierKeyError::Malformed;
        let (name, rest) = line.split_once('+').ok_or(malformed)?;
        let (id, base64) = rest.split_once('+').ok_or(malformed)?;
        let name = KeyName::new(name).ok_or(malformed)?;
        if id.len() != 8 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed);
        }
        let found = u32::from_str_radix(id, 16).map_err(|_| malformed)?;
        let bytes = decode(base64).map_err(|_| malformed)?;
        let (signature_type, key) = bytes.split_first().ok_or(malformed)?;
        let kind = match signature_type {
            0x01 => KeyKind::Plain,
            0x04 => KeyKind::Cosignature,
            unknown => return Err(VerifierKeyError::Kind(*unknown)),
        };
        let length = VerifierKeyError::Length { found: key.len() };
        let key = Self::new(name, kind, key.try_into().map_err(|_| length)?);
        let expected = key.id();
        if expected != found {
            return Err(VerifierKeyError::Id { expected, found });
        }
        Ok(key)
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// What its signatures say.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The Ed25519 public key (RFC 8032).
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Its id in signature lines.
    #[must_use]
    pub fn id(&self) -> u32 {
        key_id(&self.name, self.kind.signature_type(), &self.key)
    }

    /// Checks the note's signature by this key, and gives the time that a cosignature names, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not verify: then the whole note is to be refused (signed-note, "Signatures").
    pub fn verify(
        &self,
        note: &Note,
        algorithms: &Algorithms<'_>,
    ) -> Result<Option<u64>, NoteSignatureError> {
        let bytes = note.signature(&self.name, self.id());
        let bytes = bytes.ok_or(NoteSignatureError::Unsigned)?;
        match self.kind {
            KeyKind::Plain => {
                self.verify_bytes(note.text().as_bytes(), bytes, algorithms)?;
                Ok(None)
            }
            KeyKind::Cosignature => {
                let mut reader = Reader::new(bytes);
                let time_s = reader.u64()?;
                if i64::try_from(time_s).is_err() {
                    return Err(NoteSignatureError::Time(time_s));
                }
                let message = cosignature::message(note.text(), time_s);
                self.verify_bytes(&message, reader.bytes(reader.left())?, algorithms)?;
                Ok(Some(time_s))
            }
        }
    }

    fn verify_bytes(
        &self,
        message: &[u8],
        bytes: &[u8],
        algorithms: &Algorithms<'_>,
    ) -> Result<(), LogSignatureError> {
        let ed25519 = (alg_id::ED25519, alg_id::ED25519);
        log_key::verify(algorithms, ed25519, &self.key, message, bytes)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.signature_type()], self.key.as_slice()].concat();
        let base64 = BASE64.encode(&bytes);
        write!(out, "{}+{:08x}+{base64}", self.name, self.id())
    }
}
