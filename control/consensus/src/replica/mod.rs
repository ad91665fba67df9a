//! [`Replica`]: one member's part in the agreement.
//!
//! `order.rs` follows a batch from proposal to commit, `execute.rs` applies it, `checkpoint.rs` moves
//! the watermarks and the epochs, `view.rs` changes primaries, `catch_up.rs` helps those behind,
//! `read.rs` makes reads linearizable, `recover.rs` comes back from the disk.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::batch::{Batch, Request};
use crate::configuration::Configuration;
use crate::effect::{Effect, Input, Now, Observation};
use crate::evidence::Evidence;
use crate::horizon::Horizon;
use crate::identity::{ClusterId, Digest, Epoch, NodeId, Sequence, View};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::record::Record;
use crate::transfer::{Status, Transition};
use crate::verified::{Signer, Verified};
use crate::view_change::{NewView, ViewChange};
use crate::vote::{CheckpointBody, CheckpointCertificate, Phase, SignedVote, Vote};

mod order;
mod propose;

mod checkpoint;
mod execute;

mod view;

mod catch_up;
mod read;
mod timers;

mod recover;

mod clients;
mod pending;
mod slot;

#[cfg(test)]
mod tests;

pub use clients::REPLY_BYTES_MAX;
pub use recover::{Recovered, ReplicaError};

use self::catch_up::Transfer;
use self::clients::{ClientTable, LANES_MAX};
use self::pending::Pending;
use self::read::Reads;
use self::slot::Slot;
use self::timers::Timers;

/// Contradictions of one node that are reported.
const EVIDENCE_MAX: usize = 64;
/// Answers that cost something which a member gets in a round.
const HELP_MAX: u32 = 64;

/// What a node may choose for itself. Nothing here decides what is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Most requests in a proposal.
    pub batch_requests_max: usize,
    /// Most bytes of requests in a proposal; a single request may be larger.
    pub batch_bytes_max: usize,
    /// How long a primary that has proposals on their way waits for a batch to fill.
    pub batch_timeout_us: u64,
    /// After this votes are sent again, requests go to everybody, and catching up begins.
    pub round_timeout_us: u64,
    /// A request that waits longer for its execution costs the primary its place. Doubles with each
    /// view that brings nothing, up to 64 times that long.
    pub view_change_timeout_us: u64,
    /// Whether to wait a moment for everybody's consent, which spares a phase.
    pub fast_path: bool,
    /// How far a batch's time may be from this node's clock.
    pub clock_skew_max_ms: u64,
    /// Checkpoints from one snapshot to the next, at least.
    pub snapshot_interval: u64,
    /// Bytes of requests executed from one snapshot to the next, at least, in percent of the bytes that the
    /// first has: so that a large state is not written again for a few changes.
    pub snapshot_wear_percent: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            batch_requests_max: 50,
            batch_bytes_max: 1024 * 1024,
            batch_timeout_us: 1_000,
            round_timeout_us: 100_000,
            view_change_timeout_us: 1_000_000,
            fast_path: true,
            clock_skew_max_ms: 10_000,
            snapshot_interval: 10,
            snapshot_wear_percent: 25,
        }
    }
}

impl Params {
    /// Whether a round has passed since `since_us`.
    fn is_round_over(&self, since_us: Option<&u64>, now: Now) -> bool {
        since_us.is_none_or(|since| now.monotonic_us >= since.saturating_add(self.round_timeout_us))
    }
}

/// Most doublings of the view-change timeout.
pub(crate) const VIEW_CHANGE_BACKOFF_MAX: u32 = 6;

/// Where a replica stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// This node.
    pub id: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view, or the one it wants.
    pub view: View,
    /// Who leads that view.
    pub primary: NodeId,
    /// Whether the view has not begun.
    pub is_changing: bool,
    /// Last sequence executed.
    pub executed: Sequence,
    /// Last stable checkpoint.
    pub stable: Sequence,
    /// Highest sequence that a member claims to have executed.
    pub highest_claimed: Sequence,
    /// Time of the last batch, milliseconds since 1970.
    pub time_ms: u64,
    /// Requests known and not executed.
    pub pending: usize,
    /// Sequences above the stable checkpoint that are kept.
    pub slots: usize,
    /// Batches kept in memory.
    pub batches: usize,
    /// Whether state transfer is on its way.
    pub is_catching_up: bool,
    /// Whether the configuration knows it.
    pub is_member: bool,
    /// Whether it counts toward quorums.
    pub is_voter: bool,
    /// Whether it has stopped for good.
    pub is_halted: bool,
}

/// A stable checkpoint.
#[derive(Debug, Clone)]
struct Stable {
    sequence: Sequence,
    certificate: CheckpointCertificate,
    /// None for the state before the first batch.
    body: Option<CheckpointBody>,
}

/// One member's replica.
#[derive(Debug, Clone)]
pub struct Replica<M, S> {
    params: Params,
    signer: S,
    me: NodeId,
    cluster: ClusterId,
    configuration: Configuration,
    /// Whether it keeps state while the configuration does not know it: a witness that was let go has none.
    held_state: bool,
    /// The checkpoint at which this epoch began.
    base: Sequence,
    transitions: Vec<Transition>,
    /// Changes to later epochs, proven on the way to a snapshot and not yet entered.
    proven: Vec<Transition>,

    view: View,
    /// Whether `view` is wanted and has not begun.
    is_changing: bool,
    new_view: Option<Arc<NewView>>,
    view_changes: BTreeMap<NodeId, ViewChange>,

    stable: Stable,
    slots: BTreeMap<Sequence, Slot>,
    batches: BTreeMap<Digest, Arc<Batch>>,
    /// Proposals that cannot be looked at yet: of a later view, or too far ahead.
    early: BTreeMap<Sequence, (SignedVote, Arc<Batch>)>,

    executed: Sequence,
    time_ms: u64,
    boundary: Option<Sequence>,
    clients: ClientTable,
    machine: M,
    /// Bytes of the last snapshot that was kept, and of requests executed since.
    snapshot_bytes: u64,
    worn_bytes: u64,
    /// The last one that was made: where, its bytes, and `worn_bytes` then.
    snapshot_made: Option<(Sequence, u64, u64)>,
    /// While history is executed again: nobody would keep a snapshot.
    is_replaying: bool,
    own_checkpoints: BTreeMap<Sequence, CheckpointBody>,
    checkpoint_votes: BTreeMap<Sequence, BTreeMap<NodeId, (SignedVote, CheckpointBody)>>,
    /// When the vote for the stable checkpoint was last repeated to a voter.
    repeated_us: BTreeMap<NodeId, u64>,
    /// When the NEW-VIEW was last shown to a member.
    shown_us: BTreeMap<NodeId, u64>,
    /// When a member that is behind was last told so.
    told_us: BTreeMap<NodeId, u64>,
    /// Since when, and how many, answers a member got in this round.
    helped: BTreeMap<NodeId, (u64, u32)>,

    pending: Pending,
    statuses: BTreeMap<NodeId, Status>,
    transfer: Option<Transfer>,
    /// How large a snapshot each helper has offered.
    snapshot_claims: BTreeMap<NodeId, u64>,
    reads: Reads,
    timers: Timers,
    evidence: BTreeMap<NodeId, BTreeSet<Vote>>,
    /// Promises of a later epoch than the state on the disk leads to: no vote until it is reached.
    parked: Vec<Record>,
    is_halted: bool,
}

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// The only entry: the same inputs have the same effects. Effects are appended.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        if self.is_halted {
            return;
        }
        match input {
            Input::Message(from, message) => self.on_message(now, from, message, out),
            Input::Request(request) => self.on_request(now, request.into_inner(), out),
            Input::Read(token) => self.on_read(now, token, out),
            Input::Tick => {}
        }
        self.on_time(now, out);
        self.settle(now, out);
        self.assert_invariants();
    }

    /// What one step of progress makes possible, until nothing more is.
    fn settle(&mut self, now: Now, out: &mut Vec<Effect>) {
        loop {
            let before = (self.configuration.epoch(), self.executed);
            self.execute_ready(now, out);
            self.try_new_view(now, out);
            self.take_left(now, out);
            self.take_early(now, out);
            self.propose(now, out);
            if self.is_halted || before == (self.configuration.epoch(), self.executed) {
                break;
            }
        }
        self.finish_reads(now, out);
    }

    fn on_message(
        &mut self,
        now: Now,
        from: NodeId,
        message: Verified<Message>,
        out: &mut Vec<Effect>,
    ) {
        let is_member = self.configuration.member(from).is_some();
        if !is_member || from == self.me || self.configuration.is_isolated(from) {
            return;
        }
        match message.into_inner() {
            Message::PrePrepare(signed, batch) => {
                self.on_pre_prepare(now, from, signed, batch, out)
            }
            Message::Vote(signed) => self.on_vote(now, from, signed, out),
            Message::Checkpoint(signed, body) => self.on_checkpoint(now, from, signed, *body, out),
            Message::ViewChange(change) => self.on_view_change(now, from, *change, out),
            Message::NewView(new) => self.on_new_view(now, from, new, out),
            Message::Request(request) => self.on_request(now, request, out),
            Message::FetchBatch(digest) => self.on_fetch_batch(now, from, digest, out),
            Message::BatchData(batch) => self.on_batch_data(now, batch, out),
            Message::Status(status) => self.on_status(now, from, status, out),
            Message::FetchLog { epoch, after } => self.on_fetch_log(now, from, epoch, after, out),
            Message::Log(items) => self.on_log(now, from, items, out),
            Message::SnapshotOffer(offer) => self.on_snapshot_offer(now, from, *offer, out),
            Message::FetchChunk { sequence, index } => {
                if self.may_help(now, from) {
                    out.push(Effect::ServeChunk {
                        to: from,
                        sequence,
                        index,
                    });
                }
            }
            Message::Chunk {
                sequence,
                index,
                bytes,
            } => self.on_chunk(now, from, sequence, index, &bytes, out),
            Message::ReadIndex { nonce } => self.on_read_index(from, nonce, out),
            Message::ReadIndexReply {
                nonce,
                epoch,
                sequence,
            } => self.on_read_index_reply(from, nonce, epoch, sequence),
            Message::Application(bytes) => out.push(Effect::Deliver(from, bytes)),
        }
    }

    fn on_request(&mut self, now: Now, request: Request, out: &mut Vec<Effect>) {
        let id = request.id;
        let is_member = self.configuration.member(id.client).is_some();
        if !is_member || self.configuration.is_isolated(id.client) || id.lane >= LANES_MAX {
            return;
        }
        if !self.machine.is_well_formed(&request) {
            out.push(Effect::Observe(Observation::BadProposal(id.client)));
            return;
        }
        match self.clients.look_up(id) {
            clients::Known::New => {}
            clients::Known::Superseded => return,
            clients::Known::Executed(reply) => {
                let sequence = self.executed;
                out.push(Effect::Executed {
                    id,
                    sequence,
                    reply,
                });
                return;
            }
        }
        // A witness does not know what was executed, so it watches over its own requests alone.
        let is_watched = self.holds_state() || id.client == self.me || self.is_primary();
        if !is_watched || !self.pending.insert(request.clone(), now.monotonic_us) {
            return;
        }
        // Others' requests, too: the primary is watched over whatever waits here.
        if !self.is_primary() && (id.client == self.me || self.is_voter()) {
            let message = Arc::new(Message::Request(request));
            if self.is_voter() {
                out.push(Effect::Send(self.primary(), message));
            } else {
                out.push(Effect::Broadcast(message));
            }
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let claims = self.statuses.values().map(|status| status.executed);
        Summary {
            id: self.me,
            epoch: self.configuration.epoch(),
            view: self.view,
            primary: self.primary(),
            is_changing: self.is_changing,
            executed: self.executed,
            stable: self.stable.sequence,
            highest_claimed: claims.max().unwrap_or_default().max(self.executed),
            time_ms: self.time_ms,
            pending: self.pending.len(),
            slots: self.slots.len(),
            batches: self.batches.len(),
            is_catching_up: self.transfer.is_some(),
            is_member: self.configuration.member(self.me).is_some(),
            is_voter: self.is_voter(),
            is_halted: self.is_halted,
        }
    }

    /// What it can use. To be told to whoever checks signatures after each step, before that step's effects: an answer
    /// comes after its question.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        Horizon {
            epoch: self.configuration.epoch(),
            view: self.view,
            is_changing: self.is_changing,
            stable: self.stable.sequence,
            high: self.high(),
            helper: self.transfer.as_ref().map(Transfer::helper),
        }
    }

    /// The state.
    #[must_use]
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The state, for a caller that takes out of it what is not part of it, such as a list of changes.
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The members of this epoch.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// How far each member said to be.
    pub fn statuses(&self) -> impl Iterator<Item = (NodeId, Status)> {
        self.statuses.iter().map(|(id, status)| (*id, *status))
    }

    /// Whether a member may have one more answer that costs something.
    fn may_help(&mut self, now: Now, member: NodeId) -> bool {
        let round = self.params.round_timeout_us;
        let helped = self.helped.entry(member);
        let (since, count) = helped.or_insert((now.monotonic_us, 0));
        if now.monotonic_us >= since.saturating_add(round) {
            (*since, *count) = (now.monotonic_us, 0);
        }
        *count += 1;
        *count <= HELP_MAX
    }

    fn primary(&self) -> NodeId {
        self.configuration.primary(self.view)
    }

    fn is_primary(&self) -> bool {
        self.primary() == self.me && !self.is_changing && self.is_voter()
    }

    fn is_voter(&self) -> bool {
        self.configuration.is_voter(self.me) && self.parked.is_empty()
    }

    fn holds_state(&self) -> bool {
        let member = self.configuration.member(self.me);
        member.map_or(self.held_state, |member| member.role.holds_state())
    }

    /// The highest sequence that replicas take part in (PBFT §4.2).
    fn high(&self) -> Sequence {
        self.stable.sequence.plus(self.configuration.window())
    }

    fn is_in_window(&self, sequence: Sequence) -> bool {
        self.stable.sequence < sequence && sequence <= self.high()
    }

    fn vote(&self, phase: Phase, view: View, sequence: Sequence, digest: Digest) -> SignedVote {
        let vote = Vote {
            phase,
            epoch: self.configuration.epoch(),
            view,
            sequence,
            digest,
        };
        vote.sign(self.cluster, &self.signer)
    }

    fn report(&mut self, evidence: Evidence, out: &mut Vec<Effect>) {
        let vote = evidence.vote();
        let place = Vote {
            digest: Digest([0; 32]),
            ..vote.vote
        };
        let known = self.evidence.entry(vote.signer).or_default();
        if known.len() < EVIDENCE_MAX && known.insert(place) {
            out.push(Effect::Evidence(evidence));
        }
    }

    fn halt(&mut self, sequence: Sequence, expected: Digest, found: Digest, out: &mut Vec<Effect>) {
        self.is_halted = true;
        out.push(Effect::Halt {
            sequence,
            expected,
            found,
        });
    }

    /// Our own mistakes only: no message of a peer can make one of these fail.
    fn assert_invariants(&self) {
        if self.is_halted {
            return;
        }
        let lowest = self.slots.first_key_value();
        assert!(lowest.is_none_or(|(sequence, _)| *sequence > self.stable.sequence));
        let highest = self.slots.last_key_value();
        assert!(highest.is_none_or(|(sequence, _)| *sequence <= self.high()));
        assert!(self.is_changing || self.view == View(0) || self.new_view.is_some());
        assert!(
            self.boundary
                .is_none_or(|boundary| self.executed <= boundary)
        );
    }
}
