//! The state machine: inputs in, effects out.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;

use super::config::Config;
use super::message::{CacheLine, Effect, Input, Outcome, Question, Statistics, extended_error};

/// Forwards and iterates. One value holds the cache and every resolution under way.
///
/// Message ids, name case and the choice of servers come from a ChaCha20 generator. They protect
/// against forged replies only while nobody can predict them: the shell must take `seed` from the
/// operating system's generator, and may [`reseed`](Self::reseed) it at any time.
pub struct Resolver {
    config: Config,
    random: ChaCha20Rng,
    statistics: Statistics,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}

impl Resolver {
    /// An empty cache and no resolution. `seed` must be unpredictable.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: ChaCha20Rng::from_seed(seed),
            statistics: Statistics::default(),
        }
    }

    /// Takes a new unpredictable seed for ids, name case and choice of servers.
    pub fn reseed(&mut self, seed: [u8; 32]) {
        self.random = ChaCha20Rng::from_seed(seed);
    }

    /// The only entry point of events: same inputs, same effects. `now_ms` never goes back.
    pub fn step(&mut self, now_ms: u64, input: Input<'_>, effects: &mut Vec<Effect>) {
        let _ = (now_ms, &self.config);
        if let Input::Ask { ticket, .. } = input {
            let outcome = Outcome {
                rcode: ResponseCode::ServFail,
                answers: Vec::new(),
                authority: Vec::new(),
                additional: Vec::new(),
                authoritative: false,
                authentic: false,
                stale: false,
                ttl_secs: 0,
                extended_error: Some((extended_error::NO_REACHABLE_AUTHORITY, String::new())),
                trace: None,
            };
            effects.push(Effect::Done { ticket, outcome });
        }
    }

    /// When the next [`Input::Tick`] is due, in the milliseconds of `step`; `None` while nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Answers from the cache alone, if it holds everything.
    pub fn lookup_cache(&mut self, now_ms: u64, question: &Question) -> Option<Outcome> {
        let _ = (now_ms, question);
        None
    }

    /// Forgets everything (`None`), one name, or a name and all below it. Returns how many RRsets
    /// and remembered failures went. Resolutions under way go on.
    pub fn flush(&mut self, name: Option<(&Name, bool)>) -> usize {
        let _ = name;
        0
    }

    /// What the cache holds for a name, for people to read.
    #[must_use]
    pub fn dump(&self, now_ms: u64, name: &Name) -> Vec<CacheLine> {
        let _ = (now_ms, name);
        Vec::new()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }
}
