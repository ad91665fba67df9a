//! Whose silence is held against whom.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, HTTPS, TXT};
use resolver::iterate::{Config, Forward, Question};

use crate::authority::name;
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, NET, Net, ROOT, address, addresses, config,
};
use crate::validation::{self, GOOD_1, GOOD_2};

const FORWARDER: &str = "203.0.113.201";

/// A resolver that forwards everything to one server, which waits long for names below `dead.`
fn forwarding(fallback: bool) -> Net {
    let mut net = Net::with(Config {
        forward: vec![Forward {
            zone: name("."),
            servers: vec![SocketAddr::new(address(FORWARDER), 53)],
            fallback,
        }],
        ..config()
    });
    net.zone(FORWARDER, ".", "www.example.com. A 203.0.113.1");
    net.behave(FORWARDER, |request, _| {
        if request.qname.ends_with("dead.") {
            Action::Silence
        } else {
            Action::Serve
        }
    });
    net
}

/// Lets a server ignore some queries.
fn ignore(net: &mut Net, server: &str, ignored: impl Fn(&str, bool) -> bool + 'static) {
    net.behave(server, move |request, _| {
        if ignored(&request.qname, request.qtype == HTTPS) {
            Action::Silence
        } else {
            Action::Serve
        }
    });
}

#[test]
fn names_that_a_forwarder_cannot_resolve_do_not_take_it_away_from_others() {
    let mut net = forwarding(false);
    for number in 0..40 {
        net.begin_plain(&format!("n{number}.dead."), A);
    }
    for _ in 0..8 {
        net.pass(500);
        net.begin_plain(&format!("n{}.dead.", net.now_ms), A);
        net.resolver.flush(None);
        let (ticket, begun_ms) = (net.begin_plain("www.example.com.", A), net.now_ms);
        net.pass(100);
        assert_eq!(net.done_at(ticket), Some(begun_ms + 10));
        assert_eq!(addresses(&net.take(ticket)), ["203.0.113.1"]);
    }
    net.run();
}

#[test]
fn forwarder_is_waited_for_longer_than_for_what_it_has_in_its_cache() {
    let mut net = forwarding(false);
    for number in 0..40 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    net.delay(FORWARDER, 350);
    assert_eq!(addresses(&net.ask("www.example.com.", A)), ["203.0.113.1"]);
    assert_eq!(net.resolver.statistics().timeouts, 0);
}

#[test]
fn dead_forwarder_with_fallback_costs_no_time_once_that_is_known() {
    let mut net = forwarding(true);
    net.silence(FORWARDER);
    for number in 0..4 {
        net.begin_plain(&format!("n{number}.example.com."), A);
    }
    net.run();
    let (ticket, begun_ms) = (net.begin_plain("www.example.com.", A), net.now_ms);
    net.run();
    assert!(net.done_at(ticket).unwrap() < begun_ms + 200);
    assert_eq!(addresses(&net.take(ticket)).len(), 2);
}

#[test]
fn zone_delegated_to_a_server_that_ignores_it_does_not_take_the_servers_own_zone_away() {
    let mut net = Net::new();
    for zone in 0..8 {
        let lines = format!("evil{zone} NS ns.evil{zone}\n ns.evil{zone} A {EXAMPLE_NET}");
        net.add(COM, "com.", &lines);
    }
    ignore(&mut net, EXAMPLE_NET, |qname, _| qname.contains("evil"));
    for number in 0..16 {
        net.begin_plain(&format!("n{number}.evil{}.com.", number % 8), A);
    }
    net.pass(4_000);
    let (ticket, begun_ms) = (net.begin_plain("www.example.net.", A), net.now_ms);
    net.run();
    assert_eq!(net.done_at(ticket), Some(begun_ms + 30));
    assert_eq!(addresses(&net.take(ticket)), ["203.0.113.80"]);
}

#[test]
fn type_that_servers_ignore_does_not_take_other_types_away() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        ignore(&mut net, server, |_, is_https| is_https);
    }
    net.ask("www.example.com.", TXT);
    for number in 0..8 {
        net.begin_plain(&format!("n{number}.example.com."), HTTPS);
    }
    net.run();
    let (ticket, begun_ms) = (net.begin_plain("www.example.com.", A), net.now_ms);
    net.run();
    assert_eq!(net.done_at(ticket), Some(begun_ms + 10));
    assert_eq!(addresses(&net.take(ticket)).len(), 2);
}

#[test]
fn servers_are_found_alive_two_seconds_after_a_long_outage() {
    let mut net = Net::new();
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    let all = [ROOT, COM, NET, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET];
    all.iter().for_each(|server| net.silence(server));
    for number in 0..400 {
        net.begin_plain(&format!("n{number}.example.com."), A);
        net.pass(300);
    }
    all.iter().for_each(|server| net.heal(server));
    net.pass(2_000);
    let outcome = net.ask("again.example.com.", A);
    assert_eq!(outcome.rcode, ResponseCode::NXDomain);
}

#[test]
fn zones_of_one_dead_server_do_not_each_cost_as_much_as_the_first() {
    let mut net = Net::new();
    net.add(COM, "com.", "first NS ns.first\n ns.first A 192.0.2.90");
    for zone in 0..100 {
        let lines = format!("z{zone} NS ns.first");
        net.add(COM, "com.", &lines);
    }
    for zone in 0..100 {
        for number in 0..8 {
            net.begin_plain(&format!("n{number}.z{zone}.com."), A);
        }
        net.run();
    }
    // What is in flight when the second is lost comes on top.
    let sent = net.queries_to("192.0.2.90");
    assert!(sent < 100 * 8 * 2, "{sent}");
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn server_that_gave_bogus_data_is_not_asked_again_through_somebody_elses_exchange() {
    let mut net = validation::net();
    let checks_itself = |qname: &str| Question {
        checking_disabled: true,
        ..Question::new(name(qname), A)
    };
    let set_delays = |net: &mut Net, first_ms, second_ms| {
        net.delay(GOOD_1, first_ms);
        net.delay(GOOD_2, second_ms);
    };
    set_delays(&mut net, 5, 60);
    for number in 0..20 {
        net.ask_question(checks_itself(&format!("n{number}.good.test.")));
    }
    validation::tamper(&mut net, GOOD_1, |message, request| {
        if request.qtype == A {
            message.answers.remove(0); // The signature does not hold any more.
        }
    });
    let asked_before = net.queries_to(GOOD_1);
    let judged = net.begin_plain("www.good.test.", A);
    while !net.asked(GOOD_1)[asked_before..].contains(&"good.test. DNSKEY".to_owned()) {
        net.pass(1);
    }
    net.resolver.flush(Some((&name("www.good.test."), false)));
    set_delays(&mut net, 90, 60);
    let unjudged = net.begin(checks_itself("www.good.test."));
    net.run();
    let to_bad = net.asked(GOOD_1)[asked_before..].to_vec();
    let of_both = ["www.good.test. A", "good.test. DNSKEY", "www.good.test. A"];
    assert_eq!(to_bad, of_both);
    assert!(net.done_at(judged).unwrap() < net.done_at(unjudged).unwrap());
    assert_eq!(addresses(&net.take(judged)).len(), 2);
}
