//! [`Checkpoint`]: a tree head as the text of a note (C2SP tlog-checkpoint).

use core::fmt::Write as _;

use data_encoding::BASE64;
use thiserror::Error;

use crate::base64::decode;
use crate::hash::Hash;
use crate::note::KeyName;

/// Which log, how many leaves, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extension_lines: Vec<String>,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Fewer than three lines, or a last line without newline.
    #[error("not three lines, each with its newline")]
    Lines,
    /// An empty line, of the origin or of an extension.
    #[error("line {line} is empty")]
    Empty {
        /// Which, from 0.
        line: usize,
    },
    /// Not a decimal number below 2^64 in its shortest form.
    #[error("size is no decimal number")]
    Size,
    /// Not base64 of 32 bytes.
    #[error("root is no base64 of 32 bytes")]
    Root,
}

impl Checkpoint {
    /// Of the log with this name, without extension lines.
    #[must_use]
    pub fn new(origin: &KeyName, size: u64, root: Hash) -> Self {
        Self {
            origin: origin.as_str().to_owned(),
            size,
            root,
            extension_lines: Vec::new(),
        }
    }

    /// Reads a note's text.
    ///
    /// # Errors
    ///
    /// If it is no checkpoint.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = lines.split('\n').enumerate();
        let mut next = || lines.next().map(|(_, content)| content);
        let (Some(origin), Some(size), Some(root)) = (next(), next(), next()) else {
            return Err(CheckpointError::Lines);
        };
        if origin.is_empty() {
            return Err(CheckpointError::Empty { line: 0 });
        }
        let mut extension_lines = Vec::new();
        for (line, content) in lines {
            if content.is_empty() {
                return Err(CheckpointError::Empty { line });
            }
            extension_lines.push(content.to_owned());
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: parse_decimal(size).ok_or(CheckpointError::Size)?,
            root: parse_hash(root).ok_or(CheckpointError::Root)?,
            extension_lines,
        })
    }

    /// Which log: of ours, the submission prefix without scheme and trailing slash (static-ct-api, "Checkpoints").
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Merkle Tree Hash of them.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// What else the log said.
    #[must_use]
    pub fn extension_lines(&self) -> &[String] {
        &self.extension_lines
    }

    /// The text of the note.
    #[must_use]
    pub fn to_text(&self) -> String {
        let root = BASE64.encode(&self.root.0);
        let mut text = format!("{}\n{}\n{root}\n", self.origin, self.size);
        for line in &self.extension_lines {
            writeln!(text, "{line}").expect("a string takes every line");
        }
        text
    }
}

/// A decimal number in its shortest form.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| digits && shortest)
}

/// A hash in base64.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    let bytes = decode(text).ok()?;
    bytes.try_into().ok().map(Hash)
}
