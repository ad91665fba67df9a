//! Answers: taken apart once, written behind other queries, read by hickory-proto.

mod support;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;
use support::{QUERY, edns_query, opt, option, record, response};
use wire::answer::{
    Age, Answer, AnswerError, Dissected, EXTENDED_TEXT_BYTES_MAX, STALE_TTL_SECS,
    append_client_subnet, append_extended_error, dissect, write_answer, write_error,
};
use wire::query::{CheckedCookie, Query};

/// The owner of all records: the name of the question.
const OWNER: &[u8] = &[0xc0, 12];

fn address(ttl_secs: u32) -> Vec<u8> {
    record(OWNER, 1, ttl_secs, &[192, 0, 2, 1])
}

fn soa(ttl_secs: u32, minimum_secs: u32) -> Vec<u8> {
    let mut rdata = vec![0xc0, 16, 0xc0, 16];
    rdata.extend([0; 16]);
    rdata.extend(minimum_secs.to_be_bytes());
    record(&[0xc0, 16], 6, ttl_secs, &rdata)
}

/// Takes `message` apart and writes it over `query`.
fn answer_over(query: &[u8], message: &[u8], age: Age, limit: u16) -> Vec<u8> {
    let mut ttl_offsets = [0; 512];
    let dissected = dissect(message, &mut ttl_offsets).expect("well-formed response");
    let answer = dissected.answer(message, &ttl_offsets);
    write_over(query, &answer, age, limit)
}

/// Writes `answer` over `query`; what lay behind must stay as it was.
fn write_over(query: &[u8], answer: &Answer<'_>, age: Age, limit: u16) -> Vec<u8> {
    let mut parsed = Query::parse(query).expect("well-formed query");
    if let Some(edns) = &mut parsed.edns {
        edns.checked_cookie = Some(CheckedCookie {
            server: [0xc5; 16],
            is_valid: true,
        });
    }
    let mut buffer = query.to_vec();
    buffer.resize(2048, 0xee);
    let length = write_answer(&mut buffer, &parsed, answer, age, limit);
    assert!(length <= usize::from(limit).max(usize::from(parsed.question_end)));
    let untouched = length.max(query.len());
    assert!(buffer[untouched..].iter().all(|byte| *byte == 0xee));
    assert_eq!(buffer[..2], query[..2]);
    let question_end = usize::from(parsed.question_end);
    assert_eq!(buffer[12..question_end], query[12..question_end]);
    buffer.truncate(length);
    buffer
}

fn flags(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[2], message[3]])
}

fn counts(message: &[u8]) -> [u16; 4] {
    core::array::from_fn(|index| {
        u16::from_be_bytes([message[4 + 2 * index], message[5 + 2 * index]])
    })
}

fn dissect_all(message: &[u8]) -> Result<Dissected, AnswerError> {
    dissect(message, &mut [0; 512])
}

#[test]
fn ttls_are_aged_and_never_wrap() {
    let message = response(0x0480, [&[address(300), address(7)], &[], &[]]);
    for (age_secs, expected) in [
        (0, [300, 7]),
        (7, [293, 0]),
        (8, [292, 0]),
        (u32::MAX, [0, 0]),
    ] {
        let answer = answer_over(QUERY, &message, Age::Fresh(age_secs), 512);
        let parsed = Message::from_vec(&answer).unwrap();
        let ttls: Vec<u32> = parsed.answers.iter().map(|record| record.ttl).collect();
        assert_eq!(ttls, expected);
    }
}

#[test]
fn stale_answer_has_short_ttls_and_says_so() {
    let message = response(0x0480, [&[address(300), address(7)], &[], &[]]);
    let answer = answer_over(&edns_query(1232, 0, &[]), &message, Age::Stale, 1232);
    let parsed = Message::from_vec(&answer).unwrap();
    assert!(
        parsed
            .answers
            .iter()
            .all(|record| record.ttl == STALE_TTL_SECS)
    );
    assert!(answer.ends_with(&option(15, &[0, 3])));
    let message = response(0x0483, [&[], &[soa(60, 60)], &[]]);
    let answer = answer_over(&edns_query(1232, 0, &[]), &message, Age::Stale, 1232);
    assert!(answer.ends_with(&option(15, &[0, 19])));
    let plain = answer_over(QUERY, &message, Age::Stale, 512);
    assert_eq!(counts(&plain), [1, 0, 1, 0]);
}

#[test]
fn header_bits_come_from_the_side_they_belong_to() {
    // The response that was stored had RD, CD and AD of another client.
    let message = response(0x05b0, [&[address(60)], &[], &[]]);
    for (query_flags, expected) in [
        (0x0000, 0x8480), // Nothing asked for: AA, RA.
        (0x0100, 0x8580), // RD.
        (0x0110, 0x8590), // RD, CD.
        (0x0120, 0x85a0), // RD, and AD since the client sets it.
        (0x07cf, 0x8580), // AA, TC, RA, Z, RCODE of a query mean nothing.
    ] {
        let mut query = QUERY.to_vec();
        query[2..4].copy_from_slice(&u16::to_be_bytes(query_flags));
        let answer = answer_over(&query, &message, Age::Fresh(0), 512);
        assert_eq!(flags(&answer), expected, "{query_flags:#06x}");
    }
    let answer = answer_over(
        &edns_query(1232, 0x8000, &[]),
        &message,
        Age::Fresh(0),
        1232,
    );
    assert_eq!(flags(&answer), 0x85a0); // AD, since the client sets DO.
}

#[test]
fn opt_is_sent_only_to_a_query_that_has_one() {
    let message = response(0x0480, [&[address(60)], &[], &[opt(4096, 0x8000, &[])]]);
    let plain = answer_over(QUERY, &message, Age::Fresh(0), 512);
    assert_eq!(counts(&plain), [1, 1, 0, 0]);
    assert!(plain.ends_with(&address(60)));
    for do_bit in [0, 0x8000] {
        let query = edns_query(4096, do_bit, &option(65001, &[1; 8]));
        let answer = answer_over(&query, &message, Age::Fresh(0), 1232);
        assert_eq!(counts(&answer), [1, 1, 0, 1]);
        assert!(answer.ends_with(&[address(60), opt(1232, do_bit, &[])].concat()));
    }
}

#[test]
fn extended_codes_travel_in_opt_and_become_servfail_without() {
    let mut with_code = opt(1232, 0, &option(15, &[0, 22, b't', b'x', b't']));
    with_code[5] = 1; // Extended RCODE: 16 with the low bits 0.
    let message = response(0, [&[], &[], &[with_code]]);
    let answer = answer_over(&edns_query(1232, 0, &[]), &message, Age::Fresh(0), 1232);
    let parsed = Message::from_vec(&answer).unwrap();
    assert_eq!(u16::from(parsed.metadata.response_code), 16);
    assert!(answer.ends_with(&option(15, &[0, 22, b't', b'x', b't'])));
    let plain = answer_over(QUERY, &message, Age::Fresh(0), 512);
    assert_eq!(flags(&plain) & 0xf, 2);
}

#[test]
fn text_of_an_extended_error_is_cut_and_a_stale_answer_has_none() {
    let long = option(15, &[&[0, 6], &[b'x'; 200][..]].concat());
    let message = response(0, [&[], &[], &[opt(1232, 0, &long)]]);
    let query = edns_query(1232, 0, &[]);
    let fresh = answer_over(&query, &message, Age::Fresh(0), 1232);
    let cut = option(15, &[&[0, 6], &[b'x'; 160][..]].concat());
    assert!(fresh.ends_with(&opt(1232, 0, &cut)));
    let stale = answer_over(&query, &message, Age::Stale, 1232);
    assert!(stale.ends_with(&opt(1232, 0, &option(15, &[0, 3]))));
}

#[test]
fn nexus_extension_is_sent_only_to_a_query_that_carried_it() {
    let extension = option(65053, &[6; 16]);
    let message = response(0, [&[address(9)], &[], &[opt(1232, 0, &extension)]]);
    let asked = edns_query(1232, 0, &option(65053, &[0; 16]));
    let answer = answer_over(&asked, &message, Age::Fresh(0), 1232);
    assert!(answer.ends_with(&opt(1232, 0, &extension)));
    let not_asked = edns_query(1232, 0, &[]);
    let answer = answer_over(&not_asked, &message, Age::Fresh(0), 1232);
    assert!(answer.ends_with(&opt(1232, 0, &[])));
}

#[test]
fn cookie_is_sent_to_a_query_that_carried_one_and_counts_against_the_limit() {
    let message = response(0, [&[address(300)], &[], &[]]);
    let with = edns_query(1232, 0, &option(10, &[3; 8]));
    let without = edns_query(1232, 0, &[]);
    let sent = option(10, &[[3; 8].as_slice(), &[0xc5; 16]].concat());
    let answer = answer_over(&with, &message, Age::Fresh(0), 1232);
    assert!(answer.ends_with(&opt(1232, 0, &sent)));
    let plain = answer_over(&without, &message, Age::Fresh(0), 1232);
    assert!(plain.ends_with(&opt(1232, 0, &[])));
    assert_eq!(answer.len(), plain.len() + 28);

    let whole = u16::try_from(answer.len()).unwrap();
    let cut = answer_over(&with, &message, Age::Fresh(0), whole - 1);
    assert_eq!((flags(&cut) & 0x0200, counts(&cut)), (0x0200, [1, 0, 0, 1]));
    assert!(cut.ends_with(&opt(1232, 0, &sent)), "with TC too");

    let unchecked = Query::parse(&with).unwrap();
    let mut buffer = with.clone();
    buffer.resize(512, 0);
    let length = write_answer(
        &mut buffer,
        &unchecked,
        &Answer::TRUNCATED,
        Age::Fresh(0),
        512,
    );
    assert!(buffer[..length].ends_with(&opt(1232, 0, &[])));
}

#[test]
fn largest_opt_leaves_room_for_the_longest_name_in_512_bytes() {
    let mut query = QUERY[..12].to_vec();
    for length in [63, 63, 63, 61] {
        query.push(length);
        query.extend(vec![b'a'; usize::from(length)]);
    }
    query.extend(b"\0\0\x01\0\x01");
    query[11] = 1;
    let options = [option(10, &[3; 40]), option(65053, &[0; 16])].concat();
    query.extend(opt(0, 0, &options));
    let answer = Answer {
        extended_error: Some(22),
        extended_text: &[b'x'; 500],
        nexus: Some([1; 16]),
        ..Answer::TRUNCATED
    };
    let written = write_over(&query, &answer, Age::Fresh(0), 512);
    let parsed = Message::from_vec(&written).unwrap();
    let edns = parsed.edns.unwrap();
    for code in [10, 15, 65053] {
        assert!(edns.option(code.into()).is_some(), "{code}");
    }
    assert!(parsed.metadata.truncation);
}

#[test]
fn answer_at_the_limit_is_whole_and_one_byte_less_is_truncated() {
    let records: Vec<Vec<u8>> = (0..20).map(|_| address(60)).collect();
    let message = response(0x0400, [&records, &[], &[]]);
    let query = edns_query(4096, 0, &[]);
    let whole_bytes = u16::try_from(message.len() + 11).unwrap();
    let whole = answer_over(&query, &message, Age::Fresh(0), whole_bytes);
    assert_eq!(whole.len(), usize::from(whole_bytes));
    assert_eq!((flags(&whole), counts(&whole)), (0x8500, [1, 20, 0, 1]));
    let cut = answer_over(&query, &message, Age::Fresh(0), whole_bytes - 1);
    assert_eq!((flags(&cut), counts(&cut)), (0x8700, [1, 0, 0, 1]));
    assert_eq!(cut.len(), QUERY.len() + 11);
    assert!(cut.ends_with(&opt(1232, 0, &[])));

    let plain = answer_over(QUERY, &message, Age::Fresh(0), whole_bytes - 11);
    assert_eq!((plain.len(), flags(&plain)), (message.len(), 0x8500));
    let cut = answer_over(QUERY, &message, Age::Fresh(0), whole_bytes - 12);
    assert_eq!((cut.len(), flags(&cut)), (QUERY.len(), 0x8700));
    // Every limit below: never longer, always a message.
    for limit in 44..=whole_bytes {
        let answer = answer_over(&query, &message, Age::Fresh(0), limit);
        assert!(answer.len() <= usize::from(limit));
        Message::from_vec(&answer).unwrap();
    }
}

#[test]
fn capacity_below_the_limit_counts_as_the_limit() {
    let records: Vec<Vec<u8>> = (0..20).map(|_| address(60)).collect();
    let message = response(0x0400, [&records, &[], &[]]);
    let mut ttl_offsets = [0; 64];
    let dissected = dissect(&message, &mut ttl_offsets).unwrap();
    let answer = dissected.answer(&message, &ttl_offsets);
    for capacity in [
        QUERY.len() + 11,
        QUERY.len() + 12,
        message.len() + 10,
        message.len() + 11,
    ] {
        let original = edns_query(4096, 0, &[]);
        let query = Query::parse(&original).unwrap();
        let mut buffer = original;
        buffer.resize(capacity, 0);
        let length = write_answer(&mut buffer, &query, &answer, Age::Fresh(0), 1232);
        assert!(length <= capacity);
        assert_eq!(flags(&buffer) & 0x0200 == 0, capacity == message.len() + 11);
    }
    // Without room for OPT either: question alone, truncated.
    let query = Query::parse(&edns_query(4096, 0, &[])).unwrap();
    let mut buffer = QUERY.to_vec();
    let length = write_answer(&mut buffer, &query, &answer, Age::Fresh(0), 1232);
    assert_eq!(
        (length, flags(&buffer), counts(&buffer)),
        (QUERY.len(), 0x8700, [1, 0, 0, 0])
    );
}

#[test]
fn plain_additional_is_left_out_before_anything_is_truncated() {
    let answers = [record(OWNER, 15, 60, &[0, 10, 0xc0, 12])];
    let additional: Vec<Vec<u8>> = (0..10).map(|_| address(50)).collect();
    let message = response(0x0400, [&answers, &[], &additional]);
    let limit = u16::try_from(message.len() - 1).unwrap();
    let answer = answer_over(QUERY, &message, Age::Fresh(10), limit);
    assert_eq!((flags(&answer), counts(&answer)), (0x8500, [1, 1, 0, 0]));
    assert_eq!(Message::from_vec(&answer).unwrap().answers[0].ttl, 50);
}

#[test]
fn glue_of_a_referral_is_required() {
    let name_server = record(&[0xc0, 16], 2, 60, &[1, b'a', 0xc0, 16]);
    let glue = record(&[1, b'a', 0xc0, 16], 1, 60, &[192, 0, 2, 3]);
    let referral = response(
        0,
        [
            &[],
            std::slice::from_ref(&name_server),
            std::slice::from_ref(&glue),
        ],
    );
    let dissected = dissect_all(&referral).unwrap();
    assert_eq!(usize::from(dissected.required_bytes), dissected.body.len());
    let limit = u16::try_from(referral.len() - 1).unwrap();
    let answer = answer_over(QUERY, &referral, Age::Fresh(0), limit);
    assert_eq!((flags(&answer), counts(&answer)), (0x8300, [1, 0, 0, 0]));
    // With an answer, or as negative answer, the same records are plain additional.
    for sections in [
        [
            &[address(60)][..],
            std::slice::from_ref(&name_server),
            std::slice::from_ref(&glue),
        ],
        [
            &[],
            &[soa(60, 60), name_server.clone()],
            std::slice::from_ref(&glue),
        ],
    ] {
        let dissected = dissect_all(&response(0, sections)).unwrap();
        let required = usize::from(dissected.required_bytes);
        assert_eq!(required + glue.len(), dissected.body.len());
    }
}

/// Smallest TTL of a response with these sections.
fn min(sections: [&[Vec<u8>]; 3]) -> Option<u32> {
    dissect_all(&response(0, sections))
        .expect("well-formed")
        .ttl_secs_min
}

#[test]
fn smallest_ttl_counts_and_so_does_the_minimum_of_a_soa() {
    assert_eq!(min([&[], &[], &[]]), None);
    assert_eq!(min([&[], &[], &[opt(1232, 0, &[])]]), None);
    assert_eq!(
        min([&[address(60), address(50)], &[], &[address(40)]]),
        Some(40)
    );
    assert_eq!(min([&[], &[soa(900, 300)], &[]]), Some(300)); // RFC 2308 §5.
    assert_eq!(min([&[], &[soa(100, 300)], &[]]), Some(100));
    assert_eq!(min([&[soa(900, 300)], &[], &[]]), Some(900)); // Asked for: data like any.
    assert_eq!(min([&[address(0x8000_0000)], &[], &[]]), Some(0)); // RFC 2181 §8.
    assert_eq!(min([&[address(0x7fff_ffff)], &[], &[]]), Some(0x7fff_ffff));
}

fn refuse(sections: [&[Vec<u8>]; 3], error: AnswerError) {
    assert_eq!(dissect_all(&response(0, sections)), Err(error));
}

#[test]
fn response_that_must_not_be_kept_is_refused() {
    let good = response(0, [&[address(60)], &[], &[opt(1232, 0, &[])]]);
    dissect_all(&good).unwrap();
    let changed = |offset: usize, value: u8| {
        let mut message = good.clone();
        message[offset] = value;
        dissect_all(&message).unwrap_err()
    };
    assert_eq!(changed(2, 0x01), AnswerError::NotResponse);
    assert_eq!(changed(2, 0xa0), AnswerError::Opcode(4));
    assert_eq!(changed(5, 0), AnswerError::QuestionCount(0));
    assert_eq!(changed(5, 2), AnswerError::QuestionCount(2));
    assert_eq!(changed(12, 0xc0), AnswerError::Name { offset: 12 });
    assert_eq!(changed(12, 0x41), AnswerError::Name { offset: 12 });
    assert_eq!(
        changed(QUERY.len(), 0xff),
        AnswerError::Name {
            offset: QUERY.len()
        }
    );
    assert_eq!(
        changed(QUERY.len(), 0x80),
        AnswerError::Name {
            offset: QUERY.len()
        }
    );
    let opt_start = good.len() - 11;
    assert_eq!(changed(opt_start + 6, 1), AnswerError::OptMalformed);
    let trailing = [good.as_slice(), &[0]].concat();
    let offset = good.len();
    assert_eq!(
        dissect_all(&trailing),
        Err(AnswerError::TrailingBytes { offset })
    );
    let long = vec![0; 65_536];
    assert_eq!(dissect_all(&long), Err(AnswerError::MessageLength));

    let plain = opt(1232, 0, &[]);
    let tsig = record(&[0], 250, 0, &[0; 20]);
    let sig0 = record(&[0], 24, 0, &[0; 20]);
    refuse(
        [&[], &[], &[plain.clone(), address(1)]],
        AnswerError::OptPlace,
    );
    refuse(
        [&[], &[], &[plain.clone(), plain.clone()]],
        AnswerError::OptPlace,
    );
    refuse(
        [&[], std::slice::from_ref(&plain), &[]],
        AnswerError::OptPlace,
    );
    let named = [b"\x01a", plain.as_slice()].concat();
    refuse([&[], &[], &[named]], AnswerError::OptPlace);
    refuse(
        [&[], &[], &[opt(1232, 0, &[0, 15, 0, 9])]],
        AnswerError::OptMalformed,
    );
    refuse(
        [&[], &[], &[opt(1232, 0, &option(15, &[1]))]],
        AnswerError::OptMalformed,
    );
    refuse([&[], &[], &[tsig]], AnswerError::Signed);
    refuse([&[], &[], &[sig0]], AnswerError::Signed);
}

#[test]
fn records_beyond_the_scratch_are_an_error() {
    let message = response(0, [&[address(1), address(2)], &[], &[address(3)]]);
    for scratch_bytes in 0..6 {
        let result = dissect(&message, &mut vec![0; scratch_bytes]);
        assert_eq!(result, Err(AnswerError::RecordCount));
    }
    let mut scratch = [0; 6];
    let dissected = dissect(&message, &mut scratch).unwrap();
    assert_eq!(dissected.ttl_offsets_bytes, 6);
    assert_eq!(scratch, [6, 0, 22, 0, 38, 0]);
}

#[test]
fn response_cut_at_every_byte_is_truncated_and_never_panics() {
    let records = [address(60), record(b"\x01a\x01b\x00", 16, 9, b"\x03abc")];
    let message = response(
        0,
        [
            &records,
            &[soa(60, 60)],
            &[opt(1232, 0, &option(15, &[0, 3]))],
        ],
    );
    dissect_all(&message).unwrap();
    for length in 0..message.len() {
        let error = dissect_all(&message[..length]).unwrap_err();
        assert!(
            matches!(error, AnswerError::Truncated { .. }),
            "length={length} {error}"
        );
    }
}

#[test]
fn error_keeps_question_and_bits_and_answers_opt_with_opt() {
    for (message, edns) in [
        (QUERY.to_vec(), false),
        (edns_query(4096, 0x8000, &[]), true),
    ] {
        let query = Query::parse(&message).unwrap();
        let mut buffer = message.clone();
        buffer.resize(1232, 0);
        let length = write_error(&mut buffer, message.len(), Some(&query), 2, Some(14));
        assert_eq!(flags(&buffer), 0x8102);
        assert_eq!(buffer[12..QUERY.len()], QUERY[12..]);
        let parsed = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(parsed.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(parsed.edns.is_some(), edns);
        if edns {
            assert!(buffer[..length].ends_with(&opt(1232, 0x8000, &option(15, &[0, 14]))));
        }
    }
}

#[test]
fn error_without_room_for_opt_does_without() {
    let message = edns_query(4096, 0, &[]);
    let query = Query::parse(&message).unwrap();
    let mut buffer = message.clone();
    let length = write_error(&mut buffer, message.len(), Some(&query), 5, Some(18));
    assert_eq!((length, counts(&buffer)), (QUERY.len(), [1, 0, 0, 0]));
    assert_eq!(write_error(&mut buffer, 11, None, 1, None), 0);
}

fn owner() -> impl Strategy<Value = Name> {
    prop_oneof![
        Just("WwW.example.com."),
        Just("example.com."),
        Just("a.very.long.name.that.is.elsewhere.example.net."),
        Just("."),
    ]
    .prop_map(|name| Name::from_ascii(name).expect("a name"))
}

fn rdata() -> impl Strategy<Value = RData> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| RData::A(A(octets.into()))),
        prop::collection::vec("[a-z]{0,40}", 1..4).prop_map(|text| RData::TXT(TXT::new(text))),
        (any::<u16>(), owner()).prop_map(|(preference, name)| RData::MX(MX::new(preference, name))),
        owner().prop_map(|name| RData::NS(NS(name))),
        owner().prop_map(|name| RData::CNAME(CNAME(name))),
        (owner(), owner(), any::<u32>())
            .prop_map(|(m, r, n)| RData::SOA(SOA::new(m, r, n, 1, 2, 3, n))),
    ]
}

fn records(count: usize) -> impl Strategy<Value = Vec<Record>> {
    let record = (owner(), 0..0x7fff_ffff_u32, rdata());
    prop::collection::vec(
        record.prop_map(|(name, ttl, rdata)| Record::from_rdata(name, ttl, rdata)),
        0..count,
    )
}

fn aged(records: &[Record], age_secs: u32) -> Vec<Record> {
    let mut records = records.to_vec();
    for record in &mut records {
        record.ttl = record.ttl.saturating_sub(age_secs);
    }
    records
}

proptest! {
    #[test]
    fn answer_reads_in_hickory_as_the_same_records_with_aged_ttls(
        sections in (records(6), records(3), records(4)),
        (rcode, aa, age_secs) in (0..6_u8, any::<bool>(), any::<u32>()),
        (with_opt, with_cookie) in any::<(bool, bool)>(),
        limit in 512..1232_u16,
    ) {
        let mut stored = Message::new(99, MessageType::Response, OpCode::Query);
        stored.metadata.authoritative = aa;
        stored.metadata.response_code = ResponseCode::from(0, rcode);
        let name = Name::from_ascii("www.example.com.").unwrap();
        stored.add_query(hickory_proto::op::Query::query(name, RecordType::A));
        stored.insert_answers(sections.0);
        stored.insert_authorities(sections.1);
        stored.insert_additionals(sections.2);
        let message = stored.to_vec().unwrap();
        let query = match (with_opt, with_cookie) {
            (true, true) => edns_query(1232, 0, &option(10, &[7; 8])),
            (true, false) => edns_query(1232, 0, &[]),
            _ => QUERY.to_vec(),
        };
        let answer = answer_over(&query, &message, Age::Fresh(age_secs), limit);
        let parsed = Message::from_vec(&answer).unwrap();
        prop_assert_eq!(parsed.metadata.id, 0x1234);
        prop_assert_eq!(parsed.metadata.authoritative, aa);
        prop_assert_eq!(parsed.metadata.response_code, stored.metadata.response_code);
        prop_assert!(parsed.metadata.recursion_desired);
        prop_assert_eq!(parsed.edns.is_some(), with_opt);
        let sent = parsed.edns.as_ref().and_then(|edns| edns.option(10.into()));
        prop_assert_eq!(sent.is_some(), with_opt && with_cookie);
        let opt_bytes = match (with_opt, with_cookie) {
            (true, true) => 11 + 28,
            (true, false) => 11,
            _ => 0,
        };
        let whole_bytes = message.len() + opt_bytes;
        prop_assert!(parsed.metadata.truncation || whole_bytes <= usize::from(limit)
            || parsed.additionals.is_empty());
        if parsed.metadata.truncation {
            prop_assert!(whole_bytes > usize::from(limit));
            prop_assert_eq!(counts(&answer)[1..3].iter().sum::<u16>(), 0);
        } else {
            prop_assert_eq!(parsed.answers, aged(&stored.answers, age_secs));
            prop_assert_eq!(parsed.authorities, aged(&stored.authorities, age_secs));
            if whole_bytes <= usize::from(limit) {
                prop_assert_eq!(parsed.additionals, aged(&stored.additionals, age_secs));
            }
        }
    }
}

/// Takes a message apart if it can be, and writes it over two queries.
fn check_any(message: &[u8]) {
    let mut ttl_offsets = [0; 128];
    let Ok(dissected) = dissect(message, &mut ttl_offsets) else {
        return;
    };
    assert!(dissected.body.end <= message.len());
    assert!(usize::from(dissected.required_bytes) <= dissected.body.len());
    let answer = dissected.answer(message, &ttl_offsets);
    for pair in answer.ttl_offsets.chunks_exact(2) {
        let offset = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
        assert!(offset + 4 <= answer.body.len());
    }
    for query in [
        QUERY.to_vec(),
        edns_query(1232, 0x8000, &option(65053, &[0; 16])),
        edns_query(1232, 0, &option(10, &[0; 16])),
    ] {
        for age in [Age::Fresh(1), Age::Stale] {
            let written = write_over(&query, &answer, age, 600);
            dissect(&written, &mut [0; 256]).expect("what is written can be taken apart");
        }
    }
}

#[test]
fn any_bytes_are_a_response_or_an_error_and_never_a_panic() {
    bolero::check!().with_iterations(20_000).for_each(check_any);
}

#[test]
fn changed_response_is_a_response_or_an_error_and_never_a_panic() {
    let records = [address(60), record(b"\x01a\x01b\x00", 16, 9, b"\x03abc")];
    let whole = response(
        0,
        [
            &records,
            &[soa(60, 60)],
            &[opt(1232, 0, &option(15, &[0, 3]))],
        ],
    );
    bolero::check!()
        .with_iterations(20_000)
        .with_type::<([(u8, u8); 3], u8)>()
        .for_each(|(changes, length)| {
            let mut message = whole.clone();
            for (offset, value) in changes {
                let offset = usize::from(*offset) % message.len();
                message[offset] = *value;
            }
            message.truncate(usize::from(*length).max(30));
            check_any(&message);
        });
}

/// Answers as a scribbling process may leave them: lengths and offsets that fit nothing.
#[test]
fn any_answer_is_written_within_the_limit_and_never_panics() {
    bolero::check!()
        .with_iterations(10_000)
        .with_type::<(Vec<u8>, Vec<u8>, u16, u16, [u16; 3], u8, u16)>()
        .for_each(
            |(body, ttl_offsets, flags, required_bytes, counts, rcode_high, limit)| {
                let answer = Answer {
                    flags: *flags,
                    rcode_high: *rcode_high,
                    counts: *counts,
                    required_bytes: *required_bytes,
                    extended_error: Some(*flags),
                    extended_text: body,
                    nexus: Some([1; 16]),
                    body,
                    ttl_offsets,
                };
                for query in [
                    QUERY.to_vec(),
                    edns_query(1232, 0x8000, &option(65053, &[0; 16])),
                ] {
                    write_over(&query, &answer, Age::Fresh(1), *limit);
                    write_over(&query, &answer, Age::Stale, *limit % 700);
                }
            },
        );
}

/// INFO-CODEs and texts of a message, in order.
fn extended_errors(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
    use hickory_proto::rr::rdata::opt::EdnsOption;
    let message = Message::from_vec(message).expect("a message");
    let options = message.edns.iter().flat_map(|edns| &edns.options().options);
    let read = |(_, option): &(_, EdnsOption)| match option {
        EdnsOption::Unknown(15, data) => {
            Some((u16::from_be_bytes([data[0], data[1]]), data[2..].to_vec()))
        }
        _ => None,
    };
    options.filter_map(read).collect()
}

#[test]
fn further_extended_errors_go_behind_the_first_as_long_as_there_is_room() {
    let ede = option(15, b"\x00\x06bogus");
    let message = response(0x0482, [&[address(300)], &[], &[opt(1232, 0, &ede)]]);
    let mut answer = answer_over(&edns_query(1232, 0, &[]), &message, Age::Fresh(0), 1232);
    let bytes = answer.len();
    answer.resize(1400, 0xee);
    assert_eq!(
        append_extended_error(&mut answer, bytes, 1232, 22, &[b'x'; 500]),
        bytes + 166
    );
    let all = extended_errors(&answer[..bytes + 166]);
    let expected = [
        (6, b"bogus".to_vec()),
        (22, vec![b'x'; EXTENDED_TEXT_BYTES_MAX]),
    ];
    assert_eq!(all, expected);
    // One byte less than it needs, of the limit and then of the memory.
    let limit = u16::try_from(bytes + 166 + 6).unwrap();
    let full = append_extended_error(&mut answer, bytes + 166, limit, 23, b"x");
    assert_eq!(full, bytes + 166);
    let mut short = answer[..bytes + 172].to_vec();
    assert_eq!(
        append_extended_error(&mut short, bytes + 166, 1232, 23, b"x"),
        bytes + 166
    );
    assert_eq!(
        extended_errors(&answer[..full]),
        expected,
        "nothing is half done"
    );
    let more = append_extended_error(&mut answer, full, limit, 23, b"");
    assert_eq!(extended_errors(&answer[..more]).len(), 3);
}

#[test]
fn extended_errors_are_not_put_where_no_opt_record_ends_the_message() {
    let message = response(0x0480, [&[address(300)], &[], &[]]);
    let mut answer = answer_over(QUERY, &message, Age::Fresh(0), 512);
    let (bytes, before) = (answer.len(), answer.clone());
    answer.resize(1232, 0);
    assert_eq!(
        append_extended_error(&mut answer, bytes, 1232, 6, b""),
        bytes
    );
    assert_eq!(answer[..bytes], before);
    for cut in 0..bytes {
        assert_eq!(append_extended_error(&mut answer, cut, 1232, 6, b""), cut);
    }
    assert_eq!(
        append_extended_error(&mut answer, 5_000, 1232, 6, b""),
        5_000
    );
}

#[test]
fn client_subnet_goes_behind_the_other_options_if_it_is_one() {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    let message = response(0x0480, [&[address(300)], &[], &[]]);
    let mut answer = answer_over(&edns_query(1232, 0, &[]), &message, Age::Fresh(0), 1232);
    let bytes = answer.len();
    answer.resize(1232, 0);
    let data = [0, 1, 24, 16, 192, 0, 2];
    for (limit, data) in [
        (1232, &[0; 21][..]),
        (u16::try_from(bytes + 10).unwrap(), &data),
    ] {
        let after = append_client_subnet(&mut answer, bytes, limit, data);
        assert_eq!(after, bytes, "too much");
    }
    let after = append_client_subnet(&mut answer, bytes, 1232, &data);
    assert_eq!(after, bytes + 11);
    let read = Message::from_vec(&answer[..after]).unwrap();
    let options = &read.edns.as_ref().unwrap().options();
    let Some(EdnsOption::Subnet(subnet)) = options.get(EdnsCode::Subnet) else {
        panic!("{read:?}")
    };
    assert_eq!((subnet.source_prefix(), subnet.scope_prefix()), (24, 16));
}

#[test]
fn messages_of_any_content_take_an_extended_error_or_stay_as_they_are() {
    bolero::check!()
        .with_type::<(Vec<u8>, u16, u16)>()
        .with_iterations(5_000)
        .for_each(|(message, limit, code)| {
            let (mut longer, bytes) = (message.clone(), message.len());
            longer.resize(bytes + 64, 0);
            let after = append_extended_error(&mut longer, bytes, *limit, *code, b"text");
            assert!(after == bytes || after == bytes + 10 && after <= usize::from(*limit));
            if after == bytes {
                assert_eq!(longer[..bytes], message[..]);
            }
        });
}
