//! Four nodes in one process, over QUIC on loopback, each with the ledger and its own store on a disk:
//! how long a commit of a zone update takes at light load by each path, how many are committed a second,
//! how soon after the primary is gone, and how soon a node has caught up that was away meanwhile.
//!
//! `cargo run --release -p node --example mesh_bench -- FOLDER [SECONDS [MISSED]]`. The folder should be
//! on the disk that is to be measured; it is filled and left. One JSON object a line.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use consensus::{Configuration, Epoch, Member, NodeId, Params, Role, Signer as _, Wire as _};
use hdrhistogram::Histogram;
use ledger::{Applications, Command, CreateMode, Ledger, Outcome, Parameters, checks_of};
use node::mesh::driver::{
    Driver, DriverLimits, Event, Hooks, MeshHandle, Publication, Reply, Setup, SubmitError, start,
};
use node::mesh::store::RealDisk;
use node::mesh::{Identity, LedgerBundler, Network, Settings, kernel_socket};
use resolver::zone::{Update, Zone, ZoneContents};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const NODES: u8 = 4;
const PORT: u16 = 47_853;
/// Updates that each node keeps on their way in the test of throughput.
const OUTSTANDING: usize = 2_000;
/// Names of the zone that updates go around.
const NAMES: u32 = 2_000;
const APEX: &[u8] = b"\x05bench\0";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes the ledger's news and keeps none: what serving costs is another question.
struct Quiet;

impl Hooks<Ledger> for Quiet {
    fn on_applied(&mut self, ledger: &mut Ledger) -> Option<Publication> {
        drop(ledger.take_changes());
        None
    }

    fn on_event(&mut self, _: Event) {}
}

/// Where and how a cluster runs.
struct Bed {
    folder: PathBuf,
    port: u16,
    fast_path: bool,
    identities: Vec<Identity>,
    genesis: Configuration,
}

impl Bed {
    fn new(folder: PathBuf, port: u16, fast_path: bool) -> anyhow::Result<Self> {
        let identities: Vec<_> = (1..=NODES).map(|n| Identity::from_seed([n; 32])).collect();
        let places = identities.iter().zip(port..);
        let members = places.map(|(identity, port)| Member {
            key: identity.public_key(),
            role: Role::Authority,
            address: ([127, 0, 0, 1], port).into(),
        });
        Ok(Self {
            genesis: Configuration::new(Epoch(0), members.collect(), 100, 3)?,
            folder,
            port,
            fast_path,
            identities,
        })
    }

    fn start(&self, index: usize) -> anyhow::Result<Driver> {
        let identity = self.identities.get(index).context("no such node")?.clone();
        let port = self.port + u16::try_from(index)?;
        let (sender, inbound) = crossbeam_channel::bounded(16_384);
        let cluster = self.genesis.cluster();
        let network = Network::start(Settings {
            identity: identity.clone(),
            cluster,
            configuration: &self.genesis,
            socket: kernel_socket(([127, 0, 0, 1], port).into())?,
            inbound: sender,
            checks_of: Box::new(move |request| checks_of(cluster, request)),
        })?;
        Ok(start(Setup {
            folder: self.folder.join(identity.id().to_string()),
            disk: Arc::new(RealDisk),
            genesis: self.genesis.clone(),
            params: Params {
                fast_path: self.fast_path,
                ..Params::default()
            },
            signer: identity,
            machine: Ledger::new(
                &self.genesis,
                Parameters::default(),
                Applications::default(),
            ),
            hooks: Quiet,
            bundler: LedgerBundler,
            outbox: Arc::new(network),
            inbound,
            limits: DriverLimits::default(),
        })?)
    }

    fn start_all(&self) -> anyhow::Result<BTreeMap<NodeId, Driver>> {
        let ids = self.identities.iter().map(|identity| identity.id());
        let all = ids.enumerate();
        all.map(|(index, id)| Ok((id, self.start(index)?)))
            .collect()
    }

    fn index_of(&self, id: NodeId) -> anyhow::Result<usize> {
        let mut ids = self.identities.iter().map(|identity| identity.id());
        ids.position(|known| known == id).context("no such node")
    }
}

/// The zone that is updated.
fn creation() -> anyhow::Result<Vec<u8>> {
    let mut text =
        "@ 60 SOA ns host 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n".to_owned();
    for name in 0..NAMES {
        text += &format!("n{name} 60 A 192.0.2.2\n");
    }
    let mut no_includes = |_: &str, _: &str| Err(String::new());
    let (zone, _) = Zone::read(APEX, text.as_bytes(), "bench", &mut no_includes)?;
    let contents = ZoneContents::from_zone(&zone);
    let mode = CreateMode::IfAbsent;
    Ok(Command::ZoneCreate { contents, mode }.to_bytes())
}

/// An UPDATE message that gives one name another address.
fn update(number: u32) -> anyhow::Result<Vec<u8>> {
    let label = format!("n{}", number % NAMES);
    let mut owner = vec![u8::try_from(label.len())?];
    owner.extend_from_slice(label.as_bytes());
    owner.extend_from_slice(APEX);
    let mut message = vec![0, 0, 0x28, 0, 0, 1, 0, 0, 0, 2, 0, 0];
    message.extend_from_slice(APEX);
    message.extend_from_slice(&[0, 6, 0, 1]);
    // The set goes (class ANY), the new address comes.
    message.extend_from_slice(&owner);
    message.extend_from_slice(&[0, 1, 0, 255, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&owner);
    message.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend_from_slice(&(0x0a00_0000 | (number & 0x00ff_ffff)).to_be_bytes());
    let update = Update::parse(&message)?;
    Ok(Command::ZoneUpdate(Box::new(update)).to_bytes())
}

type Pending = oneshot::Receiver<Result<Reply, SubmitError>>;

fn wait(pending: Pending) -> anyhow::Result<()> {
    let reply = pending.blocking_recv().context("a node has ended")??;
    match Outcome::from_bytes(&reply.bytes)? {
        Outcome::Zone { rcode: 0, .. } => Ok(()),
        outcome => anyhow::bail!("not done: {outcome:?}"),
    }
}

/// One update at a time, at each node in turn.
fn light(handles: &[MeshHandle], time: Duration) -> anyhow::Result<Value> {
    let mut times = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let begun = Instant::now();
    for (handle, number) in handles.iter().cycle().zip(0..) {
        if begun.elapsed() >= time {
            break;
        }
        let command = update(number)?;
        let since = Instant::now();
        wait(handle.start_submit(command)?)?;
        times.saturating_record(u64::try_from(since.elapsed().as_micros())?);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(json!({
        "commits": times.len(),
        "median_us": times.value_at_quantile(0.5),
        "p99_us": times.value_at_quantile(0.99),
        "max_us": times.max(),
    }))
}

/// As many as there is room for, at all nodes, until the time is over or this many are done.
fn heavy(handles: &[MeshHandle], time: Duration, enough: u32) -> anyhow::Result<Value> {
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let share = enough / u32::try_from(handles.len())?;
    let client = |handle: &MeshHandle| {
        let (mut pending, mut sent, mut count) = (VecDeque::new(), 0, 0);
        let is_open = |sent: u32| begun.elapsed() < time && sent < share;
        while is_open(sent) || !pending.is_empty() {
            while pending.len() < OUTSTANDING && is_open(sent) {
                pending.push_back(handle.start_submit(update(sent)?)?);
                sent += 1;
            }
            if let Some(first) = pending.pop_front() {
                wait(first)?;
                count += 1;
            }
        }
        anyhow::Ok(count)
    };
    let counts: Vec<anyhow::Result<u32>> = std::thread::scope(|scope| {
        let clients: Vec<_> = handles.iter().map(|h| scope.spawn(|| client(h))).collect();
        let joined = clients.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|count| count.unwrap_or_else(|_| Err(anyhow::anyhow!("a client has panicked"))))
            .collect()
    });
    let mut total = 0;
    for count in counts {
        total += count?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({
        "updates": total,
        "per_second": f64::from(total) / seconds,
        "cpu_us_each_all_nodes": (cpu_seconds()? - cpu) * 1e6 / f64::from(total.max(1)),
    }))
}

/// User and system time of this process.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no statistics")?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}

fn until(mut holds: impl FnMut() -> bool) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while !holds() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "nothing comes");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed())
}

fn report(out: &mut impl std::io::Write, what: &str, found: &Value) -> anyhow::Result<()> {
    writeln!(out, "{}", json!({ "what": what, "found": found }))?;
    Ok(())
}

/// Everybody is there, the zone, too, and a missed fast path is forgotten.
fn warm_up(handles: &[MeshHandle]) -> anyhow::Result<()> {
    for handle in handles {
        wait(handle.start_submit(creation()?)?)?;
    }
    std::thread::sleep(Duration::from_secs(3));
    handles.iter().for_each(MeshHandle::reset_phases);
    Ok(())
}

fn handles(drivers: &BTreeMap<NodeId, Driver>) -> Vec<MeshHandle> {
    drivers.values().map(Driver::handle).collect()
}

/// Light and heavy load.
fn steady(folder: &Path, time: Duration, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    for (path, fast_path, port) in [("fast", true, PORT), ("normal", false, PORT + 10)] {
        let bed = Bed::new(folder.join(path), port, fast_path)?;
        let mut drivers = bed.start_all()?;
        warm_up(&handles(&drivers))?;
        if !fast_path {
            // Where everybody's consent comes as soon as a quorum's commits it is taken: without one
            // backup it never comes.
            let primary = handles(&drivers)
                .first()
                .map(|h| h.standing().summary.primary);
            let backup = drivers.keys().copied().find(|id| Some(*id) != primary);
            let backup = backup.and_then(|id| drivers.remove(&id));
            backup.into_iter().for_each(Driver::stop);
        }
        let found = light(&handles(&drivers), time)?;
        report(out, &format!("{path} path, light load"), &found)?;
        let phases = handles(&drivers)
            .first()
            .map_or(Vec::new(), MeshHandle::phases);
        for phase in phases {
            let found = json!({
                "path": phase.path, "count": phase.count, "median_us": phase.median_us,
                "p99_us": phase.p99_us, "max_us": phase.max_us,
            });
            report(out, &format!("{path} path, phase {}", phase.phase), &found)?;
        }
        let found = heavy(&handles(&drivers), time, u32::MAX)?;
        report(out, &format!("{path} path, full load"), &found)?;
        drivers.into_values().for_each(Driver::stop);
    }
    Ok(())
}

/// The primary goes, others go on without it, and it comes back.
fn failover(folder: &Path, missed: u32, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let bed = Bed::new(folder.join("failover"), PORT + 20, true)?;
    let mut drivers = bed.start_all()?;
    warm_up(&handles(&drivers))?;
    let first = handles(&drivers)
        .first()
        .map(|handle| handle.standing().summary.primary);
    let primary = first.context("no node")?;
    let gone = drivers.remove(&primary).context("the primary is no node")?;
    let begun = Instant::now();
    gone.stop();
    let rest = handles(&drivers);
    let other = rest.first().context("no node")?;
    wait(other.start_submit(update(0)?)?)?;
    let seconds = begun.elapsed().as_secs_f64();
    report(
        out,
        "primary gone, next commit",
        &json!({ "seconds": seconds }),
    )?;
    let found = heavy(&rest, PATIENCE, missed)?;
    report(out, "without one node", &found)?;
    let back = bed.start(bed.index_of(primary)?)?;
    let target = other.standing().summary.executed;
    let took = until(|| back.handle().standing().summary.executed >= target)?;
    let found = json!({ "updates_behind": missed, "seconds": took.as_secs_f64() });
    report(out, "back and caught up", &found)?;
    back.stop();
    drivers.into_values().for_each(Driver::stop);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().context("expected a folder")?.into();
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let missed = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let mut out = std::io::stdout().lock();
    steady(&folder, Duration::from_secs(seconds), &mut out)?;
    failover(&folder, missed, &mut out)
}
