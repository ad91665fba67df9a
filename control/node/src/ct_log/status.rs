//! How far the log is at this node, for `nexus ct status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::Digest;
use ctlog::ShardReader;
use data_encoding::BASE64;
use ledger::{CtShardState, CtValidators, Ledger};

use super::agree::Wishes;
use super::{LogService, copies};
use crate::admin::{CtShardStatus, CtStatus, Failure, FailureCode};
use crate::clock;
use crate::mesh::Mesh;

/// A head is late when the last one is older than so many times what was asked for, and this on top.
const LATE_FACTOR: u64 = 3;
/// Seconds.
const LATE_SECS: u64 = 10;

/// What the ledger says of it.
struct Agreed {
    shards: BTreeMap<Arc<str>, CtShardState>,
    validators: CtValidators,
    roots: Option<Digest>,
}

impl LogService {
    /// Asks the ledger, and looks at what is published.
    ///
    /// # Errors
    /// This node takes no part in the cluster any more.
    pub(crate) async fn status(&self, mesh: &Mesh) -> Result<CtStatus, Failure> {
        let agreed = mesh.inspect(|ledger: &Ledger| Agreed {
            shards: ledger
                .ct_shards()
                .map(|state| (Arc::clone(&state.shard.name), state.clone()))
                .collect(),
            validators: ledger.ct_validators(),
            roots: ledger.ct_roots(),
        });
        let agreed = agreed.await;
        let agreed =
            agreed.map_err(|error| Failure::new(FailureCode::Unavailable, error.to_string()))?;
        let wishes = &self.wishes;
        let mut problems = problems(wishes, &agreed);
        if self.known.has_stopped() {
            problems.push(
                "the log of this node has stopped: see its journal for why, mend it, and restart"
                    .to_owned(),
            );
        }
        let mut shards = Vec::new();
        for shard in &wishes.shards {
            let state = agreed.shards.get(&shard.agreed.name);
            let reader = self.handle.reader(&shard.agreed.name);
            let status = shard_status(shard, state, reader);
            let late = LATE_FACTOR * wishes.refresh.as_secs() + LATE_SECS;
            let is_late = status.published_secs_ago.is_none_or(|ago| ago > late);
            if state.is_some() && status.has_key && is_late {
                problems.push(format!(
                    "shard {}: no head published here for {late} s: see the log for why, and `nexus cluster status`",
                    status.name
                ));
            }
            shards.push(status);
        }
        let copies = copies::status(&self.copies, &mut problems);
        let keys = agreed.validators.keys.keys();
        Ok(CtStatus {
            name: self.name.as_str().to_owned(),
            cosigners: keys.map(ToString::to_string).collect(),
            quorum: agreed.validators.quorum,
            shards,
            copies,
            problems,
        })
    }
}

fn problems(wishes: &Wishes, agreed: &Agreed) -> Vec<String> {
    let mut problems = Vec::new();
    if agreed.roots != Some(wishes.roots) {
        problems.push(match agreed.roots {
            None => "the members have not agreed on ct.roots yet".to_owned(),
            Some(_) => {
                "the members have agreed on other ct.roots than this node's: give all nodes one file, and restart them"
                    .to_owned()
            }
        });
    }
    let (keys, quorum) = (agreed.validators.keys.len(), agreed.validators.quorum);
    if keys < quorum {
        problems.push(format!(
            "{keys} nodes cosign, and {quorum} must: the others need ct.log_id, too"
        ));
    }
    for shard in &wishes.shards {
        let name = &shard.agreed.name;
        match agreed.shards.get(name) {
            None => problems.push(format!(
                "shard {name}: the members have not agreed on it yet"
            )),
            Some(state) if state.shard != shard.agreed => problems.push(format!(
                "shard {name}: the members have agreed on another window, origin or key"
            )),
            Some(_) => {}
        }
    }
    problems
}

fn shard_status(
    shard: &super::ShardWish,
    state: Option<&CtShardState>,
    reader: Option<&ShardReader>,
) -> CtShardStatus {
    let published = reader.and_then(ShardReader::published);
    let now_secs = clock::unix_secs();
    let ago = |timestamp_ms: u64| now_secs.saturating_sub(timestamp_ms / 1000);
    CtShardStatus {
        name: shard.agreed.name.to_string(),
        log_id: BASE64.encode(&shard.log_id.0),
        start: shard.start.to_string(),
        end: shard.end.to_string(),
        is_closed: state.map_or(shard.is_closed, |state| state.is_closed),
        has_key: reader.is_some_and(ShardReader::can_sign),
        agreed_size: state.map_or(0, |state| state.frontier.size()),
        published_size: published.as_ref().map(|published| published.size()),
        published_secs_ago: published.map(|published| ago(published.signed.head.timestamp_ms)),
    }
}
