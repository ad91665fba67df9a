//! Stub zones, forwarders and exceptions beside each other: the longest match wins.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, DS, NS};
use resolver::iterate::{Config, Forward, Stub, extended_error};

use crate::authority::name;
use crate::net::{COM, Net, ROOT, address, addresses, config};
use crate::validation::{self, assert_answer, assert_bogus};

const CORP: &str = "203.0.113.210";
const CORP_2: &str = "203.0.113.211";
const LAB: &str = "203.0.113.212";
const RECURSIVE: &str = "203.0.113.213";

fn servers(addresses: &[&str]) -> Vec<SocketAddr> {
    let server = |text: &&str| SocketAddr::new(address(text), 53);
    addresses.iter().map(server).collect()
}

fn stub(zone: &str, to: &[&str], prime: bool) -> Stub {
    Stub {
        zone: name(zone),
        servers: servers(to),
        prime,
    }
}

fn forward(zone: &str, to: &[&str]) -> Forward {
    Forward {
        zone: name(zone),
        servers: servers(to),
        fallback: false,
    }
}

fn net(stub: Vec<Stub>, forward: Vec<Forward>) -> Net {
    let mut net = Net::with(Config {
        stub,
        forward,
        ..config()
    });
    for server in [CORP, CORP_2] {
        net.zone(
            server,
            "corp.",
            "@ SOA ns host 1 2 3 4 300
             @ NS ns
             ns A 203.0.113.211
             printer A 10.0.0.9
             far CNAME www.example.com.
             lab NS ns.lab
             ns.lab A 203.0.113.212",
        );
    }
    net.zone(
        LAB,
        "lab.corp.",
        "@ SOA ns host 1 2 3 4 300
         @ NS ns
         ns A 203.0.113.212
         bench A 10.0.0.10",
    );
    net
}

#[test]
fn stub_is_asked_as_the_zones_own_server_and_its_delegations_are_followed() {
    let mut net = net(vec![stub("corp.", &[CORP], false)], Vec::new());
    assert_eq!(addresses(&net.ask("printer.corp.", A)), ["10.0.0.9"]);
    assert_eq!(addresses(&net.ask("bench.lab.corp.", A)), ["10.0.0.10"]);
    let missing = net.ask("missing.corp.", A);
    assert_eq!(missing.rcode, ResponseCode::NXDomain);
    assert!((net.queries_to(CORP) > 0) && (net.queries_to(LAB) > 0));
    assert_eq!(net.queries_to(ROOT), 0, "{:?}", net.asked(ROOT));
    let desires = |request: &crate::net::Request| request.message.metadata.recursion_desired;
    assert!(!net.log.iter().any(desires));
}

#[test]
fn delegation_below_a_stub_is_remembered() {
    let mut net = net(vec![stub("corp.", &[CORP], false)], Vec::new());
    net.ask("bench.lab.corp.", A);
    let before = net.queries_to(CORP);
    net.ask("other.lab.corp.", A);
    assert_eq!(net.queries_to(CORP), before);
}

#[test]
fn alias_out_of_a_stub_goes_on_in_the_tree() {
    let mut net = net(vec![stub("corp.", &[CORP], false)], Vec::new());
    let outcome = net.ask("far.corp.", A);
    assert_eq!(addresses(&outcome), ["203.0.113.1", "203.0.113.2"]);
    assert!(net.queries_to(ROOT) > 0);
}

#[test]
fn stub_is_asked_whatever_the_tree_says_and_its_word_on_others_does_not_count() {
    // The public example.com. has other data.
    let mut net = net(vec![stub("example.com.", &[CORP], false)], Vec::new());
    net.zone(
        CORP,
        "example.com.",
        "@ NS ns
         www A 10.0.0.1
         liar CNAME www.example.net.",
    );
    net.zone(CORP, "example.net.", "@ NS ns\nwww A 10.6.6.6");
    net.ask("example.com.", NS);
    assert_eq!(addresses(&net.ask("www.example.com.", A)), ["10.0.0.1"]);
    assert_eq!(net.queries_to(COM), 0);
    let elsewhere = net.ask("liar.example.com.", A);
    assert_eq!(addresses(&elsewhere), ["203.0.113.80"], "out of bailiwick");
}

#[test]
fn stub_that_primes_is_asked_through_its_own_name_servers_then() {
    for (prime, others) in [(true, 1), (false, 0)] {
        let mut net = net(vec![stub("corp.", &[CORP], prime)], Vec::new());
        net.ask("printer.corp.", A);
        assert_eq!(net.asked(CORP).contains(&"corp. NS".to_owned()), prime);
        net.ask("missing.corp.", A);
        assert_eq!(net.queries_to(CORP_2), others, "prime: {prime}");
    }
}

#[test]
fn primed_servers_that_are_dead_are_left_for_the_configured_ones() {
    let mut net = net(vec![stub("corp.", &[CORP], true)], Vec::new());
    net.ask("printer.corp.", A);
    net.silence(CORP_2);
    let outcome = net.ask("missing.corp.", A);
    assert_eq!(outcome.rcode, ResponseCode::NXDomain);
}

#[test]
fn dead_stub_is_a_failure_and_never_leads_to_the_tree() {
    let mut net = net(vec![stub("example.com.", &[CORP], false)], Vec::new());
    net.silence(CORP);
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    assert_eq!(net.queries_to(ROOT) + net.queries_to(COM), 0);
}

#[test]
fn longest_match_wins_across_stubs_forwarders_and_exceptions() {
    let stubs = vec![
        stub("corp.", &[CORP], false),
        stub("own.example.com.", &[LAB], false),
    ];
    let forwards = vec![
        forward("example.com.", &[RECURSIVE]),
        forward("www.corp.", &[RECURSIVE]),
        forward("net.corp.", &[]),
    ];
    let mut net = net(stubs, forwards);
    net.zone(
        RECURSIVE,
        ".",
        "x.example.com. A 10.1.0.1\nx.www.corp. A 10.1.0.2",
    );
    net.zone(LAB, "own.example.com.", "@ NS ns\nx A 10.1.0.3");
    assert_eq!(addresses(&net.ask("x.own.example.com.", A)), ["10.1.0.3"]);
    assert_eq!(addresses(&net.ask("x.example.com.", A)), ["10.1.0.1"]);
    assert_eq!(addresses(&net.ask("x.www.corp.", A)), ["10.1.0.2"]);
    assert_eq!(addresses(&net.ask("printer.corp.", A)), ["10.0.0.9"]);
    net.ask("corp.", NS); // What the stub says of its servers is no way into the exception.
    let (before, roots) = (net.queries_to(CORP), net.queries_to(ROOT));
    net.ask("x.net.corp.", A);
    assert_eq!(net.queries_to(CORP), before);
    assert!(net.queries_to(ROOT) > roots);
}

#[test]
fn ds_of_a_stub_is_asked_of_its_parent() {
    let mut net = net(vec![stub("corp.", &[CORP], false)], Vec::new());
    net.ask("corp.", DS);
    assert_eq!(net.queries_to(CORP), 0);
    assert!(net.asked(ROOT).contains(&"corp. DS".to_owned()));
}

#[test]
fn stub_under_a_signed_parent_that_denies_it_needs_a_negative_anchor() {
    let validating = |negative: &[&str]| {
        let stub = vec![stub("corp.", &[CORP], false)];
        let mut net = validation::net_with(Config {
            stub,
            ..validation::validating(&[])
        });
        for zone in negative {
            let now_ms = net.now_ms;
            let added = net
                .resolver
                .add_negative_anchor(now_ms, &name(zone), 3_600, String::new());
            added.unwrap();
        }
        net.zone(
            CORP,
            "corp.",
            "@ SOA ns host 1 2 3 4 300\n@ NS ns\nprinter A 10.0.0.9",
        );
        let ticket = net.begin_plain("printer.corp.", A);
        net.pass(10_000);
        net.take(ticket)
    };
    assert_bogus(&validating(&[]), extended_error::RRSIGS_MISSING);
    assert_answer(&validating(&["corp."]), false);
}

#[test]
fn health_of_each_configured_server_is_shown_with_its_zone() {
    let forwards = vec![forward("example.com.", &[RECURSIVE])];
    let mut net = net(vec![stub("corp.", &[CORP], false)], forwards);
    net.ask("printer.corp.", A);
    let shown: Vec<_> = net
        .resolver
        .forwarders()
        .map(|server| {
            (
                server.zone.to_string(),
                server.is_up,
                server.rtt_us.is_some(),
            )
        })
        .collect();
    let expected = [
        ("example.com.".to_owned(), true, false),
        ("corp.".to_owned(), true, true),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_the_zones_above_prove_does_not_answer_for_a_stub() {
    let mut net = validation::net_with(Config {
        stub: vec![stub("corp.", &[CORP], false)],
        ..validation::validating(&[])
    });
    net.zone(
        CORP,
        "corp.",
        "@ SOA ns host 1 2 3 4 300\n@ NS ns\nprinter A 10.0.0.9",
    );
    // The same proof covers both.
    let denied = net.ask("cab.", A);
    assert_eq!(denied.rcode, ResponseCode::NXDomain);
    let outcome = net.ask("printer.corp.", A);
    assert!(net.queries_to(CORP) > 0, "{outcome:?}");
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
}
