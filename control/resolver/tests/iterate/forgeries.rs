//! Replies that somebody else made.

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{A, NS};
use hickory_proto::rr::{RData, Record};
use resolver::iterate::{CacheLine, Config, Input, Security, Transport};

use crate::authority::{Zone, name, respond};
use crate::net::{Action, EXAMPLE_NET, NET, Net, ROOT, Request, address, addresses, config};
use crate::validation;

pub(crate) fn server() -> SocketAddr {
    SocketAddr::new(address(EXAMPLE_NET), 53)
}

/// A reply with the forger's address: right in everything but what a test then changes.
pub(crate) fn forged(request: &Request) -> Message {
    let mut reply = respond(&[], &request.message);
    reply.metadata.response_code = ResponseCode::NoError;
    reply.metadata.authoritative = true;
    let data = RData::A("203.0.113.66".parse().unwrap());
    reply.add_answer(Record::from_rdata(
        request.message.queries[0].name().clone(),
        3600,
        data,
    ));
    reply
}

/// `example.net.` answers as it should, after what the forger sends.
fn forge(net: &mut Net, forger: impl Fn(&Request) -> Vec<(SocketAddr, Vec<u8>)> + 'static) {
    net.behave(EXAMPLE_NET, move |request, zones| {
        let mut messages = if request.transport == Transport::Udp {
            forger(request)
        } else {
            Vec::new()
        };
        messages.push((server(), respond(zones, &request.message).to_vec().unwrap()));
        Action::Many(messages)
    });
}

fn is_not_fooled(net: &mut Net) {
    assert_eq!(addresses(&net.ask("www.example.net.", A)), ["203.0.113.80"]);
}

#[test]
fn reply_with_another_id_is_counted_and_waiting_goes_on() {
    let mut net = Net::new();
    forge(&mut net, |request| {
        let mut reply = forged(request);
        reply.metadata.id ^= 1;
        vec![(server(), reply.to_vec().unwrap())]
    });
    is_not_fooled(&mut net);
    assert!(net.resolver.statistics().mismatches_id > 0);
}

#[test]
fn reply_from_another_address_or_port_is_counted_and_waiting_goes_on() {
    let mut net = Net::new();
    forge(&mut net, |request| {
        let reply = forged(request).to_vec().unwrap();
        let elsewhere = [
            SocketAddr::new(address("192.0.2.99"), 53),
            SocketAddr::new(address(EXAMPLE_NET), 54),
        ];
        elsewhere.map(|from| (from, reply.clone())).to_vec()
    });
    is_not_fooled(&mut net);
    assert!(net.resolver.statistics().mismatches_address >= 2);
}

#[test]
fn reply_to_another_question_is_counted_and_waiting_goes_on() {
    let mut net = Net::new();
    forge(&mut net, |request| {
        let mut other_name = forged(request);
        other_name.queries[0].set_name(name("www.example.org."));
        let mut other_type = forged(request);
        other_type.queries[0].set_query_type(hickory_proto::rr::RecordType::AAAA);
        let mut none = forged(request);
        none.queries.clear();
        [other_name, other_type, none]
            .map(|reply| (server(), reply.to_vec().unwrap()))
            .to_vec()
    });
    is_not_fooled(&mut net);
    assert!(net.resolver.statistics().mismatches_question >= 3);
}

#[test]
fn query_that_comes_back_is_no_reply() {
    let mut net = Net::new();
    forge(&mut net, |request| {
        vec![
            (server(), request.raw.clone()),
            (server(), Vec::new()),
            (server(), vec![0; 11]),
        ]
    });
    is_not_fooled(&mut net);
    assert!(net.resolver.statistics().malformed >= 3);
}

#[test]
fn reply_in_other_case_is_not_believed_over_udp() {
    let mut net = Net::new();
    forge(&mut net, |request| {
        let mut reply = forged(request);
        let lower = reply.queries[0].name().to_lowercase();
        reply.queries[0].set_name(lower);
        vec![(server(), reply.to_vec().unwrap())]
    });
    is_not_fooled(&mut net);
    assert!(net.resolver.statistics().mismatches_case > 0);
    assert!(
        net.log
            .iter()
            .any(|request| request.transport == Transport::Tcp),
        "TCP told the truth"
    );
}

/// Answers with the question in lower case, as some servers do.
fn fold(request: &Request, zones: &[Zone]) -> Action {
    let mut reply = respond(zones, &request.message);
    let lower = reply.queries[0].name().to_lowercase();
    reply.queries[0].set_name(lower);
    Action::Message(Box::new(reply))
}

#[test]
fn server_that_folds_case_is_recognised_by_tcp_and_then_asked_in_lower_case() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, fold);
    is_not_fooled(&mut net);
    let tcp = |net: &Net| {
        net.log
            .iter()
            .filter(|request| request.transport == Transport::Tcp)
            .count()
    };
    let before = tcp(&net);
    for number in 0..10 {
        net.ask(&format!("n{number}.example.net."), A);
    }
    assert_eq!((before, tcp(&net)), (1, 1));
}

#[test]
fn server_that_folds_case_and_has_no_tcp_still_answers() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, |request, zones| match request.transport {
        Transport::Udp => fold(request, zones),
        Transport::Tcp => Action::Fail(resolver::iterate::TransportError::Refused),
    });
    is_not_fooled(&mut net);
}

#[test]
fn many_wrong_replies_lead_to_tcp() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, |request, zones| {
        if request.transport == Transport::Tcp {
            return Action::Serve;
        }
        let guess = |id: u16| {
            let mut reply = forged(request);
            reply.metadata.id = request.message.metadata.id.wrapping_add(id);
            (server(), reply.to_vec().unwrap())
        };
        let mut messages: Vec<_> = (1..40).map(guess).collect();
        messages.push((server(), forged(request).to_vec().unwrap())); // The lucky one.
        assert_eq!(zones.len(), 1);
        Action::Many(messages)
    });
    is_not_fooled(&mut net);
}

#[test]
fn refusal_without_a_question_is_checked_by_tcp_with_edns_and_harms_nobody() {
    for rcode in [
        ResponseCode::FormErr,
        ResponseCode::NotImp,
        ResponseCode::ServFail,
        ResponseCode::Refused,
    ] {
        let mut net = Net::new();
        forge(&mut net, move |request| {
            let mut reply = respond(&[], &request.message);
            reply.queries.clear();
            reply.edns = None;
            reply.metadata.response_code = rcode;
            vec![(server(), reply.to_vec().unwrap())]
        });
        is_not_fooled(&mut net);
        let statistics = net.resolver.statistics();
        assert_eq!((statistics.edns_fallbacks, statistics.lame), (0, 0));
        assert_eq!(statistics.mismatches_question, 1, "{rcode}");
        let with_edns = |request: &Request| request.message.edns.is_some();
        assert!(net.log.iter().all(with_edns), "{rcode}");
        assert_eq!(net.log.last().unwrap().transport, Transport::Tcp);
    }
}

#[test]
fn late_reply_is_counted_and_harmless() {
    let mut net = Net::new();
    net.delay(EXAMPLE_NET, 450);
    is_not_fooled(&mut net);
    assert!(net.resolver.statistics().replies_unknown > 0);
}

#[test]
fn reply_to_an_exchange_that_never_was_is_counted_and_harmless() {
    let mut net = Net::new();
    net.step(Input::Reply {
        exchange: 77,
        from: server(),
        message: &[0; 64],
    });
    assert_eq!(net.resolver.statistics().replies_unknown, 1);
}

#[test]
fn ids_and_case_differ_from_query_to_query_and_from_seed_to_seed() {
    let mut net = Net::new();
    for number in 0..200 {
        net.ask(&format!("a-rather-long-label-{number}.example.net."), A);
    }
    let mut ids: Vec<u16> = net
        .log
        .iter()
        .map(|request| request.message.metadata.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 190, "{}", ids.len());
    let mixed = net.log.iter().filter(|request| {
        let text = request.message.queries[0].name().to_ascii();
        text != text.to_ascii_lowercase() && text != text.to_ascii_uppercase()
    });
    assert!(mixed.count() > 190);
}

#[test]
fn case_is_left_alone_when_that_is_configured() {
    let mut net = Net::with(Config {
        case_randomisation: false,
        ..config()
    });
    is_not_fooled(&mut net);
    for request in &net.log {
        assert_eq!(request.message.queries[0].name().to_ascii(), request.qname);
    }
}

#[test]
fn equal_seeds_and_inputs_give_equal_messages_and_reseeding_gives_others() {
    let sent = |reseed: bool| {
        let mut net = Net::new();
        if reseed {
            net.resolver.reseed([7; 32]);
        }
        net.ask("www.example.net.", A);
        net.log
            .iter()
            .map(|request| request.raw.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(sent(false), sent(false));
    assert_ne!(sent(false), sent(true));
}

/// Where the forger's own server is.
const FORGER: &str = "203.0.113.53";

/// A resolver whose cache sends it to the forger for all of `example.net.`: by a name server of his, or by
/// another address of the true one.
fn poisoned(nameserver: &'static str) -> Net {
    let mut net = Net::new();
    let truth = "*.hosts A 203.0.113.80";
    net.add(EXAMPLE_NET, "example.net.", truth);
    net.add(
        NET,
        "net.",
        "forger NS ns.forger\n ns.forger A 203.0.113.53",
    );
    let lie = format!("@ NS {nameserver}\n *.hosts A 203.0.113.66");
    net.zone(FORGER, "example.net.", &lie);
    net.zone(FORGER, "forger.net.", "@ NS ns\n ns A 203.0.113.53");
    net.behave(NET, move |request, zones| {
        if !request.qname.ends_with("example.net.") {
            return Action::Serve;
        }
        let mut forged = Zone::new("net.");
        forged.add("@ NS ns\n ns A 198.51.100.20");
        forged.add(&format!(
            "example NS {nameserver}\n {nameserver} A {FORGER}"
        ));
        assert!(!zones.is_empty());
        Action::Message(Box::new(respond(&[forged], &request.message)))
    });
    net.ask("a.hosts.example.net.", A);
    net.heal(NET);
    net
}

fn doubt(net: &mut Net, refused: &str) -> usize {
    let refused = name(refused);
    net.resolver.flush(Some((&refused, false)));
    net.resolver.doubt(net.now_ms, &[refused])
}

#[test]
fn way_to_a_refused_answer_is_forgotten_with_it() {
    for nameserver in ["ns1.example.net.", "ns.forger.net."] {
        let mut net = poisoned(nameserver);
        let flushed = name("a.hosts.example.net.");
        net.resolver.flush(Some((&flushed, false)));
        let lie = net.ask("b.hosts.example.net.", A);
        assert_eq!(addresses(&lie), ["203.0.113.66"], "{nameserver}");
        assert!(doubt(&mut net, "b.hosts.example.net.") >= 2, "{nameserver}");
        for asked in ["b.hosts.example.net.", "c.hosts.example.net."] {
            let truth = net.ask(asked, A);
            assert_eq!(addresses(&truth), ["203.0.113.80"], "{nameserver}");
        }
    }
}

#[test]
fn refusals_do_not_have_parents_asked_without_end() {
    let mut net = Net::new();
    net.ask("www.example.net.", A);
    let parents = |net: &Net| net.queries_to(ROOT) + net.queries_to(NET);
    assert_eq!(doubt(&mut net, "www.example.net."), 2);
    net.ask("www.example.net.", A);
    let before = parents(&net);
    for _ in 0..100 {
        assert_eq!(doubt(&mut net, "www.example.net."), 0);
        net.ask("www.example.net.", A);
    }
    assert_eq!(parents(&net), before);
    net.pass(30_000);
    assert_eq!(doubt(&mut net, "www.example.net."), 2);
}

#[test]
fn what_signatures_prove_is_not_doubted() {
    let mut net = validation::net();
    net.ask("good.test.", NS);
    let kept = |net: &Net| {
        let lines = net.resolver.dump(net.now_ms, &name("good.test."));
        let secure = |line: &CacheLine| line.security == Security::Secure;
        let sets = lines.into_iter().filter(|line| line.rtype == NS);
        sets.map(|line| secure(&line)).collect::<Vec<_>>()
    };
    assert!(kept(&net).contains(&true));
    doubt(&mut net, "www.good.test.");
    assert_eq!(kept(&net), [true]);
}
