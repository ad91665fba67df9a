//! Messages leave, come back, or get lost.

use std::net::SocketAddr;

use super::exchange::{Exchange, Mismatch};
use super::failures::Failure;
use super::message::{Effect, Transport, TransportError};
use super::place::{Again, Place};
use super::query::{self, Options};
use super::reply::{Reading, View};
use super::resolver::Resolver;
use super::response::{Echo, Header, Response};
use super::servers::{Standing, tcp_timeout_ms};
use super::task::Task;
use super::trace::TraceKind;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use wire::HEADER_BYTES;

impl Resolver {
    /// Asks the chosen server, or shares an exchange that asks the same already.
    pub(super) fn send(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        index: usize,
        standing: Standing,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Failure> {
        let place = task.place.as_ref().expect("a server was chosen from it");
        let (candidate, delegated_until_ms) = (place.candidates[index], place.delegated_until_ms);
        let view = self.view(task, place);
        if self.share(task, &view) {
            return Ok(());
        }
        self.charge(task)?;
        let without_edns = candidate.without_edns || standing.without_edns;
        let plain_case = candidate.plain_case || standing.folds_case;
        let cookie = self
            .cookie_for(now_ms, &candidate, standing)
            .filter(|_| !without_edns);
        let options = Options {
            recursion_desired: view.forward,
            checking_disabled: view.checking_disabled,
            edns_payload_bytes: (!without_edns).then_some(self.config.edns_payload_bytes),
            cookie,
            subnet: view.subnet,
            randomise_case: self.config.case_randomisation && !plain_case,
        };
        let query = query::write(&view.qname, view.qtype, options, &mut self.random);
        let transport = candidate.transport();
        let timeout_ms = match transport {
            Transport::Udp => standing.timeout_ms,
            Transport::Tcp => tcp_timeout_ms(standing.timeout_ms),
        };
        let server = candidate.address;
        let (qname, qtype) = (&view.qname, view.qtype);
        let kind = || TraceKind::Send {
            server,
            transport,
            qname: qname.to_name(),
            qtype,
        };
        task.note(now_ms, self.config.limits.trace_events_max, kind);
        let exchange = Exchange {
            view,
            tasks: vec![task.id],
            server,
            transport,
            id: query.id,
            question: query.question,
            sent_ms: now_ms,
            deadline_ms: now_ms + u64::from(timeout_ms),
            delegated_until_ms,
            is_proven: standing.is_proven,
            edns: !without_edns,
            cookie,
            subnet_scope: 0,
            mismatches: 0,
        };
        self.servers.on_send(now_ms, exchange.asked());
        let exchange = self.exchanges.insert(exchange);
        task.exchange = Some(exchange);
        match transport {
            Transport::Udp => self.counters.sends_udp += 1,
            Transport::Tcp => self.counters.sends_tcp += 1,
        }
        effects.push(Effect::Send {
            exchange,
            server,
            transport,
            message: query.message,
            timeout_ms,
        });
        Ok(())
    }

    /// Waits with others for the answer to an equal query, if one is under way; unless to a server
    /// that gave this task bogus data.
    fn share(&mut self, task: &mut Task, view: &View) -> bool {
        let Some((id, exchange)) = self.exchanges.find(view) else {
            return false;
        };
        if task.avoided.contains(&exchange.server) {
            return false;
        }
        exchange.tasks.push(task.id);
        task.exchange = Some(id);
        true
    }

    /// The chosen server has no room: waits for that, or for others' answer.
    pub(super) fn wait_for_room(&mut self, now_ms: u64, task: &mut Task, server: SocketAddr) {
        let place = task.place.as_ref().expect("a server was chosen from it");
        let view = self.view(task, place);
        if !self.share(task, &view) {
            self.park(now_ms, task, server);
        }
    }

    /// What to ask the servers of a place for.
    pub(super) fn view(&self, task: &Task, place: &Place) -> View {
        let (part, forward) = (self.part(task), place.forward.is_some());
        let qtype = match part {
            Some(_) => RecordType::A,
            None => task.key.rtype,
        };
        View {
            zone: place.zone.clone(),
            subnet: self.shown_to(task, place).filter(|_| part.is_none()),
            qtype,
            qname: part.unwrap_or_else(|| task.sname.clone()),
            forward,
            // Where we check, a forwarder need not: its anchors may be older than ours.
            checking_disabled: forward && (task.key.checking_disabled || self.trust.is_some()),
        }
    }

    /// Pays for one message.
    fn charge(&mut self, task: &Task) -> Result<(), Failure> {
        let sends_max = self.config.limits.sends_max;
        let work = self.tasks.work(task.work);
        let Some(left) = work.sends_left.checked_sub(1) else {
            let failure = self.limited(format!("more than {sends_max} messages for one question"));
            // A sub-resolution was only the one that had the bad luck.
            return Err(Failure {
                lasting: task.depth == 0,
                ..failure
            });
        };
        work.sends_left = left;
        Ok(())
    }

    pub(super) fn on_reply(
        &mut self,
        now_ms: u64,
        id: u64,
        from: SocketAddr,
        message: &[u8],
        effects: &mut Vec<Effect>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            self.counters.replies_unknown += 1;
            return;
        };
        let checked = exchange.check(from, message).and_then(|(header, echo)| {
            let cookie = exchange.check_cookie(message)?;
            exchange.subnet_scope = exchange.check_subnet(message)?;
            Ok((header, echo, cookie))
        });
        match checked {
            Ok((header, _, Some(opt))) if self.take_cookie(now_ms, id, (&header, opt), effects) => {
            }
            Ok((header, echo, _)) => self.accept(now_ms, id, &header, echo, message, effects),
            Err(mismatch) => self.on_mismatch(now_ms, id, mismatch, effects),
        }
    }

    /// Counts a reply that is none, and goes on waiting; unless somebody seems to be guessing, or
    /// the server folds case or leaves the question out: then TCP, where nobody can guess, tells.
    fn on_mismatch(&mut self, now_ms: u64, id: u64, mismatch: Mismatch, effects: &mut Vec<Effect>) {
        match mismatch {
            Mismatch::Address => self.counters.mismatches_address += 1,
            Mismatch::NotAReply => self.counters.malformed += 1,
            Mismatch::Id => self.counters.mismatches_id += 1,
            Mismatch::Question | Mismatch::QuestionMissing | Mismatch::QueryUnread => {
                self.counters.mismatches_question += 1;
            }
            Mismatch::Case => self.counters.mismatches_case += 1,
            Mismatch::Cookie | Mismatch::CookieMissing => self.counters.mismatches_cookie += 1,
        }
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        exchange.mismatches = exchange.mismatches.saturating_add(1);
        let suspicious = exchange.mismatches >= self.config.limits.mismatches_max
            || matches!(
                mismatch,
                Mismatch::Case
                    | Mismatch::QuestionMissing
                    | Mismatch::QueryUnread
                    | Mismatch::CookieMissing
            );
        if exchange.transport == Transport::Tcp || !suspicious {
            return;
        }
        let server = exchange.server;
        self.servers.on_abandoned(server);
        let again = match mismatch {
            Mismatch::Case => Again::OtherCase,
            Mismatch::QueryUnread => Again::Unread,
            _ => Again::Suspicion,
        };
        self.ask_again(now_ms, id, again, effects);
    }

    /// Ends an exchange and lets its tasks ask the same server in another way.
    pub(super) fn ask_again(
        &mut self,
        now_ms: u64,
        id: u64,
        again: Again,
        effects: &mut Vec<Effect>,
    ) {
        let Some(exchange) = self.exchanges.remove(id) else {
            return;
        };
        effects.push(Effect::Cancel { exchange: id });
        self.counters.tcp_fallbacks += u64::from(again.is_by_tcp());
        let (server, reason) = (exchange.server, again.reason());
        let events_max = self.config.limits.trace_events_max;
        for task_id in exchange.tasks {
            let Some(task) = self.tasks.get_mut(task_id) else {
                continue;
            };
            task.exchange = None;
            task.note(now_ms, events_max, || TraceKind::Again { server, reason });
            if let Some(candidate) = task.candidate(server) {
                candidate.ask_again(again);
            }
            self.queue(task_id);
        }
        self.wake_parked(server);
    }

    /// Takes a reply that belongs to its exchange.
    fn accept(
        &mut self,
        now_ms: u64,
        id: u64,
        header: &Header,
        echo: Echo,
        message: &[u8],
        effects: &mut Vec<Effect>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        self.counters.replies += 1;
        let rtt_ms = u32::try_from(now_ms.saturating_sub(exchange.sent_ms)).unwrap_or(u32::MAX);
        let udp = exchange.transport == Transport::Udp;
        if udp {
            self.counters.round_trips.count(rtt_ms);
        }
        self.servers
            .on_reply(exchange.asked(), udp.then_some(rtt_ms));
        if echo == Echo::OtherCase {
            self.servers.note_folds_case(now_ms, exchange.server);
        }
        if header.truncated && udp {
            self.counters.truncated += 1;
            self.ask_again(now_ms, id, Again::Truncated, effects);
            return;
        }
        let signatures_are_data = exchange.view.qtype == RecordType::RRSIG;
        let records_max = self.config.limits.rrset_records_max;
        // Without a question nothing but the code of the refusal is of use.
        let response = match echo {
            Echo::Absent => Ok(Response::bare(header)),
            _ => {
                let message = without_our_case(message, exchange.question.len());
                Response::parse(header, &message, signatures_are_data, records_max)
            }
        };
        let unread = match &response {
            Ok(response) => chokes_on_edns(response.rcode),
            Err(_) => false,
        };
        let server = exchange.server;
        if unread && exchange.cookie.is_some() {
            self.on_cookie_not_understood(now_ms, id, server, effects);
            return;
        }
        if unread && exchange.edns {
            self.counters.edns_fallbacks += 1;
            self.ask_again(now_ms, id, Again::WithoutEdns, effects);
            return;
        }
        let Some(exchange) = self.exchanges.remove(id) else {
            return;
        };
        effects.push(Effect::Cancel { exchange: id });
        self.wake_parked(exchange.server);
        let reading = response.map(|response| {
            match (exchange.edns, &exchange.cookie) {
                _ if unread => {}
                (false, _) => self.servers.note_without_edns(now_ms, server),
                (true, None) => self.servers.note_without_cookies(now_ms, server),
                (true, Some(_)) => {}
            }
            // One at least, so that the task itself finds that none is allowed.
            let aliases_max = usize::from(self.config.limits.aliases_max).max(1);
            (
                response.rcode,
                Reading::new(&response, &exchange.view, aliases_max),
            )
        });
        match reading {
            Ok((rcode, reading)) => {
                self.on_reading(now_ms, &exchange, rcode, rtt_ms, &reading, effects)
            }
            Err(error) => self.on_unreadable(now_ms, &exchange, &error.to_string()),
        }
    }

    /// A reply of the right server to the right question that cannot be read.
    fn on_unreadable(&mut self, now_ms: u64, exchange: &Exchange, error: &str) {
        self.counters.malformed += 1;
        let events_max = self.config.limits.trace_events_max;
        for &task_id in &exchange.tasks {
            let Some(task) = self.tasks.get_mut(task_id) else {
                continue;
            };
            task.exchange = None;
            task.blame.malformed = true;
            task.blame.note(exchange.server, error);
            if let Some(candidate) = task.candidate(exchange.server) {
                candidate.dead = true;
            }
            let (server, rcode) = (exchange.server, ResponseCode::FormErr);
            let rtt_ms = u32::try_from(now_ms.saturating_sub(exchange.sent_ms)).unwrap_or(u32::MAX);
            task.note(now_ms, events_max, || TraceKind::Reply {
                server,
                rcode,
                meaning: "unreadable",
                rtt_ms,
            });
            self.queue(task_id);
        }
    }

    pub(super) fn on_failed(&mut self, now_ms: u64, id: u64, reason: TransportError) {
        if let Some(exchange) = self.exchanges.remove(id) {
            self.lose(now_ms, &exchange, reason);
        }
    }

    pub(super) fn on_tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        while let Some(id) = self.exchanges.overdue(now_ms) {
            let Some(exchange) = self.exchanges.remove(id) else {
                break;
            };
            effects.push(Effect::Cancel { exchange: id });
            self.lose(now_ms, &exchange, TransportError::Timeout);
        }
        self.look_through_parked(now_ms);
        self.expire(now_ms, effects);
        self.serve_overdue(now_ms, effects);
        self.cache.sweep(now_ms);
        self.aggressive.sweep(now_ms);
    }

    /// Notes a loss against the server and lets the tasks go on.
    fn lose(&mut self, now_ms: u64, exchange: &Exchange, reason: TransportError) {
        if reason == TransportError::Timeout {
            self.counters.timeouts += 1;
        } else {
            self.counters.transport_errors += 1;
        }
        let server = exchange.server;
        if reason == TransportError::Resources {
            self.servers.on_abandoned(server); // Our own lack of sockets says nothing of it.
        } else {
            self.servers
                .on_failure(now_ms, exchange.asked(), exchange.transport);
        }
        let attempts_max = self.config.limits.attempts_max;
        let events_max = self.config.limits.trace_events_max;
        for &task_id in &exchange.tasks {
            let Some(task) = self.tasks.get_mut(task_id) else {
                continue;
            };
            task.exchange = None;
            task.note(now_ms, events_max, || TraceKind::Failed { server, reason });
            task.blame.note(server, reason.to_string());
            task.blame.local |= reason == TransportError::Resources;
            task.blame.network |=
                !matches!(reason, TransportError::Timeout | TransportError::Refused);
            if let Some(candidate) = task.candidate(server) {
                candidate.lost(exchange.transport, reason, attempts_max);
            }
            self.queue(task_id);
        }
        self.wake_parked(server);
    }

    /// Lets a task go on later in this step.
    pub(super) fn queue(&mut self, id: u64) {
        if let Some(task) = self.tasks.get_mut(id)
            && !task.queued
        {
            task.queued = true;
            self.ready.push_back(id);
        }
    }
}

/// Codes with which servers from before RFC 6891 answer an OPT record (and BADVERS).
pub(super) fn chokes_on_edns(rcode: ResponseCode) -> bool {
    matches!(u16::from(rcode), 1 | 4 | 16)
}

/// The message with the name of its question in lower case. Names in the answer may point into the
/// question, and would take the case that we drew for it (0x20) into caches and to clients.
fn without_our_case(message: &[u8], question_bytes: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    let name = HEADER_BYTES..HEADER_BYTES + question_bytes.saturating_sub(4);
    if let Some(name) = message.get_mut(name) {
        name.make_ascii_lowercase(); // Label lengths are below b'A'.
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_point_into_the_question_lose_the_case_we_drew() {
        let question = b"\x05aLiAs\x04TeSt\x00\x00\x01\x00\x01";
        let mut message = vec![0; HEADER_BYTES];
        message.extend(question);
        message.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03WWW\xc0\x12");
        let plain = without_our_case(&message, question.len());
        assert_eq!(&plain[HEADER_BYTES..], b"\x05alias\x04test\x00\x00\x01\x00\x01\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03WWW\xc0\x12");
        for cut in 0..message.len() {
            assert_eq!(without_our_case(&message[..cut], question.len()).len(), cut);
        }
    }
}
