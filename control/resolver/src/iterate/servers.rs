//! What is known of each server: round-trip time, faults, and what it cannot do.
//!
//! Silence is held against a server only for the zone and the kind of type that it was asked for:
//! whoever can make a server ignore a query (by a delegation of a foreign zone to it, by a type that
//! its firewall drops) must not take its own zones away with that.

use std::net::SocketAddr;

use hickory_proto::rr::RecordType;

use super::bounded::{BoundedMap, HashKeys};
use super::cookie::{ClientCookie, ServerCookie};
use super::message::Transport;
use super::name::WireName;

/// Wait for a server that was never measured, in milliseconds; and the shortest for a forwarder, whose
/// round-trip time says nothing of names that it does not know yet.
pub(super) const TIMEOUT_UNKNOWN_MS: u32 = 400;
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
/// Failures in a row after which a server counts as down for what it was asked.
const DOWN_FAILURES: u8 = 4;
/// What one more counts if it was as silent whatever it was asked: many zones of one dead server do
/// not each cost as many messages as the first.
const FAILURE_OF_SILENT: u8 = 2;
/// First and longest pause of a server that is down, in milliseconds.
const PAUSE_MS_MIN: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 30_000;
/// How long it is remembered that a server does not understand EDNS, or folds case.
const HABIT_MS: u64 = 900_000;
/// How long a server that gave a cookie is expected to give one: as long as those of RFC 9018 are good.
const COOKIE_MS: u64 = 3_600_000;
/// How long a server counts as lame for a zone.
const LAME_MS: u64 = 300_000;

/// A question to a server, as far as silence may be about that alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) address: SocketAddr,
    /// The zone that it was asked for.
    pub(super) zone: &'a WireName,
    pub(super) rtype: RecordType,
}

/// Kinds of types that fail apart: there are servers that drop queries for types they do not know.
/// What resolution itself needs is not among those that a client can name at will.
const KINDS: usize = 4;

impl Asked<'_> {
    fn kind(&self) -> usize {
        match self.rtype {
            RecordType::A => 0,
            RecordType::AAAA => 1,
            RecordType::NS | RecordType::SOA | RecordType::DS | RecordType::DNSKEY => 2,
            _ => 3,
        }
    }

    fn key(&self) -> (SocketAddr, WireName) {
        (self.address, self.zone.clone())
    }
}

/// How to treat a server now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Rank: expected milliseconds until an answer.
    pub(super) cost_ms: u32,
    /// How long to wait over UDP.
    pub(super) timeout_ms: u32,
    /// False while it is down and not due for a probe.
    pub(super) usable: bool,
    /// Whether it is due for a probe at least if no other server is left.
    pub(super) usable_at_last: bool,
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
    /// Failures since the last reply, whatever it was asked.
    failures: u8,
    /// Whether it is down for what failed last.
    down: bool,
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

/// What is known of a server as one of a zone.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    /// It does not serve the zone although that names it: until when that is believed.
    lame_until_ms: u64,
    silences: [Silence; KINDS],
}

/// Failures for one kind of type since the last reply to such.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    failures: u8,
    /// No use before this, except for the probe that is due then.
    paused_until_ms: u64,
    /// The same if no other server is left.
    paused_at_last_until_ms: u64,
}

impl Silence {
    fn is_down(&self) -> bool {
        self.failures >= DOWN_FAILURES
    }

    fn pause(&mut self, until_ms: u64, at_last_until_ms: u64) {
        (self.paused_until_ms, self.paused_at_last_until_ms) = (until_ms, at_last_until_ms);
    }
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
    /// Those that were lame or silent for a zone.
    services: BoundedMap<(SocketAddr, WireName), Service>,
}

impl Servers {
    pub(super) fn new(servers_max: usize, keys: HashKeys) -> Self {
        let (known, services) = (
            BoundedMap::new(servers_max, keys),
            BoundedMap::new(servers_max, keys),
        );
        Self { known, services }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn standing(&mut self, now_ms: u64, asked: Asked<'_>, room: Room) -> Standing {
        let server = self.known.get(&asked.address).copied().unwrap_or_default();
        let service = self.services.get(&asked.key()).copied().unwrap_or_default();
        let silence = service.silences[asked.kind()];
        let (mut cost_ms, base_ms) = if server.measured {
            (
                server.estimate_ms(),
                server.estimate_ms().max(TIMEOUT_MS_MIN),
            )
        } else {
            (COST_UNKNOWN_MS, TIMEOUT_UNKNOWN_MS)
        };
        let failures = server.failures.max(silence.failures).min(4);
        if failures > 0 {
            cost_ms = cost_ms.max(COST_UNKNOWN_MS) << failures;
        }
        if now_ms < service.lame_until_ms {
            cost_ms += COST_LAME_MS;
        }
        let in_flight_max = if server.proven {
            room.proven
        } else {
            room.unproven
        };
        Standing {
            cost_ms,
            timeout_ms: (base_ms << silence.failures.min(4)).min(TIMEOUT_MS_MAX),
            usable: !silence.is_down() || now_ms >= silence.paused_until_ms,
            usable_at_last: !silence.is_down() || now_ms >= silence.paused_at_last_until_ms,
            has_room: usize::from(server.in_flight) < in_flight_max,
            is_proven: server.proven,
            without_edns: now_ms < server.without_edns_until_ms,
            without_cookies: now_ms < server.without_cookies_until_ms,
            folds_case: now_ms < server.folds_case_until_ms,
        }
    }

    /// Whether a server seems to be up, and its smoothed round-trip time in microseconds, if measured.
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

    /// Whether what it failed to answer last failed so often that only probes are sent for it.
    pub(super) fn is_down(&self, address: SocketAddr) -> bool {
        self.known.peek(&address).is_some_and(|server| server.down)
    }

    pub(super) fn on_send(&mut self, now_ms: u64, asked: Asked<'_>) {
        let server = self.entry(asked.address);
        server.in_flight = server.in_flight.saturating_add(1);
        // One probe at a time.
        if let Some(silence) = self.silence(asked).filter(|silence| silence.is_down()) {
            let until_ms = now_ms + u64::from(TIMEOUT_TCP_MS_MAX);
            silence.pause(until_ms, until_ms);
        }
    }

    /// A reply came, good or bad: the server lives. `rtt_ms` is `None` if it says nothing of the
    /// path (TCP).
    pub(super) fn on_reply(&mut self, asked: Asked<'_>, rtt_ms: Option<u32>) {
        let server = self.entry(asked.address);
        server.in_flight = server.in_flight.saturating_sub(1);
        (server.failures, server.down, server.proven) = (0, false, true);
        if let Some(rtt_ms) = rtt_ms {
            server.measure(rtt_ms);
        }
        if let Some(silence) = self.silence(asked) {
            *silence = Silence::default();
        }
    }

    /// Nothing came, or the network refused. Over TCP that counts only against a server that is
    /// silent over UDP too: many have no TCP.
    pub(super) fn on_failure(&mut self, now_ms: u64, asked: Asked<'_>, transport: Transport) {
        let server = self.entry(asked.address);
        server.in_flight = server.in_flight.saturating_sub(1);
        let is_silent = server.failures >= DOWN_FAILURES;
        let mut service = self.service(asked);
        let silence = &mut service.silences[asked.kind()];
        if transport == Transport::Tcp && silence.failures == 0 {
            return;
        }
        let weight = if is_silent && !silence.is_down() {
            FAILURE_OF_SILENT
        } else {
            1
        };
        silence.failures = silence.failures.saturating_add(weight);
        if let Some(beyond) = silence.failures.checked_sub(DOWN_FAILURES) {
            let pause_ms = (PAUSE_MS_MIN << beyond.min(8)).min(PAUSE_MS_MAX);
            silence.pause(now_ms + pause_ms, now_ms + PAUSE_MS_MIN);
        }
        let down = silence.is_down();
        self.services.insert(asked.key(), service, 1);
        let server = self.entry(asked.address);
        server.failures = server.failures.saturating_add(1);
        (server.down, server.proven) = (down, false);
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

    /// The server does not serve this zone.
    pub(super) fn note_lame(&mut self, now_ms: u64, asked: Asked<'_>) {
        let mut service = self.service(asked);
        service.lame_until_ms = now_ms + LAME_MS;
        self.services.insert(asked.key(), service, 1);
    }

    /// The server answers for this zone after all.
    pub(super) fn note_sound(&mut self, asked: Asked<'_>) {
        if let Some(service) = self.services.get(&asked.key()) {
            service.lame_until_ms = 0;
        }
    }

    fn service(&mut self, asked: Asked<'_>) -> Service {
        self.services.get(&asked.key()).copied().unwrap_or_default()
    }

    fn silence(&mut self, asked: Asked<'_>) -> Option<&mut Silence> {
        let service = self.services.get(&asked.key())?;
        service.silences.get_mut(asked.kind())
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

    fn asked(zone: &WireName, rtype: RecordType) -> Asked<'_> {
        Asked {
            address: ADDRESS,
            zone,
            rtype,
        }
    }

    /// What the tests ask unless it matters.
    fn root(zone: &WireName) -> Asked<'_> {
        asked(zone, RecordType::A)
    }

    fn standing(servers: &mut Servers, now_ms: u64) -> Standing {
        servers.standing(now_ms, root(&WireName::root()), ROOM)
    }

    fn send(servers: &mut Servers, now_ms: u64) {
        servers.on_send(now_ms, root(&WireName::root()));
    }

    fn reply(servers: &mut Servers, rtt_ms: u32) {
        servers.on_reply(root(&WireName::root()), Some(rtt_ms));
    }

    fn fail(servers: &mut Servers, now_ms: u64, transport: Transport) {
        servers.on_failure(now_ms, root(&WireName::root()), transport);
    }

    #[test]
    fn measured_server_is_waited_for_according_to_its_round_trip_time() {
        let mut servers = servers();
        assert_eq!(standing(&mut servers, 0).timeout_ms, TIMEOUT_UNKNOWN_MS);
        for _ in 0..40 {
            send(&mut servers, 0);
            reply(&mut servers, 200);
        }
        let standing = standing(&mut servers, 0);
        assert!((200..300).contains(&standing.timeout_ms), "{standing:?}");
        assert!((200..300).contains(&standing.cost_ms), "{standing:?}");
    }

    #[test]
    fn server_that_fails_four_times_is_paused_then_probed_once_at_a_time() {
        let mut servers = servers();
        for _ in 0..4 {
            send(&mut servers, 0);
            fail(&mut servers, 1_000, Transport::Udp);
        }
        assert!(!standing(&mut servers, 1_999).usable);
        assert!(standing(&mut servers, 2_000).usable, "a probe is due");
        send(&mut servers, 2_000);
        assert!(!standing(&mut servers, 2_000).usable, "one probe at a time");
        fail(&mut servers, 2_400, Transport::Udp);
        assert!(!standing(&mut servers, 4_399).usable, "the pause doubled");
        assert!(standing(&mut servers, 4_400).usable);
        send(&mut servers, 4_400);
        reply(&mut servers, 5);
        send(&mut servers, 0);
        assert!(standing(&mut servers, 4_500).usable, "it lives");
    }

    #[test]
    fn server_that_is_down_is_probed_each_second_if_there_is_no_other() {
        let mut servers = servers();
        for _ in 0..9 {
            fail(&mut servers, 1_000, Transport::Udp);
        }
        assert!(!standing(&mut servers, 1_999).usable_at_last);
        let standing_then = standing(&mut servers, 2_000);
        assert!(!standing_then.usable && standing_then.usable_at_last);
        send(&mut servers, 2_000);
        let standing_then = standing(&mut servers, 2_100);
        assert!(!standing_then.usable_at_last, "one probe at a time");
    }

    #[test]
    fn silence_counts_for_its_zone_and_kind_of_type_alone() {
        let (mut servers, root) = (servers(), WireName::root());
        let com = WireName::parse(b"\x03com\x00").unwrap();
        for _ in 0..4 {
            servers.on_failure(0, asked(&com, RecordType::HTTPS), Transport::Udp);
        }
        let mut usable = |zone, rtype| servers.standing(0, asked(zone, rtype), ROOM).usable;
        assert!(!usable(&com, RecordType::HTTPS));
        assert!(!usable(&com, RecordType::SVCB));
        assert!(usable(&root, RecordType::HTTPS));
        for rtype in [RecordType::A, RecordType::AAAA, RecordType::DNSKEY] {
            assert!(usable(&com, rtype), "{rtype}");
        }
        servers.on_reply(asked(&com, RecordType::A), Some(9));
        let standing = servers.standing(0, asked(&com, RecordType::HTTPS), ROOM);
        assert!(!standing.usable, "it lives, and drops HTTPS all the same");
    }

    #[test]
    fn every_further_zone_of_a_silent_server_costs_less_than_the_first() {
        let (mut servers, root) = (servers(), WireName::root());
        let com = WireName::parse(b"\x03com\x00").unwrap();
        let until_down = |servers: &mut Servers, zone| {
            let asked = asked(zone, RecordType::A);
            let mut failures = 0;
            while servers.standing(0, asked, ROOM).usable {
                servers.on_failure(0, asked, Transport::Udp);
                failures += 1;
            }
            failures
        };
        assert_eq!(until_down(&mut servers, &root), 4);
        assert_eq!(until_down(&mut servers, &com), 2);
    }

    #[test]
    fn failure_over_tcp_counts_only_against_a_server_that_is_silent_anyway() {
        let mut servers = servers();
        for _ in 0..9 {
            send(&mut servers, 0);
            fail(&mut servers, 0, Transport::Tcp);
        }
        assert!(standing(&mut servers, 0).usable);
        for transport in [
            Transport::Udp,
            Transport::Tcp,
            Transport::Tcp,
            Transport::Tcp,
        ] {
            send(&mut servers, 0);
            fail(&mut servers, 0, transport);
        }
        assert!(!standing(&mut servers, 0).usable);
    }

    #[test]
    fn health_follows_replies_and_failures() {
        let mut servers = servers();
        assert_eq!(servers.health(ADDRESS), (true, None));
        send(&mut servers, 0);
        reply(&mut servers, 20);
        assert_eq!(servers.health(ADDRESS), (true, Some(20_000)));
        for _ in 0..4 {
            send(&mut servers, 0);
            fail(&mut servers, 0, Transport::Udp);
        }
        assert_eq!(servers.health(ADDRESS), (false, Some(20_000)));
        send(&mut servers, 0);
        reply(&mut servers, 20);
        assert_eq!(servers.health(ADDRESS), (true, Some(20_000)));
    }

    #[test]
    fn pause_never_exceeds_its_bound() {
        let mut servers = servers();
        for _ in 0..300 {
            send(&mut servers, 0);
            fail(&mut servers, 0, Transport::Udp);
        }
        assert!(standing(&mut servers, PAUSE_MS_MAX).usable);
    }

    #[test]
    fn lame_server_ranks_last_for_that_zone_alone_until_it_expires() {
        let mut servers = servers();
        let com = WireName::parse(b"\x03com\x00").unwrap();
        servers.note_lame(0, root(&com));
        assert!(servers.standing(0, root(&com), ROOM).cost_ms > COST_LAME_MS);
        assert_eq!(standing(&mut servers, 0).cost_ms, COST_UNKNOWN_MS);
        assert_eq!(
            servers.standing(LAME_MS, root(&com), ROOM).cost_ms,
            COST_UNKNOWN_MS
        );
    }

    #[test]
    fn server_that_has_not_answered_since_it_failed_has_less_room() {
        let mut servers = servers();
        let has_room = |servers: &mut Servers| standing(servers, 0).has_room;
        assert!(has_room(&mut servers));
        send(&mut servers, 0);
        assert!(!has_room(&mut servers));
        reply(&mut servers, 1);
        send(&mut servers, 0);
        assert!(has_room(&mut servers), "it lives");
        send(&mut servers, 0);
        assert!(!has_room(&mut servers));
        fail(&mut servers, 0, Transport::Udp);
        assert!(!has_room(&mut servers), "it may not live");
    }

    #[test]
    fn memory_of_servers_is_bounded() {
        let mut servers = servers();
        for port in 0..1_000 {
            let zone = WireName::root();
            let address = SocketAddr::new(ADDRESS.ip(), port);
            let asked = Asked {
                address,
                ..root(&zone)
            };
            servers.on_send(0, asked);
            servers.on_failure(0, asked, Transport::Udp);
        }
        assert_eq!((servers.len(), servers.services.len()), (8, 8));
    }
}
