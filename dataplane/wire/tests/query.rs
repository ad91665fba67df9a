//! Queries: hickory-proto reads the same, and every malformed class gets its own answer.

mod support;

use hickory_proto::op::{Edns, Message, MessageType, OpCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use proptest::prelude::*;
use support::{QUERY, edns_query, opt, option, record};
use wire::answer::write_error;
use wire::query::{CheckedCookie, Query, QueryError};

const CLIENT_COOKIE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// The query with one byte changed.
fn changed(offset: usize, value: u8) -> Vec<u8> {
    let mut query = QUERY.to_vec();
    query[offset] = value;
    query
}

/// A query for a name of labels of the given lengths.
fn query_with_labels(lengths: &[u8]) -> Vec<u8> {
    let mut query = QUERY[..12].to_vec();
    for length in lengths {
        query.push(*length);
        query.extend(vec![b'A'; usize::from(*length)]);
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// The query with additional records behind it.
fn with_additional(records: &[Vec<u8>]) -> Vec<u8> {
    let mut query = QUERY.to_vec();
    query[11] = u8::try_from(records.len()).expect("few records");
    query.extend(records.concat());
    query
}

/// Parses, and answers as a worker does: silence, or an error that repeats id and opcode.
fn refuse(message: &[u8], expected: QueryError, rcode: Option<u16>) {
    let error = Query::parse(message).expect_err("malformed");
    assert_eq!(error, expected);
    assert_eq!(error.rcode(), rcode);
    let Some(rcode) = rcode else { return };
    let mut answer = message.to_vec();
    answer.resize(1232, 0);
    let length = write_error(&mut answer, message.len(), None, rcode, None);
    assert!(
        length <= message.len().max(12) + 11,
        "an error must not amplify"
    );
    assert_eq!(answer[..2], message[..2]);
    let flags = u16::from_be_bytes([answer[2], answer[3]]);
    assert_eq!(flags & 0x8000, 0x8000);
    assert_eq!(
        flags & 0x7910,
        u16::from_be_bytes([message[2], message[3]]) & 0x7910
    );
    let parsed = Message::from_vec(&answer[..length]).expect("an error is a message");
    assert_eq!(u16::from(parsed.metadata.response_code), rcode);
    assert_eq!(parsed.metadata.message_type, MessageType::Response);
}

const FORMERR: Option<u16> = Some(1);
const NOTIMP: Option<u16> = Some(4);
const BADVERS: Option<u16> = Some(16);

#[test]
fn plain_query_is_read_in_full() {
    let query = Query::parse(QUERY).unwrap();
    assert_eq!((query.id, query.flags), (0x1234, 0x0100));
    assert_eq!((query.qtype, query.qclass), (1, 1));
    assert_eq!(usize::from(query.question_end), QUERY.len());
    assert_eq!(query.qname(), b"\x03www\x07example\x03com\x00");
    assert_eq!((query.edns, query.signed), (None, false));
    assert!(query.recursion_desired());
    assert!(!query.checking_disabled() && !query.authentic_data() && !query.dnssec_ok());
    assert_eq!(query.key_flags(), 1);
    assert_eq!(query.response_limit(1232), 512);
}

#[test]
fn query_cut_at_every_byte_is_truncated_and_never_panics() {
    let options = [
        option(10, &[7; 24]),
        option(8, &[0, 1, 24, 0, 192, 0, 2]),
        option(12, &[0; 9]),
    ]
    .concat();
    let whole = edns_query(4096, 0x8000, &options);
    Query::parse(&whole).unwrap();
    for length in 0..whole.len() {
        let error = Query::parse(&whole[..length]).unwrap_err();
        assert!(
            matches!(error, QueryError::Truncated { .. }),
            "length={length}"
        );
        assert_eq!(error.rcode(), if length < 12 { None } else { FORMERR });
    }
}

#[test]
fn response_is_met_with_silence() {
    refuse(&changed(2, 0x81), QueryError::Response, None);
    refuse(&changed(2, 0xa9), QueryError::Response, None);
    refuse(&QUERY[..11], QueryError::Truncated { offset: 11 }, None);
    refuse(&[], QueryError::Truncated { offset: 0 }, None);
}

#[test]
fn opcode_other_than_query_is_not_implemented() {
    for opcode in 1..16 {
        let query = changed(2, opcode << 3 | 1);
        refuse(&query, QueryError::Opcode(opcode), NOTIMP);
    }
}

#[test]
fn counts_that_no_query_has_are_format_errors() {
    refuse(&changed(5, 0), QueryError::QuestionCount(0), FORMERR);
    refuse(&changed(5, 2), QueryError::QuestionCount(2), FORMERR);
    refuse(&changed(4, 1), QueryError::QuestionCount(257), FORMERR);
    refuse(&changed(7, 1), QueryError::AnswerCount(1), FORMERR);
    let end = QUERY.len();
    refuse(
        &changed(9, 1),
        QueryError::Truncated { offset: end },
        FORMERR,
    );
    refuse(
        &changed(11, 1),
        QueryError::Truncated { offset: end },
        FORMERR,
    );
    refuse(
        &changed(10, 255),
        QueryError::Truncated { offset: end },
        FORMERR,
    );
}

#[test]
fn question_with_a_name_that_is_none_is_a_format_error() {
    let mut compressed = QUERY[..12].to_vec();
    compressed.extend([0xc0, 12, 0, 1, 0, 1]);
    refuse(&compressed, QueryError::CompressedQuestion, FORMERR);
    refuse(&changed(16, 0xff), QueryError::CompressedQuestion, FORMERR);
    for label_bytes in [64, 0x7f, 0x80, 0xbf] {
        let query = changed(16, label_bytes);
        refuse(&query, QueryError::LabelLength(label_bytes), FORMERR);
    }
    let longest = query_with_labels(&[63, 63, 63, 61]);
    assert_eq!(Query::parse(&longest).unwrap().qname().len(), 255);
    for labels in [&[63, 63, 63, 62][..], &[63; 4], &[63; 9], &[1; 128]] {
        refuse(&query_with_labels(labels), QueryError::NameLength, FORMERR);
    }
    assert_eq!(
        Query::parse(&query_with_labels(&[1; 127]))
            .unwrap()
            .qname()
            .len(),
        255
    );
}

#[test]
fn names_of_every_length_are_lower_cased_whole() {
    for first in 0..=63 {
        for second in 0..=9 {
            let lengths: Vec<u8> = [first, second].into_iter().filter(|n| *n > 0).collect();
            let message = query_with_labels(&lengths);
            let name = &message[12..message.len() - 4];
            let query = Query::parse(&message).unwrap();
            assert_eq!(query.qname(), name.to_ascii_lowercase());
        }
    }
}

#[test]
fn only_letters_are_lower_cased() {
    for byte in 0..=255 {
        let mut message = query_with_labels(&[11]);
        message[13..24].fill(byte);
        let query = Query::parse(&message).unwrap();
        assert_eq!(query.qname()[1..12], [byte.to_ascii_lowercase(); 11]);
    }
}

#[test]
fn query_read_over_another_keeps_nothing_of_it() {
    let mut query = Query::parse(&query_with_labels(&[63, 63, 63, 61])).unwrap();
    query
        .parse_into(&edns_query(4096, 0x8000, &option(10, &[1; 8])))
        .unwrap();
    query.signed = true;
    query.parse_into(QUERY).unwrap();
    assert_eq!(query, Query::parse(QUERY).unwrap());
}

#[test]
fn trailing_bytes_are_a_format_error() {
    for tail in [&[0][..], b"\x00\x00\x29"] {
        let trailing = QueryError::TrailingBytes {
            offset: QUERY.len(),
        };
        refuse(&[QUERY, tail].concat(), trailing, FORMERR);
        let query = edns_query(1232, 0, &[]);
        let trailing = QueryError::TrailingBytes {
            offset: query.len(),
        };
        refuse(&[&query, tail].concat(), trailing, FORMERR);
    }
}

#[test]
fn edns_is_read_in_full() {
    let options = [
        option(65001, b"other"),
        option(10, &[CLIENT_COOKIE.as_slice(), &[9; 16]].concat()),
        option(10, &[0; 8]), // RFC 7873 §5.2: the first one counts.
        option(8, &[0, 1, 24, 0, 192, 0, 2]),
        option(12, &[0; 30]),
        option(65053, &[5; 16]),
    ];
    let message = edns_query(4096, 0x8000, &options.concat());
    let query = Query::parse(&message).unwrap();
    let edns = query.edns.unwrap();
    assert_eq!((edns.udp_payload_bytes, edns.version), (4096, 0));
    assert!(edns.dnssec_ok && edns.client_subnet);
    assert_eq!(edns.client_cookie, Some(CLIENT_COOKIE));
    assert_eq!(edns.server_cookie(&message), Some(&[9; 16][..]));
    assert_eq!(edns.nexus, Some([5; 16]));
    assert_eq!(query.key_flags(), 0b101);
}

#[test]
fn response_limit_lies_between_512_and_the_ceiling() {
    for (announced, ceiling, limit) in [
        (0, 1232, 512),
        (511, 1232, 512),
        (512, 1232, 512),
        (1000, 1232, 1000),
        (1232, 1232, 1232),
        (65535, 1232, 1232),
        (65535, 4096, 4096),
        (4096, 100, 512),
    ] {
        let query = Query::parse(&edns_query(announced, 0, &[])).unwrap();
        assert_eq!(query.response_limit(ceiling), limit);
    }
}

#[test]
fn cookie_of_forbidden_length_is_a_format_error() {
    for length in 0..60 {
        let message = edns_query(1232, 0, &option(10, &vec![3; length]));
        if matches!(length, 8 | 16..=40) {
            let edns = Query::parse(&message).unwrap().edns.unwrap();
            assert_eq!(edns.client_cookie, Some([3; 8]));
            let server = edns.server_cookie(&message).map_or(0, <[u8]>::len);
            assert_eq!(server, length - 8);
        } else {
            let length = u16::try_from(length).unwrap();
            refuse(&message, QueryError::CookieLength(length), FORMERR);
        }
    }
}

#[test]
fn query_for_a_cookie_alone_needs_a_cookie_and_no_question() {
    let cookie_only = |options: &[u8]| {
        let mut message = b"\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01".to_vec();
        message.extend(opt(1232, 0, options));
        message
    };
    let message = cookie_only(&option(10, &CLIENT_COOKIE));
    refuse(&message, QueryError::QuestionCount(0), FORMERR);
    let query = Query::parse_cookie_only(&message).unwrap();
    assert_eq!(query.edns.unwrap().client_cookie, Some(CLIENT_COOKIE));
    assert!(!query.has_question() && Query::parse(QUERY).unwrap().has_question());
    let mut room = message.clone();
    room.resize(512, 0);
    let length = write_error(&mut room, message.len(), Some(&query), 0, None);
    assert_eq!(length, 12 + 11);
    assert_eq!(room[2..12], [0x81, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    let error = |message: &[u8]| Query::parse_cookie_only(message).unwrap_err();
    assert_eq!(error(&cookie_only(&[])), QueryError::QuestionCount(0));
    assert_eq!(error(&message[..12]), QueryError::Truncated { offset: 12 });
    assert_eq!(
        error(&cookie_only(&option(10, &[1; 9]))),
        QueryError::CookieLength(9)
    );
    let with = |at: usize, value: u8| {
        let mut message = message.clone();
        message[at] = value;
        error(&message)
    };
    assert_eq!(with(2, 0x80), QueryError::Response);
    assert_eq!(with(2, 0x28), QueryError::Opcode(5));
    assert_eq!(with(5, 1), QueryError::QuestionCount(1));
    assert_eq!(with(7, 1), QueryError::AnswerCount(1));
    assert_eq!(with(11, 0), QueryError::TrailingBytes { offset: 12 });
    for length in 0..message.len() {
        assert!(Query::parse_cookie_only(&message[..length]).is_err());
    }
}

#[test]
fn cookies_and_padding_are_no_part_of_what_an_answer_depends_on() {
    let of = |options: &[u8]| {
        let query = Query::parse(&edns_query(1232, 0, options)).unwrap();
        let limit = query.response_limit(1232);
        (
            query.qname().to_vec(),
            query.qtype,
            query.qclass,
            query.key_flags(),
            limit,
        )
    };
    for options in [
        option(10, &[7; 8]),
        option(10, &[8; 40]),
        option(12, &[0; 99]),
    ] {
        assert_eq!(of(&options), of(&[]));
    }
}

#[test]
fn malformed_options_are_format_errors() {
    for options in [
        &[0][..],
        &[0, 10],
        &[0, 10, 0],
        &[0, 3, 0, 1],
        &[0, 3, 0, 0, 0, 3, 0xff, 0xff],
    ] {
        refuse(
            &edns_query(1232, 0, options),
            QueryError::OptMalformed,
            FORMERR,
        );
    }
}

#[test]
fn nexus_option_of_another_length_belongs_to_others() {
    for length in [0, 15, 17] {
        let message = edns_query(1232, 0, &option(65053, &vec![1; length]));
        assert_eq!(Query::parse(&message).unwrap().edns.unwrap().nexus, None);
    }
}

#[test]
fn opt_in_the_wrong_place_is_a_format_error() {
    let opt = opt(1232, 0, &[]);
    refuse(
        &with_additional(&[opt.clone(), opt.clone()]),
        QueryError::OptDuplicate,
        FORMERR,
    );
    let named = [b"\x01a", opt.as_slice()].concat();
    refuse(&with_additional(&[named]), QueryError::OptOwner, FORMERR);
    let pointed = [b"\xc0\x0c", &opt[1..]].concat();
    refuse(&with_additional(&[pointed]), QueryError::OptOwner, FORMERR);
    let mut authority = [QUERY, &opt].concat();
    authority[9] = 1;
    refuse(&authority, QueryError::OptSection, FORMERR);
}

#[test]
fn edns_version_above_0_is_bad_whatever_follows() {
    for options in [vec![], vec![0xff; 7]] {
        let mut message = edns_query(1232, 0x8000, &options);
        for version in [1, 255] {
            message[QUERY.len() + 6] = version;
            refuse(&message, QueryError::BadVersion(version), BADVERS);
        }
        let mut answer = message.clone();
        let length = write_error(&mut answer, message.len(), None, 16, None);
        // Question kept, OPT with extended code 1 and version 0.
        assert_eq!(answer[2..12], [0x81, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(answer[12..QUERY.len()], QUERY[12..]);
        assert_eq!(
            answer[QUERY.len()..length],
            [0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0]
        );
    }
}

#[test]
fn signatures_are_noted_and_a_tsig_must_come_last() {
    let tsig = record(b"\x03key\x00", 250, 0, &[0; 20]);
    let sig0 = record(&[0], 24, 0, &[0; 20]);
    let sig = record(&[0], 24, 0, &[0, 1, 0, 0]);
    let address = record(&[0xc0, 12], 1, 60, &[192, 0, 2, 1]);
    let opt = opt(1232, 0, &[]);
    for (records, signed) in [
        (vec![opt.clone(), tsig.clone()], true),
        (vec![tsig.clone()], true),
        (vec![sig0.clone()], true),
        (vec![opt.clone(), sig0], true),
        (vec![sig], false),
        (vec![address, opt.clone()], false),
    ] {
        let query = Query::parse(&with_additional(&records)).unwrap();
        assert_eq!(query.signed, signed);
    }
    refuse(
        &with_additional(&[tsig.clone(), opt]),
        QueryError::SignaturePlace,
        FORMERR,
    );
    refuse(
        &with_additional(&[tsig.clone(), tsig]),
        QueryError::SignaturePlace,
        FORMERR,
    );
}

#[test]
fn authority_of_a_zone_transfer_request_is_passed_over() {
    let soa = record(
        b"\xc0\x10",
        6,
        0,
        &[
            0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    );
    let mut message = [QUERY, &soa].concat();
    message[9] = 1;
    Query::parse(&message).unwrap();
    message[11] = 1;
    message.extend(opt(4096, 0, &[]));
    assert_eq!(Query::parse(&message).unwrap().response_limit(1232), 1232);
}

#[test]
fn record_whose_name_is_none_is_a_format_error() {
    let offset = QUERY.len();
    for owner in [
        &[0xc0, 11][..],      // Into the header.
        &[0xc0, 33],          // To itself.
        &[0xff, 0xff],        // Beyond the end.
        &[1, b'a', 0xc0, 35], // Forward.
        &[0x40, 0],           // Unknown kinds of label.
        &[0x80, 0],
    ] {
        let message = with_additional(&[record(owner, 1, 0, &[])]);
        refuse(&message, QueryError::RecordName { offset }, FORMERR);
    }
    let mut long = [63; 64].repeat(4);
    long.push(0);
    let message = with_additional(&[record(&long, 1, 0, &[])]);
    refuse(&message, QueryError::RecordName { offset }, FORMERR);
}

/// A label of any bytes but those that hickory would not write back (it keeps all of them).
fn label() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=63)
}

fn name() -> impl Strategy<Value = Name> {
    prop::collection::vec(label(), 0..6).prop_filter_map("longer than 255 bytes", |labels| {
        Name::from_labels(labels.iter().map(Vec::as_slice)).ok()
    })
}

/// A query as hickory would send it.
fn message() -> impl Strategy<Value = Message> {
    let edns = prop::option::of((
        any::<u16>(),
        any::<bool>(),
        prop::option::of(prop::collection::vec(any::<u8>(), 8..=8)),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ));
    (name(), any::<(u16, u16, u16, bool, bool, bool)>(), edns).prop_map(
        |(name, (id, qtype, qclass, rd, cd, ad), edns)| {
            let mut message = Message::new(id, MessageType::Query, OpCode::Query);
            message.metadata.recursion_desired = rd;
            message.metadata.checking_disabled = cd;
            message.metadata.authentic_data = ad;
            let mut query = hickory_proto::op::Query::query(name, RecordType::from(qtype));
            query.set_query_class(DNSClass::from(qclass));
            message.add_query(query);
            if let Some((size, dnssec_ok, cookie, padding)) = edns {
                let mut edns = Edns::new();
                edns.set_max_payload(size).set_dnssec_ok(dnssec_ok);
                for (code, data) in [(10, cookie), (12, padding)] {
                    if let Some(data) = data {
                        edns.options_mut().insert(EdnsOption::Unknown(code, data));
                    }
                }
                message.set_edns(edns);
            }
            message
        },
    )
}

proptest! {
    #[test]
    fn query_that_hickory_writes_is_read_the_same(message in message()) {
        let bytes = message.to_vec().unwrap();
        let query = Query::parse(&bytes).unwrap();
        let question = &message.queries[0];
        prop_assert_eq!(query.id, message.metadata.id);
        prop_assert_eq!(query.qtype, u16::from(question.query_type()));
        prop_assert_eq!(query.qclass, u16::from(question.query_class()));
        prop_assert_eq!(query.recursion_desired(), message.metadata.recursion_desired);
        prop_assert_eq!(query.checking_disabled(), message.metadata.checking_disabled);
        prop_assert_eq!(query.authentic_data(), message.metadata.authentic_data);
        let name: Vec<u8> = question
            .name()
            .iter()
            .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label].concat())
            .chain([0])
            .collect();
        prop_assert_eq!(query.qname(), name.to_ascii_lowercase());
        prop_assert_eq!(query.edns.is_some(), message.edns.is_some());
        if let (Some(edns), Some(expected)) = (&query.edns, &message.edns) {
            prop_assert_eq!(edns.udp_payload_bytes.max(512), expected.max_payload());
            prop_assert_eq!(edns.dnssec_ok, expected.flags().dnssec_ok);
            prop_assert_eq!(edns.client_cookie.is_some(), expected.option(10.into()).is_some());
        }
    }
}

/// A query with a cookie gets it back with ours, as hickory reads it; one without gets none.
fn check_cookie(message: &[u8], mut query: Query) {
    let client_cookie = query.edns.and_then(|edns| edns.client_cookie);
    assert_eq!(query.has_cookie(), client_cookie.is_some());
    if let Some(edns) = &mut query.edns {
        edns.checked_cookie = Some(CheckedCookie {
            server: [0xc5; 16],
            is_valid: false,
        });
    }
    let mut room = message.to_vec();
    room.resize(message.len() + 64, 0);
    let length = write_error(&mut room, message.len(), Some(&query), 23, None);
    let response = Message::from_vec(&room[..length]).expect("an error is a message");
    let sent = response
        .edns
        .as_ref()
        .and_then(|edns| edns.option(10.into()));
    let expected = client_cookie.map(|client| [client.as_slice(), &[0xc5; 16]].concat());
    assert_eq!(
        sent.map(|option| Vec::<u8>::try_from(option).expect("an option is bytes")),
        expected
    );
}

/// What must hold for any message whatever.
fn check_any(message: &[u8]) {
    let mut room = message.to_vec();
    room.resize(message.len() + 64, 0);
    match Query::parse(message) {
        Ok(query) => {
            let question = &message[12..usize::from(query.question_end) - 4];
            assert_eq!(query.qname(), question.to_ascii_lowercase());
            assert!((512..=1232).contains(&query.response_limit(1232)));
            if let Some(edns) = query.edns {
                assert!(
                    edns.server_cookie(message)
                        .is_none_or(|cookie| cookie.len() >= 8)
                );
            }
            let length = write_error(&mut room, message.len(), Some(&query), 5, Some(18));
            Message::from_vec(&room[..length]).expect("an error is a message");
            assert!(Query::parse_cookie_only(message).is_err());
            check_cookie(message, query);
        }
        Err(QueryError::QuestionCount(0)) => {
            if let Ok(query) = Query::parse_cookie_only(message) {
                check_cookie(message, query);
            }
        }
        Err(error) => {
            assert!(!error.reason().is_empty());
            let Some(rcode) = error.rcode() else { return };
            let length = write_error(&mut room, message.len(), None, rcode, None);
            Message::from_vec(&room[..length]).expect("an error is a message");
        }
    }
}

#[test]
fn any_bytes_are_a_query_or_an_error_and_never_a_panic() {
    bolero::check!().with_iterations(20_000).for_each(check_any);
}

#[test]
fn changed_query_is_a_query_or_an_error_and_never_a_panic() {
    let options = [option(10, &[7; 24]), option(8, &[0, 1, 24, 0, 192, 0, 2])].concat();
    let whole = edns_query(4096, 0x8000, &options);
    let mut no_question = b"\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01".to_vec();
    no_question.extend(opt(4096, 0x8000, &options));
    bolero::check!()
        .with_iterations(20_000)
        .with_type::<([(u8, u8); 3], u8, bool)>()
        .for_each(|(changes, length, has_question)| {
            let mut message = if *has_question { &whole } else { &no_question }.clone();
            for (offset, value) in changes {
                let offset = usize::from(*offset) % message.len();
                message[offset] = *value;
            }
            message.truncate(usize::from(*length).max(20));
            check_any(&message);
        });
}
