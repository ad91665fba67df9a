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
