//! Which copies of OpenSSL there are: in the system's folders, and mapped by running programs.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where distributions keep shared libraries; folders below these with a triplet's name count too.
const FOLDERS: [&str; 4] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
];

/// Copies that are looked at at most, from the start on: anybody can make files with such names.
const COPIES_MAX: usize = 4096;
/// Longest list of what a process has mapped that is read, in bytes.
const MAPS_BYTES_MAX: u64 = 8 << 20;

/// Device and inode: what a probe is attached to.
type Identity = (u64, u64);

/// Files that have been found once, and those of them that wait to be looked at.
#[derive(Debug, Default)]
pub struct Libraries {
    known: BTreeSet<Identity>,
    waiting: VecDeque<PathBuf>,
}

impl Libraries {
    /// Finds copies that were not there the last time, and says whether all found a place. Those of
    /// programs are named by way of their root, so that containers are no obstacle; programs that may not be
    /// looked at are left out.
    pub fn search(&mut self) -> bool {
        let mut candidates = Vec::new();
        for folder in FOLDERS.map(Path::new) {
            candidates.extend(files_of(folder));
            let triplets = files_of(folder).into_iter().filter(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy());
                name.is_some_and(|name| name.contains("-linux-"))
            });
            candidates.extend(triplets.flat_map(|folder| files_of(&folder)));
        }
        candidates.extend(mapped());
        candidates.retain(|path| is_openssl(path));
        candidates
            .into_iter()
            .all(|path| self.add(path, COPIES_MAX))
    }

    /// The next copy to look at. Those of the system come first.
    pub fn next_found(&mut self) -> Option<PathBuf> {
        self.waiting.pop_front()
    }

    /// Whether there was a place for it, or it needs none.
    fn add(&mut self, path: PathBuf, copies_max: usize) -> bool {
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
        let identity = metadata.map(|metadata| (metadata.dev(), metadata.ino()));
        let Some(identity) = identity.filter(|identity| !self.known.contains(identity)) else {
            return true;
        };
        if self.known.len() >= copies_max {
            return false;
        }
        self.known.insert(identity);
        self.waiting.push_back(path);
        true
    }
}

/// Whether a file may be a libssl or a libcrypto, by its name: `libssl.so.3`, and `libssl-1234.so.1.1`
/// as packages of other languages bring it.
fn is_openssl(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| {
        let rest = ["libssl", "libcrypto"]
            .into_iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        rest.is_some_and(|rest| rest.starts_with(['.', '-']) && rest.contains(".so"))
    })
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Files with code that programs have mapped.
fn mapped() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    // The same library of ten thousand processes is looked at once.
    let mut seen = BTreeSet::new();
    for process in files_of(Path::new("/proc")) {
        let maps = read_maps(&process.join("maps"));
        for (identity, path) in maps.lines().filter_map(mapped_code) {
            if is_openssl(path) && seen.insert(identity) {
                let inside = path.strip_prefix("/").unwrap_or(path);
                found.insert(process.join("root").join(inside));
            }
        }
    }
    found
}

/// What can be read of a list, as text.
fn read_maps(path: &Path) -> String {
    let mut bytes = Vec::new();
    // Processes end while they are looked at: what has come by then counts.
    let _ = File::open(path).and_then(|file| file.take(MAPS_BYTES_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Device with inode, as text, and path of a line of `/proc/PID/maps` that maps a file's code.
fn mapped_code(line: &str) -> Option<((String, String), &Path)> {
    let mut words = line.splitn(6, ' ');
    let is_code = words.nth(1)?.contains('x');
    let (device, inode) = (words.nth(1)?, words.next()?);
    let path = words.next()?.trim_start();
    let identity = (device.to_owned(), inode.to_owned());
    (is_code && path.starts_with('/')).then_some((identity, Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_openssl_and_of_others_are_told_apart() {
        for (name, is) in [
            ("libssl.so.3", true),
            ("libcrypto.so.1.1", true),
            ("libssl-0331ac5e.so.1.1.1k", true),
            ("libssl3.so", false), // NSS.
            ("libcrypto.a", false),
            ("libcryptsetup.so.12", false),
            ("libc.so.6", false),
        ] {
            assert_eq!(is_openssl(Path::new(name)), is, "{name}");
        }
    }

    #[test]
    fn lines_of_maps_give_code_with_its_path() {
        let line =
            "7f01-7f02 r-xp 0005e000 fe:00 1234                       /usr/lib/a b/libssl.so.3";
        let identity = ("fe:00".to_owned(), "1234".to_owned());
        let path = Path::new("/usr/lib/a b/libssl.so.3");
        assert_eq!(mapped_code(line), Some((identity, path)));
        for line in [
            "7f01-7f02 r--p 0005e000 fe:00 1234 /usr/lib/libssl.so.3",
            "7ffd-7ffe r-xp 00000000 00:00 0                          [vdso]",
            "7ffd-7ffe r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(mapped_code(line), None, "{line}");
        }
    }

    #[test]
    fn a_copy_is_new_once() {
        let mut libraries = Libraries::default();
        libraries.search();
        while libraries.next_found().is_some() {}
        assert!(libraries.search());
        assert_eq!(libraries.next_found(), None);
    }

    #[test]
    fn no_more_copies_are_looked_at_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut libraries = Libraries::default();
        let places = [1, 2, 3].map(|name: u8| {
            let path = folder.path().join(name.to_string());
            fs::write(&path, "").unwrap();
            libraries.add(path.clone(), 2) && libraries.add(path, 2)
        });
        assert_eq!(places, [true, true, false]);
        assert!(libraries.next_found().unwrap().ends_with("1"));
        assert!(libraries.next_found().is_some() && libraries.next_found().is_none());
    }
}
