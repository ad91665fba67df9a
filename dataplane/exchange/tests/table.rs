//! The answer table: what is written is found, what is dead or torn is not.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use cache::{ENTRY_BYTES_MAX, Entry, EntryMeta, Hasher, Lookup};
use common::{SMALL_TABLE_OFFSET, entry, name, small};
use exchange::{BUCKET_ENTRIES_MAX, ControlSide, Region, RegionConfig, Superseded, TableReader};
use guard::Secrets;

const NOW: u32 = 1000;
const DAY: u32 = 86_400;

fn meta(stored_at: u32, ttl: u32) -> EntryMeta {
    EntryMeta {
        stored_at,
        ttl,
        zone: 3,
        generation: 0,
    }
}

struct Table {
    region: Region,
    control: Region,
    side: ControlSide,
    reader: TableReader,
    hasher: Hasher,
}

fn table(config: &RegionConfig) -> Table {
    let region = Region::create(config).unwrap();
    let control = region.attach_control().unwrap();
    let (k0, k1) = control.hash_keys();
    assert_eq!((k0, k1), region.hash_keys());
    Table {
        side: control.control(0).unwrap(),
        reader: region.table(),
        hasher: Hasher::new(k0, k1),
        region,
        control,
    }
}

impl Table {
    fn insert(&mut self, number: u32, meta: EntryMeta, text_bytes: usize) {
        let bytes = entry(&self.hasher, number, meta, text_bytes);
        let entry = Entry::parse(&bytes).unwrap();
        self.side.table.insert(&entry, NOW).unwrap();
    }

    /// "fresh AGE", "stale" or "miss".
    fn get(&self, number: u32, now: u32) -> String {
        let name = name(number);
        let key = self.hasher.key_of(&name, 16, 1, 1);
        let mut scratch = [0; ENTRY_BYTES_MAX];
        let generations = self.region.generations();
        match self.reader.get(&key, now, &generations, DAY, &mut scratch) {
            Lookup::Fresh(entry, age) => {
                assert_eq!(entry.key(), key);
                format!("fresh {age}")
            }
            Lookup::Stale(entry) => {
                assert_eq!(entry.key(), key);
                "stale".to_owned()
            }
            Lookup::Miss => "miss".to_owned(),
        }
    }

    fn numbers_present(&self, numbers: impl Iterator<Item = u32>) -> Vec<u32> {
        numbers
            .filter(|number| self.get(*number, NOW) != "miss")
            .collect()
    }

    /// Numbers whose names fall into bucket 0, `count` of them.
    fn in_first_bucket(&self, count: usize) -> Vec<u32> {
        let buckets = u64::from(self.region.config().table_buckets);
        (0..)
            .filter(|number| {
                self.hasher
                    .key_of(&name(*number), 16, 1, 1)
                    .hash
                    .is_multiple_of(buckets)
            })
            .take(count)
            .collect()
    }

    fn memory(&self) -> File {
        File::from(self.region.memory().try_clone_to_owned().unwrap())
    }
}

#[test]
fn inserted_entry_is_found_fresh_then_stale_then_gone() {
    let mut table = table(&RegionConfig::default());
    assert_eq!(table.get(7, NOW), "miss");
    table.insert(7, meta(NOW, 60), 20);
    assert_eq!(table.get(7, NOW + 59), "fresh 59");
    assert_eq!(table.get(7, NOW + 60), "stale");
    assert_eq!(table.get(7, NOW + 60 + DAY), "miss");
    assert_eq!(table.get(8, NOW), "miss");
}

#[test]
fn raised_generation_kills_the_zone_alone() {
    let mut table = table(&RegionConfig::default());
    table.insert(1, meta(NOW, 60), 20);
    table.insert(
        2,
        EntryMeta {
            zone: 4,
            ..meta(NOW, 60)
        },
        20,
    );
    assert_eq!(table.side.generations.bump(3), Ok(1));
    assert_eq!(
        (table.get(1, NOW), table.get(2, NOW)),
        ("miss".into(), "fresh 0".into())
    );
    table.side.generations.bump_zones().unwrap();
    assert_eq!(table.get(2, NOW), "miss");
    assert_eq!(table.region.generations().generation(3), 2);
    assert_eq!(table.region.generations().generation(0), 0);
    assert_eq!(table.region.generations().generation(u32::MAX), 0);
}

#[test]
fn newer_entry_of_the_same_key_replaces_the_older() {
    let mut table = table(&small());
    table.insert(1, meta(NOW - 50, 60), 20);
    table.insert(1, meta(NOW, 60), 200);
    assert_eq!(table.get(1, NOW), "fresh 0");
    let mut seen = 0;
    table.reader.for_each(|_| seen += 1);
    assert_eq!(seen, 1);
    assert_eq!(table.side.table.statistics().replacements, 1);
}

#[test]
fn full_bucket_drops_expired_then_dead_then_oldest_entries() {
    let mut table = table(&small());
    let numbers = table.in_first_bucket(BUCKET_ENTRIES_MAX + 4);
    for (age, number) in (0..).zip(&numbers[..BUCKET_ENTRIES_MAX]) {
        let meta = match age {
            5 => meta(NOW - 100, 60),
            6 => EntryMeta {
                generation: 9,
                ..meta(NOW, 600)
            },
            _ => meta(NOW - 20 + age, 600),
        };
        table.insert(*number, meta, 0);
    }
    let fresh = BUCKET_ENTRIES_MAX - 2;
    let all = || numbers.iter().copied();
    // The expired one still counts as stale; the one of a wrong generation never counts.
    assert_eq!(table.numbers_present(all()).len(), fresh + 1);
    table.insert(numbers[BUCKET_ENTRIES_MAX], meta(NOW, 600), 0);
    assert_eq!(table.get(numbers[5], NOW), "miss");
    assert_eq!(table.numbers_present(all()).len(), fresh + 1);
    table.insert(numbers[BUCKET_ENTRIES_MAX + 1], meta(NOW, 600), 0);
    assert_eq!(table.numbers_present(all()).len(), fresh + 2);
    assert_eq!(table.side.table.statistics().expirations, 2);
    assert_eq!(table.side.table.statistics().evictions, 0);
    table.insert(numbers[BUCKET_ENTRIES_MAX + 2], meta(NOW, 600), 0);
    assert_eq!(table.get(numbers[0], NOW), "miss");
    assert_eq!(table.get(numbers[1], NOW), "fresh 19");
    assert_eq!(table.side.table.statistics().evictions, 1);
}

#[test]
fn large_entry_evicts_as_many_small_ones_as_it_needs() {
    let mut table = table(&small());
    let numbers = table.in_first_bucket(9);
    for number in &numbers[..8] {
        table.insert(*number, meta(NOW, 600), 150);
    }
    assert_eq!(table.numbers_present(numbers.iter().copied()).len(), 8);
    table.insert(numbers[8], meta(NOW, 600), 255);
    let present = table.numbers_present(numbers.iter().copied());
    assert!(present.contains(&numbers[8]));
    assert!((6..8).contains(&(present.len() - 1)), "{present:?}");
}

#[test]
fn remove_where_removes_what_matches_and_nothing_else() {
    let mut table = table(&RegionConfig {
        table_buckets: 64,
        ..small()
    });
    for number in 0..200 {
        table.insert(number, meta(NOW, 600), 0);
    }
    let before = table.numbers_present(0..200);
    let gone = name(before[3]);
    let writer = &mut table.side.table;
    let (mut removed, mut next, mut pieces) = (0, Some(0), 0);
    while let Some(start) = next {
        let walked = writer.remove_where(start, 24, |entry| entry.qname() == gone);
        let (here, then) = walked.unwrap();
        (removed, next, pieces) = (removed + here, then, pieces + 1);
    }
    assert_eq!((removed, pieces), (1, 3));
    let mut expected = before.clone();
    expected.remove(3);
    assert_eq!(table.numbers_present(0..200), expected);
}

#[test]
fn bucket_left_odd_is_a_miss_until_its_next_insertion_repairs_it() {
    let mut table = table(&small());
    let numbers = table.in_first_bucket(2);
    table.insert(numbers[0], meta(NOW, 60), 20);
    table
        .memory()
        .write_all_at(&7_u64.to_le_bytes(), SMALL_TABLE_OFFSET)
        .unwrap();
    assert_eq!(table.get(numbers[0], NOW), "miss");
    table.insert(numbers[1], meta(NOW, 60), 20);
    // Nothing of the half-written bucket is believed.
    assert_eq!(table.get(numbers[0], NOW), "miss");
    assert_eq!(table.get(numbers[1], NOW), "fresh 0");
    assert_eq!(table.side.table.statistics().repairs, 1);
}

#[test]
fn bucket_left_odd_under_the_mark_is_repaired_on_attach() {
    let mut table = table(&small());
    let numbers = table.in_first_bucket(1);
    table.insert(numbers[0], meta(NOW, 60), 20);
    let memory = table.memory();
    memory
        .write_all_at(&9_u64.to_le_bytes(), SMALL_TABLE_OFFSET)
        .unwrap();
    // ControlBlock::table_writing: bucket 0.
    let mark_offset = 2048 + 256 + 16;
    memory
        .write_all_at(&1_u64.to_le_bytes(), mark_offset)
        .unwrap();
    let next = table.region.attach_control().unwrap();
    let side = next.control(0).unwrap();
    assert_eq!(side.table.statistics().repairs, 1);
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, SMALL_TABLE_OFFSET).unwrap();
    assert_eq!(u64::from_le_bytes(word), 10);
    memory.read_exact_at(&mut word, mark_offset).unwrap();
    assert_eq!(u64::from_le_bytes(word), 0);
    assert_eq!(table.get(numbers[0], NOW), "miss");
}

#[test]
fn entry_that_no_longer_fits_its_fingerprint_does_not_hide_its_successor() {
    let mut table = table(&small());
    let number = table.in_first_bucket(1)[0];
    table.insert(number, meta(NOW, 60), 20);
    // The entry's own hash, first word of the entries; its directory word stays.
    table
        .memory()
        .write_all_at(&[0xff; 8], SMALL_TABLE_OFFSET + 16 * 8)
        .unwrap();
    assert_eq!(table.get(number, NOW), "miss");
    table.insert(number, meta(NOW, 60), 20);
    assert_eq!(table.get(number, NOW), "fresh 0");
}

#[test]
fn writer_of_an_older_control_is_superseded() {
    let mut table = table(&small());
    let next = table.region.attach_control().unwrap();
    let bytes = entry(&table.hasher, 1, meta(NOW, 60), 20);
    let entry = Entry::parse(&bytes).unwrap();
    assert_eq!(table.side.table.insert(&entry, NOW), Err(Superseded));
    assert_eq!(
        table.side.table.remove_where(0, 1, |_| true),
        Err(Superseded)
    );
    assert!(table.side.generations.bump(1).is_err());
    assert!(next.control(0).unwrap().table.insert(&entry, NOW).is_ok());
    drop(table.control);
}

#[test]
fn any_bytes_in_a_bucket_are_survived_by_reader_and_writer() {
    let table = table(&small());
    let bytes = entry(&table.hasher, 1, meta(NOW, 600), 20);
    let memory = table.memory();
    let number = table.in_first_bucket(1)[0];
    // Behind a lock, since bolero wants to catch panics.
    let table = std::sync::Mutex::new(table);
    bolero::check!()
        .with_iterations(5000)
        .for_each(|input: &[u8]| {
            let mut table = table.lock().unwrap();
            let input = &input[..input.len().min(2048 - 8)];
            memory
                .write_all_at(&0_u64.to_le_bytes(), SMALL_TABLE_OFFSET)
                .unwrap();
            memory.write_all_at(input, SMALL_TABLE_OFFSET + 8).unwrap();
            let _ = table.get(number, NOW);
            table
                .reader
                .for_each(|entry| assert!(Entry::parse(entry.as_bytes()).is_ok()));
            table
                .side
                .table
                .insert(&Entry::parse(&bytes).unwrap(), NOW)
                .unwrap();
            assert_eq!(table.get(1, NOW), "fresh 0");
        });
}

#[test]
fn both_planes_have_the_same_cookie_secrets_whether_random_or_given() {
    let random = Region::create(&small()).unwrap();
    let secrets = random.cookie_secrets();
    assert_ne!(secrets.current, [0; 16]);
    assert_eq!(secrets.previous, None);
    assert_eq!(random.attach_control().unwrap().cookie_secrets(), secrets);
    let another = Region::create(&small()).unwrap();
    assert_ne!(another.cookie_secrets().current, secrets.current);

    for previous in [None, Some([0; 16]), Some([7; 16])] {
        let given = Secrets {
            current: core::array::from_fn(|index| u8::try_from(index).unwrap()),
            previous,
        };
        let region = Region::create_with_secrets(&small(), Some(given)).unwrap();
        assert_eq!(region.cookie_secrets(), given);
        assert_eq!(region.attach_control().unwrap().cookie_secrets(), given);
    }
}
