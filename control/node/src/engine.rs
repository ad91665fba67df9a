//! Drives the resolver: questions, replies and time in; sockets and answers out.
//!
//! Owns the only [`Resolver`]. Runs as one task of the control runtime; everybody else holds an
//! [`EngineHandle`]. Equal questions are joined inside the resolver.

mod agree;
mod agreeing;
mod handle;
mod question;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use resolver::agreement::{Key, Mode};
use resolver::iterate::{
    Config, Effect, Input, Outcome, Question, Resolver, SnapshotError, TransportError,
};
use resolver::policy::{Client, Course, Hit, Policy, Step};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::admin::UpstreamStatus;
use crate::agreement::{AgreementHandle, Extension, Inquiry};
use crate::clients::Holdings;
use crate::clock;
use crate::compose::{compose, failure, silence, truncated};
use crate::dnstap::Tap;
use crate::front::FrontSender;
use crate::inquiries::Inquiries;
use crate::question::{Asked, Finished, Origin, Resolved};
use crate::responder::{EXTENDED_ERROR_NOT_AUTHORITATIVE, EXTENDED_ERROR_NOT_READY};
use crate::trust_keeper::TrustKeeper;
use crate::upstream::{Event, Outgoing, Upstreams, reason};
use crate::upstream_udp::Ready;

use agree::Parked;
use agreeing::Agreeing;
use handle::{Act, Change, Command};
pub(crate) use handle::{EngineHandle, EngineStatistics, Overloaded};
use question::{client, question, question_of, subnet_of};

/// Commands that wait for the engine; questions past it are answered SERVFAIL by who asks.
const COMMANDS_MAX: usize = 8192;
/// Replies by TCP that wait; their connections wait with them.
const EVENTS_MAX: usize = 4096;
/// Commands taken at once.
const BATCH_MAX: usize = 64;
/// Times that sockets are read before a deadline counts as missed.
const LATE_ROUNDS_MAX: usize = 32;
/// A timer that is not due: long enough to cost nothing.
const IDLE: Duration = Duration::from_secs(3600);

/// The part of all places that one client's questions may take at the same time.
const CLIENT_SHARE: usize = 8;
/// The part of all places that questions of other nodes may take.
const INQUIRIES_SHARE: usize = 2;

/// A question that is being resolved.
#[derive(Debug)]
struct Waiting {
    asked: Box<Asked>,
    course: Box<Course>,
    /// How the answer is agreed on, and to what exactly; `None` if it is not.
    agreement: Option<(Mode, Question)>,
}

/// The resolver with its sockets and the questions that wait.
#[derive(Debug)]
pub(crate) struct Engine {
    resolver: Resolver,
    upstreams: Upstreams,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<Event>,
    front: FrontSender,
    /// Unix time to check signatures at, if it is not the clock's.
    validation_time: Option<u64>,
    /// Those that wait, and where they stand in the policy.
    waiting: HashMap<u64, Waiting>,
    policy: Policy,
    policy_hits: BTreeMap<Hit, u64>,
    /// How many of them each client has, and may have.
    by_client: Holdings,
    per_client_max: usize,
    client_limited: u64,
    next_ticket: u64,
    /// While a question is being put: the resolver's cache hits before it.
    hits_before: Option<u64>,
    effects: Vec<Effect>,
    trust_keeper: Option<TrustKeeper>,
    /// Whether servers of some zones see the networks of clients.
    shows_subnets: bool,
    /// The way to other nodes that may have a word on answers.
    agreement: Option<AgreementHandle>,
    agreeing: Agreeing<Parked>,
    /// Questions of other nodes.
    inquiries: Inquiries<Key, Inquiry>,
    questions_max: usize,
    extension: Extension,
}

impl Engine {
    /// An engine with an empty cache, on the runtime that it will run on. `seed` must be unpredictable.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(
        config: Config,
        seed: [u8; 32],
        validation_time: Option<u64>,
        upstream_sockets_max: usize,
        front: FrontSender,
    ) -> std::io::Result<(Self, EngineHandle)> {
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let per_client_max = (config.limits.tickets_max / CLIENT_SHARE).max(1);
        let questions_max = config.limits.tickets_max;
        let shows_subnets = !config.client_subnet.zones.is_empty();
        let engine = Self {
            shows_subnets,
            agreement: None,
            agreeing: Agreeing::new(0, questions_max),
            inquiries: Inquiries::new(questions_max / INQUIRIES_SHARE),
            questions_max,
            extension: Extension::default(),
            resolver: Resolver::new(config, seed),
            upstreams: Upstreams::new(upstream_sockets_max, events_in)?,
            commands,
            events,
            front,
            validation_time,
            waiting: HashMap::new(),
            policy: Policy::default(),
            policy_hits: BTreeMap::new(),
            by_client: Holdings::default(),
            per_client_max,
            client_limited: 0,
            next_ticket: 0,
            hits_before: None,
            effects: Vec::new(),
            trust_keeper: None,
        };
        Ok((engine, EngineHandle::new(commands_in)))
    }

    /// Takes back what was saved before a restart; gives the number of entries.
    ///
    /// # Errors
    /// If it cannot be used; then nothing is kept of it.
    pub(crate) fn restore(&mut self, saved: &[u8]) -> Result<usize, SnapshotError> {
        let (now_ms, unix_secs) = (clock::now_ms(), clock::unix_secs());
        self.resolver.restore(now_ms, unix_secs, saved)
    }

    /// Runs until every handle is gone.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut ready = Ready::default();
        let timer = tokio::time::sleep(IDLE);
        tokio::pin!(timer);
        loop {
            timer.as_mut().reset(self.deadline());
            tokio::select! {
                () = &mut timer => self.on_time(&mut ready).await,
                Ok(()) = self.upstreams.udp.wait(&mut ready) => self.on_ready(&mut ready),
                Some(event) = self.events.recv() => self.on_event(event),
                count = self.commands.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                    for command in batch.drain(..) {
                        self.on_command(command);
                    }
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        let due_ms = [self.resolver.next_deadline(), self.agreeing.deadline_ms()];
        let wait = match due_ms.into_iter().flatten().min() {
            Some(at_ms) => Duration::from_millis(at_ms.saturating_sub(clock::now_ms())),
            None => IDLE,
        };
        Instant::now() + wait
    }

    /// A deadline has passed. Whatever has come by now is read first: under load it is we who are
    /// late, and servers that answered in time must not count as silent. Bounded, since whoever
    /// sends us much must not stop the clock.
    async fn on_time(&mut self, ready: &mut Ready) {
        for _ in 0..LATE_ROUNDS_MAX {
            tokio::task::yield_now().await; // Connections are polled, and their tasks run.
            let mut count = 0;
            while count < EVENTS_MAX
                && let Ok(event) = self.events.try_recv()
            {
                self.on_event(event);
                count += 1;
            }
            if self.upstreams.udp.poll(ready) {
                self.on_ready(ready);
            } else if count == 0 {
                break;
            }
        }
        self.step(Input::Tick);
        self.expire_rounds();
    }

    /// Takes a datagram of every exchange that has one.
    fn on_ready(&mut self, ready: &mut Ready) {
        while let Some(exchange) = ready.next() {
            match self.upstreams.udp.receive(exchange, ready) {
                Ok(Some((from, message))) => self.step(Input::Reply {
                    exchange,
                    from,
                    message,
                }),
                Ok(None) => {}
                Err(error) => self.on_failed(exchange, reason(&error)),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Reply {
                exchange,
                from,
                message,
            } => {
                self.step(Input::Reply {
                    exchange,
                    from,
                    message: &message,
                });
            }
            Event::Failed { exchange, reason } => self.on_failed(exchange, reason),
        }
    }

    fn on_failed(&mut self, exchange: u64, reason: TransportError) {
        self.upstreams.end(exchange);
        self.step(Input::Failed { exchange, reason });
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Ask(asked) => self.on_ask(asked),
            Command::Refresh(query) => {
                if let Some(question) = question_of(&query, query.qname()) {
                    self.refresh(question);
                }
            }
            Command::Statistics(done) => {
                let upstreams = self.resolver.forwarders();
                let upstreams = upstreams.map(|server| UpstreamStatus {
                    zone: server.zone.to_string(),
                    address: server.address,
                    healthy: server.is_up,
                    round_trip_us: server.rtt_us,
                });
                let _ = done.send(EngineStatistics {
                    resolver: self.resolver.statistics(),
                    upstream_sockets: self.upstreams.count() as u64,
                    questions: (self.waiting.len() + self.agreeing.waiting()) as u64,
                    client_limited: self.client_limited,
                    upstreams: upstreams.collect(),
                    trust_anchors: self.resolver.trust_anchors(clock::now_ms()),
                    negative_anchors: self.resolver.negative_anchors(0).count() as u64,
                    policy_hits: self.policy_hits(),
                });
            }
            Command::Inquire(inquiries) => self.on_inquiries(inquiries),
            Command::Decided(decided) => self.on_decided(decided),
            Command::With(Act(act)) => self.with(act),
            Command::ChangePolicy(Change(change)) => self.change_policy(change),
        }
    }

    /// Changes the policy; questions under way end under the new one.
    pub(crate) fn change_policy(&mut self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy);
        let names: Vec<_> = self.policy.list_names().collect();
        self.policy_hits
            .retain(|hit, _| hit.list.as_ref().is_none_or(|list| names.contains(&list)));
    }

    fn policy_hits(&self) -> Vec<(Hit, u64)> {
        let hits = self.policy_hits.iter();
        hits.map(|(hit, count)| (hit.clone(), *count)).collect()
    }

    /// Does something with the resolver itself.
    pub(crate) fn with<T>(&mut self, act: impl FnOnce(&mut Resolver, u64) -> T) -> T {
        self.set_time();
        let result = act(&mut self.resolver, clock::now_ms());
        self.tell_trust();
        result
    }

    /// Logs what servers are asked and answer, from now on.
    pub(crate) fn set_tap(&mut self, tap: Tap) {
        self.upstreams.set_tap(tap);
    }

    /// Gives the state of the trust anchors to whoever keeps it, from now on.
    pub(crate) fn keep_trust(&mut self, keeper: TrustKeeper) {
        self.trust_keeper = Some(keeper);
    }

    /// Passes on what has happened to trust.
    fn tell_trust(&mut self) {
        let events = self.resolver.take_trust_events();
        if let Some(keeper) = self.trust_keeper.as_ref().filter(|_| !events.is_empty()) {
            let state = || self.resolver.trust_anchor_state(clock::now_ms());
            keeper.on_events(events, state, &self.front);
        }
    }

    fn set_time(&mut self) {
        let unix_secs = self.validation_time.unwrap_or_else(clock::unix_secs);
        self.resolver.set_time(clock::now_ms(), unix_secs);
    }

    /// Fetches an answer anew that workers use, unless the policy makes it: what is blocked or local
    /// is not to be asked for outside.
    fn refresh(&mut self, question: Question) {
        let client = Client {
            address: None,
            is_tcp: false,
        };
        let (_, step) = self.policy.begin(client, question, clock::now_ms());
        if let Step::Resolve(question) = step {
            self.step(Input::Refresh { question });
        }
    }

    fn on_ask(&mut self, asked: Box<Asked>) {
        let Some(mut question) = question(&asked) else {
            let resolved = failure(&asked, ResponseCode::ServFail, None);
            return self.deliver(asked, resolved);
        };
        if self.shows_subnets {
            let Ok(subnet) = subnet_of(&asked) else {
                let resolved = failure(&asked, ResponseCode::FormErr, None);
                return self.deliver(asked, resolved);
            };
            question.client_subnet = subnet;
        }
        let client = Client {
            address: asked.client,
            is_tcp: matches!(asked.origin, Origin::Channel(_)),
        };
        let (course, step) = self.policy.begin(client, question, clock::now_ms());
        self.take(asked, Box::new(course), step, false);
    }

    /// Does what the policy says.
    fn take(&mut self, asked: Box<Asked>, mut course: Box<Course>, step: Step, from_cache: bool) {
        let step = match step {
            Step::Resolve(question) => return self.resolve(asked, question, course),
            other => other,
        };
        // The command line is no client.
        if asked.client.is_some() {
            for hit in course.take_hits() {
                *self.policy_hits.entry(hit).or_default() += 1;
            }
        }
        match step {
            Step::Answer(outcome) => {
                let extension = self.extension_for(&asked, &outcome);
                let mut resolved = compose(&asked, *outcome, from_cache);
                resolved.extension = extension;
                self.deliver(asked, resolved);
            }
            Step::Truncate => {
                let resolved = truncated(&asked);
                self.deliver(asked, resolved);
            }
            Step::Drop | Step::Resolve(_) => {
                if asked.client.is_some() {
                    let counters = self.front.counters();
                    counters.drops_policy.increment();
                }
                // A connection counts what it waits for.
                if matches!(asked.origin, Origin::Channel(_)) {
                    self.deliver(asked, silence());
                }
            }
        }
    }

    /// Something was resolved: the policy has the last word.
    fn arrive(
        &mut self,
        asked: Box<Asked>,
        outcome: Outcome,
        from_cache: bool,
        mut course: Box<Course>,
    ) {
        let now_ms = clock::now_ms();
        let resolver = &self.resolver;
        let known = |name: &Name, rtype| resolver.known_records(now_ms, name, rtype);
        let step = self.policy.go_on(&mut course, outcome, &known);
        self.take(asked, course, step, from_cache);
    }

    /// Finds the answer in the cache or outside.
    fn resolve(&mut self, asked: Box<Asked>, question: Question, course: Box<Course>) {
        let agreement = self.mode(&course, &question);
        let agreement = agreement.filter(|_| !asked.is_own_word);
        let client = client(&asked);
        let has_enough =
            client.is_some_and(|client| self.by_client.of(client) >= self.per_client_max);
        if asked.cache_only || has_enough {
            let found = self.resolver.lookup_cache(clock::now_ms(), &question);
            let found = found.filter(|outcome| self.is_settled(agreement.as_ref(), outcome));
            let resolved = match found {
                Some(outcome) => return self.arrive(asked, outcome, true, course),
                // What is not here is not looked up for a client that did not ask us to.
                None if asked.cache_only => {
                    let code = Some(EXTENDED_ERROR_NOT_AUTHORITATIVE);
                    failure(&asked, ResponseCode::Refused, code)
                }
                None => {
                    self.client_limited += 1;
                    let code = Some(EXTENDED_ERROR_NOT_READY);
                    failure(&asked, ResponseCode::ServFail, code)
                }
            };
            return self.deliver(asked, resolved);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if let Some(client) = client {
            self.by_client.take(client);
        }
        let waiting = Waiting {
            asked,
            course,
            agreement,
        };
        self.waiting.insert(ticket, waiting);
        self.hits_before = Some(self.resolver.statistics().cache_hits);
        self.step(Input::Ask { ticket, question });
        self.hits_before = None;
    }

    /// One step of the resolver, and everything that follows from it.
    fn step(&mut self, input: Input<'_>) {
        self.set_time();
        let mut effects = std::mem::take(&mut self.effects);
        self.resolver.step(clock::now_ms(), input, &mut effects);
        // A failed send is an input again: bounded, since each costs the resolver one attempt.
        let mut failed = Vec::new();
        loop {
            for effect in effects.drain(..) {
                self.perform(effect, &mut failed);
            }
            let Some(input) = failed.pop() else { break };
            self.resolver.step(clock::now_ms(), input, &mut effects);
        }
        self.effects = effects;
        self.tell_trust();
    }

    fn perform(&mut self, effect: Effect, failed: &mut Vec<Input<'static>>) {
        match effect {
            Effect::Send {
                exchange,
                server,
                transport,
                message,
                timeout_ms,
            } => {
                let outgoing = Outgoing {
                    exchange,
                    server,
                    transport,
                    message,
                    timeout_ms,
                };
                if let Err(reason) = self.upstreams.send(outgoing) {
                    failed.push(Input::Failed { exchange, reason });
                }
            }
            Effect::Cancel { exchange } => self.upstreams.end(exchange),
            Effect::Done { ticket, outcome } => self.on_done(ticket, outcome),
        }
    }

    fn on_done(&mut self, ticket: u64, outcome: Outcome) {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            self.take_inquiry(ticket, &outcome);
            return;
        };
        let Waiting {
            asked,
            course,
            agreement,
        } = waiting;
        if let Some(client) = client(&asked) {
            self.by_client.give_back(client);
        }
        let hits = self.resolver.statistics().cache_hits;
        let from_cache = self.hits_before.is_some_and(|before| hits > before);
        match agreement {
            None => self.arrive(asked, outcome, from_cache, course),
            Some((mode, question)) => {
                let parked = Parked {
                    asked,
                    course,
                    outcome,
                    from_cache,
                    mode,
                    question,
                    rounds: 0,
                };
                self.judge(clock::now_ms(), parked);
            }
        }
    }

    fn deliver(&self, asked: Box<Asked>, mut resolved: Resolved) {
        if asked.query.has_extension() && resolved.extension.is_none() {
            let certificate = self.extension.certificate_of(asked.query.qname());
            resolved.extension = self.extension.data(certificate);
        }
        // Others than clients with EDNS do not see them.
        if asked.client.is_some() && asked.query.edns.is_some() {
            let counters = self.front.counters();
            for (code, _) in &resolved.extended_errors {
                counters.extended_errors.count(*code);
            }
        }
        let finished = Box::new(Finished {
            asked: *asked,
            resolved,
        });
        // Whoever asked may be gone: then nobody waits for the answer.
        match &finished.asked.origin {
            Origin::Front(_) => self.front.send(finished),
            Origin::Channel(channel) => {
                let channel = channel.clone();
                let _ = channel.try_send(finished);
            }
        }
    }
}
