//! Counts TCP connections, so that neither one client nor all of them together take too many.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clients::{Holdings, client_of};
use crate::counters::Counters;

/// What one IPv6 host has for the taking.
const CLIENT_IPV6_BITS: u32 = 64;

/// Limits and present numbers.
#[derive(Debug)]
pub(crate) struct Connections {
    connections_max: usize,
    per_client_max: usize,
    open: Mutex<Open>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: Holdings,
}

impl Connections {
    pub(crate) fn new(
        connections_max: usize,
        per_client_max: usize,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            connections_max,
            per_client_max,
            open: Mutex::default(),
            counters,
        }
    }

    /// A place for one connection of `client`, given back on drop; `None` if there is none.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = client_of(client, CLIENT_IPV6_BITS);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.connections_max || open.by_client.of(client) >= self.per_client_max {
            self.counters.tcp_refused.increment();
            return None;
        }
        open.total += 1;
        open.by_client.take(client);
        self.counters.tcp_accepted.increment();
        self.counters.tcp_open.set(open.total as u64);
        Some(Place {
            connections: Arc::clone(self),
            client,
        })
    }

    fn release(&self, client: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        open.by_client.give_back(client);
        self.counters.tcp_open.set(open.total as u64);
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.release(self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_limits_hold_and_a_place_given_back_can_be_taken_again() {
        let counters = Arc::new(Counters::default());
        let connections = Arc::new(Connections::new(3, 2, Arc::clone(&counters)));
        let first = connections.admit(address("192.0.2.1"));
        let second = connections.admit(address("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(connections.admit(address("192.0.2.1")).is_none());
        let third = connections.admit(address("192.0.2.2"));
        assert!(third.is_some());
        assert!(connections.admit(address("192.0.2.3")).is_none());
        drop(second);
        assert!(connections.admit(address("192.0.2.1")).is_some());
        assert_eq!(counters.tcp_refused.get(), 2);
        drop((first, third));
        assert_eq!(counters.tcp_open.get(), 0);
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let connections = Arc::new(Connections::new(9, 1, Arc::default()));
        let place = connections.admit(address("2001:db8::1"));
        assert!(place.is_some());
        assert!(connections.admit(address("2001:db8::2")).is_none());
        assert!(connections.admit(address("2001:db8:0:1::1")).is_some());
    }
}
