//! [`Places`]: how many submissions are in flight, of all clients and of each.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::faces::{Faces, Limits};
use super::refusal::Refusal;
use super::server::Client;

/// Hands out places, and takes them back when they are dropped.
#[derive(Debug)]
pub(super) struct Places {
    all_max: usize,
    of_client_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_client: HashMap<IpAddr, usize>,
}

/// One submission in flight.
#[derive(Debug)]
pub(super) struct Place {
    client: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all_max: limits.submissions_max,
            of_client_max: limits.submissions_of_client_max,
            taken: Arc::default(),
        }
    }

    /// A place for a submission of this client.
    pub(super) fn take(&self, client: IpAddr) -> Result<Place, Refusal> {
        let client = network(client);
        let mut taken = lock(&self.taken);
        if taken.all >= self.all_max {
            return Err(Refusal::busy("too many submissions wait"));
        }
        let of_client = taken.of_client.get(&client).copied().unwrap_or(0);
        if of_client >= self.of_client_max {
            return Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                format_args!("{of_client} submissions of {client} wait already"),
            ));
        }
        taken.all += 1;
        taken.of_client.insert(client, of_client + 1);
        let taken = Arc::clone(&self.taken);
        Ok(Place { client, taken })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(of_client) = taken.of_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.of_client.remove(&self.client);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What counts as one client: whoever has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Extracts whose request it is.
#[derive(Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl FromRequestParts<Arc<Faces>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, faces: &Arc<Faces>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Client>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(client)| {
            client.0.ip().to_canonical()
        });
        Ok(Self(client_of(peer, &faces.limits.proxies, &parts.headers)))
    }
}

/// The peer, or whom a proxy that is ours names: last, since what stands before came from outside.
fn client_of(peer: IpAddr, proxies: &[IpAddr], headers: &HeaderMap) -> IpAddr {
    if !proxies.contains(&peer) {
        return peer;
    }
    let named = headers.get_all("x-forwarded-for").iter().next_back();
    let named = named.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let named = named.and_then(|address| address.trim().parse().ok());
    named.unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: usize, of_client: usize) -> Places {
        Places::new(&Limits {
            submissions_max: all,
            submissions_of_client_max: of_client,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_leaves_places_to_others_and_gets_its_own_back() {
        let places = places(3, 2);
        let first = places.take(ip("2001:db8::1")).unwrap();
        let _second = places.take(ip("2001:db8::ffff:1")).unwrap();
        assert!(places.take(ip("2001:db8::2")).is_err(), "the same network");
        let _other = places.take(ip("192.0.2.1")).unwrap();
        assert!(places.take(ip("192.0.2.2")).is_err(), "all are taken");
        drop(first);
        let _again = places.take(ip("2001:db8::2")).unwrap();
        assert_eq!(lock(&places.taken).of_client.len(), 2);
    }

    #[test]
    fn only_a_proxy_of_ours_says_for_whom_it_speaks() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "198.51.100.9".parse().unwrap());
        headers.append("x-forwarded-for", "spoofed, 203.0.113.5".parse().unwrap());
        let proxies = [ip("127.0.0.1")];
        let client = |peer, headers: &HeaderMap| client_of(ip(peer), &proxies, headers);
        assert_eq!(client("127.0.0.1", &headers), ip("203.0.113.5"));
        assert_eq!(client("192.0.2.1", &headers), ip("192.0.2.1"));
        assert_eq!(client("127.0.0.1", &HeaderMap::new()), ip("127.0.0.1"));
    }
}
