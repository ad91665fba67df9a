//! Control's and observers' end of the hand-over.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SocketAddrUnix, SocketFlags, SocketType, recvmsg, sockopt,
};

use crate::event::{Doorbell, WorkerEvents};
use crate::handover::text::{self, Answer, DESCRIPTORS_MAX, Label, Refusal, TextError};
use crate::handover::{Role, SharedSocket};
use crate::region::{AttachError, Attachment, Region};

/// Descriptors that one message of any server carries at most: the kernel's SCM_MAX_FD.
const MESSAGE_DESCRIPTORS_MAX: usize = 253;
/// Bytes of text taken at once.
const READ_BYTES: usize = 8192;

/// Why there is no region.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No dataplane there, or it does not answer in time: the kernel's words.
    #[error("{operation} {}: {error}", .path.display())]
    Kernel {
        /// What was asked of it.
        operation: &'static str,
        /// The socket's path.
        path: PathBuf,
        /// Its answer; EAGAIN means time out.
        error: Errno,
    },
    /// The dataplane said no.
    #[error("the dataplane refused: {0}")]
    Refused(#[from] Refusal),
    /// The dataplane's words were not understood.
    #[error("the dataplane's answer: {0}")]
    Text(#[from] TextError),
    /// The connection ended before everything had come.
    #[error("the dataplane closed the connection")]
    Closed,
    /// Descriptors are missing, or there are more than announced (or this process has reached its
    /// limit of open files).
    #[error("{found} descriptors came where {expected} were announced")]
    Descriptors {
        /// Descriptors that came.
        found: usize,
        /// Descriptors announced.
        expected: usize,
    },
    /// What came does not fit together: a worker without bells, two memories.
    #[error("the hand-over is incomplete: {0}")]
    Incomplete(&'static str),
    /// The memory is not a region that we can use.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// What came.
#[derive(Debug)]
pub struct Attached {
    /// The memory.
    pub region: Region,
    /// Eventfds of each worker, by its number; none for an observer.
    pub events: Vec<WorkerEvents>,
    /// UDP sockets, in socket mode; none for an observer.
    pub sockets: Vec<SharedSocket>,
    /// Control keeps this open; an observer may drop it.
    pub connection: Connection,
}

/// Control's line to the dataplane: non-blocking, silent, readable only when it ended.
#[derive(Debug)]
pub struct Connection(UnixStream);

impl Connection {
    /// Whether the dataplane still lives and still takes us for its control.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut stream = &self.0;
        match stream.read(&mut [0; 64]) {
            Ok(count) => count != 0,
            Err(error) => matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
            ),
        }
    }
}

impl AsFd for Connection {
    /// Poll this for reading: readable means ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Asks the dataplane at `path` for the region. Waits up to `timeout` at each step: to connect,
/// and for each part of the answer.
pub fn connect(path: &Path, role: Role, timeout: Duration) -> Result<Attached, ConnectError> {
    let kernel = |operation| {
        move |error| ConnectError::Kernel {
            operation,
            path: path.to_path_buf(),
            error,
        }
    };
    let mut stream = open(path, timeout).map_err(kernel("connect to"))?;
    match stream.write_all(text::hello(role).as_bytes()) {
        // A server that refuses this user does not wait for the hello; its words are there.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(kernel("write to")(errno(&error)));
        }
        _ => {}
    }
    let mut descriptors = Vec::new();
    let (epoch, labels) = match receive(&stream, &mut descriptors, kernel("read from"))? {
        Answer::Refused(refusal) => return Err(refusal.into()),
        Answer::Granted { epoch, labels } => (epoch, labels),
    };
    let (found, expected) = (descriptors.len(), labels.len());
    if found != expected {
        return Err(ConnectError::Descriptors { found, expected });
    }
    let attachment = match role {
        Role::Control => Attachment::Control { epoch },
        Role::Observer => Attachment::Observer,
    };
    stream
        .set_nonblocking(true)
        .map_err(|error| kernel("set up")(errno(&error)))?;
    assemble(labels, descriptors, attachment, Connection(stream))
}

fn open(path: &Path, timeout: Duration) -> Result<UnixStream, Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(timeout))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Reads until the answer is whole.
fn receive(
    stream: &UnixStream,
    descriptors: &mut Vec<OwnedFd>,
    kernel: impl Fn(Errno) -> ConnectError,
) -> Result<Answer, ConnectError> {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; READ_BYTES];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(&mut buffer)];
        let message = match recvmsg(stream, slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => message,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(kernel(error)),
        };
        for ancillary in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = ancillary {
                descriptors.extend(received);
            }
        }
        let truncated = message.flags.contains(ReturnFlags::CTRUNC);
        if truncated || descriptors.len() > DESCRIPTORS_MAX {
            let (found, expected) = (descriptors.len(), DESCRIPTORS_MAX);
            return Err(ConnectError::Descriptors { found, expected });
        }
        if message.bytes == 0 {
            return Err(ConnectError::Closed);
        }
        text.extend_from_slice(buffer.get(..message.bytes).unwrap_or(&[]));
        if let Some(answer) = Answer::parse(&text)? {
            return Ok(answer);
        }
    }
}

/// Puts descriptors where their labels say.
fn assemble(
    labels: Vec<Label>,
    descriptors: Vec<OwnedFd>,
    attachment: Attachment,
    connection: Connection,
) -> Result<Attached, ConnectError> {
    let mut memory = None;
    let (mut punts, mut replies) = (Vec::new(), Vec::new());
    let mut sockets = Vec::new();
    for (label, descriptor) in labels.into_iter().zip(descriptors) {
        match label {
            Label::Memory if memory.is_none() => memory = Some(descriptor),
            Label::Memory => return Err(ConnectError::Incomplete("a second memory")),
            Label::Punt { worker } => punts.push((worker, Doorbell::from(descriptor))),
            Label::Reply { worker } => replies.push((worker, Doorbell::from(descriptor))),
            Label::Socket { worker, address } => {
                sockets.push(SharedSocket {
                    worker,
                    address,
                    socket: descriptor,
                });
            }
        }
    }
    let memory = memory.ok_or(ConnectError::Incomplete("no memory"))?;
    let region = Region::attach(memory, attachment)?;
    let workers = if attachment == Attachment::Observer {
        0
    } else {
        region.workers()
    };
    let in_order = |events: &[(u32, Doorbell)]| {
        events.len() == workers as usize
            && (0..)
                .zip(events)
                .all(|(expected, (worker, _))| *worker == expected)
    };
    if !in_order(&punts) || !in_order(&replies) {
        return Err(ConnectError::Incomplete("not one pair of bells a worker"));
    }
    let events = punts
        .into_iter()
        .zip(replies)
        .map(|((_, punt), (_, reply))| WorkerEvents { punt, reply })
        .collect();
    Ok(Attached {
        region,
        events,
        sockets,
        connection,
    })
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
