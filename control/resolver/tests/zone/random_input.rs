//! Arbitrary input: text to the reader, names and types to the zones.

use bolero::check;
use resolver::zone::{DisplayName, rdata_to_text, read_zone_file, type_to_text};
use wire::query::Query;

use crate::support::{EXAMPLE, NSEC, NSEC3, OPTOUT, PLAIN, ask_bytes, query_bytes, read};

/// Words that make random text reach deeper than random bytes do.
const WORDS: &[&str] = &[
    "a",
    "@",
    "*",
    "b.c",
    "\\000",
    "60",
    "1h",
    "IN",
    "CH",
    "A",
    "192.0.2.1",
    "AAAA",
    "::1",
    "MX",
    "10",
    "NS",
    "CNAME",
    "DNAME",
    "SOA",
    "1 2 3 4 5",
    "TXT",
    "\"x y\"",
    "\"",
    "(",
    ")",
    ";",
    "\n",
    "\n",
    "\n",
    " ",
    "\t",
    "$TTL",
    "$ORIGIN",
    "$INCLUDE",
    "f",
    "TYPE65280",
    "\\#",
    "4",
    "01020304",
    "APL",
    "!1:192.0.2.0/24 2:::/0",
    "IPSECKEY",
    "AMTRELAY",
    "10 1 2",
    "HIP",
    "2 0a AQ==",
    "LOC",
    "1 N 2 E 3m",
    "SVCB",
    "1 . alpn=h2",
    "port=\"1\"",
    "RRSIG",
    "NSEC",
    "NSEC3",
    "1 0 0 -",
    "2t7b4g4vsa5smi47k61mv5bv1a22bojr",
    "CAA",
    "0 issue x",
    "\\",
    "=",
    ".",
    "..",
];

#[test]
fn any_bytes_are_read_or_refused_with_a_place_inside_the_text() {
    check!()
        .with_iterations(2_000)
        .for_each(|text: &[u8]| read_any(text));
}

#[test]
fn any_words_are_read_or_refused_with_a_place_inside_the_text() {
    check!()
        .with_iterations(2_000)
        .with_type::<Vec<u8>>()
        .for_each(|choices| {
            let words: Vec<&str> = choices
                .iter()
                .map(|&choice| WORDS[usize::from(choice) % WORDS.len()])
                .collect();
            read_any(words.join(" ").as_bytes());
            read_any(words.concat().as_bytes());
        });
}

fn read_any(text: &[u8]) {
    let mut loads = 0;
    let mut loader = |_: &str, _: &str| {
        loads += 1;
        if loads > 3 {
            Err("enough".to_owned())
        } else {
            Ok(text.to_vec())
        }
    };
    match read_zone_file(text, "f", EXAMPLE, &mut loader) {
        Ok(records) => {
            for record in records.iter() {
                reads_back(record);
            }
            // Building decides, and never panics.
            let _ = resolver::zone::Zone::build(EXAMPLE, &records);
        }
        Err(error) => {
            let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let (line, column) = (error.place.line as usize, error.place.column as usize);
            assert!(
                (1..=lines).contains(&line) && (1..=text.len() + 1).contains(&column),
                "{error}"
            );
        }
    }
}

/// What was read is shown as text that reads the same.
fn reads_back(record: resolver::zone::Record<'_>) {
    let data = rdata_to_text(record.rtype, record.data);
    let text = format!(
        "{} {} {} {data}\n",
        DisplayName(record.owner),
        record.ttl,
        type_to_text(record.rtype)
    );
    let again = read_zone_file(text.as_bytes(), "again", EXAMPLE, &mut |_, _| {
        Err(String::new())
    });
    let again = again.unwrap_or_else(|error| panic!("{error} in {text:?}"));
    let record_again = again.iter().next().expect("a record");
    assert_eq!(
        (record_again.owner, record_again.data),
        (record.owner, record.data),
        "{text:?}"
    );
}

#[test]
fn any_name_and_type_gets_a_whole_message_within_the_limit() {
    let zones = [PLAIN, NSEC, NSEC3, OPTOUT].map(read);
    let labels: Vec<&[u8]> = vec![
        b"\x01a",
        b"\x01*",
        b"\x03www",
        b"\x04wild",
        b"\x04deep",
        b"\x03ent",
        b"\x03old",
        b"\x06signed",
        b"\x08unsigned",
        b"\x02ns",
        b"\x07between",
        b"\x04long",
        b"\x06loop-d",
        b"\x08wild-ent",
        b"\x01\0",
        b"\x05alias",
        b"\x0awild-alias",
        b"\x01\xff",
        b"\x03WWW",
    ];
    let qtypes = [
        1_u16, 2, 5, 6, 15, 16, 28, 33, 39, 43, 46, 47, 48, 50, 51, 65, 255, 4711,
    ];
    check!()
        .with_iterations(2_000)
        .with_type::<(Vec<u8>, u8, u16, u8)>()
        .for_each(|(choices, qtype, limit, flags)| {
            let mut qname: Vec<u8> = Vec::new();
            for &choice in choices {
                let label = labels[usize::from(choice) % labels.len()];
                if qname.len() + label.len() + EXAMPLE.len() <= 255 {
                    qname.extend_from_slice(label);
                }
            }
            qname.extend_from_slice(EXAMPLE);
            let qtype = qtypes[usize::from(*qtype) % qtypes.len()];
            let query = query_bytes(&qname, qtype, flags & 1 == 1);
            let zone = &zones[usize::from(flags >> 1) % zones.len()];
            // The support checks size, question and that the workers can take the message apart.
            ask_bytes(zone, &query, usize::from(*limit));
        });
}

#[test]
fn any_bytes_that_are_a_query_get_a_whole_message() {
    let zone = read(NSEC3);
    check!().with_iterations(2_000).for_each(|name: &[u8]| {
        let mut qname = Vec::new();
        for label in name.chunks(7).take(12) {
            qname.push(u8::try_from(label.len()).expect("at most 7"));
            qname.extend_from_slice(label);
        }
        qname.extend_from_slice(EXAMPLE);
        let query = query_bytes(&qname, 1, true);
        assert!(Query::parse(&query).is_ok());
        ask_bytes(&zone, &query, 1232);
    });
}
