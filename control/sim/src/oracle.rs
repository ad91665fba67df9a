//! The judges: what must hold of all that leaves an honest node, whatever the others do. What a node
//! holds in memory alone, behind records that are not durable, a crash may take back.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{
    CheckpointBody, Digest, Effect, Epoch, HistoryItem, Message, NodeId, Phase, RequestId,
    Sequence, SignedVote, View, ViewChange, Vote,
};

use crate::linear::{self, Operation};
use crate::machine::Entry;

/// What one honest node has said: it must never say otherwise, across all crashes.
#[derive(Debug, Default)]
struct Word {
    votes: BTreeMap<(Phase, Epoch, View, Sequence), Digest>,
    wanted: Option<(Epoch, View)>,
    /// The latest view in which it consented to, or committed, something at a place.
    accepted: BTreeMap<(Epoch, Sequence), (View, Digest)>,
    locked: BTreeMap<(Epoch, Sequence), (View, Digest)>,
}

/// All judges. The first violation is kept.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    honest: BTreeSet<NodeId>,
    committed: BTreeMap<Sequence, Digest>,
    bodies: BTreeMap<Sequence, Digest>,
    entries: Vec<Entry>,
    places: BTreeMap<RequestId, u64>,
    replies: BTreeMap<RequestId, Vec<u8>>,
    issued: BTreeMap<RequestId, u64>,
    words: BTreeMap<NodeId, Word>,
    /// What clients saw.
    pub(crate) history: Vec<Operation>,
    violation: Option<String>,
}

impl Oracle {
    pub(crate) fn new(honest: impl Iterator<Item = NodeId>) -> Self {
        Self {
            honest: honest.collect(),
            ..Self::default()
        }
    }

    /// The first thing that must not be.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn fail(&mut self, reason: String) {
        self.violation.get_or_insert(reason);
    }

    /// Requests executed by somebody.
    pub(crate) fn executed_count(&self) -> usize {
        self.entries.len()
    }

    /// Batches committed by somebody.
    pub(crate) fn committed_count(&self) -> usize {
        self.committed.len()
    }

    /// An honest client has made a request.
    pub(crate) fn on_issued(&mut self, id: RequestId, command: u64) {
        self.issued.insert(id, command);
    }

    /// An honest node wants this done, at once or when it may: what it rests on may still be lost.
    pub(crate) fn on_wish(&mut self, node: NodeId, effect: &Effect) {
        match effect {
            Effect::Stable { body, .. } | Effect::Install { body, .. } => self.on_body(node, body),
            Effect::Evidence(evidence) if self.honest.contains(&evidence.culprit()) => {
                self.fail(format!(
                    "{node} has evidence against an honest node: {evidence:?}"
                ));
            }
            Effect::Halt { sequence, .. } => {
                self.fail(format!("honest {node} halts at {sequence}"));
            }
            _ => {}
        }
    }

    /// An honest node keeps this for others.
    pub(crate) fn on_append(&mut self, node: NodeId, item: &HistoryItem) {
        if let HistoryItem::Batch { batch, certificate } = item {
            let subject = certificate.subject();
            match subject.filter(|vote| vote.digest == batch.digest()) {
                Some(subject) => self.on_committed(node, subject),
                None => self.fail(format!("{node} has a certificate of another batch")),
            }
        }
    }

    fn on_committed(&mut self, node: NodeId, vote: Vote) {
        let first = *self.committed.entry(vote.sequence).or_insert(vote.digest);
        if first != vote.digest {
            self.fail(format!(
                "fork: {node} has {:?} at {}, another honest node {first:?}",
                vote.digest, vote.sequence
            ));
        }
    }

    /// An honest node says that this is the state at a checkpoint.
    pub(crate) fn on_body(&mut self, node: NodeId, body: &CheckpointBody) {
        let digest = body.digest();
        let first = *self.bodies.entry(body.sequence).or_insert(digest);
        if first != digest {
            self.fail(format!(
                "{node} has another state after {} than another honest node: {body:?}",
                body.sequence
            ));
        }
    }

    /// An honest node tells a client.
    pub(crate) fn on_reply(
        &mut self,
        node: NodeId,
        id: RequestId,
        sequence: Sequence,
        reply: &[u8],
    ) {
        let first = self.replies.entry(id).or_insert_with(|| reply.to_vec());
        if first != reply {
            let first = first.clone();
            self.fail(format!(
                "{node} replies {reply:?} to {id:?} at {sequence}, before it was {first:?}"
            ));
        }
    }

    /// An honest node has put what it executed into service.
    pub(crate) fn on_entries(&mut self, node: NodeId, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.on_entry(node, entry));
    }

    fn on_entry(&mut self, node: NodeId, entry: &Entry) {
        let index = usize::try_from(entry.index).unwrap_or(usize::MAX);
        match self.entries.get(index) {
            Some(first) if first == entry => {}
            Some(first) => {
                let reason = format!("fork: {node} executed {entry:?}, another {first:?}");
                self.fail(reason);
            }
            None if index == self.entries.len() => self.on_first(node, entry),
            None => self.fail(format!("{node} has a state that nobody had: {entry:?}")),
        }
    }

    fn on_first(&mut self, node: NodeId, entry: &Entry) {
        let time = self
            .entries
            .last()
            .map_or((0, 0), |last| (last.sequence, last.time_ms));
        if entry.sequence > time.0 && entry.time_ms <= time.1 {
            self.fail(format!("{node} executed {entry:?}: time does not rise"));
        }
        self.entries.push(*entry);
        if let Some(before) = self.places.insert(entry.id, entry.index) {
            self.fail(format!(
                "{node} executed {entry:?} again, it was number {before}"
            ));
        }
        let is_honest = self.honest.contains(&entry.id.client);
        if is_honest && self.issued.get(&entry.id) != Some(&entry.command) {
            self.fail(format!(
                "{node} executed {entry:?}, which its client never made"
            ));
        }
    }

    /// An honest node's message leaves.
    pub(crate) fn on_message(&mut self, node: NodeId, message: &Message) {
        match message {
            Message::PrePrepare(signed, _) | Message::Vote(signed) => self.on_vote(node, signed),
            Message::Checkpoint(signed, body) => {
                self.on_vote(node, signed);
                self.on_body(node, body);
            }
            Message::ViewChange(change) => self.on_view_change(node, change),
            Message::NewView(new) => {
                new.proposals
                    .iter()
                    .for_each(|signed| self.on_vote(node, signed));
            }
            _ => {}
        }
    }

    fn on_vote(&mut self, node: NodeId, signed: &SignedVote) {
        if signed.signer != node {
            return;
        }
        let vote = signed.vote;
        let word = self.words.entry(node).or_default();
        let place = (vote.phase, vote.epoch, vote.view, vote.sequence);
        let before = word.votes.insert(place, vote.digest);
        if before.is_some_and(|digest| digest != vote.digest) {
            return self.fail(format!(
                "honest {node} contradicts itself: {vote:?}, before {before:?}"
            ));
        }
        if vote.phase == Phase::Checkpoint {
            return;
        }
        let is_late = word
            .wanted
            .is_some_and(|wanted| (vote.epoch, vote.view) < wanted);
        let map = match vote.phase {
            Phase::Commit => &mut word.locked,
            _ => &mut word.accepted,
        };
        let latest = map
            .entry((vote.epoch, vote.sequence))
            .or_insert((vote.view, vote.digest));
        if latest.0 < vote.view {
            *latest = (vote.view, vote.digest);
        }
        if before.is_none() && is_late {
            self.fail(format!(
                "honest {node} votes in a view that it had left: {vote:?}"
            ));
        }
    }

    fn on_view_change(&mut self, node: NodeId, change: &ViewChange) {
        if change.signer != node {
            return;
        }
        let word = self.words.entry(node).or_default();
        word.wanted = word.wanted.max(Some((change.epoch, change.view)));
        let prepared: BTreeMap<_, _> = change
            .prepared
            .iter()
            .filter_map(|proof| proof.subject())
            .map(|vote| (vote.sequence, vote.view))
            .collect();
        let reported: BTreeMap<_, _> = change
            .pre_prepared
            .iter()
            .map(|report| (report.sequence, report.view))
            .collect();
        let hides = |map: &BTreeMap<_, (View, Digest)>, said: &BTreeMap<Sequence, View>| {
            let above = (change.epoch, change.low().next())..=(change.epoch, Sequence(u64::MAX));
            map.range(above).find_map(|((_, sequence), (view, _))| {
                let is_there = said.get(sequence).is_some_and(|said| said >= view);
                (*view < change.view && !is_there).then_some((*sequence, *view))
            })
        };
        let hidden = hides(&word.locked, &prepared).or(hides(&word.accepted, &reported));
        if let Some((sequence, view)) = hidden {
            self.fail(format!(
                "honest {node} hides its vote at {sequence} in view {view} when it wants view {}",
                change.view
            ));
        }
    }

    /// The run is over.
    pub(crate) fn finish(&mut self) {
        if let Err(violation) = linear::check(&self.history) {
            self.fail(format!("not linearizable: {violation}"));
        }
    }
}
