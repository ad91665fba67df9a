//! What is kept, for how long, and what is believed.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{self, A, AAAA, CNAME, NS, NSEC, TXT};
use hickory_proto::rr::{DNSClass, Record};
use resolver::iterate::{Config, Question, Trust, extended_error};

use crate::authority::{Zone, name, respond};
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, NET, Net, address, addresses, code, config,
};

#[test]
fn cached_ttl_counts_down_and_data_past_it_is_asked_again() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    let sent = net.log.len();
    net.pass(250_000);
    let outcome = net.ask("www.example.com.", A);
    assert_eq!((outcome.answers[0].ttl, outcome.ttl_secs), (350, 350));
    assert_eq!(net.log.len(), sent);
    net.pass(350_000);
    assert_eq!(net.ask("www.example.com.", A).answers[0].ttl, 600);
    assert_eq!(net.log.len(), sent + 1);
}

#[test]
fn ttl_above_the_maximum_is_cut() {
    let mut net = Net::with(Config {
        ttl_max_secs: 60,
        ..config()
    });
    assert_eq!(net.ask("www.example.com.", A).answers[0].ttl, 60);
    net.pass(60_000);
    let sent = net.log.len();
    net.ask("www.example.com.", A);
    assert!(net.log.len() > sent);
}

#[test]
fn ttl_below_the_minimum_is_raised() {
    let mut net = Net::with(Config {
        ttl_min_secs: 30,
        ..config()
    });
    net.add_example("short 1 A 203.0.113.7");
    assert_eq!(net.ask("short.example.com.", A).answers[0].ttl, 30);
    net.pass(20_000);
    let sent = net.log.len();
    net.ask("short.example.com.", A);
    assert_eq!(net.log.len(), sent);
}

#[test]
fn data_with_ttl_zero_is_given_but_not_kept() {
    let mut net = Net::new();
    net.add_example("zero 0 A 203.0.113.7");
    let outcome = net.ask("zero.example.com.", A);
    assert_eq!(
        (addresses(&outcome), outcome.ttl_secs),
        (vec!["203.0.113.7".to_owned()], 0)
    );
    let sent = net.log.len();
    net.ask("zero.example.com.", A);
    assert_eq!(net.log.len(), sent + 1);
}

#[test]
fn alias_with_ttl_zero_is_followed_although_it_is_not_kept() {
    let mut net = Net::new();
    net.add_example("zero 0 CNAME www.example.net.");
    assert_eq!(
        addresses(&net.ask("zero.example.com.", A)),
        ["203.0.113.80"]
    );
}

#[test]
fn nxdomain_holds_for_every_type_until_the_soa_minimum_is_over() {
    let mut net = Net::new();
    net.ask("nothing.example.com.", A);
    let sent = net.log.len();
    assert_eq!(
        net.ask("nothing.example.com.", TXT).rcode,
        ResponseCode::NXDomain
    );
    assert_eq!(net.log.len(), sent);
    net.pass(301_000);
    net.ask("nothing.example.com.", A);
    assert!(net.log.len() > sent);
}

#[test]
fn nodata_holds_for_its_type_alone() {
    let mut net = Net::new();
    net.ask("www.example.com.", TXT);
    let sent = net.log.len();
    assert!(net.ask("www.example.com.", TXT).answers.is_empty());
    assert_eq!(net.log.len(), sent);
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn negative_ttl_above_the_maximum_is_cut() {
    let mut net = Net::with(Config {
        negative_ttl_max_secs: 10,
        ..config()
    });
    let outcome = net.ask("nothing.example.com.", A);
    assert_eq!((outcome.ttl_secs, outcome.authority[0].ttl), (10, 10));
}

#[test]
fn denial_without_soa_is_given_but_not_kept() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            reply.authorities.clear();
            Action::Message(Box::new(reply))
        });
    }
    let outcome = net.ask("nothing.example.com.", A);
    assert_eq!(
        (outcome.rcode, outcome.ttl_secs),
        (ResponseCode::NXDomain, 0)
    );
    let sent = net.log.len();
    net.ask("nothing.example.com.", A);
    assert!(net.log.len() > sent);
}

#[test]
fn name_that_appears_replaces_its_denial() {
    let mut net = Net::new();
    net.ask("new.example.com.", A);
    net.add_example("new A 203.0.113.5");
    net.pass(301_000);
    net.ask("new.example.com.", A);
    assert_eq!(addresses(&net.ask("new.example.com.", A)), ["203.0.113.5"]);
    assert_eq!(
        net.ask("new.example.com.", TXT).rcode,
        ResponseCode::NoError,
        "NXDOMAIN is gone"
    );
}

#[test]
fn glue_is_never_an_answer() {
    let mut net = Net::new();
    // The parent's idea of the address differs from the zone's own.
    net.edit(COM, "com.", |zone| {
        zone.remove("ns1.example.com.", A);
        zone.add("ns1.example A 192.0.2.2");
    });
    net.ask("www.example.com.", A);
    assert_eq!(addresses(&net.ask("ns1.example.com.", A)), ["192.0.2.1"]);
}

#[test]
fn glue_does_not_replace_what_the_zone_says() {
    let mut net = Net::new();
    net.ask("ns1.example.com.", A);
    net.edit(COM, "com.", |zone| {
        zone.remove("ns1.example.com.", A);
        zone.add("ns1.example A 203.0.113.66\n other NS ns1.example");
    });
    net.ask("www.other.com.", A);
    assert_eq!(addresses(&net.ask("ns1.example.com.", A)), ["192.0.2.1"]);
}

/// From now on the servers of `example.com.` answer so, and without AA.
fn without_authority(net: &mut Net, change: impl Fn(&mut Message) + Copy + 'static) {
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, move |request, zones| {
            let mut reply = respond(zones, &request.message);
            reply.metadata.authoritative = false;
            change(&mut reply);
            Action::Message(Box::new(reply))
        });
    }
}

#[test]
fn answer_without_authority_does_not_replace_one_with_it() {
    let mut net = Net::new();
    let first = addresses(&net.ask("www.example.com.", A));
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.edit(server, "example.com.", |zone| {
            zone.remove("www.example.com.", A);
            zone.add("www A 203.0.113.66");
        });
    }
    without_authority(&mut net, |_| {});
    // This brings the other address along.
    assert_eq!(
        addresses(&net.ask("alias.example.com.", A)),
        ["203.0.113.66"]
    );
    assert_eq!(addresses(&net.ask("www.example.com.", A)), first);
}

#[test]
fn denial_without_authority_does_not_remove_data_with_it() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    without_authority(&mut net, |reply| {
        let zone = Zone::new("example.com.");
        reply.answers.clear();
        reply.authorities = zone.records(&name("example.com."), RecordType::SOA);
        reply.metadata.response_code = ResponseCode::NXDomain;
    });
    let outcome = net.ask("www.example.com.", TXT);
    assert_eq!(outcome.rcode, ResponseCode::NXDomain);
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn servers_named_beside_an_answer_do_not_replace_those_asked_for() {
    let mut net = Net::new();
    net.ask("example.com.", NS);
    let asked_for = |net: &Net| -> Vec<Vec<Record>> {
        let lines = net.resolver.dump(net.now_ms, &name("example.com."));
        let own = lines
            .into_iter()
            .filter(|line| (line.rtype, line.trust) == (NS, Trust::AuthoritativeAnswer));
        own.map(|line| line.records).collect()
    };
    let before = asked_for(&net);
    assert_eq!(before.len(), 1);
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            let mut zone = Zone::new("example.com.");
            zone.add("@ NS other");
            reply.authorities = zone.records(&name("example.com."), NS);
            Action::Message(Box::new(reply))
        });
    }
    net.ask("www.example.com.", A);
    assert_eq!(asked_for(&net), before);
}

#[test]
fn zone_cannot_outlive_its_delegation() {
    let mut net = Net::new();
    net.edit(COM, "com.", |zone| {
        zone.remove("example.com.", NS);
        zone.add("example 600 NS ns1.example\n example 600 NS ns2.example");
    });
    net.add_example("tick 1 A 203.0.113.3");
    net.ask("tick.example.com.", A);
    net.edit(COM, "com.", |zone| zone.remove("example.com.", NS));
    // The zone's servers go on repeating their NS records with each answer.
    for _ in 0..10 {
        net.pass(59_000);
        net.ask("tick.example.com.", A);
    }
    net.pass(59_000);
    assert_eq!(
        net.ask("tick.example.com.", A).rcode,
        ResponseCode::NXDomain
    );
}

/// `example.net.` is delegated for ten minutes, where its parent's other records last an hour.
fn delegate_for_ten_minutes(net: &mut Net) {
    net.edit(NET, "net.", |zone| {
        zone.remove("example.net.", NS);
        zone.add("example 600 NS ns1.example");
    });
}

fn revoke(net: &mut Net) {
    net.edit(NET, "net.", |zone| zone.remove("example.net.", NS));
}

#[test]
fn reply_held_back_past_the_delegation_does_not_renew_it() {
    let mut net = Net::new();
    delegate_for_ten_minutes(&mut net);
    net.add(EXAMPLE_NET, "example.net.", "tick 1 A 203.0.113.3");
    net.ask("tick.example.net.", A); // Delegation learned at +20 ms, all done at +30 ms.
    revoke(&mut net);
    net.pass(599_950);
    net.delay(EXAMPLE_NET, 60); // Asked before the end, answered after it; the timeout is 100 ms.
    net.ask("tick.example.net.", A);
    net.pass(2_000);
    assert_eq!(
        net.ask("tick.example.net.", A).rcode,
        ResponseCode::NXDomain
    );
}

#[test]
fn subdomain_does_not_outlive_the_delegation_above_it() {
    let mut net = Net::new();
    delegate_for_ten_minutes(&mut net);
    net.add(
        EXAMPLE_NET,
        "example.net.",
        "sub NS ns.sub\n ns.sub A 192.0.2.60",
    );
    net.zone("192.0.2.60", "sub.example.net.", "tick 1 A 203.0.113.4");
    net.ask("tick.sub.example.net.", A);
    revoke(&mut net);
    net.pass(601_000);
    assert_eq!(
        net.ask("tick.sub.example.net.", A).rcode,
        ResponseCode::NXDomain
    );
}

#[test]
fn subdomain_found_in_the_cache_does_not_outlive_the_delegation_above_it() {
    let mut net = Net::new();
    delegate_for_ten_minutes(&mut net);
    net.add(
        EXAMPLE_NET,
        "example.net.",
        "sub NS ns.sub\n ns.sub A 192.0.2.60",
    );
    net.zone(
        "192.0.2.60",
        "sub.example.net.",
        "@ NS ns\n ns A 192.0.2.60\n tick 1 A 203.0.113.4",
    );
    net.ask("tick.example.net.", A);
    // Found by way of the delegation as it was cached, and then repeated by the zone itself.
    for _ in 0..10 {
        net.pass(59_000);
        net.ask("tick.sub.example.net.", A);
        net.ask("sub.example.net.", NS);
    }
    revoke(&mut net);
    net.pass(11_000);
    assert_eq!(
        net.ask("tick.sub.example.net.", A).rcode,
        ResponseCode::NXDomain
    );
}

#[test]
fn cache_stays_within_its_bytes_under_a_flood_of_names_and_keeps_what_is_used() {
    let mut net = Net::with(Config {
        cache_bytes_max: 100_000,
        ..config()
    });
    for number in 0..2_000 {
        if number % 20 == 0 {
            net.ask("www.example.com.", A);
        }
        net.ask(&format!("n{number}.example.com."), A);
        assert!(net.resolver.statistics().cache_bytes <= 100_000);
    }
    let statistics = net.resolver.statistics();
    assert!(statistics.cache_evictions > 500, "{statistics:?}");
    let www = net
        .log
        .iter()
        .filter(|request| request.qname == "www.example.com.")
        .count();
    assert!(www <= 5, "the name in use was fetched {www} times");
}

#[test]
fn flush_forgets_one_name_a_subtree_or_all() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    net.ask("a.b.c.deep.example.com.", A);
    net.ask("www.example.net.", A);
    let cached = |net: &mut Net, qname: &str| {
        let question = Question::new(name(qname), A);
        net.resolver.lookup_cache(net.now_ms, &question).is_some()
    };
    assert_eq!(
        net.resolver.flush(Some((&name("example.com."), false))),
        2,
        "its NS, by parent and child"
    );
    assert!(cached(&mut net, "www.example.com."));
    assert!(net.resolver.flush(Some((&name("example.com."), true))) >= 4);
    assert!(!cached(&mut net, "www.example.com.") && !cached(&mut net, "a.b.c.deep.example.com."));
    assert!(cached(&mut net, "www.example.net."));
    net.resolver.flush(None);
    assert!(!cached(&mut net, "www.example.net."));
    assert_eq!(net.resolver.statistics().cache_bytes, 0);
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn dump_shows_data_trust_and_denials() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    net.ask("www.example.com.", TXT);
    net.ask("nothing.example.com.", A);
    let lines = net.resolver.dump(net.now_ms, &name("www.example.com."));
    let data = lines.iter().find(|line| line.rtype == A).unwrap();
    assert_eq!(
        (data.trust, data.records.len(), data.negative),
        (Trust::AuthoritativeAnswer, 2, false)
    );
    assert!(lines.iter().any(|line| line.rtype == TXT && line.negative));
    let lines = net.resolver.dump(net.now_ms, &name("nothing.example.com."));
    assert_eq!(lines[0].rcode, ResponseCode::NXDomain);
    let glue = net.resolver.dump(net.now_ms, &name("ns.com."));
    assert_eq!(glue[0].trust, Trust::Additional);
}

#[test]
fn cache_lookup_answers_only_what_is_there() {
    let mut net = Net::new();
    let question = Question::new(name("far.example.com."), A);
    assert_eq!(net.resolver.lookup_cache(net.now_ms, &question), None);
    net.ask("far.example.com.", A);
    let outcome = net.resolver.lookup_cache(net.now_ms, &question).unwrap();
    assert_eq!(outcome.answers.len(), 2);
    net.resolver.flush(Some((&name("www.example.net."), false)));
    assert_eq!(
        net.resolver.lookup_cache(net.now_ms, &question),
        None,
        "half a chain is no answer"
    );
}

#[test]
fn cache_lookup_answers_nothing_that_is_not_looked_up() {
    let mut net = Net::new();
    net.ask("nothing.example.com.", A);
    let mut lookup = |question: &Question| net.resolver.lookup_cache(net.now_ms, question);
    let denied = Question::new(name("nothing.example.com."), TXT);
    assert!(lookup(&denied).is_some(), "NXDOMAIN holds for every type");
    for rtype in [RecordType::ZERO, RecordType::OPT, RecordType::AXFR] {
        let question = Question::new(name("nothing.example.com."), rtype);
        assert_eq!(lookup(&question), None, "{rtype}");
    }
    let question = Question {
        qclass: DNSClass::CH,
        ..denied
    };
    assert_eq!(lookup(&question), None);
}

#[test]
fn equal_questions_share_one_resolution_and_are_answered_together() {
    let mut net = Net::new();
    let plain = net.begin_plain("www.example.com.", A);
    let again = net.begin_plain("WWW.example.com.", A);
    let signed = net.begin(Question {
        dnssec_ok: true,
        ..Question::new(name("www.example.com."), A)
    });
    net.run();
    assert_eq!(net.resolver.statistics().coalesced, 2);
    assert_eq!(net.done_at(plain), net.done_at(again));
    for ticket in [plain, again, signed] {
        assert_eq!(addresses(&net.take(ticket)).len(), 2);
    }
    assert_eq!(
        net.log
            .iter()
            .filter(|request| request.qname == "www.example.com.")
            .count(),
        1
    );
}

#[test]
fn different_names_of_a_cold_zone_share_the_way_there() {
    let mut net = Net::new();
    for number in 0..50 {
        net.begin_plain(&format!("n{number}.example.com."), A);
    }
    net.run();
    assert_eq!(net.queries_to(COM), 1);
    assert_eq!(net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2), 50);
}

#[test]
fn failure_is_remembered_and_then_tried_again() {
    let mut net = Net::new();
    net.silence(EXAMPLE_NET);
    let first = net.ask("www.example.net.", A);
    assert_eq!(
        (first.rcode, code(&first)),
        (
            ResponseCode::ServFail,
            Some(extended_error::NO_REACHABLE_AUTHORITY)
        )
    );
    let sent = net.log.len();
    let second = net.ask("www.example.net.", A);
    assert_eq!(code(&second), Some(extended_error::CACHED_ERROR));
    assert_eq!(net.log.len(), sent);
    assert!((1..=5).contains(&second.ttl_secs));
    net.heal(EXAMPLE_NET);
    net.pass(31_000);
    assert_eq!(addresses(&net.ask("www.example.net.", A)), ["203.0.113.80"]);
    assert_eq!(net.resolver.statistics().failures_cached, 0);
}

#[test]
fn flush_forgets_failures_too() {
    let mut net = Net::new();
    net.silence(EXAMPLE_NET);
    net.ask("www.example.net.", A);
    net.resolver.flush(Some((&name("www.example.net."), false)));
    assert_eq!(net.resolver.statistics().failures_cached, 0);
}

#[test]
fn data_past_its_ttl_is_served_when_every_server_fails() {
    let mut net = Net::new();
    net.ask("far.example.com.", A);
    net.silence(EXAMPLE_NET);
    net.pass(4_000_000);
    let outcome = net.ask("far.example.com.", A);
    assert!(outcome.stale);
    assert_eq!(
        (addresses(&outcome), code(&outcome)),
        (
            vec!["203.0.113.80".to_owned()],
            Some(extended_error::STALE_ANSWER)
        )
    );
    assert_eq!(outcome.answers[1].ttl, 30);
    let sent = net.log.len();
    assert!(net.ask("far.example.com.", A).stale, "and again, at once");
    assert_eq!(net.log.len(), sent);
}

/// Gives `swap.example.com.` data of its own or makes it an alias, for a minute.
fn swap(net: &mut Net, from: RecordType, to: &str) {
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.edit(server, "example.com.", |zone| {
            zone.remove("swap.example.com.", from);
            zone.add(&format!("swap 60 {to}"));
        });
    }
}

fn swap_types(net: &Net) -> Vec<RecordType> {
    let lines = net.resolver.dump(net.now_ms, &name("swap.example.com."));
    let mut types: Vec<_> = lines.iter().map(|line| line.rtype).collect();
    types.sort();
    types
}

#[test]
fn data_past_its_ttl_gives_way_to_the_alias_that_took_its_place() {
    let mut net = Net::new();
    swap(&mut net, A, "A 203.0.113.7");
    net.add_example("swap 60 NSEC \\# 0377777700000140");
    net.ask("swap.example.com.", A);
    net.ask("swap.example.com.", NSEC);
    net.pass(61_000);
    swap(&mut net, A, "CNAME www");
    net.ask("swap.example.com.", TXT);
    assert_eq!(swap_types(&net), [CNAME, NSEC], "NSEC may stand beside it");
    net.ask("www.example.com.", A);
    net.silence(EXAMPLE_1);
    net.silence(EXAMPLE_2);
    net.pass(601_000);
    let outcome = net.ask("swap.example.com.", A);
    assert!(outcome.stale);
    assert_eq!(outcome.answers[0].record_type(), CNAME);
}

#[test]
fn alias_past_its_ttl_gives_way_to_the_data_that_took_its_place() {
    let mut net = Net::new();
    swap(&mut net, A, "CNAME www");
    net.add_example("www TXT old");
    net.add_example("swap 60 NSEC \\# 0377777700000140");
    net.ask("swap.example.com.", TXT);
    net.pass(61_000);
    net.ask("swap.example.com.", NSEC);
    assert_eq!(swap_types(&net), [CNAME, NSEC], "NSEC may stand beside it");
    swap(&mut net, CNAME, "A 203.0.113.7");
    net.ask("swap.example.com.", A);
    net.silence(EXAMPLE_1);
    net.silence(EXAMPLE_2);
    let outcome = net.ask("swap.example.com.", TXT);
    assert_eq!(outcome.rcode, ResponseCode::ServFail, "{outcome:?}");
}

#[test]
fn data_within_its_ttl_stays_beside_an_alias() {
    let mut net = Net::new();
    swap(&mut net, A, "A 203.0.113.7");
    net.ask("swap.example.com.", A);
    swap(&mut net, A, "CNAME www");
    net.ask("swap.example.com.", TXT);
    assert_eq!(addresses(&net.ask("swap.example.com.", A)), ["203.0.113.7"]);
}

#[test]
fn denial_past_its_ttl_is_served_when_every_server_fails() {
    let mut net = Net::new();
    net.ask("nothing.example.net.", A);
    net.silence(EXAMPLE_NET);
    net.pass(1_000_000);
    let outcome = net.ask("nothing.example.net.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (ResponseCode::NXDomain, Some(extended_error::STALE_NXDOMAIN))
    );
}

#[test]
fn data_too_far_past_its_ttl_is_not_served() {
    let mut net = Net::with(Config {
        stale_max_secs: 100,
        ..config()
    });
    net.ask("www.example.net.", A);
    net.silence(EXAMPLE_NET);
    net.pass(3_650_000);
    assert!(net.ask("www.example.net.", A).stale);
    net.pass(100_000);
    assert_eq!(net.ask("www.example.net.", A).rcode, ResponseCode::ServFail);
}

#[test]
fn stale_answers_can_be_turned_off() {
    let mut net = Net::with(Config {
        stale_max_secs: 0,
        ..config()
    });
    net.ask("www.example.net.", A);
    net.silence(EXAMPLE_NET);
    net.pass(3_700_000);
    assert_eq!(net.ask("www.example.net.", A).rcode, ResponseCode::ServFail);
}

#[test]
fn addresses_of_one_family_do_not_answer_for_the_other() {
    let mut net = Net::new();
    net.ask("www.example.net.", A);
    let outcome = net.ask("www.example.net.", AAAA);
    assert_eq!(
        (outcome.rcode, outcome.answers.len()),
        (ResponseCode::NoError, 0)
    );
}

#[test]
fn what_has_expired_leaves_the_cache_in_time() {
    let mut net = Net::with(Config {
        stale_max_secs: 0,
        ..config()
    });
    for number in 0..200 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    let before = net.resolver.statistics().cache_entries;
    net.pass(400_000);
    for _ in 0..20 {
        net.step(resolver::iterate::Input::Tick);
    }
    let after = net.resolver.statistics().cache_entries;
    assert!(before > 200 && after < 20, "{before} {after}");
    assert!(address(COM).is_ipv4());
}
