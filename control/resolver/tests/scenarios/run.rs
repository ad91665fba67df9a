//! Runs a scenario: the resolver, faked servers, and a clock that only the scenario moves.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;

use hickory_proto::op::Message;
use resolver::iterate::{Effect, Input, Outcome, Question, Resolver, TransportError};
use resolver::policy::{Client, Course, Step as PolicyStep};
use wire::flag;

use crate::check::{Answer, show};
use crate::entry::Entry;
use crate::scenario::{Event, Scenario, Step};
use crate::servers::{Reply, Sent};

/// The clock at the start, in milliseconds.
const START_MS: u64 = 1_000_000;
/// Longest wait for an answer, or for a query that must leave.
const WAIT_MS_MAX: u64 = 60_000;
/// Queries and answers of one scenario.
const MESSAGES_MAX: usize = 20_000;
/// Queries that a report shows.
const SHOWN_MAX: usize = 60;

/// Runs with one seed; gives what was sent and answered. The error says where, what was expected,
/// what came, and what was sent.
pub(crate) fn run(scenario: &Scenario, seed: u64) -> Result<String, String> {
    let mut seed_bytes = [42; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut resolver = Resolver::new(scenario.settings.config.clone(), seed_bytes);
    resolver.set_time(START_MS, scenario.settings.unix_secs);
    let mut run = Run {
        scenario,
        resolver,
        now_ms: START_MS,
        step: 0,
        pending: Vec::new(),
        delayed: BTreeMap::new(),
        asked: BTreeMap::new(),
        answers: VecDeque::new(),
        next_ticket: 0,
        messages: 0,
        log: Vec::new(),
        report: String::new(),
    };
    for step in &scenario.steps {
        run.take(step).map_err(|text| {
            format!("{}: step {}: {text}{}", step.place, step.number, run.sent())
        })?;
    }
    if let Some(step) = scenario.steps.last() {
        // Whatever is still under way must end, too.
        run.pass(WAIT_MS_MAX)
            .map_err(|text| format!("{}: {text}", step.place))?;
        if !run.asked.is_empty() {
            return Err(format!(
                "{}: a query got no answer{}",
                step.place,
                run.sent()
            ));
        }
    }
    run.report.push_str(&run.sent());
    Ok(run.report)
}

/// A query that nobody has answered.
struct Pending {
    exchange: u64,
    sent: Sent,
    /// A server took it and says nothing more.
    is_taken: bool,
}

struct Run<'s> {
    scenario: &'s Scenario,
    resolver: Resolver,
    now_ms: u64,
    /// Number of the step that is next; it decides which ranges count.
    step: u64,
    pending: Vec<Pending>,
    /// Replies on their way, by time and order.
    delayed: BTreeMap<(u64, usize), (u64, Reply)>,
    asked: BTreeMap<u64, (&'s Entry, Course)>,
    answers: VecDeque<(&'s Entry, Answer)>,
    next_ticket: u64,
    messages: usize,
    log: Vec<Sent>,
    report: String,
}

impl<'s> Run<'s> {
    fn take(&mut self, step: &'s Step) -> Result<(), String> {
        self.step = step.number;
        let awaited = match &step.event {
            Event::CheckOutQuery(entry, to) => Some((entry, *to)),
            _ => None,
        };
        self.settle(awaited)?;
        match &step.event {
            Event::Nothing => Ok(()),
            Event::Query(entry) => self.ask(entry),
            Event::CheckAnswer(entry) => self.check_answer(entry),
            Event::CheckOutQuery(entry, to) => self.check_out_query(entry, *to),
            Event::Reply(entry, to) => self.reply(entry, *to),
            Event::Timeout(to) => self.fail_last(*to, TransportError::Timeout),
            Event::Error(to) => self.fail_last(*to, TransportError::Refused),
            Event::TimePasses { ms } => self.pass(*ms),
            Event::CheckSent { count, to, entry } => {
                let is_such = |sent: &&Sent| {
                    to.is_none_or(|to| sent.to.ip() == to)
                        && entry.as_ref().is_none_or(|entry| entry.fits(sent))
                };
                let found = self.log.iter().filter(is_such).count();
                if (count.min..=count.max).contains(&found) {
                    Ok(())
                } else {
                    Err(format!("{found} such queries have left, not {count:?}"))
                }
            }
            Event::Flush { name, subtree } => {
                self.resolver.flush(Some((name, *subtree)));
                Ok(())
            }
        }
    }

    fn ask(&mut self, entry: &'s Entry) -> Result<(), String> {
        let packet = entry.packet();
        let query = packet.questions.first().ok_or("no question")?;
        if packet.flags & flag::RD == 0 {
            return Err("a query without RD is not for a resolver".to_owned());
        }
        let mut question = Question::new(query.name().clone(), query.query_type());
        question.qclass = query.query_class();
        question.checking_disabled = packet.flags & flag::CD != 0;
        question.dnssec_ok = packet.dnssec_ok;
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let client = Client {
            address: None,
            is_tcp: false,
        };
        let (course, step) = self
            .scenario
            .settings
            .policy
            .begin(client, question, self.now_ms);
        self.follow(ticket, entry, course, step)
    }

    /// Does what the policy says.
    fn follow(
        &mut self,
        ticket: u64,
        entry: &'s Entry,
        course: Course,
        step: PolicyStep,
    ) -> Result<(), String> {
        match step {
            PolicyStep::Resolve(question) => {
                self.asked.insert(ticket, (entry, course));
                self.input(Input::Ask { ticket, question })
            }
            PolicyStep::Answer(outcome) => {
                self.answer(entry, &outcome);
                Ok(())
            }
            PolicyStep::Drop => Ok(()),
            PolicyStep::Truncate => Err("a truncated answer cannot be checked".to_owned()),
        }
    }

    /// Lets servers say what they have to say at once. A query that a step waits for is not
    /// answered before that step.
    fn settle(&mut self, awaited: Option<(&Entry, Option<IpAddr>)>) -> Result<(), String> {
        loop {
            if awaited.is_some_and(|(entry, to)| self.find(entry, to).is_some()) {
                return Ok(());
            }
            let open = self.pending.iter_mut().filter(|pending| !pending.is_taken);
            let mut said = open.filter_map(|pending| {
                let replies = self.scenario.replies(self.step, &pending.sent)?;
                pending.is_taken = true;
                Some((pending.exchange, replies))
            });
            let Some((exchange, replies)) = said.next() else {
                return Ok(());
            };
            self.send_back(exchange, replies)?;
        }
    }

    fn send_back(&mut self, exchange: u64, replies: Vec<Reply>) -> Result<(), String> {
        for reply in replies {
            if reply.after_ms > 0 {
                let key = (self.now_ms + reply.after_ms, self.messages);
                self.messages += 1;
                self.delayed.insert(key, (exchange, reply));
            } else {
                self.deliver(exchange, &reply)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, exchange: u64, reply: &Reply) -> Result<(), String> {
        self.input(Input::Reply {
            exchange,
            from: reply.from,
            message: &reply.bytes,
        })
    }

    /// A query without answer that fits.
    fn find(&self, entry: &Entry, to: Option<IpAddr>) -> Option<usize> {
        self.pending.iter().position(|pending| {
            to.is_none_or(|to| pending.sent.to.ip() == to) && entry.fits(&pending.sent)
        })
    }

    fn check_out_query(&mut self, entry: &Entry, to: Option<IpAddr>) -> Result<(), String> {
        let until_ms = self.now_ms + WAIT_MS_MAX;
        while self.find(entry, to).is_none() {
            if !self.advance(until_ms)? {
                return Err("no such query has left".to_owned());
            }
            self.settle(Some((entry, to)))?;
        }
        Ok(())
    }

    fn reply(&mut self, entry: &Entry, to: Option<IpAddr>) -> Result<(), String> {
        let at = self
            .find(entry, to)
            .ok_or("no query waits for this reply")?;
        let pending = &mut self.pending[at];
        pending.is_taken = true;
        let (exchange, replies) = (pending.exchange, entry.replies(&pending.sent));
        self.send_back(exchange, replies)
    }

    fn fail_last(&mut self, to: Option<IpAddr>, reason: TransportError) -> Result<(), String> {
        let is_meant = |pending: &Pending| to.is_none_or(|address| pending.sent.to.ip() == address);
        let at = self.pending.iter().rposition(is_meant);
        let last = self.pending.remove(at.ok_or("no query waits for a reply")?);
        self.input(Input::Failed {
            exchange: last.exchange,
            reason,
        })
    }

    fn check_answer(&mut self, entry: &'s Entry) -> Result<(), String> {
        let until_ms = self.now_ms + WAIT_MS_MAX;
        loop {
            let fitting = self
                .answers
                .iter()
                .position(|(_, answer)| answer.differences(entry).is_empty());
            if let Some(at) = fitting {
                self.answers.remove(at);
                return Ok(());
            }
            if self.asked.is_empty() || !self.advance(until_ms)? {
                break;
            }
            self.settle(None)?;
        }
        let wanted = show(entry.packet());
        let Some((_, answer)) = self.answers.front() else {
            return Err(format!("there is no answer\n  expected:\n{wanted}"));
        };
        let differing = answer.differences(entry).join(", ");
        let mut wanted_matches = String::new();
        for wanted in &entry.matches {
            let _ = write!(wanted_matches, " {wanted:?}");
        }
        Err(format!(
            "the answer differs in: {differing}\n  expected ({}):\n{wanted}  actual:\n{answer}",
            wanted_matches.trim_start()
        ))
    }

    /// Lets time pass with all that happens meanwhile.
    fn pass(&mut self, ms: u64) -> Result<(), String> {
        let until_ms = self.now_ms + ms;
        while self.advance(until_ms)? {
            self.settle(None)?;
        }
        self.now_ms = until_ms;
        Ok(())
    }

    /// Goes to the next thing that happens by itself, if that is not after `until_ms`.
    fn advance(&mut self, until_ms: u64) -> Result<bool, String> {
        let reply_ms = self.delayed.first_key_value().map(|(key, _)| key.0);
        let tick_ms = self.resolver.next_deadline();
        let next_ms = reply_ms.into_iter().chain(tick_ms).min();
        let Some(next_ms) = next_ms.filter(|ms| *ms <= until_ms) else {
            return Ok(false);
        };
        self.now_ms = self.now_ms.max(next_ms);
        match self.delayed.first_entry() {
            Some(first) if first.key().0 <= next_ms => {
                let (exchange, reply) = first.remove();
                self.deliver(exchange, &reply)?;
            }
            _ => self.input(Input::Tick)?,
        }
        Ok(true)
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), String> {
        let mut effects = Vec::new();
        self.resolver.step(self.now_ms, input, &mut effects);
        for effect in effects {
            self.messages += 1;
            if self.messages > MESSAGES_MAX {
                return Err(format!("more than {MESSAGES_MAX} messages"));
            }
            match effect {
                Effect::Send {
                    exchange,
                    server,
                    transport,
                    message: raw,
                    ..
                } => {
                    let message = Message::from_vec(&raw).map_err(|error| error.to_string())?;
                    let sent = Sent {
                        at_ms: self.now_ms - START_MS,
                        to: server,
                        transport,
                        message,
                        raw,
                    };
                    self.log.push(sent.clone());
                    self.pending.push(Pending {
                        exchange,
                        sent,
                        is_taken: false,
                    });
                }
                Effect::Cancel { exchange } => {
                    self.pending.retain(|pending| pending.exchange != exchange);
                }
                Effect::Done { ticket, outcome } => self.done(ticket, outcome)?,
            }
        }
        Ok(())
    }

    fn done(&mut self, ticket: u64, outcome: Outcome) -> Result<(), String> {
        let (entry, mut course) = self
            .asked
            .remove(&ticket)
            .ok_or("a query was answered twice")?;
        let (resolver, now_ms) = (&self.resolver, self.now_ms);
        let known = |name: &_, rtype| resolver.known_records(now_ms, name, rtype);
        let policy = &self.scenario.settings.policy;
        let step = policy.go_on(&mut course, outcome, &known);
        self.follow(ticket, entry, course, step)
    }

    fn answer(&mut self, entry: &'s Entry, outcome: &Outcome) {
        let answer = Answer::new(entry.packet(), outcome);
        let _ = write!(
            self.report,
            "{:>8} ms  answer\n{answer}",
            self.now_ms - START_MS
        );
        self.answers.push_back((entry, answer));
    }

    /// The last queries that left, for people.
    fn sent(&self) -> String {
        let skipped = self.log.len().saturating_sub(SHOWN_MAX);
        let mut out = String::from("\n  queries sent:\n");
        if skipped > 0 {
            let _ = writeln!(out, "  ({skipped} before these)");
        }
        for sent in self.log.iter().skip(skipped) {
            let _ = writeln!(out, "{sent}");
        }
        out
    }
}
