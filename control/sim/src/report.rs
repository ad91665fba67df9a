//! What a run came to: counts, the violation if there is one, and a trace for who wants to read it.

use std::collections::BTreeMap;

use consensus::{Message, Observation};
use serde::Serialize;

use crate::fault::{Fault, Plan};
use crate::network::Network;

/// The outcome of a run, or of many together.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(
    missing_docs,
    reason = "the names say it; they are those of the JSON form"
)]
pub struct Report {
    pub seeds: u64,
    pub simulated_us: u64,
    pub events: u64,
    pub steps: u64,
    pub delivered: u64,
    /// By sort: what was injected.
    pub faults: BTreeMap<&'static str, u64>,
    pub malformed: u64,
    pub bad_signatures: u64,
    /// Messages of which the receiver could make no use.
    pub useless: u64,
    pub crashes: u64,
    /// Messages that liars bent, invented or kept back.
    pub lies: u64,
    /// Batches committed.
    pub batches: usize,
    pub fast_commits: u64,
    pub slow_commits: u64,
    /// Requests executed.
    pub requests: usize,
    pub reads: u64,
    /// Operations of clients in histories.
    pub operations: usize,
    /// View changes begun by nodes, and views entered.
    pub views_wanted: u64,
    pub views_entered: u64,
    pub view_max: u64,
    pub epoch_max: u64,
    pub transfers: u64,
    pub evidence: u64,
    pub log: LogReport,
    /// What must not be.
    pub violation: Option<String>,
    #[serde(skip)]
    pub trace: Vec<String>,
}

/// What came of the certificate log.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[expect(
    missing_docs,
    reason = "the names say it; they are those of the JSON form"
)]
pub struct LogReport {
    /// Heads that were decided.
    pub heads: u64,
    /// Cosignatures that honest nodes sent, to each other node.
    pub cosigned: u64,
    /// Heads that honest nodes have shown.
    pub published: u64,
    /// Notes that liars forged or repeated.
    pub forged: u64,
    /// By honest nodes: cosignatures of another tree than the decided one, by keys that are not the signer's, and notes that
    /// are none.
    pub forks: u64,
    pub unknown: u64,
    pub malformed: u64,
}

impl LogReport {
    fn add(&mut self, other: Self) {
        self.heads += other.heads;
        self.cosigned += other.cosigned;
        self.published += other.published;
        self.forged += other.forged;
        self.forks += other.forks;
        self.unknown += other.unknown;
        self.malformed += other.malformed;
    }
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Self {
        let liars = u64::try_from(plan.lies_count()).unwrap_or(0);
        Self {
            seeds: 1,
            faults: (liars > 0)
                .then_some(("byzantine", liars))
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }

    fn add_fault(&mut self, name: &'static str, count: u64) {
        *self.faults.entry(name).or_default() += count;
    }

    pub(crate) fn count_fault(&mut self, fault: &Fault) {
        let is_counted_elsewhere = matches!(
            fault,
            Fault::Loss { .. }
                | Fault::Duplicate { .. }
                | Fault::Delay { .. }
                | Fault::Byzantine { .. }
        );
        if !is_counted_elsewhere {
            self.add_fault(fault.kind().name(), 1);
        }
    }

    pub(crate) fn count_network(&mut self, network: &Network) {
        self.add_fault("loss", network.lost);
        self.add_fault("duplicate", network.duplicated);
        self.add_fault("messages cut off by partitions", network.cut);
        self.add_fault("messages held by clogs", network.clogged);
        self.add_fault("messages bent by liars", self.lies);
    }

    pub(crate) fn observe(&mut self, what: &Observation) {
        match what {
            Observation::Committed { fast: true, .. } => self.fast_commits += 1,
            Observation::Committed { .. } => self.slow_commits += 1,
            Observation::ViewWanted(_) => self.views_wanted += 1,
            Observation::ViewEntered(_) => self.views_entered += 1,
            Observation::CatchingUp { .. } => self.transfers += 1,
            _ => {}
        }
    }

    /// Both together; of two violations the first is kept.
    pub fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.simulated_us += other.simulated_us;
        self.events += other.events;
        self.steps += other.steps;
        self.delivered += other.delivered;
        other
            .faults
            .iter()
            .for_each(|(name, count)| self.add_fault(name, *count));
        self.malformed += other.malformed;
        self.bad_signatures += other.bad_signatures;
        self.useless += other.useless;
        self.crashes += other.crashes;
        self.lies += other.lies;
        self.batches += other.batches;
        self.fast_commits += other.fast_commits;
        self.slow_commits += other.slow_commits;
        self.requests += other.requests;
        self.reads += other.reads;
        self.operations += other.operations;
        self.views_wanted += other.views_wanted;
        self.views_entered += other.views_entered;
        self.view_max = self.view_max.max(other.view_max);
        self.epoch_max = self.epoch_max.max(other.epoch_max);
        self.transfers += other.transfers;
        self.evidence += other.evidence;
        self.log.add(other.log);
        self.violation = self.violation.take().or(other.violation);
    }
}

/// A message in a few words.
pub(crate) fn brief(message: &Message) -> String {
    match message {
        Message::PrePrepare(signed, batch) => {
            let vote = signed.vote;
            format!(
                "PRE-PREPARE {:?} {:?} {:?} {:?}, {} requests",
                vote.epoch,
                vote.view,
                vote.sequence,
                vote.digest,
                batch.requests.len()
            )
        }
        Message::Vote(signed) => {
            let vote = signed.vote;
            format!(
                "{:?} {:?} {:?} {:?} {:?} of {:?}",
                vote.phase, vote.epoch, vote.view, vote.sequence, vote.digest, signed.signer
            )
        }
        Message::Checkpoint(signed, _) => format!(
            "CHECKPOINT {:?} {:?} of {:?}",
            signed.vote.sequence, signed.vote.digest, signed.signer
        ),
        Message::ViewChange(change) => format!(
            "VIEW-CHANGE {:?} {:?} of {:?}, stable {:?}, prepared {:?}, accepted {:?}",
            change.epoch,
            change.view,
            change.signer,
            change.stable.subject().0,
            change
                .prepared
                .iter()
                .filter_map(|p| p.subject())
                .map(|v| (v.sequence, v.view))
                .collect::<Vec<_>>(),
            change
                .pre_prepared
                .iter()
                .map(|p| (p.sequence, p.view))
                .collect::<Vec<_>>(),
        ),
        Message::NewView(new) => format!(
            "NEW-VIEW {:?} {:?}, from {:?}, proposals {:?}",
            new.epoch,
            new.view,
            new.view_changes
                .iter()
                .map(|change| change.signer)
                .collect::<Vec<_>>(),
            new.proposals
                .iter()
                .map(|p| (p.vote.sequence, p.vote.digest))
                .collect::<Vec<_>>(),
        ),
        Message::Request(request) => format!("REQUEST {:?}", request.id),
        Message::Log(items) => format!(
            "LOG {:?}",
            items.iter().map(|item| item.sequence()).collect::<Vec<_>>()
        ),
        Message::SnapshotOffer(offer) => format!("OFFER of {:?}", offer.body.sequence),
        Message::Chunk {
            sequence, index, ..
        } => format!("CHUNK {index} of {sequence:?}"),
        Message::BatchData(batch) => format!("BATCH {:?}", batch.digest()),
        other => format!("{other:?}"),
    }
}
