//! A batch's way from proposal to commit (PBFT §4.2), and the shortcut by everybody's consent.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Replica;
use super::clients::LANES_MAX;
use super::slot::Noted;
use crate::batch::{BATCH_REQUESTS_MAX, Batch};
use crate::effect::{Effect, Now, Observation};
use crate::identity::{Digest, NodeId, Sequence};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::record::Record;
use crate::verified::Signer;
use crate::view_change::PreparedCertificate;
use crate::vote::{CommitCertificate, Phase, SignedVote, phase_of_consent};

impl<M: StateMachine, S: Signer> Replica<M, S> {
    pub(super) fn on_pre_prepare(
        &mut self,
        now: Now,
        from: NodeId,
        signed: SignedVote,
        batch: Arc<Batch>,
        out: &mut Vec<Effect>,
    ) {
        let vote = signed.vote;
        let is_primary = signed.signer == self.configuration.primary(vote.view);
        if vote.epoch != self.configuration.epoch() || !self.is_in_window(vote.sequence) {
            out.push(Effect::Observe(Observation::Stale(from)));
            return;
        }
        if !is_primary || batch.digest() != vote.digest {
            out.push(Effect::Observe(Observation::BadMessage(from)));
            return;
        }
        if self.configuration.is_isolated(signed.signer) || signed.signer == self.me {
            return;
        }
        // Kept even if it is not accepted: a second one would be evidence.
        if let Noted::Contradiction(evidence) =
            self.slots.entry(vote.sequence).or_default().note(signed)
        {
            self.report(*evidence, out);
            return;
        }
        let is_later = vote.view > self.view || (vote.view == self.view && self.is_changing);
        let is_ahead = !self.may_propose(vote.sequence);
        if is_later || (vote.view == self.view && is_ahead) {
            self.keep_early(signed, batch);
            return;
        }
        if vote.view < self.view {
            out.push(Effect::Observe(Observation::Stale(from)));
            return;
        }
        let slot = self.slots.entry(vote.sequence).or_default();
        if slot.proposal_in(self.view).is_none() && self.is_acceptable(now, &signed, &batch, out) {
            self.accept(now, signed, batch, out);
        }
        self.advance(now, vote.sequence, out);
    }

    /// Few, and of a place the one whose view comes next: a liar that leads some far view displaces none.
    fn keep_early(&mut self, signed: SignedVote, batch: Arc<Batch>) {
        let vote = signed.vote;
        let kept = self.early.get(&vote.sequence);
        let kept = kept.map(|(kept, _)| kept.vote.view);
        let is_better = kept.is_none_or(|kept| kept < self.view || vote.view < kept);
        let ahead = self.configuration.pipeline_depth() * 2;
        if is_better && vote.sequence <= self.executed.plus(ahead) {
            self.early.insert(vote.sequence, (signed, batch));
        }
    }

    /// Looks again at proposals that came too early.
    pub(super) fn take_early(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.is_changing {
            return;
        }
        let due: Vec<Sequence> = self
            .early
            .iter()
            .filter(|(sequence, (signed, _))| {
                signed.vote.view < self.view
                    || (signed.vote.view == self.view && self.may_propose(**sequence))
            })
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in due {
            if let Some((signed, batch)) = self.early.remove(&sequence) {
                self.on_pre_prepare(now, signed.signer, signed, batch, out);
            }
        }
    }

    /// Whether an honest primary could propose this now.
    fn is_acceptable(
        &self,
        now: Now,
        signed: &SignedVote,
        batch: &Batch,
        out: &mut Vec<Effect>,
    ) -> bool {
        let slot = self.slots.get(&signed.vote.sequence);
        if let Some(decided) = slot.and_then(super::Slot::decided) {
            // Others decided it without this voter, long ago perhaps.
            return decided == signed.vote.digest;
        }
        let new_view = self.new_view.as_ref();
        if new_view.is_some_and(|new| signed.vote.sequence <= new.end()) {
            // The view began with the batch of this place.
            return self.bound(signed.vote.sequence) == Some(signed.vote.digest);
        }
        if batch.is_null() {
            return true;
        }
        let is_early = batch.time_ms <= self.time_ms && self.is_plausible_time(now, self.time_ms);
        if is_early || now.unix_ms.abs_diff(batch.time_ms) > self.params.clock_skew_max_ms {
            // An old proposal may have been on its way for long; one from the future cannot.
            if batch.time_ms > now.unix_ms {
                out.push(Effect::Observe(Observation::TimingViolation(signed.signer)));
            }
            return false;
        }
        let mut lanes = BTreeSet::new();
        let is_good = batch.requests.len() <= BATCH_REQUESTS_MAX
            && batch.requests.iter().all(|request| {
                self.configuration.member(request.id.client).is_some()
                    && request.id.lane < LANES_MAX
                    && lanes.insert((request.id.client, request.id.lane))
                    && self.machine.is_well_formed(request)
            });
        if !is_good {
            out.push(Effect::Observe(Observation::BadProposal(signed.signer)));
        }
        is_good
    }

    /// Whether the order's time is not ahead of what this clock allows. A change of view may have brought a batch of a
    /// wrong clock into the order; right ones go on by themselves then, and execution sees to it that time rises.
    pub(super) fn is_plausible_time(&self, now: Now, time_ms: u64) -> bool {
        time_ms <= now.unix_ms.saturating_add(self.params.clock_skew_max_ms)
    }

    fn accept(&mut self, now: Now, signed: SignedVote, batch: Arc<Batch>, out: &mut Vec<Effect>) {
        let sequence = signed.vote.sequence;
        for request in &batch.requests {
            self.pending.mark_proposed(request.id);
        }
        self.batches.insert(signed.vote.digest, Arc::clone(&batch));
        out.push(Effect::Persist(Record::Batch(batch)));
        out.push(Effect::Persist(Record::Accepted(signed)));
        out.push(Effect::Observe(Observation::Accepted(sequence)));
        let slot = self.slots.entry(sequence).or_default();
        slot.take(signed, |digest| self.batches.contains_key(digest));
        slot.accepted_us = now.monotonic_us;
        slot.fast_until_us = None;
        self.consent(signed, out);
    }

    /// Sends this voter's prepare for a proposal that is on disk and whose batch is here.
    pub(super) fn consent(&mut self, proposal: SignedVote, out: &mut Vec<Effect>) {
        if !self.is_voter() || proposal.signer == self.me {
            return;
        }
        let vote = proposal.vote;
        let own = self.vote(Phase::Prepare, vote.view, vote.sequence, vote.digest);
        self.slots.entry(vote.sequence).or_default().note(own);
        out.push(Effect::Broadcast(Arc::new(Message::Vote(own))));
    }

    pub(super) fn on_vote(
        &mut self,
        now: Now,
        from: NodeId,
        signed: SignedVote,
        out: &mut Vec<Effect>,
    ) {
        let vote = signed.vote;
        if vote.epoch != self.configuration.epoch() || !self.is_in_window(vote.sequence) {
            out.push(Effect::Observe(Observation::Stale(from)));
            return;
        }
        let primary = self.configuration.primary(vote.view);
        let is_meant =
            vote.phase == Phase::Commit || phase_of_consent(signed.signer, primary) == vote.phase;
        if !is_meant || !self.configuration.is_voter(signed.signer) || signed.signer == self.me {
            out.push(Effect::Observe(Observation::BadMessage(from)));
            return;
        }
        let slot = self.slots.entry(vote.sequence).or_default();
        match slot.note(signed) {
            Noted::Contradiction(evidence) => self.report(*evidence, out),
            Noted::Older => {}
            // It is sent again: its sender lacks something that this replica may have said long ago.
            Noted::Known => self.say_again(now, signed.signer, vote.sequence, out),
            Noted::New => {
                out.push(Effect::Observe(Observation::Voted(signed.signer)));
                self.advance(now, vote.sequence, out);
                let slot = self.slots.get(&vote.sequence);
                let is_settled = slot.is_some_and(|slot| slot.committed.is_some());
                if is_settled && vote.phase == Phase::Commit {
                    self.commit_late(vote.sequence, out);
                }
            }
        }
    }

    /// Repeats one's own votes to a voter that may have missed them, once a round, so that two voters
    /// that have everything do not go on telling each other.
    fn say_again(&mut self, now: Now, to: NodeId, sequence: Sequence, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&sequence) else {
            return;
        };
        if !self.params.is_round_over(slot.repeated_us.get(&to), now) {
            return;
        }
        slot.repeated_us.insert(to, now.monotonic_us);
        for own in [slot.consents.get(&self.me), slot.commits.get(&self.me)]
            .into_iter()
            .flatten()
            .filter(|own| own.vote.phase != Phase::PrePrepare && own.vote.view == self.view)
        {
            out.push(Effect::Send(to, Arc::new(Message::Vote(*own))));
        }
    }

    /// A slot that everybody's consent committed has sent no commit. Someone else took the slow path
    /// and needs it.
    fn commit_late(&mut self, sequence: Sequence, out: &mut Vec<Effect>) {
        if let Some(slot) = self.slots.get_mut(&sequence) {
            slot.fast_until_us = Some(0);
        }
        self.send_commit(sequence, out);
    }

    /// Carries a slot as far as its votes allow.
    pub(super) fn advance(&mut self, now: Now, sequence: Sequence, out: &mut Vec<Effect>) {
        self.certify(now, sequence, out);
        self.commit(sequence, out);
        self.execute_ready(now, out);
    }

    /// Prepared: a quorum consents to the proposal of this view, and its batch is here.
    fn certify(&mut self, now: Now, sequence: Sequence, out: &mut Vec<Effect>) {
        if self.is_changing || !self.is_voter() {
            return;
        }
        let (view, quorum) = (self.view, self.configuration.quorum());
        let Some(slot) = self.slots.get(&sequence) else {
            return;
        };
        let Some(proposal) = slot.proposal_in(view) else {
            return;
        };
        let has_batch = self.batches.contains_key(&proposal.vote.digest);
        if !slot.is_prepared_in(view) && has_batch {
            let votes = slot.consents_to(&proposal.vote, &self.configuration);
            let has_primary = votes.iter().any(|signed| signed.signer == proposal.signer);
            if votes.len() < quorum || !has_primary {
                return;
            }
            let fast_until_us = self.timers.fast_until_us(now, &self.params);
            let certificate = PreparedCertificate { votes };
            if let Some(slot) = self.slots.get_mut(&sequence) {
                slot.prepared = Some(certificate.clone());
                slot.fast_until_us = fast_until_us;
            }
            out.push(Effect::Persist(Record::Prepared(certificate)));
            out.push(Effect::Observe(Observation::Prepared(sequence)));
        }
        let slot = self.slots.get(&sequence);
        let waits = slot.and_then(|slot| slot.fast_until_us);
        if waits.is_none_or(|until| now.monotonic_us >= until) {
            self.send_commit(sequence, out);
        }
    }

    /// Sends this voter's commit, once a view.
    pub(super) fn send_commit(&mut self, sequence: Sequence, out: &mut Vec<Effect>) {
        let view = self.view;
        let Some(slot) = self.slots.get(&sequence) else {
            return;
        };
        let sent = slot.commits.get(&self.me);
        let is_sent = sent.is_some_and(|own| own.vote.view >= view);
        let (Some(proposal), true) = (slot.proposal_in(view), slot.is_prepared_in(view)) else {
            return;
        };
        if is_sent || self.is_changing || !self.is_voter() {
            return;
        }
        let own = self.vote(Phase::Commit, view, sequence, proposal.vote.digest);
        if let Some(slot) = self.slots.get_mut(&sequence) {
            slot.note(own);
        }
        out.push(Effect::Broadcast(Arc::new(Message::Vote(own))));
    }

    /// Committed: a quorum of commits, or everybody's consent.
    fn commit(&mut self, sequence: Sequence, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get(&sequence) else {
            return;
        };
        if slot.committed.is_some() {
            return;
        }
        let by_commits = slot.commit_quorum(self.configuration.quorum());
        let Some(certificate) = by_commits.or_else(|| self.everybody(sequence)) else {
            return;
        };
        if certificate.is_fast() {
            self.timers.on_fast_commit();
        }
        let subject = certificate.subject();
        if let Some(slot) = self.slots.get_mut(&sequence) {
            slot.committed = Some(certificate);
        }
        let missing = subject.filter(|vote| !self.batches.contains_key(&vote.digest));
        if let Some(vote) = missing {
            self.fetch_batch(vote.digest, out);
        }
    }

    /// All voters consent to one proposal: then every quorum of a later view change knows of it.
    fn everybody(&self, sequence: Sequence) -> Option<CommitCertificate> {
        let slot = self.slots.get(&sequence)?;
        let proposal = slot.proposal?;
        let votes = slot.consents_to(&proposal.vote, &self.configuration);
        (votes.len() == self.configuration.voters_count()).then_some(CommitCertificate { votes })
    }

    pub(super) fn fetch_batch(&self, digest: Digest, out: &mut Vec<Effect>) {
        out.push(Effect::Broadcast(Arc::new(Message::FetchBatch(digest))));
    }

    pub(super) fn on_fetch_batch(
        &mut self,
        now: Now,
        from: NodeId,
        digest: Digest,
        out: &mut Vec<Effect>,
    ) {
        if !self.may_help(now, from) {
            return;
        }
        if let Some(batch) = self.batches.get(&digest) {
            let message = Message::BatchData(Arc::clone(batch));
            out.push(Effect::Send(from, Arc::new(message)));
        }
    }

    /// A batch that a slot speaks of and that was not here.
    pub(super) fn on_batch_data(&mut self, now: Now, batch: Arc<Batch>, out: &mut Vec<Effect>) {
        let is_here = |digest| self.batches.contains_key(&digest);
        if self
            .slots
            .values()
            .flat_map(super::Slot::digests)
            .all(is_here)
        {
            return;
        }
        let digest = batch.digest();
        if self.batches.contains_key(&digest) {
            return;
        }
        let speaks_of_it = |slot: &super::Slot| slot.digests().any(|known| known == digest);
        let wanted: Vec<Sequence> = self
            .slots
            .iter()
            .filter(|(_, slot)| speaks_of_it(slot))
            .map(|(sequence, _)| *sequence)
            .collect();
        if wanted.is_empty() {
            return;
        }
        self.batches.insert(digest, Arc::clone(&batch));
        out.push(Effect::Persist(Record::Batch(batch)));
        for sequence in wanted {
            let slot = self.slots.get(&sequence);
            let proposal = slot.and_then(|slot| slot.proposal_in(self.view));
            let consents = slot.and_then(|slot| slot.consents.get(&self.me));
            let is_missing = consents.is_none_or(|own| own.vote.view < self.view);
            match proposal {
                Some(proposal)
                    if is_missing && !self.is_changing && proposal.vote.digest == digest =>
                {
                    self.consent(proposal, out);
                }
                _ => {}
            }
            self.advance(now, sequence, out);
        }
    }
}
