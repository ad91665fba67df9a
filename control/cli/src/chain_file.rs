//! Chains of certificates, and lists of revoked ones, in files: PEM with one or more of them, or DER with one.

use std::path::Path;

use anyhow::{Context, bail};
use node::admin::{Failure, FailureCode};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

/// Most bytes of a chain, and of what a server sends with it.
const CHAIN_BYTES_MAX: u64 = 4 << 20;
/// Most bytes of revocation lists: the largest have some ten million, and PEM takes a third more.
const LIST_BYTES_MAX: u64 = 32 << 20;

/// Reads the certificates of a PEM file in their order, or the one of a DER file.
///
/// # Errors
/// The file cannot be read, is too large, or has none in it.
pub fn read(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = read_bytes(path, CHAIN_BYTES_MAX)?;
    sections(path, bytes, "certificates", |der: CertificateDer<'_>| {
        der.to_vec()
    })
}

/// Reads the revocation lists of a PEM file in their order, or the one of a DER file.
///
/// # Errors
/// As [`read`].
pub fn read_revocation_lists(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = read_bytes(path, LIST_BYTES_MAX)?;
    type List<'a> = CertificateRevocationListDer<'a>;
    sections(path, bytes, "revocation lists", |der: List<'_>| {
        der.to_vec()
    })
}

/// Reads a file of what a server sends with its chain.
///
/// # Errors
/// The file cannot be read, or is too large.
pub fn read_whole(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_bytes(path, CHAIN_BYTES_MAX)
}

fn read_bytes(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let file = path.display();
    let bytes = std::fs::metadata(path)
        .with_context(|| file.to_string())?
        .len();
    if bytes > bytes_max {
        bail!("{file}: {bytes} bytes; expected at most {bytes_max}");
    }
    std::fs::read(path).with_context(|| file.to_string())
}

fn sections<T: PemObject>(
    path: &Path,
    bytes: Vec<u8>,
    what: &str,
    octets: impl Fn(T) -> Vec<u8>,
) -> anyhow::Result<Vec<Vec<u8>>> {
    // A SEQUENCE. PEM begins with a dash, or with words before it.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes]);
    }
    let sections = T::pem_slice_iter(&bytes).map(|section| section.map(&octets));
    let sections: Result<Vec<_>, _> = sections.collect();
    let expected = format!("{}: expected {what} in PEM, or one in DER", path.display());
    let wrong = |message| Failure::new(FailureCode::BadRequest, message).into();
    match sections {
        Ok(all) if all.is_empty() => Err(wrong(expected)),
        Ok(all) => Ok(all),
        Err(error) => Err(wrong(format!("{expected}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_in_their_order_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let with = |bytes: &[u8], read: fn(&Path) -> anyhow::Result<Vec<Vec<u8>>>| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        let pem = "words\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\nMAIFAA==\n-----END CERTIFICATE-----\n";
        let (first, second) = (vec![0x30, 0], vec![0x30, 2, 5, 0]);
        let both = Ok(vec![first.clone(), second]);
        assert_eq!(with(pem.as_bytes(), read), both);
        assert_eq!(with(&first, read), Ok(vec![first.clone()]));
        let lists = with(pem.as_bytes(), read_revocation_lists).unwrap_err();
        assert!(lists.ends_with("expected revocation lists in PEM, or one in DER"));
        assert!(with(b"", read).is_err());
        assert!(with(pem.replace("MAA=", "?").as_bytes(), read).is_err());
    }
}
