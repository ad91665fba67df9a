//! What one answer may cost in hashes and signature checks.

use super::Fault;

/// What is left to spend on the validation of one question, its chain of trust included.
#[derive(Clone, Debug)]
pub(in crate::iterate) struct Effort {
    signatures_left: u32,
    hashes_left: u32,
}

impl Effort {
    /// So many signature checks and NSEC3 hashes (names, not iterations).
    pub(in crate::iterate) fn new(signatures: u32, hashes: u32) -> Self {
        Self {
            signatures_left: signatures,
            hashes_left: hashes,
        }
    }

    /// Pays for one signature check.
    pub(super) fn check_signature(&mut self) -> Result<(), Fault> {
        self.signatures_left = self.signatures_left.checked_sub(1).ok_or(Fault::Effort)?;
        Ok(())
    }

    /// Pays for the hash of one name.
    pub(super) fn hash_name(&mut self) -> Result<(), Fault> {
        self.hashes_left = self.hashes_left.checked_sub(1).ok_or(Fault::Effort)?;
        Ok(())
    }
}
