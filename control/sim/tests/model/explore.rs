//! First each honest node is explored alone, against all that can be said at all; its states that nobody can
//! tell apart are made one; then all that the three can be together is looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher as _};

use consensus::{Digest, View};

use crate::node::{Event, Node, Shown, TIMES_US, Wrong};
use crate::setting::{Sentences, Setting, Speech};

/// More states than this and the model is too large.
const STATES_MAX: usize = 50_000_000;

/// One honest node while it is explored.
struct Local {
    nodes: Vec<Node>,
    names: HashMap<u64, usize>,
    next: Vec<Vec<(Sentences, usize)>>,
    /// What was tried.
    done: Vec<Done>,
}

/// What was tried in a state of a node.
#[derive(Debug, Default)]
struct Done {
    heard: HashSet<Sentences>,
    /// Of which something came: then what is more than that is that and more later.
    effective: Vec<Sentences>,
    others: Vec<Event>,
}

impl Done {
    fn covers(&self, event: &Event, needs: Sentences) -> bool {
        match event {
            Event::Heard(_) => {
                let within = |known: &Sentences| needs & known == *known;
                self.heard.contains(&needs) || self.effective.iter().any(within)
            }
            other => self.others.contains(other),
        }
    }

    fn note(&mut self, event: &Event, needs: Sentences, is_effective: bool) {
        match event {
            Event::Heard(_) => {
                self.heard.insert(needs);
                self.effective.extend(is_effective.then_some(needs));
            }
            other => self.others.push(other.clone()),
        }
    }
}

/// All that one honest node can be.
struct Machine {
    /// What is seen of it.
    shown: Vec<Shown>,
    /// What it is after each event, if that is something else, and what must have been said before.
    next: Vec<Vec<(Sentences, usize)>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// States of each node alone, of all three nodes.
    pub(crate) alone: usize,
    /// Those that others can tell apart.
    pub(crate) merged: usize,
    /// States of the three together.
    pub(crate) states: usize,
    /// In which view what was decided.
    pub(crate) decided: BTreeSet<(u64, &'static str)>,
    /// What an honest primary began view 1 with.
    pub(crate) opened: BTreeSet<&'static str>,
    pub(crate) wrong: BTreeSet<Wrong>,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (alone, merged, states) = (self.alone, self.merged, self.states);
        write!(
            out,
            "{alone} states of nodes alone, {merged} that others can tell apart, "
        )?;
        write!(out, "{states} together; wrong: {:?}", self.wrong)
    }
}

/// A short name of a node: two have one name by chance with probability 2⁻⁶⁴ a pair. Which wishes prove a
/// NEW-VIEW, and which votes a decision, makes no difference to who has believed it.
fn name(node: &Node) -> u64 {
    let text = format!("{node:?}");
    let text = without(&text, "view_changes: [", "", "], proposals: ");
    let text = without(&text, "], signer: ", "", " }");
    let text = without(&text, "CommitCertificate { votes: [", ", signer: ", "] }");
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Wherever it says `begin`, leaves out what stands from `from` to `end`.
fn without(text: &str, begin: &str, from: &str, end: &str) -> String {
    let mut parts = text.split(begin);
    let mut kept = parts.next().unwrap().to_owned();
    for part in parts {
        let (before, rest) = part.split_once(from).unwrap();
        kept += before;
        kept += rest.split_once(end).unwrap().1;
    }
    kept
}

/// Everything that can be in this setting; or, if anything is looked for, what is seen until all of that is.
pub(crate) fn look(setting: Setting, until: &BTreeSet<Wrong>) -> Seen {
    let mut speech = Speech::new(setting);
    let locals = close_all(&mut speech);
    let mut seen = Seen {
        alone: locals.iter().map(|local| local.nodes.len()).sum(),
        ..Seen::default()
    };
    let machines = locals.map(Machine::of);
    seen.merged = machines.iter().map(|machine| machine.shown.len()).sum();
    explore(&speech, &machines, until, &mut seen);
    seen
}

/// All that each honest node can be, whatever it is told of what can be said at all.
fn close_all(speech: &mut Speech) -> [Local; 3] {
    let mut locals = [0, 1, 2].map(|honest| Local::new(speech.first(honest)));
    loop {
        speech.invent();
        let before = speech.sentences.len();
        for (honest, local) in locals.iter_mut().enumerate() {
            local.close(honest, speech);
        }
        speech.invent();
        if speech.sentences.len() == before {
            break locals;
        }
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
        let key = name(&node);
        let next = self.nodes.len();
        let number = *self.names.entry(key).or_insert(next);
        if number == next {
            self.nodes.push(node);
            self.next.push(Vec::new());
            self.done.push(Done::default());
        }
        number
    }

    /// Tries all events that are new in all states.
    fn close(&mut self, honest: usize, speech: &mut Speech) {
        let mut place = 0;
        while place < self.nodes.len() {
            for (needs, event) in self.events(place, &speech.bundles(speech.voter(honest))) {
                if self.done[place].covers(&event, needs) {
                    continue;
                }
                let after = speech.react(honest, &self.nodes[place], &event);
                self.done[place].note(&event, needs, !after.is_empty());
                for after in after {
                    let number = self.number(after);
                    self.next[place].push((needs, number));
                }
            }
            place += 1;
        }
    }

    fn events(&self, place: usize, bundles: &[Vec<usize>]) -> Vec<(Sentences, Event)> {
        let node = &self.nodes[place];
        let told = bundles.iter().map(|bundle| {
            let needs = bundle.iter().fold(0, |all, number| all | 1 << number);
            (needs, Event::Heard(bundle.clone()))
        });
        let waits = node.time + 1 < TIMES_US.len();
        let waits = waits.then_some((0, Event::Waited));
        let crashes = node.disk.is_some().then_some((0, Event::Crashed));
        told.chain(waits).chain(crashes).collect()
    }
}

impl Machine {
    fn of(local: Local) -> Self {
        let shown = local.nodes.into_iter().map(|node| node.shown).collect();
        let next = local.next;
        Self { shown, next }.merged()
    }

    /// States that show the same and go on alike, whatever comes, are one (Moore 1956). The first stays
    /// the first.
    fn merged(&self) -> Self {
        let mut classes = numbered(self.shown.iter());
        loop {
            let signatures = self.next.iter().zip(&classes).map(|(next, class)| {
                let after = next.iter().map(|(needs, after)| (*needs, classes[*after]));
                (
                    *class,
                    after
                        .filter(|(_, after)| after != class)
                        .collect::<BTreeSet<_>>(),
                )
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

/// Looks at every state of all three that can be reached.
fn explore(speech: &Speech, machines: &[Machine; 3], until: &BTreeSet<Wrong>, seen: &mut Seen) {
    let begin = [0_u32; 3];
    let mut known: HashSet<[u32; 3]> = HashSet::from([begin]);
    let mut stack = vec![begin];
    let mut sayable: HashMap<Sentences, Sentences> = HashMap::new();
    while let Some(state) = stack.pop() {
        let shown = [0, 1, 2].map(|honest| &machines[honest].shown[state[honest] as usize]);
        judge(speech, shown, seen);
        if !until.is_empty() && seen.wrong.is_superset(until) {
            break;
        }
        let said = shown.iter().fold(0, |all, shown| all | shown.sent);
        let sayable = *sayable
            .entry(said)
            .or_insert_with(|| with_lies(speech, said));
        for honest in 0..3 {
            for (needs, after) in &machines[honest].next[state[honest] as usize] {
                if sayable & needs == *needs {
                    let mut next = state;
                    next[honest] = u32::try_from(*after).unwrap();
                    if known.insert(next) {
                        stack.push(next);
                    }
                }
            }
        }
        assert!(known.len() < STATES_MAX, "too many states: {seen:?}");
    }
    seen.states = known.len();
}

/// What was said, and what the liar may say then.
fn with_lies(speech: &Speech, said: Sentences) -> Sentences {
    let mut all = said;
    for (number, sentence) in speech.sentences.iter().enumerate() {
        let needs = sentence.needs.iter().flatten();
        let is_open = needs.clone().any(|needs| said & needs == *needs);
        all |= u128::from(is_open) << number;
    }
    all
}

/// Whether what is decided is one, and what the second view begins with.
fn judge(speech: &Speech, shown: [&Shown; 3], seen: &mut Seen) {
    let decided: BTreeSet<(View, Digest)> = shown
        .iter()
        .flat_map(|shown| &shown.decided)
        .copied()
        .collect();
    let opened = shown.iter().find_map(|shown| shown.opened);
    let label = |(view, digest): &(View, Digest)| (view.0, speech.label(*digest));
    seen.decided.extend(decided.iter().map(label));
    seen.opened
        .extend(opened.map(|first| first.map_or("nothing", |first| speech.label(first))));
    seen.wrong
        .extend(shown.iter().flat_map(|shown| &shown.wrong));
    if decided
        .iter()
        .any(|(_, digest)| Some(*digest) != decided.first().map(|(_, first)| *first))
    {
        seen.wrong.insert(Wrong::Fork);
    }
    let is_overruled = |(view, digest): &(View, Digest)| {
        *view == View(0) && opened.is_some_and(|first| first != Some(*digest))
    };
    if decided.iter().any(is_overruled) {
        seen.wrong.insert(Wrong::Overruled);
    }
}
