//! Names as keys of policy: lower case, uncompressed wire form, where every ancestor is a suffix.

use std::collections::BTreeSet;

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, Restrict};
pub(super) use wire::name::suffixes;

/// A name.
pub(super) type Key = Box<[u8]>;

/// The key of a name.
pub(super) fn key(name: &Name) -> Key {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name {
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire.make_ascii_lowercase();
    wire.into()
}

/// The name of a key.
pub(super) fn name(key: &[u8]) -> Option<Name> {
    let mut decoder = BinDecoder::new(key);
    let name = Name::read(&mut decoder).ok()?;
    decoder.is_empty().then_some(name)
}

/// A record of wire form; data that its type cannot read stay opaque (RFC 3597).
pub(super) fn record(owner: Name, rtype: u16, ttl_secs: u32, data: &[u8]) -> Record {
    let rtype = RecordType::from(rtype);
    let opaque = || RData::Unknown {
        code: rtype,
        rdata: NULL::with(data.to_vec()),
    };
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let read = RData::read(&mut BinDecoder::new(data), rtype, Restrict::new(length));
    Record::from_rdata(owner, ttl_secs, read.unwrap_or_else(|_| opaque()))
}

/// Names, each with all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(BTreeSet<Key>);

impl NameSet {
    /// Adds a name.
    pub fn insert(&mut self, name: &Name) {
        self.0.insert(key(name));
    }

    /// Whether it, or a name above it, is one of these.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        suffixes(name).any(|suffix| self.0.contains(suffix))
    }
}

impl FromIterator<Name> for NameSet {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Self {
        Self(names.into_iter().map(|name| key(&name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_set_holds_its_names_and_all_below_them() {
        let set: NameSet = [Name::from_ascii("Ads.example.").unwrap()]
            .into_iter()
            .collect();
        let covers = |text: &str| set.covers(&key(&Name::from_ascii(text).unwrap()));
        assert!(covers("ads.example.") && covers("a.b.ADS.example."));
        assert!(!covers("example.") && !covers("badads.example.") && !covers("."));
    }
}
