//! Zones are read again; what cannot be read leaves the old data in service.

use std::process::Command;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use node::admin::{FailureCode, Reply, Request, Response, ZoneReloaded, ZoneStatus};
use rustix::process::Signal;

use crate::common::{Node, ZONE, data, query, rcode};

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";

fn www(node: &Node) -> Vec<String> {
    data(&node.ask(&query("www.example.com.", RecordType::A)))
}

fn changed() -> String {
    ZONE.replace("192.0.2.1\n", "192.0.2.99\n")
        .replace("hostmaster 1 ", "hostmaster 2 ")
}

fn reloaded(response: Response) -> Vec<ZoneReloaded> {
    match response {
        Response::ZonesReloaded { zones, .. } => zones,
        other => panic!("{other:?}"),
    }
}

fn listed(node: &Node) -> Vec<ZoneStatus> {
    match node.admin_ok(&Request::ZoneList {}) {
        Response::Zones { zones } => zones,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sighup_puts_the_new_data_into_service_and_tells_the_service_manager() {
    let node = Node::start(ZONES);
    assert_eq!(www(&node), ["192.0.2.1"]);
    node.write("example.com.zone", &changed());
    node.signal(Signal::HUP);
    node.wait_for("RELOADING=1");
    node.wait_for("READY=1");
    assert_eq!(www(&node), ["192.0.2.99"]);
}

#[test]
fn a_reload_that_hangs_keeps_neither_the_watchdog_nor_a_stop_waiting() {
    let mut node = Node::new(ZONES);
    node.environment.push(("WATCHDOG_USEC", "100000"));
    node.spawn();
    // Whoever opens a pipe that nobody writes into waits for ever.
    let file = node.path("example.com.zone");
    std::fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    node.signal(Signal::HUP);
    node.wait_for("RELOADING=1");
    for _ in 0..3 {
        node.wait_for("WATCHDOG=1");
    }
    assert_eq!(www(&node), ["192.0.2.1"]);
    node.signal(Signal::TERM);
    node.wait_for("STOPPING=1");
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_reload_by_command_says_what_came_of_it() {
    let node = Node::start(ZONES);
    let request = Request::ZoneReload {
        name: Some("Example.com".into()),
    };
    let same = reloaded(node.admin_ok(&request));
    assert_eq!((same[0].changed, same[0].serial), (false, Some(1)));
    node.write("example.com.zone", &changed());
    let other = reloaded(node.admin_ok(&request));
    assert_eq!(
        (other[0].changed, other[0].serial_before, other[0].serial),
        (true, Some(1), Some(2))
    );
    assert_eq!(www(&node), ["192.0.2.99"]);
    let missing = node.admin(&Request::ZoneReload {
        name: Some("example.net".into()),
    });
    assert!(matches!(missing, Reply::Error(failure) if failure.code == FailureCode::NotFound));
}

#[test]
fn a_broken_file_keeps_the_old_data_and_says_line_and_column() {
    let node = Node::start(ZONES);
    node.write(
        "example.com.zone",
        &ZONE.replace("www A 192.0.2.1", "www A 192.0.2.300"),
    );
    let result = reloaded(node.admin_ok(&Request::Reload {})).remove(0);
    let error = result.error.unwrap();
    assert!(error.contains("example.com.zone:6:"), "{error}");
    assert_eq!((result.changed, result.serial), (false, Some(1)));
    assert_eq!(www(&node), ["192.0.2.1"]);
    assert_eq!(listed(&node)[0].error.as_deref(), Some(error.as_str()));
    node.write("example.com.zone", &changed());
    assert!(reloaded(node.admin_ok(&Request::Reload {}))[0].changed);
    assert_eq!(listed(&node)[0].error, None);
}

#[test]
fn zones_come_and_go_with_the_configuration() {
    let node = Node::start(ZONES);
    node.write(
        "example.net.zone",
        &ZONE.replace("example.com.", "example.net."),
    );
    node.configure("zones: [{name: example.net., file: example.net.zone}]\nresolver, allow: []");
    let Response::ZonesReloaded { zones, pending, .. } = node.admin_ok(&Request::Reload {}) else {
        panic!()
    };
    let results: Vec<_> = zones
        .iter()
        .map(|zone| {
            (
                zone.name.as_str(),
                zone.serial_before,
                zone.serial,
                zone.changed,
            )
        })
        .collect();
    assert_eq!(
        results,
        [
            ("example.com.", Some(1), None, true),
            ("example.net.", None, Some(1), true)
        ]
    );
    assert_eq!(pending, ["resolver.allow"]);
    let names: Vec<_> = listed(&node).into_iter().map(|zone| zone.name).collect();
    assert_eq!(names, ["example.net."]);
    assert_eq!(
        data(&node.ask(&query("www.example.net.", RecordType::A))),
        ["192.0.2.1"]
    );
    // Everything but zones waits for the next start: recursion is still allowed, hence no refusal
    // by policy for a question that only the cache may answer.
    let mut old = query("www.example.com.", RecordType::A);
    old.metadata.recursion_desired = false;
    assert_eq!(rcode(&node.ask(&old)), ResponseCode::Refused);
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let node = Node::start(ZONES);
    node.write("nexus.yaml", "zones: [{nam: example.com.}]");
    let reply = node.admin(&Request::Reload {});
    assert!(
        matches!(&reply, Reply::Error(failure) if failure.code == FailureCode::Invalid
            && failure.message.contains("nexus.yaml:1:")),
        "{reply:?}"
    );
    assert_eq!(www(&node), ["192.0.2.1"]);
}

#[test]
fn an_included_file_is_part_of_the_zone() {
    let mut node = Node::new(ZONES);
    std::fs::create_dir(node.path("parts")).unwrap();
    node.write("parts/hosts", "www A 192.0.2.7\n");
    node.write(
        "example.com.zone",
        "@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n$INCLUDE parts/hosts\n",
    );
    node.spawn();
    assert_eq!(www(&node), ["192.0.2.7"]);
    node.write("parts/hosts", "www A 192.0.2.8\n");
    assert!(reloaded(node.admin_ok(&Request::Reload {}))[0].changed);
    assert_eq!(www(&node), ["192.0.2.8"]);
}
