//! Every interleaving of one slot in one view and of the change to the next, with the real replica:
//! four voters, whose first primary lies. What anybody commits in the first view, however late, must be
//! what the second begins with; nobody may have evidence against the honest or halt.
//!
//! A message that was sent may arrive at any time, any number of times, or never; the liar's from the
//! beginning. First each node is explored alone; its states that nobody can tell apart, now or later, are
//! made one; then all that the three can be together is looked at.

#![expect(clippy::unwrap_used, reason = "a model that cannot be built must fail")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr};

use consensus::{
    Batch, ClusterId, Configuration, Digest, Effect, Epoch, HistoryItem, Input, Member, Message,
    NodeId, Now, Params, Phase, PrePrepared, Recovered, Replica, Request, Role, Sequence,
    Signature, SignedVote, Signer as _, Verified, View, ViewChange, Vote,
};
use sim::{Command, Key, Registers};

/// More states than this and the model is too large for a test.
const STATES_MAX: usize = 3_000_000;
const BEGIN_UNIX_MS: u64 = 1_700_000_000_000;
const ROUND_US: u64 = 1_000_000;
/// Time at a node: the beginning, when it waits for the fast path no longer, when it gives the primary up.
const TIMES_US: [u64; 3] = [1_000_000, 1_900_000, 101_000_000];

type Honest = Replica<Registers, Key>;

/// A set of sentences: which message to whom.
type Sentences = u128;

/// What a node is, and what it has done.
struct Node {
    replica: Honest,
    time: usize,
    shown: Shown,
    /// The wishes that have arrived.
    heard: Sentences,
}

/// What others and the judge see of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Shown {
    sent: Sentences,
    decided: Option<Digest>,
    /// What its NEW-VIEW begins with at the slot.
    opened: Option<Digest>,
    error: Option<String>,
}

/// One honest node while it is explored.
struct Local {
    nodes: Vec<Node>,
    names: HashMap<u64, usize>,
    next: Vec<Vec<(Sentences, usize)>>,
    /// Inputs that were tried; the last bit is time.
    done: Vec<Sentences>,
}

/// All that one honest node can be.
struct Machine {
    /// What is seen of it.
    shown: Vec<Shown>,
    /// What it is after each input, if that is something else: sentences for it, and time at last.
    next: Vec<Vec<(Sentences, usize)>>,
}

/// What the model is about.
#[derive(Clone, Copy)]
struct Setting {
    fast_path: bool,
    /// Which batches the liar may propose to which honest node.
    proposals: [&'static [u64]; 3],
    /// Which batches it commits to.
    commits: &'static [u64],
    /// What it may say in its wish for the second view that it has accepted; 0 is nothing.
    reports: &'static [u64],
}

struct Model {
    cluster: ClusterId,
    keys: Vec<Key>,
    setting: Setting,
    /// Each sentence once: to whom, from whom, what.
    sentences: Vec<(usize, NodeId, Message)>,
    sentence_names: BTreeMap<(usize, Vec<u8>), usize>,
    /// For a wish those that its sender never says, too.
    rivals: BTreeMap<usize, Sentences>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    states: usize,
    decided: BTreeSet<Digest>,
    opened: BTreeSet<Digest>,
}

fn now(time: usize) -> Now {
    Now {
        monotonic_us: TIMES_US[time],
        unix_ms: BEGIN_UNIX_MS,
    }
}

/// A short name of a value: two have one name by chance with probability 2⁻⁶⁴ a pair.
fn name(value: &impl std::fmt::Debug) -> u64 {
    struct Hashed(DefaultHasher);
    impl std::fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut hashed = Hashed(DefaultHasher::new());
    write!(hashed, "{value:?}").unwrap();
    hashed.0.finish()
}

/// The four keys in the order in which they lead: the first is the liar's.
fn members() -> (Configuration, Vec<Key>) {
    let mut keys: Vec<_> = (0..4).map(|index| Key::new(7, index)).collect();
    let member = |key: &Key| Member {
        key: key.public(),
        role: Role::Authority,
        address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4853),
    };
    let all = keys.iter().map(member).collect();
    let genesis = Configuration::new(Epoch(0), all, 100, 1).unwrap();
    keys.sort_by_key(|key| genesis.leaders().iter().position(|id| *id == key.id()));
    (genesis, keys)
}

impl Model {
    fn begin(setting: Setting) -> (Self, [Node; 3], Sentences) {
        let (genesis, keys) = members();
        let mut model = Self {
            cluster: genesis.cluster(),
            keys,
            setting,
            sentences: Vec::new(),
            sentence_names: BTreeMap::new(),
            rivals: BTreeMap::new(),
        };
        let waits = model.request(3);
        let first = [0, 1, 2].map(|honest| {
            let mut replica = model.replica(honest, &genesis);
            let message = Verified::vouch(Message::Request(waits.clone()));
            let from = model.keys[0].id();
            replica.step(now(0), Input::Message(from, message), &mut Vec::new());
            let shown = Shown::default();
            Node {
                replica,
                time: 0,
                shown,
                heard: 0,
            }
        });
        let lies = model.lies();
        (model, first, lies)
    }

    fn replica(&self, honest: usize, genesis: &Configuration) -> Honest {
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
            genesis: genesis.clone(),
            snapshot: None,
            history: Vec::new(),
            records: Vec::new(),
        };
        let machine = Registers::new(genesis.clone(), 0);
        let key = self.keys[honest + 1].clone();
        Replica::recover(now(0), params, key, machine, recovered, &mut Vec::new()).unwrap()
    }

    fn request(&self, value: u64) -> Request {
        let command = Command::Write { key: 0, value }.bytes();
        let lane = u32::try_from(value).unwrap();
        Request::sign(self.cluster, &self.keys[0], lane, 1, command)
    }

    fn batch(&self, which: u64) -> Batch {
        Batch {
            time_ms: BEGIN_UNIX_MS,
            requests: vec![self.request(which)],
        }
    }

    /// All that the liar may say.
    fn lies(&mut self) -> Sentences {
        let (mut lies, setting) = (0, self.setting);
        for (honest, batches) in setting.proposals.into_iter().enumerate() {
            for which in batches {
                let batch = self.batch(*which);
                let vote = self.vote(0, Phase::PrePrepare, batch.digest());
                lies |= self.lie(honest, &Message::PrePrepare(vote, batch.into()));
            }
        }
        for which in setting.commits {
            let commit = self.vote(0, Phase::Commit, self.batch(*which).digest());
            for honest in 0..3 {
                lies |= self.lie(honest, &Message::Vote(commit));
            }
        }
        for which in setting.reports {
            let report = Some(*which).filter(|which| *which > 0);
            let report = report.map(|which| self.batch(which).digest());
            lies |= self.wish(report);
        }
        lies
    }

    /// The liar's wish for the second view, and what it says of the slot.
    fn wish(&mut self, accepted: Option<Digest>) -> Sentences {
        let accepted = accepted.map(|digest| PrePrepared {
            sequence: Sequence(1),
            view: View(0),
            digest,
        });
        let change = ViewChange {
            epoch: Epoch(0),
            view: View(1),
            stable: Default::default(),
            prepared: Vec::new(),
            pre_prepared: accepted.into_iter().collect(),
            signer: NodeId(0),
            signature: Signature([0; 64]),
        };
        let change = change.sign(self.cluster, &self.keys[0]);
        self.lie(0, &Message::ViewChange(Box::new(change)))
    }

    fn vote(&self, node: usize, phase: Phase, digest: Digest) -> SignedVote {
        let vote = Vote {
            phase,
            epoch: Epoch(0),
            view: View(0),
            sequence: Sequence(1),
            digest,
        };
        vote.sign(self.cluster, &self.keys[node])
    }

    fn lie(&mut self, to: usize, message: &Message) -> Sentences {
        self.sentence(to, self.keys[0].id(), message)
    }

    fn sentence(&mut self, to: usize, from: NodeId, message: &Message) -> Sentences {
        let next = self.sentences.len();
        let bytes = message.encode(from);
        let number = *self.sentence_names.entry((to, bytes)).or_insert(next);
        if number == next {
            self.sentences.push((to, from, message.clone()));
        }
        assert!(number < 127, "too many sentences");
        1 << number
    }

    /// What a node is after a sentence, or when time has passed.
    fn react(&mut self, honest: usize, node: &Node, sentence: Option<usize>) -> Node {
        let time = match (sentence, self.setting.fast_path) {
            (Some(_), _) => node.time,
            (None, true) => node.time + 1,
            // There is no fast path to wait for.
            (None, false) => TIMES_US.len() - 1,
        };
        let mut after = Node {
            replica: node.replica.clone(),
            time,
            shown: node.shown.clone(),
            heard: node.heard,
        };
        let input = sentence.map_or(Input::Tick, |sentence| {
            let (_, from, message) = &self.sentences[sentence];
            if matches!(message, Message::ViewChange(_)) {
                after.heard |= 1 << sentence;
            }
            Input::Message(*from, Verified::vouch(message.clone()))
        });
        let mut effects = Vec::new();
        after.replica.step(now(time), input, &mut effects);
        for effect in effects {
            self.perform(honest, &mut after.shown, effect);
        }
        after
    }

    fn perform(&mut self, honest: usize, shown: &mut Shown, effect: Effect) {
        let own = self.keys[honest + 1].id();
        match effect {
            Effect::Send(target, message) => {
                let to = self.keys.iter().position(|key| key.id() == target);
                if let Some(to) = to.and_then(|node| node.checked_sub(1)) {
                    self.post(to, own, &message, shown);
                }
            }
            Effect::Broadcast(message) => {
                for to in (0..3).filter(|to| *to != honest) {
                    self.post(to, own, &message, shown);
                }
            }
            Effect::Append(HistoryItem::Batch { certificate, .. }) => {
                let vote = certificate.subject().unwrap();
                if vote.sequence == Sequence(1) {
                    shown.decided = Some(vote.digest);
                }
            }
            Effect::Evidence(evidence) if evidence.culprit() != self.keys[0].id() => {
                shown.error = Some(format!("evidence against the honest: {evidence:?}"));
            }
            Effect::Halt { .. } => shown.error = Some("an honest node halts".to_owned()),
            _ => {}
        }
    }

    /// Only what belongs to the slot and to the change of view: the rest may be lost.
    fn post(&mut self, to: usize, from: NodeId, message: &Message, shown: &mut Shown) {
        let is_kept = match message {
            Message::Vote(signed) => {
                let vote = signed.vote;
                // On the fast path commits get lost: everybody's consent decides, or nothing does.
                let counts = !self.setting.fast_path || vote.phase == Phase::Prepare;
                counts && vote.sequence == Sequence(1) && vote.view == View(0)
            }
            // Wishes go to who must open the view; others lose their patience by themselves.
            Message::ViewChange(change) => change.view == View(1) && to == 0,
            Message::NewView(new) => {
                let first = new.proposals.first().map(|signed| signed.vote.digest);
                shown.opened = first.or(Some(Batch::null().digest()));
                false
            }
            _ => false,
        };
        if is_kept {
            shown.sent |= self.sentence(to, from, message);
        }
    }

    /// All that each honest node can be, whatever it is told of what can be said at all.
    fn machines(&mut self, first: [Node; 3]) -> [Machine; 3] {
        let mut locals = first.map(Local::new);
        // Wishes change nothing that is said in the first view: they come when all else is known.
        for with_wishes in [false, true] {
            loop {
                let before = self.sentences.len();
                for (honest, local) in locals.iter_mut().enumerate() {
                    self.close(honest, local, with_wishes);
                }
                self.find_rivals(&locals);
                if self.sentences.len() == before {
                    break;
                }
            }
        }
        locals.map(|local| {
            let shown = local.nodes.into_iter().map(|node| node.shown);
            let (shown, next) = (shown.collect(), local.next);
            Machine { shown, next }.merged()
        })
    }

    fn close(&mut self, honest: usize, local: &mut Local, with_wishes: bool) {
        let mut place = 0;
        while place < local.nodes.len() {
            let mut inputs: Vec<_> = (0..self.sentences.len())
                .filter(|sentence| {
                    let (to, _, message) = &self.sentences[*sentence];
                    let is_wish = matches!(message, Message::ViewChange(_));
                    *to == honest && (with_wishes || !is_wish)
                })
                .map(Some)
                .collect();
            if local.nodes[place].time + 1 < TIMES_US.len() {
                inputs.push(None);
            }
            for input in inputs {
                let bit = 1 << input.unwrap_or(127);
                if local.done[place] & bit != 0 || self.is_rival(&local.nodes[place], input) {
                    continue;
                }
                local.done[place] |= bit;
                let after = self.react(honest, &local.nodes[place], input);
                let number = local.number(after);
                local.next[place].push((input.map_or(0, |_| bit), number));
            }
            place += 1;
        }
    }

    /// Whether the node has heard what is never said beside this, or has no use for it any more: a wish
    /// for a view that it has begun.
    fn is_rival(&self, node: &Node, input: Option<usize>) -> bool {
        let Some(input) = input else {
            return false;
        };
        let is_wish = matches!(self.sentences[input].2, Message::ViewChange(_));
        let rivals = self.rivals.get(&input).copied().unwrap_or_default();
        rivals & node.heard != 0 || is_wish && node.shown.opened.is_some()
    }

    /// Wishes of an honest node of which it says one at most.
    fn find_rivals(&mut self, locals: &[Local; 3]) {
        let wishes = self
            .sentences
            .iter()
            .enumerate()
            .filter(|(_, (_, from, message))| {
                matches!(message, Message::ViewChange(_)) && *from != self.keys[0].id()
            });
        let wishes: Vec<_> = wishes
            .map(|(number, (_, from, _))| (number, *from))
            .collect();
        self.rivals.clear();
        for (one, from) in &wishes {
            for (other, _) in wishes
                .iter()
                .filter(|(other, by)| other != one && by == from)
            {
                let both = 1 << one | 1 << other;
                let nodes = locals.iter().flat_map(|local| &local.nodes);
                if !nodes.clone().any(|node| node.shown.sent & both == both) {
                    *self.rivals.entry(*one).or_default() |= 1 << other;
                }
            }
        }
    }

    /// Looks at every state of all three that can be reached.
    fn explore(machines: &[Machine; 3], lies: Sentences) -> Result<Seen, String> {
        let begin = [0; 3];
        let (mut known, mut stack) = (HashSet::from([begin]), vec![begin]);
        let mut seen = Seen::default();
        while let Some(state) = stack.pop() {
            let shown = [0, 1, 2].map(|honest| &machines[honest].shown[state[honest]]);
            judge(shown, &mut seen)?;
            let sent = shown.iter().fold(lies, |all, shown| all | shown.sent);
            for honest in 0..3 {
                for (needs, after) in &machines[honest].next[state[honest]] {
                    let mut next = state;
                    next[honest] = *after;
                    if sent & needs == *needs && known.insert(next) {
                        stack.push(next);
                    }
                }
            }
            if known.len() > STATES_MAX {
                return Err(format!("more than {STATES_MAX} states"));
            }
        }
        seen.states = known.len();
        Ok(seen)
    }
}

impl Local {
    fn new(first: Node) -> Self {
        let mut made = Self {
            nodes: Vec::new(),
            names: HashMap::new(),
            next: Vec::new(),
            done: Vec::new(),
        };
        made.number(first);
        made
    }

    fn number(&mut self, node: Node) -> usize {
        let key = name(&(&node.replica, node.time, &node.shown, node.heard));
        let next = self.nodes.len();
        let number = *self.names.entry(key).or_insert(next);
        if number == next {
            self.nodes.push(node);
            self.next.push(Vec::new());
            self.done.push(0);
        }
        number
    }
}

impl Machine {
    /// States that show the same and go on alike, whatever comes, are one (Moore 1956). The first stays
    /// the first.
    fn merged(&self) -> Self {
        let mut classes = numbered(self.shown.iter());
        loop {
            let signatures = self.next.iter().zip(&classes).map(|(next, class)| {
                let after = next.iter().map(|(needs, after)| (*needs, classes[*after]));
                (*class, after.collect::<BTreeSet<_>>())
            });
            let signatures: Vec<_> = signatures.collect();
            let finer = numbered(signatures.iter());
            if finer == classes {
                break;
            }
            classes = finer;
        }
        let count = classes.iter().max().map_or(0, |last| last + 1);
        let (mut shown, mut next) = (Vec::new(), vec![Vec::new(); count]);
        for (place, class) in classes.iter().enumerate() {
            if *class == shown.len() {
                shown.push(self.shown[place].clone());
                let after = self.next[place].iter();
                let after = after.map(|(needs, after)| (*needs, classes[*after]));
                let after: BTreeSet<_> = after.filter(|(_, after)| after != class).collect();
                next[*class] = after.into_iter().collect();
            }
        }
        Self { shown, next }
    }
}

/// For each value the number of the first one that is equal, counted without gaps.
fn numbered<T: Ord>(values: impl Iterator<Item = T>) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let number = |value| {
        let next = numbers.len();
        *numbers.entry(value).or_insert(next)
    };
    values.map(number).collect()
}

/// Whether what is decided is one, and what the second view begins with.
fn judge(shown: [&Shown; 3], seen: &mut Seen) -> Result<(), String> {
    if let Some(error) = shown.iter().find_map(|shown| shown.error.clone()) {
        return Err(error);
    }
    let decided: BTreeSet<_> = shown.iter().filter_map(|shown| shown.decided).collect();
    let opened = shown[0].opened;
    let all: BTreeSet<_> = decided.iter().copied().chain(opened).collect();
    seen.opened.extend(opened);
    seen.decided.extend(decided.iter().copied());
    if !decided.is_empty() && all.len() > 1 {
        let decided = shown.map(|shown| shown.decided);
        return Err(format!(
            "fork: {decided:?}, the next view begins with {opened:?}"
        ));
    }
    Ok(())
}

/// All states hold, and each of these batches, and no other, was decided and begun with; 0 is the null
/// batch.
fn assert_holds(setting: Setting, decided: &[u64], opened: &[u64]) {
    let (mut model, first, lies) = Model::begin(setting);
    let machines = model.machines(first);
    let seen = Model::explore(&machines, lies);
    let digest = |which: &u64| match which {
        0 => Batch::null().digest(),
        which => model.batch(*which).digest(),
    };
    let seen = seen.unwrap();
    assert!(seen.states > 1000, "{seen:?}");
    assert_eq!(seen.decided, decided.iter().map(digest).collect());
    assert_eq!(seen.opened, opened.iter().map(digest).collect());
}

#[test]
fn slow_path_with_a_voter_left_out_forks_nothing() {
    let setting = Setting {
        fast_path: false,
        proposals: [&[1], &[1], &[]],
        commits: &[1],
        reports: &[0],
    };
    assert_holds(setting, &[1], &[0, 1]);
}

#[test]
fn slow_path_with_an_equivocation_forks_nothing() {
    let setting = Setting {
        fast_path: false,
        proposals: [&[1], &[1], &[2]],
        commits: &[1],
        reports: &[2],
    };
    assert_holds(setting, &[1], &[0, 1, 2]);
}

#[test]
fn fast_path_whose_consent_is_hidden_forks_nothing() {
    let setting = Setting {
        fast_path: true,
        proposals: [&[1], &[1], &[1]],
        commits: &[],
        reports: &[0],
    };
    assert_holds(setting, &[1], &[0, 1]);
}
