//! Four nodes in one process with their drivers, disks and ledgers: what they agree on is in every ledger, and a
//! lie in none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use consensus::{
    Configuration, Message, NodeId, Params, PublicKey, Reader, Signer as _, Verified, Wire as _,
    Writer,
};
use crossbeam_channel::Sender;
use ledger::{Applications, Ledger, Outcome, Outcomes, Parameters};

use super::tests::{Fake, PATIENCE, configuration, identities, key, of, proposal};
use super::*;
use crate::counters::Counters;
use crate::mesh::Inbound;
use crate::mesh::driver::{self, Bundler, Driver, DriverLimits, Hooks, Outbox, Publication};
use crate::mesh::store::RealDisk;

type Inbox = Sender<Inbound>;

/// Carries messages in memory.
#[derive(Debug)]
struct Bus {
    own: NodeId,
    nodes: Arc<OnceLock<BTreeMap<NodeId, Inbox>>>,
}

impl Outbox for Bus {
    fn send(&self, to: NodeId, message: &Arc<Message>) {
        if let Some(node) = self.nodes.get().and_then(|nodes| nodes.get(&to)) {
            let message = Verified::vouch(Message::clone(message));
            let _ = node.try_send(Inbound::Message(self.own, message, None));
        }
    }

    fn broadcast(&self, message: &Arc<Message>) {
        let nodes = self.nodes.get().into_iter().flat_map(BTreeMap::keys);
        for to in nodes.filter(|to| **to != self.own) {
            self.send(*to, message);
        }
    }

    fn announce(&self, _: &Arc<Message>) {}

    fn remember(&self, _: &[PublicKey]) {}

    fn configure(&self, _: &Configuration) {}

    fn stand(&self, _: consensus::Horizon) {}
}

/// Passes messages on, and keeps what the ledger holds of the first name.
struct Watch {
    answers: AgreementHandle,
    digest: Arc<Mutex<Option<[u8; 32]>>>,
}

impl Hooks<Ledger> for Watch {
    fn on_applied(&mut self, ledger: &mut Ledger) -> Option<Publication> {
        let answer = ledger.answer(&rounds::question(&key(0)));
        let found = answer.map(|answer| answer.digest.0);
        let digest = Arc::clone(&self.digest);
        Some(Box::new(move || *digest.lock().unwrap() = found))
    }

    fn on_event(&mut self, event: driver::Event) {
        match event {
            driver::Event::Message(from, bytes) => self.answers.on_message(from, bytes),
            driver::Event::Configured(configuration) => self.answers.configure(configuration),
            _ => {}
        }
    }
}

struct Commands;

impl Bundler for Commands {
    fn bundle(&self, wishes: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(u32::try_from(wishes.len()).unwrap());
        wishes.iter().for_each(|wish| out.bytes(wish));
        out.into_bytes()
    }

    fn split(&self, reply: &[u8], count: usize) -> Vec<Vec<u8>> {
        let outcomes = Outcomes::read(&mut Reader::new(reply)).unwrap().0;
        outcomes.iter().take(count).map(Outcome::to_bytes).collect()
    }
}

struct Node {
    handle: AgreementHandle,
    decided: mpsc::Receiver<Decided>,
    digest: Arc<Mutex<Option<[u8; 32]>>>,
    driver: Driver,
    thread: std::thread::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn nodes(lasts: [u8; 4], runtime: &tokio::runtime::Handle) -> Vec<Node> {
    let identities = identities(4);
    let genesis = configuration(&identities);
    let inboxes = Arc::<OnceLock<BTreeMap<_, _>>>::default();
    let mut senders = BTreeMap::new();
    let mut nodes = Vec::new();
    for (identity, last) in identities.into_iter().zip(lasts) {
        let (inbox, inbound) = crossbeam_channel::bounded(4_096);
        senders.insert(identity.id(), inbox);
        let counters = Arc::<Counters>::default();
        let channel = Channel::new(Arc::clone(&counters));
        let (handle, (sender, decided)) = (channel.handle.clone(), mpsc::channel());
        let outbox: Arc<dyn Outbox> = Arc::new(Bus {
            own: identity.id(),
            nodes: Arc::clone(&inboxes),
        });
        let (folder, digest) = (tempfile::tempdir().unwrap(), Arc::<Mutex<_>>::default());
        let driver = driver::start(driver::Setup {
            folder: folder.path().to_owned(),
            disk: Arc::new(RealDisk),
            genesis: genesis.clone(),
            params: Params::default(),
            signer: identity.clone(),
            machine: Ledger::new(&genesis, Parameters::default(), Applications::default()),
            hooks: Watch {
                answers: handle.clone(),
                digest: Arc::clone(&digest),
            },
            bundler: Commands,
            outbox: Arc::clone(&outbox),
            inbound,
            limits: DriverLimits::default(),
        })
        .unwrap();
        let window_ms = Parameters::default().window_ms;
        let cluster = MeshCluster::new(outbox, driver.handle(), runtime.clone(), window_ms);
        let fake = Fake::new(handle.clone(), Some(last), sender);
        let setup = Setup {
            signer: identity,
            cluster_id: genesis.cluster(),
            configuration: genesis.clone(),
            cluster: Arc::new(cluster),
            resolving: Box::new(fake.clone()),
            judging: Box::new(fake),
            timeout: Duration::from_secs(10),
            counters,
        };
        nodes.push(Node {
            thread: start(channel, setup).unwrap(),
            handle,
            decided,
            digest,
            driver,
            _folder: folder,
        });
    }
    inboxes.set(senders).unwrap();
    nodes
}

#[test]
fn what_nodes_agree_on_is_in_every_ledger_and_a_lie_in_none() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let nodes = nodes([1, 1, 1, 66], runtime.handle());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let waiting = std::thread::spawn(move || runtime.block_on(stopped));
    let lie = of(0, 66);
    assert!(nodes[3].handle.propose(lie.clone()));
    let refused = nodes[3].decided.recv_timeout(PATIENCE).unwrap();
    assert_eq!(refused.1, Verdict::Refused);
    let truth = proposal(0);
    assert!(nodes[0].handle.propose(truth.clone()));
    let agreed = nodes[0].decided.recv_timeout(PATIENCE).unwrap();
    assert_eq!(agreed.1, Verdict::Agreed);
    // Its own ledger has it before anybody is told.
    assert_eq!(*nodes[0].digest.lock().unwrap(), Some(truth.digest));
    let deadline = Instant::now() + PATIENCE;
    for node in &nodes {
        while *node.digest.lock().unwrap() != Some(truth.digest) {
            assert_ne!(*node.digest.lock().unwrap(), Some(lie.digest));
            assert!(Instant::now() < deadline, "a ledger without it");
            std::thread::yield_now();
        }
    }
    for node in nodes {
        node.handle.stop();
        node.thread.join().unwrap();
        node.driver.stop();
    }
    drop(stop);
    assert!(waiting.join().unwrap().is_err(), "it was dropped");
}
