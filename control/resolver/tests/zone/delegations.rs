//! Delegations: referrals, glue, DS, and what lies below.

use resolver::zone::Kind;

use crate::support::{NSEC, PLAIN, Reply, ask, ask_signed, ask_with, read, small};

fn plain(name: &str, qtype: &str) -> Reply {
    ask(&read(PLAIN), name, qtype)
}

const SIGNED_GLUE: [&str; 2] = [
    "ns.signed.example. 3600 A 192.0.2.101",
    "ns.signed.example. 3600 AAAA 2001:db8::101",
];

#[test]
fn name_below_a_delegation_is_referred_without_authority() {
    let reply = plain("host.signed.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, false, Kind::Referral)
    );
    assert!(reply.answer.is_empty());
    assert_eq!(
        reply.authority,
        ["signed.example. 3600 NS ns.signed.example."]
    );
    assert_eq!(reply.additional, SIGNED_GLUE);
}

#[test]
fn delegation_itself_is_referred_for_every_type_but_ds() {
    for qtype in ["A", "NS", "SOA", "TXT", "ANY", "CNAME", "NSEC"] {
        let reply = plain("signed.example.", qtype);
        assert_eq!(
            (reply.kind(), reply.authority.len(), reply.answer.len()),
            (Kind::Referral, 1, 0),
            "{qtype}"
        );
    }
}

#[test]
fn ds_of_a_delegation_is_answered_with_authority() {
    let reply = plain("signed.example.", "DS");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::Answer)
    );
    assert_eq!(reply.answer.len(), 1);
    let absent = plain("unsigned.example.", "DS");
    assert_eq!(
        (
            absent.rcode,
            absent.aa,
            absent.kind(),
            absent.authority.len()
        ),
        (0, true, Kind::NoData, 1)
    );
}

#[test]
fn ds_of_a_name_below_a_delegation_is_referred() {
    assert_eq!(plain("host.signed.example.", "DS").kind(), Kind::Referral);
}

#[test]
fn glue_is_not_answered_but_referred() {
    for qtype in ["A", "AAAA", "TXT"] {
        assert_eq!(plain("ns.signed.example.", qtype).kind(), Kind::Referral);
    }
    assert_eq!(plain("apex-glue.example.", "A").kind(), Kind::Referral);
    assert_eq!(plain("x.y.ns.signed.example.", "A").kind(), Kind::Referral);
}

#[test]
fn name_server_that_is_the_delegated_name_has_its_glue() {
    let reply = plain("www.apex-glue.example.", "A");
    assert_eq!(reply.additional, ["apex-glue.example. 3600 A 192.0.2.103"]);
}

#[test]
fn delegation_to_foreign_name_servers_has_no_glue() {
    let reply = plain("x.foreign.example.", "A");
    assert_eq!(reply.authority, ["foreign.example. 3600 NS ns.elsewhere."]);
    assert!(reply.additional.is_empty());
}

#[test]
fn glue_inside_the_delegation_is_required_and_of_siblings_is_not() {
    let reply = plain("x.unsigned.example.", "A");
    assert_eq!(reply.authority.len(), 2);
    let mut expected = vec!["ns.unsigned.example. 3600 A 192.0.2.102"];
    expected.splice(0..0, SIGNED_GLUE);
    assert_eq!(reply.additional, expected);
    assert_eq!(reply.outcome.required_additional, 1);
    // A and AAAA of the sibling: owner ns and pointer, or pointer alone, 10 bytes, data.
    assert!(reply.outcome.total_bytes - reply.outcome.required_bytes >= 2 * 12 + 20);
}

#[test]
fn sibling_glue_is_left_out_where_it_does_not_fit_and_nothing_is_truncated() {
    let zone = read(PLAIN);
    let whole = ask(&zone, "x.unsigned.example.", "A").outcome;
    for limit in whole.required_bytes..whole.total_bytes {
        let reply = ask_with(&zone, "x.unsigned.example.", "A", false, limit);
        assert!(!reply.tc, "limit {limit}");
        assert_eq!(
            reply.additional,
            ["ns.unsigned.example. 3600 A 192.0.2.102"]
        );
    }
}

#[test]
fn required_glue_that_does_not_fit_truncates() {
    let zone = read(PLAIN);
    let required = ask(&zone, "x.unsigned.example.", "A")
        .outcome
        .required_bytes;
    // At 40 bytes not even the name servers fit.
    for limit in [40, required - 1] {
        let reply = ask_with(&zone, "x.unsigned.example.", "A", false, limit);
        assert_eq!((reply.tc, reply.aa), (true, false), "limit {limit}");
        assert_eq!(reply.kind(), Kind::Truncated);
        assert!(reply.authority.is_empty() && reply.additional.is_empty());
    }
}

#[test]
fn truncated_alias_into_a_delegation_is_authoritative() {
    let zone = small("a 60 CNAME x.sub\nsub 60 NS ns.sub\nns.sub 60 A 192.0.2.1\n");
    let whole = ask(&zone, "a.example.", "A");
    assert_eq!((whole.aa, whole.kind()), (true, Kind::Alias));
    let limit = whole.outcome.required_bytes - 1;
    let reply = ask_with(&zone, "a.example.", "A", false, limit);
    assert_eq!((reply.tc, reply.aa), (true, true));
}

#[test]
fn address_of_a_name_server_with_authority_comes_beside_sibling_glue() {
    let reply = plain("x.sibling.example.", "A");
    let expected = [
        "ns.unsigned.example. 3600 A 192.0.2.102",
        "www.example. 3600 A 192.0.2.10",
        "www.example. 3600 A 192.0.2.11",
        "www.example. 3600 AAAA 2001:db8::10",
    ];
    assert_eq!(reply.additional, expected);
    assert_eq!(reply.outcome.required_additional, 0);
}

#[test]
fn delegation_below_an_empty_non_terminal_is_found() {
    assert_eq!(plain("under.ent.example.", "A").kind(), Kind::NoData);
    assert_eq!(
        plain("x.delegated.under.ent.example.", "A").kind(),
        Kind::Referral
    );
}

#[test]
fn highest_delegation_counts_and_hides_those_below() {
    let zone = small("a 60 NS ns.elsewhere.\nb.a 60 NS ns.other.\nwww.b.a 60 A 192.0.2.1\n");
    let reply = ask(&zone, "www.b.a.example.", "A");
    assert_eq!(reply.authority, ["a.example. 60 NS ns.elsewhere."]);
    assert_eq!(
        ask(&zone, "b.a.example.", "DS").authority,
        ["a.example. 60 NS ns.elsewhere."]
    );
}

#[test]
fn wildcard_below_a_delegation_is_hidden() {
    let zone = small("a 60 NS ns.elsewhere.\n*.a 60 A 192.0.2.1\n");
    assert_eq!(ask(&zone, "x.a.example.", "A").kind(), Kind::Referral);
}

#[test]
fn alias_that_leads_below_a_delegation_is_answered_with_the_referral_and_reported() {
    let reply = plain("into-cut.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::Alias)
    );
    assert_eq!(
        reply.answer,
        ["into-cut.example. 3600 CNAME host.signed.example."]
    );
    assert_eq!(
        reply.authority,
        ["signed.example. 3600 NS ns.signed.example."]
    );
    assert_eq!(reply.additional, SIGNED_GLUE);
    let target = reply.outcome.target.expect("a target");
    assert_eq!(target.as_bytes(), b"\x04host\x06signed\x07example\0");
}

#[test]
fn referral_of_a_signed_delegation_has_ds_only_for_who_asks() {
    let zone = read(NSEC);
    let has_ds = |reply: Reply| reply.authority.iter().any(|line| line.contains(" DS "));
    assert!(has_ds(ask_signed(&zone, "x.signed.example.", "A")));
    assert!(!has_ds(ask(&zone, "x.signed.example.", "A")));
    assert!(
        !has_ds(ask_signed(&read(PLAIN), "x.signed.example.", "A")),
        "without a signature it proves nothing"
    );
}

#[test]
fn mail_exchanger_below_a_delegation_comes_without_address() {
    let zone = small("@ 60 MX 1 ns.sub\nsub 60 NS ns.sub\nns.sub 60 A 192.0.2.1\n");
    let reply = ask(&zone, "example.", "MX");
    assert!(
        reply.additional.is_empty(),
        "glue is not ours to give: {:?}",
        reply.additional
    );
}
