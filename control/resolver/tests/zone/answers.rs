//! Answers of an unsigned zone: data, aliases, wildcards, absence.

use resolver::zone::Kind;

use crate::support::{PLAIN, Reply, ask, ask_bytes, query_bytes, read, small, wire_name};

const SOA: &str = "example. 300 SOA ns1.example. hostmaster.example. 7 7200 900 1209600 300";

fn plain(name: &str, qtype: &str) -> Reply {
    ask(&read(PLAIN), name, qtype)
}

fn assert_no_data(reply: &Reply) {
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::NoData)
    );
    assert_eq!(reply.authority, [SOA]);
    assert!(reply.additional.is_empty());
}

fn assert_name_error(reply: &Reply) {
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (3, true, Kind::NameError)
    );
    assert_eq!(reply.authority, [SOA]);
    assert!(reply.additional.is_empty());
}

#[test]
fn name_and_type_that_exist_are_answered_with_authority() {
    let reply = plain("www.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.tc, reply.kind()),
        (0, true, false, Kind::Answer)
    );
    assert_eq!(
        reply.answer,
        [
            "www.example. 3600 A 192.0.2.10",
            "www.example. 3600 A 192.0.2.11"
        ]
    );
    assert!(reply.authority.is_empty() && reply.additional.is_empty());
}

#[test]
fn case_of_the_question_is_kept_and_means_nothing() {
    let reply = plain("wWw.ExAmPlE.", "AAAA");
    assert_eq!(reply.answer, ["www.example. 3600 AAAA 2001:db8::10"]);
    assert_eq!(&reply.message[12..25], b"\x03wWw\x07ExAmPlE\0");
    assert_eq!(
        &reply.message[29..31],
        [0xc0, 12],
        "the owner points at the question"
    );
}

#[test]
fn records_at_the_apex_are_answered() {
    assert_eq!(
        plain("example.", "TXT").answer,
        ["example. 3600 TXT \"v=spf1 -all\""]
    );
    let soa = plain("example.", "SOA");
    assert_eq!(
        soa.answer,
        ["example. 3600 SOA ns1.example. hostmaster.example. 7 7200 900 1209600 300"]
    );
}

#[test]
fn name_servers_of_the_apex_come_with_addresses_in_the_zone() {
    let reply = plain("example.", "NS");
    assert_eq!(
        reply.answer,
        [
            "example. 3600 NS ns1.example.",
            "example. 3600 NS ns2.elsewhere."
        ]
    );
    assert_eq!(
        reply.additional,
        [
            "ns1.example. 3600 A 192.0.2.1",
            "ns1.example. 3600 AAAA 2001:db8::1"
        ]
    );
    assert!(reply.outcome.required_bytes < reply.outcome.total_bytes);
}

#[test]
fn mail_exchanger_comes_with_its_addresses() {
    let reply = plain("mx-two.example.", "MX");
    assert_eq!(
        reply.answer,
        [
            "mx-two.example. 3600 MX 10 mail.example.",
            "mx-two.example. 3600 MX 20 mail.deep.example."
        ]
    );
    assert_eq!(
        reply.additional,
        [
            "mail.deep.example. 3600 A 192.0.2.26",
            "mail.example. 3600 A 192.0.2.25"
        ]
    );
}

#[test]
fn mail_exchanger_outside_comes_without_address() {
    let reply = plain("mx-out.example.", "MX");
    assert_eq!(reply.answer, ["mx-out.example. 3600 MX 5 mail.elsewhere."]);
    assert!(reply.additional.is_empty());
}

#[test]
fn service_comes_with_the_address_of_its_host() {
    let reply = plain("sip.example.", "SRV");
    assert_eq!(
        reply.answer,
        ["sip.example. 3600 SRV 0 5 5060 sip-host.example."]
    );
    assert_eq!(reply.additional, ["sip-host.example. 3600 A 192.0.2.60"]);
}

#[test]
fn https_service_at_its_owner_comes_with_the_owners_address() {
    let reply = plain("service.example.", "HTTPS");
    assert_eq!(
        reply.answer,
        ["service.example. 3600 HTTPS 1 . alpn=\"h2,h3\" port=8443"]
    );
    assert_eq!(reply.additional, ["service.example. 3600 A 192.0.2.80"]);
}

#[test]
fn alias_of_a_service_comes_with_the_service_and_its_address() {
    let reply = plain("service-alias.example.", "HTTPS");
    assert_eq!(
        reply.answer,
        ["service-alias.example. 3600 HTTPS 0 service.example."]
    );
    let service = "service.example. 3600 HTTPS 1 . alpn=\"h2,h3\" port=8443";
    assert_eq!(
        reply.additional,
        ["service.example. 3600 A 192.0.2.80", service]
    );
}

#[test]
fn text_of_several_strings_keeps_them_apart() {
    assert_eq!(
        plain("text.example.", "TXT").answer,
        ["text.example. 3600 TXT \"one\" \"two three\" \"\""]
    );
}

#[test]
fn type_without_a_name_is_answered_as_bytes() {
    assert_eq!(
        plain("generic.example.", "TYPE4711").answer,
        ["generic.example. 3600 TYPE4711 \\# 3 010203"]
    );
}

#[test]
fn names_with_any_bytes_are_found() {
    assert_eq!(
        plain("\\000zero.example.", "A").answer,
        ["\\000zero.example. 3600 A 192.0.2.120"]
    );
    assert_eq!(
        plain("do\\.t.example.", "A").answer,
        ["do\\.t.example. 3600 A 192.0.2.121"]
    );
    assert_name_error(&plain("do.t.example.", "A"));
}

#[test]
fn type_that_is_absent_is_no_data_with_soa() {
    assert_no_data(&plain("www.example.", "TXT"));
    assert_no_data(&plain("example.", "A"));
    assert_no_data(&plain("example.", "DS"));
}

#[test]
fn name_that_is_absent_is_name_error_with_soa() {
    assert_name_error(&plain("nowhere.example.", "A"));
    assert_name_error(&plain("below.www.example.", "A"));
    assert_name_error(&plain("a.b.c.d.e.f.example.", "A"));
}

#[test]
fn negative_ttl_is_the_smaller_of_ttl_and_minimum() {
    let text = |ttl: u32, minimum: u32| {
        format!("@ {ttl} SOA ns h 1 7200 900 1209600 {minimum}\n@ 60 NS ns.elsewhere.\n")
    };
    for (ttl, minimum, expected) in [
        (3600, 300, 300),
        (120, 300, 120),
        (300, 300, 300),
        (3600, 0, 0),
    ] {
        let reply = ask(&read(&text(ttl, minimum)), "x.example.", "A");
        let soa =
            format!("example. {expected} SOA ns.example. h.example. 1 7200 900 1209600 {minimum}");
        assert_eq!(reply.authority, [soa]);
        let positive = ask(&read(&text(ttl, minimum)), "example.", "SOA");
        assert!(
            positive.answer[0].starts_with(&format!("example. {ttl} SOA")),
            "the positive TTL stays"
        );
    }
}

#[test]
fn empty_non_terminal_is_no_data() {
    assert_no_data(&plain("deep.example.", "A"));
    assert_no_data(&plain("gap.between.example.", "A"));
    assert_no_data(&plain("between.example.", "ANY"));
}

#[test]
fn alias_is_followed_inside_the_zone() {
    let reply = plain("alias2.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::Answer)
    );
    let expected = [
        "alias.example. 3600 CNAME www.example.",
        "alias2.example. 3600 CNAME alias.example.",
        "www.example. 3600 A 192.0.2.10",
        "www.example. 3600 A 192.0.2.11",
    ];
    assert_eq!(reply.answer, expected);
    assert_eq!(reply.outcome.target, None);
}

#[test]
fn records_of_an_alias_chain_stand_in_the_order_of_the_chain() {
    let reply = plain("chain1.example.", "A");
    let message = hickory_proto::op::Message::from_vec(&reply.message).expect("a message");
    let owners: Vec<String> = message
        .answers
        .iter()
        .map(|record| record.name.to_ascii())
        .collect();
    let expected = ["chain1", "chain2", "chain3", "chain4", "www", "www"]
        .map(|label| format!("{label}.example."));
    assert_eq!(owners, expected);
}

#[test]
fn alias_itself_is_answered_when_asked_for() {
    let reply = plain("alias2.example.", "CNAME");
    assert_eq!(reply.answer, ["alias2.example. 3600 CNAME alias.example."]);
    assert_eq!(reply.kind(), Kind::Answer);
}

#[test]
fn alias_out_of_the_zone_reports_its_target() {
    let reply = plain("out.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::Alias)
    );
    assert_eq!(reply.answer, ["out.example. 3600 CNAME www.elsewhere."]);
    assert!(reply.authority.is_empty());
    let target = reply.outcome.target.expect("a target");
    assert_eq!(target.as_bytes(), b"\x03www\x09elsewhere\0");
}

#[test]
fn alias_to_an_absent_name_is_name_error() {
    let reply = plain("dangling.example.", "A");
    assert_name_error(&reply);
    assert_eq!(
        reply.answer,
        ["dangling.example. 3600 CNAME nowhere.example."]
    );
}

#[test]
fn alias_to_a_name_without_the_type_is_no_data() {
    let reply = plain("alias-nodata.example.", "A");
    assert_no_data(&reply);
    assert_eq!(
        reply.answer,
        ["alias-nodata.example. 3600 CNAME text.example."]
    );
}

#[test]
fn aliases_in_a_circle_are_each_shown_once() {
    let reply = plain("loop-a.example.", "A");
    assert_eq!(
        (reply.rcode, reply.kind(), reply.outcome.target),
        (0, Kind::Alias, None)
    );
    let expected = [
        "loop-a.example. 3600 CNAME loop-b.example.",
        "loop-b.example. 3600 CNAME loop-a.example.",
    ];
    assert_eq!(reply.answer, expected);
    let itself = plain("self.example.", "A");
    assert_eq!((itself.rcode, itself.answer.len()), (0, 1));
}

#[test]
fn chain_of_aliases_ends_at_its_bound() {
    let records: String = (0..40)
        .map(|i| format!("c{i} 60 CNAME c{}\n", i + 1))
        .collect();
    let reply = ask(
        &small(&format!("{records}c40 60 A 192.0.2.1\n")),
        "c0.example.",
        "A",
    );
    assert_eq!(
        (reply.rcode, reply.kind(), reply.answer.len()),
        (0, Kind::Alias, 16)
    );
    let zone = small(&format!("{records}c40 60 A 192.0.2.1\n"));
    assert_eq!(
        ask(&zone, "c25.example.", "A").answer.len(),
        16,
        "15 aliases and the address"
    );
}

#[test]
fn alias_that_leads_to_a_wildcard_is_answered_from_it() {
    let reply = plain("into-wild.example.", "A");
    assert_eq!(
        reply.answer,
        [
            "anything.wild.example. 3600 A 192.0.2.90",
            "into-wild.example. 3600 CNAME anything.wild.example."
        ]
    );
}

#[test]
fn alias_that_leads_below_a_dname_is_redirected() {
    let reply = plain("into-dname.example.", "A");
    let expected = [
        "into-dname.example. 3600 CNAME www.old.example.",
        "old.example. 3600 DNAME new.example.",
        "www.new.example. 3600 A 192.0.2.110",
        "www.old.example. 3600 CNAME www.new.example.",
    ];
    assert_eq!(reply.answer, expected);
}

#[test]
fn wildcard_stands_in_for_an_absent_name() {
    let reply = plain("anything.wild.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::Answer)
    );
    assert_eq!(reply.answer, ["anything.wild.example. 3600 A 192.0.2.90"]);
}

#[test]
fn wildcard_stands_in_for_several_labels() {
    assert_eq!(
        plain("a.b.c.wild.example.", "TXT").answer,
        ["a.b.c.wild.example. 3600 TXT \"wild\""]
    );
}

#[test]
fn wildcard_can_be_asked_for_itself() {
    assert_eq!(
        plain("*.wild.example.", "A").answer,
        ["*.wild.example. 3600 A 192.0.2.90"]
    );
}

#[test]
fn wildcard_without_the_type_is_no_data() {
    assert_no_data(&plain("anything.wild.example.", "AAAA"));
}

#[test]
fn wildcard_does_not_stand_in_for_a_name_that_exists() {
    assert_eq!(
        plain("host.wild.example.", "A").answer,
        ["host.wild.example. 3600 A 192.0.2.91"]
    );
    assert_no_data(&plain("host.wild.example.", "TXT"));
    // RFC 4592 §2.2.2: an empty non-terminal exists.
    assert_no_data(&plain("ent.wild.example.", "A"));
}

#[test]
fn wildcard_does_not_stand_in_below_a_name_that_exists() {
    // RFC 4592 §3.3.1: the closest encloser is the existing name, not the wildcard's parent.
    assert_name_error(&plain("x.host.wild.example.", "A"));
    assert_name_error(&plain("x.ent.wild.example.", "A"));
    assert_name_error(&plain("x.*.wild.example.", "A"));
}

#[test]
fn alias_at_a_wildcard_is_followed() {
    let reply = plain("x.wild-alias.example.", "AAAA");
    assert_eq!(
        reply.answer,
        [
            "www.example. 3600 AAAA 2001:db8::10",
            "x.wild-alias.example. 3600 CNAME www.example."
        ]
    );
    let out = plain("x.wild-out.example.", "A");
    assert_eq!((out.kind(), out.answer.len()), (Kind::Alias, 1));
    assert_eq!(
        out.outcome.target.expect("a target").as_bytes(),
        b"\x06target\x09elsewhere\0"
    );
}

#[test]
fn mail_exchanger_at_a_wildcard_comes_with_its_address() {
    let reply = plain("x.wild-mx.example.", "MX");
    assert_eq!(
        reply.answer,
        ["x.wild-mx.example. 3600 MX 10 mail.example."]
    );
    assert_eq!(reply.additional, ["mail.example. 3600 A 192.0.2.25"]);
}

#[test]
fn wildcard_that_is_an_empty_non_terminal_gives_no_data() {
    // RFC 4592 §4.9: the source of synthesis exists but has no records.
    assert_no_data(&plain("x.wild-ent.example.", "A"));
    assert_no_data(&plain("*.wild-ent.example.", "A"));
    assert_eq!(plain("a.*.wild-ent.example.", "A").answer.len(), 1);
}

#[test]
fn zone_of_rfc_4592_answers_as_its_section_2_2_1_says() {
    let zone = small(
        "* 3600 TXT \"this is a wildcard\"\n* 3600 MX 10 host1\nsub.* 3600 TXT \"this is not a wildcard\"\n\
         host1 3600 A 192.0.2.1\n_ssh._tcp.host1 3600 SRV 0 0 22 host1\n_ssh._tcp.host2 3600 SRV 0 0 22 host1\n\
         subdel 3600 NS ns.elsewhere.\n",
    );
    let synthesized = [
        ("host3.example.", "MX", 1),
        ("foo.bar.example.", "TXT", 1),
        ("host3.example.", "A", 0),
    ];
    for (name, qtype, count) in synthesized {
        let reply = ask(&zone, name, qtype);
        assert_eq!(
            (reply.rcode, reply.answer.len()),
            (0, count),
            "{name} {qtype}"
        );
    }
    let not_synthesized = [
        ("host1.example.", "MX", 0),
        ("sub.*.example.", "MX", 0),
        ("_telnet._tcp.host1.example.", "SRV", 3),
        ("host.subdel.example.", "A", 0),
        ("ghost.*.example.", "MX", 3),
    ];
    for (name, qtype, rcode) in not_synthesized {
        let reply = ask(&zone, name, qtype);
        assert_eq!(
            (reply.rcode, reply.answer.len()),
            (rcode, 0),
            "{name} {qtype}"
        );
    }
}

#[test]
fn dname_redirects_names_below_it() {
    let reply = plain("www.old.example.", "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (0, true, Kind::Answer)
    );
    let expected = [
        "old.example. 3600 DNAME new.example.",
        "www.new.example. 3600 A 192.0.2.110",
        "www.old.example. 3600 CNAME www.new.example.",
    ];
    assert_eq!(reply.answer, expected);
}

#[test]
fn dname_redirects_several_labels_and_on_to_aliases() {
    let reply = plain("a.b.old.example.", "A");
    assert_eq!((reply.rcode, reply.kind()), (3, Kind::NameError));
    assert!(
        reply
            .answer
            .contains(&"a.b.old.example. 3600 CNAME a.b.new.example.".to_owned())
    );
    assert_eq!(plain("alias.old.example.", "A").answer.len(), 4);
}

#[test]
fn dname_does_not_redirect_its_owner() {
    assert_eq!(
        plain("old.example.", "TXT").answer,
        ["old.example. 3600 TXT \"at the DNAME itself\""]
    );
    assert_eq!(
        plain("old.example.", "DNAME").answer,
        ["old.example. 3600 DNAME new.example."]
    );
    assert_no_data(&plain("old.example.", "A"));
}

#[test]
fn dname_out_of_the_zone_reports_its_target() {
    let reply = plain("a.b.old-out.example.", "A");
    assert_eq!(reply.kind(), Kind::Alias);
    let expected = [
        "a.b.old-out.example. 3600 CNAME a.b.elsewhere.",
        "old-out.example. 3600 DNAME elsewhere.",
    ];
    assert_eq!(reply.answer, expected);
    assert_eq!(
        reply.outcome.target.expect("a target").as_bytes(),
        b"\x01a\x01b\x09elsewhere\0"
    );
}

#[test]
fn cname_asked_for_below_a_dname_is_the_synthesized_one() {
    let reply = plain("www.old.example.", "CNAME");
    assert_eq!((reply.rcode, reply.kind()), (0, Kind::Answer));
    assert_eq!(
        reply.answer,
        [
            "old.example. 3600 DNAME new.example.",
            "www.old.example. 3600 CNAME www.new.example."
        ]
    );
}

#[test]
fn name_that_a_dname_makes_too_long_is_yxdomain() {
    let label = "x".repeat(60);
    let reply = plain(&format!("{label}.{label}.long.example."), "A");
    assert_eq!(
        (reply.rcode, reply.aa, reply.kind()),
        (6, true, Kind::NameTooLong)
    );
    assert_eq!(
        reply.answer.len(),
        1,
        "the DNAME shows why: {:?}",
        reply.answer
    );
    let shorter = plain(&format!("{label}.long.example."), "A");
    assert_eq!((shorter.rcode, shorter.kind()), (3, Kind::NameError));
}

#[test]
fn dname_that_leads_below_itself_ends() {
    let reply = plain("a.loop-d.example.", "A");
    assert!(matches!(reply.rcode, 0 | 6), "rcode {}", reply.rcode);
    let dnames = reply
        .answer
        .iter()
        .filter(|line| line.contains(" DNAME "))
        .count();
    assert_eq!(dnames, 1, "the record itself is there once");
    assert!(reply.answer.len() <= 17);
}

#[test]
fn dname_at_the_apex_redirects_all_but_the_apex() {
    let zone = small("@ 3600 DNAME other.\n@ 3600 TXT \"apex\"\n");
    assert_eq!(ask(&zone, "example.", "TXT").answer.len(), 1);
    let reply = ask(&zone, "www.example.", "A");
    assert_eq!(
        reply.answer,
        [
            "example. 3600 DNAME other.",
            "www.example. 3600 CNAME www.other."
        ]
    );
}

#[test]
fn names_below_a_dname_are_hidden_by_it() {
    let zone = small("d 3600 DNAME new\nx.d 3600 A 192.0.2.1\nx.new 3600 A 192.0.2.2\n");
    let reply = ask(&zone, "x.d.example.", "A");
    assert!(
        reply
            .answer
            .contains(&"x.new.example. 3600 A 192.0.2.2".to_owned())
    );
    assert!(!reply.answer.iter().any(|line| line.contains("192.0.2.1")));
}

#[test]
fn any_is_answered_with_one_set() {
    // RFC 8482 §4.1.
    let reply = plain("www.example.", "ANY");
    assert_eq!((reply.rcode, reply.aa), (0, true));
    assert_eq!(
        reply.answer,
        [
            "www.example. 3600 A 192.0.2.10",
            "www.example. 3600 A 192.0.2.11"
        ]
    );
    assert_eq!(
        plain("alias.example.", "ANY").answer,
        ["alias.example. 3600 CNAME www.example."]
    );
    assert_name_error(&plain("nowhere.example.", "ANY"));
    assert_eq!(plain("x.wild.example.", "ANY").answer.len(), 1);
}

#[test]
fn transfers_and_meta_types_are_not_answered_from_a_zone() {
    for (qtype, rcode) in [
        ("AXFR", 5),
        ("IXFR", 5),
        ("MAILB", 4),
        ("MAILA", 4),
        ("TKEY", 1),
        ("TSIG", 1),
        ("OPT", 1),
    ] {
        let reply = plain("example.", qtype);
        assert_eq!(
            (reply.rcode, reply.aa, reply.kind()),
            (rcode, false, Kind::Refused),
            "{qtype}"
        );
        assert!(reply.answer.is_empty() && reply.authority.is_empty());
    }
}

#[test]
fn name_outside_of_the_zone_is_refused() {
    for name in ["www.elsewhere.", ".", "ample.", "xexample."] {
        let reply = plain(name, "A");
        assert_eq!(
            (reply.rcode, reply.aa, reply.kind()),
            (5, false, Kind::Refused),
            "{name}"
        );
    }
}

#[test]
fn checking_disabled_and_recursion_desired_are_copied_and_nothing_else() {
    let mut query = query_bytes(&wire_name("www.example."), 1, false);
    (query[2], query[3]) = (0x07, 0xb0); // AA, TC, RD; RA, AD, CD.
    let reply = ask_bytes(&read(PLAIN), &query, 512);
    assert_eq!(reply.outcome.flags, 0x8000 | 0x0400 | 0x0100 | 0x0010);
}

#[test]
fn root_zone_is_served() {
    let text = ". 86400 SOA a.root. h.root. 1 2 3 4 5\n. 86400 NS a.root.\na.root. 60 A 192.0.2.1\ncom. 60 NS ns.com.\nns.com. 60 A 192.0.2.2\n";
    let (zone, _) = resolver::zone::Zone::read(b"\0", text.as_bytes(), "root", &mut |_, _| {
        Err(String::new())
    })
    .expect("a zone");
    let soa = ask(&zone, ".", "SOA");
    assert_eq!(soa.answer, [". 86400 SOA a.root. h.root. 1 2 3 4 5"]);
    assert_eq!(
        ask(&zone, "a.root.", "A").answer,
        ["a.root. 60 A 192.0.2.1"]
    );
    let referral = ask(&zone, "www.com.", "A");
    assert_eq!(
        (referral.authority, referral.additional),
        (
            vec!["com. 60 NS ns.com.".to_owned()],
            vec!["ns.com. 60 A 192.0.2.2".to_owned()]
        )
    );
    assert_eq!(ask(&zone, "nowhere.", "A").rcode, 3);
}

#[test]
fn names_in_data_are_compressed_against_the_question_and_each_other() {
    let reply = plain("example.", "NS");
    // Header 12, question 13; NS ns1: 2 + 10 + (4 + 2); NS ns2.elsewhere: 2 + 10 + 15; A: 2 + 10 + 4; AAAA: 2 + 10 + 16.
    assert_eq!(reply.message.len(), 12 + 13 + 18 + 27 + 16 + 28);
    let soa = plain("x.example.", "A");
    // SOA: owner 2, fixed 10, ns1 and pointer 6, hostmaster and pointer 13, numbers 20.
    assert_eq!(soa.message.len(), 12 + 15 + 2 + 10 + 6 + 13 + 20);
}
