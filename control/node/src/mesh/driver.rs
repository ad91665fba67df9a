//! Drives the replica: time, messages and wishes in, effects out, behind the records they rest on.
//!
//! Three threads. This one owns the [`Replica`] and steps it. The writer (`writer.rs`) makes records
//! durable, many at once, and then lets out what waited for them; the replica goes on meanwhile. The
//! keeper (`keeper.rs`) stores snapshots and serves members that are behind. Start at [`start`]; the
//! rest of the node talks to [`MeshHandle`].

mod front;
mod handle;
mod keeper;
mod outside;
mod phases;
mod recovering;
mod stamps;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use consensus::{
    Configuration, Effect, Input, Message, NodeId, Now, Observation, Params, Replica, ReplicaError,
    Request, RequestId, Sequence, Signer, StateMachine, Verified,
};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use tokio::sync::oneshot;

pub use front::{Bundler, Reply, SubmitError, WISH_BYTES_MAX};
pub use handle::{MeshHandle, Standing};
pub use outside::{Event, Hooks, Outbox, Publication};
pub use phases::{PhaseSummary, Phases, Timed};

use self::front::{Front, Wish, tell};
use self::keeper::Keeper;
use self::stamps::Stamps;
use self::writer::{Release, Step, Writer};
use super::store::{Disk, HistoryLimits, Owner, Store, StoreError};

/// Commands that wait at most.
const COMMANDS_MAX: usize = 16_384;
/// Inputs between two looks at the clock and at who has waited too long.
const ROUND_INPUTS_MAX: usize = 256;
/// Reads that wait at most.
const READS_MAX: usize = 4096;
/// Where the node stands is published at most so often.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(5);
/// Longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// What the node may choose for its part.
#[derive(Debug, Clone)]
pub struct DriverLimits {
    /// Requests of this node on their way at the same time.
    pub lanes_count: usize,
    /// How long a client waits for a reply.
    pub request_timeout: Duration,
    /// How much history is kept.
    pub history: HistoryLimits,
}

impl Default for DriverLimits {
    fn default() -> Self {
        Self {
            lanes_count: 16,
            request_timeout: Duration::from_secs(10),
            history: HistoryLimits::default(),
        }
    }
}

/// All that a driver begins with.
#[derive(Debug)]
pub struct Setup<M, S, H, B> {
    /// The folder of the store.
    pub folder: PathBuf,
    /// Its disk.
    pub disk: Arc<dyn Disk>,
    /// The first configuration of the cluster.
    pub genesis: Configuration,
    /// For the replica.
    pub params: Params,
    /// Signs as this node.
    pub signer: S,
    /// The state machine before its first request.
    pub machine: M,
    /// The node's side of it.
    pub hooks: H,
    /// How wishes become requests.
    pub bundler: B,
    /// The way to other nodes.
    pub outbox: Arc<dyn Outbox>,
    /// The way from other nodes.
    pub inbound: Receiver<(NodeId, Verified<Message>)>,
    /// What the node may choose.
    pub limits: DriverLimits,
}

/// Why a replica cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds what cannot be.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The machine refused.
    #[error("consensus: {0}")]
    Machine(#[from] std::io::Error),
}

/// What the driver is told from inside the node.
#[derive(Debug)]
enum Command {
    Submit(Wish),
    Read(oneshot::Sender<Result<(), SubmitError>>, Instant),
    Failed(String),
    Stop,
}

/// The threads of a driver. They end when it is dropped.
#[derive(Debug)]
pub struct Driver {
    handle: MeshHandle,
    threads: Vec<JoinHandle<()>>,
}

impl Driver {
    /// For whoever has something to ask.
    #[must_use]
    pub fn handle(&self) -> MeshHandle {
        self.handle.clone()
    }

    /// Ends all threads, closes the store in order, and waits for it.
    pub fn stop(mut self) {
        let _ = self.handle.commands.send(Command::Stop);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("consensus: a thread has panicked");
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.handle.commands.try_send(Command::Stop);
    }
}

/// Opens the store, recovers the replica and starts its threads.
///
/// # Errors
/// The store or what it holds is no good. Nothing was sent.
pub fn start<M, S, H, B>(setup: Setup<M, S, H, B>) -> Result<Driver, StartError>
where
    M: StateMachine + Send + 'static,
    S: Signer + Clone + Send + 'static,
    H: Hooks<M>,
    B: Bundler,
{
    let owner = Owner {
        cluster: setup.genesis.cluster(),
        node: setup.signer.id(),
    };
    let limits = &setup.limits;
    let (store, records) = Store::open(setup.disk, &setup.folder, owner, limits.history)?;
    let stamps = Stamps::open(&setup.folder)?;
    let clock = Clock::new();
    let (replica, effects) = recovering::recover(
        clock.now(),
        &setup.params,
        &setup.signer,
        &setup.machine,
        &setup.genesis,
        &store,
        &records,
    )?;
    let (command_sender, commands) = bounded(COMMANDS_MAX);
    let (step_sender, steps) = bounded(writer::STEPS_MAX);
    let (job_sender, jobs) = bounded(keeper::JOBS_MAX);
    let (history, snapshots) = (store.history.clone(), store.snapshots.clone());
    let keeper = Keeper {
        history: history.clone(),
        snapshots: snapshots.clone(),
        outbox: setup.outbox.clone(),
    };
    let phases = Arc::new(Phases::default());
    let writer = Writer {
        store,
        outbox: setup.outbox,
        keeper: job_sender,
        driver: command_sender.clone(),
        phases: phases.clone(),
        pending: None,
    };
    let front = Front::new(limits.lanes_count, limits.request_timeout);
    let standing = standing_of(&replica, &front, &history, &snapshots);
    let standing = Arc::new(ArcSwap::from_pointee(standing));
    let handle = MeshHandle {
        commands: command_sender,
        standing: standing.clone(),
        phases: phases.clone(),
    };
    let driving = Driving {
        replica,
        signer: setup.signer,
        hooks: setup.hooks,
        bundler: setup.bundler,
        clock,
        front,
        stamps,
        reads: BTreeMap::new(),
        next_token: 0,
        steps: Some(step_sender),
        phases,
        history,
        snapshots,
        standing,
        published: Instant::now(),
        failure: None,
    };
    let inbound = setup.inbound;
    let drive = move || driving.run(effects, &inbound, &commands);
    let threads = vec![
        spawn("mesh-keeper", move || keeper.run(&jobs))?,
        spawn("mesh-writer", move || writer.run(&steps))?,
        spawn("mesh-replica", drive)?,
    ];
    Ok(Driver { handle, threads })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Both clocks of a step.
#[derive(Debug)]
struct Clock {
    begun: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic_us: u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            unix_ms: unix_us() / 1000,
        }
    }

    fn instant_of(&self, monotonic_us: u64) -> Instant {
        self.begun + Duration::from_micros(monotonic_us)
    }
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// What the replica's thread owns.
struct Driving<M, S, H, B> {
    replica: Replica<M, S>,
    signer: S,
    hooks: H,
    bundler: B,
    clock: Clock,
    front: Front,
    stamps: Stamps,
    reads: BTreeMap<u64, (oneshot::Sender<Result<(), SubmitError>>, Instant)>,
    next_token: u64,
    /// `None`: nothing goes out any more.
    steps: Option<Sender<Step>>,
    phases: Arc<Phases>,
    history: Arc<super::store::History>,
    snapshots: Arc<super::store::Snapshots>,
    standing: Arc<ArcSwap<Standing>>,
    published: Instant,
    failure: Option<String>,
}

impl<M, S, H, B> Driving<M, S, H, B>
where
    M: StateMachine,
    S: Signer + Clone,
    H: Hooks<M>,
    B: Bundler,
{
    fn run(
        mut self,
        effects: Vec<Effect>,
        inbound: &Receiver<(NodeId, Verified<Message>)>,
        commands: &Receiver<Command>,
    ) {
        // The state that was recovered is put into service like any other.
        self.pass_on(effects, true);
        loop {
            let sleep = self.sleep();
            let mut has_network = true;
            select! {
                recv(inbound) -> message => match message {
                    Ok((from, message)) => self.step(Input::Message(from, message)),
                    Err(_) => has_network = false,
                },
                recv(commands) -> command => match command {
                    Ok(command) => if !self.on_command(command) { break },
                    Err(_) => break,
                },
                default(sleep) => {}
            }
            for (from, message) in inbound.try_iter().take(ROUND_INPUTS_MAX) {
                self.step(Input::Message(from, message));
            }
            let mut is_stopping = !has_network;
            for command in commands.try_iter().take(ROUND_INPUTS_MAX) {
                if !self.on_command(command) {
                    is_stopping = true;
                    break;
                }
            }
            if is_stopping {
                break;
            }
            self.on_time();
        }
        self.end("it is stopping");
    }

    fn sleep(&self) -> Duration {
        let now = Instant::now();
        let due = self
            .replica
            .deadline_us()
            .filter(|_| self.failure.is_none())
            .map(|due| self.clock.instant_of(due));
        let due = due.into_iter().chain(self.front.deadline()).min();
        due.map_or(SLEEP_MAX, |due| due.saturating_duration_since(now))
            .min(SLEEP_MAX)
    }

    /// `false` if this was the last one.
    fn on_command(&mut self, command: Command) -> bool {
        match command {
            Command::Submit(wish) => match &self.failure {
                Some(reason) => tell(wish.sender, Err(SubmitError::Stopped(reason.clone()))),
                None => self.front.push(wish),
            },
            Command::Read(client, since) => self.on_read(client, since),
            Command::Failed(reason) => self.fail(reason),
            Command::Stop => return false,
        }
        true
    }

    fn on_read(&mut self, client: oneshot::Sender<Result<(), SubmitError>>, since: Instant) {
        if let Some(reason) = &self.failure {
            tell(client, Err(SubmitError::Stopped(reason.clone())));
            return;
        }
        if self.reads.len() >= READS_MAX {
            tell(client, Err(SubmitError::Busy));
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        self.reads.insert(token, (client, since));
        self.step(Input::Read(token));
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        self.front.expire(now);
        if self.failure.is_none() {
            self.send_wishes();
            let due = self.replica.deadline_us();
            if due.is_some_and(|due| due <= self.clock.now().monotonic_us) {
                self.step(Input::Tick);
            }
        }
        if now - self.published >= PUBLISH_INTERVAL {
            self.publish_standing(now);
        }
    }

    /// Free lanes take what waits.
    fn send_wishes(&mut self) {
        while let Some(next) = self.front.next_request() {
            let timestamp = match self.stamps.next(unix_us()) {
                Ok(timestamp) => timestamp,
                Err(error) => {
                    self.fail(format!("timestamps of requests: {error}"));
                    return;
                }
            };
            let mut wishes = next.wishes;
            let commands = wishes.iter_mut();
            let commands: Vec<_> = commands
                .map(|wish| std::mem::take(&mut wish.command))
                .collect();
            let command = self.bundler.bundle(&commands);
            let cluster = self.replica.cluster();
            let request =
                Request::sign(cluster, &self.signer, next.lane, timestamp, command.into());
            self.front
                .start(next.lane, timestamp, wishes, Instant::now());
            self.step(Input::Request(Verified::vouch(request)));
        }
    }

    fn step(&mut self, input: Input) {
        if self.failure.is_some() {
            return;
        }
        let mut effects = Vec::new();
        self.replica.step(self.clock.now(), input, &mut effects);
        if !effects.is_empty() {
            self.pass_on(effects, false);
        }
    }

    /// Does what must be done at once, and gives the rest to the writer.
    fn pass_on(&mut self, effects: Vec<Effect>, is_first: bool) {
        let now = Instant::now();
        let is_change = |effect: &Effect| {
            let is_executed = matches!(effect, Effect::Observe(Observation::Executed(_)));
            is_executed || matches!(effect, Effect::Install { .. })
        };
        let has_changed = is_first || effects.iter().any(is_change);
        let mut publication = if has_changed {
            self.hooks.on_applied(self.replica.machine_mut())
        } else {
            None
        };
        let mut order = Order::default();
        for effect in effects {
            let follows_change = matches!(
                effect,
                Effect::Executed { .. } | Effect::ReadReady(_) | Effect::Observe(_)
            );
            if follows_change && (is_change(&effect) || !matches!(effect, Effect::Observe(_))) {
                order.publish(&mut publication);
            }
            self.sort(effect, now, &mut order);
        }
        order.publish(&mut publication);
        if let Some(steps) = &self.steps {
            // Waits while the disk is far behind: then no more is taken on.
            if steps.send(order.into_step()).is_err() {
                self.steps = None;
            }
        }
    }

    fn sort(&mut self, effect: Effect, now: Instant, order: &mut Order) {
        match effect {
            Effect::Executed {
                id,
                sequence,
                reply,
            } => {
                let release = self.replies(id, sequence, &reply);
                order.releases.extend(release);
            }
            Effect::ReadReady(token) => {
                let read = self.reads.remove(&token);
                let release = read.map(|(client, since)| Release::Read(client, since));
                order.releases.extend(release);
            }
            Effect::ReadFailed(token) => {
                if let Some((client, _)) = self.reads.remove(&token) {
                    tell(client, Err(SubmitError::NoQuorum));
                }
            }
            Effect::Observe(observation) => {
                self.phases.note(&observation, now);
                if let Observation::Executed(_) = observation {
                    order.executed_last = order.releases.len();
                    order.releases.push(Release::Executed(now));
                }
                self.hooks.on_event(Event::Observed(observation));
            }
            Effect::Deliver(from, bytes) => self.hooks.on_event(Event::Message(from, bytes)),
            Effect::Evidence(evidence) => self.hooks.on_event(Event::Evidence(evidence)),
            Effect::Halt {
                sequence,
                expected,
                found,
            } => {
                let reason = format!(
                    "its state at {sequence} has the digest {found}, but a quorum has {expected}"
                );
                tracing::error!(reason, "consensus: stopped");
                self.fail(reason);
            }
            Effect::Configured(configuration) => {
                self.hooks
                    .on_event(Event::Configured(configuration.clone()));
                let effect = Effect::Configured(configuration);
                order.releases.push(Release::Effect(effect));
            }
            effect @ (Effect::Persist(_) | Effect::Install { .. }) => {
                order.records.push(order.releases.len());
                order.releases.push(Release::Effect(effect));
            }
            effect => order.releases.push(Release::Effect(effect)),
        }
    }

    /// To those who wait for a request of this node.
    fn replies(&mut self, id: RequestId, sequence: Sequence, reply: &[u8]) -> Option<Release> {
        if id.client != self.signer.id() {
            return None;
        }
        let waiting = self.front.finish(id)?;
        let count = waiting.clients.len();
        let mut parts = self.bundler.split(reply, count).into_iter();
        let clients = waiting.clients.into_iter();
        let replies = clients
            .map(|(client, since)| (client, since, parts.next().unwrap_or_default()))
            .collect();
        Some(Release::Replies {
            sequence,
            is_fast: self.phases.is_fast(sequence),
            replies,
        })
    }

    /// Takes no part any more.
    fn fail(&mut self, reason: String) {
        if self.failure.is_some() {
            return;
        }
        self.failure = Some(reason.clone());
        self.end(&reason);
        self.publish_standing(Instant::now());
        self.hooks.on_event(Event::Halted(reason));
    }

    /// Nothing goes out any more, and whoever waits is told.
    fn end(&mut self, reason: &str) {
        self.steps = None;
        self.front.stop(reason);
        for (client, _) in std::mem::take(&mut self.reads).into_values() {
            tell(client, Err(SubmitError::Stopped(reason.to_owned())));
        }
    }

    fn publish_standing(&mut self, now: Instant) {
        self.published = now;
        let mut standing = standing_of(&self.replica, &self.front, &self.history, &self.snapshots);
        standing.failure.clone_from(&self.failure);
        self.standing.store(Arc::new(standing));
    }
}

fn standing_of<M: StateMachine, S: Signer>(
    replica: &Replica<M, S>,
    front: &Front,
    history: &super::store::History,
    snapshots: &super::store::Snapshots,
) -> Standing {
    Standing {
        summary: replica.summary(),
        members: replica.statuses().collect(),
        lanes_busy: front.busy_count(),
        waiting: front.waiting_count(),
        history: history.range(),
        history_bytes: history.bytes_count(),
        snapshot: snapshots.newest().map(|stored| stored.body.sequence),
        failure: None,
    }
}

/// The effects of one step, being put in order for the writer.
#[derive(Default)]
struct Order {
    releases: Vec<Release>,
    /// Where records and whole states to be made durable stand.
    records: Vec<usize>,
    published: Option<usize>,
    /// Where the last execution stands.
    executed_last: usize,
}

impl Order {
    fn publish(&mut self, publication: &mut Option<Publication>) {
        if let Some(publication) = publication.take() {
            self.published = Some(self.releases.len());
            self.releases.push(Release::Publish(publication));
        }
    }

    /// Everything from the first record on waits. So does a publication that holds what was executed
    /// behind a record.
    fn into_step(self) -> Step {
        let first = self.records.first().copied();
        let early = self.published.filter(|published| {
            let mut records = self.records.iter();
            records.any(|record| published < record && *record < self.executed_last)
        });
        let hold_from = first.into_iter().chain(early).min();
        Step {
            hold_from: hold_from.unwrap_or(self.releases.len()),
            releases: self.releases,
        }
    }
}
