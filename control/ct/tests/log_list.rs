//! Log lists in Chrome's form, and what its policy makes of them.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use ct::{
    CheckedSct, ChromePolicy, ChromeRule, Delivery, DerError, Hash, KeyError, KeyName,
    LOG_LIST_AGE_MAX_MS, Log, LogAddress, LogError, LogList, LogState, LogStateKind, Standing,
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use support::list::{LISTED_MS, list, list_of, log, log_id, tiled};
use support::{log_key, log_signer};

#[test]
fn log_is_found_by_its_id_with_all_that_the_list_says() {
    let list = list();
    assert!(list.refused().is_empty(), "{:?}", list.refused());
    assert_eq!(list.logs().count(), 7);
    let expected = Log {
        key: log_key(&log_signer(1)),
        description: "Log 1".to_owned(),
        operator: "One".to_owned(),
        previous_operators: Vec::new(),
        address: LogAddress::Rfc6962 {
            url: "https://log1.example/".to_owned(),
        },
        mmd_s: 86_400,
        state: Some(LogState {
            kind: LogStateKind::Usable,
            since_ms: 1_735_689_600_000,
        }),
        temporal_interval_ms: Some((LISTED_MS, 1_782_864_000_000)),
    };
    assert_eq!(list.get(&log_id(1)), Some(&expected));
    let tiled = list.get(&log_id(3)).unwrap();
    assert_eq!(
        tiled.address,
        LogAddress::Tiled {
            submission_url: "https://submit.example/2026h1/".to_owned(),
            monitoring_url: "https://read.example/".to_owned(),
        }
    );
    let origin = tiled.address.origin();
    assert_eq!(origin, KeyName::new("submit.example/2026h1"));
    assert_eq!(list.get(&Hash::of(b"unknown")), None);
}

#[test]
fn list_is_timely_for_ten_weeks() {
    let list = list();
    assert_eq!(list.timestamp_ms(), Some(LISTED_MS));
    assert!(list.is_timely(LISTED_MS + LOG_LIST_AGE_MAX_MS - 1));
    assert!(!list.is_timely(LISTED_MS + LOG_LIST_AGE_MAX_MS));
    assert!(list.is_timely(LISTED_MS - 1), "a clock that is behind");
    let undated = LogList::parse(br#"{"operators":[]}"#).unwrap();
    assert!(!undated.is_timely(0));
}

#[test]
fn log_that_cannot_be_used_is_left_out_and_says_why() {
    let with = |field: &str, value: Value| {
        let mut log = log(8, "usable");
        log.as_object_mut().unwrap().insert(field.to_owned(), value);
        log
    };
    let time = |text: &str| json!({ "usable": { "timestamp": text } });
    let yesterday = LogError::Time("yesterday".to_owned());
    let cases = [
        (
            with("key", json!(BASE64.encode(b"no key"))),
            LogError::Key(KeyError::Malformed(DerError::Tag {
                offset: 0,
                expected: 0x30,
                found: b'n',
            })),
        ),
        (
            with("log_id", json!(BASE64.encode(&[0; 32]))),
            LogError::Id(log_id(8)),
        ),
        (log(1, "usable"), LogError::Duplicate(log_id(1))),
        (with("state", time("yesterday")), yesterday.clone()),
        (with("state", json!({})), LogError::States(0)),
        (
            with(
                "previous_operators",
                json!([{ "name": "x", "end_time": "yesterday" }]),
            ),
            yesterday,
        ),
    ];
    for (bad, reason) in cases {
        let list =
            list_of(&json!([{ "name": "One", "logs": [log(1, "usable"), bad, log(2, "usable")] }]));
        assert_eq!(list.logs().count(), 2, "{reason}");
        let [refused] = list.refused() else {
            panic!("{reason}: {:?}", list.refused());
        };
        assert_eq!((refused.operator.as_str(), refused.index), ("One", 1));
        assert_eq!(refused.reason, reason);
    }
    let of_fields = [
        with("log_id", json!("!")),
        with("mmd", json!(-1)),
        with(
            "state",
            json!({ "unheard": { "timestamp": "2025-01-01T00:00:00Z" } }),
        ),
        tiled(8, "usable"),
        json!(null),
    ];
    for bad in of_fields {
        let list = list_of(&json!([{ "name": "One", "logs": [bad] }]));
        let refused = &list.refused()[0].reason;
        assert!(matches!(refused, LogError::Field(_)), "{refused}");
    }
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"operators":{}}"#,
        r#"{"operators":[{}]}"#,
    ] {
        assert!(LogList::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn log_without_state_or_interval_is_kept() {
    let mut log = log(1, "usable");
    log.as_object_mut().unwrap().remove("state");
    log.as_object_mut().unwrap().remove("temporal_interval");
    let list = list_of(&json!([{ "name": "One", "logs": [log] }]));
    let found = list.get(&log_id(1)).unwrap();
    assert_eq!((found.state, found.temporal_interval_ms), (None, None));
}

/// Timestamps of these logs, embedded in a certificate, taken at this time.
fn embedded<'a>(list: &'a LogList, seeds: &[u8], timestamp_ms: u64) -> Vec<CheckedSct<'a>> {
    let sct = |seed: &u8| CheckedSct {
        log: list.get(&log_id(*seed)).unwrap(),
        timestamp_ms,
        delivery: Delivery::Embedded,
    };
    seeds.iter().map(sct).collect()
}

const DAYS: u64 = 24 * 3_600;
/// Before log 5 was retired.
const BEFORE_MS: u64 = 1_735_689_600_000 - 1;

/// The verdict on embedded timestamps of these logs.
fn judge(seeds: &[u8], timestamp_ms: u64, days: u64) -> Result<(), ChromeRule> {
    let list = list();
    let scts = embedded(&list, seeds, timestamp_ms);
    let verdict = ChromePolicy::default().judge(&scts, days * DAYS, LISTED_MS);
    assert_eq!(verdict.delivered, Err(ChromeRule::Absent));
    assert_eq!(verdict.is_compliant(), verdict.embedded.is_ok());
    verdict.embedded
}

#[test]
fn embedded_timestamps_of_two_or_three_logs_of_two_operators_suffice() {
    let too_few = |required, found| Err(ChromeRule::TooFewLogs { required, found });
    let one_operator = Err(ChromeRule::OneOperator {
        operator: "One".to_owned(),
    });
    assert_eq!(judge(&[1, 3], LISTED_MS, 180), Ok(()));
    assert_eq!(judge(&[2, 4], LISTED_MS, 90), Ok(()));
    assert_eq!(judge(&[1, 3], LISTED_MS, 181), too_few(3, 2));
    assert_eq!(judge(&[1, 2, 3], LISTED_MS, 397), Ok(()));
    assert_eq!(judge(&[1, 2], LISTED_MS, 90), one_operator);
    assert_eq!(judge(&[1], LISTED_MS, 90), too_few(2, 1));
    assert_eq!(judge(&[1, 1, 1], LISTED_MS, 90), too_few(2, 1));
    assert_eq!(judge(&[], LISTED_MS, 90), Err(ChromeRule::Absent));
}

#[test]
fn retired_log_counts_for_older_certificates_and_only_beside_a_current_one() {
    let too_few = Err(ChromeRule::TooFewLogs {
        required: 2,
        found: 1,
    });
    assert_eq!(judge(&[1, 5], BEFORE_MS, 90), Ok(()));
    assert_eq!(judge(&[1, 5], BEFORE_MS + 1, 90), too_few);
    assert_eq!(judge(&[5, 5], BEFORE_MS, 90), Err(ChromeRule::NoCurrentLog));
    assert_eq!(judge(&[1, 6], BEFORE_MS, 90), too_few);
    assert_eq!(judge(&[1, 7], BEFORE_MS, 90), too_few);
    assert_eq!(judge(&[6, 7], BEFORE_MS, 90), Err(ChromeRule::NoCurrentLog));

    // The certificate began to be issued only after the log was retired, whatever that log's timestamp says.
    let list = list();
    let mut scts = embedded(&list, &[1, 5], BEFORE_MS);
    scts[0].timestamp_ms = LISTED_MS;
    let verdict = ChromePolicy::default().judge(&scts, 90 * DAYS, LISTED_MS);
    assert_eq!(verdict.embedded, too_few);
    // Before it was retired it was like any other.
    let scts = embedded(&list, &[1, 5], BEFORE_MS);
    assert_eq!(scts[1].standing(BEFORE_MS), Standing::Current);
    assert_eq!(scts[1].standing(BEFORE_MS + 1), Standing::BeforeRetirement);
    let verdict = ChromePolicy::default().judge(&scts, 90 * DAYS, BEFORE_MS);
    assert_eq!(verdict.embedded, Ok(()));
}

#[test]
fn delivered_timestamps_must_be_of_two_current_operators_whatever_the_lifetime() {
    let list = list();
    let deliver = |seeds: &[u8]| {
        let mut scts = embedded(&list, seeds, BEFORE_MS);
        scts[0].delivery = Delivery::Ocsp;
        for sct in &mut scts[1..] {
            sct.delivery = Delivery::TlsExtension;
        }
        let verdict = ChromePolicy::default().judge(&scts, 397 * DAYS, LISTED_MS);
        assert_eq!(verdict.embedded, Err(ChromeRule::Absent));
        verdict.delivered
    };
    assert_eq!(deliver(&[1, 3]), Ok(()));
    let operator = "One".to_owned();
    assert_eq!(deliver(&[1, 2]), Err(ChromeRule::OneOperator { operator }));
    assert_eq!(
        deliver(&[1, 5]),
        Err(ChromeRule::TooFewLogs {
            required: 2,
            found: 1
        })
    );
    // One of each way is neither.
    let mut scts = embedded(&list, &[1, 3], LISTED_MS);
    scts[0].delivery = Delivery::Ocsp;
    let verdict = ChromePolicy::default().judge(&scts, 90 * DAYS, LISTED_MS);
    assert!(!verdict.is_compliant());
}

#[test]
fn operator_is_that_of_the_time_of_the_timestamp() {
    let mut moved = log(4, "usable");
    let history = json!([
        { "name": "Before", "end_time": "2025-06-01T00:00:00Z" },
        { "name": "One", "end_time": "2025-03-01T00:00:00Z" },
    ]);
    moved
        .as_object_mut()
        .unwrap()
        .insert("previous_operators".into(), history);
    let list = list_of(&json!([
        { "name": "One", "logs": [log(1, "usable")] },
        { "name": "Two", "logs": [moved] },
    ]));
    let log = list.get(&log_id(4)).unwrap();
    assert_eq!(log.operator_at(BEFORE_MS), "One");
    assert_eq!(log.operator_at(1_746_057_600_000), "Before");
    assert_eq!(log.operator_at(LISTED_MS), "Two");
    let judge = |timestamp_ms| {
        let scts = embedded(&list, &[1, 4], timestamp_ms);
        ChromePolicy::default()
            .judge(&scts, 90 * DAYS, LISTED_MS)
            .embedded
    };
    assert!(matches!(
        judge(BEFORE_MS),
        Err(ChromeRule::OneOperator { .. })
    ));
    assert_eq!(judge(LISTED_MS), Ok(()));
}

#[test]
fn stricter_policy_wants_a_log_with_the_older_api() {
    let list = list_of(&json!([
        { "name": "One", "logs": [log(1, "usable")], "tiled_logs": [tiled(2, "usable")] },
        { "name": "Two", "tiled_logs": [tiled(3, "usable")] },
    ]));
    let judge = |rfc6962_log_required, seeds: &[u8]| {
        let scts = embedded(&list, seeds, LISTED_MS);
        let policy = ChromePolicy {
            rfc6962_log_required,
        };
        policy.judge(&scts, 90 * DAYS, LISTED_MS).embedded
    };
    assert_eq!(judge(false, &[2, 3]), Ok(()));
    assert_eq!(judge(true, &[2, 3]), Err(ChromeRule::NoRfc6962Log));
    assert_eq!(judge(true, &[1, 3]), Ok(()));
}
