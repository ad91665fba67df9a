//! [`Bench`]: what a sight or a verdict means for a connection, for the map and for the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bpf_redirect::cert_validator::{CertMaps, Enforcement, Fingerprint, MapError, Status};
use data_encoding::HEXLOWER;

use crate::chain::{Chain, Witness};
use crate::claims::Claims;
use crate::docket::{Case, Docket, Opening};
use crate::judge::{JudgeError, Question};
use crate::nudge::nudge;
use crate::process::monotonic_ns;
use crate::reader::Sight;
use crate::tally::Tally;
use crate::verdict::{Clocks, Verdict, known_status, reason_name};

/// Takes decisions, and sees that they are carried out.
#[derive(Debug)]
pub(crate) struct Bench {
    claims: Claims,
    docket: Docket,
    enforcement: Enforcement,
    maps: Arc<CertMaps>,
    tally: Arc<Tally>,
}

impl Bench {
    pub(crate) fn new(enforcement: Enforcement, maps: Arc<CertMaps>, tally: Arc<Tally>) -> Self {
        Self {
            claims: Claims::default(),
            docket: Docket::default(),
            enforcement,
            maps,
            tally,
        }
    }

    /// What must be asked because of a sight.
    pub(crate) fn on_sight(&mut self, sight: Sight, now: Clocks) -> Option<Question> {
        match sight {
            Sight::Chain(chain) => {
                let witness = &chain.witness;
                if let (None, Some(cookie)) = (&witness.program, witness.cookie) {
                    return self.on_wire(*chain, cookie, now);
                }
                let cookie = witness.cookie.into_iter();
                cookie.for_each(|cookie| self.claims.claim(cookie));
                self.on_chain(*chain, now)
            }
            Sight::Known {
                fingerprint,
                status,
                reason,
                witness,
            } => {
                let cookie = witness.cookie.into_iter();
                cookie.for_each(|cookie| self.claims.claim(cookie));
                // The program in the kernel has let it go, or has blocked it unless its map failed.
                if status == Status::Invalid {
                    self.block(&witness);
                    self.alert(&fingerprint, &witness, reason_name(reason));
                }
                None
            }
            Sight::Nothing { cookie, seen_ns } => {
                log_failure(self.maps.end_stream(cookie));
                // What the gate holds and nobody could read goes the way of what has no verdict. Where
                // there was a certificate, its verdict decides, whatever came behind it.
                if !self.claims.has_chain(cookie) {
                    self.let_go_without_verdict(&Witness {
                        cookie: Some(cookie),
                        seen_ns,
                        ..Witness::default()
                    });
                }
                None
            }
        }
    }

    /// A chain that came by the wire to the socket with this cookie.
    fn on_wire(&mut self, chain: Chain, cookie: u64, now: Clocks) -> Option<Question> {
        log_failure(self.maps.end_stream(cookie));
        self.claims.see_on_wire(cookie);
        // Only who asks or alerts can wait for the probe: what is known acts now.
        match self.known(&chain, now) {
            Some((Status::Valid, _)) => {
                // The probe knows the name, for which the certificate may not be good.
                if !self.claims.is_probed(cookie) {
                    self.pass(&chain.witness);
                }
                return None;
            }
            Some(_) => self.block(&chain.witness),
            None => {}
        }
        let chain = self.claims.wait(chain, monotonic_ns())?;
        self.on_chain(chain, now)
    }

    /// What must be asked because of a chain that was seen on the wire and that no probe has seen.
    /// `None` when no further one is due.
    pub(crate) fn next_due(&mut self, now: Clocks) -> Option<Question> {
        while let Some(chain) = self.claims.due(monotonic_ns()) {
            if let Some(question) = self.on_chain(chain, now) {
                return Some(question);
            }
        }
        None
    }

    /// Whether [`Bench::next_due`] or [`Bench::end_holds`] will have something to do.
    pub(crate) fn is_waiting(&self) -> bool {
        let is_gated = matches!(self.enforcement, Enforcement::Block { .. });
        self.claims.is_waiting() || is_gated && self.docket.is_waiting()
    }

    /// Lets go who has been held for the bound. The gate does so by itself, but TCP tries rarely.
    pub(crate) fn end_holds(&mut self) {
        if let Enforcement::Block { hold, .. } = self.enforcement {
            let hold_ns = u64::try_from(hold.as_nanos()).unwrap_or(u64::MAX);
            for witness in self.docket.overdue(monotonic_ns().saturating_sub(hold_ns)) {
                self.let_go_without_verdict(&witness);
            }
        }
    }

    fn on_chain(&mut self, chain: Chain, now: Clocks) -> Option<Question> {
        // Seen on the wire, or judged while it came here.
        if let Some((status, reason)) = self.known(&chain, now) {
            self.settle(&chain.fingerprint, &chain.witness, status, reason);
            return None;
        }
        match self.docket.open(chain) {
            Opening::Ask(question) => Some(question),
            Opening::Joined => None,
            Opening::Full(witness) => {
                self.tally.add(|tally| &tally.dropped);
                self.let_go_without_verdict(&witness);
                None
            }
        }
    }

    /// The verdict in the map, and why, if it holds for this chain and its name.
    fn known(&self, chain: &Chain, now: Clocks) -> Option<(Status, &'static str)> {
        let value = self.maps.status(&chain.fingerprint).ok().flatten()?;
        let status = known_status(&value, chain.witness.host.as_deref(), now.boot_ns)?;
        Some((status, reason_name(value.reason)))
    }

    /// Carries a verdict to the map, and to all who waited for it.
    pub(crate) fn on_answer(
        &mut self,
        case: &Case,
        answer: Result<Verdict, JudgeError>,
        now: Clocks,
    ) {
        let fingerprint = &case.fingerprint;
        let verdict = match answer {
            Ok(verdict) => verdict,
            Err(error) => {
                self.tally.add(|tally| &tally.unanswered);
                let fingerprint = HEXLOWER.encode(fingerprint);
                tracing::warn!(fingerprint, %error, "no verdict");
                for witness in self.docket.close(case) {
                    self.let_go_without_verdict(&witness);
                }
                return;
            }
        };
        let status = verdict.status();
        self.tally.add_verdict(status);
        // First the map, so that a handshake that begins now needs no question.
        let before = self.maps.status(fingerprint).ok().flatten();
        if let Some(value) = verdict.to_map(case.host.as_deref(), before, now) {
            log_failure(self.maps.set_status(fingerprint, value));
        }
        let reason = verdict.reason.as_deref().unwrap_or_default();
        for witness in self.docket.close(case) {
            self.settle(fingerprint, &witness, status, reason);
        }
    }

    /// Does to a connection what the verdict on its certificate says.
    fn settle(
        &mut self,
        fingerprint: &Fingerprint,
        witness: &Witness,
        status: Status,
        reason: &str,
    ) {
        match status {
            Status::Valid => self.pass(witness),
            Status::Invalid => {
                self.block(witness);
                self.alert(fingerprint, witness, reason);
            }
            Status::Unknown => {
                let fingerprint = HEXLOWER.encode(fingerprint);
                let host = witness.host.as_deref();
                tracing::info!(
                    fingerprint,
                    host,
                    reason,
                    "a certificate could not be judged"
                );
                self.let_go_without_verdict(witness);
            }
        }
    }

    /// Does not wait for the bound where it would only let the connection go. What fails closed stays
    /// held, and is dropped from the bound on.
    fn let_go_without_verdict(&self, witness: &Witness) {
        if matches!(self.enforcement, Enforcement::Block { fails_closed, .. } if !fails_closed) {
            self.pass(witness);
        }
    }

    /// The cookie of the socket, if anything is to be done to it.
    fn gated(&self, witness: &Witness) -> Option<u64> {
        let is_gated = matches!(self.enforcement, Enforcement::Block { .. });
        witness.cookie.filter(|_| is_gated)
    }

    fn block(&self, witness: &Witness) {
        if let Some(cookie) = self.gated(witness) {
            log_failure(self.maps.block_flow(cookie));
        }
    }

    fn pass(&self, witness: &Witness) {
        let Some(cookie) = self.gated(witness) else {
            return;
        };
        log_failure(self.maps.pass_flow(cookie, witness.seen_ns));
        if let (true, Some(program)) = (witness.is_held, &witness.program) {
            // Without it the connection goes on as well, but later.
            if let Err(error) = nudge(program.pid, cookie) {
                tracing::debug!(%error, pid = program.pid, "a connection waits for TCP's own timer");
            }
        }
    }

    /// One line in the log, with everything that helps to find the connection. Where the wire was seen
    /// long before the probe, a second one names the program.
    fn alert(&mut self, fingerprint: &Fingerprint, witness: &Witness, reason: &str) {
        let program = witness.program.as_ref();
        let fingerprint = HEXLOWER.encode(fingerprint);
        if !self.claims.is_first_alert(witness.cookie) {
            tracing::info!(
                fingerprint,
                host = witness.host.as_deref(),
                socket_cookie = witness.cookie,
                pid = program.map(|program| program.pid),
                comm = program.map(|program| &*program.comm),
                "more on a bad certificate"
            );
            return;
        }
        let latency_ns = monotonic_ns().saturating_sub(witness.seen_ns);
        self.tally.add(|tally| &tally.alerts);
        self.tally.alert_ns.fetch_add(latency_ns, Ordering::Relaxed);
        let is_blocked = self
            .gated(witness)
            .is_some_and(|cookie| self.maps.is_blocked(cookie).unwrap_or(false));
        tracing::error!(
            fingerprint,
            reason,
            host = witness.host.as_deref(),
            action = if is_blocked { "blocked" } else { "none" },
            was_held = witness.is_held,
            socket_cookie = witness.cookie,
            pid = program.map(|program| program.pid),
            tid = program.map(|program| program.tid),
            comm = program.map(|program| &*program.comm),
            cgroup_id = program.map(|program| program.cgroup_id),
            latency_us = latency_ns / 1000,
            "bad certificate"
        );
    }
}

/// A map that can no longer be written leaves connections to the bound: say so.
fn log_failure(result: Result<(), MapError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a verdict was not carried out");
    }
}

#[cfg(test)]
mod tests;
