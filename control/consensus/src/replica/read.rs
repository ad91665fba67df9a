//! Linearizable reads without a place in the order.
//!
//! A write that anyone has been told of was consented to by a quorum. A reader that asks a quorum
//! how far it has consented hears of it from an honest voter of both, and waits until it has
//! executed that far itself. The voters asked must be those of the epoch that the state is in when
//! the read is answered (docs/consensus.md, "Reads").

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Params, Replica};
use crate::effect::{Effect, Now};
use crate::identity::{Epoch, NodeId, Sequence};
use crate::machine::StateMachine;
use crate::message::Message;
use crate::verified::Signer;

/// Most reads that wait.
const READS_MAX: usize = 4096;
/// Rounds that a read is tried.
const ROUNDS_MAX: u32 = 50;

/// Reads on their way.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads {
    /// Came while a round was under way: what that round hears may be older than they are.
    waiting: Vec<u64>,
    round: Option<Round>,
    nonce: u64,
}

#[derive(Debug, Clone)]
struct Round {
    tokens: Vec<u64>,
    nonce: u64,
    epoch: Epoch,
    replies: BTreeMap<NodeId, (Epoch, Sequence)>,
    started_us: u64,
    tries: u32,
}

impl Round {
    /// How far voters that are in this epoch or before it have consented, ascending.
    fn heard(&self) -> Vec<Sequence> {
        let replies = self.replies.values();
        let replies = replies.filter(|(epoch, _)| *epoch <= self.epoch);
        let mut heard: Vec<Sequence> = replies.map(|(_, sequence)| *sequence).collect();
        heard.sort_unstable();
        heard
    }
}

impl Reads {
    /// Nonces of a life of this replica are not those of an earlier one.
    pub(super) fn new(now: Now) -> Self {
        Self {
            nonce: now.unix_ms.wrapping_mul(1_000_000),
            ..Self::default()
        }
    }

    pub(super) fn deadline_us(&self, params: &Params) -> Option<u64> {
        let round = self.round.as_ref()?;
        Some(round.started_us.saturating_add(params.round_timeout_us))
    }
}

impl<M: StateMachine, S: Signer> Replica<M, S> {
    pub(super) fn on_read(&mut self, now: Now, token: u64, out: &mut Vec<Effect>) {
        if self.reads.waiting.len() >= READS_MAX || !self.holds_state() {
            out.push(Effect::ReadFailed(token));
            return;
        }
        self.reads.waiting.push(token);
        self.start_round(now, out);
    }

    fn start_round(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.reads.round.is_some() || self.reads.waiting.is_empty() {
            return;
        }
        let tokens = core::mem::take(&mut self.reads.waiting);
        self.ask(now, tokens, 1, out);
    }

    fn ask(&mut self, now: Now, tokens: Vec<u64>, tries: u32, out: &mut Vec<Effect>) {
        self.reads.nonce = self.reads.nonce.wrapping_add(1);
        let nonce = self.reads.nonce;
        let epoch = self.configuration.epoch();
        let mut replies = BTreeMap::new();
        if self.is_voter() {
            replies.insert(self.me, (epoch, self.consented()));
        }
        self.reads.round = Some(Round {
            tokens,
            nonce,
            epoch,
            replies,
            started_us: now.monotonic_us,
            tries,
        });
        out.push(Effect::Broadcast(Arc::new(Message::ReadIndex { nonce })));
        self.finish_reads(now, out);
    }

    pub(super) fn on_read_index(&self, from: NodeId, nonce: u64, out: &mut Vec<Effect>) {
        if self.is_voter() {
            let reply = Message::ReadIndexReply {
                nonce,
                epoch: self.configuration.epoch(),
                sequence: self.consented(),
            };
            out.push(Effect::Send(from, Arc::new(reply)));
        }
    }

    pub(super) fn on_read_index_reply(
        &mut self,
        from: NodeId,
        nonce: u64,
        epoch: Epoch,
        sequence: Sequence,
    ) {
        let is_voter = self.configuration.is_voter(from);
        let round = self
            .reads
            .round
            .as_mut()
            .filter(|round| round.nonce == nonce);
        if let Some(round) = round.filter(|_| is_voter) {
            round.replies.entry(from).or_insert((epoch, sequence));
        }
    }

    /// Answers the reads of a round whose quorum is there and whose sequence is executed.
    pub(super) fn finish_reads(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(round) = &self.reads.round else {
            return;
        };
        if round.epoch != self.configuration.epoch() {
            // Others decide now: they are to be asked.
            self.ask_again(now, out);
            return;
        }
        let quorum = self.configuration.quorum();
        // Any quorum will do: the lowest values, so that one liar does not make readers wait.
        let heard = round.heard();
        let index = quorum
            .checked_sub(1)
            .and_then(|last| heard.get(last))
            .copied();
        if index.is_none_or(|index| self.executed < index) || self.is_between_epochs() {
            return;
        }
        if let Some(round) = self.reads.round.take() {
            out.extend(round.tokens.into_iter().map(Effect::ReadReady));
        }
        self.start_round(now, out);
    }

    fn ask_again(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(round) = self.reads.round.take() else {
            return;
        };
        if round.tries >= ROUNDS_MAX {
            out.extend(round.tokens.into_iter().map(Effect::ReadFailed));
            self.start_round(now, out);
            return;
        }
        self.ask(now, round.tokens, round.tries + 1, out);
    }

    /// A round that does not end is begun anew: messages are lost, and voters lag.
    pub(super) fn retry_reads(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.finish_reads(now, out);
        let due = self.reads.deadline_us(&self.params);
        if due.is_none_or(|due| now.monotonic_us < due) {
            return;
        }
        let quorum = self.configuration.quorum();
        match self.reads.round.as_mut() {
            // A quorum has answered: what it said stays right, and is still to be executed.
            Some(round) if round.heard().len() >= quorum && round.tries < ROUNDS_MAX => {
                round.started_us = now.monotonic_us;
                round.tries += 1;
            }
            _ => self.ask_again(now, out),
        }
    }
}
