//! Every socket that control opens at its start.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;
use crate::admin_server::AdminServer;
use crate::attach::Attacher;
use crate::counters::Counters;
use crate::engine::EngineHandle;
use crate::kernel_udp::KernelUdp;

/// Connections that the kernel holds for us until we accept.
const TCP_BACKLOG: i32 = 1024;

/// Tries to open UDP sockets at the start, and the time between two.
const UDP_TRIES: u32 = 10;
const UDP_RETRY: Duration = Duration::from_millis(100);

/// Every socket of the start.
pub(super) struct Sockets {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) found: Option<exchange::handover::Attached>,
    pub(super) kernel: KernelUdp,
    pub(super) tcp: Vec<std::net::TcpListener>,
    pub(super) http: std::net::TcpListener,
    pub(super) admin: AdminServer,
}

impl Sockets {
    /// TCP first: unlike UDP it tells of every other program that holds the port. The dataplane is
    /// looked for before UDP, since in socket mode it brings the sockets.
    pub(super) fn open(
        config: &Config,
        attacher: &Attacher,
        engine: &EngineHandle,
        counters: &Arc<Counters>,
    ) -> Result<Self, StartError> {
        let listen = addresses(config);
        let tcp = bind_tcp(&listen)?;
        let api = config.api.listen;
        let http = std::net::TcpListener::bind(api)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| bind_error("metrics (api.listen)", api, error))?;
        let path = &config.api.socket;
        let admin = AdminServer::bind(path).map_err(|error| {
            bind_error(
                "the command line's socket (api.socket)",
                path.display(),
                error,
            )
        })?;
        let (found, kernel) = open_udp(config, &listen, attacher, engine, counters)?;
        Ok(Self {
            listen,
            found,
            kernel,
            tcp,
            http,
            admin,
        })
    }
}

/// Addresses to serve. On a machine without IPv6, `::` of the defaults is left out.
fn addresses(config: &Config) -> Vec<SocketAddr> {
    let port = config.dataplane.ports.dns;
    let (mut addresses, has_ipv6) = (Vec::new(), has_ipv6());
    for address in &config.resolver.listen {
        if address.is_ipv6() && address.is_unspecified() && !has_ipv6 {
            tracing::warn!("this machine has no IPv6: not serving [::]:{port}");
        } else {
            addresses.push((*address, port).into());
        }
    }
    addresses
}

fn has_ipv6() -> bool {
    match Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(nix::libc::EAFNOSUPPORT),
    }
}

/// A dataplane in socket mode that is just starting may hold the addresses, under another user,
/// and not yet hand them over: worth a short wait before giving up.
fn open_udp(
    config: &Config,
    listen: &[SocketAddr],
    attacher: &Attacher,
    engine: &EngineHandle,
    counters: &Arc<Counters>,
) -> Result<(Option<exchange::handover::Attached>, KernelUdp), StartError> {
    let mut tries_left = UDP_TRIES;
    loop {
        let found = attacher.try_now();
        let has_sockets = found
            .as_ref()
            .is_some_and(|attached| !attached.sockets.is_empty());
        let (mode, engine) = (config.dataplane.mode, engine.clone());
        let opened = KernelUdp::new(
            listen.to_vec(),
            mode,
            engine,
            Arc::clone(counters),
            has_sockets,
        );
        tries_left -= 1;
        match opened {
            Ok(kernel) => return Ok((found, kernel)),
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {
                std::thread::sleep(UDP_RETRY);
            }
            Err((address, error)) => return Err(bind_error("UDP", address, error)),
        }
    }
}

fn bind_tcp(listen: &[SocketAddr]) -> Result<Vec<std::net::TcpListener>, StartError> {
    listen
        .iter()
        .map(|address| listen_tcp(*address).map_err(|error| bind_error("TCP", address, error)))
        .collect()
}

fn listen_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of the process before, in TIME_WAIT, must not keep us out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_error(what: &'static str, place: impl fmt::Display, error: io::Error) -> StartError {
    StartError::Bind {
        what,
        place: place.to_string(),
        error,
    }
}
