//! Frames: what is accepted, what is refused and why, and replies that other stacks accept.

mod support;

use support::{Frame, QUERY};
use wire::frame::{
    Datagram, FrameError, HEADERS_BYTES_MAX, assemble, turn_around, write_reply_headers,
};

/// The Internet checksum as RFC 1071 §4.1 writes it: 0 over data that contains a right one.
fn slow_checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// Checks every field of a reply frame against its length.
fn check_reply(frame: &[u8], payload: &[u8]) {
    let datagram = Datagram::parse(frame).expect("a reply is a datagram");
    assert_eq!(&frame[datagram.payload()], payload);
    assert_eq!(datagram.payload().end, frame.len());
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 2]);
    assert_eq!(frame[6..12], [2, 0, 0, 0, 0, 1]);
    let udp = datagram.payload().start - 8;
    let udp_checksum = &frame[udp + 6..udp + 8];
    if datagram.source(frame).is_ipv4() {
        let ip = &frame[udp - 20..udp];
        assert_eq!(slow_checksum(ip), 0);
        assert_eq!(ip[..2], [0x45, 0]);
        assert_eq!(ip[4..10], [0, 0, 0x40, 0, 64, 17]);
        assert_eq!(udp_checksum, [0, 0]);
        assert_eq!(datagram.source(frame).to_string(), "192.0.2.1:53");
        assert_eq!(datagram.destination(frame).to_string(), "192.0.2.2:49152");
    } else {
        let ip = &frame[udp - 40..udp];
        assert_eq!(ip[..4], [0x60, 0, 0, 0]);
        assert_eq!(ip[6..8], [17, 64]);
        assert_ne!(udp_checksum, [0, 0]);
        let mut pseudo = ip[8..40].to_vec();
        pseudo.extend(
            u32::try_from(frame.len() - udp)
                .expect("short")
                .to_be_bytes(),
        );
        pseudo.extend([0, 0, 0, 17]);
        pseudo.extend(&frame[udp..]);
        assert_eq!(slow_checksum(&pseudo), 0);
        assert_eq!(datagram.source(frame).to_string(), "[2001:db8::1]:53");
        assert_eq!(
            datagram.destination(frame).to_string(),
            "[2001:db8::2]:49152"
        );
    }
}

fn both(payload: &[u8]) -> [Frame; 2] {
    [Frame::ipv4(payload), Frame::ipv6(payload)]
}

#[test]
fn datagram_is_found_with_and_without_vlan_tag() {
    for frame in both(QUERY) {
        for tagged in [
            frame.clone(),
            frame.clone().tagged(0x8100, 0x2007),
            frame.clone().tagged(0x88a8, 7),
        ] {
            let bytes = tagged.bytes();
            let datagram = Datagram::parse(&bytes).unwrap();
            assert_eq!(&bytes[datagram.payload()], QUERY);
            assert_eq!(datagram.source(&bytes).port(), 49152);
            assert_eq!(datagram.destination(&bytes).port(), 53);
        }
    }
}

#[test]
fn port_and_congestion_bits_are_read_from_either_family() {
    for frame in both(QUERY) {
        for tagged in [frame.clone(), frame.clone().tagged(0x8100, 7)] {
            let mut bytes = tagged.bytes();
            let datagram = Datagram::parse(&bytes).unwrap();
            assert_eq!(datagram.destination_port(&bytes), 53);
            let network = datagram.payload().start - 8;
            // Right behind the tag, or the addresses.
            let ip = if bytes[network - 20] >> 4 == 4 {
                network - 20
            } else {
                network - 40
            };
            for ecn in 0..4 {
                if bytes[ip] >> 4 == 4 {
                    bytes[ip + 1] = 0xb8 | ecn;
                } else {
                    bytes[ip] = 0x6b;
                    bytes[ip + 1] = 0x8f | ecn << 4;
                }
                assert_eq!(datagram.ecn(&bytes), ecn);
            }
        }
    }
}

#[test]
fn payload_ends_where_udp_says_whatever_the_padding() {
    for mut frame in both(QUERY) {
        for padding_bytes in [0, 1, 18, 500] {
            frame.padding_bytes = padding_bytes;
            let bytes = frame.bytes();
            let datagram = Datagram::parse(&bytes).unwrap();
            assert_eq!(&bytes[datagram.payload()], QUERY);
        }
        // UDP shorter than the IP payload.
        frame.udp_length = Some(8 + 12);
        let bytes = frame.bytes();
        let datagram = Datagram::parse(&bytes).unwrap();
        assert_eq!(&bytes[datagram.payload()], &QUERY[..12]);
        // No payload at all.
        frame.udp_length = Some(8);
        let datagram = Datagram::parse(&frame.bytes()).unwrap();
        assert!(datagram.payload().is_empty());
    }
}

#[test]
fn frame_cut_at_every_byte_is_refused_and_never_panics() {
    for frame in both(QUERY) {
        for tagged in [frame.clone(), frame.tagged(0x8100, 1)] {
            let bytes = tagged.bytes();
            for length in 0..bytes.len() {
                let error = Datagram::parse(&bytes[..length]).unwrap_err();
                let expected = [FrameError::Truncated, FrameError::IpLength];
                assert!(expected.contains(&error), "length={length} {error}");
            }
        }
    }
}

#[test]
fn frame_that_is_no_plain_datagram_is_refused_with_the_reason() {
    let [v4, v6] = both(QUERY);
    let refuse = |frame: &Frame, reason: FrameError| {
        assert_eq!(Datagram::parse(&frame.bytes()), Err(reason));
    };
    let change = |frame: &Frame, offset: usize, bytes: &[u8], reason: FrameError| {
        let mut frame = frame.clone();
        frame.ip[offset..offset + bytes.len()].copy_from_slice(bytes);
        refuse(&frame, reason);
    };
    refuse(
        &v4.clone().tagged(0x88a8, 1).tagged(0x8100, 2),
        FrameError::VlanStacked,
    );
    refuse(
        &v6.clone().tagged(0x8100, 1).tagged(0x8100, 2),
        FrameError::VlanStacked,
    );
    for ethertype in [0x0806, 0x9100, 0x0027, 0x8847] {
        let mut frame = v4.clone();
        frame.ethertype = ethertype;
        refuse(&frame, FrameError::NotIp);
    }
    for version in [0x55, 0x65, 0x05] {
        change(&v4, 0, &[version], FrameError::IpVersion);
    }
    change(&v6, 0, &[0x45], FrameError::IpVersion);
    for header_words in [0x46, 0x4f, 0x44, 0x40] {
        change(&v4, 0, &[header_words], FrameError::Ipv4Options);
    }
    for fragment in [[0x20, 0], [0, 1], [0x1f, 0xff], [0x60, 0]] {
        change(&v4, 6, &fragment, FrameError::Fragment);
    }
    for protocol in [1, 6, 132] {
        change(&v4, 9, &[protocol], FrameError::NotUdp);
        change(&v6, 6, &[protocol], FrameError::NotUdp);
    }
    for extension in [0, 43, 44, 50, 51, 60, 135, 139, 140, 253, 254] {
        change(&v6, 6, &[extension], FrameError::ExtensionHeader);
    }
    for total in [0_u16, 20, 27, 62 + 1, 0xffff] {
        change(&v4, 2, &total.to_be_bytes(), FrameError::IpLength);
    }
    for payload in [0_u16, 7, 42 + 1, 0xffff] {
        change(&v6, 4, &payload.to_be_bytes(), FrameError::IpLength);
    }
    for frame in [&v4, &v6] {
        for udp_length in [0, 7, 42 + 1, 0xffff] {
            let mut frame = frame.clone();
            frame.udp_length = Some(udp_length);
            refuse(&frame, FrameError::UdpLength);
        }
    }
}

#[test]
fn udp_longer_than_ip_but_inside_the_padding_is_refused() {
    for mut frame in both(QUERY) {
        frame.padding_bytes = 100;
        frame.udp_length = Some(42 + 4);
        assert_eq!(Datagram::parse(&frame.bytes()), Err(FrameError::UdpLength));
    }
}

#[test]
fn dont_fragment_and_reserved_bit_are_no_fragments() {
    for flags in [0x40, 0x80, 0xc0] {
        let mut frame = Frame::ipv4(QUERY);
        frame.ip[6] = flags;
        Datagram::parse(&frame.bytes()).unwrap();
    }
}

#[test]
fn reply_of_every_length_has_right_lengths_and_checksums() {
    for frame in both(QUERY) {
        for tagged in [frame.clone(), frame.tagged(0x8100, 9)] {
            for payload_bytes in 0..300 {
                let mut bytes = tagged.bytes();
                bytes.resize(400, 0xee);
                let datagram = Datagram::parse(&bytes).unwrap();
                let payload: Vec<u8> = (0..payload_bytes)
                    .map(|i: u32| (i * 37 + 11).to_le_bytes()[0])
                    .collect();
                let start = datagram.payload().start;
                bytes[start..start + payload.len()].copy_from_slice(&payload);
                let length = turn_around(&mut bytes, &datagram, payload.len());
                assert_eq!(length, start + payload.len());
                check_reply(&bytes[..length], &payload);
                if !tagged.tags.is_empty() {
                    assert_eq!(bytes[12..16], [0x81, 0, 0, 9]);
                }
            }
        }
    }
}

#[test]
fn ipv6_checksum_that_would_be_zero_is_sent_as_ones() {
    let mut frame = Frame::ipv6(&[0, 0]);
    frame.padding_bytes = 10;
    let mut bytes = frame.bytes();
    let datagram = Datagram::parse(&bytes).unwrap();
    let start = datagram.payload().start;
    turn_around(&mut bytes, &datagram, 2);
    // With this as payload the sum of everything becomes 0xffff.
    let missing = [bytes[start - 2], bytes[start - 1]];
    let mut bytes = frame.bytes();
    bytes[start..start + 2].copy_from_slice(&missing);
    let length = turn_around(&mut bytes, &datagram, 2);
    assert_eq!(bytes[start - 2..start], [0xff, 0xff]);
    check_reply(&bytes[..length], &missing);
}

#[test]
fn assembled_reply_equals_the_one_turned_around() {
    for frame in both(QUERY) {
        for tagged in [frame.clone(), frame.tagged(0x88a8, 9)] {
            let query = tagged.bytes();
            let datagram = Datagram::parse(&query).unwrap();
            let message: Vec<u8> = (0..77).collect();
            let mut headers = [0; HEADERS_BYTES_MAX];
            let headers_bytes = write_reply_headers(&query, &datagram, &mut headers);
            assert_eq!(headers_bytes, datagram.payload().start);
            let mut later = [0xee; 256];
            let length = assemble(&mut later, &headers[..headers_bytes], &message).unwrap();

            let mut now = query.clone();
            now.resize(256, 0);
            now[headers_bytes..headers_bytes + 77].copy_from_slice(&message);
            assert_eq!(turn_around(&mut now, &datagram, 77), length);
            assert_eq!(later[..length], now[..length]);
            check_reply(&later[..length], &message);
        }
    }
}

#[test]
fn reply_headers_that_are_none_and_replies_that_do_not_fit_are_refused() {
    let query = Frame::ipv4(QUERY).bytes();
    let datagram = Datagram::parse(&query).unwrap();
    let mut headers = [0; HEADERS_BYTES_MAX];
    let headers_bytes = write_reply_headers(&query, &datagram, &mut headers);
    let mut frame = [0; 256];
    for length in (0..=HEADERS_BYTES_MAX).filter(|length| *length != headers_bytes) {
        let result = assemble(&mut frame, &headers[..length], &[0; 12]);
        assert_eq!(result, Err(FrameError::ReplyHeaders), "length={length}");
    }
    for (offset, value) in [(12, 9), (13, 6), (14, 0x46), (14, 0x65), (23, 6)] {
        let mut headers = headers;
        headers[offset] = value;
        let result = assemble(&mut frame, &headers[..headers_bytes], &[0; 12]);
        assert_eq!(result, Err(FrameError::ReplyHeaders), "offset={offset}");
    }
    let headers = &headers[..headers_bytes];
    let room = frame.len() - headers_bytes;
    assert_eq!(assemble(&mut frame, headers, &vec![0; room]), Ok(256));
    let too_long = assemble(&mut frame, headers, &vec![0; room + 1]);
    assert_eq!(too_long, Err(FrameError::ReplyLength));
    let no_room = assemble(&mut frame[..41], headers, &[]);
    assert_eq!(no_room, Err(FrameError::ReplyLength));
    let beyond_ip = assemble(&mut vec![0; 70_000], headers, &vec![0; 65_508]);
    assert_eq!(beyond_ip, Err(FrameError::ReplyLength));
    assert_eq!(
        assemble(&mut vec![0; 70_000], headers, &vec![0; 65_507]),
        Ok(65_549)
    );
}

#[test]
fn reasons_are_distinct() {
    let mut reasons: Vec<&str> = FrameError::ALL.iter().map(FrameError::reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), FrameError::ALL.len());
}

#[test]
fn any_bytes_are_a_datagram_or_an_error_and_never_a_panic() {
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|bytes: &[u8]| {
            let Ok(datagram) = Datagram::parse(bytes) else {
                return;
            };
            assert!(datagram.payload().end <= bytes.len());
            let mut frame = bytes.to_vec();
            let length = turn_around(&mut frame, &datagram, datagram.payload().len());
            assert!(length <= frame.len());
            Datagram::parse(&frame[..length]).expect("a reply is a datagram");
        });
}

#[test]
fn changed_frame_is_a_datagram_or_an_error_and_never_a_panic() {
    bolero::check!()
        .with_iterations(10_000)
        .with_type::<(u8, [(u8, u8); 3], u8)>()
        .for_each(|(kind, changes, length)| {
            let [v4, v6] = both(QUERY);
            let frame = if kind & 1 == 0 { v4 } else { v6 };
            let frame = if kind & 2 == 0 {
                frame
            } else {
                frame.tagged(0x8100, 1)
            };
            let mut bytes = frame.bytes();
            for (offset, value) in changes {
                let offset = usize::from(*offset) % bytes.len();
                bytes[offset] = *value;
            }
            bytes.truncate(usize::from(*length).max(60));
            if let Ok(datagram) = Datagram::parse(&bytes) {
                let payload = bytes[datagram.payload()].to_vec();
                let mut headers = [0; HEADERS_BYTES_MAX];
                let length = write_reply_headers(&bytes, &datagram, &mut headers);
                let mut out = [0; 512];
                let length = assemble(&mut out, &headers[..length], &payload).expect("our own");
                let reply = Datagram::parse(&out[..length]).expect("a reply is a datagram");
                assert_eq!(out[reply.payload()], payload);
                assert_eq!(reply.source(&out), datagram.destination(&bytes));
                assert_eq!(reply.destination(&out), datagram.source(&bytes));
            }
        });
}

#[test]
fn any_reply_headers_are_accepted_or_refused_and_never_a_panic() {
    bolero::check!()
        .with_iterations(10_000)
        .with_type::<(Vec<u8>, [(u8, u8); 2], u8)>()
        .for_each(|(noise, changes, capacity)| {
            let mut frame = vec![0; usize::from(*capacity)];
            let _ = assemble(&mut frame, noise, &[7; 30]);
            let mut headers = Frame::ipv6(&[]).bytes();
            for (offset, value) in changes {
                let offset = usize::from(*offset) % headers.len();
                headers[offset] = *value;
            }
            if let Ok(length) = assemble(&mut frame, &headers, &[7; 30]) {
                assert_eq!(length, headers.len() + 30);
            }
        });
}
