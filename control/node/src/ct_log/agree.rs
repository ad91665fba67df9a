//! What a node asks of the others for its log: shards and roots as its configuration has them, its key as cosigner, and new
//! heads for idle shards.

use std::sync::Arc;
use std::time::Duration;

use consensus::{Digest, NodeId};
use ct::TreeHead;
use ledger::{CT_REFRESH_MS, Change, Command, CtCosignerKey, Ledger, Outcome, Reason};
use tokio::time::sleep;

use super::ShardWish;
use crate::clock;
use crate::mesh::Mesh;

/// Until the next try when the cluster does not answer.
const RETRY: Duration = Duration::from_secs(2);
/// New heads that are asked for after the start, one a second.
const HASTE_COUNT: usize = 15;
/// Between two looks at what is agreed.
const INTERVAL: Duration = Duration::from_secs(30);

/// What this node's configuration says.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) node: NodeId,
    pub(super) cosigner: CtCosignerKey,
    pub(super) roots: Digest,
    pub(super) shards: Vec<ShardWish>,
    pub(super) refresh: Duration,
}

/// What is asked for and not there.
struct Missing {
    command: Command,
    /// Something else is there.
    contradicts: bool,
    words: String,
}

impl Wishes {
    /// As long as the node runs.
    pub(super) async fn pursue(self: Arc<Self>, mesh: Mesh) {
        // Once after the start: a cluster that moves away from what this node wants, as it does when files are changed
        // node by node, is not to be moved back.
        let mut may_contradict = true;
        loop {
            let wishes = Arc::clone(&self);
            let missing = mesh.inspect(move |ledger| wishes.missing(ledger)).await;
            let Ok(missing) = missing else {
                sleep(RETRY).await;
                continue;
            };
            let mut pause = INTERVAL;
            let mut was_heard = true;
            for missing in missing {
                if missing.contradicts {
                    if !may_contradict {
                        continue;
                    }
                    tracing::warn!(
                        "certificate log: {}: the members have agreed on something else",
                        missing.words
                    );
                }
                if !ask(&mesh, &missing).await {
                    (pause, was_heard) = (RETRY, false);
                }
            }
            may_contradict &= !was_heard;
            sleep(pause).await;
        }
    }

    fn missing(&self, ledger: &Ledger) -> Vec<Missing> {
        let mut missing = Vec::new();
        if ledger.ct_validators().keys.get(&self.node) != Some(&self.cosigner.key) {
            missing.push(Missing {
                command: Command::CtCosigner(self.cosigner.clone()),
                contradicts: false,
                words: "key of this cosigner".to_owned(),
            });
        }
        if ledger.ct_roots() != Some(self.roots) {
            missing.push(Missing {
                command: Command::Propose(Change::CtRoots(self.roots)),
                contradicts: ledger.ct_roots().is_some(),
                words: "ct.roots".to_owned(),
            });
        }
        for wish in &self.shards {
            let shard = &wish.agreed;
            let there = ledger
                .ct_shards()
                .find(|state| state.shard.name == shard.name);
            let change = match there {
                None => Change::CtOpen(shard.clone()),
                Some(state) if state.shard != *shard => Change::CtOpen(shard.clone()),
                Some(state) if wish.is_closed && !state.is_closed => {
                    Change::CtClose(Arc::clone(&shard.name))
                }
                Some(_) => continue,
            };
            let contradicts = there.is_some_and(|state| state.shard != *shard);
            missing.push(Missing {
                command: Command::Propose(change),
                contradicts,
                words: format!("ct.shards: {}", shard.name),
            });
        }
        missing
    }

    /// Asks for new heads of shards that have been idle, as long as the node runs.
    pub(super) async fn refresh(self: Arc<Self>, mesh: Mesh) {
        let refresh_ms = u64::try_from(self.refresh.as_millis()).unwrap_or(u64::MAX);
        // At the start one a second: as soon as there is a quorum of cosigners, or this node has caught up, it publishes.
        let ages_ms = std::iter::repeat_n(CT_REFRESH_MS, HASTE_COUNT);
        for age_ms in ages_ms.chain(std::iter::repeat(refresh_ms)) {
            let heads = mesh.inspect(|ledger| {
                // Closed ones, too: a node that has published none of their heads needs one.
                let heads = ledger
                    .ct_shards()
                    .map(|state| (Arc::clone(&state.shard.name), state.head()));
                heads.collect::<Vec<_>>()
            });
            let Ok(heads) = heads.await else {
                sleep(RETRY).await;
                continue;
            };
            let now_ms = 1000 * clock::unix_secs();
            let is_old = |head: &TreeHead| head.timestamp_ms.saturating_add(age_ms) <= now_ms;
            for (shard, _) in heads.into_iter().filter(|(_, head)| is_old(head)) {
                let command = Command::CtRefresh(Arc::clone(&shard));
                if let Err(error) = mesh.submit(&command).await {
                    tracing::debug!(%shard, %error, "certificate log: no new head");
                }
            }
            sleep(self.refresh.min(Duration::from_secs(1))).await;
        }
    }
}

/// Whether the ledger has heard it. What waits for others is kept there for a while.
async fn ask(mesh: &Mesh, missing: &Missing) -> bool {
    let words = &missing.words;
    match mesh.submit(&missing.command).await {
        Ok(Outcome::Done) => tracing::info!("certificate log: {words}: agreed"),
        // Others have completed the count meanwhile, or it stays as it was: the next look tells.
        Ok(Outcome::Known | Outcome::Refused(Reason::NotSafe)) => {}
        Ok(Outcome::Pending { supporters, wanted }) => {
            tracing::info!(
                supporters,
                wanted,
                "certificate log: {words}: waits for others"
            );
        }
        Ok(outcome) => tracing::warn!(?outcome, "certificate log: {words}: refused"),
        Err(error) => {
            tracing::debug!(%error, "certificate log: {words}");
            return false;
        }
    }
    true
}
