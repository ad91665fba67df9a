//! One query's way through the crate: frame in, answer in the same frame out.

mod support;

use support::Frame;
use wire::answer::{Age, Answer, write_answer};
use wire::frame::{Datagram, turn_around};
use wire::query::Query;

/// A query for `WwW.example.com A` with EDNS 1232, id 0x1234, RD.
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\
    \x03WwW\x07example\x03com\x00\x00\x01\x00\x01\
    \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

/// `192.0.2.1` as answer with TTL 300, compressed owner.
const BODY: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01";

#[test]
fn query_is_answered_in_its_own_frame() {
    let mut frame = Frame::ipv4(QUERY).bytes();
    frame.resize(2048, 0);
    let datagram = Datagram::parse(&frame).unwrap();
    let payload = datagram.payload();
    assert_eq!(payload.len(), QUERY.len());
    let query = Query::parse(&frame[payload.clone()]).unwrap();
    assert_eq!(query.qname(), b"\x03www\x07example\x03com\x00");
    assert_eq!(query.key_flags(), 1);
    let answer = Answer {
        flags: 0x0400,
        rcode_high: 0,
        counts: [1, 0, 0],
        required_bytes: 16,
        extended_error: None,
        extended_text: &[],
        nexus: None,
        body: BODY,
        ttl_offsets: &[6, 0],
    };
    let limit = query.response_limit(1232);
    let message = &mut frame[payload.start..];
    let bytes = write_answer(message, &query, &answer, Age::Fresh(100), limit);
    assert_eq!(
        message[..bytes],
        *b"\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x01\
        \x03WwW\x07example\x03com\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\xc8\x00\x04\xc0\x00\x02\x01\
        \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
    );
    let frame_bytes = turn_around(&mut frame, &datagram, bytes);
    assert_eq!(frame_bytes, 42 + bytes);
    let reply = Datagram::parse(&frame[..frame_bytes]).unwrap();
    assert_eq!(reply.payload().len(), bytes);
    assert_eq!(reply.source(&frame).to_string(), "192.0.2.1:53");
    assert_eq!(reply.destination(&frame).to_string(), "192.0.2.2:49152");
}
