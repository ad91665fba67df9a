//! What master files may say, and what records come out.

use resolver::zone::{DisplayName, rdata_to_text, read_zone_file, type_to_text};

use crate::support::EXAMPLE;

/// Records as lines of `owner ttl type data`, in file order.
fn records(text: &str) -> Vec<String> {
    records_with(text, &mut |_, path| Err(format!("no {path}")))
}

fn records_with(text: &str, loader: &mut resolver::zone::Loader<'_>) -> Vec<String> {
    let records =
        read_zone_file(text.as_bytes(), "f", EXAMPLE, loader).expect("a file without faults");
    let line = |record: resolver::zone::Record<'_>| {
        let data = rdata_to_text(record.rtype, record.data);
        format!(
            "{} {} {} {data}",
            DisplayName(record.owner),
            record.ttl,
            type_to_text(record.rtype)
        )
    };
    records.iter().map(line).collect()
}

#[test]
fn ttl_and_class_stand_in_either_order_or_not_at_all() {
    let text = "$TTL 60\na 1 IN A 192.0.2.1\na IN 2 A 192.0.2.1\na IN A 192.0.2.1\na 3 A 192.0.2.1\na A 192.0.2.1\na CLASS1 4 TYPE1 192.0.2.1\na in a 192.0.2.1\n";
    let ttls: Vec<String> = records(text)
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap_or("").to_owned())
        .collect();
    assert_eq!(ttls, ["1", "2", "60", "3", "60", "4", "60"]);
}

#[test]
fn ttl_has_units() {
    let text = "a 1h30m A 192.0.2.1\nb 1W A 192.0.2.1\n$TTL 2d\nc A 192.0.2.1\n";
    assert_eq!(
        records(text),
        [
            "a.example. 5400 A 192.0.2.1",
            "b.example. 604800 A 192.0.2.1",
            "c.example. 172800 A 192.0.2.1"
        ]
    );
}

#[test]
fn missing_ttl_is_that_of_the_directive_or_of_the_record_before() {
    assert_eq!(
        records("a 5 A 192.0.2.1\nb A 192.0.2.1\n")[1],
        "b.example. 5 A 192.0.2.1"
    );
    let lines = records("$TTL 60\na 5 A 192.0.2.1\nb A 192.0.2.1\n$TTL 61\nc A 192.0.2.1\n");
    assert_eq!(
        lines[1..],
        ["b.example. 60 A 192.0.2.1", "c.example. 61 A 192.0.2.1"]
    );
}

#[test]
fn soa_without_ttl_takes_its_minimum() {
    let lines = records("@ SOA ns h 1 2 3 4 5m\na A 192.0.2.1\n");
    assert_eq!(
        lines,
        [
            "example. 300 SOA ns.example. h.example. 1 2 3 4 300",
            "a.example. 300 A 192.0.2.1"
        ]
    );
}

#[test]
fn blank_owner_is_that_of_the_record_before() {
    let lines = records("a 60 A 192.0.2.1\n  60 A 192.0.2.2\n\t; a comment\n\n\tAAAA ::1\n");
    assert_eq!(
        lines,
        [
            "a.example. 60 A 192.0.2.1",
            "a.example. 60 A 192.0.2.2",
            "a.example. 60 AAAA ::1"
        ]
    );
}

#[test]
fn origin_changes_what_names_are_relative_to() {
    let lines = records(
        "$ORIGIN sub\na 60 CNAME @\n$ORIGIN other.\n@ 60 CNAME b\n$ORIGIN .\nc 60 CNAME d\n",
    );
    assert_eq!(
        lines,
        [
            "a.sub.example. 60 CNAME sub.example.",
            "other. 60 CNAME b.other.",
            "c. 60 CNAME d."
        ]
    );
}

#[test]
fn origin_does_not_change_a_blank_owner() {
    assert_eq!(
        records("a 60 A 192.0.2.1\n$ORIGIN sub\n 60 A 192.0.2.2\n")[1],
        "a.example. 60 A 192.0.2.2"
    );
}

#[test]
fn owners_are_lower_case_and_so_are_names_in_data_of_old_types() {
    let lines = records("A.B 60 MX 1 MAIL.X\nC 60 TXT KEEP\n");
    assert_eq!(
        lines,
        [
            "a.b.example. 60 MX 1 mail.x.example.",
            "c.example. 60 TXT \"KEEP\""
        ]
    );
}

#[test]
fn parentheses_comments_and_quotes_are_understood_together() {
    let text = "@ 60 IN SOA ns.example. h.example. ( ; first ) comment \"\n  1 ; serial\n 2 3\n\t4 5 )\na 60 TXT ( \"a;b\" ; c\n \"(d\" )\n";
    let lines = records(text);
    assert_eq!(
        lines,
        [
            "example. 60 SOA ns.example. h.example. 1 2 3 4 5",
            "a.example. 60 TXT \"a;b\" \"(d\""
        ]
    );
}

#[test]
fn quoted_string_in_parentheses_goes_on_over_line_ends() {
    let text = "a 60 TXT ( \"one\ntwo\r\n; three (\" x )\nb 60 TXT y\n";
    let mut loader = |_: &str, _: &str| Err(String::new());
    let records = read_zone_file(text.as_bytes(), "f", EXAMPLE, &mut loader).expect("no faults");
    let shown: Vec<String> = records
        .iter()
        .map(|record| {
            let data = rdata_to_text(record.rtype, record.data);
            format!("{} {data}", records.place(&record))
        })
        .collect();
    let expected = [
        "f:1:1 \"one\\010two\\013\\010; three (\" \"x\"",
        "f:4:1 \"y\"",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn escapes_stand_for_bytes_in_names_and_strings() {
    let lines = records("a\\.b\\032c 60 TXT \"\\\"\\065\\\\\" x\\;y \\  \"\\000\"\n");
    assert_eq!(
        lines,
        ["a\\.b\\032c.example. 60 TXT \"\\\"A\\\\\" \"x;y\" \" \" \"\\000\""]
    );
}

#[test]
fn lines_may_end_in_carriage_return_and_the_last_without_end() {
    let lines = records("a 60 A 192.0.2.1\r\n 60 TXT x\r\n\r\nb 60 A 192.0.2.2");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], "a.example. 60 TXT \"x\"");
}

#[test]
fn byte_order_mark_is_skipped() {
    assert_eq!(
        records("\u{feff}a 60 A 192.0.2.1\n"),
        ["a.example. 60 A 192.0.2.1"]
    );
}

#[test]
fn include_brings_records_in_and_leaves_origin_and_owner_as_they_were() {
    let mut asked = Vec::new();
    let mut loader = |from: &str, path: &str| {
        asked.push(format!("{from} {path}"));
        let inner =
            "@ 60 TXT inner\nx 60 A 192.0.2.2\n$ORIGIN elsewhere.example.\n$INCLUDE deeper\n";
        Ok(if path == "inner" {
            inner.into()
        } else {
            b"y 60 A 192.0.2.3\n".to_vec()
        })
    };
    let text = "a 60 A 192.0.2.1\n$INCLUDE inner sub\n 60 A 192.0.2.9\nb 60 A 192.0.2.4\n";
    let lines = records_with(text, &mut loader);
    let expected = [
        "a.example. 60 A 192.0.2.1",
        "sub.example. 60 TXT \"inner\"",
        "x.sub.example. 60 A 192.0.2.2",
        "y.elsewhere.example. 60 A 192.0.2.3",
        "a.example. 60 A 192.0.2.9",
        "b.example. 60 A 192.0.2.4",
    ];
    assert_eq!(lines, expected);
    assert_eq!(asked, ["f inner", "inner deeper"]);
}

#[test]
fn empty_file_has_no_records() {
    assert!(records("").is_empty());
    assert!(records("; nothing\n\n").is_empty());
}

#[test]
fn records_know_their_place() {
    let mut loader = |_: &str, _: &str| Err(String::new());
    let text = b"$TTL 60\n\n  ; x\na (\n A 192.0.2.1 )\n   A 192.0.2.2\n";
    let records = read_zone_file(text, "file", EXAMPLE, &mut loader).expect("no faults");
    let places: Vec<String> = records
        .iter()
        .map(|record| records.place(&record).to_string())
        .collect();
    assert_eq!(places, ["file:4:1", "file:6:4"]);
}
