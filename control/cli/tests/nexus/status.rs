//! `nexus status` with either plane, both and none; the dataplane is a real shared region.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::{Fake, Place};
use cli::exit::Exit;
use exchange::handover::{Offer, Server};
use exchange::{Mode, Region, RegionConfig, StatusWriter, WorkerEvents, WorkerSide};
use node::admin::{
    ControlStatus, CopyPurpose, CopyStatus, DataplaneStatus, Request, ResolverMode, ResolverStatus,
    Response, Status, UpstreamStatus, WorkerStatus,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

fn control() -> ControlStatus {
    ControlStatus {
        version: "0.1.0".to_owned(),
        pid: 812,
        uptime_secs: 8_000,
        listen: vec!["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()],
        serving_udp: false,
        zones: 3,
        resolver: ResolverStatus {
            mode: ResolverMode::Forward,
            queries_in_flight: 14,
            upstreams: vec![
                UpstreamStatus {
                    zone: ".".to_owned(),
                    address: "192.0.2.1:53".parse().unwrap(),
                    healthy: true,
                    round_trip_us: Some(1_800),
                },
                UpstreamStatus {
                    zone: "corp.example.".to_owned(),
                    address: "[2001:db8::1]:53".parse().unwrap(),
                    healthy: false,
                    round_trip_us: None,
                },
            ],
        },
        copies: Vec::new(),
    }
}

fn copy(purpose: CopyPurpose, serial: Option<u32>, confirmed: Option<u64>) -> CopyStatus {
    CopyStatus {
        zone: "rpz.example.".to_owned(),
        purpose,
        primaries: vec!["192.0.2.7:53".parse().unwrap()],
        serial,
        records: 1_234,
        confirmed_secs_ago: confirmed,
        failures: 1,
        error: serial.is_none().then(|| "192.0.2.7:53: no".to_owned()),
    }
}

fn dataplane() -> DataplaneStatus {
    let worker = |index, running, heartbeat_age_ms| WorkerStatus {
        index,
        running,
        heartbeat_age_ms,
        queries: 1_000_000,
        hits: 991_000,
        punts: 9_000,
    };
    DataplaneStatus {
        pid: 815,
        uptime_secs: 8_010,
        running: true,
        mode: "copy".to_owned(),
        reason: "zero-copy: not supported by the driver".to_owned(),
        interface: "eth1".to_owned(),
        workers: vec![worker(0, true, 3), worker(1, false, 65_000)],
    }
}

fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000 + u64::try_from(now.tv_nsec).unwrap() / 1_000_000
}

/// A dataplane of one worker that hands over its memory until dropped.
struct Dataplane {
    worker: WorkerSide,
    status: StatusWriter,
    region: Region,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Dataplane {
    fn new(place: &Place) -> Self {
        let region = Region::create(&RegionConfig {
            workers: 1,
            punt_slots: 16,
            reply_slots: 16,
            table_buckets: 16,
            zones_max: 4,
        })
        .unwrap();
        let events = vec![WorkerEvents::new().unwrap()];
        let offer = Offer {
            region: region.clone(),
            events,
            sockets: vec![],
        };
        let mut server = Server::bind(&place.dataplane(), offer, &[]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let server = thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                server.serve(Duration::from_millis(10)).unwrap();
            }
        });
        Self {
            worker: region.worker(0).unwrap(),
            status: region.status_writer(now_ms()).unwrap(),
            region,
            stop,
            server: Some(server),
        }
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

#[test]
fn both_planes_alive_shows_mode_reason_and_workers() {
    let status = Status {
        control: control(),
        dataplane: Some(dataplane()),
    };
    let fake = Fake::new(vec![Response::Status(Box::new(status)).into()]);
    let (exit, text) = fake.output(&["status"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
control    running  pid 812, up 2 h 13 min, version 0.1.0
  listen     0.0.0.0:53, [::]:53 (TCP; UDP is with the workers)
  zones      3
  resolver   forwards to 192.0.2.1:53 (1,800 us), [2001:db8::1]:53 for corp.example. (down), 14 in flight
dataplane  running  pid 815, up 2 h 13 min
  mode       copy
  reason     zero-copy: not supported by the driver
  interface  eth1
  WORKER  STATE       HEARTBEAT    QUERIES    HITS  PUNTS
       0  running      3 ms ago  1,000,000  99.1 %  9,000
       1  silent   1 min 5 s ago  1,000,000  99.1 %  9,000
";
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&text), squeeze(expected), "{text}");
    assert_eq!(fake.requests(), [Request::Status {}]);
}

#[test]
fn control_alone_is_a_success_that_says_the_dataplane_is_silent() {
    let mut alone = control();
    alone.serving_udp = true;
    let status = Status {
        control: alone,
        dataplane: None,
    };
    let fake = Fake::new(vec![Response::Status(Box::new(status)).into()]);
    let (exit, text) = fake.output(&["status"]);
    assert_eq!(exit, Exit::Success);
    assert!(text.contains("(UDP and TCP)"), "{text}");
    assert!(
        text.contains("\ndataplane  silent   the dataplane does not answer on "),
        "{text}"
    );
}

#[test]
fn each_copied_zone_has_a_line_that_says_how_fresh_it_is() {
    let mut control = control();
    control.copies = vec![
        copy(CopyPurpose::PolicyZone, Some(7), Some(65)),
        copy(CopyPurpose::LocalRoot, None, Some(90_000)),
        copy(CopyPurpose::PolicyZone, None, None),
    ];
    let status = Status {
        control,
        dataplane: None,
    };
    let fake = Fake::new(vec![Response::Status(Box::new(status)).into()]);
    let (_, text) = fake.output(&["status"]);
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  copy       "))
        .collect();
    let expected = [
        "rpz.example. (policy zone), serial 7, 1,234 records, confirmed 1 min 5 s ago",
        "rpz.example. (local root), EXPIRED, confirmed 1 d 1 h ago; 192.0.2.7:53: no",
        "rpz.example. (policy zone), not yet transferred; 192.0.2.7:53: no",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn dead_control_is_replaced_by_the_shared_memory() {
    let place = Place::new();
    let mut dataplane = Dataplane::new(&place);
    dataplane
        .status
        .set(Mode::Socket, "no interface configured");
    dataplane.worker.counters.queries.add(40);
    dataplane.worker.counters.answers_cache.add(30);
    dataplane.worker.heartbeat.beat(now_ms());
    let region = dataplane.region.attach_control().unwrap();
    let dead = region.control(1).unwrap(); // Last seen a millisecond after boot.

    let (exit, text) = place.run(&["status"]);
    assert_eq!(exit.unwrap(), Exit::Success);
    assert!(
        text.starts_with("control    silent   control does not answer on "),
        "{text}"
    );
    assert!(text.contains("last sign of life"), "{text}");
    assert!(text.contains("\ndataplane  running  pid "), "{text}");
    assert!(
        text.contains("\n  mode       socket\n  reason     no interface configured\n"),
        "{text}"
    );
    assert!(text.contains("75.0 %"), "{text}");

    let text = place.run(&["stats", "--once"]).1;
    let queries = text
        .lines()
        .find(|line| line.starts_with("queries "))
        .unwrap();
    assert_eq!(queries.split_whitespace().nth(1), Some("40"));
    drop(dead);
}

#[test]
fn stopped_workers_and_dead_control_are_silent_and_fail() {
    let place = Place::new();
    let dataplane = Dataplane::new(&place); // Its worker never made a heartbeat.
    let (exit, text) = place.run(&["status"]);
    assert_eq!(exit.unwrap(), Exit::Failure);
    assert!(
        text.contains("it never attached to this dataplane"),
        "{text}"
    );
    assert!(text.contains("\ndataplane  silent   pid "), "{text}");
    drop(dataplane);
}

#[test]
fn both_planes_dead_says_so_and_fails() {
    let place = Place::new();
    let (exit, text) = place.run(&["status"]);
    assert_eq!(exit.unwrap(), Exit::Failure);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("control    silent   control does not answer on "),
        "{text}"
    );
    assert!(
        lines[1].starts_with("dataplane  silent   the dataplane does not answer on "),
        "{text}"
    );
    let (exit, text) = place.run(&["status", "--json"]);
    assert_eq!(exit.unwrap(), Exit::Failure);
    let planes: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(planes["control"], Value::Null);
    assert!(planes["dataplane_error"].is_string());
}

#[test]
fn stats_without_any_plane_is_an_error_that_names_both() {
    let error = Place::new().run(&["stats"]).0.unwrap_err();
    let chain = format!("{error:#}");
    assert!(chain.contains("dataplane does not answer"), "{chain}");
    assert!(chain.contains("control does not answer"), "{chain}");
}
