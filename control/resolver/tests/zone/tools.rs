//! What zone checkers of others say of the same files. Each is skipped where it is not installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::served_by_others::find_program;
use crate::support::{NSEC, NSEC3, OPTOUT, PLAIN, small_head, try_read};

/// Program, and its arguments before the file.
const CHECKERS: &[(&str, &[&str])] = &[
    ("kzonecheck", &["-o", "example."]),
    ("nsd-checkzone", &["example."]),
    ("ldns-read-zone", &[]),
];

/// Records after the head of a small zone, which everybody takes.
const GOOD: &[&str] = &[
    "",
    "a A 192.0.2.1\n",
    "$TTL 1h30m\na IN A 192.0.2.1\n",
    "a 60 IN A 192.0.2.1\na IN 60 A 192.0.2.2\n",
    "a 60 A ( 192.0.2.1\n )\n",
    "a 60 TXT ( \"one\" ; comment\n two )\n 60 A 192.0.2.1\n",
    "a 60 TXT ( \"one\ntwo\" )\n",
    "a 60 TXT \"\" \"a\\\"b\" a\\;b \\065\n",
    "a\\.b 60 A 192.0.2.1\n\\097c 60 A 192.0.2.1\n",
    "$ORIGIN sub.example.\na 60 CNAME @\n$ORIGIN example.\nb 60 CNAME a\n",
    "A.B 60 MX 0 .\n",
    "a 60 TYPE65280 \\# 4 01 02 0304\n",
    "a 60 TYPE65280 \\# 0\n",
    "a 60 A \\# 4 c0000201\n",
    "a 60 CLASS1 TYPE1 192.0.2.1\n",
    "a 60 LOC 1 2 3.5 N 4 E -10m 1m\n",
    "a 60 APL 1:192.168.32.0/21 !2:ff00::/8\n",
    "a 60 IPSECKEY 10 1 2 192.0.2.38 AQNR\na 60 IPSECKEY 10 3 2 gw AQNR\n",
    "a 60 SVCB 1 . alpn=\"h2,h3\" port=1 ipv4hint=192.0.2.1\n",
    "a 60 CAA 0 issue \"ca.example; x=y\"\n",
    "*.a 60 A 192.0.2.1\n*.b 60 CNAME a\n",
    "sub 60 NS ns.sub\nns.sub 60 A 192.0.2.1\nsub 60 DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
    "d 60 DNAME other.\n",
];

/// Records after the head that we refuse, and so does one checker at least.
const BAD: &[&str] = &[
    "a 60 A 192.0.2.256\n",
    "a 60 A\n",
    "a 60 A 192.0.2.1 192.0.2.2\n",
    "a 60 AAAA 1::2::3\n",
    "a 60 MX mail\n",
    "a 60 MX 65536 mail\n",
    "a..b 60 A 192.0.2.1\n",
    "a 60 TXT \"open\n",
    "a 60 TXT \"one\ntwo\"\n",
    "a 60 A ( 192.0.2.1\n",
    "a 60 A 192.0.2.1 )\n",
    "a 60 NOTATYPE x\n",
    "a 60 TYPE65280 \\# 3 0102\n",
    "a 60 DS 1 13 2 xyz\n",
    "a 60 DNSKEY 256 3 13 !!!\n",
    "a 60 CNAME b\na 60 A 192.0.2.1\n",
    "a 60 CNAME b\na 60 CNAME c\n",
    "a 60 DNAME b\na 60 DNAME c\n",
    "@ 60 SOA ns h 2 2 3 4 5\n",
    "www.elsewhere. 60 A 192.0.2.1\n",
    "$NOTADIRECTIVE x\n",
    "$INCLUDE /no/such/file\n",
    "a 60 SVCB 1 . port=1 port=2\n",
    "a 60 LOC 91 N 1 E 0m\n",
    "a 60 EUI48 00-11\n",
    "a 60 APL 1:192.0.2.0/33\n",
    "a 60 IPSECKEY 10 4 2 x AQNR\n",
];

fn accepts(program: &PathBuf, arguments: &[&str], text: &str, label: &str) -> bool {
    let file = std::env::temp_dir().join(format!("nexus-check-{label}-{}", std::process::id()));
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new(program);
    let status = command
        .args(arguments)
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let _ = std::fs::remove_file(&file);
    status.expect("a checker that runs").success()
}

/// The installed checkers; says which are not there.
fn checkers() -> Vec<(&'static str, PathBuf, &'static [&'static str])> {
    let mut found = Vec::new();
    for &(name, arguments) in CHECKERS {
        match find_program(name) {
            Some(program) => found.push((name, program, arguments)),
            None => eprintln!("skipped: {name} is not installed"),
        }
    }
    found
}

/// The head that all checkers take: the TTL of the zone stands in front.
fn whole(records: &str) -> String {
    format!("$ORIGIN example.\n$TTL 60\n{}{records}", small_head())
}

#[test]
fn files_that_we_take_are_taken_by_others() {
    for (name, program, arguments) in checkers() {
        for text in GOOD
            .iter()
            .map(|records| whole(records))
            .chain([PLAIN, NSEC, NSEC3, OPTOUT].map(str::to_owned))
        {
            assert!(try_read(&text).is_ok(), "{text}");
            // ldns 1.8 reads no empty data of an unknown type and no class before a TTL; Knot DNS 3.2 knows IN by its name alone.
            let exempt = match name {
                "ldns-read-zone" => text.contains("\\# 0\n") || text.contains(" IN 60 "),
                _ => name == "kzonecheck" && text.contains("CLASS1"),
            };
            assert!(
                exempt || accepts(&program, arguments, &text, name),
                "{name} refuses {text}"
            );
        }
    }
}

#[test]
fn files_that_we_refuse_are_refused_by_another() {
    let checkers = checkers();
    for records in BAD {
        let text = whole(records);
        assert!(try_read(&text).is_err(), "{text}");
        let refused = checkers
            .iter()
            .any(|(name, program, arguments)| !accepts(program, arguments, &text, name));
        assert!(refused || checkers.is_empty(), "all others take {records}");
    }
}
