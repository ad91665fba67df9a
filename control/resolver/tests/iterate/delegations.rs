//! The way down the tree, and who may say what on it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, NS};
use hickory_proto::rr::{Name, RData, Record};
use resolver::iterate::{Config, Limits, extended_error};

use crate::authority::{Zone, name, respond};
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, NET, Net, ROOT, Request, addresses, code,
    config,
};

fn a_record(owner: &str, address: &str) -> Record {
    Record::from_rdata(name(owner), 3600, RData::A(address.parse().unwrap()))
}

fn ns_record(owner: &str, host: &str) -> Record {
    Record::from_rdata(
        name(owner),
        3600,
        RData::NS(hickory_proto::rr::rdata::NS(name(host))),
    )
}

/// A second domain under `com.`, served by names elsewhere.
fn delegate(net: &mut Net, domain: &str, hosts: &[&str]) {
    for host in hosts {
        net.add(COM, "com.", &format!("{domain} NS {host}"));
    }
}

#[test]
fn nameserver_without_glue_is_looked_up_first() {
    let mut net = Net::new();
    delegate(&mut net, "other", &["ns1.example.net."]);
    net.zone(EXAMPLE_NET, "other.com.", "www A 203.0.113.30");
    assert_eq!(addresses(&net.ask("www.other.com.", A)), ["203.0.113.30"]);
    assert_eq!(net.resolver.statistics().subqueries, 1);
}

#[test]
fn nameservers_without_glue_nest() {
    let mut net = Net::new();
    delegate(&mut net, "one", &["ns.two.net."]);
    net.add(
        NET,
        "net.",
        "two NS ns.three.com.\n three NS nowhere.invalid.",
    );
    delegate(&mut net, "three", &["ns1.example.net."]);
    net.zone(EXAMPLE_NET, "three.com.", "ns A 192.0.2.60");
    net.zone("192.0.2.60", "two.net.", "ns A 192.0.2.61");
    net.zone("192.0.2.61", "one.com.", "www A 203.0.113.31");
    assert_eq!(addresses(&net.ask("www.one.com.", A)), ["203.0.113.31"]);
    assert_eq!(net.resolver.statistics().subqueries, 3);
}

#[test]
fn one_of_two_nameservers_without_glue_is_enough() {
    let mut net = Net::new();
    delegate(&mut net, "other", &["ns.missing.com.", "ns1.example.net."]);
    net.zone(EXAMPLE_NET, "other.com.", "www A 203.0.113.30");
    assert_eq!(addresses(&net.ask("www.other.com.", A)), ["203.0.113.30"]);
}

#[test]
fn zones_that_name_each_other_as_servers_without_glue_fail_at_once() {
    let mut net = Net::new();
    delegate(&mut net, "left", &["ns.right.net."]);
    net.add(NET, "net.", "right NS ns.left.com.");
    let ticket = net.begin_plain("www.left.com.", A);
    let begun_ms = net.now_ms;
    net.run();
    assert!(
        net.done_at(ticket).unwrap() < begun_ms + 1_000,
        "a knot is not waited for"
    );
    assert_eq!(net.take(ticket).rcode, ResponseCode::ServFail);
}

#[test]
fn zones_in_a_circle_work_when_one_of_them_has_another_server() {
    let mut net = Net::new();
    delegate(&mut net, "left", &["ns.right.net.", "ns1.example.net."]);
    net.add(NET, "net.", "right NS ns.left.com.");
    net.zone(
        EXAMPLE_NET,
        "left.com.",
        "ns A 192.0.2.70\n www A 203.0.113.32",
    );
    net.zone(
        "192.0.2.70",
        "right.net.",
        "ns A 192.0.2.71\n www A 203.0.113.33",
    );
    let left = net.begin_plain("www.left.com.", A);
    let right = net.begin_plain("www.right.net.", A);
    net.run();
    assert_eq!(addresses(&net.take(left)), ["203.0.113.32"]);
    assert_eq!(addresses(&net.take(right)), ["203.0.113.33"]);
}

#[test]
fn zone_whose_only_server_lies_in_itself_without_glue_fails() {
    let mut net = Net::new();
    delegate(&mut net, "self", &["ns.self.com."]);
    let outcome = net.ask("www.self.com.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (
            ResponseCode::ServFail,
            Some(extended_error::NO_REACHABLE_AUTHORITY)
        )
    );
}

#[test]
fn nameserver_that_is_an_alias_is_not_used() {
    let mut net = Net::new();
    net.add(EXAMPLE_NET, "example.net.", "ns-alias CNAME ns1");
    delegate(&mut net, "other", &["ns-alias.example.net."]);
    net.zone(EXAMPLE_NET, "other.com.", "www A 203.0.113.30");
    assert_eq!(net.ask("www.other.com.", A).rcode, ResponseCode::ServFail);
}

/// The `com.` server adds records to every reply.
fn com_adds(net: &mut Net, add: impl Fn(&Request, &mut hickory_proto::op::Message) + 'static) {
    net.behave(COM, move |request, zones| {
        let mut reply = respond(zones, &request.message);
        add(request, &mut reply);
        Action::Message(Box::new(reply))
    });
}

#[test]
fn glue_outside_the_bailiwick_is_not_believed() {
    let mut net = Net::new();
    delegate(&mut net, "other", &["ns1.example.net."]);
    net.zone(EXAMPLE_NET, "other.com.", "www A 203.0.113.30");
    net.zone("192.0.2.66", "other.com.", "www A 203.0.113.66");
    com_adds(&mut net, |_, reply| {
        reply
            .additionals
            .push(a_record("ns1.example.net.", "192.0.2.66"))
    });
    assert_eq!(addresses(&net.ask("www.other.com.", A)), ["203.0.113.30"]);
    assert_eq!(net.queries_to("192.0.2.66"), 0);
}

#[test]
fn address_that_nobody_asked_for_is_not_kept() {
    let mut net = Net::new();
    com_adds(&mut net, |_, reply| {
        reply
            .additionals
            .push(a_record("www.bank.com.", "192.0.2.66"));
        reply.answers.push(a_record("www.bank.net.", "192.0.2.66"));
    });
    net.ask("www.example.com.", A);
    assert!(
        net.resolver
            .dump(net.now_ms, &name("www.bank.com."))
            .is_empty()
    );
    assert!(
        net.resolver
            .dump(net.now_ms, &name("www.bank.net."))
            .is_empty()
    );
}

#[test]
fn zone_cannot_replace_the_servers_of_its_parent() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            reply.authorities = vec![ns_record("com.", "ns1.example.com.")];
            Action::Message(Box::new(reply))
        });
    }
    net.ask("www.example.com.", A);
    let lines = net.resolver.dump(net.now_ms, &name("com."));
    assert_eq!(lines[0].records[0].data.to_string(), "ns.com.");
    assert_eq!(lines.len(), 1);
}

#[test]
fn data_at_the_end_of_an_alias_into_another_zone_is_not_believed() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            if request.qname == "far.example.com." {
                reply
                    .answers
                    .push(a_record("www.example.net.", "192.0.2.66"));
            }
            Action::Message(Box::new(reply))
        });
    }
    assert_eq!(addresses(&net.ask("far.example.com.", A)), ["203.0.113.80"]);
}

#[test]
fn dname_of_a_zone_above_is_not_believed_from_below() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            let data = crate::authority::opaque(
                hickory_proto::rr::RecordType::DNAME,
                crate::authority::wire(&name("evil.net.")),
            );
            reply
                .answers
                .insert(0, Record::from_rdata(name("com."), 3600, data));
            Action::Message(Box::new(reply))
        });
    }
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    assert!(
        net.resolver
            .dump(net.now_ms, &name("com."))
            .iter()
            .all(|line| line.rtype == NS)
    );
}

#[test]
fn dname_of_a_zone_above_redirects_nothing_when_it_stands_alone() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            let data = crate::authority::opaque(
                hickory_proto::rr::RecordType::DNAME,
                crate::authority::wire(&name("example.net.")),
            );
            reply.answers = vec![Record::from_rdata(name("com."), 3600, data)];
            Action::Message(Box::new(reply))
        });
    }
    let outcome = net.ask("www.example.com.", A);
    assert!(outcome.answers.is_empty(), "{:?}", outcome.answers);
    assert_eq!(net.queries_to(EXAMPLE_NET), 0);
    let lines = net.resolver.dump(net.now_ms, &name("com."));
    assert!(lines.iter().all(|line| line.rtype == NS), "{lines:?}");
}

#[test]
fn server_that_refuses_is_passed_over_and_remembered_as_lame() {
    let mut net = Net::new();
    net.refuse(EXAMPLE_1, ResponseCode::Refused);
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    let before = net.queries_to(EXAMPLE_1);
    for number in 0..30 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    assert!(
        net.queries_to(EXAMPLE_1) <= before + 5,
        "asked only to see whether it recovered"
    );
}

#[test]
fn server_failure_is_passed_over() {
    let mut net = Net::new();
    net.refuse(EXAMPLE_2, ResponseCode::ServFail);
    for number in 0..5 {
        assert_eq!(
            net.ask(&format!("n{number}.example.com."), A).rcode,
            ResponseCode::NXDomain
        );
    }
}

#[test]
fn every_server_refusing_is_no_reachable_authority() {
    let mut net = Net::new();
    net.refuse(EXAMPLE_1, ResponseCode::Refused);
    net.refuse(EXAMPLE_2, ResponseCode::Refused);
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (
            ResponseCode::ServFail,
            Some(extended_error::NO_REACHABLE_AUTHORITY)
        )
    );
    let text = &outcome.extended_errors[0].1;
    assert!(
        text.contains("example.com.") && text.contains("192.0.2."),
        "{text}"
    );
}

#[test]
fn every_server_failing_is_a_network_error() {
    let mut net = Net::new();
    net.refuse(EXAMPLE_1, ResponseCode::ServFail);
    net.refuse(EXAMPLE_2, ResponseCode::ServFail);
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (ResponseCode::ServFail, Some(extended_error::NETWORK_ERROR))
    );
    assert!(
        net.queries_to(EXAMPLE_1) <= 2,
        "once with a part of the name at most, once with all of it"
    );
}

/// A server of `example.com.` that answers everything with these NS records.
fn refer(net: &mut Net, server: &str, owner: &'static str, host: &'static str) {
    net.behave(server, move |request, zones| {
        let mut reply = respond(zones, &request.message);
        reply.metadata.authoritative = false;
        (reply.answers, reply.authorities) = (Vec::new(), vec![ns_record(owner, host)]);
        reply.additionals.clear();
        Action::Message(Box::new(reply))
    });
}

#[test]
fn referral_upwards_is_lame() {
    let mut net = Net::new();
    refer(&mut net, EXAMPLE_1, ".", "a.root.");
    for number in 0..8 {
        assert_eq!(
            net.ask(&format!("n{number}.example.com."), A).rcode,
            ResponseCode::NXDomain
        );
    }
}

#[test]
fn referral_to_the_zone_itself_is_lame() {
    let mut net = Net::new();
    refer(&mut net, EXAMPLE_1, "example.com.", "ns1.example.com.");
    refer(&mut net, EXAMPLE_2, "example.com.", "ns1.example.com.");
    assert_eq!(net.ask("www.example.com.", A).rcode, ResponseCode::ServFail);
    assert!(net.log.len() < 20, "{}", net.log.len());
}

#[test]
fn referral_sideways_is_lame() {
    let mut net = Net::new();
    refer(&mut net, EXAMPLE_1, "example.net.", "ns1.example.net.");
    refer(&mut net, EXAMPLE_2, "other.com.", "ns1.example.com.");
    assert_eq!(net.ask("www.example.com.", A).rcode, ResponseCode::ServFail);
    assert_eq!(net.queries_to(EXAMPLE_NET), 0);
}

#[test]
fn empty_reply_without_authority_is_lame() {
    let mut net = Net::new();
    net.behave(EXAMPLE_1, |request, zones| {
        let mut reply = respond(zones, &request.message);
        reply.metadata.authoritative = false;
        (reply.answers, reply.authorities, reply.additionals) =
            (Vec::new(), Vec::new(), Vec::new());
        Action::Message(Box::new(reply))
    });
    for number in 0..8 {
        net.add_example(&format!("n{number} A 203.0.113.7"));
        assert_eq!(
            addresses(&net.ask(&format!("n{number}.example.com."), A)),
            ["203.0.113.7"]
        );
    }
}

#[test]
fn zone_that_moved_is_found_through_its_parent() {
    let mut net = Net::new();
    net.ask("www.example.net.", A);
    net.silence(EXAMPLE_NET);
    net.edit(NET, "net.", |zone| {
        zone.remove("example.net.", NS);
        zone.add("example NS moved.example\n moved.example A 192.0.2.51");
    });
    net.zone(
        "192.0.2.51",
        "example.net.",
        "@ NS moved\n moved A 192.0.2.51\n new A 203.0.113.81",
    );
    assert_eq!(addresses(&net.ask("new.example.net.", A)), ["203.0.113.81"]);
}

#[test]
fn zone_that_moves_while_it_is_dead_is_found_half_a_minute_after_its_parent_was_last_asked() {
    let mut net = Net::new();
    net.ask("www.example.net.", A);
    net.silence(EXAMPLE_NET);
    net.ask("one.example.net.", A);
    net.edit(NET, "net.", |zone| {
        zone.remove("example.net.", NS);
        zone.add("example NS moved.example\n moved.example A 192.0.2.51");
    });
    net.zone("192.0.2.51", "example.net.", "new A 203.0.113.81");
    let before = net.queries_to(NET);
    assert_eq!(net.ask("two.example.net.", A).rcode, ResponseCode::ServFail);
    assert_eq!(net.queries_to(NET), before);
    net.pass(30_000);
    assert_eq!(addresses(&net.ask("new.example.net.", A)), ["203.0.113.81"]);
}

#[test]
fn parent_and_child_on_one_server_work() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.add(server, "example.com.", "sub NS ns1");
        net.zone(
            server,
            "sub.example.com.",
            "@ NS ns1.example.com.\n www A 203.0.113.40",
        );
    }
    assert_eq!(
        addresses(&net.ask("www.sub.example.com.", A)),
        ["203.0.113.40"]
    );
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn root_is_primed_once_and_its_own_list_is_used() {
    let mut net = Net::new();
    net.edit(ROOT, ".", |zone| {
        zone.remove(".", NS);
        zone.add("@ NS b.root.\n b.root. A 198.51.100.2");
    });
    let mut root = Zone::new(".");
    root.add("@ NS b.root.\n b.root. A 198.51.100.2\n net NS ns.net.\n ns.net A 198.51.100.20");
    net.ask("www.example.com.", A);
    net.behave("198.51.100.2", move |request, _| {
        Action::Message(Box::new(respond(
            std::slice::from_ref(&root),
            &request.message,
        )))
    });
    assert_eq!(
        net.asked(ROOT)
            .iter()
            .filter(|asked| *asked == ". NS")
            .count(),
        1
    );
    let before = net.queries_to(ROOT);
    assert_eq!(addresses(&net.ask("www.example.net.", A)), ["203.0.113.80"]);
    assert_eq!(
        (net.queries_to(ROOT), net.queries_to("198.51.100.2")),
        (before, 1)
    );
}

#[test]
fn servers_at_addresses_that_belong_to_us_are_not_asked() {
    let mut net = Net::new();
    for (domain, address) in [
        ("a", "127.0.0.1"),
        ("b", "0.0.0.0"),
        ("c", "224.0.0.251"),
        ("d", "255.255.255.255"),
    ] {
        net.add(
            COM,
            "com.",
            &format!("{domain} NS ns.{domain}\n ns.{domain} A {address}"),
        );
        assert_eq!(
            net.ask(&format!("www.{domain}.com."), A).rcode,
            ResponseCode::ServFail
        );
        assert_eq!(net.queries_to(address), 0);
    }
}

#[test]
fn servers_are_asked_over_ipv6_when_that_is_all_there_is() {
    let mut net = Net::with(Config {
        use_ipv6: true,
        ..config()
    });
    net.add(COM, "com.", "six NS ns.six\n ns.six AAAA 2001:db8::53");
    net.zone("2001:db8::53", "six.com.", "www A 203.0.113.6");
    assert_eq!(addresses(&net.ask("www.six.com.", A)), ["203.0.113.6"]);
}

#[test]
fn family_that_is_turned_off_is_never_asked() {
    let mut net = Net::new();
    net.add(
        COM,
        "com.",
        "six NS ns.six\n ns.six AAAA 2001:db8::53\n ns.six A 192.0.2.53",
    );
    net.zone("192.0.2.53", "six.com.", "www A 203.0.113.6");
    assert_eq!(addresses(&net.ask("www.six.com.", A)), ["203.0.113.6"]);
    assert!(net.log.iter().all(|request| request.server.is_ipv4()));
}

#[test]
fn delegation_with_glue_for_one_server_does_not_wait_for_the_other() {
    let mut net = Net::new();
    delegate(&mut net, "other", &["ns.other.com.", "ns.dead.net."]);
    net.add(COM, "com.", "ns.other A 192.0.2.80");
    net.add(NET, "net.", "dead NS ns1.dead\n ns1.dead A 192.0.2.81");
    net.zone("192.0.2.80", "other.com.", "www A 203.0.113.30");
    assert_eq!(addresses(&net.ask("www.other.com.", A)), ["203.0.113.30"]);
    assert_eq!(net.queries_to("192.0.2.81"), 0);
}

#[test]
fn client_that_joins_a_sub_resolution_gets_time_of_its_own() {
    let limits = Limits {
        wall_ms_max: 1_000,
        ..Limits::default()
    };
    let mut net = Net::with(Config { limits, ..config() });
    delegate(&mut net, "other", &["ns.slow.net."]);
    net.add(NET, "net.", "slow NS ns1.slow\n ns1.slow A 192.0.2.81");
    net.zone("192.0.2.81", "slow.net.", "ns A 192.0.2.82");
    let mut count = 0;
    net.behave("192.0.2.81", move |_, _| {
        count += 1;
        if count <= 2 {
            Action::Silence
        } else {
            Action::Serve
        }
    });
    let first = net.begin_plain("www.other.com.", A);
    net.pass(600);
    let second = net.begin_plain("ns.slow.net.", A);
    net.run();
    assert_eq!(
        net.take(first).rcode,
        ResponseCode::ServFail,
        "its time was over"
    );
    assert_eq!(addresses(&net.take(second)), ["192.0.2.82"]);
}

#[test]
fn root_name_is_never_taken_for_a_relative_one() {
    let mut net = Net::new();
    assert_eq!(
        net.ask("com", NS).answers[0].name,
        Name::from_ascii("com.").unwrap()
    );
}

#[test]
fn load_balancer_that_denies_its_own_ns_is_still_found_by_its_delegation() {
    const BALANCER: &str = "192.0.2.70";
    let mut net = Net::new();
    let delegation = format!("lb NS ns.lb\n ns.lb A {BALANCER}");
    net.add(EXAMPLE_NET, "example.net.", &delegation);
    net.zone(BALANCER, "lb.example.net.", "*.lb A 203.0.113.70");
    let outcome = net.ask("lb.example.net.", NS);
    assert!(outcome.answers.is_empty() && outcome.rcode == ResponseCode::NoError);
    let to_parent = net.queries_to(EXAMPLE_NET);
    for number in 0..5 {
        net.ask(&format!("n{number}.lb.example.net."), A);
    }
    assert_eq!(net.queries_to(EXAMPLE_NET), to_parent);
    let outcome = net.ask("lb.example.net.", NS);
    assert!(outcome.answers.is_empty(), "clients get what was answered");
}
