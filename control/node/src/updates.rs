//! UPDATE messages (RFC 2136) on their way to who orders them, and their answers back.
//!
//! Whoever lets nodes agree gives an [`UpdateSink`]; without one, no zone is changed. An update is
//! answered when the sink answers: the client may then count on it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use resolver::zone::{TsigSigner, Update};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use wire::rcode;

use crate::counters::Counters;
use crate::front::{FrontOrigin, FrontSender};
use crate::responder::Via;
use crate::signing::sign;

/// Updates that wait for the sink; more get SERVFAIL.
pub const UPDATES_OUTSTANDING_MAX: usize = 4_096;

/// Longest time to wait for the sink, before SERVFAIL.
pub const UPDATE_WAIT: Duration = Duration::from_secs(10);

/// An update whose client may change the zone.
#[derive(Debug)]
pub struct ClientUpdate {
    /// What is to be changed.
    pub update: Update,
    /// Name of the key that it was signed with, in wire form, lower-case.
    pub key_name: Box<[u8]>,
    /// Where it came from.
    pub client: IpAddr,
}

/// Who orders updates and carries them out.
pub trait UpdateSink: fmt::Debug + Send + Sync {
    /// Takes an update. The receiver gets the response code when the update is carried out everywhere that
    /// counts, or was refused; an error of it is a failure of the sink. Must not block.
    fn submit(&self, update: ClientUpdate) -> oneshot::Receiver<u16>;
}

/// An update on its way, with what its answer needs.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) update: ClientUpdate,
    /// The answer without a response code: header and zone section.
    pub(crate) response: Vec<u8>,
    pub(crate) signer: TsigSigner,
    pub(crate) via: Via,
}

/// The way to the sink, from every thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Updates {
    sink: Option<Arc<dyn UpdateSink>>,
    runtime: Handle,
    front: FrontSender,
    outstanding: Arc<Semaphore>,
    /// MACs of datagrams that wait: clients send them again.
    datagrams: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    counters: Arc<Counters>,
}

/// One that waits no more when this is dropped.
#[derive(Debug)]
struct Waiting {
    datagrams: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    mac: Vec<u8>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waiting = self.datagrams.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&self.mac);
    }
}

impl Updates {
    pub(crate) fn new(
        sink: Option<Arc<dyn UpdateSink>>,
        runtime: Handle,
        front: FrontSender,
    ) -> Self {
        Self {
            sink,
            runtime,
            counters: front.shared_counters(),
            front,
            outstanding: Arc::new(Semaphore::new(UPDATES_OUTSTANDING_MAX)),
            datagrams: Arc::default(),
        }
    }

    /// Hands an update over that came to the front thread.
    pub(crate) fn submit_from_front(&self, submission: Submission, origin: FrontOrigin) {
        let front = self.front.clone();
        self.submit(submission, move |message| front.answer(origin, message));
    }

    /// Hands an update over. `deliver` gets the whole answer, at once or later, on any thread.
    pub(crate) fn submit(
        &self,
        submission: Submission,
        deliver: impl FnOnce(Vec<u8>) + Send + 'static,
    ) {
        let Submission {
            update,
            response,
            signer,
            via,
        } = submission;
        let Some(waiting) = self.begin(&signer, via) else {
            // The answer to the first goes to the same client.
            self.counters.updates_repeated.increment();
            return;
        };
        let finish = move |code: u16| deliver(respond(response, &signer, via, code));
        let permit = Arc::clone(&self.outstanding).try_acquire_owned();
        let (Some(sink), Ok(permit)) = (&self.sink, permit) else {
            self.counters.updates_failed.increment();
            return finish(rcode::SERVFAIL);
        };
        let answer = sink.submit(update);
        let counters = Arc::clone(&self.counters);
        self.runtime.spawn(async move {
            let answer = tokio::time::timeout(UPDATE_WAIT, answer).await;
            drop((permit, waiting));
            let code = match answer {
                Ok(Ok(code)) => code,
                Ok(Err(_)) | Err(_) => rcode::SERVFAIL,
            };
            match code {
                0 => counters.updates_done.increment(),
                rcode::SERVFAIL => counters.updates_failed.increment(),
                _ => counters.updates_refused.increment(),
            }
            finish(code);
        });
    }

    /// `None` for a datagram that waits already: to order it twice could turn success into failure.
    fn begin(&self, signer: &TsigSigner, via: Via) -> Option<Option<Waiting>> {
        if via == Via::Tcp {
            return Some(None);
        }
        let waiting = self.datagrams.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let mac = signer.mac().to_vec();
        if !waiting.insert(mac.clone()) {
            return None;
        }
        let datagrams = Arc::clone(&self.datagrams);
        Some(Some(Waiting { datagrams, mac }))
    }
}

fn respond(mut response: Vec<u8>, signer: &TsigSigner, via: Via, code: u16) -> Vec<u8> {
    if let Some(byte) = response.get_mut(3) {
        *byte |= code.to_be_bytes()[1] & 0xf;
    }
    let bytes = response.len();
    response.resize(bytes + signer.signature_bytes(), 0);
    let bytes = sign(signer, &mut response, bytes, None, via);
    response.truncate(bytes);
    response
}

#[cfg(test)]
#[path = "updates_tests.rs"]
mod tests;
