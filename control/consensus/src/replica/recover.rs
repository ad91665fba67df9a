//! Back from the disk: the state from snapshot and history, the promises from the durable log.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::clients::ClientTable;
use super::pending::Pending;
use super::read::Reads;
use super::timers::Timers;
use super::{Params, Replica, Stable};
use crate::configuration::Configuration;
use crate::effect::{Effect, Now};
use crate::identity::{NodeId, PublicKey, Sequence, View};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::record::Record;
use crate::transfer::{HistoryItem, Transition};
use crate::verified::Signer;
use crate::vote::{CheckpointBody, CheckpointCertificate, Phase};

/// Most former members whose keys are named.
const FORMER_MEMBERS_MAX: usize = 1024;

/// What a replica finds on its disk. All of it empty at its first start.
#[derive(Debug)]
pub struct Recovered {
    /// The first configuration of the cluster.
    pub genesis: Configuration,
    /// The newest snapshot whose checkpoint is stable.
    pub snapshot: Option<(CheckpointCertificate, CheckpointBody, Vec<u8>)>,
    /// Committed batches and checkpoints that follow it, in order. What is before it is passed over.
    pub history: Vec<HistoryItem>,
    /// The durable log, in order.
    pub records: Vec<Record>,
}

/// Why a replica cannot start from what is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The snapshot is not the state that its checkpoint is about.
    #[error("the snapshot at {0} is not the state that its checkpoint certifies")]
    Snapshot(Sequence),
    /// The log speaks of a configuration that nothing in it leads to.
    #[error("the log has no proof of the configuration in force at {0}")]
    Configuration(Sequence),
}

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// A replica at its first start or after a restart. `machine` is in its first state. A node that
    /// is no member yet waits for the epoch that makes it one, and catches up from there.
    ///
    /// # Errors
    /// The disk holds what cannot be; nothing was changed.
    pub fn recover(
        now: Now,
        params: Params,
        signer: S,
        machine: M,
        recovered: Recovered,
        out: &mut Vec<Effect>,
    ) -> Result<Self, ReplicaError> {
        let mut replica = Self::empty(now, params, signer, machine, recovered.genesis);
        replica.replay_state(
            now,
            recovered.snapshot,
            recovered.history,
            &recovered.records,
        )?;
        if replica.parked.is_empty() {
            replica.replay_promises(&recovered.records, out);
        }
        replica.repeat_votes(now);
        replica.record_epochs(&recovered.records, out);
        replica.name_former_members(out);
        out.push(Effect::Configured(replica.configuration.clone()));
        let status = Message::Status(replica.status());
        out.push(Effect::Broadcast(Arc::new(status)));
        replica.assert_invariants();
        Ok(replica)
    }

    /// Members of earlier epochs, as far as the transitions name them: the latest of them, and these last.
    pub(super) fn name_former_members(&self, out: &mut Vec<Effect>) {
        let configurations = self.transitions.iter().rev();
        let configurations = configurations.map(|transition| &transition.body.configuration);
        let mut keys: Vec<PublicKey> = Vec::new();
        let mut seen: BTreeSet<NodeId> = self.configuration.ids().collect();
        for member in configurations.flat_map(Configuration::members) {
            if keys.len() < FORMER_MEMBERS_MAX && seen.insert(member.id()) {
                keys.push(member.key);
            }
        }
        keys.reverse();
        if !keys.is_empty() {
            out.push(Effect::FormerMembers(keys));
        }
    }

    fn empty(now: Now, params: Params, signer: S, machine: M, genesis: Configuration) -> Self {
        let member = genesis.member(signer.id());
        Self {
            me: signer.id(),
            held_state: member.is_none_or(|member| member.role.holds_state()),
            cluster: genesis.cluster(),
            configuration: genesis,
            params,
            signer,
            base: Sequence(0),
            transitions: Vec::new(),
            proven: Vec::new(),
            view: View(0),
            is_changing: false,
            new_view: None,
            view_changes: BTreeMap::new(),
            stable: Stable {
                sequence: Sequence(0),
                certificate: CheckpointCertificate::default(),
                body: None,
            },
            slots: BTreeMap::new(),
            batches: BTreeMap::new(),
            early: BTreeMap::new(),
            executed: Sequence(0),
            time_ms: 0,
            boundary: None,
            clients: ClientTable::default(),
            machine,
            snapshot_bytes: 0,
            worn_bytes: 0,
            snapshot_made: None,
            is_replaying: false,
            own_checkpoints: BTreeMap::new(),
            checkpoint_votes: BTreeMap::new(),
            repeated_us: BTreeMap::new(),
            shown_us: BTreeMap::new(),
            told_us: BTreeMap::new(),
            helped: BTreeMap::new(),
            pending: Pending::default(),
            statuses: BTreeMap::new(),
            transfer: None,
            snapshot_claims: BTreeMap::new(),
            reads: Reads::new(now),
            timers: Timers::new(now),
            evidence: BTreeMap::new(),
            parked: Vec::new(),
            is_halted: false,
        }
    }

    /// Executes the history again. Its effects were had before.
    fn replay_state(
        &mut self,
        now: Now,
        snapshot: Option<(CheckpointCertificate, CheckpointBody, Vec<u8>)>,
        history: Vec<HistoryItem>,
        records: &[Record],
    ) -> Result<(), ReplicaError> {
        if let Some((certificate, body, bytes)) = snapshot {
            for record in records {
                if let Record::Transition(transition) = record
                    && transition.body.sequence <= body.sequence
                {
                    self.enter_configuration(transition.clone());
                }
            }
            if body.configuration != self.configuration {
                return Err(ReplicaError::Configuration(body.sequence));
            }
            match self.restored(&body, &bytes) {
                Some((machine, clients)) => self.take_state(machine, clients, bytes.len()),
                None if self.holds_state() => return Err(ReplicaError::Snapshot(body.sequence)),
                None => {}
            }
            self.take_position(&body);
            self.adopt_stable(certificate, body);
        }
        let mut unheard = Vec::new();
        self.is_replaying = true;
        for item in history {
            self.replay_item(now, item, &mut unheard);
            unheard.clear();
        }
        self.is_replaying = false;
        let later = records.iter().filter_map(Record::epoch).max();
        if later.is_some_and(|later| later > self.configuration.epoch()) {
            // The log is further than what is left of the history.
            self.parked = records.to_vec();
        }
        Ok(())
    }

    fn replay_item(&mut self, now: Now, item: HistoryItem, unheard: &mut Vec<Effect>) {
        match item {
            HistoryItem::Batch { batch, certificate } => {
                let subject = certificate.subject();
                let follows = subject.is_some_and(|vote| {
                    vote.sequence == self.executed.next()
                        && vote.digest == batch.digest()
                        && vote.epoch == self.configuration.epoch()
                });
                if follows {
                    let sequence = self.executed.next();
                    if sequence > self.stable.sequence {
                        self.batches.insert(batch.digest(), Arc::clone(&batch));
                        let slot = self.slots.entry(sequence).or_default();
                        slot.committed = Some(certificate.clone());
                    }
                    self.execute(now, sequence, &batch, certificate, unheard);
                }
            }
            HistoryItem::Checkpoint(certificate, body) => {
                let known = self.own_checkpoints.get(&body.sequence);
                let is_own = known.is_some_and(|known| *known == *body);
                let is_reached = self.executed >= body.sequence;
                let is_here = is_own || (!self.holds_state() && is_reached);
                if !is_here || body.sequence <= self.stable.sequence {
                    return;
                }
                if !self.holds_state() {
                    self.boundary = body.boundary.filter(|end| self.executed < *end);
                }
                let begins = body.configuration.epoch() > self.configuration.epoch();
                self.adopt_stable(certificate.clone(), (*body).clone());
                if begins {
                    let body = *body;
                    self.enter_configuration(Transition { certificate, body });
                }
            }
        }
    }

    /// What this voter has promised in the present epoch.
    fn replay_promises(&mut self, records: &[Record], out: &mut Vec<Effect>) {
        for record in records {
            match record {
                Record::Batch(batch) => {
                    self.batches.insert(batch.digest(), Arc::clone(batch));
                }
                Record::Accepted(signed) => {
                    let vote = signed.vote;
                    if vote.epoch == self.configuration.epoch() && self.is_in_window(vote.sequence)
                    {
                        let slot = self.slots.entry(vote.sequence).or_default();
                        slot.take(*signed, |digest| self.batches.contains_key(digest));
                        slot.note(*signed);
                    }
                }
                Record::Prepared(certificate) => {
                    let subject = certificate.subject();
                    let subject = subject.filter(|vote| vote.epoch == self.configuration.epoch());
                    let place = subject.map(|vote| vote.sequence);
                    if let Some(place) = place.filter(|place| self.is_in_window(*place)) {
                        let slot = self.slots.entry(place).or_default();
                        slot.prepared = Some(certificate.clone());
                        for signed in &certificate.votes {
                            slot.note(*signed);
                        }
                    }
                }
                Record::ViewWanted(epoch, view) => {
                    if *epoch == self.configuration.epoch() && *view > self.view {
                        self.view = *view;
                        self.is_changing = true;
                        self.new_view = None;
                    }
                }
                Record::ViewEntered(new) => {
                    if new.epoch == self.configuration.epoch() && new.view >= self.view {
                        self.adopt_view(new, out);
                    }
                }
                Record::Stable(certificate, body) => {
                    if body.sequence > self.stable.sequence
                        && body.configuration.epoch() == self.configuration.epoch()
                    {
                        self.adopt_stable(certificate.clone(), body.clone());
                    }
                }
                Record::Transition(_) => {}
            }
        }
        self.forget_batches();
    }

    /// Makes epochs durable that history led to and the log does not know: a crash came between the two.
    fn record_epochs(&self, records: &[Record], out: &mut Vec<Effect>) {
        let recorded = records.iter().filter_map(|record| match record {
            Record::Transition(transition) => Some(transition.body.configuration.epoch()),
            _ => None,
        });
        let recorded = recorded.max().unwrap_or_default();
        for transition in &self.transitions {
            if transition.body.configuration.epoch() > recorded {
                out.push(Effect::Persist(Record::Transition(transition.clone())));
            }
        }
    }

    /// Takes up the promises of the epoch that has been reached again.
    pub(super) fn recall_parked(&mut self, now: Now, out: &mut Vec<Effect>) {
        let epochs = self.parked.iter().filter_map(Record::epoch);
        if epochs
            .max()
            .is_some_and(|last| last <= self.configuration.epoch())
        {
            let parked = core::mem::take(&mut self.parked);
            self.replay_promises(&parked, out);
            self.repeat_votes(now);
        }
    }

    /// Votes that may have left before the crash are said again: the same bytes.
    fn repeat_votes(&mut self, now: Now) {
        if self.is_changing {
            let own = self.view_change();
            self.view_changes.insert(self.me, own);
        }
        let view = self.view;
        let places: Vec<Sequence> = self.slots.keys().copied().collect();
        for place in places {
            let Some(slot) = self.slots.get_mut(&place) else {
                continue;
            };
            slot.accepted_us = now.monotonic_us;
            let Some(proposal) = slot.proposal_in(view).filter(|_| !self.is_changing) else {
                continue;
            };
            let is_prepared = slot.is_prepared_in(view);
            let digest = proposal.vote.digest;
            let is_here = self.batches.contains_key(&digest);
            if self.is_voter() && is_here && proposal.signer != self.me {
                let own = self.vote(Phase::Prepare, view, place, digest);
                self.slots.entry(place).or_default().note(own);
            }
            if self.is_voter() && is_prepared {
                let own = self.vote(Phase::Commit, view, place, digest);
                self.slots.entry(place).or_default().note(own);
            }
        }
    }
}
