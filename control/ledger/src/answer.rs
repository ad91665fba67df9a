//! Answers that nodes agree on: the bundle that a node proposes, and what others say of it.
//!
//! The proposer resolves, sends the bundle to voters, and each voter compares with its own resolution and signs an
//! [`AnswerVote`]. What is compared, and how tolerantly, is the node's matter; here a quorum's word counts.

use std::sync::Arc;

use consensus::{
    ClusterId, DecodeError, Digest, MEMBERS_MAX, NodeId, Reader, Signature, SignatureCheck, Signer,
    Wire, Writer, answer_preimage,
};

use crate::codec::{read_name, unknown};

/// Most answers in a bundle.
pub const BUNDLE_ITEMS_MAX: usize = 256;
/// Most bytes of one answer's records.
pub const ANSWER_BYTES_MAX: usize = 65_535;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The name in wire form, lower-case.
    pub name: Arc<[u8]>,
    /// Number of the type.
    pub qtype: u16,
    /// Number of the class.
    pub qclass: u16,
}

/// What DNSSEC says of an answer (RFC 4035 §4.3). A bogus one is never proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Security {
    /// Proven by a chain of signatures.
    Secure = 1,
    /// Proven to be unsigned.
    Insecure = 2,
    /// Nothing is known.
    Indeterminate = 3,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerItem {
    /// To what.
    pub question: Question,
    /// Of the answer in the form in which nodes compare.
    pub digest: Digest,
    /// The records as they were found, for voters to look at.
    pub records: Arc<[u8]>,
    /// Seconds.
    pub ttl: u32,
    /// What DNSSEC says.
    pub security: Security,
}

/// Answers that a node proposes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerBundle {
    /// Who proposes: votes for it count for nobody else.
    pub proposer: NodeId,
    /// When, milliseconds since 1970: votes for it do not count for ever.
    pub time_ms: u64,
    /// The answers.
    pub items: Vec<AnswerItem>,
}

impl AnswerBundle {
    /// SHA-256 of the byte form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}

/// What a voter says of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Opinion {
    /// It got none in time, or cannot tell: a difference within what the zone is known to vary by is no disagreement.
    NoAnswer = 0,
    /// Its own agrees, or a proof convinces it.
    Agree = 1,
    /// Its own is another.
    Disagree = 2,
}

/// What a voter says of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerVote {
    /// Who.
    pub signer: NodeId,
    /// Of each item, in their order.
    pub opinions: Vec<Opinion>,
    /// Over cluster, bundle and opinions.
    pub signature: Signature,
}

impl AnswerVote {
    /// Makes and signs one's own.
    pub fn sign(
        cluster: ClusterId,
        signer: &impl Signer,
        bundle: Digest,
        opinions: Vec<Opinion>,
    ) -> Self {
        let signature = signer.sign(&Self::preimage(cluster, bundle, &opinions));
        Self {
            signer: signer.id(),
            opinions,
            signature,
        }
    }

    /// What must hold before it counts.
    #[must_use]
    pub fn check(&self, cluster: ClusterId, bundle: Digest) -> SignatureCheck {
        SignatureCheck {
            signer: self.signer,
            signature: self.signature,
            preimage: Self::preimage(cluster, bundle, &self.opinions),
        }
    }

    fn preimage(cluster: ClusterId, bundle: Digest, opinions: &[Opinion]) -> Vec<u8> {
        answer_preimage(cluster, |out| {
            bundle.write(out);
            out.list(opinions);
        })
    }
}

/// A bundle and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedAnswers {
    /// What is proposed.
    pub bundle: AnswerBundle,
    /// Of others than the proposer, ascending by signer; each has an opinion on each item.
    pub votes: Vec<AnswerVote>,
}

/// What became of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    /// Too few agree and too few disagree.
    Undecided = 0,
    /// A quorum agrees, the proposer included.
    Validated = 1,
    /// More disagree than may be faulty, and no quorum agrees.
    Refused = 2,
}

/// A byte for a variant, and back.
macro_rules! byte {
    ($name:ident, $what:literal: $($variant:ident),*) => {
        impl Wire for $name {
            fn write(&self, out: &mut Writer) {
                out.u8(*self as u8);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let offset = from.offset();
                match from.u8()? {
                    $(value if value == Self::$variant as u8 => Ok(Self::$variant),)*
                    value => crate::codec::unknown($what, value, offset),
                }
            }
        }
    };
}
pub(crate) use byte;

byte!(Security, "security": Secure, Insecure, Indeterminate);
byte!(Opinion, "opinion": NoAnswer, Agree, Disagree);
byte!(Verdict, "verdict": Undecided, Validated, Refused);

impl Wire for Question {
    fn write(&self, out: &mut Writer) {
        out.bytes(&self.name);
        out.u16(self.qtype);
        out.u16(self.qclass);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: read_name(from)?,
            qtype: from.u16()?,
            qclass: from.u16()?,
        })
    }
}

impl Wire for AnswerItem {
    fn write(&self, out: &mut Writer) {
        self.question.write(out);
        self.digest.write(out);
        out.block(&self.records);
        out.u32(self.ttl);
        self.security.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            question: Question::read(from)?,
            digest: Digest::read(from)?,
            records: from.block("bytes of an answer", ANSWER_BYTES_MAX)?.into(),
            ttl: from.u32()?,
            security: Security::read(from)?,
        })
    }
}

impl Wire for AnswerBundle {
    fn write(&self, out: &mut Writer) {
        self.proposer.write(out);
        out.u64(self.time_ms);
        out.list(&self.items);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            proposer: NodeId::read(from)?,
            time_ms: from.u64()?,
            items: from.list("answers", BUNDLE_ITEMS_MAX)?,
        })
    }
}

impl Wire for AnswerVote {
    fn write(&self, out: &mut Writer) {
        self.signer.write(out);
        out.list(&self.opinions);
        self.signature.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            signer: NodeId::read(from)?,
            opinions: from.list("opinions", BUNDLE_ITEMS_MAX)?,
            signature: Signature::read(from)?,
        })
    }
}

impl Wire for ValidatedAnswers {
    fn write(&self, out: &mut Writer) {
        self.bundle.write(out);
        out.list(&self.votes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        let bundle = AnswerBundle::read(from)?;
        let votes: Vec<AnswerVote> = from.list("votes", MEMBERS_MAX)?;
        if !votes.is_sorted_by(|one, next| one.signer < next.signer) {
            return Err(DecodeError::Order { what: "votes" });
        }
        let items = bundle.items.len();
        let is_fit =
            |vote: &AnswerVote| vote.opinions.len() == items && vote.signer != bundle.proposer;
        if !votes.iter().all(is_fit) {
            return unknown("vote on other answers than these", items as u64, offset);
        }
        Ok(Self { bundle, votes })
    }
}
