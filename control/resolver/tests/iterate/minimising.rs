//! How much of a name each server sees (RFC 9156).

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, TXT};
use resolver::iterate::{Config, QnameMinimisation};

use crate::authority::respond;
use crate::net::{Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, Net, ROOT, addresses, config};

fn net(mode: QnameMinimisation) -> Net {
    Net::with(Config {
        qname_minimisation: mode,
        ..config()
    })
}

#[test]
fn each_server_sees_one_label_more_than_its_zone_and_no_type() {
    let mut net = Net::new();
    net.ask("www.example.com.", TXT);
    assert!(
        net.asked(ROOT).contains(&"com. A".to_owned()),
        "{:?}",
        net.asked(ROOT)
    );
    assert_eq!(net.asked(COM), ["example.com. A"]);
    let leaf = [net.asked(EXAMPLE_1), net.asked(EXAMPLE_2)].concat();
    assert_eq!(leaf, ["www.example.com. TXT"]);
}

#[test]
fn every_server_sees_the_whole_question_when_minimisation_is_off() {
    let mut net = net(QnameMinimisation::Off);
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    assert!(net.asked(ROOT).contains(&"www.example.com. A".to_owned()));
    assert_eq!(net.asked(COM), ["www.example.com. A"]);
}

#[test]
fn label_by_label_stops_after_ten_queries() {
    let mut net = Net::new();
    let labels: Vec<String> = (0..40).map(|number| format!("l{number}")).collect();
    let deep = format!("{}.example.net.", labels.join("."));
    net.add(
        EXAMPLE_NET,
        "example.net.",
        &format!("{deep} A 203.0.113.44"),
    );
    assert_eq!(addresses(&net.ask(&deep, A)), ["203.0.113.44"]);
    let asked = net.asked(EXAMPLE_NET);
    assert!(asked.len() <= 11, "{asked:?}");
    assert_eq!(asked[0], "l39.example.net. A");
    assert_eq!(
        asked[3], "l36.l37.l38.l39.example.net. A",
        "the first four add one label each"
    );
}

#[test]
fn parts_that_are_cached_are_not_asked_again() {
    let mut net = Net::new();
    net.ask("a.b.c.deep.example.com.", A);
    let before = net.log.len();
    net.add_example("z.b.c.deep A 203.0.113.10");
    net.ask("z.b.c.deep.example.com.", A);
    assert_eq!(net.log.len(), before + 1);
}

/// A server that says NXDOMAIN for empty non-terminals.
fn deny_empty(net: &mut Net) {
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            if reply.answers.is_empty() {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            Action::Message(Box::new(reply))
        });
    }
}

#[test]
fn relaxed_mode_asks_for_the_whole_name_when_a_part_does_not_exist() {
    let mut net = Net::new();
    deny_empty(&mut net);
    assert_eq!(
        addresses(&net.ask("a.b.c.deep.example.com.", A)),
        ["203.0.113.9"]
    );
    assert_eq!(net.resolver.statistics().minimisation_fallbacks, 1);
}

#[test]
fn strict_mode_believes_that_a_part_does_not_exist() {
    let mut net = net(QnameMinimisation::Strict);
    deny_empty(&mut net);
    for _ in 0..2 {
        let outcome = net.ask("a.b.c.deep.example.com.", A);
        assert_eq!(outcome.rcode, ResponseCode::NXDomain);
        assert_eq!(outcome.authority.len(), 1);
    }
    assert_eq!(
        net.queries_to(EXAMPLE_1) + net.queries_to(EXAMPLE_2),
        1,
        "the second time from the cache"
    );
}

#[test]
fn relaxed_mode_asks_for_the_whole_name_when_a_part_is_refused() {
    for rcode in [
        ResponseCode::Refused,
        ResponseCode::ServFail,
        ResponseCode::NotImp,
    ] {
        let mut net = Net::new();
        for server in [EXAMPLE_1, EXAMPLE_2] {
            net.behave(server, move |request, zones| {
                let mut reply = respond(zones, &request.message);
                if request.qname != "a.b.c.deep.example.com." {
                    reply.authorities.clear();
                    reply.metadata.authoritative = false;
                    reply.metadata.response_code = rcode;
                }
                Action::Message(Box::new(reply))
            });
        }
        assert_eq!(
            addresses(&net.ask("a.b.c.deep.example.com.", A)),
            ["203.0.113.9"],
            "{rcode}"
        );
    }
}

#[test]
fn relaxed_mode_asks_for_the_whole_name_when_parts_are_dropped() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, _| {
            if request.qname == "a.b.c.deep.example.com." {
                Action::Serve
            } else {
                Action::Silence
            }
        });
    }
    assert_eq!(
        addresses(&net.ask("a.b.c.deep.example.com.", A)),
        ["203.0.113.9"]
    );
}

#[test]
fn alias_at_a_part_of_the_name_is_not_followed() {
    let mut net = Net::new();
    net.add_example("mid CNAME www.example.net.\n x.y.mid A 203.0.113.45");
    assert_eq!(
        addresses(&net.ask("x.y.mid.example.com.", A)),
        ["203.0.113.45"]
    );
}

#[test]
fn dname_above_parts_of_the_name_is_followed() {
    let mut net = Net::new();
    net.add(EXAMPLE_NET, "example.net.", "x.y.z A 203.0.113.46");
    net.add_example("old DNAME example.net.");
    assert_eq!(
        addresses(&net.ask("x.y.z.old.example.com.", A)),
        ["203.0.113.46"]
    );
}
