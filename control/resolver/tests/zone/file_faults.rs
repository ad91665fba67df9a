//! Faults in master files: file, line, column, what was found and what was expected.

use resolver::zone::read_zone_file;

use crate::support::EXAMPLE;

/// The error as the operator sees it.
fn fault(text: &str) -> String {
    let mut loader = |_: &str, path: &str| match path {
        "good" => Ok(b"good 60 A 192.0.2.1\n".to_vec()),
        "self" => Ok(b"$INCLUDE self\n".to_vec()),
        _ => Err("no such file".to_owned()),
    };
    match read_zone_file(text.as_bytes(), "f", EXAMPLE, &mut loader) {
        Ok(records) => panic!("no fault but {} records in {text:?}", records.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn faults_of_syntax_name_line_and_column() {
    let cases = [
        (
            "a 60 A (192.0.2.1\n",
            "f:1:8: parenthesis without an end, expected `)` before the end of the file",
        ),
        (
            "a 60 A 192.0.2.1)\n",
            "f:1:17: found `)`, expected `(` before it",
        ),
        (
            "\n\na 60 TXT \"x\n",
            "f:3:10: quoted string without an end, expected `\"` before the line ends, or inside parentheses before the file does",
        ),
        (
            "a 60 TXT \"a\\256b\"\n",
            "f:1:12: bad escape, expected `\\` and a character, or `\\` and three digits up to 255",
        ),
        (
            "a\\1 60 A 192.0.2.1\n",
            "f:1:2: bad escape, expected `\\` and a character, or `\\` and three digits up to 255",
        ),
        (
            "a..b 60 A 192.0.2.1\n",
            "f:1:3: empty label, expected a character before the dot",
        ),
        (
            " 60 A 192.0.2.1\n",
            "f:1:2: no owner name, expected one since no record stands before this",
        ),
        (
            "\"a\" 60 A 192.0.2.1\n",
            "f:1:1: found `a`, expected an owner name",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

#[test]
fn faults_of_owner_type_class_and_ttl_name_line_and_column() {
    let cases = [
        ("a\n", "f:1:2: the entry ends here, expected a type"),
        ("a 60\n", "f:1:5: the entry ends here, expected a type"),
        ("a 60 IN\n", "f:1:8: the entry ends here, expected a type"),
        (
            "a A 192.0.2.1\n",
            "f:1:3: no TTL, expected one here or `$TTL` before",
        ),
        (
            "a 60 B 192.0.2.1\n",
            "f:1:6: unknown type `B`, expected a type such as A, or TYPE and a number",
        ),
        (
            "a 60 TYPE65536 \\# 0\n",
            "f:1:6: unknown type `TYPE65536`, expected a type such as A, or TYPE and a number",
        ),
        (
            "a 60 IN IN A 192.0.2.1\n",
            "f:1:9: unknown type `IN`, expected a type such as A, or TYPE and a number",
        ),
        (
            "a 60 60 A 192.0.2.1\n",
            "f:1:6: unknown type `60`, expected a type such as A, or TYPE and a number",
        ),
        ("a 60 CH TXT x\n", "f:1:6: class CH, expected IN"),
        ("a CLASS3 60 TXT x\n", "f:1:3: class CLASS3, expected IN"),
        (
            "a 60 ANY x\n",
            "f:1:6: ANY is a type for queries or messages alone, expected a type of data",
        ),
        (
            "a 60 OPT \\# 0\n",
            "f:1:6: OPT is a type for queries or messages alone, expected a type of data",
        ),
        (
            "a 60 TYPE0 \\# 0\n",
            "f:1:6: TYPE0 is a type for queries or messages alone, expected a type of data",
        ),
        (
            "a 60 NULL x\n",
            "f:1:11: NULL has no text form here, expected `\\#`, a length and hexadecimal (RFC 3597)",
        ),
        (
            "a 60 TYPE4711\n",
            "f:1:14: the entry ends here, expected `\\#`, a length and hexadecimal",
        ),
        (
            "a 2147483648 A 192.0.2.1\n",
            "f:1:3: found `2147483648`, expected a TTL from 0 to 2147483647 seconds, or a time such as 1h30m",
        ),
        (
            "a 1y A 192.0.2.1\n",
            "f:1:3: found `1y`, expected a TTL from 0 to 2147483647 seconds, or a time such as 1h30m",
        ),
        (
            "a 60 \"A\" 192.0.2.1\n",
            "f:1:6: found `A`, expected a type",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

/// Data, and the fault.
const DATA_FAULTS: &[(&str, &str)] = &[
    (
        "a 60 A\n",
        "f:1:7: the entry ends here, expected an IPv4 address",
    ),
    (
        "a 60 A 192.0.2\n",
        "f:1:8: found `192.0.2`, expected an IPv4 address",
    ),
    (
        "a 60 A 192.0.2.01\n",
        "f:1:8: found `192.0.2.01`, expected an IPv4 address",
    ),
    (
        "a 60 A 192.0.2.1 x\n",
        "f:1:18: found `x`, expected the end of the entry",
    ),
    (
        "a 60 AAAA 2001:db8::g\n",
        "f:1:11: found `2001:db8::g`, expected an IPv6 address",
    ),
    (
        "a 60 MX ten mail\n",
        "f:1:9: found `ten`, expected a number from 0 to 65535",
    ),
    (
        "a 60 MX 65536 mail\n",
        "f:1:9: found `65536`, expected a number from 0 to 65535",
    ),
    (
        "a 60 MX +1 mail\n",
        "f:1:9: found `+1`, expected a number from 0 to 65535",
    ),
    (
        "a 60 MX 10\n",
        "f:1:11: the entry ends here, expected a domain name",
    ),
    (
        "a 60 MX (\n 10\n b..c )\n",
        "f:3:4: empty label, expected a character before the dot",
    ),
    (
        "a 60 TXT ( \"one\ntwo\n \\x \\9\" )\n",
        "f:3:5: bad escape, expected `\\` and a character, or `\\` and three digits up to 255",
    ),
    (
        "a 60 TXT ( x\n \"one\ntwo\n",
        "f:2:2: quoted string without an end, expected `\"` before the line ends, or inside parentheses before the file does",
    ),
    (
        "a 60 MX (\n 10 )\n",
        "f:2:6: the entry ends here, expected a domain name",
    ),
    (
        "a 60 SOA ns h 1 2 3 4\n",
        "f:1:22: the entry ends here, expected seconds, or a time such as 1h30m",
    ),
    (
        "a 60 TXT\n",
        "f:1:9: the entry ends here, expected a string",
    ),
    (
        "a 60 CAA 0 is-sue x\n",
        "f:1:12: found `is-sue`, expected a tag of letters and digits",
    ),
    (
        "a 60 CAA 256 issue x\n",
        "f:1:10: found `256`, expected a number from 0 to 255",
    ),
    (
        "a 60 DS 1 13 2 0g\n",
        "f:1:17: found `g`, expected hexadecimal digits, two a byte",
    ),
    (
        "a 60 DS 1 13 2 012\n",
        "f:1:16: found `012`, expected hexadecimal digits, two a byte",
    ),
    (
        "a 60 DS 1 FOO 2 00\n",
        "f:1:11: found `FOO`, expected an algorithm's name, or its number up to 255",
    ),
    (
        "a 60 DNSKEY 256 3 13 a*b=\n",
        "f:1:23: found `*`, expected base64 with padding",
    ),
    (
        "a 60 DNSKEY 256 3 13 abc\n",
        "f:1:22: found `abc`, expected base64 with padding",
    ),
    (
        "a 60 NSEC3PARAM 1 0 0 x\n",
        "f:1:23: found `x`, expected hexadecimal digits, two a byte",
    ),
    (
        "a 60 NSEC3 1 0 0 - w\n",
        "f:1:20: found `w`, expected base32 digits 0-9 and A-V without padding",
    ),
    (
        "a 60 NSEC b A FOO\n",
        "f:1:15: unknown type `FOO`, expected a type such as A, or TYPE and a number",
    ),
    (
        "a 60 RRSIG A 13 1 60 20241301000000 0 1 b AA==\n",
        "f:1:22: found `20241301000000`, expected a time as YYYYMMDDHHmmSS, or seconds since 1970",
    ),
    (
        "a 60 EUI48 00-11-22-33-44\n",
        "f:1:12: found `00-11-22-33-44`, expected six pairs of hexadecimal digits with `-` between",
    ),
    (
        "a 60 LOC 91 N 0 E 0\n",
        "f:1:10: found `91`, expected a latitude as degrees, minutes, seconds and N or S",
    ),
    (
        "a 60 LOC 90 0 0.001 N 0 E 0\n",
        "f:1:10: found `90`, expected a latitude as degrees, minutes, seconds and N or S",
    ),
    (
        "a 60 LOC 1 N 2 E\n",
        "f:1:17: the entry ends here, expected an altitude in metres",
    ),
    (
        "a 60 LOC 1 N 2 E 0m 1 2 3 4\n",
        "f:1:27: found `4`, expected the end of the entry",
    ),
    (
        "a 60 CERT FOO 0 0 AA==\n",
        "f:1:11: found `FOO`, expected a certificate type's name, or its number",
    ),
];

#[test]
fn faults_of_data_name_line_and_column() {
    for (text, expected) in DATA_FAULTS {
        assert_eq!(fault(text), *expected, "{text:?}");
    }
}

#[test]
fn faults_of_gateways_prefixes_and_host_identities_name_line_and_column() {
    const PREFIX: &str = "expected a prefix such as 1:192.0.2.0/24 or !2:2001:db8::/32";
    let prefixes = [
        "192.0.2.0/24",
        "3:00/1",
        "1:192.0.2.0/33",
        "2:::/129",
        "1:192.0.2.0/+4",
        "1:192.0.2/24",
        "2:192.0.2.0/24",
        "!!1:192.0.2.0/24",
        "1:192.0.2.0",
    ];
    for prefix in prefixes {
        let text = format!("a 60 APL 1:0.0.0.0/0 {prefix}\n");
        assert_eq!(fault(&text), format!("f:1:22: found `{prefix}`, {PREFIX}"));
    }
    let cases = [
        (
            "a 60 IPSECKEY 10 4 2 x AA==\n",
            "f:1:18: found `4`, expected a type from 0 to 3",
        ),
        (
            "a 60 IPSECKEY 10 0 2 x AA==\n",
            "f:1:22: found `x`, expected `.` for none",
        ),
        (
            "a 60 IPSECKEY 10 1 2 . AA==\n",
            "f:1:22: found `.`, expected an IPv4 address",
        ),
        (
            "a 60 IPSECKEY 10 2 256 ::1 AA==\n",
            "f:1:20: found `256`, expected an algorithm's number up to 255",
        ),
        (
            "a 60 AMTRELAY 10 2 0 .\n",
            "f:1:18: found `2`, expected 0 or 1",
        ),
        (
            "a 60 AMTRELAY 10 0 2 192.0.2.1\n",
            "f:1:22: found `192.0.2.1`, expected an IPv6 address",
        ),
        (
            "a 60 AMTRELAY 10 0 0 . x\n",
            "f:1:24: found `x`, expected the end of the entry",
        ),
        (
            "a 60 HIP 2 \"\" AA==\n",
            "f:1:12: found ``, expected 1 to 255 bytes",
        ),
        (
            "a 60 HIP 2 00 \"\"\n",
            "f:1:15: found ``, expected 1 to 65535 bytes",
        ),
        (
            "a 60 HIP 2 00 AA== b..c\n",
            "f:1:22: empty label, expected a character before the dot",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

#[test]
fn faults_of_service_parameters_name_the_parameter() {
    let cases = [
        (
            "a 60 SVCB 1 . foo=1\n",
            "f:1:15: found `foo=1`, expected a parameter such as alpn=h2 or key123=value",
        ),
        (
            "a 60 SVCB 1 . key65535=1\n",
            "f:1:15: found `key65535=1`, expected a parameter such as alpn=h2 or key123=value",
        ),
        (
            "a 60 SVCB 1 . port=x\n",
            "f:1:20: found `x`, expected port= with a number from 0 to 65535",
        ),
        (
            "a 60 SVCB 1 . port\n",
            "f:1:15: found `port`, expected port= with a number from 0 to 65535",
        ),
        (
            "a 60 SVCB 1 . port=1 port=2\n",
            "f:1:22: found `port=2`, expected each key once",
        ),
        (
            "a 60 SVCB 1 . mandatory=port\n",
            "f:1:15: found `mandatory=port`, expected mandatory keys that are in the record",
        ),
        (
            "a 60 SVCB 1 . mandatory=mandatory\n",
            "f:1:25: found `mandatory`, expected mandatory= with other keys, each once",
        ),
        (
            "a 60 SVCB 1 . no-default-alpn\n",
            "f:1:15: found `no-default-alpn`, expected alpn beside no-default-alpn",
        ),
        (
            "a 60 SVCB 1 . ipv4hint=1.2.3\n",
            "f:1:24: found `1.2.3`, expected ipv4hint= with IPv4 addresses",
        ),
        (
            "a 60 SVCB 1 . alpn=h2,,h3\n",
            "f:1:20: found `h2,,h3`, expected alpn= with protocol names of 1 to 255 bytes",
        ),
        (
            "a 60 SVCB 1 . key1=x\n",
            "f:1:20: found `x`, expected alpn= with protocol names of 1 to 255 bytes",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

#[test]
fn faults_of_generic_data_name_what_does_not_fit() {
    let cases = [
        (
            "a 60 TYPE9 \\# 3 0102\n",
            "f:1:15: data of 2 bytes, expected 3 as stated after `\\#`",
        ),
        (
            "a 60 TYPE9 \\# x 0102\n",
            "f:1:15: found `x`, expected a number of bytes up to 65535",
        ),
        (
            "a 60 TYPE9 \\#\n",
            "f:1:14: the entry ends here, expected the number of bytes",
        ),
        (
            "a 60 TYPE9 \\# 1 0z\n",
            "f:1:18: found `z`, expected hexadecimal digits, two a byte",
        ),
        (
            "a 60 A \\# 3 010203\n",
            "f:1:11: data that is not in the form of a A record: more bytes expected at byte 0",
        ),
        (
            "a 60 MX \\# 4 0001C00C\n",
            "f:1:12: data that is not in the form of a MX record: an uncompressed name expected at byte 2",
        ),
        (
            "a 60 TYPE1 \\# 5 0102030405\n",
            "f:1:15: data that is not in the form of a A record: the end expected at byte 4",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

#[test]
fn faults_of_directives_name_line_and_column() {
    let cases = [
        (
            "$ORIGIN\n",
            "f:1:8: the entry ends here, expected a domain name",
        ),
        (
            "$ORIGIN a. b.\n",
            "f:1:12: found `b.`, expected the end of the entry",
        ),
        (
            "$TTL x\n",
            "f:1:6: found `x`, expected a TTL from 0 to 2147483647 seconds, or a time such as 1h30m",
        ),
        (
            "\n$GENERATE 1-2 a A 1\n",
            "f:2:1: unknown directive `$GENERATE`, expected $ORIGIN, $TTL or $INCLUDE",
        ),
        (
            "$INCLUDE\n",
            "f:1:9: the entry ends here, expected the name of a file",
        ),
        (
            "$INCLUDE other\n",
            "f:1:10: `other` is not included: no such file",
        ),
        (
            "$INCLUDE good a. b\n",
            "f:1:18: found `b`, expected the end of the entry",
        ),
        (
            "a 60 A 192.0.2.1\n$INCLUDE \"good\"\nx y z\n",
            "f:3:3: unknown type `y`, expected a type such as A, or TYPE and a number",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

#[test]
fn fault_in_an_included_file_names_that_file() {
    let mut loader = |_: &str, _: &str| Ok(b"\n  60 A 192.0.2.300\n".to_vec());
    let error = read_zone_file(
        b"a 60 A 192.0.2.1\n$INCLUDE inner\n",
        "outer",
        EXAMPLE,
        &mut loader,
    )
    .expect_err("a fault");
    assert_eq!(
        error.to_string(),
        "inner:2:8: found `192.0.2.300`, expected an IPv4 address"
    );
    assert_eq!(
        (&*error.place.file, error.place.line, error.place.column),
        ("inner", 2, 8)
    );
}

#[test]
fn file_that_includes_itself_is_refused() {
    let expected = "self:1:10: more than 8 files inside each other, expected fewer (a file that includes itself?)";
    assert_eq!(fault("$INCLUDE self\n"), expected);
}

#[test]
fn names_and_strings_that_are_too_long_are_refused() {
    let label = "a".repeat(64);
    assert_eq!(
        fault(&format!("{label} 60 A 192.0.2.1\n")),
        "f:1:64: label of more than 63 bytes, expected at most 63"
    );
    let name = "a.".repeat(124);
    assert_eq!(
        fault(&format!("{name}b 60 A 192.0.2.1\n")),
        "f:1:1: name of more than 255 bytes, expected at most 255"
    );
    let long = "x".repeat(256);
    let error = fault(&format!("a 60 TXT y {long}\n"));
    assert!(
        error.starts_with("f:1:12: found `xxx")
            && error.ends_with("…`, expected a string of at most 255 bytes"),
        "{error}"
    );
}

#[test]
fn data_of_more_than_65535_bytes_is_refused() {
    let strings = format!(" {}", "x".repeat(255)).repeat(256);
    assert_eq!(
        fault(&format!("a 60 TXT{strings}\n")),
        "f:1:10: record data of 65536 bytes, expected at most 65535"
    );
}

#[test]
fn bytes_that_are_no_text_are_shown_escaped() {
    let mut loader = |_: &str, _: &str| Err(String::new());
    let error =
        read_zone_file(b"a 60 A \xff\x01\n", "f", EXAMPLE, &mut loader).expect_err("a fault");
    assert_eq!(
        error.to_string(),
        "f:1:8: found `\\255\\001`, expected an IPv4 address"
    );
}
