//! Where a node stands, in a form for `nexus cluster status` and for other programs.

use serde::Serialize;

use super::handle::Standing;
use super::phases::PhaseSummary;

/// What one node says of itself and of its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// This node.
    pub node: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its view, or the one that it wants.
    pub view: u64,
    /// Whether that view has not begun.
    pub is_changing: bool,
    /// Who leads it.
    pub primary: String,
    /// Whether this node counts toward quorums.
    pub is_voter: bool,
    /// Last batch executed.
    pub executed: u64,
    /// Last stable checkpoint.
    pub stable: u64,
    /// Batches that a member claims to have executed and this node has not.
    pub lag: u64,
    /// Whether it fetches what others have committed.
    pub is_catching_up: bool,
    /// Requests of all nodes that are known and not executed.
    pub pending: usize,
    /// Requests of this node on their way.
    pub lanes_busy: usize,
    /// Wishes that wait for a lane.
    pub waiting: usize,
    /// First and last batch of history on the disk.
    pub history: Option<(u64, u64)>,
    /// Bytes of it.
    pub history_bytes: u64,
    /// The last snapshot on the disk.
    pub snapshot: Option<u64>,
    /// Why this node takes no part any more.
    pub failure: Option<String>,
    /// What the others last said of themselves.
    pub members: Vec<MemberReport>,
    /// How long phases take.
    pub phases: Vec<PhaseSummary>,
}

/// What a member last said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// Which.
    pub node: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its view, or the one that it wants.
    pub view: u64,
    /// Last batch executed.
    pub executed: u64,
    /// Last stable checkpoint.
    pub stable: u64,
    /// Whether it wants a view that has not begun.
    pub is_changing: bool,
}

impl Report {
    pub(super) fn new(standing: &Standing, phases: Vec<PhaseSummary>) -> Self {
        let summary = &standing.summary;
        let members = standing.members.iter().map(|(id, status)| MemberReport {
            node: id.to_string(),
            epoch: status.epoch.0,
            view: status.view.0,
            executed: status.executed.0,
            stable: status.stable.0,
            is_changing: status.is_changing,
        });
        Self {
            node: summary.id.to_string(),
            epoch: summary.epoch.0,
            view: summary.view.0,
            is_changing: summary.is_changing,
            primary: summary.primary.to_string(),
            is_voter: summary.is_voter,
            executed: summary.executed.0,
            stable: summary.stable.0,
            lag: standing.lag(),
            is_catching_up: summary.is_catching_up,
            pending: summary.pending,
            lanes_busy: standing.lanes_busy,
            waiting: standing.waiting,
            history: standing.history.map(|(first, last)| (first.0, last.0)),
            history_bytes: standing.history_bytes,
            snapshot: standing.snapshot.map(|sequence| sequence.0),
            failure: standing.failure.clone(),
            members: members.collect(),
            phases,
        }
    }
}
