//! The program and `wire` agree on every frame: what is steered to a worker is what it can read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::IpAddr;

use bpf_redirect::program::Action;
use bpf_redirect::{ConsensusCoord, Peer, Rate, Rules};
use support::{Frame, LOCAL_V4, LOCAL_V6, SERVED_PORT, at};
use wire::frame::Datagram;

const FRAMES: u32 = 60_000;
const SEED: u64 = 0x6e65_7875_735f_6271;
const TAGS: [u16; 2] = [0x8100, 0x88a8];
/// Trial runs take no frame that is shorter than an Ethernet header; drivers deliver none.
const FRAME_BYTES_MIN: usize = 14;
/// Everything that the program looks at lies before this, with two tags and some options.
const HEADERS_BYTES: usize = 80;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for mutations, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Good frames, and frames that are wrong in one interesting way.
fn templates() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for plain in [Frame::v4(), Frame::v6()] {
        frames.push(plain.clone());
        frames.push(plain.clone().padded(18));
        frames.extend(TAGS.map(|tpid| plain.clone().tagged(tpid)));
        frames.push(plain.clone().tagged(TAGS[0]).tagged(TAGS[1]));
        frames.push(plain.insert_after_ip(&[17, 0, 1, 4, 0, 0, 0, 0]));
    }
    frames.push(
        Frame::v4()
            .set_ip_byte(0, 0x46)
            .insert_after_ip(&[0x94, 4, 0, 0]),
    );
    frames.push(Frame::v4().set_ip(at::V4_FRAGMENT, 0x2000));
    frames.push(
        Frame::v4()
            .padded(9)
            .set_ip(at::V4_TOTAL_BYTES, 20 + 8 + 29 + 9),
    );
    frames.push(Frame::v6().set_ip_byte(at::V6_NEXT_HEADER, 44));
    frames.iter().map(Frame::bytes).collect()
}

fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let position = random.below(frame.len().min(HEADERS_BYTES));
        match random.below(6) {
            0 => frame[position] ^= 1 << random.below(8),
            1 => frame[position] = random.byte(),
            // Lengths and fragment offsets go wrong by little.
            2 => frame[position] = frame[position].wrapping_add(1),
            3 => frame[position] = frame[position].wrapping_sub(1),
            4 => frame.truncate(FRAME_BYTES_MIN.max(random.below(frame.len()))),
            _ => {
                let bytes = frame.len() + random.below(40);
                frame.resize(bytes, 0xa5);
            }
        }
    }
}

fn noise(random: &mut Random) -> Vec<u8> {
    let bytes = FRAME_BYTES_MIN + random.below(100);
    (0..bytes).map(|_| random.byte()).collect()
}

/// What the program must decide, by the worker's parser and the addresses and port served.
fn belongs_to_a_worker(frame: &[u8]) -> bool {
    let Ok(datagram) = Datagram::parse(frame) else {
        return false;
    };
    let destination = datagram.destination(frame);
    let is_local = destination.ip() == LOCAL_V4 || destination.ip() == LOCAL_V6;
    // Groups are the kernel's business, whatever the frame holds, and what comes from no host.
    let is_unicast = (frame[0] | frame[6]) & 1 == 0;
    let is_from_host = match datagram.source(frame).ip() {
        IpAddr::V4(source) => !matches!(source.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(source) => source.to_bits() >> 64 != 0 && !source.is_multicast(),
    };
    is_unicast && is_from_host && is_local && destination.port() == SERVED_PORT
}

#[test]
fn random_and_mutated_frames_are_redirected_if_and_only_if_wire_parses_them() {
    let Some((filter, _socket)) = support::load_ready() else {
        return;
    };
    println!("seed {SEED:#x}");
    let templates = templates();
    let mut random = Random(SEED);
    let mut redirected = 0;
    for round in 0..FRAMES {
        let mut frame = templates[random.below(templates.len())].clone();
        if random.below(16) == 0 {
            frame = noise(&mut random);
        }
        mutate(&mut frame, &mut random);
        let expected = if belongs_to_a_worker(&frame) {
            Action::Redirect
        } else {
            Action::Pass
        };
        let action = filter.test_run(&frame).unwrap();
        assert_eq!(
            action,
            expected,
            "round {round}: {:?} {frame:02x?}",
            Datagram::parse(&frame)
        );
        redirected += u32::from(action == Action::Redirect);
    }
    // The test says something only if both outcomes are common.
    let share = FRAMES / 10..FRAMES - FRAMES / 10;
    assert!(share.contains(&redirected), "{redirected} of {FRAMES}");
}

/// Every value of every byte of the headers, one byte at a time.
#[test]
fn each_header_byte_decides_the_same_in_both_parsers() {
    let Some((filter, _socket)) = support::load_ready() else {
        return;
    };
    for template in [Frame::v4(), Frame::v6(), Frame::v4().tagged(TAGS[0])] {
        let template = template.bytes();
        let headers = template.len() - 29;
        for position in 0..headers {
            for value in 0..=u8::MAX {
                let mut frame = template.clone();
                frame[position] = value;
                let redirected = filter.test_run(&frame).unwrap() == Action::Redirect;
                let expected = belongs_to_a_worker(&frame);
                assert_eq!(redirected, expected, "byte {position} = {value:#04x}");
            }
        }
    }
}

/// The guard steers too, and by the same parser; that it drops some is no matter here.
#[test]
fn whatever_the_guard_of_other_ports_redirects_wire_parses() {
    let Some((mut filter, _socket)) = support::load_ready() else {
        return;
    };
    let mut guard = ConsensusCoord::load(&filter).unwrap();
    guard
        .set_addresses(&[LOCAL_V4.into(), LOCAL_V6.into()])
        .unwrap();
    let rate = Rate {
        per_second: 0,
        burst: 1,
    };
    guard
        .set_rules(&Rules {
            port: SERVED_PORT + 1,
            steers: true,
            peer: rate,
            initial: rate,
            newcomer_secs: 3600,
            newcomer_packets: u32::MAX,
        })
        .unwrap();
    guard
        .set_peers(
            &["198.51.100.7:12345", "[2001:db8::7]:12345"].map(|endpoint| Peer {
                node_id: 7,
                endpoint: endpoint.parse().unwrap(),
                isolated_until_ns: 0,
            }),
        )
        .unwrap();
    filter.set_guard(Some(&guard)).unwrap();
    println!("seed {SEED:#x}");
    let frames = [Frame::v4(), Frame::v6(), Frame::v4().tagged(TAGS[1])];
    let frames = frames.map(|frame| {
        let frame = frame.set_udp(at::UDP_DESTINATION, SERVED_PORT + 1);
        frame.with_payload(&[0x40; 40]).padded(9).bytes()
    });
    let mut random = Random(SEED);
    let mut redirected = 0;
    for round in 0..FRAMES {
        let mut frame = frames[random.below(frames.len())].clone();
        mutate(&mut frame, &mut random);
        if filter.test_run(&frame).unwrap() == Action::Redirect {
            let parsed = Datagram::parse(&frame);
            assert!(parsed.is_ok(), "round {round}: {parsed:?} {frame:02x?}");
            redirected += 1;
        }
    }
    assert!(redirected > FRAMES / 10, "{redirected} of {FRAMES}");
}
