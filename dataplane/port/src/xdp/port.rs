//! The AF_XDP port of one receive queue.

use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::frame::{self, Datagram, FrameError};
use xsk_rs::config::{BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize};
use xsk_rs::config::{SocketConfig, UmemConfig};
use xsk_rs::{Socket, Umem};

use super::umem::{Frame, Frames};
use crate::{
    BATCH_PACKETS_MAX, HEADERS_BYTES_MAX, InjectError, Mode, Port, PortError, PortStatistics, Sent,
    Source, options, silence,
};

/// Bytes of a umem chunk; 256 of them are the kernel's headroom, so packets up to 1792 bytes fit.
const CHUNK_BYTES: u32 = 2048;
/// Frames on each of the four rings.
const RING_FRAMES: u32 = 2048;
/// Chunks: a full fill ring and as many to send from.
const UMEM_FRAMES: u32 = 2 * RING_FRAMES;
/// Free frames that the fill ring may not take, so that replies from control always find one.
const REPLY_FRAMES: usize = 256;
/// Replies that wait for room on the transmit ring at most.
const PENDING_FRAMES_MAX: usize = RING_FRAMES as usize;
/// Wake-ups of one flush at most: a kernel without a settable budget sends 32 frames a wake-up.
const KICKS_MAX: usize = 4;
/// Sleep at most while frames wait for a NIC that does not keep up.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);
/// Send buffer of the socket in copy mode, where each frame in flight is charged to it.
const SEND_BUFFER_BYTES: i32 = 4 << 20;
/// How often and how long a bind waits for an earlier owner's umem to go away.
const BIND_TRIES: usize = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);

// linux/if_xdp.h; the libc crate does not have them all.
const SOL_XDP: i32 = 283;
const XDP_OPTIONS: i32 = 8;
const XDP_OPTIONS_ZEROCOPY: i32 = 1;
const XDP_MAX_TX_SKB_BUDGET: i32 = 9;

/// What a port is bound to.
#[derive(Clone, Debug)]
pub struct XdpConfig {
    /// Interface name.
    pub interface: String,
    /// Receive queue of the interface.
    pub queue: u32,
    /// Ask for zero-copy; otherwise for copy. Never left to the kernel's choice.
    pub zero_copy: bool,
    /// Microseconds of `SO_BUSY_POLL` with `SO_PREFER_BUSY_POLL`; 0 leaves the queue to interrupts.
    pub busy_poll_us: u32,
    /// Packets that the kernel takes in one busy poll.
    pub busy_poll_budget: u32,
    /// The UDP port at which other nodes are heard.
    pub mesh_port: u16,
}

#[derive(Debug)]
struct Packet {
    frame: Frame,
    datagram: Option<Datagram>,
    is_mesh: bool,
    replied: bool,
}

/// Packets of one receive queue, by AF_XDP.
#[derive(Debug)]
pub struct XdpPort {
    frames: Frames,
    batch: Vec<Packet>,
    /// Frames ready to send, oldest first.
    outgoing: Vec<Frame>,
    outgoing_bytes: u64,
    mesh_port: u16,
}

impl XdpPort {
    /// Makes a umem, binds a socket to the queue in exactly the mode asked for, and fills the fill
    /// ring. The socket gets packets once it is in the XSKMAP of an attached program.
    pub fn bind(config: &XdpConfig) -> Result<Self, PortError> {
        let mut tries = 0;
        let frames = loop {
            match Self::open(config) {
                // A dead owner's umem is torn down asynchronously.
                Err(error) if error.errno() == Some(libc::EBUSY) && tries < BIND_TRIES => {
                    tries += 1;
                    thread::sleep(BIND_PAUSE);
                }
                other => break other?,
            }
        };
        let mut port = Self {
            frames,
            batch: Vec::with_capacity(BATCH_PACKETS_MAX),
            outgoing: Vec::with_capacity(PENDING_FRAMES_MAX),
            outgoing_bytes: 0,
            mesh_port: config.mesh_port,
        };
        port.set_options(config)?;
        port.frames.refill(RING_FRAMES as usize, REPLY_FRAMES);
        Ok(port)
    }

    /// The mode that the kernel says the socket is in.
    pub fn mode(&self) -> io::Result<Mode> {
        let flags = options::get(self.socket(), SOL_XDP, XDP_OPTIONS)?;
        Ok(if flags & XDP_OPTIONS_ZEROCOPY != 0 {
            Mode::ZeroCopy
        } else {
            Mode::Copy
        })
    }

    /// The socket, for the XSKMAP.
    pub fn socket(&self) -> BorrowedFd<'_> {
        // JUSTIFICATION: xsk-rs offers the raw number alone.
        // SAFETY: the socket is closed when `self.frames` drops, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.frames.socket().as_raw_fd()) }
    }

    /// Sends one frame and waits until the kernel reports it sent: proves that the way out works.
    pub fn prove_transmit(&mut self, packet: &[u8], timeout: Duration) -> Result<bool, PortError> {
        let Some(mut frame) = self.frames.take_free() else {
            return Ok(false);
        };
        self.frames.write(&mut frame, |room| {
            let length = packet.len().min(room.len());
            room[..length].copy_from_slice(&packet[..length]);
            length
        });
        self.outgoing.push(frame);
        let pause = Duration::from_millis(1);
        for _ in 0..=timeout.as_millis() {
            self.flush()?;
            self.frames.reap();
            if self.outgoing.is_empty() && self.frames.in_transmit() == 0 {
                return Ok(true);
            }
            thread::sleep(pause);
        }
        Ok(false)
    }

    /// Wakes a driver that waits for frames to fill, where it asks for that.
    fn kick_fill(&mut self) -> Result<(), PortError> {
        self.frames
            .kick_fill()
            .map_err(|error| PortError::system("wake the fill ring", error))
    }

    /// Frames on the transmit ring that the kernel has not taken, and those that found no room there.
    fn transmit_waiting(&mut self) -> usize {
        self.frames.unsent(RING_FRAMES) as usize + self.outgoing.len()
    }

    fn open(config: &XdpConfig) -> Result<Frames, PortError> {
        let place = format!("{} queue {}", config.interface, config.queue);
        let ring = QueueSize::new(RING_FRAMES).expect("a power of two");
        let umem_config = UmemConfig::builder()
            .frame_size(FrameSize::new(CHUNK_BYTES).expect("the smallest chunk size"))
            .fill_queue_size(ring)
            .comp_queue_size(ring)
            .build()
            .expect("a power of two larger than the headroom");
        let frame_count = NonZeroU32::new(UMEM_FRAMES).expect("not zero");
        let (umem, descriptors) = Umem::new(umem_config, frame_count, false)
            .map_err(|error| system(format!("register a umem for {place}"), &error))?;

        let mode = if config.zero_copy {
            BindFlags::XDP_ZEROCOPY
        } else {
            BindFlags::XDP_COPY
        };
        let socket_config = SocketConfig::builder()
            .rx_queue_size(ring)
            .tx_queue_size(ring)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(mode | BindFlags::XDP_USE_NEED_WAKEUP)
            .build();
        let name = CString::new(config.interface.as_str())
            .map_err(|error| PortError::system("interface name", io::Error::other(error)))?;
        // JUSTIFICATION: the only constructor.
        // SAFETY: the program load is inhibited, and the umem is shared with no other socket.
        let created =
            unsafe { Socket::new(socket_config, &umem, &Interface::new(name), config.queue) };
        let (transmit, receive, rings) = created.map_err(|error| {
            let mode = if config.zero_copy {
                "zero-copy"
            } else {
                "copy"
            };
            system(
                format!("bind an AF_XDP socket to {place} in {mode} mode"),
                &error,
            )
        })?;
        let rings = rings.ok_or_else(|| {
            PortError::system(
                format!("rings of {place}"),
                io::Error::other("already taken"),
            )
        })?;
        // JUSTIFICATION: `Frames` turns descriptors into owning tokens.
        // SAFETY: umem, descriptors and queues were made together right above.
        Ok(unsafe { Frames::new(umem, descriptors, rings, (receive, transmit)) })
    }

    fn set_options(&mut self, config: &XdpConfig) -> Result<(), PortError> {
        let given = self
            .mode()
            .map_err(|error| PortError::system("read XDP_OPTIONS", error))?;
        let asked = if config.zero_copy {
            Mode::ZeroCopy
        } else {
            Mode::Copy
        };
        if given != asked {
            return Err(PortError::Mode {
                asked: asked.name(),
                interface: config.interface.clone(),
                queue: config.queue,
            });
        }
        let socket = self.socket();
        // Both are gains where they work and no loss where they do not (the budget is new in
        // Linux 6.17, the forced buffer needs CAP_NET_ADMIN).
        let budget = i32::try_from(2 * BATCH_PACKETS_MAX).unwrap_or(i32::MAX);
        let _ = options::set(socket, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, budget);
        let _ = options::set(
            socket,
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            SEND_BUFFER_BYTES,
        );
        if config.busy_poll_us > 0 {
            let busy_poll_us = i32::try_from(config.busy_poll_us).unwrap_or(i32::MAX);
            let budget = i32::try_from(config.busy_poll_budget).unwrap_or(i32::MAX);
            for (name, value) in [
                (libc::SO_PREFER_BUSY_POLL, 1),
                (libc::SO_BUSY_POLL, busy_poll_us),
                (libc::SO_BUSY_POLL_BUDGET, budget),
            ] {
                options::set(socket, libc::SOL_SOCKET, name, value)
                    .map_err(|error| PortError::system("set busy polling", error))?;
            }
        }
        Ok(())
    }
}

fn system(step: String, error: &(dyn std::error::Error + 'static)) -> PortError {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    let source = match source.and_then(io::Error::raw_os_error) {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    };
    PortError::system(step, source)
}

impl Port for XdpPort {
    fn receive(&mut self) -> Result<usize, PortError> {
        self.frames.reap();
        self.frames.refill(RING_FRAMES as usize, REPLY_FRAMES);
        let batch = &mut self.batch;
        let room = BATCH_PACKETS_MAX - batch.len();
        self.frames.receive(room, |frame| {
            batch.push(Packet {
                frame,
                datagram: None,
                is_mesh: false,
                replied: false,
            });
        });
        if self.batch.is_empty() {
            // A driver that found no frame waits for this, and not only before we sleep: replies
            // from control may keep us awake for long.
            self.kick_fill()?;
        }
        Ok(self.batch.len())
    }

    fn open(&mut self, index: usize) -> Result<(), FrameError> {
        let packet = &mut self.batch[index];
        let bytes = self.frames.bytes(&packet.frame);
        let datagram = Datagram::parse(bytes)?;
        packet.is_mesh = datagram.destination_port(bytes) == self.mesh_port;
        packet.datagram = Some(datagram);
        Ok(())
    }

    fn message(&self, index: usize) -> &[u8] {
        let packet = &self.batch[index];
        let bytes = self.frames.bytes(&packet.frame);
        packet
            .datagram
            .and_then(|datagram| bytes.get(datagram.payload()))
            .unwrap_or(&[])
    }

    fn packet_bytes(&self, index: usize) -> usize {
        self.batch[index].frame.bytes_count()
    }

    fn reply(&mut self, index: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        let packet = &mut self.batch[index];
        let Some(datagram) = packet.datagram else {
            return;
        };
        self.frames.write(&mut packet.frame, |room| {
            let start = datagram.payload().start;
            let length = write(&mut room[start..]);
            frame::turn_around(room, &datagram, length)
        });
        packet.replied = true;
    }

    fn replied(&self, index: usize) -> Option<&[u8]> {
        let packet = &self.batch[index];
        let datagram = packet.datagram.filter(|_| packet.replied)?;
        let bytes = self.frames.bytes(&packet.frame);
        bytes.get(datagram.payload().start..)
    }

    fn source(&self, index: usize) -> Source {
        let packet = &self.batch[index];
        let bytes = self.frames.bytes(&packet.frame);
        let datagram = packet
            .datagram
            .expect("source is asked of opened packets alone");
        Source {
            client: datagram.source(bytes),
            local: datagram.destination(bytes),
        }
    }

    #[inline]
    fn mesh(&self, index: usize) -> Option<u8> {
        let packet = &self.batch[index];
        let datagram = packet.datagram.filter(|_| packet.is_mesh)?;
        Some(datagram.ecn(self.frames.bytes(&packet.frame)))
    }

    fn reply_headers(&self, index: usize, out: &mut [u8; HEADERS_BYTES_MAX]) -> usize {
        let packet = &self.batch[index];
        let datagram = packet
            .datagram
            .expect("headers are asked of opened packets alone");
        frame::write_reply_headers(self.frames.bytes(&packet.frame), &datagram, out)
    }

    fn inject(&mut self, headers: &[u8], message: &[u8]) -> Result<(), InjectError> {
        if self.outgoing.len() + BATCH_PACKETS_MAX >= PENDING_FRAMES_MAX {
            return Err(InjectError::NoFrame);
        }
        let mut frame = self.frames.take_free().ok_or(InjectError::NoFrame)?;
        let mut assembled = Ok(0);
        self.frames.write(&mut frame, |room| {
            assembled = frame::assemble(room, headers, message);
            assembled.unwrap_or(0)
        });
        match assembled {
            Ok(length) => {
                self.outgoing_bytes += length as u64;
                self.outgoing.push(frame);
                Ok(())
            }
            Err(_) => {
                self.frames.recycle(frame);
                Err(InjectError::Invalid)
            }
        }
    }

    fn flush(&mut self) -> Result<Sent, PortError> {
        let mut sent = Sent::default();
        for packet in self.batch.drain(..) {
            // Past the bound the reply is lost rather than memory grown; it is counted.
            if packet.replied && self.outgoing.len() < PENDING_FRAMES_MAX {
                self.outgoing_bytes += packet.frame.bytes_count() as u64;
                self.outgoing.push(packet.frame);
            } else {
                sent.refused += u64::from(packet.replied);
                self.frames.recycle(packet.frame);
            }
        }
        if self.frames.in_transmit() == 0 && self.outgoing.is_empty() {
            return Ok(sent);
        }
        sent.packets = self.frames.transmit(&mut self.outgoing) as u64;
        sent.bytes = std::mem::take(&mut self.outgoing_bytes);
        for _ in 0..KICKS_MAX {
            if self.frames.unsent(RING_FRAMES) == 0 {
                break;
            }
            self.frames
                .kick()
                .map_err(|error| PortError::system("send", error))?;
        }
        Ok(sent)
    }

    fn sleep(&mut self, wake: BorrowedFd<'_>, timeout: Duration) -> Result<(), PortError> {
        self.kick_fill()?;
        // The end of a backlog comes without a word.
        let timeout = if self.transmit_waiting() > 0 {
            timeout.min(BACKLOG_PAUSE)
        } else {
            timeout
        };
        let socket = self.socket();
        let mut events = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
        ];
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        match poll(&mut events, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(PortError::system("poll", error.into())),
        }
        if events[1].revents().contains(PollFlags::IN) {
            silence(wake);
        }
        Ok(())
    }

    fn statistics(&mut self) -> PortStatistics {
        let held = self.batch.len() + self.outgoing.len();
        let frames_lost = self.frames.lost(held) as u64;
        let transmit_waiting = self.transmit_waiting() as u64;
        let Ok(kernel) = self.frames.socket().xdp_statistics() else {
            return PortStatistics {
                frames_lost,
                transmit_waiting,
                ..PortStatistics::default()
            };
        };
        PortStatistics {
            receive_dropped: kernel.rx_dropped(),
            receive_ring_full: kernel.rx_ring_full(),
            fill_ring_empty: kernel.rx_fill_ring_empty_descs(),
            transmit_invalid: kernel.tx_invalid_descs(),
            transmit_waiting,
            frames_lost,
        }
    }
}
