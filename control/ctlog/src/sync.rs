//! The thread that makes durable what the log has written, while the log goes on: a snapshot of consensus holds up nobody who
//! waits for a timestamp.

use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use crate::error::{LogError, of_files};
use crate::issuers::IssuersSync;
use crate::metrics::Metrics;
use crate::store::StoreSync;

/// Everything at one moment.
#[derive(Debug)]
pub(crate) struct SyncJob {
    pub(crate) issuers: IssuersSync,
    pub(crate) shards: Vec<StoreSync>,
    /// Answered when it is durable. Who asked may have gone.
    pub(crate) done: Sender<()>,
}

/// Jobs that wait; consensus makes one snapshot after the other.
const JOBS_MAX: usize = 4;

/// The thread. It ends when `jobs` is dropped, or when a job fails: `failed` has why then.
#[derive(Debug)]
pub(crate) struct SyncThread {
    pub(crate) jobs: Sender<SyncJob>,
    pub(crate) failed: Receiver<LogError>,
    pub(crate) thread: JoinHandle<()>,
}

impl SyncThread {
    /// Starts it.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(metrics: Metrics) -> Result<Self, LogError> {
        let (jobs, jobs_in) = crossbeam_channel::bounded::<SyncJob>(JOBS_MAX);
        let (failed_out, failed) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new().name("ct-sync".to_owned());
        let started = thread.spawn(move || {
            for job in jobs_in {
                if let Err(error) = job.run(&metrics) {
                    let _ = failed_out.send(error); // The log may have ended.
                    return;
                }
            }
        });
        Ok(Self {
            jobs,
            failed,
            thread: started.map_err(of_files("thread to sync"))?,
        })
    }
}

impl SyncJob {
    fn run(&self, metrics: &Metrics) -> Result<(), LogError> {
        let begun = Instant::now();
        self.issuers.run()?; // First: edges say that they are there.
        for shard in &self.shards {
            shard.run()?;
            metrics.set_synced_size(&shard.shard, shard.size);
        }
        metrics.on_sync(begun.elapsed().as_secs_f64());
        let _ = self.done.send(());
        Ok(())
    }
}
