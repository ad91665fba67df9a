//! Zones that count as unsigned from a moment on, for a while (RFC 7646).

use hickory_proto::rr::RecordType::A;
use resolver::iterate::{NegativeAnchorError, TrustEvent, extended_error};

use crate::authority::name;
use crate::net::{Net, config};
use crate::validation::{assert_answer, assert_bogus, net, net_with};

#[test]
fn negative_anchor_added_at_run_time_acts_at_once_and_ends_by_itself() {
    let mut net = net();
    assert_bogus(
        &net.ask("www.forged.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
    assert_bogus(
        &net.ask("to-forged.good.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
    assert_answer(&net.ask("www.good.test.", A), true);
    let now_ms = net.now_ms;
    // Not as far as the end of the anchor.
    let ask = |net: &mut Net, qname: &str| {
        let ticket = net.begin_plain(qname, A);
        net.pass(10_000);
        net.take(ticket)
    };
    let add = |net: &mut Net, zone: &str| {
        let resolver = &mut net.resolver;
        resolver.add_negative_anchor(now_ms, &name(zone), 120, "keys lost".into())
    };
    assert!(
        add(&mut net, "forged.test.").unwrap() > 0,
        "what was cached goes"
    );
    assert_answer(&ask(&mut net, "to-forged.good.test."), false);
    add(&mut net, "good.test.").unwrap();
    assert_answer(&ask(&mut net, "www.forged.test."), false);
    assert_answer(&ask(&mut net, "www.good.test."), false);
    let shown: Vec<_> = net.resolver.negative_anchors(now_ms).collect();
    assert_eq!(shown.len(), 2);
    let forged = shown
        .iter()
        .position(|shown| shown.zone == name("forged.test."));
    let forged = &shown[forged.unwrap()];
    assert_eq!(
        (forged.left_secs, &*forged.reason),
        (Some(120), "keys lost")
    );
    net.resolver
        .remove_negative_anchor(&name("good.test."))
        .unwrap();
    assert_answer(&ask(&mut net, "www.good.test."), true);
    // Before what was cached meanwhile ends by itself.
    net.pass(120_000);
    let ended = TrustEvent::NegativeEnded {
        zone: name("forged.test."),
    };
    assert_eq!(net.resolver.take_trust_events(), [ended]);
    assert_eq!(net.resolver.negative_anchors(net.now_ms).count(), 0);
    assert_bogus(
        &net.ask("www.forged.test.", A),
        extended_error::DNSSEC_BOGUS,
    );
}

#[test]
fn negative_anchors_are_refused_where_nothing_is_validated() {
    let mut net = net_with(config());
    let error = Err(NegativeAnchorError::NotValidating);
    let resolver = &mut net.resolver;
    assert_eq!(
        resolver.add_negative_anchor(0, &name("test."), 1, String::new()),
        error
    );
    assert_eq!(resolver.remove_negative_anchor(&name("test.")), error);
}
