//! From bytes to [`Verified`] messages, off the event loop: decode, drop what the replica has no use for, find the keys,
//! check many signatures at once, hand on in the order in which each peer sent.
//!
//! A peer belongs to one thread, so that its order holds. What waits is bounded by permits that
//! come with each message (`link.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use chacha20::ChaCha20Rng;
use consensus::{
    CheckpointCertificate, ClusterId, Header, Horizon, Message, NodeId, PublicKey, Request,
    SignatureCheck, Use, Verified,
};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use tokio::sync::OwnedSemaphorePermit;

use super::counters::{Counters, Loss};
use super::members::Members;
use super::peer::Source;
use super::seen::Seen;
use super::signatures::{self, BATCH_MAX, Check};

/// Threads that check signatures.
const THREADS: usize = 2;
/// Messages that are looked at together.
const MESSAGES_MAX: usize = 256;
/// How often a peer is heard with what shows only that it lacks something; it says so again once a round.
const PLEA_INTERVAL: Duration = Duration::from_millis(20);
/// How often a thread that waits for the receiver looks whether it shall stop.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// The signatures that a state machine has inside of a request ([`consensus::StateMachine::checks`]).
pub type ChecksOf = Box<dyn Fn(&Request) -> Vec<SignatureCheck> + Send + Sync>;

/// What the mesh says to the one who drives the replica.
#[derive(Debug)]
pub enum Inbound {
    /// A message that came over the connection of this peer. Every signature in it holds. Its share of what
    /// may wait of the peer is given back with it: whoever receives more slowly than is sent holds that
    /// peer back, and nobody fills the memory. `None`: it came by no connection.
    Message(NodeId, Verified<Message>, Option<OwnedSemaphorePermit>),
    /// This peer sent a message with a signature that does not hold.
    BadSignature(NodeId),
    /// This peer sent a message with a signature of somebody whom this node does not know: one of the two is behind.
    UnknownSigner(NodeId),
    /// This peer sent bytes that are no message.
    Malformed(NodeId),
    /// There is a connection to this peer, perhaps in place of one before.
    Connected(NodeId),
    /// There is none any more.
    Disconnected(NodeId),
}

impl Inbound {
    fn peer(&self) -> NodeId {
        match self {
            Self::Message(peer, ..)
            | Self::BadSignature(peer)
            | Self::UnknownSigner(peer)
            | Self::Malformed(peer)
            | Self::Connected(peer)
            | Self::Disconnected(peer) => *peer,
        }
    }
}

/// A message as it came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) source: Arc<Source>,
    pub(super) header: Header,
    pub(super) bytes: Vec<u8>,
    /// Its share of what may wait of this peer.
    pub(super) permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Job {
    Frame(Frame),
    Event(Inbound),
}

/// What all threads share.
struct Shared {
    cluster: ClusterId,
    members: Arc<ArcSwap<Members>>,
    horizon: Arc<ArcSwapOption<Horizon>>,
    counters: Arc<Counters>,
    seen: Mutex<Seen>,
    inbound: Sender<Inbound>,
    checks_of: ChecksOf,
    is_stopping: AtomicBool,
}

/// The threads.
pub(super) struct Pool {
    shared: Arc<Shared>,
    jobs: Vec<Sender<Job>>,
}

impl Pool {
    /// Starts them. They end when the pool is dropped or nobody listens any more.
    ///
    /// # Errors
    /// The system has no thread or no random numbers.
    pub(super) fn start(
        cluster: ClusterId,
        members: &Arc<ArcSwap<Members>>,
        horizon: &Arc<ArcSwapOption<Horizon>>,
        counters: &Arc<Counters>,
        inbound: Sender<Inbound>,
        checks_of: ChecksOf,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            cluster,
            members: Arc::clone(members),
            horizon: Arc::clone(horizon),
            counters: Arc::clone(counters),
            seen: Mutex::default(),
            inbound,
            checks_of,
            is_stopping: AtomicBool::new(false),
        });
        let jobs = (0..THREADS).map(|_| {
            // Bounded by the permits of its frames, of which each peer has a fixed number.
            let (sender, jobs) = crossbeam_channel::unbounded();
            let mut worker = Worker {
                shared: Arc::clone(&shared),
                random: signatures::random()?,
                suspects: HashSet::new(),
                pleas: HashMap::new(),
            };
            thread::Builder::new()
                .name("nexus-verify".to_owned())
                .spawn(move || worker.run(&jobs))?;
            Ok(sender)
        });
        let jobs = jobs.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { shared, jobs })
    }

    /// Passes a message on to be looked at.
    pub(super) fn frame(&self, frame: Frame) {
        self.send(frame.source.peer.id, Job::Frame(frame));
    }

    /// Passes an event on behind what the peer has sent before it.
    pub(super) fn event(&self, event: Inbound) {
        self.send(event.peer(), Job::Event(event));
    }

    fn send(&self, peer: NodeId, job: Job) {
        let index = usize::try_from(peer.0 % THREADS as u64).unwrap_or(0);
        if let Some(jobs) = self.jobs.get(index) {
            let _ = jobs.send(job); // The thread has ended: nobody listens.
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
    }
}

struct Worker {
    shared: Arc<Shared>,
    random: ChaCha20Rng,
    /// Who has sent a bad signature: theirs are checked apart, so that they slow nobody else.
    suspects: HashSet<NodeId>,
    /// When a peer was last heard that lacks something.
    pleas: HashMap<NodeId, Instant>,
}

/// One job on its way.
enum Work {
    Event(Inbound),
    Message {
        source: Arc<Source>,
        message: Message,
        checks: Vec<Check>,
        permit: OwnedSemaphorePermit,
    },
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let (mut works, mut checks) = (Vec::new(), 0);
            let mut next = Some(first);
            while let Some(job) = next {
                if let Some(work) = self.prepare(job) {
                    if let Work::Message { checks: own, .. } = &work {
                        checks += own.len();
                    }
                    works.push(work);
                }
                let is_full = works.len() >= MESSAGES_MAX || checks >= BATCH_MAX;
                next = if is_full { None } else { jobs.try_recv().ok() };
            }
            if !self.finish(works) {
                return;
            }
        }
    }

    fn prepare(&mut self, job: Job) -> Option<Work> {
        match job {
            Job::Event(event) => Some(Work::Event(event)),
            Job::Frame(frame) => self.read(frame),
        }
    }

    /// Decodes a message and finds out what is still to be checked.
    fn read(&mut self, frame: Frame) -> Option<Work> {
        let Frame {
            source,
            header,
            bytes,
            permit,
        } = frame;
        let shared = Arc::clone(&self.shared);
        let (peer, counters) = (source.peer.id, &shared.counters);
        let refuse = |reason, event| {
            counters.lose(reason, 1);
            source.peer.counters.drops_received.increment();
            Some(Work::Event(event))
        };
        let message = match Message::decode(&bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!("node {peer} sent a {:?} that is none: {error}", header.kind);
                source.strike();
                return refuse(Loss::Malformed, Inbound::Malformed(peer));
            }
        };
        drop(bytes);
        if header.signature_bytes == 0 && header.node != peer {
            source.strike();
            return refuse(Loss::WrongSigner, Inbound::Malformed(peer));
        }
        if !self.is_of_use(peer, &message) {
            counters.lose(Loss::Useless, 1);
            source.peer.counters.useless.increment();
            source.peer.counters.drops_received.increment();
            return None;
        }
        let members = self.shared.members.load();
        let (message, brought) = keys_within(message, |id| members.key(id));
        let key = |id| {
            members
                .key(id)
                .or_else(|| brought.iter().find(|key| NodeId::of(key) == id).copied())
        };
        let mut checks = message.checks(self.shared.cluster);
        let requests = message.requests().iter();
        checks.extend(requests.flat_map(|request| (self.shared.checks_of)(request)));
        let Ok(mut checks) = Check::all(&checks, key) else {
            return refuse(Loss::UnknownSigner, Inbound::UnknownSigner(peer));
        };
        let before = checks.len();
        let seen = self
            .shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        checks.retain(|check| !seen.contains(&check.fingerprint));
        drop(seen);
        counters.signatures.add(checks.len() as u64);
        counters
            .signatures_known
            .add((before - checks.len()) as u64);
        Some(Work::Message {
            source,
            message,
            checks,
            permit,
        })
    }

    /// Whether a message is worth the checking of its signatures.
    fn is_of_use(&mut self, peer: NodeId, message: &Message) -> bool {
        let horizon = self.shared.horizon.load();
        match horizon.as_ref().map(|here| here.use_of(peer, message)) {
            None | Some(Use::Some) => true,
            Some(Use::None) => false,
            Some(Use::Plea) => {
                let (now, last) = (Instant::now(), self.pleas.get(&peer));
                let is_due = last.is_none_or(|last| now - *last >= PLEA_INTERVAL);
                if is_due {
                    self.pleas.insert(peer, now);
                }
                is_due
            }
        }
    }

    /// Checks all, hands on what holds. `false`: nobody listens.
    fn finish(&mut self, works: Vec<Work>) -> bool {
        let in_company = works.iter().filter_map(|work| match work {
            Work::Message { source, checks, .. } => {
                (!self.suspects.contains(&source.peer.id)).then_some(checks)
            }
            Work::Event(_) => None,
        });
        let all_hold = signatures::hold(in_company.flatten(), &mut self.random);
        works.into_iter().all(|work| {
            let inbound = match work {
                Work::Event(event) => event,
                Work::Message {
                    source,
                    message,
                    checks,
                    permit,
                } => {
                    let peer = source.peer.id;
                    let is_suspect = self.suspects.contains(&peer);
                    let holds = (all_hold && !is_suspect)
                        || signatures::hold(checks.iter(), &mut self.random);
                    if holds {
                        let mut seen = self
                            .shared
                            .seen
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner);
                        checks
                            .iter()
                            .for_each(|check| seen.insert(check.fingerprint));
                        Inbound::Message(peer, Verified::vouch(message), Some(permit))
                    } else {
                        self.suspects.insert(peer);
                        self.shared.counters.lose(Loss::BadSignature, 1);
                        source.peer.counters.bad_signatures.increment();
                        source.peer.counters.drops_received.increment();
                        Inbound::BadSignature(peer)
                    }
                }
            };
            self.hand_on(inbound)
        })
    }

    fn hand_on(&self, mut inbound: Inbound) -> bool {
        loop {
            match self.shared.inbound.send_timeout(inbound, STOP_INTERVAL) {
                Ok(()) => return true,
                Err(SendTimeoutError::Disconnected(_)) => return false,
                Err(SendTimeoutError::Timeout(back)) => inbound = back,
            }
            if self.shared.is_stopping.load(Ordering::Relaxed) {
                return false;
            }
        }
    }
}

/// What a node that is behind must be able to check although it does not know all members yet: a
/// snapshot brings the configurations on the way to it, whose keys are given back; a log, and the changes of epoch on
/// that way, are cut before the first signer that nobody knows, since what is before it makes that one known.
///
/// A key is what its id is the hash of; whether its holder counts, the replica decides.
fn keys_within(
    message: Message,
    known: impl Fn(NodeId) -> Option<PublicKey>,
) -> (Message, Vec<PublicKey>) {
    let nobody = ClusterId(consensus::Digest([0; 32])); // Only who signed is asked here.
    match message {
        Message::SnapshotOffer(mut offer) => {
            let bodies = offer.transitions.iter().map(|transition| &transition.body);
            let configurations = bodies.chain([&offer.body]).map(|body| &body.configuration);
            let members = configurations.flat_map(|configuration| configuration.members());
            let unknown = members
                .map(|member| (member.id(), member.key))
                .filter(|(id, _)| known(*id).is_none());
            let brought: BTreeMap<NodeId, PublicKey> = unknown.collect();
            let is_known = |certificate: &CheckpointCertificate| {
                certificate.checks(nobody).all(|check| {
                    known(check.signer).is_some() || brought.contains_key(&check.signer)
                })
            };
            let transitions = offer.transitions.iter();
            let count = transitions
                .take_while(|one| is_known(&one.certificate))
                .count();
            offer.transitions.truncate(count);
            if !is_known(&offer.certificate) {
                // Of an epoch that this part of the way does not reach.
                offer.certificate = CheckpointCertificate::default();
            }
            let brought = brought.into_values().collect();
            (Message::SnapshotOffer(offer), brought)
        }
        Message::Log(mut items) => {
            let is_known = |item: &consensus::HistoryItem| {
                item.checks(nobody)
                    .all(|check| known(check.signer).is_some())
            };
            let count = items.iter().position(|item| !is_known(item));
            // With nothing known it stays as it is and is dropped for its signers.
            items.truncate(count.filter(|count| *count > 0).unwrap_or(items.len()));
            (Message::Log(items), Vec::new())
        }
        message => (message, Vec::new()),
    }
}

#[cfg(test)]
mod tests;
