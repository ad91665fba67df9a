//! Where a resolution stands: the zone whose servers are asked, and which of them is next.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::RecordType;

use super::config::Config;
use super::message::{Transport, TransportError};
use super::name::WireName;
use super::random::Random;
use super::servers::{Asked, Room, Servers, Standing, TIMEOUT_UNKNOWN_MS};

/// Servers whose cost is within this of the best are equal, in milliseconds.
const COST_BAND_MS: u32 = 40;
/// One choice in so many is made among all usable servers, to notice that one became faster.
const EXPLORE_ONE_IN: usize = 16;
/// Cost of each attempt made in this step already, in milliseconds: others go first.
const COST_ATTEMPT_MS: u32 = 500;
/// Addresses of one name server that are considered.
const ADDRESSES_PER_NAMESERVER_MAX: usize = 8;

/// One address of the zone's servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) address: SocketAddr,
    /// Messages sent to it in this step.
    pub(super) attempts: u8,
    /// It answered badly: no more of it in this step.
    pub(super) dead: bool,
    /// It lives and is to be asked in another way: it comes before the others.
    pub(super) again: bool,
    /// The next query goes by TCP (the reply was truncated, or somebody forges replies).
    pub(super) tcp: bool,
    /// The next query goes without EDNS.
    pub(super) without_edns: bool,
    /// The next query goes without a cookie, unless the server is known to give them.
    pub(super) without_cookie: bool,
    /// The server wanted another cookie, and has been asked with that.
    pub(super) cookie_renewed: bool,
    /// TCP is to tell whether the server folds case or somebody forged a reply.
    pub(super) folds: bool,
    /// TCP is to tell whether the server cannot read EDNS or somebody forged a reply.
    pub(super) unread: bool,
    /// The next query goes in lower case.
    pub(super) plain_case: bool,
}

/// Why a server that lives is asked again in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The reply did not fit: by TCP (RFC 1035 §4.2.1).
    Truncated,
    /// Somebody seems to guess: by TCP.
    Suspicion,
    /// The name came back in other case, from a forger or a server that folds it: TCP will tell.
    OtherCase,
    /// The query could not be read, says a forger or a server that does not understand EDNS: TCP will
    /// tell.
    Unread,
    /// The server wants another cookie, which came along: with that, then by TCP (RFC 7873 §5.3).
    BadCookie,
    /// The server may not understand the COOKIE option.
    WithoutCookie,
    /// The server does not understand EDNS (RFC 6891 §7).
    WithoutEdns,
}

impl Again {
    /// Whether the next query goes by TCP, whatever came before.
    pub(super) fn is_by_tcp(self) -> bool {
        matches!(
            self,
            Self::Truncated | Self::Suspicion | Self::OtherCase | Self::Unread
        )
    }

    /// For people to read.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Suspicion => "wrong replies",
            Self::OtherCase => "name in other case",
            Self::Unread => "query not understood",
            Self::BadCookie => "another cookie wanted",
            Self::WithoutCookie => "cookie not understood",
            Self::WithoutEdns => "EDNS not understood",
        }
    }
}

/// A name server whose address must be found first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) host: WireName,
    pub(super) rtype: RecordType,
}

/// A zone and its servers.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) zone: WireName,
    /// Index of the configured forwarder, if this is one.
    pub(super) forward: Option<usize>,
    /// Whether its servers are asked even if all seem down: forwarders without fallback. Their
    /// silence may be that of the servers that they ask themselves for some other name.
    pub(super) insists: bool,
    /// Whether this is the root, and a copy of it answers instead of servers.
    pub(super) here: bool,
    /// Whether the delegation came out of the cache and may be outdated.
    pub(super) cached: bool,
    /// When the delegation ends; never for the root by its hints and for forwarders.
    pub(super) delegated_until_ms: u64,
    pub(super) candidates: Vec<Candidate>,
    /// Servers that gave bogus data: they never become candidates.
    avoided: Vec<SocketAddr>,
    pub(super) pending: Vec<Pending>,
    /// Sub-resolutions started here.
    pub(super) subqueries: usize,
    /// Labels shown to these servers beyond those of the zone (RFC 9156).
    pub(super) labels_shown: usize,
    /// Show the whole name from now on.
    pub(super) whole_name: bool,
}

/// The next move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Ask the candidate of this index.
    Server(usize, Standing),
    /// Wait until there is room at this server.
    Full(SocketAddr),
    /// Find addresses of name servers first.
    Resolve,
    /// Nothing to do here any more.
    Exhausted,
}

impl Place {
    pub(super) fn new(zone: WireName) -> Self {
        Self {
            zone,
            forward: None,
            insists: false,
            here: false,
            cached: false,
            delegated_until_ms: u64::MAX,
            candidates: Vec::new(),
            avoided: Vec::new(),
            pending: Vec::new(),
            subqueries: 0,
            labels_shown: 1,
            whole_name: false,
        }
    }

    /// Adds a server, unless it is known, banned, of a family not in use, or one too many.
    pub(super) fn add(&mut self, config: &Config, address: IpAddr) {
        if is_allowed(config, address) {
            self.add_server(config, SocketAddr::new(address, config.port));
        }
    }

    /// Adds a server that the operator chose, which is asked whatever its address.
    pub(super) fn add_server(&mut self, config: &Config, address: SocketAddr) {
        let known = self
            .candidates
            .iter()
            .any(|candidate| candidate.address == address);
        let is_unwanted = known || self.avoided.contains(&address);
        if is_unwanted || self.candidates.len() >= config.limits.addresses_max {
            return;
        }
        self.candidates.push(Candidate {
            address,
            attempts: 0,
            dead: false,
            again: false,
            tcp: false,
            without_edns: false,
            without_cookie: false,
            cookie_renewed: false,
            folds: false,
            unread: false,
            plain_case: false,
        });
    }

    /// Leaves these servers out, and does not take them up later.
    pub(super) fn avoid(&mut self, servers: &[SocketAddr]) {
        self.candidates
            .retain(|candidate| !servers.contains(&candidate.address));
        self.avoided = servers.to_vec();
    }

    /// Adds the addresses of one name server.
    pub(super) fn add_host(
        &mut self,
        config: &Config,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) {
        addresses
            .into_iter()
            .take(ADDRESSES_PER_NAMESERVER_MAX)
            .for_each(|address| self.add(config, address));
    }

    pub(super) fn candidate(&mut self, address: SocketAddr) -> Option<&mut Candidate> {
        self.candidates
            .iter_mut()
            .find(|candidate| candidate.address == address)
    }

    /// Chooses among the servers that may still answer: mostly a fast one, now and then any; one that
    /// is down and due for a probe as well, or at last the best of those that are not.
    pub(super) fn choose(
        &self,
        now_ms: u64,
        rtype: RecordType,
        attempts_max: u8,
        room: Room,
        servers: &mut Servers,
        random: &mut Random,
    ) -> Choice {
        let mut full = None;
        let mut usable: Vec<(usize, u32, Standing)> = Vec::new();
        let mut last: Option<(usize, u32, Standing)> = None;
        for (index, candidate) in self.candidates.iter().enumerate() {
            if candidate.dead || candidate.attempts >= attempts_max {
                continue;
            }
            let asked = Asked {
                address: candidate.address,
                zone: &self.zone,
                rtype,
            };
            let mut standing = servers.standing(now_ms, asked, room);
            if self.forward.is_some() {
                standing.timeout_ms = standing.timeout_ms.max(TIMEOUT_UNKNOWN_MS);
            }
            let cost_ms = standing.cost_ms + u32::from(candidate.attempts) * COST_ATTEMPT_MS;
            let choice = (index, cost_ms, standing);
            let waits_for_room = standing.usable || candidate.again || self.insists;
            if !standing.has_room {
                full = full.or(waits_for_room.then_some(candidate.address));
            } else if standing.usable || candidate.again {
                usable.push(choice);
            } else if (standing.usable_at_last || self.insists)
                && last.is_none_or(|(_, best_ms, _)| cost_ms < best_ms)
            {
                last = Some(choice);
            }
        }
        if usable.is_empty() && full.is_none() && self.pending.is_empty() {
            usable.extend(last);
        }
        let again = |index: usize| {
            self.candidates
                .get(index)
                .is_some_and(|server| server.again)
        };
        if let Some(&(index, _, standing)) = usable.iter().find(|(index, ..)| again(*index)) {
            return Choice::Server(index, standing);
        }
        let Some(best_ms) = usable.iter().map(|(_, cost_ms, _)| *cost_ms).min() else {
            return if let Some(server) = full {
                Choice::Full(server)
            } else if self.pending.is_empty() {
                Choice::Exhausted
            } else {
                Choice::Resolve
            };
        };
        if random.below(EXPLORE_ONE_IN) != 0 {
            usable.retain(|(_, cost_ms, _)| *cost_ms <= best_ms + COST_BAND_MS);
        }
        let (index, _, standing) = usable[random.below(usable.len())];
        Choice::Server(index, standing)
    }

    /// Gives every server another chance, for the next question is a different one, as if it had
    /// been asked so often.
    pub(super) fn renew(&mut self, attempts: u8) {
        for candidate in &mut self.candidates {
            (candidate.attempts, candidate.dead, candidate.tcp) = (attempts, false, false);
        }
    }
}

impl Candidate {
    /// What carries the next query.
    pub(super) fn transport(&self) -> Transport {
        if self.tcp {
            Transport::Tcp
        } else {
            Transport::Udp
        }
    }

    pub(super) fn ask_again(&mut self, again: Again) {
        self.again = true;
        match again {
            Again::Truncated | Again::Suspicion => self.tcp = true,
            Again::OtherCase => (self.tcp, self.folds) = (true, true),
            Again::Unread => (self.tcp, self.unread) = (true, true),
            Again::BadCookie if self.cookie_renewed => self.tcp = true,
            Again::BadCookie => self.cookie_renewed = true,
            Again::WithoutCookie => self.without_cookie = true,
            Again::WithoutEdns => self.without_edns = true,
        }
    }

    /// Nothing came back.
    pub(super) fn lost(&mut self, transport: Transport, reason: TransportError, attempts_max: u8) {
        self.attempts = self.attempts.saturating_add(1);
        self.again = false;
        match (transport, reason) {
            (Transport::Tcp, _) if self.folds => {
                (self.tcp, self.folds, self.plain_case) = (false, false, true);
                self.again = true;
            }
            (Transport::Tcp, _) if self.unread => {
                (self.tcp, self.unread, self.without_edns) = (false, false, true);
                self.again = true;
            }
            // The last attempt goes by TCP: something on the way may eat datagrams.
            (Transport::Udp, TransportError::Timeout) => {
                self.tcp = self.attempts + 1 >= attempts_max;
                self.without_cookie = true; // Or whatever it does not know.
            }
            (Transport::Udp, TransportError::Resources) => {}
            _ => self.dead = true,
        }
    }

    /// A useful answer came: the next question starts afresh.
    pub(super) fn answered(&mut self) {
        (self.attempts, self.again) = (0, false);
        (self.tcp, self.folds, self.unread) = (false, false, false);
    }
}

/// Whether an address that came out of the DNS may be asked: a zone must not make the resolver talk
/// to itself, to its own network's broadcast, or to groups.
fn is_allowed(config: &Config, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let special = v4.octets()[0] == 0 || v4.is_multicast() || v4.octets()[0] >= 240;
            config.use_ipv4 && !special && (config.ask_loopback || !v4.is_loopback())
        }
        IpAddr::V6(v6) => {
            let special = v6.is_unspecified() || v6.is_multicast() || v6.to_ipv4_mapped().is_some();
            config.use_ipv6 && !special && (config.ask_loopback || !v6.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterate::bounded::HashKeys;

    const ROOM: Room = Room {
        proven: 8,
        unproven: 8,
    };

    fn place(addresses: &[&str]) -> (Config, Place) {
        let config = Config::default();
        let mut place = Place::new(WireName::root());
        addresses
            .iter()
            .for_each(|address| place.add(&config, address.parse().unwrap()));
        (config, place)
    }

    fn chosen(place: &Place, servers: &mut Servers, random: &mut Random) -> Option<usize> {
        match place.choose(0, RecordType::A, 3, ROOM, servers, random) {
            Choice::Server(index, _) => Some(index),
            _ => None,
        }
    }

    #[test]
    fn addresses_that_are_no_servers_of_others_are_refused() {
        let refused = [
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "::ffff:192.0.2.1",
        ];
        assert!(place(&refused).1.candidates.is_empty());
        assert_eq!(place(&["192.0.2.1", "2001:db8::1"]).1.candidates.len(), 2);
    }

    #[test]
    fn server_that_is_avoided_is_neither_asked_anew_nor_found_again() {
        let (config, mut place) = place(&["192.0.2.1", "192.0.2.2"]);
        let bad = place.candidates[0].address;
        place.avoid(&[bad]);
        place.renew(0);
        place.add_host(&config, [bad.ip(), "192.0.2.3".parse().unwrap()]);
        let (mut servers, mut random) = (Servers::new(8, HashKeys(1, 2)), Random::new([5; 32]));
        for _ in 0..100 {
            let index = chosen(&place, &mut servers, &mut random).unwrap();
            assert_ne!(place.candidates[index].address, bad);
        }
        assert_eq!(place.candidates.len(), 2);
    }

    #[test]
    fn family_that_is_off_is_not_used() {
        let config = Config {
            use_ipv6: false,
            ..Config::default()
        };
        let mut place = Place::new(WireName::root());
        place.add(&config, "2001:db8::1".parse().unwrap());
        assert!(place.candidates.is_empty());
    }

    #[test]
    fn faster_server_is_preferred_and_the_slower_still_explored() {
        let (_, place) = place(&["192.0.2.1", "192.0.2.2"]);
        let (mut servers, mut random) = (Servers::new(8, HashKeys(1, 2)), Random::new([5; 32]));
        for (candidate, rtt_ms) in place.candidates.iter().zip([300, 5]) {
            let asked = Asked {
                address: candidate.address,
                zone: &place.zone,
                rtype: RecordType::A,
            };
            servers.on_send(0, asked);
            servers.on_reply(asked, Some(rtt_ms));
        }
        let fast = (0..1_000)
            .filter(|_| chosen(&place, &mut servers, &mut random) == Some(1))
            .count();
        assert!((900..1_000).contains(&fast), "{fast}");
    }

    #[test]
    fn place_without_usable_servers_is_exhausted_unless_addresses_can_be_found() {
        let (_, mut place) = place(&["192.0.2.1"]);
        let (mut servers, mut random) = (Servers::new(8, HashKeys(1, 2)), Random::new([5; 32]));
        place.candidates[0].dead = true;
        assert_eq!(
            place.choose(0, RecordType::A, 3, ROOM, &mut servers, &mut random),
            Choice::Exhausted
        );
        place.pending.push(Pending {
            host: WireName::root(),
            rtype: RecordType::A,
        });
        assert_eq!(
            place.choose(0, RecordType::A, 3, ROOM, &mut servers, &mut random),
            Choice::Resolve
        );
        place.renew(2);
        assert!(matches!(
            place.choose(0, RecordType::A, 3, ROOM, &mut servers, &mut random),
            Choice::Server(0, _)
        ));
    }
}
