//! What is known of each server: round-trip time, faults, and what it cannot do.

use std::net::SocketAddr;

use super::bounded::{BoundedMap, HashKeys};
use super::cookie::{ClientCookie, ServerCookie};
use super::message::Transport;
use super::name::WireName;

/// Wait for a server that was never measured, in milliseconds.
const TIMEOUT_UNKNOWN_MS: u32 = 400;
/// Shortest wait, in milliseconds: servers and kernels hiccup.
const TIMEOUT_MS_MIN: u32 = 100;
/// Longest wait, in milliseconds.
const TIMEOUT_MS_MAX: u32 = 1_500;
/// Shortest wait over TCP, in milliseconds: hand-shake, query, and lost segments.
const TIMEOUT_TCP_MS_MIN: u32 = 1_000;
/// Longest wait over TCP, in milliseconds.
const TIMEOUT_TCP_MS_MAX: u32 = 3_000;
/// Rank of a server that was never measured: it is tried before slow ones, after fast ones.
const COST_UNKNOWN_MS: u32 = 120;
/// Added to the rank of a server that answered badly for a zone.
const COST_LAME_MS: u32 = 20_000;
/// Failures in a row after which a server counts as down.
const DOWN_FAILURES: u8 = 4;
/// First and longest pause of a server that is down, in milliseconds.
const PAUSE_MS_MIN: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 30_000;
/// How long it is remembered that a server does not understand EDNS, or folds case.
const HABIT_MS: u64 = 900_000;
/// How long a server that gave a cookie is expected to give one: as long as those of RFC 9018 are good.
const COOKIE_MS: u64 = 3_600_000;
/// How long a server counts as lame for a zone.
const LAME_MS: u64 = 300_000;

/// How to treat a server now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Rank: expected milliseconds until an answer.
    pub(super) cost_ms: u32,
    /// How long to wait over UDP.
    pub(super) timeout_ms: u32,
    /// False while it is down and not due for a probe.
    pub(super) usable: bool,
    /// False while so many messages to it are in flight that no more may be.
    pub(super) has_room: bool,
    /// Whether it has answered since it last failed.
    pub(super) is_proven: bool,
    /// Whether it is known to choke on EDNS.
    pub(super) without_edns: bool,
    /// Whether it was last reached by leaving cookies out.
    pub(super) without_cookies: bool,
    /// Whether it is known to answer in other case.
    pub(super) folds_case: bool,
}

/// How many messages may be in flight to one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// That has answered since it last failed.
    pub(super) proven: usize,
    /// That has not.
    pub(super) unproven: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Server {
    /// Smoothed round-trip time in eighths, and its deviation in quarters of milliseconds
    /// (RFC 6298 §2, as in TCP); both mean nothing before `measured`.
    rtt_eighths: u32,
    deviation_quarters: u32,
    measured: bool,
    /// Failures since the last reply.
    failures: u8,
    /// No use before this, except for the probe that is due then.
    paused_until_ms: u64,
    in_flight: u16,
    /// It has answered since it last failed.
    proven: bool,
    without_edns_until_ms: u64,
    folds_case_until_ms: u64,
    without_cookies_until_ms: u64,
    /// Its cookie for a client cookie of ours, and until when it is expected to give one.
    cookie: Option<(ClientCookie, ServerCookie)>,
    cookie_until_ms: u64,
}

impl Server {
    fn estimate_ms(&self) -> u32 {
        self.rtt_eighths / 8 + self.deviation_quarters
    }

    fn measure(&mut self, rtt_ms: u32) {
        let rtt_ms = rtt_ms.min(60_000);
        if !self.measured {
            (self.measured, self.rtt_eighths, self.deviation_quarters) =
                (true, rtt_ms * 8, rtt_ms * 2);
            return;
        }
        let difference = rtt_ms.abs_diff(self.rtt_eighths / 8);
        self.deviation_quarters =
            self.deviation_quarters - self.deviation_quarters / 4 + difference;
        self.rtt_eighths = self.rtt_eighths - self.rtt_eighths / 8 + rtt_ms;
    }
}

/// How long to wait for a whole TCP exchange with a server that is waited for this long over UDP.
pub(super) fn tcp_timeout_ms(timeout_ms: u32) -> u32 {
    timeout_ms
        .saturating_mul(3)
        .clamp(TIMEOUT_TCP_MS_MIN, TIMEOUT_TCP_MS_MAX)
}

/// All servers met lately.
pub(super) struct Servers {
    known: BoundedMap<SocketAddr, Server>,
    /// Servers that do not serve a zone although it names them, and until when that is believed.
    lame: BoundedMap<(SocketAddr, WireName), u64>,
}

impl Servers {
    pub(super) fn new(servers_max: usize, keys: HashKeys) -> Self {
        let (known, lame) = (
            BoundedMap::new(servers_max, keys),
            BoundedMap::new(servers_max, keys),
        );
        Self { known, lame }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn standing(
        &mut self,
        now_ms: u64,
        address: SocketAddr,
        zone: &WireName,
        room: Room,
    ) -> Standing {
        let server = self.known.get(&address).copied().unwrap_or_default();
        let (mut cost_ms, base_ms) = if server.measured {
            (
                server.estimate_ms(),
                server.estimate_ms().max(TIMEOUT_MS_MIN),
            )
        } else {
            (COST_UNKNOWN_MS, TIMEOUT_UNKNOWN_MS)
        };
        let shift = u32::from(server.failures.min(4));
        if server.failures > 0 {
            cost_ms = cost_ms.max(COST_UNKNOWN_MS) << shift;
        }
        if self
            .lame
            .get(&(address, zone.clone()))
            .is_some_and(|until_ms| now_ms < *until_ms)
        {
            cost_ms += COST_LAME_MS;
        }
        let down = server.failures >= DOWN_FAILURES;
        let in_flight_max = if server.proven {
            room.proven
        } else {
            room.unproven
        };
        Standing {
            cost_ms,
            timeout_ms: (base_ms << shift).min(TIMEOUT_MS_MAX),
            usable: !down || (server.in_flight == 0 && now_ms >= server.paused_until_ms),
            has_room: usize::from(server.in_flight) < in_flight_max,
            is_proven: server.proven,
            without_edns: now_ms < server.without_edns_until_ms,
            without_cookies: now_ms < server.without_cookies_until_ms,
            folds_case: now_ms < server.folds_case_until_ms,
        }
    }

    /// Whether a server counts as up, and its smoothed round-trip time in microseconds, if measured.
    pub(super) fn health(&self, address: SocketAddr) -> (bool, Option<u64>) {
        let server = self.known.peek(&address).copied().unwrap_or_default();
        let rtt_us = u64::from(server.rtt_eighths) * 1_000 / 8;
        let is_up = server.failures < DOWN_FAILURES;
        (is_up, server.measured.then_some(rtt_us))
    }

    /// Messages to it that are in flight.
    pub(super) fn in_flight(&self, address: SocketAddr) -> u16 {
        self.known
            .peek(&address)
            .map_or(0, |server| server.in_flight)
    }

    /// Whether it has answered since it last failed.
    pub(super) fn is_proven(&self, address: SocketAddr) -> bool {
        self.known
            .peek(&address)
            .is_some_and(|server| server.proven)
    }

    /// Whether it failed so often that only probes are sent.
    pub(super) fn is_down(&self, address: SocketAddr) -> bool {
        let server = self.known.peek(&address);
        server.is_some_and(|server| server.failures >= DOWN_FAILURES)
    }

    pub(super) fn on_send(&mut self, address: SocketAddr) {
        let server = self.entry(address);
        server.in_flight = server.in_flight.saturating_add(1);
    }

    /// A reply came, good or bad: the server lives. `rtt_ms` is `None` if it says nothing of the
    /// path (TCP).
    pub(super) fn on_reply(&mut self, address: SocketAddr, rtt_ms: Option<u32>) {
        let server = self.entry(address);
        server.in_flight = server.in_flight.saturating_sub(1);
        server.failures = 0;
        server.proven = true;
        server.paused_until_ms = 0;
        if let Some(rtt_ms) = rtt_ms {
            server.measure(rtt_ms);
        }
    }

    /// Nothing came, or the network refused. Over TCP that counts only against a server that is
    /// silent over UDP too: many have no TCP.
    pub(super) fn on_failure(&mut self, now_ms: u64, address: SocketAddr, transport: Transport) {
        let server = self.entry(address);
        server.in_flight = server.in_flight.saturating_sub(1);
        if transport == Transport::Tcp && server.failures == 0 {
            return;
        }
        server.failures = server.failures.saturating_add(1);
        server.proven = false;
        if let Some(beyond) = server.failures.checked_sub(DOWN_FAILURES) {
            let pause_ms = (PAUSE_MS_MIN << beyond.min(8)).min(PAUSE_MS_MAX);
            server.paused_until_ms = now_ms + pause_ms;
        }
    }

    /// The exchange ended for reasons that say nothing of the server.
    pub(super) fn on_abandoned(&mut self, address: SocketAddr) {
        let server = self.entry(address);
        server.in_flight = server.in_flight.saturating_sub(1);
    }

    /// It answered a query without EDNS. That is not prolonged, so that it is tried again with.
    pub(super) fn note_without_edns(&mut self, now_ms: u64, address: SocketAddr) {
        let until_ms = &mut self.entry(address).without_edns_until_ms;
        if *until_ms <= now_ms {
            *until_ms = now_ms + HABIT_MS;
        }
    }

    /// It folded the case of a name, and nobody can have forged that.
    pub(super) fn note_folds_case(&mut self, now_ms: u64, address: SocketAddr) {
        self.entry(address).folds_case_until_ms = now_ms + HABIT_MS;
    }

    /// What the server gave for this client cookie.
    pub(super) fn cookie(
        &self,
        now_ms: u64,
        address: SocketAddr,
        client: ClientCookie,
    ) -> Option<ServerCookie> {
        let server = self.known.peek(&address)?;
        let (given_for, cookie) = server.cookie?;
        (given_for == client && now_ms < server.cookie_until_ms).then_some(cookie)
    }

    pub(super) fn note_cookie(
        &mut self,
        now_ms: u64,
        address: SocketAddr,
        cookie: (ClientCookie, ServerCookie),
    ) {
        let server = self.entry(address);
        (server.cookie, server.cookie_until_ms) = (Some(cookie), now_ms + COOKIE_MS);
    }

    pub(super) fn forget_cookie(&mut self, address: SocketAddr) {
        self.entry(address).cookie = None;
    }

    /// It answered a query without a cookie, after one with. That may have been lost; then it has no
    /// cookies for a while for nothing. Not prolonged, so that it is tried again with.
    pub(super) fn note_without_cookies(&mut self, now_ms: u64, address: SocketAddr) {
        let until_ms = &mut self.entry(address).without_cookies_until_ms;
        if *until_ms <= now_ms {
            *until_ms = now_ms + HABIT_MS;
        }
    }

    pub(super) fn note_lame(&mut self, now_ms: u64, address: SocketAddr, zone: &WireName) {
        self.lame
            .insert((address, zone.clone()), now_ms + LAME_MS, 1);
    }

    /// The server answers for this zone after all.
    pub(super) fn note_sound(&mut self, address: SocketAddr, zone: &WireName) {
        self.lame.remove(&(address, zone.clone()));
    }

    fn entry(&mut self, address: SocketAddr) -> &mut Server {
        if self.known.peek(&address).is_none() {
            self.known.insert(address, Server::default(), 1);
        }
        self.known
            .get(&address)
            .expect("just inserted, and the bound is not zero")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

    const ROOM: Room = Room {
        proven: 2,
        unproven: 1,
    };

    fn servers() -> Servers {
        Servers::new(8, HashKeys(1, 2))
    }

    fn standing(servers: &mut Servers, now_ms: u64) -> Standing {
        servers.standing(now_ms, ADDRESS, &WireName::root(), ROOM)
    }

    #[test]
    fn measured_server_is_waited_for_according_to_its_round_trip_time() {
        let mut servers = servers();
        assert_eq!(standing(&mut servers, 0).timeout_ms, TIMEOUT_UNKNOWN_MS);
        for _ in 0..40 {
            servers.on_send(ADDRESS);
            servers.on_reply(ADDRESS, Some(200));
        }
        let standing = standing(&mut servers, 0);
        assert!((200..300).contains(&standing.timeout_ms), "{standing:?}");
        assert!((200..300).contains(&standing.cost_ms), "{standing:?}");
    }

    #[test]
    fn server_that_fails_four_times_is_paused_then_probed_once_at_a_time() {
        let mut servers = servers();
        for _ in 0..4 {
            servers.on_send(ADDRESS);
            servers.on_failure(1_000, ADDRESS, Transport::Udp);
        }
        assert!(!standing(&mut servers, 1_999).usable);
        assert!(standing(&mut servers, 2_000).usable, "a probe is due");
        servers.on_send(ADDRESS);
        assert!(!standing(&mut servers, 2_000).usable, "one probe at a time");
        servers.on_failure(2_400, ADDRESS, Transport::Udp);
        assert!(!standing(&mut servers, 4_399).usable, "the pause doubled");
        assert!(standing(&mut servers, 4_400).usable);
        servers.on_send(ADDRESS);
        servers.on_reply(ADDRESS, Some(5));
        servers.on_send(ADDRESS);
        assert!(standing(&mut servers, 4_500).usable, "it lives");
    }

    #[test]
    fn failure_over_tcp_counts_only_against_a_server_that_is_silent_anyway() {
        let mut servers = servers();
        for _ in 0..9 {
            servers.on_send(ADDRESS);
            servers.on_failure(0, ADDRESS, Transport::Tcp);
        }
        assert!(standing(&mut servers, 0).usable);
        for transport in [
            Transport::Udp,
            Transport::Tcp,
            Transport::Tcp,
            Transport::Tcp,
        ] {
            servers.on_send(ADDRESS);
            servers.on_failure(0, ADDRESS, transport);
        }
        assert!(!standing(&mut servers, 0).usable);
    }

    #[test]
    fn health_follows_replies_and_failures() {
        let mut servers = servers();
        assert_eq!(servers.health(ADDRESS), (true, None));
        servers.on_send(ADDRESS);
        servers.on_reply(ADDRESS, Some(20));
        assert_eq!(servers.health(ADDRESS), (true, Some(20_000)));
        for _ in 0..4 {
            servers.on_send(ADDRESS);
            servers.on_failure(0, ADDRESS, Transport::Udp);
        }
        assert_eq!(servers.health(ADDRESS), (false, Some(20_000)));
        servers.on_send(ADDRESS);
        servers.on_reply(ADDRESS, Some(20));
        assert_eq!(servers.health(ADDRESS), (true, Some(20_000)));
    }

    #[test]
    fn pause_never_exceeds_its_bound() {
        let mut servers = servers();
        for _ in 0..300 {
            servers.on_send(ADDRESS);
            servers.on_failure(0, ADDRESS, Transport::Udp);
        }
        assert!(standing(&mut servers, PAUSE_MS_MAX).usable);
    }

    #[test]
    fn lame_server_ranks_last_for_that_zone_alone_until_it_expires() {
        let mut servers = servers();
        let com = WireName::parse(b"\x03com\x00").unwrap();
        servers.note_lame(0, ADDRESS, &com);
        assert!(servers.standing(0, ADDRESS, &com, ROOM).cost_ms > COST_LAME_MS);
        assert_eq!(standing(&mut servers, 0).cost_ms, COST_UNKNOWN_MS);
        assert_eq!(
            servers.standing(LAME_MS, ADDRESS, &com, ROOM).cost_ms,
            COST_UNKNOWN_MS
        );
    }

    #[test]
    fn server_that_has_not_answered_since_it_failed_has_less_room() {
        let mut servers = servers();
        let has_room = |servers: &mut Servers| standing(servers, 0).has_room;
        assert!(has_room(&mut servers));
        servers.on_send(ADDRESS);
        assert!(!has_room(&mut servers));
        servers.on_reply(ADDRESS, Some(1));
        servers.on_send(ADDRESS);
        assert!(has_room(&mut servers), "it lives");
        servers.on_send(ADDRESS);
        assert!(!has_room(&mut servers));
        servers.on_failure(0, ADDRESS, Transport::Udp);
        assert!(!has_room(&mut servers), "it may not live");
    }

    #[test]
    fn memory_of_servers_is_bounded() {
        let mut servers = servers();
        for port in 0..1_000 {
            servers.on_send(SocketAddr::new(ADDRESS.ip(), port));
        }
        assert_eq!(servers.len(), 8);
    }
}
