//! Names that were never asked are answered from proofs that came with others (RFC 8198), and those
//! answers hold for a validator that knows nothing else.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::RecordType::{self, A, AAAA, ANY, DS, MX, NSEC, NSEC3, RRSIG, SOA, TXT};
use resolver::iterate::{Config, Forward, Outcome, Question, TraceKind};

use crate::authority::name;
use crate::net::{Action, Net, address, addresses};
use crate::validation::{GOOD_1, GOOD_2, net, net_with, tamper, validating, with_cd};

fn with_do(qname: &str, qtype: RecordType) -> Question {
    Question {
        dnssec_ok: true,
        ..Question::new(name(qname), qtype)
    }
}

fn uses(net: &Net) -> u64 {
    net.resolver.statistics().aggressive
}

/// Asks, and says whether the answer cost no query.
fn ask_free(net: &mut Net, qname: &str, qtype: RecordType) -> (Outcome, bool) {
    let before = net.log.len();
    let outcome = net.ask_question(with_do(qname, qtype));
    (outcome, net.log.len() == before)
}

#[track_caller]
fn assert_free(net: &mut Net, qname: &str, qtype: RecordType, rcode: ResponseCode) -> Outcome {
    let (outcome, free) = ask_free(net, qname, qtype);
    assert!(free, "{qname} {qtype} cost {:?}", net.log.last());
    assert_eq!(outcome.rcode, rcode, "{:?}", outcome.extended_errors);
    assert!(outcome.authentic, "{qname} {qtype}");
    outcome
}

#[test]
fn a_thousand_random_names_cost_a_few_queries() {
    for zone in ["good.test.", "nsec3.test."] {
        let mut net = net();
        for number in 0..1_000_u32 {
            let label = number.wrapping_mul(2_654_435_761);
            let outcome = net.ask(&format!("x{label:08x}.{zone}"), A);
            assert_eq!(outcome.rcode, ResponseCode::NXDomain);
            assert!(outcome.authentic);
        }
        assert!(net.log.len() < 30, "{zone}: {} queries", net.log.len());
        assert!(uses(&net) > 950);
        let statistics = net.resolver.statistics();
        assert!((1..=4).contains(&statistics.aggressive_zones));
        assert!(statistics.aggressive_bytes > 0 && statistics.aggressive_insertions > 0);
    }
}

#[test]
fn names_of_many_labels_are_denied_as_cheaply() {
    for zone in ["good.test.", "nsec3.test."] {
        let mut net = net();
        for number in 0..300 {
            net.ask(&format!("x{number}.{zone}"), A); // For the whole ring of hashes.
        }
        let deep = "a.".repeat(100);
        for number in 0..20 {
            let qname = format!("{deep}y{number}.{zone}");
            assert_free(&mut net, &qname, A, ResponseCode::NXDomain);
        }
    }
}

#[test]
fn names_below_others_that_exist_are_denied() {
    for zone in ["good.test.", "nsec3.test."] {
        let mut net = net();
        for number in 0..10 {
            net.ask(&format!("x{number}.b.deep.{zone}"), A);
        }
        assert_free(
            &mut net,
            &format!("y.b.deep.{zone}"),
            A,
            ResponseCode::NXDomain,
        );
    }
}

#[test]
fn made_answers_carry_soa_proofs_and_signatures() {
    let mut net = net();
    net.ask("nothing.good.test.", A);
    let outcome = assert_free(&mut net, "nothinh.good.test.", A, ResponseCode::NXDomain);
    let types = |wanted| {
        let of_type = |record: &&hickory_proto::rr::Record| record.record_type() == wanted;
        outcome.authority.iter().filter(of_type).count()
    };
    let denials = types(NSEC);
    assert_eq!((types(SOA), types(RRSIG)), (1, 1 + denials));
    assert!(denials > 0);
    let plain = net.ask("nothini.good.test.", A);
    assert_eq!(plain.authority.len(), 1, "without DO, the SOA alone");
}

/// A validator that gets everything from the cache of another resolver.
fn downstream(mut upstream: Net) -> Net {
    const UPSTREAM: &str = "192.0.2.200";
    let mut net = net_with(Config {
        forward: vec![Forward {
            zone: name("."),
            servers: vec![(address(UPSTREAM), 53).into()],
            fallback: false,
        }],
        aggressive_nsec: false,
        ..validating(&[])
    });
    net.behave(UPSTREAM, move |request, _| {
        let query = &request.message.queries[0];
        let outcome = upstream.ask_question(with_do(&request.qname, query.query_type()));
        let mut reply = Message::new(
            request.message.metadata.id,
            MessageType::Response,
            OpCode::Query,
        );
        reply.add_queries(request.message.queries.iter().cloned());
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = outcome.rcode;
        (reply.answers, reply.authorities) = (outcome.answers, outcome.authority);
        Action::Message(Box::new(reply))
    });
    net
}

#[test]
fn made_answers_hold_for_a_validator_that_has_nothing_else() {
    let mut upstream = net();
    let warm = [
        ("nothing.good.test.", A),
        ("www.good.test.", AAAA),
        ("x.wild.good.test.", A),
        ("x.wild.good.test.", TXT),
        ("x.alias.good.test.", A),
        ("nothing.nsec3.test.", A),
        ("www.nsec3.test.", AAAA),
        ("x.wild.nsec3.test.", A),
        ("b.deep.nsec3.test.", A),
        ("x.wild.nsec3.test.", TXT),
        ("nothing.", A),
    ];
    for (qname, qtype) in warm {
        upstream.ask(qname, qtype);
    }
    for number in 0..20 {
        upstream.ask(&format!("nothing{number}.nsec3.test."), A); // For the whole ring of hashes.
    }
    let asked = [
        ("nothinh.good.test.", A, ResponseCode::NXDomain),
        ("www.good.test.", MX, ResponseCode::NoError),
        ("y.wild.good.test.", A, ResponseCode::NoError),
        ("y.z.wild.good.test.", A, ResponseCode::NoError),
        ("y.wild.good.test.", MX, ResponseCode::NoError),
        ("y.alias.good.test.", A, ResponseCode::NoError),
        ("nothinh.nsec3.test.", A, ResponseCode::NXDomain),
        ("www.nsec3.test.", MX, ResponseCode::NoError),
        ("y.wild.nsec3.test.", A, ResponseCode::NoError),
        ("y.wild.nsec3.test.", MX, ResponseCode::NoError),
        ("nothinh.", A, ResponseCode::NXDomain),
    ];
    for (qname, qtype, rcode) in asked {
        assert_free(&mut upstream, qname, qtype, rcode);
    }
    let before = uses(&upstream);
    assert!(before >= asked.len() as u64);
    let mut net = downstream(upstream);
    for (qname, qtype, rcode) in asked {
        let outcome = net.ask(qname, qtype);
        assert_eq!(
            outcome.rcode, rcode,
            "{qname} {:?}",
            outcome.extended_errors
        );
        assert!(outcome.authentic, "{qname} {qtype}");
    }
}

#[test]
fn wildcards_make_names_that_were_never_asked() {
    let mut net = net();
    net.ask("x.wild.good.test.", A);
    let outcome = assert_free(&mut net, "y.wild.good.test.", A, ResponseCode::NoError);
    assert_eq!(addresses(&outcome), ["203.0.113.3"]);
    assert_eq!(outcome.answers[0].name, name("y.wild.good.test."));
    let is_nsec = |record: &hickory_proto::rr::Record| record.record_type() == NSEC;
    assert!(outcome.authority.iter().any(is_nsec));
    net.ask("x.alias.good.test.", A);
    let outcome = assert_free(&mut net, "y.alias.good.test.", A, ResponseCode::NoError);
    assert_eq!(
        outcome.answers.first().map(|alias| &alias.name),
        Some(&name("y.alias.good.test."))
    );
    assert_eq!(addresses(&outcome).len(), 2);
    // The name that the wildcard hangs below is no such name; its other types are denied.
    assert!(net.ask("wild.good.test.", A).answers.is_empty());
    let outcome = assert_free(&mut net, "z.wild.good.test.", TXT, ResponseCode::NoError);
    assert!(outcome.answers.is_empty());
}

#[test]
fn empty_names_between_others_exist() {
    let mut net = net();
    net.ask("b.deep.good.test.", A);
    for qname in ["deep.good.test.", "b.deep.good.test."] {
        assert_free(&mut net, qname, MX, ResponseCode::NoError);
    }
}

#[test]
fn who_checks_or_is_exempt_or_has_it_off_is_not_answered_from_proofs() {
    let unsure = [
        (
            Config {
                aggressive_nsec: false,
                ..validating(&[])
            },
            "nothinh.good.test.",
        ),
        (validating(&["nothinh.good.test."]), "nothinh.good.test."),
        (
            validating(&["above.good.test."]),
            "nothinh.above.good.test.",
        ),
    ];
    for (config, qname) in unsure {
        let mut net = net_with(config);
        for qname in ["nothing.good.test.", "above-all.good.test."] {
            net.ask(qname, A);
        }
        assert!(!ask_free(&mut net, qname, A).1, "{qname}");
    }
    let mut net = net();
    net.ask("nothing.good.test.", A);
    let before = net.log.len();
    net.ask_question(with_cd("nothinh.good.test.", A));
    assert!(net.log.len() > before);
    assert_eq!(uses(&net), 0);
}

#[test]
fn a_forwarded_zone_is_not_denied_by_the_zone_above() {
    const INSIDE: &str = "192.0.2.77";
    let mut net = net_with(Config {
        forward: vec![Forward {
            zone: name("nothinh.good.test."),
            servers: vec![(address(INSIDE), 53).into()],
            fallback: false,
        }],
        ..validating(&[])
    });
    net.ask("nothing.good.test.", A);
    net.ask("www.nothinh.good.test.", A);
    assert!(net.queries_to(INSIDE) > 0);
    assert_free(&mut net, "nothini.good.test.", A, ResponseCode::NXDomain);
}

#[test]
fn opt_out_denies_no_name_that_was_not_asked() {
    let mut net = net();
    for number in 0..5 {
        let (outcome, free) = ask_free(&mut net, &format!("nothing{number}.test."), A);
        assert_eq!((outcome.rcode, free), (ResponseCode::NXDomain, false));
    }
}

#[test]
fn what_lies_below_a_cut_or_a_dname_is_not_denied_from_above() {
    let mut net = net();
    // The NSEC of the cut, and the one of the DNAME.
    assert_eq!(net.ask("cut.good.test.", DS).rcode, ResponseCode::NoError);
    assert_eq!(net.ask("old.good.test.", MX).rcode, ResponseCode::NoError);
    assert_free(&mut net, "old.good.test.", TXT, ResponseCode::NoError);
    let below = net.ask("www.cut.good.test.", A);
    assert_ne!(
        below.rcode,
        ResponseCode::NXDomain,
        "its own servers decide"
    );
    assert_ne!(net.ask("cut.good.test.", A).rcode, ResponseCode::NXDomain);
    let through = net.ask("www.old.good.test.", A);
    assert_eq!(addresses(&through), ["203.0.113.4"]);
}

#[test]
fn a_trace_tells_that_an_answer_was_made() {
    let mut net = net();
    net.ask("nothing.good.test.", A);
    let question = Question {
        trace: true,
        ..Question::new(name("nothinh.good.test."), A)
    };
    let trace = net.ask_question(question).trace.unwrap();
    let proven = TraceKind::Proven {
        name: name("nothinh.good.test."),
        rtype: A,
    };
    assert_eq!(trace.last().map(|event| &event.kind), Some(&proven));
}

#[test]
fn any_is_never_denied_by_types() {
    let mut net = net();
    net.ask("www.good.test.", AAAA);
    let outcome = net.ask("www.good.test.", ANY);
    assert!(!outcome.answers.is_empty());
    // Nor is it answered with what a wildcard was seen to have, which may be a part.
    net.ask("x.alias.good.test.", A);
    let (outcome, free) = ask_free(&mut net, "y.alias.good.test.", ANY);
    assert!(!free && !outcome.answers.is_empty());
}

#[test]
fn proofs_are_used_for_as_long_as_they_live_and_lend_no_more() {
    let mut net = net();
    net.ask("nothing.good.test.", A);
    net.pass(200_000);
    let outcome = assert_free(&mut net, "nothinh.good.test.", A, ResponseCode::NXDomain);
    assert!(outcome.ttl_secs <= 100, "{}", outcome.ttl_secs);
    assert!(outcome.authority.iter().all(|record| record.ttl <= 100));
    net.pass(101_000);
    assert!(!ask_free(&mut net, "nothini.good.test.", A).1);
}

#[test]
fn a_flush_takes_what_denies_the_name() {
    for zone in ["good.test.", "nsec3.test."] {
        let fresh = format!("nothinh.{zone}");
        for (flushed, subtree) in [(fresh.as_str(), false), (zone, true), (".", true)] {
            let mut net = net();
            net.ask(&format!("nothing.{zone}"), A);
            net.resolver.flush(Some((&name(flushed), subtree)));
            assert!(!ask_free(&mut net, &fresh, A).1, "{flushed}");
        }
    }
}

#[test]
fn an_unproven_denial_teaches_nothing() {
    let mut net = net();
    for server in [GOOD_1, GOOD_2] {
        tamper(&mut net, server, |message, _| {
            for record in &mut message.authorities {
                if matches!(record.record_type(), NSEC | NSEC3) {
                    record.ttl += 1;
                    record.name = name("forged.good.test.");
                }
            }
        });
    }
    for qname in ["nothing.good.test.", "nothinh.good.test."] {
        assert_eq!(net.ask(qname, A).rcode, ResponseCode::ServFail);
    }
    assert_eq!(uses(&net), 0);
}

#[test]
fn signatures_past_their_period_end_what_they_prove() {
    let mut net = net();
    // The signatures of the zones end on 2037-12-31: one minute before that.
    const END_SECS: u64 = 2_145_830_400;
    net.resolver.set_time(net.now_ms, END_SECS - 60);
    net.ask("nothing.good.test.", A);
    net.pass(50_000);
    let outcome = assert_free(&mut net, "nothinh.good.test.", A, ResponseCode::NXDomain);
    assert!(outcome.ttl_secs <= 10);
    net.pass(11_000);
    let (outcome, free) = ask_free(&mut net, "nothini.good.test.", A);
    assert!(!free);
    assert_ne!(outcome.rcode, ResponseCode::NXDomain);
}
