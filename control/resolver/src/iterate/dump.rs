//! What the caches hold, for people to read.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::cache::{Found, Kind};
use super::message::{CacheLine, CacheOrigin, Trust};
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::{RrSet, Security};

/// Names looked at for one page, and lines of a page that end it.
const PAGE_NAMES_MAX: usize = 4_096;
const PAGE_LINES: usize = 512;
/// Lines of one kind besides those of the RRset cache.
const OTHER_LINES_MAX: usize = 512;

impl Resolver {
    /// What the RRset cache holds for a name.
    #[must_use]
    pub fn dump(&self, now_ms: u64, name: &Name) -> Vec<CacheLine> {
        let owner = WireName::from_name(name);
        let found = self.cache.list(now_ms, &owner).into_iter();
        found.map(|found| line_of(&owner, &found)).collect()
    }

    /// One page of everything that is held for a name, with `subtree` for all below it too: RRsets and
    /// denials, the delegation that leads there, failures, and what is proven of it in other ways.
    /// `cursor` is 0 at first; the number that comes back is that of the next page.
    #[must_use]
    pub fn dump_page(
        &self,
        now_ms: u64,
        name: &Name,
        subtree: bool,
        cursor: usize,
    ) -> (Vec<CacheLine>, Option<usize>) {
        let owner = WireName::from_name(name);
        let mut lines = Vec::new();
        if cursor == 0 {
            lines.extend(self.dump_delegation(now_ms, &owner));
            lines.extend(self.dump_failures(now_ms, &owner, subtree));
            lines.extend(self.dump_proven(now_ms, &owner, subtree));
        }
        if !subtree {
            lines.extend(self.dump(now_ms, name));
            return (lines, None);
        }
        let (mut next, mut more) = (cursor, true);
        for _ in 0..PAGE_NAMES_MAX {
            if !more || lines.len() >= PAGE_LINES {
                break;
            }
            let mut held = None;
            more = self.cache.visit(&mut next, |name, _| {
                held = Some(name.clone()).filter(|name| name.is_within(&owner));
            });
            let found = held.map(|name| (self.cache.list(now_ms, &name), name));
            if let Some((all, name)) = found {
                lines.extend(all.iter().map(|found| line_of(&name, found)));
            }
        }
        (lines, more.then_some(next))
    }

    /// The NS RRset of the closest zone around the name, unless it is the name's own.
    fn dump_delegation(&self, now_ms: u64, name: &WireName) -> Option<CacheLine> {
        name.suffixes().skip(1).find_map(|suffix| {
            let zone = WireName::parse(suffix)?;
            let found = self.cache.list(now_ms, &zone).into_iter();
            let mut fresh = found.filter(|found| found.ttl_secs > 0);
            let found =
                fresh.find(|found| found.kind == Kind::Data && found.rtype == RecordType::NS)?;
            Some(CacheLine {
                origin: CacheOrigin::Delegation,
                ..line_of(&zone, &found)
            })
        })
    }

    fn dump_failures(
        &self,
        now_ms: u64,
        name: &WireName,
        subtree: bool,
    ) -> impl Iterator<Item = CacheLine> {
        let failures = self
            .failures
            .list(now_ms)
            .filter(move |(key, ..)| key.name == *name || (subtree && key.name.is_within(name)));
        failures
            .take(OTHER_LINES_MAX)
            .map(|(key, failure, left_secs)| CacheLine {
                name: key.name.to_name(),
                rtype: key.rtype,
                rcode: ResponseCode::ServFail,
                negative: true,
                trust: Trust::Additional,
                ttl_secs: left_secs,
                records: Vec::new(),
                security: Security::Unchecked,
                origin: CacheOrigin::Failure,
                reason: Some(failure.text.clone()),
            })
    }

    fn dump_proven(&self, now_ms: u64, name: &WireName, subtree: bool) -> Vec<CacheLine> {
        let proven = self
            .aggressive
            .list(now_ms, name, subtree, OTHER_LINES_MAX)
            .into_iter();
        let line = |set: RrSet| CacheLine {
            name: set.owner.to_name(),
            rtype: set.rtype,
            rcode: ResponseCode::NoError,
            negative: matches!(set.rtype, RecordType::NSEC | RecordType::NSEC3),
            trust: Trust::AuthoritativeAnswer,
            ttl_secs: set.ttl_secs,
            records: records(&set),
            security: set.security,
            origin: CacheOrigin::Proven,
            reason: None,
        };
        proven.map(line).collect()
    }
}

fn line_of(owner: &WireName, found: &Found) -> CacheLine {
    let origin = if found.trust >= Trust::Answer {
        CacheOrigin::Answer
    } else {
        CacheOrigin::Helper
    };
    CacheLine {
        name: owner.to_name(),
        rtype: found.shown_type(),
        rcode: found.rcode(),
        negative: found.kind != Kind::Data,
        trust: found.trust,
        ttl_secs: found.ttl_secs,
        records: records(&found.set(owner.clone())),
        security: found.security,
        origin,
        reason: None,
    }
}

fn records(set: &RrSet) -> Vec<hickory_proto::rr::Record> {
    let mut records = Vec::new();
    set.write_records(true, &mut records);
    records
}
