//! The network as the way out of a replica's driver.

use std::sync::Arc;

use consensus::{Configuration, Horizon, Message, NodeId, PublicKey};

use super::Network;
use super::driver::Outbox;

impl Outbox for Network {
    fn send(&self, to: NodeId, message: &Arc<Message>) {
        Self::send(self, to, message);
    }

    fn broadcast(&self, message: &Arc<Message>) {
        Self::broadcast(self, &self.ids(true), message);
    }

    fn announce(&self, message: &Arc<Message>) {
        Self::broadcast(self, &self.ids(false), message);
    }

    fn remember(&self, keys: &[PublicKey]) {
        self.remember_former(keys);
    }

    fn configure(&self, configuration: &Configuration) {
        self.set_members(configuration);
    }

    fn stand(&self, horizon: Horizon) {
        self.set_horizon(horizon);
    }
}
