//! Zones that are asked elsewhere than the tree says, out of the configuration.

use std::net::Ipv4Addr;
use std::thread;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{RData, Record, RecordType};
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
    let Response::ZonesReloaded { warnings, .. } = node.admin_ok(&Request::Reload {}) else {
        panic!()
    };
    assert!(warnings[0].contains("root.zone:1:"), "{warnings:?}");
    let missing = node.ask(&query("e.root.", RecordType::A));
    assert_eq!(rcode(&missing), ResponseCode::NXDomain);
    assert!(node.log().contains("the local root zone is not taken"));
    assert!(
        node.metric("nexus_resolver_local_root_answers_total")
            .unwrap()
            >= 4
    );
}

/// The data of the CLIENT-SUBNET option.
fn subnet(message: &Message) -> Option<Vec<u8>> {
    let options = &message.edns.as_ref()?.options().options;
    options.iter().find_map(|(_, option)| match option {
        EdnsOption::Subnet(subnet) => Some(Vec::<u8>::try_from(subnet).unwrap()),
        _ => None,
    })
}

fn with_subnet(mut message: Message, network: &str) -> Message {
    let mut edns = Edns::new();
    let option = EdnsOption::Subnet(network.parse().unwrap());
    edns.options_mut().insert(option);
    message.set_edns(edns);
    message
}

#[test]
fn networks_of_clients_reach_the_chosen_zones_servers_and_their_answers_nobody_else() {
    let upstream = Upstream::start();
    let node = Node::start(&format!(
        "{}, client_subnet: {{zones: [cdn.example], ipv4_bits: 16}}",
        upstream.forward()
    ));
    let ask = |message: &Message, address: [u8; 4]| {
        let (seen, answer) = thread::scope(|scope| {
            let asking = scope.spawn(|| node.ask(message));
            let heard = upstream.next();
            let seen = subnet(&heard.question);
            let mut response = heard.response();
            let name = heard.question.queries[0].name().clone();
            let data = RData::A(A::from(Ipv4Addr::from(address)));
            response.add_answer(Record::from_rdata(name, 300, data));
            if let Some(data) = &seen {
                let mut edns = Edns::new();
                let mut data = data.clone();
                data[3] = 16;
                edns.options_mut().insert(EdnsOption::Unknown(8, data));
                response.set_edns(edns);
            }
            heard.answer(&response);
            (seen, asking.join().unwrap())
        });
        assert_eq!(data(&answer), [Ipv4Addr::from(address).to_string()]);
        (seen, subnet(&answer))
    };
    let plain = query("www.cdn.example.", RecordType::A);
    let [a, b, ..] = node.address.octets();
    let own = Some(vec![0, 1, 16, 0, a, b]);
    assert_eq!(ask(&plain, [198, 51, 100, 1]), (own, None));
    let first = with_subnet(plain.clone(), "203.0.113.0/24");
    let seen = Some(vec![0, 1, 16, 0, 203, 0]);
    let echoed = Some(vec![0, 1, 24, 16, 203, 0, 113]);
    assert_eq!(ask(&first, [198, 51, 100, 2]), (seen, echoed));
    let nothing = with_subnet(plain.clone(), "0.0.0.0/0");
    let echoed = Some(vec![0, 1, 0, 16]);
    assert_eq!(
        ask(&nothing, [198, 51, 100, 3]),
        (Some(vec![0, 1, 0, 0]), echoed)
    );
    // Each from its own part of the cache.
    let expected = [
        (&plain, "198.51.100.1"),
        (&first, "198.51.100.2"),
        (&nothing, "198.51.100.3"),
    ];
    for (message, address) in expected {
        assert_eq!(data(&node.ask(message)), [address]);
    }
    let other = with_subnet(query("www.example.", RecordType::A), "203.0.113.0/24");
    assert_eq!(ask(&other, [198, 51, 100, 4]), (None, None));
    let mut edns = Edns::new();
    let option = EdnsOption::Unknown(8, vec![0, 1, 24, 0, 203]);
    edns.options_mut().insert(option);
    let mut malformed = plain;
    malformed.set_edns(edns);
    assert_eq!(rcode(&node.ask(&malformed)), ResponseCode::FormErr);
}
