//! What the operator has to mend: one message, exit status 2.

use std::net::{TcpListener, UdpSocket};

use crate::common::{Node, PORT, ZONE};

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";

/// Standard error of a start that must fail.
fn fails(node: &Node) -> String {
    let output = node.command().env("RUST_LOG", "error").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("nexus-control: "), "{text}");
    text
}

#[test]
fn an_unknown_key_is_named_with_file_line_and_what_was_expected() {
    let node = Node::new("resolvr: {}");
    let text = fails(&node);
    assert!(
        text.contains("nexus.yaml:4:1: resolvr") && text.contains("expected one of"),
        "{text}"
    );
}

#[test]
fn a_missing_configuration_is_named() {
    let node = Node::new("");
    std::fs::remove_file(node.path("nexus.yaml")).unwrap();
    assert!(fails(&node).contains("nexus.yaml: cannot be opened"));
}

#[test]
fn a_fault_in_a_zone_file_is_named_with_line_and_column() {
    let node = Node::new(ZONES);
    node.write(
        "example.com.zone",
        &ZONE.replace("ns A 192.0.2.53", "ns A nowhere"),
    );
    let text = fails(&node);
    assert!(
        text.contains("zone example.com.") && text.contains("example.com.zone:5:6:"),
        "{text}"
    );
    std::fs::remove_file(node.path("example.com.zone")).unwrap();
    assert!(fails(&node).contains("example.com.zone: cannot be opened"));
}

#[test]
fn a_fault_in_the_root_hints_is_named_with_its_line() {
    let node = Node::new("resolver, root_hints: hints");
    node.write("hints", ". NS a.\na. A none\n");
    let text = fails(&node);
    assert!(text.contains("hints:2: expected an IPv4 address"), "{text}");
}

#[test]
fn a_port_that_is_taken_is_named_for_tcp_and_for_udp() {
    let node = Node::new("");
    let tcp = TcpListener::bind((node.address, PORT)).unwrap();
    let text = fails(&node);
    assert!(
        text.contains("TCP")
            && text.contains(&node.dns().to_string())
            && text.contains("another program"),
        "{text}"
    );
    drop(tcp);
    let _udp = UdpSocket::bind((node.address, PORT)).unwrap();
    let text = fails(&node);
    assert!(
        text.contains("UDP") && text.contains(&node.dns().to_string()),
        "{text}"
    );
}

#[test]
fn an_address_that_is_not_here_is_named() {
    let node = Node::new("");
    let text = std::fs::read_to_string(node.path("nexus.yaml")).unwrap();
    node.write(
        "nexus.yaml",
        &text.replace(
            &format!("listen: [{}]", node.address),
            "listen: [192.0.2.1]",
        ),
    );
    assert!(fails(&node).contains("192.0.2.1:5353"));
}

#[test]
fn a_socket_path_that_cannot_be_used_is_named() {
    let node = Node::new("");
    std::fs::write(node.path("control.sock"), "precious").unwrap();
    let text = fails(&node);
    assert!(
        text.contains("control.sock") && text.contains("no socket"),
        "{text}"
    );
    assert_eq!(
        std::fs::read(node.path("control.sock")).unwrap(),
        b"precious"
    );
}

#[test]
fn a_second_control_is_turned_away_and_the_first_goes_on() {
    let node = Node::start(ZONES);
    let text = fails(&node);
    assert!(
        text.contains("TCP") && text.contains("another program serves there"),
        "{text}"
    );
    assert!(node.path("control.sock").exists());
}

#[test]
fn the_file_of_a_control_that_was_killed_is_no_obstacle() {
    let mut node = Node::start(ZONES);
    node.kill();
    assert!(node.path("control.sock").exists());
    node.spawn();
}

#[test]
fn a_stop_on_request_is_no_failure_and_leaves_no_socket() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut node = Node::start(ZONES);
        node.signal(signal);
        node.wait_for("STOPPING=1");
        assert_eq!(node.wait().code(), Some(0));
        assert!(!node.path("control.sock").exists());
    }
}

#[test]
fn help_teaches_and_names_the_exit_codes() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nexus-control"))
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for word in [
        "--config",
        "SIGHUP",
        "Exit status",
        "nexus check",
        "example.com",
    ] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
}

#[test]
fn a_fault_of_the_monitor_is_named_with_its_key() {
    let log = "{kind: rfc6962, url: 'http://127.0.0.1:9', key: QUJD}";
    let node = Node::new(&format!("ct: {{monitor: {{logs: [{log}]}}}}"));
    let text = fails(&node);
    assert!(text.contains("ct.monitor.logs[0].key: "), "{text}");
}
