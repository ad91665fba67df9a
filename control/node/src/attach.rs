//! Looks for a dataplane on its unix socket, beside the front thread, which must not wait for it.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use exchange::Region;
use exchange::handover::{Attached, ConnectError, Role, connect};

use crate::clock;
use crate::front::{FrontSender, Request};

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(100);
/// For each step of one attempt.
const PATIENCE: Duration = Duration::from_secs(1);
/// A control that took our place is gone when it was silent for this long, in milliseconds.
const SUCCESSOR_SILENT_MS: u64 = 3_000;

/// What the front thread wants of the attacher.
#[derive(Debug, Default)]
struct Wish {
    wanted: bool,
    /// Memory in which another control has taken our place: not before that one is silent.
    superseded: Option<Region>,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    wish: Mutex<Wish>,
    changed: Condvar,
}

/// The front thread's end.
#[derive(Clone, Debug)]
pub(crate) struct Attaching(Arc<Shared>);

impl Attaching {
    /// Look for a dataplane. `superseded`: the memory that another control took from us.
    pub(crate) fn want(&self, superseded: Option<Region>) {
        let mut wish = self.0.wish.lock().unwrap_or_else(PoisonError::into_inner);
        wish.wanted = true;
        wish.superseded = superseded;
        self.0.changed.notify_all();
    }
}

/// The thread that tries.
#[derive(Debug)]
pub(crate) struct Attacher {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Attacher {
    /// For the hand-over socket at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            shared: Arc::default(),
        }
    }

    pub(crate) fn attaching(&self) -> Attaching {
        Attaching(Arc::clone(&self.shared))
    }

    /// One attempt, now.
    pub(crate) fn try_now(&self) -> Option<Attached> {
        match connect(&self.path, Role::Control, PATIENCE) {
            Ok(attached) => Some(attached),
            Err(error) => {
                tracing::debug!(%error, "no dataplane yet");
                None
            }
        }
    }

    /// Starts the thread. It stops with [`Running::stop`].
    pub(crate) fn start(self, front: FrontSender) -> std::io::Result<Running> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("nexus-attach".to_owned())
            .spawn(move || self.run(&front))?;
        Ok(Running { shared, thread })
    }

    fn run(&self, front: &FrontSender) {
        let mut complained = String::new();
        while let Some(superseded) = self.wait() {
            if is_alive(superseded.as_ref()) {
                self.pause();
                continue;
            }
            match connect(&self.path, Role::Control, PATIENCE) {
                Ok(attached) => {
                    complained.clear();
                    let mut wish = self
                        .shared
                        .wish
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    *wish = Wish {
                        stop: wish.stop,
                        ..Wish::default()
                    };
                    drop(wish);
                    if front
                        .request(Request::Attached(Box::new(attached)))
                        .is_err()
                    {
                        self.attaching().want(None);
                    }
                }
                Err(error) => {
                    complain(&error, &mut complained);
                    self.pause();
                }
            }
        }
    }

    /// Waits until a dataplane is wanted; `None` to stop.
    fn wait(&self) -> Option<Option<Region>> {
        let wish = self
            .shared
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let wish = self
            .shared
            .changed
            .wait_while(wish, |wish| !wish.wanted && !wish.stop)
            .unwrap_or_else(PoisonError::into_inner);
        (!wish.stop).then(|| wish.superseded.clone())
    }

    fn pause(&self) {
        let wish = self
            .shared
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .shared
            .changed
            .wait_timeout_while(wish, RETRY, |wish| !wish.stop);
    }
}

/// Whether the control that took our place still lives.
fn is_alive(superseded: Option<&Region>) -> bool {
    superseded.is_some_and(|region| {
        clock::now_ms().saturating_sub(region.control_heartbeat_ms()) < SUCCESSOR_SILENT_MS
    })
}

/// Says each reason once. That no dataplane runs is no news.
fn complain(error: &ConnectError, complained: &mut String) {
    let text = error.to_string();
    if matches!(error, ConnectError::Kernel { .. } | ConnectError::Closed) {
        tracing::debug!(%error, "no dataplane yet");
    } else if *complained != text {
        tracing::warn!(%error, "cannot attach to the dataplane");
        *complained = text;
    }
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Ends the thread, after the attempt under way.
    pub(crate) fn stop(self) {
        self.shared
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stop = true;
        self.shared.changed.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread that attaches has panicked");
        }
    }
}
