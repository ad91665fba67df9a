//! What is seen on the wire, without probes.

use super::*;

#[test]
fn certificates_on_the_wire_are_seen_in_tls_1_2_alone_and_without_probes() {
    watched(Enforcement::Alert, false, |bed, watch| {
        let _server = bed.server("");
        let leaf = bed.der("leaf");
        assert!(bed.client("-tls1_3", PATIENCE).is_some());
        assert_eq!((watch.take().len(), watch.counts().streams), (0, 0));
        assert!(bed.client("-tls1_2", PATIENCE).is_some());
        let mut bytes = Vec::new();
        for seen in watch.take() {
            let Seen::Wire { cookie, data, .. } = seen else {
                panic!("{seen:?}");
            };
            assert!(cookie > 0);
            bytes.extend(data);
        }
        assert!(bytes.windows(leaf.len()).any(|window| window == leaf));
        assert_eq!(watch.counts().streams, 1);
    });
}

#[test]
fn certificate_on_the_wire_whose_verdict_is_known_is_not_held_or_lets_nothing_out() {
    watched(block(PATIENCE, true), false, |bed, watch| {
        let server = bed.server("");
        let leaf = bed.der("leaf");
        watch.set_status(&leaf, Status::Valid, [0; 4]);
        let took = bed.client("-tls1_2", PATIENCE).unwrap();
        assert!(took < ABSTENTION, "{took:?}");
        let counts = watch.counts();
        assert_eq!((counts.streams, counts.segments_held), (1, 0), "{counts:?}");
        assert!(watch.take().is_empty());
        watch.set_status(&leaf, Status::Invalid, [0; 4]);
        assert_eq!(bed.client("-tls1_2", ABSTENTION), None);
        assert!(watch.counts().segments_blocked > 0);
        assert!(!watch.take().is_empty(), "nobody is told");
        drop(server);
    });
}

/// ServerHello and a Certificate with this leaf, each in a record, as a server of TLS 1.2 sends them.
fn server_flight(leaf: &[u8]) -> Vec<u8> {
    let vector = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[1..], bytes].concat()
    };
    let message = |kind: u8, body: &[u8]| [&[kind], &vector(body)[..]].concat();
    let record = |fragment: &[u8]| {
        let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[22, 3, 3], &length[..], fragment].concat()
    };
    let hello = [&[3, 3][..], &[7; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let certificates = vector(&vector(leaf));
    [
        record(&message(2, &hello)),
        record(&message(11, &certificates)),
    ]
    .concat()
}

/// A server that sends these, each in a segment of its own, to a client that answers when it has all:
/// whether the answer comes.
fn is_answered(bed: &Bed, parts: &[&[u8]], patience: Duration) -> bool {
    // A segment of its own: the client has acknowledged it by then.
    send_each(bed, parts, Duration::from_millis(100), patience)
}

/// The same with another time between segments.
fn send_each(bed: &Bed, parts: &[&[u8]], pause: Duration, patience: Duration) -> bool {
    let listener = TcpListener::bind("127.0.0.1:4434").unwrap();
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let script = format!(
        "'exec 3<>/dev/tcp/127.0.0.1/4434; head -c {bytes} >/dev/null <&3; echo hello >&3; sleep 60'"
    );
    let client = bed
        .command("bash", &format!("-c {script}"))
        .spawn()
        .unwrap();
    let _client = Running(client);
    let (mut server, _) = listener.accept().unwrap();
    server.set_nodelay(true).unwrap();
    for part in parts {
        server.write_all(part).unwrap();
        std::thread::sleep(pause);
    }
    server.set_read_timeout(Some(patience)).unwrap();
    server.read(&mut [0; 16]).is_ok_and(|count| count > 0)
}

#[test]
fn certificate_that_a_client_sends_to_a_server_is_not_looked_at() {
    watched(block(PATIENCE, true), false, |bed, watch| {
        let leaf = bed.der("leaf");
        watch.set_status(&leaf, Status::Invalid, [0; 4]);
        let _server = bed.server("");
        for _ in 0..2 {
            let mut stranger = TcpStream::connect("127.0.0.1:4433").unwrap();
            stranger.write_all(&server_flight(&leaf)).unwrap();
            // The server says what it thinks of that.
            stranger.set_read_timeout(Some(PATIENCE)).unwrap();
            assert!(stranger.read(&mut [0; 16]).unwrap() > 0);
        }
        assert_eq!((watch.take().len(), watch.counts().streams), (0, 0));
        assert_eq!(watch.counts().segments_blocked, 0);
    });
}

#[test]
fn stream_begins_once_and_its_records_take_the_room_they_need() {
    watched(Enforcement::Alert, false, |bed, watch| {
        let flight = server_flight(&[7; 9000]);
        // Loopback carries it in one segment.
        let tail = [0; 100];
        is_answered(bed, &[&flight, &tail, &[0; 1000]], PATIENCE);
        let mut begun = Vec::new();
        for seen in watch.take() {
            let Seen::Wire {
                data,
                begins,
                record_bytes,
                ..
            } = seen
            else {
                panic!("{seen:?}");
            };
            begun.push(begins);
            let most = match data.len() {
                0..=256 => 376 + 256,
                257..=1536 => 376 + 1536,
                _ => 376 + 4096,
            };
            assert!(record_bytes <= most, "{record_bytes} for {}", data.len());
        }
        assert!(begun.len() >= 5, "{begun:?}");
        assert!(
            begun[0] && begun[1..].iter().all(|begins| !begins),
            "{begun:?}"
        );
    });
}

#[test]
fn tiny_segments_end_a_stream_before_its_bytes_do() {
    watched(Enforcement::Alert, false, |bed, watch| {
        let flight = server_flight(&[7; 900]);
        let (first, rest) = flight.split_at(60);
        let parts: Vec<&[u8]> = [first].into_iter().chain(rest.chunks(4)).collect();
        assert!(parts.len() > 200);
        send_each(bed, &parts, Duration::from_millis(2), PATIENCE);
        assert_eq!(watch.take().len(), 128);
    });
}

#[test]
fn known_good_certificate_passes_on_the_wire_only_at_the_beginning_of_a_connection() {
    watched(block(PATIENCE, true), false, |bed, watch| {
        let leaf = bed.der("leaf");
        watch.set_status(&leaf, Status::Valid, [0; 4]);
        let flight = server_flight(&leaf);
        assert!(is_answered(bed, &[&flight], PATIENCE));
        assert_eq!(watch.counts().segments_held, 0);
        // Behind something else it may be part of another message.
        assert!(!is_answered(bed, &[b"220 hello\r\n", &flight], ABSTENTION));
        assert!(watch.counts().segments_held > 0);
        // So it is here, and user space gets it from the beginning.
        watch.take();
        let outer = [22, 3, 3, 16, 0, 2, 0, 15, 0];
        is_answered(bed, &[&outer, &flight], ABSTENTION);
        let Some(Seen::Wire { data, begins, .. }) = watch.take().into_iter().next() else {
            panic!("nothing was read off the wire");
        };
        assert_eq!((&data[..], begins), (&outer[..], true));
    });
}

#[test]
fn leaf_that_does_not_lie_in_one_handshake_record_is_not_known() {
    watched(block(PATIENCE, true), false, |bed, watch| {
        let leaf = bed.der("leaf");
        watch.set_status(&leaf, Status::Valid, [0; 4]);
        let flight = server_flight(&leaf);
        let second = 5 + 4 + 38;
        let mut alert = flight.clone();
        alert[second] = 21;
        let mut short = flight.clone();
        short[second + 4] -= 1;
        for (name, bytes, is_held) in [("alert", alert, false), ("short record", short, true)] {
            let before = watch.counts().segments_held;
            is_answered(bed, &[&bytes], ABSTENTION);
            assert_eq!(watch.counts().segments_held > before, is_held, "{name}");
            assert!(
                !watch.take().is_empty(),
                "{name} is not looked at by anybody"
            );
        }
    });
}
