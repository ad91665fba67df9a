//! [`PeerFiles`]: the way between the logs of the nodes. Cosigned heads and pieces of files, as messages of the mesh.
//!
//! What comes in is outside input and comes on the replica's thread, which must not wait: a cosigned head goes straight to
//! the log, a piece to whoever has asked this peer for it, and what a peer wants to a thread of its own, where each peer
//! has few places. The rest is dropped; files are asked for again, and of a lost cosignature the next head's makes up.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use consensus::{MEMBERS_MAX, NodeId, Wire as _};
use crossbeam_channel::{Receiver, Sender, bounded};
use ctlog::LogHandle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::message::{MESSAGE_BYTES_MAX, Message, PIECE_BYTES_MAX};
use crate::mesh::Network;

/// What one peer wants that waits at most. Who catches up asks for a few files at a time.
const WANTED_MAX: usize = 64;
/// For a whole file from one peer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a piece says: bytes of the whole file, and those of the piece.
type Piece = (u64, Vec<u8>);

/// What a peer wants, for the thread that sends it. `None` ends it.
type Wanted = Option<(NodeId, Message)>;

/// Most bytes of a file by its path: a data tile of the largest entries, a full hash tile, or less.
fn bytes_max(path: &str) -> usize {
    match path.split_once('/') {
        Some(("tile", rest)) if rest.starts_with("data/") => 64 << 20,
        Some(("tile", _)) => 8192,
        Some(("digest", _)) => 64,
        _ => 128 << 10,
    }
}

/// Takes what peers say to the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogMessages {
    files: Arc<PeerFiles>,
    log: LogHandle,
    wanted: Sender<Wanted>,
}

impl LogMessages {
    /// Takes a message if it is of the log; else gives it back. Never waits.
    pub(crate) fn take(&self, from: NodeId, bytes: Vec<u8>) -> Option<Vec<u8>> {
        if !Message::is_kind(&bytes) {
            return Some(bytes);
        }
        let is_wanted = |ask| self.files.is_asked(from, ask);
        if bytes.len() > MESSAGE_BYTES_MAX
            || Message::ask_of_piece(&bytes).is_some_and(|ask| !is_wanted(ask))
        {
            tracing::debug!(%from, "certificate log: a message that nobody waits for");
            return None;
        }
        match Message::from_bytes(&bytes) {
            Ok(Message::Cosigned(note)) => self.log.on_cosigned(&from.to_string(), &note),
            Ok(Message::Piece { ask, total, bytes }) => {
                self.files.on_piece(from, ask, (total, bytes))
            }
            Ok(wanted @ Message::Wanted { .. }) => self.on_wanted(from, wanted),
            Err(error) => tracing::debug!(%from, %error, "certificate log: a peer's message"),
        }
        None
    }

    fn on_wanted(&self, from: NodeId, wanted: Message) {
        let mut waiting = self.files.waiting();
        let count = waiting.entry(from).or_default();
        if *count >= WANTED_MAX {
            tracing::debug!(%from, "certificate log: a peer wants too much at once");
            return;
        }
        if self.wanted.try_send(Some((from, wanted))).is_ok() {
            *count += 1;
        }
    }

    /// Ends the thread behind all that waits.
    pub(crate) fn stop(&self) {
        let _ = self.wanted.send(None); // It has ended.
    }
}

/// Sends to, and fetches from, the logs of other nodes.
pub(super) struct PeerFiles {
    network: Arc<Network>,
    asks: Mutex<BTreeMap<u64, (NodeId, oneshot::Sender<Piece>)>>,
    next_ask: AtomicU64,
    /// How much each peer wants and has not got.
    waiting: Mutex<BTreeMap<NodeId, usize>>,
}

impl PeerFiles {
    pub(super) fn new(network: Arc<Network>) -> Self {
        Self {
            network,
            asks: Mutex::default(),
            next_ask: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Takes what peers say to this log, and serves them on a thread that ends at [`LogMessages::stop`].
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start(
        self: &Arc<Self>,
        log: &LogHandle,
    ) -> io::Result<(LogMessages, JoinHandle<()>)> {
        let (wanted, receiver) = bounded(WANTED_MAX * MEMBERS_MAX);
        let messages = LogMessages {
            files: Arc::clone(self),
            log: log.clone(),
            wanted,
        };
        let (files, log) = (Arc::clone(self), log.clone());
        let thread = thread::Builder::new()
            .name("ct-peers".to_owned())
            .spawn(move || files.serve(&receiver, &log))?;
        Ok((messages, thread))
    }

    fn serve(&self, wanted: &Receiver<Wanted>, log: &LogHandle) {
        while let Ok(Some((from, wanted))) = wanted.recv() {
            if let Some(count) = self.waiting().get_mut(&from) {
                *count = count.saturating_sub(1);
            }
            let Message::Wanted {
                ask,
                shard,
                path,
                offset,
            } = wanted
            else {
                continue;
            };
            let file = file_of(log, &shard, &path).unwrap_or_default();
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
    }

    fn is_asked(&self, peer: NodeId, ask: u64) -> bool {
        self.asks().get(&ask).is_some_and(|(of, _)| *of == peer)
    }

    /// Only from whom it was asked of.
    fn on_piece(&self, from: NodeId, ask: u64, piece: Piece) {
        let mut asks = self.asks();
        if asks.get(&ask).is_some_and(|(of, _)| *of == from)
            && let Some((_, waiting)) = asks.remove(&ask)
        {
            let _ = waiting.send(piece); // It waits no more.
        }
    }

    fn send(&self, to: NodeId, message: &Message) {
        let message = consensus::Message::Application(message.to_bytes());
        self.network.send(to, &message);
    }

    fn asks(&self) -> MutexGuard<'_, BTreeMap<u64, (NodeId, oneshot::Sender<Piece>)>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<NodeId, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file, if the peer has it and sends it whole in time.
    async fn fetch_from(&self, peer: NodeId, shard: &str, path: &str) -> Option<Vec<u8>> {
        let fetched = async {
            let mut file = Assembly::new(path);
            loop {
                let piece = self.piece(peer, shard, path, file.bytes.len() as u64);
                if file.take(piece.await?)? {
                    return Some(file.bytes);
                }
            }
        };
        timeout(PATIENCE, fetched).await.ok().flatten()
    }

    async fn piece(&self, peer: NodeId, shard: &str, path: &str, offset: u64) -> Option<Piece> {
        let ask = self.next_ask.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.asks().insert(ask, (peer, sender));
        // However this ends, by a time-out too, nobody waits for the piece any more.
        let _forget = Forget(self, ask);
        let wanted = Message::Wanted {
            ask,
            shard: shard.to_owned(),
            path: path.to_owned(),
            offset,
        };
        self.send(peer, &wanted);
        receiver.await.ok()
    }
}

/// A file that is put together from its pieces, each but the last of which is full: nobody keeps us busy with crumbs, or for
/// longer than a file of this kind takes.
struct Assembly {
    bytes_max: usize,
    total: Option<u64>,
    bytes: Vec<u8>,
}

impl Assembly {
    fn new(path: &str) -> Self {
        Self {
            bytes_max: bytes_max(path),
            total: None,
            bytes: Vec::new(),
        }
    }

    /// Takes the next piece, and says whether it was the last. `None`: it is none of a file that can be.
    fn take(&mut self, (total, bytes): Piece) -> Option<bool> {
        let size = usize::try_from(total).ok()?;
        let left = size.checked_sub(self.bytes.len())?;
        let is_same = *self.total.get_or_insert(total) == total;
        let is_full = bytes.len() == left.min(PIECE_BYTES_MAX);
        if size == 0 || size > self.bytes_max || !is_same || !is_full {
            return None;
        }
        self.bytes.extend(bytes);
        Some(self.bytes.len() == size)
    }
}

/// Forgets an ask when it goes.
struct Forget<'f>(&'f PeerFiles, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.asks().remove(&self.1);
    }
}

fn file_of(log: &LogHandle, shard: &str, path: &str) -> Option<Vec<u8>> {
    let file = log.reader(shard)?.file_for_peer(path);
    file.unwrap_or_else(|error| {
        tracing::warn!(shard, path, %error, "certificate log: a file for a peer");
        None
    })
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
            let mut peers = files.network.connected_voters();
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
            for peer in files.network.connected_voters() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a peer that has `size` bytes sends of a file.
    fn honest(size: usize, offset: u64) -> Option<Piece> {
        let file: Vec<u8> = (0..size)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        let begin = usize::try_from(offset).unwrap();
        let end = (begin + PIECE_BYTES_MAX).min(size);
        Some((size as u64, file[begin..end].to_vec()))
    }

    fn assemble(path: &str, piece: impl Fn(u64) -> Option<Piece>) -> Option<Vec<u8>> {
        let mut file = Assembly::new(path);
        while !file.take(piece(file.bytes.len() as u64)?)? {}
        Some(file.bytes)
    }

    #[test]
    fn file_is_put_together_from_full_pieces() {
        let data = "tile/data/000";
        for size in [1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX] {
            let file = assemble(data, |offset| honest(size, offset)).unwrap();
            assert_eq!(file.len(), size);
            let right = |(at, byte): (usize, &u8)| usize::from(*byte) == at % 251;
            assert!(file.iter().enumerate().all(right));
        }
        assert_eq!(
            assemble(data, |offset| honest(0, offset)),
            None,
            "it is not there"
        );
    }

    #[test]
    fn liar_gives_no_crumbs_no_other_size_and_no_more_than_a_file_of_its_kind_has() {
        let data = "tile/data/000";
        let size = 2 * PIECE_BYTES_MAX;
        let crumb = || Some((size as u64, vec![0]));
        assert_eq!(assemble(data, |_| crumb()), None);
        let crumbs_behind = |offset| match offset {
            0 => honest(size, 0),
            _ => crumb(),
        };
        assert_eq!(assemble(data, crumbs_behind), None);
        let grows = |offset| {
            let (total, bytes) = honest(size, offset)?;
            Some((total + offset, bytes))
        };
        assert_eq!(assemble(data, grows), None);
        let of = |path, size| assemble(path, |offset| honest(size, offset));
        assert_eq!(of("tile/0/000", 8193), None);
        assert_eq!(of("digest/tile/data/000", 65), None);
        assert!(of("digest/tile/data/000", 32).is_some());
        assert!(of("issuer/00", 1500).is_some());
    }
}
