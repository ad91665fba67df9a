//! A Byzantine node: honest code whose messages are bent on their way out. It has its own key and
//! whatever others have said, nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use consensus::{
    Batch, CheckpointBody, CheckpointCertificate, ClusterId, Configuration, Digest, Epoch,
    HistoryItem, Member, Message, NewView, NodeId, Phase, PrePrepared, Request, RequestId, Role,
    Sequence, Signature, SignedVote, Signer as _, SnapshotOffer, Status, Transition, View,
    ViewChange, Vote,
};

use crate::fault::Lie;
use crate::keys::Key;
use crate::machine::Command;
use crate::random::Random;

/// How often, in a hundred, a message is bent by a node that bends messages of its sort.
const BENT_PERCENT: u64 = 25;
/// Old messages that it remembers.
const OLD_MAX: usize = 200;

/// Lanes that a client has.
const LANES_MAX: u32 = 64;

/// One of them.
#[derive(Debug)]
pub(crate) struct Liar {
    key: Key,
    cluster: ClusterId,
    lies: Vec<Lie>,
    random: Random,
    old: Vec<Arc<[u8]>>,
    /// Wishes for views and their beginnings, however old.
    views: Vec<Arc<[u8]>>,
    /// A part of a snapshot, and its encoding.
    part: Option<Message>,
    /// Where the cluster is, as it has heard.
    epoch: Epoch,
    view: View,
    sequence: Sequence,
    digests: Vec<Digest>,
    /// Another node that it has heard.
    voter: Option<NodeId>,
    pub(crate) told: u64,
}

impl Liar {
    pub(crate) fn new(key: Key, cluster: ClusterId, lies: Vec<Lie>, random: Random) -> Self {
        Self {
            key,
            cluster,
            lies,
            random,
            old: Vec::new(),
            views: Vec::new(),
            part: None,
            epoch: Epoch(0),
            view: View(0),
            sequence: Sequence(0),
            digests: Vec::new(),
            voter: None,
            told: 0,
        }
    }

    /// Whether it lies like this.
    pub(crate) fn does(&self, lie: Lie) -> bool {
        self.lies.contains(&lie)
    }

    /// Hears a message, or says one.
    pub(crate) fn remember(&mut self, message: &Message, bytes: &Arc<[u8]>) {
        if let Message::PrePrepare(signed, _) | Message::Vote(signed) = message {
            let vote = signed.vote;
            if signed.signer != self.key.id() {
                self.voter = Some(signed.signer);
            }
            self.epoch = self.epoch.max(vote.epoch);
            self.view = self.view.max(vote.view);
            self.sequence = self.sequence.max(vote.sequence);
            if self.digests.len() >= 16 {
                self.digests.remove(0);
            }
            self.digests.push(vote.digest);
        }
        let is_view = matches!(message, Message::ViewChange(_) | Message::NewView(_));
        if is_view && self.views.len() < OLD_MAX {
            self.views.push(Arc::clone(bytes));
        }
        if self.old.len() < OLD_MAX {
            self.old.push(Arc::clone(bytes));
        } else if self.random.chance(10) {
            let at = self.random.index(OLD_MAX);
            self.old[at] = Arc::clone(bytes);
        }
    }

    /// What leaves instead of this message, if it is bent.
    pub(crate) fn bend(&mut self, message: &Message) -> Option<Vec<u8>> {
        let drips =
            self.does(Lie::Drip) && matches!(message, Message::Log(_) | Message::Chunk { .. });
        let is_bent = self.random.chance(BENT_PERCENT) || drips;
        let bent = is_bent.then(|| self.bent(message)).flatten()?;
        self.told += 1;
        Some(bent.encode(self.key.id()))
    }

    /// Whether it says nothing to this node.
    pub(crate) fn is_silent_to(&self, to: usize) -> bool {
        self.lies
            .iter()
            .any(|lie| matches!(lie, Lie::Silence(mask) if mask >> to & 1 == 1))
    }

    /// Whether a request of its own is kept from a node, which leads or not.
    pub(crate) fn goes_around(&mut self, leads: bool) -> bool {
        self.does(Lie::Detours) && (leads || self.random.chance(50))
    }

    fn bent(&mut self, message: &Message) -> Option<Message> {
        if self.does(Lie::Drip)
            && let Some(less) = self.drop_of(message)
        {
            return Some(less);
        }
        let (digests, times) = (self.does(Lie::Digests), self.does(Lie::Times));
        let forges = self.does(Lie::Forgeries);
        Some(match message {
            Message::PrePrepare(signed, batch) if self.does(Lie::Excess) => {
                let batch = self.too_much(batch);
                let digest = batch.digest();
                let vote = Vote {
                    digest,
                    ..signed.vote
                };
                Message::PrePrepare(self.sign(vote), Arc::new(batch))
            }
            Message::PrePrepare(signed, batch) if digests || times => {
                let batch = self.bent_batch(batch, times);
                let vote = Vote {
                    digest: batch.digest(),
                    ..signed.vote
                };
                Message::PrePrepare(self.sign(vote), Arc::new(batch))
            }
            Message::Vote(signed) if digests => {
                let digest = self.some_digest();
                Message::Vote(self.sign(Vote {
                    digest,
                    ..signed.vote
                }))
            }
            Message::Checkpoint(signed, body) if digests => {
                let mut body = body.clone();
                body.time_ms = body.time_ms.wrapping_add(self.random.below(2));
                let digest = if self.random.chance(50) {
                    body.digest()
                } else {
                    self.some_digest()
                };
                let vote = Vote {
                    digest,
                    ..signed.vote
                };
                Message::Checkpoint(self.sign(vote), body)
            }
            Message::ViewChange(change) if forges => {
                Message::ViewChange(Box::new(self.bent_view_change(change)))
            }
            Message::NewView(new) if forges => Message::NewView(Arc::new(self.bent_new_view(new))),
            Message::Log(items) if forges => Message::Log(self.bent_log(items)),
            _ => return self.bent_transfer(message),
        })
    }

    /// Help for those who are behind, bent.
    fn bent_transfer(&mut self, message: &Message) -> Option<Message> {
        let (forges, chunks) = (self.does(Lie::Forgeries), self.does(Lie::Chunks));
        Some(match message {
            Message::SnapshotOffer(offer) if forges && self.random.chance(60) => {
                Message::SnapshotOffer(Box::new(self.bent_chain((**offer).clone())))
            }
            Message::SnapshotOffer(offer) if forges => {
                let mut offer = offer.clone();
                match self.random.below(4) {
                    0 => offer.bytes_count += 1,
                    1 => offer.body.time_ms += 1,
                    2 => offer.certificate = self.bent_checkpoint(&offer.certificate),
                    _ => offer.bytes_count = u64::MAX,
                }
                Message::SnapshotOffer(offer)
            }
            Message::Chunk {
                sequence,
                index,
                bytes,
            } if chunks => {
                let mut bytes = bytes.clone();
                let at = self.random.index(bytes.len());
                bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1);
                Message::Chunk {
                    sequence: *sequence,
                    index: *index,
                    bytes,
                }
            }
            Message::Status(status) if self.does(Lie::Progress) => self.bent_status(status),
            Message::ReadIndexReply { nonce, .. } if self.does(Lie::Progress) => {
                let sequence = match self.random.below(3) {
                    0 => Sequence(0),
                    1 => Sequence(u64::MAX),
                    _ => self.sequence.plus(self.random.below(100)),
                };
                Message::ReadIndexReply {
                    nonce: *nonce,
                    epoch: self.epoch,
                    sequence,
                }
            }
            _ => return None,
        })
    }

    /// An offer whose changes of epoch lack something, or have one that nobody decided.
    fn bent_chain(&mut self, mut offer: SnapshotOffer) -> SnapshotOffer {
        let forged = self.forged_transition(&offer.body);
        match self.random.below(6) {
            0 => offer.transitions.clear(),
            1 => {
                offer.transitions.pop();
            }
            2 => offer.transitions.reverse(),
            3 => offer.transitions.push(forged),
            4 => {
                for transition in &mut offer.transitions {
                    self.bend_votes(&mut transition.certificate.votes);
                }
            }
            _ => {
                // The snapshot is of the change that nobody decided.
                offer.body = forged.body.clone();
                offer.certificate = forged.certificate.clone();
                offer.transitions.push(forged);
            }
        }
        offer
    }

    /// A change to an epoch in which it is alone, with its own vote or with none.
    fn forged_transition(&mut self, body: &CheckpointBody) -> Transition {
        let mut body = body.clone();
        let epoch = Epoch(body.configuration.epoch().0 + 1);
        let own = Member {
            key: self.key.public(),
            role: Role::Authority,
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4853),
        };
        let interval = u32::try_from(body.configuration.checkpoint_interval()).unwrap_or(1);
        if let Ok(alone) = Configuration::new(epoch, vec![own], interval, 1) {
            body.configuration = alone;
        }
        let own = self.sign(Vote {
            phase: Phase::Checkpoint,
            epoch: Epoch(epoch.0 - 1),
            view: View(0),
            sequence: body.sequence,
            digest: body.digest(),
        });
        let has_vote = self.random.chance(50);
        let votes = if has_vote { vec![own] } else { Vec::new() };
        Transition {
            certificate: CheckpointCertificate { votes },
            body,
        }
    }

    /// As little of some help as there can be.
    fn drop_of(&mut self, message: &Message) -> Option<Message> {
        match message {
            Message::Log(items) if items.len() > 1 => Some(Message::Log(vec![items[0].clone()])),
            Message::Chunk { .. } => {
                let part = self.part.get_or_insert_with(|| message.clone());
                if self.random.chance(20) {
                    *part = message.clone();
                }
                Some(part.clone())
            }
            _ => None,
        }
    }

    /// A request of a register that no client reads.
    fn own_request(&self, lane: u32, timestamp: u64) -> Request {
        let command = Command::Write {
            key: u8::MAX,
            value: timestamp,
        };
        Request::sign(self.cluster, &self.key, lane, timestamp, command.bytes())
    }

    /// More lanes, more requests or more bytes than there may be.
    fn too_much(&mut self, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        let count = match self.random.below(100) {
            0 => 9_000,
            1 => 10_001,
            2 => 45_000,
            _ => self.random.between(1, 3),
        };
        let lanes = u32::from(self.random.small(2)) * LANES_MAX;
        for place in 0..count {
            let lane = lanes + u32::try_from(place).unwrap_or(0);
            batch.requests.push(self.own_request(lane, place + 1));
        }
        batch
    }

    fn sign(&self, vote: Vote) -> SignedVote {
        vote.sign(self.cluster, &self.key)
    }

    fn some_digest(&mut self) -> Digest {
        if self.digests.is_empty() || self.random.chance(30) {
            return Digest::of(&self.random.bits().to_be_bytes());
        }
        *self.random.pick(&self.digests)
    }

    fn bent_batch(&mut self, batch: &Batch, times: bool) -> Batch {
        let mut batch = batch.clone();
        match self.random.below(if times { 4 } else { 3 }) {
            0 => batch.requests.reverse(),
            1 => {
                batch.requests.pop();
            }
            2 => {
                // The same twice, or a request that its client never signed.
                let value = self.random.bits();
                let is_forged = self.random.chance(50);
                let copy = batch.requests.first().cloned();
                match batch.requests.first_mut().filter(|_| is_forged) {
                    Some(first) => first.command = Command::Write { key: 0, value }.bytes(),
                    None => batch.requests.extend(copy),
                }
            }
            _ => {
                let by = self.random.below(7_200_000);
                batch.time_ms = if self.random.chance(50) {
                    batch.time_ms.saturating_add(by)
                } else {
                    batch.time_ms.saturating_sub(by)
                };
            }
        }
        batch
    }

    fn bent_checkpoint(&mut self, certificate: &CheckpointCertificate) -> CheckpointCertificate {
        let mut certificate = certificate.clone();
        self.bend_votes(&mut certificate.votes);
        certificate
    }

    /// One vote too few, one in another's name, or one of another place.
    fn bend_votes(&mut self, votes: &mut Vec<SignedVote>) {
        if votes.is_empty() {
            return;
        }
        let at = self.random.index(votes.len());
        match self.random.below(3) {
            0 => {
                votes.remove(at);
            }
            1 => {
                let digest = self.some_digest();
                votes
                    .iter_mut()
                    .for_each(|signed| signed.vote.digest = digest);
            }
            _ => {
                let own = self.sign(votes[at].vote);
                votes[at] = SignedVote {
                    signer: votes[at].signer,
                    ..own
                };
            }
        }
    }

    fn bent_view_change(&mut self, change: &ViewChange) -> ViewChange {
        let mut change = change.clone();
        match self.random.below(7) {
            0 => change.prepared.clear(),
            1 => change.pre_prepared.clear(),
            2 => {
                let digest = self.some_digest();
                let view = View(change.view.0.saturating_sub(1));
                change
                    .pre_prepared
                    .iter_mut()
                    .for_each(|report| (report.digest, report.view) = (digest, view));
            }
            3 => change.stable = self.bent_checkpoint(&change.stable),
            4 => change.stable = CheckpointCertificate::default(),
            5 => change.view = change.view.next(),
            _ => {
                for proof in &mut change.prepared {
                    self.bend_votes(&mut proof.votes);
                }
                let report = PrePrepared {
                    sequence: change.low().next(),
                    view: View(change.view.0.saturating_sub(1)),
                    digest: self.some_digest(),
                };
                change
                    .pre_prepared
                    .retain(|other| other.sequence > report.sequence);
                change.pre_prepared.insert(0, report);
            }
        }
        change.sign(self.cluster, &self.key)
    }

    fn bent_new_view(&mut self, new: &NewView) -> NewView {
        let mut new = new.clone();
        match self.random.below(4) {
            0 => {
                new.view_changes.pop();
            }
            1 => {
                new.proposals.pop();
            }
            2 => {
                let digest = self.some_digest();
                let proposals = new.proposals.iter().map(|signed| {
                    let vote = Vote {
                        digest,
                        ..signed.vote
                    };
                    self.sign(vote)
                });
                new.proposals = proposals.collect();
            }
            _ => new.view_changes.truncate(1),
        }
        let preimage = new.checks(self.cluster).next().map(|check| check.preimage);
        new.signature = self.key.sign(&preimage.unwrap_or_default());
        new
    }

    fn bent_log(&mut self, items: &[HistoryItem]) -> Vec<HistoryItem> {
        let mut items = items.to_vec();
        let at = self.random.index(items.len());
        match items.get_mut(at) {
            Some(HistoryItem::Batch { batch, certificate }) => {
                if self.random.chance(50) {
                    *batch = Arc::new(self.bent_batch(batch, true));
                } else {
                    self.bend_votes(&mut certificate.votes);
                }
            }
            Some(HistoryItem::Checkpoint(certificate, body)) => {
                if self.random.chance(50) {
                    self.bend_votes(&mut certificate.votes);
                } else {
                    let forged = self.forged_transition(body);
                    (*certificate, **body) = (forged.certificate, forged.body);
                }
            }
            None => {}
        }
        if self.random.chance(30) {
            items.reverse();
        }
        items
    }

    fn bent_status(&mut self, status: &Status) -> Message {
        let far = |random: &mut Random, from: u64| match random.below(3) {
            0 => 0,
            1 => from + random.below(1000),
            _ => u64::MAX,
        };
        let mut status = *status;
        match self.random.below(4) {
            0 => status.executed = Sequence(far(&mut self.random, status.executed.0)),
            1 => status.stable = Sequence(far(&mut self.random, status.stable.0)),
            2 => status.view = View(far(&mut self.random, status.view.0)),
            _ => status.epoch = Epoch(far(&mut self.random, status.epoch.0)),
        }
        Message::Status(status)
    }

    /// Something that nobody asked for.
    pub(crate) fn invent(&mut self) -> Option<Vec<u8>> {
        if self.lies.is_empty() {
            return None;
        }
        let lie = *self.random.pick(&self.lies);
        let id = self.key.id();
        let bytes = match lie {
            Lie::Replays if !self.views.is_empty() && self.random.chance(50) => {
                self.random.pick(&self.views).to_vec()
            }
            Lie::Drip => self.part.as_ref()?.encode(id),
            Lie::Excess => {
                let (lane, timestamp) = (self.random.bits() >> 33, self.random.bits() >> 8);
                let lane = u32::try_from(lane).unwrap_or(0).max(LANES_MAX);
                Message::Request(self.own_request(lane, timestamp)).encode(id)
            }
            Lie::Replays if !self.old.is_empty() => self.random.pick(&self.old).to_vec(),
            Lie::Garbage => self.garbage(),
            Lie::Digests => {
                let phase = *self.random.pick(&[Phase::Prepare, Phase::Commit]);
                let vote = Vote {
                    phase,
                    epoch: Epoch(self.near(self.epoch.0)),
                    view: View(self.near(self.view.0)),
                    sequence: Sequence(self.near(self.sequence.0)),
                    digest: self.some_digest(),
                };
                Message::Vote(self.sign(vote)).encode(id)
            }
            Lie::Forgeries if self.random.chance(50) => self.wish().encode(id),
            Lie::Forgeries => self.forged_request()?.encode(id),
            Lie::Progress => {
                let status = Status {
                    epoch: self.epoch,
                    view: self.view,
                    executed: self.sequence,
                    ..Status::default()
                };
                self.bent_status(&status).encode(id)
            }
            Lie::Times => {
                let batch = Batch {
                    time_ms: self.random.bits(),
                    requests: Vec::new(),
                };
                let vote = Vote {
                    phase: Phase::PrePrepare,
                    epoch: self.epoch,
                    view: View(self.near(self.view.0)),
                    sequence: Sequence(self.near(self.sequence.0)),
                    digest: batch.digest(),
                };
                Message::PrePrepare(self.sign(vote), Arc::new(batch)).encode(id)
            }
            _ => return None,
        };
        self.told += 1;
        Some(bytes)
    }

    fn near(&mut self, number: u64) -> u64 {
        let low = number.saturating_sub(2);
        low.saturating_add(self.random.below(6))
    }

    fn garbage(&mut self) -> Vec<u8> {
        let mut bytes = match self.old.is_empty() {
            true => (0..self.random.below(200)).map(|_| 0).collect(),
            false => self.random.pick(&self.old).to_vec(),
        };
        for _ in 0..self.random.between(1, 4) {
            let at = self.random.index(bytes.len());
            let value = self.random.bits().to_be_bytes()[0];
            bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte = value);
        }
        if self.random.chance(30) {
            bytes.truncate(self.random.index(bytes.len() + 1));
        }
        bytes
    }

    /// A request in another's name, signed by nobody.
    fn forged_request(&mut self) -> Option<Message> {
        let client = self.voter?;
        let command = Command::Write {
            key: 0,
            value: self.random.bits(),
        };
        Some(Message::Request(Request {
            id: RequestId {
                client,
                lane: 50,
                timestamp: self.random.bits() >> 8,
            },
            command: command.bytes(),
            signature: Signature([7; 64]),
        }))
    }

    /// A wish for a view near or far, with nothing to be kept.
    fn wish(&mut self) -> Message {
        let view = match self.random.below(4) {
            0 => View(u64::MAX),
            _ => self.view.next().next(),
        };
        let change = ViewChange {
            epoch: Epoch(self.near(self.epoch.0)),
            view,
            stable: CheckpointCertificate::default(),
            prepared: Vec::new(),
            pre_prepared: Vec::new(),
            signer: NodeId(0),
            signature: Signature([0; 64]),
        };
        Message::ViewChange(Box::new(change.sign(self.cluster, &self.key)))
    }
}
