//! Every interleaving of one slot over two views, with the real replica: four voters, the first
//! primary lies in every way that its key allows.
//!
//! States are equal if replicas and messages on their way are. Each state's successors: any message
//! arrives at its receiver, any replica loses its patience, the liar says one of its sentences. What
//! is lost is what is never chosen, so loss and reordering are covered.

#![expect(clippy::unwrap_used, reason = "a model that cannot be built must fail")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use consensus::{
    Batch, ClusterId, Configuration, Digest, Effect, Epoch, HistoryItem, Input, Member, Message,
    NodeId, Now, Params, Phase, PrePrepared, Recovered, Replica, Request, Role, Sequence,
    Signature, SignedVote, Signer as _, Verified, View, ViewChange, Vote,
};
use sim::{Command, Key, Registers};

/// More states than this and the model is too large for a test.
const STATES_MAX: usize = 400_000;
const BEGIN_UNIX_MS: u64 = 1_700_000_000_000;
/// Long enough for anybody to lose patience.
const PATIENCE_US: u64 = 100_000_000;

type Honest = Replica<Registers, Key>;

/// What is said to whom: a number in [`Model::messages`].
type Sentence = (usize, usize);

#[derive(Clone)]
struct State {
    replicas: Vec<Honest>,
    /// Sent and not arrived: receiver, message.
    waiting: BTreeSet<Sentence>,
    /// What the liar may still say.
    lies: BTreeSet<Sentence>,
    impatient: Vec<bool>,
    decided: Vec<Option<Digest>>,
}

struct Model {
    cluster: ClusterId,
    keys: Vec<Key>,
    /// Each message once, with its sender.
    messages: Vec<(NodeId, Message)>,
    numbers: BTreeMap<Vec<u8>, usize>,
    states: usize,
}

fn key_order() -> (Configuration, Vec<Key>) {
    let keys: Vec<_> = (0..4).map(|index| Key::new(7, index)).collect();
    let member = |key: &Key| Member {
        key: key.public(),
        role: Role::Authority,
        address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4853),
    };
    let members = keys.iter().map(member).collect();
    let genesis = Configuration::new(Epoch(0), members, 100, 1).unwrap();
    let mut keys = keys;
    keys.sort_by_key(|key| genesis.leaders().iter().position(|id| *id == key.id()));
    (genesis, keys)
}

impl Model {
    /// The beginning: the liar has proposed batch `proposals[i]` (0: none) to the i-th honest node, and
    /// will say what else it may. The honest all know of a request that waits.
    fn begin(fast_path: bool, proposals: [usize; 3]) -> (Self, State) {
        let (genesis, keys) = key_order();
        let cluster = genesis.cluster();
        let params = Params {
            batch_requests_max: 4,
            batch_bytes_max: 4096,
            batch_timeout_us: 1_000,
            round_timeout_us: 1_000_000,
            view_change_timeout_us: 2_000_000,
            fast_path,
            clock_skew_max_ms: 10_000,
            snapshot_interval: 1,
        };
        let mut model = Self {
            cluster,
            keys: keys.clone(),
            messages: Vec::new(),
            numbers: BTreeMap::new(),
            states: 0,
        };
        let mut state = State {
            replicas: Vec::new(),
            waiting: BTreeSet::new(),
            lies: BTreeSet::new(),
            impatient: vec![false; 3],
            decided: vec![None; 3],
        };
        for key in &keys[1..] {
            let recovered = Recovered {
                genesis: genesis.clone(),
                snapshot: None,
                history: Vec::new(),
                records: Vec::new(),
            };
            let machine = Registers::new(genesis.clone(), 0);
            let mut effects = Vec::new();
            let replica = Replica::recover(
                now(false),
                params.clone(),
                key.clone(),
                machine,
                recovered,
                &mut effects,
            );
            state.replicas.push(replica.unwrap());
        }
        let request = |value| {
            let command = Command::Write { key: 0, value }.bytes();
            Request::sign(cluster, &keys[0], u32::try_from(value).unwrap(), 1, command)
        };
        for honest in 0..3 {
            let message = Message::Request(request(3));
            model
                .arrive(&mut state, honest, keys[0].id(), message)
                .unwrap();
        }
        state.waiting.clear();
        let batch = |value| Batch {
            time_ms: BEGIN_UNIX_MS,
            requests: vec![request(value)],
        };
        let batches = [batch(1), batch(2)];
        for (honest, proposal) in proposals.iter().enumerate().filter(|(_, p)| **p > 0) {
            let batch = &batches[proposal - 1];
            let vote = model.liar_vote(Phase::PrePrepare, batch);
            let message = Message::PrePrepare(vote, Arc::new(batch.clone()));
            let number = model.number(keys[0].id(), &message);
            state.lies.insert((honest, number));
        }
        let used: BTreeSet<_> = proposals.iter().filter(|proposal| **proposal > 0).collect();
        for proposal in used {
            let commit = model.liar_vote(Phase::Commit, &batches[proposal - 1]);
            let commit = model.number(keys[0].id(), &Message::Vote(commit));
            state.lies.extend((0..3).map(|honest| (honest, commit)));
        }
        for report in [None, Some(0), Some(1)] {
            let change = model.liar_wish(report.map(|index: usize| batches[index].digest()));
            let number = model.number(keys[0].id(), &Message::ViewChange(Box::new(change)));
            state.lies.insert((0, number));
        }
        (model, state)
    }

    fn liar_vote(&self, phase: Phase, batch: &Batch) -> SignedVote {
        let vote = Vote {
            phase,
            epoch: Epoch(0),
            view: View(0),
            sequence: Sequence(1),
            digest: batch.digest(),
        };
        vote.sign(self.cluster, &self.keys[0])
    }

    fn liar_wish(&self, report: Option<Digest>) -> ViewChange {
        let report = report.map(|digest| PrePrepared {
            sequence: Sequence(1),
            view: View(0),
            digest,
        });
        let change = ViewChange {
            epoch: Epoch(0),
            view: View(1),
            stable: Default::default(),
            prepared: Vec::new(),
            pre_prepared: report.into_iter().collect(),
            signer: NodeId(0),
            signature: Signature([0; 64]),
        };
        change.sign(self.cluster, &self.keys[0])
    }

    fn number(&mut self, sender: NodeId, message: &Message) -> usize {
        let mut bytes = sender.0.to_be_bytes().to_vec();
        bytes.extend(message.encode(sender));
        let next = self.messages.len();
        let number = *self.numbers.entry(bytes).or_insert(next);
        if number == next {
            self.messages.push((sender, message.clone()));
        }
        number
    }

    fn arrive(
        &mut self,
        state: &mut State,
        to: usize,
        from: NodeId,
        message: Message,
    ) -> Result<(), String> {
        self.step(state, to, Input::Message(from, Verified::vouch(message)))
    }

    fn step(&mut self, state: &mut State, to: usize, input: Input) -> Result<(), String> {
        let mut effects = Vec::new();
        let now = now(state.impatient[to]);
        state.replicas[to].step(now, input, &mut effects);
        let own = self.keys[to + 1].id();
        for effect in effects {
            match effect {
                Effect::Send(target, message) => self.post(state, own, &[target], &message),
                Effect::Broadcast(message) => {
                    let others: Vec<_> = self
                        .keys
                        .iter()
                        .map(Key::id)
                        .filter(|id| *id != own)
                        .collect();
                    self.post(state, own, &others, &message);
                }
                Effect::Append(HistoryItem::Batch { certificate, .. }) => {
                    let vote = certificate.subject().unwrap();
                    if vote.sequence == Sequence(1) {
                        state.decided[to] = Some(vote.digest);
                    }
                }
                Effect::Evidence(evidence) if evidence.culprit() != self.keys[0].id() => {
                    return Err(format!("evidence against the honest: {evidence:?}"));
                }
                Effect::Halt { .. } => return Err("an honest node halts".to_owned()),
                _ => {}
            }
        }
        let decided: BTreeSet<_> = state.decided.iter().flatten().collect();
        match decided.len() {
            0 | 1 => Ok(()),
            _ => Err(format!("fork: {:?}", state.decided)),
        }
    }

    /// Only what belongs to the slot and the change of view: the rest may be lost.
    fn post(&mut self, state: &mut State, from: NodeId, to: &[NodeId], message: &Message) {
        let is_kept = match message {
            Message::PrePrepare(signed, _) | Message::Vote(signed) => {
                signed.vote.sequence == Sequence(1)
            }
            Message::ViewChange(change) => change.view == View(1),
            Message::NewView(new) => new.view == View(1),
            Message::FetchBatch(_) | Message::BatchData(_) => true,
            _ => false,
        };
        if !is_kept {
            return;
        }
        let number = self.number(from, message);
        for target in to {
            let index = self.keys.iter().position(|key| key.id() == *target);
            if let Some(honest) = index.and_then(|index| index.checked_sub(1)) {
                state.waiting.insert((honest, number));
            }
        }
    }

    /// All states that follow.
    fn successors(&mut self, state: &State) -> Result<Vec<State>, String> {
        let mut all = Vec::new();
        for (is_lie, sentence) in state
            .waiting
            .iter()
            .map(|sentence| (false, *sentence))
            .chain(state.lies.iter().map(|sentence| (true, *sentence)))
        {
            let (to, number) = sentence;
            let (from, message) = self.messages[number].clone();
            let mut next = state.clone();
            if is_lie {
                next.lies.remove(&sentence);
                if matches!(message, Message::ViewChange(_)) {
                    // It says one of them.
                    let is_wish =
                        |number: &usize| matches!(self.messages[*number].1, Message::ViewChange(_));
                    next.lies.retain(|(_, number)| !is_wish(number));
                }
            } else {
                next.waiting.remove(&sentence);
            }
            self.arrive(&mut next, to, from, message)?;
            all.push(next);
        }
        for honest in (0..3).filter(|honest| !state.impatient[*honest]) {
            let mut next = state.clone();
            next.impatient[honest] = true;
            self.step(&mut next, honest, Input::Tick)?;
            all.push(next);
        }
        Ok(all)
    }

    /// Looks at every state that can be reached.
    fn explore(&mut self, begin: State) -> Result<(), String> {
        let (mut seen, mut stack) = (HashSet::new(), vec![begin]);
        while let Some(state) = stack.pop() {
            for next in self.successors(&state)? {
                if seen.insert(name(&next)) {
                    stack.push(next);
                }
            }
            self.states = seen.len();
            if self.states > STATES_MAX {
                return Err(format!("more than {STATES_MAX} states"));
            }
        }
        Ok(())
    }
}

fn now(is_impatient: bool) -> Now {
    let passed = if is_impatient { PATIENCE_US } else { 0 };
    Now {
        monotonic_us: 1_000_000 + passed,
        unix_ms: BEGIN_UNIX_MS,
    }
}

/// A short name of a state: two have one name by chance with probability 2⁻⁶⁴ a pair.
fn name(state: &State) -> u64 {
    struct Hashed(DefaultHasher);
    impl std::fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut hashed = Hashed(DefaultHasher::new());
    let parts = (
        &state.replicas,
        &state.waiting,
        &state.lies,
        &state.impatient,
        &state.decided,
    );
    write!(hashed, "{parts:?}").unwrap();
    hashed.0.finish()
}

fn assert_no_interleaving_forks(fast_path: bool, proposals: [usize; 3]) {
    let (mut model, begin) = Model::begin(fast_path, proposals);
    let result = model.explore(begin);
    println!(
        "{proposals:?}, fast path {fast_path}: {} states",
        model.states
    );
    assert_eq!(result, Ok(()), "{proposals:?}");
}

#[test]
fn one_proposal_to_two() {
    assert_no_interleaving_forks(false, [1, 1, 0]);
}
