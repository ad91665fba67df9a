//! Status, statistics and metrics tell what happens.

use exchange::{GuardReport, GuardedPeer};
use hickory_proto::rr::RecordType;
use node::admin::{FailureCode, REQUEST_BYTES_MAX, Reply, Request, ResolverMode, Response};

use crate::common::{Node, query, wait_until};
use crate::dataplane::both;

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";

fn metric(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn metrics_follow_what_was_asked() {
    let node = Node::start(ZONES);
    node.ask(&query("www.example.com.", RecordType::A));
    node.tcp().ask(&query("www.example.com.", RecordType::A));
    let (head, text) = node.http("/metrics");
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("openmetrics-text"),
        "{head}"
    );
    for (name, value) in [
        ("nexus_control_queries_total{transport=\"udp\"}", 1),
        ("nexus_control_queries_total{transport=\"tcp\"}", 1),
        ("nexus_control_answers_total{source=\"zone\"}", 2),
        (
            "nexus_control_tcp_connections_total{outcome=\"accepted\"}",
            1,
        ),
        ("nexus_control_zones", 1),
        ("nexus_control_serving_udp", 1),
        ("nexus_control_attached", 0),
        ("nexus_resolver_questions_total", 0),
    ] {
        assert_eq!(metric(&text, name), Some(value), "{name}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let Response::Metrics { text: same } = node.admin_ok(&Request::Metrics {}) else {
        panic!()
    };
    assert_eq!(same.lines().count(), text.lines().count());
}

#[test]
fn no_metric_is_described_twice_or_without_a_value() {
    let node = Node::start(ZONES);
    let (_, text) = node.http("/metrics");
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(names.len() > 40);
    for name in &names {
        let has_value = text.lines().any(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{', '_']))
        });
        assert!(has_value, "{name} has no value");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn last_bucket_of_every_histogram_has_no_bound() {
    let (node, _dataplane) = both(ZONES);
    let (_, text) = node.http("/metrics");
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<_> = kinds
        .filter_map(|line| line.strip_suffix(" histogram"))
        .collect();
    assert!(names.contains(&"nexus_worker_latency_seconds"));
    for name in names {
        let bucket = format!("{name}_bucket{{");
        let last = text.lines().rfind(|line| line.starts_with(&bucket));
        assert!(last.unwrap().contains("le=\"+Inf\""), "{last:?}");
    }
}

#[test]
fn health_is_well_while_the_front_thread_runs() {
    let node = Node::start("");
    let (head, body) = node.http("/health");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "ok\n");
    assert!(node.http("/other").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn a_watchdog_is_fed_while_the_front_thread_runs() {
    let mut node = Node::new("");
    node.environment = vec![("WATCHDOG_USEC", "200000")];
    node.spawn();
    for _ in 0..3 {
        node.wait_for("WATCHDOG=1");
    }
}

#[test]
fn status_and_stats_describe_a_control_without_a_dataplane() {
    let node = Node::start(&format!("{ZONES}\nresolver, forward: [192.0.2.1]"));
    node.ask(&query("www.example.com.", RecordType::A));
    let Response::Status(status) = node.admin_ok(&Request::Status {}) else {
        panic!()
    };
    assert_eq!(status.control.pid, node.pid());
    assert_eq!(status.control.listen, [node.dns()]);
    assert_eq!(status.control.resolver.mode, ResolverMode::Forward);
    assert!(status.control.serving_udp && status.dataplane.is_none());
    assert_eq!(status.control.zones, 1);
    let Response::Stats(stats) = node.admin_ok(&Request::Stats {}) else {
        panic!()
    };
    assert_eq!(
        stats
            .control
            .get("nexus_control_queries_total{transport=\"udp\"}"),
        Some(&1)
    );
    assert!(stats.workers.is_empty());
}

#[test]
fn a_request_that_cannot_be_met_is_told_why() {
    let node = Node::start("");
    for (request, code) in [
        (
            Request::CacheDump {
                name: None,
                cursor: 0,
            },
            FailureCode::Unavailable,
        ),
        (
            Request::CacheFlush {
                name: Some("a..b".into()),
                subtree: false,
            },
            FailureCode::BadRequest,
        ),
        (
            Request::Lookup {
                name: "a.".into(),
                record_type: "NONE".into(),
                trace: false,
            },
            FailureCode::BadRequest,
        ),
        (
            Request::Lookup {
                name: "a.".into(),
                record_type: "AXFR".into(),
                trace: false,
            },
            FailureCode::BadRequest,
        ),
    ] {
        let reply = node.admin(&request);
        assert!(
            matches!(&reply, Reply::Error(failure) if failure.code == code),
            "{request:?}: {reply:?}"
        );
    }
}

#[test]
fn the_command_lines_socket_is_for_owner_and_group() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::start("");
    let mode = std::fs::metadata(node.path("control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn garbage_on_the_admin_socket_is_answered_and_the_next_command_works() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let node = Node::start("");
    for bytes in [
        &b"nonsense\n"[..],
        &vec![b'x'; REQUEST_BYTES_MAX],
        b"{\"request\":\"status\",\"x\":1}\n",
        &[0xff, b'\n'],
    ] {
        let mut stream = UnixStream::connect(node.path("control.sock")).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        assert!(reply.starts_with("{\"error\":"), "{reply}");
    }
    assert!(matches!(
        node.admin_ok(&Request::Status {}),
        Response::Status(_)
    ));
}

#[test]
fn what_the_guard_counts_is_shown_with_its_peers() {
    let (node, dataplane) = both(ZONES);
    wait_until("control attaches", || {
        node.metric("nexus_control_attached") == Some(1)
    });
    assert_eq!(node.metric("nexus_consensus_guard_active"), Some(0));
    let mut writer = dataplane.region.guard_writer().unwrap();
    writer.write(&GuardReport {
        active: true,
        outcomes: [1, 2, 3, 4, 5, 6, 7, 8],
        peers: vec![GuardedPeer {
            node_id: 0xab,
            packets: 10,
            bytes: 11,
            dropped_shape: 1,
            dropped_rate: 2,
            dropped_isolated: 3,
        }],
    });
    let metric = |rest: &str| node.metric(&format!("nexus_consensus_guard_{rest}"));
    let node_label = "{node=\"00000000000000ab\"}";
    for (sample, value) in [
        ("active".to_owned(), 1),
        ("passed_packets_total{sender=\"newcomer\"}".to_owned(), 3),
        ("dropped_packets_total{reason=\"shape\"}".to_owned(), 4),
        (
            "dropped_packets_total{reason=\"initial_rate\"}".to_owned(),
            8,
        ),
        (format!("peer_packets_total{node_label}"), 10),
        (format!("peer_bytes_total{node_label}"), 11),
        (format!("peer_dropped_packets_total{node_label}"), 6),
    ] {
        assert_eq!(metric(&sample), Some(value), "{sample}");
    }
}

#[test]
fn members_of_the_configuration_are_known_to_the_guard_from_the_start() {
    let key = |digit: &str| digit.repeat(64);
    let member = |digit, host| {
        format!(
            "{{key: \"{}\", address: \"192.0.2.{host}:4853\"}}",
            key(digit)
        )
    };
    let members = [
        member("1", 1),
        member("2", 2),
        member("3", 3),
        member("4", 4),
    ]
    .join(", ");
    let (_node, dataplane) = both(&format!("{ZONES}\nconsensus: {{members: [{members}]}}"));
    wait_until("control says who is in the mesh", || {
        let mesh = dataplane.region.mesh().unwrap_or_default();
        mesh.guarded && mesh.peers.len() == 4
    });
}
