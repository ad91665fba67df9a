//! The mesh: what control knows of other nodes, for the guard of the consensus port, and what the
//! guard has to say of them.
//!
//! Control is unprivileged and cannot write the guard's maps; it writes the membership here, and the
//! dataplane's main thread carries it over. Each block is written by one side behind a sequence
//! lock; the reader takes nothing but numbers, and bounds each.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::claim::{Claim, Tenure};
use crate::mapped::{Mapped, Shareable};
use crate::seqlock;
use crate::sync::{AtomicU64, Ordering};

/// Endpoints of peers, and replicas, at most; further ones are left out.
pub const MESH_PEERS_MAX: usize = 128;
/// Counters of what became of datagrams for the consensus port.
pub const GUARD_OUTCOMES: usize = 8;

const PEER_WORDS: usize = 5;
const REPLICA_WORDS: usize = 7;
const COUNT_WORDS: usize = 6;

const FLAG_GUARDED: u64 = 1;
const FLAG_BY_RINGS: u64 = 2;
const FLAG_ACTIVE: u64 = 1;

type Rows<const WORDS: usize> = [[AtomicU64; WORDS]; MESH_PEERS_MAX];

/// Written by control.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct MeshBlock {
    sequence: AtomicU64,
    flags: AtomicU64,
    peers_count: AtomicU64,
    replicas_count: AtomicU64,
    peers: Rows<PEER_WORDS>,
    replicas: Rows<REPLICA_WORDS>,
}

/// Written by the dataplane.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct GuardBlock {
    sequence: AtomicU64,
    flags: AtomicU64,
    counts_count: AtomicU64,
    outcomes: [AtomicU64; GUARD_OUTCOMES],
    counts: Rows<COUNT_WORDS>,
}

// SAFETY: atomics only, repr(C).
unsafe impl Shareable for MeshBlock {}
// SAFETY: as above.
unsafe impl Shareable for GuardBlock {}

/// An endpoint that a peer sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshPeer {
    /// The node.
    pub node_id: u64,
    /// Its address and port.
    pub endpoint: SocketAddr,
    /// By a committed decision, nothing is taken from it until then: milliseconds of
    /// CLOCK_MONOTONIC.
    pub isolated_until_ms: u64,
}

/// What control knows of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeshReplica {
    /// The node.
    pub node_id: u64,
    /// The view it is in.
    pub view: u64,
    /// The last sequence number it is known to have committed.
    pub sequence: u64,
    /// A number that control gives a meaning.
    pub state: u64,
    /// Messages whose signature did not hold.
    pub bad_signatures: u64,
    /// Pairs of messages that contradict each other.
    pub contradictions: u64,
    /// Votes that came after the decision.
    pub late_votes: u64,
}

/// What control says of the mesh. Empty: there is none, and its port needs no guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// The consensus port is to be guarded.
    pub guarded: bool,
    /// Datagrams for it are to come by the punt rings.
    pub by_rings: bool,
    /// Who is known.
    pub peers: Vec<MeshPeer>,
    /// Who votes.
    pub replicas: Vec<MeshReplica>,
}

/// What came from one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardedPeer {
    /// The node.
    pub node_id: u64,
    /// Datagrams, dropped ones too.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Dropped: not QUIC.
    pub dropped_shape: u64,
    /// Dropped: more than its rate.
    pub dropped_rate: u64,
    /// Dropped: isolated.
    pub dropped_isolated: u64,
}

/// What the guard of the consensus port has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardReport {
    /// It stands: the program is loaded and gets the port's datagrams.
    pub active: bool,
    /// What became of datagrams, in the order of [`GUARD_OUTCOME_NAMES`].
    pub outcomes: [u64; GUARD_OUTCOMES],
    /// By peer.
    pub peers: Vec<GuardedPeer>,
}

/// Names of [`GuardReport::outcomes`]: whether the datagram was passed, and from whom or why not.
pub const GUARD_OUTCOME_NAMES: [(bool, &str); GUARD_OUTCOMES] = [
    (true, "peer"),
    (true, "initial"),
    (true, "newcomer"),
    (false, "shape"),
    (false, "rate"),
    (false, "isolated"),
    (false, "stranger"),
    (false, "initial_rate"),
];

/// Control's pen.
#[derive(Debug)]
pub struct MeshWriter {
    block: Mapped<MeshBlock>,
    tenure: Tenure,
    _claim: Arc<Claim>,
}

impl MeshWriter {
    pub(crate) fn new(block: Mapped<MeshBlock>, tenure: Tenure, claim: Arc<Claim>) -> Self {
        Self {
            block,
            tenure,
            _claim: claim,
        }
    }

    /// Says all of `mesh` at once. Nothing is said once another control has taken over.
    pub fn write(&mut self, mesh: &Mesh) {
        if !self.tenure.holds() {
            return;
        }
        let block = &*self.block;
        let flags = if mesh.guarded { FLAG_GUARDED } else { 0 }
            | if mesh.by_rings { FLAG_BY_RINGS } else { 0 };
        seqlock::write(&block.sequence, |_| {
            block.flags.store(flags, Ordering::Relaxed);
            store_rows(
                &block.peers,
                &block.peers_count,
                &mesh.peers,
                MeshPeer::words,
            );
            store_rows(
                &block.replicas,
                &block.replicas_count,
                &mesh.replicas,
                MeshReplica::words,
            );
        });
    }
}

/// The dataplane's pen.
#[derive(Debug)]
pub struct GuardWriter {
    block: Mapped<GuardBlock>,
    _claim: Arc<Claim>,
}

impl GuardWriter {
    pub(crate) fn new(block: Mapped<GuardBlock>, claim: Arc<Claim>) -> Self {
        Self {
            block,
            _claim: claim,
        }
    }

    /// Says all of `report` at once.
    pub fn write(&mut self, report: &GuardReport) {
        let block = &*self.block;
        seqlock::write(&block.sequence, |_| {
            let flags = if report.active { FLAG_ACTIVE } else { 0 };
            block.flags.store(flags, Ordering::Relaxed);
            for (word, value) in block.outcomes.iter().zip(report.outcomes) {
                word.store(value, Ordering::Relaxed);
            }
            store_rows(
                &block.counts,
                &block.counts_count,
                &report.peers,
                GuardedPeer::words,
            );
        });
    }
}

/// The number that changes with each [`MeshWriter::write`].
pub(crate) fn mesh_version(block: &MeshBlock) -> u64 {
    block.sequence.load(Ordering::Acquire)
}

/// None while it is being written, or was left half-written. Lines without an endpoint are skipped.
pub(crate) fn read_mesh(block: &MeshBlock) -> Option<Mesh> {
    seqlock::read(&block.sequence, || {
        let flags = block.flags.load(Ordering::Relaxed);
        let peers = load_rows(&block.peers, &block.peers_count);
        let replicas = load_rows(&block.replicas, &block.replicas_count);
        Mesh {
            guarded: flags & FLAG_GUARDED != 0,
            by_rings: flags & FLAG_BY_RINGS != 0,
            peers: peers.filter_map(MeshPeer::from_words).collect(),
            replicas: replicas.map(MeshReplica::from_words).collect(),
        }
    })
}

/// None while it is being written.
pub(crate) fn read_guard(block: &GuardBlock) -> Option<GuardReport> {
    seqlock::read(&block.sequence, || {
        let mut outcomes = [0; GUARD_OUTCOMES];
        for (value, word) in outcomes.iter_mut().zip(&block.outcomes) {
            *value = word.load(Ordering::Relaxed);
        }
        GuardReport {
            active: block.flags.load(Ordering::Relaxed) & FLAG_ACTIVE != 0,
            outcomes,
            peers: load_rows(&block.counts, &block.counts_count)
                .map(GuardedPeer::from_words)
                .collect(),
        }
    })
}

fn store_rows<T, const WORDS: usize>(
    rows: &Rows<WORDS>,
    count: &AtomicU64,
    values: &[T],
    words: impl Fn(&T) -> [u64; WORDS],
) {
    for (row, value) in rows.iter().zip(values) {
        for (word, value) in row.iter().zip(words(value)) {
            word.store(value, Ordering::Relaxed);
        }
    }
    let stored = values.len().min(MESH_PEERS_MAX);
    count.store(stored as u64, Ordering::Relaxed);
}

fn load_rows<'a, const WORDS: usize>(
    rows: &'a Rows<WORDS>,
    count: &AtomicU64,
) -> impl Iterator<Item = [u64; WORDS]> + use<'a, WORDS> {
    let count = usize::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
    rows.iter().take(count).map(|row| {
        let mut words = [0; WORDS];
        for (value, word) in words.iter_mut().zip(row) {
            *value = word.load(Ordering::Relaxed);
        }
        words
    })
}

impl MeshPeer {
    fn words(&self) -> [u64; PEER_WORDS] {
        let octets = match self.endpoint.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let [high, low] = halves(octets);
        let port = u64::from(self.endpoint.port());
        [high, low, port, self.node_id, self.isolated_until_ms]
    }

    /// None where there is no port. An IPv4-mapped address is the IPv4 address.
    fn from_words(
        [high, low, port, node_id, isolated_until_ms]: [u64; PEER_WORDS],
    ) -> Option<Self> {
        let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        Some(Self {
            node_id,
            endpoint: SocketAddr::new(address.to_canonical(), port),
            isolated_until_ms,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of 128 bits"
)]
fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

impl MeshReplica {
    fn words(&self) -> [u64; REPLICA_WORDS] {
        [
            self.node_id,
            self.view,
            self.sequence,
            self.state,
            self.bad_signatures,
            self.contradictions,
            self.late_votes,
        ]
    }

    fn from_words(words: [u64; REPLICA_WORDS]) -> Self {
        let [
            node_id,
            view,
            sequence,
            state,
            bad_signatures,
            contradictions,
            late_votes,
        ] = words;
        Self {
            node_id,
            view,
            sequence,
            state,
            bad_signatures,
            contradictions,
            late_votes,
        }
    }
}

impl GuardedPeer {
    fn words(&self) -> [u64; COUNT_WORDS] {
        [
            self.node_id,
            self.packets,
            self.bytes,
            self.dropped_shape,
            self.dropped_rate,
            self.dropped_isolated,
        ]
    }

    fn from_words(words: [u64; COUNT_WORDS]) -> Self {
        let [
            node_id,
            packets,
            bytes,
            dropped_shape,
            dropped_rate,
            dropped_isolated,
        ] = words;
        Self {
            node_id,
            packets,
            bytes,
            dropped_shape,
            dropped_rate,
            dropped_isolated,
        }
    }
}
