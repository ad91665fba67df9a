//! One decision for every way a query can come: answer it now, have it resolved, or stay silent.
//!
//! Zones answer everybody; recursion is for the clients of `resolver.allow`. Writes answers over
//! the query, allocates nothing for those of one zone, and touches no socket.

use std::net::IpAddr;
use std::sync::Arc;

use config::Networks;
use guard::{Permission, Standing};
use resolver::zone::{Kind, Transfer, TsigSigner};
use wire::answer::{append_nexus, opt_bytes, write_error, write_opt};
use wire::query::{Query, QueryError};
use wire::{UDP_PAYLOAD_BYTES_MAX, flag, rcode};

use crate::agreement::Extension;
use crate::chaos::Chaos;
use crate::copied::CopiedZones;
use crate::counters::Counters;
use crate::dnstap::{Tap, Tapped};
use crate::finish::{Finisher, limit_of};
use crate::follow::{Followed, follow};
use crate::front::FrontOrigin;
use crate::gate::{CookieKeeper, Gate};
use crate::kept::Kept;
use crate::question::{Alias, Asked, Finished, Origin};
use crate::signing::{self, SignedTransfer};
use crate::updates::{Submission, Updates};
use crate::zones::{CachedTable, ServedZone, SharedTable, ZoneTable};

/// INFO-CODE "Prohibited" (RFC 8914 §4.19).
const EXTENDED_ERROR_PROHIBITED: u16 = 18;
/// INFO-CODE "Not Ready" (RFC 8914 §4.15).
pub(crate) const EXTENDED_ERROR_NOT_READY: u16 = 14;
/// INFO-CODE "Not Authoritative" (RFC 8914 §4.21).
pub(crate) const EXTENDED_ERROR_NOT_AUTHORITATIVE: u16 = 20;

const CLASS_IN: u16 = 1;
const CLASS_CHAOS: u16 = 3;
const TYPE_DS: u16 = 43;
const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;

/// RFC 1996 §3.3.
const OPCODE_NOTIFY: u8 = 4;
/// RFC 2136 §1.3.
const OPCODE_UPDATE: u8 = 5;
/// First of the two bytes of flags.
const FLAGS_BYTE: usize = 2;

/// The number under which resolved data are kept.
pub(crate) const RESOLVED: u32 = 0;
/// Longest time for which an answer from a zone is kept; its records may say less. In seconds.
const ZONE_TTL_SECS_MAX: u32 = 86_400;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// In one datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// What to do with a query.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Silent,
    /// Send the front of the buffer.
    Answer {
        /// Length of the message.
        bytes: usize,
        /// How workers may keep it, if they may.
        keep: Option<Keep>,
    },
    /// Have it resolved.
    Resolve(Box<Resolve>),
    /// Send a whole zone, or what changed. Only for [`Via::Tcp`].
    Transfer(Box<SignedTransfer>),
    /// Hand it to [`Updates::submit`].
    Update(Box<Submission>),
}

/// How an answer may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Number of the zone; 0 for resolved data.
    pub zone: u32,
    /// Generation of the zone when the query came.
    pub generation: u32,
    /// Longest time to keep it, in seconds.
    pub ttl_secs: u32,
    /// Flags of the query that it depends on.
    pub key_flags: u8,
    /// Worth a place in the shared table.
    pub table: bool,
}

/// A query for the engine.
#[derive(Debug)]
pub(crate) struct Resolve {
    query: Query,
    client: IpAddr,
    alias: Option<Alias>,
    cache_only: bool,
    generation: u32,
    epoch: u32,
    signer: Option<Box<TsigSigner>>,
}

impl Resolve {
    /// Adds what only the caller knows: the query's bytes, and where the answer goes.
    #[must_use]
    pub(crate) fn into_asked(
        self,
        message: &[u8],
        origin: Origin,
        tapped: Option<Tapped>,
    ) -> Box<Asked> {
        Box::new(Asked {
            query: self.query,
            client: Some(self.client),
            message: message.into(),
            alias: self.alias,
            cache_only: self.cache_only,
            trace: false,
            is_own_word: false,
            generation: self.generation,
            epoch: self.epoch,
            signer: self.signer,
            tapped,
            origin,
        })
    }
}

/// Zone generations of the dataplane that we are attached to.
#[derive(Clone, Debug)]
struct Generations {
    generations: exchange::Generations,
    zones_max: u32,
}

/// Makes responders. For keeping: unlike them it holds no zones that have been replaced.
#[derive(Clone, Debug)]
pub(crate) struct Responders {
    pub(crate) zones: SharedTable,
    pub(crate) policy: Arc<Policy>,
    pub(crate) counters: Arc<Counters>,
}

impl Responders {
    /// For a thread that asks again and again, or for one query.
    #[must_use]
    pub(crate) fn responder(&self) -> Responder {
        Responder {
            zones: CachedTable::new(Arc::clone(&self.zones)),
            policy: Arc::clone(&self.policy),
            counters: Arc::clone(&self.counters),
            generations: None,
            kept: None,
            query: None,
            gate: None,
        }
    }
}

/// Policy and zones, for one thread or one query; what is large is shared.
#[derive(Debug)]
pub(crate) struct Responder {
    zones: CachedTable,
    policy: Arc<Policy>,
    counters: Arc<Counters>,
    generations: Option<Generations>,
    /// Resolved answers, for a thread that asks again and again.
    kept: Option<Kept>,
    query: Option<Query>,
    /// For UDP alone.
    gate: Option<Gate>,
}

/// What the configuration says about clients.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Who may have names resolved.
    pub allow: Networks,
    /// Who is in a view: gets nothing that was kept for others.
    pub views: Networks,
    /// Texts of class CHAOS.
    pub chaos: Chaos,
    /// Checks cookies; `None` if they are ignored.
    pub cookies: Option<CookieKeeper>,
    /// The query log.
    pub tap: Tap,
    /// Zones whose primaries may tell of changes.
    pub copied: CopiedZones,
    /// The way of updates.
    pub updates: Updates,
    /// What clients are told that send the Nexus extension.
    pub extension: Extension,
}

impl Responder {
    /// Where generations of answers come from: the dataplane that we are attached to.
    pub(crate) fn set_generations(&mut self, region: Option<&exchange::Region>) {
        self.generations = region.map(|region| Generations {
            generations: region.generations(),
            zones_max: region.config().zones_max,
        });
    }

    /// Answers resolved names from memory from now on.
    pub(crate) fn set_kept(&mut self, kept: Kept) {
        self.kept = Some(kept);
    }

    /// Keeps what the engine has answered.
    pub(crate) fn keep(&mut self, finished: &Finished) {
        if let Some(kept) = &mut self.kept {
            kept.keep(finished);
        }
    }

    /// Forgets a name (with all below it if true), or everything, of what was kept.
    pub(crate) fn forget(&mut self, name: Option<(&[u8], bool)>) -> usize {
        self.kept.as_mut().map_or(0, |kept| kept.forget(name))
    }

    /// Takes over the cookie secrets of the dataplane that we are attached to.
    pub(crate) fn adopt_secrets(&self, region: &exchange::Region) {
        if let Some(cookies) = &self.policy.cookies {
            cookies.adopt(region.cookie_secrets());
        }
    }

    /// Limits the responses of [`Self::permit`].
    pub(crate) fn set_gate(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    /// Whether the response to `client`, to the query of the last answer, may be sent over UDP.
    pub(crate) fn permit_answer(&mut self, response: &[u8], client: IpAddr) -> Permission {
        let Some(gate) = &mut self.gate else {
            return Permission::Send;
        };
        gate.permit(response, self.query.as_ref(), client, &self.counters)
    }

    /// Whether the response to a query that was passed on may be sent over UDP.
    pub(crate) fn permit(&mut self, response: &[u8], asked: &Asked) -> Permission {
        match (&mut self.gate, asked.client) {
            (Some(gate), Some(client)) => {
                gate.permit(response, Some(&asked.query), client, &self.counters)
            }
            _ => Permission::Send,
        }
    }

    /// Hands an update over, whose answer comes back to the front thread.
    pub(crate) fn submit(&self, submission: Submission, origin: FrontOrigin) {
        self.policy.updates.submit_from_front(submission, origin);
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The query log.
    pub(crate) fn tap(&self) -> &Tap {
        &self.policy.tap
    }

    /// The zones in service.
    pub(crate) fn zones(&mut self) -> &ZoneTable {
        self.zones.load()
    }

    /// The query of the last answer.
    pub(crate) fn query(&self) -> Option<&Query> {
        self.query.as_ref()
    }

    /// Decides. `buffer` starts with the query, of `query_bytes`, and is the room for the answer.
    pub(crate) fn respond(
        &mut self,
        buffer: &mut [u8],
        query_bytes: usize,
        client: IpAddr,
        via: Via,
    ) -> Verdict {
        self.query = None;
        match Query::parse(&buffer[..query_bytes]) {
            Ok(mut query) => {
                if self.rejects_cookie(&mut query, &buffer[..query_bytes], client, via) {
                    self.counters.answers_policy.increment();
                    let bytes =
                        write_error(buffer, query_bytes, Some(&query), rcode::BADCOOKIE, None);
                    self.query = Some(query);
                    return Verdict::Answer { bytes, keep: None };
                }
                let message = &buffer[..query_bytes];
                let signer = match self.check_signature(&query, message) {
                    Ok(signer) => signer,
                    Err(refusal) => {
                        self.counters.answers_policy.increment();
                        let bytes =
                            signing::write_refusal(buffer, query_bytes, Some(&query), &refusal);
                        self.query = Some(query);
                        return Verdict::Answer { bytes, keep: None };
                    }
                };
                let from = (client, signer.as_ref());
                match self.decide(&query, buffer, query_bytes, from, via) {
                    Decision::Answer { bytes, keep } => {
                        let bytes = self.extend(&query, buffer, bytes, via);
                        let (bytes, keep) = match &signer {
                            Some(signer) => {
                                let query = Some(&query);
                                (signing::sign(signer, buffer, bytes, query, via), None)
                            }
                            None => (bytes, keep),
                        };
                        self.query = Some(query);
                        Verdict::Answer { bytes, keep }
                    }
                    Decision::Resolve { alias, cache_only } => {
                        Verdict::Resolve(Box::new(Resolve {
                            query,
                            client,
                            alias,
                            cache_only,
                            generation: self.generation(RESOLVED).unwrap_or(0),
                            epoch: self.kept.as_ref().map_or(0, Kept::epoch),
                            signer: signer.map(Box::new),
                        }))
                    }
                    Decision::Transfer(transfer) => {
                        Verdict::Transfer(Box::new(SignedTransfer::new(*transfer, signer)))
                    }
                }
            }
            Err(QueryError::Opcode(OPCODE_NOTIFY)) => self.notified(buffer, query_bytes, client),
            Err(QueryError::Opcode(OPCODE_UPDATE)) => {
                self.updated(buffer, query_bytes, client, via)
            }
            Err(QueryError::QuestionCount(0)) => self.cookie_only(buffer, query_bytes, client),
            Err(error) => self.malformed(buffer, query_bytes, error),
        }
    }

    /// Adds the Nexus extension to a response if the query carried it. Nobody has agreed on this answer: it is
    /// this node's own word, and a server's certificate is all that it may know.
    fn extend(&self, query: &Query, buffer: &mut [u8], bytes: usize, via: Via) -> usize {
        if !query.has_extension() {
            return bytes;
        }
        let extension = &self.policy.extension;
        match extension.data(extension.certificate_of(query.qname())) {
            Some(data) => append_nexus(buffer, bytes, limit_of(query, via), &data),
            None => bytes,
        }
    }

    /// Checks the cookies of a query, and whether it is to get BADCOOKIE for them (RFC 7873 §5.2.3,
    /// §5.2.4). A connection proves an address as well.
    fn rejects_cookie(&self, query: &mut Query, message: &[u8], client: IpAddr, via: Via) -> bool {
        let Some(cookies) = &self.policy.cookies else {
            return false;
        };
        let standing = cookies.check(query, message, client, &self.counters);
        via == Via::Udp && cookies.rejects(standing)
    }

    /// A query without question, for a cookie alone (RFC 7873 §5.4).
    fn cookie_only(&mut self, buffer: &mut [u8], query_bytes: usize, client: IpAddr) -> Verdict {
        let message = &buffer[..query_bytes];
        let (Some(cookies), Ok(mut query)) =
            (&self.policy.cookies, Query::parse_cookie_only(message))
        else {
            return self.malformed(buffer, query_bytes, QueryError::QuestionCount(0));
        };
        let code = match cookies.check(&mut query, message, client, &self.counters) {
            Standing::Invalid => rcode::BADCOOKIE,
            _ => 0,
        };
        self.counters.answers_cookie.increment();
        let bytes = write_error(buffer, query_bytes, Some(&query), code, None);
        self.query = Some(query);
        Verdict::Answer { bytes, keep: None }
    }

    /// SERVFAIL for a query that nobody has time for. The query is still at the front of `buffer`.
    pub(crate) fn overloaded(&self, buffer: &mut [u8], query_bytes: usize, query: &Query) -> usize {
        self.counters.answers_overload.increment();
        self.count_extended_error(query, Some(EXTENDED_ERROR_NOT_READY));
        write_error(
            buffer,
            query_bytes,
            Some(query),
            rcode::SERVFAIL,
            Some(EXTENDED_ERROR_NOT_READY),
        )
    }

    /// A server says that a zone has changed (RFC 1996).
    fn notified(&self, buffer: &mut [u8], query_bytes: usize, client: IpAddr) -> Verdict {
        let code = self.policy.copied.on_notify(&buffer[..query_bytes], client);
        match code {
            0 => self.counters.notifies.increment(),
            _ => self.counters.notifies_refused.increment(),
        }
        let bytes = write_error(buffer, query_bytes, None, code, None);
        if let (0, Some(flags)) = (code, buffer.get_mut(FLAGS_BYTE)) {
            *flags |= (flag::AA >> 8).to_be_bytes()[1];
        }
        Verdict::Answer { bytes, keep: None }
    }

    fn malformed(&self, buffer: &mut [u8], query_bytes: usize, error: QueryError) -> Verdict {
        let Some(rcode) = error.rcode() else {
            self.counters.drops_silent.increment();
            return Verdict::Silent;
        };
        self.counters.answers_malformed.increment();
        let bytes = write_error(buffer, query_bytes, None, rcode, None);
        Verdict::Answer { bytes, keep: None }
    }

    fn decide(
        &mut self,
        query: &Query,
        buffer: &mut [u8],
        query_bytes: usize,
        from: (IpAddr, Option<&TsigSigner>),
        via: Via,
    ) -> Decision {
        match query.qclass {
            CLASS_IN => {}
            CLASS_CHAOS => {
                self.counters.answers_policy.increment();
                let bytes = self.policy.chaos.answer(query, buffer, query_bytes);
                return Decision::Answer { bytes, keep: None };
            }
            _ => return self.refuse(query, buffer, query_bytes, None),
        }
        match query.qtype {
            TYPE_AXFR | TYPE_IXFR => self.decide_transfer(query, buffer, query_bytes, from, via),
            _ => self.decide_data(query, buffer, query_bytes, from.0, via),
        }
    }

    fn decide_data(
        &mut self,
        query: &Query,
        buffer: &mut [u8],
        query_bytes: usize,
        client: IpAddr,
        via: Via,
    ) -> Decision {
        let may_recurse = query.recursion_desired() && self.policy.allow.contain(client);
        let zones = self.zones.load();
        let found = zones.find(query.qname(), query.qtype);
        if zones.is_awaited(query.qname(), found) {
            let code = Some(EXTENDED_ERROR_NOT_READY);
            self.counters.answers_zone.increment();
            self.count_extended_error(query, code);
            let bytes = write_error(buffer, query_bytes, Some(query), rcode::SERVFAIL, code);
            return Decision::Answer { bytes, keep: None };
        }
        let Some(served) = found else {
            return self.decide_foreign(query, buffer, query_bytes, client);
        };
        // The parent speaks of DS, and where it is not ours it can be asked (RFC 4035 §3.1.4.1).
        if may_recurse && query.qtype == TYPE_DS && served.zone.apex() == query.qname() {
            return Decision::Resolve {
                alias: None,
                cache_only: false,
            };
        }
        let generations = self.generations.as_ref();
        let generation = generations.and_then(|generations| generations.of(served.number));
        let answer = ZoneAnswer::write(served, query, buffer, via);
        if let Some(target) = answer.target {
            let (first, target) = (&buffer[..answer.bytes], target.as_bytes());
            let followed = follow(zones, served, query, first, target);
            if let Some(Followed { response, target }) = followed {
                if let (true, Some(target)) = (may_recurse, target) {
                    return Decision::resolve_behind(response, target);
                }
                self.counters.answers_zone.increment();
                let mut finisher = Finisher::default();
                let written = finisher.write_over(query, query_bytes, &response, buffer, via);
                // Each of its zones may change, and an entry has the generation of one: not kept.
                let (bytes, keep) = (written.bytes, None);
                return Decision::Answer { bytes, keep };
            }
            if may_recurse {
                return Decision::resolve_behind(first.to_vec(), target.to_vec());
            }
        }
        if may_recurse && answer.kind == Kind::Referral {
            return Decision::Resolve {
                alias: None,
                cache_only: false,
            };
        }
        self.counters.answers_zone.increment();
        // What another client would have had resolved must not be kept for both.
        let depends_on_client =
            query.recursion_desired() && (answer.target.is_some() || answer.kind == Kind::Referral);
        let keep = generation
            .filter(|_| answer.whole && !depends_on_client)
            .map(|generation| Keep {
                zone: served.number,
                generation,
                ttl_secs: ZONE_TTL_SECS_MAX,
                key_flags: query.key_flags(),
                // Cheaper to find again than to make room for: names that do not exist are endless.
                table: matches!(answer.kind, Kind::Answer | Kind::Referral | Kind::Alias),
            });
        Decision::Answer {
            bytes: answer.bytes,
            keep,
        }
    }

    /// A name of no zone of ours.
    fn decide_foreign(
        &mut self,
        query: &Query,
        buffer: &mut [u8],
        query_bytes: usize,
        client: IpAddr,
    ) -> Decision {
        if !self.policy.allow.contain(client) {
            let code = if query.recursion_desired() {
                EXTENDED_ERROR_PROHIBITED
            } else {
                EXTENDED_ERROR_NOT_AUTHORITATIVE
            };
            return self.refuse(query, buffer, query_bytes, Some(code));
        }
        // A signature covers the exact bytes of its answer, so no memory can give one.
        // What the extension says of an answer the engine knows.
        let shared = !query.signed && !query.has_extension() && !self.policy.views.contain(client);
        let kept = self.kept.as_mut().filter(|_| shared);
        if let Some(bytes) = kept.and_then(|kept| kept.answer(query, buffer)) {
            self.counters.answers_kept.increment();
            return Decision::Answer { bytes, keep: None };
        }
        Decision::Resolve {
            alias: None,
            cache_only: !query.recursion_desired(),
        }
    }

    fn refuse(
        &self,
        query: &Query,
        buffer: &mut [u8],
        query_bytes: usize,
        code: Option<u16>,
    ) -> Decision {
        self.counters.answers_policy.increment();
        self.count_extended_error(query, code);
        let bytes = write_error(buffer, query_bytes, Some(query), rcode::REFUSED, code);
        Decision::Answer { bytes, keep: None }
    }

    /// Only clients with EDNS are told.
    fn count_extended_error(&self, query: &Query, code: Option<u16>) {
        if let Some(code) = code.filter(|_| query.edns.is_some()) {
            self.counters.extended_errors.count(code);
        }
    }

    fn generation(&self, zone: u32) -> Option<u32> {
        self.generations
            .as_ref()
            .and_then(|generations| generations.of(zone))
    }
}

impl Generations {
    /// `None` for a zone that this dataplane has no number for: its answers are not kept.
    fn of(&self, zone: u32) -> Option<u32> {
        (zone < self.zones_max).then(|| self.generations.generation(zone))
    }
}

impl Decision {
    /// Have resolved what is behind an alias that leads out of our authority.
    fn resolve_behind(response: Vec<u8>, target: Vec<u8>) -> Self {
        Self::Resolve {
            alias: Some(Alias { response, target }),
            cache_only: false,
        }
    }
}

enum Decision {
    Answer {
        bytes: usize,
        keep: Option<Keep>,
    },
    Resolve {
        alias: Option<Alias>,
        cache_only: bool,
    },
    Transfer(Box<Transfer>),
}

/// A zone's answer as it was written.
struct ZoneAnswer {
    kind: Kind,
    target: Option<resolver::zone::NameBuffer>,
    bytes: usize,
    /// Nothing was left out for lack of room.
    whole: bool,
}

impl ZoneAnswer {
    /// Over UDP the answer is first written as for a client that takes the most, so that workers
    /// can keep it for every client; again, cut, if this one takes less.
    fn write(served: &ServedZone, query: &Query, buffer: &mut [u8], via: Via) -> Self {
        let (limit, limit_max) = match via {
            Via::Udp => (
                query.response_limit(UDP_PAYLOAD_BYTES_MAX),
                UDP_PAYLOAD_BYTES_MAX,
            ),
            Via::Tcp => (u16::MAX, u16::MAX),
        };
        let answer = Self::write_within(served, query, buffer, usize::from(limit_max));
        if answer.bytes <= usize::from(limit) {
            return answer;
        }
        let cut = Self::write_within(served, query, buffer, usize::from(limit));
        Self {
            whole: false,
            ..cut
        }
    }

    fn write_within(served: &ServedZone, query: &Query, buffer: &mut [u8], limit: usize) -> Self {
        let limit = limit.min(buffer.len());
        let opt_bytes = opt_bytes(query);
        let outcome = served.zone.answer(query, buffer, limit - opt_bytes);
        let mut bytes = outcome.total_bytes;
        // RA: there is a resolver here, whoever may use it.
        let flags = outcome.flags | flag::RA;
        buffer[2..4].copy_from_slice(&flags.to_be_bytes());
        if query.edns.is_some() {
            write_opt(&mut buffer[bytes..bytes + opt_bytes], query);
            bytes += opt_bytes;
            let additional = outcome.counts[2].saturating_add(1);
            buffer[10..12].copy_from_slice(&additional.to_be_bytes());
        }
        let whole = outcome.kind != Kind::Truncated;
        Self {
            kind: outcome.kind,
            target: outcome.target,
            bytes,
            whole,
        }
    }
}

mod transferring;
mod updating;

#[cfg(test)]
mod tests;
