//! Plain resolution: data, aliases, denials.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, ANY, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, RData, Record};
use resolver::iterate::{Config, Outcome, Question, Resolver, extended_error};

use crate::authority::{name, opaque, respond, wire};
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, Net, ROOT, addresses, code, config, lines,
};

fn rcode(outcome: &Outcome) -> ResponseCode {
    outcome.rcode
}

#[test]
fn name_in_a_delegated_zone_is_found_from_the_root_down() {
    let mut net = Net::new();
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(rcode(&outcome), ResponseCode::NoError);
    assert_eq!(addresses(&outcome), ["203.0.113.1", "203.0.113.2"]);
    assert_eq!(outcome.ttl_secs, 600);
    assert!(!outcome.stale && !outcome.authoritative && outcome.extended_errors.is_empty());
    assert_eq!(net.queries_to(COM), 1);
    assert_eq!(net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2), 1);
}

#[test]
fn upper_case_question_is_the_same_question() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    let sent = net.log.len();
    assert_eq!(addresses(&net.ask("WWW.EXAMPLE.COM", A)).len(), 2);
    assert_eq!(net.log.len(), sent, "served from the cache");
}

#[test]
fn cname_in_the_zone_is_followed_and_comes_first() {
    let outcome = Net::new().ask("alias.example.com.", A);
    assert_eq!(outcome.answers[0].record_type(), CNAME);
    assert_eq!(addresses(&outcome).len(), 2);
}

#[test]
fn cname_asked_for_itself_is_not_followed() {
    let outcome = Net::new().ask("alias.example.com.", CNAME);
    assert_eq!(outcome.answers.len(), 1);
    assert_eq!(outcome.answers[0].data.to_string(), "www.example.com.");
}

#[test]
fn cname_into_another_zone_is_resolved_there() {
    let mut net = Net::new();
    let outcome = net.ask("far.example.com.", A);
    assert_eq!(addresses(&outcome), ["203.0.113.80"]);
    assert_eq!(outcome.answers.len(), 2);
    assert!(
        net.asked(EXAMPLE_NET)
            .contains(&"www.example.net. A".to_owned())
    );
}

#[test]
fn chain_over_three_zones_keeps_its_order() {
    let mut net = Net::new();
    net.add_example("start CNAME back.example.net.");
    let outcome = net.ask("start.example.com.", A);
    let owners: Vec<String> = outcome
        .answers
        .iter()
        .map(|record| record.name.to_ascii())
        .collect();
    let expected = [
        "start.example.com.",
        "back.example.net.",
        "alias.example.com.",
        "www.example.com.",
        "www.example.com.",
    ];
    assert_eq!(owners, expected);
}

#[test]
fn alias_without_data_at_its_end_is_nodata_with_the_alias() {
    let outcome = Net::new().ask("alias.example.com.", TXT);
    assert_eq!(rcode(&outcome), ResponseCode::NoError);
    assert_eq!(outcome.answers.len(), 1);
    assert_eq!(outcome.authority[0].record_type(), SOA);
}

#[test]
fn alias_to_a_missing_name_is_nxdomain_with_the_alias() {
    let mut net = Net::new();
    net.add_example("broken CNAME nothing.example.net.");
    let outcome = net.ask("broken.example.com.", A);
    assert_eq!(rcode(&outcome), ResponseCode::NXDomain);
    assert_eq!(outcome.answers.len(), 1);
    assert_eq!(outcome.authority[0].name, name("example.net."));
}

#[test]
fn dname_renames_everything_below_it() {
    let mut net = Net::new();
    net.add_example("old DNAME example.net.");
    let outcome = net.ask("www.old.example.com.", A);
    assert_eq!(addresses(&outcome), ["203.0.113.80"]);
    assert_eq!(outcome.answers[0].record_type(), RecordType::DNAME);
    assert_eq!(outcome.answers[1].data.to_string(), "www.example.net.");
}

#[test]
fn cached_dname_renames_other_names_without_asking_its_zone_again() {
    let mut net = Net::new();
    net.add_example("old DNAME example.net.");
    net.ask("www.old.example.com.", A);
    let before = net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2);
    let outcome = net.ask("ns1.old.example.com.", A);
    assert_eq!(addresses(&outcome), ["192.0.2.50"]);
    assert_eq!(
        net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2),
        before
    );
}

#[test]
fn cname_that_a_dname_implies_is_not_followed_when_it_is_asked_for() {
    for qtype in [CNAME, ANY] {
        let mut net = Net::new();
        // The name that it leads to does not exist, and the server says so.
        net.add_example("old DNAME new");
        let mut outcomes = vec![net.ask("www.old.example.com.", qtype)];
        let sent = net.log.len();
        outcomes.push(net.ask("www.old.example.com.", qtype));
        outcomes.push(net.ask("ftp.old.example.com.", qtype));
        assert_eq!(net.log.len(), sent, "the DNAME is cached");
        for outcome in outcomes {
            assert_eq!(rcode(&outcome), ResponseCode::NoError);
            let types: Vec<_> = outcome.answers.iter().map(Record::record_type).collect();
            assert_eq!(types, [RecordType::DNAME, CNAME]);
        }
        assert_eq!(
            rcode(&net.ask("www.old.example.com.", A)),
            ResponseCode::NXDomain
        );
    }
}

#[test]
fn question_about_an_alias_itself_is_not_redirected_by_its_cached_cname() {
    let mut net = Net::new();
    net.add_example(&format!("alias {}", signature(5)));
    net.add_example("alias NSEC \\# 0377777700000140");
    net.ask("alias.example.com.", A);
    for rtype in [RecordType::RRSIG, RecordType::NSEC] {
        let outcome = net.ask("alias.example.com.", rtype);
        assert_eq!(count(&outcome.answers, rtype), 1);
        assert_eq!(outcome.answers.len(), 1, "{rtype}");
    }
    let types = [RecordType::KEY, RecordType::Unknown(30), RecordType::NSEC];
    for (number, rtype) in types.into_iter().enumerate() {
        // Servers that know the rule deny the type; what counts is whom they are asked about.
        net.add_example(&format!("alias{number} CNAME www"));
        let owner = format!("alias{number}.example.com.");
        net.ask(&owner, A);
        net.ask(&owner, rtype);
        let last = net.log.last().unwrap();
        assert_eq!((&last.qname, last.qtype), (&owner, rtype));
    }
}

#[test]
fn dname_that_makes_the_name_too_long_is_yxdomain() {
    for qtype in [A, CNAME] {
        let mut net = Net::new();
        let long = format!("{0}.{0}.{0}", "x".repeat(60));
        net.add_example(&format!("old DNAME {long}.example.net."));
        for label in ["y", "z"] {
            let qname = format!("{0}.{0}.old.example.com.", label.repeat(60));
            let outcome = net.ask(&qname, qtype);
            assert_eq!(rcode(&outcome), ResponseCode::YXDomain);
            assert_eq!(outcome.answers[0].record_type(), RecordType::DNAME);
        }
    }
}

#[test]
fn name_that_is_missing_is_nxdomain_with_soa() {
    let outcome = Net::new().ask("nothing.example.com.", A);
    assert_eq!(rcode(&outcome), ResponseCode::NXDomain);
    assert!(outcome.answers.is_empty());
    assert_eq!(lines(&outcome.authority).len(), 1);
    assert_eq!(outcome.authority[0].record_type(), SOA);
    assert_eq!(outcome.ttl_secs, 300);
}

#[test]
fn type_that_is_missing_is_nodata_with_soa() {
    let outcome = Net::new().ask("www.example.com.", TXT);
    assert_eq!(rcode(&outcome), ResponseCode::NoError);
    assert!(outcome.answers.is_empty());
    assert_eq!(outcome.authority[0].record_type(), SOA);
}

#[test]
fn empty_non_terminal_is_nodata() {
    let outcome = Net::new().ask("b.c.deep.example.com.", A);
    assert_eq!(rcode(&outcome), ResponseCode::NoError);
    assert!(outcome.answers.is_empty());
}

#[test]
fn name_below_empty_non_terminals_is_found() {
    assert_eq!(
        addresses(&Net::new().ask("a.b.c.deep.example.com.", A)),
        ["203.0.113.9"]
    );
}

#[test]
fn wildcard_answer_has_the_name_asked_for() {
    let outcome = Net::new().ask("any.thing.wild.example.com.", TXT);
    assert_eq!(outcome.answers[0].name, name("any.thing.wild.example.com."));
}

#[test]
fn missing_top_level_domain_is_answered_by_the_root() {
    let mut net = Net::new();
    let outcome = net.ask("www.example.missing.", A);
    assert_eq!(rcode(&outcome), ResponseCode::NXDomain);
    assert!(outcome.authority[0].name.is_root());
    assert_eq!(
        net.log
            .iter()
            .filter(|request| request.server.to_string() != ROOT)
            .count(),
        0
    );
}

#[test]
fn root_itself_can_be_asked_for() {
    let outcome = Net::new().ask(".", NS);
    assert_eq!(outcome.answers[0].data.to_string(), "a.root.");
}

#[test]
fn nameservers_of_a_zone_come_from_the_zone_itself() {
    let mut net = Net::new();
    let outcome = net.ask("example.com.", NS);
    assert_eq!(outcome.answers.len(), 2);
    assert_eq!(net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2), 1);
}

#[test]
fn ds_is_asked_of_the_parent() {
    let mut net = Net::new();
    net.add(COM, "com.", "example DS \\# 0001080200");
    let outcome = net.ask("example.com.", RecordType::DS);
    assert_eq!(outcome.answers.len(), 1);
    assert_eq!(net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2), 0);
}

#[test]
fn missing_ds_is_nodata_from_the_parent_even_when_the_child_is_known() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    let outcome = net.ask("example.com.", RecordType::DS);
    assert_eq!(rcode(&outcome), ResponseCode::NoError);
    assert_eq!(outcome.authority[0].name, name("com."));
}

#[test]
fn ds_denied_by_the_zone_itself_is_not_believed() {
    let mut net = Net::new();
    net.add(COM, "com.", "example DS \\# 0001080200");
    // An old server of both zones takes the lower one for every question.
    let mut child = crate::authority::Zone::new("example.com.");
    child.add("@ NS ns1\n ns1 A 192.0.2.1");
    let mut old = true;
    net.behave(COM, move |request, zones| {
        if request.qtype != RecordType::DS || !std::mem::replace(&mut old, false) {
            return Action::Serve;
        }
        let mut zones = zones.to_vec();
        zones.push(child.clone());
        let mut query = request.message.clone();
        query.queries[0].set_query_type(TXT);
        let mut reply = respond(&zones, &query);
        reply.queries.clone_from(&request.message.queries);
        assert_eq!(reply.authorities[0].name, name("example.com."));
        Action::Message(Box::new(reply))
    });
    assert_eq!(
        rcode(&net.ask("example.com.", RecordType::DS)),
        ResponseCode::ServFail
    );
    assert_eq!(net.resolver.statistics().lame, 1);
    net.pass(5_000);
    let outcome = net.ask("example.com.", RecordType::DS);
    assert_eq!(count(&outcome.answers, RecordType::DS), 1);
}

#[test]
fn ds_at_the_end_of_an_alias_is_asked_of_the_zone_above_it() {
    let mut net = Net::new();
    net.add(COM, "com.", "example DS \\# 0001080200");
    net.add_example("to-apex CNAME @");
    let outcome = net.ask("to-apex.example.com.", RecordType::DS);
    assert_eq!(count(&outcome.answers, RecordType::DS), 1);
    assert_eq!(net.resolver.statistics().lame, 0);
}

#[test]
fn ds_of_the_root_is_denied_by_the_root() {
    let outcome = Net::new().ask(".", RecordType::DS);
    assert_eq!(rcode(&outcome), ResponseCode::NoError);
    assert_eq!(count(&outcome.authority, SOA), 1);
}

#[test]
fn any_gives_the_data_of_every_type() {
    let outcome = Net::new().ask("www.example.com.", ANY);
    assert_eq!(outcome.answers.len(), 3);
}

#[test]
fn types_that_cannot_be_looked_up_are_not_implemented() {
    for qtype in [
        RecordType::AXFR,
        RecordType::IXFR,
        RecordType::OPT,
        RecordType::TSIG,
    ] {
        let mut net = Net::new();
        let outcome = net.ask("example.com.", qtype);
        assert_eq!(
            (rcode(&outcome), code(&outcome)),
            (ResponseCode::NotImp, Some(extended_error::NOT_SUPPORTED))
        );
        assert!(net.log.is_empty());
    }
}

#[test]
fn other_classes_are_not_implemented() {
    let mut net = Net::new();
    let question = Question {
        qclass: DNSClass::CH,
        ..Question::new(name("version.bind."), TXT)
    };
    assert_eq!(rcode(&net.ask_question(question)), ResponseCode::NotImp);
    assert!(net.log.is_empty());
}

#[test]
fn compressed_names_in_old_types_are_expanded() {
    // RP (17) with both names compressed to the question name, as old servers do (RFC 3597 §4).
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, _| {
            if request.qtype != RecordType::Unknown(17) {
                return crate::net::Action::Serve;
            }
            let mut bytes = request.raw[..12].to_vec();
            bytes[2] = 0x84;
            bytes[7] = 1; // ANCOUNT.
            bytes[11] = 0; // ARCOUNT.
            let qname = crate::authority::wire(&name(&request.qname));
            let question_end = 12 + qname.len() + 4;
            bytes.extend_from_slice(&request.raw[12..question_end]);
            bytes.extend_from_slice(&[0xc0, 12, 0, 17, 0, 1, 0, 0, 1, 0, 0, 4, 0xc0, 12, 0xc0, 12]);
            crate::net::Action::Raw(bytes)
        });
    }
    let outcome = net.ask("www.example.com.", RecordType::Unknown(17));
    let RData::Unknown { rdata, .. } = &outcome.answers[0].data else {
        panic!("{outcome:?}")
    };
    let bytes = rdata.anything.to_ascii_lowercase();
    assert_eq!(
        bytes,
        [
            crate::authority::wire(&name("www.example.com.")),
            crate::authority::wire(&name("www.example.com."))
        ]
        .concat()
    );
}

#[test]
fn signatures_and_proofs_go_only_to_those_who_ask_for_them() {
    let mut net = Net::new();
    net.add_example(&format!("www {}", signature(1)));
    let plain = net.ask("www.example.com.", A);
    assert_eq!(plain.answers.len(), 2);
    let full = net.ask_question(signed("www.example.com.", A));
    assert_eq!(full.answers.len(), 3);
    assert_eq!(full.answers[2].record_type(), RecordType::RRSIG);
}

/// A signature of three labels by `example.com.` over a type.
fn signature(covered: u16) -> String {
    format!(
        "RRSIG \\# {covered:04x}0d030000025800000000000000000000076578616d706c6503636f6d0001020304"
    )
}

fn signed(qname: &str, qtype: RecordType) -> Question {
    Question {
        dnssec_ok: true,
        ..Question::new(name(qname), qtype)
    }
}

fn count(records: &[Record], rtype: RecordType) -> usize {
    let own = records
        .iter()
        .filter(|record| record.record_type() == rtype);
    own.count()
}

#[test]
fn question_for_signatures_leaves_the_other_signatures_of_the_reply_where_they_belong() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            let mut zone = crate::authority::Zone::new("example.com.");
            zone.add(&format!("@ {}\n@ {}", signature(2), signature(6)));
            let signatures = zone.records(&name("example.com."), RecordType::RRSIG);
            reply.authorities.extend(signatures);
            Action::Message(Box::new(reply))
        });
    }
    net.add_example(&format!("www {}", signature(1)));
    let outcome = net.ask_question(signed("www.example.com.", RecordType::RRSIG));
    assert_eq!(count(&outcome.answers, RecordType::RRSIG), 1);
    // The NS records of its authority section are asked for next.
    let sent = net.log.len();
    let outcome = net.ask_question(signed("example.com.", NS));
    assert_eq!(count(&outcome.answers, RecordType::RRSIG), 1);
    assert_eq!(net.log.len(), sent);
    let outcome = net.ask_question(signed("ns1.example.com.", RecordType::RRSIG));
    assert_eq!(count(&outcome.authority, SOA), 1);
    assert_eq!(count(&outcome.authority, RecordType::RRSIG), 1);
}

#[test]
fn question_for_signatures_below_a_dname_leaves_that_its_signature() {
    let mut net = Net::new();
    net.add_example(&format!("old DNAME example.net.\nold {}", signature(39)));
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            let own = zones[0].records(&name("old.example.com."), RecordType::RRSIG);
            reply.answers.extend(own);
            Action::Message(Box::new(reply))
        });
    }
    for qtype in [RecordType::RRSIG, A] {
        let outcome = net.ask_question(signed("www.old.example.com.", qtype));
        assert_eq!(count(&outcome.answers, RecordType::DNAME), 1);
        assert_eq!(count(&outcome.answers, RecordType::RRSIG), 1, "{qtype}");
    }
}

/// Wildcards, also such that are aliases, into this zone and out of it, with signatures of three labels. The
/// servers add the NSEC that denies the name itself, as RFC 4035 §3.1.3.3 asks.
fn signed_wildcard_aliases(nsec_ttl_secs: u32) -> Net {
    let mut net = Net::new();
    net.add_example(&format!("*.here A 203.0.113.7\n*.here {}", signature(1)));
    for wildcard in ["*.near CNAME www", "*.away CNAME www.example.net."] {
        net.add_example(wildcard);
        let owner = wildcard.split(' ').next().unwrap();
        net.add_example(&format!("{owner} {}", signature(5)));
    }
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, move |request, zones| {
            let mut reply = respond(zones, &request.message);
            if request.qname.starts_with("x.") {
                let next = [wire(&name("z.example.com.")), vec![0, 1, 0x40]].concat();
                let owner = request.message.queries[0].name().base_name();
                let nsec = opaque(RecordType::NSEC, next);
                reply
                    .authorities
                    .push(Record::from_rdata(owner, nsec_ttl_secs, nsec));
            }
            Action::Message(Box::new(reply))
        });
    }
    net
}

fn proofs(net: &mut Net, qname: &str, dnssec_ok: bool) -> usize {
    let outcome = net.ask_question(Question {
        dnssec_ok,
        ..Question::new(name(qname), A)
    });
    assert!(!addresses(&outcome).is_empty());
    count(&outcome.authority, RecordType::NSEC)
}

#[test]
fn proof_of_a_wildcard_alias_is_given_fresh_and_from_the_cache() {
    let mut net = signed_wildcard_aliases(3600);
    for qname in ["x.away.example.com.", "x.near.example.com."] {
        assert_eq!(proofs(&mut net, qname, true), 1, "fresh, once: {qname}");
        let sent = net.log.len();
        assert_eq!(proofs(&mut net, qname, true), 1, "cached: {qname}");
        assert_eq!(proofs(&mut net, qname, false), 0);
        assert_eq!(net.log.len(), sent);
    }
    // The target alone is cached anew: the proof is still that of the alias.
    net.resolver.flush(Some((&name("www.example.com."), false)));
    assert_eq!(proofs(&mut net, "www.example.com.", true), 0);
    let sent = net.log.len();
    assert_eq!(proofs(&mut net, "x.near.example.com.", true), 1);
    assert_eq!(net.log.len(), sent);
}

#[test]
fn answer_lives_no_longer_than_its_proof() {
    for qname in ["x.here", "x.near", "x.away", "x"] {
        let mut net = signed_wildcard_aliases(60);
        let qname = format!("{qname}.example.com.");
        assert_eq!(net.ask(&qname, A).ttl_secs, 60, "{qname}");
        net.pass(20_000);
        let sent = net.log.len();
        let outcome = net.ask_question(signed(&qname, A));
        let left_secs = outcome.ttl_secs;
        assert!((39..=40).contains(&left_secs), "{qname} {left_secs}");
        let ages = |record: &Record| record.ttl == left_secs;
        assert!(outcome.authority.iter().all(ages), "{qname}");
        net.pass(40_000);
        assert_eq!(net.log.len(), sent);
        assert_eq!(net.ask(&qname, A).ttl_secs, 60, "{qname}");
    }
}

#[test]
fn proof_below_the_least_ttl_is_kept_as_long_as_its_answer() {
    let mut net = signed_wildcard_aliases(5);
    net.resolver = Resolver::new(
        Config {
            ttl_min_secs: 30,
            ..config()
        },
        [42; 32],
    );
    assert_eq!(net.ask("x.here.example.com.", A).ttl_secs, 30);
    net.pass(10_000);
    let outcome = net.ask_question(signed("x.here.example.com.", A));
    assert_eq!((outcome.ttl_secs, outcome.authority[0].ttl), (20, 20));
}

#[test]
fn proofs_of_several_wildcard_aliases_are_given_together() {
    let mut net = signed_wildcard_aliases(3600);
    net.add(
        EXAMPLE_NET,
        "example.net.",
        "*.hop CNAME x.near.example.com.\n start CNAME x.far.example.com.",
    );
    net.add_example("*.far CNAME y.hop.example.net.");
    net.add_example(&format!("*.far {}", signature(5)));
    assert_eq!(proofs(&mut net, "start.example.net.", true), 2);
    assert_eq!(proofs(&mut net, "start.example.net.", true), 2);
}

#[test]
fn proof_beside_an_alias_that_is_no_wildcard_is_not_kept() {
    let mut net = signed_wildcard_aliases(3600);
    net.add_example("x CNAME www.example.net.");
    net.add_example(&format!("x {}", signature(5)));
    assert_eq!(proofs(&mut net, "x.example.com.", true), 0);
}

#[test]
fn ipv6_addresses_are_found_too() {
    let outcome = Net::new().ask("www.example.com.", AAAA);
    assert_eq!(addresses(&outcome), ["2001:db8::1"]);
}
