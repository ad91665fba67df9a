//! UDP queries from kernel sockets: those that we bound, and those that the dataplane shares.
//!
//! Ours are read always. In socket mode the dataplane hands us its own: each is read only while
//! the worker that owns it is silent, and all of them when the dataplane is gone. SO_REUSEPORT
//! spreads clients over every open socket of a group, so that ours must close once the
//! dataplane's have come.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use config::Mode;
use exchange::Region;
use exchange::handover::SharedSocket;
use guard::Permission;

use wire::query::Query;

use crate::clock;
use crate::counters::Counters;
use crate::datagram::{ControlBuffer, Datagrams, Local, Received};
use crate::dnstap::Tapped;
use crate::engine::EngineHandle;
use crate::finish::Finisher;
use crate::front::{BATCH_MAX, FrontOrigin};
use crate::gate::cut;
use crate::question::{Finished, Origin};
use crate::responder::{Responder, Verdict, Via};

/// A worker that was silent for longer does not read its sockets, in milliseconds.
const WORKER_SILENT_MS: u64 = 300;
/// In socket mode, how long to wait for a dataplane before binding sockets ourselves.
const GRACE_MS: u64 = 2_000;
/// Between two attempts to bind after the start, in milliseconds.
const BIND_RETRY_MS: u64 = 1_000;
/// Datagrams answered from a socket before it is closed.
const DRAIN_MAX: usize = 65_536;
/// Longest query; longer ones are cut and do not parse. Also the room for answers.
const BUFFER_BYTES: usize = 4096;

/// The socket and the addresses of one query.
#[derive(Debug)]
pub(crate) struct DatagramOrigin {
    socket: Arc<Datagrams>,
    client: SocketAddr,
    local: Option<Local>,
}

/// All kernel UDP sockets.
#[derive(Debug)]
pub(crate) struct KernelUdp {
    owned: Vec<Arc<Datagrams>>,
    shared: Vec<Shared>,
    /// Addresses to bind when nothing reads them.
    listen: Vec<SocketAddr>,
    bind_at_ms: Option<u64>,
    engine: EngineHandle,
    counters: Arc<Counters>,
    buffer: Box<[u8; BUFFER_BYTES]>,
    control: ControlBuffer,
    finisher: Finisher,
}

#[derive(Debug)]
struct Shared {
    worker: u32,
    socket: Arc<Datagrams>,
    /// The worker is silent: we read.
    active: bool,
}

impl KernelUdp {
    /// Binds every address of `listen`, unless a socket-mode dataplane is configured: that one
    /// gets time to come first.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub(crate) fn new(
        listen: Vec<SocketAddr>,
        mode: Mode,
        engine: EngineHandle,
        counters: Arc<Counters>,
        dataplane_has_sockets: bool,
    ) -> Result<Self, (SocketAddr, std::io::Error)> {
        let mut udp = Self {
            owned: Vec::new(),
            shared: Vec::new(),
            listen,
            bind_at_ms: None,
            engine,
            counters,
            buffer: Box::new([0; BUFFER_BYTES]),
            control: ControlBuffer::default(),
            finisher: Finisher::default(),
        };
        if mode == Mode::Socket && !dataplane_has_sockets {
            udp.bind_at_ms = Some(clock::now_ms() + GRACE_MS);
        } else if !dataplane_has_sockets {
            udp.owned = bind_all(&udp.listen)?;
        }
        Ok(udp)
    }

    /// Whether any socket is read now.
    pub(crate) fn is_serving(&self) -> bool {
        !self.owned.is_empty() || self.shared.iter().any(|shared| shared.active)
    }

    /// Decides which shared sockets are ours to read, and binds what nobody else reads.
    pub(crate) fn tend(&mut self, now_ms: u64, region: Option<&Region>) {
        if let Some(region) = region {
            for index in 0..self.shared.len() {
                let shared = &mut self.shared[index];
                let beat_ms = region.worker_heartbeat_ms(shared.worker).unwrap_or(0);
                let silent = now_ms.saturating_sub(beat_ms) > WORKER_SILENT_MS;
                if silent != shared.active {
                    let address = shared.socket.address();
                    tracing::info!(worker = shared.worker, %address, silent, "UDP changes hands");
                    shared.active = silent;
                }
            }
        }
        if self.bind_at_ms.is_some_and(|at_ms| now_ms >= at_ms) {
            match bind_all(&self.listen) {
                Ok(sockets) => {
                    tracing::info!("no dataplane in sight: serving UDP from own sockets");
                    self.owned = sockets;
                    self.bind_at_ms = None;
                }
                Err((address, error)) => {
                    tracing::warn!(%address, %error, "cannot serve UDP, trying again");
                    self.bind_at_ms = Some(now_ms + BIND_RETRY_MS);
                }
            }
        }
    }

    /// A dataplane came. In socket mode it brought sockets: ours are emptied and closed.
    pub(crate) fn on_attached(&mut self, sockets: Vec<SharedSocket>, responder: &mut Responder) {
        if sockets.is_empty() {
            return;
        }
        self.bind_at_ms = None;
        self.shared.clear();
        for shared in sockets {
            match Datagrams::from_descriptor(shared.socket) {
                Ok(socket) => self.shared.push(Shared {
                    worker: shared.worker,
                    socket: Arc::new(socket),
                    active: false,
                }),
                Err(error) => {
                    tracing::error!(address = %shared.address, %error, "a shared socket is of no use");
                }
            }
        }
        for socket in std::mem::take(&mut self.owned) {
            let mut drained = 0;
            while drained < DRAIN_MAX && self.serve_one(&socket, responder) {
                drained += 1;
            }
            tracing::debug!(address = %socket.address(), drained, "own UDP socket closed");
        }
    }

    /// The dataplane is gone: its sockets are ours now.
    pub(crate) fn on_detached(&mut self) {
        self.owned
            .extend(self.shared.drain(..).map(|shared| shared.socket));
    }

    /// Answers a batch from every socket that is ours to read.
    pub(crate) fn serve(&mut self, responder: &mut Responder) -> usize {
        let mut count = 0;
        for index in 0..self.owned.len() + self.shared.len() {
            let Some(socket) = self.readable(index) else {
                continue;
            };
            let mut taken = 0;
            while taken < BATCH_MAX && self.serve_one(&socket, responder) {
                taken += 1;
            }
            count += taken;
        }
        count
    }

    /// The socket at `index` of owned and shared ones, if it is ours to read.
    fn readable(&self, index: usize) -> Option<Arc<Datagrams>> {
        if let Some(socket) = self.owned.get(index) {
            return Some(Arc::clone(socket));
        }
        let shared = self
            .shared
            .get(index - self.owned.len())
            .filter(|shared| shared.active)?;
        Some(Arc::clone(&shared.socket))
    }

    /// Takes one datagram and answers it. False if there was none.
    fn serve_one(&mut self, socket: &Arc<Datagrams>, responder: &mut Responder) -> bool {
        match socket.receive(&mut self.buffer[..], &mut self.control) {
            Ok(Some(received)) => {
                self.counters.queries_udp.increment();
                self.on_query(socket, received, responder);
                true
            }
            Ok(None) => false,
            // An ICMP error for an earlier answer; the socket itself is fine.
            Err(error) => {
                tracing::debug!(%error, "receive");
                true
            }
        }
    }

    fn on_query(&mut self, socket: &Arc<Datagrams>, received: Received, responder: &mut Responder) {
        let Received {
            bytes,
            client,
            local,
        } = received;
        let query = &self.buffer[..bytes];
        let tapped = responder.tap().client_query(client, Via::Udp, query);
        match responder.respond(&mut self.buffer[..], bytes, client.ip(), Via::Udp) {
            Verdict::Silent => {}
            Verdict::Answer { bytes, .. } => {
                let permission = responder.permit_answer(&self.buffer[..bytes], client.ip());
                let bytes = self.limited(bytes, permission, responder.query());
                self.log(responder, tapped.as_ref(), bytes);
                self.send(socket, bytes, client, local.as_ref());
            }
            Verdict::Resolve(resolve) => {
                let origin = DatagramOrigin {
                    socket: Arc::clone(socket),
                    client,
                    local,
                };
                let origin = Origin::Front(FrontOrigin::Datagram(origin));
                let asked = resolve.into_asked(&self.buffer[..bytes], origin, tapped);
                if let Err(overloaded) = self.engine.ask(asked) {
                    let query = &overloaded.0.query;
                    let bytes = responder.overloaded(&mut self.buffer[..], bytes, query);
                    let bytes = overloaded.0.sign(&mut self.buffer[..], bytes, Via::Udp);
                    let permission = responder.permit(&self.buffer[..bytes], &overloaded.0);
                    let bytes = self.limited(bytes, permission, Some(query));
                    self.log(responder, tapped.as_ref(), bytes);
                    self.send(socket, bytes, client, local.as_ref());
                }
            }
            Verdict::Update(submission) => {
                let origin = DatagramOrigin {
                    socket: Arc::clone(socket),
                    client,
                    local,
                };
                responder.submit(*submission, FrontOrigin::Datagram(origin));
            }
            Verdict::Transfer(_) => unreachable!("zones are transferred over TCP only"),
        }
    }

    /// Sends an answer of the engine.
    pub(crate) fn deliver(
        &mut self,
        origin: &DatagramOrigin,
        finished: &Finished,
        responder: &mut Responder,
    ) {
        let written = self
            .finisher
            .write(finished, &mut self.buffer[..], Via::Udp);
        self.counters.answers_resolver.increment();
        let asked = &finished.asked;
        let bytes = asked.sign(&mut self.buffer[..], written.bytes, Via::Udp);
        let permission = responder.permit(&self.buffer[..bytes], asked);
        let bytes = self.limited(bytes, permission, Some(&asked.query));
        self.log(responder, finished.asked.tapped.as_ref(), bytes);
        self.send(&origin.socket, bytes, origin.client, origin.local.as_ref());
    }

    /// Sends the answer to an update.
    pub(crate) fn deliver_ready(&mut self, origin: &DatagramOrigin, message: &[u8]) {
        match self.buffer.get_mut(..message.len()) {
            Some(room) => {
                room.copy_from_slice(message);
                let local = origin.local.as_ref();
                self.send(&origin.socket, message.len(), origin.client, local);
            }
            None => self.counters.drops_send.increment(),
        }
    }

    /// How much of the response of `bytes` is to be sent; 0: nothing.
    fn limited(&mut self, bytes: usize, permission: Permission, query: Option<&Query>) -> usize {
        match (permission, query) {
            (Permission::Drop, _) => 0,
            (Permission::Slip, Some(query)) => cut(&mut self.buffer[..], query),
            (Permission::Slip, None) | (Permission::Send, _) => bytes,
        }
    }

    /// Gives what is sent to the query log.
    fn log(&self, responder: &Responder, tapped: Option<&Tapped>, bytes: usize) {
        if bytes > 0 {
            responder
                .tap()
                .client_response(tapped, &self.buffer[..bytes]);
        }
    }

    fn send(&self, socket: &Datagrams, bytes: usize, client: SocketAddr, local: Option<&Local>) {
        let message = &self.buffer[..bytes];
        if message.is_empty() {
            return;
        }
        if let Err(error) = socket.send(message, client, local) {
            tracing::debug!(%client, %error, "send");
            self.counters.drops_send.increment();
        }
    }

    /// Sockets to wait for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let shared = self
            .shared
            .iter()
            .filter(|shared| shared.active)
            .map(|shared| &shared.socket);
        self.owned.iter().chain(shared).map(|socket| socket.as_fd())
    }
}

fn bind_all(listen: &[SocketAddr]) -> Result<Vec<Arc<Datagrams>>, (SocketAddr, std::io::Error)> {
    listen
        .iter()
        .map(|address| match Datagrams::bind(*address) {
            Ok(socket) => Ok(Arc::new(socket)),
            Err(error) => Err((*address, error)),
        })
        .collect()
}
