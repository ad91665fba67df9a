//! Checkpoints: the watermarks move, old slots go, epochs change (PBFT §4.3).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Replica, Stable};
use crate::configuration::Configuration;
use crate::effect::{Effect, Now, Observation};
use crate::evidence::Evidence;
use crate::identity::{Digest, NodeId, Sequence, View};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::record::Record;
use crate::transfer::{HistoryItem, Transition};
use crate::verified::Signer;
use crate::vote::{CheckpointBody, CheckpointCertificate, Phase, SignedVote};

/// Most bytes of requests from one snapshot to the next: a restart executes them again.
const WORN_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// After the last batch of an interval.
    pub(super) fn make_checkpoint(&mut self, now: Now, sequence: Sequence, out: &mut Vec<Effect>) {
        if !self.holds_state() {
            self.endorse(now, sequence, out);
            return;
        }
        let body = self.checkpoint_body();
        if self.is_snapshot_due(sequence) {
            let snapshot = self.snapshot();
            self.snapshot_made = Some((sequence, snapshot.len() as u64, self.worn_bytes));
            out.push(Effect::Snapshot(body.clone(), snapshot));
        }
        self.own_checkpoints.insert(sequence, body.clone());
        self.vote_for_checkpoint(sequence, body, out);
        self.stabilise(now, sequence, out);
    }

    /// Members take turns: while one writes out a large state, the others go on.
    fn is_snapshot_due(&self, sequence: Sequence) -> bool {
        let mut members = self.configuration.members();
        let turn = members.position(|member| member.id() == self.me);
        let number = sequence.0 / self.configuration.checkpoint_interval();
        let number = number + turn.unwrap_or(0) as u64;
        let wear = self.params.snapshot_wear_percent;
        let enough = (self.snapshot_bytes / 100).saturating_mul(wear);
        !self.is_replaying
            && self.worn_bytes >= enough.min(WORN_BYTES_MAX)
            && number.is_multiple_of(self.params.snapshot_interval.max(1))
    }

    fn vote_for_checkpoint(
        &mut self,
        sequence: Sequence,
        body: CheckpointBody,
        out: &mut Vec<Effect>,
    ) {
        if !self.is_voter() {
            return;
        }
        let own = self.vote(Phase::Checkpoint, View(0), sequence, body.digest());
        let votes = self.checkpoint_votes.entry(sequence).or_default();
        votes.insert(self.me, (own, body.clone()));
        out.push(Effect::SyncHistory);
        out.push(Effect::Broadcast(Arc::new(Message::Checkpoint(
            own,
            Box::new(body),
        ))));
    }

    pub(super) fn on_checkpoint(
        &mut self,
        now: Now,
        from: NodeId,
        signed: SignedVote,
        body: CheckpointBody,
        out: &mut Vec<Effect>,
    ) {
        let vote = signed.vote;
        let is_sound = vote.phase == Phase::Checkpoint
            && vote.view == View(0)
            && body.sequence == vote.sequence
            && body.digest() == vote.digest
            && self.configuration.has_checkpoint(vote.sequence);
        if vote.epoch != self.configuration.epoch() || !self.is_in_window(vote.sequence) {
            out.push(Effect::Observe(Observation::Stale(from)));
            self.repeat_checkpoint(now, &signed, out);
            return;
        }
        if !is_sound || !self.configuration.is_voter(signed.signer) {
            out.push(Effect::Observe(Observation::BadMessage(from)));
            return;
        }
        let votes = self.checkpoint_votes.entry(vote.sequence).or_default();
        if let Some((kept, _)) = votes.get(&signed.signer) {
            if let Some(evidence) = Evidence::find(kept, &signed) {
                self.report(evidence, out);
            }
            return;
        }
        votes.insert(signed.signer, (signed, body));
        self.endorse(now, vote.sequence, out);
        self.stabilise(now, vote.sequence, out);
    }

    /// A voter that has not yet seen a quorum for a checkpoint that is stable here.
    fn repeat_checkpoint(&mut self, now: Now, signed: &SignedVote, out: &mut Vec<Effect>) {
        let vote = signed.vote;
        if !self
            .params
            .is_round_over(self.repeated_us.get(&signed.signer), now)
        {
            return;
        }
        let ended = self.transitions.iter().rev();
        let mut ended = ended.filter(|ended| ended.certificate.epoch() == vote.epoch);
        if let Some(ended) = ended
            .next()
            .filter(|ended| ended.body.sequence == vote.sequence)
        {
            // Its epoch is over, and whoever else knows that may not be able to serve it.
            for known in &ended.certificate.votes {
                let message = Message::Checkpoint(*known, Box::new(ended.body.clone()));
                out.push(Effect::Send(signed.signer, Arc::new(message)));
            }
            self.repeated_us.insert(signed.signer, now.monotonic_us);
            return;
        }
        let body = self.stable.body.as_ref().filter(|body| {
            body.sequence == vote.sequence
                && body.configuration.epoch() == vote.epoch
                && vote.epoch == self.configuration.epoch()
        });
        if let Some(body) = body.filter(|_| self.is_voter()) {
            let own = self.vote(Phase::Checkpoint, View(0), vote.sequence, body.digest());
            let message = Message::Checkpoint(own, Box::new(body.clone()));
            out.push(Effect::Send(signed.signer, Arc::new(message)));
            self.repeated_us.insert(signed.signer, now.monotonic_us);
        }
    }

    /// A witness signs what f + 1 holders of state have signed, one of whom is honest.
    fn endorse(&mut self, now: Now, sequence: Sequence, out: &mut Vec<Effect>) {
        let votes = self.checkpoint_votes.get(&sequence);
        let has_voted = votes.is_some_and(|votes| votes.contains_key(&self.me));
        if self.holds_state() || has_voted || self.executed < sequence {
            return;
        }
        let holders = self.votes_by_digest(sequence, |signer| self.configuration.is_holder(signer));
        let faults_max = self.configuration.faults_max();
        let wide = holders
            .into_iter()
            .find(|(_, votes)| votes.len() > faults_max);
        let body = wide.and_then(|(digest, _)| self.body_of(sequence, digest));
        if let Some(body) = body {
            if self.is_snapshot_due(sequence) {
                // Its history may begin here.
                out.push(Effect::Snapshot(body.clone(), Vec::new()));
            }
            self.vote_for_checkpoint(sequence, body, out);
            self.stabilise(now, sequence, out);
        }
    }

    fn votes_by_digest(
        &self,
        sequence: Sequence,
        counts: impl Fn(NodeId) -> bool,
    ) -> BTreeMap<Digest, Vec<SignedVote>> {
        let mut by_digest: BTreeMap<Digest, Vec<SignedVote>> = BTreeMap::new();
        let votes = self.checkpoint_votes.get(&sequence).into_iter().flatten();
        for (signer, (signed, _)) in votes.filter(|(signer, _)| counts(**signer)) {
            debug_assert!(*signer == signed.signer);
            by_digest
                .entry(signed.vote.digest)
                .or_default()
                .push(*signed);
        }
        by_digest
    }

    pub(super) fn body_of(&self, sequence: Sequence, digest: Digest) -> Option<CheckpointBody> {
        let mut votes = self.checkpoint_votes.get(&sequence)?.values();
        let found = votes.find(|(signed, _)| signed.vote.digest == digest);
        found.map(|(_, body)| body.clone())
    }

    /// Makes a checkpoint stable if a quorum says so and this replica is that far.
    pub(super) fn stabilise(&mut self, now: Now, sequence: Sequence, out: &mut Vec<Effect>) {
        if self.executed < sequence || sequence <= self.stable.sequence {
            return;
        }
        for (digest, votes) in self.votes_by_digest(sequence, |_| true) {
            let certificate = CheckpointCertificate { votes };
            if !certificate.is_valid(&self.configuration) {
                continue;
            }
            if let Some(body) = self.body_of(sequence, digest) {
                self.on_certificate(now, certificate, Some(body), out);
            }
            return;
        }
    }

    /// A valid certificate of a checkpoint that this replica has executed. A witness needs its body.
    pub(super) fn on_certificate(
        &mut self,
        now: Now,
        certificate: CheckpointCertificate,
        body: Option<CheckpointBody>,
        out: &mut Vec<Effect>,
    ) {
        let (sequence, digest) = certificate.subject();
        let expected = digest.unwrap_or(Digest([0; 32]));
        let body = if self.holds_state() {
            self.own_checkpoints.get(&sequence).cloned()
        } else {
            body
        };
        let Some(body) = body else {
            return;
        };
        if body.digest() != expected {
            self.halt(sequence, expected, body.digest(), out);
            return;
        }
        self.become_stable(now, certificate, body, out);
    }

    fn become_stable(
        &mut self,
        now: Now,
        certificate: CheckpointCertificate,
        body: CheckpointBody,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::Append(HistoryItem::Checkpoint(
            certificate.clone(),
            Box::new(body.clone()),
        )));
        if !self.holds_state() {
            // What holders know by their state.
            self.boundary = body.boundary.filter(|boundary| self.executed < *boundary);
        }
        self.adopt_stable(certificate.clone(), body.clone());
        // Only now is the snapshot kept.
        let made = self.snapshot_made;
        if let Some((_, bytes_count, worn)) = made.filter(|(at, ..)| *at == body.sequence) {
            self.snapshot_bytes = bytes_count;
            self.worn_bytes -= worn;
            self.snapshot_made = None;
        }
        let begins = body.configuration.epoch() > self.configuration.epoch();
        if begins {
            // The log gets it with the records below, before anything of the new epoch.
            self.enter_configuration(Transition {
                certificate: certificate.clone(),
                body: body.clone(),
            });
        }
        out.push(Effect::Stable {
            certificate,
            body,
            records: self.records(),
        });
        if begins {
            self.begin_epoch(now, out);
        }
    }

    /// Moves the low watermark and lets go of what is below.
    pub(super) fn adopt_stable(
        &mut self,
        certificate: CheckpointCertificate,
        body: CheckpointBody,
    ) {
        let sequence = body.sequence;
        self.stable = Stable {
            sequence,
            certificate,
            body: Some(body),
        };
        self.slots.retain(|place, _| *place > sequence);
        self.early.retain(|place, _| *place > sequence);
        self.own_checkpoints.retain(|place, _| *place > sequence);
        self.checkpoint_votes.retain(|place, _| *place > sequence);
        self.forget_batches();
    }

    pub(super) fn forget_batches(&mut self) {
        let used: BTreeSet<Digest> = self.slots.values().flat_map(super::Slot::digests).collect();
        self.batches.retain(|digest, _| used.contains(digest));
    }

    /// The configuration that a stable checkpoint brings takes effect behind it. Views begin anew.
    pub(super) fn begin_epoch(&mut self, now: Now, out: &mut Vec<Effect>) {
        out.push(Effect::Configured(self.configuration.clone()));
        self.recall_parked(now, out);
        self.pending.restart(now.monotonic_us);
        self.timers.on_view_entered(now);
        self.pass_on_requests(now, out);
    }

    /// The part of a change of epoch that a replay repeats.
    pub(super) fn enter_configuration(&mut self, transition: Transition) {
        self.held_state = self.holds_state();
        self.configuration = transition.body.configuration.clone();
        self.base = transition.body.sequence;
        self.boundary = transition.body.boundary;
        self.transitions.push(transition);
        let epoch = self.configuration.epoch();
        self.proven
            .retain(|one| one.body.configuration.epoch() > epoch);
        self.view = View(0);
        self.is_changing = false;
        self.new_view = None;
        self.view_changes.clear();
        self.slots.clear();
        self.early.clear();
        self.batches.clear();
        self.checkpoint_votes.clear();
        self.own_checkpoints.clear();
        self.clients.retain_members(&self.configuration);
        let configuration: &Configuration = &self.configuration;
        // Of those who are shut out nothing is proposed, and nobody is to wait for it.
        self.pending.retain(|id| {
            configuration.member(id.client).is_some() && !configuration.is_isolated(id.client)
        });
        self.statuses
            .retain(|id, _| configuration.member(*id).is_some());
        self.snapshot_claims
            .retain(|id, _| configuration.member(*id).is_some());
        self.helped
            .retain(|id, _| configuration.member(*id).is_some());
        for times in [&mut self.told_us, &mut self.shown_us, &mut self.repeated_us] {
            times.retain(|id, _| configuration.member(*id).is_some());
        }
    }

    /// All that the durable log must hold after a stable checkpoint.
    pub(super) fn records(&self) -> Vec<Record> {
        let transitions = self.transitions.iter().cloned().map(Record::Transition);
        let mut records: Vec<_> = transitions.collect();
        // The promises of a later epoch stand until that epoch is reached again.
        records.extend(self.parked.iter().cloned());
        if let Some(body) = &self.stable.body {
            let certificate = self.stable.certificate.clone();
            records.push(Record::Stable(certificate, body.clone()));
        }
        if let Some(new) = &self.new_view {
            records.push(Record::ViewEntered(Arc::clone(new)));
        }
        for slot in self.slots.values() {
            for digest in slot.digests().collect::<BTreeSet<_>>() {
                let batch = self.batches.get(&digest).cloned();
                records.extend(batch.map(Record::Batch));
            }
            records.extend(slot.earlier.iter().copied().map(Record::Accepted));
            records.extend(slot.proposal.map(Record::Accepted));
            records.extend(slot.prepared.clone().map(Record::Prepared));
        }
        if self.is_changing {
            let epoch = self.configuration.epoch();
            records.push(Record::ViewWanted(epoch, self.view));
        }
        records
    }
}
