//! Validation where something else goes wrong: no room, no effort left, forged denials, data past their TTL.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_proto::rr::RecordType::{A, AAAA, ANY, DNSKEY, DS, NSEC3, RRSIG, TXT};
use hickory_proto::serialize::binary::BinEncodable;
use resolver::iterate::{Config, QnameMinimisation, Question, Validation, extended_error};

use crate::authority::{name, opaque, wire};
use crate::net::{Net, ROOT, config};
use crate::signing::{OLD, START_SECS, ZONE, answer, reply, signed, signed_keys};
use crate::validation::{
    GOOD_1, GOOD_2, NOW_SECS, TEST, assert_answer, assert_bogus, is_denial, net, net_with, tamper,
    validating, with_cd,
};

const PLAIN: &str = "198.51.100.3";
/// When the signatures of `good.test.` end.
const EXPIRATION_SECS: u64 = 2_145_830_400;

#[test]
fn lack_of_room_for_lookups_says_nothing_of_a_zone_and_is_not_remembered() {
    let mut config = validating(&[]);
    config.limits.tasks_max = 7;
    config.limits.wall_ms_max = 1_000;
    let mut net = net_with(config);
    net.ask_question(with_cd("www.plain.", A));
    net.silence(PLAIN);
    for number in 0..6 {
        net.begin(with_cd(&format!("n{number}.plain."), A));
    }
    let ticket = net.begin_plain("www.good.test.", A);
    net.pass(200);
    let outcome = net.take(ticket);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    let text = &outcome.extended_errors[0].1;
    assert!(text.contains("too many questions"), "{text}");
    net.run();
    assert!(net.log.iter().all(|request| request.qtype != DNSKEY));
    assert_answer(&net.ask("www.good.test.", A), true);
    assert_answer(&net.ask("www.nsec3.test.", A), true);
}

#[test]
fn signed_names_are_resolved_while_silent_servers_hold_all_places_for_questions() {
    let mut config = validating(&[]);
    config.limits.tasks_max = 64;
    let mut net = net_with(config);
    net.ask_question(with_cd("www.nsec3.test.", A)); // No keys, and nothing of `plain.`
    net.silence(PLAIN);
    for number in 0..64 {
        net.begin(with_cd(&format!("n{number}.plain."), A));
    }
    net.pass(200);
    let ticket = net.begin_plain("www.good.test.", A);
    assert_eq!(net.resolver.statistics().given_up, 1);
    for _ in 0..100 {
        net.pass(10);
        assert!(net.resolver.statistics().tasks <= 64 + 8);
    }
    assert_answer(&net.take(ticket), true);
    net.run();
}

#[test]
fn a_cut_that_cannot_be_judged_for_lack_of_effort_is_neither_there_nor_absent() {
    let mut config = validating(&[]);
    config.limits.hashes_max = 1;
    let mut net = net_with(config);
    tamper(&mut net, TEST, |message, request| {
        if request.qtype != DS {
            message.authorities.retain(|record| !is_denial(record));
        }
    });
    let outcome = net.ask("www.unsigned.test.", A);
    assert_bogus(&outcome, extended_error::DNSSEC_BOGUS);
    let text = &outcome.extended_errors[0].1;
    assert!(text.contains("too many"), "{text}");
    // The denial of DS is judged and cached by now: less is left to do.
    assert_answer(&net.ask("www.unsigned.test.", A), false);
}

/// Puts signatures that do not hold before those of `www.good.test. A`.
fn add_bad_signatures(net: &mut Net, bad: u8) {
    for server in [GOOD_1, GOOD_2] {
        tamper(net, server, move |message, request| {
            if request.qname != "www.good.test." || request.qtype != A {
                return;
            }
            let is_signature = |record: &&Record| record.record_type() == RRSIG;
            let genuine = message.answers.iter().find(is_signature).unwrap().clone();
            let rdata = BinEncodable::to_bytes(&genuine.data).unwrap();
            for number in 1..=bad {
                let mut rdata = rdata.clone();
                *rdata.last_mut().unwrap() ^= number;
                let data = opaque(RRSIG, rdata);
                let forged = Record::from_rdata(genuine.name.clone(), genuine.ttl, data);
                message.answers.insert(0, forged);
            }
        });
    }
}

#[test]
fn signatures_that_do_not_hold_are_few_or_end_the_question() {
    for (bad_max, holds) in [(16, true), (6, true), (5, false)] {
        let mut config = validating(&[]);
        config.limits.bad_signatures_max = bad_max;
        let mut net = net_with(config);
        add_bad_signatures(&mut net, 5);
        let outcome = net.ask("www.good.test.", A);
        if holds {
            assert_answer(&outcome, true);
            continue;
        }
        assert_bogus(&outcome, extended_error::DNSSEC_BOGUS);
        let text = &outcome.extended_errors[0].1;
        assert!(text.contains("too many"), "{text}");
        let asked = [GOOD_1, GOOD_2].map(|server| net.asked(server));
        let asked = asked.concat();
        let asked = asked.iter().filter(|asked| *asked == "www.good.test. A");
        assert_eq!(asked.count(), 1, "nothing more could be checked");
    }
}

#[test]
fn a_forged_record_beside_a_denial_does_not_say_why_it_is_insecure() {
    let mut net = net();
    tamper(&mut net, TEST, |message, request| {
        if request.qname == "nothing.test." {
            let owner = name("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.test.");
            let hash = [&[20][..], &[7; 20]].concat();
            let rdata = [&[1, 0, 0, 200, 0][..], &hash].concat(); // 200 iterations.
            let data = opaque(NSEC3, rdata);
            message
                .authorities
                .push(Record::from_rdata(owner, 300, data));
        }
    });
    let outcome = net.ask("nothing.test.", A);
    assert_eq!(outcome.rcode, ResponseCode::NXDomain);
    let errors = &outcome.extended_errors;
    assert!(!outcome.authentic && errors.is_empty(), "{errors:?}");
}

#[test]
fn a_forged_nxdomain_costs_nothing_that_was_proven_of_the_name() {
    let mut net = net();
    assert_answer(&net.ask("www.good.test.", A), true);
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, request| {
            if request.qname == "www.good.test." {
                message.metadata.response_code = ResponseCode::NXDomain;
                message.answers.clear();
                message.authorities.retain(|record| !is_denial(record));
            }
        });
    }
    let forged = net.ask("www.good.test.", AAAA);
    assert_bogus(&forged, extended_error::NSEC_MISSING);
    let before = net.log.len();
    assert_answer(&net.ask("www.good.test.", A), true);
    assert_eq!(net.log.len(), before, "from the cache");
    net.pass(601_000);
    assert_bogus(
        &net.ask("www.good.test.", AAAA),
        extended_error::NSEC_MISSING,
    );
    let outcome = net.ask("www.good.test.", A);
    assert!(outcome.stale && outcome.authentic, "{outcome:?}");
}

#[test]
fn a_proven_nxdomain_ends_what_was_proven_of_the_name_before() {
    let mut net = Net::empty(Config {
        validation: Some(Validation {
            anchors: vec![OLD.anchor()],
            negative: Vec::new(),
        }),
        aggressive_nsec: false,
        ..config()
    });
    net.zone(ROOT, ".", "@ NS a.root.\n a.root. A 198.51.100.1");
    net.resolver.set_time(net.now_ms, START_SECS);
    net.behave(ROOT, |request, _| match request.qtype {
        DNSKEY => answer(request, signed_keys(&[OLD, ZONE], 3_600, &[OLD])),
        A if request.qname == "www." => answer(
            request,
            signed("www.", 1, 600, vec![vec![192, 0, 2, 9]], &[ZONE]),
        ),
        AAAA => {
            let times = [[0, 0, 0, 60]; 5].concat();
            let soa = [wire(&name("a.root.")), wire(&name(".")), times].concat();
            let nsec = vec![0, 0, 7, 0x22, 0, 0, 0, 0, 3, 0x80]; // NS SOA RRSIG NSEC DNSKEY.
            let mut proof = signed(".", 6, 300, vec![soa], &[ZONE]);
            proof.extend(signed(".", 47, 300, vec![nsec], &[ZONE]));
            let mut denial = reply(request, Vec::new(), proof);
            denial.metadata.response_code = ResponseCode::NXDomain;
            crate::net::Action::Message(Box::new(denial))
        }
        _ => crate::net::Action::Serve,
    });
    assert_answer(&net.ask("www.", A), true);
    let denied = net.ask("www.", AAAA);
    assert_eq!(denied.rcode, ResponseCode::NXDomain);
    assert!(denied.authentic, "{:?}", denied.extended_errors);
    let gone = net.ask("www.", A);
    assert_eq!(gone.rcode, ResponseCode::NXDomain, "{gone:?}");
}

#[test]
fn all_types_of_a_wildcard_from_the_cache_have_their_proof() {
    let mut net = net();
    let every = |checking_disabled| Question {
        dnssec_ok: true,
        checking_disabled,
        ..Question::new(name("x.wild.good.test."), ANY)
    };
    assert_answer(&net.ask("www.good.test.", A), true);
    net.ask_question(every(true));
    let before = net.log.len();
    for _ in 0..2 {
        let outcome = net.ask_question(every(false));
        assert_answer(&outcome, true);
        let signed = |record: &&Record| record.record_type() == RRSIG;
        assert!(outcome.answers.iter().any(|record| signed(&record)));
        assert!(outcome.authority.iter().any(is_denial));
    }
    assert_eq!(net.log.len(), before, "nothing of it was bogus");
    assert_eq!(net.resolver.statistics().bogus, 0);
}

#[test]
fn stale_answers_are_authentic_for_as_long_as_their_signatures_hold() {
    for (left_secs, is_authentic) in [(5, false), (5_000, true)] {
        let mut net = net();
        net.resolver
            .set_time(net.now_ms, EXPIRATION_SECS - left_secs);
        assert_answer(&net.ask("www.good.test.", A), true);
        net.silence(GOOD_1);
        net.silence(GOOD_2);
        net.pass(700_000);
        let outcome = net.ask("www.good.test.", A);
        assert!(outcome.stale, "{outcome:?}");
        assert_answer(&outcome, is_authentic);
    }
    const { assert!(NOW_SECS < EXPIRATION_SECS) };
}

#[test]
fn a_bogus_denial_of_a_part_of_a_name_leaves_the_cache_at_once() {
    let mut net = net_with(Config {
        qname_minimisation: QnameMinimisation::Strict,
        ..validating(&[])
    });
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, request| {
            if request.qname == "deep.good.test." {
                message.metadata.response_code = ResponseCode::NXDomain;
                message.authorities.retain(|record| !is_denial(record));
            }
        });
    }
    let outcome = net.ask("a.b.deep.good.test.", TXT);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    let asked = [GOOD_1, GOOD_2].map(|server| {
        let asked = net.asked(server);
        asked
            .iter()
            .filter(|asked| *asked == "deep.good.test. A")
            .count()
    });
    assert_eq!(asked, [1, 1]);
    let bogus = net.resolver.statistics().bogus;
    assert_eq!(bogus, 2, "no reply was judged twice");
}
