//! One frame a verdict, decided by the program in the kernel (`BPF_PROG_TEST_RUN`).
//!
//! Each test names the counter that must move, so a frame cannot pass for the wrong reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;

use bpf_redirect::program::{Action, Arrival, TestRunError};
use bpf_redirect::{DnsFilter, MapError, interface_index};
use rustix::time::{ClockId, clock_gettime};
use support::{Frame, LOCAL_V4, LOCAL_V6, SERVED_PORT, at};

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const IPV6_FRAGMENT_HEADER: [u8; 8] = [17, 0, 0, 1, 0, 0, 0, 9];
const MORE_FRAGMENTS: u16 = 0x2000;

/// Runs `frame` and checks that exactly the counter named `verdict` moved, by one.
#[track_caller]
fn assert_verdict(filter: &DnsFilter, frame: &[u8], verdict: &str) {
    let before = filter.verdicts().unwrap().named();
    let action = filter.test_run(frame).unwrap();
    let expected = if verdict == "redirected" {
        Action::Redirect
    } else {
        Action::Pass
    };
    assert_eq!(action, expected, "{frame:02x?}");
    assert_eq!(moved(filter, before), [(verdict, 1)], "{frame:02x?}");
}

fn moved(filter: &DnsFilter, before: [(&'static str, u64); 10]) -> Vec<(&'static str, u64)> {
    let after = filter.verdicts().unwrap().named();
    let differences = before
        .iter()
        .zip(after)
        .map(|(old, new)| (new.0, new.1 - old.1));
    differences
        .filter(|(_, difference)| *difference > 0)
        .collect()
}

/// Checks one frame after another, all against the same verdict.
#[track_caller]
fn assert_each(frames: impl IntoIterator<Item = Frame>, verdict: &str) {
    let Some((filter, _socket)) = support::load_ready() else {
        return;
    };
    for frame in frames {
        assert_verdict(&filter, &frame.bytes(), verdict);
    }
}

#[test]
fn query_over_ipv4_is_redirected() {
    assert_each([Frame::v4()], "redirected");
}

#[test]
fn query_over_ipv6_is_redirected() {
    assert_each([Frame::v6()], "redirected");
}

#[test]
fn query_behind_one_vlan_tag_of_either_kind_is_redirected() {
    let tagged =
        [VLAN, SERVICE_VLAN].map(|tpid| [Frame::v4().tagged(tpid), Frame::v6().tagged(tpid)]);
    assert_each(tagged.into_iter().flatten(), "redirected");
}

#[test]
fn query_in_a_padded_frame_is_redirected() {
    assert_each(
        [Frame::v4().padded(3), Frame::v6().padded(60)],
        "redirected",
    );
}

#[test]
fn datagram_without_payload_is_redirected() {
    let v4 = Frame::v4()
        .set_udp(at::UDP_BYTES, 8)
        .set_ip(at::V4_TOTAL_BYTES, 28);
    let v6 = Frame::v6()
        .set_udp(at::UDP_BYTES, 8)
        .set_ip(at::V6_PAYLOAD_BYTES, 8);
    assert_each([v4, v6], "redirected");
}

#[test]
fn udp_options_behind_the_datagram_are_redirected() {
    let v4 = Frame::v4()
        .padded(4)
        .set_ip(at::V4_TOTAL_BYTES, 20 + 8 + 29 + 4);
    let v6 = Frame::v6()
        .padded(4)
        .set_ip(at::V6_PAYLOAD_BYTES, 8 + 29 + 4);
    assert_each([v4, v6], "redirected");
}

#[test]
fn dont_fragment_and_reserved_flags_are_no_fragment() {
    let flags = [0x0000, 0x4000, 0x8000, 0xc000];
    assert_each(
        flags.map(|flags| Frame::v4().set_ip(at::V4_FRAGMENT, flags)),
        "redirected",
    );
}

#[test]
fn two_vlan_tags_pass() {
    let frames = [(VLAN, VLAN), (SERVICE_VLAN, VLAN), (VLAN, SERVICE_VLAN)]
        .map(|(outer, inner)| Frame::v4().tagged(inner).tagged(outer));
    assert_each(frames, "not_ip");
}

#[test]
fn arp_and_unknown_ethertypes_pass() {
    let frames = [0x0806, 0x88cc, 0x0000, 0x05dc, 0x8847].map(|ethertype| Frame {
        ethertype,
        ..Frame::v4()
    });
    assert_each(frames, "not_ip");
}

#[test]
fn link_layer_broadcast_and_multicast_pass() {
    let broadcast = [0xff; 6];
    let multicast = [0x33, 0x33, 0, 0, 0, 1];
    let frames = [broadcast, multicast].map(|group| {
        let mut frame = Frame::v6();
        frame.ethernet[..6].copy_from_slice(&group);
        frame
    });
    assert_each(frames, "not_ip");
}

#[test]
fn ipv4_options_pass() {
    // Behind IHL 6 lies an option, so that the UDP header is where it would be.
    let router_alert = Frame::v4()
        .set_ip_byte(0, 0x46)
        .insert_after_ip(&[0x94, 4, 0, 0]);
    let short = Frame::v4().set_ip_byte(0, 0x44);
    assert_each([router_alert, short], "ipv4_options");
}

#[test]
fn ip_version_that_contradicts_the_ethertype_passes() {
    assert_each([Frame::v4().set_ip_byte(0, 0x65)], "ipv4_options");
    assert_each([Frame::v6().set_ip_byte(0, 0x40)], "not_udp");
}

#[test]
fn first_middle_and_last_fragments_pass() {
    let flags = [
        MORE_FRAGMENTS,
        MORE_FRAGMENTS | 185,
        185,
        1,
        0x1fff,
        0x4000 | MORE_FRAGMENTS,
    ];
    assert_each(
        flags.map(|flags| Frame::v4().set_ip(at::V4_FRAGMENT, flags)),
        "fragment",
    );
}

#[test]
fn ipv6_extension_headers_pass() {
    let fragment = Frame::v6().set_ip_byte(at::V6_NEXT_HEADER, 44);
    let mut frames = vec![fragment.insert_after_ip(&IPV6_FRAGMENT_HEADER)];
    for header in [0, 43, 51, 60, 135] {
        let frame = Frame::v6().set_ip_byte(at::V6_NEXT_HEADER, header);
        frames.push(frame.insert_after_ip(&[17, 0, 1, 4, 0, 0, 0, 0]));
    }
    assert_each(frames, "not_udp");
}

#[test]
fn tcp_and_icmp_pass() {
    let v4 = [6, 1, 2, 136].map(|protocol| Frame::v4().set_ip_byte(at::V4_PROTOCOL, protocol));
    let v6 = [6, 58, 59, 136].map(|protocol| Frame::v6().set_ip_byte(at::V6_NEXT_HEADER, protocol));
    assert_each(v4.into_iter().chain(v6), "not_udp");
}

#[test]
fn frame_cut_at_every_byte_passes() {
    let Some((filter, _socket)) = support::load_ready() else {
        return;
    };
    for frame in [
        Frame::v4(),
        Frame::v6(),
        Frame::v4().tagged(VLAN),
        Frame::v6().tagged(VLAN),
    ] {
        let whole = frame.bytes();
        assert_eq!(filter.test_run(&whole).unwrap(), Action::Redirect);
        for length in 0..whole.len() {
            match filter.test_run(&whole[..length]) {
                Ok(action) => assert_eq!(action, Action::Pass, "length={length}"),
                // No driver delivers less than an Ethernet header, and neither does the test run.
                Err(TestRunError::Refused(_)) => assert!(length < 14, "length={length}"),
                Err(error) => panic!("length={length}: {error}"),
            }
        }
    }
}

#[test]
fn ip_length_that_contradicts_the_frame_passes() {
    let v4 = [0, 19, 20, 27, 20 + 8 + 30, 1500, 0xffff]
        .map(|bytes| Frame::v4().set_ip(at::V4_TOTAL_BYTES, bytes));
    let v6 =
        [0, 7, 8 + 30, 1500, 0xffff].map(|bytes| Frame::v6().set_ip(at::V6_PAYLOAD_BYTES, bytes));
    assert_each(v4.into_iter().chain(v6), "bad_length");
}

#[test]
fn udp_length_that_contradicts_the_ip_length_passes() {
    for bytes in [0, 7, 8 + 30, 0xffff] {
        // Padding could hold the extra byte, but the IP header does not promise it.
        let frames = [Frame::v4(), Frame::v6()];
        assert_each(
            frames.map(|frame| frame.padded(8).set_udp(at::UDP_BYTES, bytes)),
            "bad_length",
        );
    }
}

#[test]
fn foreign_port_passes_and_a_port_served_later_is_redirected() {
    let Some((mut filter, _socket)) = support::load_ready() else {
        return;
    };
    for port in [
        0,
        1,
        SERVED_PORT - 1,
        SERVED_PORT + 1,
        SERVED_PORT + 64,
        853,
        u16::MAX,
    ] {
        let frame = Frame::v4().set_udp(at::UDP_DESTINATION, port).bytes();
        assert_verdict(&filter, &frame, "foreign_port");
        filter.serve_port(port).unwrap();
        assert_verdict(&filter, &frame, "redirected");
    }
    assert_verdict(&filter, &Frame::v6().bytes(), "redirected");
}

#[test]
fn foreign_address_passes() {
    let mut v6 = Frame::v6();
    v6.ip[at::V6_DESTINATION] ^= 1;
    let mut v4 = Frame::v4();
    v4.ip[at::V4_DESTINATION + 3] ^= 1;
    let mut multicast = Frame::v4();
    multicast.ip[at::V4_DESTINATION..].copy_from_slice(&[224, 0, 0, 251]);
    assert_each([v4, v6, multicast], "foreign_address");
}

#[test]
fn source_that_no_host_has_passes() {
    let sources_v4 = [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255; 4],
    ];
    let v4 = sources_v4.map(|source| {
        let mut frame = Frame::v4();
        frame.ip[at::V4_SOURCE..at::V4_DESTINATION].copy_from_slice(&source);
        frame
    });
    let group: Ipv6Addr = "ff02::1".parse().unwrap();
    let v6 = [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, group].map(|source| {
        let mut frame = Frame::v6();
        frame.ip[at::V6_SOURCE..at::V6_DESTINATION].copy_from_slice(&source.octets());
        frame
    });
    assert_each(v4.into_iter().chain(v6), "foreign_address");
}

#[test]
fn addresses_set_anew_replace_the_old_ones() {
    let Some((mut filter, _socket)) = support::load_ready() else {
        return;
    };
    let (v4, v6) = (Frame::v4().bytes(), Frame::v6().bytes());
    let many = (0..1000).map(|host| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host)));
    let many: Vec<IpAddr> = many.chain([IpAddr::V4(LOCAL_V4)]).collect();
    filter.set_addresses(&many).unwrap();
    assert_verdict(&filter, &v4, "redirected");
    assert_verdict(&filter, &v6, "foreign_address");
    filter
        .set_addresses(&[IpAddr::V6(LOCAL_V6), IpAddr::V6(Ipv6Addr::LOCALHOST)])
        .unwrap();
    assert_verdict(&filter, &v4, "foreign_address");
    assert_verdict(&filter, &v6, "redirected");
    filter.set_addresses(&[]).unwrap();
    assert_verdict(&filter, &v6, "foreign_address");
}

#[test]
fn each_of_many_addresses_is_redirected_while_it_is_served() {
    let Some((mut filter, _socket)) = support::load_ready() else {
        return;
    };
    let v4 = (0..300).map(|host| IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + host * 77)));
    let v6 = (0..300).map(|host| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, host, 0, 0, 0, host, 1)));
    let many: Vec<IpAddr> = v4.chain(v6).collect();
    let expect = |filter: &DnsFilter, addresses: &[IpAddr], verdict| {
        for address in addresses {
            assert_verdict(filter, &Frame::to(*address).bytes(), verdict);
        }
    };
    filter.set_addresses(&many).unwrap();
    expect(&filter, &many, "redirected");
    let (gone, kept) = many.split_at(200);
    filter.set_addresses(kept).unwrap();
    expect(&filter, gone, "foreign_address");
    expect(&filter, kept, "redirected");
}

#[test]
fn destinations_that_no_frame_may_carry_pass() {
    let unspecified = ["0.0.0.0", "::", "::1", "::ffff:192.0.2.1", "::192.0.2.1"];
    // The bytes under which the table holds 192.0.2.1.
    let table_form = ["::c000:201:100:0", "::100:0:c000:201", "::1:0:c000:201"];
    let frames = unspecified.into_iter().chain(table_form);
    assert_each(
        frames.map(|text| Frame::to(text.parse().unwrap())),
        "foreign_address",
    );
}

#[test]
fn more_addresses_than_fit_are_an_error_that_changes_nothing() {
    let Some((mut filter, _socket)) = support::load_ready() else {
        return;
    };
    let many: Vec<IpAddr> = (0..50_000)
        .map(|host| Ipv4Addr::from_bits(host).into())
        .collect();
    let error = filter.set_addresses(&many).unwrap_err();
    assert!(matches!(error, MapError::AddressesFull(_)), "{error}");
    assert_verdict(&filter, &Frame::v4().bytes(), "redirected");
}

#[test]
fn deadline_that_passed_passes() {
    let Some((filter, _socket)) = support::load_ready() else {
        return;
    };
    let frame = Frame::v4().bytes();
    let cell = filter.deadlines().cell(0);
    let now = clock_gettime(ClockId::Monotonic);
    let now_ns = u64::try_from(now.tv_sec).unwrap() * 1_000_000_000;
    cell.extend_until(now_ns - 1_000_000_000);
    assert_verdict(&filter, &frame, "worker_late");
    cell.extend_until(now_ns + 3_600_000_000_000);
    assert_verdict(&filter, &frame, "redirected");
    cell.expire();
    assert_verdict(&filter, &frame, "worker_late");
    filter.deadlines().cell(1).extend_until(u64::MAX);
    assert_verdict(&filter, &frame, "worker_late");
}

#[test]
fn queue_without_a_socket_passes() {
    let Some((mut filter, socket)) = support::load_ready() else {
        return;
    };
    let frame = Frame::v6().bytes();
    filter.clear_socket(0).unwrap();
    assert_verdict(&filter, &frame, "no_socket");
    filter.clear_socket(0).unwrap();
    filter.set_socket(0, socket.as_fd()).unwrap();
    assert_verdict(&filter, &frame, "redirected");
    drop(socket);
    assert_verdict(&filter, &frame, "no_socket");
}

#[test]
fn each_queue_has_its_own_socket_and_deadline() {
    let Some((mut filter, _socket)) = support::load_ready() else {
        return;
    };
    let frame = Frame::v4().bytes();
    let actions = support::in_namespace(|| {
        support::run("ip link add nx0 numrxqueues 2 type veth peer name nx1");
        let interface = interface_index("nx0").unwrap();
        let queue = |queue| Arrival { interface, queue };
        let run = |filter: &DnsFilter, at| filter.test_run_at(&frame, queue(at)).unwrap();
        let late = [run(&filter, 0), run(&filter, 1)];
        filter.deadlines().cell(1).extend_until(u64::MAX);
        let alone = run(&filter, 1);
        let second = support::xsk();
        filter.set_socket(1, second.as_fd()).unwrap();
        (late, alone, run(&filter, 1))
    });
    let Some(actions) = actions else { return };
    let expected = (
        [Action::Redirect, Action::Pass],
        Action::Pass,
        Action::Redirect,
    );
    assert_eq!(actions, expected);
}

#[test]
fn descriptor_that_is_no_xdp_socket_is_refused() {
    let Some(mut filter) = support::load() else {
        return;
    };
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = filter.set_socket(0, file.as_fd()).unwrap_err();
    assert!(
        matches!(error, MapError::Refused { map: "xsks", .. }),
        "{error}"
    );
    let socket = support::xsk();
    assert!(
        filter
            .set_socket(bpf_redirect::QUEUES_MAX, socket.as_fd())
            .is_err()
    );
}
