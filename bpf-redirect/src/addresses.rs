//! The table of local addresses, as `src/bpf/served.h` looks them up.
//!
//! This side decides which address lies in which bucket; it never touches the map itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// `1 << BUCKETS_BITS` in `src/bpf/served.h`.
pub(crate) const BUCKETS: u32 = 1 << BUCKETS_BITS;

const BUCKETS_BITS: u32 = 12;
const WAYS: usize = 4;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const IPV4_MARK: u64 = 1 << 32;
const EMPTY: Address = Address { high: 0, low: 0 };

/// `struct address` in `src/bpf/served.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    high: u64,
    low: u64,
}

/// `struct bucket` in `src/bpf/served.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    ways: [Address; WAYS],
}

/// What the map holds; buckets that never held anything are absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressTable {
    buckets: BTreeMap<u32, Bucket>,
}

impl AddressTable {
    /// The table that holds `wanted` and nothing else. What stays keeps its place, so that a
    /// bucket can be overwritten while the program reads it.
    ///
    /// # Errors
    /// The first address whose bucket is full.
    pub(crate) fn replaced(&self, wanted: &[IpAddr]) -> Result<Self, IpAddr> {
        let addresses: BTreeSet<Address> = wanted.iter().filter_map(Address::new).collect();
        let mut table = self.clone();
        for bucket in table.buckets.values_mut() {
            for way in &mut bucket.ways {
                if !addresses.contains(way) {
                    *way = EMPTY;
                }
            }
        }
        for ip in wanted {
            let Some(address) = Address::new(ip) else {
                continue;
            };
            let bucket = table.buckets.entry(address.bucket_index());
            let inserted = bucket
                .or_insert(Bucket {
                    ways: [EMPTY; WAYS],
                })
                .insert(address);
            inserted.then_some(()).ok_or(*ip)?;
        }
        Ok(table)
    }

    /// The buckets of `self` that differ from those of `old`, with their indexes.
    pub(crate) fn changes_since(&self, old: &Self) -> Vec<(u32, Bucket)> {
        let buckets = self.buckets.iter().map(|(index, bucket)| (*index, *bucket));
        buckets
            .filter(|(index, bucket)| old.buckets.get(index) != Some(bucket))
            .collect()
    }

    /// Notes that the map holds `bucket` at `index` now.
    pub(crate) fn set(&mut self, index: u32, bucket: Bucket) {
        self.buckets.insert(index, bucket);
    }
}

/// `struct address` in `src/bpf/served.h`, for a look-up of any address.
pub(crate) fn to_bytes(address: IpAddr) -> [u8; size_of::<Address>()] {
    let address = Address::of(&address);
    let mut bytes = [0; size_of::<Address>()];
    for (place, word) in bytes
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip([address.high, address.low])
    {
        *place = word.to_ne_bytes();
    }
    bytes
}

impl Bucket {
    /// The value of the map, in the byte order of this machine.
    pub(crate) fn to_bytes(self) -> [u8; WAYS * size_of::<Address>()] {
        let words = self.ways.iter().flat_map(|way| [way.high, way.low]);
        let mut bytes = [0; WAYS * size_of::<Address>()];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_ne_bytes();
        }
        bytes
    }

    /// Whether the bucket holds `address` now.
    fn insert(&mut self, address: Address) -> bool {
        let held = self.ways.iter().position(|way| *way == address);
        let place = held.or_else(|| self.ways.iter().position(|way| *way == EMPTY));
        place.map(|index| self.ways[index] = address).is_some()
    }
}

impl Address {
    /// None for an address in ::/64, which no frame may carry (RFC 4291 §2.5).
    fn new(address: &IpAddr) -> Option<Self> {
        let found = Self::of(address);
        (address.is_ipv4() || found.high != 0).then_some(found)
    }

    fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let low = IPV4_MARK | u64::from(u32::from_ne_bytes(v4.octets()));
                Self { high: 0, low }
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                let (words, _) = octets.as_chunks();
                let word = |index: usize| u64::from(u32::from_ne_bytes(words[index]));
                Self {
                    high: word(0) << 32 | word(1),
                    low: word(2) << 32 | word(3),
                }
            }
        }
    }

    fn bucket_index(self) -> u32 {
        let sum = self.high.wrapping_mul(MULTIPLIER).wrapping_add(self.low);
        let index = sum.wrapping_mul(MULTIPLIER) >> (u64::BITS - BUCKETS_BITS);
        u32::try_from(index).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn addresses_of(table: &AddressTable) -> usize {
        let ways = table.buckets.values().flat_map(|bucket| bucket.ways);
        ways.filter(|way| *way != EMPTY).count()
    }

    fn v4(range: std::ops::Range<u32>) -> Vec<IpAddr> {
        range
            .map(|host| Ipv4Addr::from_bits(0xc000_0200 + host).into())
            .collect()
    }

    #[test]
    fn whole_networks_fit() {
        let v6 = |subnet, host| Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 0, 0, 0, host);
        let mut wanted = v4(0..512);
        wanted.extend((0..256).map(|host| IpAddr::V6(v6(0, host))));
        wanted.extend((0..256).map(|subnet| IpAddr::V6(v6(subnet, subnet))));
        let table = AddressTable::default().replaced(&wanted).unwrap();
        // 2001:db8:: is in both halves of the IPv6 addresses.
        assert_eq!(addresses_of(&table), 512 + 256 + 256 - 1);
    }

    #[test]
    fn only_buckets_that_differ_are_changes() {
        let old = AddressTable::default().replaced(&v4(0..40)).unwrap();
        let new = old.replaced(&v4(1..41)).unwrap();
        assert_eq!(addresses_of(&new), 40);
        let changed: Vec<u32> = new
            .changes_since(&old)
            .into_iter()
            .map(|(index, _)| index)
            .collect();
        let index = |address: &IpAddr| Address::new(address).unwrap().bucket_index();
        let mut expected = vec![index(&v4(0..1)[0]), index(&v4(40..41)[0])];
        expected.sort_unstable();
        assert_eq!(changed, expected);
        assert_eq!(new.changes_since(&new), []);
    }

    #[test]
    fn address_that_stays_keeps_its_way() {
        let index = |address: &IpAddr| Address::new(address).unwrap().bucket_index();
        let all = v4(0..60_000);
        let first = index(&all[0]);
        let together: Vec<IpAddr> = all.into_iter().filter(|ip| index(ip) == first).collect();
        let before = AddressTable::default().replaced(&together[..4]).unwrap();
        let after = before.replaced(&[together[4], together[2]]).unwrap();
        let stays = Address::new(&together[2]).unwrap();
        assert_eq!(before.buckets[&first].ways[2], stays);
        assert_eq!(after.buckets[&first].ways[2], stays);
        assert_eq!(addresses_of(&after), 2);
        assert_eq!(
            AddressTable::default()
                .replaced(&together[..5])
                .unwrap_err(),
            together[4]
        );
    }

    #[test]
    fn duplicates_and_addresses_that_no_frame_carries_take_no_place() {
        let text = [
            "192.0.2.1",
            "192.0.2.1",
            "::",
            "::1",
            "::ffff:192.0.2.1",
            "fe80::1",
        ];
        let wanted = text.map(|text| text.parse().unwrap());
        let table = AddressTable::default().replaced(&wanted).unwrap();
        assert_eq!(addresses_of(&table), 2);
        assert_eq!(addresses_of(&table.replaced(&[]).unwrap()), 0);
    }
}
