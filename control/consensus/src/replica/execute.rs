//! Committed batches become state, one after the other.

use alloc::sync::Arc;

use super::Replica;
use super::clients::{Known, REPLY_BYTES_MAX};
use crate::batch::{Batch, Request};
use crate::codec::Wire;
use crate::configuration::{Configuration, Member};
use crate::effect::{Effect, Now, Observation};
use crate::identity::Sequence;
use crate::machine::{ApplyContext, StateMachine};
use crate::transfer::HistoryItem;
use crate::verified::Signer;
use crate::vote::{CheckpointBody, CommitCertificate};

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// Executes what is committed, as far as there is no gap.
    pub(super) fn execute_ready(&mut self, now: Now, out: &mut alloc::vec::Vec<Effect>) {
        let before = self.executed;
        loop {
            let sequence = self.executed.next();
            let slot = self.slots.get(&sequence);
            let Some(certificate) = slot.and_then(|slot| slot.committed.clone()) else {
                break;
            };
            let digest = certificate.subject().map(|vote| vote.digest);
            let batch = digest.and_then(|digest| self.batches.get(&digest)).cloned();
            let (Some(batch), false) = (batch, self.is_between_epochs()) else {
                break;
            };
            self.execute(now, sequence, &batch, certificate, out);
        }
        if self.executed > before {
            self.timers.on_progress(now);
        }
    }

    /// Applies the next batch of the order.
    pub(super) fn execute(
        &mut self,
        now: Now,
        sequence: Sequence,
        batch: &Arc<Batch>,
        certificate: CommitCertificate,
        out: &mut alloc::vec::Vec<Effect>,
    ) {
        assert!(sequence == self.executed.next());
        out.push(Effect::Observe(Observation::Committed {
            sequence,
            fast: certificate.is_fast(),
            requests: batch.requests.len(),
        }));
        out.push(Effect::Append(HistoryItem::Batch {
            batch: Arc::clone(batch),
            certificate,
        }));
        if !batch.is_null() {
            // The primary's time, unless a change of view has put batches in another order.
            self.time_ms = batch.time_ms.max(self.time_ms.saturating_add(1));
        }
        self.executed = sequence;
        for request in &batch.requests {
            self.worn_bytes += request.bytes_count() as u64;
            self.execute_request(sequence, request, out);
        }
        self.plan_epoch(sequence);
        if !self.holds_state() && self.boundary == Some(sequence) {
            self.boundary = None;
        }
        out.push(Effect::Observe(Observation::Executed(sequence)));
        if self.configuration.has_checkpoint(sequence) {
            self.make_checkpoint(now, sequence, out);
        }
    }

    fn execute_request(
        &mut self,
        sequence: Sequence,
        request: &Request,
        out: &mut alloc::vec::Vec<Effect>,
    ) {
        let id = request.id;
        self.pending.remove(id);
        if !self.holds_state() {
            return;
        }
        let reply = match self.clients.look_up(id) {
            Known::Superseded => return,
            Known::Executed(reply) => reply,
            Known::New => {
                let context = ApplyContext {
                    sequence,
                    time_ms: self.time_ms,
                };
                let mut reply = self.machine.apply(context, request);
                if reply.len() > REPLY_BYTES_MAX {
                    // On every node alike.
                    reply.clear();
                }
                let reply: Arc<[u8]> = reply.into();
                self.clients.note(id, Arc::clone(&reply));
                reply
            }
        };
        out.push(Effect::Executed {
            id,
            sequence,
            reply,
        });
    }

    /// A state that wants other members gets them at the first checkpoint that is a pipeline's depth
    /// away: whoever may propose or accept a place behind it has executed this sequence by then.
    fn plan_epoch(&mut self, sequence: Sequence) {
        if self.boundary.is_some() || !self.holds_state() {
            return;
        }
        let wanted = self.wanted();
        if !wanted.is_like(&self.configuration) {
            let earliest = sequence.plus(self.configuration.pipeline_depth()).0;
            let interval = self.configuration.checkpoint_interval();
            self.boundary = Some(Sequence(earliest.div_ceil(interval) * interval));
        }
    }

    /// The configuration that the state asks for. A node keeps its state or keeps none as long as it has its
    /// key: a wish to change that is none.
    fn wanted(&self) -> Configuration {
        let current = &self.configuration;
        let wanted = self.machine.wanted_configuration(current);
        let changes_kind = |member: &Member| {
            let known = current.member(member.id());
            known.is_some_and(|known| known.role.holds_state() != member.role.holds_state())
        };
        if wanted.members().any(changes_kind) {
            return current.clone();
        }
        wanted
    }

    /// What the checkpoint after the last executed batch covers.
    pub(super) fn checkpoint_body(&mut self) -> CheckpointBody {
        let is_boundary = self.boundary == Some(self.executed);
        let wanted = self.wanted();
        let configuration = if is_boundary && !wanted.is_like(&self.configuration) {
            let epoch = self.configuration.epoch();
            wanted.at(epoch).into_next_epoch()
        } else {
            self.configuration.clone()
        };
        if is_boundary {
            self.boundary = None;
        }
        CheckpointBody {
            sequence: self.executed,
            state_root: self.machine.root(),
            clients_root: self.clients.root(),
            time_ms: self.time_ms,
            boundary: self.boundary,
            configuration,
        }
    }

    /// The client table and the machine's state.
    pub(super) fn snapshot(&self) -> alloc::vec::Vec<u8> {
        let mut out = crate::codec::Writer::default();
        self.clients.write(&mut out);
        out.bytes(&self.machine.snapshot());
        out.into_bytes()
    }
}
