//! The network as the driver of the replica sees it: send, broadcast, and what comes in.
//!
//! It runs on one thread of its own, so that votes do not wait behind the resolver; two more check
//! signatures (`verify.rs`). Nothing that is called here blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use consensus::{
    ClusterId, Configuration, Horizon, MESSAGE_BYTES_MAX, Message, NodeId, PublicKey, Signer as _,
};
use crossbeam_channel::Sender;
use quinn::{ClientConfig, Endpoint, Incoming};
use tokio::runtime;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;

use super::counters::{Counters, Loss};
use super::endpoint::{self, MakeSocket};
use super::link::Context;
use super::members::Members;
use super::metrics::Telemetry;
use super::peer::{CLOSE_STOPPING, Peer, PeerStatus};
use super::queue::{Class, Outgoing};
use super::tls::Tls;
use super::verify::{ChecksOf, Inbound, Pool};
use super::{Identity, connect, signatures};

/// Messages of up to so many bytes travel as datagrams: QUIC promises packets of 1200 bytes, and
/// its own headers take less than the rest.
const DATAGRAM_BYTES_MAX: usize = 1100;
/// Handshakes of others that are under way.
const HANDSHAKES_MAX: usize = 64;
/// Time to say goodbye.
const GOODBYE: Duration = Duration::from_millis(200);

/// Everybody with whom this node talks.
pub(super) type Peers = BTreeMap<NodeId, Arc<Peer>>;

/// What a network begins with.
pub struct Settings<'s> {
    /// Who this node is.
    pub identity: Identity,
    /// The cluster: nodes of others are refused.
    pub cluster: ClusterId,
    /// The members in force.
    pub configuration: &'s Configuration,
    /// Where it listens.
    pub socket: MakeSocket,
    /// Takes what comes in. Bounded: when it is full, peers are held back.
    pub inbound: Sender<Inbound>,
    /// Signatures inside of requests.
    pub checks_of: ChecksOf,
}

/// Connections with all members. Ends when dropped.
pub struct Network {
    own: NodeId,
    members: Arc<ArcSwap<Members>>,
    horizon: Arc<ArcSwapOption<Horizon>>,
    peers: Arc<ArcSwap<Peers>>,
    counters: Arc<Counters>,
    changed: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// Takes the socket and begins to connect.
    ///
    /// # Errors
    /// No thread, no socket, or a key that TLS does not take.
    pub fn start(settings: Settings<'_>) -> io::Result<Self> {
        let Settings {
            identity,
            cluster,
            configuration,
            socket,
            inbound,
            checks_of,
        } = settings;
        let own = identity.id();
        let members = Arc::new(ArcSwap::from_pointee(Members::new(own, configuration)));
        let (peers, counters) = (Arc::<ArcSwap<Peers>>::default(), Arc::<Counters>::default());
        let tls = Tls::new(&identity, cluster, &members, &counters).map_err(io::Error::other)?;
        let horizon = Arc::<ArcSwapOption<Horizon>>::default();
        let pool = Arc::new(Pool::start(
            cluster, &members, &horizon, &counters, inbound, checks_of,
        )?);
        let (changed, random) = (Arc::<Notify>::default(), signatures::random()?);
        let hub = Hub {
            own,
            members: Arc::clone(&members),
            peers: Arc::clone(&peers),
            changed: Arc::clone(&changed),
            context: Context {
                counters: Arc::clone(&counters),
                pool,
            },
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            dialling: BTreeSet::new(),
            random,
        };
        hub.fill(); // So that what is sent from now on is counted with its peer.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("nexus-mesh".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let made = endpoint::make(&identity, tls, socket);
                    let (result, made) = match made {
                        Ok(made) => (Ok(()), Some(made)),
                        Err(error) => (Err(error), None),
                    };
                    let _ = ready.send(result); // Its receiver waits below.
                    if let Some((endpoint, client)) = made {
                        hub.run(endpoint, client, stopped).await;
                    }
                });
            })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self {
            own,
            members,
            horizon,
            peers,
            counters,
            changed,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Sends a message to one peer, if there is a connection; else it is dropped and counted.
    pub fn send(&self, to: NodeId, message: &Message) {
        self.broadcast(&[to], message);
    }

    /// Sends a message to several peers. It is encoded once.
    pub fn broadcast(&self, to: &[NodeId], message: &Message) {
        let peers = self.peers.load();
        let mut encoded: Option<(Class, Outgoing)> = None;
        for id in to.iter().filter(|id| **id != self.own) {
            let peer = peers.get(id);
            let Some(peer) = peer.filter(|peer| peer.is_connected()) else {
                self.counters.lose(Loss::NotConnected, 1);
                peer.inspect(|peer| peer.counters.drops_sent.increment());
                continue;
            };
            let (class, outgoing) = encoded.get_or_insert_with(|| {
                let bytes = Bytes::from(message.encode(self.own));
                let kind = message.kind();
                let class = Class::of(kind, bytes.len(), DATAGRAM_BYTES_MAX);
                (class, Outgoing { kind, bytes })
            });
            if outgoing.bytes.len() > MESSAGE_BYTES_MAX {
                self.counters.lose(Loss::Oversized, 1);
                peer.counters.drops_sent.increment();
                continue;
            }
            let dropped = peer.queue.push(*class, outgoing.clone());
            self.counters.lose(Loss::QueueFull, dropped);
            peer.counters.drops_sent.add(dropped);
        }
    }

    /// Other members are in force: connects with new ones, parts from those gone or shut out.
    pub fn set_members(&self, configuration: &Configuration) {
        self.members
            .rcu(|members| members.followed_by(configuration));
        self.changed.notify_one();
    }

    /// These were members before: their old votes can be checked.
    pub fn remember_former(&self, keys: &[PublicKey]) {
        self.members.rcu(|members| members.remembering(keys));
    }

    /// What the replica can use from now on: of the rest no signature is checked. Until this is said, all is.
    pub fn set_horizon(&self, horizon: Horizon) {
        let known = self.horizon.load();
        if known.as_deref() != Some(&horizon) {
            self.horizon.store(Some(Arc::new(horizon)));
        }
    }

    /// Peers that vote, or those that do not.
    pub(crate) fn ids(&self, votes: bool) -> Vec<NodeId> {
        let members = self.members.load();
        let those = members
            .peers()
            .filter(|(_, known)| known.role.votes() == votes);
        those.map(|(id, _)| id).collect()
    }

    /// Peers that vote and can be reached now.
    pub(crate) fn connected_voters(&self) -> Vec<NodeId> {
        let (peers, voters) = (self.peers.load(), self.ids(true));
        let is_here = |id: &NodeId| peers.get(id).is_some_and(|peer| peer.is_connected());
        voters.into_iter().filter(is_here).collect()
    }

    /// How it stands with each peer.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.peers
            .load()
            .values()
            .map(|peer| peer.status())
            .collect()
    }

    /// What is counted, for metrics; goes on after the network has ended.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        Telemetry {
            counters: Arc::clone(&self.counters),
            peers: Arc::clone(&self.peers),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // It has panicked: the process ends by that.
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "network of node {}", self.own)
    }
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "settings of node {}", self.identity.id())
    }
}

/// What runs on the network's thread.
struct Hub {
    own: NodeId,
    members: Arc<ArcSwap<Members>>,
    peers: Arc<ArcSwap<Peers>>,
    changed: Arc<Notify>,
    context: Context,
    handshakes: Arc<Semaphore>,
    dialling: BTreeSet<NodeId>,
    random: ChaCha20Rng,
}

impl Hub {
    async fn run(
        mut self,
        endpoint: Endpoint,
        client: ClientConfig,
        mut stopped: oneshot::Receiver<()>,
    ) {
        self.dial(&endpoint, &client);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                () = self.changed.notified() => {
                    self.fill();
                    self.dial(&endpoint, &client);
                }
                Some(incoming) = endpoint.accept() => self.accept(incoming),
            }
        }
        endpoint.close(CLOSE_STOPPING, b"stopping");
        let _ = timeout(GOODBYE, endpoint.wait_idle()).await; // Who did not hear it will time out.
    }

    /// Brings the list of peers in line with the members.
    fn fill(&self) {
        let (members, before) = (self.members.load(), self.peers.load_full());
        let now = members.peers().map(|(id, known)| {
            let peer = before.get(&id).cloned();
            let peer = peer.unwrap_or_else(|| Arc::new(Peer::new(id, known.address)));
            peer.set_address(known.address);
            (id, peer)
        });
        let now: Peers = now.collect();
        let gone = before.values().filter(|peer| !now.contains_key(&peer.id));
        let gone: Vec<_> = gone.cloned().collect();
        self.peers.store(Arc::new(now));
        // After that, so that nobody who is accepted meanwhile slips in.
        gone.iter().for_each(|peer| peer.part());
    }

    /// Dials those whom nobody dials yet. Who dials somebody that is gone ends by himself.
    fn dial(&mut self, endpoint: &Endpoint, client: &ClientConfig) {
        let peers = self.peers.load_full();
        self.dialling.retain(|id| peers.contains_key(id));
        for (id, peer) in peers.iter().filter(|(id, _)| **id > self.own) {
            if self.dialling.insert(*id) {
                let mut seed = [0; 32];
                self.random.fill_bytes(&mut seed);
                let random = ChaCha20Rng::from_seed(seed);
                let (endpoint, client) = (endpoint.clone(), client.clone());
                let (context, peer) = (self.context.clone(), Arc::clone(peer));
                tokio::spawn(connect::dial(context, endpoint, client, peer, random));
            }
        }
    }

    fn accept(&self, incoming: Incoming) {
        if !incoming.remote_address_validated() {
            // Costs nothing until the sender has shown that its address is its own.
            let _ = incoming.retry(); // Cannot fail then.
            return;
        }
        let Ok(permit) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            return connect::turn_away(&self.context.counters, incoming);
        };
        let peers = Arc::clone(&self.peers);
        let accept = connect::accept(self.context.clone(), peers, self.own, incoming, permit);
        tokio::spawn(accept);
    }
}
