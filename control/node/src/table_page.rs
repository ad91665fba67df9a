//! The answer table for people: one page at a time.

use std::collections::BTreeMap;

use cache::{Entry, Freshness};
use exchange::{Generations, Region};
use hickory_proto::op::ResponseCode;
use resolver::zone::{DisplayName, type_to_text};
use wire::flag;

use crate::admin::{CACHE_PAGE_ENTRIES_MAX, CacheEntry, CachePage};
use crate::clock;

/// The entries that follow `cursor`, in the order of their hashes, so that pages fit together
/// though the table changes between them. `name` (wire form, lower case) chooses one name.
pub(crate) fn page(region: &Region, name: Option<&[u8]>, cursor: u64) -> CachePage {
    let (now_secs, generations) = (clock::now_secs(), region.generations());
    let mut entries: BTreeMap<u64, Vec<CacheEntry>> = BTreeMap::new();
    let mut count = 0;
    region.table().for_each(|entry| {
        let wanted = name.is_none_or(|name| name == entry.qname());
        if entry.hash() < cursor || !wanted {
            return;
        }
        entries
            .entry(entry.hash())
            .or_default()
            .push(describe(entry, now_secs, &generations));
        count += 1;
        // One hash more than a page tells where the next one starts.
        while count > CACHE_PAGE_ENTRIES_MAX + 1 && entries.len() > 1 {
            count -= entries.pop_last().map_or(0, |(_, last)| last.len());
        }
    });
    let next_cursor = match count > CACHE_PAGE_ENTRIES_MAX {
        true => entries
            .pop_last()
            .map(|(hash, _)| hash)
            .filter(|hash| *hash > cursor),
        false => None,
    };
    let entries = entries
        .into_values()
        .flatten()
        .take(CACHE_PAGE_ENTRIES_MAX)
        .collect();
    CachePage {
        entries,
        next_cursor,
    }
}

fn describe(entry: &Entry<'_>, now_secs: u32, generations: &Generations) -> CacheEntry {
    let answer = entry.answer();
    let age_secs = now_secs.saturating_sub(entry.stored_at());
    let rcode = u16::from(answer.rcode_high) << 4 | answer.flags & flag::RCODE;
    let names = ["rd", "cd", "do"];
    let set =
        |(bit, name): (usize, &str)| (entry.key_flags() >> bit & 1 == 1).then(|| name.to_owned());
    CacheEntry {
        name: DisplayName(entry.qname()).to_string(),
        record_type: type_to_text(entry.qtype()),
        class: hickory_proto::rr::DNSClass::from(entry.qclass()).to_string(),
        flags: names.into_iter().enumerate().filter_map(set).collect(),
        rcode: rcode_text(rcode),
        answers: answer.counts[0],
        ttl_secs: entry.ttl().saturating_sub(age_secs),
        age_secs,
        zone: entry.zone(),
        dead: Freshness::of(entry, now_secs, generations, u32::MAX) == Freshness::Dead,
        bytes: u32::try_from(entry.as_bytes().len()).unwrap_or(u32::MAX),
    }
}

/// Mnemonic of a response code.
pub(crate) fn rcode_text(rcode: u16) -> String {
    let name = match ResponseCode::from(
        (rcode >> 4).to_be_bytes()[1],
        (rcode & 0xf).to_be_bytes()[1],
    ) {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS => "BADVERS",
        _ => return format!("RCODE{rcode}"),
    };
    name.to_owned()
}
