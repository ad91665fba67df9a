//! Drives the replica: time, messages and wishes in, effects out, behind the records they rest on.
//!
//! Three threads. This one owns the [`consensus::Replica`] and steps it. The writer (`writer.rs`) makes records
//! durable, many at once, and then lets out what waited for them; the replica goes on meanwhile. The
//! keeper (`keeper.rs`) stores snapshots and serves members that are behind. Start at [`start`]; the
//! rest of the node talks to [`MeshHandle`].

mod driving;
mod front;
mod handle;
mod keeper;
mod outside;
mod phases;
mod recovering;
mod report;
mod stamps;
#[cfg(test)]
mod tests;
mod writer;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use consensus::{Configuration, Params, ReplicaError, Signer, StateMachine};
use crossbeam_channel::{Receiver, bounded};
use tokio::sync::oneshot;

pub use front::{Bundler, Reply, SubmitError, WISH_BYTES_MAX};
pub use handle::{MeshHandle, Standing};
pub use outside::{Event, Hooks, Outbox, Publication, Settle};
pub use phases::{PhaseSummary, Phases, Timed};
pub use report::{MemberReport, Report};

use self::driving::{Clock, Driving, standing_of};
use self::front::{Front, Wish};
use self::keeper::Keeper;
use self::stamps::Stamps;
use self::writer::Writer;
use super::Inbound;
use super::store::{Disk, HistoryLimits, Owner, Store, StoreError};

/// Commands that wait at most.
const COMMANDS_MAX: usize = 16_384;

/// What the node may choose for its part.
#[derive(Debug, Clone)]
pub struct DriverLimits {
    /// Requests of this node on their way at the same time.
    pub lanes_count: usize,
    /// How long a client waits for a reply.
    pub request_timeout: Duration,
    /// How much history is kept.
    pub history: HistoryLimits,
}

impl Default for DriverLimits {
    fn default() -> Self {
        Self {
            lanes_count: 16,
            request_timeout: Duration::from_secs(10),
            history: HistoryLimits::default(),
        }
    }
}

/// All that a driver begins with.
#[derive(Debug)]
pub struct Setup<M, S, H, B> {
    /// The folder of the store.
    pub folder: PathBuf,
    /// Its disk.
    pub disk: Arc<dyn Disk>,
    /// The first configuration of the cluster.
    pub genesis: Configuration,
    /// For the replica.
    pub params: Params,
    /// Signs as this node.
    pub signer: S,
    /// The state machine before its first request.
    pub machine: M,
    /// The node's side of it.
    pub hooks: H,
    /// How wishes become requests.
    pub bundler: B,
    /// The way to other nodes.
    pub outbox: Arc<dyn Outbox>,
    /// The way from other nodes.
    pub inbound: Receiver<Inbound>,
    /// What the node may choose.
    pub limits: DriverLimits,
}

/// Why a replica cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds what cannot be.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The machine refused.
    #[error("consensus: {0}")]
    Machine(#[from] std::io::Error),
}

/// A look at the machine, whose type is not known here; and what then tells of it.
type Look = Box<dyn FnOnce(&mut dyn Any) -> Publication + Send>;

/// What the driver is told from inside the node.
enum Command {
    Submit(Wish),
    Read(oneshot::Sender<Result<(), SubmitError>>, Instant),
    /// Looks at the machine, whose type whoever made the driver knows.
    Inspect(Look),
    Failed(String),
    Stop,
}

/// The threads of a driver. They end when it is dropped.
#[derive(Debug)]
pub struct Driver {
    handle: MeshHandle,
    threads: Vec<JoinHandle<()>>,
}

impl Driver {
    /// For whoever has something to ask.
    #[must_use]
    pub fn handle(&self) -> MeshHandle {
        self.handle.clone()
    }

    /// Ends all threads, closes the store in order, and waits for it.
    pub fn stop(mut self) {
        let _ = self.handle.commands.send(Command::Stop);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("consensus: a thread has panicked");
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.handle.commands.try_send(Command::Stop);
    }
}

/// Opens the store, recovers the replica and starts its threads.
///
/// # Errors
/// The store or what it holds is no good. Nothing was sent.
pub fn start<M, S, H, B>(setup: Setup<M, S, H, B>) -> Result<Driver, StartError>
where
    M: StateMachine + Send + 'static,
    S: Signer + Clone + Send + 'static,
    H: Hooks<M>,
    B: Bundler,
{
    let owner = Owner {
        cluster: setup.genesis.cluster(),
        node: setup.signer.id(),
    };
    let limits = &setup.limits;
    let (store, records) = Store::open(setup.disk, &setup.folder, owner, limits.history)?;
    let stamps = Stamps::open(&setup.folder)?;
    let clock = Clock::new();
    let (replica, effects) = recovering::recover(
        clock.now(),
        &setup.params,
        &setup.signer,
        &setup.machine,
        &setup.genesis,
        &store,
        &records,
    )?;
    let (command_sender, commands) = bounded(COMMANDS_MAX);
    let (step_sender, steps) = bounded(writer::STEPS_MAX);
    let (job_sender, jobs) = bounded(keeper::JOBS_MAX);
    let (history, snapshots) = (store.history.clone(), store.snapshots.clone());
    let keeper = Keeper {
        settle: setup.hooks.settle(),
        history: history.clone(),
        snapshots: snapshots.clone(),
        outbox: setup.outbox.clone(),
    };
    let phases = Arc::new(Phases::default());
    let writer = Writer {
        store,
        outbox: setup.outbox.clone(),
        keeper: job_sender,
        driver: command_sender.clone(),
        phases: phases.clone(),
        pending: None,
    };
    let front = Front::new(limits.lanes_count, limits.request_timeout);
    let standing = standing_of(&replica, &front, &history, &snapshots);
    let standing = Arc::new(ArcSwap::from_pointee(standing));
    let handle = MeshHandle {
        commands: command_sender,
        standing: standing.clone(),
        phases: phases.clone(),
    };
    let driving = Driving {
        replica,
        signer: setup.signer,
        hooks: setup.hooks,
        bundler: setup.bundler,
        clock,
        front,
        stamps,
        reads: BTreeMap::new(),
        next_token: 0,
        steps: Some(step_sender),
        phases,
        history,
        snapshots,
        standing,
        outbox: setup.outbox,
        published: Instant::now(),
        failure: None,
    };
    let drive = move || driving.run(effects, &setup.inbound, &commands);
    let threads = vec![
        spawn("mesh-keeper", move || keeper.run(&jobs))?,
        spawn("mesh-writer", move || writer.run(&steps))?,
        spawn("mesh-replica", drive)?,
    ];
    Ok(Driver { handle, threads })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}
