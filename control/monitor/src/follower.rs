//! [`Follower`]: one log, as a state machine. It says what to fetch, takes what came, and gives events to carry out in order.
//! No clock, socket or file: time and replies are arguments.
//!
//! An entry is given out only when it is known to be of the log's tree: when the entries read so far give the root that the log
//! signed, or are proven to be the beginning of that tree. Start at [`Follower::step`].

use core::mem;
use std::sync::Arc;

use ct::{Frontier, TILE_WIDTH, TimestampedEntry, TreeHead};
use thiserror::Error;

use crate::alarm::{Alarm, AlarmKind};
use crate::backoff::Backoff;
use crate::beginning::Beginning;
use crate::proving::{Proving, Tree, Verdict};
use crate::reading::Reading;
use crate::reply::{KnownHead, ReplyError};
use crate::source::{Fetch, LogSource, Start};
use crate::state::LogState;

/// Entries that are read between two proofs.
pub const BATCH_ENTRIES_MAX: u64 = 4 * TILE_WIDTH as u64;

/// Fetches that are made at the same time, except for the tiles of a proof, which are all small.
pub const PARALLEL_FETCHES_MAX: usize = 4;

/// Longest time that a reply can ask us to stay away, in milliseconds.
pub const PATIENCE_MAX_MS: u64 = 3_600_000;

/// Smaller heads in a row that are taken for old copies. A log with several front ends shows one now and then.
pub const STALE_HEADS_MAX: u32 = 10;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Fetch these, and give all replies, in their order, to [`Follower::on_replies`].
    Fetch(Vec<Fetch>),
    /// Nothing before this time.
    Wait {
        /// In milliseconds of the caller's clock.
        until_ms: u64,
    },
}

/// A reply that came with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Without its content encoding.
    pub bytes: Vec<u8>,
    /// How long it says it stays fresh, in milliseconds.
    pub fresh_ms: u64,
}

/// Why a fetch gave nothing to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchError {
    /// Status 404 or 410.
    #[error("not found")]
    NotFound,
    /// More bytes than [`Fetch::bytes_max`].
    #[error("the reply is too long")]
    TooLarge,
    /// Status 429 or 503.
    #[error("the log is busy")]
    Busy {
        /// How long it wants to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// It came, and is of no use.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// Fewer replies than fetches.
    #[error("no reply")]
    Missing,
    /// Anything else: no connection, another status, a time-out.
    #[error("{0}")]
    Other(String),
}

/// What happened. To be carried out in their order: entries told of before the state is kept, so that a crash between the two
/// tells of them twice and never not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A head whose signature holds.
    Head(TreeHead),
    /// Entries of the log's tree.
    Entries {
        /// Index of the first.
        first: u64,
        /// In their order.
        entries: Vec<TimestampedEntry>,
    },
    /// To be kept before anything else is fetched.
    State(LogState),
    /// The log misbehaves.
    Alarm(Box<Alarm>),
    /// Nothing came of it this time.
    Failed(FetchError),
}

/// Follows one log.
#[derive(Debug)]
pub struct Follower {
    source: Arc<LogSource>,
    state: Option<LogState>,
    task: Task,
    backoff: Backoff,
    /// When the next head is to be asked for.
    head_due_ms: u64,
    /// Entries asked for at once of a log of RFC 6962.
    ask: u64,
    /// Smaller heads in a row that were signed before the one that is known.
    stale_heads: u32,
}

#[derive(Debug)]
enum Task {
    Rest { until_ms: u64 },
    Head,
    Begin(Beginning),
    Prove(Proving, After),
    Read(Reading),
}

/// What a proof is for.
#[derive(Debug)]
enum After {
    /// To go on with this head.
    Adopt(KnownHead),
    /// Whether a head that went back is at least of the same tree.
    CheckOld(KnownHead),
    /// To give these entries out, which are not yet all of the tree.
    Commit(Reading),
    /// Entries do not give the root of this head: whose fault is it?
    Blame(KnownHead),
}

impl Follower {
    /// Goes on from a state, or begins. `seed` spreads its waits after failures.
    #[must_use]
    pub fn new(source: Arc<LogSource>, state: Option<LogState>, seed: u64) -> Self {
        let backoff = Backoff::new(source.poll_ms.max(1_000), seed);
        Self {
            source,
            state,
            task: Task::Rest { until_ms: 0 },
            backoff,
            head_due_ms: 0,
            ask: u64::from(TILE_WIDTH),
            stale_heads: 0,
        }
    }

    /// The log.
    #[must_use]
    pub fn source(&self) -> &LogSource {
        &self.source
    }

    /// How far it was read. None before the first head.
    #[must_use]
    pub fn state(&self) -> Option<&LogState> {
        self.state.as_ref()
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// What to do at this time, in milliseconds of any clock that does not go back.
    pub fn step(&mut self, now_ms: u64) -> Step {
        match &self.task {
            Task::Rest { until_ms } if now_ms < *until_ms => {
                let until_ms = *until_ms;
                return Step::Wait { until_ms };
            }
            Task::Rest { .. } => self.task = Task::Head,
            _ => {}
        }
        Step::Fetch(match &self.task {
            Task::Rest { .. } | Task::Head => vec![Fetch::Head],
            Task::Begin(beginning) => beginning.fetches(),
            Task::Prove(proving, _) => proving.fetches(),
            Task::Read(reading) => reading.fetches(&self.source.address, self.ask),
        })
    }

    /// Takes the replies to what [`Self::step`] gave last.
    pub fn on_replies(
        &mut self,
        now_ms: u64,
        replies: Vec<Result<Body, FetchError>>,
        out: &mut Vec<Event>,
    ) {
        let task = mem::replace(&mut self.task, Task::Rest { until_ms: now_ms });
        let bytes = |replies: Vec<Result<Body, FetchError>>| {
            let bytes = replies
                .into_iter()
                .map(|reply| reply.map(|body| body.bytes));
            bytes.collect::<Vec<_>>()
        };
        let done = match task {
            Task::Rest { .. } => Ok(()), // Nobody asked.
            Task::Head => self.on_head(now_ms, replies, out),
            Task::Begin(beginning) => self.on_beginning(now_ms, beginning, bytes(replies), out),
            Task::Prove(proving, after) => {
                self.on_proof(now_ms, proving, after, bytes(replies), out)
            }
            Task::Read(reading) => self.on_entries(now_ms, reading, bytes(replies), out),
        };
        if let Err(error) = done {
            self.back_off(now_ms, &error);
            out.push(Event::Failed(error));
        }
    }

    fn back_off(&mut self, now_ms: u64, error: &FetchError) {
        let wait_ms = self.backoff.fail();
        let asked_ms = match error {
            FetchError::Busy { retry_after_ms } => retry_after_ms.unwrap_or_default(),
            _ => 0,
        };
        let wait_ms = wait_ms.max(asked_ms.min(PATIENCE_MAX_MS));
        self.task = Task::Rest {
            until_ms: now_ms.saturating_add(wait_ms),
        };
    }

    fn on_head(
        &mut self,
        now_ms: u64,
        mut replies: Vec<Result<Body, FetchError>>,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        let body = replies.pop().ok_or(FetchError::Missing)??;
        let fresh_ms = if self.source.heeds_freshness {
            body.fresh_ms.min(PATIENCE_MAX_MS)
        } else {
            0
        };
        let wait_ms = self.source.poll_ms.max(fresh_ms);
        let seen = KnownHead::read(&self.source, body.bytes)?;
        self.head_due_ms = now_ms.saturating_add(wait_ms);
        out.push(Event::Head(seen.head));
        let Some(state) = &self.state else {
            return self.begin(now_ms, seen, out);
        };
        let (old, new) = (state.head.head, seen.head);
        if new.size < old.size {
            return self.on_smaller(now_ms, old, seen, out);
        }
        self.stale_heads = 0;
        if new.size == old.size {
            if new.root != old.root {
                let detail = format!("roots {} and {} at size {}", old.root, new.root, new.size);
                self.alarm(now_ms, AlarmKind::Fork, seen, detail, out);
                return Ok(());
            }
            self.go_on(now_ms);
            return Ok(());
        }
        // Whoever has read all of the older tree needs no proof: the entries up to the newer root are one.
        let is_caught_up = state.frontier.size() == old.size;
        if is_caught_up && new.size - old.size <= BATCH_ENTRIES_MAX {
            let reading = Reading::new(&self.source.address, state.frontier.clone(), seen, false);
            self.task = Task::Read(reading);
            return Ok(());
        }
        let proving = self.proving(tree(old), tree(new));
        self.prove(now_ms, proving, After::Adopt(seen), out)
    }

    /// Signed later than the larger one: the log took entries back. Signed before: an old copy, unless it stays. Of the same tree it
    /// must be in any case.
    fn on_smaller(
        &mut self,
        now_ms: u64,
        old: TreeHead,
        seen: KnownHead,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        let new = seen.head;
        self.stale_heads = self.stale_heads.saturating_add(1);
        let is_later = new.timestamp_ms > old.timestamp_ms;
        if let Some(state) = &self.state
            && (is_later || self.stale_heads == STALE_HEADS_MAX)
        {
            let detail = format!("size {} after {}", new.size, old.size);
            out.push(alarm_event(state, AlarmKind::WentBack, &seen, detail));
        }
        let proving = self.proving(tree(new), tree(old));
        self.prove(now_ms, proving, After::CheckOld(seen), out)
    }

    /// The first head of a log that was never followed: believed, as there is nothing to compare it with.
    fn begin(
        &mut self,
        now_ms: u64,
        head: KnownHead,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        if head.head.size == 0 || self.source.start == Start::Beginning {
            self.keep(head, Frontier::default(), out);
            self.go_on(now_ms);
            return Ok(());
        }
        self.task = Task::Begin(Beginning::new(&self.source.address, head));
        Ok(())
    }

    fn on_beginning(
        &mut self,
        now_ms: u64,
        mut beginning: Beginning,
        replies: Vec<Result<Vec<u8>, FetchError>>,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        let Some(frontier) = beginning.take(replies)? else {
            self.task = Task::Begin(beginning);
            return Ok(());
        };
        self.keep(beginning.into_head(), frontier, out);
        self.go_on(now_ms);
        Ok(())
    }

    fn on_entries(
        &mut self,
        now_ms: u64,
        mut reading: Reading,
        replies: Vec<Result<Vec<u8>, FetchError>>,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        reading.take(&self.source.address, &mut self.ask, replies)?;
        if !reading.is_complete() {
            self.task = Task::Read(reading);
            return Ok(());
        }
        let Some(state) = &self.state else {
            return Ok(()); // Nothing is read before there is one.
        };
        let target = reading.target().head;
        let read = tree_of(reading.frontier());
        if read == tree(target) {
            self.commit(now_ms, reading, out);
            return Ok(());
        }
        if read.size == target.size {
            let proving = self.proving(tree_of(&state.frontier), tree(target));
            let after = After::Blame(reading.into_target());
            return self.prove(now_ms, proving, after, out);
        }
        if !reading.is_adopted() {
            let proving = self.proving(tree(state.head.head), tree(target));
            let after = After::Adopt(reading.into_target());
            return self.prove(now_ms, proving, after, out);
        }
        let proving = self.proving(read, tree(target));
        self.prove(now_ms, proving, After::Commit(reading), out)
    }

    fn proving(&self, old: Tree, new: Tree) -> Proving {
        Proving::new(&self.source.address, old, new)
    }

    fn prove(
        &mut self,
        now_ms: u64,
        proving: Proving,
        after: After,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        if proving.fetches().is_empty() {
            return self.on_proof(now_ms, proving, after, Vec::new(), out);
        }
        self.task = Task::Prove(proving, after);
        Ok(())
    }

    fn on_proof(
        &mut self,
        now_ms: u64,
        mut proving: Proving,
        after: After,
        replies: Vec<Result<Vec<u8>, FetchError>>,
        out: &mut Vec<Event>,
    ) -> Result<(), FetchError> {
        let Some(verdict) = proving.take(replies)? else {
            self.task = Task::Prove(proving, after);
            return Ok(());
        };
        match (verdict, after) {
            (Verdict::Consistent, After::Adopt(head)) => {
                self.adopt(head, out);
                self.go_on(now_ms);
            }
            (Verdict::Consistent, After::CheckOld(_)) => self.go_on(now_ms),
            (Verdict::Consistent, After::Commit(reading)) => self.commit(now_ms, reading, out),
            (Verdict::Consistent, After::Blame(head)) => {
                let detail = format!("entries up to {} give another root", head.head.size);
                self.alarm(now_ms, AlarmKind::FalseEntries, head.clone(), detail, out);
                self.adopt(head, out);
            }
            (Verdict::Inconsistent(_), After::Commit(reading)) => {
                // What was read is no beginning of the tree. Is what was read before?
                let Some(state) = &self.state else {
                    return Ok(());
                };
                let old = tree_of(&state.frontier);
                let head = reading.into_target();
                let proving = self.proving(old, tree(head.head));
                return self.prove(now_ms, proving, After::Blame(head), out);
            }
            (Verdict::Inconsistent(error), After::Adopt(head) | After::CheckOld(head))
            | (Verdict::Inconsistent(error), After::Blame(head)) => {
                let kind = AlarmKind::Inconsistent;
                self.alarm(now_ms, kind, head, error.to_string(), out);
            }
        }
        Ok(())
    }

    /// Reads on, asks for a head if that is due, or rests until it is.
    fn go_on(&mut self, now_ms: u64) {
        let Some(state) = &self.state else { return };
        let is_caught_up = state.frontier.size() == state.head.head.size;
        if is_caught_up {
            self.backoff.reset();
            self.task = Task::Rest {
                until_ms: self.head_due_ms,
            };
        } else if now_ms >= self.head_due_ms {
            self.task = Task::Head;
        } else {
            let address = &self.source.address;
            let (frontier, head) = (state.frontier.clone(), state.head.clone());
            self.task = Task::Read(Reading::new(address, frontier, head, true));
        }
    }

    fn commit(&mut self, now_ms: u64, reading: Reading, out: &mut Vec<Event>) {
        let (head, first, entries, frontier) = reading.into_parts();
        out.push(Event::Entries { first, entries });
        self.keep(head, frontier, out);
        self.backoff.reset();
        self.go_on(now_ms);
    }

    fn adopt(&mut self, head: KnownHead, out: &mut Vec<Event>) {
        let frontier = self.state.as_ref().map(|state| state.frontier.clone());
        self.keep(head, frontier.unwrap_or_default(), out);
    }

    fn keep(&mut self, head: KnownHead, frontier: Frontier, out: &mut Vec<Event>) {
        let state = LogState { head, frontier };
        out.push(Event::State(state.clone()));
        self.state = Some(state);
    }

    /// Gives the alarm, and stays where it is: what was known before is still believed, and nothing newer.
    fn alarm(
        &mut self,
        now_ms: u64,
        kind: AlarmKind,
        seen: KnownHead,
        detail: String,
        out: &mut Vec<Event>,
    ) {
        if let Some(state) = &self.state {
            out.push(alarm_event(state, kind, &seen, detail));
        }
        let until_ms = now_ms.saturating_add(self.backoff.fail());
        self.task = Task::Rest { until_ms };
    }
}

fn alarm_event(state: &LogState, kind: AlarmKind, seen: &KnownHead, detail: String) -> Event {
    Event::Alarm(Box::new(Alarm {
        kind,
        known: state.head.clone(),
        seen: seen.clone(),
        detail,
    }))
}

fn tree(head: TreeHead) -> Tree {
    Tree {
        size: head.size,
        root: head.root,
    }
}

fn tree_of(frontier: &Frontier) -> Tree {
    Tree {
        size: frontier.size(),
        root: frontier.root(),
    }
}
