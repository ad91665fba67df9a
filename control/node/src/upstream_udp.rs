//! UDP exchanges with other servers: one socket each, so that each has its own unpredictable port.
//!
//! No task and no timer an exchange: all sockets hang on one epoll instance, which the runtime watches
//! as a single descriptor, and the resolver's own deadlines end what is not answered.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use resolver::iterate::Transport;
use rustix::event::{Timespec, epoll};
use tokio::io::unix::AsyncFd;

use crate::dnstap::{Tap, Tapped};

/// Longest datagram that is taken; we announce 1232 bytes (RFC 9715), some servers send more.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// Sockets looked at in one go.
const READY_MAX: usize = 256;
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// All UDP exchanges under way.
#[derive(Debug)]
pub(crate) struct UdpExchanges {
    epoll: AsyncFd<OwnedFd>,
    exchanges: HashMap<u64, Exchange>,
    tap: Tap,
}

#[derive(Debug)]
struct Exchange {
    socket: UdpSocket,
    server: SocketAddr,
    tapped: Option<Tapped>,
}

/// Exchanges whose sockets have something to say, and room for one datagram.
#[derive(Debug)]
pub(crate) struct Ready {
    exchanges: Vec<u64>,
    buffer: Box<[u8; DATAGRAM_BYTES_MAX]>,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            exchanges: Vec::with_capacity(READY_MAX),
            buffer: Box::new([0; DATAGRAM_BYTES_MAX]),
        }
    }
}

impl Ready {
    /// The next exchange to read from.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.exchanges.pop()
    }
}

impl UdpExchanges {
    /// None yet. To be called on the runtime that waits for them.
    ///
    /// # Errors
    /// The kernel has no epoll instance for us.
    #[expect(
        deprecated,
        reason = "its successor is `unsafe` for types that change their descriptor, which OwnedFd does not"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: AsyncFd::new(epoll::create(epoll::CreateFlags::CLOEXEC)?)?,
            exchanges: HashMap::new(),
            tap: Tap::default(),
        })
    }

    /// Logs every message from now on.
    pub(crate) fn set_tap(&mut self, tap: Tap) {
        self.tap = tap;
    }

    /// Sends a query; what comes back goes by the number `exchange`.
    ///
    /// # Errors
    /// The kernel's; there is no such exchange then.
    pub(crate) fn send(
        &mut self,
        exchange: u64,
        server: SocketAddr,
        message: &[u8],
    ) -> io::Result<()> {
        let socket = connected(server)?;
        let data = epoll::EventData::new_u64(exchange);
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
        socket.send(message)?;
        let tapped = self.tap.resolver_query(server, Transport::Udp, message);
        let entry = Exchange {
            socket,
            server,
            tapped,
        };
        self.exchanges.insert(exchange, entry);
        Ok(())
    }

    /// Closes the socket of an exchange, which takes it off the epoll instance. False if there is none.
    pub(crate) fn end(&mut self, exchange: u64) -> bool {
        self.exchanges.remove(&exchange).is_some()
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.exchanges.len()
    }

    /// Waits until some sockets are ready. Loses nothing when it is dropped early.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub(crate) async fn wait(&self, ready: &mut Ready) -> io::Result<()> {
        loop {
            let mut guard = self.epoll.readable().await?;
            if self.poll(ready) {
                return Ok(());
            }
            guard.clear_ready();
        }
    }

    /// Which sockets are ready now. False if none is.
    pub(crate) fn poll(&self, ready: &mut Ready) -> bool {
        let mut room = [const { MaybeUninit::uninit() }; READY_MAX];
        ready.exchanges.clear();
        // An error here is a signal: the next look finds them.
        if let Ok((events, _)) = epoll::wait(&self.epoll, &mut room, Some(&NOW)) {
            let exchanges = events.iter().map(|event| event.data.u64());
            ready.exchanges.extend(exchanges);
        }
        !ready.exchanges.is_empty()
    }

    /// Takes one datagram of an exchange: who sent it, and the message. `None` if the exchange is over,
    /// or nothing is there after all. A wrong reply does not end it: the right one may follow.
    ///
    /// # Errors
    /// The kernel's, such as an ICMP error for the query.
    pub(crate) fn receive<'a>(
        &self,
        exchange: u64,
        ready: &'a mut Ready,
    ) -> io::Result<Option<(SocketAddr, &'a [u8])>> {
        let Some(entry) = self.exchanges.get(&exchange) else {
            return Ok(None);
        };
        let bytes = match entry.socket.recv(&mut ready.buffer[..]) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let message = ready.buffer.get(..bytes).unwrap_or_default();
        self.tap.resolver_response(entry.tapped.as_ref(), message);
        Ok(Some((entry.server, message)))
    }
}

/// A socket whose port the kernel chooses at random, bound by connecting: there is no moment in
/// which it takes datagrams from others.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(server),
        socket2::Type::DGRAM.nonblocking(),
        None,
    )?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn asked(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 64];
        let (bytes, from) = server.recv_from(&mut buffer).unwrap();
        (buffer[..bytes].to_vec(), from)
    }

    #[tokio::test]
    async fn replies_come_under_the_number_of_their_exchange_and_a_wrong_one_leaves_it_open() {
        let (server, address) = server();
        let mut udp = UdpExchanges::new().unwrap();
        let mut ready = Ready::default();
        for exchange in [7, 8] {
            udp.send(exchange.into(), address, &[exchange]).unwrap();
        }
        let clients = [asked(&server), asked(&server)];
        assert_ne!(clients[0].1, clients[1].1, "each has its own port");
        for round in 0..2 {
            for (query, client) in &clients {
                server.send_to(&[query[0], round], client).unwrap();
            }
            let mut found = Vec::new();
            while found.len() < 2 {
                udp.wait(&mut ready).await.unwrap();
                while let Some(exchange) = ready.next() {
                    let (from, message) = udp.receive(exchange, &mut ready).unwrap().unwrap();
                    let number = u8::try_from(exchange).unwrap();
                    assert_eq!((from, message), (address, &[number, round][..]));
                    found.push(number);
                }
            }
            found.sort_unstable();
            assert_eq!(found, [7, 8]);
        }
        assert!(udp.end(7) && !udp.end(7));
        assert_eq!(udp.receive(7, &mut ready).unwrap(), None);
        assert_eq!(
            (udp.receive(8, &mut ready).unwrap(), udp.count()),
            (None, 1)
        );
    }

    #[tokio::test]
    async fn a_closed_port_is_an_error_of_its_exchange() {
        let (server, address) = server();
        drop(server);
        let mut udp = UdpExchanges::new().unwrap();
        let mut ready = Ready::default();
        udp.send(1, address, b"query").unwrap();
        udp.wait(&mut ready).await.unwrap();
        assert_eq!(ready.next(), Some(1));
        let error = udp.receive(1, &mut ready).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn more_than_one_look_can_hold_are_all_found() {
        let (server, address) = server();
        let mut udp = UdpExchanges::new().unwrap();
        let mut ready = Ready::default();
        let count = READY_MAX as u64 + 10;
        for exchange in 0..count {
            udp.send(exchange, address, b"q").unwrap();
            server.send_to(b"a", asked(&server).1).unwrap();
        }
        let mut found = 0;
        while found < count {
            udp.wait(&mut ready).await.unwrap();
            while let Some(exchange) = ready.next() {
                udp.receive(exchange, &mut ready).unwrap().unwrap();
                assert!(udp.end(exchange));
                found += 1;
            }
        }
        assert!(!udp.poll(&mut ready));
    }
}
