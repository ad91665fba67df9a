//! The policy in front of the resolver: who gets what, and what of it is kept.

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use node::admin::{FailureCode, LookupSource, Reply, Request, Response};
use rustix::process::Signal;

use crate::common::{
    Node, PATIENCE, data, extended_error, own_address, query, rcode, wait_until, with_edns,
};
use crate::dataplane::both;
use crate::resolving::Upstream;

const RPZ: &str = "\
$TTL 60
@ SOA ns. host. 1 3600 600 86400 30
missing.example.net CNAME .
slow.example.net CNAME rpz-tcp-only.
gone.example.net CNAME rpz-drop.
garden.example.net CNAME www.example.net.
passed.example.net CNAME rpz-passthru.
32.66.100.51.198.rpz-ip A 192.0.2.66
";

fn a(name: &str) -> Message {
    with_edns(query(name, RecordType::A), 1232)
}

/// A node with these keys of `resolver`, which forwards to `upstream`.
fn start(upstream: &Upstream, keys: &str) -> Node {
    let mut node = Node::new("");
    node.write("rpz.zone", RPZ);
    node.write("ads.txt", "0.0.0.0 ads.example.net\n");
    node.configure(&format!("{}\nresolver, {keys}", upstream.forward()));
    node.spawn();
    node
}

/// Asks while the upstream answers with an address.
fn ask(node: &Node, upstream: &Upstream, question: &Message, address: [u8; 4]) -> Message {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(question));
        upstream.next().answer_a(address);
        asking.join().unwrap()
    })
}

/// Asks from an address of its own.
fn ask_from(node: &Node, client: Ipv4Addr, question: &Message) -> Message {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .send_to(&question.to_vec().unwrap(), node.dns())
        .unwrap();
    let mut buffer = [0; 4096];
    let bytes = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..bytes]).unwrap()
}

#[test]
fn local_data_special_names_lists_and_any_are_answered_without_a_question_outside() {
    let upstream = Upstream::start();
    let node = start(
        &upstream,
        "local_data: [host.home.example. 60 A 192.0.2.5], \
         local_zones: [{name: home.example, action: static}], \
         block_lists: [{file: ads.txt, answer: null}], allow_names: [good.ads.example.net]",
    );
    let mut tcp = node.tcp();
    for (name, expected, code, error) in [
        (
            "host.Home.example.",
            vec!["192.0.2.5"],
            ResponseCode::NoError,
            None,
        ),
        ("no.home.example.", vec![], ResponseCode::NXDomain, None),
        ("localhost.", vec!["127.0.0.1"], ResponseCode::NoError, None),
        ("x.test.", vec![], ResponseCode::NXDomain, None),
        (
            "x.ads.example.net.",
            vec!["0.0.0.0"],
            ResponseCode::NoError,
            Some(15),
        ),
    ] {
        let question = a(name);
        for answer in [node.ask(&question), tcp.ask(&question)] {
            assert_eq!(
                (data(&answer), rcode(&answer)),
                (expected.iter().map(ToString::to_string).collect(), code),
                "{name}"
            );
            assert_eq!(extended_error(&answer), error, "{name}");
            assert!(!answer.metadata.authoritative && !answer.metadata.authentic_data);
        }
    }
    let any = node.ask(&query("www.example.net.", RecordType::ANY));
    assert_eq!(any.answers[0].record_type(), RecordType::HINFO);
    assert!(upstream.is_quiet());
    let allowed = ask(
        &node,
        &upstream,
        &a("good.ads.example.net."),
        [192, 0, 2, 7],
    );
    assert_eq!(data(&allowed), ["192.0.2.7"]);
    // Kept answers are not made again: one each.
    assert!(node.metric("nexus_policy_answers_total{kind=\"special\"}") >= Some(2));
    let list = "nexus_policy_list_hits_total{kind=\"block_list\",list=\"ads.txt\"}";
    assert!(node.metric(list) >= Some(1));
}

#[test]
fn a_policy_zone_denies_rewrites_truncates_and_drops() {
    let upstream = Upstream::start();
    let node = start(&upstream, "rpz: [{zone: rpz.example, file: rpz.zone}]");
    // It has to see addresses first: the names wait for nothing.
    let missing = node.ask(&a("missing.example.net."));
    assert_eq!(
        (rcode(&missing), extended_error(&missing)),
        (ResponseCode::NXDomain, Some(15))
    );
    let truncated = node.ask(&a("slow.example.net."));
    assert!(truncated.metadata.truncation && truncated.answers.is_empty());
    let mut tcp = node.tcp();
    let whole = std::thread::scope(|scope| {
        let asking = scope.spawn(|| tcp.ask(&a("slow.example.net.")));
        upstream.next().answer_a([192, 0, 2, 8]);
        asking.join().unwrap()
    });
    assert_eq!(data(&whole), ["192.0.2.8"]);
    // A rule that lets through is set off, but changes no answer.
    let passed = ask(&node, &upstream, &a("passed.example.net."), [192, 0, 2, 7]);
    assert_eq!(data(&passed), ["192.0.2.7"]);
    let counted = |metric: &str, labels: &str| {
        node.metric(&format!(
            "nexus_policy_{metric}_total{{kind=\"rpz\"{labels}}}"
        ))
    };
    let hits = counted("list_hits", ",list=\"rpz.example.\"").unwrap();
    let answers = counted("answers", "").unwrap();
    assert_eq!(hits - answers, 2, "{hits} of which one by TCP and this one");
    let rewritten = ask(&node, &upstream, &a("bad.example.net."), [198, 51, 100, 66]);
    assert_eq!(data(&rewritten), ["192.0.2.66"]);
    let garden = ask(&node, &upstream, &a("garden.example.net."), [192, 0, 2, 9]);
    assert_eq!(data(&garden), ["www.example.net.", "192.0.2.9"]);
    // The connection goes on behind a question that is dropped.
    tcp.send(&a("gone.example.net."));
    assert_eq!(
        rcode(&tcp.ask(&a("missing.example.net."))),
        ResponseCode::NXDomain
    );
    let socket = UdpSocket::bind((node.address, 0)).unwrap();
    let gone = a("gone.example.net.").to_vec().unwrap();
    socket.send_to(&gone, node.dns()).unwrap();
    wait_until("the question is dropped", || {
        node.metric("nexus_control_drops_total{reason=\"policy\"}") == Some(2)
    });
}

#[test]
fn dns64_makes_addresses_of_the_answer_to_a_second_question() {
    let upstream = Upstream::start();
    let node = start(&upstream, "dns64: {prefixes: ['64:ff9b::/96']}");
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&query("www.example.net.", RecordType::AAAA)));
        let first = upstream.next();
        assert_eq!(first.question.queries[0].query_type(), RecordType::AAAA);
        let empty = first.response();
        first.answer(&empty);
        let second = upstream.next();
        assert_eq!(second.question.queries[0].query_type(), RecordType::A);
        second.answer_a([192, 0, 2, 1]);
        asking.join().unwrap()
    });
    assert_eq!(data(&answer), ["64:ff9b::c000:201"]);
    assert_eq!(answer.queries[0].query_type(), RecordType::AAAA);
}

#[test]
fn private_addresses_are_taken_out_of_what_comes_from_outside() {
    let upstream = Upstream::start();
    let keys = "rebinding: {private_addresses: [private], private_domains: [corp.example.net]}";
    let node = start(&upstream, keys);
    let evil = ask(&node, &upstream, &a("evil.example.net."), [10, 0, 0, 1]);
    assert!(data(&evil).is_empty());
    let own = ask(&node, &upstream, &a("www.corp.example.net."), [10, 0, 0, 1]);
    assert_eq!(data(&own), ["10.0.0.1"]);
}

#[test]
fn a_view_gives_its_clients_other_answers_and_nothing_is_mixed_up() {
    let upstream = Upstream::start();
    let inside = own_address();
    let keys = format!(
        "local_data: [x.example. 60 A 192.0.2.1], \
         views: [{{clients: [{inside}], local_data: [x.example. 60 A 192.0.2.2]}}]"
    );
    let node = start(&upstream, &keys);
    for _ in 0..2 {
        assert_eq!(data(&node.ask(&a("x.example."))), ["192.0.2.1"]);
        assert_eq!(
            data(&ask_from(&node, inside, &a("x.example."))),
            ["192.0.2.2"]
        );
    }
    // The front thread has the answer for all: it is not for the view.
    assert!(node.metric("nexus_control_answers_total{source=\"memory\"}") >= Some(1));
}

#[test]
fn workers_keep_what_is_for_all_until_the_policy_changes() {
    let upstream = Upstream::start();
    let sections = |zone: &str| {
        format!(
            "{}\nresolver, local_data: [x.example. 60 A {zone}]",
            upstream.forward()
        )
    };
    let (node, mut dataplane) = both(&sections("192.0.2.1"));
    let question = a("x.example.");
    let returned = dataplane.ask(&question);
    assert_eq!(data(&returned.message), ["192.0.2.1"]);
    let before = returned.meta.unwrap();
    assert!(before.zone == 0 && (1..=60).contains(&before.ttl));
    wait_until("the table has it", || dataplane.table_has(&question));
    node.configure(&sections("192.0.2.2"));
    node.admin_ok(&Request::Reload {});
    assert!(!dataplane.table_has(&question));
    let returned = dataplane.ask(&question);
    assert_eq!(data(&returned.message), ["192.0.2.2"]);
    assert_ne!(returned.meta.unwrap().generation, before.generation);
}

#[test]
fn a_control_that_comes_back_with_another_policy_makes_resolved_answers_dead() {
    let sections = |address: &str| format!("resolver, local_data: [x.example. 60 A {address}]");
    let (mut node, mut dataplane) = both(&sections("192.0.2.1"));
    let question = a("x.example.");
    dataplane.ask(&question);
    wait_until("the table has it", || dataplane.table_has(&question));
    wait_until("it is remembered", || node.path("control.zones").exists());
    node.kill();
    node.spawn();
    dataplane.wait_for_control();
    assert!(dataplane.table_has(&question), "the policy is the same");
    node.kill();
    node.configure(&sections("192.0.2.2"));
    node.spawn();
    dataplane.wait_for_control();
    assert!(!dataplane.table_has(&question));
}

#[test]
fn answers_of_a_view_and_with_triggers_for_clients_are_kept_by_no_worker() {
    let upstream = Upstream::start();
    let view = "views: [{clients: [127.0.0.0/8], local_data: [x.example. 60 A 192.0.2.2]}]";
    let (_node, mut dataplane) = both(&format!("{}\nresolver, {view}", upstream.forward()));
    let question = a("x.example.");
    let returned = dataplane.ask(&question);
    assert_eq!(data(&returned.message), ["192.0.2.2"]);
    assert!(returned.meta.is_none() && !dataplane.table_has(&question));
}

#[test]
fn files_are_read_again_and_a_bad_one_leaves_the_old_policy_in_service() {
    let upstream = Upstream::start();
    let node = start(&upstream, "block_lists: [{file: ads.txt}]");
    let blocked = |name: &str| rcode(&node.ask(&a(name))) == ResponseCode::NXDomain;
    assert!(blocked("ads.example.net."));
    node.write("ads.txt", "other.example.net\n");
    node.signal(Signal::HUP);
    node.wait_for("RELOADING=1");
    node.wait_for("READY=1");
    assert!(blocked("other.example.net."));
    let free = ask(&node, &upstream, &a("ads.example.net."), [192, 0, 2, 3]);
    assert_eq!(data(&free), ["192.0.2.3"]);
    node.write("ads.txt", "<html>not found</html>\n");
    let Reply::Error(failure) = node.admin(&Request::Reload {}) else {
        panic!("a bad list was taken")
    };
    assert_eq!(failure.code, FailureCode::Invalid);
    assert!(failure.message.contains("ads.txt"), "{failure}");
    assert!(blocked("other.example.net."));
}

#[test]
fn of_two_reloads_that_cross_the_newer_files_stay_in_service() {
    let upstream = Upstream::start();
    let node = start(&upstream, "block_lists: [{file: ads.txt}]");
    let list = node.path("ads.txt");
    std::fs::remove_file(&list).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&list).status();
    assert!(made.unwrap().success());
    node.signal(Signal::HUP);
    // The first reload has opened the list, and waits for what it says.
    let mut old = None;
    wait_until("the first reload reads", || {
        let mut options = std::fs::File::options();
        options.write(true).custom_flags(0o4000); // O_NONBLOCK: refused while nobody reads.
        old = options.open(&list).ok();
        old.is_some()
    });
    std::fs::rename(&list, node.path("slow")).unwrap();
    node.write("ads.txt", "new.example.net\n");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| node.admin_ok(&Request::Reload {}));
        // Nothing to wait for if it waits, as it should.
        let end = Instant::now() + Duration::from_millis(500);
        while !second.is_finished() && Instant::now() < end {
            std::thread::yield_now();
        }
        old.take().unwrap().write_all(b"old.example.net\n").unwrap();
        second.join().unwrap();
    });
    node.wait_for("READY=1");
    assert_eq!(
        rcode(&node.ask(&a("new.example.net."))),
        ResponseCode::NXDomain
    );
}

#[test]
fn the_command_line_sees_which_policy_answered() {
    let upstream = Upstream::start();
    let node = start(&upstream, "block_lists: [{file: ads.txt, name: adverts}]");
    let request = Request::Lookup {
        name: "ads.example.net".into(),
        record_type: "A".into(),
        trace: true,
    };
    let Response::Lookup(lookup) = node.admin_ok(&request) else {
        panic!("no answer")
    };
    assert_eq!(
        (lookup.source, lookup.rcode.as_str()),
        (LookupSource::Policy, "NXDOMAIN")
    );
    assert_eq!(lookup.trace[0].text, "policy block_list adverts");
    assert_eq!(
        node.metric("nexus_policy_answers_total{kind=\"block_list\"}"),
        None
    );
}
