//! Streams by hand, in every order, and of any bytes.

use super::*;

const COOKIE: u64 = 9;

fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[1..], bytes].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &vector(body)[..]].concat()
}

fn certificate_message(certificates: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = certificates.iter().flat_map(|der| vector(der)).collect();
    message(CERTIFICATE, &vector(&list))
}

fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], fragment].concat()
}

/// ServerHello, Certificate and ServerHelloDone, in records of so many bytes.
fn flight(record_bytes: usize) -> Vec<u8> {
    let messages = [
        message(SERVER_HELLO, &[7; 70]),
        certificate_message(&[b"leaf", &[5; 3000]]),
        message(14, &[]),
    ]
    .concat();
    let records = messages.chunks(record_bytes);
    records
        .flat_map(|fragment| record(HANDSHAKE, fragment))
        .collect()
}

fn piece(sequence: u32, data: &[u8]) -> SegmentPiece<'_> {
    SegmentPiece {
        cookie: COOKIE,
        seen_ns: 1,
        sequence,
        begins: false,
        data,
    }
}

fn first(sequence: u32, data: &[u8]) -> SegmentPiece<'_> {
    SegmentPiece {
        begins: true,
        ..piece(sequence, data)
    }
}

fn shown(outcome: Outcome) -> Vec<Vec<u8>> {
    match outcome {
        Outcome::Shown(chain) => {
            assert_eq!(chain.witness.cookie, Some(COOKIE));
            chain.certificates
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn certificates_are_found_whatever_the_records_and_segments() {
    let expected = [b"leaf".to_vec(), vec![5; 3000]];
    for record_bytes in [1, 7, 100, 1400, 16000] {
        let flight = flight(record_bytes);
        for segment_bytes in [100, 1448, 100_000] {
            // Across the wrap of sequence numbers.
            let mut sequence = u32::MAX - 500;
            let mut streams = Streams::default();
            let mut outcome = Outcome::Unfinished;
            for (index, segment) in flight.chunks(segment_bytes).enumerate() {
                assert_eq!(outcome, Outcome::Unfinished);
                let piece = piece(sequence, segment);
                let begins = index == 0;
                outcome = streams.take(&SegmentPiece { begins, ..piece }, true);
                sequence = sequence.wrapping_add(u32::try_from(segment.len()).unwrap());
                if outcome != Outcome::Unfinished {
                    break;
                }
            }
            assert_eq!(shown(outcome), expected, "{record_bytes}, {segment_bytes}");
        }
    }
}

#[test]
fn segments_out_of_order_twice_and_overlapping_count_once_and_the_first_wins() {
    let flight = flight(16000);
    let (a, b, c) = (&flight[..1000], &flight[1000..2000], &flight[2000..]);
    let mut streams = Streams::default();
    let forged = vec![0xee; 1500];
    assert_eq!(streams.take(&first(0, a), false), Outcome::Unfinished);
    for (sequence, data) in [(2000, c), (0, a), (500, &forged[..500])] {
        let outcome = streams.take(&piece(sequence, data), false);
        assert_eq!(outcome, Outcome::Unfinished);
    }
    // The whole again fills the gap alone.
    let mut whole = flight.clone();
    whole[..900].fill(0xee);
    whole[2500..].fill(0xee);
    assert_eq!(shown(streams.take(&piece(0, &whole), false)).len(), 2);
    assert_eq!(b.len(), 1000);
}

#[test]
fn what_is_no_certificate_ends_the_stream() {
    let hello = record(HANDSHAKE, &message(SERVER_HELLO, &[7; 70]));
    let resumed = [hello.clone(), record(20, &[1])].concat();
    let ticket = [hello.clone(), record(HANDSHAKE, &message(4, &[0; 9]))].concat();
    let empty = [hello.clone(), record(HANDSHAKE, &certificate_message(&[]))].concat();
    let mut wrong = certificate_message(&[b"leaf"]);
    wrong[6] += 1;
    let wrong = [hello.clone(), record(HANDSHAKE, &wrong)].concat();
    for bytes in [&resumed[..], &ticket, &empty, &wrong, b"GET / HTTP/1.1"] {
        let mut streams = Streams::default();
        assert_eq!(
            streams.take(&first(0, bytes), false),
            Outcome::None,
            "{bytes:?}"
        );
        assert!(streams.streams.is_empty());
    }
    let mut streams = Streams::default();
    assert_eq!(streams.take(&first(0, &hello), false), Outcome::Unfinished);
}

#[test]
fn rest_of_a_flight_whose_certificates_are_shown_begins_no_stream() {
    let key_exchange = record(HANDSHAKE, &message(12, &[7; 300]));
    let flight = [flight(16000), key_exchange].concat();
    let mut streams = Streams::default();
    let (before, behind) = flight.split_at(3200);
    assert_eq!(shown(streams.take(&first(0, before), true)).len(), 2);
    for (sequence, data) in [(3200, behind), (0, before), (9000, b"GET")] {
        let outcome = streams.take(&piece(sequence, data), true);
        assert_eq!(outcome, Outcome::Unfinished);
        assert!(streams.streams.is_empty());
    }
    // Another handshake on the same connection is looked at.
    assert_eq!(shown(streams.take(&first(50_000, before), true)).len(), 2);
}

#[test]
fn stream_beyond_its_budget_or_time_is_given_up() {
    let hello = record(HANDSHAKE, &message(SERVER_HELLO, &[7; 70]));
    let huge = message(CERTIFICATE, &vec![0; STREAM_BYTES_MAX]);
    let records: Vec<u8> = huge
        .chunks(RECORD_BYTES_MAX)
        .flat_map(|fragment| record(HANDSHAKE, fragment))
        .collect();
    let mut streams = Streams::default();
    let whole = [hello.clone(), records].concat();
    assert_eq!(streams.take(&first(0, &whole), false), Outcome::None);
    assert_eq!(streams.take(&first(0, &hello), false), Outcome::Unfinished);
    assert!(streams.expire(1 + PATIENCE_NS).is_empty());
    assert_eq!(streams.expire(2 + PATIENCE_NS), [(COOKIE, 1)]);
    assert_eq!(streams.dropped(), 1);
}

#[test]
fn more_streams_than_there_is_room_for_drop_the_oldest() {
    let hello = record(HANDSHAKE, &message(SERVER_HELLO, &[7; 70]));
    let mut streams = Streams::default();
    for cookie in 0..=STREAMS_MAX as u64 {
        let mut piece = first(0, &hello);
        (piece.cookie, piece.seen_ns) = (cookie, cookie);
        assert_eq!(streams.take(&piece, false), Outcome::Unfinished);
    }
    assert_eq!((streams.streams.len(), streams.dropped()), (STREAMS_MAX, 1));
    assert!(!streams.streams.contains_key(&0));
}

#[test]
fn any_segments_stay_within_bounds() {
    bolero::check!()
        .with_type::<Vec<(u32, bool, Vec<u8>)>>()
        .for_each(|segments| {
            let mut streams = Streams::default();
            for (sequence, begins, data) in segments {
                let begins = *begins;
                let piece = piece(*sequence, data);
                streams.take(&SegmentPiece { begins, ..piece }, true);
                for stream in streams.streams.values() {
                    assert!(stream.bytes.len() <= STREAM_BYTES_MAX);
                    let apart = stream
                        .come
                        .windows(2)
                        .all(|pair| pair[0].end < pair[1].start);
                    assert!(apart, "{:?}", stream.come);
                }
            }
        });
}

#[test]
fn a_flight_in_any_cuts_gives_the_same_certificates() {
    let flight = flight(900);
    bolero::check!()
        .with_type::<Vec<(u16, u16)>>()
        .for_each(|cuts| {
            let mut streams = Streams::default();
            let first = first(0, &flight[..6]);
            assert_eq!(streams.take(&first, false), Outcome::Unfinished);
            for (start, length) in cuts {
                let start = usize::from(*start) % flight.len();
                let end = (start + usize::from(*length)).min(flight.len());
                let piece = piece(u32::try_from(start).unwrap(), &flight[start..end]);
                match streams.take(&piece, false) {
                    Outcome::Unfinished => {}
                    outcome => return assert_eq!(shown(outcome).len(), 2),
                }
            }
            assert_eq!(shown(streams.take(&piece(0, &flight), false)).len(), 2);
        });
}
