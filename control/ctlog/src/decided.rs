//! [`Decided`]: what consensus says to the log, in its order.
//!
//! It comes from one thread, when it is durable in the order of this node (a crash brings it again). After a restart all that
//! was decided since the last snapshot of consensus comes again; what the log has already is passed over.

use std::sync::Arc;

use ct::{Frontier, LogEntry, TreeHead};

/// One thing that was decided.
#[derive(Debug, Clone)]
pub enum Decided {
    /// Certificates above logged ones that were not known before, as DER.
    Issuers(Vec<Arc<[u8]>>),
    /// Entries have their places.
    Appended(Appended),
    /// At this point of the order all nodes cosign the tree of this shard. Follows the entries it covers. Its time is that of
    /// the batch, so it is the same on all nodes; an idle log gets one with the old size from time to time.
    Head {
        /// Name of the shard.
        shard: Arc<str>,
        /// Size, root and time.
        head: TreeHead,
    },
    /// This node has taken over a state from others, and has not seen what lies below: the log fetches it from peers
    /// ([`crate::Mesh::fetch`]) and checks it against this. Also said at each start, when it may be what the log has.
    Restored {
        /// Name of the shard.
        shard: Arc<str>,
        /// Its tree.
        frontier: Frontier,
        /// Milliseconds since 1970 of its last head.
        timestamp_ms: u64,
    },
    /// Who cosigns, and how many of them make a quorum.
    Validators {
        /// Ed25519 keys of cosigners by the name of the node, which is the last step of the cosigner's name.
        keys: Vec<(String, [u8; 32])>,
        /// How many must have cosigned a head before the log signs it.
        quorum: usize,
        /// How many of all voters may lie, those that have no key yet among them.
        faults_max: usize,
    },
}

/// Entries at the end of a shard.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Name of the shard.
    pub shard: Arc<str>,
    /// The place of the first one.
    pub first_index: u64,
    /// When: the batch's time, in milliseconds since 1970. Never less than that of an entry before.
    pub timestamp_ms: u64,
    /// In their order.
    pub entries: Vec<LogEntry>,
}
