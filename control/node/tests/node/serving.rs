//! The real binary answers over UDP and TCP from its zones, and lets nobody hold it up.

use std::io::{Read, Write};

use crate::common::{Node, data, extended_error, frame, query, rcode, with_edns};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";

#[test]
fn a_zone_is_answered_over_udp_and_tcp_alike() {
    let node = Node::start(ZONES);
    let mut tcp = node.tcp();
    for (name, rtype, expected, code) in [
        (
            "www.example.com.",
            RecordType::A,
            vec!["192.0.2.1"],
            ResponseCode::NoError,
        ),
        (
            "WwW.eXample.COM.",
            RecordType::A,
            vec!["192.0.2.1"],
            ResponseCode::NoError,
        ),
        (
            "x.y.wild.example.com.",
            RecordType::A,
            vec!["192.0.2.9"],
            ResponseCode::NoError,
        ),
        (
            "www.example.com.",
            RecordType::AAAA,
            vec![],
            ResponseCode::NoError,
        ),
        (
            "nothing.example.com.",
            RecordType::A,
            vec![],
            ResponseCode::NXDomain,
        ),
    ] {
        let question = query(name, rtype);
        let (udp, tcp) = (node.ask(&question), tcp.ask(&question));
        assert_eq!(udp, tcp, "{name}");
        assert_eq!(
            (data(&udp), rcode(&udp)),
            (expected.iter().map(ToString::to_string).collect(), code)
        );
        assert!(udp.metadata.authoritative);
        assert_eq!(
            udp.queries, question.queries,
            "the client's own spelling comes back"
        );
    }
}

#[test]
fn edns_is_echoed_only_if_the_query_had_it() {
    let node = Node::start(ZONES);
    let plain = query("www.example.com.", RecordType::A);
    assert!(node.ask(&plain).edns.is_none());
    let answer = node.ask(&with_edns(plain, 4096));
    assert_eq!(answer.edns.unwrap().max_payload(), 1232);
}

#[test]
fn an_answer_that_does_not_fit_is_truncated_and_whole_over_tcp() {
    let node = Node::start(ZONES);
    let question = query("big.example.com.", RecordType::TXT);
    let small = node.ask(&question);
    assert!(small.metadata.truncation && small.answers.is_empty());
    let large = node.ask(&with_edns(question.clone(), 1232));
    assert!(!large.metadata.truncation && large.answers.len() == 1);
    let tcp = node.tcp().ask(&question);
    assert!(!tcp.metadata.truncation && tcp.answers.len() == 1);
}

#[test]
fn a_stranger_is_refused_recursion_but_not_the_zones() {
    let node = Node::start(&format!("{ZONES}\nresolver, allow: []"));
    let own = node.ask(&query("www.example.com.", RecordType::A));
    assert_eq!(data(&own), ["192.0.2.1"]);
    let foreign = node.ask(&with_edns(query("www.example.net.", RecordType::A), 1232));
    assert_eq!(rcode(&foreign), ResponseCode::Refused);
    assert_eq!(extended_error(&foreign), Some(18));
    // What leads out of the zone ends at its border.
    let alias = node.ask(&query("out.example.com.", RecordType::A));
    assert_eq!(
        (data(&alias), rcode(&alias)),
        (vec!["www.example.net.".to_owned()], ResponseCode::NoError)
    );
    let referral = node.ask(&query("a.sub.example.com.", RecordType::A));
    assert!(!referral.metadata.authoritative && referral.authorities.len() == 1);
}

#[test]
fn without_rd_nothing_is_resolved() {
    let node = Node::start(ZONES);
    let mut question = with_edns(query("www.example.net.", RecordType::A), 1232);
    question.metadata.recursion_desired = false;
    let answer = node.ask(&question);
    assert_eq!(
        (rcode(&answer), extended_error(&answer)),
        (ResponseCode::Refused, Some(20))
    );
}

#[test]
fn what_is_no_query_gets_the_code_that_the_rfcs_say_or_silence() {
    let node = Node::start(ZONES);
    let mut update = query("example.com.", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(rcode(&node.ask(&update)), ResponseCode::Refused);
    let mut update = query("example.net.", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(rcode(&node.ask(&update)), ResponseCode::NotAuth);
    let mut status = query("example.com.", RecordType::SOA);
    status.metadata.op_code = OpCode::Status;
    assert_eq!(rcode(&node.ask(&status)), ResponseCode::NotImp);
    let mut notify = query("example.com.", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(rcode(&node.ask(&notify)), ResponseCode::NotImp);
    let mut double = query("example.com.", RecordType::SOA);
    double.add_query(double.queries[0].clone());
    assert_eq!(rcode(&node.ask(&double)), ResponseCode::FormErr);
    let mut hesiod = query("example.com.", RecordType::SOA);
    hesiod.queries[0].set_query_class(DNSClass::HS);
    assert_eq!(rcode(&node.ask(&hesiod)), ResponseCode::Refused);

    // A response gets no answer: the next thing that comes is the answer to the query behind it.
    let mut tcp = node.tcp();
    let mut response = query("www.example.com.", RecordType::A);
    response.metadata.message_type = hickory_proto::op::MessageType::Response;
    tcp.send(&response);
    let question = query("www.example.com.", RecordType::A);
    assert_eq!(tcp.ask(&question).metadata.id, question.metadata.id);
}

#[test]
fn chaos_tells_what_the_configuration_says() {
    let node = Node::start("resolver, identity: box-7, version: ''");
    for (name, expected) in [("id.server.", Some("box-7")), ("version.bind.", None)] {
        let mut question = query(name, RecordType::TXT);
        question.queries[0].set_query_class(DNSClass::CH);
        let answer = node.ask(&question);
        assert_eq!(data(&answer).first().map(String::as_str), expected);
    }
}

#[test]
fn many_queries_in_one_segment_are_all_answered() {
    let node = Node::start(ZONES);
    let mut tcp = node.tcp();
    let questions: Vec<Message> = (0..50)
        .map(|index| query(&format!("n{index}.wild.example.com."), RecordType::A))
        .collect();
    let mut bytes = Vec::new();
    for question in &questions {
        bytes.extend(frame(&question.to_vec().unwrap()));
    }
    tcp.0.write_all(&bytes).unwrap();
    let mut open: Vec<u16> = questions
        .iter()
        .map(|question| question.metadata.id)
        .collect();
    for _ in &questions {
        let id = tcp.receive().metadata.id;
        let index = open
            .iter()
            .position(|other| *other == id)
            .expect("an id of ours, once");
        open.remove(index);
    }
}

#[test]
fn a_query_cut_into_single_bytes_is_answered() {
    let node = Node::start(ZONES);
    let mut tcp = node.tcp();
    tcp.0.set_nodelay(true).unwrap();
    for byte in frame(&query("www.example.com.", RecordType::A).to_vec().unwrap()) {
        tcp.0.write_all(&[byte]).unwrap();
    }
    assert_eq!(data(&tcp.receive()), ["192.0.2.1"]);
}

#[test]
fn an_idle_connection_is_closed_and_one_that_ends_its_side_gets_its_answers() {
    let node = Node::start(&format!("{ZONES}\nresolver, tcp: {{idle_ms: 100}}"));
    let mut idle = node.tcp();
    assert!(idle.try_receive().is_none());
    // Half a query is no reason to wait longer.
    let mut half = node.tcp();
    half.0.write_all(&[0, 30, 1]).unwrap();
    assert!(half.try_receive().is_none());
    let mut ending = node.tcp();
    ending.send(&query("www.example.com.", RecordType::A));
    ending.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(data(&ending.receive()), ["192.0.2.1"]);
    assert!(ending.try_receive().is_none());
}

#[test]
fn hostile_connections_are_closed_or_told_off_and_harm_nobody() {
    let node = Node::start(&format!("{ZONES}\nresolver, tcp: {{idle_ms: 500}}"));
    for bytes in [
        vec![0, 0],
        vec![0xff, 0xff, 1, 2, 3],
        vec![0, 1, 7],
        frame(&[0xff; 40]),
        frame(&[0; 12]),
        vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ] {
        let mut tcp = node.tcp();
        tcp.0.write_all(&bytes).unwrap();
        // Whatever comes before the end is an error message of at most a header and a question.
        let mut answer = Vec::new();
        let _ = tcp.0.read_to_end(&mut answer);
        assert!(answer.len() <= 64, "{bytes:?}: {} bytes", answer.len());
    }
    assert_eq!(
        data(&node.ask(&query("www.example.com.", RecordType::A))),
        ["192.0.2.1"]
    );
}

#[test]
fn connections_over_the_limit_are_closed_and_others_go_on() {
    let node = Node::start(&format!(
        "{ZONES}\nresolver, tcp: {{connections_max: 3, connections_per_client_max: 2}}"
    ));
    let question = query("www.example.com.", RecordType::A);
    let (mut first, mut second) = (node.tcp(), node.tcp());
    assert_eq!(data(&first.ask(&question)), ["192.0.2.1"]);
    assert_eq!(data(&second.ask(&question)), ["192.0.2.1"]);
    assert!(node.tcp().try_receive().is_none());
    assert_eq!(data(&first.ask(&question)), ["192.0.2.1"]);
}

#[test]
fn a_reader_that_takes_nothing_is_closed_and_costs_bounded_memory() {
    let node = Node::start(&format!("{ZONES}\nresolver, tcp: {{idle_ms: 300}}"));
    let mut tcp = node.tcp();
    let bytes = frame(&query("big.example.com.", RecordType::TXT).to_vec().unwrap());
    // Never reads: the socket buffers fill, then the node stops reading, then it hangs up.
    let refused = loop {
        if let Err(error) = tcp.0.write_all(&bytes) {
            break error;
        }
    };
    assert!(
        matches!(
            refused.kind(),
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
        ),
        "{refused}"
    );
}
