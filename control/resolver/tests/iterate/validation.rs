//! Chains of trust over zones that ldns has signed: what holds is authentic, what must be unsigned
//! is given without that, and what is wrong is refused with a reason.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, DNSKEY, DS, TXT};
use hickory_proto::rr::{Name, Record};
use resolver::iterate::{Config, Outcome, Question, TrustAnchor, Validation, extended_error};
use resolver::zone::Zone;
use wire::query::Query;

use crate::authority::name;
use crate::net::{Action, Net, Request, addresses, code, config};

const ROOT: &str = "198.51.100.1";
pub(crate) const TEST: &str = "198.51.100.2";
pub(crate) const GOOD_1: &str = "192.0.2.1";
pub(crate) const GOOD_2: &str = "192.0.2.2";
/// Within the period of the signatures.
pub(crate) const NOW_SECS: u64 = 1_800_000_000;

const ZONES: [(&str, &[&str], &str); 11] = [
    (".", &[ROOT], include_str!("data/root.zone")),
    ("test.", &[TEST], include_str!("data/test.zone")),
    (
        "good.test.",
        &[GOOD_1, GOOD_2],
        include_str!("data/good.zone"),
    ),
    (
        "nsec3.test.",
        &["192.0.2.3"],
        include_str!("data/nsec3.zone"),
    ),
    (
        "expired.test.",
        &["192.0.2.4"],
        include_str!("data/expired.zone"),
    ),
    (
        "forged.test.",
        &["192.0.2.5"],
        include_str!("data/forged.zone"),
    ),
    (
        "wrong.test.",
        &["192.0.2.6"],
        include_str!("data/wrong.zone"),
    ),
    (
        "unsigned.test.",
        &["192.0.2.8"],
        include_str!("data/unsigned.zone"),
    ),
    (
        "missing.test.",
        &["192.0.2.8"],
        include_str!("data/missing.zone"),
    ),
    (
        "unknown.test.",
        &["192.0.2.8"],
        include_str!("data/unknown.zone"),
    ),
    (
        "plain.",
        &["198.51.100.3"],
        "@ 3600 SOA ns.plain. host.plain. 1 2 3 4 300\n@ 3600 NS ns\nns 3600 A 198.51.100.3\nwww 600 A 203.0.113.20\n",
    ),
];

fn root_anchor() -> TrustAnchor {
    let text = include_str!("data/root.ds");
    let fields: Vec<&str> = text.split_whitespace().collect();
    let mut ds = fields[4].parse::<u16>().unwrap().to_be_bytes().to_vec();
    ds.extend(
        fields[5..7]
            .iter()
            .map(|field| field.parse::<u8>().unwrap()),
    );
    let digest = fields[7].as_bytes().chunks(2);
    ds.extend(
        digest.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()),
    );
    TrustAnchor {
        zone: Name::root(),
        ds,
    }
}

pub(crate) fn validating(negative: &[&str]) -> Config {
    let validation = Validation {
        anchors: vec![root_anchor()],
        negative: negative.iter().map(|zone| name(zone)).collect(),
    };
    Config {
        validation: Some(validation),
        ..config()
    }
}

fn wire_name(text: &str) -> Vec<u8> {
    crate::authority::wire(&name(text))
}

pub(crate) fn zones_of(server: &str) -> Vec<Zone> {
    let of_server = ZONES
        .iter()
        .filter(|(_, servers, _)| servers.contains(&server));
    of_server
        .map(|(origin, _, text)| {
            let mut loader = |_: &str, path: &str| Err(format!("no {path}"));
            Zone::read(&wire_name(origin), text.as_bytes(), origin, &mut loader)
                .unwrap_or_else(|error| panic!("{origin}: {error}"))
                .0
        })
        .collect()
}

/// Answers as an authoritative server does; the closest zone, or the parent's for DS.
pub(crate) fn serve(zones: &[Zone], request: &Request) -> Vec<u8> {
    let query = Query::parse(&request.raw).unwrap();
    let qname = name(&request.qname);
    let closest = zones
        .iter()
        .filter(|zone| {
            let apex = Name::from_labels(labels(zone.apex())).unwrap();
            let holds = apex.zone_of(&qname);
            let parent_has_it = request.qtype == DS && request.qname != ".";
            holds && !(parent_has_it && zone.apex() == wire_name(&request.qname))
        })
        .max_by_key(|zone| zone.apex().len());
    let mut buffer = vec![0; 65_535];
    buffer[..request.raw.len()].copy_from_slice(&request.raw);
    let Some(zone) = closest else {
        buffer.truncate(request.raw.len());
        (buffer[2], buffer[3]) = (0x80, 5);
        return buffer;
    };
    let outcome = zone.answer(&query, &mut buffer, 65_535);
    buffer.truncate(outcome.total_bytes);
    buffer[2..4].copy_from_slice(&outcome.flags.to_be_bytes());
    buffer[2] |= 0x80;
    buffer
}

fn labels(mut wire: &[u8]) -> Vec<&[u8]> {
    let mut labels = Vec::new();
    while wire[0] != 0 {
        let (label, rest) = wire[1..].split_at(usize::from(wire[0]));
        labels.push(label);
        wire = rest;
    }
    labels
}

pub(crate) fn net_with(config: Config) -> Net {
    let mut net = Net::empty(config);
    net.resolver.set_time(net.now_ms, NOW_SECS);
    let mut servers: Vec<&str> = ZONES
        .iter()
        .flat_map(|(_, servers, _)| *servers)
        .copied()
        .collect();
    servers.sort_unstable();
    servers.dedup();
    for server in servers {
        heal(&mut net, server);
    }
    net
}

pub(crate) fn net() -> Net {
    net_with(validating(&[]))
}

pub(crate) fn heal(net: &mut Net, server: &'static str) {
    let zones = zones_of(server);
    net.behave(server, move |request, _| {
        Action::Raw(serve(&zones, request))
    });
}

/// Lets a server answer for `qname` with what `change` makes of the real reply.
pub(crate) fn tamper(
    net: &mut Net,
    server: &'static str,
    change: impl Fn(&mut hickory_proto::op::Message, &Request) + 'static,
) {
    let zones = zones_of(server);
    net.behave(server, move |request, _| {
        let bytes = serve(&zones, request);
        let mut message = hickory_proto::op::Message::from_vec(&bytes).unwrap();
        change(&mut message, request);
        Action::Raw(message.to_vec().unwrap())
    });
}

#[track_caller]
pub(crate) fn assert_bogus(outcome: &Outcome, expected: u16) {
    assert_eq!(outcome.rcode, ResponseCode::ServFail, "{outcome:?}");
    assert_eq!(
        code(outcome),
        Some(expected),
        "{:?}",
        outcome.extended_errors
    );
    assert!(outcome.answers.is_empty() && !outcome.authentic);
}

#[track_caller]
pub(crate) fn assert_answer(outcome: &Outcome, authentic: bool) {
    assert_eq!(
        outcome.rcode,
        ResponseCode::NoError,
        "{:?}",
        outcome.extended_errors
    );
    assert!(!outcome.answers.is_empty());
    assert_eq!(outcome.authentic, authentic, "{:?}", outcome.answers);
}

pub(crate) fn with_cd(qname: &str, qtype: RecordType) -> Question {
    Question {
        checking_disabled: true,
        ..Question::new(name(qname), qtype)
    }
}

#[test]
fn signed_answers_are_authentic_first_and_from_the_cache() {
    let mut net = net();
    for _ in 0..2 {
        for (qname, qtype) in [
            ("www.good.test.", A),
            ("www.nsec3.test.", A),
            ("a.b.deep.good.test.", TXT),
            ("good.test.", DNSKEY),
            ("good.test.", DS),
            (".", DNSKEY),
            ("test.", RecordType::SOA),
        ] {
            let outcome = net.ask(qname, qtype);
            assert_eq!(outcome.rcode, ResponseCode::NoError, "{qname} {outcome:?}");
            assert_answer(&outcome, true);
        }
    }
    let before = net.log.len();
    assert_answer(&net.ask("www.good.test.", A), true);
    assert_eq!(net.log.len(), before, "all of it is cached");
}

#[test]
fn a_cold_answer_costs_a_key_question_a_zone_and_no_more() {
    let mut net = net();
    net.ask("www.good.test.", A);
    let keys: Vec<String> = net
        .log
        .iter()
        .filter(|request| matches!(request.qtype, DNSKEY | DS))
        .map(|request| format!("{} {}", request.qname, request.qtype))
        .collect();
    assert_eq!(keys, [". DNSKEY", "test. DNSKEY", "good.test. DNSKEY"]);
}

#[test]
fn denials_are_proven_by_nsec_and_nsec3() {
    let mut net = net();
    for _ in 0..2 {
        for (qname, qtype, rcode) in [
            ("nothing.good.test.", A, ResponseCode::NXDomain),
            ("www.good.test.", AAAA, ResponseCode::NoError),
            ("b.deep.good.test.", A, ResponseCode::NoError),
            ("x.wild.good.test.", AAAA, ResponseCode::NoError),
            ("nothing.nsec3.test.", A, ResponseCode::NXDomain),
            ("www.nsec3.test.", AAAA, ResponseCode::NoError),
            ("b.deep.nsec3.test.", A, ResponseCode::NoError),
            ("nothing.", A, ResponseCode::NXDomain),
        ] {
            let outcome = net.ask(qname, qtype);
            assert_eq!(
                outcome.rcode, rcode,
                "{qname} {qtype} {:?}",
                outcome.extended_errors
            );
            assert!(outcome.answers.is_empty());
            assert!(outcome.authentic, "{qname} {qtype}");
        }
    }
}

#[test]
fn denials_under_opt_out_hold_and_are_not_authentic() {
    let outcome = net().ask("nothing.test.", A);
    assert_eq!(
        outcome.rcode,
        ResponseCode::NXDomain,
        "{:?}",
        outcome.extended_errors
    );
    assert!(!outcome.authentic, "RFC 5155 §9.2");
}

#[test]
fn wildcard_answers_need_and_have_their_proof() {
    let mut net = net_with(Config {
        aggressive_nsec: false,
        ..validating(&[])
    });
    for qname in [
        "x.wild.good.test.",
        "x.y.wild.good.test.",
        "x.wild.nsec3.test.",
        "x.alias.good.test.",
    ] {
        assert_answer(&net.ask(qname, A), true);
    }
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, _| {
            message.authorities.retain(|record| !is_denial(record));
        });
    }
    assert_bogus(
        &net.ask("z.wild.good.test.", A),
        extended_error::NSEC_MISSING,
    );
    assert_bogus(
        &net.ask("z.alias.good.test.", A),
        extended_error::NSEC_MISSING,
    );
}

/// NSEC, NSEC3, and the signatures over them.
pub(crate) fn is_denial(record: &Record) -> bool {
    let covers = |rtype: u16| {
        format!("{}", record.data).starts_with(&format!("{} ", RecordType::from(rtype)))
    };
    match u16::from(record.record_type()) {
        47 | 50 => true,
        46 => covers(47) || covers(50) || opaque_covers(record),
        _ => false,
    }
}

/// The type covered, where RRSIG is not read further.
fn opaque_covers(record: &Record) -> bool {
    match &record.data {
        hickory_proto::rr::RData::Unknown { rdata, .. } => {
            matches!(rdata.anything.first_chunk(), Some([0, 47 | 50]))
        }
        _ => false,
    }
}

#[test]
fn aliases_are_as_good_as_their_weakest_step() {
    let mut net = net();
    assert_answer(&net.ask("alias.good.test.", A), true);
    assert_answer(&net.ask("to-nsec3.good.test.", A), true);
    assert_answer(&net.ask("www.old.good.test.", A), true);
    let weak = net.ask("to-unsigned.good.test.", A);
    assert_answer(&weak, false);
    assert_eq!(weak.answers.len(), 2);
    assert_bogus(
        &net.ask("to-forged.good.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
}

#[test]
fn zones_without_ds_are_unsigned_and_answered() {
    let mut net = net();
    for _ in 0..2 {
        assert_answer(&net.ask("www.unsigned.test.", A), false);
        assert_answer(&net.ask("www.plain.", A), false);
        let denied = net.ask("nothing.plain.", A);
        assert_eq!(
            (denied.rcode, denied.authentic),
            (ResponseCode::NXDomain, false)
        );
    }
}

#[test]
fn zones_signed_in_an_unknown_way_count_as_unsigned() {
    let mut net = net();
    assert_answer(&net.ask("www.unknown.test.", A), false);
}

#[test]
fn what_does_not_hold_is_refused_and_says_why() {
    let mut net = net();
    for _ in 0..2 {
        let expired = net.ask("www.expired.test.", A);
        assert_eq!(expired.rcode, ResponseCode::ServFail);
        let text = &expired.extended_errors[0].1;
        assert!(text.contains("expired"), "{text}");
    }
    assert_bogus(
        &net.ask("www.forged.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
    assert_answer(&net.ask("right.forged.test.", A), true);
    assert_bogus(
        &net.ask("www.wrong.test.", A),
        extended_error::DNSKEY_MISSING,
    );
    assert_bogus(
        &net.ask("www.missing.test.", A),
        extended_error::DNSKEY_MISSING,
    );
}

#[test]
fn clients_that_check_themselves_get_what_is_bogus() {
    let mut net = net();
    for qname in ["www.expired.test.", "www.forged.test.", "www.missing.test."] {
        let outcome = net.ask_question(with_cd(qname, A));
        assert_answer(&outcome, false);
        assert_eq!(net.ask(qname, A).rcode, ResponseCode::ServFail, "{qname}");
        assert_answer(&net.ask_question(with_cd(qname, A)), false);
    }
}

#[test]
fn a_negative_anchor_lets_a_broken_zone_through() {
    let mut net = net_with(validating(&["expired.test."]));
    assert_answer(&net.ask("www.expired.test.", A), false);
    assert_answer(&net.ask("www.good.test.", A), true);
    assert_bogus(
        &net.ask("www.forged.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
}

#[test]
fn without_anchors_nothing_is_authentic_or_refused() {
    let mut net = net_with(config());
    assert_answer(&net.ask("www.good.test.", A), false);
    assert_answer(&net.ask("www.forged.test.", A), false);
}

#[test]
fn an_anchor_that_names_another_key_makes_everything_bogus() {
    let mut wrong = root_anchor();
    *wrong.ds.last_mut().unwrap() ^= 1;
    let validation = Validation {
        anchors: vec![wrong],
        negative: Vec::new(),
    };
    let mut net = net_with(Config {
        validation: Some(validation),
        ..config()
    });
    assert_bogus(
        &net.ask("www.good.test.", A),
        extended_error::DNSKEY_MISSING,
    );
    assert_eq!(net.ask("www.plain.", A).rcode, ResponseCode::ServFail);
}

#[test]
fn another_server_is_asked_when_one_gives_bogus_data() {
    for bad in [GOOD_1, GOOD_2] {
        let mut net = net();
        net.delay(bad, 1); // Preferred.
        tamper(&mut net, bad, |message, request| {
            if request.qtype == A && request.qname == "www.good.test." {
                message.answers.pop();
                message.answers.retain(|record| record.record_type() == A);
                message.answers.truncate(1);
            }
        });
        for _ in 0..5 {
            assert_answer(&net.ask("www.good.test.", A), true);
            assert_eq!(addresses(&net.ask("www.good.test.", A)).len(), 2);
            net.resolver.flush(Some((&name("www.good.test."), false)));
        }
    }
}

#[test]
fn keys_are_fetched_from_another_server_when_one_gives_bogus_ones() {
    let mut net = net();
    net.delay(GOOD_1, 1);
    tamper(&mut net, GOOD_1, |message, request| {
        if request.qtype == DNSKEY {
            message
                .answers
                .retain(|record| record.record_type() != RecordType::RRSIG);
        }
    });
    assert_answer(&net.ask("www.good.test.", A), true);
}

#[test]
fn keys_that_cannot_be_fetched_fail_the_answer_and_not_the_data() {
    let mut net = net();
    for server in [GOOD_1, GOOD_2] {
        let zones = zones_of(server);
        net.behave(server, move |request, _| match request.qtype {
            DNSKEY => Action::Silence,
            _ => Action::Raw(serve(&zones, request)),
        });
    }
    let outcome = net.ask("www.good.test.", A);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    assert_ne!(code(&outcome), Some(extended_error::DNSSEC_BOGUS));
    for server in [GOOD_1, GOOD_2] {
        heal(&mut net, server);
    }
    net.pass(400_000);
    assert_answer(&net.ask("www.good.test.", A), true);
}

#[test]
fn bogus_data_that_a_checking_client_brought_are_fetched_anew_for_others() {
    let mut net = net();
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, request| {
            if request.qtype == A {
                message.answers.truncate(1);
            }
        });
    }
    assert_answer(&net.ask_question(with_cd("www.good.test.", A)), false);
    for server in [GOOD_1, GOOD_2] {
        heal(&mut net, server);
    }
    assert_answer(&net.ask("www.good.test.", A), true);
}

#[test]
fn signatures_asked_for_themselves_are_given_and_not_authentic() {
    let outcome = net().ask("www.good.test.", RecordType::RRSIG);
    assert_answer(&outcome, false);
}

#[test]
fn a_signature_in_the_name_of_the_parent_beside_the_right_one_does_no_harm() {
    let mut net = net();
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, request| {
            if request.qname != "www.good.test." || request.qtype != A {
                return;
            }
            let is_signature = |record: &&Record| record.record_type() == RecordType::RRSIG;
            let mut other = message.answers.iter().find(is_signature).unwrap().clone();
            other.data = signed_by_parent(&other);
            message.answers.insert(0, other);
        });
    }
    assert_answer(&net.ask("www.good.test.", A), true);
}

/// The answer for `www.good.test. A` with `test.` as the signer of its only signature.
fn claim_parent(message: &mut hickory_proto::op::Message, request: &Request) {
    if request.qname == "www.good.test." && request.qtype == A {
        for record in &mut message.answers {
            if record.record_type() == RecordType::RRSIG {
                record.data = signed_by_parent(record);
            }
        }
    }
}

/// RDATA of a signature whose signer lost its first label: `good.test.` becomes `test.`
fn signed_by_parent(record: &Record) -> hickory_proto::rr::RData {
    let bytes = hickory_proto::serialize::binary::BinEncodable::to_bytes(&record.data).unwrap();
    let changed = [&bytes[..18], &bytes[18 + 5..]].concat();
    crate::authority::opaque(RecordType::RRSIG, changed)
}

#[test]
fn a_signer_above_an_island_of_trust_does_not_make_it_unsigned() {
    let is_ds = |line: &&str| line.starts_with("good.test.") && line.contains("\tDS\t");
    let line = include_str!("data/test.zone").lines().find(is_ds).unwrap();
    let anchors = resolver::iterate::read_anchors(line.as_bytes(), "f").unwrap();
    let mut config = config();
    config.validation = Some(Validation {
        anchors,
        negative: Vec::new(),
    });
    let mut net = net_with(config);
    assert_answer(&net.ask("www.good.test.", A), true);
    assert_answer(&net.ask("www.forged.test.", A), false);
    net.resolver.flush(None);
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, claim_parent);
    }
    assert_bogus(&net.ask("www.good.test.", A), extended_error::DNSSEC_BOGUS);
}

#[test]
fn a_name_above_that_is_denied_without_proof_denies_nothing_below() {
    let mut config = validating(&[]);
    config.qname_minimisation = resolver::iterate::QnameMinimisation::Strict;
    let mut net = net_with(config);
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, request| {
            if request.qname == "deep.good.test." {
                message.metadata.response_code = ResponseCode::NXDomain;
                message.authorities.retain(|record| !is_denial(record));
            }
        });
    }
    let brought = net.ask_question(with_cd("deep.good.test.", A));
    assert_eq!(brought.rcode, ResponseCode::NXDomain);
    let outcome = net.ask("a.b.deep.good.test.", TXT);
    assert_eq!(outcome.rcode, ResponseCode::ServFail, "{outcome:?}");
}

#[test]
fn the_reason_stays_while_a_bogus_answer_is_remembered() {
    let mut net = net();
    assert_bogus(
        &net.ask("www.forged.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
    let before = net.log.len();
    assert_bogus(
        &net.ask("www.forged.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
    assert_eq!(net.log.len(), before);
}

#[test]
fn signatures_that_were_stripped_on_the_way_are_missed() {
    let mut net = net();
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, request| {
            if request.qtype == A {
                message
                    .answers
                    .retain(|record| record.record_type() != RecordType::RRSIG);
            }
        });
    }
    assert_bogus(
        &net.ask("www.good.test.", A),
        extended_error::RRSIGS_MISSING,
    );
}

#[test]
fn a_parent_that_loses_the_ds_cannot_make_a_zone_unsigned() {
    let mut net = net();
    tamper(&mut net, TEST, |message, request| {
        if request.qname.ends_with("good.test.") {
            let is_ds = |record: &Record| record.record_type() == DS;
            message.answers.retain(|record| !is_ds(record));
            message.authorities.retain(|record| !is_ds(record));
        }
    });
    let outcome = net.ask("www.good.test.", A);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    assert!(outcome.answers.is_empty());
}

#[test]
fn an_nxdomain_with_the_proof_of_another_name_is_bogus() {
    let mut net = net();
    for server in [GOOD_1, GOOD_2] {
        let zones = zones_of(server);
        tamper(&mut net, server, move |message, request| {
            if request.qname == "www.good.test." && request.qtype == A {
                let mut other = request.clone();
                other.raw[13..16].copy_from_slice(b"zzz");
                other.qname = "zzz.good.test.".into();
                let denial = hickory_proto::op::Message::from_vec(&serve(&zones, &other)).unwrap();
                message.metadata.response_code = denial.metadata.response_code;
                message.answers.clear();
                message.authorities = denial.authorities;
            }
        });
    }
    assert_bogus(&net.ask("www.good.test.", A), extended_error::NSEC_MISSING);
}

#[test]
fn time_decides_and_is_taken_anew() {
    let mut net = net();
    net.resolver.set_time(net.now_ms, 1_600_000_000); // 2020: expired.test. is good, the rest is not yet.
    let early = net.ask("www.good.test.", A);
    assert_eq!(early.rcode, ResponseCode::ServFail);
    net.resolver.set_time(net.now_ms, NOW_SECS);
    net.resolver.flush(None);
    assert_answer(&net.ask("www.good.test.", A), true);
    net.resolver.set_time(net.now_ms, 2_145_830_400 - 5);
    net.resolver.flush(None);
    let last = net.ask("www.good.test.", A);
    assert_answer(&last, true);
    assert!(
        last.ttl_secs <= 5,
        "no longer than the signature: {}",
        last.ttl_secs
    );
}

#[test]
fn work_for_one_question_is_bounded() {
    let mut config = validating(&[]);
    config.limits.signatures_max = 3;
    let outcome = net_with(config).ask("www.good.test.", A);
    assert_bogus(&outcome, extended_error::DNSSEC_BOGUS);
    let text = &outcome.extended_errors[0].1;
    assert!(text.contains("too many"), "{text}");
}

#[test]
fn the_root_proves_that_it_has_no_ds_by_its_own_apex() {
    let outcome = net().ask(".", DS);
    let reason = &outcome.extended_errors;
    assert_eq!(outcome.rcode, ResponseCode::NoError, "{reason:?}");
    assert!(outcome.answers.is_empty() && outcome.authentic);
}

#[test]
fn clients_that_check_themselves_get_the_keys_of_a_bogus_zone_after_others_were_refused() {
    let mut net = net();
    assert_bogus(
        &net.ask("www.expired.test.", A),
        extended_error::SIGNATURE_EXPIRED,
    );
    let outcome = net.ask_question(with_cd("expired.test.", DNSKEY));
    assert_answer(&outcome, false);
}

#[test]
fn the_proof_for_the_wildcard_of_an_alias_does_not_stay_with_what_the_alias_names() {
    let mut net = net();
    let question = |qname| Question {
        dnssec_ok: true,
        ..Question::new(name(qname), A)
    };
    let aliased = net.ask_question(question("x.alias.good.test."));
    assert!(aliased.authority.iter().any(is_denial));
    let outcome = net.ask_question(question("www.good.test."));
    assert_answer(&outcome, true);
    assert!(outcome.authority.is_empty(), "{:?}", outcome.authority);
}

/// RFC 5155 §7.1: names that are empty and only above what is opted out need no NSEC3, and a server
/// may then have nothing to prove by that such a name has no DS.
#[test]
fn an_unsigned_zone_that_is_opted_out_two_labels_down_is_found_by_its_referral() {
    let mut net = net();
    let read = |origin: &str, text: &str| {
        let mut loader = |_: &str, path: &str| Err(format!("no {path}"));
        let zone = Zone::read(&wire_name(origin), text.as_bytes(), origin, &mut loader);
        zone.unwrap_or_else(|error| panic!("{origin}: {error}")).0
    };
    let delegation = "deep.under.test. 3600 IN NS ns.unsigned.test.\n";
    let parent = [read(
        "test.",
        &format!("{}\n{delegation}", include_str!("data/test.zone")),
    )];
    net.behave(TEST, move |request, _| {
        let bytes = serve(&parent, request);
        let mut message = hickory_proto::op::Message::from_vec(&bytes).unwrap();
        if request.qtype == DS && request.qname.eq_ignore_ascii_case("under.test.") {
            message.authorities.retain(|record| !is_denial(record));
        }
        Action::Raw(message.to_vec().unwrap())
    });
    let soa = "@ 3600 SOA ns.unsigned.test. host 1 2 3 4 300\n@ 3600 NS ns.unsigned.test.\n";
    let child = read(
        "deep.under.test.",
        &format!("{soa}www 600 A 203.0.113.30\n"),
    );
    let mut zones = zones_of("192.0.2.8");
    zones.push(child);
    net.behave("192.0.2.8", move |request, _| {
        Action::Raw(serve(&zones, request))
    });
    for _ in 0..2 {
        assert_answer(&net.ask("www.deep.under.test.", A), false);
    }
    assert!(!net.asked(TEST).iter().any(|asked| asked.contains("DS")));
}

/// An NSEC without signature: that a delegation stands at `owner`.
fn forged_nsec(owner: &str) -> Record {
    let next = crate::authority::wire(&name(&format!("zz.{owner}")));
    let rdata = [&next[..], &[0, 1, 0x20]].concat(); // NS alone.
    let data = crate::authority::opaque(RecordType::NSEC, rdata);
    Record::from_rdata(name(owner), 300, data)
}

/// Gives another address for `qname`, without signatures, and adds to the genuine denial of its DS that
/// an unsigned delegation stands there (RFC 4035 §5.2: only what is authentic proves that).
fn pretend_cut(net: &mut Net, server: &'static str, qname: &'static str) {
    tamper(net, server, move |message, request| {
        if request.qname != qname {
            return;
        }
        if request.qtype == A {
            message.metadata.response_code = ResponseCode::NoError;
            message.authorities.clear();
            let address = hickory_proto::rr::RData::A(std::net::Ipv4Addr::new(6, 6, 6, 6).into());
            message.answers = vec![Record::from_rdata(name(qname), 600, address)];
        } else if request.qtype == DS {
            message.authorities.insert(0, forged_nsec(qname));
        }
    });
}

#[test]
fn an_unsigned_nsec_beside_a_denial_of_ds_makes_no_unsigned_zone() {
    const NSEC3: &[&str] = &["192.0.2.3"];
    for (servers, qname, ds_is_cached) in [
        (NSEC3, "www.nsec3.test.", false),
        (NSEC3, "www.nsec3.test.", true),
        (NSEC3, "ghost.nsec3.test.", false),
        (&[GOOD_1, GOOD_2], "ghost.good.test.", false),
    ] {
        let mut net = net_with(Config {
            aggressive_nsec: false,
            ..validating(&[])
        });
        for server in servers {
            pretend_cut(&mut net, server, qname);
        }
        if ds_is_cached {
            assert!(net.ask(qname, DS).authentic, "{qname}");
        }
        let outcome = net.ask(qname, A);
        if qname.starts_with("www") {
            assert_bogus(&outcome, extended_error::RRSIGS_MISSING);
        } else {
            // That the name has no DS proved that there is no such name.
            assert_eq!(outcome.rcode, ResponseCode::NXDomain, "{outcome:?}");
            assert!(outcome.answers.is_empty() && outcome.authentic);
        }
    }
}

/// RFC 4035 §3.2.3: AD says that all of the authority section is authentic.
#[test]
fn records_of_a_proof_that_do_not_hold_reach_no_client_with_ad() {
    let mut net = net_with(Config {
        aggressive_nsec: false,
        ..validating(&[])
    });
    for server in [GOOD_1, GOOD_2, "192.0.2.3"] {
        tamper(&mut net, server, |message, request| {
            if request.qtype != DNSKEY {
                let forged = forged_nsec(&format!("forged.{}", request.qname));
                message.authorities.insert(0, forged);
            }
        });
    }
    for (qname, qtype, proofs) in [
        ("nothing.good.test.", A, 1),
        ("www.good.test.", AAAA, 1),
        ("www.nsec3.test.", AAAA, 1),
        ("x.wild.good.test.", A, 1),
        ("x.wild.nsec3.test.", A, 1),
        ("x.alias.good.test.", A, 1),
        ("www.good.test.", A, 0),
    ] {
        for _ in 0..2 {
            let outcome = net.ask_question(Question {
                dnssec_ok: true,
                ..Question::new(name(qname), qtype)
            });
            let reason = &outcome.extended_errors;
            assert!(outcome.authentic, "{qname} {qtype}: {reason:?}");
            let authority = &outcome.authority;
            let is_forged = |record: &Record| record.name.to_ascii().starts_with("forged.");
            assert!(!authority.iter().any(is_forged), "{qname} {authority:?}");
            let genuine = authority.iter().filter(|record| is_denial(record));
            assert!(genuine.count() >= proofs, "{qname} {authority:?}");
        }
    }
}
