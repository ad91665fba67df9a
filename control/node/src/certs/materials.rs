//! [`Materials`]: trusted authorities and known logs, as the configuration names them.

use std::io;
use std::path::{Path, PathBuf};

use ct::LogList;
use pki::Anchors;

/// Octets of one file at most: the public authorities take some 200 KiB, the logs 100 KiB.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// By what certificates are judged.
#[derive(Debug, Default)]
pub struct Materials {
    /// Where paths may end.
    pub anchors: Anchors,
    /// The logs that are known.
    pub logs: Option<LogList>,
}

/// Why a file is of no use: which, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct MaterialsError {
    /// The file.
    pub path: PathBuf,
    /// For people.
    pub reason: String,
}

impl Materials {
    /// Reads the files that the configuration names. Blocks.
    ///
    /// # Errors
    /// The first that cannot be read, or that has nothing in it to judge by.
    pub fn read(from: &config::Ct) -> Result<Self, MaterialsError> {
        let mut materials = Self::default();
        materials.add_anchors(&from.trust_anchors, true)?;
        if let Some(own) = &from.private_anchors {
            materials.add_anchors(own, false)?;
        }
        if let Some(path) = &from.log_list {
            let text = read(path)?;
            let logs = LogList::parse(&text).map_err(|error| failed(path, error))?;
            for log in logs.refused() {
                let (operator, reason) = (&log.operator, &log.reason);
                tracing::warn!(path = %path.display(), operator, %reason, "log left out");
            }
            materials.logs = Some(logs);
        }
        Ok(materials)
    }

    fn add_anchors(&mut self, path: &Path, is_public: bool) -> Result<(), MaterialsError> {
        let (text, before) = (read(path)?, self.anchors.count());
        let added = self.anchors.add_pem(&text, is_public);
        added.map_err(|error| failed(path, error))?;
        if self.anchors.count() == before {
            return Err(failed(path, "no certificate in it"));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialsError> {
    let bytes = std::fs::metadata(path).map(|file| file.len());
    let read = bytes.and_then(|bytes| match bytes {
        ..=FILE_BYTES_MAX => std::fs::read(path),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    });
    read.map_err(|error| failed(path, error))
}

fn failed(path: &Path, reason: impl ToString) -> MaterialsError {
    MaterialsError {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
