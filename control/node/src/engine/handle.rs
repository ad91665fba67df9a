//! The way to the engine, from any thread, and what can be asked of it.

use hickory_proto::rr::Name;
use resolver::iterate::{AnchorStatus, CacheLine, Resolver, Saver, Statistics};
use resolver::policy::{Hit, Policy};
use tokio::sync::{mpsc, oneshot};
use wire::query::Query;

use crate::admin::UpstreamStatus;
use crate::agreement::{Decided, Inquiry, Resolving};
use crate::clock;
use crate::question::Asked;

/// What others want of the engine.
#[derive(Debug)]
pub(crate) enum Command {
    Ask(Box<Asked>),
    Refresh(Box<Query>),
    Inquire(Vec<Inquiry>),
    Decided(Vec<Decided>),
    Statistics(oneshot::Sender<EngineStatistics>),
    With(Act),
    ChangePolicy(Change),
}

/// What to do with the resolver itself, at this time of its clock.
type Deed = dyn FnOnce(&mut Resolver, u64) + Send;

/// A deed on its way to the engine.
pub(crate) struct Act(pub(super) Box<Deed>);

impl std::fmt::Debug for Act {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Act")
    }
}

/// A change of the policy on its way to the engine.
pub(crate) struct Change(pub(super) Box<dyn FnOnce(&mut Policy) + Send>);

impl std::fmt::Debug for Change {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Change")
    }
}

/// A part of the cache, encoded.
#[derive(Debug)]
pub(crate) struct Slice {
    /// To go on with.
    pub saver: Saver,
    pub bytes: Vec<u8>,
    /// Whether others follow.
    pub more: bool,
}

/// Numbers of the engine at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngineStatistics {
    /// The resolver's own.
    pub resolver: Statistics,
    /// Sockets open towards servers.
    pub upstream_sockets: u64,
    /// Questions that wait for an answer.
    pub questions: u64,
    /// Questions turned away since their client had too many already.
    pub client_limited: u64,
    /// Servers that questions are forwarded to, in the order of the configuration.
    pub upstreams: Vec<UpstreamStatus>,
    /// Every key of every trust anchor.
    pub trust_anchors: Vec<AnchorStatus>,
    /// Negative trust anchors, those of the configuration too.
    pub negative_anchors: u64,
    /// How often which part of the policy had something to say of a question.
    pub policy_hits: Vec<(Hit, u64)>,
}

/// The engine is gone or has too much to do.
#[derive(Debug)]
pub(crate) struct Overloaded(
    /// What could not be asked.
    pub Box<Asked>,
);

/// The way to the engine, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct EngineHandle {
    commands: mpsc::Sender<Command>,
}

impl EngineHandle {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Asks without waiting; the answer goes to the question's origin.
    ///
    /// # Errors
    /// Gives the question back if too many wait already.
    pub(crate) fn ask(&self, asked: Box<Asked>) -> Result<(), Overloaded> {
        self.commands
            .try_send(Command::Ask(asked))
            .map_err(|error| match error.into_inner() {
                Command::Ask(asked) => Overloaded(asked),
                _ => unreachable!("what comes back is what was sent"),
            })
    }

    /// Tells of a query that a worker answers, and will soon have to ask. Dropped if there is too much
    /// to do: then somebody waits when the answer has expired.
    pub(crate) fn refresh(&self, query: Box<Query>) {
        let _ = self.commands.try_send(Command::Refresh(query));
    }

    /// Numbers of this moment; zeros if the engine is gone.
    pub(crate) async fn statistics(&self) -> EngineStatistics {
        let (done, result) = oneshot::channel();
        if self.commands.send(Command::Statistics(done)).await.is_err() {
            return EngineStatistics::default();
        }
        result.await.unwrap_or_default()
    }

    /// Forgets what was resolved: everything, a name, or a name and all below it. Returns how
    /// many record sets went.
    pub(crate) async fn flush(&self, name: Option<(Name, bool)>) -> usize {
        let flushed = self.with(move |resolver, _| {
            let name = name.as_ref().map(|(name, subtree)| (name, *subtree));
            resolver.flush(name)
        });
        flushed.await.unwrap_or(0)
    }

    /// Changes the policy, whole or a zone of it, and gives what came of it; `None` if the engine is
    /// gone. What was answered before is to be forgotten after it.
    pub(crate) async fn change_policy<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Policy) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let change = Change(Box::new(move |policy| {
            let _ = done.send(change(policy)); // Nobody waits any more: no harm.
        }));
        let command = Command::ChangePolicy(change);
        self.commands.send(command).await.ok()?;
        result.await.ok()
    }

    /// Does something with the resolver and gives what came of it; `None` if the engine is gone.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Resolver, u64) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let act = Act(Box::new(move |resolver, now_ms| {
            let _ = done.send(act(resolver, now_ms)); // Nobody waits any more: no harm.
        }));
        self.commands.send(Command::With(act)).await.ok()?;
        result.await.ok()
    }

    /// The next slice of the cache; `None` if the engine is gone.
    pub(crate) async fn save(&self, mut saver: Saver) -> Option<Slice> {
        self.with(move |resolver, now_ms| {
            let mut bytes = Vec::new();
            let more = resolver.save(now_ms, clock::unix_secs(), &mut saver, &mut bytes);
            Slice { saver, bytes, more }
        })
        .await
    }

    /// A page of what the caches hold for a name; `None` if the engine is gone.
    pub(crate) async fn dump(
        &self,
        name: Name,
        subtree: bool,
        cursor: usize,
    ) -> Option<(Vec<CacheLine>, Option<usize>)> {
        self.with(move |resolver, now_ms| resolver.dump_page(now_ms, &name, subtree, cursor))
            .await
    }
}

/// The engine waits for nobody, so whoever is no task of its runtime may wait for it.
impl Resolving for EngineHandle {
    fn inquire(&self, inquiries: Vec<Inquiry>) {
        // While there is no room, the vote says that there is no answer.
        let _ = self.commands.try_send(Command::Inquire(inquiries));
    }

    fn decided(&self, decided: Vec<Decided>) {
        let _ = self.commands.blocking_send(Command::Decided(decided)); // It is gone, with its clients.
    }
}
