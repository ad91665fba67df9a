//! UDP sockets for the ring: one a worker and address, all in one SO_REUSEPORT group.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::options;

/// Receive and send buffer of a socket: a burst of 64 batches.
const SOCKET_BUFFER_BYTES: i32 = 4 << 20;

/// Binds a socket owned by `owner` (a user id; our own if `None`) that shares its address with others of this user (SO_REUSEPORT), knows the
/// address that was asked (IP_PKTINFO), and never fragments or follows forged path MTUs
/// (IP_PMTUDISC_OMIT, RFC 9715).
///
/// The owner matters: sockets of one port may share it only if they belong to one user, and the
/// control plane, which runs as another, may be serving the port already.
pub fn bind(address: SocketAddr, owner: Option<u32>) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    set_options(&socket, address.is_ipv4())?;
    if let Some(owner) = owner {
        rustix::fs::fchown(&socket, Some(rustix::fs::Uid::from_raw(owner)), None)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn set_options(socket: &Socket, is_ipv4: bool) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let fd = socket.as_fd();
    if is_ipv4 {
        options::set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        options::set(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
        )?;
    } else {
        options::set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        options::set(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )?;
    }
    for (forced, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        // Without CAP_NET_ADMIN the kernel caps the size; smaller buffers still work.
        if options::set(fd, libc::SOL_SOCKET, forced, SOCKET_BUFFER_BYTES).is_err() {
            options::set(fd, libc::SOL_SOCKET, plain, SOCKET_BUFFER_BYTES)?;
        }
    }
    Ok(())
}
