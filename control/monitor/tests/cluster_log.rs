//! The monitor on the log of a cluster, from a submission to the alert.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

#[path = "../../ctlog/tests/http/lone.rs"]
mod lone;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ct::{Base64, LogAddress, LogKey, Roots, Shard, unix_midnight};
use ctlog::http::{Limits, serve};
use lone::Lone;
use monitor::{
    Found, LogSource, Monitor, MonitorHandle, MonitorSettings, Start, WatchPattern, Watchlist,
};
use serde_json::json;
use support::pki::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(30);

async fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "no {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for the reply with the timestamp.
async fn submit(host: &str, chain: &[Vec<u8>]) {
    let chain: Vec<_> = chain.iter().cloned().map(Base64).collect();
    let body = json!({ "chain": chain }).to_string();
    let length = body.len();
    let request = format!(
        "POST /lab/ct/v1/add-chain HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

/// Follows the log by both of its APIs. They are of one log, so each has a monitor of its own.
fn follow(host: &str, folder: &Path) -> Vec<Monitor> {
    let pem = std::fs::read_to_string(folder.join("lab.pem")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key: Base64 = serde_json::from_value(json!(base64)).unwrap();
    let url = format!("http://{host}/lab");
    let tiled = LogAddress::Tiled {
        submission_url: url.clone(),
        monitoring_url: url.clone(),
    };
    let monitors = [("tiled", tiled), ("rfc6962", LogAddress::Rfc6962 { url })];
    let start = |(name, address): (&str, LogAddress)| {
        let source = LogSource {
            name: name.to_owned(),
            key: LogKey::new(&key.0).unwrap(),
            address,
            start: Start::Beginning,
            poll_ms: 500,
            heeds_freshness: false,
        };
        let pattern = WatchPattern::parse(".example.com", false, 0).unwrap();
        let settings = MonitorSettings {
            logs: vec![Arc::new(source)],
            watchlist: Watchlist::new(vec![pattern]).unwrap(),
            webhook: None,
            folder: folder.join(name),
            certificates_max: 1_000,
            alert_bytes_max: 0,
            seed: 1,
        };
        Monitor::start(settings).unwrap()
    };
    monitors.into_iter().map(start).collect()
}

fn last_name(handle: &MonitorHandle) -> Option<String> {
    let page = handle.alerts(0);
    page.alerts.last().map(|alert| match &alert.found {
        Found::Certificate(found) => found.matches[0].name.clone(),
        Found::Log(found) => panic!("{found:?}"),
    })
}

#[tokio::test]
async fn submission_to_the_log_of_a_cluster_is_an_alert_by_either_api() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new();
    let roots = Roots::from_pem(authority.pem().as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let window = Shard {
        name: "lab".to_owned(),
        start: unix_midnight(1970, 1, 1),
        end: unix_midnight(9999, 1, 1),
    };
    let log = Lone::start(folder.path(), &host, &[window], roots);
    let faces = Arc::new(log.faces(log.orders.clone(), Limits::default()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, faces, async {
        let _ = stopped.await;
    }));

    let monitors = follow(&host, folder.path());
    for monitor in &monitors {
        let handle = monitor.handle();
        let mut latencies_ms = Vec::new();
        for number in 0..8_u64 {
            let log = &handle.status().logs[0].name;
            let name = format!("{number}.{log}.example.com");
            tokio::time::sleep(Duration::from_millis(number * 61)).await;
            let submitted = Instant::now();
            submit(&host, &[authority.issue("x", &[&name])]).await;
            wait_for("alert", || last_name(&handle).as_deref() == Some(&name)).await;
            latencies_ms.push(submitted.elapsed().as_millis());
        }
        latencies_ms.sort_unstable();
        let log = &handle.status().logs[0];
        println!(
            "{}: submitted to alert, poll 500 ms: median {} ms, most {} ms",
            log.name, latencies_ms[4], latencies_ms[7]
        );
        assert_eq!(
            (log.alarms, log.failures, log.unreadable_entries),
            (0, 0, 0)
        );
    }
    for monitor in monitors {
        let handle = monitor.handle();
        wait_for("all entries", || handle.status().logs[0].entries == 16).await;
        monitor.stop();
    }
    let _ = stop.send(());
    served.await.unwrap().unwrap();
    log.stop();
}
