//! Zones that change by UPDATE, with a ledger of one node: real clients change them, real secondaries follow.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use node::publisher::ZonePublisher;
use node::updates::{ClientUpdate, UpdateSink};
use resolver::zone::{TsigAlgorithm, TsigKey, TsigSession, Zone, ZoneContents};
use tokio::sync::oneshot;

use crate::common::{Node, PORT, data, own_address, query, rcode, wait_until, with_edns};
use crate::dataplane::Dataplane;

const APEX: &[u8] = b"\x07example\0";
const FIRST: &str = "\
@ 300 SOA ns.example. host.example. 1 3600 600 86400 60
@ 300 NS ns
ns 300 A 192.0.2.1
old 300 A 192.0.2.2
";
const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const OTHER_SECRET: &str = "OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=";

/// Agrees with itself.
#[derive(Debug)]
struct Ledger {
    contents: Mutex<ZoneContents>,
    publisher: OnceLock<ZonePublisher>,
}

impl Ledger {
    fn new(text: &str) -> Arc<Self> {
        let zone = Zone::read(
            APEX,
            text.as_bytes(),
            "zone",
            &mut |_, _| Err(String::new()),
        );
        Arc::new(Self {
            contents: Mutex::new(ZoneContents::from_zone(&zone.unwrap().0)),
            publisher: OnceLock::new(),
        })
    }

    fn serial(&self) -> u32 {
        self.contents.lock().unwrap().serial()
    }
}

impl UpdateSink for Ledger {
    fn submit(&self, update: ClientUpdate) -> oneshot::Receiver<u16> {
        let (done, receiver) = oneshot::channel();
        let mut contents = self.contents.lock().unwrap();
        let applied = match contents.apply(&update.update) {
            Ok(applied) => applied,
            Err(error) => {
                done.send(error.rcode()).unwrap();
                return receiver;
            }
        };
        if !applied.is_changed() {
            done.send(0).unwrap();
            return receiver;
        }
        let zone = Arc::new(contents.build().unwrap().0);
        let publisher = self.publisher.get().unwrap();
        let publication = publisher.publish(zone, vec![applied.delta()]).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            if runtime.unwrap().block_on(publication.in_force()) {
                let _ = done.send(0);
            }
        });
        receiver
    }
}

/// A control of this process, whose zone comes from the ledger.
struct Agreed {
    node: Node,
    ledger: Arc<Ledger>,
}

impl Agreed {
    /// `more` are further keys of the agreed zone.
    fn start(more: &str) -> Self {
        Self::start_behind(more, |_| ()).0
    }

    /// The same, after something else has begun that needs the folder.
    fn start_behind<T>(more: &str, begin: impl FnOnce(&Node) -> T) -> (Self, T) {
        let node = Node::new(&format!(
            "tsig_keys: [{{name: key.example., secret_file: key.secret}}, \
             {{name: other.example., algorithm: hmac-sha512, secret_file: other.secret}}]\n\
             zones: [{{name: example., agreed: true, allow_update: [key.example.], \
             allow_transfer_keys: [other.example.]{more}}}, \
             {{name: example.com., file: example.com.zone}}]"
        ));
        node.write("key.secret", SECRET);
        node.write("other.secret", OTHER_SECRET);
        let begun = begin(&node);
        let ledger = Ledger::new(FIRST);
        let path = node.path("nexus.yaml");
        let config = config::Config::load(&path).unwrap();
        let sink: Arc<dyn UpdateSink> = ledger.clone();
        let prepared = node::start::prepare_with(&config, Some(path), Some(sink)).unwrap();
        let publisher = prepared.publisher();
        assert_eq!(publisher.agreed_zones().len(), 1);
        let zone = Arc::new(ledger.contents.lock().unwrap().build().unwrap().0);
        let first = publisher.publish(zone, Vec::new()).unwrap();
        ledger.publisher.set(publisher).unwrap();
        std::thread::spawn(move || prepared.run().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        assert!(runtime.unwrap().block_on(first.in_force()));
        (Self { node, ledger }, begun)
    }

    fn address(&self, name: &str) -> Vec<String> {
        data(&self.node.ask(&query(name, RecordType::A)))
    }

    /// What `nsupdate` says to these lines; empty if all went well. `None` if it is not installed.
    fn update(&self, options: &[&str], lines: &str) -> Option<String> {
        let mut child = Command::new("nsupdate")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let address = self.node.address;
        let text = format!("server {address} {PORT}\n{lines}\nsend\n");
        child.stdin.take()?.write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&said).trim().to_owned())
    }
}

fn key(name: &str, algorithm: &str, secret: &str) -> [String; 2] {
    ["-y".to_owned(), format!("{algorithm}:{name}:{secret}")]
}

fn good_key() -> [String; 2] {
    key("key.example", "hmac-sha256", SECRET)
}

#[test]
fn nsupdate_changes_the_zone_and_its_answer_comes_when_all_have_the_new_data() {
    let agreed = Agreed::start("");
    assert_eq!(agreed.address("old.example."), ["192.0.2.2"]);
    let [y, secret] = good_key();
    for (serial, transport) in [(2, "-d"), (3, "-v")] {
        let lines = format!(
            "zone example.\nprereq nxdomain new{serial}.example.\n\
             update add new{serial}.example. 60 A 192.0.2.7\nupdate delete old.example. A"
        );
        let Some(said) = agreed.update(&[transport, &y, &secret], &lines) else {
            eprintln!("skipped: nsupdate is not installed");
            return;
        };
        assert!(transport == "-d" || said.is_empty(), "{said}");
        assert_eq!(
            agreed.address(&format!("new{serial}.example.")),
            ["192.0.2.7"]
        );
        assert_eq!(agreed.ledger.serial(), serial);
        assert_eq!(agreed.address("old.example."), Vec::<String>::new());
    }
    let large: String = (0..1_000)
        .map(|index| format!("update add host{index}.example. 60 A 192.0.2.9\n"))
        .collect();
    let said = agreed.update(&[&y, &secret], &format!("zone example.\n{large}"));
    assert_eq!(said.unwrap(), "");
    assert_eq!(agreed.address("host999.example."), ["192.0.2.9"]);
    assert_eq!(agreed.ledger.serial(), 4);
    // nsupdate may send an empty one at the end of its input.
    let done = agreed
        .node
        .metric("nexus_control_updates_total{outcome=\"done\"}");
    assert!(done.is_some_and(|done| done >= 3), "{done:?}");
}

#[test]
fn who_may_not_change_the_zone_is_told_so_and_nothing_changes() {
    let agreed = Agreed::start("");
    let [y, secret] = good_key();
    let wrong = key("key.example", "hmac-sha256", OTHER_SECRET);
    let unknown = key("none.example", "hmac-sha256", SECRET);
    let other = key("other.example", "hmac-sha512", OTHER_SECRET);
    let add = |zone: &str| format!("zone {zone}\nupdate add new.{zone} 60 A 192.0.2.7");
    for (options, lines, expected) in [
        (&[][..], add("example."), "REFUSED"),
        (&[], add("nowhere."), "NOTAUTH"),
        (&[&*wrong[0], &wrong[1]], add("example."), "BADSIG"),
        (&[&unknown[0], &unknown[1]], add("example."), "BADKEY"),
        (&[&other[0], &other[1]], add("example."), "REFUSED"),
        (&[&y, &secret], add("example.com."), "REFUSED"),
        (&[&y, &secret], add("nowhere."), "NOTAUTH"),
        (
            &[&y, &secret],
            format!("prereq yxdomain none.example.\n{}", add("example.")),
            "NXDOMAIN",
        ),
        (
            &[&y, &secret],
            "zone example.\nupdate add *.example. 60 NS ns.example.".to_owned(),
            "REFUSED",
        ),
    ] {
        let Some(said) = agreed.update(options, &lines) else {
            eprintln!("skipped: nsupdate is not installed");
            return;
        };
        assert!(said.contains(expected), "{lines}: {said}");
    }
    assert_eq!(agreed.ledger.serial(), 1);
    let [y, secret] = good_key();
    let said = agreed.update(
        &[&y, &secret],
        "zone example.\nprereq yxdomain old.example.",
    );
    assert_eq!(said.as_deref(), Some(""));
}

#[test]
fn an_update_that_nobody_orders_fails_and_is_not_taken_for_done() {
    let agreed = Agreed::start("");
    // The signature of a query is checked too, and its answer signed.
    let signed = |name: &str, secret: &str| {
        let key = format!("hmac-sha256:{name}:{secret}");
        let address = format!("@{}", agreed.node.address);
        let port = PORT.to_string();
        let arguments = ["-y", &key, &address, "-p", &port, "old.example.", "A"];
        let output = Command::new("kdig").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let Some(good) = signed("key.example", SECRET) else {
        eprintln!("skipped: kdig is not installed");
        return;
    };
    assert!(
        good.contains("192.0.2.2") && !good.contains("WARNING"),
        "{good}"
    );
    let bad = signed("key.example", OTHER_SECRET).unwrap();
    assert!(bad.contains("NOTAUTH") || bad.contains("BADSIG"), "{bad}");
    // A control without a ledger.
    let mut node = Node::new(
        "tsig_keys: [{name: key.example., secret_file: key.secret}]\n\
         zones: [{name: example., agreed: true, allow_update: [key.example.]}]",
    );
    node.write("key.secret", SECRET);
    node.spawn();
    let alone = Agreed {
        node,
        ledger: Ledger::new(FIRST),
    };
    let [y, secret] = good_key();
    let lines = "zone example.\nupdate add new.example. 60 A 192.0.2.7";
    if let Some(said) = alone.update(&[&y, &secret], lines) {
        assert!(said.contains("SERVFAIL"), "{said}");
    }
}

/// An UPDATE that adds an address to a name, signed.
fn signed_update(id: u8, label: &str) -> Vec<u8> {
    let mut message = vec![0, id, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 0];
    message.extend_from_slice(APEX);
    message.extend_from_slice(&[0, 6, 0, 1]);
    message.push(u8::try_from(label.len()).unwrap());
    message.extend_from_slice(label.as_bytes());
    message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, id]);
    let key = TsigKey::new(b"\x03key\x07example\0", TsigAlgorithm::HmacSha256, SECRET).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    TsigSession::sign(&key, &mut message, now.unwrap().as_secs());
    message
}

#[test]
fn updates_by_way_of_a_worker_are_answered_when_its_older_answers_are_dead() {
    let (agreed, mut dataplane) = Agreed::start_behind("", |node| {
        Dataplane::start(&node.path("dataplane.sock"), Vec::new())
    });
    dataplane.wait_for_control();
    let question = query("new.example.", RecordType::A);
    for id in 1..=20 {
        let before = dataplane.ask(&question);
        let meta = before.meta.expect("a worker may keep it");
        assert_eq!(meta.generation, dataplane.generation(meta.zone));
        dataplane.push(&signed_update(id, "new"));
        let answer = dataplane.returned();
        assert_eq!(rcode(&answer.message), ResponseCode::NoError);
        assert_eq!(answer.message.metadata.id, u16::from(id));
        assert!(answer.meta.is_none(), "no worker keeps it");
        assert!(dataplane.generation(meta.zone) > meta.generation);
        let after = dataplane.ask(&question);
        assert_eq!(data(&after.message).len(), usize::from(id));
    }
    // Many at once: each is answered, and all of them are in service then.
    for id in 101..=140 {
        dataplane.push(&signed_update(id, "many"));
    }
    for _ in 101..=140 {
        assert_eq!(rcode(&dataplane.returned().message), ResponseCode::NoError);
    }
    assert_eq!(agreed.ledger.serial(), 61);
    let many = with_edns(query("many.example.", RecordType::A), 1232);
    assert_eq!(data(&dataplane.ask(&many).message).len(), 40);
    // A bad signature is told in the same way.
    let mut bad = signed_update(7, "bad");
    bad[42] ^= 1;
    dataplane.push(&bad);
    assert_eq!(rcode(&dataplane.returned().message), ResponseCode::NotAuth);
}

/// A process that ends with the test.
struct Secondary {
    child: Child,
    folder: tempfile::TempDir,
    address: Ipv4Addr,
}

impl Secondary {
    /// Starts a program with a configuration in which `{dir}` is its folder. `None` if it is not installed.
    fn start(program: &str, options: &[&str], address: Ipv4Addr, text: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        let text = text.replace("{dir}", &folder.path().display().to_string());
        std::fs::write(&conf, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(options)
            .arg("-c")
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .ok()?;
        Some(Self {
            child,
            folder,
            address,
        })
    }

    /// The address of a name, if the secondary has the zone.
    fn ask(&self, name: &str) -> Option<Vec<String>> {
        let socket = UdpSocket::bind((self.address, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let query = query(name, RecordType::A).to_vec().unwrap();
        let there = SocketAddr::from((self.address, PORT));
        socket.send_to(&query, there).ok()?;
        let mut buffer = [0; 4096];
        let (bytes, _) = socket.recv_from(&mut buffer).ok()?;
        let message = hickory_proto::op::Message::from_vec(&buffer[..bytes]).ok()?;
        let is_there = matches!(
            rcode(&message),
            ResponseCode::NoError | ResponseCode::NXDomain
        );
        is_there.then(|| data(&message))
    }

    fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name));
        read("log").unwrap_or_default() + &read("nsd.log").unwrap_or_default()
    }
}

impl Drop for Secondary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn knot(address: Ipv4Addr, primary: Ipv4Addr) -> Option<Secondary> {
    let text = format!(
        "server:\n  rundir: {{dir}}\n  listen: {address}@{PORT}\ndatabase:\n  storage: {{dir}}\n\
         log:\n  - target: stderr\n    any: info\n\
         key:\n  - id: other.example.\n    algorithm: hmac-sha512\n    secret: {OTHER_SECRET}\n\
         remote:\n  - id: primary\n    address: {primary}@{PORT}\n    key: other.example.\n\
         acl:\n  - id: notify\n    action: notify\n    address: 127.0.0.0/8\n    key: other.example.\n\
         zone:\n  - domain: example.\n    master: primary\n    acl: notify\n    \
         zonefile-sync: -1\n    storage: {{dir}}\n"
    );
    ["/usr/sbin/knotd", "knotd"]
        .iter()
        .find_map(|program| Secondary::start(program, &[], address, &text))
}

fn nsd(address: Ipv4Addr, primary: Ipv4Addr) -> Option<Secondary> {
    let text = format!(
        "server:\n  ip-address: {address}@{PORT}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{{dir}}\"\n  \
         database: \"\"\n  pidfile: \"{{dir}}/pid\"\n  xfrdfile: \"{{dir}}/xfrd\"\n  xfrdir: \"{{dir}}\"\n  \
         zonelistfile: \"{{dir}}/list\"\n  logfile: \"{{dir}}/nsd.log\"\n  verbosity: 2\n  server-count: 1\n\
         remote-control:\n  control-enable: no\n\
         key:\n  name: other.example.\n  algorithm: hmac-sha512\n  secret: \"{OTHER_SECRET}\"\n\
         zone:\n  name: example.\n  zonefile: \"{{dir}}/zone\"\n  \
         allow-notify: 127.0.0.0/8 other.example.\n  \
         request-xfr: {primary}@{PORT} other.example.\n"
    );
    ["/usr/sbin/nsd", "nsd"]
        .iter()
        .find_map(|program| Secondary::start(program, &["-d"], address, &text))
}

/// A secondary follows changes by NOTIFY and IXFR, all signed.
fn follows(start: fn(Ipv4Addr, Ipv4Addr) -> Option<Secondary>) {
    let address = own_address();
    let more = format!(", notify: [\"{address}:{PORT}\"], notify_key: other.example.");
    let agreed = Agreed::start(&more);
    let Some(secondary) = start(address, agreed.node.address) else {
        eprintln!("skipped: the secondary is not installed");
        return;
    };
    let [y, secret] = good_key();
    let has = |name: &str, expected: &str| {
        wait_until(name, || {
            secondary.ask(name).is_some_and(|data| data == [expected])
        });
    };
    has("old.example.", "192.0.2.2");
    for index in 0..5 {
        let lines = format!("zone example.\nupdate add new{index}.example. 60 A 192.0.2.7");
        let Some(said) = agreed.update(&[&y, &secret], &lines) else {
            eprintln!("skipped: nsupdate is not installed");
            return;
        };
        assert_eq!(said, "");
        has(&format!("new{index}.example."), "192.0.2.7");
    }
    let metric = |name: &str| agreed.node.metric(name).unwrap();
    assert!(metric("nexus_control_transfers_total{outcome=\"incremental\"}") > 0);
    assert!(metric("nexus_control_notices_total{outcome=\"confirmed\"}") > 0);
    assert!(metric("nexus_control_signatures_total{outcome=\"valid\"}") > 6);
}

#[test]
fn knot_follows_by_notify_and_steps() {
    follows(knot);
}

#[test]
fn nsd_follows_by_notify_and_steps() {
    follows(nsd);
}
