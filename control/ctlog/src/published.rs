//! [`Published`]: the newest head that this node has signed and shown.

use std::sync::Arc;

use ct::SignedTreeHead;

/// A head that a quorum has cosigned, the log has signed, and whose tiles are all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// With the log's own signature.
    pub signed: SignedTreeHead,
    /// The note that static-ct-api serves: the log's signatures, and the validators' cosignatures below.
    pub checkpoint: Arc<[u8]>,
}

impl Published {
    /// Leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.signed.head.size
    }
}
