//! From the ledger's news to [`Decided`], what the log of this node hears.

use std::sync::Arc;

use ledger::{CtNews, CtShardState};

use crate::decided::{Appended, Decided};

impl Decided {
    /// What of the ledger's news concerns the log's trees and files. Roots are no matter of theirs.
    #[must_use]
    pub fn of(news: CtNews) -> Option<Self> {
        Some(match news {
            CtNews::Issuers(issuers) => Self::Issuers(issuers),
            CtNews::Appended {
                shard,
                first_index,
                timestamp_ms,
                entries,
            } => Self::Appended(Appended {
                shard,
                first_index,
                timestamp_ms,
                entries,
            }),
            CtNews::Head { shard, head } => Self::Head { shard, head },
            CtNews::Shard(CtShardState {
                shard,
                frontier,
                timestamp_ms,
                ..
            }) => Self::Restored {
                shard: Arc::clone(&shard.name),
                frontier,
                timestamp_ms,
            },
            CtNews::Validators(validators) => Self::Validators {
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
}
