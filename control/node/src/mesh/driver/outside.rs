//! What the driver of a replica needs of the rest of the node.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use consensus::{Configuration, Evidence, Horizon, Message, NodeId, Observation, PublicKey};

use crate::mesh::Inbound;

/// The way to other nodes. Never blocks; what cannot be sent is dropped and counted by the network.
pub trait Outbox: Debug + Send + Sync + 'static {
    /// To one member.
    fn send(&self, to: NodeId, message: &Arc<Message>);

    /// To all other voters.
    fn broadcast(&self, message: &Arc<Message>);

    /// To the members without a vote.
    fn announce(&self, message: &Arc<Message>);

    /// These were members before.
    fn remember(&self, keys: &[PublicKey]);

    /// These are the members from now on.
    fn configure(&self, configuration: &Configuration);

    /// What the replica can use from now on; the rest of what comes in need not be checked. Called on the replica's
    /// thread after each step, before anything of it goes out that might be answered.
    fn stand(&self, horizon: Horizon);
}

/// Puts into service what has changed in the state. Run when all that it rests on is durable, and
/// before any client hears of it.
pub type Publication = Box<dyn FnOnce() + Send>;

/// Makes durable what is not the replica's.
pub type Settle = Box<dyn Fn() -> io::Result<()> + Send>;

/// Something that happened, for whoever watches over nodes.
#[derive(Debug)]
pub enum Event {
    /// A peer came, went or misbehaved. Messages for the replica do not come here.
    Network(Inbound),
    /// Another member's application says this.
    Message(NodeId, Vec<u8>),
    /// These are the members from now on.
    Configured(Configuration),
    /// A member has contradicted itself.
    Evidence(Evidence),
    /// The replica saw this.
    Observed(Observation),
    /// This node takes no part any more, and why.
    Halted(String),
}

/// The node's side of a state machine. Called on the replica's thread, so it must not wait.
pub trait Hooks<M>: Send + 'static {
    /// The state has changed, by batches or as a whole. Takes out of it what the node must know.
    fn on_applied(&mut self, machine: &mut M) -> Option<Publication>;

    /// Something happened.
    fn on_event(&mut self, event: Event);

    /// What makes durable all that the node itself has written of executed batches. Called on another thread, before a
    /// snapshot takes the place of those batches: after a crash they would not come again.
    fn settle(&self) -> Settle {
        Box::new(|| Ok(()))
    }
}
