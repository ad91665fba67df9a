//! Packet I/O behind one trait: AF_XDP ([`xdp`]) and io_uring UDP ([`uring`]).
//!
//! A port receives a batch, lets its caller look at each message and write an answer over it in
//! place, and sends the batch with one wake-up. It never looks into a DNS message, keeps no state
//! between batches but the frames in flight, and allocates only when it is made.
//! Start with [`Port`].

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use wire::frame::FrameError;

mod options;
pub mod uring;
pub mod xdp;

/// Packets that one [`Port::receive`] returns at most.
pub const BATCH_PACKETS_MAX: usize = 64;

/// Bytes of reply headers at most: what [`Port::reply_headers`] writes and [`Port::inject`] takes.
pub const HEADERS_BYTES_MAX: usize = wire::frame::HEADERS_BYTES_MAX;

/// How packets reach user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// AF_XDP, the NIC writes straight into the umem.
    ZeroCopy,
    /// AF_XDP, the kernel copies between its buffers and the umem.
    Copy,
    /// UDP sockets by io_uring.
    Socket,
}

impl Mode {
    /// The name used in configuration, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Socket => "socket",
        }
    }
}

/// Who asked, and which of our addresses was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address and port of the asker.
    pub client: SocketAddr,
    /// Address and port that the query was sent to.
    pub local: SocketAddr,
}

/// What one [`Port::flush`] handed to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets handed to the kernel.
    pub packets: u64,
    /// Their bytes: whole frames for AF_XDP, DNS messages for sockets.
    pub bytes: u64,
    /// Replies that the kernel refused for good.
    pub refused: u64,
}

/// The kernel's and the port's own view of lost packets; totals since the port was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStatistics {
    /// Packets that the kernel dropped on the way to the receive ring.
    pub receive_dropped: u64,
    /// Packets dropped since the receive ring was full.
    pub receive_ring_full: u64,
    /// Times that the kernel found no frame in the fill ring.
    pub fill_ring_empty: u64,
    /// Descriptors on the transmit ring that the kernel found invalid.
    pub transmit_invalid: u64,
    /// Frames that wait to be sent now: the kernel or the NIC does not keep up.
    pub transmit_waiting: u64,
    /// Frames that no ring and no pool accounts for: zero, or a bug.
    pub frames_lost: u64,
}

/// Why a reply from the control plane was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// No free frame: the reply is dropped, the client asks again.
    #[error("no free frame to send from")]
    NoFrame,
    /// The headers or the length that came back are not ours.
    #[error("reply headers or message from the control plane are invalid")]
    Invalid,
}

/// A port that can't go on.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A step of set-up or a system call of the running port failed.
    #[error("{step}")]
    System {
        /// What was being done, with its object.
        step: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel took the socket, but not in the mode that was asked for.
    #[error("asked for {asked} mode on {interface} queue {queue}, the kernel gave another")]
    Mode {
        /// Mode asked for.
        asked: &'static str,
        /// Interface name.
        interface: String,
        /// Receive queue.
        queue: u32,
    },
}

impl PortError {
    fn system(step: impl Into<String>, source: io::Error) -> Self {
        Self::System {
            step: step.into(),
            source,
        }
    }

    /// The error number of the failed system call, if there was one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Mode { .. } => None,
        }
    }
}

/// One queue's packets. All indices are positions in the batch of the last [`Port::receive`].
///
/// The order of calls for a batch is: `receive`, `open` each, any of `message`, `source`,
/// `reply_headers`, at most one `reply` each, any number of `inject`, `flush`. Packets without a
/// reply are recycled by `flush`.
pub trait Port {
    /// Takes what has arrived, at most [`BATCH_PACKETS_MAX`] packets, without waiting.
    fn receive(&mut self) -> Result<usize, PortError>;

    /// Finds the DNS message in the packet; must come before any other look at it.
    fn open(&mut self, index: usize) -> Result<(), FrameError>;

    /// The DNS message of an opened packet.
    fn message(&self, index: usize) -> &[u8];

    /// Bytes of the packet as received.
    fn packet_bytes(&self, index: usize) -> usize;

    /// Lets `write` put a reply over the message; it gets all room from the message's first byte
    /// to the end of the frame, holding the query, and returns the reply's length.
    fn reply(&mut self, index: usize, write: impl FnOnce(&mut [u8]) -> usize);

    /// The reply that was written over the message, if one was.
    fn replied(&self, index: usize) -> Option<&[u8]>;

    /// Who sent an opened packet.
    fn source(&self, index: usize) -> Source;

    /// Whether an opened packet is a datagram of another node, which is for control as it is: then
    /// its two bits of explicit congestion notification.
    #[inline]
    fn mesh(&self, _index: usize) -> Option<u8> {
        None
    }

    /// Writes what [`Port::inject`] needs to answer this packet later; returns its length.
    fn reply_headers(&self, index: usize, out: &mut [u8; HEADERS_BYTES_MAX]) -> usize;

    /// Queues a reply to an earlier packet for the next [`Port::flush`].
    fn inject(&mut self, headers: &[u8], message: &[u8]) -> Result<(), InjectError>;

    /// Sends all replies with one wake-up and recycles the rest of the batch.
    fn flush(&mut self) -> Result<Sent, PortError>;

    /// Waits until a packet arrives, `wake` becomes readable, or `timeout` is over. May return
    /// early.
    fn sleep(&mut self, wake: BorrowedFd<'_>, timeout: Duration) -> Result<(), PortError>;

    /// Losses so far. Makes a system call: not for every batch.
    fn statistics(&mut self) -> PortStatistics;
}

/// Empties the bell that ended a sleep, so that the next one waits again. It never blocks: an
/// empty bell is no fault.
pub(crate) fn silence(wake: BorrowedFd<'_>) {
    let _ = rustix::io::read(wake, &mut [0_u8; 64]);
}
