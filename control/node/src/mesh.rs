//! The mesh: who this node is, how it talks to the other nodes of its cluster, and what it must not forget.
//!
//! QUIC with certificates on both sides; signatures are checked before anybody sees a message.
//! Nothing here decides: [`consensus`] does. Start at [`Network`]; at [`Identity`] for the key, at
//! [`store::Store`] for the disk.

mod genesis;
pub use genesis::genesis;

mod identity;
mod key_file;
pub use identity::Identity;
pub use key_file::KeyError;

mod network;
pub use network::{Network, Settings};

mod outbox;

mod connect;
mod link;
mod peer;
mod queue;
pub use peer::PeerStatus;

mod verify;
pub use verify::{ChecksOf, Inbound};
mod seen;
mod signatures;

mod endpoint;
pub use endpoint::{MakeSocket, kernel_socket};
mod certificate;
mod members;
mod tls;

mod frames;

mod counters;
mod metrics;
pub use metrics::Telemetry;

pub mod store;

pub mod driver;

pub mod guard;

mod service;
pub use service::{LedgerBundler, Mesh, MeshError, Threads};

#[cfg(test)]
mod tests;
