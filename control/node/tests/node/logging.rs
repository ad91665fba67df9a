//! The query log: over a socket to a reader that speaks Frame Streams, and into a file that kdig reads.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use exchange::Transport;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use prost::Message as _;
use rustix::process::Signal;

use crate::common::{Node, PATIENCE, query, rcode, wait_until};
use crate::dataplane::both;
use crate::resolving::Upstream;

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The fields of dnstap.proto that are looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Dnstap {
    #[prost(bytes = "vec", optional, tag = "1")]
    identity: Option<Vec<u8>>,
    #[prost(message, optional, tag = "14")]
    message: Option<Tapped>,
    #[prost(int32, required, tag = "15")]
    kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Tapped {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(int32, optional, tag = "3")]
    protocol: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    query_address: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    response_address: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "10")]
    query_message: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    response_time_sec: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "14")]
    response_message: Option<Vec<u8>>,
}

impl Tapped {
    fn message(&self) -> Message {
        let bytes = self
            .query_message
            .as_ref()
            .or(self.response_message.as_ref());
        Message::from_vec(bytes.unwrap()).unwrap()
    }
}

/// The other side of the handshake.
struct Reader(UnixStream);

impl Reader {
    /// Takes the next writer, and its START.
    fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = Self(stream);
        assert_eq!(
            reader.control(),
            [&[0, 0, 0, 4], &field()[..]].concat(),
            "READY"
        );
        reader.send(&[&[0, 0, 0, 1], &field()[..]].concat());
        assert_eq!(
            reader.control(),
            [&[0, 0, 0, 2], &field()[..]].concat(),
            "START"
        );
        reader
    }

    fn u32(&mut self) -> usize {
        let mut bytes = [0; 4];
        self.0.read_exact(&mut bytes).unwrap();
        u32::from_be_bytes(bytes) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn control(&mut self) -> Vec<u8> {
        assert_eq!(self.u32(), 0);
        let count = self.u32();
        self.bytes(count)
    }

    fn send(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let framed = [&[0; 4], &length[..], body].concat();
        self.0.write_all(&framed).unwrap();
    }

    /// The next message; `None` at STOP, which is answered with FINISH.
    fn next(&mut self) -> Option<Dnstap> {
        let count = self.u32();
        if count == 0 {
            let count = self.u32();
            assert_eq!(self.bytes(count), [0, 0, 0, 3], "STOP");
            self.send(&[0, 0, 0, 5]);
            return None;
        }
        Some(Dnstap::decode(&self.bytes(count)[..]).unwrap())
    }
}

/// The content type as a field of a control frame.
fn field() -> Vec<u8> {
    let length = u32::try_from(CONTENT_TYPE.len()).unwrap().to_be_bytes();
    [&[0, 0, 0, 1], &length[..], CONTENT_TYPE].concat()
}

fn name(message: &Message) -> String {
    message.queries[0].name().to_string()
}

#[test]
fn reader_gets_what_clients_and_servers_were_told_and_the_end_in_order() {
    let upstream = Upstream::start();
    let sections = format!(
        "{ZONES}\n{}\ndnstap: {{socket: \"{{dir}}/tap.sock\", identity: box-7}}",
        upstream.forward()
    );
    let mut node = Node::new(&sections);
    let listener = UnixListener::bind(node.path("tap.sock")).unwrap();
    thread::spawn(move || upstream.answer_addresses());
    node.spawn();
    let mut reader = Reader::accept(&listener);
    node.ask(&query("www.example.com.", RecordType::A));
    node.tcp().ask(&query("ns.example.com.", RecordType::A));
    node.ask(&query("www.example.net.", RecordType::A));
    let client = node.address.octets().to_vec();
    let mut seen = Vec::new();
    for _ in 0..8 {
        let dnstap = reader.next().unwrap();
        assert_eq!(
            (dnstap.kind, dnstap.identity.as_deref()),
            (1, Some(&b"box-7"[..]))
        );
        let tapped = dnstap.message.unwrap();
        let is_of_client = tapped.kind >= 5;
        assert_eq!(
            tapped.query_address == Some(client.clone()),
            is_of_client && tapped.protocol == Some(1)
        );
        assert_eq!(tapped.response_address.is_some(), !is_of_client);
        assert_eq!(tapped.response_time_sec.is_some(), tapped.kind % 2 == 0);
        seen.push((
            tapped.kind,
            tapped.protocol,
            name(&tapped.message()).to_lowercase(),
        ));
    }
    let of = |kind: i32, protocol: i32, name: &str| (kind, Some(protocol), name.to_owned());
    let expected = [
        of(5, 1, "www.example.com."),
        of(6, 1, "www.example.com."),
        of(5, 2, "ns.example.com."),
        of(6, 2, "ns.example.com."),
        of(5, 1, "www.example.net."),
        of(3, 1, "www.example.net."),
        of(4, 1, "www.example.net."),
        of(6, 1, "www.example.net."),
    ];
    assert_eq!(seen, expected);
    wait_until("frames are counted", || {
        node.metric("nexus_dnstap_frames_total") == Some(8)
    });
    node.signal(Signal::TERM);
    assert!(reader.next().is_none());
    assert!(node.wait().success());
}

#[test]
fn answers_do_not_wait_for_a_reader_that_is_not_there_and_one_that_comes_later_gets_the_log() {
    let sections = format!("{ZONES}\ndnstap: {{socket: \"{{dir}}/tap.sock\", sample: 2}}");
    let node = Node::start(&sections);
    let ask = || node.ask(&query("www.example.com.", RecordType::A));
    for _ in 0..4 {
        assert_eq!(rcode(&ask()), ResponseCode::NoError);
    }
    let listener = UnixListener::bind(node.path("tap.sock")).unwrap();
    let mut reader = Reader::accept(&listener);
    let mut kinds = || reader.next().unwrap().message.unwrap().kind;
    assert_eq!([kinds(), kinds(), kinds(), kinds()], [5, 6, 5, 6]);
    // Another one after that has gone.
    drop(reader);
    let mut reader = Reader::accept(&listener);
    ask();
    ask();
    assert_eq!(reader.next().unwrap().message.unwrap().kind, 5);
}

#[test]
fn a_reader_that_greets_and_hangs_up_is_looked_for_once_a_second() {
    let sections = format!("{ZONES}\ndnstap: {{socket: \"{{dir}}/tap.sock\"}}");
    let mut node = Node::new(&sections);
    let listener = UnixListener::bind(node.path("tap.sock")).unwrap();
    node.spawn();
    drop(Reader::accept(&listener));
    let gone = Instant::now();
    drop(Reader::accept(&listener));
    assert!(gone.elapsed() > Duration::from_millis(900));
}

#[test]
fn what_a_worker_reports_of_its_answers_is_logged_and_not_answered() {
    let sections = format!("{ZONES}\ndnstap: {{socket: \"{{dir}}/tap.sock\"}}");
    let (node, mut dataplane) = both(&sections);
    let listener = UnixListener::bind(node.path("tap.sock")).unwrap();
    let mut reader = Reader::accept(&listener);
    let question = query("www.example.com.", RecordType::A).to_vec().unwrap();
    let client = Ipv4Addr::new(127, 0, 0, 9);
    for kind in [Transport::AnsweredQuery, Transport::Response] {
        dataplane.push_as(kind, client, &question);
    }
    for kind in [5, 6] {
        let tapped = reader.next().unwrap().message.unwrap();
        assert_eq!((tapped.kind, tapped.protocol), (kind, Some(1)));
        assert_eq!(tapped.query_address, Some(client.octets().to_vec()));
        assert_eq!(tapped.query_message.is_some(), kind == 5);
        assert_eq!(tapped.message().to_vec().unwrap(), question);
    }
    assert_eq!(node.metric("nexus_control_dnstap_samples_total"), Some(2));
    let punted = node.metric("nexus_control_queries_total{transport=\"punt\"}");
    assert_eq!(punted, Some(0));
}

/// What kdig shows of a file; `None` where kdig cannot read it.
fn shown(file: &Path) -> Option<String> {
    let output = Command::new("kdig").arg("-G").arg(file).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || errors.contains("no dnstap support"),
        "{errors}"
    );
    output.status.success().then_some(text)
}

#[test]
fn file_is_a_whole_stream_after_sighup_and_after_the_end() {
    let sections = format!("{ZONES}\ndnstap: {{file: \"{{dir}}/log.tap\"}}");
    let mut node = Node::start(&sections);
    let file = node.path("log.tap");
    let has_frames = |count: u64| node.metric("nexus_dnstap_frames_total") == Some(count);
    node.ask(&query("www.example.com.", RecordType::A));
    wait_until("two frames", || has_frames(2));
    let moved = node.path("moved.tap");
    std::fs::rename(&file, &moved).unwrap();
    node.signal(Signal::HUP);
    wait_until("a new file", || file.exists());
    node.ask(&query("ns.example.com.", RecordType::A));
    wait_until("four frames", || has_frames(4));
    node.signal(Signal::TERM);
    assert!(node.wait().success());
    for path in [&moved, &file] {
        let bytes = std::fs::read(path).unwrap();
        assert!(
            bytes.ends_with(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]),
            "STOP at the end"
        );
    }
    let Some(first) = shown(&moved) else {
        eprintln!("skipped: kdig is not installed, or reads no dnstap");
        return;
    };
    assert!(
        first.contains("www.example.com.") && !first.contains("ns.example.com.\t"),
        "{first}"
    );
    assert!(first.contains("192.0.2.1"), "{first}");
    let second = shown(&file).unwrap();
    assert!(
        second.contains(";; QUESTION SECTION:\n;; ns.example.com."),
        "{second}"
    );
}

#[test]
fn the_reference_reader_captures_a_stream_that_kdig_reads() {
    let sections = format!("{ZONES}\ndnstap: {{socket: \"{{dir}}/tap.sock\"}}");
    let mut node = Node::new(&sections);
    let (socket, captured) = (node.path("tap.sock"), node.path("captured.tap"));
    let reader = Command::new("fstrm_capture")
        .args(["-t", "protobuf:dnstap.Dnstap", "-u"])
        .arg(&socket)
        .arg("-w")
        .arg(&captured)
        .spawn();
    let Ok(mut reader) = reader else {
        eprintln!("skipped: fstrm_capture is not installed");
        return;
    };
    wait_until("the reader listens", || socket.exists());
    node.spawn();
    node.ask(&query("www.example.com.", RecordType::A));
    wait_until("two frames", || {
        node.metric("nexus_dnstap_frames_total") == Some(2)
    });
    node.signal(Signal::TERM);
    assert!(node.wait().success());
    let id = rustix::process::Pid::from_child(&reader);
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    assert!(reader.wait().unwrap().success());
    let bytes = std::fs::read(&captured).unwrap();
    assert!(
        bytes.windows(9).any(|part| part == b"\x03www\x07exam"),
        "{} bytes",
        bytes.len()
    );
    if let Some(text) = shown(&captured) {
        assert!(
            text.contains("www.example.com.") && text.contains("192.0.2.1"),
            "{text}"
        );
    }
}
