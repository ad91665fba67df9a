//! The state of one resolution.

use std::collections::HashMap;
use std::net::SocketAddr;

use hickory_proto::rr::RecordType;

use super::bounded::HashKeys;
use super::dnssec::Effort;
use super::failures::Failure;
use super::lookup::{Chain, Resolution};
use super::message::extended_error;
use super::name::WireName;
use super::place::{Candidate, Place};
use super::subnet::Subnet;
use super::trace::{TraceEvent, TraceKind};
use super::validate::TrustLookup;

/// What a resolution is about. Questions with equal keys share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TaskKey {
    pub(super) name: WireName,
    pub(super) rtype: RecordType,
    /// CD, where forwarders make it matter; false everywhere else.
    pub(super) checking_disabled: bool,
    /// What servers see of the client, where they see anything: the answer is for that alone.
    pub(super) subnet: Option<Subnet>,
}

/// Who gets the result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    /// A question of a client.
    Client {
        ticket: u64,
        dnssec_ok: bool,
        trace: bool,
        /// When it is to get what is past its TTL.
        stale_due_ms: Option<u64>,
    },
    /// A resolution that needs the address of a name server.
    Task(u64),
    /// The zone of a trust anchor is asked for its keys (RFC 5011 §2.3).
    RollOver,
}

/// A sub-resolution under way for this task.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) task: u64,
    /// The zone whose server's address it finds; `None` for a lookup of DS or DNSKEY.
    pub(super) zone: Option<WireName>,
}

/// One resolution. It always has a message in flight, waits for sub-resolutions, or is queued.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) key: TaskKey,
    pub(super) waiters: Vec<Waiter>,
    /// The ledger that its work is charged to.
    pub(super) work: u64,
    /// 0 for questions of clients.
    pub(super) depth: u8,
    /// The name at the end of the aliases so far.
    pub(super) sname: WireName,
    /// The aliases so far.
    pub(super) chain: Chain,
    /// Names passed on the way, to notice loops.
    pub(super) passed: Vec<WireName>,
    /// The most bits of the client's network that a server's answer depends on.
    pub(super) subnet_scope: u8,
    pub(super) referrals: u8,
    /// Queries for less than the whole name.
    pub(super) minimised: u8,
    pub(super) place: Option<Place>,
    pub(super) exchange: Option<u64>,
    pub(super) waits: Vec<Wait>,
    /// Whether the cache is to be read before the next move.
    pub(super) look: bool,
    /// Whether it waits for room at a server.
    pub(super) is_parked: bool,
    /// Whether it stands in the queue.
    pub(super) queued: bool,
    /// Whether every forwarder failed and iteration took over.
    pub(super) iterate_only: bool,
    /// Whether a delegation turned out dead, and its parent was asked for a new one.
    pub(super) abandoned: bool,
    pub(super) blame: Blame,
    /// What was found, until the chain of trust to it is known.
    pub(super) found: Option<Box<Resolution>>,
    /// What was looked up for that chain.
    pub(super) lookups: Vec<TrustLookup>,
    /// The server that answered last.
    pub(super) source: Option<SocketAddr>,
    /// Owners of the aliases that servers gave on the way, and who gave each.
    pub(super) alias_sources: Vec<(WireName, SocketAddr)>,
    /// Servers that gave bogus data.
    pub(super) avoided: Vec<SocketAddr>,
    /// Times that it started anew because of those.
    pub(super) restarts: usize,
    /// What was wrong with those.
    pub(super) bogus: Option<Failure>,
    pub(super) trace: Option<Vec<TraceEvent>>,
    /// Whether it replaces what the cache holds and is about to lose.
    pub(super) refreshes: bool,
}

impl Task {
    pub(super) fn new(id: u64, key: TaskKey, work: u64, depth: u8) -> Self {
        Self {
            id,
            sname: key.name.clone(),
            key,
            waiters: Vec::new(),
            work,
            depth,
            chain: Chain::default(),
            passed: Vec::new(),
            subnet_scope: 0,
            referrals: 0,
            minimised: 0,
            place: None,
            exchange: None,
            waits: Vec::new(),
            look: true,
            is_parked: false,
            queued: false,
            iterate_only: false,
            abandoned: false,
            blame: Blame::default(),
            found: None,
            lookups: Vec::new(),
            source: None,
            alias_sources: Vec::new(),
            avoided: Vec::new(),
            restarts: 0,
            bogus: None,
            trace: None,
            refreshes: false,
        }
    }

    /// Forgets the way so far, and starts from the question again.
    pub(super) fn restart(&mut self) {
        self.sname = self.key.name.clone();
        self.chain = Chain::default();
        self.passed.clear();
        self.alias_sources.clear();
        self.place = None;
        self.minimised = 0;
        self.look = true;
    }

    /// Goes on with the servers of another zone, without those that gave bogus data.
    pub(super) fn go_to(&mut self, mut place: Place) {
        place.avoid(&self.avoided);
        self.place = Some(place);
    }

    /// Adds an event, if anybody wants to read it.
    pub(super) fn note(&mut self, at_ms: u64, events_max: usize, kind: impl FnOnce() -> TraceKind) {
        let depth = self.depth;
        if let Some(trace) = &mut self.trace
            && trace.len() < events_max
        {
            trace.push(TraceEvent {
                at_ms,
                depth,
                kind: kind(),
            });
        }
    }

    /// Whether a trust anchor's keys are looked for.
    pub(super) fn is_refresh(&self) -> bool {
        let mut waiters = self.waiters.iter();
        waiters.any(|waiter| matches!(waiter, Waiter::RollOver))
    }

    pub(super) fn candidate(&mut self, server: SocketAddr) -> Option<&mut Candidate> {
        self.place.as_mut()?.candidate(server)
    }

    /// The failure to report when nothing is left to try.
    pub(super) fn exhausted(&self) -> Failure {
        let zone = self
            .place
            .as_ref()
            .map_or_else(WireName::root, |place| place.zone.clone());
        let last = self
            .blame
            .last
            .as_ref()
            .map(|(server, reason)| format!("; {server}: {reason}"));
        let text = format!("no server of {zone} answers{}", last.unwrap_or_default());
        Failure {
            code: self.blame.code(),
            text,
            lasting: !self.blame.local,
        }
    }
}

/// What went wrong so far.
#[derive(Debug, Default)]
pub(super) struct Blame {
    pub(super) malformed: bool,
    pub(super) failed: bool,
    pub(super) network: bool,
    /// Our own limits or sockets were at fault.
    pub(super) local: bool,
    last: Option<(SocketAddr, String)>,
}

impl Blame {
    pub(super) fn note(&mut self, server: SocketAddr, reason: impl Into<String>) {
        self.last = Some((server, reason.into()));
    }

    /// Whether a server failed to answer.
    pub(super) fn is_on_a_server(&self) -> bool {
        self.last.is_some()
    }

    fn code(&self) -> u16 {
        if self.malformed {
            extended_error::INVALID_DATA
        } else if self.failed || self.network {
            extended_error::NETWORK_ERROR
        } else {
            extended_error::NO_REACHABLE_AUTHORITY
        }
    }
}

/// What one question of a client may still cost, its sub-resolutions included.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) sends_left: u32,
    pub(super) subqueries_left: u32,
    /// Signature checks and hashes.
    pub(super) effort: Effort,
    pub(super) deadline_ms: u64,
    /// Tasks charged to it.
    pub(super) tasks: u32,
}

/// All resolutions under way.
pub(super) struct Tasks {
    by_id: HashMap<u64, Box<Task>, HashKeys>,
    by_key: HashMap<TaskKey, u64, HashKeys>,
    work: HashMap<u64, Work, HashKeys>,
    /// Those of depth 0.
    questions: usize,
    next_id: u64,
}

impl Tasks {
    pub(super) fn new(keys: HashKeys) -> Self {
        let (by_id, by_key) = (HashMap::with_hasher(keys), HashMap::with_hasher(keys));
        Self {
            by_id,
            by_key,
            work: HashMap::with_hasher(keys),
            questions: 0,
            next_id: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many are no sub-resolutions.
    pub(super) fn questions(&self) -> usize {
        self.questions
    }

    pub(super) fn find(&self, key: &TaskKey) -> Option<u64> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Task> {
        self.by_id.get(&id).map(AsRef::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Task> {
        self.by_id.get_mut(&id).map(AsMut::as_mut)
    }

    /// Opens a ledger; it closes with the last task charged to it.
    pub(super) fn open_work(&mut self, work: Work) -> u64 {
        let id = self.new_id();
        self.work.insert(id, work);
        id
    }

    pub(super) fn work(&mut self, id: u64) -> &mut Work {
        self.work
            .get_mut(&id)
            .expect("a ledger stays open while a task is charged to it")
    }

    /// Makes a task, charged to an open ledger, which is found by its key from now on.
    pub(super) fn create(&mut self, key: TaskKey, work: u64, depth: u8) -> &mut Task {
        let id = self.new_id();
        self.work(work).tasks += 1;
        let before = self.by_key.insert(key.clone(), id);
        assert!(before.is_none(), "one task a key");
        self.questions += usize::from(depth == 0);
        let task = Box::new(Task::new(id, key, work, depth));
        self.by_id.entry(id).insert_entry(task).into_mut()
    }

    /// Takes a task out to work on it; its key still finds its id.
    pub(super) fn take(&mut self, id: u64) -> Option<Box<Task>> {
        self.by_id.remove(&id)
    }

    pub(super) fn put_back(&mut self, task: Box<Task>) {
        self.by_id.insert(task.id, task);
    }

    /// Charges a task to another open ledger, as a question of a client. Gives the deadline that
    /// it had.
    pub(super) fn charge_to(&mut self, id: u64, work: u64) -> u64 {
        let task = self
            .by_id
            .get_mut(&id)
            .expect("between steps every task is in its table");
        let before = std::mem::replace(&mut task.work, work);
        self.questions += usize::from(task.depth > 0);
        task.depth = 0;
        self.work(work).tasks += 1;
        let deadline_ms = self.work(before).deadline_ms;
        self.release(before);
        deadline_ms
    }

    /// Forgets a task that was taken out, and its ledger if it was the last.
    pub(super) fn retire(&mut self, task: &Task) {
        self.by_key.remove(&task.key);
        self.questions -= usize::from(task.depth == 0);
        self.release(task.work);
    }

    fn release(&mut self, id: u64) {
        let work = self.work(id);
        work.tasks -= 1;
        if work.tasks == 0 {
            self.work.remove(&id);
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
