//! From the ledger's news to what the log of this node hears.

use std::sync::Arc;

use ctlog::{Appended, Decided};
use ledger::{CtNews, CtShardState};

/// What of the ledger's news concerns the log's trees and files. Roots are no matter of theirs.
pub(super) fn decided(news: CtNews) -> Option<Decided> {
    Some(match news {
        CtNews::Issuers(issuers) => Decided::Issuers(issuers),
        CtNews::Appended {
            shard,
            first_index,
            timestamp_ms,
            entries,
        } => Decided::Appended(Appended {
            shard,
            first_index,
            timestamp_ms,
            entries,
        }),
        CtNews::Head { shard, head } => Decided::Head { shard, head },
        CtNews::Shard(CtShardState {
            shard,
            frontier,
            timestamp_ms,
            ..
        }) => Decided::Restored {
            shard: Arc::clone(&shard.name),
            frontier,
            timestamp_ms,
        },
        CtNews::Validators(validators) => Decided::Validators {
            keys: validators
                .keys
                .iter()
                .map(|(node, key)| (node.to_string(), *key))
                .collect(),
            quorum: validators.quorum,
            faults_max: validators.faults_max,
        },
        CtNews::Roots(_) => return None,
    })
}
