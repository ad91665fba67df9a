//! The io_uring port of one worker.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use wire::frame::FrameError;

use super::address::{self, CONTROL_AT, CONTROL_BYTES, LocalAddress, MESSAGE_AT};
use super::address::{NAME_AT, NAME_BYTES, Received};
use super::memory::{BUFFER_BYTES, BUFFERS, Buffer, Memory, RECEIVE_BUFFERS};
use crate::{
    BATCH_PACKETS_MAX, HEADERS_BYTES_MAX, InjectError, Port, PortError, PortStatistics, Sent,
    Source, silence,
};

/// Submission entries: a batch of answers, as many injected replies, and the re-armed receives.
const SUBMISSIONS: u32 = 512;
/// Completion entries: every buffer may complete at once.
const COMPLETIONS: u32 = 4096;
/// Sockets of one ring at most.
const SOCKETS_MAX: usize = 64;
/// The one group of provided buffers.
const BUFFER_GROUP: u16 = 0;
/// Reply headers: socket index, interface, family and address of ours, then the client's name.
const LOCAL_BYTES: usize = 2 + 4 + 16;

const KIND_RECEIVE: u64 = 1 << 32;
const KIND_SEND: u64 = 2 << 32;
const KIND_WAKE: u64 = 3 << 32;
const KIND_MASK: u64 = !0xffff_ffff;

const _: () = assert!(LOCAL_BYTES + NAME_BYTES <= HEADERS_BYTES_MAX);

#[derive(Debug)]
struct Packet {
    buffer: Buffer,
    socket: usize,
    received: Option<Received>,
    reply_bytes: Option<usize>,
}

/// What the kernel reads of one send while it is under way; one a buffer, never moved.
#[derive(Debug)]
struct SendSlot {
    header: libc::msghdr,
    vector: libc::iovec,
}

#[derive(Debug)]
struct Listener {
    socket: UdpSocket,
    address: SocketAddr,
    armed: bool,
}

/// Packets of one worker's UDP sockets, by io_uring. Not `Send`: made and used by one thread.
pub struct UringPort {
    // The ring goes first: it must be gone before the memory that it reads.
    ring: IoUring,
    memory: Memory,
    slots: Box<[SendSlot]>,
    receive_header: Box<libc::msghdr>,
    listeners: Vec<Listener>,
    batch: Vec<Packet>,
    /// Send buffers that belong to us.
    free: Vec<Buffer>,
    /// Replies to send: buffer, socket, message bytes.
    outgoing: Vec<(Buffer, usize, usize)>,
    /// Buffers in the provided ring or filled and not yet seen.
    provided_count: usize,
    sending_count: usize,
    wake_armed: bool,
    statistics: PortStatistics,
    refused: u64,
}

impl std::fmt::Debug for UringPort {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("UringPort")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl UringPort {
    /// Makes a ring that receives from all `sockets` (see [`super::bind`]). The calling thread
    /// must be the one that uses the port.
    pub fn new(sockets: Vec<UdpSocket>) -> Result<Self, PortError> {
        assert!(sockets.len() <= SOCKETS_MAX);
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(|error| PortError::system("make an io_uring", error))?;
        let (mut memory, buffers) =
            Memory::map().map_err(|error| PortError::system("map packet buffers", error))?;
        // JUSTIFICATION: the kernel needs the address of the provided ring.
        // SAFETY: the memory holds RECEIVE_BUFFERS entries at its start and is unmapped only after
        // the ring is gone (order of fields).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                memory.ring_address(),
                RECEIVE_BUFFERS,
                BUFFER_GROUP,
                0,
            )
        }
        .map_err(|error| {
            PortError::system("register packet buffers (Linux 6.0 or later)", error)
        })?;
        let mut free = Vec::with_capacity(usize::from(BUFFERS));
        for buffer in buffers {
            if buffer.is_provided() {
                memory.provide(buffer)
            } else {
                free.push(buffer)
            }
        }
        memory.publish();
        let listeners = listeners(sockets)?;
        let slots = (0..BUFFERS).map(|_| empty_slot()).collect();
        let mut receive_header = Box::new(empty_header());
        receive_header.msg_namelen = u32::try_from(NAME_BYTES).unwrap_or(0);
        receive_header.msg_controllen = CONTROL_BYTES;
        let mut port = Self {
            ring,
            memory,
            slots,
            receive_header,
            listeners,
            batch: Vec::with_capacity(BATCH_PACKETS_MAX),
            free,
            outgoing: Vec::with_capacity(usize::from(BUFFERS)),
            provided_count: usize::from(RECEIVE_BUFFERS),
            sending_count: 0,
            wake_armed: false,
            statistics: PortStatistics::default(),
            refused: 0,
        };
        port.arm_receives();
        port.submit()?;
        Ok(port)
    }

    /// The sockets, to hand them to the control plane.
    pub fn sockets(&self) -> impl Iterator<Item = (&UdpSocket, SocketAddr)> {
        self.listeners
            .iter()
            .map(|listener| (&listener.socket, listener.address))
    }

    /// Queues an entry; the queue is sized for a whole batch, so it is full only when the kernel
    /// has not been entered, which then happens here.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        // JUSTIFICATION: an entry names memory that the kernel uses later.
        // SAFETY: entries point to `slots`, `receive_header` (boxed, never replaced) and buffers
        // whose tokens are given up until their completion arrives.
        if unsafe { self.ring.submission().push(entry) }.is_ok() {
            return true;
        }
        let _ = self.ring.submit();
        // SAFETY: as above.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    fn arm_receives(&mut self) {
        for index in 0..self.listeners.len() {
            if self.listeners[index].armed {
                continue;
            }
            let fd = Fd(self.listeners[index].socket.as_raw_fd());
            let header: *const libc::msghdr = &raw const *self.receive_header;
            let entry = opcode::RecvMsgMulti::new(fd, header, BUFFER_GROUP)
                .build()
                .user_data(KIND_RECEIVE | index as u64);
            self.listeners[index].armed = self.push(&entry);
        }
    }

    /// Gives a buffer back to where it belongs.
    fn recycle(&mut self, buffer: Buffer) {
        if buffer.is_provided() {
            self.memory.provide(buffer);
            self.provided_count += 1;
        } else {
            self.free.push(buffer);
        }
    }

    fn on_completion(&mut self, entry: &cqueue::Entry) {
        let value = usize::try_from(entry.user_data() & !KIND_MASK).unwrap_or(usize::MAX);
        match entry.user_data() & KIND_MASK {
            KIND_RECEIVE => self.on_receive(entry, value),
            KIND_SEND => self.on_send(entry, value),
            _ => self.wake_armed = false,
        }
    }

    fn on_receive(&mut self, entry: &cqueue::Entry, socket: usize) {
        if !cqueue::more(entry.flags())
            && let Some(listener) = self.listeners.get_mut(socket)
        {
            listener.armed = false;
        }
        let Some(index) = cqueue::buffer_select(entry.flags()) else {
            if entry.result() == -libc::ENOBUFS {
                self.statistics.fill_ring_empty += 1;
            }
            return;
        };
        // SAFETY: the kernel took this buffer from the provided ring and completes it just once.
        let Some(buffer) = (unsafe { self.memory.returned(index) }) else {
            return;
        };
        self.provided_count = self.provided_count.saturating_sub(1);
        if entry.result() < 0 {
            self.recycle(buffer);
            return;
        }
        self.batch.push(Packet {
            buffer,
            socket,
            received: None,
            reply_bytes: None,
        });
    }

    fn on_send(&mut self, entry: &cqueue::Entry, index: usize) {
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        // SAFETY: the index comes from an entry of ours; its token was given up when it was sent.
        let Some(buffer) = (unsafe { self.memory.returned(index) }) else {
            return;
        };
        self.sending_count = self.sending_count.saturating_sub(1);
        self.refused += u64::from(entry.result() < 0);
        self.recycle(buffer);
    }

    /// Handles completions until the batch is full.
    fn complete(&mut self) {
        while self.batch.len() < BATCH_PACKETS_MAX {
            let Some(entry) = self.ring.completion().next() else {
                break;
            };
            self.on_completion(&entry);
        }
    }

    fn send(&mut self, buffer: Buffer, socket: usize, message_bytes: usize) {
        let base = self.memory.address(&buffer);
        let bytes = self.memory.bytes(&buffer);
        let name_bytes = if self.listeners[socket].address.is_ipv4() {
            16
        } else {
            28
        };
        let control_bytes = usize::from_ne_bytes(
            bytes[CONTROL_AT..CONTROL_AT + 8]
                .try_into()
                .expect("eight bytes"),
        )
        .next_multiple_of(8)
        .min(CONTROL_BYTES);
        let index = usize::from(buffer.index());
        let slot = &mut self.slots[index];
        slot.vector.iov_base = base.wrapping_add(MESSAGE_AT).cast();
        slot.vector.iov_len = message_bytes;
        slot.header.msg_name = base.wrapping_add(NAME_AT).cast();
        slot.header.msg_namelen = name_bytes;
        slot.header.msg_iov = &raw mut slot.vector;
        slot.header.msg_iovlen = 1;
        slot.header.msg_control = base.wrapping_add(CONTROL_AT).cast();
        slot.header.msg_controllen = control_bytes;
        let header: *const libc::msghdr = &raw const slot.header;
        let flags = u32::try_from(libc::MSG_DONTWAIT).unwrap_or(0);
        let entry = opcode::SendMsg::new(Fd(self.listeners[socket].socket.as_raw_fd()), header)
            .flags(flags)
            .build()
            .user_data(KIND_SEND | index as u64);
        if self.push(&entry) {
            self.sending_count += 1; // The token is gone until its completion arrives.
        } else {
            self.refused += 1;
            self.recycle(buffer);
        }
    }

    fn submit(&mut self) -> Result<(), PortError> {
        match self.ring.submit() {
            Ok(_) => Ok(()),
            Err(error) if transient(&error) => Ok(()),
            Err(error) => Err(PortError::system("enter the io_uring", error)),
        }
    }
}

/// Errors that the next round gets over: completions to be read first, or a signal.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ETIME)
    )
}

fn empty_header() -> libc::msghdr {
    // JUSTIFICATION: msghdr has padding fields on some targets and so no literal.
    // SAFETY: all-zero is a valid msghdr: null pointers with zero lengths.
    unsafe { std::mem::zeroed() }
}

fn empty_slot() -> SendSlot {
    let vector = libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    };
    SendSlot {
        header: empty_header(),
        vector,
    }
}

fn listeners(sockets: Vec<UdpSocket>) -> Result<Vec<Listener>, PortError> {
    let listener = |socket: UdpSocket| {
        let address = socket.local_addr();
        let address = address.map_err(|error| PortError::system("name a UDP socket", error))?;
        Ok(Listener {
            socket,
            address,
            armed: false,
        })
    };
    sockets.into_iter().map(listener).collect()
}

impl Port for UringPort {
    fn receive(&mut self) -> Result<usize, PortError> {
        self.complete();
        if self.batch.is_empty() && self.ring.submission().taskrun() {
            self.submit()?;
            self.complete();
        }
        Ok(self.batch.len())
    }

    fn open(&mut self, index: usize) -> Result<(), FrameError> {
        let packet = &mut self.batch[index];
        packet.received = address::parse(self.memory.bytes(&packet.buffer));
        if packet.received.is_some() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }

    fn message(&self, index: usize) -> &[u8] {
        let packet = &self.batch[index];
        let bytes = packet.received.map_or(0, |received| received.message_bytes);
        &self.memory.bytes(&packet.buffer)[MESSAGE_AT..MESSAGE_AT + bytes]
    }

    fn packet_bytes(&self, index: usize) -> usize {
        self.batch[index]
            .received
            .map_or(0, |received| received.message_bytes)
    }

    fn reply(&mut self, index: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        let packet = &mut self.batch[index];
        let Some(received) = packet.received else {
            return;
        };
        let bytes = self.memory.bytes_mut(&mut packet.buffer);
        let length = write(&mut bytes[MESSAGE_AT..]);
        let mut control = [0; CONTROL_BYTES];
        address::write_control(received.local, &mut control);
        bytes[CONTROL_AT..MESSAGE_AT].copy_from_slice(&control);
        packet.reply_bytes = Some(length.min(BUFFER_BYTES - MESSAGE_AT));
    }

    fn replied(&self, index: usize) -> Option<&[u8]> {
        let packet = &self.batch[index];
        let bytes = self.memory.bytes(&packet.buffer);
        bytes.get(MESSAGE_AT..MESSAGE_AT + packet.reply_bytes?)
    }

    fn source(&self, index: usize) -> Source {
        let packet = &self.batch[index];
        let received = packet
            .received
            .expect("source is asked of opened packets alone");
        let port = self.listeners[packet.socket].address.port();
        Source {
            client: received.client,
            local: SocketAddr::new(received.local.address, port),
        }
    }

    fn reply_headers(&self, index: usize, out: &mut [u8; HEADERS_BYTES_MAX]) -> usize {
        let packet = &self.batch[index];
        let received = packet
            .received
            .expect("headers are asked of opened packets alone");
        out.fill(0);
        out[0] = u8::try_from(packet.socket).unwrap_or(u8::MAX);
        out[1] = u8::from(received.local.address.is_ipv4());
        out[2..6].copy_from_slice(&received.local.interface.to_ne_bytes());
        match received.local.address {
            std::net::IpAddr::V4(address) => out[6..10].copy_from_slice(&address.octets()),
            std::net::IpAddr::V6(address) => out[6..22].copy_from_slice(&address.octets()),
        }
        let mut name = [0; NAME_BYTES];
        let name_bytes = address::write_name(received.client, &mut name) as usize;
        out[LOCAL_BYTES..LOCAL_BYTES + NAME_BYTES].copy_from_slice(&name);
        LOCAL_BYTES + name_bytes
    }

    fn inject(&mut self, headers: &[u8], message: &[u8]) -> Result<(), InjectError> {
        let (socket, local, client) = read_reply_headers(headers).ok_or(InjectError::Invalid)?;
        let listener = self.listeners.get(socket).ok_or(InjectError::Invalid)?;
        let same_family = listener.address.is_ipv4() == client.is_ipv4()
            && listener.address.is_ipv4() == local.address.is_ipv4();
        if !same_family || message.len() > BUFFER_BYTES - MESSAGE_AT {
            return Err(InjectError::Invalid);
        }
        let mut buffer = self.free.pop().ok_or(InjectError::NoFrame)?;
        let bytes = self.memory.bytes_mut(&mut buffer);
        let mut name = [0; NAME_BYTES];
        address::write_name(client, &mut name);
        bytes[NAME_AT..CONTROL_AT].copy_from_slice(&name);
        let mut control = [0; CONTROL_BYTES];
        address::write_control(local, &mut control);
        bytes[CONTROL_AT..MESSAGE_AT].copy_from_slice(&control);
        bytes[MESSAGE_AT..MESSAGE_AT + message.len()].copy_from_slice(message);
        self.outgoing.push((buffer, socket, message.len()));
        Ok(())
    }

    fn flush(&mut self) -> Result<Sent, PortError> {
        let mut sent = Sent::default();
        while let Some(packet) = self.batch.pop() {
            match packet.reply_bytes {
                Some(bytes) => {
                    sent.packets += 1;
                    sent.bytes += bytes as u64;
                    self.send(packet.buffer, packet.socket, bytes);
                }
                None => self.recycle(packet.buffer),
            }
        }
        while let Some((buffer, socket, bytes)) = self.outgoing.pop() {
            sent.packets += 1;
            sent.bytes += bytes as u64;
            self.send(buffer, socket, bytes);
        }
        self.arm_receives();
        if !self.ring.submission().is_empty() {
            self.submit()?;
        }
        // Sent buffers come back now, so that the provided ring is full before the next batch.
        self.complete();
        self.memory.publish();
        sent.refused = std::mem::take(&mut self.refused);
        Ok(sent)
    }

    fn sleep(&mut self, wake: BorrowedFd<'_>, timeout: Duration) -> Result<(), PortError> {
        if !self.batch.is_empty() {
            return Ok(());
        }
        if !self.wake_armed {
            let events = u32::try_from(libc::POLLIN).unwrap_or(1);
            let entry = opcode::PollAdd::new(Fd(wake.as_raw_fd()), events).build();
            self.wake_armed = self.push(&entry.user_data(KIND_WAKE));
        }
        self.arm_receives();
        let timeout = Timespec::from(timeout);
        let arguments = SubmitArgs::new().timespec(&timeout);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => {}
            Err(error) if transient(&error) => {}
            Err(error) => return Err(PortError::system("wait on the io_uring", error)),
        }
        self.complete();
        if !self.wake_armed {
            silence(wake);
        }
        Ok(())
    }

    fn statistics(&mut self) -> PortStatistics {
        let pending = self.free.len() + self.batch.len() + self.outgoing.len();
        let known = self.provided_count + self.sending_count + pending;
        self.statistics.frames_lost = usize::from(BUFFERS).saturating_sub(known) as u64;
        self.statistics
    }
}

/// Takes headers that control gave back; `None` when they are not of our making.
fn read_reply_headers(headers: &[u8]) -> Option<(usize, LocalAddress, SocketAddr)> {
    let socket = usize::from(*headers.first()?);
    let is_ipv4 = *headers.get(1)? == 1;
    let interface = u32::from_ne_bytes(headers.get(2..6)?.try_into().ok()?);
    let address = if is_ipv4 {
        let octets: [u8; 4] = headers.get(6..10)?.try_into().ok()?;
        std::net::IpAddr::from(octets)
    } else {
        let octets: [u8; 16] = headers.get(6..22)?.try_into().ok()?;
        std::net::IpAddr::from(octets)
    };
    let client = address::read_name(headers.get(LOCAL_BYTES..)?)?;
    Some((socket, LocalAddress { address, interface }, client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arbitrary_reply_headers_never_panic_and_short_ones_are_refused() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|headers: &[u8]| {
                let read = read_reply_headers(headers);
                assert!(read.is_none() || headers.len() > LOCAL_BYTES);
            });
    }
}
