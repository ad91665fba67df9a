//! What the kernel gives back need not be on the disk: power that fails after a crash or a failed sync.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Mutex;

use super::*;

/// How a sync ends that does not succeed.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The process is killed first.
    Killed,
    /// The kernel cannot write the pages, and counts them as clean from then on.
    PagesLost,
}

/// A disk behind a cache: everything is read back, but only what was synced outlives the power.
#[derive(Debug, Default)]
struct CachedDisk {
    fault: Mutex<Option<Fault>>,
    files: Mutex<BTreeMap<u64, Pages>>,
    synced_folders: Mutex<Vec<PathBuf>>,
}

#[derive(Debug, Default)]
struct Pages {
    durable: Vec<u8>,
    dirty: Vec<Range<usize>>,
}

impl CachedDisk {
    fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    fn lose_power(&self, folder: &Path) {
        let files = self.files.lock().unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if let Some(pages) = files.get(&entry.metadata().unwrap().ino()) {
                std::fs::write(entry.path(), &pages.durable).unwrap();
            }
        }
    }
}

impl Disk for CachedDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = RealDisk.create(path)?;
        let inode = file.metadata()?.ino();
        self.files.lock().unwrap().insert(inode, Pages::default());
        Ok(file)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut files = self.files.lock().unwrap();
        let pages = files.entry(file.metadata()?.ino()).or_default();
        let begin = usize::try_from(offset).unwrap();
        pages.dirty.push(begin..begin + bytes.len());
        RealDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let pages = files.entry(file.metadata()?.ino()).or_default();
        let error = Err(io::Error::other("input/output error"));
        match *self.fault.lock().unwrap() {
            Some(Fault::Killed) => return error,
            Some(Fault::PagesLost) => {
                pages.dirty.clear();
                return error;
            }
            None => {}
        }
        for range in pages.dirty.drain(..) {
            let length = pages.durable.len().max(range.end);
            pages.durable.resize(length, 0);
            file.read_exact_at(&mut pages.durable[range.clone()], range.start as u64)?;
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.synced_folders.lock().unwrap().push(folder.to_owned());
        RealDisk.sync_folder(folder)
    }
}

fn small() -> HistoryLimits {
    HistoryLimits {
        segment_bytes: 2_000,
        ..HistoryLimits::default()
    }
}

#[test]
fn records_that_a_start_has_read_outlive_the_power() {
    for fault in [Fault::Killed, Fault::PagesLost] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log");
        let disk = Arc::new(CachedDisk::default());
        let mut log = Log::create(disk.clone(), &path, owner()).unwrap();
        log.append(&records(0..2)).unwrap();
        disk.set_fault(Some(fault));
        log.append(&records(2..4)).unwrap_err();
        drop(log);
        disk.set_fault(None);
        let reopen = || Log::open(disk.clone(), &path, owner()).unwrap();
        // From here on votes leave that rest on these.
        let (log, found) = reopen();
        assert_eq!(found, records(0..4), "{fault:?}");
        drop(log);
        disk.lose_power(folder.path());
        assert_eq!(reopen().1, records(0..4), "{fault:?}");
    }
}

#[test]
fn history_that_a_start_has_read_outlives_the_power_once_it_is_synced() {
    for fault in [Fault::Killed, Fault::PagesLost] {
        let folder = TempDir::new().unwrap();
        let disk = Arc::new(CachedDisk::default());
        let reopen = || History::open(disk.clone(), folder.path(), owner(), small()).unwrap();
        let history = reopen();
        history.append(&item(1, 100)).unwrap();
        history.sync().unwrap();
        history.append(&item(2, 100)).unwrap();
        disk.set_fault(Some(fault));
        history.sync().unwrap_err();
        disk.set_fault(None);
        let history = reopen();
        history.append(&item(3, 100)).unwrap();
        history.sync().unwrap();
        disk.lose_power(folder.path());
        let all = Some((Sequence(1), Sequence(3)));
        assert_eq!(reopen().range(), all, "{fault:?}");
    }
}

#[test]
fn no_file_of_history_but_the_last_waits_for_a_sync() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(CachedDisk::default());
    let reopen = || History::open(disk.clone(), folder.path(), owner(), small()).unwrap();
    let history = reopen();
    for sequence in 1..=30 {
        history.append(&item(sequence, 100)).unwrap();
    }
    // Killed before any sync.
    drop(history);
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 3);
    reopen().sync().unwrap();
    disk.lose_power(folder.path());
    assert_eq!(reopen().range(), Some((Sequence(1), Sequence(30))));
}

#[test]
fn name_of_the_folder_is_durable_before_anything_in_it() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(CachedDisk::default());
    let store = folder.path().join("consensus");
    drop(Store::open(disk.clone(), &store, owner(), small()).unwrap());
    let synced = disk.synced_folders.lock().unwrap();
    assert_eq!(*synced, [folder.path().to_owned(), store]);
}
