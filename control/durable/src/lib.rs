//! Small files that survive a crash whole: the old contents or the new ones, never a part. All calls block until the disk has it.

#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The bytes of a file; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or is longer than `bytes_max`.
pub fn read(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        let text = format!("is longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(Some(bytes))
}

/// The same of text in UTF-8.
///
/// # Errors
/// As there, and if it is none.
pub fn read_text(path: &Path, bytes_max: usize) -> io::Result<Option<String>> {
    let text = read(path, bytes_max)?.map(String::from_utf8).transpose();
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Replaces a file by one that its owner writes and its group reads. The folder must exist.
///
/// # Errors
/// What the system said; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = with_ending(path, "new");
    write_whole(&beside, bytes, 0o640)?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Makes a file with these permissions, unless there is one of this name, which is left as it is; whether it was made.
///
/// # Errors
/// What the system said.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    // By way of another name: what a crash leaves of that stands in nobody's way. Each process has its own.
    let beside = with_ending(path, &format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    write_whole(&beside, bytes, mode)?;
    let linked = fs::hard_link(&beside, path); // Unlike a renaming, this overwrites nothing.
    fs::remove_file(&beside)?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a file that cannot be used out of the way, for a person to look at; gives its new name.
///
/// # Errors
/// What the system said.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = with_ending(path, "broken");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Makes the name of a new file durable: it is when its folder is.
///
/// # Errors
/// What the system said.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all() // Before the name is: else a crash may leave the name with nothing behind it.
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaced_file_is_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.state");
        assert_eq!(read(&path, 9).unwrap(), None);
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"two");
        assert_eq!(read_text(&path, 3).unwrap().unwrap(), "two");
        let error = read(&path, 2).unwrap_err();
        assert_eq!(error.to_string(), "is longer than 2 bytes");
        fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path, 3).is_err());
        assert_eq!(names(folder.path()), ["a.state"]);
    }

    #[test]
    fn created_file_is_never_overwritten_and_what_a_crash_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let left = with_ending(&path, &format!("{}.new", std::process::id()));
        fs::write(left, "left by a crash").unwrap();
        assert!(create(&path, b"one", 0o440).unwrap());
        assert!(!create(&path, b"two", 0o440).unwrap());
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"one");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o440);
        assert_eq!(names(folder.path()), ["b.json"]);
    }

    #[test]
    fn file_of_no_use_keeps_its_contents_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        replace(&path, b"junk").unwrap();
        let aside = set_aside(&path).unwrap();
        assert_eq!(read(&aside, 9).unwrap().unwrap(), b"junk");
        assert_eq!(names(folder.path()), ["c.broken"]);
    }
}
