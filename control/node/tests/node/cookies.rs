//! DNS cookies (RFC 7873, RFC 9018) and the limit on responses, on control's own sockets and in what
//! it sends through workers.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use guard::{Cookies, Secrets, Standing};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsOption;
use wire::query::Query;

use crate::common::{Node, PATIENCE, data, query, rcode, with_edns};
use crate::dataplane::both;
use crate::resolving::Upstream;

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";
const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const SECRETS: Secrets = Secrets {
    current: 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf_u128.to_be_bytes(),
    previous: None,
};
const CLIENT_COOKIE: &[u8] = b"client-c";

fn with_cookie(message: Message, cookie: &[u8]) -> Message {
    let mut message = with_edns(message, 1232);
    let edns = message.edns.as_mut().unwrap();
    edns.options_mut()
        .insert(EdnsOption::Unknown(10, cookie.to_vec()));
    message
}

fn www(cookie: &[u8]) -> Message {
    with_cookie(query("www.example.com.", RecordType::A), cookie)
}

/// Data of the COOKIE option of a response.
fn cookie_of(message: &Message) -> Option<Vec<u8>> {
    let option = message.edns.as_ref()?.option(10.into())?;
    Some(Vec::<u8>::try_from(option).unwrap())
}

/// The 24 bytes that a response to [`CLIENT_COOKIE`] has to carry.
fn learned(message: &Message) -> Vec<u8> {
    let cookie = cookie_of(message).expect("a response to a cookie carries one");
    assert_eq!((&cookie[..8], cookie.len()), (CLIENT_COOKIE, 24));
    cookie
}

/// What a server with these secrets makes of a COOKIE option.
fn standing(secrets: Secrets, cookie: &[u8], client: IpAddr) -> Standing {
    let message = www(cookie).to_vec().unwrap();
    let mut query = Query::parse(&message).unwrap();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let unix_secs = u32::try_from(unix.as_secs() % (1 << 32)).unwrap();
    Cookies::new(secrets).check(&mut query, &message, client, unix_secs)
}

fn standing_metric(node: &Node, standing: &str) -> u64 {
    let sample = format!("nexus_control_cookies_total{{standing=\"{standing}\"}}");
    node.metric(&sample).unwrap()
}

#[test]
fn kernel_sockets_give_a_cookie_and_take_it_back_over_udp_and_tcp() {
    let node = Node::start(&format!("{ZONES}\nresolver, cookies: {{secret: {SECRET}}}"));
    let answer = node.ask(&www(CLIENT_COOKIE));
    assert_eq!(data(&answer), ["192.0.2.1"]);
    let cookie = learned(&answer);
    let client = IpAddr::V4(node.address);
    assert_eq!(standing(SECRETS, &cookie, client), Standing::Valid);
    assert_eq!(cookie_of(&node.ask(&www(&cookie))), Some(cookie.clone()));
    assert_eq!(learned(&node.tcp().ask(&www(CLIENT_COOKIE))).len(), 24);
    let stranger = Ipv4Addr::LOCALHOST.into();
    assert_eq!(standing(SECRETS, &cookie, stranger), Standing::Invalid);

    let forged = node.ask(&www(&[CLIENT_COOKIE, &[1; 16]].concat()));
    assert_eq!(data(&forged), ["192.0.2.1"], "not required");
    assert_ne!(learned(&forged)[8..], [1; 16]);
    assert_eq!(standing_metric(&node, "client_only"), 2);
    assert_eq!(standing_metric(&node, "invalid"), 1);
    assert_eq!(standing_metric(&node, "valid"), 1);
}

#[test]
fn every_kind_of_answer_carries_the_cookie_and_no_other_query_gets_one() {
    let upstream = Upstream::start();
    let node = Node::start(&format!(
        "{ZONES}\n{}\nresolver, allow: [127.0.0.0/8]",
        upstream.forward()
    ));
    for (name, rtype, code) in [
        ("no.example.com.", RecordType::A, ResponseCode::NXDomain),
        ("www.example.com.", RecordType::AAAA, ResponseCode::NoError),
        ("example.com.", RecordType::AXFR, ResponseCode::Refused),
    ] {
        let answer = node.ask(&with_cookie(query(name, rtype), CLIENT_COOKIE));
        assert_eq!(rcode(&answer), code, "{name} {rtype}");
        learned(&answer);
    }
    let long = node.ask(&with_cookie(
        query("big.example.com.", RecordType::TXT),
        CLIENT_COOKIE,
    ));
    assert!(!long.metadata.truncation);
    learned(&long);
    let plain = node.ask(&with_edns(query("www.example.com.", RecordType::A), 1232));
    assert_eq!(cookie_of(&plain), None);

    let question = with_cookie(query("www.example.net.", RecordType::A), CLIENT_COOKIE);
    let resolved = std::thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&question));
        upstream.next().answer_a([198, 51, 100, 1]);
        asking.join().unwrap()
    });
    assert_eq!(data(&resolved), ["198.51.100.1"]);
    learned(&resolved);
}

#[test]
fn query_for_a_cookie_alone_is_answered_and_a_malformed_cookie_is_not() {
    let node = Node::start(ZONES);
    let alone = with_cookie(Message::query(), CLIENT_COOKIE);
    let answer = node.ask(&alone);
    assert_eq!(rcode(&answer), ResponseCode::NoError);
    assert!(answer.queries.is_empty());
    let cookie = learned(&answer);
    let again = node.ask(&with_cookie(Message::query(), &cookie));
    assert_eq!(cookie_of(&again), Some(cookie));
    let alone = with_cookie(Message::query(), &[7; 24]);
    assert_eq!(u16::from(rcode(&node.ask(&alone))), 23, "RFC 7873 §5.4");
    let alone = with_edns(Message::query(), 1232);
    assert_eq!(rcode(&node.ask(&alone)), ResponseCode::FormErr);
    for length in [0, 7, 9, 15, 41] {
        let malformed = node.ask(&www(&vec![1; length]));
        assert_eq!(rcode(&malformed), ResponseCode::FormErr, "{length} bytes");
    }
}

#[test]
fn required_cookie_is_demanded_over_udp_alone() {
    let node = Node::start(&format!("{ZONES}\nresolver, cookies: {{require: true}}"));
    let refused = node.ask(&www(CLIENT_COOKIE));
    assert_eq!(u16::from(rcode(&refused)), 23);
    assert!(refused.answers.is_empty());
    let cookie = learned(&refused);
    assert_eq!(data(&node.ask(&www(&cookie))), ["192.0.2.1"]);
    assert_eq!(data(&node.tcp().ask(&www(CLIENT_COOKIE))), ["192.0.2.1"]);
    let plain = node.ask(&query("www.example.com.", RecordType::A));
    assert_eq!(data(&plain), ["192.0.2.1"], "no COOKIE option");
}

#[test]
fn cookies_that_are_turned_off_are_ignored() {
    let node = Node::start(&format!("{ZONES}\nresolver, cookies: {{enabled: false}}"));
    let answer = node.ask(&www(CLIENT_COOKIE));
    assert_eq!((data(&answer).len(), cookie_of(&answer)), (1, None));
    let alone = with_cookie(Message::query(), CLIENT_COOKIE);
    assert_eq!(rcode(&node.ask(&alone)), ResponseCode::FormErr);
}

#[test]
fn planes_take_each_others_cookies_and_answers_through_workers_carry_them() {
    let (node, mut dataplane) = both(ZONES);
    let secrets = dataplane.region.cookie_secrets();
    let returned = dataplane.ask(&www(CLIENT_COOKIE));
    let cookie = learned(&returned.message);
    let client = Ipv4Addr::LOCALHOST.into();
    assert_eq!(standing(secrets, &cookie, client), Standing::Valid);
    assert!(returned.meta.is_some(), "the worker may keep all but it");
    assert!(dataplane.table_has(&query("www.example.com.", RecordType::A)));

    let own = IpAddr::V4(node.address);
    let cookie = learned(&node.ask(&www(CLIENT_COOKIE)));
    assert_eq!(standing(secrets, &cookie, own), Standing::Valid);
}

#[test]
fn cookie_from_before_a_dataplane_came_still_holds() {
    let mut node = Node::start(&format!("{ZONES}\nresolver, cookies: {{require: true}}"));
    let cookie = learned(&node.ask(&www(CLIENT_COOKIE)));
    let dataplane = crate::dataplane::Dataplane::start(&node.path("dataplane.sock"), Vec::new());
    dataplane.wait_for_control();
    let client = IpAddr::V4(node.address);
    // The event comes when control was welcomed, which is before it has taken everything over.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = node.ask(&www(&cookie));
        assert_eq!(data(&answer), ["192.0.2.1"]);
        let secrets = dataplane.region.cookie_secrets();
        if standing(secrets, &learned(&answer), client) == Standing::Valid {
            break;
        }
        assert!(Instant::now() < deadline, "its secret is not taken over");
    }
    node.kill();
}

#[test]
fn secret_that_cannot_be_read_is_refused_with_its_file() {
    for (file, content, expected) in [
        ("missing", None, "cannot be opened"),
        ("short", Some("0011"), "expected 32 hexadecimal digits"),
    ] {
        let node = Node::new(&format!(
            "resolver, cookies: {{secret: \"{{dir}}/{file}\"}}"
        ));
        if let Some(content) = content {
            node.write(file, content);
        }
        let output = node.command().output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr);
        let path = node.path(file);
        assert!(
            text.contains(&format!("resolver.cookies: {}", path.display())),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
    }
}

/// Responses over the limit: each is cut, so that no test waits for what is dropped.
const CUT: &str = "dataplane, response_rate_limit: {per_second: 1, slip: 1}";
const DROP: &str = "dataplane, response_rate_limit: {per_second: 1, slip: 0}";
const BURST: usize = 20;

/// How many of a burst may come whole at one a second.
fn whole_max(since: Instant) -> usize {
    2 + usize::try_from(since.elapsed().as_secs()).unwrap()
}

#[test]
fn answers_over_the_limit_are_cut_and_the_client_comes_by_tcp_or_with_a_cookie() {
    let node = Node::start(&format!("{ZONES}\n{CUT}"));
    let cookie = learned(&node.ask(&www(CLIENT_COOKIE)));
    let since = Instant::now();
    let plain = query("www.example.com.", RecordType::A);
    let answers: Vec<_> = (0..BURST).map(|_| node.ask(&plain)).collect();
    let (cut, whole): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.metadata.truncation);
    assert!(whole.len() <= whole_max(since), "{} whole", whole.len());
    assert!(cut.iter().all(|answer| data(answer).is_empty()));
    let slipped = node.metric("nexus_control_slipped_answers_total");
    assert_eq!(slipped, Some(cut.len() as u64));
    for _ in 0..BURST {
        assert_eq!(data(&node.ask(&www(&cookie))), ["192.0.2.1"]);
        assert_eq!(data(&node.tcp().ask(&plain)), ["192.0.2.1"]);
    }
}

#[test]
fn answers_to_queries_for_a_cookie_alone_count_as_errors_and_are_never_cut() {
    let node = Node::start(&format!("{ZONES}\n{CUT}"));
    for _ in 0..BURST {
        let answer = node.ask(&with_cookie(Message::query(), CLIENT_COOKIE));
        assert!(answer.queries.is_empty() && !answer.metadata.truncation);
        learned(&answer);
    }
    let slipped = node.metric("nexus_control_slipped_answers_total").unwrap();
    assert!(slipped > 0);
}

#[test]
fn answers_over_the_limit_are_dropped_without_slip() {
    let node = Node::start(&format!("{ZONES}\n{DROP}"));
    let cookie = learned(&node.ask(&www(CLIENT_COOKIE)));
    let since = Instant::now();
    let socket = UdpSocket::bind((node.address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let send = |message: &Message| {
        socket
            .send_to(&message.to_vec().unwrap(), node.dns())
            .unwrap();
    };
    for _ in 0..BURST {
        send(&query("www.example.com.", RecordType::A));
    }
    // Answered whatever the limit, and last.
    send(&www(&cookie));
    let mut whole = 0;
    let mut buffer = [0; 1232];
    loop {
        let bytes = socket.recv(&mut buffer).unwrap();
        let answer = Message::from_vec(&buffer[..bytes]).unwrap();
        assert_eq!(data(&answer), ["192.0.2.1"]);
        if cookie_of(&answer).is_some() {
            break;
        }
        whole += 1;
    }
    assert!(whole <= whole_max(since), "{whole} whole");
    let dropped = node.metric("nexus_control_drops_total{reason=\"response_limited\"}");
    assert_eq!(dropped, Some((BURST - whole) as u64));
}

#[test]
fn answers_through_workers_count_too_and_are_kept_for_others_all_the_same() {
    let upstream = Upstream::start();
    let (_node, mut dataplane) = both(&format!(
        "{ZONES}\n{CUT}\n{}\nresolver, allow: [127.0.0.0/8]",
        upstream.forward()
    ));
    let since = Instant::now();
    let mut whole = 0;
    for host in 0..BURST {
        let question = query(&format!("h{host}.wild.example.com."), RecordType::A);
        let returned = dataplane.ask(&question);
        if returned.message.metadata.truncation {
            assert!(data(&returned.message).is_empty() && returned.meta.is_none());
            // In the table once the next punt is answered.
            dataplane.ask(&question);
            assert!(dataplane.table_has(&question));
        } else {
            whole += 1;
        }
    }
    assert!(whole <= whole_max(since), "{whole} whole");

    for host in 0..BURST {
        let question = query(&format!("h{host}.example.net."), RecordType::A);
        dataplane.push(&question.to_vec().unwrap());
        upstream.next().answer_a([198, 51, 100, 1]);
        let returned = dataplane.returned();
        if returned.message.metadata.truncation {
            assert!(data(&returned.message).is_empty() && returned.meta.is_none());
        } else {
            whole += 1;
        }
    }
    assert!(whole <= whole_max(since), "{whole} whole");
}

#[test]
fn resolved_answers_over_the_limit_are_cut_on_kernel_sockets_too() {
    let upstream = Upstream::start();
    let node = Node::start(&format!(
        "{CUT}\n{}\nresolver, allow: [127.0.0.0/8]",
        upstream.forward()
    ));
    let since = Instant::now();
    let mut whole = 0;
    for host in 0..BURST {
        let question = query(&format!("h{host}.example.net."), RecordType::A);
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| node.ask(&question));
            upstream.next().answer_a([198, 51, 100, 1]);
            asking.join().unwrap()
        });
        whole += usize::from(!answer.metadata.truncation);
        assert_eq!(
            data(&answer).len(),
            usize::from(!answer.metadata.truncation)
        );
    }
    assert!(whole <= whole_max(since), "{whole} whole");
}

#[test]
fn exempt_clients_and_other_kinds_of_answer_are_not_limited() {
    let exempt = CUT.replace('}', ", exempt: [127.0.0.0/8]}");
    let node = Node::start(&format!("{ZONES}\n{exempt}"));
    for _ in 0..BURST {
        let answer = node.ask(&query("www.example.com.", RecordType::A));
        assert_eq!(data(&answer), ["192.0.2.1"]);
    }
    let node = Node::start(&format!("{ZONES}\n{CUT}"));
    for _ in 0..BURST {
        node.ask(&query("no.example.com.", RecordType::A));
    }
    let answer = node.ask(&query("www.example.com.", RecordType::A));
    assert_eq!(data(&answer), ["192.0.2.1"], "denials count apart");
}
