//! The state machine: inputs in, effects out.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use hickory_proto::rr::{Name, Record, RecordType};

use super::aggressive::Aggressive;
use super::ask::refusal;
use super::bounded::{BoundedMap, HashKeys};
use super::cache::{Cache, Lifetimes};
use super::config::Config;
use super::cookie::ClientCookies;
use super::exchange::Exchanges;
use super::failures::Failures;
use super::local_root::LocalRoot;
use super::manage::TrustEvent;
use super::message::{Effect, Input, Outcome, Question};
use super::name::WireName;
use super::parked::Parked;
use super::random::Random;
use super::rollover::RollOver;
use super::route::{self, Routes};
use super::servers::Servers;
use super::statistics::Statistics;
use super::subnet::Subnets;
use super::task::Tasks;
use super::trust::TrustTree;

/// The part of the cache's bytes that is for proven denials.
const AGGRESSIVE_SHARE: usize = 8;

/// Forwards and iterates. One value holds the cache and every resolution under way.
///
/// Message ids, name case and the choice of servers come from a ChaCha20 generator. They protect
/// against forged replies only while nobody can predict them: the shell must take `seed` from the
/// operating system's generator, and may [`reseed`](Self::reseed) it at any time. The shell adds
/// the other half of that protection, an unpredictable source port for each UDP exchange.
pub struct Resolver {
    pub(super) config: Config,
    /// Of `config.forward` and `config.stub`.
    pub(super) routes: Routes,
    pub(super) client_cookies: ClientCookies,
    pub(super) subnets: Subnets,
    /// Answers instead of the root servers, if there is one.
    pub(super) local_root: Option<LocalRoot>,
    pub(super) random: Random,
    pub(super) cache: Cache,
    /// Proven denials by zone; empty unless something is validated.
    pub(super) aggressive: Aggressive,
    pub(super) servers: Servers,
    /// `None`: nothing is validated.
    pub(super) trust: Option<TrustTree>,
    /// Trust anchors that follow their zones; empty if none does.
    pub(super) roll_over: RollOver,
    /// What the shell is to be told of trust.
    pub(super) trust_events: Vec<TrustEvent>,
    /// Unix time less the time of `step`, in seconds.
    pub(super) unix_offset_secs: i64,
    pub(super) failures: Failures,
    /// When the delegation of a dead or doubtful zone was last given up.
    pub(super) abandoned: BoundedMap<WireName, u64>,
    pub(super) tasks: Tasks,
    pub(super) exchanges: Exchanges,
    pub(super) parked: Parked,
    /// Tasks to go on with in this step.
    pub(super) ready: VecDeque<u64>,
    /// When each task runs out of time.
    pub(super) task_deadlines: BTreeSet<(u64, u64)>,
    /// When clients get what is past its TTL: then, of which task, by ticket.
    pub(super) stale_deadlines: BTreeSet<(u64, u64, u64)>,
    pub(super) tickets: usize,
    /// Resolutions that refresh the cache and for which nobody waited when they began.
    pub(super) prefetching: usize,
    /// No priming before this.
    pub(super) prime_after_ms: u64,
    pub(super) counters: Statistics,
}

/// A server of the configuration, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarder<'a> {
    /// The zone that it is configured for.
    pub zone: &'a Name,
    /// Where it is asked.
    pub address: SocketAddr,
    /// Whether it counts as up.
    pub is_up: bool,
    /// Its smoothed round-trip time in microseconds, once measured.
    pub rtt_us: Option<u64>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

impl Resolver {
    /// An empty cache and no resolution. `seed` must be unpredictable.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32]) -> Self {
        // Without one sub-resolution at a time, and one server remembered, nothing would move.
        let limits = &mut config.limits;
        limits.subqueries_parallel_max = limits.subqueries_parallel_max.max(1);
        limits.servers_max = limits.servers_max.max(1);
        let mut random = Random::new(seed);
        let client_cookies = ClientCookies::new(&mut random);
        let mut keys = || HashKeys(random.next_u64(), random.next_u64());
        let lifetimes = Lifetimes {
            ttl_min_secs: config.ttl_min_secs,
            ttl_max_secs: config.ttl_max_secs,
            negative_ttl_max_secs: config.negative_ttl_max_secs,
            stale_max_secs: config.stale_max_secs,
            stale_ttl_secs: config.stale_ttl_secs,
        };
        let aggressive_bytes = if config.aggressive_nsec && config.validation.is_some() {
            config.cache_bytes_max / AGGRESSIVE_SHARE
        } else {
            0
        };
        let cache_bytes = config.cache_bytes_max - aggressive_bytes;
        let mut resolver = Self {
            routes: Routes::new(&config),
            subnets: Subnets::new(&config, keys()),
            client_cookies,
            local_root: None,
            cache: Cache::new(cache_bytes, lifetimes, keys()),
            aggressive: Aggressive::new(aggressive_bytes, keys()),
            servers: Servers::new(config.limits.servers_max, keys()),
            trust: config
                .validation
                .as_ref()
                .map(|validation| TrustTree::new(validation, config.limits.zones_max, keys())),
            roll_over: RollOver::default(),
            trust_events: Vec::new(),
            unix_offset_secs: 0,
            failures: Failures::new(config.limits.failures_max, keys()),
            abandoned: BoundedMap::new(config.limits.servers_max, keys()),
            tasks: Tasks::new(keys()),
            exchanges: Exchanges::new(keys()),
            parked: Parked::new(keys()),
            config,
            random,
            ready: VecDeque::new(),
            task_deadlines: BTreeSet::new(),
            stale_deadlines: BTreeSet::new(),
            tickets: 0,
            prefetching: 0,
            prime_after_ms: 0,
            counters: Statistics::default(),
        };
        resolver.begin_roll_over();
        resolver
    }

    /// Takes a new unpredictable seed for ids, name case, choice of servers, and client cookies: those
    /// that servers gave for the old ones are forgotten.
    pub fn reseed(&mut self, seed: [u8; 32]) {
        self.random = Random::new(seed);
        self.client_cookies = ClientCookies::new(&mut self.random);
    }

    /// Says what the time of day is at `now_ms`, in Unix seconds: signatures have periods. To be
    /// repeated now and then, for clocks are set.
    pub fn set_time(&mut self, now_ms: u64, unix_secs: u64) {
        let (now_secs, unix_secs) = (now_ms / 1000, unix_secs);
        self.unix_offset_secs = unix_secs.cast_signed().wrapping_sub_unsigned(now_secs);
    }

    /// The only entry point of events: same inputs, same effects. `now_ms` comes from a clock that
    /// never goes back. Effects are appended in the order in which they are to be performed.
    pub fn step(&mut self, now_ms: u64, input: Input<'_>, effects: &mut Vec<Effect>) {
        self.tend_trust(now_ms);
        match input {
            Input::Ask { ticket, question } => self.on_ask(now_ms, ticket, &question, effects),
            Input::Refresh { question } => self.on_refresh(now_ms, &question),
            Input::Reply {
                exchange,
                from,
                message,
            } => {
                self.on_reply(now_ms, exchange, from, message, effects);
            }
            Input::Failed { exchange, reason } => self.on_failed(now_ms, exchange, reason),
            Input::Tick => self.on_tick(now_ms, effects),
        }
        self.run(now_ms, effects);
        assert!(self.ready.is_empty(), "a step leaves nothing to do");
    }

    /// When the next [`Input::Tick`] is due, in the milliseconds of `step`; `None` while nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let task_ms = self
            .task_deadlines
            .first()
            .map(|(deadline_ms, _)| *deadline_ms);
        let stale_ms = self.stale_deadlines.first().map(|(due_ms, ..)| *due_ms);
        self.exchanges
            .next_deadline()
            .into_iter()
            .chain(task_ms)
            .chain(self.parked.look_at_ms)
            .chain(self.trust_deadline_ms())
            .chain(stale_ms)
            .min()
    }

    /// Answers from the cache alone, if it holds everything and the data is within its TTL.
    pub fn lookup_cache(&mut self, now_ms: u64, question: &Question) -> Option<Outcome> {
        if refusal(question).is_some() {
            return None;
        }
        let key = self.key(question);
        let resolution = self.cached(now_ms, &key)?;
        let mut outcome = Outcome::of(&resolution, question.qtype, question.dnssec_ok);
        self.explain(now_ms, &resolution, &mut outcome);
        outcome.narrow(&key, self.subnets.scope_bits(&key));
        Some(outcome)
    }

    /// Forgets everything (`None`), one name (`false`), or a name and all below it (`true`), failures
    /// included. Returns how many cached RRsets and failures went. Resolutions under way go on.
    pub fn flush(&mut self, name: Option<(&Name, bool)>) -> usize {
        let (name, subtree) = name.map_or((WireName::root(), true), |(name, subtree)| {
            (WireName::from_name(name), subtree)
        });
        let matches = |other: &WireName| {
            if subtree {
                other.is_within(&name)
            } else {
                *other == name
            }
        };
        if let Some(trust) = &mut self.trust {
            trust.flush(matches);
        }
        self.aggressive.flush(&name, subtree);
        // Their aliases may lead anywhere.
        self.subnets.forget()
            + self.cache.flush(&name, subtree)
            + self.failures.flush(|key| matches(&key.name))
    }

    /// The records of a name and type that the cache has, trusted for answers or not: for policy
    /// that looks at name servers.
    #[must_use]
    pub fn known_records(&self, now_ms: u64, name: &Name, rtype: RecordType) -> Vec<Record> {
        let lines = self.dump(now_ms, name).into_iter();
        let lines = lines.filter(|line| line.rtype == rtype && !line.negative);
        lines.flat_map(|line| line.records).collect()
    }

    /// The servers of every forwarder, then of every stub zone, in the order of the configuration.
    pub fn forwarders(&self) -> impl Iterator<Item = Forwarder<'_>> {
        route::servers(&self.config).map(|(zone, address)| {
            let (is_up, rtt_us) = self.servers.health(address);
            Forwarder {
                zone,
                address,
                is_up,
                rtt_us,
            }
        })
    }

    /// Counters and gauges.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let gauge = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        Statistics {
            cache_insertions: self.cache.insertions(),
            cache_evictions: self.cache.evictions(),
            failure_insertions: self.failures.insertions(),
            failure_evictions: self.failures.evictions(),
            aggressive_insertions: self.aggressive.insertions(),
            aggressive_evictions: self.aggressive.evictions(),
            aggressive_zones: gauge(self.aggressive.zones()),
            aggressive_bytes: gauge(self.aggressive.bytes()),
            tickets: gauge(self.tickets),
            tasks: gauge(self.tasks.len()),
            exchanges: gauge(self.exchanges.len()),
            servers: gauge(self.servers.len()),
            cache_entries: gauge(self.cache.names()),
            cache_bytes: gauge(self.cache.bytes()),
            failures_cached: gauge(self.failures.len()),
            ..self.counters
        }
    }
}
