//! What a zone must have and must not have, and what is noted.

use resolver::zone::{NSEC3_ITERATIONS_MAX, Records, Zone};

use crate::support::{EXAMPLE, NSEC, PLAIN, small_head, try_read};

/// The error for a zone of these records after the two lines of the small zone.
fn refusal(records: &str) -> String {
    match try_read(&format!("{}{records}", small_head())) {
        Ok((zone, _)) => panic!("{zone:?} was taken"),
        Err(error) => error.to_string(),
    }
}

fn notes(records: &str) -> Vec<String> {
    let (_, notes) = try_read(&format!("{}{records}", small_head())).expect("a zone");
    notes.iter().map(ToString::to_string).collect()
}

#[test]
fn zone_without_soa_or_ns_is_refused() {
    let refused = |text: &str| try_read(text).expect_err("a fault").to_string();
    assert_eq!(
        refused("@ 60 NS ns.elsewhere.\n"),
        "test.zone: no SOA record, expected one at example."
    );
    assert_eq!(
        refused("@ 60 SOA ns h 1 2 3 4 5\n"),
        "test.zone: no NS record at example., expected one or more"
    );
    assert_eq!(
        refused(""),
        "test.zone: no SOA record, expected one at example."
    );
    assert_eq!(
        refused("a 60 A 192.0.2.1\n"),
        "test.zone: no SOA record, expected one at example."
    );
}

#[test]
fn records_that_do_not_go_together_are_refused_where_the_later_one_stands() {
    let cases = [
        (
            "@ 60 SOA ns h 2 2 3 4 5\n",
            "test.zone:3:1: second SOA record, expected one",
        ),
        (
            "a 60 SOA ns h 2 2 3 4 5\n",
            "test.zone:3:1: SOA record at a.example., expected one at example. alone",
        ),
        (
            "www.other. 60 A 192.0.2.1\n",
            "test.zone:3:1: www.other. is outside of the zone, expected a name at or below example.",
        ),
        (
            "a 60 CNAME b\na 60 A 192.0.2.1\n",
            "test.zone:4:1: a.example. has a CNAME record and a A record, expected the CNAME alone",
        ),
        (
            "a 60 TXT x\n\nb 60 TXT x\n  60 CNAME c\n",
            "test.zone:6:3: b.example. has a CNAME record and a TXT record, expected the CNAME alone",
        ),
        (
            "@ 60 CNAME c\n",
            "test.zone:3:1: example. has a CNAME record and a NS record, expected the CNAME alone",
        ),
        (
            "a 60 CNAME b\nb 60 A 192.0.2.1\na 60 CNAME c\n",
            "test.zone:5:1: second CNAME record at a.example., expected one",
        ),
        (
            "a 60 DNAME b\na 60 DNAME c\n",
            "test.zone:4:1: second DNAME record at a.example., expected one",
        ),
        (
            "a 60 DNAME b\na 60 CNAME c\n",
            "test.zone:4:1: a.example. has a CNAME record and a DNAME record, expected the CNAME alone",
        ),
        (
            "a 60 DNAME b\na 60 NS c\n",
            "test.zone:4:1: a.example. has a DNAME record and an NS record, expected one of them below the apex",
        ),
        (
            "*.a 60 NS b\n",
            "test.zone:3:1: NS record at the wildcard *.a.example., expected none",
        ),
        (
            "*.a 60 DNAME b\n",
            "test.zone:3:1: DNAME record at the wildcard *.a.example., expected none",
        ),
        (
            "@ 0 NSEC3PARAM 1 0 151 -\n",
            "test.zone:3:1: NSEC3 with 151 iterations, expected at most 150",
        ),
        (
            "2t7b4g4vsa5smi47k61mv5bv1a22bojr 60 NSEC3 1 0 65535 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n",
            "test.zone:3:1: NSEC3 with 65535 iterations, expected at most 150",
        ),
        (
            "nohash 60 NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n",
            "test.zone:3:1: NSEC3 record at nohash.example., expected 32 base32 digits and the zone's name",
        ),
    ];
    for (records, expected) in cases {
        assert_eq!(refusal(records), expected, "{records:?}");
    }
    assert_eq!(NSEC3_ITERATIONS_MAX, 150);
}

#[test]
fn set_that_no_message_holds_is_refused() {
    let records: String = (0..300)
        .map(|i| format!("big 60 TXT {i:0>250}\n"))
        .collect();
    let error = refusal(&records);
    assert!(
        error.starts_with("test.zone:3:1: TXT records of big.example. take ")
            && error.ends_with("one message holds"),
        "{error}"
    );
}

#[test]
fn dnssec_records_and_key_may_stand_beside_a_cname() {
    let records = "a 60 CNAME b\na 60 NSEC b CNAME\na 60 KEY 512 3 8 AA==\na 60 RRSIG CNAME 8 2 60 1 0 1 example. AA==\n";
    assert!(try_read(&format!("{}{records}", small_head())).is_ok());
}

#[test]
fn repeated_record_is_kept_once_and_noted() {
    assert_eq!(
        notes("a 60 A 192.0.2.1\na 60 A 192.0.2.1\n"),
        ["test.zone:4:1: a.example. A record repeated; one is kept"]
    );
    assert_eq!(
        notes("a 60 MX 1 X\na 60 MX 1 x\n").len(),
        1,
        "names in data have no case"
    );
}

#[test]
fn different_ttls_in_a_set_are_noted_and_the_least_is_taken() {
    let text = format!("{}a 60 A 192.0.2.1\na 30 A 192.0.2.2\n", small_head());
    let (zone, notes) = try_read(&text).expect("a zone");
    assert_eq!(notes.len(), 1);
    let expected =
        "test.zone:3:1: a.example. A records with TTL 30 and 60; the smaller is taken for all";
    assert_eq!(notes[0].to_string(), expected);
    let reply = crate::support::ask(&zone, "a.example.", "A");
    assert_eq!(
        reply.answer,
        ["a.example. 30 A 192.0.2.1", "a.example. 30 A 192.0.2.2"]
    );
}

#[test]
fn name_server_without_address_is_noted() {
    assert_eq!(
        notes("@ 60 NS ns\n").last().map(String::as_str),
        Some("test.zone:2:1: name server ns.example. of example. has no address in the zone")
    );
    assert_eq!(
        notes("sub 60 NS ns.sub\n"),
        ["test.zone:3:1: name server ns.sub.example. of sub.example. has no address in the zone"]
    );
    assert!(notes("sub 60 NS ns.sub\nns.sub 60 AAAA ::1\n").is_empty());
    assert!(
        notes("sub 60 NS ns.other\nother 60 NS ns.elsewhere.\n").is_empty(),
        "that is the other zone's business"
    );
    assert!(notes("sub 60 NS ns.wild\n*.wild 60 A 192.0.2.1\n").is_empty());
}

#[test]
fn target_that_is_an_alias_is_noted() {
    assert_eq!(
        notes("a 60 MX 1 b\nb 60 CNAME c\n"),
        ["test.zone:3:1: MX record of a.example. points at b.example., which is a CNAME"]
    );
    assert_eq!(notes("a 60 SRV 1 1 1 b\nb 60 CNAME c\n").len(), 1);
    assert_eq!(notes("sub 60 NS b\nb 60 CNAME c\n").len(), 1);
}

#[test]
fn hidden_records_are_noted_but_glue_is_not() {
    assert_eq!(
        notes("sub 60 NS ns.elsewhere.\nx.sub 60 TXT y\n"),
        ["test.zone:4:1: x.sub.example. is hidden by the NS record of sub.example."]
    );
    assert_eq!(
        notes("sub 60 NS ns.elsewhere.\nsub 60 TXT y\n"),
        ["test.zone:4:1: sub.example. is hidden by the NS record of sub.example."]
    );
    assert_eq!(
        notes("d 60 DNAME e\nx.d 60 A 192.0.2.1\n"),
        ["test.zone:4:1: x.d.example. is hidden by the DNAME record of d.example."]
    );
    assert!(notes("sub 60 NS ns.sub\nns.sub 60 A 192.0.2.1\nsub 60 DS 1 13 2 ab\n").is_empty());
}

#[test]
fn signature_without_records_is_noted() {
    let noted = notes("a 60 TXT x\na 60 RRSIG A 13 2 60 1 0 1 example. AA==\n");
    assert_eq!(
        noted,
        ["test.zone:4:1: a.example. has an RRSIG for A but no such records"]
    );
}

#[test]
fn chain_of_absence_that_cannot_be_used_is_noted() {
    let nsec3 =
        "2t7b4g4vsa5smi47k61mv5bv1a22bojr 60 NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n";
    assert_eq!(notes(nsec3).len(), 1, "no NSEC3PARAM");
    assert_eq!(
        notes(&format!("@ 0 NSEC3PARAM 1 0 0 ab\n{nsec3}")).len(),
        1,
        "another salt"
    );
    assert_eq!(
        notes("@ 60 DNSKEY 256 3 13 AA==\n").len(),
        1,
        "keys but no chain"
    );
}

#[test]
fn nsec3_parameters_with_flags_are_not_used() {
    // RFC 5155 §4.1.2. The signer's own record has flags 0.
    let flagged = crate::support::NSEC3.replace(" NSEC3PARAM 1 0 0 -", " NSEC3PARAM 1 1 0 -");
    assert_ne!(flagged, crate::support::NSEC3);
    let (zone, notes) = try_read(&flagged).expect("a zone");
    assert_eq!((zone.is_signed(), notes.len()), (false, 2), "{notes:?}");
    assert!(
        try_read(crate::support::NSEC3)
            .expect("a zone")
            .0
            .is_signed()
    );
}

#[test]
fn ttl_with_its_highest_bit_set_counts_as_zero() {
    let mut records = Records::new();
    let origin = std::sync::Arc::from("transfer");
    records
        .push(b"\x01a\0", 1, 1 << 31, &[1, 2, 3, 4], &origin)
        .expect("a record");
    records
        .push(b"\x01a\0", 1, (1 << 31) - 1, &[1, 2, 3, 4], &origin)
        .expect("a record");
    let ttls: Vec<u32> = records.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [0, (1 << 31) - 1]);
}

#[test]
fn number_of_notes_is_bounded() {
    let records: String = (0..3000)
        .map(|i| format!("a{i} 60 A 192.0.2.1\na{i} 60 A 192.0.2.1\n"))
        .collect();
    assert_eq!(notes(&records).len(), 1000);
}

#[test]
fn counts_and_serial_describe_the_zone() {
    let (zone, notes) = try_read(PLAIN).expect("a zone");
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(
        (zone.serial(), zone.apex(), zone.is_signed()),
        (7, EXAMPLE, false)
    );
    let counts = zone.counts();
    assert_eq!((counts.records, counts.delegations), (69, 6));
    assert!(
        counts.names < counts.rrsets
            && counts.rrsets < counts.records
            && counts.memory_bytes > 1000
    );
    let (signed, notes) = try_read(NSEC).expect("a zone");
    assert!(notes.is_empty() && signed.is_signed(), "{notes:?}");
}

#[test]
fn order_of_records_in_the_file_changes_nothing() {
    let mut lines: Vec<&str> = NSEC.lines().filter(|line| !line.starts_with(';')).collect();
    let dump = |lines: &[&str]| {
        let (zone, _) = try_read(&lines.join("\n")).expect("a zone");
        let query = crate::support::query_bytes(EXAMPLE, 252, false);
        let parsed = wire::query::Query::parse(&query).expect("a query");
        resolver::zone::Transfer::new(std::sync::Arc::new(zone), &parsed, &query)
            .collect::<Vec<_>>()
    };
    let forward = dump(&lines);
    lines.reverse();
    assert_eq!(dump(&lines), forward);
}

#[test]
fn records_in_wire_form_make_the_same_zone_as_the_file() {
    let mut loader = |_: &str, _: &str| Err(String::new());
    let read = resolver::zone::read_zone_file(PLAIN.as_bytes(), "f", EXAMPLE, &mut loader)
        .expect("a file");
    let mut pushed = Records::new();
    let origin = std::sync::Arc::from("transfer");
    for record in read.iter() {
        let owner = record.owner.to_ascii_uppercase();
        pushed
            .push(&owner, record.rtype, record.ttl, record.data, &origin)
            .expect("a record");
    }
    assert_eq!((pushed.len(), pushed.is_empty()), (read.len(), false));
    let (left, _) = Zone::build(EXAMPLE, &read).expect("a zone");
    let (right, _) = Zone::build(EXAMPLE, &pushed).expect("a zone");
    assert_eq!(left.counts(), right.counts());
    let data: Vec<&[u8]> = right.rdata(b"\x03www\x07example\0", 1).collect();
    assert_eq!(data, [[192, 0, 2, 10], [192, 0, 2, 11]]);
    assert_eq!(right.rdata(b"\x03www\x05other\0", 1).count(), 0);
}

#[test]
fn records_in_wire_form_are_checked() {
    let mut records = Records::new();
    let origin = std::sync::Arc::from("transfer");
    assert!(
        records
            .push(b"\x03www", 1, 60, &[1, 2, 3, 4], &origin)
            .is_err(),
        "no name"
    );
    assert!(
        records
            .push(b"\x03www\0", 1, 60, &[1, 2, 3], &origin)
            .is_err(),
        "no address"
    );
    assert!(
        records.push(b"\x03www\0", 255, 60, &[], &origin).is_err(),
        "no type of data"
    );
    assert!(
        records
            .push(b"\x03www\0", 4711, 60, &vec![0; 65_536], &origin)
            .is_err(),
        "too long"
    );
    assert!(records.is_empty());
}
