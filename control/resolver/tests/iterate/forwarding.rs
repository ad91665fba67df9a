//! Questions that go to chosen recursive servers.

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{A, TXT};
use resolver::iterate::{Config, Forward, Question, Transport, extended_error};

use crate::authority::{Zone, name, respond};
use crate::net::{
    Action, EXAMPLE_1, EXAMPLE_NET, Net, ROOT, Request, address, addresses, code, config,
};

const FIRST: &str = "203.0.113.201";
const SECOND: &str = "203.0.113.202";

fn forward(zone: &str, servers: &[&str], fallback: bool) -> Forward {
    let servers = servers
        .iter()
        .map(|server| SocketAddr::new(address(server), 53))
        .collect();
    Forward {
        zone: name(zone),
        servers,
        fallback,
    }
}

/// The simulated internet with forwarders that know everything below the root they are given.
fn net(forwards: Vec<Forward>) -> Net {
    let mut net = Net::with(Config {
        forward: forwards,
        ..config()
    });
    for server in [FIRST, SECOND] {
        net.zone(
            server,
            ".",
            "www.example.com. A 203.0.113.1
             chain.example.com. CNAME www.example.net.
             www.example.net. A 203.0.113.80
             printer.corp. A 10.0.0.9
             leaves.corp. CNAME www.example.com.",
        );
        net.behave(server, recursive);
    }
    net
}

fn recursive(request: &Request, zones: &[Zone]) -> Action {
    let mut reply = respond(zones, &request.message);
    reply.metadata.authoritative = false;
    reply.metadata.recursion_available = true;
    Action::Message(Box::new(reply))
}

fn others(net: &Net) -> usize {
    net.log.len() - net.queries_to(FIRST) - net.queries_to(SECOND)
}

#[test]
fn forwarder_is_asked_for_the_whole_name_with_recursion_desired() {
    let mut net = net(vec![forward(".", &[FIRST], false)]);
    assert_eq!(addresses(&net.ask("www.example.com.", A)), ["203.0.113.1"]);
    assert_eq!(
        (net.asked(FIRST), others(&net)),
        (vec!["www.example.com. A".to_owned()], 0)
    );
    assert!(net.log[0].message.metadata.recursion_desired);
    assert!(!net.log[0].message.metadata.checking_disabled);
}

#[test]
fn forwarded_answer_is_cached_with_its_whole_chain() {
    let mut net = net(vec![forward(".", &[FIRST], false)]);
    assert_eq!(net.ask("chain.example.com.", A).answers.len(), 2);
    net.ask("chain.example.com.", A);
    net.ask("www.example.net.", A);
    assert_eq!(net.log.len(), 1);
}

#[test]
fn forwarded_denials_are_cached() {
    let mut net = net(vec![forward(".", &[FIRST], false)]);
    for _ in 0..2 {
        assert_eq!(
            net.ask("nothing.example.com.", A).rcode,
            ResponseCode::NXDomain
        );
        assert_eq!(
            net.ask("www.example.com.", TXT).rcode,
            ResponseCode::NoError
        );
    }
    assert_eq!(net.log.len(), 2);
}

#[test]
fn only_names_of_the_forwarded_zone_are_forwarded() {
    let mut net = net(vec![forward("corp.", &[FIRST], false)]);
    assert_eq!(addresses(&net.ask("printer.corp.", A)), ["10.0.0.9"]);
    assert_eq!(others(&net), 0);
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    assert_eq!(net.queries_to(FIRST), 1);
}

#[test]
fn alias_that_leaves_the_forwarded_zone_is_resolved_by_iteration() {
    let mut net = net(vec![forward("corp.", &[FIRST], false)]);
    let outcome = net.ask("leaves.corp.", A);
    assert_eq!(
        addresses(&outcome),
        ["203.0.113.1", "203.0.113.2"],
        "not the forwarder's single address"
    );
    assert!(net.queries_to(ROOT) > 0);
}

#[test]
fn longest_forwarded_zone_wins_and_one_without_servers_is_an_exception() {
    let forwards = vec![
        forward(".", &[FIRST], false),
        forward("example.com.", &[SECOND], false),
        forward("net.", &[], false),
    ];
    let mut net = net(forwards);
    net.ask("www.example.com.", A);
    assert_eq!((net.queries_to(FIRST), net.queries_to(SECOND)), (0, 1));
    assert_eq!(addresses(&net.ask("www.example.net.", A)), ["203.0.113.80"]);
    assert!(net.queries_to(EXAMPLE_NET) > 0);
}

#[test]
fn truncated_forwarded_answer_is_fetched_by_tcp() {
    let mut net = net(vec![forward(".", &[FIRST], false)]);
    for number in 0..12 {
        net.add(FIRST, ".", &format!("big. TXT {number}{}", "x".repeat(200)));
    }
    assert_eq!(net.ask("big.", TXT).answers.len(), 12);
    assert_eq!(net.log.last().unwrap().transport, Transport::Tcp);
}

#[test]
fn dead_forwarder_is_left_for_the_other_then_probed_and_used_again() {
    let mut net = net(vec![forward(".", &[FIRST, SECOND], false)]);
    net.silence(FIRST);
    for number in 0..100 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    let to_dead = net.queries_to(FIRST);
    assert!((1..20).contains(&to_dead), "{to_dead}");
    net.heal(FIRST);
    net.behave(FIRST, recursive);
    net.silence(SECOND);
    net.pass(31_000);
    for number in 0..20 {
        assert_eq!(
            net.ask(&format!("m{number}.example.com."), A).rcode,
            ResponseCode::NXDomain
        );
    }
}

#[test]
fn forwarder_that_fails_is_left_for_the_other() {
    for rcode in [ResponseCode::ServFail, ResponseCode::Refused] {
        let mut net = net(vec![forward(".", &[FIRST, SECOND], false)]);
        net.refuse(FIRST, rcode);
        for number in 0..10 {
            assert_eq!(
                net.ask(&format!("n{number}.example.com."), A).rcode,
                ResponseCode::NXDomain
            );
        }
    }
}

#[test]
fn every_forwarder_failing_without_fallback_is_a_failure() {
    let mut net = net(vec![forward(".", &[FIRST, SECOND], false)]);
    net.silence(FIRST);
    net.silence(SECOND);
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (
            ResponseCode::ServFail,
            Some(extended_error::NO_REACHABLE_AUTHORITY)
        )
    );
    assert_eq!(others(&net), 0);
}

#[test]
fn every_forwarder_failing_with_fallback_leads_to_iteration() {
    let mut net = net(vec![forward(".", &[FIRST, SECOND], true)]);
    net.refuse(FIRST, ResponseCode::ServFail);
    net.silence(SECOND);
    assert_eq!(
        addresses(&net.ask("www.example.com.", A)),
        ["203.0.113.1", "203.0.113.2"]
    );
    assert!(net.queries_to(EXAMPLE_1) + net.queries_to(crate::net::EXAMPLE_2) > 0);
}

#[test]
fn forwarder_that_does_not_recurse_is_lame() {
    let mut net = net(vec![forward(".", &[FIRST, SECOND], false)]);
    net.behave(FIRST, |request, _| {
        let mut root = Zone::new(".");
        root.add("com NS ns.com.");
        let reply: Message = respond(&[root], &request.message);
        Action::Message(Box::new(reply))
    });
    for number in 0..10 {
        assert_eq!(
            net.ask(&format!("n{number}.example.com."), A).rcode,
            ResponseCode::NXDomain
        );
    }
}

#[test]
fn checking_disabled_is_passed_on_and_its_answer_is_kept_apart() {
    let mut net = net(vec![forward(".", &[FIRST], false)]);
    let question = Question {
        checking_disabled: true,
        ..Question::new(name("www.example.com."), A)
    };
    net.ask_question(question.clone());
    assert!(net.log[0].message.metadata.checking_disabled);
    net.ask("www.example.com.", A);
    assert_eq!(
        net.log.len(),
        2,
        "what was not checked answers nobody who wanted it checked"
    );
    assert!(!net.log[1].message.metadata.checking_disabled);
    net.resolver.flush(None);
    net.ask("www.example.com.", A);
    net.ask_question(question);
    assert_eq!(net.log.len(), 3, "what was checked answers everybody");
}

#[test]
fn checking_disabled_makes_no_difference_to_iteration() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    let sent = net.log.len();
    net.ask_question(Question {
        checking_disabled: true,
        ..Question::new(name("www.example.com."), A)
    });
    assert_eq!(net.log.len(), sent);
    assert!(
        net.log
            .iter()
            .all(|request| !request.message.metadata.checking_disabled)
    );
}

#[test]
fn forwarders_may_have_any_address_and_port() {
    let server = SocketAddr::new(address("127.0.0.1"), 5301);
    let forwards = vec![Forward {
        zone: name("."),
        servers: vec![server],
        fallback: false,
    }];
    let mut net = net(forwards);
    net.zone("127.0.0.1", ".", "www.example.com. A 203.0.113.1");
    net.behave("127.0.0.1", move |request, zones| {
        Action::Many(vec![(
            server,
            respond(zones, &request.message).to_vec().unwrap(),
        )])
    });
    assert_eq!(addresses(&net.ask("www.example.com.", A)), ["203.0.113.1"]);
}

#[test]
fn stale_data_is_served_when_forwarders_fail() {
    let mut net = net(vec![forward(".", &[FIRST], false)]);
    net.ask("www.example.com.", A);
    net.silence(FIRST);
    net.pass(4_000_000);
    assert!(net.ask("www.example.com.", A).stale);
}
