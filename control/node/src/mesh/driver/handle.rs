//! [`MeshHandle`]: what the rest of the node asks of the replica, from any thread.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use consensus::{NodeId, Sequence, Status, Summary};
use crossbeam_channel::Sender;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::oneshot;

use super::Command;
use super::front::{Reply, SubmitError, Wish};
use super::phases::{PhaseSummary, Phases};
use super::report::Report;

/// Where this node stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The replica.
    pub summary: Summary,
    /// What each member last said of itself.
    pub members: Vec<(NodeId, Status)>,
    /// Lanes with a request on its way.
    pub lanes_busy: usize,
    /// Wishes that wait for a lane.
    pub waiting: usize,
    /// First and last sequence of history on the disk.
    pub history: Option<(Sequence, Sequence)>,
    /// Bytes of history on the disk.
    pub history_bytes: u64,
    /// The last snapshot on the disk.
    pub snapshot: Option<Sequence>,
    /// Why this node takes no part any more.
    pub failure: Option<String>,
}

impl Standing {
    /// Batches that a member claims to have executed and this node has not.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let summary = &self.summary;
        summary.highest_claimed.0.saturating_sub(summary.executed.0)
    }
}

/// Asks the replica. Cheap to clone.
#[derive(Clone)]
pub struct MeshHandle {
    pub(super) commands: Sender<Command>,
    pub(super) standing: Arc<ArcSwap<Standing>>,
    pub(super) phases: Arc<Phases>,
}

impl MeshHandle {
    /// Has a command ordered and executed, alone or in one request with others. The reply comes when
    /// the change is durable here and in service. Without a reply nobody knows whether it happens.
    ///
    /// # Errors
    /// Why there is no reply.
    pub async fn submit(&self, command: Vec<u8>) -> Result<Reply, SubmitError> {
        let receiver = self.start_submit(command)?;
        receiver.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// As [`MeshHandle::submit`], without waiting.
    ///
    /// # Errors
    /// It was not passed on.
    pub fn start_submit(
        &self,
        command: Vec<u8>,
    ) -> Result<oneshot::Receiver<Result<Reply, SubmitError>>, SubmitError> {
        let (sender, receiver) = oneshot::channel();
        let wish = Wish {
            command,
            sender,
            since: Instant::now(),
        };
        self.tell(Command::Submit(wish))?;
        Ok(receiver)
    }

    /// Returns when the state in service holds every change that anyone had been told of before.
    ///
    /// # Errors
    /// Too few voters answer, or this node takes no part any more.
    pub async fn read_barrier(&self) -> Result<(), SubmitError> {
        let (sender, receiver) = oneshot::channel();
        self.tell(Command::Read(sender, Instant::now()))?;
        receiver.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Where this node stands.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    /// The same and how long phases take, for people and programs outside.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::new(&self.standing(), self.phases())
    }

    /// How long phases take.
    #[must_use]
    pub fn phases(&self) -> Vec<PhaseSummary> {
        self.phases.summaries()
    }

    /// Begins the histograms of phases anew.
    pub fn reset_phases(&self) {
        self.phases.reset();
    }

    /// Looks at the state machine, which must be an `M`, between two steps. `look` must be quick: the
    /// replica waits for it. What it saw is told when it is durable: a power cut may take the rest back.
    ///
    /// # Errors
    /// This node takes no part any more, or too much waits.
    pub async fn inspect<M: 'static, R: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let (sender, receiver) = oneshot::channel();
        self.tell(Command::Inspect(Box::new(move |machine| {
            let seen = machine.downcast_ref::<M>().map(look);
            Box::new(move || {
                if let Some(seen) = seen {
                    let _ = sender.send(seen); // Nobody waits any more.
                }
            })
        })))?;
        receiver.await.map_err(|_| self.stopped())
    }

    fn tell(&self, command: Command) -> Result<(), SubmitError> {
        let refused = self.commands.try_send(command);
        refused.map_err(|error| {
            if error.is_full() {
                SubmitError::Busy
            } else {
                self.stopped()
            }
        })
    }

    fn stopped(&self) -> SubmitError {
        let reason = self.standing().failure.clone();
        SubmitError::Stopped(reason.unwrap_or_else(|| "it is stopping".to_owned()))
    }
}

impl fmt::Debug for MeshHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MeshHandle").finish_non_exhaustive()
    }
}

/// Metric, help, value.
type Row = (&'static str, &'static str, fn(&Standing) -> u64);

const ROWS: [Row; 14] = [
    ("nexus_consensus_epoch", "Epoch of this node.", |standing| {
        standing.summary.epoch.0
    }),
    (
        "nexus_consensus_view",
        "View of this node, or the one that it wants.",
        |standing| standing.summary.view.0,
    ),
    (
        "nexus_consensus_view_changing",
        "1 while this node wants a view that has not begun.",
        |standing| standing.summary.is_changing.into(),
    ),
    (
        "nexus_consensus_executed_sequence",
        "Last batch executed on this node.",
        |standing| standing.summary.executed.0,
    ),
    (
        "nexus_consensus_stable_sequence",
        "Last stable checkpoint of this node.",
        |standing| standing.summary.stable.0,
    ),
    (
        "nexus_consensus_lag_batches",
        "Batches that a member claims to have executed and this node has not.",
        Standing::lag,
    ),
    (
        "nexus_consensus_pending_requests",
        "Requests of all nodes known to this node and not executed.",
        |standing| standing.summary.pending as u64,
    ),
    (
        "nexus_consensus_busy_lanes",
        "Requests of this node on their way.",
        |standing| standing.lanes_busy as u64,
    ),
    (
        "nexus_consensus_waiting_wishes",
        "Wishes at this node that wait for a lane.",
        |standing| standing.waiting as u64,
    ),
    (
        "nexus_consensus_catching_up",
        "1 while this node fetches what others have committed.",
        |standing| standing.summary.is_catching_up.into(),
    ),
    (
        "nexus_consensus_stopped",
        "1 if this node takes no part any more: the log cannot be written, or states differ.",
        |standing| standing.failure.is_some().into(),
    ),
    (
        "nexus_consensus_history_bytes",
        "History on the disk for members that are behind.",
        |standing| standing.history_bytes,
    ),
    (
        "nexus_consensus_history_first_sequence",
        "First batch of history on the disk.",
        |standing| standing.history.map_or(0, |(first, _)| first.0),
    ),
    (
        "nexus_consensus_snapshot_sequence",
        "Last snapshot on the disk.",
        |standing| standing.snapshot.map_or(0, |sequence| sequence.0),
    ),
];

impl Collector for MeshHandle {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let standing = self.standing();
        for (metric, help, value) in ROWS {
            let out = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
            let value = i64::try_from(value(&standing)).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(out)?;
        }
        self.phases.encode(&mut encoder)
    }
}
