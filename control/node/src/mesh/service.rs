//! [`Mesh`]: this node's part in its cluster, and what ties it to the rest of the node.
//!
//! Agreed zones go from the ledger to service (`zone_keeper.rs`), updates of clients the other way
//! ([`UpdateSink`]), and what is seen of other nodes becomes their standing (`watcher.rs`). Start at
//! [`Mesh::new`]; nothing runs before [`Mesh::start`].

mod asked;
mod bundler;
mod figures;
mod hooks;
mod peers;
mod proposals;
mod records;
mod seed;
mod status;
mod watcher;
mod zone_keeper;
mod zone_wishes;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use config::Config;
use consensus::{Configuration, ConfigurationError, Params, Signer as _, Wire};
use crossbeam_channel::bounded;
use ledger::{Applications, Command, Ledger, Outcome};
use prometheus_client::collector::Collector;
use resolver::zone::DisplayName;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wire::rcode;

pub use self::bundler::LedgerBundler;
use self::bundler::outcome;
use self::hooks::LedgerHooks;
use self::watcher::Watcher;
use super::Identity;
use super::driver::{self, Driver, DriverLimits, MeshHandle, Setup, SubmitError};
use super::genesis::{genesis, parameters};
use super::key_file::KeyError;
use super::network::{Network, Settings};
use super::store::RealDisk;
use super::verify::Inbound;
use crate::agreement::{self, AgreementHandle, Answers, MeshCluster};
use crate::ct_log::{self, LogService, LogSetupError, LogThreads};
use crate::mesh_link::MeshLink;
use crate::publisher::ZonePublisher;
use crate::updates::{ClientUpdate, UpdateSink};

/// Messages and events between two threads.
const CHANNEL_MAX: usize = 16_384;

/// This node's part in its cluster. Cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    identity: Identity,
    genesis: Configuration,
    running: OnceLock<Running>,
}

struct Running {
    handle: MeshHandle,
    network: Arc<Network>,
    zones: zone_keeper::ZoneNews,
    publisher: ZonePublisher,
    runtime: Handle,
    log: OnceLock<LogService>,
}

/// Why this node can have no part in its cluster. Each is for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// Its key cannot be used or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The members of the configuration are no safe cluster.
    #[error("consensus.members: {0}")]
    Members(#[from] ConfigurationError),
    /// A socket or thread cannot be had.
    #[error("consensus: cannot listen on {address}: {error}")]
    Network {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The store or what is in it is no good.
    #[error(transparent)]
    Driver(#[from] driver::StartError),
    /// Its part in the certificate log cannot be played.
    #[error(transparent)]
    Log(#[from] LogSetupError),
    /// The system has no thread for it.
    #[error("consensus: {0}")]
    Resources(#[from] io::Error),
}

impl Mesh {
    /// Reads, or makes, this node's key, and looks whether the members are a safe cluster. `None`: the
    /// configuration has no members, so this node stands alone.
    ///
    /// # Errors
    /// What the operator has to mend.
    pub fn new(config: &Config) -> Result<Option<Self>, MeshError> {
        if config.consensus.members.is_empty() {
            return Ok(None);
        }
        let inner = Inner {
            identity: Identity::load_or_create(&config.node)?,
            genesis: genesis(&config.consensus)?,
            running: OnceLock::new(),
        };
        Ok(Some(Self(Arc::new(inner))))
    }

    /// Begins to talk to the other nodes and to take part. Stops when the returned driver does.
    ///
    /// # Errors
    /// The store or the port cannot be used.
    pub(crate) fn start(
        &self,
        config: &Config,
        publisher: &ZonePublisher,
        link: &MeshLink,
        runtime: &Handle,
        answers: Answers,
        log: Option<ct_log::Setup>,
    ) -> Result<Threads, MeshError> {
        let Inner {
            identity, genesis, ..
        } = &*self.0;
        let parameters = parameters(&config.consensus);
        let (messages_in, messages) = bounded(CHANNEL_MAX);
        let network = Arc::new(self.listen(config, link, messages_in)?);
        let (zones, zone_thread) = zone_keeper::start(publisher.clone(), runtime.clone())?;
        let (events, seen) = bounded(CHANNEL_MAX);
        let log = log.map(|log| log.begin((genesis.cluster(), identity.id()), &network));
        let log = log.transpose()?;
        let driver = driver::start(Setup {
            folder: config.node.data_dir.join("consensus"),
            disk: Arc::new(RealDisk),
            genesis: genesis.clone(),
            params: params(&config.consensus),
            signer: identity.clone(),
            machine: Ledger::new(genesis, parameters, Applications::default()),
            hooks: LedgerHooks {
                zones: zones.clone(),
                events,
                answers: answers.channel.handle.clone(),
                extension: answers.extension.clone(),
                log: log
                    .as_ref()
                    .map(|log| (log.news.clone(), log.messages.clone())),
            },
            bundler: LedgerBundler,
            outbox: network.clone(),
            inbound: messages,
            limits: DriverLimits::default(),
        })?;
        let handle = driver.handle();
        let watcher = Watcher::new(
            identity.id(),
            handle.clone(),
            Arc::clone(&network),
            link.clone(),
            parameters.window_ms,
        );
        let watcher_thread = watcher.start(seen)?;
        let answers_handle = answers.channel.handle.clone();
        let cluster = MeshCluster::new(
            network.clone(),
            handle.clone(),
            runtime.clone(),
            parameters.window_ms,
        );
        let answers_thread = self.begin_agreement(answers, cluster)?;
        let running = Running {
            handle,
            network,
            zones: zones.clone(),
            publisher: publisher.clone(),
            runtime: runtime.clone(),
            log: OnceLock::new(),
        };
        let is_first = self.0.running.set(running).is_ok();
        assert!(is_first, "a mesh is started once");
        tracing::info!(node = %identity.id(), cluster = %genesis.cluster(), members = genesis.ids().count(), "mesh");
        runtime.spawn(self.clone().seed(publisher.agreed_zones()));
        let log = log.map(|log| self.serve_log(log)).transpose()?;
        Ok(Threads {
            driver,
            log,
            zones,
            answers: answers_handle,
            others: vec![zone_thread, watcher_thread, answers_thread],
        })
    }

    /// Takes submissions to the certificate log.
    fn serve_log(&self, log: ct_log::Begun) -> Result<LogThreads, MeshError> {
        let (service, threads) = log.serve(self)?;
        if let Some(running) = self.0.running.get() {
            let _ = running.log.set(service); // It is the only one.
        }
        Ok(threads)
    }

    /// The certificate log, if this node has a part in one.
    pub(crate) fn log(&self) -> Option<&LogService> {
        self.0.running.get()?.log.get()
    }

    /// Looks at the ledger between two steps.
    ///
    /// # Errors
    /// This node takes no part any more, or has not begun.
    pub(crate) async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        self.running()?.handle.inspect::<Ledger, R>(look).await
    }

    /// Agreement on resolved answers.
    fn begin_agreement(
        &self,
        answers: Answers,
        cluster: MeshCluster,
    ) -> io::Result<JoinHandle<()>> {
        let Inner {
            identity, genesis, ..
        } = &*self.0;
        answers.extension.set_node(identity.id().0);
        let setup = agreement::Setup {
            signer: identity.clone(),
            cluster_id: genesis.cluster(),
            // Later ones come as events.
            configuration: genesis.clone(),
            cluster: Arc::new(cluster),
            resolving: Box::new(answers.engine),
            judging: Box::new(answers.judge),
            timeout: answers.timeout,
            counters: answers.counters,
        };
        agreement::start(answers.channel, setup)
    }

    fn listen(
        &self,
        config: &Config,
        link: &MeshLink,
        inbound: crossbeam_channel::Sender<Inbound>,
    ) -> Result<Network, MeshError> {
        let Inner {
            identity, genesis, ..
        } = &*self.0;
        let own = genesis
            .member(identity.id())
            .map(|member| member.address.ip());
        let port = config.dataplane.ports.consensus;
        let kernel = open_socket(own, port)?;
        let address = kernel.local_addr()?;
        let failed = |error| MeshError::Network { address, error };
        let (link, cluster) = (link.clone(), genesis.cluster());
        let settings = Settings {
            identity: identity.clone(),
            cluster: genesis.cluster(),
            configuration: genesis,
            socket: Box::new(move || Ok(link.socket(kernel)?)),
            inbound,
            checks_of: Box::new(move |request| ledger::checks_of(cluster, request)),
        };
        Network::start(settings).map_err(failed)
    }

    /// Has a command ordered and executed, and waits until what it changes is in force at this node.
    ///
    /// # Errors
    /// Nobody knows what becomes of it, or it was not passed on.
    pub async fn submit(&self, command: &Command) -> Result<Outcome, SubmitError> {
        let running = self.running()?;
        let reply = running.handle.submit(command.to_bytes()).await?;
        let unread = || SubmitError::Stopped("the ledger's reply cannot be read".to_owned());
        let outcome = outcome(&reply.bytes).ok_or_else(unread)?;
        if matches!(outcome, Outcome::Zone { .. }) {
            running.zones.wait().await;
        }
        Ok(outcome)
    }

    /// What is counted of network, replica, phases and ledger; nothing before the start.
    pub(crate) async fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let Some(running) = self.0.running.get() else {
            return Vec::new();
        };
        let mut all: Vec<Box<dyn Collector>> = vec![
            Box::new(running.network.telemetry()),
            Box::new(running.handle.clone()),
        ];
        if let Ok(figures) = self.look(figures::Figures::read).await {
            all.push(Box::new(figures));
        }
        if let Some(log) = self.log() {
            all.extend(log.collectors());
        }
        all
    }

    fn running(&self) -> Result<&Running, SubmitError> {
        let running = self.0.running.get();
        running.ok_or_else(|| SubmitError::Stopped("it has not begun".to_owned()))
    }
}

impl UpdateSink for Mesh {
    fn submit(&self, update: ClientUpdate) -> oneshot::Receiver<u16> {
        let (sender, receiver) = oneshot::channel();
        let Ok(running) = self.running() else {
            return receiver; // Its sender is gone: the client hears SERVFAIL.
        };
        let mesh = self.clone();
        running.runtime.spawn(async move {
            let zone = DisplayName(update.update.zone()).to_string();
            let client = update.client;
            let command = Command::ZoneUpdate(Box::new(update.update));
            let code = match mesh.submit(&command).await {
                Ok(Outcome::Zone { rcode, .. }) => rcode,
                Ok(outcome) => {
                    tracing::warn!(zone, %client, ?outcome, "an update is refused");
                    rcode::REFUSED
                }
                Err(error) => {
                    tracing::warn!(zone, %client, %error, "an update is not carried out");
                    rcode::SERVFAIL
                }
            };
            let _ = sender.send(code); // The client may have given up.
        });
        receiver
    }
}

/// The threads of a [`Mesh`] that has been started.
#[derive(Debug)]
pub struct Threads {
    driver: Driver,
    log: Option<LogThreads>,
    zones: zone_keeper::ZoneNews,
    answers: AgreementHandle,
    others: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Ends them in order; the store is closed.
    pub fn stop(self) {
        self.driver.stop();
        // Behind the last that it has decided.
        if let Some(log) = self.log {
            log.stop();
        }
        self.zones.stop();
        self.answers.stop();
        for thread in self.others {
            if thread.join().is_err() {
                tracing::error!("mesh: a thread has panicked");
            }
        }
    }
}

/// The kernel's socket for other nodes: at this node's first address; at all addresses if it has another
/// one now, or others see it under one that it does not have, or it is no member yet.
fn open_socket(own: Option<IpAddr>, port: u16) -> Result<UdpSocket, MeshError> {
    let any = [
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
    ];
    let fits = |ip: &IpAddr| own.is_none_or(|own| own.is_ipv6() == ip.is_ipv6());
    let mut last = (
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        io::Error::from(io::ErrorKind::AddrNotAvailable),
    );
    for ip in own.into_iter().chain(any.into_iter().filter(fits)) {
        let address = SocketAddr::from((ip, port));
        match UdpSocket::bind(address) {
            Ok(socket) => return Ok(socket),
            Err(error) if is_not_here(&error) => {
                tracing::warn!(%address, %error, "consensus: not to be had here");
                last = (address, error);
            }
            Err(error) => return Err(MeshError::Network { address, error }),
        }
    }
    let (address, error) = last;
    Err(MeshError::Network { address, error })
}

/// This machine lacks the address, or the whole family.
fn is_not_here(error: &io::Error) -> bool {
    let no_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(no_family)
}

fn params(consensus: &config::Consensus) -> Params {
    Params {
        batch_requests_max: usize::try_from(consensus.batch_size).unwrap_or(usize::MAX),
        round_timeout_us: u64::from(consensus.timeout_ms) * 1000,
        view_change_timeout_us: u64::from(consensus.view_change_timeout_ms) * 1000,
        fast_path: consensus.fast_path,
        ..Params::default()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "mesh of node {}", self.identity.id())
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_is_here_is_taken_and_another_gives_all_addresses_of_its_family() {
        let bound = |own: Option<&str>| {
            let socket = open_socket(own.map(|own| own.parse().unwrap()), 0).unwrap();
            socket.local_addr().unwrap().ip()
        };
        assert_eq!(bound(Some("127.0.0.1")), Ipv4Addr::LOCALHOST);
        assert_eq!(bound(Some("192.0.2.1")), Ipv4Addr::UNSPECIFIED);
        if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert!(bound(Some("2001:db8::1")).is_unspecified());
        }
        assert!(bound(None).is_unspecified());
    }

    #[test]
    fn port_that_is_taken_is_no_reason_to_listen_elsewhere() {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let own = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
        assert!(matches!(
            open_socket(own, port),
            Err(MeshError::Network { .. })
        ));
    }
}
