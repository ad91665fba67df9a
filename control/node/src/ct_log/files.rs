//! [`PeerFiles`]: the way between the logs of the nodes. Cosigned heads and pieces of files, as messages of the mesh.
//!
//! What comes in is taken from the replica's thread at once and dealt with on a thread of its own; when too much waits it is
//! dropped. Files are asked for again, and of a lost cosignature the next head's makes up.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use consensus::{NodeId, Wire as _};
use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::message::{Message, PIECE_BYTES_MAX};
use crate::mesh::Network;

/// Messages that wait at most.
const WAITING_MAX: usize = 4096;
/// For a piece of a file from one peer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of a file: a data tile of the largest entries.
const FILE_BYTES_MAX: usize = 64 << 20;

/// What a piece says: bytes of the whole file, and those of the piece.
type Piece = (u64, Vec<u8>);

/// What came in, for the thread that deals with it. `None` ends it.
type Incoming = Option<(NodeId, Vec<u8>)>;

/// The side of the mesh that hands messages in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogMessages(Sender<Incoming>);

impl LogMessages {
    /// Takes a message if it is of the log; else gives it back. Never waits.
    pub(crate) fn take(&self, from: NodeId, bytes: Vec<u8>) -> Option<Vec<u8>> {
        if !Message::is_kind(&bytes) {
            return Some(bytes);
        }
        if self.0.try_send(Some((from, bytes))).is_err() {
            tracing::debug!("certificate log: too many messages of peers wait");
        }
        None
    }

    /// Ends the thread behind all that waits.
    pub(crate) fn stop(&self) {
        let _ = self.0.send(None); // It has ended.
    }
}

/// The waiting end of [`LogMessages`], until somebody deals with it.
pub(crate) type LogInbox = Receiver<Incoming>;

/// A way for messages that come before anybody deals with them.
pub(crate) fn messages() -> (LogMessages, LogInbox) {
    let (sender, receiver) = bounded(WAITING_MAX);
    (LogMessages(sender), receiver)
}

/// Sends to, and fetches from, the logs of other nodes.
pub(super) struct PeerFiles {
    network: Arc<Network>,
    asks: Mutex<BTreeMap<u64, (NodeId, oneshot::Sender<Piece>)>>,
    next_ask: AtomicU64,
}

/// What a node does for its peers' logs.
pub(super) trait Serve: Send + 'static {
    /// A peer has cosigned this.
    fn on_cosigned(&self, from: NodeId, note: &[u8]);

    /// A file of a shard, whole. `None`: it is not there.
    fn file(&self, shard: &str, path: &str) -> Option<Vec<u8>>;
}

impl PeerFiles {
    pub(super) fn new(network: Arc<Network>) -> Self {
        Self {
            network,
            asks: Mutex::default(),
            next_ask: AtomicU64::new(0),
        }
    }

    /// Deals with what comes in, on a thread that ends at [`LogMessages::stop`].
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start(
        self: &Arc<Self>,
        inbox: LogInbox,
        serve: impl Serve,
    ) -> io::Result<JoinHandle<()>> {
        let files = Arc::clone(self);
        thread::Builder::new()
            .name("ct-peers".to_owned())
            .spawn(move || {
                while let Ok(Some((from, bytes))) = inbox.recv() {
                    match Message::from_bytes(&bytes) {
                        Ok(message) => files.on_message(from, message, &serve),
                        Err(error) => {
                            tracing::debug!(%from, %error, "certificate log: a peer's message")
                        }
                    }
                }
            })
    }

    fn on_message(&self, from: NodeId, message: Message, serve: &impl Serve) {
        match message {
            Message::Cosigned(note) => serve.on_cosigned(from, &note),
            Message::Wanted {
                ask,
                shard,
                path,
                offset,
            } => {
                let file = serve.file(&shard, &path).unwrap_or_default();
                let begin = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(file.len());
                let end = begin.saturating_add(PIECE_BYTES_MAX).min(file.len());
                let piece = Message::Piece {
                    ask,
                    total: file.len() as u64,
                    bytes: file[begin..end].to_vec(),
                };
                self.send(from, &piece);
            }
            Message::Piece { ask, total, bytes } => {
                let mut asks = self.asks();
                // Only from whom it was asked of.
                if asks.get(&ask).is_some_and(|(of, _)| *of == from)
                    && let Some((_, waiting)) = asks.remove(&ask)
                {
                    let _ = waiting.send((total, bytes)); // It waits no more.
                }
            }
        }
    }

    fn send(&self, to: NodeId, message: &Message) {
        let message = consensus::Message::Application(message.to_bytes());
        self.network.send(to, &message);
    }

    fn asks(&self) -> MutexGuard<'_, BTreeMap<u64, (NodeId, oneshot::Sender<Piece>)>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch_from(&self, peer: NodeId, shard: &str, path: &str) -> Option<Vec<u8>> {
        let mut file = Vec::new();
        loop {
            let (total, bytes) = self.piece(peer, shard, path, file.len() as u64).await?;
            let total = usize::try_from(total).ok()?;
            if total == 0 || total > FILE_BYTES_MAX || (bytes.is_empty() && file.len() < total) {
                return None;
            }
            file.extend(bytes);
            if file.len() >= total {
                return (file.len() == total).then_some(file);
            }
        }
    }

    async fn piece(&self, peer: NodeId, shard: &str, path: &str, offset: u64) -> Option<Piece> {
        let ask = self.next_ask.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.asks().insert(ask, (peer, sender));
        let wanted = Message::Wanted {
            ask,
            shard: shard.to_owned(),
            path: path.to_owned(),
            offset,
        };
        self.send(peer, &wanted);
        let piece = timeout(PATIENCE, receiver).await;
        self.asks().remove(&ask);
        piece.ok()?.ok()
    }
}

/// [`ctlog::Mesh`] over a [`PeerFiles`] that others share.
#[derive(Clone, Debug)]
pub(super) struct PeerLogs(pub(super) Arc<PeerFiles>);

impl ctlog::Mesh for PeerLogs {
    fn broadcast(&self, note: Vec<u8>) {
        let message = Message::Cosigned(note).to_bytes();
        let message = consensus::Message::Application(message);
        self.0
            .network
            .broadcast(&self.0.network.ids(true), &message);
    }

    fn fetch(
        &self,
        shard: Arc<str>,
        path: String,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> {
        let files = Arc::clone(&self.0);
        Box::pin(async move {
            let mut peers = files.network.ids(true);
            if peers.is_empty() {
                return None;
            }
            // Not always the same one first.
            let turn = files.next_ask.load(Ordering::Relaxed) % peers.len() as u64;
            peers.rotate_left(usize::try_from(turn).unwrap_or(0));
            for peer in peers {
                if let Some(file) = files.fetch_from(peer, &shard, &path).await {
                    return Some(file);
                }
            }
            None
        })
    }

    fn fetch_from_each(
        &self,
        shard: Arc<str>,
        path: String,
    ) -> Pin<Box<dyn Future<Output = Vec<(String, Vec<u8>)>> + Send>> {
        let files = Arc::clone(&self.0);
        Box::pin(async move {
            let mut all = JoinSet::new();
            for peer in files.network.ids(true) {
                let (files, shard, path) = (Arc::clone(&files), Arc::clone(&shard), path.clone());
                all.spawn(from_peer(files, peer, shard, path));
            }
            all.join_all().await.into_iter().flatten().collect()
        })
    }
}

/// What one peer has of a file, if it answers.
async fn from_peer(
    files: Arc<PeerFiles>,
    peer: NodeId,
    shard: Arc<str>,
    path: String,
) -> Option<(String, Vec<u8>)> {
    let file = files.fetch_from(peer, &shard, &path).await?;
    Some((peer.to_string(), file))
}

impl fmt::Debug for PeerFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "files of peers over {:?}", self.network)
    }
}
