//! UDP sockets by io_uring: multishot receive into provided buffers, batched sends.
//!
//! Answers are written over the query in the buffer it arrived in and sent from there, to the
//! address that asked, from the address that was asked (IP_PKTINFO). One ring, one thread.
//! Start with [`UringPort::new`](port::UringPort::new).

mod address;
mod memory;
mod port;
mod socket;

pub use port::UringPort;
pub use socket::bind;
