//! What a reply does: to the cache once, then to each task that waited for it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::cache::Source;
use super::config::QnameMinimisation;
use super::exchange::Exchange;
use super::lookup::{Denied, Resolution};
use super::message::{Effect, Trust};
use super::name::WireName;
use super::reply::{Alias, End, Meaning, Reading};
use super::resolver::Resolver;
use super::rrset::{RrSet, Security};
use super::task::Task;
use super::trace::TraceKind;
use super::walk::Ending;

impl Resolver {
    /// A reply was understood.
    pub(super) fn on_reading(
        &mut self,
        now_ms: u64,
        exchange: &Exchange,
        rcode: ResponseCode,
        rtt_ms: u32,
        reading: &Reading,
        effects: &mut Vec<Effect>,
    ) {
        self.note_standing(now_ms, exchange, reading);
        self.record(now_ms, exchange, reading);
        let (server, meaning) = (exchange.server, reading.meaning.label());
        for &id in &exchange.tasks {
            let Some(mut task) = self.tasks.take(id) else {
                continue;
            };
            task.exchange = None;
            task.subnet_scope = task.subnet_scope.max(exchange.subnet_scope);
            let events_max = self.config.limits.trace_events_max;
            task.note(now_ms, events_max, || TraceKind::Reply {
                server,
                rcode,
                meaning,
                rtt_ms,
            });
            let ending = self.follow(now_ms, &mut task, exchange, reading);
            if !matches!(reading.meaning, Meaning::Referral { .. }) {
                task.source = Some(server);
            }
            match ending.and_then(|ending| self.hold_for_judgement(&mut task, ending)) {
                Some(ending) => self.finish(now_ms, task, ending, effects),
                None => {
                    self.tasks.put_back(task);
                    self.queue(id);
                }
            }
        }
    }

    /// Remembers whether the server serves the zone.
    fn note_standing(&mut self, now_ms: u64, exchange: &Exchange, reading: &Reading) {
        match &reading.meaning {
            Meaning::Lame(_) | Meaning::Failure(ResponseCode::Refused | ResponseCode::NotAuth) => {
                self.counters.lame += 1;
                self.servers.note_lame(now_ms, exchange.asked());
            }
            Meaning::Failure(_) => {}
            Meaning::Answer { .. } | Meaning::Referral { .. } => {
                self.servers.note_sound(exchange.asked());
            }
        }
    }

    /// Puts into the cache what the server may be believed.
    pub(super) fn record(&mut self, now_ms: u64, exchange: &Exchange, reading: &Reading) {
        let view = &exchange.view;
        let source = |trust| Source {
            trust,
            unchecked: view.forward && view.checking_disabled && self.trust.is_none(),
            delegated_until_ms: exchange.delegated_until_ms,
        };
        let cache = &mut self.cache;
        match &reading.meaning {
            // Made for one network.
            Meaning::Answer { .. } if view.subnet.is_some() => {}
            Meaning::Answer {
                aliases,
                end,
                trust,
            } => {
                let source = source(*trust);
                for alias in aliases {
                    cache.insert_data(now_ms, &alias.set, source, &alias.proof);
                }
                let last = aliases.last().map_or(&view.qname, |alias| &alias.target);
                match end {
                    End::Data { sets, proof } => {
                        for set in sets {
                            cache.insert_data(now_ms, set, source, proof);
                        }
                    }
                    End::NoData { proof } => {
                        cache.insert_denial(now_ms, last, Some(view.qtype), source, proof);
                    }
                    End::NxDomain { proof } => {
                        cache.insert_denial(now_ms, last, None, source, proof);
                    }
                    End::Open | End::TooLong => {}
                }
            }
            Meaning::Referral { nameservers, ds } => {
                let source = source(Trust::Referral);
                cache.insert_data(now_ms, nameservers, source, &[]);
                match ds.first() {
                    Some(set) if set.rtype == RecordType::DS => {
                        cache.insert_data(now_ms, set, source, &[]);
                    }
                    Some(_) => cache.insert_no_ds(now_ms, &nameservers.owner, source, ds),
                    None => {}
                }
            }
            Meaning::Lame(_) | Meaning::Failure(_) => {}
        }
        if let Some(nameservers) = &reading.nameservers {
            let source = source(Trust::AuthoritativeAuthority);
            cache.insert_data(now_ms, nameservers, source, &[]);
        }
        for set in &reading.glue {
            cache.insert_data(now_ms, set, source(Trust::Additional), &[]);
        }
    }

    /// What the reply means for one task; gives its ending, if it ends it.
    pub(super) fn follow(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        exchange: &Exchange,
        reading: &Reading,
    ) -> Option<Ending> {
        let view = &exchange.view;
        let whole = view.qname == task.sname && view.qtype == task.key.rtype;
        match &reading.meaning {
            Meaning::Failure(rcode) => {
                task.blame.failed |=
                    !matches!(rcode, ResponseCode::Refused | ResponseCode::NotAuth);
                self.on_useless(task, exchange, whole, &format!("it said {rcode}"));
                None
            }
            Meaning::Lame(reason) => {
                self.on_useless(task, exchange, whole, reason);
                None
            }
            Meaning::Referral { nameservers, .. } => {
                self.follow_referral(now_ms, task, exchange, nameservers, &reading.glue)
            }
            Meaning::Answer { aliases, end, .. } if !whole => {
                self.follow_part(task, exchange, aliases, end)
            }
            Meaning::Answer { aliases, end, .. } => {
                if let Some(candidate) = task.candidate(exchange.server) {
                    candidate.answered();
                }
                for alias in aliases {
                    let too_long = matches!(end, End::TooLong) && alias.target == task.sname;
                    let alias = self.bounded(alias);
                    let source = (alias.set.owner.clone(), exchange.server);
                    task.alias_sources.push(source);
                    let alias = if too_long { Err(alias) } else { Ok(alias) };
                    if let Some(ending) = self.follow_alias(now_ms, task, alias) {
                        return Some(ending);
                    }
                }
                let name = task.sname.clone();
                self.follow_end(task, &name, end)
            }
        }
    }

    /// The server was of no use. If it saw only a part of the name, that may have been the reason
    /// (RFC 9156 §3); else it is asked no more in this step.
    fn on_useless(&mut self, task: &mut Task, exchange: &Exchange, whole: bool, reason: &str) {
        task.blame.note(exchange.server, reason);
        let relaxed = self.config.qname_minimisation == QnameMinimisation::Relaxed;
        if !whole && relaxed {
            self.show_whole(task);
        } else if let Some(candidate) = task.candidate(exchange.server) {
            candidate.dead = true;
        }
    }

    /// Goes down to the zone of a referral.
    fn follow_referral(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        exchange: &Exchange,
        nameservers: &RrSet,
        glue: &[RrSet],
    ) -> Option<Ending> {
        let referrals_max = self.config.limits.referrals_max;
        if task.referrals == referrals_max {
            return Some(Err(
                self.limited(format!("more than {referrals_max} referrals"))
            ));
        }
        task.referrals += 1;
        let mut place = self.place(now_ms, nameservers, glue);
        let ttl_secs = self.cache.positive_ttl_secs(nameservers.ttl_secs);
        let until_ms = now_ms + u64::from(ttl_secs) * 1000;
        place.delegated_until_ms = until_ms.min(exchange.delegated_until_ms);
        let kind = || TraceKind::Zone {
            zone: place.zone.to_name(),
            addresses: place.candidates.len(),
            unresolved: place.pending.len(),
            forward: false,
        };
        task.note(now_ms, self.config.limits.trace_events_max, kind);
        task.go_to(place);
        None
    }

    /// An answer for a part of the name: it exists, or not, or lies under a DNAME.
    fn follow_part(
        &mut self,
        task: &mut Task,
        exchange: &Exchange,
        aliases: &[Alias],
        end: &End,
    ) -> Option<Ending> {
        if let Some(candidate) = task.candidate(exchange.server) {
            candidate.answered();
        }
        let strict = self.config.qname_minimisation == QnameMinimisation::Strict;
        match end {
            End::NxDomain { proof } if aliases.is_empty() && strict => {
                let denial = End::NxDomain {
                    proof: proof.clone(),
                };
                self.follow_end(task, &exchange.view.qname, &denial)
            }
            End::NxDomain { .. } if aliases.is_empty() => {
                self.show_whole(task);
                None
            }
            _ if aliases
                .iter()
                .any(|alias| alias.set.rtype == super::rrset::DNAME) =>
            {
                if let Some(place) = &mut task.place {
                    place.whole_name = true; // The next reply applies it to the whole name.
                }
                task.look = true;
                None
            }
            _ => {
                self.show_more(task);
                None
            }
        }
    }

    /// Follows one alias; an error is a DNAME that makes the name too long. Gives the task's ending,
    /// if that ends it.
    pub(super) fn follow_alias(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        alias: Result<Alias, Alias>,
    ) -> Option<Ending> {
        let alias = match alias {
            Ok(alias) => alias,
            Err(too_long) => {
                let chain = std::mem::take(&mut task.chain);
                return Some(Ok(Resolution::too_long(chain, too_long, false)));
            }
        };
        if alias.answers(task.key.rtype) {
            let chain = std::mem::take(&mut task.chain);
            return Some(Ok(Resolution::alias(chain, alias, false)));
        }
        let aliases_max = self.config.limits.aliases_max;
        if task.passed.len() >= usize::from(aliases_max) {
            return Some(Err(self.limited(format!("more than {aliases_max} aliases"))));
        }
        if alias.target == task.sname || task.passed.contains(&alias.target) {
            let text = format!(
                "the aliases of {} form a loop at {}",
                task.key.name, alias.target
            );
            return Some(Err(self.limited(text)));
        }
        let (from, to) = (task.sname.clone(), &alias.target);
        task.note(now_ms, self.config.limits.trace_events_max, || {
            TraceKind::Alias {
                from: from.to_name(),
                to: to.to_name(),
            }
        });
        let target = task.chain.push(alias);
        task.passed.push(std::mem::replace(&mut task.sname, target));
        task.place = None;
        task.minimised = 0;
        task.look = true;
        None
    }

    /// How the chain ends in this reply; `name` is what it denies, if it denies anything.
    fn follow_end(&mut self, task: &mut Task, name: &WireName, end: &End) -> Option<Ending> {
        let (rcode, proof) = match end {
            End::Open | End::TooLong => {
                task.look = true;
                return None;
            }
            End::Data { sets, proof } => {
                let bounded =
                    |sets: &[RrSet]| sets.iter().map(|set| self.bounded_set(set)).collect();
                let chain = std::mem::take(&mut task.chain);
                return Some(Ok(Resolution::data(
                    chain,
                    bounded(sets),
                    bounded(proof),
                    false,
                )));
            }
            End::NoData { proof } => (ResponseCode::NoError, proof),
            End::NxDomain { proof } => (ResponseCode::NXDomain, proof),
        };
        let ttl_secs = self.cache.negative_ttl_secs(proof).unwrap_or(0);
        let (chain, proof) = (std::mem::take(&mut task.chain), proof.clone());
        let denied = Denied {
            name: name.clone(),
            security: Security::Unchecked,
        };
        Some(Ok(Resolution::denied(
            rcode, chain, denied, proof, ttl_secs, false,
        )))
    }

    fn bounded(&self, alias: &Alias) -> Alias {
        Alias {
            set: self.bounded_set(&alias.set),
            synthesised: alias.synthesised.as_ref().map(|set| self.bounded_set(set)),
            target: WireName::clone(&alias.target),
            proof: alias
                .proof
                .iter()
                .map(|set| self.bounded_set(set))
                .collect(),
        }
    }

    fn bounded_set(&self, set: &RrSet) -> RrSet {
        RrSet {
            ttl_secs: self.cache.positive_ttl_secs(set.ttl_secs),
            ..set.clone()
        }
    }
}
