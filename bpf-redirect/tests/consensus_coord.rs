//! One frame a verdict of the guard, behind `dns_filter` as in earnest, decided in the kernel.
//!
//! Each test names the counter that must move, so a frame cannot be dropped for the wrong reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use bpf_redirect::program::Action;
use bpf_redirect::{ConsensusCoord, DnsFilter, Outcomes, Peer, PeerCounts};
use bpf_redirect::{PEERS_MAX, Rate, ReplicaState, Rules};
use support::{Frame, LOCAL_V4, LOCAL_V6, SERVED_PORT, at};

const PORT: u16 = 4853;
/// Slow enough that no token comes back while a test runs.
const TRICKLE: Rate = Rate {
    per_second: 1,
    burst: 3,
};
const RULES: Rules = Rules {
    port: PORT,
    steers: true,
    peer: Rate {
        per_second: 0,
        burst: 1,
    },
    initial: TRICKLE,
    newcomer_secs: 3600,
    newcomer_packets: 4,
};

/// Both programs, the guard behind the filter.
struct Pair {
    filter: DnsFilter,
    guard: ConsensusCoord,
    _socket: OwnedFd,
}

fn load() -> Option<Pair> {
    let (mut filter, socket) = support::load_ready()?;
    let mut guard = ConsensusCoord::load(&filter).unwrap();
    guard
        .set_addresses(&[IpAddr::V4(LOCAL_V4), IpAddr::V6(LOCAL_V6)])
        .unwrap();
    guard.set_rules(&RULES).unwrap();
    filter.set_guard(Some(&guard)).unwrap();
    Some(Pair {
        filter,
        guard,
        _socket: socket,
    })
}

/// With two peers: 198.51.100.7:4853 is node 7, and 2001:db8::7 with the same port is too.
fn load_with_peers() -> Option<Pair> {
    let mut pair = load()?;
    pair.guard.set_peers(&peers(0)).unwrap();
    Some(pair)
}

fn peers(isolated_until_ns: u64) -> [Peer; 2] {
    ["198.51.100.7:4853", "[2001:db8::7]:4853"].map(|endpoint| Peer {
        node_id: 7,
        endpoint: endpoint.parse().unwrap(),
        isolated_until_ns,
    })
}

impl Pair {
    /// Runs `frame` and checks that exactly this counter moved, by one.
    #[track_caller]
    fn assert(&self, frame: &Frame, expected: Action, moved: fn(&mut Outcomes) -> &mut u64) {
        let mut outcomes = self.guard.outcomes().unwrap();
        *moved(&mut outcomes) += 1;
        let action = self.filter.test_run(&frame.bytes()).unwrap();
        assert_eq!(self.guard.outcomes().unwrap(), outcomes);
        assert_eq!(action, expected);
    }

    /// Runs `frame` and checks that it is none of the guard's business.
    #[track_caller]
    fn assert_ignored(&self, frame: &Frame, expected: Action) {
        let outcomes = self.guard.outcomes().unwrap();
        let action = self.filter.test_run(&frame.bytes()).unwrap();
        assert_eq!(self.guard.outcomes().unwrap(), outcomes);
        assert_eq!(action, expected);
    }

    fn counts(&self) -> PeerCounts {
        self.guard.counts().next().unwrap()
    }
}

/// A datagram between the consensus ports, over IPv4.
fn v4(payload: &[u8]) -> Frame {
    between_ports(Frame::v4()).with_payload(payload)
}

fn v6(payload: &[u8]) -> Frame {
    between_ports(Frame::v6()).with_payload(payload)
}

fn between_ports(frame: Frame) -> Frame {
    let frame = frame.set_udp(at::UDP_SOURCE, PORT);
    frame.set_udp(at::UDP_DESTINATION, PORT)
}

/// The same from another port: from a stranger.
fn from_port(frame: Frame, port: u16) -> Frame {
    frame.set_udp(at::UDP_SOURCE, port)
}

/// A packet with a long header and identifiers of these lengths, the datagram `bytes` long.
fn long(first: u8, version: u32, ids: (u8, u8), bytes: usize) -> Vec<u8> {
    let mut payload = vec![first];
    payload.extend(version.to_be_bytes());
    for id_bytes in [ids.0, ids.1] {
        payload.push(id_bytes);
        payload.extend(std::iter::repeat_n(0x5a, usize::from(id_bytes)));
    }
    payload.resize(bytes, 0x77);
    payload
}

fn initial() -> Vec<u8> {
    long(0xc3, 1, (8, 8), 1200)
}

fn handshake() -> Vec<u8> {
    long(0xe3, 1, (8, 8), 90)
}

fn short() -> Vec<u8> {
    vec![0x4c; 21]
}

#[test]
fn packets_of_a_peer_go_to_the_worker_over_either_family_and_a_tag() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    for payload in [short(), initial(), handshake(), vec![0x40; 1452]] {
        for frame in [v4(&payload), v6(&payload), v4(&payload).tagged(0x8100)] {
            pair.assert(&frame, Action::Redirect, |o| &mut o.passed_peer);
        }
    }
    let counts = pair.counts();
    assert_eq!((counts.node_id, counts.packets), (7, 12));
    assert_eq!(counts.bytes, 3 * (21 + 1200 + 90 + 1452));
}

#[test]
fn packets_of_a_peer_go_to_the_kernel_without_steering_or_a_live_worker() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    pair.filter.deadlines().cell(0).expire();
    pair.assert(&v4(&short()), Action::Pass, |o| &mut o.passed_peer);
    pair.filter.deadlines().cell(0).extend_until(u64::MAX);
    pair.assert(&v4(&short()), Action::Redirect, |o| &mut o.passed_peer);
    let rules = Rules {
        steers: false,
        ..RULES
    };
    pair.guard.set_rules(&rules).unwrap();
    pair.assert(&v4(&short()), Action::Pass, |o| &mut o.passed_peer);
}

#[test]
fn packets_from_a_link_local_address_are_judged_and_go_to_the_kernel() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    let link_local = Peer {
        node_id: 9,
        endpoint: "[fe80::7]:4853".parse().unwrap(),
        isolated_until_ns: 0,
    };
    let [one, two] = peers(0);
    pair.guard.set_peers(&[one, two, link_local]).unwrap();
    let mut frame = v6(&short());
    let source: std::net::Ipv6Addr = "fe80::7".parse().unwrap();
    frame.ip[at::V6_SOURCE..at::V6_DESTINATION].copy_from_slice(&source.octets());
    pair.assert(&frame, Action::Pass, |o| &mut o.passed_peer);
}

#[test]
fn other_ports_and_addresses_and_what_is_no_plain_datagram_are_not_judged() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    let garbage = v4(&[0; 30]);
    let other_port = garbage.clone().set_udp(at::UDP_DESTINATION, PORT + 1);
    pair.assert_ignored(&other_port, Action::Pass);
    let mut other_address = garbage.clone();
    other_address.ip[at::V4_DESTINATION + 3] ^= 1;
    pair.assert_ignored(&other_address, Action::Pass);
    let fragment = garbage.clone().set_ip(at::V4_FRAGMENT, 0x2000);
    pair.assert_ignored(&fragment, Action::Pass);
    let stacked = garbage.clone().tagged(0x8100).tagged(0x88a8);
    pair.assert_ignored(&stacked, Action::Pass);
    let cut = garbage.set_udp(at::UDP_BYTES, 200);
    pair.assert_ignored(&cut, Action::Pass);
    let query = Frame::v4().set_udp(at::UDP_DESTINATION, SERVED_PORT);
    pair.assert_ignored(&query, Action::Redirect);
}

#[test]
fn guard_that_was_taken_away_judges_nothing() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    for _ in 0..2 {
        pair.filter.set_guard(None).unwrap();
        pair.assert_ignored(&v4(&[0; 30]), Action::Pass);
    }
}

#[test]
fn garbage_from_a_peer_is_dropped_and_counted_for_it() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    let garbage = [
        vec![],
        vec![0x4c; 20],               // Too short to hold a sample.
        vec![0xc3, 0, 0, 0, 1, 0],    // A long header that is cut.
        long(0xc3, 1, (21, 8), 1200), // RFC 9000 §17.2.
        long(0xc3, 1, (8, 21), 1200),
        long(0xc3, 1, (20, 20), 46), // One byte less than its identifiers need.
        long(0x83, 1, (8, 8), 1200), // Without the fixed bit.
        long(0xc3, 2, (8, 8), 1200), // Of another version.
        long(0xd3, 0x6b33_43cf, (8, 8), 1200), // Version 2 (RFC 9369).
    ];
    for payload in &garbage {
        for frame in [v4(payload), v6(payload), v4(payload).padded(40)] {
            pair.assert(&frame, Action::Drop, |o| &mut o.dropped_shape);
        }
    }
    let counts = pair.counts();
    let frames = 3 * garbage.len() as u64;
    assert_eq!((counts.packets, counts.dropped_shape), (frames, frames));
}

#[test]
fn what_a_peer_may_send_by_agreement_or_as_a_server_passes_and_is_dropped_from_strangers() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    let unusual = [
        vec![0x0c; 40],              // The fixed bit is cleared: RFC 9287.
        long(0xc3, 0, (8, 8), 60),   // Version negotiation.
        long(0xc3, 1, (8, 8), 1199), // An Initial that only acknowledges or closes.
    ];
    for payload in unusual {
        pair.assert(&v4(&payload), Action::Redirect, |o| &mut o.passed_peer);
        let stranger = from_port(v4(&payload), 4000);
        pair.assert(&stranger, Action::Drop, |o| &mut o.dropped_stranger);
    }
}

#[test]
fn datagram_of_any_length_that_ends_inside_its_header_is_dropped() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    let whole = long(0xe3, 1, (20, 20), 47);
    for bytes in 0..whole.len() {
        let frame = v4(&whole[..bytes]).padded(60);
        pair.assert(&frame, Action::Drop, |o| &mut o.dropped_shape);
    }
    pair.assert(&v4(&whole), Action::Redirect, |o| &mut o.passed_peer);
}

#[test]
fn peer_over_its_rate_is_dropped_and_others_are_not() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    let rules = Rules {
        peer: TRICKLE,
        ..RULES
    };
    pair.guard.set_rules(&rules).unwrap();
    let other = Peer {
        node_id: 8,
        endpoint: "198.51.100.7:4854".parse().unwrap(),
        isolated_until_ns: 0,
    };
    let [one, two] = peers(0);
    pair.guard.set_peers(&[one, two, other]).unwrap();
    // Endpoints of one node share its tokens.
    for frame in [v4(&short()), v6(&short()), v4(&short())] {
        pair.assert(&frame, Action::Redirect, |o| &mut o.passed_peer);
    }
    for frame in [v4(&short()), v6(&short())] {
        pair.assert(&frame, Action::Drop, |o| &mut o.dropped_rate);
    }
    let other = from_port(v4(&short()), 4854);
    pair.assert(&other, Action::Redirect, |o| &mut o.passed_peer);
    let dropped = pair.guard.counts().map(|c| (c.node_id, c.dropped_rate));
    assert_eq!(dropped.collect::<Vec<_>>(), [(7, 2), (8, 0)]);
}

#[test]
fn isolated_peer_is_dropped_until_its_time_is_over() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    pair.guard.set_peers(&peers(u64::MAX)).unwrap();
    for payload in [short(), initial(), vec![0; 9]] {
        pair.assert(&v4(&payload), Action::Drop, |o| &mut o.dropped_isolated);
    }
    pair.guard.set_peers(&peers(1)).unwrap();
    pair.assert(&v6(&short()), Action::Redirect, |o| &mut o.passed_peer);
    assert_eq!(pair.counts().dropped_isolated, 3);
}

#[test]
fn stranger_begins_with_an_initial_and_goes_on_within_its_bounds() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    let from = |payload: &[u8]| from_port(v6(payload), 4000);
    pair.assert(&from(&short()), Action::Drop, |o| &mut o.dropped_stranger);
    pair.assert(&from(&handshake()), Action::Drop, |o| {
        &mut o.dropped_stranger
    });
    pair.assert(&from(&initial()), Action::Redirect, |o| {
        &mut o.passed_initial
    });
    for payload in [initial(), handshake(), handshake(), short()] {
        pair.assert(&from(&payload), Action::Redirect, |o| {
            &mut o.passed_newcomer
        });
    }
    pair.assert(&from(&short()), Action::Drop, |o| &mut o.dropped_stranger);
    // It may begin again.
    pair.assert(&from(&initial()), Action::Redirect, |o| {
        &mut o.passed_initial
    });
    let neighbour = from_port(v6(&short()), 4001);
    pair.assert(&neighbour, Action::Drop, |o| &mut o.dropped_stranger);
}

#[test]
fn stranger_that_took_too_long_must_begin_again() {
    let Some(mut pair) = load() else { return };
    let rules = Rules {
        newcomer_secs: 0,
        ..RULES
    };
    pair.guard.set_rules(&rules).unwrap();
    pair.assert(&v4(&initial()), Action::Redirect, |o| &mut o.passed_initial);
    pair.assert(&v4(&handshake()), Action::Drop, |o| &mut o.dropped_stranger);
}

#[test]
fn initials_of_all_strangers_share_one_rate_and_garbage_takes_no_token() {
    let Some(pair) = load_with_peers() else {
        return;
    };
    for port in 1..=100 {
        let frame = from_port(v4(&[0xc3; 1200]), port);
        pair.assert(&frame, Action::Drop, |o| &mut o.dropped_shape);
    }
    for port in 1..=3 {
        let frame = from_port(v4(&initial()), port);
        pair.assert(&frame, Action::Redirect, |o| &mut o.passed_initial);
    }
    for port in 4..=100 {
        let frame = from_port(v6(&initial()), port);
        pair.assert(&frame, Action::Drop, |o| &mut o.dropped_initial_rate);
    }
    // Peers and those who have begun go on.
    pair.assert(&v4(&initial()), Action::Redirect, |o| &mut o.passed_peer);
    let newcomer = from_port(v4(&handshake()), 2);
    pair.assert(&newcomer, Action::Redirect, |o| &mut o.passed_newcomer);
}

#[test]
fn peers_set_anew_replace_the_old_ones_and_keep_the_counts_of_those_that_stay() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    pair.assert(&v4(&short()), Action::Redirect, |o| &mut o.passed_peer);
    let [_, mut moved] = peers(0);
    moved.endpoint = "192.0.2.200:1".parse().unwrap();
    let newer = |number: u16| Peer {
        node_id: u64::from(number) + 100,
        endpoint: SocketAddr::from(([203, 0, 113, 1], number)),
        isolated_until_ns: 0,
    };
    let mut many: Vec<Peer> = (0..200).map(newer).collect();
    many.insert(0, moved);
    pair.guard.set_peers(&many).unwrap();
    assert_eq!(pair.guard.counts().count(), PEERS_MAX);
    pair.assert(&v4(&short()), Action::Drop, |o| &mut o.dropped_stranger);
    assert_eq!(pair.counts().packets, 1);
    pair.guard.set_peers(&peers(0)[1..]).unwrap();
    pair.assert(&v6(&short()), Action::Redirect, |o| &mut o.passed_peer);
    assert_eq!(pair.counts().packets, 2);
    pair.guard.set_peers(&[]).unwrap();
    assert_eq!(pair.guard.counts().count(), 0);
    pair.guard.set_peers(&peers(0)).unwrap();
    assert_eq!(
        pair.counts().packets,
        0,
        "a node that comes back starts anew"
    );
}

#[test]
fn states_of_replicas_are_shown_changed_and_forgotten() {
    let Some(mut pair) = load_with_peers() else {
        return;
    };
    let replica = |node_id, view| ReplicaState {
        node_id,
        view,
        sequence: 9,
        bad_signatures: 3,
        ..ReplicaState::default()
    };
    pair.guard
        .set_replicas(&[replica(7, 1), replica(8, 1)])
        .unwrap();
    pair.guard.set_replicas(&[replica(7, 2)]).unwrap();
    pair.guard.set_replicas(&[replica(7, 2)]).unwrap();
    assert_eq!(pair.guard.replica_views().unwrap(), [(7, 2)]);
    // What control writes leaves alone what packets write.
    pair.assert(&v4(&short()), Action::Redirect, |o| &mut o.passed_peer);
    pair.guard.set_replicas(&[replica(7, 3)]).unwrap();
    assert_eq!(pair.counts().packets, 1);
}
