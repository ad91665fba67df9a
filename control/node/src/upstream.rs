//! Sockets towards other servers: one a question, so that each has its own unpredictable port.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use resolver::iterate::{Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::dnstap::{Tap, Tapped};

/// Longest datagram that is taken; we announce 1232 bytes (RFC 9715), some servers send more.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// The resolver gives up by itself; this only frees the socket of an exchange that it forgot.
const GRACE: Duration = Duration::from_secs(2);

/// What happened on one exchange's socket.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message came.
    Reply {
        /// The exchange it came for.
        exchange: u64,
        /// Who sent it.
        from: SocketAddr,
        /// The DNS message.
        message: Vec<u8>,
    },
    /// The exchange is over.
    Failed {
        /// Which one.
        exchange: u64,
        /// Why.
        reason: TransportError,
    },
}

/// One query to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) exchange: u64,
    pub(crate) server: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) message: Vec<u8>,
    pub(crate) timeout_ms: u32,
}

/// All exchanges under way.
#[derive(Debug)]
pub(crate) struct Upstreams {
    tasks: HashMap<u64, AbortHandle>,
    sockets_max: usize,
    events: mpsc::Sender<Event>,
    tap: Tap,
}

impl Upstreams {
    /// Reports into `events`; at most `sockets_max` sockets at once.
    pub(crate) fn new(sockets_max: usize, events: mpsc::Sender<Event>) -> Self {
        Self {
            tasks: HashMap::new(),
            sockets_max,
            events,
            tap: Tap::default(),
        }
    }

    /// Logs every message from now on.
    pub(crate) fn set_tap(&mut self, tap: Tap) {
        self.tap = tap;
    }

    /// Starts an exchange. `Err` if there are too many: the caller tells the resolver.
    pub(crate) fn send(&mut self, outgoing: Outgoing) -> Result<(), TransportError> {
        if self.tasks.len() >= self.sockets_max {
            return Err(TransportError::Resources);
        }
        let exchange = outgoing.exchange;
        let task = tokio::spawn(exchange_task(
            outgoing,
            Reports {
                events: self.events.clone(),
                tap: self.tap.clone(),
            },
        ));
        if let Some(earlier) = self.tasks.insert(exchange, task.abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    /// Ends an exchange and closes its socket.
    pub(crate) fn end(&mut self, exchange: u64) {
        if let Some(task) = self.tasks.remove(&exchange) {
            task.abort();
        }
    }

    /// Sockets open now.
    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }
}

/// Where what happens on a socket goes.
struct Reports {
    events: mpsc::Sender<Event>,
    tap: Tap,
}

async fn exchange_task(outgoing: Outgoing, reports: Reports) {
    let exchange = outgoing.exchange;
    let wait = Duration::from_millis(u64::from(outgoing.timeout_ms)) + GRACE;
    let talk = async {
        match outgoing.transport {
            Transport::Udp => talk_udp(&outgoing, &reports).await,
            Transport::Tcp => talk_tcp(&outgoing, &reports).await,
        }
    };
    let reason = match tokio::time::timeout(wait, talk).await {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => reason(&error),
        Err(_) => TransportError::Timeout,
    };
    let failed = Event::Failed { exchange, reason };
    let _ = reports.events.send(failed).await; // Nobody waits any more: no harm.
}

/// Ends by an error or when it is aborted: a wrong reply must not keep the right one out.
async fn talk_udp(outgoing: &Outgoing, reports: &Reports) -> io::Result<std::convert::Infallible> {
    let socket = connected(outgoing.server)?;
    socket.send(&outgoing.message).await?;
    let tapped = reports.tap_query(outgoing);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let (bytes, from) = socket.recv_from(&mut buffer).await?;
        let message = buffer.get(..bytes).unwrap_or_default().to_vec();
        reports.tap.resolver_response(tapped.as_ref(), &message);
        report(&reports.events, outgoing.exchange, from, message).await?;
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
    UdpSocket::from_std(socket.into())
}

async fn talk_tcp(outgoing: &Outgoing, reports: &Reports) -> io::Result<std::convert::Infallible> {
    let mut stream = TcpStream::connect(outgoing.server).await?;
    let bytes = u16::try_from(outgoing.message.len()).map_err(io::Error::other)?;
    let mut framed = bytes.to_be_bytes().to_vec();
    framed.extend_from_slice(&outgoing.message);
    stream.write_all(&framed).await?;
    let tapped = reports.tap_query(outgoing);
    loop {
        let bytes = stream.read_u16().await?;
        let mut message = vec![0; usize::from(bytes)];
        stream.read_exact(&mut message).await?;
        reports.tap.resolver_response(tapped.as_ref(), &message);
        report(&reports.events, outgoing.exchange, outgoing.server, message).await?;
    }
}

impl Reports {
    fn tap_query(&self, outgoing: &Outgoing) -> Option<Tapped> {
        let Outgoing {
            server,
            transport,
            message,
            ..
        } = outgoing;
        self.tap.resolver_query(*server, *transport, message)
    }
}

async fn report(
    events: &mpsc::Sender<Event>,
    exchange: u64,
    from: SocketAddr,
    message: Vec<u8>,
) -> io::Result<()> {
    events
        .send(Event::Reply {
            exchange,
            from,
            message,
        })
        .await
        .map_err(io::Error::other)
}

fn reason(error: &io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => TransportError::Refused,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidInput => TransportError::Unreachable,
        io::ErrorKind::TimedOut => TransportError::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => TransportError::Closed,
        _ => TransportError::Resources,
    }
}
