//! The front thread: takes queries from the workers' rings and from kernel UDP sockets, answers
//! what it can at once, passes the rest to the engine, and returns the engine's answers.
//!
//! Allocates nothing for an answer from a zone. Looks on while it is busy, sleeps otherwise. If it
//! dies, the process dies: see [`crate::run`].

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::attach::Attaching;
use crate::bell::Bell;
use crate::clock;
use crate::control::FrontState;
use crate::counters::Counters;
use crate::kernel_udp::{DatagramOrigin, KernelUdp};
use crate::punts::{PuntOrigin, Punts};
use crate::question::{Finished, Origin};
use crate::responder::Responder;

/// Answers of the engine that wait for this thread; more are dropped, and the clients ask again.
const INBOX_MAX: usize = 16_384;
/// Taken from each source in one round, so that none keeps the others waiting.
pub(crate) const BATCH_MAX: usize = 64;
/// Longest sleep in milliseconds: heartbeats are due every 100 ms.
const SLEEP_MS_MAX: i64 = 50;
/// Sleep while a worker has no room for replies, in milliseconds.
const HELD_UP_MS: i64 = 1;
/// How long to go on looking for work after the last piece, in microseconds, while sleeps are
/// short: cheaper than falling asleep and being woken.
const LOOK_ON_US: u64 = 50;
/// A sleep below this counts as short, in microseconds.
const SHORT_SLEEP_US: u64 = 200;

/// How long to insist on a request, and the time between two attempts.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(1);

/// The thread did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unheard;

/// Where the answer to a query that came here goes.
#[derive(Debug)]
pub(crate) enum FrontOrigin {
    /// Into a worker's reply ring.
    Punt(PuntOrigin),
    /// Out of a kernel socket.
    Datagram(DatagramOrigin),
}

/// The answer to an update.
#[derive(Debug)]
pub(crate) struct Ready {
    origin: FrontOrigin,
    message: Vec<u8>,
}

/// What others want of the front thread.
#[derive(Debug)]
pub(crate) enum Request {
    /// A question of ours came back.
    Finished(Box<Finished>),
    /// An update of ours is answered.
    Ready(Box<Ready>),
    /// A dataplane was found.
    Attached(Box<exchange::handover::Attached>),
    /// Zones in service changed: raise generations, then say so.
    ZonesChanged {
        /// Other names than before are ours.
        redrawn: bool,
        done: oneshot::Sender<()>,
    },
    /// The policy in service has this digest: forget what was resolved under another, then say so.
    PolicyInService {
        digest: u64,
        done: oneshot::Sender<()>,
    },
    /// Forget answers of a name (with all below it if true), or all.
    Flush {
        name: Option<(Vec<u8>, bool)>,
        done: oneshot::Sender<u64>,
    },
}

/// The way to the front thread, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct FrontSender {
    inbox: Sender<Request>,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
}

impl FrontSender {
    /// Returns an answer. Dropped if the thread is far behind.
    pub(crate) fn send(&self, finished: Box<Finished>) {
        if self.request(Request::Finished(finished)).is_err() {
            self.counters.drops_late.increment();
        }
    }

    /// Returns the answer to an update. Dropped if the thread is far behind.
    pub(crate) fn answer(&self, origin: FrontOrigin, message: Vec<u8>) {
        let ready = Box::new(Ready { origin, message });
        if self.request(Request::Ready(ready)).is_err() {
            self.counters.drops_late.increment();
        }
    }

    /// Asks for something.
    pub(crate) fn request(&self, request: Request) -> Result<(), TrySendError<Request>> {
        self.inbox.try_send(request)?;
        self.bell.ring();
        Ok(())
    }

    /// Asks for what must not get lost: waits while there is no room.
    ///
    /// # Errors
    /// The thread takes nothing, or is gone.
    pub(crate) async fn insist(&self, mut request: Request) -> Result<(), Unheard> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.request(request) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) if Instant::now() < deadline => request = back,
                Err(_) => return Err(Unheard),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What wakes the thread.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// What control counts.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn shared_counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Wakes the thread, so that it sees that it is to stop.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }
}

/// Both ends of the inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    requests: Receiver<Request>,
    bell: Arc<Bell>,
}

/// Makes the inbox.
///
/// # Errors
/// The kernel has no pipe for us.
pub(crate) fn inbox(counters: &Arc<Counters>) -> std::io::Result<(FrontSender, Inbox)> {
    let (sender, requests) = crossbeam_channel::bounded(INBOX_MAX);
    let bell = Arc::new(Bell::new()?);
    let sender = FrontSender {
        inbox: sender,
        bell: Arc::clone(&bell),
        counters: Arc::clone(counters),
    };
    Ok((sender, Inbox { requests, bell }))
}

/// Everything that the thread owns.
#[derive(Debug)]
pub(crate) struct Front {
    inbox: Inbox,
    responder: Responder,
    punts: Punts,
    kernel: KernelUdp,
    attaching: Attaching,
    counters: Arc<Counters>,
    state: Arc<FrontState>,
    stop: Arc<AtomicBool>,
    slept_us: u64,
}

impl Front {
    pub(crate) fn new(
        inbox: Inbox,
        responder: Responder,
        punts: Punts,
        kernel: KernelUdp,
        attaching: Attaching,
        state: Arc<FrontState>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let counters = Arc::clone(responder.counters());
        Self {
            inbox,
            responder,
            punts,
            kernel,
            attaching,
            counters,
            state,
            stop,
            slept_us: u64::MAX,
        }
    }

    /// Takes a dataplane that was found before the start, or has one looked for.
    pub(crate) fn begin(&mut self, found: Option<exchange::handover::Attached>) {
        match found {
            Some(attached) => self.on_attached(attached, clock::now_ms()),
            None => self.attaching.want(None),
        }
    }

    /// Runs until `stop`.
    pub(crate) fn run(mut self) {
        let mut busy_until_us = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let now_us = clock::now_us();
            let work = self.round(now_us / 1_000);
            if work > 0 {
                busy_until_us = now_us + LOOK_ON_US;
            } else if self.slept_us < SHORT_SLEEP_US && now_us < busy_until_us {
                // It may share its core with the engine, whose answers it waits for.
                std::thread::yield_now();
            } else {
                self.sleep();
            }
        }
        self.punts.leave();
    }

    /// One look at every source. Returns how much there was to do.
    fn round(&mut self, now_ms: u64) -> usize {
        self.tend(now_ms);
        let mut work = self.punts.serve(&mut self.responder, now_ms);
        work += self.kernel.serve(&mut self.responder);
        work += self.take_requests(now_ms);
        work += self.punts.send_mesh();
        work += self.punts.go_on_flushing();
        self.punts.publish();
        work
    }

    /// Heartbeat, loss of the dataplane, and which sockets are ours to read.
    fn tend(&mut self, now_ms: u64) {
        if let Some(lost) = self.punts.tend(now_ms) {
            self.responder.set_generations(None);
            self.state.region.store(None);
            self.kernel.on_detached();
            self.attaching.want(lost);
        }
        self.kernel.tend(now_ms, self.punts.region());
        self.state.alive_ms.store(now_ms, Ordering::Relaxed);
        self.counters
            .serving_udp
            .set(u64::from(self.kernel.is_serving()));
    }

    fn take_requests(&mut self, now_ms: u64) -> usize {
        let mut count = 0;
        // Not bounded by the batch: each was paid for by a query, and the inbox is bounded.
        while let Ok(request) = self.inbox.requests.try_recv() {
            self.on_request(request, now_ms);
            count += 1;
            if count >= BATCH_MAX * 4 {
                break;
            }
        }
        count
    }

    fn on_request(&mut self, request: Request, now_ms: u64) {
        match request {
            Request::Finished(finished) => self.on_finished(&finished),
            Request::Attached(attached) => self.on_attached(*attached, now_ms),
            Request::Ready(ready) => match &ready.origin {
                FrontOrigin::Punt(origin) => self.punts.deliver_ready(origin, &ready.message),
                FrontOrigin::Datagram(origin) => self.kernel.deliver_ready(origin, &ready.message),
            },
            Request::ZonesChanged { redrawn, done } => {
                if redrawn {
                    self.responder.forget(None);
                }
                self.punts.on_zones_changed(self.responder.zones());
                let _ = done.send(()); // Nobody waits any more: no harm.
            }
            Request::PolicyInService { digest, done } => {
                self.responder.forget(None);
                self.punts.on_policy(digest);
                let _ = done.send(()); // Nobody waits any more: no harm.
            }
            Request::Flush { name, done } => {
                let qname = name.as_ref();
                let qname = qname.map(|(name, subtree)| (name.as_slice(), *subtree));
                let kept = self.responder.forget(qname) as u64;
                self.punts.flush(name, kept, done);
            }
        }
    }

    fn on_finished(&mut self, finished: &Finished) {
        let Origin::Front(origin) = &finished.asked.origin else {
            unreachable!("the engine sends other answers elsewhere");
        };
        let responder = &mut self.responder;
        responder.keep(finished);
        match origin {
            FrontOrigin::Punt(origin) => self.punts.deliver(origin, finished, responder),
            FrontOrigin::Datagram(origin) => self.kernel.deliver(origin, finished, responder),
        }
    }

    fn on_attached(&mut self, attached: exchange::handover::Attached, now_ms: u64) {
        let zones = self.responder.zones();
        match self.punts.attach(attached, zones, now_ms) {
            Ok(sockets) => {
                let region = self.punts.region();
                self.responder.set_generations(region);
                if let Some(region) = region {
                    self.responder.adopt_secrets(region);
                }
                self.state.region.store(region.cloned().map(Arc::new));
                self.kernel.on_attached(sockets, &mut self.responder);
            }
            Err(error) => {
                tracing::error!(%error, "the dataplane's memory cannot be used");
                self.attaching.want(None);
            }
        }
    }

    fn sleep(&mut self) {
        let started_us = clock::now_us();
        self.inbox.bell.prepare_sleep();
        let idle = self.punts.prepare_sleep() && self.inbox.requests.is_empty();
        if idle {
            let mut descriptors = vec![PollFd::from_borrowed_fd(
                self.inbox.bell.as_fd(),
                PollFlags::IN,
            )];
            for descriptor in self.punts.descriptors().chain(self.kernel.descriptors()) {
                descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
            }
            let sleep_ms = if self.punts.is_held_up() {
                HELD_UP_MS
            } else {
                SLEEP_MS_MAX
            };
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: sleep_ms * 1_000_000,
            };
            // An error here is a signal or a shortage of memory: the next round looks anyway.
            let _ = poll(&mut descriptors, Some(&timeout));
        }
        self.inbox.bell.wake();
        self.punts.wake();
        self.slept_us = clock::now_us().saturating_sub(started_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let (done, _) = oneshot::channel();
        Request::ZonesChanged {
            redrawn: true,
            done,
        }
    }

    #[test]
    fn a_request_that_must_not_get_lost_waits_for_room_and_fails_when_nobody_listens() {
        let (sender, inbox) = inbox(&Arc::default()).unwrap();
        for _ in 0..INBOX_MAX {
            sender.request(request()).unwrap();
        }
        assert!(sender.request(request()).is_err());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let make_room = async {
                tokio::task::yield_now().await;
                inbox.requests.recv().unwrap();
            };
            // Polled in this order: there is no room at first.
            let (sent, ()) = tokio::join!(biased; sender.insist(request()), make_room);
            assert_eq!(sent, Ok(()));
            assert!(inbox.requests.is_full());
            drop(inbox);
            assert_eq!(sender.insist(request()).await, Err(Unheard));
        });
    }
}
