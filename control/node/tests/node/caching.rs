//! The resolver's cache over a restart, and what people may see of it.

use std::os::unix::fs::PermissionsExt;
use std::thread;

use hickory_proto::rr::RecordType;
use node::admin::{FailureCode, Reply, Request, Response};
use rustix::process::Signal;

use crate::common::{Node, data, query};
use crate::resolving::Upstream;

fn saving(upstream: &Upstream) -> String {
    let forward = upstream.forward();
    format!("{forward}\nresolver, save_cache: true\nnode: {{data_dir: \"{{dir}}\"}}")
}

fn ask_first(node: &Node, upstream: &Upstream) {
    thread::scope(|scope| {
        let asking = scope.spawn(|| node.ask(&query("www.example.net.", RecordType::A)));
        upstream.next().answer_a([198, 51, 100, 1]);
        assert_eq!(data(&asking.join().unwrap()), ["198.51.100.1"]);
    });
}

fn restart(node: &mut Node) {
    node.signal(Signal::TERM);
    assert!(node.wait().success(), "{}", node.log());
    node.spawn();
}

#[test]
fn what_was_resolved_before_a_restart_is_known_after_it() {
    let upstream = Upstream::start();
    let mut node = Node::start(&saving(&upstream));
    ask_first(&node, &upstream);
    restart(&mut node);
    let again = node.ask(&query("www.example.net.", RecordType::A));
    assert_eq!(data(&again), ["198.51.100.1"]);
    assert!(again.answers[0].ttl <= 300);
    assert!(upstream.is_quiet());
    let mode = std::fs::metadata(node.path("resolver.cache"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!node.path("resolver.cache.new").exists());
}

#[test]
fn a_broken_file_is_a_cold_start_with_a_warning() {
    let upstream = Upstream::start();
    let mut node = Node::start(&saving(&upstream));
    ask_first(&node, &upstream);
    node.signal(Signal::TERM);
    assert!(node.wait().success());
    let path = node.path("resolver.cache");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    node.spawn();
    assert!(
        node.log().contains("its checksum does not fit"),
        "{}",
        node.log()
    );
    ask_first(&node, &upstream);
}

#[test]
fn without_the_key_nothing_is_written() {
    let upstream = Upstream::start();
    let mut node = Node::start(&format!(
        "{}\nnode: {{data_dir: \"{{dir}}\"}}",
        upstream.forward()
    ));
    ask_first(&node, &upstream);
    restart(&mut node);
    assert!(!node.path("resolver.cache").exists());
    ask_first(&node, &upstream);
}

#[test]
fn a_folder_that_cannot_be_written_stops_nothing() {
    let upstream = Upstream::start();
    let mut node = Node::start(&saving(&upstream).replace("{dir}", "{dir}/nowhere"));
    ask_first(&node, &upstream);
    restart(&mut node);
    assert!(
        node.log().contains("cannot save the cache"),
        "{}",
        node.log()
    );
}

#[test]
fn the_resolver_shows_what_it_holds_of_a_name() {
    let upstream = Upstream::start();
    let node = Node::start(&upstream.forward());
    ask_first(&node, &upstream);
    let dump = |name: &str, subtree| {
        let name = name.to_owned();
        match node.admin_ok(&Request::ResolverDump {
            name,
            subtree,
            cursor: 0,
        }) {
            Response::ResolverPage(page) => page,
            other => panic!("{other:?}"),
        }
    };
    for page in [dump("WWW.example.net", false), dump("net.", true)] {
        assert_eq!((page.entries.len(), page.next_cursor), (1, None));
        let entry = &page.entries[0];
        let (name, record_type) = (entry.name.as_str(), entry.record_type.as_str());
        assert_eq!((name, record_type), ("www.example.net.", "A"));
        assert_eq!(
            (entry.origin.as_str(), entry.trust.as_str()),
            ("answer", "answer")
        );
        assert_eq!(entry.records[0].data, "198.51.100.1");
        assert!(entry.ttl_secs > 0 && !entry.negative);
    }
    assert!(dump("org.", true).entries.is_empty());
    let refused = node.admin(&Request::ResolverDump {
        name: "a..b".to_owned(),
        subtree: false,
        cursor: 0,
    });
    assert!(matches!(refused, Reply::Error(failure) if failure.code == FailureCode::BadRequest));
    assert_eq!(node.metric("nexus_resolver_cache_misses_total"), Some(1));
}
