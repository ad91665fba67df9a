//! What the log needs of the node around it: somebody who orders entries, and the way to other nodes.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ct::LogEntry;

/// A future of a trait object.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An entry that has passed the checks of this node.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// What is logged.
    pub entry: LogEntry,
    /// The certificates that its chain names, as DER.
    pub issuers: Vec<Arc<[u8]>>,
}

/// The place of an entry: that of the first submission, if it was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    /// In the tree of its shard.
    pub index: u64,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// Why an entry has no place. Whether it gets one after all is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much waits: try again later.
    #[error("too many submissions wait")]
    Busy,
    /// No quorum agrees in time, or this node takes no part.
    #[error("not ordered: {0}")]
    Unavailable(String),
    /// The cluster does not take it.
    #[error("refused: {0}")]
    Refused(String),
}

/// Orders entries: the consensus of the cluster.
pub trait Sequencer: Debug + Send + Sync + 'static {
    /// Has an entry ordered in a shard. It is committed when this returns, and not yet covered by a published head.
    fn submit(&self, shard: Arc<str>, entry: Submitted) -> Boxed<Result<Sequenced, SubmitError>>;
}

/// The way to the logs of the other nodes. What they send is outside input.
pub trait Mesh: Debug + Send + Sync + 'static {
    /// Sends a cosigned note to all others. What gets lost is not sent again by the mesh.
    fn broadcast(&self, note: Vec<u8>);

    /// A file of a shard (`tile/…`, `tile/data/…`, `issuer/…`, path as in static-ct-api, and `digest/tile/data/…`) from any peer that has
    /// it, as [`crate::ShardReader::file_for_peer`] gives it. `None`: nobody has it now. Of several peers another one is asked
    /// each time: one may lie.
    fn fetch(&self, shard: Arc<str>, path: String) -> Boxed<Option<Vec<u8>>>;

    /// The same from every peer that answers in time, by the names of nodes as in [`crate::Decided::Validators`], each at most
    /// once. Who implements it bounds the time of each peer, to 3 seconds at most: who calls gives up the whole after
    /// 10, and what others have said in time would be lost with one who is slow. What no hash of the tree covers is believed when enough of them say the same.
    fn fetch_from_each(&self, shard: Arc<str>, path: String) -> Boxed<Vec<(String, Vec<u8>)>>;
}
