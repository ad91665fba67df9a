//! What is forgotten of the way that led to a refused answer.

use std::collections::VecDeque;

use hickory_proto::rr::{Name, RecordType};

use super::cache::Kind;
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::Security;
use super::walk::ABANDON_PAUSE_MS;

/// Names whose ways are looked at in one call.
const NAMES_MAX: usize = 32;
/// Zones that are given up in one call.
const ZONES_MAX: usize = 64;
/// Servers of one zone whose addresses are forgotten.
const HOSTS_MAX: usize = 64;

impl Resolver {
    /// Forgets by whose servers these names were found, since what came of it is refused: every delegation in
    /// the cache that leads to them, with the addresses of its servers, and what leads to the names of these
    /// servers. What signatures prove stays, as does what is configured. Returns how many zones were given up.
    ///
    /// A zone is given up at most once in 30 s: whoever can have answers refused at will, as the owner of a
    /// zone can, must not have its parents asked without end, nor give a forger one chance after another.
    pub fn doubt(&mut self, now_ms: u64, names: &[Name]) -> usize {
        let mut suspects: VecDeque<_> = names.iter().map(WireName::from_name).collect();
        let mut count = 0;
        for _ in 0..NAMES_MAX {
            let Some(suspect) = suspects.pop_front() else {
                break;
            };
            let zones = suspect.suffixes().filter_map(WireName::parse);
            for zone in zones.filter(|zone| !zone.is_root()) {
                let hosts = self.unproven_servers(now_ms, &zone);
                if count >= ZONES_MAX || hosts.is_empty() || !self.may_give_up(now_ms, &zone) {
                    continue;
                }
                count += 1;
                self.cache.remove_unproven(&zone, RecordType::NS);
                for host in &hosts {
                    for rtype in [RecordType::A, RecordType::AAAA] {
                        self.cache.remove_unproven(host, rtype);
                    }
                }
                suspects.extend(hosts);
            }
        }
        count
    }

    /// Whether the delegation of this zone may be given up now; if so, it counts as that.
    pub(super) fn may_give_up(&mut self, now_ms: u64, zone: &WireName) -> bool {
        let last_ms = self.abandoned.get(zone).copied();
        let may = last_ms.is_none_or(|last_ms| now_ms >= last_ms + ABANDON_PAUSE_MS);
        if may {
            self.abandoned.insert(zone.clone(), now_ms, 1);
        }
        may
    }

    fn unproven_servers(&self, now_ms: u64, zone: &WireName) -> Vec<WireName> {
        let found = self.cache.list(now_ms, zone).into_iter().filter(|found| {
            found.rtype == RecordType::NS
                && found.kind == Kind::Data
                && found.security != Security::Secure
        });
        let sets: Vec<_> = found.map(|found| found.set(zone.clone())).collect();
        let hosts = sets.iter().flat_map(|set| set.targets());
        hosts.take(HOSTS_MAX).collect()
    }
}
