//! A thread for what takes long: stores snapshots, and serves members that are behind.

use std::sync::Arc;

use consensus::{
    CheckpointBody, CheckpointCertificate, LOG_BYTES_MAX, Message, NodeId, Sequence, SnapshotOffer,
    Transition,
};
use crossbeam_channel::Receiver;

use super::outside::{Outbox, Settle};
use crate::mesh::store::{History, Snapshots, StoreError};

/// Jobs that wait at most. A member whose wish is not heard asks another one.
pub(super) const JOBS_MAX: usize = 256;
/// Most items in one message; a reader takes no more.
const LOG_ITEMS_MAX: usize = 4096;

/// What the keeper does.
#[derive(Debug)]
pub(super) enum Job {
    Log {
        to: NodeId,
        after: Sequence,
        transitions: Vec<Transition>,
    },
    Chunk {
        to: NodeId,
        sequence: Sequence,
        index: u32,
    },
    Snapshot {
        certificate: CheckpointCertificate,
        body: Box<CheckpointBody>,
        state: Vec<u8>,
    },
}

/// What the thread owns.
pub(super) struct Keeper {
    pub(super) settle: Settle,
    pub(super) history: Arc<History>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) outbox: Arc<dyn Outbox>,
}

impl Keeper {
    /// Until nobody can give it a job any more.
    pub(super) fn run(self, jobs: &Receiver<Job>) {
        for job in jobs {
            if let Err(error) = self.perform(job) {
                tracing::warn!(%error, "consensus: a snapshot is not stored or a member not served");
            }
        }
    }

    fn perform(&self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Log {
                to,
                after,
                transitions,
            } => self.serve_log(to, after, transitions),
            Job::Chunk {
                to,
                sequence,
                index,
            } => {
                let bytes = self.snapshots.chunk(sequence, index)?;
                if let Some(bytes) = bytes {
                    let message = Message::Chunk {
                        sequence,
                        index,
                        bytes,
                    };
                    self.outbox.send(to, &Arc::new(message));
                }
                Ok(())
            }
            Job::Snapshot {
                certificate,
                body,
                state,
            } => {
                if let Err(error) = (self.settle)() {
                    tracing::warn!(%error, "consensus: no snapshot, for what the node has of its batches is not durable");
                    return Ok(());
                }
                self.snapshots.store(&certificate, &body, &state)?;
                if let Some(covered) = self.snapshots.covered() {
                    self.history.trim(covered);
                }
                Ok(())
            }
        }
    }

    fn serve_log(
        &self,
        to: NodeId,
        after: Sequence,
        transitions: Vec<Transition>,
    ) -> Result<(), StoreError> {
        let items = self
            .history
            .read_after(after, LOG_BYTES_MAX, LOG_ITEMS_MAX)?;
        if let Some(items) = items {
            self.outbox.send(to, &Arc::new(Message::Log(items)));
            return Ok(());
        }
        // What a witness keeps has no state in it.
        let newest = self.snapshots.newest();
        let useful = newest.filter(|stored| stored.body.sequence > after && stored.bytes_count > 0);
        if let Some(stored) = useful {
            let offer = SnapshotOffer {
                transitions,
                certificate: stored.certificate.clone(),
                body: stored.body.clone(),
                bytes_count: stored.bytes_count,
            };
            let message = Message::SnapshotOffer(Box::new(offer));
            self.outbox.send(to, &Arc::new(message));
        }
        Ok(())
    }
}
