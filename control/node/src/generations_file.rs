//! The file that remembers over a restart what a dataplane was told. Losing it costs cached answers,
//! never correctness.
//!
//! It is as long as there are zones, and the front thread must not wait for it: a thread of its own
//! writes. To remove it takes no time and is done at once, and what was being written then does not
//! appear any more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::generations::Zones;

/// What is in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content<Z> {
    /// Of the dataplane: no other has these two.
    pub(crate) pid: u32,
    pub(crate) started_ms: u64,
    pub(crate) zones: Z,
    /// Digest of the policy.
    #[serde(default)]
    pub(crate) policy: u64,
}

/// The file and its thread.
#[derive(Debug)]
pub(crate) struct GenerationsFile {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// Held for moments: never while anything is written.
#[derive(Debug, Default)]
struct Slot {
    next: Option<Content<Arc<Zones>>>,
    removals: u64,
    has_ended: bool,
}

impl GenerationsFile {
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (writers, file) = (Arc::clone(&shared), path.clone());
        let thread = std::thread::Builder::new()
            .name("nexus-zones".to_owned())
            .spawn(move || writers.write_all(&file))?;
        Ok(Self {
            path,
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn read(&self) -> Option<Content<Zones>> {
        serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()
    }

    /// Has it written, soon.
    pub(crate) fn write(&self, content: Content<Arc<Zones>>) {
        self.shared.lock().next = Some(content);
        self.shared.changed.notify_one();
    }

    /// It is gone, and nothing of before comes back.
    pub(crate) fn remove(&self) {
        let mut slot = self.shared.lock();
        slot.next = None;
        slot.removals += 1;
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for GenerationsFile {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic there cost the file and nothing else.
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the end, and what was wanted before it.
    fn write_all(&self, path: &Path) {
        while let Some((content, removals)) = self.next() {
            if let Err(error) = self.write(path, &content, removals) {
                tracing::debug!(path = %path.display(), %error, "cannot remember the zones' generations");
            }
        }
    }

    /// Waits for something to write; with it, how often the file was removed.
    fn next(&self) -> Option<(Content<Arc<Zones>>, u64)> {
        let mut slot = self.lock();
        loop {
            if let Some(content) = slot.next.take() {
                return Some((content, slot.removals));
            }
            if slot.has_ended {
                return None;
            }
            let woken = self.changed.wait(slot);
            slot = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, path: &Path, content: &Content<Arc<Zones>>, removals: u64) -> io::Result<()> {
        let content = Content {
            pid: content.pid,
            started_ms: content.started_ms,
            zones: &*content.zones,
            policy: content.policy,
        };
        let beside = path.with_extension("new");
        std::fs::write(&beside, serde_json::to_vec(&content)?)?;
        let slot = self.lock();
        match slot.removals == removals {
            true => std::fs::rename(&beside, path),
            false => std::fs::remove_file(&beside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pid: u32) -> Content<Arc<Zones>> {
        Content {
            pid,
            started_ms: 1,
            zones: Arc::default(),
            policy: 2,
        }
    }

    #[test]
    fn what_was_wanted_last_is_there_after_the_end_and_nothing_comes_back_after_a_removal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nexus.zones");
        let file = || GenerationsFile::new(path.clone()).unwrap();
        let first = file();
        for pid in 1..=50 {
            first.write(content(pid));
        }
        drop(first);
        let second = file();
        let found = second.read().unwrap();
        assert_eq!((found.pid, found.policy), (50, 2));
        // Whatever the thread is about.
        for pid in 1..=50 {
            second.write(content(pid));
            second.remove();
            assert!(!path.exists());
        }
        drop(second);
        assert!(!path.exists() && !path.with_extension("new").exists());
    }

    #[test]
    fn a_removal_while_it_is_written_keeps_it_from_appearing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nexus.zones");
        let shared = Shared::default();
        shared.lock().next = Some(content(7));
        let (content, removals) = shared.next().unwrap();
        shared.lock().removals += 1;
        shared.write(&path, &content, removals).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        shared.write(&path, &content, removals + 1).unwrap();
        assert!(path.exists());
    }
}
