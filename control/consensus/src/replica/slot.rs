//! One place in the order while it is being agreed on.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::configuration::Configuration;
use crate::evidence::Evidence;
use crate::identity::{Digest, NodeId, View};
use crate::view_change::PreparedCertificate;
use crate::vote::{CommitCertificate, Phase, SignedVote, Vote, phase_of_consent};

/// Most earlier proposals of a place: each took a view in which nothing was executed.
const EARLIER_MAX: usize = 8;

/// A sequence within the watermarks.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// The latest proposal accepted, of the primary of its view.
    pub(super) proposal: Option<SignedVote>,
    /// Proposals before it whose batch is here, oldest first: what a voter has reported, or certified, a later view
    /// may come back to, and others may have lost the batch.
    pub(super) earlier: Vec<SignedVote>,
    /// Pre-prepares and prepares: of each voter the one of the highest view.
    pub(super) consents: BTreeMap<NodeId, SignedVote>,
    /// Commits: of each voter the one of the highest view.
    pub(super) commits: BTreeMap<NodeId, SignedVote>,
    /// The certificate of the highest view.
    pub(super) prepared: Option<PreparedCertificate>,
    /// Proof that the sequence is decided.
    pub(super) committed: Option<CommitCertificate>,
    /// When the proposal was accepted, in this view.
    pub(super) accepted_us: u64,
    /// Until when a commit waits for everybody's consent.
    pub(super) fast_until_us: Option<u64>,
    /// When this replica's votes were last repeated to a voter.
    pub(super) repeated_us: BTreeMap<NodeId, u64>,
}

/// What became of a vote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It counts.
    New,
    /// It was there.
    Known,
    /// The voter has said something later.
    Older,
    /// The voter has said something else.
    Contradiction(Box<Evidence>),
}

impl Slot {
    /// Takes up a proposal; `is_here` says whether the batch of the one before is here.
    pub(super) fn take(&mut self, proposal: SignedVote, is_here: impl Fn(&Digest) -> bool) {
        let old = self.proposal.replace(proposal);
        let old = old.filter(|old| is_here(&old.vote.digest));
        let known = |old: &SignedVote| {
            let mut earlier = self.earlier.iter();
            old.vote.digest == proposal.vote.digest
                || earlier.any(|known| known.vote.digest == old.vote.digest)
        };
        if let Some(old) = old.filter(|old| !known(old)) {
            self.earlier.push(old);
            let surplus = self.earlier.len().saturating_sub(EARLIER_MAX);
            self.earlier.drain(..surplus);
        }
    }

    /// Keeps a vote.
    pub(super) fn note(&mut self, signed: SignedVote) -> Noted {
        let votes = match signed.vote.phase {
            Phase::Commit => &mut self.commits,
            _ => &mut self.consents,
        };
        let Some(kept) = votes.get_mut(&signed.signer) else {
            votes.insert(signed.signer, signed);
            return Noted::New;
        };
        if kept.vote == signed.vote {
            return Noted::Known;
        }
        if let Some(evidence) = Evidence::find(kept, &signed) {
            return Noted::Contradiction(Box::new(evidence));
        }
        if kept.vote.view >= signed.vote.view {
            return Noted::Older;
        }
        *kept = signed;
        Noted::New
    }

    /// Consents to the proposal, which is of `view`.
    pub(super) fn consents_to(
        &self,
        proposal: &Vote,
        configuration: &Configuration,
    ) -> Vec<SignedVote> {
        let primary = configuration.primary(proposal.view);
        let consents = self.consents.values().filter(|signed| {
            let phase = phase_of_consent(signed.signer, primary);
            signed.vote == proposal.in_phase(phase)
        });
        consents.copied().collect()
    }

    /// The proposal, if it is of this view.
    pub(super) fn proposal_in(&self, view: View) -> Option<SignedVote> {
        self.proposal.filter(|signed| signed.vote.view == view)
    }

    /// Whether the certificate of this view is there.
    pub(super) fn is_prepared_in(&self, view: View) -> bool {
        let subject = self
            .prepared
            .as_ref()
            .and_then(PreparedCertificate::subject);
        subject.is_some_and(|subject| subject.view == view)
    }

    /// A quorum of equal commits, if there is one.
    pub(super) fn commit_quorum(&self, quorum: usize) -> Option<CommitCertificate> {
        let mut counts: BTreeMap<Vote, usize> = BTreeMap::new();
        for signed in self.commits.values() {
            *counts.entry(signed.vote).or_default() += 1;
        }
        let (vote, _) = counts.into_iter().find(|(_, count)| *count >= quorum)?;
        let votes = self.commits.values().filter(|signed| signed.vote == vote);
        Some(CommitCertificate {
            votes: votes.copied().collect(),
        })
    }

    /// What is decided here.
    pub(super) fn decided(&self) -> Option<Digest> {
        let subject = self.committed.as_ref()?.subject()?;
        Some(subject.digest)
    }

    /// Digests that this slot still speaks of.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        let prepared = self
            .prepared
            .as_ref()
            .and_then(PreparedCertificate::subject);
        let proposal = self.proposal.map(|signed| signed.vote.digest);
        [proposal, prepared.map(|vote| vote.digest), self.decided()]
            .into_iter()
            .flatten()
            .chain(self.earlier.iter().map(|signed| signed.vote.digest))
    }
}
