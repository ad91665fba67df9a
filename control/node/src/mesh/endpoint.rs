//! The QUIC endpoint: one socket for all connections, dialled and accepted.
//!
//! Keys of connection ids and resets follow from the node's own, so that a node that has restarted
//! tells its peers at once that the old connections are gone.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AsyncUdpSocket, ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    IdleTimeout, Runtime, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use socket2::SockRef;

use super::Identity;
use super::link::STREAMS_MAX;
use super::signatures;
use super::tls::Tls;

/// A peer that is silent for so long is gone.
const IDLE_TIMEOUT_MS: u32 = 5_000;
/// After so long without anything to say, a sign of life is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Round trip assumed at first: sets how soon a lost first packet is sent again.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// Received bytes that wait in one stream, and in one connection.
const STREAM_BYTES_MAX: u32 = 4 * 1024 * 1024;
const CONNECTION_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Datagrams that wait, in bytes: few to be sent, since the queue knows better what matters.
const DATAGRAM_RECEIVE_BYTES_MAX: usize = 4 * 1024 * 1024;
const DATAGRAM_SEND_BYTES_MAX: usize = 64 * 1024;
/// Handshakes that wait to be looked at.
const INCOMING_MAX: usize = 64;
/// Bytes that a waiting handshake may hold.
const INCOMING_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that the kernel is asked to hold for the socket, each way.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a connection id.
const CONNECTION_ID_BYTES: usize = 8;

/// Makes the endpoint's socket; called once, inside the runtime that will poll it.
pub type MakeSocket = Box<dyn FnOnce() -> io::Result<Arc<dyn AsyncUdpSocket>> + Send>;

/// A kernel socket on this address, which it takes at once.
///
/// # Errors
/// The address cannot be had.
pub fn kernel_socket(address: SocketAddr) -> io::Result<MakeSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // As much as the system gives: what does not fit is lost, and votes are not sent again by QUIC.
    let options = SockRef::from(&socket);
    let _ = options.set_recv_buffer_size(SOCKET_BYTES);
    let _ = options.set_send_buffer_size(SOCKET_BYTES);
    Ok(Box::new(move || TokioRuntime.wrap_udp_socket(socket)))
}

/// The endpoint, and how it dials. Call inside the runtime.
pub(super) fn make(
    identity: &Identity,
    tls: Tls,
    socket: MakeSocket,
) -> io::Result<(Endpoint, ClientConfig)> {
    let transport = Arc::new(transport());
    let crypto = QuicServerConfig::try_from(tls.server).map_err(io::Error::other)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::clone(&transport))
        .migration(false) // Members have fixed addresses.
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64);
    let crypto = QuicClientConfig::try_from(tls.client).map_err(io::Error::other)?;
    let mut client = ClientConfig::new(Arc::new(crypto));
    client.transport_config(transport);
    let reset = identity.derive(b"nexus mesh 1: stateless resets");
    let reset = hmac::Key::new(hmac::HMAC_SHA256, &reset);
    let mut config = EndpointConfig::new(Arc::new(reset));
    let mut seed = [0; 32];
    signatures::random()?.fill_bytes(&mut seed);
    // Called once, for the one endpoint of this configuration.
    config.cid_generator(move || Box::new(ConnectionIds(ChaCha20Rng::from_seed(seed))));
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket()?, runtime)?;
    Ok((endpoint, client))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_BYTES_MAX))
        .receive_window(VarInt::from_u32(CONNECTION_BYTES_MAX))
        .send_window(CONNECTION_BYTES_MAX.into())
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES_MAX))
        .datagram_send_buffer_size(DATAGRAM_SEND_BYTES_MAX);
    transport
}

/// Random ids that say nothing about the process that made them: packets for one before it are
/// answered with a reset.
struct ConnectionIds(ChaCha20Rng);

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; CONNECTION_ID_BYTES];
        self.0.fill_bytes(&mut bytes);
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
