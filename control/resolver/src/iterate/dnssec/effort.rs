//! What one answer may cost in hashes and signature checks.

use super::super::config::Limits;
use super::Fault;

/// What is left to spend on the validation of one question, its chain of trust included.
#[derive(Clone, Debug)]
pub(in crate::iterate) struct Effort {
    signatures_left: u32,
    bad_signatures_left: u32,
    hashes_left: u32,
}

impl Effort {
    /// So many signature checks, so many of them that fail, and NSEC3 hashes (names, not iterations).
    pub(in crate::iterate) fn new(signatures: u32, bad_signatures: u32, hashes: u32) -> Self {
        Self {
            signatures_left: signatures,
            bad_signatures_left: bad_signatures,
            hashes_left: hashes,
        }
    }

    /// What one question may cost.
    pub(in crate::iterate) fn within(limits: &Limits) -> Self {
        Self::new(
            limits.signatures_max,
            limits.bad_signatures_max,
            limits.hashes_max,
        )
    }

    /// Pays for one signature check and makes it. Once too many have failed there are no more:
    /// anybody can make signatures that do not hold.
    pub(super) fn check_signature(&mut self, holds: impl FnOnce() -> bool) -> Result<bool, Fault> {
        let bad_left = self.bad_signatures_left.checked_sub(1);
        let bad_left = bad_left.ok_or(Fault::Effort)?;
        self.signatures_left = self.signatures_left.checked_sub(1).ok_or(Fault::Effort)?;
        let holds = holds();
        if !holds {
            self.bad_signatures_left = bad_left;
        }
        Ok(holds)
    }

    /// Pays for the hash of one name.
    pub(super) fn hash_name(&mut self) -> Result<(), Fault> {
        self.hashes_left = self.hashes_left.checked_sub(1).ok_or(Fault::Effort)?;
        Ok(())
    }
}
