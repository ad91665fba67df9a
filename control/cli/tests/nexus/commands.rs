//! Each command against a scripted control plane: what it asks, what a user reads, how it ends.

use std::collections::BTreeMap;

use crate::support::{Fake, Line, Place, refusal};
use cli::exit::Exit;
use node::admin::{
    CacheEntry, CachePage, FailureCode, LatencyBucket, Lookup, LookupSource, NegativeAnchorStatus,
    RecordText, Request, ResolverEntry, ResolverPage, Response, Stats, TraceStep,
    TrustAnchorStatus, WorkerStats, ZoneReloaded, ZoneStatus,
};
use serde_json::Value;

fn record(name: &str, data: &str) -> RecordText {
    RecordText {
        name: name.to_owned(),
        ttl_secs: 300,
        class: "IN".to_owned(),
        record_type: "A".to_owned(),
        data: data.to_owned(),
    }
}

fn lookup(rcode: &str, answer: Vec<RecordText>) -> Response {
    Response::Lookup(Box::new(Lookup {
        rcode: rcode.to_owned(),
        flags: vec!["qr".to_owned(), "ra".to_owned()],
        extended_error: None,
        extended_errors: vec![],
        source: LookupSource::Cache,
        elapsed_us: 1_234,
        answer,
        authority: vec![],
        additional: vec![],
        trace: vec![],
    }))
}

fn entry(name: &str, ttl_secs: u32, dead: bool) -> CacheEntry {
    CacheEntry {
        name: name.to_owned(),
        record_type: "A".to_owned(),
        class: "IN".to_owned(),
        flags: vec!["rd".to_owned(), "do".to_owned()],
        rcode: "NOERROR".to_owned(),
        answers: 1,
        ttl_secs,
        age_secs: 7,
        zone: 0,
        dead,
        bytes: 136,
    }
}

fn zone(name: &str, error: Option<&str>) -> ZoneStatus {
    ZoneStatus {
        name: name.to_owned(),
        file: format!("{name}zone"),
        serial: Some(2_026_010_101),
        records: 1_500,
        generation: 3,
        signed: true,
        loaded_secs_ago: 90,
        error: error.map(str::to_owned),
    }
}

fn reloaded(name: &str, before: Option<u32>, now: Option<u32>, changed: bool) -> ZoneReloaded {
    ZoneReloaded {
        name: name.to_owned(),
        serial_before: before,
        serial: now,
        changed,
        error: None,
    }
}

fn sample(taken_at_ms: u64, queries: u64) -> Line {
    let worker = |index| WorkerStats {
        index,
        counters: BTreeMap::from([
            ("queries".to_owned(), queries),
            ("answers_cache".to_owned(), queries),
        ]),
        latency: vec![LatencyBucket {
            below_ns: 1_536,
            count: queries,
        }],
    };
    let control = BTreeMap::from([("nexus_control_questions_total".to_owned(), 12_345)]);
    let stats = Stats {
        taken_at_ms,
        workers: vec![worker(0), worker(1)],
        control,
    };
    Response::Stats(Box::new(stats)).into()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn lookup_with_an_answer_prints_its_records() {
    let answer = vec![
        record("www.example.com.", "192.0.2.1"),
        record("x.", "192.0.2.2"),
    ];
    let fake = Fake::new(vec![lookup("NOERROR", answer).into()]);
    let (exit, text) = fake.output(&["lookup", "www.example.com"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
; NOERROR, flags qr ra, from the resolver's cache, 1,234 us
; answer
www.example.com.  300  IN  A  192.0.2.1
x.                300  IN  A  192.0.2.2
";
    assert_eq!(text, expected);
    let asked = Request::Lookup {
        name: "www.example.com".to_owned(),
        record_type: "A".to_owned(),
        trace: false,
    };
    assert_eq!(fake.requests(), [asked]);
}

#[test]
fn lookup_with_trace_prints_each_step_before_the_answer() {
    let Response::Lookup(mut answer) = lookup("NXDOMAIN", vec![]) else {
        unreachable!()
    };
    answer.trace = vec![TraceStep {
        at_us: 2_500,
        text: "query 192.0.2.53 . NS".to_owned(),
    }];
    answer.extended_error = Some(6);
    answer.extended_errors = vec![6, 22];
    let fake = Fake::new(vec![Response::Lookup(answer).into()]);
    let (exit, text) = fake.output(&["lookup", "nowhere.example", "MX", "--trace"]);
    assert_eq!(exit, Exit::Success);
    assert!(
        text.starts_with(";     2,500 us  query 192.0.2.53 . NS\n; NXDOMAIN"),
        "{text}"
    );
    assert!(text.contains("extended error 6 22"), "{text}");
    assert!(matches!(
        &fake.requests()[..],
        [Request::Lookup { trace: true, .. }]
    ));
}

#[test]
fn lookup_that_ends_in_servfail_fails() {
    let fake = Fake::new(vec![lookup("SERVFAIL", vec![]).into()]);
    assert_eq!(fake.output(&["lookup", "broken.example"]).0, Exit::Failure);
}

#[test]
fn lookup_of_hostile_data_prints_no_control_character() {
    let answer = vec![record("\u{1b}]0;owned\u{7}.example.", "\u{9b}31m\r\n")];
    let fake = Fake::new(vec![lookup("NOERROR", answer).into()]);
    let (_, text) = fake.output(&["lookup", "hostile.example"]);
    assert!(
        !text
            .chars()
            .any(|found| found.is_control() && found != '\n'),
        "{text:?}"
    );
}

#[test]
fn request_that_control_refuses_as_wrong_is_a_usage_error() {
    let fake = Fake::new(vec![refusal(FailureCode::BadRequest, "no type NOPE")]);
    let error = fake.run(&["lookup", "example.com", "NOPE"]).0.unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Usage);
    assert_eq!(error.to_string(), "no type NOPE");
}

#[test]
fn cache_dump_follows_the_cursor_to_the_last_page() {
    let first = CachePage {
        entries: vec![entry("a.example.", 30, false)],
        next_cursor: Some(64),
    };
    let entries = vec![entry("b.example.", 0, false), entry("c.example.", 9, true)];
    let last = CachePage {
        entries,
        next_cursor: None,
    };
    let fake = Fake::new(vec![
        Response::CachePage(first).into(),
        Response::CachePage(last).into(),
    ]);
    let (exit, text) = fake.output(&["cache", "dump"]);
    assert_eq!(exit, Exit::Success);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("NAME"), "{text}");
    assert!(
        lines[1].starts_with("a.example.  IN     A     rd,do  NOERROR"),
        "{text}"
    );
    assert!(lines[1].ends_with("fresh"), "{text}");
    assert!(lines[2].ends_with("stale"), "{text}");
    assert!(lines[3].ends_with("dead"), "{text}");
    assert_eq!(lines[4], "3 entries");
    let asked = |cursor| Request::CacheDump { name: None, cursor };
    assert_eq!(fake.requests(), [asked(0), asked(64)]);
}

#[test]
fn cache_dump_as_json_is_one_entry_a_line() {
    let page = CachePage {
        entries: vec![entry("a.", 1, false); 2],
        next_cursor: None,
    };
    let none = Response::ResolverPage(ResolverPage::default());
    let fake = Fake::new(vec![Response::CachePage(page).into(), none.into()]);
    let (_, text) = fake.output(&["cache", "dump", "a", "--json"]);
    let lines = json_lines(&text);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["type"], "A");
    assert_eq!(lines[0]["ttl_secs"], 1);
}

fn held(name: &str, origin: &str, records: Vec<RecordText>) -> ResolverEntry {
    ResolverEntry {
        name: name.to_owned(),
        record_type: "A".to_owned(),
        origin: origin.to_owned(),
        rcode: "NOERROR".to_owned(),
        negative: records.is_empty(),
        trust: "auth-answer".to_owned(),
        security: "secure".to_owned(),
        ttl_secs: 30,
        reason: None,
        records,
    }
}

#[test]
fn cache_dump_of_a_name_goes_on_with_what_the_resolver_holds() {
    let records = vec![
        record("a.example.", "192.0.2.1"),
        record("a.example.", "192.0.2.2"),
    ];
    let first = ResolverPage {
        entries: vec![held("a.example.", "answer", records)],
        next_cursor: Some(9),
    };
    let failed = ResolverEntry {
        rcode: "SERVFAIL".to_owned(),
        reason: Some("no server of example. answers".to_owned()),
        ttl_secs: 0,
        ..held("b.a.example.", "failure", Vec::new())
    };
    let last = ResolverPage {
        entries: vec![failed, held("c.a.example.", "proven", Vec::new())],
        next_cursor: None,
    };
    let table = CachePage {
        entries: vec![
            entry("www.a.example.", 30, false),
            entry("A.example.", 30, false),
            entry("other-a.example.", 30, false),
            entry("x\\.a.example.", 30, false),
        ],
        next_cursor: None,
    };
    let fake = Fake::new(vec![
        Response::CachePage(table).into(),
        Response::ResolverPage(first).into(),
        Response::ResolverPage(last).into(),
    ]);
    let (exit, text) = fake.output(&["cache", "dump", "a.example", "--subtree"]);
    assert_eq!(exit, Exit::Success);
    assert!(text.contains("2 entries\n\nNAME"), "{text}");
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.is_empty()).collect();
    assert!(
        lines[2].ends_with("answer   NOERROR   auth-answer  secure     30  192.0.2.1"),
        "{text}"
    );
    assert_eq!(lines[3].trim(), "192.0.2.2");
    assert!(
        lines[4].ends_with("stale  no server of example. answers"),
        "{text}"
    );
    assert!(lines[5].ends_with("30  no such data"), "{text}");
    assert_eq!(lines[6], "3 entries of the resolver");
    let asked = |cursor| Request::ResolverDump {
        name: "a.example".to_owned(),
        subtree: true,
        cursor,
    };
    let table = Request::CacheDump {
        name: None,
        cursor: 0,
    };
    assert_eq!(fake.requests(), [table, asked(0), asked(9)]);
}

#[test]
fn cache_dump_of_a_name_without_a_dataplane_shows_the_resolver_alone() {
    let page = ResolverPage {
        entries: vec![held("a.", "answer", vec![record("a.", "192.0.2.1")])],
        next_cursor: None,
    };
    let fake = Fake::new(vec![
        refusal(FailureCode::Unavailable, "no dataplane is attached"),
        Response::ResolverPage(page).into(),
    ]);
    let (exit, text) = fake.output(&["cache", "dump", "a", "--json"]);
    assert_eq!(exit, Exit::Success);
    let lines = json_lines(&text);
    assert_eq!(
        (lines.len(), &lines[0]["origin"]),
        (1, &Value::from("answer"))
    );
    assert_eq!(lines[0]["records"][0]["data"], "192.0.2.1");
}

#[test]
fn cache_dump_with_a_cursor_that_stands_still_ends_in_an_error() {
    let page = CachePage {
        entries: vec![],
        next_cursor: Some(0),
    };
    let fake = Fake::new(vec![Response::CachePage(page).into()]);
    let error = fake.run(&["cache", "dump"]).0.unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Failure);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn cache_flush_passes_name_and_subtree() {
    let flushed = |entries, records| Response::CacheFlushed { entries, records }.into();
    let fake = Fake::new(vec![flushed(1, 0), flushed(2_000, 1), flushed(3, 4)]);
    let one = fake.output(&["cache", "flush", "example.com"]);
    assert_eq!(
        one,
        (
            Exit::Success,
            "removed 1 answer from the table, 0 record sets from the resolver's cache\n".to_owned()
        )
    );
    let many = fake
        .output(&["cache", "flush", "example.com", "--subtree"])
        .1;
    assert_eq!(
        many,
        "removed 2,000 answers from the table, 1 record set from the resolver's cache\n"
    );
    let all = fake.output(&["cache", "flush", "--json"]).1;
    assert_eq!(all, "{\"entries\":3,\"records\":4}\n");
    let name = Some("example.com".to_owned());
    let expected = [
        Request::CacheFlush {
            name: name.clone(),
            subtree: false,
        },
        Request::CacheFlush {
            name,
            subtree: true,
        },
        Request::CacheFlush {
            name: None,
            subtree: false,
        },
    ];
    assert_eq!(fake.requests(), expected);
}

#[test]
fn negative_anchors_are_added_for_an_hour_unless_told_otherwise_and_removed() {
    let changed = |warning: Option<&str>| Response::NegativeAnchorChanged {
        zone: "example.com.".to_owned(),
        entries: 1,
        records: 2,
        warning: warning.map(str::to_owned),
    };
    let script = [None, Some("not over a restart"), None, None].map(|text| changed(text).into());
    let fake = Fake::new(script.into());
    let (exit, text) = fake.output(&["nta", "add", "example.com"]);
    assert_eq!(exit, Exit::Success);
    let removed = "removed 1 answer from the table, 2 record sets from the resolver's cache";
    assert_eq!(
        text,
        format!("example.com. counts as unsigned for 1 h; {removed}\n")
    );
    let (exit, text) = fake.output(&[
        "nta",
        "add",
        "example.com",
        "--for",
        "2d",
        "--reason",
        "lost",
    ]);
    assert_eq!(exit, Exit::Failure, "it may not hold");
    assert!(text.ends_with("\nnot over a restart\n"), "{text}");
    let (_, text) = fake.output(&["nta", "del", "example.com"]);
    assert_eq!(
        text,
        format!("example.com. is validated again; {removed}\n")
    );
    let (_, text) = fake.output(&["nta", "del", "example.com", "--json"]);
    assert_eq!(json_lines(&text)[0]["records"], 2);
    let add = |lifetime_secs, reason: &str| Request::NegativeAnchorAdd {
        zone: "example.com".to_owned(),
        lifetime_secs,
        reason: reason.to_owned(),
    };
    let requests = fake.requests();
    assert_eq!(requests[..2], [add(3_600, ""), add(172_800, "lost")]);
    assert!(
        matches!(&requests[2], Request::NegativeAnchorRemove { zone } if zone == "example.com")
    );
}

#[test]
fn negative_anchors_are_listed_with_their_ends_and_reasons() {
    let anchor = |zone: &str, left_secs: Option<u64>, reason: &str| NegativeAnchorStatus {
        zone: zone.to_owned(),
        permanent: left_secs.is_none(),
        left_secs,
        reason: reason.to_owned(),
    };
    let list = Response::NegativeAnchors {
        anchors: vec![
            anchor("a.example.", Some(1_800), "keys lost\u{1b}"),
            anchor("b.example.", None, ""),
        ],
    };
    let fake = Fake::new(vec![list.clone().into(), list.into()]);
    let (exit, text) = fake.output(&["nta", "list"]);
    assert_eq!(exit, Exit::Success);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows[1], "a.example.  in 30 min           keys lost\\u{1b}");
    assert_eq!(rows[2], "b.example.  never (configured)");
    let (_, text) = fake.output(&["nta", "list", "--json"]);
    assert_eq!(json_lines(&text)[1]["permanent"], true);
}

#[test]
fn trust_anchors_are_listed_with_their_states() {
    let anchor = |key_tag, state: &str, since_secs_ago, refresh_in_secs| TrustAnchorStatus {
        zone: ".".to_owned(),
        key_tag,
        algorithm: 8,
        state: state.to_owned(),
        since_secs_ago,
        refresh_in_secs,
    };
    let list = Response::TrustAnchors {
        anchors: vec![
            anchor(20_326, "valid", None, None),
            anchor(38_696, "add-pend", Some(90_000), Some(3_600)),
        ],
    };
    let fake = Fake::new(vec![list.clone().into(), list.into()]);
    let (exit, text) = fake.output(&["trust", "list"]);
    assert_eq!(exit, Exit::Success);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(
        rows[1],
        ".     20326          8  valid     configured   never"
    );
    assert_eq!(
        rows[2],
        ".     38696          8  add-pend  1 d 1 h ago  in 1 h"
    );
    let (_, text) = fake.output(&["trust", "list", "--json"]);
    assert_eq!(json_lines(&text)[1]["state"], "add-pend");
}

#[test]
fn zone_list_with_a_broken_file_says_so_and_fails() {
    let broken = zone(
        "b.example.",
        Some("b.example.zone:7:1: unknown type `AAAAA`"),
    );
    let good = Response::Zones {
        zones: vec![zone("a.example.", None)],
    };
    let bad = Response::Zones {
        zones: vec![zone("a.example.", None), broken],
    };
    let fake = Fake::new(vec![good.into(), bad.clone().into(), bad.into()]);
    let (exit, text) = fake.output(&["zone", "list"]);
    assert_eq!(exit, Exit::Success);
    let row = "a.example.  2026010101    1,500  yes     1 min 30 s ago  a.example.zone";
    assert_eq!(text.lines().nth(1), Some(row));
    let (exit, text) = fake.output(&["zone", "list"]);
    assert_eq!(exit, Exit::Failure);
    assert!(
        text.ends_with("\nb.example.zone:7:1: unknown type `AAAAA`\n"),
        "{text}"
    );
    let (exit, text) = fake.output(&["zone", "list", "--json"]);
    assert_eq!(exit, Exit::Failure);
    assert_eq!(json_lines(&text)[1]["name"], "b.example.");
}

#[test]
fn zone_reload_tells_what_became_of_each_zone() {
    let mut refused = reloaded("d.", Some(5), Some(5), false);
    refused.error = Some("d.zone:1:1: no SOA record".to_owned());
    let zones = vec![
        reloaded("a.", Some(1), Some(2), true),
        reloaded("b.", Some(7), Some(7), false),
        reloaded("c.", None, Some(3), true),
        reloaded("e.", Some(9), None, true),
        refused,
    ];
    let fake = Fake::new(vec![
        Response::ZonesReloaded {
            zones,
            pending: vec![],
            policy_changed: false,
            warnings: vec![],
        }
        .into(),
    ]);
    let (exit, text) = fake.output(&["zone", "reload"]);
    assert_eq!(exit, Exit::Failure);
    let expected = "\
a. serial 1 -> 2
b. unchanged
c. loaded, serial 3
e. no longer served
d. refused: d.zone:1:1: no SOA record
";
    assert_eq!(text, expected);
}

#[test]
fn zone_reload_of_one_zone_and_reload_ask_for_what_they_say() {
    let good = || Response::ZonesReloaded {
        zones: vec![reloaded("a.", Some(1), Some(1), false)],
        pending: vec![],
        policy_changed: false,
        warnings: vec![],
    };
    let fake = Fake::new(vec![good().into(), good().into()]);
    assert_eq!(fake.output(&["zone", "reload", "a"]).0, Exit::Success);
    assert_eq!(fake.output(&["reload"]).0, Exit::Success);
    let one = Request::ZoneReload {
        name: Some("a".to_owned()),
    };
    assert_eq!(fake.requests(), [one, Request::Reload {}]);
}

#[test]
fn reload_names_the_keys_that_wait_for_a_restart() {
    let reply = || {
        let zones = vec![reloaded("a.", Some(1), Some(2), true)];
        let pending = vec!["dataplane.mode".to_owned(), "resolver.allow".to_owned()];
        Response::ZonesReloaded {
            zones,
            pending,
            policy_changed: false,
            warnings: vec![],
        }
        .into()
    };
    let fake = Fake::new(vec![reply(), reply()]);
    let (exit, text) = fake.output(&["reload"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
a. serial 1 -> 2
changed, but in effect only after a restart: dataplane.mode, resolver.allow
";
    assert_eq!(text, expected);
    let lines = json_lines(&fake.output(&["reload", "--json"]).1);
    assert_eq!(lines[1]["pending"][1], "resolver.allow");
}

#[test]
fn reload_tells_of_the_policy_and_fails_for_what_was_refused_beside_zones() {
    let reply = |warnings: &[&str]| {
        Response::ZonesReloaded {
            zones: vec![],
            pending: vec![],
            policy_changed: true,
            warnings: warnings.iter().map(ToString::to_string).collect(),
        }
        .into()
    };
    let refused = ["root.zone:1:1: no"];
    let fake = Fake::new(vec![reply(&[]), reply(&refused), reply(&refused)]);
    let (exit, text) = fake.output(&["reload"]);
    assert_eq!((exit, &*text), (Exit::Success, "policy changed\n"));
    let (exit, text) = fake.output(&["reload"]);
    assert_eq!(exit, Exit::Failure);
    assert_eq!(text, "policy changed\nrefused: root.zone:1:1: no\n");
    let lines = json_lines(&fake.output(&["reload", "--json"]).1);
    assert_eq!(lines[0]["policy_changed"], true);
    assert_eq!(lines[1]["warnings"][0], refused[0]);
}

#[test]
fn zone_reload_of_a_foreign_zone_fails() {
    let fake = Fake::new(vec![refusal(FailureCode::NotFound, "no zone x.")]);
    let error = fake.run(&["zone", "reload", "x"]).0.unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Failure);
}

#[test]
fn metrics_come_out_as_they_are() {
    let text = "# HELP nexus_queries_total Queries.\nnexus_queries_total 7\n";
    let metrics = || Response::Metrics {
        text: text.to_owned(),
    };
    let fake = Fake::new(vec![metrics().into(), metrics().into()]);
    assert_eq!(fake.output(&["metrics"]).1, text);
    let json = fake.output(&["metrics", "--json"]).1;
    assert_eq!(json_lines(&json)[0]["text"], text);
}

#[test]
fn stats_once_prints_totals_of_all_workers() {
    let fake = Fake::new(vec![sample(1_000, 2_000), sample(1_000, 2_000)]);
    let (exit, text) = fake.output(&["stats", "--once"]);
    assert_eq!(exit, Exit::Success);
    assert!(
        text.contains("\nqueries                         4,000\n"),
        "{text}"
    );
    assert!(
        text.contains("\nnexus_control_questions_total  12,345\n"),
        "{text}"
    );
    let json = fake.output(&["stats", "--once", "--json"]).1;
    assert_eq!(
        json_lines(&json)[0]["workers"][1]["counters"]["queries"],
        2_000
    );
}

#[test]
fn stats_prints_rates_between_samples() {
    let fake = Fake::new(vec![
        sample(1_000, 0),
        sample(3_000, 5_000),
        sample(4_000, 6_000),
    ]);
    let (exit, text) = fake.output(&["stats", "--interval", "0.01", "--count", "2"]);
    assert_eq!(exit, Exit::Success);
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let lines: Vec<Vec<String>> = text.lines().map(words).collect();
    assert_eq!(lines.len(), 3, "{text}");
    let expected = ["5,000", "5,000", "100.0", "%", "0", "0", "0", "1.5", "1.5"];
    assert_eq!(lines[1], expected);
    assert_eq!(lines[2][0], "2,000");
}

#[test]
fn stats_as_json_is_one_object_an_interval() {
    let fake = Fake::new(vec![sample(1_000, 0), sample(2_000, 10)]);
    let text = fake
        .output(&["stats", "--interval", "0.01", "--count", "1", "--json"])
        .1;
    let [line] = &json_lines(&text)[..] else {
        panic!("{text}")
    };
    assert_eq!(line["queries_per_second"], 20);
    assert_eq!(line["p99_ns"], 1_536);
}

#[test]
fn control_that_hangs_up_before_its_reply_is_an_error_that_names_the_socket() {
    let fake = Fake::new(vec![]);
    let error = fake.run(&["zone", "list"]).0.unwrap_err();
    assert!(
        error.to_string().contains("control.sock but gave no reply"),
        "{error}"
    );
}

#[test]
fn control_that_talks_something_else_is_an_error_not_a_panic() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"{}\n",
        b"\n",
        b"{\"ok\":{}}\n",
    ] {
        let fake = Fake::new(vec![Line::Bytes(bytes.to_vec())]);
        let error = format!("{:#}", fake.run(&["zone", "list"]).0.unwrap_err());
        assert!(
            error.contains("not a message of the admin protocol"),
            "{error}"
        );
    }
}

#[test]
fn control_that_never_ends_its_line_is_cut_off_at_the_limit() {
    let fake = Fake::new(vec![Line::Bytes(vec![b'x'; node::admin::REPLY_BYTES_MAX])]);
    let error = format!("{:#}", fake.run(&["metrics"]).0.unwrap_err());
    assert!(error.contains("line longer than"), "{error}");
}

#[test]
fn reply_to_another_request_is_an_error() {
    let commands: [&[&str]; 8] = [
        &["lookup", "a"],
        &["cache", "dump"],
        &["cache", "flush"],
        &["zone", "list"],
        &["zone", "reload"],
        &["reload"],
        &["metrics"],
        &["stats", "--once"],
    ];
    for arguments in commands {
        let other = match arguments {
            ["metrics"] => Response::CacheFlushed {
                entries: 1,
                records: 0,
            },
            _ => Response::Metrics {
                text: String::new(),
            },
        };
        let fake = Fake::new(vec![other.into()]);
        let error = fake.run(arguments).0.unwrap_err();
        let chain = format!("{error:#}");
        assert!(
            chain.contains("does not fit the request"),
            "{arguments:?}: {chain}"
        );
    }
}

#[test]
fn socket_argument_wins_over_the_configuration() {
    let fake = Fake::new(vec![]);
    let error = fake
        .run(&["zone", "list", "--socket", "/nonexistent/x.sock"])
        .0
        .unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.sock"), "{error}");
    assert!(fake.requests().is_empty());
}

#[test]
fn completions_of_every_shell_name_our_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (exit, text) = Place::new().run(&["completions", shell]);
        assert_eq!(exit.unwrap(), Exit::Success);
        assert!(
            text.contains("lookup") && text.contains("subtree"),
            "{shell}"
        );
    }
}
