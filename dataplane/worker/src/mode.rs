//! Which mode it will be: each candidate is opened and proved, the first that works is taken, and
//! the reasons against those before it are kept for the log and for `nexus status`.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bpf_redirect::privileges;
use config::{Config, Mode as Wanted};
use port::Mode;
use port::uring;
use port::xdp::{XdpConfig, XdpPort};

use crate::clock::Now;
use crate::steering::{self, Steering};

/// How long the self-test waits for its frame to leave: some NICs reset for seconds when a socket is
/// bound to them.
const PROVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the deadline of a queue is lent for the self-test.
const PROVE_DEADLINE_NS: u64 = 5_000_000_000;

/// Error number of a protocol family that the kernel does not have (asm-generic/errno.h).
const EAFNOSUPPORT: i32 = 97;

/// Open packet I/O.
#[derive(Debug)]
pub struct Opened {
    /// How it was opened.
    pub mode: Mode,
    /// Why this mode, in words for people.
    pub reason: String,
    /// The queues or sockets of the workers.
    pub lanes: Lanes,
}

/// One lane a worker.
#[derive(Debug)]
pub enum Lanes {
    /// AF_XDP: queue and port of each worker, and the program that steers to them.
    Xdp(Box<Steering>, Vec<(u32, XdpPort)>),
    /// UDP sockets of each worker.
    Socket(Vec<Vec<UdpSocket>>),
}

impl Lanes {
    /// Workers that these lanes need.
    pub fn count(&self) -> usize {
        match self {
            Self::Xdp(_, ports) => ports.len(),
            Self::Socket(sockets) => sockets.len(),
        }
    }
}

/// Opens packet I/O in the configured mode, or in the first of zero-copy, copy and socket that
/// passes its self-test. `cores` bounds the number of workers in socket mode.
pub fn open(config: &Config, cores: usize) -> Result<Opened> {
    let candidates: &[Mode] = match config.dataplane.mode {
        Wanted::Auto => &[Mode::ZeroCopy, Mode::Copy, Mode::Socket],
        Wanted::ZeroCopy => &[Mode::ZeroCopy],
        Wanted::Copy => &[Mode::Copy],
        Wanted::Socket => &[Mode::Socket],
    };
    check_interface(config)?;
    let mut refused = Vec::new();
    for mode in candidates {
        match open_as(*mode, config, cores) {
            Ok(lanes) => {
                let reason = reason(*mode, config.dataplane.mode, &refused);
                return Ok(Opened {
                    mode: *mode,
                    reason,
                    lanes,
                });
            }
            Err(error) => refused.push(format!("{}: {error:#}", mode.name())),
        }
    }
    match config.dataplane.mode {
        Wanted::Auto => bail!("no mode works: {}", refused.join("; ")),
        _ => bail!("mode {}", refused.join("; ")),
    }
}

/// An interface or queue that does not exist is a mistake in the configuration, never a reason to
/// fall back.
fn check_interface(config: &Config) -> Result<()> {
    let dataplane = &config.dataplane;
    match (&dataplane.interface, dataplane.mode) {
        (_, Wanted::Socket) | (None, Wanted::Auto) => Ok(()),
        (None, mode) => bail!("dataplane.interface: mode {mode} needs the name of an interface"),
        (Some(interface), _) => steering::queues(interface, &dataplane.queues).map(drop),
    }
}

fn reason(mode: Mode, wanted: Wanted, refused: &[String]) -> String {
    match (wanted, refused) {
        (Wanted::Auto, []) => format!("auto: {} passed its self-test", mode.name()),
        (Wanted::Auto, refused) => format!("auto; {}", refused.join("; ")),
        _ => "as configured".to_owned(),
    }
}

fn open_as(mode: Mode, config: &Config, cores: usize) -> Result<Lanes> {
    match mode {
        Mode::ZeroCopy => open_xdp(config, true),
        Mode::Copy => open_xdp(config, false),
        Mode::Socket => open_sockets(config, cores),
    }
}

fn open_xdp(config: &Config, zero_copy: bool) -> Result<Lanes> {
    let dataplane = &config.dataplane;
    let Some(interface) = &dataplane.interface else {
        bail!("no dataplane.interface is set")
    };
    let queues = steering::queues(interface, &dataplane.queues)?;
    let mut steering = Steering::load(interface, dataplane, &config.resolver.listen)?;
    // Attached before anything is proved: a driver that refuses XDP is a reason to fall back. Until
    // a worker extends its deadline, the program passes everything on.
    steering.attach(dataplane.xdp == config::Xdp::Generic)?;
    let mut ports = Vec::with_capacity(queues.len());
    for queue in queues {
        let mut port = XdpPort::bind(&XdpConfig {
            interface: interface.clone(),
            queue,
            zero_copy,
            busy_poll_us: dataplane.busy_poll.usecs,
            busy_poll_budget: dataplane.busy_poll.budget,
            mesh_port: dataplane.ports.consensus,
        })?;
        steering.connect(queue, &port)?;
        prove(&steering, queue, &mut port, interface)?;
        ports.push((queue, port));
    }
    Ok(Lanes::Xdp(Box::new(steering), ports))
}

/// The self-test: a frame leaves by the transmit ring, and the program steers a query to us.
fn prove(steering: &Steering, queue: u32, port: &mut XdpPort, interface: &str) -> Result<()> {
    let frame = steering::loopback_frame(steering::hardware_address(interface));
    if !port.prove_transmit(&frame, PROVE_TIMEOUT)? {
        bail!("self-test: a frame on queue {queue} was not sent within {PROVE_TIMEOUT:?}");
    }
    let deadline = steering.deadline(queue);
    deadline.extend_until(Now::read().nanoseconds + PROVE_DEADLINE_NS);
    let proved = steering.prove(queue);
    deadline.expire();
    proved.context("self-test")
}

fn open_sockets(config: &Config, cores: usize) -> Result<Lanes> {
    let workers = match (&config.dataplane.queues, &config.dataplane.cores) {
        (config::Queues::List(list), _) => list.len(),
        (_, config::Cores::List(list)) => list.len(),
        _ => cores.min(exchange::WORKERS_MAX as usize),
    };
    let owner = privileges::socket_owner(&config.node.user);
    let bind = |ip: &IpAddr| {
        let address = SocketAddr::new(*ip, config.dataplane.ports.dns);
        match uring::bind(address, owner) {
            Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) && ip.is_unspecified() => {
                tracing::warn!(%address, "not served: this kernel does not have the family");
                Ok(None)
            }
            bound => bound
                .map(Some)
                .with_context(|| format!("listen on UDP {address}")),
        }
    };
    let lane = || {
        let bound = config.resolver.listen.iter().map(bind);
        bound
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>>>()
    };
    let lanes = (0..workers.max(1))
        .map(|_| lane())
        .collect::<Result<Vec<_>>>()?;
    Ok(Lanes::Socket(lanes))
}
