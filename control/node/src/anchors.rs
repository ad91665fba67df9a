//! Trust anchors from a file.

use std::path::Path;

use resolver::iterate::{TrustAnchor, read_anchors};

/// Longest file of trust anchors, in bytes: one of the root's has less than 1 KiB.
const ANCHORS_BYTES_MAX: u64 = 1 << 20;

/// Reads the zone file at `path`; `nexus check` reads it here, too.
///
/// # Errors
/// Why it cannot be read, with the place in the file if there is one, or that it has no anchor.
pub fn read_anchor_file(path: &Path) -> Result<Vec<TrustAnchor>, String> {
    let name = path.display();
    let unreadable = |error| format!("{name} cannot be read: {error}");
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > ANCHORS_BYTES_MAX {
        return Err(format!("{name} is longer than {ANCHORS_BYTES_MAX} bytes"));
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    let anchors = read_anchors(&text, &name.to_string()).map_err(|error| error.to_string())?;
    if anchors.is_empty() {
        return Err(format!(
            "{name} has no trust anchor; expected DS or DNSKEY records"
        ));
    }
    Ok(anchors)
}
