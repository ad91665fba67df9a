//! The cache against a map that forgets nothing: it may forget, but never lie.

mod support;

use std::collections::HashMap;

use cache::{CACHE_BYTES_MIN, Cache, Entry, EntryMeta, Hasher, Key, Lookup};
use proptest::prelude::*;
use support::{Generation, entry, qname};

const NAMES: u64 = 300;
const STALE_SECS_MAX: u32 = 100;

/// One thing that happens to a cache.
#[derive(Clone, Debug)]
enum Step {
    Insert {
        name: u64,
        records: u8,
        ttl_secs: u32,
        zone: u32,
    },
    Ask {
        name: u64,
    },
    /// The same name, but another type, class or flags.
    AskOther {
        name: u64,
        part: u8,
    },
    Wait {
        secs: u32,
    },
    NewGeneration,
    RemoveZone {
        zone: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES;
    prop_oneof![
        6 => (name.clone(), 1..60_u8, 0..200_u32, 0..3_u32).prop_map(
            |(name, records, ttl_secs, zone)| Step::Insert { name, records, ttl_secs, zone }
        ),
        6 => name.clone().prop_map(|name| Step::Ask { name }),
        1 => (name, 0..3_u8).prop_map(|(name, part)| Step::AskOther { name, part }),
        1 => (0..80_u32).prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::NewGeneration),
        1 => (0..3_u32).prop_map(|zone| Step::RemoveZone { zone }),
    ]
}

/// A cache, and what was stored last under every name.
struct Pair {
    cache: Cache,
    hasher: Hasher,
    model: HashMap<u64, Vec<u8>>,
    now: u32,
    generation: u32,
}

impl Pair {
    fn new() -> Self {
        let mut cache = Cache::with_bytes(CACHE_BYTES_MIN);
        cache.set_stale_secs_max(STALE_SECS_MAX);
        Self {
            cache,
            hasher: Hasher::new(3, 4),
            model: HashMap::new(),
            now: 1000,
            generation: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Insert {
                name,
                records,
                ttl_secs,
                zone,
            } => self.insert(name, records, ttl_secs, zone),
            Step::Ask { name } => self.ask(name),
            Step::AskOther { name, part } => self.ask_other(name, part),
            Step::Wait { secs } => self.now += secs,
            Step::NewGeneration => self.generation += 1,
            Step::RemoveZone { zone } => {
                self.cache.remove_where(|entry| entry.zone() == zone);
                self.model
                    .retain(|_, bytes| Entry::parse(bytes).expect("just encoded").zone() != zone);
            }
        }
        self.check_figures();
    }

    fn insert(&mut self, name: u64, records: u8, ttl: u32, zone: u32) {
        let meta = EntryMeta {
            stored_at: self.now,
            ttl,
            zone,
            generation: self.generation,
        };
        let bytes = entry(&self.hasher, &qname(name), records, &meta);
        self.cache
            .insert(&Entry::parse(&bytes).expect("just encoded"));
        if ttl > 0 {
            self.model.insert(name, bytes);
            self.ask(name);
            let key = self.hasher.key_of(&[], 0, 0, 0);
            assert!(!is_hit(&mut self.cache, &key, self.now, self.generation));
        }
    }

    fn ask(&mut self, name: u64) {
        let qname = qname(name);
        let key = self.hasher.key_of(&qname, 1, 1, 1);
        let mut slot = self.cache.locate(key.hash);
        self.cache.touch(&mut slot, key.hash);
        let found = self
            .cache
            .get(slot, &key, self.now, &Generation(self.generation));
        let (entry, is_fresh, age_secs) = match found {
            Lookup::Fresh(entry, age_secs) => (entry, true, age_secs),
            Lookup::Stale(entry) => (entry, false, self.now - entry.stored_at()),
            Lookup::Miss => return,
        };
        assert!(slot.is_confirmed());
        assert_eq!(
            Some(entry.as_bytes()),
            self.model.get(&name).map(Vec::as_slice)
        );
        assert_eq!(entry.qname(), qname);
        assert_eq!(entry.generation(), self.generation);
        assert_eq!(age_secs, self.now - entry.stored_at());
        assert_eq!(is_fresh, age_secs < entry.ttl());
        assert!(age_secs < entry.ttl() + STALE_SECS_MAX);
    }

    fn ask_other(&mut self, name: u64, part: u8) {
        let qname = qname(name);
        let [qtype, qclass, flags] = [[28, 1, 1], [1, 3, 1], [1, 1, 5]][usize::from(part)];
        let flags = u8::try_from(flags).expect("small");
        let key = self.hasher.key_of(&qname, qtype, qclass, flags);
        assert!(!is_hit(&mut self.cache, &key, self.now, self.generation));
        // The same hash by accident must not suffice.
        let hash = self.hasher.key_of(&qname, 1, 1, 1).hash;
        let forged = Key { hash, ..key };
        assert!(!is_hit(&mut self.cache, &forged, self.now, self.generation));
    }

    fn check_figures(&mut self) {
        let statistics = self.cache.statistics();
        assert!(statistics.bytes_max <= CACHE_BYTES_MIN);
        assert!(statistics.bytes <= statistics.bytes_max);
        let (mut entries, mut bytes) = (0, 0);
        self.cache.remove_where(|entry| {
            entries += 1;
            bytes += entry.as_bytes().len();
            false
        });
        let index_bytes = Cache::with_bytes(CACHE_BYTES_MIN).statistics().bytes;
        assert_eq!(statistics.entries, entries);
        assert_eq!(statistics.bytes, bytes + index_bytes);
        assert!(entries <= self.model.len());
    }
}

fn is_hit(cache: &mut Cache, key: &Key<'_>, now: u32, generation: u32) -> bool {
    let slot = cache.locate(key.hash);
    !matches!(
        cache.get(slot, key, now, &Generation(generation)),
        Lookup::Miss
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn cache_answers_from_the_latest_entry_of_the_key_or_not_at_all(
        steps in prop::collection::vec(step(), 1..400)
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.apply(step);
        }
    }
}

#[test]
fn entry_just_inserted_is_found_even_in_a_full_cache() {
    let mut pair = Pair::new();
    let generation = Generation(0);
    for name in 0..20_000 {
        let records = u8::try_from(name % 60).unwrap() + 1;
        pair.insert(name, records, 3600, 0);
        let qname = qname(name);
        let key = pair.hasher.key_of(&qname, 1, 1, 1);
        let slot = pair.cache.locate(key.hash);
        let found = pair.cache.get(slot, &key, pair.now, &generation);
        assert!(matches!(found, Lookup::Fresh(..)), "name={name}");
    }
    let statistics = pair.cache.statistics();
    assert_eq!(statistics.insertions, 20_000);
    let gone = statistics.evictions + statistics.expirations;
    assert_eq!(statistics.insertions - gone, statistics.entries as u64);
    // Evictions happen for want of room only: at least three quarters are in use.
    assert!(statistics.bytes > CACHE_BYTES_MIN * 3 / 4, "{statistics:?}");
}
