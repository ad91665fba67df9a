//! The thread that writes the log and lets effects out, in their order, behind what they depend on.
//!
//! While one group is being made durable the replica goes on, and its next effects gather here: the
//! slower the disk, the larger the group. After a failed write nothing is let out any more.

use std::sync::Arc;
use std::time::Instant;

use consensus::{CheckpointBody, Effect, Record, Sequence};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use tokio::sync::oneshot;

use super::Command;
use super::front::{Reply, ReplySender, SubmitError, tell};
use super::keeper::Job;
use super::outside::{Outbox, Publication};
use super::phases::{Phases, Timed};
use crate::mesh::store::{Store, StoreError};

/// Steps that wait for the disk at most; the replica waits then.
pub(super) const STEPS_MAX: usize = 4096;
/// Steps in one group.
const GROUP_STEPS_MAX: usize = 512;

/// One thing to be done when its turn comes.
#[expect(
    clippy::large_enum_variant,
    reason = "most are effects, and they are moved once"
)]
pub(super) enum Release {
    /// As the replica says.
    Effect(Effect),
    /// The node takes over what has changed in the state.
    Publish(Publication),
    /// Replies of one request.
    Replies {
        sequence: Sequence,
        is_fast: bool,
        replies: Vec<(ReplySender, Instant, Vec<u8>)>,
    },
    /// A read may go on.
    Read(oneshot::Sender<Result<(), SubmitError>>, Instant),
    /// A batch was executed then.
    Executed(Instant),
}

/// What one step of the replica brought.
pub(super) struct Step {
    pub(super) releases: Vec<Release>,
    /// From here on all must wait until the step's records are durable.
    pub(super) hold_from: usize,
}

impl Step {
    /// Nothing but this, once all before it is durable.
    pub(super) fn publishing(publication: Publication) -> Self {
        Self {
            releases: vec![Release::Publish(publication)],
            hold_from: 1,
        }
    }
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) keeper: Sender<Job>,
    pub(super) driver: Sender<Command>,
    pub(super) phases: Arc<Phases>,
    /// Of the last checkpoint, until that is stable.
    pub(super) pending: Option<(CheckpointBody, Vec<u8>)>,
}

impl Writer {
    /// Until the replica's thread has ended.
    pub(super) fn run(mut self, steps: &Receiver<Step>) {
        let mut group = Vec::new();
        while let Ok(first) = steps.recv() {
            group.push(first);
            group.extend(steps.try_iter().take(GROUP_STEPS_MAX - 1));
            if let Err(error) = self.perform(&mut group) {
                self.give_up(&error, steps);
                return;
            }
        }
        let closed = self.store.history.sync();
        if let Err(error) = closed.and_then(|()| self.store.log.close()) {
            tracing::error!(%error, "consensus: the log is not closed in order");
        }
    }

    /// Lets nothing out any more, and says why.
    fn give_up(self, error: &StoreError, steps: &Receiver<Step>) {
        tracing::error!(%error, "consensus: stopped, because what must not be forgotten is not durable");
        let reason = error.to_string();
        // The store is given back before anyone hears of it.
        drop(self.store);
        let mut word = Some(Command::Failed(reason));
        // The replica's thread may be waiting for us, as we would for it.
        while let Some(command) = word.take() {
            match self.driver.try_send(command) {
                Err(TrySendError::Full(command)) => {
                    while steps.try_recv().is_ok() {}
                    std::thread::yield_now();
                    word = Some(command);
                }
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            }
        }
        for _ in steps {}
    }

    fn perform(&mut self, group: &mut Vec<Step>) -> Result<(), StoreError> {
        let mut steps = group.drain(..).peekable();
        let mut held = Vec::new();
        let is_free = |step: &Step| step.hold_from >= step.releases.len();
        while let Some(step) = steps.next_if(is_free) {
            for release in step.releases {
                self.write_history(&release)?;
                self.let_out(release);
            }
        }
        if let Some(step) = steps.next() {
            for (index, release) in step.releases.into_iter().enumerate() {
                if index < step.hold_from {
                    self.write_history(&release)?;
                    self.let_out(release);
                } else {
                    held.push(release);
                }
            }
        }
        held.extend(steps.flat_map(|step| step.releases));
        self.write(&held)?;
        for release in held {
            self.let_out(release);
        }
        Ok(())
    }

    /// What needs the disk and nothing durable before it.
    fn write_history(&mut self, release: &Release) -> Result<(), StoreError> {
        match release {
            Release::Effect(Effect::Append(item)) => self.store.history.append(item),
            Release::Effect(Effect::SyncHistory) => self.store.history.sync(),
            Release::Effect(Effect::Stable { records, .. }) => self.replace(records),
            _ => Ok(()),
        }
    }

    /// Makes durable all that these rest on. Records come before the history behind them: a batch in
    /// history may be committed by this node's own vote, whose record must not be the one that is lost.
    fn write(&mut self, held: &[Release]) -> Result<(), StoreError> {
        let mut group: Vec<&Record> = Vec::new();
        let mut behind: Vec<&Release> = Vec::new();
        for release in held {
            match release {
                Release::Effect(Effect::Persist(record)) => group.push(record),
                Release::Effect(Effect::Append(_)) => behind.push(release),
                Release::Effect(Effect::Stable { .. } | Effect::SyncHistory) => {
                    self.flush(&mut group, &mut behind)?;
                    self.write_history(release)?;
                }
                Release::Effect(Effect::Install {
                    certificate,
                    body,
                    snapshot,
                    records,
                }) => {
                    self.flush(&mut group, &mut behind)?;
                    self.pending = None;
                    // In this order: a snapshot needs the log's proof of its epoch.
                    self.store.log.replace(records)?;
                    self.store.snapshots.store(certificate, body, snapshot)?;
                    self.store.history.clear();
                }
                _ => {}
            }
        }
        self.flush(&mut group, &mut behind)
    }

    fn flush(
        &mut self,
        group: &mut Vec<&Record>,
        behind: &mut Vec<&Release>,
    ) -> Result<(), StoreError> {
        if !group.is_empty() {
            let begun = Instant::now();
            self.store.log.append(std::mem::take(group))?;
            self.phases.record(Timed::Sync, begun.elapsed());
        }
        behind
            .drain(..)
            .try_for_each(|release| self.write_history(release))
    }

    fn replace(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.store.history.sync()?;
        self.store.log.replace(records)
    }

    fn let_out(&mut self, release: Release) {
        match release {
            Release::Effect(effect) => self.let_effect_out(effect),
            Release::Publish(publication) => publication(),
            Release::Replies {
                sequence,
                is_fast,
                replies,
            } => {
                let timed = if is_fast {
                    Timed::ClientFast
                } else {
                    Timed::ClientSlow
                };
                for (client, since, bytes) in replies {
                    self.phases.record(timed, since.elapsed());
                    tell(client, Ok(Reply { sequence, bytes }));
                }
            }
            Release::Read(client, since) => {
                self.phases.record(Timed::Read, since.elapsed());
                tell(client, Ok(()));
            }
            Release::Executed(since) => self.phases.record(Timed::Durable, since.elapsed()),
        }
    }

    fn let_effect_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(to, message) => self.outbox.send(to, &message),
            Effect::Broadcast(message) => self.outbox.broadcast(&message),
            Effect::Announce(message) => self.outbox.announce(&message),
            Effect::Configured(configuration) => self.outbox.configure(&configuration),
            Effect::FormerMembers(keys) => self.outbox.remember(&keys),
            Effect::Snapshot(body, state) => self.pending = Some((body, state)),
            Effect::Stable {
                certificate, body, ..
            } => {
                let pending = self.pending.take_if(|(of, _)| of.sequence <= body.sequence);
                if let Some((_, state)) = pending.filter(|(of, _)| *of == body) {
                    self.give_to_keeper(Job::Snapshot {
                        certificate,
                        body: Box::new(body),
                        state,
                    });
                }
            }
            Effect::ServeLog {
                to,
                after,
                transitions,
            } => self.give_to_keeper(Job::Log {
                to,
                after,
                transitions,
            }),
            Effect::ServeChunk {
                to,
                sequence,
                index,
            } => self.give_to_keeper(Job::Chunk {
                to,
                sequence,
                index,
            }),
            // Done when they were written, or on the replica's thread.
            Effect::Persist(_)
            | Effect::Append(_)
            | Effect::SyncHistory
            | Effect::Install { .. }
            | Effect::Executed { .. }
            | Effect::ReadReady(_)
            | Effect::ReadFailed(_)
            | Effect::Deliver(..)
            | Effect::Evidence(_)
            | Effect::Observe(_)
            | Effect::Halt { .. } => {}
        }
    }

    fn give_to_keeper(&self, job: Job) {
        if self.keeper.try_send(job).is_err() {
            tracing::debug!("consensus: the keeper has too much to do; peers will ask again");
        }
    }
}
