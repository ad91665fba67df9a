//! Tests of the admin protocol: round trips, limits, and bytes from nowhere.

use super::*;

fn requests() -> Vec<Request> {
    let name = || Some("www.example.com.".to_owned());
    vec![
        Request::Status {},
        Request::Stats {},
        Request::Lookup {
            name: "example.com".into(),
            record_type: "TYPE65".into(),
            trace: true,
        },
        Request::CacheDump {
            name: None,
            cursor: 0,
        },
        Request::CacheDump {
            name: name(),
            cursor: u64::MAX,
        },
        Request::ResolverDump {
            name: "www.example.com.".into(),
            subtree: true,
            cursor: 7,
        },
        Request::CacheFlush {
            name: name(),
            subtree: true,
        },
        Request::CacheFlush {
            name: None,
            subtree: false,
        },
        Request::NegativeAnchorAdd {
            zone: "example.com".into(),
            lifetime_secs: 3_600,
            reason: "keys \"lost\"".into(),
        },
        Request::NegativeAnchorRemove {
            zone: "example.com".into(),
        },
        Request::NegativeAnchorList {},
        Request::TrustAnchorList {},
        Request::ZoneList {},
        Request::ZoneReload { name: name() },
        Request::Reload {},
        Request::Metrics {},
        Request::CtMonitorStatus {},
        Request::CtMonitorAlerts { cursor: 9 },
        Request::CtCertificates { name: None },
        Request::CtCertificates { name: name() },
    ]
}

fn record() -> RecordText {
    RecordText {
        name: "a\\010b.".into(),
        ttl_secs: 1,
        class: "IN".into(),
        record_type: "TXT".into(),
        data: "\"line\nbreak\"".into(),
    }
}

fn status() -> Status {
    Status {
        control: ControlStatus {
            version: "0.1.0".into(),
            pid: 7,
            uptime_secs: 9,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 53))],
            serving_udp: false,
            zones: 2,
            resolver: ResolverStatus {
                mode: ResolverMode::Forward,
                queries_in_flight: 1,
                upstreams: vec![UpstreamStatus {
                    zone: ".".into(),
                    address: SocketAddr::from(([192, 0, 2, 1], 53)),
                    healthy: true,
                    round_trip_us: Some(800),
                }],
            },
            copies: vec![CopyStatus {
                zone: "rpz.example.".into(),
                purpose: CopyPurpose::PolicyZone,
                primaries: vec![SocketAddr::from(([192, 0, 2, 1], 53))],
                serial: Some(7),
                records: 9,
                confirmed_secs_ago: Some(3),
                failures: 1,
                error: Some("192.0.2.1:53: it took longer than 10 s".into()),
            }],
        },
        dataplane: Some(DataplaneStatus {
            pid: 8,
            uptime_secs: 10,
            running: true,
            mode: "copy".into(),
            reason: "zero-copy: EOPNOTSUPP".into(),
            interface: "eth1".into(),
            workers: vec![WorkerStatus {
                index: 0,
                running: true,
                heartbeat_age_ms: 12,
                queries: 3,
                hits: 2,
                punts: 1,
            }],
        }),
    }
}

fn stats() -> Stats {
    Stats {
        taken_at_ms: 5,
        workers: vec![WorkerStats {
            index: 0,
            counters: BTreeMap::from([("queries".to_owned(), u64::MAX)]),
            latency: vec![LatencyBucket {
                below_ns: 1024,
                count: 3,
            }],
        }],
        control: BTreeMap::new(),
    }
}

fn lookup() -> Lookup {
    Lookup {
        rcode: "NOERROR".into(),
        flags: vec!["qr".into(), "ra".into()],
        extended_error: Some(3),
        extended_errors: vec![3, 22],
        source: LookupSource::Recurse,
        elapsed_us: 4,
        answer: vec![record()],
        authority: vec![],
        additional: vec![],
        trace: vec![TraceStep {
            at_us: 1,
            text: "query 192.0.2.1".into(),
        }],
    }
}

fn trust_replies() -> Vec<Reply> {
    vec![
        Reply::Ok(Response::NegativeAnchorChanged {
            zone: "example.com.".into(),
            entries: 1,
            records: 2,
            warning: Some("not over a restart".into()),
        }),
        Reply::Ok(Response::NegativeAnchors {
            anchors: vec![NegativeAnchorStatus {
                zone: "example.com.".into(),
                permanent: false,
                left_secs: Some(60),
                reason: String::new(),
            }],
        }),
        Reply::Ok(Response::TrustAnchors {
            anchors: vec![TrustAnchorStatus {
                zone: ".".into(),
                key_tag: 20_326,
                algorithm: 8,
                state: "valid".into(),
                since_secs_ago: None,
                refresh_in_secs: Some(7),
            }],
        }),
    ]
}

fn replies() -> Vec<Reply> {
    let entry = CacheEntry {
        name: "example.com.".into(),
        record_type: "A".into(),
        class: "IN".into(),
        flags: vec!["rd".into()],
        rcode: "NOERROR".into(),
        answers: 1,
        ttl_secs: 1,
        age_secs: 2,
        zone: 0,
        dead: false,
        bytes: 120,
    };
    let zone = ZoneStatus {
        name: "example.com.".into(),
        file: "example.com.zone".into(),
        serial: Some(3),
        records: 4,
        generation: 5,
        signed: true,
        loaded_secs_ago: 6,
        error: None,
    };
    let reloaded = ZoneReloaded {
        name: "example.com.".into(),
        serial_before: Some(3),
        serial: Some(4),
        changed: true,
        error: Some("example.com.zone:3:1: unknown type".into()),
    };
    vec![
        Reply::Ok(Response::Status(Box::new(status()))),
        Reply::Ok(Response::Stats(Box::new(stats()))),
        Reply::Ok(Response::Lookup(Box::new(lookup()))),
        Reply::Ok(Response::CachePage(CachePage {
            entries: vec![entry],
            next_cursor: Some(9),
        })),
        Reply::Ok(Response::ResolverPage(ResolverPage {
            entries: vec![ResolverEntry {
                name: "a.".into(),
                record_type: "A".into(),
                origin: "failure".into(),
                rcode: "SERVFAIL".into(),
                negative: true,
                trust: String::new(),
                security: String::new(),
                ttl_secs: 5,
                reason: Some("no server of . answers".into()),
                records: vec![record()],
            }],
            next_cursor: Some(3),
        })),
        Reply::Ok(Response::CacheFlushed {
            entries: 2,
            records: 0,
        }),
        Reply::Ok(Response::Zones { zones: vec![zone] }),
        Reply::Ok(Response::ZonesReloaded {
            zones: vec![reloaded],
            pending: vec!["resolver.allow".into()],
            policy_changed: true,
            warnings: vec!["root.zone: no".into()],
        }),
        Reply::Ok(Response::Metrics {
            text: "# HELP a b\na 1\n".into(),
        }),
        Reply::Error(Failure::new(FailureCode::NotFound, "no zone \"x.\"")),
    ]
}

fn monitor_replies() -> Vec<Reply> {
    let status = MonitorStatus {
        logs: vec![LogStatus {
            name: "log".into(),
            last_failure: Some("time-out".into()),
            ..LogStatus::default()
        }],
        webhook: Some(WebhookStatus::default()),
        ..MonitorStatus::default()
    };
    let head = FoundHead {
        size: 3,
        root: "00".into(),
        timestamp_ms: 4,
    };
    let alert = |found| Alert {
        sequence: 7,
        id: "id".into(),
        time_ms: 5,
        log: "log".into(),
        log_id: "01".into(),
        found,
    };
    let certificate = FoundCertificate {
        index: 6,
        logged_ms: 7,
        form: LoggedForm::Precertificate,
        first: true,
        matches: vec![FoundMatch {
            name: "a.example".into(),
            watch: ".example".into(),
            rule: Rule::EditDistance(2),
        }],
        matches_total: 1,
        names: vec!["a.example".into()],
        names_total: 1,
        issuer: "O=A \"b\"".into(),
        serial: "0a".into(),
        not_before: -1,
        not_after: 2,
        validation: Some(Validation::Ev),
        sha256: "02".into(),
        certificate: "03".into(),
    };
    let alarm = FoundAlarm {
        alarm: AlarmKind::Fork,
        detail: "roots".into(),
        known: head.clone(),
        seen: head,
        evidence: "a.json".into(),
    };
    let found = Found::Certificate(Box::new(certificate));
    vec![
        Reply::Ok(Response::CtMonitorStatus(Box::new(status))),
        Reply::Ok(Response::CtMonitorAlerts(AlertPage {
            alerts: vec![alert(found), alert(Found::Log(alarm))],
            next_cursor: 8,
            more: true,
        })),
        Reply::Ok(Response::CtCertificates {
            certificates: vec![],
        }),
    ]
}

#[test]
fn request_encoded_then_decoded_is_the_same() {
    for request in requests() {
        let line = request.encode().unwrap();
        assert_eq!(Request::decode(&line).unwrap(), request);
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}

#[test]
fn reply_encoded_then_decoded_is_the_same() {
    let replies = replies().into_iter().chain(trust_replies());
    for reply in replies.chain(monitor_replies()) {
        let line = reply.encode().unwrap();
        assert_eq!(Reply::decode(&line).unwrap(), reply);
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}

#[test]
fn request_on_the_wire_has_the_documented_form() {
    let line = br#"{"request":"lookup","name":"example.com.","type":"A"}"#;
    let expected = Request::Lookup {
        name: "example.com.".into(),
        record_type: "A".into(),
        trace: false,
    };
    assert_eq!(Request::decode(line).unwrap(), expected);
}

#[test]
fn request_with_unknown_field_is_malformed() {
    for line in [
        &br#"{"request":"cache_flush","nmae":"example.com."}"#[..],
        br#"{"request":"status","verbose":true}"#,
        br#"{"request":"shutdown"}"#,
        br#"{"request":"lookup"}"#,
        b"",
        b"{}{}",
    ] {
        assert!(
            matches!(Request::decode(line), Err(LineError::Malformed(_))),
            "{}",
            String::from_utf8_lossy(line)
        );
    }
}

#[test]
fn reply_with_unknown_field_is_read() {
    let line = br#"{"ok":{"kind":"cache_flushed","entries":2,"workers":1}}"#;
    let reply = Reply::decode(line).unwrap();
    assert_eq!(
        reply,
        Reply::Ok(Response::CacheFlushed {
            entries: 2,
            records: 0
        })
    );
}

#[test]
fn request_over_the_limit_is_too_long_both_ways() {
    let name = "a".repeat(REQUEST_BYTES_MAX);
    let request = Request::ZoneReload { name: Some(name) };
    assert!(matches!(request.encode(), Err(LineError::TooLong { .. })));
    let line = vec![b' '; REQUEST_BYTES_MAX + 1];
    assert!(matches!(
        Request::decode(&line),
        Err(LineError::TooLong { .. })
    ));
}

#[test]
fn full_page_of_longest_names_fits_in_a_reply() {
    let entry = CacheEntry {
        name: "\\255".repeat(255),
        record_type: "TYPE65535".into(),
        class: "CLASS65535".into(),
        flags: vec!["rd".into(), "cd".into(), "do".into()],
        rcode: "BADCOOKIE".into(),
        answers: u16::MAX,
        ttl_secs: u32::MAX,
        age_secs: u32::MAX,
        zone: u32::MAX,
        dead: true,
        bytes: u32::MAX,
    };
    let entries = vec![entry; CACHE_PAGE_ENTRIES_MAX];
    let page = CachePage {
        entries,
        next_cursor: Some(u64::MAX),
    };
    assert!(Reply::Ok(Response::CachePage(page)).encode().is_ok());
}

#[test]
fn reply_about_fifty_thousand_zones_fits() {
    let name = "customer-number-of-some-length.example-provider.example.".to_owned();
    let error = Some(format!(
        "/var/lib/nexus/zones/{name}zone:12345:67: found `nonsense`, expected a record type"
    ));
    let status = ZoneStatus {
        name: name.clone(),
        file: format!("/var/lib/nexus/zones/{name}zone"),
        serial: Some(u32::MAX),
        records: u64::MAX,
        generation: u32::MAX,
        signed: false,
        loaded_secs_ago: u64::MAX,
        error: error.clone(),
    };
    let reloaded = ZoneReloaded {
        name,
        serial_before: Some(u32::MAX),
        serial: Some(u32::MAX),
        changed: false,
        error,
    };
    let zones = vec![status; 50_000];
    assert!(Reply::Ok(Response::Zones { zones }).encode().is_ok());
    let zones = vec![reloaded; 50_000];
    assert!(
        Reply::Ok(Response::ZonesReloaded {
            zones,
            pending: vec![],
            policy_changed: false,
            warnings: vec![],
        })
        .encode()
        .is_ok()
    );
}

#[test]
fn lines_cut_anywhere_come_out_whole() {
    let stream = b"first\nsecond\n\nrest";
    for cut in 0..=stream.len() {
        let mut lines = Lines::new(16);
        let mut seen = Vec::new();
        for part in [&stream[..cut], &stream[cut..]] {
            lines.push(part);
            while let Some(line) = lines.next_line().unwrap() {
                seen.push(line);
            }
        }
        assert_eq!(seen, [&b"first"[..], b"second", b""], "cut={cut}");
    }
}

#[test]
fn line_of_the_limit_passes_and_one_byte_more_is_too_long() {
    let mut lines = Lines::new(8);
    lines.push(b"1234567\n");
    assert_eq!(lines.next_line().unwrap().as_deref(), Some(&b"1234567"[..]));
    lines.push(b"12345678\n");
    assert!(matches!(
        lines.next_line(),
        Err(LineError::TooLong { bytes_max: 8 })
    ));
}

#[test]
fn decoder_survives_arbitrary_bytes() {
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|bytes: &[u8]| {
            if let Ok(request) = Request::decode(bytes) {
                let line = request.encode().unwrap();
                assert_eq!(Request::decode(&line).unwrap(), request);
            }
            let _ = Reply::decode(bytes);
        });
}

#[test]
fn decoder_survives_a_mutated_message() {
    bolero::check!()
        .with_iterations(5_000)
        .with_type::<(u8, Vec<(u16, u8)>)>()
        .for_each(|(pick, edits)| {
            let replies = replies();
            let mut line = replies[usize::from(*pick) % replies.len()]
                .encode()
                .unwrap();
            for &(at, byte) in edits {
                let at = usize::from(at) % line.len();
                line[at] = byte;
            }
            if let Ok(reply) = Reply::decode(&line) {
                let again = reply.encode().unwrap();
                assert_eq!(Reply::decode(&again).unwrap(), reply);
            }
        });
}
