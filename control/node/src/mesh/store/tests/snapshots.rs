//! Snapshots: chunks, the last two, and damage.

use super::*;

fn snapshots(folder: &Path) -> Snapshots {
    Snapshots::open(Arc::new(RealDisk), folder, owner()).unwrap()
}

fn state(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn store(snapshots: &Snapshots, sequence: u64, state: &[u8]) {
    let (certificate, body) = checkpoint(sequence);
    snapshots.store(&certificate, &body, state).unwrap();
}

#[test]
fn state_of_any_length_comes_back_whole_and_in_chunks() {
    let chunk = consensus::CHUNK_BYTES_MAX;
    for length in [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk + 7] {
        let folder = TempDir::new().unwrap();
        let first = snapshots(folder.path());
        store(&first, 100, &state(length));
        let second = snapshots(folder.path());
        for snapshots in [first, second] {
            let stored = snapshots.newest().unwrap();
            assert_eq!(stored.bytes_count, length as u64);
            assert_eq!((stored.certificate.clone(), stored.body.clone()), {
                checkpoint(100)
            });
            assert_eq!(stored.state().unwrap(), state(length), "length={length}");
            for (index, wanted) in (0..).zip(state(length).chunks(chunk)) {
                let found = snapshots.chunk(Sequence(100), index).unwrap();
                assert_eq!(found.as_deref(), Some(wanted), "length={length}");
            }
            let behind = u32::try_from(length.div_ceil(chunk)).unwrap();
            for index in [behind, u32::MAX] {
                assert_eq!(snapshots.chunk(Sequence(100), index).unwrap(), None);
            }
            assert_eq!(snapshots.chunk(Sequence(99), 0).unwrap(), None);
        }
    }
}

#[test]
fn last_two_are_kept_and_history_is_needed_from_the_older_one() {
    let folder = TempDir::new().unwrap();
    let snapshots = snapshots(folder.path());
    assert_eq!(snapshots.covered(), None);
    store(&snapshots, 100, b"one");
    assert_eq!(snapshots.covered(), None);
    store(&snapshots, 200, b"two");
    assert_eq!(snapshots.covered(), Some(Sequence(100)));
    let read_on = snapshots.all().pop().unwrap();
    store(&snapshots, 300, b"three");
    assert_eq!(snapshots.covered(), Some(Sequence(200)));
    assert_eq!(read_on.state().unwrap(), b"one");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let again = self::snapshots(folder.path());
    let states: Vec<_> = again.all().iter().map(|one| one.state().unwrap()).collect();
    assert_eq!(states, [b"three".to_vec(), b"two".to_vec()]);
}

#[test]
fn flipped_bit_anywhere_in_the_newest_leaves_the_older_one() {
    let folder = TempDir::new().unwrap();
    let first = snapshots(folder.path());
    store(&first, 100, b"older");
    store(&first, 200, &state(1000));
    let path = folder.path().join("snapshot-00000000000000000200");
    let whole = std::fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x04;
        std::fs::write(&path, &bytes).unwrap();
        let found = snapshots(folder.path()).all();
        let good: Vec<_> = found.iter().filter_map(|one| one.state().ok()).collect();
        assert_eq!(good, [b"older".to_vec()], "place={place}");
    }
}

#[test]
fn newest_cut_anywhere_leaves_the_older_one() {
    let folder = TempDir::new().unwrap();
    let first = snapshots(folder.path());
    store(&first, 100, b"older");
    store(&first, 200, &state(100));
    let path = folder.path().join("snapshot-00000000000000000200");
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let found = snapshots(folder.path()).all();
        assert_eq!(found.len(), 1, "length={length}");
        assert_eq!(found[0].state().unwrap(), b"older");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn flip_last_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn snapshot_that_took_long_does_not_pass_for_the_newest() {
    let folder = TempDir::new().unwrap();
    let snapshots = snapshots(folder.path());
    store(&snapshots, 300, b"installed");
    store(&snapshots, 200, b"late");
    assert_eq!(snapshots.newest().unwrap().body.sequence, Sequence(300));
    assert_eq!(snapshots.covered(), Some(Sequence(200)));
    store(&snapshots, 100, b"later still");
    let kept: Vec<_> = snapshots
        .all()
        .iter()
        .map(|one| one.body.sequence)
        .collect();
    assert_eq!(kept, [Sequence(300), Sequence(200)]);
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn each_snapshot_set_aside_keeps_its_number_and_the_last_two_stay() {
    let folder = TempDir::new().unwrap();
    let aside = |sequence: u64| format!("snapshot-{sequence:020}.aside");
    for sequence in [100, 300, 500] {
        let first = snapshots(folder.path());
        store(&first, sequence, b"one");
        store(&first, sequence + 100, b"two");
        first.discard(Sequence(sequence + 100)).unwrap();
        first.discard(Sequence(sequence)).unwrap();
        assert_eq!(
            names(folder.path()),
            [aside(sequence), aside(sequence + 100)]
        );
    }
    // Damage in history is another matter.
    let history = || {
        let limits = HistoryLimits::default();
        History::open(Arc::new(RealDisk), folder.path(), owner(), limits).unwrap()
    };
    history().append(&item(1, 10)).unwrap();
    flip_last_byte(&folder.path().join("history-0000000001"));
    drop(history());
    let found = names(folder.path());
    assert!(
        found.contains(&"history-0000000001.aside".to_owned()),
        "{found:?}"
    );
    assert!(found.contains(&aside(500)), "{found:?}");
    assert!(found.contains(&aside(600)), "{found:?}");
}

#[test]
fn damage_in_a_snapshot_is_no_reason_for_a_new_key() {
    let folder = TempDir::new().unwrap();
    let snapshots = snapshots(folder.path());
    store(&snapshots, 100, b"state");
    flip_last_byte(&folder.path().join("snapshot-00000000000000000100"));
    let error = snapshots.newest().unwrap().state().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("damaged at byte"), "{text}");
    assert!(!text.contains("key"), "{text}");
}
