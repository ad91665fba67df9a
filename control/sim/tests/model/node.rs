//! One honest node: what a step, time or a crash makes of it.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{
    Digest, Effect, HistoryItem, Input, Message, Now, Params, Phase, Record, Recovered, Replica,
    SignedVote, Verified, View, ViewChange,
};
use sim::{Key, Registers, Sabotage};

use crate::setting::{BEGIN_UNIX_MS, PLACE, Sentence, Sentences, Speech, WAITING};

const ROUND_US: u64 = 1_000_000;
/// Time at a node: the beginning, when it waits for the fast path no longer, when it gives the primary up.
pub(crate) const TIMES_US: [u64; 3] = [1_000_000, 1_900_000, 101_000_000];

/// What an honest node must never do, alone or with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// Two batches are decided at one place.
    Fork,
    /// A decision of view 0 is not what an honest primary begins view 1 with.
    Overruled,
    /// It halts.
    Halt,
    /// It says two things at one place.
    Contradiction,
    /// It votes in view 0 after it has wanted view 1.
    LateVote,
    /// It wants view 1 and does not say what it has voted for.
    HiddenVote,
}

/// What others and the judge see of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shown {
    pub(crate) sent: Sentences,
    /// Its votes at the one place.
    votes: BTreeMap<(View, Phase), Digest>,
    has_wanted: bool,
    pub(crate) decided: BTreeSet<(View, Digest)>,
    /// What its NEW-VIEW begins with.
    pub(crate) opened: Option<Option<Digest>>,
    pub(crate) wrong: BTreeSet<Wrong>,
}

impl Shown {
    fn vote(&mut self, signed: &SignedVote) {
        let vote = signed.vote;
        let before = self.votes.insert((vote.view, vote.phase), vote.digest);
        if before.is_some_and(|before| before != vote.digest) {
            self.wrong.insert(Wrong::Contradiction);
        }
        if before.is_none() && vote.view == View(0) && self.has_wanted {
            self.wrong.insert(Wrong::LateVote);
        }
    }

    fn want(&mut self, change: &ViewChange) {
        self.has_wanted = true;
        let accepted = change.pre_prepared.first().map(|report| report.digest);
        let prepared = change.prepared.first().and_then(|proof| proof.subject());
        let hides = |phase, said: Option<Digest>| {
            let vote = self.votes.get(&(View(0), phase));
            vote.is_some_and(|vote| said != Some(*vote))
        };
        if hides(Phase::PrePrepare, accepted)
            || hides(Phase::Prepare, accepted)
            || hides(Phase::Commit, prepared.map(|vote| vote.digest))
        {
            self.wrong.insert(Wrong::HiddenVote);
        }
    }
}

/// What is left after a crash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    records: Vec<Record>,
    history: Vec<HistoryItem>,
}

/// What a node is, and what it has done.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    replica: Replica<Registers, Key>,
    pub(crate) time: usize,
    pub(crate) shown: Shown,
    has_crashed: bool,
    /// While it may crash.
    pub(crate) disk: Option<Disk>,
}

/// What happens to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It hears these, all of which together change something.
    Heard(Vec<usize>),
    Waited,
    Crashed,
}

fn now(time: usize) -> Now {
    Now {
        monotonic_us: TIMES_US[time],
        unix_ms: BEGIN_UNIX_MS,
    }
}

/// Whether power may go before this and not only behind it.
fn is_durable(effect: &Effect) -> bool {
    matches!(effect, Effect::Persist(_) | Effect::Append(_))
}

/// Whether something has come of a step, or it is as if the message arrived later: it is noted, no more.
fn has_effect(effect: &Effect) -> bool {
    is_durable(effect) || matches!(effect, Effect::Broadcast(_) | Effect::Halt { .. })
}

fn is_said(effect: &Effect) -> bool {
    matches!(effect, Effect::Send(..) | Effect::Broadcast(_))
}

impl Speech {
    /// A node at its first start.
    pub(crate) fn first(&mut self, honest: usize) -> Node {
        let mut node = self.boot(honest, Shown::default(), Disk::default());
        if self.setting.crashes != Some(honest) {
            node.disk = None;
        }
        node
    }

    /// A node that starts, and hears again of the request that waits.
    fn boot(&mut self, honest: usize, mut shown: Shown, mut disk: Disk) -> Node {
        let params = Params {
            batch_requests_max: 4,
            batch_bytes_max: 4096,
            batch_timeout_us: 1_000,
            round_timeout_us: ROUND_US,
            view_change_timeout_us: 2 * ROUND_US,
            fast_path: self.setting.fast_path,
            clock_skew_max_ms: 10_000,
            snapshot_interval: 1,
            snapshot_wear_percent: 0,
        };
        let recovered = Recovered {
            genesis: self.genesis.clone(),
            snapshot: None,
            history: disk.history.clone(),
            records: disk.records.clone(),
        };
        let machine = Registers::new(self.genesis.clone(), 0);
        let key = self.keys[self.voter(honest)].clone();
        let mut effects = Vec::new();
        let replica = Replica::recover(now(0), params, key, machine, recovered, &mut effects);
        let mut replica = replica.unwrap();
        let waits = Verified::vouch(Message::Request(self.request(WAITING)));
        let liar = self.id(self.setting.liar);
        replica.step(now(0), Input::Message(liar, waits), &mut effects);
        for effect in &effects {
            self.perform(honest, &mut shown, Some(&mut disk), effect);
        }
        Node {
            replica,
            time: 0,
            shown,
            has_crashed: false,
            disk: Some(disk),
        }
    }

    /// All that a node may be after this: what the last step makes of it, or what is left if it crashes at
    /// some point of that step. Nothing if nothing comes of it, or not of the last alone.
    pub(crate) fn react(&mut self, honest: usize, node: &Node, event: &Event) -> Vec<Node> {
        let mut after = node.clone();
        let mut effects = Vec::new();
        match event {
            Event::Crashed => return self.crash(honest, node, &[], &[]),
            Event::Waited => {
                // There may be no fast path to wait for, and no vote of before a crash to repeat.
                after.time = match self.setting.fast_path || node.has_crashed {
                    true => node.time + 1,
                    false => TIMES_US.len() - 1,
                };
                after
                    .replica
                    .step(now(after.time), Input::Tick, &mut effects);
            }
            Event::Heard(sentences) => {
                for number in sentences {
                    if effects.iter().any(has_effect) {
                        return Vec::new();
                    }
                    let Sentence { from, message, .. } = &self.sentences[*number];
                    let message = Verified::vouch(message.clone());
                    let input = Input::Message(self.id(*from), message);
                    after.replica.step(now(after.time), input, &mut effects);
                }
                if !effects.iter().any(has_effect) {
                    return Vec::new();
                }
            }
        }
        // Who wants view 2 has nothing to say here any more; what it decides later it could before.
        if after.replica.summary().view > View(1)
            || effects.iter().any(|effect| self.cannot_be(effect))
        {
            return Vec::new();
        }
        let mut nodes = Vec::new();
        for (place, effect) in effects.iter().enumerate() {
            if node.disk.is_some() && is_durable(effect) {
                let (before, behind) = effects.split_at(place);
                nodes.extend(self.crash(honest, node, before, behind));
            }
        }
        for effect in &effects {
            self.perform(honest, &mut after.shown, after.disk.as_mut(), effect);
        }
        nodes.push(after);
        nodes
    }

    /// A node that crashes when a step has come so far: with the history that it has, or without.
    fn crash(
        &mut self,
        honest: usize,
        node: &Node,
        before: &[Effect],
        behind: &[Effect],
    ) -> Vec<Node> {
        let (mut shown, mut disk) = (node.shown.clone(), node.disk.clone().unwrap());
        for effect in before {
            self.perform(honest, &mut shown, Some(&mut disk), effect);
        }
        match self.setting.sabotage {
            Sabotage::SendBeforeDurable => {
                for effect in behind.iter().filter(|effect| is_said(effect)) {
                    self.perform(honest, &mut shown, None, effect);
                }
            }
            Sabotage::ForgetPromises => {
                let is_kept = |record: &Record| {
                    !matches!(
                        record,
                        Record::Accepted(_) | Record::Prepared(_) | Record::ViewWanted(..)
                    )
                };
                disk.records.retain(is_kept);
            }
            _ => {}
        }
        let mut disks = vec![disk.clone()];
        if !disk.history.is_empty() {
            disk.history.clear();
            disks.push(disk);
        }
        let boot = |disk| Node {
            has_crashed: true,
            disk: None,
            ..self.boot(honest, shown.clone(), disk)
        };
        disks.into_iter().map(boot).collect()
    }

    /// Evidence is two signed votes. An honest node that would have had to say both is judged by what it
    /// says itself; if it did not, nobody hears it.
    fn cannot_be(&self, effect: &Effect) -> bool {
        let liar = self.id(self.setting.liar);
        matches!(effect, Effect::Evidence(evidence) if evidence.culprit() != liar)
    }

    fn perform(
        &mut self,
        honest: usize,
        shown: &mut Shown,
        disk: Option<&mut Disk>,
        effect: &Effect,
    ) {
        match effect {
            Effect::Send(_, message) | Effect::Broadcast(message) => {
                self.post(honest, shown, message);
            }
            Effect::Persist(record) => {
                disk.into_iter()
                    .for_each(|disk| disk.records.push(record.clone()));
            }
            Effect::Append(item) => {
                if let HistoryItem::Batch { certificate, .. } = item {
                    let vote = certificate.subject().unwrap();
                    if vote.sequence == PLACE {
                        shown.decided.insert((vote.view, vote.digest));
                    }
                }
                disk.into_iter()
                    .for_each(|disk| disk.history.push(item.clone()));
            }
            Effect::Halt { .. } => {
                shown.wrong.insert(Wrong::Halt);
            }
            _ => {}
        }
    }

    /// Only what belongs to the place and to view 1: the rest may be lost.
    fn post(&mut self, honest: usize, shown: &mut Shown, message: &Message) {
        let voter = self.voter(honest);
        match message {
            Message::Vote(signed) | Message::PrePrepare(signed, _) => {
                let vote = signed.vote;
                if vote.sequence != PLACE || vote.view > View(1) {
                    return;
                }
                shown.vote(signed);
                // On the fast path commits get lost: everybody's consent decides, or nothing does.
                if self.setting.fast_path && vote.phase == Phase::Commit {
                    return;
                }
            }
            Message::ViewChange(change) if change.view == View(1) => {
                let mut change = (**change).clone();
                if self.setting.sabotage == Sabotage::HideLocks {
                    change.prepared.clear();
                    change.pre_prepared.clear();
                    change = change.sign(self.cluster, &self.keys[voter]);
                }
                shown.want(&change);
                shown.sent |= self.say(voter, &Message::ViewChange(Box::new(change)));
                return;
            }
            Message::NewView(new) if new.view == View(1) => {
                // Shown again by a backup it is the primary's word, which is there.
                if new.signer != self.id(voter) {
                    return;
                }
                let first = new.proposals.first();
                first.into_iter().for_each(|signed| shown.vote(signed));
                shown.opened = Some(first.map(|signed| signed.vote.digest));
            }
            _ => return,
        }
        shown.sent |= self.say(voter, message);
    }
}
