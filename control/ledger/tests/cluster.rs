//! Ledgers under the real replicas of consensus, on a bus without faults: what the state decides becomes the configuration.

#![expect(clippy::unwrap_used, reason = "a test fails then")]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use common::*;
use consensus::{
    Configuration, Effect, HistoryItem, Input, Member, Message, NodeId, Now, Params, PublicKey,
    Recovered, Replica, Request, Role, Sequence, StateMachine, Verified, Wire,
};
use ledger::{
    Applications, Change, Command, Commands, CreateMode, Ledger, Outcome, Outcomes, Parameters,
    Reason,
};

/// Short, so that epochs change soon.
const INTERVAL: u32 = 4;
const ISOLATION_MS: u64 = 3000;

struct Node {
    replica: Replica<Ledger, Key>,
    history: Vec<HistoryItem>,
    replies: BTreeMap<u64, Arc<[u8]>>,
}

struct Bus {
    genesis: Configuration,
    now: Now,
    nodes: BTreeMap<NodeId, Node>,
    queue: VecDeque<(NodeId, NodeId, Arc<Message>)>,
}

impl Bus {
    fn of(voters: u8) -> Self {
        Self::with((1..=voters).map(|number| member(number, Role::Authority)))
    }

    fn with(members: impl Iterator<Item = Member>) -> Self {
        let genesis =
            Configuration::new(consensus::Epoch(0), members.collect(), INTERVAL, 3).unwrap();
        let now = Now {
            monotonic_us: 1_000_000,
            unix_ms: START_MS,
        };
        let mut bus = Self {
            genesis: genesis.clone(),
            now,
            nodes: BTreeMap::new(),
            queue: VecDeque::new(),
        };
        genesis.ids().for_each(|id| bus.start(id));
        bus
    }

    fn start(&mut self, id: NodeId) {
        let parameters = Parameters {
            isolation_ms: ISOLATION_MS,
            ..Parameters::default()
        };
        let ledger = Ledger::new(&self.genesis, parameters, Applications::default());
        let recovered = Recovered {
            genesis: self.genesis.clone(),
            snapshot: None,
            history: Vec::new(),
            records: Vec::new(),
        };
        let (params, mut out) = (Params::default(), Vec::new());
        let replica = Replica::recover(self.now, params, Key(id), ledger, recovered, &mut out);
        let node = Node {
            replica: replica.ok().unwrap(),
            history: Vec::new(),
            replies: BTreeMap::new(),
        };
        self.nodes.insert(id, node);
        self.perform(id, out);
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let mut out = Vec::new();
        let node = self.nodes.get_mut(&id).unwrap();
        node.replica.step(self.now, input, &mut out);
        self.perform(id, out);
    }

    fn perform(&mut self, id: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            let node = self.nodes.get_mut(&id).unwrap();
            let configuration = node.replica.configuration();
            match effect {
                Effect::Send(to, message) => self.queue.push_back((id, to, message)),
                Effect::Broadcast(message) => {
                    for to in configuration.voters().filter(|to| *to != id) {
                        self.queue.push_back((id, to, Arc::clone(&message)));
                    }
                }
                Effect::Announce(message) => {
                    let followers = configuration
                        .ids()
                        .filter(|to| !configuration.is_voter(*to));
                    for to in followers {
                        self.queue.push_back((id, to, Arc::clone(&message)));
                    }
                }
                Effect::Append(item) => node.history.push(item),
                Effect::Executed { id, reply, .. } => {
                    node.replies.insert(id.timestamp, reply);
                }
                Effect::ServeLog { to, after, .. } => {
                    let follows = |item: &&HistoryItem| match item {
                        HistoryItem::Batch { .. } => item.sequence() > after,
                        HistoryItem::Checkpoint(..) => item.sequence() >= after,
                    };
                    let items = node.history.iter().filter(follows).take(10).cloned();
                    let log = Arc::new(Message::Log(items.collect()));
                    self.queue.push_back((id, to, log));
                }
                Effect::Halt { .. } => panic!("{effect:?}"),
                _ => {}
            }
        }
    }

    /// Whether a node's configuration lets another's traffic through.
    fn hears(&self, id: NodeId, other: NodeId) -> bool {
        let configuration = self.nodes[&id].replica.configuration();
        configuration.member(other).is_some() && !configuration.is_isolated(other)
    }

    fn run(&mut self, duration_ms: u64) {
        for _ in 0..duration_ms {
            while let Some((from, to, message)) = self.queue.pop_front() {
                // Who is shut out, or not yet in, listens to all.
                let is_open = self.nodes.contains_key(&to)
                    && self.hears(from, to)
                    && (self.hears(to, from) || !self.hears(to, to));
                if is_open {
                    let message = Verified::vouch((*message).clone());
                    self.step(to, Input::Message(from, message));
                }
            }
            self.now.monotonic_us += 1000;
            self.now.unix_ms += 1;
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            for id in ids {
                let due = self.nodes[&id].replica.deadline_us();
                if due.is_some_and(|due| due <= self.now.monotonic_us) {
                    self.step(id, Input::Tick);
                }
            }
        }
    }

    fn sign(&self, id: NodeId, command: Command) -> Request {
        let bytes = Commands(vec![command]).to_bytes().into();
        let (cluster, timestamp) = (self.genesis.cluster(), self.now.monotonic_us);
        Request::sign(cluster, &Key(id), 0, timestamp, bytes)
    }

    /// Has a command executed and gives its outcome.
    fn ask(&mut self, id: NodeId, command: Command) -> Outcome {
        let request = self.sign(id, command);
        self.give(id, request)
    }

    /// Has a request executed that was signed before.
    fn give(&mut self, id: NodeId, request: Request) -> Outcome {
        let timestamp = request.id.timestamp;
        self.step(id, Input::Request(Verified::vouch(request)));
        for _ in 0..5000 {
            self.run(1);
            if let Some(reply) = self.nodes[&id].replies.get(&timestamp) {
                let mut outcomes = Outcomes::from_bytes(reply).unwrap().0;
                assert_eq!(outcomes.len(), 1);
                return outcomes.remove(0);
            }
        }
        panic!("not executed: {:?}", self.nodes[&id].replica.summary());
    }

    /// Has a change made that these nodes ask for, one after the other, and the epoch begun that it brings.
    fn change(&mut self, ids: &[NodeId], change: &Change) {
        let before = self.configuration(ids[0]).epoch();
        let outcomes = ids.iter();
        let outcomes = outcomes.map(|id| self.ask(*id, Command::Propose(change.clone())));
        assert_eq!(outcomes.last(), Some(Outcome::Done), "{change:?}");
        self.run(1000);
        assert!(self.configuration(ids[0]).epoch() > before);
    }

    fn serial(&self, id: NodeId) -> u32 {
        let ledger = self.nodes[&id].replica.machine();
        ledger.zone(APEX).unwrap().serial()
    }

    fn configuration(&self, id: NodeId) -> &Configuration {
        self.nodes[&id].replica.configuration()
    }

    fn assert_same(&self) {
        let mut states = self
            .nodes
            .values()
            .map(|node| node.replica.machine().snapshot());
        let first = states.next().unwrap();
        assert!(states.all(|state| state == first));
        let mut executed = self
            .nodes
            .values()
            .map(|node| node.replica.summary().executed);
        assert!(executed.all(|sequence| sequence > Sequence(0)));
    }
}

#[test]
fn zones_change_alike_everywhere_whoever_asks() {
    let mut bus = Bus::of(4);
    let ids: Vec<_> = bus.genesis.ids().collect();
    bus.ask(ids[0], create(plain(), CreateMode::New));
    for number in 0..10_u8 {
        let node = ids[usize::from(number) % 4];
        let serial = 8 + u32::from(number);
        let outcome = bus.ask(node, add("new", number));
        assert_eq!(outcome, Outcome::Zone { rcode: 0, serial });
    }
    bus.run(500);
    bus.assert_same();
}

#[test]
fn node_that_contradicts_itself_is_shut_out_by_a_new_epoch_and_comes_back_when_its_time_is_over() {
    let mut bus = Bus::of(4);
    let ids: Vec<_> = bus.genesis.ids().collect();
    bus.ask(ids[0], create(plain(), CreateMode::New));
    // The leader of the first view itself.
    let (culprit, honest) = (ids[0], ids[1]);
    let proof = evidence(&bus.genesis, culprit, 1000);
    assert_eq!(
        bus.ask(honest, Command::Evidence(Box::new(proof))),
        Outcome::Done
    );
    for number in 0..8 {
        bus.ask(honest, add("during", number));
    }
    assert_eq!(bus.configuration(honest).isolated(), [culprit]);
    assert_eq!(bus.configuration(honest).leaders(), &ids[1..]);

    bus.run(ISOLATION_MS);
    for number in 0..8 {
        bus.ask(honest, add("after", number));
    }
    assert!(bus.configuration(honest).isolated().is_empty());
    bus.run(2000);
    assert_eq!(bus.configuration(culprit), bus.configuration(honest));
    let serial = bus.nodes[&honest]
        .replica
        .machine()
        .zone(APEX)
        .unwrap()
        .serial();
    let serial = serial + 1;
    assert_eq!(
        bus.ask(culprit, add("back", 1)),
        Outcome::Zone { rcode: 0, serial }
    );
    bus.run(500);
    bus.assert_same();
}

#[test]
fn member_that_more_nodes_ask_for_than_may_be_faulty_follows_from_the_next_epoch_on() {
    let mut bus = Bus::of(4);
    let ids: Vec<_> = bus.genesis.ids().collect();
    let edge = member(9, Role::Edge);
    let change = Command::Propose(Change::Add(edge.clone()));
    bus.ask(ids[0], create(plain(), CreateMode::New));
    assert!(matches!(
        bus.ask(ids[0], change.clone()),
        Outcome::Pending { .. }
    ));
    assert_eq!(bus.ask(ids[1], change), Outcome::Done);
    bus.start(edge.id());
    for number in 0..10 {
        bus.ask(ids[2], add("new", number));
    }
    assert!(bus.configuration(ids[0]).member(edge.id()).is_some());
    bus.run(3000);
    bus.assert_same();
}

#[test]
fn old_request_of_a_member_that_was_removed_is_never_executed_again() {
    let mut bus = Bus::of(4);
    let ids: Vec<_> = bus.genesis.ids().collect();
    bus.ask(ids[0], create(plain(), CreateMode::New));
    let other = member(9, Role::Resolver);
    bus.change(&ids[..2], &Change::Add(other.clone()));
    bus.start(other.id());
    bus.run(3000);
    let old = bus.sign(other.id(), add("old", 1));
    assert!(matches!(
        bus.give(other.id(), old.clone()),
        Outcome::Zone { rcode: 0, .. }
    ));
    bus.ask(ids[0], update(&[(false, "old", ANY, ANY, 0, &[])]));
    bus.change(&ids[..2], &Change::Remove(other.id()));
    assert!(bus.configuration(ids[0]).member(other.id()).is_none());

    let again = Command::Propose(Change::Add(other.clone()));
    for id in &ids[..2] {
        let outcome = bus.ask(*id, again.clone());
        assert_eq!(outcome, Outcome::Refused(Reason::UsedKey));
    }
    for number in 0..8 {
        bus.ask(ids[2], add("tick", number));
    }
    let serial = bus.serial(ids[0]);
    for id in &ids {
        bus.step(*id, Input::Request(Verified::vouch(old.clone())));
    }
    bus.run(3000);
    assert_eq!(bus.serial(ids[0]), serial);
}

#[test]
fn witness_that_was_removed_holds_state_under_a_new_key() {
    let roles = [Role::Authority; 4].into_iter().chain([Role::Witness]);
    let members = (1..).zip(roles).map(|(number, role)| member(number, role));
    let mut bus = Bus::with(members);
    let is_witness = |member: &&Member| member.role == Role::Witness;
    let witness = bus.genesis.members().find(is_witness).unwrap().clone();
    let ids: Vec<_> = bus.genesis.ids().filter(|id| *id != witness.id()).collect();
    bus.ask(ids[0], create(plain(), CreateMode::New));
    bus.change(&ids[..2], &Change::Remove(witness.id()));
    bus.nodes.remove(&witness.id());
    let holder = Member {
        key: PublicKey([9; 32]),
        role: Role::Authority,
        ..witness
    };
    bus.change(&ids[..2], &Change::Add(holder.clone()));
    bus.start(holder.id());
    bus.run(3000);
    assert!(bus.configuration(holder.id()).is_holder(holder.id()));
    let outcome = bus.ask(holder.id(), add("new", 1));
    assert!(matches!(outcome, Outcome::Zone { rcode: 0, .. }));
    bus.run(500);
    bus.assert_same();
}
