//! DNS over TCP for clients (RFC 7766): many questions on one connection, answered as they are
//! ready.
//!
//! A connection costs bounded memory: a query at a time, so many questions that wait, so many
//! bytes that the client does not take. One that neither asks nor takes is closed.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::connections::{Connections, Place};
use crate::counters::Counters;
use crate::engine::{EngineHandle, Overloaded};
use crate::finish::Finisher;
use crate::outbox::Outbox;
use crate::question::{Finished, Origin};
use crate::responder::{Responders, Verdict, Via};
use crate::signing::SignedTransfer;

/// Length in front of each message (RFC 1035 §4.2.2).
const LENGTH_BYTES: usize = 2;
/// Longest query: no client has reason for more, and an attacker shall not make us hold it. An update may
/// be as long as a message can, where there is a zone that takes updates.
const QUERY_BYTES_MAX: usize = 4096;
/// Opcode UPDATE (RFC 2136 §1.3) and QR in the first byte of flags.
const OPCODE_UPDATE: u8 = 0x28;
const QR_AND_OPCODE: u8 = 0xf8;
/// Bytes read at once.
const READ_BYTES: usize = 4096;
/// After an error of accepting (too many open files), before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Room for one message, shared by all connections of a thread between two awaits.
struct Scratch {
    message: Box<[u8]>,
    finisher: Finisher,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        message: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
        finisher: Finisher::default(),
    });
}

/// What every connection needs.
#[derive(Clone, Debug)]
pub(crate) struct TcpService {
    pub(crate) responders: Responders,
    pub(crate) engine: EngineHandle,
    pub(crate) connections: Arc<Connections>,
    pub(crate) questions_max: usize,
    pub(crate) idle: Duration,
    pub(crate) counters: Arc<Counters>,
}

impl TcpService {
    /// Accepts until `stop` changes, and serves each connection in a task of its own.
    pub(crate) async fn run(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return,
            };
            match accepted {
                Ok((stream, client)) => self.start(stream, client, stop.clone()),
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn start(&self, stream: TcpStream, client: SocketAddr, stop: watch::Receiver<bool>) {
        let Some(place) = self.connections.admit(client.ip()) else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(self.clone(), client);
        tokio::spawn(connection.run(stream, place, stop));
    }
}

/// One client's connection.
struct Connection {
    service: TcpService,
    client: SocketAddr,
    /// Bytes that came and are not yet a whole query.
    inbox: Vec<u8>,
    outbox: Outbox,
    /// Questions that wait for the engine.
    waiting: usize,
    finished: mpsc::Receiver<Box<Finished>>,
    finished_in: mpsc::Sender<Box<Finished>>,
    /// Answers to updates.
    ready: mpsc::Receiver<Vec<u8>>,
    ready_in: mpsc::Sender<Vec<u8>>,
    /// The client sends no more.
    ended: bool,
    /// When something last went forward.
    moved_at: Instant,
}

impl Connection {
    fn new(service: TcpService, client: SocketAddr) -> Self {
        let (finished_in, finished) = mpsc::channel(service.questions_max);
        let (ready_in, ready) = mpsc::channel(service.questions_max);
        Self {
            service,
            client,
            inbox: Vec::new(),
            outbox: Outbox::default(),
            waiting: 0,
            finished,
            finished_in,
            ready,
            ready_in,
            ended: false,
            moved_at: Instant::now(),
        }
    }

    async fn run(mut self, mut stream: TcpStream, place: Place, mut stop: watch::Receiver<bool>) {
        let (mut reader, mut writer) = stream.split();
        let result = self.serve(&mut reader, &mut writer, &mut stop).await;
        if let Err(error) = result {
            if error.kind() == io::ErrorKind::TimedOut {
                self.service.counters.tcp_timeouts.increment();
            }
            tracing::debug!(client = %self.client, %error, "TCP connection ended");
        }
        drop(place);
    }

    /// Until the client is done, is too slow, or breaks the framing.
    async fn serve(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<()> {
        loop {
            while let Some(query) = self.next_query()? {
                self.moved_at = Instant::now();
                if let Some(transfer) = self.on_query(&query) {
                    self.transfer(*transfer, writer).await?;
                }
            }
            let done = self.waiting == 0 && self.outbox.is_empty();
            if done && self.ended {
                return Ok(());
            }
            let takes_more = !self.ended && self.takes_more();
            let mut chunk = [0; READ_BYTES];
            tokio::select! {
                read = reader.read(&mut chunk), if takes_more => match read? {
                    0 => self.ended = true,
                    bytes => self.inbox.extend_from_slice(&chunk[..bytes]),
                },
                written = writer.write(self.outbox.unsent()), if !self.outbox.is_empty() => {
                    self.on_written(written?)?;
                }
                Some(finished) = self.finished.recv(), if !self.outbox.is_full() => self.on_finished(&finished),
                Some(message) = self.ready.recv(), if !self.outbox.is_full() => self.on_ready(&message),
                () = tokio::time::sleep_until(self.moved_at + self.service.idle), if self.can_time_out() => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                _ = stop.changed() => return Ok(()),
            }
        }
    }

    /// Whether another question may come in.
    fn takes_more(&self) -> bool {
        self.waiting < self.service.questions_max && !self.outbox.is_full()
    }

    /// While the client waits for us, and takes what there is, it is not idle.
    fn can_time_out(&self) -> bool {
        self.waiting == 0 || !self.outbox.is_empty()
    }

    /// Takes a whole query out of the inbox, if there is one and room for its answer.
    fn next_query(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(length) = self.inbox.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let bytes = usize::from(u16::from_be_bytes(*length));
        if bytes > QUERY_BYTES_MAX {
            let Some(flags) = self.inbox.get(LENGTH_BYTES + 2) else {
                return Ok(None);
            };
            let is_update = flags & QR_AND_OPCODE == OPCODE_UPDATE;
            if !is_update || !self.service.responders.zones.load().takes_updates() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a query of absurd length",
                ));
            }
        }
        let Some(query) = self.inbox.get(LENGTH_BYTES..LENGTH_BYTES + bytes) else {
            return Ok(None);
        };
        if !self.takes_more() {
            return Ok(None);
        }
        let query = query.to_vec();
        self.inbox.drain(..LENGTH_BYTES + bytes);
        Ok(Some(query))
    }

    /// Answers a query, or passes it on.
    fn on_query(&mut self, query: &[u8]) -> Option<Box<SignedTransfer>> {
        self.service.counters.queries_tcp.increment();
        SCRATCH.with_borrow_mut(|scratch| {
            let message = &mut scratch.message[..];
            message[..query.len()].copy_from_slice(query);
            // One for each query: a connection that rests holds no zones.
            let mut responder = self.service.responders.responder();
            let tap = &self.service.responders.policy.tap;
            let tapped = tap.client_query(self.client, Via::Tcp, query);
            match responder.respond(message, query.len(), self.client.ip(), Via::Tcp) {
                Verdict::Silent => {}
                Verdict::Answer { bytes, .. } => {
                    tap.client_response(tapped.as_ref(), &message[..bytes]);
                    self.outbox.push(&message[..bytes]);
                }
                Verdict::Resolve(resolve) => {
                    let origin = Origin::Channel(self.finished_in.clone());
                    let asked = resolve.into_asked(query, origin, tapped);
                    match self.service.engine.ask(asked) {
                        Ok(()) => self.waiting += 1,
                        Err(Overloaded(asked)) => {
                            let bytes = responder.overloaded(message, query.len(), &asked.query);
                            let bytes = asked.sign(message, bytes, Via::Tcp);
                            tap.client_response(tapped.as_ref(), &message[..bytes]);
                            self.outbox.push(&message[..bytes]);
                        }
                    }
                }
                Verdict::Update(submission) => {
                    self.waiting += 1;
                    let ready = self.ready_in.clone();
                    let updates = &self.service.responders.policy.updates;
                    // As many as may wait have room.
                    updates.submit(*submission, move |message| drop(ready.try_send(message)));
                }
                Verdict::Transfer(transfer) => return Some(transfer),
            }
            None
        })
    }

    fn on_finished(&mut self, finished: &Finished) {
        self.waiting -= 1;
        self.moved_at = Instant::now();
        if finished.resolved.message.is_empty() {
            return;
        }
        self.service.counters.answers_resolver.increment();
        SCRATCH.with_borrow_mut(|scratch| {
            let written = scratch
                .finisher
                .write(finished, &mut scratch.message, Via::Tcp);
            let bytes = finished
                .asked
                .sign(&mut scratch.message, written.bytes, Via::Tcp);
            let response = &scratch.message[..bytes];
            let tap = &self.service.responders.policy.tap;
            tap.client_response(finished.asked.tapped.as_ref(), response);
            self.outbox.push(response);
        });
    }

    fn on_ready(&mut self, message: &[u8]) {
        self.waiting -= 1;
        self.moved_at = Instant::now();
        self.outbox.push(message);
    }

    fn on_written(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.outbox.take(bytes);
        self.moved_at = Instant::now();
        Ok(())
    }

    /// Sends a whole zone, no faster than the client takes it. Other questions wait.
    async fn transfer(
        &mut self,
        transfer: SignedTransfer,
        writer: &mut WriteHalf<'_>,
    ) -> io::Result<()> {
        let is_incremental = transfer.is_incremental();
        for message in transfer {
            self.outbox.push(&message);
            if self.outbox.is_full() {
                self.flush(writer).await?;
            }
        }
        self.flush(writer).await?;
        let counters = &self.service.counters;
        match is_incremental {
            true => counters.transfers_incremental.increment(),
            false => counters.transfers.increment(),
        }
        Ok(())
    }

    async fn flush(&mut self, writer: &mut WriteHalf<'_>) -> io::Result<()> {
        while !self.outbox.is_empty() {
            let write = writer.write(self.outbox.unsent());
            let written = tokio::time::timeout(self.service.idle, write).await;
            self.on_written(written.map_err(|_| io::ErrorKind::TimedOut)??)?;
        }
        Ok(())
    }
}
