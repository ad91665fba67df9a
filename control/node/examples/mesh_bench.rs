//! Four nodes in one process, over QUIC on loopback, each with its own store on a disk: how long a
//! commit takes at light load, by each path, and how many small commands are committed a second.
//! Commands that wait at a node share requests, as in the node itself; the state is a tally.
//!
//! `cargo run --release -p node --example mesh_bench -- FOLDER [SECONDS]`. The folder should be on
//! the disk that is to be measured; it is filled and left.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use consensus::{
    ApplyContext, ClusterId, Configuration, Digest, Epoch, Member, Params, Request, RestoreError,
    Role, SignatureCheck, Signer as _, StateMachine,
};
use hdrhistogram::Histogram;
use node::mesh::driver::{
    Bundler, Driver, DriverLimits, Event, Hooks, MeshHandle, Publication, Reply, Setup,
    SubmitError, start,
};
use node::mesh::store::RealDisk;
use node::mesh::{Identity, Network, Settings, kernel_socket};
use tokio::sync::oneshot;

const NODES: u8 = 4;
const PORT: u16 = 47_853;
const COMMAND_BYTES: usize = 100;
/// Commands that each node keeps on their way in the test of throughput.
const OUTSTANDING: usize = 2_000;

/// Counts what it is told, and remembers all of it in one digest.
#[derive(Debug, Clone, Default)]
struct Tally {
    commands: u64,
    chain: [u8; 32],
}

impl StateMachine for Tally {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn is_well_formed(&self, request: &Request) -> bool {
        request.command.len().is_multiple_of(COMMAND_BYTES)
    }

    fn checks(&self, _: ClusterId, _: &Request) -> Vec<SignatureCheck> {
        Vec::new()
    }

    fn apply(&mut self, _: ApplyContext, request: &Request) -> Vec<u8> {
        self.commands += (request.command.len() / COMMAND_BYTES) as u64;
        self.chain = Digest::of(&[&self.chain, &*request.command].concat()).0;
        Vec::new()
    }

    fn root(&mut self) -> Digest {
        Digest::of(&self.snapshot())
    }

    fn wanted_configuration(&self, current: &Configuration) -> Configuration {
        current.clone()
    }

    fn snapshot(&self) -> Vec<u8> {
        [&self.commands.to_be_bytes()[..], &self.chain].concat()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let (commands, chain) = snapshot.split_first_chunk().ok_or(RestoreError("short"))?;
        self.commands = u64::from_be_bytes(*commands);
        self.chain = chain.try_into().map_err(|_| RestoreError("short"))?;
        Ok(())
    }
}

struct Joined;

impl Bundler for Joined {
    fn bundle(&self, wishes: &[Vec<u8>]) -> Vec<u8> {
        wishes.concat()
    }

    fn split(&self, _: &[u8], _: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

struct Quiet;

impl Hooks<Tally> for Quiet {
    fn on_applied(&mut self, _: &mut Tally) -> Option<Publication> {
        None
    }

    fn on_event(&mut self, _: Event) {}
}

fn configuration(identities: &[Identity], port: u16) -> anyhow::Result<Configuration> {
    let members = identities
        .iter()
        .zip(port..)
        .map(|(identity, port)| Member {
            key: identity.public_key(),
            role: Role::Authority,
            address: ([127, 0, 0, 1], port).into(),
        });
    Ok(Configuration::new(Epoch(0), members.collect(), 100, 8)?)
}

fn cluster(folder: &Path, port: u16, fast_path: bool) -> anyhow::Result<Vec<Driver>> {
    let identities: Vec<_> = (1..=NODES).map(|n| Identity::from_seed([n; 32])).collect();
    let genesis = configuration(&identities, port)?;
    let mut drivers = Vec::new();
    for (identity, port) in identities.into_iter().zip(port..) {
        let (sender, inbound) = crossbeam_channel::bounded(16_384);
        let network = Network::start(Settings {
            identity: identity.clone(),
            cluster: genesis.cluster(),
            configuration: &genesis,
            socket: kernel_socket(([127, 0, 0, 1], port).into())?,
            inbound: sender,
            checks_of: Box::new(|_| Vec::new()),
        })?;
        let folder = folder.join(identity.id().to_string());
        drivers.push(start(Setup {
            folder,
            disk: Arc::new(RealDisk),
            genesis: genesis.clone(),
            params: Params {
                fast_path,
                batch_requests_max: 200,
                ..Params::default()
            },
            signer: identity,
            machine: Tally::default(),
            hooks: Quiet,
            bundler: Joined,
            outbox: Arc::new(network),
            inbound,
            limits: DriverLimits::default(),
        })?);
    }
    Ok(drivers)
}

type Pending = oneshot::Receiver<Result<Reply, SubmitError>>;

fn submit(handle: &MeshHandle) -> Result<Pending, SubmitError> {
    handle.start_submit(vec![7; COMMAND_BYTES])
}

fn wait(pending: Pending) -> anyhow::Result<()> {
    pending.blocking_recv().context("a node has ended")??;
    Ok(())
}

/// One command at a time, at each node in turn.
fn light(drivers: &[Driver], time: Duration) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    let begun = Instant::now();
    for driver in drivers.iter().cycle() {
        if begun.elapsed() >= time {
            break;
        }
        let since = Instant::now();
        wait(submit(&driver.handle())?)?;
        times.saturating_record(u64::try_from(since.elapsed().as_micros())?);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(times)
}

/// As many as there is room for, at all nodes.
fn heavy(drivers: &[Driver], time: Duration) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let counts: Vec<anyhow::Result<u32>> = std::thread::scope(|scope| {
        let clients = drivers.iter().map(|driver| {
            scope.spawn(move || {
                let handle = driver.handle();
                let mut pending = std::collections::VecDeque::new();
                let mut count = 0;
                while begun.elapsed() < time || !pending.is_empty() {
                    while pending.len() < OUTSTANDING && begun.elapsed() < time {
                        pending.push_back(submit(&handle)?);
                    }
                    if let Some(first) = pending.pop_front() {
                        wait(first)?;
                        count += 1;
                    }
                }
                Ok(count)
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .map(|client| {
                client
                    .join()
                    .map_err(|_| anyhow::anyhow!("a client has panicked"))?
            })
            .collect()
    });
    let mut total = 0;
    for count in counts {
        total += count?;
    }
    Ok(f64::from(total) / begun.elapsed().as_secs_f64())
}

fn print_phases(out: &mut impl std::io::Write, handle: &MeshHandle) -> std::io::Result<()> {
    for phase in handle.phases() {
        writeln!(
            out,
            "  {:9} {:4} {:7} times: median {:6} us, p99 {:6} us, max {:6} us",
            phase.phase,
            phase.path.unwrap_or(""),
            phase.count,
            phase.median_us,
            phase.p99_us,
            phase.max_us
        )?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().context("expected a folder")?.into();
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    let mut out = std::io::stdout().lock();
    for (path, fast_path, port) in [("fast", true, PORT), ("normal", false, PORT + 10)] {
        let mut drivers = cluster(&folder.join(path), port, fast_path)?;
        if !fast_path {
            // Where everybody's consent comes as soon as a quorum's commits it is taken: without one
            // node it never comes.
            drivers.pop().into_iter().for_each(Driver::stop);
        }
        for driver in &drivers {
            wait(submit(&driver.handle())?)?; // Everybody is connected.
        }
        // A missed fast path is not tried for a while.
        std::thread::sleep(Duration::from_secs(3));
        drivers
            .iter()
            .for_each(|driver| driver.handle().reset_phases());
        let times = light(&drivers, time)?;
        writeln!(
            out,
            "{path} path, light load: {} commits, median {} us, p99 {} us, max {} us",
            times.len(),
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99),
            times.max()
        )?;
        if let Some(driver) = drivers.first() {
            print_phases(&mut out, &driver.handle())?;
        }
        drivers
            .iter()
            .for_each(|driver| driver.handle().reset_phases());
        let rate = heavy(&drivers, time)?;
        writeln!(
            out,
            "{path} path, {OUTSTANDING} commands of {COMMAND_BYTES} bytes on their way at each node: {rate:.0} a second"
        )?;
        if let Some(driver) = drivers.first() {
            print_phases(&mut out, &driver.handle())?;
        }
        drivers.into_iter().for_each(Driver::stop);
    }
    Ok(())
}
