//! [`submission_key`]: which submissions are the same.

use sha2::{Digest as _, Sha256};

use crate::entry::EntryKind;
use crate::hash::Hash;

/// What makes two submissions one, which get the same timestamp: SHA-256 of the entry's type and own octets (RFC 6962 §3.4), for
/// a precertificate its issuer's key and TBSCertificate. The chain above and the submitted form of a precertificate do not count.
#[must_use]
pub fn submission_key(kind: &EntryKind) -> Hash {
    let digest = match kind {
        EntryKind::Certificate(der) => Sha256::new_with_prefix([0, 0]).chain_update(der),
        EntryKind::Precertificate {
            issuer_key_hash,
            tbs,
            submitted: _,
        } => Sha256::new_with_prefix([0, 1])
            .chain_update(issuer_key_hash.0)
            .chain_update(tbs),
    };
    Hash(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn key_depends_on_what_is_logged_and_on_nothing_else() {
        let precertificate = |issuer: u8, tbs: &[u8], submitted: &[u8]| EntryKind::Precertificate {
            issuer_key_hash: Hash([issuer; 32]),
            tbs: Arc::from(tbs),
            submitted: Arc::from(submitted),
        };
        let kinds = [
            EntryKind::Certificate(Arc::from(&b"tbs"[..])),
            EntryKind::Certificate(Arc::from([&[1; 32][..], b"tbs"].concat())),
            precertificate(1, b"tbs", b"one"),
            precertificate(2, b"tbs", b"one"),
            precertificate(1, b"other", b"one"),
        ];
        let keys: std::collections::BTreeSet<Hash> = kinds.iter().map(submission_key).collect();
        assert_eq!(keys.len(), kinds.len());
        let again = precertificate(1, b"tbs", b"signed again");
        assert_eq!(submission_key(&again), submission_key(&kinds[2]));
    }
}
