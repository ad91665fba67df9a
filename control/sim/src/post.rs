//! Messages: how they leave a node, and how they arrive at another.

use std::sync::Arc;

use consensus::{Input, Message, NodeId, Signer as _, Use, Verified};

use crate::fault::Lie;
use crate::liar::Liar;
use crate::world::{Event, LIAR_US, Sabotage, World};

impl World {
    /// A message arrives, and is believed if everything that it holds is signed.
    pub(crate) fn deliver(&mut self, to: usize, from: usize, copy: usize, bytes: &Arc<[u8]>) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                self.trace(|| format!("{from} -> {to}: dropped: {error}"));
                self.report.malformed += 1;
                return;
            }
        };
        let mut checks = message.checks(self.cluster).into_iter();
        let trusts = self.options.sabotage == Sabotage::TrustSignatures;
        if !trusts && !checks.all(|check| self.registry.holds(&check)) {
            self.trace(|| {
                format!(
                    "{from} -> {to}: dropped: a bad signature in {:?}",
                    message.kind()
                )
            });
            self.report.bad_signatures += 1;
            return;
        }
        self.trace(|| format!("{from} -> {to}: {}", crate::report::brief(&message)));
        if let Some(liar) = &mut self.liars[to] {
            liar.remember(&message, bytes);
        }
        let sender = self.keys[from].id();
        for index in 0..self.processes.len() {
            let process = &self.processes[index];
            if process.node == to
                && let Some(replica) = &process.replica
                && self.hears(index, from, copy)
            {
                // In a node this comes before the signatures, which are cheap here.
                if replica.horizon().use_of(sender, &message) == Use::None {
                    self.report.useless += 1;
                    continue;
                }
                self.report.delivered += 1;
                let message = Verified::vouch(message.clone());
                self.step(index, Input::Message(sender, message));
            }
        }
    }

    fn has_twin(&self, node: usize) -> bool {
        self.liars[node]
            .as_ref()
            .is_some_and(|liar| liar.does(Lie::Twins))
    }

    /// Whether this copy of a node deals with that copy of another.
    pub(crate) fn hears(&self, index: usize, other: usize, other_copy: usize) -> bool {
        let process = &self.processes[index];
        match (self.has_twin(process.node), self.has_twin(other)) {
            (false, _) => true,
            (true, true) => process.copy == other_copy,
            (true, false) => {
                let side = usize::from(self.twin_sides >> other & 1 == 1);
                self.twin_both >> other & 1 == 1 || side == process.copy
            }
        }
    }

    pub(crate) fn node_of(&self, id: NodeId) -> Option<usize> {
        self.keys.iter().position(|key| key.id() == id)
    }

    pub(crate) fn send(&mut self, index: usize, to: &[NodeId], message: &Message) {
        let (node, copy) = (self.processes[index].node, self.processes[index].copy);
        let id = self.processes[index].key.id();
        if self.is_honest(node) {
            self.oracle.on_message(id, message);
        }
        let bare = self.without_locks(index, message);
        let message = bare.as_ref().unwrap_or(message);
        let bytes: Arc<[u8]> = message.encode(id).into();
        for to in to {
            let Some(target) = self.node_of(*to) else {
                continue;
            };
            if !self.hears(index, target, copy) {
                continue;
            }
            let mut sent = Arc::clone(&bytes);
            let leads = self.processes[index].leader() == Some(*to);
            if let Some(liar) = &mut self.liars[node] {
                liar.remember(message, &bytes);
                if matches!(message, Message::Request(_)) && liar.goes_around(leads) {
                    continue;
                }
                if liar.is_silent_to(target) {
                    continue;
                }
                sent = liar.bend(message).map_or(sent, Into::into);
            }
            self.transmit(node, copy, target, sent);
        }
    }

    /// What a node that hides its locks says instead.
    fn without_locks(&self, index: usize, message: &Message) -> Option<Message> {
        let Message::ViewChange(change) = message else {
            return None;
        };
        if self.options.sabotage != Sabotage::HideLocks {
            return None;
        }
        let mut change = change.clone();
        change.prepared.clear();
        change.pre_prepared.clear();
        let change = change.sign(self.cluster, &self.processes[index].key);
        Some(Message::ViewChange(Box::new(change)))
    }

    fn transmit(&mut self, from: usize, copy: usize, to: usize, bytes: Arc<[u8]>) {
        for at_us in self.network.arrivals(self.now_us, from, to) {
            let bytes = Arc::clone(&bytes);
            let event = Event::Deliver {
                to,
                from,
                copy,
                bytes,
            };
            self.queue(at_us, event);
        }
    }

    /// A liar does something by itself.
    pub(crate) fn lie(&mut self, node: usize) {
        let negative = self.plan.lies_count() > self.plan.faults_max();
        if self.random.chance(if negative { 2 } else { 10 }) {
            self.twin_sides = self.random.bits();
            self.twin_both = if negative {
                0
            } else {
                self.random.bits() & self.random.bits()
            };
        }
        let told = self.liars[node].as_mut().and_then(Liar::invent);
        if let Some(bytes) = told {
            let to = self.random.index(self.plan.nodes());
            let bytes: Arc<[u8]> = bytes.into();
            let copy = self.random.index(2);
            if to != node {
                self.transmit(node, copy, to, bytes);
            }
        }
        self.forge(node);
        let at_us = self.now_us + self.random.between(LIAR_US / 2, LIAR_US);
        self.queue(at_us, Event::Liar(node));
    }
}
