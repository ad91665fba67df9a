//! Trust anchors, positive and negative, of the running control: at once, and over a restart.

use std::thread;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use node::admin::{FailureCode, Reply, Request, Response};

use crate::common::{
    Node, extended_error, extended_errors, own_address, query, rcode, wait_until, with_edns,
};
use crate::resolving::Upstream;

/// DNSKEY missing (RFC 8914).
const NO_KEYS: u16 = 9;

/// A control that validates with the built-in anchors, but whose only forwarder has no key to show.
fn validating(data_dir: &str, more: &str) -> Node {
    Node::new(&sections(data_dir, more))
}

/// Its configuration, and its forwarder.
pub(crate) fn sections(data_dir: &str, more: &str) -> String {
    let upstream = Upstream::start();
    let forward = upstream.forward();
    thread::spawn(move || upstream.answer_addresses());
    format!("node: {{data_dir: \"{{dir}}/{data_dir}\"}}\n{forward}, dnssec: validate{more}\n")
}

fn add(zone: &str) -> Request {
    Request::NegativeAnchorAdd {
        zone: zone.to_owned(),
        lifetime_secs: 3_600,
        reason: "keys lost".to_owned(),
    }
}

fn remove(zone: &str) -> Request {
    Request::NegativeAnchorRemove {
        zone: zone.to_owned(),
    }
}

/// The warning of a change, if there is one.
fn change(node: &Node, request: &Request) -> Option<String> {
    match node.admin_ok(request) {
        Response::NegativeAnchorChanged { warning, .. } => warning,
        other => panic!("{other:?}"),
    }
}

fn refusal(node: &Node, request: &Request) -> FailureCode {
    match node.admin(request) {
        Reply::Error(failure) => failure.code,
        Reply::Ok(other) => panic!("{other:?}"),
    }
}

fn listed(node: &Node) -> Vec<(String, bool)> {
    match node.admin_ok(&Request::NegativeAnchorList {}) {
        Response::NegativeAnchors { anchors } => anchors
            .into_iter()
            .map(|anchor| (anchor.zone, anchor.permanent))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn assert_rcode(node: &Node, expected: ResponseCode) {
    let answer = node.ask(&with_edns(query("www.example.net.", RecordType::A), 1232));
    assert_eq!(rcode(&answer), expected, "{}", node.log());
    assert!(!answer.metadata.authentic_data);
    let bogus = expected == ResponseCode::ServFail;
    assert_eq!(extended_error(&answer), bogus.then_some(NO_KEYS));
}

#[test]
fn negative_anchor_acts_at_once_survives_a_restart_and_is_removed() {
    let mut node = validating(".", ", negative_trust_anchors: [fixed.example]");
    node.spawn();
    assert_rcode(&node, ResponseCode::ServFail);
    assert_eq!(change(&node, &add("Example.NET")), None);
    assert_rcode(&node, ResponseCode::NoError);
    let both = [
        ("example.net.".to_owned(), false),
        ("fixed.example.".to_owned(), true),
    ];
    assert_eq!(listed(&node), both);
    assert_eq!(
        node.metric("nexus_resolver_negative_trust_anchors"),
        Some(2)
    );
    assert_eq!(
        refusal(&node, &add("fixed.example")),
        FailureCode::BadRequest
    );
    assert_eq!(
        refusal(&node, &remove("other.example")),
        FailureCode::NotFound
    );
    node.kill();
    node.spawn();
    assert_eq!(listed(&node), both);
    assert_rcode(&node, ResponseCode::NoError);
    assert_eq!(change(&node, &remove("example.net.")), None);
    assert_rcode(&node, ResponseCode::ServFail);
    node.kill();
    node.spawn();
    assert_eq!(listed(&node).len(), 1, "what was removed stays so");
}

#[test]
fn lifetimes_and_reasons_out_of_bounds_are_refused() {
    let mut node = validating(".", "");
    node.spawn();
    let with = |lifetime_secs, reason: String| Request::NegativeAnchorAdd {
        zone: "example.".to_owned(),
        lifetime_secs,
        reason,
    };
    for request in [
        with(0, String::new()),
        with(604_801, String::new()),
        with(60, "x".repeat(513)),
    ] {
        assert_eq!(refusal(&node, &request), FailureCode::BadRequest);
    }
    assert_eq!(listed(&node), []);
}

#[test]
fn a_negative_anchor_ends_by_itself() {
    let mut node = validating(".", "");
    node.spawn();
    let request = Request::NegativeAnchorAdd {
        zone: "example.net".to_owned(),
        lifetime_secs: 1,
        reason: String::new(),
    };
    change(&node, &request);
    wait_until("the negative trust anchor ends", || {
        listed(&node).is_empty()
    });
    assert_rcode(&node, ResponseCode::ServFail);
}

#[test]
fn state_of_the_anchors_is_kept_and_read_again_and_a_broken_one_is_moved_aside() {
    let mut node = validating(".", "");
    node.spawn();
    let path = node.path("trust-anchors.state");
    wait_until("the state is written", || path.exists());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("; Trust anchors") && text.contains("DS 20326 8 2 "),
        "{text}"
    );
    assert_eq!(
        node.metric("nexus_resolver_trust_anchors{state=\"valid\"}"),
        Some(2)
    );
    node.kill();
    // As if the older key had been missing for long.
    std::fs::write(
        &path,
        text.replace("valid 0 0 DS 20326", "missing 7 0 DS 20326"),
    )
    .unwrap();
    std::fs::write(node.path("negative-trust-anchors.json"), "{\"anchors\": 7}").unwrap();
    node.spawn();
    let Response::TrustAnchors { anchors } = node.admin_ok(&Request::TrustAnchorList {}) else {
        panic!("another reply");
    };
    let states: Vec<_> = anchors
        .iter()
        .map(|anchor| (anchor.key_tag, &*anchor.state))
        .collect();
    assert_eq!(states, [(20326, "missing"), (38696, "valid")]);
    assert!(node.path("negative-trust-anchors.json.broken").exists());
    node.kill();
    std::fs::write(&path, "zone . x\n").unwrap();
    node.spawn();
    assert!(node.path("trust-anchors.state.broken").exists());
    wait_until("the state is written anew", || path.exists());
}

#[test]
fn without_a_folder_for_state_it_serves_and_says_what_that_means() {
    let mut node = validating("nowhere", "");
    node.spawn();
    let said = "trust anchors roll over in memory alone";
    wait_until("the warning", || node.log().contains(said));
    let warning = change(&node, &add("example.net")).unwrap();
    assert!(
        warning.contains("nowhere/negative-trust-anchors.json"),
        "{warning}"
    );
    assert_rcode(&node, ResponseCode::NoError);
}

#[test]
fn static_anchors_are_not_followed() {
    let mut node = validating(".", ", trust_anchor_roll_over: false");
    node.spawn();
    let Response::TrustAnchors { anchors } = node.admin_ok(&Request::TrustAnchorList {}) else {
        panic!("another reply");
    };
    assert!(
        anchors
            .iter()
            .all(|anchor| anchor.refresh_in_secs.is_none())
    );
    assert!(!node.path("trust-anchors.state").exists());
}

#[test]
fn a_failure_that_is_remembered_is_told_with_its_reason_and_counted() {
    let silent = own_address();
    let node = Node::start(&format!("resolver, forward: [\"{silent}:1\"]"));
    let question = with_edns(query("www.example.net.", RecordType::A), 1232);
    let first = extended_errors(&node.ask(&question));
    assert_eq!(first.len(), 1);
    assert_eq!(extended_errors(&node.ask(&question)), [13, first[0]]);
    let mut tcp = node.tcp();
    assert_eq!(extended_errors(&tcp.ask(&question)), [13, first[0]]);
    let plain = query("www.example.net.", RecordType::A);
    assert!(node.ask(&plain).edns.is_none());
    let count = |code: u16| {
        let sample = format!("nexus_answers_extended_error_total{{code=\"{code}\"}}");
        node.metric(&sample)
    };
    assert_eq!(
        (count(13), count(first[0])),
        (Some(2), Some(3)),
        "the last one is not told"
    );
    assert_eq!(count(6), None);
}
