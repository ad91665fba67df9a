//! Datagrams between nodes on their way through the workers' rings, between the front thread, which
//! owns these, and the socket of whoever talks to other nodes.
//!
//! Both queues are bounded and neither side waits for the other. A datagram leaves by the rings only
//! towards who was heard by them a moment ago: the headers to send with are turned around from there.

use std::collections::{HashMap, VecDeque};
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use crossbeam_channel::{Receiver, Sender};
use quinn::udp::{EcnCodepoint, RecvMeta};

use crate::bell::Bell;
use crate::counters::Counters;
use crate::outbound::Template;

/// Datagrams that wait for the socket's owner; further ones are lost.
const RECEIVED_MAX: usize = 1024;
/// Datagrams that wait for the front thread; further ones go by the kernel.
const OUTGOING_MAX: usize = 1024;
/// Endpoints that can be answered by the rings.
const ROUTES_MAX: usize = 256;
/// How long headers may be used after a datagram came with them: if the way to a peer changes, it is
/// the kernel that finds the new one.
const ROUTE_AGE_MS_MAX: u64 = 1_000;
/// Bytes of a payload that fits an Ethernet frame over IPv4 and IPv6.
const PAYLOAD_BYTES_MAX_V4: usize = 1472;
const PAYLOAD_BYTES_MAX_V6: usize = 1452;

/// A datagram for a worker to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Who heard the peer last.
    pub(crate) worker: usize,
    pub(crate) template: Template,
    pub(crate) payload: Box<[u8]>,
}

/// A datagram that came by a ring.
#[derive(Debug)]
struct Incoming {
    from: SocketAddr,
    to: IpAddr,
    ecn: u8,
    payload: Box<[u8]>,
}

/// How to answer an endpoint.
#[derive(Clone, Copy, Debug)]
struct Route {
    worker: usize,
    template: Template,
    local: IpAddr,
    heard_ms: u64,
}

#[derive(Debug, Default)]
struct Received {
    queue: VecDeque<Incoming>,
    waker: Option<Waker>,
}

/// What both sides share.
#[derive(Debug)]
pub(crate) struct MeshRings {
    /// Sockets that take datagrams from here.
    sockets: AtomicUsize,
    received: Mutex<Received>,
    routes: Mutex<HashMap<SocketAddr, Route>>,
    sending: Sender<Outgoing>,
    leaving: Receiver<Outgoing>,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
}

impl MeshRings {
    /// `bell` wakes the front thread.
    pub(crate) fn new(bell: Arc<Bell>, counters: Arc<Counters>) -> Self {
        let (sending, leaving) = crossbeam_channel::bounded(OUTGOING_MAX);
        Self {
            sockets: AtomicUsize::new(0),
            received: Mutex::default(),
            routes: Mutex::default(),
            sending,
            leaving,
            bell,
            counters,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn open(&self) {
        self.sockets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
        lock(&self.received).queue.clear();
    }

    /// Whether anybody takes what comes.
    pub(crate) fn is_open(&self) -> bool {
        self.sockets.load(Ordering::Relaxed) > 0
    }

    /// The front thread: a datagram came by the ring of `worker`.
    pub(crate) fn receive(&self, worker: usize, punt: &exchange::Punt<'_>, now_ms: u64) {
        if !self.is_open() {
            self.counters.mesh_drops_queue.increment();
            return;
        }
        let from = canonical(punt.client);
        let to = punt.local.ip().to_canonical();
        self.learn(
            from,
            Route {
                worker,
                template: Template::new(punt.headers),
                local: to,
                heard_ms: now_ms,
            },
        );
        let mut received = lock(&self.received);
        if received.queue.len() >= RECEIVED_MAX {
            self.counters.mesh_drops_queue.increment();
            return;
        }
        received.queue.push_back(Incoming {
            from,
            to,
            ecn: punt.ecn,
            payload: punt.message.into(),
        });
        let waker = received.waker.take();
        drop(received);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn learn(&self, from: SocketAddr, route: Route) {
        let mut routes = lock(&self.routes);
        if routes.len() >= ROUTES_MAX && !routes.contains_key(&from) {
            routes.retain(|_, known| known.is_fresh(route.heard_ms));
            if routes.len() >= ROUTES_MAX {
                return; // The kernel serves it.
            }
        }
        routes.insert(from, route);
    }

    /// The front thread: the next datagram to send.
    pub(crate) fn next_outgoing(&self) -> Option<Outgoing> {
        self.leaving.try_recv().ok()
    }

    /// The front thread: whether there is none to send.
    pub(crate) fn is_idle(&self) -> bool {
        self.leaving.is_empty()
    }

    /// The front thread: the worker gives no sign of life, so nothing goes by it.
    pub(crate) fn forget_worker(&self, worker: usize) {
        lock(&self.routes).retain(|_, route| route.worker != worker);
    }

    /// The front thread: the workers are gone, and with them the ways by them.
    pub(crate) fn forget_routes(&self) {
        lock(&self.routes).clear();
        while let Some(lost) = self.next_outgoing() {
            drop(lost);
            self.counters.mesh_drops_ring.increment();
        }
    }

    /// Whether anybody can be reached by the rings now.
    pub(crate) fn has_routes(&self) -> bool {
        !lock(&self.routes).is_empty()
    }

    /// The socket: sends one datagram, if it can go by the rings at once. From `source`, if given.
    pub(crate) fn send(
        &self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        payload: &[u8],
        now_ms: u64,
    ) -> bool {
        let destination = canonical(destination);
        let payload_bytes_max = match destination {
            SocketAddr::V4(_) => PAYLOAD_BYTES_MAX_V4,
            SocketAddr::V6(_) => PAYLOAD_BYTES_MAX_V6,
        };
        if payload.len() > payload_bytes_max || self.sending.is_full() {
            return false;
        }
        let Some(route) = lock(&self.routes).get(&destination).copied() else {
            return false;
        };
        let is_right = source.is_none_or(|source| source.to_canonical() == route.local);
        if !is_right || !route.is_fresh(now_ms) {
            return false;
        }
        let outgoing = Outgoing {
            worker: route.worker,
            template: route.template,
            payload: payload.into(),
        };
        if self.sending.try_send(outgoing).is_err() {
            return false;
        }
        self.bell.ring();
        true
    }

    /// The socket: takes what came, as much as there is room for. Else has the task woken when
    /// something comes.
    pub(crate) fn take(
        &self,
        context: &Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut received = lock(&self.received);
        let mut taken = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some(incoming) = received.queue.pop_front() else {
                break;
            };
            let bytes = incoming.payload.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&incoming.payload[..bytes]);
            *meta = RecvMeta {
                addr: incoming.from,
                len: bytes,
                stride: bytes,
                ecn: EcnCodepoint::from_bits(incoming.ecn),
                dst_ip: Some(incoming.to),
            };
            taken += 1;
        }
        if taken == 0 {
            received.waker = Some(context.waker().clone());
        }
        taken
    }
}

impl Route {
    fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_ms) <= ROUTE_AGE_MS_MAX
    }
}

/// The same endpoint in one form: IPv4 never as IPv4-mapped IPv6, no flow label.
fn canonical(endpoint: SocketAddr) -> SocketAddr {
    SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port())
}

/// Nobody panics while holding one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use exchange::{Punt, Transport};

    use super::*;

    const PEER: &str = "192.0.2.7:4853";

    fn rings() -> MeshRings {
        let rings = MeshRings::new(Arc::new(Bell::new().unwrap()), Arc::default());
        rings.open();
        rings
    }

    fn punt<'a>(client: &str, headers: &'a [u8], message: &'a [u8]) -> Punt<'a> {
        Punt {
            transport: Transport::Mesh,
            client: client.parse().unwrap(),
            local: "192.0.2.1:4853".parse().unwrap(),
            ecn: 1,
            received_us: 0,
            headers,
            message,
        }
    }

    fn send(rings: &MeshRings, to: &str, payload: &[u8], now_ms: u64) -> bool {
        rings.send(to.parse().unwrap(), None, payload, now_ms)
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What came, taken in batches of two.
    fn take(rings: &MeshRings, waker: &Waker) -> Vec<(RecvMeta, Vec<u8>)> {
        let mut all = Vec::new();
        loop {
            let mut space = [[0; 1500]; 2];
            let mut metas = [RecvMeta::default(); 2];
            let [one, two] = &mut space;
            let mut buffers = [IoSliceMut::new(one), IoSliceMut::new(two)];
            let context = Context::from_waker(waker);
            let taken = rings.take(&context, &mut buffers, &mut metas);
            let seen = metas.iter().zip(&space).take(taken);
            all.extend(seen.map(|(meta, space)| (*meta, space[..meta.len].to_vec())));
            if taken == 0 {
                return all;
            }
        }
    }

    #[test]
    fn what_comes_is_taken_in_order_with_who_sent_it_and_wakes_once_who_waits() {
        let (rings, count) = (rings(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        assert!(take(&rings, &waker).is_empty());
        for message in [&b"one"[..], b"", b"three"] {
            rings.receive(0, &punt(PEER, b"headers", message), 1);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let all = take(&rings, &waker);
        let payloads: Vec<_> = all.iter().map(|(_, payload)| payload.as_slice()).collect();
        assert_eq!(payloads, [&b"one"[..], b"", b"three"]);
        let meta = all[0].0;
        assert_eq!((meta.addr, meta.stride), (PEER.parse().unwrap(), 3));
        assert_eq!(meta.ecn, Some(EcnCodepoint::Ect1));
        assert_eq!(meta.dst_ip, Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn queue_that_nobody_empties_is_bounded_and_what_is_lost_is_counted() {
        let rings = rings();
        for _ in 0..RECEIVED_MAX + 3 {
            rings.receive(0, &punt(PEER, b"", b"x"), 1);
        }
        assert_eq!(rings.counters.mesh_drops_queue.get(), 3);
        rings.close();
        rings.receive(0, &punt(PEER, b"", b"x"), 1);
        assert_eq!(rings.counters.mesh_drops_queue.get(), 4);
        assert!(take(&rings, Waker::noop()).is_empty());
    }

    #[test]
    fn only_who_was_heard_a_moment_ago_is_answered_by_the_rings() {
        let rings = rings();
        assert!(!send(&rings, PEER, b"x", 1));
        rings.receive(3, &punt(PEER, b"headers", b"x"), 1_000);
        assert!(!send(&rings, "192.0.2.7:4854", b"x", 1_000));
        // Also if named as an IPv6 socket names it.
        assert!(send(&rings, "[::ffff:192.0.2.7]:4853", b"to you", 2_000));
        let outgoing = rings.next_outgoing().unwrap();
        assert_eq!((outgoing.worker, &*outgoing.payload), (3, &b"to you"[..]));
        assert_eq!(outgoing.template.as_slice(), b"headers");
        assert!(!send(&rings, PEER, b"x", 2_001), "too old");
        rings.receive(4, &punt(PEER, b"", b"x"), 2_001);
        assert!(send(&rings, PEER, b"x", 2_001));
        assert_eq!(rings.next_outgoing().unwrap().worker, 4);
        rings.forget_worker(3);
        assert!(rings.has_routes());
        rings.forget_worker(4);
        assert!(!send(&rings, PEER, b"x", 2_001), "a silent worker");
        rings.receive(4, &punt(PEER, b"", b"x"), 2_001);
        rings.forget_routes();
        assert!(!rings.has_routes());
        assert!(!send(&rings, PEER, b"x", 2_001));
    }

    #[test]
    fn what_the_rings_cannot_send_as_asked_is_left_to_the_kernel() {
        let rings = rings();
        rings.receive(0, &punt(PEER, b"", b"x"), 1);
        let from = |address: &str| {
            let source = Some(address.parse().unwrap());
            rings.send(PEER.parse().unwrap(), source, b"x", 1)
        };
        assert!(from("192.0.2.1"));
        assert!(from("::ffff:192.0.2.1"));
        assert!(!from("192.0.2.2"), "another address of ours");
        assert!(send(&rings, PEER, &[0; PAYLOAD_BYTES_MAX_V4], 1));
        assert!(!send(&rings, PEER, &[0; PAYLOAD_BYTES_MAX_V4 + 1], 1));
        let six = "[2001:db8::7]:4853";
        rings.receive(0, &punt(six, b"", b"x"), 1);
        assert!(send(&rings, six, &[0; PAYLOAD_BYTES_MAX_V6], 1));
        assert!(!send(&rings, six, &[0; PAYLOAD_BYTES_MAX_V6 + 1], 1));
        let taken = (0..2 * OUTGOING_MAX).filter(|_| send(&rings, PEER, b"x", 1));
        assert_eq!(taken.count(), OUTGOING_MAX - 4, "the queue is full");
        rings.forget_routes();
        let lost = rings.counters.mesh_drops_ring.get();
        assert_eq!(lost, OUTGOING_MAX as u64);
    }

    #[test]
    fn more_endpoints_than_fit_take_the_places_of_those_that_fell_silent() {
        let rings = rings();
        let hear = |port: usize, now_ms| {
            rings.receive(0, &punt(&format!("192.0.2.9:{port}"), b"", b""), now_ms);
        };
        (1..=ROUTES_MAX).for_each(|port| hear(port, 1));
        hear(ROUTES_MAX + 1, 2);
        let newest = format!("192.0.2.9:{}", ROUTES_MAX + 1);
        assert!(!send(&rings, &newest, b"x", 2), "no place");
        hear(1, 900);
        hear(ROUTES_MAX + 1, 1_500);
        assert!(send(&rings, &newest, b"x", 1_500));
        assert!(send(&rings, "192.0.2.9:1", b"x", 1_500));
        assert_eq!(lock(&rings.routes).len(), 2);
    }
}
