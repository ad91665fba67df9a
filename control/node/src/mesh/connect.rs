//! Connections come and go: of two nodes the one with the lower id dials, and dials again.
//!
//! So there is one connection for each pair, and no race to settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;
use consensus::NodeId;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, Incoming, TransportErrorCode};
use rustls::pki_types::CertificateDer;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, sleep_until, timeout};

use super::certificate::server_name;
use super::counters::{Counters, Refusal};
use super::link::{self, Context};
use super::network::Peers;
use super::peer::{CLOSE_REFUSED, Peer};
use super::tls;

/// Time for a handshake, and for the welcome after it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Shortest and longest wait between two attempts; half of it, up to all of it, by chance.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A connection that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// TLS alerts (RFC 8446 §6.2), which QUIC carries as errors (RFC 9001 §4.8).
const NO_APPLICATION_PROTOCOL: u8 = 120;
const CERTIFICATE_REQUIRED: u8 = 116;
/// Those that our own verifier's word becomes, which has counted already.
const CERTIFICATES: [u8; 5] = [42, 43, 45, 46, 48];

/// Dials one peer for as long as it is a member.
pub(super) async fn dial(
    context: Context,
    endpoint: Endpoint,
    config: ClientConfig,
    peer: Arc<Peer>,
    mut random: ChaCha20Rng,
) {
    let mut backoff = BACKOFF_MIN;
    while !peer.is_gone() {
        if let Some(until) = peer.barred_until() {
            sleep_until(until.into()).await;
        }
        let began = Instant::now();
        match connect(&endpoint, config.clone(), &peer).await {
            Ok(connection) => {
                tracing::info!("connected with node {} at {}", peer.id, peer.address());
                link::serve(&context, &peer, &connection).await;
            }
            Err(refusal) => {
                let Failure { refusal, text } = refusal;
                tracing::debug!("no connection with node {}: {text}", peer.id);
                refusal
                    .into_iter()
                    .for_each(|refusal| context.counters.refuse(refusal));
            }
        }
        if began.elapsed() >= GOOD {
            backoff = BACKOFF_MIN;
        }
        let half = u64::try_from(backoff.as_micros() / 2).unwrap_or(u64::MAX);
        sleep(Duration::from_micros(half + random.next_u64() % half)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Why there is no connection; what the verifier has counted is not counted again.
struct Failure {
    refusal: Option<Refusal>,
    text: String,
}

impl Failure {
    fn of(error: &ConnectionError) -> Self {
        Self {
            refusal: refusal(error),
            text: error.to_string(),
        }
    }

    fn timeout() -> Self {
        Self {
            refusal: Some(Refusal::Timeout),
            text: "timed out".to_owned(),
        }
    }
}

async fn connect(
    endpoint: &Endpoint,
    config: ClientConfig,
    peer: &Peer,
) -> Result<Connection, Failure> {
    let connecting = endpoint.connect_with(config, peer.address(), &server_name(peer.id));
    let connecting = connecting.map_err(|error| Failure {
        refusal: Some(Refusal::Handshake),
        text: error.to_string(),
    })?;
    let connection = timeout(HANDSHAKE_TIMEOUT, connecting).await;
    let connection = connection
        .map_err(|_| Failure::timeout())?
        .map_err(|error| Failure::of(&error))?;
    // Who dials is through with TLS before the other side has seen its certificate. An empty
    // stream says that it has, and is content.
    let welcome = timeout(HANDSHAKE_TIMEOUT, connection.accept_uni()).await;
    welcome
        .map_err(|_| Failure::timeout())?
        .map_err(|error| Failure::of(&error))?;
    Ok(connection)
}

/// Takes one connection that was dialled by somebody, and serves it.
pub(super) async fn accept(
    context: Context,
    peers: Arc<ArcSwap<Peers>>,
    own: NodeId,
    incoming: Incoming,
    permit: OwnedSemaphorePermit,
) {
    let refuse = |refusal| context.counters.refuse(refusal);
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => return refusal(&error).into_iter().for_each(refuse),
    };
    let connection = match timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return refusal(&error).into_iter().for_each(refuse),
        Err(_) => return refuse(Refusal::Timeout),
    };
    let peer = owner(&connection).and_then(|id| peers.load().get(&id).cloned());
    let Some(peer) = peer else {
        refuse(Refusal::UnknownPeer); // It was one when its certificate was looked at.
        return connection.close(CLOSE_REFUSED, b"no member");
    };
    let refusal = if peer.id > own {
        Some(Refusal::Direction)
    } else {
        peer.barred_until().map(|_| Refusal::Barred)
    };
    if let Some(refusal) = refusal {
        refuse(refusal);
        return connection.close(CLOSE_REFUSED, refusal.word().as_bytes());
    }
    let Ok(mut welcome) = connection.open_uni().await else {
        return;
    };
    let _ = welcome.finish(); // Fails when the connection has ended, which is seen next.
    drop(welcome);
    drop(permit); // The handshake is over.
    tracing::info!(
        "node {} has connected from {}",
        peer.id,
        connection.remote_address()
    );
    link::serve(&context, &peer, &connection).await;
}

/// Refuses without a word to those who cannot be looked at.
pub(super) fn turn_away(counters: &Counters, incoming: Incoming) {
    counters.refuse(Refusal::Busy);
    incoming.ignore();
}

fn owner(connection: &Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let chain: Box<Vec<CertificateDer<'static>>> = identity.downcast().ok()?;
    tls::owner(chain.first()?)
}

/// What a failed handshake is counted as; `None` if it has been counted.
fn refusal(error: &ConnectionError) -> Option<Refusal> {
    let crypto = |alert| TransportErrorCode::crypto(alert);
    match error {
        ConnectionError::TransportError(error) => match error.code {
            code if code == crypto(NO_APPLICATION_PROTOCOL) => Some(Refusal::OtherCluster),
            code if code == crypto(CERTIFICATE_REQUIRED) => Some(Refusal::UnknownPeer),
            code if CERTIFICATES.map(crypto).contains(&code) => None,
            _ => Some(Refusal::Handshake),
        },
        ConnectionError::ConnectionClosed(close)
            if close.error_code == crypto(NO_APPLICATION_PROTOCOL) =>
        {
            Some(Refusal::OtherCluster)
        }
        ConnectionError::TimedOut => Some(Refusal::Timeout),
        _ => Some(Refusal::Handshake),
    }
}
