//! Tests of what counts as the same answer.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NULL, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;
use crate::iterate::{Outcome, Question};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn outcome(rcode: ResponseCode, answers: Vec<Record>) -> Outcome {
    Outcome {
        answers,
        ttl_secs: 60,
        ..Outcome::empty(rcode)
    }
}

fn address(owner: &str, octets: [u8; 4]) -> Record {
    Record::from_rdata(name(owner), 60, RData::A(A(octets.into())))
}

fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
}

fn question(qtype: RecordType) -> Question {
    Question::new(name("www.example."), qtype)
}

fn answer(records: Vec<Record>) -> Answer {
    let outcome = outcome(ResponseCode::NoError, records);
    Answer::of(&question(RecordType::A), &outcome).unwrap()
}

/// Whether the first, found here, supports the second, in each tolerance.
fn supports(own: &Answer, proposed: &Answer) -> [bool; 3] {
    let key = Key::of(&question(RecordType::A));
    [Vantage::Exact, Vantage::Network, Vantage::Alias]
        .map(|vantage| own.supports(&key, proposed, vantage))
}

#[test]
fn order_case_ttl_and_signatures_do_not_matter_and_data_do() {
    let (one, two) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let own = answer(vec![
        address("www.example.", one),
        address("www.example.", two),
    ]);
    let mut other = address("WWW.Example.", one);
    other.ttl = 1;
    let signature = RData::Unknown {
        code: RecordType::RRSIG,
        rdata: NULL::with(vec![1; 40]),
    };
    let signature = Record::from_rdata(name("www.example."), 60, signature);
    let proposed = answer(vec![
        address("www.example.", two),
        signature,
        other.clone(),
        other,
    ]);
    assert_eq!(own, proposed);
    assert_eq!(supports(&own, &proposed), [true; 3]);
    let key = Key::of(&question(RecordType::A));
    assert_eq!(own.digest(&key), proposed.digest(&key));
    let less = answer(vec![address("www.example.", one)]);
    assert_ne!(own.digest(&key), less.digest(&key));
    assert_eq!(supports(&own, &less), [false, true, true]);
    let alias = answer(vec![alias("www.example.", "Target.EXAMPLE.")]);
    let lower = answer(vec![self::alias("www.example.", "target.example.")]);
    assert_eq!(alias, lower);
}

#[test]
fn digest_covers_the_question() {
    let denial = Answer::of(
        &question(RecordType::A),
        &outcome(ResponseCode::NXDomain, Vec::new()),
    )
    .unwrap();
    let key = |text, qtype| Key::of(&Question::new(name(text), qtype));
    let digests = [
        key("a.example.", RecordType::A),
        key("b.example.", RecordType::A),
        key("a.example.", RecordType::AAAA),
    ]
    .map(|key| denial.digest(&key));
    assert_ne!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

#[test]
fn denials_agree_if_they_deny_the_same_in_the_same_zone() {
    let soa = |zone: &str, serial| {
        let data = SOA::new(name("ns."), name("h."), serial, 1, 1, 1, 1);
        Record::from_rdata(name(zone), 60, RData::SOA(data))
    };
    let denial = |rcode, soa: Option<Record>| {
        let mut outcome = outcome(rcode, Vec::new());
        outcome.authority.extend(soa);
        Answer::of(&question(RecordType::A), &outcome).unwrap()
    };
    let own = denial(ResponseCode::NXDomain, Some(soa("example.", 1)));
    for (proposed, expected) in [
        (
            denial(ResponseCode::NXDomain, Some(soa("EXAMPLE.", 2))),
            true,
        ),
        (denial(ResponseCode::NXDomain, None), true),
        (denial(ResponseCode::NXDomain, Some(soa(".", 1))), false),
        (
            denial(ResponseCode::NoError, Some(soa("example.", 1))),
            false,
        ),
        (answer(vec![address("www.example.", [192, 0, 2, 1])]), false),
    ] {
        assert_eq!(supports(&own, &proposed), [expected; 3], "{proposed:?}");
        assert_eq!(supports(&proposed, &own), [expected; 3], "{proposed:?}");
    }
}

#[test]
fn address_that_nobody_here_knows_comes_in_with_no_other() {
    let own = answer(vec![
        address("www.example.", [192, 0, 2, 1]),
        address("www.example.", [198, 51, 100, 1]),
    ]);
    let proposed = |octets: &[[u8; 4]]| {
        let records = octets.iter();
        answer(
            records
                .map(|octets| address("www.example.", *octets))
                .collect(),
        )
    };
    let near = proposed(&[[192, 0, 2, 200]]);
    assert_eq!(supports(&own, &near), [false, true, true]);
    let partly = proposed(&[[192, 0, 2, 1], [203, 0, 113, 6]]);
    assert_eq!(supports(&own, &partly), [false; 3]);
    let elsewhere = proposed(&[[203, 0, 113, 6]]);
    assert_eq!(supports(&own, &elsewhere), [false; 3]);
    assert_eq!(supports(&own, &proposed(&[])), [false; 3]);
}

#[test]
fn addresses_behind_the_same_last_alias_count_only_where_they_must() {
    let found = |target: &str, octets| {
        answer(vec![
            alias("www.example.", "x.example."),
            alias("x.example.", target),
            address(target, octets),
        ])
    };
    let own = found("cdn.example.net.", [192, 0, 2, 1]);
    let same = found("CDN.example.net.", [203, 0, 113, 6]);
    assert_eq!(supports(&own, &same), [false, false, true]);
    let other = found("cdn.example.org.", [203, 0, 113, 6]);
    assert_eq!(supports(&own, &other), [false; 3]);
    let near = found("cdn.example.org.", [192, 0, 2, 9]);
    assert_eq!(supports(&own, &near), [false, true, true]);
    let circle = answer(vec![
        alias("www.example.", "x.example."),
        alias("x.example.", "www.example."),
        address("x.example.", [198, 51, 100, 1]),
    ]);
    assert_eq!(supports(&circle, &same), [false; 3]);
}

#[test]
fn ipv6_networks_have_48_bits_and_other_types_are_always_exact() {
    let of = |qtype, data: RData| {
        let record = Record::from_rdata(name("www.example."), 60, data);
        Answer::of(
            &question(qtype),
            &outcome(ResponseCode::NoError, vec![record]),
        )
        .unwrap()
    };
    let ipv6 = |text: &str| {
        let data = RData::AAAA(AAAA(text.parse().unwrap()));
        of(RecordType::AAAA, data)
    };
    let key = Key::of(&question(RecordType::AAAA));
    let own = ipv6("2001:db8:1::1");
    assert!(own.supports(&key, &ipv6("2001:db8:1:ff::2"), Vantage::Network));
    assert!(!own.supports(&key, &ipv6("2001:db8:2::1"), Vantage::Network));
    let text = |byte| {
        let rdata = NULL::with(vec![1, byte]);
        let code = RecordType::TXT;
        of(code, RData::Unknown { code, rdata })
    };
    let key = Key::of(&question(RecordType::TXT));
    assert!(text(1).supports(&key, &text(1), Vantage::Exact));
    assert!(!text(1).supports(&key, &text(2), Vantage::Alias));
}

#[test]
fn failures_and_answers_for_one_network_are_not_agreed_on() {
    let failure = outcome(ResponseCode::ServFail, Vec::new());
    assert_eq!(Answer::of(&question(RecordType::A), &failure), None);
    let mut narrow = outcome(ResponseCode::NoError, Vec::new());
    narrow.subnet_scope = Some(24);
    assert_eq!(Answer::of(&question(RecordType::A), &narrow), None);
    let octets = |index: u16| {
        let [high, low] = index.to_be_bytes();
        address("www.example.", [10, 0, high, low])
    };
    let large = outcome(ResponseCode::NoError, (0..2000).map(octets).collect());
    assert_eq!(Answer::of(&question(RecordType::A), &large), None);
}

proptest! {
    #[test]
    fn whatever_the_set_an_answer_supports_itself_survives_its_bytes_and_no_order_changes_it(
        octets in proptest::collection::vec(any::<[u8; 4]>(), 0..12),
        ttls in proptest::collection::vec(any::<u32>(), 12),
        upper in any::<bool>(),
    ) {
        let owner = if upper { "WWW.EXAMPLE." } else { "www.example." };
        let records: Vec<_> = octets.iter().zip(&ttls).map(|(octets, ttl)| {
            let mut record = address(owner, *octets);
            record.ttl = *ttl;
            record
        }).collect();
        let own = answer(records.clone());
        let reversed = answer(records.into_iter().rev().collect());
        prop_assert_eq!(&own, &reversed);
        prop_assert_eq!(&Answer::decode(&own.encode()).unwrap(), &own);
        prop_assert_eq!(supports(&own, &reversed), [true; 3]);
    }

    #[test]
    fn more_tolerance_never_finds_less_and_one_foreign_address_spoils_all_networks(
        own in proptest::collection::vec(0u8..4, 1..6),
        theirs in proptest::collection::vec(0u8..5, 1..6),
    ) {
        let of = |networks: &[u8]| answer(networks.iter().map(|network| {
            address("www.example.", [10, 0, *network, 1])
        }).collect());
        let [exact, network, alias] = supports(&of(&own), &of(&theirs));
        prop_assert!(!exact || network);
        prop_assert!(!network || alias);
        prop_assert_eq!(network, theirs.iter().all(|network| own.contains(network)));
    }
}
