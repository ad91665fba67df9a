//! The shared memory from the other side: a dataplane with one worker that a test plays.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cache::{Hasher, Lookup};
use exchange::handover::{Event, Offer, Server, SharedSocket};
use exchange::{
    EntryBuffer, Mode, Punt, PushError, Region, RegionConfig, Reply, ReplyMeta, StatusWriter,
    Transport, WorkerEvents, WorkerSide,
};
use hickory_proto::op::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use wire::query::Query;

use crate::common::{Node, PATIENCE, wait_until};

pub(crate) const TEMPLATE: &[u8] = b"the worker's headers";
pub(crate) const SLOTS: u32 = 64;
/// A heartbeat that is never old.
pub(crate) const ALWAYS_MS: u64 = u64::MAX / 2;
/// One that is.
pub(crate) const LONG_AGO_MS: u64 = 1;

pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000 + u64::try_from(now.tv_nsec).unwrap() / 1_000
}

/// What came back for a punt.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) message: Message,
    pub(crate) bytes: Vec<u8>,
    /// `None` if the worker must forget it.
    pub(crate) meta: Option<ReplyMeta>,
}

/// A dataplane that a test plays.
pub(crate) struct Dataplane {
    pub(crate) region: Region,
    pub(crate) worker: WorkerSide,
    pub(crate) events: WorkerEvents,
    pub(crate) attached: mpsc::Receiver<Event>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) server: Option<JoinHandle<()>>,
    _status: StatusWriter,
}

impl Dataplane {
    pub(crate) fn start(path: &Path, sockets: Vec<SharedSocket>) -> Self {
        let config = RegionConfig {
            workers: 1,
            punt_slots: SLOTS,
            reply_slots: SLOTS,
            table_buckets: 64,
            zones_max: 16,
        };
        let region = Region::create(&config).unwrap();
        let mut status = region.status_writer(now_us() / 1_000).unwrap();
        status.set(
            if sockets.is_empty() {
                Mode::Copy
            } else {
                Mode::Socket
            },
            "scripted",
        );
        let worker = region.worker(0).unwrap();
        worker.heartbeat.beat(ALWAYS_MS);
        let events = WorkerEvents::new().unwrap();
        let offer = Offer {
            region: region.clone(),
            events: vec![events.try_clone().unwrap()],
            sockets,
        };
        let mut server = Server::bind(path, offer, &[]).unwrap();
        let (sender, attached) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let server = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(event) = server.serve(Duration::from_millis(20)).unwrap() {
                    let _ = sender.send(event);
                }
            }
        });
        Self {
            region,
            worker,
            events,
            attached,
            stop,
            server: Some(server),
            _status: status,
        }
    }

    /// Waits until control has attached, and its zones' generations are settled.
    pub(crate) fn wait_for_control(&self) {
        loop {
            let event = self
                .attached
                .recv_timeout(PATIENCE)
                .expect("control did not attach");
            if let Event::ControlAttached { .. } = event {
                return;
            }
        }
    }

    pub(crate) fn push(&mut self, message: &[u8]) {
        self.push_from(Ipv4Addr::LOCALHOST, message);
    }

    pub(crate) fn push_from(&mut self, client: Ipv4Addr, message: &[u8]) {
        self.push_as(Transport::Udp, client, message);
    }

    pub(crate) fn push_as(&mut self, transport: Transport, client: Ipv4Addr, message: &[u8]) {
        let punt = Punt {
            transport,
            client: SocketAddr::from((client, 4242)),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
            ecn: 0,
            received_us: now_us(),
            headers: TEMPLATE,
            message,
        };
        let punts = &mut self.worker.punts;
        wait_until("there is room for a punt", || {
            punts.push(&punt) != Err(PushError::Full)
        });
        if self.worker.punts.publish() {
            self.events.punt.kick();
        }
    }

    /// The next thing from control, copied by `read`.
    pub(crate) fn next<R>(&mut self, read: impl Fn(&Reply<'_>) -> R) -> R {
        loop {
            if let Some(reply) = self.worker.replies.pop() {
                return read(&reply.unwrap());
            }
            if self.worker.replies.prepare_sleep() {
                let timeout = Timespec {
                    tv_sec: 20,
                    tv_nsec: 0,
                };
                let mut bells = [PollFd::from_borrowed_fd(
                    self.events.reply.as_fd(),
                    PollFlags::IN,
                )];
                assert_eq!(
                    poll(&mut bells, Some(&timeout)).unwrap(),
                    1,
                    "no reply came"
                );
                self.events.reply.drain();
            }
            self.worker.replies.wake();
        }
    }

    pub(crate) fn ask(&mut self, question: &Message) -> Returned {
        self.push(&question.to_vec().unwrap());
        let returned = self.returned();
        assert_eq!(returned.message.metadata.id, question.metadata.id);
        returned
    }

    pub(crate) fn returned(&mut self) -> Returned {
        self.next(|reply| {
            let (headers, message, meta) = match *reply {
                Reply::Answer {
                    headers,
                    message,
                    meta,
                } => (headers, message, Some(meta)),
                Reply::AnswerUncached { headers, message } => (headers, message, None),
                _ => panic!("{reply:?}"),
            };
            assert_eq!(headers, TEMPLATE);
            Returned {
                message: Message::from_vec(message).unwrap(),
                bytes: message.to_vec(),
                meta,
            }
        })
    }

    /// Whether the shared table answers a question.
    pub(crate) fn table_has(&self, question: &Message) -> bool {
        let bytes = question.to_vec().unwrap();
        let query = Query::parse(&bytes).unwrap();
        let (k0, k1) = self.region.hash_keys();
        let key = Hasher::new(k0, k1).key(&query);
        let mut scratch = [0; size_of::<EntryBuffer>()];
        let now_secs = u32::try_from(now_us() / 1_000_000).unwrap();
        let generations = self.region.generations();
        matches!(
            self.region
                .table()
                .get(&key, now_secs, &generations, 0, &mut scratch),
            Lookup::Fresh(..)
        )
    }

    pub(crate) fn generation(&self, zone: u32) -> u32 {
        self.region.generations().generation(zone)
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// Both planes, attached.
pub(crate) fn both(sections: &str) -> (Node, Dataplane) {
    let mut node = Node::new(sections);
    let dataplane = Dataplane::start(&node.path("dataplane.sock"), Vec::new());
    node.spawn();
    dataplane.wait_for_control();
    (node, dataplane)
}
