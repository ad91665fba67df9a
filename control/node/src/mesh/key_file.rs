//! The file of the node's secret: PKCS #8 in PEM (RFC 8410 §7), as `openssl pkey` reads it too.
//!
//! Made whole or not at all, for its owner alone. Two processes that start together get one key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rustix::fs::fchown;

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4096;
/// What stands in front of the 32 bytes of a secret: version 0, id-Ed25519, an octet string in one.
const PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The kernel refused.
    #[error("{}: {what}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// Others may read it.
    #[error(
        "{}: others may read or write it (mode {mode:04o}); run `chmod 600 {}`, and make a new key \
         if somebody has read it", path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "{}: holds no Ed25519 key in PKCS #8 ({reason}); restore it, or move it away to get a new \
         key and become a new node", path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The secret in the file, which is made if there is none.
pub(super) fn load_or_create(path: &Path) -> Result<[u8; 32], KeyError> {
    match File::open(path) {
        Ok(file) => load(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let failed = |what| {
                move |error| KeyError::Io {
                    path: path.to_owned(),
                    what,
                    error,
                }
            };
            create(path).map_err(failed("cannot be made"))?;
            load(path, File::open(path).map_err(failed("cannot be opened"))?)
        }
        Err(error) => Err(KeyError::Io {
            path: path.to_owned(),
            what: "cannot be opened",
            error,
        }),
    }
}

fn load(path: &Path, file: File) -> Result<[u8; 32], KeyError> {
    let failed = |error| KeyError::Io {
        path: path.to_owned(),
        what: "cannot be read",
        error,
    };
    let content = |reason| KeyError::Content {
        path: path.to_owned(),
        reason,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(content("it is no regular file"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(failed)?;
    from_pem(&text).map_err(content)
}

fn from_pem(text: &[u8]) -> Result<[u8; 32], &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let (_, rest) = text.split_once(BEGIN).ok_or("no BEGIN PRIVATE KEY")?;
    let (body, _) = rest.split_once(END).ok_or("no END PRIVATE KEY")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = BASE64.decode(body.as_bytes()).map_err(|_| "no base64")?;
    let secret = der.strip_prefix(&PREFIX).ok_or("another kind of key")?;
    secret.try_into().map_err(|_| "another length")
}

/// PKCS #8 of a secret.
pub(super) fn to_der(secret: &[u8]) -> Vec<u8> {
    [&PREFIX[..], secret].concat()
}

/// Puts a new key at `path` unless somebody else has just done so.
fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut secret = [0; 32];
    let flags = rustix::rand::GetRandomFlags::empty();
    if rustix::rand::getrandom(&mut secret[..], flags)? != secret.len() {
        return Err(io::Error::other("the kernel gave too few random bytes"));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write(&beside, folder, &to_der(&secret));
    // A link, unlike a rename, never replaces what is there: a key once seen is the key.
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    fs::remove_file(&beside)?;
    linked?;
    File::open(folder)?.sync_all()
}

fn write(path: &Path, folder: &Path, der: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    if rustix::process::geteuid().is_root() {
        // Made by an administrator for the user that the daemon runs as, to whom the folder belongs.
        let owner = fs::metadata(folder)?;
        let (user, group) = (owner.uid(), owner.gid());
        fchown(
            &file,
            Some(rustix::process::Uid::from_raw(user)),
            Some(rustix::process::Gid::from_raw(group)),
        )?;
    }
    writeln!(file, "{BEGIN}\n{}\n{END}", BASE64.encode(der))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn key_is_made_once_for_its_owner_alone_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/node.key");
        let secret = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), secret);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let other = load_or_create(&folder.path().join("other.key")).unwrap();
        assert_ne!(other, secret);
    }

    #[test]
    fn key_that_somebody_else_made_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let secret = load_or_create(&path).unwrap();
        create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), secret);
    }

    #[test]
    fn file_that_others_may_read_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        load_or_create(&path).unwrap();
    }

    #[test]
    fn file_with_anything_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        load_or_create(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let texts = [
            String::new(),
            "\u{0}".to_owned(),
            good.replace("BEGIN PRIVATE", "BEGIN RSA PRIVATE"),
            good.replace("MC4C", "MC4D"),
            good.replace(END, ""),
            format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(&to_der(&[0; 31]))),
            format!("{BEGIN}\n!!\n{END}\n"),
        ];
        for text in texts {
            fs::write(&path, &text).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(
                matches!(error, KeyError::Content { .. }),
                "{text:?}: {error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(
            load_or_create(folder.path()),
            Err(KeyError::Content { .. })
        ));
    }

    #[test]
    fn any_bytes_are_a_key_or_an_error() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(secret) = from_pem(bytes) {
                let pem = format!("{BEGIN}{}{END}", BASE64.encode(&to_der(&secret)));
                assert_eq!(from_pem(pem.as_bytes()), Ok(secret));
            }
        });
    }
}
