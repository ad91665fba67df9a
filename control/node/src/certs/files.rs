//! Certificates and revocation lists in files of either form: DER, or PEM with one or more of them.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

/// Why a file has nothing to judge in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// A section of PEM that is none.
    #[error("not PEM: {0}")]
    Pem(String),
    /// PEM without what was looked for.
    #[error("no section {0} in it")]
    Empty(&'static str),
}

/// DER of each certificate, in the order of the file.
///
/// # Errors
/// If there is none.
pub fn read_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, FileError> {
    read(bytes, "CERTIFICATE", |der: CertificateDer<'_>| der.to_vec())
}

/// DER of each revocation list, in the order of the file.
///
/// # Errors
/// If there is none.
pub fn read_revocation_lists(bytes: &[u8]) -> Result<Vec<Vec<u8>>, FileError> {
    read(
        bytes,
        "X509 CRL",
        |der: CertificateRevocationListDer<'_>| der.to_vec(),
    )
}

fn read<T: PemObject>(
    bytes: &[u8],
    section: &'static str,
    octets: impl Fn(T) -> Vec<u8>,
) -> Result<Vec<Vec<u8>>, FileError> {
    // A SEQUENCE, which no text begins with but `0`, and PEM begins with a dash or with words.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.to_vec()]);
    }
    let sections = T::pem_slice_iter(bytes).map(|section| section.map(&octets));
    let sections: Result<Vec<_>, _> = sections.collect();
    match sections {
        Ok(all) if all.is_empty() => Err(FileError::Empty(section)),
        Ok(all) => Ok(all),
        Err(error) => Err(FileError::Pem(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_in_their_order_and_nothing_else() {
        let pem = "words\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\nMAIFAA==\n-----END CERTIFICATE-----\n";
        let (first, second) = (vec![0x30, 0], vec![0x30, 2, 5, 0]);
        let both = Ok(vec![first.clone(), second]);
        assert_eq!(read_certificates(pem.as_bytes()), both);
        assert_eq!(read_certificates(&first), Ok(vec![first.clone()]));
        let none = Err(FileError::Empty("X509 CRL"));
        assert_eq!(read_revocation_lists(pem.as_bytes()), none);
        assert_eq!(read_certificates(b""), Err(FileError::Empty("CERTIFICATE")));
        let broken = pem.replace("MAA=", "?");
        assert!(matches!(
            read_certificates(broken.as_bytes()),
            Err(FileError::Pem(_))
        ));
    }
}
