//! Votes, and the certificates that votes add up to.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::configuration::{Configuration, MEMBERS_MAX};
use crate::identity::{ClusterId, Digest, Epoch, NodeId, Sequence, Signature, View};
use crate::verified::{Domain, SignatureCheck, Signer, preimage};

/// What a vote says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// The primary: this batch has this sequence.
    PrePrepare = 1,
    /// A backup: I have the same proposal.
    Prepare = 2,
    /// A quorum has the same proposal.
    Commit = 3,
    /// The state after this sequence has this digest. The view is 0.
    Checkpoint = 4,
}

/// What is signed, beside tag, domain and cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// What it says.
    pub phase: Phase,
    /// In which epoch.
    pub epoch: Epoch,
    /// In which view.
    pub view: View,
    /// Of which sequence.
    pub sequence: Sequence,
    /// Of the batch, or of the state.
    pub digest: Digest,
}

/// A vote with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedVote {
    /// What is signed.
    pub vote: Vote,
    /// Who voted.
    pub signer: NodeId,
    /// Over [`Vote`].
    pub signature: Signature,
}

impl Vote {
    fn preimage(&self, cluster: ClusterId) -> Vec<u8> {
        preimage(Domain::Vote, cluster, |out| self.write(out))
    }

    /// Signs it.
    pub fn sign(self, cluster: ClusterId, signer: &impl Signer) -> SignedVote {
        SignedVote {
            vote: self,
            signer: signer.id(),
            signature: signer.sign(&self.preimage(cluster)),
        }
    }

    /// The same in another phase.
    #[must_use]
    pub fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Whether both speak of one place in the order: then only one digest can be right.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        (self.phase, self.epoch, self.view, self.sequence)
            == (other.phase, other.epoch, other.view, other.sequence)
    }
}

impl SignedVote {
    /// What must hold before it counts.
    #[must_use]
    pub fn check(&self, cluster: ClusterId) -> SignatureCheck {
        SignatureCheck {
            signer: self.signer,
            signature: self.signature,
            preimage: self.vote.preimage(cluster),
        }
    }
}

/// Distinct voters, all of whom `is_wanted` accepts: how many. `None` if one counts twice, has no
/// vote or is not wanted, so that one bad vote spoils a certificate for everybody alike.
pub(crate) fn distinct_voters<'v>(
    votes: impl IntoIterator<Item = &'v SignedVote>,
    configuration: &Configuration,
    is_wanted: impl Fn(&SignedVote) -> bool,
) -> Option<usize> {
    let mut seen = BTreeSet::new();
    for signed in votes {
        if !is_wanted(signed)
            || !configuration.is_voter(signed.signer)
            || !seen.insert(signed.signer)
        {
            return None;
        }
    }
    Some(seen.len())
}

/// Proof that a batch is committed: a quorum of commits, or the proposal and everybody's prepare
/// (the fast path). Ordered by signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCertificate {
    /// The votes: all commits, or one pre-prepare and else prepares.
    pub votes: Vec<SignedVote>,
}

impl CommitCertificate {
    /// What is committed: epoch, view, sequence and digest; the phase says which path led there.
    #[must_use]
    pub fn subject(&self) -> Option<Vote> {
        let first = self.votes.first()?.vote;
        Some(match first.phase {
            Phase::Commit => first,
            _ => first.in_phase(Phase::Prepare),
        })
    }

    /// Whether it came by the fast path.
    #[must_use]
    pub fn is_fast(&self) -> bool {
        self.subject()
            .is_some_and(|subject| subject.phase == Phase::Prepare)
    }

    /// Whether these votes, whose signatures hold, commit their subject in this epoch.
    #[must_use]
    pub fn is_valid(&self, configuration: &Configuration) -> bool {
        let Some(subject) = self.subject() else {
            return false;
        };
        if subject.epoch != configuration.epoch() {
            return false;
        }
        let (wanted, votes) = (configuration.voters_count(), self.votes.iter());
        if subject.phase == Phase::Commit {
            let count = distinct_voters(votes, configuration, |signed| signed.vote == subject);
            return count.is_some_and(|count| count >= configuration.quorum());
        }
        let primary = configuration.primary(subject.view);
        let count = distinct_voters(votes, configuration, |signed| {
            let phase = phase_of_consent(signed.signer, primary);
            signed.vote == subject.in_phase(phase)
        });
        count == Some(wanted)
    }

    /// What must hold before it counts.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        self.votes.iter().map(move |signed| signed.check(cluster))
    }
}

/// How a voter consents to a proposal: the primary by making it.
pub(crate) fn phase_of_consent(signer: NodeId, primary: NodeId) -> Phase {
    if signer == primary {
        Phase::PrePrepare
    } else {
        Phase::Prepare
    }
}

/// All that a checkpoint's digest covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointBody {
    /// After which sequence.
    pub sequence: Sequence,
    /// Root of the state machine.
    pub state_root: Digest,
    /// Digest of the client table (what was executed last for whom).
    pub clients_root: Digest,
    /// Time of the last batch, milliseconds since 1970.
    pub time_ms: u64,
    /// Where the next epoch begins, if it is already decided that one does.
    pub boundary: Option<Sequence>,
    /// In force after this sequence.
    pub configuration: Configuration,
}

impl CheckpointBody {
    /// The digest that is voted on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}

impl Wire for CheckpointBody {
    fn write(&self, out: &mut Writer) {
        self.sequence.write(out);
        self.state_root.write(out);
        self.clients_root.write(out);
        out.u64(self.time_ms);
        out.option(self.boundary.as_ref());
        self.configuration.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: Sequence::read(from)?,
            state_root: Digest::read(from)?,
            clients_root: Digest::read(from)?,
            time_ms: from.u64()?,
            boundary: from.option()?,
            configuration: Configuration::read(from)?,
        })
    }
}

/// A quorum's word on the state after a sequence. Ordered by signer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckpointCertificate {
    /// The votes. Empty for the state before the first batch.
    pub votes: Vec<SignedVote>,
}

impl CheckpointCertificate {
    /// Sequence and digest; for the state before the first batch sequence 0 and no digest.
    #[must_use]
    pub fn subject(&self) -> (Sequence, Option<Digest>) {
        let first = self.votes.first().map(|signed| signed.vote);
        first.map_or((Sequence(0), None), |vote| {
            (vote.sequence, Some(vote.digest))
        })
    }

    /// The epoch of the voters.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.votes
            .first()
            .map_or(Epoch(0), |signed| signed.vote.epoch)
    }

    /// Whether a quorum, f + 1 holders of state among it, says so. The signatures hold.
    #[must_use]
    pub fn is_valid(&self, configuration: &Configuration) -> bool {
        let Some(first) = self.votes.first().map(|signed| signed.vote) else {
            return configuration.epoch() == Epoch(0);
        };
        let is_wanted = first.phase == Phase::Checkpoint
            && first.epoch == configuration.epoch()
            && first.view == View(0)
            && configuration.has_checkpoint(first.sequence)
            && first.sequence > Sequence(0);
        let holds = |signed: &&SignedVote| configuration.is_holder(signed.signer);
        let count = distinct_voters(&self.votes, configuration, |signed| signed.vote == first);
        is_wanted
            && count.is_some_and(|count| count >= configuration.quorum())
            && self.votes.iter().filter(holds).count() > configuration.faults_max()
    }

    /// What must hold before it counts.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        self.votes.iter().map(move |signed| signed.check(cluster))
    }
}

impl Wire for Phase {
    fn write(&self, out: &mut Writer) {
        out.u8(*self as u8);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::PrePrepare,
            2 => Self::Prepare,
            3 => Self::Commit,
            4 => Self::Checkpoint,
            value => {
                return Err(DecodeError::Unknown {
                    what: "phase",
                    value: value.into(),
                    offset,
                });
            }
        })
    }
}

impl Wire for Vote {
    fn write(&self, out: &mut Writer) {
        self.phase.write(out);
        self.epoch.write(out);
        self.view.write(out);
        self.sequence.write(out);
        self.digest.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            phase: Phase::read(from)?,
            epoch: Epoch::read(from)?,
            view: View::read(from)?,
            sequence: Sequence::read(from)?,
            digest: Digest::read(from)?,
        })
    }
}

impl Wire for SignedVote {
    fn write(&self, out: &mut Writer) {
        self.vote.write(out);
        self.signer.write(out);
        self.signature.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: Vote::read(from)?,
            signer: NodeId::read(from)?,
            signature: Signature::read(from)?,
        })
    }
}

/// Votes in ascending order of their signers, each once.
pub(crate) fn read_votes(from: &mut Reader<'_>) -> Result<Vec<SignedVote>, DecodeError> {
    let votes: Vec<SignedVote> = from.list("votes", MEMBERS_MAX)?;
    if !votes.is_sorted_by(|one, next| one.signer < next.signer) {
        return Err(DecodeError::Order { what: "votes" });
    }
    Ok(votes)
}

impl Wire for CommitCertificate {
    fn write(&self, out: &mut Writer) {
        out.list(&self.votes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            votes: read_votes(from)?,
        })
    }
}

impl Wire for CheckpointCertificate {
    fn write(&self, out: &mut Writer) {
        out.list(&self.votes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            votes: read_votes(from)?,
        })
    }
}
