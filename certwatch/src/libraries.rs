//! Which copies of OpenSSL there are: in the system's folders, and mapped by running programs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where distributions keep shared libraries; folders below these with a triplet's name count too.
const FOLDERS: [&str; 4] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
];

/// Device and inode: what a probe is attached to.
type Identity = (u64, u64);

/// Files that have been found once.
#[derive(Debug, Default)]
pub struct Libraries {
    known: BTreeSet<Identity>,
}

impl Libraries {
    /// Copies that were not there the last time. Those of programs are named by way of their root, so
    /// that containers are no obstacle; programs that may not be looked at are left out.
    pub fn find_new(&mut self) -> Vec<PathBuf> {
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
        candidates.retain(|path| {
            let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file);
            metadata.is_some_and(|metadata| self.known.insert((metadata.dev(), metadata.ino())))
        });
        candidates
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
        let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
        for (identity, path) in maps.lines().filter_map(mapped_code) {
            if is_openssl(path) && seen.insert(identity) {
                let inside = path.strip_prefix("/").unwrap_or(path);
                found.insert(process.join("root").join(inside));
            }
        }
    }
    found
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
        libraries.find_new();
        assert_eq!(libraries.find_new(), Vec::<PathBuf>::new());
    }
}
