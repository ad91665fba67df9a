//! Answers past their TTL: given when servers fail, and when they keep a client waiting (RFC 8767).
//!
//! A client that has waited for `stale_client_timeout_ms` gets what the cache has; the resolution goes
//! on without it and refreshes the cache (§5).

use hickory_proto::op::ResponseCode;

use super::dnssec::is_in_time;
use super::lookup::{Look, Resolution};
use super::message::{Effect, Outcome, extended_error};
use super::resolver::Resolver;
use super::task::{TaskKey, Waiter};

/// Seconds between two attempts to refresh what is past its TTL, at least (RFC 8767 §5).
pub(super) const RECHECK_SECS_MIN: u32 = 30;

impl Resolver {
    /// Data for a question, past their TTL or not, that may be given.
    fn stale(&mut self, now_ms: u64, key: &TaskKey) -> Option<Resolution> {
        let aliases_max = self.config.limits.aliases_max;
        self.cache
            .assemble(now_ms, key, true, aliases_max, |_| Look::Nothing)
            .filter(|found| self.may_give(key, found))
    }

    /// Whether there is something past its TTL that may be given.
    pub(super) fn has_stale(&mut self, now_ms: u64, key: &TaskKey) -> bool {
        self.stale(now_ms, key).is_some_and(|found| found.stale)
    }

    /// An answer past its TTL and why it is given, if there is one.
    pub(super) fn answer_stale(
        &mut self,
        now_ms: u64,
        key: &TaskKey,
        reason: &str,
        dnssec_ok: bool,
    ) -> Option<Outcome> {
        let resolution = self.stale(now_ms, key)?;
        self.counters.stale_answers += 1;
        let mut outcome = Outcome::of(&resolution, key.rtype, dnssec_ok);
        // RFC 4035 §5.3.1: no signature vouches for anything outside its period, which may end before
        // the answer is given up.
        let now = self.unix_secs(now_ms);
        let mut sets = resolution.answers.iter().chain(&resolution.authority);
        outcome.authentic &= sets.all(|set| is_in_time(set, now));
        let code = match resolution.rcode {
            ResponseCode::NXDomain => extended_error::STALE_NXDOMAIN,
            _ => extended_error::STALE_ANSWER,
        };
        outcome.add_extended_error(code, reason.to_owned());
        self.explain(now_ms, &resolution, &mut outcome);
        outcome.narrow(key, 0);
        Some(outcome)
    }

    /// When a client that joins a task now is to get an answer past its TTL: so long after the task
    /// began, since others have waited for it before. `None` if it is to wait to the end.
    pub(super) fn stale_due_ms(&mut self, now_ms: u64, id: u64) -> Option<u64> {
        let timeout_ms = u64::from(self.config.stale_client_timeout_ms);
        let task = self.tasks.get(id).filter(|_| timeout_ms > 0)?;
        let (key, work) = (task.key.clone(), task.work);
        let deadline_ms = self.tasks.work(work).deadline_ms;
        let began_ms = deadline_ms.saturating_sub(u64::from(self.config.limits.wall_ms_max));
        let due_ms = began_ms + timeout_ms;
        (due_ms < deadline_ms && self.has_stale(now_ms, &key)).then_some(due_ms)
    }

    /// Answers the clients that have waited long enough.
    pub(super) fn serve_overdue(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        while let Some(&(due_ms, id, wanted)) = self.stale_deadlines.first()
            && due_ms <= now_ms
        {
            self.stale_deadlines.pop_first();
            let Some(task) = self.tasks.get(id) else {
                continue;
            };
            let of_client = |waiter: &&Waiter| matches!(waiter, Waiter::Client { ticket, .. } if *ticket == wanted);
            let Some(&Waiter::Client {
                ticket,
                dnssec_ok,
                trace,
                ..
            }) = task.waiters.iter().find(of_client)
            else {
                continue;
            };
            let key = task.key.clone();
            let trace = task.trace.clone().filter(|_| trace);
            let waited_ms = self.config.stale_client_timeout_ms;
            let reason = format!("no fresh answer within {waited_ms} ms");
            // It may have gone meanwhile: then the client waits to the end.
            let Some(mut outcome) = self.answer_stale(now_ms, &key, &reason, dnssec_ok) else {
                continue;
            };
            outcome.trace = trace;
            if let Some(task) = self.tasks.get_mut(id) {
                task.waiters.retain(|waiter| !of_client(&waiter));
            }
            self.tickets -= 1;
            effects.push(Effect::Done { ticket, outcome });
        }
    }
}
