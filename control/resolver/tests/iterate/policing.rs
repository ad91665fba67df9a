//! Policy zones and what the resolver has found out about name servers.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;
use resolver::iterate::{Outcome, Question};
use resolver::policy::{Client, Override, Policy, RpzZone, Rules, Step};

use crate::authority::name;
use crate::net::{EXAMPLE_1, Net};

/// Asks with a policy of one rule.
fn ask(net: &mut Net, trigger: &str, qname: &str) -> Outcome {
    let text = format!("$TTL 60\n@ SOA . . 1 1 1 1 60\n{trigger} CNAME .\n");
    let mut loader = |_: &str, _: &str| Err(String::new());
    let apex = name("rpz.");
    let read = RpzZone::read(&apex, Override::Given, text.as_bytes(), "rpz", &mut loader);
    let (zone, remarks) = read.unwrap();
    assert!(remarks.is_empty());
    let rules = Rules {
        rpz: vec![0],
        ..Rules::default()
    };
    let policy = Policy::new(vec![zone], rules);
    let client = Client {
        address: None,
        is_tcp: false,
    };
    let (mut course, step) = policy.begin(client, Question::new(name(qname), A), net.now_ms);
    assert!(matches!(step, Step::Resolve(_)));
    let outcome = net.ask(qname, A);
    let (resolver, now_ms) = (&net.resolver, net.now_ms);
    let known = |name: &_, rtype| resolver.known_records(now_ms, name, rtype);
    match policy.go_on(&mut course, outcome, &known) {
        Step::Answer(outcome) => *outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_denied_for_the_servers_that_answered_from_the_cache_too() {
    let mut address: Vec<_> = EXAMPLE_1.split('.').collect();
    address.reverse();
    let by_address = format!("32.{}.rpz-nsip", address.join("."));
    for trigger in ["*.example.com.rpz-nsdname", by_address.as_str()] {
        let mut net = Net::new();
        for _ in 0..2 {
            let outcome = ask(&mut net, trigger, "www.example.com.");
            assert_eq!(outcome.rcode, ResponseCode::NXDomain, "{trigger}");
        }
    }
    for trigger in ["ns.other.rpz-nsdname", "32.99.113.0.203.rpz-nsip"] {
        let outcome = ask(&mut Net::new(), trigger, "www.example.com.");
        assert_eq!(outcome.rcode, ResponseCode::NoError, "{trigger}");
    }
}
