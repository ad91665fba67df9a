//! Exchanges with other servers, by UDP and TCP.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use resolver::iterate::{Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::dnstap::Tap;
use crate::upstream_udp::UdpExchanges;

/// The resolver gives up by itself; this only frees the socket of an exchange that it forgot.
const GRACE: Duration = Duration::from_secs(2);

/// What happened on the connection of one exchange.
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
    pub(crate) udp: UdpExchanges,
    connections: HashMap<u64, AbortHandle>,
    sockets_max: usize,
    events: mpsc::Sender<Event>,
    tap: Tap,
}

impl Upstreams {
    /// Reports what comes by TCP into `events`; at most `sockets_max` sockets at once.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(sockets_max: usize, events: mpsc::Sender<Event>) -> io::Result<Self> {
        Ok(Self {
            udp: UdpExchanges::new()?,
            connections: HashMap::new(),
            sockets_max,
            events,
            tap: Tap::default(),
        })
    }

    /// Logs every message from now on.
    pub(crate) fn set_tap(&mut self, tap: Tap) {
        self.udp.set_tap(tap.clone());
        self.tap = tap;
    }

    /// Starts an exchange.
    ///
    /// # Errors
    /// There are too many, or the kernel does not send it: the caller tells the resolver.
    pub(crate) fn send(&mut self, outgoing: Outgoing) -> Result<(), TransportError> {
        if self.count() >= self.sockets_max {
            return Err(TransportError::Resources);
        }
        let exchange = outgoing.exchange;
        match outgoing.transport {
            Transport::Udp => self
                .udp
                .send(exchange, outgoing.server, &outgoing.message)
                .map_err(|error| reason(&error)),
            Transport::Tcp => {
                let reports = Reports {
                    events: self.events.clone(),
                    tap: self.tap.clone(),
                };
                let task = tokio::spawn(connection(outgoing, reports));
                self.connections.insert(exchange, task.abort_handle());
                Ok(())
            }
        }
    }

    /// Ends an exchange and closes its socket.
    pub(crate) fn end(&mut self, exchange: u64) {
        if !self.udp.end(exchange)
            && let Some(task) = self.connections.remove(&exchange)
        {
            task.abort();
        }
    }

    /// Sockets open now.
    pub(crate) fn count(&self) -> usize {
        self.udp.count() + self.connections.len()
    }
}

/// Where what happens on a connection goes.
struct Reports {
    events: mpsc::Sender<Event>,
    tap: Tap,
}

async fn connection(outgoing: Outgoing, reports: Reports) {
    let exchange = outgoing.exchange;
    let wait = Duration::from_millis(u64::from(outgoing.timeout_ms)) + GRACE;
    let reason = match tokio::time::timeout(wait, talk(&outgoing, &reports)).await {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => reason(&error),
        Err(_) => TransportError::Timeout,
    };
    let failed = Event::Failed { exchange, reason };
    let _ = reports.events.send(failed).await; // Nobody waits any more: no harm.
}

/// Ends by an error or when it is aborted: a wrong reply must not keep the right one out.
async fn talk(outgoing: &Outgoing, reports: &Reports) -> io::Result<std::convert::Infallible> {
    let &Outgoing {
        exchange,
        server,
        transport,
        ref message,
        ..
    } = outgoing;
    let mut stream = TcpStream::connect(server).await?;
    let bytes = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = bytes.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    let tapped = reports.tap.resolver_query(server, transport, message);
    loop {
        let bytes = stream.read_u16().await?;
        let mut message = vec![0; usize::from(bytes)];
        stream.read_exact(&mut message).await?;
        reports.tap.resolver_response(tapped.as_ref(), &message);
        let reply = Event::Reply {
            exchange,
            from: server,
            message,
        };
        reports.events.send(reply).await.map_err(io::Error::other)?;
    }
}

/// What an error means to the resolver.
pub(crate) fn reason(error: &io::Error) -> TransportError {
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
