//! The AF_XDP port in copy mode over a veth pair between two namespaces of the test's own.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bpf_redirect::{AttachMode, DnsFilter, LoadError};
use port::xdp::{XdpConfig, XdpPort};
use port::{HEADERS_BYTES_MAX, Mode, Port};
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

const PATIENCE: Duration = Duration::from_secs(20);
const SERVER: [&str; 2] = ["10.77.0.1", "fd77::1"];
const CLIENT: [&str; 2] = ["10.77.0.2", "fd77::2"];

fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn unshare_network() -> rustix::io::Result<()> {
    // SAFETY: unsharing the network invalidates no memory and no descriptor.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Ends of the pair, in namespaces that go with their threads.
struct Pair {
    filter: DnsFilter,
    port: XdpPort,
    clients: Vec<UdpSocket>,
    /// Lets the client's namespace go.
    _release: Sender<()>,
}

/// The client's thread: waits for its end of the pair and makes a socket for each family.
fn client(
    thread_id: &Sender<i32>,
    moved: &Receiver<()>,
    sockets: &Sender<UdpSocket>,
    done: &Receiver<()>,
) {
    unshare_network().unwrap();
    thread_id.send(gettid().as_raw_nonzero().get()).unwrap();
    moved.recv().unwrap();
    run("ip address add 10.77.0.2/24 dev client");
    run("ip address add fd77::2/64 dev client nodad");
    run("ip link set client up");
    for (local, remote) in CLIENT.into_iter().zip(SERVER) {
        let socket = UdpSocket::bind((local.parse::<IpAddr>().unwrap(), 0)).unwrap();
        socket
            .connect((remote.parse::<IpAddr>().unwrap(), 53))
            .unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        sockets.send(socket).unwrap();
    }
    let _ = done.recv(); // Ends when the pair is dropped.
}

/// Runs `body` with a bound port and a client of each family, or says why not.
fn with_pair(body: impl FnOnce(&mut Pair) + Send) {
    std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            if let Err(error) = unshare_network() {
                let _ = writeln!(std::io::stderr(), "skipped: no namespace: {error}");
                return;
            }
            let (tell_id, id) = channel();
            let (tell_moved, moved) = channel();
            let (give_socket, sockets) = channel();
            let (release, done) = channel();
            std::thread::spawn(move || client(&tell_id, &moved, &give_socket, &done));
            let id = id.recv().unwrap();
            run("ip link add server type veth peer name client");
            run(&format!("ip link set client netns {id}"));
            run("ip address add 10.77.0.1/24 dev server");
            run("ip address add fd77::1/64 dev server nodad");
            run("ip link set server up");
            tell_moved.send(()).unwrap();
            let clients = vec![sockets.recv().unwrap(), sockets.recv().unwrap()];

            let mut filter = match DnsFilter::load() {
                Ok(filter) => filter,
                Err(error @ LoadError::PermissionDenied) => {
                    let _ = writeln!(std::io::stderr(), "skipped: {error}");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            let config = XdpConfig {
                interface: "server".to_owned(),
                queue: 0,
                zero_copy: false,
                busy_poll_us: 0,
                busy_poll_budget: 64,
                mesh_port: 4853,
            };
            let port = XdpPort::bind(&config).unwrap();
            filter.serve_port(53).unwrap();
            let addresses = SERVER.map(|address| address.parse::<IpAddr>().unwrap());
            filter.set_addresses(&addresses).unwrap();
            filter.set_socket(0, port.socket()).unwrap();
            filter.deadlines().cell(0).extend_until(u64::MAX);
            filter.attach("server", AttachMode::Native).unwrap();
            body(&mut Pair {
                filter,
                port,
                clients,
                _release: release,
            });
        });
        if let Err(panic) = server.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Opens and answers `count` packets with their own bytes reversed.
fn answer_reversed(port: &mut XdpPort, count: usize) {
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
                assert!(room.len() >= 1232, "room for a full answer");
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

#[test]
fn port_is_in_the_mode_that_was_asked_for_and_its_way_out_works() {
    with_pair(|pair| {
        assert_eq!(pair.port.mode().unwrap(), Mode::Copy);
        let mut frame = [0xff; 60];
        frame[12..14].copy_from_slice(&[0x90, 0x00]);
        assert!(
            pair.port
                .prove_transmit(&frame, Duration::from_secs(2))
                .unwrap()
        );
    });
}

#[test]
fn thousands_of_packets_of_both_families_are_answered_and_no_frame_is_lost() {
    with_pair(|pair| {
        for round in 0..200_u32 {
            for client in &pair.clients {
                for packet in 0..20_u32 {
                    client.send(&(round * 20 + packet).to_be_bytes()).unwrap();
                }
            }
            answer_reversed(&mut pair.port, 40);
            for client in &pair.clients {
                let mut reply = [0; 64];
                for packet in 0..20_u32 {
                    let length = client.recv(&mut reply).unwrap();
                    let mut sent = (round * 20 + packet).to_be_bytes();
                    sent.reverse();
                    assert_eq!(&reply[..length], sent);
                }
            }
        }
        let statistics = pair.port.statistics();
        assert_eq!(statistics.frames_lost, 0);
        assert_eq!(statistics.transmit_invalid, 0);
        assert!(pair.filter.verdicts().unwrap().redirected >= 8000);
    });
}

#[test]
fn packets_left_unanswered_and_replies_injected_leave_every_frame_accounted_for() {
    with_pair(|pair| {
        let start = Instant::now();
        let mut injected = 0;
        while injected < 3000 {
            assert!(start.elapsed() < PATIENCE, "injected={injected}");
            for client in &pair.clients {
                client.send(b"question").unwrap();
            }
            for index in 0..pair.port.receive().unwrap() {
                pair.port.open(index).unwrap();
                let client = pair.port.source(index).client;
                assert!(CLIENT.contains(&client.ip().to_string().as_str()));
                let mut headers = [0; HEADERS_BYTES_MAX];
                let length = pair.port.reply_headers(index, &mut headers);
                pair.port.inject(&headers[..length], b"answer").unwrap();
                injected += 1;
            }
            pair.port.flush().unwrap();
        }
        for client in &pair.clients {
            let mut reply = [0; 64];
            assert_eq!(client.recv(&mut reply).unwrap(), 6);
        }
        assert_eq!(pair.port.statistics().frames_lost, 0);
        assert!(
            pair.port.inject(&[0; 20], b"answer").is_err(),
            "headers of another making"
        );
        assert_eq!(pair.port.statistics().frames_lost, 0);
    });
}

#[test]
fn sleeper_is_woken_by_a_packet() {
    with_pair(|pair| {
        let wake = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        pair.clients[0].send(b"knock").unwrap();
        pair.port.sleep(wake.as_fd(), PATIENCE).unwrap();
        answer_reversed(&mut pair.port, 1);
        rustix::io::write(&wake, &1_u64.to_ne_bytes()).unwrap();
        let start = Instant::now();
        pair.port.sleep(wake.as_fd(), PATIENCE).unwrap();
        assert!(start.elapsed() < PATIENCE);
    });
}
