//! The reader of scenarios: what is wrong is said, with file and line, and nothing makes it panic.

use crate::lines::{Loader, Text};
use crate::run::run;
use crate::scenario::Scenario;

const GOOD: &str = "server:
	qname-minimisation: no
stub-zone:
	name: \".\"
	stub-addr: 198.51.100.1
CONFIG_END
SCENARIO_BEGIN one server
RANGE_BEGIN 0 100
	ADDRESS 198.51.100.1
	ENTRY_BEGIN
	MATCH opcode qtype qname
	ADJUST copy_id copy_query
	REPLY QR AA NOERROR
	SECTION QUESTION
	www.example. IN A
	SECTION ANSWER
	www.example. 60 IN A 192.0.2.1
	ENTRY_END
RANGE_END
STEP 1 QUERY
ENTRY_BEGIN
	REPLY RD
	SECTION QUESTION
	www.example. IN A
ENTRY_END
STEP 2 CHECK_ANSWER
ENTRY_BEGIN
	MATCH all ttl
	REPLY QR RD RA NOERROR
	SECTION QUESTION
	www.example. IN A
	SECTION ANSWER
	www.example. 60 IN A 192.0.2.1
ENTRY_END
SCENARIO_END
";

fn parse(text: &str) -> Result<Scenario, String> {
    let load: Loader = Box::new(|path| Err(format!("{path}: there are no files here")));
    Text::new("t.rpl", text, load)
        .and_then(Scenario::parse)
        .map_err(|fault| fault.to_string())
}

/// The error of the good scenario with one thing changed.
fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    parse(&GOOD.replacen(from, to, 1)).err().unwrap()
}

/// What the good scenario comes to with one thing changed.
fn failure(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let scenario = parse(&GOOD.replacen(from, to, 1)).unwrap_or_else(|error| panic!("{error}"));
    run(&scenario, 0).err().unwrap()
}

#[test]
fn good_scenario_passes_and_shows_what_was_sent() {
    let report = run(&parse(GOOD).unwrap_or_else(|error| panic!("{error}")), 0).unwrap();
    assert!(report.contains("www.example. A"), "{report}");
}

/// A part of the good scenario, what stands there instead, and how the error begins.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "qname-minimisation: no",
        "qname-minimisation: maybe",
        "t.rpl:2: yes or no",
    ),
    (
        "qname-minimisation: no",
        "cache-min: 3",
        "t.rpl:2: `cache-min: 3` has no counterpart",
    ),
    (
        "qname-minimisation: no",
        "harden-glue: no",
        "t.rpl:2: `harden-glue` is always `yes`",
    ),
    (
        "name: \".\"",
        "name: \"com.\"\n\tstub-first: yes",
        "t.rpl:5: a stub never leads to the tree",
    ),
    ("name: \".\"", "name: \".", "t.rpl:4: a quotation mark"),
    (
        "SCENARIO_BEGIN one",
        "SCENARIO one",
        "t.rpl:7: SCENARIO_BEGIN was expected",
    ),
    (
        "RANGE_BEGIN 0 100",
        "RANGE_BEGIN 0 x",
        "t.rpl:8: `x` is no number",
    ),
    (
        "ADDRESS 198.51.100.1",
        "ADDRESS here",
        "t.rpl:9: `here` is no IP address",
    ),
    (
        "opcode qtype qname",
        "opcode qtyp",
        "t.rpl:11: MATCH knows no `qtyp`",
    ),
    (
        "opcode qtype qname",
        "opcode cookie=x",
        "t.rpl:11: `cookie=` takes a number of bytes",
    ),
    (
        "SECTION ANSWER",
        "HEX_EDNSDATA_BEGIN\n000a 0004 00\nHEX_EDNSDATA_END\nSECTION ANSWER",
        "t.rpl:16: these are no whole EDNS options",
    ),
    (
        "MATCH opcode qtype qname",
        "",
        "t.rpl:10: the entry has no MATCH",
    ),
    (
        "opcode qtype qname",
        "answer",
        "t.rpl:10: MATCH Answer means nothing",
    ),
    (
        "ADJUST copy_id",
        "ADJUST copy_all",
        "t.rpl:12: ADJUST knows no `copy_all`",
    ),
    (
        "REPLY QR AA",
        "REPLY QR AAA",
        "t.rpl:13: REPLY knows no `AAA`",
    ),
    (
        "SECTION ANSWER",
        "SECTION ANSWERS",
        "t.rpl:16: there is no section `ANSWERS`",
    ),
    ("60 IN A 192.0.2.1", "60 IN A 192.0.2", "t.rpl:17: "),
    (
        "www.example. IN A\n",
        "www.example. IN\n",
        "t.rpl:15: `IN` is no type",
    ),
    (
        "STEP 2 CHECK",
        "STEP 1 CHECK",
        "t.rpl:26: the numbers of steps must increase",
    ),
    (
        "STEP 2 CHECK_ANSWER",
        "STEP 2 CHECK_ANSWERS",
        "t.rpl:26: there is no step",
    ),
    ("SCENARIO_END", "", "t.rpl:35: the file ends"),
    (
        "SCENARIO_BEGIN",
        "INCLUDE x\nSCENARIO_BEGIN",
        "t.rpl:7: x: there are no files",
    ),
];

#[test]
fn mistakes_are_named_with_file_and_line() {
    for (from, to, expected) in MISTAKES {
        let error = error(from, to);
        assert!(error.starts_with(expected), "{to}: {error}");
    }
}

#[test]
fn scenario_that_checks_nothing_is_a_mistake() {
    let (head, _) = GOOD.split_once("STEP 2").unwrap();
    let error = parse(&format!("{head}SCENARIO_END\n")).err().unwrap();
    assert!(error.contains("no step that checks"), "{error}");
}

#[test]
fn whatever_differs_from_the_expected_answer_is_a_failure() {
    let answer = "CHECK_ANSWER\nENTRY_BEGIN\n\tMATCH all ttl\n\tREPLY QR RD RA NOERROR";
    let cases = [
        (answer, answer.replace("QR RD", "QR AD RD"), "flags"),
        (answer, answer.replace("NOERROR", "DO NOERROR"), "DO"),
        (answer, answer.replace("NOERROR", "NXDOMAIN"), "rcode"),
        (answer, answer.replace("ttl", "ttl ede=6"), "extended error"),
        (
            "60 IN A 192.0.2.1",
            "61 IN A 192.0.2.1".to_owned(),
            "answer section",
        ),
        (
            "60 IN A 192.0.2.1",
            "60 IN A 192.0.2.2".to_owned(),
            "answer section",
        ),
    ];
    for (from, to, expected) in cases {
        let failure = failure(from, &to);
        let said = format!("t.rpl:26: step 2: the answer differs in: {expected}\n");
        assert!(failure.starts_with(&said), "{to}: {failure}");
    }
    let second = "www.example. 60 IN A 192.0.2.1\nENTRY_END\nSCENARIO_END";
    let more = format!("www.example. 60 IN A 192.0.2.9\n\t{second}");
    assert!(failure(second, &more).contains("answer section"));
}

#[test]
fn server_without_fitting_entry_is_silent() {
    let failure = failure(
        "\twww.example. IN A\n\tSECTION ANSWER",
        "\twww.other. IN A\n\tSECTION ANSWER",
    );
    assert!(failure.contains("rcode"), "{failure}");
    assert!(failure.contains("extended error 22"), "{failure}");
}

#[test]
fn random_scenarios_never_make_the_reader_panic() {
    let lines: Vec<&str> = GOOD.lines().collect();
    bolero::check!()
        .with_type::<(Vec<u8>, u8, u8, String)>()
        .for_each(|(bytes, line, column, inserted)| {
            let _ = parse(&String::from_utf8_lossy(bytes));
            // A good scenario with a line that is not.
            let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            let count = lines.len();
            let line = &mut lines[usize::from(*line) % count];
            let at = line.floor_char_boundary(usize::from(*column) % (line.len() + 1));
            line.insert_str(at, inserted);
            let _ = parse(&lines.join("\n"));
        });
}

#[test]
fn expected_name_servers_do_not_count_where_the_scenario_allows_them() {
    let extras = "\tSECTION AUTHORITY\n\texample. 60 IN NS ns.example.\n\tSECTION ADDITIONAL\n\tns.example. 60 IN A 192.0.2.2\nENTRY_END\nSCENARIO_END";
    let strict = GOOD.replace("ENTRY_END\nSCENARIO_END", extras);
    let loose = strict.replace("qname-minimisation: no", "minimal-responses: no");
    let result = |text: &str| run(&parse(text).unwrap_or_else(|error| panic!("{error}")), 0);
    assert!(
        result(&strict)
            .unwrap_err()
            .contains("authority section, additional section")
    );
    assert!(result(&loose).is_ok());
}

#[test]
fn timeout_meets_the_query_to_its_server() {
    let from = "STEP 2 CHECK_ANSWER";
    let failing = GOOD.replace(
        "opcode qtype qname\n",
        "opcode qtype\n\tADJUST do_not_answer\n",
    );
    let with = |step: &str| {
        failing.replace(
            from,
            &format!("STEP 2 {step}\n{from}").replace("STEP 2 CHECK", "STEP 3 CHECK"),
        )
    };
    let failure = |text: &str| {
        let scenario = parse(text).unwrap_or_else(|error| panic!("{error}"));
        run(&scenario, 0).unwrap_err()
    };
    let other = failure(&with("TIMEOUT ADDRESS 198.51.100.2"));
    assert!(
        other.contains("step 2: no query waits for a reply"),
        "{other}"
    );
    let own = failure(&with("TIMEOUT ADDRESS 198.51.100.1"));
    assert!(own.contains("step 3: the answer differs"), "{own}");
}
