//! A disk that fails at each operation in turn: what was said to be durable is there afterwards.

use super::*;

/// Every operation of a small life fails once, with and without half a write before it.
fn at_each_fault(live: impl Fn(Arc<FailingDisk>, &Path) -> Option<()>, check: impl Fn(&Path)) {
    for is_partial in [false, true] {
        for operations in 0.. {
            let folder = TempDir::new().unwrap();
            let disk = FailingDisk::after(operations, is_partial);
            let is_done = live(disk, folder.path()).is_some();
            check(folder.path());
            if is_done {
                assert!(operations > 3, "nothing failed");
                break;
            }
        }
    }
}

#[test]
fn acknowledged_records_survive_a_fault_at_each_operation() {
    let acknowledged = std::cell::Cell::new(0);
    at_each_fault(
        |disk, folder| {
            acknowledged.set(0);
            let mut log = Log::create(disk, &folder.join("log"), owner()).ok()?;
            for round in 0..4 {
                let wanted = records(round * 2..round * 2 + 2);
                let is_written = log.append(&wanted).is_ok();
                if !is_written {
                    let again = log.append(&wanted).unwrap_err();
                    assert!(matches!(again, StoreError::Distrusted { .. }));
                    return None;
                }
                acknowledged.set(round * 2 + 2);
                if round == 1 {
                    log.replace(&records(0..4)).ok()?;
                }
            }
            log.close().ok()
        },
        |folder| {
            let path = folder.join("log");
            if acknowledged.get() == 0 && !path.exists() {
                return;
            }
            let (_, found) = Log::open(Arc::new(RealDisk), &path, owner()).unwrap();
            let count = found.len() as u64;
            assert!(count >= acknowledged.get(), "{count} of {acknowledged:?}");
            assert_eq!(found, records(0..count));
        },
    );
}

#[test]
fn store_opens_after_a_fault_at_each_operation_of_its_life() {
    let synced = std::cell::Cell::new((0, 0));
    at_each_fault(
        |disk, folder| {
            synced.set((0, 0));
            let limits = HistoryLimits {
                segment_bytes: 1_000,
                ..HistoryLimits::default()
            };
            let (mut store, _) = Store::open(disk, folder, owner(), limits).ok()?;
            for sequence in 1..=8 {
                store.log.append(&records(sequence..sequence + 1)).ok()?;
                store.history.append(&item(sequence, 200)).ok()?;
                if sequence % 4 == 0 {
                    store.history.sync().ok()?;
                    synced.set((sequence, synced.get().1));
                    store.log.replace(&records(sequence..sequence + 1)).ok()?;
                    let (certificate, body) = checkpoint(sequence);
                    let stored = store.snapshots.store(&certificate, &body, &[1; 5_000]);
                    stored.ok()?;
                    synced.set((sequence, sequence));
                }
            }
            Some(())
        },
        |folder| {
            let (store, _) = open(folder).unwrap();
            let (batches, snapshot) = synced.get();
            let last = store.history.range().map_or(0, |(_, last)| last.0);
            assert!(last >= batches, "{last} of {batches}");
            let newest = store.snapshots.newest();
            assert!(newest.as_ref().map_or(0, |one| one.body.sequence.0) >= snapshot);
            newest.inspect(|one| assert_eq!(one.state().unwrap(), [1; 5_000]));
        },
    );
}

#[test]
fn history_that_failed_once_is_not_written_any_more() {
    let folder = TempDir::new().unwrap();
    let disk = FailingDisk::after(100, false);
    let limits = HistoryLimits::default();
    let history = History::open(disk.clone(), folder.path(), owner(), limits).unwrap();
    history.append(&item(1, 10)).unwrap();
    disk.set_left(0);
    assert!(matches!(history.sync(), Err(StoreError::Disk { .. })));
    disk.set_left(100);
    let error = history.append(&item(2, 10)).unwrap_err();
    assert!(matches!(error, StoreError::Distrusted { .. }));
    assert!(matches!(history.sync(), Err(StoreError::Distrusted { .. })));
}
