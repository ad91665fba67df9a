//! Another primary (PBFT §4.4): VIEW-CHANGE, NEW-VIEW, and what must survive them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Replica;
use crate::batch::Batch;
use crate::effect::{Effect, Now, Observation};
use crate::identity::{Digest, NodeId, Sequence, Signature, View};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::record::Record;
use crate::verified::Signer;
use crate::view_change::{NewView, PrePrepared, ViewChange};
use crate::vote::{CommitCertificate, SignedVote};

impl<M: StateMachine, S: Signer> Replica<M, S> {
    /// Gives up on the views before `view`: from now on there is no vote in any of them.
    pub(super) fn want_view(&mut self, now: Now, view: View, out: &mut Vec<Effect>) {
        if !self.is_voter() || view <= self.view {
            return;
        }
        self.view = view;
        self.is_changing = true;
        self.new_view = None;
        self.timers.on_view_wanted(now);
        let change = self.view_change();
        self.view_changes.insert(self.me, change.clone());
        out.push(Effect::Persist(Record::ViewWanted(change.epoch, view)));
        out.push(Effect::Observe(Observation::ViewWanted(view)));
        let message = Message::ViewChange(Box::new(change));
        out.push(Effect::Broadcast(Arc::new(message)));
        self.try_new_view(now, out);
    }

    /// This voter's VIEW-CHANGE for the view that it wants.
    pub(super) fn view_change(&self) -> ViewChange {
        let prepared = self.slots.values().filter_map(|slot| slot.prepared.clone());
        let accepted = self.slots.iter().filter_map(|(sequence, slot)| {
            let vote = slot.proposal?.vote;
            Some(PrePrepared {
                sequence: *sequence,
                view: vote.view,
                digest: vote.digest,
            })
        });
        let change = ViewChange {
            epoch: self.configuration.epoch(),
            view: self.view,
            stable: self.stable.certificate.clone(),
            prepared: prepared.collect(),
            pre_prepared: accepted.collect(),
            signer: self.me,
            signature: Signature([0; 64]),
        };
        change.sign(self.cluster, &self.signer)
    }

    pub(super) fn on_view_change(
        &mut self,
        now: Now,
        from: NodeId,
        change: ViewChange,
        out: &mut Vec<Effect>,
    ) {
        if change.epoch != self.configuration.epoch() {
            out.push(Effect::Observe(Observation::Stale(from)));
            return;
        }
        if !change.is_valid(&self.configuration, self.base) || change.signer == self.me {
            out.push(Effect::Observe(Observation::BadMessage(from)));
            return;
        }
        let has_begun = change.view < self.view || (change.view == self.view && !self.is_changing);
        if has_begun {
            // The sender missed a NEW-VIEW.
            let known = self.new_view.as_ref();
            if known.is_some_and(|new| new.view >= change.view) {
                self.send_new_view(now, from, out);
            }
            return;
        }
        let kept = self.view_changes.get(&change.signer);
        if kept.is_some_and(|kept| kept.view >= change.view) {
            return;
        }
        self.view_changes.insert(change.signer, change);
        self.join(now, out);
        self.try_new_view(now, out);
    }

    /// Proves the present view to a member that missed its beginning, once a round.
    pub(super) fn send_new_view(&mut self, now: Now, to: NodeId, out: &mut Vec<Effect>) {
        let Some(new) = self.new_view.clone() else {
            return;
        };
        if self.params.is_round_over(self.shown_us.get(&to), now) {
            self.shown_us.insert(to, now.monotonic_us);
            out.push(Effect::Send(to, Arc::new(Message::NewView(new))));
        }
    }

    /// f + 1 voters want a later view, one of them honest: so does this one.
    fn join(&mut self, now: Now, out: &mut Vec<Effect>) {
        let later = self
            .view_changes
            .values()
            .filter(|change| change.view > self.view);
        let views: Vec<View> = later.map(|change| change.view).collect();
        if views.len() > self.configuration.faults_max() {
            let lowest = views.into_iter().min().unwrap_or(self.view);
            self.want_view(now, lowest, out);
        }
    }

    /// A quorum wants the view: its timer starts, and its primary opens it.
    pub(super) fn try_new_view(&mut self, now: Now, out: &mut Vec<Effect>) {
        let wanting = self
            .view_changes
            .values()
            .filter(|change| change.view == self.view);
        let quorum = self.configuration.quorum();
        // Who wants a later view has given up on this one, too: else voters that want different views
        // could wait for each other for ever.
        let changes = self.view_changes.values();
        let giving_up = changes.filter(|change| change.view >= self.view).count();
        if !self.is_changing || giving_up < quorum {
            return;
        }
        self.timers
            .on_view_quorum(now, self.params.view_change_timeout_us);
        if self.primary() != self.me || wanting.clone().count() < quorum {
            return;
        }
        let new = NewView::make(
            self.view,
            wanting.cloned().collect(),
            &self.configuration,
            self.cluster,
            &self.signer,
        );
        // A primary that lags could not report what it proposes here when it wants yet another view.
        // It catches up first, or another one leads.
        if new.end() > self.high() {
            return;
        }
        let new = Arc::new(new);
        self.enter_view(now, &new, out);
        out.push(Effect::Broadcast(Arc::new(Message::NewView(new))));
    }

    pub(super) fn on_new_view(
        &mut self,
        now: Now,
        from: NodeId,
        new: Arc<NewView>,
        out: &mut Vec<Effect>,
    ) {
        let is_current = new.view > self.view || (new.view == self.view && self.is_changing);
        if new.epoch != self.configuration.epoch() || !is_current {
            out.push(Effect::Observe(Observation::Stale(from)));
            return;
        }
        if !new.is_valid(&self.configuration, self.base) || new.signer == self.me {
            out.push(Effect::Observe(Observation::BadMessage(from)));
            return;
        }
        self.enter_view(now, &new, out);
    }

    /// Begins a view whose NEW-VIEW is valid, or one's own.
    fn enter_view(&mut self, now: Now, new: &Arc<NewView>, out: &mut Vec<Effect>) {
        out.push(Effect::Persist(Record::ViewEntered(Arc::clone(new))));
        if !self.adopt_view(new, out) {
            return;
        }
        out.push(Effect::Observe(Observation::ViewEntered(new.view)));
        self.timers.on_view_entered(now);
        self.pending.restart(now.monotonic_us);
        for proposal in &new.proposals {
            self.take_up(now, *proposal, out);
        }
        self.pass_on_requests(now, out);
        self.execute_ready(now, out);
    }

    /// The part of entering a view that a replay repeats: its proposals are accepted. `false` if one
    /// of them contradicts what is decided here.
    pub(super) fn adopt_view(&mut self, new: &Arc<NewView>, out: &mut Vec<Effect>) -> bool {
        self.view = new.view;
        self.is_changing = false;
        self.new_view = Some(Arc::clone(new));
        self.view_changes.retain(|_, change| change.view > new.view);
        new.proposals
            .iter()
            .filter(|proposal| self.is_in_window(proposal.vote.sequence))
            .copied()
            .collect::<Vec<_>>()
            .into_iter()
            .all(|proposal| self.adopt_proposal(proposal, out))
    }

    fn adopt_proposal(&mut self, proposal: SignedVote, out: &mut Vec<Effect>) -> bool {
        let vote = proposal.vote;
        if vote.digest == Batch::null().digest() {
            self.batches.insert(vote.digest, Arc::new(Batch::null()));
        }
        let slot = self.slots.entry(vote.sequence).or_default();
        let decided = slot.committed.as_ref().and_then(CommitCertificate::subject);
        if let Some(decided) = decided.filter(|decided| decided.digest != vote.digest) {
            if decided.view > vote.view {
                // A later view, which may rightly overrule this one, has decided.
                return true;
            }
            if decided.view < vote.view {
                // More than f voters lie, or this disk does.
                self.halt(vote.sequence, vote.digest, decided.digest, out);
                return false;
            }
            // The primary has begun its view in two ways, and a quorum has taken the other.
        }
        slot.take(proposal, |digest| self.batches.contains_key(digest));
        slot.note(proposal);
        true
    }

    /// Proposals of the NEW-VIEW that were too far ahead when the view began.
    pub(super) fn take_left(&mut self, now: Now, out: &mut Vec<Effect>) {
        let is_open = |new: &Arc<NewView>| new.end() > self.stable.sequence;
        let Some(new) = self.new_view.clone().filter(is_open) else {
            return;
        };
        for proposal in &new.proposals {
            let place = proposal.vote.sequence;
            let slot = self.slots.get(&place);
            let is_taken = slot.is_some_and(|slot| slot.proposal_in(self.view).is_some());
            if self.is_in_window(place) && !is_taken && self.adopt_proposal(*proposal, out) {
                self.take_up(now, *proposal, out);
            }
            if self.is_halted || self.new_view.as_ref() != Some(&new) {
                return;
            }
        }
    }

    /// What the NEW-VIEW of this view says about a place: only that may be proposed there.
    pub(super) fn bound(&self, place: Sequence) -> Option<Digest> {
        let new = self.new_view.as_ref()?;
        let proposals = &new.proposals;
        let found = proposals.binary_search_by_key(&place, |signed| signed.vote.sequence);
        let found = found.ok().and_then(|index| proposals.get(index));
        found.map(|signed| signed.vote.digest)
    }

    /// Goes on with a proposal of the view that has begun, as far as its batch is known.
    fn take_up(&mut self, now: Now, proposal: SignedVote, out: &mut Vec<Effect>) {
        let vote = proposal.vote;
        let Some(slot) = self.slots.get_mut(&vote.sequence) else {
            return;
        };
        slot.accepted_us = now.monotonic_us;
        slot.fast_until_us = None;
        let decided = slot.committed.as_ref().and_then(CommitCertificate::subject);
        if decided.is_some_and(|decided| decided.digest != vote.digest) {
            return;
        }
        let Some(batch) = self.batches.get(&vote.digest).cloned() else {
            self.fetch_batch(vote.digest, out);
            return;
        };
        for request in &batch.requests {
            self.pending.mark_proposed(request.id);
        }
        self.consent(proposal, out);
        self.advance(now, vote.sequence, out);
    }

    /// All requests that wait, to the primary of the view that has begun: it is watched over them.
    pub(super) fn pass_on_requests(&mut self, now: Now, out: &mut Vec<Effect>) {
        let waiting = self.pending.take_due(None, u64::MAX, now.monotonic_us);
        if self.is_primary() {
            return;
        }
        for request in waiting {
            let message = Arc::new(Message::Request(request));
            out.push(Effect::Send(self.primary(), message));
        }
    }

    /// The highest sequence that this voter has consented to, or that is decided.
    pub(super) fn consented(&self) -> Sequence {
        // Once a view has begun, what was accepted before and is not in its NEW-VIEW was not committed.
        let counts = |slot: &super::Slot| {
            let proposal = match self.is_changing {
                true => slot.proposal,
                false => slot.proposal_in(self.view),
            };
            proposal.is_some() || slot.committed.is_some()
        };
        let accepted = self.slots.iter().rev().find(|(_, slot)| counts(slot));
        let highest = accepted.map_or(Sequence(0), |(sequence, _)| *sequence);
        let begun = self.new_view.as_ref().map_or(Sequence(0), |new| new.end());
        highest
            .max(begun)
            .max(self.executed)
            .max(self.stable.sequence)
    }
}
