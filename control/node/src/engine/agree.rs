//! Answers on their way through agreement: what this node found is judged before the client has it, and what
//! other nodes found is looked up here.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use resolver::agreement::{Answer, Key, Mode};
use resolver::iterate::{Input, Outcome, Question, extended_error};
use resolver::policy::Course;
use tokio::sync::oneshot;

use super::agreeing::{Agreeing, BUSY, Judgement, REFUSED, UNDECIDED};
use super::question::{client, question};
use super::{Asked, Engine};
use crate::agreement::{
    AgreementHandle, Decided, Extension, Found, Inquiry, Proposal, Verdict, certificate_hash,
};
use crate::clock;
use crate::front::Request;
use crate::inquiries::Admission;

/// An answer that waits for other nodes.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) asked: Box<Asked>,
    pub(super) course: Box<Course>,
    pub(super) outcome: Outcome,
    pub(super) from_cache: bool,
    pub(super) mode: Mode,
    pub(super) question: Question,
    /// How many rounds it has waited for.
    pub(super) rounds: u8,
}

impl Engine {
    /// Asks other nodes from now on; nobody waits longer for them than this.
    pub(crate) fn set_agreement(&mut self, handle: AgreementHandle, timeout: Duration) {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.agreeing = Agreeing::new(timeout_ms, self.questions_max);
        self.agreement = Some(handle);
    }

    /// What clients are told that send the extension.
    pub(crate) fn extension(&self) -> Extension {
        self.extension.clone()
    }

    /// How a question's answers are agreed on; `None` if they are not.
    pub(super) fn mode(&self, course: &Course, question: &Question) -> Option<(Mode, Question)> {
        let mode = self.policy.agreement(course, question).mode;
        (mode != Mode::Off).then(|| (mode, question.clone()))
    }

    /// Something was found whose agreement matters.
    pub(super) fn judge(&mut self, now_ms: u64, mut parked: Parked) {
        let outcome = &parked.outcome;
        let is_answer = matches!(
            outcome.rcode,
            ResponseCode::NoError | ResponseCode::NXDomain
        );
        if outcome.authentic || !is_answer || outcome.subnet_scope.is_some() {
            if outcome.authentic {
                self.front.counters().validation_secure.increment();
            }
            return self.let_go(parked);
        }
        let (mode, rounds) = (parked.mode, parked.rounds);
        let judgement = self
            .agreeing
            .judge(now_ms, mode, &parked.question, outcome, rounds);
        match judgement {
            Judgement::Give(ttl_secs) => {
                parked.outcome.ttl_secs = parked.outcome.ttl_secs.min(ttl_secs);
                self.let_go(parked);
            }
            Judgement::GiveAndPropose(proposal) => {
                let key = proposal.key.clone();
                if self.propose(proposal) {
                    self.agreeing.begin(now_ms, key);
                }
                self.let_go(parked);
            }
            Judgement::Wait(key, proposal) => {
                if let Some(proposal) = proposal {
                    if !self.propose(proposal) {
                        return self.fail(parked, BUSY);
                    }
                    self.agreeing.begin(now_ms, key.clone());
                }
                self.park(&key, parked);
            }
            Judgement::Fail(text) => self.fail(parked, text),
        }
    }

    fn propose(&self, proposal: Proposal) -> bool {
        let handle = self.agreement.as_ref();
        handle.is_some_and(|handle| handle.propose(proposal))
    }

    fn park(&mut self, key: &Key, mut parked: Parked) {
        parked.rounds += 1;
        if let Some(client) = client(&parked.asked) {
            self.by_client.take(client);
        }
        if let Some(back) = self.agreeing.wait(key, parked) {
            self.unpark(&back);
            self.fail(back, UNDECIDED);
        }
        self.note_waiting();
    }

    fn unpark(&mut self, parked: &Parked) {
        if let Some(client) = client(&parked.asked) {
            self.by_client.give_back(client);
        }
    }

    fn note_waiting(&self) {
        let waiting = self.agreeing.waiting() as u64;
        self.front.counters().validation_waiting.set(waiting);
    }

    fn let_go(&mut self, parked: Parked) {
        let Parked {
            asked,
            course,
            outcome,
            from_cache,
            ..
        } = parked;
        self.arrive(asked, outcome, from_cache, course);
    }

    /// Gives SERVFAIL with the reason: RFC 8914 has no code for it.
    fn fail(&mut self, mut parked: Parked, text: &str) {
        self.front.counters().validation_failures.increment();
        let mut outcome = Outcome::empty(ResponseCode::ServFail);
        outcome.add_extended_error(extended_error::OTHER, text.to_owned());
        outcome.trace = parked.outcome.trace.take();
        parked.outcome = outcome;
        self.let_go(parked);
    }

    /// Verdicts have come.
    pub(super) fn on_decided(&mut self, decided: Vec<Decided>) {
        let now_ms = clock::now_ms();
        for (proposal, verdict) in decided {
            let counters = self.front.counters();
            match verdict {
                Verdict::Agreed => counters.validation_agreed.increment(),
                Verdict::Refused => counters.validation_refused.increment(),
                Verdict::Undecided => counters.validation_undecided.increment(),
            }
            if verdict == Verdict::Refused {
                self.purge(&proposal);
            }
            for parked in self.agreeing.decide(now_ms, &proposal, verdict) {
                self.unpark(&parked);
                self.judge(now_ms, parked);
            }
        }
        self.note_waiting();
    }

    /// Rounds whose time is up.
    pub(super) fn expire_rounds(&mut self) {
        for parked in self.agreeing.expire(clock::now_ms()) {
            self.unpark(&parked);
            self.fail(parked, UNDECIDED);
        }
        self.note_waiting();
    }

    /// Forgets what others refuse: here, and where it may have been given away already.
    fn purge(&mut self, proposal: &Proposal) {
        tracing::warn!(name = %show(&proposal.key.name), qtype = proposal.key.qtype, "{REFUSED}: forgotten");
        self.front.counters().validation_purges.increment();
        let answer = Answer::decode(&proposal.records).ok();
        let owners = answer.iter().flat_map(Answer::owners);
        let names = [&*proposal.key.name].into_iter().chain(owners);
        let names: Vec<_> = names.filter_map(name_of).collect();
        for name in &names {
            self.resolver.flush(Some((name, false)));
        }
        // The next answer would come from the same forger, and those of all names beside it.
        self.resolver.doubt(clock::now_ms(), &names);
        let (done, _) = oneshot::channel(); // Nobody waits.
        let name = Some((proposal.key.name.to_vec(), false));
        let request = Request::Flush { name, done };
        if let Err(error) = self.front.request(request) {
            let front = self.front.clone();
            let request = error.into_inner();
            tokio::spawn(async move { front.insist(request).await });
        }
    }

    /// Looks up for other nodes: no policy, no agreement of its own.
    pub(super) fn on_inquiries(&mut self, inquiries: Vec<Inquiry>) {
        for inquiry in inquiries {
            let Some(question) = inquiry.key.question() else {
                self.on_found(&inquiry, None);
                continue;
            };
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            let (key, proposer) = (inquiry.key.clone(), inquiry.proposer);
            match self.inquiries.admit(ticket, key, proposer, inquiry.clone()) {
                Admission::Begin => self.step(Input::Ask { ticket, question }),
                Admission::Joined => {}
                // What is here already takes no place.
                Admission::Full => {
                    self.set_time();
                    let found = self.resolver.lookup_cache(clock::now_ms(), &question);
                    let found = found.as_ref().map(|outcome| (&question, outcome));
                    self.on_found(&inquiry, found);
                }
            }
        }
    }

    /// Something was found for another node. False if it was not asked for by one.
    pub(super) fn take_inquiry(&mut self, ticket: u64, outcome: &Outcome) -> bool {
        let Some((key, inquiries)) = self.inquiries.finish(ticket) else {
            return false;
        };
        let question = key.question();
        let found = question.as_ref().map(|question| (question, outcome));
        for inquiry in &inquiries {
            self.on_found(inquiry, found);
        }
        true
    }

    fn on_found(&self, inquiry: &Inquiry, found: Option<(&Question, &Outcome)>) {
        let Some(handle) = &self.agreement else {
            return;
        };
        // What is past its time here says nothing against what is new there.
        let found = found.filter(|(_, outcome)| !outcome.stale);
        let found = Found {
            answer: found.and_then(|(question, outcome)| Answer::of(question, outcome)),
            is_secure: found.is_some_and(|(_, outcome)| outcome.authentic),
            vantage: self.policy.agreement_for_all(&inquiry.key.name).vantage,
        };
        handle.found(inquiry.token, found);
    }

    /// Whether this may be given to those for whom nothing is looked up.
    pub(super) fn is_settled(
        &self,
        agreement: Option<&(Mode, Question)>,
        outcome: &Outcome,
    ) -> bool {
        match agreement {
            Some((Mode::Quorum, question)) => {
                outcome.authentic || self.is_agreed(question, outcome)
            }
            _ => true,
        }
    }

    fn is_agreed(&self, question: &Question, outcome: &Outcome) -> bool {
        let (key, answer) = (Key::of(question), Answer::of(question, outcome));
        answer.is_some_and(|answer| {
            let digest = answer.digest(&key);
            self.agreeing.is_agreed(clock::now_ms(), &key, &digest)
        })
    }

    /// What the extension says of an answer.
    pub(super) fn extension_for(&self, asked: &Asked, outcome: &Outcome) -> Option<[u8; 16]> {
        if !asked.query.has_extension() {
            return None;
        }
        let question = question(asked)?;
        let (key, answer) = (Key::of(&question), Answer::of(&question, outcome));
        let digest = answer.map(|answer| answer.digest(&key));
        let agreed = digest.filter(|digest| self.agreeing.is_agreed(clock::now_ms(), &key, digest));
        self.extension.data(match agreed {
            Some(digest) => certificate_hash(&digest),
            None => self.extension.certificate_of(asked.query.qname()),
        })
    }
}

fn name_of(wire: &[u8]) -> Option<Name> {
    Name::read(&mut BinDecoder::new(wire)).ok()
}

fn show(wire: &[u8]) -> String {
    name_of(wire).map_or_else(String::new, |name| name.to_string())
}

#[cfg(test)]
#[path = "agree_tests.rs"]
mod tests;
