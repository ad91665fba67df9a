//! [`Rounds`]: what this node proposes. Collects answers into bundles, counts votes, hands bundles with a
//! quorum to the order, and proposes anew what voters were too slow for.
//!
//! Nobody waits for anybody else's slow answer: a bundle is decided without the items that voters have not
//! resolved yet, and those go into a bundle of their own a little later, when voters have them in their caches.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::{Configuration, Digest, NodeId};
use ledger::{AnswerBundle, AnswerItem, AnswerVote, Opinion, Question, Security, ValidatedAnswers};
use resolver::agreement::Key;

use super::claim::is_claim;
use super::{Decided, Proposal, Verdict};

/// Items of one bundle at most.
const ITEMS_MAX: usize = 128;
/// Bytes of one bundle's records at most; one answer alone is always smaller.
const BUNDLE_BYTES_MAX: usize = 48 * 1024;
/// How long the first item of a bundle waits for others.
const BUNDLE_WAIT_US: u64 = 1_500;
/// The same while so many rounds are voted on. A bundle costs every node signatures, however few its items
/// are: under load, when answers take longer anyway, fewer and larger ones are cheaper.
const BUNDLE_WAIT_BUSY_US: u64 = 20_000;
const VOTING_BUSY: usize = 2;
/// Items under way at most.
const UNDER_WAY_MAX: usize = 16_384;
/// How long votes are waited for. Voters take up to [`super::ballots::VOTE_WAIT_US`].
const VOTES_WAIT_US: u64 = 250_000;
/// How long the order is waited for; who asked gives up long before.
const ORDER_WAIT_US: u64 = 10_000_000;
/// How long an item rests that voters were too slow for: twice as long after each of the first tries, so that
/// what is slow for all is not asked of them again and again.
const AGAIN_US: u64 = 40_000;
const AGAIN_DOUBLINGS_MAX: u32 = 3;

/// What the shell does.
#[derive(Debug)]
pub(super) enum Effect {
    /// Send this to all other voters.
    Broadcast(AnswerBundle),
    /// Have this ordered, and come back with what the ledger says.
    Order(u64, ValidatedAnswers),
    /// Tell who asked.
    Decided(Vec<Decided>),
}

#[derive(Clone, Debug)]
struct Item {
    proposal: Arc<Proposal>,
    /// Nobody waits for it any more then.
    deadline_us: u64,
    /// How often voters were too slow for it.
    tries: u32,
}

#[derive(Debug)]
struct Round {
    bundle: AnswerBundle,
    items: Vec<Item>,
    votes: BTreeMap<NodeId, AnswerVote>,
    deadline_us: u64,
}

/// How votes stand on one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Agreed,
    Refused,
    Open,
}

/// What this node proposes.
#[derive(Debug)]
pub(super) struct Rounds {
    own: NodeId,
    configuration: Configuration,
    timeout_us: u64,
    fresh: Vec<Item>,
    fresh_since_us: u64,
    /// By when they are due, in the order in which they came to rest.
    again: BTreeMap<(u64, u64), Item>,
    next_rest: u64,
    voting: BTreeMap<Digest, Round>,
    /// With the time at which nobody believes in it any more.
    ordering: BTreeMap<u64, (u64, Vec<Item>)>,
    next_order: u64,
    under_way: usize,
}

impl Rounds {
    pub(super) fn new(own: NodeId, configuration: Configuration, timeout_us: u64) -> Self {
        Self {
            own,
            configuration,
            timeout_us,
            fresh: Vec::new(),
            fresh_since_us: 0,
            again: BTreeMap::new(),
            next_rest: 0,
            voting: BTreeMap::new(),
            ordering: BTreeMap::new(),
            next_order: 0,
            under_way: 0,
        }
    }

    /// Other members from now on. Votes of those who are gone do not count any more.
    pub(super) fn set_configuration(&mut self, configuration: Configuration) {
        self.configuration = configuration;
    }

    pub(super) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Whether votes on this bundle are still of use.
    pub(super) fn wants(&self, bundle: &Digest, signer: NodeId) -> bool {
        let round = self.voting.get(bundle);
        round.is_some_and(|round| !round.votes.contains_key(&signer))
            && signer != self.own
            && self.configuration.is_voter(signer)
    }

    /// This node has an answer.
    pub(super) fn propose(&mut self, now_us: u64, proposal: Proposal, out: &mut Vec<Effect>) {
        let item = Item {
            proposal: Arc::new(proposal),
            deadline_us: now_us + self.timeout_us,
            tries: 0,
        };
        if self.under_way >= UNDER_WAY_MAX {
            out.push(Effect::Decided(vec![(item.proposal, Verdict::Undecided)]));
            return;
        }
        self.under_way += 1;
        if self.fresh.is_empty() {
            self.fresh_since_us = now_us;
        }
        self.fresh.push(item);
    }

    /// When [`tick`](Self::tick) is due.
    pub(super) fn deadline_us(&self) -> Option<u64> {
        let fresh = (!self.fresh.is_empty()).then(|| self.fresh_due_us());
        let again = self.again.keys().next().map(|(due_us, _)| *due_us);
        let voting = self.voting.values().map(|round| round.deadline_us).min();
        [fresh, again, voting].into_iter().flatten().min()
    }

    /// When the items that are new go out.
    fn fresh_due_us(&self) -> u64 {
        let wait_us = match self.voting.len() < VOTING_BUSY {
            true => BUNDLE_WAIT_US,
            false => BUNDLE_WAIT_BUSY_US,
        };
        match self.fresh.len() < ITEMS_MAX {
            true => self.fresh_since_us + wait_us,
            false => 0,
        }
    }

    /// Time has passed, or something came.
    pub(super) fn tick(&mut self, now_us: u64, unix_ms: u64, out: &mut Vec<Effect>) {
        if now_us >= self.fresh_due_us() {
            let fresh = std::mem::take(&mut self.fresh);
            self.send(now_us, unix_ms, fresh, out);
        }
        let later = self.again.split_off(&(now_us + 1, 0));
        let again = std::mem::replace(&mut self.again, later);
        self.send(now_us, unix_ms, again.into_values().collect(), out);
        let late = self.voting.iter();
        let late = late.filter(|(_, round)| now_us >= round.deadline_us);
        let late: Vec<Digest> = late.map(|(digest, _)| *digest).collect();
        for digest in late {
            self.count(now_us, digest, true, out);
        }
        while let Some((order, (deadline_us, _))) = self.ordering.first_key_value()
            && *deadline_us <= now_us
        {
            let order = *order;
            self.on_ordered(now_us, order, None, out);
        }
    }

    /// A vote, whose signature holds, on a bundle of this node.
    pub(super) fn on_vote(
        &mut self,
        now_us: u64,
        digest: Digest,
        vote: AnswerVote,
        out: &mut Vec<Effect>,
    ) {
        if !self.wants(&digest, vote.signer) {
            return;
        }
        let Some(round) = self.voting.get_mut(&digest) else {
            return;
        };
        if vote.opinions.len() != round.items.len() {
            return;
        }
        round.votes.insert(vote.signer, vote);
        self.count(now_us, digest, false, out);
    }

    /// What the ledger says of an ordered bundle; `None` if nobody knows what becomes of it.
    pub(super) fn on_ordered(
        &mut self,
        now_us: u64,
        order: u64,
        verdicts: Option<&[ledger::Verdict]>,
        out: &mut Vec<Effect>,
    ) {
        let Some((_, items)) = self.ordering.remove(&order) else {
            return;
        };
        let mut decided = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let verdict = verdicts.and_then(|verdicts| verdicts.get(index));
            match verdict {
                Some(ledger::Verdict::Validated) => decided.push((item, Verdict::Agreed)),
                Some(ledger::Verdict::Refused) => decided.push((item, Verdict::Refused)),
                // The members have changed meanwhile.
                Some(ledger::Verdict::Undecided) => self.rest(now_us, item, &mut decided),
                None => decided.push((item, Verdict::Undecided)),
            }
        }
        self.tell(decided, out);
    }

    /// Sends items in as few bundles as they fit into. Claims go apart: answers do not wait for what a certificate names.
    fn send(&mut self, now_us: u64, unix_ms: u64, items: Vec<Item>, out: &mut Vec<Effect>) {
        let is_claim = |item: &Item| is_claim(&item.proposal.key);
        let (claims, answers): (Vec<_>, Vec<_>) = items.into_iter().partition(is_claim);
        self.send_alike(now_us, unix_ms, answers, out);
        self.send_alike(now_us, unix_ms, claims, out);
    }

    fn send_alike(&mut self, now_us: u64, unix_ms: u64, items: Vec<Item>, out: &mut Vec<Effect>) {
        let mut rest = items.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut bundle, mut bytes) = (Vec::new(), 0);
            while let Some(item) = rest.peek()
                && bundle.len() < ITEMS_MAX
                && (bundle.is_empty() || bytes + item.proposal.records.len() <= BUNDLE_BYTES_MAX)
            {
                bytes += item.proposal.records.len();
                bundle.extend(rest.next());
            }
            self.begin(now_us, unix_ms, bundle, out);
        }
    }

    fn begin(&mut self, now_us: u64, unix_ms: u64, items: Vec<Item>, out: &mut Vec<Effect>) {
        let bundle = AnswerBundle {
            proposer: self.own,
            time_ms: unix_ms,
            items: items
                .iter()
                .map(|item| answer_item(&item.proposal))
                .collect(),
        };
        let digest = bundle.digest();
        let deadline_us = items.iter().map(|item| item.deadline_us).max();
        let deadline_us = deadline_us.unwrap_or(now_us).min(now_us + VOTES_WAIT_US);
        let round = Round {
            bundle: bundle.clone(),
            items,
            votes: BTreeMap::new(),
            deadline_us,
        };
        self.voting.insert(digest, round);
        out.push(Effect::Broadcast(bundle));
        self.count(now_us, digest, false, out); // Alone one is a quorum.
    }

    /// Ends the round if all is said, or if it must end.
    fn count(&mut self, now_us: u64, digest: Digest, is_late: bool, out: &mut Vec<Effect>) {
        let Some(round) = self.voting.get(&digest) else {
            return;
        };
        let standings: Vec<_> = (0..round.items.len())
            .map(|index| self.standing(round, index))
            .collect();
        let has_voted = |id: NodeId| id == self.own || round.votes.contains_key(&id);
        let all_voted = self.configuration.voters().all(has_voted);
        if !is_late && !all_voted && standings.contains(&Standing::Open) {
            return;
        }
        let Some(round) = self.voting.remove(&digest) else {
            return;
        };
        self.end(now_us, round, &standings, out);
    }

    fn standing(&self, round: &Round, index: usize) -> Standing {
        let count = |wanted| {
            let votes = round.votes.values();
            let opinions = votes.filter(|vote| {
                self.configuration.is_voter(vote.signer)
                    && !self.configuration.is_isolated(vote.signer)
                    && vote.opinions.get(index) == Some(&wanted)
            });
            opinions.count()
        };
        let own = usize::from(self.configuration.is_voter(self.own));
        if count(Opinion::Agree) + own >= self.configuration.quorum() {
            Standing::Agreed
        } else if count(Opinion::Disagree) > self.configuration.faults_max() {
            Standing::Refused
        } else {
            Standing::Open
        }
    }

    fn end(&mut self, now_us: u64, round: Round, standings: &[Standing], out: &mut Vec<Effect>) {
        let mut decided = Vec::new();
        // What voters refuse does not go into the order by this node's hand: those who disagree report it.
        let has_refused = standings.contains(&Standing::Refused);
        let has_agreed = standings.contains(&Standing::Agreed);
        let mut ordered = Vec::new();
        for (item, standing) in round.items.into_iter().zip(standings) {
            match standing {
                Standing::Refused => decided.push((item, Verdict::Refused)),
                // Without the refused ones: voters have these in their caches.
                Standing::Agreed if has_refused => self.rest_until(now_us, item),
                Standing::Agreed => ordered.push(item),
                Standing::Open if has_agreed && !has_refused => ordered.push(item),
                Standing::Open => self.rest(now_us, item, &mut decided),
            }
        }
        if !ordered.is_empty() {
            self.next_order += 1;
            let deadline_us = now_us + ORDER_WAIT_US;
            self.ordering
                .insert(self.next_order, (deadline_us, ordered));
            let answers = ValidatedAnswers {
                bundle: round.bundle,
                votes: round.votes.into_values().collect(),
            };
            out.push(Effect::Order(self.next_order, answers));
        }
        self.tell(decided, out);
    }

    /// Proposes an item once more after a while, unless nobody would wait for it.
    fn rest(&mut self, now_us: u64, mut item: Item, decided: &mut Vec<(Item, Verdict)>) {
        let due_us = now_us + (AGAIN_US << item.tries.min(AGAIN_DOUBLINGS_MAX));
        item.tries += 1;
        if due_us >= item.deadline_us {
            decided.push((item, Verdict::Undecided));
        } else {
            self.rest_until(due_us, item);
        }
    }

    fn rest_until(&mut self, due_us: u64, item: Item) {
        self.again.insert((due_us, self.next_rest), item);
        self.next_rest += 1;
    }

    fn tell(&mut self, decided: Vec<(Item, Verdict)>, out: &mut Vec<Effect>) {
        if decided.is_empty() {
            return;
        }
        self.under_way = self.under_way.saturating_sub(decided.len());
        let decided = decided.into_iter();
        let decided = decided.map(|(item, verdict)| (item.proposal, verdict));
        out.push(Effect::Decided(decided.collect()));
    }
}

fn answer_item(proposal: &Proposal) -> AnswerItem {
    AnswerItem {
        question: question(&proposal.key),
        digest: Digest(proposal.digest),
        records: Arc::clone(&proposal.records),
        ttl: proposal.ttl_secs.min(ledger::ANSWER_TTL_SECONDS_MAX),
        // Those proven by signatures wait for nobody, and are not proposed.
        security: Security::Indeterminate,
    }
}

pub(super) fn question(key: &Key) -> Question {
    Question {
        name: Arc::clone(&key.name),
        qtype: key.qtype,
        qclass: key.qclass,
    }
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
