//! What is read of entries, against certificates made by rcgen.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use ct::{CtExtensions, EntryKind, Hash, LogEntry, TimestampedEntry};
use monitor::{
    DOMAIN_CHARACTERS_MAX, ISSUER_CHARACTERS_MAX, LoggedCertificate, LoggedForm, Rule, Scanner,
    Validation, WatchPattern, Watchlist,
};
use rcgen::CustomExtension;
use support::pki::{Authority, before_issue, issued};

fn entry(kind: EntryKind) -> TimestampedEntry {
    let chain = [Hash::of(b"issuer")].into();
    TimestampedEntry::new(LogEntry { kind, chain }, 5, CtExtensions::none()).unwrap()
}

#[test]
fn certificate_and_precertificate_say_the_same_and_have_one_key() {
    let mut authority = Authority::new();
    let der = authority.issue("CN.example", &["WWW.Example.com.", "*.example.org"]);
    let after = LoggedCertificate::read(&entry(issued(&der))).unwrap();
    let before = LoggedCertificate::read(&entry(before_issue(&der))).unwrap();
    let names = ["*.example.org", "www.example.com", "cn.example"];
    assert_eq!(after.names, names);
    assert_eq!(after.issuer, "O=Test, CN=Test R1");
    assert_eq!(after.serial, "01");
    assert_eq!(after.validation, Some(Validation::Dv));
    assert!(after.is_whole);
    assert_eq!(after.sha256, Hash::of(&der));
    assert_eq!(before.form, LoggedForm::Precertificate);
    let expected = LoggedCertificate {
        form: LoggedForm::Precertificate,
        sha256: before.sha256,
        ..after.clone()
    };
    assert_eq!(before, expected);
    let another = authority.issue("CN.example", &["www.example.com"]);
    let another = LoggedCertificate::read(&entry(issued(&another))).unwrap();
    assert_ne!(another.key, after.key);
}

#[test]
fn common_name_counts_if_it_can_be_a_host() {
    let mut authority = Authority::new();
    for (common_name, name) in [
        ("Some Company, Inc.", None),
        ("localhost", None),
        ("Zürich.example", Some("xn--zrich-kva.example")),
        ("A.Example", Some("a.example")),
        ("b.example", Some("b.example")),
    ] {
        let der = authority.issue(common_name, &["b.example"]);
        let read = LoggedCertificate::read(&entry(issued(&der))).unwrap();
        let mut expected = vec!["b.example"];
        expected.extend(name.filter(|name| *name != "b.example"));
        assert_eq!(read.names, expected, "{common_name}");
    }
}

#[test]
fn names_and_issuers_without_end_are_cut_and_watched_by_their_end() {
    let patterns = [WatchPattern::parse("*.example.com", false, 0).unwrap()];
    let mut scanner = Scanner::new(Watchlist::new(patterns.to_vec()).unwrap());
    let long = format!("{}example.com", "a.".repeat(1_000));
    let der = Authority::named(&"x".repeat(3_000)).issue("y", &[&long]);
    let scanned = scanner.scan(&entry(issued(&der))).unwrap();
    assert_eq!(scanned.certificate.names[0].len(), DOMAIN_CHARACTERS_MAX);
    assert_eq!(scanned.matches.len(), 1);
    assert_eq!(scanned.certificate.issuer.len(), ISSUER_CHARACTERS_MAX);
}

#[test]
fn watched_name_anywhere_in_a_certificate_is_found() {
    let patterns = [".example.com", "cn.example"];
    let patterns = patterns.map(|text| WatchPattern::parse(text, false, 0).unwrap());
    let mut scanner = Scanner::new(Watchlist::new(patterns.to_vec()).unwrap());
    let mut authority = Authority::new();
    let der = authority.issue("cn.example", &["other.example", "a.b.example.com"]);
    for kind in [issued(&der), before_issue(&der)] {
        let scanned = scanner.scan(&entry(kind)).unwrap();
        let found = scanned.matches.iter().map(|(name, found)| {
            (
                scanned.certificate.names[*name].as_str(),
                found.watch,
                found.rule,
            )
        });
        let expected = [
            ("a.b.example.com", 0, Rule::Subdomain),
            ("cn.example", 1, Rule::Exact),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}

/// An element whose contents are shorter than 128 octets.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let header = [tag, u8::try_from(contents.len()).unwrap()];
    [&header, &contents[..]].concat()
}

/// That a certificate with these extensions is found by `www.example.com` in both forms.
fn assert_found(what: &str, extensions: Vec<CustomExtension>, is_whole: bool) {
    let patterns = [WatchPattern::parse("www.example.com", false, 0).unwrap()];
    let mut scanner = Scanner::new(Watchlist::new(patterns.to_vec()).unwrap());
    let der = Authority::new().issue_with("cn", &[], extensions);
    for kind in [issued(&der), before_issue(&der)] {
        let scanned = scanner.scan(&entry(kind)).unwrap();
        assert_eq!(scanned.matches.len(), 1, "{what}");
        assert_eq!(scanned.certificate.is_whole, is_whole, "{what}");
    }
}

#[test]
fn nothing_beside_a_watched_name_hides_it() {
    const ALTERNATIVE_NAMES: [u64; 4] = [2, 5, 29, 17];
    let dns = |name: &[u8]| element(0x82, &[name]);
    let good = dns(b"Www.example.com");
    let extension = |id: &[u64], value| CustomExtension::from_oid_content(id, value);
    let names = |parts: &[&[u8]]| extension(&ALTERNATIVE_NAMES, element(0x30, parts));
    let own = |last| extension(&[1, 3, 6, 1, 4, 1, 99, last], vec![5, 0]);
    let many: Vec<_> = (0..900).map(own).collect();
    let (no_policies, no_scts) = (vec![4, 0], vec![5, 0]);
    let scts = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
    let cases = [
        ("65 extensions and more", vec![names(&[&good])], many, true),
        (
            "address",
            vec![names(&[&[0x87, 1, 9], &good])],
            vec![],
            true,
        ),
        (
            "umlaut",
            vec![names(&[&dns("ä.example".as_bytes()), &good])],
            vec![],
            true,
        ),
        (
            "no text",
            vec![names(&[&dns(b"\xff.example"), &good])],
            vec![],
            false,
        ),
        (
            "cut behind it",
            vec![names(&[&good, &[0x82, 9]])],
            vec![],
            false,
        ),
        (
            "twice",
            vec![names(&[&dns(b"a.example")]), names(&[&good])],
            vec![],
            true,
        ),
        (
            "twice, and no list",
            vec![
                own(1),
                extension(&ALTERNATIVE_NAMES, vec![5, 0]),
                names(&[&good]),
            ],
            vec![],
            false,
        ),
        (
            "policies",
            vec![names(&[&good])],
            vec![extension(&[2, 5, 29, 32], no_policies)],
            false,
        ),
        (
            "timestamps",
            vec![names(&[&good])],
            vec![extension(&scts, no_scts)],
            false,
        ),
    ];
    for (what, mut extensions, others, is_whole) in cases {
        extensions.extend(others);
        assert_found(what, extensions, is_whole);
    }
}

#[test]
fn entry_that_is_cut_or_no_certificate_is_an_error() {
    let der = Authority::new().issue("cn.example", &["a.example"]);
    for end in 1..der.len() {
        let result = LoggedCertificate::read(&entry(issued(&der[..end])));
        assert!(result.is_err(), "{end}");
    }
    let EntryKind::Precertificate { tbs, .. } = before_issue(&der) else {
        unreachable!("it is one");
    };
    assert!(LoggedCertificate::read(&entry(issued(&tbs))).is_err());
}
