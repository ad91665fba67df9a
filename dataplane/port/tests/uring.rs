//! The io_uring port over loopback: real sockets, real kernel.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use port::uring::{self, UringPort};
use port::{HEADERS_BYTES_MAX, Port};
use rustix::event::{EventfdFlags, eventfd};

const PATIENCE: Duration = Duration::from_secs(10);

fn port_on(address: &str) -> (UringPort, SocketAddr) {
    let socket = uring::bind(address.parse().unwrap(), None).unwrap();
    let bound = socket.local_addr().unwrap();
    (UringPort::new(vec![socket]).unwrap(), bound)
}

fn client(bind: &str, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(bind).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Receives until `count` packets were opened and answered with their own bytes reversed.
fn answer_reversed(port: &mut UringPort, count: usize) {
    let start = Instant::now();
    let mut answered = 0;
    while answered < count {
        assert!(start.elapsed() < PATIENCE, "{answered} of {count} arrived");
        for index in 0..port.receive().unwrap() {
            port.open(index).unwrap();
            let mut message = port.message(index).to_vec();
            let length = message.len();
            assert_eq!(port.replied(index), None);
            port.reply(index, |room| {
                room[..length].reverse();
                length
            });
            message.reverse();
            assert_eq!(port.replied(index), Some(&message[..]));
            answered += 1;
        }
        port.flush().unwrap();
    }
}

fn settled(port: &mut UringPort) {
    let start = Instant::now();
    while port.statistics().frames_lost != 0 {
        assert!(
            start.elapsed() < PATIENCE,
            "frames lost: {:?}",
            port.statistics()
        );
        port.receive().unwrap();
        port.flush().unwrap();
    }
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let (mut port, bound) = port_on("0.0.0.0:0");
    for asked in ["127.0.0.1", "127.0.0.2"] {
        let server = SocketAddr::new(asked.parse().unwrap(), bound.port());
        let client = client("127.0.0.1:0", server); // Connected: others' datagrams are not seen.
        client.send(b"abc").unwrap();
        answer_reversed(&mut port, 1);
        let mut reply = [0; 16];
        let length = client.recv(&mut reply).unwrap();
        assert_eq!(&reply[..length], b"cba");
    }
    settled(&mut port);
}

#[test]
fn ipv6_is_answered_from_the_address_that_was_asked() {
    let (mut port, bound) = port_on("[::]:0");
    let server = SocketAddr::new("::1".parse().unwrap(), bound.port());
    let client = client("[::1]:0", server);
    client.send(b"xyz").unwrap();
    answer_reversed(&mut port, 1);
    let mut reply = [0; 16];
    let length = client.recv(&mut reply).unwrap();
    assert_eq!(&reply[..length], b"zyx");
}

#[test]
fn more_packets_than_buffers_are_all_answered_and_no_buffer_is_lost() {
    let (mut port, bound) = port_on("127.0.0.1:0");
    let client = client("127.0.0.1:0", bound);
    let mut replies = 0;
    for round in 0..100_u32 {
        for packet in 0..50_u32 {
            client.send(&(round * 50 + packet).to_be_bytes()).unwrap();
        }
        answer_reversed(&mut port, 50);
        let mut reply = [0; 16];
        for _ in 0..50 {
            assert_eq!(client.recv(&mut reply).unwrap(), 4);
            replies += 1;
        }
    }
    assert_eq!(replies, 5000);
    settled(&mut port);
}

#[test]
fn unanswered_packets_are_recycled() {
    let (mut port, bound) = port_on("127.0.0.1:0");
    let client = client("127.0.0.1:0", bound);
    let start = Instant::now();
    let mut seen = 0;
    for _ in 0..60 {
        for _ in 0..50 {
            client.send(b"drop me").unwrap();
        }
        let wanted = seen + 50;
        while seen < wanted {
            assert!(start.elapsed() < PATIENCE, "seen={seen}");
            seen += port.receive().unwrap();
            port.flush().unwrap();
        }
    }
    assert_eq!(port.statistics().frames_lost, 0);
}

#[test]
fn injected_reply_reaches_the_asker_from_the_asked_address() {
    let (mut port, bound) = port_on("0.0.0.0:0");
    let server = SocketAddr::new("127.0.0.3".parse().unwrap(), bound.port());
    let client = client("127.0.0.1:0", server);
    client.send(b"later").unwrap();
    let start = Instant::now();
    while port.receive().unwrap() == 0 {
        assert!(start.elapsed() < PATIENCE);
    }
    port.open(0).unwrap();
    assert_eq!(port.source(0).client, client.local_addr().unwrap());
    assert_eq!(port.source(0).local, server);
    let mut headers = [0; HEADERS_BYTES_MAX];
    let length = port.reply_headers(0, &mut headers);
    port.flush().unwrap();

    port.inject(&headers[..length], b"the answer").unwrap();
    port.flush().unwrap();
    let mut reply = [0; 32];
    let received = client.recv(&mut reply).unwrap();
    assert_eq!(&reply[..received], b"the answer");
    settled(&mut port);
}

#[test]
fn headers_of_another_making_are_refused() {
    let (mut port, _) = port_on("127.0.0.1:0");
    for cut in 0..HEADERS_BYTES_MAX {
        assert!(port.inject(&vec![0xff; cut], b"x").is_err(), "cut={cut}");
        assert!(port.inject(&vec![0; cut], b"x").is_err(), "cut={cut}");
    }
    assert_eq!(port.statistics().frames_lost, 0);
}

#[test]
fn sleeper_is_woken_by_a_packet_and_by_the_eventfd() {
    let (mut port, bound) = port_on("127.0.0.1:0");
    let wake = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let client = client("127.0.0.1:0", bound);

    client.send(b"knock").unwrap();
    port.sleep(wake.as_fd(), PATIENCE).unwrap();
    assert_eq!(
        port.receive().unwrap(),
        1,
        "woken by the packet, not by the timeout"
    );
    port.flush().unwrap();

    for _ in 0..3 {
        rustix::io::write(&wake, &1_u64.to_ne_bytes()).unwrap();
        let start = Instant::now();
        port.sleep(wake.as_fd(), PATIENCE).unwrap();
        assert!(start.elapsed() < PATIENCE);
        assert_eq!(port.receive().unwrap(), 0);
        port.flush().unwrap();
    }
}
