//! [`MeshCluster`]: the cluster as agreement on answers sees it. Messages go by the network, bundles with their
//! votes into the order by the driver.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use consensus::{Message, NodeId, Wire};
use ledger::{Command, Event, Outcome, Report, ValidatedAnswers};
use tokio::runtime::Handle;

use super::{Cluster, Ordered};
use crate::mesh::driver::{MeshHandle, Outbox};

/// Over the driver of this node.
pub(crate) struct MeshCluster {
    outbox: Arc<dyn Outbox>,
    handle: MeshHandle,
    /// Where replies are waited for.
    runtime: Handle,
    window_ms: u64,
    /// In which window each node was last reported.
    reported: Mutex<BTreeMap<NodeId, u64>>,
}

impl MeshCluster {
    /// Wishes of the driver are commands of the ledger in their byte form, replies are outcomes. `window_ms` is
    /// that of [`ledger::Parameters`].
    pub(crate) fn new(
        outbox: Arc<dyn Outbox>,
        handle: MeshHandle,
        runtime: Handle,
        window_ms: u64,
    ) -> Self {
        Self {
            outbox,
            handle,
            runtime,
            window_ms: window_ms.max(1),
            reported: Mutex::default(),
        }
    }
}

impl Cluster for MeshCluster {
    fn send(&self, to: NodeId, bytes: Vec<u8>) {
        self.outbox.send(to, &Arc::new(Message::Application(bytes)));
    }

    fn broadcast(&self, bytes: Vec<u8>) {
        let message = Arc::new(Message::Application(bytes));
        self.outbox.broadcast(&message);
    }

    fn order(&self, answers: ValidatedAnswers, done: Ordered) {
        let command = Command::Answers(answers).to_bytes();
        match self.handle.start_submit(command) {
            Ok(reply) => {
                self.runtime.spawn(async move {
                    let reply = reply.await.ok().and_then(Result::ok);
                    let outcome = reply.and_then(|reply| Outcome::from_bytes(&reply.bytes).ok());
                    done.tell(match outcome {
                        Some(Outcome::Answers(verdicts)) => Some(verdicts),
                        _ => None,
                    });
                });
            }
            Err(error) => tracing::debug!(%error, "answers are not ordered"),
        }
    }

    fn on_contradiction(&self, subject: NodeId) {
        let window = self.handle.standing().summary.time_ms / self.window_ms;
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        // One a window says it all; of those who are gone nothing is kept for long.
        reported.retain(|_, last| *last == window);
        if reported.insert(subject, window).is_some() {
            return;
        }
        drop(reported);
        let report = Command::Report(Report {
            subject,
            event: Event::Contradiction,
            count: 1,
            window,
        });
        if let Err(error) = self.handle.start_submit(report.to_bytes()) {
            tracing::debug!(%error, "a report is not passed on");
        }
    }
}

impl fmt::Debug for MeshCluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MeshCluster").finish_non_exhaustive()
    }
}
