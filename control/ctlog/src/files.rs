//! [`Files`]: what the log asks of the place where its files are, one operation each, so that tests can let each of them
//! fail, and so that another place than a folder can take them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Files by paths of `/`-separated steps. Of each path either nothing is there or what was last written, until a crash
/// takes what was not made durable.
pub trait Files: Debug + Send + Sync + 'static {
    /// The contents. `None`: no such file.
    ///
    /// # Errors
    /// What the kernel said.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Writes a file, in place of whatever bears its name. Who reads meanwhile sees the old or the new one. A crash may leave
    /// either, or a part of it.
    ///
    /// # Errors
    /// What the kernel said.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// The same, and durable when it returns. A crash leaves the old or the new one.
    ///
    /// # Errors
    /// What the kernel said.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes over a file of the same length where it is, and is durable when it returns: cheaper than [`Self::replace`], for what is
    /// written often. A crash may leave a part of it. The first time it is as `replace`.
    ///
    /// # Errors
    /// What the kernel said.
    fn overwrite(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes files that were written durable, with their names.
    ///
    /// # Errors
    /// What the kernel said. None of them may be trusted then: pages that could not be written count as clean afterwards.
    fn sync(&self, paths: &[String]) -> io::Result<()>;

    /// Removes a folder and all in it, if it is there.
    ///
    /// # Errors
    /// What the kernel said.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
}

/// A folder of this machine.
#[derive(Debug, Clone)]
pub struct LocalFiles {
    root: PathBuf,
    mode: u32,
}

/// So many files are made durable one by one; more, with their whole file system at once, which also writes what would
/// have been removed before.
const SYNC_EACH_MAX: usize = 512;

impl LocalFiles {
    /// Below this folder, which is made. `mode`: permissions of the files, 0o644 for those that a web server reads.
    #[must_use]
    pub fn new(root: PathBuf, mode: u32) -> Self {
        Self { root, mode }
    }

    /// Writes beside, with a name that no other file of the log has, and gives that name.
    fn write_beside(&self, path: &Path, bytes: &[u8], is_durable: bool) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(self.mode);
        let mut file = match options.open(&beside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                options.open(&beside)?
            }
            opened => opened?,
        };
        file.write_all(bytes)?;
        if is_durable {
            file.sync_all()?; // Before the name is: else a crash may leave the name with nothing behind it.
        }
        fs::rename(&beside, path)
    }

    /// Makes the names in the folders above these files durable, up to the root.
    fn sync_folders<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for path in paths {
            let above = path.ancestors().skip(1);
            folders.extend(above.take_while(|folder| folder.starts_with(&self.root)));
        }
        let mut folders = folders.into_iter();
        folders.try_for_each(|folder| File::open(folder)?.sync_all())
    }
}

impl Files for LocalFiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.root.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_beside(&self.root.join(path), bytes, false)
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(path);
        self.write_beside(&path, bytes, true)?;
        self.sync_folders([path.as_path()].into_iter())
    }

    fn overwrite(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let opened = OpenOptions::new().write(true).open(self.root.join(path));
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.replace(path, bytes),
            Err(error) => Err(error),
            Ok(file) => {
                file.write_all_at(bytes, 0)?;
                file.sync_data()
            }
        }
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        if paths.len() > SYNC_EACH_MAX {
            return Ok(rustix::fs::syncfs(File::open(&self.root)?)?);
        }
        let paths: Vec<PathBuf> = paths.iter().map(|path| self.root.join(path)).collect();
        for path in &paths {
            File::open(path)?.sync_all()?;
        }
        self.sync_folders(paths.iter().map(PathBuf::as_path))
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_replaced_whole_with_their_mode_and_nothing_is_left_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let files = LocalFiles::new(folder.path().join("log"), 0o640);
        assert_eq!(files.read("tile/0/000").unwrap(), None);
        files.write("tile/0/000", b"one").unwrap();
        files.replace("tile/0/000", b"two").unwrap();
        files.sync(&["tile/0/000".to_owned()]).unwrap();
        assert_eq!(files.read("tile/0/000").unwrap().unwrap(), b"two");
        let names: Vec<_> = fs::read_dir(folder.path().join("log/tile/0"))
            .unwrap()
            .collect();
        assert_eq!(names.len(), 1);
        let mode = names[0].as_ref().unwrap().metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o640);
        files.overwrite("signed", b"four").unwrap();
        files.overwrite("signed", b"five").unwrap();
        assert_eq!(files.read("signed").unwrap().unwrap(), b"five");
        let many: Vec<String> = (0..=SYNC_EACH_MAX)
            .map(|number| format!("many/{number}"))
            .collect();
        for path in &many {
            files.write(path, b"three").unwrap();
        }
        files.sync(&many).unwrap();
        files.remove_folder("tile").unwrap();
        files.remove_folder("tile").unwrap();
        assert_eq!(files.read("tile/0/000").unwrap(), None);
        assert_eq!(files.read("many/3/below").unwrap(), None);
    }
}
