//! [`Ballots`]: what other nodes propose. Each item is resolved, or judged, here too, and one vote goes back a bundle.
//!
//! A vote waits a short while for slow items and then says of those that it has no answer: the proposer asks
//! again later. What a proposer may have resolved here is bounded by rate and by number.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use consensus::{Configuration, Digest, NodeId};
use ledger::{
    ANSWER_AGE_MS_MAX, ANSWER_TTL_SECONDS_MAX, AnswerBundle, AnswerItem, Opinion, Security,
};
use pki::{Request, Status};
use resolver::agreement::{Answer, Key, Vantage};

use super::claim::{CLAIM_TTL_SECS_MAX, Claim, is_claim};

/// How long a vote waits for the answers of this node.
pub(super) const VOTE_WAIT_US: u64 = 100_000;
/// Bundles of one proposer that wait.
const BALLOTS_MAX: usize = 256;
/// Questions under way for proposers; none of them may have more than are left.
const INQUIRIES_MAX: usize = 32_768;
/// Names of one proposer.
const NAMES: Rate = Rate {
    per_second: 10_000,
    burst: 5_000,
};
/// Certificates of one proposer: to judge one takes half a millisecond.
const CERTIFICATES: Rate = Rate {
    per_second: 500,
    burst: 250,
};

/// What is to be resolved for a vote. No policy, no agreement of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inquiry {
    /// Comes back with the answer.
    pub token: u64,
    /// Who proposes an answer to it.
    pub proposer: NodeId,
    /// What is asked.
    pub key: Key,
}

/// A certificate to be judged for a vote, without agreement of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateInquiry {
    /// Comes back with the verdict.
    pub token: u64,
    /// Who claims something of it.
    pub proposer: NodeId,
    /// What is asked.
    pub request: Arc<Request>,
}

/// All that is to be found out for a vote.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inquiries {
    pub(super) names: Vec<Inquiry>,
    pub(super) certificates: Vec<CertificateInquiry>,
}

/// What an item says.
#[derive(Debug)]
enum Proposed {
    Answer(Answer),
    Claim(Claim),
}

/// What was found for an inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// `None`: there is no answer that could be compared.
    pub answer: Option<Answer>,
    /// Proven by DNSSEC.
    pub is_secure: bool,
    /// How much answers to this question may differ, as this node is configured.
    pub vantage: Vantage,
}

/// Why a bundle is not voted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// It is not its sender's, or its sender has no standing.
    NotSender,
    /// It is of another time.
    OtherTime,
    /// It has no items.
    Empty,
    /// Its sender asks for too much.
    TooMany,
}

/// A vote that is ready to be signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) proposer: NodeId,
    pub(super) bundle: Digest,
    pub(super) opinions: Vec<Opinion>,
    /// Whether one of them is a disagreement that no difference of place explains.
    pub(super) contradicts: bool,
}

#[derive(Debug)]
struct Open {
    proposer: NodeId,
    bundle: Digest,
    items: Vec<(Key, Option<Proposed>, Security)>,
    opinions: Vec<Option<Opinion>>,
    missing: usize,
    contradicts: bool,
    /// Tokens of the items follow each other.
    first_token: u64,
    deadline_us: u64,
}

/// How many items a second, and how many at once.
#[derive(Debug)]
struct Rate {
    per_second: u64,
    burst: u64,
}

#[derive(Debug)]
struct Bucket {
    rate: &'static Rate,
    level: u64,
    at_us: u64,
}

impl Bucket {
    fn new(rate: &'static Rate, now_us: u64) -> Self {
        Self {
            rate,
            level: rate.burst,
            at_us: now_us,
        }
    }

    fn fill(&mut self, now_us: u64) {
        let since_us = now_us.saturating_sub(self.at_us);
        let gained = since_us.saturating_mul(self.rate.per_second) / 1_000_000;
        if gained > 0 {
            self.level = self.level.saturating_add(gained).min(self.rate.burst);
            self.at_us = now_us;
        }
    }
}

/// What a proposer may still ask for.
#[derive(Debug)]
struct Allowance {
    names: Bucket,
    certificates: Bucket,
}

impl Allowance {
    fn new(now_us: u64) -> Self {
        Self {
            names: Bucket::new(&NAMES, now_us),
            certificates: Bucket::new(&CERTIFICATES, now_us),
        }
    }

    /// Takes what a bundle needs, or nothing if it is not there.
    fn take(&mut self, now_us: u64, bundle: &AnswerBundle) -> bool {
        let is_of_claim = |item: &&AnswerItem| is_claim(&key(item));
        let claims = bundle.items.iter().filter(is_of_claim).count();
        let parts = [
            (&mut self.certificates, claims),
            (&mut self.names, bundle.items.len() - claims),
        ];
        let parts = parts.map(|(bucket, count)| {
            bucket.fill(now_us);
            (bucket, count as u64)
        });
        let has_enough = parts.iter().all(|(bucket, count)| bucket.level >= *count);
        if has_enough {
            parts
                .into_iter()
                .for_each(|(bucket, count)| bucket.level -= count);
        }
        has_enough
    }
}

/// What other nodes propose.
#[derive(Debug, Default)]
pub(super) struct Ballots {
    open: BTreeMap<u64, Open>,
    next: u64,
    /// Ballot and item of each question under way.
    inquiries: HashMap<u64, (u64, usize)>,
    next_token: u64,
    allowances: BTreeMap<NodeId, Allowance>,
}

impl Ballots {
    /// A peer proposes. Gives what is to be found out, and votes that are complete without.
    ///
    /// # Errors
    /// It is not voted on.
    pub(super) fn on_bundle(
        &mut self,
        (now_us, unix_ms): (u64, u64),
        from: NodeId,
        bundle: &AnswerBundle,
        configuration: &Configuration,
    ) -> Result<(Inquiries, Option<Ballot>), Turned> {
        let is_known = configuration.member(from).is_some() && !configuration.is_isolated(from);
        if bundle.proposer != from || !is_known {
            return Err(Turned::NotSender);
        }
        if bundle.time_ms.abs_diff(unix_ms) > ANSWER_AGE_MS_MAX {
            return Err(Turned::OtherTime);
        }
        let count = bundle.items.len();
        if count == 0 {
            return Err(Turned::Empty);
        }
        self.allowances
            .retain(|id, _| configuration.member(*id).is_some());
        let allowance = self.allowances.entry(from);
        let allowance = allowance.or_insert_with(|| Allowance::new(now_us));
        let own = self.open.values().filter(|open| open.proposer == from);
        let (ballots, missing) = own.fold((0, 0), |(ballots, missing), open| {
            (ballots + 1, missing + open.missing)
        });
        if ballots >= BALLOTS_MAX
            || missing + count > INQUIRIES_MAX.saturating_sub(self.inquiries.len())
            || !allowance.take(now_us, bundle)
        {
            return Err(Turned::TooMany);
        }
        Ok(self.open(now_us, bundle))
    }

    fn open(&mut self, now_us: u64, bundle: &AnswerBundle) -> (Inquiries, Option<Ballot>) {
        let ballot = self.next;
        self.next += 1;
        let mut open = Open {
            proposer: bundle.proposer,
            bundle: bundle.digest(),
            items: Vec::with_capacity(bundle.items.len()),
            opinions: Vec::with_capacity(bundle.items.len()),
            missing: 0,
            contradicts: false,
            first_token: self.next_token,
            deadline_us: now_us + VOTE_WAIT_US,
        };
        let mut inquiries = Inquiries::default();
        for (index, item) in bundle.items.iter().enumerate() {
            let key = key(item);
            let proposed = proposed(item, &key);
            // What is not what it says it is needs no second look.
            let opinion = proposed.is_none().then_some(Opinion::Disagree);
            let token = self.next_token;
            self.next_token += 1;
            if let Some(proposed) = &proposed {
                self.inquiries.insert(token, (ballot, index));
                open.missing += 1;
                inquiries.push(token, bundle.proposer, &key, proposed);
            }
            open.contradicts |= opinion.is_some();
            open.opinions.push(opinion);
            open.items.push((key, proposed, item.security));
        }
        if open.missing == 0 {
            return (inquiries, Some(close(open)));
        }
        self.open.insert(ballot, open);
        (inquiries, None)
    }

    /// This node has an answer, or none. Gives the vote if it was the last one.
    pub(super) fn on_found(&mut self, token: u64, found: &Found) -> Option<Ballot> {
        self.settle(token, |key, proposed, security| match proposed {
            Proposed::Answer(answer) => {
                let opinion = judge(key, answer, security, found);
                let is_plain = found.is_secure || found.vantage == Vantage::Exact;
                (opinion, opinion == Opinion::Disagree && is_plain)
            }
            Proposed::Claim(_) => (Opinion::NoAnswer, false),
        })
    }

    /// This node has a verdict on a certificate, or none. Gives the vote if it was the last one. A disagreement contradicts
    /// nobody: authorities that one trusts and what they say of revocation come to honest nodes at different times.
    pub(super) fn on_judged(&mut self, token: u64, own: Option<Status>) -> Option<Ballot> {
        self.settle(token, |_, proposed, _| {
            let opinion = match (proposed, own) {
                (Proposed::Claim(claim), Some(own)) if own == claim.status => Opinion::Agree,
                (Proposed::Claim(_), Some(Status::Valid | Status::Invalid)) => Opinion::Disagree,
                _ => Opinion::NoAnswer,
            };
            (opinion, false)
        })
    }

    /// Takes the opinion on an item, and whether it contradicts the proposer.
    fn settle(
        &mut self,
        token: u64,
        opinion: impl FnOnce(&Key, &Proposed, Security) -> (Opinion, bool),
    ) -> Option<Ballot> {
        let (ballot, index) = self.inquiries.remove(&token)?;
        let open = self.open.get_mut(&ballot)?;
        let (key, proposed, security) = open.items.get(index)?;
        let (opinion, contradicts) = opinion(key, proposed.as_ref()?, *security);
        open.contradicts |= contradicts;
        *open.opinions.get_mut(index)? = Some(opinion);
        open.missing -= 1;
        if open.missing > 0 {
            return None;
        }
        self.open.remove(&ballot).map(close)
    }

    /// When [`tick`](Self::tick) is due. All wait equally long.
    pub(super) fn deadline_us(&self) -> Option<u64> {
        self.open.values().next().map(|open| open.deadline_us)
    }

    /// Votes whose time has come.
    pub(super) fn tick(&mut self, now_us: u64) -> Vec<Ballot> {
        let mut votes = Vec::new();
        while let Some(first) = self.open.first_entry()
            && first.get().deadline_us <= now_us
        {
            let open = first.remove();
            for (token, opinion) in (open.first_token..).zip(&open.opinions) {
                if opinion.is_none() {
                    self.inquiries.remove(&token); // What comes later is in this node's cache.
                }
            }
            votes.push(close(open));
        }
        votes
    }
}

impl Inquiries {
    fn push(&mut self, token: u64, proposer: NodeId, key: &Key, proposed: &Proposed) {
        match proposed {
            Proposed::Answer(_) => self.names.push(Inquiry {
                token,
                proposer,
                key: key.clone(),
            }),
            Proposed::Claim(claim) => self.certificates.push(CertificateInquiry {
                token,
                proposer,
                request: Arc::clone(&claim.request),
            }),
        }
    }
}

fn close(open: Open) -> Ballot {
    let opinions = open.opinions.into_iter();
    Ballot {
        proposer: open.proposer,
        bundle: open.bundle,
        opinions: opinions
            .map(|opinion| opinion.unwrap_or(Opinion::NoAnswer))
            .collect(),
        contradicts: open.contradicts,
    }
}

/// The question of an item.
fn key(item: &AnswerItem) -> Key {
    Key {
        name: item.question.name.clone(),
        qtype: item.question.qtype,
        qclass: item.question.qclass,
    }
}

/// What an item carries, if it is the one of its digest and to be kept no longer than any may be.
fn proposed(item: &AnswerItem, key: &Key) -> Option<Proposed> {
    let (proposed, digest, ttl_max) = match is_claim(key) {
        true => {
            let claim = Claim::decode(&item.records).ok()?;
            let is_whole = claim.key() == *key && item.security == Security::Indeterminate;
            let digest = is_whole.then(|| claim.digest())?;
            (Proposed::Claim(claim), digest, CLAIM_TTL_SECS_MAX)
        }
        false => {
            let answer = Answer::decode(&item.records).ok()?;
            let digest = answer.digest(key);
            (Proposed::Answer(answer), digest, ANSWER_TTL_SECONDS_MAX)
        }
    };
    (digest == item.digest.0 && item.ttl <= ttl_max).then_some(proposed)
}

fn judge(key: &Key, proposed: &Answer, security: Security, found: &Found) -> Opinion {
    let Some(own) = &found.answer else {
        return Opinion::NoAnswer;
    };
    // Nobody else's word makes an answer secure.
    let claims_too_much = security == Security::Secure && !found.is_secure;
    match own.supports(key, proposed, found.vantage) && !claims_too_much {
        true => Opinion::Agree,
        false => Opinion::Disagree,
    }
}

#[cfg(test)]
#[path = "ballots_tests.rs"]
mod tests;
