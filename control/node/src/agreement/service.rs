//! The thread that proposes and votes: takes what the engine, other nodes and the order say, checks signatures
//! many at a time, and passes on what comes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use consensus::{ClusterId, Configuration, Digest, NodeId, PublicKey, SignatureCheck, Signer};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use ledger::{AnswerVote, Opinion, ValidatedAnswers};
use pki::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ballots::{Ballot, Ballots, CertificateInquiry, Found, Inquiry};
use super::claim::is_claim;
use super::message::{MESSAGE_BYTES_MAX, Message};
use super::rounds::{Effect, Rounds};
use super::{Decided, Proposal};
use crate::clock;
use crate::counters::Counters;

/// What waits for the thread at most; more is dropped, and who waits for it gives up in time.
const INPUTS_MAX: usize = 32_768;
/// What of one member may wait for the thread, in units: 4 MiB, or so many small messages. All members that may
/// be faulty do not fill the way together.
const UNITS_MAX: usize = 512;
/// Bytes of a unit; each message takes at least one.
const UNIT_BYTES: usize = 8 * 1024;
const _: () = assert!(consensus::MEMBERS_MAX / 3 * UNITS_MAX < INPUTS_MAX);
/// Taken at once.
const BATCH_MAX: usize = 256;
/// Longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// The way to other nodes and into the order. Never blocks; what cannot be sent is dropped.
pub(crate) trait Cluster: fmt::Debug + Send + Sync + 'static {
    /// To one member, as a [`consensus::Message::Application`].
    fn send(&self, to: NodeId, bytes: Vec<u8>);

    /// To all other voters, as a [`consensus::Message::Application`].
    fn broadcast(&self, bytes: Vec<u8>);

    /// Has answers ordered; `done` is told what the ledger says.
    fn order(&self, answers: ValidatedAnswers, done: Ordered);

    /// This node said something else to this question than a node that proposed an answer.
    fn on_contradiction(&self, subject: NodeId);
}

/// The way back from the order.
#[derive(Debug)]
pub(crate) struct Ordered {
    order: u64,
    inputs: Sender<Input>,
    is_told: bool,
}

impl Ordered {
    /// What the ledger says of each answer; `None` if nobody knows.
    pub(crate) fn tell(mut self, verdicts: Option<Vec<ledger::Verdict>>) {
        self.is_told = true;
        self.pass_on(verdicts);
    }

    fn pass_on(&self, verdicts: Option<Vec<ledger::Verdict>>) {
        // While there is no room, whoever waits gives up in time.
        let _ = self.inputs.try_send(Input::Ordered(self.order, verdicts));
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        if !self.is_told {
            self.pass_on(None);
        }
    }
}

/// The resolver's side.
pub(crate) trait Resolving: Send + 'static {
    /// Has these resolved; each comes back by [`AgreementHandle::found`], whatever becomes of it.
    fn inquire(&self, inquiries: Vec<Inquiry>);

    /// Tells what became of proposals.
    fn decided(&self, decided: Vec<Decided>);
}

/// The side of the judge of certificates.
pub(crate) trait Judging: Send + 'static {
    /// Has these judged; each comes back by [`AgreementHandle::judged`], whatever becomes of it.
    fn inquire(&self, inquiries: Vec<CertificateInquiry>);

    /// Tells what became of proposals.
    fn decided(&self, decided: Vec<Decided>);
}

/// What the thread begins with.
pub(crate) struct Setup<S> {
    /// Signs as this node.
    pub signer: S,
    /// Which cluster this is.
    pub cluster_id: ClusterId,
    /// The members in force.
    pub configuration: Configuration,
    /// The way to other nodes.
    pub cluster: Arc<dyn Cluster>,
    /// The resolver.
    pub resolving: Box<dyn Resolving>,
    /// The judge of certificates.
    pub judging: Box<dyn Judging>,
    /// How long somebody waits for a proposal.
    pub timeout: Duration,
    /// Counts.
    pub counters: Arc<Counters>,
}

impl<S> fmt::Debug for Setup<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Input {
    Propose(Proposal),
    Found(u64, Found),
    Judged(u64, Option<Status>),
    Message(NodeId, Vec<u8>, OwnedSemaphorePermit),
    Ordered(u64, Option<Vec<ledger::Verdict>>),
    Configured(Box<Configuration>),
    Stop,
}

/// The way to the thread, from any other. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AgreementHandle {
    inputs: Sender<Input>,
    /// What of each member may still wait.
    room: Arc<Mutex<BTreeMap<NodeId, Arc<Semaphore>>>>,
    counters: Arc<Counters>,
}

impl AgreementHandle {
    /// Proposes an answer. False if there is too much to do.
    pub(crate) fn propose(&self, proposal: Proposal) -> bool {
        self.inputs.try_send(Input::Propose(proposal)).is_ok()
    }

    /// What was found for an inquiry.
    pub(crate) fn found(&self, token: u64, found: Found) {
        let _ = self.inputs.try_send(Input::Found(token, found)); // The vote says that there is none.
    }

    /// The verdict on an inquiry; `None` if there is none.
    pub(crate) fn judged(&self, token: u64, status: Option<Status>) {
        let _ = self.inputs.try_send(Input::Judged(token, status)); // The vote says that there is none.
    }

    /// Another member's message. Counted and dropped if it is longer than any, or if too much waits.
    pub(crate) fn on_message(&self, from: NodeId, bytes: Vec<u8>) {
        if bytes.len() > MESSAGE_BYTES_MAX {
            self.counters.validation_drops_malformed.increment();
            return;
        }
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let room_of = room
            .entry(from)
            .or_insert_with(|| Arc::new(Semaphore::new(UNITS_MAX)));
        let units = bytes.len().div_ceil(UNIT_BYTES).max(1);
        let permit =
            Arc::clone(room_of).try_acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
        drop(room);
        let is_sent = permit.is_ok_and(|permit| {
            let input = Input::Message(from, bytes, permit);
            self.inputs.try_send(input).is_ok()
        });
        if !is_sent {
            self.counters.validation_drops_overload.increment();
        }
    }

    /// These are the members from now on.
    pub(crate) fn configure(&self, configuration: Configuration) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.retain(|id, _| configuration.member(*id).is_some());
        drop(room);
        let _ = self.inputs.send(Input::Configured(Box::new(configuration)));
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let _ = self.inputs.send(Input::Stop);
    }
}

/// Starts the thread.
///
/// # Errors
/// The system has none.
pub(crate) fn start<S: Signer + Send + 'static>(
    channel: Channel,
    setup: Setup<S>,
) -> io::Result<JoinHandle<()>> {
    let Channel { handle, inputs } = channel;
    let timeout_us = u64::try_from(setup.timeout.as_micros()).unwrap_or(u64::MAX);
    let rounds = Rounds::new(setup.signer.id(), setup.configuration, timeout_us);
    let service = Service {
        begun: Instant::now(),
        signer: setup.signer,
        cluster_id: setup.cluster_id,
        cluster: setup.cluster,
        resolving: setup.resolving,
        judging: setup.judging,
        counters: setup.counters,
        rounds,
        ballots: Ballots::default(),
        handle,
    };
    std::thread::Builder::new()
        .name("nexus-answers".to_owned())
        .spawn(move || service.run(&inputs))
}

/// The way to a thread that is still to start, for those who must know it before.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) handle: AgreementHandle,
    inputs: Receiver<Input>,
}

impl Channel {
    /// One whose losses are counted here.
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        let (sender, inputs) = crossbeam_channel::bounded(INPUTS_MAX);
        let handle = AgreementHandle {
            inputs: sender,
            room: Arc::default(),
            counters,
        };
        Self { handle, inputs }
    }

    /// What was found for an inquiry, if that is what comes next.
    #[cfg(test)]
    pub(crate) fn take_found(&self) -> Option<(u64, Found)> {
        match self.inputs.try_recv() {
            Ok(Input::Found(token, found)) => Some((token, found)),
            _ => None,
        }
    }
}

struct Service<S> {
    begun: Instant,
    signer: S,
    cluster_id: ClusterId,
    cluster: Arc<dyn Cluster>,
    resolving: Box<dyn Resolving>,
    judging: Box<dyn Judging>,
    counters: Arc<Counters>,
    rounds: Rounds,
    ballots: Ballots,
    /// So that the order finds the way back.
    handle: AgreementHandle,
}

impl<S: Signer> Service<S> {
    fn run(mut self, inputs: &Receiver<Input>) {
        let mut effects = Vec::new();
        loop {
            let first = match inputs.recv_timeout(self.sleep()) {
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
            };
            let mut votes = Vec::new();
            for input in first.into_iter().chain(inputs.try_iter().take(BATCH_MAX)) {
                if matches!(input, Input::Stop) {
                    return;
                }
                self.take(input, &mut votes, &mut effects);
            }
            for (digest, vote) in self.check(votes) {
                let now_us = self.now_us();
                self.rounds.on_vote(now_us, digest, vote, &mut effects);
            }
            let now_us = self.now_us();
            self.rounds.tick(now_us, unix_ms(), &mut effects);
            for ballot in self.ballots.tick(now_us) {
                self.vote(ballot);
            }
            for effect in effects.drain(..) {
                self.perform(effect);
            }
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn sleep(&self) -> Duration {
        let due = [self.rounds.deadline_us(), self.ballots.deadline_us()];
        let due = due.into_iter().flatten().min();
        let wait = due.map(|due| Duration::from_micros(due.saturating_sub(self.now_us())));
        wait.map_or(SLEEP_MAX, |wait| wait.min(SLEEP_MAX))
    }

    fn take(
        &mut self,
        input: Input,
        votes: &mut Vec<(Digest, AnswerVote)>,
        effects: &mut Vec<Effect>,
    ) {
        let now_us = self.now_us();
        match input {
            Input::Propose(proposal) => self.rounds.propose(now_us, proposal, effects),
            Input::Found(token, found) => {
                if let Some(ballot) = self.ballots.on_found(token, &found) {
                    self.vote(ballot);
                }
            }
            Input::Judged(token, status) => {
                if let Some(ballot) = self.ballots.on_judged(token, status) {
                    self.vote(ballot);
                }
            }
            Input::Message(from, bytes, _share) => match Message::decode(&bytes) {
                Ok(Message::Bundle(bundle)) => self.on_bundle(now_us, from, &bundle),
                // Votes travel from their signers alone.
                Ok(Message::Vote(digest, vote)) if vote.signer == from => {
                    if self.rounds.wants(&digest, from) {
                        votes.push((digest, vote));
                    }
                }
                Ok(Message::Vote(..)) => self.counters.validation_drops_sender.increment(),
                Err(error) => {
                    tracing::debug!(%from, %error, "a message on answers that is none");
                    self.counters.validation_drops_malformed.increment();
                }
            },
            Input::Ordered(order, verdicts) => {
                let verdicts = verdicts.as_deref();
                self.rounds.on_ordered(now_us, order, verdicts, effects);
            }
            Input::Configured(configuration) => self.rounds.set_configuration(*configuration),
            Input::Stop => {}
        }
    }

    fn on_bundle(&mut self, now_us: u64, from: NodeId, bundle: &ledger::AnswerBundle) {
        if !self.rounds.configuration().is_voter(self.signer.id()) {
            return; // Nobody counts this node's word.
        }
        let times = (now_us, unix_ms());
        let configuration = self.rounds.configuration();
        match self.ballots.on_bundle(times, from, bundle, configuration) {
            Ok((inquiries, ballot)) => {
                if !inquiries.names.is_empty() {
                    self.resolving.inquire(inquiries.names);
                }
                if !inquiries.certificates.is_empty() {
                    self.judging.inquire(inquiries.certificates);
                }
                if let Some(ballot) = ballot {
                    self.vote(ballot);
                }
            }
            Err(turned) => {
                tracing::debug!(%from, ?turned, "answers that are not voted on");
                self.counters.validation_drops_turned.increment();
            }
        }
    }

    /// Those whose signatures hold.
    fn check(&self, votes: Vec<(Digest, AnswerVote)>) -> Vec<(Digest, AnswerVote)> {
        let configuration = self.rounds.configuration();
        let holds = |(digest, vote): &(Digest, AnswerVote)| {
            let member = configuration.member(vote.signer);
            let check = vote.check(self.cluster_id, *digest);
            let holds = member.is_some_and(|member| holds(&member.key, &check));
            if !holds {
                self.counters.validation_drops_signature.increment();
            }
            holds
        };
        votes.into_iter().filter(holds).collect()
    }

    fn vote(&self, ballot: Ballot) {
        for opinion in &ballot.opinions {
            match opinion {
                Opinion::NoAnswer => self.counters.validation_votes_none.increment(),
                Opinion::Agree => self.counters.validation_votes_agree.increment(),
                Opinion::Disagree => self.counters.validation_votes_disagree.increment(),
            }
        }
        if ballot.contradicts {
            self.cluster.on_contradiction(ballot.proposer);
        }
        let bundle = ballot.bundle;
        let vote = AnswerVote::sign(self.cluster_id, &self.signer, bundle, ballot.opinions);
        let message = Message::Vote(bundle, vote);
        self.cluster.send(ballot.proposer, message.encode());
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Broadcast(bundle) => {
                self.counters.validation_bundles.increment();
                self.cluster.broadcast(Message::Bundle(bundle).encode());
            }
            Effect::Order(order, answers) => {
                let ordered = Ordered {
                    order,
                    inputs: self.handle.inputs.clone(),
                    is_told: false,
                };
                self.cluster.order(answers, ordered);
            }
            Effect::Decided(decided) => {
                let (claims, answers): (Vec<_>, _) = decided
                    .into_iter()
                    .partition(|(proposal, _)| is_claim(&proposal.key));
                if !claims.is_empty() {
                    self.judging.decided(claims);
                }
                if !answers.is_empty() {
                    self.resolving.decided(answers);
                }
            }
        }
    }
}

fn unix_ms() -> u64 {
    let (secs, nanos) = clock::unix_time();
    secs.saturating_mul(1_000)
        .saturating_add(u64::from(nanos / 1_000_000))
}

/// Ed25519 by ZIP 215, as everywhere in consensus.
fn holds(key: &PublicKey, check: &SignatureCheck) -> bool {
    let signature = ed25519_zebra::Signature::from_bytes(&check.signature.0);
    let key = ed25519_zebra::VerificationKey::try_from(key.0);
    key.is_ok_and(|key| key.verify(&signature, &check.preimage).is_ok())
}
