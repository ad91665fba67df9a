//! Agreement by PBFT (Castro and Liskov, TOCS 2002) with a safe fast path, as a pure state machine.
//!
//! [`Replica::step`] is the only entry: time and one input go in, ordered [`Effect`]s come out. It
//! reads no clock, opens no socket, draws no randomness. Signatures are checked outside, before a
//! message becomes [`Verified`]; what must be on disk before a message leaves stands in front of it.
//! Start at [`Replica`]; what it promises and where that is tested: `docs/consensus.md`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod replica;

mod effect;
mod evidence;
mod horizon;
mod machine;

mod message;
mod transfer;
mod view_change;
mod vote;

mod batch;
mod configuration;
mod record;

mod codec;
mod header;
mod identity;
mod verified;

pub use batch::{Batch, COMMAND_BYTES_MAX, Request, RequestId};
pub use codec::{DecodeError, Reader, Wire, Writer};
pub use configuration::{
    Configuration, ConfigurationError, MEMBERS_MAX, Member, Role, faults_max, quorum,
};
pub use effect::{Effect, Input, Now, Observation};
pub use evidence::Evidence;
pub use header::{HEADER_BYTES, Header, MessageKind};
pub use horizon::{Horizon, Use};
pub use identity::{ClusterId, Digest, Epoch, NodeId, PublicKey, Sequence, Signature, View};
pub use machine::{ApplyContext, RestoreError, StateMachine};
pub use message::{MESSAGE_BYTES_MAX, Message, MessageError};
pub use record::Record;
pub use replica::{Params, REPLY_BYTES_MAX, Recovered, Replica, ReplicaError, Summary};
pub use transfer::{
    CHUNK_BYTES_MAX, HistoryItem, LOG_BYTES_MAX, SnapshotOffer, Status, Transition,
};
pub use verified::{SignatureCheck, Signer, Verified, answer_preimage};
pub use view_change::{NewView, PrePrepared, PreparedCertificate, ViewChange};
pub use vote::{CheckpointBody, CheckpointCertificate, CommitCertificate, Phase, SignedVote, Vote};
