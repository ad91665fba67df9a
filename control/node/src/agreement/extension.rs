//! The DNS extension: 16 bytes by which a client that asks for it learns which node answered, in which round
//! of consensus, and by which certificate. EDNS option 65053, in responses to queries that carry it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus::Digest;

use crate::certs::Shelf;
use crate::clock;

/// Some 60,000 names.
const CERTIFICATE_BYTES_MAX: usize = 8 << 20;
/// What a name takes beside its octets, about.
const CERTIFICATE_BYTES: usize = 120;

/// Who answers, and in which round. Cheap to clone; all clones are one. Silent until this node is part of a
/// cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extension(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_set: AtomicBool,
    node: AtomicU64,
    round: AtomicU32,
    /// Of servers, by name in wire form and lower case. Asked for only by who carries the option.
    certificates: Mutex<Shelf<Vec<u8>, u32>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            is_set: AtomicBool::default(),
            node: AtomicU64::default(),
            round: AtomicU32::default(),
            certificates: Mutex::new(Shelf::new(CERTIFICATE_BYTES_MAX)),
        }
    }
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

    fn certificates(&self) -> MutexGuard<'_, Shelf<Vec<u8>, u32>> {
        // A shelf is whole between any two of its methods.
        let certificates = self.0.certificates.lock();
        certificates.unwrap_or_else(PoisonError::into_inner)
    }

    /// A server of this name, in wire form and lower case, has a valid certificate whose SHA-256 begins so, until then
    /// in seconds since 1970. Not if this is no longer so, which is asked while nobody can withdraw all.
    pub(crate) fn set_certificate(
        &self,
        name: Vec<u8>,
        hash: u32,
        until: u64,
        is_so: impl FnOnce() -> bool,
    ) {
        let mut certificates = self.certificates();
        if is_so() {
            let bytes = CERTIFICATE_BYTES + name.len();
            certificates.put(name, hash, bytes, until);
        }
    }

    /// The certificate of this name whose SHA-256 begins so is not valid; with the same question.
    pub(crate) fn withdraw_certificate(
        &self,
        name: &Vec<u8>,
        hash: u32,
        is_so: impl FnOnce() -> bool,
    ) {
        let mut certificates = self.certificates();
        if is_so() && certificates.get(name, clock::unix_secs()) == Some(hash) {
            certificates.remove(name);
        }
    }

    /// None of them counts any more.
    pub(crate) fn withdraw_certificates(&self) {
        self.certificates().clear();
    }

    /// The hash of the certificate that a server of this name, in wire form, was last seen with; 0 if none is known.
    pub(crate) fn certificate_of(&self, qname: &[u8]) -> u32 {
        let name = qname.to_ascii_lowercase();
        let found = self.certificates().get(&name, clock::unix_secs());
        found.unwrap_or_default()
    }

    /// What a response carries; nothing without a cluster. `certificate` is 0 where none is known.
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
    fn certificate_of_a_name_is_known_in_any_case_until_its_end() {
        let extension = Extension::default();
        let name = b"\x03www\x07example\x00".to_vec();
        let now = clock::unix_secs();
        extension.set_certificate(name.clone(), 7, now + 60, || true);
        assert_eq!(extension.certificate_of(b"\x03wWw\x07EXAMPLE\x00"), 7);
        assert_eq!(extension.certificate_of(b"\x07example\x00"), 0);
        extension.set_certificate(name.clone(), 8, now - 1, || true);
        assert_eq!(extension.certificate_of(&name), 0);
    }

    #[test]
    fn certificate_is_that_of_sha_256() {
        // SHA-256 of 32 zero bytes begins so.
        assert_eq!(certificate_hash(&[0; 32]), 0x6668_7aad);
    }
}
