//! VIEW-CHANGE and NEW-VIEW: what they carry, and when they are believed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::batch::Batch;
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::configuration::{Configuration, MEMBERS_MAX};
use crate::identity::{ClusterId, Digest, Epoch, NodeId, Sequence, Signature, View};
use crate::verified::{Domain, SignatureCheck, Signer, preimage};
use crate::vote::{
    CheckpointCertificate, Phase, SignedVote, Vote, distinct_voters, phase_of_consent, read_votes,
};

/// Most sequences that one message speaks of: two checkpoint intervals and a pipeline.
const SLOTS_MAX: usize = 20_100;

/// Proof that a quorum had one proposal in one view: the primary's pre-prepare and the others'
/// prepares. Ordered by signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedCertificate {
    /// The votes.
    pub votes: Vec<SignedVote>,
}

impl PreparedCertificate {
    /// What is prepared, as the backups said it.
    #[must_use]
    pub fn subject(&self) -> Option<Vote> {
        let first = self.votes.first()?.vote;
        Some(first.in_phase(Phase::Prepare))
    }

    /// Whether it is what a quorum of this epoch said in a view before `view`, its primary among it.
    #[must_use]
    pub fn is_valid(&self, configuration: &Configuration, view: View) -> bool {
        let Some(subject) = self.subject() else {
            return false;
        };
        let primary = configuration.primary(subject.view);
        let count = distinct_voters(&self.votes, configuration, |signed| {
            let phase = phase_of_consent(signed.signer, primary);
            signed.vote == subject.in_phase(phase)
        });
        subject.epoch == configuration.epoch()
            && subject.view < view
            && self.votes.iter().any(|signed| signed.signer == primary)
            && count.is_some_and(|count| count >= configuration.quorum())
    }
}

/// A proposal that a replica has accepted: the latest of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrePrepared {
    /// Its sequence.
    pub sequence: Sequence,
    /// The view of the proposal.
    pub view: View,
    /// The batch.
    pub digest: Digest,
}

/// A voter's wish for another primary, with all that must survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    /// In which epoch.
    pub epoch: Epoch,
    /// The view to come.
    pub view: View,
    /// The last stable checkpoint.
    pub stable: CheckpointCertificate,
    /// P: for each sequence above, the certificate of the highest view. Ascending by sequence.
    pub prepared: Vec<PreparedCertificate>,
    /// Q: for each sequence above, the latest accepted proposal. Ascending by sequence.
    pub pre_prepared: Vec<PrePrepared>,
    /// Who wishes it.
    pub signer: NodeId,
    /// Over all of the above.
    pub signature: Signature,
}

impl ViewChange {
    /// Signs it in the name of its `signer`.
    #[must_use]
    pub fn sign(mut self, cluster: ClusterId, signer: &impl Signer) -> Self {
        self.signer = signer.id();
        self.signature = signer.sign(&self.preimage(cluster));
        self
    }

    fn preimage(&self, cluster: ClusterId) -> Vec<u8> {
        preimage(Domain::ViewChange, cluster, |out| self.write_body(out))
    }

    fn write_body(&self, out: &mut Writer) {
        self.epoch.write(out);
        self.view.write(out);
        self.stable.write(out);
        out.list(&self.prepared);
        out.list(&self.pre_prepared);
        self.signer.write(out);
    }

    /// Its own signature and every one inside.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        let own = SignatureCheck {
            signer: self.signer,
            signature: self.signature,
            preimage: self.preimage(cluster),
        };
        let prepared = self.prepared.iter().flat_map(|proof| &proof.votes);
        core::iter::once(own)
            .chain(self.stable.checks(cluster))
            .chain(prepared.map(move |signed| signed.check(cluster)))
    }

    /// The sequence of the stable checkpoint.
    #[must_use]
    pub fn low(&self) -> Sequence {
        self.stable.subject().0
    }

    /// Whether everything inside is what an honest voter of this epoch could say. `base` is the
    /// checkpoint at which the epoch began: its certificate is the word of the epoch before.
    #[must_use]
    pub fn is_valid(&self, configuration: &Configuration, base: Sequence) -> bool {
        let low = self.low();
        let high = low.plus(configuration.window());
        let in_window = |sequence: Sequence| low < sequence && sequence <= high;
        let stable_holds = if low == base {
            // Everybody in this epoch has the state at its base, and has seen the proof.
            true
        } else {
            low > base && self.stable.is_valid(configuration)
        };
        let subjects: Option<Vec<_>> = self.prepared.iter().map(|p| p.subject()).collect();
        let Some(subjects) = subjects else {
            return false;
        };
        self.epoch == configuration.epoch()
            && configuration.is_voter(self.signer)
            && stable_holds
            && subjects.is_sorted_by(|one, next| one.sequence < next.sequence)
            && subjects.iter().all(|subject| in_window(subject.sequence))
            && self
                .prepared
                .iter()
                .all(|proof| proof.is_valid(configuration, self.view))
            && self
                .pre_prepared
                .is_sorted_by(|one, next| one.sequence < next.sequence)
            && self
                .pre_prepared
                .iter()
                .all(|report| in_window(report.sequence) && report.view < self.view)
    }
}

/// What a new view must propose: from the highest stable checkpoint on, one digest a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The highest stable checkpoint of the messages.
    pub(crate) low: Sequence,
    /// O, without gaps, from `low` + 1.
    pub(crate) digests: Vec<(Sequence, Digest)>,
}

/// O from valid VIEW-CHANGEs (PBFT §4.4, with the rule that makes the fast path safe): for each
/// sequence the prepared certificate of the highest view w; but if f + 1 messages report one digest
/// accepted in views above w, that digest; the null batch where there is neither.
pub(crate) fn outcome<'v>(
    messages: impl Iterator<Item = &'v ViewChange> + Clone,
    configuration: &Configuration,
) -> Outcome {
    let low = messages
        .clone()
        .map(ViewChange::low)
        .max()
        .unwrap_or_default();
    let mut prepared: BTreeMap<Sequence, (View, Digest)> = BTreeMap::new();
    let mut reports: BTreeMap<Sequence, Vec<PrePrepared>> = BTreeMap::new();
    for message in messages {
        for subject in message.prepared.iter().filter_map(|proof| proof.subject()) {
            let best = prepared
                .entry(subject.sequence)
                .or_insert((subject.view, subject.digest));
            if subject.view > best.0 {
                *best = (subject.view, subject.digest);
            }
        }
        for report in &message.pre_prepared {
            reports.entry(report.sequence).or_default().push(*report);
        }
    }
    let null = Batch::null().digest();
    let mut digests: BTreeMap<Sequence, Digest> = BTreeMap::new();
    let sequences: BTreeSet<_> = prepared.keys().chain(reports.keys()).copied().collect();
    for sequence in sequences.into_iter().filter(|sequence| *sequence > low) {
        let certified = prepared.get(&sequence).copied();
        let accepted = reports.get(&sequence).and_then(|reports| {
            widely_accepted(
                reports,
                certified.map(|(view, _)| view),
                configuration.faults_max(),
            )
        });
        let digest = accepted.or(certified.map(|(_, digest)| digest));
        digests.extend(digest.map(|digest| (sequence, digest)));
    }
    let high = digests.last_key_value().map_or(low, |(last, _)| *last);
    let all = (low.0 + 1..=high.0).map(Sequence);
    Outcome {
        low,
        digests: all
            .map(|sequence| (sequence, digests.get(&sequence).copied().unwrap_or(null)))
            .collect(),
    }
}

/// The digest that more than `faults_max` messages report above the view of the certificate. Were it
/// committed by everybody's consent, no other digest could have as many.
fn widely_accepted(
    reports: &[PrePrepared],
    certified: Option<View>,
    faults_max: usize,
) -> Option<Digest> {
    let mut counts: BTreeMap<Digest, usize> = BTreeMap::new();
    let above = |report: &&PrePrepared| certified.is_none_or(|view| report.view > view);
    for report in reports.iter().filter(above) {
        *counts.entry(report.digest).or_default() += 1;
    }
    let mut wide = counts.into_iter().filter(|(_, count)| *count > faults_max);
    match (wide.next(), wide.next()) {
        (Some((digest, _)), None) => Some(digest),
        // Two of them: neither was everybody's.
        _ => None,
    }
}

/// The new primary's proof that a quorum wants its view, and what it proposes anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewView {
    /// In which epoch.
    pub epoch: Epoch,
    /// The view that begins.
    pub view: View,
    /// V: a quorum. Ascending by signer.
    pub view_changes: Vec<ViewChange>,
    /// O: the new primary's pre-prepares. Ascending by sequence.
    pub proposals: Vec<SignedVote>,
    /// The new primary.
    pub signer: NodeId,
    /// Over all of the above.
    pub signature: Signature,
}

impl NewView {
    /// Makes it from valid VIEW-CHANGEs of a quorum, ascending by signer.
    pub(crate) fn make(
        view: View,
        view_changes: Vec<ViewChange>,
        configuration: &Configuration,
        cluster: ClusterId,
        signer: &impl Signer,
    ) -> Self {
        let epoch = configuration.epoch();
        let outcome = outcome(view_changes.iter(), configuration);
        let proposals = outcome.digests.into_iter().map(|(sequence, digest)| {
            let vote = Vote {
                phase: Phase::PrePrepare,
                epoch,
                view,
                sequence,
                digest,
            };
            vote.sign(cluster, signer)
        });
        let mut made = Self {
            epoch,
            view,
            view_changes,
            proposals: proposals.collect(),
            signer: signer.id(),
            signature: Signature([0; 64]),
        };
        made.signature = signer.sign(&made.preimage(cluster));
        made
    }

    fn preimage(&self, cluster: ClusterId) -> Vec<u8> {
        preimage(Domain::NewView, cluster, |out| self.write_body(out))
    }

    fn write_body(&self, out: &mut Writer) {
        self.epoch.write(out);
        self.view.write(out);
        out.list(&self.view_changes);
        out.list(&self.proposals);
        self.signer.write(out);
    }

    /// Its own signature and every one inside.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        let own = SignatureCheck {
            signer: self.signer,
            signature: self.signature,
            preimage: self.preimage(cluster),
        };
        let messages = self.view_changes.iter();
        core::iter::once(own)
            .chain(messages.flat_map(move |message| message.checks(cluster)))
            .chain(
                self.proposals
                    .iter()
                    .map(move |signed| signed.check(cluster)),
            )
    }

    /// Whether a quorum wants this view, its primary says so, and O is what follows from V.
    #[must_use]
    pub fn is_valid(&self, configuration: &Configuration, base: Sequence) -> bool {
        let wanted = |message: &ViewChange| {
            message.view == self.view && message.is_valid(configuration, base)
        };
        let is_believed = self.epoch == configuration.epoch()
            && self.view > View(0)
            && self.signer == configuration.primary(self.view)
            && self.view_changes.len() >= configuration.quorum()
            && self
                .view_changes
                .is_sorted_by(|one, next| one.signer < next.signer)
            && self.view_changes.iter().all(wanted);
        is_believed && self.proposals_follow(configuration)
    }

    fn proposals_follow(&self, configuration: &Configuration) -> bool {
        let outcome = outcome(self.view_changes.iter(), configuration);
        let wanted = outcome.digests.iter().map(|(sequence, digest)| Vote {
            phase: Phase::PrePrepare,
            epoch: self.epoch,
            view: self.view,
            sequence: *sequence,
            digest: *digest,
        });
        self.proposals.iter().map(|signed| signed.vote).eq(wanted)
            && self
                .proposals
                .iter()
                .all(|signed| signed.signer == self.signer)
    }

    /// The last sequence whose batch the view begins with: up to here nothing else can be proposed in it.
    #[must_use]
    pub fn end(&self) -> Sequence {
        let last = self.proposals.last().map(|signed| signed.vote.sequence);
        last.unwrap_or_default().max(self.low())
    }

    /// The highest stable checkpoint inside.
    #[must_use]
    pub fn low(&self) -> Sequence {
        self.view_changes
            .iter()
            .map(ViewChange::low)
            .max()
            .unwrap_or_default()
    }
}

impl Wire for PreparedCertificate {
    fn write(&self, out: &mut Writer) {
        out.list(&self.votes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            votes: read_votes(from)?,
        })
    }
}

impl Wire for PrePrepared {
    fn write(&self, out: &mut Writer) {
        self.sequence.write(out);
        self.view.write(out);
        self.digest.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: Sequence::read(from)?,
            view: View::read(from)?,
            digest: Digest::read(from)?,
        })
    }
}

impl Wire for ViewChange {
    fn write(&self, out: &mut Writer) {
        self.write_body(out);
        self.signature.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::read(from)?,
            view: View::read(from)?,
            stable: CheckpointCertificate::read(from)?,
            prepared: from.list("prepared certificates", SLOTS_MAX)?,
            pre_prepared: from.list("accepted proposals", SLOTS_MAX)?,
            signer: NodeId::read(from)?,
            signature: Signature::read(from)?,
        })
    }
}

impl Wire for NewView {
    fn write(&self, out: &mut Writer) {
        self.write_body(out);
        self.signature.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::read(from)?,
            view: View::read(from)?,
            view_changes: from.list("view changes", MEMBERS_MAX)?,
            proposals: from.list("proposals", SLOTS_MAX)?,
            signer: NodeId::read(from)?,
            signature: Signature::read(from)?,
        })
    }
}
