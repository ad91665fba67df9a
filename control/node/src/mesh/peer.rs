//! One peer: its connection, what waits for it, what is counted of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consensus::NodeId;
use quinn::{Connection, VarInt};
use tokio::sync::Semaphore;

use super::counters::PeerCounters;
use super::queue::Queue;

/// What may wait of one peer to be looked at, in units: 64 MiB, or so many small messages.
pub(super) const UNITS_MAX: usize = 4096;
/// Bytes of a unit; each message takes at least one.
const UNIT_BYTES: usize = 16 * 1024;
/// Messages that are none, on one connection, before it is closed.
const STRIKES_MAX: u32 = 8;
/// For how long a peer that sent garbage is not talked to.
const BARRED: Duration = Duration::from_secs(5);

/// The connection ends because another has taken its place.
pub(super) const CLOSE_REPLACED: VarInt = VarInt::from_u32(1);
/// It ends because the peer sent garbage.
pub(super) const CLOSE_GARBAGE: VarInt = VarInt::from_u32(2);
/// It ends because the peer is no member any more, or shut out.
pub(super) const CLOSE_STRANGER: VarInt = VarInt::from_u32(3);
/// It ends because it may not be.
pub(super) const CLOSE_REFUSED: VarInt = VarInt::from_u32(4);
/// It ends because this node stops.
pub(super) const CLOSE_STOPPING: VarInt = VarInt::from_u32(5);

/// A member with whom this node talks.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) queue: Queue,
    pub(super) counters: PeerCounters,
    /// Bounds what of it waits to be looked at.
    pub(super) units: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    address: SocketAddr,
    connection: Option<Connection>,
    barred_until: Option<Instant>,
    /// It is no member any more. Should it become one again, that is another `Peer`.
    is_gone: bool,
}

/// What `Network::peers` says of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub id: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether there is a connection.
    pub is_connected: bool,
    /// Round trip as QUIC measures it, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Messages sent.
    pub sent: u64,
    /// Messages received, those that were dropped among them.
    pub received: u64,
    /// Outgoing messages that were dropped.
    pub drops_sent: u64,
    /// Incoming messages that were dropped.
    pub drops_received: u64,
    /// Of those, with signatures that do not hold.
    pub bad_signatures: u64,
    /// Of those, too late, too early or unasked for; their signatures were not looked at.
    pub useless: u64,
    /// How often there was a new connection.
    pub connects: u64,
}

/// Units that a message takes.
pub(super) fn units(bytes: usize) -> u32 {
    let units = bytes.div_ceil(UNIT_BYTES).clamp(1, UNITS_MAX);
    u32::try_from(units).unwrap_or(u32::MAX)
}

impl Peer {
    pub(super) fn new(id: NodeId, address: SocketAddr) -> Self {
        Self {
            id,
            queue: Queue::default(),
            counters: PeerCounters::default(),
            units: Arc::new(Semaphore::new(UNITS_MAX)),
            state: Mutex::new(State {
                address,
                connection: None,
                barred_until: None,
                is_gone: false,
            }),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.lock().address
    }

    pub(super) fn set_address(&self, address: SocketAddr) {
        self.lock().address = address;
    }

    /// Takes a new connection in place of the old. `false`: it is no member any more.
    pub(super) fn adopt(&self, connection: &Connection) -> bool {
        let mut state = self.lock();
        if state.is_gone {
            connection.close(CLOSE_STRANGER, b"no member");
            return false;
        }
        let old = state.connection.replace(connection.clone());
        drop(state);
        self.queue.open();
        self.counters.connects.increment();
        if let Some(old) = old {
            old.close(CLOSE_REPLACED, b"replaced");
        }
        true
    }

    /// Lets go of a connection that has ended. `false`: another had taken its place.
    pub(super) fn release(&self, connection: &Connection) -> bool {
        let mut state = self.lock();
        let current = state.connection.as_ref();
        let is_current = current.is_some_and(|own| own.stable_id() == connection.stable_id());
        if is_current {
            state.connection = None;
            self.queue.close();
        }
        is_current
    }

    /// It is no member any more: ends what there is, for good.
    pub(super) fn part(&self) {
        let mut state = self.lock();
        state.is_gone = true;
        if let Some(connection) = &state.connection {
            connection.close(CLOSE_STRANGER, b"no member");
        }
    }

    /// Whether it is no member any more.
    pub(super) fn is_gone(&self) -> bool {
        self.lock().is_gone
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Until when nobody talks to it.
    pub(super) fn barred_until(&self) -> Option<Instant> {
        let now = Instant::now();
        self.lock().barred_until.filter(|until| *until > now)
    }

    pub(super) fn status(&self) -> PeerStatus {
        let state = self.lock();
        let connection = state.connection.as_ref();
        let round_trip = connection.map(|connection| connection.rtt().as_micros());
        PeerStatus {
            id: self.id,
            address: state.address,
            is_connected: connection.is_some(),
            round_trip_us: round_trip.and_then(|micros| u64::try_from(micros).ok()),
            sent: self.counters.sent.get(),
            received: self.counters.received.get(),
            drops_sent: self.counters.drops_sent.get(),
            drops_received: self.counters.drops_received.get(),
            bad_signatures: self.counters.bad_signatures.get(),
            useless: self.counters.useless.get(),
            connects: self.counters.connects.get(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a message came from: a peer, over one connection.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) peer: Arc<Peer>,
    connection: Connection,
    strikes: AtomicU32,
}

impl Source {
    pub(super) fn new(peer: Arc<Peer>, connection: Connection) -> Self {
        Self {
            peer,
            connection,
            strikes: AtomicU32::new(0),
        }
    }

    /// A message was none. After a few of them the connection is not worth having.
    pub(super) fn strike(&self) {
        if self.strikes.fetch_add(1, Ordering::Relaxed) + 1 == STRIKES_MAX {
            self.bar();
        }
    }

    /// Closes the connection and has no other for a while.
    pub(super) fn bar(&self) {
        self.peer.lock().barred_until = Some(Instant::now() + BARRED);
        self.connection.close(CLOSE_GARBAGE, b"garbage");
    }
}
