//! AF_XDP: one socket, one umem and four rings for one receive queue.
//!
//! Frames are move-only tokens (`umem.rs`), so safe code can't hand one frame to two rings.
//! Start with [`XdpPort::bind`](port::XdpPort::bind).

mod port;
mod umem;

pub use port::{XdpConfig, XdpPort};
