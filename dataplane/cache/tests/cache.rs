//! The cache seen from outside: what is stored is found, under its key alone, for its time alone.

use cache::{Cache, ENTRY_BYTES_MAX, Entry, EntryMeta, Generations, Hasher, Lookup, encode};

/// One generation for all zones.
struct Generation(u32);

impl Generations for Generation {
    fn generation(&self, _zone: u32) -> u32 {
        self.0
    }
}

/// `www.example.com A 192.0.2.1`, TTL 300.
const RESPONSE: &[u8] = b"\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00\
    \x03WwW\x07example\x03com\x00\x00\x01\x00\x01\
    \xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01";
const QNAME: &[u8] = b"\x03www\x07example\x03com\x00";

#[test]
fn entry_is_fresh_then_stale_then_gone() {
    let hasher = Hasher::new(1, 2);
    let key = hasher.key_of(QNAME, 1, 1, 1);
    let meta = EntryMeta {
        stored_at: 1000,
        ttl: 3600,
        zone: 7,
        generation: 3,
    };
    let mut bytes = [0; ENTRY_BYTES_MAX];
    let entry_bytes = encode(RESPONSE, &key, &meta, &mut bytes).unwrap();
    let entry = Entry::parse(&bytes[..entry_bytes]).unwrap();
    assert_eq!(entry.ttl(), 300);

    let mut cache = Cache::with_bytes(1 << 20);
    cache.set_stale_secs_max(50);
    cache.insert(&entry);
    let slot = cache.locate(key.hash);
    assert!(matches!(
        cache.get(slot, &key, 1299, &Generation(3)),
        Lookup::Fresh(_, 299)
    ));
    assert!(matches!(
        cache.get(slot, &key, 1300, &Generation(3)),
        Lookup::Stale(_)
    ));
    assert!(matches!(
        cache.get(slot, &key, 1350, &Generation(3)),
        Lookup::Miss
    ));
    assert_eq!(cache.statistics().entries, 0);
    assert_eq!(cache.statistics().expirations, 1);
}
