//! What happens because time passes.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Params, Replica, VIEW_CHANGE_BACKOFF_MAX};
use crate::effect::{Effect, Now, Observation};
use crate::identity::Sequence;
use crate::machine::StateMachine;
use crate::message::Message;
use crate::transfer::Status;
use crate::verified::Signer;
use crate::vote::Phase;

/// Rounds between two words on how far one is, while all is well.
const STATUS_ROUNDS: u64 = 5;
/// A moment for everybody's consent: this part of a round.
const FAST_ROUND_PART: u64 = 10;
/// After a missed fast path, rounds in which nobody waits for it.
const FAST_PAUSE_ROUNDS: u64 = 20;
/// Followers hear of progress at most so often: this part of a round.
const ANNOUNCE_ROUND_PART: u64 = 10;

/// Clocks of one replica, microseconds of [`Now::monotonic_us`].
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    /// Last execution.
    progress_us: u64,
    /// Doublings of the view-change timeout.
    backoff: u32,
    /// When a view that a quorum wants must have begun.
    view_deadline_us: Option<u64>,
    resend_us: u64,
    status_us: u64,
    fast_pause_until_us: u64,
    announced: Sequence,
    announce_us: u64,
}

impl Timers {
    pub(super) fn new(now: Now) -> Self {
        Self {
            progress_us: now.monotonic_us,
            resend_us: now.monotonic_us,
            ..Self::default()
        }
    }

    pub(super) fn on_progress(&mut self, now: Now) {
        self.progress_us = now.monotonic_us;
        self.backoff = 0;
    }

    pub(super) fn on_view_wanted(&mut self, now: Now) {
        self.backoff = (self.backoff + 1).min(VIEW_CHANGE_BACKOFF_MAX);
        self.view_deadline_us = None;
        self.resend_us = now.monotonic_us;
    }

    pub(super) fn on_view_quorum(&mut self, now: Now, timeout_us: u64) {
        let wait = timeout_us << self.backoff;
        self.view_deadline_us
            .get_or_insert(now.monotonic_us.saturating_add(wait));
    }

    pub(super) fn on_view_entered(&mut self, now: Now) {
        self.view_deadline_us = None;
        self.progress_us = now.monotonic_us;
        self.resend_us = now.monotonic_us;
    }

    /// Until when a commit waits for everybody's consent.
    pub(super) fn fast_until_us(&self, now: Now, params: &Params) -> Option<u64> {
        let is_tried = params.fast_path && now.monotonic_us >= self.fast_pause_until_us;
        let wait = params.round_timeout_us / FAST_ROUND_PART;
        is_tried.then(|| now.monotonic_us.saturating_add(wait))
    }

    pub(super) fn on_fast_commit(&mut self) {
        self.fast_pause_until_us = 0;
    }

    fn on_fast_missed(&mut self, now: Now, params: &Params) {
        let pause = params.round_timeout_us.saturating_mul(FAST_PAUSE_ROUNDS);
        self.fast_pause_until_us = now.monotonic_us.saturating_add(pause);
    }

    pub(super) fn is_stalled(&self, now: Now, params: &Params) -> bool {
        now.monotonic_us >= self.progress_us.saturating_add(params.round_timeout_us)
    }
}

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// When [`crate::Input::Tick`] is due at the latest, microseconds of [`Now::monotonic_us`].
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        if self.is_halted {
            return None;
        }
        let round = self.params.round_timeout_us;
        let (_, unproposed) = self.pending.unproposed();
        let cut = unproposed.filter(|_| {
            let may_propose = self.may_propose(self.next_sequence());
            self.is_primary() && may_propose && !self.misses_batches()
        });
        let fast = self.open_fast().filter_map(|(_, until)| until).min();
        let announce = (self.timers.announced < self.executed && self.has_followers()).then(|| {
            self.timers
                .announce_us
                .saturating_add(round / ANNOUNCE_ROUND_PART)
        });
        [
            Some(self.timers.resend_us.saturating_add(round)),
            cut.map(|since| since.saturating_add(self.params.batch_timeout_us)),
            self.view_patience_us(),
            fast,
            announce,
            self.reads.deadline_us(&self.params),
            self.transfer.as_ref().map(|transfer| transfer.deadline_us),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn on_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.end_fast_waits(now, out);
        self.propose(now, out);
        if self
            .view_patience_us()
            .is_some_and(|until| now.monotonic_us >= until)
        {
            self.want_view(now, self.view.next(), out);
        }
        let round = self.params.round_timeout_us;
        if now.monotonic_us >= self.timers.resend_us.saturating_add(round) {
            self.timers.resend_us = now.monotonic_us;
            self.resend(now, out);
        }
        let pause = round / ANNOUNCE_ROUND_PART;
        let is_due = now.monotonic_us >= self.timers.announce_us.saturating_add(pause);
        if self.timers.announced < self.executed && is_due && self.has_followers() {
            self.timers.announced = self.executed;
            self.timers.announce_us = now.monotonic_us;
            out.push(Effect::Announce(Arc::new(Message::Status(self.status()))));
        }
        self.retry_transfer(now, out);
        self.retry_reads(now, out);
    }

    fn has_followers(&self) -> bool {
        self.is_voter()
            && self
                .configuration
                .members()
                .any(|member| !member.role.votes())
    }

    /// When this voter's patience with the primary, or with a view that does not begin, ends.
    fn view_patience_us(&self) -> Option<u64> {
        if !self.is_voter() {
            return None;
        }
        if self.is_changing {
            return self.timers.view_deadline_us;
        }
        if self.is_behind() {
            // It is not the primary who is late.
            return None;
        }
        let stuck = self.slots.iter().filter(|(sequence, slot)| {
            **sequence > self.executed && slot.proposal_in(self.view).is_some()
        });
        let oldest = stuck.map(|(_, slot)| slot.accepted_us).min();
        // The epoch's last checkpoint is to be reached, whether or not anybody asks for anything.
        let ending = self.boundary.filter(|end| self.executed < *end);
        let ending = ending.map(|_| self.timers.progress_us);
        let waits = [self.pending.oldest_us(), oldest, ending];
        let since = waits.into_iter().flatten().min()?;
        Some(since.saturating_add(self.params.view_change_timeout_us << self.timers.backoff))
    }

    /// Slots whose commit waits for everybody's consent.
    fn open_fast(&self) -> impl Iterator<Item = (Sequence, Option<u64>)> {
        let open = self.slots.iter().filter(|(_, slot)| {
            slot.committed.is_none()
                && slot.is_prepared_in(self.view)
                && slot
                    .commits
                    .get(&self.me)
                    .is_none_or(|own| own.vote.view < self.view)
        });
        open.map(|(sequence, slot)| (*sequence, slot.fast_until_us))
    }

    fn end_fast_waits(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.is_changing || !self.is_voter() {
            return;
        }
        let over = |(_, until): &(Sequence, Option<u64>)| {
            until.is_some_and(|until| now.monotonic_us >= until)
        };
        let due: Vec<Sequence> = self
            .open_fast()
            .filter(over)
            .map(|(place, _)| place)
            .collect();
        for sequence in due {
            self.timers.on_fast_missed(now, &self.params);
            out.push(Effect::Observe(Observation::FastPathMissed(sequence)));
            self.send_commit(sequence, out);
            self.advance(now, sequence, out);
        }
    }

    pub(super) fn status(&self) -> Status {
        Status {
            epoch: self.configuration.epoch(),
            view: self.view,
            executed: self.executed,
            stable: self.stable.sequence,
            is_changing: self.is_changing,
        }
    }

    /// Once a round: whatever is open is said again, since any of it may be lost.
    fn resend(&mut self, now: Now, out: &mut Vec<Effect>) {
        let round = self.params.round_timeout_us;
        let is_open = self.is_changing
            || self.pending.len() > 0
            || self.slots.keys().any(|sequence| *sequence > self.executed)
            || !self.own_checkpoints.is_empty();
        let pause = if is_open { 1 } else { STATUS_ROUNDS };
        if now.monotonic_us
            >= self
                .timers
                .status_us
                .saturating_add(round.saturating_mul(pause))
        {
            self.timers.status_us = now.monotonic_us;
            out.push(Effect::Broadcast(Arc::new(Message::Status(self.status()))));
        }
        let before = now.monotonic_us.saturating_sub(round);
        for request in self
            .pending
            .take_due(Some(self.me), before, now.monotonic_us)
        {
            out.push(Effect::Broadcast(Arc::new(Message::Request(request))));
        }
        if !self.is_voter() {
            return;
        }
        if self.is_changing {
            let own = self.view_changes.get(&self.me).cloned();
            let own = own.filter(|change| change.view == self.view);
            let message = own.map(|change| Message::ViewChange(Box::new(change)));
            out.extend(message.map(|message| Effect::Broadcast(Arc::new(message))));
        } else {
            self.resend_open_slots(now, out);
        }
        self.resend_checkpoints(out);
    }

    fn resend_open_slots(&self, now: Now, out: &mut Vec<Effect>) {
        let depth = usize::try_from(self.configuration.pipeline_depth()).unwrap_or(1);
        let from = self.executed.next();
        let is_old = |accepted_us: u64| {
            now.monotonic_us >= accepted_us.saturating_add(self.params.round_timeout_us)
        };
        for (_, slot) in self.slots.range(from..).take(depth) {
            let missing = slot
                .digests()
                .filter(|digest| !self.batches.contains_key(digest));
            missing.for_each(|digest| self.fetch_batch(digest, out));
            let Some(proposal) = slot
                .proposal_in(self.view)
                .filter(|_| is_old(slot.accepted_us))
            else {
                continue;
            };
            let batch = self.batches.get(&proposal.vote.digest);
            if let Some(batch) = batch.filter(|_| proposal.signer == self.me) {
                let message = Message::PrePrepare(proposal, Arc::clone(batch));
                out.push(Effect::Broadcast(Arc::new(message)));
            }
            let own = [slot.consents.get(&self.me), slot.commits.get(&self.me)];
            for own in own
                .into_iter()
                .flatten()
                .filter(|own| own.vote.phase != Phase::PrePrepare && own.vote.view == self.view)
            {
                out.push(Effect::Broadcast(Arc::new(Message::Vote(*own))));
            }
        }
    }

    fn resend_checkpoints(&self, out: &mut Vec<Effect>) {
        // The latest alone: it makes the earlier ones needless.
        let own = self.checkpoint_votes.iter().rev();
        let own = own.filter_map(|(_, votes)| votes.get(&self.me)).next();
        if let Some((signed, body)) = own {
            let message = Message::Checkpoint(*signed, Box::new(body.clone()));
            out.push(Effect::Broadcast(Arc::new(message)));
        }
    }
}
