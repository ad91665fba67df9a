//! The dataplane's end of the hand-over.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use crate::event::WorkerEvents;
use crate::handover::text::{self, HELLO_BYTES_MAX, Label, Refusal, Verdict};
use crate::handover::{Offer, Role, SOCKETS_MAX};

/// How long one client may keep the server busy with one read or write.
const PATIENCE: Duration = Duration::from_secs(1);
/// Reads that a hello may take.
const HELLO_READS_MAX: usize = 4;
/// Descriptors in one message; the kernel takes 253.
const CHUNK_DESCRIPTORS_MAX: usize = 128;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another dataplane answers there.
    #[error("another dataplane listens on {}", .0.display())]
    InUse(PathBuf),
    /// More sockets than [`SOCKETS_MAX`], or not one pair of bells a worker.
    #[error("an offer of {events} event pairs for {workers} workers and {sockets} sockets")]
    Offer {
        /// Pairs of bells offered.
        events: usize,
        /// Workers of the region.
        workers: u32,
        /// Sockets offered.
        sockets: usize,
    },
    /// The kernel refused.
    #[error("{operation} {}: {error}", .path.display())]
    Kernel {
        /// What was asked of it.
        operation: &'static str,
        /// The socket's path.
        path: PathBuf,
        /// Its answer.
        error: std::io::Error,
    },
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process; 0 if it lives in a namespace we cannot see.
    pub pid: i32,
    /// User.
    pub uid: u32,
}

/// What happened on the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A control holds the region now; the one before, if any, has lost it.
    ControlAttached {
        /// Who.
        peer: Peer,
        /// Its number.
        epoch: u64,
    },
    /// Control's connection ended: it is gone.
    ControlLost(Peer),
    /// Somebody looks.
    ObserverAttached(Peer),
    /// Somebody was turned away.
    Refused {
        /// Who.
        peer: Peer,
        /// Why.
        refusal: Refusal,
    },
    /// A client gave up or was cut off half-way; the control before stays if the new one had not
    /// been numbered yet.
    Failed {
        /// Who.
        peer: Peer,
        /// What broke.
        error: Errno,
    },
}

/// Listens for control and observers. One thread calls [`Server::serve`] in a loop.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket file, so that only our own is removed.
    identity: (u64, u64),
    offer: Offer,
    uids: Vec<u32>,
    control: Option<(UnixStream, Peer)>,
}

impl Server {
    /// Opens the socket at `path`, over the file of a dataplane that died. Root, our own user and
    /// `uids` may attach.
    pub fn bind(path: &Path, offer: Offer, uids: &[u32]) -> Result<Self, BindError> {
        let (events, workers) = (offer.events.len(), offer.region.workers());
        let sockets = offer.sockets.len();
        if events != workers as usize || sockets > SOCKETS_MAX {
            return Err(BindError::Offer {
                events,
                workers,
                sockets,
            });
        }
        let kernel = |operation| {
            move |error| BindError::Kernel {
                operation,
                path: path.to_path_buf(),
                error,
            }
        };
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(kernel("bind"))?;
        listener
            .set_nonblocking(true)
            .map_err(kernel("set non-blocking"))?;
        // Everybody may knock; the credentials decide.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
            .map_err(kernel("chmod"))?;
        let metadata = std::fs::symlink_metadata(path).map_err(kernel("stat"))?;
        Ok(Self {
            listener,
            path: path.to_path_buf(),
            identity: (metadata.dev(), metadata.ino()),
            offer,
            uids: uids.to_vec(),
            control: None,
        })
    }

    /// Waits up to `timeout` for one thing to happen, and handles it; None when nothing did.
    /// A client can hold it up for a few seconds at most. Errors are those of the listening socket.
    pub fn serve(&mut self, timeout: Duration) -> Result<Option<Event>, Errno> {
        let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        let mut polled = vec![PollFd::new(&self.listener, PollFlags::IN)];
        if let Some((control, _)) = &self.control {
            polled.push(PollFd::new(control, PollFlags::IN));
        }
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        let knocked = !polled
            .first()
            .is_none_or(|listener| listener.revents().is_empty());
        let control_moved = !polled
            .get(1)
            .is_none_or(|control| control.revents().is_empty());
        if control_moved && let Some(peer) = self.control_gone() {
            return Ok(Some(Event::ControlLost(peer)));
        }
        if knocked { self.accept() } else { Ok(None) }
    }

    /// The control that holds the region now.
    #[must_use]
    pub fn control(&self) -> Option<Peer> {
        self.control.as_ref().map(|(_, peer)| *peer)
    }

    /// Drops control's connection if it ended. Control has nothing to say; what it says is lost.
    fn control_gone(&mut self) -> Option<Peer> {
        let (stream, peer) = self.control.as_mut()?;
        let peer = *peer;
        match stream.read(&mut [0; 64]) {
            Ok(0) => {}
            Ok(_) => return None,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return None,
            Err(_) => {}
        }
        self.control = None;
        Some(peer)
    }

    fn accept(&mut self) -> Result<Option<Event>, Errno> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                return match errno(&error) {
                    // Gone again already.
                    Errno::AGAIN | Errno::INTR | Errno::CONNABORTED => Ok(None),
                    error => Err(error),
                };
            }
        };
        let peer = peer(stream.as_fd())?;
        let event = self.welcome(stream, peer);
        Ok(Some(event.unwrap_or_else(|error| Event::Failed {
            peer,
            error: errno(&error),
        })))
    }

    fn welcome(&mut self, mut stream: UnixStream, peer: Peer) -> std::io::Result<Event> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let own = rustix::process::geteuid().as_raw();
        if peer.uid != 0 && peer.uid != own && !self.uids.contains(&peer.uid) {
            return refuse(&mut stream, peer, Refusal::Uid);
        }
        match read_hello(&mut stream)? {
            Some(Role::Control) => self.welcome_control(stream, peer),
            Some(Role::Observer) => self.welcome_observer(&stream, peer),
            None => refuse(&mut stream, peer, Refusal::Hello),
        }
    }

    fn welcome_control(&mut self, stream: UnixStream, peer: Peer) -> std::io::Result<Event> {
        // First the number, which stops the writing of the control before: it may be stopped by a
        // signal and unable to notice the end of its connection.
        let epoch = self
            .offer
            .region
            .grant_control()
            .map_err(std::io::Error::other)?;
        if let Some((before, _)) = self.control.take() {
            let _ = before.shutdown(Shutdown::Both);
        }
        let mut labelled = vec![(Label::Memory, self.offer.region.memory())];
        let reopened: Result<Vec<WorkerEvents>, Errno> =
            self.offer.events.iter().map(WorkerEvents::reopen).collect();
        let reopened = reopened?;
        for (worker, events) in (0..).zip(&reopened) {
            labelled.push((Label::Punt { worker }, events.punt.as_fd()));
            labelled.push((Label::Reply { worker }, events.reply.as_fd()));
        }
        for shared in &self.offer.sockets {
            let label = Label::Socket {
                worker: shared.worker,
                address: shared.address,
            };
            labelled.push((label, shared.socket.as_fd()));
        }
        send(&stream, epoch, &labelled)?;
        stream.set_nonblocking(true)?;
        self.control = Some((stream, peer));
        Ok(Event::ControlAttached { peer, epoch })
    }

    fn welcome_observer(&self, stream: &UnixStream, peer: Peer) -> std::io::Result<Event> {
        let memory = self.offer.region.memory_read_only();
        let memory = memory.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::Unsupported))?;
        let epoch = self.offer.region.control_status().epoch;
        send(stream, epoch, &[(Label::Memory, memory)])?;
        Ok(Event::ObserverAttached(peer))
    }
}

impl AsFd for Server {
    /// The listening socket.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket file of a dataplane that is gone. Leaves anything else to `bind`'s error.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let kernel = |operation| {
        move |error: std::io::Error| BindError::Kernel {
            operation,
            path: path.to_path_buf(),
            error,
        }
    };
    match knock(path) {
        // A full queue is that of a dataplane that is stopped.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse(path.to_path_buf())),
        Err(Errno::CONNREFUSED) => {
            std::fs::remove_file(path).map_err(kernel("remove stale socket"))
        }
        Err(_) => Ok(()),
    }
}

/// Connects without waiting for room in the queue of whoever listens.
fn knock(path: &Path) -> Result<(), Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)
}

/// Reads the client's line; None if it is not one of ours.
fn read_hello(stream: &mut UnixStream) -> std::io::Result<Option<Role>> {
    let mut line = [0; HELLO_BYTES_MAX];
    let mut filled = 0;
    for _ in 0..HELLO_READS_MAX {
        let Some(space) = line.get_mut(filled..).filter(|space| !space.is_empty()) else {
            break;
        };
        let count = stream.read(space)?;
        filled += count;
        let so_far = line.get(..filled).unwrap_or(&[]);
        if count == 0 || so_far.ends_with(b"\n") {
            return Ok(text::parse_hello(so_far).ok());
        }
    }
    Ok(None)
}

fn refuse(stream: &mut UnixStream, peer: Peer, refusal: Refusal) -> std::io::Result<Event> {
    stream.write_all(Verdict::Refused(refusal).to_string().as_bytes())?;
    Ok(Event::Refused { peer, refusal })
}

/// Sends the verdict and the descriptors with their labels, in messages the kernel takes.
fn send(
    stream: &UnixStream,
    epoch: u64,
    labelled: &[(Label, BorrowedFd<'_>)],
) -> std::io::Result<()> {
    let mut text = Verdict::Granted {
        epoch,
        descriptors: labelled.len(),
    }
    .to_string();
    for chunk in labelled.chunks(CHUNK_DESCRIPTORS_MAX) {
        let mut descriptors = Vec::with_capacity(chunk.len());
        for (label, descriptor) in chunk {
            text.push_str(&label.to_string());
            descriptors.push(*descriptor);
        }
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK_DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let bytes = text.as_bytes();
        let sent = sendmsg(
            stream,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        // The descriptors went with the first byte; the rest of the text follows.
        let mut stream = stream;
        stream.write_all(bytes.get(sent..).unwrap_or(&[]))?;
        text.clear();
    }
    Ok(())
}

fn peer(socket: BorrowedFd<'_>) -> Result<Peer, Errno> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let expected = size_of::<libc::ucred>();
    let mut bytes = libc::socklen_t::try_from(expected).map_err(|_| Errno::INVAL)?;
    // JUSTIFICATION: std has no stable call for SO_PEERCRED, and rustix's returns a process id
    // that must not be 0, which the kernel gives for a peer outside our pid namespace.
    // SAFETY: `credentials` is writable for `bytes` bytes, both outlive the call, and every bit
    // pattern is a valid `ucred`; `socket` is open since it is borrowed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut bytes,
        )
    };
    if result != 0 {
        return Err(errno(&std::io::Error::last_os_error()));
    }
    if bytes as usize != expected {
        return Err(Errno::INVAL);
    }
    Ok(Peer {
        pid: credentials.pid,
        uid: credentials.uid,
    })
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
