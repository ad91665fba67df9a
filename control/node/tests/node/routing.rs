//! Zones that are asked elsewhere than the tree says, out of the configuration.

use std::thread;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use node::admin::{Request, Response};

use crate::common::{Node, data, query, rcode};
use crate::resolving::Upstream;

#[test]
fn each_zone_goes_to_its_own_servers_and_status_shows_them() {
    let (corp, lab) = (Upstream::start(), Upstream::start());
    let node = Node::start(&format!(
        "resolver, forward_zones: [{{zone: corp, servers: [\"{}\"]}}], \
         stub_zones: [{{zone: lab, servers: [\"{}\"]}}]",
        corp.address, lab.address
    ));
    let ask = |name: &str, upstream: &Upstream, desires_recursion: bool| {
        let answer = thread::scope(|scope| {
            let asking = scope.spawn(|| node.ask(&query(name, RecordType::A)));
            let heard = upstream.next();
            let flags = heard.question.metadata;
            assert_eq!(flags.recursion_desired, desires_recursion);
            heard.answer_a([198, 51, 100, 7]);
            asking.join().unwrap()
        });
        assert_eq!(data(&answer), ["198.51.100.7"]);
    };
    ask("www.corp.", &corp, true);
    ask("www.lab.", &lab, false);
    let Response::Status(status) = node.admin_ok(&Request::Status {}) else {
        panic!()
    };
    let shown = status.control.resolver.upstreams.iter();
    let shown: Vec<_> = shown
        .map(|server| {
            (
                &*server.zone,
                server.address,
                server.round_trip_us.is_some(),
            )
        })
        .collect();
    let expected = [("corp.", corp.address, true), ("lab.", lab.address, true)];
    assert_eq!(shown, expected);
}

const ROOT: &str = "\
. 60 SOA a.root. host.root. 1 60 60 86400 60
. 60 NS a.root.
a.root. 60 A 127.0.0.1
";

#[test]
fn the_local_root_answers_without_a_root_server_and_is_read_again() {
    let mut node = Node::new(
        "resolver, root_hints: \"{dir}/hints\", local_root: {file: root.zone}, \
         timeouts: {question_ms: 1000}",
    );
    // Nobody answers there.
    node.write("hints", ". NS a.root.\na.root. A 127.0.0.1\n");
    node.write("root.zone", ROOT);
    node.spawn();
    assert_eq!(
        data(&node.ask(&query("a.root.", RecordType::A))),
        ["127.0.0.1"]
    );
    let missing = node.ask(&query("b.root.", RecordType::A));
    assert_eq!(rcode(&missing), ResponseCode::NXDomain);
    let Response::Lookup(lookup) = node.admin_ok(&Request::Lookup {
        name: "c.root.".into(),
        record_type: "A".into(),
        trace: true,
    }) else {
        panic!()
    };
    let mut steps = lookup.trace.iter();
    let is_local = steps.any(|step| step.text.contains("local root"));
    assert!(is_local, "{:?}", lookup.trace);

    node.write("root.zone", &format!("{ROOT}d.root. 60 A 127.0.0.4\n"));
    node.admin_ok(&Request::Reload {});
    assert_eq!(
        data(&node.ask(&query("d.root.", RecordType::A))),
        ["127.0.0.4"]
    );

    // What cannot be read leaves the copy that was read in service.
    node.write("root.zone", "nonsense");
    node.admin_ok(&Request::Reload {});
    let missing = node.ask(&query("e.root.", RecordType::A));
    assert_eq!(rcode(&missing), ResponseCode::NXDomain);
    assert!(node.log().contains("the local root zone is not taken"));
    assert!(
        node.metric("nexus_resolver_local_root_answers_total")
            .unwrap()
            >= 4
    );
}
