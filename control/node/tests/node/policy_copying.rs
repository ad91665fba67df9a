//! Policy zones and the root that are copied from a real primary: in service, changed, kept over a
//! reload and a restart, and gone when they have expired.

use std::time::{Duration, SystemTime};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use node::admin::{CopyStatus, Reply, Request, Response};

use crate::common::{Node, PORT, data, query, rcode, wait_until, with_edns};
use crate::copying::Primary;
use crate::dataplane::both;

const SERIAL: &str = "nexus_copied_zone_serial{zone=\"rpz.example.\",purpose=\"rpz\"}";
const IN_SERVICE: &str = "nexus_copied_zone_in_service{zone=\"rpz.example.\",purpose=\"rpz\"}";

/// A policy zone that denies these names.
fn zone(serial: u32, names: &[&str]) -> String {
    let mut text = format!("@ 60 SOA ns. host. {serial} 3600 600 86400 30\n@ 60 NS ns.\n");
    for name in names {
        text.push_str(&format!("{name} 60 CNAME .\n"));
    }
    text
}

/// What is not blocked is local data, so that nobody outside is asked.
fn sections(primary: &Primary, more: &str) -> String {
    let place = format!("{}:{PORT}", primary.address);
    format!(
        "node: {{data_dir: \"{{dir}}/data\"}}\n\
         resolver, rpz: [{{zone: rpz.example, primaries: ['{place}']{more}}}], \
         forward: ['127.0.0.1:9'], timeouts: {{question_ms: 200}}"
    )
}

fn code(node: &Node, name: &str) -> ResponseCode {
    rcode(&node.ask(&with_edns(query(name, RecordType::A), 1232)))
}

fn is_blocked(node: &Node, name: &str) -> bool {
    code(node, name) == ResponseCode::NXDomain
}

fn wait_for_serial(node: &Node, serial: u64) {
    wait_until("the version is in service", || {
        node.metric(SERIAL) == Some(serial)
    });
}

fn copies(node: &Node) -> Vec<CopyStatus> {
    match node.admin_ok(&Request::Status {}) {
        Response::Status(status) => status.control.copies,
        other => panic!("{other:?}"),
    }
}

fn notify(zone: &str) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Notify;
    message.metadata.authoritative = true;
    message.add_query(Query::query(
        Name::from_ascii(zone).unwrap(),
        RecordType::SOA,
    ));
    message
}

#[test]
fn a_policy_zone_is_copied_changed_by_a_notify_and_kept_over_reload_and_restart() {
    let mut node = Node::new("");
    let first = zone(1, &["old.test.net", "stays.test.net"]);
    let Some(mut primary) = Primary::start_of("rpz.example.", &first, Some(node.address)) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    node.configure(&sections(&primary, ""));
    node.spawn();
    wait_for_serial(&node, 1);
    assert!(is_blocked(&node, "old.test.net.") && is_blocked(&node, "stays.test.net."));
    assert!(!is_blocked(&node, "new.test.net."));

    primary.change(&zone(2, &["new.test.net", "stays.test.net"]));
    wait_for_serial(&node, 2);
    assert!(is_blocked(&node, "new.test.net.") && is_blocked(&node, "stays.test.net."));
    assert!(!is_blocked(&node, "old.test.net."));
    assert!(node.log().contains("zone transferred") && node.log().contains("steps=1"));
    assert!(node.metric("nexus_control_notifies_total{outcome=\"taken\"}") >= Some(1));
    let status = copies(&node).remove(0);
    assert_eq!((&*status.zone, status.serial), ("rpz.example.", Some(2)));
    assert_eq!((status.records, status.error), (4, None));
    assert!(status.confirmed_secs_ago < Some(60));

    // A reload keeps the rules, and takes an override over.
    let reload = || match node.admin_ok(&Request::Reload {}) {
        Response::ZonesReloaded { policy_changed, .. } => policy_changed,
        other => panic!("{other:?}"),
    };
    assert!(!reload());
    assert!(is_blocked(&node, "new.test.net."));
    node.configure(&sections(&primary, ", override: nodata"));
    assert!(reload());
    assert_eq!(code(&node, "new.test.net."), ResponseCode::NoError);
    assert_eq!(node.metric(SERIAL), Some(2));

    // Without the primary, the disk has it before the first question.
    primary.stop();
    node.kill();
    node.configure(&sections(&primary, ""));
    node.spawn();
    assert!(is_blocked(&node, "new.test.net.") && !is_blocked(&node, "old.test.net."));
    assert_eq!(node.metric(SERIAL), Some(2));
    wait_until("the primary is asked", || copies(&node)[0].error.is_some());

    // A zone that leaves the configuration leaves the policy.
    node.configure("node: {data_dir: \"{dir}/data\"}");
    node.admin_ok(&Request::Reload {});
    assert!(!is_blocked(&node, "new.test.net.") && copies(&node).is_empty());
}

#[test]
fn a_policy_zone_that_comes_with_a_reload_is_copied_and_one_that_expires_does_nothing() {
    let mut node = Node::new("node: {data_dir: \"{dir}/data\"}");
    let text = zone(1, &["bad.test.net"]);
    let Some(mut primary) = Primary::start_of("rpz.example.", &text, None) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    node.spawn();
    node.configure(&sections(&primary, ""));
    node.admin_ok(&Request::Reload {});
    wait_for_serial(&node, 1);
    assert!(is_blocked(&node, "bad.test.net."));
    node.kill();
    primary.stop();
    let copy = node.path("data/rpz/rpz.example.zone");
    let file = std::fs::File::options().append(true).open(copy).unwrap();
    let age = Duration::from_secs(86_400 - 3); // Three seconds before it expires.
    file.set_modified(SystemTime::now() - age).unwrap();
    node.spawn();
    assert_eq!(node.metric(IN_SERVICE), Some(1));
    wait_until("it expires", || node.metric(IN_SERVICE) == Some(0));
    assert!(!is_blocked(&node, "bad.test.net."));
    assert_eq!(node.metric(SERIAL), None);
    // Said behind what metrics show.
    wait_until("it says so", || {
        node.log().contains("policy zone has expired")
    });
}

#[test]
fn workers_forget_what_the_version_before_let_through_and_keep_it_over_a_restart() {
    let Some(primary) = Primary::start_of("rpz.example.", &zone(1, &["bad.test.net"]), None) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    let local = "local_data: [x.example. 60 A 192.0.2.1]";
    let (mut node, mut dataplane) = both(&format!("{}, {local}", sections(&primary, "")));
    wait_for_serial(&node, 1);
    let question = with_edns(query("x.example.", RecordType::A), 1232);
    assert_eq!(data(&dataplane.ask(&question).message), ["192.0.2.1"]);
    wait_until("the table has it", || dataplane.table_has(&question));
    node.kill();
    node.spawn();
    dataplane.wait_for_control();
    assert!(dataplane.table_has(&question), "the version is the same");
    primary.change(&zone(2, &["bad.test.net", "worse.test.net"]));
    wait_until("the version is in service", || {
        // Only a primary wakes the copying.
        let answer = node.ask(&notify("rpz.example."));
        assert_eq!(rcode(&answer), ResponseCode::Refused);
        ask_from(&node, primary.address, &notify("rpz.example."));
        node.metric(SERIAL) == Some(2)
    });
    assert!(!dataplane.table_has(&question));
    dataplane.push_from(primary.address, &notify("rpz.example.").to_vec().unwrap());
    let answer = dataplane.returned();
    assert_eq!(rcode(&answer.message), ResponseCode::NoError);
    assert!(answer.meta.is_none(), "it is not to be kept");
}

/// Sends from an address of this host.
fn ask_from(node: &Node, address: std::net::Ipv4Addr, question: &Message) {
    let socket = std::net::UdpSocket::bind((address, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let bytes = question.to_vec().unwrap();
    socket.send_to(&bytes, node.dns()).unwrap();
    let mut buffer = [0; 512];
    let bytes = socket.recv(&mut buffer).unwrap();
    let answer = Message::from_vec(&buffer[..bytes]).unwrap();
    assert_eq!(rcode(&answer), ResponseCode::NoError);
    assert_eq!(answer.metadata.op_code, OpCode::Notify);
    assert!(answer.metadata.authoritative);
    assert_eq!(answer.queries, question.queries);
}

#[test]
fn a_signed_transfer_is_taken_with_the_right_secret_alone() {
    let mut node = Node::new("");
    let many: Vec<_> = (0..3_000).map(|at| format!("h{at}.test.net")).collect();
    let names = |count: usize| {
        many.iter()
            .take(count)
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    let (first, secret) = (zone(1, &names(2_999)), Some("c2VjcmV0"));
    let secondary = Some(node.address);
    let Some(primary) = Primary::start_signing("rpz.example.", &first, secondary, secret) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    let key = "tsig: {name: Key.example, algorithm: hmac-sha512, secret_file: secret}";
    node.configure(&sections(&primary, &format!(", {key}")));
    node.write("secret", "d3Jvbmc=\n");
    node.spawn();
    wait_until("the signature is refused", || {
        let error = copies(&node)[0].error.clone();
        error.is_some_and(|error| error.contains("with code 16"))
    });
    assert_eq!(node.metric(IN_SERVICE), Some(0));
    node.write("secret", "c2VjcmV0\n");
    node.admin_ok(&Request::Reload {});
    wait_for_serial(&node, 1);
    assert!(is_blocked(&node, "h2998.test.net.") && !is_blocked(&node, "h2999.test.net."));
    primary.change(&zone(2, &names(3_000)));
    wait_for_serial(&node, 2);
    assert!(is_blocked(&node, "h2999.test.net."));
    // Who has the zone without a signature is not believed.
    let unsigned = Primary::start_of("rpz.example.", &zone(3, &["x.test.net"]), None).unwrap();
    node.configure(&sections(&unsigned, &format!(", {key}")));
    node.admin_ok(&Request::Reload {});
    wait_until("the signature is refused", || {
        // It may not have listened yet when it was asked.
        ask_from(&node, unsigned.address, &notify("rpz.example."));
        let error = copies(&node)[0].error.clone();
        error.is_some_and(|error| error.contains("with code 17"))
    });
    assert_eq!(node.metric(SERIAL), Some(2));
    node.write("secret", "not base64\n");
    let Reply::Error(failure) = node.admin(&Request::Reload {}) else {
        panic!("a bad secret was taken")
    };
    assert!(
        failure
            .message
            .contains("secret: expected a secret in base64"),
        "{failure}"
    );
}

/// A root zone with these top-level hosts.
fn root(serial: u32, hosts: &[&str]) -> String {
    let mut text = format!(
        ". 60 SOA a.root. host.root. {serial} 3600 600 86400 60\n. 60 NS a.root.\n\
         a.root. 60 A 127.0.0.1\n"
    );
    for host in hosts {
        text.push_str(&format!("{host} 60 A 127.0.0.4\n"));
    }
    text
}

#[test]
fn the_root_is_copied_answers_without_a_root_server_and_is_there_after_a_restart() {
    let mut node = Node::new("");
    let Some(mut primary) = Primary::start_of(".", &root(1, &["b.root."]), Some(node.address))
    else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    node.write("hints", ". NS a.root.\na.root. A 127.0.0.1\n"); // Nobody answers there.
    node.configure(&format!(
        "node: {{data_dir: \"{{dir}}/data\"}}\nresolver, root_hints: \"{{dir}}/hints\", \
         local_root: {{primaries: ['{}:{PORT}']}}, timeouts: {{question_ms: 1000}}",
        primary.address
    ));
    node.spawn();
    let serial = "nexus_copied_zone_serial{zone=\".\",purpose=\"local_root\"}";
    wait_until("it is in service", || node.metric(serial) == Some(1));
    let a = |node: &Node, name: &str| data(&node.ask(&query(name, RecordType::A)));
    assert_eq!(a(&node, "b.root."), ["127.0.0.4"]);
    primary.change(&root(2, &["b.root.", "c.root."]));
    wait_until("it is in service", || node.metric(serial) == Some(2));
    assert_eq!(a(&node, "c.root."), ["127.0.0.4"]);
    node.admin_ok(&Request::Reload {});
    assert_eq!(node.metric(serial), Some(2));
    primary.stop();
    node.kill();
    node.spawn();
    assert_eq!(node.metric(serial), Some(2));
    assert_eq!(a(&node, "c.root."), ["127.0.0.4"]);
    let missing = node.ask(&query("d.root.", RecordType::A));
    assert_eq!(rcode(&missing), ResponseCode::NXDomain);
}
