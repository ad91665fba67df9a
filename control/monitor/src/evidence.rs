//! [`EvidenceFolder`]: what was kept of the misdeeds of logs, never overwritten.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::alarm::Alarm;
use crate::source::LogSource;

/// Files of evidence. A log that misbehaves can do so without end.
pub const EVIDENCE_FILES_MAX: usize = 1_000;

/// A folder with one file a misdeed.
#[derive(Debug)]
pub struct EvidenceFolder {
    path: PathBuf,
}

/// What became of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In a new file of this name.
    New(String),
    /// It was there, in the file of this name.
    Known(String),
    /// There are [`EVIDENCE_FILES_MAX`] files.
    Full,
}

impl EvidenceFolder {
    /// Makes it, if it is not there.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Keeps the evidence of a misdeed. Blocks until the disk has it.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep(&self, source: &LogSource, alarm: &Alarm) -> io::Result<Kept> {
        let mut name = alarm.id(source).to_string();
        name.truncate(32);
        name.push_str(".json");
        let path = self.path.join(&name);
        if path.try_exists()? {
            return Ok(Kept::Known(name));
        }
        if fs::read_dir(&self.path)?.count() >= EVIDENCE_FILES_MAX {
            return Ok(Kept::Full);
        }
        let evidence = alarm.evidence(source);
        match durable::create(&path, evidence.as_bytes(), 0o440)? {
            true => Ok(Kept::New(name)),
            false => Ok(Kept::Known(name)),
        }
    }
}
