//! An alias that leads from one own zone into another is followed here, not in the outside world.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use std::thread;

use crate::common::{Node, data, query, rcode, with_edns};
use crate::resolving::Upstream;

const HEAD: &str = "\
@ 300 SOA ns hostmaster 1 3600 600 86400 60
@ 300 NS ns
ns 300 A 192.0.2.53
";

const ALPHA: &str = "\
www 300 CNAME www.beta.test.
long 300 CNAME one.beta.test.
gone 300 CNAME nothing.beta.test.
circle 300 CNAME circle.beta.test.
child 300 CNAME host.sub.alpha.test.
sub 300 NS ns.sub
ns.sub 300 A 192.0.2.54
cut 300 CNAME host.cut.beta.test.
out 300 CNAME out.beta.test.
tree 300 DNAME beta.test.
three 300 A 192.0.2.3
big 300 CNAME big.beta.test.
*.wild 300 CNAME www.beta.test.
";

const BETA: &str = "\
www 300 A 192.0.2.80
one 300 CNAME two.beta.test.
two 300 CNAME three.alpha.test.
circle 300 CNAME round.beta.test.
round 300 CNAME circle.alpha.test.
cut 300 NS ns.elsewhere.test.
out 300 CNAME www.example.net.
big 300 TXT ( \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" )
";

/// How the test client shows `beta.test.` as data of a type that it does not know.
const DNAME_DATA: &str = "BGJldGEEdGVzdAA=";

const ZONES: &str = "zones: [{name: alpha.test., file: alpha}, {name: sub.alpha.test., file: sub}, \
                     {name: beta.test., file: beta}]";

fn start(sections: &str) -> Node {
    let mut node = Node::new(&format!("{ZONES}\n{sections}"));
    node.write("alpha", &format!("{HEAD}{ALPHA}"));
    node.write("sub", &format!("{HEAD}host 300 A 192.0.2.90\n"));
    node.write("beta", &format!("{HEAD}{BETA}"));
    node.spawn();
    node
}

/// Asks as every kind of client does; what they get must be the same.
fn ask(node: &Node, name: &str, rtype: RecordType) -> Message {
    let question = with_edns(query(name, rtype), 1232);
    let answer = node.ask(&question);
    assert_eq!(node.tcp().ask(&question), answer, "{name} over TCP");
    let mut iterative = question.clone();
    iterative.metadata.recursion_desired = false;
    let mut same = node.ask(&iterative);
    same.metadata.recursion_desired = true;
    assert_eq!(same, answer, "{name} without RD");
    answer
}

#[test]
fn an_alias_into_another_own_zone_has_its_data_whoever_asks() {
    let node = start("resolver, allow: []");
    let cases: [(&str, &[&str]); 6] = [
        ("www.alpha.test.", &["www.beta.test.", "192.0.2.80"]),
        (
            "long.alpha.test.",
            &[
                "one.beta.test.",
                "two.beta.test.",
                "three.alpha.test.",
                "192.0.2.3",
            ],
        ),
        ("child.alpha.test.", &["host.sub.alpha.test.", "192.0.2.90"]),
        (
            "www.tree.alpha.test.",
            &[DNAME_DATA, "www.beta.test.", "192.0.2.80"],
        ),
        ("x.wild.alpha.test.", &["www.beta.test.", "192.0.2.80"]),
        ("out.alpha.test.", &["out.beta.test.", "www.example.net."]),
    ];
    for (name, expected) in cases {
        let answer = ask(&node, name, RecordType::A);
        assert_eq!(data(&answer), expected, "{name}");
        assert_eq!(rcode(&answer), ResponseCode::NoError);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert!(answer.authorities.is_empty(), "{answer:?}");
    }
}

#[test]
fn what_is_absent_or_delegated_behind_an_alias_is_told_by_the_last_zone() {
    let node = start("resolver, allow: []");
    let gone = ask(&node, "gone.alpha.test.", RecordType::A);
    assert_eq!(
        (data(&gone), rcode(&gone)),
        (
            vec!["nothing.beta.test.".to_owned()],
            ResponseCode::NXDomain
        )
    );
    assert_eq!(gone.authorities[0].name.to_string(), "beta.test.");
    let empty = ask(&node, "www.alpha.test.", RecordType::AAAA);
    assert_eq!(
        (data(&empty), rcode(&empty)),
        (vec!["www.beta.test.".to_owned()], ResponseCode::NoError)
    );
    assert_eq!(empty.authorities[0].record_type(), RecordType::SOA);
    let cut = ask(&node, "cut.alpha.test.", RecordType::A);
    assert_eq!(data(&cut), ["host.cut.beta.test."]);
    assert_eq!(cut.authorities[0].record_type(), RecordType::NS);
}

#[test]
fn a_circle_through_two_zones_ends_where_it_closes() {
    let node = start("");
    let answer = ask(&node, "circle.alpha.test.", RecordType::A);
    assert_eq!(
        data(&answer),
        [
            "circle.beta.test.",
            "round.beta.test.",
            "circle.alpha.test."
        ]
    );
    assert_eq!(rcode(&answer), ResponseCode::NoError);
}

#[test]
fn a_chain_through_very_many_zones_ends() {
    let mut node = Node::new("");
    let mut zones = Vec::new();
    for index in 0..40 {
        node.write(
            &format!("z{index}"),
            &format!("{HEAD}a 300 CNAME a.z{}.test.\n", index + 1),
        );
        zones.push(format!("{{name: z{index}.test., file: z{index}}}"));
    }
    node.configure(&format!("zones: [{}]", zones.join(", ")));
    node.spawn();
    assert_eq!(ask(&node, "a.z0.test.", RecordType::A).answers.len(), 17);
}

#[test]
fn an_answer_of_several_zones_that_does_not_fit_is_truncated() {
    let node = start("");
    let question = query("big.alpha.test.", RecordType::TXT);
    let small = node.ask(&question);
    assert!(small.metadata.truncation && small.answers.is_empty());
    assert_eq!(node.tcp().ask(&question).answers.len(), 2);
}

#[test]
fn only_what_leaves_every_own_zone_is_resolved() {
    let upstream = Upstream::start();
    let node = start(&upstream.forward());
    for (name, asked, first) in [
        (
            "out.alpha.test.",
            "www.example.net.",
            &["out.beta.test.", "www.example.net."][..],
        ),
        (
            "cut.alpha.test.",
            "host.cut.beta.test.",
            &["host.cut.beta.test."],
        ),
    ] {
        let answer = thread::scope(|scope| {
            let asking = scope.spawn(|| node.ask(&query(name, RecordType::A)));
            let heard = upstream.next();
            let outside = heard.question.queries[0].name().to_lowercase();
            assert_eq!(outside.to_string(), asked);
            heard.answer_a([198, 51, 100, 1]);
            asking.join().unwrap()
        });
        assert_eq!(data(&answer), [first, &["198.51.100.1"]].concat());
        assert!(answer.metadata.authoritative && answer.authorities.is_empty());
    }
    let own = node.ask(&query("www.alpha.test.", RecordType::A));
    assert_eq!(data(&own), ["www.beta.test.", "192.0.2.80"]);
    assert!(upstream.is_quiet());
}

#[test]
fn proofs_of_a_wildcard_stay_and_the_rest_of_the_authority_goes() {
    let mut node =
        Node::new("zones: [{name: alpha.test., file: alpha}, {name: beta.test., file: beta}]");
    let signed = |rtype: &str| {
        format!("RRSIG {rtype} 15 2 300 20371231000000 20240101000000 1 alpha.test. AAAA")
    };
    let mut alpha = String::new();
    for (owner, rtype, rdata) in [
        ("@", "SOA", "ns hostmaster 1 3600 600 86400 60"),
        ("@", "NS", "ns"),
        (
            "@",
            "DNSKEY",
            "257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
        ),
        ("@", "NSEC", "ns NS SOA RRSIG NSEC DNSKEY"),
        ("ns", "A", "192.0.2.53"),
        ("ns", "NSEC", "*.wild A RRSIG NSEC"),
        ("*.wild", "CNAME", "www.beta.test."),
        ("*.wild", "NSEC", "@ CNAME RRSIG NSEC"),
    ] {
        alpha.push_str(&format!(
            "{owner} 300 {rtype} {rdata}\n{owner} 300 {}\n",
            signed(rtype)
        ));
    }
    node.write("alpha", &alpha);
    node.write("beta", &format!("{HEAD}{BETA}"));
    node.spawn();
    let mut question = with_edns(query("x.wild.alpha.test.", RecordType::AAAA), 1232);
    question.edns.as_mut().unwrap().set_dnssec_ok(true);
    let types = |records: &[Record]| -> Vec<_> {
        records
            .iter()
            .map(|record| record.record_type().to_string())
            .collect()
    };
    let answer = node.ask(&question);
    assert_eq!(types(&answer.answers), ["CNAME", "RRSIG"]);
    assert_eq!(types(&answer.authorities), ["NSEC", "RRSIG", "SOA"]);
}
