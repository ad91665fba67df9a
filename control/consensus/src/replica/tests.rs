//! A few replicas on a bus that loses what it is told to: the plain cases. Faults of all kinds, from
//! seeds, are the simulator's (`control/sim`).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::batch::RequestId;
use crate::codec::Wire;
use crate::configuration::{Member, Role};
use crate::identity::{PublicKey, Signature};
use crate::machine::{ApplyContext, RestoreError};
use crate::record::Record;
use crate::transfer::{
    CHUNK_BYTES_MAX, HistoryItem, LOG_BYTES_MAX, SnapshotOffer, TRANSITIONS_MAX,
};
use crate::verified::SignatureCheck;

mod halts;

mod schedules;

/// Keeps every command. A command `members:` followed by a configuration asks for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Register {
    commands: Vec<Vec<u8>>,
    wanted: Option<Configuration>,
}

const MEMBERS: &[u8] = b"members:";

impl StateMachine for Register {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn is_well_formed(&self, request: &Request) -> bool {
        !request.command.is_empty()
    }

    fn checks(&self, _: ClusterId, _: &Request) -> Vec<SignatureCheck> {
        Vec::new()
    }

    fn apply(&mut self, context: ApplyContext, request: &Request) -> Vec<u8> {
        assert!(context.time_ms > 0);
        self.commands.push(request.command.to_vec());
        if let Some(bytes) = request.command.strip_prefix(MEMBERS) {
            self.wanted = Some(Configuration::from_bytes(bytes).unwrap());
        }
        self.commands.len().to_be_bytes().to_vec()
    }

    fn root(&mut self) -> Digest {
        Digest::of(&self.snapshot())
    }

    fn wanted_configuration(&self, current: &Configuration) -> Configuration {
        self.wanted.clone().unwrap_or(current.clone())
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = crate::codec::Writer::default();
        out.option(self.wanted.as_ref());
        for command in &self.commands {
            out.block(command);
        }
        out.into_bytes()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let bad = |_| RestoreError("not a register");
        let mut from = crate::codec::Reader::new(snapshot);
        self.wanted = from.option().map_err(bad)?;
        while from.left() > 0 {
            self.commands
                .push(from.block("bytes", usize::MAX).map_err(bad)?.to_vec());
        }
        Ok(())
    }
}

/// The signature of a node is the digest of its key and the bytes: enough where nobody forges.
#[derive(Debug, Clone, Copy)]
struct Key(PublicKey);

impl Signer for Key {
    fn id(&self) -> NodeId {
        NodeId::of(&self.0)
    }

    fn sign(&self, preimage: &[u8]) -> Signature {
        let mut bytes = self.0.0.to_vec();
        bytes.extend_from_slice(preimage);
        let digest = Digest::of(&bytes).0;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&digest);
        Signature(signature)
    }
}

#[derive(Debug, Default)]
struct Disk {
    records: Vec<Record>,
    history: Vec<HistoryItem>,
    taken: Option<(CheckpointBody, Vec<u8>)>,
    snapshot: Option<(CheckpointCertificate, CheckpointBody, Vec<u8>)>,
}

struct Node {
    key: Key,
    replica: Option<Replica<Register, Key>>,
    disk: Disk,
    executed: Vec<RequestId>,
    reads: BTreeSet<u64>,
    observed: Vec<Observation>,
    evidence: Vec<Evidence>,
}

struct Bus {
    now: Now,
    genesis: Configuration,
    params: Params,
    nodes: BTreeMap<NodeId, Node>,
    queue: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    /// Messages that get lost: from, to, message.
    lose: fn(&Bus, NodeId, NodeId, &Message) -> bool,
    cut_off: BTreeSet<NodeId>,
    halted: Vec<NodeId>,
    /// How far wall clocks are ahead.
    ahead_ms: BTreeMap<NodeId, u64>,
    /// Whose keys each node knows; if they are told, it drops what others have signed.
    known: Option<BTreeMap<NodeId, BTreeSet<NodeId>>>,
    /// Messages that were dropped for that.
    unknown: u64,
}

fn member(number: u8, role: Role) -> Member {
    Member {
        key: PublicKey([number; 32]),
        role,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 4853)),
    }
}

fn configuration(roles: &[Role]) -> Configuration {
    let members = (1..).zip(roles).map(|(number, role)| member(number, *role));
    Configuration::new(Epoch(0), members.collect(), 4, 3).unwrap()
}

impl Bus {
    fn new(roles: &[Role]) -> Self {
        Self::with(configuration(roles), Params::default())
    }

    fn with(genesis: Configuration, params: Params) -> Self {
        let mut bus = Self {
            now: Now {
                monotonic_us: 1_000_000,
                unix_ms: 1_700_000_000_000,
            },
            genesis: genesis.clone(),
            params,
            nodes: BTreeMap::new(),
            queue: VecDeque::new(),
            lose: |_, _, _, _| false,
            cut_off: BTreeSet::new(),
            halted: Vec::new(),
            ahead_ms: BTreeMap::new(),
            known: None,
            unknown: 0,
        };
        for member in genesis.members() {
            bus.add(member.key);
        }
        bus
    }

    fn add(&mut self, key: PublicKey) {
        let node = Node {
            key: Key(key),
            replica: None,
            disk: Disk::default(),
            executed: Vec::new(),
            reads: BTreeSet::new(),
            observed: Vec::new(),
            evidence: Vec::new(),
        };
        let id = NodeId::of(&key);
        self.nodes.insert(id, node);
        self.start(id);
    }

    fn start(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let recovered = Recovered {
            genesis: self.genesis.clone(),
            snapshot: node.disk.snapshot.clone(),
            history: node.disk.history.clone(),
            records: node.disk.records.clone(),
        };
        let first = recovered.genesis.ids().collect();
        self.known.iter_mut().for_each(|known| {
            known.insert(id, BTreeSet::clone(&first));
        });
        let mut out = Vec::new();
        let replica = Replica::recover(
            self.now,
            self.params.clone(),
            node.key,
            Register::default(),
            recovered,
            &mut out,
        );
        node.replica = replica.ok();
        self.perform(id, out);
    }

    fn stop(&mut self, id: NodeId) {
        self.nodes.get_mut(&id).unwrap().replica = None;
        self.queue.retain(|(_, to, _)| *to != id);
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let mut out = Vec::new();
        let mut now = self.now;
        now.unix_ms += self.ahead_ms.get(&id).copied().unwrap_or(0);
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(replica) = node.replica.as_mut() else {
            return;
        };
        replica.step(now, input, &mut out);
        self.perform(id, out);
    }

    fn perform(&mut self, id: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            let configuration = self.nodes[&id]
                .replica
                .as_ref()
                .map_or(self.genesis.clone(), |replica| {
                    replica.configuration().clone()
                });
            match effect {
                Effect::Send(to, message) => self.send(id, to, &message),
                Effect::Broadcast(message) => {
                    let others = configuration.voters().filter(|to| *to != id);
                    others.for_each(|to| self.send(id, to, &message));
                }
                Effect::Announce(message) => {
                    let others = configuration
                        .ids()
                        .filter(|to| !configuration.is_voter(*to));
                    others.for_each(|to| self.send(id, to, &message));
                }
                Effect::ServeLog {
                    to,
                    after,
                    transitions,
                } => self.serve_log(id, to, after, transitions),
                Effect::ServeChunk {
                    to,
                    sequence,
                    index,
                } => self.serve_chunk(id, to, sequence, index),
                Effect::Halt { .. } => self.halted.push(id),
                Effect::Configured(configuration) => self.learn(id, configuration.ids()),
                Effect::FormerMembers(keys) => self.learn(id, keys.iter().map(NodeId::of)),
                other => self.keep(id, other),
            }
        }
    }

    fn learn(&mut self, id: NodeId, others: impl Iterator<Item = NodeId>) {
        if let Some(known) = &mut self.known {
            known.entry(id).or_default().extend(others);
        }
    }

    /// What a node with real keys can check of a message: all of it, or the beginning of a log; none if there is a
    /// signer that it does not know.
    fn of_known_signers(&self, id: NodeId, mut message: Message) -> Option<Message> {
        let Some(known) = self.known.as_ref().map(|known| &known[&id]) else {
            return Some(message);
        };
        let cluster = self.genesis.cluster();
        if let Message::Log(items) = &mut message {
            let mut checks = items.iter().map(|item| item.checks(cluster));
            let unknown =
                checks.position(|mut checks| checks.any(|check| !known.contains(&check.signer)));
            items.truncate(unknown.filter(|count| *count > 0).unwrap_or(items.len()));
        }
        let brings = match &message {
            Message::SnapshotOffer(offer) => &*offer.transitions,
            _ => &[],
        };
        let brought = brings.iter().flat_map(|one| one.body.configuration.ids());
        let brought: BTreeSet<NodeId> = brought.collect();
        let checks = message.checks(cluster);
        let mut signers = checks.iter().map(|check| check.signer);
        let all_known = signers.all(|signer| known.contains(&signer) || brought.contains(&signer));
        all_known.then_some(message)
    }

    fn keep(&mut self, id: NodeId, effect: Effect) {
        let node = self.nodes.get_mut(&id).unwrap();
        let disk = &mut node.disk;
        match effect {
            Effect::Persist(record) => {
                disk.records
                    .push(Record::from_bytes(&record.to_bytes()).unwrap());
            }
            Effect::Append(item) => disk.history.push(item),
            Effect::Snapshot(body, bytes) => disk.taken = Some((body, bytes)),
            Effect::Stable {
                certificate,
                body,
                records,
            } => {
                disk.records = records;
                if disk.taken.as_ref().is_some_and(|(taken, _)| *taken == body) {
                    let (body, bytes) = disk.taken.take().unwrap();
                    disk.history.retain(|item| item.sequence() > body.sequence);
                    disk.snapshot = Some((certificate, body, bytes));
                }
            }
            Effect::Install {
                certificate,
                body,
                snapshot,
                records,
            } => {
                disk.records = records;
                disk.history.clear();
                disk.snapshot = Some((certificate, body, snapshot));
            }
            Effect::Executed { id, .. } => node.executed.push(id),
            Effect::ReadReady(token) => {
                node.reads.insert(token);
            }
            Effect::Observe(observation) => node.observed.push(observation),
            Effect::Evidence(evidence) => node.evidence.push(evidence),
            _ => {}
        }
    }

    fn serve_log(&mut self, id: NodeId, to: NodeId, after: Sequence, transitions: Vec<Transition>) {
        let disk = &self.nodes[&id].disk;
        let snapshot = disk.snapshot.clone();
        let message = match snapshot {
            Some((certificate, body, bytes)) if body.sequence > after => {
                Message::SnapshotOffer(alloc::boxed::Box::new(SnapshotOffer {
                    transitions,
                    certificate,
                    body,
                    bytes_count: bytes.len() as u64,
                }))
            }
            _ => {
                let follows = |item: &&HistoryItem| match item {
                    HistoryItem::Batch { .. } => item.sequence() > after,
                    HistoryItem::Checkpoint(..) => item.sequence() >= after,
                };
                Message::Log(
                    disk.history
                        .iter()
                        .filter(follows)
                        .take(7)
                        .cloned()
                        .collect(),
                )
            }
        };
        self.send(id, to, &message);
    }

    fn serve_chunk(&mut self, id: NodeId, to: NodeId, sequence: Sequence, index: u32) {
        let snapshot = self.nodes[&id].disk.snapshot.clone();
        let Some((_, body, bytes)) = snapshot.filter(|(_, body, _)| body.sequence == sequence)
        else {
            return;
        };
        let parts: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES_MAX).collect();
        let part = parts.get(index as usize).copied().unwrap_or_default();
        let message = Message::Chunk {
            sequence: body.sequence,
            index,
            bytes: part.to_vec(),
        };
        self.send(id, to, &message);
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: &Message) {
        let is_cut = self.cut_off.contains(&from) || self.cut_off.contains(&to);
        if !is_cut && !(self.lose)(self, from, to, message) {
            self.queue.push_back((from, to, message.encode(from)));
        }
    }

    /// Delivers all that is on its way and lets time pass where nothing is.
    fn run(&mut self, duration_ms: u64) {
        let end = self.now.monotonic_us + duration_ms * 1_000;
        while self.now.monotonic_us < end {
            while let Some((from, to, bytes)) = self.queue.pop_front() {
                let message = Message::decode(&bytes).unwrap();
                let Some(message) = self.of_known_signers(to, message) else {
                    self.unknown += 1;
                    continue;
                };
                for check in message.checks(self.genesis.cluster()) {
                    let key = self.nodes[&check.signer].key;
                    assert_eq!(key.sign(&check.preimage), check.signature);
                }
                self.step(to, Input::Message(from, Verified::vouch(message)));
            }
            self.now.monotonic_us += 1_000;
            self.now.unix_ms += 1;
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            for id in ids {
                let due = self.nodes[&id]
                    .replica
                    .as_ref()
                    .and_then(Replica::deadline_us);
                if due.is_some_and(|due| due <= self.now.monotonic_us) {
                    self.step(id, Input::Tick);
                }
            }
        }
    }

    fn request(&mut self, id: NodeId, lane: u32, command: &[u8]) -> RequestId {
        let timestamp = self.now.monotonic_us;
        let key = self.nodes[&id].key;
        let cluster = self.genesis.cluster();
        let request = Request::sign(cluster, &key, lane, timestamp, command.into());
        let name = request.id;
        self.step(id, Input::Request(Verified::vouch(request)));
        name
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    fn replica(&self, id: NodeId) -> &Replica<Register, Key> {
        self.nodes[&id].replica.as_ref().unwrap()
    }

    fn commands(&self, id: NodeId) -> &[Vec<u8>] {
        &self.replica(id).machine().commands
    }

    fn assert_same(&self) {
        let ids = self.ids();
        let holders = ids.iter().filter(|id| self.replica(**id).holds_state());
        let mut machines = holders.map(|id| self.replica(*id).machine());
        let first = machines.next().unwrap();
        machines.for_each(|machine| assert_eq!(machine, first));
        assert!(self.halted.is_empty());
        assert!(self.nodes.values().all(|node| node.evidence.is_empty()));
    }

    fn write_many(&mut self, ids: &[NodeId], count: u32) {
        for round in 0..count {
            for id in ids {
                self.request(*id, round % 8, &round.to_be_bytes());
            }
            self.run(5);
        }
    }
}

const FOUR: [Role; 4] = [Role::Authority; 4];

#[test]
fn one_node_alone_commits() {
    let mut bus = Bus::new(&[Role::Authority]);
    let id = bus.ids()[0];
    bus.write_many(&[id], 20);
    assert_eq!(bus.commands(id).len(), 20);
    assert_eq!(bus.replica(id).summary().stable, Sequence(20));
}

#[test]
fn four_nodes_agree_and_take_the_fast_path() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    bus.write_many(&ids, 10);
    bus.run(50);
    bus.assert_same();
    assert_eq!(bus.commands(ids[0]).len(), 40);
    let fast = bus.nodes[&ids[2]]
        .observed
        .iter()
        .filter(|observation| matches!(observation, Observation::Committed { fast: true, .. }));
    assert!(fast.count() > 0);
    assert!(
        bus.ids()
            .iter()
            .all(|id| bus.replica(*id).summary().view == View(0))
    );
}

#[test]
fn with_one_voter_gone_the_slow_path_commits() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    let gone = *ids
        .iter()
        .find(|id| **id != bus.replica(ids[0]).primary())
        .unwrap();
    bus.stop(gone);
    let rest: Vec<_> = ids.iter().copied().filter(|id| *id != gone).collect();
    bus.write_many(&rest, 10);
    bus.run(200);
    assert_eq!(bus.commands(rest[0]).len(), 30);
    bus.start(gone);
    bus.run(2_000);
    bus.assert_same();
}

#[test]
fn a_primary_that_dies_is_replaced_and_nothing_is_lost() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    bus.write_many(&ids, 5);
    let first = bus.replica(ids[0]).primary();
    bus.stop(first);
    let rest: Vec<_> = ids.iter().copied().filter(|id| *id != first).collect();
    let done = bus.request(rest[0], 9, b"after");
    bus.run(3_000);
    for id in &rest {
        assert!(bus.nodes[id].executed.contains(&done));
        assert!(bus.replica(*id).summary().view > View(0));
    }
    bus.start(first);
    bus.run(3_000);
    bus.assert_same();
    bus.write_many(&ids, 5);
    bus.run(200);
    bus.assert_same();
}

#[test]
fn all_stop_and_start_and_nothing_acknowledged_is_lost() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    for turn in 0..5 {
        bus.write_many(&ids, 7);
        let before = bus.commands(ids[0]).len();
        ids.iter().for_each(|id| bus.stop(*id));
        ids.iter().for_each(|id| bus.start(*id));
        bus.run(3_000);
        assert!(bus.commands(ids[0]).len() >= before, "turn {turn}");
        bus.assert_same();
    }
    assert_eq!(bus.commands(ids[0]).len(), 5 * 7 * 4);
}

/// Sequences of the snapshots that each node kept while so many requests were executed.
fn snapshots_of(params: Params, writes_count: u32) -> Vec<BTreeSet<Sequence>> {
    let mut bus = Bus::with(configuration(&FOUR), params);
    let ids = bus.ids();
    let mut kept = vec![BTreeSet::new(); ids.len()];
    for _ in 0..writes_count {
        bus.write_many(&ids[..1], 1);
        for (id, kept) in ids.iter().zip(&mut kept) {
            let snapshot = bus.nodes[id].disk.snapshot.as_ref();
            kept.extend(snapshot.map(|(_, body, _)| body.sequence));
        }
    }
    kept
}

#[test]
fn a_large_state_is_written_again_when_much_was_executed_since() {
    let params = |snapshot_wear_percent| Params {
        snapshot_interval: 1,
        snapshot_wear_percent,
        ..Params::default()
    };
    let each = snapshots_of(params(0), 64);
    // A request has more bytes than what it leaves in the state.
    let few = snapshots_of(params(1_000), 64);
    for (each, few) in each.iter().zip(few) {
        assert!(
            each.len() > 12 && (2..=8).contains(&few.len()),
            "{each:?} {few:?}"
        );
    }
}

#[test]
fn start_makes_no_snapshot_that_nobody_would_keep() {
    let params = Params {
        snapshot_interval: 1_000,
        snapshot_wear_percent: 0,
        ..Params::default()
    };
    let mut bus = Bus::with(configuration(&[Role::Authority]), params);
    let id = bus.ids()[0];
    bus.write_many(&[id], 30);
    bus.params.snapshot_interval = 1;
    bus.stop(id);
    bus.start(id);
    assert_eq!(bus.commands(id).len(), 30);
    let replica = bus.replica(id);
    assert_eq!((replica.snapshot_bytes, replica.snapshot_made), (0, None));
}

#[test]
fn members_take_turns_with_their_snapshots() {
    let params = Params {
        snapshot_interval: 4,
        snapshot_wear_percent: 0,
        ..Params::default()
    };
    let kept = snapshots_of(params, 64);
    assert!(kept.iter().all(|own| own.len() >= 2));
    let all: BTreeSet<_> = kept.iter().flatten().collect();
    assert_eq!(all.len(), kept.iter().map(BTreeSet::len).sum::<usize>());
}

#[test]
fn a_node_far_behind_takes_a_snapshot() {
    let params = Params {
        snapshot_interval: 2,
        ..Params::default()
    };
    let mut bus = Bus::with(configuration(&FOUR), params);
    let ids = bus.ids();
    let last = *ids.last().unwrap();
    bus.cut_off.insert(last);
    bus.write_many(&ids[..3], 60);
    bus.cut_off.clear();
    bus.run(3_000);
    bus.assert_same();
    assert!(bus.nodes[&last].disk.snapshot.is_some());
    bus.stop(last);
    bus.start(last);
    bus.run(1_000);
    bus.assert_same();
}

#[test]
fn reads_wait_for_what_was_acknowledged_elsewhere() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    bus.write_many(&ids, 3);
    bus.step(ids[3], Input::Read(7));
    bus.run(10);
    assert!(bus.nodes[&ids[3]].reads.contains(&7));
    bus.cut_off.insert(ids[3]);
    bus.step(ids[3], Input::Read(8));
    bus.run(1_000);
    assert!(!bus.nodes[&ids[3]].reads.contains(&8));
}

#[test]
fn members_change_at_a_checkpoint_and_the_new_one_catches_up() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    bus.write_many(&ids, 5);
    let mut members: Vec<Member> = bus.genesis.members().cloned().collect();
    members.push(member(5, Role::Authority));
    let wanted = Configuration::new(Epoch(0), members, 4, 3).unwrap();
    let command = [MEMBERS, &wanted.to_bytes()].concat();
    let new = PublicKey([5; 32]);
    bus.add(new);
    assert!(!bus.replica(NodeId::of(&new)).summary().is_member);
    bus.request(ids[0], 9, &command);
    bus.run(2_000);
    for id in bus.ids() {
        assert_eq!(bus.replica(id).summary().epoch, Epoch(1));
    }
    assert!(bus.replica(NodeId::of(&new)).summary().is_voter);
    bus.write_many(&bus.ids(), 5);
    bus.run(500);
    bus.assert_same();
    bus.stop(ids[1]);
    bus.start(ids[1]);
    bus.run(1_000);
    assert_eq!(bus.replica(ids[1]).summary().epoch, Epoch(1));
    bus.assert_same();
}

#[test]
fn more_epochs_than_one_message_proves_are_proven_in_parts() {
    // One voter, of a new epoch with each batch or two: each brings the follower another address.
    let alone = [member(1, Role::Authority), member(2, Role::Edge)];
    let genesis = Configuration::new(Epoch(0), alone.to_vec(), 1, 1).unwrap();
    let params = Params {
        snapshot_wear_percent: 0,
        ..Params::default()
    };
    let mut bus = Bus::with(genesis, params);
    let [voter, follower] = [1, 2].map(|number| member(number, Role::Edge).id());
    bus.cut_off.insert(follower);
    for number in 0..2500_u16 {
        let mut members = alone.to_vec();
        members[1].address.set_port(1 + number % 2);
        let wanted = Configuration::new(Epoch(0), members, 1, 1).unwrap();
        bus.request(voter, 0, &[MEMBERS, &wanted.to_bytes()].concat());
        bus.run(1);
    }
    bus.run(100);
    let epoch = bus.replica(voter).summary().epoch;
    bus.lose = |_, _, _, message| {
        if let Message::SnapshotOffer(offer) = message {
            assert!(offer.transitions.len() <= TRANSITIONS_MAX);
            assert!(message.encode(NodeId(0)).len() < 2 * LOG_BYTES_MAX);
        }
        false
    };
    bus.cut_off.clear();
    bus.run(3_000);
    bus.assert_same();
    assert_eq!(bus.replica(follower).summary().epoch, epoch);
    assert!(bus.replica(follower).proven.is_empty());
    let (_, body, _) = bus.nodes[&follower].disk.snapshot.as_ref().unwrap();
    let installed = body.configuration.epoch();
    assert!(installed > Epoch(2 * TRANSITIONS_MAX as u64), "{installed}");
    let observed = &bus.nodes[&follower].observed;
    assert!(!observed.contains(&Observation::BadMessage(voter)));
    // What it has is enough to come back, and to help others.
    bus.stop(follower);
    bus.start(follower);
    assert_eq!(bus.replica(follower).summary().epoch, epoch);
}

#[test]
fn a_witness_votes_and_an_edge_node_follows() {
    let mut bus = Bus::new(&[
        Role::Authority,
        Role::Authority,
        Role::Resolver,
        Role::Witness,
        Role::Edge,
    ]);
    let ids = bus.ids();
    bus.write_many(&ids, 20);
    bus.run(1_000);
    bus.assert_same();
    let stable: BTreeSet<_> = ids
        .iter()
        .map(|id| bus.replica(*id).summary().stable)
        .collect();
    assert_eq!(stable.len(), 1);
    assert_eq!(
        bus.commands(ids[0]).len(),
        100 - 20 * usize::from(!bus.replica(ids[0]).holds_state())
    );
}

#[test]
fn a_request_that_comes_twice_is_executed_once() {
    let mut bus = Bus::new(&FOUR);
    let ids = bus.ids();
    let request = Request::sign(
        bus.genesis.cluster(),
        &bus.nodes[&ids[1]].key,
        1,
        99,
        Arc::from(b"once".as_slice()),
    );
    for id in ids.iter().chain(&ids) {
        bus.step(*id, Input::Request(Verified::vouch(request.clone())));
        bus.run(20);
    }
    assert_eq!(bus.commands(ids[0]), vec![b"once".to_vec()]);
    bus.assert_same();
}

/// One message of each kind that a run brings forth, for the fuzzer (`tests/messages.hex`).
#[test]
fn samples_for_the_fuzzer_are_messages() {
    for line in include_str!("../../tests/messages.hex").lines() {
        let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(message.encode(NodeId::of(&PublicKey([1; 32]))), bytes);
    }
}
