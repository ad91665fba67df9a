//! Reasons that answers carry (RFC 8914): why they are not checked, and all that went wrong.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType};
use resolver::iterate::{Config, TrustAnchor, Validation, extended_error};

use crate::authority::{name, wire};
use crate::net::{Action, Net, ROOT, Request, codes, config};
use crate::signing::{OLD, START_SECS, ZONE, reply, signed, signed_keys};
use crate::validation::{self, GOOD_1, GOOD_2, assert_answer, tamper};

/// One of a DS with this algorithm and digest type for `island.`.
fn island(algorithm: u8, digest_type: u8) -> TrustAnchor {
    TrustAnchor {
        zone: name("island."),
        ds: [&[0, 1, algorithm, digest_type][..], &[7; 32]].concat(),
    }
}

fn net_with(anchors: Vec<TrustAnchor>) -> Net {
    let mut net = Net::empty(Config {
        validation: Some(Validation {
            anchors,
            negative: Vec::new(),
        }),
        ..config()
    });
    net.zone(
        ROOT,
        ".",
        "@ NS a.root.\n a.root. A 198.51.100.1\n island. NS ns.island.\n ns.island. A 192.0.2.50",
    );
    net.zone(
        "192.0.2.50",
        "island.",
        "@ NS ns\n ns A 192.0.2.50\n www A 203.0.113.1",
    );
    net.resolver.set_time(net.now_ms, START_SECS);
    net
}

#[test]
fn answers_of_zones_signed_in_unknown_ways_say_so_first_and_from_the_cache() {
    let algorithm = extended_error::UNSUPPORTED_DNSKEY_ALGORITHM;
    let digest = extended_error::UNSUPPORTED_DS_DIGEST;
    for (anchors, expected) in [
        (vec![island(99, 2)], algorithm),
        (vec![island(99, 99)], algorithm),
        (vec![island(13, 99)], digest),
        (vec![island(99, 2), island(13, 99)], digest),
    ] {
        let mut net = net_with(anchors);
        for _ in 0..2 {
            let outcome = net.ask("www.island.", RecordType::A);
            assert_eq!(outcome.rcode, ResponseCode::NoError);
            assert!(!outcome.authentic && outcome.answers.len() == 1);
            assert_eq!(codes(&outcome), [expected]);
            assert!(
                outcome.extended_errors[0].1.contains("island."),
                "{outcome:?}"
            );
        }
        let absent = net.ask("nowhere.island.", RecordType::A);
        assert_eq!(
            (absent.rcode, codes(&absent)),
            (ResponseCode::NXDomain, vec![expected])
        );
    }
}

#[test]
fn answers_of_zones_that_are_simply_unsigned_need_no_reason() {
    let mut net = net_with(Vec::new());
    assert!(codes(&net.ask("www.island.", RecordType::A)).is_empty());
    let mut net = net_with(vec![island(99, 2)]);
    net.resolver
        .add_negative_anchor(net.now_ms, &name("www.island."), 60, String::new())
        .unwrap();
    let ticket = net.begin_plain("www.island.", RecordType::A);
    net.pass(10_000);
    let outcome = net.take(ticket);
    assert!(codes(&outcome).is_empty(), "as the operator wants it");
}

/// An NSEC3 of the root that asks for one iteration too many, signed.
fn costly() -> Vec<Record> {
    let head = [&[1, 0, 0, 151, 0, 20][..], &[0xff; 20]].concat();
    let types = [0, 1, 0x20]; // NS.
    let rdata = [&head[..], &types].concat();
    signed(
        "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.",
        50,
        300,
        vec![rdata],
        &[ZONE],
    )
}

/// The root signs, and denies with too many iterations: all names but those of the test's zone,
/// and the DS of that.
fn costly_root(request: &Request) -> Action {
    let answer =
        |answers, authorities| Action::Message(Box::new(reply(request, answers, authorities)));
    match (request.qname.as_str(), request.qtype) {
        (".", RecordType::DNSKEY) => answer(signed_keys(&[OLD, ZONE], 3_600, &[OLD]), Vec::new()),
        (".", _) => Action::Serve,
        (qname, rtype) => {
            let below = qname.ends_with("island.");
            if below && rtype != RecordType::DS {
                return Action::Serve; // A referral that does not say whether there is a DS.
            }
            let soa = [wire(&name("a.")), wire(&name("b."))].concat();
            let soa = [soa, [0_u32, 1, 2, 3, 300].map(u32::to_be_bytes).concat()].concat();
            let mut authorities = signed(".", 6, 300, vec![soa], &[ZONE]);
            authorities.extend(costly());
            let mut reply = reply(request, Vec::new(), authorities);
            if !below {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            Action::Message(Box::new(reply))
        }
    }
}

#[test]
fn too_many_iterations_are_told_of_denials_and_of_zones_whose_ds_they_deny() {
    let expected = [extended_error::UNSUPPORTED_NSEC3_ITERATIONS];
    let mut net = net_with(vec![OLD.anchor()]);
    net.behave(ROOT, |request, _| costly_root(request));
    for _ in 0..2 {
        let absent = net.ask("nowhere.", RecordType::A);
        assert_eq!(absent.rcode, ResponseCode::NXDomain, "{absent:?}");
        assert!(!absent.authentic);
        assert_eq!(codes(&absent), expected);
        let below = net.ask("www.island.", RecordType::A);
        assert_eq!(below.rcode, ResponseCode::NoError, "{below:?}");
        assert!(!below.authentic);
        assert_eq!(codes(&below), expected);
    }
}

#[test]
fn no_outcome_has_more_errors_than_the_bound_nor_one_twice() {
    let mut outcome = resolver::iterate::Outcome::empty(ResponseCode::ServFail);
    for code in [6, 6, 22, 23, 24] {
        outcome.add_extended_error(code, String::new());
    }
    assert_eq!(codes(&outcome), [6, 22, 23]);
}

#[test]
fn bogus_data_and_servers_that_do_not_answer_are_told_together() {
    let mut net = validation::net();
    net.ask("good.test.", RecordType::DNSKEY);
    tamper(&mut net, GOOD_1, |message, request| {
        if request.qtype == RecordType::A && request.qname == "www.good.test." {
            message
                .answers
                .retain(|record| record.record_type() == RecordType::A);
        }
    });
    net.silence(GOOD_2);
    let outcome = net.ask("www.good.test.", RecordType::A);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    let unreachable = extended_error::NO_REACHABLE_AUTHORITY;
    assert_eq!(
        codes(&outcome),
        [extended_error::RRSIGS_MISSING, unreachable]
    );
    let again = net.ask("www.good.test.", RecordType::A);
    assert_eq!(codes(&again), [extended_error::RRSIGS_MISSING]);
}

#[test]
fn zone_of_an_unknown_algorithm_says_why_it_is_not_checked() {
    let mut net = validation::net();
    let outcome = net.ask("www.unknown.test.", RecordType::A);
    assert_answer(&outcome, false);
    assert_eq!(
        codes(&outcome),
        [extended_error::UNSUPPORTED_DNSKEY_ALGORITHM]
    );
    assert!(codes(&net.ask("www.unsigned.test.", RecordType::A)).is_empty());
}
