//! Resolutions end: clients are answered, waiting resolutions go on, knots are untied.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;

use super::failures::Failure;
use super::lookup::Resolution;
use super::message::{Effect, Outcome};
use super::resolver::Resolver;
use super::rrset::RrSet;
use super::stale::RECHECK_SECS_MIN;
use super::task::{Task, Waiter};
use super::trace::{TraceEvent, TraceKind};
use super::validate::TrustLookup;
use super::walk::Ending;

/// Time that a resolution has, however many others wait for its place, in milliseconds.
const GRACE_MS: u64 = 200;
/// Tasks that one tick ends, so that it does not take long.
const EXPIRIES_MAX: usize = 1024;
/// Tasks visited in the search for a knot; a larger one is left to its deadline.
const KNOT_TASKS_MAX: usize = 256;

impl Resolver {
    /// Ends a task that was taken out of the table and tells everyone who waits for it.
    pub(super) fn finish(
        &mut self,
        now_ms: u64,
        mut task: Box<Task>,
        ending: Ending,
        effects: &mut Vec<Effect>,
    ) {
        // What was wrong with the data says more than that the other servers do not answer; if there
        // are such, both together say why nothing better was found.
        let mut beside = None;
        let ending = ending.map_err(|failure| match task.bogus.take() {
            Some(bogus) => {
                let others = task.blame.is_on_a_server();
                beside = others.then_some((failure.code, failure.text));
                bogus
            }
            None => failure,
        });
        let deadline_ms = self.tasks.work(task.work).deadline_ms;
        self.task_deadlines.remove(&(deadline_ms, task.id));
        self.tasks.retire(&task);
        self.note_prefetched(&task);
        self.leave_exchange(&mut task, effects);
        let ending = self.end_refresh(now_ms, &mut task, ending);
        let mut hold_secs = 0;
        match &ending {
            Ok(resolution) => {
                self.failures.remove(&task.key);
                self.keep_for_subnet(now_ms, &task, resolution);
            }
            Err(failure) if failure.lasting => {
                let has_stale = self.has_stale(now_ms, &task.key);
                let secs_min = if has_stale { RECHECK_SECS_MIN } else { 0 };
                let (key, failure) = (task.key.clone(), failure.clone());
                hold_secs = self.failures.insert(now_ms, key, failure, secs_min);
            }
            Err(_) => {}
        }
        let (rcode, reason) = match &ending {
            Ok(resolution) => (resolution.rcode, None),
            Err(failure) => (ResponseCode::ServFail, Some(failure.text.clone())),
        };
        let events_max = self.config.limits.trace_events_max;
        task.note(now_ms, events_max, || TraceKind::Finished { rcode, reason });
        for waiter in std::mem::take(&mut task.waiters) {
            match waiter {
                Waiter::Client {
                    ticket,
                    dnssec_ok,
                    trace,
                    stale_due_ms,
                } => {
                    self.tickets -= 1;
                    if let Some(due_ms) = stale_due_ms {
                        self.stale_deadlines.remove(&(due_ms, task.id, ticket));
                    }
                    let mut outcome = match &ending {
                        Ok(resolution) => Outcome::of(resolution, task.key.rtype, dnssec_ok),
                        Err(failure) => self.fail(now_ms, &task.key, failure, dnssec_ok),
                    };
                    if let Ok(resolution) = &ending {
                        self.explain(now_ms, resolution, &mut outcome);
                    }
                    if outcome.rcode == ResponseCode::ServFail {
                        outcome.ttl_secs = hold_secs;
                        if let Some((code, text)) = &beside {
                            outcome.add_extended_error(*code, text.clone());
                        }
                    }
                    outcome.narrow(&task.key, task.subnet_scope);
                    outcome.trace = task.trace.as_ref().filter(|_| trace).cloned();
                    effects.push(Effect::Done { ticket, outcome });
                }
                Waiter::Task(parent) => self.tell(parent, &task, &ending),
                Waiter::RollOver => {} // It was told above.
            }
        }
    }

    /// Ends the tasks whose time is up; of many, the rest at the next tick, which is due at once.
    pub(super) fn expire(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        for _ in 0..EXPIRIES_MAX {
            let Some(&(deadline_ms, id)) = self.task_deadlines.first() else {
                return;
            };
            if now_ms < deadline_ms {
                return;
            }
            self.task_deadlines.pop_first();
            let Some(task) = self.tasks.take(id) else {
                continue;
            };
            let known = task.exhausted();
            let text = format!(
                "no answer within {} ms ({})",
                self.config.limits.wall_ms_max, known.text
            );
            // A sub-resolution may only have begun too late.
            let lasting = known.lasting && task.depth == 0;
            let failure = Failure {
                text,
                lasting,
                ..known
            };
            self.finish(now_ms, task, Err(failure), effects);
        }
    }

    /// Ends the resolution that has been under way for longest, to make place for a new question:
    /// a flood of names whose servers are silent must not shut others out. Each has some time first,
    /// and that of `spared` goes on.
    pub(super) fn give_up_oldest(
        &mut self,
        now_ms: u64,
        spared: Option<u64>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(&(deadline_ms, id)) = self.task_deadlines.first() else {
            return;
        };
        let begun_ms = deadline_ms.saturating_sub(u64::from(self.config.limits.wall_ms_max));
        if now_ms < begun_ms + GRACE_MS || spared == Some(id) {
            return;
        }
        let Some(task) = self.tasks.take(id) else {
            return;
        };
        let known = task.exhausted();
        let failure = Failure {
            text: format!("given up for newer questions ({})", known.text),
            lasting: false,
            ..known
        };
        self.counters.given_up += 1;
        self.finish(now_ms, task, Err(failure), effects);
    }

    /// Takes a task out of its exchange, and ends the exchange if nobody else waits for it.
    fn leave_exchange(&mut self, task: &mut Task, effects: &mut Vec<Effect>) {
        let Some(id) = task.exchange.take() else {
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        exchange.tasks.retain(|other| *other != task.id);
        if exchange.tasks.is_empty() {
            let server = exchange.server;
            self.exchanges.remove(id);
            self.servers.on_abandoned(server);
            effects.push(Effect::Cancel { exchange: id });
            self.wake_parked(server);
        }
    }

    /// Gives a task what it waited for: the addresses of a name server, or DS or DNSKEY.
    fn tell(&mut self, parent: u64, sub: &Task, ending: &Ending) {
        let Some(task) = self.tasks.get_mut(parent) else {
            return;
        };
        let Some(at) = task.waits.iter().position(|wait| wait.task == sub.id) else {
            return;
        };
        let wait = task.waits.swap_remove(at);
        merge_trace(
            &mut task.trace,
            sub.trace.as_deref(),
            self.config.limits.trace_events_max,
        );
        match wait.zone {
            None => task.lookups.push(TrustLookup {
                key: sub.key.clone(),
                ending: ending.clone(),
                source: sub.source,
            }),
            Some(zone) => {
                let place = task.place.as_mut().filter(|place| place.zone == zone);
                if let Some(place) = place {
                    place.add_host(&self.config, addresses(sub, ending.as_ref().ok()));
                }
            }
        }
        // What stopped it for our reasons alone stopped those above it, but for the question itself.
        task.blame.local |=
            task.depth > 0 && ending.as_ref().is_err_and(|failure| !failure.lasting);
        self.queue(parent);
    }

    /// Breaks a knot: tasks that wait only for each other would wait for ever (the servers of two
    /// zones named in each other's, without glue). The given task gives up waiting if every task
    /// it waits for, directly or not, waits as well.
    pub(super) fn untie(&mut self, id: u64) {
        let mut tied = vec![id];
        let mut next = 0;
        while let Some(&current) = tied.get(next) {
            next += 1;
            let Some(task) = self.tasks.get(current) else {
                return;
            };
            // Chains of trust only lead upwards.
            let is_judged = task.found.is_some();
            let goes_on = task.exchange.is_some() || task.queued || task.is_parked;
            if is_judged || goes_on || tied.len() > KNOT_TASKS_MAX {
                return;
            }
            for wait in &task.waits {
                if !tied.contains(&wait.task) {
                    tied.push(wait.task);
                }
            }
        }
        if let Some(task) = self.tasks.get_mut(id) {
            task.waits.clear();
            self.queue(id);
        }
    }
}

/// The addresses that a sub-resolution found; none through an alias (RFC 2181 §10.3).
fn addresses(sub: &Task, resolution: Option<&Resolution>) -> Vec<IpAddr> {
    let sets = resolution.map_or(&[][..], |resolution| &resolution.answers);
    let own = sets
        .iter()
        .filter(|set| set.owner == sub.key.name && set.rtype == sub.key.rtype);
    own.flat_map(RrSet::addresses).collect()
}

fn merge_trace(
    trace: &mut Option<Vec<TraceEvent>>,
    events: Option<&[TraceEvent]>,
    events_max: usize,
) {
    if let (Some(trace), Some(events)) = (trace, events) {
        let room = events_max.saturating_sub(trace.len());
        trace.extend(events.iter().take(room).cloned());
    }
}
