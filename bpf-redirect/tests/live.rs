//! Frames on a veth: to the socket of a live worker, to the kernel as soon as there is none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Duration;

use bpf_redirect::{AttachMode, DnsFilter, interface_index};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::net::sockopt::{
    set_xdp_rx_ring_size, set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size,
    set_xdp_umem_reg, xdp_mmap_offsets,
};
use rustix::net::xdp::{SocketAddrXdp, SocketAddrXdpFlags, XdpUmemReg, XdpUmemRegFlags};
use rustix::net::{AddressFamily, SocketType, bind, socket};
use support::{Frame, LOCAL_V4, SERVED_PORT};

const CHUNK_BYTES: u32 = 4096;
const CHUNKS: u32 = 8;
const FILL_RING_OFFSET: u64 = 0x1_0000_0000;
/// Long enough for any machine; a frame that does arrive ends the wait at once.
const ARRIVAL_SECS_MAX: u64 = 10;

#[test]
fn frame_reaches_the_live_worker_and_otherwise_the_kernel() {
    for mode in [AttachMode::Native, AttachMode::Generic] {
        let Some(filter) = support::load() else {
            return;
        };
        support::in_namespace(|| steer(filter, mode));
    }
}

fn steer(mut filter: DnsFilter, mode: AttachMode) {
    for command in [
        "ip link add nx0 type veth peer name nx1",
        "ip link set nx0 address 02:00:00:00:00:01",
        "ip addr add 192.0.2.1/24 dev nx0",
        "ip link set nx0 up",
        "ip link set nx1 up",
        "ip route add 198.51.100.0/24 dev nx0",
    ] {
        support::run(command);
    }
    filter.serve_port(SERVED_PORT).unwrap();
    filter.set_addresses(&[IpAddr::V4(LOCAL_V4)]).unwrap();
    filter.attach("nx0", mode).unwrap();
    let kernel = UdpSocket::bind((LOCAL_V4, SERVED_PORT)).unwrap();
    kernel
        .set_read_timeout(Some(Duration::from_secs(ARRIVAL_SECS_MAX)))
        .unwrap();
    let wire = packet_socket("nx1");
    let cell = filter.deadlines().cell(0);

    // A socket, but no sign of life.
    let worker = bound_xsk("nx0");
    filter.set_socket(0, worker.as_fd()).unwrap();
    wire.send();
    assert_kernel_received(&kernel);
    assert_eq!(filter.verdicts().unwrap().worker_late, 1);

    cell.extend_until(u64::MAX);
    wire.send();
    assert!(readable(&worker), "{mode}: {:?}", filter.verdicts());
    assert_eq!(filter.verdicts().unwrap().redirected, 1);

    // The worker stopped, as under SIGSTOP.
    cell.expire();
    wire.send();
    assert_kernel_received(&kernel);

    // It came back, and then its socket closed, as under SIGKILL of one of several processes.
    cell.extend_until(u64::MAX);
    drop(worker);
    wire.send();
    assert_kernel_received(&kernel);
    assert_eq!(filter.verdicts().unwrap().no_socket, 1);

    filter.detach();
    wire.send();
    assert_kernel_received(&kernel);
}

#[track_caller]
fn assert_kernel_received(kernel: &UdpSocket) {
    let mut message = [0; 512];
    let (bytes, from) = kernel.recv_from(&mut message).unwrap();
    assert_eq!(from.to_string(), "198.51.100.7:12345");
    assert!(message[..bytes].ends_with(b"\x07example\x03com\0\0\x01\0\x01"));
}

fn readable(socket: &OwnedFd) -> bool {
    let timeout = Timespec {
        tv_sec: ARRIVAL_SECS_MAX.cast_signed(),
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut polled, Some(&timeout)).unwrap();
    polled[0].revents().contains(PollFlags::IN)
}

/// An AF_XDP socket bound to queue 0 in copy mode, its fill ring holding every chunk of its
/// memory. The mappings stay until the process ends; the socket can be closed all the same.
fn bound_xsk(interface: &str) -> OwnedFd {
    let xsk = socket(AddressFamily::XDP, SocketType::RAW, None).unwrap();
    let bytes = (CHUNK_BYTES * CHUNKS) as usize;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: new mappings at addresses of the kernel's choice alias nothing.
    let umem = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, MapFlags::PRIVATE) };
    let umem = XdpUmemReg {
        addr: umem.unwrap() as u64,
        len: bytes as u64,
        chunk_size: CHUNK_BYTES,
        headroom: 0,
        flags: XdpUmemRegFlags::empty(),
        tx_metadata_len: 0,
    };
    set_xdp_umem_reg(&xsk, umem).unwrap();
    set_xdp_umem_fill_ring_size(&xsk, CHUNKS).unwrap();
    set_xdp_umem_completion_ring_size(&xsk, CHUNKS).unwrap();
    set_xdp_rx_ring_size(&xsk, CHUNKS).unwrap();
    fill(&xsk);
    let address = SocketAddrXdp::new(
        SocketAddrXdpFlags::XDP_COPY,
        interface_index(interface).unwrap(),
        0,
    );
    bind(&xsk, &address).unwrap();
    xsk
}

/// Writes the address of every chunk into the fill ring and publishes them, then unmaps the ring:
/// a ring that stays mapped would keep the socket alive.
fn fill(xsk: &OwnedFd) {
    let offsets = xdp_mmap_offsets(xsk).unwrap().fr;
    let bytes = usize::try_from(offsets.desc).unwrap() + CHUNKS as usize * size_of::<u64>();
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: as in `bound_xsk`; the kernel made the ring `bytes` long, and every access is inside.
    // Nobody reads the ring before the socket is bound.
    unsafe {
        let ring = mmap(
            std::ptr::null_mut(),
            bytes,
            access,
            MapFlags::SHARED,
            xsk,
            FILL_RING_OFFSET,
        );
        let ring = ring.unwrap();
        let descriptors = ring
            .byte_add(usize::try_from(offsets.desc).unwrap())
            .cast::<u64>();
        for chunk in 0..CHUNKS {
            descriptors
                .add(chunk as usize)
                .write(u64::from(chunk * CHUNK_BYTES));
        }
        let producer = ring
            .byte_add(usize::try_from(offsets.producer).unwrap())
            .cast::<u32>();
        producer.write_volatile(CHUNKS);
        rustix::mm::munmap(ring, bytes).unwrap();
    }
}

/// Sends [`Frame::v4`] out of one end of the veth.
struct PacketSocket {
    fd: OwnedFd,
    address: libc::sockaddr_ll,
    frame: Vec<u8>,
}

fn packet_socket(interface: &str) -> PacketSocket {
    // SAFETY: every bit pattern of zeroes is a `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = 17;
    address.sll_ifindex = interface_index(interface).unwrap().cast_signed();
    let fd = socket(AddressFamily::PACKET, SocketType::RAW, None).unwrap();
    let frame = Frame::v4();
    let sum = header_checksum(&frame.ip);
    PacketSocket {
        fd,
        address,
        frame: frame.set_ip(10, sum).bytes(),
    }
}

impl PacketSocket {
    fn send(&self) {
        let (frame, address) = (&self.frame, &raw const self.address);
        let address_bytes = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
        // SAFETY: the pointers cover the lengths beside them and outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                address.cast(),
                address_bytes,
            )
        };
        assert_eq!(
            usize::try_from(sent).ok(),
            Some(frame.len()),
            "{}",
            io::Error::last_os_error()
        );
    }
}

/// RFC 1071 over a header whose checksum field is 0.
fn header_checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(folded).unwrap()
}
