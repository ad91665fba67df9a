//! The whole monitor on loopback, against a small log of either kind and a receiver of alerts.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::slice;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ct::Hash;
use flate2::Compression;
use flate2::write::GzEncoder;
use monitor::{
    ALERT_ID_HEADER, AlarmKind, Alert, Found, LogSource, LoggedForms, Monitor, MonitorMetrics,
    MonitorSettings, SIGNATURE_HEADER, Start, TIMESTAMP_HEADER, Validation, WatchPattern,
    Watchlist, WebhookSettings, sign,
};
use support::pki::{Authority, before_issue, issued};
use support::{KINDS, Kind, Log};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const SECRET: &[u8] = b"a secret of the receiver";
const PATIENCE: Duration = Duration::from_secs(30);

type SharedLog = Arc<Mutex<Log>>;

/// Serves a log; gives where.
async fn serve_log(log: SharedLog) -> String {
    async fn reply(State(log): State<SharedLog>, uri: Uri) -> Response {
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let Some(bytes) = log.lock().unwrap().get(path) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        // As object stores keep them.
        if path.starts_with("/tile/data/") {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            return ([("content-encoding", "gzip")], encoder.finish().unwrap()).into_response();
        }
        bytes.into_response()
    }
    serve(Router::new().fallback(get(reply)).with_state(log)).await
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// What a receiver does with the next alerts, and where those it took go.
#[derive(Clone)]
struct Receiver {
    refusals: Arc<Mutex<Vec<StatusCode>>>,
    taken: mpsc::UnboundedSender<(Alert, Instant)>,
}

/// Serves a receiver that checks signatures, and refuses with these first.
async fn serve_receiver(
    refusals: &[StatusCode],
) -> (WebhookSettings, mpsc::UnboundedReceiver<(Alert, Instant)>) {
    async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let timestamp_s: u64 = header(TIMESTAMP_HEADER).parse().unwrap();
        let expected = sign(SECRET, timestamp_s, &body);
        if header(SIGNATURE_HEADER) != expected {
            return StatusCode::UNAUTHORIZED;
        }
        let alert: Alert = serde_json::from_slice(&body).unwrap();
        assert_eq!(header(ALERT_ID_HEADER), alert.id);
        if let Some(status) = receiver.refusals.lock().unwrap().pop() {
            return status;
        }
        receiver.taken.send((alert, Instant::now())).unwrap();
        StatusCode::NO_CONTENT
    }
    let (taken, alerts) = mpsc::unbounded_channel();
    let refusals = Arc::new(Mutex::new(refusals.to_vec()));
    let receiver = Receiver { refusals, taken };
    let url = serve(
        Router::new()
            .route("/hook", post(take))
            .with_state(receiver),
    )
    .await;
    let settings = WebhookSettings {
        url: format!("{url}/hook"),
        secret: SECRET.to_vec(),
    };
    (settings, alerts)
}

fn settings(
    sources: &[Arc<LogSource>],
    webhook: Option<&WebhookSettings>,
    folder: &Path,
) -> MonitorSettings {
    let pattern = WatchPattern::parse(".example.com", true, 0).unwrap();
    MonitorSettings {
        logs: sources.to_vec(),
        watchlist: Watchlist::new(vec![pattern]).unwrap(),
        webhook: webhook.cloned(),
        folder: folder.to_owned(),
        certificates_max: 100,
        alert_bytes_max: 0,
        seed: 1,
    }
}

/// With the poll interval of a node's own logs.
fn quick(source: &LogSource) -> Arc<LogSource> {
    let poll_ms = 500;
    Arc::new(LogSource {
        poll_ms,
        ..source.clone()
    })
}

async fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "no {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn next(alerts: &mut mpsc::UnboundedReceiver<(Alert, Instant)>) -> (Alert, Instant) {
    let alert = tokio::time::timeout(PATIENCE, alerts.recv()).await;
    alert.expect("no alert came").unwrap()
}

#[tokio::test]
async fn certificate_in_a_log_of_either_kind_reaches_the_receiver() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::of(kind, 600)));
        let url = serve_log(Arc::clone(&log)).await;
        let source = quick(&log.lock().unwrap().source_at(&url, Start::Now));
        let (webhook, mut alerts) = serve_receiver(&[]).await;
        let monitor = Monitor::start(settings(&[source], Some(&webhook), folder.path())).unwrap();
        let handle = monitor.handle();
        wait_for("first head", || handle.status().logs[0].read == 600).await;

        let mut authority = Authority::new();
        let mut latencies_ms = Vec::new();
        for number in 0..8_u64 {
            let name = format!("host{number}.example.com");
            let der = authority.issue("x", &["other.example", &name]);
            // Another phase of the poll each time.
            tokio::time::sleep(Duration::from_millis(number * 83)).await;
            let published = {
                let mut log = log.lock().unwrap();
                log.add(issued(&authority.issue("y", &["boring.example"])));
                log.add(before_issue(&der));
                log.publish();
                Instant::now()
            };
            let (alert, came) = next(&mut alerts).await;
            latencies_ms.push(came.duration_since(published).as_millis());
            let Found::Certificate(found) = alert.found else {
                panic!("{alert:?}");
            };
            assert_eq!(
                (alert.sequence, found.index),
                (number + 1, 601 + number * 2)
            );
            assert_eq!(found.matches.len(), 1);
            assert_eq!(found.matches[0].name, name);
            assert_eq!(found.matches[0].watch, ".example.com");
            assert_eq!(found.names, [&name, "other.example"]);
            assert_eq!(found.validation, Some(Validation::Dv));
            assert!(found.first);
        }
        latencies_ms.sort_unstable();
        let (median, most) = (latencies_ms[4], latencies_ms[7]);
        println!(
            "{kind:?}: published to received, poll 500 ms: median {median} ms, most {most} ms"
        );

        let status = handle.status();
        assert_eq!((status.logs[0].entries, status.logs[0].alerts), (16, 8));
        assert_eq!((status.alerts, status.certificates), (8, 16));
        wait_for("end of the queue", || {
            handle.status().webhook.unwrap().pending == 0
        })
        .await;
        let found = handle.certificates(Some("host3.example.com"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].ct_status, LoggedForms::Precertificate);
        assert_eq!(handle.alerts(5).alerts.len(), 4);
        monitor.stop();
    }
}

#[tokio::test]
async fn receiver_that_fails_and_a_restart_lose_no_alert() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::new(Kind::Tiled)));
    let mut authority = Authority::new();
    for number in 0..5 {
        let name = format!("{number}.example.com");
        let der = authority.issue("x", &[&name]);
        log.lock().unwrap().add(issued(&der));
    }
    log.lock().unwrap().publish();
    let url = serve_log(Arc::clone(&log)).await;
    let source = log.lock().unwrap().source_at(&url, Start::Beginning);
    // Nobody listens there.
    let dead = WebhookSettings {
        url: "http://127.0.0.1:9/hook".to_owned(),
        secret: SECRET.to_vec(),
    };
    let monitor = Monitor::start(settings(
        slice::from_ref(&source),
        Some(&dead),
        folder.path(),
    ))
    .unwrap();
    let handle = monitor.handle();
    wait_for("failure", || handle.status().webhook.unwrap().failures > 0).await;
    let webhook = handle.status().webhook.unwrap();
    assert_eq!((webhook.pending, webhook.delivered), (5, 0));
    assert_eq!(webhook.host, "127.0.0.1");
    assert!(webhook.last_failure.is_some());
    monitor.stop();

    let busy = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::INTERNAL_SERVER_ERROR,
    ];
    let (webhook, mut alerts) = serve_receiver(&busy).await;
    let monitor = Monitor::start(settings(&[source], Some(&webhook), folder.path())).unwrap();
    let mut ids = Vec::new();
    for sequence in 1..=5 {
        let (alert, _) = next(&mut alerts).await;
        assert_eq!(alert.sequence, sequence);
        ids.push(alert.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let handle = monitor.handle();
    wait_for("end of the queue", || {
        handle.status().webhook.unwrap().pending == 0
    })
    .await;
    assert_eq!(handle.status().webhook.unwrap().failures, 2);
    // What was read before the restart was not read again.
    assert_eq!(handle.status().logs[0].entries, 0);
    monitor.stop();
    let place = std::fs::read_to_string(folder.path().join("webhook.place")).unwrap();
    assert_eq!(place, "6\n");
}

#[tokio::test]
async fn fork_is_told_of_once_and_its_evidence_outlives_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::of(Kind::Rfc6962, 20)));
    let url = serve_log(Arc::clone(&log)).await;
    let source = quick(&log.lock().unwrap().source_at(&url, Start::Now));
    let (webhook, mut alerts) = serve_receiver(&[]).await;
    let start = || {
        let sources = [Arc::clone(&source)];
        Monitor::start(settings(&sources, Some(&webhook), folder.path())).unwrap()
    };
    let monitor = start();
    let handle = monitor.handle();
    wait_for("first head", || handle.status().logs[0].read == 20).await;
    let honest = log.lock().unwrap().head.clone();
    let forked = log.lock().unwrap().sign(20, Hash::of(b"another"));
    log.lock().unwrap().head = forked.clone();
    let (alert, _) = next(&mut alerts).await;
    let Found::Log(found) = alert.found else {
        panic!("{alert:?}");
    };
    assert_eq!(found.alarm, AlarmKind::Fork);
    let path = folder.path().join("evidence").join(&found.evidence);
    let evidence = std::fs::read(&path).unwrap();
    let fetches = handle.status().logs[0].fetches;
    wait_for("second look", || handle.status().logs[0].fetches > fetches).await;
    monitor.stop();

    let monitor = start();
    let handle = monitor.handle();
    wait_for("third look", || handle.status().logs[0].fetches > 1).await;
    let status = handle.status();
    assert_eq!((status.alerts, status.logs[0].alarms), (1, 0));
    assert_eq!(std::fs::read(&path).unwrap(), evidence);
    monitor.stop();

    // A crash between evidence and alert: nobody was told yet.
    std::fs::remove_file(folder.path().join("alerts.jsonl")).unwrap();
    let monitor = start();
    let handle = monitor.handle();
    wait_for("alarm", || handle.status().logs[0].alarms > 0).await;
    let fetches = handle.status().logs[0].fetches;
    wait_for("fifth look", || {
        handle.status().logs[0].fetches > fetches + 1
    })
    .await;
    let status = handle.status();
    assert_eq!((status.alerts, status.logs[0].alarms), (1, 1));
    let Found::Log(again) = &handle.alerts(0).alerts[0].found else {
        panic!("{status:?}");
    };
    assert_eq!(again.evidence, found.evidence);
    assert_eq!(std::fs::read(&path).unwrap(), evidence);
    log.lock().unwrap().head = honest;
    log.lock().unwrap().grow(3);
    wait_for("growth", || handle.status().logs[0].read == 23).await;
    monitor.stop();
}

#[tokio::test]
async fn log_with_a_damaged_state_is_not_followed_anew_and_the_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::of(Kind::Tiled, 20)));
    let url = serve_log(Arc::clone(&log)).await;
    let source = log.lock().unwrap().source_at(&url, Start::Now);
    let path = folder.path().join(format!("{}.state", source.key.id()));
    std::fs::write(&path, "damaged").unwrap();
    let monitor = Monitor::start(settings(slice::from_ref(&source), None, folder.path())).unwrap();
    let status = monitor.handle().status();
    assert!(status.logs[0].stopped.is_some());
    assert_eq!(std::fs::read(&path).unwrap(), b"damaged");
    let metrics = text_of(monitor.handle().metrics());
    assert!(metrics.contains("nexus_ct_monitor_log_stopped{log=\"Tiled\"} 1"));
    monitor.stop();
    let twice = [source.clone(), source];
    assert!(Monitor::start(settings(&twice, None, folder.path())).is_err());
}

#[tokio::test]
async fn metrics_have_units_and_follow_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::of(Kind::Tiled, 20)));
    let url = serve_log(Arc::clone(&log)).await;
    let source = log.lock().unwrap().source_at(&url, Start::Beginning);
    let (webhook, _alerts) = serve_receiver(&[]).await;
    let monitor = Monitor::start(settings(&[source], Some(&webhook), folder.path())).unwrap();
    let handle = monitor.handle();
    wait_for("entries", || handle.status().logs[0].read == 20).await;
    let text = text_of(handle.metrics());
    for line in [
        "nexus_ct_monitor_watches 1",
        "nexus_ct_monitor_log_size_entries{log=\"Tiled\"} 20",
        "nexus_ct_monitor_log_read_entries{log=\"Tiled\"} 20",
        "nexus_ct_monitor_log_head_timestamp_seconds{log=\"Tiled\"} 1700000000",
        "nexus_ct_monitor_entries_total{log=\"Tiled\"} 20",
        // Entries of the test's log are no certificates.
        "nexus_ct_monitor_unreadable_entries_total{log=\"Tiled\"} 20",
        "nexus_ct_monitor_webhook_delivered_alerts_total 0",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    monitor.stop();
}

fn text_of(metrics: MonitorMetrics) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(metrics));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}
