//! The replica's way out: who the voters and the followers are, and the network that reaches them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use consensus::{Configuration, Message, NodeId};

use crate::mesh::driver::Outbox;
use crate::mesh::network::Network;

/// Sends over QUIC.
#[derive(Debug)]
pub(super) struct NetworkOutbox {
    network: Arc<Network>,
    audience: ArcSwap<Audience>,
}

#[derive(Debug)]
struct Audience {
    voters: Vec<NodeId>,
    followers: Vec<NodeId>,
}

impl Audience {
    fn of(configuration: &Configuration) -> Self {
        let followers = configuration.ids();
        Self {
            voters: configuration.voters().collect(),
            followers: followers.filter(|id| !configuration.is_voter(*id)).collect(),
        }
    }
}

impl NetworkOutbox {
    pub(super) fn new(network: Arc<Network>, configuration: &Configuration) -> Self {
        Self {
            network,
            audience: ArcSwap::from_pointee(Audience::of(configuration)),
        }
    }
}

impl Outbox for NetworkOutbox {
    fn send(&self, to: NodeId, message: &Arc<Message>) {
        self.network.send(to, message);
    }

    fn broadcast(&self, message: &Arc<Message>) {
        self.network.broadcast(&self.audience.load().voters, message);
    }

    fn announce(&self, message: &Arc<Message>) {
        self.network.broadcast(&self.audience.load().followers, message);
    }

    fn configure(&self, configuration: &Configuration) {
        self.audience.store(Arc::new(Audience::of(configuration)));
        self.network.set_members(configuration);
    }
}
