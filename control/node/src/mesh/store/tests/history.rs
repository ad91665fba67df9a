//! History: what is served, what is dropped, and what damage costs.

use super::*;

const MANY: usize = 10_000;

fn small() -> HistoryLimits {
    HistoryLimits {
        segment_bytes: 2_000,
        kept_requests_count: 10,
        kept_bytes_max: 1 << 30,
    }
}

fn history(folder: &Path) -> History {
    History::open(Arc::new(RealDisk), folder, owner(), small()).unwrap()
}

fn filled(folder: &Path, count: u64) -> History {
    let history = history(folder);
    for sequence in 1..=count {
        history.append(&item(sequence, 100)).unwrap();
        if sequence % 10 == 0 {
            let (certificate, body) = checkpoint(sequence - 2);
            history
                .append(&HistoryItem::Checkpoint(certificate, Box::new(body)))
                .unwrap();
        }
    }
    history.sync().unwrap();
    history
}

fn batches(items: &[HistoryItem]) -> Vec<u64> {
    items
        .iter()
        .filter(|item| matches!(item, HistoryItem::Batch { .. }))
        .map(|item| item.sequence().0)
        .collect()
}

fn after(history: &History, sequence: u64) -> Option<Vec<u64>> {
    let items = history.read_after(Sequence(sequence), usize::MAX, MANY);
    items.unwrap().map(|items| batches(&items))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("history-") && name.ends_with(ending)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_follows_each_sequence_is_read_before_and_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let first = filled(folder.path(), 50);
    assert!(files(folder.path(), "").len() > 3, "several files");
    let second = history(folder.path());
    for history in [first, second] {
        assert_eq!(history.range(), Some((Sequence(1), Sequence(50))));
        for sequence in 0..=50 {
            let wanted: Vec<_> = (sequence + 1..=50).collect();
            assert_eq!(after(&history, sequence), Some(wanted));
        }
    }
}

#[test]
fn checkpoints_are_among_what_follows() {
    let folder = TempDir::new().unwrap();
    let history = filled(folder.path(), 50);
    let items = history
        .read_after(Sequence(25), usize::MAX, MANY)
        .unwrap()
        .unwrap();
    let checkpoints = items
        .iter()
        .filter(|item| matches!(item, HistoryItem::Checkpoint(..)));
    let found: Vec<_> = checkpoints.map(|item| item.sequence().0).collect();
    assert_eq!(found, [28, 38, 48]);
}

#[test]
fn reading_stops_at_the_bound_but_gives_one_item_at_least() {
    let folder = TempDir::new().unwrap();
    let history = filled(folder.path(), 20);
    let read = |bytes_max, items_max| {
        let items = history.read_after(Sequence(3), bytes_max, items_max);
        batches(&items.unwrap().unwrap())
    };
    assert_eq!(read(1, MANY), [4]);
    assert_eq!(read(usize::MAX, 2), [4, 5]);
    let one = history.read_after(Sequence(3), 1, MANY).unwrap().unwrap();
    let bytes = consensus::Wire::to_bytes(&one[0]).len() + 12;
    assert_eq!(read(bytes * 3, MANY), [4, 5, 6]);
    assert_eq!(read(bytes * 3 - 1, MANY), [4, 5]);
}

#[test]
fn item_larger_than_one_read_is_found() {
    let folder = TempDir::new().unwrap();
    let history = history(folder.path());
    for sequence in 1..=3 {
        history.append(&item(sequence, 500_000)).unwrap();
    }
    assert_eq!(after(&history, 0), Some(vec![1, 2, 3]));
    assert_eq!(after(&history, 2), Some(vec![3]));
}

#[test]
fn history_that_begins_later_says_so() {
    let folder = TempDir::new().unwrap();
    let history = history(folder.path());
    assert_eq!(after(&history, 0), None);
    history.append(&item(101, 10)).unwrap();
    assert_eq!(after(&history, 99), None);
    assert_eq!(after(&history, 100), Some(vec![101]));
}

#[test]
fn known_item_is_left_and_a_gap_begins_anew() {
    let folder = TempDir::new().unwrap();
    let history = filled(folder.path(), 20);
    history.append(&item(20, 10)).unwrap();
    assert_eq!(after(&history, 18), Some(vec![19, 20]));
    history.append(&item(30, 10)).unwrap();
    assert_eq!(history.range(), Some((Sequence(30), Sequence(30))));
    assert_eq!(files(folder.path(), "").len(), 1);
}

#[test]
fn covered_files_are_dropped_down_to_what_is_kept() {
    let folder = TempDir::new().unwrap();
    let history = filled(folder.path(), 100);
    history.trim(Sequence(0));
    assert_eq!(history.range(), Some((Sequence(1), Sequence(100))));
    history.trim(Sequence(50));
    let (first, _) = history.range().unwrap();
    assert!(first > Sequence(30) && first <= Sequence(51), "{first:?}");
    history.trim(Sequence(100));
    let (first, _) = history.range().unwrap();
    assert!(first > Sequence(70) && first <= Sequence(91), "{first:?}");
    assert_eq!(files(folder.path(), "").len() as u64, {
        let left = history.bytes_count();
        left.div_ceil(small().segment_bytes)
    });
    drop(history);
    let history = self::history(folder.path());
    assert_eq!(history.range(), Some((first, Sequence(100))));
}

#[test]
fn reader_of_a_dropped_file_is_not_disturbed() {
    let folder = TempDir::new().unwrap();
    let history = filled(folder.path(), 5);
    history.clear();
    assert_eq!(history.range(), None);
    history.append(&item(6, 10)).unwrap();
    assert_eq!(after(&history, 5), Some(vec![6]));
}

#[test]
fn flipped_bit_costs_what_follows_it_and_no_wrong_item_is_ever_served() {
    let folder = TempDir::new().unwrap();
    drop(filled(folder.path(), 30));
    let paths = files(folder.path(), "");
    let contents: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let all: Vec<_> = (1..=30).collect();
    for (broken, bytes) in contents.iter().enumerate() {
        for place in (0..bytes.len()).step_by(37) {
            for path in files(folder.path(), "") {
                std::fs::remove_file(path).unwrap();
            }
            for (path, bytes) in paths.iter().zip(&contents) {
                std::fs::write(path, bytes).unwrap();
            }
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x40;
            std::fs::write(&paths[broken], &bytes).unwrap();
            let history = history(folder.path());
            let good = after(&history, 0).unwrap_or_default();
            assert!(good.len() <= 30, "broken={broken} place={place}");
            assert_eq!(good, all[..good.len()], "broken={broken} place={place}");
            assert_eq!(
                files(folder.path(), ".aside").len(),
                paths.len() - broken,
                "broken={broken} place={place}"
            );
            // It goes on from what is good.
            let next = good.len() as u64 + 1;
            history.append(&item(next, 10)).unwrap();
            assert_eq!(after(&history, next - 1), Some(vec![next]));
        }
    }
}

#[test]
fn bit_that_flips_while_running_is_an_error_and_not_an_answer() {
    let folder = TempDir::new().unwrap();
    let history = filled(folder.path(), 5);
    let path = &files(folder.path(), "")[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(path, &bytes).unwrap();
    let error = history
        .read_after(Sequence(0), usize::MAX, MANY)
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }));
}

#[test]
fn last_file_cut_anywhere_opens_with_whole_items() {
    let folder = TempDir::new().unwrap();
    drop(filled(folder.path(), 8));
    let path = files(folder.path(), "").pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).rev() {
        let file = std::fs::write(&path, &whole[..length]);
        file.unwrap();
        let history = history(folder.path());
        let good = after(&history, 0).unwrap_or_default();
        let wanted: Vec<_> = (1..=good.len() as u64).collect();
        assert_eq!(good, wanted, "length={length}");
    }
}
