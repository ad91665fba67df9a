//! `nexus ct monitor` against a scripted control plane.

use cli::exit::Exit;
use node::admin::{
    AlarmKind, Alert, AlertPage, CertificateUsage, FailureCode, Found, FoundAlarm,
    FoundCertificate, FoundHead, FoundMatch, LogStatus, LoggedForm, LoggedForms, MonitorStatus,
    Request, Response, Rule, Validation, WebhookStatus,
};
use serde_json::Value;

use crate::support::{Fake, refusal};

fn status(stopped: Option<&str>) -> Response {
    let log = LogStatus {
        name: "Log \u{1b}[2J".to_owned(),
        size: 12_000,
        read: 11_000,
        entries: 500,
        alerts: 3,
        failures_in_a_row: 2,
        last_failure: Some("time-out".to_owned()),
        stopped: stopped.map(str::to_owned),
        ..LogStatus::default()
    };
    Response::CtMonitorStatus(Box::new(MonitorStatus {
        logs: vec![log],
        watches: 1,
        alerts: 7,
        alerts_kept: 6,
        webhook: Some(WebhookStatus {
            host: "alerts.example".to_owned(),
            pending: 4,
            delivered: 3,
            last_failure: Some("refused".to_owned()),
            ..WebhookStatus::default()
        }),
        ..MonitorStatus::default()
    }))
}

fn alert(sequence: u64, found: Found) -> Alert {
    Alert {
        sequence,
        id: format!("{sequence:032x}"),
        time_ms: 1_000,
        log: "Log".to_owned(),
        log_id: "00".to_owned(),
        found,
    }
}

fn certificate() -> Found {
    let found = |name: &str, rule| FoundMatch {
        name: name.to_owned(),
        watch: ".example.com".to_owned(),
        rule,
    };
    Found::Certificate(Box::new(FoundCertificate {
        index: 12,
        logged_ms: 900,
        form: LoggedForm::Precertificate,
        first: true,
        matches: vec![
            found("a.example.com", Rule::Subdomain),
            found("exarnple.com", Rule::Homoglyph),
            found("exampl.com", Rule::EditDistance(1)),
        ],
        matches_total: 3,
        names: vec![],
        names_total: 3,
        issuer: "O=CA\u{7}".to_owned(),
        serial: "0a".to_owned(),
        not_before: 0,
        not_after: 1,
        validation: Some(Validation::Dv),
        sha256: "01".to_owned(),
        certificate: "02".to_owned(),
    }))
}

fn fork() -> Found {
    let head = FoundHead {
        size: 5,
        root: "00".to_owned(),
        timestamp_ms: 0,
    };
    Found::Log(FoundAlarm {
        alarm: AlarmKind::Fork,
        detail: "roots differ".to_owned(),
        known: head.clone(),
        seen: head,
        evidence: "a.json".to_owned(),
    })
}

fn page(first: u64, found: Vec<Found>, more: bool) -> Response {
    let alerts = (first..).zip(found);
    let alerts: Vec<_> = alerts.map(|(number, found)| alert(number, found)).collect();
    Response::CtMonitorAlerts(AlertPage {
        next_cursor: first + alerts.len() as u64,
        alerts,
        more,
    })
}

#[test]
fn status_shows_each_log_and_the_webhook() {
    for arguments in [&["ct", "monitor"][..], &["ct", "monitor", "status"]] {
        let fake = Fake::new(vec![status(None).into()]);
        let (exit, text) = fake.output(arguments);
        assert_eq!(exit, Exit::Success);
        assert_eq!(fake.requests(), [Request::CtMonitorStatus {}]);
        for part in [
            "Log \\u{1b}[2J  12,000   1,000   500",
            "never    2 failures in a row: time-out",
            "watched       1 domain",
            "found         7 alerts, of which 6 are kept",
            "webhook       alerts.example: 4 pending, 3 delivered, 0 dropped",
            "              refused",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }
}

#[test]
fn log_that_is_not_followed_makes_the_status_a_failure() {
    let fake = Fake::new(vec![status(Some("damaged")).into()]);
    let (exit, text) = fake.output(&["ct", "monitor", "status", "--json"]);
    assert_eq!(exit, Exit::Failure);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["logs"][0]["stopped"], "damaged");
}

#[test]
fn alerts_are_listed_over_all_pages() {
    let pages = vec![
        page(3, vec![certificate()], true).into(),
        page(4, vec![fork()], false).into(),
    ];
    let fake = Fake::new(pages);
    let (exit, text) = fake.output(&["ct", "monitor", "alerts", "--from", "3"]);
    assert_eq!(exit, Exit::Success);
    let asked = [3, 4].map(|cursor| Request::CtMonitorAlerts { cursor });
    assert_eq!(fake.requests(), asked);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("3  "), "{text}");
    let expected = "a.example.com (.example.com), exarnple.com (looks like .example.com), \
                    exampl.com (1 edit from .example.com): precertificate by O=CA\\u{7}, \
                    serial 0a, entry 12 in Log";
    assert!(lines[0].ends_with(expected), "{text}");
    assert!(lines[1].contains("ALARM Log: two signed heads"), "{text}");
    assert!(
        lines[1].ends_with("roots differ; evidence a.json"),
        "{text}"
    );
}

#[test]
fn following_goes_on_behind_the_last_alert_until_control_is_gone() {
    let pages = vec![
        page(1, vec![certificate()], false).into(),
        page(2, vec![fork()], false).into(),
    ];
    let fake = Fake::new(pages);
    let (exit, text) = fake.run(&["ct", "monitor", "alerts", "--follow", "--json"]);
    assert!(exit.is_err());
    let numbers = text.lines().map(|line| {
        let alert: Value = serde_json::from_str(line).unwrap();
        alert["sequence"].as_u64().unwrap()
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
    let asked = [0, 2, 3].map(|cursor| Request::CtMonitorAlerts { cursor });
    assert_eq!(fake.requests(), asked);
}

#[test]
fn page_that_does_not_advance_ends_the_listing() {
    let page = || page(0, vec![], true).into();
    let fake = Fake::new(vec![page(), page()]);
    assert!(fake.run(&["ct", "monitor", "alerts"]).0.is_err());
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn certificates_are_asked_for_by_name() {
    let usage = CertificateUsage {
        certificate: "00".to_owned(),
        names: vec!["a.example".to_owned(), "b.example".to_owned()],
        names_total: 5,
        issuer: "O=CA".to_owned(),
        serial: "0a".to_owned(),
        not_before: 0,
        not_after: 1,
        validation: Some(Validation::Ov),
        first_seen_ms: 0,
        last_seen_ms: 0,
        entries: 3,
        logs: vec!["one".to_owned(), "two".to_owned()],
        ct_status: LoggedForms::Both,
        embedded_scts: Some(2),
        watched: true,
    };
    let certificates = vec![usage];
    let fake = Fake::new(vec![Response::CtCertificates { certificates }.into()]);
    let (exit, text) = fake.output(&["ct", "monitor", "certificates", "example"]);
    assert_eq!(exit, Exit::Success);
    let name = Some("example".to_owned());
    assert_eq!(fake.requests(), [Request::CtCertificates { name }]);
    let row = "a.example b.example +3  O=CA    0a      OV          both     2        3     2";
    assert!(text.contains(row), "{text}");
}

#[test]
fn node_that_follows_no_log_says_so() {
    let refused = refusal(FailureCode::Unavailable, "no log is followed");
    let fake = Fake::new(vec![refused]);
    let (exit, _) = fake.run(&["ct", "monitor"]);
    assert_eq!(exit.unwrap_err().to_string(), "no log is followed");
}
