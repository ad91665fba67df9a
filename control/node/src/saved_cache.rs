//! The resolver's cache on disk: read at the start, written now and then and at the stop.
//!
//! The engine encodes in slices of about a millisecond and answers between two; writing waits for the
//! disk on a thread of its own. A file appears whole or not at all, and one that cannot be used is
//! worth a warning and no more: the cache then starts cold. See `resolver::iterate::Saver` for why
//! nothing in it is trusted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resolver::iterate::Saver;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engine::{Engine, EngineHandle};

/// Name of the file in `node.data_dir`.
const FILE: &str = "resolver.cache";
/// Time between two saves.
const PERIOD: Duration = Duration::from_secs(600);
/// At the stop, nobody waits longer for it than this.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Nobody else is to see what was asked, nor to put something there.
const MODE: u32 = 0o600;
/// Slices of a larger cache would be a mistake of ours.
const SLICES_MAX: u64 = 1 << 20;

/// The file, if the configuration wants one. Not to be cloned: two that write at the same time would
/// spoil each other's file.
#[derive(Debug)]
pub(crate) struct SavedCache {
    path: PathBuf,
    bytes_max: u64,
    period: Duration,
}

impl SavedCache {
    /// In `folder`; a file larger than `bytes_max` is not read.
    pub(crate) fn new(folder: &Path, bytes_max: u64) -> Self {
        let path = folder.join(FILE);
        Self {
            path,
            bytes_max,
            period: PERIOD,
        }
    }

    /// Gives the engine what was saved. Does not fail: without it, the cache is cold.
    pub(crate) fn restore(&self, engine: &mut Engine) {
        let path = self.path.display();
        let bytes = match self.read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return tracing::info!(%path, "no saved cache");
            }
            Err(error) => {
                return tracing::warn!(%path, %error, "cannot read the saved cache: it starts cold");
            }
        };
        match engine.restore(&bytes) {
            Ok(entries) => tracing::info!(%path, entries, "cache restored"),
            Err(error) => {
                tracing::warn!(%path, %error, "cannot use the saved cache: it starts cold");
            }
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(&self.path)?;
        let count = file.take(self.bytes_max + 1).read_to_end(&mut bytes)?;
        if count as u64 > self.bytes_max {
            let text = format!("it has more than {} bytes", self.bytes_max);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    }

    /// Saves every ten minutes until `stop` changes, and then for the last time.
    pub(crate) async fn run(self, engine: EngineHandle, mut stop: watch::Receiver<bool>) {
        let start = tokio::time::Instant::now() + self.period;
        let mut ticks = tokio::time::interval_at(start, self.period);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.save(&engine).await,
                _ = stop.changed() => break,
            }
        }
        self.save(&engine).await;
    }

    async fn save(&self, engine: &EngineHandle) {
        let path = self.path.display();
        match self.write(engine).await {
            Ok(names) => tracing::info!(%path, names, "cache saved"),
            Err(error) => tracing::warn!(%path, %error, "cannot save the cache"),
        }
    }

    /// Writes beside the file, then over it.
    async fn write(&self, engine: &EngineHandle) -> io::Result<u64> {
        let beside = self.path.with_extension("cache.new");
        let created = beside.clone();
        let mut file = apart(move || {
            let _ = std::fs::remove_file(&created); // Of a save that was cut short.
            File::options()
                .write(true)
                .create_new(true)
                .mode(MODE)
                .open(created)
        })
        .await?;
        let mut saver = Saver::default();
        for _ in 0..SLICES_MAX {
            let gone = || io::Error::other("the engine has stopped");
            let slice = engine.save(saver).await.ok_or_else(gone)?;
            let (bytes, more) = (slice.bytes, slice.more);
            saver = slice.saver;
            file = apart(move || file.write_all(&bytes).map(|()| file)).await?;
            if !more {
                let path = self.path.clone();
                apart(move || {
                    file.sync_all()?;
                    std::fs::rename(&beside, &path)
                })
                .await?;
                return Ok(saver.names());
            }
        }
        Err(io::Error::other("it does not come to an end"))
    }
}

/// Waits for [`SavedCache::run`], which was told to stop.
pub(crate) async fn wait(task: JoinHandle<()>) {
    if tokio::time::timeout(STOP_TIMEOUT, task).await.is_err() {
        tracing::warn!("saving the cache takes too long: the file is that of an earlier save");
    }
}

/// Waits for the disk beside the runtime's only thread.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use resolver::iterate::{Config, Resolver};
    use std::sync::Arc;

    /// Runs until a stop, which comes during a save if true, and gives what is there then.
    fn run_and_stop(during_a_save: bool) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let mut saved = SavedCache::new(folder.path(), 1 << 20);
        let beside = saved.path.with_extension("cache.new");
        if during_a_save {
            saved.period = Duration::from_millis(1);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (front, _inbox) = crate::front::inbox(&Arc::default()).unwrap();
            let (engine, handle) = Engine::new(Config::default(), [7; 32], None, 1, front).unwrap();
            let (stop, stopped) = watch::channel(false);
            let saving = tokio::spawn(saved.run(handle, stopped));
            // The engine does not run yet, so that the save waits for it.
            while during_a_save && !beside.exists() {
                tokio::task::yield_now().await;
            }
            stop.send(true).unwrap();
            tokio::spawn(engine.run());
            wait(saving).await;
        });
        assert!(!beside.exists());
        SavedCache::new(folder.path(), 1 << 20).read().unwrap()
    }

    #[test]
    fn a_stop_saves_once_more_behind_a_save_that_is_under_way() {
        for during_a_save in [false, true] {
            let bytes = run_and_stop(during_a_save);
            let mut resolver = Resolver::new(Config::default(), [7; 32]);
            let restored = resolver.restore(0, crate::clock::unix_secs(), &bytes);
            assert_eq!(restored, Ok(0), "{during_a_save}");
        }
    }
}
