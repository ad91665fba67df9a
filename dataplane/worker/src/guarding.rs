//! Keeps the guard of the consensus port as control says: who the peers are, who is isolated, and
//! whether the port's datagrams come to the workers.
//!
//! Control cannot write BPF maps, so it says what it wants in the shared memory, and the main thread
//! looks there. Whatever fails here leaves the port unguarded, and queries alone.

use std::net::IpAddr;

use bpf_redirect::{ConsensusCoord, DnsFilter, MapError, Peer, Rate, ReplicaState, Rules};
use config::Dataplane;
use exchange::{GuardReport, GuardedPeer, Mesh, Region};

/// How long a stranger that began to shake hands may take; until then control lists it, or not.
const NEWCOMER_SECS: u32 = 10;
/// Packets that it may send meanwhile: certificates, and the first requests.
const NEWCOMER_PACKETS: u32 = 64;

const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// `consensus_coord`, loaded behind the steering program.
#[derive(Debug)]
pub struct Guarding {
    coord: ConsensusCoord,
    rules: Rules,
    /// What control said when it was last heeded.
    heeded: Option<u64>,
    stands: bool,
}

impl Guarding {
    /// Loads the program, unless the configuration says otherwise. A kernel that refuses it is no
    /// reason to serve no queries.
    pub fn load(filter: &DnsFilter, dataplane: &Dataplane) -> Option<Self> {
        let limits = &dataplane.consensus_guard;
        if !limits.enabled {
            return None;
        }
        let coord = match ConsensusCoord::load(filter) {
            Ok(coord) => coord,
            Err(error) => {
                tracing::warn!(%error, "the consensus port will not be guarded");
                return None;
            }
        };
        Some(Self {
            coord,
            rules: Rules {
                port: dataplane.ports.consensus,
                steers: false,
                peer: Rate {
                    per_second: limits.peer_packets_per_second,
                    burst: limits.peer_burst,
                },
                initial: Rate {
                    per_second: limits.initials_per_second,
                    burst: limits.initials_burst,
                },
                newcomer_secs: NEWCOMER_SECS,
                newcomer_packets: NEWCOMER_PACKETS,
            },
            heeded: None,
            stands: false,
        })
    }

    /// Guards these addresses, if they fit; those before, if not.
    pub fn set_addresses(&mut self, addresses: &[IpAddr]) {
        if let Err(error) = self.coord.set_addresses(addresses) {
            tracing::error!(%error, "the consensus port is not guarded on new addresses");
        }
    }

    /// Does what control says now, if that is something new.
    pub fn follow(&mut self, filter: &mut DnsFilter, region: &Region) {
        let version = region.mesh_version();
        if self.heeded == Some(version) {
            return;
        }
        // What is half-written now is read in the next round.
        let Some(mesh) = region.mesh() else { return };
        self.heeded = Some(version);
        if let Err(error) = self.heed(filter, &mesh) {
            tracing::error!(%error, "the consensus port is not guarded");
            self.stands = false;
            let _ = filter.set_guard(None);
        }
    }

    fn heed(&mut self, filter: &mut DnsFilter, mesh: &Mesh) -> Result<(), MapError> {
        let peers: Vec<Peer> = mesh.peers.iter().map(peer).collect();
        let replicas: Vec<ReplicaState> = mesh.replicas.iter().map(replica).collect();
        self.coord.set_peers(&peers)?;
        self.coord.set_replicas(&replicas)?;
        self.rules.steers = mesh.by_rings;
        self.coord.set_rules(&self.rules)?;
        if mesh.guarded != self.stands {
            filter.set_guard(mesh.guarded.then_some(&self.coord))?;
            self.stands = mesh.guarded;
            let (port, guarded) = (self.rules.port, mesh.guarded);
            tracing::info!(port, guarded, peers = peers.len(), "consensus port");
        }
        Ok(())
    }

    /// What it did so far.
    pub fn report(&self) -> GuardReport {
        let outcomes = self.coord.outcomes().unwrap_or_default();
        GuardReport {
            active: self.stands,
            outcomes: [
                outcomes.passed_peer,
                outcomes.passed_initial,
                outcomes.passed_newcomer,
                outcomes.dropped_shape,
                outcomes.dropped_rate,
                outcomes.dropped_isolated,
                outcomes.dropped_stranger,
                outcomes.dropped_initial_rate,
            ],
            peers: self
                .coord
                .counts()
                .map(|counts| GuardedPeer {
                    node_id: counts.node_id,
                    packets: counts.packets,
                    bytes: counts.bytes,
                    dropped_shape: counts.dropped_shape,
                    dropped_rate: counts.dropped_rate,
                    dropped_isolated: counts.dropped_isolated,
                })
                .collect(),
        }
    }
}

fn peer(said: &exchange::MeshPeer) -> Peer {
    Peer {
        node_id: said.node_id,
        endpoint: said.endpoint,
        isolated_until_ns: said.isolated_until_ms.saturating_mul(NANOSECONDS_PER_MS),
    }
}

fn replica(said: &exchange::MeshReplica) -> ReplicaState {
    ReplicaState {
        node_id: said.node_id,
        view: said.view,
        sequence: said.sequence,
        state: said.state,
        bad_signatures: said.bad_signatures,
        contradictions: said.contradictions,
        late_votes: said.late_votes,
    }
}

#[cfg(test)]
mod tests {
    use bpf_redirect::LoadError;
    use exchange::{MeshPeer, RegionConfig};

    use super::*;

    #[test]
    fn guard_stands_and_falls_with_what_control_says() {
        let mut filter = match DnsFilter::load() {
            Err(LoadError::PermissionDenied) => {
                println!("skipped: needs CAP_BPF and CAP_NET_ADMIN");
                return;
            }
            loaded => loaded.unwrap(),
        };
        let mut guarding = Guarding::load(&filter, &Dataplane::default()).unwrap();
        let region = Region::create(&RegionConfig::default()).unwrap();
        let control_region = region.attach_control().unwrap();
        let mut control = control_region.control(1).unwrap();
        guarding.follow(&mut filter, &region);
        assert_eq!(guarding.report(), GuardReport::default());

        let peer = MeshPeer {
            node_id: 7,
            endpoint: ([192, 0, 2, 1], 4853).into(),
            isolated_until_ms: u64::MAX,
        };
        let mut mesh = Mesh {
            guarded: true,
            peers: vec![peer],
            ..Mesh::default()
        };
        control.mesh.write(&mesh);
        guarding.follow(&mut filter, &region);
        let report = guarding.report();
        assert!(report.active);
        assert_eq!(report.peers.len(), 1);
        assert_eq!(report.peers[0].node_id, 7);

        mesh.guarded = false;
        control.mesh.write(&mesh);
        guarding.follow(&mut filter, &region);
        assert!(!guarding.report().active);
    }

    #[test]
    fn guard_that_is_switched_off_is_not_loaded() {
        let Ok(filter) = DnsFilter::load() else {
            println!("skipped: needs CAP_BPF and CAP_NET_ADMIN");
            return;
        };
        let mut dataplane = Dataplane::default();
        dataplane.consensus_guard.enabled = false;
        assert!(Guarding::load(&filter, &dataplane).is_none());
    }
}
