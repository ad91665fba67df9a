//! Files of one node's log in memory, and what a cut of power leaves of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ctlog::Files;

use crate::random::Random;

/// As programs see them, and as they are on the medium.
#[derive(Debug, Default)]
struct Contents {
    now: BTreeMap<String, Vec<u8>>,
    durable: BTreeMap<String, Vec<u8>>,
}

/// Files by path. A clone has the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryFiles(Arc<Mutex<Contents>>);

impl MemoryFiles {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power is gone. Of each file that was not synced the old one is left, the new one, or a part of it.
    pub(crate) fn cut_power(&self, random: &mut Random) {
        let contents = &mut *self.contents();
        let both = contents.now.keys().chain(contents.durable.keys());
        for path in both.cloned().collect::<BTreeSet<_>>() {
            let (now, durable) = (contents.now.get(&path), contents.durable.get(&path));
            if now == durable {
                continue;
            }
            let left = match (random.below(3), now) {
                (0, _) => durable.cloned(),
                (1, Some(now)) => Some(now[..random.index(now.len() + 1)].to_vec()),
                (_, now) => now.cloned(),
            };
            match left {
                Some(left) => contents.durable.insert(path, left),
                None => contents.durable.remove(&path),
            };
        }
        contents.now = contents.durable.clone();
    }

    /// Removes what begins so, for good.
    pub(crate) fn lose(&self, prefix: &str) {
        let contents = &mut *self.contents();
        for files in [&mut contents.now, &mut contents.durable] {
            files.retain(|path, _| !path.starts_with(prefix));
        }
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.contents().now.get(path).cloned())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let contents = &mut *self.contents();
        contents.now.insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes)?;
        self.sync(&[path.to_owned()])
    }

    fn overwrite(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace(path, bytes)
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        let contents = &mut *self.contents();
        for path in paths {
            let bytes = contents.now.get(path).ok_or(io::ErrorKind::NotFound)?;
            contents.durable.insert(path.clone(), bytes.clone());
        }
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let folder = format!("{path}/");
        let contents = &mut *self.contents();
        contents.now.retain(|path, _| !path.starts_with(&folder));
        Ok(())
    }
}
