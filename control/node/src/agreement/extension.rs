//! The DNS extension: 16 bytes by which a client that asks for it learns which node answered, in which round
//! of consensus, and by which certificate. EDNS option 65053, in responses to queries that carry it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use consensus::Digest;

/// Who answers, and in which round. Cheap to clone; all clones are one. Silent until this node is part of a
/// cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extension(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_set: AtomicBool,
    node: AtomicU64,
    round: AtomicU32,
}

impl Extension {
    /// This node is this one from now on.
    pub(crate) fn set_node(&self, node: u64) {
        self.0.node.store(node, Ordering::Relaxed);
        self.0.is_set.store(true, Ordering::Release);
    }

    /// The view in force; its low half travels.
    pub(crate) fn set_view(&self, view: u64) {
        let [.., a, b, c, d] = view.to_be_bytes();
        let round = u32::from_be_bytes([a, b, c, d]);
        self.0.round.store(round, Ordering::Relaxed);
    }

    /// What a response carries; nothing without a cluster. `certificate` is 0 for what nobody agreed on.
    pub(crate) fn data(&self, certificate: u32) -> Option<[u8; 16]> {
        if !self.0.is_set.load(Ordering::Acquire) {
            return None;
        }
        let mut data = [0; 16];
        let (node, rest) = data.split_at_mut(8);
        let (round, hash) = rest.split_at_mut(4);
        node.copy_from_slice(&self.0.node.load(Ordering::Relaxed).to_be_bytes());
        round.copy_from_slice(&self.0.round.load(Ordering::Relaxed).to_be_bytes());
        hash.copy_from_slice(&certificate.to_be_bytes());
        Some(data)
    }
}

/// The certificate hash of an answer that nodes agree on: the first 4 bytes of SHA-256 of its digest, which
/// is what voters have signed.
pub(crate) fn certificate_hash(answer: &[u8; 32]) -> u32 {
    let Digest([a, b, c, d, ..]) = Digest::of(answer);
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_is_silent_without_a_cluster_and_has_its_parts_in_order() {
        let extension = Extension::default();
        assert_eq!(extension.data(1), None);
        let same = extension.clone();
        same.set_node(0x0102_0304_0506_0708);
        same.set_view(0xff_0000_0009);
        let data = extension.data(0x0a0b_0c0d).unwrap();
        assert_eq!(data, [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 10, 11, 12, 13]);
    }

    #[test]
    fn certificate_is_that_of_sha_256() {
        // SHA-256 of 32 zero bytes begins so.
        assert_eq!(certificate_hash(&[0; 32]), 0x6668_7aad);
    }
}
