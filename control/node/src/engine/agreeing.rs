//! [`Agreeing`]: which answers of this node's wait for other nodes, and what is known of earlier ones.
//!
//! One round a question at a time; whoever asks meanwhile waits for the same. Decides only: the engine
//! resolves, proposes, answers and forgets.

use std::collections::{HashMap, VecDeque};

use resolver::agreement::{Answer, Key, Mode};
use resolver::iterate::{Outcome, Question};

use crate::agreement::{Proposal, Verdict};

/// Answers whose verdict is remembered, at most.
const KNOWN_MAX: usize = 131_072;
/// How long an answer is remembered that others refuse: as long it is not proposed again.
const REFUSED_MS: u64 = 30_000;
/// The same for one that too few spoke of.
const UNDECIDED_MS: u64 = 1_000;
/// Rounds that one client's question waits for: answers may change between two.
const ROUNDS_MAX: u8 = 3;
/// How long a question may take beyond what its agreement may.
const WAITING_SHARE: usize = 2;

/// What becomes of an answer that was found.
#[derive(Debug)]
pub(super) enum Judgement {
    /// It is given, and may be kept for so many seconds at most.
    Give(u32),
    /// It is given and kept; others are asked what they think of it.
    GiveAndPropose(Proposal),
    /// It waits for a round; this is what to propose if that is to begin.
    Wait(Key, Option<Proposal>),
    /// It is not given; why.
    Fail(&'static str),
}

/// Nobody else has found this.
pub(super) const REFUSED: &str = "other nodes of the cluster find another answer";
/// Too few have found anything.
pub(super) const UNDECIDED: &str = "too few nodes of the cluster have found this answer in time";
/// It is none that nodes can agree on.
const UNFIT: &str = "nodes cannot agree on an answer of this kind";
/// There is too much to do.
pub(super) const BUSY: &str = "too many answers wait for agreement";

#[derive(Clone, Copy, Debug)]
struct Known {
    digest: [u8; 32],
    verdict: Verdict,
    until_ms: u64,
}

#[derive(Debug)]
struct Round<T> {
    number: u64,
    waiting: Vec<T>,
}

/// The rounds of this node; `T` is what waits.
#[derive(Debug)]
pub(super) struct Agreeing<T> {
    timeout_ms: u64,
    waiting_max: usize,
    rounds: HashMap<Key, Round<T>>,
    waiting: usize,
    next_number: u64,
    /// When each round ends at the latest: all last equally long.
    deadlines: VecDeque<(u64, Key, u64)>,
    /// Two generations, of which the older gives way.
    known: HashMap<Key, Known>,
    known_before: HashMap<Key, Known>,
}

impl<T> Agreeing<T> {
    /// Rounds that last `timeout_ms` at most; so many questions may be under way in all.
    pub(super) fn new(timeout_ms: u64, questions_max: usize) -> Self {
        Self {
            timeout_ms,
            waiting_max: (questions_max / WAITING_SHARE).max(1),
            rounds: HashMap::new(),
            waiting: 0,
            next_number: 0,
            deadlines: VecDeque::new(),
            known: HashMap::new(),
            known_before: HashMap::new(),
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// What becomes of an answer, of which it is known that it needs the others' word. It has waited for so
    /// many rounds already.
    pub(super) fn judge(
        &self,
        now_ms: u64,
        mode: Mode,
        question: &Question,
        outcome: &Outcome,
        rounds: u8,
    ) -> Judgement {
        let fail = |text| match mode {
            Mode::Quorum => Judgement::Fail(text),
            // What others say is said behind the client's back.
            Mode::Optimistic | Mode::Off => Judgement::Give(u32::MAX),
        };
        let Some(answer) = Answer::of(question, outcome) else {
            return fail(UNFIT);
        };
        let key = Key::of(question);
        let digest = answer.digest(&key);
        if let Some(known) = self.find(&key).filter(|known| known.digest == digest) {
            let left_ms = known.until_ms.saturating_sub(now_ms);
            match known.verdict {
                Verdict::Agreed if left_ms > 0 || outcome.stale => {
                    let left_secs = left_ms.div_ceil(1_000);
                    return Judgement::Give(u32::try_from(left_secs).unwrap_or(u32::MAX));
                }
                // Whoever takes it unasked may have it, and nobody after him.
                Verdict::Refused if left_ms > 0 && mode != Mode::Quorum => {
                    return Judgement::Give(0);
                }
                Verdict::Refused if left_ms > 0 => return Judgement::Fail(REFUSED),
                Verdict::Undecided if left_ms > 0 => return fail(UNDECIDED),
                _ => {}
            }
        }
        if outcome.stale {
            return fail(UNDECIDED); // The servers are silent for the others, too.
        }
        if rounds >= ROUNDS_MAX {
            return fail(UNDECIDED);
        }
        let is_new = !self.rounds.contains_key(&key);
        let proposal = is_new.then(|| Proposal {
            key: key.clone(),
            digest,
            records: answer.encode().into(),
            ttl_secs: outcome.ttl_secs,
        });
        match (mode, proposal) {
            (Mode::Quorum, _) if self.waiting >= self.waiting_max => Judgement::Fail(BUSY),
            (Mode::Quorum, proposal) => Judgement::Wait(key, proposal),
            (_, Some(proposal)) if self.rounds.len() < self.waiting_max => {
                Judgement::GiveAndPropose(proposal)
            }
            _ => Judgement::Give(u32::MAX),
        }
    }

    /// A round begins.
    pub(super) fn begin(&mut self, now_ms: u64, key: Key) {
        let number = self.next_number;
        self.next_number += 1;
        let deadline_ms = now_ms + self.timeout_ms;
        self.deadlines.push_back((deadline_ms, key.clone(), number));
        let round = Round {
            number,
            waiting: Vec::new(),
        };
        self.rounds.insert(key, round);
    }

    /// Waits for a round that has begun; gives it back if there is none.
    pub(super) fn wait(&mut self, key: &Key, waiting: T) -> Option<T> {
        match self.rounds.get_mut(key) {
            Some(round) => {
                round.waiting.push(waiting);
                self.waiting += 1;
                None
            }
            None => Some(waiting),
        }
    }

    /// A verdict has come, perhaps late. Gives those who waited for it.
    pub(super) fn decide(&mut self, now_ms: u64, proposal: &Proposal, verdict: Verdict) -> Vec<T> {
        let lasts_ms = match verdict {
            Verdict::Agreed => u64::from(proposal.ttl_secs).saturating_mul(1_000).max(1),
            Verdict::Refused => REFUSED_MS,
            Verdict::Undecided => UNDECIDED_MS,
        };
        let known = Known {
            digest: proposal.digest,
            verdict,
            until_ms: now_ms + lasts_ms,
        };
        self.learn(proposal.key.clone(), known);
        self.end(&proposal.key)
    }

    /// When the next round is over.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.deadlines.front().map(|(deadline_ms, ..)| *deadline_ms)
    }

    /// Those who have waited long enough. Bounded by rounds that are under way.
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some((deadline_ms, ..)) = self.deadlines.front()
            && *deadline_ms <= now_ms
            && let Some((_, key, number)) = self.deadlines.pop_front()
        {
            let round = self.rounds.get(&key);
            if round.is_some_and(|round| round.number == number) {
                expired.extend(self.end(&key));
            }
        }
        expired
    }

    /// Whether a quorum has agreed on this answer, and still stands by it.
    pub(super) fn is_agreed(&self, now_ms: u64, key: &Key, digest: &[u8; 32]) -> bool {
        self.find(key).is_some_and(|known| {
            known.verdict == Verdict::Agreed && known.digest == *digest && known.until_ms > now_ms
        })
    }

    fn end(&mut self, key: &Key) -> Vec<T> {
        let round = self.rounds.remove(key);
        let waiting = round.map_or_else(Vec::new, |round| round.waiting);
        self.waiting -= waiting.len();
        waiting
    }

    fn find(&self, key: &Key) -> Option<&Known> {
        self.known.get(key).or_else(|| self.known_before.get(key))
    }

    fn learn(&mut self, key: Key, known: Known) {
        if self.known.len() >= KNOWN_MAX / 2 {
            self.known_before = std::mem::take(&mut self.known);
        }
        self.known.insert(key, known);
    }
}

#[cfg(test)]
#[path = "agreeing_tests.rs"]
mod tests;
