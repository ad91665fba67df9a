//! What the replicas keep in agreement.

use alloc::vec::Vec;

use crate::batch::Request;
use crate::configuration::Configuration;
use crate::identity::{ClusterId, Digest, Sequence};
use crate::verified::SignatureCheck;

/// Where and when a request is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyContext {
    /// The batch's place in the order.
    pub sequence: Sequence,
    /// The batch's time, milliseconds since 1970: the only clock. It rises with each batch.
    pub time_ms: u64,
}

/// A snapshot that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("snapshot: {0}")]
pub struct RestoreError(pub &'static str);

/// A deterministic state: the same requests in the same order give the same state, replies and
/// root on every node, whatever its clock, its hash seeds and its processor.
pub trait StateMachine: Sized {
    /// The same machine before its first request: a snapshot is restored into it and judged before
    /// it takes the place of what there is.
    fn fresh(&self) -> Self;

    /// Whether a request is one that this machine knows, as far as its bytes say. Voters refuse to
    /// prepare a batch with one that is not. Must not depend on the state.
    fn is_well_formed(&self, request: &Request) -> bool;

    /// Signatures inside a request's command that must hold before a voter prepares it.
    fn checks(&self, cluster: ClusterId, request: &Request) -> Vec<SignatureCheck>;

    /// Executes a request and returns the reply, which is kept for the client and must have no more
    /// than [`crate::REPLY_BYTES_MAX`] bytes, whatever the request.
    /// What cannot be done is a reply, too.
    fn apply(&mut self, context: ApplyContext, request: &Request) -> Vec<u8>;

    /// Root of the state. Called at checkpoints.
    fn root(&mut self) -> Digest;

    /// The configuration that the state asks for, given the one in force. The epoch does not
    /// matter. If it is not like the one in force, a new epoch begins at a checkpoint soon after.
    fn wanted_configuration(&self, current: &Configuration) -> Configuration;

    /// The whole state.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the whole state.
    ///
    /// # Errors
    /// The bytes are no state. Nothing has changed then.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;
}
