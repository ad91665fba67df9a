//! DNS cookies towards servers (RFC 7873 §5).

use std::cell::Cell;
use std::rc::Rc;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RecordType::A;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use resolver::iterate::{Config, Transport};

use crate::authority::{Zone, respond};
use crate::forgeries::{forged, server};
use crate::net::{Action, EXAMPLE_NET, NET, Net, Request, address, addresses, config};

const COOKIE: u16 = 10;
const SERVER_COOKIE: [u8; 16] = *b"a server cookie!";

/// The data of the COOKIE option of a query.
fn cookie(request: &Request) -> Option<Vec<u8>> {
    let options = request.message.edns.as_ref()?.options();
    match options.get(EdnsCode::from(COOKIE))? {
        EdnsOption::Unknown(_, data) => Some(data.clone()),
        option => panic!("{option:?}"),
    }
}

fn client(request: &Request) -> Vec<u8> {
    cookie(request).unwrap()[..8].to_vec()
}

/// A reply with these bytes as its cookie.
fn with_cookie(mut reply: Message, data: &[u8]) -> Message {
    let mut edns = Edns::new();
    let option = EdnsOption::Unknown(COOKIE, data.to_vec());
    edns.options_mut().insert(option);
    reply.set_edns(edns);
    reply
}

/// Answers with the client's cookie and one of its own.
fn give(request: &Request, zones: &[Zone]) -> Message {
    let reply = respond(zones, &request.message);
    match cookie(request) {
        Some(data) => with_cookie(reply, &[&data[..8], &SERVER_COOKIE].concat()),
        None => reply,
    }
}

fn gives(request: &Request, zones: &[Zone]) -> Action {
    Action::Message(Box::new(give(request, zones)))
}

/// Over UDP the forger is faster than the server, which gives cookies.
fn forge(net: &mut Net, forger: impl Fn(&Request) -> Message + 'static) {
    net.behave(EXAMPLE_NET, move |request, zones| {
        let mut messages = Vec::new();
        if request.transport == Transport::Udp {
            messages.push((server(), forger(request).to_vec().unwrap()));
        }
        messages.push((server(), give(request, zones).to_vec().unwrap()));
        Action::Many(messages)
    });
}

fn to_example(net: &Net) -> Vec<Request> {
    let own = net.log.iter();
    own.filter(|request| request.server == address(EXAMPLE_NET))
        .cloned()
        .collect()
}

fn last(net: &Net) -> Request {
    to_example(net).pop().unwrap()
}

fn tcp_count(net: &Net) -> usize {
    let over_tcp = |request: &&Request| request.transport == Transport::Tcp;
    net.log.iter().filter(over_tcp).count()
}

#[track_caller]
fn finds(net: &mut Net, qname: &str) {
    let outcome = net.ask(qname, A);
    match qname {
        "www.example.net." => assert_eq!(addresses(&outcome), ["203.0.113.80"]),
        _ => assert_eq!(outcome.rcode, ResponseCode::NXDomain),
    }
}

#[test]
fn each_server_sees_its_own_client_cookie_and_gets_its_server_cookie_back() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, gives);
    finds(&mut net, "www.example.net.");
    let first = last(&net);
    assert_eq!(cookie(&first).unwrap().len(), 8);
    let mut to_net = net.log.iter().filter(|query| query.server == address(NET));
    assert_ne!(client(to_net.next().unwrap()), client(&first));
    finds(&mut net, "a.example.net.");
    let expected = [client(&first), SERVER_COOKIE.to_vec()].concat();
    assert_eq!(cookie(&last(&net)), Some(expected));
    assert_eq!(tcp_count(&net), 0);
    // An hour later the server need not give one any more.
    net.pass(3_600_000);
    finds(&mut net, "b.example.net.");
    assert_eq!(cookie(&last(&net)), Some(client(&first)));
}

#[test]
fn reply_with_another_cookie_is_counted_and_waiting_goes_on() {
    for data in [&b"01234567"[..], &[0; 24], b"short", &[0; 12], &[0; 41]] {
        let mut net = Net::new();
        forge(&mut net, |request| with_cookie(forged(request), data));
        finds(&mut net, "www.example.net.");
        assert!(net.resolver.statistics().mismatches_cookie > 0);
        assert_eq!(tcp_count(&net), 0, "{data:?}");
    }
}

#[test]
fn reply_without_cookie_of_a_server_that_gives_them_is_not_believed_over_udp() {
    let refused = |request: &Request| {
        let mut reply = respond(&[], &request.message);
        reply.metadata.response_code = ResponseCode::FormErr;
        reply.edns = None;
        reply
    };
    for forger in [forged, refused] {
        let mut net = Net::new();
        net.behave(EXAMPLE_NET, gives);
        finds(&mut net, "a.example.net.");
        forge(&mut net, forger);
        finds(&mut net, "www.example.net.");
        assert!(net.resolver.statistics().mismatches_cookie > 0);
        assert!(tcp_count(&net) > 0, "TCP told the truth");
        assert!(last(&net).message.edns.is_some());
        net.behave(EXAMPLE_NET, gives);
        finds(&mut net, "b.example.net.");
        assert_eq!(cookie(&last(&net)).unwrap().len(), 24, "still expected");
    }
}

#[test]
fn server_that_gives_cookies_no_more_is_recognised_by_tcp() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, gives);
    finds(&mut net, "a.example.net.");
    net.heal(EXAMPLE_NET);
    finds(&mut net, "www.example.net.");
    let before = tcp_count(&net);
    assert!(before > 0);
    finds(&mut net, "b.example.net.");
    assert_eq!(tcp_count(&net), before);
}

#[test]
fn bad_cookie_is_repeated_with_the_new_one_over_udp() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, |request, zones| {
        let mut reply = give(request, zones);
        if cookie(request).is_none_or(|data| data.len() == 8) {
            reply.answers.clear();
            reply.metadata.response_code = ResponseCode::BADCOOKIE;
        }
        Action::Message(Box::new(reply))
    });
    finds(&mut net, "www.example.net.");
    assert_eq!(net.resolver.statistics().bad_cookies, 1);
    assert_eq!(tcp_count(&net), 0);
    assert_eq!(cookie(&last(&net)).unwrap().len(), 24);
}

#[test]
fn server_that_likes_no_cookie_is_asked_by_tcp() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, |request, zones| {
        let mut reply = give(request, zones);
        if request.transport == Transport::Udp {
            reply.answers.clear();
            reply.metadata.response_code = ResponseCode::BADCOOKIE;
        }
        Action::Message(Box::new(reply))
    });
    finds(&mut net, "www.example.net.");
    assert_eq!(net.resolver.statistics().bad_cookies, 2);
    assert_eq!(tcp_count(&net), 1);
}

#[test]
fn server_that_chokes_on_cookies_is_asked_without_them_but_with_edns() {
    for rcode in [Some(ResponseCode::FormErr), None] {
        let mut net = Net::new();
        net.behave(EXAMPLE_NET, move |request, zones| {
            match (cookie(request), rcode) {
                (None, _) => Action::Serve,
                (Some(_), None) => Action::Silence,
                (Some(_), Some(rcode)) => {
                    let mut reply = respond(zones, &request.message);
                    reply.answers.clear();
                    reply.edns = None;
                    reply.metadata.response_code = rcode;
                    Action::Message(Box::new(reply))
                }
            }
        });
        finds(&mut net, "www.example.net.");
        let sent = last(&net);
        assert!(sent.message.edns.unwrap().flags().dnssec_ok, "{rcode:?}");
        let before = to_example(&net).len();
        finds(&mut net, "a.example.net.");
        assert_eq!(to_example(&net).len(), before + 1, "it is remembered");
        net.pass(901_000);
        finds(&mut net, "b.example.net.");
        assert!(to_example(&net).len() > before + 2, "and tried again");
    }
}

#[test]
fn server_that_gave_cookies_and_then_chokes_on_them_is_asked_without() {
    let mut net = Net::new();
    let chokes = Rc::new(Cell::new(false));
    let sees = Rc::clone(&chokes);
    net.behave(EXAMPLE_NET, move |request, zones| {
        let mut reply = give(request, zones);
        if sees.get() && cookie(request).is_some() {
            reply.answers.clear();
            reply.metadata.response_code = ResponseCode::FormErr;
        }
        Action::Message(Box::new(reply))
    });
    finds(&mut net, "a.example.net.");
    chokes.set(true);
    finds(&mut net, "www.example.net.");
    assert_eq!(cookie(&last(&net)), None);
    assert!(last(&net).message.edns.is_some());
}

#[test]
fn without_the_setting_no_query_has_a_cookie() {
    let mut net = Net::with(Config {
        upstream_cookies: false,
        ..config()
    });
    net.behave(EXAMPLE_NET, gives);
    finds(&mut net, "www.example.net.");
    assert!(net.log.iter().all(|request| cookie(request).is_none()));
    assert!(net.log.iter().all(|request| request.message.edns.is_some()));
}

#[test]
fn new_seed_means_new_cookies() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, gives);
    finds(&mut net, "a.example.net.");
    let before = client(&last(&net));
    net.resolver.reseed([7; 32]);
    finds(&mut net, "www.example.net.");
    let after = cookie(&last(&net)).unwrap();
    assert_eq!(after.len(), 8, "the server's was for the old one");
    assert_ne!(after, before);
    assert_eq!(tcp_count(&net), 0);
}
