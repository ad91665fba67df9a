//! The file of a shard's private key: read by [`crate::FileSigner`], made for whoever sets up a shard.

use std::io;
use std::path::Path;

use ct::LogKey;
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};

use crate::signer::ShardKeyError;

/// The public half of the key in a file, which is made, for its owner alone, if there is none.
///
/// # Errors
/// It can be neither read nor made, or the file holds something else.
pub fn load_or_create_shard_key(path: &Path) -> Result<LogKey, ShardKeyError> {
    let secret = match load_secret(path) {
        Err(ShardKeyError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(|error| ShardKeyError::Read {
                path: path.to_owned(),
                error,
            })?
        }
        other => other?,
    };
    let malformed = || ShardKeyError::Malformed {
        path: path.to_owned(),
    };
    LogKey::new(&public_key(&secret).ok_or_else(malformed)?).map_err(|_| malformed())
}

/// The key in a file.
pub(crate) fn load_secret(path: &Path) -> Result<SecretKey, ShardKeyError> {
    let bytes = std::fs::read(path).map_err(|error| ShardKeyError::Read {
        path: path.to_owned(),
        error,
    })?;
    parse_secret(&bytes).ok_or_else(|| ShardKeyError::Malformed {
        path: path.to_owned(),
    })
}

/// Its public half, as a SubjectPublicKeyInfo.
pub(crate) fn public_key(secret: &SecretKey) -> Option<Vec<u8>> {
    let spki = secret.public_key().to_public_key_der().ok()?;
    Some(spki.as_bytes().to_vec())
}

fn create(path: &Path) -> io::Result<SecretKey> {
    let no_randomness = || io::Error::other("the system gives no randomness");
    let secret = loop {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| no_randomness())?;
        // One in 2^32 numbers is none of the curve's.
        if let Ok(secret) = SecretKey::from_slice(&bytes) {
            break secret;
        }
    };
    let pem = secret.to_pkcs8_pem(LineEnding::LF);
    let pem = pem.map_err(|_| io::Error::other("the key cannot be encoded"))?;
    match durable::create(path, pem.as_bytes(), 0o600)? {
        true => Ok(secret),
        false => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// PKCS #8 or SEC 1, in DER or as the PEM block that openssl writes below the parameters.
fn parse_secret(bytes: &[u8]) -> Option<SecretKey> {
    let Ok(text) = str::from_utf8(bytes) else {
        let pkcs8 = SecretKey::from_pkcs8_der(bytes).ok();
        return pkcs8.or_else(|| SecretKey::from_sec1_der(bytes).ok());
    };
    let block = |label: &str| text.get(text.find(&format!("-----BEGIN {label}-----"))?..);
    let pkcs8 = block("PRIVATE KEY").and_then(|pem| SecretKey::from_pkcs8_pem(pem).ok());
    let sec1 = || block("EC PRIVATE KEY").and_then(|pem| SecretKey::from_sec1_pem(pem).ok());
    pkcs8.or_else(sec1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard.pem");
        let made = load_or_create_shard_key(&path).unwrap();
        let again = load_or_create_shard_key(&path).unwrap();
        assert_eq!(made.spki(), again.spki());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = load_or_create_shard_key(&folder.path().join("other.pem")).unwrap();
        assert_ne!(made.id(), other.id());
    }

    #[test]
    fn file_with_something_else_is_kept_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "no key").unwrap();
        let error = load_or_create_shard_key(&path).unwrap_err();
        assert!(matches!(error, ShardKeyError::Malformed { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"no key");
    }
}
