//! Small files of state that survive a crash whole: the old text or the new one, never a part.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// The text of a file; `None` if there is none.
///
/// # Errors
/// Why it cannot be read, without its name.
pub(crate) fn read(path: &Path) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    let bytes = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    match bytes {
        Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => {
            Err(format!("is longer than {FILE_BYTES_MAX} bytes"))
        }
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(error.to_string()),
    }
}

/// Replaces a file. The folder must exist. Blocks until the disk has it.
///
/// # Errors
/// What the kernel said; the old file is still there then.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = with_ending(path, "new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?; // Before the name is: else a crash may leave the name with nothing behind it.
    std::fs::rename(&beside, path)?;
    // The name itself is on the disk only when its folder is.
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Moves a file that cannot be used out of the way, for a person to look at; gives its new name.
///
/// # Errors
/// What the kernel said.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = with_ending(path, "broken");
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read(&path), Ok(None));
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(read(&path), Ok(Some("two".to_owned())));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let aside = set_aside(&path).unwrap();
        assert_eq!(aside, folder.path().join("state.broken"));
        assert_eq!(read(&path), Ok(None));
    }

    #[test]
    fn what_cannot_be_written_or_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&folder.path().join("missing/state"), "x").is_err());
        let path = folder.path().join("state");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read(&path).is_err(), "not UTF-8");
        let long = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
        std::fs::write(&path, vec![b'x'; long]).unwrap();
        assert!(read(&path).unwrap_err().contains("longer"));
    }
}
