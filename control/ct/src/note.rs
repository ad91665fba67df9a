//! [`Note`]: text with signatures below it (C2SP signed-note).

use core::fmt;

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::base64::decode;

/// Bytes of a note that is read.
pub const NOTE_BYTES_MAX: usize = 1 << 20;

/// Signatures of a note that is read. The specification wants at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// Bytes of a key's name. The specification has no bound.
pub const KEY_NAME_BYTES_MAX: usize = 1024;

/// Name of a key: not empty, without space or plus, of bounded length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A text that ends in a newline, and signatures that have not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Who signed, as the line says.
    pub name: KeyName,
    /// First four bytes of a hash of name and key: enough to find the key, not to know it.
    pub key_id: u32,
    /// Bytes in the key's own format.
    pub signature: Vec<u8>,
}

/// Why bytes are no note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// More than [`NOTE_BYTES_MAX`].
    #[error("note of {found} bytes")]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// Not UTF-8, or with a control character other than newline.
    #[error("byte {offset} is no text")]
    Text {
        /// Of the first such byte.
        offset: usize,
    },
    /// The text does not end in a newline, or nothing follows it.
    #[error("no text, or no signatures below it")]
    Unsigned,
    /// More than [`NOTE_SIGNATURES_MAX`].
    #[error("more than {NOTE_SIGNATURES_MAX} signatures")]
    Signatures,
    /// A line that is not dash, name and base64 of at least five bytes.
    #[error("signature line {line} is malformed")]
    SignatureLine {
        /// Which of the signature lines, from 0.
        line: usize,
    },
}

impl KeyName {
    /// None if it is empty or too long, or has a space or plus in it, or what else no note could hold.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let forbidden =
            |character: char| character.is_whitespace() || character == '+' || character < ' ';
        let valid = (1..=KEY_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(forbidden);
        valid.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Note {
    /// Of its parts.
    ///
    /// # Errors
    ///
    /// If the text does not end in a newline or has characters that no note has, or there are too many signatures.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_text(text.as_bytes())?;
        if !text.ends_with('\n') {
            return Err(NoteError::Unsigned);
        }
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::Signatures);
        }
        Ok(Self { text, signatures })
    }

    /// Reads a note. What it gives says nothing until a signature has been checked.
    ///
    /// # Errors
    ///
    /// If it is none, or too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let whole = check_text(bytes)?;
        // The last empty line is where the signatures begin.
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let text = whole.get(..=text.len()).unwrap_or_default();
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut signatures = Vec::new();
        for (line, content) in lines.split('\n').enumerate() {
            if line == NOTE_SIGNATURES_MAX {
                return Err(NoteError::Signatures);
            }
            let signature = NoteSignature::parse(content);
            signatures.push(signature.ok_or(NoteError::SignatureLine { line })?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The text, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Bytes of the first signature that names this key.
    #[must_use]
    pub fn signature(&self, name: &KeyName, key_id: u32) -> Option<&[u8]> {
        let by_key = |line: &&NoteSignature| line.key_id == key_id && line.name == *name;
        let line = self.signatures.iter().find(by_key);
        line.map(|line| line.signature.as_slice())
    }

    /// Adds a signature below, in the place of an earlier one of the same key.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn sign(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let same_key =
            |line: &NoteSignature| line.key_id == signature.key_id && line.name == signature.name;
        self.signatures.retain(|line| !same_key(line));
        if self.signatures.len() == NOTE_SIGNATURES_MAX {
            return Err(NoteError::Signatures);
        }
        self.signatures.push(signature);
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.text)?;
        let mut lines = self.signatures.iter();
        lines.try_for_each(|signature| writeln!(out, "{signature}"))
    }
}

impl NoteSignature {
    /// Reads one line, without its newline.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = decode(base64).ok()?;
        let (key_id, signature) = bytes.split_first_chunk()?;
        let name = KeyName::new(name).filter(|_| !signature.is_empty())?;
        Some(Self {
            name,
            key_id: u32::from_be_bytes(*key_id),
            signature: signature.to_vec(),
        })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes(), self.signature.as_slice()].concat();
        write!(out, "— {} {}", self.name, BASE64.encode_display(&bytes))
    }
}

/// Id of a key: the first four bytes of SHA-256 of its name, a newline, the signature type and the key.
#[must_use]
pub fn key_id(name: &KeyName, signature_type: u8, key: &[u8]) -> u32 {
    let digest = Sha256::new()
        .chain_update(name.as_str())
        .chain_update([b'\n', signature_type])
        .chain_update(key)
        .finalize();
    let [a, b, c, d, ..]: [u8; 32] = digest.into();
    u32::from_be_bytes([a, b, c, d])
}

/// UTF-8 without control characters, of bounded length.
fn check_text(bytes: &[u8]) -> Result<&str, NoteError> {
    let found = bytes.len();
    if found > NOTE_BYTES_MAX {
        return Err(NoteError::Length { found });
    }
    let control = |byte: &u8| *byte < b' ' && *byte != b'\n';
    if let Some(offset) = bytes.iter().position(control) {
        return Err(NoteError::Text { offset });
    }
    str::from_utf8(bytes).map_err(|error| NoteError::Text {
        offset: error.valid_up_to(),
    })
}
