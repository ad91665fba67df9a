//! The way from whoever keeps the mesh to the dataplane: who the peers are, for the guard of the
//! consensus port, and a socket whose datagrams take the workers' rings.
//!
//! Anybody may speak from any thread; the front thread, which owns the shared memory, passes on the
//! latest, and again to each new dataplane.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use exchange::{Mesh, MeshPeer, MeshReplica, MeshWriter};

use crate::bell::Bell;
use crate::counters::Counters;
use crate::mesh_rings::MeshRings;
use crate::mesh_socket::MeshSocket;

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct MeshLink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    said: ArcSwap<Mesh>,
    /// Raised whenever something changed.
    version: AtomicU64,
    rings: MeshRings,
}

impl MeshLink {
    /// `bell` wakes the front thread.
    pub(crate) fn new(bell: Arc<Bell>, counters: Arc<Counters>) -> Self {
        Self(Arc::new(Shared {
            said: ArcSwap::default(),
            version: AtomicU64::new(0),
            rings: MeshRings::new(bell, counters),
        }))
    }

    /// A socket for [`quinn::Endpoint::new_with_abstract_socket`] over `kernel`, which is bound to
    /// `dataplane.ports.consensus`. Call it where a tokio runtime runs. While it lives and a
    /// dataplane guards the port ([`MeshLink::say`]), the port's datagrams come by the rings.
    ///
    /// # Errors
    /// The kernel socket cannot be used.
    pub fn socket(&self, kernel: std::net::UdpSocket) -> io::Result<Arc<MeshSocket>> {
        MeshSocket::new(kernel, self.clone()).map(Arc::new)
    }

    pub(crate) fn open(&self) {
        self.0.rings.open();
        self.0.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.0.rings.close();
        self.0.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn rings(&self) -> &MeshRings {
        &self.0.rings
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.0.rings.counters()
    }

    /// Tells the guard all that there is to know from now on: the endpoints of all peers, also those
    /// of newcomers that have shown who they are, and what is known of replicas. At most
    /// [`exchange::MESH_PEERS_MAX`] of each count. Takes effect within about 100 ms.
    ///
    /// From the first call on the consensus port is guarded: strangers get no further than the
    /// handshake. `None` ends that.
    pub fn say(&self, known: Option<(Vec<MeshPeer>, Vec<MeshReplica>)>) {
        let mesh = known.map_or_else(Mesh::default, |(peers, replicas)| Mesh {
            guarded: true,
            by_rings: false,
            peers,
            replicas,
        });
        if **self.0.said.load() != mesh {
            self.0.said.store(Arc::new(mesh));
            self.0.version.fetch_add(1, Ordering::Release);
        }
    }
}

/// What one dataplane has been told.
#[derive(Debug)]
pub(crate) struct Telling {
    link: MeshLink,
    writer: MeshWriter,
    told: u64,
}

impl Telling {
    /// Tells a new dataplane at once: another control may have told it something else.
    pub(crate) fn begin(link: &MeshLink, writer: MeshWriter) -> Self {
        let mut telling = Self {
            link: link.clone(),
            writer,
            told: u64::MAX,
        };
        telling.go_on();
        telling
    }

    /// Tells what is new.
    pub(crate) fn go_on(&mut self) {
        let version = self.link.0.version.load(Ordering::Acquire);
        if version != self.told {
            self.told = version;
            let mut mesh = Mesh::clone(&self.link.0.said.load());
            mesh.by_rings = self.link.rings().is_open();
            self.writer.write(&mesh);
        }
    }
}

#[cfg(test)]
mod tests {
    use exchange::{Region, RegionConfig};

    use super::*;

    fn peer(node_id: u64) -> MeshPeer {
        MeshPeer {
            node_id,
            endpoint: ([192, 0, 2, 1], 4853).into(),
            isolated_until_ms: 0,
        }
    }

    #[test]
    fn dataplane_is_told_what_was_said_before_and_after_it_came_and_forgets_the_control_before() {
        let region = Region::create(&RegionConfig::default()).unwrap();
        let first = region.attach_control().unwrap();
        let mut writer = first.control(1).unwrap().mesh;
        writer.write(&Mesh {
            guarded: true,
            ..Mesh::default()
        });
        drop(writer);

        let link = MeshLink::new(Arc::new(Bell::new().unwrap()), Arc::default());
        let second = region.attach_control().unwrap();
        let mut telling = Telling::begin(&link, second.control(2).unwrap().mesh);
        assert_eq!(region.mesh(), Some(Mesh::default()));

        link.say(Some((vec![peer(1)], Vec::new())));
        telling.go_on();
        let mesh = region.mesh().unwrap();
        assert!(mesh.guarded);
        assert_eq!(mesh.peers, [peer(1)]);

        let version = region.mesh_version();
        link.say(Some((vec![peer(1)], Vec::new())));
        telling.go_on();
        assert_eq!(region.mesh_version(), version, "nothing new");

        link.say(None);
        telling.go_on();
        assert_eq!(region.mesh(), Some(Mesh::default()));
    }
}
