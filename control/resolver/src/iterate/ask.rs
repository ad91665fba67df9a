//! Questions come in: answered at once, joined to a resolution under way, or begun.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};

use super::dnssec::Effort;
use super::failures::Failure;
use super::message::{Effect, Outcome, Question, extended_error};
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::Security;
use super::task::{TaskKey, Waiter, Work};
use super::trace::{TraceEvent, TraceKind};

/// Resolutions given up for one question: the oldest may be sub-resolutions of those given up before.
const GIVE_UPS_MAX: usize = 4;

impl Resolver {
    pub(super) fn on_ask(
        &mut self,
        now_ms: u64,
        ticket: u64,
        question: &Question,
        effects: &mut Vec<Effect>,
    ) {
        self.counters.questions += 1;
        if let Some(outcome) = self.answer_at_once(now_ms, question) {
            effects.push(Effect::Done { ticket, outcome });
            return;
        }
        self.counters.cache_misses += 1;
        let key = self.key(question);
        let (dnssec_ok, trace) = (question.dnssec_ok, question.trace);
        let existing = self.tasks.find(&key);
        let full = |resolver: &Self| {
            let limits = &resolver.config.limits;
            let is_new = existing.is_none();
            resolver.tickets >= limits.tickets_max
                || (is_new && resolver.tasks.questions() >= limits.tasks_max)
                || (is_new && !resolver.has_place())
        };
        for _ in 0..GIVE_UPS_MAX {
            if full(self) {
                self.give_up_oldest(now_ms, existing, effects);
            }
        }
        if full(self) {
            self.counters.rejected += 1;
            let text = "too many questions wait".to_owned();
            let failure = Failure {
                code: extended_error::OTHER,
                text,
                lasting: false,
            };
            let outcome = self.fail(now_ms, &key, &failure, dnssec_ok);
            effects.push(Effect::Done { ticket, outcome });
            return;
        }
        self.tickets += 1;
        let id = if let Some(id) = existing {
            self.counters.coalesced += 1;
            id
        } else {
            self.begin(now_ms, key)
        };
        self.adopt(now_ms, id);
        let stale_due_ms = self.stale_due_ms(now_ms, id);
        let task = self
            .tasks
            .get_mut(id)
            .expect("between steps every task is in its table");
        task.waiters.push(Waiter::Client {
            ticket,
            dnssec_ok,
            trace,
            stale_due_ms,
        });
        if trace && task.trace.is_none() {
            task.trace = Some(Vec::new());
        }
        if let Some(due_ms) = stale_due_ms {
            self.stale_deadlines.insert((due_ms, id, ticket));
            self.serve_overdue(now_ms, effects);
        }
    }

    /// The key under which equal questions share a resolution. CD counts only where forwarders
    /// would make a difference of it.
    pub(super) fn key(&self, question: &Question) -> TaskKey {
        let name = WireName::from_name(&question.qname);
        let (rtype, client) = (question.qtype, question.client_subnet);
        TaskKey {
            subnet: self.subnets.of_question(&name, rtype, client),
            name,
            rtype: question.qtype,
            checking_disabled: question.checking_disabled
                && (self.trust.is_some() || self.routes.has_forwarders()),
        }
    }

    /// Begins a resolution with a ledger of its own.
    pub(super) fn begin(&mut self, now_ms: u64, key: TaskKey) -> u64 {
        let work = self.open_work(now_ms);
        self.spawn(key, work, 0)
    }

    fn open_work(&mut self, now_ms: u64) -> u64 {
        let limits = self.config.limits;
        self.tasks.open_work(Work {
            sends_left: limits.sends_max,
            subqueries_left: limits.subqueries_max,
            effort: Effort::within(&limits),
            deadline_ms: now_ms + u64::from(limits.wall_ms_max),
            tasks: 0,
        })
    }

    /// Gives a sub-resolution that a client now waits for the time and the ledger of a question.
    fn adopt(&mut self, now_ms: u64, id: u64) {
        if self.tasks.get(id).is_none_or(|task| task.depth == 0) {
            return;
        }
        let work = self.open_work(now_ms);
        let deadline_ms = self.tasks.work(work).deadline_ms;
        let before_ms = self.tasks.charge_to(id, work);
        self.task_deadlines.remove(&(before_ms, id));
        self.task_deadlines.insert((deadline_ms, id));
    }

    /// Whether there is a place for one more resolution, though it be a sub-resolution.
    pub(super) fn has_place(&self) -> bool {
        self.tasks.len() < self.config.limits.places_max()
    }

    /// Makes a task on an open ledger and queues it.
    pub(super) fn spawn(&mut self, key: TaskKey, work: u64, depth: u8) -> u64 {
        let deadline_ms = self.tasks.work(work).deadline_ms;
        let task = self.tasks.create(key, work, depth);
        task.queued = true;
        self.task_deadlines.insert((deadline_ms, task.id));
        self.ready.push_back(task.id);
        task.id
    }

    /// What needs no resolution: nonsense, cached answers, remembered failures.
    fn answer_at_once(&mut self, now_ms: u64, question: &Question) -> Option<Outcome> {
        if let Some(text) = refusal(question) {
            let mut outcome = Outcome::empty(ResponseCode::NotImp);
            outcome.add_extended_error(extended_error::NOT_SUPPORTED, text.to_owned());
            return Some(outcome);
        }
        let key = self.key(question);
        self.cache.take_due();
        let before = self.counters.aggressive;
        if let Some(resolution) = self.cached(now_ms, &key) {
            self.counters.cache_hits += 1;
            if self.cache.take_due() {
                self.prefetch(now_ms, &key);
            }
            let mut outcome = Outcome::of(&resolution, question.qtype, question.dnssec_ok);
            self.explain(now_ms, &resolution, &mut outcome);
            outcome.narrow(&key, self.subnets.scope_bits(&key));
            if question.trace {
                let proven = self.counters.aggressive > before;
                let kind = TraceKind::cache_hit(&key.name, question.qtype, proven);
                outcome.trace = Some(vec![TraceEvent {
                    at_ms: now_ms,
                    depth: 0,
                    kind,
                }]);
            }
            return Some(outcome);
        }
        let (before, left_secs) = self.failures.find(now_ms, &key)?;
        // What is bogus says so each time; of the rest, that it was not tried again is news.
        let code = match before.code {
            code if extended_error::is_of_dnssec(code) => code,
            _ => extended_error::CACHED_ERROR,
        };
        let first = before.code;
        let failure = Failure {
            code,
            ..before.clone()
        };
        self.counters.cached_failures += 1;
        let mut outcome = self.fail(now_ms, &key, &failure, question.dnssec_ok);
        if outcome.rcode == ResponseCode::ServFail {
            outcome.add_extended_error(first, String::new());
        }
        outcome.ttl_secs = left_secs;
        outcome.narrow(&key, 0);
        if question.trace {
            let (rcode, reason) = (outcome.rcode, Some(failure.text));
            let kind = TraceKind::Finished { rcode, reason };
            outcome.trace = Some(vec![TraceEvent {
                at_ms: now_ms,
                depth: 0,
                kind,
            }]);
        }
        Some(outcome)
    }

    /// The outcome of a failed question: data past its TTL if there is some, else SERVFAIL.
    pub(super) fn fail(
        &mut self,
        now_ms: u64,
        key: &TaskKey,
        failure: &Failure,
        dnssec_ok: bool,
    ) -> Outcome {
        if let Some(outcome) = self.answer_stale(now_ms, key, &failure.text, dnssec_ok) {
            return outcome;
        }
        self.counters.failures += 1;
        let mut outcome = Outcome::empty(ResponseCode::ServFail);
        outcome.add_extended_error(failure.code, failure.text.clone());
        outcome
    }
}

/// Why a question is not resolved at all.
pub(super) fn refusal(question: &Question) -> Option<&'static str> {
    match u16::from(question.qtype) {
        _ if question.qclass != DNSClass::IN => Some("only class IN is resolved"),
        // OPT, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA; SIG signs messages (RFC 2931). ANY is 255.
        0 | 24 | 41 | 128..=254 => Some("this type is not looked up"),
        _ => None,
    }
}

impl Outcome {
    /// An outcome with nothing but a code.
    #[must_use]
    pub fn empty(rcode: ResponseCode) -> Self {
        Self {
            rcode,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            authoritative: false,
            authentic: false,
            stale: false,
            ttl_secs: 0,
            subnet_scope: None,
            extended_errors: Vec::new(),
            trace: None,
        }
    }

    /// A resolution, without what only clients with DO set may see (RFC 4035 §3.2.1).
    pub(super) fn of(
        resolution: &super::lookup::Resolution,
        qtype: RecordType,
        dnssec_ok: bool,
    ) -> Self {
        let mut outcome = Self::empty(resolution.rcode);
        for set in &resolution.answers {
            set.write_records(dnssec_ok, &mut outcome.answers);
        }
        for set in &resolution.authority {
            let proof = matches!(set.rtype, RecordType::NSEC | RecordType::NSEC3);
            if dnssec_ok || !proof || set.rtype == qtype {
                set.write_records(dnssec_ok, &mut outcome.authority);
            }
        }
        outcome.authentic = resolution.security() == Security::Secure;
        outcome.stale = resolution.stale;
        outcome.ttl_secs = resolution.ttl_secs;
        outcome
    }
}
