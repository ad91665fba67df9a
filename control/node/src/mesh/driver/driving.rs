//! The replica's thread: what comes in is a step, and what a step brings is put in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use consensus::{
    Effect, Input, Now, Observation, Replica, Request, RequestId, Sequence, Signer, StateMachine,
    Verified,
};
use crossbeam_channel::{Receiver, Sender, select};
use tokio::sync::oneshot;

use super::Command;
use super::front::{Bundler, Front, SubmitError, tell};
use super::handle::Standing;
use super::outside::{Event, Hooks, Outbox, Publication};
use super::phases::Phases;
use super::stamps::Stamps;
use super::writer::{Release, Step};
use crate::mesh::Inbound;
use crate::mesh::store::{History, Snapshots};

/// Inputs between two looks at the clock and at who has waited too long.
const ROUND_INPUTS_MAX: usize = 256;
/// Reads that wait at most.
const READS_MAX: usize = 4096;
/// Where the node stands is published at most so often.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(5);
/// Longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Both clocks of a step.
#[derive(Debug)]
pub(super) struct Clock {
    begun: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Now {
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
pub(super) struct Driving<M, S, H, B> {
    pub(super) replica: Replica<M, S>,
    pub(super) signer: S,
    pub(super) hooks: H,
    pub(super) bundler: B,
    pub(super) clock: Clock,
    pub(super) front: Front,
    pub(super) stamps: Stamps,
    pub(super) reads: BTreeMap<u64, (oneshot::Sender<Result<(), SubmitError>>, Instant)>,
    pub(super) next_token: u64,
    /// `None`: nothing goes out any more.
    pub(super) steps: Option<Sender<Step>>,
    pub(super) phases: Arc<Phases>,
    pub(super) history: Arc<History>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) standing: Arc<ArcSwap<Standing>>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) published: Instant,
    pub(super) failure: Option<String>,
}

impl<M, S, H, B> Driving<M, S, H, B>
where
    M: StateMachine + 'static,
    S: Signer + Clone,
    H: Hooks<M>,
    B: Bundler,
{
    /// Until it is told to stop or the network has ended.
    pub(super) fn run(
        mut self,
        effects: Vec<Effect>,
        inbound: &Receiver<Inbound>,
        commands: &Receiver<Command>,
    ) {
        self.outbox.stand(self.replica.horizon());
        // The state that was recovered is put into service like any other.
        self.pass_on(effects, true);
        loop {
            let sleep = self.sleep();
            let mut has_network = true;
            select! {
                recv(inbound) -> message => match message {
                    Ok(inbound) => self.on_inbound(inbound),
                    Err(_) => has_network = false,
                },
                recv(commands) -> command => match command {
                    Ok(command) => if !self.on_command(command) { break },
                    Err(_) => break,
                },
                default(sleep) => {}
            }
            for inbound in inbound.try_iter().take(ROUND_INPUTS_MAX) {
                self.on_inbound(inbound);
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

    fn on_inbound(&mut self, inbound: Inbound) {
        match inbound {
            // Its share is given back when the replica has dealt with it.
            Inbound::Message(from, message, _share) => self.step(Input::Message(from, message)),
            other => self.hooks.on_event(Event::Network(other)),
        }
    }

    /// `false` if this was the last one.
    fn on_command(&mut self, command: Command) -> bool {
        match command {
            Command::Submit(wish) => match &self.failure {
                Some(reason) => tell(wish.sender, Err(SubmitError::Stopped(reason.clone()))),
                None => self.front.push(wish),
            },
            Command::Read(client, since) => self.on_read(client, since),
            Command::Inspect(look) => {
                let tell = look(self.replica.machine_mut());
                match &self.steps {
                    Some(_) => self.give(Step::publishing(tell)),
                    None => tell(),
                }
            }
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
            self.step_request(request);
        }
    }

    /// A request that this node's own replica does not take will never be executed.
    fn step_request(&mut self, request: Request) {
        let id = request.id;
        let effects = self.effects_of(Input::Request(Verified::vouch(request)));
        let refused = Effect::Observe(Observation::BadProposal(id.client));
        let is_refused = effects.contains(&refused);
        if !effects.is_empty() {
            self.pass_on(effects, false);
        }
        if let Some(waiting) = is_refused.then(|| self.front.finish(id)).flatten() {
            for (client, _) in waiting.clients {
                tell(client, Err(SubmitError::Malformed));
            }
        }
    }

    fn step(&mut self, input: Input) {
        let effects = self.effects_of(input);
        if !effects.is_empty() {
            self.pass_on(effects, false);
        }
    }

    fn effects_of(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.failure.is_none() {
            self.replica.step(self.clock.now(), input, &mut effects);
            self.outbox.stand(self.replica.horizon());
        }
        effects
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
        self.give(order.into_step());
    }

    /// To the writer. Waits while the disk is far behind: then no more is taken on.
    fn give(&mut self, step: Step) {
        let refused = self.steps.as_ref().map(|steps| steps.send(step).is_err());
        if refused == Some(true) {
            self.steps = None;
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

pub(super) fn standing_of<M: StateMachine, S: Signer>(
    replica: &Replica<M, S>,
    front: &Front,
    history: &History,
    snapshots: &Snapshots,
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
pub(super) struct Order {
    pub(super) releases: Vec<Release>,
    /// Where records and whole states to be made durable stand.
    pub(super) records: Vec<usize>,
    pub(super) published: Option<usize>,
    /// Where the last execution stands.
    pub(super) executed_last: usize,
}

impl Order {
    pub(super) fn publish(&mut self, publication: &mut Option<Publication>) {
        if let Some(publication) = publication.take() {
            self.published = Some(self.releases.len());
            self.releases.push(Release::Publish(publication));
        }
    }

    /// Everything from the first record on waits. So does a publication that holds what was executed
    /// behind a record.
    pub(super) fn into_step(self) -> Step {
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
