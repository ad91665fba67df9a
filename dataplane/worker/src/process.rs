//! The process: opens everything, gives up privileges, starts the workers, and looks after them.
//!
//! The main thread never touches a packet. It hands memory to control, follows the interface's
//! addresses, tells the service manager that all is well, and stops everything in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bpf_redirect::privileges::{self, CapabilitySet};
use config::{Config, Cores};
use core_affinity::CoreId;
use exchange::handover::{Event, Offer, Server, SharedSocket};
use exchange::{Doorbell, GuardWriter, Region, RegionConfig, StatusWriter, WorkerEvents};
use guard::{Limits, Prefixes, Secrets};
use port::uring::UringPort;
use port::{Mode, Port, PortError};

use crate::batch::{Desk, Sources};
use crate::clock::Now;
use crate::gate::Gate;
use crate::limiter::Limiter;
use crate::mode::{self, Lanes, Opened};
use crate::refresh::Refreshes;
use crate::replies::Replies;
use crate::samples::Samples;
use crate::steering::Steering;
use crate::worker::{Parts, Worker};

/// One round of the main loop: how quickly a new control is served and a stop is noticed.
const ROUND: Duration = Duration::from_millis(100);
/// How often the interface's addresses are read again.
const REFRESH: Duration = Duration::from_secs(2);
/// What updates the steering maps, and follows the interface.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::BPF);
/// Bytes of one bucket of the answer table.
const BUCKET_BYTES: u64 = 2048;

/// How a run failed, by exit status.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was started: configuration or environment (exit status 2).
    Setup(anyhow::Error),
    /// It ran and can't go on (exit status 1).
    Running(anyhow::Error),
}

/// Runs the dataplane until `stop` is set.
pub fn run(config: &Config, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let mut process = Process::start(config).map_err(Failure::Setup)?;
    let result = process.supervise(stop);
    process.shut_down();
    result.map_err(Failure::Running)
}

/// A running thread.
#[derive(Debug)]
struct Running {
    thread: JoinHandle<Result<(), PortError>>,
    bell: Doorbell,
}

/// All that a running dataplane holds.
#[derive(Debug)]
struct Process {
    steering: Option<Box<Steering>>,
    workers: Vec<Running>,
    stop_workers: Arc<AtomicBool>,
    server: Server,
    status: StatusWriter,
    region: Region,
    guard: GuardWriter,
    /// Control asked for a guard that there cannot be, and the log says so.
    unguarded: bool,
    refreshed: Instant,
}

impl Process {
    fn start(config: &Config) -> Result<Self> {
        let started = Now::read();
        let secrets = cookie_secrets(&config.resolver.cookies)?;
        let cores = cores(&config.dataplane.cores)?;
        let Opened {
            mode,
            reason,
            lanes,
        } = mode::open(config, cores.len())?;
        let count = lanes.count();
        let region = Region::create_with_secrets(&region_config(config, count)?, secrets)
            .context("make the memory that the planes share")?;
        let mut status = region.status_writer(started.milliseconds())?;
        let events = (0..count)
            .map(|_| WorkerEvents::new())
            .collect::<Result<Vec<_>, _>>()?;
        let sockets = shared_sockets(&lanes)?;
        let server = bind_server(config, &region, &events, sockets)?;
        match privileges::drop_to(&config.node.user, KEPT).context("give up privileges")? {
            privileges::Dropped::NoSuchUser(user) => tracing::warn!(
                user,
                "node.user does not exist on this machine: staying root without capabilities"
            ),
            dropped => tracing::info!(?dropped, "gave up privileges"),
        }

        let stop_workers = Arc::new(AtomicBool::new(false));
        let starter = Starter {
            config,
            region: &region,
            events: &events,
            cores: &cores,
            stop: &stop_workers,
        };
        let (workers, steering) = match lanes {
            Lanes::Xdp(steering, ports) => {
                let workers = starter.start_xdp(&steering, ports)?;
                tracing::info!(addresses = ?steering.served(), "steering queries to the workers");
                (workers, Some(steering))
            }
            Lanes::Socket(sockets) => (starter.start_sockets(sockets)?, None),
        };
        status.set(shared_mode(mode), &reason);
        tracing::info!(mode = mode.name(), reason, workers = count, "answering");
        let refreshed = Instant::now();
        Ok(Self {
            steering,
            workers,
            stop_workers,
            server,
            status,
            guard: region.guard_writer()?,
            region,
            unguarded: false,
            refreshed,
        })
    }

    fn supervise(&mut self, stop: &AtomicBool) -> Result<()> {
        notify(&[sd_notify::NotifyState::Ready]);
        while !stop.load(Ordering::Relaxed) {
            match self.server.serve(ROUND) {
                Ok(Some(Event::ObserverAttached(_)) | None) => {}
                Ok(Some(event)) => tracing::info!(?event, "hand-over"),
                Err(error) => bail!("hand-over socket: {error}"),
            }
            if let Some(index) = self.workers.iter().position(|w| w.thread.is_finished()) {
                let worker = self.workers.swap_remove(index);
                return Err(ended(worker.thread.join()));
            }
            if self.refreshed.elapsed() >= REFRESH {
                self.refreshed = Instant::now();
                self.refresh()?;
            }
            self.guard();
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
        Ok(())
    }

    /// Guards the consensus port as control says, and says what came of it.
    fn guard(&mut self) {
        if let Some(steering) = &mut self.steering {
            self.guard.write(&steering.guard(&self.region));
        } else if !self.unguarded && self.region.mesh().is_some_and(|mesh| mesh.guarded) {
            self.unguarded = true;
            tracing::warn!("the consensus port is not guarded: that takes AF_XDP");
        }
    }

    /// Follows the interface's addresses; an interface that went away ends the process, so that
    /// whoever supervises it sees that nothing is served.
    fn refresh(&mut self) -> Result<()> {
        let Some(steering) = &mut self.steering else {
            return Ok(());
        };
        if steering
            .refresh()
            .context("follow the interface's addresses")?
        {
            tracing::info!(addresses = ?steering.served(), "addresses changed");
        }
        Ok(())
    }

    /// No new packets first, then the workers finish what they have.
    fn shut_down(mut self) {
        notify(&[sd_notify::NotifyState::Stopping]);
        self.status.set(exchange::Mode::Starting, "stopped");
        if let Some(steering) = &mut self.steering {
            steering.detach();
        }
        self.stop_workers.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.bell.kick();
            match worker.thread.join() {
                Ok(Ok(())) => {}
                other => tracing::error!("{:#}", ended(other)),
            }
        }
    }
}

/// What a worker thread that ended has to say.
fn ended(result: std::thread::Result<Result<(), PortError>>) -> anyhow::Error {
    match result {
        Ok(Ok(())) => anyhow!("a worker stopped by itself"),
        Ok(Err(error)) => anyhow::Error::new(error).context("a worker can't go on"),
        Err(_) => anyhow!("a worker panicked"),
    }
}

/// What every worker is started from.
#[derive(Debug)]
struct Starter<'a> {
    config: &'a Config,
    region: &'a Region,
    events: &'a [WorkerEvents],
    cores: &'a [CoreId],
    stop: &'a Arc<AtomicBool>,
}

impl Starter<'_> {
    fn start_xdp(
        &self,
        steering: &Steering,
        ports: Vec<(u32, port::xdp::XdpPort)>,
    ) -> Result<Vec<Running>> {
        let start = |(index, (queue, port)): (usize, (u32, _))| {
            let deadline = Some(steering.deadline(queue));
            self.start(index, deadline, move || Ok(port))
        };
        ports.into_iter().enumerate().map(start).collect()
    }

    fn start_sockets(&self, lanes: Vec<Vec<std::net::UdpSocket>>) -> Result<Vec<Running>> {
        let start = |(index, sockets)| self.start(index, None, move || UringPort::new(sockets));
        lanes.into_iter().enumerate().map(start).collect()
    }

    /// Starts one worker and waits until its port is open.
    fn start<P: Port>(
        &self,
        index: usize,
        deadline: Option<bpf_redirect::DeadlineCell>,
        open: impl FnOnce() -> Result<P, PortError> + Send + 'static,
    ) -> Result<Running> {
        let parts = self.parts(index, deadline)?;
        let bell = parts.events.reply.try_clone()?;
        let core = self.cores.get(index % self.cores.len().max(1)).copied();
        let stop = Arc::clone(self.stop);
        let (ready, opened) = sync_channel(1);
        let body = move || {
            if let Some(core) = core
                && !core_affinity::set_for_current(core)
            {
                tracing::warn!(core = core.id, "can't pin a worker to this core");
            }
            let port = match open() {
                Ok(port) => port,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return Ok(());
                }
            };
            if let Err(error) = privileges::drop_capabilities() {
                let step = "give up a worker's capabilities".to_owned();
                let _ = ready.send(Err(PortError::System {
                    step,
                    source: error,
                }));
                return Ok(());
            }
            let worker = Worker::new(port, parts);
            let _ = ready.send(Ok(()));
            worker.run(&stop)
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(body)?;
        wait(&opened).with_context(|| format!("start worker {index}"))?;
        Ok(Running { thread, bell })
    }

    fn gate(&self, key: u64) -> Gate {
        let cookies = &self.config.resolver.cookies;
        let limit = &self.config.dataplane.response_rate_limit;
        let limits = Limits {
            per_second: limit.per_second,
            slip: limit.slip,
            prefixes: Prefixes {
                ipv4_bits: limit.ipv4_bits,
                ipv6_bits: limit.ipv6_bits,
            },
            table_entries: limit.table_entries,
        };
        let checker = guard::Cookies::new(self.region.cookie_secrets());
        let checker = cookies.enabled.then_some(checker);
        Gate::new(checker, cookies.require, &limits, limit.exempt.clone(), key)
    }

    fn parts(&self, index: usize, deadline: Option<bpf_redirect::DeadlineCell>) -> Result<Parts> {
        let dataplane = &self.config.dataplane;
        let side = self.region.worker(u32::try_from(index)?)?;
        let (k0, k1) = self.region.hash_keys();
        let limit = dataplane.punts_per_second;
        let mut cache = cache::Cache::with_bytes(usize::try_from(dataplane.cache_bytes)?);
        cache.set_stale_secs_max(dataplane.stale_max_secs);
        let desk = Desk::new(Sources {
            refreshes: Refreshes::default(),
            samples: Samples::new(self.config.dnstap.worker_sample_in_use()),
            cache,
            hasher: cache::Hasher::new(k0, k1),
            table: self.region.table(),
            generations: self.region.generations(),
            punts: side.punts,
            limiter: Limiter::new(limit.rate, limit.burst, k0 ^ k1.rotate_left(17)),
            gate: self.gate(k0.rotate_left(29) ^ k1),
            stale_secs_max: dataplane.stale_max_secs,
            allow: self.config.resolver.shared_clients(),
        });
        let events = self
            .events
            .get(index)
            .context("one pair of bells a worker")?;
        Ok(Parts {
            desk,
            replies: Replies::new(side.replies),
            events: events.try_clone()?,
            counters: side.counters,
            latency: side.latency,
            heartbeat: side.heartbeat,
            region: self.region.clone(),
            deadline,
        })
    }
}

/// Those of the configuration; `None` for a random one.
fn cookie_secrets(cookies: &config::Cookies) -> Result<Option<Secrets>> {
    let secrets = cookies.secrets().context("resolver.cookies")?;
    Ok(secrets.map(|(current, previous)| Secrets { current, previous }))
}

fn wait(opened: &Receiver<Result<(), PortError>>) -> Result<()> {
    opened
        .recv()
        .context("the thread ended before it was ready")??;
    Ok(())
}

/// The cores that workers are pinned to, in the order of the workers.
fn cores(configured: &Cores) -> Result<Vec<CoreId>> {
    let mut allowed = core_affinity::get_core_ids().context("ask which cores may be used")?;
    match configured {
        // The lowest core usually has the most other work.
        Cores::Auto => {
            allowed.reverse();
            Ok(allowed)
        }
        Cores::List(list) => list.iter().map(|core| find_core(&allowed, *core)).collect(),
    }
}

fn find_core(allowed: &[CoreId], core: u32) -> Result<CoreId> {
    let found = allowed
        .iter()
        .find(|id| u32::try_from(id.id) == Ok(core))
        .copied();
    found.with_context(|| {
        let ids: Vec<usize> = allowed.iter().map(|id| id.id).collect();
        format!("dataplane.cores: core {core} may not be used here, expected some of {ids:?}")
    })
}

fn region_config(config: &Config, workers: usize) -> Result<RegionConfig> {
    let dataplane = &config.dataplane;
    let slots = dataplane.ring_slots.next_power_of_two();
    let buckets = (dataplane.table_bytes / BUCKET_BYTES).max(1);
    Ok(RegionConfig {
        workers: u32::try_from(workers)?,
        punt_slots: slots,
        reply_slots: slots,
        table_buckets: u32::try_from(buckets.next_power_of_two())?,
        zones_max: dataplane.zones_max,
    })
}

fn shared_sockets(lanes: &Lanes) -> Result<Vec<SharedSocket>> {
    let Lanes::Socket(lanes) = lanes else {
        return Ok(Vec::new());
    };
    let mut shared = Vec::new();
    for (worker, sockets) in lanes.iter().enumerate() {
        for socket in sockets {
            shared.push(SharedSocket {
                worker: u32::try_from(worker)?,
                address: socket.local_addr()?,
                socket: socket.try_clone()?.into(),
            });
        }
    }
    Ok(shared)
}

fn bind_server(
    config: &Config,
    region: &Region,
    events: &[WorkerEvents],
    sockets: Vec<SharedSocket>,
) -> Result<Server> {
    let events = events
        .iter()
        .map(WorkerEvents::try_clone)
        .collect::<Result<Vec<_>, _>>()?;
    let uids: Vec<u32> = privileges::uid_of(&config.node.user).into_iter().collect();
    let offer = Offer {
        region: region.clone(),
        events,
        sockets,
    };
    Ok(Server::bind(&config.dataplane.socket, offer, &uids)?)
}

fn shared_mode(mode: Mode) -> exchange::Mode {
    match mode {
        Mode::ZeroCopy => exchange::Mode::ZeroCopy,
        Mode::Copy => exchange::Mode::Copy,
        Mode::Socket => exchange::Mode::Socket,
    }
}

/// Tells the service manager, where there is one.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "service manager");
    }
}
