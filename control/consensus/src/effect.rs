//! What goes into a replica, and what comes out.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::batch::{Request, RequestId};
use crate::configuration::Configuration;
use crate::evidence::Evidence;
use crate::identity::{Digest, NodeId, PublicKey, Sequence, View};
use crate::message::Message;
use crate::record::Record;
use crate::transfer::{HistoryItem, Transition};
use crate::verified::Verified;
use crate::vote::{CheckpointBody, CheckpointCertificate};

/// The time of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// A clock that never goes back, microseconds. Only differences count.
    pub monotonic_us: u64,
    /// The wall clock, milliseconds since 1970. It may jump.
    pub unix_ms: u64,
}

/// What a replica is told.
#[derive(Debug)]
pub enum Input {
    /// A message of another member, as its connection says.
    Message(NodeId, Verified<Message>),
    /// A request of this node's own.
    Request(Verified<Request>),
    /// A linearizable read wants to know when the state is recent enough. Answered by
    /// [`Effect::ReadReady`] with the same token.
    Read(u64),
    /// Nothing but time. To be given at [`crate::Replica::deadline_us`], or earlier.
    Tick,
}

/// What a replica wants done, in the order given: what stands behind a [`Effect::Persist`] must not
/// happen before the record is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Append to the durable log.
    Persist(Record),
    /// Send to one member.
    Send(NodeId, Arc<Message>),
    /// Send to all voters but this node.
    Broadcast(Arc<Message>),
    /// Send to the members without a vote.
    Announce(Arc<Message>),
    /// Append to the history of committed batches, which members that are behind are served from.
    /// Need not be durable before anything but [`Effect::Stable`].
    Append(HistoryItem),
    /// Make all of history durable before anything that follows: a vote on a checkpoint says that this
    /// node will have the state.
    SyncHistory,
    /// A request of any client was executed.
    Executed {
        /// Whose and which.
        id: RequestId,
        /// In which batch.
        sequence: Sequence,
        /// The state machine's reply.
        reply: Arc<[u8]>,
    },
    /// A read may now be answered from the state.
    ReadReady(u64),
    /// A read could not be ordered within its time: too few voters answer.
    ReadFailed(u64),
    /// The whole state at a checkpoint. Keep it until the checkpoint is stable or a later one comes.
    Snapshot(CheckpointBody, Vec<u8>),
    /// A checkpoint is stable. `records` are all that the durable log must still hold: it may be
    /// replaced by them, atomically, once the history up to here is durable.
    Stable {
        /// Its proof.
        certificate: CheckpointCertificate,
        /// What it is on.
        body: CheckpointBody,
        /// The durable log from now on.
        records: Vec<Record>,
    },
    /// Install this snapshot durably before anything that follows: history before it is gone. First the
    /// records, then the snapshot: the log may speak of a state that the disk does not have yet, but a
    /// snapshot needs the log's proof of its epoch.
    Install {
        /// Proof of its checkpoint.
        certificate: CheckpointCertificate,
        /// What it is on.
        body: CheckpointBody,
        /// The whole state.
        snapshot: Vec<u8>,
        /// The durable log from now on.
        records: Vec<Record>,
    },
    /// Answer a member's [`Message::FetchLog`] from history: [`Message::Log`] with the batches that
    /// follow `after` and the checkpoints from `after` on, in their order; or, if history begins
    /// later, [`Message::SnapshotOffer`] with `transitions`.
    ServeLog {
        /// Whom.
        to: NodeId,
        /// The last sequence that it has.
        after: Sequence,
        /// Changes of epoch that it may not know, as many as a message carries.
        transitions: Vec<Transition>,
    },
    /// Answer a member's [`Message::FetchChunk`] from the stored snapshot, if it is this one.
    ServeChunk {
        /// Whom.
        to: NodeId,
        /// The snapshot's checkpoint.
        sequence: Sequence,
        /// Number of the part.
        index: u32,
    },
    /// A message for the application.
    Deliver(NodeId, Vec<u8>),
    /// A new epoch has begun: connect to these, shut out those who are gone.
    Configured(Configuration),
    /// Keys of those who were members in epochs that this node has not lived through since its start. They count no
    /// more, but their votes stand in certificates that others show.
    FormerMembers(Vec<PublicKey>),
    /// A node has contradicted itself. Reported once a place.
    Evidence(Evidence),
    /// For metrics and reputation. Never acted on here.
    Observe(Observation),
    /// This replica's state is not the one that a quorum has, or its log contradicts itself. It
    /// takes no further part: an operator must look.
    Halt {
        /// At which sequence.
        sequence: Sequence,
        /// What the quorum has.
        expected: Digest,
        /// What this replica has.
        found: Digest,
    },
}

/// Something worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A proposal was accepted.
    Accepted(Sequence),
    /// A proposal has its prepared certificate.
    Prepared(Sequence),
    /// A batch is committed.
    Committed {
        /// Its sequence.
        sequence: Sequence,
        /// Whether by the fast path.
        fast: bool,
        /// Requests inside.
        requests: usize,
    },
    /// A batch is executed.
    Executed(Sequence),
    /// A vote of a member counted.
    Voted(NodeId),
    /// The primary's batch has a time that this node's clock contradicts.
    TimingViolation(NodeId),
    /// The primary proposed what is not well formed or was executed before.
    BadProposal(NodeId),
    /// A message that no honest member sends: a false certificate, a false proposal set.
    BadMessage(NodeId),
    /// A message of another epoch, view or window: late, early or replayed.
    Stale(NodeId),
    /// The node gave up on the primary of the view before.
    ViewWanted(View),
    /// A view began.
    ViewEntered(View),
    /// Everybody's consent did not come in time; the slow path goes on.
    FastPathMissed(Sequence),
    /// State transfer began.
    CatchingUp {
        /// From whom.
        from: NodeId,
        /// After which sequence.
        after: Sequence,
    },
}
