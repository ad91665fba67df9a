//! How an answer that another node proposes compares with the own one.

use super::answer::{Answer, Key, Part};

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
/// RFC 1035 §4.1.1.
const NOERROR: u16 = 0;

/// Bytes that addresses of one network share: a /24 of IPv4, a /48 of IPv6.
const IPV4_NETWORK_BYTES: usize = 3;
const IPV6_NETWORK_BYTES: usize = 6;
/// Longest chain of aliases that is followed.
const ALIASES_MAX: usize = 32;

/// How much addresses may differ between nodes at different places. Everything else is always exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vantage {
    /// Not at all.
    #[default]
    Exact,
    /// Each proposed address lies in the network (/24, /48) of one that was found here, by whatever alias.
    Network,
    /// As `Network`; or the aliases of both end in the same name, whose addresses then do not count.
    Alias,
}

impl Answer {
    /// Whether this, found here, supports what another node proposes.
    #[must_use]
    pub fn supports(&self, key: &Key, proposed: &Self, vantage: Vantage) -> bool {
        if self.is_equal(proposed) {
            return true;
        }
        if vantage == Vantage::Exact || self.rcode != NOERROR || proposed.rcode != NOERROR {
            return false;
        }
        let network_bytes = match key.qtype {
            TYPE_A => IPV4_NETWORK_BYTES,
            TYPE_AAAA => IPV6_NETWORK_BYTES,
            _ => return false,
        };
        let (own, theirs) = (self.networks(key, network_bytes), {
            proposed.networks(key, network_bytes)
        });
        if own.is_empty() || theirs.is_empty() {
            return false; // Data here and none there is no matter of place.
        }
        // One address that agrees must not bring others with it.
        if theirs.iter().all(|network| own.contains(network)) {
            return true;
        }
        vantage == Vantage::Alias
            && self
                .last_alias(key)
                .is_some_and(|last| proposed.last_alias(key) == Some(last))
    }

    /// Whose a denial is counts only if both know: forwarders leave the SOA out.
    fn is_equal(&self, other: &Self) -> bool {
        let same_zone = match (&self.zone, &other.zone) {
            (Some(own), Some(theirs)) => own == theirs,
            _ => true,
        };
        self.rcode == other.rcode && self.parts == other.parts && same_zone
    }

    /// Networks of all addresses that were asked for.
    fn networks(&self, key: &Key, bytes: usize) -> Vec<&[u8]> {
        let parts = self.parts.iter().filter(|part| part.rtype == key.qtype);
        parts.filter_map(|part| part.rdata.get(..bytes)).collect()
    }

    /// The name at the end of the aliases; `None` if there are none.
    fn last_alias(&self, key: &Key) -> Option<&[u8]> {
        let alias = |owner: &[u8]| {
            let is_alias = |part: &&Part| part.rtype == TYPE_CNAME && *part.owner == *owner;
            self.parts.iter().find(is_alias).map(|part| &*part.rdata)
        };
        let mut last = alias(&key.name)?;
        for _ in 0..ALIASES_MAX {
            match alias(last) {
                Some(next) => last = next,
                None => return Some(last),
            }
        }
        None // A circle.
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
