//! Makes RRsets of records.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::rr::RecordType;

use super::name::WireName;
use super::response::ResponseError;
use super::rrset::{Content, Rdatas, RrSet, Security};

/// One record before it is grouped.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) owner: WireName,
    pub(super) rtype: RecordType,
    pub(super) ttl_secs: u32,
    pub(super) rdata: Box<[u8]>,
}

#[derive(Default)]
struct Group {
    ttl_secs: u32,
    data: Vec<Box<[u8]>>,
    signatures: Vec<Box<[u8]>>,
    /// Place of its first record in the message.
    order: usize,
}

/// Makes RRsets: the smallest TTL holds for all records (RFC 2181 §5.2), duplicates go (§5), and
/// signatures join what they cover; those that cover nothing here go. If they were asked for they
/// are data as well: they still belong to what others will ask for. In the order of the message.
pub(super) fn group(
    items: Vec<Item>,
    signatures_are_data: bool,
    records_max: usize,
) -> Result<Vec<RrSet>, ResponseError> {
    let mut groups: BTreeMap<(WireName, u16), Group> = BTreeMap::new();
    let mut add = |order, item: Item, covers: Option<u16>| {
        let key = (item.owner, covers.unwrap_or(item.rtype.into()));
        let fresh = Group {
            ttl_secs: item.ttl_secs,
            order,
            ..Group::default()
        };
        let group = groups.entry(key).or_insert(fresh);
        group.ttl_secs = group.ttl_secs.min(item.ttl_secs);
        let list = if covers.is_some() {
            &mut group.signatures
        } else {
            &mut group.data
        };
        if list.len() == records_max {
            return Err(ResponseError::RrSetSize { records_max });
        }
        if !list.contains(&item.rdata) {
            list.push(item.rdata);
        }
        Ok(())
    };
    for (order, item) in items.into_iter().enumerate() {
        let covers = match item.rdata.first_chunk::<2>() {
            Some(&covered) if item.rtype == RecordType::RRSIG => Some(u16::from_be_bytes(covered)),
            _ => None,
        };
        if signatures_are_data && covers.is_some() {
            add(order, item.clone(), None)?;
        }
        add(order, item, covers)?;
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .filter(|(_, group)| !group.data.is_empty())
        .collect();
    groups.sort_by_key(|(_, group)| group.order);
    let set = |((owner, rtype), group): ((WireName, u16), Group)| {
        let data = Rdatas::new(group.data.iter().map(AsRef::as_ref));
        let signatures = Rdatas::new(group.signatures.iter().map(AsRef::as_ref));
        let content = Arc::new(Content { data, signatures });
        RrSet {
            owner,
            rtype: RecordType::from(rtype),
            ttl_secs: group.ttl_secs,
            security: Security::Unchecked,
            content,
        }
    };
    Ok(groups.into_iter().map(set).collect())
}
