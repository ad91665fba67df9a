//! The secret of signed transfers, from its file; `nexus check` reads it here, too.

use resolver::zone::{TsigAlgorithm, TsigKey};

use crate::zone_file::{Remark, read_file, wire_name};

/// Reads the key.
///
/// # Errors
/// What is wrong with the file. It quotes nothing of it.
pub fn read(from: &config::Tsig) -> Result<TsigKey, Remark> {
    let algorithm = match from.algorithm {
        config::TsigAlgorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
        config::TsigAlgorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
        config::TsigAlgorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
    };
    let name = wire_name(&from.name).unwrap_or_default(); // The configuration has checked it.
    let key = read_file(&from.secret_file).and_then(|text| {
        let text = String::from_utf8_lossy(&text);
        TsigKey::new(&name, algorithm, text.trim()).map_err(str::to_owned)
    });
    key.map_err(|message| Remark {
        file: from.secret_file.clone(),
        position: None,
        message,
    })
}
