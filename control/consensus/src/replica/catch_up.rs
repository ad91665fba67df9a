//! Catching up with those who are further: batches with their proofs, or a snapshot first.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::clients::ClientTable;
use super::{Replica, Stable};
use crate::batch::Batch;
use crate::codec::{Reader, Wire};
use crate::configuration::Configuration;
use crate::effect::{Effect, Now, Observation};
use crate::identity::{Digest, Epoch, NodeId, Sequence};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::transfer::{
    CHUNK_BYTES_MAX, HistoryItem, SnapshotOffer, Status, TRANSITIONS_MAX, Transition,
};
use crate::verified::Signer;
use crate::vote::{CheckpointBody, CommitCertificate};

/// Most bytes of a snapshot.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Parts of a snapshot that are asked for at once.
const CHUNKS_AHEAD: u32 = 8;
/// Rounds that a helper has for an answer.
const PATIENCE_ROUNDS: u64 = 3;

/// A transfer under way.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    from: NodeId,
    /// What was asked for: what follows this.
    after: Sequence,
    /// When another helper is asked.
    pub(super) deadline_us: u64,
    snapshot: Option<Incoming>,
}

/// A snapshot that arrives in parts.
#[derive(Debug, Clone)]
struct Incoming {
    offer: SnapshotOffer,
    parts_count: u32,
    parts: BTreeMap<u32, Vec<u8>>,
    asked: u32,
}

impl<M: StateMachine, S: Signer> Replica<M, S> {
    pub(super) fn on_status(
        &mut self,
        now: Now,
        from: NodeId,
        status: Status,
        out: &mut Vec<Effect>,
    ) {
        self.statuses.insert(from, status);
        let is_later =
            (status.epoch, status.executed) > (self.configuration.epoch(), self.executed);
        if is_later {
            let far = self.configuration.pipeline_depth() * 4;
            let is_far = status.executed > self.executed.plus(far);
            if is_far || !self.is_voter() || self.timers.is_stalled(now, &self.params) {
                self.start_transfer(now, out);
            }
        } else if status.executed < self.executed || status.epoch < self.configuration.epoch() {
            // Tell those behind that they are.
            out.push(Effect::Send(from, Arc::new(Message::Status(self.status()))));
        }
        let is_same = status.epoch == self.configuration.epoch();
        let missed = self.new_view.clone().filter(|new| {
            is_same && (status.view < new.view || (status.view == new.view && status.is_changing))
        });
        if let Some(new) = missed.filter(|_| !self.is_changing) {
            out.push(Effect::Send(from, Arc::new(Message::NewView(new))));
        }
    }

    /// Whether f + 1 members, one of them honest, are further.
    pub(super) fn is_behind(&self) -> bool {
        let ahead = self.statuses.iter().filter(|(id, status)| {
            self.configuration.is_voter(**id)
                && (status.epoch, status.executed) > (self.configuration.epoch(), self.executed)
        });
        ahead.count() > self.configuration.faults_max()
    }

    /// Asks a member that claims to be further, another one each time.
    fn start_transfer(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.transfer.is_some() {
            return;
        }
        self.ask_helper(now, None, out);
    }

    fn ask_helper(&mut self, now: Now, not: Option<NodeId>, out: &mut Vec<Effect>) {
        self.transfer = None;
        let mine = (self.configuration.epoch(), self.executed);
        let helpers: Vec<NodeId> = self
            .statuses
            .iter()
            .filter(|(_, status)| (status.epoch, status.executed) > mine)
            .map(|(id, _)| *id)
            .collect();
        // The one behind the last helper, or the first: all get their turn.
        let next = helpers.iter().find(|id| not.is_some_and(|not| **id > not));
        let Some(from) = next.or(helpers.first()).copied() else {
            return;
        };
        // At the end of the window only a checkpoint helps, which may stand before batches that are
        // known here: they are read again.
        let after = if self.executed >= self.high() {
            self.stable.sequence
        } else {
            self.executed
        };
        self.ask_log(now, from, after, out);
        out.push(Effect::Observe(Observation::CatchingUp {
            from,
            after: self.executed,
        }));
    }

    /// What a helper sent is not what it should be. Another one is asked, but not at once: liars that
    /// answer quickly would keep both sides busy.
    fn distrust_helper(&mut self, now: Now, from: NodeId, out: &mut Vec<Effect>) {
        out.push(Effect::Observe(Observation::BadMessage(from)));
        let pause = self.params.round_timeout_us;
        self.transfer = Some(Transfer {
            from,
            after: self.executed,
            deadline_us: now.monotonic_us.saturating_add(pause),
            snapshot: None,
        });
    }

    fn ask_log(&mut self, now: Now, from: NodeId, after: Sequence, out: &mut Vec<Effect>) {
        self.transfer = Some(Transfer {
            from,
            after,
            deadline_us: self.patience_until(now),
            snapshot: None,
        });
        let ask = Message::FetchLog {
            epoch: self.configuration.epoch(),
            after,
        };
        out.push(Effect::Send(from, Arc::new(ask)));
    }

    fn patience_until(&self, now: Now) -> u64 {
        let patience = self.params.round_timeout_us.saturating_mul(PATIENCE_ROUNDS);
        now.monotonic_us.saturating_add(patience)
    }

    pub(super) fn retry_transfer(&mut self, now: Now, out: &mut Vec<Effect>) {
        match &self.transfer {
            Some(transfer) if now.monotonic_us >= transfer.deadline_us => {
                let last = transfer.from;
                self.ask_helper(now, Some(last), out);
            }
            Some(_) => {}
            None => {
                if self.is_behind() && self.timers.is_stalled(now, &self.params) {
                    self.start_transfer(now, out);
                }
            }
        }
    }

    pub(super) fn on_fetch_log(
        &self,
        from: NodeId,
        epoch: Epoch,
        after: Sequence,
        out: &mut Vec<Effect>,
    ) {
        let unknown = self.transitions.iter();
        let unknown = unknown.filter(|transition| transition.body.configuration.epoch() > epoch);
        let transitions: Vec<Transition> = unknown.take(TRANSITIONS_MAX).cloned().collect();
        let asker = self.configuration.member(from);
        let needs_no_state = asker.is_some_and(|member| !member.role.holds_state());
        if let Some(body) = self.stable.body.clone().filter(|_| needs_no_state) {
            // History proves a checkpoint, but a witness cannot make its body.
            let offer = SnapshotOffer {
                transitions: transitions.clone(),
                certificate: self.stable.certificate.clone(),
                body,
                bytes_count: 0,
            };
            let message = Message::SnapshotOffer(Box::new(offer));
            out.push(Effect::Send(from, Arc::new(message)));
        }
        out.push(Effect::ServeLog {
            to: from,
            after,
            transitions,
        });
    }

    pub(super) fn on_log(
        &mut self,
        now: Now,
        from: NodeId,
        items: Vec<HistoryItem>,
        out: &mut Vec<Effect>,
    ) {
        if self
            .transfer
            .as_ref()
            .is_none_or(|transfer| transfer.from != from)
        {
            return;
        }
        let asked = self
            .transfer
            .as_ref()
            .map_or(self.executed, |transfer| transfer.after);
        let before = (
            self.configuration.epoch(),
            self.executed,
            self.stable.sequence,
        );
        let last = items
            .iter()
            .map(HistoryItem::sequence)
            .max()
            .unwrap_or_default();
        for item in items {
            if !self.take_item(now, item, out) {
                self.distrust_helper(now, from, out);
                return;
            }
            if self.is_halted {
                return;
            }
        }
        let has_moved = (
            self.configuration.epoch(),
            self.executed,
            self.stable.sequence,
        ) > before;
        let claim = self
            .statuses
            .get(&from)
            .map(|status| (status.epoch, status.executed));
        let has_more =
            claim.is_some_and(|claim| claim > (self.configuration.epoch(), self.executed));
        let next = last.min(self.executed);
        if has_more && (has_moved || next > asked) {
            self.ask_log(now, from, next.max(asked), out);
        } else if has_moved {
            self.transfer = None;
            self.ask_helper(now, Some(from), out);
        }
        // Else patience ends, and another helper is asked.
        if has_moved {
            self.timers.on_progress(now);
        }
    }

    /// One step of the order from a helper. `false` if it is not what it claims to be.
    fn take_item(&mut self, now: Now, item: HistoryItem, out: &mut Vec<Effect>) -> bool {
        match item {
            HistoryItem::Batch { batch, certificate } => {
                let Some(subject) = certificate.subject() else {
                    return false;
                };
                if subject.sequence <= self.executed {
                    return true;
                }
                // A helper that leaves out the checkpoints must be asked again.
                let fits = subject.sequence == self.executed.next()
                    && subject.sequence <= self.high()
                    && !self.is_between_epochs();
                let holds = subject.epoch == self.configuration.epoch()
                    && subject.digest == batch.digest()
                    && certificate.is_valid(&self.configuration);
                if fits && holds {
                    self.execute_from_helper(now, subject.sequence, batch, certificate, out);
                }
                holds || !fits
            }
            HistoryItem::Checkpoint(certificate) => {
                let (sequence, digest) = certificate.subject();
                let is_new = sequence > self.stable.sequence && sequence <= self.executed;
                if !is_new || digest.is_none() {
                    return true;
                }
                let holds = certificate.is_valid(&self.configuration);
                if holds {
                    let body = digest.and_then(|digest| self.body_of(sequence, digest));
                    self.on_certificate(now, certificate, body, out);
                }
                holds
            }
        }
    }

    fn execute_from_helper(
        &mut self,
        now: Now,
        sequence: Sequence,
        batch: Arc<Batch>,
        certificate: CommitCertificate,
        out: &mut Vec<Effect>,
    ) {
        if sequence > self.stable.sequence {
            self.batches.insert(batch.digest(), Arc::clone(&batch));
            self.slots.entry(sequence).or_default().committed = Some(certificate.clone());
        }
        self.execute(now, sequence, &batch, certificate, out);
    }

    pub(super) fn on_snapshot_offer(
        &mut self,
        now: Now,
        from: NodeId,
        offer: SnapshotOffer,
        out: &mut Vec<Effect>,
    ) {
        let is_asked = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.from == from && transfer.snapshot.is_none());
        if !is_asked || offer.body.sequence <= self.stable.sequence {
            return;
        }
        if self.proven_by(&offer).is_none() || offer.bytes_count > SNAPSHOT_BYTES_MAX {
            self.distrust_helper(now, from, out);
            return;
        }
        if offer.body.sequence <= self.executed {
            // Its state is known here; that it is stable is news.
            if offer.certificate.is_valid(&self.configuration) {
                self.on_certificate(now, offer.certificate, Some(offer.body), out);
            }
            self.transfer = None;
            return;
        }
        if !self.holds_state() {
            // A witness needs to know where the order stands, and no more.
            self.install(now, offer, Vec::new(), out);
            return;
        }
        let parts = offer.bytes_count.div_ceil(CHUNK_BYTES_MAX as u64).max(1);
        let mut incoming = Incoming {
            offer,
            parts_count: u32::try_from(parts).unwrap_or(u32::MAX),
            parts: BTreeMap::new(),
            asked: 0,
        };
        incoming.ask(from, out);
        let deadline_us = self.patience_until(now);
        self.transfer = Some(Transfer {
            from,
            after: self.executed,
            deadline_us,
            snapshot: Some(incoming),
        });
    }

    /// The configuration whose quorum vouches for the offer, along an unbroken chain of epochs.
    fn proven_by(&self, offer: &SnapshotOffer) -> Option<Configuration> {
        let mut current = self.configuration.clone();
        for transition in offer.transitions_before() {
            let next = &transition.body.configuration;
            if next.epoch() <= current.epoch() {
                continue;
            }
            let follows = next.epoch().0 == current.epoch().0 + 1
                && transition.certificate.is_valid(&current)
                && transition.certificate.subject()
                    == (transition.body.sequence, Some(transition.body.digest()));
            if !follows {
                return None;
            }
            current = next.clone();
            if offer.certificate == transition.certificate {
                // The offer is the transition itself: the old epoch has vouched for it.
                return (offer.body == transition.body).then_some(current);
            }
        }
        let holds = offer.certificate.is_valid(&current)
            && offer.certificate.subject() == (offer.body.sequence, Some(offer.body.digest()));
        holds.then_some(current)
    }

    pub(super) fn on_chunk(
        &mut self,
        now: Now,
        from: NodeId,
        sequence: Sequence,
        index: u32,
        bytes: &[u8],
        out: &mut Vec<Effect>,
    ) {
        let deadline_us = self.patience_until(now);
        let Some(transfer) = self
            .transfer
            .as_mut()
            .filter(|transfer| transfer.from == from)
        else {
            return;
        };
        let Some(incoming) = transfer.snapshot.as_mut() else {
            return;
        };
        if incoming.offer.body.sequence != sequence || index >= incoming.asked {
            return;
        }
        incoming.parts.entry(index).or_insert_with(|| bytes.into());
        transfer.deadline_us = deadline_us;
        if incoming.parts.len() < incoming.parts_count as usize {
            incoming.ask(from, out);
            return;
        }
        let Some(incoming) = transfer.snapshot.take() else {
            return;
        };
        let bytes: Vec<u8> = incoming.parts.into_values().flatten().collect();
        if !self.install(now, incoming.offer, bytes, out) {
            self.distrust_helper(now, from, out);
        }
    }

    /// Takes over the state of a proven checkpoint. `false` if the bytes are not that state.
    fn install(
        &mut self,
        now: Now,
        offer: SnapshotOffer,
        snapshot: Vec<u8>,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.holds_state() && !self.restore(&offer.body, &snapshot) {
            return false;
        }
        let old = self.configuration.clone();
        for transition in offer.transitions_before().cloned().collect::<Vec<_>>() {
            if transition.body.configuration.epoch() > self.configuration.epoch() {
                self.enter_configuration(transition);
            }
        }
        self.take_position(&offer.body);
        self.stable = Stable {
            sequence: offer.body.sequence,
            certificate: offer.certificate.clone(),
            body: Some(offer.body.clone()),
        };
        self.slots.retain(|place, _| *place > offer.body.sequence);
        self.early.retain(|place, _| *place > offer.body.sequence);
        self.checkpoint_votes
            .retain(|place, _| *place > offer.body.sequence);
        let clients = &self.clients;
        self.pending
            .retain(|id| clients.look_up(id) == super::clients::Known::New);
        out.push(Effect::Install {
            certificate: offer.certificate,
            body: offer.body,
            snapshot,
            records: self.records(),
        });
        if old.epoch() != self.configuration.epoch() {
            self.begin_epoch(now, out);
        }
        self.timers.on_progress(now);
        self.transfer = None;
        self.ask_helper(now, None, out);
        true
    }

    /// Puts a snapshot in the place of the state, if its roots are those of the checkpoint.
    pub(super) fn restore(&mut self, body: &CheckpointBody, snapshot: &[u8]) -> bool {
        let mut from = Reader::new(snapshot);
        let Ok(clients) = ClientTable::read(&mut from) else {
            return false;
        };
        let mut machine = self.machine.fresh();
        let state = from.take(from.left()).unwrap_or_default();
        if machine.restore(state).is_err()
            || machine.root() != body.state_root
            || clients.root() != body.clients_root
        {
            return false;
        }
        self.machine = machine;
        self.clients = clients;
        true
    }

    /// The order stands where a checkpoint says.
    pub(super) fn take_position(&mut self, body: &CheckpointBody) {
        self.executed = body.sequence;
        self.time_ms = body.time_ms;
        self.boundary = body.boundary;
        self.own_checkpoints.clear();
        self.clients.retain_members(&self.configuration);
        self.forget_batches();
    }

    /// A batch that this replica has, by digest.
    #[must_use]
    pub fn batch(&self, digest: Digest) -> Option<&Arc<Batch>> {
        self.batches.get(&digest)
    }
}

impl Incoming {
    fn ask(&mut self, from: NodeId, out: &mut Vec<Effect>) {
        let arrived = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let until = arrived.saturating_add(CHUNKS_AHEAD).min(self.parts_count);
        for index in self.asked..until {
            let ask = Message::FetchChunk {
                sequence: self.offer.body.sequence,
                index,
            };
            out.push(Effect::Send(from, Arc::new(ask)));
        }
        self.asked = self.asked.max(until);
    }
}
