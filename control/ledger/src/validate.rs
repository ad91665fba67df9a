//! Answers with votes: which of them a quorum has validated, and what that says of proposer and voters.

use consensus::NodeId;

use crate::answer::{AnswerItem, Opinion, ValidatedAnswers, Verdict};
use crate::answers::{ANSWER_TTL_SECONDS_MAX, Answer};
use crate::outcome::{Outcome, Reason};
use crate::report::Event;
use crate::standing::Cause;
use crate::state::{Key, State};

/// How far the proposer's time may lie from the batch's: votes for a bundle must not come back later.
pub const ANSWER_AGE_MS_MAX: u64 = 60_000;

impl State {
    /// Counts votes, keeps what is validated.
    ///
    /// A proposer of whose answers one is refused gets one mark for the bundle: more voters than may be faulty disagree, so an
    /// honest one does. But this one may have been told something else; only where a quorum disagrees, and so more
    /// honest voters than may be faulty, does the mark lead to isolation. A voter who disagrees with a quorum gets none: honest nodes at different places are told different
    /// things, and only the share of its agreement shows that it is often alone.
    pub(crate) fn validate(
        &mut self,
        client: NodeId,
        answers: &ValidatedAnswers,
    ) -> Result<Outcome, Reason> {
        let bundle = &answers.bundle;
        if bundle.proposer != client {
            return Err(Reason::NotProposer);
        }
        if bundle.time_ms.abs_diff(self.time_ms) > ANSWER_AGE_MS_MAX {
            return Err(Reason::WrongTime);
        }
        let heard: Vec<NodeId> = {
            let signers: Vec<_> = answers.votes.iter().map(|vote| vote.signer).collect();
            self.heard(&signers).collect()
        };
        let mut verdicts = Vec::with_capacity(bundle.items.len());
        let mut is_outvoted = false;
        for (index, item) in bundle.items.iter().enumerate() {
            let votes = answers.votes.iter();
            let votes = votes.filter(|vote| heard.binary_search(&vote.signer).is_ok());
            let opinions = votes.filter_map(|vote| {
                let opinion = vote.opinions.get(index)?;
                Some((vote.signer, *opinion))
            });
            let own = self.is_voter(client).then_some((client, Opinion::Agree));
            let opinions: Vec<_> = opinions.chain(own).collect();
            let disagreed = opinions.iter().filter(|(_, o)| *o == Opinion::Disagree);
            is_outvoted |= disagreed.count() >= self.quorum();
            verdicts.push(self.judge(item, &opinions));
        }
        let refused = verdicts.iter().filter(|v| **v == Verdict::Refused).count();
        if let Ok(refused @ 1..) = u32::try_from(refused) {
            let change = i64::from(Event::Contradiction.weight());
            let change = match is_outvoted {
                true => change,
                false => self.no_further_than(self.doubt_floor(), client, change),
            };
            let window = self.window();
            if let Some(standing) = self.standings.get_mut(&client) {
                standing.contradict(window);
            }
            self.mark(client, Cause::RefusedAnswers, refused, change, Vec::new());
        }
        Ok(Outcome::Answers(verdicts))
    }

    fn judge(&mut self, item: &AnswerItem, opinions: &[(NodeId, Opinion)]) -> Verdict {
        let count = |wanted| opinions.iter().filter(|(_, o)| *o == wanted).count();
        let (agreed, disagreed) = (count(Opinion::Agree), count(Opinion::Disagree));
        if agreed < self.quorum() {
            return match disagreed > self.faults_max() {
                true => Verdict::Refused,
                false => Verdict::Undecided,
            };
        }
        for (node, opinion) in opinions.iter().filter(|(_, o)| *o != Opinion::NoAnswer) {
            if let Some(standing) = self.standings.get_mut(node) {
                let agrees = u64::from(*opinion == Opinion::Agree);
                standing.answers_judged = standing.answers_judged.saturating_add(1);
                standing.answers_agreed = standing.answers_agreed.saturating_add(agrees);
                self.dirty.insert(Key::Standing(*node));
            }
        }
        let ttl = u64::from(item.ttl.min(ANSWER_TTL_SECONDS_MAX));
        if ttl > 0 {
            let answer = Answer {
                digest: item.digest,
                validated_ms: self.time_ms,
                expires_ms: self.time_ms.saturating_add(ttl * 1000),
                security: item.security,
                agreed: u32::try_from(agreed).unwrap_or(u32::MAX),
            };
            let gone = self.answers.insert(&item.question, answer);
            let question = item.question.clone();
            self.dirty
                .extend(gone.into_iter().chain([question]).map(Key::Answer));
        }
        Verdict::Validated
    }
}
