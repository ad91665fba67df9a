//! Questions that go to another server, which each test scripts.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use node::admin::{LookupSource, Request, Response, UpstreamStatus};

use crate::common::{
    Node, PATIENCE, ZONE, data, extended_error, frame, own_address, query, rcode, wait_until,
    with_edns,
};

/// One question that reached the scripted server, and the way to answer it.
pub(crate) struct Heard {
    pub(crate) question: Message,
    pub(crate) is_tcp: bool,
    reply: Box<dyn FnOnce(Vec<u8>) + Send>,
}

impl Heard {
    /// An empty NOERROR response to the question.
    pub(crate) fn response(&self) -> Message {
        let mut response = Message::new(
            self.question.metadata.id,
            MessageType::Response,
            OpCode::Query,
        );
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        response.add_query(self.question.queries[0].clone());
        response
    }

    pub(crate) fn answer(self, response: &Message) {
        (self.reply)(response.to_vec().unwrap());
    }

    /// Answers with one address.
    pub(crate) fn answer_a(self, address: [u8; 4]) {
        let mut response = self.response();
        let name = self.question.queries[0].name().clone();
        response.add_answer(Record::from_rdata(
            name,
            300,
            RData::A(A::from(Ipv4Addr::from(address))),
        ));
        self.answer(&response);
    }
}

/// A server on a loopback address of its own, UDP and TCP.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heard: mpsc::Receiver<Heard>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let address = SocketAddr::from((own_address(), 5300));
        let (sender, heard) = mpsc::channel();
        let udp = UdpSocket::bind(address).unwrap();
        let tcp = TcpListener::bind(address).unwrap();
        let sender_tcp = sender.clone();
        thread::spawn(move || hear_udp(&udp, &sender));
        thread::spawn(move || hear_tcp(&tcp, &sender_tcp));
        Self { address, heard }
    }

    pub(crate) fn next(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).expect("no question came")
    }

    /// Answers with an address where one is asked for, and with nothing otherwise, without end.
    pub(crate) fn answer_addresses(&self) {
        while let Ok(heard) = self.heard.recv() {
            if heard.question.queries[0].query_type() == RecordType::A {
                heard.answer_a([192, 0, 2, 80]);
            } else {
                let response = heard.response();
                heard.answer(&response);
            }
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.heard.try_recv().is_err()
    }

    /// The line of configuration that forwards here.
    pub(crate) fn forward(&self) -> String {
        format!("resolver, forward: [\"{}\"]", self.address)
    }
}

fn hear_udp(socket: &UdpSocket, heard: &mpsc::Sender<Heard>) {
    let mut buffer = [0; 4096];
    while let Ok((bytes, client)) = socket.recv_from(&mut buffer) {
        let reply = socket.try_clone().unwrap();
        let heard_now = Heard {
            question: Message::from_vec(&buffer[..bytes]).unwrap(),
            is_tcp: false,
            reply: Box::new(move |message| drop(reply.send_to(&message, client))),
        };
        if heard.send(heard_now).is_err() {
            return;
        }
    }
}

fn hear_tcp(listener: &TcpListener, heard: &mpsc::Sender<Heard>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            continue;
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        let heard_now = Heard {
            question: Message::from_vec(&message).unwrap(),
            is_tcp: true,
            reply: Box::new(move |message| drop(stream.write_all(&frame(&message)))),
        };
        if heard.send(heard_now).is_err() {
            return;
        }
    }
}

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";

/// Waits until so many questions wait inside the node.
fn wait_for_questions(node: &Node, count: u64) {
    loop {
        let Response::Status(status) = node.admin_ok(&Request::Status {}) else {
            panic!()
        };
        if status.control.resolver.queries_in_flight == count {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn a_forwarded_answer_comes_back_and_is_kept() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    let question = with_edns(query("www.example.net.", RecordType::A), 1232);
    let first = thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&question));
        let heard = upstream.next();
        assert!(heard.question.metadata.recursion_desired && !heard.is_tcp);
        heard.answer_a([198, 51, 100, 1]);
        asking.join().unwrap()
    });
    assert_eq!(
        (data(&first), rcode(&first)),
        (vec!["198.51.100.1".to_owned()], ResponseCode::NoError)
    );
    assert!(first.metadata.recursion_available && !first.metadata.authoritative);
    let again = node.ask(&question);
    assert_eq!(data(&again), data(&first));
    assert!(again.answers[0].ttl <= 300);
    assert!(upstream.is_quiet());
    // And now it may be had without RD.
    let mut without = query("www.example.net.", RecordType::A);
    without.metadata.recursion_desired = false;
    assert_eq!(data(&node.ask(&without)), data(&first));
}

#[test]
fn an_answer_in_memory_is_given_until_it_is_flushed() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    let from_memory = || node.metric("nexus_control_answers_total{source=\"memory\"}");
    let ask = |heard: bool, address: [u8; 4]| {
        thread::scope(|scope| {
            let asking = scope.spawn(|| node.ask(&query("www.example.net.", RecordType::A)));
            if heard {
                upstream.next().answer_a(address);
            }
            data(&asking.join().unwrap())
        })
    };
    assert_eq!(ask(true, [198, 51, 100, 1]), ["198.51.100.1"]);
    assert_eq!(from_memory(), Some(0));
    assert_eq!(ask(false, [0; 4]), ["198.51.100.1"]);
    assert_eq!(from_memory(), Some(1));
    let flush = Request::CacheFlush {
        name: Some("example.net.".to_owned()),
        subtree: true,
    };
    let Response::CacheFlushed { entries, records } = node.admin_ok(&flush) else {
        panic!()
    };
    assert!(entries == 1 && records > 0, "{entries}, {records}");
    assert_eq!(ask(true, [198, 51, 100, 2]), ["198.51.100.2"]);
}

#[test]
fn equal_questions_of_many_clients_go_out_once() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    let answers = thread::scope(|scope| {
        let asking: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| node.ask(&query("WWW.example.net.", RecordType::A))))
            .collect();
        wait_for_questions(&node, 10);
        upstream.next().answer_a([198, 51, 100, 2]);
        asking
            .into_iter()
            .map(|asking| asking.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(
        answers
            .iter()
            .all(|answer| data(answer) == ["198.51.100.2"])
    );
    assert!(upstream.is_quiet());
}

#[test]
fn on_one_connection_a_slow_answer_does_not_hold_up_a_quick_one() {
    let upstream = Upstream::start();
    let node = Node::start(&format!("{ZONES}\n{}", upstream.forward()));
    let mut tcp = node.tcp();
    let slow = query("www.example.net.", RecordType::A);
    let quick = query("www.example.com.", RecordType::A);
    tcp.send(&slow);
    let heard = upstream.next();
    assert_eq!(tcp.ask(&quick).metadata.id, quick.metadata.id);
    heard.answer_a([198, 51, 100, 3]);
    let answer = tcp.receive();
    assert_eq!(
        (answer.metadata.id, data(&answer)),
        (slow.metadata.id, vec!["198.51.100.3".to_owned()])
    );
}

#[test]
fn a_client_that_waits_is_not_idle() {
    let upstream = Upstream::start();
    let node = Node::start(&format!(
        "{}\nresolver, tcp: {{idle_ms: 100}}",
        upstream.forward()
    ));
    let mut idle = node.tcp();
    let mut waiting = node.tcp();
    waiting.send(&query("www.example.net.", RecordType::A));
    let heard = upstream.next();
    // By now the limit has passed for both.
    assert!(idle.try_receive().is_none());
    heard.answer_a([198, 51, 100, 4]);
    assert_eq!(data(&waiting.receive()), ["198.51.100.4"]);
}

#[test]
fn a_truncated_reply_is_fetched_over_tcp() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&query("www.example.net.", RecordType::A)));
        let heard = upstream.next();
        let mut truncated = heard.response();
        truncated.metadata.truncation = true;
        heard.answer(&truncated);
        let heard = upstream.next();
        assert!(heard.is_tcp);
        heard.answer_a([198, 51, 100, 5]);
        asking.join().unwrap()
    });
    assert_eq!(data(&answer), ["198.51.100.5"]);
}

#[test]
fn an_alias_that_leads_out_of_an_own_zone_is_followed() {
    let upstream = Upstream::start();
    let node = Node::start(&format!("{ZONES}\n{}", upstream.forward()));
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&query("out.example.com.", RecordType::A)));
        let heard = upstream.next();
        assert!(
            heard.question.queries[0]
                .name()
                .to_string()
                .eq_ignore_ascii_case("www.example.net.")
        );
        let mut response = heard.response();
        let name = heard.question.queries[0].name().clone();
        let host = Name::from_ascii("host.example.net.").unwrap();
        response.add_answer(Record::from_rdata(
            name,
            300,
            RData::CNAME(CNAME(host.clone())),
        ));
        response.add_answer(Record::from_rdata(
            host,
            300,
            RData::A(A::new(198, 51, 100, 6)),
        ));
        heard.answer(&response);
        asking.join().unwrap()
    });
    assert_eq!(
        data(&answer),
        ["www.example.net.", "host.example.net.", "198.51.100.6"]
    );
    assert!(answer.metadata.authoritative);
}

#[test]
fn a_name_that_an_own_zone_delegates_is_resolved_for_those_who_want_recursion() {
    let upstream = Upstream::start();
    let node = Node::start(&format!("{ZONES}\n{}", upstream.forward()));
    let mut question = query("a.sub.example.com.", RecordType::A);
    question.metadata.recursion_desired = false;
    let referral = node.ask(&question);
    assert!(referral.answers.is_empty() && referral.authorities.len() == 1);
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&query("a.sub.example.com.", RecordType::A)));
        upstream.next().answer_a([198, 51, 100, 7]);
        asking.join().unwrap()
    });
    assert_eq!(data(&answer), ["198.51.100.7"]);
}

/// Asks for a name that only the scripted server knows.
fn ask_through(node: &Node, upstream: &Upstream, name: &str, address: [u8; 4]) {
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&query(name, RecordType::A)));
        upstream.next().answer_a(address);
        asking.join().unwrap()
    });
    assert_eq!(data(&answer), [Ipv4Addr::from(address).to_string()]);
}

#[test]
fn what_was_resolved_below_a_changed_zone_that_delegates_is_resolved_anew() {
    let upstream = Upstream::start();
    let node = Node::start(&format!("{ZONES}\n{}", upstream.forward()));
    ask_through(&node, &upstream, "a.sub.example.com.", [198, 51, 100, 1]);
    ask_through(&node, &upstream, "a.example.net.", [198, 51, 100, 2]);
    node.write("example.com.zone", &ZONE.replace("ns.sub", "ns2.sub"));
    node.admin_ok(&Request::Reload {});
    ask_through(&node, &upstream, "a.sub.example.com.", [198, 51, 100, 3]);
    // Elsewhere nothing was forgotten.
    let kept = node.ask(&query("a.example.net.", RecordType::A));
    assert_eq!(data(&kept), ["198.51.100.2"]);
    assert!(upstream.is_quiet());
}

#[test]
fn what_was_resolved_before_a_zone_came_is_forgotten_when_it_goes() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    ask_through(&node, &upstream, "www.example.com.", [198, 51, 100, 1]);
    node.configure(&format!("{ZONES}\n{}", upstream.forward()));
    node.admin_ok(&Request::Reload {});
    let own = node.ask(&query("www.example.com.", RecordType::A));
    assert_eq!(data(&own), ["192.0.2.1"]);
    node.configure(&upstream.forward());
    node.admin_ok(&Request::Reload {});
    ask_through(&node, &upstream, "www.example.com.", [198, 51, 100, 2]);
}

#[test]
fn one_client_takes_an_eighth_of_all_places_and_the_others_are_served() {
    let upstream = Upstream::start();
    let node = Node::start(&format!(
        "{}\nresolver, questions_max: 16",
        upstream.forward()
    ));
    let question = |name: &str| with_edns(query(name, RecordType::A), 1232);
    ask_through(&node, &upstream, "known.example.net.", [198, 51, 100, 1]);
    // Connections over loopback come from this address, too.
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let send = |name: &str| {
        client
            .send_to(&question(name).to_vec().unwrap(), node.dns())
            .unwrap()
    };
    let receive = || {
        let mut buffer = [0; 512];
        let bytes = client.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..bytes]).unwrap()
    };
    send("one.example.net.");
    send("two.example.net.");
    wait_for_questions(&node, 2);
    send("three.example.net.");
    for refused in [receive(), node.tcp().ask(&question("three.example.net."))] {
        assert_eq!(
            (rcode(&refused), extended_error(&refused)),
            (ResponseCode::ServFail, Some(14))
        );
    }
    assert_eq!(node.metric("nexus_resolver_client_limited_total"), Some(2));
    // What is known costs no place, and others have their own.
    send("known.example.net.");
    assert_eq!(data(&receive()), ["198.51.100.1"]);
    let answer = answer_all_while(&upstream, || node.ask(&question("four.example.net.")));
    assert_eq!(data(&answer), ["198.51.100.2"]);
    // A place given back can be taken again.
    assert_eq!(data(&receive()), ["198.51.100.2"]);
    assert_eq!(data(&receive()), ["198.51.100.2"]);
    let answer = answer_all_while(&upstream, || node.tcp().ask(&question("five.example.net.")));
    assert_eq!(data(&answer), ["198.51.100.2"]);
}

/// Answers whatever comes, questions that are repeated too, until `asking` is done.
fn answer_all_while(upstream: &Upstream, asking: impl FnOnce() -> Message + Send) -> Message {
    thread::scope(|scope| {
        let asking = scope.spawn(asking);
        while !asking.is_finished() {
            for heard in upstream.heard.try_iter() {
                heard.answer_a([198, 51, 100, 2]);
            }
        }
        asking.join().unwrap()
    })
}

#[test]
fn a_server_that_is_not_there_means_servfail_with_a_reason() {
    let gone = SocketAddr::from((own_address(), 5300));
    let node = Node::start(&format!(
        "resolver, forward: [\"{gone}\"], timeouts: {{question_ms: 2000}}"
    ));
    let answer = node.ask(&with_edns(query("www.example.net.", RecordType::A), 1232));
    assert_eq!(rcode(&answer), ResponseCode::ServFail);
    assert!(extended_error(&answer).is_some());
}

fn forwarder(node: &Node) -> UpstreamStatus {
    let Response::Status(mut status) = node.admin_ok(&Request::Status {}) else {
        panic!()
    };
    assert_eq!(status.control.resolver.upstreams.len(), 1);
    status.control.resolver.upstreams.remove(0)
}

#[test]
fn status_and_metrics_tell_of_a_forwarder_that_answers() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    let fresh = forwarder(&node);
    assert_eq!(
        (fresh.address, fresh.healthy, fresh.round_trip_us),
        (upstream.address, true, None)
    );
    ask_through(&node, &upstream, "www.example.net.", [198, 51, 100, 1]);
    let asked = forwarder(&node);
    assert!(asked.healthy && asked.round_trip_us.is_some(), "{asked:?}");
    let (_, text) = node.http("/metrics");
    assert!(
        text.contains("\nnexus_upstream_round_trip_seconds_count 1\n"),
        "{text}"
    );
    for metric in ["nexus_upstream_healthy", "nexus_upstream_rtt_seconds"] {
        let sample = format!("\n{metric}{{address=\"{}\"}} ", upstream.address);
        assert!(text.contains(&sample), "{text}");
    }
}

#[test]
fn status_and_metrics_tell_of_a_forwarder_that_is_gone() {
    let gone = SocketAddr::from((own_address(), 5300));
    let node = Node::start(&format!("resolver, forward: [\"{gone}\"]"));
    let mut names = 0..;
    wait_until("it is known to be gone", || {
        let name = format!("n{}.example.net.", names.next().unwrap());
        node.ask(&query(&name, RecordType::A));
        !forwarder(&node).healthy
    });
    assert_eq!(forwarder(&node).round_trip_us, None);
    let sample = format!("nexus_upstream_healthy{{address=\"{gone}\"}}");
    assert_eq!(node.metric(&sample), Some(0));
    assert!(
        !node
            .http("/metrics")
            .1
            .contains("nexus_upstream_rtt_seconds")
    );
}

#[test]
fn the_command_line_looks_up_with_every_step_and_flushes() {
    let upstream = Upstream::start();
    let node = Node::start(&format!("{ZONES}\n{}", upstream.forward()));
    let request = |name: &str, trace| Request::Lookup {
        name: name.into(),
        record_type: "A".into(),
        trace,
    };
    let lookup = |name: &str, trace| match node.admin_ok(&request(name, trace)) {
        Response::Lookup(lookup) => lookup,
        other => panic!("{other:?}"),
    };
    let own = lookup("www.example.com", false);
    assert_eq!(
        (own.source, own.answer[0].data.as_str()),
        (LookupSource::Zone, "192.0.2.1")
    );
    let resolved = thread::scope(|scope| {
        let asking = scope.spawn(|| lookup("www.example.net", true));
        upstream.next().answer_a([198, 51, 100, 8]);
        asking.join().unwrap()
    });
    assert_eq!(
        (resolved.source, resolved.rcode.as_str()),
        (LookupSource::Forward, "NOERROR")
    );
    assert!(
        resolved
            .trace
            .iter()
            .any(|step| step.text.contains(&upstream.address.to_string()))
    );
    assert_eq!(lookup("www.example.net", false).source, LookupSource::Cache);
    let flush = Request::CacheFlush {
        name: Some("example.net".into()),
        subtree: true,
    };
    assert!(
        matches!(node.admin_ok(&flush), Response::CacheFlushed { entries: 0, records } if records > 0)
    );
    let again = thread::scope(|scope| {
        let asking = scope.spawn(|| lookup("www.example.net", false));
        upstream.next().answer_a([198, 51, 100, 9]);
        asking.join().unwrap()
    });
    assert_eq!(again.answer[0].data, "198.51.100.9");
}
