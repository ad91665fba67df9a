//! Hand-over: the dataplane gives memory, bells and UDP sockets to a process that asks on its
//! unix socket.
//!
//! The client says who it is in one line; the server checks its credentials and answers with text
//! that names each descriptor, and the descriptors (SCM_RIGHTS). Control's connection stays open:
//! its end is how either side learns that the other is gone, or that a newer control came.

mod client;
mod server;
mod text;

use core::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::event::WorkerEvents;
use crate::region::Region;

pub use client::{Attached, ConnectError, Connection, connect};
pub use server::{BindError, Event, Peer, Server};
pub use text::{Refusal, TextError};

/// UDP sockets in one hand-over at most.
pub const SOCKETS_MAX: usize = 1024;

/// What a client wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one process that takes punts and gives replies.
    Control,
    /// Anybody who only looks: the memory comes read-only, nothing else comes.
    Observer,
}

/// A UDP socket that both planes hold: whoever survives goes on reading it.
#[derive(Debug)]
pub struct SharedSocket {
    /// The worker that reads it.
    pub worker: u32,
    /// Its local address.
    pub address: SocketAddr,
    /// The socket.
    pub socket: OwnedFd,
}

/// What the dataplane has to give.
#[derive(Debug)]
pub struct Offer {
    /// The region it made.
    pub region: Region,
    /// Eventfds of each worker, by its number.
    pub events: Vec<WorkerEvents>,
    /// Sockets, in socket mode; at most [`SOCKETS_MAX`].
    pub sockets: Vec<SharedSocket>,
}
