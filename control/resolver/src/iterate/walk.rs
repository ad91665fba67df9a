//! How a resolution goes on: read the cache, find servers, ask one; and what to do when none is left.

use std::net::IpAddr;

use hickory_proto::rr::RecordType;

use super::cache::{Kind, Want};
use super::config::QnameMinimisation;
use super::failures::Failure;
use super::lookup::{Denied, Look, Resolution};
use super::message::{Effect, extended_error};
use super::name::WireName;
use super::place::{Choice, Pending, Place};
use super::reply::Alias;
use super::resolver::Resolver;
use super::route::Routes;
use super::rrset::{RrSet, Security};
use super::task::{Task, TaskKey, Wait, Waiter};
use super::trace::TraceKind;

/// Moves of one task in one step, all without a message: more would be a mistake of ours.
const MOVES_MAX: usize = 512;
/// Time between two attempts to prime, in milliseconds.
const PRIME_PAUSE_MS: u64 = 60_000;
/// Time between two questions to a parent for the new servers of one dead or doubtful zone, in milliseconds.
pub(super) const ABANDON_PAUSE_MS: u64 = 30_000;

/// How a task ended.
pub(super) type Ending = Result<Resolution, Failure>;

impl Resolver {
    /// Goes on with every queued task. Each move uses up something that is bounded, so this ends.
    pub(super) fn run(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        while let Some(id) = self.ready.pop_front() {
            let Some(mut task) = self.tasks.take(id) else {
                continue;
            };
            task.queued = false;
            if let Some(ending) = self.advance(now_ms, &mut task, effects) {
                self.finish(now_ms, task, ending, effects);
                continue;
            }
            assert!(
                task.exchange.is_some() || !task.waits.is_empty() || task.is_parked,
                "a task waits for something"
            );
            self.tasks.put_back(task);
            self.untie(id);
        }
    }

    /// Moves one task until it waits (`None`) or ends.
    fn advance(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        effects: &mut Vec<Effect>,
    ) -> Option<Ending> {
        for _ in 0..MOVES_MAX {
            if task.exchange.is_some() {
                return None;
            }
            if let Some(found) = task.found.take() {
                let ending = self.judge(now_ms, task, found);
                if ending.is_some() || task.found.is_some() {
                    return ending;
                }
            }
            if std::mem::take(&mut task.look)
                && let Some(ending) = self.consult(now_ms, task)
            {
                match self.hold_for_judgement(task, ending) {
                    None => continue,
                    ending => return ending,
                }
            }
            if task.place.is_none() {
                self.locate(now_ms, task);
            }
            match self.move_without_servers(now_ms, task) {
                None => {}
                Some(None) => continue,
                Some(ending) => return ending,
            }
            let (qtype, attempts_max) = (self.qtype(task), self.attempts_max(task));
            let place = task.place.as_ref().expect("located above");
            let room = self.room(place.forward.is_some());
            let (servers, random) = (&mut self.servers, &mut self.random);
            match place.choose(now_ms, qtype, attempts_max, room, servers, random) {
                Choice::Server(index, standing) => {
                    return self
                        .send(now_ms, task, index, standing, effects)
                        .err()
                        .map(Err);
                }
                Choice::Full(server) => {
                    self.wait_for_room(now_ms, task, server);
                    return None;
                }
                Choice::Resolve
                    if task.waits.len() < self.config.limits.subqueries_parallel_max =>
                {
                    self.resolve_server(now_ms, task);
                }
                Choice::Resolve => return None,
                Choice::Exhausted if !task.waits.is_empty() => return None,
                // The chain of trust wanted other keys, and there are none. Clients that check
                // themselves may wait for the same question and get those that there are.
                Choice::Exhausted
                    if !task.avoided.is_empty()
                        && !task.is_refresh()
                        && task.key.checking_disabled =>
                {
                    task.avoided.clear();
                    task.restart();
                }
                Choice::Exhausted => {
                    if let Some(failure) = self.fall_back(now_ms, task) {
                        return Some(Err(failure));
                    }
                }
            }
        }
        Some(Err(
            self.limited(format!("no progress in {MOVES_MAX} moves"))
        ))
    }

    /// A move for which no server is asked: with what the cache says of a part of the name, or what a
    /// copy of the zone says. The inner value is the task's ending; `None` if there is no such move.
    fn move_without_servers(&mut self, now_ms: u64, task: &mut Task) -> Option<Option<Ending>> {
        let ending = match self.minimise(now_ms, task) {
            Some(ending) => Some(ending),
            None => {
                task.place.as_ref().filter(|place| place.here)?;
                self.ask_here(now_ms, task)
            }
        };
        Some(ending.and_then(|ending| self.hold_for_judgement(task, ending)))
    }

    /// Follows the cache from the current name; ends the task if it holds the rest.
    fn consult(&mut self, now_ms: u64, task: &mut Task) -> Option<Ending> {
        loop {
            let want = Want {
                helpers: false,
                unchecked: task.key.checking_disabled,
                stale: false,
            };
            if self.is_for_subnet(task) {
                return None;
            }
            let events_max = self.config.limits.trace_events_max;
            let before = self.counters.aggressive;
            let look = self.look_for(task, |own, key, name| own.look(now_ms, key, name, want));
            let proven = self.counters.aggressive > before;
            match look {
                Look::Data { sets, proof, stale } => {
                    let (name, rtype) = (task.sname.clone(), task.key.rtype);
                    task.note(now_ms, events_max, || {
                        TraceKind::cache_hit(&name, rtype, proven)
                    });
                    return Some(Ok(Resolution::data(
                        std::mem::take(&mut task.chain),
                        sets,
                        proof,
                        stale,
                    )));
                }
                Look::Denied {
                    rcode,
                    proof,
                    security,
                    ttl_secs,
                    stale,
                } => {
                    let (name, rtype) = (task.sname.clone(), task.key.rtype);
                    task.note(now_ms, events_max, || {
                        TraceKind::cache_hit(&name, rtype, proven)
                    });
                    let chain = std::mem::take(&mut task.chain);
                    let denied = Denied { name, security };
                    return Some(Ok(Resolution::denied(
                        rcode, chain, denied, proof, ttl_secs, stale,
                    )));
                }
                // Whether the name is an alias is what DS is asked for: the zone above knows.
                Look::Alias { alias, .. } if stands_for_ds(&task.key, &alias) => return None,
                Look::Alias { alias, .. } => {
                    if let Some(ending) = self.follow_alias(now_ms, task, *alias) {
                        return Some(ending);
                    }
                }
                Look::Nothing => return None,
            }
        }
    }

    /// Finds the zone to ask for the current name: a forwarder's, or the closest one whose servers
    /// are known.
    fn locate(&mut self, now_ms: u64, task: &mut Task) {
        // DS is data of the parent (RFC 4035 §3.1.4.1).
        let above = if task.key.rtype == RecordType::DS {
            task.sname.parent()
        } else {
            None
        };
        let name = above.unwrap_or_else(|| task.sname.clone());
        let place = self.locate_routed(now_ms, task, &name);
        let kind = || TraceKind::Zone {
            zone: place.zone.to_name(),
            addresses: place.candidates.len(),
            unresolved: place.pending.len(),
            forward: place.forward.is_some(),
        };
        task.note(now_ms, self.config.limits.trace_events_max, kind);
        task.go_to(place);
    }

    /// The closest zone around the name whose name servers are cached and can be asked, of those that
    /// are `usable`.
    pub(super) fn locate_cached(
        &mut self,
        now_ms: u64,
        name: &WireName,
        usable: impl Fn(&Routes, &WireName) -> bool,
    ) -> Option<Place> {
        let want = Want::HELPERS;
        for suffix in name.suffixes() {
            let Some(found) = self.cache.find(now_ms, suffix, RecordType::NS, want) else {
                continue;
            };
            let Some(zone) = WireName::parse(suffix).filter(|_| found.kind == Kind::Data) else {
                continue;
            };
            if !usable(&self.routes, &zone) {
                continue;
            }
            let mut place = self.place(now_ms, &found.set(zone), &[]);
            (place.cached, place.delegated_until_ms) = (true, found.expires_ms);
            // Without addresses it is of no use: the zone above will give them again.
            if !(place.candidates.is_empty() && place.pending.is_empty()) {
                return Some(place);
            }
        }
        None
    }

    /// The root by its hints; the real list is fetched beside (RFC 8109).
    pub(super) fn locate_root(&mut self, now_ms: u64) -> Place {
        let mut place = Place::new(WireName::root());
        for (_, addresses) in &self.config.root_hints {
            for address in addresses.iter().filter(|address| self.uses_family(address)) {
                let server = std::net::SocketAddr::new(*address, self.config.port);
                place.add_server(&self.config, server);
            }
        }
        let key = TaskKey {
            name: WireName::root(),
            rtype: RecordType::NS,
            checking_disabled: self.trust.is_some(),
            subnet: None,
        };
        let room = self.has_place();
        if now_ms >= self.prime_after_ms && room && self.tasks.find(&key).is_none() {
            self.prime_after_ms = now_ms + PRIME_PAUSE_MS;
            let id = self.begin(now_ms, key);
            // Whoever comes here does not want the forwarder of the root, if there is one.
            if let Some(task) = self.tasks.get_mut(id) {
                task.iterate_only = true;
            }
        }
        place
    }

    fn uses_family(&self, address: &IpAddr) -> bool {
        if address.is_ipv4() {
            self.config.use_ipv4
        } else {
            self.config.use_ipv6
        }
    }

    /// A zone with the servers that its NS RRset names: addresses from the cache and from `glue`,
    /// the rest to be looked up. Which are considered, if there are too many, is left to chance.
    pub(super) fn place(&mut self, now_ms: u64, nameservers: &RrSet, glue: &[RrSet]) -> Place {
        let mut place = Place::new(nameservers.owner.clone());
        let mut hosts: Vec<WireName> = nameservers.targets().collect();
        let mut second = Vec::new();
        for _ in 0..self.config.limits.nameservers_max.min(hosts.len()) {
            let host = hosts.swap_remove(self.random.below(hosts.len()));
            let mut missing = Vec::new();
            for rtype in self.families() {
                let want = Want::HELPERS;
                let cached = self.cache.find(now_ms, host.as_bytes(), rtype, want);
                let mut addresses: Vec<IpAddr> = Vec::new();
                let given = glue
                    .iter()
                    .filter(|set| set.owner == host && set.rtype == rtype);
                given.for_each(|set| addresses.extend(set.addresses()));
                if let Some(found) = &cached {
                    addresses.extend(found.set(host.clone()).addresses());
                }
                // A server inside the zone cannot be found through the zone's other servers: those
                // are needed first, or they answer and it is not needed.
                if addresses.is_empty() && cached.is_none() && !host.is_within(&place.zone) {
                    missing.push(Pending {
                        host: host.clone(),
                        rtype,
                    });
                }
                place.add_host(&self.config, addresses);
            }
            // A second family of a server that has an address is worth a query only in need.
            let in_need = missing.len() < self.families().count();
            if in_need {
                &mut second
            } else {
                &mut place.pending
            }
            .extend(missing);
        }
        place.pending.extend(second);
        place
    }

    fn families(&self) -> impl Iterator<Item = RecordType> + use<> {
        let v4 = self.config.use_ipv4.then_some(RecordType::A);
        let v6 = self.config.use_ipv6.then_some(RecordType::AAAA);
        v4.into_iter().chain(v6)
    }

    /// Looks up the address of one name server of the current zone.
    fn resolve_server(&mut self, now_ms: u64, task: &mut Task) {
        let limits = self.config.limits;
        let Some(place) = &mut task.place else { return };
        if place.subqueries >= limits.subqueries_zone_max {
            place.pending.clear(); // NXNSAttack: a delegation may not cost more.
            return;
        }
        let pending = place.pending.remove(0);
        let want = Want::HELPERS;
        match self.cache.look(now_ms, &pending.host, pending.rtype, want) {
            // RFC 2181 §10.3: a name server is no alias.
            Look::Denied { .. } | Look::Alias { .. } => return,
            Look::Data { sets, .. } => {
                return place.add_host(&self.config, sets.iter().flat_map(RrSet::addresses));
            }
            Look::Nothing => {}
        }
        let zone = place.zone.clone();
        let key = TaskKey {
            name: pending.host,
            rtype: pending.rtype,
            checking_disabled: self.trust.is_some(),
            subnet: None,
        };
        let room = self.has_place();
        let work = self.tasks.work(task.work);
        let spent = work.subqueries_left == 0 || task.depth >= limits.depth_max;
        let allowed = !spent && room && self.failures.find(now_ms, &key).is_none();
        // A sub-resolution was only the one that had the bad luck.
        task.blame.local |= !room || (spent && task.depth > 0);
        let existing = self.tasks.find(&key);
        if key == task.key || (existing.is_none() && !allowed) {
            return;
        }
        place.subqueries += 1;
        let kind = || TraceKind::Subquery {
            name: key.name.to_name(),
            rtype: key.rtype,
        };
        task.note(now_ms, limits.trace_events_max, kind);
        let id = existing.unwrap_or_else(|| {
            self.counters.subqueries += 1;
            self.tasks.work(task.work).subqueries_left -= 1;
            self.spawn(key, task.work, task.depth + 1)
        });
        self.wait_for(task, id, Some(zone));
    }

    /// Lets a task wait for another, which finds an address for a zone, or DS or DNSKEY.
    pub(super) fn wait_for(&mut self, task: &mut Task, id: u64, zone: Option<WireName>) {
        if zone.is_none() && task.waits.iter().any(|wait| wait.task == id) {
            return;
        }
        let sub = self
            .tasks
            .get_mut(id)
            .expect("only the task itself is out of the table");
        sub.waiters.push(Waiter::Task(task.id));
        if task.trace.is_some() && sub.trace.is_none() {
            sub.trace = Some(Vec::new());
        }
        task.waits.push(Wait { task: id, zone });
    }

    /// Nothing is left to ask here: the next best thing, or the failure.
    fn fall_back(&mut self, now_ms: u64, task: &mut Task) -> Option<Failure> {
        let minimising = self.part(task).is_some();
        let strict = self.config.qname_minimisation == QnameMinimisation::Strict;
        let failure = task.exhausted();
        let Some(place) = &mut task.place else {
            return Some(failure);
        };
        if minimising && !strict {
            place.renew(self.config.limits.attempts_max.saturating_sub(2));
            self.show_whole(task);
            return None;
        }
        if let Some(index) = place.forward {
            let fallback = self
                .config
                .forward
                .get(index)
                .is_some_and(|forward| forward.fallback);
            if !fallback {
                return Some(failure);
            }
            (task.iterate_only, task.place) = (true, None);
            return None;
        }
        if !place.cached || place.zone.is_root() || task.abandoned {
            return Some(failure);
        }
        // The zone may have moved: its parent knows. It is not to pay for each question for a zone
        // that is simply dead (RFC 4697 §2.1.1, RFC 9520 §3.3).
        if !self.may_give_up(now_ms, &place.zone) {
            return Some(failure);
        }
        self.cache.remove(&place.zone, RecordType::NS);
        (task.abandoned, task.place) = (true, None);
        None
    }

    /// A failure for which our limits are to blame.
    pub(super) fn limited(&mut self, text: String) -> Failure {
        self.counters.limited += 1;
        Failure {
            code: extended_error::OTHER,
            text,
            lasting: true,
        }
    }
}

/// Whether an alias was found where DS is asked for and may as well be what a zone there says of its
/// own apex. That is not for it to say, and not how to find out whether it may.
fn stands_for_ds(key: &TaskKey, alias: &Result<Alias, Alias>) -> bool {
    let (Ok(alias) | Err(alias)) = alias;
    let is_unchecked = alias.set.security == Security::Unchecked;
    key.rtype == RecordType::DS && alias.set.owner == key.name && is_unchecked
}
