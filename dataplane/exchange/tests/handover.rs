//! Hand-over between processes: this test binary runs itself as the other side.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{punt, small};
use exchange::handover::{
    self, BindError, ConnectError, Event, Offer, Refusal, Role, Server, SharedSocket,
};
use exchange::{
    AttachError, Attachment, ClaimError, PushError, Region, RegionConfig, Reply, WorkerEvents,
    WorkerSide,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Tells the second process where the socket is.
const SOCKET_VARIABLE: &str = "NEXUS_TEST_SOCKET";
/// How long anything may take before a test gives up. Nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: u32 = 65534;
const BATCH_MAX: usize = 16;

struct Dataplane {
    server: Server,
    side: WorkerSide,
    events: WorkerEvents,
    region: Region,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

fn offer(region: &Region, sockets: Vec<SharedSocket>) -> (Offer, Vec<WorkerEvents>) {
    let events: Vec<_> = (0..region.workers())
        .map(|_| WorkerEvents::new().unwrap())
        .collect();
    let clones = events
        .iter()
        .map(|events| events.try_clone().unwrap())
        .collect();
    (
        Offer {
            region: region.clone(),
            events: clones,
            sockets,
        },
        events,
    )
}

fn dataplane(uids: &[u32]) -> Dataplane {
    let directory = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let path = directory.path().join("dataplane.sock");
    let region = Region::create(&RegionConfig {
        punt_slots: 64,
        reply_slots: 64,
        ..small()
    });
    let region = region.unwrap();
    let (offer, mut events) = offer(&region, Vec::new());
    Dataplane {
        server: Server::bind(&path, offer, uids).unwrap(),
        side: region.worker(0).unwrap(),
        events: events.pop().unwrap(),
        region,
        path,
        _directory: directory,
    }
}

impl Dataplane {
    /// The next thing that happens.
    fn event(&mut self) -> Event {
        next_event(&mut self.server)
    }

    /// Pushes `count` punts numbered from `first` and waits until each has come back, in order.
    /// Gives up early when `gone` says so; returns how many came back.
    fn echo(&mut self, first: u64, count: u64, mut gone: impl FnMut(u64) -> bool) -> u64 {
        let (mut sent, mut received) = (0, 0);
        let start = Instant::now();
        while received < count && !gone(received) {
            assert!(
                start.elapsed() < PATIENCE,
                "{received} of {count} came back"
            );
            while sent < count {
                let message = (first + sent).to_le_bytes();
                match self.side.punts.push(&punt(&message, b"headers")) {
                    Ok(()) => sent += 1,
                    Err(error) => {
                        assert_eq!(error, PushError::Full);
                        break;
                    }
                }
            }
            if self.side.punts.publish() {
                self.events.punt.kick();
            }
            let before = received;
            while let Some(reply) = self.side.replies.pop() {
                let Ok(Reply::AnswerUncached {
                    headers: b"headers",
                    message,
                }) = reply
                else {
                    panic!("{reply:?}");
                };
                let number = u64::from_le_bytes(message.try_into().unwrap());
                // What an earlier process left behind comes before what we wait for.
                if number >= first {
                    assert_eq!(number, first + received);
                    received += 1;
                }
            }
            if received == before && self.side.replies.prepare_sleep() {
                wait(self.events.reply.as_fd(), Duration::from_millis(20));
                self.events.reply.drain();
            }
            self.side.replies.wake();
        }
        received
    }
}

fn next_event(server: &mut Server) -> Event {
    server.serve(PATIENCE).unwrap().expect("something happens")
}

fn wait(descriptor: impl AsFd, timeout: Duration) -> bool {
    let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::try_from(timeout).unwrap())).unwrap() != 0
}

/// Runs one of the ignored tests below in a process of its own.
fn spawn(role: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", role, "--ignored", "--nocapture"])
        .env(SOCKET_VARIABLE, path)
        .stdout(Stdio::piped());
    command
}

fn output(mut child: Child) -> String {
    let mut output = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{output}");
    output
}

/// Echoes punts until the dataplane ends the connection.
#[test]
#[ignore = "the second process of the other tests"]
fn second_process_echoes() {
    let path = PathBuf::from(std::env::var_os(SOCKET_VARIABLE).unwrap());
    let attached = handover::connect(&path, Role::Control, PATIENCE).unwrap();
    let mut side = attached.region.control(1).unwrap();
    while attached.connection.is_open() {
        let mut batch = 0;
        while batch < BATCH_MAX {
            let Some(punt) = side.punts[0].pop() else {
                break;
            };
            let punt = punt.unwrap();
            let reply = Reply::AnswerUncached {
                headers: punt.headers,
                message: punt.message,
            };
            while let Err(PushError::Full) = side.replies[0].push(&reply) {
                if side.replies[0].publish() {
                    attached.events[0].reply.kick();
                }
                if !attached.connection.is_open() {
                    break;
                }
                std::thread::yield_now();
            }
            batch += 1;
        }
        if side.replies[0].publish() {
            attached.events[0].reply.kick();
        }
        if batch != 0 {
            continue;
        }
        if side.punts[0].prepare_sleep() {
            let mut polled = [
                PollFd::new(&attached.events[0].punt, PollFlags::IN),
                PollFd::new(&attached.connection, PollFlags::IN),
            ];
            poll(&mut polled, Some(&Timespec::try_from(PATIENCE).unwrap())).unwrap();
            attached.events[0].punt.drain();
        }
        side.punts[0].wake();
    }
    let reply = Reply::AnswerUncached {
        headers: &[],
        message: &[],
    };
    println!("last push: {:?}", side.replies[0].push(&reply));
}

/// Says how its attachment as control ends.
#[test]
#[ignore = "the second process of the other tests"]
fn second_process_attaches() {
    let path = PathBuf::from(std::env::var_os(SOCKET_VARIABLE).unwrap());
    match handover::connect(&path, Role::Control, PATIENCE) {
        Ok(_) => println!("attached"),
        Err(error) => println!("{error}"),
    }
}

#[test]
fn control_in_another_process_gets_punts_and_gives_replies() {
    let mut dataplane = dataplane(&[]);
    let child = spawn("second_process_echoes", &dataplane.path)
        .spawn()
        .unwrap();
    let event = dataplane.event();
    assert!(
        matches!(event, Event::ControlAttached { epoch: 1, .. }),
        "{event:?}"
    );
    let pid = dataplane.server.control().unwrap().pid;
    assert_eq!(u32::try_from(pid), Ok(child.id()));
    assert_eq!(dataplane.echo(0, 5000, |_| false), 5000);
    let status = dataplane.region.control_status();
    assert_eq!((status.pid, status.started_ms), (child.id(), 1));
    drop(dataplane.server);
    assert!(output(child).contains("last push: Ok"));
}

#[test]
fn new_control_takes_over_and_the_one_before_can_write_no_more() {
    let mut dataplane = dataplane(&[]);
    let first = spawn("second_process_echoes", &dataplane.path)
        .spawn()
        .unwrap();
    assert!(matches!(
        dataplane.event(),
        Event::ControlAttached { epoch: 1, .. }
    ));
    assert_eq!(dataplane.echo(0, 500, |_| false), 500);
    let second = spawn("second_process_echoes", &dataplane.path)
        .spawn()
        .unwrap();
    assert!(matches!(
        dataplane.event(),
        Event::ControlAttached { epoch: 2, .. }
    ));
    assert!(output(first).contains("Superseded"));
    assert_eq!(dataplane.echo(500, 500, |_| false), 500);
    drop(dataplane.server);
    assert!(output(second).contains("last push: Ok"));
}

#[test]
fn rings_go_on_after_control_is_killed_in_the_middle_of_the_stream() {
    let mut dataplane = dataplane(&[]);
    let mut first = 0;
    for round in 0..8 {
        let mut child = spawn("second_process_echoes", &dataplane.path)
            .spawn()
            .unwrap();
        let event = dataplane.event();
        assert!(matches!(event, Event::ControlAttached { .. }), "{event:?}");
        // Killed by SIGKILL wherever it is when some replies have come.
        let mut killed = false;
        dataplane.echo(first, 100_000, |received| {
            if received >= 200 + round * 37 {
                child.kill().unwrap();
                killed = true;
            }
            killed
        });
        assert!(killed);
        assert!(!child.wait().unwrap().success());
        assert!(matches!(dataplane.event(), Event::ControlLost(_)));
        first += 100_000;
    }
    let child = spawn("second_process_echoes", &dataplane.path)
        .spawn()
        .unwrap();
    assert!(matches!(dataplane.event(), Event::ControlAttached { .. }));
    assert_eq!(dataplane.echo(first, 1000, |_| false), 1000);
    drop(dataplane.server);
    output(child);
}

#[test]
fn other_user_is_refused_unless_configured() {
    if rustix::process::geteuid().as_raw() != 0 {
        println!("skipped: needs root to become another user");
        return;
    }
    for (uids, expected) in [(&[][..], "may not attach"), (&[NOBODY][..], "attached")] {
        let mut dataplane = dataplane(uids);
        let mut command = spawn("second_process_attaches", &dataplane.path);
        let child = match command.uid(NOBODY).spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: another user cannot run this binary: {error}");
                return;
            }
        };
        let event = dataplane.event();
        let refused = matches!(
            event,
            Event::Refused { peer, refusal: Refusal::Uid } if peer.uid == NOBODY
        );
        assert_eq!(refused, uids.is_empty(), "{event:?}");
        assert!(output(child).contains(expected));
    }
}

/// Serves one event in a thread while `client` runs here.
fn served<R>(server: &mut Server, client: impl FnOnce() -> R) -> (Event, R) {
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| next_event(server));
        let result = client();
        (serving.join().unwrap(), result)
    })
}

#[test]
fn observer_gets_read_only_memory_and_takes_nothing_from_control() {
    let Dataplane {
        mut server,
        path,
        mut side,
        _directory,
        ..
    } = dataplane(&[]);
    let connect = |role| handover::connect(&path, role, PATIENCE);
    let (_, control) = served(&mut server, || connect(Role::Control).unwrap());
    let (event, observer) = served(&mut server, || connect(Role::Observer).unwrap());
    assert!(matches!(event, Event::ObserverAttached(_)), "{event:?}");
    assert_eq!((observer.events.len(), observer.sockets.len()), (0, 0));
    assert_eq!(observer.region.control(0).unwrap_err(), ClaimError::Role);
    let memory = observer.region.memory().try_clone_to_owned().unwrap();
    assert!(
        File::from(memory.try_clone().unwrap())
            .write_at(&[1], 0)
            .is_err()
    );
    let error = Region::attach(memory, Attachment::Control { epoch: 1 }).unwrap_err();
    let is_denied = matches!(
        error,
        AttachError::Kernel {
            operation: "mmap",
            error: rustix::io::Errno::ACCESS
        }
    );
    assert!(is_denied, "{error}");
    side.counters.queries.add(5);
    assert_eq!(observer.region.counters(0).unwrap().queries, 5);
    assert!(control.connection.is_open());
    assert!(
        control
            .region
            .control(0)
            .unwrap()
            .generations
            .bump(1)
            .is_ok()
    );
    drop(server);
    assert!(!control.connection.is_open());
    side.latency.record(1, 1);
}

#[test]
fn sockets_beyond_one_message_arrive_in_order_and_are_the_same_sockets() {
    const SOCKETS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dataplane.sock");
    let region = Region::create(&RegionConfig {
        workers: 2,
        ..small()
    })
    .unwrap();
    let sockets = (0..SOCKETS).map(|number| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        SharedSocket {
            worker: number % 2,
            address,
            socket: socket.into(),
        }
    });
    let (offer, events) = offer(&region, sockets.collect());
    let mut server = Server::bind(&path, offer, &[]).unwrap();
    let (_, attached) = served(&mut server, || {
        handover::connect(&path, Role::Control, PATIENCE).unwrap()
    });
    assert_eq!(attached.sockets.len(), SOCKETS as usize);
    for (number, shared) in (0..).zip(attached.sockets) {
        assert_eq!(shared.worker, number % 2);
        let socket = UdpSocket::from(shared.socket);
        assert_eq!(socket.local_addr().unwrap(), shared.address);
    }
    for (ours, theirs) in events.iter().zip(&attached.events) {
        theirs.punt.kick();
        assert_eq!((ours.punt.drain(), ours.reply.drain()), (1, 0));
        ours.reply.kick();
        assert_eq!(theirs.reply.drain(), 1);
    }
}

#[test]
fn client_that_says_something_else_is_refused() {
    let mut dataplane = dataplane(&[]);
    for hello in [
        &b"nexus-handover 2 control\n"[..],
        b"GET / HTTP/1.1\r\n",
        &[0xff; 80],
    ] {
        let (event, answer) = served(&mut dataplane.server, || {
            let mut stream = UnixStream::connect(&dataplane.path).unwrap();
            stream.write_all(hello).unwrap();
            let mut answer = Vec::new();
            // A reset may cut the answer off where the server left words unread.
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        let refused = matches!(
            event,
            Event::Refused {
                refusal: Refusal::Hello,
                ..
            }
        );
        assert!(refused, "{event:?}");
        if !answer.is_empty() {
            assert_eq!(answer, b"nexus-handover 1 refused hello\n");
        }
    }
}

#[test]
fn silent_client_is_dropped_and_the_next_is_served() {
    let mut dataplane = dataplane(&[]);
    let silent = UnixStream::connect(&dataplane.path).unwrap();
    let event = dataplane.event();
    assert!(matches!(event, Event::Failed { .. }), "{event:?}");
    let connect = || handover::connect(&dataplane.path, Role::Observer, PATIENCE);
    let (event, observer) = served(&mut dataplane.server, connect);
    assert!(matches!(event, Event::ObserverAttached(_)), "{event:?}");
    assert!(observer.is_ok());
    drop(silent);
}

#[test]
fn silent_server_is_a_time_out_and_an_absent_one_an_error() {
    let dataplane = dataplane(&[]);
    // Nobody serves: the kernel accepts for the listener.
    let patience = Duration::from_millis(50);
    let error = handover::connect(&dataplane.path, Role::Control, patience).unwrap_err();
    let is_time_out = matches!(
        error,
        ConnectError::Kernel {
            operation: "read from",
            error: rustix::io::Errno::AGAIN,
            ..
        }
    );
    assert!(is_time_out, "{error}");
    let path = dataplane.path.clone();
    drop(dataplane.server);
    assert!(!path.exists(), "the server removes its socket");
    let error = handover::connect(&path, Role::Control, patience).unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Kernel {
                operation: "connect to",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn bind_takes_over_a_dead_socket_but_not_a_live_one_nor_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dataplane.sock");
    let region = Region::create(&small()).unwrap();
    let bind = || Server::bind(&path, offer(&region, Vec::new()).0, &[]);
    // Dropped without removing the file, as by SIGKILL.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = bind().unwrap();
    assert!(matches!(bind(), Err(BindError::InUse(_))));
    drop(server);
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(
        bind(),
        Err(BindError::Kernel {
            operation: "bind",
            ..
        })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");

    let offer = Offer {
        region: region.clone(),
        events: Vec::new(),
        sockets: Vec::new(),
    };
    assert!(matches!(
        Server::bind(&path, offer, &[]),
        Err(BindError::Offer { .. })
    ));
}
