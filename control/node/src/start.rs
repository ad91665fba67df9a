//! From the configuration to a running control, and down again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use config::{Config, Dnssec, Source};
use guard::Secrets;
use monitor::Monitor;
use resolver::iterate;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::access;
use crate::admin_server::AdminServer;
use crate::agreement::{Answers, Channel, Extension};
use crate::anchors::read_anchor_file;
use crate::attach::{Attacher, Running};
use crate::certs::{Judge, Materials, Names};
use crate::chaos::Chaos;
use crate::clock;
use crate::connections::Connections;
use crate::control::{Control, FrontState, Inner};
use crate::copied::CopiedZones;
use crate::counters::Counters;
use crate::ct_log;
use crate::ct_monitor::{self, CtMonitorError};
use crate::dnstap::Tap;
use crate::dnstap_writer::{DnstapWriter, Target};
use crate::engine::{Engine, EngineHandle};
use crate::front::{self, Front, FrontSender};
use crate::gate::{CookieKeeper, Gate};
use crate::generations::Published;
use crate::generations_file::GenerationsFile;
use crate::hints::{HintsError, read_hints};
use crate::kept::Kept;
use crate::listen_tcp::TcpService;
use crate::local_root::LocalRootKeeper;
use crate::lookup::Lookups;
use crate::mesh::{self, Mesh, MeshError};
use crate::mesh_link::MeshLink;
use crate::notifier::Notifier;
use crate::policy::PolicyError;
use crate::policy_service::{PolicyService, Started};
use crate::publisher::ZonePublisher;
use crate::punts::Punts;
use crate::responder::{Policy, Responder, Responders};
use crate::saved_cache::{self, SavedCache};
use crate::trust_keeper::{TrustFiles, TrustKeeper, TrustWriter};
use crate::updates::{UpdateSink, Updates};
use crate::zone_file::Remark;
use crate::zones::{ZoneLoadError, Zones};

mod core;
mod sockets;

use self::core::Core;
use self::sockets::Sockets;

/// For the reader of the query log to take what waits, when we end.
const FAREWELL: Duration = Duration::from_millis(500);

/// For the mesh to close its store.
const MESH_FAREWELL: Duration = Duration::from_secs(5);

/// Why control does not start. Every one of these is for the operator to mend: exit status 2.
#[derive(Debug)]
pub enum StartError {
    /// A zone cannot be served.
    Zone {
        /// Apex of the zone.
        name: String,
        /// File, line, column and what was expected.
        message: String,
    },
    /// The root hints cannot be used.
    Hints {
        /// The file.
        path: PathBuf,
        /// The line and what was expected.
        error: HintsError,
    },
    /// The cookie secret cannot be used: the file, and why.
    CookieSecret(config::SecretError),
    /// This node can have no part in its cluster.
    Mesh(MeshError),
    /// The trust anchors cannot be used: the file, and why.
    Anchors(String),
    /// The secret of a key cannot be used: the file, and why.
    Key(Remark),
    /// The policy cannot be used.
    Policy(PolicyError),
    /// The monitor of Certificate Transparency cannot do what it is to do.
    CtMonitor(CtMonitorError),
    /// A socket cannot be opened.
    Bind {
        /// For what.
        what: &'static str,
        /// Where.
        place: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel has no thread, descriptor or randomness for us.
    Resources(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zone { name, message } => write!(out, "zone {name}: {message}"),
            Self::Hints { path, error } => {
                write!(out, "{}", path.display())?;
                error.line.map_or(Ok(()), |line| write!(out, ":{line}"))?;
                write!(out, ": {error}")
            }
            Self::CookieSecret(error) => write!(out, "resolver.cookies: {error}"),
            Self::Policy(error) => error.fmt(out),
            Self::Mesh(error) => error.fmt(out),
            Self::CtMonitor(error) => error.fmt(out),
            Self::Key(remark) => write!(out, "tsig_keys: {remark}"),
            Self::Anchors(message) => write!(out, "resolver.trust_anchors: {message}"),
            Self::Bind { what, place, error } => {
                write!(out, "cannot open {what} on {place}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => out.write_str(
                        "; another program serves there: stop it, or choose other addresses or another port",
                    ),
                    io::ErrorKind::PermissionDenied => out.write_str(
                        "; run as root or with CAP_NET_BIND_SERVICE, or choose another port or path",
                    ),
                    _ => Ok(()),
                }
            }
            Self::Resources(error) => write!(out, "the system refuses what control needs: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Resources(error)
    }
}

/// A control whose every socket is open, but which serves nobody yet.
#[derive(Debug)]
pub struct Prepared {
    runtime: Runtime,
    tasks: Tasks,
    front: Front,
    front_sender: FrontSender,
    attacher: Attacher,
    found: Option<exchange::handover::Attached>,
    stop_front: Arc<AtomicBool>,
    mesh: MeshLink,
    mesh_threads: Option<mesh::Threads>,
    ct_monitor: Option<Monitor>,
}

/// What runs on the runtime.
#[derive(Debug)]
struct Tasks {
    engine: Engine,
    trust_writer: Option<TrustWriter>,
    dnstap: Option<DnstapWriter>,
    saved_cache: Option<SavedCache>,
    policy: (PolicyService, Started),
    local_root: Option<LocalRootKeeper>,
    control: Control,
    admin: AdminServer,
    http: std::net::TcpListener,
    tcp: Vec<std::net::TcpListener>,
    tcp_service: TcpService,
}

/// Opens everything.
///
/// # Errors
/// What the operator has to mend.
pub fn prepare(config: &Config, config_path: Option<PathBuf>) -> Result<Prepared, StartError> {
    let Some(mesh) = Mesh::new(config).map_err(StartError::Mesh)? else {
        return open(config, config_path, None, None);
    };
    let log = ct_log::Setup::read(config).map_err(|error| StartError::Mesh(error.into()))?;
    let sink = Arc::new(mesh.clone());
    let mut prepared = open(config, config_path, Some(sink), Some(mesh.clone()))?;
    let answers = prepared.begin_agreement(config);
    let (publisher, runtime) = (prepared.publisher(), prepared.runtime.handle());
    let threads = mesh
        .start(config, &publisher, &prepared.mesh, runtime, answers, log)
        .map_err(StartError::Mesh)?;
    prepared.mesh_threads = Some(threads);
    Ok(prepared)
}

/// Opens everything, for zones that are changed through `sink`. See [`Prepared::publisher`].
///
/// # Errors
/// As [`prepare`].
pub fn prepare_with(
    config: &Config,
    config_path: Option<PathBuf>,
    sink: Option<Arc<dyn UpdateSink>>,
) -> Result<Prepared, StartError> {
    open(config, config_path, sink, None)
}

fn open(
    config: &Config,
    config_path: Option<PathBuf>,
    sink: Option<Arc<dyn UpdateSink>>,
    mesh_part: Option<Mesh>,
) -> Result<Prepared, StartError> {
    let counters = Arc::new(Counters::default());
    let zones = Arc::new(load_zones(config, &counters)?);
    let (front_sender, inbox) = front::inbox(&counters)?;
    let core = Core::new(config, &front_sender)?;
    let (mut engine, handle, copied) = (core.engine, core.handle, core.copied);
    let (trust_files, trust_writer) = begin_trust(config, &mut engine);
    let (tap, dnstap) = dnstap(config, &counters, &mut engine);
    let updates = Updates::new(sink, core.runtime.handle().clone(), front_sender.clone());
    let parts = (tap, copied.clone(), updates.clone(), engine.extension());
    let responders = responders(&zones, policy(config, parts)?, &counters);
    let (attacher, sockets) = open_sockets(config, &handle, &counters)?;
    let mesh = mesh_link(config, &front_sender, &counters);
    let state = Arc::new(FrontState::new(clock::now_ms()));
    let stop_front = Arc::<AtomicBool>::default();
    let front = Front::new(
        inbox,
        udp_responder(config, &responders)?,
        punts(config, &handle, &counters, (core.policy_digest, &mesh))?,
        sockets.kernel,
        attacher.attaching(),
        Arc::clone(&state),
        Arc::clone(&stop_front),
    );
    let tcp_service = tcp_service(config, responders, handle.clone(), &counters);
    let lookups = lookups(config, &zones, handle.clone(), updates);
    let ct_monitor = begin_ct_monitor(config)?;
    let control = Control::new(Inner {
        judge: judge(config, &lookups, engine.extension(), &counters),
        notifier: notifier(&core.runtime, &counters, &sockets.listen),
        config: config.clone(),
        config_path,
        listen: sockets.listen,
        started_ms: clock::now_ms(),
        counters,
        lookups,
        zones,
        engine: handle,
        front: front_sender.clone(),
        state,
        trust_files,
        policy: core.policy.0.clone(),
        copied,
        mesh: mesh_part,
        ct_monitor: ct_monitor.as_ref().map(Monitor::handle),
        reloading: tokio::sync::Mutex::default(),
    });
    Ok(Prepared {
        runtime: core.runtime,
        tasks: Tasks {
            engine,
            trust_writer,
            dnstap,
            saved_cache: saved_cache(config),
            policy: core.policy,
            local_root: core.local_root,
            control,
            admin: sockets.admin,
            http: sockets.http,
            tcp: sockets.tcp,
            tcp_service,
        },
        front,
        front_sender,
        attacher,
        found: sockets.found,
        stop_front,
        mesh,
        mesh_threads: None,
        ct_monitor,
    })
}

fn responders(zones: &Zones, policy: Policy, counters: &Arc<Counters>) -> Responders {
    Responders {
        zones: zones.shared(),
        policy: Arc::new(policy),
        counters: Arc::clone(counters),
    }
}

fn load_zones(config: &Config, counters: &Arc<Counters>) -> Result<Zones, StartError> {
    let keys = access::read_keys(&config.tsig_keys).map_err(StartError::Key)?;
    Zones::load(config.zones.clone(), keys, Arc::clone(counters))
        .map(|zones| zones.limited_to(config.consensus.zones_below.clone()))
        .map_err(|ZoneLoadError { name, message }| StartError::Zone { name, message })
}

/// The query log, and who writes it; neither if it is off.
fn dnstap(
    config: &Config,
    counters: &Arc<Counters>,
    engine: &mut Engine,
) -> (Tap, Option<DnstapWriter>) {
    let from = &config.dnstap;
    let target = match (&from.socket, &from.file) {
        (Some(socket), _) => Target::Socket(socket.clone()),
        (None, Some(file)) => Target::File(file.clone()),
        (None, None) => return (Tap::default(), None),
    };
    let (identity, version) = texts(config);
    let identity = from.identity.clone().unwrap_or(identity);
    let version = from.version.clone().unwrap_or(version);
    let (tap, frames) = Tap::new(from, identity, version, counters);
    engine.set_tap(tap.clone());
    let writer = DnstapWriter::new(target, frames, Arc::clone(counters));
    (tap, Some(writer))
}

fn policy(
    config: &Config,
    (tap, copied, updates, extension): (Tap, CopiedZones, Updates, Extension),
) -> Result<Policy, StartError> {
    Ok(Policy {
        allow: config.resolver.allow.clone(),
        views: config.resolver.shared_clients().views,
        chaos: chaos(config),
        cookies: cookies(config)?,
        tap,
        copied,
        updates,
        extension,
    })
}

fn notifier(runtime: &Runtime, counters: &Arc<Counters>, own: &[SocketAddr]) -> Notifier {
    Notifier::new(runtime.handle().clone(), Arc::clone(counters), own)
}

fn open_sockets(
    config: &Config,
    engine: &EngineHandle,
    counters: &Arc<Counters>,
) -> Result<(Attacher, Sockets), StartError> {
    let attacher = Attacher::new(config.dataplane.socket.clone());
    let sockets = Sockets::open(config, &attacher, engine, counters)?;
    Ok((attacher, sockets))
}

/// With all descriptors that it can have.
fn runtime() -> Result<Runtime, StartError> {
    raise_descriptor_limit();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Resources)
}

impl Prepared {
    /// The way to the guard of the consensus port.
    #[must_use]
    pub fn mesh_link(&self) -> MeshLink {
        self.mesh.clone()
    }

    /// The way of zones that the mesh agrees on into service.
    #[must_use]
    pub fn publisher(&self) -> ZonePublisher {
        let control = self.tasks.control.clone();
        ZonePublisher::new(control.zones(), control, self.runtime.handle().clone())
    }

    /// Has the engine ask other nodes, as soon as the mesh takes the other end.
    fn begin_agreement(&mut self, config: &Config) -> Answers {
        let counters = self.front_sender.shared_counters();
        let channel = Channel::new(Arc::clone(&counters));
        let engine = &mut self.tasks.engine;
        let timeout = Duration::from_millis(config.consensus.answer_timeout_ms.into());
        engine.set_agreement(channel.handle.clone(), timeout);
        let judge = self.tasks.control.judge().clone();
        let runtime = self.runtime.handle().clone();
        judge.set_agreement(channel.handle.clone(), runtime, timeout);
        Answers {
            channel,
            judge,
            engine: self.tasks.control.engine().clone(),
            extension: engine.extension(),
            timeout,
            counters,
        }
    }

    /// Serves until a signal says stop, and ends in order.
    ///
    /// # Errors
    /// The system has no thread for us, or a socket cannot be registered.
    pub fn run(self) -> Result<(), StartError> {
        let Self {
            runtime,
            tasks,
            mut front,
            front_sender,
            attacher,
            found,
            stop_front,
            mesh: _,
            mesh_threads,
            ct_monitor,
        } = self;
        front.begin(found);
        let attaching = attacher
            .start(front_sender.clone())
            .map_err(StartError::Resources)?;
        let thread = std::thread::Builder::new()
            .name("nexus-front".to_owned())
            .spawn(move || front.run())
            .map_err(StartError::Resources)?;
        let result = runtime.block_on(async {
            let result = tasks.run().await;
            // The mesh's threads wait for tasks of this runtime.
            if let Some(threads) = mesh_threads {
                let stopped = tokio::task::spawn_blocking(|| threads.stop());
                let _ = tokio::time::timeout(MESH_FAREWELL, stopped).await;
            }
            result
        });
        runtime.shutdown_timeout(Duration::from_millis(500));
        if let Some(monitor) = ct_monitor {
            monitor.stop();
        }
        stop_threads(&front_sender, &stop_front, attaching, thread);
        result.map_err(StartError::Resources)
    }
}

fn stop_threads(
    front: &FrontSender,
    stop: &AtomicBool,
    attaching: Running,
    thread: JoinHandle<()>,
) {
    stop.store(true, Ordering::Relaxed);
    front.ring();
    if thread.join().is_err() {
        tracing::error!("the front thread has panicked");
    }
    attaching.stop();
}

impl Tasks {
    async fn run(self) -> io::Result<()> {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(self.engine.run());
        // Before anybody can ask for a reload.
        let (policy, started) = self.policy;
        policy.begin(started).await;
        if let Some(keeper) = self.local_root {
            tokio::spawn(keeper.run());
        }
        if let Some(writer) = self.trust_writer {
            tokio::spawn(writer.run());
        }
        let dnstap = self.dnstap.map(|writer| writer.run(stopped.clone()));
        let dnstap = dnstap.map(tokio::spawn);
        for listener in self.tcp {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(self.tcp_service.clone().run(listener, stopped.clone()));
        }
        let http = tokio::net::TcpListener::from_std(self.http)?;
        tokio::spawn(crate::http::serve(
            http,
            self.control.clone(),
            stopped.clone(),
        ));
        let admin = tokio::spawn(self.admin.run(self.control.clone(), stopped.clone()));
        let saving = self.saved_cache.map(|saved_cache| {
            tokio::spawn(saved_cache.run(self.control.engine().clone(), stopped.clone()))
        });
        self.control.notify_all();
        crate::service::run(&self.control).await?;
        let _ = stop.send(true);
        // So that the query log has its end.
        if let Some(dnstap) = dnstap
            && let Ok(Ok(Err(error))) = tokio::time::timeout(FAREWELL, dnstap).await
        {
            tracing::error!(%error, "the query log");
        }
        if let Some(saving) = saving {
            saved_cache::wait(saving).await;
        }
        // So that the socket's file is gone when we are.
        if let Ok(Err(error)) = admin.await {
            tracing::error!(%error, "the admin socket");
        }
        Ok(())
    }
}

/// Each question to a server has a socket: takes all descriptors that the system allows us.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
}

/// Last of all that is opened, so that two controls by mistake do not follow into one folder.
fn begin_ct_monitor(config: &Config) -> Result<Option<Monitor>, StartError> {
    let seed = u64::from_ne_bytes(random()?);
    ct_monitor::start(config, seed).map_err(StartError::CtMonitor)
}

/// The way to the guard of the consensus port, which is told of the members at once.
fn mesh_link(config: &Config, front: &FrontSender, counters: &Arc<Counters>) -> MeshLink {
    let mesh = MeshLink::new(Arc::clone(front.bell()), Arc::clone(counters));
    crate::mesh::guard::begin(&config.consensus, &mesh);
    mesh
}

/// The way to dataplanes, with what they are told.
fn punts(
    config: &Config,
    engine: &EngineHandle,
    counters: &Arc<Counters>,
    (policy_digest, mesh): (u64, &MeshLink),
) -> Result<Punts, StartError> {
    let file = GenerationsFile::new(config.api.socket.with_extension("zones"));
    let file = file.map_err(StartError::Resources)?;
    let published = Published::new(file, policy_digest);
    let (engine, counters) = (engine.clone(), Arc::clone(counters));
    Ok(Punts::new(engine, counters, published, mesh.clone()))
}

/// Keys of the hashes in lists of names.
fn policy_keys() -> Result<(u64, u64), StartError> {
    let [k0, k1] = [random()?, random()?].map(u64::from_ne_bytes);
    Ok((k0, k1))
}

/// The memory of the front thread, under keys of its own.
fn kept(config: &Config) -> Result<Kept, StartError> {
    let bytes = usize::try_from(config.resolver.message_cache_bytes).unwrap_or(usize::MAX);
    let [k0, k1] = [random()?, random()?].map(u64::from_ne_bytes);
    Ok(Kept::new(bytes, (k0, k1)))
}

fn engine(
    config: &Config,
    front: FrontSender,
    runtime: &Runtime,
) -> Result<(Engine, EngineHandle), StartError> {
    let _entered = runtime.enter();
    let seed = random()?;
    let sockets_max = config.resolver.upstream_sockets_max as usize;
    let time = config.resolver.validation_time;
    let resolver = resolver_config(config)?;
    let (mut engine, handle) =
        Engine::new(resolver, seed, time, sockets_max, front).map_err(StartError::Resources)?;
    if let Some(saved_cache) = saved_cache(config) {
        saved_cache.restore(&mut engine);
    }
    Ok((engine, handle))
}

/// Gives the engine what was kept of trust; gives the work of keeping it, if anchors roll over.
fn begin_trust(config: &Config, engine: &mut Engine) -> (Arc<TrustFiles>, Option<TrustWriter>) {
    let files = Arc::new(TrustFiles::new(&config.node.data_dir));
    let from = &config.resolver;
    if from.dnssec == Dnssec::Off {
        return (files, None);
    }
    let rolls_over = from.trust_anchor_roll_over;
    files.restore(engine, rolls_over);
    let state = engine.with(|resolver, now_ms| resolver.trust_anchor_state(now_ms));
    let (keeper, writer) = TrustKeeper::new(&files, state);
    engine.keep_trust(keeper);
    (files, rolls_over.then_some(writer))
}

/// What nobody can predict.
fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    let flags = rustix::rand::GetRandomFlags::empty();
    let filled = rustix::rand::getrandom(&mut bytes[..], flags)
        .map_err(|error| StartError::Resources(error.into()))?;
    if filled != bytes.len() {
        return Err(StartError::Resources(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

/// With the secrets of the configuration, or a random one until a dataplane brings its own.
fn cookies(config: &Config) -> Result<Option<CookieKeeper>, StartError> {
    let from = &config.resolver.cookies;
    if !from.enabled {
        return Ok(None);
    }
    let secrets = match from.secrets().map_err(StartError::CookieSecret)? {
        Some((current, previous)) => Secrets { current, previous },
        None => Secrets {
            current: random()?,
            previous: None,
        },
    };
    Ok(Some(CookieKeeper::new(secrets, from.require)))
}

/// The responder of the front thread, which alone sends over UDP.
fn udp_responder(config: &Config, responders: &Responders) -> Result<Responder, StartError> {
    let key = u64::from_ne_bytes(random()?);
    let mut responder = responders.responder();
    responder.set_gate(Gate::new(&config.dataplane.response_rate_limit, key));
    responder.set_kept(kept(config)?);
    Ok(responder)
}

/// What the resolver needs to know, out of the configuration.
fn resolver_config(config: &Config) -> Result<iterate::Config, StartError> {
    let from = &config.resolver;
    let mut to = iterate::Config::default();
    if !from.forward.is_empty() {
        to.forward = vec![iterate::Forward {
            zone: hickory_proto::rr::Name::root(),
            servers: from.forward.iter().map(|upstream| upstream.0).collect(),
            fallback: false,
        }];
    }
    crate::routes::add(from, &mut to);
    if let Source::File(path) = &from.root_hints {
        to.root_hints = read_hints(path).map_err(|error| StartError::Hints {
            path: path.clone(),
            error,
        })?;
        // Roots on this host are a laboratory, and so are the servers that they name.
        to.ask_loopback = to
            .root_hints
            .iter()
            .flat_map(|(_, addresses)| addresses)
            .any(std::net::IpAddr::is_loopback);
    }
    if from.dnssec == Dnssec::Validate {
        to.validation = Some(validation(from)?);
        to.trust_anchor_roll_over = from.trust_anchor_roll_over;
    }
    to.aggressive_nsec = from.aggressive_nsec;
    to.prefetch = from.prefetch;
    to.cache_bytes_max = usize::try_from(from.cache_bytes).unwrap_or(usize::MAX);
    to.ttl_min_secs = from.ttl.min_secs;
    to.ttl_max_secs = from.ttl.max_secs;
    to.negative_ttl_max_secs = from.ttl.negative_max_secs;
    to.stale_max_secs = from.stale.max_secs;
    to.stale_client_timeout_ms = from.stale.client_timeout_ms;
    to.stale_ttl_secs = from.stale.ttl_secs;
    to.qname_minimisation = match from.qname_minimisation {
        config::QnameMinimisation::Off => iterate::QnameMinimisation::Off,
        config::QnameMinimisation::Relaxed => iterate::QnameMinimisation::Relaxed,
        config::QnameMinimisation::Strict => iterate::QnameMinimisation::Strict,
    };
    to.case_randomisation = from.case_randomisation;
    to.upstream_cookies = from.upstream_cookies;
    to.limits.tickets_max = from.questions_max as usize;
    to.limits.tasks_max = to.limits.tasks_max.max(from.questions_max as usize);
    to.limits.exchanges_max = from.upstream_sockets_max as usize;
    to.limits.wall_ms_max = from.timeouts.question_ms;
    Ok(to)
}

fn saved_cache(config: &Config) -> Option<SavedCache> {
    // As it is written, a cache takes less room than in memory.
    let bytes_max = config.resolver.cache_bytes.saturating_mul(2);
    let folder = &config.node.data_dir;
    (config.resolver.save_cache).then(|| SavedCache::new(folder, bytes_max))
}

fn validation(from: &config::Resolver) -> Result<iterate::Validation, StartError> {
    let anchors = match &from.trust_anchors {
        Source::Builtin => iterate::root_anchors(),
        Source::File(path) => read_anchor_file(path).map_err(StartError::Anchors)?,
    };
    let name = |zone: &String| hickory_proto::rr::Name::from_ascii(zone).ok();
    Ok(iterate::Validation {
        anchors,
        negative: from
            .negative_trust_anchors
            .iter()
            .filter_map(name)
            .collect(),
    })
}

fn chaos(config: &Config) -> Chaos {
    let (identity, version) = texts(config);
    Chaos::new(identity, version)
}

/// Who and what we say that we are; empty: not to be told.
fn texts(config: &Config) -> (String, String) {
    let host = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    let version = || concat!("Nexus ", env!("CARGO_PKG_VERSION")).to_owned();
    let from = &config.resolver;
    (
        from.identity.clone().unwrap_or_else(host),
        from.version.clone().unwrap_or_else(version),
    )
}

fn tcp_service(
    config: &Config,
    responders: Responders,
    engine: EngineHandle,
    counters: &Arc<Counters>,
) -> TcpService {
    let tcp = &config.resolver.tcp;
    let connections = Connections::new(
        tcp.connections_max as usize,
        tcp.connections_per_client_max as usize,
        Arc::clone(counters),
    );
    TcpService {
        responders,
        engine,
        connections: Arc::new(connections),
        questions_max: tcp.questions_per_connection_max as usize,
        idle: Duration::from_millis(u64::from(tcp.idle_ms)),
        counters: Arc::clone(counters),
    }
}

/// A node whose authorities cannot be read still answers questions about names; it refuses to judge certificates.
fn judge(
    config: &Config,
    lookups: &Lookups,
    extension: Extension,
    counters: &Arc<Counters>,
) -> Judge {
    let names = Names {
        lookups: lookups.clone(),
        extension,
        counters: Arc::clone(counters),
    };
    let materials = Materials::read(&config.ct).map_err(|error| {
        tracing::warn!(%error, "certificates cannot be judged");
        error.to_string()
    });
    Judge::with(materials, &config.ct, names)
}

fn lookups(config: &Config, zones: &Zones, engine: EngineHandle, updates: Updates) -> Lookups {
    let mut allow = config::Networks::default();
    allow
        .add("any")
        .unwrap_or_else(|error| unreachable!("a word of the configuration: {error}"));
    let policy = Policy {
        allow,
        views: config::Networks::default(),
        chaos: chaos(config),
        cookies: None,
        tap: Tap::default(),
        copied: CopiedZones::default(),
        updates,
        extension: Extension::default(),
    };
    Lookups {
        responders: Responders {
            zones: zones.shared(),
            policy: Arc::new(policy),
            // Counters of its own: the command line's questions are no client's.
            counters: Arc::default(),
        },
        engine,
        question_ms: config.resolver.timeouts.question_ms,
        forwarded: crate::routes::Forwarded::new(&config.resolver),
    }
}
