//! Chains of certificates in files.

use std::path::Path;

use anyhow::{Context, bail};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Most bytes of such a file.
const BYTES_MAX: u64 = 4 << 20;

/// Reads the certificates of a PEM file in their order, or the one of a DER file.
///
/// # Errors
/// The file cannot be read, is too large, or has none in it.
pub fn read(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = path.display();
    let bytes = std::fs::metadata(path)
        .with_context(|| file.to_string())?
        .len();
    if bytes > BYTES_MAX {
        bail!("{file}: {bytes} bytes; expected a chain of at most {BYTES_MAX}");
    }
    let bytes = std::fs::read(path).with_context(|| file.to_string())?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes]);
    }
    let chain = CertificateDer::pem_slice_iter(&bytes);
    let chain = chain.map(|der| der.map(|der| der.to_vec()));
    let chain: Vec<_> = chain
        .collect::<Result<_, _>>()
        .with_context(|| format!("{file}: expected certificates in PEM"))?;
    match chain.is_empty() {
        true => bail!("{file}: expected certificates in PEM, or one in DER"),
        false => Ok(chain),
    }
}
