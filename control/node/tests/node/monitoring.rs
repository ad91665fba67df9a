//! Control follows a log of Certificate Transparency, on loopback, and tells of what it finds.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use ct::{
    CtExtensions, DigitallySigned, EntryKind, Hash, KeyName, LogEntry, LogKey, SignedTreeHead,
    TiledTree, TimestampedEntry, TreeHead,
};
use data_encoding::BASE64;
use node::admin::{FailureCode, Found, Reply, Request, Response};

use crate::common::{Node, wait_until};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A tiled log of less than 256 entries, and its server.
struct Log {
    key: EcdsaKeyPair,
    tree: TiledTree,
    data: Vec<u8>,
    files: Files,
    address: String,
}

impl Log {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let files = Files::default();
        let served = Arc::clone(&files);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &served);
            }
        });
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut log = Self {
            key,
            tree: TiledTree::new(),
            data: Vec::new(),
            files,
            address,
        };
        log.publish();
        log
    }

    fn spki(&self) -> Vec<u8> {
        let der = self.key.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// Logs a certificate for this name.
    fn add(&mut self, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let entry = LogEntry {
            kind: EntryKind::Certificate(der.into()),
            chain: [Hash::of(b"issuer")].into(),
        };
        let extensions = CtExtensions::of_index(self.tree.size()).unwrap();
        let entry = TimestampedEntry::new(entry, 1, extensions).unwrap();
        entry.write_tile_leaf(&mut self.data);
        self.tree.push(entry.leaf_hash(), |_, _| {}).unwrap();
        self.publish();
    }

    fn publish(&mut self) {
        let head = TreeHead {
            size: self.tree.size(),
            root: self.tree.root(),
            timestamp_ms: 5_000,
        };
        let input = head.signed_input();
        let signature = self.key.sign(&SystemRandom::new(), &input).unwrap();
        let signature = DigitallySigned::ecdsa(signature.as_ref().to_vec()).unwrap();
        let origin = KeyName::new(&self.address).unwrap();
        let id = LogKey::new(&self.spki()).unwrap().id();
        let note = SignedTreeHead { head, signature }.to_note(&origin, &id);
        let mut files = self.files.lock().unwrap();
        let data = format!("/tile/data/000.p/{}", head.size);
        files.insert(data, self.data.clone());
        files.insert("/checkpoint".to_owned(), note.to_string().into_bytes());
    }

    fn sections(&self, more: &str) -> String {
        let (address, key) = (&self.address, BASE64.encode(&self.spki()));
        let log = format!(
            "{{name: ours, kind: static, url: 'http://{address}', key: {key}, poll_ms: 100}}"
        );
        format!("ct: {{monitor: {{logs: [{log}], watch: [{{name: .example.com}}]{more}}}}}")
    }
}

fn serve(stream: &TcpStream, files: &Files) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let _ = lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
    let body = files.lock().unwrap().get(&path).cloned();
    let status = if body.is_some() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let body = body.unwrap_or_default();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let mut stream = stream;
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()); // It may have gone.
}

/// Numbers and first names of the alerts.
fn alerts(node: &Node) -> Vec<(u64, String)> {
    let request = Request::CtMonitorAlerts { cursor: 0 };
    let Response::CtMonitorAlerts(page) = node.admin_ok(&request) else {
        panic!("another reply");
    };
    let alerts = page.alerts.into_iter().map(|alert| match alert.found {
        Found::Certificate(found) => (alert.sequence, found.matches[0].name.clone()),
        Found::Log(found) => panic!("{found:?}"),
    });
    alerts.collect()
}

#[test]
fn certificate_for_a_watched_name_is_told_of_once_and_over_restarts() {
    let mut log = Log::start();
    let mut node = Node::start(&log.sections(""));
    let read = "nexus_ct_monitor_log_read_entries{log=\"ours\"}";
    wait_until("the first head", || {
        let Response::CtMonitorStatus(status) = node.admin_ok(&Request::CtMonitorStatus {}) else {
            panic!("another reply");
        };
        status.logs[0].replied_ms.is_some()
    });
    log.add("a.example.com");
    log.add("a.example.net");
    wait_until("the entries", || node.metric(read) == Some(2));
    assert_eq!(alerts(&node), [(1, "a.example.com".to_owned())]);
    let name = Some("a.example.net".to_owned());
    let found = node.admin_ok(&Request::CtCertificates { name });
    let Response::CtCertificates { certificates } = found else {
        panic!("{found:?}");
    };
    assert_eq!(certificates.len(), 1);
    assert!(!certificates[0].watched);

    node.signal(rustix::process::Signal::TERM);
    assert!(node.wait().success());
    log.add("b.example.com");
    node.spawn();
    wait_until("the entry", || node.metric(read) == Some(3));
    let expected = [(1, "a.example.com"), (2, "b.example.com")];
    let expected = expected.map(|(number, name)| (number, name.to_owned()));
    assert_eq!(alerts(&node), expected);
}

#[test]
fn node_that_follows_no_log_has_no_monitor() {
    let node = Node::start("");
    let Reply::Error(failure) = node.admin(&Request::CtMonitorStatus {}) else {
        panic!("a status");
    };
    assert_eq!(failure.code, FailureCode::Unavailable);
    let (_, text) = node.http("/metrics");
    assert!(!text.contains("nexus_ct_monitor"));
}

#[test]
fn no_metric_of_the_monitor_is_described_twice() {
    let mut log = Log::start();
    log.add("a.example");
    log.add("b.example");
    let webhook = ", webhook: {url: 'http://127.0.0.1:9', secret_file: secret}";
    let mut node = Node::new(&log.sections(webhook));
    node.write("secret", "0123456789abcdef");
    node.spawn();
    let (_, text) = node.http("/metrics");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut names: Vec<&str> = types
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("nexus_ct_monitor_"))
        .collect();
    assert_eq!(names.len(), 19, "{text}");
    let is_given = |name: &&str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(*name));
        lines.any(|rest| rest.starts_with([' ', '{', '_']))
    };
    assert!(names.iter().all(is_given), "{text}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 19);
}
