//! The way of one question through the policy: local data, policy zones, block lists, ANY and DNS64
//! before it is resolved; rebinding protection, policy zones, block lists and DNS64 after.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::any::minimal_any;
use super::blocklist::BlockList;
use super::chain::Chain;
use super::local::LocalAnswer;
use super::names::key;
use super::rpz::{Action, Found, Override, RpzZone, alias_of, expand};
use super::rules::{Policy, Rules};
use super::servers::{Known, Servers};
use super::step::{Client, Hit, Kind, Step};
use crate::iterate::{Outcome, Question, TraceEvent, TraceKind, extended_error};

/// Aliases made here that one question may pass; more are a circle.
const ALIASES_MAX: usize = 8;
/// TTL of the addresses of `ipv4only.arpa.`, in seconds (RFC 8880 §7.1 leaves it open).
const IPV4ONLY_TTL_SECS: u32 = 86_400;

/// Where one question stands.
#[derive(Clone, Debug)]
pub struct Course {
    client: Client,
    view: usize,
    /// The question now: its name changes with aliases that are made here.
    current: Question,
    /// Those aliases, before the rest of the answer.
    prefix: Vec<Record>,
    /// Whether policy zones and lists have nothing more to say.
    is_exempt: bool,
    /// Whether the answer is not for others.
    is_private: bool,
    /// The outcome for IPv6 addresses, while those for IPv4 are resolved.
    first: Option<Box<Outcome>>,
    /// Aliases made here so far.
    hops: usize,
    /// The policy zone that such an alias came from.
    forged_by: Option<Arc<str>>,
    began_ms: u64,
    trace: Option<Vec<TraceEvent>>,
    hits: Vec<Hit>,
}

impl Course {
    /// What had something to say of the question, for counting. Asked for once.
    pub fn take_hits(&mut self) -> Vec<Hit> {
        std::mem::take(&mut self.hits)
    }

    pub(super) fn view(&self) -> usize {
        self.view
    }

    fn note(&mut self, kind: Kind, list: Option<&Arc<str>>) {
        self.note_hit(Hit {
            kind,
            list: list.cloned(),
            acts: true,
        });
    }

    fn note_hit(&mut self, hit: Hit) {
        if self.hits.contains(&hit) {
            return; // A zone that only counts sees some questions twice.
        }
        if let Some(trace) = &mut self.trace {
            let list = hit.list.as_deref().map(str::to_owned);
            trace.push(TraceEvent {
                at_ms: trace.last().map_or(self.began_ms, |event| event.at_ms),
                depth: 0,
                kind: TraceKind::Policy {
                    kind: hit.kind.word(),
                    list,
                },
            });
        }
        self.hits.push(hit);
    }

    /// Goes on with another name. False if there were too many.
    fn follow(&mut self, alias: Record, target: Name) -> bool {
        self.prefix.push(alias);
        self.current.qname = target;
        self.hops += 1;
        self.hops <= ALIASES_MAX
    }

    /// Goes on from one of the names of an answer as from one that was asked for.
    fn go_to(&mut self, chain: &Chain, place: usize) {
        self.prefix
            .extend(chain.aliases.iter().take(place).cloned());
        if let Some(name) = chain.names.get(place) {
            self.current.qname.clone_from(name);
        }
    }

    fn end(&mut self, mut outcome: Outcome) -> Step {
        if !self.prefix.is_empty() {
            let ttl_secs = self.prefix.iter().map(|record| record.ttl).min();
            outcome.ttl_secs = outcome.ttl_secs.min(ttl_secs.unwrap_or(0));
            outcome.authentic = false;
            let behind = std::mem::take(&mut outcome.answers);
            outcome.answers = std::mem::take(&mut self.prefix);
            outcome.answers.extend(behind);
        }
        if let Some(zone) = self.forged_by.take() {
            outcome.add_extended_error(extended_error::FORGED_ANSWER, zone.to_string());
        }
        if self.is_private {
            outcome.ttl_secs = 0;
        }
        outcome.trace = self.trace.take();
        Step::Answer(Box::new(outcome))
    }

    /// Ends where DNS64 is off, or was switched off after it had asked for IPv4 addresses: these are
    /// no answer then.
    fn end_without_dns64(&mut self, outcome: Outcome) -> Step {
        let outcome = self.first.take().map_or(outcome, |first| *first);
        self.end(outcome)
    }

    fn fail(&mut self) -> Step {
        self.prefix.clear();
        self.end(Outcome::empty(ResponseCode::ServFail))
    }
}

impl Policy {
    /// A question has come, at this time.
    #[must_use]
    pub fn begin(&self, client: Client, question: Question, now_ms: u64) -> (Course, Step) {
        let view = self.view_of(client.address);
        let rules = self.rules(view);
        let depends = rules.is_some_and(|rules| {
            let mut zones = self.zones(rules);
            zones.any(RpzZone::is_for_clients)
        });
        let mut course = Course {
            client,
            view,
            trace: question.trace.then(Vec::new),
            current: question,
            prefix: Vec::new(),
            is_exempt: false,
            is_private: self.is_private || view > 0 || depends,
            first: None,
            hops: 0,
            forged_by: None,
            began_ms: now_ms,
            hits: Vec::new(),
        };
        let step = self.ask(&mut course);
        (course, step)
    }

    /// What was to be resolved has been. `known` gives what the cache has of name servers.
    #[must_use]
    pub fn go_on(&self, course: &mut Course, mut outcome: Outcome, known: &Known<'_>) -> Step {
        if let (Some(trace), Some(more)) = (&mut course.trace, outcome.trace.take()) {
            trace.extend(more);
        }
        let Some(rules) = self.rules(course.view) else {
            return course.end_without_dns64(outcome);
        };
        if let Some(rebinding) = &rules.rebinding
            && rebinding.filter(&mut outcome)
        {
            course.note(Kind::Rebinding, None);
        }
        if !course.is_exempt
            && let Some(step) = self.judge(rules, course, &outcome, known)
        {
            return step;
        }
        let Some(dns64) = &rules.dns64 else {
            return course.end_without_dns64(outcome);
        };
        match course.first.take() {
            Some(first) => {
                let mut records = outcome.answers.iter();
                if records.any(|record| record.record_type() == RecordType::A) {
                    course.note(Kind::Dns64, None);
                }
                let answer = dns64.answer(*first, outcome);
                course.end(answer)
            }
            None => match dns64.second_question(&course.current, &outcome) {
                Some(second) => {
                    course.first = Some(Box::new(outcome));
                    Step::Resolve(second)
                }
                None => {
                    dns64.clean(&course.current, &mut outcome);
                    course.end(outcome)
                }
            },
        }
    }

    /// What is to be done before anything is resolved.
    fn ask(&self, course: &mut Course) -> Step {
        let Some(rules) = self.rules(course.view) else {
            return Step::Resolve(course.current.clone());
        };
        if let Some(step) = answer_locally(rules, course) {
            return step;
        }
        if !course.is_exempt {
            let name = key(&course.current.qname);
            if let Some(step) = self.ask_zones(rules, course, &name) {
                return step;
            }
            let waits = self.zones(rules).any(RpzZone::is_for_answers);
            if !course.is_exempt
                && !waits
                && let Some(list) = find_list(rules, &name)
            {
                return block(course, list);
            }
        }
        if rules.minimal_any
            && let Some(outcome) = minimal_any(&course.current)
        {
            course.note(Kind::Any, None);
            return course.end(outcome);
        }
        Step::Resolve(course.current.clone())
    }

    /// What the policy zones say to a question. Of those behind a zone that has to see the answer
    /// none is asked yet: the first zone wins, not the fastest (draft §5).
    fn ask_zones(&self, rules: &Rules, course: &mut Course, name: &[u8]) -> Option<Step> {
        for zone in self.zones(rules) {
            let client = zone.find_client(course.client.address);
            if let Some(found) = client.or_else(|| zone.find_name(name))
                && let Some(act) = permit(course, zone, found)
            {
                return self.act(course, zone, act);
            }
            if zone.is_for_answers() {
                return None;
            }
        }
        None
    }

    /// What policy zones and lists say to what was resolved: to the first name of the chain before the
    /// next, then the first zone before the next, then by the kind of trigger (draft §5). Addresses
    /// belong to the last name.
    fn judge(
        &self,
        rules: &Rules,
        course: &mut Course,
        outcome: &Outcome,
        known: &Known<'_>,
    ) -> Option<Step> {
        let chain = Chain::of(&course.current, outcome);
        let for_servers = self.zones(rules).any(RpzZone::is_for_servers);
        let last = chain.names.len() - 1;
        for (place, name) in chain.names.iter().enumerate() {
            let servers = for_servers.then(|| Servers::of(name, known));
            let name = key(name);
            for zone in self.zones(rules) {
                let client = course.client.address.filter(|_| place == 0);
                let answers = if place == last {
                    &outcome.answers[..]
                } else {
                    &[]
                };
                let found = zone
                    .find_client(client)
                    .or_else(|| zone.find_name(&name))
                    .or_else(|| zone.find_answer(answers))
                    .or_else(|| zone.find_servers(servers.as_ref()?));
                if let Some(found) = found
                    && let Some(found) = permit(course, zone, found)
                {
                    if !lets_through(course.client, &found.action) {
                        course.go_to(&chain, place);
                    }
                    return self.act(course, zone, found);
                }
            }
        }
        for (place, name) in chain.names.iter().enumerate() {
            if let Some(list) = find_list(rules, &key(name)) {
                course.go_to(&chain, place);
                return Some(block(course, list));
            }
        }
        None
    }

    /// Does what a rule says; `None` if that is to go on.
    fn act(&self, course: &mut Course, zone: &RpzZone, found: Found) -> Option<Step> {
        course.is_exempt = true;
        let (rcode, mut records) = match found.action {
            action if lets_through(course.client, &action) => return None,
            Action::Drop => return Some(Step::Drop),
            Action::PassThru => return None,
            Action::TcpOnly => return Some(Step::Truncate),
            Action::NxDomain => (ResponseCode::NXDomain, Vec::new()),
            Action::NoData => (ResponseCode::NoError, Vec::new()),
            Action::Data(records) => (ResponseCode::NoError, records),
        };
        let (qtype, qname) = (course.current.qtype, &course.current.qname);
        if let Some((target, ttl_secs)) = alias_of(&records) {
            let Some(target) = expand(target, qname) else {
                return Some(course.fail());
            };
            let data = RData::CNAME(CNAME(target.clone()));
            let alias = Record::from_rdata(qname.clone(), ttl_secs, data);
            if !matches!(qtype, RecordType::CNAME | RecordType::ANY) {
                course.first = None;
                course.forged_by = Some(Arc::clone(zone.name()));
                let goes_on = course.follow(alias, target);
                return Some(if goes_on {
                    self.ask(course)
                } else {
                    course.fail()
                });
            }
            records.retain(|record| record.record_type() != RecordType::CNAME);
            records.push(alias);
        }
        let mut outcome = Outcome::empty(rcode);
        let asked = |record: &Record| qtype == RecordType::ANY || record.record_type() == qtype;
        for mut record in records.into_iter().filter(asked) {
            record.name.clone_from(&course.current.qname);
            outcome.answers.push(record);
        }
        let code = match outcome.answers.is_empty() {
            true => extended_error::BLOCKED,
            false => extended_error::FORGED_ANSWER,
        };
        outcome.add_extended_error(code, zone.name().to_string());
        let (soa, ttl_secs) = zone.soa(found.ttl_secs);
        // In the additional section: it is that of the policy, not of the name (draft §6).
        outcome.additional.extend(soa);
        outcome.ttl_secs = ttl_secs;
        Some(course.end(outcome))
    }
}

/// Whether the client gets what was resolved.
fn lets_through(client: Client, action: &Action) -> bool {
    match action {
        Action::PassThru => true,
        Action::TcpOnly => client.is_tcp,
        _ => false,
    }
}

/// Counts a rule that was set off; `None` if it is not to act.
fn permit(course: &mut Course, zone: &RpzZone, found: Found) -> Option<Found> {
    let is_on = *zone.policy() != Override::Disabled;
    course.note_hit(Hit {
        kind: Kind::Rpz,
        list: Some(Arc::clone(zone.name())),
        acts: is_on && !lets_through(course.client, &found.action),
    });
    is_on.then_some(found)
}

/// The first list that has the name, unless it is allowed.
fn find_list<'r>(rules: &'r Rules, name: &[u8]) -> Option<&'r BlockList> {
    let lists = || rules.block_lists.iter().find(|list| list.covers(name));
    let list = (!rules.allow_names.covers(name)).then(lists)?;
    list.map(|list| &**list)
}

/// Answers as a list says.
fn block(course: &mut Course, list: &BlockList) -> Step {
    course.note(Kind::BlockList, Some(list.name()));
    let outcome = list.answer(&course.current);
    course.end(outcome)
}

/// What is known here: local data, and what DNS64 makes of names of its own.
fn answer_locally(rules: &Rules, course: &mut Course) -> Option<Step> {
    loop {
        let (alias, target) = match rules.local.find(&course.current) {
            Some((answer, is_special)) => {
                let kind = match is_special {
                    true => Kind::Special,
                    false => Kind::Local,
                };
                course.note(kind, None);
                match answer {
                    LocalAnswer::Answer(outcome) => return Some(course.end(*outcome)),
                    LocalAnswer::Drop => return Some(Step::Drop),
                    LocalAnswer::Alias(alias, target) => (*alias, target),
                }
            }
            None => {
                let dns64 = rules.dns64.as_ref()?;
                if let Some(outcome) = ipv4only(&course.current) {
                    course.note(Kind::Dns64, None);
                    let outcome = match course.current.qtype {
                        RecordType::AAAA => {
                            dns64.answer(Outcome::empty_for(IPV4ONLY_TTL_SECS), outcome)
                        }
                        _ => outcome,
                    };
                    return Some(course.end(outcome));
                }
                let (target, alias) = dns64.reverse(&course.current)?;
                course.note(Kind::Dns64, None);
                (alias, target)
            }
        };
        if !course.follow(alias, target) {
            return Some(course.fail());
        }
    }
}

impl Outcome {
    /// NOERROR and nothing, for so many seconds.
    fn empty_for(ttl_secs: u32) -> Self {
        Self {
            ttl_secs,
            ..Self::empty(ResponseCode::NoError)
        }
    }
}

/// The addresses of `ipv4only.arpa.` if that is asked for: by them clients find the prefix
/// (RFC 7050 §3), and who synthesises must not ask for them outside (RFC 8880 §7.1).
fn ipv4only(question: &Question) -> Option<Outcome> {
    if *key(&question.qname) != *b"\x08ipv4only\x04arpa\0" || question.qtype == RecordType::DS {
        return None;
    }
    let mut outcome = Outcome::empty_for(IPV4ONLY_TTL_SECS);
    if matches!(question.qtype, RecordType::A | RecordType::AAAA) {
        for last in [170, 171] {
            let data = RData::A(A(Ipv4Addr::new(192, 0, 0, last)));
            let owner = question.qname.clone();
            let record = Record::from_rdata(owner, IPV4ONLY_TTL_SECS, data);
            outcome.answers.push(record);
        }
    }
    Some(outcome)
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
