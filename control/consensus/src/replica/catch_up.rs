//! Catching up with those who are further: batches with their proofs, or a snapshot first.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Replica;
use super::clients::ClientTable;
use crate::batch::Batch;
use crate::codec::{Reader, Wire};
use crate::configuration::Configuration;
use crate::effect::{Effect, Now, Observation};
use crate::identity::{Epoch, NodeId, Sequence};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::transfer::{
    CHUNK_BYTES_MAX, HistoryItem, LOG_BYTES_MAX, SnapshotOffer, Status, TRANSITIONS_MAX, Transition,
};
use crate::verified::Signer;
use crate::vote::{CheckpointBody, CheckpointCertificate, CommitCertificate};

/// Most bytes of a snapshot.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Up to so many bytes one helper's word is enough.
const SNAPSHOT_BYTES_TRUSTED: u64 = 16 * 1024 * 1024;
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

impl Transfer {
    /// Whether parts of a snapshot are on their way.
    #[cfg(test)]
    pub(super) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Who was asked.
    pub(super) fn helper(&self) -> NodeId {
        self.from
    }
}

/// What an offer's changes of epoch prove.
enum Proof {
    /// The snapshot's checkpoint.
    Holds,
    /// Epochs on the way to it: the rest is to be asked for.
    Partial,
    /// Nothing new, or they are false.
    Fails,
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
            // Tell those behind that they are; once a round, for two that go on would each see the other behind.
            if self.params.is_round_over(self.told_us.get(&from), now) {
                self.told_us.insert(from, now.monotonic_us);
                out.push(Effect::Send(from, Arc::new(Message::Status(self.status()))));
            }
        }
        let is_same = status.epoch == self.configuration.epoch();
        let missed = self.new_view.as_ref().is_some_and(|new| {
            is_same && (status.view < new.view || (status.view == new.view && status.is_changing))
        });
        if missed && !self.is_changing {
            self.send_new_view(now, from, out);
        }
    }

    /// Whether f + 1 voters that could help, one of them honest, are further. A witness helps nobody with state: if
    /// only witnesses are further, or liars say so, another primary is wanted, not patience.
    pub(super) fn is_behind(&self) -> bool {
        let ahead = self.statuses.iter().filter(|(id, status)| {
            self.configuration.is_voter(**id)
                && (self.configuration.is_holder(**id) || !self.holds_state())
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

    /// Asks the one behind the last helper for what follows; up to `read` that helper's was read.
    fn ask_helper(&mut self, now: Now, last: Option<(NodeId, Sequence)>, out: &mut Vec<Effect>) {
        let (not, read) = last.unzip();
        let read = read.unwrap_or_default();
        self.transfer = None;
        let mine = (self.configuration.epoch(), self.executed);
        let helpers: Vec<NodeId> = self
            .statuses
            .iter()
            .filter(|(id, status)| {
                let member = self.configuration.member(**id);
                let can_help = member.is_none_or(|member| member.role.holds_state());
                (can_help || !self.holds_state()) && (status.epoch, status.executed) > mine
            })
            .map(|(id, _)| *id)
            .collect();
        // The one behind the last helper, or the first: all get their turn.
        let next = helpers.iter().find(|id| not.is_some_and(|not| **id > not));
        let Some(from) = next.or(helpers.first()).copied() else {
            return;
        };
        // At the end of the window only a checkpoint helps, which may stand before batches that are
        // known here: they are read again.
        let position = match self.executed >= self.high() {
            true => self.stable.sequence,
            false => self.executed,
        };
        self.ask_log(now, from, position.max(read), out);
        out.push(Effect::Observe(Observation::CatchingUp {
            from,
            after: self.executed,
        }));
    }

    /// What a helper sent is not what it should be. Another one is asked, but not at once: liars that
    /// answer quickly would keep both sides busy.
    fn distrust_helper(&mut self, now: Now, from: NodeId, out: &mut Vec<Effect>) {
        out.push(Effect::Observe(Observation::BadMessage(from)));
        self.pause_transfer(now, from);
    }

    /// The next helper gets its turn in a moment.
    fn pause_transfer(&mut self, now: Now, from: NodeId) {
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
            epoch: self.proven_configuration().epoch(),
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
                let last = (transfer.from, Sequence(0));
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
        &mut self,
        now: Now,
        from: NodeId,
        epoch: Epoch,
        after: Sequence,
        out: &mut Vec<Effect>,
    ) {
        if !self.may_help(now, from) {
            return;
        }
        if let Ok(index) = (self.transitions).binary_search_by_key(&after, |one| one.body.sequence)
            && let Some(ended) = self.transitions.get(index)
        {
            // The asker's epoch may end where it stands, and history begin behind that.
            let body = Box::new(ended.body.clone());
            let item = HistoryItem::Checkpoint(ended.certificate.clone(), body);
            out.push(Effect::Send(from, Arc::new(Message::Log([item].into()))));
        }
        let transitions = self.transitions_after(epoch);
        out.push(Effect::ServeLog {
            to: from,
            after,
            transitions,
        });
    }

    /// Changes to later epochs, as many as a message carries; who needs more asks again. The first is the one that
    /// led to the asker's epoch, without its votes: who signed the next are members there.
    fn transitions_after(&self, epoch: Epoch) -> Vec<Transition> {
        let is_known = |one: &Transition| one.body.configuration.epoch() <= epoch;
        let (known, later) = self
            .transitions
            .split_at(self.transitions.partition_point(is_known));
        let mut bytes_count = 0;
        let fits = |one: &&Transition| {
            let has_room = bytes_count < LOG_BYTES_MAX;
            bytes_count += one.to_bytes().len();
            has_room
        };
        let last = known.last().filter(|_| !later.is_empty());
        let last = last.map(|last| Transition {
            certificate: CheckpointCertificate::default(),
            body: last.body.clone(),
        });
        let later = later.iter().take(TRANSITIONS_MAX - 1).take_while(fits);
        last.into_iter().chain(later.cloned()).collect()
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
        let asked = self.transfer.as_ref().map(|transfer| transfer.after);
        let asked = asked.unwrap_or_default();
        let position = |replica: &Self| {
            let epoch = replica.configuration.epoch();
            (epoch, replica.executed, replica.stable.sequence)
        };
        let before = position(self);
        let read = items.iter().map(HistoryItem::sequence).max();
        let read = read.unwrap_or_default().min(self.executed);
        for item in items {
            if !self.take_item(now, item, out) {
                self.distrust_helper(now, from, out);
                return;
            }
            if self.is_halted {
                return;
            }
        }
        if position(self) > before {
            self.timers.on_progress(now);
            // Another one: a helper that gives little costs its turn and no more.
            self.ask_helper(now, Some((from, Sequence(0))), out);
        } else if read > asked {
            self.ask_helper(now, Some((from, read)), out);
        }
        // Else patience ends, and another helper is asked.
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
                    && subject.epoch == self.configuration.epoch()
                    && subject.sequence <= self.high()
                    && !self.is_between_epochs();
                if !fits {
                    return true;
                }
                let holds =
                    subject.digest == batch.digest() && certificate.is_valid(&self.configuration);
                if holds {
                    self.execute_from_helper(now, subject.sequence, batch, certificate, out);
                }
                holds
            }
            HistoryItem::Checkpoint(certificate, body) => {
                let (sequence, digest) = certificate.subject();
                let is_new = sequence > self.stable.sequence
                    && sequence <= self.executed
                    && certificate.epoch() == self.configuration.epoch();
                if !is_new || digest.is_none() {
                    return true;
                }
                let holds = certificate.is_valid(&self.configuration)
                    && (sequence, digest) == (body.sequence, Some(body.digest()));
                if holds {
                    self.on_certificate(now, certificate, Some(*body), out);
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
        mut offer: SnapshotOffer,
        out: &mut Vec<Effect>,
    ) {
        let asked = self
            .transfer
            .as_ref()
            .filter(|transfer| transfer.from == from && transfer.snapshot.is_none());
        let Some(after) = asked.map(|transfer| transfer.after) else {
            return;
        };
        if !self.is_further(&offer.body) {
            // The state is known here; that its checkpoint is stable may not be.
            let item = HistoryItem::Checkpoint(offer.certificate, Box::new(offer.body));
            return self.on_log(now, from, [item].into(), out);
        }
        let proof = match offer.bytes_count > SNAPSHOT_BYTES_MAX {
            true => Proof::Fails,
            false => self.prove(&mut offer),
        };
        match proof {
            Proof::Holds => {}
            Proof::Partial => return self.ask_log(now, from, after, out),
            Proof::Fails => return self.distrust_helper(now, from, out),
        }
        if !self.holds_state() {
            // A witness needs to know where the order stands, and no more.
            self.install(now, offer, Vec::new(), out);
            return;
        }
        self.snapshot_claims.insert(from, offer.bytes_count);
        if !self.is_plausible(offer.bytes_count) {
            return self.pause_transfer(now, from);
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
            deadline_us,
            after: self.executed,
            snapshot: Some(incoming),
        });
    }

    /// No checkpoint says how large its state is, and a liar would have it that this node waits for a gigabyte. A large
    /// one is believed when more than f voters offer at least half of that, or all who could.
    fn is_plausible(&self, bytes_count: u64) -> bool {
        let is_holder = |id: &NodeId| self.configuration.is_holder(*id);
        let claims = self.snapshot_claims.iter().filter(|(id, _)| is_holder(id));
        let alike = claims
            .filter(|(_, claim)| **claim >= bytes_count / 2)
            .count();
        let mine = (self.configuration.epoch(), self.executed);
        let could = self
            .statuses
            .iter()
            .filter(|(id, status)| is_holder(id) && (status.epoch, status.executed) > mine);
        let wanted = could
            .count()
            .min(self.configuration.faults_max() + 1)
            .max(1);
        bytes_count <= SNAPSHOT_BYTES_TRUSTED || alike >= wanted
    }

    /// Whether a checkpoint lies beyond what this replica has.
    fn is_further(&self, body: &CheckpointBody) -> bool {
        let offered = (body.configuration.epoch(), body.sequence);
        offered > (self.configuration.epoch(), self.executed)
    }

    /// That of the last epoch whose beginning is proven, be it this replica's or a later one.
    fn proven_configuration(&self) -> &Configuration {
        let last = self.proven.last();
        last.map_or(&self.configuration, |last| &last.body.configuration)
    }

    /// Follows the changes of epoch that an offer brings, in an unbroken chain from the last one proven on, and says
    /// whether they lead to the snapshot's checkpoint; nothing of the offer is believed beyond that.
    fn prove(&mut self, offer: &mut SnapshotOffer) -> Proof {
        let before = self.proven.len();
        for transition in core::mem::take(&mut offer.transitions) {
            let (body, current) = (&transition.body, self.proven_configuration());
            let next = &body.configuration;
            if next.epoch() <= current.epoch() {
                continue;
            }
            let follows = next.epoch().0 == current.epoch().0 + 1
                && transition.certificate.is_valid(current)
                && transition.certificate.subject() == (body.sequence, Some(body.digest()));
            if !follows {
                return Proof::Fails;
            }
            self.proven.push(transition);
        }
        let mut latest_first = self.proven.iter().rev();
        let reached = latest_first.find(|one| one.body.sequence <= offer.body.sequence);
        if let Some(last) = reached.filter(|last| last.body == offer.body) {
            // The snapshot is of the change itself, for which the epoch before has vouched.
            offer.certificate = last.certificate.clone();
            return Proof::Holds;
        }
        let current = reached.map_or(&self.configuration, |last| &last.body.configuration);
        let holds = offer.certificate.is_valid(current)
            && offer.certificate.subject() == (offer.body.sequence, Some(offer.body.digest()))
            && offer.body.configuration == *current;
        let is_on_the_way = self.proven.len() > before
            && offer.body.configuration.epoch() > self.proven_configuration().epoch();
        match (holds, is_on_the_way) {
            (true, _) => Proof::Holds,
            (false, true) => Proof::Partial,
            (false, false) => Proof::Fails,
        }
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
        if bytes.len() != incoming.length_of(index) {
            return self.distrust_helper(now, from, out);
        }
        if incoming.parts.insert(index, bytes.into()).is_some() {
            return; // Said twice: no reason for more patience.
        }
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
        if !self.is_further(&offer.body) {
            // What came meanwhile has led as far.
            self.ask_helper(now, None, out);
            return true;
        }
        let restored = self.restored(&offer.body, &snapshot);
        if self.holds_state() && restored.is_none() {
            return false;
        }
        let until = |one: &Transition| one.body.sequence <= offer.body.sequence;
        let later = self.proven.split_off(self.proven.partition_point(until));
        let chain = core::mem::replace(&mut self.proven, later);
        let begins = !chain.is_empty();
        chain
            .into_iter()
            .for_each(|transition| self.enter_configuration(transition));
        // Behind the changes of epoch, which drop clients of theirs.
        if let Some((machine, clients)) = restored {
            self.take_state(machine, clients, snapshot.len());
        }
        self.take_position(&offer.body);
        if offer.body.sequence > self.stable.sequence {
            self.adopt_stable(offer.certificate.clone(), offer.body.clone());
        }
        if self.holds_state() {
            let clients = &self.clients;
            self.pending
                .retain(|id| clients.look_up(id) == super::clients::Known::New);
        } else {
            // It cannot tell which of its requests were executed.
            self.pending = super::Pending::default();
        }
        out.push(Effect::Install {
            certificate: offer.certificate,
            body: offer.body,
            snapshot,
            records: self.records(),
        });
        if begins {
            self.name_former_members(out);
            self.begin_epoch(now, out);
        }
        self.timers.on_progress(now);
        self.ask_helper(now, None, out);
        true
    }

    /// The state of a snapshot, if its roots are those of the checkpoint.
    pub(super) fn restored(
        &self,
        body: &CheckpointBody,
        snapshot: &[u8],
    ) -> Option<(M, ClientTable)> {
        let mut from = Reader::new(snapshot);
        let clients = ClientTable::read(&mut from).ok()?;
        let mut machine = self.machine.fresh();
        let state = from.take(from.left()).ok()?;
        machine.restore(state).ok()?;
        let holds = machine.root() == body.state_root && clients.root() == body.clients_root;
        holds.then_some((machine, clients))
    }

    /// The state is that of a snapshot of so many bytes.
    pub(super) fn take_state(&mut self, machine: M, clients: ClientTable, bytes_count: usize) {
        self.machine = machine;
        self.clients = clients;
        self.snapshot_bytes = bytes_count as u64;
        self.worn_bytes = 0;
        self.snapshot_made = None;
        self.snapshot_claims.clear();
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
}

impl Incoming {
    /// Bytes of a part: all but the last are full, so that none arrives in crumbs.
    fn length_of(&self, index: u32) -> usize {
        let before = u64::from(index) * CHUNK_BYTES_MAX as u64;
        let left = self.offer.bytes_count.saturating_sub(before);
        usize::try_from(left).map_or(CHUNK_BYTES_MAX, |left| left.min(CHUNK_BYTES_MAX))
    }

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
