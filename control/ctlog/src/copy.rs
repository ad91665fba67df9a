//! [`Copies`]: what is public of the log, in object stores as well, so that readers need not come to the nodes.
//!
//! The folder of the node stays the truth: nothing is read back from a store but its checkpoint, and the log neither waits for a
//! store nor learns what became of it. A store shows a checkpoint only when everything that it covers is there. Start at
//! [`ShardCopy::advance`].

mod place;
mod puts;
mod record;
mod s3;
mod shard_copy;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ct::Hash;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::task::JoinSet;

use crate::ShardReader;
use crate::reader::ReadError;

pub use self::place::Place;
pub use self::record::CopyStatus;
pub use self::s3::{S3Error, S3Settings, check_endpoint, open_s3};
pub use self::shard_copy::{Progress, ShardCopy};

use self::record::Records;

/// First after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why a copy is not as far as the log.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// What the store said.
    #[error("{path}: {error}")]
    Store {
        /// The object.
        path: String,
        /// With what caused it.
        error: String,
    },
    /// The store says nothing.
    #[error("{path}: no reply within {} seconds", place::PATIENCE.as_secs())]
    Silent {
        /// The object.
        path: String,
    },
    /// The store takes no notice of conditions.
    #[error(
        "{path}: the store does not write on condition: set conditional_writes: false, and a prefix of its own for each node"
    )]
    Unconditional {
        /// An object that was written for this.
        path: String,
    },
    /// The store does not put the checkpoint there.
    #[error("{path}: the store refuses a newer checkpoint, and has none that is as new")]
    Refused {
        /// The object.
        path: String,
    },
    /// Something else is there.
    #[error(
        "what the store has as {path} is no checkpoint of this shard ({reason}): give the copy a prefix of its own, or remove \
         what is there"
    )]
    Foreign {
        /// The object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log's key has signed another tree.
    #[error(
        "the checkpoint in the store is signed by this shard's key, and its {size} entries have the root {theirs}; here they have \
         {ours}. One key has signed two trees: keep both as evidence, and find out who has the key"
    )]
    Fork {
        /// Leaves.
        size: u64,
        /// Root in the store.
        theirs: Hash,
        /// Root here.
        ours: Hash,
    },
    /// Own files cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl CopyError {
    /// For counting.
    fn kind(&self) -> &'static str {
        match self {
            Self::Store { .. } => "store",
            Self::Silent { .. } => "silent",
            Self::Unconditional { .. } => "unconditional",
            Self::Refused { .. } => "refused",
            Self::Foreign { .. } => "foreign",
            Self::Fork { .. } => "fork",
            Self::Read(_) => "read",
        }
    }
}

/// Copies of all shards in all stores. Clones share what is counted. Register one as a collector.
#[derive(Debug, Clone)]
pub struct Copies {
    places: Arc<[Arc<Place>]>,
    readers: Arc<[ShardReader]>,
    records: Records,
}

impl Copies {
    /// Of these shards, in these places.
    #[must_use]
    pub fn new(places: Vec<Place>, readers: Vec<ShardReader>) -> Self {
        Self {
            places: places.into_iter().map(Arc::new).collect(),
            readers: readers.into(),
            records: Records::default(),
        }
    }

    /// The copy of one shard in one place.
    fn all(&self) -> impl Iterator<Item = (&Arc<Place>, &ShardReader)> {
        let shards_of = |place| self.readers.iter().map(move |reader| (place, reader));
        self.places.iter().flat_map(shards_of)
    }

    /// Keeps them as the log is, until the log ends. It reads files and hashes them between its requests: let it have a thread.
    pub async fn follow(self) {
        let mut tasks = JoinSet::new();
        for (place, reader) in self.all() {
            let copy = ShardCopy::new(Arc::clone(place), reader.clone());
            tasks.spawn(follow_one(copy, self.records.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    /// How far each is.
    #[must_use]
    pub fn status(&self) -> Vec<CopyStatus> {
        let status = |(place, reader): (&Arc<Place>, &ShardReader)| {
            self.records.status(place.name(), reader)
        };
        self.all().map(status).collect()
    }
}

impl Collector for Copies {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.records.encode(encoder, &self.status())
    }
}

/// One copy, until the log ends.
async fn follow_one(mut copy: ShardCopy, records: Records) {
    let mut heads = copy.reader().watch();
    let mut handled = None;
    let mut pause = PAUSE;
    loop {
        let is_new = |head: &Option<Arc<crate::Published>>| {
            let head = head.as_ref().map(|head| head.signed.head);
            head.is_some() && head != handled
        };
        let head = match heads.wait_for(is_new).await {
            Ok(head) => head.clone(),
            Err(_) => return,
        };
        let Some(head) = head else { return };
        let ended = loop {
            let advanced = copy.advance(&head).await;
            records.on_step(&mut copy, &advanced);
            match advanced {
                Ok(Progress::Part) => {}
                Ok(Progress::Whole) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let rest = match ended {
            Ok(()) => {
                handled = Some(head.signed.head);
                pause = PAUSE;
                copy.place().interval()
            }
            Err(error) => {
                let (place, shard) = (copy.place().name(), &copy.reader().spec().window.name);
                tracing::warn!(place, shard, %error, "a copy of the log is behind");
                let rest = pause.max(copy.place().interval());
                pause = (pause * 2).min(PAUSE_MAX);
                rest
            }
        };
        tokio::time::sleep(rest).await;
    }
}
