//! Which names may be answered from what was proven for others (RFC 8198), and where that is learned.

use hickory_proto::rr::RecordType;

use super::aggressive::{Aggressive, Proven};
use super::cache::{Cache, Want};
use super::lookup::{Look, Resolution};
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::RrSet;
use super::task::TaskKey;
use super::trust::TrustTree;

/// What a look may use when the cache has nothing of a name itself.
pub(super) struct Beyond<'a> {
    aggressive: &'a mut Aggressive,
    trust: Option<&'a TrustTree>,
    forward_zones: &'a [WireName],
    uses: &'a mut u64,
}

impl Beyond<'_> {
    /// A denial, or data of a wildcard, with its proof.
    pub(super) fn look(&mut self, now_ms: u64, key: &TaskKey, name: &WireName) -> Look {
        let look = self
            .zone(key, name)
            .map(|zone| self.aggressive.look(now_ms, &zone, name, key.rtype));
        let look = look.unwrap_or(Look::Nothing);
        *self.uses += u64::from(!matches!(look, Look::Nothing));
        look
    }

    /// The zone whose denials hold for the name.
    fn zone(&mut self, key: &TaskKey, name: &WireName) -> Option<WireName> {
        // Who checks signatures asks for what the zone says now.
        let trust = self.trust.filter(|_| !key.checking_disabled)?;
        // At a cut, DS is the parent's (RFC 4035 §3.1.4.1).
        let lowest = match key.rtype {
            RecordType::DS => name.parent()?,
            _ => name.clone(),
        };
        if trust.is_exempt(name) || trust.is_exempt(&lowest) {
            return None;
        }
        let zone = self.aggressive.closest(&lowest)?;
        // Below an anchor or a forwarder of its own, what the zones above say does not count.
        let anchored = trust
            .configured(&lowest)
            .is_some_and(|anchor| zone.is_within_bytes(anchor));
        let mut forwards = self.forward_zones.iter();
        let forwarded =
            forwards.any(|forward| lowest.is_within(forward) && !zone.is_within(forward));
        (anchored && !forwarded).then_some(zone)
    }
}

impl Resolver {
    /// The cache, and what lies beyond it.
    fn split(&mut self) -> (&mut Cache, Beyond<'_>) {
        let beyond = Beyond {
            aggressive: &mut self.aggressive,
            trust: self.trust.as_ref().filter(|_| self.config.aggressive_nsec),
            forward_zones: &self.forward_zones,
            uses: &mut self.counters.aggressive,
        };
        (&mut self.cache, beyond)
    }

    /// Looks one name of a question up.
    pub(super) fn look(&mut self, now_ms: u64, key: &TaskKey, name: &WireName, want: Want) -> Look {
        let (cache, mut beyond) = self.split();
        match cache.look(now_ms, name, key.rtype, want) {
            Look::Nothing => beyond.look(now_ms, key, name),
            look => look,
        }
    }

    /// What a client may be given from the cache, if that is the whole answer.
    pub(super) fn cached(&mut self, now_ms: u64, key: &TaskKey) -> Option<Resolution> {
        self.assemble(now_ms, key)
            .filter(|found| self.may_give(key, found))
    }

    /// Answers a question from what is fresh, if that makes the whole chain.
    fn assemble(&mut self, now_ms: u64, key: &TaskKey) -> Option<Resolution> {
        let aliases_max = self.config.limits.aliases_max;
        let (cache, mut beyond) = self.split();
        cache.assemble(now_ms, key, false, aliases_max, |name| {
            beyond.look(now_ms, key, name)
        })
    }

    /// Learns what validation has just proven: SOA and denials, and the data of a wildcard.
    pub(super) fn learn(
        &mut self,
        now_ms: u64,
        (zone, secs_max): (&WireName, u32),
        sets: &[&RrSet],
        wildcard: Option<(&RrSet, usize)>,
    ) {
        if !self.config.aggressive_nsec {
            return;
        }
        // RFC 8198 §5.4: no longer than a negative answer would live.
        let proven = |secs_max| Proven { zone, secs_max };
        let negative_secs_max = secs_max.min(self.config.negative_ttl_max_secs);
        self.aggressive
            .insert(now_ms, proven(negative_secs_max), sets);
        if let Some(wildcard) = wildcard {
            let secs_max = secs_max.min(self.config.ttl_max_secs);
            self.aggressive
                .insert_wildcard(now_ms, proven(secs_max), wildcard);
        }
    }
}
