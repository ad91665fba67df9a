//! The same zones served by NSD and Knot DNS on loopback: some thousand random questions must get the same replies, but for the
//! differences that `explain` names. Skipped where the servers are not installed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use resolver::zone::{Transfer, type_from_text, type_to_text};

use crate::data_types::CASES;
use crate::support::{
    EXAMPLE, NSEC, NSEC3, OPTOUT, PLAIN, ask_bytes, lines, query_bytes, read, wire_name,
};

/// Questions a zone and server.
const QUESTIONS: usize = 1_500;

/// How often a starting server is asked before the test gives up; each try waits up to [`TRY_WAIT`].
const TRIES_MAX: usize = 100;
const TRY_WAIT: Duration = Duration::from_millis(100);

const QTYPES: &[&str] = &[
    "A",
    "A",
    "A",
    "AAAA",
    "NS",
    "SOA",
    "MX",
    "TXT",
    "CNAME",
    "DNAME",
    "DS",
    "SRV",
    "HTTPS",
    "NSEC",
    "DNSKEY",
    "NSEC3PARAM",
    "NSEC3",
    "TYPE4711",
];

#[test]
fn nsd_gives_the_same_replies() {
    compare(Peer::Nsd);
}

#[test]
fn knot_gives_the_same_replies() {
    compare(Peer::Knot);
}

#[test]
fn nsd_reads_records_of_every_type_as_we_do() {
    compare_types(Peer::Nsd);
}

#[test]
fn knot_reads_records_of_every_type_as_we_do() {
    compare_types(Peer::Knot);
}

#[test]
fn knot_gives_the_same_replies_for_a_random_zone_signed_on_the_spot() {
    for (number, arguments) in [
        (20, &["-n"][..]),
        (21, &["-n", "-s", "abcd", "-t", "3"]),
        (22, &[]),
    ] {
        let seed = 0x5eed_1000 + number as u64;
        let Some(text) = sign(&random_zone(seed), number, arguments) else {
            eprintln!("skipped: ldns-signzone and ldns-keygen are not installed");
            return;
        };
        if !compare_zone(Peer::Knot, &text, number, "random") {
            return;
        }
    }
}

/// Some hundred names with hosts, aliases, wildcards, delegations and empty non-terminals at random places.
fn random_zone(seed: u64) -> String {
    let mut random = Random(seed);
    let mut text =
        String::from("$ORIGIN example.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
    for number in 0..200 {
        let depth = 1 + random.below(4);
        // Labels from a small set make names meet; the number keeps owners apart, so that no CNAME has company.
        let parents: String = (1..depth)
            .map(|_| format!(".{}", ["a", "b", "c", "d"][random.below(4)]))
            .collect();
        let record = match random.below(10) {
            0 => format!("*.w{number}{parents} A 192.0.2.1"),
            1 => format!("*.w{number}{parents} CNAME ns"),
            2 => format!("cut{number}{parents} NS ns.elsewhere."),
            3 => format!(
                "cut{number}{parents} NS ns.cut{number}{parents}\nns.cut{number}{parents} A 192.0.2.2"
            ),
            4 => format!("alias{number}{parents} CNAME host{}", random.below(200)),
            5 => format!("deep.er.host{number}{parents} AAAA ::1"),
            6 => format!("d{number}{parents} DNAME a"),
            _ => format!("host{number}{parents} A 192.0.2.3\n TXT x"),
        };
        text.push_str(&record);
        text.push('\n');
    }
    text
}

/// The zone signed by ldns-signzone; `None` where that is not installed.
fn sign(text: &str, number: usize, arguments: &[&str]) -> Option<String> {
    let (keygen, signer) = (find_program("ldns-keygen")?, find_program("ldns-signzone")?);
    let folder =
        std::env::temp_dir().join(format!("nexus-zone-sign-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("zone"), text).expect("a zone file");
    let output = Command::new(keygen)
        .current_dir(&folder)
        .args(["-a", "ED25519", "example."])
        .output();
    let output = output.expect("a key generator that runs");
    let key = String::from_utf8(output.stdout).expect("the name of the key");
    let mut command = Command::new(signer);
    command.current_dir(&folder).args(arguments).args([
        "-e",
        "20371231000000",
        "-i",
        "20240101000000",
        "-f",
        "signed",
        "zone",
    ]);
    assert!(
        command
            .arg(key.trim())
            .status()
            .expect("a signer that runs")
            .success()
    );
    let signed = std::fs::read_to_string(folder.join("signed")).expect("a signed zone");
    std::fs::remove_dir_all(&folder).expect("the folder");
    Some(signed)
}

/// Serves one record of every type that the peer knows, and compares what a transfer brings with what we send.
fn compare_types(peer: Peer) {
    // Not in a zone but at its apex, unknown to the peer's version in Debian 12, or (RRSIG) given the TTL of what it covers.
    let unknown: &[&str] = match peer {
        // NSD compresses names in MB, MG, MR and MINFO, and hickory-proto does not follow there.
        Peer::Nsd => &[
            "SOA", "MB", "MG", "MR", "MINFO", "GPOS", "HIP", "AMTRELAY", "RESINFO", "WALLET", "TA",
        ],
        Peer::Knot => &[
            "SOA", "RRSIG", "MD", "MF", "MB", "MG", "MR", "NULL", "WKS", "X25", "ISDN", "PX",
            "GPOS", "HIP", "AMTRELAY", "AVC", "RESINFO", "WALLET", "TA", "DLV",
        ],
    };
    let mut text =
        String::from("$ORIGIN example.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
    for (number, (rtype, data, _, _)) in CASES.iter().enumerate() {
        // NSD takes lower-case tags alone and no type by number in RRSIG.
        let refused = peer == Peer::Nsd && (data.contains("Issue") || data.starts_with("TYPE4711"));
        // hickory-proto, which takes the messages apart, does not take empty data.
        if unknown.contains(rtype) || refused || ["", "\\# 0"].contains(data) {
            continue;
        }
        let owner = if *rtype == "NSEC3" {
            format!("{number:0>32}")
        } else {
            format!("x{number}")
        };
        text.push_str(&format!("{owner} {rtype} {data}\n"));
    }
    let Some(mut server) = Server::start(peer, &text, 9) else {
        eprintln!("skipped: {} is not installed", peer.program());
        return;
    };
    let query = query_bytes(&wire_name("example."), 252, false);
    let parsed = wire::query::Query::parse(&query).expect("a query");
    let ours = Transfer::new(Arc::new(read(&text)), &parsed, &query);
    let messages = ours.map(|message| Message::from_vec(&message).expect("a message"));
    let mut ours: Vec<String> = messages
        .flat_map(|message| lines(&message.answers))
        .collect();
    let mut theirs = server.transfer();
    for lines in [&mut ours, &mut theirs] {
        for line in lines.iter_mut().filter(|line| {
            [" LP ", " RRSIG ", " IPSECKEY "]
                .iter()
                .any(|rtype| line.contains(rtype))
        }) {
            // Case of names in data where servers differ: RFC 4034 §6.2 does not list LP and IPSECKEY; NSD keeps that of a signer.
            line.make_ascii_lowercase();
        }
        lines.sort();
        lines.dedup();
    }
    assert!(ours.len() > 40, "{} records", ours.len());
    assert_eq!(ours, theirs);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Nsd,
    Knot,
}

impl Peer {
    fn program(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
        }
    }

    fn configuration(self, folder: &Path, port: u16) -> String {
        let folder = folder.display();
        match self {
            Self::Nsd => format!(
                "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n zonesdir: {folder}\n database: \"\"\n pidfile: {folder}/pid\n \
                 xfrdfile: {folder}/xfrd\n zonelistfile: {folder}/list\n server-count: 1\n minimal-responses: yes\n rrl-ratelimit: 0\n\
                 remote-control:\n control-enable: no\nzone:\n name: example.\n zonefile: zone\n provide-xfr: 127.0.0.1 NOKEY\n"
            ),
            Self::Knot => format!(
                "server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n  tcp-reuseport: off\ndatabase:\n  storage: {folder}\nacl:\n  \
                 - id: all\n    action: transfer\n    address: 127.0.0.1\nzone:\n  - domain: example.\n    file: {folder}/zone\n    \
                 zonefile-sync: -1\n    acl: all\n    semantic-checks: off\n"
            ),
        }
    }
}

/// A server that ends with the test.
struct Server {
    child: Child,
    stream: TcpStream,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // NSD's children end with their parent only when it is asked to end.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// `None` where the program is not installed.
    fn start(peer: Peer, zone: &str, number: usize) -> Option<Self> {
        let program = find_program(peer.program())?;
        let folder = std::env::temp_dir().join(format!(
            "nexus-zone-{}-{}-{number}",
            peer.program(),
            std::process::id()
        ));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("zone"), zone).expect("a zone file");
        let port = free_port();
        let configuration = folder.join("conf");
        std::fs::write(&configuration, peer.configuration(&folder, port)).expect("a configuration");
        let mut command = Command::new(program);
        if peer == Peer::Nsd {
            command.arg("-d");
        }
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let errors = log.try_clone().expect("a log");
        let child = command
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        let mut child = child.expect("a server that starts");
        match wait_for(port) {
            Some(stream) => Some(Self {
                child,
                stream,
                folder,
            }),
            None => {
                let _ = child.kill();
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("{} does not answer on port {port}: {log}", peer.program());
            }
        }
    }

    fn ask(&mut self, query: &[u8]) -> Vec<u8> {
        send(&mut self.stream, query);
        receive(&mut self.stream)
    }

    /// All records of a transfer, without the last SOA record.
    fn transfer(&mut self) -> Vec<String> {
        send(
            &mut self.stream,
            &query_bytes(&wire_name("example."), 252, false),
        );
        let mut records: Vec<String> = Vec::new();
        loop {
            let message = Message::from_vec(&receive(&mut self.stream)).expect("a message");
            assert_eq!(u16::from(message.metadata.response_code), 0);
            for record in &message.answers {
                let line = lines(std::slice::from_ref(record)).remove(0);
                if records.first() == Some(&line) {
                    return records;
                }
                records.push(line);
            }
        }
    }
}

pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders
        .map(|folder| Path::new(folder).join(name))
        .find(|program| program.is_file())
}

/// A port that nobody has, for UDP or TCP: below those that the kernel gives to connections, and
/// another one in each process.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 1_000).expect("small") * 10;
    let is_free = |port: &u16| {
        let address = ("127.0.0.1", *port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    (first..).find(is_free).expect("a free port")
}

/// Asks until the server answers; then a stream to it.
fn wait_for(port: u16) -> Option<TcpStream> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(TRY_WAIT)).expect("a timeout");
    let query = query_bytes(&wire_name("example."), 6, false);
    for _ in 0..TRIES_MAX {
        let mut reply = [0; 512];
        let sent = socket.send_to(&query, ("127.0.0.1", port));
        if sent.is_err() || socket.recv(&mut reply).is_err() || reply[3] & 0x0f != 0 {
            // Nothing listens yet, or the zone is not loaded yet.
            std::thread::sleep(TRY_WAIT / 4);
            continue;
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        stream.set_nodelay(true).ok()?;
        return Some(stream);
    }
    None
}

fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len())
        .expect("a message")
        .to_be_bytes();
    stream
        .write_all(&[&length[..], message].concat())
        .expect("a stream that takes");
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a stream that gives");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream
        .read_exact(&mut message)
        .expect("a stream that gives");
    message
}

/// A reply as far as replies are compared.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rcode: u16,
    aa: bool,
    answer: Vec<String>,
    authority: Vec<String>,
    additional: Vec<String>,
}

impl Seen {
    fn of(message: &[u8]) -> Self {
        let message = Message::from_vec(message).expect("a message");
        let mut seen = Self {
            rcode: u16::from(message.metadata.response_code),
            aa: message.metadata.authoritative,
            answer: lines(&message.answers),
            authority: lines(&message.authorities),
            additional: lines(&message.additionals),
        };
        for section in [&mut seen.answer, &mut seen.authority, &mut seen.additional] {
            section.dedup();
        }
        seen
    }
}

impl Seen {
    /// The lines that one has and the other has not.
    fn differences(&self, theirs: &Self) -> String {
        let lines = |seen: &Self| -> Vec<String> {
            let head = format!("rcode {} AA {}", seen.rcode, seen.aa);
            let sections = [
                ("answer", &seen.answer),
                ("authority", &seen.authority),
                ("additional", &seen.additional),
            ];
            let lines = sections.into_iter().flat_map(|(label, section)| {
                section
                    .iter()
                    .map(move |line| format!("{label} {line:.90}"))
            });
            std::iter::once(head).chain(lines).collect()
        };
        let (ours, theirs) = (lines(self), lines(theirs));
        let only = |left: &[String], right: &[String], sign: char| -> String {
            left.iter()
                .filter(|line| !right.contains(line))
                .map(|line| format!("\n  {sign} {line}"))
                .collect()
        };
        only(&ours, &theirs, '+') + &only(&theirs, &ours, '-')
    }
}

fn compare(peer: Peer) {
    for (number, (label, text)) in [
        ("plain", PLAIN),
        ("nsec", NSEC),
        ("nsec3", NSEC3),
        ("optout", OPTOUT),
    ]
    .into_iter()
    .enumerate()
    {
        if !compare_zone(peer, text, number, label) {
            return;
        }
    }
}

/// Asks both the same; false where the peer is not installed.
fn compare_zone(peer: Peer, text: &str, number: usize, label: &str) -> bool {
    let Some(mut server) = Server::start(peer, text, number) else {
        eprintln!("skipped: {} is not installed", peer.program());
        return false;
    };
    let zone = read(text);
    let seed = 0x5eed_0000 + number as u64;
    let mut random = Random(seed);
    let owners = owners(text);
    let mut differing = Vec::new();
    for _ in 0..QUESTIONS {
        let (name, qtype, dnssec_ok) = question(&mut random, &owners);
        let query = query_bytes(&name, type_from_text(qtype).expect("a type"), dnssec_ok);
        let theirs = Seen::of(&server.ask(&query));
        let ours = Seen::of(&ask_bytes(&zone, &query, 65_535).message);
        if let Some(difference) = explain(peer, &name, qtype, &ours, &theirs) {
            let name = resolver::zone::DisplayName(&name).to_string();
            differing.push(format!(
                "{name} {qtype} DO={dnssec_ok} {difference}: {}",
                ours.differences(&theirs)
            ));
        }
    }
    let shown: Vec<String> = differing.iter().take(12).cloned().collect();
    assert!(
        differing.is_empty(),
        "{peer:?} {label} seed {seed:#x}: {} differ\n{}",
        differing.len(),
        shown.join("\n")
    );
    true
}

/// What differs that should not.
fn explain(
    peer: Peer,
    name: &[u8],
    qtype: &str,
    ours: &Seen,
    theirs: &Seen,
) -> Option<&'static str> {
    // Nobody's bound on aliases is another's: ours is 16 names, Knot's is 5, NSD stops at the first circle.
    let in_circle = |seen: &Seen| {
        seen.answer
            .iter()
            .any(|line| line.starts_with("loop-d.example. ") && line.contains(" DNAME "))
    };
    if in_circle(ours) && in_circle(theirs) {
        return None;
    }
    // NSEC and NSEC3 are not redirected by an alias (RFC 4035 §2.5). NSD redirects the one, Knot the other.
    let redirected = theirs.answer.iter().any(|line| line.contains(" CNAME "));
    if matches!(qtype, "NSEC" | "NSEC3") && ours.answer.is_empty() && redirected {
        return None;
    }
    if ours.rcode != theirs.rcode {
        return Some("rcode");
    }
    if ours.aa != theirs.aa {
        return Some("AA");
    }
    if ours.answer != theirs.answer {
        return Some("answer");
    }
    let contains = |left: &[String], right: &[String]| right.iter().all(|line| left.contains(line));
    // Knot does not repeat the proof of a wildcard when that very NSEC record is the answer. NSD leaves out the proof for a name that
    // a DNAME led to.
    let may_have_fewer = match peer {
        Peer::Knot => qtype == "NSEC",
        Peer::Nsd => theirs.answer.iter().any(|line| line.contains(" DNAME ")),
    };
    // Below an empty non-terminal that opt-out left without a record NSD covers a name too deep; Knot does as we do (RFC 5155 §7.2.2).
    let below_opt_out = peer == Peer::Nsd && name.ends_with(b"\x05under\x03ent\x07example\0");
    // NSD proves the closest encloser too when the wildcard itself is asked for.
    let may_have_more = peer == Peer::Nsd && name.starts_with(b"\x01*");
    let same = ours.authority == theirs.authority
        || below_opt_out
        || (may_have_fewer && contains(&ours.authority, &theirs.authority))
        || (may_have_more && contains(&theirs.authority, &ours.authority));
    if !same {
        return Some("authority");
    }
    // With minimal responses NSD adds addresses to referrals alone. Knot adds none for a service at its own name, and a needless
    // NSEC3 record for an alias of a service.
    let may_have_fewer = (peer == Peer::Nsd && !ours.answer.is_empty()) || qtype == "HTTPS";
    let may_have_more = qtype == "HTTPS";
    let same = ours.additional == theirs.additional
        || (may_have_fewer && contains(&ours.additional, &theirs.additional))
        || (may_have_more && contains(&theirs.additional, &ours.additional));
    if same { None } else { Some("additional") }
}

/// Owners of all records of a zone but those of hashes.
fn owners(text: &str) -> Vec<Vec<u8>> {
    let mut loader = |_: &str, _: &str| Err(String::new());
    let records = resolver::zone::read_zone_file(text.as_bytes(), "zone", EXAMPLE, &mut loader)
        .expect("a file");
    let named = records
        .iter()
        .filter(|record| ![46, 50].contains(&record.rtype));
    let mut owners: Vec<Vec<u8>> = named.map(|record| record.owner.to_vec()).collect();
    owners.sort();
    owners.dedup();
    owners
}

/// A question: a name of the zone, one below, above or beside one, or any other; some type; with DO or without.
fn question<'t>(random: &mut Random, owners: &[Vec<u8>]) -> (Vec<u8>, &'t str, bool) {
    let mut name = owners[random.below(owners.len())].clone();
    match random.below(6) {
        0 | 1 => {}
        2 => name = [random.label(), name].concat(),
        3 => name = [random.label(), random.label(), name].concat(),
        // One label fewer, but not above the apex.
        4 => {
            let skipped = 1 + usize::from(name[0]);
            if name.len() - skipped >= 9 {
                name.drain(..skipped);
            }
        }
        _ => {
            let skipped = 1 + usize::from(name[0]);
            if name.len() - skipped >= 9 {
                name.drain(..skipped);
            }
            name = [random.label(), name].concat();
        }
    }
    let qtype = QTYPES[random.below(QTYPES.len())];
    debug_assert_eq!(type_to_text(type_from_text(qtype).expect("a type")), qtype);
    (name, qtype, random.below(3) > 0)
}

/// xorshift64*: the same questions from the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).expect("48 bits") % bound
    }

    fn label(&mut self) -> Vec<u8> {
        let labels: [&[u8]; 9] = [
            b"www", b"*", b"ns", b"a", b"zzz", b"host", b"\x01", b"MiXeD", b"mail",
        ];
        let label = labels[self.below(labels.len())];
        [&[u8::try_from(label.len()).expect("short")], label].concat()
    }
}
