//! The real binary on loopback addresses that no other test has, and a small DNS client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use node::admin::{Lines, REPLY_BYTES_MAX, Reply, Request, Response};

/// Nothing on loopback takes this long; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PORT: u16 = 5353;

pub(crate) const ZONE: &str = "\
$ORIGIN example.com.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.53
www A 192.0.2.1
*.wild A 192.0.2.9
out CNAME www.example.net.
big TXT \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" (
  \"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
  \"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
  \"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
  \"4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
  \"5123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" )
sub NS ns.sub
ns.sub A 192.0.2.54
";

/// An address of 127/8 that is this test's alone.
pub(crate) fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(
        127,
        1 + high % 200,
        low,
        COUNT.fetch_add(1, Ordering::Relaxed),
    )
}

/// A folder with configuration and zone, and perhaps the process.
pub(crate) struct Node {
    pub folder: tempfile::TempDir,
    pub address: Ipv4Addr,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    /// Another user to run as, which this one may become.
    pub(crate) user: Option<u32>,
    notify: UnixDatagram,
    child: Option<Child>,
}

impl Node {
    /// Writes the files. `{ip}`, `{dir}` and `{port}` in `sections` are replaced.
    pub(crate) fn new(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let node = Self {
            notify: UnixDatagram::bind(folder.path().join("notify.sock")).unwrap(),
            folder,
            address,
            environment: Vec::new(),
            user: None,
            child: None,
        };
        node.notify.set_read_timeout(Some(PATIENCE)).unwrap();
        node.write("example.com.zone", ZONE);
        node.configure(sections);
        node
    }

    /// Starts with `sections` of configuration and waits until it is ready.
    pub(crate) fn start(sections: &str) -> Self {
        let mut node = Self::new(sections);
        node.spawn();
        node
    }

    pub(crate) fn configure(&self, sections: &str) {
        let (ip, dir) = (self.address, self.folder.path().display());
        // Servers of tests sign nothing, unless they say otherwise.
        let dnssec = match section(sections, "resolver") {
            keys if keys.contains("dnssec:") => keys,
            keys => format!(", dnssec: off{keys}"),
        };
        // Nothing of a test is left on the machine.
        let data_dir = match sections.lines().any(|line| line.starts_with("node:")) {
            true => String::new(),
            false => format!("node: {{data_dir: {dir}}}\n"),
        };
        let defaults = format!(
            "api: {{listen: {ip}:8053, socket: {dir}/control.sock}}\n\
             dataplane: {{ports: {{dns: {PORT}{}}}, socket: {dir}/dataplane.sock{}}}\n\
             resolver: {{listen: [{ip}]{dnssec}}}\n",
            section(sections, "ports"),
            section(sections, "dataplane"),
        );
        let rest: Vec<_> = sections
            .lines()
            .filter(|line| {
                let further = ["ports,", "dataplane,", "resolver,"];
                !further.iter().any(|section| line.starts_with(section))
            })
            .collect();
        let text = (defaults + &rest.join("\n") + "\n" + &data_dir)
            .replace("{ip}", &ip.to_string())
            .replace("{dir}", &dir.to_string());
        self.write("nexus.yaml", &text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = match self.user {
            // It may not see where this was built.
            Some(_) => Command::new(self.path("nexus-control")),
            None => Command::new(env!("CARGO_BIN_EXE_nexus-control")),
        };
        command
            .arg("--config")
            .arg(self.path("nexus.yaml"))
            .env("NOTIFY_SOCKET", self.path("notify.sock"))
            .env("RUST_LOG", "debug")
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null());
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        command
    }

    pub(crate) fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path("log"))
            .unwrap();
        self.child = Some(self.command().stderr(log).spawn().unwrap());
        self.wait_for("READY=1");
    }

    /// Waits for a word to the service manager.
    pub(crate) fn wait_for(&self, word: &str) {
        let mut buffer = [0; 512];
        loop {
            let bytes = self
                .notify
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("waiting for {word}: {error}\n{}", self.log()));
            let text = String::from_utf8_lossy(&buffer[..bytes]);
            if text.lines().any(|line| line == word) {
                return;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.take().unwrap().wait().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn dns(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), PORT)
    }

    /// Asks over UDP.
    pub(crate) fn ask(&self, query: &Message) -> Message {
        let socket = UdpSocket::bind((self.address, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
            .send_to(&query.to_vec().unwrap(), self.dns())
            .unwrap();
        let mut buffer = [0; 4096];
        let (bytes, from) = socket
            .recv_from(&mut buffer)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        assert_eq!(from, self.dns());
        let answer = Message::from_vec(&buffer[..bytes]).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        answer
    }

    pub(crate) fn tcp(&self) -> Tcp {
        let stream = TcpStream::connect(self.dns()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Tcp(stream)
    }

    /// One request of the command line.
    pub(crate) fn admin(&self, request: &Request) -> Reply {
        let mut stream = UnixStream::connect(self.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&request.encode().unwrap()).unwrap();
        let mut lines = Lines::new(REPLY_BYTES_MAX);
        let mut chunk = [0; 4096];
        loop {
            if let Some(line) = lines.next_line().unwrap() {
                return Reply::decode(&line).unwrap();
            }
            let bytes = stream.read(&mut chunk).unwrap();
            assert!(bytes > 0, "hung up on {request:?}\n{}", self.log());
            lines.push(&chunk[..bytes]);
        }
    }

    pub(crate) fn admin_ok(&self, request: &Request) -> Response {
        match self.admin(request) {
            Reply::Ok(response) => response,
            Reply::Error(failure) => panic!("{request:?}: {failure}\n{}", self.log()),
        }
    }

    /// The value of one sample of the metrics, labels included.
    pub(crate) fn metric(&self, sample: &str) -> Option<u64> {
        let (_, text) = self.http("/metrics");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    /// One page over HTTP: head and body.
    pub(crate) fn http(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect((self.address, 8053)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// `resolver, key: value` lines become further keys of the section.
fn section(sections: &str, name: &str) -> String {
    let prefix = format!("{name},");
    sections
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(|keys| format!(",{keys}"))
        .collect()
}

/// One DNS connection.
pub(crate) struct Tcp(pub TcpStream);

impl Tcp {
    pub(crate) fn send(&mut self, query: &Message) {
        self.0.write_all(&frame(&query.to_vec().unwrap())).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Message {
        self.try_receive().expect("the connection ended")
    }

    /// `None` at the end of the connection.
    pub(crate) fn try_receive(&mut self) -> Option<Message> {
        let mut length = [0; 2];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer"),
            Err(_) => return None,
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message).unwrap();
        Some(Message::from_vec(&message).unwrap())
    }

    pub(crate) fn ask(&mut self, query: &Message) -> Message {
        self.send(query);
        self.receive()
    }
}

pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

/// A query with RD and a random id.
pub(crate) fn query(name: &str, rtype: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    message
}

pub(crate) fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

/// Waits for what must come to be.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// The data of the answer section, in order.
pub(crate) fn data(message: &Message) -> Vec<String> {
    message
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect()
}

pub(crate) fn rcode(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

/// INFO-CODE of the first extended error.
pub(crate) fn extended_error(message: &Message) -> Option<u16> {
    extended_errors(message).first().copied()
}

/// INFO-CODEs of all extended errors.
pub(crate) fn extended_errors(message: &Message) -> Vec<u16> {
    use hickory_proto::rr::rdata::opt::EdnsOption;
    let options = message.edns.iter().flat_map(|edns| &edns.options().options);
    let code = |(_, option): &(_, EdnsOption)| match option {
        EdnsOption::Unknown(15, data) => Some(u16::from_be_bytes([data[0], data[1]])),
        _ => None,
    };
    options.filter_map(code).collect()
}
