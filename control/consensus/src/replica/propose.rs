//! The primary's part: batches out of requests.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Replica;
use crate::batch::Batch;
use crate::effect::{Effect, Now, Observation};
use crate::identity::Sequence;
use crate::machine::StateMachine;
use crate::message::Message;
use crate::record::Record;
use crate::verified::Signer;
use crate::vote::Phase;

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// Proposes as much as there is and as is allowed.
    pub(super) fn propose(&mut self, now: Now, out: &mut Vec<Effect>) {
        while self.is_primary() {
            let sequence = self.next_sequence();
            if !self.may_propose(sequence) || self.misses_batches() {
                return;
            }
            let (count, oldest_us) = self.pending.unproposed();
            // The epoch's last checkpoint must be reached even if nobody asks for anything.
            let is_filling = count == 0 && self.boundary.is_some_and(|end| sequence <= end);
            let waited = oldest_us.is_some_and(|since| {
                now.monotonic_us >= since.saturating_add(self.params.batch_timeout_us)
            });
            let is_idle = sequence == self.executed.next();
            let is_full = count >= self.params.batch_requests_max;
            if !is_filling && (count == 0 || !(is_idle || is_full || waited)) {
                return;
            }
            let batch = if is_filling {
                Batch::null()
            } else {
                self.next_batch(now)
            };
            self.propose_batch(now, sequence, batch, out);
        }
    }

    /// Whether the view began with batches that have not arrived: their time is not known, and the next
    /// one must be later.
    pub(super) fn misses_batches(&self) -> bool {
        let open = self.slots.range(self.executed.next()..);
        let mut proposals = open.filter_map(|(_, slot)| slot.proposal_in(self.view));
        proposals.any(|proposal| !self.batches.contains_key(&proposal.vote.digest))
    }

    fn next_batch(&self, now: Now) -> Batch {
        let times = self.batches.values().map(|batch| batch.time_ms);
        let times = times.chain([self.time_ms]);
        let last = times
            .filter(|time_ms| self.is_plausible_time(now, *time_ms))
            .max();
        Batch {
            time_ms: now.unix_ms.max(last.unwrap_or(0).saturating_add(1)),
            requests: self
                .pending
                .next_batch(self.params.batch_requests_max, self.params.batch_bytes_max),
        }
    }

    /// The first place in the order that nobody has proposed anything for.
    pub(super) fn next_sequence(&self) -> Sequence {
        let proposed =
            self.slots.iter().rev().find(|(_, slot)| {
                slot.proposal_in(self.view).is_some() || slot.committed.is_some()
            });
        let highest = proposed.map_or(Sequence(0), |(sequence, _)| *sequence);
        let begun = self.new_view.as_ref().map_or(Sequence(0), |new| new.end());
        highest
            .max(self.executed)
            .max(self.stable.sequence)
            .max(begun)
            .next()
    }

    /// Whether a place is within the watermarks, the pipeline and the epoch.
    pub(super) fn may_propose(&self, sequence: Sequence) -> bool {
        self.is_in_window(sequence)
            && sequence <= self.executed.plus(self.configuration.pipeline_depth())
            && self.is_in_epoch(sequence)
            && (self.holds_state() || sequence <= self.next_checkpoint())
    }

    /// Up to here this replica knows where its epoch ends by the last stable checkpoint alone: an end that
    /// was decided since is at a later checkpoint. Who keeps no state knows no more than that.
    fn next_checkpoint(&self) -> Sequence {
        let interval = self.configuration.checkpoint_interval();
        Sequence((self.stable.sequence.0 / interval + 1) * interval)
    }

    /// Whether the place belongs to this epoch as far as this replica knows. Who keeps the state knows in time: a
    /// change is decided at least a pipeline's depth before the boundary (`execute.rs`).
    pub(super) fn is_in_epoch(&self, sequence: Sequence) -> bool {
        self.boundary.is_none_or(|boundary| sequence <= boundary) && !self.is_between_epochs()
    }

    /// Whether the last sequence of the epoch is executed and its checkpoint not yet stable.
    pub(super) fn is_between_epochs(&self) -> bool {
        let own = self.own_checkpoints.get(&self.executed);
        own.is_some_and(|body| body.configuration.epoch() > self.configuration.epoch())
    }

    fn propose_batch(&mut self, now: Now, sequence: Sequence, batch: Batch, out: &mut Vec<Effect>) {
        let batch = Arc::new(batch);
        let signed = self.vote(Phase::PrePrepare, self.view, sequence, batch.digest());
        for request in &batch.requests {
            self.pending.mark_proposed(request.id);
        }
        self.batches.insert(signed.vote.digest, Arc::clone(&batch));
        out.push(Effect::Persist(Record::Batch(Arc::clone(&batch))));
        out.push(Effect::Persist(Record::Accepted(signed)));
        out.push(Effect::Observe(Observation::Accepted(sequence)));
        out.push(Effect::Broadcast(Arc::new(Message::PrePrepare(
            signed, batch,
        ))));
        let slot = self.slots.entry(sequence).or_default();
        slot.take(signed, |digest| self.batches.contains_key(digest));
        slot.accepted_us = now.monotonic_us;
        slot.fast_until_us = None;
        slot.note(signed);
        self.advance(now, sequence, out);
    }
}
