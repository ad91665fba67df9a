//! Real QUIC over the workers' rings, which a thread plays here, and back to the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use exchange::{Punt, Transport};

use super::*;
use crate::bell::Bell;
use crate::clock;
use crate::mesh_link::MeshLink;

/// Heard as anybody's, and nothing to QUIC: far too short.
const NOISE: &[u8] = &[0x40; 5];
const NOISE_EVERY_MS: u64 = 50;
const CHUNKS: u32 = 20;

/// Both dataplanes: what one control gives out, the other gets. While they are away, nothing.
struct Dataplanes {
    links: [MeshLink; 2],
    are_there: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dataplanes {
    fn start(addresses: [SocketAddr; 2]) -> Self {
        let link = || MeshLink::new(Arc::new(Bell::new().unwrap()), Arc::default());
        let links = [link(), link()];
        let (are_there, stop) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let own = (links.clone(), Arc::clone(&are_there), Arc::clone(&stop));
        let thread = thread::spawn(move || carry(&own.0, addresses, &own.1, &own.2));
        Self {
            links,
            are_there,
            stop,
            thread: Some(thread),
        }
    }

    fn set(&self, are_there: bool) {
        self.are_there.store(are_there, Ordering::Relaxed);
        let is_so = |link: &MeshLink| link.rings().has_routes() == are_there;
        until(|| self.links.iter().all(is_so));
    }

    fn sent(&self) -> (u64, u64) {
        let counters = self.links.each_ref().map(MeshLink::counters);
        let sum = |of: fn(&crate::counters::Counters) -> u64| counters.map(of).iter().sum();
        (
            sum(|counters| counters.mesh_sent_rings.get()),
            sum(|counters| counters.mesh_sent_kernel.get()),
        )
    }
}

impl Drop for Dataplanes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn carry(
    links: &[MeshLink; 2],
    addresses: [SocketAddr; 2],
    are_there: &AtomicBool,
    stop: &AtomicBool,
) {
    let mut noise_due_ms = [0; 2];
    while !stop.load(Ordering::Relaxed) {
        for (from, to) in [(0, 1), (1, 0)] {
            let rings = links[to].rings();
            if !are_there.load(Ordering::Relaxed) {
                rings.forget_routes();
                continue;
            }
            let give = |message: &[u8]| {
                let punt = Punt {
                    transport: Transport::Mesh,
                    client: addresses[from],
                    local: addresses[to],
                    ecn: 0,
                    received_us: 0,
                    headers: b"headers",
                    message,
                };
                rings.receive(0, &punt, clock::now_ms());
            };
            // So that the ways stay open, whatever else this machine does.
            if clock::now_ms() >= noise_due_ms[from] {
                noise_due_ms[from] = clock::now_ms() + NOISE_EVERY_MS;
                give(NOISE);
            }
            while let Some(outgoing) = links[from].rings().next_outgoing() {
                give(&outgoing.payload);
            }
        }
        thread::yield_now();
    }
}

/// Small messages and large ones, each of which must arrive.
fn exchange(cluster: &Cluster, nodes: &[Node; 2], first: u64) {
    let (one, two) = (&nodes[0], &nodes[1]);
    for index in 0..CHUNKS {
        let chunk = Message::Chunk {
            sequence: Sequence(first),
            index,
            bytes: vec![1; 100_000],
        };
        one.network.send(cluster.id(1), &chunk);
        two.network.send(cluster.id(0), &chunk);
    }
    for (node, peer) in [(one, 1), (two, 0)] {
        for _ in 0..CHUNKS {
            let (from, message) = node.message();
            assert_eq!(from, cluster.id(peer));
            assert!(matches!(message, Message::Chunk { sequence, .. } if sequence.0 == first));
        }
    }
}

#[test]
fn connection_goes_by_the_rings_by_the_kernel_and_by_the_rings_again() {
    let cluster = Cluster::new(2);
    let addresses = [0, 1].map(|index: usize| cluster.sockets[index].local_addr().unwrap());
    let dataplanes = Dataplanes::start(addresses);
    let nodes = [0, 1].map(|index: usize| {
        let kernel = cluster.sockets[index].try_clone().unwrap();
        let link = dataplanes.links[index].clone();
        let make: MakeSocket = Box::new(move || Ok(link.socket(kernel)?));
        start_with(
            &cluster.identities[index],
            &cluster.configuration,
            &cluster.configuration,
            make,
        )
    });
    for node in &nodes {
        node.wait(|inbound| matches!(inbound, Inbound::Connected(_)).then_some(()));
    }
    dataplanes.set(true);
    let before = dataplanes.sent();
    exchange(&cluster, &nodes, 1);
    let by_rings = dataplanes.sent();
    assert!(
        by_rings.0 > before.0 + u64::from(CHUNKS) * 100,
        "{by_rings:?}"
    );

    dataplanes.set(false);
    let before = dataplanes.sent();
    exchange(&cluster, &nodes, 2);
    let by_kernel = dataplanes.sent();
    assert_eq!(by_kernel.0, before.0);
    assert!(by_kernel.1 > before.1);

    dataplanes.set(true);
    exchange(&cluster, &nodes, 3);
    assert!(dataplanes.sent().0 > by_kernel.0);
    for node in &nodes {
        let peers = node.network.peers();
        assert!(peers.iter().all(|peer| peer.connects == 1), "{peers:?}");
    }
}
