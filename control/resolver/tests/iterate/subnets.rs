//! Networks of clients, shown to the servers of chosen zones (RFC 7871).

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RecordType::{A, NS, TXT};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{RData, Record, RecordType};
use resolver::iterate::{ClientSubnet, Config, Outcome, Question, Subnet};

use crate::authority::{Zone, name, respond};
use crate::net::{Action, EXAMPLE_NET, Net, Request, address, addresses, config};

const OPTION: u16 = 8;

/// The data of the CLIENT-SUBNET option of a message in wire form.
fn shown(raw: &[u8]) -> Option<Vec<u8>> {
    let subnet = Subnet::of_query(raw).unwrap()?;
    Some(subnet.to_option(0))
}

/// Answers `www` with the third octet of the network in the address, for networks of 24 bits.
fn tailor(request: &Request, zones: &[Zone]) -> Action {
    Action::Message(Box::new(tailored(request, zones, |data| data[3] = 24)))
}

fn tailored(request: &Request, zones: &[Zone], change: impl Fn(&mut Vec<u8>)) -> Message {
    let mut reply = respond(zones, &request.message);
    let Some(mut data) = shown(&request.raw) else {
        return reply;
    };
    if request.qname.starts_with("www") && request.qtype == A {
        let octet = data.get(6).copied().unwrap_or(0);
        let data = RData::A(format!("198.18.0.{octet}").parse().unwrap());
        let owner = request.message.queries[0].name().clone();
        reply.answers = vec![Record::from_rdata(owner, 600, data)];
    }
    change(&mut data);
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(OPTION, data));
    reply.set_edns(edns);
    reply
}

fn net() -> Net {
    let client_subnet = ClientSubnet {
        zones: vec![name("example.net.")],
        ..ClientSubnet::default()
    };
    let mut net = Net::with(Config {
        client_subnet,
        ..config()
    });
    net.behave(EXAMPLE_NET, tailor);
    net
}

fn ask(net: &mut Net, qname: &str, qtype: RecordType, client: &str, bits: u8) -> Outcome {
    net.ask_question(Question {
        client_subnet: Some(Subnet::new(address(client), bits)),
        ..Question::new(name(qname), qtype)
    })
}

fn last_shown(net: &Net) -> Option<Vec<u8>> {
    shown(&net.log.last().unwrap().raw)
}

#[test]
fn servers_of_the_zone_see_the_cut_network_and_those_above_see_nothing() {
    let mut net = net();
    let outcome = ask(&mut net, "www.example.net.", A, "192.0.5.77", 32);
    assert_eq!(addresses(&outcome), ["198.18.0.5"]);
    assert_eq!(last_shown(&net), Some(vec![0, 1, 24, 0, 192, 0, 5]));
    let seeing = net
        .log
        .iter()
        .filter(|request| shown(&request.raw).is_some());
    assert_eq!(seeing.count(), 1, "one query, to one server");
    assert_eq!((outcome.subnet_scope, outcome.ttl_secs), (Some(24), 0));
}

#[test]
fn networks_of_ipv6_are_cut_and_shorter_prefixes_of_clients_are_kept() {
    let mut net = net();
    ask(&mut net, "www.example.net.", A, "2001:db8:1:2345::1", 128);
    let expected = vec![0, 2, 56, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0x23];
    assert_eq!(last_shown(&net), Some(expected));
    ask(&mut net, "www.example.net.", A, "192.0.5.77", 12);
    assert_eq!(last_shown(&net), Some(vec![0, 1, 12, 0, 192, 0]));
    // RFC 7871 §7.1.2: a client that wants nothing shown.
    ask(&mut net, "www.example.net.", A, "192.0.5.77", 0);
    assert_eq!(last_shown(&net), Some(vec![0, 1, 0, 0]));
}

#[test]
fn each_network_has_its_own_answer_for_its_ttl() {
    let mut net = net();
    let www = |net: &mut Net, client: &str| {
        let outcome = ask(net, "www.example.net.", A, client, 32);
        (
            addresses(&outcome),
            outcome.answers[0].ttl,
            outcome.subnet_scope,
        )
    };
    let answer = |octet: u8, ttl: u32| (vec![format!("198.18.0.{octet}")], ttl, Some(24));
    assert_eq!(www(&mut net, "192.0.5.1"), answer(5, 600));
    assert_eq!(www(&mut net, "192.0.6.1"), answer(6, 600));
    let sent = net.log.len();
    net.pass(100_000);
    assert_eq!(www(&mut net, "192.0.5.2"), answer(5, 500));
    assert_eq!(www(&mut net, "192.0.6.2"), answer(6, 500));
    assert_eq!(net.log.len(), sent, "from the cache");
    net.pass(500_000);
    assert_eq!(www(&mut net, "192.0.5.2"), answer(5, 600));
    assert!(net.log.len() > sent);
}

#[test]
fn answers_for_networks_and_for_everybody_are_kept_apart() {
    let mut net = net();
    ask(&mut net, "www.example.net.", A, "192.0.5.1", 32);
    let everybody = net.ask("www.example.net.", A);
    assert_eq!(addresses(&everybody), ["203.0.113.80"]);
    assert!(everybody.ttl_secs > 0 && everybody.subnet_scope.is_none());
    let other = ask(&mut net, "www.example.net.", A, "192.0.7.1", 32);
    assert_eq!(addresses(&other), ["198.18.0.7"]);
}

#[test]
fn denials_are_for_one_network_too() {
    let mut net = net();
    for (client, sends) in [
        ("192.0.5.1", true),
        ("192.0.6.1", true),
        ("192.0.5.9", false),
    ] {
        let before = net.log.len();
        let outcome = ask(&mut net, "missing.example.net.", A, client, 32);
        assert_eq!(outcome.rcode, ResponseCode::NXDomain);
        assert_eq!(outcome.ttl_secs, 0);
        assert_eq!(net.log.len() > before, sends, "{client}");
    }
}

#[test]
fn alias_out_of_the_zone_is_followed_without_a_network_and_shared() {
    let mut net = net();
    let outcome = ask(&mut net, "back.example.net.", A, "192.0.5.1", 32);
    assert_eq!(addresses(&outcome), ["203.0.113.1", "203.0.113.2"]);
    assert_eq!(outcome.ttl_secs, 0);
    let to_others = net.log.iter();
    let mut to_others = to_others.filter(|request| request.server != address(EXAMPLE_NET));
    assert!(to_others.all(|request| shown(&request.raw).is_none()));
    let sent = net.log.len();
    net.ask("www.example.com.", A);
    assert_eq!(net.log.len(), sent);
}

#[test]
fn other_zones_and_types_that_lead_to_servers_show_nothing() {
    let mut net = net();
    let outcome = ask(&mut net, "www.example.com.", A, "192.0.5.1", 32);
    assert!(outcome.ttl_secs > 0 && outcome.subnet_scope.is_none());
    ask(&mut net, "example.net.", NS, "192.0.5.1", 32);
    assert!(net.log.iter().all(|request| shown(&request.raw).is_none()));
    assert!(net.log.len() > 3);
    ask(&mut net, "www.example.net.", TXT, "192.0.5.1", 32);
    assert!(last_shown(&net).is_some());
}

#[test]
fn server_that_says_nothing_of_networks_answers_all_of_them() {
    let mut net = net();
    net.heal(EXAMPLE_NET);
    let outcome = ask(&mut net, "www.example.net.", A, "192.0.5.1", 32);
    assert_eq!(addresses(&outcome), ["203.0.113.80"]);
    assert_eq!(outcome.subnet_scope, Some(0));
}

#[test]
fn reply_for_another_network_is_no_reply() {
    let mut net = net();
    net.behave(EXAMPLE_NET, |request, zones| {
        let server = std::net::SocketAddr::new(request.server, 53);
        let wrong = |change: fn(&mut Vec<u8>)| {
            let reply = tailored(request, zones, change);
            (server, reply.to_vec().unwrap())
        };
        let right = respond(zones, &request.message).to_vec().unwrap();
        if shown(&request.raw).is_none() {
            return Action::Many(vec![(server, right)]);
        }
        Action::Many(vec![
            wrong(|data| data[6] ^= 1),
            wrong(|data| data[2] = 23),
            wrong(|data| data.truncate(5)),
            (server, right),
        ])
    });
    let outcome = ask(&mut net, "www.example.net.", A, "192.0.5.1", 32);
    assert_eq!(addresses(&outcome), ["203.0.113.80"]);
    assert_eq!(net.resolver.statistics().mismatches_question, 3);
}

#[test]
fn flush_forgets_answers_for_networks() {
    let mut net = net();
    ask(&mut net, "www.example.net.", A, "192.0.5.1", 32);
    let sent = net.log.len();
    assert!(net.resolver.flush(Some((&name("www.example.net."), false))) > 0);
    ask(&mut net, "www.example.net.", A, "192.0.5.1", 32);
    assert!(net.log.len() > sent);
}
