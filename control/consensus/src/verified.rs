//! The border between the replica and those who check signatures for it.

use alloc::vec::Vec;

use crate::codec::{Wire, Writer};
use crate::identity::{ClusterId, NodeId, Signature};

/// Something whose signatures, all of them, hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// For those alone who have carried out every [`SignatureCheck`] of the value, or made it themselves.
    #[must_use]
    pub fn vouch(value: T) -> Self {
        Self(value)
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, from its proof.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// One signature that must hold before a value is [`Verified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureCheck {
    /// Whose signature. Its id is the hash of its key.
    pub signer: NodeId,
    /// The signature.
    pub signature: Signature,
    /// The bytes signed.
    pub preimage: Vec<u8>,
}

/// Signs with the node's own key. The same bytes always give the same signature (RFC 8032).
pub trait Signer {
    /// The node of the key.
    fn id(&self) -> NodeId;

    /// Signs.
    fn sign(&self, preimage: &[u8]) -> Signature;
}

/// What a signature is for. No two kinds of signed bytes can be taken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Domain {
    Vote = 1,
    Request = 2,
    ViewChange = 3,
    NewView = 4,
    Answer = 5,
}

const TAG: &[u8] = b"nexus consensus 1\0";

/// The bytes that are signed: tag, domain, cluster, body.
pub(crate) fn preimage(
    domain: Domain,
    cluster: ClusterId,
    body: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(TAG);
    out.u8(domain as u8);
    cluster.write(&mut out);
    body(&mut out);
    out.into_bytes()
}

/// The bytes that a voter signs about answers, which the state machine defines.
pub fn answer_preimage(cluster: ClusterId, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    preimage(Domain::Answer, cluster, body)
}
