//! A zone file from disk, with the files that it includes; `nexus check` reads them here, too.

use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use resolver::zone::{NAME_BYTES_MAX, Place, Zone};

/// Longest zone file that is read, in bytes.
pub const ZONE_FILE_BYTES_MAX: u64 = 1 << 30;

/// What a zone's files hold.
#[derive(Debug)]
pub struct ZoneFile {
    /// The zone, fit to be served.
    pub zone: Zone,
    /// Of all the text that it came from: equal text, equal digest.
    pub digest: u64,
    /// What is served but probably not meant.
    pub remarks: Vec<Remark>,
}

/// What is wrong in a zone file, or only odd: `file:line:column: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The zone's own file, or an included one.
    pub file: PathBuf,
    /// Line and column, counted from 1; absent for the file as a whole.
    pub position: Option<(u32, u32)>,
    /// What was found, and what was expected.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.message)
    }
}

/// Reads and builds one zone. Every include is relative to the folder of the zone's own file,
/// however deep it stands.
///
/// # Errors
/// The first fault.
pub fn read(zone: &config::Zone) -> Result<ZoneFile, Remark> {
    let file = zone.file.clone().unwrap_or_default();
    let whole_file = |message| Remark {
        file: file.clone(),
        position: None,
        message,
    };
    let apex = wire_name(&zone.name)
        .ok_or_else(|| whole_file(format!("{} is no domain name", zone.name)))?;
    let text = read_file(&file).map_err(whole_file)?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut include = |_: &str, path: &str| {
        let text = read_file(&folder.join(path))?;
        text.hash(&mut hasher);
        Ok(text)
    };
    // Named within its folder, as included files are.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let remark = |place: &Place, message: String| Remark {
        file: folder.join(&*place.file),
        position: (place.line > 0).then_some((place.line, place.column)),
        message,
    };
    let (built, notes) = Zone::read(&apex, &text, &name, &mut include)
        .map_err(|error| remark(&error.place, error.problem.to_string()))?;
    let remarks = notes
        .iter()
        .map(|note| remark(&note.place, note.remark.to_string()))
        .collect();
    Ok(ZoneFile {
        zone: built,
        digest: hasher.finish(),
        remarks,
    })
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut text = Vec::new();
    file.take(ZONE_FILE_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > ZONE_FILE_BYTES_MAX {
        return Err(format!("is longer than {ZONE_FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// Wire form of a name as the configuration gives it: plain labels, final dot.
pub(crate) fn wire_name(name: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    for label in name
        .trim_end_matches('.')
        .split('.')
        .filter(|label| !label.is_empty())
    {
        wire.push(
            u8::try_from(label.len())
                .ok()
                .filter(|length| *length < 64)?,
        );
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    (wire.len() <= NAME_BYTES_MAX).then_some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_labels_with_the_root_behind() {
        assert_eq!(wire_name(".").unwrap(), [0]);
        assert_eq!(wire_name("www.example.").unwrap(), b"\x03www\x07example\0");
        assert_eq!(wire_name(&"a".repeat(64)), None);
        assert_eq!(wire_name(&"a.".repeat(128)), None);
    }
}
