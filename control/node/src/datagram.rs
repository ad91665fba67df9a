//! One kernel UDP socket: receives with the address that was asked, answers from it.

use std::io::{self, IoSlice, IoSliceMut};
#[cfg(test)]
use std::net::IpAddr;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg, setsockopt,
};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, Protocol, Socket, Type};

/// Receive and send buffer asked of the kernel, in bytes; it may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Our address in one datagram, as the kernel wants it back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Local {
    /// From IP_PKTINFO.
    V4(libc::in_pktinfo),
    /// From IPV6_PKTINFO.
    V6(libc::in6_pktinfo),
}

/// A datagram that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Bytes in the buffer.
    pub bytes: usize,
    /// Who sent it.
    pub client: SocketAddr,
    /// The address it was sent to, on sockets that know.
    pub local: Option<Local>,
}

/// A bound UDP socket that never blocks.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: UdpSocket,
    address: SocketAddr,
}

/// Room for the ancillary data of one datagram.
#[derive(Debug)]
pub(crate) struct ControlBuffer(Vec<u8>);

impl Default for ControlBuffer {
    fn default() -> Self {
        Self(nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo))
    }
}

impl Datagrams {
    /// Binds `address`, shared with the other sockets of this user (SO_REUSEPORT).
    ///
    /// # Errors
    /// The kernel's; `AddrInUse` if another user or program holds the port.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(true)?;
        // Smaller buffers still work.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&address.into())?;
        Self::from_descriptor(socket.into())
    }

    /// Takes a bound socket that came by hand-over.
    ///
    /// # Errors
    /// If it is no bound IP socket.
    pub(crate) fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = UdpSocket::from(descriptor);
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // A socket of one address answers from that: to be told of it with each query costs time.
        let is_of_many = address.ip().is_unspecified();
        // RFC 9715 §3.1: never fragment, and never believe a forged path MTU.
        if address.is_ipv4() {
            setsockopt(&socket, Ipv4PacketInfo, &is_of_many)?;
            set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::OMIT)?;
        } else {
            setsockopt(&socket, Ipv6RecvPacketInfo, &is_of_many)?;
            set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::OMIT)?;
        }
        Ok(Self { socket, address })
    }

    /// The address it is bound to.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes one datagram; `None` if there is none. A datagram longer than `buffer` is cut: such a
    /// query does not parse.
    ///
    /// # Errors
    /// The kernel's, such as an ICMP error for an earlier answer.
    pub(crate) fn receive(
        &self,
        buffer: &mut [u8],
        control: &mut ControlBuffer,
    ) -> io::Result<Option<Received>> {
        let mut slices = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control.0),
            MsgFlags::MSG_DONTWAIT,
        );
        let message = match received {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut local = None;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => local = Some(Local::of_v4(info)),
                ControlMessageOwned::Ipv6PacketInfo(info) => local = Some(Local::of_v6(info)),
                _ => {}
            }
        }
        let client = message
            .address
            .as_ref()
            .and_then(socket_address)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a datagram without an IP source",
                )
            })?;
        Ok(Some(Received {
            bytes: message.bytes,
            client,
            local,
        }))
    }

    /// Sends an answer from the address that was asked.
    ///
    /// # Errors
    /// The kernel's. The answer is lost then; the client asks again.
    pub(crate) fn send(
        &self,
        message: &[u8],
        client: SocketAddr,
        local: Option<&Local>,
    ) -> io::Result<()> {
        let slices = [IoSlice::new(message)];
        let control = match local {
            Some(Local::V4(info)) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Some(Local::V6(info)) => Some(ControlMessage::Ipv6PacketInfo(info)),
            None => None,
        };
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let control = control.as_slice();
        match client {
            SocketAddr::V4(client) => sendmsg(
                socket,
                &slices,
                control,
                flags,
                Some(&SockaddrIn::from(client)),
            )?,
            SocketAddr::V6(client) => sendmsg(
                socket,
                &slices,
                control,
                flags,
                Some(&SockaddrIn6::from(client)),
            )?,
        };
        Ok(())
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Local {
    /// The answer takes the route that the kernel finds, not the interface of the query.
    fn of_v4(mut info: libc::in_pktinfo) -> Self {
        info.ipi_ifindex = 0;
        info.ipi_spec_dst = info.ipi_addr;
        Self::V4(info)
    }

    /// As above, but a link-local address means nothing without its interface.
    fn of_v6(mut info: libc::in6_pktinfo) -> Self {
        let [first, second, ..] = info.ipi6_addr.s6_addr;
        if (first, second & 0xc0) != (0xfe, 0x80) {
            info.ipi6_ifindex = 0;
        }
        Self::V6(info)
    }

    /// The address itself.
    #[cfg(test)]
    fn ip(&self) -> IpAddr {
        match self {
            Self::V4(info) => IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
            Self::V6(info) => IpAddr::from(info.ipi6_addr.s6_addr),
        }
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*address).into()));
    }
    storage
        .as_sockaddr_in6()
        .map(|address| SocketAddr::V6((*address).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &Datagrams, buffer: &mut [u8]) -> Received {
        loop {
            let control = &mut ControlBuffer::default();
            if let Some(received) = socket.receive(buffer, control).unwrap() {
                return received;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        for (bound, asked, is_told) in [
            ("0.0.0.0:0", "127.0.0.77", true),
            ("[::]:0", "::1", true),
            ("127.0.0.77:0", "127.0.0.77", false),
            ("[::1]:0", "::1", false),
        ] {
            let server = Datagrams::bind(bound.parse().unwrap()).unwrap();
            let asked = SocketAddr::new(asked.parse().unwrap(), server.address().port());
            let client = UdpSocket::bind(SocketAddr::new(
                if asked.is_ipv4() { "127.0.0.1" } else { "::1" }
                    .parse()
                    .unwrap(),
                0,
            ))
            .unwrap();
            client.send_to(b"query", asked).unwrap();
            let mut buffer = [0; 64];
            let received = receive(&server, &mut buffer);
            assert_eq!(&buffer[..received.bytes], b"query");
            assert_eq!(received.client, client.local_addr().unwrap());
            let told = received.local.as_ref().map(Local::ip);
            assert_eq!(told, is_told.then_some(asked.ip()));
            server
                .send(b"answer", received.client, received.local.as_ref())
                .unwrap();
            let (bytes, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..bytes], from), (&b"answer"[..], asked));
        }
    }

    #[test]
    fn two_sockets_of_one_user_share_an_address() {
        let first = Datagrams::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(
            Datagrams::bind(first.address()).unwrap().address(),
            first.address()
        );
    }
}
