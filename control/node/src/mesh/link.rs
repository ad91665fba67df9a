//! One connection: a task for each class that is sent, one for each stream that is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus::HEADER_BYTES;
use quinn::{Connection, RecvStream, SendDatagramError, SendStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::counters::{Counters, Loss};
use super::frames::{self, FrameError, Frames, Progress};
use super::peer::{Peer, Source, units};
use super::queue::{Class, Outgoing};
use super::verify::{Frame, Inbound, Pool};

/// Time in which the next bytes of a message must come once it has begun.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes taken from a stream at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Streams that a peer may have open: one for each of three classes, and the next while one ends.
pub(super) const STREAMS_MAX: u32 = 6;
const _: () = assert!(STREAMS_MAX as usize >= 2 * Class::STREAMS.len());

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) counters: Arc<Counters>,
    pub(super) pool: Arc<Pool>,
}

/// Why a stream is not read on.
enum ReadFailure {
    /// The connection has ended.
    Gone,
    Garbage(Loss),
}

/// Serves a connection until it ends.
pub(super) async fn serve(context: &Context, peer: &Arc<Peer>, connection: &Connection) {
    if !peer.adopt(connection) {
        return;
    }
    context.pool.event(Inbound::Connected(peer.id));
    let source = Arc::new(Source::new(Arc::clone(peer), connection.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(send_votes(
        context.clone(),
        Arc::clone(peer),
        connection.clone(),
    ));
    for class in Class::STREAMS {
        let sender = send_stream(context.clone(), Arc::clone(peer), connection.clone(), class);
        tasks.spawn(sender);
    }
    tasks.spawn(read_datagrams(
        context.clone(),
        Arc::clone(&source),
        connection.clone(),
    ));
    tasks.spawn(accept_streams(context.clone(), source, connection.clone()));
    let reason = connection.closed().await;
    tasks.shutdown().await;
    if peer.release(connection) {
        tracing::info!("connection with node {} has ended: {reason}", peer.id);
        context.pool.event(Inbound::Disconnected(peer.id));
    }
}

fn sent(context: &Context, peer: &Peer, outgoing: &Outgoing, bytes: usize) {
    context.counters.sent.count(outgoing.kind, bytes);
    peer.counters.sent.increment();
}

async fn send_votes(context: Context, peer: Arc<Peer>, connection: Connection) {
    loop {
        let outgoing = peer.queue.next(Class::Vote).await;
        match connection.send_datagram_wait(outgoing.bytes.clone()).await {
            Ok(()) => sent(&context, &peer, &outgoing, outgoing.bytes.len()),
            Err(SendDatagramError::ConnectionLost(_)) => return,
            Err(_) => {
                context.counters.lose(Loss::NoDatagram, 1);
                peer.counters.drops_sent.increment();
            }
        }
    }
}

async fn send_stream(context: Context, peer: Arc<Peer>, connection: Connection, class: Class) {
    let mut stream: Option<SendStream> = None;
    loop {
        let outgoing = peer.queue.next(class).await;
        let open = match stream.take() {
            Some(open) => open,
            None => match connection.open_uni().await {
                Ok(open) => {
                    let _ = open.set_priority(-(class as i32)); // Fails when it has ended: seen next.
                    open
                }
                Err(_) => return,
            },
        };
        let open = stream.insert(open);
        let bytes = outgoing.bytes.len();
        if open.write_chunk(outgoing.bytes.clone()).await.is_err() {
            return;
        }
        sent(&context, &peer, &outgoing, bytes);
    }
}

async fn read_datagrams(context: Context, source: Arc<Source>, connection: Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        read_datagram(&context, &source, &datagram);
    }
}

fn read_datagram(context: &Context, source: &Arc<Source>, datagram: &Bytes) {
    let refuse = |reason| {
        context.counters.lose(reason, 1);
        source.peer.counters.drops_received.increment();
    };
    let header = match frames::check(datagram) {
        Ok(header) => header,
        Err(error) => {
            refuse(reason_of(error));
            source.strike();
            return context.pool.event(Inbound::Malformed(source.peer.id));
        }
    };
    let units = units(datagram.len());
    let Ok(permit) = Arc::clone(&source.peer.units).try_acquire_many_owned(units) else {
        return refuse(Loss::Overload);
    };
    context.counters.received.count(header.kind, datagram.len());
    source.peer.counters.received.increment();
    context.pool.frame(Frame {
        source: Arc::clone(source),
        header,
        bytes: datagram.to_vec(),
        permit,
    });
}

async fn accept_streams(context: Context, source: Arc<Source>, connection: Connection) {
    let mut readers = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => match stream {
                // QUIC lets no more than STREAMS_MAX be open at once.
                Ok(stream) => drop(readers.spawn(read(context.clone(), Arc::clone(&source), stream))),
                Err(_) => return,
            },
            Some(_) = readers.join_next() => {}
        }
    }
}

async fn read(context: Context, source: Arc<Source>, mut stream: RecvStream) {
    let Err(ReadFailure::Garbage(reason)) = read_messages(&context, &source, &mut stream).await
    else {
        return;
    };
    let peer = source.peer.id;
    tracing::warn!(
        "node {peer} sent what cannot be read ({}); closing",
        reason.word()
    );
    context.counters.lose(reason, 1);
    source.peer.counters.drops_received.increment();
    context.pool.event(Inbound::Malformed(peer));
    source.bar();
}

async fn read_messages(
    context: &Context,
    source: &Arc<Source>,
    stream: &mut RecvStream,
) -> Result<(), ReadFailure> {
    let mut frames = Frames::default();
    let mut permit = None;
    loop {
        let is_between = frames.is_between();
        let piece = stream.read_chunk(frames.wanted().min(PIECE_BYTES_MAX), true);
        let piece = if is_between {
            piece.await // The next message may be long in coming.
        } else {
            let piece = timeout(READ_TIMEOUT, piece).await;
            piece.map_err(|_| ReadFailure::Garbage(Loss::Slow))?
        };
        let piece = match piece {
            Ok(Some(piece)) => piece.bytes,
            Ok(None) if is_between => return Ok(()),
            Ok(None) | Err(quinn::ReadError::Reset(_)) => {
                return Err(ReadFailure::Garbage(Loss::Truncated));
            }
            Err(_) => return Err(ReadFailure::Gone),
        };
        let progress = frames.push(&piece);
        match progress.map_err(|error| ReadFailure::Garbage(reason_of(error)))? {
            Progress::More => {}
            Progress::Header(bytes) => permit = Some(acquire(source, bytes).await?),
            Progress::Message(header, bytes) => {
                let permit = match permit.take() {
                    Some(permit) => permit,
                    None => acquire(source, HEADER_BYTES).await?,
                };
                context.counters.received.count(header.kind, bytes.len());
                source.peer.counters.received.increment();
                let source = Arc::clone(source);
                context.pool.frame(Frame {
                    source,
                    header,
                    bytes,
                    permit,
                });
            }
        }
    }
}

/// Waits until so much of this peer may wait; meanwhile QUIC holds it back.
async fn acquire(
    source: &Source,
    bytes: usize,
) -> Result<tokio::sync::OwnedSemaphorePermit, ReadFailure> {
    let permit = Arc::clone(&source.peer.units).acquire_many_owned(units(bytes));
    permit.await.map_err(|_| ReadFailure::Gone)
}

fn reason_of(error: FrameError) -> Loss {
    match error {
        FrameError::Oversized { .. } => Loss::Oversized,
        FrameError::Header => Loss::Malformed,
    }
}
