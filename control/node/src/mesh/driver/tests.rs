//! Clusters of drivers in one process, with real files, on a bus in memory or on QUIC.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::{
    ApplyContext, ClusterId, Configuration, Digest, Epoch, Horizon, Member, Message, NodeId,
    Params, PublicKey, Request, RestoreError, Role, Sequence, SignatureCheck, Signer, StateMachine,
    Verified, Writer,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::mesh::store::tests::FailingDisk;
use crate::mesh::store::{RealDisk, Snapshots};
use crate::mesh::{Identity, Inbound, Network, Settings};
use quinn::{Runtime as _, TokioRuntime};

mod cluster;
mod ordering;
mod quic;

/// Numbers that were added, once each, and how many requests brought them.
#[derive(Debug, Clone, Default)]
struct Numbers {
    added: BTreeSet<u64>,
    requests: u64,
}

fn numbers_of(command: &[u8]) -> Option<Vec<u64>> {
    let (numbers, rest) = command.as_chunks::<8>();
    let numbers = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes));
    rest.is_empty().then(|| numbers.collect())
}

impl StateMachine for Numbers {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn is_well_formed(&self, request: &Request) -> bool {
        numbers_of(&request.command).is_some()
    }

    fn checks(&self, _: ClusterId, _: &Request) -> Vec<SignatureCheck> {
        Vec::new()
    }

    fn apply(&mut self, _: ApplyContext, request: &Request) -> Vec<u8> {
        self.requests += 1;
        let numbers = numbers_of(&request.command).unwrap();
        let is_new = numbers.iter().map(|number| self.added.insert(*number));
        is_new.map(u8::from).collect()
    }

    fn root(&mut self) -> Digest {
        Digest::of(&self.snapshot())
    }

    fn wanted_configuration(&self, current: &Configuration) -> Configuration {
        current.clone()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.requests);
        self.added.iter().for_each(|number| out.u64(*number));
        out.into_bytes()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let numbers = numbers_of(snapshot).ok_or(RestoreError("not numbers"))?;
        let (requests, added) = numbers.split_first().ok_or(RestoreError("empty"))?;
        self.requests = *requests;
        self.added = added.iter().copied().collect();
        Ok(())
    }
}

struct Numbered;

impl Bundler for Numbered {
    fn bundle(&self, wishes: &[Vec<u8>]) -> Vec<u8> {
        wishes.concat()
    }

    fn split(&self, reply: &[u8], count: usize) -> Vec<Vec<u8>> {
        assert_eq!(reply.len(), count);
        reply.iter().map(|byte| vec![*byte]).collect()
    }
}

/// What a node has in service, and what it heard.
#[derive(Debug, Clone, Default)]
struct Service {
    numbers: Arc<Mutex<Numbers>>,
    halted: Arc<Mutex<Option<String>>>,
}

impl Service {
    fn has(&self, number: u64) -> bool {
        self.numbers().added.contains(&number)
    }

    fn numbers(&self) -> Numbers {
        lock(&self.numbers).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hooks<Numbers> for Service {
    fn on_applied(&mut self, machine: &mut Numbers) -> Option<Publication> {
        let (served, now) = (self.numbers.clone(), machine.clone());
        Some(Box::new(move || *lock(&served) = now))
    }

    fn on_event(&mut self, event: Event) {
        if let Event::Halted(reason) = event {
            *lock(&self.halted) = Some(reason);
        }
    }
}

/// Carries messages between nodes of this process.
#[derive(Debug, Clone)]
struct Bus {
    boxes: Arc<Mutex<BTreeMap<NodeId, Sender<Inbound>>>>,
}

#[derive(Debug)]
struct Port {
    bus: Bus,
    me: NodeId,
    configuration: Mutex<Configuration>,
}

impl Port {
    fn to_all(&self, message: &Arc<Message>, wanted: impl Fn(&Configuration, NodeId) -> bool) {
        let configuration = lock(&self.configuration).clone();
        for id in configuration.ids() {
            if id != self.me && wanted(&configuration, id) {
                self.send(id, message);
            }
        }
    }
}

impl Outbox for Port {
    fn send(&self, to: NodeId, message: &Arc<Message>) {
        if let Some(mailbox) = lock(&self.bus.boxes).get(&to) {
            let message = Message::decode(&message.encode(self.me)).unwrap();
            let _ = mailbox.try_send(Inbound::Message(self.me, Verified::vouch(message), None));
        }
    }

    fn broadcast(&self, message: &Arc<Message>) {
        self.to_all(message, Configuration::is_voter);
    }

    fn announce(&self, message: &Arc<Message>) {
        self.to_all(message, |configuration, id| !configuration.is_voter(id));
    }

    fn remember(&self, _: &[PublicKey]) {}

    fn configure(&self, configuration: &Configuration) {
        *lock(&self.configuration) = configuration.clone();
    }

    fn stand(&self, _: Horizon) {}
}

/// Nodes with a folder each.
struct Cluster {
    genesis: Configuration,
    identities: Vec<Identity>,
    folders: Vec<TempDir>,
    bus: Bus,
    /// For QUIC. Without them, the bus.
    sockets: Vec<UdpSocket>,
    params: Params,
    limits: DriverLimits,
    nodes: Vec<Option<Node>>,
}

struct Node {
    driver: Driver,
    service: Service,
}

impl Cluster {
    /// All of them stopped.
    fn new(count: u8, checkpoint_interval: u32) -> Self {
        Self::with(count, checkpoint_interval, Vec::new())
    }

    /// The same over QUIC.
    fn over_quic(count: u8, checkpoint_interval: u32) -> Self {
        let sockets = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        Self::with(count, checkpoint_interval, sockets.collect())
    }

    fn with(count: u8, checkpoint_interval: u32, sockets: Vec<UdpSocket>) -> Self {
        let identities: Vec<_> = (1..=count)
            .map(|number| Identity::from_seed([number; 32]))
            .collect();
        let members = identities.iter().enumerate().map(|(index, identity)| {
            let socket = sockets.get(index);
            let address = socket.map(|socket| socket.local_addr().unwrap());
            Member {
                key: identity.public_key(),
                role: Role::Authority,
                address: address.unwrap_or(([127, 0, 0, 1], 4853).into()),
            }
        });
        let members = members.collect();
        let genesis = Configuration::new(Epoch(0), members, checkpoint_interval, 3).unwrap();
        Self {
            genesis,
            folders: identities.iter().map(|_| TempDir::new().unwrap()).collect(),
            nodes: identities.iter().map(|_| None).collect(),
            identities,
            bus: Bus {
                boxes: Arc::default(),
            },
            sockets,
            params: Params::default(),
            limits: DriverLimits {
                request_timeout: Duration::from_secs(60),
                ..DriverLimits::default()
            },
        }
    }

    fn outbox(&self, index: usize, sender: Sender<Inbound>) -> Arc<dyn Outbox> {
        let identity = self.identities[index].clone();
        let Some(socket) = self.sockets.get(index) else {
            lock(&self.bus.boxes).insert(identity.id(), sender);
            return Arc::new(Port {
                bus: self.bus.clone(),
                me: identity.id(),
                configuration: Mutex::new(self.genesis.clone()),
            });
        };
        let socket = socket.try_clone().unwrap();
        socket.set_nonblocking(true).unwrap();
        let network = Network::start(Settings {
            identity,
            cluster: self.genesis.cluster(),
            configuration: &self.genesis,
            socket: Box::new(move || TokioRuntime.wrap_udp_socket(socket)),
            inbound: sender,
            checks_of: Box::new(|_| Vec::new()),
        });
        Arc::new(network.unwrap())
    }

    fn started(count: u8) -> Self {
        let mut cluster = Self::new(count, 100);
        (0..count.into()).for_each(|index| cluster.start(index));
        cluster
    }

    fn setup(
        &self,
        index: usize,
        disk: Arc<dyn Disk>,
    ) -> Setup<Numbers, Identity, Service, Numbered> {
        let identity = self.identities[index].clone();
        let (sender, inbound) = bounded(65_536);
        Setup {
            folder: self.folders[index].path().to_owned(),
            disk,
            genesis: self.genesis.clone(),
            params: self.params.clone(),
            outbox: self.outbox(index, sender),
            signer: identity,
            machine: Numbers::default(),
            hooks: Service::default(),
            bundler: Numbered,
            inbound,
            limits: self.limits.clone(),
        }
    }

    fn start_on(&mut self, index: usize, disk: Arc<dyn Disk>) {
        let setup = self.setup(index, disk);
        let service = setup.hooks.clone();
        let driver = super::start(setup).unwrap();
        self.nodes[index] = Some(Node { driver, service });
    }

    fn start(&mut self, index: usize) {
        self.start_on(index, Arc::new(RealDisk));
    }

    fn stop(&mut self, index: usize) {
        lock(&self.bus.boxes).remove(&self.identities[index].id());
        self.nodes[index].take().unwrap().driver.stop();
    }

    fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().unwrap()
    }

    fn handle(&self, index: usize) -> MeshHandle {
        self.node(index).driver.handle()
    }

    fn folder(&self, index: usize) -> &Path {
        self.folders[index].path()
    }

    fn add(&self, index: usize, number: u64) -> Result<Reply, SubmitError> {
        let command = number.to_be_bytes().to_vec();
        let receiver = self.handle(index).start_submit(command)?;
        receiver.blocking_recv().unwrap()
    }

    fn has_everywhere(&self, numbers: std::ops::Range<u64>) {
        for node in self.nodes.iter().flatten() {
            wait_until(|| numbers.clone().all(|number| node.service.has(number)));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.drain(..).flatten() {
            node.driver.stop();
        }
    }
}

/// Waits for what must come at some time, and gives up long after.
fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "given up");
        std::thread::sleep(Duration::from_millis(1));
    }
}
