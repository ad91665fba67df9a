//! What the caches hold, for people to read.

use hickory_proto::rr::RecordType::{self, A, AAAA, NS, NSEC, SOA};
use resolver::iterate::{CacheLine, CacheOrigin, Security};

use crate::authority::name;
use crate::net::{EXAMPLE_NET, Net};
use crate::validation;

fn dump(net: &Net, of: &str, subtree: bool) -> Vec<CacheLine> {
    let (mut lines, mut cursor) = (Vec::new(), Some(0));
    while let Some(at) = cursor {
        let (page, next) = net.resolver.dump_page(net.now_ms, &name(of), subtree, at);
        lines.extend(page);
        assert!(next.is_none_or(|next| next > at));
        cursor = next;
    }
    lines
}

fn of_origin(lines: &[CacheLine], origin: CacheOrigin) -> Vec<(String, RecordType)> {
    let of_origin = lines.iter().filter(|line| line.origin == origin);
    of_origin
        .map(|line| (line.name.to_string(), line.rtype))
        .collect()
}

#[test]
fn dump_tells_records_denials_delegation_and_failure_of_a_name() {
    let mut net = Net::new();
    net.ask("www.example.net.", A);
    net.ask("www.example.net.", AAAA);
    net.silence(EXAMPLE_NET);
    net.ask("www.example.net.", SOA);
    let lines = dump(&net, "www.example.net.", false);
    let host = "www.example.net.".to_owned();
    assert_eq!(
        of_origin(&lines, CacheOrigin::Answer),
        [(host.clone(), A), (host.clone(), AAAA)]
    );
    assert_eq!(of_origin(&lines, CacheOrigin::Failure), [(host, SOA)]);
    assert_eq!(
        of_origin(&lines, CacheOrigin::Delegation),
        [("example.net.".to_owned(), NS)]
    );
    let failure = lines.iter().find(|line| line.reason.is_some());
    assert!(failure.is_some_and(|line| (1..=5).contains(&line.ttl_secs)));
    net.pass(6_000);
    let lines = dump(&net, "www.example.net.", false);
    assert!(
        of_origin(&lines, CacheOrigin::Failure).is_empty(),
        "it is over"
    );
}

#[test]
fn dump_of_a_subtree_tells_of_all_names_below_and_of_no_other() {
    let mut net = Net::new();
    for qname in ["www.example.com.", "far.example.com.", "www.example.net."] {
        net.ask(qname, A);
    }
    let lines = dump(&net, "example.com.", true);
    let answers = of_origin(&lines, CacheOrigin::Answer);
    for qname in ["www.example.com.", "far.example.com.", "example.com."] {
        assert!(answers.iter().any(|(name, _)| name == qname), "{qname}");
    }
    let inside = |line: &CacheLine| name("example.com.").zone_of(&line.name);
    assert!(
        lines
            .iter()
            .filter(|line| line.origin != CacheOrigin::Delegation)
            .all(inside)
    );
    let all = dump(&net, ".", true);
    assert!(all.len() > lines.len());
}

#[test]
fn dump_of_a_large_subtree_comes_in_pages() {
    let mut net = Net::new();
    for number in 0..1_200 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    let (page, next) = net.resolver.dump_page(net.now_ms, &name("com."), true, 0);
    assert!(page.len() < 800 && next.is_some());
    let lines = dump(&net, "com.", true);
    let denied = lines.iter().filter(|line| line.negative).count();
    assert_eq!(denied, 1_200);
}

#[test]
fn dump_tells_what_validation_found_and_what_is_proven_by_others() {
    let mut net = validation::net();
    net.ask("www.good.test.", A);
    net.ask("www.unsigned.test.", A);
    net.ask("nothing.good.test.", A);
    net.ask("x.wild.good.test.", A);
    let security = |of: &str| {
        let lines = dump(&net, of, false);
        lines
            .iter()
            .find(|line| line.rtype == A)
            .map(|line| line.security)
    };
    assert_eq!(security("www.good.test."), Some(Security::Secure));
    assert_eq!(security("www.unsigned.test."), Some(Security::Insecure));
    let proven = |of: &str, subtree| of_origin(&dump(&net, of, subtree), CacheOrigin::Proven);
    let covering = proven("nothinh.good.test.", false);
    assert!(matches!(covering.as_slice(), [(_, NSEC)]), "{covering:?}");
    let wildcard = ("*.wild.good.test.".to_owned(), A);
    assert!(proven("y.z.wild.good.test.", false).contains(&wildcard));
    assert!(proven("good.test.", true).len() >= 3);
    assert!(proven("plain.", false).iter().all(|(_, rtype)| *rtype != A));
}
