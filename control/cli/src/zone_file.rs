//! A zone file from disk, with the files that it includes.

use std::fs;
use std::path::{Path, PathBuf};

use resolver::zone::{Place, Zone};

/// What is wrong in a zone file, or only odd.
#[derive(Debug)]
pub struct Remark {
    /// The file, an included one perhaps.
    pub file: PathBuf,
    /// Line and column, counted from 1; absent for the file as a whole.
    pub position: Option<(u32, u32)>,
    /// What was found, and what was expected.
    pub message: String,
}

/// Reads and builds a zone as control would; what is only odd comes beside it. Included files are
/// relative to the folder of the zone's file.
///
/// # Errors
/// The first fault.
pub fn read(zone: &config::Zone) -> Result<(Zone, Vec<Remark>), Remark> {
    let folder = zone.file.parent().unwrap_or(Path::new(""));
    let text = fs::read(&zone.file).map_err(|error| Remark {
        file: zone.file.clone(),
        position: None,
        message: format!("cannot be read: {error}"),
    })?;
    let mut include =
        |_: &str, path: &str| fs::read(folder.join(path)).map_err(|error| error.to_string());
    // Named within its folder, as included files are.
    let file = zone.file.file_name().unwrap_or_default().to_string_lossy();
    let remark = |place: &Place, message: String| Remark {
        file: folder.join(&*place.file),
        position: (place.line > 0).then_some((place.line, place.column)),
        message,
    };
    match Zone::read(&wire_name(&zone.name), &text, &file, &mut include) {
        Ok((built, notes)) => {
            let notes = notes
                .iter()
                .map(|note| remark(&note.place, note.remark.to_string()));
            Ok((built, notes.collect()))
        }
        Err(error) => Err(remark(&error.place, error.problem.to_string())),
    }
}

/// The configuration has checked the name: lower case, a final dot, labels of 1 to 63 bytes.
fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len());
        wire.push(length.unwrap_or_else(|_| unreachable!("a label of 63 bytes at most")));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_labels_with_the_root_behind() {
        assert_eq!(wire_name("."), [0]);
        assert_eq!(wire_name("www.example."), b"\x03www\x07example\0");
    }
}
