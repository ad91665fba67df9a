//! Proof that a node has contradicted itself.

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::identity::{ClusterId, NodeId};
use crate::verified::SignatureCheck;
use crate::vote::SignedVote;

/// Two signed votes of one node for one place in the order, with different digests. The lesser vote
/// stands first, so that whoever finds the two, in whatever order, has the same proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    first: SignedVote,
    second: SignedVote,
}

impl Evidence {
    /// The proof, if these two votes are one.
    #[must_use]
    pub fn find(one: &SignedVote, other: &SignedVote) -> Option<Self> {
        let contradicts = one.signer == other.signer
            && one.vote.is_same_place(&other.vote)
            && one.vote.digest != other.vote.digest;
        let (first, second) = if one.vote <= other.vote {
            (*one, *other)
        } else {
            (*other, *one)
        };
        contradicts.then_some(Self { first, second })
    }

    /// Whose contradiction.
    #[must_use]
    pub fn culprit(&self) -> NodeId {
        self.first.signer
    }

    /// One of the two votes; both speak of the same place.
    #[must_use]
    pub fn vote(&self) -> &SignedVote {
        &self.first
    }

    /// What must hold before it counts.
    #[must_use]
    pub fn checks(&self, cluster: ClusterId) -> [SignatureCheck; 2] {
        [self.first.check(cluster), self.second.check(cluster)]
    }
}

impl Wire for Evidence {
    fn write(&self, out: &mut Writer) {
        self.first.write(out);
        self.second.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (first, second) = (SignedVote::read(from)?, SignedVote::read(from)?);
        match Self::find(&first, &second) {
            Some(evidence) if evidence.first == first => Ok(evidence),
            _ => Err(DecodeError::Order {
                what: "contradictory votes",
            }),
        }
    }
}
