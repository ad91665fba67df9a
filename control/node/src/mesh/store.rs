//! All that consensus has on disk, under `consensus/` of the data folder: plain files, no database.
//!
//! [`Log`]: what must not be forgotten. [`History`]: what members that are behind are served from.
//! [`Snapshots`]: where history begins. Start at [`Store::open`]; how damage is met is said at each.

mod disk;
mod error;
mod frame;
mod history;
mod log;
mod segment;
mod snapshots;
#[cfg(test)]
pub(crate) mod tests;

use std::fs::{DirBuilder, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::Record;
use rustix::fs::FlockOperation;

pub use disk::{Disk, RealDisk};
pub use error::StoreError;
pub use frame::Owner;
pub use history::{History, HistoryLimits};
pub use log::Log;
pub use snapshots::{Snapshots, StoredSnapshot};

const LOG: &str = "log";
/// Ending of names of files that are not whole yet.
const TEMPORARY: &str = "new";
/// Ending of names of files that were no good, for whoever wants to look.
const ASIDE: &str = "aside";

/// The store of one node, open.
#[derive(Debug)]
pub struct Store {
    /// The durable log.
    pub log: Log,
    /// History.
    pub history: Arc<History>,
    /// Snapshots.
    pub snapshots: Arc<Snapshots>,
    /// Held while the store is open.
    pub lock: File,
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there, and reads the log.
    ///
    /// # Errors
    /// It cannot be read or written, is another's, in use, or has lost what was durable.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        owner: Owner,
        limits: HistoryLimits,
    ) -> Result<(Self, Vec<Record>), StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(StoreError::disk(folder, "make it"))?;
        // A folder that is lost with the power takes along all that told of its loss.
        frame::sync_folder_of(&*disk, folder)?;
        let lock = take_lock(&folder.join("lock"))?;
        remove(named(folder, "", TEMPORARY)?)?;
        let path = folder.join(LOG);
        let history = History::open(disk.clone(), folder, owner, limits)?;
        let snapshots = Snapshots::open(disk.clone(), folder, owner)?;
        let has_log = path
            .try_exists()
            .map_err(StoreError::disk(&path, "look for it"))?;
        let (log, records) = if has_log {
            Log::open(disk, &path, owner)?
        } else if history.range().is_some() || snapshots.newest().is_some() {
            return Err(StoreError::Missing { path });
        } else {
            (Log::create(disk, &path, owner)?, Vec::new())
        };
        let store = Self {
            log,
            history: Arc::new(history),
            snapshots: Arc::new(snapshots),
            lock,
        };
        Ok((store, records))
    }
}

/// All files of a folder whose names begin and end so.
fn named(folder: &Path, prefix: &str, ending: &str) -> Result<Vec<PathBuf>, StoreError> {
    let unreadable = || StoreError::disk(folder, "list it");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let begins = entry.file_name().as_bytes().starts_with(prefix.as_bytes());
        let path = entry.path();
        if begins && path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    Ok(found)
}

fn remove(paths: impl IntoIterator<Item = PathBuf>) -> Result<(), StoreError> {
    paths.into_iter().try_for_each(|path| {
        std::fs::remove_file(&path).map_err(StoreError::disk(&path, "remove it"))
    })
}

fn take_lock(path: &Path) -> Result<File, StoreError> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StoreError::disk(path, "open it"))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy {
            path: path.to_owned(),
        }),
        Err(error) => Err(StoreError::disk(path, "lock it")(error.into())),
    }
}
